//! A worker between ports of memory: what comes out, in which order, what is counted.

#![allow(clippy::unwrap_used, reason = "a test")]

mod lines;

use lines::{Line, Turning, add, alone};
use netloom_datapath::{Answer, Brain, Crew, FlowBounds, Question, Wishes};
use netloom_mem::PortNumber;
use netloom_nf::{Action, Program, Rate, Reason, Unit};
use netloom_table::{Field, Mask};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Sends by the last octet of the destination: to that port, tagged if the source's last octet is odd; 0 goes everywhere.
struct Simple {
    asked: Arc<AtomicU64>,
    keep: bool,
}

fn decide(destination: u64, source: u64) -> Program {
    let mut actions = Vec::new();
    if destination == 0 {
        actions.extend([Action::Output(1), Action::PushVlan { tpid: 0x8100, tci: 5 }, Action::Output(2)]);
    } else {
        if source % 2 == 1 {
            actions.push(Action::PushVlan { tpid: 0x8100, tci: source as u16 });
        }
        actions.push(Action::Output(destination as PortNumber));
    }
    Program::new(actions, Reason::NoPorts)
}

impl Brain for Simple {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut mask = Mask::default();
        mask.add_bits(Field::ETH_DST, 0xff);
        mask.add_bits(Field::ETH_SRC, 0xff);
        let program =
            decide(question.key.get(Field::ETH_DST) & 0xff, question.key.get(Field::ETH_SRC) & 0xff);
        Answer {
            program,
            mask,
            rests: vec![7],
            changed: Vec::new(),
            token: 0,
            counted: false,
            keep: self.keep,
        }
    }
}

struct Rig {
    worker: Turning,
    crew: Crew,
    lines: Vec<(Line, Line)>,
    asked: Arc<AtomicU64>,
    time: Arc<AtomicU64>,
}

impl Rig {
    fn turn(&self) {
        self.worker.lock().unwrap().turn();
    }

    fn lost(&self, port: PortNumber, reason: Reason) -> u64 {
        self.crew.totals(port).unwrap().lost(reason)
    }
}

fn rig(ports: u32, room: usize, keep: bool) -> Rig {
    let (asked, time) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(1)));
    let brain = Box::new(Simple { asked: asked.clone(), keep });
    let (mut crew, worker) = alone(brain, &time);
    let lines = (1..=ports).map(|number| add(&mut crew, number, room)).collect();
    let rig = Rig { worker, crew, lines, asked, time };
    rig.turn();
    rig
}

fn frame(destination: u8, source: u8, number: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, destination, 2, 0, 0, 0, 0, source, 0x12, 0x34];
    frame.extend(number.to_be_bytes());
    frame.resize(60, 0);
    frame
}

proptest! {
    #[test]
    fn every_packet_leaves_as_decided_and_flows_keep_their_order(
        packets in proptest::collection::vec((1_u8..4, 0_u8..6, 0_u8..4), 0..300),
        keep in any::<bool>(),
        turns in 1_usize..4,
    ) {
        let rig = rig(3, usize::MAX, keep);
        let mut wanted: Vec<Vec<Vec<u8>>> = vec![Vec::new(); 4];
        let mut lost = 0;
        for (number, (port, destination, source)) in packets.iter().enumerate() {
            let octets = frame(*destination, *source, number as u16);
            rig.lines[usize::from(*port) - 1].0.put(octets.clone());
            let mut changed = octets;
            for action in decide(u64::from(*destination), u64::from(*source)).actions() {
                match *action {
                    Action::PushVlan { tci, .. } => { changed.splice(12..12, [0x81, 0, (tci >> 8) as u8, tci as u8]); }
                    Action::Output(to) if to <= 3 => wanted[to as usize].push(changed.clone()),
                    Action::Output(_) => lost += 1,
                    _ => unreachable!(),
                }
            }
            if number % (packets.len() / turns + 1) == 0 {
                rig.turn();
            }
        }
        for _ in 0..packets.len() {
            rig.turn();
        }
        for (index, (inward, outward)) in rig.lines.iter().enumerate() {
            prop_assert_eq!(inward.len(), 0);
            let mut all = outward.take();
            // All that should come, and within a flow (two addresses and the port of entry) in order.
            let sorted = |frames: &mut Vec<Vec<u8>>| frames.sort();
            let mut want = wanted[index + 1].clone();
            for key in all.iter().map(|frame| frame[..12].to_vec()).collect::<std::collections::BTreeSet<_>>() {
                for port in 1..4_u8 {
                    let number = |frame: &Vec<u8>| {
                        let tag = if frame[12] == 0x81 { 4 } else { 0 };
                        u16::from_be_bytes([frame[14 + tag], frame[15 + tag]])
                    };
                    let numbers: Vec<u16> = all
                        .iter()
                        .filter(|frame| frame[..12] == key[..])
                        .map(number)
                        .filter(|number| packets[usize::from(*number)].0 == port)
                        .collect();
                    prop_assert!(numbers.is_sorted(), "{numbers:?}");
                }
            }
            sorted(&mut all);
            sorted(&mut want);
            prop_assert_eq!(all, want);
        }
        let dropped: u64 = (1..4).map(|port| rig.lost(port, Reason::PortGone)).sum();
        prop_assert_eq!(dropped, lost);
        if keep {
            let flows: std::collections::BTreeSet<_> = packets.iter().map(|(_, to, from)| (*to, *from)).collect();
            prop_assert_eq!(rig.asked.load(Ordering::Relaxed), flows.len() as u64);
        }
    }
}

