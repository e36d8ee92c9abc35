//! Guests that break the rules: their ring stops, with a reason, and nothing outside their memory is touched.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod guest;

use guest::driver::{INDIRECT, NEXT, WRITE, descriptor};
use guest::front::{MRG_RXBUF, OFFLOADS, PACKED, VERSION_1};
use guest::victim::{BEHIND, CANARY, SIZE, START, Step, Victim, hostile_ends, run};
use guest::{GUEST, Memory};
use netloom_mem::{Batch, Offload, ReceiveQueue, SendQueue};
use netloom_port::vhost::Broken;
use proptest::prelude::*;

/// A broken transmit ring, made by `make`.
fn breaks(packed: bool, name: &str, expected: Broken, make: impl Fn(&Victim)) {
    let mut victim = Victim::new(VERSION_1 | MRG_RXBUF | if packed { PACKED } else { 0 });
    make(&victim);
    let mut batch = Batch::new();
    for _ in 0..3 {
        victim.turn(&mut batch);
    }
    let counters = victim.port.from_guest(0).unwrap();
    assert_eq!(
        (counters.broken(), counters.breaks.get(), counters.frames.get()),
        (Some(expected), 1, 0),
        "{name}"
    );
    // The other ring goes on, and a restart heals.
    assert!(victim.pair.to_guest.is_ready());
    for ring in 0..2 {
        for index in 0..SIZE {
            victim.descriptor(ring, index, &[0; 16]);
        }
    }
    victim.available(1, &[0], 0);
    victim.restart();
    if packed {
        victim.descriptor(1, 0, &descriptor(victim.cell(1, 0), 100, 0, 1 << 7));
    } else {
        victim.descriptor(1, 0, &descriptor(victim.cell(1, 0), 100, 0, 0));
        victim.available(1, &[0], 1);
    }
    victim.turn(&mut batch);
    let counters = victim.port.from_guest(0).unwrap();
    assert_eq!((counters.broken(), counters.frames.get()), (None, 1), "{name}");
}

#[test]
fn broken_split_rings_stop_with_their_reason() {
    let one = |octets: fn(&Victim) -> [u8; 16]| {
        move |victim: &Victim| {
            victim.descriptor(1, 3, &octets(victim));
            victim.available(1, &[3], 1);
        }
    };
    let outside = |address: u64| {
        move |victim: &Victim| {
            victim.descriptor(1, 3, &descriptor(address, 100, 0, 0));
            victim.available(1, &[3], 1);
        }
    };
    breaks(false, "index", Broken::Index, |victim| victim.available(1, &[0], SIZE + 1));
    breaks(false, "index back", Broken::Index, |victim| victim.available(1, &[0], u16::MAX));
    breaks(false, "head", Broken::Head, |victim| victim.available(1, &[SIZE], 1));
    breaks(false, "loop", Broken::Loop, one(|victim| descriptor(victim.cell(1, 0), 1, NEXT, 3)));
    breaks(false, "next", Broken::Next, one(|victim| descriptor(victim.cell(1, 0), 100, NEXT, SIZE)));
    breaks(false, "direction", Broken::Direction, one(|victim| descriptor(victim.cell(1, 0), 100, WRITE, 0)));
    breaks(false, "null", Broken::Address, outside(0));
    breaks(false, "before", Broken::Address, outside(GUEST + START as u64 - 1));
    breaks(false, "wrap", Broken::Address, outside(u64::MAX - 50));
    breaks(false, "over the end", Broken::Address, |victim| {
        victim.descriptor(1, 3, &descriptor(GUEST + victim.end as u64 - 99, 100, 0, 0));
        victim.available(1, &[3], 1);
    });
    breaks(false, "long", Broken::Address, one(|victim| descriptor(victim.cell(1, 0), u32::MAX, 0, 0)));
    breaks(
        false,
        "both",
        Broken::Indirect,
        one(|victim| descriptor(victim.cell(1, 0), 32, INDIRECT | NEXT, 0)),
    );
    breaks(false, "empty", Broken::Indirect, one(|victim| descriptor(victim.cell(1, 0), 0, INDIRECT, 0)));
    breaks(false, "odd", Broken::Indirect, one(|victim| descriptor(victim.cell(1, 0), 17, INDIRECT, 0)));
    breaks(false, "table", Broken::Indirect, one(|_| descriptor(GUEST - 4096, 32, INDIRECT, 0)));
    breaks(false, "nested", Broken::Indirect, |victim| {
        let cell = victim.layouts[1].cells;
        victim.memory.write(cell, &descriptor(victim.cell(1, 1), 16, INDIRECT, 0));
        victim.descriptor(1, 3, &descriptor(victim.cell(1, 0), 16, INDIRECT, 0));
        victim.available(1, &[3], 1);
    });
    breaks(false, "table's loop", Broken::Loop, |victim| {
        let cell = victim.layouts[1].cells;
        victim.memory.write(cell, &descriptor(victim.cell(1, 1), 16, NEXT, 1));
        victim.memory.write(cell + 16, &descriptor(victim.cell(1, 1), 16, NEXT, 0));
        victim.descriptor(1, 3, &descriptor(victim.cell(1, 0), 32, INDIRECT, 0));
        victim.available(1, &[3], 1);
    });
    breaks(false, "parts", Broken::Parts, |victim| {
        let cell = victim.layouts[1].cells;
        for index in 0..65 {
            let next = if index < 64 { NEXT } else { 0 };
            victim
                .memory
                .write(cell + 16 * index, &descriptor(victim.cell(1, 1), 16, next, index as u16 + 1));
        }
        victim.descriptor(1, 3, &descriptor(victim.cell(1, 0), 16 * 65, INDIRECT, 0));
        victim.available(1, &[3], 1);
    });
}

