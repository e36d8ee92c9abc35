//! Monitors of flows: who is told which changes (NXST_FLOW_MONITOR; OpenFlow 1.5, 7.3.5.19).
//!
//! Invariants: a peer that does not read is told no more than [`PAUSE`] octets beyond what it reads, and then only what went
//! that it knows of; when it has read all it is told what changed meanwhile.

use super::super::connection::Connection;
use super::super::ground::Ground;
use super::flows::Rules;
use super::{Handled, Turn};
use netloom_proto::openflow::message::{
    self, ALL_TABLES, FlowUpdate, Message, MonitorCommand, MonitorEvent, MonitorFlags, MonitorRequest,
    MultipartReply, Reply,
};
use netloom_proto::openflow::{Action, OfError, Version};
use netloom_vswitch::openflow::{Flow, FlowChange, FlowFilter, FlowView, Pipeline};
use std::collections::BTreeMap;

/// From so many octets to be written on monitors pause.
const PAUSE: usize = 128 << 10;
/// Monitors of a connection at most.
const MONITORS: usize = 1024;
/// Entries of an answer that are written at once.
const ENTRIES: usize = 1024;

/// The monitors of a connection.
#[derive(Debug, Default)]
pub(in super::super) struct Monitors {
    by_number: BTreeMap<u32, MonitorRequest>,
    /// When it was told that it reads too slowly, in nanoseconds.
    paused: Option<u64>,
}

impl Monitors {
    /// Whether there is none.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// Whether it reads too slowly.
    pub(in super::super) const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// What is wanted of a change of a flow; nothing, if nothing is.
    fn wanted(&self, change: MonitorFlags, view: &FlowView, before: Before<'_>) -> Option<MonitorFlags> {
        let fits =
            |monitor: &&MonitorRequest| monitor.flags.contains(change) && covers(monitor, view, before);
        let flags = self.by_number.values().filter(fits).map(|monitor| monitor.flags);
        flags.reduce(MonitorFlags::or)
    }
}

/// What a flow that changed did before.
type Before<'a> = Option<&'a [Action]>;

/// Whether a flow is one of those that a monitor is about, or was.
fn covers(monitor: &MonitorRequest, view: &FlowView, before: Before<'_>) -> bool {
    let within = |entry: &netloom_proto::openflow::matching::Entry| {
        view.matching.get(entry.field).is_some_and(|(value, mask)| {
            mask.and(&entry.mask) == entry.mask && value.and(&entry.mask) == entry.value
        })
    };
    (monitor.table == ALL_TABLES || monitor.table == view.table)
        && (view.flow.sends_to(monitor.out_port)
            || before.is_some_and(|actions| Flow::actions_send_to(actions, monitor.out_port)))
        && view.flow.uses_group(monitor.out_group)
        && monitor.matching.homes().iter().all(within)
}

fn entry(event: MonitorEvent, reason: u8, flags: MonitorFlags, view: &FlowView) -> FlowUpdate {
    let flow = &view.flow;
    FlowUpdate::Full(Box::new(message::FlowChange {
        event,
        reason,
        table: view.table,
        priority: u16::try_from(view.priority).unwrap_or(u16::MAX),
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        cookie: flow.cookie,
        matching: view.matching.clone(),
        actions: if flags.contains(MonitorFlags::ACTIONS) { flow.actions.to_vec() } else { Vec::new() },
    }))
}

