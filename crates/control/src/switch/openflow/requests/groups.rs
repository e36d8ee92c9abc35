//! Groups: changes, and answers about them.

use super::super::events;
use super::super::ground::Ground;
use super::flows::Rules;
use super::{Handled, Turn};
use netloom_proto::openflow::action::fit_tun_metadata;
use netloom_proto::openflow::matching::Entry;
use netloom_proto::openflow::message::{
    self, Age, BucketStatistics, GREATEST_GROUP, GroupCapabilities, GroupDescription, GroupFeatures,
    GroupStatistics, Message, Reply,
};
use netloom_proto::openflow::{OfError, Version};
use netloom_vswitch::openflow::group::SelectionMethod;
use netloom_vswitch::openflow::{Bucket, Group, GroupCommand, GroupKind, GroupMod, Selection};
use std::time::Duration;

/// All four kinds.
const KINDS: u32 = 0b1111;
/// Actions of OpenFlow 1.0, as bits by their numbers: all.
const ACTIONS_10: u32 = 0xfff;
/// Actions of OpenFlow 1.1.
const ACTIONS_11: u32 = 0x01ff_e7ff;
/// Actions of OpenFlow 1.2 and later that buckets can have, as bits by their numbers: output, those on TTL, tags, labels,
/// set_queue, group and set_field.
const ACTIONS: u32 = 0x03ff_8001;

const fn kind(told: message::GroupKind) -> GroupKind {
    match told {
        message::GroupKind::All => GroupKind::All,
        message::GroupKind::Select => GroupKind::Select,
        message::GroupKind::Indirect => GroupKind::Indirect,
        message::GroupKind::FastFailover => GroupKind::FastFailover,
    }
}

const fn told_kind(kind: GroupKind) -> message::GroupKind {
    match kind {
        GroupKind::All => message::GroupKind::All,
        GroupKind::Select => message::GroupKind::Select,
        GroupKind::Indirect => message::GroupKind::Indirect,
        GroupKind::FastFailover => message::GroupKind::FastFailover,
    }
}

fn selection(told: Option<message::Selection>) -> Selection {
    let Some(told) = told else { return Selection::default() };
    let method = match told.method {
        message::SelectionMethod::Hash => SelectionMethod::Hash,
        message::SelectionMethod::DatapathHash => SelectionMethod::DpHash,
    };
    // What stands as a value is the mask.
    let fields = told.fields.into_iter().map(|entry| (entry.field, entry.value)).collect();
    Selection { method, parameter: told.parameter, fields }
}

fn told_selection(selection: &Selection) -> Option<message::Selection> {
    let method = match selection.method {
        SelectionMethod::Default => return None,
        SelectionMethod::Hash => message::SelectionMethod::Hash,
        SelectionMethod::DpHash => message::SelectionMethod::DatapathHash,
    };
    let entry =
        |(field, mask): &(_, _)| Entry { field: *field, value: Clone::clone(mask), mask: Clone::clone(mask) };
    Some(message::Selection {
        method,
        parameter: selection.parameter,
        fields: selection.fields.iter().map(entry).collect(),
    })
}

impl Rules<'_> {
    /// A change as the tables want it.
    pub(super) fn prepare_group(&self, told: message::GroupMod) -> Result<GroupMod, OfError> {
        let command = match told.command {
            message::GroupCommand::Add => GroupCommand::Add,
            message::GroupCommand::Modify => GroupCommand::Modify,
            message::GroupCommand::Delete => GroupCommand::Delete,
            message::GroupCommand::InsertBuckets => GroupCommand::InsertBucket,
            message::GroupCommand::RemoveBuckets => GroupCommand::RemoveBucket,
            message::GroupCommand::AddOrModify => GroupCommand::AddOrModify,
        };
        let mut buckets = Vec::with_capacity(told.buckets.len());
        for mut bucket in told.buckets {
            fit_tun_metadata(&mut bucket.actions, self.lengths)?;
            buckets.push(Bucket {
                weight: bucket.weight,
                watch_port: bucket.watch_port,
                watch_group: bucket.watch_group,
                ..Bucket::new(bucket.number, bucket.actions.into())
            });
        }
        Ok(GroupMod {
            command,
            number: told.group,
            kind: kind(told.kind),
            selection: selection(told.selection),
            buckets,
            bucket: told.command_bucket,
        })
    }
}

