//! Fields that share a place: where each has its home, and how it is read and written there.

use super::Match;
use crate::openflow::field::{FieldId, flags};
use crate::openflow::port::OfPort;
use crate::openflow::value::Value;

/// Where a field is kept.
#[derive(Clone, Copy)]
enum Home {
    /// Under itself.
    Own,
    /// Under another field, as a number of another width.
    Same(FieldId),
    /// In several registers of 32 bits: the first and how many.
    Registers(u8, u8),
    /// In the bits of another field: how far up, and which.
    Bits(FieldId, u32, u128),
    /// As a port of 16 bits.
    WidePort,
}

#[inline]
fn home(field: FieldId) -> Home {
    HOMES[field.index() % FieldId::COUNT]
}

/// By the field's number.
static HOMES: [Home; FieldId::COUNT] = homes();

const fn homes() -> [Home; FieldId::COUNT] {
    let mut homes = [Home::Own; FieldId::COUNT];
    let mut number = 0;
    while number < FieldId::COUNT {
        if let Some(field) = FieldId::of_index(number) {
            homes[number] = home_of(field);
        }
        number += 1;
    }
    homes
}

const fn home_of(field: FieldId) -> Home {
    if let Some(number) = field.as_xreg() {
        return Home::Registers(number * 2, 2);
    }
    if let Some(number) = field.as_xxreg() {
        return Home::Registers(number * 4, 4);
    }
    match field {
        FieldId::IN_PORT_OXM => Home::WidePort,
        FieldId::VLAN_VID => Home::Bits(FieldId::VLAN_TCI, 0, 0x1fff),
        FieldId::DL_VLAN => Home::Bits(FieldId::VLAN_TCI, 0, 0x0fff),
        FieldId::VLAN_PCP | FieldId::DL_VLAN_PCP => Home::Bits(FieldId::VLAN_TCI, 13, 7),
        FieldId::IP_DSCP_SHIFTED => Home::Bits(FieldId::IP_DSCP, 2, 0x3f),
        FieldId::ARP_OP => Home::Same(FieldId::IP_PROTO),
        FieldId::ARP_SPA => Home::Same(FieldId::IPV4_SRC),
        FieldId::ARP_TPA => Home::Same(FieldId::IPV4_DST),
        FieldId::ND_SLL => Home::Same(FieldId::ARP_SHA),
        FieldId::ND_TLL => Home::Same(FieldId::ARP_THA),
        FieldId::UDP_SRC | FieldId::SCTP_SRC | FieldId::ICMPV4_TYPE | FieldId::ICMPV6_TYPE => {
            Home::Same(FieldId::TCP_SRC)
        }
        FieldId::UDP_DST | FieldId::SCTP_DST | FieldId::ICMPV4_CODE | FieldId::ICMPV6_CODE => {
            Home::Same(FieldId::TCP_DST)
        }
        _ => Home::Own,
    }
}

/// The mask of a window for that of another on the same place: what is matched whole in one is in the other.
pub(super) fn mask_at(home: FieldId, window: FieldId, mask: &Value) -> Value {
    let ones = window.get().ones();
    if mask.and(&ones) == ones {
        home.get().ones()
    } else {
        mask.and(&ones).resized(usize::from(home.get().octets))
    }
}

/// Whether nothing is said about a field.
#[inline]
pub(super) fn is_wild(of: &Match, field: FieldId) -> bool {
    match home(field) {
        Home::Own => !of.present.has(field),
        Home::Same(home) => !of.present.has(home),
        Home::WidePort => !of.present.has(FieldId::IN_PORT),
        Home::Registers(..) | Home::Bits(..) => get(of, field).is_none(),
    }
}

#[inline]
pub(super) fn get(of: &Match, field: FieldId) -> Option<(Value, Value)> {
    match home(field) {
        Home::Own => of.home(field).map(|entry| (entry.value.clone(), entry.mask.clone())),
        home => get_window(of, field, home),
    }
}

