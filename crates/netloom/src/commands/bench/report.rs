//! What is printed.

use super::histogram::spread;
use super::search::Found;
use super::trial::Outcome;
use crate::cli::DataplaneArgs;
use crate::output::{Printer, Tone};
use clap::ValueEnum;
use std::fmt::Write as _;

/// A measurement.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    mode: String,
    ports: Vec<String>,
    traffic: String,
    flows: u32,
    size: String,
    /// Frames a second that were to be offered; none: as many as pass.
    rates: Vec<Option<f64>>,
    /// Least, middle and most of the runs.
    mpps: Option<[f64; 3]>,
    /// Of the run in the middle.
    median: Outcome,
    runs: Vec<Outcome>,
}

fn word<T: ValueEnum>(value: T) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

impl Report {
    /// Of some runs.
    pub fn of(arguments: &DataplaneArgs, rates: Vec<Option<f64>>, runs: Vec<Outcome>) -> Self {
        let speeds: Vec<f64> = runs.iter().map(|run| run.mpps).collect();
        let mut sorted: Vec<&Outcome> = runs.iter().collect();
        sorted.sort_by(|one, other| one.mpps.total_cmp(&other.mpps));
        let mut median = sorted.get(sorted.len() / 2).copied().cloned().unwrap_or_default();
        if let Some(last) = runs.last() {
            // Looked at once only.
            (median.lookup, median.flows, median.masks) = (last.lookup, last.flows, last.masks);
        }
        Self {
            mode: word(arguments.mode),
            ports: arguments.ports.iter().chain(&arguments.tester).cloned().collect(),
            traffic: word(arguments.traffic),
            flows: arguments.flows,
            size: arguments.size.clone(),
            rates,
            mpps: spread(&speeds),
            median,
            runs,
        }
    }

    /// For people.
    pub fn text(&self, printer: &Printer) -> String {
        let head = format!(
            "{} between {}, {} of {} ({} octets)",
            self.mode,
            self.ports.join(" "),
            self.traffic,
            self.flows,
            self.size
        );
        let mut text = format!("{}\n{}", printer.paint(Tone::Strong, &head), details(&self.median));
        if let (Some([least, middle, most]), true) = (self.mpps, self.runs.len() > 1) {
            let _ = writeln!(
                text,
                "{:<12}{least:.3} / {middle:.3} / {most:.3} Mpps in {} runs",
                "spread",
                self.runs.len()
            );
        }
        text
    }
}

/// One run in a line.
pub fn line(run: &Outcome) -> String {
    format!(
        "{:.3} Mpps, {:.2} Gbit/s, {:.1} ns, lost {} of {}",
        run.mpps, run.gbit, run.ns, run.lost, run.offered
    )
}

fn details(run: &Outcome) -> String {
    let mut text = String::new();
    let mut row = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<12}{what}");
    };
    row("rate", format!("{:.3} Mpps, {:.2} Gbit/s over {:.1} s", run.mpps, run.gbit, run.seconds));
    if let Some([least, middle, most]) = run.windows {
        row("windows", format!("{least:.3} / {middle:.3} / {most:.3} Mpps in 50 ms"));
    }
    let share = run.lost as f64 / run.offered.max(1) as f64 * 100.0;
    let mut lost = format!("{} of {} ({share:.4} %)", run.lost, run.offered);
    if run.missed > 0 {
        let _ = write!(lost, ", {} before the data path", run.missed);
    }
    row("lost", lost);
    let reasons: Vec<String> =
        run.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    if !reasons.is_empty() {
        row("dropped", reasons.join(", "));
    }
    if let Some(delay) = run.delay {
        let us = |ns: u64| ns as f64 / 1e3;
        row(
            "delay",
            format!(
                "p50 {:.1}, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, most {:.1} us ({} frames)",
                us(delay.p50),
                us(delay.p90),
                us(delay.p99),
                us(delay.p999),
                us(delay.most),
                delay.samples
            ),
        );
    }
    if run.overtaken > 0 {
        row("overtaken", run.overtaken.to_string());
    }
    if let Some(costs) = run.costs {
        let mut stages = format!("receive {:.1}", costs.receive);
        match run.lookup {
            Some(lookup) => {
                let rest = (costs.between - lookup.extract - lookup.find).max(0.0);
                let _ = write!(
                    stages,
                    ", extract {:.1}, look up {:.1}, execute {rest:.1}",
                    lookup.extract, lookup.find
                );
            }
            None => {
                let _ = write!(stages, ", process {:.1}", costs.between);
            }
        }
        let _ = write!(
            stages,
            ", send {:.1}, finish {:.1} ns of {:.1} for each frame",
            costs.send, costs.finish, run.ns
        );
        row("stages", stages);
        if let Some(translate) = costs.translate {
            row("new flows", format!("{:.0} a second, each decided in {translate:.0} ns", run.asked));
        }
    }
    if let (Some(flows), Some(masks)) = (run.flows, run.masks) {
        row("flows", format!("{flows} with {masks} masks"));
    }
    row("longest turn", format!("{} us", run.pause_us));
    row("memory", format!("{:.1} MiB", run.memory_mib));
    text
}

/// What an attack leaves.
#[derive(Debug, Default, serde::Serialize)]
pub struct AttackReport {
    /// Least, middle and most of what is left of the rate alone.
    pub share: Option<[f64; 3]>,
    /// What is left beside one that sends known flows as fast.
    pub beside_share: Vec<f64>,
    /// What is left under attack.
    pub attacked_share: Vec<f64>,
    /// The runs.
    pub alone: Vec<Outcome>,
    /// The runs.
    pub beside: Vec<Outcome>,
    /// The runs.
    pub attacked: Vec<Outcome>,
}

impl AttackReport {
    /// For people.
    pub fn text(&self, printer: &Printer) -> String {
        let mut text = String::new();
        for (name, shares) in [("good neighbour", &self.beside_share), ("attacked", &self.attacked_share)] {
            if let Some([least, middle, most]) = spread(shares) {
                let line = format!(
                    "{name:<16}{:.1} % of the rate alone ({:.1} - {:.1})",
                    middle * 100.0,
                    least * 100.0,
                    most * 100.0
                );
                text.push_str(&printer.paint(Tone::Strong, &line));
                text.push('\n');
            }
        }
        if let Some(last) = self.attacked.last() {
            text.push_str(&details(last));
        }
        text
    }
}

/// What a search found.
#[derive(Debug, serde::Serialize)]
pub struct SearchReport {
    /// Without a limit.
    pub unlimited: Outcome,
    /// The search.
    pub found: Found,
    /// How exact.
    pub resolution: f64,
    /// What loss was taken as none.
    pub tolerated: f64,
    /// The trial at the rate that was found.
    pub at: Option<Outcome>,
}

impl SearchReport {
    /// For people.
    pub fn text(&self, printer: &Printer) -> String {
        let mut text = format!("without a limit {:.3} Mpps\n{}", self.unlimited.mpps, self.found.list());
        let head = format!(
            "without loss {:.3} Mpps, to {} % of {:.3} Mpps",
            self.found.rate / 1e6,
            self.resolution * 100.0,
            self.unlimited.mpps
        );
        text.push_str(&printer.paint(Tone::Strong, &head));
        text.push('\n');
        if let Some(at) = &self.at {
            text.push_str(&details(at));
        }
        text
    }
}
