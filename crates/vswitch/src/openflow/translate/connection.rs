//! What the data path must do before the translation can go on: connection tracking, copies, recirculations.

use super::context::Context;
use super::output::PUNT_PAUSED;
use super::trace::Note;
use crate::openflow::recirculation::{Frozen, Left};
use netloom_nf::{Action as Step, Connect, Nat, NatRange, Program, Reason};
use netloom_proto::openflow::action::{Ct, CtZone, Nat as NatAction};
use netloom_proto::openflow::{Action, Value};
use netloom_table::{Field, Key, Mask};
use std::sync::Arc;

/// What a copy must not change for the packet.
pub(super) struct Saved {
    flow: Key,
    base: Key,
    stack: Vec<Value>,
    action_set: Vec<Action>,
    tracked: bool,
    was_mpls: bool,
    queue: Option<u32>,
    queued: u32,
    exit: bool,
}

/// Words of connection tracking.
const CONNECTION: [usize; 7] = [29, 30, 40, 42, 43, 44, 45];

fn clear_connection(key: &mut Key) {
    for word in CONNECTION {
        if key.word(word) != 0 {
            key.set_word(word, 0);
        }
    }
    // These share words with other things.
    let fields = [Field::CT_STATE, Field::CT_ZONE, Field::CT_PROTO, Field::CT_MARK];
    for field in fields.into_iter().chain([Field::CT_TP_SRC, Field::CT_TP_DST]) {
        if key.get(field) != 0 {
            key.set(field, 0);
        }
    }
}

