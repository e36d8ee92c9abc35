//! Flows printed: as a dump shows them, and as a change of flows is shown.

use super::super::OfPort;
use super::super::action::Action;
use super::super::matching::Match;
use super::flow::{FlowCommand, FlowFlags, FlowText};
use super::names::Names;
use super::number::duration;
use super::{action, match_print};
use std::fmt::Write;

/// A flow as a switch tells it.
#[derive(Clone, Debug)]
pub struct FlowRecord<'f> {
    /// The cookie.
    pub cookie: u64,
    /// Since when it is there: seconds and nanoseconds.
    pub duration: (u32, u32),
    /// The table.
    pub table: u8,
    /// Its packets, if they are counted.
    pub packets: Option<u64>,
    /// Its octets, if they are counted.
    pub octets: Option<u64>,
    /// Seconds without packets after which it goes; 0 for never.
    pub idle_timeout: u16,
    /// Seconds after which it goes; 0 for never.
    pub hard_timeout: u16,
    /// Its flags.
    pub flags: FlowFlags,
    /// Its importance.
    pub importance: u16,
    /// Seconds since its last packet, if the switch tells.
    pub idle_age: Option<u32>,
    /// Seconds since its last change, if the switch tells.
    pub hard_age: Option<u32>,
    /// Its priority.
    pub priority: u16,
    /// What it matches.
    pub fields: &'f Match,
    /// What it does.
    pub actions: &'f [Action],
}

/// Prints a flow as a dump shows it, with its statistics or (`--no-stats`) without. The blank that dumps have before each
/// flow is not part of it.
pub fn print_flow(flow: &FlowRecord<'_>, statistics: bool, names: &Names) -> String {
    let mut out = String::new();
    let mut term = |name: &str, value: String| {
        let _ = write!(out, "{name}={value}, ");
    };
    if statistics || flow.cookie != 0 {
        term("cookie", format!("{:#x}", flow.cookie));
    }
    if statistics {
        term("duration", duration(flow.duration.0, flow.duration.1));
    }
    if statistics || flow.table != 0 || names.has_table(flow.table) {
        term("table", names.print_table(flow.table));
    }
    if statistics {
        for (name, count) in [("n_packets", flow.packets), ("n_bytes", flow.octets)] {
            if let Some(count) = count {
                term(name, count.to_string());
            }
        }
    }
    if flow.idle_timeout != 0 {
        term("idle_timeout", flow.idle_timeout.to_string());
    }
    if flow.hard_timeout != 0 {
        term("hard_timeout", flow.hard_timeout.to_string());
    }
    out.push_str(&print_flags(flow.flags));
    let mut term = |name: &str, value: u32| {
        let _ = write!(out, "{name}={value}, ");
    };
    if flow.importance != 0 {
        term("importance", flow.importance.into());
    }
    if statistics {
        if let Some(age) = flow.idle_age {
            term("idle_age", age);
        }
        if let Some(age) = flow.hard_age.filter(|age| *age != flow.duration.0) {
            term("hard_age", age);
        }
    }
    let fields = match_print::print(flow.fields, flow.priority, names);
    out.push_str(&fields);
    if !fields.is_empty() {
        out.push(' ');
    }
    let _ = write!(out, "actions={}", action::print::list(flow.actions, names));
    out
}

/// The words of flags, each with a blank behind it.
fn print_flags(flags: FlowFlags) -> String {
    [
        (flags.send_flow_rem, "send_flow_rem "),
        (flags.check_overlap, "check_overlap "),
        (flags.reset_counts, "reset_counts "),
        (flags.no_packet_counts, "no_packet_counts "),
        (flags.no_byte_counts, "no_byte_counts "),
    ]
    .into_iter()
    .filter(|(set, _)| *set)
    .map(|(_, word)| word)
    .collect()
}

/// Prints a change of flows as OVS's tools show the message: `ADD tcp,tp_src=123 actions=FLOOD`. A flow that names no
/// table is shown with table 255 by those forms of OpenFlow that carry tables.
pub fn print_flow_mod(flow: &FlowText, names: &Names) -> String {
    let mut out = String::from(match flow.command {
        FlowCommand::Add => "ADD",
        FlowCommand::Modify => "MOD",
        FlowCommand::ModifyStrict => "MOD_STRICT",
        FlowCommand::Delete => "DEL",
        FlowCommand::DeleteStrict => "DEL_STRICT",
        FlowCommand::Look => "LOOK",
    });
    if flow.table != 0 || names.has_table(flow.table) {
        let _ = write!(out, " table:{}", names.print_table(flow.table));
    }
    out.push(' ');
    out.push_str(&match_print::print(&flow.fields, flow.priority, names));
    if !out.ends_with(' ') {
        out.push(' ');
    }
    if let Some(cookie) = flow.cookie.filter(|cookie| *cookie != 0 && *cookie != u64::MAX) {
        let _ = write!(out, "cookie:{cookie:#x} ");
    }
    let (cookie, mask) = flow.match_cookie;
    if mask != 0 {
        let _ = write!(out, "cookie:{cookie:#x}/{mask:#x} ");
    }
    for (name, value) in
        [("idle", flow.idle_timeout), ("hard", flow.hard_timeout), ("importance", flow.importance)]
    {
        if value != 0 {
            let _ = write!(out, "{name}:{value} ");
        }
    }
    if flow.out_port != OfPort::NONE {
        let _ = write!(out, "out_port:{} ", names.print_port(flow.out_port));
    }
    out.push_str(&print_flags(flow.flags));
    let _ = write!(out, "actions={}", action::print::list(&flow.actions, names));
    out
}
