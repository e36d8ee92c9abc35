//! `ovs-vsctl`: reads and changes the database that configures a switch.
//!
//! ```text
//! command line ──▶ Calls ──▶ Draft over a copy of the database ──▶ one transaction ──▶ waits until the switch is so
//!                              ▲ again, if it was disturbed or waits for something │
//!                              └────────────────────────────────────────────────────┘
//! ```
//!
//! Source: ovs-vsctl(8), and what the program of Open vSwitch 3.1 prints.
//!
//! Absent: TLS to the database.

mod bridges;
mod context;
mod draft;
mod fresh;
mod help;
pub mod link;
mod lookup;
mod model;
mod records;
mod settings;
mod show;
pub mod table;

use super::client::{self, Done, Place, Stop, complain, say};
use super::getopt::{self, COMMON, Known, Value};
use super::paths;
use context::{Call, Context, Symbols};
use draft::{Draft, Extra, Transaction};
use link::Link;
use netloom_control::unixctl::vlog::Log;
use netloom_proto::ovsdb::client::{Replica, Wanted};
use netloom_proto::ovsdb::{Json, OPEN_VSWITCH, Schema, Uuid, UuidSource};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use table::{Format, Style, Table, TablePrinter};

const DATABASE: &str = "Open_vSwitch";

type Run = for<'c, 'a> fn(&'c mut Context<'a>) -> Done;

/// A command: its arguments as they are told, how many it takes at least and at most, and its options.
struct Command {
    name: &'static str,
    usage: &'static str,
    least: usize,
    most: usize,
    options: &'static [&'static str],
    run: Run,
}

const fn command(
    name: &'static str,
    usage: &'static str,
    least: usize,
    most: usize,
    options: &'static [&'static str],
    run: Run,
) -> Command {
    Command { name, usage, least, most, options, run }
}

const ANY: usize = usize::MAX;
const MAY: &[&str] = &["--may-exist"];
const IF: &[&str] = &["--if-exists"];

