//! What is told to collectors: sums of flows, samples of packets, counters of interfaces.
//!
//! ```text
//! rows of NetFlow, sFlow, IPFIX -> Switch::apply_exports -> ExportSettings -> exporters (proto::export), what tables sample
//! workers -> counts of flows, sampled packets -> exporters -> Outbox -> the thread `netloom-exports` -> collectors (UDP)
//! time ----------------------------------------------^
//! ```
//!
//! What: [`Exports`] are the exporters of all bridges; they are among the [`Bridges`], because that is where packets are counted.
//! The thread ([`thread::ExportThread`]) has the time for them, and sends.
//!
//! Invariants: nobody who has the lock of the bridges sends. What waits to be sent is bounded ([`MOST_WAITING`]); what finds no
//! room, and what a collector's socket does not take at once, is lost and counted, and the log says so once.
//!
//! Costs: nothing for bridges without collectors. A flow that is summed costs a look into a table whenever the data path tells of
//! it, twice a second at most; a sampled packet one translation's time or less.

mod collectors;
mod settings;
mod thread;

pub(super) use collectors::Collectors;
pub(super) use settings::{ExportSettings, NetFlowSettings};
pub(super) use thread::ExportThread;

use super::brain::Bridges;
use super::state::Switch;
use netloom_proto::export::{Clock, netflow};
use netloom_vswitch::openflow::translate::Credit;
use netloom_vswitch::openflow::{BridgeNumber, PipelineOptions, ToldFlow};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Most datagrams that wait to be sent.
const MOST_WAITING: usize = 4096;
/// From so many on the thread is woken.
const MANY: usize = 64;

/// An exporter, with those whom it tells.
#[derive(Debug)]
struct Teller<M> {
    machine: M,
    collectors: Arc<Collectors>,
}

/// The exporters of a bridge.
#[derive(Debug, Default)]
struct BridgeExports {
    settings: ExportSettings,
    netflow: Option<Teller<netflow::Exporter>>,
}

/// The exporters of all bridges.
#[derive(Debug, Default)]
pub(super) struct Exports {
    bridges: BTreeMap<BridgeNumber, BridgeExports>,
    outbox: VecDeque<(Arc<Collectors>, Vec<u8>)>,
    /// Datagrams that found no room.
    lost: u64,
    pub(super) clock: Clock,
    /// Rung for the thread.
    bell: Option<Arc<OwnedFd>>,
}

impl Exports {
    /// Whether there is nobody to tell anything.
    pub(super) fn is_empty(&self) -> bool {
        self.bridges.is_empty() && self.outbox.is_empty()
    }

