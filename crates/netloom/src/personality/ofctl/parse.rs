//! Commands that need no switch: messages, flows, groups and actions as text and as octets. Open vSwitch's own tests of its
//! codec use them.

use super::super::client::{Done, Stop, say};
use super::compare::read_text;
use super::fit::fit;
use super::flows::{hexadecimal, normalise, octets_of, read, read_file};
use super::groups::forms_of;
use super::options::versions_of;
use super::show::lenient;
use super::tool::{Tool, dialect_of, dump, first_of};
use netloom_proto::openflow::action::{
    Context as ActionContext, Limits, check, put_actions, put_instructions, take_actions, take_instructions,
};
use netloom_proto::openflow::codec::{Reader, Writer};
use netloom_proto::openflow::message::{
    Context, Dialect, ErrorMessage, FlowCommand, FlowMod, GroupCommand, HEADER_LENGTH, Header, Hello,
    Message, Versions, encode, encode_with,
};
use netloom_proto::openflow::text::{
    Names, Protocols, lines, parse_flow, parse_group, print_actions, print_frame, print_message,
};
use netloom_proto::openflow::{Match, OfError, Version};

/// Prints messages of a file, one behind the other.
pub(super) fn messages(tool: &mut Tool) -> Done {
    let file = tool.options.word(1).unwrap_or_default().to_owned();
    let octets = octets_of(&file)?;
    let mut rest = octets.as_slice();
    while !rest.is_empty() {
        let early = || Stop::from(format!("{file}: unexpected end of file mid-message"));
        let header = Header::parse(rest).ok_or_else(early)?;
        let length = usize::from(header.length);
        if length < HEADER_LENGTH {
            return Err(format!("{file}: {length}-byte message is too short for OpenFlow").into());
        }
        let (message, behind) = rest.split_at_checked(length).ok_or_else(early)?;
        say(&print_message(message, &Names::new(), tool.options.detail + 2));
        rest = behind;
    }
    Ok(())
}

/// Prints the message of some octets in hexadecimal.
pub(super) fn message(tool: &mut Tool) -> Done {
    let detail = tool.options.word(2).map_or(2, lenient) as u8;
    let text = tool.options.word(1).unwrap_or_default().to_owned();
    let octets = if text == "-" && tool.options.raw {
        octets_of("-")?
    } else {
        let text =
            if text == "-" { read_text("-")?.lines().next().unwrap_or_default().to_owned() } else { text };
        let (octets, all) = hexadecimal(&text);
        if !all {
            return Err("trailing garbage following hex bytes".into());
        }
        octets
    };
    say(&print_message(&octets, &Names::new(), detail));
    Ok(())
}

fn no_form(usable: Protocols, allowed: Protocols) -> Done<Protocols> {
    say(&format!("usable protocols: {usable}\n"));
    if (usable & allowed).is_empty() {
        Err("no usable protocol".into())
    } else {
        Ok(first_of(usable & allowed))
    }
}

fn print_flows(tool: &mut Tool, flows: Vec<FlowMod>, usable: Protocols) -> Done {
    let form = no_form(usable, tool.options.protocols)?;
    say(&format!("chosen protocol: {form}\n"));
    let tables = !(form & (Protocols::PLAIN_TABLES | Protocols::NXM_TABLES)).is_empty();
    let version = versions_of(form).newest().unwrap_or(Version::V10);
    let context = Context { table_ids: tables, ..Context::new(version) };
    for mut flow in flows {
        // Who reads the message again finds it out again.
        let mut again = flow.clone();
        normalise(tool, &mut flow);
        if version == Version::V10 && dialect_of(form) == Dialect::Standard {
            normalise(tool, &mut again);
        }
        flow.dialect = dialect_of(form);
        let mut message = Message::FlowMod(flow);
        fit(version, &mut message)?;
        let octets = encode_with(context, tool.numbers.take(), &message);
        let octets = octets.map_err(|error| error.to_string())?;
        say(&print_message(&octets, &Names::new(), tool.options.detail));
    }
    Ok(())
}

