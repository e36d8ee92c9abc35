//! Flows: changes of them, what they counted, those that went away, and monitors.

use super::super::flow_print::put_flow;
use super::super::number::{alt_hex, duration};
use super::super::{DEFAULT_PRIORITY, print_actions, print_flow_mod, print_match};
use super::{Printer, bits};
use crate::openflow::message::{
    ALL_TABLES, ANY_GROUP, AggregateStatistics, FlowChange, FlowCounters, FlowMod, FlowRemoved,
    FlowRemovedReason, FlowSelection, FlowStatistics, FlowUpdate, MonitorCommand, MonitorEvent, MonitorFlags,
    MonitorRequest,
};
use crate::openflow::{OfPort, Version};
use std::fmt::Write;

/// Why a flow went away.
pub(super) fn removed_reason(number: u8) -> String {
    match FlowRemovedReason::from_number(number) {
        Some(FlowRemovedReason::IdleTimeout) => "idle".to_owned(),
        Some(FlowRemovedReason::HardTimeout) => "hard".to_owned(),
        Some(FlowRemovedReason::Delete) => "delete".to_owned(),
        Some(FlowRemovedReason::GroupDelete) => "group_delete".to_owned(),
        Some(FlowRemovedReason::MeterDelete) => "meter_delete".to_owned(),
        Some(FlowRemovedReason::Eviction) => "eviction".to_owned(),
        None => number.to_string(),
    }
}

impl Printer<'_> {
    pub(super) fn flow_mod(&mut self, flow: &FlowMod) {
        let _ = write!(self.out, " {}", print_flow_mod(flow, self.version, self.names));
    }

    pub(super) fn flow_selection(&mut self, selection: &FlowSelection) {
        if selection.table != ALL_TABLES {
            let _ = write!(self.out, " table={}", self.names.print_table(selection.table));
        }
        if selection.out_port != OfPort::NONE {
            let _ = write!(self.out, " out_port={}", self.names.print_port(selection.out_port));
        }
        let _ = write!(self.out, " {}", print_match(&selection.matching, DEFAULT_PRIORITY, self.names));
    }

    pub(super) fn flows(&mut self, flows: &[FlowStatistics]) {
        for flow in flows {
            self.out.push_str("\n ");
            put_flow(&mut self.out, flow, true, self.names);
        }
    }

    /// Open vSwitch 3.1 does not know these: they look like its flows.
    pub(super) fn flow_counters(&mut self, flows: &[FlowCounters]) {
        for flow in flows {
            let age = flow.age.map_or_else(String::new, |age| {
                format!("duration={}, ", duration(age.seconds, age.nanoseconds))
            });
            let fields = print_match(&flow.matching, flow.priority, self.names);
            let table = self.names.print_table(flow.table);
            let _ = write!(
                self.out,
                "\n {age}table={table}, n_packets={}, n_bytes={}, {fields}",
                flow.packets, flow.bytes
            );
        }
    }

    pub(super) fn aggregate(&mut self, sums: &AggregateStatistics) {
        let AggregateStatistics { packets, bytes, flows, .. } = sums;
        let _ = write!(self.out, " packet_count={packets} byte_count={bytes} flow_count={flows}");
    }

    pub(super) fn flow_removed(&mut self, flow: &FlowRemoved) {
        let fields = print_match(&flow.matching, flow.priority, self.names);
        let _ = write!(self.out, " {fields} reason={}", removed_reason(flow.reason));
        if let Some(table) = flow.table {
            let _ = write!(self.out, " table_id={}", self.names.print_table(table));
        }
        if flow.cookie != 0 {
            let _ = write!(self.out, " cookie:{:#x}", flow.cookie);
        }
        let age = flow.age.map_or((0, 0), |age| (age.seconds, age.nanoseconds));
        let _ = write!(self.out, " duration{} idle{}", duration(age.0, age.1), flow.idle_timeout);
        if flow.hard_timeout != 0 {
            let _ = write!(self.out, " hard{}", flow.hard_timeout);
        }
        let _ = writeln!(self.out, " pkts{} bytes{}", flow.packets, flow.bytes);
    }

    pub(super) fn monitor(&mut self, monitor: &MonitorRequest) {
        if monitor.command == MonitorCommand::Delete {
            let _ = write!(self.out, "\n id={} command=delete", monitor.monitor);
            return;
        }
        let rest = monitor.flags.without(MonitorFlags::ALL).bits();
        let modern = self.version >= Version::V14;
        let flags = monitor.flags.words().map(|word| match word {
            "own" if modern => "no-abbrev",
            "only-own" => "own",
            other => other,
        });
        let flags = bits(flags, rest.into(), ",");
        let _ = write!(self.out, "\n id={} flags={flags}", monitor.monitor);
        if monitor.out_port != OfPort::NONE {
            let _ = write!(self.out, " out_port={}", self.names.print_port(monitor.out_port));
        }
        if !matches!(monitor.out_group, 0 | ANY_GROUP) {
            let _ = write!(self.out, " out_group={}", monitor.out_group);
        }
        if monitor.table != ALL_TABLES {
            let _ = write!(self.out, " table={}", self.names.print_table(monitor.table));
        }
        let fields = print_match(&monitor.matching, DEFAULT_PRIORITY, self.names);
        if !fields.is_empty() {
            let _ = write!(self.out, " {fields}");
        }
    }

    pub(super) fn flow_update(&mut self, update: &FlowUpdate) {
        self.put("\n event=");
        match update {
            FlowUpdate::Full(change) => self.flow_change(change),
            FlowUpdate::Abbreviated(number) => {
                let _ = write!(self.out, "ABBREV xid={number:#x}");
            }
            FlowUpdate::Paused => self.put("PAUSED"),
            FlowUpdate::Resumed => self.put("RESUMED"),
        }
    }

    fn flow_change(&mut self, change: &FlowChange) {
        match change.event {
            MonitorEvent::Initial => self.put("INITIAL"),
            MonitorEvent::Added => self.put("ADDED"),
            MonitorEvent::Modified => self.put("MODIFIED"),
            MonitorEvent::Removed => {
                let _ = write!(self.out, "DELETED reason={}", removed_reason(change.reason));
            }
        }
        let _ = write!(self.out, " table={}", self.names.print_table(change.table));
        for (name, seconds) in [("idle_timeout", change.idle_timeout), ("hard_timeout", change.hard_timeout)]
        {
            if seconds != 0 {
                let _ = write!(self.out, " {name}={seconds}");
            }
        }
        let fields = print_match(&change.matching, DEFAULT_PRIORITY, self.names);
        let _ = write!(self.out, " cookie={} {fields}", alt_hex(change.cookie));
        if !change.actions.is_empty() {
            let blank = if self.out.ends_with(' ') { "" } else { " " };
            let _ = write!(self.out, "{blank}actions={}", print_actions(&change.actions, self.names));
        }
    }
}
