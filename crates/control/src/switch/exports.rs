//! What is told to collectors: sums of flows, samples of packets, counters of interfaces.
//!
//! ```text
//! rows of NetFlow, sFlow, IPFIX -> Switch::apply_exports -> ExportSettings -> exporters (proto::export), what tables sample
//! workers -> counts of flows, sampled packets -> exporters -> outbox -> the thread `netloom-exports` -> collectors (UDP)
//! time ----------------------------------------------^
//! ```
//!
//! What: [`Exports`] are the exporters of all bridges; they are among the [`Bridges`], because that is where packets are counted.
//! The thread ([`thread::ExportThread`]) has the time for them, and sends. A successor goes on with settings and numbers of
//! sequences ([`ExportState`]); what was summed is told before.
//!
//! Invariants: nobody who has the lock of the bridges sends. What waits to be sent is bounded ([`MOST_WAITING`]); what finds no
//! room, and what a collector's socket does not take at once, is lost and counted, and the log says so once.
//!
//! Costs: nothing for bridges without collectors. A flow that is summed costs a look into a table whenever the data path tells of
//! it, twice a second at most; a sampled packet about what a packet costs that no flow knows.

mod collectors;
mod feed;
mod settings;
mod state;
mod thread;

pub(super) use collectors::Collectors;
pub(super) use feed::InterfaceFacts;
pub(super) use settings::{ExportSettings, IpfixSettings, NetFlowSettings, SFlowSettings, SumSettings};
pub(super) use state::ExportState;
pub(super) use thread::ExportThread;

use super::brain::Bridges;
use super::state::Switch;
use netloom_kernel::address_of;
use netloom_kernel::netlink::{Protocol, Socket};
use netloom_mem::PortNumber;
use netloom_proto::export::{Clock, ipfix, netflow, sflow};
use netloom_proto::openflow::message::IpfixStatistics;
use netloom_vswitch::openflow::{BridgeNumber, PipelineOptions};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
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

/// What exporters have in common.
trait Machine {
    fn tick(&mut self, now: u64);
    fn flush(&mut self, now: u64);
    fn take(&mut self) -> Vec<Vec<u8>>;
    /// A datagram was lost.
    fn lose(&mut self) {}
}

impl Machine for netflow::Exporter {
    fn tick(&mut self, now: u64) {
        self.tick(now);
    }

    fn flush(&mut self, now: u64) {
        self.flush(now);
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        self.take()
    }
}

impl Machine for sflow::Agent {
    fn tick(&mut self, now: u64) {
        self.flush(now);
    }

    fn flush(&mut self, now: u64) {
        self.flush(now);
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        self.take()
    }

    fn lose(&mut self) {
        self.lose(1);
    }
}

impl Machine for ipfix::Exporter {
    fn tick(&mut self, now: u64) {
        self.tick(now);
    }

    fn flush(&mut self, now: u64) {
        self.flush(now);
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        self.take()
    }
}

/// Datagrams that wait for the thread.
#[derive(Debug, Default)]
struct Outbox {
    waiting: VecDeque<(Arc<Collectors>, Vec<u8>)>,
    /// The log said that some found no room.
    complained: bool,
}

impl Outbox {
    /// Takes what an exporter made.
    fn put<M: Machine>(&mut self, teller: &mut Teller<M>) {
        for datagram in teller.machine.take() {
            if self.waiting.len() < MOST_WAITING {
                self.waiting.push_back((teller.collectors.clone(), datagram));
                continue;
            }
            if !std::mem::replace(&mut self.complained, true) {
                tracing::warn!("datagrams for collectors are lost: {MOST_WAITING} wait to be sent");
            }
            teller.collectors.lose();
            teller.machine.lose();
        }
    }
}

/// The exporters of a bridge.
#[derive(Debug, Default)]
struct BridgeExports {
    settings: ExportSettings,
    netflow: Option<Teller<netflow::Exporter>>,
    sflow: Option<Teller<sflow::Agent>>,
    sums: Option<Teller<ipfix::Exporter>>,
    sets: BTreeMap<u32, Teller<ipfix::Exporter>>,
}

