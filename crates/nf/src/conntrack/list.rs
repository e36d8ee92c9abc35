//! What connections there are, in Open vSwitch's words, and taking them away on request.
//!
//! Costs: a shard is held for [`STEP`] places at a time, so that packets wait for no list.

use super::connection::{Connection, bit};
use super::packet::ip;
use super::shard::Shard;
use super::tcp::{Peer, TcpState};
use super::tracker::Tracker;
use super::tuple::Tuple;
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Places that are looked at while a shard is held.
const STEP: u32 = 1024;
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// One end of a TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpEnd {
    /// Its state.
    pub state: TcpState,
    /// Shift of its window.
    pub scale: u8,
    /// It offered to scale.
    pub scales: bool,
    /// The connection was first seen when it had begun.
    pub liberal: bool,
}

/// A connection as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Tuple of the first packet, as it came.
    pub original: Tuple,
    /// Tuple of the answers, as they come.
    pub reply: Tuple,
    /// Its mark.
    pub mark: u32,
    /// Its label.
    pub label: u128,
    /// Whole seconds that it still lives without packets.
    pub seconds: u64,
    /// Who began and who answered, with TCP.
    pub tcp: Option<[TcpEnd; 2]>,
    /// Who watches it.
    pub helper: Option<&'static str>,
    /// Original tuple of the connection whose helper expected it.
    pub parent: Option<Tuple>,
}

/// What of an entry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detail {
    /// Both TCP states, status and cause (`dpctl/dump-conntrack -m`).
    pub more: bool,
    /// How long it lives (`-s`).
    pub statistics: bool,
}

impl Entry {
    fn new(connection: &Connection, shard: &Shard, now: u64) -> Self {
        let end = |peer: &Peer| TcpEnd {
            state: peer.state,
            scale: peer.shift(),
            scales: peer.scales(),
            liberal: peer.is_liberal(),
        };
        let rare = shard.rare.get(connection.rare).filter(|_| connection.is(bit::EXPECTED));
        Self {
            original: connection.tuple(false, &shard.wide),
            reply: connection.tuple(true, &shard.wide),
            mark: connection.mark,
            label: connection.label(),
            seconds: connection.expires.saturating_sub(now) / SECOND,
            tcp: (connection.protocol == ip::TCP)
                .then(|| [end(&connection.peers[0]), end(&connection.peers[1])]),
            helper: match (connection.is(bit::FTP), connection.is(bit::TFTP)) {
                (true, _) => Some("ftp"),
                (_, true) => Some("tftp"),
                _ => None,
            },
            parent: rare.map(|rare| rare.parent),
        }
    }

    /// The one TCP state that a list without details shows.
    #[must_use]
    pub fn state(&self) -> Option<TcpState> {
        let [first, second] = self.tcp?;
        Some(match first.state.max(second.state) {
            TcpState::FinWait2 => TcpState::TimeWait,
            TcpState::SynReceived => TcpState::Established,
            state => state,
        })
    }

    /// A line of `dpctl/dump-conntrack`.
    #[must_use]
    pub fn text(&self, detail: Detail) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = self.write(&mut text, detail);
        text
    }

    fn write(&self, text: &mut String, detail: Detail) -> fmt::Result {
        write!(text, "{},orig=({}),reply=({})", protocol(self.original.protocol), self.original, self.reply)?;
        if detail.more {
            text.push_str(",id=0");
        }
        if self.original.zone != 0 {
            write!(text, ",zone={}", self.original.zone)?;
        }
        if detail.more {
            text.push_str(",status=0");
        }
        if detail.statistics {
            write!(text, ",timeout={}", self.seconds)?;
        }
        if self.mark != 0 {
            write!(text, ",mark={}", self.mark)?;
        }
        if self.label != 0 {
            write!(text, ",labels={:#x}", self.label)?;
        }
        match (self.tcp, self.state()) {
            (Some([original, reply]), _) if detail.more => {
                write!(
                    text,
                    ",protoinfo=(state_orig={},state_reply={}",
                    original.state.name(),
                    reply.state.name()
                )?;
                if original.scale != 0 || reply.scale != 0 {
                    write!(text, ",wscale_orig={},wscale_reply={}", original.scale, reply.scale)?;
                }
                write!(text, ",flags_orig={},flags_reply={})", flags(original), flags(reply))?;
            }
            (_, Some(state)) => write!(text, ",protoinfo=(state={})", state.name())?,
            _ => {}
        }
        if let Some(helper) = self.helper {
            write!(text, ",helper={helper}")?;
        }
        if let Some(parent) = self.parent.filter(|_| detail.more) {
            write!(text, ",parent=({parent})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(Detail::default()))
    }
}

const fn flags(end: TcpEnd) -> &'static str {
    match (end.scales, end.liberal) {
        (true, true) => "WINDOW_SCALE|BE_LIBERAL",
        (true, false) => "WINDOW_SCALE",
        (false, true) => "BE_LIBERAL",
        (false, false) => "0",
    }
}

