//! `import ovs`: the topology that a host's Open vSwitch is, as a file.
//!
//! Invariants: nothing is changed, neither the database nor a switch. What is written was validated before.

use crate::cli::ImportOvsArgs;
use crate::failure::Failure;
use crate::output::{Printer, put};
use crate::personality::client::Done;
use crate::personality::ofctl::native::Native;
use crate::personality::vsctl::link::Link;
use netloom_control::import::{BridgeFlows, Imported, Source, import};
use netloom_control::ovsdb::DatabaseFile;
use netloom_model::document::Format;
use netloom_model::source::SourceFile;
use netloom_proto::openflow::message::{ALL_GROUPS, ALL_METERS, FlowStatistics, Reply, Request};
use netloom_proto::openflow::text::{
    DEFAULT_PRIORITY, Names, lines, print_actions, print_group, print_match, print_meter,
};
use netloom_proto::openflow::{OfPort, Version};
use netloom_proto::ovsdb::client::Wanted;
use netloom_proto::ovsdb::{OPEN_VSWITCH, Schema, UuidSource};
use netloom_wire::NodeName;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The database.
const DATABASE: &str = "Open_vSwitch";
/// Where Open vSwitch's own packages put it.
const USUAL: &str = "unix:/var/run/openvswitch/db.sock";

/// Imports.
///
/// # Errors
/// When the database can't be read, or a file can't be written.
pub fn ovs(printer: &Printer, arguments: &ImportOvsArgs) -> Result<u8, Failure> {
    let name: NodeName = arguments.name.parse().map_err(Failure::new)?;
    let database = arguments.db.as_deref().unwrap_or(USUAL);
    let (source, run) = match database.split_once(':') {
        Some(("unix" | "tcp", place)) => {
            let run = Path::new(place).parent().map(Path::to_owned);
            (of_server(database)?, run.filter(|_| database.starts_with("unix:")))
        }
        _ => (of_file(Path::new(database))?, None),
    };
    if !source.is_switch() {
        return Err(Failure::new(format!("{database} is not a database of Open vSwitch")));
    }
    // Once for the names of ports, by which flows are written.
    let named = import(&source, &name, &BTreeMap::new()).named;
    let mut flows = BTreeMap::new();
    for (bridge, ports) in source.bridges() {
        let mut own = match (&run, file_of(arguments, &bridge)) {
            (_, Some(file)) => of_dump(&file)?,
            (Some(run), None) => of_bridge(run, &bridge, &ports, &named),
            (None, None) => BridgeFlows {
                missing: Some("give `--flows BRIDGE=FILE`, as `ovs-ofctl dump-flows` writes it".to_owned()),
                ..BridgeFlows::default()
            },
        };
        if let (Some(directory), false) = (&arguments.flows_dir, own.lines.is_empty()) {
            own.file = Some(write_flows(directory, &bridge, &own.lines)?);
        }
        flows.insert(bridge, own);
    }
    let made = import(&source, &name, &flows);
    let file = SourceFile::new("imported.yaml", made.text.clone());
    if let Err(found) = netloom_model::load::load(&file, Format::Yaml, &BTreeMap::new()) {
        return Err(Failure::new(format!(
            "what came out does not validate, which is an error of ours: {found:?}"
        )));
    }
    match &arguments.to {
        Some(path) => {
            fs::write(path, &made.text)
                .map_err(|error| Failure::new(format!("{} can't be written: {error}", path.display())))?;
            tell(printer, path, &made)?;
        }
        None => put(&made.text)?,
    }
    Ok(0)
}

fn tell(printer: &Printer, path: &Path, made: &Imported) -> Result<(), Failure> {
    if printer.is_machine() {
        let left: Vec<String> =
            made.left.iter().map(|left| format!("{} {} {}", left.table, left.name, left.column)).collect();
        let sum = serde_json::json!({
            "file": path, "networks": made.networks, "ports": made.ports, "left": left,
        });
        return printer.machine(&sum).map_err(Failure::new);
    }
    let left = match made.left.len() {
        0 => "nothing is left".to_owned(),
        1 => "one thing that the language does not say is in a comment".to_owned(),
        count => format!("{count} things that the language does not say are in comments at its end"),
    };
    put(&format!("{}: {} networks, {} ports; {left}\n", path.display(), made.networks, made.ports))
        .map_err(Failure::new)
}

fn of_server(remote: &str) -> Result<Source, Failure> {
    let schema = Schema::parse(OPEN_VSWITCH).map_err(|error| Failure::new(error.to_string()))?;
    let wanted = schema
        .tables
        .iter()
        .map(|table| Wanted { table: table.name.to_string(), columns: None, condition: None })
        .collect();
    let link = Link::open(remote, DATABASE, wanted, false).map_err(Failure::from)?;
    Ok(Source::of_replica(&link.replica().map_err(Failure::from)?))
}

