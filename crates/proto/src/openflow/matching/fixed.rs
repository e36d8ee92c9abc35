//! The matches of OpenFlow 1.0 and 1.1: structures of fixed size with a word of wildcards.
//!
//! What: each says a part of what [`Match`] can say; writing leaves the rest out. [`Match::fits_v10`] and
//! [`Match::fits_v11`] tell whether that would change the match.

use super::{Entry, Match, number};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::OfError;
use crate::openflow::field::{FieldId, flags};
use crate::openflow::port::OfPort;
use crate::openflow::value::Value;

/// Wildcards of OpenFlow 1.0 (`OFPFW10_*`).
mod v10 {
    pub(super) const IN_PORT: u32 = 1;
    pub(super) const DL_VLAN: u32 = 1 << 1;
    pub(super) const DL_SRC: u32 = 1 << 2;
    pub(super) const DL_DST: u32 = 1 << 3;
    pub(super) const DL_TYPE: u32 = 1 << 4;
    pub(super) const NW_PROTO: u32 = 1 << 5;
    pub(super) const TP_SRC: u32 = 1 << 6;
    pub(super) const TP_DST: u32 = 1 << 7;
    pub(super) const NW_SRC_SHIFT: u32 = 8;
    pub(super) const NW_DST_SHIFT: u32 = 14;
    pub(super) const DL_VLAN_PCP: u32 = 1 << 20;
    pub(super) const NW_TOS: u32 = 1 << 21;
    /// Identifier of "no tag".
    pub(super) const NO_VLAN: u16 = 0xffff;
}

/// Wildcards of OpenFlow 1.1 (`OFPFW11_*`).
mod v11 {
    pub(super) const IN_PORT: u32 = 1;
    pub(super) const DL_VLAN: u32 = 1 << 1;
    pub(super) const DL_VLAN_PCP: u32 = 1 << 2;
    pub(super) const DL_TYPE: u32 = 1 << 3;
    pub(super) const NW_TOS: u32 = 1 << 4;
    pub(super) const NW_PROTO: u32 = 1 << 5;
    pub(super) const TP_SRC: u32 = 1 << 6;
    pub(super) const TP_DST: u32 = 1 << 7;
    pub(super) const MPLS_LABEL: u32 = 1 << 8;
    pub(super) const MPLS_TC: u32 = 1 << 9;
    /// Identifier of "any tag".
    pub(super) const ANY_VLAN: u16 = 0xfffe;
    /// Identifier of "no tag".
    pub(super) const NO_VLAN: u16 = 0xffff;
    /// Type of the structure (`OFPMT_STANDARD`).
    pub(super) const STANDARD: u16 = 0;
    /// Octets of the structure.
    pub(super) const LENGTH: u16 = 88;
}

const VID: u16 = 0x0fff;
const PRESENT: u16 = flags::VLAN_PRESENT;
const PCP: u16 = 0xe000;

/// The mask of a prefix of which the lowest `wild` bits do not count; six bits of `wild` are looked at.
const fn prefix(wild: u32) -> u32 {
    let wild = wild & 0x3f;
    if wild < 32 { u32::MAX << wild } else { 0 }
}

impl Match {
    fn put_number(&mut self, field: FieldId, value: u128, mask: u128) {
        let octets = usize::from(field.get().octets);
        let (value, mask) = (Value::from_number(value & mask, octets), Value::from_number(mask, octets));
        self.put_home(field, value, mask.and(&field.get().ones()));
    }

    fn for_ethernet(&mut self) {
        if self.home(FieldId::PACKET_TYPE).is_none() {
            self.put_home(FieldId::PACKET_TYPE, Value::zero(4), Value::ones(4));
        }
    }

    /// Value and mask of a home as numbers.
    fn numbers(&self, field: FieldId) -> (u128, u128) {
        self.home(field).map_or((0, 0), |entry| (entry.value.to_u128(), entry.mask.to_u128()))
    }

