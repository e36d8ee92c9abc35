//! From a frame's first octets to its key.
//!
//! What: one pass, forward only, that writes the fields as `ovs-fields(7)` describes them. What is too short or
//! inconsistent leaves the fields of that layer zero, as if the layer were not there.
//!
//! Costs: no allocation, no call for the common packets (Ethernet, up to two VLAN tags, IPv4 without options, TCP
//! or UDP); the rest is moved out of the way.

use super::{BESIDE, Field, HOT, Key};

/// Where the layers of a frame begin, counted from its first octet. Zero: there is no such layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layers {
    /// First octet behind Ethernet, VLAN tags and EtherType.
    pub network: u16,
    /// First octet of the transport header; zero too for fragments that are not the first.
    pub transport: u16,
    /// The frame is too short for an Ethernet header, or ends before its headers do.
    pub short: bool,
}

const ETH_VLAN: u16 = 0x8100;
const ETH_VLAN_SERVICE: u16 = 0x88a8;
const ETH_IP4: u16 = 0x0800;
const ETH_IP6: u16 = 0x86dd;
const ETH_ARP: u16 = 0x0806;
const ETH_RARP: u16 = 0x8035;
const ETH_MPLS: u16 = 0x8847;
const ETH_MPLS_MULTICAST: u16 = 0x8848;
const ETH_NSH: u16 = 0x894f;
/// The EtherType field is a length up to here (IEEE 802.3, 3.2.6).
const LARGEST_LENGTH: u16 = 0x05ff;

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const SCTP: u8 = 132;

/// How many IPv6 extension headers are followed (Linux limits its parser too).
const EXTENSIONS: usize = 8;

#[inline]
fn at<const N: usize>(octets: &[u8], offset: usize) -> Option<[u8; N]> {
    octets.get(offset..)?.first_chunk::<N>().copied()
}

#[inline]
fn be16(octets: &[u8], offset: usize) -> Option<u16> {
    at(octets, offset).map(u16::from_be_bytes)
}

/// What the common layers tell, in the order of the hot words.
#[derive(Default)]
struct Hot {
    ethernet: u64,
    source: u64,
    vlans: u64,
    addresses: u64,
    transport: u64,
}

/// Writes the key of a frame that came through `port`. `head` is the frame, or its first octets if it is long;
/// `length` are the octets of all of it.
#[inline]
pub fn extract(head: &[u8], length: usize, port: u32, key: &mut Key) -> Layers {
    key.clear_cold();
    let mut hot = Hot::default();
    let layers = walk(head, length, &mut hot, key);
    hot.write(port, key);
    layers
}

impl Hot {
    #[inline]
    fn write(&self, port: u32, key: &mut Key) {
        let words = &mut key.words;
        words[0] = u64::from(port) << 32;
        words[1] = self.ethernet;
        words[2] = self.source;
        words[3] = self.vlans;
        words[4] = self.addresses;
        words[5] = self.transport;
        words[6..HOT].fill(0);
    }
}

#[inline]
fn walk(head: &[u8], length: usize, hot: &mut Hot, key: &mut Key) -> Layers {
    let mut layers = Layers::default();
    let Some(ethernet) = head.first_chunk::<14>() else {
        return Layers { short: true, ..layers };
    };
    let word = |from: usize| at::<8>(ethernet, from).map_or(0, u64::from_be_bytes);
    // Octets 0-5 and 6-11 are the addresses, 12-13 the type.
    hot.ethernet = word(0) & !0xffff;
    hot.source = (word(6) >> 16) << 16;
    let mut kind = u16::from_be_bytes([ethernet[12], ethernet[13]]);
    let mut network = 14;
    if kind == ETH_VLAN || kind == ETH_VLAN_SERVICE {
        for shift in [32, 0] {
            let Some([tci_high, tci_low, next_high, next_low]) = at(head, network) else {
                hot.ethernet |= u64::from(kind);
                return Layers { short: true, ..layers };
            };
            let tci = u16::from_be_bytes([tci_high, tci_low]);
            hot.vlans |= (u64::from(kind) << 16 | u64::from(tci)) << shift;
            kind = u16::from_be_bytes([next_high, next_low]);
            network += 4;
            if kind != ETH_VLAN && kind != ETH_VLAN_SERVICE {
                break;
            }
        }
    }
    if kind <= LARGEST_LENGTH {
        (kind, network) = logical_link(head, network);
    }
    hot.ethernet |= u64::from(kind);
    layers.network = network as u16;
    follow(kind, (head, length), hot, key, &mut layers);
    layers
}

