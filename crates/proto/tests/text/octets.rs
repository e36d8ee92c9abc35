//! Actions as octets and as text: the pairs that Open vSwitch's own tests list, for every version.

use crate::suite;
use netloom_proto::openflow::action::{
    Action, Context, Limits, check, put_actions, put_instructions, take_actions, take_instructions,
};
use netloom_proto::openflow::codec::{Reader, Writer};
use netloom_proto::openflow::text::{self, Names};
use netloom_proto::openflow::{Match, OfError, Version};

/// One pair: octets and what is printed of them, or the error that they are.
struct Pair {
    table: u8,
    octets: Vec<u8>,
    printed: Result<String, String>,
}

/// The pairs of a test: comments are what is expected of the octets below them.
fn pairs(data: &str) -> Vec<Pair> {
    let without_comments: String = data
        .split('\n')
        .map(|line| match line.split_once("dnl") {
            Some((before, _)) => before.to_string(),
            None => format!("{line}\n"),
        })
        .collect();
    let mut printed = None;
    let mut pairs = Vec::new();
    for line in without_comments.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            if let Some(actions) = comment.strip_prefix("actions=") {
                printed = Some(Ok(actions.to_string()));
            } else if comment.starts_with("bad ") {
                printed = comment.rsplit(' ').next().map(|error| Err(error.to_string()));
            }
        } else if !line.starts_with(['#', '&']) && !line.trim().is_empty() {
            // A single digit before the octets is the table of the flow.
            let (table, line) = match line.split_once(',') {
                Some((table, line)) if table.len() == 1 => (table.parse().unwrap_or(255), line),
                _ => (255, line),
            };
            let digits: Vec<u32> = line.chars().filter_map(|c| c.to_digit(16)).collect();
            let octets = digits
                .chunks(2)
                .map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | *digit as u8))
                .collect();
            pairs.extend(printed.take().map(|printed| Pair { table, octets, printed }));
        }
    }
    pairs
}

fn decode(octets: &[u8], context: &Context<'_>, instructions: bool) -> Result<Vec<Action>, OfError> {
    let mut reader = Reader::new(octets);
    if instructions {
        take_instructions(&mut reader, octets.len(), context)
    } else {
        take_actions(&mut reader, octets.len(), context)
    }
}

#[test]
fn octets_are_printed_as_open_vswitch_prints_them_and_text_becomes_them_again() {
    let Some(file) = suite::file("ofp-actions.at") else { return };
    let (mut agree, mut different) = (0, Vec::new());
    for case in suite::cases(&file) {
        let Some((_, command)) = case.body.split_once("parse-") else { continue };
        let words = suite::shell_words(command, 2);
        let [kind, version] = words.as_slice() else { continue };
        let Some(version) = Version::from_name(version) else { continue };
        let instructions = kind == "instructions";
        let context = Context::new(version);
        for data in suite::macros(case.body, "AT_DATA") {
            for pair in pairs(&data[1]) {
                let limits = Limits { table: pair.table, ..Limits::NONE };
                let decoded = decode(&pair.octets, &context, instructions);
                let decoded = decoded.and_then(|actions| match check(&actions, &Match::any(), limits) {
                    Err(error @ OfError::OFPBIC_BAD_TABLE_ID) => Err(error),
                    _ => Ok(actions),
                });
                let ours = decoded.as_ref().map(|actions| text::print_actions(actions, &Names::new()));
                let ours = ours.map_err(ToString::to_string);
                if ours != pair.printed {
                    different.push(format!(
                        "{}: {:02x?}\n  OVS  {:?}\n  here {ours:?}",
                        case.name, pair.octets, pair.printed
                    ));
                    continue;
                }
                agree += 1;
                // The text is read back, becomes octets, and those are printed the same.
                let Ok(printed) = pair.printed else { continue };
                let again = text::parse_instructions(&printed, &Names::new()).map(|(actions, _)| {
                    let mut out = Writer::new();
                    let put = if instructions { put_instructions } else { put_actions };
                    put(&actions, &context, &mut out).unwrap();
                    decode(&out.finish(), &context, instructions)
                        .map(|again| text::print_actions(&again, &Names::new()))
                });
                // What adds nothing to the action set is read, and not told again.
                let printed = if printed == "write_actions(drop)" { "drop".to_string() } else { printed };
                if !matches!(&again, Ok(Ok(again)) if *again == printed) {
                    different.push(format!("{}: {printed}\n  again {again:?}", case.name));
                }
            }
        }
    }
    println!("octets of actions: {agree} printed alike, {} different", different.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(agree > 150, "only {agree} were found");
}