    /// Reads the match of OpenFlow 1.0 (`ofp10_match`, 40 octets). It is not normalised: [`Match::normalise`].
    ///
    /// # Errors
    ///
    /// The reader's error if the octets end early.
    pub fn take_v10(from: &mut Reader<'_>) -> Result<Self, OfError> {
        let mut from = from.sub(40)?;
        let mut read = Self::any();
        let wild = from.u32()?;
        let counts = |bit: u32| wild & bit == 0;
        let whole = |bit: u32, ones: u128| if counts(bit) { ones } else { 0 };
        read.put_number(FieldId::IN_PORT, from.u16()?.into(), whole(v10::IN_PORT, 0xffff));
        let mac = |octets: [u8; 6]| Value::from_octets(&octets).unwrap_or_else(|| Value::zero(6)).to_u128();
        read.put_number(FieldId::ETH_SRC, mac(from.array()?), whole(v10::DL_SRC, 0xffff_ffff_ffff));
        read.put_number(FieldId::ETH_DST, mac(from.array()?), whole(v10::DL_DST, 0xffff_ffff_ffff));
        let vid = from.u16()?;
        let pcp = from.u8()?;
        from.skip(1)?;
        let mut tci_mask = 0;
        if counts(v10::DL_VLAN) {
            tci_mask |= VID | PRESENT;
        }
        if counts(v10::DL_VLAN_PCP) {
            tci_mask |= PCP | PRESENT;
        }
        if counts(v10::DL_VLAN) && vid == v10::NO_VLAN {
            read.put_number(FieldId::VLAN_TCI, 0, 0xffff);
        } else {
            let tci = vid & VID | u16::from(pcp & 7) << 13 | PRESENT;
            read.put_number(FieldId::VLAN_TCI, tci.into(), tci_mask.into());
        }
        read.put_number(FieldId::ETH_TYPE, from.u16()?.into(), whole(v10::DL_TYPE, 0xffff));
        read.put_number(FieldId::IP_DSCP, u128::from(from.u8()? & 0xfc), whole(v10::NW_TOS, 0xff));
        read.put_number(FieldId::IP_PROTO, from.u8()?.into(), whole(v10::NW_PROTO, 0xff));
        from.skip(2)?;
        read.put_number(FieldId::IPV4_SRC, from.u32()?.into(), prefix(wild >> v10::NW_SRC_SHIFT).into());
        read.put_number(FieldId::IPV4_DST, from.u32()?.into(), prefix(wild >> v10::NW_DST_SHIFT).into());
        read.put_number(FieldId::TCP_SRC, from.u16()?.into(), whole(v10::TP_SRC, 0xffff));
        read.put_number(FieldId::TCP_DST, from.u16()?.into(), whole(v10::TP_DST, 0xffff));
        if read.entries.iter().any(|entry| entry.field != FieldId::IN_PORT) {
            read.for_ethernet();
        }
        Ok(read)
    }

    /// Writes the match of OpenFlow 1.0, without what it can't say.
    pub fn put_v10(&self, out: &mut Writer) {
        let mut wild = 0;
        let mut note = |field: FieldId, bit: u32| {
            let (value, mask) = self.numbers(field);
            wild |= if mask == 0 { bit } else { 0 };
            value
        };
        let in_port = note(FieldId::IN_PORT, v10::IN_PORT) as u16;
        let eth_src = note(FieldId::ETH_SRC, v10::DL_SRC);
        let eth_dst = note(FieldId::ETH_DST, v10::DL_DST);
        let eth_type = note(FieldId::ETH_TYPE, v10::DL_TYPE) as u16;
        let tos = note(FieldId::IP_DSCP, v10::NW_TOS) as u8;
        let protocol = note(FieldId::IP_PROTO, v10::NW_PROTO) as u8;
        let tp_src = note(FieldId::TCP_SRC, v10::TP_SRC) as u16;
        let tp_dst = note(FieldId::TCP_DST, v10::TP_DST) as u16;
        let ((src, src_mask), (dst, dst_mask)) =
            (self.numbers(FieldId::IPV4_SRC), self.numbers(FieldId::IPV4_DST));
        wild |= (32 - (src_mask as u32).leading_ones()) << v10::NW_SRC_SHIFT;
        wild |= (32 - (dst_mask as u32).leading_ones()) << v10::NW_DST_SHIFT;
        let (tci, tci_mask) = self.numbers(FieldId::VLAN_TCI);
        let (tci, tci_mask) = (tci as u16, tci_mask as u16);
        let (mut vid, mut pcp) = (0, 0);
        if tci_mask == 0 {
            wild |= v10::DL_VLAN | v10::DL_VLAN_PCP;
        } else if tci_mask & PRESENT != 0 && tci & PRESENT == 0 {
            vid = v10::NO_VLAN;
        } else {
            if tci_mask & VID == 0 {
                wild |= v10::DL_VLAN
            } else {
                vid = tci & VID
            }
            if tci_mask & PCP == 0 { wild |= v10::DL_VLAN_PCP } else { pcp = (tci >> 13) as u8 }
        }
        out.u32(wild);
        out.u16(in_port);
        out.bytes(Value::from_number(eth_src, 6).octets());
        out.bytes(Value::from_number(eth_dst, 6).octets());
        out.u16(vid);
        out.u8(pcp);
        out.zeros(1);
        out.u16(eth_type);
        out.u8(tos & 0xfc);
        out.u8(protocol);
        out.zeros(2);
        out.u32(src as u32);
        out.u32(dst as u32);
        out.u16(tp_src);
        out.u16(tp_dst);
    }

