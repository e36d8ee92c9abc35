//! `bench dataplane`: how fast frames pass, where the time goes, what is lost, and how long each takes.
//!
//! ```text
//! memory   Source -> worker (or a loop like testpmd's) -> Sink, one thread
//! ports    tester thread -> port C .. port A -> worker -> port B .. port D -> tester thread
//! ```
//!
//! What is measured is the worker that the switch runs, through the interfaces that ports have; the queues around it look
//! at the clock for one batch in sixteen (`stages`). Trials are independent: each makes its own worker and warms it up.

mod brains;
mod device;
mod histogram;
mod memory;
mod ports;
mod rate;
mod report;
mod search;
mod stages;
mod tester;
mod traffic;
mod trial;

use crate::cli::{BenchCommand, DataplaneArgs, Mode, Traffic};
use crate::failure::Failure;
use crate::output::{Printer, put};
use histogram::spread;
use ports::Ports;
use rate::{Offer, share};
use report::{AttackReport, Report, SearchReport};
use search::Search;
use trial::{Outcome, Plan};

/// How long the rate is measured of which a share is wanted.
const CALIBRATION: f64 = 3.0;

/// Runs a measurement and prints what came of it.
///
/// # Errors
/// What keeps it from being made.
pub fn run(printer: &Printer, command: &BenchCommand) -> Result<u8, Failure> {
    match command {
        BenchCommand::Dataplane(arguments) => dataplane(printer, arguments),
    }
}

/// Tries a rate somewhere.
struct Bench {
    plan: Plan,
    /// None: in memory.
    ports: Option<Ports>,
}

impl Bench {
    fn run(&self, rate: Option<f64>, seconds: f64, look: bool) -> Result<Outcome, Failure> {
        match &self.ports {
            Some(ports) => ports.run(&self.plan, rate, seconds),
            None => self.plan.run(rate, seconds, look),
        }
    }
}

fn dataplane(printer: &Printer, arguments: &DataplaneArgs) -> Result<u8, Failure> {
    let bench = bench(arguments)?;
    let seconds = arguments.seconds;
    if let Some(core) = arguments.core {
        let mut set = rustix::thread::CpuSet::new();
        set.set(core);
        rustix::thread::sched_setaffinity(None, &set)
            .map_err(|error| Failure::new(format!("`--core {core}`: {}", std::io::Error::from(error))))?;
    }
    if arguments.attack {
        return attack(printer, &bench, seconds, arguments.runs);
    }
    if arguments.search {
        return search(printer, &bench, arguments);
    }
    let offer: Offer = arguments.rate.as_deref().map_or(Ok(Offer::All), str::parse).map_err(Failure::new)?;
    let mut rates = Vec::new();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for run in 1..=arguments.runs {
        let rate = match offer {
            Offer::All => None,
            Offer::Frames(rate) => Some(rate),
            Offer::Bits(rate) => Some(rate / 8.0 / bench.plan.sizes.mean()),
            Offer::Share(share) => Some(bench.run(None, CALIBRATION, false)?.mpps * 1e6 * share),
        };
        rates.push(rate);
        // Looking at the flows takes memory that is not the data path's: only after the last.
        let outcome = bench.run(rate, seconds, run == arguments.runs)?;
        if !printer.is_machine() && arguments.runs > 1 {
            put(&format!("  {run}: {}\n", report::line(&outcome)))?;
        }
        outcomes.push(outcome);
    }
    let report = Report::of(arguments, rates, outcomes);
    if printer.is_machine() {
        printer.machine(&report)?;
    } else {
        put(&report.text(printer))?;
    }
    Ok(0)
}

