//! Who decides while the data path is measured: a learning bridge, or a table of rules.

use super::traffic::SINK;
use crate::cli::Mode;
use netloom_datapath::{Answer, Brain, Question, Used};
use netloom_mem::PortNumber;
use netloom_nf::link::Random;
use netloom_nf::{Action, Program, Reason};
use netloom_table::{Classifier, Field, Key, Mask, Rule};
use netloom_vswitch::{Bridge, BridgeError, BridgeOptions, Port};
use netloom_wire::MacAddr;

/// The port of the sink.
pub const OUT: PortNumber = 2;

/// The fields of each mask, with the bits that matter: what rules of a cloud's firewall look at.
const MASKS: [&[(Field, u64)]; 10] = [
    &[(Field::IP4_DST, 0xffff_ffff), (Field::TP_DST, 0xffff)],
    &[(Field::IP4_SRC, 0xffff_ff00), (Field::TP_DST, 0xffff)],
    &[(Field::IP4_SRC, 0xffff_ffff)],
    &[(Field::IP4_DST, 0xffff_ff00), (Field::TP_SRC, 0xffff)],
    &[(Field::IP4_SRC, 0xffff_0000), (Field::IP4_DST, 0xffff_ffff)],
    &[(Field::IP_PROTO, 0xff), (Field::TP_SRC, 0xfff0), (Field::TP_DST, 0xffff)],
    &[(Field::ETH_SRC, 0xffff_ffff_ffff), (Field::IP4_DST, 0xffff_0000)],
    &[(Field::IP4_SRC, 0xffff_ffff), (Field::IP4_DST, 0xffff_ffff), (Field::TP_SRC, 0xffff)],
    &[(Field::IP_TOS, 0xfc), (Field::IP4_SRC, 0xffff_f000)],
    &[(Field::ETH_TYPE, 0xffff), (Field::IP4_DST, 0xff00_0000), (Field::TP_DST, 0xff00)],
];

/// A learning bridge with a fixed station behind the sink.
pub struct Learning(Bridge);

impl Learning {
    /// With ports 1 to `ports`, and room for so many stations if that is more than usual.
    ///
    /// # Errors
    /// Never with ports of different numbers.
    pub fn new(ports: PortNumber, stations: usize) -> Result<Self, BridgeError> {
        let usual = BridgeOptions::default();
        let stations = usual.stations.max(stations);
        let mut bridge = Bridge::new(BridgeOptions { stations, ..usual });
        for number in 1..=ports {
            bridge.add(Port::new(number, format!("p{number}")))?;
        }
        bridge.fdb.fix(0, MacAddr::new(SINK), OUT, 0);
        Ok(Self(bridge))
    }
}

impl Brain for Learning {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        let decision = self.0.decide(question.key, question.now);
        Answer {
            program: decision.program,
            mask: decision.mask,
            rests: decision.rests,
            changed: decision.changed,
            token: decision.sender,
            counted: false,
            keep: true,
        }
    }

    fn used(&mut self, used: &[Used], now: u64) {
        for used in used {
            if let Used::Lately { token, port } = used {
                self.0.refresh(*token, *port, now);
            }
        }
    }
}

/// Rules of several masks: what fits a rule of an even number goes to the sink like the rest, what fits one of an odd
/// number is metered by a bucket that lets all pass, so that programs differ.
pub struct Rules(Classifier<Program>);

impl Rules {
    /// So many rules, with so many of the masks, made from a seed.
    pub fn new(rules: u32, masks: u32, seed: u64) -> Self {
        let mut classifier = Classifier::default();
        let mut random = Random::new(seed);
        let masks = MASKS.get(..masks.clamp(1, 10) as usize).unwrap_or(&MASKS);
        for number in 0..rules {
            let kind = number as usize % masks.len();
            let mut key = Key::default();
            // Addresses near those of the traffic, so that some packets fit and most must be looked up in each table.
            key.set(Field::IP4_SRC, 0x0a00_0000 | random.below(1 << 17));
            key.set(Field::IP4_DST, 0xac10_0000 | random.below(1 << 12));
            key.set(Field::TP_SRC, 0x4000 | random.below(1 << 8));
            key.set(Field::TP_DST, random.below(1 << 16));
            key.set(Field::IP_PROTO, 17);
            key.set(Field::ETH_TYPE, 0x0800);
            key.set(Field::ETH_SRC, 0x0210_0000_0000 | random.below(1 << 32));
            key.set(Field::IP_TOS, 4 * (1 + random.below(62)));
            let mut mask = Mask::default();
            for (field, bits) in masks[kind] {
                mask.add_bits(*field, *bits);
            }
            let mut actions = vec![Action::Output(OUT)];
            if number % 2 == 1 {
                actions.insert(0, Action::Meter(u32::MAX));
            }
            let value = Program::new(actions, Reason::Rule);
            let priority = 10 * (masks.len() - kind) as u32;
            classifier.insert(Rule { priority, key: key.masked(&mask), mask, value }, 0);
        }
        Self(classifier)
    }
}

impl Brain for Rules {
    fn translate(&mut self, question: &Question<'_>) -> Answer {
        let mut mask = Mask::default();
        mask.add(Field::IN_PORT);
        mask.add(Field::RECIRCULATION);
        let found = self.0.find(question.key, &mut mask, 0).and_then(|found| self.0.get(found.rule));
        let otherwise = || Program::new(vec![Action::Output(OUT)], Reason::Rule);
        let program = found.cloned().unwrap_or_else(otherwise);
        Answer { program, mask, rests: Vec::new(), changed: Vec::new(), token: 0, counted: false, keep: true }
    }
}

/// The brain of a mode; none for modes without a worker.
///
/// # Errors
/// A sentence, should the bridge refuse its ports.
pub fn brain(
    mode: Mode,
    ports: PortNumber,
    stations: usize,
    rules: (u32, u32),
) -> Result<Option<Box<dyn Brain>>, String> {
    Ok(match mode {
        Mode::Switch => Some(Box::new(Learning::new(ports, stations).map_err(|error| error.to_string())?)),
        Mode::Rules => Some(Box::new(Rules::new(rules.0, rules.1, 1))),
        _ => None,
    })
}