    /// Reads a match of OpenFlow 1.1 and later with its header: the structure of 1.1, or OXM, as its type says.
    ///
    /// # Errors
    ///
    /// `OFPBMC_BAD_LEN`, `_BAD_TYPE`, `_BAD_VALUE`, `_BAD_FIELD`; and those of [`Match::take_oxm`].
    pub fn take_v11(from: &mut Reader<'_>) -> Result<Self, OfError> {
        let mut ahead = Reader::with_error(from.rest(), OfError::OFPBMC_BAD_LEN);
        let (kind, length) = (ahead.u16()?, ahead.u16()?);
        if kind != v11::STANDARD {
            return Self::take_oxm(from, super::oxm::Rules::STRICT);
        }
        if length != v11::LENGTH {
            return Err(OfError::OFPBMC_BAD_LEN);
        }
        let mut body = ahead.sub(usize::from(v11::LENGTH) - 4)?;
        from.skip(usize::from(v11::LENGTH))?;
        Self::take_standard(&mut body)
    }

    fn take_standard(from: &mut Reader<'_>) -> Result<Self, OfError> {
        let mut read = Self::any();
        let in_port = from.u32()?;
        let wild = from.u32()?;
        let counts = |bit: u32| wild & bit == 0;
        if counts(v11::IN_PORT) {
            let port = OfPort::from_wide(in_port).ok_or(OfError::OFPBMC_BAD_VALUE)?;
            read.put_number(FieldId::IN_PORT, port.0.into(), 0xffff);
        }
        for field in [FieldId::ETH_SRC, FieldId::ETH_DST] {
            let value = from.array::<6>()?;
            let mask = from.array::<6>()?.map(|octet| !octet);
            if let (Some(value), Some(mask)) = (Value::from_octets(&value), Value::from_octets(&mask)) {
                read.put_home(field, value.and(&mask), mask);
            }
        }
        let (vid, pcp) = (from.u16()?, from.u8()?);
        from.skip(1)?;
        if counts(v11::DL_VLAN) {
            read.set_tag(vid, counts(v11::DL_VLAN_PCP).then_some(pcp))?;
        }
        let eth_type = from.u16()?;
        if counts(v11::DL_TYPE) {
            read.put_number(FieldId::ETH_TYPE, eth_type.into(), 0xffff);
        }
        if read.entries.iter().any(|entry| entry.field != FieldId::IN_PORT) {
            read.for_ethernet();
        }
        read.take_standard_network(from, wild)?;
        Ok(read)
    }

    /// What the structure of 1.1 says of the VLAN tag.
    fn set_tag(&mut self, vid: u16, pcp: Option<u8>) -> Result<(), OfError> {
        let (mut tci, mut mask) = match vid {
            v11::NO_VLAN => {
                self.put_number(FieldId::VLAN_TCI, 0, 0xffff);
                return Ok(());
            }
            v11::ANY_VLAN => (PRESENT, PRESENT),
            0..=VID => (PRESENT | vid, PRESENT | VID),
            _ => return Err(OfError::OFPBMC_BAD_VALUE),
        };
        if let Some(pcp) = pcp {
            if pcp > 7 {
                return Err(OfError::OFPBMC_BAD_VALUE);
            }
            tci |= u16::from(pcp) << 13;
            mask |= PCP;
        }
        self.put_number(FieldId::VLAN_TCI, tci.into(), mask.into());
        Ok(())
    }

