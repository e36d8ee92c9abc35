//! What requests do to flows.

use super::change::{Done, Removal};
use super::field;
use super::flow::{Command, Flags, Flow, FlowMod, any};
use super::{FlowId, Pipeline, TABLES};
use netloom_proto::openflow::{Action, OfError, OfPort};
use netloom_table::classifier::{Clause, Rule, Version};
use netloom_table::{Key, Mask};

/// A change that can't be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("change {index} cannot be made: {error}")]
pub struct Failure {
    /// Which of several.
    pub index: usize,
    /// Why.
    pub error: OfError,
}

/// Which flows a request means.
struct Meant<'a> {
    key: &'a Key,
    mask: &'a Mask,
    strict: Option<u16>,
    cookie: (u64, u64),
    out_port: OfPort,
    out_group: u32,
}

impl Pipeline {
    pub(super) fn modify(
        &mut self,
        request: &FlowMod,
        version: Version,
        done: &mut Vec<Done>,
    ) -> Result<(), OfError> {
        if request.table.is_some_and(|table| usize::from(table) >= TABLES) {
            return Err(OfError::OFPBRC_BAD_TABLE_ID);
        }
        let (key, mask) =
            field::to_key(&request.matching, &self.tlv).map_err(|_| OfError::OFPBMC_BAD_FIELD)?;
        match request.command {
            Command::Add => self.add(request, key, mask, version, done),
            Command::Modify | Command::ModifyStrict => self.change(request, key, mask, version, done),
            Command::Delete | Command::DeleteStrict => {
                let strict = (request.command == Command::DeleteStrict).then_some(request.priority);
                let meant = Meant {
                    key: &key,
                    mask: &mask,
                    strict,
                    cookie: request.cookie_filter,
                    out_port: request.out_port,
                    out_group: request.out_group,
                };
                for flow in self.meant(&meant, request.table, version) {
                    self.hide(flow, Removal::Delete, request.origin, version, done);
                }
                Ok(())
            }
        }
    }

    /// The flows that a request means, in order of tables.
    fn meant(&self, meant: &Meant<'_>, table: Option<u8>, version: Version) -> Vec<FlowId> {
        let tables = match table {
            Some(table) => usize::from(table)..usize::from(table) + 1,
            None => 0..TABLES,
        };
        let mut found = Vec::new();
        for number in tables {
            let Some(table) = self.tables.get(number).filter(|table| !table.rules.is_empty()) else {
                continue;
            };
            let rules = match meant.strict {
                Some(priority) => table
                    .rules
                    .exact(u32::from(priority), meant.key, meant.mask, version)
                    .into_iter()
                    .collect(),
                None => table.rules.within(meant.key, meant.mask, version),
            };
            for rule in rules {
                // The switch's own flows are nobody's.
                if table.rules.priority(rule).is_none_or(|priority| priority > u32::from(u16::MAX)) {
                    continue;
                }
                let fits = table.rules.get(rule).is_some_and(|flow| {
                    (flow.cookie ^ meant.cookie.0) & meant.cookie.1 == 0
                        && flow.sends_to(meant.out_port)
                        && flow.uses_group(meant.out_group)
                });
                if fits {
                    found.push(FlowId { table: number as u8, rule });
                }
            }
        }
        found
    }

    pub(super) fn hide(
        &mut self,
        flow: FlowId,
        reason: Removal,
        origin: u64,
        version: Version,
        done: &mut Vec<Done>,
    ) {
        if let Some(table) = self.tables.get_mut(usize::from(flow.table)) {
            table.rules.hide(flow.rule, version);
            table.flows -= 1;
            done.push(Done::Remove { flow, reason, origin });
        }
    }

