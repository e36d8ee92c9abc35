//! `apply`: show the plan, make it true, show what is up, run the tests, say how to undo.

use super::inspect::Machines;
use super::load::Loaded;
use super::running::Running;
use super::session::Session;
use super::{daemon, inspect, now, plan, test};
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use indicatif::{ProgressBar, ProgressStyle};
use netloom_control::apply::{self, ApplyError, Progress, Request};
use netloom_control::heal;
use netloom_control::platform::Platform;
use netloom_control::realm::{Realm, RealmKind};
use netloom_control::store::{Store, Wait};
use serde::Serialize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How to apply.
pub struct Options {
    /// Go back unless confirmed within this time.
    pub confirm: Option<Duration>,
    /// Run the file's tests.
    pub tests: bool,
    /// Start the daemon.
    pub daemon: bool,
    /// Print the plan.
    pub show_plan: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    topology: &'a str,
    generation: Option<u64>,
    changes: usize,
    /// Seconds.
    took: f64,
}

/// Applies a file. The exit status is 1 when a test failed.
///
/// # Errors
/// What failed; everything was taken back then.
pub fn run(realm: &Realm, printer: &Printer, loaded: Loaded, options: &Options) -> Result<u8, Failure> {
    let session = Session::open(realm, &loaded)?;
    session.print_notes(printer);
    let missing = session.missing(&session.compiled.desired);
    if !missing.is_empty() {
        return Err(plan::lacks(&missing));
    }
    let store = Store::open(&realm.state_dir, &session.name, Wait::Yes).map_err(Failure::new)?;
    let request = Request {
        desired: session.compiled.desired.clone(),
        file: loaded.source.name().to_owned(),
        text: loaded.source.text().to_owned(),
        variables: loaded.overrides.clone(),
        note: "apply".to_owned(),
        now: now(),
        confirm_within: options.confirm.map(|span| span.as_secs().max(1)),
    };
    let began = Instant::now();
    let show = Show::new(printer, options.show_plan);
    let applied =
        apply::apply(&session.machine, &store, &request, &session.keep, &|progress| show.progress(progress));
    show.finish();
    let applied = match applied {
        Ok(applied) => applied,
        Err(error) => {
            let first = store.current_number().ok().flatten().is_none();
            let clean = matches!(&error, ApplyError::Step { left, .. } | ApplyError::Verify { left, .. } if left.is_empty())
                || matches!(&error, ApplyError::Plan(_) | ApplyError::Lacks(_));
            // A topology that never stood and left nothing is not remembered.
            if first && clean {
                let _ = store.remove();
            }
            return Err(failure(error));
        }
    };
    heal::append(&store, &heal::of_plan(&applied.plan, "applied", request.now)).map_err(Failure::new)?;
    drop(store);
    if realm.kind == RealmKind::Host && options.daemon && realm.daemon().is_none() {
        daemon::start(realm)?;
    }
    let took = began.elapsed();
    let changes = applied.plan.changes().count();
    if printer.is_machine() {
        let report = Report {
            topology: loaded.name(),
            generation: applied.generation,
            changes,
            took: took.as_secs_f64(),
        };
        printer.machine(&report)?;
        if !options.tests {
            return Ok(0);
        }
    } else if options.show_plan {
        if changes > 0 {
            put(&format!(
                "{} in {:.2} s, verified\n\n",
                printer.paint(Tone::Good, &format!("{changes} changes made")),
                took.as_secs_f64()
            ))?;
        }
        let desired = &session.compiled.desired;
        let observed = Platform::observe(&session.machine, desired).map_err(Failure::new)?;
        let machines = Machines::of(&session.machine, session.compiled.interfaces.clone());
        inspect::print_observed(printer, &session.name, applied.generation, desired, &observed, &machines)?;
        put("\n")?;
    }
    let running = Running { name: session.name.clone(), loaded, compiled: session.compiled };
    let passed = !options.tests || test::run(realm, printer, &running)?;
    if !printer.is_machine() && options.show_plan {
        put(&hints(printer, running.name.as_str(), options))?;
    }
    Ok(u8::from(!passed))
}

