//! What a daemon knows, as its successor gets it.

use super::super::configuration::{self, SwitchConfiguration};
use super::super::doors::Doors;
use super::super::exports::ExportState;
use super::super::protocol::WorkerStatus;
use super::super::shaping::ShapedFacts;
use super::super::start::{Clock, Start};
use super::super::state::{GONE, Switch, SwitchError};
use super::super::touched::Touched;
use super::VERSION;
use super::flows;
use netloom_datapath::{FlowReport, LinkTotals, PortTotals};
use netloom_nf::Reason;
use netloom_vswitch::openflow::{Pipeline, PipelineState};
use netloom_vswitch::{Bond, Bridge, BridgeOptions, BridgeState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a driver passes on of a port.
#[derive(Debug)]
pub struct Passed {
    /// What it knows.
    pub facts: serde_json::Value,
    /// Its descriptors.
    pub files: Vec<OwnedFd>,
}

/// Everything but flows and descriptors.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) version: u32,
    configuration: SwitchConfiguration,
    clock: u64,
    seed: u64,
    bridges: BTreeMap<String, BridgeState>,
    /// Streams of copies for collectors, by switch and mirror: their numbers and those of the next copies.
    streams: Vec<(String, String, u32, u32)>,
    /// Those that are open.
    ports: BTreeMap<String, PortFacts>,
    workers: Vec<WorkerStatus>,
    /// What is in OpenFlow tables, by switch.
    #[serde(default)]
    tables: BTreeMap<String, Tables>,
    /// OpenFlow's numbers of ports.
    #[serde(default)]
    ofports: BTreeMap<String, u16>,
    /// What is told to collectors, and what was.
    #[serde(default)]
    exports: BTreeMap<String, ExportState>,
    /// Ports that are shaped.
    #[serde(default)]
    shaped: BTreeMap<String, ShapedFacts>,
}

/// The tables of a switch.
#[derive(Debug, Serialize, Deserialize)]
struct Tables {
    pipeline: PipelineState,
    /// Controllers are configured.
    controlled: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct PortFacts {
    /// What the driver knows and how many descriptors are its; none for a port that is to be opened anew.
    passed: Option<(serde_json::Value, usize)>,
    totals: Totals,
    queues: Vec<(usize, u64, u64)>,
}

/// Counts, with reasons by name.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Totals {
    received: u64,
    received_octets: u64,
    sent: u64,
    sent_octets: u64,
    unsent: u64,
    dropped: BTreeMap<String, u64>,
    links: Vec<[u64; 6]>,
}

impl Totals {
    fn of(totals: &PortTotals) -> Self {
        let dropped = Reason::ALL.iter().zip(totals.dropped).filter(|(_, count)| *count > 0);
        let link = |link: &LinkTotals| {
            [link.packets, link.lost, link.full, link.duplicated, link.corrupted, link.overtaken]
        };
        Self {
            received: totals.received,
            received_octets: totals.received_octets,
            sent: totals.sent,
            sent_octets: totals.sent_octets,
            unsent: totals.unsent,
            dropped: dropped.map(|(reason, count)| (reason.name().to_owned(), count)).collect(),
            links: totals.links.iter().map(link).collect(),
        }
    }

    fn totals(&self) -> PortTotals {
        let mut totals = PortTotals {
            received: self.received,
            received_octets: self.received_octets,
            sent: self.sent,
            sent_octets: self.sent_octets,
            unsent: self.unsent,
            ..PortTotals::default()
        };
        for (reason, count) in Reason::ALL.iter().zip(&mut totals.dropped) {
            *count = self.dropped.get(reason.name()).copied().unwrap_or(0);
        }
        for (link, [packets, lost, full, duplicated, corrupted, overtaken]) in
            totals.links.iter_mut().zip(&self.links)
        {
            *link = LinkTotals {
                packets: *packets,
                lost: *lost,
                full: *full,
                duplicated: *duplicated,
                corrupted: *corrupted,
                overtaken: *overtaken,
                under_way: 0,
            };
        }
        totals
    }
}

/// What goes over, and how the predecessor takes it back.
pub(super) struct Offer {
    pub(super) state: State,
    pub(super) flows: Vec<u8>,
    pub(super) files: Vec<OwnedFd>,
}

