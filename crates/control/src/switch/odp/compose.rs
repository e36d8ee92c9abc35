//! Octets of a packet out of its key: headers with right lengths and checksums, and a payload of some octets where Open
//! vSwitch puts one (`flow_compose` there): behind UDP, echoes, and TCP that neither opens nor ends a connection.
//!
//! Absent: NSH, IPv6 extension headers, MPLS stacks of more than three entries.

use netloom_table::{Field, Key};

/// Octets behind the transport header where nobody says how many. Each has its place as its value.
const PAYLOAD: u8 = 64;
/// FIN, SYN and RST.
const OPENS_OR_ENDS: u64 = 7;
/// The last entry of an MPLS stack.
const BOTTOM: u64 = 1 << 8;

fn sum(octets: &[u8], mut sum: u32) -> u32 {
    for pair in octets.chunks(2) {
        let word =
            u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)]);
        sum += u32::from(word);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

const fn finish(sum: u32) -> u16 {
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

/// Writes a checksum where it belongs.
fn put(octets: &mut [u8], at: usize, sum: u16) {
    if let Some(place) = octets.get_mut(at..at + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
}

fn mac(key: &Key, field: Field) -> [u8; 6] {
    let [_, _, octets @ ..] = key.get(field).to_be_bytes();
    octets
}

/// A frame that has this key; with a length, it is filled up with zeros to so many octets, or its payload is cut.
pub(crate) fn frame(key: &Key, length: Option<usize>) -> Vec<u8> {
    let get16 = |field: Field| key.get(field) as u16;
    let mut head = Vec::with_capacity(128);
    head.extend(mac(key, Field::ETH_DST));
    head.extend(mac(key, Field::ETH_SRC));
    for (tpid, tci) in [(Field::VLAN_TPID, Field::VLAN_TCI), (Field::INNER_TPID, Field::INNER_TCI)] {
        if key.get(tpid) != 0 {
            head.extend(get16(tpid).to_be_bytes());
            head.extend((get16(tci) & 0xefff).to_be_bytes());
        }
    }
    let ether_type = get16(Field::ETH_TYPE);
    if ether_type < 0x600 {
        // Below 0x600 it is none, but the length of the frame (IEEE 802.3), which is not filled up.
        let length = length.unwrap_or(0).max(head.len() + 2);
        head.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        head.resize(length, 0);
        return head;
    }
    head.extend(ether_type.to_be_bytes());
    let room = length.map(|length| length.saturating_sub(head.len()));
    let body = match ether_type {
        0x0800 => ipv4(key, room),
        0x86dd => ipv6(key, room),
        0x0806 | 0x8035 => arp(key),
        0x8847 | 0x8848 => labels(key),
        _ => Vec::new(),
    };
    head.extend(body);
    if let Some(length) = length {
        head.resize(length.max(14), 0);
    }
    head
}

/// Entries of the MPLS stack down to its bottom, and nothing behind it.
fn labels(key: &Key) -> Vec<u8> {
    let mut body = Vec::new();
    for field in [Field::MPLS_OUTER, Field::MPLS_SECOND, Field::MPLS_THIRD] {
        body.extend((key.get(field) as u32).to_be_bytes());
        if key.get(field) & BOTTOM != 0 {
            break;
        }
    }
    body
}

fn arp(key: &Key) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4];
    let operation = key.get(Field::IP_PROTO) as u16;
    body.extend(operation.to_be_bytes());
    if !matches!(operation, 1 | 2) {
        // What other operations have here, nobody looks at.
        body.resize(28, 0);
        return body;
    }
    body.extend(mac(key, Field::ARP_SHA));
    body.extend((key.get(Field::IP4_SRC) as u32).to_be_bytes());
    body.extend(mac(key, Field::ARP_THA));
    body.extend((key.get(Field::IP4_DST) as u32).to_be_bytes());
    body
}

