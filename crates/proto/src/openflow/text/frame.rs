//! The octets of a packet as the fields that flows match, and as text.
//!
//! What: [`parse_frame`] reads Ethernet with two VLAN tags, MPLS, IPv4 and IPv6 with their extension headers, ARP, NSH and
//! the transport headers; [`print_frame`] prints them in one line, with the transport's checksum behind. A header that is
//! cut or contradicts itself ends the reading: what it would have said is zero.
//!
//! Invariants: no octets panic. Absent: what is inside of tunnels.

use super::super::Value;
use super::super::field::FieldId;
use super::super::matching::Match;
use super::match_print::Inner;
use super::names::NUMBERS;
use super::print_packet;

const VLAN_TYPES: [u16; 2] = [0x8100, 0x88a8];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
const NSH: u16 = 0x894f;
/// Smallest number that is a type and not a length.
const LEAST_TYPE: u16 = 0x600;
/// What stands for a frame without type (`OFP_DL_TYPE_NOT_ETH_TYPE`).
const NO_TYPE: u16 = 0x05ff;
const TAGGED: u16 = 0x1000;
const BOTTOM: u32 = 0x100;

/// Octets from which headers are cut off at the front.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(number(self.take(2)?) as u16)
    }
}

fn number(octets: &[u8]) -> u64 {
    octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

fn part(octets: &[u8], from: usize, count: usize) -> u64 {
    number(octets.get(from..from + count).unwrap_or_default())
}

/// What was read of a frame.
#[derive(Default)]
struct Reading {
    fields: Match,
    inner: Inner,
    checksum: Option<String>,
}

impl Reading {
    fn put(&mut self, field: FieldId, value: u64) {
        self.fields.set_number(field, value.into());
    }

    fn put_octets(&mut self, field: FieldId, octets: &[u8]) {
        if let Some(value) = Value::from_octets(octets) {
            self.fields.set(field, &value);
        }
    }

    fn ethernet(&mut self, octets: &mut Octets<'_>) -> Option<()> {
        let header = octets.take(12)?;
        self.put(FieldId::PACKET_TYPE, 0);
        self.put_octets(FieldId::ETH_DST, header.get(..6)?);
        self.put_octets(FieldId::ETH_SRC, header.get(6..)?);
        let mut tags = Vec::new();
        while tags.len() < 2 && octets.0.len() >= 4 && VLAN_TYPES.contains(&(part(octets.0, 0, 2) as u16)) {
            octets.u16()?;
            tags.push(octets.u16()? | TAGGED);
        }
        if let Some(outer) = tags.first() {
            self.put(FieldId::VLAN_TCI, (*outer).into());
        }
        if let Some(second) = tags.get(1) {
            self.inner.vlan = (*second, 0xffff);
        }
        let kind = octets.u16()?;
        let kind = if kind >= LEAST_TYPE { kind } else { snap_type(octets) };
        self.put(FieldId::ETH_TYPE, kind.into());
        self.network(kind, octets)
    }

    fn network(&mut self, kind: u16, octets: &mut Octets<'_>) -> Option<()> {
        match kind {
            0x8847 | 0x8848 => self.mpls(octets),
            IPV4 => self.ipv4(octets),
            IPV6 => self.ipv6(octets),
            ARP | RARP => self.arp(octets),
            NSH => self.nsh(octets),
            _ => None,
        }
    }

    fn mpls(&mut self, octets: &mut Octets<'_>) -> Option<()> {
        let mut labels = Vec::new();
        while let Some(entry) = octets.take(4) {
            let entry = number(entry) as u32;
            if labels.len() < 3 {
                labels.push(entry);
            }
            if entry & BOTTOM != 0 {
                break;
            }
        }
        let first = *labels.first()?;
        self.put(FieldId::MPLS_LABEL, (first >> 12).into());
        self.put(FieldId::MPLS_TC, (first >> 9 & 7).into());
        self.put(FieldId::MPLS_BOS, (first >> 8 & 1).into());
        self.put(FieldId::MPLS_TTL, (first & 0xff).into());
        let entry = |at: usize| labels.get(at).map_or((0, 0), |entry| (*entry, u32::MAX));
        self.inner.labels = [entry(1), entry(2)];
        None
    }

    fn service(&mut self, tos: u64, ttl: u64, fragment: u64, protocol: u64) {
        self.put(FieldId::IP_DSCP, tos & 0xfc);
        self.put(FieldId::IP_ECN, tos & 3);
        self.put(FieldId::IP_TTL, ttl);
        self.put(FieldId::IP_FRAG, fragment);
        self.put(FieldId::IP_PROTO, protocol);
    }

    fn ipv4(&mut self, octets: &mut Octets<'_>) -> Option<()> {
        let packet = octets.0;
        let (version, header) = (part(packet, 0, 1) >> 4, (part(packet, 0, 1) & 15) as usize * 4);
        let total = part(packet, 2, 2) as usize;
        if version != 4 || header < 20 || packet.len() < 20 || total < header || total > packet.len() {
            return None;
        }
        // Filling behind a short packet is none of it; much of it is suspicious.
        if packet.len() - total > usize::from(u8::MAX) {
            return None;
        }
        self.put_octets(FieldId::IPV4_SRC, packet.get(12..16)?);
        self.put_octets(FieldId::IPV4_DST, packet.get(16..20)?);
        let place = part(packet, 6, 2);
        let later = place & 0x1fff != 0;
        let fragment = if later { 3 } else { u64::from(place & 0x2000 != 0) };
        let protocol = part(packet, 9, 1);
        self.service(part(packet, 1, 1), part(packet, 8, 1), fragment, protocol);
        if later {
            return None;
        }
        self.transport(protocol as u8, false, packet.get(header..total)?)
    }

    fn ipv6(&mut self, octets: &mut Octets<'_>) -> Option<()> {
        let packet = octets.0;
        let payload = part(packet, 4, 2) as usize;
        if packet.len() < 40 || part(packet, 0, 1) >> 4 != 6 || payload + 40 > packet.len() {
            return None;
        }
        if packet.len() - payload - 40 > usize::from(u8::MAX) {
            return None;
        }
        self.put_octets(FieldId::IPV6_SRC, packet.get(8..24)?);
        self.put_octets(FieldId::IPV6_DST, packet.get(24..40)?);
        let flow = part(packet, 0, 4);
        self.put(FieldId::IPV6_LABEL, flow & 0xf_ffff);
        let (mut next, mut fragment) = (part(packet, 6, 1), 0);
        let mut rest = packet.get(40..40 + payload)?;
        loop {
            let length = match next {
                0 | 43 | 60 => (part(rest, 1, 1) as usize + 1) * 8,
                51 => (part(rest, 1, 1) as usize + 2) * 4,
                44 => {
                    let place = part(rest, 2, 2);
                    if place & !7 != 0 {
                        fragment = 3;
                    } else if place & 1 != 0 {
                        fragment = 1;
                    }
                    8
                }
                _ => break,
            };
            let following = part(rest, 0, 1);
            rest = rest.get(length..).filter(|_| rest.len() >= 8)?;
            next = following;
            if fragment == 3 {
                break;
            }
        }
        self.service(flow >> 20 & 0xff, part(packet, 7, 1), fragment, next);
        if fragment == 3 {
            return None;
        }
        self.transport(next as u8, true, rest)
    }

    fn ports(&mut self, octets: &[u8]) {
        self.put(FieldId::TCP_SRC, part(octets, 0, 2));
        self.put(FieldId::TCP_DST, part(octets, 2, 2));
    }

    fn transport(&mut self, protocol: u8, version6: bool, octets: &[u8]) -> Option<()> {
        match (protocol, version6) {
            (6, _) if octets.len() >= 20 => {
                let header = (part(octets, 12, 1) >> 4) as usize * 4;
                if header >= 20 && octets.len() >= header {
                    self.ports(octets);
                    self.put(FieldId::TCP_FLAGS, part(octets, 12, 2) & 0xfff);
                }
                self.checksum = Some(format!("tcp_csum:{:x}", part(octets, 16, 2)));
            }
            (17, _) if octets.len() >= 8 => {
                self.ports(octets);
                self.checksum = Some(format!("udp_csum:{:x}", part(octets, 6, 2)));
            }
            (132, _) if octets.len() >= 12 => {
                self.ports(octets);
                self.checksum = Some(format!("sctp_csum:{:x}", part(octets, 8, 4)));
            }
            (1, false) if octets.len() >= 8 => {
                self.put(FieldId::ICMPV4_TYPE, part(octets, 0, 1));
                self.put(FieldId::ICMPV4_CODE, part(octets, 1, 1));
                self.checksum = Some(format!("icmp_csum:{:x}", part(octets, 2, 2)));
            }
            (2, false) if octets.len() >= 8 => {
                self.put(FieldId::TCP_SRC, part(octets, 0, 1));
                self.put(FieldId::TCP_DST, part(octets, 1, 1));
            }
            (58, true) if octets.len() >= 8 => {
                self.put(FieldId::ICMPV6_TYPE, part(octets, 0, 1));
                self.put(FieldId::ICMPV6_CODE, part(octets, 1, 1));
                self.checksum = Some(format!("icmp6_csum:{:x}", part(octets, 2, 2)));
                return self.neighbour(octets);
            }
            _ => {}
        }
        None
    }

    /// Neighbour solicitations and advertisements.
    fn neighbour(&mut self, octets: &[u8]) -> Option<()> {
        let kind = part(octets, 0, 1);
        if !matches!(kind, 135 | 136) || part(octets, 1, 1) != 0 {
            return None;
        }
        let target = octets.get(8..24)?;
        let mut addresses: [Option<&[u8]>; 2] = [None, None];
        let mut options = octets.get(24..)?;
        while !options.is_empty() {
            let length = part(options, 1, 1) as usize * 8;
            let option = options.get(..length).filter(|_| length != 0)?;
            let place = match option.first()? {
                1 => Some(0),
                2 => Some(1),
                _ => None,
            };
            if let Some(slot) = place.and_then(|place| addresses.get_mut(place)).filter(|_| length == 8) {
                // One of a kind, or the packet contradicts itself.
                if slot.replace(option.get(2..8)?).is_some() {
                    return None;
                }
            }
            options = options.get(length..)?;
        }
        self.put_octets(FieldId::ND_TARGET, target);
        for (field, address) in [(FieldId::ARP_SHA, addresses[0]), (FieldId::ARP_THA, addresses[1])] {
            if let Some(address) = address {
                self.put_octets(field, address);
            }
        }
        None
    }

    fn arp(&mut self, octets: &mut Octets<'_>) -> Option<()> {
        let packet = octets.take(28)?;
        if part(packet, 0, 4) != 0x0001_0800 || part(packet, 4, 2) != 0x0604 {
            return None;
        }
        let operation = part(packet, 6, 2);
        if operation <= 0xff {
            self.put(FieldId::IP_PROTO, operation);
        }
        self.put_octets(FieldId::IPV4_SRC, packet.get(14..18)?);
        self.put_octets(FieldId::IPV4_DST, packet.get(24..28)?);
        self.put_octets(FieldId::ARP_SHA, packet.get(8..14)?);
        self.put_octets(FieldId::ARP_THA, packet.get(18..24)?);
        None
    }

    fn nsh(&mut self, octets: &mut Octets<'_>) -> Option<()> {
        let header = octets.0.get(..8)?;
        let first = part(header, 0, 2);
        let (length, kind) = ((first & 0x3f) as usize * 4, part(header, 2, 1) & 0x0f);
        if length > octets.0.len() || first >> 14 != 0 || (kind == 1 && length != 24) || kind > 2 {
            return None;
        }
        self.put(FieldId::NSH_FLAGS, first >> 12 & 3);
        self.put(FieldId::NSH_TTL, first >> 6 & 0x3f);
        self.put(FieldId::NSH_MDTYPE, kind);
        self.put(FieldId::NSH_NP, part(header, 3, 1));
        self.put(FieldId::NSH_SPI, part(header, 4, 3));
        self.put(FieldId::NSH_SI, part(header, 7, 1));
        if kind == 1 {
            let contexts = [FieldId::NSH_C1, FieldId::NSH_C2, FieldId::NSH_C3, FieldId::NSH_C4];
            for (at, field) in contexts.into_iter().enumerate() {
                self.put(field, part(octets.0, 8 + 4 * at, 4));
            }
        }
        None
    }
}

/// The type behind the length of a frame of 802.3, if it has one.
fn snap_type(octets: &mut Octets<'_>) -> u16 {
    let snap = octets.0.get(..8).filter(|header| header.get(..6) == Some(&[0xaa, 0xaa, 3, 0, 0, 0]));
    let kind = snap.map(|header| part(header, 6, 2) as u16).filter(|kind| *kind >= LEAST_TYPE);
    if kind.is_some() {
        octets.0 = octets.0.get(8..).unwrap_or_default();
    }
    kind.unwrap_or(NO_TYPE)
}

fn read(octets: &[u8], packet_type: u32) -> Reading {
    let mut reading = Reading::default();
    let mut rest = Octets(octets);
    if packet_type == 0 {
        let _ = reading.ethernet(&mut rest);
    } else {
        let kind = (packet_type & 0xffff) as u16;
        reading.put(FieldId::PACKET_TYPE, packet_type.into());
        let _ = reading.network(kind, &mut rest);
    }
    reading
}

/// Reads a packet. `packet_type` is its name space and type (OpenFlow 1.5.1, 7.2.3.11): 0 is Ethernet, `0x1_0800` an IPv4
/// packet without frame.
#[must_use]
pub fn parse_frame(octets: &[u8], packet_type: u32) -> (Match, Inner) {
    let reading = read(octets, packet_type);
    (reading.fields, reading.inner)
}

/// Prints a packet in one line, the checksum of its transport header at the end.
#[must_use]
pub fn print_frame(octets: &[u8], packet_type: u32) -> String {
    let reading = read(octets, packet_type);
    let fields = print_packet(&reading.fields, &reading.inner, &NUMBERS);
    let checksum = reading.checksum.map_or_else(String::new, |checksum| format!(" {checksum}"));
    format!("{fields}{checksum}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_octets_are_a_packet() {
        let whole: Vec<u8> = (0..90).map(|at| (at * 37) as u8).collect();
        for kind in [0x0800, 0x86dd, 0x0806, 0x8847, 0x894f, 0x8100] {
            let mut octets = whole.clone();
            octets[12..14].copy_from_slice(&u16::to_be_bytes(kind));
            for length in 0..octets.len() {
                assert!(print_frame(&octets[..length], 0).ends_with('\n'));
            }
        }
    }
}