/// The network layer and what follows.
#[inline]
fn follow(kind: u16, (head, length): (&[u8], usize), hot: &mut Hot, key: &mut Key, layers: &mut Layers) {
    match kind {
        ETH_IP4 => ip4(head, length, hot, key, layers),
        ETH_IP6 => ip6(head, length, hot, key, layers),
        ETH_ARP | ETH_RARP => arp(head, hot, key, layers),
        ETH_MPLS | ETH_MPLS_MULTICAST => mpls(head, key, layers),
        ETH_NSH => nsh(head, key, layers),
        _ => {}
    }
}

/// Writes the key of a packet that carries something beside it ([`BESIDE`]): all that is taken from `beside`, with the
/// port and the recirculation number. A packet type other than Ethernet says with which layer the packet begins.
pub fn extract_beside(head: &[u8], length: usize, beside: &Key, key: &mut Key) -> Layers {
    let kind = beside.get(Field::PACKET_TYPE);
    let layers = if kind == 0 {
        extract(head, length, 0, key)
    } else {
        key.clear_cold();
        let (mut hot, mut layers) = (Hot { ethernet: kind & 0xffff, ..Hot::default() }, Layers::default());
        follow(kind as u16, (head, length), &mut hot, key, &mut layers);
        hot.write(0, key);
        layers
    };
    key.take(beside, BESIDE);
    layers
}

/// The type behind LLC and SNAP, and where its payload begins; 0x05ff for LLC without SNAP.
#[cold]
fn logical_link(head: &[u8], network: usize) -> (u16, usize) {
    match at::<8>(head, network) {
        Some([0xaa, 0xaa, 3, 0, 0, 0, high, low]) if u16::from_be_bytes([high, low]) > LARGEST_LENGTH => {
            (u16::from_be_bytes([high, low]), network + 8)
        }
        _ => (LARGEST_LENGTH, network),
    }
}

#[inline]
fn ip4(head: &[u8], length: usize, hot: &mut Hot, key: &mut Key, layers: &mut Layers) {
    let network = usize::from(layers.network);
    let Some(header) = head.get(network..).and_then(|rest| rest.first_chunk::<20>()) else {
        layers.short = true;
        return;
    };
    let own = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // A total of zero stands for a packet that is still to be cut (Linux with large GSO).
    if header[0] >> 4 != 4 || own < 20 || total != 0 && total < own || network + total.max(own) > length {
        layers.short = true;
        return;
    }
    hot.addresses = at(header, 12).map_or(0, u64::from_be_bytes);
    hot.transport = u64::from(header[1]) << 8 | u64::from(header[8]);
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    hot.source |= u64::from(header[9]) << 8;
    if fragment & 0x3fff != 0 {
        let later = fragment & 0x1fff != 0;
        hot.source |= if later { 3 } else { 1 };
        if later {
            return;
        }
    }
    transport(head, network + own, header[9], hot, key, layers);
}

/// Ports, flags, ICMP types.
#[inline]
fn transport(head: &[u8], offset: usize, protocol: u8, hot: &mut Hot, key: &mut Key, layers: &mut Layers) {
    match protocol {
        TCP => {
            if let Some(header) = head.get(offset..).and_then(|rest| rest.first_chunk::<20>()) {
                let ports = at::<4>(header, 0).map_or(0, u32::from_be_bytes);
                let flags = u16::from_be_bytes([header[12], header[13]]) & 0xfff;
                hot.transport |= u64::from(ports) << 32 | u64::from(flags) << 16;
                layers.transport = offset as u16;
            }
        }
        UDP | SCTP => {
            let size = if protocol == UDP { 8 } else { 12 };
            if head.len() >= offset + size {
                let ports = at::<4>(head, offset).map_or(0, u32::from_be_bytes);
                hot.transport |= u64::from(ports) << 32;
                layers.transport = offset as u16;
            }
        }
        ICMP | ICMP6 => {
            if let Some([kind, code, _, _]) = at::<4>(head, offset) {
                hot.transport |= u64::from(kind) << 48 | u64::from(code) << 32;
                layers.transport = offset as u16;
                if protocol == ICMP6 && matches!(kind, 133 | 135 | 136) && code == 0 {
                    neighbour(head, offset, kind, key);
                }
            }
        }
        IGMP => {
            // As in ovs-fields(7): the type counts as a source port, the code as a destination port.
            if let Some([kind, code]) = at::<2>(head, offset) {
                hot.transport |= u64::from(kind) << 48 | u64::from(code) << 32;
            }
            layers.transport = offset as u16;
        }
        _ => {
            if head.len() > offset {
                layers.transport = offset as u16;
            }
        }
    }
}

