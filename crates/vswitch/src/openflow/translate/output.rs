//! Ways out: ports, other bridges, floods, the ordinary switch, controllers.

use super::super::{BridgeNumber, FlowId};
use super::connection::Saved;
use super::context::Context;
use super::trace::Note;
use crate::decision::{Step as Decided, Why};
use crate::fdb::Learned;
use crate::mirror::Gate;
use crate::openflow::meter::CONTROLLER_METER;
use crate::openflow::port::{OfPortEntry, PortForm};
use netloom_mem::PortNumber;
use netloom_nf::{Action as Step, Program, Punt, Reason, Shape};
use netloom_proto::openflow::OfPort;
use netloom_table::Field;
use std::collections::BTreeSet;
use std::sync::Arc;

/// [`Punt::kind`] of packets for controllers: `state` is the number of a frozen state with registers and the rest.
pub const PUNT_CONTROLLER: u8 = 0;
/// [`Punt::kind`] of samples: `data` is a [`super::super::Sampled`] with its bridge.
pub const PUNT_SAMPLE: u8 = 1;
/// [`netloom_nf::Punt::kind`] of a packet that waits for a controller, which gives it back.
pub const PUNT_PAUSED: u8 = 2;
/// [`netloom_nf::Punt::kind`] of a packet of a protocol that came over a cable between two bridges: `state` is the number of
/// the port at its end.
pub const PUNT_PROTOCOL: u8 = 3;

/// [`Punt::reason`] of a packet that a table-miss flow sends (OpenFlow 1.3, 5.4): from version 1.3 on no flow matched it, to
/// those before it is an action's.
pub const REASON_MISS_FLOW: u8 = 0x80;
/// `OFPR_ACTION`.
const ACTION: u8 = 1;

/// Where a translation was before it went on in another bridge.
pub(super) struct Elsewhere {
    own: BridgeNumber,
    saved: Saved,
    before: Vec<Step>,
    mirrored: Option<BTreeSet<u16>>,
    place: (u8, Option<FlowId>, u64, bool, bool),
}

