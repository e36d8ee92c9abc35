//! Ports of workers that are shaped or policed, with a clock that the test moves.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lines;

use lines::Line;
use netloom_datapath::{
    Answer, Brain, Crew, FlowBounds, PortQueues, Question, QueueTotals, Shaping, Worker, crew,
};
use netloom_mem::{Offload, PortNumber, Segmentation};
use netloom_nf::link::{Cable, Medium};
use netloom_nf::shaper::{FRAMES, QueueRates, Rates};
use netloom_nf::{Action, Policing, Program, Reason, TwoRatesSettings};
use netloom_table::{Field, Mask};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const SECOND: u64 = 1_000_000_000;
/// The port that is shaped.
const OUT: PortNumber = 9;

/// Everything leaves by one port, for the queue that the last octet of the destination names; and once more through a
/// program of its own for the queue before, where the octet before says so.
struct Sorter;

impl Brain for Sorter {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        let mut mask = Mask::default();
        mask.add(Field::IN_PORT);
        mask.add(Field::ETH_DST);
        let to = question.key.get(Field::ETH_DST);
        let (queue, twice) = (to as u32 & 0xff, to >> 8 & 1 == 1);
        let mut actions = vec![Action::Queue(queue)];
        if twice {
            let inside = vec![Action::Queue(queue - 1), Action::Output(OUT)];
            actions.push(Action::Clone(Arc::new(Program::new(inside, Reason::NoPorts))));
        }
        actions.push(Action::Output(OUT));
        let program = Program::new(if queue == 0 { actions.split_off(1) } else { actions }, Reason::NoPorts);
        Answer { program, mask, rests: Vec::new(), changed: Vec::new(), token: 0, counted: false, keep: true }
    }
}

fn frame(queue: u8, number: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, queue, 2, 0, 0, 0, 0, 1, 0x12, 0x34];
    frame.extend(number.to_be_bytes());
    frame.resize(length.max(18), 7);
    frame
}

fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[14..18].try_into().unwrap())
}

struct Rig {
    workers: Vec<Arc<Mutex<Worker>>>,
    crew: Crew,
    /// What comes in, by worker.
    inward: Vec<Line>,
    outward: Line,
    time: Arc<AtomicU64>,
}

impl Rig {
    /// So many workers, with a port each to receive from. The first has the one to send to.
    fn new(size: usize) -> Self {
        let time = Arc::new(AtomicU64::new(1));
        let (mut crew, sides) = crew(size).unwrap();
        let worker = |side| {
            let clock = time.clone();
            let clock = Box::new(move || clock.load(Ordering::Relaxed));
            Arc::new(Mutex::new(Worker::new(side, Box::new(Sorter), FlowBounds::default(), 3, clock)))
        };
        let workers: Vec<_> = sides.into_iter().map(worker).collect();
        let turning = workers.clone();
        crew.meanwhile(move || {
            for worker in &turning {
                worker.lock().unwrap().turn();
            }
        });
        let (outward, mut inward) = (Line::default(), Vec::new());
        for place in 0..size {
            let line = Line::default();
            let number = place as PortNumber + 1;
            crew.add(PortQueues::new(number, vec![line.inlet(number)], Vec::new())).unwrap();
            inward.push(line);
        }
        crew.add(PortQueues::new(OUT, Vec::new(), vec![outward.outlet(usize::MAX)])).unwrap();
        let rig = Self { workers, crew, inward, outward, time };
        rig.turn();
        rig
    }

    fn turn(&self) -> usize {
        self.workers.iter().map(|worker| worker.lock().unwrap().turn()).sum()
    }

    fn at(&self, now: u64) {
        self.time.store(now, Ordering::Relaxed);
        while self.turn() > 0 {}
    }

    /// Goes on to a time by milliseconds: a turn that is later than five loses rate.
    fn until(&self, until: u64) {
        let mut now = self.time.load(Ordering::Relaxed);
        while now < until {
            now = (now + 1_000_000).min(until);
            self.at(now);
        }
    }

    fn shape(&mut self, shaping: Option<Shaping>) {
        self.crew.shape(OUT, shaping).unwrap();
        self.turn();
    }

