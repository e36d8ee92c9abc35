//! What programs of several parts do: copies, packets that are looked up again, chances, meters, the brain.

use crate::packets::{Chance, Packet};
use crate::rig::Rig;
use netloom_datapath::Execution;
use netloom_mem::Offload;
use netloom_nf::conntrack::{Tracker, state};
use netloom_nf::{
    Action, BandKind, Branch, Connect, Hashing, Program, Punt, Rate, Reason, Rewrite, Sample, SharedMeter,
    Unit,
};
use netloom_table::{Field, Key};
use std::sync::Arc;

fn program(actions: Vec<Action>) -> Program {
    Program::new(actions, Reason::Rule)
}

fn set(field: Field, value: u64) -> Action {
    Action::Set(Arc::new(Rewrite::new([(field, value, u64::MAX)]).unwrap()))
}

fn udp() -> Vec<u8> {
    let mut frame =
        vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0xb6, 0xbb];
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 53, 0, 26, 0, 0]);
    frame.resize(60, 7);
    let sum = netloom_wire::checksum::internet(&[&frame[14..24], &[0, 0], &frame[26..34]].concat());
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Sends a frame in and gives the second octet of the destination's end of what leaves by 2: how programs are told apart.
fn marks(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.iter().map(|frame| frame[5]).collect()
}

#[test]
fn a_copy_changes_nothing_outside() {
    let rig = Rig::new(3);
    let inner = program(vec![set(Field::ETH_DST, 9), set(Field::PKT_MARK, 5), Action::Output(2)]);
    let outer = vec![
        Action::Output(2),
        Action::Clone(Arc::new(inner)),
        Action::Output(2),
        set(Field::ETH_DST, 4),
        Action::Output(2),
        Action::Recirculate(1),
        Action::Output(3),
    ];
    rig.program(1, 0, program(outer));
    rig.program(1, 1, program(vec![Action::Output(2)]));
    for _ in 0..40 {
        rig.receive(1, &udp(), Offload::NONE);
    }
    rig.turn();
    rig.turn();
    assert_eq!(rig.sent(3).len(), 40);
    let sent = marks(&rig.sent(2));
    let mut counts = [0; 10];
    sent.iter().for_each(|mark| counts[usize::from(*mark)] += 1);
    // As it came twice, the copy once, changed twice: at once and when it was looked up again.
    assert_eq!((counts[1], counts[9], counts[4], sent.len()), (80, 40, 80, 200));
    assert!(rig.keys.lock().unwrap().iter().all(|key| key.get(Field::PKT_MARK) == 0));
}

#[test]
fn packets_are_looked_up_again_with_what_is_beside_them_and_not_for_ever() {
    let rig = Rig::new(2);
    let beside = [(Field::PKT_MARK, 77), (Field::XREG3, 1 << 40), (Field::TUN_ID, 9), (Field::METADATA, 3)];
    let mut actions: Vec<Action> = beside.iter().map(|(field, value)| set(*field, *value)).collect();
    actions.extend([set(Field::IP4_DST, 0x0a00_0009), Action::Recirculate(5)]);
    rig.program(1, 0, program(actions));
    let hash = Action::Hash(Hashing { basis: 3, ..Hashing::default() });
    rig.program(1, 5, program(vec![hash, Action::Recirculate(6)]));
    rig.program(1, 6, program(vec![Action::Output(2)]));
    let sent = rig.pass(&udp());
    assert_eq!((sent.len(), &sent[0][30..34]), (1, &[10, 0, 0, 9][..]));
    let keys = std::mem::take(&mut *rig.keys.lock().unwrap());
    assert_eq!(keys.iter().map(|key| key.get(Field::RECIRCULATION)).collect::<Vec<_>>(), [0, 5, 6]);
    for key in &keys[1..] {
        assert!(beside.iter().all(|(field, value)| key.get(*field) == *value));
        assert_eq!((key.get(Field::IP4_DST), key.get(Field::IN_PORT)), (0x0a00_0009, 1));
    }
    assert!(keys[1].get(Field::DP_HASH) == 0 && keys[2].get(Field::DP_HASH) != 0);
    // A circle ends.
    rig.program(1, 6, program(vec![Action::Recirculate(6)]));
    assert!(rig.pass(&udp()).is_empty());
    assert_eq!((rig.lost(1, Reason::Passes), rig.keys.lock().unwrap().len()), (1, 9));
    // Two copies for each: what multiplies is bounded.
    rig.keys.lock().unwrap().clear();
    rig.program(1, 6, program(vec![Action::Recirculate(6), Action::Recirculate(6), Action::Recirculate(6)]));
    for _ in 0..32 {
        rig.receive(1, &udp(), Offload::NONE);
    }
    rig.turn();
    assert!(rig.keys.lock().unwrap().len() < 100_000);
    rig.program(1, 6, program(vec![Action::Output(2)]));
    assert_eq!(rig.pass(&udp()).len(), 1, "everything goes on afterwards");
}

