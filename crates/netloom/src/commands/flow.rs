//! `flow`, `group`, `meter`: what a switch is told by OpenFlow, over the socket of its bridge in the run directory.

use super::switchd::directory;
use crate::cli::{FlowCommand, GroupCommand, MeterCommand};
use crate::failure::Failure;
use crate::output::{Printer, put};
use crate::personality::appctl::living_socket;
use crate::personality::client::Stop;
use crate::personality::ofctl::native::Native;
use netloom_control::unixctl;
use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::{
    self, ALL_GROUPS, ALL_METERS, BandKind, FlowStatistics, Reply, Request,
};
use netloom_proto::openflow::text::{
    DEFAULT_PRIORITY, Names, lines, print_actions, print_group, print_match, print_meter,
};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// How long a trace may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::new(stop.message.unwrap_or_else(|| "the switch refused it".to_owned()))
    }
}

/// The flows of a file, each on a line.
fn from_file(file: &str) -> Result<Vec<String>, Failure> {
    let text = match file {
        "-" => std::io::read_to_string(std::io::stdin())?,
        path => std::fs::read_to_string(path).map_err(|error| Failure::new(format!("{path}: {error}")))?,
    };
    Ok(lines(&text).map(|line| line.text.to_owned()).collect())
}

/// Flows.
///
/// # Errors
/// What the switch says, or that there is none.
pub fn flow(run: Option<&Path>, printer: &Printer, command: &FlowCommand) -> Result<u8, Failure> {
    use message::FlowCommand as Change;
    let directory = directory(run);
    let native = |switch: &str| Native::new(&directory, switch);
    match command {
        FlowCommand::Add { switch, flows, file } => {
            let mut all = flows.clone();
            if let Some(file) = file {
                all.extend(from_file(file)?);
            }
            if all.is_empty() {
                return Err(Failure::new("no flow is given")
                    .help("netloom flow add SWITCH FLOW..., or --file FILE for a flow on each line"));
            }
            // A line may say what is to become of its flow.
            native(switch)?.change_flows(&all, None)?;
        }
        FlowCommand::Set { switch, flow, strict } => {
            let change = if *strict { Change::ModifyStrict } else { Change::Modify };
            native(switch)?.change_flows(std::slice::from_ref(flow), Some(change))?;
        }
        FlowCommand::Del { switch, flow, strict } => {
            let change = if *strict { Change::DeleteStrict } else { Change::Delete };
            native(switch)?.change_flows(&[flow.clone().unwrap_or_default()], Some(change))?;
        }
        FlowCommand::List { switch, flow } => {
            let mut native = native(switch)?;
            let flows = native.flows(flow.as_deref().unwrap_or_default())?;
            return list(printer, &flows, &native.names()?);
        }
        FlowCommand::Replace { switch, file } => native(switch)?.replace(file)?,
        FlowCommand::Diff { first, second } => return Ok(if native(first)?.differ(second)? { 2 } else { 0 }),
        FlowCommand::Trace { switch, flow } => return trace(&directory, switch, flow),
    }
    Ok(0)
}

fn list(printer: &Printer, flows: &[FlowStatistics], names: &Names) -> Result<u8, Failure> {
    let fields = |flow: &FlowStatistics| print_match(&flow.matching, DEFAULT_PRIORITY, names);
    if printer.is_machine() {
        let all: Vec<Value> = flows.iter().map(|flow| flow_json(flow, names)).collect();
        printer.machine(&all)?;
        return Ok(0);
    }
    let rows = flows.iter().map(|flow| {
        let state = &flow.state;
        [
            names.print_table(state.table),
            state.priority.to_string(),
            state.packets.to_string(),
            state.bytes.to_string(),
            state.age.map_or_else(String::new, |age| format!("{} s", age.seconds)),
            format!("{:#x}", state.cookie),
            fields(flow),
            print_actions(&flow.actions, names),
        ]
    });
    put(&printer.rows(["table", "priority", "packets", "octets", "age", "cookie", "match", "actions"], rows))?;
    Ok(0)
}

fn flow_json(flow: &FlowStatistics, names: &Names) -> Value {
    let state = &flow.state;
    json!({
        "table": state.table,
        "priority": state.priority,
        "cookie": format!("{:#x}", state.cookie),
        "match": print_match(&flow.matching, DEFAULT_PRIORITY, names),
        "actions": print_actions(&flow.actions, names),
        "packets": state.packets,
        "octets": state.bytes,
        "seconds": state.age.map(|age| age.seconds),
        "idle_timeout": state.idle_timeout,
        "hard_timeout": state.hard_timeout,
        "importance": state.importance,
        "flags": state.flags.words().collect::<Vec<_>>(),
    })
}

fn trace(directory: &Path, switch: &str, flow: &str) -> Result<u8, Failure> {
    let none = || {
        Failure::new(format!("no switch answers in {}", directory.display()))
            .help(format!("netloom --run {} switchd starts one", directory.display()))
    };
    let path = living_socket(directory, "ovs-vswitchd").ok_or_else(none)?;
    match unixctl::ask(&path, "ofproto/trace", &[switch, flow], PATIENCE)? {
        Ok(text) => put(&text)?,
        Err(text) => return Err(Failure::new(text.trim_end())),
    }
    Ok(0)
}

