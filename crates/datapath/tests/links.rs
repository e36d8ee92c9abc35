//! Simulated links at a worker's ports, with a clock that the test moves.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lines;

use lines::{Line, Turning, add, alone};
use netloom_datapath::{Answer, Brain, Crew, LinkTotals, Question, TICK};
use netloom_mem::{Offload, PortNumber, Segmentation};
use netloom_nf::link::{self, Cable, Distribution, Fate, Loss, Medium, Occupied};
use netloom_nf::{Action, Program, Reason};
use netloom_table::{Field, Mask};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Port 1 to port 2 and back.
struct Pair;

impl Brain for Pair {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        let mut mask = Mask::default();
        mask.add(Field::IN_PORT);
        let to = 3 - question.key.get(Field::IN_PORT) as PortNumber;
        let program = Program::new(vec![Action::Output(to)], Reason::NoPorts);
        Answer { program, mask, rests: Vec::new(), changed: Vec::new(), token: 0, counted: false, keep: true }
    }
}

struct Rig {
    worker: Turning,
    crew: Crew,
    lines: Vec<(Line, Line)>,
    time: Arc<AtomicU64>,
}

impl Rig {
    fn new() -> Self {
        let time = Arc::new(AtomicU64::new(1));
        let (mut crew, worker) = alone(Box::new(Pair), &time);
        let lines = (1..=2).map(|number| add(&mut crew, number, usize::MAX)).collect();
        let rig = Self { worker, crew, lines, time };
        rig.turn();
        rig
    }

    fn turn(&self) -> usize {
        self.worker.lock().unwrap().turn()
    }

    fn cable(&mut self, port: PortNumber, cable: Cable) {
        self.crew.link(port, cable, SEED).unwrap();
        self.turn();
    }

    /// Lets a frame come, and takes turns until all is done that can be done at this time.
    fn come(&mut self, port: usize, frame: Vec<u8>, offload: Offload) {
        self.lines[port].0.put_with(frame, offload);
    }

    fn at(&mut self, now: u64) {
        self.time.store(now, Ordering::Relaxed);
        while self.turn() > 0 {}
    }

    /// What was dropped of a port's packets, for a reason.
    fn dropped(&self, port: PortNumber, reason: Reason) -> u64 {
        self.crew.totals(port).unwrap().lost(reason)
    }

    fn link(&self, port: PortNumber, side: usize) -> LinkTotals {
        self.crew.totals(port).unwrap().links[side]
    }

    fn out(&self, port: usize) -> Vec<(Vec<u8>, Offload)> {
        self.lines[port].1.take_with()
    }
}

const SEED: u64 = 99;

fn frame(number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x12, 0x34];
    frame.extend(number.to_be_bytes());
    frame.resize(length.max(18), 7);
    frame
}

fn share() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => 0..=1_000_000_u32]
}

prop_compose! {
    fn medium()(
        delay in prop_oneof![Just(0), 0..1_000_000_u64], jitter in prop_oneof![Just(0), 0..100_000_u64],
        rate in prop_oneof![Just(0), 1_000_000..1_000_000_000_u64], loss in share(), duplicate in share(),
        corrupt in share(), reorder in share(), packets in prop_oneof![1..20_usize, Just(1000)],
    ) -> Medium {
        let (distribution, loss) = (Distribution::Normal, Loss::Random(loss));
        Medium { delay, jitter, distribution, rate, loss, duplicate, corrupt, reorder, packets, ..Medium::NOTHING }
    }
}

/// The tick in which a frame must have left.
fn tick(time: u64) -> u64 {
    time.div_ceil(1 << TICK)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    /// What comes out is what the line alone says, neither too early nor later than a tick, octet for octet; whichever
    /// side of a port the link is on.
    #[test]
    fn frames_leave_as_the_line_says(
        medium in medium(), inward in any::<bool>(),
        packets in proptest::collection::vec((prop_oneof![Just(0), 0..100_000_u64], 18..1500_usize), 1..120),
    ) {
        let mut rig = Rig::new();
        let (port, seed) = if inward { (1, SEED) } else { (2, SEED.rotate_left(32) ^ 1) };
        let cable = if inward {
            Cable { inward: medium, ..Cable::default() }
        } else {
            Cable { outward: medium, ..Cable::default() }
        };
        rig.cable(port, cable);
        let (mut line, mut occupied) = (link::Line::new(medium, seed), Occupied::default());
        // By tick, then by the order of sending.
        let mut due: Vec<(u64, usize, Vec<u8>)> = Vec::new();
        let (mut now, mut lost, mut order) = (1, 0, 0);
        // The rig's last frames leave after all others came.
        let waits = packets.iter().map(|packet| packet.0).chain(std::iter::repeat_n(100_000, 60));
        let mut packets = packets.iter().enumerate().map(|(number, packet)| frame(number as u32, packet.1));
        for wait in waits {
            now += wait;
            // Those that arrive make room first, as the worker takes them before it looks at its ports.
            rig.at(now);
            let mut wanted = Vec::new();
            due.retain(|(tick, order, octets)| {
                let stays = *tick > now >> TICK;
                if !stays {
                    line.arrived(octets.len());
                    wanted.push((*tick, *order, octets.clone()));
                }
                stays
            });
            if !medium.is_nothing() {
                wanted.sort();
                let wanted: Vec<Vec<u8>> = wanted.into_iter().map(|(.., octets)| octets).collect();
                let out: Vec<Vec<u8>> = rig.out(1).into_iter().map(|(octets, _)| octets).collect();
                prop_assert_eq!(out, wanted);
            }
            let Some(octets) = packets.next() else { continue };
            rig.come(0, octets.clone(), Offload::NONE);
            rig.time.store(now, Ordering::Relaxed);
            rig.turn();
            if medium.is_nothing() {
                prop_assert_eq!(rig.out(1), [(octets, Offload::NONE)]);
                continue;
            }
            match line.send(octets.len(), now, &mut occupied) {
                Fate::Lost(_) => lost += 1,
                Fate::Arrives { at, wrong, again, .. } => {
                    let mut octets = octets;
                    if let Some(bit) = wrong {
                        octets[(bit / 8) as usize] ^= 1 << (bit % 8);
                    }
                    for at in [Some(at), again].into_iter().flatten() {
                        order += 1;
                        due.push((tick(at).max(now >> TICK), order, octets.clone()));
                    }
                }
            }
        }
        let last = due.iter().map(|(tick, ..)| *tick).max().unwrap_or(0);
        rig.at((last << TICK).max(now));
        due.sort();
        let out: Vec<Vec<u8>> = rig.out(1).into_iter().map(|(octets, _)| octets).collect();
        prop_assert_eq!(out, due.into_iter().map(|(.., octets)| octets).collect::<Vec<_>>());
        prop_assert_eq!(rig.dropped(1, Reason::Lossy) + rig.dropped(1, Reason::LinkFull), lost);
        let count = rig.link(port, usize::from(!inward));
        prop_assert_eq!(count.lost + count.full, lost);
    }
}

