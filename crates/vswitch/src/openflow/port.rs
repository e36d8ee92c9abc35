//! Ports of a bridge, as its tables see them.

use super::{BridgeNumber, Pipeline, bridge_tag};
use netloom_mem::PortNumber;
use netloom_proto::openflow::OfPort;
use netloom_wire::MacAddr;

/// What is behind a port.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PortForm {
    /// A cable, a virtual machine, an interface.
    #[default]
    Plain,
    /// The bridge's own interface.
    Internal,
    /// Another bridge of this switch.
    Patch {
        /// Which.
        bridge: BridgeNumber,
        /// Its port.
        port: OfPort,
    },
    /// A tunnel.
    Tunnel(TunnelForm),
}

/// Settings of a tunnel as far as the tables are concerned: what is not given comes from the packet's `tun_*` fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TunnelForm {
    /// Key of packets that leave.
    pub out_key: Option<u64>,
    /// The other end.
    pub remote: Option<std::net::IpAddr>,
    /// Our end.
    pub local: Option<std::net::IpAddr>,
    /// Packets choose our end (`local_ip=flow`); else, where none is named, the way to the other end does.
    pub local_by_flow: bool,
    /// Packets keep the mark of congestion and type of service of the inner header.
    pub inherit_tos: bool,
    /// Packets have a time to live like the inner header's.
    pub inherit_ttl: bool,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfPortEntry {
    /// OpenFlow's number.
    pub number: OfPort,
    /// The data path's number.
    pub port: PortNumber,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: MacAddr,
    /// What is behind it.
    pub form: PortForm,
    /// Settings (`OFPPC_*` of OpenFlow 1.0): 1 down, 2 no spanning tree, 4 takes nothing, 8 takes no spanning tree, 16 not
    /// flooded to, 32 sends nothing, 64 no packets to controllers.
    pub config: u32,
    /// It has a carrier and is switched on.
    pub live: bool,
    /// What watches its link (BFD, connectivity fault management) says that packets pass.
    pub sound: bool,
    /// The spanning tree lets packets through, and addresses be learned.
    pub forwards: bool,
    /// The spanning tree lets addresses be learned.
    pub learns: bool,
    /// Classes (DSCP, 0 to 63) that packets of some queues leave with.
    pub classes: Vec<(u32, u8)>,
}

impl OfPortEntry {
    /// It is switched off.
    pub const DOWN: u32 = 1;
    /// It takes nothing.
    pub const NO_RECEIVE: u32 = 4;
    /// It is not flooded to.
    pub const NO_FLOOD: u32 = 16;
    /// It sends nothing.
    pub const NO_FORWARD: u32 = 32;
    /// Its packets are not sent to controllers.
    pub const NO_PACKET_IN: u32 = 64;

    /// A port that works.
    #[must_use]
    pub fn new(number: OfPort, port: PortNumber, name: impl Into<String>) -> Self {
        Self {
            number,
            port,
            name: name.into(),
            address: MacAddr::new([0; 6]),
            form: PortForm::Plain,
            config: 0,
            live: true,
            sound: true,
            forwards: true,
            learns: true,
            classes: Vec::new(),
        }
    }

    /// Whether packets can leave through it and arrive: it has a carrier, nobody switched it off, and what watches its
    /// link is content.
    #[must_use]
    pub const fn works(&self) -> bool {
        self.live && self.sound && !self.is(Self::DOWN)
    }

    /// Whether it has a setting.
    #[must_use]
    pub const fn is(&self, setting: u32) -> bool {
        self.config & setting != 0
    }
}

impl Pipeline {
    /// Adds a port or changes it.
    pub fn set_port(&mut self, entry: OfPortEntry) {
        if let Some(old) = self.ports.get(&entry.number) {
            self.by_number.remove(&old.port);
        }
        self.by_number.insert(entry.port, entry.number);
        self.ports.insert(entry.number, entry);
        self.touch(bridge_tag(self.number));
    }

    /// Takes a port away.
    pub fn remove_port(&mut self, number: OfPort) -> Option<OfPortEntry> {
        let entry = self.ports.remove(&number)?;
        self.by_number.remove(&entry.port);
        self.touch(bridge_tag(self.number));
        Some(entry)
    }

    /// Its ports, by number.
    pub fn ports(&self) -> impl Iterator<Item = &OfPortEntry> {
        self.ports.values()
    }

    /// A port by OpenFlow's number.
    #[must_use]
    pub fn port(&self, number: OfPort) -> Option<&OfPortEntry> {
        self.ports.get(&number)
    }

    /// OpenFlow's number of a port of the data path.
    #[must_use]
    pub fn port_of(&self, number: PortNumber) -> Option<OfPort> {
        self.by_number.get(&number).copied()
    }
}
