//! Interfaces of the host by which tunnels leave though they are in no bridge: hypervisors have their tunnels' addresses there.
//!
//! What: when the system would send to a tunnel's other end by an interface that is no bridge's own, a packet socket is opened
//! there, as a port that is in no bridge. What leaves by it is on the wire; of what comes in, packets in a tunnel's headers
//! for the interface's own address are taken, and the system has all others anyway.
//!
//! Invariants: the system must not answer that nobody listens: a socket that is never read has each UDP port of a tunnel, as long
//! as the interface is used.
//!
//! Deliberately absent: holding GRE back from the system, which answers it where it has no GRE of its own.

use super::brain::Bridges;
use super::configuration::Options;
use super::state::{Carried, Switch};
use netloom_datapath::{Answer, PortQueues, Question};
use netloom_mem::PortNumber;
use netloom_nf::tunnel::TunnelKind;
use netloom_nf::{Action, Program, Reason};
use netloom_table::{Field, Mask};
use netloom_wire::MacAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};

/// Interfaces that tunnels use, and the ports that are held.
#[derive(Default)]
pub(super) struct Underlay {
    ports: BTreeMap<String, (PortNumber, Carried)>,
    held: BTreeMap<u16, Option<UdpSocket>>,
    /// Those that could not be opened, which is said once.
    failed: BTreeSet<String>,
}

impl Switch {
    /// The port for an interface of the host; none if it can't be opened.
    pub(super) fn underlay_port(&mut self, device: &str, address: MacAddr) -> Option<PortNumber> {
        if let Some((number, _)) = self.underlay.ports.get(device) {
            return Some(*number);
        }
        let taken = |number: &PortNumber| {
            let configured = self.configuration.ports.values().any(|port| port.number == *number);
            configured || self.underlay.ports.values().any(|(other, _)| other == number)
        };
        // From the other end than ports of bridges.
        let number = (1..PortNumber::from(u16::MAX)).rev().find(|number| !taken(number))?;
        let pairs = [("type", "afpacket"), ("dev", device)];
        let options: Options = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let opened = match self.doors.open(number, device, &options) {
            Ok(opened) => opened,
            Err(error) => {
                if self.underlay.failed.insert(device.to_owned()) {
                    tracing::error!(%error, device, "tunnels can't use the interface");
                }
                return None;
            }
        };
        self.underlay.failed.remove(device);
        if let Err(error) = self.crew.add(PortQueues::new(number, opened.receive, opened.send)) {
            tracing::error!(%error, device, "tunnels can't use the interface");
            return None;
        }
        self.bridges.lock().underlay.insert(number, address);
        let carried = Carried { state: opened.state, _keep: opened.keep };
        self.underlay.ports.insert(device.to_owned(), (number, carried));
        Some(number)
    }

    /// Closes interfaces that no tunnel uses any more, and holds the UDP ports of these kinds while some are used.
    pub(super) fn settle_underlay(
        &mut self,
        used: &BTreeSet<PortNumber>,
        kinds: impl Iterator<Item = TunnelKind>,
    ) {
        let unused: Vec<String> = self
            .underlay
            .ports
            .iter()
            .filter(|(_, (number, _))| !used.contains(number))
            .map(|(name, _)| name.clone())
            .collect();
        for device in unused {
            let Some((number, carried)) = self.underlay.ports.remove(&device) else { continue };
            match self.crew.remove(number) {
                Ok(queues) => drop(queues),
                Err(error) => tracing::error!(%error, device, "an interface is not given back"),
            }
            self.bridges.lock().underlay.remove(&number);
            // The queues end before what they need does.
            drop(carried);
        }
        if self.underlay.ports.is_empty() {
            self.underlay.held.clear();
            return;
        }
        let wanted: BTreeSet<u16> = kinds
            .filter_map(|kind| match kind {
                TunnelKind::Vxlan(port) | TunnelKind::VxlanGpe(port) | TunnelKind::Geneve(port) => Some(port),
                TunnelKind::Gre | TunnelKind::Erspan => None,
            })
            .collect();
        self.underlay.held.retain(|port, _| wanted.contains(port));
        for port in wanted {
            // One that somebody else has, such as a device of the kernel, is held already.
            self.underlay.held.entry(port).or_insert_with(|| hold(port).ok());
        }
    }
}

/// A socket that takes what comes for a port of any address, and throws it away when it is full.
fn hold(port: u16) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))?;
    // The least that the system gives.
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 0)?;
    Ok(socket)
}

/// An address as keys have it.
fn word(address: MacAddr) -> u64 {
    address.octets().iter().fold(0, |word, octet| word << 8 | u64::from(*octet))
}

impl Bridges {
    /// Decides about a packet that came in by an interface of the host, if that is what its port is.
    pub(super) fn outside_packet(&self, question: &Question<'_>) -> Option<Answer> {
        let address = self.underlay.get(&(question.key.get(Field::IN_PORT) as PortNumber))?;
        let mut mask = Mask::default();
        mask.add(Field::IN_PORT);
        mask.add(Field::ETH_DST);
        let ours = question.key.get(Field::ETH_DST) == word(*address);
        let tunnel = ours.then(|| self.tunnels.arrival(question.key, &mut mask)).flatten();
        let program = match tunnel {
            Some(number) => Program::new(vec![Action::Decapsulate(number)], Reason::BadTunnel),
            None => Program::lose(Reason::NoPorts),
        };
        Some(Answer {
            program,
            mask,
            rests: Vec::new(),
            changed: Vec::new(),
            token: 0,
            counted: false,
            keep: true,
        })
    }
}
