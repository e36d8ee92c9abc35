//! `why --live` and `why --drops`: real packets as they pass, a line for each flow and what became of it.
//!
//! Invariants: what is printed is bounded: packets that went the same way to the same end are counted, and told of once a
//! second at most; so are groups beyond [`GROUPS`].

use super::{join, running, select, session, why};
use crate::cli::{Output, WhyArgs};
use crate::failure::Failure;
use crate::output::{Printer, Tone, put};
use netloom_control::realm::Realm;
use netloom_control::why::{Fate, Follow, Followed, Pattern, Stretch, Wishes, add_machines, patterns};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often packets of a group that was shown already are told of.
const AGAIN: Duration = Duration::from_secs(1);
/// Most groups that are told apart.
const GROUPS: usize = 1024;
/// Most lines a second.
const LINES: u32 = 200;

/// What is printed for a packet or several alike, as a line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    followed: &'a Followed,
    /// How many since the last line of these.
    count: u64,
}

/// Packets that went the same way to the same end.
struct Group {
    example: Followed,
    /// Not told of yet.
    waiting: u64,
    told: Instant,
}

/// What came of it all.
#[derive(Debug, Default, Serialize)]
struct Sum {
    packets: u64,
    delivered: u64,
    left: u64,
    lost: u64,
    /// Packets that came too fast to be followed.
    missed: u64,
    /// Lost packets by reason.
    reasons: BTreeMap<String, u64>,
}

/// Follows until the count or the time is reached, or somebody interrupts.
///
/// # Errors
/// When nothing is up, the question means nothing here, or nothing can be followed.
pub fn run(realm: &Realm, printer: &Printer, arguments: &WhyArgs) -> Result<u8, Failure> {
    if arguments.from.is_some() != arguments.to.is_some() {
        return Err(Failure::new("a sender needs a receiver").help("netloom why --live FROM TO [WHAT]"));
    }
    let within = arguments.within.as_deref().map(time).transpose()?;
    join(realm)?;
    let name = select::topology(realm, arguments.topology.topology.as_deref())?;
    let running = running::load(realm, &name)?;
    let machine = session::machine(realm, &running.name)?;
    let mut scene = machine.scene().map_err(Failure::new)?;
    add_machines(&mut scene, &running.compiled.interfaces);
    let any = arguments.protocol == "any";
    let question = match &arguments.from {
        Some(_) if any => {
            let asked = WhyArgs { protocol: "icmp".to_owned(), ..arguments.clone() };
            Some(why::ask(&scene, &running.compiled, &asked)?)
        }
        Some(_) => Some(why::ask(&scene, &running.compiled, arguments)?),
        None => None,
    };
    let wishes = Wishes(Some(&running.compiled.desired));
    let flows = match &question {
        Some(question) => patterns(&scene, wishes, question, any),
        None => vec![Pattern::any()],
    };
    let mut follow = Follow::begin(&machine, &running.compiled, scene, question, flows);
    for absent in follow.absent() {
        eprintln!("not followed: {absent}");
    }
    eprintln!("following in {name}; end with Ctrl-C");
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, interrupted.clone()).map_err(Failure::new)?;
    }
    let ends = within.map(|time| Instant::now() + time);
    let mut show =
        Show { printer, arguments, groups: HashMap::new(), sum: Sum::default(), second: (Instant::now(), 0) };
    loop {
        let left = ends.map_or(AGAIN, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() || show.is_enough() || interrupted.load(Ordering::Relaxed) {
            break;
        }
        for followed in follow.next(left).map_err(Failure::new)? {
            show.take(followed)?;
        }
        show.tell(false)?;
    }
    if !show.is_enough() {
        for followed in follow.finish().map_err(Failure::new)? {
            show.take(followed)?;
        }
    }
    show.tell(true)?;
    show.sum.missed = follow.missed();
    show.end()?;
    Ok(0)
}

/// A time; a number alone is seconds.
fn time(text: &str) -> Result<Duration, Failure> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => super::time_span(text),
    }
}

struct Show<'a> {
    printer: &'a Printer,
    arguments: &'a WhyArgs,
    groups: HashMap<Followed, Group>,
    sum: Sum,
    /// Since when, and how many lines were printed.
    second: (Instant, u32),
}