impl Context<'_> {
    /// `output`, to an ordinary or a reserved port.
    pub(super) fn output_action(&mut self, port: OfPort, truncate: Option<u32>) {
        match port {
            OfPort::IN_PORT => self.output(self.in_port(), true, truncate),
            OfPort::TABLE => {
                let port = self.in_port();
                self.table(port, 0, true, true, false);
            }
            OfPort::NORMAL => self.normal(),
            OfPort::FLOOD => self.flood(false, truncate),
            OfPort::ALL => self.flood(true, truncate),
            OfPort::CONTROLLER => {
                // OFPR_PACKET_OUT, OFPR_GROUP, OFPR_ACTION_SET, OFPR_ACTION
                let reason = match (self.packet_out, self.in_group, self.in_action_set) {
                    (true, ..) => 5,
                    (_, true, _) => 4,
                    (_, _, true) => 3,
                    _ => 1,
                };
                self.tell_controller(0, reason, &[], None);
            }
            OfPort::NONE => {}
            _ if port == self.in_port() => self.warn(|| "skipping output to input port".into()),
            _ if truncate.is_some() && self.is_cable(port) => {
                self.warn(|| format!("output_trunc does not support patch port {port}"));
            }
            _ => self.output(port, true, truncate),
        }
    }

    /// Whether a port leads to another bridge.
    fn is_cable(&mut self, port: OfPort) -> bool {
        self.entry(port).is_some_and(|entry| matches!(entry.form, PortForm::Patch { .. }))
    }

    fn flood(&mut self, all: bool, truncate: Option<u32>) {
        let in_port = self.in_port();
        let Some(pipeline) = self.pipeline() else { return };
        let ports: Vec<OfPort> = pipeline
            .ports()
            .filter(|entry| entry.number != in_port && (all || !entry.is(OfPortEntry::NO_FLOOD)))
            .map(|entry| entry.number)
            .collect();
        let last = std::mem::replace(&mut self.last, false);
        for port in ports {
            self.output(port, !all, truncate);
        }
        self.tell_flood();
        self.last = last;
    }

    /// Sends the packet out of a port, whatever port it came by.
    pub(super) fn output(&mut self, port: OfPort, check_tree: bool, truncate: Option<u32>) {
        let Some(entry) = self.entry(port) else {
            self.warn(|| "Nonexistent output port".into());
            return;
        };
        if entry.is(OfPortEntry::NO_FORWARD) {
            self.detail(|| "OFPPC_NO_FWD set, skipping output".into());
            return;
        }
        if check_tree && !entry.forwards {
            self.detail(|| "STP not in forwarding state, skipping output".into());
            return;
        }
        if entry.is(OfPortEntry::DOWN) {
            self.detail(|| "port is down, skipping output".into());
            return;
        }
        self.tell_output(entry.number);
        if let PortForm::Patch { bridge, port } = entry.form {
            return self.cross(entry.port, bridge, port, truncate);
        }
        let tos = self.mark_class(&entry);
        match entry.form {
            PortForm::Patch { .. } => {}
            PortForm::Tunnel(form) => self.tunnel(&form, entry.port, truncate),
            PortForm::Internal => self.arrive(entry.port, truncate),
            PortForm::Plain => self.send(entry.port, truncate),
        }
        if let Some(tos) = tos {
            self.flow.set(Field::IP_TOS, tos);
        }
        self.mirror(Gate::Out(entry.port));
    }

    /// Writes the class (DSCP) that the packet's queue at a port has, if it has one; gives what was there.
    fn mark_class(&mut self, entry: &OfPortEntry) -> Option<u64> {
        let queue = self.queue?;
        let (_, class) = entry.classes.iter().find(|(of, _)| *of == queue)?;
        if !super::context::is_ip(&self.flow) {
            return None;
        }
        let tos = self.look(Field::IP_TOS);
        self.flow.set(Field::IP_TOS, tos & 3 | u64::from(*class) << 2);
        Some(tos)
    }

    pub(super) fn send(&mut self, port: PortNumber, truncate: Option<u32>) {
        self.commit();
        self.tell_departure(port);
        self.out.extend(truncate.map(Step::Truncate));
        self.out.push(Step::Output(port));
    }

    /// Goes on in the bridge at the other end of a cable.
    fn cross(&mut self, through: PortNumber, bridge: u32, port: OfPort, truncate: Option<u32>) {
        if truncate.is_some() {
            self.warn(|| "Cannot truncate output to patch port".into());
        }
        let Some(name) = self.world.pipeline(bridge).map(|pipeline| pipeline.options().name.clone()) else {
            self.warn(|| "Nonexistent output port".into());
            return;
        };
        if !self.may_go_on() {
            return;
        }
        let last = self.last;
        let there = self.begin_elsewhere(bridge, name);
        // Nothing but the packet itself goes to the other bridge.
        for word in 31..=39 {
            self.flow.set_word(word, 0);
        }
        self.flow.set(Field::TUN_OPTIONS, 0);
        for word in (13..=19).chain(48..64) {
            if self.flow.word(word) != 0 {
                self.flow.set_word(word, 0);
            }
        }
        self.forget_connection_quietly();
        self.flow.set(Field::ACTSET_OUTPUT, u64::from(OfPort::UNSET.0));
        self.flow.set(Field::IN_PORT, u64::from(port.0));
        if let Some(entry) = self.entry(port)
            && !entry.is(OfPortEntry::NO_RECEIVE | OfPortEntry::DOWN)
        {
            self.credit.cables.push((through, entry.port));
            let key = self.data_path_key();
            let mut mask = self.mask.clone();
            let special = self.world.special(self.bridge, &key, &mut mask);
            self.mask = mask;
            if let Some(actions) = special {
                // The packet is for a protocol of the port at the other end.
                self.commit();
                let punt = self.punt(PUNT_PROTOCOL, 0, 0, u16::MAX, &[], entry.port);
                let limits = actions.into_iter().filter(|step| matches!(step, Step::Meter(_)));
                let steps = limits.chain([punt]).collect();
                self.out.push(Step::Clone(Arc::new(Program::new(steps, Reason::Reserved))));
            } else if entry.forwards {
                self.mirror(Gate::In(entry.port));
                self.table(port, 0, true, true, false);
                self.end();
            } else if entry.learns {
                self.learn_only();
            }
        }
        self.last = last;
        let (steps, saved) = self.end_elsewhere(bridge, there);
        self.append(steps, &saved);
    }

    /// Goes on in another bridge, with a program of its own; the packet is as it was.
    pub(super) fn begin_elsewhere(&mut self, bridge: BridgeNumber, name: String) -> Elsewhere {
        let own = self.bridge;
        let there = Elsewhere {
            own,
            saved: self.save(),
            before: std::mem::take(&mut self.out),
            mirrored: (own != bridge).then(|| std::mem::take(&mut self.mirrored)),
            place: (self.table, self.rule, self.cookie, self.in_action_set, self.in_group),
        };
        self.trace.begin(|| Note::Bridge { number: bridge, name });
        self.enter(bridge);
        self.stack.clear();
        self.action_set.clear();
        (self.in_action_set, self.in_group, self.table) = (false, false, 0);
        there
    }

    /// Comes back; gives what was done there, and what was saved before.
    pub(super) fn end_elsewhere(&mut self, bridge: BridgeNumber, there: Elsewhere) -> (Vec<Step>, Saved) {
        self.rests.push(super::bridge_tag(bridge));
        self.bridge = there.own;
        self.trace.end();
        (self.table, self.rule, self.cookie, self.in_action_set, self.in_group) = there.place;
        if let Some(mirrored) = there.mirrored {
            self.mirrored = mirrored;
        }
        (std::mem::replace(&mut self.out, there.before), there.saved)
    }

    /// What an ordinary switch does with the packet.
    pub(super) fn normal(&mut self) {
        let key = self.data_path_key();
        let (bridge, learns, now) = (self.bridge, self.effects, self.now);
        let Some(decision) = self.world.normal(bridge, &key, learns, now) else {
            self.warn(|| "the bridge is no ordinary switch".into());
            return;
        };
        self.mask.merge(&decision.mask);
        self.rests.extend(decision.rests);
        self.changed.extend(decision.changed);
        self.keep &= decision.keep;
        if decision.sender != 0 {
            self.credit.stations.push((bridge, decision.sender, key.get(Field::IN_PORT) as PortNumber));
        }
        let vlan = decision.steps.iter().find_map(|step| match step {
            Decided::Vlan(_, vlan) => Some(*vlan),
            _ => None,
        });
        for step in &decision.steps {
            self.tell(step, vlan.unwrap_or(0));
        }
        if let Shape::Drop(reason) = decision.program.shape() {
            self.detail(|| format!("the packet {}, dropping", reason.sentence()));
            return;
        }
        self.carry(decision.program.actions());
        if decision.steps.iter().any(|step| matches!(step, Decided::Out(Why::Unknown | Why::Group))) {
            self.tell_flood();
        }
    }

    /// Carries out steps of the ordinary switch; the packet has the tags that it had before when they are done.
    pub(super) fn carry(&mut self, steps: &[Step]) {
        let tags = self.flow.word(Field::VLAN_TPID.word());
        let mut most = None;
        for step in steps {
            match step {
                Step::Truncate(octets) => most = Some(*octets),
                Step::Output(port) => match self.pipeline().and_then(|pipeline| pipeline.port_of(*port)) {
                    Some(port) => self.output(port, true, most.take()),
                    None => {
                        self.send(*port, most.take());
                        self.mirror(Gate::Out(*port));
                    }
                },
                Step::PopVlan => self.pop_tag(),
                Step::PushVlan { tpid, tci } => {
                    self.push_tag(*tpid);
                    self.flow.set(Field::VLAN_TCI, u64::from(*tci) | 0x1000);
                }
                Step::SetVlan(tci) => self.flow.set(Field::VLAN_TCI, u64::from(*tci) | 0x1000),
                Step::Meter(number) if self.policed.contains(number) => {}
                other => {
                    self.commit();
                    self.out.push(other.clone());
                }
            }
        }
        self.flow.set_word(Field::VLAN_TPID.word(), tags);
    }

    fn tell(&mut self, step: &Decided, vlan: u16) {
        match step {
            Decided::Heard(mac, Learned::New | Learned::Moved(_)) => {
                let (mac, port) = (*mac, self.in_port());
                let name = self.entry(port).map_or_else(String::new, |entry| entry.name);
                self.detail(|| format!("learned that {mac} is on port {name} in VLAN {vlan}"));
            }
            Decided::Out(Why::Known { .. }) => self.detail(|| "forwarding to learned port".into()),
            Decided::Out(Why::Unknown | Why::Group) => {
                self.detail(|| "no learned MAC for destination, flooding".into());
            }
            Decided::Out(Why::Dropped(Reason::SamePort)) => {
                self.detail(|| "learned port is input port, dropping".into());
            }
            _ => {}
        }
    }

    /// Lets the ordinary switch learn from the packet, and does nothing else with it.
    pub(super) fn learn_only(&mut self) {
        let before = std::mem::take(&mut self.out);
        self.normal();
        self.out = before;
        self.base = self.flow.clone();
    }

    /// A copy for a controller or a collector.
    pub(super) fn punt(
        &mut self,
        kind: u8,
        reason: u8,
        controller: u16,
        most: u16,
        data: &[u8],
        state: u32,
    ) -> Step {
        let most = if most == u16::MAX { 0 } else { most };
        let (table, cookie) = (self.table, self.cookie);
        Step::Punt(Arc::new(Punt { reason, kind, table, most, controller, state, cookie, data: data.into() }))
    }

    /// Sends the packet to a controller, whole: packets do not wait in the switch, so that what is cut off would be lost
    /// (OpenFlow 1.3.5, 7.4.1).
    pub(super) fn tell_controller(&mut self, controller: u16, reason: u8, data: &[u8], meter: Option<u32>) {
        self.commit();
        let reason = if reason == ACTION && self.is_miss_flow() { REASON_MISS_FLOW } else { reason };
        let state = self.frozen(self.table, false, Vec::new());
        let number = self.state_number(state);
        let punt = self.punt(PUNT_CONTROLLER, reason, controller, u16::MAX, data, number);
        let slot = meter.unwrap_or(CONTROLLER_METER);
        match self.pipeline().and_then(|pipeline| pipeline.meter_slot(slot)) {
            Some(slot) => {
                let program = Program::new(vec![Step::Police(slot), punt], Reason::Metered);
                self.out.push(Step::Clone(Arc::new(program)));
            }
            None => self.out.push(punt),
        }
    }
}
