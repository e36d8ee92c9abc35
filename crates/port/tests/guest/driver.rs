//! The driver's side of a ring.

use super::{GUEST, Memory};
use std::collections::HashMap;

pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;
const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// Octets of a cell, in which one buffer or one table lies.
pub const CELL: usize = 2048;

/// Where the parts of a ring lie in memory, as offsets.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub descriptors: usize,
    pub driver: usize,
    pub device: usize,
    pub cells: usize,
    pub end: usize,
    pub size: u16,
}

impl Layout {
    /// A ring of `size` descriptors and `cells` cells at an offset.
    pub fn new(start: usize, size: u16, cells: usize) -> Self {
        let many = usize::from(size);
        let descriptors = start.next_multiple_of(4096);
        let driver = descriptors + 16 * many;
        let device = (driver + 8 + 2 * many).next_multiple_of(64);
        let cell_area = (device + 8 + 8 * many).next_multiple_of(4096);
        Self { descriptors, driver, device, cells: cell_area, end: cell_area + cells * CELL, size }
    }
}

/// A buffer of a chain.
#[derive(Debug, Clone)]
pub enum Buffer {
    /// To be read by the device.
    Out(Vec<u8>),
    /// Room for this many octets, to be written by the device.
    In(usize),
}

/// What the driver remembers of a chain.
#[derive(Debug)]
struct Chain {
    descriptors: Vec<u16>,
    cells: Vec<usize>,
    /// Places and lengths of buffers to be written.
    room: Vec<(usize, usize)>,
    /// How many descriptors of a packed ring it takes.
    count: u16,
}

/// A ring, split or packed.
pub struct Ring {
    pub layout: Layout,
    pub packed: bool,
    free: Vec<u16>,
    free_cells: Vec<usize>,
    chains: HashMap<u16, Chain>,
    /// Next available and next used index, and the rounds of a packed ring.
    available: u16,
    used: u16,
    available_wrap: bool,
    used_wrap: bool,
    room: u16,
}

impl Ring {
    pub fn new(layout: Layout, packed: bool) -> Self {
        let cells = (layout.end - layout.cells) / CELL;
        Self {
            layout,
            packed,
            free: (0..layout.size).rev().collect(),
            free_cells: (0..cells).rev().map(|cell| layout.cells + cell * CELL).collect(),
            chains: HashMap::new(),
            available: 0,
            used: 0,
            available_wrap: true,
            used_wrap: true,
            room: layout.size,
        }
    }

    /// Chains that the device has.
    pub fn outstanding(&self) -> usize {
        self.chains.len()
    }

    pub const fn available_index(&self) -> u16 {
        self.available
    }

    /// Makes a chain available; false when there is no room.
    pub fn add(&mut self, memory: &Memory, buffers: &[Buffer], indirect: bool) -> bool {
        let needed = if indirect { 1 } else { buffers.len() };
        let cells = buffers.len() + usize::from(indirect);
        let descriptors = if self.packed { usize::from(self.room) } else { self.free.len() };
        if descriptors < needed || self.free.is_empty() || self.free_cells.len() < cells {
            return false;
        }
        let mut chain =
            Chain { descriptors: Vec::new(), cells: Vec::new(), room: Vec::new(), count: needed as u16 };
        let mut list = Vec::new();
        for buffer in buffers {
            let cell = self.free_cells.pop().unwrap();
            chain.cells.push(cell);
            // Not aligned, as real buffers are not.
            let place = cell + 3;
            let (length, flags) = match buffer {
                Buffer::Out(octets) => {
                    memory.write(place, octets);
                    (octets.len(), 0)
                }
                Buffer::In(length) => {
                    chain.room.push((place, *length));
                    (*length, WRITE)
                }
            };
            assert!(length <= CELL - 3);
            list.push((GUEST + place as u64, length as u32, flags));
        }
        if indirect {
            let cell = self.free_cells.pop().unwrap();
            chain.cells.push(cell);
            assert!(list.len() * 16 <= CELL);
            for (index, (address, length, flags)) in list.iter().enumerate() {
                let last = index + 1 == list.len();
                let (third, fourth) = if self.packed {
                    (0, *flags)
                } else {
                    (flags | if last { 0 } else { NEXT }, if last { 0 } else { index as u16 + 1 })
                };
                memory.write(cell + 16 * index, &descriptor(*address, *length, third, fourth));
            }
            list = vec![(GUEST + cell as u64, 16 * list.len() as u32, INDIRECT)];
        }
        if self.packed {
            self.add_packed(memory, chain, &list)
        } else {
            self.add_split(memory, chain, &list)
        }
        true
    }

