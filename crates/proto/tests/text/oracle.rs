//! The real `ovs-ofctl`, asked how it reads and prints flows.

use std::io::Write;
use std::process::{Command, Stdio};

/// What `ovs-ofctl OPTIONS parse-flows` prints for these flows, one line each, from the command on (`ADD ...`); or
/// nothing, with the reason printed, if it is not installed.
pub(crate) fn parse_flows(options: &[&str], flows: &str) -> Option<Result<Vec<String>, String>> {
    let child = Command::new("ovs-ofctl")
        .args(options)
        .args(["parse-flows", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("skipped: ovs-ofctl cannot be run: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take()?;
    let text = flows.to_string();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().ok()?;
    let _ = writer.join();
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines =
        printed.lines().filter(|line| line.starts_with("OFPT_FLOW_MOD") || line.starts_with("NXT_FLOW_MOD"));
    Some(Ok(lines.filter_map(|line| Some(line.split_once("): ")?.1.to_string())).collect()))
}

/// Open vSwitch takes the digits at the front of an IPv6 mask for a prefix length, and fails at what is behind them.
pub(crate) fn confuses_open_vswitch(term: &str) -> bool {
    term.split_once('/')
        .is_some_and(|(_, mask)| mask.starts_with(|c: char| c.is_ascii_digit()) && mask.contains(':'))
        && (term.contains("ipv6") || term.contains("nd_target"))
}