fn ip6(head: &[u8], length: usize, hot: &mut Hot, key: &mut Key, layers: &mut Layers) {
    let network = usize::from(layers.network);
    let Some(header) = head.get(network..).and_then(|rest| rest.first_chunk::<40>()) else {
        layers.short = true;
        return;
    };
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 || network + 40 + payload > length {
        layers.short = true;
        return;
    }
    let word = |from: usize| at::<8>(header, from).map_or(0, u64::from_be_bytes);
    for (index, from) in [8, 16, 24, 32].into_iter().enumerate() {
        key.set_word(Field::IP6_SRC_HIGH.word() + index, word(from));
    }
    let first = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    let tos = first >> 20 & 0xff;
    hot.transport = u64::from(tos) << 8 | u64::from(header[7]);
    let mut offset = network + 40;
    let mut next = header[6];
    let mut seen = 0_u16;
    let mut left = EXTENSIONS;
    // Bits of OFPXMC_OFB_IPV6_EXTHDR (OpenFlow 1.3.5, table 14).
    loop {
        let (bit, size) = match next {
            0 => (1 << 6, at::<2>(head, offset).map(|two| usize::from(two[1]) * 8 + 8)),
            43 => (1 << 5, at::<2>(head, offset).map(|two| usize::from(two[1]) * 8 + 8)),
            44 => (1 << 4, at::<8>(head, offset).map(|_| 8)),
            51 => (1 << 2, at::<2>(head, offset).map(|two| usize::from(two[1]) * 4 + 8)),
            60 => (1 << 3, at::<2>(head, offset).map(|two| usize::from(two[1]) * 8 + 8)),
            50 => {
                seen |= 1 << 1;
                break;
            }
            59 => {
                seen |= 1;
                break;
            }
            _ => break,
        };
        let Some(size) = size.filter(|_| left > 0) else {
            layers.short = true;
            return;
        };
        left -= 1;
        if seen & bit != 0 {
            seen |= 1 << 7;
        }
        seen |= bit;
        let fragment = if next == 44 { be16(head, offset + 2).unwrap_or(0) } else { 0 };
        next = head.get(offset).copied().unwrap_or(59);
        offset += size;
        if fragment & 0xfff9 != 0 {
            let later = fragment & 0xfff8 != 0;
            hot.source |= if later { 3 } else { 1 };
            if later {
                hot.source |= u64::from(next) << 8;
                finish6(first, seen, key);
                return;
            }
        }
    }
    finish6(first, seen, key);
    hot.source |= u64::from(next) << 8;
    transport(head, offset, next, hot, key, layers);
}

fn finish6(first: u32, seen: u16, key: &mut Key) {
    let label = u64::from(first & 0xf_ffff);
    if label != 0 || seen != 0 {
        key.set_word(Field::IP6_LABEL.word(), label << 32 | u64::from(seen) << 16);
    }
}

/// Target and link-layer addresses of router and neighbour solicitations and of neighbour advertisements (RFC 4861, 4.1,
/// 4.3 and 4.4). Of several options of one kind the first counts, as for Linux. Link-layer addresses that stand behind
/// more options than are read are unknown and count as all ones, so that a rule about them does not overlook them.
#[cold]
fn neighbour(head: &[u8], offset: usize, kind: u8, key: &mut Key) {
    let mut option = offset + 8;
    if kind != 133 {
        let (Some(high), Some(low)) = (at::<8>(head, offset + 8), at::<8>(head, offset + 16)) else { return };
        key.set_word(Field::ND_TARGET_HIGH.word(), u64::from_be_bytes(high));
        key.set_word(Field::ND_TARGET_LOW.word(), u64::from_be_bytes(low));
        key.set(Field::ND_RESERVED, u64::from(at::<4>(head, offset + 4).map_or(0, u32::from_be_bytes)));
        option = offset + 24;
    }
    for _ in 0..EXTENSIONS {
        let Some([kind, size]) = at::<2>(head, option) else { return };
        if size == 0 {
            return;
        }
        if let (1 | 2, Some(mac)) = (kind, at::<8>(head, option)) {
            let field = if kind == 1 { Field::ARP_SHA } else { Field::ARP_THA };
            if key.get(field) == 0 {
                key.set(field, u64::from_be_bytes(mac) & field.ones());
            }
        }
        option += usize::from(size) * 8;
    }
    if head.len() > option {
        key.set(Field::ARP_SHA, Field::ARP_SHA.ones());
        key.set(Field::ARP_THA, Field::ARP_THA.ones());
    }
}