/// What is behind the network header, with a checksum over `pseudo`; `room` is how long it is.
fn transport(key: &Key, v6: bool, room: Option<usize>, pseudo: impl Fn(usize) -> u32) -> Vec<u8> {
    let get16 = |field: Field| (key.get(field) as u16).to_be_bytes();
    let protocol = key.get(Field::IP_PROTO);
    let later = key.get(Field::IP_FRAG) & 2 != 0;
    let ports = [get16(Field::TP_SRC), get16(Field::TP_DST)].concat();
    let kind = [key.get(Field::TP_SRC) as u8, key.get(Field::TP_DST) as u8, 0, 0];
    let echo = |kinds: [u64; 2]| kinds.contains(&key.get(Field::TP_SRC)) && key.get(Field::TP_DST) == 0;
    let carries = match (protocol, v6) {
        _ if later => false,
        (6, _) => key.get(Field::TCP_FLAGS) & OPENS_OR_ENDS == 0,
        (17, _) => true,
        (1, false) => echo([0, 8]),
        (58, true) => echo([128, 129]),
        _ => false,
    };
    let mut body = Vec::new();
    let checksum = match (protocol, v6) {
        _ if later => None,
        (6, _) => {
            body.extend(ports);
            body.extend([0; 8]);
            body.extend((0x5000 | key.get(Field::TCP_FLAGS) as u16 & 0xfff).to_be_bytes());
            body.extend([0; 6]);
            Some(16)
        }
        (17, _) => {
            body.extend(ports);
            body.extend([0; 4]);
            Some(6)
        }
        (132, _) => {
            body.extend(ports);
            body.extend([0; 8]);
            None
        }
        (1, false) => {
            body.extend(kind);
            body.extend([0; 4]);
            Some(2)
        }
        (2, false) => {
            body.extend(kind);
            body.extend([0; 4]);
            Some(2)
        }
        (58, true) => {
            body.extend(kind);
            body.extend([0; 4]);
            if matches!(key.get(Field::TP_SRC), 135 | 136) && key.get(Field::TP_DST) == 0 {
                body.extend(key.get(Field::ND_TARGET_HIGH).to_be_bytes());
                body.extend(key.get(Field::ND_TARGET_LOW).to_be_bytes());
                for (kind, field) in [(1, Field::ARP_SHA), (2, Field::ARP_THA)] {
                    if key.get(field) != 0 {
                        body.extend([kind, 1]);
                        body.extend(mac(key, field));
                    }
                }
            }
            Some(2)
        }
        _ => None,
    };
    match room {
        Some(room) => body.resize(room.max(body.len()), 0),
        None if carries => body.extend(0..PAYLOAD),
        None => {}
    }
    let whole = body.len();
    if protocol == 17 && !later {
        put(&mut body, 4, u16::try_from(whole).unwrap_or(u16::MAX));
    }
    if let Some(at) = checksum {
        // ICMP and IGMP of IPv4 have no pseudo header.
        let begin = if v6 || !matches!(protocol, 1 | 2) { pseudo(whole) } else { 0 };
        let sum = finish(sum(&body, begin));
        // Zero says that there is none (RFC 768).
        put(&mut body, at, if protocol == 17 && sum == 0 { 0xffff } else { sum });
    }
    body
}

fn ipv4(key: &Key, room: Option<usize>) -> Vec<u8> {
    let protocol = key.get(Field::IP_PROTO) as u8;
    let addresses =
        [key.get(Field::IP4_SRC) as u32, key.get(Field::IP4_DST) as u32].map(u32::to_be_bytes).concat();
    let body = transport(key, false, room.map(|room| room.saturating_sub(20)), |length| {
        sum(&addresses, u32::from(protocol) + length as u32)
    });
    let fragment: u16 = match key.get(Field::IP_FRAG) {
        0 => 0,
        1 => 0x2000,
        _ => 0x2001 | 100,
    };
    let mut head = vec![0x45, key.get(Field::IP_TOS) as u8];
    head.extend(u16::try_from(20 + body.len()).unwrap_or(u16::MAX).to_be_bytes());
    head.extend([0, 0]);
    head.extend(fragment.to_be_bytes());
    head.extend([key.get(Field::IP_TTL) as u8, protocol, 0, 0]);
    head.extend(&addresses);
    let checksum = finish(sum(&head, 0));
    put(&mut head, 10, checksum);
    head.extend(body);
    head
}

fn ipv6(key: &Key, room: Option<usize>) -> Vec<u8> {
    let protocol = key.get(Field::IP_PROTO) as u8;
    let addresses = [Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW, Field::IP6_DST_HIGH, Field::IP6_DST_LOW]
        .map(|field| key.get(field).to_be_bytes())
        .concat();
    let body = transport(key, true, room.map(|room| room.saturating_sub(40)), |length| {
        sum(&addresses, u32::from(protocol) + length as u32)
    });
    let first = 6 << 28 | (key.get(Field::IP_TOS) as u32) << 20 | key.get(Field::IP6_LABEL) as u32 & 0xf_ffff;
    let mut head = first.to_be_bytes().to_vec();
    head.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
    head.extend([protocol, key.get(Field::IP_TTL) as u8]);
    head.extend(&addresses);
    head.extend(body);
    head
}