/// A protocol's name in lists.
fn protocol(number: u8) -> String {
    match number {
        1 => "icmp",
        2 => "igmp",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        number => return number.to_string(),
    }
    .to_owned()
}

impl Tuple {
    /// Source and destination.
    #[must_use]
    pub const fn addresses(&self) -> (IpAddr, IpAddr) {
        (self.address(self.source), self.address(self.destination))
    }

    /// Source and destination port; type and code of ICMP.
    #[must_use]
    pub const fn ports(&self) -> (u16, u16) {
        self.shown_ports()
    }

    /// IP protocol.
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Zone.
    #[must_use]
    pub const fn zone(&self) -> u16 {
        self.zone
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = self.addresses();
        write!(f, "src={source},dst={destination},")?;
        let (first, second) = self.shown_ports();
        if matches!(self.protocol, ip::ICMP | ip::ICMP6) {
            // Only a query has an identifier.
            let id = if self.is_icmp() { self.source_port } else { 0 };
            write!(f, "id={id},type={first},code={second}")
        } else {
            write!(f, "sport={first},dport={second}")
        }
    }
}

/// Some of a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartOfTuple {
    /// Source address.
    pub source: Option<IpAddr>,
    /// Destination address.
    pub destination: Option<IpAddr>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// Identifier of ICMP.
    pub icmp_id: Option<u16>,
    /// Type of ICMP.
    pub icmp_type: Option<u8>,
    /// Code of ICMP.
    pub icmp_code: Option<u8>,
}

impl PartOfTuple {
    fn fits(&self, tuple: &Tuple) -> bool {
        let (source, destination) = tuple.addresses();
        let (first, second) = tuple.shown_ports();
        let icmp = tuple.is_icmp();
        let is = |wanted: Option<u16>, has: u16| wanted.is_none_or(|wanted| wanted == has);
        self.source.is_none_or(|wanted| wanted == source)
            && self.destination.is_none_or(|wanted| wanted == destination)
            && (icmp || is(self.source_port, first) && is(self.destination_port, second))
            && is(self.icmp_id, if icmp { tuple.source_port } else { 0 })
            && is(self.icmp_type.map(u16::from), if icmp { first } else { 0 })
            && is(self.icmp_code.map(u16::from), if icmp { second } else { 0 })
    }
}

/// Which connections are meant: all that fit everything that is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pattern {
    /// Zone.
    pub zone: Option<u16>,
    /// IP protocol.
    pub protocol: Option<u8>,
    /// Mark: value and mask.
    pub mark: Option<(u32, u32)>,
    /// Label: value and mask.
    pub label: Option<(u128, u128)>,
    /// Of the original tuple.
    pub original: PartOfTuple,
    /// Of the reply's tuple.
    pub reply: PartOfTuple,
}

