//! Fragments through Open vSwitch's reassembly and through this one: the same frames come out, in the same order, with the
//! same state, translated or not.

use crate::against_ovs::Chance;
use crate::basic::{A, B};
use crate::fragmented::cut;
use crate::packets::*;
use crate::switch::Switch;
use crate::translated::range;
use netloom_mem::{Batch, Offload};
use netloom_nf::conntrack::{Connect, Nat, Tracker};
use netloom_nf::fragments::{FragmentBounds, Fragments, Taken, status_text};
use netloom_table::Key;
use netloom_table::key::extract;

/// What comes out for a frame: frames behind Ethernet, and the state of all.
fn through(
    fragments: &mut Fragments,
    tracker: &Tracker,
    frame: &[u8],
    request: &Connect,
) -> Vec<(String, Vec<u8>)> {
    let mut batch = Batch::new();
    assert!(batch.push(1, frame, Offload::NONE));
    let mut key = Key::default();
    let layers = extract(batch.head(0), frame.len(), 1, &mut key);
    match fragments.take(&mut batch, 0, &key, &layers, 0, 0) {
        Taken::Whole => {
            let passed = pass_frame(tracker, frame, request, 0);
            vec![(passed.text(), passed.frame[14..].to_vec())]
        }
        Taken::Held => Vec::new(),
        Taken::Invalid => vec![("inv|trk".to_owned(), frame[14..].to_vec())],
        Taken::Complete(assembly) => {
            let passed = pass_frame(tracker, assembly.frame(), request, 0);
            let parts = assembly.parts(&passed.frame);
            parts.into_iter().map(|part| (passed.text(), part[14..].to_vec())).collect()
        }
    }
}

#[test]
fn fragments_come_out_as_from_open_vswitch() {
    let mut flows = String::new();
    for (number, text) in ["commit", "commit,nat(src=192.0.2.7)", "nat"].iter().enumerate() {
        let kinds: &[&str] = if number == 1 { &["ip"] } else { &["ip", "ipv6"] };
        for kind in kinds {
            flows +=
                &format!("in_port=1,{kind},dl_src=52:54:00:00:00:{number:02x},actions=ct({text},table=1)\n");
        }
    }
    flows += "table=1,actions=move:NXM_NX_CT_STATE[]->NXM_OF_ETH_DST[0..31],output:2\n";
    let Some(mut switch) = Switch::start("fragments", &flows) else { return };
    let requests = [
        Connect { commit: true, ..Connect::default() },
        Connect {
            commit: true,
            nat: Some(Nat::Source(range("192.0.2.7", "192.0.2.7", None))),
            ..Connect::default()
        },
        Connect { nat: Some(Nat::Known), ..Connect::default() },
    ];
    let tracker = Tracker::new(1, 1, 0);
    let mut fragments = Fragments::new(FragmentBounds::default());
    let mut chance = Chance(9);
    let (mut sent, mut out, mut whole) = (0, 0, 0);
    for round in 0..60_u32 {
        let six = chance.next(3) == 0;
        let number = if six { chance.of(&[0, 2]) } else { chance.of(&[0, 1, 2]) };
        let (a, b) = if six { ("fd00::1", "fd00::2") } else { (A, B) };
        let size = chance.of(&[100, 2000, 2600, 4000, 5200]);
        let payload: Vec<u8> = (0..size).map(|at| (at as u32 * 7 + round) as u8).collect();
        let packet = if chance.next(2) == 0 {
            udp((a, 5000 + round as u16), (b, 53), &payload)
        } else {
            tcp_full((a, 5000 + round as u16), (b, 80), SYN, (1, 0), 1000, &[], &payload)
        };
        // The least that either takes for a part that is not the last, and less.
        let piece = chance.of(&[155, 155, 160, 162, 100]);
        let at: Vec<usize> = (1..40).map(|part| part * piece).collect();
        let mut parts = cut(&packet.frame(), &at, 1000 + round);
        for place in (1..parts.len()).rev() {
            parts.swap(place, chance.next(place as u64 + 1) as usize);
        }
        if chance.next(4) == 0 {
            parts.push(parts[0].clone());
        }
        for mut part in parts {
            part[10..12].copy_from_slice(&[0, number as u8]);
            let ours = through(&mut fragments, &tracker, &part, &requests[number]);
            let theirs = switch.send_for(&part, ours.len());
            sent += 1;
            out += ours.len();
            whole += usize::from(ours.len() > 1);
            for ((state, frame), theirs) in ours.iter().zip(&theirs) {
                let bits = state_text(u32::from_be_bytes(*theirs[2..].first_chunk().unwrap()));
                assert_eq!((state, frame), (&bits, &theirs[14..].to_vec()), "round {round}, {six}, {number}");
            }
        }
    }
    switch.nothing_more();
    let status = status_text(&FragmentBounds::default(), &fragments.counts(), fragments.held().0);
    assert_eq!(switch.ask("dpctl/ipf-get-status", &[]), status);
    println!("{sent} packets in, {out} out, {whole} put together, as in Open vSwitch");
    assert!(whole > 20);
}
