//! `qos/...`: how single ports are shaped.

use super::super::qos::TYPES;
use super::super::state::Switch;
use super::argument;
use crate::unixctl::Commands;
use std::fmt::Write;

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("qos/show", "interface", 1, 1, |switch, arguments| show(switch, argument(arguments, 0)));
    commands.add("qos/show-types", "interface", 1, 1, |switch, arguments| {
        let name = argument(arguments, 0);
        switch.configuration.ports.get(name).ok_or("no such interface")?;
        if switch.doors.dummies().contains_key(name) {
            return Ok(format!("No QoS types supported for interface: {name}"));
        }
        Ok(TYPES.iter().map(|kind| format!("QoS type: {kind}\n")).collect())
    });
}

/// How an interface is shaped. A string takes whatever is written.
fn show(switch: &Switch, name: &str) -> Result<String, String> {
    let port = switch.configuration.ports.get(name).ok_or("no such interface")?;
    let shaped = switch.shaped.get(name).map(|shaped| &shaped.qos);
    if let Some(Ok(qos)) = shaped {
        let mut text = format!("QoS: {name} {}\n", qos.kind);
        for (key, value) in &qos.told {
            let _ = writeln!(text, "{key}: {value}");
        }
        for (number, totals, _) in switch.desk().queues(port.number) {
            let _ = match number {
                0 => writeln!(text, "\nDefault:"),
                number => writeln!(text, "\nQueue {number}:"),
            };
            for (key, value) in qos.queues.get(&number).into_iter().flatten() {
                let _ = writeln!(text, "  {key}: {value}");
            }
            let _ = writeln!(text, "  tx_packets: {}\n  tx_bytes: {}", totals.packets, totals.octets);
            let _ = writeln!(text, "  tx_errors: {}", totals.lost);
        }
        return Ok(text);
    }
    let mut text = String::new();
    if let Some(rate) = port.options.get("rate-out") {
        let _ = writeln!(text, "QoS: {name} linux-policer\nrate: {rate}");
        if let Some(burst) = port.options.get("burst-out") {
            let _ = writeln!(text, "burst: {burst}");
        }
        return Ok(text);
    }
    let _ = write!(text, "QoS not configured on {name}");
    if let Some(Err(why)) = shaped {
        let _ = write!(text, "\n{why}");
    }
    Ok(text)
}
