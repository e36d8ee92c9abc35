//! `switchd`: the user-space switch, alone and in the foreground; or on demand, for networks that are `via: switch`.

use crate::cli::SwitchdArgs;
use crate::doors::Drivers;
use crate::failure::Failure;
use crate::personality::found::{self, Found};
use netloom_control::realm::{Realm, RealmKind};
use netloom_control::switch::{
    ControlSocket, Ended, Server, Start, StartSuccessor, Successor, Switch, SwitchSocket, TakeOver,
};
use netloom_control::unixctl::remove_stale;
use netloom_datapath::{Pace, WORKERS};
use rustix::event::{PollFd, PollFlags};
use rustix::process::PidfdFlags;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The directory of the daemon: the one that was named, or the realm's.
pub fn directory(named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| of_realm(&Realm::locate_with(false)), Path::to_owned)
}

/// The directory of a realm's daemon.
pub fn of_realm(realm: &Realm) -> PathBuf {
    realm.run_dir.join("switch")
}

/// Runs until a client or a signal ends it.
///
/// # Errors
/// When another daemon runs there, or the directory can't be used.
pub fn run(named: Option<&Path>, arguments: &SwitchdArgs) -> Result<u8, Failure> {
    let directory = directory(named);
    if arguments.on_demand {
        // The terminal of the command that needed it first is none of its business.
        let _ = rustix::process::setsid();
        end_with_realm(&directory)?;
    }
    std::fs::create_dir_all(&directory)
        .map_err(|error| Failure::new(format!("can't make {}: {error}", directory.display())))?;
    let cores = arguments.cores.as_deref().map(cores).transpose()?.unwrap_or_default();
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, ended.clone())?;
    }
    let socket = SwitchSocket::within(&directory);
    let mut seed = [0; 8];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
        .map_err(std::io::Error::from)?;
    let start = Start {
        directory: directory.clone(),
        cores,
        pace: Pace { busy: arguments.busy, ..Pace::default() },
        seed: u64::from_ne_bytes(seed),
        on_demand: arguments.on_demand,
        ..Start::default()
    };
    let drivers = Drivers::new(start.cores.len().max(1))?;
    let complain = |error: &_| tracing::error!("{error}");
    let (switch, mut server) = if arguments.take_over {
        TakeOver::begin(&socket, &start, Box::new(drivers), complain)
            .and_then(TakeOver::finish)
            .map_err(Failure::new)?
    } else {
        let server = Server::bind(&socket)
            .map_err(|error| Failure::new(format!("can't listen on {}: {error}", socket.path().display())))?;
        (Switch::start(&start, Box::new(drivers), complain).map_err(Failure::new)?, server)
    };
    remove_stale(&directory, "ovs-vswitchd");
    let control = found::socket(&directory, "ovs-vswitchd");
    match ControlSocket::bind(&control, "ovs-vswitchd", crate::log::current()) {
        Ok(control) => server.control(control),
        Err(error) => tracing::warn!(%error, "ovs-appctl can't ask: {} is no socket", control.display()),
    }
    let found = Found::within(&directory, switch.database());
    tracing::info!(socket = %socket.path().display(), "the switch is ready");
    let next = successors(directory.clone(), arguments.clone());
    let end = server.serve(switch, &ended, arguments.on_demand, next)?;
    drop(found);
    if end == Ended::HandedOver {
        return Ok(0);
    }
    if arguments.on_demand {
        remove_stale(&directory, "ovs-vswitchd");
        // Not empty when it was ended from outside: then somebody starts the next one.
        let _ = std::fs::remove_dir(&directory);
    }
    Ok(0)
}

/// This program, or the one that was put in its place since it was started.
fn own_program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(replaced) if !path.exists() => Ok(replaced.into()),
        _ => Ok(path),
    }
}

/// How successors are started: as this daemon was.
fn successors(directory: PathBuf, arguments: SwitchdArgs) -> StartSuccessor {
    Box::new(move |program| {
        let program = program.map_or_else(own_program, |program| Ok(program.to_owned()))?;
        let mut command = Command::new(program);
        command.arg("--run").arg(&directory).args(["switchd", "--take-over"]);
        if let Some(cores) = &arguments.cores {
            command.args(["--cores", cores]);
        }
        if arguments.busy {
            command.arg("--busy");
        }
        if arguments.on_demand {
            command.arg("--on-demand");
        }
        Ok(Box::new(Next(command.stdin(Stdio::null()).spawn()?)))
    })
}

/// A successor that was started.
struct Next(Child);

impl Successor for Next {
    fn ended(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten().map(|status| status.to_string())
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a daemon for the switches of a realm's topologies.
///
/// # Errors
/// When the program can't be started.
pub fn start(realm: &Realm, directory: &Path) -> std::io::Result<()> {
    let log = OpenOptions::new().create(true).append(true).open(realm.log_dir().join("switch.log"))?;
    Command::new(own_program()?)
        .arg("--run")
        .arg(directory)
        .args(["switchd", "--on-demand"])
        .env("NETLOOM_RUN_DIR", &realm.run_dir)
        .env("NETLOOM_STATE_DIR", &realm.state_dir)
        .env("NETLOOM_ROOTLESS", if realm.kind == RealmKind::User { "1" } else { "0" })
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map(|mut child| {
            // Whoever lives longer than it must take its status.
            std::thread::spawn(move || child.wait());
        })
}

/// Without root this program holds the realm's namespaces open by being in them: it must not outlive their holder.
fn end_with_realm(directory: &Path) -> Result<(), Failure> {
    let realm = Realm::locate();
    if realm.kind == RealmKind::Host {
        return Ok(());
    }
    let gone = || Failure::new("the daemon that holds your namespaces is gone");
    let pid = realm.daemon().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(gone)?;
    let pid = rustix::process::Pid::from_raw(pid).ok_or_else(gone)?;
    let holder = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(std::io::Error::from)?;
    let directory = directory.to_owned();
    std::thread::spawn(move || {
        while rustix::event::poll(&mut [PollFd::new(&holder, PollFlags::IN)], None).is_err() {}
        // With the namespaces everything is gone that it could come back to.
        let _ = std::fs::remove_dir_all(&directory);
        let _ = std::fs::remove_dir_all(netloom_control::machine::sockets(&directory));
        std::process::exit(0);
    });
    Ok(())
}

/// The processors of a list like `0,2-4`, each once.
fn cores(text: &str) -> Result<Vec<usize>, Failure> {
    let wrong =
        |why: String| Failure::new(format!("`--cores {text}`: {why}")).help("for example --cores 0,2-4");
    let number =
        |part: &str| part.trim().parse::<usize>().map_err(|_| wrong(format!("`{part}` is no number")));
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last - first >= WORKERS {
            return Err(wrong(format!("`{part}` is no range")));
        }
        cores.extend(first..=last);
    }
    let mut once = BTreeSet::new();
    if let Some(twice) = cores.iter().find(|core| !once.insert(**core)) {
        return Err(wrong(format!("processor {twice} is named twice")));
    }
    if cores.len() > WORKERS {
        return Err(wrong(format!("there are at most {WORKERS} workers")));
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::cores;

    #[test]
    fn lists_of_processors() {
        assert_eq!(cores("1").ok(), Some(vec![1]));
        assert_eq!(cores("3,0-2, 7").ok(), Some(vec![3, 0, 1, 2, 7]));
        for wrong in ["", "a", "1-", "2-1", "0,0", "0-2,1", "0-99999999999", "-1"] {
            assert!(cores(wrong).is_err(), "{wrong}");
        }
    }
}