pub(super) fn flow(tool: &mut Tool) -> Done {
    let text = tool.options.word(1).unwrap_or_default().to_owned();
    let (flow, usable) = read(parse_flow(&text, Some(FlowCommand::Add), &Names::new()))?;
    print_flows(tool, vec![flow], usable)
}

pub(super) fn flows(tool: &mut Tool) -> Done {
    let file = tool.options.word(1).unwrap_or_default().to_owned();
    let names = Names::new();
    let (flows, usable) = read_file(&file, |text| parse_flow(text, Some(FlowCommand::Add), &names))?;
    print_flows(tool, flows, usable)
}

pub(super) fn group(tool: &mut Tool) -> Done {
    let text = tool.options.word(1).unwrap_or_default().to_owned();
    let (group, usable) = read(parse_group(&text, Some(GroupCommand::Add), &Names::new()))?;
    let usable = forms_of(std::slice::from_ref(&group), usable);
    let form = no_form(usable, tool.options.protocols)?;
    let version = versions_of(form).newest().unwrap_or(Version::V10);
    say(&format!("chosen version: {version}\n"));
    let mut message = Message::GroupMod(group);
    fit(version, &mut message)?;
    let octets = encode(version, tool.numbers.take(), &message);
    say(&print_message(&octets.map_err(|error| error.to_string())?, &Names::new(), tool.options.detail));
    Ok(())
}

/// Where octets differ that should be the same.
fn differences(before: &[u8], after: &[u8]) -> String {
    let mut text = String::new();
    for at in 0..before.len().max(after.len()) {
        let shown =
            |octets: &[u8]| octets.get(at).map_or("(none)".to_owned(), |octet| format!("{octet:02x}"));
        if before.get(at) != after.get(at) {
            text.push_str(&format!("{at:2}: {} -> {}\n", shown(before), shown(after)));
        }
    }
    text
}

fn print_actions_of(tool: &mut Tool, instructions: bool) -> Done {
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let version = Version::from_name(&name).ok_or_else(|| format!("{name}: not a valid OpenFlow version"))?;
    let context = ActionContext::new(version);
    for line in lines(&read_text("-")?) {
        // The number of a table may stand before the octets.
        let (table, digits) = match line.text.split_once(',') {
            Some((table, digits)) => (lenient(table) as u8, digits),
            None => (0, line.text),
        };
        let (octets, all) = hexadecimal(digits);
        if !all {
            return Err("Trailing garbage in hex data".into());
        }
        let mut reader = Reader::new(&octets);
        let take = if instructions { take_instructions } else { take_actions };
        let read = take(&mut reader, octets.len(), &context).and_then(|actions| {
            if instructions {
                check(&actions, &Match::any(), Limits { table, ..Limits::NONE })?;
            }
            Ok(actions)
        });
        match read {
            Err(error) => {
                let what = if instructions { "instructions" } else { "actions" };
                say(&format!("bad {name} {what}: {}\n\n", error.name()));
            }
            Ok(actions) => {
                let mut writer = Writer::new();
                let put = if instructions { put_instructions } else { put_actions };
                put(&actions, &context, &mut writer).map_err(|error| error.name().to_owned())?;
                let text = print_actions(&actions, &Names::new());
                say(&format!("actions={text}\n{}\n", differences(&octets, &writer.finish())));
            }
        }
    }
    Ok(())
}

pub(super) fn actions(tool: &mut Tool) -> Done {
    print_actions_of(tool, false)
}

pub(super) fn instructions(tool: &mut Tool) -> Done {
    print_actions_of(tool, true)
}

fn error_of(tool: &Tool) -> Done<OfError> {
    let name = tool.options.word(1).unwrap_or_default();
    OfError::from_name(name).ok_or_else(|| format!("unknown error \"{name}\"").into())
}

