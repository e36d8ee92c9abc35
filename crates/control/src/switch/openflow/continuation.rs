//! What a controller keeps of a packet that waits, and gives back when it is to go on (`NXT_RESUME`).
//!
//! What: the bridge keeps the state (`Frozen`) under a number; the controller gets that number in the property that names the
//! bridge in Open vSwitch's continuations, with the flow's table and cookie beside it, so that the tools can print it.
//!
//! Invariants: a number that is not known any more is `NXR_STALE`.

use netloom_proto::openflow::OfError;
use netloom_proto::openflow::codec::{Reader, Writer};

/// `NXCPT_BRIDGE`: 16 octets, of which the last four are the number.
const BRIDGE: u16 = 0x8000;
/// `NXCPT_TABLE_ID`.
const TABLE: u16 = 0x8004;
/// `NXCPT_COOKIE`.
const COOKIE: u16 = 0x8005;
/// Octets of a property's head.
const HEAD: usize = 4;
/// Octets of the name of a bridge before the number.
const BEFORE: usize = 12;

fn property(writer: &mut Writer, kind: u16, write: impl FnOnce(&mut Writer)) {
    let start = writer.len();
    writer.u16(kind);
    writer.u16(0);
    write(writer);
    writer.patch_length(start, start + 2);
    writer.pad(start, 8);
}

/// What the controller keeps.
pub(super) fn write(number: u32, table: u8, cookie: u64) -> Vec<u8> {
    let mut writer = Writer::new();
    property(&mut writer, BRIDGE, |writer| {
        writer.zeros(BEFORE);
        writer.u32(number);
    });
    property(&mut writer, TABLE, |writer| writer.u8(table));
    property(&mut writer, COOKIE, |writer| {
        writer.zeros(4);
        writer.u64(cookie);
    });
    writer.finish()
}

/// The number of the state.
///
/// # Errors
/// `NXR_STALE` for what this switch did not write.
pub(super) fn read(octets: &[u8]) -> Result<u32, OfError> {
    let stale = OfError::NXR_STALE;
    let mut reader = Reader::with_error(octets, stale);
    while !reader.is_empty() {
        let (kind, length) = (reader.u16()?, usize::from(reader.u16()?));
        let mut body = reader.sub(length.checked_sub(HEAD).ok_or(stale)?)?;
        reader.skip((length.next_multiple_of(8) - length).min(reader.len()))?;
        if kind == BRIDGE {
            body.skip(BEFORE)?;
            return body.u32();
        }
    }
    Err(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_again() {
        assert_eq!(read(&write(0x12_3456, 7, 9)), Ok(0x12_3456));
        for octets in [&b""[..], b"\x80", b"\x80\0\0\x03", b"\x80\0\0\x08\0\0\0\0", &[0xff; 40]] {
            assert_eq!(read(octets), Err(OfError::NXR_STALE));
        }
    }
}
