//! The configuration as rows of the Open vSwitch database, and back: pure, in both directions.
//!
//! ```text
//! SwitchConfiguration -- records() --> Bridge, Port, Interface and Mirror rows
//!                     <- wanted() ----
//! ```
//!
//! What: an option that Open vSwitch has too becomes its column or key (`vlan=10` is `tag`, `isolated=true` is
//! `protected`); every other option becomes a key that begins with `netloom-`. A driver and its options are `type` and
//! `options` of the interface, whose names agree already. A bond is a port with several interfaces; in the configuration
//! these are ports of their own, which the bond names.
//!
//! Invariants: `wanted(records(c)) = c` for every legal configuration, numbers included. A way to write a value that
//! Open vSwitch's column can't keep (`rate=10mbit` is 10000 kbit/s there) is kept beside it, and forgotten when
//! somebody changes the column. Columns and keys that nobody here knows are nobody's business here: whoever writes rows changes
//! only what differs between two records.
//!
//! Deliberately absent: the database itself, and what becomes of a record (see `database`).

mod native;
mod numbers;
mod wanted;

use super::bonds::is_bond;
use super::configuration::{Options, PortConfiguration, SwitchConfiguration, is_drivers};
use super::links::is_link;
use super::words::{list, truth, vlans};
use native::{Native, OWN, Written};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
#[cfg(test)]
pub(super) use wanted::wanted;
pub(super) use wanted::{Asked, wanted_with};

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A text, a number or a truth.
    Atom(Atom),
    /// Several of them, or none.
    Set(BTreeSet<Atom>),
    /// Texts by text.
    Map(BTreeMap<String, String>),
}

/// What stands alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    Integer(i64),
    Truth(bool),
    Text(String),
}

/// Columns of a row by their names; one that is not there has its default.
pub(super) type Columns = BTreeMap<String, Value>;

/// A row of `Bridge`, with those below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bridge {
    pub(super) columns: Columns,
    /// Shared with whoever read them: as long as its rows stay, a port is the same one.
    pub(super) ports: BTreeMap<String, Arc<Port>>,
    pub(super) mirrors: BTreeMap<String, Mirror>,
}

/// A row of `Port`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Port {
    pub(super) columns: Columns,
    /// Rows of `Interface`.
    pub(super) interfaces: BTreeMap<String, Columns>,
}

/// A row of `Mirror`; ports by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mirror {
    pub(super) columns: Columns,
    pub(super) from: BTreeSet<String>,
    pub(super) to: BTreeSet<String>,
    pub(super) output: Option<String>,
}

/// All bridges by their names.
pub(super) type Records = BTreeMap<String, Bridge>;

/// What a record says that can't be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// `Bridge`, `Port`, `Interface` or `Mirror`.
    pub(super) table: &'static str,
    /// The row's name.
    pub(super) name: String,
    /// Why.
    pub(super) message: String,
}

/// Key of the interface's number, which it keeps.
const NUMBER: &str = "netloom-number";
/// Keys of whose something is.
const OWNERS: [&str; 3] = ["topology", "node", "link"];

pub(super) fn text(text: &str) -> Value {
    Value::Atom(Atom::Text(text.to_owned()))
}

pub(super) fn integer(number: i64) -> Value {
    Value::Atom(Atom::Integer(number))
}

fn put(columns: &mut Columns, column: &str, key: &str, value: &str) {
    if let Value::Map(map) = columns.entry(column.to_owned()).or_insert_with(|| Value::Map(BTreeMap::new())) {
        map.insert(key.to_owned(), value.to_owned());
    }
}

fn map<'a>(columns: &'a Columns, column: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = match columns.get(column) {
        Some(Value::Map(map)) => Some(map),
        _ => None,
    };
    map.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()))
}

fn key<'a>(columns: &'a Columns, column: &str, name: &str) -> Option<&'a str> {
    map(columns, column).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The atoms of a column: an optional one and a set look alike.