/// What groups can do.
pub(super) const fn features(version: Version) -> Reply {
    let actions = match version {
        Version::V10 => ACTIONS_10,
        Version::V11 => ACTIONS_11,
        _ => ACTIONS,
    };
    Reply::GroupFeatures(GroupFeatures {
        kinds: KINDS,
        capabilities: GroupCapabilities::SELECT_WEIGHT
            .or(GroupCapabilities::SELECT_LIVENESS)
            .or(GroupCapabilities::CHAINING),
        maximum: [GREATEST_GROUP; 4],
        actions: [actions; 4],
    })
}

fn statistics(group: &Group, users: usize, now: u64) -> GroupStatistics {
    let count = |bucket: &Bucket| BucketStatistics { packets: bucket.packets, bytes: bucket.octets };
    GroupStatistics {
        group: group.number,
        references: u32::try_from(users).unwrap_or(u32::MAX),
        packets: group.packets,
        bytes: group.octets,
        age: Some(Age::of(Duration::from_nanos(now.saturating_sub(group.created)))),
        buckets: group.buckets.iter().map(count).collect(),
    }
}

fn describe(group: &Group) -> GroupDescription {
    let bucket = |bucket: &Bucket| message::Bucket {
        number: bucket.id,
        weight: bucket.weight,
        watch_port: bucket.watch_port,
        watch_group: bucket.watch_group,
        actions: bucket.actions.to_vec(),
    };
    GroupDescription {
        group: group.number,
        kind: told_kind(group.kind),
        buckets: group.buckets.iter().map(bucket).collect(),
        selection: told_selection(&group.selection),
    }
}

impl<G: Ground> Turn<'_, G> {
    pub(super) fn group_mod(&mut self, xid: u32, told: message::GroupMod) -> Handled {
        let rules = Rules { version: self.version(), lengths: &self.side.lengths };
        let request = rules.prepare_group(told.clone())?;
        self.work(|pipeline, now| pipeline.group_mod(&request, now))?.map_err(|failure| failure.error)?;
        if tracing::enabled!(target: "ofproto_dpif", tracing::Level::DEBUG) {
            let lines = self.look(|pipeline, _| pipeline.group(request.number).map(Group::construction))?;
            for line in lines.unwrap_or_default() {
                tracing::debug!(target: "ofproto_dpif", "{line}");
            }
        }
        self.forward(xid, Message::GroupMod(told));
        self.tell_others();
        Ok(())
    }

    /// Tells the others that this one changed a group or a meter.
    pub(super) fn forward(&mut self, xid: u32, request: Message) {
        let mut audience = events::Audience::new(self.side, None, self.others);
        events::forward(&mut audience, self.connection.token, xid, request);
    }

    fn groups<T>(&self, number: u32, tell: impl Fn(&Group, usize, u64) -> T, users: bool) -> Vec<T> {
        let told = self.look(|pipeline, now| {
            let all =
                pipeline.groups().filter(|group| number == message::ALL_GROUPS || group.number == number);
            // Whoever asks for all groups is not to make the switch look at all flows for each.
            all.map(|group| tell(group, if users { pipeline.group_users(group.number) } else { 0 }, now))
                .collect()
        });
        told.unwrap_or_default()
    }

    pub(super) fn group_statistics(&self, number: u32) -> Reply {
        Reply::Groups(self.groups(number, statistics, true))
    }

    pub(super) fn group_descriptions(&self, number: u32) -> Reply {
        Reply::GroupDescriptions(self.groups(number, |group, _, _| describe(group), false))
    }
}
