//! `inspect` (`ps`): what is up, as the kernel has it now.

use super::{running, select, session};
use crate::cli::Output;
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_compile::InterfaceFacts;
use netloom_compile::object::{Behind, Desired, Key, LinkKind, LinkRef, Observed, Space, Spec};
use netloom_control::machine::Machine;
use netloom_control::platform::Platform;
use netloom_control::realm::Realm;
use netloom_control::store;
use netloom_wire::NodeName;
use serde::Serialize;
use std::collections::BTreeMap;

/// An interface as it is.
#[derive(Debug, Serialize)]
pub struct Row {
    node: String,
    interface: String,
    kind: String,
    state: String,
    addresses: Vec<String>,
    mac: Option<String>,
    mtu: Option<u32>,
    attached: Option<String>,
    /// What asked for it.
    part: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    topology: String,
    generation: Option<u64>,
    interfaces: Vec<Row>,
    processes: Vec<Process>,
}

#[derive(Debug, Serialize)]
struct Process {
    node: String,
    name: String,
    command: String,
    running: bool,
}

/// When nothing is up.
///
/// # Errors
/// When standard output can't be written.
pub fn nothing(printer: &Printer) -> Result<u8, Failure> {
    if printer.is_machine() {
        printer.machine(&Vec::<Report>::new())?;
    } else {
        put("nothing is up\n")?;
    }
    Ok(0)
}

/// Prints one topology, or all that are up.
///
/// # Errors
/// When nothing of that name is up, or the kernel can't be looked at.
pub fn run(realm: &Realm, printer: &Printer, wanted: Option<&str>) -> Result<u8, Failure> {
    let names = match wanted {
        Some(_) => vec![select::topology(realm, wanted)?],
        None => select::topologies(realm)?,
    };
    if names.is_empty() {
        return nothing(printer);
    }
    let mut reports = Vec::new();
    for name in &names {
        let name: NodeName = name.parse().map_err(Failure::new)?;
        let generation = store::peek(&realm.state_dir, &name).map_err(Failure::new)?;
        let number = generation.as_ref().map(|generation| generation.number);
        let desired = generation.map_or_else(|| Desired::new(name.clone()), |generation| generation.desired);
        let machine = session::machine(realm, &name)?;
        let observed = Platform::observe(&machine, &desired).map_err(Failure::new)?;
        let machines = match has_machines(&desired) {
            true => Machines::of(&machine, running::load(realm, name.as_str())?.compiled.interfaces),
            false => Machines::default(),
        };
        reports.push(report(&name, number, &desired, &observed, &machines));
    }
    if printer.is_machine() {
        printer.machine(&reports)?;
        return Ok(0);
    }
    for (index, report) in reports.iter().enumerate() {
        if index > 0 {
            put("\n")?;
        }
        print(printer, report)?;
    }
    Ok(0)
}

/// Prints what is up of one topology, from a look at the kernel that was made already.
///
/// # Errors
/// When standard output can't be written.
pub fn print_observed(
    printer: &Printer,
    name: &NodeName,
    number: Option<u64>,
    desired: &Desired,
    observed: &Observed,
    machines: &Machines,
) -> Result<(), Failure> {
    print(printer, &report(name, number, desired, observed, machines))
}

/// What is known of the interfaces of virtual machines.
#[derive(Debug, Default)]
pub struct Machines {
    facts: Vec<InterfaceFacts>,
    states: BTreeMap<LinkRef, String>,
}

impl Machines {
    /// Asks the switch how they are; one that does not answer knows of none.
    #[must_use]
    pub fn of(machine: &Machine, mut facts: Vec<InterfaceFacts>) -> Self {
        facts.retain(InterfaceFacts::is_machine);
        let states =
            if facts.is_empty() { BTreeMap::new() } else { machine.machine_states().unwrap_or_default() };
        Self { facts, states }
    }

    fn rows(&self, desired: &Desired) -> impl Iterator<Item = Row> {
        self.facts.iter().map(|facts| {
            let key = Key::SwitchPort { space: facts.at.space.clone(), link: facts.at.name.clone() };
            let state = self.states.get(&facts.at).map_or("down", String::as_str);
            Row {
                node: facts.at.space.to_string(),
                interface: facts.at.name.to_string(),
                kind: facts.kind.clone(),
                state: state.to_owned(),
                addresses: facts.addresses.iter().map(ToString::to_string).collect(),
                mac: facts.mac.map(|mac| mac.to_string()),
                mtu: facts.mtu,
                attached: facts.network.as_ref().map(|network| format!("switch {network}")),
                part: desired.objects.get(&key).map(|object| object.owner.part.to_string()),
            }
        })
    }
}

fn has_machines(desired: &Desired) -> bool {
    desired.objects.values().any(
        |object| matches!(&object.spec, Spec::SwitchPort(port) if matches!(port.behind, Behind::Socket(_))),
    )
}

