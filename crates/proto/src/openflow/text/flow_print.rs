//! Flows printed: as a dump shows them, and as a change of flows is shown.

use super::super::message::{FlowCommand, FlowFlags, FlowMod, FlowStatistics};
use super::super::{OfPort, Version};
use super::names::Names;
use super::number::{put_alt_hex, put_decimal, put_duration};
use super::{action, match_print};
use std::fmt::Write;

/// Prints a flow as a dump shows it, with its statistics or (`--no-stats`) without. The blank that dumps have before each
/// flow is not part of it.
pub fn print_flow(flow: &FlowStatistics, statistics: bool, names: &Names) -> String {
    let mut out = String::new();
    put_flow(&mut out, flow, statistics, names);
    out
}

/// Appends what [`print_flow`] prints: a dump is one string.
pub(super) fn put_flow(out: &mut String, flow: &FlowStatistics, statistics: bool, names: &Names) {
    let state = &flow.state;
    let age = state.age.map_or((0, 0), |age| (age.seconds, age.nanoseconds));
    if statistics || state.cookie != 0 {
        out.push_str(if state.cookie == 0 { "cookie=0x" } else { "cookie=" });
        put_alt_hex(out, state.cookie);
        out.push_str(", ");
    }
    if statistics {
        out.push_str("duration=");
        put_duration(out, age.0, age.1);
        out.push_str(", ");
    }
    if statistics || state.table != 0 || names.has_table(state.table) {
        out.push_str("table=");
        names.put_table(out, state.table);
        out.push_str(", ");
    }
    if statistics {
        for (name, count) in [("n_packets=", state.packets), ("n_bytes=", state.bytes)] {
            if count != u64::MAX {
                term(out, name, count);
            }
        }
    }
    for (name, seconds) in [("idle_timeout=", state.idle_timeout), ("hard_timeout=", state.hard_timeout)] {
        if seconds != 0 {
            term(out, name, seconds);
        }
    }
    print_flags(out, state.flags);
    if state.importance != 0 {
        term(out, "importance=", state.importance);
    }
    if statistics {
        if let Some(seconds) = state.idle_age {
            term(out, "idle_age=", seconds);
        }
        if let Some(seconds) = state.hard_age.filter(|seconds| *seconds != age.0) {
            term(out, "hard_age=", seconds);
        }
    }
    let before = out.len();
    match_print::put(out, &flow.matching, state.priority, names);
    if out.len() > before {
        out.push(' ');
    }
    out.push_str("actions=");
    action::print::put_list(out, &flow.actions, names);
}

fn term(out: &mut String, name: &str, value: impl Into<u64>) {
    out.push_str(name);
    put_decimal(out, value);
    out.push_str(", ");
}

/// The words of flags, each with a blank behind it.
fn print_flags(out: &mut String, flags: FlowFlags) {
    for word in flags.words() {
        out.push_str(word);
        out.push(' ');
    }
}

/// Prints a change of flows as OVS's tools show the message: `ADD tcp,tp_src=123 actions=FLOOD`. Before version 1.2 it is
/// not said that counters begin anew, since nothing else can be said.
pub fn print_flow_mod(flow: &FlowMod, version: Version, names: &Names) -> String {
    let mut out = String::from(match flow.command {
        FlowCommand::Add => "ADD",
        FlowCommand::Modify => "MOD",
        FlowCommand::ModifyStrict => "MOD_STRICT",
        FlowCommand::Delete => "DEL",
        FlowCommand::DeleteStrict => "DEL_STRICT",
    });
    let table = flow.table.unwrap_or(0);
    if table != 0 || names.has_table(table) {
        let _ = write!(out, " table:{}", names.print_table(table));
    }
    out.push(' ');
    out.push_str(&match_print::print(&flow.matching, flow.priority, names));
    if !out.ends_with(' ') {
        out.push(' ');
    }
    if let Some(cookie) = flow.cookie.filter(|cookie| *cookie != 0 && *cookie != u64::MAX) {
        let _ = write!(out, "cookie:{cookie:#x} ");
    }
    if let Some((cookie, mask)) = flow.cookie_filter.filter(|(_, mask)| *mask != 0) {
        let _ = write!(out, "cookie:{cookie:#x}/{mask:#x} ");
    }
    for (name, value) in
        [("idle", flow.idle_timeout), ("hard", flow.hard_timeout), ("importance", flow.importance)]
    {
        if value != 0 {
            let _ = write!(out, "{name}:{value} ");
        }
    }
    if let Some(buffer) = flow.buffer {
        let _ = write!(out, "buf:{buffer:#x} ");
    }
    if flow.out_port != OfPort::NONE {
        let _ = write!(out, "out_port:{} ", names.print_port(flow.out_port));
    }
    let told = if version < Version::V12 { flow.flags.without(FlowFlags::RESET_COUNTS) } else { flow.flags };
    print_flags(&mut out, told);
    let _ = write!(out, "actions={}", action::print::list(&flow.actions, names));
    out
}