    fn add(
        &mut self,
        request: &FlowMod,
        key: Key,
        mask: Mask,
        version: Version,
        done: &mut Vec<Done>,
    ) -> Result<(), OfError> {
        let number = request.table.unwrap_or(0);
        self.check_actions(number, &request.actions)?;
        let priority = u32::from(request.priority);
        let table = self.tables.get(usize::from(number)).ok_or(OfError::OFPBRC_BAD_TABLE_ID)?;
        let existing = table.rules.exact(priority, &key, &mask, version);
        if existing.is_none() {
            if request.flags.has(Flags::CHECK_OVERLAP)
                && table.rules.overlapping(priority, &key, &mask, version).is_some()
            {
                return Err(OfError::OFPFMFC_OVERLAP);
            }
            if table.settings.limit.is_some_and(|limit| table.flows >= limit) {
                if !table.evicts() {
                    return Err(OfError::OFPFMFC_TABLE_FULL);
                }
                let victim = self.victim(number, version).ok_or(OfError::OFPFMFC_TABLE_FULL)?;
                self.hide(victim, Removal::Eviction, 0, version, done);
            }
        }
        let mut flow = Flow {
            cookie: request.cookie.unwrap_or(request.new_cookie),
            actions: request.actions.clone(),
            created: self.now,
            modified: self.now,
            used: self.now,
            packets: 0,
            octets: 0,
            idle_timeout: request.idle_timeout,
            hard_timeout: request.hard_timeout,
            importance: request.importance,
            flags: request.flags.kept(),
            timer: None,
        };
        let replaced = existing.map(|rule| FlowId { table: number, rule });
        if let Some(old) = replaced.and_then(|id| self.flow(id)) {
            // Nobody used it by replacing it, whatever becomes of the counts.
            flow.used = old.used;
            if !request.flags.has(Flags::RESET_COUNTS) {
                (flow.packets, flow.octets) = (old.packets, old.octets);
            }
        }
        self.put(
            number,
            Rule { priority, key, mask, value: Box::new(flow) },
            replaced,
            true,
            request.origin,
            (version, done),
        );
        Ok(())
    }

    pub(super) fn put(
        &mut self,
        number: u8,
        rule: Rule<Box<Flow>>,
        replaced: Option<FlowId>,
        added: bool,
        origin: u64,
        (version, done): (Version, &mut Vec<Done>),
    ) {
        let Some(table) = self.tables.get_mut(usize::from(number)) else { return };
        match replaced {
            Some(old) => table.rules.hide(old.rule, version),
            None => table.flows += 1,
        }
        let clauses = clauses(&rule.value.actions);
        let rule = table.rules.insert_clauses(rule, version, clauses);
        done.push(Done::Insert { flow: FlowId { table: number, rule }, replaced, added, origin });
    }

    fn change(
        &mut self,
        request: &FlowMod,
        key: Key,
        mask: Mask,
        version: Version,
        done: &mut Vec<Done>,
    ) -> Result<(), OfError> {
        let strict = (request.command == Command::ModifyStrict).then_some(request.priority);
        let meant = Meant {
            key: &key,
            mask: &mask,
            strict,
            cookie: request.cookie_filter,
            out_port: OfPort::NONE,
            out_group: super::flow::ANY_GROUP,
        };
        let flows = self.meant(&meant, request.table, version);
        if flows.is_empty() {
            if request.may_add && request.cookie_filter.1 == 0 {
                return self.add(request, key, mask, version, done);
            }
            return Ok(());
        }
        for id in flows {
            self.check_actions(id.table, &request.actions)?;
            let Some(table) = self.tables.get(usize::from(id.table)) else { continue };
            let (Some((priority, key, mask)), Some(old)) =
                (table.rules.describe(id.rule), table.rules.get(id.rule))
            else {
                continue;
            };
            let mut flow = Flow {
                actions: request.actions.clone(),
                modified: self.now,
                cookie: request.cookie.unwrap_or(old.cookie),
                timer: None,
                ..(**old).clone()
            };
            if request.flags.has(Flags::RESET_COUNTS) {
                (flow.packets, flow.octets) = (0, 0);
            }
            let rule = Rule { priority, key, mask: mask.clone(), value: Box::new(flow) };
            self.put(id.table, rule, Some(id), false, request.origin, (version, done));
        }
        Ok(())
    }