fn of_file(path: &Path) -> Result<Source, Failure> {
    let mut uuids = UuidSource::new([1, 0, 0, 0]);
    let database = DatabaseFile::peek(path, &mut uuids)
        .map_err(|error| Failure::new(error).help("--db unix:FILE for the socket of a server"))?;
    Ok(Source::of_database(&database))
}

/// The file of a bridge's flows that somebody has given.
fn file_of(arguments: &ImportOvsArgs, bridge: &str) -> Option<PathBuf> {
    let mut given = arguments.flows.iter().filter_map(|word| word.split_once('='));
    given.find(|(name, _)| *name == bridge).map(|(_, file)| PathBuf::from(file))
}

/// Flows as `ovs-ofctl dump-flows` writes them, without what they counted.
fn of_dump(path: &Path) -> Result<BridgeFlows, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{} can't be read: {error}", path.display())))?;
    let counted = ["duration=", "n_packets=", "n_bytes=", "idle_age=", "hard_age="];
    let flow = |line: &str| {
        let (fields, actions) = line.split_once(" actions=").unwrap_or((line, "drop"));
        let kept: Vec<&str> = fields
            .split([',', ' '])
            .filter(|word| !word.is_empty() && !counted.iter().any(|name| word.starts_with(name)))
            .collect();
        format!("{} actions={actions}", kept.join(","))
    };
    let all = lines(&text)
        .map(|line| line.text.trim())
        .filter(|line| !line.contains("_FLOW reply") && !line.contains("NXST_"));
    Ok(BridgeFlows { lines: all.map(flow).collect(), ..BridgeFlows::default() })
}

/// Flows, groups and meters of a bridge whose socket is in a run directory, with the names that its ports are given.
fn of_bridge(
    run: &Path,
    bridge: &str,
    ports: &[(i64, String)],
    named: &BTreeMap<String, String>,
) -> BridgeFlows {
    let mut names = Names::new();
    for (number, port) in ports {
        if let (Ok(number), Some(name)) = (u16::try_from(*number), named.get(port)) {
            names.port(OfPort(number), name);
        }
    }
    let ask = || -> Done<Vec<String>> {
        let mut native = Native::new(run, bridge)?;
        let flows = native.flows("")?;
        let mut list = Vec::new();
        // Versions without groups and meters have none.
        for reply in native.ask(Request::GroupDescriptions(ALL_GROUPS)).unwrap_or_default() {
            if let Reply::GroupDescriptions(groups) = reply {
                list.extend(
                    groups
                        .iter()
                        .map(|group| format!("# group {}", print_group(group, Version::V15, &names))),
                );
            }
        }
        for reply in native.ask(Request::MeterConfigs(ALL_METERS)).unwrap_or_default() {
            if let Reply::MeterConfigs(meters) = reply {
                let line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
                list.extend(meters.iter().map(|meter| format!("# meter {}", line(print_meter(meter)))));
            }
        }
        list.extend(flows.iter().map(|flow| flow_text(flow, &names)));
        Ok(list)
    };
    match ask() {
        // What every bridge has that nobody has told anything.
        Ok(lines) if lines == ["cookie=0x0,table=0,priority=0 actions=NORMAL"] => BridgeFlows::default(),
        Ok(lines) => BridgeFlows { lines, ..BridgeFlows::default() },
        Err(stop) => {
            let missing = stop.message.unwrap_or_else(|| "the bridge does not answer".to_owned());
            BridgeFlows { missing: Some(missing), ..BridgeFlows::default() }
        }
    }
}

fn flow_text(flow: &FlowStatistics, names: &Names) -> String {
    let state = &flow.state;
    let mut text = format!("cookie={:#x},table={},priority={}", state.cookie, state.table, state.priority);
    for (name, value) in [
        ("idle_timeout", state.idle_timeout),
        ("hard_timeout", state.hard_timeout),
        ("importance", state.importance),
    ] {
        if value != 0 {
            text.push_str(&format!(",{name}={value}"));
        }
    }
    for word in state.flags.words() {
        text.push_str(&format!(",{word}"));
    }
    let fields = print_match(&flow.matching, DEFAULT_PRIORITY, names);
    if !fields.is_empty() {
        text.push_str(&format!(",{fields}"));
    }
    format!("{text} actions={}", print_actions(&flow.actions, names).trim_start_matches("actions="))
}

fn write_flows(directory: &Path, bridge: &str, lines: &[String]) -> Result<String, Failure> {
    let legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let name: String = bridge.chars().map(|letter| if legal(letter) { letter } else { '-' }).collect();
    let path = directory.join(format!("{name}.flows"));
    let write = || {
        fs::create_dir_all(directory)?;
        fs::write(&path, lines.join("\n") + "\n")
    };
    write().map_err(|error| Failure::new(format!("{} can't be written: {error}", path.display())))?;
    Ok(path.display().to_string())
}