    fn take_standard_network(&mut self, from: &mut Reader<'_>, wild: u32) -> Result<(), OfError> {
        let counts = |bit: u32| wild & bit == 0;
        let eth_type = self.number(FieldId::ETH_TYPE);
        let ipv4 = eth_type == number::IPV4;
        let arp = matches!(eth_type, number::ARP | number::RARP);
        let (tos, protocol) = (from.u8()?, from.u8()?);
        if ipv4 && counts(v11::NW_TOS) {
            if tos & 3 != 0 {
                return Err(OfError::OFPBMC_BAD_VALUE);
            }
            self.put_number(FieldId::IP_DSCP, tos.into(), 0xff);
        }
        if (ipv4 || arp) && counts(v11::NW_PROTO) {
            self.put_number(FieldId::IP_PROTO, protocol.into(), 0xff);
        }
        for field in [FieldId::IPV4_SRC, FieldId::IPV4_DST] {
            let (value, mask) = (from.u32()?, !from.u32()?);
            if ipv4 || arp {
                self.put_number(field, value.into(), mask.into());
            }
        }
        let ports = [
            (FieldId::TCP_SRC, from.u16()?, counts(v11::TP_SRC)),
            (FieldId::TCP_DST, from.u16()?, counts(v11::TP_DST)),
        ];
        for (field, value, counts) in ports {
            let protocol = self.number(FieldId::IP_PROTO);
            if !ipv4 || !counts {
                continue;
            }
            match protocol {
                number::ICMP if value > 0xff => return Err(OfError::OFPBMC_BAD_FIELD),
                number::ICMP | number::TCP | number::UDP | number::SCTP => {
                    self.put_number(field, value.into(), 0xffff);
                }
                _ => {}
            }
        }
        let (label, class) = (from.u32()?, from.u8()?);
        from.skip(3)?;
        if matches!(eth_type, number::MPLS | number::MPLS_UPSTREAM) {
            if counts(v11::MPLS_LABEL) {
                self.put_number(FieldId::MPLS_LABEL, u128::from(label & 0xf_ffff), 0xf_ffff);
            }
            if counts(v11::MPLS_TC) {
                self.put_number(FieldId::MPLS_TC, u128::from(class & 7), 7);
            }
        }
        let (metadata, mask) = (from.u64()?, !from.u64()?);
        self.put_number(FieldId::METADATA, metadata.into(), mask.into());
        Ok(())
    }

