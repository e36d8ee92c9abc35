//! The rapid spanning tree protocol (IEEE 802.1D-2004, clause 17), as a machine without time and wires of its own.
//!
//! ```text
//! receive(port, unit) ─┐
//! link(port, up)      ─┼─> the state machines, until none has anything to do ─> Output: units to send, ports to flush
//! tick(now)           ─┘                                                        state(port): learning, forwarding
//! ```
//!
//! What: every machine of 17.22 to 17.31 by its name in the standard, with the dispute of 802.1Q-2011 (13.26.6).
//! Variables have the standard's names in our spelling. An edge port with BPDU guard that hears a bridge is shut until
//! its link goes down and up, or it is configured anew.
//!
//! Invariants: the machines end: a run has a bound, and what would go on is done at the next event. Time is counted in
//! whole seconds, as the standard does.
//!
//! Where reality falls short: when the root is lost in a network with cycles, stale claims of it can go round until they
//! are too old (count to infinity), which takes seconds since ports send few units. That is the protocol's own weakness
//! (Elmeleegy, Cox and Ng, IEEE/ACM ToN 2009): nothing in a unit tells a stale claim from one by another way. Frames would
//! go round with the claims. So a bridge does more than the standard asks: when its own claim gets worse, its designated
//! ports stop until the bridges below agree to it, which these take for an ordinary proposal; ports to bridges that know only
//! the old protocol, which agrees to nothing, do as the standard says.
//!
//! Deliberately absent: MSTP; shared media (all links are point to point); restricted roles.

use netloom_mem::PortNumber;
use netloom_wire::header::stp::{BridgeId, Repr, Role as SaidRole, Vector};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod machine;
mod port;

use port::{Info, Port};
pub use port::{PortOptions, Role};

const SECOND: u64 = 1_000_000_000;
/// Times travel in units of 1/256 s.
const UNITS: u16 = 256;

/// Options of the tree at this bridge. Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeOptions {
    /// Name of the bridge: priority and address.
    pub bridge: BridgeId,
    /// Between units of the root. Legal values: 1 to 10.
    pub hello: u16,
    /// At which age what was said counts no more. Legal values: 6 to 40.
    pub max_age: u16,
    /// In each state on the way to forwarding. Legal values: 4 to 30.
    pub forward_delay: u16,
    /// Units that a port may send at once.
    pub hold: u8,
}

impl TreeOptions {
    /// The standard's values (table 17-1).
    #[must_use]
    pub const fn new(bridge: BridgeId) -> Self {
        Self { bridge, hello: 2, max_age: 20, forward_delay: 15, hold: 6 }
    }
}

/// What a bridge says about the root: smaller is better (17.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Priority {
    root: BridgeId,
    cost: u32,
    bridge: BridgeId,
    port: u16,
}

/// Times as the root has them, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Times {
    age: u16,
    max_age: u16,
    hello: u16,
    forward_delay: u16,
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Units to send.
    pub send: Vec<(PortNumber, Repr)>,
    /// Ports behind which stations are to be forgotten.
    pub flush: Vec<PortNumber>,
    /// A port's state is another one.
    pub changed: bool,
}

/// What a port lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Its role.
    pub role: Role,
    /// Stations are learned.
    pub learning: bool,
    /// Frames pass.
    pub forwarding: bool,
    /// It is taken for an edge.
    pub edge: bool,
    /// It was shut because a bridge was heard.
    pub guarded: bool,
}

/// The tree as one bridge sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tree {
    options: TreeOptions,
    ports: BTreeMap<PortNumber, Port>,
    root: Priority,
    root_times: Times,
    second: u64,
}

impl Tree {
    /// A bridge without ports, which takes itself for the root.
    #[must_use]
    pub fn new(options: TreeOptions, now: u64) -> Self {
        let own = options.bridge;
        let root = Priority { root: own, cost: 0, bridge: own, port: 0 };
        Self { options, ports: BTreeMap::new(), root, root_times: own_times(&options), second: now + SECOND }
    }

