//! What a flow matches: fields, each with a value and a mask.
//!
//! What: [`Match`] holds one entry for each place in a packet that is looked at. Where several fields are windows onto
//! one place, the entry is kept under one of them, its *home*, and all of them read and write it:
//!
//! ```text
//! home        windows
//! reg0-15     xreg0-7, xxreg0-3
//! in_port     in_port_oxm
//! vlan_tci    dl_vlan, vlan_vid, dl_vlan_pcp, vlan_pcp
//! nw_tos      ip_dscp
//! nw_proto    arp_op (its low octet)
//! ip_src/dst  arp_spa/tpa
//! arp_sha/tha nd_sll/tll
//! tcp_src/dst udp_src/dst, sctp_src/dst, icmp_type/code, icmpv6_type/code
//! ```
//!
//! So two matches that match the same packets in the same words are equal, however they were put together, and so did
//! Open vSwitch decide. [`Match::iter`] gives the last four lines under the name that the EtherType and the protocol of
//! the match call for.
//!
//! Invariants: entries are in the order of [`FieldId`]; no value has a bit that its mask does not have; no mask is
//! zero, but those of tunnel metadata, where the option's presence is matched; a mask has no bits that mean nothing
//! ([`super::field::Field::ones`]). A match that names a field with a prerequisite names `packet_type` too, as
//! Ethernet unless it says otherwise (OVS: `match_add_ethernet_prereq`).
//!
//! Costs: an entry is 56 octets; a match of up to 6 takes one allocation. A field that is not named costs one bit.

mod fixed;
mod oxm;
mod window;

pub(crate) use oxm::apart_from_exact;
pub use oxm::{Cookie, Rules, put_entry, take_entry};

use super::error::OfError;
use super::field::{FieldId, Prerequisite, flags};
use super::value::{Subfield, Value};
use std::fmt;

/// EtherTypes and protocols that decide what fields mean.
mod number {
    pub(super) const IPV4: u128 = 0x0800;
    pub(super) const IPV6: u128 = 0x86dd;
    pub(super) const ARP: u128 = 0x0806;
    pub(super) const RARP: u128 = 0x8035;
    pub(super) const MPLS: u128 = 0x8847;
    pub(super) const MPLS_UPSTREAM: u128 = 0x8848;
    pub(super) const NSH: u128 = 0x894f;
    pub(super) const ICMP: u128 = 1;
    pub(super) const TCP: u128 = 6;
    pub(super) const UDP: u128 = 17;
    pub(super) const ICMPV6: u128 = 58;
    pub(super) const SCTP: u128 = 132;
    pub(super) const SOLICITATION: u128 = 135;
    pub(super) const ADVERTISEMENT: u128 = 136;
    /// Name space of `packet_type` whose types are EtherTypes.
    pub(super) const NAMESPACE_ETHERTYPE: u128 = 1;
}

/// A field with its value and mask.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The field.
    pub field: FieldId,
    /// The value. Bits that the mask does not have are zero.
    pub value: Value,
    /// The bits that count.
    pub mask: Value,
}

impl Entry {
    /// Whether the whole field is matched.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        if self.field.get().is_variable() {
            self.mask.is_all_ones()
        } else {
            self.mask == self.field.get().ones()
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.field, self.value)?;
        if self.is_exact() { Ok(()) } else { write!(f, "/{:?}", self.mask) }
    }
}

/// What a flow matches. The default matches every packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Match {
    entries: Vec<Entry>,
    present: Present,
}

/// A bit for each home that has an entry, so that a field that is not named costs one look and no search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Present([u64; FieldId::COUNT.div_ceil(64)]);

impl Present {
    const NONE: Self = Self([0; FieldId::COUNT.div_ceil(64)]);

    #[inline]
    const fn has(&self, field: FieldId) -> bool {
        let number = field.index();
        self.0[number / 64 % Self::NONE.0.len()] >> (number % 64) & 1 != 0
    }

