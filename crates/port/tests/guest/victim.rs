//! A guest that breaks the rules of a ring, and what must hold however it does: nothing outside the memory that it handed
//! over is read or written, and whoever serves it goes on.

use super::driver::Layout;
use super::front::{Front, INDIRECT_DESC, PACKED, PROTOCOL, Place, event};
use super::{GUEST, Memory};
use netloom_mem::{Batch, Offload, ReceiveQueue, SendQueue};
use netloom_port::vhost::{Config, Mode, Pair, Port};
use rustix::fd::OwnedFd;

/// Octets at both ends of the file that the guest does not hand over; neither end lies on a page.
pub const START: usize = 4096 + 512;
pub const BEHIND: usize = 4096 - 512;
pub const CANARY: u8 = 0xc5;
pub const SIZE: u16 = 16;

pub struct Victim {
    pub memory: Memory,
    pub layouts: [Layout; 2],
    pub end: usize,
    pub front: Front,
    pub port: Port,
    pub pair: Pair,
    pub kick: OwnedFd,
    pub call: OwnedFd,
    pub packed: bool,
    _place: Place,
}

impl Victim {
    pub fn new(features: u64) -> Self {
        let place = Place::new();
        let (port, mut pairs) = Port::open(1, Config::new(place.socket(), Mode::Server)).unwrap();
        let front = Front::connect(&place.socket());
        let to = Layout::new(8192, SIZE, 8);
        let from = Layout::new(to.end, SIZE, 8);
        let end = from.end + 512;
        let memory = Memory::new(end + BEHIND);
        memory.write(0, &[CANARY; START]);
        memory.write(end, &[CANARY; BEHIND]);
        front.negotiate(features | PROTOCOL | INDIRECT_DESC, 0);
        assert!(front.memory(&memory, &[(GUEST + START as u64, START, end - START)]));
        let packed = features & PACKED != 0;
        let (kick, call) = (event(), event());
        let victim = Self {
            memory,
            layouts: [to, from],
            end,
            front,
            port,
            pair: pairs.remove(0),
            kick,
            call,
            packed,
            _place: place,
        };
        victim.start();
        victim
    }

    pub fn start(&self) {
        let base = if self.packed { 0x8000_8000 } else { 0 };
        for (index, layout) in self.layouts.iter().enumerate() {
            self.front.start(index as u32, layout, base, &self.kick, &self.call);
        }
    }

    pub fn restart(&self) {
        self.front.stop(0);
        self.front.stop(1);
        // The used indexes go back too, so that the rings begin where the guest says.
        for layout in &self.layouts {
            self.memory.set(layout.device + 2, 0);
        }
        self.start();
    }

    /// Lets the port work, and looks at what it did.
    pub fn turn(&mut self, batch: &mut Batch) {
        let count = self.pair.from_guest.receive(batch).unwrap();
        for index in 0..count {
            let octets = batch.octets(index);
            assert!(octets.len() >= 14 && !octets.windows(4).any(|four| four == [CANARY; 4]), "{octets:x?}");
        }
        let room = 32 - count;
        for seed in 0..room.min(8) {
            assert!(batch.push(2, &vec![seed as u8; 60 + 400 * seed], Offload::NONE));
        }
        let all: Vec<u8> = (0..batch.len() as u8).collect();
        // A stopped ring is gone.
        let _ = self.pair.to_guest.send(batch, &all);
        self.pair.to_guest.flush();
        self.pair.from_guest.complete();
        batch.clear();
        batch.release();
        self.look();
    }

    pub fn look(&self) {
        assert!(self.memory.read(0, START).iter().all(|octet| *octet == CANARY), "written before the region");
        assert!(self.memory.read(self.end, BEHIND).iter().all(|octet| *octet == CANARY), "written behind it");
    }

    pub fn descriptor(&self, ring: usize, index: u16, octets: &[u8; 16]) {
        self.memory.write(self.layouts[ring].descriptors + 16 * usize::from(index), octets);
    }

    /// Makes heads available in a split ring.
    pub fn available(&self, ring: usize, heads: &[u16], index: u16) {
        for (slot, head) in heads.iter().enumerate() {
            self.memory.set(self.layouts[ring].driver + 4 + 2 * slot, *head);
        }
        self.memory.set(self.layouts[ring].driver + 2, index);
    }

    pub const fn cell(&self, ring: usize, cell: usize) -> u64 {
        GUEST + (self.layouts[ring].cells + cell * super::driver::CELL) as u64
    }
}

#[derive(Debug, Clone)]
pub enum Step {
    Descriptor {
        ring: usize,
        index: u16,
        octets: [u8; 16],
    },
    /// A descriptor in a cell, as part of an indirect table.
    Table {
        ring: usize,
        place: usize,
        octets: [u8; 16],
    },
    Head {
        ring: usize,
        slot: u16,
        head: u16,
    },
    Forward {
        ring: usize,
        by: u16,
    },
    Scribble {
        at: usize,
        octets: Vec<u8>,
    },
    Turn,
    Restart,
}

pub fn hostile_ends() -> ((u64, u64), usize) {
    let to = Layout::new(8192, SIZE, 8);
    let from = Layout::new(to.end, SIZE, 8);
    ((GUEST + START as u64, GUEST + from.end as u64 + 512), from.end + 512 + BEHIND)
}

pub fn run(features: u64, steps: &[Step]) {
    let mut victim = Victim::new(features);
    let mut batch = Batch::new();
    for step in steps {
        match step {
            Step::Descriptor { ring, index, octets } => victim.descriptor(*ring, *index, octets),
            Step::Table { ring, place, octets } => {
                victim.memory.write(victim.layouts[*ring].cells + 16 * place, octets);
            }
            Step::Head { ring, slot, head } => {
                victim.memory.set(victim.layouts[*ring].driver + 4 + 2 * usize::from(*slot), *head);
            }
            Step::Forward { ring, by } => {
                let place = victim.layouts[*ring].driver + 2;
                victim.memory.set(place, victim.memory.get(place).wrapping_add(*by));
            }
            Step::Scribble { at, octets } => victim.memory.write(*at, octets),
            Step::Turn => victim.turn(&mut batch),
            Step::Restart => {
                for layout in victim.layouts {
                    victim.memory.set(layout.driver + 2, 0);
                }
                victim.restart();
            }
        }
    }
    victim.turn(&mut batch);
}