    /// The ports in it.
    pub(crate) fn ports(&self) -> impl Iterator<Item = PortNumber> {
        self.ports.keys().copied()
    }

    /// Its options.
    #[must_use]
    pub const fn options(&self) -> &TreeOptions {
        &self.options
    }

    /// The root, and the cost of the path to it.
    #[must_use]
    pub const fn root(&self) -> (BridgeId, u32) {
        (self.root.root, self.root.cost)
    }

    /// What a port lets through; none for a port that is not part of the tree.
    #[must_use]
    pub fn state(&self, number: PortNumber) -> Option<State> {
        self.ports.get(&number).map(|port| State {
            role: port.role,
            learning: port.learning,
            forwarding: port.forwarding,
            edge: port.oper_edge,
            guarded: port.guarded,
        })
    }

    /// The times that the root gives, in seconds: hello, age at most, delay.
    #[must_use]
    pub const fn root_times(&self) -> (u16, u16, u16) {
        (self.root_times.hello, self.root_times.max_age, self.root_times.forward_delay)
    }

    /// The port that leads to the root; none at the root itself.
    #[must_use]
    pub fn root_port(&self) -> Option<PortNumber> {
        self.ports.iter().find(|(_, port)| port.role == Role::Root).map(|(number, _)| *number)
    }

    /// The options of a port.
    #[must_use]
    pub fn port_options(&self, number: PortNumber) -> Option<&PortOptions> {
        self.ports.get(&number).map(|port| &port.options)
    }

    /// Adds a port, or changes its options, which begins anew for it.
    pub fn set(&mut self, number: PortNumber, options: PortOptions) -> Output {
        let up = self.ports.get(&number).is_some_and(|port| port.up);
        if self.ports.get(&number).is_some_and(|port| port.options == options && !port.guarded) {
            return Output::default();
        }
        self.ports.insert(number, Port::new(number, options, &self.options));
        let mut output = self.link(number, up);
        output.changed = true;
        output
    }

    /// Takes a port away.
    pub fn remove(&mut self, number: PortNumber) -> Output {
        if self.ports.remove(&number).is_none() {
            return Output::default();
        }
        self.reselect();
        let mut output = self.run();
        output.changed = true;
        output
    }

    /// A port's link is up or down.
    pub fn link(&mut self, number: PortNumber, up: bool) -> Output {
        match self.ports.get_mut(&number) {
            Some(port) if port.up != up => {
                port.up = up;
                port.guarded &= up;
                self.run()
            }
            _ => Output::default(),
        }
    }

    /// A unit came.
    pub fn receive(&mut self, number: PortNumber, unit: &Repr) -> Output {
        let own = self.options.bridge;
        let Some(port) = self.ports.get_mut(&number).filter(|port| port.enabled()) else {
            return Output::default();
        };
        if port.options.guard {
            port.guarded = true;
            return self.run();
        }
        if let Repr::Configuration { vector, .. } = unit
            && (vector.message_age >= vector.max_age || vector.bridge == own && vector.port == port.id())
        {
            return Output::default();
        }
        port.message(unit);
        self.run()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64) -> Output {
        let mut output = Output::default();
        // A clock that jumps is not made up for second by second without end.
        if now > self.second + 60 * SECOND {
            self.second = now - 60 * SECOND;
        }
        while self.second <= now {
            self.second += SECOND;
            for port in self.ports.values_mut() {
                port.second();
            }
            let more = self.run();
            output.send.extend(more.send);
            output.flush.extend(more.flush);
            output.changed |= more.changed;
        }
        output
    }

    fn reselect(&mut self) {
        for port in self.ports.values_mut() {
            (port.reselect, port.selected) = (true, false);
        }
    }
}

const fn own_times(options: &TreeOptions) -> Times {
    Times { age: 0, max_age: options.max_age, hello: options.hello, forward_delay: options.forward_delay }
}

#[cfg(test)]
mod tests;