#[test]
fn chances_branches_and_cuts() {
    let rig = Rig::new(3);
    let sample = Sample {
        probability: u32::MAX / 4,
        program: program(vec![set(Field::ETH_DST, 8), Action::Output(3)]),
    };
    rig.program(1, 0, program(vec![Action::Sample(Arc::new(sample)), Action::Output(2)]));
    for _ in 0..4000 {
        rig.receive(1, &udp(), Offload::NONE);
    }
    for _ in 0..126 {
        rig.turn();
    }
    let (all, some) = (rig.sent(2), rig.sent(3));
    assert!(
        all.len() == 4000 && all.iter().all(|frame| frame[5] == 1) && some.iter().all(|frame| frame[5] == 8)
    );
    assert!((850..1150).contains(&some.len()), "{}", some.len());
    let branch = Branch {
        length: 60,
        longer: program(vec![Action::Output(3)]),
        otherwise: program(vec![set(Field::ETH_DST, 6), Action::Output(2)]),
    };
    rig.program(
        1,
        0,
        program(vec![
            Action::Branch(Arc::new(branch)),
            Action::Truncate(20),
            Action::Output(2),
            Action::Output(2),
        ]),
    );
    let sent = rig.pass(&udp());
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [60, 20, 60]);
    assert_eq!(marks(&sent), [6, 1, 1]);
    let mut long = udp();
    long.push(0);
    assert_eq!((rig.pass(&long).len(), rig.sent(3).len()), (2, 1));
}

#[test]
fn meters_drop_and_remark() {
    let rig = Rig::new(2);
    let rate = |per_second, burst| Rate { unit: Unit::Packets, per_second, burst };
    let meter = Arc::new(SharedMeter::new([(BandKind::Remark(1), rate(1, 2)), (BandKind::Drop, rate(5, 5))]));
    rig.crew.share_meter(3, Some(&meter)).unwrap();
    rig.turn();
    // Assured forwarding 11.
    rig.program(1, 0, program(vec![set(Field::IP_TOS, 10 << 2), Action::Police(3), Action::Output(2)]));
    for _ in 0..8 {
        rig.receive(1, &udp(), Offload::NONE);
    }
    rig.turn();
    let sent = rig.sent(2);
    assert_eq!(sent.iter().map(|frame| frame[15] >> 2).collect::<Vec<_>>(), [10, 10, 12, 12, 12]);
    assert!(sent.iter().all(|frame| netloom_wire::checksum::is_intact(&frame[14..34])));
    assert_eq!(rig.lost(1, Reason::Metered), 3);
    assert_eq!(meter.counts(), ((8, 480), vec![(3, 180), (3, 180)]));
    rig.crew.share_meter(3, None).unwrap();
    rig.turn();
    assert_eq!(rig.pass(&udp()).len(), 1);
}

