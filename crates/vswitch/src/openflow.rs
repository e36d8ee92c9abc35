//! The OpenFlow tables of a bridge: what controllers put into them, and what they do with a packet.
//!
//! ```text
//! FlowMod, GroupMod, MeterMod, bundles -> Pipeline           -> events (removed flows, monitors), tags of what changed
//! key of a packet                      -> translate          -> program, mask, tags, who is credited, effects, trace
//! counts of flows of the data path     -> Pipeline::credit   time -> Pipeline::tick
//! ```
//!
//! What: [`Pipeline`] holds 255 tables of rules, groups, meters and ports. [`translate`] is the one function that walks
//! them, for a miss of the data path, a packet-out, a trace or `why`.
//!
//! Invariants: time is an argument, in nanoseconds. A change is whole or not at all, and so is a bundle: its rules become
//! visible at once, with the next version. What a change touches is told by tags, and whoever keeps an answer of
//! [`translate`] takes it back when one of its tags changes.
//!
//! Deliberately absent: connections to controllers and the octets of messages (`proto`, `control`).

mod alone;
pub mod exports;
pub mod field;
pub mod flow;
pub mod group;
pub mod meter;
pub mod port;
pub mod query;
pub mod translate;

mod change;
mod expire;
mod modify;
mod ordinary;
mod recirculation;
mod selection;
mod state;
mod table;

#[cfg(test)]
mod tests;

pub use alone::ALONE_PRIORITY;
pub use change::{Change, Event, FlowChange, FlowRemoved, Removal};
pub use exports::{Exports, PacketSampling, Sampled, SumSampling, ToldFlow, TunnelEnds};
pub use field::TlvMap;
pub use flow::{Command, Flags, Flow, FlowFilter, FlowMod, FlowView};
pub use group::{Bucket, Group, GroupCommand, GroupKind, GroupMod, Selection};
pub use meter::{Band, Meter, MeterCommand, MeterMod};
pub use modify::Failure;
pub use port::{OfPortEntry, PortForm};
pub use recirculation::{Frozen, bridge_of_state};
pub use state::{PipelineState, StateError};
pub use table::{Miss, Overflow, TableSettings};

use crate::fdb::Tag;
use netloom_mem::PortNumber;
use netloom_proto::openflow::OfPort;
use netloom_table::Wheel;
use netloom_table::classifier::{RuleId, Version};
use recirculation::FrozenStates;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use table::Table;

/// Tables of a bridge, 0 to 254.
pub const TABLES: usize = 255;
/// Most flows of all tables together that have timeouts.
const MOST_TIMERS: usize = 1 << 22;
/// Timers are exact to 2^27 nanoseconds, about an eighth of a second.
const TIMER_SHIFT: u32 = 27;

/// Which bridge of the switch.
pub type BridgeNumber = u32;

/// A flow: its table and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    /// The table.
    pub table: u8,
    /// The rule.
    pub rule: RuleId,
}

/// What a bridge does without a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailMode {
    /// It becomes an ordinary switch.
    #[default]
    Standalone,
    /// It goes on with the flows that it has.
    Secure,
}

/// What is done with fragments (`OFPC_FRAG_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fragments {
    /// All fragments are handled as later ones: their ports count as zero.
    #[default]
    Normal,
    /// They are dropped.
    Drop,
    /// The first ones have ports, the later ones have none.
    NxMatch,
}

/// What a bridge is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PipelineOptions {
    /// What it does without a controller.
    pub fail_mode: FailMode,
    /// What is done with fragments.
    pub fragments: Fragments,
    /// Whether a packet that no flow wants goes to controllers of OpenFlow 1.0 to 1.2 (those of later versions never get
    /// one). Without such a controller it is dropped.
    pub old_controllers: bool,
    /// Every flow decides by these tables alone; nobody asks.
    pub name: String,
    /// What is told to collectors.
    pub exports: Exports,
}

