//! `dpif-netdev/...`: the workers.

use super::super::protocol::WorkerStatus;
use super::super::state::Switch;
use super::argument;
use crate::unixctl::Commands;
use std::collections::BTreeMap;
use std::fmt::Write;

const NO_PATH: &str = "please specify an existing datapath";

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0, 3, |switch, arguments| {
        Ok(each(switch, arguments)?.into_iter().map(|(head, worker)| stats(&head, &worker)).collect())
    });
    commands.add("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", 0, 3, |switch, arguments| {
        check_path(switch, arguments)?;
        let now = switch.workers();
        switch.cleared = now;
        Ok(String::new())
    });
    commands.add("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, |switch, arguments| {
        check_path(switch, arguments)?;
        Ok(queues(switch))
    });
    commands.add("dpif-netdev/pmd-rxq-rebalance", "[dp]", 0, 1, |switch, arguments| {
        check_path(switch, arguments)?;
        let now = switch.now();
        switch
            .crew
            .balance(now)
            .map(|_| "pmd rxq rebalance requested.".to_owned())
            .map_err(|error| error.to_string())
    });
    commands.add(
        "dpif-netdev/pmd-perf-show",
        "[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]",
        0,
        8,
        |switch, arguments| {
            let seconds = switch.now() as f64 / 1e9;
            Ok(each(switch, arguments)?
                .into_iter()
                .map(|(head, worker)| perf(&head, &worker, seconds))
                .collect())
        },
    );
}

/// Options that take a value.
const VALUED: [&str; 4] = ["-pmd", "-secs", "-it", "-ms"];

/// The data path that is named, which has to be there.
fn check_path(switch: &Switch, arguments: &[String]) -> Result<(), String> {
    let paths = switch.paths();
    let mut skip = false;
    for text in arguments {
        if std::mem::take(&mut skip) {
            continue;
        }
        if text.starts_with('-') {
            skip = VALUED.contains(&text.as_str());
        } else if !paths.keys().any(|path| path == text || path.ends_with(&format!("@{text}"))) {
            return Err(NO_PATH.to_owned());
        }
    }
    Ok(())
}

/// The workers that are asked for, each with its headline.
fn each(switch: &Switch, arguments: &[String]) -> Result<Vec<(String, WorkerStatus)>, String> {
    check_path(switch, arguments)?;
    let core = arguments.iter().position(|text| text == "-pmd").map(|place| argument(arguments, place + 1));
    let core: Option<usize> = core.map(|text| text.parse().map_err(|_| "invalid core")).transpose()?;
    let counted = switch.workers();
    let before = |at: usize| switch.cleared.get(at).cloned().unwrap_or_default();
    let all = counted.into_iter().enumerate().map(|(at, worker)| {
        let head = match worker.core {
            Some(core) => format!("pmd thread numa_id 0 core_id {core}:\n"),
            None => "main thread:\n".to_owned(),
        };
        (head, since(&worker, &before(at)))
    });
    Ok(all.filter(|(_, worker)| core.is_none() || worker.core == core).collect())
}

/// What was counted since it was cleared.
fn since(now: &WorkerStatus, before: &WorkerStatus) -> WorkerStatus {
    WorkerStatus {
        turns: now.turns.saturating_sub(before.turns),
        busy_turns: now.busy_turns.saturating_sub(before.busy_turns),
        sleeps: now.sleeps.saturating_sub(before.sleeps),
        asleep_ns: now.asleep_ns.saturating_sub(before.asleep_ns),
        busy_ns: now.busy_ns.saturating_sub(before.busy_ns),
        alive_ns: now.alive_ns.saturating_sub(before.alive_ns),
        signature_hits: now.signature_hits.saturating_sub(before.signature_hits),
        subtable_hits: now.subtable_hits.saturating_sub(before.subtable_hits),
        misses: now.misses.saturating_sub(before.misses),
        ..now.clone()
    }
}

