//! Two tables of flows beside each other: what is different, and how one becomes the other.

use super::super::client::{Done, Stop, say};
use super::flows::{collect, octets_of};
use super::tool::{Tool, dialect_of};
use netloom_proto::openflow::message::{
    ALL_TABLES, ANY_GROUP, FlowCommand, FlowFlags, FlowMod, FlowSelection,
};
use netloom_proto::openflow::text::{Names, Protocols, lines, parse_flow, print_actions, print_match};
use netloom_proto::openflow::{Action, Match, OfPort, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Octets of the longest option of a tunnel.
const LONGEST: usize = 124;

/// What a flow is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    table: u8,
    priority: u16,
    /// What it matches, with options of tunnels as long as each other.
    matching: Match,
}

/// What else a flow is.
#[derive(Debug, Clone)]
struct Flow {
    matching: Match,
    cookie: u64,
    idle_timeout: u16,
    hard_timeout: u16,
    importance: u16,
    flags: FlowFlags,
    actions: Vec<Action>,
}

impl Flow {
    /// Whether two flows are the same. Flags do not count: switches do not tell them in every version.
    fn is_like(&self, other: &Self) -> bool {
        let told = |flow: &Self| print_actions(&flow.actions, &Names::new());
        (self.cookie, self.idle_timeout, self.hard_timeout, self.importance)
            == (other.cookie, other.idle_timeout, other.hard_timeout, other.importance)
            && told(self) == told(other)
    }

    fn print(&self, key: &Key, names: &Names) -> String {
        let mut out = String::new();
        if key.table != 0 {
            out.push_str(&format!("table={} ", key.table));
        }
        out.push_str(&print_match(&self.matching, key.priority, names));
        if self.cookie != 0 {
            out.push_str(&format!(" cookie={:#x}", self.cookie));
        }
        for (name, value) in [
            ("idle_timeout", self.idle_timeout),
            ("hard_timeout", self.hard_timeout),
            ("importance", self.importance),
        ] {
            if value != 0 {
                out.push_str(&format!(" {name}={value}"));
            }
        }
        out + &format!(" actions={}\n", print_actions(&self.actions, names))
    }
}

type Both = BTreeMap<Key, [Option<Flow>; 2]>;

/// The same match for the purpose of comparing: an option of a tunnel has the length of the longest.
fn comparable(matching: &Match) -> Match {
    let mut same = matching.clone();
    for entry in matching.iter().filter(|entry| entry.field.get().is_variable()) {
        let filled = |value: &Value, with: u8| {
            let mut octets = vec![with; LONGEST.saturating_sub(value.len())];
            octets.extend_from_slice(value.octets());
            Value::from_octets(&octets).unwrap_or_else(|| value.clone())
        };
        let mask = filled(&entry.mask, if entry.mask.is_all_ones() { 0xff } else { 0 });
        same.set_masked(entry.field, &filled(&entry.value, 0), &mask);
    }
    same
}

fn insert(both: &mut Both, side: usize, table: u8, priority: u16, flow: Flow) {
    let key = Key { table, priority, matching: comparable(&flow.matching) };
    if let Some(place) = both.entry(key).or_default().get_mut(side) {
        *place = Some(flow);
    }
}

/// Reads all of a file as text.
pub(super) fn read_text(file: &str) -> Done<String> {
    octets_of(file).map(|octets| String::from_utf8_lossy(&octets).into_owned())
}

fn from_file(file: &str, names: &Names, both: &mut Both, side: usize) -> Done<Protocols> {
    let text = read_text(file)?;
    let mut usable = Protocols::ANY;
    for line in lines(&text) {
        let (flow, forms) = parse_flow(line.text, Some(FlowCommand::Add), names)
            .map_err(|error| format!("{file}:{}: {}", line.number, error.ovs()))?;
        usable &= forms;
        let table = flow.table.filter(|table| *table != ALL_TABLES).unwrap_or(0);
        let read = Flow {
            matching: flow.matching,
            cookie: flow.cookie.unwrap_or(0),
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            importance: flow.importance,
            flags: flow.flags.and(FlowFlags::SEND_REMOVED),
            actions: flow.actions,
        };
        insert(both, side, table, flow.priority, read);
    }
    Ok(usable)
}