/// Ethernet and IPv4 only (RFC 826), as everybody has it.
#[cold]
fn arp(head: &[u8], hot: &mut Hot, key: &mut Key, layers: &mut Layers) {
    let network = usize::from(layers.network);
    let Some(packet) = head.get(network..).and_then(|rest| rest.first_chunk::<28>()) else {
        layers.short = true;
        return;
    };
    if packet[..6] != [0, 1, 8, 0, 6, 4] {
        return;
    }
    // An opcode of more than eight bits counts as none, as in Open vSwitch.
    if packet[6] == 0 {
        hot.source |= u64::from(packet[7]) << 8;
    }
    let word = |from: usize| at::<8>(packet, from).map_or(0, u64::from_be_bytes);
    let sender = word(14) & 0xffff_0000_0000_0000 | (word(16) & 0xffff_0000_0000_0000) >> 16;
    hot.addresses = sender | word(20) & 0xffff_ffff;
    key.set(Field::ARP_SHA, word(8) >> 16);
    key.set(Field::ARP_THA, word(18) >> 16);
}

#[cold]
fn mpls(head: &[u8], key: &mut Key, layers: &mut Layers) {
    let mut offset = usize::from(layers.network);
    for field in [Field::MPLS_OUTER, Field::MPLS_SECOND, Field::MPLS_THIRD] {
        let Some(entry) = at::<4>(head, offset).map(u32::from_be_bytes) else {
            layers.short = true;
            return;
        };
        key.set(field, u64::from(entry));
        offset += 4;
        // Bottom of stack (RFC 3032, 2.1).
        if entry >> 8 & 1 == 1 {
            break;
        }
    }
}

