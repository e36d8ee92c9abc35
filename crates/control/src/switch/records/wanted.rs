//! The configuration that rows ask for.
//!
//! What: [`wanted`] is a pure function of the records and of the numbers that ports have. [`wanted_with`] gives the same and
//! remembers what each port asked for ([`Asked`]), so that ports whose rows are the same ones are not read again.
//!
//! Costs: some string copies for each port that is the same, a few microseconds for one that is not.

use super::super::configuration::{Options, SwitchConfiguration};
use super::super::words::list;
use super::numbers::{self, Numbered};
use super::{
    Columns, NUMBER, Port, Records, Refusal, first_text, key, map, mirror_options, native,
    numbers as numbers_of, read, read_mode, read_vlans,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What ports asked for when they were looked at last.
#[derive(Debug, Default)]
pub(in super::super) struct Asked {
    ports: HashMap<String, Known>,
    /// Which look it is.
    round: u64,
}

#[derive(Debug)]
struct Known {
    port: Arc<Port>,
    switch: String,
    dummy: bool,
    asks: Arc<[Numbered]>,
    round: u64,
}

impl Asked {
    /// What a port asks for, and whether that had to be looked at.
    fn asks(&mut self, switch: &str, name: &str, port: &Arc<Port>, dummy: bool) -> (Arc<[Numbered]>, bool) {
        let round = self.round;
        if let Some(known) = self.ports.get_mut(name)
            && Arc::ptr_eq(&known.port, port)
            && (known.switch.as_str(), known.dummy) == (switch, dummy)
        {
            known.round = round;
            return (known.asks.clone(), false);
        }
        let asks: Arc<[Numbered]> = asks(switch, name, port, dummy).into();
        let known = Known { port: port.clone(), switch: switch.to_owned(), dummy, asks: asks.clone(), round };
        self.ports.insert(name.to_owned(), known);
        (asks, true)
    }
}

/// The configuration that rows ask for.
#[cfg(test)]
pub(in super::super) fn wanted(
    records: &Records,
    before: &SwitchConfiguration,
) -> (SwitchConfiguration, Vec<Refusal>) {
    let (wanted, refusals, _) = wanted_with(&mut Asked::default(), records, before);
    (wanted, refusals)
}

/// The configuration that rows ask for, what of it can't be, and the names of ports that may ask for something else than
/// when this was called last.
pub(in super::super) fn wanted_with(
    asked: &mut Asked,
    records: &Records,
    before: &SwitchConfiguration,
) -> (SwitchConfiguration, Vec<Refusal>, BTreeSet<String>) {
    let mut wanted = SwitchConfiguration::default();
    let mut refusals = Vec::new();
    let mut fresh = BTreeSet::new();
    let mut ports: Vec<Arc<[Numbered]>> = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    asked.round += 1;
    for (switch, bridge) in records {
        let options = read(&bridge.columns, native::BRIDGE, "other_config");
        let dummy = options.get("datapath-type").is_some_and(|kind| kind == "dummy");
        wanted.switches.insert(switch.clone(), options);
        for (name, port) in &bridge.ports {
            let mut names = port.interfaces.keys().chain(is_bond(port).then_some(name));
            if let Some(taken) = names.find(|name| !seen.insert(name)) {
                let message = format!("the name `{taken}` is taken twice");
                refusals.push(Refusal { table: "Port", name: name.clone(), message });
                continue;
            }
            let (asks, is_fresh) = asked.asks(switch, name, port, dummy);
            if is_fresh {
                fresh.extend(asks.iter().map(|port| port.name.clone()));
            }
            ports.push(asks);
        }
        let mirrors: BTreeMap<String, Options> =
            bridge.mirrors.iter().map(|(name, mirror)| (name.clone(), mirror_options(mirror))).collect();
        if !mirrors.is_empty() {
            wanted.mirrors.insert(switch.clone(), mirrors);
        }
    }
    let round = asked.round;
    asked.ports.retain(|_, known| known.round == round);
    numbers::number(&ports.iter().flat_map(|asks| asks.iter()).collect::<Vec<_>>(), before, &mut wanted);
    (wanted, refusals, fresh)
}

/// Whether a port is several interfaces, or was made to be.
fn is_bond(port: &Port) -> bool {
    port.interfaces.len() > 1 || key(&port.columns, "other_config", NUMBER).is_some()
}

/// What one port asks for: a port of the configuration for each interface, and one more for a bond.
fn asks(switch: &str, name: &str, port: &Port, dummy: bool) -> Vec<Numbered> {
    let many = is_bond(port);
    let mut ports = Vec::new();
    for (interface, columns) in &port.interfaces {
        let mut options = read(columns, native::INTERFACE, "other_config");
        for (rate, burst) in [("rate", "burst"), ("packet-rate", "packet-burst")] {
            if !options.contains_key(rate) {
                // A burst that is left behind where policing ended means nothing.
                options.remove(burst);
            }
        }
        for (option, value) in map(columns, "options") {
            options.insert(option.to_owned(), value.to_owned());
        }
        options.insert("type".to_owned(), kind(columns, interface == switch, dummy).to_owned());
        if !many {
            let mut own = read(&port.columns, native::PORT, "other_config");
            read_vlans(&port.columns, &mut own);
            options.extend(own);
        }
        let asked = numbers_of(columns, "ofport_request").first().and_then(|it| u32::try_from(*it).ok());
        let (name, switch) = (interface.clone(), switch.to_owned());
        ports.push(Numbered { name, switch, options, asked, dummy });
    }
    if many {
        let natives = [native::PORT, native::BOND].concat();
        let mut options = read(&port.columns, &natives, "other_config");
        read_vlans(&port.columns, &mut options);
        read_mode(&port.columns, &mut options);
        options.insert("type".to_owned(), "bond".to_owned());
        let known: BTreeSet<&str> = port.interfaces.keys().map(String::as_str).collect();
        let kept = options.remove("members").unwrap_or_default();
        let members = if list(&kept).collect::<BTreeSet<_>>() == known {
            kept
        } else {
            known.into_iter().collect::<Vec<_>>().join(",")
        };
        options.insert("members".to_owned(), members);
        let asked = key(&port.columns, "other_config", NUMBER).and_then(|text| text.parse().ok());
        ports.push(Numbered { name: name.to_owned(), switch: switch.to_owned(), options, asked, dummy });
    }
    ports
}

/// The type of an interface: a bridge's own port is `internal`, and in a data path for tests that has nothing behind it.
fn kind(columns: &Columns, is_local: bool, dummy: bool) -> &str {
    match first_text(columns, "type").unwrap_or_default() {
        "" | "internal" if is_local && !dummy => "internal",
        "" if !is_local => "system",
        "" | "internal" if dummy => "dummy-internal",
        kind => kind,
    }
}
