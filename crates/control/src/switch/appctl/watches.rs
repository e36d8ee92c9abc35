//! `bfd/...`, `cfm/...`: links that are watched.

use super::super::state::Switch;
use super::argument;
use crate::unixctl::Commands;
use netloom_vswitch::bfd::{BfdStatus, EndStatus, Flags, diagnostic_name, state_name};
use netloom_vswitch::cfm::CfmStatus;
use std::fmt::Write;

const MILLISECOND: u64 = 1_000_000;

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("bfd/show", "[interface]", 0, 1, |switch, arguments| {
        switch.watch_links();
        let now = switch.now();
        let all = every(switch, |bridge, number| bridge.bfd(number));
        match arguments.first() {
            Some(name) => {
                let found = all.iter().find(|(of, _)| of == name).ok_or("no such bfd object")?;
                Ok(bfd(&found.1, now))
            }
            None => Ok(all
                .iter()
                .map(|(name, status)| format!("---- {name} ----\n{}", bfd(status, now)))
                .collect()),
        }
    });
    commands.add("bfd/set-forwarding", "[interface] normal|false|true", 1, 2, |switch, arguments| {
        let wish = wish(argument(arguments, arguments.len() - 1))?;
        let now = switch.now();
        each(switch, arguments, "no such BFD object", |bridge, number| bridge.force_bfd(number, wish, now))
    });
    commands.add("cfm/show", "[interface]", 0, 1, |switch, arguments| {
        switch.watch_links();
        let now = switch.now();
        let all = every(switch, |bridge, number| bridge.cfm(number));
        let chosen = |name: &String| arguments.first().is_none_or(|only| only == name);
        let found: Vec<_> = all.iter().filter(|(name, _)| chosen(name)).collect();
        match found.is_empty() && !arguments.is_empty() {
            true => Err("no such CFM object".to_owned()),
            false => Ok(found.into_iter().map(|(name, status)| cfm(name, status, now)).collect()),
        }
    });
    commands.add("cfm/set-fault", "[interface] normal|false|true", 1, 2, |switch, arguments| {
        let wish = wish(argument(arguments, arguments.len() - 1))?;
        each(switch, arguments, "no such CFM object", |bridge, number| bridge.force_cfm(number, wish))
    });
}

/// What somebody says, or nothing.
fn wish(text: &str) -> Result<Option<bool>, String> {
    match text {
        "normal" => Ok(None),
        _ if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        _ if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        _ => Err("unknown fault string".to_owned()),
    }
}

/// What all watched ports have of something, by name.
fn every<T>(switch: &Switch, of: impl Fn(&netloom_vswitch::Bridge, u32) -> Option<T>) -> Vec<(String, T)> {
    let bridges = switch.bridges.lock();
    let mut all = Vec::new();
    for bridge in bridges.by_name.values() {
        for number in bridge.watched() {
            let name = bridge.ports().get(&number).map(|port| port.name.clone());
            all.extend(name.zip(of(bridge, number)));
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}

/// Does something at the named port, or at all.
fn each(
    switch: &mut Switch,
    arguments: &[String],
    missing: &str,
    mut what: impl FnMut(&mut netloom_vswitch::Bridge, u32) -> bool,
) -> Result<String, String> {
    let name = if arguments.len() > 1 { arguments.first() } else { None };
    let mut found = false;
    {
        let mut bridges = switch.bridges.lock();
        let names: Vec<String> = bridges.by_name.keys().cloned().collect();
        for of in names {
            if let Some(bridge) = bridges.by_name.get_mut(&of) {
                let is_meant = |port: &u32| {
                    let port = bridge.ports().get(port);
                    name.is_none_or(|name| port.is_some_and(|port| port.name == *name))
                };
                let ports: Vec<u32> = bridge.watched().filter(is_meant).collect();
                for port in ports {
                    found |= what(bridge, port);
                }
            }
            if let Some(number) = bridges.number_of(&of) {
                bridges.follow_tree(number);
            }
        }
    }
    switch.desk().publish();
    if found || name.is_none() { Ok("OK".to_owned()) } else { Err(missing.to_owned()) }
}

fn flags(flags: Flags) -> String {
    let all = [
        (flags.poll, "poll"),
        (flags.is_final, "final"),
        (flags.independent, "control"),
        (flags.demand, "demand"),
    ];
    let words: Vec<&str> = all.into_iter().filter(|(set, _)| *set).map(|(_, word)| word).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

/// From now until then, or since then.
fn from_now(then: u64, now: u64) -> String {
    let difference = |later: u64, earlier: u64| (later - earlier) / MILLISECOND;
    match then >= now {
        true => format!("now +{}ms", difference(then, now)),
        false => format!("now -{}ms", difference(now, then)),
    }
}

fn end(text: &mut String, side: &str, end: &EndStatus) {
    // A string takes whatever is written.
    let _ = write!(
        text,
        "\n  {side} Flags: {}\n  {side} Session State: {}\n  {side} Diagnostic: {}\n  {side} Discriminator: {:#x}\n  \
         {side} Minimum TX Interval: {}ms\n  {side} Minimum RX Interval: {}ms\n",
        flags(end.flags),
        state_name(end.state),
        diagnostic_name(end.diagnostic),
        end.discriminator,
        end.min_tx / MILLISECOND,
        end.min_rx / MILLISECOND,
    );
}

fn bfd(status: &BfdStatus, now: u64) -> String {
    let mut text = format!(
        "  Forwarding: {}\n  Detect Multiplier: {}\n  Concatenated Path Down: {}\n  TX Interval: Approx {}ms\n  \
         RX Interval: Approx {}ms\n  Detect Time: {}\n  Next TX Time: {}\n  Last TX Time: {}\n",
        status.forwarding,
        status.multiplier,
        status.path_down,
        status.tx_interval / MILLISECOND,
        status.rx_interval / MILLISECOND,
        from_now(status.detect_at, now),
        from_now(status.next_tx, now),
        from_now(status.last_tx, now),
    );
    end(&mut text, "Local", &status.local);
    end(&mut text, "Remote", &status.remote);
    // A string takes whatever is written.
    let _ = writeln!(text, "  Remote Detect Multiplier: {}", status.remote_multiplier);
    text
}

fn cfm(name: &str, status: &CfmStatus, now: u64) -> String {
    let word = |works: bool| if works { "up" } else { "down" };
    let left = |then: u64| then.saturating_sub(now) / MILLISECOND;
    let mut text = format!("---- {name} ----\nMPID {}:", status.mpid);
    if status.extended {
        text.push_str(" extended");
    }
    if status.forced {
        text.push_str(" fault_override");
    }
    text.push('\n');
    if status.fault {
        let faults: Vec<&str> = status.faults.names().collect();
        // A string takes whatever is written.
        let _ = writeln!(text, "  fault: {}", faults.join(" "));
    }
    let health = status.health.map_or_else(|| "undefined".to_owned(), |health| health.to_string());
    let _ = write!(
        text,
        "  average health: {health}\n  opstate: {}\n  remote_opstate: {}\n  interval: {}ms\n  next CCM tx: {}ms\n  \
         next fault check: {}ms\n",
        word(status.works),
        word(status.remote_works),
        status.interval / MILLISECOND,
        left(status.tx_at),
        left(status.check_at),
    );
    for (name, heard, works) in &status.points {
        let _ =
            write!(text, "Remote MPID {name}\n  recv since check: {heard}\n  opstate: {}\n", word(*works));
    }
    text
}