    fn totals(&self) -> BTreeMap<u32, QueueTotals> {
        self.crew.handle().queue_totals(OUT).unwrap().into_iter().collect()
    }
}

fn rates(rate: u64, queues: &[(u32, u64, u64, u32)]) -> Shaping {
    let queue = |(number, guaranteed, limit, priority): &(u32, u64, u64, u32)| {
        (
            *number,
            QueueRates { guaranteed: *guaranteed, limit: *limit, burst: 1600, priority: *priority, share: 1 },
        )
    };
    Shaping::Queues(Rates { rate, queues: queues.iter().map(queue).collect() })
}

/// Octets of each queue.
fn sums(frames: &[Vec<u8>]) -> BTreeMap<u8, u64> {
    let mut sums = BTreeMap::new();
    for frame in frames {
        *sums.entry(frame[5]).or_default() += frame.len() as u64;
    }
    sums
}

fn keeps_order(frames: &[Vec<u8>]) -> bool {
    let mut last = BTreeMap::new();
    frames
        .iter()
        .all(|frame| last.insert(frame[5], number(frame)).is_none_or(|before| before < number(frame)))
}

#[test]
fn two_queues_have_their_rates() {
    for workers in [1, 2] {
        let mut rig = Rig::new(workers);
        rig.shape(Some(rates(10_000_000, &[(1, 1_000_000, 2_000_000, 0), (2, 1_000_000, 0, 0)])));
        let mut order = 0;
        // Twice as much as may leave, for the queue 1 through each worker; and the queue 2 through the last.
        let mut out = Vec::new();
        for millisecond in 0..2000_u64 {
            for line in &rig.inward {
                order += 1;
                line.put(frame(1, order, 1000));
            }
            for _ in 0..3 {
                order += 1;
                rig.inward[workers - 1].put(frame(2, order, 1000));
            }
            rig.at(1 + millisecond * 1_000_000);
            if millisecond == 1000 {
                rig.outward.take();
            }
        }
        out.extend(rig.outward.take());
        let sums = sums(&out);
        let near = |queue, wanted: u64| sums[&queue].abs_diff(wanted) <= wanted / 50;
        assert!(near(1, 250_000) && near(2, 1_000_000), "{workers}: {sums:?}");
        // Workers do not wait for each other, so what comes by two has no order.
        assert!(workers > 1 || keeps_order(&out));
        let totals = rig.totals();
        assert!(totals[&1].lost > 0 && totals[&2].lost > 0 && totals[&0] == QueueTotals::default());
        assert_eq!(totals[&2].packets * 1000, totals[&2].octets);
        let lost: u64 =
            (1..=workers as u32).map(|port| rig.crew.totals(port).unwrap().lost(Reason::ShaperFull)).sum();
        assert_eq!(lost, totals[&1].lost + totals[&2].lost);
        assert_eq!(rig.crew.totals(OUT).unwrap().unsent, lost);
    }
}

#[test]
fn what_is_within_its_rate_does_not_wait() {
    let mut rig = Rig::new(1);
    rig.shape(Some(rates(8_000_000, &[(1, 0, 0, 0)])));
    for turn in 0..100 {
        rig.inward[0].put(frame(1, turn, 1000));
        rig.at(1 + u64::from(turn) * 1_000_000);
        assert_eq!(rig.outward.take().len(), 1);
        assert!(!rig.workers[0].lock().unwrap().waits());
    }
}

#[test]
fn queues_of_programs_inside_programs() {
    let mut rig = Rig::new(1);
    rig.shape(Some(rates(1_000_000_000, &[(1, 0, 0, 0), (2, 0, 0, 0), (3, 0, 0, 0)])));
    let mut twice = frame(3, 1, 100);
    twice[4] = 1;
    rig.inward[0].put(twice);
    // One without a queue finds nothing left of the queue of the one before it.
    rig.inward[0].put(frame(0, 2, 100));
    rig.at(10);
    let counts: Vec<u64> = rig.totals().values().map(|totals| totals.packets).collect();
    assert_eq!(counts, [1, 0, 1, 1]);
}

