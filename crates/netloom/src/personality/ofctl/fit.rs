//! What a version cannot say is left out of a message, where `ovs-ofctl` does so and the codec would refuse.

use super::super::client::Done;
use netloom_proto::openflow::message::{
    ALL_GROUPS, ALL_QUEUES, ANY_GROUP, Dialect, FlowCommand, FlowMod, GroupCommand, GroupMod, Message,
    MonitorFlags, Request,
};
use netloom_proto::openflow::{FieldId, Match, OfPort, Version};

/// Fits a message to a version.
pub(super) fn fit(version: Version, message: &mut Message) -> Done {
    match message {
        Message::FlowMod(flow) => fit_flow(version, flow),
        Message::GroupMod(group) => fit_group(version, group)?,
        Message::MultipartRequest(part) => fit_request(version, &mut part.request),
        Message::QueueConfigRequest(queues) => queues.queue = ALL_QUEUES,
        _ => {}
    }
    Ok(())
}

/// The cookie of a flow that is there already cannot change since version 1.2, nor that of one that goes.
fn fit_flow(version: Version, flow: &mut FlowMod) {
    let fits = match version {
        Version::V10 if flow.dialect == Dialect::Standard => Match::fits_v10,
        Version::V11 => Match::fits_v11,
        _ => |_: &Match| true,
    };
    if !fits(&flow.matching) {
        // Each packet is an Ethernet packet.
        let mut plain = flow.matching.clone();
        plain.clear(FieldId::PACKET_TYPE);
        if fits(&plain) {
            flow.matching = plain;
        }
    }
    if version == Version::V10 {
        return;
    }
    let modifies = matches!(flow.command, FlowCommand::Modify | FlowCommand::ModifyStrict);
    let sets = flow.command == FlowCommand::Add
        || version == Version::V11 && modifies && flow.cookie_filter.is_none();
    if !sets {
        flow.cookie = None;
        flow.modifies_cookie = false;
    }
}

fn fit_group(version: Version, group: &mut GroupMod) -> Done {
    if version == Version::V15 || version == Version::V10 {
        return Ok(());
    }
    match group.command {
        GroupCommand::InsertBuckets => {
            return Err("insert-bucket needs OpenFlow 1.5 or later ('-O OpenFlow15')".into());
        }
        GroupCommand::RemoveBuckets => {
            return Err("remove-bucket needs OpenFlow 1.5 or later ('-O OpenFlow15')".into());
        }
        _ => group.selection = None,
    }
    Ok(())
}

/// Fits what is asked for to a version. Before version 1.4 a monitor tells of what the controller itself changed in full, or
/// in short; after, `ovs-ofctl` sends another flag for that.
pub(super) fn fit_request(version: Version, request: &mut Request) {
    match request {
        Request::FlowMonitors(monitors) if version < Version::V14 => {
            for monitor in monitors {
                if monitor.flags.contains(MonitorFlags::ONLY_OWN) {
                    monitor.flags =
                        monitor.flags.without(MonitorFlags::ONLY_OWN).or(MonitorFlags::OWN_IN_FULL);
                }
                monitor.out_group = ANY_GROUP;
            }
        }
        Request::PortDescriptions(port) if version < Version::V15 => *port = OfPort::NONE,
        Request::GroupDescriptions(group) if version < Version::V15 && version != Version::V10 => {
            *group = ALL_GROUPS;
        }
        _ => {}
    }
}