fn from_switch(
    tool: &mut Tool,
    connection: &mut super::connection::Connection,
    form: Protocols,
    both: &mut Both,
    side: usize,
) -> Done {
    let all = FlowSelection {
        table: ALL_TABLES,
        out_port: OfPort::NONE,
        out_group: ANY_GROUP,
        cookie: None,
        matching: Match::any(),
        dialect: dialect_of(form),
    };
    for flow in collect(tool, connection, all)? {
        let state = flow.state;
        let told = Flow {
            matching: flow.matching,
            cookie: state.cookie,
            idle_timeout: state.idle_timeout,
            hard_timeout: state.hard_timeout,
            importance: state.importance,
            flags: FlowFlags::NONE,
            actions: flow.actions,
        };
        insert(both, side, state.table, state.priority, told);
    }
    Ok(())
}

fn change(command: FlowCommand, key: &Key, flow: &Flow) -> FlowMod {
    let mut change = FlowMod::new(command, flow.matching.clone());
    change.table = Some(key.table);
    change.priority = key.priority;
    change.cookie = Some(flow.cookie);
    change.modifies_cookie = true;
    change.idle_timeout = flow.idle_timeout;
    change.hard_timeout = flow.hard_timeout;
    change.importance = flow.importance;
    change.flags = flow.flags;
    if command == FlowCommand::Add {
        change.actions.clone_from(&flow.actions);
    }
    change
}

pub(super) fn replace(tool: &mut Tool) -> Done {
    const FILE: usize = 0;
    const SWITCH: usize = 1;
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let file = tool.options.word(2).unwrap_or_default().to_owned();
    let names = tool.accepted(&name)?;
    let mut both = Both::new();
    let usable = from_file(&file, &names, &mut both, FILE)?;
    let mut connection = tool.open(&name)?;
    let form = tool.agree_for_dump(&mut connection, usable)?;
    from_switch(tool, &mut connection, form, &mut both, SWITCH)?;
    let mut requests = Vec::new();
    let tables: std::collections::BTreeSet<u8> = both.keys().map(|key| key.table).collect();
    for table in tables {
        let here = || both.iter().filter(move |(key, _)| key.table == table);
        for (key, versions) in here() {
            if let [None, Some(flow)] = versions {
                let change = change(FlowCommand::DeleteStrict, key, flow);
                requests.push(tool.write_flow(&connection, form, change)?);
            }
        }
        for (key, [wanted, there]) in here() {
            let Some(wanted) = wanted else { continue };
            let same = there.as_ref().is_some_and(|there| there.is_like(wanted));
            if tool.options.readd || !same {
                let change = change(FlowCommand::Add, key, wanted);
                requests.push(tool.write_flow(&connection, form, change)?);
            }
        }
    }
    if tool.options.bundle {
        tool.send_bundle(&name, &mut connection, &requests)
    } else {
        tool.send_quietly(&name, &mut connection, &requests)
    }
}

/// Whether the word names a file and not a switch.
fn is_file(source: &str) -> bool {
    source.starts_with(['/', '.']) || !source.contains(':') && Path::new(source).exists()
}

pub(super) fn differ(tool: &mut Tool) -> Done {
    let mut both = Both::new();
    let mut names = Names::new();
    for side in 0..2 {
        let source = tool.options.word(1 + side).unwrap_or_default().to_owned();
        if is_file(&source) {
            from_file(&source, &names, &mut both, side)?;
        } else {
            let mut connection = tool.open(&source)?;
            let form = tool.agree_for_dump(&mut connection, Protocols::ANY)?;
            from_switch(tool, &mut connection, form, &mut both, side)?;
            if names == Names::new() {
                names = tool.shown(&source)?;
            }
        }
    }
    let mut text = String::new();
    for (key, versions) in &both {
        if let [Some(a), Some(b)] = versions
            && a.is_like(b)
        {
            continue;
        }
        for (sign, flow) in ['-', '+'].into_iter().zip(versions) {
            if let Some(flow) = flow {
                text.push_str(&format!("{sign}{}", flow.print(key, &names)));
            }
        }
    }
    say(&text);
    if text.is_empty() { Ok(()) } else { Err(Stop::silent(2)) }
}
