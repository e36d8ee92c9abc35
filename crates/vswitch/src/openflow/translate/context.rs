//! The state of a translation: the packet, the program so far, and where we are.

use super::super::port::OfPortEntry;
use super::super::recirculation::{Frozen, Left};
use super::super::{BridgeNumber, FlowId, Fragments, Pipeline, field, table_tag};
use super::exports::Telling;
use super::trace::{FoundRule, Note, Recorder};
use super::{Credit, Problem, Request, World};
use crate::fdb::Tag;
use netloom_nf::{Action as Step, Rewrite};
use netloom_proto::openflow::{Action, OfPort, Value};
use netloom_table::{Field, Key, Mask};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Deepest level of tables and groups that ask one another.
const MOST_DEPTH: u32 = 64;
/// Most look-ups of one packet.
const MOST_RESUBMITS: u32 = 64 * 64;
/// Most steps of a program: the octets that OVS allows for actions, at eight each.
const MOST_STEPS: usize = 8192;
/// The last table that controllers see; the one behind it is the switch's own.
const LAST_TABLE: u8 = 253;
/// Most values on the stack: 64 KiB of 16 octets.
const MOST_STACK: usize = 4096;

/// The state of a translation.
pub(super) struct Context<'a> {
    pub(super) world: &'a mut dyn World,
    pub(super) bridge: BridgeNumber,
    pub(super) effects: bool,
    pub(super) now: u64,
    /// The packet as the actions made it, in normal form.
    pub(super) flow: Key,
    /// The packet as the program so far makes it.
    pub(super) base: Key,
    /// What was looked at, in normal form.
    pub(super) mask: Mask,
    pub(super) out: Vec<Step>,
    pub(super) stack: Vec<Value>,
    pub(super) action_set: Vec<Action>,
    /// Where we are.
    pub(super) table: u8,
    pub(super) rule: Option<FlowId>,
    pub(super) cookie: u64,
    /// The rule is one of those for packets that no flow wants.
    pub(super) is_miss: bool,
    pub(super) in_action_set: bool,
    pub(super) in_group: bool,
    depth: u32,
    resubmits: u32,
    /// Nothing comes after the action that is carried out.
    pub(super) last: bool,
    pub(super) exit: bool,
    /// Which tags the packet has matters, whatever is in them.
    pub(super) tags_matter: bool,
    pub(super) freezing: bool,
    /// What asked for it is to be done again.
    pub(super) repeats: bool,
    /// The data path computes a hash before the packet comes back.
    pub(super) hashing: Option<netloom_nf::Hashing>,
    pub(super) left: Vec<Left>,
    pub(super) pause: Option<Box<netloom_proto::openflow::action::Controller>>,
    pub(super) tracked: bool,
    /// Headers behind MPLS labels that were taken are unknown.
    pub(super) was_mpls: bool,
    pub(super) nat: Option<netloom_nf::Nat>,
    pub(super) problem: Option<Problem>,
    pub(super) rests: Vec<Tag>,
    pub(super) changed: Vec<Tag>,
    pub(super) keep: bool,
    pub(super) credit: Credit,
    /// Octets of the headers that tunnels put before the packet.
    pub(super) longer: u16,
    pub(super) trace: Recorder,
    /// The queue that the packet is for, if an action named one.
    pub(super) queue: Option<u32>,
    /// The queue that the program has named last.
    pub(super) queued: u32,
    /// It has named one at all.
    pub(super) queues: bool,
    /// The token buckets that the packet was asked of when it came in.
    pub(super) policed: Vec<u32>,
    /// A controller sent the packet.
    pub(super) packet_out: bool,
    /// Mirrors that have copied the packet.
    pub(super) mirrored: BTreeSet<u16>,
    /// What is told to collectors.
    pub(super) telling: Telling,
}

/// What a table has for a packet.
pub(in crate::openflow) struct Hit {
    pub(in crate::openflow) flow: FlowId,
    pub(in crate::openflow) cookie: u64,
    pub(in crate::openflow) actions: Arc<[Action]>,
}

