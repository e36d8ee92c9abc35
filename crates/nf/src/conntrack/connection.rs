//! A connection as it lies in memory, and the shelves on which such things stand.
//!
//! ```text
//! line 1 (every packet)   original tuple 16 | reply tuple 12 | mark 4 | both TCP ends 24 | expiry 8
//! line 2 (rare)           label 16 | timer, hashes, policy, limit, ...
//! ```
//!
//! Costs: 128 octets; 64 more for the addresses of IPv6, 96 more for what helpers need.

use super::tcp::Peer;
use super::tuple::Tuple;
use netloom_table::wheel::Timer;

/// No place.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Bits of [`Connection::bits`].
pub(super) mod bit {
    /// Of IPv6: the addresses are on another shelf.
    pub(in super::super) const SIX: u8 = 1;
    /// Its label is not zero.
    pub(in super::super) const LABEL: u8 = 2;
    /// A helper expected it.
    pub(in super::super) const EXPECTED: u8 = 4;
    /// Its source is translated.
    pub(in super::super) const SOURCE: u8 = 8;
    /// Its destination is translated.
    pub(in super::super) const DESTINATION: u8 = 0x10;
    /// FTP's helper watches it.
    pub(in super::super) const FTP: u8 = 0x20;
    /// TFTP's helper watches it.
    pub(in super::super) const TFTP: u8 = 0x40;
    /// It is there.
    pub(in super::super) const ALIVE: u8 = 0x80;
}

/// Addresses of IPv6, and of translated ones.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wide {
    source: u128,
    destination: u128,
    reply_source: u128,
    reply_destination: u128,
}

/// What only connections with helpers have.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rare {
    /// The original tuple of the connection that made a helper expect this one.
    pub(super) parent: Tuple,
    /// By how much a helper has made what one end sent longer.
    pub(super) skew: i32,
    /// It is the end that answers.
    pub(super) skew_reply: bool,
}

/// A connection. Its lines are neighbours that processors fetch together.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(128))]
pub(super) struct Connection {
    source: u32,
    destination: u32,
    source_port: u16,
    destination_port: u16,
    pub(super) zone: u16,
    pub(super) protocol: u8,
    pub(super) bits: u8,
    reply_source: u32,
    reply_destination: u32,
    reply_source_port: u16,
    reply_destination_port: u16,
    pub(super) mark: u32,
    /// Both ends of TCP; of others the state of the first is what was seen.
    pub(super) peers: [Peer; 2],
    /// When it ends, in nanoseconds.
    pub(super) expires: u64,

    label: [u64; 2],
    pub(super) timer: Option<Timer>,
    /// Which of those that had its place it is.
    pub(super) birth: u32,
    /// The tick of its timer.
    pub(super) armed: u32,
    pub(super) wide: u32,
    pub(super) rare: u32,
    pub(super) policy: u32,
    /// Which limit counts it; 0 for none.
    pub(super) limit: u32,
}

const _: () = assert!(size_of::<Connection>() == 128);
const _: () = assert!(std::mem::offset_of!(Connection, label) == 64);

/// Both halves of an address on top of each other, for a first comparison.
#[inline]
const fn squeeze(address: u128) -> u32 {
    (address >> 96) as u32 ^ (address >> 64) as u32 ^ (address >> 32) as u32 ^ address as u32
}

impl Connection {
    /// A connection of two tuples; with IPv6 the addresses come out separately.
    pub(super) fn new(original: &Tuple, reply: &Tuple) -> (Self, Option<Wide>) {
        let short = |address: u128| if original.six { squeeze(address) } else { address as u32 };
        let wide = original.six.then_some(Wide {
            source: original.source,
            destination: original.destination,
            reply_source: reply.source,
            reply_destination: reply.destination,
        });
        let connection = Self {
            source: short(original.source),
            destination: short(original.destination),
            source_port: original.source_port,
            destination_port: original.destination_port,
            zone: original.zone,
            protocol: original.protocol,
            bits: bit::ALIVE | if original.six { bit::SIX } else { 0 },
            reply_source: short(reply.source),
            reply_destination: short(reply.destination),
            reply_source_port: reply.source_port,
            reply_destination_port: reply.destination_port,
            wide: NOWHERE,
            rare: NOWHERE,
            ..Self::default()
        };
        (connection, wide)
    }

