//! This program called by the names of others: the daemons `ovs-vswitchd` and `ovsdb-server`, and the tools `ovs-vsctl`,
//! `ovs-ofctl`, `ovs-appctl` and `ovsdb-client`, by a link of that name or as `netloom ovs-vswitchd ...`. Unit files, start
//! scripts and test suites run it unchanged. `netloom --run DIR ovs-vsctl ...` asks the daemon of that directory.
//!
//! ```text
//! arguments ──▶ Called ──▶ [parent: waits until it is ready] ──▶ [monitor: starts it again] ──▶ daemon
//!                            --detach                              --monitor                     pid file, log, control
//!                                                                                                socket, its work
//! ```
//!
//! What: [`arguments`] reads the command line, [`daemon`] leaves the terminal and keeps the pid file, [`paths`] knows where
//! files are. One module for each name does its work: a tool in this process, without any of that.
//!
//! Absent: SSL options are read, and do nothing where nothing listens with SSL.
//! Source: ovs-vswitchd(8), ovsdb-server(1), and what the programs of Open vSwitch 3.1 print.

pub mod appctl;
mod arguments;
pub mod client;
mod daemon;
pub mod found;
mod getopt;
mod keys;
pub mod ofctl;
mod ovsdb_client;
mod ovsdb_server;
mod paths;
pub mod vsctl;
mod vswitchd;

use arguments::Called;
use daemon::PidFile;
use netloom_control::unixctl::vlog::{Level, Log};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The daemons that this program is.
const DAEMONS: [&str; 2] = ["ovs-vswitchd", "ovsdb-server"];

type Tool = fn(&client::Place, Vec<String>) -> client::Done;

/// The tools that this program is.
const TOOLS: [(&str, Tool); 4] = [
    ("ovs-vsctl", vsctl::run),
    ("ovs-ofctl", ofctl::run),
    ("ovs-appctl", appctl::run),
    ("ovsdb-client", ovsdb_client::run),
];

/// Runs as another program if it was called so.
pub fn run(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments: Vec<String> = arguments.map(|text| text.to_string_lossy().into_owned()).collect();
    if let Some(code) = run_tool(&arguments) {
        return Some(code);
    }
    let known = |text: Option<&String>| {
        let name = base(text?)?;
        DAEMONS.into_iter().find(|known| *known == name)
    };
    let (program, skip) = match (known(arguments.first()), known(arguments.get(1))) {
        (Some(program), _) => (program, 1),
        (None, Some(program)) => (program, 2),
        (None, None) => return None,
    };
    let rest = arguments.split_off(skip);
    Some(match start(program, rest) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("{program}: {message}");
            ExitCode::FAILURE
        }
    })
}

fn base(text: &str) -> Option<String> {
    Path::new(text).file_name().map(|name| name.to_string_lossy().into_owned())
}

/// Runs as a tool if it was called so. A run directory may stand before the tool's name.
fn run_tool(arguments: &[String]) -> Option<ExitCode> {
    let known = |text: Option<&String>| {
        let name = base(text?)?;
        TOOLS.into_iter().find(|(known, _)| *known == name)
    };
    let (own, rest) = arguments.split_first()?;
    let (run, (program, tool), words) = match (known(Some(own)), rest) {
        (Some(tool), words) => (None, tool, words),
        (None, [option, directory, name, words @ ..]) if option == "--run" => {
            (Some(PathBuf::from(directory)), known(Some(name))?, words)
        }
        (None, [name, words @ ..]) => match name.strip_prefix("--run=") {
            Some(directory) => {
                let (name, words) = words.split_first()?;
                (Some(PathBuf::from(directory)), known(Some(name))?, words)
            }
            None => (None, known(Some(name))?, words),
        },
        (None, []) => return None,
    };
    let place = client::Place { program, run: run.unwrap_or_else(paths::run) };
    Some(match tool(&place, words.to_vec()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            if let Some(message) = stop.message {
                client::complain(&format!("{program}: {message}\n"));
            }
            ExitCode::from(stop.code)
        }
    })
}

fn start(program: &'static str, rest: Vec<String>) -> Result<u8, String> {
    let called = Called::read(program, rest)?;
    if called.help {
        print!("{}", arguments::help(program));
        return Ok(0);
    }
    if called.version {
        println!("{}", netloom_control::unixctl::standard::version(program));
        return Ok(0);
    }
    if let Some(code) = daemon::leave(&called)? {
        return Ok(code);
    }
    match program {
        "ovsdb-server" => ovsdb_server::run(&called),
        _ => vswitchd::run(&called),
    }
}

/// What a daemon of either name has when its own work begins.
struct Begun {
    log: Arc<Log>,
    /// Where `ovs-appctl` asks; none if nobody is to.
    control: Option<PathBuf>,
    /// Somebody ends it by a signal.
    ended: Arc<AtomicBool>,
    /// Taken away at the end.
    _pid_file: Option<PidFile>,
}

impl Begun {
    /// Begins: log, pid file, signals.
    fn begin(called: &Called) -> Result<Self, String> {
        let log = Log::new(called.program);
        if let Some(method) = called.syslog_method.clone().or_else(|| std::env::var("OVS_SYSLOG_METHOD").ok())
        {
            log.set_syslog(&method)?;
        }
        if let Some(target) = &called.syslog_target {
            log.set_syslog_target(target).map_err(|error| format!("{target}: {error}"))?;
        }
        for spec in &called.verbose {
            match spec {
                Some(spec) => log.set(spec).map_err(|error| format!("processing \"{spec}\": {error}"))?,
                None => log.set_all(),
            }
        }
        let log = crate::log::begin_as(log);
        if let Some(path) = &called.log_file
            && let Err(error) = log.open_file(path)
        {
            tracing::warn!(target: "vlog", "failed to open {} for logging: {error}", path.display());
        }
        let pid_file = match &called.pid_file {
            Some(path) => Some(PidFile::make(path, called.overwrite_pid_file)?),
            None => None,
        };
        let ended = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, ended.clone()).map_err(|error| error.to_string())?;
        }
        let control = match called.unixctl.as_deref() {
            Some("none") => None,
            Some(named) => Some(paths::within(&paths::run(), named)),
            None => Some(paths::run().join(format!("{}.{}.ctl", called.program, std::process::id()))),
        };
        let control = control.map(|path| std::path::absolute(&path).unwrap_or(path));
        Ok(Self { log, control, ended, _pid_file: pid_file })
    }
}

/// Says in the log which program this is.
fn say_version(log: &Log, called: &Called, module: &'static str) {
    // With `--run` it is more like a tool, whose output is compared.
    if called.run.is_none() {
        log.write(module, Level::Information, &netloom_control::unixctl::standard::version(called.program));
    }
}

/// Why there is no control socket.
fn no_control(path: &Path, error: &std::io::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" (os error").next().unwrap_or_default();
    format!("could not initialize control socket {} ({reason})", path.display())
}
