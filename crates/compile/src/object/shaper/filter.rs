//! What takes a packet into a class.

use super::ClassId;
use crate::object::Family;
use ipnet::IpNet;
use netloom_wire::Dscp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A match and the class that it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// What the packet must be like.
    pub when: Match,
    /// Where it goes.
    pub class: ClassId,
}

/// Ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The first.
    pub low: u16,
    /// The last.
    pub high: u16,
}

impl PortRange {
    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self { low: port, high: port }
    }

    /// The fewest value/mask pairs that match exactly these ports, at most 30 of them.
    #[must_use]
    pub fn prefixes(self) -> Vec<(u16, u16)> {
        let (mut low, high) = (u32::from(self.low), u32::from(self.high));
        let mut prefixes = Vec::new();
        while low <= high {
            // The largest aligned block that begins here and does not go beyond the end.
            let aligned = if low == 0 { 16 } else { low.trailing_zeros().min(16) };
            let fitting = (high - low + 1).ilog2();
            let size = 1u32 << aligned.min(fitting);
            prefixes.push((low as u16, !(size - 1) as u16));
            low += size;
        }
        prefixes
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}-{}", self.low, self.high)
        }
    }
}

/// What a packet must be like; everything given must hold. An empty match takes every packet, also those
/// that are not IP. Ports without a protocol mean TCP or UDP.
///
/// Limits: ports are seen only in packets that are not later fragments, and in IPv6 packets without
/// extension headers when `u32` realizes the match. A match by mark is realized with `u32` only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// IPv4 or IPv6 only; an address below says so too.
    pub family: Option<Family>,
    /// Source prefix.
    pub source: Option<IpNet>,
    /// Destination prefix.
    pub destination: Option<IpNet>,
    /// IP protocol number (6 TCP, 17 UDP ...). IPv6's is its last header before any extension.
    pub protocol: Option<u8>,
    /// Source ports.
    pub source_ports: Option<PortRange>,
    /// Destination ports.
    pub destination_ports: Option<PortRange>,
    /// Differentiated-services code point.
    pub dscp: Option<Dscp>,
    /// Firewall mark and mask.
    pub mark: Option<(u32, u32)>,
}

impl Match {
    /// The one form of a match that says the same: no host bits, no prefix of length 0, the family only
    /// where no address tells it.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let mut this = self.clone();
        let told = self.source.iter().chain(&self.destination).map(family).next();
        for prefix in [&mut this.source, &mut this.destination] {
            *prefix = prefix.map(|prefix| prefix.trunc()).filter(|prefix| prefix.prefix_len() > 0);
        }
        this.family =
            if this.source.is_some() || this.destination.is_some() { None } else { told.or(self.family) };
        this.mark = this.mark.map(|(value, mask)| (value & mask, mask)).filter(|(_, mask)| *mask != 0);
        this
    }

    /// The address families that it can match: both for a match that names none, none at all for one
    /// that takes packets of every kind.
    #[must_use]
    pub fn families(&self) -> &'static [Family] {
        let told = self.source.iter().chain(&self.destination).map(family).next().or(self.family);
        let ip = self.protocol.is_some() || self.has_ports() || self.dscp.is_some();
        match told {
            Some(Family::V4) => &[Family::V4],
            Some(Family::V6) => &[Family::V6],
            None if ip => &[Family::V4, Family::V6],
            None => &[],
        }
    }

    /// Whether ports matter.
    #[must_use]
    pub const fn has_ports(&self) -> bool {
        self.source_ports.is_some() || self.destination_ports.is_some()
    }
}

pub(super) fn family(prefix: &IpNet) -> Family {
    Family::of(&prefix.addr())
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        match self.family {
            Some(Family::V4) => words.push("ipv4".to_owned()),
            Some(Family::V6) => words.push("ipv6".to_owned()),
            None => {}
        }
        words.extend(self.source.map(|prefix| format!("from {prefix}")));
        words.extend(self.destination.map(|prefix| format!("to {prefix}")));
        words.extend(self.protocol.map(|protocol| match protocol {
            1 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            58 => "icmpv6".to_owned(),
            132 => "sctp".to_owned(),
            other => format!("protocol {other}"),
        }));
        words.extend(self.source_ports.map(|ports| format!("source port {ports}")));
        words.extend(self.destination_ports.map(|ports| format!("port {ports}")));
        words.extend(self.dscp.map(|dscp| format!("dscp {dscp}")));
        words.extend(self.mark.map(|(value, mask)| format!("mark {value:#x}/{mask:#x}")));
        f.write_str(if words.is_empty() { "everything" } else { "" })?;
        f.write_str(&words.join(" "))
    }
}
