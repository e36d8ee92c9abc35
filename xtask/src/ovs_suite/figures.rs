//! How many groups of each file pass, as it is kept in the repository and printed as a ladder.
//!
//! What: a line of a file of figures is `FILE passed N failed LIST hung LIST skipped LIST`; lists are numbers of groups and
//! ranges of them, `-` when there are none. [`page`] writes the tables of `docs/ovs-suite.md` between its marks; what people
//! wrote about a class stays beside it.

use super::outcome::{Outcome, Results};
use super::rig::Group;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What became of the groups of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rung {
    pub(super) passed: usize,
    pub(super) failed: Vec<u32>,
    pub(super) hung: Vec<u32>,
    pub(super) skipped: Vec<u32>,
}

impl Rung {
    pub(super) fn bad(&self) -> usize {
        self.failed.len() + self.hung.len()
    }
}

/// Rungs by file.
pub(super) type Ladder = BTreeMap<String, Rung>;

/// What became of groups, by file.
pub(super) fn ladder(groups: &[&Group], results: &Results) -> Ladder {
    let mut ladder = Ladder::new();
    for group in groups.iter().filter(|group| !group.needs_helper) {
        let Some(outcome) = results.get(&group.number) else { continue };
        let rung = ladder.entry(group.file.clone()).or_default();
        match outcome {
            Outcome::Passed => rung.passed += 1,
            Outcome::Failed => rung.failed.push(group.number),
            Outcome::Hung => rung.hung.push(group.number),
            Outcome::Skipped => rung.skipped.push(group.number),
        }
    }
    ladder
}

/// Numbers as ranges: `1-3,7`, or `-`.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let range = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    match ranges.is_empty() {
        true => "-".to_owned(),
        false => ranges.iter().map(range).collect::<Vec<_>>().join(","),
    }
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in text.split(',').filter(|part| *part != "-") {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        all.extend(first.parse::<u32>().ok()?..=last.parse().ok()?);
    }
    Some(all)
}

/// A ladder as it is kept.
pub(super) fn print(about: &str, ladder: &Ladder) -> String {
    let mut text = format!("# {about}\n");
    for (file, rung) in ladder {
        let Rung { passed, failed, hung, skipped } = rung;
        // A string takes whatever is written.
        let _ = writeln!(
            text,
            "{file} passed {passed} failed {} hung {} skipped {}",
            ranges(failed),
            ranges(hung),
            ranges(skipped)
        );
    }
    text
}

/// Reads a ladder that was kept.
pub(super) fn read(text: &str) -> Ladder {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [file, "passed", passed, "failed", failed, "hung", hung, "skipped", skipped] = words[..] else {
            return None;
        };
        let rung = Rung {
            passed: passed.parse().ok()?,
            failed: numbers(failed)?,
            hung: numbers(hung)?,
            skipped: numbers(skipped)?,
        };
        Some((file.to_owned(), rung))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(line).collect()
}

/// A row for each file and one for all: file, groups, here passed, failed, skipped, there passed, failed, skipped.
pub(super) fn rows(groups: &[&Group], here: &Ladder, there: &Ladder) -> Vec<[String; 8]> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for group in groups.iter().filter(|group| !group.needs_helper) {
        *counts.entry(group.file.as_str()).or_default() += 1;
    }
    let mut total = [0; 7];
    let mut rows = Vec::new();
    for (file, count) in counts {
        let of = |ladder: &Ladder| {
            let rung = ladder.get(file).cloned().unwrap_or_default();
            [rung.passed, rung.bad(), rung.skipped.len()]
        };
        let ([a, b, c], [d, e, f]) = (of(here), of(there));
        let row = [count, a, b, c, d, e, f];
        for (total, number) in total.iter_mut().zip(row) {
            *total += number;
        }
        rows.push(row_of(file, row));
    }
    rows.push(row_of("all", total));
    rows
}

