//! `encap` on the wire, and what it fills headers with.

use super::{Action, Encap, EncapProperty};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::OfError;

/// Values of `packet_type` that a header can be added for: Ethernet, NSH, MPLS.
const ADDABLE: [u32; 4] = [0, 0x0001_894f, 0x0001_8847, 0x0001_8848];
/// Class of properties of NSH (`OFPPPC_NSH`).
const NSH: u16 = 4;
const MD_TYPE: u8 = 1;
const TLV: u8 = 2;
/// Octets of a property's header, and of that of a TLV.
const HEADER: usize = 4;
const TLV_HEADER: usize = 8;

pub(super) fn read(body: &mut Reader<'_>) -> Result<Action, OfError> {
    let (header_size, packet_type) = (body.u16()?, body.u32()?);
    if !ADDABLE.contains(&packet_type) {
        return Err(OfError::NXBAC_BAD_HEADER_TYPE);
    }
    let mut properties = Vec::new();
    while !body.is_empty() {
        properties.push(property(body)?);
    }
    Ok(Action::Encap(Box::new(Encap { packet_type, header_size, properties })))
}

fn property(body: &mut Reader<'_>) -> Result<EncapProperty, OfError> {
    let mut from = Reader::with_error(body.rest(), OfError::OFPBAC_BAD_LEN);
    let (class, kind, length) = (from.u16()?, from.u8()?, usize::from(from.u8()?));
    if length < HEADER {
        return Err(OfError::OFPBAC_BAD_LEN);
    }
    body.skip(length.next_multiple_of(8))?;
    match (class, kind) {
        (NSH, MD_TYPE) if length > TLV_HEADER => Err(OfError::NXBAC_BAD_ED_PROP),
        (NSH, MD_TYPE) => from.u8().map(EncapProperty::NshMdType),
        (NSH, TLV) => {
            let (class, kind, octets) = (from.u16()?, from.u8()?, usize::from(from.u8()?));
            if length != TLV_HEADER + octets.next_multiple_of(8) {
                return Err(OfError::NXBAC_BAD_ED_PROP);
            }
            Ok(EncapProperty::NshTlv { class, kind, data: from.take(octets)?.to_vec() })
        }
        _ => Err(OfError::NXBAC_UNKNOWN_ED_PROP),
    }
}

pub(super) fn write(encap: &Encap, out: &mut Writer) -> Result<(), OfError> {
    out.u16(encap.header_size);
    out.u32(encap.packet_type);
    for property in &encap.properties {
        out.u16(NSH);
        match property {
            EncapProperty::NshMdType(kind) => {
                out.u8(MD_TYPE);
                out.u8(HEADER as u8 + 1);
                out.u8(*kind);
                out.zeros(3);
            }
            EncapProperty::NshTlv { class, kind, data } => {
                let padded = data.len().next_multiple_of(8);
                let too_long = |_| OfError::OFPBAC_BAD_LEN;
                out.u8(TLV);
                out.u8(u8::try_from(TLV_HEADER + padded).map_err(too_long)?);
                out.u16(*class);
                out.u8(*kind);
                out.u8(u8::try_from(data.len()).map_err(too_long)?);
                out.bytes(data);
                out.zeros(padded - data.len());
            }
        }
    }
    Ok(())
}
