//! `ovs-vswitchd`: the switch, configured by a database that another process serves.

use super::Begun;
use super::arguments::Called;
use super::daemon::complete;
use super::{keys, paths};
use crate::doors::{Drivers, Dummies};
use netloom_control::ovsdb::remotes;
use netloom_control::switch::{ControlSocket, Keeping, Server, Start, StartSuccessor, Switch, SwitchSocket};
use std::path::PathBuf;

/// A directory for the switch's own socket, in the run directory: nothing of it stays.
struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Self, String> {
        let path = paths::run().join(format!(".netloom.{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(std::path::absolute(&path).unwrap_or(path)))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs until somebody ends it.
///
/// # Errors
/// When it can't begin.
pub fn run(called: &Called) -> Result<u8, String> {
    let remote = match called.words.as_slice() {
        [] => "unix:db.sock",
        [one] => one.as_str(),
        _ => return Err("at most one non-option argument accepted; use --help for usage".to_owned()),
    };
    let run_directory = std::path::absolute(paths::run()).unwrap_or_else(|_| paths::run());
    let remotes = remotes(remote, &run_directory).map_err(|error| error.to_string())?;
    // Paths are meant from where the program was started: it may go elsewhere.
    let keys = keys::files(called, &std::env::current_dir().unwrap_or_default());
    let begun = Begun::begin(called)?;
    let directory = Directory::make()?;
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let mut server = Server::bind(&SwitchSocket::within(&directory.0)).map_err(|error| failed(&error))?;
    let start =
        Start { directory: run_directory, keeping: Keeping::Foreign(remotes), keys, ..Start::default() };
    let drivers = Drivers::new(1).map_err(|error| failed(&error))?.with_dummies(called.dummies);
    let complain = |error: &_| tracing::error!(target: "bridge", "{error}");
    let switch = Switch::start(&start, Box::new(drivers), complain).map_err(|error| failed(&error))?;
    if let Some(path) = &begun.control {
        let mut control = ControlSocket::bind(path, called.program, begun.log.clone())
            .map_err(|error| super::no_control(path, &error))?;
        if called.dummies != Dummies::Off {
            control.allow_dummies();
        }
        server.control(control);
    }
    // Whoever started it goes on when the switch is what the database says.
    let (ready, log) = (called.clone(), begun.log.clone());
    server.when_ready(Box::new(move || {
        super::say_version(&log, &ready, "vswitchd");
        complete(&ready)?;
        if ready.detach {
            log.leave_console();
        }
        Ok(())
    }));
    let nobody: StartSuccessor = Box::new(|_| {
        Err(std::io::Error::other("what the database configures starts with it, not with a predecessor"))
    });
    server.serve(switch, &begun.ended, false, nobody).map_err(|error| failed(&error))?;
    Ok(0)
}
