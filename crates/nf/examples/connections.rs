//! What a packet of a tracked connection costs, and what a connection takes.
//!
//! `cargo run --release -p netloom-nf --example connections -- CONNECTIONS PACKETS [WORKERS] [KIND]` prints nanoseconds
//! for each packet and octets for each connection. KIND: `batch` (32 packets at once), `single`, `asked` (one by one, after
//! `ask_for`), `nat` (a batch of translated ones), `six` (IPv6). With several workers each has packets of its own.

use netloom_mem::{BATCH, Batch, Offload};
use netloom_nf::conntrack::{Connect, CtVerdict, Nat, NatRange, Passing, Tracked, Tracker, state};
use netloom_table::Key;
use netloom_table::key::{Layers, extract};
use netloom_wire::IpProtocol;
use netloom_wire::checksum::{PseudoHeader, internet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

const SYN: u8 = 2;
const ACK: u8 = 0x10;

/// A TCP segment of connection `number`: of who began it, or an answer.
fn frame(number: u32, back: bool, flags: u8, six: bool, translated: bool) -> Vec<u8> {
    let client = Ipv4Addr::from_bits(0x0a00_0000 + number / 50_000);
    let server = Ipv4Addr::new(192, 0, 2, 1);
    // Translated, clients keep their ports and get an address each.
    let client = if translated && back { Ipv4Addr::from_bits(0xcb00_0000 + number / 50_000) } else { client };
    let (client_port, server_port) = (1024 + (number % 50_000) as u16, 80_u16);
    let mut rest = Vec::new();
    let (from, to) = if back { (server_port, client_port) } else { (client_port, server_port) };
    rest.extend(from.to_be_bytes());
    rest.extend(to.to_be_bytes());
    let numbers = match (back, flags & SYN != 0) {
        (false, true) => (100_u32, 0_u32),
        (true, true) => (500, 101),
        (false, false) => (101, 501),
        (true, false) => (501, 101),
    };
    rest.extend(numbers.0.to_be_bytes());
    rest.extend(numbers.1.to_be_bytes());
    rest.extend([0x50, flags, 0x40, 0, 0, 0, 0, 0]);
    let mut frame = vec![0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2];
    let (source, destination) = if back { (server, client) } else { (client, server) };
    let wide = |address: Ipv4Addr| Ipv6Addr::from_bits(0xfd00_u128 << 112 | u128::from(address.to_bits()));
    let pseudo = if six {
        PseudoHeader::v6(wide(source), wide(destination))
    } else {
        PseudoHeader::v4(source, destination)
    };
    let checksum = pseudo.sum(IpProtocol(6), 20).bytes(&rest).checksum();
    rest[16..18].copy_from_slice(&checksum.to_be_bytes());
    if six {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
        frame.extend(wide(source).octets());
        frame.extend(wide(destination).octets());
    } else {
        frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
        frame.extend(source.octets());
        frame.extend(destination.octets());
        let checksum = internet(&frame[14..34]);
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    }
    frame.extend(rest);
    frame
}

struct Lane {
    batch: Batch,
    keys: Vec<Key>,
    layers: [Layers; BATCH],
    tracked: [Tracked; BATCH],
}

impl Lane {
    fn new() -> Self {
        Self {
            batch: Batch::new(),
            keys: vec![Key::default(); BATCH],
            layers: [Layers::default(); BATCH],
            tracked: [Tracked::default(); BATCH],
        }
    }

    /// Fills the batch.
    fn load<'a>(&mut self, frames: impl Iterator<Item = &'a [u8]>) {
        self.batch.clear();
        for (index, frame) in frames.take(BATCH).enumerate() {
            self.batch.push(1, frame, Offload::NONE);
            self.layers[index] = extract(self.batch.head(index), frame.len(), 1, &mut self.keys[index]);
            self.tracked[index] = Tracked::default();
        }
    }

    /// Sends it through the tracker, and gives how many packets were of established connections.
    fn track(&mut self, tracker: &Tracker, request: &Connect, now: u64, single: bool, asked: bool) -> usize {
        if asked {
            tracker.ask_for(self.keys.iter().take(self.batch.len()), request.zone);
        }
        let mut turn = tracker.turn();
        let count = self.batch.len();
        let mut packets: Vec<Passing<'_>> = Vec::with_capacity(BATCH);
        for (index, (key, tracked)) in self.keys.iter_mut().zip(&mut self.tracked).enumerate().take(count) {
            let verdict = CtVerdict::default();
            packets.push(Passing { index, key, layers: self.layers[index], tracked, verdict });
        }
        if single {
            drop(turn);
            for packet in &mut packets {
                tracker.turn().process(&mut self.batch, packet, request, now);
            }
        } else {
            turn.process_batch(&mut self.batch, &mut packets, request, now);
        }
        packets.iter().filter(|packet| packet.verdict.state & state::ESTABLISHED != 0).count()
    }
}

