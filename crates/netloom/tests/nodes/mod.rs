//! Namespaces of a test that are the nodes behind a switch's ports.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "helpers of tests, and not every test uses all of them"
)]

use netloom_testkit::rig::Rig;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `ip`; false if it fails or is not there.
pub fn ip(rig: &Rig, words: &str) -> bool {
    let words: Vec<&str> = words.split_whitespace().collect();
    rig.run("ip", &words).is_some_and(|done| done.status.success())
}

/// An empty namespace; gives the path that `ip` knows it by.
pub fn namespace(rig: &Rig, name: &str) -> Option<String> {
    let path = rig.netns_dir.join(name);
    std::fs::write(&path, "").unwrap();
    let path = path.to_str().unwrap().to_owned();
    let made = rig.run("unshare", &[&format!("--net={path}"), "true"])?;
    made.status.success().then_some(path)
}

/// A namespace with an interface `eth0`, whose other end is `end` here.
pub fn node(rig: &Rig, name: &str, end: &str, address: &str) -> bool {
    node_of_queues(rig, name, end, address, 1)
}

/// The same with so many queues at both ends.
pub fn node_of_queues(rig: &Rig, name: &str, end: &str, address: &str, queues: u32) -> bool {
    let Some(path) = namespace(rig, name) else { return false };
    let queues = format!("numrxqueues {queues} numtxqueues {queues}");
    ip(rig, &format!("link add {end} {queues} type veth peer name eth0 {queues} netns {path}"))
        && ip(rig, &format!("link set {end} up"))
        && inside(rig, name, address)
}

/// Runs `ip` in a node.
pub fn ip_in(rig: &Rig, name: &str, words: &str) -> bool {
    let words: Vec<&str> = words.split_whitespace().collect();
    rig.run_in(name, "ip", &words).is_some_and(|done| done.status.success())
}

/// Gives a node's `eth0` an address.
pub fn inside(rig: &Rig, name: &str, address: &str) -> bool {
    ip_in(rig, name, "link set lo up")
        && ip_in(rig, name, "link set eth0 up")
        && ip_in(rig, name, &format!("addr add {address}/24 dev eth0"))
}

/// One megabyte of TCP from one namespace to the other and back.
pub fn talk(rig: &Rig, from: &str, to: &str, address: &str) {
    let listener = rig.within(to, || TcpListener::bind("0.0.0.0:7000").unwrap());
    let all: Vec<u8> = (0..1_000_000_u32).map(|number| (number / 7) as u8).collect();
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut came = vec![0; all.len()];
            stream.read_exact(&mut came).unwrap();
            stream.write_all(&came).unwrap();
        });
        let mut stream = rig.within(from, || {
            let address = format!("{address}:7000").parse().unwrap();
            TcpStream::connect_timeout(&address, PATIENCE).unwrap()
        });
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&all).unwrap();
        let mut came = vec![0; all.len()];
        stream.read_exact(&mut came).unwrap();
        server.join().unwrap();
        assert!(came == all, "the stream is damaged");
    });
}