#[test]
fn both_directions_of_a_half_duplex_cable_share_its_rate() {
    // 8 Mbit/s: a frame of 1000 octets takes a millisecond.
    let medium = Medium { rate: 8_000_000, ..Medium::NOTHING };
    for (half_duplex, together) in [(false, 10), (true, 5)] {
        let mut rig = Rig::new();
        rig.cable(1, Cable { inward: medium, outward: medium, half_duplex });
        for number in 0..100 {
            rig.come(0, frame(number, 1000), Offload::NONE);
            rig.come(1, frame(number, 1000), Offload::NONE);
        }
        rig.at(1);
        for step in 1..=100 {
            rig.at(step * 100_000 + 5000);
        }
        // The first in went when the line was free for it.
        let (there, back) = (rig.out(1).len(), rig.out(0).len());
        assert!(there.abs_diff(together) <= 1 || half_duplex, "{there}");
        assert!(there + back <= 2 * together + 1 && there + back >= 2 * together - 1, "{there} {back}");
    }
}

#[test]
fn a_simplex_link_carries_one_direction() {
    let mut rig = Rig::new();
    let closed = Medium { closed: true, ..Medium::NOTHING };
    rig.cable(2, Cable { inward: closed, ..Cable::default() });
    rig.come(0, frame(1, 60), Offload::NONE);
    rig.come(1, frame(2, 60), Offload::NONE);
    rig.at(10_000);
    assert_eq!((rig.out(1).len(), rig.out(0).len()), (1, 0));
    assert_eq!(rig.dropped(2, Reason::Simplex), 1);
}

#[test]
fn a_large_frame_travels_as_packets_and_an_open_checksum_stays_open() {
    let mut rig = Rig::new();
    rig.cable(2, Cable { outward: Medium { delay: 1_000_000, ..Medium::NOTHING }, ..Cable::default() });
    // IPv4 and TCP, three segments.
    let mut octets = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    octets.extend([0x45, 0, (3040_u32 >> 8) as u8, 3040_u32 as u8, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    octets.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    octets.extend([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    octets.resize(54 + 3000, 1);
    let offload = Offload {
        partial: true,
        start: 34,
        offset: 16,
        segmentation: Segmentation::Tcp4,
        size: 1000,
        headers: 54,
        ..Offload::NONE
    };
    rig.come(0, octets.clone(), offload);
    let open = Offload { segmentation: Segmentation::None, size: 0, ..offload };
    rig.come(0, octets[..54].to_vec(), open);
    rig.at(10);
    assert!(rig.out(1).is_empty());
    rig.at(2_000_000);
    let out = rig.out(1);
    assert_eq!(out.iter().map(|(octets, _)| octets.len()).collect::<Vec<_>>(), [1054, 1054, 1054, 54]);
    assert_eq!(rig.link(2, 1).packets, 4);
}

#[test]
fn what_is_under_way_is_not_overtaken_when_the_link_goes_and_is_bounded() {
    let mut rig = Rig::new();
    let outward = Medium { delay: 10_000_000, packets: 3, ..Medium::NOTHING };
    rig.cable(2, Cable { outward, ..Cable::default() });
    for number in 0..5 {
        rig.come(0, frame(number, 60), Offload::NONE);
    }
    rig.at(100);
    assert_eq!(rig.dropped(1, Reason::LinkFull), 2);
    assert_eq!(rig.crew.totals(2).unwrap().unsent, 2);
    rig.cable(2, Cable::default());
    rig.at(5_000_000);
    rig.come(0, frame(9, 60), Offload::NONE);
    rig.at(5_000_001);
    assert!(rig.out(1).is_empty());
    rig.at(10_010_000);
    let numbers: Vec<u8> = rig.out(1).iter().map(|(octets, _)| octets[17]).collect();
    assert_eq!(numbers, [0, 1, 2, 9]);
    // The link is gone with what was on it, and frames go straight on.
    rig.at(1_200_000_000);
    rig.come(0, frame(10, 60), Offload::NONE);
    rig.turn();
    assert_eq!(rig.out(1).len(), 1);
    // What the switch itself says takes the same way.
    rig.cable(2, Cable { outward, ..Cable::default() });
    rig.crew.inject(2, frame(11, 60)).unwrap();
    rig.at(1_200_000_100);
    assert!(rig.out(1).is_empty());
    rig.at(1_210_010_000);
    assert_eq!(rig.out(1).len(), 1);
}
