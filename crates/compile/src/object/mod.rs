//! Desired objects: what a network is made of, one flat table, free of any realization.
//!
//! What: a [`Key`] says which object, a [`Spec`] says how it shall be, an [`Object`] adds who owns it
//! ([`Owner`]), where the user asked for it ([`Origin`]) and why it exists. The same `Spec` types
//! describe what was observed, so that a plan is the difference of two tables.
//!
//! Invariants:
//! - A key names one object in one [`Space`]; keys are totally ordered and serialisable.
//! - [`Object::needs`] names only keys that must exist before the object can be made.
//! - Every object carries an owner and an origin; nothing is desired without a reason.
//!
//! Deliberately absent: how an object is made (crate `kernel`), in what order (crate `control`).

mod compare;
pub mod firewall;
mod key;
mod link;
pub mod needs;
mod route;
pub mod shaper;
mod switch;

pub use compare::{Comparison, FieldChange, compare};
pub use firewall::Firewall;
pub use key::{Family, Key, LinkRef, Space};
pub use link::{
    BondMode, BondOptions, BridgeOptions, BridgePort, GeneveOptions, GreOptions, IpvlanFlag, IpvlanMode,
    Link, LinkKind, MacvlanMode, PortVlan, TunTapOptions, VlanProtocol, VxlanOptions, WireguardOptions,
    WireguardPeer,
};
pub use route::{FdbEntry, Neighbour, NextHop, Route, RouteAction, Rule, RuleAction};
pub use shaper::Shaper;
pub use switch::{Behind, Pinned, Socket, Switch, SwitchPort, Tree};

use netloom_wire::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The place in the user's file that asked for an object. Lines and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The file's name as the user gave it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Who owns an object: taking the owner out of the description removes the object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The topology.
    pub topology: NodeName,
    /// The part of it, in the user's words: `network front`, `endpoint web`, `link a:eth0 -- b:eth0`.
    pub part: Arc<str>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.topology, self.part)
    }
}

/// How an object shall be, or how it was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Spec {
    /// A network namespace. It has no attributes: everything in it is an object of its own.
    Namespace,
    /// A network interface.
    Link(Box<Link>),
    /// A switch of Netloom's own.
    Switch(Switch),
    /// A port of a switch of Netloom's own.
    SwitchPort(SwitchPort),
    /// An IP address with its prefix length; everything is in the key.
    Address,
    /// A route.
    Route(Route),
    /// A policy-routing rule.
    Rule(Rule),
    /// A permanent neighbour (ARP or ND) entry.
    Neighbour(Neighbour),
    /// A static forwarding-database entry of a bridge port or a VXLAN device.
    FdbEntry(FdbEntry),
    /// A sysctl below `/proc/sys`, as text with single blanks.
    Sysctl {
        /// The value.
        value: String,
    },
    /// Queueing discipline tree of an interface.
    Shaper(Box<Shaper>),
    /// Netloom's packet-filter table of a namespace.
    Firewall(Box<Firewall>),
    /// A long-running command inside a namespace.
    Process(Process),
}

/// A command that Netloom starts in a namespace and ends with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments; no shell is involved.
    pub command: Vec<String>,
    /// Environment in addition to the daemon's.
    pub environment: BTreeMap<String, String>,
    /// Working directory, if not the daemon's.
    pub directory: Option<String>,
}

/// A desired object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Which object.
    pub key: Key,
    /// How it shall be.
    pub spec: Spec,
    /// Who owns it.
    pub owner: Owner,
    /// Where the user asked for it.
    pub origin: Origin,
    /// Why it exists, as a clause: `carries traffic of network front to endpoint web`.
    pub reason: Arc<str>,
}

/// What the user wants: a flat table of objects of one topology.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// The topology's name.
    pub topology: NodeName,
    /// The objects by key.
    #[serde(with = "table")]
    pub objects: BTreeMap<Key, Object>,
}

impl Desired {
    /// An empty description of `topology`.
    #[must_use]
    pub const fn new(topology: NodeName) -> Self {
        Self { topology, objects: BTreeMap::new() }
    }

    /// The spaces (namespaces) in which anything is desired.
    pub fn spaces(&self) -> impl Iterator<Item = &Space> {
        let mut last = None;
        let mut spaces: Vec<&Space> = self.objects.keys().map(Key::space).collect();
        spaces.sort();
        spaces.into_iter().filter(move |space| last.replace(*space) != Some(*space))
    }
}

/// An object as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedObject {
    /// How it is.
    pub spec: Spec,
    /// Whether it carries the mark of the topology that was asked about (or can carry none and sits
    /// where only that topology puts things).
    pub mark: Mark,
}

/// Whose mark an observed object carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// This topology's mark: Netloom made it.
    Ours,
    /// The kind can carry no mark (sysctl, bridge FDB entry): the last applied generation decides.
    Unmarkable,
    /// Made by somebody else, or by another topology.
    Foreign,
}

/// What was found: the observed side of a plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// The objects by key.
    #[serde(with = "table")]
    pub objects: BTreeMap<Key, ObservedObject>,
}

/// One change of one object: what `kernel` executes and what a step's inverse is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum Operation {
    /// Make an object that does not exist.
    Create {
        /// Which object.
        key: Key,
        /// How it shall be.
        spec: Spec,
    },
    /// Change an existing object in place.
    Change {
        /// Which object.
        key: Key,
        /// How it was observed.
        from: Spec,
        /// How it shall be.
        to: Spec,
    },
    /// Remove an object.
    Delete {
        /// Which object.
        key: Key,
        /// How it was observed, so that it can be made again.
        spec: Spec,
    },
}

impl Operation {
    /// The object that changes.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Self::Create { key, .. } | Self::Change { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// The operation that takes this one back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        match self.clone() {
            Self::Create { key, spec } => Self::Delete { key, spec },
            Self::Change { key, from, to } => Self::Change { key, from: to, to: from },
            Self::Delete { key, spec } => Self::Create { key, spec },
        }
    }
}

/// Tables keyed by [`Key`] travel as lists of pairs, since JSON object keys are only text.
mod table {
    use super::Key;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<V: Serialize, S: Serializer>(
        map: &BTreeMap<Key, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map.iter())
    }

    pub(super) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Key, V>, D::Error> {
        Ok(Vec::<(Key, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}