fn report(
    name: &NodeName,
    generation: Option<u64>,
    desired: &Desired,
    observed: &Observed,
    machines: &Machines,
) -> Report {
    let mut addresses: BTreeMap<(&Space, &str), Vec<String>> = BTreeMap::new();
    for key in observed.objects.keys() {
        if let Key::Address { space, link, address } = key {
            addresses.entry((space, link.as_str())).or_default().push(address.to_string());
        }
    }
    let mut interfaces = Vec::new();
    for (key, object) in &observed.objects {
        let (Key::Link { space, name }, Spec::Link(link)) = (key, &object.spec) else { continue };
        let wanted = desired.objects.get(key);
        let port = Key::SwitchPort { space: space.clone(), link: name.clone() };
        let port = observed.objects.get(&port).map(|found| &found.spec);
        let attached = match (&link.kind, &link.controller) {
            _ if let Some(Spec::SwitchPort(port)) = port => Some(format!("switch {}", port.network)),
            (LinkKind::Veth { peer }, _) => Some(peer.to_string()),
            (_, Some(controller)) => Some(controller.to_string()),
            (LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. }, _) => {
                Some(parent.to_string())
            }
            _ => None,
        };
        interfaces.push(Row {
            node: space.to_string(),
            interface: name.to_string(),
            kind: link.kind.word().to_owned(),
            state: if link.up { "up" } else { "down" }.to_owned(),
            addresses: addresses.remove(&(space, name.as_str())).unwrap_or_default(),
            mac: link.mac.map(|mac| mac.to_string()),
            mtu: link.mtu,
            attached,
            part: wanted.map(|object| object.owner.part.to_string()),
        });
    }
    interfaces.extend(machines.rows(desired));
    let processes = desired
        .objects
        .iter()
        .filter_map(|(key, object)| match (key, &object.spec) {
            (Key::Process { space, name }, Spec::Process(process)) => Some(Process {
                node: space.to_string(),
                name: name.to_string(),
                command: process.command.join(" "),
                running: observed.objects.contains_key(key),
            }),
            _ => None,
        })
        .collect();
    Report { topology: name.to_string(), generation, interfaces, processes }
}

/// Above this many interfaces of switches the table leaves their ports out unless it is wide.
const MANY: usize = 60;

fn print(printer: &Printer, report: &Report) -> Result<(), Failure> {
    let number =
        report.generation.map_or_else(|| "no generation".to_owned(), |number| format!("generation {number}"));
    put(&format!(
        "{} {}\n",
        printer.paint(Tone::Strong, &report.topology),
        printer.paint(Tone::Dim, &format!("({number})"))
    ))?;
    let wide = printer.output == Output::Wide;
    let mut headings = vec!["node", "interface", "kind", "state", "addresses", "attached to"];
    if wide {
        headings.extend(["mac", "mtu", "asked for by"]);
    }
    let mut table = printer.table(&headings);
    let mut hidden = 0;
    let mut last = "";
    for row in &report.interfaces {
        // A switch's own ports say nothing that the other end does not say.
        if !wide && row.addresses.is_empty() && row.kind == "veth" && report.interfaces.len() > MANY {
            hidden += 1;
            continue;
        }
        let node = if last == row.node { "" } else { row.node.as_str() };
        last = &row.node;
        let tone = if row.state == "up" { Tone::Good } else { Tone::Bad };
        let mut cells = vec![
            printer.cell(Tone::Strong, node),
            printer.cell(Tone::Plain, &row.interface),
            printer.cell(Tone::Dim, &row.kind),
            printer.cell(tone, &row.state),
            printer.cell(Tone::Plain, row.addresses.join(" ")),
            printer.cell(Tone::Dim, row.attached.as_deref().unwrap_or_default()),
        ];
        if wide {
            cells.push(printer.cell(Tone::Dim, row.mac.as_deref().unwrap_or_default()));
            cells.push(printer.cell(Tone::Dim, row.mtu.map_or_else(String::new, |mtu| mtu.to_string())));
            cells.push(printer.cell(Tone::Dim, row.part.as_deref().unwrap_or_default()));
        }
        table.add_row(cells);
    }
    printer.print_table(&table)?;
    if hidden > 0 {
        put(&printer.paint(
            Tone::Dim,
            &format!("({hidden} ports without addresses not shown; -o wide shows all)\n"),
        ))?;
    }
    for process in &report.processes {
        let (tone, word) = if process.running { (Tone::Good, "running") } else { (Tone::Bad, "ended") };
        put(&format!(
            "{} {}: {} {}\n",
            process.node,
            process.name,
            printer.paint(tone, word),
            printer.paint(Tone::Dim, &process.command)
        ))?;
    }
    Ok(())
}
