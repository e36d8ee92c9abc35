//! Mirrors: copies of packets for somebody who watches, as `Mirror` in ovs-vswitchd.conf.db(5).
//!
//! Copies for a collector elsewhere are made by the worker (`nf::remote`).

use crate::port::VlanSet;
use netloom_mem::PortNumber;
use std::collections::BTreeSet;

/// Where copies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// To a port, which then carries nothing else.
    Port(PortNumber),
    /// To all ports of a VLAN (RSPAN), whose number replaces the one that the packet was in.
    Vlan(u16),
    /// To a collector elsewhere, by a stream of this number.
    Remote(u32),
}

/// A mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Packets of all ports.
    pub all: bool,
    /// Packets that come in through these ports.
    pub from: BTreeSet<PortNumber>,
    /// Packets that go out through these ports.
    pub to: BTreeSet<PortNumber>,
    /// Of those only packets in these VLANs.
    pub vlans: Option<VlanSet>,
    /// Where copies go.
    pub output: Copies,
    /// Octets of a copy at most (`snaplen`); none for whole packets. Of no effect on copies for a collector.
    pub most: Option<u32>,
}

/// Where a packet passes a bridge's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It came in through a port.
    In(PortNumber),
    /// It leaves through a port.
    Out(PortNumber),
}

impl Mirror {
    /// A mirror that watches nothing yet.
    #[must_use]
    pub const fn new(output: Copies) -> Self {
        Self { all: false, from: BTreeSet::new(), to: BTreeSet::new(), vlans: None, output, most: None }
    }

    /// Whether it watches what passes there; `port` is the port or the bond that it belongs to.
    pub(crate) fn watches(&self, gate: Gate, port: PortNumber) -> bool {
        let side = match gate {
            Gate::In(_) => &self.from,
            Gate::Out(_) => &self.to,
        };
        self.all || side.contains(&port)
    }

    /// Whether it copies a packet in a VLAN that came in through one port and leaves through others.
    pub(crate) fn copies(&self, vlan: u16, from: PortNumber, to: impl Iterator<Item = PortNumber>) -> bool {
        // What is a copy already is not copied again.
        self.output != Copies::Vlan(vlan)
            && self.vlans.as_ref().is_none_or(|vlans| vlans.has(vlan))
            && (self.all || self.from.contains(&from) || to.into_iter().any(|port| self.to.contains(&port)))
    }
}