fn hints(printer: &Printer, name: &str, options: &Options) -> String {
    let program = program();
    let mut text = String::new();
    if let Some(confirm) = options.confirm {
        text.push_str(&format!(
            "{} {program} confirm {name}   within {} s, or everything goes back\n",
            printer.paint(Tone::Warn, "keep it:"),
            confirm.as_secs().max(1)
        ));
    }
    text.push_str(&format!("\n{} {program} destroy {name}\n", printer.paint(Tone::Strong, "undo:")));
    text
}

/// How this program was called, so that the hint can be typed as it is: a newcomer has it not in PATH yet.
fn program() -> String {
    let called = std::env::args_os().next().map(|name| name.to_string_lossy().into_owned());
    called.filter(|name| name.contains('/')).unwrap_or_else(|| "netloom".to_owned())
}

/// Keeps what awaits confirmation.
///
/// # Errors
/// When nothing does.
pub fn confirm(realm: &Realm, topology: &str) -> Result<u8, Failure> {
    let name = topology.parse().map_err(Failure::new)?;
    let store = Store::open_existing(&realm.state_dir, &name, Wait::Yes)
        .map_err(Failure::new)?
        .ok_or_else(|| Failure::new(format!("no topology `{topology}` is up")))?;
    if apply::confirm(&store).map_err(Failure::new)? {
        put(&format!("`{topology}` stays as it is\n"))?;
        Ok(0)
    } else {
        Err(Failure::new(format!("`{topology}` awaits no confirmation"))
            .help("it was confirmed already, or went back because the time was over: see `netloom history`"))
    }
}

/// An apply error for people.
pub fn failure(error: ApplyError) -> Failure {
    match &error {
        ApplyError::Lacks(missing) => plan::lacks(missing),
        ApplyError::Step { .. } | ApplyError::Verify { .. } => {
            Failure::new(error).help("`netloom doctor` tells what this system can do")
        }
        _ => Failure::new(error),
    }
}

/// Progress for people: the plan, then a line for each object on a terminal, plain lines elsewhere.
pub struct Show<'a> {
    printer: &'a Printer,
    plan: bool,
    bar: Option<ProgressBar>,
    steps: AtomicUsize,
    crash_after: Option<usize>,
}

impl<'a> Show<'a> {
    /// Shows progress if `plan` is set, otherwise nothing.
    #[must_use]
    pub fn new(printer: &'a Printer, plan: bool) -> Self {
        let bar = (printer.live && plan && !printer.is_machine()).then(|| {
            let style = ProgressStyle::with_template("{bar:30.green/dim} {pos}/{len} {msg}");
            ProgressBar::hidden().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        // For tests: die as by a power cut after so many executed steps.
        let crash_after = std::env::var("NETLOOM_CRASH_AFTER").ok().and_then(|text| text.parse().ok());
        Self { printer, plan, bar, steps: AtomicUsize::new(0), crash_after }
    }

    /// Takes note of progress.
    pub fn progress(&self, progress: Progress<'_>) {
        let quiet = !self.plan || self.printer.is_machine();
        match progress {
            Progress::Planned(planned) => {
                if !quiet {
                    let _ = plan::print(self.printer, planned);
                }
                if let Some(bar) = &self.bar {
                    bar.set_length(planned.changes().count() as u64);
                    bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                }
                self.maybe_crash(0);
            }
            Progress::Done(change) => {
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("{} {} {}", change.sign(), change.key().kind(), change.key()));
                    bar.inc(1);
                }
                self.maybe_crash(1);
            }
            Progress::Failed(_, error) => self.say(&format!("failed: {error}")),
            Progress::Undoing => self.say("taking back what was done"),
            Progress::Verifying => {
                if let Some(bar) = &self.bar {
                    bar.set_message("verifying");
                }
            }
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    fn maybe_crash(&self, executed: usize) {
        let done = self.steps.fetch_add(executed, Ordering::SeqCst) + executed;
        if self.crash_after.is_some_and(|after| done >= after) {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