    fn set(&mut self, field: FieldId, there: bool) {
        let number = field.index();
        let (word, bit) = (&mut self.0[number / 64 % Self::NONE.0.len()], 1 << (number % 64));
        *word = if there { *word | bit } else { *word & !bit };
    }
}

impl Match {
    /// Matches every packet.
    #[must_use]
    pub const fn any() -> Self {
        Self { entries: Vec::new(), present: Present::NONE }
    }

    /// Whether every packet matches.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries by their homes, in order.
    #[must_use]
    pub fn homes(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries in order of their homes, each under the name that suits the match: `udp_src` for UDP, `arp_spa` for ARP.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.entries.iter().map(|entry| {
            let field = self.named(entry.field);
            let octets = usize::from(field.get().octets);
            if field == entry.field || field.get().is_variable() {
                entry.clone()
            } else {
                let mask = window::mask_at(field, entry.field, &entry.mask);
                Entry { field, value: entry.value.resized(octets).and(&mask), mask }
            }
        })
    }

    /// Where the entry of a home is, or would be.
    fn position(&self, home: FieldId) -> Result<usize, usize> {
        // Most are added in order, and few are there.
        match self.entries.last() {
            Some(last) if last.field < home => Err(self.entries.len()),
            _ => self.entries.binary_search_by_key(&home, |entry| entry.field),
        }
    }

    #[inline]
    fn home(&self, home: FieldId) -> Option<&Entry> {
        if !self.present.has(home) {
            return None;
        }
        self.entries.iter().find(|entry| entry.field == home)
    }

    /// The value of a home as a number, zero where it is not matched.
    #[inline]
    pub(crate) fn number(&self, home: FieldId) -> u128 {
        self.home(home).map_or(0, |entry| entry.value.to_u128())
    }

    fn put_home(&mut self, field: FieldId, value: Value, mask: Value) {
        let keep = field.get().is_variable() || !mask.is_zero();
        match self.position(field) {
            Ok(at) if keep => (self.entries[at].value, self.entries[at].mask) = (value, mask),
            Ok(at) => drop(self.entries.remove(at)),
            Err(at) if keep => {
                if self.entries.is_empty() {
                    // Packet type, EtherType, protocol, an address and a port: what most matches say.
                    self.entries.reserve_exact(6);
                }
                self.entries.insert(at, Entry { field, value, mask });
            }
            Err(_) => return,
        }
        self.present.set(field, keep);
    }

    /// What is said about a field or window: its value and mask, each as long as the field. Fields that share a place say
    /// the same, whatever the EtherType and protocol are: ask for the one that suits, or use [`iter`](Self::iter).
    #[must_use]
    #[inline]
    pub fn get(&self, field: FieldId) -> Option<(Value, Value)> {
        window::get(self, field)
    }

    /// The value of a field or window of up to 64 bits that is matched whole.
    #[must_use]
    pub fn exact(&self, field: FieldId) -> Option<u64> {
        let (value, mask) = self.get(field)?;
        (mask == field.get().ones()).then(|| value.to_u64())
    }

    /// Whether nothing is said about a field or window.
    #[must_use]
    #[inline]
    pub fn is_wild(&self, field: FieldId) -> bool {
        window::is_wild(self, field)
    }

    /// Whether there is an entry for any home from one to another.
    pub(crate) const fn names_any(&self, from: FieldId, to: FieldId) -> bool {
        let (mut number, mut any) = (from.index() / 64 * 64, false);
        while number <= to.index() {
            let low = from.index().saturating_sub(number);
            let above = (number + 63).saturating_sub(to.index());
            let wanted = u64::MAX << low & u64::MAX >> above;
            any |= self.present.0[number / 64] & wanted != 0;
            number += 64;
        }
        any
    }

    /// Matches a field or window whole. A value of another length is cut or filled up at the front.
    pub fn set(&mut self, field: FieldId, value: &Value) {
        let mask = if field.get().is_variable() { Value::ones(value.len()) } else { field.get().ones() };
        self.set_masked(field, value, &mask);
    }

