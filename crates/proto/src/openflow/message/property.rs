//! Properties: type, length and value, filled to a multiple of 8 octets (OpenFlow 1.4, 7.2 and after).

use super::octets::{Decoded, ReadMore};
use crate::openflow::OfError;
use crate::openflow::codec::{Reader, Writer};

/// What a property is: a number of the standard, or a number of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PropertyKind {
    Standard(u16),
    Experimenter(u32, u32),
}

/// One property and its value, without its filling.
#[derive(Debug, Clone, Copy)]
pub(super) struct Property<'a> {
    pub(super) kind: PropertyKind,
    value: &'a [u8],
}

/// Takes the next property.
pub(super) fn next<'a>(reader: &mut Reader<'a>) -> Decoded<Property<'a>> {
    next_with(reader, 8, 0xffff)
}

/// Takes the next property of a list with another alignment, and in which types from `first` on are somebody else's.
pub(super) fn next_with<'a>(reader: &mut Reader<'a>, alignment: usize, first: u32) -> Decoded<Property<'a>> {
    let mut property = Reader::with_error(reader.rest(), OfError::OFPBPC_BAD_LEN);
    let number = property.u16()?;
    let length = usize::from(property.u16()?);
    let mut whole = Reader::with_error(reader.rest(), OfError::OFPBPC_BAD_LEN);
    let mut property = Reader::with_error(whole.take(length)?, OfError::OFPBPC_BAD_LEN);
    whole.skip(length.next_multiple_of(alignment) - length)?;
    property.skip(4)?;
    let kind = if u32::from(number) < first {
        PropertyKind::Standard(number)
    } else {
        let (experimenter, kind) = (property.u32()?, property.u32()?);
        if experimenter == 0 {
            return Err(OfError::OFPBPC_BAD_EXPERIMENTER);
        }
        PropertyKind::Experimenter(experimenter, kind)
    };
    reader.skip(length.next_multiple_of(alignment))?;
    Ok(Property { kind, value: property.all() })
}

impl<'a> Property<'a> {
    pub(super) fn reader(&self) -> Reader<'a> {
        Reader::with_error(self.value, OfError::OFPBPC_BAD_LEN)
    }

    /// The properties within, which begin at a multiple of 8 octets.
    pub(super) fn nested(&self) -> Decoded<Reader<'a>> {
        let mut reader = self.reader();
        reader.skip(4)?;
        Ok(reader)
    }

    pub(super) fn octets(&self) -> &'a [u8] {
        self.value
    }

    /// Numbers of 8 and 16 bits are read from whatever is long enough, as Open vSwitch does: the standards fill them to
    /// 8 octets.
    pub(super) fn u8(&self) -> Decoded<u8> {
        self.reader().u8()
    }

    pub(super) fn u16(&self) -> Decoded<u16> {
        self.reader().u16()
    }

    pub(super) fn u32(&self) -> Decoded<u32> {
        let number = <[u8; 4]>::try_from(self.value).map_err(|_| OfError::OFPBPC_BAD_LEN)?;
        Ok(u32::from_be_bytes(number))
    }

    /// A number of 64 bits, which begins at a multiple of 8 octets.
    pub(super) fn u64(&self) -> Decoded<u64> {
        let mut reader = self.nested()?;
        let number = reader.u64()?;
        if reader.is_empty() { Ok(number) } else { Err(OfError::OFPBPC_BAD_LEN) }
    }

    /// The error for a property that is not known here.
    pub(super) fn unknown<T>(&self) -> Decoded<T> {
        Err(match self.kind {
            PropertyKind::Standard(_) => OfError::OFPBPC_BAD_TYPE,
            PropertyKind::Experimenter(..) => OfError::OFPBPC_BAD_EXP_TYPE,
        })
    }
}

/// Writes a property whose value is written by `value`.
pub(super) fn put<T>(writer: &mut Writer, kind: PropertyKind, value: impl FnOnce(&mut Writer) -> T) -> T {
    let start = writer.len();
    match kind {
        PropertyKind::Standard(number) => {
            writer.u16(number);
            writer.u16(0);
        }
        PropertyKind::Experimenter(experimenter, number) => {
            writer.u16(0xffff);
            writer.u16(0);
            writer.u32(experimenter);
            writer.u32(number);
        }
    }
    let result = value(writer);
    writer.patch_length(start, start + 2);
    writer.pad(start, 8);
    result
}

/// Writes a property of the standard with the given octets.
pub(super) fn put_octets(writer: &mut Writer, number: u16, octets: &[u8]) {
    put(writer, PropertyKind::Standard(number), |writer| writer.bytes(octets));
}

/// Writes a property of the standard with a number of 8 bits.
pub(super) fn put_u8(writer: &mut Writer, number: u16, value: u8) {
    put_octets(writer, number, &[value]);
}

/// Writes a property of the standard with a number of 16 bits. Its length counts two octets of filling, as in all
/// standards.
pub(super) fn put_u16(writer: &mut Writer, number: u16, value: u16) {
    let [high, low] = value.to_be_bytes();
    put_octets(writer, number, &[high, low, 0, 0]);
}

pub(super) fn put_u32(writer: &mut Writer, number: u16, value: u32) {
    put_octets(writer, number, &value.to_be_bytes());
}

pub(super) fn put_u64(writer: &mut Writer, number: u16, value: u64) {
    put(writer, PropertyKind::Standard(number), |writer| {
        writer.zeros(4);
        writer.u64(value);
    });
}

/// Writes a property of the standard that holds properties.
pub(super) fn put_nested<T>(writer: &mut Writer, number: u16, value: impl FnOnce(&mut Writer) -> T) -> T {
    put(writer, PropertyKind::Standard(number), |writer| {
        writer.zeros(4);
        value(writer)
    })
}
