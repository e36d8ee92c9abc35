//! Fields written under masks, with the checksums that cover them.
//!
//! What: a [`Rewrite`] is a list of (field, value, mask). [`Rewrite::apply`] walks over the headers once and writes what
//! is there; [`Rewrite::between`] makes the list that turns one key into another, which is how a translator that keeps
//! a key up to date says everything that it changed.
//!
//! Invariants: checksums that were right stay right, those that were wrong stay wrong by as much (RFC 1624). A UDP
//! checksum of zero stays zero, and none becomes zero. A checksum that the sender left open ([`netloom_mem::Offload`])
//! holds the sum of the pseudo-header, and is kept that way. What a packet does not have is not written.

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
    beside: Vec<Write>,
}

/// Fields that are written into the packet itself.
const PACKET: &[Field] = &[
    Field::ETH_DST,
    Field::ETH_SRC,
    Field::VLAN_TCI,
    Field::VLAN_TPID,
    Field::INNER_TCI,
    Field::IP_PROTO,
    Field::IP4_SRC,
    Field::IP4_DST,
    Field::IP_TOS,
    Field::IP_TTL,
    Field::IP6_SRC_HIGH,
    Field::IP6_SRC_LOW,
    Field::IP6_DST_HIGH,
    Field::IP6_DST_LOW,
    Field::IP6_LABEL,
    Field::TP_SRC,
    Field::TP_DST,
    Field::ARP_SHA,
    Field::ARP_THA,
    Field::ND_TARGET_HIGH,
    Field::ND_TARGET_LOW,
    Field::ND_RESERVED,
    Field::MPLS_OUTER,
    Field::NSH_PATH,
    Field::NSH_FLAGS,
    Field::NSH_TTL,
    Field::NSH_C12,
    Field::NSH_C34,
];

/// Words that travel beside the packet: a bit each. Connection state (6, 29, 30, 40 to 45), marks (7), tunnel (13 to 19,
/// and options from 47 on), OpenFlow metadata and registers (31 to 39), packet type and hash (46).
pub const BESIDE: u64 = 1 << 6 | 1 << 7 | 0x7f << 13 | 3 << 29 | 0x1ff << 31 | 0x7f << 40 | u64::MAX << 47;

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
        if PACKET.contains(&field) {
            self.packet.push(write);
        } else if BESIDE >> field.word() & 1 == 1 {
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

    /// All.
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.packet.iter().chain(&self.beside)
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packet.is_empty() && self.beside.is_empty()
    }
}
