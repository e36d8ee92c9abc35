//! A real peer: DPDK's testpmd as the guest, by virtio-user. Skipped, with a word, where it is not installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod guest;

use guest::front::{Place, wait};
use netloom_mem::{Batch, ReceiveQueue, SendQueue};
use netloom_port::vhost::{Config, Mode, Pair, Port};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Testpmd(Child);

impl Testpmd {
    /// Starts it with one virtio-user port that loops what comes back, or says why not.
    fn start(place: &Place, device: &str, queues: usize) -> Option<Self> {
        let device = format!(
            "net_virtio_user0,path={},queues={queues},queue_size=256{device}",
            place.socket().display()
        );
        let queues = [format!("--rxq={queues}"), format!("--txq={queues}")];
        let prefix = format!("netloom-{}-{}", std::process::id(), place.socket().display()).replace('/', "-");
        let started = Command::new("dpdk-testpmd")
            .args(["--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--lcores", &cores()])
            .args([
                "--file-prefix",
                &prefix,
                "--vdev",
                &device,
                "--",
                "--nb-cores=1",
                "--total-num-mbufs=4096",
            ])
            .args([
                "--port-topology=loop",
                "--forward-mode=io",
                "--auto-start",
                "--tx-first",
                "--disable-link-check",
            ])
            .args(queues)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => Some(Self(child)),
            Err(error) => {
                println!("skipped: dpdk-testpmd: {error}");
                None
            }
        }
    }
}

/// Two threads of testpmd on the processors that we may use.
fn cores() -> String {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let mut allowed = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let first = allowed.next().unwrap();
    format!("0@{first},1@{}", allowed.next_back().unwrap_or(first))
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // Enter ends it, and lets it remove its files; if it does not end, it is killed.
        let _ = self.0.stdin.take().map(|mut input| input.write_all(b"\n"));
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends everything back until each pair has echoed so many frames.
fn echo(pairs: &mut [Pair], frames: u64) {
    let mut batch = Batch::new();
    let all: Vec<u8> = (0..32).collect();
    let mut echoed = vec![0; pairs.len()];
    wait("frames that come and go", || {
        for _ in 0..200 {
            for (pair, echoed) in pairs.iter_mut().zip(&mut echoed) {
                let count = pair.from_guest.receive(&mut batch).unwrap();
                for index in 0..count {
                    assert_eq!(batch.length(index), 64);
                    assert_eq!(batch.head(index)[12..14], [8, 0]);
                }
                *echoed += pair.to_guest.send(&batch, &all[..count]).unwrap_or(0) as u64;
                pair.to_guest.flush();
                pair.from_guest.complete();
                batch.clear();
            }
        }
        echoed.iter().all(|echoed| *echoed >= frames)
    });
}

fn run(mode: Mode, device: &str, queues: usize) {
    let place = Place::new();
    let config = Config { pairs: queues, ..Config::new(place.socket(), mode) };
    let device = if mode == Mode::Client { format!(",server=1{device}") } else { device.to_owned() };
    let (port, mut pairs) = Port::open(1, config).unwrap();
    let Some(peer) = Testpmd::start(&place, &device, queues) else { return };
    echo(&mut pairs, 50_000);
    let status = port.status();
    assert!(status.connected && status.rings.iter().all(|ring| *ring), "{status:?}");
    println!("{device}: features {:#x}", status.features);
    drop(peer);
    wait("the port notices", || !port.status().connected);
    if mode == Mode::Client {
        // A new peer is found within a second, and the same queues serve it.
        let Some(_peer) = Testpmd::start(&place, &device, queues) else { return };
        wait("the socket is there again", || place.socket().exists());
        let seen = Instant::now();
        wait("the port comes back", || port.status().connected);
        assert!(seen.elapsed() < Duration::from_secs(2), "{:?}", seen.elapsed());
        echo(&mut pairs, 10_000);
    }
}

#[test]
fn a_client_of_split_rings() {
    run(Mode::Client, "", 1);
}

#[test]
fn a_server_of_split_rings_without_mergeable_buffers() {
    run(Mode::Server, ",mrg_rxbuf=0,in_order=0", 1);
}

#[test]
fn a_server_of_packed_rings() {
    run(Mode::Server, ",packed_vq=1", 1);
}

#[test]
fn a_client_of_packed_rings_of_two_pairs() {
    run(Mode::Client, ",packed_vq=1,in_order=0", 2);
}
