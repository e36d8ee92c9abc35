//! Filters of captures, in the language of `pcap-filter(7)`.
//!
//! What: `host`, `net`, `port`, `portrange`, `ether host`, with `src` and `dst`; `ip`, `ip6`, `arp`, `tcp`, `udp`,
//! `icmp`, `icmp6`, `sctp`, `igmp` alone or before `host`, `net` and `port`; `ether proto N`, `ip proto N`; `vlan [N]`,
//! `mpls`, `broadcast`, `multicast`; joined by `and`, `or` (equal rank, from the left, as there), `not` and brackets. A
//! value alone takes the words of the one before it: `port 80 or 443`.
//!
//! Other than there: a packet behind a VLAN tag is looked at without `vlan` before it, and so is what is behind
//! IPv6 extension headers. Names are not resolved; bytes (`ip[8] < 5`) and lengths are not looked at.

use netloom_table::{Field, Filter};
use netloom_wire::MacAddr;
use std::net::IpAddr;
use thiserror::Error;

/// Deepest nesting of brackets and `not`.
const DEPTH: usize = 64;

/// A filter that can't be read.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("the filter `{text}` has {what}{place}")]
pub struct FilterError {
    text: String,
    what: String,
    place: String,
}

/// What a value is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

/// The words before a value.
#[derive(Debug, Clone, Copy)]
struct Words {
    protocol: Option<&'static Protocol>,
    ether: bool,
    source: bool,
    destination: bool,
    kind: Option<Kind>,
}

#[derive(Debug)]
struct Protocol {
    name: &'static str,
    /// EtherTypes, of which one must be.
    types: &'static [u16],
    /// IP protocol.
    number: Option<u8>,
}

const PROTOCOLS: [Protocol; 10] = [
    Protocol { name: "ip", types: &[0x0800], number: None },
    Protocol { name: "ip6", types: &[0x86dd], number: None },
    Protocol { name: "arp", types: &[0x0806], number: None },
    Protocol { name: "rarp", types: &[0x8035], number: None },
    Protocol { name: "tcp", types: &[0x0800, 0x86dd], number: Some(6) },
    Protocol { name: "udp", types: &[0x0800, 0x86dd], number: Some(17) },
    Protocol { name: "sctp", types: &[0x0800, 0x86dd], number: Some(132) },
    Protocol { name: "icmp", types: &[0x0800], number: Some(1) },
    Protocol { name: "icmp6", types: &[0x86dd], number: Some(58) },
    Protocol { name: "igmp", types: &[0x0800], number: Some(2) },
];

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<&'a str>,
    at: usize,
    last: Option<Words>,
}

/// Reads a filter; an empty one takes everything.
///
/// # Errors
/// When it is none of the language.
pub fn parse(text: &str) -> Result<Filter, FilterError> {
    let mut parser = Parser { text, tokens: tokens(text), at: 0, last: None };
    if parser.tokens.is_empty() {
        return Ok(Filter::EVERYTHING);
    }
    let filter = parser.expression(0)?;
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(parser.fail("`and` or `or` missing")),
    }
}