    /// Whether everything that actions name is there.
    pub(super) fn check_actions(&self, table: u8, actions: &[Action]) -> Result<(), OfError> {
        for action in actions {
            match action {
                Action::Group(number) if !self.groups.contains_key(number) => {
                    return Err(OfError::OFPBAC_BAD_OUT_GROUP);
                }
                Action::Meter(number) if !self.meters.contains_key(number) => {
                    return Err(OfError::OFPMMFC_INVALID_METER);
                }
                Action::Controller(controller)
                    if controller.meter_id != 0 && !self.meters.contains_key(&controller.meter_id) =>
                {
                    return Err(OfError::OFPMMFC_INVALID_METER);
                }
                Action::GotoTable(next) if *next <= table || usize::from(*next) >= TABLES => {
                    return Err(OfError::OFPBIC_BAD_TABLE_ID);
                }
                _ => self.check_actions(table, action.nested())?,
            }
        }
        Ok(())
    }

    /// Has flows go, as when the table is full, until there are no more than it may have.
    pub(super) fn evict(&mut self, number: u8) {
        let version = self.version + 1;
        let mut done = Vec::new();
        while let Some(table) = self.tables.get(usize::from(number)).filter(|table| table.evicts())
            && table.settings.limit.is_some_and(|limit| table.flows > limit)
            && let Some(victim) = self.victim(number, version)
        {
            self.hide(victim, Removal::Eviction, 0, version, &mut done);
        }
        if !done.is_empty() {
            self.commit(done, version);
        }
    }

    /// The flow that goes when a table is full: of the largest group the least important one, and of those the one that
    /// would go soonest by itself.
    fn victim(&self, number: u8, version: Version) -> Option<FlowId> {
        let table = self.tables.get(usize::from(number))?;
        let mut groups: std::collections::HashMap<Vec<u8>, Vec<FlowId>> = std::collections::HashMap::new();
        for rule in table.rules.iter(version) {
            let Some(flow) = table.rules.get(rule) else { continue };
            // Flows without timeouts stay, unless a controller asked for eviction.
            if flow.idle_timeout == 0 && flow.hard_timeout == 0 && !table.settings.eviction {
                continue;
            }
            let (_, key, mask) = table.rules.describe(rule)?;
            let mut name = Vec::new();
            for part in &table.settings.groups {
                let _ = mask;
                name.extend_from_slice(part.read(&field::read(&key, part.field, &self.tlv)).octets());
            }
            groups.entry(name).or_default().push(FlowId { table: number, rule });
        }
        let largest =
            groups.into_iter().max_by_key(|(name, flows)| (flows.len(), std::cmp::Reverse(name.clone())))?;
        largest.1.into_iter().min_by_key(|id| {
            let flow = table.rules.get(id.rule);
            let end = flow.map_or(u64::MAX, |flow| flow.deadline().unwrap_or(u64::MAX));
            (flow.map_or(0, |flow| flow.importance), end, id.rule)
        })
    }

    /// Deletes the flows that use something that is gone.
    pub(super) fn hide_users(
        &mut self,
        uses: impl Fn(&Flow) -> bool,
        reason: Removal,
        version: Version,
        done: &mut Vec<Done>,
    ) {
        let mut users = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            let rules = table.rules.iter(version);
            users.extend(
                rules
                    .filter(|rule| table.rules.get(*rule).is_some_and(|flow| uses(flow)))
                    .map(|rule| FlowId { table: number as u8, rule }),
            );
        }
        for flow in users {
            self.hide(flow, reason, 0, version, done);
        }
    }
}

/// The clauses that actions make a flow.
fn clauses(actions: &[Action]) -> Box<[Clause]> {
    if !any(actions, &|action| matches!(action, Action::Conjunction { .. })) {
        return Box::default();
    }
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Conjunction { id, clause, count } => {
                Some(Clause { id: *id, clause: *clause, of: *count })
            }
            _ => None,
        })
        .collect()
}
