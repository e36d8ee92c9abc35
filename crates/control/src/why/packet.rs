//! A packet as the walk sees it: headers, marks, and what connection tracking says of it.

use netloom_compile::object::Family;
use netloom_compile::object::firewall::Protocol;
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The source port of a packet whose sender chooses one.
pub(super) const EPHEMERAL: u16 = 40_000;

/// What connection tracking says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tracked {
    /// It opens a connection.
    New,
    /// It belongs to one that was answered.
    Established,
    /// It belongs to none, and opens none.
    Invalid,
    /// It is exempt.
    Untracked,
}

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Packet {
    /// Source; unspecified until the sender's routing has chosen one.
    pub source: IpAddr,
    /// Destination.
    pub destination: IpAddr,
    /// IP protocol.
    pub protocol: Protocol,
    /// Source port, of protocols with ports.
    pub source_port: Option<u16>,
    /// Destination port, of protocols with ports.
    pub destination_port: Option<u16>,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
    /// Hops that are left.
    pub hops: u8,
    /// Octets of the IP packet.
    pub length: u32,
    /// It may be cut into fragments on its way.
    pub may_fragment: bool,
    /// Firewall mark.
    pub mark: u32,
    /// DiffServ code point.
    pub dscp: u8,
    /// What connection tracking says in the namespace where it is.
    pub tracked: Tracked,
    /// Its connection's destination was translated there.
    pub mapped: bool,
    /// Its connection's source was translated there.
    pub masked: bool,
    /// It answers another packet.
    pub answers: bool,
}

/// What tells connections apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tuple {
    pub(super) protocol: Protocol,
    pub(super) source: (IpAddr, Option<u16>),
    pub(super) destination: (IpAddr, Option<u16>),
}

impl Tuple {
    /// The tuple of answers.
    pub(super) fn reversed(&self) -> Self {
        Self { protocol: self.protocol, source: self.destination, destination: self.source }
    }
}

impl Packet {
    /// A packet that opens a connection, or asks for an echo.
    #[must_use]
    pub fn opening(protocol: Protocol, source: IpAddr, destination: IpAddr) -> Self {
        let echo = match protocol {
            Protocol::ICMP => Some((8, 0)),
            Protocol::ICMPV6 => Some((128, 0)),
            _ => None,
        };
        let header = if destination.is_ipv4() { 20 } else { 40 };
        let rest = match protocol {
            Protocol::TCP => 40,
            Protocol::UDP => 8 + 13,
            _ => 8 + 56,
        };
        Self {
            source,
            destination,
            protocol,
            source_port: protocol.has_ports().then_some(EPHEMERAL),
            destination_port: None,
            icmp: echo,
            hops: 64,
            length: header + rest,
            may_fragment: protocol != Protocol::TCP && destination.is_ipv4(),
            mark: 0,
            dscp: 0,
            tracked: Tracked::New,
            mapped: false,
            masked: false,
            answers: false,
        }
    }

    /// What its receiver would answer with, before anything is translated back; none where nothing is to be answered.
    #[must_use]
    pub fn answer(&self) -> Option<Self> {
        let icmp = match (self.protocol, self.icmp) {
            (Protocol::ICMP, Some((8, code))) => Some((0, code)),
            (Protocol::ICMPV6, Some((128, code))) => Some((129, code)),
            (Protocol::ICMP | Protocol::ICMPV6, _) => return None,
            _ => None,
        };
        Some(Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            icmp,
            hops: 64,
            mark: 0,
            tracked: Tracked::New,
            mapped: false,
            masked: false,
            answers: true,
            ..self.clone()
        })
    }

    /// Its address family.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(&self.destination)
    }

    pub(super) const fn tuple(&self) -> Tuple {
        // What tells echoes apart is their identifier, which both directions share.
        Tuple {
            protocol: self.protocol,
            source: (self.source, self.source_port),
            destination: (self.destination, self.destination_port),
        }
    }

    /// `tcp/5432`, `icmp echo request`: what it carries.
    #[must_use]
    pub fn carries(&self) -> String {
        match (self.protocol, self.icmp, self.destination_port) {
            (Protocol::ICMP, Some((8, _)), _) | (Protocol::ICMPV6, Some((128, _)), _) => "ping".to_owned(),
            (Protocol::ICMP, Some((0, _)), _) | (Protocol::ICMPV6, Some((129, _)), _) => {
                "ping's answer".to_owned()
            }
            (protocol, Some((kind, _)), _) => format!("{protocol} type {kind}"),
            (protocol, None, Some(port)) => format!("{protocol}/{port}"),
            (protocol, None, None) => protocol.to_string(),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |address: IpAddr, port: Option<u16>| match port {
            Some(port) => SocketAddr::new(address, port).to_string(),
            None => address.to_string(),
        };
        let source =
            if self.source.is_unspecified() { "?".to_owned() } else { end(self.source, self.source_port) };
        write!(f, "{} {source} > {}", self.protocol, end(self.destination, self.destination_port))?;
        if let Some((kind, code)) = self.icmp {
            write!(f, " type {kind} code {code}")?;
        }
        Ok(())
    }
}
