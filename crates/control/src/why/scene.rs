//! What a walk walks through: the picture of the kernel, the switches beside it, and what the user's file says of it all.

use crate::switch::{Options, SwitchSocket};
use netloom_compile::object::{Desired, Key, LinkRef, Object, Space};
use netloom_kernel::picture::{InterfacePicture, Picture, SpacePicture};
use netloom_wire::{InterfaceName, MacAddr, NodeName};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything that decides about a packet.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The kernel's part.
    pub picture: Picture,
    /// Netloom's own switches, by name.
    pub switches: BTreeMap<String, SwitchScene>,
    /// The daemon that carries them, to be asked as long as nothing is changed in the scene of its switches.
    pub daemon: Option<SwitchSocket>,
}

/// One of Netloom's own switches.
#[derive(Debug, Clone, Default)]
pub struct SwitchScene {
    /// Its options.
    pub options: Options,
    /// Its ports, by name.
    pub ports: BTreeMap<String, PortScene>,
    /// Where stations are: VLAN, address, port.
    pub stations: Vec<(u16, MacAddr, String)>,
    /// Something carries its frames.
    pub running: bool,
}

/// A port of one.
#[derive(Debug, Clone)]
pub struct PortScene {
    /// Its number.
    pub number: u32,
    /// Its options.
    pub options: Options,
    /// What is behind it.
    pub behind: BehindPort,
    /// Whether it carries frames.
    pub up: bool,
}

/// What is behind a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BehindPort {
    /// The other side of a TAP interface's descriptor.
    Tap(LinkRef),
    /// An interface that the switch has taken.
    Interface(LinkRef),
    /// A port of another switch, by name.
    Patch(String),
    /// A virtual machine's interface.
    Machine(LinkRef),
    /// Something else.
    Other,
}

/// The user's file, as the description that was made of it.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a>(pub Option<&'a Desired>);

impl<'a> Wishes<'a> {
    /// The object under a key.
    #[must_use]
    pub fn object(&self, key: &Key) -> Option<&'a Object> {
        self.0?.objects.get(key)
    }

    /// The place that asked for it.
    #[must_use]
    pub fn origin(&self, key: &Key) -> Option<String> {
        self.object(key).map(|object| object.origin.to_string())
    }

    /// The place that asked for an interface.
    #[must_use]
    pub fn link(&self, space: &Space, name: &InterfaceName) -> Option<String> {
        self.origin(&Key::Link { space: space.clone(), name: name.clone() })
    }
}

impl Scene {
    /// A namespace.
    #[must_use]
    pub fn space(&self, space: &Space) -> Option<&SpacePicture> {
        self.picture.spaces.get(space)
    }

    /// An interface.
    #[must_use]
    pub fn interface(&self, at: &LinkRef) -> Option<&InterfacePicture> {
        self.space(&at.space)?.interfaces.get(&at.name)
    }

    /// Every interface that has an address.
    pub fn owners(&self, address: IpAddr) -> impl Iterator<Item = (&Space, &InterfaceName)> {
        self.picture.spaces.iter().flat_map(move |(space, picture)| {
            let has = move |interface: &InterfacePicture| {
                interface.addresses.iter().any(|own| own.addr() == address)
            };
            picture.interfaces.iter().filter(move |(_, i)| has(i)).map(move |(name, _)| (space, name))
        })
    }

    /// The port of a switch that is behind an interface.
    #[must_use]
    pub fn port_at(&self, at: &LinkRef) -> Option<(&str, &str)> {
        self.switches.iter().find_map(|(switch, scene)| {
            let fits = |port: &PortScene| match &port.behind {
                BehindPort::Tap(link) | BehindPort::Interface(link) | BehindPort::Machine(link) => link == at,
                BehindPort::Patch(_) | BehindPort::Other => false,
            };
            scene.ports.iter().find(|(_, port)| fits(port)).map(|(port, _)| (switch.as_str(), port.as_str()))
        })
    }

    /// The nodes by name.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.picture.spaces.keys().filter_map(|space| match space {
            Space::Node(name) => Some(name),
            Space::Host => None,
        })
    }
}