#[test]
fn a_full_receiver_is_counted_and_its_frames_are_not_sent_later() {
    let rig = rig(2, 3, true);
    for number in 0..10 {
        rig.lines[0].0.put(frame(2, 2, number));
    }
    rig.turn();
    assert_eq!(rig.lines[1].1.len(), 3);
    let totals = rig.crew.totals(2).unwrap();
    assert_eq!((totals.sent, totals.sent_octets, totals.unsent), (3, 180, 7));
    let totals = rig.crew.totals(1).unwrap();
    assert_eq!((totals.received, totals.received_octets), (10, 600));
}

#[test]
fn flows_are_taken_back_when_what_they_rest_on_changes_and_when_they_are_idle() {
    let mut rig = rig(2, usize::MAX, true);
    let send = |rig: &mut Rig| {
        rig.lines[0].0.put(frame(2, 2, 1));
        rig.turn();
        rig.asked.load(Ordering::Relaxed)
    };
    assert_eq!((send(&mut rig), send(&mut rig)), (1, 1));
    rig.crew.changed(&[8]);
    assert_eq!(send(&mut rig), 1);
    rig.crew.changed(&[7]);
    assert_eq!(send(&mut rig), 2);
    rig.crew.changed_all();
    assert_eq!(send(&mut rig), 3);
    let flows = rig.crew.flows().unwrap().remove(0);
    assert_eq!((flows.len(), flows[0].packets, flows[0].octets), (1, 1, 60));
    rig.time.store(FlowBounds::default().idle + 2_000_000_000, Ordering::Relaxed);
    rig.turn();
    assert!(rig.crew.flows().unwrap()[0].is_empty());
}

/// Meters, copies to the brain, which answers, and a loss that is counted though copies left.
struct Protocol {
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Brain for Protocol {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        let mut mask = Mask::default();
        mask.add(Field::ETH_DST);
        let actions = match question.key.get(Field::ETH_DST) & 0xff {
            1 => vec![Action::Meter(9), Action::Output(2)],
            2 => vec![Action::Brain, Action::PushVlan { tpid: 0x8100, tci: 1 }, Action::Output(2)],
            _ => vec![Action::Output(2), Action::Lose(Reason::SamePort)],
        };
        let program = Program::new(actions, Reason::NoPorts);
        Answer { program, mask, rests: vec![7], changed: Vec::new(), token: 0, counted: false, keep: true }
    }

    fn heard(&mut self, port: PortNumber, octets: Vec<u8>, _: u64) -> Wishes {
        self.heard.lock().unwrap().push(octets);
        Wishes {
            changed: vec![7],
            changed_all: false,
            send: vec![(port, frame(0, 0, 77))],
            ..Wishes::default()
        }
    }
}

#[test]
fn meters_limits_and_what_is_for_the_brain() {
    let (heard, time) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::new(AtomicU64::new(1)));
    let (mut crew, worker) = alone(Box::new(Protocol { heard: heard.clone() }), &time);
    let lines: Vec<_> = (1..=2).map(|number| add(&mut crew, number, usize::MAX)).collect();
    let push = |crew: &Crew, destination: u8, count: u16| {
        for number in 0..count {
            lines[0].0.put(frame(destination, 1, number));
        }
        worker.lock().unwrap().turn();
        let lost = |reason: Reason| crew.totals(1).unwrap().lost(reason);
        let out: Vec<Vec<u8>> = lines[1].1.take();
        (out, lost(Reason::Storm), lost(Reason::SamePort), crew.totals(2).unwrap().unsent)
    };
    let rate = |per_second, burst| Rate { unit: Unit::Packets, per_second, burst };
    // No bucket of this number yet.
    assert_eq!(push(&crew, 1, 5).0.len(), 5);
    crew.meter(9, Some((rate(1000, 3), Reason::Storm))).unwrap();
    let (out, storm, ..) = push(&crew, 1, 5);
    assert_eq!((out.len(), storm), (3, 2));
    time.store(2_000_001, Ordering::Relaxed);
    let (out, storm, ..) = push(&crew, 1, 5);
    assert_eq!((out.len(), storm), (2, 5));
    crew.meter(9, None).unwrap();
    assert_eq!(push(&crew, 1, 5).0.len(), 5);
    // The brain gets it as it was before the tag; its answer leaves; what it wants taken back is.
    let (out, ..) = push(&crew, 2, 2);
    assert!(out.len() == 2 && out.iter().all(|frame| frame[12] == 0x81));
    assert_eq!(*heard.lock().unwrap(), [frame(2, 1, 0), frame(2, 1, 1)]);
    assert_eq!(lines[0].1.take(), [frame(0, 0, 77), frame(0, 0, 77)]);
    assert!(crew.flows().unwrap()[0].is_empty());
    let (out, _, same, _) = push(&crew, 3, 2);
    assert_eq!((out.len(), same), (2, 2));
    crew.limit(2, Some(Rate { unit: Unit::Octets, per_second: 60, burst: 130 })).unwrap();
    let (out, .., unsent) = push(&crew, 1, 4);
    assert_eq!((out.len(), unsent), (2, 2));
    // What the switch itself says is not held back.
    crew.inject(2, frame(2, 2, 5)).unwrap();
    assert_eq!(push(&crew, 1, 0).0, [frame(2, 2, 5)]);
}

#[test]
fn a_port_is_given_back_with_its_queues() {
    let mut rig = rig(2, usize::MAX, true);
    rig.lines[0].0.put(frame(2, 2, 1));
    let (port, _) = rig.crew.remove(2).unwrap();
    assert!(port.number == 2 && port.receive.len() == 1 && port.send.len() == 1);
    assert_eq!(rig.crew.totals(2), None);
    assert_eq!(rig.lost(1, Reason::PortGone), 1);
    rig.crew.stop();
    rig.turn();
    assert!(rig.worker.lock().unwrap().stopped());
}