impl<'a> Context<'a> {
    pub(super) fn new(world: &'a mut dyn World, request: &Request<'_>) -> Self {
        let mut flow = request.key.clone();
        let arrived = flow.get(Field::IN_PORT) as netloom_mem::PortNumber;
        let port = world.pipeline(request.bridge).and_then(|pipeline| pipeline.port_of(arrived));
        let port = request.in_port.or(port).unwrap_or(OfPort::NONE);
        field::normalise(&mut flow, port);
        flow.set(Field::ACTSET_OUTPUT, u64::from(OfPort::UNSET.0));
        let mut mask = Mask::default();
        for always in [Field::IN_PORT, Field::RECIRCULATION, Field::PACKET_TYPE, Field::ETH_TYPE] {
            mask.add(always);
        }
        if is_ip(&flow) {
            mask.add(Field::IP_FRAG);
        }
        let name = world
            .pipeline(request.bridge)
            .map_or_else(String::new, |pipeline| pipeline.options().name.clone());
        let mut trace = Recorder::new(request.trace);
        trace.begin(|| Note::Bridge { number: request.bridge, name });
        Self {
            world,
            bridge: request.bridge,
            effects: request.effects,
            now: request.now,
            base: flow.clone(),
            flow,
            mask,
            out: Vec::new(),
            stack: Vec::new(),
            action_set: Vec::new(),
            table: 0,
            rule: None,
            cookie: u64::MAX,
            is_miss: false,
            in_action_set: false,
            in_group: false,
            depth: 0,
            resubmits: 0,
            last: true,
            exit: false,
            tags_matter: false,
            freezing: false,
            repeats: false,
            hashing: None,
            left: Vec::new(),
            pause: None,
            tracked: request.key.get(Field::CT_STATE) != 0,
            was_mpls: false,
            nat: None,
            problem: None,
            rests: Vec::new(),
            changed: Vec::new(),
            keep: true,
            credit: Credit::default(),
            longer: 0,
            trace,
            queue: None,
            queued: 0,
            queues: false,
            policed: Vec::new(),
            packet_out: false,
            mirrored: BTreeSet::new(),
            telling: Telling::new(request.bridge),
        }
    }

    pub(super) fn pipeline(&mut self) -> Option<&mut Pipeline> {
        self.world.pipeline(self.bridge)
    }

    pub(super) fn in_port(&self) -> OfPort {
        OfPort(self.flow.get(Field::IN_PORT) as u16)
    }

    pub(super) fn entry(&mut self, port: OfPort) -> Option<OfPortEntry> {
        self.pipeline()?.port(port).cloned()
    }

    /// Goes on in another bridge.
    pub(super) fn enter(&mut self, bridge: BridgeNumber) {
        self.rests.push(super::bridge_tag(self.bridge));
        self.bridge = bridge;
    }

    pub(super) fn detail(&mut self, text: impl FnOnce() -> String) {
        self.trace.note(|| Note::Detail(text()));
    }

    pub(super) fn warn(&mut self, text: impl FnOnce() -> String) {
        self.trace.note(|| Note::Warning(text()));
    }

    /// Ends the translation: the packet is dropped.
    pub(super) fn fail(&mut self, problem: Problem) {
        self.trace.note(|| Note::Error(problem.to_string()));
        self.problem.get_or_insert(problem);
        self.exit = true;
    }

    pub(super) const fn is_frozen(&self) -> bool {
        self.freezing
    }

    /// Looks at a whole field of the key.
    pub(super) fn look(&mut self, field: Field) -> u64 {
        self.mask.add(field);
        self.flow.get(field)
    }

