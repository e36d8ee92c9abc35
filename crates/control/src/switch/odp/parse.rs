//! Reads a packet that somebody wrote down as a flow of the data path. Masks are allowed and mean nothing: a packet has all
//! its bits.

use super::print::{CT_STATE, TCP_FLAGS};
use netloom_table::{Field, Key};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Deepest `encap(...)`.
const DEPTH: usize = 4;

/// One `name(inside)` and what follows it.
fn word(text: &str) -> Option<(&str, &str, &str)> {
    let open = text.find('(')?;
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices().skip(open) {
        match letter {
            '(' => depth += 1,
            ')' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some((text.get(..open)?.trim(), text.get(open + 1..at)?, text.get(at + 1..)?));
                }
            }
            _ => {}
        }
    }
    None
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim().split('/').next().unwrap_or_default();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Six hexadecimal numbers, which may have one digit.
fn mac(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.trim().split('/').next()?.split(':').collect();
    let octet = |part: &&str| (1..=2).contains(&part.len()).then(|| u8::from_str_radix(part, 16).ok())?;
    let octets: Vec<u8> = parts.iter().map(octet).collect::<Option<_>>()?;
    (octets.len() == 6).then(|| octets.iter().fold(0, |word, octet| word << 8 | u64::from(*octet)))
}

fn ipv4(text: &str) -> Option<u64> {
    text.trim().split('/').next()?.parse::<Ipv4Addr>().ok().map(|address| u64::from(address.to_bits()))
}

fn ipv6(text: &str) -> Option<u128> {
    text.trim().split('/').next()?.parse::<Ipv6Addr>().ok().map(|address| address.to_bits())
}

fn flags(names: &[&str], text: &str) -> Option<u64> {
    if let Some(value) = number(text) {
        return Some(value);
    }
    let mut value = 0;
    let signed = text.starts_with(['+', '-']);
    let spaced = text.replace('+', " +").replace('-', " -");
    let words: Vec<&str> =
        if signed { spaced.split_whitespace().collect() } else { text.split('|').collect() };
    for word in words {
        let (set, name) = match word.strip_prefix('-') {
            Some(name) => (false, name),
            None => (true, word.strip_prefix('+').unwrap_or(word)),
        };
        let bit = names.iter().position(|known| *known == name)?;
        value |= u64::from(set) << bit;
    }
    Some(value)
}

/// `name=value` pairs of one word.
fn pairs(inside: &str) -> impl Iterator<Item = (&str, &str)> {
    inside.split(',').filter(|part| !part.trim().is_empty()).map(|part| match part.split_once('=') {
        Some((name, value)) => (name.trim(), value.trim()),
        None => ("", part.trim()),
    })
}

/// Sets fields by `name=value`.
fn set(key: &mut Key, inside: &str, mut of: impl FnMut(&mut Key, &str, &str) -> Option<()>) -> Option<()> {
    pairs(inside).try_for_each(|(name, value)| of(key, name, value))
}

fn address(key: &mut Key, (high, low): (Field, Field), text: &str) -> Option<()> {
    let bits = ipv6(text)?;
    key.set(high, (bits >> 64) as u64);
    key.set(low, bits as u64);
    Some(())
}

fn fragment(key: &mut Key, text: &str) -> Option<()> {
    let value = match text {
        "no" => 0,
        "first" => 1,
        "later" => 3,
        _ => return None,
    };
    key.set(Field::IP_FRAG, value);
    Some(())
}

fn ports(key: &mut Key, name: &str, value: &str) -> Option<()> {
    let field = match name {
        "src" | "type" => Field::TP_SRC,
        "dst" | "code" => Field::TP_DST,
        _ => return None,
    };
    key.set(field, number(value)?);
    Some(())
}

