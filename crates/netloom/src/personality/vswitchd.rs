//! `ovs-vswitchd`: the switch.
//!
//! Its database, which configures it, is followed by `control` where that is there: [`run`] is where the two meet.

use super::Begun;
use super::arguments::Called;
use super::daemon::complete;
use super::paths;
use crate::doors::{Drivers, Dummies};
use netloom_control::switch::{ControlSocket, Server, Start, StartSuccessor, Switch, SwitchSocket};
use std::path::PathBuf;

/// The switch's own directory, in the run directory: nothing of it stays.
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
        [] => format!("unix:{}/db.sock", paths::run().display()),
        [one] => one.clone(),
        _ => return Err("at most one non-option argument accepted; use --help for usage".to_owned()),
    };
    let begun = Begun::begin(called)?;
    begun.say_version(called, "vswitchd");
    let directory = Directory::make()?;
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let mut server = Server::bind(&SwitchSocket::within(&directory.0)).map_err(|error| failed(&error))?;
    let start = Start { directory: directory.0.clone(), transient: true, ..Start::default() };
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
    // The database at `remote` will be followed from here.
    tracing::debug!(target: "ovsdb_idl", remote, "the database is not followed yet");
    complete(called).map_err(|error| failed(&error))?;
    if called.detach {
        begun.log.leave_console();
    }
    let nobody: StartSuccessor = Box::new(|_| {
        Err(std::io::Error::other("what the database configures starts with it, not with a predecessor"))
    });
    server.serve(switch, &begun.ended, false, nobody).map_err(|error| failed(&error))?;
    Ok(0)
}