    /// The packet's key as the data path has it.
    pub(super) fn data_path_key(&mut self) -> Key {
        let mut key = self.flow.clone();
        let port = self.entry(self.in_port()).map_or(crate::bridge::NOBODY, |entry| entry.port);
        key.set(Field::IN_PORT, u64::from(port));
        for tci in [Field::VLAN_TCI, Field::INNER_TCI] {
            key.set(tci, key.get(tci) & !0x1000);
        }
        key
    }

    /// Writes what actions changed into the program.
    pub(super) fn commit(&mut self) {
        self.commit_with(Rewrite::default());
    }

    /// The same, with fields that are written whole and that `base` has already.
    pub(super) fn commit_with(&mut self, mut rewrite: Rewrite) {
        // What is no part of the packet, or has actions of its own.
        let mut after = self.flow.clone();
        for word in [0, 3, 47].into_iter().chain(31..=39) {
            after.set_word(word, self.base.word(word));
        }
        after.set(Field::DP_HASH, self.base.get(Field::DP_HASH));
        if let Some(Step::PushMpls { entry, .. }) = self.out.last_mut() {
            // What is written into an entry that was just pushed is pushed with it.
            let pushed = after.get(Field::MPLS_OUTER);
            *entry = pushed as u32;
            self.base.set(Field::MPLS_OUTER, pushed);
        }
        for field in Field::ALL {
            let differs = self.base.get(*field) ^ after.get(*field);
            if differs != 0 {
                // What was looked at is known, so it may be written as well. Fields that can't be written can't differ.
                let _ = rewrite.add(*field, after.get(*field), self.mask.get(*field) | differs);
            }
        }
        if !rewrite.is_empty() {
            self.out.push(Step::Set(Arc::new(rewrite)));
            self.base = after;
        }
        self.commit_vlans();
        let queue = self.queue.unwrap_or(0);
        if queue != self.queued {
            self.queued = queue;
            self.queues = true;
            self.out.push(Step::Queue(queue));
        }
    }

    fn commit_vlans(&mut self) {
        let (was, is) = (tags(&self.base), tags(&self.flow));
        if was == is {
            return;
        }
        let common = was.iter().rev().zip(is.iter().rev()).take_while(|(was, is)| was == is).count();
        let (pops, mut pushes) = (was.len() - common, is.len() - common);
        // Tags that are changed were known whole.
        if pops > 0 && self.mask.get(Field::VLAN_TCI) != 0 {
            self.mask.add(Field::VLAN_TCI);
        }
        let mut left = pops;
        // A customer's tag that only changes is written where it is.
        let replaced =
            pops > 0 && pushes > 0 && was[pops - 1].0 == is[pushes - 1].0 && is[pushes - 1].0 == 0x8100;
        if replaced {
            left -= 1;
        }
        self.out.extend((0..left).map(|_| Step::PopVlan));
        if replaced {
            pushes -= 1;
            self.out.push(Step::SetVlan(is[pushes].1 & !0x1000));
        }
        for (tpid, tci) in is[..pushes].iter().rev() {
            self.out.push(Step::PushVlan { tpid: *tpid, tci: tci & !0x1000 });
        }
        self.base.set_word(3, self.flow.word(3));
    }

    /// Whether another table or group may be asked.
    pub(super) fn may_go_on(&mut self) -> bool {
        let problem = if self.depth >= MOST_DEPTH {
            Problem::TooDeep
        } else if self.resubmits >= MOST_RESUBMITS {
            Problem::TooManyResubmits
        } else if self.out.len() > MOST_STEPS {
            Problem::TooManyActions
        } else if self.stack.len() > MOST_STACK {
            Problem::StackTooDeep
        } else {
            return true;
        };
        self.fail(problem);
        false
    }

    /// One level deeper.
    pub(super) fn deeper<R>(&mut self, deeper: bool, run: impl FnOnce(&mut Self) -> R) -> R {
        self.depth += u32::from(deeper);
        self.resubmits += 1;
        let result = run(self);
        self.depth -= u32::from(deeper);
        result
    }

