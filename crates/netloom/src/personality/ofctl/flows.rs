//! Flows: adding, changing, taking away, dumping, and packets that are sent.

use super::super::client::{Done, Stop, say, words};
use super::compare::read_text;
use super::options::Criterion;
use super::show::port_of;
use super::tool::{Stream, Tool, dialect_of, dump as octets_shown};
use netloom_control::unixctl::vlog::Level;
use netloom_proto::openflow::message::{
    FlowCommand, FlowMod, FlowSelection, FlowStatistics, Message, PacketOut, Reply, Request, decode_with,
};
use netloom_proto::openflow::text::{
    DEFAULT_PRIORITY, Line, Names, Parsed, Protocols, lines, parse_actions, parse_flow, parse_flow_selection,
    parse_packet_out, print_flow, print_match, print_message,
};
use std::cmp::Ordering;
use std::io;

/// Octets of an Ethernet header, the least that a packet has.
const LEAST: usize = 14;

/// The wording of `ovs-ofctl` for what is wrong with a text.
pub(super) fn read<T>(parsed: Parsed<T>) -> Done<T> {
    parsed.map_err(|error| error.ovs().to_owned().into())
}

/// Reads a file in which each line is one thing; what is wrong is said with its line.
pub(super) fn read_file<T>(
    file: &str,
    one: impl Fn(&str) -> Parsed<(T, Protocols)> + Sync,
) -> Done<(Vec<T>, Protocols)>
where
    T: Send,
{
    let text = read_text(file)?;
    let lines: Vec<Line<'_>> = lines(&text).collect();
    let read = |lines: &[Line<'_>]| -> Result<(Vec<T>, Protocols), String> {
        let (mut all, mut usable) = (Vec::with_capacity(lines.len()), Protocols::ANY);
        for line in lines {
            let (thing, forms) =
                one(line.text).map_err(|error| format!("{file}:{}: {}", line.number, error.ovs()))?;
            usable &= forms;
            all.push(thing);
        }
        Ok((all, usable))
    };
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(READERS));
    if workers == 1 || lines.len() < MANY {
        return Ok(read(&lines)?);
    }
    let (mut all, mut usable) = (Vec::with_capacity(lines.len()), Protocols::ANY);
    let parts = std::thread::scope(|scope| {
        let parts = lines.chunks(lines.len().div_ceil(workers));
        let readers: Vec<_> = parts.map(|part| scope.spawn(|| read(part))).collect();
        readers.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    // The first line that is wrong is the one that is told.
    for part in parts {
        let (part, forms) = part.map_err(|_| "a thread that reads the file has failed")??;
        usable &= forms;
        all.extend(part);
    }
    Ok((all, usable))
}

/// Threads that read a file at most.
const READERS: usize = 8;
/// A file of so many lines is read by several.
const MANY: usize = 4096;

/// Takes out of a match what no packet can have together, and says so.
pub(super) fn normalise(tool: &Tool, flow: &mut FlowMod) {
    if flow.matching.is_normal() {
        return;
    }
    let before = flow.matching.clone();
    if flow.matching.normalise() {
        let before = print_match(&before, DEFAULT_PRIORITY, &Names::new());
        let after = print_match(&flow.matching, DEFAULT_PRIORITY, &Names::new());
        for text in [
            "normalization changed ofp_match, details:".to_owned(),
            format!(" pre: {before}"),
            format!("post: {after}"),
        ] {
            tool.log.write("ofp_match", Level::Information, &text);
        }
    }
}

fn change_file(tool: &mut Tool, file: &str, command: Option<FlowCommand>) -> Done {
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let names = tool.accepted(&name)?;
    let (flows, usable) = read_file(file, |text| parse_flow(text, command, &names))?;
    send(tool, &name, flows, usable)
}

fn change(tool: &mut Tool, command: FlowCommand) -> Done {
    if tool.options.word(2) == Some("-") {
        // A file of flows to be added may say otherwise on each line.
        return change_file(tool, "-", (command != FlowCommand::Add).then_some(command));
    }
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let names = tool.accepted(&name)?;
    let text = tool.options.word(2).unwrap_or_default().to_owned();
    let (flow, usable) = read(parse_flow(&text, Some(command), &names))?;
    send(tool, &name, vec![flow], usable)
}

fn send(tool: &mut Tool, name: &str, mut flows: Vec<FlowMod>, usable: Protocols) -> Done {
    flows.iter_mut().for_each(|flow| normalise(tool, flow));
    if tool.options.bundle {
        let (mut connection, form) = tool.open_for_flows(name, usable & Protocols::V13_UP)?;
        let requests: Done<Vec<_>> =
            flows.into_iter().map(|flow| tool.write_flow(&connection, form, flow)).collect();
        return tool.send_bundle(name, &mut connection, &requests?);
    }
    let (mut connection, form) = tool.open_for_flows(name, usable)?;
    let (mut dumped, mut stream) = (String::new(), Stream::default());
    for flow in flows {
        let request = tool.write_flow(&connection, form, flow)?;
        match tool.options.detail {
            0..=4 => {}
            5 => dumped.push_str(&octets_shown(&request.octets, true)),
            _ => {
                dumped.extend(request.octets.iter().map(|octet| format!("{octet:02x}")));
                dumped.push('\n');
            }
        }
        tool.stream(name, &mut connection, &mut stream, &request)?;
    }
    tool.end_stream(name, &mut connection, stream)?;
    say(&dumped);
    Ok(())
}

pub(super) fn add(tool: &mut Tool) -> Done {
    change(tool, FlowCommand::Add)
}

pub(super) fn add_file(tool: &mut Tool) -> Done {
    let file = tool.options.word(2).unwrap_or_default().to_owned();
    change_file(tool, &file, None)
}

pub(super) fn modify(tool: &mut Tool) -> Done {
    change(tool, if tool.options.strict { FlowCommand::ModifyStrict } else { FlowCommand::Modify })
}

pub(super) fn delete(tool: &mut Tool) -> Done {
    change(tool, if tool.options.strict { FlowCommand::DeleteStrict } else { FlowCommand::Delete })
}

/// Which flows the command line asks for, and in which forms they can be.
fn selection(tool: &mut Tool, name: &str) -> Done<(FlowSelection, Protocols)> {
    let text = tool.options.word(2).unwrap_or_default().to_owned();
    let names = if text.is_empty() { Names::new() } else { tool.accepted(name)? };
    read(parse_flow_selection(&text, &names))
}

pub(super) fn dump(tool: &mut Tool) -> Done {
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let (mut selection, usable) = selection(tool, &name)?;
    let mut connection = tool.open(&name)?;
    let form = tool.agree_for_dump(&mut connection, usable)?;
    selection.dialect = dialect_of(form);
    if tool.options.sort.is_empty() && !tool.options.shows_names() && tool.options.statistics {
        return tool.dump(&name, &mut connection, Request::Flows(selection));
    }
    let mut flows = collect(tool, &mut connection, selection)?;
    let criteria = tool.options.sort.clone();
    flows.sort_by(|a, b| compare(&criteria, a, b));
    let names = tool.shown(&name)?;
    let mut text = String::new();
    for flow in &flows {
        text.push_str(&format!(" {}\n", print_flow(flow, tool.options.statistics, &names)));
    }
    say(&text);
    Ok(())
}

/// All flows that are asked for.
pub(super) fn collect(
    tool: &mut Tool,
    connection: &mut super::connection::Connection,
    selection: FlowSelection,
) -> Done<Vec<FlowStatistics>> {
    let mut flows = Vec::new();
    tool.parts(connection, Request::Flows(selection), |_, connection, octets| {
        match decode_with(connection.context(), octets) {
            Ok((_, Message::MultipartReply(part))) => {
                if let Reply::Flows(_, part) = part.reply {
                    flows.extend(part);
                }
                Ok(())
            }
            Ok(_) => {
                let text = print_message(octets, &Names::new(), 1);
                Err(format!("dump flows: {}", text.trim_end()).into())
            }
            Err(error) => Err(format!("decode error: {}", error.name()).into()),
        }
    })?;
    Ok(flows)
}

/// Flows that say nothing about a field come last, whichever way the others are sorted.
fn compare(criteria: &[Criterion], a: &FlowStatistics, b: &FlowStatistics) -> Ordering {
    for Criterion { field, descending } in criteria {
        let order = match field {
            None => a.state.priority.cmp(&b.state.priority),
            Some(field) => {
                let said = |flow: &FlowStatistics| {
                    let there = flow.matching.meets(field.get().prerequisite);
                    flow.matching.get(*field).filter(|_| there).map(|(value, _)| value)
                };
                match (said(a), said(b)) {
                    (Some(a), Some(b)) => a.octets().cmp(b.octets()),
                    (Some(_), None) => return Ordering::Less,
                    (None, Some(_)) => return Ordering::Greater,
                    (None, None) => Ordering::Equal,
                }
            }
        };
        if order != Ordering::Equal {
            return if *descending { order.reverse() } else { order };
        }
    }
    Ordering::Equal
}

pub(super) fn aggregate(tool: &mut Tool) -> Done {
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let (mut selection, usable) = selection(tool, &name)?;
    let mut connection = tool.open(&name)?;
    let form = tool.agree_for_dump(&mut connection, usable)?;
    selection.dialect = dialect_of(form);
    tool.dump(&name, &mut connection, Request::Aggregate(selection))
}

/// The octets of a packet in hexadecimal.
pub(super) fn packet_octets(text: &str) -> Done<Vec<u8>> {
    let (octets, all) = hexadecimal(text);
    if !all {
        return Err("Trailing garbage in packet data".into());
    }
    if octets.len() < LEAST {
        return Err("Packet data too short for Ethernet".into());
    }
    Ok(octets)
}

/// Pairs of digits with blanks and dots between them, and whether all of the text was read.
pub(super) fn hexadecimal(text: &str) -> (Vec<u8>, bool) {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        let blanks =
            rest.iter().take_while(|octet| matches!(octet, b' ' | b'.' | b'\t' | b'\r' | b'\n')).count();
        rest = rest.get(blanks..).unwrap_or_default();
        let digit = |at: usize| rest.get(at).and_then(|octet| (*octet as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return (octets, rest.is_empty());
        };
        octets.push((high << 4 | low) as u8);
        rest = rest.get(2..).unwrap_or_default();
    }
}

pub(super) fn packet_out(tool: &mut Tool) -> Done {
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let names = tool.accepted(&name)?;
    let all = tool.options.words.clone();
    if let [_, _, port, actions, packets @ ..] = all.as_slice()
        && !packets.is_empty()
    {
        let (actions, usable) = read(parse_actions(actions, &names))?;
        let port = port_of(tool, &name, port)?;
        let (mut connection, _) = tool.open_for_flows(&name, usable)?;
        for packet in packets {
            let packet = PacketOut::new(port, actions.clone(), packet_octets(packet)?);
            tool.send_one(&name, &mut connection, Message::PacketOut(packet))?;
        }
        return Ok(());
    }
    let [_, _, text] = all.as_slice() else {
        return Err(Stop::from(format!("Too many arguments ({})", all.len())));
    };
    let (packet, usable) = read(parse_packet_out(text, &names))?;
    let (mut connection, _) = tool.open_for_flows(&name, usable)?;
    tool.send_one(&name, &mut connection, Message::PacketOut(packet))
}

/// Reads all of a file, or of standard input.
pub(super) fn octets_of(file: &str) -> Done<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        if file != "-" {
            return std::fs::read(file);
        }
        let mut octets = Vec::new();
        io::Read::read_to_end(&mut io::stdin(), &mut octets)?;
        Ok(octets)
    };
    read().map_err(|error| format!("{file}: open ({})", words(&error)).into())
}
