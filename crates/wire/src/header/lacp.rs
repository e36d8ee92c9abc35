//! LACP data units (IEEE 802.1AX-2020, 6.4.2; first in 802.3ad), behind the EtherType of slow protocols, to
//! [`SLOW_PROTOCOLS_ADDRESS`]. Markers are in [`super::marker`].

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal};
use crate::MacAddr;

/// Where slow protocols send (IEEE 802.3-2022, 57A.3).
pub const SLOW_PROTOCOLS_ADDRESS: MacAddr = MacAddr::new([0x01, 0x80, 0xc2, 0, 0, 2]);
/// Subtype of LACP among the slow protocols (IEEE 802.3-2022, table 57A-3).
pub const SUBTYPE: u8 = 1;
/// Length of a unit in bytes.
pub const UNIT_LEN: usize = 110;

view! {
    /// An LACP data unit, from its subtype on.
    Lacp, 110 bytes, check;
    /// Version; every one has these fields at these places.
    version / set_version: u8 [1];
    /// What the sender is.
    actor / set_actor: Partner [4];
    /// What the sender takes its peer for.
    partner / set_partner: Partner [24];
    /// How long the sender may hold a frame before it arrives, in units of 10 µs.
    max_delay / set_max_delay: u16 [44];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let subtype = u8::read(bytes, 0);
    if subtype != SUBTYPE {
        return Err(illegal(HeaderKind::Lacp, "subtype", subtype));
    }
    for (at, head) in [(2, [1, 20]), (22, [2, 20]), (42, [3, 16]), (58, [0, 0])] {
        let found = <[u8; 2]>::read(bytes, at);
        if found != head {
            return Err(illegal(HeaderKind::Lacp, "part", u16::from_be_bytes(found)));
        }
    }
    Ok(())
}

/// State of a port (IEEE 802.1AX-2020, 6.4.2.3). Legal values: all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct State(pub u8);

impl State {
    /// Speaks first (not only when spoken to).
    pub const ACTIVITY: Self = Self(0x01);
    /// Wants to hear every second, not every thirty.
    pub const SHORT_TIMEOUT: Self = Self(0x02);
    /// Can be joined with others.
    pub const AGGREGATION: Self = Self(0x04);
    /// Is in the right group.
    pub const SYNCHRONIZATION: Self = Self(0x08);
    /// Takes frames.
    pub const COLLECTING: Self = Self(0x10);
    /// Sends frames.
    pub const DISTRIBUTING: Self = Self(0x20);
    /// Assumes its peer's values.
    pub const DEFAULTED: Self = Self(0x40);
    /// Has heard nothing in time.
    pub const EXPIRED: Self = Self(0x80);

    /// Whether all of `other` are set here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Partner {
    /// Priority of the system; smaller decides.
    pub system_priority: u16,
    /// Address of the system.
    pub system: MacAddr,
    /// Ports with one key can be joined.
    pub key: u16,
    /// Priority of the port; smaller is taken first.
    pub port_priority: u16,
    /// Number of the port.
    pub port: u16,
    /// State of the port.
    pub state: State,
}

impl Field for Partner {
    fn read(bytes: &[u8], at: usize) -> Self {
        Self {
            system_priority: u16::read(bytes, at),
            system: MacAddr::read(bytes, at + 2),
            key: u16::read(bytes, at + 8),
            port_priority: u16::read(bytes, at + 10),
            port: u16::read(bytes, at + 12),
            state: State(u8::read(bytes, at + 14)),
        }
    }
    fn write(self, bytes: &mut [u8], at: usize) {
        self.system_priority.write(bytes, at);
        self.system.write(bytes, at + 2);
        self.key.write(bytes, at + 8);
        self.port_priority.write(bytes, at + 10);
        self.port.write(bytes, at + 12);
        self.state.0.write(bytes, at + 14);
    }
}

/// The meaning of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Version: 1, or 2 with parts after these that are not read.
    pub version: u8,
    /// What the sender is.
    pub actor: Partner,
    /// What the sender takes its peer for.
    pub partner: Partner,
    /// How long the sender may hold a frame before it arrives, in units of 10 µs.
    pub max_delay: u16,
}

impl Repr {
    /// Reads a unit.
    ///
    /// # Errors
    /// None: every checked unit is legal.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self {
            version: view.version(),
            actor: view.actor(),
            partner: view.partner(),
            max_delay: view.max_delay(),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        UNIT_LEN
    }

    /// Writes the unit to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let bytes = blank(HeaderKind::Lacp, buffer, UNIT_LEN)?;
        [SUBTYPE, self.version, 1, 20].write(bytes, 0);
        [2, 20].write(bytes, 22);
        [3, 16].write(bytes, 42);
        self.actor.write(bytes, 4);
        self.partner.write(bytes, 24);
        self.max_delay.write(bytes, 44);
        Ok(UNIT_LEN)
    }
}