/// Options that end with `=` take a value.
static COMMANDS: &[Command] = &[
    command("init", "", 0, 0, &[], bridges::init),
    command("show", "", 0, 0, &[], show::show),
    command("emer-reset", "", 0, 0, &[], settings::emergency_reset),
    command("add-br", "NEW-BRIDGE [PARENT] [NEW-VLAN]", 1, 3, MAY, bridges::add_bridge),
    command("del-br", "BRIDGE", 1, 1, IF, bridges::delete_bridge),
    command("list-br", "", 0, 0, &["--real", "--fake"], bridges::list_bridges),
    command("br-exists", "BRIDGE", 1, 1, &[], bridges::bridge_exists),
    command("br-to-vlan", "BRIDGE", 1, 1, &[], bridges::bridge_to_vlan),
    command("br-to-parent", "BRIDGE", 1, 1, &[], bridges::bridge_to_parent),
    command("br-set-external-id", "BRIDGE KEY [VALUE]", 2, 3, &[], bridges::set_identifier),
    command("br-get-external-id", "BRIDGE [KEY]", 1, 2, &[], bridges::get_identifier),
    command("list-ports", "BRIDGE", 1, 1, &[], bridges::list_ports),
    command("add-port", "BRIDGE NEW-PORT [COLUMN[:KEY]=VALUE]...", 2, ANY, MAY, bridges::add_port),
    command("del-port", "[BRIDGE] PORT|IFACE", 1, 2, &["--if-exists", "--with-iface"], bridges::delete_port),
    command("port-to-br", "PORT", 1, 1, &[], bridges::port_to_bridge),
    command(
        "add-bond",
        "BRIDGE BOND IFACE... [COLUMN[:KEY]=VALUE]...",
        4,
        ANY,
        &["--may-exist", "--fake-iface"],
        bridges::add_bond,
    ),
    command("add-bond-iface", "BOND IFACE", 2, 2, MAY, bridges::add_bond_interface),
    command("del-bond-iface", "[BOND] IFACE", 1, 2, IF, bridges::delete_bond_interface),
    command("list-ifaces", "BRIDGE", 1, 1, &[], bridges::list_interfaces),
    command("iface-to-br", "IFACE", 1, 1, &[], bridges::interface_to_bridge),
    command("get-controller", "BRIDGE", 1, 1, &[], settings::get_controller),
    command("del-controller", "BRIDGE", 1, 1, &[], settings::delete_controller),
    command("set-controller", "BRIDGE TARGET...", 1, ANY, &["--inactivity-probe="], settings::set_controller),
    command("get-fail-mode", "BRIDGE", 1, 1, &[], settings::get_fail_mode),
    command("del-fail-mode", "BRIDGE", 1, 1, &[], settings::delete_fail_mode),
    command("set-fail-mode", "BRIDGE MODE", 2, 2, &[], settings::set_fail_mode),
    command("get-manager", "", 0, 0, &[], settings::get_manager),
    command("del-manager", "", 0, 0, &[], settings::delete_manager),
    command("set-manager", "TARGET...", 1, ANY, &["--inactivity-probe="], settings::set_manager),
    command("get-ssl", "", 0, 0, &[], settings::get_ssl),
    command("del-ssl", "", 0, 0, &[], settings::delete_ssl),
    command("set-ssl", "PRIVATE-KEY CERTIFICATE CA-CERT", 3, 3, &["--bootstrap"], settings::set_ssl),
    command("add-aa-mapping", "BRIDGE ARG ARG", 3, 3, &[], settings::add_mapping),
    command("del-aa-mapping", "BRIDGE ARG ARG", 3, 3, &[], settings::delete_mapping),
    command("get-aa-mapping", "BRIDGE", 1, 1, &[], settings::get_mappings),
    command("add-zone-tp", "DATAPATH ZONE POLICY...", 3, ANY, MAY, settings::add_zone),
    command("del-zone-tp", "DATAPATH ZONE", 2, 2, IF, settings::delete_zone),
    command("list-zone-tp", "DATAPATH", 1, 1, &[], settings::list_zones),
    command("list-dp-cap", "DATAPATH", 1, 1, &[], settings::list_capabilities),
    command("comment", "[ARG]...", 0, ANY, &[], records::comment),
    command("get", "TABLE RECORD [COLUMN[:KEY]]...", 2, ANY, &["--if-exists", "--id="], records::get),
    command("list", "TABLE [RECORD]...", 1, ANY, &["--if-exists", "--columns="], records::list),
    command("find", "TABLE [COLUMN[:KEY]=VALUE]...", 1, ANY, &["--columns="], records::find),
    command("set", "TABLE RECORD COLUMN[:KEY]=VALUE...", 3, ANY, IF, records::set_columns),
    command("add", "TABLE RECORD COLUMN [KEY=]VALUE...", 4, ANY, IF, records::add),
    command("remove", "TABLE RECORD COLUMN KEY|VALUE|KEY=VALUE...", 4, ANY, IF, records::remove),
    command("clear", "TABLE RECORD COLUMN...", 3, ANY, IF, records::clear),
    command("create", "TABLE COLUMN[:KEY]=VALUE...", 2, ANY, &["--id="], records::create),
    command("destroy", "TABLE [RECORD]...", 1, ANY, &["--if-exists", "--all"], records::destroy),
    command("wait-until", "TABLE RECORD [COLUMN[:KEY]=VALUE]...", 2, ANY, &[], records::wait_until),
];

const OWN: &[Known] = &[
    ("db", None, Value::Yes),
    ("no-syslog", None, Value::No),
    ("no-wait", None, Value::No),
    ("dry-run", None, Value::No),
    ("oneline", None, Value::No),
    ("timeout", Some('t'), Value::Yes),
    ("retry", None, Value::No),
    ("commands", None, Value::No),
    ("options", None, Value::No),
    ("format", Some('f'), Value::Yes),
    ("data", Some('d'), Value::Yes),
    ("no-headings", None, Value::No),
    ("bare", None, Value::No),
    ("pretty", None, Value::No),
    ("max-column-width", None, Value::Yes),
];