/// Words and brackets.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in text.split_whitespace() {
        let mut rest = part;
        while !rest.is_empty() {
            let length = match rest.find(['(', ')', '!']) {
                Some(0) => 1,
                Some(at) => at,
                None => rest.len(),
            };
            let (word, after) = rest.split_at(length);
            found.push(word);
            rest = after;
        }
    }
    found
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn take(&mut self, words: &[&str]) -> bool {
        let found = self.peek().is_some_and(|word| words.contains(&word));
        self.at += usize::from(found);
        found
    }

    fn fail(&self, what: &str) -> FilterError {
        let place = match self.peek() {
            Some(word) => format!(" at word {}, `{word}`", self.at + 1),
            None => " at its end".to_owned(),
        };
        FilterError { text: self.text.to_owned(), what: what.to_owned(), place }
    }

    fn expression(&mut self, depth: usize) -> Result<Filter, FilterError> {
        let mut filter = self.term(depth)?;
        loop {
            if self.take(&["and", "&&"]) {
                filter = Filter::All(vec![filter, self.term(depth)?]);
            } else if self.take(&["or", "||"]) {
                filter = Filter::Any(vec![filter, self.term(depth)?]);
            } else {
                return Ok(filter);
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<Filter, FilterError> {
        if depth > DEPTH {
            return Err(self.fail("too many brackets"));
        }
        if self.take(&["not", "!"]) {
            return Ok(Filter::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.take(&["("]) {
            let filter = self.expression(depth + 1)?;
            return if self.take(&[")"]) {
                Ok(filter)
            } else {
                Err(self.fail("a bracket that is not closed"))
            };
        }
        self.primitive()
    }

    fn primitive(&mut self) -> Result<Filter, FilterError> {
        if self.take(&["vlan"]) {
            return self.vlan();
        }
        if self.take(&["mpls"]) {
            return Ok(Filter::Any([0x8847, 0x8848].map(|kind| Filter::field(Field::ETH_TYPE, kind)).into()));
        }
        let begin = self.at;
        let mut words = Words {
            protocol: None,
            ether: self.take(&["ether"]),
            source: true,
            destination: true,
            kind: None,
        };
        if !words.ether
            && let Some(word) = self.peek()
            && let Some(protocol) = PROTOCOLS.iter().find(|protocol| protocol.name == word)
        {
            self.at += 1;
            words.protocol = Some(protocol);
        }
        if self.take(&["broadcast"]) {
            return Ok(of(words.protocol, Filter::field(Field::ETH_DST, (1 << 48) - 1)));
        }
        if self.take(&["multicast"]) {
            return Ok(of(words.protocol, Filter::fields(&[(Field::ETH_DST, 1 << 40, 1 << 40)])));
        }
        if self.take(&["src"]) {
            words.destination = false;
        } else if self.take(&["dst"]) {
            words.source = false;
        }
        let kinds = [
            ("host", Kind::Host),
            ("net", Kind::Net),
            ("port", Kind::Port),
            ("portrange", Kind::PortRange),
            ("proto", Kind::Proto),
        ];
        if let Some(word) = self.peek()
            && let Some((_, kind)) = kinds.iter().find(|(name, _)| *name == word)
        {
            self.at += 1;
            words.kind = Some(*kind);
        }
        if self.at == begin {
            // A value alone.
            words = self.last.ok_or_else(|| self.fail("a word that is not known"))?;
        } else if words.kind.is_none() {
            let ends = self.peek().is_none_or(|word| ["and", "or", "&&", "||", ")"].contains(&word));
            match words.protocol {
                Some(protocol) if ends && words.source && words.destination => return Ok(is(protocol)),
                _ => words.kind = Some(Kind::Host),
            }
        }
        self.last = Some(words);
        let Some(value) = self.peek() else { return Err(self.fail("no value")) };
        let filter = self.value(words, value)?;
        self.at += 1;
        Ok(filter)
    }

    fn vlan(&mut self) -> Result<Filter, FilterError> {
        let tagged = Filter::Not(Box::new(Filter::field(Field::VLAN_TPID, 0)));
        let Some(number) = self.peek().filter(|word| word.starts_with(|c: char| c.is_ascii_digit())) else {
            return Ok(tagged);
        };
        let Some(number) = number.parse::<u64>().ok().filter(|number| *number < 4096) else {
            return Err(self.fail("a VLAN that is none (0 to 4095)"));
        };
        self.at += 1;
        Ok(Filter::All(vec![tagged, Filter::fields(&[(Field::VLAN_TCI, number, 0xfff)])]))
    }

    fn value(&self, words: Words, value: &str) -> Result<Filter, FilterError> {
        let filter = match words.kind {
            Some(Kind::Port) => {
                let port = self.port(value)?;
                self.ports(words, port, port)?
            }
            Some(Kind::PortRange) => {
                let (low, high) = value.split_once('-').ok_or_else(|| self.fail("no range of ports"))?;
                self.ports(words, self.port(low)?, self.port(high)?)?
            }
            Some(Kind::Proto) => {
                let number = match value.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16).ok(),
                    None => value.parse().ok(),
                };
                let field = if words.ether { Field::ETH_TYPE } else { Field::IP_PROTO };
                let number = number
                    .filter(|number| *number <= field.ones())
                    .ok_or_else(|| self.fail("a number that is no protocol"))?;
                let ip = [0x0800, 0x86dd].map(|kind| Filter::field(Field::ETH_TYPE, kind));
                let is = Filter::field(field, number);
                if words.ether { is } else { Filter::All(vec![Filter::Any(ip.into()), is]) }
            }
            Some(Kind::Host) if words.ether => {
                let mac: MacAddr = value.parse().map_err(|_| self.fail("no MAC address"))?;
                let number = mac.octets().iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
                either(words, Filter::field(Field::ETH_SRC, number), Filter::field(Field::ETH_DST, number))
            }
            Some(Kind::Host) => {
                let address: IpAddr = value.parse().map_err(|_| self.fail("no IP address"))?;
                self.addresses(words, address, if address.is_ipv4() { 32 } else { 128 })?
            }
            Some(Kind::Net) => {
                let net: ipnet::IpNet = value.parse().map_err(|_| self.fail("no prefix (10.0.0.0/8)"))?;
                if net.trunc() != net {
                    return Err(self.fail("bits behind the prefix"));
                }
                self.addresses(words, net.addr(), net.prefix_len())?
            }
            None => return Err(self.fail("a value without a word before it")),
        };
        Ok(of(words.protocol, filter))
    }

    fn port(&self, value: &str) -> Result<u64, FilterError> {
        value.parse::<u16>().map(u64::from).map_err(|_| self.fail("a port that is none (0 to 65535)"))
    }

    fn ports(&self, words: Words, low: u64, high: u64) -> Result<Filter, FilterError> {
        let (low, high) = (low.min(high), low.max(high));
        let carriers: Vec<Filter> =
            PROTOCOLS.iter().filter(|p| ["tcp", "udp", "sctp"].contains(&p.name)).map(is).collect();
        if words.protocol.is_some_and(|p| p.number.is_some_and(|number| ![6, 17, 132].contains(&number))) {
            return Err(self.fail("ports of a protocol that has none"));
        }
        let range = |field: Field| Filter::Any(blocks(low, high, field));
        let later = Filter::fields(&[(Field::IP_FRAG, 3, 3)]);
        Ok(Filter::All(vec![
            Filter::Any(carriers),
            Filter::Not(Box::new(later)),
            either(words, range(Field::TP_SRC), range(Field::TP_DST)),
        ]))
    }

    fn addresses(&self, words: Words, address: IpAddr, length: u8) -> Result<Filter, FilterError> {
        let family: &[u64] = if address.is_ipv4() { &[0x0800, 0x0806, 0x8035] } else { &[0x86dd] };
        if let Some(protocol) = words.protocol
            && !protocol.types.iter().any(|kind| family.contains(&u64::from(*kind)))
        {
            return Err(self.fail("an address of another family"));
        }
        let (source, destination) = match address {
            IpAddr::V4(address) => {
                let bits = u64::from(u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0));
                let number = u64::from(address.to_bits());
                let one = |field| Filter::fields(&[(field, number, bits)]);
                (one(Field::IP4_SRC), one(Field::IP4_DST))
            }
            IpAddr::V6(address) => {
                let bits = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                let number = address.to_bits();
                let one = |high, low| {
                    Filter::fields(&[
                        (high, (number >> 64) as u64, (bits >> 64) as u64),
                        (low, number as u64, bits as u64),
                    ])
                };
                (one(Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW), one(Field::IP6_DST_HIGH, Field::IP6_DST_LOW))
            }
        };
        let kinds = family.iter().map(|kind| Filter::field(Field::ETH_TYPE, *kind)).collect();
        Ok(Filter::All(vec![Filter::Any(kinds), either(words, source, destination)]))
    }
}

/// Source, destination, or one of both.
fn either(words: Words, source: Filter, destination: Filter) -> Filter {
    match (words.source, words.destination) {
        (true, false) => source,
        (false, true) => destination,
        _ => Filter::Any(vec![source, destination]),
    }
}

fn is(protocol: &Protocol) -> Filter {
    let kinds = protocol.types.iter().map(|kind| Filter::field(Field::ETH_TYPE, u64::from(*kind))).collect();
    let mut parts = vec![Filter::Any(kinds)];
    parts.extend(protocol.number.map(|number| Filter::field(Field::IP_PROTO, u64::from(number))));
    Filter::All(parts)
}

fn of(protocol: Option<&Protocol>, filter: Filter) -> Filter {
    match protocol {
        Some(protocol) => Filter::All(vec![is(protocol), filter]),
        None => filter,
    }
}

/// A range of numbers as blocks that a mask can tell.
fn blocks(low: u64, high: u64, field: Field) -> Vec<Filter> {
    let (mut from, mut found) = (low, Vec::new());
    while from <= high {
        let mut size = 1;
        while from & size == 0 && size < 1 << 16 && from + size * 2 - 1 <= high {
            size *= 2;
        }
        found.push(Filter::fields(&[(field, from, field.ones() & !(size - 1))]));
        from += size;
    }
    found
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
