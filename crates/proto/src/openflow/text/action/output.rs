//! Actions that send: `output`, `controller`, `enqueue`, `resubmit`, `sample`; and those that only take a few numbers.

use super::super::super::OfPort;
use super::super::super::action::{Action, Controller, NO_BUFFER, Sample, SampleDirection};
use super::super::error::{Parsed, Problem, TextError};
use super::super::number;
use super::super::piece::Piece;
use super::super::value;
use super::{ActionReader, MOST_OCTETS, too_long};

/// The reasons of a packet-in by name, as numbers of OpenFlow.
pub(in super::super) const REASONS: [&str; 6] =
    ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"];

/// Octets that a packet is at least cut to: an Ethernet header.
const LEAST_LENGTH: u32 = 14;

impl ActionReader<'_> {
    pub(super) fn output(&self, value: Piece<'_>) -> Parsed<Action> {
        if value.text().contains("port") && value.text().contains("max_len") {
            return self.output_truncated(value);
        }
        if let Some(port) = self.names.read_port(value.text()) {
            let max_len = if port == OfPort::CONTROLLER { NO_BUFFER } else { 0 };
            return Ok(Action::Output { port, max_len });
        }
        match value::subfield(value) {
            Ok(source) => Ok(Action::OutputField { source, max_len: NO_BUFFER }),
            Err(error) => Err(error
                .saying(format!("{}: output to unknown port", value.text()))
                .expecting("a port, or a field with the number of one")),
        }
    }

    fn output_truncated(&self, value: Piece<'_>) -> Parsed<Action> {
        let (mut port, mut max_len) = (OfPort(0), 0);
        let mut rest = value;
        while let Some(word) = rest.next_word() {
            match word.key.text() {
                "port" => {
                    port = self
                        .names
                        .port_or(word.value, |text| format!("output to unknown truncate port: {text}"))?;
                    if port.0 > OfPort::MAX.0 && !matches!(port, OfPort::LOCAL | OfPort::IN_PORT) {
                        let wording = format!("output to unsupported truncate port: {}", word.value.text());
                        return Err(TextError::new(word.value, Problem::NotAllowed, wording)
                            .expecting("a single port, LOCAL or IN_PORT"));
                    }
                }
                "max_len" => {
                    max_len = number::u32(word.value)?;
                    if max_len < LEAST_LENGTH {
                        let wording =
                            format!("max_len {max_len} is less than the minimum value {LEAST_LENGTH}");
                        return Err(TextError::new(word.value, Problem::OutOfRange, wording));
                    }
                }
                key => {
                    let wording = format!("invalid key '{key}' in output_trunc argument");
                    return Err(TextError::new(word.key, Problem::UnknownWord, wording)
                        .expecting("port= or max_len=")
                        .meaning(["port", "max_len"]));
                }
            }
        }
        Ok(Action::OutputTruncated { port, max_len })
    }

    pub(super) fn controller(&self, value: Piece<'_>) -> Parsed<Action> {
        let mut controller = Controller {
            max_len: NO_BUFFER,
            controller_id: 0,
            reason: 1,
            userdata: Vec::new(),
            pause: false,
            meter_id: 0,
            extended: false,
        };
        let mut has_data = false;
        if !value.is_empty() && value.text().bytes().all(|byte| byte.is_ascii_digit()) {
            controller.max_len = number::u16(value, "max_len")?;
        } else {
            let mut rest = value;
            while let Some(word) = rest.next_word() {
                match word.key.text() {
                    "reason" => controller.reason = reason(word.value)?,
                    "max_len" => controller.max_len = number::u16(word.value, "max_len")?,
                    "id" => controller.controller_id = number::u16(word.value, "id")?,
                    "userdata" => {
                        let (octets, all) = number::octets(word.value.text());
                        if !all {
                            let wording = "bad hex digit in `controller' action `userdata'";
                            return Err(TextError::new(word.value, Problem::BadValue, wording)
                                .expecting("pairs of hexadecimal digits"));
                        }
                        if octets.len() > MOST_OCTETS {
                            return Err(too_long(word.value));
                        }
                        has_data = true;
                        controller.userdata = octets;
                    }
                    "pause" => controller.pause = true,
                    "meter_id" => controller.meter_id = number::u32(word.value)?,
                    key => {
                        let wording = format!("unknown key \"{key}\" parsing controller action");
                        return Err(TextError::new(word.key, Problem::UnknownWord, wording)
                            .expecting("reason=, max_len=, id=, userdata=, pause or meter_id=")
                            .meaning(["reason", "max_len", "id", "userdata", "pause", "meter_id"]));
                    }
                }
            }
        }
        let plain = controller.reason == 1
            && controller.controller_id == 0
            && !has_data
            && !controller.pause
            && controller.meter_id == 0;
        Ok(if plain {
            Action::Output { port: OfPort::CONTROLLER, max_len: controller.max_len }
        } else {
            Action::Controller(Box::new(controller))
        })
    }

    pub(super) fn enqueue(&self, value: Piece<'_>) -> Parsed<Action> {
        let mut rest = value;
        match (rest.next_token(":q,"), rest) {
            (Some(port), queue) if !queue.is_empty() => Ok(Action::Enqueue {
                port: self.names.port_or(port, |text| format!("{text}: enqueue to unknown port"))?,
                queue: number::u32(queue)?,
            }),
            _ => {
                let wording = "\"enqueue\" syntax is \"enqueue:PORT:QUEUE\" or \"enqueue(PORT,QUEUE)\"";
                Err(TextError::new(value, Problem::BadForm, wording))
            }
        }
    }

    pub(super) fn resubmit(&self, value: Piece<'_>) -> Parsed<Action> {
        let (port, rest) =
            value.split_once(",").unwrap_or((value, value.range(value.text().len(), value.text().len())));
        let (table, rest) =
            rest.split_once(",").unwrap_or((rest, rest.range(rest.text().len(), rest.text().len())));
        let (ct, _) = rest.split_once(",").unwrap_or((rest, rest));
        let port = if port.is_empty() {
            OfPort::IN_PORT
        } else {
            self.names.port_or(port, |text| format!("{text}: resubmit to unknown port"))?
        };
        let table = if table.is_empty() {
            None
        } else {
            let table = self.names.table_or(table, |text| format!("{text}: resubmit to unknown table"))?;
            Some(table).filter(|table| *table != 255)
        };
        if !ct.is_empty() && ct.text() != "ct" {
            let wording = format!("{}: unknown parameter", ct.text());
            return Err(TextError::new(ct, Problem::UnknownWord, wording).expecting("ct, or nothing"));
        }
        if port == OfPort::IN_PORT && table.is_none() {
            let wording = "at least one \"in_port\" or \"table\" must be specified on resubmit";
            return Err(TextError::new(value, Problem::Missing, wording).expecting("resubmit(PORT,TABLE)"));
        }
        Ok(Action::Resubmit { port, table, ct: !ct.is_empty() })
    }

    pub(super) fn sample(&self, value: Piece<'_>) -> Parsed<Action> {
        let mut sample = Sample {
            probability: 0,
            collector_set_id: 0,
            obs_domain_id: 0,
            obs_point_id: 0,
            sampling_port: OfPort::NONE,
            direction: SampleDirection::Default,
            form: 1,
        };
        let mut rest = value;
        while let Some(word) = rest.next_word() {
            match word.key.text() {
                "probability" => {
                    sample.probability = number::u16(word.value, "probability")?;
                    if sample.probability == 0 {
                        let wording = format!("invalid probability value \"{}\"", word.value.text());
                        return Err(TextError::new(word.value, Problem::OutOfRange, wording)
                            .expecting("a number from 1 to 65535"));
                    }
                }
                "collector_set_id" => sample.collector_set_id = number::u32(word.value)?,
                "obs_domain_id" => sample.obs_domain_id = number::u32(word.value)?,
                "obs_point_id" => sample.obs_point_id = number::u32(word.value)?,
                "sampling_port" => {
                    sample.sampling_port =
                        self.names.port_or(word.value, |text| format!("{text}: unknown port"))?;
                }
                "ingress" => sample.direction = SampleDirection::Ingress,
                "egress" => sample.direction = SampleDirection::Egress,
                key => {
                    let wording = format!("invalid key \"{key}\" in \"sample\" argument");
                    return Err(TextError::new(word.key, Problem::UnknownWord, wording).meaning([
                        "probability",
                        "collector_set_id",
                        "obs_domain_id",
                        "obs_point_id",
                        "sampling_port",
                        "ingress",
                        "egress",
                    ]));
                }
            }
        }
        if sample.probability == 0 {
            let wording = "non-zero \"probability\" must be specified on sample";
            return Err(TextError::new(value, Problem::Missing, wording).expecting("probability="));
        }
        Ok(Action::Sample(Box::new(sample)))
    }
}

