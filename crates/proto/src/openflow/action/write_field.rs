//! Fields that actions set, onto the wire.
//!
//! What: OpenFlow 1.0 and 1.1 have an action for each of some fields; 1.2 to 1.4 have one for all, without masks; 1.5 has
//! masks. Nicira's loads say the rest.

use super::raw::Raw;
use super::write::{Writing, has_short_header, octets_of, pack, short_header};
use super::{Action, SetField};
use crate::openflow::codec::Writer;
use crate::openflow::error::OfError;
use crate::openflow::field::{FieldId, flags};
use crate::openflow::matching::put_entry;
use crate::openflow::value::{Subfield, Value};
use crate::openflow::version::Version;

/// EtherType of a VLAN tag.
const VLAN: u16 = 0x8100;
/// The most bits that one load changes.
const LOAD_BITS: u16 = 64;
/// IP protocols whose ports fields of their own name.
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// Writes a field with value and mask. Octets of tunnel metadata that say nothing are left out at the front.
fn put_trimmed(
    field: FieldId,
    value: &Value,
    mask: Option<&Value>,
    version: Option<Version>,
    out: &mut Writer,
) {
    if !field.get().is_variable() {
        return put_entry(field, value, mask, version, out);
    }
    let octets = |value: &Value| value.len() - value.octets().iter().take_while(|octet| **octet == 0).count();
    let needed = octets(value).max(mask.map_or(0, octets));
    put_entry(field, &value.resized(needed), mask.map(|mask| mask.resized(needed)).as_ref(), version, out);
}

