//! One trial in memory: warm up, carry frames for a time, and say what came of it.

use super::brains::{OUT, brain};
use super::device::{Counts, Device, Port, SEED};
use super::histogram::{Histogram, spread};
use super::memory::{Clock, Given, Got, Sink, Source};
use super::stages::{Costs, Stages, TimedReceive, TimedSend};
use super::traffic::{Sizes, Stream};
use crate::cli::{Mode, Traffic};
use crate::failure::Failure;
use netloom_datapath::FlowBounds;
use netloom_mem::{BATCH, Batch, PortNumber, ReceiveQueue};
use netloom_table::Key;
use netloom_table::key::extract;
use netloom_table::megaflow::Megaflows;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The port of the generator.
const IN: PortNumber = 1;
/// The port of a neighbour.
const BESIDE: PortNumber = 3;
/// What a paced measurement is cut into, in nanoseconds.
const WINDOW: u64 = 50_000_000;
/// Longest time to warm up.
const WARM: u64 = 20_000_000_000;
/// Shortest time to warm up.
const WARM_LEAST: u64 = 100_000_000;
/// Flows of which every packet is one end soon, so that making and ending them is measured together.
const SHORT_LIVED: u64 = 100_000_000;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is done with frames.
    pub mode: Mode,
    /// What is sent.
    pub traffic: Traffic,
    /// Different flows.
    pub flows: u32,
    /// Lengths of frames.
    pub sizes: Sizes,
    /// Frames that may wait.
    pub queue: u64,
    /// Rules, and their masks.
    pub rules: (u32, u32),
    /// What a neighbour sends as fast as it can, if there is one.
    pub neighbour: Option<Traffic>,
}

/// What came of a trial.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Outcome {
    /// How long it was.
    pub seconds: f64,
    /// Frames that were offered.
    pub offered: u64,
    /// Frames that arrived.
    pub delivered: u64,
    /// Frames that were offered and did not arrive.
    pub lost: u64,
    /// Of these, the ones that found no room in the queue before the data path.
    pub missed: u64,
    /// Millions of frames a second that arrived.
    pub mpps: f64,
    /// Their bits, in thousand millions a second.
    pub gbit: f64,
    /// Millions of frames a second in windows of 50 ms: the least, the middle, the most.
    pub windows: Option<[f64; 3]>,
    /// Nanoseconds for each frame at this rate.
    pub ns: f64,
    /// From the time at which a frame was due to its arrival, in nanoseconds.
    pub delay: Option<Delay>,
    /// Frames that arrived after later ones (of those that were looked at).
    pub overtaken: u64,
    /// Frames that were dropped, by reason, of all ports.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Where the time went.
    pub costs: Option<Costs>,
    /// The same for extracting keys and looking them up, measured apart with the same flows.
    pub lookup: Option<Lookup>,
    /// Flows that the data path had at the end.
    pub flows: Option<usize>,
    /// Their different masks.
    pub masks: Option<usize>,
    /// Packets a second that the brain was asked about.
    pub asked: f64,
    /// The longest time in which the thread did not run or was busy with one turn, in microseconds.
    pub pause_us: u64,
    /// Memory of the process when the trial ended, in MiB.
    pub memory_mib: f64,
}

/// Percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Delay {
    /// The median.
    pub p50: u64,
    /// 90 % took no longer.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The longest.
    pub most: u64,
    /// How many were measured.
    pub samples: u64,
}

impl Delay {
    /// Of a histogram; nothing when it is empty.
    pub fn of(histogram: &Histogram) -> Option<Self> {
        Some(Self {
            p50: histogram.percentile(50_000)?,
            p90: histogram.percentile(90_000)?,
            p99: histogram.percentile(99_000)?,
            p999: histogram.percentile(99_900)?,
            most: histogram.most(),
            samples: histogram.count(),
        })
    }
}

/// What the look-up of a frame costs, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Lookup {
    /// Extracting the key.
    pub extract: f64,
    /// Finding the flow.
    pub find: f64,
}

