//! References between parts of a description: `web:eth0`, `a:eth0 -- b:eth0`, `client -> web, db`, `tcp/80`.

use super::{Prefix, ScalarError, text_scalar};
use netloom_wire::{InterfaceName, NodeName};
use std::fmt;
use std::str::FromStr;

/// An interface of a node: `web:eth0`; `host:eth0` is one of the host's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceRef {
    /// The node; `host` is reserved for the host itself.
    pub node: NodeName,
    /// The interface.
    pub interface: InterfaceName,
}

impl FromStr for InterfaceRef {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let (node, interface) = text.trim().split_once(':').ok_or_else(|| {
            ScalarError::new(format!("`{text}` is not an interface of a node: write it like web:eth0"))
        })?;
        Ok(Self {
            node: node.trim().parse().map_err(|error| ScalarError::new(format!("{error}")))?,
            interface: interface.trim().parse().map_err(|error| ScalarError::new(format!("{error}")))?,
        })
    }
}

impl fmt::Display for InterfaceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.node, self.interface)
    }
}

text_scalar!(InterfaceRef, "interface-ref", "interface of a node, like web:eth0 (host:eth0 for the host's)");

/// The two ends of a link: `a:eth0 -- b:eth0`. An end whose node is a network is a port of its bridge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkEnds {
    /// First end; a simplex link carries frames from here.
    pub a: InterfaceRef,
    /// Second end.
    pub b: InterfaceRef,
}

impl FromStr for LinkEnds {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let (a, b) = text.split_once("--").ok_or_else(|| {
            ScalarError::new(format!("`{text}` is not a link: write it like a:eth0 -- b:eth0"))
        })?;
        let ends = Self { a: a.parse()?, b: b.parse()? };
        if ends.a == ends.b {
            return Err(ScalarError::new(format!("`{text}` has the same interface at both ends")));
        }
        Ok(ends)
    }
}

impl fmt::Display for LinkEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -- {}", self.a, self.b)
    }
}

text_scalar!(LinkEnds, "link-ends", "the two ends of a link, like a:eth0 -- b:eth0");

/// Who a rule or a test speaks of: a node, a group, a network, a prefix, or `any`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerName {
    /// Everybody.
    Any,
    /// An endpoint, router, group or network by name.
    Name(NodeName),
    /// Addresses.
    Prefix(Prefix),
}

impl FromStr for PeerName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let text = text.trim();
        if text == "any" {
            return Ok(Self::Any);
        }
        if text.contains('/') || text.parse::<std::net::IpAddr>().is_ok() {
            return text.parse().map(Self::Prefix);
        }
        text.parse().map(Self::Name).map_err(|error| ScalarError::new(format!("{error}")))
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Name(name) => write!(f, "{name}"),
            Self::Prefix(prefix) => write!(f, "{prefix}"),
        }
    }
}

text_scalar!(PeerName, "peer", "a node, group or network by name, a prefix, or any");

/// Who talks to whom: `client -> web`, `web, admin -> db`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Where it begins; at least one.
    pub from: Vec<PeerName>,
    /// Where it goes; at least one.
    pub to: Vec<PeerName>,
}

impl FromStr for Flow {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let (from, to) = text.split_once("->").ok_or_else(|| {
            ScalarError::new(format!("`{text}` says not who talks to whom: write it like client -> web"))
        })?;
        let side = |text: &str| text.split(',').map(str::parse).collect::<Result<Vec<PeerName>, _>>();
        Ok(Self { from: side(from)?, to: side(to)? })
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |names: &[PeerName]| names.iter().map(PeerName::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "{} -> {}", side(&self.from), side(&self.to))
    }
}

text_scalar!(Flow, "flow", "who talks to whom, like client -> web or web, admin -> db");

/// What a packet carries above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Protocol {
    Icmp,
    Tcp,
    Udp,
    Sctp,
    Http,
}

/// A service: `icmp`, `tcp/80`, `udp/5000-5100`, `http/8080`; a protocol alone means all its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// The protocol.
    pub protocol: Protocol,
    /// First and last port; `None` for all ports and for ICMP.
    pub ports: Option<(u16, u16)>,
}

impl FromStr for Service {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong = |why: &str| {
            ScalarError::new(format!(
                "`{text}` is not a service: {why}; write it like icmp, tcp/80 or udp/5000-5100"
            ))
        };
        let (word, ports) = match text.trim().split_once('/') {
            Some((word, ports)) => (word, Some(ports)),
            None => (text.trim(), None),
        };
        let protocol = match word {
            "icmp" => Protocol::Icmp,
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            "http" => Protocol::Http,
            _ => return Err(wrong("the protocol is one of icmp, tcp, udp, sctp, http")),
        };
        let Some(ports) = ports else { return Ok(Self { protocol, ports: None }) };
        if protocol == Protocol::Icmp {
            return Err(wrong("icmp has no ports"));
        }
        let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        match (port(low), port(high)) {
            (Some(low), Some(high)) if low <= high => Ok(Self { protocol, ports: Some((low, high)) }),
            _ => Err(wrong("ports are 1 to 65535, smaller first")),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.protocol {
            Protocol::Icmp => "icmp",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
            Protocol::Http => "http",
        })?;
        match self.ports {
            None => Ok(()),
            Some((low, high)) if low == high => write!(f, "/{low}"),
            Some((low, high)) => write!(f, "/{low}-{high}"),
        }
    }
}

text_scalar!(Service, "service", "service, like icmp, tcp/80, udp/5000-5100 or http/8080");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        assert_eq!(
            "a:eth0--b:eth0".parse::<LinkEnds>().map(|e| e.to_string()),
            Ok("a:eth0 -- b:eth0".into())
        );
        assert_eq!("a-b:eth0 -- c:e1".parse::<LinkEnds>().map(|e| e.a.node.to_string()), Ok("a-b".into()));
        assert!("a:eth0 -- a:eth0".parse::<LinkEnds>().is_err());
        assert_eq!("a,b->10.0.0.0/8".parse::<Flow>().map(|f| f.to_string()), Ok("a, b -> 10.0.0.0/8".into()));
        for bad in ["tcp/0", "tcp/80-70", "icmp/1", "sctp/", "tls/443", ""] {
            assert!(bad.parse::<Service>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-z0-9:>, /.*-]{0,24}") {
            let _ = (text.parse::<LinkEnds>(), text.parse::<Flow>(), text.parse::<Service>());
            if let Ok(flow) = text.parse::<Flow>() {
                prop_assert_eq!(flow.to_string().parse(), Ok(flow));
            }
        }
    }
}
