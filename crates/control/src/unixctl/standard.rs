//! The commands that every daemon has.

use super::Commands;
use super::coverage::Coverage;
use super::vlog::{Log, MODULES};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the standard commands need.
#[derive(Debug, Clone)]
pub struct Standard {
    /// The name of the program, as `version` says it.
    pub program: String,
    /// The log that is changed.
    pub log: Arc<Log>,
    /// Rates of events.
    pub coverage: Arc<Mutex<Coverage>>,
}

/// The version of Open vSwitch whose ways are kept: scripts ask for it.
pub const VERSION: &str = "3.1.0";

/// What a daemon says of its version.
#[must_use]
pub fn version(program: &str) -> String {
    format!("{program} (Open vSwitch) {VERSION}")
}

/// Adds `version`, `vlog/...`, `coverage/...` and `memory/show`. `events` are counters of the daemon's own, `memory` is how
/// many of what there are; both by name.
pub fn add<C: 'static>(
    commands: &mut Commands<C>,
    standard: Standard,
    events: fn(&mut C) -> BTreeMap<String, u64>,
    memory: fn(&mut C) -> BTreeMap<String, u64>,
) {
    let Standard { program, log, coverage } = standard;
    commands.add("version", "", 0, 0, move |_, _| Ok(version(&program)));
    add_log(commands, log);
    let rates = coverage;
    commands.add("coverage/show", "", 0, 0, move |context, _| {
        Ok(rates.lock().unwrap_or_else(PoisonError::into_inner).show(events(context)))
    });
    commands.add("coverage/read-counter", "COUNTER", 1, 1, move |context, arguments| {
        let name = arguments.first().map_or("", String::as_str);
        Coverage::read(name, &events(context))
            .map(|total| total.to_string())
            .ok_or_else(|| "No such counter".to_owned())
    });
    commands.add("memory/show", "", 0, 0, move |context, _| {
        let all: Vec<String> =
            memory(context).into_iter().map(|(name, count)| format!("{name}:{count}")).collect();
        Ok(all.join(" "))
    });
}

fn add_log<C: 'static>(commands: &mut Commands<C>, log: Arc<Log>) {
    let own = log.clone();
    commands.add("vlog/set", "{spec | PATTERN:destination:pattern}", 1, usize::MAX, move |_, arguments| {
        // What is right before the first that is wrong is done.
        arguments.iter().try_for_each(|text| own.set(text)).map(|()| String::new())
    });
    let own = log.clone();
    commands.add("vlog/list", "", 0, 0, move |_, _| Ok(own.levels()));
    let own = log.clone();
    commands.add("vlog/list-pattern", "", 0, 0, move |_, _| Ok(own.patterns()));
    let own = log.clone();
    commands.add("vlog/reopen", "", 0, 0, move |_, _| own.reopen().map(|()| String::new()));
    commands.add("vlog/close", "", 0, 0, move |_, _| {
        log.close_file();
        Ok(String::new())
    });
    for name in ["vlog/enable-rate-limit", "vlog/disable-rate-limit"] {
        // Nothing is limited yet: only whether the modules are there is said.
        commands.add(name, "[module]...", 0, usize::MAX, |_, arguments| {
            let known = |name: &String| {
                let name = name.to_ascii_lowercase().replace('-', "_");
                name == "any" || MODULES.contains(&name.as_str())
            };
            match arguments.iter().all(known) {
                true => Ok(String::new()),
                false => Err("unknown module".to_owned()),
            }
        });
    }
}
