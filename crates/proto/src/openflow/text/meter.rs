//! Meters as text.

use super::super::message::{
    ALL_METERS, Band, BandKind, CONTROLLER_METER, GREATEST_METER, MeterCommand, MeterConfig, MeterFlags,
    MeterMod, MeterStatistics, SLOW_PATH_METER,
};
use super::error::{Parsed, Problem, TextError};
use super::number;
use super::piece::Piece;
use std::fmt::Write;

const BETWEEN: &str = "=, \t\r\n";
const BEHIND: &str = ", \t\r\n";

/// The words for meters that have no number.
const NAMED: [(&str, u32); 3] =
    [("all", ALL_METERS), ("controller", CONTROLLER_METER), ("slowpath", SLOW_PATH_METER)];

const FLAGS: [(&str, MeterFlags); 4] = [
    ("kbps", MeterFlags::KILOBITS),
    ("pktps", MeterFlags::PACKETS),
    ("burst", MeterFlags::BURST),
    ("stats", MeterFlags::STATISTICS),
];

/// Reads a meter that is added, changed or deleted.
pub(super) fn parse(whole: Piece<'_>, command: MeterCommand) -> Parsed<MeterMod> {
    let described = command != MeterCommand::Delete;
    let (head, bands) = if described {
        let missing = || {
            TextError::new(whole, Problem::Missing, "must specify bands")
                .expecting("bands=type=drop rate=NUMBER")
        };
        let at = whole.text().find("band").ok_or_else(missing)?;
        let (_, bands) = whole.from(at).split_once("=").ok_or_else(missing)?;
        (whole.range(0, at), Some(bands))
    } else {
        (whole, None)
    };
    let (meter, flags) = head_words(head, described)?;
    let missing = |wording: &str| Err(TextError::new(whole, Problem::Missing, wording));
    let Some(meter) = meter else { return missing("must specify 'meter'") };
    if described && flags.is_empty() {
        return missing("meter must specify either 'kbps' or 'pktps'");
    }
    let bands = bands.map_or(Ok(Vec::new()), |bands| parse_bands(bands, flags))?;
    Ok(MeterMod { command, meter: MeterConfig { meter, flags, bands } })
}

/// Reads the number of a meter alone, as statistics are asked for: `meter=1`.
pub(super) fn parse_number(whole: Piece<'_>) -> Parsed<u32> {
    let (meter, _) = head_words(whole, false)?;
    meter.ok_or_else(|| {
        TextError::new(whole, Problem::Missing, "must specify 'meter'").expecting("meter=NUMBER")
    })
}

fn head_words(mut rest: Piece<'_>, described: bool) -> Parsed<(Option<u32>, MeterFlags)> {
    let mut flags = MeterFlags::NONE;
    let mut meter = None;
    while let Some(name) = rest.next_token(BETWEEN) {
        let flag = FLAGS.iter().find(|(word, _)| described && *word == name.text());
        if let Some((_, flag)) = flag {
            flags = flags.or(*flag);
            continue;
        }
        let value = value_of(name, &mut rest)?;
        if name.text() != "meter" {
            return Err(
                unknown(name).meaning(["meter", "bands"].into_iter().chain(FLAGS.map(|(word, _)| word)))
            );
        }
        meter = Some(match NAMED.iter().find(|(word, _)| *word == value.text()) {
            Some((_, number)) => *number,
            None => {
                let number = number::u32(value)?;
                if number == 0 || number > GREATEST_METER {
                    let wording = format!("invalid value for {}", name.text());
                    return Err(TextError::new(value, Problem::OutOfRange, wording)
                        .expecting("a number from 1 on, all, controller or slowpath"));
                }
                number
            }
        });
    }
    Ok((meter, flags))
}

fn value_of<'t>(name: Piece<'t>, rest: &mut Piece<'t>) -> Parsed<Piece<'t>> {
    rest.next_token(BEHIND)
        .ok_or_else(|| TextError::new(name, Problem::Missing, format!("field {} missing value", name.text())))
}

fn unknown(name: Piece<'_>) -> TextError {
    TextError::new(name, Problem::UnknownWord, format!("unknown keyword {}", name.text()))
}

/// A band as far as it is read.
struct Draft {
    remarks: bool,
    rate: u32,
    burst: u32,
    levels: u8,
}