/// Groups.
///
/// # Errors
/// As [`flow`].
pub fn group(run: Option<&Path>, printer: &Printer, command: &GroupCommand) -> Result<u8, Failure> {
    use message::GroupCommand as Change;
    let directory = directory(run);
    let native = |switch: &str| Native::new(&directory, switch);
    match command {
        GroupCommand::Add { switch, groups } => native(switch)?.change_groups(groups, Change::Add)?,
        GroupCommand::Set { switch, group } => {
            native(switch)?.change_groups(std::slice::from_ref(group), Change::AddOrModify)?;
        }
        GroupCommand::Del { switch, group } => {
            native(switch)?.change_groups(&[group.clone().unwrap_or_default()], Change::Delete)?;
        }
        GroupCommand::List { switch } => {
            let mut native = native(switch)?;
            let names = native.names()?;
            let described = native.ask(Request::GroupDescriptions(ALL_GROUPS))?;
            let counted = native.ask(Request::Groups(ALL_GROUPS))?;
            return list_groups(printer, &described, &counted, &names);
        }
    }
    Ok(0)
}

fn list_groups(
    printer: &Printer,
    described: &[Reply],
    counted: &[Reply],
    names: &Names,
) -> Result<u8, Failure> {
    let all = described.iter().filter_map(|reply| match reply {
        Reply::GroupDescriptions(groups) => Some(groups),
        _ => None,
    });
    let counts: Vec<_> = counted
        .iter()
        .filter_map(|reply| match reply {
            Reply::Groups(groups) => Some(groups),
            _ => None,
        })
        .flatten()
        .collect();
    let mut rows = Vec::new();
    for group in all.flatten() {
        let count = counts.iter().find(|count| count.group == group.group);
        let (packets, octets) = count.map_or((0, 0), |count| (count.packets, count.bytes));
        rows.push((group.group, packets, octets, print_group(group, Version::V15, names)));
    }
    if printer.is_machine() {
        let json = |(group, packets, octets, text): &(u32, u64, u64, String)| json!({ "group": group, "packets": packets, "octets": octets, "description": text });
        printer.machine(&rows.iter().map(json).collect::<Vec<_>>())?;
    } else {
        let rows = rows.into_iter().map(|(group, packets, octets, text)| {
            [group.to_string(), packets.to_string(), octets.to_string(), text]
        });
        put(&printer.rows(["group", "packets", "octets", "description"], rows))?;
    }
    Ok(0)
}

/// Meters.
///
/// # Errors
/// As [`flow`].
pub fn meter(run: Option<&Path>, printer: &Printer, command: &MeterCommand) -> Result<u8, Failure> {
    let directory = directory(run);
    let native = |switch: &str| Native::new(&directory, switch);
    match command {
        MeterCommand::Add { switch, meter } => native(switch)?.meters("add", Some(meter))?,
        MeterCommand::Set { switch, meter } => native(switch)?.meters("set", Some(meter))?,
        MeterCommand::Del { switch, meter } => native(switch)?.meters("del", meter.as_deref())?,
        MeterCommand::List { switch } => {
            let mut native = native(switch)?;
            let described = native.ask(Request::MeterConfigs(ALL_METERS))?;
            let counted = native.ask(Request::Meters(ALL_METERS))?;
            return list_meters(printer, &described, &counted);
        }
    }
    Ok(0)
}

fn list_meters(printer: &Printer, described: &[Reply], counted: &[Reply]) -> Result<u8, Failure> {
    let counts: Vec<_> = counted
        .iter()
        .filter_map(|reply| match reply {
            Reply::Meters(meters) => Some(meters),
            _ => None,
        })
        .flatten()
        .collect();
    let all = described.iter().filter_map(|reply| match reply {
        Reply::MeterConfigs(meters) => Some(meters),
        _ => None,
    });
    let (mut rows, mut machine) = (Vec::new(), Vec::new());
    for meter in all.flatten() {
        let count = counts.iter().find(|count| count.meter == meter.meter);
        let (packets, octets) = count.map_or((0, 0), |count| (count.packets, count.bytes));
        let text =
            print_meter(meter).split_whitespace().collect::<Vec<_>>().join(" ").replace("bands= ", "bands=");
        rows.push([meter.meter.to_string(), packets.to_string(), octets.to_string(), text]);
        let bands = meter.bands.iter().map(|band| {
            let kind = if band.kind == BandKind::Drop { "drop" } else { "dscp_remark" };
            json!({ "type": kind, "rate": band.rate, "burst": band.burst })
        });
        machine.push(json!({
            "meter": meter.meter,
            "packets": packets,
            "octets": octets,
            "flags": meter.flags.words().collect::<Vec<_>>(),
            "bands": bands.collect::<Vec<_>>(),
        }));
    }
    if printer.is_machine() {
        printer.machine(&machine)?;
    } else {
        put(&printer.rows(["meter", "packets", "octets", "description"], rows.into_iter()))?;
    }
    Ok(0)
}