/// How the tool was called.
struct Options {
    database: String,
    waits: bool,
    dry_run: bool,
    one_line: bool,
    retry: bool,
    style: Style,
    /// The command line, for the comment of the transaction.
    called: String,
}

/// Runs the tool.
///
/// # Errors
/// What it ends with.
pub fn run(place: &Place, words: Vec<String>) -> Done {
    let called = std::iter::once(place.program).chain(words.iter().map(String::as_str));
    let called = called.collect::<Vec<_>>().join(" ");
    let local = local_options();
    let (given, words) = getopt::read(&[OWN, &local, COMMON], &words, true)?;
    let mut options = Options {
        database: format!("unix:{}/db.sock", place.run.display()),
        waits: true,
        dry_run: false,
        one_line: false,
        retry: false,
        style: Style::new(Format::List),
        called,
    };
    let (mut first, mut verbose) = (BTreeMap::new(), vec![Some("console:warn".to_owned())]);
    let mut timeout = 0;
    for (name, value) in given {
        let text = value.clone().unwrap_or_default();
        match name {
            "help" => return help::print(place.program),
            "version" => {
                let version = netloom_control::unixctl::standard::version(place.program);
                let schema = Schema::parse(OPEN_VSWITCH).map(|schema| schema.version.to_string());
                say(&format!("{version}\nDB Schema {}\n", schema.unwrap_or_default()));
                return Ok(());
            }
            "commands" => return help::list(),
            "db" => options.database = text,
            "no-wait" => options.waits = false,
            "dry-run" => options.dry_run = true,
            "oneline" => options.one_line = true,
            "retry" => options.retry = true,
            "timeout" => {
                let seconds = text.parse().ok().filter(|seconds| *seconds != 0);
                timeout = seconds.ok_or_else(|| format!("value {text} on -t or --timeout is invalid"))?;
            }
            "verbose" => verbose.push(value),
            _ if options.style.take(name, value.as_deref())? => {}
            _ if local.iter().any(|(local, ..)| *local == name)
                && first.insert(format!("--{name}"), value).is_some() =>
            {
                return Err(format!("'{name}' option specified multiple times").into());
            }
            _ => {}
        }
    }
    let calls = split(&words, first)?;
    let log = client::begin_log(place.program, &verbose)?;
    client::limit(timeout, &log);
    work(place, &options, &calls, &log)
}

/// The options of all commands.
fn local_options() -> Vec<Known> {
    let all: BTreeSet<&'static str> = COMMANDS.iter().flat_map(|command| command.options).copied().collect();
    let known = |option: &'static str| {
        let name = option.strip_prefix("--").unwrap_or(option);
        match name.strip_suffix('=') {
            Some(name) => (name, None, Value::Yes),
            None => (name, None, Value::No),
        }
    };
    all.into_iter().map(known).collect()
}

/// Splits the words into commands at `--`. Options that stood before the first are its own.
fn split(
    words: &[String],
    mut first: BTreeMap<String, Option<String>>,
) -> Done<Vec<(Call, &'static Command)>> {
    let missing = || Stop::from("missing command name (use --help for help)");
    let mut calls = Vec::new();
    for part in words.split(|word| word == "--") {
        if part.is_empty() {
            if first.is_empty() {
                continue;
            }
            return Err(missing());
        }
        calls.push(one_call(part, std::mem::take(&mut first))?);
    }
    if calls.is_empty() { Err(missing()) } else { Ok(calls) }
}

