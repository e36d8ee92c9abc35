//! Changes that are whole or not at all, and what comes of them.

use super::flow::{FlowMod, FlowView};
use super::group::{Group, GroupMod};
use super::meter::Meter;
use super::modify::Failure;
use super::{FlowId, Pipeline, group_tag, table_tag};
use netloom_proto::openflow::{Action, OfPort};
use netloom_table::classifier::{FOREVER, Version};
use std::sync::Arc;

/// One change of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Of flows.
    Flow(FlowMod),
    /// Of groups.
    Group(GroupMod),
}

/// Why a flow went (`OFPRR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Removal {
    /// No packet came for long.
    IdleTimeout = 0,
    /// Its time was over.
    HardTimeout = 1,
    /// Somebody deleted it.
    Delete = 2,
    /// Its group was deleted.
    GroupDelete = 3,
    /// Its meter was deleted.
    MeterDelete = 4,
    /// Its table was full.
    Eviction = 5,
}

/// A flow that is gone.
#[derive(Debug, Clone)]
pub struct FlowRemoved {
    /// It, as it was.
    pub flow: FlowView,
    /// Why it went.
    pub reason: Removal,
}

/// What happened to a flow, for monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowChange {
    /// It is new.
    Added,
    /// Its actions or its cookie changed.
    Modified,
    /// It is gone.
    Deleted(Removal),
}

/// What controllers, monitors and workers are to be told.
#[derive(Debug, Clone)]
pub enum Event {
    /// A flow went whose maker wants to know.
    Removed(Box<FlowRemoved>),
    /// A flow changed; only while [`Pipeline::set_monitored`] says that somebody listens.
    Flow {
        /// How.
        change: FlowChange,
        /// Which connection asked for it; 0 for none.
        origin: u64,
        /// The flow as it is, or was.
        flow: Box<FlowView>,
        /// What it did before, if it changed: monitors of a port want to know of flows that cease to send there.
        before: Option<Arc<[Action]>>,
    },
    /// A table has little room, or enough again.
    Vacancy {
        /// The table.
        table: u8,
        /// Enough again.
        up: bool,
    },
    /// Workers are to have this meter, or no meter, under a number.
    Meter {
        /// The number in programs ([`netloom_nf::Action::Police`]).
        number: u32,
        /// The meter.
        meter: Option<Box<Meter>>,
    },
}

/// What was done for a version that is not visible yet.
#[derive(Debug)]
pub(super) enum Done {
    Insert { flow: FlowId, replaced: Option<FlowId>, added: bool, origin: u64 },
    Remove { flow: FlowId, reason: Removal, origin: u64 },
    Group { number: u32, before: Option<Box<Group>> },
}

