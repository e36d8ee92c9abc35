//! What is asked: who sends what to whom, in the words of the command line.

use super::packet::Packet;
use super::scene::Scene;
use crate::check::choose;
use ipnet::IpNet;
use netloom_compile::object::Space;
use netloom_compile::object::firewall::Protocol;
use netloom_wire::InterfaceName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Where it is sent.
    pub from: Space,
    /// The sender, as it was named.
    pub from_name: String,
    /// The receiver, as it was named.
    pub to_name: String,
    /// The packet.
    pub packet: Packet,
    /// Whether the answer's way is asked about.
    pub back: bool,
    /// Whether it matters that somebody listens.
    pub listens: bool,
}

/// Why it can't be asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuestionError {
    /// Nobody has this name or address.
    #[error("`{name}` is neither a node nor an address of one; there is {known}")]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// A node has no address that fits.
    #[error("`{0}` has no address of that family")]
    NoAddress(String),
    /// A word for a protocol that is none.
    #[error("`{0}` is no protocol: write icmp, tcp/80, udp/53, sctp/5060, http, gre, esp or a number")]
    Protocol(String),
    /// A port where none can be, or none where one must be.
    #[error("{0}")]
    Port(String),
}

/// Reads a question: two nodes or addresses (`node`, `node:port`, `address`, `address:port`), and a protocol.
///
/// # Errors
/// When a word means nothing here.
pub fn question(
    scene: &Scene,
    from: &str,
    to: &str,
    protocol: &str,
    v6: bool,
) -> Result<Question, QuestionError> {
    let (mut kind, mut port) = carried(protocol)?;
    let (from_part, source_port) = split(from);
    let (to_part, to_port) = split(to);
    if port.is_none() {
        port = to_port;
    }
    let (space, source) = sender(scene, from_part)?;
    let mine = own(scene, &space);
    let destination = match to_part.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => {
            let v6 = v6 || source.is_some_and(|source| source.is_ipv6());
            let node = node(scene, to_part)?;
            choose(&mine, &own(scene, &node), v6)
                .ok_or_else(|| QuestionError::NoAddress(to_part.to_owned()))?
        }
    };
    if kind == Protocol::ICMP && destination.is_ipv6() {
        kind = Protocol::ICMPV6;
    }
    if kind.has_ports() != port.is_some() {
        let text = if kind.has_ports() {
            format!("{kind} needs a port: write {kind}/80")
        } else {
            format!("{kind} has no ports")
        };
        return Err(QuestionError::Port(text));
    }
    let unspecified = match destination {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut packet = Packet::opening(kind, source.unwrap_or(unspecified), destination);
    packet.destination_port = port;
    packet.source_port = source_port.or(packet.source_port).filter(|_| kind.has_ports());
    Ok(Question {
        from: space,
        from_name: from.to_owned(),
        to_name: to.to_owned(),
        packet,
        back: true,
        listens: true,
    })
}

/// The question about a packet that is there: its sender is whoever has its source address.
///
/// # Errors
/// When nobody has it.
pub fn question_of(scene: &Scene, packet: Packet) -> Result<Question, QuestionError> {
    let name = |address: IpAddr| {
        let owner = scene.owners(address).next().map(|(space, _)| space.to_string());
        owner.map_or_else(|| address.to_string(), |space| format!("{space} ({address})"))
    };
    let (from, _) = sender(scene, &packet.source.to_string())?;
    let (from_name, to_name) = (name(packet.source), name(packet.destination));
    Ok(Question { from, from_name, to_name, packet, back: true, listens: true })
}

/// The protocol and the port of `tcp/80`, `http`, `icmp`, `47`.
fn carried(text: &str) -> Result<(Protocol, Option<u16>), QuestionError> {
    let (name, port) = text.split_once(['/', ':']).map_or((text, None), |(name, port)| (name, Some(port)));
    let port = match port {
        Some(port) => Some(
            port.parse::<u16>()
                .map_err(|_| QuestionError::Port(format!("`{port}` is no port: 0 to 65535")))?,
        ),
        None => None,
    };
    let protocol = match name.to_ascii_lowercase().as_str() {
        "icmp" | "ping" => Protocol::ICMP,
        "icmpv6" | "icmp6" => Protocol::ICMPV6,
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        "sctp" => Protocol::SCTP,
        "dccp" => Protocol::DCCP,
        "gre" => Protocol::GRE,
        "esp" => Protocol::ESP,
        "ah" => Protocol::AH,
        "http" => return Ok((Protocol::TCP, port.or(Some(80)))),
        "https" => return Ok((Protocol::TCP, port.or(Some(443)))),
        "ssh" => return Ok((Protocol::TCP, port.or(Some(22)))),
        "dns" => return Ok((Protocol::UDP, port.or(Some(53)))),
        other => Protocol(other.parse().map_err(|_| QuestionError::Protocol(text.to_owned()))?),
    };
    Ok((protocol, port))
}

/// `NAME:PORT` taken apart; an IPv6 address keeps its colons unless it stands in brackets.
fn split(text: &str) -> (&str, Option<u16>) {
    if text.parse::<IpAddr>().is_ok() {
        return (text, None);
    }
    match text.rsplit_once(':') {
        Some((name, port)) => match port.parse() {
            Ok(port) => (name.trim_start_matches('[').trim_end_matches(']'), Some(port)),
            Err(_) => (text, None),
        },
        None => (text, None),
    }
}

fn sender(scene: &Scene, name: &str) -> Result<(Space, Option<IpAddr>), QuestionError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        let owner = scene.owners(address).next().map(|(space, _)| space.clone());
        return owner.map(|space| (space, Some(address))).ok_or_else(|| unknown(scene, name));
    }
    Ok((node(scene, name)?, None))
}

fn node(scene: &Scene, name: &str) -> Result<Space, QuestionError> {
    if name == "host" && scene.space(&Space::Host).is_some() {
        return Ok(Space::Host);
    }
    let found = scene.nodes().find(|node| node.as_str() == name).cloned();
    found.map(Space::Node).ok_or_else(|| unknown(scene, name))
}

fn unknown(scene: &Scene, name: &str) -> QuestionError {
    let mut names: Vec<&str> = scene.nodes().map(netloom_wire::NodeName::as_str).collect();
    names.truncate(12);
    QuestionError::Unknown { name: name.to_owned(), known: names.join(", ") }
}

fn own(scene: &Scene, space: &Space) -> Vec<(InterfaceName, IpNet)> {
    let interfaces = scene.space(space).into_iter().flat_map(|space| &space.interfaces);
    let useful = |net: &IpNet| match net.addr() {
        IpAddr::V4(v4) => !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    };
    interfaces
        .flat_map(|(name, interface)| interface.addresses.iter().map(move |net| (name.clone(), *net)))
        .filter(|(_, net)| useful(net))
        .collect()
}
