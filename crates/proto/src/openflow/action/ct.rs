//! `ct` and `nat` on the wire.

use super::read::{Reading, nxm_field, packed, source_of};
use super::write::{Writing, pack, short_header};
use super::{Action, Ct, CtZone, Nat};
use crate::openflow::codec::{Reader, Writer, flag};
use crate::openflow::error::OfError;
use crate::openflow::value::Subfield;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const COMMIT: u16 = 1;
const FORCE: u16 = 2;
/// Number of a table that says "in no table".
const NO_TABLE: u8 = 0xff;
/// A zone has so many bits.
const ZONE_BITS: u16 = 16;

/// Flags of `nat` (`NX_NAT_F_*`).
mod nat_flag {
    pub(super) const SOURCE: u16 = 1;
    pub(super) const DESTINATION: u16 = 1 << 1;
    pub(super) const PERSISTENT: u16 = 1 << 2;
    pub(super) const HASH: u16 = 1 << 3;
    pub(super) const RANDOM: u16 = 1 << 4;
    pub(super) const ALL: u16 = 0x1f;
}

/// What of a range is there (`NX_NAT_RANGE_*`).
mod range {
    pub(super) const IPV4_MIN: u16 = 1;
    pub(super) const IPV4_MAX: u16 = 1 << 1;
    pub(super) const IPV6_MIN: u16 = 1 << 2;
    pub(super) const IPV6_MAX: u16 = 1 << 3;
    pub(super) const PORT_MIN: u16 = 1 << 4;
    pub(super) const PORT_MAX: u16 = 1 << 5;
}

pub(super) fn read_ct(reading: Reading, body: &mut Reader<'_>) -> Result<Action, OfError> {
    let flags = body.u16()?;
    if flags & FORCE != 0 && flags & COMMIT == 0 {
        return Err(OfError::OFPBAC_BAD_ARGUMENT);
    }
    let (field, zone) = (body.u32()?, body.u16()?);
    let zone = if field == 0 {
        CtZone::Immediate(zone)
    } else {
        let (offset, bits) = packed(zone);
        let source = source_of(Subfield { field: nxm_field(field)?, offset, bits })?;
        if bits != ZONE_BITS {
            return Err(OfError::OFPBAC_BAD_SET_LEN);
        }
        CtZone::Field(source)
    };
    let table = body.u8()?;
    body.skip(3)?;
    let alg = body.u16()?;
    let actions = reading.nested(body)?;
    super::verify::verify_within_ct(&actions)?;
    let commit = flags & COMMIT != 0;
    let plain =
        |action: &Action| matches!(action, Action::Nat(nat) if nat.flags() == 0 && nat.addresses.is_none());
    if !commit && !actions.iter().all(plain) {
        return Err(OfError::OFPBAC_BAD_ARGUMENT);
    }
    let table = (table != NO_TABLE).then_some(table);
    Ok(Action::Ct(Box::new(Ct { commit, force: flags & FORCE != 0, zone, table, alg, actions })))
}

pub(super) fn write_ct(writing: &mut Writing<'_>, ct: &Ct, out: &mut Writer) -> Result<(), OfError> {
    out.u16(flag(ct.commit, COMMIT) | flag(ct.force, FORCE));
    match ct.zone {
        CtZone::Immediate(zone) => {
            out.u32(0);
            out.u16(zone);
        }
        CtZone::Field(source) => {
            short_header(writing, source.field, out);
            out.u16(pack(source));
        }
    }
    out.u8(ct.table.unwrap_or(NO_TABLE));
    out.zeros(3);
    out.u16(ct.alg);
    writing.nested(&ct.actions, out)
}

impl Nat {
    fn flags(&self) -> u16 {
        flag(self.source, nat_flag::SOURCE)
            | flag(self.destination, nat_flag::DESTINATION)
            | flag(self.persistent, nat_flag::PERSISTENT)
            | flag(self.hash, nat_flag::HASH)
            | flag(self.random, nat_flag::RANDOM)
    }
}

pub(super) fn read_nat(body: &mut Reader<'_>) -> Result<Action, OfError> {
    let bad = OfError::OFPBAC_BAD_ARGUMENT;
    body.skip(2)?;
    let (flags, present) = (body.u16()?, body.u16()?);
    let has = |bit: u16| flags & bit != 0;
    let there = |bit: u16| present & bit != 0;
    let contradicts =
        has(nat_flag::SOURCE) && has(nat_flag::DESTINATION) || has(nat_flag::HASH) && has(nat_flag::RANDOM);
    if flags & !nat_flag::ALL != 0 || contradicts {
        return Err(bad);
    }
    let mut from = Reader::with_error(body.take(body.len())?, bad);
    let v4 = there(range::IPV4_MIN);
    let v6 = there(range::IPV6_MIN);
    let unfounded = there(range::IPV4_MAX) && !v4 || there(range::IPV6_MAX) && !v6 || v4 && v6;
    if unfounded {
        return Err(bad);
    }
    let addresses = if v4 {
        let low = Ipv4Addr::from(from.u32()?);
        let high = there(range::IPV4_MAX).then(|| from.u32()).transpose()?.map(Ipv4Addr::from);
        let high = high.filter(|high| !high.is_unspecified());
        if low.is_unspecified() || high.is_some_and(|high| high < low) {
            return Err(bad);
        }
        Some((IpAddr::V4(low), high.map(IpAddr::V4)))
    } else if v6 {
        let low = Ipv6Addr::from(from.u128()?);
        let high = there(range::IPV6_MAX).then(|| from.u128()).transpose()?.map(Ipv6Addr::from);
        let high = high.filter(|high| !high.is_unspecified());
        if low.is_unspecified() || high.is_some_and(|high| high < low) {
            return Err(bad);
        }
        Some((IpAddr::V6(low), high.map(IpAddr::V6)))
    } else {
        None
    };
    let ports = if there(range::PORT_MIN) {
        let low = from.u16()?;
        let high = there(range::PORT_MAX).then(|| from.u16()).transpose()?;
        if addresses.is_none() || low == 0 || high.is_some_and(|high| high < low) {
            return Err(bad);
        }
        Some((low, high))
    } else if there(range::PORT_MAX) {
        return Err(bad);
    } else {
        None
    };
    Ok(Action::Nat(Box::new(Nat {
        source: has(nat_flag::SOURCE),
        destination: has(nat_flag::DESTINATION),
        persistent: has(nat_flag::PERSISTENT),
        hash: has(nat_flag::HASH),
        random: has(nat_flag::RANDOM),
        addresses,
        ports,
    })))
}

pub(super) fn write_nat(nat: &Nat, out: &mut Writer) {
    out.zeros(2);
    out.u16(nat.flags());
    let place = out.len();
    out.u16(0);
    let mut present = 0;
    if let Some((low, high)) = nat.addresses {
        present |= put_address(low, (range::IPV4_MIN, range::IPV6_MIN), out);
        present |= high.map_or(0, |high| put_address(high, (range::IPV4_MAX, range::IPV6_MAX), out));
        if let Some((low, high)) = nat.ports {
            out.u16(low);
            present |= range::PORT_MIN;
            if let Some(high) = high {
                out.u16(high);
                present |= range::PORT_MAX;
            }
        }
    }
    out.patch_u16(place, present);
}

fn put_address(address: IpAddr, (v4, v6): (u16, u16), out: &mut Writer) -> u16 {
    match address {
        IpAddr::V4(address) => {
            out.bytes(&address.octets());
            v4
        }
        IpAddr::V6(address) => {
            out.bytes(&address.octets());
            v6
        }
    }
}