    /// Writes the match of OpenFlow 1.1 (`ofp11_match`), without what it can't say.
    pub fn put_v11(&self, out: &mut Writer) {
        let mut wild = 0;
        let mut note = |field: FieldId, bit: u32| {
            let (value, mask) = self.numbers(field);
            wild |= if mask == 0 { bit } else { 0 };
            value
        };
        let in_port = note(FieldId::IN_PORT, v11::IN_PORT) as u16;
        let eth_type = note(FieldId::ETH_TYPE, v11::DL_TYPE) as u16;
        let tos = note(FieldId::IP_DSCP, v11::NW_TOS) as u8;
        let protocol = note(FieldId::IP_PROTO, v11::NW_PROTO) as u8;
        let tp_src = note(FieldId::TCP_SRC, v11::TP_SRC) as u16;
        let tp_dst = note(FieldId::TCP_DST, v11::TP_DST) as u16;
        let label = note(FieldId::MPLS_LABEL, v11::MPLS_LABEL) as u32;
        let class = note(FieldId::MPLS_TC, v11::MPLS_TC) as u8;
        let (tci, tci_mask) = self.numbers(FieldId::VLAN_TCI);
        let (tci, tci_mask) = (tci as u16, tci_mask as u16);
        let (mut vid, mut pcp) = (0, 0);
        if tci_mask == 0 {
            wild |= v11::DL_VLAN | v11::DL_VLAN_PCP;
        } else if tci_mask & PRESENT != 0 && tci & PRESENT == 0 {
            vid = v11::NO_VLAN;
            wild |= v11::DL_VLAN_PCP;
        } else {
            vid = if tci_mask & VID == 0 { v11::ANY_VLAN } else { tci & VID };
            if tci_mask & PCP == 0 { wild |= v11::DL_VLAN_PCP } else { pcp = (tci >> 13) as u8 }
        }
        out.u16(v11::STANDARD);
        out.u16(v11::LENGTH);
        out.u32(if wild & v11::IN_PORT == 0 { OfPort(in_port).wide() } else { 0 });
        out.u32(wild);
        for field in [FieldId::ETH_SRC, FieldId::ETH_DST] {
            let (value, mask) = self.numbers(field);
            out.bytes(Value::from_number(value, 6).octets());
            out.bytes(Value::from_number(!mask, 6).octets());
        }
        out.u16(vid);
        out.u8(pcp);
        out.zeros(1);
        out.u16(eth_type);
        out.u8(tos & 0xfc);
        out.u8(protocol);
        for field in [FieldId::IPV4_SRC, FieldId::IPV4_DST] {
            let (value, mask) = self.numbers(field);
            out.u32(value as u32);
            out.u32(!(mask as u32));
        }
        out.u16(tp_src);
        out.u16(tp_dst);
        out.u32(label);
        out.u8(class);
        out.zeros(3);
        let (metadata, mask) = self.numbers(FieldId::METADATA);
        out.u64(metadata as u64);
        out.u64(!(mask as u64));
    }

    /// Whether the match of OpenFlow 1.0 says all that this one says.
    #[must_use]
    pub fn fits_v10(&self) -> bool {
        if self.is_plain() {
            return true;
        }
        let mut out = Writer::new();
        self.put_v10(&mut out);
        Self::take_v10(&mut Reader::new(out.as_slice())).is_ok_and(|mut read| {
            read.normalise();
            read.says_as(self)
        })
    }

    /// Whether everything is said in the way in which both structures say it, so that it need not be tried: no tag, addresses
    /// of Ethernet whole, those of IPv4 under prefixes, nothing that would be forgotten.
    fn is_plain(&self) -> bool {
        let mut ethernet = false;
        let plain = self.entries.iter().all(|Entry { field, value, mask }| {
            ethernet |= !matches!(*field, FieldId::IN_PORT | FieldId::PACKET_TYPE);
            match *field {
                FieldId::PACKET_TYPE => value.is_zero() && mask.is_all_ones(),
                FieldId::IN_PORT
                | FieldId::ETH_SRC
                | FieldId::ETH_DST
                | FieldId::ETH_TYPE
                | FieldId::IP_PROTO
                | FieldId::TCP_SRC
                | FieldId::TCP_DST => mask.is_all_ones(),
                FieldId::IPV4_SRC | FieldId::IPV4_DST => {
                    let mask = mask.to_u64() as u32;
                    mask.leading_ones() == mask.count_ones()
                }
                _ => false,
            }
        });
        plain && ethernet == self.present.has(FieldId::PACKET_TYPE) && self.is_normal()
    }

    /// Whether the match of OpenFlow 1.1 says all that this one says.
    #[must_use]
    pub fn fits_v11(&self) -> bool {
        let mut out = Writer::new();
        self.put_v11(&mut out);
        Self::take_v11(&mut Reader::new(out.as_slice())).is_ok_and(|read| read.says_as(self))
    }

    /// Whether both match the same packets: without a tag the priority says nothing.
    fn says_as(&self, other: &Self) -> bool {
        let untagged = |of: &Self| {
            let (value, mask) = of.numbers(FieldId::VLAN_TCI);
            let present = u128::from(PRESENT);
            mask & present != 0 && value & present == 0
        };
        if !untagged(self) || !untagged(other) {
            return self == other;
        }
        let plain = |of: &Self| {
            let mut of = of.clone();
            of.put_number(FieldId::VLAN_TCI, 0, u128::from(PRESENT));
            of
        };
        plain(self) == plain(other)
    }
}
