//! Where files are: by the environment that Open vSwitch's programs read.

use std::path::{Path, PathBuf};

fn directory(variable: &str, otherwise: &str) -> PathBuf {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map_or_else(|| otherwise.into(), PathBuf::from)
}

/// Sockets and pid files.
pub fn run() -> PathBuf {
    directory("OVS_RUNDIR", "/var/run/openvswitch")
}

/// Logs.
pub fn logs() -> PathBuf {
    directory("OVS_LOGDIR", "/var/log/openvswitch")
}

/// Databases.
pub fn databases() -> PathBuf {
    match std::env::var_os("OVS_DBDIR").filter(|value| !value.is_empty()) {
        Some(named) => named.into(),
        None => directory("OVS_SYSCONFDIR", "/etc").join("openvswitch"),
    }
}

/// A file that is named relative to one of these directories.
pub fn within(directory: &Path, file: &str) -> PathBuf {
    directory.join(file)
}

/// A file that is named relative to where the program was started: it goes elsewhere.
pub fn absolute(file: &str) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_| file.into())
}
