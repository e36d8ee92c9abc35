//! `ovsdb-server`: a database server. `control::ovsdb` serves; this is its command line and its control socket.

use super::Begun;
use super::arguments::Called;
use super::daemon::complete;
use super::{keys, paths};
use netloom_control::ovsdb::replication::{self, Replication};
use netloom_control::ovsdb::{DatabaseHandle, OvsdbServer, Relay, commands as database};
use netloom_control::unixctl::coverage::Coverage;
use netloom_control::unixctl::standard::{self, Standard};
use netloom_control::unixctl::{Commands, Unixctl};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long to wait at most until it is looked whether the end has come.
const LOOK: Duration = Duration::from_millis(50);
/// Who reads the command line of `--run`, as system(3) says it.
const SHELL: &str = "/bin/sh";
/// How long to wait at first for the server of a relayed database.
const SOURCE: Duration = Duration::from_secs(5);
/// How long the last answers may take.
const LAST: Duration = Duration::from_secs(1);

/// Runs until somebody ends it.
///
/// # Errors
/// When it can't begin.
pub fn run(called: &Called) -> Result<u8, String> {
    // Paths are meant from where the program was started: it may go elsewhere.
    let (relays, files): (Vec<&String>, Vec<&String>) =
        called.words.iter().partition(|word| word.starts_with("relay:"));
    let mut files: Vec<PathBuf> = files.into_iter().map(|word| paths::absolute(word)).collect();
    if called.words.is_empty() && !called.no_databases {
        files.push(paths::databases().join("conf.db"));
    }
    let mut listens = called.remotes.clone();
    let memory = std::env::var_os(super::daemon::MEMORY).map(PathBuf::from);
    // One that crashed served more, or less, than the command line says.
    if let Some(text) = memory.as_ref().and_then(|path| std::fs::read_to_string(path).ok()) {
        let of = |kind: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.filter(|(known, _)| *known == kind).map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        files = of("database").into_iter().map(PathBuf::from).collect();
        listens = of("remote");
    }
    let keys = keys::sources(called, &std::env::current_dir().unwrap_or_default());
    let begun = Begun::begin(called)?;
    let mut unixctl = match &begun.control {
        Some(path) => Some(Unixctl::bind(path).map_err(|error| super::no_control(path, &error))?),
        None => None,
    };
    let server = OvsdbServer::start().map_err(|error| error.to_string())?;
    let mut handle = server.handle().clone();
    handle.set_directory(&paths::run()).map_err(|error| error.to_string())?;
    handle.set_keys(keys).map_err(|error| error.to_string())?;
    for file in &files {
        handle.add_file(file).map_err(|error| error.to_string())?;
    }
    let mut relayed = Vec::new();
    for relay in relays {
        let text = relay.strip_prefix("relay:").unwrap_or(relay);
        relayed.push(Relay::start(&handle, text, &paths::run()).map_err(|error| error.to_string())?);
    }
    for relay in &relayed {
        if !relay.wait(SOURCE) {
            tracing::warn!(target: "ovsdb_relay", "the server of a relayed database does not answer yet");
        }
    }
    for remote in &listens {
        if let Err(error) = handle.add_remote(remote) {
            // As Open vSwitch does: the others are served.
            tracing::error!(target: "ovsdb_jsonrpc_server", "{error}");
        }
    }
    let mut commands: Commands<DatabaseHandle> = Commands::default();
    let coverage = Arc::new(Mutex::new(Coverage::new(Instant::now())));
    let own = Standard { program: called.program.to_owned(), log: begun.log.clone(), coverage };
    standard::add(&mut commands, own, |_| BTreeMap::new(), database::memory);
    database::add_commands(&mut commands);
    let mut backup = Replication::new(handle.clone(), paths::run());
    let mut begins = false;
    for (name, value) in &called.others {
        match name.as_str() {
            "sync-from" => {
                backup.set_source(value);
                begins = true;
            }
            "sync-exclude-tables" => backup.exclude(value)?,
            _ => {}
        }
    }
    if begins && !called.others.iter().any(|(name, _)| name == "active") {
        backup.start();
    }
    let backup = Arc::new(Mutex::new(backup));
    replication::add_commands(&mut commands, &backup);
    let ends: Arc<AtomicBool> = begun.ended.clone();
    commands.add("exit", "", 0, 0, move |_, _| {
        ends.store(true, Ordering::Release);
        Ok(String::new())
    });
    complete(called).map_err(|error| error.to_string())?;
    if called.detach {
        begun.log.leave_console();
    }
    super::say_version(&begun.log, called, "ovsdb_server");
    let mut child = called.run.as_deref().map(command).transpose()?;
    while !begun.ended.load(Ordering::Acquire) {
        match &mut unixctl {
            Some(unixctl) => {
                let calls = unixctl.wait(LOOK);
                let some = !calls.is_empty();
                for call in calls {
                    commands.carry_out(&mut handle, call);
                }
                if let Some(memory) = memory.as_ref().filter(|_| some) {
                    remember(memory, &handle);
                }
            }
            None => std::thread::sleep(LOOK),
        }
        if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
        }
    }
    if let Some(mut unixctl) = unixctl {
        unixctl.finish(LAST);
    }
    server.stop();
    Ok(0)
}

/// Writes down what is served, for a daemon that a monitor starts in the place of this one.
fn remember(path: &Path, handle: &DatabaseHandle) {
    // A server that has ended serves nothing.
    let (files, remotes) = (handle.files().unwrap_or_default(), handle.remotes().unwrap_or_default());
    let files = files.iter().map(|path| format!("database {}\n", path.display()));
    let text: String = files.chain(remotes.iter().map(|remote| format!("remote {remote}\n"))).collect();
    if let Err(error) = std::fs::write(path, text) {
        tracing::warn!(target: "ovsdb_server", "{}: {error}", path.display());
    }
}

/// Starts the command that the server serves.
fn command(text: &str) -> Result<Child, String> {
    let mut command = Command::new(SHELL);
    command.args(["-c", text]).env_remove(super::daemon::ROLE);
    command.spawn().map_err(|error| format!("{text}: {error}"))
}
