//! How a switch is set: ports, tables, fragments, options of tunnels; and connections that it is to forget.

use super::super::client::{Done, Stop, complain, say, words};
use super::flows::read;
use super::options::{names_of, protocols_of};
use super::tool::Tool;
use netloom_proto::openflow::message::{
    ConntrackFlush, ConntrackTuple, EvictionFlags, FragmentHandling, Kind, Message, MultipartRequest,
    PortFeatures, PortMod, Reply, Request, SwitchConfig, TableConfig, TableDescription, TableFeatures,
    TableFeaturesCommand, TableMod, TlvMap, TlvTableCommand, TlvTableMod, Vacancy, Versions, decode_with,
};
use netloom_proto::openflow::text::{
    Names, Protocols, TableSetting, parse_port_setting, parse_table_setting, print_message,
};
use netloom_proto::openflow::{OfPort, Version};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::connection::Connection;

const ALL_TABLES: u8 = 255;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

fn switch(tool: &Tool) -> String {
    tool.options.word(1).unwrap_or_default().to_owned()
}

pub(super) fn port(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let wanted = tool.options.word(2).unwrap_or_default().to_owned();
    let mut connection = tool.open(&name)?;
    let number = wanted.parse::<u32>().ok().map(|number| OfPort(number as u16));
    let number = number.filter(|number| *number != OfPort::NONE);
    let ports = tool.ports(&mut connection)?;
    let found = ports.into_iter().find(|port| match number {
        Some(number) => port.number == number,
        None => port.name == wanted,
    });
    let port = found.ok_or_else(|| format!("{name}: couldn't find port `{wanted}'"))?;
    let setting = tool.options.word(3).unwrap_or_default().to_owned();
    let (config, mask) = read(parse_port_setting(&setting))?;
    let mut connection = tool.open(&name)?;
    let change =
        PortMod { number: port.number, address: port.address, config, mask, advertise: PortFeatures::NONE };
    tool.send_one(&name, &mut connection, Message::PortMod(change))
}

pub(super) fn config(tool: &mut Tool, connection: &mut Connection) -> Done<SwitchConfig> {
    let reply = tool.ask(connection, &Message::GetConfigRequest)?;
    match decode_with(connection.context(), &reply) {
        Ok((_, Message::GetConfigReply(config))) => Ok(config),
        _ => Err(format!("{}: bad reply to config request", connection.name).into()),
    }
}

const FRAGMENTS: [(&str, FragmentHandling); 4] = [
    ("normal", FragmentHandling::Normal),
    ("drop", FragmentHandling::Drop),
    ("reassemble", FragmentHandling::Reassemble),
    ("nx-match", FragmentHandling::MatchFirst),
];

pub(super) fn get_fragments(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    let config = config(tool, &mut connection)?;
    let word = FRAGMENTS.iter().find(|(_, handling)| *handling == config.fragments);
    say(&format!("{}\n", word.map_or("", |(word, _)| word)));
    Ok(())
}

pub(super) fn set_fragments(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mode = tool.options.word(2).unwrap_or_default().to_owned();
    let known = FRAGMENTS.iter().find(|(word, _)| word.eq_ignore_ascii_case(&mode));
    let (word, wanted) = known.ok_or_else(|| format!("{mode}: unknown fragment handling mode"))?;
    let mut connection = tool.open(&name)?;
    let mut now = config(tool, &mut connection)?;
    if now.fragments == *wanted {
        return Ok(());
    }
    now.fragments = *wanted;
    tool.send_one(&name, &mut connection, Message::SetConfig(now))?;
    if config(tool, &mut connection)?.fragments == *wanted {
        return Ok(());
    }
    Err(format!(
        "{name}: setting fragment handling mode failed (this switch probably doesn't support mode \"{word}\")"
    )
    .into())
}

pub(super) fn table(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let names = tool.accepted(&name)?;
    let (which, how) = (tool.options.word(2).unwrap_or_default(), tool.options.word(3).unwrap_or_default());
    let (table, setting) = read(parse_table_setting(which, how, &names))?;
    let bits = setting.versions().iter().fold(0, |bits, version| bits | 1 << version.wire());
    let usable = Versions::from_bits(bits);
    let allowed = tool.options.versions;
    if allowed.and(usable).bits() == 0 {
        let text = format!("table_mod '{how}' requires one of the OpenFlow versions {}", names_of(usable));
        return Err(text.into());
    }
    tool.options.versions = allowed.and(usable);
    tool.options.protocols &= protocols_of(tool.options.versions);
    let mut connection = tool.open(&name)?;
    if let TableSetting::Name(new) = &setting {
        return rename(tool, &mut connection, table, new);
    }
    if connection.version < Version::V14 {
        let config = match setting {
            TableSetting::MissContinues => TableConfig::MISS_CONTINUE,
            TableSetting::MissIsDropped => TableConfig::MISS_DROP,
            _ => TableConfig::NONE,
        };
        let change = TableMod { table, config, eviction: None, vacancy: None };
        return tool.send_one(&name, &mut connection, Message::TableMod(change));
    }
    // What nobody wants to change stays as it is, which the message cannot say but by repeating it.
    let tables = if table == ALL_TABLES { 0..=253 } else { table..=table };
    for table in tables {
        let replies = tool.collect(&mut connection, Request::TableDescriptions)?;
        let descriptions = replies.into_iter().filter_map(|reply| match reply {
            Reply::TableDescriptions(tables) => Some(tables),
            _ => None,
        });
        let now = descriptions.flatten().find(|description| description.table == table);
        let change = change_of(table, &setting, now);
        tool.send_one(&name, &mut connection, Message::TableMod(change))?;
    }
    Ok(())
}

