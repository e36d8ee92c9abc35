//! The same conversations through the kernel's connection tracking (a router in a namespace) and through this one.
//!
//! Where the two are meant to differ: the kernel calls a connection new until an answer came, whatever its first end sends;
//! Open vSwitch in user space, and so this one, calls what follows a picked-up TCP connection's first segment established.
//! Conversations here begin with their first packet.

use crate::against_ovs::Chance;
use crate::basic::commit;
use crate::packets::*;
use netloom_nf::conntrack::{Tracker, state};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

struct Kernel {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kernel {
    fn start() -> Option<Self> {
        let spawned = Command::new("unshare")
            .args(["-rn", "python3", "-c", include_str!("kernel.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            netloom_testkit::skip!("unshare is not installed");
            return None;
        };
        let (ask, answer) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        let mut kernel = Self { child, ask, answer };
        if kernel.line() != "ready" {
            netloom_testkit::skip!("no namespace with veth, nft and connection tracking, or no python3");
            return None;
        }
        Some(kernel)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.answer.read_line(&mut line);
        line.trim().to_owned()
    }

    /// What the kernel thinks of a packet, as bits of ours.
    fn judge(&mut self, packet: &Packet) -> Option<u32> {
        let side = if packet.source.to_string().starts_with("10.0.0.") { "a" } else { "b" };
        let hex: String = packet.ip().iter().map(|octet| format!("{octet:02x}")).collect();
        writeln!(self.ask, "{side} {hex}").unwrap();
        let bits = match self.line().parse::<u32>().ok()? {
            1 => state::NEW,
            2 => state::ESTABLISHED,
            3 => state::ESTABLISHED | state::REPLY,
            4 => state::RELATED,
            5 => state::RELATED | state::REPLY,
            6 => state::INVALID,
            other => panic!("{other}"),
        };
        Some(bits | state::TRACKED)
    }
}

/// One end of a conversation.
#[derive(Clone, Copy, Default)]
struct End {
    /// What it sends next.
    next: u32,
    closed: bool,
}

/// Makes a conversation: a handshake, data both ways, segments that do not belong, an end.
fn conversation(chance: &mut Chance, port: u16) -> Vec<(&'static str, Packet)> {
    let (a, b) = (("10.0.0.1", port), ("10.0.1.9", 80));
    let mut ends = [End { next: 1000, closed: false }, End { next: 7_000_000, closed: false }];
    let scaled = chance.next(2) == 0;
    let options: &[u8] = if scaled { &[3, 3, 7, 0] } else { &[] };
    let mut list = Vec::new();
    let window = 5000;
    list.push(("syn", tcp_full(a, b, SYN, (999, 0), window, options, b"")));
    if chance.next(4) == 0 {
        list.push(("syn again", tcp_full(a, b, SYN, (999, 0), window, options, b"")));
    }
    if chance.next(8) == 0 {
        list.push(("refused", tcp_full(b, a, RST | ACK, (0, 1000), 0, &[], b"")));
        return list;
    }
    list.push(("syn ack", tcp_full(b, a, SYN | ACK, (6_999_999, 1000), window, options, b"")));
    list.push(("ack", tcp_full(a, b, ACK, (1000, 7_000_000), window, &[], b"")));
    for _ in 0..chance.next(12) {
        let who = chance.next(2) as usize;
        let (from, to) = if who == 0 { (a, b) } else { (b, a) };
        let (own, other) = (ends[who], ends[1 - who]);
        let payload = vec![b'x'; chance.of(&[1, 100, 1000])];
        match chance.next(8) {
            0 => {
                let far = own.next.wrapping_add(chance.of(&[900_000_000, 0x8000_0000]));
                list.push(("far ahead", tcp_full(from, to, ACK, (far, other.next), window, &[], &payload)));
            }
            1 => {
                let old = chance.of(&[1, 500]);
                let again = own.next.wrapping_sub(old);
                list.push((
                    "again",
                    tcp_full(from, to, ACK, (again, other.next), window, &[], &payload[..1]),
                ));
            }
            2 => {
                let wrong = other.next.wrapping_add(800_000_000);
                list.push((
                    "acknowledges the future",
                    tcp_full(from, to, ACK, (own.next, wrong), window, &[], &payload),
                ));
            }
            3 => list
                .push(("nonsense", tcp_full(from, to, SYN | FIN, (own.next, other.next), window, &[], b""))),
            _ => {
                list.push((
                    "data",
                    tcp_full(from, to, PSH | ACK, (own.next, other.next), window, &[], &payload),
                ));
                ends[who].next = own.next.wrapping_add(payload.len() as u32);
                let back = tcp_full(to, from, ACK, (other.next, ends[who].next), window, &[], b"");
                list.push(("its ack", back));
            }
        }
        if chance.next(6) == 0 {
            let quoted = list.last().map(|(_, packet)| packet.clone()).unwrap();
            let (from, to) = (quoted.destination.to_string(), quoted.source.to_string());
            if quoted.rest[13] == ACK || quoted.rest[13] == PSH | ACK {
                list.push(("error", icmp(&from, &to, 3, 1, [0; 4], &quoted.ip())));
            }
        }
    }
    if chance.next(4) == 0 {
        list.push(("reset", tcp_full(a, b, RST | ACK, (ends[0].next, ends[1].next), 0, &[], b"")));
        return list;
    }
    let first = chance.next(2) as usize;
    for who in [first, 1 - first] {
        let (from, to) = if who == 0 { (a, b) } else { (b, a) };
        let numbers = (ends[who].next, ends[1 - who].next);
        list.push(("fin", tcp_full(from, to, FIN | ACK, numbers, window, &[], b"")));
        ends[who].next = ends[who].next.wrapping_add(1);
        ends[who].closed = true;
        let numbers = (ends[1 - who].next, ends[who].next);
        list.push(("ack of fin", tcp_full(to, from, ACK, numbers, window, &[], b"")));
    }
    if ends.iter().all(|end| end.closed) && chance.next(2) == 0 {
        list.push(("anew", tcp_full(a, b, SYN, (900_000, 0), window, options, b"")));
        list.push(("answer anew", tcp_full(b, a, SYN | ACK, (5, 900_001), window, options, b"")));
    }
    list
}

fn datagrams(chance: &mut Chance, port: u16) -> Vec<(&'static str, Packet)> {
    let (a, b) = (("10.0.0.2", port), ("10.0.1.10", 53));
    let mut list = vec![("datagram", udp(a, b, b"question"))];
    for _ in 0..chance.next(5) {
        list.push(if chance.next(2) == 0 {
            ("more", udp(a, b, b"question"))
        } else {
            ("answer", udp(b, a, b"answer"))
        });
    }
    list.push(("unreachable", icmp("10.0.1.10", "10.0.0.2", 3, 3, [0; 4], &udp(a, b, b"question").ip())));
    list.push((
        "foreign error",
        icmp("10.0.1.10", "10.0.0.2", 3, 3, [0; 4], &udp(a, ("10.0.1.10", 54), b"").ip()),
    ));
    list.push(("echo", echo("10.0.0.2", "10.0.1.10", false, port)));
    list.push(("other echo reply", echo("10.0.1.10", "10.0.0.2", true, port ^ 1)));
    list.push(("echo reply", echo("10.0.1.10", "10.0.0.2", true, port)));
    list.push(("echo", echo("10.0.0.2", "10.0.1.10", false, port)));
    list
}

#[test]
fn conversations_get_the_verdicts_of_the_kernel() {
    let Some(mut kernel) = Kernel::start() else { return };
    let tracker = Tracker::new(1, 1, 0);
    let mut chance = Chance(1);
    let (mut agreed, mut differing) = (0, std::collections::BTreeMap::<String, usize>::new());
    for number in 0..120_u16 {
        let port = 10_000 + number * 2;
        let list =
            if number % 4 == 3 { datagrams(&mut chance, port) } else { conversation(&mut chance, port) };
        for (what, packet) in list {
            let Some(theirs) = kernel.judge(&packet) else { panic!("{what}: the kernel lost {packet:?}") };
            let ours = pass(&tracker, &packet, &commit(), 0).verdict.state;
            if ours == theirs {
                agreed += 1;
            } else {
                let text = format!("{what}: here {}, there {}", state_text(ours), state_text(theirs));
                *differing.entry(text).or_default() += 1;
            }
        }
    }
    println!("{agreed} packets as in the kernel; others: {differing:#?}");
    assert!(agreed > 1000 && differing.is_empty(), "{differing:#?}");
}