    fn add_split(&mut self, memory: &Memory, mut chain: Chain, list: &[(u64, u32, u16)]) {
        chain.descriptors = (0..list.len()).map(|_| self.free.pop().unwrap()).collect();
        for (index, (address, length, flags)) in list.iter().enumerate() {
            let next = chain.descriptors.get(index + 1);
            let flags = flags | if next.is_some() { NEXT } else { 0 };
            let place = self.layout.descriptors + 16 * usize::from(chain.descriptors[index]);
            memory.write(place, &descriptor(*address, *length, flags, next.copied().unwrap_or(0)));
        }
        let head = chain.descriptors[0];
        let slot = self.layout.driver + 4 + 2 * usize::from(self.available & (self.layout.size - 1));
        memory.set(slot, head);
        self.available = self.available.wrapping_add(1);
        memory.set(self.layout.driver + 2, self.available);
        self.chains.insert(head, chain);
    }

    fn add_packed(&mut self, memory: &Memory, mut chain: Chain, list: &[(u64, u32, u16)]) {
        let id = self.free.pop().unwrap();
        chain.descriptors = vec![id];
        self.room -= chain.count;
        let mut first = None;
        for (index, (address, length, flags)) in list.iter().enumerate() {
            let last = index + 1 == list.len();
            let phase = if self.available_wrap { AVAILABLE } else { USED };
            let flags = flags | phase | if last { 0 } else { NEXT };
            let place = self.layout.descriptors + 16 * usize::from(self.available);
            let octets = descriptor(*address, *length, id, flags);
            // The first one's flags come last.
            memory.write(place, &octets[..14]);
            if index == 0 {
                first = Some((place + 14, flags));
            } else {
                memory.set(place + 14, flags);
            }
            self.available += 1;
            if self.available == self.layout.size {
                (self.available, self.available_wrap) = (0, !self.available_wrap);
            }
        }
        let (place, flags) = first.unwrap();
        memory.set(place, flags);
        self.chains.insert(id, chain);
    }

    /// A chain that the device gave back: what it wrote, as far as it says so.
    pub fn take(&mut self, memory: &Memory) -> Option<Vec<u8>> {
        let (id, written) = if self.packed { self.take_packed(memory)? } else { self.take_split(memory)? };
        let chain = self.chains.remove(&id).expect("the device gives back what it has");
        let mut octets = Vec::new();
        for (place, length) in &chain.room {
            let count = (*length).min(written - octets.len());
            octets.extend(memory.read(*place, count));
        }
        assert_eq!(octets.len(), written, "the device says that it wrote more than there was room");
        self.free.extend(&chain.descriptors);
        self.free_cells.extend(&chain.cells);
        self.room += chain.count;
        Some(octets)
    }

    fn take_split(&mut self, memory: &Memory) -> Option<(u16, usize)> {
        if memory.get(self.layout.device + 2) == self.used {
            return None;
        }
        let slot = self.layout.device + 4 + 8 * usize::from(self.used & (self.layout.size - 1));
        self.used = self.used.wrapping_add(1);
        let octets = memory.read(slot, 8);
        let word = |at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap());
        Some((u16::try_from(word(0)).unwrap(), word(4) as usize))
    }

    fn take_packed(&mut self, memory: &Memory) -> Option<(u16, usize)> {
        let place = self.layout.descriptors + 16 * usize::from(self.used);
        let flags = memory.get(place + 14);
        if (flags & USED != 0) != self.used_wrap || (flags & AVAILABLE != 0) != self.used_wrap {
            return None;
        }
        let octets = memory.read(place, 16);
        let written = u32::from_le_bytes(octets[8..12].try_into().unwrap());
        let id = u16::from_le_bytes(octets[12..14].try_into().unwrap());
        self.used += self.chains[&id].count;
        if self.used >= self.layout.size {
            (self.used, self.used_wrap) = (self.used - self.layout.size, !self.used_wrap);
        }
        Some((id, written as usize))
    }
}

/// A descriptor's octets: of a split ring with flags and next, of a packed one with identifier and flags.
pub fn descriptor(address: u64, length: u32, third: u16, fourth: u16) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&address.to_le_bytes());
    octets[8..12].copy_from_slice(&length.to_le_bytes());
    octets[12..14].copy_from_slice(&third.to_le_bytes());
    octets[14..].copy_from_slice(&fourth.to_le_bytes());
    octets
}
