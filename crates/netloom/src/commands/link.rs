//! `link`: simulated links at ports.

use super::changes;
use super::switch::{find_port, options, request};
use crate::cli::LinkCommand;
use crate::failure::Failure;
use crate::output::{Printer, put};
use netloom_control::switch::{EventKind, LinkStatus, Options, PortStatus, Reply, Request, link_option};
use std::path::Path;

/// Names that are shorter here than among a port's options.
const SHORT: [&str; 6] = ["rate", "burst", "peak", "packets", "octets", "seed"];

/// The port's name of an option.
fn long(name: &str) -> String {
    let base = name.strip_suffix("-in").or_else(|| name.strip_suffix("-out")).unwrap_or(name);
    if SHORT.contains(&base) { format!("link-{name}") } else { name.to_owned() }
}

/// The options of a port that are its link's, as they are named here.
fn of(port: &PortStatus) -> Options {
    let own = port.options.iter().filter(|(name, _)| link_option(name));
    own.map(|(name, value)| (name.strip_prefix("link-").unwrap_or(name).to_owned(), value.clone())).collect()
}

/// What one direction counted.
pub(super) fn sentence(link: &LinkStatus) -> String {
    let LinkStatus { direction, packets, lost, full, duplicated, corrupted, overtaken, under_way } = link;
    let counts = [
        (packets, "packets"),
        (under_way, "under way"),
        (lost, "lost"),
        (full, "found it full"),
        (duplicated, "twice"),
        (corrupted, "corrupted"),
        (overtaken, "overtook"),
    ];
    let counts = counts.iter().enumerate().filter(|(place, (count, _))| *place == 0 || **count > 0);
    let counts: Vec<String> = counts.map(|(_, (count, what))| format!("{count} {what}")).collect();
    format!("{direction}: {}", counts.join(", "))
}

/// Simulated links.
///
/// # Errors
/// What the daemon says, or that there is none.
pub fn link(run: Option<&Path>, printer: &Printer, command: &LinkCommand) -> Result<u8, Failure> {
    match command {
        LinkCommand::Add { port, options: given } => {
            let options: Options =
                options(given).into_iter().map(|(name, value)| (long(&name), value)).collect();
            if let Some(other) = options.keys().find(|name| !link_option(name)) {
                return Err(Failure::new(format!("a link has no option `{other}`"))
                    .help("netloom help link add lists them"));
            }
            request(run, &Request::PortSet { name: port.clone(), options })?;
        }
        LinkCommand::Del { port } => {
            let there = find_port(run, port)?;
            let own = there.options.keys().filter(|name| link_option(name));
            let options = own.map(|name| (name.clone(), String::new())).collect();
            request(run, &Request::PortSet { name: port.clone(), options })?;
        }
        LinkCommand::Watch(watch) => return changes::watch(run, printer, &[EventKind::Link], watch),
        LinkCommand::List { switch } => {
            let reply = request(run, &Request::PortList { switch: switch.clone() })?;
            let Reply::Ports(mut ports) = reply else { return Ok(0) };
            ports.retain(|port| !of(port).is_empty());
            return list(printer, &ports);
        }
        LinkCommand::Show { port } => {
            let port = find_port(run, port)?;
            if of(&port).is_empty() && !printer.is_machine() {
                put(&format!("port {} has no simulated link\n", port.name))?;
                return Ok(0);
            }
            return list(printer, &[port]);
        }
    }
    Ok(0)
}

fn list(printer: &Printer, ports: &[PortStatus]) -> Result<u8, Failure> {
    if printer.is_machine() {
        let links = ports.iter().map(|port| {
            serde_json::json!({
                "port": port.name, "switch": port.switch, "options": of(port), "directions": port.links,
            })
        });
        printer.machine(&links.collect::<Vec<_>>())?;
        return Ok(0);
    }
    let rows = ports.iter().flat_map(|port| {
        port.links.iter().enumerate().map(|(place, link)| {
            // The port and its options once.
            let once = |text: String| if place == 0 { text } else { String::new() };
            [
                once(port.name.clone()),
                link.direction.clone(),
                link.packets.to_string(),
                link.under_way.to_string(),
                link.lost.to_string(),
                link.full.to_string(),
                link.duplicated.to_string(),
                link.corrupted.to_string(),
                link.overtaken.to_string(),
                once(super::switch::words(&of(port))),
            ]
        })
    });
    let heads =
        ["port", "way", "packets", "under way", "lost", "full", "twice", "corrupted", "overtook", "options"];
    put(&printer.rows(heads, rows))?;
    Ok(0)
}
