//! A long plan in few lines: one for each part of the file, with what is made of it.
//!
//! What: changes with the same sign and owner become one line that counts their kinds. What is changed or
//! removed comes first, because that is what a reader must see; what was done by hand is named as such.
//! Deliberately absent: anything that a program would read; the machine forms always have every object.

use super::plan::{reason, tone};
use crate::output::{Printer, Tone};
use netloom_control::plan::{Cause, Change, Plan, Sign};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Above so many changes a terminal gets the summary.
pub const MANY: usize = 40;
/// Above so many lines the rest is only counted.
const LINES: usize = 60;

/// What stands in one line.
struct Line<'a> {
    sign: Sign,
    part: &'a str,
    changes: Vec<&'a Change>,
}

/// The summary, with the count of all changes and the way to see every one.
#[must_use]
pub fn text(printer: &Printer, plan: &Plan) -> String {
    let lines = lines(plan);
    let shown = &lines[..lines.len().min(LINES)];
    let contents: Vec<String> = shown.iter().map(|line| content(printer, line)).collect();
    let widest = |lengths: &mut dyn Iterator<Item = usize>, most: usize| {
        lengths.filter(|length| *length <= most).max().unwrap_or(0)
    };
    let parts = widest(&mut shown.iter().map(|line| line.part.chars().count()), 40);
    let widths = widest(&mut contents.iter().map(|content| content.chars().count()), 72);
    let mut out = String::new();
    for (line, content) in shown.iter().zip(&contents) {
        let place = line.changes.iter().find_map(|change| change.origin.as_ref());
        let place = place.map_or_else(String::new, |origin| format!("{}:{}", origin.file, origin.line));
        let text = format!(
            "{} {:parts$}  {content:widths$}  {}",
            printer.paint(tone(line.sign), &line.sign.to_string()),
            line.part,
            printer.paint(Tone::Dim, &place)
        );
        out.push_str(text.trim_end());
        out.push('\n');
    }
    if lines.len() > shown.len() {
        let rest = &lines[shown.len()..];
        let objects: usize = rest.iter().map(|line| line.changes.len()).sum();
        let _ = writeln!(out, "  and {objects} objects of {} more parts", rest.len());
    }
    let _ = writeln!(
        out,
        "{}  {}",
        printer.paint(Tone::Strong, &plan.counts().to_string()),
        printer.paint(Tone::Dim, "(-o wide shows every object and why)")
    );
    out
}

fn lines(plan: &Plan) -> Vec<Line<'_>> {
    let mut index: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    let mut lines: Vec<Line<'_>> = Vec::new();
    for change in plan.changes() {
        let sign = change.sign();
        let part: &str = &change.owner.part;
        let at = *index.entry((rank(sign), part)).or_insert_with(|| {
            lines.push(Line { sign, part, changes: Vec::new() });
            lines.len() - 1
        });
        lines[at].changes.push(change);
    }
    lines.sort_by_key(|line| rank(line.sign));
    lines
}

/// What a reader must see first.
const fn rank(sign: Sign) -> u8 {
    match sign {
        Sign::Remove => 0,
        Sign::Change => 1,
        Sign::Add => 2,
    }
}

/// `namespace, 2 links, 3 sysctls`, or the object and the reason when there is only one.
fn content(printer: &Printer, line: &Line<'_>) -> String {
    if let [only] = line.changes.as_slice() {
        return format!("{} {}: {}", only.key().kind(), only.key(), reason(printer, &only.reason));
    }
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for change in &line.changes {
        match kinds.iter_mut().find(|(kind, _)| *kind == change.key().kind()) {
            Some((_, count)) => *count += 1,
            None => kinds.push((change.key().kind(), 1)),
        }
    }
    let words: Vec<String> = kinds.iter().map(|(kind, count)| counted(kind, *count)).collect();
    let by_hand = line.changes.iter().filter(|change| change.cause == Cause::Drift).count();
    let note = if by_hand > 0 { format!(" ({by_hand} changed by hand)") } else { String::new() };
    format!("{}{note}", words.join(", "))
}

/// `link`, `2 links`, `3 addresses`, `4 fdb entries`.
fn counted(kind: &str, count: usize) -> String {
    if count == 1 {
        return kind.to_owned();
    }
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    format!("{count} {plural}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn counts() {
        assert_eq!(counted("link", 1), "link");
        assert_eq!(counted("link", 2), "2 links");
        assert_eq!(counted("address", 3), "3 addresses");
        assert_eq!(counted("fdb entry", 4), "4 fdb entries");
        assert_eq!(counted("process", 2), "2 processes");
    }
}