    fn ring(&self) {
        if let Some(bell) = &self.bell {
            // A bell that can't be rung was rung often enough.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
    }

    fn put(
        outbox: &mut VecDeque<(Arc<Collectors>, Vec<u8>)>,
        lost: &mut u64,
        collectors: &Arc<Collectors>,
        datagrams: Vec<Vec<u8>>,
    ) {
        for datagram in datagrams {
            if outbox.len() < MOST_WAITING {
                outbox.push_back((collectors.clone(), datagram));
                continue;
            }
            if *lost == 0 {
                tracing::warn!("datagrams for collectors are lost: {MOST_WAITING} wait to be sent");
            }
            *lost += 1;
            collectors.lose();
        }
    }

    /// Has the exporters of a bridge be as settings say. What exporters know that go is told before.
    pub(super) fn set(&mut self, number: BridgeNumber, settings: ExportSettings, now: u64) {
        let Self { bridges, outbox, lost, clock, .. } = self;
        let of = bridges.entry(number).or_default();
        of.netflow = match (of.netflow.take(), &settings.netflow) {
            (Some(mut teller), Some(new)) => {
                teller.machine.set(new.settings);
                if of.settings.netflow.as_ref().is_none_or(|old| old.targets != new.targets) {
                    teller.collectors = Collectors::open("NetFlow", &new.targets, None);
                }
                Some(teller)
            }
            (None, Some(new)) => Some(Teller {
                machine: netflow::Exporter::new(new.settings, *clock, now),
                collectors: Collectors::open("NetFlow", &new.targets, None),
            }),
            (Some(mut teller), None) => {
                teller.machine.flush(now);
                Self::put(outbox, lost, &teller.collectors, teller.machine.take());
                None
            }
            (None, None) => None,
        };
        of.settings = settings;
        if of.settings == ExportSettings::default() {
            bridges.remove(&number);
        }
        self.ring();
    }

    /// What time brings.
    fn tick(&mut self, now: u64) {
        let Self { bridges, outbox, lost, .. } = self;
        for of in bridges.values_mut() {
            if let Some(teller) = &mut of.netflow {
                teller.machine.tick(now);
                Self::put(outbox, lost, &teller.collectors, teller.machine.take());
            }
        }
    }

    /// Tells everything that is known.
    fn flush(&mut self, now: u64) {
        let Self { bridges, outbox, lost, .. } = self;
        for of in bridges.values_mut() {
            if let Some(teller) = &mut of.netflow {
                teller.machine.flush(now);
                Self::put(outbox, lost, &teller.collectors, teller.machine.take());
            }
        }
    }

    fn netflow(&mut self, bridge: BridgeNumber) -> Option<&mut netflow::Exporter> {
        Some(&mut self.bridges.get_mut(&bridge)?.netflow.as_mut()?.machine)
    }

    /// A flow of the data path begins.
    pub(super) fn begin(&mut self, credit: &Credit, now: u64) {
        for (bridge, flow) in &credit.flows_told {
            if let Some(exporter) = self.netflow(*bridge) {
                exporter.begin(flow.key, flow.output, now);
            }
        }
    }

    /// Packets of a flow of the data path were counted.
    pub(super) fn count(&mut self, credit: &Credit, packets: u64, octets: u64, used: u64) {
        for (bridge, flow) in &credit.flows_told {
            let ToldFlow { key, output, flags } = **flow;
            if let Some(exporter) = self.netflow(*bridge) {
                exporter.count(key, netflow::Count { output, packets, octets, flags, used }, used);
            }
        }
        if self.outbox.len() >= MANY {
            self.ring();
        }
    }

    /// A flow of the data path is gone.
    pub(super) fn end(&mut self, credit: &Credit, now: u64) {
        for (bridge, flow) in &credit.flows_told {
            if let Some(exporter) = self.netflow(*bridge) {
                exporter.end(flow.key, now);
            }
        }
    }

    /// A bridge is gone.
    pub(super) fn remove(&mut self, number: BridgeNumber, now: u64) {
        if self.bridges.contains_key(&number) {
            self.set(number, ExportSettings::default(), now);
        }
    }
}

impl Bridges {
    /// Has a bridge tell collectors what it should.
    fn set_exports(&mut self, number: BridgeNumber, settings: ExportSettings, now: u64) {
        let Some(pipeline) = self.pipelines.get_mut(&number) else { return };
        let exports = settings.of_tables();
        if pipeline.options().exports != exports {
            let options = PipelineOptions { exports, ..pipeline.options().clone() };
            pipeline.set_options(options);
        }
        self.exports.set(number, settings, now);
    }
}

impl Switch {
    /// Has bridges tell collectors what the database asks for.
    pub(super) fn apply_exports(&mut self) {
        let wanted = self.wanted_exports();
        if wanted == self.exported {
            return;
        }
        let now = self.now();
        // What was counted until now is told as it was asked for until now.
        if let Err(error) = self.crew.count() {
            tracing::error!(%error, "packets are not counted");
        }
        {
            let mut bridges = self.bridges.lock();
            for name in wanted.keys().chain(self.exported.keys()) {
                let settings = wanted.get(name).cloned().unwrap_or_default();
                if self.exported.get(name).cloned().unwrap_or_default() == settings {
                    continue;
                }
                if let Some(number) = bridges.number_of(name) {
                    bridges.set_exports(number, settings, now);
                }
            }
        }
        self.exported = wanted;
        self.desk().publish();
    }
}
