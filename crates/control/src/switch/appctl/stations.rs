//! `fdb/...` and `mdb/...`: stations and multicast groups.

use super::super::state::Switch;
use super::argument;
use super::view::LOCAL;
use crate::unixctl::Commands;
use netloom_vswitch::{Bridge, Station, StationCounts};
use netloom_wire::MacAddr;
use std::fmt::Write;

const SECOND: u64 = 1_000_000_000;

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("fdb/show", "bridge", 1, 1, |switch, arguments| show(switch, argument(arguments, 0)));
    commands.add("fdb/flush", "[bridge]", 0, 1, |switch, arguments| {
        for name in some(switch, arguments.first())? {
            let tags = switch.bridges.lock().by_name.get_mut(&name).map(|bridge| bridge.forget(None));
            switch.crew.changed(&tags.unwrap_or_default());
        }
        Ok("table successfully flushed".to_owned())
    });
    commands.add("fdb/add", "bridge port vlan mac", 4, 4, fix);
    commands.add("fdb/del", "bridge vlan mac", 3, 3, unfix);
    commands
        .add("fdb/stats-show", "bridge", 1, 1, |switch, arguments| counts(switch, argument(arguments, 0)));
    commands.add("fdb/stats-clear", "[bridge]", 0, 1, |switch, arguments| {
        for name in some(switch, arguments.first())? {
            if let Some(bridge) = switch.bridges.lock().by_name.get_mut(&name) {
                bridge.fdb.counts = StationCounts::default();
            }
        }
        Ok("statistics successfully cleared".to_owned())
    });
    commands.add("mdb/show", "bridge", 1, 1, |switch, arguments| groups(switch, argument(arguments, 0)));
    commands.add("mdb/flush", "[bridge]", 0, 1, |switch, arguments| {
        for name in some(switch, arguments.first())? {
            if !snoops(switch, &name) {
                match arguments.is_empty() {
                    true => continue,
                    false => return Err("multicast snooping is disabled".to_owned()),
                }
            }
            let effects = switch.bridges.lock().by_name.get_mut(&name).map(Bridge::forget_groups);
            switch.follow(effects.unwrap_or_default());
        }
        Ok("table successfully flushed".to_owned())
    });
}

/// The name of a bridge that is there.
pub(super) fn known(switch: &Switch, name: &str) -> Result<String, String> {
    let known = switch.configuration.switches.contains_key(name);
    known.then(|| name.to_owned()).ok_or_else(|| "no such bridge".to_owned())
}

/// The bridge that was named, or all.
pub(super) fn some(switch: &Switch, name: Option<&String>) -> Result<Vec<String>, String> {
    match name {
        Some(name) => Ok(vec![known(switch, name)?]),
        None => Ok(switch.configuration.switches.keys().cloned().collect()),
    }
}

/// The number of a port of a bridge that is named, or numbered as OpenFlow does.
fn port(switch: &Switch, bridge: &str, text: &str) -> Result<u32, String> {
    let is_it = |number: u32| text.parse() == Ok(number) || text == "LOCAL" && number == LOCAL;
    let found = switch.views(bridge).into_iter().find(|view| view.name == text || is_it(view.openflow));
    let number = found.and_then(|view| switch.configuration.ports.get(&view.name)).map(|port| port.number);
    number.ok_or_else(|| "software error, odp port is present but no ofp port".to_owned())
}

fn vlan(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "bad VLAN ID".to_owned())
}

fn mac(text: &str) -> Result<MacAddr, String> {
    text.parse().map_err(|_| "bad MAC address".to_owned())
}

fn fix(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let name = known(switch, argument(arguments, 0))?;
    let number = port(switch, &name, argument(arguments, 1))?;
    let (vlan, mac) = (vlan(argument(arguments, 2))?, mac(argument(arguments, 3))?);
    let now = switch.now();
    let known = switch.bridges.lock().by_name.get(&name).and_then(|bridge| {
        let all = bridge.fdb.list();
        all.into_iter().find(|(of, address, _)| (*of, *address) == (vlan, mac)).map(|(.., station)| station)
    });
    let text = match known.filter(|station| !(station.fixed && station.port == number)) {
        Some(station) => {
            let kind = if station.fixed { "static" } else { "dynamic" };
            format!(
                "Overriding already existing {kind} entry on {}\n",
                openflow_number(switch, &name, station.port)
            )
        }
        None => String::new(),
    };
    let tag =
        switch.bridges.lock().by_name.get_mut(&name).map(|bridge| bridge.fdb.fix(vlan, mac, number, now));
    switch.crew.changed(tag.as_slice());
    Ok(text)
}