fn atoms<'a>(columns: &'a Columns, column: &str) -> Vec<&'a Atom> {
    match columns.get(column) {
        Some(Value::Atom(atom)) => vec![atom],
        Some(Value::Set(set)) => set.iter().collect(),
        _ => Vec::new(),
    }
}

pub(super) fn first_text<'a>(columns: &'a Columns, column: &str) -> Option<&'a str> {
    match atoms(columns, column).first() {
        Some(Atom::Text(text)) => Some(text),
        _ => None,
    }
}

fn numbers(columns: &Columns, column: &str) -> Vec<i64> {
    let number = |atom: &&Atom| match atom {
        Atom::Integer(number) => Some(*number),
        _ => None,
    };
    atoms(columns, column).iter().filter_map(number).collect()
}

/// Writes options into columns: `rest` is the column of what Open vSwitch does not have.
fn write(columns: &mut Columns, options: &Options, natives: &[Native], rest: &str) {
    for (option, value) in options {
        if OWNERS.contains(&option.as_str()) {
            put(columns, "external_ids", &format!("{OWN}{option}"), value);
            continue;
        }
        let native = natives.iter().find(|native| native.option == option);
        match native.map_or(Written::No, |native| native.write(columns, value)) {
            Written::Native => {}
            Written::Also | Written::No => put(columns, rest, &format!("{OWN}{option}"), value),
        }
    }
}

/// Reads what [`write`] wrote, or what somebody else did.
fn read(columns: &Columns, natives: &[Native], rest: &str) -> Options {
    let mut options = Options::new();
    for (name, value) in map(columns, rest) {
        if let Some(option) = name.strip_prefix(OWN).filter(|_| name != NUMBER) {
            options.insert(option.to_owned(), value.to_owned());
        }
    }
    for native in natives {
        let kept = options.remove(native.option);
        if let Some(value) = native.read(columns, kept) {
            options.insert(native.option.to_owned(), value);
        }
    }
    for owner in OWNERS {
        if let Some(value) = key(columns, "external_ids", &format!("{OWN}{owner}")) {
            options.insert(owner.to_owned(), value.to_owned());
        }
    }
    options
}

fn write_vlans(columns: &mut Columns, options: &mut Options) {
    let mut take = |name: &str| options.remove(name);
    let ways = [
        ("vlan", "access"),
        ("native", "native-untagged"),
        ("native-tagged", "native-tagged"),
        ("tunnel", "dot1q-tunnel"),
    ];
    let trunk = take("trunk");
    let mut mode = trunk.as_ref().map(|_| "trunk");
    let mut column = "trunks";
    for (option, name) in ways {
        if let Some(value) = take(option) {
            mode = Some(name);
            columns.insert("tag".to_owned(), integer(value.parse().unwrap_or_default()));
            if option == "tunnel" {
                column = "cvlans";
            }
        }
    }
    if let Some(mode) = mode {
        columns.insert("vlan_mode".to_owned(), text(mode));
    }
    // `all` is what no list means in Open vSwitch.
    if let Some(set) = trunk.as_deref().filter(|text| *text != "all").and_then(|text| vlans(text).ok()) {
        let set = (0..4096_u16).filter(|vlan| set.has(*vlan)).map(|vlan| Atom::Integer(vlan.into()));
        columns.insert(column.to_owned(), Value::Set(set.collect()));
    }
    if let Some(trunk) = trunk {
        // As it was written, for as long as it means the same.
        put(columns, "other_config", &format!("{OWN}trunk"), &trunk);
    }
}

