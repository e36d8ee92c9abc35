//! `exec` and `shell`: a program of the user's in a node.

use super::select;
use crate::failure::Failure;
use netloom_control::realm::Realm;
use rustix::thread::LinkNameSpaceType;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Replaces this program by `command` inside the node.
///
/// # Errors
/// When the node is not up, its namespace can't be entered, or the program can't be started.
pub fn exec(realm: &Realm, node: &str, topology: Option<&str>, command: &[OsString]) -> Result<u8, Failure> {
    let (topology, node, path) = select::node(realm, node, topology)?;
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new("no command was given").help("netloom exec NODE -- COMMAND"));
    };
    let namespace =
        File::open(&path).map_err(|error| Failure::new(format!("can't open {}: {error}", path.display())))?;
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| Failure::new(format!("can't enter node `{node}`: {error}")))?;
    let error = Command::new(program)
        .args(arguments)
        .env("NETLOOM_TOPOLOGY", topology)
        .env("NETLOOM_NODE", &node)
        .exec();
    Err(Failure::new(format!("can't start `{}`: {error}", program.to_string_lossy())))
}

/// Replaces this program by the user's shell inside the node.
///
/// # Errors
/// As [`exec`].
pub fn shell(realm: &Realm, node: &str, topology: Option<&str>) -> Result<u8, Failure> {
    let shell =
        std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    exec(realm, node, topology, &[shell])
}