    /// Matches a field whole by a number.
    pub fn set_number(&mut self, field: FieldId, number: u128) {
        self.set(field, &Value::of(field, number));
    }

    /// Matches the bits of `mask`. What was said about the field or window before is forgotten; a mask of zero says nothing
    /// about it, but that there is such an option for tunnel metadata. If the field has a prerequisite, the match
    /// is for Ethernet from now on unless it says otherwise.
    pub fn set_masked(&mut self, field: FieldId, value: &Value, mask: &Value) {
        window::set(self, field, value, mask);
        if field.get().prerequisite != Prerequisite::Nothing && !self.present.has(FieldId::PACKET_TYPE) {
            self.put_home(FieldId::PACKET_TYPE, Value::zero(4), Value::ones(4));
        }
    }

    /// Matches some bits of a field, beside those of it that are matched already. The bits are the low ones of `value`.
    pub fn add_bits(&mut self, bits: Subfield, value: &Value) {
        let octets = if bits.field.get().is_variable() {
            usize::from(bits.offset + bits.bits).div_ceil(8)
        } else {
            usize::from(bits.field.get().octets)
        };
        let nothing = || (Value::zero(octets), Value::zero(octets));
        let (mut values, mut mask) = self.get(bits.field).unwrap_or_else(nothing);
        if values.len() < octets {
            (values, mask) = (values.resized(octets), mask.resized(octets));
        }
        bits.write(&mut values, value);
        bits.write(&mut mask, &Value::ones(usize::from(bits.bits).div_ceil(8)));
        self.set_masked(bits.field, &values, &mask);
    }

    /// Says nothing about a field or window any more.
    pub fn clear(&mut self, field: FieldId) {
        if field.get().is_variable() {
            if let Ok(at) = self.position(field) {
                self.entries.remove(at);
                self.present.set(field, false);
            }
        } else {
            let zero = Value::zero(usize::from(field.get().octets));
            window::set(self, field, &zero, &zero);
        }
    }

    /// Whether the match is for Ethernet frames and says so, by itself or since a field asks for it.
    #[must_use]
    pub fn is_ethernet_only(&self) -> bool {
        self.home(FieldId::PACKET_TYPE).is_some_and(|entry| entry.value.is_zero())
    }

    /// The EtherType that decides what fields mean: the frame's, or that of `packet_type`; zero where none is known.
    #[must_use]
    pub fn ether_type(&self) -> u16 {
        let packet_type = self.number(FieldId::PACKET_TYPE);
        match packet_type >> 16 {
            0 if packet_type == 0 => self.number(FieldId::ETH_TYPE) as u16,
            number::NAMESPACE_ETHERTYPE => packet_type as u16,
            _ => 0,
        }
    }

    fn is_ip(&self) -> bool {
        matches!(u128::from(self.ether_type()), number::IPV4 | number::IPV6)
    }

    /// The IP protocol, where the match is for IP and says; zero otherwise.
    fn protocol(&self) -> u128 {
        if self.is_ip() { self.number(FieldId::IP_PROTO) } else { 0 }
    }

    fn is_neighbour(&self) -> bool {
        u128::from(self.ether_type()) == number::IPV6
            && self.protocol() == number::ICMPV6
            && self.number(FieldId::TCP_DST) == 0
            && matches!(self.number(FieldId::TCP_SRC), number::SOLICITATION | number::ADVERTISEMENT)
    }

    /// Whether what the match says already allows it to name `field`.
    #[must_use]
    pub fn allows(&self, field: FieldId) -> bool {
        self.meets(field.get().prerequisite)
    }

