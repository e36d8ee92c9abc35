//! Several workers, real TAP interfaces of several queues: everything arrives, and both workers carry it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;

use daemon::{Daemon, until};
use netloom_testkit::rig;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

const FLOWS: u16 = 16;
const ECHOES: u32 = 200;
const OCTETS: usize = 16 << 20;

/// Datagrams to and fro, one flow for each port; none may be lost, or come in another order.
fn echo() {
    let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.connect("10.0.0.2:7").unwrap();
    for number in 0..ECHOES {
        // Two at a time, so that order can be told.
        let pair = [2 * number, 2 * number + 1];
        for number in pair {
            socket.send(&number.to_be_bytes()).unwrap();
        }
        for number in pair {
            let mut octets = [0; 4];
            socket.recv(&mut octets).unwrap_or_else(|error| panic!("echo {number}: {error}"));
            assert_eq!(u32::from_be_bytes(octets), number);
        }
    }
}

fn sum_of(octets: &[u8]) -> u64 {
    octets.iter().map(|octet| u64::from(*octet)).sum()
}

fn stream() {
    let mut stream = TcpStream::connect("10.0.0.2:8").unwrap();
    let octets: Vec<u8> = (0..OCTETS).map(|at| (at / 7) as u8).collect();
    stream.write_all(&octets).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut sum = [0; 8];
    stream.read_exact(&mut sum).unwrap();
    assert_eq!(u64::from_be_bytes(sum), sum_of(&octets));
}

/// Ends who answers, however the test ends.
struct Done(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn two_workers_share_the_queues_and_nothing_is_lost() {
    rig::isolated(|rig| {
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start_with(&directory, &["--cores", "0,1"]);
        if !daemon.attach(rig, &[("a", "10.0.0.1/24"), ("b", "10.0.0.2/24")], &["queues=2"]) {
            return;
        }
        std::thread::scope(|scope| {
            rig.within("b", || {
                let answers = UdpSocket::bind("10.0.0.2:7").unwrap();
                answers.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                let sums = TcpListener::bind("10.0.0.2:8").unwrap();
                let done = Done(std::sync::Arc::default());
                let ended = done.0.clone();
                scope.spawn(move || {
                    let mut octets = [0; 64];
                    while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                        if let Ok((count, peer)) = answers.recv_from(&mut octets) {
                            answers.send_to(&octets[..count], peer).unwrap();
                        }
                    }
                });
                scope.spawn(move || {
                    // A connection of nobody ends it, too.
                    let (mut stream, _) = sums.accept().unwrap();
                    let mut octets = Vec::new();
                    stream.read_to_end(&mut octets).unwrap();
                    stream.write_all(&sum_of(&octets).to_be_bytes()).unwrap();
                });
                rig.within("a", || {
                    std::thread::scope(|flows| {
                        (0..FLOWS).for_each(|_| drop(flows.spawn(echo)));
                        flows.spawn(stream);
                        // Ports come and go meanwhile.
                        for _ in 0..3 {
                            daemon.ask(&["port", "add", "br0", "c", "type=tap", "dev=c0"]).unwrap();
                            daemon.ask(&["port", "del", "c"]).unwrap();
                        }
                    });
                });
            });
        });
        let ports = daemon.json(&["port", "list", "-o", "json"]);
        for port in ports.as_array().unwrap() {
            let queues = port["queues"].as_array().unwrap();
            let packets: Vec<u64> = queues.iter().map(|queue| queue["packets"].as_u64().unwrap()).collect();
            let workers: Vec<u64> = queues.iter().map(|queue| queue["worker"].as_u64().unwrap()).collect();
            assert_eq!(packets.iter().sum::<u64>(), port["received"].as_u64().unwrap(), "{port}");
            assert!(packets.iter().all(|count| *count > 0), "one queue was never used: {port}");
            assert_eq!(workers.len(), 2);
            assert!(port["unsent"] == 0, "{port}");
        }
        until("what the workers did is told", || {
            let top = daemon.json(&["top", "--once", "1ms", "-o", "json"]);
            let workers = top["workers"].as_array().unwrap();
            assert_eq!(workers.len(), 2);
            workers.iter().enumerate().all(|(number, worker)| {
                worker["core"] == number as u64
                    && worker["busy_ns"].as_u64() > Some(0)
                    && worker["flows"].as_u64() > Some(0)
            })
        });
        println!("{}", daemon.ask(&["top", "--once", "100ms"]).unwrap());
    });
}
