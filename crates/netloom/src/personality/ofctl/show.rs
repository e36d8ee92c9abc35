//! What a switch is and what it counted: questions whose answers are printed as they come.

use super::super::client::{Done, say};
use super::connection::Connection;
use super::tool::Tool;
use netloom_proto::openflow::message::{ALL_QUEUES, Message, QueueSelection, Reply, Request, decode_with};
use netloom_proto::openflow::text::{Names, TableFeaturesPrinter, print_message};
use netloom_proto::openflow::{OfPort, Version};

fn switch(tool: &Tool) -> String {
    tool.options.word(1).unwrap_or_default().to_owned()
}

/// Asks a switch for statistics and prints them.
fn ask(tool: &mut Tool, request: Request) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    tool.dump(&name, &mut connection, request)
}

/// A port by its number, its reserved word, or its name.
pub(super) fn port_of(tool: &mut Tool, name: &str, text: &str) -> Done<OfPort> {
    if let Some(port) = Names::new().read_port(text) {
        return Ok(port);
    }
    let found = tool.accepted(name)?.read_port(text);
    found.ok_or_else(|| format!("{name}: unknown port `{text}'").into())
}

fn port_argument(tool: &mut Tool, name: &str) -> Done<OfPort> {
    match tool.options.word(2).map(str::to_owned) {
        Some(text) => port_of(tool, name, &text),
        None => Ok(OfPort::NONE),
    }
}

pub(super) fn show(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    let reply = tool.ask(&mut connection, &Message::FeaturesRequest)?;
    say(&print_message(&reply, &Names::new(), tool.options.detail + 1));
    let whole = connection.version < Version::V13 && reply.len() + 64 <= usize::from(u16::MAX);
    if !whole {
        tool.dump(&name, &mut connection, Request::PortDescriptions(OfPort::NONE))?;
    }
    let mut connection = tool.open(&name)?;
    tool.dump_message(&name, &mut connection, &Message::GetConfigRequest)
}

pub(super) fn description(tool: &mut Tool) -> Done {
    ask(tool, Request::Description)
}

pub(super) fn tables(tool: &mut Tool) -> Done {
    ask(tool, Request::Tables)
}

pub(super) fn table_descriptions(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    if connection.version < Version::V14 {
        return Err("dump-table-desc needs OpenFlow 1.4 or later ('-O OpenFlow14')".into());
    }
    tool.dump(&name, &mut connection, Request::TableDescriptions)
}

/// Tables are compared across messages, so that those that are alike are told in few words.
pub(super) fn table_features(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    if connection.version < Version::V13 {
        return Err("dump-table-features needs OpenFlow 1.3 or later ('-O OpenFlow13')".into());
    }
    let mut printer = TableFeaturesPrinter::default();
    let mut failed = None;
    tool.parts(
        &mut connection,
        Request::TableFeatures(Vec::new()),
        |_, connection, octets| match decode_with(connection.context(), octets) {
            Ok((_, Message::MultipartReply(part))) => {
                if let Reply::TableFeatures(tables) = part.reply {
                    tables.iter().for_each(|table| printer.table(connection.version, table));
                }
                Ok(())
            }
            Ok(_) => {
                failed = Some(octets.to_vec());
                Ok(())
            }
            Err(error) => Err(format!("decode error: {}", error.name()).into()),
        },
    )?;
    if let Some(octets) = failed {
        say(&print_message(&octets, &Names::new(), tool.options.detail + 1));
    }
    let text = printer.finish();
    say(&format!("{}\n", text.strip_prefix('\n').unwrap_or(&text)));
    Ok(())
}

pub(super) fn port_statistics(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    let port = port_argument(tool, &name)?;
    tool.dump(&name, &mut connection, Request::Ports(port))
}

pub(super) fn port_descriptions(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    let port = port_argument(tool, &name)?;
    tool.dump(&name, &mut connection, Request::PortDescriptions(port))
}

/// What `atoi` makes of a text: the number at its front.
pub(super) fn lenient(text: &str) -> u32 {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let number = digits.get(..end).unwrap_or_default().parse::<i64>().unwrap_or(0);
    (if negative { -number } else { number }) as u32
}

/// An argument that names one, unless it is empty or `all`.
fn one(argument: Option<&str>) -> Option<String> {
    argument.filter(|text| !text.is_empty() && !text.eq_ignore_ascii_case("all")).map(str::to_owned)
}

pub(super) fn queue_statistics(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    let port = match one(tool.options.word(2)) {
        Some(text) => port_of(tool, &name, &text)?,
        None => OfPort::NONE,
    };
    let queue = one(tool.options.word(3)).map_or(ALL_QUEUES, |text| lenient(&text));
    tool.dump(&name, &mut connection, Request::Queues(QueueSelection { port, queue }))
}

pub(super) fn queue_configs(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let text = tool.options.word(2).unwrap_or("any").to_owned();
    let port = port_of(tool, &name, &text)?;
    let queue = tool.options.word(3).filter(|text| !text.eq_ignore_ascii_case("all"));
    let queue = queue.map_or(ALL_QUEUES, lenient);
    let mut connection = tool.open(&name)?;
    if port != OfPort::NONE || connection.version != Version::V10 {
        return queue_config(tool, &name, &mut connection, QueueSelection { port, queue });
    }
    // Version 1.0 knows the queues of one port at a time.
    let mut other = tool.open(&name)?;
    for port in tool.ports(&mut connection)? {
        if !port.number.is_reserved() {
            queue_config(tool, &name, &mut other, QueueSelection { port: port.number, queue })?;
        }
    }
    Ok(())
}

fn queue_config(tool: &mut Tool, name: &str, connection: &mut Connection, queues: QueueSelection) -> Done {
    if connection.version >= Version::V14 {
        tool.dump(name, connection, Request::QueueDescriptions(queues))
    } else {
        tool.dump_message(name, connection, &Message::QueueConfigRequest(queues))
    }
}

pub(super) fn ipfix_bridge(tool: &mut Tool) -> Done {
    ask(tool, Request::IpfixBridge)
}

pub(super) fn ipfix_flow(tool: &mut Tool) -> Done {
    ask(tool, Request::IpfixFlow)
}
