//! The plan in words.

use super::{Counts, Foreign, Plan};
use netloom_compile::object::Key;
use std::fmt;

/// `3 to make, 1 to change, 2 to remove (with 10 that go along)`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to make, {} to change, {} to remove", self.add, self.change, self.remove)?;
        if self.taken > 0 {
            write!(f, " (and {} that go along)", self.taken)?;
        }
        Ok(())
    }
}

/// One line per change: sign, kind, object, reason, place.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<[String; 3]> = self
            .changes()
            .map(|change| {
                let object = format!("{} {} {}", change.sign(), change.key().kind(), change.key());
                let place = change.origin.as_ref().map(|at| format!("{}:{}", at.file, at.line));
                [object, change.reason.clone(), place.unwrap_or_default()]
            })
            .collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let (objects, reasons) = (width(0).min(60), width(1).min(60));
        for [object, reason, place] in &lines {
            let line = format!("{object:objects$}  {reason:reasons$}  {place}");
            writeln!(f, "{}", line.trim_end())?;
        }
        write!(f, "{}", self.counts())
    }
}

/// `link host:eth0, link host:eth1`.
pub(super) fn keys(keys: &[Key]) -> String {
    keys.iter().map(|key| format!("{} {key}", key.kind())).collect::<Vec<_>>().join(", ")
}

/// The message about objects that are in the way.
pub(super) fn foreign(found: &[Foreign]) -> String {
    let list = found
        .iter()
        .map(|foreign| format!("{} {} ({})", foreign.key.kind(), foreign.key, foreign.origin))
        .collect::<Vec<_>>()
        .join(", ");
    let (exist, them) =
        if found.len() == 1 { ("exists and was", "it") } else { ("exist and were", "each of them") };
    format!("{list} {exist} not made by this topology; remove {them}, or choose another name")
}
