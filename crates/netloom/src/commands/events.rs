//! `events`: what happened to a topology, and why.

use super::history::time;
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_control::heal;
use netloom_control::realm::Realm;
use std::time::Duration;

/// Prints the events; goes on as they come if `follow` is set.
///
/// # Errors
/// When they can't be read.
pub fn run(realm: &Realm, printer: &Printer, topology: &str, follow: bool) -> Result<u8, Failure> {
    let mut from = 0;
    loop {
        let (events, end) = heal::events(&realm.state_dir, topology, from)?;
        from = end;
        if printer.is_machine() && !follow {
            printer.machine(&events)?;
            return Ok(0);
        }
        for event in &events {
            if printer.is_machine() {
                put(&(serde_json::to_string(event).map_err(Failure::new)? + "\n"))?;
                continue;
            }
            let tone = match event.what.as_str() {
                "failed" => Tone::Bad,
                "put back" | "undone" => Tone::Warn,
                _ => Tone::Good,
            };
            put(&format!(
                "{}  {}  {}  {}\n",
                printer.paint(Tone::Dim, &time(event.time)),
                printer.paint(tone, &format!("{:8}", event.what)),
                event.object,
                printer.paint(Tone::Dim, &event.why)
            ))?;
        }
        if !follow {
            return Ok(0);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