/// The exporters of all bridges.
#[derive(Debug, Default)]
pub(super) struct Exports {
    bridges: BTreeMap<BridgeNumber, BridgeExports>,
    outbox: Outbox,
    pub(super) clock: Clock,
    /// What is known of interfaces.
    interfaces: HashMap<PortNumber, InterfaceFacts>,
    /// By which numbers controllers know bridges.
    datapaths: HashMap<BridgeNumber, u64>,
    /// Rung for the thread.
    bell: Option<Arc<OwnedFd>>,
}

/// Has an exporter be as it should be: made, changed or ended. What one knows that ends, or tells others, is told before.
fn renew<M: Machine>(
    before: Option<Teller<M>>,
    wanted: Option<(Option<Arc<Collectors>>, impl FnOnce(Option<M>) -> M)>,
    outbox: &mut Outbox,
    now: u64,
) -> Option<Teller<M>> {
    let before = before.map(|mut teller| {
        teller.machine.flush(now);
        outbox.put(&mut teller);
        teller
    });
    let (collectors, make) = wanted?;
    let (machine, known) = before.map(|teller| (teller.machine, teller.collectors)).unzip();
    Some(Teller { machine: make(machine), collectors: collectors.or(known).unwrap_or_default() })
}

/// Collectors for these targets; none where they are the same as before.
fn collectors(
    protocol: &str,
    targets: &[String],
    before: Option<&Vec<String>>,
    usual: Option<u16>,
) -> Option<Arc<Collectors>> {
    (before.map(Vec::as_slice) != Some(targets)).then(|| Collectors::open(protocol, targets, usual))
}

impl BridgeExports {
    fn set(
        &mut self,
        number: BridgeNumber,
        settings: &ExportSettings,
        state: &ExportState,
        (clock, outbox, now): (Clock, &mut Outbox, u64),
    ) {
        let old = &self.settings;
        if old.netflow != settings.netflow {
            let wanted = settings.netflow.as_ref().map(|new| {
                if new.add_id_to_interface && new.engine.1 > 0x7f {
                    tracing::warn!(
                        "NetFlow: of engine id {} seven bits stand before port numbers",
                        new.engine.1
                    );
                }
                let before = old.netflow.as_ref().map(|old| &old.targets);
                let make = |machine: Option<netflow::Exporter>| {
                    let position = state.netflow.unwrap_or((now, 0));
                    let mut machine =
                        machine.unwrap_or_else(|| netflow::Exporter::resume(new.machine(), clock, position));
                    machine.set(new.machine());
                    machine
                };
                (collectors("NetFlow", &new.targets, before, None), make)
            });
            self.netflow = renew(self.netflow.take(), wanted, outbox, now);
        }
        if old.sflow != settings.sflow {
            let wanted = settings.sflow.as_ref().map(|new| {
                let before = old.sflow.as_ref().map(|old| &old.targets);
                let fresh = collectors("sFlow", &new.targets, before, Some(sflow::PORT));
                let known = self.sflow.as_ref().map(|teller| teller.collectors.clone());
                let told = fresh.clone().or(known).unwrap_or_default();
                let agent = agent(new, &told);
                let make = move |machine: Option<sflow::Agent>| {
                    let settings = new.machine(agent, number - 1);
                    let position =
                        state.sflow.unwrap_or(sflow::Position { boot: now, ..sflow::Position::default() });
                    let mut machine =
                        machine.unwrap_or_else(|| sflow::Agent::resume(settings.clone(), position));
                    machine.set(settings, now);
                    machine
                };
                (fresh, make)
            });
            self.sflow = renew(self.sflow.take(), wanted, outbox, now);
        }
        let before = self.settings.sums.as_ref().map(|sums| &sums.told);
        let wanted = settings.sums.as_ref().map(|sums| &sums.told);
        if self.settings.sums != settings.sums {
            let position = state.sums.clone();
            self.sums = renew_sums(self.sums.take(), (before, wanted, position), (clock, outbox, now));
        }
        let numbers = self.settings.sets.keys().chain(settings.sets.keys());
        let numbers: BTreeSet<u32> = numbers.copied().collect();
        for set in numbers {
            let (before, wanted) = (self.settings.sets.get(&set), settings.sets.get(&set));
            if before != wanted {
                let position = state.sets.get(&set).cloned();
                let teller =
                    renew_sums(self.sets.remove(&set), (before, wanted, position), (clock, outbox, now));
                self.sets.extend(teller.map(|teller| (set, teller)));
            }
        }
        self.settings = settings.clone();
    }

