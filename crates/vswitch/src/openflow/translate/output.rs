//! Ways out: ports, other bridges, floods, the ordinary switch, controllers.

use super::context::Context;
use super::trace::Note;
use crate::decision::{Step as Decided, Why};
use crate::fdb::Learned;
use crate::mirror::Gate;
use crate::openflow::meter::CONTROLLER_METER;
use crate::openflow::port::{OfPortEntry, PortForm, TunnelForm};
use netloom_mem::PortNumber;
use netloom_nf::{Action as Step, Program, Punt, Reason, Rewrite, Shape};
use netloom_proto::openflow::OfPort;
use netloom_table::key::WORDS;
use netloom_table::{Field, Key, Mask};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// [`Punt::kind`] of packets for controllers: `state` is the number of a frozen state with registers and the rest.
pub const PUNT_CONTROLLER: u8 = 0;
/// [`Punt::kind`] of samples: `data` is collector set, domain, point (4 octets each), port (2), direction (1).
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
        match entry.form {
            PortForm::Patch { bridge, port } => return self.cross(entry.port, bridge, port, truncate),
            PortForm::Tunnel(form) => self.tunnel(&form, entry.port, truncate),
            PortForm::Internal => self.arrive(entry.port, truncate),
            PortForm::Plain => self.send(entry.port, truncate),
        }
        self.mirror(Gate::Out(entry.port));
    }

    fn send(&mut self, port: PortNumber, truncate: Option<u32>) {
        self.commit();
        self.out.extend(truncate.map(Step::Truncate));
        self.out.push(Step::Output(port));
    }

    /// Sends the packet to the bridge's own interface, or takes the headers of a tunnel off it that ends here.
    fn arrive(&mut self, port: PortNumber, truncate: Option<u32>) {
        let key = self.data_path_key();
        let mut mask = self.mask.clone();
        let tunnel = self.world.arrival(&key, &mut mask);
        self.mask = mask;
        match tunnel {
            Some(number) => {
                self.detail(|| "terminating native tunnel".into());
                self.commit();
                self.out.push(Step::Decapsulate(number));
            }
            None => self.send(port, truncate),
        }
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
        let own = self.bridge;
        let saved = self.save();
        let last = self.last;
        let before = std::mem::take(&mut self.out);
        let mirrored = (own != bridge).then(|| std::mem::take(&mut self.mirrored));
        let place = (self.table, self.rule, self.cookie, self.in_action_set, self.in_group);
        self.trace.begin(|| Note::Bridge { number: bridge, name });
        self.enter(bridge);
        self.stack.clear();
        self.action_set.clear();
        (self.in_action_set, self.in_group, self.table) = (false, false, 0);
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
        self.rests.push(super::bridge_tag(bridge));
        self.bridge = own;
        self.trace.end();
        (self.table, self.rule, self.cookie, self.in_action_set, self.in_group) = place;
        if let Some(mirrored) = mirrored {
            self.mirrored = mirrored;
        }
        self.last = last;
        let steps = std::mem::replace(&mut self.out, before);
        self.append(steps, &saved);
    }

    /// Sends the packet through a tunnel. What the tunnel itself writes into `tun_*` is not seen later.
    fn tunnel(&mut self, form: &TunnelForm, port: PortNumber, truncate: Option<u32>) {
        let before = self.flow.clone();
        if let Some(key) = form.out_key {
            self.flow.set(Field::TUN_ID, key);
        }
        self.set_ends(form);
        // Nothing of the headers that the packet came in is left but what flows can write (Open vSwitch's `tnl_port_send`).
        let control = self.flow.get(Field::TUN_FLAGS) & netloom_nf::tunnel::FLAG_CONTROL;
        self.flow.set(Field::TUN_FLAGS, control);
        let ip = super::context::is_ip(&self.flow);
        let tos = if form.inherit_tos && ip { self.look(Field::IP_TOS) } else { 0 };
        self.flow.set(Field::TUN_TOS, tos);
        let ttl = if form.inherit_ttl && ip { self.look(Field::IP_TTL) } else { 0 };
        self.flow.set(Field::TUN_TTL, ttl);
        if has_end(&self.flow) {
            self.detail(|| "output to native tunnel".into());
            if truncate.is_some() || !self.encapsulate(port, &before) {
                let rewrite = self.ends(form);
                self.commit_with(rewrite);
                self.send(port, truncate);
            }
        } else {
            self.warn(|| "Tunneling decided against output".into());
        }
        self.flow = before;
    }

    /// Puts the headers of a tunnel before a copy of the packet and sends it, if there is a way now: flows are taken back when
    /// tunnels or ways change. `before` is the packet without what the tunnel writes.
    fn encapsulate(&mut self, port: PortNumber, before: &Key) -> bool {
        let key = self.data_path_key();
        let mut looked = Mask::default();
        let Some((headers, out)) = self.world.headers(port, &key, &mut looked) else { return false };
        // All packets that come in here for the first time, and by no tunnel, have no fields of one.
        let alike = self.flow.get(Field::RECIRCULATION) == 0 && !has_end(&self.base);
        for (word, bits) in looked.words().iter().enumerate() {
            if !(alike && is_of_tunnel(word)) {
                self.mask.add_word(word, *bits);
            }
        }
        // The headers say all that `tun_*` fields do: the program need not write them.
        for word in (0..WORDS).filter(|word| is_of_tunnel(*word)) {
            self.flow.set_word(word, self.base.word(word));
        }
        let options = self.base.get(Field::TUN_OPTIONS);
        self.flow.set(Field::TUN_OPTIONS, options);
        self.commit();
        self.flow = before.clone();
        let steps = vec![Step::Encapsulate(Arc::new(headers)), Step::Output(out)];
        self.out.push(Step::Clone(Arc::new(Program::new(steps, Reason::PortGone))));
        true
    }

    fn set_ends(&mut self, form: &TunnelForm) {
        let any = form.local.is_none() && !form.local_by_flow;
        let local = if any { Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) } else { form.local };
        let ends = [
            (form.remote, Field::TUN_DST, Field::TUN6_DST_HIGH, Field::TUN6_DST_LOW),
            (local, Field::TUN_SRC, Field::TUN6_SRC_HIGH, Field::TUN6_SRC_LOW),
        ];
        for (end, four, high, low) in ends {
            let (short, wide) = match end {
                Some(IpAddr::V4(address)) => (address.to_bits(), 0),
                Some(IpAddr::V6(address)) => (0, address.to_bits()),
                None => continue,
            };
            self.flow.set(four, u64::from(short));
            for (field, part) in [(high, (wide >> 64) as u64), (low, wide as u64)] {
                if self.flow.get(field) != part {
                    self.flow.set(field, part);
                }
            }
        }
    }

    /// What the tunnel alone decides, written whole: packets that came by a tunnel bring other values, which nobody has
    /// looked at.
    fn ends(&mut self, form: &TunnelForm) -> Rewrite {
        let four = self.flow.get(Field::TUN_DST) != 0;
        let came = has_end(&self.base);
        let local: &[Field] = match (form.local.is_some() || !form.local_by_flow, four) {
            (false, _) => &[],
            (true, true) => &[Field::TUN_SRC],
            (true, false) => &[Field::TUN6_SRC_HIGH, Field::TUN6_SRC_LOW],
        };
        let remote: &[Field] = match (form.remote.is_some(), four) {
            (false, _) => &[],
            (true, true) => &[Field::TUN_DST],
            (true, false) => &[Field::TUN_DST, Field::TUN6_DST_HIGH, Field::TUN6_DST_LOW],
        };
        let key: &[Field] = if form.out_key.is_some() { &[Field::TUN_ID] } else { &[] };
        let fields = [local, remote, key, &[Field::TUN_TOS, Field::TUN_TTL]];
        let mut rewrite = Rewrite::default();
        for field in fields.into_iter().flatten() {
            let value = self.flow.get(*field);
            if came || self.base.get(*field) != value {
                // Fields of tunnels can be written.
                let _ = rewrite.add(*field, value, field.ones());
                self.base.set(*field, value);
            }
        }
        if came {
            let private = Field::TUN_FLAGS.ones() & !netloom_nf::tunnel::FLAG_CONTROL;
            let _ = rewrite.add(Field::TUN_FLAGS, 0, private);
            let control = self.base.get(Field::TUN_FLAGS) & !private;
            self.base.set(Field::TUN_FLAGS, control);
        }
        rewrite
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
                Step::Meter(number) if self.policed == Some(*number) => {}
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

/// Whether a word of keys has fields of tunnels and nothing else.
const fn is_of_tunnel(word: usize) -> bool {
    matches!(word, 13..=19 | 48..WORDS)
}

/// Whether a packet came by a tunnel or is to leave by one.
fn has_end(key: &Key) -> bool {
    key.get(Field::TUN_DST) != 0 || key.word(18) != 0 || key.word(19) != 0
}
