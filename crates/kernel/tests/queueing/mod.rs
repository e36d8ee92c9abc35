//! What the tests of queueing share: two namespaces joined by a veth pair, `tc` as the oracle, and flows
//! of UDP packets that are counted where they arrive.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "a module of test binaries")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use netloom_compile::object::shaper::Shaper;
use netloom_kernel::netlink::{Protocol, Socket};
use netloom_kernel::tc::{self, Found};
use netloom_testkit::rig::Rig;
use serde_json::Value;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub type Job = Box<dyn FnOnce() + Send>;

/// The other end: a thread in a network namespace of its own.
pub struct Peer {
    jobs: mpsc::Sender<Job>,
    thread: Option<std::thread::JoinHandle<()>>,
    id: i32,
}

impl Peer {
    #[allow(deprecated, reason = "the replacement is unsafe only for unsharing file descriptors")]
    pub fn new() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).unwrap();
            tell.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            for job in inbox {
                job();
            }
        });
        let id = told.recv().unwrap();
        Self { jobs, thread: Some(thread), id }
    }

    /// Runs code in the namespace and waits for it.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.jobs.send(Box::new(move || tell.send(job()).unwrap())).unwrap();
        told.recv().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.jobs = mpsc::channel().0;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs a command and wants it to succeed.
pub fn run(words: &str) -> String {
    let mut parts = words.split_whitespace();
    let program = parts.next().unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(parts).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the oracles are installed; reports a skip if not.
pub fn has_tools(rig: &Rig) -> bool {
    for tool in ["ip", "tc"] {
        if rig.run(tool, &["-V"]).is_none() {
            netloom_testkit::skip!("{tool} is not installed");
            return false;
        }
    }
    true
}

/// `tc -j` parsed.
pub fn tc_json(words: &str) -> Vec<Value> {
    serde_json::from_str(&run(&format!("tc -j {words}"))).unwrap()
}

/// Waits until something holds; false when it does not within two seconds.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(2);
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A namespace with `v0` (10.9.0.1, fd09::1), whose other end `v1` (.2) is at the peer.
pub struct Pair {
    pub peer: Peer,
    pub socket: Socket,
    pub ifindex: u32,
}

impl Pair {
    pub fn new() -> Self {
        let peer = Peer::new();
        run(&format!("ip link add v0 type veth peer name v1 netns {}", peer.id));
        // No duplicate address detection, so that an address can be used at once.
        run("ip addr add 10.9.0.1/24 dev v0");
        run("ip addr add fd09::1/64 dev v0 nodad");
        run("ip link set v0 up");
        peer.run(|| {
            run("ip addr add 10.9.0.2/24 dev v1");
            run("ip addr add fd09::2/64 dev v1 nodad");
            run("ip link set v1 up");
        });
        let ifindex = rustix::net::netdevice::name_to_index(ioctl_socket(), "v0").unwrap();
        Self { peer, socket: Socket::open(Protocol::Route).unwrap(), ifindex }
    }

    pub fn observe(&mut self) -> Option<Found> {
        tc::observe(&mut self.socket, None).unwrap().remove(&self.ifindex)
    }

    /// Observes and wants exactly this.
    pub fn expect(&mut self, wanted: &Shaper) {
        let found = self.observe().expect("a shaper");
        assert!(found.ours);
        assert_eq!(differences(&found.shaper, wanted), Vec::<String>::new());
    }
}

fn ioctl_socket() -> rustix::fd::OwnedFd {
    rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None).unwrap()
}

pub fn differences(from: &Shaper, to: &Shaper) -> Vec<String> {
    let mut found = Vec::new();
    from.compare(to, &mut |field, from, to| found.push(format!("{field} {from} -> {to}")));
    found
}

/// Payload of a flow's packets; with UDP, IPv4 and Ethernet headers they are 1,242 octets.
pub const PAYLOAD: usize = 1200;
pub const PACKET: usize = PAYLOAD + 8 + 20 + 14;

/// Saturates each destination port (IPv4, from the same source port) at once, and gives the rates in
/// bits per second at which each arrives, Ethernet header included.
pub fn rates(pair: &Pair, ports: &[u16], settle: Duration, time: Duration) -> Vec<f64> {
    let receivers: Vec<UdpSocket> = ports
        .iter()
        .map(|port| {
            let port = *port;
            pair.peer.run(move || UdpSocket::bind(("10.9.0.2", port)).unwrap())
        })
        .collect();
    let senders: Vec<UdpSocket> = ports
        .iter()
        .map(|port| {
            let socket = UdpSocket::bind(("10.9.0.1", 0)).unwrap();
            socket.connect(("10.9.0.2", *port)).unwrap();
            // A send must not wait longer than the test; the socket's buffer bounds what is queued.
            socket.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            socket
        })
        .collect();
    let begin = Instant::now() + settle;
    let end = begin + time;
    std::thread::scope(|scope| {
        for socket in &senders {
            scope.spawn(move || {
                while Instant::now() < end {
                    let _ = socket.send(&[0; PAYLOAD]);
                }
            });
        }
        let counters: Vec<_> = receivers
            .iter()
            .map(|socket| {
                scope.spawn(move || {
                    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
                    let mut packets = 0u32;
                    let mut room = [0; 2048];
                    loop {
                        let received = socket.recv(&mut room);
                        let now = Instant::now();
                        if now >= end {
                            break packets;
                        }
                        if received.is_ok() && now >= begin {
                            packets += 1;
                        }
                    }
                })
            })
            .collect();
        counters
            .into_iter()
            .map(|counter| f64::from(counter.join().unwrap()) * (PACKET * 8) as f64 / time.as_secs_f64())
            .collect()
    })
}

/// Measures and wants each flow's rate within a share of what was asked for. A busy machine may starve a
/// flow, so a failed measurement is repeated twice; a wrong shaper fails all three.
pub fn expect_rates(pair: &Pair, flows: &[(u16, f64)], tolerance: f64, time: Duration) {
    let ports: Vec<u16> = flows.iter().map(|(port, _)| *port).collect();
    let mut tries = Vec::new();
    for _ in 0..3 {
        let measured = rates(pair, &ports, Duration::from_millis(300), time);
        let within = flows
            .iter()
            .zip(&measured)
            .all(|((_, wanted), rate)| (rate - wanted).abs() <= wanted * tolerance);
        tries.push(measured.iter().map(|rate| (rate / 1e4).round() / 100.0).collect::<Vec<_>>());
        if within {
            println!("measured {tries:?} Mbit/s for {flows:?}");
            return;
        }
    }
    panic!("measured {tries:?} Mbit/s for {flows:?} (port, bit/s), which is not within {tolerance}");
}