#[test]
fn what_waits_leaves_when_shaping_ends_and_before_what_comes() {
    let mut rig = Rig::new(1);
    rig.shape(Some(rates(80_000, &[(1, 0, 0, 0)])));
    for turn in 0..200 {
        rig.inward[0].put(frame(1, turn, 1000));
    }
    rig.at(10);
    assert!(rig.outward.len() < 3);
    rig.crew.shape(OUT, None).unwrap();
    for turn in 200..300 {
        rig.inward[0].put(frame(1, turn, 1000));
    }
    rig.at(20);
    let out = rig.outward.take();
    assert!(out.len() == 300 && keeps_order(&out));
    assert_eq!(rig.crew.handle().queue_totals(OUT), None);
    // Another second later nothing of it is left.
    rig.at(20 + 2 * SECOND);
    rig.inward[0].put(frame(1, 1, 1000));
    rig.at(21 + 2 * SECOND);
    assert_eq!(rig.outward.take().len(), 1);
}

#[test]
fn counts_stay_when_rates_change() {
    let mut rig = Rig::new(1);
    rig.shape(Some(rates(80_000_000, &[(1, 0, 0, 0), (2, 0, 0, 0)])));
    for turn in 0..10 {
        rig.inward[0].put(frame(1, turn, 1000));
    }
    rig.at(SECOND);
    rig.shape(Some(rates(70_000_000, &[(1, 0, 0, 0), (3, 0, 0, 0)])));
    let totals = rig.totals();
    assert_eq!(totals[&1], QueueTotals { packets: 10, octets: 10_000, lost: 0 });
    assert_eq!(totals.keys().copied().collect::<Vec<_>>(), [0, 1, 3]);
    // A successor counts on.
    let mut next = Rig::new(1);
    next.shape(Some(rates(70_000_000, &[(1, 0, 0, 0)])));
    next.crew.count_queues_on(OUT, &rig.crew.handle().queue_totals(OUT).unwrap());
    assert_eq!(next.totals()[&1].packets, 10);
}

#[test]
fn a_port_that_goes_takes_what_waits_with_it() {
    let mut rig = Rig::new(2);
    rig.shape(Some(rates(80_000, &[(1, 0, 0, 0)])));
    for turn in 0..200 {
        rig.inward[1].put(frame(1, turn, 1000));
    }
    rig.at(10);
    let (mut port, _) = rig.crew.remove(OUT).unwrap();
    rig.at(30 * SECOND);
    let before = rig.outward.take().len();
    assert!(before < 3 && rig.workers.iter().all(|worker| !worker.lock().unwrap().waits()));
    // It comes back, and is shaped as before.
    port.send = vec![rig.outward.outlet(usize::MAX)];
    rig.crew.add(port).unwrap();
    rig.turn();
    for turn in 0..200 {
        rig.inward[1].put(frame(1, turn, 1000));
    }
    rig.at(60 * SECOND);
    assert!(rig.outward.take().len() < 3);
    rig.until(70 * SECOND);
    assert!(rig.outward.take().len() >= 99);
}

