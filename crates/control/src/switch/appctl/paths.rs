//! `dpif/...`, `dpctl/...`, `ofproto/list`, `upcall/...`: data paths, what is in them, and the flows that they know.

use super::super::configuration::PortConfiguration;
use super::super::odp::{self, Style};
use super::super::state::Switch;
use super::super::tunnels::is_tunnel;
use super::stations::known;
use super::view::{PathView, PortView};
use crate::unixctl::Commands;
use netloom_datapath::FlowReport;
use netloom_mem::PortNumber;
use netloom_proto::openflow::text::{Names, print_actions, print_match};
use netloom_table::Field;
use netloom_vswitch::openflow::FlowFilter;
use netloom_vswitch::openflow::translate::print_program;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The priority that a match is printed without.
const DEFAULT_PRIORITY: u16 = 0x8000;
/// Flows of a worker.
const FLOWS: u64 = 200_000;

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("ofproto/list", "", 0, 0, |switch, _| {
        Ok(switch.configuration.switches.keys().map(|name| format!("{name}\n")).collect())
    });
    commands.add("dpif/show", "", 0, 0, |switch, _| Ok(show(switch)));
    commands.add("dpif/dump-dps", "", 0, 0, |switch, _| {
        let paths = switch.paths();
        let line = |(path, bridges): (&String, &PathView)| -> String {
            let kind = path.split('@').next().unwrap_or_default().to_owned();
            bridges.keys().map(|name| format!("{kind}@{name}\n")).collect()
        };
        Ok(paths.iter().map(line).collect())
    });
    commands.add("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, 4, |switch, arguments| {
        let (options, rest): (Vec<&String>, Vec<&String>) =
            arguments.iter().partition(|text| text.starts_with('-'));
        let has = |name: &str| options.iter().any(|option| *option == name);
        let name = known(switch, rest.last().map_or("", |name| name.as_str()))?;
        let verbose = has("-m");
        let names = has("--names") || verbose && !has("--no-names");
        let ports = switch.views(&name);
        let lines = flows(switch, Some(&ports), verbose, names)?;
        Ok(lines.into_iter().flatten().collect())
    });
    commands.add("dpctl/dump-dps", "", 0, 0, |switch, _| {
        Ok(switch.paths().keys().map(|name| format!("{name}\n")).collect())
    });
    commands.add("dpctl/show", "[-s] [dp...]", 0, usize::MAX, |switch, arguments| {
        let (options, names): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|text| text.starts_with('-'));
        let paths = switch.paths();
        let mut text = String::new();
        for (path, bridges) in &paths {
            if names.is_empty() || names.iter().any(|name| is_path(path, name)) {
                text.push_str(&describe(switch, path, bridges, options.iter().any(|option| *option == "-s")));
            }
        }
        match names.iter().find(|name| !paths.keys().any(|path| is_path(path, name))) {
            Some(missing) => Err(format!(
                "{text}ovs-vswitchd: opening datapath {missing} failed (Address family not supported by protocol)"
            )),
            None => Ok(text),
        }
    });
    commands.add(
        "dpctl/dump-flows",
        "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]",
        0,
        6,
        |switch, arguments| {
            let has = |name: &str| arguments.iter().any(|option| option == name);
            let plain = arguments.iter().find(|text| !text.starts_with('-') && !text.contains('='));
            let paths = switch.paths();
            let ports: Vec<PortView> = match plain {
                Some(name) => match paths.iter().find(|(path, _)| is_path(path, name)) {
                    Some((_, bridges)) => bridges.values().flatten().cloned().collect(),
                    None => return Err("ovs-vswitchd: datapath not found (Invalid argument)".to_owned()),
                },
                None => paths.into_values().flat_map(|bridges| bridges.into_values().flatten()).collect(),
            };
            let verbose = has("-m");
            let lines =
                flows(switch, Some(&ports), verbose, has("--names") || verbose && !has("--no-names"))?;
            let mut text = String::new();
            let several = lines.len() > 1;
            for (worker, lines) in lines.into_iter().enumerate() {
                if lines.is_empty() {
                    continue;
                }
                match several {
                    false => text.push_str("flow-dump from the main thread:\n"),
                    true => {
                        let core = switch.cores.get(worker).copied().unwrap_or(worker);
                        // A string takes whatever is written.
                        let _ = writeln!(text, "flow-dump from pmd on cpu core: {core}");
                    }
                }
                text.extend(lines);
            }
            Ok(text)
        },
    );
    commands.add("dpctl/get-flow", "[dp] ufid", 1, 2, |switch, arguments| {
        let wanted = arguments.last().map_or("", String::as_str).trim_start_matches("ufid:");
        let all = switch.crew.flows().map_err(|error| error.to_string())?;
        let found = all.into_iter().flatten().find(|flow| ufid(flow) == wanted);
        let flow = found.ok_or("ovs-vswitchd: getting flow (No such file or directory)")?;
        Ok(line(flow, false, &|number| number.to_string()))
    });
    for (name, exact) in [("upcall/disable-megaflows", true), ("upcall/enable-megaflows", false)] {
        commands.add(name, "", 0, 0, move |switch, _| {
            switch.bridges.lock().exact = exact;
            forget(switch)?;
            Ok(format!("megaflows {}\n", if exact { "disabled" } else { "enabled" }))
        });
    }
    // Flows always have names here; nothing depends on who asks by them.
    for (name, word) in [("upcall/disable-ufid", "disabled"), ("upcall/enable-ufid", "enabled")] {
        commands.add(name, "", 0, 0, move |_, _| Ok(format!("Datapath dumping tersely using UFID {word}\n")));
    }
    commands.add("bridge/dump-flows", "[--offload-stats] bridge", 1, 2, |switch, arguments| {
        let name = known(switch, arguments.last().map_or("", String::as_str))?;
        tables(switch, &name)
    });
    commands.add("dpctl/del-flows", "[dp] [file]", 0, 1, |switch, _| forget(switch));
    commands.add("revalidator/purge", "", 0, 0, |switch, _| forget(switch));
    commands.add("revalidator/wait", "", 0, 0, |switch, _| {
        // Once the workers have answered, they have read what changed before.
        switch.crew.flows().map(|_| String::new()).map_err(|error| error.to_string())
    });
    commands.add("upcall/show", "", 0, 0, |switch, _| {
        let count = |switch: &mut Switch| switch.workers().iter().map(|worker| worker.flows).sum::<u64>();
        let flows = count(switch);
        let mut text = String::new();
        for path in switch.paths().keys() {
            // A string takes whatever is written.
            let _ = write!(
                text,
                "{path}:\n  flows         : (current {flows}) (avg {flows}) (max {flows}) (limit {FLOWS})\n  \
                 dump duration : 1ms\n  ufid enabled : true\n\n  0: (keys {flows})\n"
            );
        }
        Ok(text)
    });
    commands.add("dpctl/list-commands", "", 0, 0, |_, _| Ok("The available commands are:\n".to_owned()));
}

