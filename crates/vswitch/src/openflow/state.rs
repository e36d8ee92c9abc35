//! What the tables of a bridge hold, for a successor that goes on with them.
//!
//! What: flows with their counts and ages, groups, meters, mapped options of Geneve, and what controllers have set. Matches are the
//! words of keys, actions are text as `ovs-ofctl` has it: what somebody added comes back as it was written.
//!
//! Invariants: times are on the clock that the pipeline was given. Flows that end, end when they would have. What the
//! database says of tables is no part of it; states of recirculation are none either, since no packet is under way when
//! a successor takes over.

use super::change::Done;
use super::field::TlvEntry;
use super::flow::{Flags, Flow};
use super::group::{Bucket, Group, GroupKind, Selection, SelectionMethod};
use super::meter::{Band, MOST_METERS, Meter};
use super::table::Miss;
use super::{Event, FailMode, FlowId, Fragments, Pipeline, bridge_tag};
use netloom_proto::openflow::text::{Names, parse_instructions, print_actions};
use netloom_proto::openflow::{Action, FieldId, OfPort, Value};
use netloom_table::classifier::Rule;
use netloom_table::key::WORDS;
use netloom_table::{Key, Mask};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a pipeline holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineState {
    secure: bool,
    fragments: u8,
    old_controllers: bool,
    tables: Vec<TableState>,
    flows: Vec<FlowState>,
    groups: Vec<GroupState>,
    meters: Vec<MeterState>,
    /// Field, class, type, octets, and where it lies.
    options: Vec<(u8, u16, u8, u8, u8)>,
    /// Settings of ports that have some.
    ports: Vec<(u16, u32)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct TableState {
    number: u8,
    matched: u64,
    missed: u64,
    miss: u8,
    eviction: bool,
    vacancy: Option<(u8, u8)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct FlowState {
    table: u8,
    priority: u32,
    /// Number of a word of the key, the word, and which bits of it matter.
    words: Vec<(u8, u64, u64)>,
    actions: String,
    cookie: u64,
    /// Created, changed, used.
    times: (u64, u64, u64),
    counts: (u64, u64),
    /// Idle, hard.
    timeouts: (u16, u16),
    importance: u16,
    flags: u16,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct GroupState {
    number: u32,
    kind: u8,
    method: u8,
    parameter: u64,
    /// Name, and octets of the mask.
    fields: Vec<(String, Vec<u8>)>,
    buckets: Vec<BucketState>,
    counts: (u64, u64),
    created: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct BucketState {
    id: u32,
    weight: u16,
    watch_port: u16,
    watch_group: u32,
    actions: String,
    counts: (u64, u64),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct MeterState {
    number: u32,
    flags: u16,
    /// Remark, rate, burst, packets, octets.
    bands: Vec<(Option<u8>, u32, u32, u64, u64)>,
    counts: (u64, u64),
    created: u64,
    slot: u32,
}

/// Why a state can't be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Actions can't be read.
    #[error("the actions `{0}` can't be read")]
    Actions(String),
    /// A field is not known.
    #[error("there is no field `{0}`")]
    Field(String),
}

fn write(actions: &[Action]) -> String {
    if actions.is_empty() { String::new() } else { print_actions(actions, &Names::default()) }
}

fn read(text: &str) -> Result<Arc<[Action]>, StateError> {
    if text.is_empty() {
        return Ok(Arc::new([]));
    }
    let parsed = parse_instructions(text, &Names::default());
    parsed.map(|(actions, _)| actions.into()).map_err(|_| StateError::Actions(text.to_owned()))
}

const MISSES: [Miss; 4] = [Miss::Default, Miss::Controller, Miss::Continue, Miss::Drop];
const FRAGMENTS: [Fragments; 3] = [Fragments::Normal, Fragments::Drop, Fragments::NxMatch];
const KINDS: [GroupKind; 4] =
    [GroupKind::All, GroupKind::Select, GroupKind::Indirect, GroupKind::FastFailover];
const METHODS: [SelectionMethod; 3] =
    [SelectionMethod::Default, SelectionMethod::Hash, SelectionMethod::DpHash];

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|known| known == one).unwrap_or(0) as u8
}

fn at<T: Copy + Default>(all: &[T], place: u8) -> T {
    all.get(usize::from(place)).copied().unwrap_or_default()
}

impl Pipeline {
    /// What it holds.
    #[must_use]
    pub fn state(&self) -> PipelineState {
        let mut flows = Vec::new();
        let mut tables = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            let number = number as u8;
            let settings = &table.settings;
            let is_set = settings.eviction || settings.vacancy.is_some() || settings.miss != Miss::Default;
            if is_set || table.matched + table.missed > 0 {
                tables.push(TableState {
                    number,
                    matched: table.matched,
                    missed: table.missed,
                    miss: place(&MISSES, &settings.miss),
                    eviction: settings.eviction,
                    vacancy: settings.vacancy,
                });
            }
            for rule in table.rules.iter(self.version) {
                let (Some((priority, key, mask)), Some(flow)) =
                    (table.rules.describe(rule), table.rules.get(rule))
                else {
                    continue;
                };
                flows.push(FlowState::of(number, priority, &key, mask, flow));
            }
        }
        let options = self.tlv.iter().map(|(field, entry)| {
            let TlvEntry { class, kind, octets, offset } = entry;
            (field, class, kind, octets, offset)
        });
        let ports = self.ports.values().filter(|port| port.config != 0);
        PipelineState {
            secure: self.options.fail_mode == FailMode::Secure,
            fragments: place(&FRAGMENTS, &self.options.fragments),
            old_controllers: self.options.old_controllers,
            tables,
            flows,
            groups: self.groups.values().map(GroupState::of).collect(),
            meters: self.meters.values().map(MeterState::of).collect(),
            options: options.collect(),
            ports: ports.map(|port| (port.number.0, port.config)).collect(),
        }
    }

    /// Holds what another pipeline held, and nothing else. Its ports are to be there.
    ///
    /// # Errors
    /// What can't be read of it.
    pub fn restore(&mut self, state: PipelineState, now: u64) -> Result<(), StateError> {
        self.now = now;
        let PipelineState {
            secure,
            fragments,
            old_controllers,
            tables,
            flows,
            groups,
            meters,
            options,
            ports,
        } = state;
        self.options.fail_mode = if secure { FailMode::Secure } else { FailMode::Standalone };
        self.options.fragments = at(&FRAGMENTS, fragments);
        self.options.old_controllers = old_controllers;
        for (field, class, kind, octets, offset) in options {
            self.tlv.put(field, TlvEntry { class, kind, octets, offset });
        }
        let groups: Result<Vec<Group>, StateError> = groups.into_iter().map(GroupState::group).collect();
        self.groups = groups?.into_iter().map(|group| (group.number, group)).collect();
        for mut meter in meters.into_iter().map(MeterState::meter) {
            // Numbers of programs begin with the bridge's.
            meter.slot = self.number.wrapping_mul(MOST_METERS) | (meter.slot % MOST_METERS);
            self.events.push(Event::Meter { number: meter.slot, meter: Some(Box::new(meter.clone())) });
            self.meters.insert(meter.number, meter);
        }
        for state in tables {
            if let Some(table) = self.tables.get_mut(usize::from(state.number)) {
                (table.matched, table.missed) = (state.matched, state.missed);
                table.settings.miss = at(&MISSES, state.miss);
                (table.settings.eviction, table.settings.vacancy) = (state.eviction, state.vacancy);
            }
        }
        let version = self.version + 1;
        let mut done = Vec::new();
        // What a new bridge has by itself is not among what the other held, or is.
        for (number, table) in self.tables.iter_mut().enumerate() {
            let rules: Vec<_> = table.rules.iter(self.version).collect();
            for rule in rules {
                table.rules.hide(rule, version);
                table.flows -= 1;
                let flow = FlowId { table: number as u8, rule };
                done.push(Done::Remove { flow, reason: super::Removal::Delete, origin: 0 });
            }
        }
        for state in flows {
            let number = state.table;
            let rule = state.rule()?;
            self.put(number, rule, None, true, 0, (version, &mut done));
        }
        self.commit(done, version);
        for (number, config) in ports {
            if let Some(port) = self.ports.get_mut(&OfPort(number)) {
                port.config = config;
            }
        }
        self.touch(bridge_tag(self.number));
        Ok(())
    }
}

impl FlowState {
    fn of(table: u8, priority: u32, key: &Key, mask: &Mask, flow: &Flow) -> Self {
        let words = (0..WORDS).filter(|word| mask.words()[*word] != 0);
        Self {
            table,
            priority,
            words: words.map(|word| (word as u8, key.word(word), mask.words()[word])).collect(),
            actions: write(&flow.actions),
            cookie: flow.cookie,
            times: (flow.created, flow.modified, flow.used),
            counts: (flow.packets, flow.octets),
            timeouts: (flow.idle_timeout, flow.hard_timeout),
            importance: flow.importance,
            flags: flow.flags.0,
        }
    }

    fn rule(self) -> Result<Rule<Box<Flow>>, StateError> {
        let (mut key, mut mask) = (Key::default(), Mask::default());
        for (word, value, bits) in self.words.iter().filter(|(word, ..)| usize::from(*word) < WORDS) {
            key.set_word(usize::from(*word), *value);
            mask.add_word(usize::from(*word), *bits);
        }
        let (created, modified, used) = self.times;
        let flow = Flow {
            cookie: self.cookie,
            actions: read(&self.actions)?,
            created,
            modified,
            used,
            packets: self.counts.0,
            octets: self.counts.1,
            idle_timeout: self.timeouts.0,
            hard_timeout: self.timeouts.1,
            importance: self.importance,
            flags: Flags(self.flags),
            timer: None,
        };
        Ok(Rule { priority: self.priority, key, mask, value: Box::new(flow) })
    }
}

impl GroupState {
    fn of(group: &Group) -> Self {
        let bucket = |bucket: &Bucket| BucketState {
            id: bucket.id,
            weight: bucket.weight,
            watch_port: bucket.watch_port.0,
            watch_group: bucket.watch_group,
            actions: write(&bucket.actions),
            counts: (bucket.packets, bucket.octets),
        };
        let field = |(field, mask): &(FieldId, Value)| (field.get().name.to_owned(), mask.octets().to_vec());
        Self {
            number: group.number,
            kind: place(&KINDS, &group.kind),
            method: place(&METHODS, &group.selection.method),
            parameter: group.selection.parameter,
            fields: group.selection.fields.iter().map(field).collect(),
            buckets: group.buckets.iter().map(bucket).collect(),
            counts: (group.packets, group.octets),
            created: group.created,
        }
    }

    fn group(self) -> Result<Group, StateError> {
        let bucket = |state: BucketState| {
            Ok(Bucket {
                weight: state.weight,
                watch_port: OfPort(state.watch_port),
                watch_group: state.watch_group,
                packets: state.counts.0,
                octets: state.counts.1,
                ..Bucket::new(state.id, read(&state.actions)?)
            })
        };
        let field = |(name, mask): (String, Vec<u8>)| {
            let found = FieldId::all().find(|field| field.get().name == name);
            let mask = Value::from_octets(&mask);
            found.zip(mask).ok_or(StateError::Field(name))
        };
        let mut group = Group {
            number: self.number,
            kind: KINDS.get(usize::from(self.kind)).copied().unwrap_or(GroupKind::All),
            selection: Selection {
                method: at(&METHODS, self.method),
                parameter: self.parameter,
                fields: self.fields.into_iter().map(field).collect::<Result<_, _>>()?,
            },
            buckets: self.buckets.into_iter().map(bucket).collect::<Result<_, _>>()?,
            packets: self.counts.0,
            octets: self.counts.1,
            created: self.created,
            slots: None,
        };
        group.slots = group.distribute();
        Ok(group)
    }
}

impl MeterState {
    fn of(meter: &Meter) -> Self {
        let band = |band: &Band| (band.remark, band.rate, band.burst, band.packets, band.octets);
        Self {
            number: meter.number,
            flags: meter.flags,
            bands: meter.bands.iter().map(band).collect(),
            counts: (meter.packets, meter.octets),
            created: meter.created,
            slot: meter.slot,
        }
    }

    fn meter(self) -> Meter {
        let band = |(remark, rate, burst, packets, octets)| Band { remark, rate, burst, packets, octets };
        Meter {
            number: self.number,
            flags: self.flags,
            bands: self.bands.into_iter().map(band).collect(),
            packets: self.counts.0,
            octets: self.counts.1,
            created: self.created,
            slot: self.slot,
        }
    }
}

#[cfg(test)]
mod tests;