impl Switch {
    /// Collects everything. The workers pause. Ports that can't be passed on are closed; [`Switch::take_back`] opens them
    /// again.
    pub(super) fn offer(&mut self, files: Vec<OwnedFd>) -> Result<Offer, SwitchError> {
        let flows = flows::write(&self.crew.flows()?);
        let mut queues: BTreeMap<u32, Vec<(usize, u64, u64)>> = BTreeMap::new();
        for queue in self.crew.queues() {
            queues.entry(queue.port).or_default().push((queue.worker, queue.packets, queue.nanoseconds));
        }
        let (mut ports, mut files) = (BTreeMap::new(), files);
        let open: Vec<(String, u32)> = self
            .ports
            .keys()
            .filter_map(|name| Some((name.clone(), self.configuration.ports.get(name)?.number)))
            .collect();
        // Nobody can go on with what is gone.
        let is_gone =
            |name: &String| self.ports.get(name).is_none_or(|port| (port.state)().starts_with(GONE));
        let open: Vec<(String, u32)> = open.into_iter().filter(|(name, _)| !is_gone(name)).collect();
        for (name, number) in open {
            let passed = self.doors.pass(number).map_err(|why| SwitchError::Open(name.clone(), why))?;
            let passed = passed.map(|passed| {
                let count = passed.files.len();
                files.extend(passed.files);
                (passed.facts, count)
            });
            let totals = self.crew.totals(number).unwrap_or_default();
            let queues = queues.remove(&number).unwrap_or_default();
            if passed.is_none() {
                tracing::info!(port = name, "this port is closed for a moment");
                drop(self.crew.remove(number)?);
                self.ports.remove(&name);
                self.reopen.insert(name.clone(), (totals.clone(), queues.clone()));
            }
            ports.insert(name, PortFacts { passed, totals: Totals::of(&totals), queues });
        }
        let bridges = self.bridges.lock();
        let states = bridges.by_name.iter().map(|(name, bridge)| (name.clone(), bridge.state())).collect();
        drop(bridges);
        // Sums are told by whoever summed.
        self.desk().tell_collectors();
        let exports = self.bridges.lock().export_states();
        let tables = self.tables_offered();
        let number = |name: &String| Some((name.clone(), self.ofport(name)?));
        let ofports = self.configuration.ports.keys().filter_map(number).collect();
        let streams = self.streams.iter().map(|((switch, mirror), (number, next))| {
            (switch.clone(), mirror.clone(), *number, next.load(Ordering::Relaxed))
        });
        let state = State {
            version: VERSION,
            configuration: self.configuration.clone(),
            clock: self.clock.origin(),
            seed: self.seed,
            bridges: states,
            streams: streams.collect(),
            ports,
            workers: self.workers(),
            tables,
            ofports,
            exports,
            shaped: self.shaping_offered(),
        };
        Ok(Offer { state, flows, files })
    }

    /// What is in tables. The workers have told what they counted.
    fn tables_offered(&self) -> BTreeMap<String, Tables> {
        let mut bridges = self.bridges.lock();
        let numbers: Vec<_> = bridges.pipelines.keys().copied().collect();
        numbers.iter().for_each(|number| bridges.count_meters(*number));
        let of = |(number, pipeline): (&u32, &Pipeline)| {
            let controlled = bridges.controlled.contains(number);
            let name = bridges.name_of(*number)?.to_owned();
            Some((name, Tables { pipeline: pipeline.state(), controlled }))
        };
        bridges.pipelines.iter().filter_map(of).collect()
    }

    /// Goes on with the tables of a predecessor.
    fn adopt_tables(&self, name: &str, tables: Tables) -> Result<(), SwitchError> {
        let now = self.now();
        let mut bridges = self.bridges.lock();
        let Some(number) = bridges.number_of(name) else { return Ok(()) };
        if tables.controlled {
            bridges.controlled.insert(number);
        }
        if let Some(pipeline) = bridges.pipelines.get_mut(&number) {
            let restored = pipeline.restore(tables.pipeline, now);
            restored.map_err(|error| SwitchError::Bridge(name.to_owned(), error.to_string()))?;
        }
        drop(bridges);
        self.desk().publish();
        Ok(())
    }

    /// Goes on telling collectors what a predecessor told.
    fn adopt_exports(&mut self, exports: BTreeMap<String, ExportState>) {
        let now = self.now();
        for (name, state) in exports {
            let mut bridges = self.bridges.lock();
            let Some(number) = bridges.number_of(&name) else { continue };
            bridges.set_exports(number, &state.settings, &state, now);
            drop(bridges);
            self.exported.insert(name, state.settings);
        }
        self.note_interfaces();
        self.desk().publish();
    }