#[test]
fn the_brain_hears_what_it_asked_for_and_sends_through_programs() {
    let rig = Rig::new(2);
    let punt = Punt {
        reason: 1,
        kind: 2,
        table: 3,
        most: 30,
        controller: 4,
        state: 5,
        cookie: 6,
        data: Arc::from([7, 8]),
    };
    let punt = Arc::new(punt);
    rig.program(
        1,
        0,
        program(vec![set(Field::XREG0, 4), set(Field::ETH_DST, 3), Action::Punt(punt.clone())]),
    );
    rig.receive(1, &udp(), Offload { partial: true, start: 34, offset: 6, ..Offload::NONE });
    rig.turn();
    let heard = rig.heard.lock().unwrap().pop().unwrap();
    assert_eq!((heard.octets.len(), heard.octets[5], heard.length), (30, 3, 60));
    assert!(heard.punt == punt && heard.key.get(Field::XREG0) == 4 && heard.key.get(Field::IN_PORT) == 1);
    let mut key = Box::<Key>::default();
    key.set(Field::IN_PORT, 1);
    key.set(Field::PKT_MARK, 8);
    let actions = vec![set(Field::ETH_DST, 7), Action::Output(2), Action::Punt(punt), Action::Recirculate(9)];
    rig.program(1, 9, program(vec![Action::Output(2)]));
    rig.crew.execute(Execution { octets: udp(), program: program(actions), key }).unwrap();
    rig.turn();
    assert_eq!(marks(&rig.sent(2)), [7, 7]);
    assert_eq!(rig.keys.lock().unwrap().last().unwrap().get(Field::PKT_MARK), 8);
    assert_eq!(rig.heard.lock().unwrap().pop().unwrap().octets[5], 7);
    rig.program(1, 0, program(vec![Action::Output(2), Action::Drop { reason: Reason::Rule, origin: 9 }]));
    assert_eq!((rig.pass(&udp()).len(), rig.lost(1, Reason::Rule)), (1, 1));
}

#[test]
fn connections_are_known_to_those_who_look_again() {
    let rig = Rig::new(2);
    rig.program(1, 0, program(vec![Action::Connect(Arc::default()), Action::Recirculate(1)]));
    assert_eq!((rig.pass(&udp()).len(), rig.lost(1, Reason::Untracked)), (0, 1));
    let tracker = Arc::new(Tracker::new(1, 7, 0));
    rig.crew.track(Some(&tracker)).unwrap();
    rig.turn();
    let connect = Connect { zone: 5, commit: true, mark: Some((6, 255)), ..Connect::default() };
    rig.program(
        1,
        0,
        program(vec![
            Action::Connect(Arc::new(Connect { zone: 5, ..Connect::default() })),
            Action::Recirculate(1),
        ]),
    );
    rig.program(1, 1, program(vec![Action::Connect(Arc::new(connect)), Action::Output(2)]));
    rig.program(
        2,
        0,
        program(vec![
            Action::Connect(Arc::new(Connect { zone: 5, ..Connect::default() })),
            Action::Recirculate(2),
        ]),
    );
    rig.program(2, 2, program(vec![Action::Disconnect, Action::Recirculate(3)]));
    rig.program(2, 3, program(vec![Action::Output(1)]));
    rig.keys.lock().unwrap().clear();
    assert_eq!(rig.pass(&udp()).len(), 1);
    let mut back = udp();
    back[26..34].rotate_left(4);
    back[34..38].rotate_left(2);
    rig.receive(2, &back, Offload::NONE);
    rig.turn();
    assert_eq!((rig.sent(1), tracker.connections()), (vec![back], 1));
    let keys = std::mem::take(&mut *rig.keys.lock().unwrap());
    let said = |place: usize| (keys[place].get(Field::CT_STATE) as u32, keys[place].get(Field::CT_MARK));
    assert_eq!(said(1), (state::TRACKED | state::NEW, 0));
    assert_eq!(said(3), (state::TRACKED | state::ESTABLISHED | state::REPLY, 6));
    assert_eq!(said(4), (0, 0));
}