    pub(super) const fn is(&self, bits: u8) -> bool {
        self.bits & bits != 0
    }

    /// The direction in which packets of the tuple go: true for replies. `None`: they are of another connection.
    #[inline]
    pub(super) fn direction(&self, tuple: &Tuple, wide: &Shelf<Wide>) -> Option<bool> {
        if self.zone != tuple.zone || self.protocol != tuple.protocol || self.is(bit::SIX) != tuple.six {
            return None;
        }
        let (source, destination) = if tuple.six {
            (squeeze(tuple.source), squeeze(tuple.destination))
        } else {
            (tuple.source as u32, tuple.destination as u32)
        };
        let here = (source, destination, tuple.source_port, tuple.destination_port);
        let original = here == (self.source, self.destination, self.source_port, self.destination_port);
        let reply = here
            == (
                self.reply_source,
                self.reply_destination,
                self.reply_source_port,
                self.reply_destination_port,
            );
        if !tuple.six {
            return if original { Some(false) } else { reply.then_some(true) };
        }
        if !original && !reply {
            return None;
        }
        let wide = wide.get(self.wide)?;
        let here = (tuple.source, tuple.destination);
        if original && here == (wide.source, wide.destination) {
            return Some(false);
        }
        (reply && here == (wide.reply_source, wide.reply_destination)).then_some(true)
    }

    /// The tuple of one direction.
    pub(super) fn tuple(&self, reply: bool, wide: &Shelf<Wide>) -> Tuple {
        let (source_port, destination_port) = if reply {
            (self.reply_source_port, self.reply_destination_port)
        } else {
            (self.source_port, self.destination_port)
        };
        let (source, destination) = match (wide.get(self.wide).filter(|_| self.is(bit::SIX)), reply) {
            (Some(wide), false) => (wide.source, wide.destination),
            (Some(wide), true) => (wide.reply_source, wide.reply_destination),
            (None, false) => (u128::from(self.source), u128::from(self.destination)),
            (None, true) => (u128::from(self.reply_source), u128::from(self.reply_destination)),
        };
        Tuple {
            source,
            destination,
            source_port,
            destination_port,
            zone: self.zone,
            protocol: self.protocol,
            six: self.is(bit::SIX),
        }
    }

    /// Its label.
    #[inline]
    pub(super) const fn label(&self) -> u128 {
        if self.is(bit::LABEL) { (self.label[0] as u128) << 64 | self.label[1] as u128 } else { 0 }
    }

    pub(super) const fn set_label(&mut self, label: u128) {
        self.label = [(label >> 64) as u64, label as u64];
        self.bits = if label == 0 { self.bits & !bit::LABEL } else { self.bits | bit::LABEL };
    }
}

/// Things by number, in pieces that never move.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    pieces: Vec<Vec<T>>,
    free: Vec<u32>,
}

/// Things of a piece.
const PIECE: usize = 256;

impl<T: Copy + Default> Shelf<T> {
    pub(super) const fn new() -> Self {
        Self { pieces: Vec::new(), free: Vec::new() }
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.pieces.get(number as usize / PIECE)?.get(number as usize % PIECE)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.pieces.get_mut(number as usize / PIECE)?.get_mut(number as usize % PIECE)
    }

    /// Puts a thing there and gives its number; `None` when there are too many.
    pub(super) fn put(&mut self, thing: T) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            *self.get_mut(number)? = thing;
            return Some(number);
        }
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            if self.pieces.len() >= (NOWHERE / 2) as usize / PIECE {
                return None;
            }
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let number = (self.pieces.len() - 1) * PIECE + self.pieces.last()?.len();
        self.pieces.last_mut()?.push(thing);
        Some(number as u32)
    }

    /// Takes a thing away. Its number must have come from [`Shelf::put`] and not been taken yet.
    pub(super) fn take(&mut self, number: u32) -> Option<T> {
        let thing = std::mem::take(self.get_mut(number)?);
        self.free.push(number);
        Some(thing)
    }

    /// Numbers that were ever given are below.
    pub(super) fn bound(&self) -> u32 {
        let full = self.pieces.len().saturating_sub(1) * PIECE;
        (full + self.pieces.last().map_or(0, Vec::len)) as u32
    }

    /// Octets of memory.
    pub(super) fn octets(&self) -> usize {
        let things: usize = self.pieces.iter().map(Vec::capacity).sum();
        things * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}