/// What a connection is told of a change of a flow.
pub(in super::super) fn update(
    connection: &Connection,
    change: FlowChange,
    origin: u64,
    (view, before): (&FlowView, Before<'_>),
) -> Option<FlowUpdate> {
    let (event, kind, reason) = match change {
        FlowChange::Added => (MonitorEvent::Added, MonitorFlags::ADD, 0),
        FlowChange::Modified => (MonitorEvent::Modified, MonitorFlags::MODIFY, 0),
        FlowChange::Deleted(reason) => (MonitorEvent::Removed, MonitorFlags::DELETE, reason as u8),
    };
    let monitors = &connection.monitors;
    if let Some(since) = monitors.paused
        && (event != MonitorEvent::Removed || view.flow.created >= since)
    {
        return None;
    }
    let flags = monitors.wanted(kind, view, before)?;
    let own = origin != 0 && origin >> 32 == connection.token;
    let in_full = flags.contains(MonitorFlags::OWN_IN_FULL) || flags.contains(MonitorFlags::ONLY_OWN);
    if own && !in_full && !monitors.is_paused() {
        return Some(FlowUpdate::Abbreviated(origin as u32));
    }
    Some(entry(event, reason, flags, view))
}

/// Writes what monitors tell, without a request's number.
pub(in super::super) fn write(connection: &mut Connection, updates: Vec<FlowUpdate>, now: u64) {
    let reply = MultipartReply { more: false, reply: Reply::FlowMonitors(updates) };
    if let Err(error) = connection.session.send(0, &Message::MultipartReply(reply)) {
        tracing::debug!(%error, "a change of flows can't be told");
    }
    if !connection.monitors.is_paused() && connection.session.outgoing().len() > PAUSE {
        connection.monitors.paused = Some(now);
        say(connection, FlowUpdate::Paused, &Message::FlowMonitorPaused);
    }
}

/// Says something of all monitors: before version 1.4 by a message of its own.
fn say(connection: &mut Connection, update: FlowUpdate, message: &Message) {
    let version = connection.session.version().unwrap_or(Version::V10);
    let reply = Message::MultipartReply(Reply::FlowMonitors(vec![update]).into());
    let _ = connection.session.send(0, if version >= Version::V14 { &reply } else { message });
}

/// The flows of a monitor.
fn flows(pipeline: &Pipeline, rules: &Rules<'_>, monitor: &MonitorRequest) -> Result<Vec<FlowView>, OfError> {
    let mut matching = monitor.matching.clone();
    rules.fit(&mut matching)?;
    let filter = FlowFilter {
        matching,
        table: Some(monitor.table).filter(|table| *table != ALL_TABLES),
        out_port: monitor.out_port,
        out_group: monitor.out_group,
        ..FlowFilter::default()
    };
    let flows = pipeline.select(&filter).map_err(|_| OfError::OFPBMC_BAD_FIELD)?;
    Ok(flows.into_iter().filter_map(|id| pipeline.view(id)).collect())
}

impl<G: Ground> Turn<'_, G> {
    pub(super) fn monitor(&mut self, xid: u32, requests: Vec<MonitorRequest>, octets: &[u8]) -> Handled {
        let before = self.connection.monitors.by_number.clone();
        let mut fresh = Vec::new();
        for request in requests {
            if let Err(error) = self.take_monitor(&request) {
                // None of the new ones stays.
                let monitors = &mut self.connection.monitors.by_number;
                monitors.retain(|number, _| before.contains_key(number) && !fresh.contains(number));
                self.follow_monitors();
                self.connection.session.fail(octets, error);
                return Ok(());
            }
            if request.command != MonitorCommand::Delete {
                fresh.push(request.monitor);
            }
        }
        self.follow_monitors();
        let mut updates = Vec::new();
        for number in fresh {
            let Some(monitor) = self.connection.monitors.by_number.get(&number) else { continue };
            if monitor.flags.contains(MonitorFlags::INITIAL) {
                let rules = Rules { version: self.version(), lengths: &self.side.lengths };
                let views = self.look(|pipeline, _| flows(pipeline, &rules, monitor))??;
                let initial = |view: &FlowView| entry(MonitorEvent::Initial, 0, monitor.flags, view);
                updates.extend(views.iter().map(initial));
            }
        }
        self.write_updates(xid, updates)
    }

    fn write_updates(&mut self, xid: u32, mut updates: Vec<FlowUpdate>) -> Handled {
        loop {
            let rest = updates.split_off(updates.len().min(ENTRIES));
            let more = !rest.is_empty();
            let reply = MultipartReply { more, reply: Reply::FlowMonitors(updates) };
            self.connection.reply(xid, &Message::MultipartReply(reply))?;
            if !more {
                return Ok(());
            }
            updates = rest;
        }
    }

    fn take_monitor(&mut self, request: &MonitorRequest) -> Handled {
        let rules = Rules { version: self.version(), lengths: &self.side.lengths };
        let mut request = request.clone();
        rules.fit(&mut request.matching)?;
        let monitors = &mut self.connection.monitors.by_number;
        let known = monitors.contains_key(&request.monitor);
        match request.command {
            MonitorCommand::Add if known => return Err(OfError::OFPMOFC_MONITOR_EXISTS),
            MonitorCommand::Modify | MonitorCommand::Delete if !known => {
                return Err(OfError::OFPMOFC_UNKNOWN_MONITOR);
            }
            MonitorCommand::Delete => drop(monitors.remove(&request.monitor)),
            _ if monitors.len() >= MONITORS && !known => return Err(OfError::OFPMOFC_UNKNOWN),
            _ => drop(monitors.insert(request.monitor, request)),
        }
        Ok(())
    }

    pub(super) fn cancel_monitor(&mut self, number: u32) -> Handled {
        let gone = self.connection.monitors.by_number.remove(&number);
        self.follow_monitors();
        gone.map(drop).ok_or(OfError::OFPMOFC_UNKNOWN_MONITOR)
    }

    /// Has the tables tell of changes as long as somebody listens.
    fn follow_monitors(&mut self) {
        let listens = |token: &u64| self.others.get(token).is_some_and(|other| !other.monitors.is_empty());
        let anybody = !self.connection.monitors.is_empty() || self.side.connections.iter().any(listens);
        if self.side.monitored != anybody {
            self.side.monitored = anybody;
            let _ = self.work(|pipeline, _| pipeline.set_monitored(anybody));
        }
    }

    /// Tells what changed while the peer read too slowly, once it has read everything.
    pub(in super::super) fn resume_monitors(&mut self) {
        let Some(since) = self.connection.monitors.paused else { return };
        if !self.connection.session.outgoing().is_empty() {
            return;
        }
        let rules = Rules { version: self.version(), lengths: &self.side.lengths };
        let mut updates = Vec::new();
        for monitor in self.connection.monitors.by_number.values() {
            let views = self.look(|pipeline, _| flows(pipeline, &rules, monitor));
            for view in views.and_then(|views| views).unwrap_or_default() {
                let (event, kind) = if view.flow.created >= since {
                    (MonitorEvent::Added, MonitorFlags::ADD)
                } else if view.flow.modified >= since {
                    (MonitorEvent::Modified, MonitorFlags::MODIFY)
                } else {
                    continue;
                };
                if monitor.flags.contains(kind) {
                    updates.push(entry(event, 0, monitor.flags, &view));
                }
            }
        }
        self.connection.monitors.paused = None;
        if !updates.is_empty() {
            let _ = self.write_updates(0, updates);
        }
        say(self.connection, FlowUpdate::Resumed, &Message::FlowMonitorResumed);
    }
}
