//! `learn`: a flow that makes flows.

use super::super::super::action::{Action, Learn, LearnSource, LearnSpec, LearnTarget};
use super::super::super::{Subfield, Value};
use super::super::error::{Parsed, Problem, TextError};
use super::super::number::{self, WideError};
use super::super::piece::{Piece, Word};
use super::super::value::{self, field_names};
use super::{ActionReader, MOST_OCTETS, too_long};

const WORDS: [&str; 14] = [
    "table",
    "priority",
    "idle_timeout",
    "hard_timeout",
    "fin_idle_timeout",
    "fin_hard_timeout",
    "cookie",
    "send_flow_rem",
    "delete_learned",
    "limit",
    "result_dst",
    "load",
    "output",
    "in_port",
];

/// About what one specification takes in a message.
const SPEC_OCTETS: usize = 32;

impl ActionReader<'_> {
    pub(super) fn learn(&self, whole: Piece<'_>) -> Parsed<Action> {
        let mut learn = Learn {
            idle_timeout: 0,
            hard_timeout: 0,
            priority: 0x8000,
            cookie: 0,
            send_flow_rem: false,
            delete_learned: false,
            table: 1,
            fin_idle_timeout: 0,
            fin_hard_timeout: 0,
            limit: 0,
            result: None,
            specs: Vec::new(),
            extended: false,
        };
        let mut rest = whole;
        while let Some(word) = rest.next_word() {
            let value = word.value;
            let number = || number::lenient(value.text()) as u16;
            match word.key.text() {
                "table" => {
                    learn.table = self.names.table_or(value, |text| format!("unknown table \"{text}\""))?;
                    if learn.table == 255 {
                        let wording = format!("{}: table id 255 not valid for `learn' action", whole.text());
                        return Err(TextError::new(value, Problem::OutOfRange, wording)
                            .expecting("a table from 0 to 254"));
                    }
                }
                "priority" => learn.priority = number(),
                "idle_timeout" => learn.idle_timeout = number(),
                "hard_timeout" => learn.hard_timeout = number(),
                "fin_idle_timeout" => learn.fin_idle_timeout = number(),
                "fin_hard_timeout" => learn.fin_hard_timeout = number(),
                "cookie" => learn.cookie = number::leading(value.text(), 0).value,
                "send_flow_rem" => learn.send_flow_rem = true,
                "delete_learned" => learn.delete_learned = true,
                "limit" => learn.limit = number::lenient(value.text()) as u32,
                "result_dst" => {
                    let result = value::subfield(value)?;
                    if !result.field.get().is_writable() {
                        let wording = format!("{} is read-only", value.text());
                        return Err(TextError::new(value, Problem::NotAllowed, wording));
                    }
                    if result.bits != 1 {
                        let wording = "result_dst in 'learn' action must be a single bit";
                        return Err(TextError::new(value, Problem::OutOfRange, wording));
                    }
                    learn.result = Some(result);
                }
                _ => {
                    learn.specs.push(self.specification(whole, word)?);
                    if learn.specs.len() > MOST_OCTETS / SPEC_OCTETS {
                        return Err(too_long(whole));
                    }
                }
            }
        }
        Ok(Action::Learn(Box::new(learn)))
    }

    fn specification(&self, whole: Piece<'_>, word: Word<'_>) -> Parsed<LearnSpec> {
        if let Ok(target) = value::subfield(word.key) {
            return self.matching(whole, word, target);
        }
        match word.key.text() {
            "load" => loading(word),
            "output" => {
                let source = value::subfield(word.value)?;
                Ok(LearnSpec {
                    bits: source.bits,
                    source: LearnSource::Field(source),
                    target: LearnTarget::Output,
                })
            }
            key => {
                let wording = format!("{}: unknown keyword {key}", whole.text());
                Err(TextError::new(word.key, Problem::UnknownWord, wording)
                    .expecting("an argument of learn or a field")
                    .meaning(WORDS.into_iter().chain(field_names())))
            }
        }
    }

    /// What the new flow matches: the same field as here, another one, or a value.
    fn matching(&self, whole: Piece<'_>, word: Word<'_>, target: Subfield) -> Parsed<LearnSpec> {
        short(whole, word.key, target)?;
        let (key, text) = (word.key.text(), word.value.text());
        let spec = |source| LearnSpec { bits: target.bits, source, target: LearnTarget::Match(target) };
        if word.value.is_empty() {
            return Ok(spec(LearnSource::Field(target)));
        }
        match value::subfield(word.value) {
            Ok(source) if source.bits == target.bits => Ok(spec(LearnSource::Field(source))),
            Ok(source) => {
                let wording = format!(
                    "{}: bit widths of {key} ({}) and {text} ({}) differ",
                    whole.text(),
                    source.bits,
                    target.bits
                );
                Err(TextError::new(word.value, Problem::OutOfRange, wording))
            }
            Err(not_field) => {
                let value = if target.is_whole() {
                    value::parse_exact(target.field, word.value, self.names)
                } else {
                    let unreadable = format!("{}: cannot parse integer value", whole.text());
                    value::fitting_integer(word.value, target, unreadable, whole.text())
                };
                let value = value.map_err(|error| {
                    let wording = format!(
                        "{}: {key} value {text} cannot be parsed as a subfield ({}) or an immediate value ({})",
                        whole.text(),
                        not_field.ovs(),
                        error.ovs()
                    );
                    error.saying(wording)
                })?;
                Ok(spec(LearnSource::Immediate(value.resized(usize::from(target.bits).div_ceil(8)))))
            }
        }
    }
}

