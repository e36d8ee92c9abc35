//! `trace`: a packet through the tables of one switch, table by table, in Open vSwitch's words.

use super::switchd::directory;
use crate::cli::TraceArgs;
use crate::failure::Failure;
use crate::output::{Printer, put};
use netloom_control::unixctl;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// The daemon's control socket in its directory.
fn control_socket(directory: &Path) -> Result<PathBuf, Failure> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let is_it = |name: &str| name.starts_with("ovs-vswitchd.") && name.ends_with(".ctl");
    entries
        .map(|entry| entry.path())
        .find(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_it))
        .ok_or_else(|| {
            Failure::new(format!("no switch runs in {}", directory.display()))
                .help(format!("netloom --run {} switchd starts one", directory.display()))
        })
}

/// Traces and prints.
///
/// # Errors
/// When no switch runs, or it does not understand the flow.
pub fn run(run: Option<&Path>, printer: &Printer, arguments: &TraceArgs) -> Result<u8, Failure> {
    let directory = directory(run);
    let socket = control_socket(&directory)?;
    let mut words = vec![arguments.switch.as_str(), arguments.flow.as_str()];
    words.extend(arguments.packet.as_deref());
    for state in &arguments.ct_next {
        words.extend(["--ct-next", state]);
    }
    let answer = unixctl::ask(&socket, "ofproto/trace", &words, PATIENCE)
        .map_err(|error| Failure::new(format!("no switch answers on {}: {error}", socket.display())))?;
    let text = answer.map_err(|text| {
        Failure::new(text.trim().to_owned()).help("netloom switch list and netloom port list tell the names")
    })?;
    if printer.is_machine() {
        let lines: Vec<&str> = text.lines().collect();
        printer.machine(&serde_json::json!({ "switch": arguments.switch, "trace": lines }))?;
    } else {
        put(&text)?;
    }
    Ok(0)
}
