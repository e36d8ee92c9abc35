//! Markers of link aggregation: what has been sent before is through when the answer comes (IEEE 802.1AX-2020, 6.5.3).

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal};
use crate::MacAddr;

/// Subtype of markers among the slow protocols (IEEE 802.3-2022, table 57A-3).
pub const SUBTYPE: u8 = 2;
/// Length of a unit in bytes.
pub const UNIT_LEN: usize = 110;

const INFORMATION: u8 = 1;
const RESPONSE: u8 = 2;

view! {
    /// A marker unit, from its subtype on.
    Marker, 110 bytes, check;
    /// Version: 1.
    version / set_version: u8 [1];
    /// 1 for a marker, 2 for its answer.
    kind: u8 [2];
    /// The port that asks.
    port / set_port: u16 [4];
    /// The system that asks.
    system / set_system: MacAddr [6];
    /// Counts the questions.
    transaction / set_transaction: u32 [12];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let subtype = u8::read(bytes, 0);
    if subtype != SUBTYPE {
        return Err(illegal(HeaderKind::Marker, "subtype", subtype));
    }
    match <[u8; 2]>::read(bytes, 2) {
        [INFORMATION | RESPONSE, 16] => Ok(()),
        part => Err(illegal(HeaderKind::Marker, "part", u16::from_be_bytes(part))),
    }
}

/// The meaning of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Version: 1.
    pub version: u8,
    /// Whether this is the answer.
    pub is_response: bool,
    /// The port that asks.
    pub port: u16,
    /// The system that asks.
    pub system: MacAddr,
    /// Counts the questions.
    pub transaction: u32,
}

impl Repr {
    /// Reads a unit.
    ///
    /// # Errors
    /// None: every checked unit is legal.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self {
            version: view.version(),
            is_response: view.kind() == RESPONSE,
            port: view.port(),
            system: view.system(),
            transaction: view.transaction(),
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
        let bytes = blank(HeaderKind::Marker, buffer, UNIT_LEN)?;
        let kind = if self.is_response { RESPONSE } else { INFORMATION };
        [SUBTYPE, self.version, kind, 16].write(bytes, 0);
        self.port.write(bytes, 4);
        self.system.write(bytes, 6);
        self.transaction.write(bytes, 12);
        Ok(UNIT_LEN)
    }
}