/// The tables, groups, meters and ports of a bridge.
#[derive(Debug)]
pub struct Pipeline {
    number: BridgeNumber,
    options: PipelineOptions,
    tables: Vec<Table>,
    groups: BTreeMap<u32, Group>,
    meters: BTreeMap<u32, Meter>,
    ports: BTreeMap<OfPort, OfPortEntry>,
    by_number: HashMap<PortNumber, OfPort>,
    tlv: TlvMap,
    version: Version,
    wheel: Wheel<FlowId>,
    events: Vec<Event>,
    changed: BTreeSet<Tag>,
    /// Flows that took the place of others, for counts that come late; with the time.
    heirs: HashMap<FlowId, (FlowId, u64)>,
    /// How many flows have a `learn` that takes what it taught along: by cookie and table.
    teachers: HashMap<(u64, u8), usize>,
    frozen: FrozenStates,
    monitored: bool,
    /// The flow that makes it an ordinary switch; none if that is not known.
    ordinary: Option<Option<FlowId>>,
    /// Somebody was told that it is one.
    was_ordinary: bool,
    /// Tunnels may end at its own interface.
    terminates: bool,
    now: u64,
}

/// What a table's answers rest on.
pub(crate) const fn table_tag(bridge: BridgeNumber, table: u8) -> Tag {
    8 << 60 | (bridge as u64) << 16 | table as u64
}

/// What a group's answers rest on.
pub(crate) const fn group_tag(bridge: BridgeNumber, group: u32) -> Tag {
    9 << 60 | ((bridge as u64) & 0x0fff_ffff) << 32 | group as u64
}

/// What everything of a bridge rests on: its options, ports, meters.
pub(crate) const fn bridge_tag(bridge: BridgeNumber) -> Tag {
    10 << 60 | bridge as u64
}

impl Pipeline {
    /// A bridge without flows. Its name and numbers must be its own among all bridges of the switch.
    #[must_use]
    pub fn new(number: BridgeNumber, options: PipelineOptions, now: u64) -> Self {
        Self {
            number,
            options,
            tables: (0..TABLES).map(|_| Table::default()).collect(),
            groups: BTreeMap::new(),
            meters: BTreeMap::new(),
            ports: BTreeMap::new(),
            by_number: HashMap::new(),
            tlv: TlvMap::default(),
            version: 1,
            wheel: Wheel::new(TIMER_SHIFT, MOST_TIMERS, now),
            events: Vec::new(),
            changed: BTreeSet::new(),
            heirs: HashMap::new(),
            teachers: HashMap::new(),
            frozen: FrozenStates::default(),
            monitored: false,
            ordinary: None,
            was_ordinary: false,
            terminates: false,
            now,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> BridgeNumber {
        self.number
    }

    /// What it was told.
    #[must_use]
    pub const fn options(&self) -> &PipelineOptions {
        &self.options
    }

    /// Tells it something else.
    pub fn set_options(&mut self, options: PipelineOptions) {
        self.options = options;
        self.touch(bridge_tag(self.number));
    }

    /// Which options of Geneve are fields.
    #[must_use]
    pub const fn tlv_map(&self) -> &TlvMap {
        &self.tlv
    }

    /// Makes other options of Geneve fields. Flows that match on a field that is mapped no more are not changed, so that
    /// control must refuse it while there are some.
    pub fn set_tlv_map(&mut self, map: TlvMap) {
        self.tlv = map;
        self.touch(bridge_tag(self.number));
    }

    /// Whether tunnels may end at its own interface.
    pub fn set_terminates(&mut self, terminates: bool) {
        self.terminates = terminates;
        self.touch(bridge_tag(self.number));
    }

    /// Whether it may, as [`Pipeline::set_terminates`] said.
    pub(crate) const fn terminates(&self) -> bool {
        self.terminates
    }

    /// Notes that answers which rest on a tag are to be taken back.
    fn touch(&mut self, tag: Tag) {
        self.ordinary = None;
        self.changed.insert(tag);
    }

    /// What happened since this was asked last.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What changed since this was asked last: answers that rest on it are to be taken back.
    pub fn take_changed(&mut self) -> Vec<Tag> {
        std::mem::take(&mut self.changed).into_iter().collect()
    }
}
