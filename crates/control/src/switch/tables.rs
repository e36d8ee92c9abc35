//! The OpenFlow tables of the bridges: each bridge has a pipeline, and packets follow it.
//!
//! ```text
//! connections, control requests, time -> Desk::lock -> Pipeline -> Desk::publish -> workers (tags, meters)
//!                                                                             `---> outboxes -> connections
//! packets without a flow -> Brain::translate -> translate(Bridges as World) -> program, tokens of credit
//! ```
//!
//! What: [`Bridges`] is the world that `vswitch::openflow::translate` asks. A [`Desk`] is what a thread has that changes tables or
//! listens to them, without the rest of the switch.
//!
//! Invariants: who changed a pipeline calls [`Desk::publish`] before it says that the change is made. A bridge has a number that
//! no other bridge has while it is there, from 1 to 4,095: numbers of recirculations and meters begin with it.

use super::brain::{Bridges, MeterAtWork, Shared};
use super::start::Clock;
use super::watches::Outgoing;
use netloom_datapath::{CrewHandle, Execution, PortTotals, QueueTotals, Stuck, Tag};
use netloom_nf::tunnel::{Encapsulation, Hop};
use netloom_nf::{BandKind, Program, Rate, SharedMeter, Unit};
use netloom_proto::openflow::{Action, OfPort};
use netloom_table::key::extract_beside;
use netloom_table::{Field, Key, Mask};
use netloom_vswitch::openflow::group::{ALL_BUCKETS, ALL_GROUPS};
use netloom_vswitch::openflow::meter::ALL_METERS;
use netloom_vswitch::openflow::translate::{self, Request, Start, Translation, World};
use netloom_vswitch::openflow::{
    BridgeNumber, Command, FailMode, FlowMod, Frozen, GroupCommand, GroupKind, GroupMod, Meter, MeterCommand,
    MeterMod, OfPortEntry, Pipeline, PipelineOptions, Selection,
};
use netloom_vswitch::{Bridge, Decision, Gate, MirrorCopy, NOBODY};
use netloom_wire::MacAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, MutexGuard};

/// Answers of neighbours that wait to be noted.
const MOST_NEIGHBOURS: usize = 256;

/// Numbers of bridges are below this.
const BRIDGES: BridgeNumber = 1 << 12;

impl Bridges {
    /// The number of a bridge.
    pub(super) fn number_of(&self, name: &str) -> Option<BridgeNumber> {
        self.numbers.get(name).copied()
    }

    /// The name of a bridge.
    pub(super) fn name_of(&self, number: BridgeNumber) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    fn bridge(&self, number: BridgeNumber) -> Option<&Bridge> {
        self.by_name.get(self.names.get(&number)?)
    }