#[test]
fn broken_packed_rings_stop_with_their_reason() {
    const AVAILABLE: u16 = 1 << 7;
    breaks(true, "loop", Broken::Loop, |victim| {
        for index in 0..SIZE {
            victim.descriptor(1, index, &descriptor(victim.cell(1, 0), 1, 0, AVAILABLE | NEXT));
        }
    });
    let one =
        |octets: fn(&Victim) -> [u8; 16]| move |victim: &Victim| victim.descriptor(1, 0, &octets(victim));
    breaks(true, "null", Broken::Address, one(|_| descriptor(0, 100, 0, AVAILABLE)));
    breaks(true, "wrap", Broken::Address, one(|_| descriptor(u64::MAX - 50, 100, 0, AVAILABLE)));
    breaks(
        true,
        "direction",
        Broken::Direction,
        one(|victim| descriptor(victim.cell(1, 0), 100, 0, AVAILABLE | WRITE)),
    );
    breaks(
        true,
        "odd",
        Broken::Indirect,
        one(|victim| descriptor(victim.cell(1, 0), 17, 0, AVAILABLE | INDIRECT)),
    );
    breaks(true, "nested", Broken::Indirect, |victim| {
        let cell = victim.layouts[1].cells;
        victim.memory.write(cell, &descriptor(victim.cell(1, 1), 16, 0, INDIRECT));
        victim.descriptor(1, 0, &descriptor(victim.cell(1, 0), 16, 0, AVAILABLE | INDIRECT));
    });
}

fn address(ends: (u64, u64)) -> impl Strategy<Value = u64> {
    let (start, end) = ends;
    prop_oneof![
        6 => start..end,
        1 => start - 64..start + 64,
        1 => end - 3000..end + 64,
        1 => Just(0_u64),
        1 => u64::MAX - 100..=u64::MAX,
        1 => any::<u64>(),
    ]
}

fn steps(ends: (u64, u64), file: usize) -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![
        4 => 0..200_u32,
        3 => 0..3000_u32,
        3 => (0..8_u32).prop_map(|count| 16 * count),
        1 => any::<u32>(),
    ];
    // Bits that mean something, in both layouts, and any others.
    let flags = prop_oneof![
        8 => (0..8_u16, 0..4_u16).prop_map(|(low, high)| low | (high & 1) << 7 | (high >> 1) << 15),
        1 => any::<u16>(),
    ];
    let index = prop_oneof![8 => 0..SIZE, 1 => any::<u16>()];
    let octets = (address(ends), length, flags.clone(), prop_oneof![index.clone(), flags])
        .prop_map(|(address, length, third, fourth)| descriptor(address, length, third, fourth));
    let octets = octets.boxed();
    let step = prop_oneof![
        8 => (0..2_usize, 0..SIZE, octets.clone()).prop_map(|(ring, index, octets)| Step::Descriptor { ring, index, octets }),
        4 => (0..2_usize, 0..8 * 128_usize, octets).prop_map(|(ring, place, octets)| Step::Table { ring, place, octets }),
        4 => (0..2_usize, 0..SIZE, index).prop_map(|(ring, slot, head)| Step::Head { ring, slot, head }),
        4 => (0..2_usize, prop_oneof![8 => 0..SIZE, 1 => any::<u16>()]).prop_map(|(ring, by)| Step::Forward { ring, by }),
        1 => (START..file - BEHIND - 64, proptest::collection::vec(0..CANARY, 1..64))
            .prop_map(|(at, octets)| Step::Scribble { at, octets }),
        6 => Just(Step::Turn),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..150)
}

