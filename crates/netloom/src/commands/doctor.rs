//! `doctor`: the capability matrix of the host, with what is missing and how to get it.

use super::select;
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_control::doctor::{self, Files, Finding, Severity};
use netloom_control::realm::Realm;
use netloom_kernel::capability::{self, State};

/// Examines the host and prints the matrix. The exit status is 1 when something keeps Netloom from working.
///
/// # Errors
/// When the output can't be written.
pub fn run(
    realm: &Realm,
    entered: Result<bool, Failure>,
    printer: &Printer,
    problems: bool,
) -> Result<u8, Failure> {
    let mut findings = doctor::examine(&Files::default());
    match entered {
        Ok(true) => findings.extend(kernel()),
        Ok(false) => {}
        Err(failure) => findings.push(Finding {
            group: "privileges".into(),
            name: "namespaces of your own".into(),
            state: "impossible".into(),
            severity: Severity::Error,
            evidence: failure.message().to_owned(),
            fix: failure.way_out().map(str::to_owned),
        }),
    }
    findings.extend(leftovers(realm)?);
    if problems {
        findings.retain(|finding| finding.severity > Severity::Ok);
    }
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    if printer.is_machine() {
        printer.machine(&findings)?;
    } else {
        print(printer, &findings)?;
    }
    Ok(u8::from(worst == Severity::Error))
}

fn kernel() -> Vec<Finding> {
    match capability::capabilities() {
        Ok(found) => found
            .rows
            .iter()
            .map(|row| {
                let (state, severity) = match row.state {
                    State::Present => ("present", Severity::Ok),
                    State::Absent => ("absent", Severity::Info),
                    State::Forbidden => ("forbidden", Severity::Warning),
                    State::Unknown => ("unclear", Severity::Info),
                };
                Finding {
                    group: row.group.to_owned(),
                    name: row.name.to_owned(),
                    state: state.to_owned(),
                    severity,
                    evidence: row.evidence.clone(),
                    fix: (row.state != State::Present).then(|| format!("{}: {}", row.option, row.instead)),
                }
            })
            .collect(),
        Err(error) => vec![Finding {
            group: "link kinds".into(),
            name: "all".into(),
            state: "unclear".into(),
            severity: Severity::Warning,
            evidence: error.to_string(),
            fix: None,
        }],
    }
}

/// Namespaces that look like ours but belong to no topology that is up.
fn leftovers(realm: &Realm) -> Result<Vec<Finding>, Failure> {
    let up = select::topologies(realm)?;
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(&realm.netns_dir).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((topology, _)) = name.split_once('.') else { continue };
        if !up.iter().any(|known| known == topology) {
            findings.push(Finding {
                group: "leftovers".into(),
                name: format!("namespace {name}"),
                state: "not of a topology that is up".into(),
                severity: Severity::Warning,
                evidence: entry.path().display().to_string(),
                fix: Some(format!("if nobody else uses it: ip netns delete {name}")),
            });
        }
    }
    if findings.is_empty() {
        findings.push(Finding {
            group: "leftovers".into(),
            name: "namespaces".into(),
            state: "none".into(),
            severity: Severity::Ok,
            evidence: realm.netns_dir.display().to_string(),
            fix: None,
        });
    }
    Ok(findings)
}

fn print(printer: &Printer, findings: &[Finding]) -> Result<(), Failure> {
    let wide = printer.output == crate::cli::Output::Wide;
    let mut groups: Vec<&str> = Vec::new();
    for finding in findings {
        if !groups.contains(&finding.group.as_str()) {
            groups.push(&finding.group);
        }
    }
    for group in groups {
        put(&format!("{}\n", printer.paint(Tone::Strong, group)))?;
        let mut table =
            printer.table(if wide { &["", "", "", "evidence", "fix"] } else { &["", "", "", ""] });
        for finding in findings.iter().filter(|finding| finding.group == group) {
            let (tone, mark) = match finding.severity {
                Severity::Ok => (Tone::Good, "ok"),
                Severity::Info => (Tone::Dim, "-"),
                Severity::Warning => (Tone::Warn, "!"),
                Severity::Error => (Tone::Bad, "FAILED"),
            };
            let mut row = vec![
                printer.cell(tone, format!("  {mark}")),
                printer.cell(Tone::Plain, &finding.name),
                printer.cell(tone, &finding.state),
            ];
            let fix = finding.fix.clone().unwrap_or_default();
            if wide {
                row.push(printer.cell(Tone::Dim, &finding.evidence));
                row.push(printer.cell(Tone::Plain, fix));
            } else {
                row.push(printer.cell(Tone::Dim, fix));
            }
            table.add_row(row);
        }
        // The heading line of a table without headings would be an empty line.
        let text: String = table
            .lines()
            .filter(|line| !is_blank(line))
            .map(|line| format!("{}\n", line.trim_end()))
            .collect();
        put(&text)?;
    }
    Ok(())
}

/// Whether a line shows nothing, whatever its colours.
fn is_blank(line: &str) -> bool {
    let mut in_escape = false;
    line.chars().all(|char| match char {
        '\x1b' => {
            in_escape = true;
            true
        }
        'm' if in_escape => {
            in_escape = false;
            true
        }
        _ => in_escape || char.is_whitespace(),
    })
}

#[cfg(test)]
mod tests {
    use super::is_blank;

    #[test]
    fn colours_are_nothing_to_see() {
        assert!(is_blank("\x1b[2m   \x1b[0m "));
        assert!(!is_blank("\x1b[2m m\x1b[0m"));
    }
}