/// Octets of memory of this process.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|word| word.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

/// Nanoseconds that this thread was on a processor: others of the machine do not count.
fn on_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: usize| match arguments.next() {
        Some(text) => text.parse::<usize>(),
        None => Ok(otherwise),
    };
    let (connections, packets, workers) = (number(1000)? as u32, number(10_000_000)?, number(1)?);
    let kind = std::env::args().nth(4).unwrap_or_else(|| "batch".to_owned());
    let (six, nat, asked) = (kind == "six", kind == "nat", kind == "asked");
    let single = kind == "single" || asked;
    let tracker = Tracker::new(workers, 0x1234_5678_9abc_def0, 0);
    tracker.set_most(u32::MAX);
    let outside = |last: u32| IpAddr::V4(Ipv4Addr::from_bits(0xcb00_0000 + last));
    let begin = |number: u32| {
        let range = NatRange {
            addresses: Some((outside(number / 50_000), outside(number / 50_000))),
            ..NatRange::default()
        };
        Connect { commit: true, nat: nat.then_some(Nat::Source(range)), ..Connect::default() }
    };
    let known = Connect { nat: nat.then_some(Nat::Known), ..Connect::default() };
    let before = resident();
    let mut lane = Lane::new();
    let began = Instant::now();
    for number in 0..connections {
        let syn = frame(number, false, SYN, six, nat);
        lane.load(std::iter::once(&*syn));
        lane.track(&tracker, &begin(number), 0, false, false);
        let answer = frame(number, true, SYN | ACK, six, nat);
        lane.load(std::iter::once(&*answer));
        assert_eq!(lane.track(&tracker, &known, 0, false, false), 1);
    }
    let made = began.elapsed();
    let (census, grown) = (tracker.census(), resident() - before);
    println!(
        "{} connections in {made:?}: {} octets each, {} with timers, as the system sees it",
        census.connections,
        census.octets / connections as usize,
        grown / connections as usize
    );
    let frames = connections.min(2_000_000);
    std::thread::scope(|scope| {
        for worker in 0..workers as u32 {
            let (tracker, known) = (&tracker, &known);
            scope.spawn(move || {
                let own = frames / workers as u32;
                // In an order in which no two that follow each other are neighbours in memory.
                let place =
                    |index: u32| worker * own + (u64::from(index) * 7_368_787 % u64::from(own)) as u32;
                let list: Vec<Vec<u8>> =
                    (0..own).map(|index| frame(place(index), index % 2 == 1, ACK, six, nat)).collect();
                let mut lane = Lane::new();
                let mut from = 0;
                let mut pass = |tracks: bool| {
                    let (mut counted, mut good, began) = (0, 0, on_processor());
                    while counted < packets {
                        lane.load((from..from + BATCH).map(|index| &*list[index % list.len()]));
                        from = (from + BATCH) % list.len();
                        good += if tracks {
                            lane.track(tracker, known, 1, single, asked)
                        } else {
                            lane.batch.len()
                        };
                        counted += BATCH;
                    }
                    assert_eq!(good, counted);
                    (on_processor() - began) as f64 / counted as f64
                };
                let (loading, both) = (pass(false), pass(true));
                println!(
                    "worker {worker}: {:.1} ns for each packet, beside {loading:.1} to make and read it",
                    both - loading
                );
            });
        }
    });
    Ok(())
}