    /// Whether the match says what a prerequisite asks for.
    #[must_use]
    pub fn meets(&self, prerequisite: Prerequisite) -> bool {
        let ether_type = u128::from(self.ether_type());
        let first = self.number(FieldId::IP_FRAG) & u128::from(flags::FRAGMENT_LATER) == 0;
        match prerequisite {
            Prerequisite::Nothing => true,
            Prerequisite::Ethernet => self.number(FieldId::PACKET_TYPE) == 0,
            Prerequisite::Arp => matches!(ether_type, number::ARP | number::RARP),
            Prerequisite::Vlan => {
                self.number(FieldId::PACKET_TYPE) == 0
                    && self.number(FieldId::VLAN_TCI) & u128::from(flags::VLAN_PRESENT) != 0
            }
            Prerequisite::Ipv4 => ether_type == number::IPV4,
            Prerequisite::Ipv6 => ether_type == number::IPV6,
            Prerequisite::Ip => self.is_ip(),
            Prerequisite::Nsh => ether_type == number::NSH,
            Prerequisite::Mpls => matches!(ether_type, number::MPLS | number::MPLS_UPSTREAM),
            Prerequisite::Tcp => self.protocol() == number::TCP && first,
            Prerequisite::Udp => self.protocol() == number::UDP && first,
            Prerequisite::Sctp => self.protocol() == number::SCTP && first,
            Prerequisite::Icmp => ether_type == number::IPV4 && self.protocol() == number::ICMP,
            Prerequisite::Icmpv6 => ether_type == number::IPV6 && self.protocol() == number::ICMPV6,
            Prerequisite::Ct => self.is_tracked(),
            Prerequisite::Neighbour => self.is_neighbour(),
            Prerequisite::Solicitation => {
                self.is_neighbour() && self.number(FieldId::TCP_SRC) == number::SOLICITATION
            }
            Prerequisite::Advertisement => {
                self.is_neighbour() && self.number(FieldId::TCP_SRC) == number::ADVERTISEMENT
            }
        }
    }

    /// Whether the match is for packets of a connection that the tracker knows or may come to know (OVS: `is_ct_valid`).
    fn is_tracked(&self) -> bool {
        let Some((value, mask)) = self.get(FieldId::CT_STATE) else { return false };
        let (value, mask) = (value.to_u128() as u16, mask.to_u128() as u16);
        let valid = flags::CT_NEW
            | flags::CT_ESTABLISHED
            | flags::CT_RELATED
            | flags::CT_REPLY
            | flags::CT_SOURCE_NAT
            | flags::CT_DESTINATION_NAT;
        value & valid != 0
            || value & flags::CT_TRACKED != 0
                && mask & flags::CT_INVALID != 0
                && value & flags::CT_INVALID == 0
    }

    /// Whether addresses of a connection's original direction are those of the version of IP that the match is for. To be
    /// asked for the match of a flow that is changed; what a switch tells of a packet may be otherwise.
    ///
    /// # Errors
    ///
    /// `OFPBAC_MATCH_INCONSISTENT`.
    pub fn check_connection(&self) -> Result<(), OfError> {
        let ether_type = self.number(FieldId::ETH_TYPE);
        let names = |fields: [FieldId; 2]| fields.into_iter().any(|field| self.home(field).is_some());
        let ipv4 = names([FieldId::CT_NW_SRC, FieldId::CT_NW_DST]);
        let ipv6 = names([FieldId::CT_IPV6_SRC, FieldId::CT_IPV6_DST]);
        if ipv4 && ether_type != number::IPV4 || ipv6 && ether_type != number::IPV6 {
            Err(OfError::OFPBAC_MATCH_INCONSISTENT)
        } else {
            Ok(())
        }
    }