fn parse_bands(whole: Piece<'_>, flags: MeterFlags) -> Parsed<Vec<Band>> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut rest = whole;
    while let Some(name) = rest.next_token(BETWEEN) {
        let value = value_of(name, &mut rest)?;
        if name.text() == "type" {
            let remarks = match value.text() {
                "drop" => false,
                "dscp_remark" => true,
                text => {
                    let wording = format!("field {} unknown value {text}", name.text());
                    return Err(
                        TextError::new(value, Problem::UnknownWord, wording).meaning(["drop", "dscp_remark"])
                    );
                }
            };
            drafts.push(Draft { remarks, rate: 0, burst: 0, levels: 0 });
            continue;
        }
        let Some(band) = drafts.last_mut() else {
            let wording = "band must start with the 'type' keyword";
            return Err(
                TextError::new(name, Problem::Missing, wording).expecting("type=drop or type=dscp_remark")
            );
        };
        match name.text() {
            "rate" => band.rate = number::u32(value)?,
            "burst_size" => band.burst = number::u32(value)?,
            "prec_level" => band.levels = number::u8(value, "prec_level")?,
            _ => return Err(unknown(name).meaning(["type", "rate", "burst_size", "prec_level"])),
        }
    }
    if drafts.is_empty() {
        return Err(TextError::new(whole, Problem::Missing, "meter must have bands"));
    }
    drafts.iter().map(|draft| finish(whole, draft, flags.contains(MeterFlags::BURST))).collect()
}

fn finish(whole: Piece<'_>, draft: &Draft, bursts: bool) -> Parsed<Band> {
    let wording = if draft.remarks && draft.levels == 0 {
        "'dscp_remark' band must have 'prec_level'"
    } else if !draft.remarks && draft.levels != 0 {
        "Only 'dscp_remark' band may have 'prec_level'"
    } else if draft.rate == 0 {
        "band must have 'rate'"
    } else if bursts && draft.burst == 0 {
        "band must have 'burst_size' when 'burst' flag is set"
    } else if !bursts && draft.burst != 0 {
        "band may have 'burst_size' only when 'burst' flag is set"
    } else {
        let kind = if draft.remarks { BandKind::RemarkDscp { levels: draft.levels } } else { BandKind::Drop };
        return Ok(Band { kind, rate: draft.rate, burst: draft.burst });
    };
    Err(TextError::new(whole, Problem::Missing, wording))
}

/// A meter's number or word.
pub(super) fn meter_name(meter: u32) -> String {
    match NAMED.iter().find(|(_, number)| *number == meter) {
        _ if meter <= GREATEST_METER => meter.to_string(),
        Some((word, _)) => (*word).to_string(),
        None => "unknown".to_string(),
    }
}

/// Prints how a meter is set, as `dump-meters` shows it: each band on a line of its own, and a newline at the end.
pub fn print_meter(meter: &MeterConfig) -> String {
    let mut out = format!("meter={} ", meter_name(meter.meter));
    for word in meter.flags.words() {
        let _ = write!(out, "{word} ");
    }
    out.push_str("bands=");
    for band in &meter.bands {
        let kind = match band.kind {
            BandKind::Drop => "drop",
            BandKind::RemarkDscp { .. } => "dscp_remark",
        };
        let _ = write!(out, "\ntype={kind} rate={}", band.rate);
        if meter.flags.contains(MeterFlags::BURST) {
            let _ = write!(out, " burst_size={}", band.burst);
        }
        if let BandKind::RemarkDscp { levels } = band.kind {
            let _ = write!(out, " prec_level={levels}");
        }
    }
    out.push('\n');
    out
}

/// Prints a change of a meter as OVS's tools show the message: `ADD meter=1 kbps bands=...`.
pub fn print_meter_mod(change: &MeterMod) -> String {
    let word = match change.command {
        MeterCommand::Add => "ADD",
        MeterCommand::Modify => "MOD",
        MeterCommand::Delete => "DEL",
    };
    format!("{word} {}", print_meter(&change.meter))
}

/// Prints what a meter counted, as `meter-stats` shows it.
pub fn print_meter_statistics(meter: &MeterStatistics) -> String {
    let mut out = format!(
        "meter:{} flow_count:{} packet_in_count:{} byte_in_count:{} duration:{} bands:\n",
        meter_name(meter.meter),
        meter.flows,
        meter.packets,
        meter.bytes,
        number::duration(meter.age.seconds, meter.age.nanoseconds)
    );
    for (index, band) in meter.bands.iter().enumerate() {
        let _ = writeln!(out, "{index}: packet_count:{} byte_count:{}", band.packets, band.bytes);
    }
    out
}
