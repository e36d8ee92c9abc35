//! Actions, one after the other.

use super::context::{Context, is_ip};
use super::fields::Target;
use super::trace::Note;
use crate::openflow::recirculation::Left;
use netloom_nf::Action as Step;
use netloom_proto::openflow::action::Controller;
use netloom_proto::openflow::{Action, FieldId, OfPort, Value};
use netloom_table::Field;

const PRESENT: u64 = 0x1000;

/// What comes after an action.
enum Next {
    On,
    /// The rest of this list is not carried out.
    Stop,
}

impl Context<'_> {
    /// Carries actions out, until one ends the translation or stops it.
    pub(super) fn run(&mut self, actions: &[Action], last: bool) {
        for (index, action) in actions.iter().enumerate() {
            // Nothing but the action set comes behind it.
            self.last = last && index + 1 == actions.len();
            if self.exit || self.problem.is_some() {
                return;
            }
            if self.was_mpls && needs_network(action) {
                self.trigger_freeze();
            } else {
                self.trace.begin(|| Note::Action(action.clone()));
                let next = self.one(action, &actions[index + 1..]);
                self.trace.end();
                if self.freezing {
                    // What asked for it is done again, or is done.
                    let from = if self.repeats { index } else { index + 1 };
                    self.repeats = false;
                    self.leave(&actions[from..]);
                    return;
                }
                if matches!(next, Next::Stop) {
                    return;
                }
                continue;
            }
            self.repeats = false;
            self.leave(&actions[index..]);
            return;
        }
    }

    /// Keeps actions for later.
    fn leave(&mut self, actions: &[Action]) {
        if !actions.is_empty() {
            let (table, cookie) = (self.table, self.cookie);
            self.left.push(Left { table, cookie, actions: actions.to_vec() });
        }
    }

    fn one(&mut self, action: &Action, rest: &[Action]) -> Next {
        match action {
            Action::Output { port, .. } => self.output_action(*port, None),
            Action::OutputField { source, .. } => self.output_field(*source),
            Action::OutputTruncated { port, max_len } => self.output_action(*port, Some(*max_len)),
            Action::Enqueue { port, queue } => {
                let before = self.queue.replace(*queue);
                let port = if *port == OfPort::IN_PORT { self.in_port() } else { *port };
                self.output(port, true, None);
                self.queue = before;
            }
            Action::Group(number) => self.group(*number),
            Action::Controller(controller) => return self.controller(controller),
            Action::Bundle(bundle) => self.bundle(bundle),
            Action::Multipath(multipath) => self.multipath(multipath),

            Action::SetField(set) => self.set_field(set.field, &set.value, &set.mask),
            Action::Load { target, value } => {
                let mut wide = Value::zero(usize::from(target.field.get().octets));
                target.write(&mut wide, &Value::from_number(u128::from(*value), 8));
                let mut mask = Value::zero(usize::from(target.field.get().octets));
                target.write(&mut mask, &Value::ones(16));
                self.set_field(target.field, &wide, &mask);
            }
            Action::Move { source, target, .. } => self.move_bits(*source, *target),
            Action::Push(source) => self.push(*source),
            Action::Pop(target) => self.pop(*target),
            Action::SetVlanVid { vid, push } => self.set_tag(PRESENT | 0xfff, u64::from(*vid), *push),
            Action::SetVlanPcp { pcp, push } => self.set_tag(PRESENT | 0xe000, u64::from(*pcp) << 13, *push),
            Action::StripVlan | Action::PopVlan => self.pop_tag(),
            Action::PushVlan(tpid) => self.push_tag(*tpid),
            Action::SetEthSrc(mac) => self.set_if(true, Field::ETH_SRC, mac_number(*mac)),
            Action::SetEthDst(mac) => self.set_if(true, Field::ETH_DST, mac_number(*mac)),
            Action::SetIpv4Src(address) => {
                let is = self.flow.get(Field::ETH_TYPE) == 0x0800;
                self.set_network(is, Field::IP4_SRC, u64::from(address.to_bits()));
            }
            Action::SetIpv4Dst(address) => {
                let is = self.flow.get(Field::ETH_TYPE) == 0x0800;
                self.set_network(is, Field::IP4_DST, u64::from(address.to_bits()));
            }
            Action::SetIpTos(tos) => self.set_tos(0xfc, u64::from(*tos)),
            Action::SetIpEcn(ecn) => self.set_tos(3, u64::from(*ecn)),
            Action::SetIpTtl(ttl) => self.set_network(is_ip(&self.flow), Field::IP_TTL, u64::from(*ttl)),
            Action::SetTpSrc(port) => self.set_port(Field::TP_SRC, *port),
            Action::SetTpDst(port) => self.set_port(Field::TP_DST, *port),
            Action::DecTtl => return self.dec_ttl(&[0]),
            Action::DecTtlIds(ids) => return self.dec_ttl(ids),
            Action::SetMplsLabel(label) => self.set_mpls(12, 0xf_ffff, u64::from(*label)),
            Action::SetMplsTc(class) => self.set_mpls(9, 7, u64::from(*class)),
            Action::SetMplsTtl(ttl) => self.set_mpls(0, 0xff, u64::from(*ttl)),
            Action::DecMplsTtl => return self.dec_mpls_ttl(),
            Action::PushMpls(kind) => self.push_mpls(*kind),
            Action::PopMpls(kind) => self.pop_mpls(*kind),
            Action::DecNshTtl => return self.dec_nsh_ttl(),
            Action::Encap(encap) => self.encap(encap),
            Action::Decap { packet_type } => self.decap(*packet_type),
            Action::DeleteField(field) => {
                let map = self.tlv();
                crate::openflow::field::look_whole(&mut self.mask, *field, &map);
                crate::openflow::field::delete(&mut self.flow, *field, &map);
            }

            Action::SetTunnel(id) => self.set_if(true, Field::TUN_ID, u64::from(*id)),
            Action::SetTunnel64(id) => self.set_if(true, Field::TUN_ID, *id),
            Action::SetQueue(queue) => self.queue = Some(*queue),
            Action::PopQueue => self.queue = None,
            Action::FinTimeout { idle, hard } => self.fin_timeout(*idle, *hard),

            Action::Resubmit { port, table, ct } => {
                let port = if *port == OfPort::IN_PORT { self.in_port() } else { *port };
                let table = table.filter(|table| *table != 255).unwrap_or(self.table);
                self.table(port, table, false, false, *ct);
            }
            Action::GotoTable(table) => self.table(self.in_port(), *table, true, true, false),
            Action::Learn(learn) => self.learn(learn),
            Action::Conjunction { .. } | Action::Note(_) | Action::DebugSlow | Action::Nat(_) => {
                if let Action::Nat(nat) = action {
                    self.set_nat(nat);
                }
            }
            Action::Exit => self.exit = true,
            Action::Sample(sample) => self.sample_action(sample),
            Action::Ct(ct) => self.connect(ct),
            Action::CtClear => self.disconnect(),
            Action::Clone(actions) => self.clone_run(actions, true),
            Action::CheckPacketLarger { target, length } => {
                self.branch(*target, *length, rest);
                return Next::Stop;
            }
            Action::DebugRecirc => {
                self.trigger_freeze();
                self.repeats = false;
            }
            Action::Meter(number) => self.meter(*number),
            Action::ClearActions => {
                self.action_set.clear();
                self.flow.set(Field::ACTSET_OUTPUT, u64::from(OfPort::UNSET.0));
            }
            Action::WriteActions(actions) => self.write_actions(actions),
            Action::WriteMetadata { value, mask } => {
                let metadata = self.flow.get(Field::METADATA) & !mask | value & mask;
                self.flow.set(Field::METADATA, metadata);
            }
        }
        Next::On
    }

    fn controller(&mut self, controller: &Controller) -> Next {
        if controller.pause {
            self.pause = Some(Box::new(controller.clone()));
            self.trigger_freeze();
            self.repeats = false;
            return Next::On;
        }
        let meter = (controller.meter_id != 0).then_some(controller.meter_id);
        let (id, reason) = (controller.controller_id, controller.reason);
        self.tell_controller(id, reason, &controller.userdata, meter);
        Next::On
    }

    fn output_field(&mut self, source: netloom_proto::openflow::Subfield) {
        let number = self.read_bits(source).to_u64();
        // Numbers of more than 16 bits are no ports.
        if let Some(port) = OfPort::from_wide(number as u32).filter(|_| number <= u64::from(u32::MAX)) {
            self.output_action(port, None);
        }
    }

    fn set_if(&mut self, is: bool, field: Field, value: u64) {
        if is {
            self.mask.add(field);
            self.flow.set(field, value);
        }
    }

    /// Writes a field of the network layer, whose protocol is looked at too, as Open vSwitch does.
    fn set_network(&mut self, is: bool, field: Field, value: u64) {
        if is {
            self.mask.add(Field::IP_PROTO);
        }
        self.set_if(is, field, value);
    }

    fn set_tos(&mut self, bits: u64, value: u64) {
        if is_ip(&self.flow) {
            self.mask.add(Field::IP_PROTO);
            self.mask.add_bits(Field::IP_TOS, bits);
            let tos = self.flow.get(Field::IP_TOS) & !bits | value & bits;
            self.flow.set(Field::IP_TOS, tos);
        }
    }

    fn set_port(&mut self, field: Field, port: u16) {
        if is_ip(&self.flow) && self.flow.get(Field::IP_FRAG) & 2 == 0 {
            self.mask.add(Field::IP_PROTO);
            self.set_if(true, field, u64::from(port));
        }
    }

    fn dec_ttl(&mut self, controllers: &[u16]) -> Next {
        if !is_ip(&self.flow) {
            return Next::On;
        }
        self.mask.add(Field::IP_PROTO);
        let ttl = self.look(Field::IP_TTL);
        if ttl > 1 {
            self.flow.set(Field::IP_TTL, ttl - 1);
            return Next::On;
        }
        for controller in controllers {
            // OFPR_INVALID_TTL
            self.tell_controller(*controller, 2, &[], None);
        }
        let version = if self.flow.get(Field::ETH_TYPE) == 0x0800 { 4 } else { 6 };
        self.warn(|| format!("IPv{version} decrement TTL exception"));
        Next::Stop
    }

    fn dec_mpls_ttl(&mut self) -> Next {
        if !self.is_mpls() {
            return Next::On;
        }
        let entry = self.flow.get(Field::MPLS_OUTER);
        self.mask.add_bits(Field::MPLS_OUTER, 0xff);
        if entry & 0xff > 1 {
            self.flow.set(Field::MPLS_OUTER, entry - 1);
            return Next::On;
        }
        self.tell_controller(0, 2, &[], None);
        self.warn(|| "MPLS decrement TTL exception".into());
        Next::Stop
    }

    fn dec_nsh_ttl(&mut self) -> Next {
        if self.flow.get(Field::ETH_TYPE) != 0x894f {
            return Next::On;
        }
        let ttl = self.look(Field::NSH_TTL);
        if ttl > 1 {
            self.flow.set(Field::NSH_TTL, ttl - 1);
            return Next::On;
        }
        self.tell_controller(0, 2, &[], None);
        self.warn(|| "NSH decrement TTL exception".into());
        Next::Stop
    }

    fn fin_timeout(&mut self, idle: u16, hard: u16) {
        if !is_ip(&self.flow) || self.look(Field::IP_PROTO) != 6 {
            return;
        }
        // FIN and RST
        self.mask.add_bits(Field::TCP_FLAGS, 5);
        let (effects, flow) = (self.effects, self.rule);
        if self.flow.get(Field::TCP_FLAGS) & 5 != 0
            && effects
            && let (Some(flow), Some(pipeline)) = (flow, self.pipeline())
        {
            pipeline.shorten(flow, idle, hard);
        }
    }

    fn meter(&mut self, number: u32) {
        if let Some(slot) = self.pipeline().and_then(|pipeline| pipeline.meter_slot(number)) {
            self.out.push(Step::Police(slot));
        }
    }

    /// Whether the length of the packet decides, and what then: the rest of the list is carried out both ways.
    fn branch(&mut self, target: netloom_proto::openflow::Subfield, length: u16, rest: &[Action]) {
        if rest.is_empty() {
            return;
        }
        self.commit();
        let saved = self.save();
        let mut programs = Vec::new();
        for longer in [true, false] {
            let note = if longer { "greater" } else { "less or equal" };
            self.trace.begin(|| Note::Detail(format!("packet length {note} than {length}")));
            let before = std::mem::take(&mut self.out);
            self.write(Target::of(target), &Value::from_number(u128::from(longer), 1));
            self.run(rest, true);
            if self.freezing {
                self.freeze();
            }
            programs.push(std::mem::replace(&mut self.out, before));
            self.restore_all(&saved);
            self.trace.end();
        }
        let otherwise = programs.pop().unwrap_or_default();
        let longer = programs.pop().unwrap_or_default();
        let program = |steps| netloom_nf::Program::new(steps, netloom_nf::Reason::Rule);
        self.out.push(Step::Branch(std::sync::Arc::new(netloom_nf::Branch {
            length: u32::from(length),
            longer: program(longer),
            otherwise: program(otherwise),
        })));
    }

    /// The rules of 1.1 and later: what is written replaces what was of its kind when the set is carried out.
    fn write_actions(&mut self, actions: &[Action]) {
        self.action_set.extend_from_slice(actions);
        let mut output = self.flow.get(Field::ACTSET_OUTPUT);
        for action in actions {
            match action {
                Action::Output { port, .. } => output = u64::from(port.0),
                Action::Group(_) => output = u64::from(OfPort::UNSET.0),
                _ => {}
            }
        }
        if self.action_set.iter().any(|action| matches!(action, Action::Group(_))) {
            output = u64::from(OfPort::UNSET.0);
        }
        self.flow.set(Field::ACTSET_OUTPUT, output);
    }
}

pub(super) fn mac_number(mac: netloom_wire::MacAddr) -> u64 {
    mac.octets().iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

/// Whether an action may need what is behind MPLS labels.
fn needs_network(action: &Action) -> bool {
    match action {
        Action::Output { .. }
        | Action::OutputField { .. }
        | Action::OutputTruncated { .. }
        | Action::Enqueue { .. }
        | Action::SetEthSrc(_)
        | Action::SetEthDst(_)
        | Action::SetTunnel(_)
        | Action::SetTunnel64(_)
        | Action::SetQueue(_)
        | Action::PopQueue
        | Action::Group(_) => false,
        Action::SetField(set) => {
            !set.field.is_pipeline()
                && !matches!(
                    set.field,
                    FieldId::ETH_SRC
                        | FieldId::ETH_DST
                        | FieldId::VLAN_TCI
                        | FieldId::VLAN_VID
                        | FieldId::DL_VLAN
                        | FieldId::VLAN_PCP
                        | FieldId::DL_VLAN_PCP
                )
        }
        _ => true,
    }
}