impl Pipeline {
    /// Makes changes, all or none. They become visible at once.
    ///
    /// # Errors
    /// Which of them can't be made, and why. Nothing is changed then.
    pub fn apply(&mut self, changes: &[Change], now: u64) -> Result<(), Failure> {
        self.now = now;
        let version = self.version + 1;
        let mut done = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            let result = match change {
                Change::Flow(flow) => self.modify(flow, version, &mut done),
                Change::Group(group) => self.modify_group(group, version, &mut done),
            };
            if let Err(error) = result {
                self.undo(done);
                return Err(Failure { index, error });
            }
        }
        self.commit(done, version);
        Ok(())
    }

    /// Makes one change of flows.
    ///
    /// # Errors
    /// Why it can't be made.
    pub fn flow_mod(&mut self, request: &FlowMod, now: u64) -> Result<(), Failure> {
        self.now = now;
        let version = self.version + 1;
        let mut done = Vec::new();
        match self.modify(request, version, &mut done) {
            Ok(()) => {
                self.commit(done, version);
                Ok(())
            }
            Err(error) => {
                self.undo(done);
                Err(Failure { index: 0, error })
            }
        }
    }

    /// Whether monitors want to hear of each change of a flow.
    pub fn set_monitored(&mut self, monitored: bool) {
        self.monitored = monitored;
    }

    fn undo(&mut self, done: Vec<Done>) {
        for step in done.into_iter().rev() {
            match step {
                Done::Insert { flow, replaced, .. } => {
                    let Some(table) = self.tables.get_mut(usize::from(flow.table)) else { continue };
                    table.rules.remove(flow.rule);
                    match replaced {
                        Some(replaced) => table.rules.hide(replaced.rule, FOREVER),
                        None => table.flows -= 1,
                    }
                }
                Done::Remove { flow, .. } => {
                    if let Some(table) = self.tables.get_mut(usize::from(flow.table)) {
                        table.rules.hide(flow.rule, FOREVER);
                        table.flows += 1;
                    }
                }
                Done::Group { number, before } => {
                    match before {
                        Some(group) => self.groups.insert(number, *group),
                        None => self.groups.remove(&number),
                    };
                }
            }
        }
    }

    pub(super) fn commit(&mut self, done: Vec<Done>, version: Version) {
        self.version = version;
        let mut orphans = Vec::new();
        for step in done {
            match step {
                Done::Insert { flow, replaced, added, origin } => {
                    self.touch(table_tag(self.number, flow.table));
                    let before = replaced.and_then(|id| self.flow(id)).map(|flow| flow.actions.clone());
                    if let Some(replaced) = replaced {
                        self.heirs.insert(replaced, (flow, self.now));
                        self.take_out(replaced, None, origin, &mut orphans);
                    }
                    self.teach(flow, true);
                    self.set_timer(flow);
                    if self.monitored
                        && let Some(view) = self.view(flow)
                    {
                        let change = if added { FlowChange::Added } else { FlowChange::Modified };
                        self.events.push(Event::Flow { change, origin, flow: Box::new(view), before });
                    }
                    self.watch_vacancy(flow.table);
                }
                Done::Remove { flow, reason, origin } => {
                    self.touch(table_tag(self.number, flow.table));
                    self.take_out(flow, Some(reason), origin, &mut orphans);
                    self.watch_vacancy(flow.table);
                }
                Done::Group { number, .. } => {
                    self.touch(group_tag(self.number, number));
                }
            }
        }
        self.delete_learned(orphans);
    }

    /// Takes a flow out that is not visible any more.
    fn take_out(&mut self, id: FlowId, reason: Option<Removal>, origin: u64, orphans: &mut Vec<(u64, u8)>) {
        orphans.extend(self.teach(id, false));
        if let Some(reason) = reason {
            let wanted = self.flow(id).is_some_and(|flow| flow.flags.has(super::Flags::SEND_FLOW_REM));
            if (wanted || self.monitored)
                && let Some(view) = self.view(id)
            {
                if self.monitored {
                    let flow = Box::new(view.clone());
                    let (change, before) = (FlowChange::Deleted(reason), None);
                    self.events.push(Event::Flow { change, origin, flow, before });
                }
                if wanted {
                    self.events.push(Event::Removed(Box::new(FlowRemoved { flow: view, reason })));
                }
            }
        }
        let Some(table) = self.tables.get_mut(usize::from(id.table)) else { return };
        if let Some(flow) = table.rules.remove(id.rule)
            && let Some(timer) = flow.timer
        {
            self.wheel.cancel(timer);
        }
    }

    /// Counts a flow that teaches with `delete_learned` in or out; gives those that nobody teaches any more.
    fn teach(&mut self, id: FlowId, more: bool) -> Vec<(u64, u8)> {
        let mut gone = Vec::new();
        let Some(flow) = self.tables.get(usize::from(id.table)).and_then(|table| table.rules.get(id.rule))
        else {
            return gone;
        };
        let lessons = flow.actions.iter().filter_map(|action| match action {
            Action::Learn(learn) if learn.delete_learned => Some((learn.cookie, learn.table)),
            _ => None,
        });
        for lesson in lessons {
            let count = self.teachers.entry(lesson).or_insert(0);
            if more {
                *count += 1;
            } else {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.teachers.remove(&lesson);
                    gone.push(lesson);
                }
            }
        }
        gone
    }

    /// Deletes what was learned from flows that are gone.
    fn delete_learned(&mut self, orphans: Vec<(u64, u8)>) {
        for (cookie, table) in orphans {
            if self.teachers.contains_key(&(cookie, table)) {
                continue;
            }
            let request = FlowMod {
                table: Some(table),
                cookie_filter: (cookie, u64::MAX),
                out_port: OfPort::NONE,
                ..FlowMod::new(super::Command::Delete)
            };
            // Deleting can't fail.
            let _ = self.flow_mod(&request, self.now);
        }
    }

    fn watch_vacancy(&mut self, number: u8) {
        let Some(table) = self.tables.get_mut(usize::from(number)) else { return };
        let (Some((down, up)), Some(vacancy)) = (table.settings.vacancy, table.vacancy()) else { return };
        if !table.is_crowded && vacancy < down {
            table.is_crowded = true;
            self.events.push(Event::Vacancy { table: number, up: false });
        } else if table.is_crowded && vacancy > up {
            table.is_crowded = false;
            self.events.push(Event::Vacancy { table: number, up: true });
        }
    }
}