fn one_call(
    words: &[String],
    mut options: BTreeMap<String, Option<String>>,
) -> Done<(Call, &'static Command)> {
    let begin = words.iter().position(|word| !word.starts_with('-')).unwrap_or(words.len());
    let (before, words) = words.split_at(begin);
    for word in before {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if options.insert(name.to_owned(), value).is_some() {
            return Err(format!("'{word}' option specified multiple times").into());
        }
    }
    let Some((name, arguments)) = words.split_first() else {
        return Err("missing command name (use --help for help)".into());
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("unknown command '{name}'; use --help for help").into());
    };
    for (option, value) in &options {
        let takes = command.options.contains(&format!("{option}=").as_str());
        if !takes && !command.options.contains(&option.as_str()) {
            return Err(format!("'{name}' command has no '{option}' option").into());
        }
        if takes && value.is_none() {
            return Err(format!("missing argument to '{option}' option on '{name}' command").into());
        }
        if !takes && value.is_some() {
            return Err(format!("'{option}' option on '{name}' does not accept an argument").into());
        }
    }
    let (count, least, most) = (arguments.len(), command.least, command.most);
    if count < least {
        return Err(format!("'{name}' command requires at least {least} arguments").into());
    }
    if count > most {
        let options = arguments.iter().any(|word| word.starts_with('-'));
        let note = " (note that options must precede command names and follow a \"--\" argument)";
        let note = if options { note } else { "" };
        return Err(format!("'{name}' command takes at most {most} arguments{note}").into());
    }
    Ok((Call { words: words.to_vec(), options }, command))
}

/// Columns that the commands about bridges and names need.
const BASE: [(&str, &[&str]); 13] = [
    ("Open_vSwitch", &["bridges", "cur_cfg", "next_cfg", "manager_options", "ssl", "datapaths"]),
    (
        "Bridge",
        &[
            "name",
            "ports",
            "controller",
            "fail_mode",
            "external_ids",
            "auto_attach",
            "netflow",
            "sflow",
            "ipfix",
        ],
    ),
    ("Port", &["name", "fake_bridge", "tag", "interfaces", "external_ids", "qos"]),
    ("Interface", &["name", "ofport", "error"]),
    ("Controller", &["target"]),
    ("Manager", &["target"]),
    ("Mirror", &["name"]),
    ("SSL", &["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"]),
    ("AutoAttach", &["mappings"]),
    ("Datapath", &["ct_zones", "capabilities"]),
    ("CT_Zone", &["timeout_policy"]),
    ("CT_Timeout_Policy", &["timeouts"]),
    ("Flow_Sample_Collector_Set", &["id", "bridge"]),
];