    /// Goes on after nobody took over what was offered, or at last. With `anew` another process may have begun with it.
    pub(super) fn take_back(&mut self, anew: bool) {
        self.quiet = false;
        for port in self.configuration.ports.values() {
            self.doors.go_on(port.number, anew);
        }
        for (name, before) in std::mem::take(&mut self.reopen) {
            let Some(port) = self.configuration.ports.get(&name).cloned() else { continue };
            if let Err(error) = self.open_again(&name, &port, None, Some(before)) {
                tracing::error!("{error}");
            }
        }
        if let Err(error) = self.crew.resume() {
            tracing::error!(%error, "a worker does not go on");
        }
    }

    /// What a predecessor offered, as a switch that has begun nothing yet ([`Switch::take_back`] begins).
    pub(super) fn adopt(
        start: &Start,
        doors: Box<dyn Doors>,
        state: State,
        flows: &[u8],
        files: Vec<OwnedFd>,
        complain: &mut dyn FnMut(&SwitchError),
    ) -> Result<Self, SwitchError> {
        let State {
            configuration,
            clock,
            seed,
            mut bridges,
            streams,
            mut ports,
            workers,
            mut tables,
            ofports,
            exports,
            shaped,
            ..
        } = state;
        let start = Start { seed, ..start.clone() };
        let mut switch = Self::begin(&start, doors, Clock::since(clock))?;
        switch.crew.pause()?;
        switch.before = workers;
        switch.quiet = true;
        let stream =
            |(switch, mirror, number, next)| ((switch, mirror), (number, Arc::new(AtomicU32::new(next))));
        switch.streams = streams.into_iter().map(stream).collect();
        switch.configuration = configuration;
        switch.inherited_numbers = ofports;
        for (name, options) in &switch.configuration.switches {
            let options = configuration::bridge(options).unwrap_or_else(|text| {
                complain(&SwitchError::Bridge(name.clone(), text));
                BridgeOptions::default()
            });
            let now = switch.now();
            switch.bridges.lock().add_bridge(name, Bridge::new(options), now);
        }
        let mut files = files.into_iter();
        for (name, port) in switch.configuration.ports.clone() {
            let facts = ports.remove(&name);
            let must = facts.is_some();
            // Descriptors are in the order of the ports' names, too.
            let (passed, before) = match facts {
                Some(PortFacts { passed, totals, queues }) => {
                    let passed = passed
                        .map(|(facts, count)| Passed { facts, files: files.by_ref().take(count).collect() });
                    (passed, Some((totals.totals(), queues)))
                }
                None => (None, None),
            };
            let opened = switch
                .join_bridge(&name, &port)
                .and_then(|()| switch.open_again(&name, &port, passed, before));
            match opened {
                Ok(()) => {}
                // What was open must stay open: the predecessor does it better.
                Err(error) if must => return Err(error),
                Err(error) => {
                    switch.leave_bridge(&port);
                    complain(&error);
                }
            }
        }
        let names: Vec<String> = switch.configuration.switches.keys().cloned().collect();
        for name in names {
            switch.apply_bonds(&name);
            switch.apply_mirrors(&name);
            switch.apply_tables(&name, &Touched::All);
            if let Some(tables) = tables.remove(&name) {
                switch.adopt_tables(&name, tables)?;
            }
            let mut senders = Vec::new();
            if let (Some(bridge), Some(state)) =
                (switch.bridges.lock().by_name.get_mut(&name), bridges.remove(&name))
            {
                bridge.restore(state);
                let each =
                    |(number, bond): (u32, &Bond)| (number, bond.options().hash, bond.senders().to_vec());
                senders.extend(bridge.bonds().map(each));
            }
            for (number, hash, members) in senders {
                switch.crew.bond(number, Some((hash, members)))?;
            }
        }
        switch.adopt_exports(exports);
        switch.adopt_shaping(shaped);
        // All workers know by now that everything changed, so that what they learn from here on stays.
        switch.crew.pause()?;
        for (worker, flows) in flows::read(flows).into_iter().enumerate() {
            let mut flows: Vec<FlowReport> = flows;
            while !flows.is_empty() {
                let rest = flows.split_off(flows.len().min(CHUNK));
                switch.crew.learn(worker, std::mem::replace(&mut flows, rest))?;
            }
        }
        switch.crew.pause()?;
        Ok(switch)
    }
}

/// Flows that a worker learns at once.
const CHUNK: usize = 1024;
