//! `watch` of everything at a switch: what changes, as it does.

use super::history::time;
use super::switchd::directory;
use crate::cli::WatchArgs;
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_control::switch::{Event, EventKind, SwitchSocket, watch as follow};
use std::path::Path;

/// Prints changes of some kinds until somebody ends it, or so many have come as were asked for.
///
/// # Errors
/// When no daemon answers, it refuses or ends, or nothing can be printed.
pub fn watch(
    run: Option<&Path>,
    printer: &Printer,
    kinds: &[EventKind],
    arguments: &WatchArgs,
) -> Result<u8, Failure> {
    let directory = directory(run);
    let socket = SwitchSocket::within(&directory);
    let (mut left, mut failed) = (arguments.count, None);
    if left == Some(0) {
        return Ok(0);
    }
    let each = |event: Event| {
        failed = print(printer, &event).err();
        left = left.map(|left| left - 1);
        failed.is_none() && left != Some(0)
    };
    let ended = follow(&socket, kinds.to_vec(), arguments.switch.clone(), each);
    if let Some(failed) = failed {
        return Err(failed);
    }
    ended.map(|()| 0).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidInput => Failure::new(error),
        _ => Failure::new(format!("the switch on {} tells no more: {error}", socket.path().display()))
            .help(format!("netloom --run {} switchd starts one", directory.display())),
    })
}

fn print(printer: &Printer, event: &Event) -> Result<(), Failure> {
    if printer.is_machine() {
        return Ok(put(&(serde_json::to_string(event).map_err(Failure::new)? + "\n"))?);
    }
    let tone = match event.change.as_str() {
        "down" | "removed" | "missed" | "waits" => Tone::Bad,
        "moved" | "aged" | "forgotten" | "takes" => Tone::Warn,
        _ => Tone::Good,
    };
    let kind = match event.kind {
        EventKind::Switch => "switch",
        EventKind::Port => "port",
        EventKind::Tree => "tree",
        EventKind::Fdb => "station",
        EventKind::Bond => "bond",
        EventKind::Mirror => "mirror",
        EventKind::Link => "link",
        EventKind::Missed => "-",
    };
    let when = format!("{}.{:03}", time(event.time_ms / 1000), event.time_ms % 1000);
    let what = format!("{} {kind} {}", event.switch, event.subject);
    let change = printer.paint(tone, &event.change);
    Ok(put(&format!("{}  {what} {change} {}\n", printer.paint(Tone::Dim, &when), event.detail))?)
}