/// A tunnel's headers.
fn tunnel(key: &mut Key, inside: &str) -> Option<()> {
    const FLAGS: [&str; 4] = ["oam", "df", "csum", "key"];
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let end = rest.find(',').unwrap_or(rest.len());
        // A word with parentheses has commas of its own.
        if rest.find('(').is_some_and(|open| open < end) {
            let (name, inside, after) = word(rest)?;
            match name {
                "flags" => {
                    for flag in inside.split(['|', ',']).filter(|flag| !flag.trim().is_empty()) {
                        let bit = FLAGS.iter().position(|known| *known == flag.trim())?;
                        key.set(Field::TUN_FLAGS, key.get(Field::TUN_FLAGS) | 1 << bit);
                    }
                }
                "erspan" => set(key, inside, |key, name, value| {
                    let field = match name {
                        "ver" => Field::TUN_ERSPAN_VER,
                        "idx" => Field::TUN_ERSPAN_IDX,
                        "dir" => Field::TUN_ERSPAN_DIR,
                        "hwid" => Field::TUN_ERSPAN_HWID,
                        _ => return None,
                    };
                    key.set(field, number(value)?);
                    Some(())
                })?,
                _ => return None,
            }
            rest = after.trim_start_matches(',').trim();
            continue;
        }
        let (pair, after) = (rest.get(..end)?, rest.get(end..)?.trim_start_matches(','));
        let (name, value) = pair.split_once('=')?;
        match name.trim() {
            "tun_id" => key.set(Field::TUN_ID, number(value)?),
            "src" => key.set(Field::TUN_SRC, ipv4(value)?),
            "dst" => key.set(Field::TUN_DST, ipv4(value)?),
            "ipv6_src" => address(key, (Field::TUN6_SRC_HIGH, Field::TUN6_SRC_LOW), value)?,
            "ipv6_dst" => address(key, (Field::TUN6_DST_HIGH, Field::TUN6_DST_LOW), value)?,
            "tos" => key.set(Field::TUN_TOS, number(value)?),
            "ttl" => key.set(Field::TUN_TTL, number(value)?),
            // Ports of the outer header, which nobody looks at.
            "tp_src" | "tp_dst" => drop(number(value)?),
            _ => return None,
        }
        rest = after.trim();
    }
    Some(())
}

