//! Time and counts: flows that end, and packets that are credited to them.

use super::change::Removal;
use super::flow::{Flags, Flow, FlowMod};
use super::{FlowId, Pipeline};

const SECOND: u64 = 1_000_000_000;
/// For so long counts of a flow that was replaced may still come in.
const LATE: u64 = 15 * SECOND;

impl Flow {
    /// When it goes, if no packet comes.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        let after = |from: u64, seconds: u16| {
            (seconds != 0).then(|| from.saturating_add(u64::from(seconds) * SECOND))
        };
        match (after(self.used, self.idle_timeout), after(self.modified, self.hard_timeout)) {
            (Some(idle), Some(hard)) => Some(idle.min(hard)),
            (idle, hard) => idle.or(hard),
        }
    }

    fn is_over(&self, now: u64) -> Option<Removal> {
        let over =
            |from: u64, seconds: u16| seconds != 0 && now >= from.saturating_add(u64::from(seconds) * SECOND);
        if over(self.modified, self.hard_timeout) {
            Some(Removal::HardTimeout)
        } else {
            over(self.used, self.idle_timeout).then_some(Removal::IdleTimeout)
        }
    }
}

impl Pipeline {
    pub(super) fn set_timer(&mut self, id: FlowId) {
        let Some(flow) =
            self.tables.get_mut(usize::from(id.table)).and_then(|table| table.rules.get_mut(id.rule))
        else {
            return;
        };
        if let Some(timer) = flow.timer.take() {
            self.wheel.cancel(timer);
        }
        if let Some(deadline) = flow.deadline() {
            // Beyond the limit a flow stays until it is deleted.
            flow.timer = self.wheel.set(deadline, id).ok();
        }
    }

    /// Ends flows whose time is over. To be called about once a second, after counts were credited.
    pub fn tick(&mut self, now: u64) {
        self.now = self.now.max(now);
        let version = self.version + 1;
        let mut done = Vec::new();
        while let Some(id) = self.wheel.pop(now) {
            let table = self.tables.get_mut(usize::from(id.table));
            let Some(flow) = table.and_then(|table| table.rules.get_mut(id.rule)) else { continue };
            flow.timer = None;
            match flow.is_over(now) {
                Some(reason) => self.hide(id, reason, 0, version, &mut done),
                None => self.set_timer(id),
            }
        }
        if !done.is_empty() {
            self.commit(done, version);
        }
        self.heirs.retain(|_, (_, since)| now.saturating_sub(*since) < LATE);
        self.frozen.age(now);
    }

    /// When [`Pipeline::tick`] has something to do at the earliest.
    #[must_use]
    pub fn next_tick(&self) -> Option<u64> {
        self.wheel.next()
    }

    /// Counts packets for a flow, as they came with a flow of the data path.
    pub fn credit_flow(&mut self, id: FlowId, packets: u64, octets: u64, used: u64) {
        let mut id = id;
        while self.flow(id).is_none() {
            match self.heirs.get(&id) {
                Some((heir, _)) => id = *heir,
                None => return,
            }
        }
        let table = self.tables.get_mut(usize::from(id.table));
        if let Some(flow) = table.and_then(|table| table.rules.get_mut(id.rule)) {
            if !flow.flags.has(Flags::NO_PACKET_COUNTS) {
                flow.packets += packets;
            }
            if !flow.flags.has(Flags::NO_OCTET_COUNTS) {
                flow.octets += octets;
            }
            flow.used = flow.used.max(used);
        }
    }

    /// Shortens a flow's timeouts, since a connection ends (`fin_timeout`).
    pub fn shorten(&mut self, id: FlowId, idle: u16, hard: u16) {
        let table = self.tables.get_mut(usize::from(id.table));
        let Some(flow) = table.and_then(|table| table.rules.get_mut(id.rule)) else { return };
        let shorter = |old: u16, new: u16| if new != 0 && (old == 0 || new < old) { new } else { old };
        let (new_idle, new_hard) = (shorter(flow.idle_timeout, idle), shorter(flow.hard_timeout, hard));
        if (new_idle, new_hard) != (flow.idle_timeout, flow.hard_timeout) {
            (flow.idle_timeout, flow.hard_timeout) = (new_idle, new_hard);
            self.set_timer(id);
        }
    }

    /// Counts packets for a bucket of a group, or for the group itself ([`super::group::ALL_BUCKETS`]).
    pub fn credit_group(&mut self, group: u32, bucket: u32, packets: u64, octets: u64) {
        if let Some(group) = self.groups.get_mut(&group) {
            if bucket == super::group::ALL_BUCKETS {
                group.packets += packets;
                group.octets += octets;
            }
            if let Some(bucket) = group.buckets.iter_mut().find(|known| known.id == bucket) {
                bucket.packets += packets;
                bucket.octets += octets;
            }
        }
    }

    /// Counts how often a table was asked.
    pub fn credit_table(&mut self, table: u8, matched: u64, missed: u64) {
        if let Some(table) = self.tables.get_mut(usize::from(table)) {
            table.matched += matched;
            table.missed += missed;
        }
    }
}

/// Whether a flow that was learned is there as it would be learned now.
pub(super) fn knows(pipeline: &Pipeline, lesson: &FlowMod) -> bool {
    same(pipeline, lesson).is_some()
}

/// The flow of a lesson's match, priority, actions and cookie.
fn same(pipeline: &Pipeline, lesson: &FlowMod) -> Option<FlowId> {
    let number = lesson.table?;
    let (key, mask) = super::field::to_key(&lesson.matching, &pipeline.tlv).ok()?;
    let table = pipeline.tables.get(usize::from(number))?;
    let rule = table.rules.exact(u32::from(lesson.priority), &key, &mask, pipeline.version)?;
    let flow = table.rules.get(rule)?;
    let equal = flow.actions == lesson.actions
        && Some(flow.cookie) == lesson.cookie
        && (flow.idle_timeout, flow.hard_timeout) == (lesson.idle_timeout, lesson.hard_timeout);
    equal.then_some(FlowId { table: number, rule })
}

/// Learns a flow. One that is there as it would be learned lives on as if it were new, and nothing else changes.
pub(super) fn learn(pipeline: &mut Pipeline, lesson: &FlowMod, now: u64) {
    match same(pipeline, lesson) {
        Some(id) => {
            let table = pipeline.tables.get_mut(usize::from(id.table));
            if let Some(flow) = table.and_then(|table| table.rules.get_mut(id.rule)) {
                flow.modified = flow.modified.max(now);
                flow.used = flow.used.max(now);
            }
        }
        // A table that is full learns nothing more.
        None => drop(pipeline.flow_mod(lesson, now)),
    }
}
