//! `plan`: what `apply` would change, and why.

use super::load::Loaded;
use super::session::{Session, machine};
use super::summary;
use crate::cli::Output;
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_compile::object::Desired;
use netloom_control::plan::{Cause, Plan, Sign};
use netloom_control::platform::Missing;
use netloom_control::realm::Realm;
use serde::Serialize;

/// Nothing to do.
pub const NOTHING: u8 = 0;
/// Changes are pending.
pub const PENDING: u8 = 2;
/// The system was changed by hand.
pub const DRIFT: u8 = 3;

#[derive(Serialize)]
struct Report<'a> {
    topology: &'a str,
    missing: &'a [Missing],
    plan: Option<&'a Plan>,
    drift: bool,
}

/// Prints the plan. The exit status tells whether anything is pending.
///
/// # Errors
/// When the description can't be realized here, or foreign objects are in the way.
pub fn run(realm: &Realm, printer: &Printer, loaded: &Loaded, destroy: bool) -> Result<u8, Failure> {
    let machine = machine(realm, &loaded.model.validated.topology().name)?;
    // The kernel answers while the file is compiled.
    let ahead = machine.kernel().look_ahead().map_err(Failure::new)?;
    let session = Session::on(machine, realm, loaded)?;
    let nothing = Desired::new(session.name.clone());
    let desired = if destroy { &nothing } else { &session.compiled.desired };
    session.print_notes(printer);
    let missing = session.missing(desired);
    if !missing.is_empty() {
        if printer.is_machine() {
            printer.machine(&Report {
                topology: loaded.name(),
                missing: &missing,
                plan: None,
                drift: false,
            })?;
        }
        return Err(lacks(&missing));
    }
    let plan = session.plan(realm, desired, ahead)?;
    if printer.is_machine() {
        let drift = plan.has_drift();
        printer.machine(&Report { topology: loaded.name(), missing: &[], plan: Some(&plan), drift })?;
    } else {
        print(printer, &plan)?;
    }
    let status = status(&plan);
    // The program ends now: to free a hundred thousand objects one by one first would only keep the user waiting.
    std::mem::forget((session, plan));
    Ok(status)
}

/// The exit status that a plan stands for.
#[must_use]
pub fn status(plan: &Plan) -> u8 {
    if plan.is_empty() {
        NOTHING
    } else if plan.has_drift() && plan.changes().all(|change| change.cause != Cause::Described) {
        DRIFT
    } else {
        PENDING
    }
}

/// The error about what this kernel lacks.
pub fn lacks(missing: &[Missing]) -> Failure {
    let mut text = String::from("this system lacks what the file asks for; nothing was changed");
    for item in missing {
        text.push_str(&format!("\n  {} {} needs {}", item.key.kind(), item.key, item.feature));
    }
    let mut ways: Vec<&str> = missing.iter().map(|item| item.instead.as_str()).collect();
    ways.sort_unstable();
    ways.dedup();
    Failure::new(text).help(format!("instead: {}", ways.join("\nor: ")))
}

/// Sign, object, reason, place.
type Row = (Sign, String, String, String);

/// Prints a plan for people, a line for each change. A terminal gets a line for each part of the file when
/// there are many.
///
/// # Errors
/// When standard output can't be written.
pub fn print(printer: &Printer, plan: &Plan) -> Result<(), Failure> {
    if plan.is_empty() {
        put("nothing to do: everything is as described\n")?;
        return Ok(());
    }
    if printer.terminal && printer.output == Output::Table && plan.changes().count() > summary::MANY {
        put(&summary::text(printer, plan))?;
        return Ok(());
    }
    let rows: Vec<Row> = plan
        .changes()
        .map(|change| {
            let place = change
                .origin
                .as_ref()
                .map_or_else(String::new, |origin| format!("{}:{}", origin.file, origin.line));
            (
                change.sign(),
                format!("{} {}", change.key().kind(), change.key()),
                reason(printer, &change.reason),
                place,
            )
        })
        .collect();
    let widest = |text: &dyn Fn(&Row) -> usize, most: usize| {
        rows.iter().map(text).filter(|width| *width <= most).max().unwrap_or(0)
    };
    let (objects, reasons) =
        (widest(&|row| row.1.chars().count(), 56), widest(&|row| row.2.chars().count(), 64));
    let mut out = String::new();
    for (sign, object, reason, place) in &rows {
        let tone = tone(*sign);
        let line = format!(
            "{} {object:objects$}  {}  {}",
            printer.paint(tone, &sign.to_string()),
            printer.paint(Tone::Plain, &format!("{reason:reasons$}")),
            printer.paint(Tone::Dim, place)
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push_str(&printer.paint(Tone::Strong, &plan.counts().to_string()));
    out.push('\n');
    put(&out)?;
    Ok(())
}

/// Letters of a reason that a terminal shows: a changed firewall may have pages of them.
const LETTERS: usize = 150;

/// The reason, on a terminal only its beginning if it is very long; the wide form and pipes get the whole.
pub fn reason(printer: &Printer, text: &str) -> String {
    if !printer.terminal || printer.output == Output::Wide || text.chars().count() <= LETTERS {
        return text.to_owned();
    }
    format!("{} ... (the rest: -o wide)", text.chars().take(LETTERS).collect::<String>().trim_end())
}

/// The colour of a sign.
pub const fn tone(sign: Sign) -> Tone {
    match sign {
        Sign::Add => Tone::Good,
        Sign::Change => Tone::Warn,
        Sign::Remove => Tone::Bad,
    }
}