struct Rig {
    device: Device,
    clock: Clock,
    stages: Arc<Stages>,
    given: Arc<Given>,
    got: Arc<Got>,
}

impl Plan {
    fn stream(&self, traffic: Traffic, seed: u64) -> Stream {
        Stream::new(traffic, self.flows, self.sizes.clone(), seed)
    }

    /// The bounds of the worker's caches.
    pub fn bounds(&self) -> FlowBounds {
        let usual = FlowBounds::default();
        match self.traffic {
            Traffic::New | Traffic::NewStations => FlowBounds { idle: SHORT_LIVED, ..usual },
            _ => usual,
        }
    }

    /// Stations that a bridge must know.
    pub fn stations(&self) -> usize {
        if self.traffic == Traffic::Stations { self.flows as usize + 16 } else { 0 }
    }

    fn rig(&self, rate: Option<f64>) -> Result<Rig, Failure> {
        let clock = Clock::new();
        let (stages, given, got) =
            (Arc::new(Stages::default()), Arc::new(Given::default()), Arc::new(Got::default()));
        let source = |port: PortNumber, traffic, rate, given: &Arc<Given>| -> Box<dyn ReceiveQueue> {
            Box::new(Source {
                port,
                // A station behind two ports would move with every frame.
                stream: self.stream(traffic, SEED ^ u64::from(port)).with_station(port as u8),
                rate,
                room: self.queue,
                given: given.clone(),
                clock,
                line: None,
                looked: 0,
            })
        };
        let sink = |got: &Arc<Got>| Box::new(Sink { from: IN, got: got.clone(), clock, next: 0, last: 0 });
        let incoming = TimedReceive::around(source(IN, self.traffic, rate, &given), &stages, clock);
        let outgoing = TimedSend::around(sink(&got), &stages, clock);
        let mut ports = vec![
            Port { number: IN, receive: vec![incoming], send: None },
            Port { number: OUT, receive: Vec::new(), send: Some(outgoing) },
        ];
        if let Some(traffic) = self.neighbour {
            let receive = vec![source(BESIDE, traffic, None, &Arc::default())];
            ports.push(Port { number: BESIDE, receive, send: Some(sink(&Arc::default())) });
        }
        let brain =
            brain(self.mode, ports.len() as PortNumber, self.stations(), self.rules).map_err(Failure::new)?;
        let device = Device::new(self.mode, ports, brain, self.bounds(), &stages, clock)?;
        Ok(Rig { device, clock, stages, given, got })
    }