impl Pattern {
    /// Adds what a text of `dpctl/flush-conntrack` says of the original tuple (or of the reply's):
    /// `ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80`.
    ///
    /// # Errors
    /// What is wrong, in Open vSwitch's words.
    pub fn add(&mut self, text: &str, reply: bool) -> Result<(), String> {
        let part = if reply { &mut self.reply } else { &mut self.original };
        for item in text.split([',', ' ', '\t']).filter(|item| !item.is_empty()) {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            if value.is_empty() {
                return Err(format!("field {name} missing value"));
            }
            let wrong = || format!("failed to parse field {name}");
            let port = || parse_number(value).and_then(|number| u16::try_from(number).ok()).ok_or_else(wrong);
            let byte = || parse_number(value).and_then(|number| u8::try_from(number).ok()).ok_or_else(wrong);
            let set = |to: &mut Option<IpAddr>, address: IpAddr| match to.replace(address) {
                Some(_) => Err(format!("{name} is set multiple times")),
                None => Ok(()),
            };
            match name {
                "ct_nw_src" | "ct_nw_dst" | "ct_ipv6_src" | "ct_ipv6_dst" => {
                    let address = if name.starts_with("ct_nw") {
                        IpAddr::V4(value.parse::<Ipv4Addr>().map_err(|_| wrong())?)
                    } else {
                        IpAddr::V6(value.parse::<Ipv6Addr>().map_err(|_| wrong())?)
                    };
                    let to = if name.ends_with("src") { &mut part.source } else { &mut part.destination };
                    set(to, address)?;
                }
                "ct_nw_proto" => self.protocol = Some(byte()?),
                "ct_tp_src" => part.source_port = Some(port()?),
                "ct_tp_dst" => part.destination_port = Some(port()?),
                "icmp_type" | "icmp_code" | "icmp_id" => {
                    if !matches!(self.protocol, Some(ip::ICMP | ip::ICMP6)) {
                        return Err("invalid L4 fields".to_owned());
                    }
                    match name {
                        "icmp_type" => part.icmp_type = Some(byte()?),
                        "icmp_code" => part.icmp_code = Some(byte()?),
                        _ => part.icmp_id = Some(port()?),
                    }
                }
                _ => return Err(format!("invalid conntrack tuple field: {name}")),
            }
        }
        let ports = part.source_port.is_some() || part.destination_port.is_some();
        if ports && self.protocol.is_none() {
            return Err("port is set without protocol".to_owned());
        }
        Ok(())
    }

    fn fits(&self, connection: &Connection, shard: &Shard) -> bool {
        let masked = |wanted: Option<(u32, u32)>| {
            wanted.is_none_or(|(value, mask)| (value ^ connection.mark) & mask == 0)
        };
        let labelled = |wanted: Option<(u128, u128)>| {
            wanted.is_none_or(|(value, mask)| (value ^ connection.label()) & mask == 0)
        };
        self.zone.is_none_or(|zone| zone == connection.zone)
            && self.protocol.is_none_or(|protocol| protocol == connection.protocol)
            && masked(self.mark)
            && labelled(self.label)
            && self.original.fits(&connection.tuple(false, &shard.wide))
            && self.reply.fits(&connection.tuple(true, &shard.wide))
    }
}

/// A number as command lines have it.
fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The connections one after the other; those that come or go meanwhile are listed or not.
#[derive(Debug)]
pub struct Dump<'a> {
    tracker: &'a Tracker,
    zone: Option<u16>,
    now: u64,
    shard: usize,
    place: u32,
    found: std::vec::IntoIter<Entry>,
}

impl Iterator for Dump<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.found.next() {
                return Some(entry);
            }
            if self.shard >= self.tracker.shards() {
                return None;
            }
            let shard = self.tracker.lock(self.shard);
            let (from, to) = (self.place, self.place.saturating_add(STEP).min(shard.connections.bound()));
            let entries: Vec<Entry> = (from..to)
                .filter_map(|place| shard.connections.get(place))
                .filter(|connection| connection.is(bit::ALIVE) && connection.expires > self.now)
                .filter(|connection| self.zone.is_none_or(|zone| zone == connection.zone))
                .map(|connection| Entry::new(connection, &shard, self.now))
                .collect();
            (self.shard, self.place) =
                if to == shard.connections.bound() { (self.shard + 1, 0) } else { (self.shard, to) };
            self.found = entries.into_iter();
        }
    }
}

impl Tracker {
    /// The connections, of one zone or of all.
    #[must_use]
    pub fn dump(&self, zone: Option<u16>, now: u64) -> Dump<'_> {
        Dump { tracker: self, zone, now, shard: 0, place: 0, found: Vec::new().into_iter() }
    }

    /// Takes away all connections that fit; gives their number. No [`super::Turn`] may be held by the caller.
    pub fn flush(&self, pattern: &Pattern) -> usize {
        let mut count = 0;
        for number in 0..self.shards() {
            let mut from = 0_u32;
            loop {
                let mut shard = self.lock(number);
                let bound = shard.connections.bound();
                let to = from.saturating_add(STEP).min(bound);
                for place in from..to {
                    let Some(connection) = shard.connections.get(place) else { continue };
                    if connection.is(bit::ALIVE) && pattern.fits(connection, &shard) {
                        shard.remove(place);
                        count += 1;
                    }
                }
                let removed = std::mem::take(&mut shard.removed);
                drop(shard);
                self.settle(removed);
                from = to;
                if to >= bound {
                    break;
                }
            }
        }
        count
    }
}
