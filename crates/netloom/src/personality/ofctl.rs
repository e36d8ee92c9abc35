//! `ovs-ofctl`: asks and changes switches by OpenFlow.
//!
//! ```text
//! command line ──▶ Options ──▶ Tool ──▶ Connection ──▶ octets of messages ──▶ proto::openflow::text
//!                              commands: one module for each kind
//! ```
//!
//! Source: ovs-ofctl(8), and what the program of Open vSwitch 3.1 prints.
//!
//! Absent: TLS (`ssl:`), and listening for switches (`ptcp:`).

mod compare;
pub mod connection;
mod detach;
mod fit;
mod flows;
mod groups;
mod matches;
mod monitor;
pub mod native;
pub mod options;
mod parse;
mod pcap;
mod probe;
mod settings;
mod show;
pub mod tool;

use super::client::{self, Done, Place, Stop, say};
use options::Options;
use tool::Tool;

type Run = fn(&mut Tool) -> Done;

/// A command: its arguments as they are told, how many it takes at least and at most, whether it changes something.
struct Command {
    name: &'static str,
    usage: Option<&'static str>,
    least: usize,
    most: usize,
    run: Run,
    changes: bool,
}

const fn reads(name: &'static str, usage: &'static str, least: usize, most: usize, run: Run) -> Command {
    Command { name, usage: Some(usage), least, most, run, changes: false }
}

const fn changes(name: &'static str, usage: &'static str, least: usize, most: usize, run: Run) -> Command {
    Command { name, usage: Some(usage), least, most, run, changes: true }
}

/// Commands for tests, which are told nobody.
const fn hidden(name: &'static str, least: usize, most: usize, run: Run) -> Command {
    Command { name, usage: None, least, most, run, changes: true }
}

const ANY: usize = usize::MAX;

static COMMANDS: &[Command] = &[
    reads("show", "switch", 1, 1, show::show),
    reads("monitor", "switch [misslen] [invalid_ttl] [watch:[...]]", 1, 3, monitor::monitor),
    reads("snoop", "switch", 1, 1, monitor::snoop),
    reads("dump-desc", "switch", 1, 1, show::description),
    reads("dump-tables", "switch", 1, 1, show::tables),
    reads("dump-table-features", "switch", 1, 1, show::table_features),
    reads("dump-table-desc", "switch", 1, 1, show::table_descriptions),
    reads("dump-flows", "switch", 1, 2, flows::dump),
    reads("dump-aggregate", "switch", 1, 2, flows::aggregate),
    reads("queue-stats", "switch [port [queue]]", 1, 3, show::queue_statistics),
    reads("queue-get-config", "switch [port [queue]]", 1, 3, show::queue_configs),
    changes("add-flow", "switch flow", 2, 2, flows::add),
    changes("add-flows", "switch file", 2, 2, flows::add_file),
    changes("mod-flows", "switch flow", 2, 2, flows::modify),
    changes("del-flows", "switch [flow]", 1, 2, flows::delete),
    changes("replace-flows", "switch file", 2, 2, compare::replace),
    changes("diff-flows", "source1 source2", 2, 2, compare::differ),
    changes("add-meter", "switch meter", 2, 2, groups::add_meter),
    changes("mod-meter", "switch meter", 2, 2, groups::modify_meter),
    changes("del-meter", "switch meter", 1, 2, groups::delete_meters),
    changes("del-meters", "switch", 1, 2, groups::delete_meters),
    reads("dump-meter", "switch meter", 1, 2, groups::meters),
    reads("dump-meters", "switch", 1, 2, groups::meters),
    reads("meter-stats", "switch [meter]", 1, 2, groups::meter_statistics),
    reads("meter-features", "switch", 1, 1, groups::meter_features),
    changes(
        "packet-out",
        "switch \"in_port=<port> packet=<hex data> actions=...\"",
        2,
        ANY,
        flows::packet_out,
    ),
    reads("dump-ports", "switch [port]", 1, 2, show::port_statistics),
    reads("dump-ports-desc", "switch [port]", 1, 2, show::port_descriptions),
    changes("mod-port", "switch iface act", 3, 3, settings::port),
    changes("mod-table", "switch mod", 3, 3, settings::table),
    reads("get-frags", "switch", 1, 1, settings::get_fragments),
    changes("set-frags", "switch frag_mode", 2, 2, settings::set_fragments),
    reads("probe", "target", 1, 1, probe::probe),
    reads("ping", "target [n]", 1, 2, probe::ping),
    reads("benchmark", "target n count", 3, 3, probe::benchmark),
    reads("dump-ipfix-bridge", "switch", 1, 1, show::ipfix_bridge),
    reads("dump-ipfix-flow", "switch", 1, 1, show::ipfix_flow),
    reads("ct-flush-zone", "switch zone", 2, 2, settings::flush_zone),
    reads("ct-flush", "switch [zone=N] [ct-orig-tuple [ct-reply-tuple]]", 1, 4, settings::flush),
    changes("ofp-parse", "file", 1, 1, parse::messages),
    changes("ofp-parse-pcap", "pcap", 1, ANY, pcap::messages),
    changes("add-group", "switch group", 1, 2, groups::add),
    changes("add-groups", "switch file", 2, 2, groups::add_file),
    changes("mod-group", "switch group", 1, 2, groups::modify),
    changes("del-groups", "switch [group]", 1, 2, groups::delete),
    changes("insert-buckets", "switch [group]", 1, 2, groups::insert_buckets),
    changes("remove-buckets", "switch [group]", 1, 2, groups::remove_buckets),
    reads("dump-groups", "switch [group]", 1, 2, groups::descriptions),
    reads("dump-group-stats", "switch [group]", 1, 2, groups::statistics),
    reads("dump-group-features", "switch", 1, 1, groups::features),
    changes("bundle", "switch file", 2, 2, groups::bundle),
    reads("add-tlv-map", "switch map", 2, 2, settings::add_options),
    reads("del-tlv-map", "switch [map]", 1, 2, settings::delete_options),
    reads("dump-tlv-map", "switch", 1, 1, settings::options),
    hidden("help", 0, ANY, help),
    hidden("list-commands", 0, ANY, list_commands),
    hidden("parse-flow", 1, 1, parse::flow),
    hidden("parse-flows", 1, 1, parse::flows),
    hidden("parse-group", 1, 1, parse::group),
    hidden("parse-nx-match", 0, 0, matches::nxm),
    hidden("parse-nxm", 0, 0, matches::nxm),
    hidden("parse-oxm", 1, 1, matches::oxm),
    hidden("parse-actions", 1, 1, parse::actions),
    hidden("parse-instructions", 1, 1, parse::instructions),
    hidden("parse-pcap", 1, ANY, pcap::flows),
    hidden("print-error", 1, 1, parse::error),
    hidden("encode-error-reply", 2, 2, parse::error_reply),
    hidden("ofp-print", 1, 2, parse::message),
    hidden("encode-hello", 1, 1, parse::hello),
    hidden("parse-key-value", 1, ANY, parse::key_value),
    hidden("parse-packet", 0, 0, parse::packet),
];