/// Network service header (RFC 8300, 2.2); context headers of metadata type 1 only.
#[cold]
fn nsh(head: &[u8], key: &mut Key, layers: &mut Layers) {
    let network = usize::from(layers.network);
    let Some(base) = at::<8>(head, network) else {
        layers.short = true;
        return;
    };
    let first = u16::from_be_bytes([base[0], base[1]]);
    let (size, kind) = (usize::from(first & 0x3f) * 4, base[2] & 0x0f);
    let right = match kind {
        1 => size == 24,
        2 => size >= 8,
        _ => false,
    };
    if first >> 14 != 0 || !right || head.len() < network + size {
        layers.short = true;
        return;
    }
    let word = u64::from_be_bytes(base);
    key.set(Field::NSH_PATH, word);
    key.set(Field::NSH_FLAGS, u64::from(first >> 12 & 3));
    key.set(Field::NSH_TTL, u64::from(first >> 6 & 0x3f));
    key.set(Field::NSH_MDTYPE, u64::from(kind));
    key.set(Field::NSH_NP, u64::from(base[3]));
    if kind == 1 {
        for (field, from) in [(Field::NSH_C12, 8), (Field::NSH_C34, 16)] {
            key.set(field, at::<8>(head, network + from).map_or(0, u64::from_be_bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UDP4: [u8; 42] = [
        0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2, 8, 0, // Ethernet
        0x45, 0x10, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
        0x12, 0x34, 0, 53, 0, 8, 0, 0, // UDP
    ];

    #[test]
    fn the_fields_of_a_datagram() {
        let mut key = Key::default();
        let layers = extract(&UDP4, UDP4.len(), 3, &mut key);
        assert_eq!(layers, Layers { network: 14, transport: 34, short: false });
        let fields = [
            (Field::IN_PORT, 3),
            (Field::ETH_DST, 0x5254_0000_0001),
            (Field::ETH_SRC, 0x5254_0000_0002),
            (Field::ETH_TYPE, 0x800),
            (Field::IP4_SRC, 0x0a00_0001),
            (Field::IP4_DST, 0x0a00_0002),
            (Field::IP_PROTO, 17),
            (Field::IP_TOS, 0x10),
            (Field::IP_TTL, 64),
            (Field::TP_SRC, 0x1234),
            (Field::TP_DST, 53),
        ];
        for field in Field::ALL {
            let wanted = fields.iter().find(|(known, _)| known == field).map_or(0, |(_, value)| *value);
            assert_eq!(key.get(*field), wanted, "{field:?}");
        }
    }

    #[test]
    fn two_tags_and_a_third_that_is_the_type() {
        let mut key = Key::default();
        let mut frame = UDP4[..12].to_vec();
        frame.extend([0x88, 0xa8, 0x20, 7, 0x81, 0, 0, 9]);
        frame.extend(&UDP4[12..]);
        let layers = extract(&frame, frame.len(), 1, &mut key);
        assert_eq!((layers.network, layers.transport), (22, 42));
        assert_eq!((key.get(Field::VLAN_TPID), key.get(Field::VLAN_TCI)), (0x88a8, 0x2007));
        assert_eq!((key.get(Field::INNER_TPID), key.get(Field::INNER_TCI)), (0x8100, 9));
        assert_eq!(key.get(Field::TP_DST), 53);
        frame.splice(12..12, [0x81, 0, 0, 1]);
        extract(&frame, frame.len(), 1, &mut key);
        assert_eq!((key.get(Field::ETH_TYPE), key.get(Field::IP4_SRC)), (0x8100, 0));
    }

    #[test]
    fn an_arp_request() {
        let mut frame = UDP4[..12].to_vec();
        frame.extend([
            8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 10, 1, 2, 3, 4, 4, 4, 4, 4, 4, 10, 5, 6, 7,
        ]);
        let mut key = Key::default();
        extract(&frame, frame.len(), 1, &mut key);
        assert_eq!((key.get(Field::IP4_SRC), key.get(Field::IP4_DST)), (0x0a01_0203, 0x0a05_0607));
        assert_eq!((key.get(Field::ARP_SHA), key.get(Field::ARP_THA)), (0x0202_0202_0202, 0x0404_0404_0404));
        assert_eq!(key.get(Field::IP_PROTO), 1);
    }

    #[test]
    fn link_layer_addresses_of_neighbour_discovery() {
        let frame = |options: &[u8]| {
            let mut frame = UDP4[..12].to_vec();
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24 + options.len() as u8, 58, 255]);
            frame.extend([0xfe; 32]);
            frame.extend([136, 0, 0, 0, 0, 0, 0, 0]);
            frame.extend([0x20; 16]);
            frame.extend(options);
            frame
        };
        let read = |options: &[u8]| {
            let (frame, mut key) = (frame(options), Key::default());
            extract(&frame, frame.len(), 1, &mut key);
            assert_eq!(key.get(Field::ND_TARGET_HIGH), 0x2020_2020_2020_2020);
            (key.get(Field::ARP_SHA), key.get(Field::ARP_THA))
        };
        assert_eq!(read(&[]), (0, 0));
        assert_eq!(
            read(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 2, 2, 2, 2, 2, 2]),
            (0x0101_0101_0101, 0x0202_0202_0202)
        );
        // The first of a kind counts, and none hides behind many others.
        assert_eq!(read(&[2, 1, 3, 3, 3, 3, 3, 3, 2, 1, 2, 2, 2, 2, 2, 2]), (0, 0x0303_0303_0303));
        let mut many = [14, 1, 0, 0, 0, 0, 0, 0].repeat(8);
        many.extend([2, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!(read(&many), (0xffff_ffff_ffff, 0xffff_ffff_ffff));
    }

    #[test]
    fn the_type_of_an_igmp_message() {
        let (mut frame, mut key) = (UDP4.to_vec(), Key::default());
        frame[23] = 2;
        frame[34] = 0x16;
        extract(&frame, frame.len(), 1, &mut key);
        assert_eq!((key.get(Field::IP_PROTO), key.get(Field::TP_SRC)), (2, 0x16));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_of_the_last_packet_stays(
            first in proptest::collection::vec(any::<u8>(), 0..120),
            kind in prop_oneof![Just(ETH_IP4), Just(ETH_IP6), Just(ETH_ARP), Just(ETH_VLAN), Just(ETH_MPLS), Just(100)],
            version in prop_oneof![Just(0x45_u8), Just(0x60), any::<u8>()],
            next in prop_oneof![Just(0_u8), Just(43), Just(44), Just(58), Just(6), any::<u8>()],
        ) {
            let mut frame = first;
            if frame.len() > 30 {
                frame[12..14].copy_from_slice(&kind.to_be_bytes());
                frame[14] = version;
                frame[20] = next;
            }
            let (mut used, mut fresh) = (Key::default(), Key::default());
            for word in 0..super::super::WORDS {
                used.set_word(word, u64::MAX);
            }
            let layers = extract(&frame, frame.len(), 9, &mut used);
            prop_assert_eq!(layers, extract(&frame, frame.len(), 9, &mut fresh));
            prop_assert_eq!(used.words(), fresh.words());
        }
    }
}
