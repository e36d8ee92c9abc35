//! `switch`, `port`, `fdb`, `flows`, `top`: what a running switch is asked.

use super::changes;
use super::switchd::directory;
use crate::cli::{Assignment, FdbCommand, MirrorCommand, Output, PortCommand, SwitchCommand};
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_control::switch::{
    EventKind, Options, PortStatus, Reply, Request, SwitchSocket, SwitchStatus, WorkerStatus, ask,
};
use netloom_wire::MacAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Asks the daemon; its refusals become failures.
pub(super) fn request(run: Option<&Path>, request: &Request) -> Result<Reply, Failure> {
    let directory = directory(run);
    let socket = SwitchSocket::within(&directory);
    match ask(&socket, request) {
        Ok(Reply::Failed { message }) => Err(Failure::new(message)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(Failure::new(format!("no switch answers on {}: {error}", socket.path().display()))
            .help(format!("netloom --run {} switchd starts one", directory.display()))),
    }
}

pub(super) fn options(assignments: &[Assignment]) -> Options {
    assignments.iter().cloned().collect()
}

pub(super) fn words(options: &Options) -> String {
    options.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// Switches.
///
/// # Errors
/// What the daemon says, or that there is none.
pub fn switch(run: Option<&Path>, printer: &Printer, command: &SwitchCommand) -> Result<u8, Failure> {
    let reply = match command {
        SwitchCommand::Add { name, options: given } => {
            request(run, &Request::SwitchAdd { name: name.clone(), options: options(given) })?
        }
        SwitchCommand::Set { name, options: given } => {
            request(run, &Request::SwitchSet { name: name.clone(), options: options(given) })?
        }
        SwitchCommand::Del { name } => request(run, &Request::SwitchDelete { name: name.clone() })?,
        SwitchCommand::List => request(run, &Request::SwitchList)?,
        SwitchCommand::Show { name: Some(name) } => return show_switch(run, printer, name),
        SwitchCommand::Show { name: None } => return show_switches(run, printer),
        SwitchCommand::AddPort { switch, name, options } => {
            let (switch, name, options) = (switch.clone(), name.clone(), options.clone());
            return port(run, printer, &PortCommand::Add { switch, name, options });
        }
        SwitchCommand::DelPort { name } => {
            return port(run, printer, &PortCommand::Del { name: name.clone() });
        }
        SwitchCommand::Stop => request(run, &Request::Stop)?,
        SwitchCommand::Watch(watch) => return changes::watch(run, printer, &[], watch),
        SwitchCommand::Upgrade { program } => {
            // The daemon has another working directory.
            let program = program.as_deref().map(std::path::absolute).transpose()?;
            request(run, &Request::Upgrade { program })?
        }
    };
    let Reply::Switches(switches) = reply else { return Ok(0) };
    if printer.is_machine() {
        printer.machine(&switches)?;
    } else {
        let rows = switches.iter().map(|switch| {
            [
                switch.name.clone(),
                switch.ports.len().to_string(),
                switch.stations.to_string(),
                switch.root.clone().unwrap_or_default(),
                switch.ports.join(" "),
                words(&switch.options),
            ]
        });
        put(&printer.rows(["switch", "ports", "stations", "root", "names", "options"], rows))?;
    }
    Ok(0)
}

fn find_switch(run: Option<&Path>, name: &str) -> Result<SwitchStatus, Failure> {
    let Reply::Switches(switches) = request(run, &Request::SwitchList)? else {
        return Err(Failure::new("the switch gave another answer than the list of its bridges"));
    };
    let known = names(switches.iter().map(|switch| &switch.name));
    let found = switches.into_iter().find(|switch| switch.name == name);
    found.ok_or_else(|| {
        Failure::new(format!("there is no switch `{name}`")).help(format!("switches: {known}"))
    })
}

fn show_switch(run: Option<&Path>, printer: &Printer, name: &str) -> Result<u8, Failure> {
    let switch = find_switch(run, name)?;
    if printer.is_machine() {
        printer.machine(&switch)?;
        return Ok(0);
    }
    let mut rows = vec![("switch", switch.name.clone()), ("stations", switch.stations.to_string())];
    rows.extend(switch.root.iter().map(|root| ("root", root.clone())));
    rows.extend(switch.ports.iter().map(|port| ("port", port.clone())));
    rows.extend(switch.options.iter().map(|(name, value)| ("option", format!("{name}={value}"))));
    put(&rows.into_iter().map(|(name, text)| format!("{name:<12}{text}\n")).collect::<String>())?;
    Ok(0)
}

/// All switches with their ports, as a tree.
fn show_switches(run: Option<&Path>, printer: &Printer) -> Result<u8, Failure> {
    let other = || Failure::new("the switch gave another answer than its lists");
    let Reply::Switches(switches) = request(run, &Request::SwitchList)? else { return Err(other()) };
    let Reply::Ports(ports) = request(run, &Request::PortList { switch: None })? else { return Err(other()) };
    let of =
        |switch: &SwitchStatus| ports.iter().filter(|port| port.switch == switch.name).collect::<Vec<_>>();
    if printer.is_machine() {
        let tree = |switch: &SwitchStatus| serde_json::json!({ "switch": switch, "ports": of(switch) });
        printer.machine(&switches.iter().map(tree).collect::<Vec<_>>())?;
        return Ok(0);
    }
    let mut text = String::new();
    for switch in &switches {
        text.push_str(format!("switch {}  {}", switch.name, words(&switch.options)).trim_end());
        text.push('\n');
        for port in of(switch) {
            let line = format!("    port {}  {}  {}", port.name, port.state, words(&port.options));
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    put(&text)?;
    Ok(0)
}

/// Names in a row, for who named one that is not among them.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { "there is none".to_owned() } else { names.join(", ") }
}

/// Ports.
///
/// # Errors
/// As [`switch`].
pub fn port(run: Option<&Path>, printer: &Printer, command: &PortCommand) -> Result<u8, Failure> {
    let reply = match command {
        PortCommand::Add { switch, name, options: given } => request(
            run,
            &Request::PortAdd { switch: switch.clone(), name: name.clone(), options: options(given) },
        )?,
        PortCommand::Set { name, options: given } => {
            request(run, &Request::PortSet { name: name.clone(), options: options(given) })?
        }
        PortCommand::Del { name } => request(run, &Request::PortDelete { name: name.clone() })?,
        PortCommand::List { switch } => request(run, &Request::PortList { switch: switch.clone() })?,
        PortCommand::Show { name } => return show_port(run, printer, name),
        PortCommand::Watch(watch) => {
            return changes::watch(run, printer, &[EventKind::Port, EventKind::Tree], watch);
        }
    };
    let Reply::Ports(ports) = reply else { return Ok(0) };
    if printer.is_machine() {
        printer.machine(&ports)?;
    } else {
        let row = |port: &PortStatus| {
            let lost: u64 = port.dropped.values().sum::<u64>() + port.unsent;
            let workers: Vec<String> = port.queues.iter().map(|queue| queue.worker.to_string()).collect();
            [
                port.name.clone(),
                port.switch.clone(),
                port.state.clone(),
                port.tree.clone(),
                port.received.to_string(),
                port.sent.to_string(),
                lost.to_string(),
                workers.join(" "),
                words(&port.options),
            ]
        };
        if printer.output == Output::Wide {
            let rows = ports.iter().map(|port| {
                let [name, switch, state, tree, received, sent, lost, workers, options] = row(port);
                let why: Vec<String> =
                    port.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
                let (why, neighbours) = (why.join(", "), port.neighbours.join(", "));
                let details = words(&port.details);
                [name, switch, state, tree, received, sent, lost, why, workers, neighbours, options, details]
            });
            let heads = [
                "port",
                "switch",
                "state",
                "tree",
                "received",
                "sent",
                "lost",
                "dropped",
                "workers",
                "neighbours",
                "options",
                "details",
            ];
            put(&printer.rows(heads, rows))?;
        } else {
            let heads = ["port", "switch", "state", "tree", "received", "sent", "lost", "workers", "options"];
            put(&printer.rows(heads, ports.iter().map(row)))?;
        }
    }
    Ok(0)
}

/// The port of a name.
pub(super) fn find_port(run: Option<&Path>, name: &str) -> Result<PortStatus, Failure> {
    let Reply::Ports(ports) = request(run, &Request::PortList { switch: None })? else {
        return Err(Failure::new("the switch gave another answer than the list of its ports"));
    };
    let known = names(ports.iter().map(|port| &port.name));
    let found = ports.into_iter().find(|port| port.name == name);
    found.ok_or_else(|| Failure::new(format!("there is no port `{name}`")).help(format!("ports: {known}")))
}

fn show_port(run: Option<&Path>, printer: &Printer, name: &str) -> Result<u8, Failure> {
    let port = find_port(run, name)?;
    if printer.is_machine() {
        printer.machine(&port)?;
        return Ok(0);
    }
    let mut rows = vec![
        ("port", format!("{} (number {})", port.name, port.number)),
        ("switch", port.switch.clone()),
        ("state", port.state.clone()),
        ("tree", port.tree.clone()),
        ("neighbours", port.neighbours.join(", ")),
        ("received", format!("{} packets, {} octets", port.received, port.received_octets)),
        ("sent", format!("{} packets, {} octets", port.sent, port.sent_octets)),
        ("not sent", format!("{} packets", port.unsent)),
    ];
    rows.extend(port.queues.iter().map(|queue| {
        let each = queue.busy_ns.checked_div(queue.packets).unwrap_or(0);
        ("queue", format!("at worker {}: {} packets, about {each} ns each", queue.worker, queue.packets))
    }));
    rows.extend(port.dropped.iter().map(|(reason, count)| ("dropped", format!("{count} {reason}"))));
    rows.extend(port.links.iter().map(|link| ("link", super::link::sentence(link))));
    rows.extend(port.options.iter().map(|(name, value)| ("option", format!("{name}={value}"))));
    let rows = rows.into_iter().filter(|(_, text)| !text.is_empty());
    put(&rows.map(|(name, text)| format!("{name:<12}{text}\n")).collect::<String>())?;
    Ok(0)
}

/// Mirrors.
///
/// # Errors
/// As [`switch`].
pub fn mirror(run: Option<&Path>, printer: &Printer, command: &MirrorCommand) -> Result<u8, Failure> {
    let reply = match command.clone() {
        MirrorCommand::Add { switch, name, options: given } => {
            request(run, &Request::MirrorSet { switch, name, options: options(&given) })?
        }
        MirrorCommand::Del { switch, name } => request(run, &Request::MirrorDelete { switch, name })?,
        MirrorCommand::List { .. } | MirrorCommand::Show { .. } => request(run, &Request::MirrorList)?,
        MirrorCommand::Watch(watch) => return changes::watch(run, printer, &[EventKind::Mirror], &watch),
    };
    let Reply::Mirrors(mut mirrors) = reply else { return Ok(0) };
    if let MirrorCommand::Show { switch, name } = command {
        mirrors.retain(|mirror| mirror.switch == *switch);
        let known = names(mirrors.iter().map(|mirror| &mirror.name));
        mirrors.retain(|mirror| mirror.name == *name);
        let Some(mirror) = mirrors.first() else {
            return Err(Failure::new(format!("switch `{switch}` has no mirror `{name}`"))
                .help(format!("mirrors: {known}")));
        };
        if printer.is_machine() {
            printer.machine(mirror)?;
            return Ok(0);
        }
    }
    if let MirrorCommand::List { switch: Some(switch) } = command {
        find_switch(run, switch)?;
        mirrors.retain(|mirror| mirror.switch == *switch);
    }
    if printer.is_machine() {
        printer.machine(&mirrors)?;
    } else {
        let rows =
            mirrors.iter().map(|mirror| [mirror.switch.clone(), mirror.name.clone(), words(&mirror.options)]);
        put(&printer.rows(["switch", "mirror", "options"], rows))?;
    }
    Ok(0)
}

/// Stations.
///
/// # Errors
/// As [`switch`].
pub fn fdb(run: Option<&Path>, printer: &Printer, command: &FdbCommand) -> Result<u8, Failure> {
    let reply = match command.clone() {
        FdbCommand::Show { switch, .. } => request(run, &Request::FdbList { switch })?,
        FdbCommand::Groups { switch } => return groups(run, printer, switch),
        FdbCommand::Watch(watch) => return changes::watch(run, printer, &[EventKind::Fdb], &watch),
        FdbCommand::Add { switch, mac, port, vlan } => {
            request(run, &Request::FdbAdd { switch, mac, vlan, port })?
        }
        FdbCommand::Del { switch, mac, vlan } => request(run, &Request::FdbDelete { switch, mac, vlan })?,
    };
    let Reply::Stations(mut stations) = reply else { return Ok(0) };
    if let FdbCommand::Show { switch, mac: Some(mac) } = command {
        let wanted: MacAddr = mac.parse().map_err(Failure::new)?;
        stations.retain(|station| station.mac.parse() == Ok(wanted));
        if stations.is_empty() {
            return Err(Failure::new(format!("switch `{switch}` does not know the station {wanted}"))
                .help(format!("netloom fdb show {switch} lists those that it knows")));
        }
    }
    if printer.is_machine() {
        printer.machine(&stations)?;
    } else {
        let rows = stations.iter().map(|station| {
            let age = station.age.map_or_else(|| "fixed".to_owned(), |age| format!("{age} s"));
            [station.port.clone(), station.vlan.to_string(), station.mac.clone(), age]
        });
        put(&printer.rows(["port", "vlan", "station", "age"], rows))?;
    }
    Ok(0)
}

fn groups(run: Option<&Path>, printer: &Printer, switch: String) -> Result<u8, Failure> {
    let Reply::Groups(groups) = request(run, &Request::GroupList { switch })? else { return Ok(0) };
    if printer.is_machine() {
        printer.machine(&groups)?;
    } else {
        let rows = groups.iter().map(|member| {
            let left = member.seconds_left.map_or_else(String::new, |left| format!("{left} s"));
            [member.port.clone(), member.vlan.to_string(), member.group.clone(), left]
        });
        put(&printer.rows(["port", "vlan", "group", "left"], rows))?;
    }
    Ok(0)
}

/// Flows.
///
/// # Errors
/// As [`switch`].
pub fn flows(run: Option<&Path>, printer: &Printer) -> Result<u8, Failure> {
    let Reply::Flows(flows) = request(run, &Request::FlowList)? else { return Ok(0) };
    if printer.is_machine() {
        printer.machine(&flows)?;
    } else {
        let rows = flows.iter().map(|flow| {
            let idle = format!("{}.{:03} s", flow.idle_ms / 1000, flow.idle_ms % 1000);
            [
                flow.packets.to_string(),
                flow.octets.to_string(),
                idle,
                flow.worker.to_string(),
                flow.packets_like.clone(),
                flow.actions.clone(),
            ]
        });
        put(&printer.rows(["packets", "octets", "idle", "worker", "packets like", "actions"], rows))?;
    }
    Ok(0)
}

/// Ports and workers at one time.
struct Look {
    when: Instant,
    ports: Vec<PortStatus>,
    workers: Vec<WorkerStatus>,
}

fn look(run: Option<&Path>) -> Result<Look, Failure> {
    let when = Instant::now();
    let Reply::Ports(ports) = request(run, &Request::PortList { switch: None })? else {
        return Err(Failure::new("the switch gave another answer than the list of its ports"));
    };
    let Reply::Workers(workers) = request(run, &Request::Workers)? else {
        return Err(Failure::new("the switch gave another answer than the list of its workers"));
    };
    Ok(Look { when, ports, workers })
}

/// Rates, again and again.
///
/// # Errors
/// As [`switch`].
pub fn top(run: Option<&Path>, printer: &Printer, once: Option<Duration>) -> Result<u8, Failure> {
    let mut before = look(run)?;
    loop {
        std::thread::sleep(once.unwrap_or(Duration::from_secs(1)));
        let after = look(run)?;
        if printer.is_machine() {
            printer.machine(&serde_json::json!({ "ports": after.ports, "workers": after.workers }))?;
        } else {
            if once.is_none() && printer.live {
                put("\x1b[H\x1b[2J")?;
            }
            put(&page(printer, &before, &after))?;
        }
        if once.is_some() {
            return Ok(0);
        }
        before = after;
    }
}

fn page(printer: &Printer, before: &Look, after: &Look) -> String {
    let seconds = after.when.duration_since(before.when).as_secs_f64().max(1e-9);
    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
    let mut text = String::new();
    for (index, worker) in after.workers.iter().enumerate() {
        let Some(old) = before.workers.get(index) else { continue };
        let asleep = rate(worker.asleep_ns, old.asleep_ns) / 1e9;
        let busy = rate(worker.busy_ns, old.busy_ns) / 1e9;
        let core = worker.core.map_or_else(|| "any processor".to_owned(), |core| format!("processor {core}"));
        let line = format!(
            "worker {index} on {core}: with packets {:.0} %, asleep {:.0} %, to other workers {} packet/s, flows {}, masks {}, new flows {}/s",
            busy * 100.0,
            asleep * 100.0,
            short(rate(worker.crossed, old.crossed)),
            worker.flows,
            worker.masks,
            short(rate(worker.misses, old.misses)),
        );
        text.push_str(&printer.paint(Tone::Strong, &line));
        text.push('\n');
    }
    let rows = after.ports.iter().map(|port| {
        let old = before.ports.iter().find(|old| old.name == port.name).unwrap_or(port);
        let reasons: Vec<String> = port
            .dropped
            .iter()
            .map(|(reason, count)| (reason, rate(*count, old.dropped.get(reason).copied().unwrap_or(0))))
            .filter(|(_, rate)| *rate > 0.0)
            .map(|(reason, rate)| format!("{reason} {}", short(rate)))
            .collect();
        let queues: Vec<String> = (0..port.queues.len())
            .filter_map(|index| {
                let (queue, then) = (port.queues.get(index)?, old.queues.get(index)?);
                let busy = rate(queue.busy_ns, then.busy_ns) / 1e7;
                Some(format!("{} {busy:.0} %", queue.worker))
            })
            .collect();
        [
            port.name.clone(),
            port.state.clone(),
            queues.join(", "),
            short(rate(port.received, old.received)),
            short(rate(port.received_octets, old.received_octets) * 8.0),
            short(rate(port.sent, old.sent)),
            short(rate(port.sent_octets, old.sent_octets) * 8.0),
            short(rate(port.unsent, old.unsent)),
            reasons.join(", "),
        ]
    });
    let heads = [
        "port",
        "state",
        "worker",
        "in packet/s",
        "in bit/s",
        "out packet/s",
        "out bit/s",
        "unsent/s",
        "dropped/s",
    ];
    text.push_str(&printer.rows(heads, rows));
    text
}

/// A number with three digits and a unit.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e9 => format!("{:.2} G", value / 1e9),
        value if value >= 1e6 => format!("{:.2} M", value / 1e6),
        value if value >= 1e3 => format!("{:.1} k", value / 1e3),
        value => format!("{value:.0}"),
    }
}