/// A guest that has its checksum written over an address is taken for what it then sends.
#[test]
fn a_checksum_elsewhere_is_written_before_anybody_looks() {
    let rig = Rig::new(2);
    rig.program(1, 0, program(vec![Action::Output(2)]));
    let word = |octets: &[u8]| octets.iter().fold(0, |word, octet| word << 8 | u64::from(*octet));
    for (start, offset) in [(8, 0), (0, 8), (14, 12), (34, 0), (34, 7)] {
        rig.crew.changed_all();
        rig.receive(1, &udp(), Offload { partial: true, start, offset, ..Offload::NONE });
        rig.turn();
        let sent = rig.sent(2).pop().unwrap();
        assert_ne!(sent, udp(), "{start} {offset}");
        let key = rig.keys.lock().unwrap().pop().unwrap();
        for (field, place) in [
            (Field::ETH_SRC, 6..12),
            (Field::IP4_SRC, 26..30),
            (Field::IP4_DST, 30..34),
            (Field::TP_SRC, 34..36),
        ] {
            assert_eq!(key.get(field), word(&sent[place]), "{start} {offset}");
        }
    }
    // In its place it is the port's to write, or the next one's.
    rig.crew.changed_all();
    rig.receive(1, &udp(), Offload { partial: true, start: 34, offset: 6, ..Offload::NONE });
    rig.turn();
    assert_eq!(rig.sent(2).pop().map(|frame| frame.len()), Some(udp().len()));
    // What is to be cut by such a header is no packet at all.
    let segmentation = netloom_mem::Segmentation::Udp;
    rig.receive(
        1,
        &udp(),
        Offload { partial: true, start: 8, offset: 0, segmentation, size: 9, ..Offload::NONE },
    );
    rig.turn();
    assert_eq!(rig.sent(2).pop().map(|frame| frame.len()), Some(14));
}

/// Any program over any octets: nothing panics, and the worker goes on.
#[test]
fn any_program_takes_any_octets() {
    let rig = Rig::new(2);
    let mut chance = Chance(0xfa57);
    let mut done = 0;
    for number in 0..3000 {
        let mut actions: Vec<Action> = (0..=chance.below(6)).map(|_| any_action(&mut chance, 2)).collect();
        actions.push(Action::Output(2));
        rig.program(1, 0, program(actions));
        rig.program(1, 1, program(vec![any_action(&mut chance, 1), Action::Output(2)]));
        let mut frame = match chance.below(3) {
            0 => {
                let length = chance.below(300) as usize;
                chance.octets(length)
            }
            _ => Packet::new(&mut chance, number).octets,
        };
        if chance.one_in(2) && !frame.is_empty() {
            let at = chance.below(frame.len() as u64) as usize;
            frame[at] = chance.next() as u8;
            frame.truncate(chance.below(frame.len() as u64 + 1) as usize);
        }
        let length = frame.len() as u64;
        let partial = length > 4 && chance.one_in(3);
        let start = if partial { chance.below(length - 2) } else { 0 };
        let offload = Offload { partial, start: start as u16, ..Offload::NONE };
        rig.receive(1, &frame, offload);
        rig.turn();
        done += rig.sent(2).len();
    }
    rig.program(1, 0, program(vec![Action::Output(2)]));
    assert_eq!(rig.pass(&udp()), [udp()]);
    println!("3000 programs sent {done} frames");
}

