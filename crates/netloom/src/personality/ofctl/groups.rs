//! Groups, meters, and changes of several kinds that happen at once.

use super::super::client::Done;
use super::compare::read_text;
use super::flows::{read, read_file};
use super::options::protocols_of;
use super::tool::{Tool, Written};
use netloom_proto::openflow::message::{
    ALL_GROUPS, ALL_METERS, GroupCommand, GroupMod, Message, MeterCommand, MeterConfig, MeterFlags, MeterMod,
    PacketOut, Request,
};
use netloom_proto::openflow::text::{
    Change, Protocols, parse_bundle, parse_group, parse_meter, parse_meter_number,
};

fn switch(tool: &Tool) -> String {
    tool.options.word(1).unwrap_or_default().to_owned()
}

fn change_file(tool: &mut Tool, file: &str, command: Option<GroupCommand>) -> Done {
    let name = switch(tool);
    let names = tool.accepted(&name)?;
    let (groups, usable) = read_file(file, |text| parse_group(text, command, &names))?;
    send(tool, &name, groups, usable)
}

fn change(tool: &mut Tool, command: GroupCommand) -> Done {
    if tool.options.word(2) == Some("-") {
        return change_file(tool, "-", (command != GroupCommand::Add).then_some(command));
    }
    let name = switch(tool);
    let names = tool.accepted(&name)?;
    let text = tool.options.word(2).unwrap_or_default().to_owned();
    let (group, usable) = read(parse_group(&text, Some(command), &names))?;
    send(tool, &name, vec![group], usable)
}

/// The forms in which groups can be sent: buckets open the way to all versions in `ovs-ofctl`, whatever was said before
/// them; what a version cannot say is left out.
pub(super) fn forms_of(groups: &[GroupMod], usable: Protocols) -> Protocols {
    if groups.iter().any(|group| !group.buckets.is_empty()) { Protocols::ANY } else { usable }
}

fn send(tool: &mut Tool, name: &str, groups: Vec<GroupMod>, usable: Protocols) -> Done {
    let bundle = tool.options.bundle;
    let usable = forms_of(&groups, usable);
    let usable = if bundle { usable & Protocols::V13_UP } else { usable };
    let (mut connection, _) = tool.open_for_flows(name, usable)?;
    let requests: Done<Vec<Written>> =
        groups.into_iter().map(|group| tool.write(&connection, Message::GroupMod(group))).collect();
    if bundle {
        tool.send_bundle(name, &mut connection, &requests?)
    } else {
        tool.send_quietly(name, &mut connection, &requests?)
    }
}

pub(super) fn add(tool: &mut Tool) -> Done {
    change(tool, GroupCommand::Add)
}

pub(super) fn add_file(tool: &mut Tool) -> Done {
    let file = tool.options.word(2).unwrap_or_default().to_owned();
    change_file(tool, &file, None)
}

pub(super) fn modify(tool: &mut Tool) -> Done {
    change(tool, if tool.options.may_create { GroupCommand::AddOrModify } else { GroupCommand::Modify })
}

pub(super) fn delete(tool: &mut Tool) -> Done {
    change(tool, GroupCommand::Delete)
}

pub(super) fn insert_buckets(tool: &mut Tool) -> Done {
    change(tool, GroupCommand::InsertBuckets)
}

pub(super) fn remove_buckets(tool: &mut Tool) -> Done {
    change(tool, GroupCommand::RemoveBuckets)
}

pub(super) fn statistics(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let names = tool.accepted(&name)?;
    let text = tool.options.word(2).unwrap_or_default().to_owned();
    let (group, _) = read(parse_group(&text, Some(GroupCommand::Delete), &names))?;
    let mut connection = tool.open(&name)?;
    tool.dump(&name, &mut connection, Request::Groups(group.group))
}

pub(super) fn descriptions(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    let number = tool.options.word(2).and_then(|text| text.parse::<u32>().ok());
    let group = number.filter(|number| *number < 0xffff_ff00).unwrap_or(ALL_GROUPS);
    tool.dump(&name, &mut connection, Request::GroupDescriptions(group))
}

pub(super) fn features(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let mut connection = tool.open(&name)?;
    tool.dump(&name, &mut connection, Request::GroupFeatures)
}

fn change_meter(tool: &mut Tool, command: MeterCommand) -> Done {
    let name = switch(tool);
    let change = match tool.options.word(2) {
        Some(text) => read(parse_meter(text, command))?,
        None => MeterMod {
            command,
            meter: MeterConfig { meter: ALL_METERS, flags: MeterFlags::NONE, bands: Vec::new() },
        },
    };
    let (mut connection, _) = tool.open_for_flows(&name, Protocols::V13_UP)?;
    tool.send_one(&name, &mut connection, Message::MeterMod(change))
}

pub(super) fn add_meter(tool: &mut Tool) -> Done {
    change_meter(tool, MeterCommand::Add)
}

pub(super) fn modify_meter(tool: &mut Tool) -> Done {
    change_meter(tool, MeterCommand::Modify)
}

pub(super) fn delete_meters(tool: &mut Tool) -> Done {
    change_meter(tool, MeterCommand::Delete)
}

fn ask_meters(tool: &mut Tool, request: fn(u32) -> Request) -> Done {
    let name = switch(tool);
    let meter = match tool.options.word(2) {
        Some(text) => read(parse_meter_number(text))?,
        None => ALL_METERS,
    };
    let (mut connection, _) = tool.open_for_flows(&name, Protocols::V13_UP)?;
    tool.dump(&name, &mut connection, request(meter))
}

pub(super) fn meters(tool: &mut Tool) -> Done {
    ask_meters(tool, Request::MeterConfigs)
}

pub(super) fn meter_statistics(tool: &mut Tool) -> Done {
    ask_meters(tool, Request::Meters)
}

pub(super) fn meter_features(tool: &mut Tool) -> Done {
    ask_meters(tool, |_| Request::MeterFeatures)
}

/// A file of flows, groups and packets, all at once or nothing.
pub(super) fn bundle(tool: &mut Tool) -> Done {
    let name = switch(tool);
    let file = tool.options.word(2).unwrap_or_default().to_owned();
    let names = tool.accepted(&name)?;
    let text = read_text(&file)?;
    let (changes, usable) =
        parse_bundle(&text, &names).map_err(|error| format!("{file}:{}: {}", error.line, error.ovs()))?;
    let before = tool.options.versions;
    tool.options.allow_bundles();
    if tool.options.versions != before {
        tool.options.protocols = protocols_of(tool.options.versions);
    }
    let (mut connection, form) = tool.open_for_flows(&name, usable & Protocols::V13_UP)?;
    let mut requests = Vec::new();
    for change in changes {
        requests.push(match change {
            Change::Flow(mut flow) => {
                flow.matching.normalise();
                tool.write_flow(&connection, form, flow)?
            }
            Change::Group(group) => tool.write(&connection, Message::GroupMod(group))?,
            Change::PacketOut(packet) => {
                let packet = PacketOut { buffer: None, ..packet };
                tool.write(&connection, Message::PacketOut(packet))?
            }
        });
    }
    tool.send_bundle(&name, &mut connection, &requests)
}
