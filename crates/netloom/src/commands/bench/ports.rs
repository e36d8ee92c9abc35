//! Measurements over real ports.

use super::brains::brain;
use super::device::{Counts, Device, Port};
use super::memory::Clock;
use super::stages::{Stages, TimedReceive, TimedSend};
use super::tester::Tester;
use super::trial::{Outcome, Plan, memory};
use crate::cli::Mode;
use crate::doors::Drivers;
use crate::failure::Failure;
use netloom_control::switch::{Doors, OpenPort, Options};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ports as they were named.
pub struct Ports {
    /// What the data path carries.
    pub carried: Vec<String>,
    /// The generator's and the sink's.
    pub tester: Vec<String>,
}

/// The options of a port that is written TYPE:NAME=VALUE,...
fn options(text: &str) -> Result<Options, Failure> {
    let wrong = || {
        Failure::new(format!("`{text}` is no port"))
            .help("a port is like afpacket:dev=eth0 or vhost-user:path=FILE,mode=server")
    };
    let (kind, rest) = match text.split_once(':') {
        Some((kind, rest)) if !kind.contains('=') => (Some(kind), rest),
        _ if text.contains('=') => (None, text),
        _ => (Some(text), ""),
    };
    let mut options: Options = kind.map(|kind| ("type".to_owned(), kind.to_owned())).into_iter().collect();
    for option in rest.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').ok_or_else(wrong)?;
        options.insert(name.to_owned(), value.to_owned());
    }
    Ok(options)
}

fn open(drivers: &mut Drivers, number: u32, text: &str) -> Result<OpenPort, Failure> {
    let port = drivers.open(number, &format!("bench{number}"), &options(text)?);
    port.map_err(|error| Failure::new(format!("{text}: {error}")))
}

impl Ports {
    /// Tries a rate, or what passes without one.
    ///
    /// # Errors
    /// When a port can't be opened.
    pub fn run(&self, plan: &Plan, rate: Option<f64>, seconds: f64) -> Result<Outcome, Failure> {
        let mut drivers = Drivers::new(1)?;
        let mut all = Vec::new();
        for (number, text) in (1..).zip(self.carried.iter().chain(&self.tester)) {
            all.push(open(&mut drivers, number, text)?);
        }
        let clock = Clock::new();
        let generates = matches!(plan.mode, Mode::Flowgen | Mode::Txonly);
        let mut outer = all.split_off(if generates { 0 } else { self.carried.len() });
        let (mut keep, mut ports) = (Vec::new(), Vec::new());
        let stages = Arc::new(Stages::default());
        for (number, port) in (1..).zip(all) {
            let receive =
                port.receive.into_iter().map(|queue| TimedReceive::around(queue, &stages, clock)).collect();
            // One worker sends: through the first.
            let send = port.send.into_iter().next().map(|queue| TimedSend::around(queue, &stages, clock));
            ports.push(Port { number, receive, send });
            keep.push(port.keep);
        }
        let mut tester = match outer.pop() {
            None => None,
            Some(last) => {
                let first = outer.pop();
                let (send, receive) = match first {
                    Some(first) => {
                        keep.extend([first.keep, last.keep]);
                        (first.send, last.receive)
                    }
                    None => (last.send, last.receive),
                };
                let send = send
                    .into_iter()
                    .next()
                    .ok_or_else(|| Failure::new("nothing can be sent through the generator's port"))?;
                let blind = plan.mode == Mode::Txonly;
                let (traffic, flows, sizes, queue) =
                    (plan.traffic, plan.flows, plan.sizes.clone(), plan.queue);
                Some(Tester { send, receive, traffic, flows, sizes, queue, blind, clock })
            }
        };
        if ports.is_empty() {
            let tester = tester.as_mut().ok_or_else(|| Failure::new("there is no port"))?;
            return Ok(tester.run(rate, seconds));
        }
        let brain =
            brain(plan.mode, ports.len() as u32, plan.stations(), plan.rules).map_err(Failure::new)?;
        let device = Device::new(plan.mode, ports, brain, plan.bounds(), &stages, clock)?;
        let outcome = carry(device, tester.as_mut(), &stages, clock, (rate, seconds));
        drop(keep);
        Ok(outcome)
    }
}

/// The data path in this thread, the tester in another, until that is done or the time is over.
fn carry(
    mut device: Device,
    tester: Option<&mut Tester>,
    stages: &Stages,
    clock: Clock,
    (rate, seconds): (Option<f64>, f64),
) -> Outcome {
    let looks = clock.cost();
    let done = AtomicBool::new(false);
    let began = clock.now();
    let ends = began + (seconds * 1e9) as u64;
    let measured = std::thread::scope(|scope| {
        let tests = tester.is_some();
        let thread = tester.map(|tester| {
            let done = &done;
            scope.spawn(move || {
                let outcome = tester.run(rate, seconds);
                done.store(true, Ordering::Release);
                outcome
            })
        });
        let mut empty = 0;
        loop {
            if device.turn() > 0 {
                empty = 0;
            } else {
                empty += 1;
                // The tester may need this processor.
                if empty > 8 {
                    std::thread::yield_now();
                }
            }
            let over = if tests { done.load(Ordering::Acquire) } else { clock.now() >= ends };
            // A thread that panicked is never done.
            if over || thread.as_ref().is_some_and(std::thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
        thread.and_then(|thread| thread.join().ok())
    });
    let counts: Counts = device.counts();
    let sums = stages.sums();
    let elapsed = (clock.now() - began) as f64 / 1e9;
    let mut outcome = measured.unwrap_or_else(|| {
        let delivered = counts.sent.values().sum::<u64>();
        let received = counts.received.values().sum::<u64>();
        Outcome {
            seconds: elapsed,
            offered: received,
            delivered,
            lost: received.saturating_sub(delivered),
            mpps: delivered as f64 / elapsed / 1e6,
            gbit: counts.octets as f64 * 8.0 / elapsed / 1e9,
            ns: elapsed * 1e9 / delivered.max(1) as f64,
            memory_mib: memory(),
            ..Outcome::default()
        }
    });
    outcome.costs = sums.costs(looks);
    outcome.asked = sums.asked() as f64 / elapsed;
    outcome.dropped = counts.dropped.into_iter().filter(|(_, count)| *count > 0).collect();
    if counts.unsent > 0 {
        outcome.dropped.insert("unsent", counts.unsent);
    }
    outcome
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn ports_as_they_are_written() {
        let of = |text: &str| {
            let options = options(text).unwrap();
            options.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("tap:dev=t0,queues=2"), "dev=t0 queues=2 type=tap");
        assert_eq!(of("type=pcap,replay=a:b.pcap"), "replay=a:b.pcap type=pcap");
        assert_eq!(of("pcap:replay=C:x"), "replay=C:x type=pcap");
        assert_eq!(of("tap"), "type=tap");
        assert!(options("tap:dev").is_err());
    }
}