    /// Asks a table, and carries out the actions of the rule that it has for the packet.
    pub(super) fn table(&mut self, in_port: OfPort, table: u8, may_punt: bool, honours_miss: bool, ct: bool) {
        if self.was_mpls {
            // What is behind the labels must be known before a rule is sought.
            self.trigger_freeze();
            return;
        }
        if !self.may_go_on() {
            return;
        }
        let before = (self.table, self.rule, self.cookie, self.is_miss);
        let own_port = self.flow.get(Field::IN_PORT);
        self.flow.set(Field::IN_PORT, u64::from(in_port.0));
        let saved = ct.then(|| self.swap_tuple());
        let found = self.search(table, honours_miss);
        if let Some(saved) = saved {
            self.flow = saved;
        }
        self.flow.set(Field::IN_PORT, own_port);
        match found {
            Some(hit) => {
                // The first table that is asked is no step deeper.
                let deepens = before.1.is_some() && hit.flow.table <= before.0;
                (self.table, self.rule, self.cookie) = (hit.flow.table, Some(hit.flow), hit.cookie);
                self.is_miss = false;
                let actions = hit.actions.clone();
                let last = self.last;
                self.deeper(deepens, |context| context.run(&actions, last));
                self.last = last;
                self.trace.end();
            }
            None => {
                self.trace.end();
                if may_punt && honours_miss {
                    self.miss(in_port);
                }
            }
        }
        // What the action set does counts as done by the first rule.
        if before.1.is_some() || self.rule.is_none() {
            (self.table, self.rule, self.cookie, self.is_miss) = before;
        }
    }

    /// Whether the rule that is carried out is a table-miss flow (OpenFlow 1.3, 5.4): of priority zero, for all packets.
    pub(super) fn is_miss_flow(&mut self) -> bool {
        let Some(rule) = self.rule else { return false };
        let table = self.pipeline().and_then(|pipeline| pipeline.tables.get(usize::from(rule.table)));
        table
            .and_then(|table| table.rules.describe(rule.rule))
            .is_some_and(|(priority, _, mask)| priority == 0 && mask.used() == 0)
    }

    /// The rule for a packet, in a table or in those that follow it if it says so. Opens a step of the trace.
    fn search(&mut self, mut table: u8, honours_miss: bool) -> Option<Hit> {
        loop {
            self.rests.push(table_tag(self.bridge, table));
            let found = self.find(table);
            let wanted = self.trace.wanted();
            let bridge = self.bridge;
            let pipeline = self.world.pipeline(bridge)?;
            let name = pipeline.table_settings(table).and_then(|settings| settings.name.clone());
            self.credit.tables.push((bridge, table, found.is_some()));
            let rule = found.as_ref().filter(|_| wanted).and_then(|(hit, conjunction)| {
                let view = pipeline.view(hit.flow)?;
                Some(Box::new(FoundRule {
                    matching: view.matching,
                    priority: view.priority,
                    cookie: hit.cookie,
                    conjunction: *conjunction,
                }))
            });
            let dropped =
                pipeline.options().fragments == Fragments::Drop && self.flow.get(Field::IP_FRAG) & 1 == 1;
            let goes_on = !dropped
                && found.is_none()
                && honours_miss
                && pipeline.continues(table)
                && table < LAST_TABLE;
            self.trace.begin(|| match dropped {
                true => Note::Fragment(table),
                false => Note::Table { table, name, rule },
            });
            if let Some((hit, _)) = found {
                self.credit.flows.push((bridge, hit.flow, self.longer));
                return Some(hit);
            }
            if !goes_on {
                self.table = table;
                return None;
            }
            self.trace.end();
            table += 1;
        }
    }