fn reason(piece: Piece<'_>) -> Parsed<u8> {
    let found = REASONS.iter().position(|name| name.eq_ignore_ascii_case(piece.text()));
    found.and_then(|number| u8::try_from(number).ok()).ok_or_else(|| {
        TextError::new(piece, Problem::UnknownWord, format!("unknown reason \"{}\"", piece.text()))
            .meaning(REASONS)
    })
}

/// Octets to be remembered. A message has 6 and a multiple of 8 of them, so zeros are put behind.
pub(super) fn note(value: Piece<'_>) -> Parsed<Action> {
    let (mut octets, all) = number::octets(value.text());
    if !all {
        let wording = "bad hex digit in `note' argument";
        return Err(
            TextError::new(value, Problem::BadValue, wording).expecting("pairs of hexadecimal digits")
        );
    }
    if octets.len() > MOST_OCTETS {
        return Err(too_long(value));
    }
    let length = 6 + octets.len().saturating_sub(6).next_multiple_of(8);
    octets.resize(length, 0);
    Ok(Action::Note(octets))
}

pub(super) fn fin_timeout(value: Piece<'_>) -> Parsed<Action> {
    let (mut idle, mut hard) = (0, 0);
    let mut rest = value;
    while let Some(word) = rest.next_word() {
        match word.key.text() {
            "idle_timeout" => idle = number::u16(word.value, "idle_timeout")?,
            "hard_timeout" => hard = number::u16(word.value, "hard_timeout")?,
            key => {
                let wording = format!("invalid key '{key}' in 'fin_timeout' argument");
                return Err(TextError::new(word.key, Problem::UnknownWord, wording)
                    .expecting("idle_timeout= or hard_timeout=")
                    .meaning(["idle_timeout", "hard_timeout"]));
            }
        }
    }
    Ok(Action::FinTimeout { idle, hard })
}