fn get_window(of: &Match, field: FieldId, home: Home) -> Option<(Value, Value)> {
    let octets = usize::from(field.get().octets);
    match home {
        Home::Own => None,
        Home::Same(home) => {
            let entry = of.home(home)?;
            if entry.value.len() == octets {
                return Some((entry.value.clone(), entry.mask.clone()));
            }
            let mask = mask_at(field, home, &entry.mask);
            Some((entry.value.resized(octets).and(&mask), mask))
        }
        Home::Registers(first, count) => {
            let (mut value, mut mask) = (0, 0);
            for number in first..first + count {
                let entry = FieldId::reg(number).and_then(|register| of.home(register));
                value = value << 32 | entry.map_or(0, |entry| entry.value.to_u128());
                mask = mask << 32 | entry.map_or(0, |entry| entry.mask.to_u128());
            }
            (mask != 0).then(|| (Value::from_number(value, octets), Value::from_number(mask, octets)))
        }
        Home::Bits(home, shift, ones) => {
            let entry = of.home(home)?;
            let mask = entry.mask.to_u128() >> shift & ones;
            let value = entry.value.to_u128() >> shift & ones;
            (mask != 0).then(|| (Value::from_number(value, octets), Value::from_number(mask, octets)))
        }
        Home::WidePort => {
            let entry = of.home(FieldId::IN_PORT)?;
            let port = OfPort(entry.value.to_u128() as u16);
            Some((Value::of(field, u128::from(port.wide())), Value::ones(octets)))
        }
    }
}

pub(super) fn set(of: &mut Match, field: FieldId, value: &Value, mask: &Value) {
    let row = field.get();
    if row.is_variable() {
        let octets = value.len().max(mask.len()).min(usize::from(row.octets));
        // Where no bit counts the option's presence does, whatever its length is.
        let octets = if mask.is_zero() { 0 } else { octets };
        let mask = mask.resized(octets);
        of.put_home(field, value.resized(octets).and(&mask), mask);
        return;
    }
    let octets = usize::from(row.octets);
    let value = value.resized(octets);
    let mask = mask.resized(octets).and(&row.ones());
    match home(field) {
        Home::Own => of.put_home(field, value.and(&mask), mask),
        Home::Same(home) => {
            let mask = mask_at(home, field, &mask);
            of.put_home(home, value.resized(usize::from(home.get().octets)).and(&mask), mask);
        }
        Home::Registers(first, count) => {
            for at in 0..count {
                let shift = u32::from(count - 1 - at) * 32;
                let part = |value: &Value| Value::from_number(value.to_u128() >> shift, 4);
                if let Some(register) = FieldId::reg(first + at) {
                    of.put_home(register, part(&value).and(&part(&mask)), part(&mask));
                }
            }
        }
        Home::Bits(home, shift, ones) => set_bits(of, field, home, shift, ones, (&value, &mask)),
        Home::WidePort => {
            let port = OfPort::from_wide(value.to_u128() as u32).unwrap_or(OfPort::NONE);
            let mask = if mask.is_zero() { Value::zero(2) } else { Value::ones(2) };
            of.put_home(FieldId::IN_PORT, Value::from_number(u128::from(port.0), 2).and(&mask), mask);
        }
    }
}

fn set_bits(
    of: &mut Match,
    field: FieldId,
    home: FieldId,
    shift: u32,
    ones: u128,
    (value, mask): (&Value, &Value),
) {
    let octets = usize::from(home.get().octets);
    let whole = Value::of(home, u128::MAX);
    // OpenFlow 1.0 writes "no tag" as an identifier of ones.
    if field == FieldId::DL_VLAN && value.to_u128() == 0xffff {
        of.put_home(home, Value::zero(octets), whole);
        return;
    }
    let (old, old_mask) = of.home(home).map_or((0, 0), |entry| (entry.value.to_u128(), entry.mask.to_u128()));
    let at = ones << shift;
    let mut new_mask = old_mask & !at | (mask.to_u128() & ones) << shift;
    let mut new = old & !at | (value.to_u128() & mask.to_u128() & ones) << shift;
    // The fields of version 1.0 say that there is a tag as well.
    let present = u128::from(flags::VLAN_PRESENT);
    if home == FieldId::VLAN_TCI && field != FieldId::VLAN_VID {
        if mask.is_zero() {
            // Without identifier and priority nothing is said about the tag (OVS: `match_set_any_vid`).
            if new_mask & 0xefff == 0 {
                (new, new_mask) = (0, 0);
            }
        } else {
            new |= present;
            new_mask |= present;
        }
    }
    of.put_home(home, Value::from_number(new & new_mask, octets), Value::from_number(new_mask, octets));
}