fn one(
    key: &mut Key,
    name: &str,
    inside: &str,
    port: &dyn Fn(&str) -> Option<u32>,
    depth: usize,
) -> Option<()> {
    let put = |key: &mut Key, field: Field, value: Option<u64>| {
        key.set(field, value?);
        Some(())
    };
    match name {
        "in_port" => put(key, Field::IN_PORT, number(inside).or_else(|| port(inside).map(u64::from))),
        "eth_type" => put(key, Field::ETH_TYPE, number(inside)),
        "skb_mark" => put(key, Field::PKT_MARK, number(inside)),
        "recirc_id" => put(key, Field::RECIRCULATION, number(inside)),
        "dp_hash" => put(key, Field::DP_HASH, number(inside)),
        "ct_state" => put(key, Field::CT_STATE, flags(&CT_STATE, inside)),
        "ct_zone" => put(key, Field::CT_ZONE, number(inside)),
        "ct_mark" => put(key, Field::CT_MARK, number(inside)),
        "tcp_flags" => put(key, Field::TCP_FLAGS, flags(&TCP_FLAGS, inside)),
        // Nobody looks at these, or they say what is so anyway.
        "skb_priority" | "packet_type" | "ct_label" | "ct_tuple4" | "ct_tuple6" | "ufid" => Some(()),
        "tunnel" => tunnel(key, inside),
        "eth" => set(key, inside, |key, name, value| match name {
            "src" => put(key, Field::ETH_SRC, mac(value)),
            "dst" => put(key, Field::ETH_DST, mac(value)),
            _ => None,
        }),
        "vlan" => {
            let outer = key.get(Field::VLAN_TPID) == 0;
            let (tpid, tci) = if outer {
                (Field::VLAN_TPID, Field::VLAN_TCI)
            } else {
                (Field::INNER_TPID, Field::INNER_TCI)
            };
            let kind = key.get(Field::ETH_TYPE);
            key.set(tpid, if kind == 0 { 0x8100 } else { kind });
            key.set(Field::ETH_TYPE, 0);
            key.set(tci, 1 << 12);
            set(key, inside, |key, name, value| {
                let bits = key.get(tci);
                let value = number(value)?;
                key.set(
                    tci,
                    match name {
                        "vid" => bits & !0xfff | value & 0xfff,
                        "pcp" => bits & 0x1fff | (value & 7) << 13,
                        "cfi" => bits & !0x1000 | (value & 1) << 12,
                        "tci" => value,
                        _ => return None,
                    },
                );
                Some(())
            })
        }
        "encap" if depth < DEPTH => all(key, inside, port, depth + 1).ok(),
        "ipv4" => set(key, inside, |key, name, value| match name {
            "src" => put(key, Field::IP4_SRC, ipv4(value)),
            "dst" => put(key, Field::IP4_DST, ipv4(value)),
            "proto" => put(key, Field::IP_PROTO, number(value)),
            "tos" => put(key, Field::IP_TOS, number(value)),
            "ttl" => put(key, Field::IP_TTL, number(value)),
            "frag" => fragment(key, value),
            _ => None,
        }),
        "ipv6" => set(key, inside, |key, name, value| match name {
            "src" => address(key, (Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW), value),
            "dst" => address(key, (Field::IP6_DST_HIGH, Field::IP6_DST_LOW), value),
            "label" => put(key, Field::IP6_LABEL, number(value)),
            "proto" => put(key, Field::IP_PROTO, number(value)),
            "tclass" => put(key, Field::IP_TOS, number(value)),
            "hlimit" => put(key, Field::IP_TTL, number(value)),
            "frag" => fragment(key, value),
            _ => None,
        }),
        "tcp" | "udp" | "sctp" | "icmp" | "icmpv6" => set(key, inside, ports),
        "arp" => set(key, inside, |key, name, value| match name {
            "sip" => put(key, Field::IP4_SRC, ipv4(value)),
            "tip" => put(key, Field::IP4_DST, ipv4(value)),
            "op" => put(key, Field::IP_PROTO, number(value)),
            "sha" => put(key, Field::ARP_SHA, mac(value)),
            "tha" => put(key, Field::ARP_THA, mac(value)),
            _ => None,
        }),
        "nd" => set(key, inside, |key, name, value| match name {
            "target" => address(key, (Field::ND_TARGET_HIGH, Field::ND_TARGET_LOW), value),
            "sll" => put(key, Field::ARP_SHA, mac(value)),
            "tll" => put(key, Field::ARP_THA, mac(value)),
            _ => None,
        }),
        "mpls" => {
            let mut entries = [Field::MPLS_OUTER, Field::MPLS_SECOND, Field::MPLS_THIRD].into_iter();
            let mut entry = None;
            set(key, inside, |key, name, value| {
                let (shift, bits) = match name {
                    "label" => {
                        // Each label begins another entry; deeper ones are not kept.
                        entry = entries.next();
                        (12, 20)
                    }
                    "tc" => (9, 3),
                    "bos" => (8, 1),
                    "ttl" => (0, 8),
                    _ => return None,
                };
                let (ones, value) = ((1_u64 << bits) - 1, number(value)?);
                if let Some(field) = entry {
                    key.set(field, key.get(field) & !(ones << shift) | (value & ones) << shift);
                }
                Some(())
            })
        }
        _ => None,
    }
}

fn all<'a>(
    key: &mut Key,
    text: &'a str,
    port: &dyn Fn(&str) -> Option<u32>,
    depth: usize,
) -> Result<(), &'a str> {
    let mut rest = text.trim_start_matches([',', ' ', '\t', '\n']);
    while !rest.is_empty() {
        let (name, inside, behind) = word(rest).ok_or(rest)?;
        one(key, name, inside, port, depth).ok_or(rest)?;
        rest = behind.trim_start_matches([',', ' ', '\t', '\n']);
    }
    Ok(())
}

/// Reads a packet; `port` knows the numbers of ports by their names.
///
/// # Errors
/// What could not be read, in the words of Open vSwitch.
pub(crate) fn parse(text: &str, port: &dyn Fn(&str) -> Option<u32>) -> Result<Key, String> {
    let mut key = Key::default();
    // A flow's name, as dumps have it before what the flow is for.
    let text = match text.trim_start().strip_prefix("ufid:") {
        Some(named) => named.split_once([' ', ',']).map_or("", |(_, rest)| rest),
        None => text,
    };
    all(&mut key, text, port, 0).map_err(|rest| format!("syntax error at {rest}"))?;
    if key.get(Field::ETH_TYPE) == 0 {
        // Who names a header need not say its EtherType.
        let implied = [("ipv4(", 0x0800), ("ipv6(", 0x86dd), ("arp(", 0x0806)];
        let named =
            implied.iter().find(|(name, _)| text.starts_with(name) || text.contains(&format!(",{name}")));
        if let Some((_, kind)) = named {
            key.set(Field::ETH_TYPE, *kind);
        }
    }
    Ok(key)
}