/// What is to be followed for these commands.
fn wanted(calls: &[(Call, &'static Command)]) -> Vec<Wanted> {
    let schema = Schema::parse(OPEN_VSWITCH).ok();
    let tables = || schema.iter().flat_map(|schema| schema.tables.iter().map(|table| &*table.name));
    let mut columns: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut whole: BTreeSet<String> = BTreeSet::new();
    for (table, of) in BASE {
        columns.entry(table.to_owned()).or_default().extend(of);
    }
    for (call, command) in calls {
        match command.name {
            "show" => {
                for (table, of) in show::wanted() {
                    columns.entry(table.to_owned()).or_default().extend(of);
                }
            }
            "emer-reset" => whole.extend(tables().map(str::to_owned)),
            "get" | "list" | "find" | "set" | "add" | "remove" | "clear" | "create" | "destroy"
            | "wait-until" => {
                whole.extend(lookup::table_name(tables(), call.word(1)).ok().map(str::to_owned));
            }
            // Settings are columns of the port.
            "add-port" | "add-bond" if call.words.len() > 3 => {
                whole.insert("Port".to_owned());
            }
            _ => {}
        }
    }
    let names: BTreeSet<String> = columns.keys().chain(&whole).cloned().collect();
    let one = |table: String| {
        let of = columns.get(&table).filter(|_| !whole.contains(&table));
        let of = of.map(|of| of.iter().map(|column| (*column).to_owned()).collect());
        Wanted { table, columns: of, condition: None }
    };
    names.into_iter().map(one).collect()
}

/// What the commands said, and what they would change.
struct Outcome {
    draft: Draft,
    said: Vec<(String, Option<Table>)>,
    interfaces: Vec<Uuid>,
    switch: draft::Place,
}

/// Carries the commands out on a draft. Nothing if one of them waits for something.
fn draft_of(replica: Replica, calls: &[(Call, &'static Command)], log: &Arc<Log>) -> Done<Option<Outcome>> {
    let mut draft = Draft::new(replica);
    let table = draft.table_of(DATABASE).ok_or("the database has no table Open_vSwitch")?;
    let switch = match draft.rows(table).first() {
        Some(uuid) => (table, *uuid),
        None => draft.insert(table, None).ok_or("the database has no table Open_vSwitch")?,
    };
    let seed = [0_u64, 1, 2, 3].map(|number| RandomState::new().hash_one(number));
    let mut symbols = Symbols::new(UuidSource::new(seed));
    let (mut said, mut interfaces) = (Vec::new(), Vec::new());
    for (at, (call, command)) in calls.iter().enumerate() {
        let mut context = Context {
            draft: &mut draft,
            switch,
            call,
            symbols: &mut symbols,
            last: at + 1 == calls.len(),
            output: String::new(),
            table: None,
            try_again: false,
            interfaces: &mut interfaces,
            log,
        };
        (command.run)(&mut context)?;
        if context.try_again {
            return Ok(None);
        }
        said.push((context.output, context.table));
    }
    symbols.check(log)?;
    Ok(Some(Outcome { draft, said, interfaces, switch }))
}

fn work(place: &Place, options: &Options, calls: &[(Call, &'static Command)], log: &Arc<Log>) -> Done {
    let open = |wanted| Link::open(&options.database, DATABASE, wanted, options.retry);
    let (mut link, mut first) = match fresh::names(calls) {
        Some(names) => {
            let link = open(fresh::wanted(&names))?;
            // Whatever is in the way is found, and told, by who sees everything.
            let alone = fresh::are_free(&link.replica()?, &names);
            match alone.then(|| draft_of(link.replica()?, calls, log)) {
                Some(Ok(Some(outcome))) => (link, Some(outcome)),
                _ => (open(wanted(calls))?, None),
            }
        }
        None => (open(wanted(calls))?, None),
    };
    loop {
        let outcome = match first.take() {
            Some(outcome) => Some(outcome),
            None => draft_of(link.replica()?, calls, log)?,
        };
        let Some(mut outcome) = outcome else {
            link.wait_for_change()?;
            continue;
        };
        let extra = Extra {
            counted: options.waits.then_some(outcome.switch),
            comment: format!("{} (invoked by {}): {}", place.program, parent(), options.called),
            dry_run: options.dry_run,
        };
        let Some(transaction) = outcome.draft.transaction(&extra) else {
            return tell(options, calls, outcome.said, &BTreeMap::new());
        };
        let Transaction { operations, inserted, next_cfg } = transaction;
        match link.transact(operations)? {
            Err(error) if error.tag() == "timed out" => {
                link.wait_for_change()?;
                continue;
            }
            Err(error) if error.tag() == "aborted" && options.dry_run => {
                return tell(options, calls, outcome.said, &BTreeMap::new());
            }
            Err(error) => {
                let text = format!("transaction error: {}", error.to_json().text());
                client::warn(log, "ovsdb_idl", &text);
                return Err(text.into());
            }
            Ok(results) => {
                let real = real_names(&results, &inserted);
                let said = std::mem::take(&mut outcome.said);
                tell(options, calls, said, &real)?;
                if let Some(number) = next_cfg.and_then(|at| next_number(results.get(at)?)) {
                    wait_for(&mut link, number)?;
                    check_interfaces(place, &link, &outcome, &real)?;
                }
                return Ok(());
            }
        }
    }
}

/// The names that the database gave to new rows.
fn real_names(results: &[Json], inserted: &[(usize, Uuid)]) -> BTreeMap<Uuid, Uuid> {
    let real = |at: usize| -> Option<Uuid> {
        let uuid = results.get(at)?.get("uuid")?.as_array()?;
        uuid.get(1)?.as_str()?.parse().ok()
    };
    inserted.iter().filter_map(|(at, uuid)| Some((*uuid, real(*at)?))).collect()
}

fn next_number(result: &Json) -> Option<i64> {
    result.get("rows")?.as_array()?.first()?.get("next_cfg")?.as_integer()
}

/// Waits until the switch has seen the change.
fn wait_for(link: &mut Link, number: i64) -> Done {
    link.keep_trying();
    loop {
        let draft = Draft::new(link.replica()?);
        let table = draft.table_of(DATABASE).unwrap_or_default();
        let seen = |uuid: &Uuid| draft.integer((table, *uuid), "cur_cfg").is_some_and(|seen| seen >= number);
        if draft.rows(table).iter().any(seen) {
            return Ok(());
        }
        link.wait_for_change()?;
    }
}

/// Says which new interfaces the switch could not make.
fn check_interfaces(place: &Place, link: &Link, outcome: &Outcome, real: &BTreeMap<Uuid, Uuid>) -> Done {
    let draft = Draft::new(link.replica()?);
    let Some(table) = draft.table_of("Interface") else { return Ok(()) };
    let program = place.program;
    let mut any = false;
    for uuid in outcome.interfaces.iter().filter_map(|uuid| real.get(uuid)) {
        let row = (table, *uuid);
        if draft.row(row).is_none() || draft.integer(row, "ofport").is_some_and(|port| port != -1) {
            continue;
        }
        let name = draft.text(row, "name").unwrap_or_default();
        let why = draft.text(row, "error").filter(|why| !why.is_empty());
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        complain(&format!(
            "{program}: Error detected while setting up '{name}'{why}.  See ovs-vswitchd log for details.\n"
        ));
        any = true;
    }
    if any {
        let logs = paths::logs();
        complain(&format!("{program}: The default log directory is \"{}\".\n", logs.display()));
    }
    Ok(())
}

/// Prints what the commands said.
fn tell(
    options: &Options,
    calls: &[(Call, &'static Command)],
    said: Vec<(String, Option<Table>)>,
    real: &BTreeMap<Uuid, Uuid>,
) -> Done {
    let mut printer = TablePrinter::new(options.style);
    let mut out = String::new();
    for ((_, command), (mut text, table)) in calls.iter().zip(said) {
        if command.name == "create" {
            let uuid = text.parse::<Uuid>().ok();
            let uuid = uuid.map(|uuid| real.get(&uuid).copied().unwrap_or(uuid));
            text = uuid.map_or(text, |uuid| format!("{uuid}\n"));
        }
        match table {
            Some(table) => out.push_str(&printer.print(&table)),
            None if options.one_line => {
                let line = text.strip_suffix('\n').unwrap_or(&text);
                out.push_str(&format!("{}\n", line.replace('\\', "\\\\").replace('\n', "\\n")));
            }
            None => out.push_str(&text),
        }
    }
    say(&out);
    Ok(())
}

/// Who called, for the comment of the transaction.
fn parent() -> String {
    let pid = std::os::unix::process::parent_id();
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).trim_end_matches('\0').replace('\0', " ");
    format!("{words} (pid {pid})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(text: &str) -> Result<Vec<String>, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        match split(&words, BTreeMap::new()) {
            Ok(calls) => {
                Ok(calls.iter().map(|(call, command)| format!("{}:{}", command.name, call.text())).collect())
            }
            Err(stop) => Err(stop.message.unwrap_or_default()),
        }
    }

    #[test]
    fn words_are_commands() {
        assert_eq!(
            calls("--may-exist add-br br0 -- list-br").unwrap(),
            ["add-br:--may-exist add-br br0", "list-br:list-br"]
        );
        assert_eq!(calls("-- -- list-br").unwrap(), ["list-br:list-br"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text| calls(text).unwrap_err();
        assert_eq!(error(""), "missing command name (use --help for help)");
        assert_eq!(error("frob"), "unknown command 'frob'; use --help for help");
        assert_eq!(error("--id=@x add-br b"), "'add-br' command has no '--id' option");
        assert_eq!(
            error("--may-exist=1 add-br b"),
            "'--may-exist' option on 'add-br' does not accept an argument"
        );
        assert_eq!(
            error("--columns list Bridge"),
            "missing argument to '--columns' option on 'list' command"
        );
        assert_eq!(error("add-br"), "'add-br' command requires at least 1 arguments");
        assert_eq!(error("list-br x"), "'list-br' command takes at most 0 arguments");
    }
}
