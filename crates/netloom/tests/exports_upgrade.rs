//! Collectors are told everything while a switch hands over to its successor.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod daemon;
mod nodes;

use daemon::{Daemon, until};
use netloom_testkit::rig;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

const NODES: [(&str, &str); 2] = [("a", "10.0.0.1/24"), ("b", "10.0.0.2/24")];

/// The daemon that is there at the end.
struct Last<'a>(&'a Path);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_netloom"));
        let _ = command.arg("--run").arg(self.0).args(["switch", "stop"]).output();
    }
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(octets[at..at + 4].try_into().unwrap())
}

#[test]
fn sums_and_numbers_go_on_over_upgrades() {
    rig::isolated(|rig| {
        let directory = rig.state_dir.join("switch");
        let daemon = Daemon::start(&directory);
        let _last = Last(&directory);
        if !daemon.attach(rig, &NODES, &[]) {
            return;
        }
        let database = format!("--db=unix:{}", directory.join("db.sock").display());
        let vsctl = |words: &str| {
            let words = words.split_whitespace();
            let all: Vec<&str> = [database.as_str(), "--timeout=20"].into_iter().chain(words).collect();
            rig.run("ovs-vsctl", &all).filter(|output| output.status.success()).is_some()
        };
        let up = rig.run("ip", &["link", "set", "lo", "up"]).is_some_and(|it| it.status.success());
        let socket = UdpSocket::bind("127.0.0.1:0").ok().filter(|_| up);
        let Some(socket) = socket else {
            netloom_testkit::skip!("no loopback interface");
            return;
        };
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let target = socket.local_addr().unwrap();
        let netflow = format!(
            "set Bridge br0 netflow=@n -- --id=@n create NetFlow targets=\"{target}\" active_timeout=1"
        );
        if !vsctl(&netflow) {
            netloom_testkit::skip!("no ovs-vsctl");
            return;
        }
        let sent = 300;
        let mut upgrades = 0;
        std::thread::scope(|scope| {
            let child = rig.within("a", || {
                let mut command = std::process::Command::new("ping");
                command.args(["-i", "0.01", "-c", "300", "-W", "5", "10.0.0.2"]);
                command.stdout(std::process::Stdio::null()).spawn()
            });
            let Ok(mut child) = child else { return };
            let pinging = scope.spawn(move || child.wait().unwrap().success());
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(500));
                daemon.try_ask("switch upgrade").unwrap();
                upgrades += 1;
            }
            assert!(pinging.join().unwrap(), "pings are lost");
        });
        if upgrades == 0 {
            netloom_testkit::skip!("no ping");
            return;
        }
        // What is known is told at the end.
        assert!(vsctl("clear Bridge br0 netflow"));
        let (mut requests, mut replies, mut records, mut uptime) = (0, 0, 0, 0);
        let mut octets = [0; 2048];
        until("all is told", || {
            while let Ok(length) = socket.recv(&mut octets) {
                let datagram = &octets[..length];
                // Sequence numbers and the time go on.
                assert_eq!(u32_at(datagram, 16), records);
                assert!(u32_at(datagram, 4) >= uptime);
                uptime = u32_at(datagram, 4);
                for record in datagram[24..].chunks(48) {
                    records += 1;
                    let (packets, octets, kind) = (u32_at(record, 16), u32_at(record, 20), record[34]);
                    if record[38] != 1 {
                        continue;
                    }
                    assert_eq!(octets, 98 * packets);
                    match kind {
                        8 => requests += packets,
                        _ => replies += packets,
                    }
                }
            }
            requests >= sent && replies >= sent
        });
        assert_eq!((requests, replies), (sent, sent));
    });
}