    /// Tries a rate, or what passes without one. `look` measures the look-up apart, which takes memory of its own.
    ///
    /// # Errors
    /// When the data path can't be made.
    pub fn run(&self, rate: Option<f64>, seconds: f64, look: bool) -> Result<Outcome, Failure> {
        let mut rig = self.rig(rate)?;
        let clock = rig.clock;
        let looks = clock.cost();
        // Every flow twice, so that the rate is not that of making them.
        let enough = 2 * u64::from(self.flows).max(1000);
        let began = clock.now();
        loop {
            rig.device.turn();
            let elapsed = clock.now() - began;
            if elapsed > WARM_LEAST && rig.given.taken.get() >= enough || elapsed > WARM {
                break;
            }
        }
        let delivered = |rig: &Rig, counts: &Counts| match self.mode {
            Mode::Rxonly => counts.received.get(&IN).copied().unwrap_or(0),
            _ => rig.got.frames.get(),
        };
        rig.got.with_delays(Histogram::clear);
        let (counts, sums) = (rig.device.counts(), rig.stages.sums());
        let (taken, frames) = (rig.given.taken.get(), delivered(&rig, &counts));
        let overtaken = rig.got.overtaken.get();
        let began = clock.now();
        rig.given.from.store(began, Ordering::Relaxed);
        let ends = began + (seconds * 1e9) as u64;
        let mut windows = Vec::with_capacity((seconds * 20.0) as usize + 1);
        let (mut window, mut in_window) = (began, frames);
        let ended = loop {
            // The clock is asked now and then only: at full load these are sixteen batches.
            for _ in 0..16 {
                rig.device.turn();
            }
            let now = clock.now();
            if now - window >= WINDOW {
                let frames = delivered(&rig, &rig.device.counts());
                windows.push((frames - in_window) as f64 * 1e3 / (now - window) as f64);
                (window, in_window) = (now, frames);
            }
            if now >= ends {
                break now;
            }
        };
        let elapsed = (ended - began) as f64 / 1e9;
        let counts = rig.device.counts().since(&counts);
        let sums = rig.stages.sums().since(sums);
        let delivered = delivered(&rig, &rig.device.counts()) - frames;
        let missed = rig.given.lost.get();
        let offered = rig.given.taken.get() - taken + missed;
        let memory_mib = memory();
        let mut outcome = Outcome {
            seconds: elapsed,
            offered,
            delivered,
            lost: offered.saturating_sub(delivered),
            missed,
            mpps: delivered as f64 / elapsed / 1e6,
            gbit: delivered as f64 * self.sizes.mean() * 8.0 / elapsed / 1e9,
            windows: spread(&windows),
            ns: elapsed * 1e9 / delivered.max(1) as f64,
            delay: rig.got.with_delays(|delays| Delay::of(delays)),
            overtaken: rig.got.overtaken.get() - overtaken,
            dropped: counts.dropped,
            costs: sums.costs(looks),
            asked: sums.asked() as f64 / elapsed,
            pause_us: rig.given.pause.load(Ordering::Relaxed) / 1000,
            memory_mib,
            ..Outcome::default()
        };
        if look && matches!(self.mode, Mode::Switch | Mode::Rules) {
            self.look_up(&mut rig.device, clock, &mut outcome);
        }
        Ok(outcome)
    }

    /// Extracts and finds the keys of frames like those of the trial, in a cache with the trial's flows.
    fn look_up(&self, device: &mut Device, clock: Clock, outcome: &mut Outcome) {
        const BATCHES: u64 = 4096;
        let flows = device.flows();
        let mut cache = Megaflows::new(self.bounds().cache, SEED);
        for (number, flow) in flows.iter().enumerate() {
            // Each was in a cache like this one: none is refused.
            let _ = cache.insert(&flow.key, &flow.mask, number as u32);
        }
        outcome.flows = Some(flows.len());
        outcome.masks = Some(cache.masks());
        drop(flows);
        let looks = clock.cost();
        let mut stream = self.stream(self.traffic, SEED ^ u64::from(IN));
        let mut batch = Batch::new();
        let mut keys: Box<[Key; 32]> = Box::new(std::array::from_fn(|_| Key::default()));
        let mut found = [0; BATCH];
        let (mut extracting, mut finding, mut frames) = (0, 0, 0);
        // Not the first frames, which are the flows in their order.
        let skipped = u64::from(self.flows) / BATCH as u64 + 1;
        for number in 0..skipped + BATCHES {
            batch.clear();
            while stream.put(&mut batch, IN, 0) {}
            let began = clock.now();
            for index in 0..batch.len() {
                extract(batch.head(index), batch.length(index), IN, &mut keys[index]);
            }
            let extracted = clock.now();
            cache.find_batch(&keys, batch.len(), &mut found);
            std::hint::black_box(&mut found);
            if number >= skipped {
                extracting += extracted - began;
                finding += clock.now() - extracted;
                frames += batch.len();
            }
        }
        let each = |sum: u64| ((sum as f64 - BATCHES as f64 * looks) / frames.max(1) as f64).max(0.0);
        outcome.lookup = Some(Lookup { extract: each(extracting), find: each(finding) });
    }
}

/// Memory of this process, in MiB.
pub fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilo = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilo.unwrap_or(0.0) / 1024.0
}