    /// All exporters do something, and what they made is to be sent.
    fn each(&mut self, outbox: &mut Outbox, run: impl Fn(&mut dyn Machine)) {
        if let Some(teller) = &mut self.netflow {
            run(&mut teller.machine);
            outbox.put(teller);
        }
        if let Some(teller) = &mut self.sflow {
            run(&mut teller.machine);
            outbox.put(teller);
        }
        for teller in self.sums.iter_mut().chain(self.sets.values_mut()) {
            run(&mut teller.machine);
            outbox.put(teller);
        }
    }
}

/// As [`renew`], for sums of samples.
fn renew_sums(
    teller: Option<Teller<ipfix::Exporter>>,
    (before, wanted, position): (
        Option<&IpfixSettings>,
        Option<&IpfixSettings>,
        Option<state::IpfixPosition>,
    ),
    (clock, outbox, now): (Clock, &mut Outbox, u64),
) -> Option<Teller<ipfix::Exporter>> {
    let wanted = wanted.map(|new| {
        let make = |machine: Option<ipfix::Exporter>| {
            let mut machine = machine.unwrap_or_else(|| {
                let mut machine = ipfix::Exporter::new(new.machine(), clock);
                if let Some(position) = position {
                    machine.resume(position.into());
                }
                machine
            });
            machine.set(new.machine(), now);
            machine
        };
        let before = before.map(|before| &before.targets);
        (collectors("IPFIX", &new.targets, before, Some(ipfix::PORT)), make)
    });
    renew(teller, wanted, outbox, now)
}