impl Show<'_> {
    fn is_enough(&self) -> bool {
        self.arguments.count.is_some_and(|most| self.sum.packets >= most)
    }

    fn is_json(&self) -> bool {
        matches!(self.printer.output, Output::Json)
    }

    /// Counts a packet, and shows it if it is the first of its kind.
    fn take(&mut self, followed: Followed) -> Result<(), Failure> {
        let lost = followed.fate == Fate::Lost;
        if self.is_enough() || self.arguments.drops && !lost || self.arguments.one_way && followed.back {
            return Ok(());
        }
        self.sum.packets += 1;
        match followed.fate {
            Fate::Delivered => self.sum.delivered += 1,
            Fate::Left => self.sum.left += 1,
            Fate::Lost => self.sum.lost += 1,
        }
        if let Some(reason) = &followed.reason {
            *self.sum.reasons.entry(reason.clone()).or_default() += 1;
        }
        let kind = Followed { time: 0, ..followed.clone() };
        if let Some(group) = self.groups.get_mut(&kind) {
            group.waiting += 1;
            return Ok(());
        }
        if self.second.0.elapsed() > AGAIN {
            self.second = (Instant::now(), 0);
        }
        if self.groups.len() >= GROUPS {
            // The one that was told of longest ago and is quiet makes room.
            let quiet = self.groups.iter().filter(|(_, group)| group.waiting == 0);
            let oldest = quiet.min_by_key(|(_, group)| group.told).map(|(kind, _)| kind.clone());
            let Some(oldest) = oldest else { return Ok(()) };
            self.groups.remove(&oldest);
        }
        let shown = self.second.1 < LINES;
        if shown {
            self.second.1 += 1;
            self.line(&followed, 1)?;
        }
        let group = Group { example: followed, waiting: u64::from(!shown), told: Instant::now() };
        self.groups.insert(kind, group);
        Ok(())
    }

    /// Tells of packets that were counted since; at the end of all.
    fn tell(&mut self, all: bool) -> Result<(), Failure> {
        let mut due: Vec<(Followed, u64)> = Vec::new();
        for group in self.groups.values_mut() {
            if group.waiting > 0 && (all || group.told.elapsed() >= AGAIN) {
                due.push((group.example.clone(), std::mem::take(&mut group.waiting)));
                group.told = Instant::now();
            }
        }
        due.sort_by_key(|(example, _)| example.time);
        for (example, count) in due {
            self.line(&example, count)?;
        }
        Ok(())
    }

    fn line(&self, followed: &Followed, count: u64) -> Result<(), Failure> {
        let text = if self.is_json() {
            serde_json::to_string(&Line { followed, count }).map_err(Failure::new)? + "\n"
        } else {
            self.words(followed, count)
        };
        put(&text).map_err(Failure::new)
    }

    fn words(&self, followed: &Followed, count: u64) -> String {
        let (mark, tone) = match followed.fate {
            Fate::Delivered => ("✓", Tone::Good),
            Fate::Left => ("→", Tone::Dim),
            Fate::Lost => ("✗", Tone::Bad),
        };
        let way: Vec<String> = followed.way.iter().map(stretch).collect();
        let times = if count > 1 { format!(" ×{count}") } else { String::new() };
        let reason = followed.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
        let origin = followed.origin.as_ref().map_or_else(String::new, |origin| format!("  [{origin}]"));
        format!(
            "{} {}{times}: {}: {}{reason}{}\n",
            self.printer.paint(tone, mark),
            followed.packet,
            way.join(" → "),
            self.printer.paint(tone, &followed.sentence),
            self.printer.paint(Tone::Dim, &origin)
        )
    }

    fn end(&self) -> Result<(), Failure> {
        let sum = &self.sum;
        if self.is_json() {
            return put(&(serde_json::json!({ "sum": sum }).to_string() + "\n")).map_err(Failure::new);
        }
        let mut parts = vec![format!("{} packets", sum.packets)];
        for (count, what) in [(sum.delivered, "delivered"), (sum.left, "left"), (sum.lost, "lost")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        let mut text = parts.join(", ");
        if !sum.reasons.is_empty() {
            let reasons: Vec<String> =
                sum.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            text.push_str(&format!(" ({})", reasons.join(", ")));
        }
        if sum.missed > 0 {
            text.push_str(&format!("; {} came too fast to be followed", sum.missed));
        }
        put(&(text + "\n")).map_err(Failure::new)
    }
}

/// `front (web → edge)`: a place, and the interfaces by which a packet came and went.
fn stretch(stretch: &Stretch) -> String {
    let went = match stretch.went.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        [one, rest @ ..] => Some(format!("{one} and {} more", rest.len())),
    };
    match (&stretch.came, went) {
        (None, None) => stretch.place.clone(),
        (Some(came), None) => format!("{} {came}", stretch.place),
        (None, Some(went)) => format!("{} {went}", stretch.place),
        (Some(came), Some(went)) => format!("{} ({came} → {went})", stretch.place),
    }
}