impl Context<'_> {
    pub(super) fn save(&self) -> Saved {
        Saved {
            flow: self.flow.clone(),
            base: self.base.clone(),
            stack: self.stack.clone(),
            action_set: self.action_set.clone(),
            tracked: self.tracked,
            was_mpls: self.was_mpls,
            queue: self.queue,
            queued: self.queued,
            exit: self.exit,
        }
    }

    /// Everything as it was, but for what the program has done to the packet.
    pub(super) fn restore(&mut self, saved: &Saved) {
        self.flow = saved.flow.clone();
        self.stack.clone_from(&saved.stack);
        self.action_set.clone_from(&saved.action_set);
        self.tracked = saved.tracked;
        self.was_mpls = saved.was_mpls;
        self.queue = saved.queue;
        self.exit = saved.exit || self.problem.is_some();
    }

    /// Everything as it was; the program has done nothing to this packet since.
    pub(super) fn restore_all(&mut self, saved: &Saved) {
        self.restore(saved);
        self.base = saved.base.clone();
        self.queued = saved.queued;
    }

    /// Carries actions out that change nothing for what follows. Without a set of their own (those of a bucket) what tables
    /// that they resubmit to do to the action set and the stack stays, as in Open vSwitch.
    pub(super) fn clone_run(&mut self, actions: &[Action], with_set: bool) {
        let last = self.last && self.action_set.is_empty();
        let copies = !last && !reversible(actions);
        if copies {
            // It is not to be done twice, in the copy and behind it.
            self.commit();
        }
        let saved = self.save();
        let before = std::mem::take(&mut self.out);
        let last = self.last;
        self.run(actions, last || copies);
        self.last = last;
        // An `exit` within `clone` ends everything, as in Open vSwitch; one within a bucket does not.
        let exits = self.exit && with_set;
        self.end_copy(with_set);
        let steps = std::mem::replace(&mut self.out, before);
        let saved = self.kept(saved, with_set);
        if copies && steps.iter().any(|step| step.changes() || matches!(step, Step::Disconnect)) {
            self.restore_all(&saved);
            self.out.push(Step::Clone(Arc::new(Program::new(steps, Reason::Rule))));
        } else {
            self.append(steps, &saved);
        }
        self.exit |= exits;
    }

    /// Adds the steps of what was done with the packet beside what follows, which finds it as it was saved: by writing fields
    /// again where that is enough, or else by having them done with a copy.
    pub(super) fn append(&mut self, steps: Vec<Step>, saved: &Saved) {
        if self.last || steps.iter().all(is_undone) {
            self.out.extend(steps);
            self.restore(saved);
        } else {
            self.restore_all(saved);
            self.out.push(Step::Clone(Arc::new(Program::new(steps, Reason::Rule))));
        }
    }

    fn kept(&mut self, saved: Saved, with_set: bool) -> Saved {
        if with_set {
            return saved;
        }
        let (stack, action_set) = (std::mem::take(&mut self.stack), std::mem::take(&mut self.action_set));
        Saved { stack, action_set, ..saved }
    }

    fn end_copy(&mut self, with_set: bool) {
        if !self.freezing && with_set {
            self.run_action_set();
        }
        self.freeze();
    }

    /// Stops here: the action that asked for it is done again when the packet comes back, and then the rest.
    pub(super) fn trigger_freeze(&mut self) {
        self.freezing = true;
        self.repeats = true;
    }

    /// Ends a program that stopped by a recirculation, or by the message to the controller that is to resume it.
    pub(super) fn freeze(&mut self) {
        if !self.freezing {
            return;
        }
        self.freezing = false;
        self.repeats = false;
        if self.problem.is_some() {
            return;
        }
        self.commit();
        let left = std::mem::take(&mut self.left);
        let state = self.frozen(self.table, false, left);
        let pause = self.pause.take();
        let hash = self.hashing.take();
        let number = self.state_number(state);
        match pause {
            Some(controller) => {
                let punt = self.punt(
                    PUNT_PAUSED,
                    controller.reason,
                    controller.controller_id,
                    // It has to come back whole.
                    u16::MAX,
                    &controller.userdata,
                    number,
                );
                self.out.push(punt);
            }
            None => {
                self.out.extend(hash.map(Step::Hash));
                self.out.push(Step::Recirculate(number));
            }
        }
        self.was_mpls = false;
        self.detail(|| "A clone of the packet is forked to recirculate.".into());
    }

    /// Goes on where another translation stopped.
    pub(super) fn thaw(&mut self, state: &Frozen) {
        state.restore(&mut self.flow);
        state.restore(&mut self.base);
        for key in [&mut self.flow, &mut self.base] {
            key.set(Field::IN_PORT, u64::from(state.in_port.0));
        }
        self.stack.clone_from(&state.stack);
        self.action_set.clone_from(&state.action_set);
        self.tracked = state.tracked;
        self.queue = state.queue;
        self.mirrored.clone_from(&state.mirrored);
        if !self.tracked {
            clear_connection(&mut self.flow);
            clear_connection(&mut self.base);
        }
        (self.table, self.cookie) = (state.table, state.cookie);
        self.trace.note(|| Note::Thaw(state.table));
        let number = self.flow.get(Field::RECIRCULATION) as u32;
        if number != 0 {
            self.credit.states.push((self.bridge, number));
        }
        if state.looks_up {
            self.table(state.in_port, state.table, true, true, false);
        } else {
            self.go_on(&state.left);
        }
        self.end();
    }

    fn go_on(&mut self, left: &[Left]) {
        for part in left {
            if self.freezing {
                self.left.push(part.clone());
            } else if !self.exit {
                (self.table, self.cookie) = (part.table, part.cookie);
                self.run(&part.actions, false);
            }
        }
    }

    pub(super) fn connect(&mut self, ct: &Ct) {
        self.commit();
        let saved = std::mem::take(&mut self.mask);
        self.nat = None;
        if ct.actions.is_empty() {
            // Open vSwitch says so of every empty list.
            self.trace.note(|| Note::Nothing);
        }
        self.run(&ct.actions, false);
        let written = std::mem::replace(&mut self.mask, saved);
        let mark = written.get(Field::CT_MARK);
        let label = u128::from(written.get(Field::CT_LABEL_HIGH)) << 64
            | u128::from(written.get(Field::CT_LABEL_LOW));
        self.mask.merge(&without_connection(&written));
        let zone = match ct.zone {
            CtZone::Immediate(zone) => zone,
            CtZone::Field(part) => self.read_bits(part).to_u64() as u16,
        };
        let own_label = u128::from(self.flow.get(Field::CT_LABEL_HIGH)) << 64
            | u128::from(self.flow.get(Field::CT_LABEL_LOW));
        let connect = Connect {
            zone,
            commit: ct.commit,
            force: ct.force,
            mark: (mark != 0).then(|| (self.flow.get(Field::CT_MARK) as u32 & mark as u32, mark as u32)),
            label: (label != 0).then_some((own_label & label, label)),
            nat: self.nat.take(),
            helper: match ct.alg {
                21 => Some("ftp"),
                69 => Some("tftp"),
                _ => None,
            },
            timeout: None,
        };
        self.out.push(Step::Connect(Arc::new(connect)));
        if let Some(table) = ct.table {
            self.tracked = true;
            let mut state = self.frozen(table, true, Vec::new());
            state.cookie = u64::MAX;
            let number = self.state_number(state);
            self.out.push(Step::Recirculate(number));
            self.detail(|| {
                format!(
                    "A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table {table}."
                )
            });
        }
        self.forget_connection();
    }

    fn forget_connection(&mut self) {
        clear_connection(&mut self.flow);
        clear_connection(&mut self.base);
        self.tracked = false;
        self.detail(|| "Sets the packet to an untracked state, and clears all the conntrack fields.".into());
    }

    pub(super) fn disconnect(&mut self) {
        if !self.tracked {
            // Nobody sees what the data path may still know of it.
            return;
        }
        self.commit();
        self.out.push(Step::Disconnect);
        self.forget_connection();
    }

    pub(super) fn forget_connection_quietly(&mut self) {
        clear_connection(&mut self.flow);
        clear_connection(&mut self.base);
        self.tracked = false;
    }

    pub(super) fn set_nat(&mut self, nat: &NatAction) {
        let range = NatRange {
            addresses: nat.addresses.map(|(first, last)| (first, last.unwrap_or(first))),
            ports: nat.ports.map(|(first, last)| (first, last.unwrap_or(first))),
            persistent: nat.persistent,
            random: nat.random,
        };
        self.nat = Some(match (nat.source, nat.destination) {
            (true, _) => Nat::Source(range),
            (_, true) => Nat::Destination(range),
            _ => Nat::Known,
        });
    }
}