/// OpenFlow's name of a port that stations are behind.
fn openflow_number(switch: &Switch, bridge: &str, number: u32) -> String {
    let named = |view: &super::view::PortView| {
        switch.configuration.ports.get(&view.name).is_some_and(|port| port.number == number)
    };
    match switch.views(bridge).iter().find(|view| named(view)).map(|view| view.openflow) {
        Some(LOCAL) => "LOCAL".to_owned(),
        Some(openflow) => openflow.to_string(),
        None => number.to_string(),
    }
}

fn unfix(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let name = known(switch, argument(arguments, 0))?;
    let (vlan, mac) = (vlan(argument(arguments, 1))?, mac(argument(arguments, 2))?);
    let tags = switch.bridges.lock().by_name.get_mut(&name).and_then(|bridge| {
        let is_it = |(of, address, station): &(u16, MacAddr, Station)| {
            (*of, *address) == (vlan, mac) && station.fixed
        };
        bridge.fdb.list().iter().any(is_it).then(|| bridge.forget(Some((vlan, mac))))
    });
    switch.crew.changed(&tags.ok_or("could not find static mac entry")?);
    Ok(String::new())
}

fn show(switch: &Switch, name: &str) -> Result<String, String> {
    let name = known(switch, name)?;
    let now = switch.now();
    let bridges = switch.bridges.lock();
    let Some(bridge) = bridges.by_name.get(&name) else { return Err("no such bridge".to_owned()) };
    let mut stations = bridge.fdb.list();
    // Those that were heard last are last.
    stations.sort_by_key(|(_, _, station)| station.heard);
    let ports: Vec<String> = stations.iter().map(|(_, _, station)| port_name(bridge, station.port)).collect();
    drop(bridges);
    let mut text = " port  VLAN  MAC                Age\n".to_owned();
    for ((vlan, mac, station), port) in stations.into_iter().zip(ports) {
        let label = switch.label(&port);
        let age = match station.fixed {
            true => " static".to_owned(),
            false => format!("{:4}", now.saturating_sub(station.heard) / SECOND),
        };
        // A string takes whatever is written.
        let _ = writeln!(text, "{label:>5}  {vlan:4}  {mac} {age}");
    }
    Ok(text)
}

fn port_name(bridge: &Bridge, number: u32) -> String {
    bridge.ports().get(&number).map_or_else(String::new, |port| port.name.clone())
}

fn counts(switch: &Switch, name: &str) -> Result<String, String> {
    let name = known(switch, name)?;
    let bridges = switch.bridges.lock();
    let Some(bridge) = bridges.by_name.get(&name) else { return Err("no such bridge".to_owned()) };
    let fixed = bridge.fdb.list().iter().filter(|(_, _, station)| station.fixed).count();
    let StationCounts { learned, aged, moved, .. } = bridge.fdb.counts;
    // Nobody is pushed out: who finds no room is not learned.
    Ok(format!(
        "Statistics for bridge \"{name}\":\n  \
         Current/maximum MAC entries in the table: {}/{}\n  \
         Current static MAC entries in the table : {fixed}\n  \
         Total number of learned MAC entries     : {learned}\n  \
         Total number of expired MAC entries     : {aged}\n  \
         Total number of evicted MAC entries     : 0\n  \
         Total number of port moved MAC entries  : {moved}\n",
        bridge.fdb.len(),
        bridge.fdb.limit,
    ))
}

fn snoops(switch: &Switch, name: &str) -> bool {
    switch.bridges.lock().by_name.get(name).is_some_and(|bridge| bridge.options.snooping.enabled)
}

fn groups(switch: &Switch, name: &str) -> Result<String, String> {
    let name = known(switch, name)?;
    if !snoops(switch, &name) {
        return Err("multicast snooping is disabled".to_owned());
    }
    let now = switch.now();
    let bridges = switch.bridges.lock();
    let Some(bridge) = bridges.by_name.get(&name) else { return Err("no such bridge".to_owned()) };
    let snooping = &bridge.options.snooping;
    let age = |life: u64, left: u64| life.saturating_sub(left) / SECOND;
    let mut rows: Vec<(String, u16, String)> = Vec::new();
    for (vlan, group, port, left) in bridge.groups(now) {
        let age = age(snooping.member_life(), left);
        rows.push((port_name(bridge, port), vlan, format!("{group}         {age:3}")));
    }
    for (vlan, port, left) in bridge.routers(now) {
        let age = age(snooping.router_life(), left);
        rows.push((port_name(bridge, port), vlan, format!("querier             {age:3}")));
    }
    drop(bridges);
    let mut text = " port  VLAN  GROUP                Age\n".to_owned();
    for (port, vlan, rest) in rows {
        // A string takes whatever is written.
        let _ = writeln!(text, "{:>5}  {vlan:4}  {rest}", switch.label(&port));
    }
    Ok(text)
}