fn change_of(table: u8, setting: &TableSetting, now: Option<TableDescription>) -> TableMod {
    let now =
        now.unwrap_or(TableDescription { table, config: TableConfig::NONE, eviction: None, vacancy: None });
    let (events, evicts) = (TableConfig::VACANCY_EVENTS, TableConfig::EVICTION);
    let kept = |bit: TableConfig| now.config.and(bit);
    let vacancy = now.vacancy.map(|vacancy| Vacancy { now: 0, ..vacancy });
    let (config, eviction, vacancy): (_, Option<EvictionFlags>, _) = match setting {
        TableSetting::Evict => (evicts.or(kept(events)), None, vacancy),
        TableSetting::Vacancy { down, up } => {
            (events.or(kept(evicts)), now.eviction, Some(Vacancy { down: *down, up: *up, now: 0 }))
        }
        TableSetting::NoVacancy => (kept(evicts), now.eviction, None),
        _ => (kept(events), None, vacancy),
    };
    let vacancy = vacancy.filter(|_| config.contains(events));
    TableMod { table, config, eviction, vacancy }
}

/// Gives a table another name. Before version 1.5 that is said together with everything else about all tables.
fn rename(tool: &mut Tool, connection: &mut Connection, table: u8, name: &str) -> Done {
    let replies = tool.collect(connection, Request::TableFeatures(Vec::new()))?;
    let all = replies.into_iter().filter_map(|reply| match reply {
        Reply::TableFeatures(tables) => Some(tables),
        _ => None,
    });
    let mut all: Vec<TableFeatures> = all.flatten().collect();
    let found = all.iter_mut().find(|features| features.table == table);
    let features = found.ok_or_else(|| format!("switch does not have table {table}"))?;
    features.name = name.to_owned();
    if connection.version >= Version::V15 {
        features.command = TableFeaturesCommand::Modify;
        features.properties.clear();
        all.retain(|features| features.table == table);
    }
    let detail = tool.options.detail + 1;
    let request = Message::MultipartRequest(MultipartRequest::from(Request::TableFeatures(all)));
    let request = tool.write(connection, request)?;
    let failed = |error: &std::io::Error| Stop::from(format!("talking to the switch ({})", words(error)));
    connection.send(&request.octets).map_err(|error| failed(&error))?;
    loop {
        let octets = connection.answer(request.number).map_err(|error| failed(&error))?;
        if Kind::of(&octets) == Ok(Kind::Error) {
            complain(&print_message(&octets, &Names::new(), detail));
            return Err(Stop::silent(1));
        }
        if octets.get(11).is_none_or(|flags| flags & 1 == 0) {
            return Ok(());
        }
    }
}

pub(super) fn flush_zone(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let text = tool.options.word(2).unwrap_or_default();
    let zone = text.parse::<u16>().map_err(|_| format!("invalid zone_id \"{text}\""))?;
    let mut connection = tool.open(&name)?;
    tool.send_one(&name, &mut connection, Message::ConntrackFlushZone(zone))
}

pub(super) fn flush(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut arguments = tool.options.words.get(2..).unwrap_or_default().to_vec();
    let mut flush = ConntrackFlush {
        protocol: 0,
        original: ConntrackTuple::default(),
        reply: ConntrackTuple::default(),
        zone: None,
    };
    if let Some(zone) = arguments.first().and_then(|word| word.strip_prefix("zone=")) {
        let digits: String = zone.chars().take_while(char::is_ascii_digit).collect();
        flush.zone = Some(digits.parse().map_err(|_| "Failed to parse zone")?);
        arguments.remove(0);
    }
    let mut family = None;
    for (at, text) in arguments.iter().take(2).enumerate().filter(|(_, text)| !text.is_empty()) {
        let tuple = if at == 0 { &mut flush.original } else { &mut flush.reply };
        read_tuple(text, tuple, &mut flush.protocol, &mut family)
            .map_err(|error| format!("Failed to parse ct-tuple: {error}"))?;
    }
    let mut connection = tool.open(&name)?;
    tool.send_one(&name, &mut connection, Message::ConntrackFlush(flush))
}

