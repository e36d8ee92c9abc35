//! `qos/...`: rates of single ports.

use super::super::state::Switch;
use super::argument;
use crate::unixctl::Commands;
use std::fmt::Write;

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("qos/show", "interface", 1, 1, |switch, arguments| {
        let name = argument(arguments, 0);
        let port = switch.configuration.ports.get(name).ok_or("no such interface")?;
        let option = |option: &str| port.options.get(option);
        let Some(rate) = option("rate-out") else { return Ok(format!("QoS not configured on {name}")) };
        let mut text = format!("QoS: {name} linux-policer\nrate: {rate}\n");
        if let Some(burst) = option("burst-out") {
            // A string takes whatever is written.
            let _ = writeln!(text, "burst: {burst}");
        }
        Ok(text)
    });
    commands.add("qos/show-types", "interface", 1, 1, |switch, arguments| {
        let name = argument(arguments, 0);
        switch.configuration.ports.get(name).ok_or("no such interface")?;
        Ok(format!("No QoS types supported for interface: {name}"))
    });
}
