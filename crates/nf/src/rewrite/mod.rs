//! Fields written under masks, with the checksums that cover them.
//!
//! What: a [`Rewrite`] is a list of (field, value, mask). [`Rewrite::apply`] walks over the headers once and writes what
//! is there; [`Rewrite::between`] makes the list that turns one key into another, which is how a translator that keeps
//! a key up to date says everything that it changed.
//!
//! Invariants: checksums that were right stay right, those that were wrong stay wrong by as much (RFC 1624). A UDP
//! checksum of zero stays zero, and none becomes zero. A checksum that the sender left open ([`netloom_mem::Offload`])
//! holds the sum of the pseudo-header, and is kept that way. What a packet does not have is not written.

mod apply;
mod layout;

pub use apply::write_tos;
pub use layout::Layout;

use apply::Place;
use netloom_table::key::BESIDE;
use netloom_table::{Field, Key};

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Write {
    /// Which.
    pub field: Field,
    /// What is written: bits outside the mask are zero.
    pub value: u64,
    /// Where: ones where bits are written.
    pub mask: u64,
}

/// Fields, in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Rewrite {
    packet: Vec<Write>,
    /// Where each of them is.
    places: Vec<Place>,
    beside: Vec<Write>,
}

impl Rewrite {
    /// Fields, each under a mask; a field that can't be written comes back.
    ///
    /// # Errors
    /// The field: it can only be read (ports, fragments, TCP flags), or other actions change it (the EtherType).
    pub fn new(writes: impl IntoIterator<Item = (Field, u64, u64)>) -> Result<Self, Field> {
        let mut rewrite = Self::default();
        for (field, value, mask) in writes {
            rewrite.add(field, value, mask)?;
        }
        Ok(rewrite)
    }

    /// One more field.
    ///
    /// # Errors
    /// As with [`Rewrite::new`].
    pub fn add(&mut self, field: Field, value: u64, mask: u64) -> Result<(), Field> {
        let mask = mask & field.ones();
        let write = Write { field, value: value & mask, mask };
        if let Some(place) = Place::of(field) {
            self.packet.push(write);
            self.places.push(place);
        } else if BESIDE >> field.word() & 1 == 1 && field.word() != 0 {
            self.beside.push(write);
        } else {
            return Err(field);
        }
        Ok(())
    }

    /// What must be written so that a packet with the key `before` has the key `after`: all writable fields in which the
    /// two differ. Layers are taken as they are; a packet that gets or loses headers on the way needs actions for that.
    #[must_use]
    pub fn between(before: &Key, after: &Key) -> Self {
        let mut rewrite = Self::default();
        for field in Field::ALL {
            if before.get(*field) != after.get(*field) {
                // Fields that can't be written can't differ by the doing of actions.
                let _ = rewrite.add(*field, after.get(*field), field.ones());
            }
        }
        rewrite
    }

    /// Fields of the packet.
    #[must_use]
    pub fn packet(&self) -> &[Write] {
        &self.packet
    }

    /// Fields that travel beside it.
    #[must_use]
    pub fn beside(&self) -> &[Write] {
        &self.beside
    }

    /// All of them.
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.packet.iter().chain(&self.beside)
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packet.is_empty() && self.beside.is_empty()
    }
}