    /// Adds a bridge, with tables that send every packet to it.
    pub(super) fn add_bridge(&mut self, name: &str, bridge: Bridge, now: u64) {
        self.by_name.insert(name.to_owned(), bridge);
        if self.numbers.contains_key(name) {
            return;
        }
        // Beyond the last number bridges have no tables: nobody has so many.
        let Some(number) = (1..BRIDGES).find(|number| !self.names.contains_key(number)) else { return };
        let options = PipelineOptions { name: name.to_owned(), ..PipelineOptions::default() };
        let mut pipeline = Pipeline::new(number, options, now);
        pipeline.set_terminates(!self.tunnels.is_empty());
        self.pipelines.insert(number, pipeline);
        self.names.insert(number, name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        self.flush(number, true, now);
    }

    /// Takes a bridge away, with its tables.
    pub(super) fn remove_bridge(&mut self, name: &str) {
        self.by_name.remove(name);
        let Some(number) = self.numbers.remove(name) else { return };
        self.names.remove(&number);
        self.ordinary.remove(&number);
        self.controlled.remove(&number);
        self.outboxes.remove(&number);
        if let Some(pipeline) = self.pipelines.remove(&number) {
            for meter in pipeline.meters() {
                self.meters.remove(&meter.slot);
            }
        }
        self.ring_listener();
    }

    /// Deletes all flows, groups and meters of a bridge and, if it is to be an ordinary switch, adds the one that makes it one
    /// (`connmgr_flushed` of Open vSwitch).
    pub(super) fn flush(&mut self, number: BridgeNumber, ordinary: bool, now: u64) {
        let Some(pipeline) = self.pipelines.get_mut(&number) else { return };
        let delete = FlowMod { table: None, ..FlowMod::new(Command::Delete) };
        let normal = FlowMod {
            priority: 0,
            actions: Arc::new([Action::Output { port: OfPort::NORMAL, max_len: 0 }]),
            ..FlowMod::new(Command::Add)
        };
        let groups = GroupMod {
            command: GroupCommand::Delete,
            number: ALL_GROUPS,
            kind: GroupKind::All,
            selection: Selection::default(),
            buckets: Vec::new(),
            bucket: ALL_BUCKETS,
        };
        let meters =
            MeterMod { command: MeterCommand::Delete, number: ALL_METERS, flags: 0, bands: Vec::new() };
        // Deleting can't fail, and an empty table has room.
        let _ = pipeline.flow_mod(&delete, now);
        let _ = pipeline.group_mod(&groups, now);
        let _ = pipeline.meter_mod(&meters, now);
        if ordinary {
            let _ = pipeline.flow_mod(&normal, now);
        }
        self.gather_events(number);
        if let Some(flow) = self.pipelines.get_mut(&number).and_then(Pipeline::ordinary) {
            self.ordinary.insert(number, flow);
        }
    }

    /// Whether a bridge without flows is an ordinary switch: without controllers, unless it is told to be secure. Its flows
    /// are flushed where Open vSwitch flushes them: when the first controller comes or the last goes, or the mode changes
    /// without one.
    pub(super) fn set_mode(&mut self, number: BridgeNumber, mode: FailMode, controllers: bool, now: u64) {
        let before = self.controlled.contains(&number);
        match controllers {
            true => self.controlled.insert(number),
            false => self.controlled.remove(&number),
        };
        let Some(pipeline) = self.pipelines.get_mut(&number) else { return };
        let changed = pipeline.options().fail_mode != mode;
        if changed {
            let options = PipelineOptions { fail_mode: mode, ..pipeline.options().clone() };
            pipeline.set_options(options);
        }
        if before != controllers || changed && !controllers {
            self.flush(number, mode == FailMode::Standalone && !controllers, now);
        }
    }

    /// Has the tables' ports pass packets as the spanning tree does, and work as what watches their links says.
    pub(super) fn follow_tree(&mut self, number: BridgeNumber) {
        let Some(bridge) = self.names.get(&number).and_then(|name| self.by_name.get(name)) else { return };
        let Some(pipeline) = self.pipelines.get_mut(&number) else { return };
        let mut changed = Vec::new();
        for entry in pipeline.ports() {
            let (forwards, learns) = tree_of(bridge, entry.port);
            let sound = bridge.is_sound(entry.port);
            if (entry.forwards, entry.learns, entry.sound) != (forwards, learns, sound) {
                changed.push(OfPortEntry { forwards, learns, sound, ..entry.clone() });
            }
        }
        for entry in changed {
            self.set_port(number, entry);
        }
    }

    /// Makes a meter of the workers, or changes it, or takes it away; [`Desk::publish`] gives it to them.
    pub(super) fn note_meter(&mut self, number: u32, meter: Option<&Meter>) {
        self.fresh_meters.insert(number);
        match meter {
            Some(meter) => {
                let shared = Arc::new(shared_meter(meter));
                self.meters.insert(number, MeterAtWork { shared, before: meter.clone() })
            }
            None => self.meters.remove(&number),
        };
    }

    /// Writes what workers counted into the meters of a bridge.
    pub(super) fn count_meters(&mut self, number: BridgeNumber) {
        let Some(pipeline) = self.pipelines.get_mut(&number) else { return };
        let slots: Vec<u32> = pipeline.meters().map(|meter| meter.slot).collect();
        for slot in slots {
            if let Some(meter) = self.meters.get(&slot) {
                let MeterAtWork { shared, before } = meter;
                let ((packets, octets), bands) = shared.counts();
                let bands: Vec<(u64, u64)> = bands
                    .iter()
                    .zip(&before.bands)
                    .map(|((packets, octets), before)| (packets + before.packets, octets + before.octets))
                    .collect();
                pipeline.count_meter(slot, packets + before.packets, octets + before.octets, &bands);
            }
        }
    }

    /// What changed since this was asked last, for the workers; what is for connections is put into their outboxes.
    fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        let numbers: Vec<BridgeNumber> = self.pipelines.keys().copied().collect();
        for number in numbers {
            self.gather_events(number);
            let Some(pipeline) = self.pipelines.get_mut(&number) else { continue };
            changes.tags.extend(pipeline.take_changed());
            if let Some(flow) = pipeline.ordinary() {
                self.ordinary.insert(number, flow);
            }
            // Flows of an ordinary switch rest on its stations only.
            changes.everything |= pipeline.ceased_to_be_ordinary();
        }
        for number in std::mem::take(&mut self.fresh_meters) {
            changes.meters.push((number, self.meters.get(&number).map(|meter| meter.shared.clone())));
        }
        changes
    }
}

