//! `netdev-dummy/...` and `time/...`: what tests need.

use super::super::doors::DummyPort;
use super::super::odp;
use super::super::state::Switch;
use super::argument;
use crate::unixctl::Commands;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a frame may wait for a worker.
const PATIENCE: Duration = Duration::from_secs(2);
/// Turns that a frame may need that goes through several bridges.
const TURNS: usize = 4;

const NO_DUMMY: &str = "no such dummy netdev";
const UNKNOWN: &str = "Unknown Dummy Interface";

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("time/stop", "", 0, 0, |switch, _| {
        switch.stop_time();
        Ok(String::new())
    });
    commands.add_slow("time/warp", "[large_msecs] msecs", 1, 2, |switch, arguments, answer| {
        let number =
            |place: usize| argument(arguments, place).parse::<u64>().ok().filter(|number| *number > 0);
        let (all, step) = (number(0), number(arguments.len() - 1));
        match (all, step) {
            (Some(all), Some(step)) => switch.warp(all, step, answer),
            _ => answer.give(Err("invalid MSECS".to_owned())),
        }
    });
    commands.add(
        "netdev-dummy/receive",
        "name [--qid queue_id] packet|flow [--len packet_len]",
        2,
        usize::MAX,
        receive,
    );
    commands.add("netdev-dummy/set-admin-state", "[netdev] up|down", 1, 2, |switch, arguments| {
        let up = match argument(arguments, arguments.len() - 1) {
            text if text.eq_ignore_ascii_case("up") => true,
            text if text.eq_ignore_ascii_case("down") => false,
            _ => return Err("Invalid Admin State".to_owned()),
        };
        let name = if arguments.len() > 1 { arguments.first() } else { None };
        for (_, port) in some(switch, name, UNKNOWN)? {
            port.set_up(up);
        }
        // What follows from that is there when the answer is.
        switch.tick();
        Ok("OK".to_owned())
    });
    commands.add("netdev-dummy/conn-state", "[netdev]", 0, 1, |switch, arguments| {
        let mut text = String::new();
        if let Some(name) = arguments.first()
            && some(switch, Some(name), UNKNOWN).is_err()
        {
            return Ok(format!("{name}: unknown"));
        }
        for (name, port) in some(switch, arguments.first(), UNKNOWN)? {
            let state = match port.connected() {
                Some(true) => "connected",
                Some(false) => "disconnected",
                None => "unknown",
            };
            // A string takes whatever is written.
            let _ = writeln!(text, "{name}: {state}");
        }
        Ok(text)
    });
    commands.add("netdev-dummy/ip4addr", "[netdev] ipaddr/mask-prefix-len", 2, 2, |switch, arguments| {
        let (address, length) = argument(arguments, 1).split_once('/').ok_or("Invalid parameters")?;
        let address = address.parse().map_err(|_| "Invalid parameters")?;
        let length = length.parse().ok().filter(|length| *length <= 32).ok_or("Invalid parameters")?;
        for (name, port) in some(switch, arguments.first(), UNKNOWN)? {
            port.answer_for(address);
            switch.routes.set_address(&name, IpAddr::V4(address), length);
        }
        Ok("OK".to_owned())
    });
    commands.add("netdev-dummy/ip6addr", "[netdev] ip6addr", 2, 2, |switch, arguments| {
        let (address, length) = argument(arguments, 1).split_once('/').ok_or("Invalid parameters")?;
        let address: Ipv6Addr = address.parse().map_err(|_| "Invalid parameters")?;
        let length = length.parse().ok().filter(|length| *length <= 128).ok_or("Invalid parameters")?;
        for (name, _) in some(switch, arguments.first(), UNKNOWN)? {
            switch.routes.set_address(&name, IpAddr::V6(address), length);
        }
        Ok("OK".to_owned())
    });
}

type Ports = Vec<(String, Arc<dyn DummyPort>)>;

/// The port of a name, or all.
fn some(switch: &Switch, name: Option<&String>, missing: &str) -> Result<Ports, String> {
    let all: Ports =
        switch.doors.dummies().into_iter().filter(|(of, _)| name.is_none_or(|name| name == of)).collect();
    if name.is_some() && all.is_empty() { Err(missing.to_owned()) } else { Ok(all) }
}

/// Octets written as hexadecimal digits, with spaces or without.
fn octets(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|digit| !digit.is_whitespace());
    let digits: Vec<u32> = digits.map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pair = |pair: &[u32]| match pair {
        [high, low] => Some((high << 4 | low) as u8),
        _ => None,
    };
    digits.chunks(2).map(pair).collect::<Option<Vec<u8>>>().filter(|octets| octets.len() >= 14)
}

fn receive(switch: &mut Switch, arguments: &[String]) -> Result<String, String> {
    let Some((_, port)) = some(switch, arguments.first(), NO_DUMMY)?.into_iter().next() else {
        return Err(NO_DUMMY.to_owned());
    };
    let mut frames = Vec::new();
    let mut at = 1;
    if argument(arguments, at) == "--qid" {
        argument(arguments, at + 1).parse::<u32>().map_err(|_| "Invalid queue id.".to_owned())?;
        at += 2;
    }
    while let Some(text) = arguments.get(at) {
        at += 1;
        if let Some(frame) = octets(text) {
            frames.push(frame);
            continue;
        }
        let numbers = |name: &str| switch.configuration.ports.get(name).map(|port| port.number);
        let key = odp::parse(text, &numbers)?;
        let mut length = None;
        if argument(arguments, at) == "--len" {
            let text = argument(arguments, at + 1);
            length = Some(text.parse::<usize>().map_err(|_| format!("{text}: not a length"))?);
            at += 2;
        }
        frames.push(odp::frame(&key, length.map(|length| length.min(netloom_mem::FRAME))));
    }
    for frame in frames {
        port.put(frame);
    }
    // The answer comes when the packets have gone their way.
    let until = Instant::now() + PATIENCE;
    let stuck = |error: netloom_datapath::Stuck| error.to_string();
    while !port.is_empty() && Instant::now() < until {
        switch.crew.turn().map_err(stuck)?;
    }
    (0..TURNS).try_for_each(|_| switch.crew.turn()).map_err(stuck)?;
    switch.settle();
    super::paths::log_new_flows(switch);
    Ok(String::new())
}
