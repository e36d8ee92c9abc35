//! What the port costs without the other core: rings that are always full, in the caches of one core.
//!
//! `vhost_cost [FRAME [split|packed]]`: forwards frames of so many octets from one guest to another, which is a pointer
//! that moves on, and says how long receiving, sending, flushing and completing take for each frame.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measuring tool")]

#[path = "../tests/guest/mod.rs"]
mod guest;

use guest::driver::{Layout, descriptor};
use guest::front::{Front, Guest, MRG_RXBUF, Options, PACKED, PROTOCOL, Place, VERSION_1, event};
use guest::{GUEST, Memory};
use netloom_mem::{Batch, ReceiveQueue, SendQueue};
use netloom_port::vhost::{Config, Mode, Pair, Port};

/// Octets from buffer to buffer, and where the header lies in each, as DPDK has them.
const STRIDE: usize = 2176;
const OFFSET: usize = 128 - 12;
const SIZE: u16 = 256;

/// The processor's clock.
fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction reads a counter.
    #[allow(unsafe_code)]
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

struct Lean {
    memory: Memory,
    layouts: Vec<Layout>,
    pair: Pair,
    packed: bool,
    /// Next descriptor to be made available again, of each packed ring.
    next: [(u16, bool); 2],
    _front: Front,
    _port: Port,
    _place: Place,
}

impl Lean {
    fn new(frame: usize, packed: bool) -> Self {
        let place = Place::new();
        let (port, mut pairs) = Port::open(1, Config::new(place.socket(), Mode::Server)).unwrap();
        let front = Front::connect(&place.socket());
        let options = Options { size: SIZE, ..Options::plain() };
        let (size, layouts) = Guest::layouts(&options);
        let buffers = size.next_multiple_of(4096);
        let memory = Memory::new(buffers + 2 * usize::from(SIZE) * STRIDE);
        front.negotiate(VERSION_1 | MRG_RXBUF | PROTOCOL | if packed { PACKED } else { 0 }, 0);
        assert!(front.memory(&memory, &[(GUEST, 0, memory.size)]));
        for (ring, layout) in layouts.iter().enumerate() {
            for index in 0..SIZE {
                let place = buffers + (ring * usize::from(SIZE) + usize::from(index)) * STRIDE + OFFSET;
                let (length, flags) = if ring == 0 { (2048 - 128 + 12, 2) } else { (frame + 12, 0) };
                let (third, fourth) = if packed { (index, flags | 1 << 7) } else { (flags, 0) };
                let octets = descriptor(GUEST + place as u64, length as u32, third, fourth);
                memory.write(layout.descriptors + 16 * usize::from(index), &octets);
                if !packed {
                    memory.set(layout.driver + 4 + 2 * usize::from(index), index);
                }
            }
            if !packed {
                memory.set(layout.driver, 1);
                memory.set(layout.driver + 2, SIZE);
            } else {
                memory.set(layout.driver + 2, 1);
            }
            front.start(ring as u32, layout, if packed { 0x8000_8000 } else { 0 }, &event(), &event());
        }
        let pair = pairs.remove(0);
        Self {
            memory,
            layouts,
            pair,
            packed,
            next: [(0, true); 2],
            _front: front,
            _port: port,
            _place: place,
        }
    }

    /// The guest makes everything available again.
    fn step(&mut self) {
        for (layout, (next, wrap)) in self.layouts.iter().zip(&mut self.next) {
            if !self.packed {
                let used = self.memory.get(layout.device + 2);
                self.memory.set(layout.driver + 2, used.wrapping_add(SIZE));
                continue;
            }
            loop {
                let place = layout.descriptors + 16 * usize::from(*next);
                let flags = self.memory.get(place + 14);
                if (flags & 1 << 7 != 0) != *wrap || (flags & 1 << 15 != 0) != *wrap {
                    break;
                }
                let writable = layout.descriptors == self.layouts[0].descriptors;
                let length: u32 = if writable { 2048 - 128 + 12 } else { 0 };
                if writable {
                    self.memory.write(place + 8, &length.to_le_bytes());
                } else {
                    // The length of what was transmitted was overwritten with zero.
                    self.memory.write(
                        place + 8,
                        &(FRAME.load(std::sync::atomic::Ordering::Relaxed) + 12).to_le_bytes(),
                    );
                }
                // The next round.
                let phase = if *wrap { 1 << 15 } else { 1 << 7 };
                self.memory.set(place + 14, phase | if writable { 2 } else { 0 });
                *next += 1;
                if *next == SIZE {
                    (*next, *wrap) = (0, !*wrap);
                }
            }
        }
    }
}

static FRAME: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(64);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let frame: u32 = arguments.next().map_or(64, |frame| frame.parse().unwrap());
    FRAME.store(frame, std::sync::atomic::Ordering::Relaxed);
    let packed = arguments.next().is_some_and(|kind| kind == "packed");
    let mut guest = Lean::new(frame as usize, packed);
    let mut batch = Batch::new();
    let all: Vec<u8> = (0..32).collect();
    let rounds: u64 = arguments.next().map_or(200_000, |rounds| rounds.parse().unwrap());
    let mut best = [u64::MAX; 5];
    let mut frames = 0;
    for _ in 0..10 {
        let mut sum = [0; 4];
        frames = 0;
        for _ in 0..rounds / 10 {
            let begin = ticks();
            let count = guest.pair.from_guest.receive(&mut batch).unwrap();
            let received = ticks();
            let sent = guest.pair.to_guest.send(&batch, &all[..count]).unwrap();
            assert_eq!((count, sent), (32, 32));
            let done = ticks();
            guest.pair.to_guest.flush();
            let flushed = ticks();
            guest.pair.from_guest.complete();
            batch.clear();
            let completed = ticks();
            for (sum, time) in
                sum.iter_mut().zip([received - begin, done - received, flushed - done, completed - flushed])
            {
                *sum += time;
            }
            frames += count as u64;
            guest.step();
        }
        for (best, sum) in best.iter_mut().zip(sum.into_iter().chain([sum.iter().sum()])) {
            *best = (*best).min(sum);
        }
    }
    let each = |ticks: u64| ticks as f64 / frames as f64;
    println!(
        "ticks/frame: receive {:.1} send {:.1} flush {:.1} complete {:.1} all {:.1}",
        each(best[0]),
        each(best[1]),
        each(best[2]),
        each(best[3]),
        each(best[4]),
    );
}