    fn find(&mut self, table: u8) -> Option<(Hit, Option<u32>)> {
        let pipeline = self.world.pipeline(self.bridge)?;
        let fragment = self.flow.get(Field::IP_FRAG) & 1 == 1;
        match pipeline.options().fragments {
            Fragments::Drop if fragment => {
                self.exit = true;
                None
            }
            Fragments::Normal if fragment => {
                // Ports of fragments count as unknown.
                let mut key = self.flow.clone();
                key.set(Field::TP_SRC, 0);
                key.set(Field::TP_DST, 0);
                pipeline.lookup(table, &key, &mut self.mask)
            }
            _ => pipeline.lookup(table, &self.flow, &mut self.mask),
        }
    }

    /// No flow wants the packet.
    fn miss(&mut self, in_port: OfPort) {
        let table = self.table;
        // Behind the last table is one that does what is done by default.
        let asked = |pipeline: &mut Pipeline| if pipeline.continues(table) { table + 1 } else { table };
        let to_controller = self.pipeline().is_some_and(|pipeline| {
            let asked = asked(pipeline);
            pipeline.asks_controller(asked)
        });
        let quiet = self.entry(in_port).is_some_and(|entry| entry.is(OfPortEntry::NO_PACKET_IN));
        if to_controller && !quiet && !self.exit {
            self.is_miss = true;
            // That of the flow that Open vSwitch has for such packets.
            self.cookie = 0;
            self.tell_controller(0, 0, &[], None);
            self.is_miss = false;
        }
    }

    /// Puts the original direction of the connection in the place of addresses and ports; gives what was there.
    fn swap_tuple(&mut self) -> Key {
        let saved = self.flow.clone();
        for (to, from) in [
            (Field::IP_PROTO, Field::CT_PROTO),
            (Field::TP_SRC, Field::CT_TP_SRC),
            (Field::TP_DST, Field::CT_TP_DST),
        ] {
            self.mask.add(from);
            self.flow.set(to, saved.get(from));
        }
        let pairs: &[(Field, Field)] = if saved.get(Field::ETH_TYPE) == 0x0800 {
            &[(Field::IP4_SRC, Field::CT_SRC), (Field::IP4_DST, Field::CT_DST)]
        } else {
            &[
                (Field::IP6_SRC_HIGH, Field::CT6_SRC_HIGH),
                (Field::IP6_SRC_LOW, Field::CT6_SRC_LOW),
                (Field::IP6_DST_HIGH, Field::CT6_DST_HIGH),
                (Field::IP6_DST_LOW, Field::CT6_DST_LOW),
            ]
        };
        for (to, from) in pairs {
            self.mask.add(*from);
            self.flow.set(*to, saved.get(*from));
        }
        saved
    }

    /// What is kept for later.
    pub(super) fn frozen(&self, table: u8, looks_up: bool, left: Vec<Left>) -> Frozen {
        Frozen {
            table,
            looks_up,
            in_port: self.in_port(),
            registers: Frozen::registers_of(&self.flow),
            stack: self.stack.clone(),
            left,
            action_set: self.action_set.clone(),
            tracked: self.tracked,
            queue: self.queue,
            mirrored: self.mirrored.clone(),
            cookie: self.cookie,
        }
    }

    /// A number for a state.
    pub(super) fn state_number(&mut self, state: Frozen) -> u32 {
        let (bridge, now) = (self.bridge, self.now);
        let number = self.pipeline().map_or(0, |pipeline| pipeline.frozen.number(bridge, state, now));
        self.credit.states.push((bridge, number));
        number
    }
}

/// Whether a packet is IPv4 or IPv6.
pub(super) fn is_ip(key: &Key) -> bool {
    matches!(key.get(Field::ETH_TYPE), 0x0800 | 0x86dd)
}

/// The VLAN tags of a key in normal form, the outer first.
fn tags(key: &Key) -> Vec<(u16, u16)> {
    let mut tags = Vec::new();
    for (tpid, tci) in [(Field::VLAN_TPID, Field::VLAN_TCI), (Field::INNER_TPID, Field::INNER_TCI)] {
        if key.get(tpid) == 0 {
            break;
        }
        tags.push((key.get(tpid) as u16, key.get(tci) as u16));
    }
    tags
}