/// Whether a name means this data path: `TYPE@NAME`, or `NAME`.
pub(super) fn is_path(path: &str, name: &str) -> bool {
    path == name || path.split_once('@').is_some_and(|(_, short)| short == name)
}

/// Takes all flows back.
fn forget(switch: &mut Switch) -> Result<String, String> {
    switch.crew.changed_all();
    switch.crew.flows().map(|_| String::new()).map_err(|error| error.to_string())
}

/// Packets that a flow was found for, and those without one.
fn found(switch: &Switch) -> (u64, u64) {
    let workers = switch.workers();
    let hit = workers.iter().map(|worker| worker.signature_hits + worker.subtable_hits).sum();
    (hit, workers.iter().map(|worker| worker.misses).sum())
}

fn show(switch: &Switch) -> String {
    let (hit, missed) = found(switch);
    let mut text = String::new();
    for (path, bridges) in switch.paths() {
        // A string takes whatever is written.
        let _ = writeln!(text, "{path}: hit:{hit} missed:{missed}");
        for (bridge, ports) in bridges {
            let _ = writeln!(text, "  {bridge}:");
            for port in ports {
                let openflow = port.openflow;
                let number = if port.kind == "patch" { "none".to_owned() } else { port.number.to_string() };
                let _ =
                    writeln!(text, "    {} {openflow}/{number}: ({}{})", port.name, port.kind, port.details);
            }
        }
    }
    text
}

fn describe(switch: &Switch, path: &str, bridges: &PathView, counts: bool) -> String {
    let (hit, missed) = found(switch);
    let flows: u64 = switch.workers().iter().map(|worker| worker.flows).sum();
    let mut text = format!("{path}:\n  lookups: hit:{hit} missed:{missed} lost:0\n  flows: {flows}\n");
    let mut ports: Vec<&PortView> = bridges.values().flatten().filter(|port| port.kind != "patch").collect();
    ports.sort_by_key(|port| port.number);
    for port in ports {
        // A string takes whatever is written.
        let _ = writeln!(text, "  port {}: {} ({}{})", port.number, port.name, port.kind, port.details);
        if counts {
            let number = switch.configuration.ports.get(&port.name).map_or(0, |port| port.number);
            let totals = switch.crew.totals(number).unwrap_or_default();
            let _ = write!(
                text,
                "    RX packets:{} errors:? dropped:? overruns:? frame:?\n    \
                 TX packets:{} errors:? dropped:{} aborted:? carrier:?\n    collisions:?\n    \
                 RX bytes:{}  TX bytes:{}\n",
                totals.received, totals.sent, totals.unsent, totals.received_octets, totals.sent_octets,
            );
        }
    }
    text
}

/// Lines of flows whose packets come through some ports, by worker.
fn flows(
    switch: &mut Switch,
    ports: Option<&[PortView]>,
    verbose: bool,
    names: bool,
) -> Result<Vec<Vec<String>>, String> {
    let all = switch.crew.flows().map_err(|error| error.to_string())?;
    let known = by_number(switch);
    let label = |number: PortNumber| label(switch, &known, number, names);
    let chosen = |flow: &FlowReport| {
        let number = flow.key.get(Field::IN_PORT) as u32;
        let name = known.get(&number).map(|(name, _)| name.as_str());
        ports.is_none_or(|ports| ports.iter().any(|port| Some(port.name.as_str()) == name))
    };
    let line = |flow: FlowReport| line(flow, verbose, &label);
    Ok(all.into_iter().map(|flows| flows.into_iter().filter(&chosen).map(line).collect()).collect())
}