/// Runs the tool.
///
/// # Errors
/// What it ends with.
pub fn run(place: &Place, words: Vec<String>) -> Done {
    let options = Options::read(place, words)?;
    if options.version {
        let version = netloom_control::unixctl::standard::version(place.program);
        say(&format!("{version}\nOpenFlow versions 0x1:0x6\n"));
        return Ok(());
    }
    let log = client::begin_log(place.program, &options.verbose)?;
    client::limit(options.timeout, &log);
    let mut tool = Tool::new(options, log);
    if tool.options.help {
        return help(&mut tool);
    }
    carry_out(&mut tool)
}

fn carry_out(tool: &mut Tool) -> Done {
    let Some(name) = tool.options.word(0).map(str::to_owned) else {
        return Err("missing command name; use --help for help".into());
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(format!("unknown command '{name}'; use --help for help").into());
    };
    let count = tool.options.words.len() - 1;
    let (least, most) = (command.least, command.most);
    let wrong = if count < least {
        format!("requires at least {least} arguments")
    } else if count > most {
        format!("takes at most {most} arguments")
    } else if tool.options.read_only && command.changes && !matches!(name.as_str(), "help" | "list-commands")
    {
        "does not work in read only mode".to_owned()
    } else {
        return (command.run)(tool);
    };
    Err(Stop::from(format!("'{name}' command {wrong}")))
}

fn help(tool: &mut Tool) -> Done {
    let program = tool.options.place.program;
    let mut text = format!(
        "{program}: OpenFlow switch management utility\nusage: {program} [OPTIONS] COMMAND [ARG...]\n\nCommands:\n"
    );
    for command in COMMANDS {
        if let Some(usage) = command.usage {
            text.push_str(&format!("  {} {usage}\n", command.name));
        }
    }
    text.push_str(
        "\nSWITCH is a bridge, the file of a socket, unix:FILE or tcp:HOST[:PORT].\n\n\
         Options:\n  \
         -O, --protocols=VERSIONS    OpenFlow versions that may be spoken (default: OpenFlow10)\n  \
         -F, --flow-format=FORMATS   forms of flows that may be used\n  \
         -P, --packet-in-format=FORM how packets come (monitor)\n  \
         -m, --more                  say more of messages\n  \
         -t, --timeout=SECS          give up after SECS seconds\n  \
         --strict                    flows as they are, not all that are within\n  \
         --bundle                    all at once or nothing\n  \
         --readd                     replace flows that haven't changed\n  \
         --may-create                mod-group makes what is not there\n  \
         --sort[=field]              sort in ascending order\n  \
         --rsort[=field]             sort in descending order\n  \
         --names, --no-names         names of ports and tables, or their numbers\n  \
         --stats, --no-stats         what flows counted, or not\n  \
         --timestamp                 (monitor, snoop) print timestamps\n  \
         --unixctl=SOCKET            (monitor, snoop) set control socket name\n  \
         --detach, --pidfile[=FILE], --no-chdir, --overwrite-pidfile  (monitor, snoop) as a daemon\n  \
         --read-only                 do not execute read/write commands\n  \
         -h, --help                  display this help message\n  \
         -V, --version               display version information\n",
    );
    say(&text);
    Ok(())
}

fn list_commands(_: &mut Tool) -> Done {
    let mut text = "The available commands are:\n".to_owned();
    for command in COMMANDS {
        text.push_str(&format!("  {:<23} {}\n", command.name, command.usage.unwrap_or_default()));
    }
    say(&text);
    Ok(())
}

/// The time as `2026-11-21 20:47:22.123`.
pub fn timestamp() -> String {
    monitor::timestamp().trim_end_matches(": ").to_owned()
}