fn segment(length: usize) -> (Vec<u8>, Offload) {
    let mut octets = frame(1, 0, 14);
    octets.truncate(14);
    octets[12..14].copy_from_slice(&[8, 0]);
    octets.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    octets.extend([0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    octets.resize(length, 3);
    let total = (length - 14) as u16;
    octets[16..18].copy_from_slice(&total.to_be_bytes());
    let offload = Offload {
        segmentation: Segmentation::Tcp4,
        size: 1448,
        start: 34,
        partial: true,
        offset: 16,
        ..Offload::NONE
    };
    (octets, offload)
}

#[test]
fn large_segments_are_cut_where_they_exceed_a_burst() {
    let mut rig = Rig::new(1);
    rig.shape(Some(rates(10_000_000, &[(1, 0, 0, 0)])));
    let (octets, offload) = segment(60_000);
    rig.inward[0].put_with(octets, offload);
    rig.at(10);
    rig.until(SECOND);
    let out = rig.outward.take();
    assert!(out.len() > 40 && out.iter().all(|frame| frame.len() <= 1514));
    assert_eq!(rig.totals()[&1].packets, out.len() as u64);
    // At a fast port they are asked for in one piece.
    let mut rig = Rig::new(1);
    rig.shape(Some(rates(10_000_000_000, &[(1, 0, 0, 0)])));
    let (octets, offload) = segment(60_000);
    rig.inward[0].put_with(octets, offload);
    rig.at(10);
    assert_eq!(rig.totals()[&1], QueueTotals { packets: 1, octets: 60_000, lost: 0 });
}

#[test]
fn a_policer_drops_what_is_over_its_rate() {
    let mut rig = Rig::new(1);
    let committed = |cir| TwoRatesSettings { cir, cbs: 2000, eir: 0, ebs: 0 };
    let queues = vec![(0, committed(100_000)), (1, committed(50_000))];
    rig.shape(Some(Shaping::Police(Policing { port: committed(120_000), queues })));
    let mut order = 0;
    for millisecond in 0..1000_u64 {
        for queue in [1, 1, 2] {
            order += 1;
            rig.inward[0].put(frame(queue, order, 514));
        }
        rig.at(1 + millisecond * 1_000_000);
        assert!(!rig.workers[0].lock().unwrap().waits());
    }
    // Octets without their Ethernet headers.
    let out = rig.outward.take();
    let passed: u64 = out.iter().map(|frame| frame.len() as u64 - 14).sum();
    assert!(passed.abs_diff(120_000) <= 3000, "{passed}");
    assert!(sums(&out)[&1] <= 54_000);
    assert_eq!(rig.crew.totals(1).unwrap().lost(Reason::Rate), 3000 - out.len() as u64);
}

#[test]
fn a_link_comes_after_the_shaper() {
    let mut rig = Rig::new(1);
    let outward = Medium { delay: 5_000_000, ..Medium::NOTHING };
    rig.crew.link(OUT, Cable { outward, ..Cable::default() }, 1).unwrap();
    rig.shape(Some(rates(8_000_000, &[(1, 0, 0, 0)])));
    for turn in 0..20 {
        rig.inward[0].put(frame(1, turn, 1000));
    }
    // A millisecond for each, but for the first six: a burst of five milliseconds, and one that overdraws it.
    rig.at(10);
    for millisecond in 1..=40_u64 {
        rig.at(5010 + millisecond * 1_000_000);
        let wanted = (millisecond + 6).saturating_sub(5).min(20) as usize;
        let wanted = if millisecond < 5 { 0 } else { wanted };
        assert!(rig.outward.len().abs_diff(wanted) <= 1, "{millisecond}: {}", rig.outward.len());
    }
    assert!(rig.outward.len() == 20 && keeps_order(&rig.outward.take()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    /// Whatever comes, and however the port is shaped meanwhile: what does not come out was counted as lost, and order
    /// within a queue is kept.
    #[test]
    fn nothing_is_lost_without_a_count(
        steps in proptest::collection::vec((0..6_u8, 0..5_u8, 1..400_usize, 0..5_000_000_u64), 1..60),
    ) {
        let mut rig = Rig::new(1);
        let (mut now, mut order) = (1, 0);
        for (step, queue, count, wait) in steps {
            match step {
                0 => {
                    // The queues stay the same: those of another number would go on elsewhere, and be overtaken.
                    let guaranteed = |other| if other == u32::from(queue) { 500_000 } else { 0 };
                    let queues: Vec<_> = (1..5).map(|other| (other, guaranteed(other), 900_000, other % 2)).collect();
                    rig.shape(Some(rates(1_000_000 * count as u64, &queues)));
                }
                1 => rig.shape(None),
                _ => for _ in 0..count {
                    order += 1;
                    rig.inward[0].put(frame(queue, order, 60 + count));
                },
            }
            now += wait;
            rig.at(now);
        }
        rig.shape(None);
        rig.at(now + SECOND);
        let out = rig.outward.take();
        let lost = rig.crew.totals(1).unwrap().lost(Reason::ShaperFull);
        // Those that a change found without room are the only ones that nobody counts.
        prop_assert!(out.len() as u64 + lost <= u64::from(order));
        prop_assert!(out.len() as u64 + lost + 5 * FRAMES as u64 >= u64::from(order));
        prop_assert!(keeps_order(&out));
    }
}