/// Numbers as ranges: `1-3,7`.
fn ranges(numbers: &[i64]) -> String {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let range = |(first, last): &(i64, i64)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

fn read_vlans(columns: &Columns, options: &mut Options) {
    let kept = options.remove("trunk");
    let tag = numbers(columns, "tag").first().copied();
    let mode = first_text(columns, "vlan_mode");
    let column = if mode == Some("dot1q-tunnel") { "cvlans" } else { "trunks" };
    let list = numbers(columns, column);
    // ovs-vswitchd.conf.db(5), `vlan_mode`: without one a tag means access, or native-tagged beside a list.
    let mode = match (mode, tag) {
        (Some(mode), _) => mode,
        (None, Some(_)) => "access",
        (None, None) => "trunk",
    };
    let way = match mode {
        "access" => "vlan",
        "native-untagged" => "native",
        "native-tagged" => "native-tagged",
        "dot1q-tunnel" => "tunnel",
        _ => "",
    };
    if !way.is_empty() {
        options.insert(way.to_owned(), tag.unwrap_or_default().to_string());
    }
    let same = kept.as_deref().and_then(|text| vlans(text).ok()).is_some_and(|set| {
        let kept: Vec<i64> = (0..4096_u16).filter(|vlan| set.has(*vlan)).map(i64::from).collect();
        kept == list || list.is_empty() && kept.len() == 4096
    });
    match kept {
        Some(kept) if same && way != "vlan" => {
            options.insert("trunk".to_owned(), kept);
        }
        _ if !list.is_empty() && way != "vlan" => {
            options.insert("trunk".to_owned(), ranges(&list));
        }
        _ => {}
    }
}

/// The columns that say how a bond's members share the work. The options themselves are kept beside them.
fn write_mode(columns: &mut Columns, options: &Options) {
    let mode = options.get("mode").map_or("lacp", String::as_str);
    let bond = match mode {
        "active-backup" | "balance-slb" => mode,
        _ => "balance-tcp",
    };
    let passive = options.get("lacp-active").is_some_and(|text| truth("lacp-active", text) == Ok(false));
    let lacp = match mode {
        "lacp" if passive => "passive",
        "lacp" => "active",
        _ => "off",
    };
    columns.insert("bond_mode".to_owned(), text(bond));
    columns.insert("lacp".to_owned(), text(lacp));
}

fn read_mode(columns: &Columns, options: &mut Options) {
    let mut as_kept = Columns::new();
    write_mode(&mut as_kept, options);
    let ours = key(columns, "other_config", NUMBER).is_some();
    let same = |column| first_text(&as_kept, column) == first_text(columns, column);
    if ours && same("bond_mode") && same("lacp") {
        return;
    }
    for option in ["mode", "lacp-active"] {
        options.remove(option);
    }
    let mut set = |option: &str, value: &str| options.insert(option.to_owned(), value.to_owned());
    match (first_text(columns, "bond_mode").unwrap_or("active-backup"), first_text(columns, "lacp")) {
        (bond, Some(lacp @ ("active" | "passive"))) => {
            set("mode", "lacp");
            if lacp == "passive" {
                set("lacp-active", "false");
            }
            if bond == "balance-slb" {
                set("hash", "source");
            }
        }
        ("balance-tcp", _) => {
            set("mode", "balance");
        }
        (bond, _) => {
            set("mode", bond);
        }
    }
}

/// The rows of one interface: driver, link, rates, number.
fn interface(port: &PortConfiguration, bridged: bool) -> Columns {
    let mut columns = Columns::new();
    columns.insert("ofport_request".to_owned(), integer(port.number.into()));
    let mut rest = Options::new();
    for (option, value) in &port.options {
        match option.as_str() {
            "type" => {
                columns.insert("type".to_owned(), text(value));
            }
            _ if OWNERS.contains(&option.as_str()) => {
                rest.insert(option.clone(), value.clone());
            }
            _ if is_drivers(option) => put(&mut columns, "options", option, value),
            _ if is_link(option) || native::of_interface(option) || !bridged => {
                rest.insert(option.clone(), value.clone());
            }
            _ => {}
        }
    }
    write(&mut columns, &rest, native::INTERFACE, "other_config");
    columns
}

/// The rows that say what a configuration says.
pub(super) fn records(configuration: &SwitchConfiguration) -> Records {
    let mut records = Records::new();
    for (name, options) in &configuration.switches {
        let mut bridge = Bridge::default();
        write(&mut bridge.columns, options, native::BRIDGE, "other_config");
        let ports = configuration.ports.iter().filter(|(_, port)| port.switch == *name);
        let mut members = BTreeSet::new();
        for (_, bond) in ports.clone().filter(|(_, port)| is_bond(&port.options)) {
            members.extend(list(bond.options.get("members").map_or("", String::as_str)));
        }
        for (name, port) in ports.filter(|(name, _)| !members.contains(name.as_str())) {
            let mut record = Port::default();
            let mut options = port.options.clone();
            write_vlans(&mut record.columns, &mut options);
            if is_bond(&options) {
                let named = options.remove("members").unwrap_or_default();
                for member in list(&named) {
                    if let Some(member_port) = configuration.ports.get(member) {
                        record.interfaces.insert(member.to_owned(), interface(member_port, false));
                    }
                }
                options.remove("type");
                write_mode(&mut record.columns, &options);
                put(&mut record.columns, "other_config", NUMBER, &port.number.to_string());
                put(&mut record.columns, "other_config", &format!("{OWN}members"), &named);
                write(&mut record.columns, &options, &[native::PORT, native::BOND].concat(), "other_config");
            } else {
                record.interfaces.insert(name.clone(), interface(port, true));
                options.retain(|option, _| {
                    option != "type"
                        && !is_drivers(option)
                        && !is_link(option)
                        && !native::of_interface(option)
                        && !OWNERS.contains(&option.as_str())
                });
                write(&mut record.columns, &options, native::PORT, "other_config");
            }
            bridge.ports.insert(name.clone(), Arc::new(record));
        }
        for (mirror, options) in configuration.mirrors.get(name).into_iter().flatten() {
            bridge.mirrors.insert(mirror.clone(), mirror_record(options));
        }
        records.insert(name.clone(), bridge);
    }
    records
}

fn mirror_record(options: &Options) -> Mirror {
    let mut mirror = Mirror::default();
    let mut rest = options.clone();
    let names = |option: &str| {
        let text = options.get(option).map_or("", String::as_str);
        list(text).filter(|name| *name != "all").map(str::to_owned).collect::<BTreeSet<_>>()
    };
    mirror.from = names("from").union(&names("ports")).cloned().collect();
    mirror.to = names("to").union(&names("ports")).cloned().collect();
    mirror.output = options.get("output").cloned();
    let all = ["ports", "from", "to"].iter().any(|name| options.get(*name).is_some_and(|text| text == "all"));
    if all {
        mirror.columns.insert("select_all".to_owned(), Value::Atom(Atom::Truth(true)));
    }
    rest.remove("output");
    write(&mut mirror.columns, &rest, native::MIRROR, "external_ids");
    mirror
}

fn mirror_options(mirror: &Mirror) -> Options {
    let mut options = read(&mirror.columns, native::MIRROR, "external_ids");
    if let Some(output) = &mirror.output {
        options.insert("output".to_owned(), output.clone());
    }
    let as_written = mirror_record(&options);
    let all = |mirror: &Mirror| atoms(&mirror.columns, "select_all") == [&Atom::Truth(true)];
    if as_written.from == mirror.from && as_written.to == mirror.to && all(&as_written) == all(mirror) {
        return options;
    }
    for option in ["ports", "from", "to"] {
        options.remove(option);
    }
    let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(",");
    if all(mirror) {
        options.insert("ports".to_owned(), "all".to_owned());
    } else if mirror.from == mirror.to {
        options.insert("ports".to_owned(), names(&mirror.from));
    } else {
        options.insert("from".to_owned(), names(&mirror.from));
        options.insert("to".to_owned(), names(&mirror.to));
    }
    options.retain(|_, value| !value.is_empty());
    options
}

#[cfg(test)]
mod tests;
