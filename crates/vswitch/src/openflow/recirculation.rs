//! Translations that stop until the data path, or a controller, brings the packet back.
//!
//! What: a [`Frozen`] state is kept under a number that the packet carries (`recirc_id`); states that are equal share one.
//!
//! Invariants: a state is kept as long as [`FrozenStates::keep`] is called for it at least once in [`IDLE`]. There are at
//! most [`MOST`]; beyond that any one goes, and its packets are dropped.

use super::BridgeNumber;
use netloom_proto::openflow::{Action, OfPort, Value};
use netloom_table::Key;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A state that nobody uses for so long is forgotten.
const IDLE: u64 = 60_000_000_000;
/// Most states of a bridge.
const MOST: usize = 1 << 16;

/// Actions that were not carried out yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Left {
    /// Table of the rule whose they are.
    pub table: u8,
    /// Its cookie.
    pub cookie: u64,
    /// The actions.
    pub actions: Vec<Action>,
}

/// Where a translation stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frozen {
    /// The table in which it goes on; for packets that go on with actions, the table of the rule.
    pub table: u8,
    /// It looks the packet up in that table; else it goes on with the actions.
    pub looks_up: bool,
    /// The port through which the packet counts as having come.
    pub in_port: OfPort,
    /// Registers, metadata and what else does not travel with the packet: words 31 to 39 of the key.
    pub registers: [u64; 9],
    /// The stack, its top last.
    pub stack: Vec<Value>,
    /// What is left to do, in this order.
    pub left: Vec<Left>,
    /// The action set.
    pub action_set: Vec<Action>,
    /// The packet went through the connection tracker.
    pub tracked: bool,
    /// The queue that it is for, if an action named one.
    pub queue: Option<u32>,
    /// Mirrors that have copied the packet, by their place in the bridge.
    pub mirrored: BTreeSet<u16>,
    /// Cookie of the rule, for packets to controllers.
    pub cookie: u64,
}

impl Frozen {
    /// Saves the words of a key.
    #[must_use]
    pub fn registers_of(key: &Key) -> [u64; 9] {
        std::array::from_fn(|index| key.word(31 + index))
    }

    /// Writes them into a key.
    pub fn restore(&self, key: &mut Key) {
        for (index, word) in self.registers.iter().enumerate() {
            key.set_word(31 + index, *word);
        }
    }
}

/// Bits of a number that tell states of a bridge apart; those above are the bridge's.
const OWN_BITS: u32 = 20;

/// The bridge whose state has a number.
#[must_use]
pub const fn bridge_of_state(number: u32) -> BridgeNumber {
    ((number >> OWN_BITS) + 1) & 0xfff
}

/// The first number of a bridge's states, less one. Those of the first bridge begin with 1, as in Open vSwitch.
const fn base_of(bridge: BridgeNumber) -> u32 {
    (bridge.wrapping_sub(1) & 0xfff) << OWN_BITS
}

/// The states of a bridge, by number.
#[derive(Debug, Default)]
pub(super) struct FrozenStates {
    by_number: HashMap<u32, (Arc<Frozen>, u64)>,
    by_state: HashMap<Arc<Frozen>, u32>,
    last: u32,
}

impl FrozenStates {
    /// The number of a state. Numbers of different bridges differ in their upper twelve bits.
    pub(super) fn number(&mut self, bridge: u32, state: Frozen, now: u64) -> u32 {
        if let Some(number) = self.by_state.get(&state) {
            let number = *number;
            self.keep(number, now);
            return number;
        }
        if self.by_number.len() >= MOST
            && let Some(any) = self.by_number.keys().next().copied()
        {
            self.forget(any);
        }
        // Zero is no number, and none that is in use is given twice.
        loop {
            self.last = (self.last + 1) & ((1 << OWN_BITS) - 1);
            let number = base_of(bridge) | self.last;
            if number != 0 && !self.by_number.contains_key(&number) {
                let state = Arc::new(state);
                self.by_number.insert(number, (state.clone(), now));
                self.by_state.insert(state, number);
                return number;
            }
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<Arc<Frozen>> {
        self.by_number.get(&number).map(|(state, _)| state.clone())
    }

    pub(super) fn keep(&mut self, number: u32, now: u64) {
        if let Some((_, used)) = self.by_number.get_mut(&number) {
            *used = now.max(*used);
        }
    }

    fn forget(&mut self, number: u32) {
        if let Some((state, _)) = self.by_number.remove(&number) {
            self.by_state.remove(&state);
        }
    }

    pub(super) fn age(&mut self, now: u64) {
        let old: Vec<u32> = self
            .by_number
            .iter()
            .filter(|(_, (_, used))| now.saturating_sub(*used) > IDLE)
            .map(|(number, _)| *number)
            .collect();
        old.into_iter().for_each(|number| self.forget(number));
    }
}