/// How each version writes an error.
pub(super) fn error(tool: &mut Tool) -> Done {
    let error = error_of(tool)?;
    for version in Version::ALL {
        if let Some(encoding) = error.encoding(version) {
            let vendor = encoding.owner.experimenter().unwrap_or(0);
            let vendor = if vendor == 0 { "0".to_owned() } else { format!("{vendor:#x}") };
            // From version 1.2 on what an experimenter defines has no code.
            let code = match encoding.owner.experimenter() {
                Some(_) if version >= Version::V12 => -1,
                _ => i32::from(encoding.code),
            };
            say(&format!(
                "OpenFlow {}: vendor {vendor}, type {}, code {code}\n",
                version.number(),
                encoding.kind
            ));
        }
    }
    Ok(())
}

pub(super) fn error_reply(tool: &mut Tool) -> Done {
    let error = error_of(tool)?;
    let (request, all) = hexadecimal(tool.options.word(2).unwrap_or_default());
    if !all {
        return Err("Trailing garbage in hex data".into());
    }
    let Some(header) = Header::parse(&request) else { return Err("Request too short".into()) };
    if usize::from(header.length) != request.len() {
        return Err("Request size inconsistent".into());
    }
    let version = Version::from_wire(header.version).unwrap_or(Version::V10);
    let reply = Message::Error(ErrorMessage::reply(error, &request));
    let octets = encode(version, header.xid, &reply).map_err(|error| error.to_string())?;
    say(&dump(&octets, false));
    Ok(())
}

pub(super) fn hello(tool: &mut Tool) -> Done {
    let text = tool.options.word(1).unwrap_or_default();
    let bits = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).unwrap_or(0),
        None => lenient(text),
    };
    let hello = Message::Hello(Hello::of(Versions::from_bits(bits)));
    let octets = encode(Version::V10, tool.numbers.take(), &hello).map_err(|error| error.to_string())?;
    say(&dump(&octets, false));
    say(&print_message(&octets, &Names::new(), tool.options.detail));
    Ok(())
}

/// Shows where words and values are found: `actions=1,2` has no comma at its end, brackets hold together what is within.
pub(super) fn key_value(tool: &mut Tool) -> Done {
    for text in tool.options.words.iter().skip(1) {
        let pairs: Vec<String> = key_values(text)
            .into_iter()
            .map(|(key, value)| if value.is_empty() { key.to_owned() } else { format!("{key}={value}") })
            .collect();
        say(&format!("{}\n", pairs.join(", ")));
    }
    Ok(())
}

fn key_values(text: &str) -> Vec<(&str, &str)> {
    let between = |c: char| matches!(c, ',' | ' ' | '\t' | '\r' | '\n');
    let mut pairs = Vec::new();
    let mut rest = text.trim_start_matches(between);
    while !rest.is_empty() {
        let end = rest.find(|c: char| between(c) || matches!(c, ':' | '=' | '(')).unwrap_or(rest.len());
        let (key, behind) = rest.split_at(end);
        let (value, behind) = match behind.chars().next() {
            Some('(') => bracketed(behind),
            Some(':' | '=') => {
                let inside = behind.get(1..).unwrap_or_default();
                let depth = value_end(inside);
                inside.split_at(depth)
            }
            _ => ("", behind),
        };
        pairs.push((key, value));
        rest = behind.trim_start_matches(between);
    }
    pairs
}

/// What stands in the brackets at the front, and what follows them.
fn bracketed(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return (text.get(1..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    (text.get(1..).unwrap_or_default(), "")
}

/// Where a value behind a colon or an equals sign ends: at a comma or a blank that is in no brackets.
fn value_end(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' | ' ' | '\t' | '\r' | '\n' if depth <= 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// Prints the headers of the packet on standard input.
pub(super) fn packet(_: &mut Tool) -> Done {
    let octets = octets_of("-").map_err(|stop| {
        let why = stop.message.unwrap_or_default();
        Stop::from(format!("failed to read packet from stdin ({why})"))
    })?;
    say(&print_frame(&octets, 0));
    Ok(())
}
