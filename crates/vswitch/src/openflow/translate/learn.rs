//! `learn`: flows that packets make.

use super::context::Context;
use crate::openflow::expire;
use crate::openflow::flow::{Command, Flags, FlowMod};
use netloom_proto::openflow::action::{Learn, LearnSource, LearnTarget};
use netloom_proto::openflow::text::{Names, print_actions, print_match};
use netloom_proto::openflow::{Action, OfPort, Subfield, Value};
use std::fmt::Write;

/// The priority that matches are printed without.
const DEFAULT_PRIORITY: u16 = 0x8000;

/// How many more flows with a cookie a table may have.
fn is_full(pipeline: &crate::openflow::Pipeline, learn: &Learn) -> bool {
    if learn.limit == 0 {
        return false;
    }
    let filter = crate::openflow::FlowFilter {
        table: Some(learn.table),
        cookie: (learn.cookie, u64::MAX),
        ..crate::openflow::FlowFilter::default()
    };
    pipeline.select(&filter).is_ok_and(|flows| flows.len() >= learn.limit as usize)
}

impl Context<'_> {
    pub(super) fn learn(&mut self, learn: &Learn) {
        let lesson = self.lesson(learn);
        let (effects, bridge, now) = (self.effects, self.bridge, self.now);
        self.tell_lesson(&lesson);
        let mut taught = true;
        if let Some(pipeline) = self.pipeline() {
            // A flow that is there already is refreshed, however many there are.
            if !expire::knows(pipeline, &lesson) && is_full(pipeline, learn) {
                taught = false;
            } else if effects {
                expire::learn(pipeline, &lesson, now);
            }
        }
        if taught {
            self.credit.learned.push((bridge, Box::new(lesson)));
        } else {
            self.detail(|| "Learn limit reached; flow not added".into());
            // Room may come without any change that this answer rests on.
            self.keep = false;
        }
        if let Some(result) = learn.result {
            self.write(super::fields::Target::of(result), &Value::from_number(u128::from(taught), 1));
        }
    }

    /// Says what is learned, to those who ask.
    fn tell_lesson(&mut self, lesson: &FlowMod) {
        if !self.effects {
            self.warn(|| "suppressing side effects, so learn action ignored".into());
            return;
        }
        self.detail(|| {
            let (names, table) = (Names::default(), lesson.table.unwrap_or(0));
            let matching = print_match(&lesson.matching, DEFAULT_PRIORITY, &names);
            let mut text = format!("table={table} {} priority={}", matching.trim_end(), lesson.priority);
            let cookie = lesson.cookie.filter(|cookie| *cookie != 0);
            let _ = cookie.map(|cookie| write!(text, " cookie={cookie:#x}"));
            for (name, seconds) in [("idle", lesson.idle_timeout), ("hard", lesson.hard_timeout)] {
                if seconds != 0 {
                    let _ = write!(text, " {name}={seconds}");
                }
            }
            if lesson.flags.has(Flags::SEND_FLOW_REM) {
                text.push_str(" send_flow_rem");
            }
            let _ = write!(text, " actions={}", print_actions(&lesson.actions, &names));
            text
        });
    }

    /// The flow that a packet makes.
    fn lesson(&mut self, learn: &Learn) -> FlowMod {
        let mut lesson = FlowMod {
            table: Some(learn.table),
            priority: learn.priority,
            cookie: Some(learn.cookie),
            idle_timeout: learn.idle_timeout,
            hard_timeout: learn.hard_timeout,
            flags: if learn.send_flow_rem { Flags::SEND_FLOW_REM } else { Flags::default() },
            ..FlowMod::new(Command::Add)
        };
        let mut actions = Vec::new();
        if learn.fin_idle_timeout != 0 || learn.fin_hard_timeout != 0 {
            actions.push(Action::FinTimeout { idle: learn.fin_idle_timeout, hard: learn.fin_hard_timeout });
        }
        for spec in &learn.specs {
            let value = match &spec.source {
                LearnSource::Field(part) => self.read_bits(*part),
                LearnSource::Immediate(value) => value.clone(),
            };
            match spec.target {
                LearnTarget::Match(part) => {
                    let octets = usize::from(part.field.get().octets);
                    let (mut wide, mut mask) = lesson
                        .matching
                        .get(part.field)
                        .unwrap_or_else(|| (Value::zero(octets), Value::zero(octets)));
                    part.write(&mut wide, &value);
                    part.write(&mut mask, &Value::ones(netloom_proto::openflow::value::MAX_OCTETS));
                    lesson.matching.set_masked(part.field, &wide, &mask);
                }
                LearnTarget::Load(part) if part.bits <= 64 => {
                    actions.push(Action::Load { target: part, value: value.to_u64() });
                }
                // Open vSwitch writes them as loads, which have 64 bits at most.
                LearnTarget::Load(part) if part.bits <= 128 => {
                    let whole = value.to_u128();
                    for (above, bits) in [(0, 64), (64, part.bits - 64)] {
                        let target = Subfield { offset: part.offset + above, bits, ..part };
                        let value = (whole >> above) as u64;
                        actions.push(Action::Load { target, value });
                    }
                }
                LearnTarget::Load(part) => {
                    let octets = usize::from(part.field.get().octets);
                    let (mut wide, mut mask) = (Value::zero(octets), Value::zero(octets));
                    part.write(&mut wide, &value);
                    part.write(&mut mask, &Value::ones(netloom_proto::openflow::value::MAX_OCTETS));
                    let set = netloom_proto::openflow::action::SetField {
                        field: part.field,
                        value: wide,
                        mask,
                        nicira: true,
                    };
                    actions.push(Action::SetField(Box::new(set)));
                }
                LearnTarget::Output => {
                    let port = OfPort(value.to_u64() as u16);
                    let ordinary = !port.is_reserved()
                        || matches!(port, OfPort::IN_PORT | OfPort::FLOOD | OfPort::LOCAL | OfPort::ALL);
                    if ordinary {
                        actions.push(Action::Output { port, max_len: 0 });
                    }
                }
            }
        }
        lesson.actions = actions.into();
        lesson
    }
}