fn row_of(name: &str, numbers: [usize; 7]) -> [String; 8] {
    let [a, b, c, d, e, f, g] = numbers.map(|number| number.to_string());
    [name.to_owned(), a, b, c, d, e, f, g]
}

/// How much of what passes there passes here: per cent.
pub(super) fn share(here: &Ladder, there: &Ladder) -> Option<f64> {
    let passed = |ladder: &Ladder| ladder.values().map(|rung| rung.passed).sum::<usize>();
    (passed(there) > 0).then(|| passed(here) as f64 / passed(there) as f64 * 100.0)
}

/// Puts a table between the marks `<!-- NAME -->` and `<!-- end of NAME -->`.
fn between(page: &str, name: &str, table: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    match (page.split_once(&open), page.split_once(&close)) {
        (Some((before, _)), Some((_, behind))) => format!("{before}{open}{table}{close}{behind}"),
        _ => format!("{page}\n{open}{table}{close}\n"),
    }
}

/// What somebody wrote about a class.
fn reason<'a>(page: &'a str, class: &str) -> &'a str {
    let row = |line: &'a str| {
        let mut cells = line.strip_prefix('|')?.trim_end().strip_suffix('|')?.split(" | ");
        (cells.next()?.trim() == class).then(|| cells.last()).flatten()
    };
    page.lines().find_map(row).map_or("", str::trim)
}

/// The page with the ladder and the classes as they are now.
pub(super) fn page(
    page: &str,
    rows: &[[String; 8]],
    share: Option<f64>,
    classes: &BTreeMap<String, Vec<u32>>,
) -> String {
    let mut table = "| file | groups | Netloom passes | fails | skips | OVS passes | fails | skips |\n\
                     |---|---:|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for row in rows {
        let _ = writeln!(table, "| {} |", row.join(" | "));
    }
    if let Some(share) = share {
        let _ = writeln!(table, "\nNetloom passes {share:.1} % of what Open vSwitch passes.");
    }
    let mut whys = "| class | groups | numbers | reason |\n|---|---:|---|---|\n".to_owned();
    let mut sorted: Vec<_> = classes.iter().collect();
    sorted.sort_by_key(|(class, numbers)| (std::cmp::Reverse(numbers.len()), (*class).clone()));
    for (class, numbers) in sorted {
        let class = class.replace('|', "/");
        let _ = writeln!(
            whys,
            "| {class} | {} | {} | {} |",
            numbers.len(),
            ranges(numbers),
            reason(page, &class)
        );
    }
    between(&between(page, "ladder", &table), "classes", &whys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_back() {
        let rung = Rung { passed: 3, failed: vec![1, 2, 3, 7], hung: vec![], skipped: vec![9] };
        let ladder: Ladder = [("a.at".to_owned(), rung)].into();
        let text = print("x", &ladder);
        assert_eq!(text, "# x\na.at passed 3 failed 1-3,7 hung - skipped 9\n");
        assert_eq!(read(&text), ladder);
        assert!(read("a.at passed x failed - hung - skipped -\nnothing\n").is_empty());
    }

    #[test]
    fn what_people_wrote_stays() {
        let classes = BTreeMap::from([("a class".to_owned(), vec![1, 2]), ("other".to_owned(), vec![5])]);
        let first = page("# Title\n\n<!-- ladder -->\n<!-- end of ladder -->\n", &[], Some(50.0), &classes);
        assert!(first.contains("passes 50.0 %") && first.contains("| a class | 2 | 1-2 |  |"), "{first}");
        let written = first.replace("| a class | 2 | 1-2 |  |", "| a class | 2 | 1-2 | because |");
        let more = BTreeMap::from([("a class".to_owned(), vec![1, 2, 3])]);
        let second = page(&written, &[], Some(60.0), &more);
        assert!(second.contains("| a class | 3 | 1-3 | because |"), "{second}");
        assert!(second.contains("passes 60.0 %") && !second.contains("50.0") && !second.contains("other"));
        assert!(second.starts_with("# Title\n"));
    }
}