fn bench(arguments: &DataplaneArgs) -> Result<Bench, Failure> {
    if !(arguments.seconds > 0.0 && arguments.seconds <= 86_400.0) {
        return Err(Failure::new(format!("`--seconds {}`: more than 0, at most a day", arguments.seconds)));
    }
    let plan = Plan {
        mode: arguments.mode,
        traffic: arguments.traffic,
        flows: arguments.flows,
        sizes: arguments.size.parse().map_err(|error| Failure::new(format!("`--size`: {error}")))?,
        queue: u64::from(arguments.queue),
        rules: (arguments.rules, arguments.masks),
        neighbour: None,
    };
    let generates = matches!(arguments.mode, Mode::Flowgen | Mode::Txonly);
    let ports = match &arguments.ports[..] {
        [one] if one == "memory" => {
            if generates || !arguments.tester.is_empty() {
                return Err(Failure::new("in memory there are a generator and a sink already")
                    .help("--mode io measures them alone; --ports A B names ports"));
            }
            None
        }
        [_, _] => {
            let ports = Ports { carried: arguments.ports.clone(), tester: arguments.tester.clone() };
            if generates && !ports.tester.is_empty() {
                return Err(Failure::new(
                    "with --mode flowgen and txonly the generator has the ports of --ports",
                ));
            }
            let nobody_sends = !generates && ports.tester.is_empty();
            if nobody_sends && (arguments.search || arguments.rate.is_some()) {
                return Err(Failure::new("without a generator there is no rate")
                    .help("--tester C D names its ports, or --mode flowgen sends through those of --ports"));
            }
            Some(ports)
        }
        _ => return Err(Failure::new("`--ports`: memory, or two ports")),
    };
    if arguments.attack && (ports.is_some() || !matches!(arguments.mode, Mode::Switch | Mode::Rules)) {
        return Err(Failure::new("`--attack` is measured in memory, with --mode switch or rules"));
    }
    Ok(Bench { plan, ports })
}

/// What a neighbour leaves: alone, beside one with a known flow, beside one with random headers, in turn.
fn attack(printer: &Printer, bench: &Bench, seconds: f64, runs: u32) -> Result<u8, Failure> {
    let with = |neighbour| -> Result<Outcome, Failure> {
        Bench { plan: Plan { neighbour, ..bench.plan.clone() }, ports: None }.run(None, seconds, false)
    };
    let mut report = AttackReport::default();
    for _ in 0..runs {
        let (alone, beside) = (with(None)?, with(Some(Traffic::Flows))?);
        let attacked = with(Some(Traffic::Random))?;
        let share = |outcome: &Outcome| if alone.mpps > 0.0 { outcome.mpps / alone.mpps } else { 0.0 };
        report.beside_share.push(share(&beside));
        report.attacked_share.push(share(&attacked));
        if !printer.is_machine() {
            put(&format!(
                "  alone {:.3} Mpps, beside a good neighbour {:.3} Mpps ({:.0} %), attacked {:.3} Mpps ({:.0} %)\n",
                alone.mpps,
                beside.mpps,
                share(&beside) * 100.0,
                attacked.mpps,
                share(&attacked) * 100.0
            ))?;
        }
        report.alone.push(alone);
        report.beside.push(beside);
        report.attacked.push(attacked);
    }
    report.share = spread(&report.attacked_share);
    if printer.is_machine() {
        printer.machine(&report)?;
    } else {
        put(&report.text(printer))?;
    }
    Ok(0)
}

fn search(printer: &Printer, bench: &Bench, arguments: &DataplaneArgs) -> Result<u8, Failure> {
    let resolution =
        share(&arguments.resolution).map_err(|error| Failure::new(format!("`--resolution`: {error}")))?;
    let tolerated =
        share(&arguments.tolerated).map_err(|error| Failure::new(format!("`--tolerated`: {error}")))?;
    let unlimited = bench.run(None, CALIBRATION.min(arguments.seconds), false)?;
    let search = Search { most: unlimited.mpps * 1e6, resolution, tolerated };
    let mut best: Option<Outcome> = None;
    let found = search.run(|rate| -> Result<f64, Failure> {
        let outcome = bench.run(Some(rate), arguments.seconds, false)?;
        // What the generator could not send either is no rate that was offered.
        let offered = outcome.offered.max(1) as f64;
        let short = (rate * outcome.seconds - offered).max(0.0) / (rate * outcome.seconds).max(1.0);
        let loss = outcome.lost as f64 / offered;
        let loss = if short > 0.01 { loss.max(short) } else { loss };
        if loss <= tolerated {
            best = Some(outcome);
        }
        Ok(loss)
    })?;
    let report = SearchReport { unlimited, found, resolution, tolerated, at: best };
    if printer.is_machine() {
        printer.machine(&report)?;
    } else {
        put(&report.text(printer))?;
    }
    Ok(0)
}