impl Writing<'_> {
    /// A field of the standard's action with addresses, or as a field that is set.
    pub(super) fn legacy(
        &mut self,
        raw: Raw,
        field: FieldId,
        octets: &[u8],
        out: &mut Writer,
    ) -> Result<(), OfError> {
        if self.version < Version::V12 {
            return self.put(raw, out, |_, out| {
                out.bytes(octets);
                Ok(())
            });
        }
        let value = Value::from_octets(octets).unwrap_or_else(|| Value::zero(octets.len()));
        self.put_field(field, value.to_u128(), out)
    }

    /// Sets a whole field by the standard's action of OpenFlow 1.2 and later.
    pub(super) fn put_field(
        &mut self,
        field: FieldId,
        number: u128,
        out: &mut Writer,
    ) -> Result<(), OfError> {
        self.put_entry(field, &Value::of(field, number), None, out)
    }

    fn put_entry(
        &mut self,
        field: FieldId,
        value: &Value,
        mask: Option<&Value>,
        out: &mut Writer,
    ) -> Result<(), OfError> {
        let raw = if self.version >= Version::V15 { Raw::SetField15 } else { Raw::SetField12 };
        self.put(raw, out, |writing, out| {
            put_trimmed(field, value, mask, Some(writing.version), out);
            Ok(())
        })
    }

    pub(super) fn set_tunnel(&mut self, id: u64, wide: bool, out: &mut Writer) -> Result<(), OfError> {
        if self.version >= Version::V12 {
            self.put_field(FieldId::TUN_ID, u128::from(id), out)
        } else if wide {
            self.put(Raw::SetTunnel64, out, |_, out| {
                out.zeros(6);
                out.u64(id);
                Ok(())
            })
        } else {
            self.put(Raw::SetTunnel, out, |_, out| {
                out.zeros(2);
                out.u32(id as u32);
                Ok(())
            })
        }
    }

    fn push_missing_tag(&mut self, push: bool, out: &mut Writer) -> Result<(), OfError> {
        if push && self.version > Version::V10 && !self.flow.is_tagged() {
            self.put_u16(Raw::PushVlan, VLAN, out)
        } else {
            Ok(())
        }
    }

    pub(super) fn set_vlan_vid(&mut self, vid: u16, push: bool, out: &mut Writer) -> Result<(), OfError> {
        self.push_missing_tag(push, out)?;
        match self.version {
            Version::V10 => self.put_u16(Raw::SetVlanVid10, vid, out),
            Version::V11 => self.put_u16(Raw::SetVlanVid11, vid, out),
            _ => self.put_field(FieldId::VLAN_VID, u128::from(vid | flags::VLAN_PRESENT), out),
        }
    }

    pub(super) fn set_vlan_pcp(&mut self, pcp: u8, push: bool, out: &mut Writer) -> Result<(), OfError> {
        self.push_missing_tag(push, out)?;
        match self.version {
            Version::V10 => self.put_u8(Raw::SetVlanPcp10, pcp, out),
            Version::V11 => self.put_u8(Raw::SetVlanPcp11, pcp, out),
            _ => self.put_field(FieldId::VLAN_PCP, u128::from(pcp), out),
        }
    }

    pub(super) fn set_ecn(&mut self, ecn: u8, out: &mut Writer) -> Result<(), OfError> {
        match self.version {
            Version::V10 => self.put_load(Subfield::whole(FieldId::IP_ECN), u64::from(ecn), out),
            Version::V11 => self.put_u8(Raw::SetIpEcn, ecn, out),
            _ => self.put_field(FieldId::IP_ECN, u128::from(ecn), out),
        }
    }

    pub(super) fn set_transport(
        &mut self,
        raw: Raw,
        [tcp, udp, sctp]: [FieldId; 3],
        port: u16,
        out: &mut Writer,
    ) -> Result<(), OfError> {
        let field = match self.flow.protocol {
            TCP => Some(tcp),
            UDP => Some(udp),
            SCTP => Some(sctp),
            _ => None,
        };
        match field.filter(|_| self.version >= Version::V12) {
            Some(field) => self.put_field(field, u128::from(port), out),
            None => self.put_u16(raw, port, out),
        }
    }

    pub(super) fn load(&mut self, target: Subfield, value: u64, out: &mut Writer) -> Result<(), OfError> {
        let short = has_short_header(target.field) && !target.field.get().is_variable();
        if self.version < Version::V15 && short {
            return self.put_load(target, value, out);
        }
        let octets = octets_of(self, target.field);
        let (mut bits, mut mask) = (Value::zero(octets), Value::zero(octets));
        target.write(&mut bits, &Value::from_number(u128::from(value), 8));
        target.write(&mut mask, &Value::ones(8));
        let set = SetField { field: target.field, value: bits, mask, nicira: true };
        self.set_field(&set, out)
    }

    fn put_load(&mut self, target: Subfield, value: u64, out: &mut Writer) -> Result<(), OfError> {
        self.put(Raw::RegLoad, out, |writing, out| {
            out.u16(pack(target));
            short_header(writing, target.field, out);
            out.u64(value);
            Ok(())
        })
    }

    pub(super) fn set_field(&mut self, set: &SetField, out: &mut Writer) -> Result<(), OfError> {
        let exact = set.mask.is_all_ones();
        let mask = (!exact).then_some(&set.mask);
        if self.version >= Version::V15 || self.version >= Version::V12 && exact && !set.nicira {
            self.put_entry(set.field, &set.value, mask, out)
        } else if self.version < Version::V12 && exact && !set.nicira {
            self.set_field_of_old(set, out)
        } else {
            self.set_field_of_nicira(set, out)
        }
    }

    fn set_field_of_nicira(&mut self, set: &SetField, out: &mut Writer) -> Result<(), OfError> {
        if set.nicira || !has_short_header(set.field) || set.field.get().is_variable() {
            let mask = (!set.mask.is_all_ones()).then_some(&set.mask);
            return self.put(Raw::RegLoad2, out, |_, out| {
                put_trimmed(set.field, &set.value, mask, None, out);
                Ok(())
            });
        }
        // A run of bits is a load.
        let end = set.field.get().bits;
        let mut at = 0;
        while at < end {
            if !set.mask.bit(usize::from(at)) {
                at += 1;
                continue;
            }
            let limit = end.min(at + LOAD_BITS);
            let stop = (at..limit).find(|bit| !set.mask.bit(usize::from(*bit))).unwrap_or(limit);
            let run = Subfield { field: set.field, offset: at, bits: stop - at };
            self.put_load(run, run.read(&set.value).to_u64(), out)?;
            at = stop;
        }
        Ok(())
    }

    /// OpenFlow 1.0 and 1.1 have actions of their own for some fields.
    fn set_field_of_old(&mut self, set: &SetField, out: &mut Writer) -> Result<(), OfError> {
        let number = set.value.to_u128();
        let octets = set.value.octets();
        match set.field {
            FieldId::VLAN_TCI => {
                let tci = number as u16;
                if tci & flags::VLAN_PRESENT == 0 {
                    return self.action(&Action::PopVlan, out);
                }
                self.push_missing_tag(true, out)?;
                self.set_vlan_vid(tci & 0xfff, false, out)?;
                self.set_vlan_pcp((tci >> 13) as u8, false, out)
            }
            FieldId::VLAN_VID => self.set_vlan_vid(number as u16 & 0xfff, false, out),
            FieldId::VLAN_PCP => self.set_vlan_pcp(number as u8, false, out),
            FieldId::ETH_SRC => self.legacy(Raw::SetEthSrc, FieldId::ETH_SRC, octets, out),
            FieldId::ETH_DST => self.legacy(Raw::SetEthDst, FieldId::ETH_DST, octets, out),
            FieldId::IPV4_SRC => self.legacy(Raw::SetIpv4Src, FieldId::IPV4_SRC, octets, out),
            FieldId::IPV4_DST => self.legacy(Raw::SetIpv4Dst, FieldId::IPV4_DST, octets, out),
            FieldId::IP_DSCP => self.put_u8(Raw::SetIpTos, number as u8, out),
            FieldId::IP_DSCP_SHIFTED => self.put_u8(Raw::SetIpTos, (number << 2) as u8, out),
            FieldId::IP_ECN => self.set_ecn(number as u8, out),
            FieldId::TCP_SRC | FieldId::UDP_SRC => self.put_u16(Raw::SetTpSrc, number as u16, out),
            FieldId::TCP_DST | FieldId::UDP_DST => self.put_u16(Raw::SetTpDst, number as u16, out),
            _ => self.set_field_of_nicira(set, out),
        }
    }
}