/// What the spanning tree lets through a port: packets, addresses.
pub(super) fn tree_of(bridge: &Bridge, port: u32) -> (bool, bool) {
    let of = bridge.bonds().find(|(_, bond)| bond.members().any(|member| member == port));
    let state = bridge.tree_state(of.map_or(port, |(number, _)| number));
    state.map_or((true, true), |state| (state.forwarding, state.learning))
}

/// A meter as workers have it.
fn shared_meter(meter: &Meter) -> SharedMeter {
    let packets = meter.flags & PACKETS_FLAG != 0;
    SharedMeter::new(meter.bands.iter().map(|band| {
        let kind = band.remark.map_or(BandKind::Drop, BandKind::Remark);
        let burst = if meter.flags & BURST_FLAG != 0 && band.burst > 0 { band.burst } else { band.rate };
        let (unit, factor) = if packets { (Unit::Packets, 1) } else { (Unit::Octets, 125) };
        let (per_second, burst) = (u64::from(band.rate) * factor, u64::from(burst) * factor);
        (kind, Rate { unit, per_second, burst })
    }))
}

/// `OFPMF13_PKTPS`: rates are packets a second.
const PACKETS_FLAG: u16 = 2;
/// `OFPMF13_BURST`: burst sizes count.
const BURST_FLAG: u16 = 4;

/// What workers are to be told.
#[derive(Debug, Default)]
struct Changes {
    tags: Vec<Tag>,
    everything: bool,
    meters: Vec<(u32, Option<Arc<SharedMeter>>)>,
}

impl World for Bridges {
    fn pipeline(&mut self, bridge: BridgeNumber) -> Option<&mut Pipeline> {
        self.pipelines.get_mut(&bridge)
    }

    fn normal(&mut self, bridge: BridgeNumber, key: &Key, learn: bool, now: u64) -> Option<Decision> {
        let bridge = self.by_name.get_mut(self.names.get(&bridge)?)?;
        Some(bridge.forward(key, learn, now))
    }

    fn has_mirrors(&mut self, bridge: BridgeNumber) -> bool {
        self.bridge(bridge).is_some_and(Bridge::has_mirrors)
    }

    fn is_for_copies(&mut self, bridge: BridgeNumber, port: u32) -> bool {
        self.bridge(bridge).is_some_and(|bridge| bridge.is_for_copies(port))
    }

