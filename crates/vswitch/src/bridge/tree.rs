//! The bridge's part in the spanning tree: its units as frames, and what follows for stations.

use super::Bridge;
use crate::decision::Effects;
use crate::port::Port;
use crate::rstp::{Output, State, Tree, TreeOptions};
use netloom_mem::PortNumber;
use netloom_wire::header::stp::{BridgeId, GROUP_ADDRESS, Repr, View};

/// Length of addresses, length field and LLC header.
const HEAD: usize = 17;
/// LLC of the spanning tree (IEEE 802.1D-2004, 9.2).
const LLC: [u8; 3] = [0x42, 0x42, 3];
/// Length of the shortest frame without its check sequence.
const SHORTEST: usize = 60;

/// Options of the spanning tree. Times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeSettings {
    /// Smaller is the better root. Legal values: multiples of 4096.
    pub priority: u16,
    /// See [`TreeOptions`].
    pub hello: u16,
    /// See [`TreeOptions`].
    pub max_age: u16,
    /// See [`TreeOptions`].
    pub forward_delay: u16,
}

impl Default for TreeSettings {
    fn default() -> Self {
        Self { priority: 0x8000, hello: 2, max_age: 20, forward_delay: 15 }
    }
}

impl Bridge {
    /// Begins, ends or begins anew with the tree, as the options say.
    pub(super) fn plant(&mut self) {
        let wanted = self.options.tree.map(|tree| TreeOptions {
            hello: tree.hello,
            max_age: tree.max_age,
            forward_delay: tree.forward_delay,
            ..TreeOptions::new(BridgeId { priority: tree.priority, address: self.options.address })
        });
        if self.tree.as_ref().map(|tree| *tree.options()) == wanted {
            return;
        }
        self.tree = wanted.map(|options| Tree::new(options, 0));
        let ports: Vec<PortNumber> = self.ports.keys().copied().collect();
        ports.into_iter().for_each(|port| self.graft(port));
    }

    /// Takes a port into the tree, changes its part there, or takes it out.
    pub(super) fn graft(&mut self, number: PortNumber) {
        let Some(tree) = &mut self.tree else { return };
        let own = self.ports.get(&number).filter(|_| !self.member_of.contains_key(&number));
        let output = match own {
            Some(Port { forwarding: true, tree: Some(options), .. }) => tree.set(number, *options),
            _ => tree.remove(number),
        };
        let effects = self.follow(output);
        self.late.send.extend(effects.send);
        self.late.changed.extend(effects.changed);
    }

    /// Whether frames of stations pass a port.
    pub(super) fn passes(&self, port: &Port) -> bool {
        port.forwarding
            && !self.member_of.contains_key(&port.number)
            && self.tree_state(port.number).is_none_or(|state| state.forwarding)
    }

    /// What the tree lets through a port; none without a tree or outside it.
    #[must_use]
    pub fn tree_state(&self, port: PortNumber) -> Option<State> {
        self.tree.as_ref()?.state(port)
    }

    /// The tree; none where there is none.
    #[must_use]
    pub const fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()
    }

    /// The root of the tree and the cost of the path to it; none without a tree.
    #[must_use]
    pub fn root(&self) -> Option<(BridgeId, u32)> {
        self.tree.as_ref().map(Tree::root)
    }

    /// A port's link is up or down.
    pub fn link(&mut self, number: PortNumber, up: bool) -> Effects {
        if self.member_of.contains_key(&number) {
            return self.member_link(number, up);
        }
        // A bond's link is that of its members.
        if self.bonds.contains_key(&number) {
            return Effects::default();
        }
        let output = self.tree.as_mut().map(|tree| tree.link(number, up)).unwrap_or_default();
        self.follow(output)
    }

    /// A unit came.
    pub(super) fn heard_unit(&mut self, number: PortNumber, frame: &[u8]) -> Effects {
        let unit = frame.get(14..HEAD).filter(|llc| **llc == LLC).and_then(|_| frame.get(HEAD..));
        let unit =
            unit.and_then(|unit| View::new_checked(unit).ok()).and_then(|view| Repr::parse(&view).ok());
        let (Some(unit), Some(tree)) = (unit, self.tree.as_mut()) else { return Effects::default() };
        let output = tree.receive(number, &unit);
        self.follow(output)
    }

    /// Does what the tree says.
    pub(super) fn follow(&mut self, output: Output) -> Effects {
        let mut effects = Effects { changed_all: output.changed, ..Effects::default() };
        for port in output.flush {
            effects.changed.extend(self.fdb.prune(|_, _, station| station.port == port && !station.fixed));
        }
        for (port, unit) in output.send {
            let length = unit.buffer_len();
            let mut frame = Vec::with_capacity(SHORTEST);
            frame.extend(GROUP_ADDRESS.octets());
            frame.extend(self.options.address.octets());
            frame.extend(((length + LLC.len()) as u16).to_be_bytes());
            frame.extend(LLC);
            frame.resize(SHORTEST, 0);
            // The shortest frame has room for the longest unit.
            if unit.emit(frame.get_mut(HEAD..).unwrap_or(&mut [])).is_ok() {
                effects.send.push((port, frame));
            }
        }
        effects
    }
}
