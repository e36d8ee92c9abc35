//! `dpctl/...conntrack`, `dpctl/ct-...`: connections that are tracked.

use super::super::state::Switch;
use crate::unixctl::Commands;
use netloom_nf::conntrack::{Detail, Pattern};

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("dpctl/dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, |switch, arguments| {
        let has = |name: &str| arguments.iter().any(|argument| argument == name);
        let detail = Detail { more: has("-m"), statistics: has("-s") };
        let entries = switch.tracker.dump(zone(arguments)?, switch.now());
        Ok(entries.map(|entry| entry.text(detail) + "\n").collect())
    });
    commands.add(
        "dpctl/flush-conntrack",
        "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]",
        0,
        4,
        |switch, arguments| {
            let mut pattern = Pattern { zone: zone(arguments)?, ..Pattern::default() };
            // The data path's name has no equals sign, tuples have one.
            let tuples = arguments.iter().filter(|text| text.contains('=') && !text.starts_with("zone="));
            for (place, text) in tuples.enumerate() {
                match place {
                    0 => pattern.add(text, false)?,
                    1 => pattern.add(text, true)?,
                    _ => return Err("too many tuples".to_owned()),
                }
            }
            switch.tracker.flush(&pattern);
            Ok(String::new())
        },
    );
    commands.add("dpctl/ct-stats-show", "[dp] [zone=N]", 0, 3, |switch, arguments| {
        let verbose = arguments.iter().any(|argument| argument == "verbose" || argument == "-m");
        Ok(switch.tracker.statistics_text(zone(arguments)?, verbose, switch.now()))
    });
    commands.add("dpctl/ct-set-maxconns", "[dp] maxconns", 1, 2, |switch, arguments| {
        let most = arguments.last().and_then(|text| text.parse().ok());
        switch.tracker.set_most(most.ok_or("maxconns missing or malformed")?);
        Ok("setting maxconns successful".to_owned())
    });
    commands
        .add("dpctl/ct-get-maxconns", "[dp]", 0, 1, |switch, _| Ok(format!("{}\n", switch.tracker.most())));
    commands.add("dpctl/ct-get-nconns", "[dp]", 0, 1, |switch, _| {
        Ok(format!("{}\n", switch.tracker.connections()))
    });
    for (name, on) in [("dpctl/ct-enable-tcp-seq-chk", true), ("dpctl/ct-disable-tcp-seq-chk", false)] {
        commands.add(name, "[dp]", 0, 1, move |switch, _| {
            switch.tracker.check_sequence(on);
            let word = if on { "enabling" } else { "disabling" };
            Ok(format!("{word} TCP sequence checking successful"))
        });
    }
    commands.add("dpctl/ct-get-tcp-seq-chk", "[dp]", 0, 1, |switch, _| {
        let word = if switch.tracker.checks_sequence() { "enabled" } else { "disabled" };
        Ok(format!("TCP sequence checking: {word}\n"))
    });
    commands.add(
        "dpctl/ct-set-limits",
        "[dp] [default=L] [zone=N,limit=L]...",
        1,
        usize::MAX,
        |switch, arguments| {
            for text in arguments.iter().filter(|text| text.contains('=')) {
                let (zone, limit) = limit(text)?;
                switch.tracker.set_limit(zone, Some(limit.ok_or("invalid limit")?));
            }
            Ok(String::new())
        },
    );
    commands.add("dpctl/ct-del-limits", "[dp] zone=N1[,N2]...", 1, 2, |switch, arguments| {
        for zone in zones(arguments)? {
            switch.tracker.set_limit(Some(zone), None);
        }
        Ok(String::new())
    });
    commands.add("dpctl/ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, |switch, arguments| {
        Ok(switch.tracker.limits_text(&zones(arguments)?) + "\n")
    });
}

fn zone(arguments: &[String]) -> Result<Option<u16>, String> {
    let text = arguments.iter().find_map(|text| text.strip_prefix("zone="));
    text.map(|text| text.parse().map_err(|_| "invalid zone".to_owned())).transpose()
}

/// `zone=1,2,3`.
fn zones(arguments: &[String]) -> Result<Vec<u16>, String> {
    let text = arguments.iter().find_map(|text| text.strip_prefix("zone=")).unwrap_or_default();
    let words = text.split(',').filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|_| "invalid zone".to_owned())).collect()
}

/// `default=10`, or `zone=1,limit=10`.
fn limit(text: &str) -> Result<(Option<u16>, Option<u32>), String> {
    let (mut zone, mut limit) = (None, None);
    for (name, value) in text.split(',').filter_map(|part| part.split_once('=')) {
        match name {
            "default" | "limit" => limit = Some(value.parse().map_err(|_| format!("invalid {name} limit"))?),
            "zone" => zone = Some(value.parse().map_err(|_| "invalid zone".to_owned())?),
            _ => return Err(format!("invalid parameter {name}")),
        }
    }
    Ok((zone, limit))
}