/// Reads one direction of a connection: `ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80`. Both are of one family (`true` is
/// IPv4).
fn read_tuple(
    text: &str,
    tuple: &mut ConntrackTuple,
    protocol: &mut u8,
    family: &mut Option<bool>,
) -> Result<(), String> {
    for term in text.split([',', ' ', '\t']).filter(|term| !term.is_empty()) {
        let (key, value) = term.split_once('=').unwrap_or((term, ""));
        if value.is_empty() {
            return Err(format!("field {key} missing value"));
        }
        let wrong = || format!("failed to parse field {key}");
        let small = || value.parse::<u8>().map_err(|_| wrong());
        let number = || value.parse::<u16>().map_err(|_| wrong());
        match key {
            "ct_nw_src" | "ct_nw_dst" | "ct_ipv6_src" | "ct_ipv6_dst" => {
                let ipv4 = key.starts_with("ct_nw");
                if family.is_some_and(|family| family != ipv4) {
                    return Err(format!("the L3 protocol does not match {value}"));
                }
                let slot = if key.ends_with("src") { &mut tuple.source } else { &mut tuple.destination };
                if slot.is_some() {
                    return Err(format!("{key} is set multiple times"));
                }
                let address = if ipv4 {
                    value.parse::<Ipv4Addr>().map(|address| address.to_ipv6_mapped()).map_err(|_| wrong())?
                } else {
                    value.parse::<Ipv6Addr>().map_err(|_| wrong())?
                };
                (*slot, *family) = (Some(address), Some(ipv4));
            }
            "ct_nw_proto" => *protocol = small()?,
            "ct_tp_src" => tuple.source_port = Some(number()?),
            "ct_tp_dst" => tuple.destination_port = Some(number()?),
            "icmp_type" | "icmp_code" | "icmp_id" if !matches!(*protocol, ICMP | ICMP6) => {
                return Err("invalid L4 fields".to_owned());
            }
            "icmp_type" => tuple.icmp_kind = Some(small()?),
            "icmp_code" => tuple.icmp_code = Some(small()?),
            "icmp_id" => tuple.icmp_identifier = Some(number()?),
            _ => return Err(format!("invalid conntrack tuple field: {key}")),
        }
    }
    if *protocol == 0 && (tuple.source_port.is_some() || tuple.destination_port.is_some()) {
        return Err("port is set without protocol".to_owned());
    }
    Ok(())
}

/// Reads `{class=0xffff,type=0,len=4}->tun_metadata0`, one or more behind commas.
fn read_options(text: &str) -> Option<Vec<TlvMap>> {
    let number = |text: &str| match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    };
    let mut maps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.strip_prefix(',').unwrap_or(rest);
        let (inside, behind) = rest.strip_prefix("{class=")?.split_once("}->tun_metadata")?;
        let (class, inside) = inside.split_once(",type=")?;
        let (kind, length) = inside.split_once(",len=")?;
        let end = behind.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(behind.len());
        let (field, behind) = behind.split_at(end);
        maps.push(TlvMap {
            class: number(class)? as u16,
            kind: number(kind)? as u8,
            length: number(length)? as u8,
            field: number(field)? as u16,
        });
        rest = behind;
    }
    Some(maps)
}

fn change_options(tool: &mut Tool, command: TlvTableCommand) -> Done {
    let name = switch(tool);
    let maps = read_options(tool.options.word(2).unwrap_or_default()).ok_or("invalid tlv mapping")?;
    let (mut connection, _) = tool.open_for_flows(&name, Protocols::EXTENSIBLE)?;
    tool.send_one(&name, &mut connection, Message::TlvTableMod(TlvTableMod { command, maps }))
}

pub(super) fn add_options(tool: &mut Tool) -> Done {
    change_options(tool, TlvTableCommand::Add)
}

pub(super) fn delete_options(tool: &mut Tool) -> Done {
    let all = tool.options.word(2).is_none();
    change_options(tool, if all { TlvTableCommand::Clear } else { TlvTableCommand::Delete })
}

pub(super) fn options(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    tool.dump_message(&name, &mut connection, &Message::TlvTableRequest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_tunnels_are_read() {
        let maps = read_options(
            "{class=0xffff,type=0,len=4}->tun_metadata0,{class=1,type=0x80,len=8}->tun_metadata1",
        );
        let maps = maps.unwrap();
        assert_eq!((maps[0].class, maps[0].kind, maps[0].length, maps[0].field), (0xffff, 0, 4, 0));
        assert_eq!((maps[1].class, maps[1].kind, maps[1].length, maps[1].field), (1, 0x80, 8, 1));
        assert_eq!(read_options("{class=1,type=2}->tun_metadata0"), None);
    }

    #[test]
    fn connections_are_read() {
        let (mut tuple, mut protocol, mut family) = (ConntrackTuple::default(), 0, None);
        let mut read = |text| read_tuple(text, &mut tuple, &mut protocol, &mut family);
        assert_eq!(read("ct_nw_src=10.1.1.1,ct_nw_proto=17,ct_tp_src=1"), Ok(()));
        assert_eq!(read("ct_ipv6_dst=::1"), Err("the L3 protocol does not match ::1".to_owned()));
        assert_eq!(read("icmp_type=1"), Err("invalid L4 fields".to_owned()));
        assert_eq!(tuple.source_port, Some(1));
    }
}