fn any_action(chance: &mut Chance, depth: u32) -> Action {
    let field = Field::ALL[chance.below(Field::ALL.len() as u64) as usize];
    let inner =
        |chance: &mut Chance| program(vec![any_action(chance, depth.saturating_sub(1)), Action::Output(2)]);
    match chance.below(if depth > 0 { 19 } else { 16 }) {
        0..=3 => match Rewrite::new([(field, chance.next(), chance.next())]) {
            Ok(rewrite) => Action::Set(Arc::new(rewrite)),
            Err(_) => Action::Output(2),
        },
        4 => Action::PushVlan { tpid: 0x8100, tci: chance.next() as u16 },
        5 => Action::PopVlan,
        6 => Action::PushMpls { ethertype: 0x8847, entry: chance.next() as u32 },
        7 => Action::PopMpls { ethertype: 0x0800 },
        8 => Action::PushEthernet { destination: [1; 6], source: [2; 6] },
        9 => Action::PopEthernet,
        10 => Action::PopNsh,
        11 => Action::Truncate(chance.below(200) as u32),
        12 => Action::Recirculate(1),
        13 => Action::Hash(Hashing::default()),
        14 => Action::Encapsulate(Arc::new(crate::tunnels::any(chance))),
        15 => Action::PushNsh(Arc::new(netloom_nf::NshHeader {
            flags: 0,
            ttl: 63,
            next: chance.below(6) as u8,
            path: 9,
            metadata: netloom_nf::NshMetadata::Fixed([1, 2, 3, 4]),
        })),
        16 => Action::Clone(Arc::new(inner(chance))),
        17 => Action::Sample(Arc::new(Sample { probability: 1 << 31, program: inner(chance) })),
        _ => Action::Branch(Arc::new(Branch { length: 80, longer: inner(chance), otherwise: inner(chance) })),
    }
}

/// What is put before a packet and taken again leaves it as it was.
#[test]
fn put_and_taken_is_nothing() {
    let rig = Rig::new(2);
    let mut chance = Chance(0x1d);
    for number in 0..500 {
        let packet = Packet::new(&mut chance, number);
        let ethertype =
            u16::from_be_bytes([packet.octets[12 + 4 * packet.tags], packet.octets[13 + 4 * packet.tags]]);
        let header = netloom_nf::NshHeader {
            flags: 2,
            ttl: 9,
            next: 3,
            path: 5,
            metadata: netloom_nf::NshMetadata::Variable(vec![0, 1, 2, 3, 4, 5, 6, 7].into()),
        };
        let mut actions = match chance.below(3) {
            0 => vec![Action::PushVlan { tpid: 0x88a8, tci: 9 }, Action::PopVlan],
            1 => vec![
                Action::PushMpls { ethertype: 0x8847, entry: 0x1ff },
                Action::PushMpls { ethertype: 0x8848, entry: 0x2ff },
                Action::PopMpls { ethertype: 0x8847 },
                Action::PopMpls { ethertype },
            ],
            _ => vec![
                Action::PushNsh(Arc::new(header)),
                Action::PushEthernet { destination: [2; 6], source: [4; 6] },
                Action::PopEthernet,
                Action::PopNsh,
            ],
        };
        actions.push(Action::Output(2));
        rig.program(1, 0, program(actions));
        assert_eq!(rig.pass(&packet.octets), [packet.octets], "{ethertype:x}");
    }
}

/// Checksums that senders leave open are right when the packet is complete, whatever was written.
#[test]
fn open_checksums_stay_right() {
    use netloom_wire::checksum::Sum;
    let rig = Rig::new(2);
    let mut chance = Chance(0x0b);
    for _ in 0..500 {
        let mut frame = udp();
        // The field holds the sum of the pseudo-header.
        let pseudo = Sum::ZERO.bytes(&frame[26..34]).word(17).word(26).fold();
        frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
        let mut actions = Vec::new();
        for field in
            [Field::IP4_SRC, Field::IP4_DST, Field::TP_SRC, Field::TP_DST, Field::IP_TTL, Field::IP_TOS]
        {
            if chance.one_in(2) {
                let rewrite = Rewrite::new([(field, chance.next(), chance.next())]).unwrap();
                actions.push(Action::Set(Arc::new(rewrite)));
            }
        }
        actions.push(Action::PushVlan { tpid: 0x8100, tci: 1 });
        actions.push(Action::Output(2));
        rig.program(1, 0, program(actions));
        rig.receive(1, &frame, Offload { partial: true, start: 34, offset: 6, ..Offload::NONE });
        rig.turn();
        let sent = rig.sent(2).remove(0);
        assert!(netloom_wire::checksum::is_intact(&sent[18..38]));
        let sum = Sum::ZERO.bytes(&sent[30..38]).word(17).word(26).bytes(&sent[38..64]);
        assert_eq!(sum.fold(), 0xffff);
    }
}