    fn copies(
        &mut self,
        bridge: BridgeNumber,
        key: &Key,
        gate: Gate,
        done: &mut BTreeSet<u16>,
        mask: &mut Mask,
    ) -> Vec<MirrorCopy> {
        self.bridge(bridge).map_or_else(Vec::new, |bridge| bridge.copies(key, gate, done, mask))
    }

    fn special(
        &mut self,
        bridge: BridgeNumber,
        key: &Key,
        mask: &mut Mask,
    ) -> Option<Vec<netloom_nf::Action>> {
        let bridge = self.by_name.get(self.names.get(&bridge)?)?;
        bridge.special(key, mask).map(|program| program.actions().to_vec())
    }

    fn policing(&mut self, bridge: BridgeNumber, port: u32) -> Vec<u32> {
        let bridge = self.names.get(&bridge).and_then(|name| self.by_name.get(name));
        bridge.map(|bridge| bridge.policing(port)).unwrap_or_default()
    }

    fn arrival(&mut self, key: &Key, mask: &mut Mask) -> Option<u32> {
        self.tunnels.arrival(key, mask)
    }

    fn headers(&mut self, tunnel: u32, key: &Key, mask: &mut Mask) -> Option<(Encapsulation, Hop)> {
        if self.tunnels_told_as_ports {
            return None;
        }
        self.tunnels.headers(tunnel, key, mask).ok()
    }

    fn neighbour(&mut self, own: u32, address: IpAddr, mac: MacAddr) {
        if self.neighbours.len() < MOST_NEIGHBOURS {
            self.neighbours.push((own, address, mac));
            if let Some(bell) = &self.bell {
                // A bell that can't be rung was rung often enough.
                let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
            }
        }
    }

    fn bridge_of(&mut self, port: u32) -> Option<BridgeNumber> {
        self.of_port.get(&port).map(|place| place.bridge)
    }
}

/// What a thread has that changes tables or listens to them. Copies are the same desk.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    shared: Shared,
    crew: CrewHandle,
    clock: Clock,
}

impl Desk {
    pub(super) const fn new(shared: Shared, crew: CrewHandle, clock: Clock) -> Self {
        Self { shared, crew, clock }
    }