fn stats(head: &str, worker: &WorkerStatus) -> String {
    let WorkerStatus { signature_hits, subtable_hits, misses, .. } = *worker;
    let packets = signature_hits + subtable_hits + misses;
    let mut text = format!(
        "{head}  packets received: {packets}\n  packet recirculations: 0\n  \
         avg. datapath passes per packet: {:.2}\n  phwol hits: 0\n  mfex opt hits: 0\n  simple match hits: 0\n  \
         emc hits: 0\n  smc hits: {signature_hits}\n  megaflow hits: {subtable_hits}\n  \
         avg. subtable lookups per megaflow hit: {:.2}\n  miss with success upcall: {misses}\n  \
         miss with failed upcall: 0\n  avg. packets per output batch: 0.00\n",
        if packets > 0 { 1.0 } else { 0.0 },
        if subtable_hits > 0 { 1.0 } else { 0.0 },
    );
    if worker.core.is_some() && worker.alive_ns > 0 {
        let idle = worker.alive_ns.saturating_sub(worker.busy_ns);
        let share = |part: u64| part as f64 / worker.alive_ns as f64 * 100.0;
        // A string takes whatever is written. Nanoseconds stand for cycles.
        let _ = write!(
            text,
            "  idle cycles: {idle} ({:.2}%)\n  processing cycles: {} ({:.2}%)\n",
            share(idle),
            worker.busy_ns,
            share(worker.busy_ns),
        );
    }
    text
}

fn perf(head: &str, worker: &WorkerStatus, seconds: f64) -> String {
    let packets = worker.signature_hits + worker.subtable_hits + worker.misses;
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 };
    let head = head.trim_end_matches(":\n");
    format!(
        "Time: {seconds:.3}\nMeasurement duration: {:.3} s\n\n{head}:\n\n  \
         Iterations:         {:>12}\n  - idle iterations:  {:>12}\n  - busy iterations:  {:>12}  ({:5.1} %)\n  \
         - sleep iterations: {:>12}\n  Rx packets:         {packets:>12}\n  \
         - SMC hits:         {:>12}  ({:5.1} %)\n  - Megaflow hits:    {:>12}  ({:5.1} %)\n  \
         - Upcalls:          {:>12}  ({:5.1} %)\n  Busy time:          {:>12} ns\n",
        worker.alive_ns as f64 / 1e9,
        worker.turns,
        worker.turns.saturating_sub(worker.busy_turns),
        worker.busy_turns,
        share(worker.busy_turns, worker.turns),
        worker.sleeps,
        worker.signature_hits,
        share(worker.signature_hits, packets),
        worker.subtable_hits,
        share(worker.subtable_hits, packets),
        worker.misses,
        share(worker.misses, packets),
        worker.busy_ns,
    )
}

fn queues(switch: &Switch) -> String {
    let mut text = "Displaying last 60 seconds pmd usage %\n".to_owned();
    let names: BTreeMap<u32, &String> =
        switch.configuration.ports.iter().map(|(name, port)| (port.number, name)).collect();
    let all = switch.crew.queues();
    let workers = switch.workers();
    for (at, worker) in workers.iter().enumerate() {
        // A worker that may run anywhere is no thread of its own processor.
        let Some(core) = worker.core else { continue };
        // A string takes whatever is written.
        let _ = writeln!(text, "pmd thread numa_id 0 core_id {core}:\n  isolated : false");
        for queue in all.iter().filter(|queue| queue.worker == at) {
            let name = names.get(&queue.port).map_or("?", |name| name.as_str());
            let usage = match worker.alive_ns {
                0 => "NOT AVAIL".to_owned(),
                alive => format!("{:>2} %", queue.nanoseconds * 100 / alive),
            };
            let _ = writeln!(
                text,
                "  port: {name:<16}  queue-id: {:>2} (enabled)   pmd usage: {usage}",
                queue.index
            );
        }
        let _ = writeln!(text, "  overhead: NOT AVAIL");
    }
    text
}