/// Ports by their number in the data path.
type Known<'a> = BTreeMap<u32, (&'a String, &'a PortConfiguration)>;

fn by_number(switch: &Switch) -> Known<'_> {
    switch.configuration.ports.iter().map(|(name, port)| (port.number, (name, port))).collect()
}

/// A port's number or name as the data path of Open vSwitch has it: tunnels of a kind share one.
fn label(switch: &Switch, known: &Known<'_>, number: PortNumber, names: bool) -> String {
    match known.get(&number) {
        Some((_, port)) if is_tunnel(&port.options) => {
            let (name, shared) = switch.shared_port(port);
            if names { name } else { shared.to_string() }
        }
        Some((name, _)) if names => (*name).clone(),
        _ => number.to_string(),
    }
}

/// A flow's line.
fn line(flow: FlowReport, verbose: bool, label: &dyn Fn(PortNumber) -> String) -> String {
    let style = Style { verbose, port: label };
    // To Open vSwitch the packet for which a flow was made is none of the flow's.
    let (packets, octets) = match flow.first.filter(|_| flow.packets > 0) {
        Some(first) => (flow.packets - 1, flow.octets.saturating_sub(first.into())),
        None => (flow.packets, flow.octets),
    };
    let used = match packets {
        0 => "never".to_owned(),
        _ => format!("{}.{:03}s", flow.idle / 1_000_000_000, flow.idle / 1_000_000 % 1000),
    };
    let ufid = if verbose { format!("ufid:{} ", ufid(&flow)) } else { String::new() };
    format!(
        "{ufid}{}, packets:{packets}, bytes:{octets}, used:{used}, actions:{}\n",
        odp::flow(&flow.key, &flow.mask, &style),
        print_program(&flow.program, &flow.key, label),
    )
}

/// All flows of a bridge's tables, those that are the switch's own too.
fn tables(switch: &mut Switch, name: &str) -> Result<String, String> {
    switch.desk().count().map_err(|error| error.to_string())?;
    let bridges = switch.bridges.lock();
    let number = bridges.number_of(name).ok_or("no such bridge")?;
    let pipeline = bridges.pipelines.get(&number).ok_or("no such bridge")?;
    let filter = FlowFilter { own: true, ..FlowFilter::default() };
    let flows = pipeline.select(&filter).map_err(|field| field.to_string())?;
    let mut text = String::new();
    for view in flows.into_iter().filter_map(|id| pipeline.view(id)) {
        let table = if view.table == 0 { String::new() } else { format!("table_id={}, ", view.table) };
        let mut matching = format!("priority={},", view.priority);
        // The priority is told apart: it may be above those of controllers.
        matching.push_str(&print_match(&view.matching, DEFAULT_PRIORITY, &Names::default()));
        let matching = matching.trim_end_matches([' ', ',']);
        // A string takes whatever is written.
        let _ = writeln!(
            text,
            "{table}duration={}s, n_packets={}, n_bytes={}, {matching},actions={}",
            view.duration / 1_000_000_000,
            view.flow.packets,
            view.flow.octets,
            print_actions(&view.flow.actions, &Names::default()),
        );
    }
    Ok(text)
}

/// A name for a flow that it has as long as it is there: a hash of what it is for.
fn ufid(flow: &FlowReport) -> String {
    let mut words = [0xcbf2_9ce4_8422_2325_u64, 0x9e37_79b9_7f4a_7c15];
    for (key, mask) in flow.key.words().iter().zip(flow.mask.words()) {
        for (place, word) in words.iter_mut().zip([key & mask, *mask]) {
            *place = (*place ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }
    let [high, low] = words;
    let tail = format!("{low:016x}");
    let (a, b) = tail.split_at(4);
    format!("{:08x}-{:04x}-{:04x}-{a}-{b}", high >> 32, high >> 16 & 0xffff, high & 0xffff)
}

/// Says in the log which flows came since this was called last, as tests of Open vSwitch look for them.
pub(super) fn log_new_flows(switch: &mut Switch) {
    let Ok(all) = switch.crew.flows() else { return };
    let mut lines = BTreeSet::new();
    let known = by_number(switch);
    let label = |number: PortNumber| label(switch, &known, number, false);
    for flow in all.into_iter().flatten() {
        let style = Style { verbose: false, port: &label };
        let id = ufid(&flow);
        let text = odp::flow(&flow.key, &flow.mask, &style);
        let actions = print_program(&flow.program, &flow.key, &label);
        lines.insert(format!("flow_add: ufid:{id} mega_ufid:{id} {text}, actions:{actions}"));
    }
    for line in lines.difference(&switch.logged_flows) {
        tracing::debug!(target: "dpif_netdev", "{line}");
    }
    switch.logged_flows = lines;
}