/// A mask without the mark and the label of a connection.
fn without_connection(mask: &Mask) -> Mask {
    let mut out = Mask::default();
    for (word, bits) in mask.words().iter().enumerate() {
        match word {
            29 | 30 => {}
            7 => out.add_word(word, bits & (Field::PKT_MARK.ones() << Field::PKT_MARK.shift())),
            _ => out.add_word(word, *bits),
        }
    }
    out
}

/// Whether the program may undo what actions do to a packet by writing fields again; what they lead to shows when it is
/// done ([`Context::append`]).
fn reversible(actions: &[Action]) -> bool {
    actions.iter().all(|action| match action {
        Action::Ct(_)
        | Action::Meter(_)
        | Action::Nat(_)
        | Action::OutputTruncated { .. }
        | Action::Encap(_)
        | Action::Decap { .. }
        | Action::DecNshTtl
        | Action::PushMpls(_)
        | Action::PopMpls(_)
        | Action::CtClear => false,
        other => reversible(other.nested()),
    })
}

/// Whether a step does nothing to the packet, or only what is undone by writing its fields and tags.
const fn is_undone(step: &Step) -> bool {
    matches!(
        step,
        Step::Output(_)
            | Step::Truncate(_)
            | Step::Set(_)
            | Step::Queue(_)
            | Step::PushVlan { .. }
            | Step::PopVlan
            | Step::SetVlan(_)
            | Step::Punt(_)
            | Step::Brain
            | Step::Remote { .. }
            | Step::Sample(_)
            | Step::Clone(_)
            | Step::Branch(_)
            | Step::Hash(_)
            | Step::Recirculate(_)
    )
}