proptest! {
    #[test]
    fn no_program_reaches_outside(
        features in prop_oneof![Just(0), Just(MRG_RXBUF), Just(PACKED), Just(PACKED | MRG_RXBUF)],
        offloads in any::<bool>(),
        steps in steps(hostile_ends().0, hostile_ends().1),
    ) {
        run(features | VERSION_1 | if offloads { OFFLOADS } else { 0 }, &steps);
    }
}

#[test]
fn descriptors_that_change_while_they_are_read() {
    for packed in [0, PACKED] {
        let mut victim = Victim::new(VERSION_1 | MRG_RXBUF | packed);
        let done = std::sync::atomic::AtomicBool::new(false);
        let second = {
            // The scribbler has a mapping of its own of the same file.
            let file = rustix::io::dup(&victim.memory.file).unwrap();
            Memory::over(file, victim.memory.size)
        };
        let (layouts, end) = (victim.layouts, victim.end);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut state = 1_u64;
                let mut random = move || {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state
                };
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let layout = layouts[(random() & 1) as usize];
                    let slot = (random() % u64::from(SIZE)) as usize;
                    // Good and bad values in turn, in the place of address, length and flags.
                    let address = match random() % 4 {
                        0 => random(),
                        1 => GUEST + end as u64 - random() % 100,
                        _ => GUEST + (layout.cells as u64) + random() % 8000,
                    };
                    let phase = if random() & 1 == 0 { 1 << 7 } else { 1 << 15 };
                    let writable = if layout.cells == layouts[0].cells { u64::from(WRITE) } else { 0 };
                    let fields = if packed == 0 {
                        (random() % 200) | ((writable | (random() & 1)) << 32) | ((random() % 16) << 48)
                    } else {
                        (random() % 200)
                            | ((random() % 16) << 32)
                            | ((writable | phase | (random() & 1)) << 48)
                    };
                    second
                        .u64(layout.descriptors + 16 * slot)
                        .store(address, std::sync::atomic::Ordering::Relaxed);
                    second
                        .u64(layout.descriptors + 16 * slot + 8)
                        .store(fields, std::sync::atomic::Ordering::Relaxed);
                    if packed == 0 {
                        second.set(layout.driver + 4 + 2 * slot, (random() % u64::from(SIZE)) as u16);
                        let used = second.get(layout.device + 2);
                        second.set(layout.driver + 2, used.wrapping_add((random() % 16) as u16));
                    }
                }
            });
            let mut batch = Batch::new();
            let until = std::time::Instant::now() + std::time::Duration::from_millis(700);
            while std::time::Instant::now() < until {
                for _ in 0..20 {
                    victim.turn(&mut batch);
                }
                victim.restart();
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let counters = victim.port.from_guest(0).unwrap();
        assert!(counters.frames.get() > 0 && counters.breaks.get() > 0, "{counters:?}");
    }
}

#[test]
fn a_shortened_file_costs_the_guest_its_rings_only() {
    let mut victim = Victim::new(VERSION_1 | MRG_RXBUF);
    let mut batch = Batch::new();
    victim.turn(&mut batch);
    let before = netloom_port::vhost::replaced_mappings();
    rustix::fs::ftruncate(&victim.memory.file, 0).unwrap();
    // The rings, the buffers and the marks are gone; the port reads zeroes instead.
    for _ in 0..3 {
        assert_eq!(victim.pair.from_guest.receive(&mut batch).unwrap(), 0);
        assert!(batch.push(2, &[0; 60], Offload::NONE));
        let _ = victim.pair.to_guest.send(&batch, &[0]);
        victim.pair.to_guest.flush();
        batch.clear();
    }
    assert!(netloom_port::vhost::replaced_mappings() > before);
}
