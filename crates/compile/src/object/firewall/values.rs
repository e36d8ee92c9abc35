//! Addresses, ports and protocols as a packet filter sees them: canonical collections.

use super::super::Family;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A prefix of one address family. Sealed by what it asks for: only the two families have it.
pub trait Network: Copy + Ord + fmt::Debug + fmt::Display {
    /// Merges neighbours, drops what others cover, clears host bits and sorts.
    fn aggregated(list: &[Self]) -> Vec<Self>;
}

impl Network for Ipv4Net {
    fn aggregated(list: &[Self]) -> Vec<Self> {
        let mut list = Self::aggregate(&list.iter().map(Self::trunc).collect());
        list.sort_unstable();
        list
    }
}

impl Network for Ipv6Net {
    fn aggregated(list: &[Self]) -> Vec<Self> {
        let mut list = Self::aggregate(&list.iter().map(Self::trunc).collect());
        list.sort_unstable();
        list
    }
}

/// Prefixes of one family: sorted, disjoint, neighbours merged, no host bits. May be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Networks<N>(Vec<N>);

impl<N> Default for Networks<N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<N: Network> Networks<N> {
    /// The prefixes.
    #[must_use]
    pub fn as_slice(&self) -> &[N] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are after merging.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<N: Network> FromIterator<N> for Networks<N> {
    fn from_iter<I: IntoIterator<Item = N>>(list: I) -> Self {
        Self(N::aggregated(&list.into_iter().collect::<Vec<_>>()))
    }
}

impl<'de, N: Network + Deserialize<'de>> Deserialize<'de> for Networks<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<N>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// What an address is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addresses {
    /// Any of these IPv4 prefixes.
    V4(Networks<Ipv4Net>),
    /// Any of these IPv6 prefixes.
    V6(Networks<Ipv6Net>),
    /// Any element of the named set; the set's type gives the family.
    Set(Arc<str>),
}

impl Addresses {
    /// Sorts prefixes by family: a rule has one family, so a mixed list needs two rules.
    pub fn by_family(list: impl IntoIterator<Item = IpNet>) -> impl Iterator<Item = Self> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in list {
            match prefix {
                IpNet::V4(prefix) => v4.push(prefix),
                IpNet::V6(prefix) => v6.push(prefix),
            }
        }
        let v4 = (!v4.is_empty()).then(|| Self::V4(v4.into_iter().collect()));
        let v6 = (!v6.is_empty()).then(|| Self::V6(v6.into_iter().collect()));
        v4.into_iter().chain(v6)
    }

    /// The family, if it can be told without looking a set up.
    #[must_use]
    pub const fn family(&self) -> Option<Family> {
        match self {
            Self::V4(_) => Some(Family::V4),
            Self::V6(_) => Some(Family::V6),
            Self::Set(_) => None,
        }
    }
}

impl From<IpNet> for Addresses {
    fn from(prefix: IpNet) -> Self {
        match prefix {
            IpNet::V4(prefix) => Self::V4([prefix].into_iter().collect()),
            IpNet::V6(prefix) => Self::V6([prefix].into_iter().collect()),
        }
    }
}

impl From<std::net::IpAddr> for Addresses {
    fn from(address: std::net::IpAddr) -> Self {
        IpNet::from(address).into()
    }
}

/// An inclusive range of ports; `first <= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The ports from `first` to `last`, or the other way round.
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Self {
        if first <= last { Self { first, last } } else { Self { first: last, last: first } }
    }

    /// The smallest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The largest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        Self::new(port, port)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for PortRange {
    type Err = netloom_wire::NounError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = |part: &str| {
            part.parse::<u16>().map_err(|_| netloom_wire::NounError::Number {
                what: "port or a range of ports like 8000-8010",
                text: text.to_owned(),
            })
        };
        match text.split_once('-') {
            Some((first, last)) => Ok(Self::new(port(first)?, port(last)?)),
            None => Ok(port(text)?.into()),
        }
    }
}

impl Serialize for PortRange {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Ports: sorted, disjoint ranges, neighbours merged. May be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Ports(Vec<PortRange>);

impl Ports {
    /// The ranges.
    #[must_use]
    pub fn as_slice(&self) -> &[PortRange] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<PortRange> for Ports {
    fn from_iter<I: IntoIterator<Item = PortRange>>(list: I) -> Self {
        let mut list: Vec<PortRange> = list.into_iter().collect();
        list.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::with_capacity(list.len());
        for range in list {
            match merged.last_mut() {
                Some(before) if u32::from(range.first) <= u32::from(before.last) + 1 => {
                    before.last = before.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }
}

impl From<PortRange> for Ports {
    fn from(range: PortRange) -> Self {
        Self(vec![range])
    }
}

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        PortRange::from(port).into()
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<PortRange>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// A transport protocol by its number (IANA protocol numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// DCCP.
    pub const DCCP: Self = Self(33);
    /// GRE.
    pub const GRE: Self = Self(47);
    /// IPsec ESP.
    pub const ESP: Self = Self(50);
    /// IPsec AH.
    pub const AH: Self = Self(51);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// OSPF.
    pub const OSPF: Self = Self(89);
    /// VRRP.
    pub const VRRP: Self = Self(112);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDPLITE: Self = Self(136);

    /// Whether its header begins with a source and a destination port.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::DCCP | Self::SCTP | Self::UDPLITE)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::ICMP => "icmp",
            Self::TCP => "tcp",
            Self::UDP => "udp",
            Self::DCCP => "dccp",
            Self::GRE => "gre",
            Self::ESP => "esp",
            Self::AH => "ah",
            Self::ICMPV6 => "icmpv6",
            Self::OSPF => "ospf",
            Self::VRRP => "vrrp",
            Self::SCTP => "sctp",
            Self::UDPLITE => "udplite",
            Self(number) => return write!(f, "{number}"),
        })
    }
}