/// The address of an agent: the one that is given, or else the one from which collectors hear it.
fn agent(settings: &SFlowSettings, collectors: &Collectors) -> IpAddr {
    let given = settings.agent.as_ref().and_then(|agent| agent.parse().ok());
    given.or_else(|| collectors.own_address()).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Settings with an agent's address where an interface was named that has one. It asks the system.
fn resolved(mut settings: ExportSettings) -> ExportSettings {
    let of_interface = |name: &str| address_of(&mut Socket::open(Protocol::Route).ok()?, name).ok()?;
    if let Some(agent) = settings.sflow.as_mut().and_then(|sflow| sflow.agent.as_mut())
        && let Some(address) = of_interface(agent)
    {
        *agent = address.to_string();
    }
    settings
}

impl Exports {
    /// Whether there is nobody to tell anything.
    pub(super) fn is_empty(&self) -> bool {
        self.bridges.is_empty() && self.outbox.waiting.is_empty()
    }

    /// Whether interfaces are told of.
    fn wants_interfaces(&self) -> bool {
        self.bridges.values().any(|of| of.sflow.is_some() || of.sums.is_some() || !of.sets.is_empty())
    }

    fn ring(&self) {
        if let Some(bell) = &self.bell {
            // A bell that can't be rung was rung often enough.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
    }

    /// Has the exporters of a bridge be as settings say; new ones go on where others stopped.
    fn set(&mut self, number: BridgeNumber, settings: &ExportSettings, state: &ExportState, now: u64) {
        let of = self.bridges.entry(number).or_default();
        of.set(number, settings, state, (self.clock, &mut self.outbox, now));
        if of.settings.is_empty() {
            self.bridges.remove(&number);
        }
        self.ring();
    }

    /// What time brings.
    fn tick(&mut self, now: u64) {
        for of in self.bridges.values_mut() {
            of.each(&mut self.outbox, |machine| machine.tick(now));
        }
    }

    /// Tells everything that is known.
    fn flush(&mut self, now: u64) {
        for of in self.bridges.values_mut() {
            of.each(&mut self.outbox, |machine| machine.flush(now));
        }
    }

    /// Tells nobody anything any more: somebody else does.
    pub(super) fn silence(&mut self) {
        self.bridges.clear();
        self.outbox.waiting.clear();
    }

    /// A bridge is gone.
    pub(super) fn remove(&mut self, number: BridgeNumber, now: u64) {
        if self.bridges.contains_key(&number) {
            self.set(number, &ExportSettings::default(), &ExportState::default(), now);
        }
    }

    /// What the exporter of sums of a bridge counted.
    pub(super) fn bridge_statistics(&self, number: BridgeNumber) -> Option<IpfixStatistics> {
        Some(statistics(self.bridges.get(&number)?.sums.as_ref()?, 0))
    }

    /// What exporters of flows' samples counted.
    pub(super) fn set_statistics(&self, number: BridgeNumber) -> Vec<IpfixStatistics> {
        let sets = self.bridges.get(&number).map(|of| &of.sets);
        sets.into_iter().flatten().map(|(set, teller)| statistics(teller, *set)).collect()
    }
}

fn statistics(teller: &Teller<ipfix::Exporter>, collector_set: u32) -> IpfixStatistics {
    let counts = teller.machine.counts();
    let (sent_packets, sent_errors) = teller.collectors.counts();
    IpfixStatistics {
        total_flows: counts.flows,
        current_flows: teller.machine.len() as u64,
        packets: counts.packets,
        ipv4_packets: counts.ipv4,
        ipv6_packets: counts.ipv6,
        error_packets: counts.errors,
        ipv4_error_packets: counts.ipv4_errors,
        ipv6_error_packets: counts.ipv6_errors,
        sent_packets,
        sent_errors,
        collector_set,
    }
}

impl Bridges {
    /// Has a bridge tell collectors what it should.
    pub(super) fn set_exports(
        &mut self,
        number: BridgeNumber,
        settings: &ExportSettings,
        state: &ExportState,
        now: u64,
    ) {
        let Some(pipeline) = self.pipelines.get_mut(&number) else { return };
        let exports = settings.of_tables();
        if pipeline.options().exports != exports {
            let options = PipelineOptions { exports, ..pipeline.options().clone() };
            pipeline.set_options(options);
        }
        self.exports.set(number, settings, state, now);
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
        let names: BTreeSet<&String> = wanted.keys().chain(self.exported.keys()).collect();
        let other = names.into_iter().filter(|name| wanted.get(*name) != self.exported.get(*name));
        for name in other {
            // The system is asked before the lock is taken.
            let settings = resolved(wanted.get(name).cloned().unwrap_or_default());
            let mut bridges = self.bridges.lock();
            if let Some(number) = bridges.number_of(name) {
                bridges.set_exports(number, &settings, &ExportState::default(), now);
            }
        }
        self.exported = wanted;
        self.note_interfaces();
        self.desk().publish();
    }

    /// Has exporters know of interfaces what their drivers tell.
    pub(super) fn note_interfaces(&self) {
        if !self.bridges.lock().exports.wants_interfaces() {
            return;
        }
        let facts = |(name, port): (&String, &super::configuration::PortConfiguration)| {
            let carried = self.ports.get(name)?;
            let details = self.doors.details(port.number);
            Some((port.number, InterfaceFacts::of(name, &port.options, &details, &(carried.state)())))
        };
        let all = self.configuration.ports.iter().filter_map(facts).collect();
        let mut bridges = self.bridges.lock();
        let number = |(name, settings): (&String, &super::openflow::BridgeSettings)| {
            Some((bridges.number_of(name)?, settings.datapath))
        };
        let datapaths = self.connected.iter().filter_map(number).collect();
        bridges.exports.interfaces = all;
        bridges.exports.datapaths = datapaths;
    }
}