fn short(whole: Piece<'_>, name: Piece<'_>, target: Subfield) -> Parsed<()> {
    if value::has_short_name(target.field) {
        return Ok(());
    }
    let wording = format!("{}: experimenter OXM field '{}' not supported", whole.text(), name.text());
    Err(TextError::new(name, Problem::NotAllowed, wording))
}

/// What the new flow loads.
fn loading(word: Word<'_>) -> Parsed<LearnSpec> {
    let (key, text) = (word.key.text(), word.value.text());
    let form = |wording: String| {
        TextError::new(word.value, Problem::BadForm, wording)
            .expecting("load:SOURCE->FIELD or load:NUMBER->FIELD")
    };
    let Some((source, target)) = word.value.split_once("->") else {
        return Err(form(format!("{key}: missing `->' in `{text}'")));
    };
    if source.is_empty() {
        return Err(form(format!("{key}: missing source before `->' in `{text}'")));
    }
    let mut number = Value::zero(value_octets());
    match number::wide(text, number.octets_mut()) {
        Ok(length) if length > 0 => {
            if length != source.text().len() {
                return Err(form(format!("{key}: garbage before `->' in `{text}'")));
            }
            let subfield = value::subfield(target)?;
            short(word.value, target, subfield)?;
            if !number.and_not(&Value::low_ones(number.len(), subfield.bits.into())).is_zero() {
                let wording = format!("{text}: value does not fit into {} bits", subfield.bits);
                return Err(TextError::new(source, Problem::OutOfRange, wording));
            }
            Ok(LearnSpec {
                bits: subfield.bits,
                source: LearnSource::Immediate(number.resized(usize::from(subfield.bits).div_ceil(8))),
                target: LearnTarget::Load(subfield),
            })
        }
        Ok(_) | Err(WideError::Syntax | WideError::TooLarge) => match super::fields::copy(word.value)? {
            Action::Move { source, target, .. } => Ok(LearnSpec {
                bits: source.bits,
                source: LearnSource::Field(source),
                target: LearnTarget::Load(target),
            }),
            _ => Err(form(format!("{key}: missing `->' in `{text}'"))),
        },
    }
}

/// Room for the largest number that can be loaded: tunnel metadata.
const fn value_octets() -> usize {
    super::super::super::value::MAX_OCTETS
}