    /// Nanoseconds on the switch's clock.
    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// The bridges. Workers wait for them: not to be held while one waits for workers, as every other function here does.
    pub(super) fn lock(&self) -> MutexGuard<'_, Bridges> {
        self.shared.lock()
    }

    /// From now on news of the bridges are kept ([`Bridges::take_news`]); the descriptor is readable when there are some.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn listen(&self) -> std::io::Result<Arc<OwnedFd>> {
        self.lock().listen()
    }

    /// Carries what pipelines changed to the workers, and news to those who listen. To be called after every change.
    pub(super) fn publish(&self) {
        let _order = self.shared.order();
        let changes = self.lock().changes();
        for (number, meter) in &changes.meters {
            if let Err(error) = self.crew.share_meter(*number, meter.as_ref()) {
                tracing::error!(%error, meter = number, "a worker does not know a meter");
            }
        }
        if changes.everything {
            self.crew.changed_all();
        } else {
            self.crew.changed(&changes.tags);
        }
    }

    /// Has all packets counted that workers have carried: what a pipeline says of counts is exact after that.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub(super) fn count(&self) -> Result<(), Stuck> {
        self.crew.count()?;
        let mut bridges = self.lock();
        let numbers: Vec<BridgeNumber> = bridges.pipelines.keys().copied().collect();
        numbers.into_iter().for_each(|number| bridges.count_meters(number));
        Ok(())
    }

    /// What a port counted since it was opened, with what went straight into other tables.
    pub(super) fn totals(&self, port: u32) -> PortTotals {
        let mut totals = self.crew.totals(port).unwrap_or_default();
        if let Some([received, received_octets, sent, sent_octets]) = self.lock().cables.get(&port) {
            totals.received += received;
            totals.received_octets += received_octets;
            totals.sent += sent;
            totals.sent_octets += sent_octets;
        }
        totals
    }

    /// What the queues of a port counted since they are there, and since when that is, in nanoseconds; nothing of a port that
    /// has none.
    pub(super) fn queues(&self, port: u32) -> Vec<(u32, QueueTotals, u64)> {
        let Some(since) = self.lock().queues.get(&port).cloned() else { return Vec::new() };
        let totals: BTreeMap<u32, QueueTotals> =
            self.crew.queue_totals(port).unwrap_or_default().into_iter().collect();
        let of = |(queue, since)| (queue, totals.get(&queue).copied().unwrap_or_default(), since);
        since.into_iter().map(of).collect()
    }

    /// Sends a packet of a controller through actions (`OFPT_PACKET_OUT`). `key` is what it has beside its octets: tunnel,
    /// registers, metadata; the port is `in_port`.
    ///
    /// # Errors
    /// When the worker does not take it.
    pub(super) fn packet_out(
        &self,
        bridge: BridgeNumber,
        in_port: OfPort,
        actions: Arc<[Action]>,
        beside: &Key,
        octets: Vec<u8>,
    ) -> Result<(), Stuck> {
        self.send(bridge, Some(in_port), Start::Actions(actions), beside, octets)
    }

    /// Has a packet go on where it stopped when it went to a controller (`NXT_RESUME`).
    ///
    /// # Errors
    /// When the worker does not take it.
    pub(super) fn resume(
        &self,
        bridge: BridgeNumber,
        state: Arc<Frozen>,
        beside: &Key,
        octets: Vec<u8>,
    ) -> Result<(), Stuck> {
        let in_port = state.in_port;
        self.send(bridge, Some(in_port), Start::Resume(state), beside, octets)
    }

    fn send(
        &self,
        bridge: BridgeNumber,
        in_port: Option<OfPort>,
        start: Start,
        beside: &Key,
        octets: Vec<u8>,
    ) -> Result<(), Stuck> {
        let now = self.now();
        let mut bridges = self.lock();
        let port = in_port
            .and_then(|port| bridges.pipelines.get(&bridge)?.port(port).map(|entry| entry.port))
            .unwrap_or(NOBODY);
        let key = packet_key(beside, port, &octets);
        let request = Request { bridge, key: &key, in_port, start, effects: true, trace: false, now };
        let Translation { program, credit, changed, .. } = translate::translate(&mut *bridges, &request);
        bridges.credit(&credit, 1, octets.len() as u64, now);
        drop(bridges);
        self.publish();
        self.crew.changed(&changed);
        self.execute(program, key, octets)
    }

    /// Whether time stands still.
    pub(super) fn is_stopped(&self) -> bool {
        self.clock.is_stopped()
    }

    /// Sends frames of ours.
    pub(super) fn send_out(&self, outgoing: Outgoing) {
        let sent = outgoing.send.into_iter().map(|(port, frame)| self.crew.inject(port, frame));
        let through = outgoing.execute.into_iter().map(|execution| self.crew.execute(execution));
        if let Some(Err(error)) = sent.chain(through).filter(Result::is_err).last() {
            tracing::warn!(%error, "a frame of a protocol is not sent");
        }
    }

    fn execute(&self, program: Program, key: Box<Key>, octets: Vec<u8>) -> Result<(), Stuck> {
        self.crew.execute(Execution { octets, program, key })
    }
}

/// The key of a packet: what it has beside its octets, its port in the data path, and what is in the octets.
pub(super) fn packet_key(beside: &Key, port: u32, octets: &[u8]) -> Box<Key> {
    let mut beside = beside.clone();
    beside.set(Field::IN_PORT, u64::from(port));
    let mut key = Box::<Key>::default();
    extract_beside(octets, octets.len(), &beside, &mut key);
    key
}

#[cfg(test)]
pub(super) mod tests;