    /// The name that suits the match for a home.
    fn named(&self, home: FieldId) -> FieldId {
        let ether_type = u128::from(self.ether_type());
        let transport = |tcp, udp, sctp, icmp, icmpv6| match (ether_type, self.protocol()) {
            (_, number::UDP) => udp,
            (_, number::SCTP) => sctp,
            (number::IPV4, number::ICMP) => icmp,
            (number::IPV6, number::ICMPV6) => icmpv6,
            _ => tcp,
        };
        let arp = matches!(ether_type, number::ARP | number::RARP);
        match home {
            FieldId::IP_PROTO if arp => FieldId::ARP_OP,
            FieldId::IPV4_SRC if arp => FieldId::ARP_SPA,
            FieldId::IPV4_DST if arp => FieldId::ARP_TPA,
            FieldId::ARP_SHA if self.is_neighbour() => FieldId::ND_SLL,
            FieldId::ARP_THA if self.is_neighbour() => FieldId::ND_TLL,
            FieldId::TCP_SRC => transport(
                FieldId::TCP_SRC,
                FieldId::UDP_SRC,
                FieldId::SCTP_SRC,
                FieldId::ICMPV4_TYPE,
                FieldId::ICMPV6_TYPE,
            ),
            FieldId::TCP_DST => transport(
                FieldId::TCP_DST,
                FieldId::UDP_DST,
                FieldId::SCTP_DST,
                FieldId::ICMPV4_CODE,
                FieldId::ICMPV6_CODE,
            ),
            other => other,
        }
    }

    /// Forgets what cannot matter since the match does not say what it needs (OVS: `ofputil_normalize_match`). The answer is
    /// whether anything was forgotten. To be used for matches of OpenFlow 1.0 and for those that people write; from
    /// version 1.1 on what lacks a prerequisite is an error.
    pub fn normalise(&mut self) -> bool {
        if self.is_normal() {
            return false;
        }
        let counts = self.counting();
        self.entries.retain(|entry| counts(entry.field));
        self.present = Present::NONE;
        for entry in &self.entries {
            self.present.set(entry.field, true);
        }
        true
    }

    /// Whether [`normalise`](Self::normalise) would forget nothing.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        let counts = self.counting();
        self.entries.iter().all(|entry| counts(entry.field))
    }

    /// Which fields can matter.
    fn counting(&self) -> impl Fn(FieldId) -> bool + use<> {
        let default_type = self.home(FieldId::PACKET_TYPE).is_none_or(|entry| entry.value.is_zero());
        let ether_type = u128::from(self.ether_type());
        let protocol = self.number(FieldId::IP_PROTO);
        let (ipv4, ipv6) = (ether_type == number::IPV4, ether_type == number::IPV6);
        let arp = matches!(ether_type, number::ARP | number::RARP);
        let mpls = matches!(ether_type, number::MPLS | number::MPLS_UPSTREAM);
        let common = matches!(protocol, number::TCP | number::UDP | number::SCTP);
        let icmpv6 = ipv6 && protocol == number::ICMPV6;
        let transport = ipv4 && (common || protocol == number::ICMP) || ipv6 && common || icmpv6;
        let kind = self.number(FieldId::TCP_SRC);
        let solicitation = icmpv6 && kind == number::SOLICITATION;
        let advertisement = icmpv6 && kind == number::ADVERTISEMENT;
        move |field: FieldId| match field {
            FieldId::ETH_SRC | FieldId::ETH_DST => default_type,
            FieldId::IPV4_SRC | FieldId::IPV4_DST => ipv4 || arp,
            FieldId::TCP_SRC | FieldId::TCP_DST => transport,
            FieldId::IP_PROTO => ipv4 || ipv6 || arp,
            FieldId::IP_DSCP | FieldId::IP_ECN | FieldId::IP_TTL => ipv4 || ipv6,
            FieldId::ARP_SHA => arp || solicitation,
            FieldId::ARP_THA => arp || advertisement,
            FieldId::IPV6_SRC | FieldId::IPV6_DST | FieldId::IPV6_LABEL => ipv6,
            FieldId::ND_TARGET => solicitation || advertisement,
            FieldId::MPLS_LABEL | FieldId::MPLS_TC | FieldId::MPLS_BOS | FieldId::MPLS_TTL => mpls,
            _ => true,
        }
    }
}
