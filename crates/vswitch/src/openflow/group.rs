//! Groups: lists of actions of which all, one, or the first that works is carried out.
//!
//! As in Open vSwitch a group may use groups that are not there, and chains of groups are not checked when they are
//! made: a loop ends where [`super::translate`] has gone too deep.

use super::change::{Done, Removal};
use super::selection::Slots;
use super::{Change, Failure, Pipeline};
use netloom_proto::openflow::{Action, FieldId, OfError, OfPort, Value};
use netloom_table::classifier::Version;
use std::sync::Arc;

/// First number that is not a group's (`OFPG_MAX` + 1).
pub const MOST_GROUP: u32 = 0xffff_ff00;
/// All groups, in deletions (`OFPG_ALL`).
pub const ALL_GROUPS: u32 = 0xffff_fffc;
/// All buckets (`OFPG_BUCKET_ALL`).
pub const ALL_BUCKETS: u32 = 0xffff_ffff;
/// The first bucket (`OFPG_BUCKET_FIRST`).
pub const FIRST_BUCKET: u32 = 0xffff_fffd;
/// The last bucket (`OFPG_BUCKET_LAST`).
pub const LAST_BUCKET: u32 = 0xffff_fffe;
/// First number that is not a bucket's (`OFPG_BUCKET_MAX` + 1).
pub const MOST_BUCKET: u32 = 0xffff_ff01;

/// What a group does with its buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// A copy goes to each.
    All,
    /// One of them is chosen by a hash.
    Select,
    /// There is one.
    Indirect,
    /// The first one that works.
    FastFailover,
}

/// How a group of the kind [`GroupKind::Select`] chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SelectionMethod {
    /// As the switch likes: by a hash that the data path computes.
    #[default]
    Default,
    /// By some fields.
    Hash,
    /// By the hash that the data path computes.
    DpHash,
}

/// How a group chooses (`NTR_SELECTION_METHOD`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// How.
    pub method: SelectionMethod,
    /// What the hash begins with, or which hash it is.
    pub parameter: u64,
    /// The fields that are hashed, each under a mask.
    pub fields: Vec<(FieldId, Value)>,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its number in the group.
    pub id: u32,
    /// Its share, for [`GroupKind::Select`].
    pub weight: u16,
    /// It works while this port does; [`OfPort::NONE`] for none.
    pub watch_port: OfPort,
    /// It works while this group does; [`super::flow::ANY_GROUP`] for none.
    pub watch_group: u32,
    /// What it does.
    pub actions: Arc<[Action]>,
    /// Packets.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub number: u32,
    /// What it does.
    pub kind: GroupKind,
    /// How it chooses.
    pub selection: Selection,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
    /// Packets.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Nanoseconds when it was made.
    pub created: u64,
    /// The bucket, by its place, of each value of the data path's hash, if it chooses by that.
    pub(super) slots: Option<Slots>,
}

/// What a request does with groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupCommand {
    /// Adds one.
    Add,
    /// Changes one.
    Modify,
    /// Adds or changes one.
    AddOrModify,
    /// Deletes one, or all.
    Delete,
    /// Puts buckets into one, behind the named bucket.
    InsertBucket,
    /// Takes buckets out.
    RemoveBucket,
}

/// A request to change groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMod {
    /// What it does.
    pub command: GroupCommand,
    /// The group's number, or [`ALL_GROUPS`].
    pub number: u32,
    /// What the group does.
    pub kind: GroupKind,
    /// How it chooses; a request that changes buckets only does not change it.
    pub selection: Selection,
    /// The buckets.
    pub buckets: Vec<Bucket>,
    /// Where buckets are inserted or removed.
    pub bucket: u32,
}

impl Bucket {
    /// A bucket of some actions.
    #[must_use]
    pub fn new(id: u32, actions: Arc<[Action]>) -> Self {
        Self {
            id,
            weight: 1,
            watch_port: OfPort::NONE,
            watch_group: super::flow::ANY_GROUP,
            actions,
            packets: 0,
            octets: 0,
        }
    }
}

fn duplicate(buckets: &[Bucket]) -> bool {
    let mut ids: Vec<u32> = buckets.iter().map(|bucket| bucket.id).collect();
    ids.sort_unstable();
    ids.windows(2).any(|pair| pair[0] == pair[1])
}

impl Pipeline {
    /// Makes one change of groups.
    ///
    /// # Errors
    /// Why it can't be made.
    pub fn group_mod(&mut self, request: &GroupMod, now: u64) -> Result<(), Failure> {
        self.apply(&[Change::Group(request.clone())], now)
    }

    pub(super) fn modify_group(
        &mut self,
        request: &GroupMod,
        version: Version,
        done: &mut Vec<Done>,
    ) -> Result<(), OfError> {
        let number = request.number;
        if request.command == GroupCommand::Delete {
            let numbers: Vec<u32> = if number == ALL_GROUPS {
                self.groups.keys().copied().collect()
            } else {
                self.groups.contains_key(&number).then_some(number).into_iter().collect()
            };
            for number in numbers {
                let before = self.groups.remove(&number).map(Box::new);
                done.push(Done::Group { number, before });
                self.hide_users(|flow| flow.uses_group(number), Removal::GroupDelete, version, done);
            }
            return Ok(());
        }
        if number >= MOST_GROUP {
            return Err(OfError::OFPGMFC_INVALID_GROUP);
        }
        let known = self.groups.get(&number);
        let mut group = match (request.command, known) {
            (GroupCommand::Add, Some(_)) => return Err(OfError::OFPGMFC_GROUP_EXISTS),
            (GroupCommand::Add | GroupCommand::AddOrModify, None) => self.made(request)?,
            (_, None) => return Err(OfError::OFPGMFC_UNKNOWN_GROUP),
            (GroupCommand::InsertBucket, Some(known)) => inserted(known, request)?,
            (GroupCommand::RemoveBucket, Some(known)) => removed(known, request)?,
            (_, Some(known)) => Group {
                created: known.created,
                packets: known.packets,
                octets: known.octets,
                ..self.made(request)?
            },
        };
        check(&group)?;
        group.slots = group.distribute();
        let before = self.groups.insert(number, group).map(Box::new);
        done.push(Done::Group { number, before });
        Ok(())
    }

    fn made(&self, request: &GroupMod) -> Result<Group, OfError> {
        let mut buckets = request.buckets.clone();
        for bucket in &mut buckets {
            (bucket.packets, bucket.octets) = (0, 0);
        }
        Ok(Group {
            number: request.number,
            kind: request.kind,
            selection: request.selection.clone(),
            buckets,
            packets: 0,
            octets: 0,
            created: self.now,
            slots: None,
        })
    }
}

fn check(group: &Group) -> Result<(), OfError> {
    if duplicate(&group.buckets) {
        return Err(OfError::OFPGMFC_BUCKET_EXISTS);
    }
    if group.kind == GroupKind::Indirect && group.buckets.len() != 1 {
        return Err(OfError::OFPGMFC_INVALID_GROUP);
    }
    Ok(())
}

fn inserted(known: &Group, request: &GroupMod) -> Result<Group, OfError> {
    let mut group = known.clone();
    let at = match request.bucket {
        FIRST_BUCKET => 0,
        LAST_BUCKET => group.buckets.len(),
        id => {
            let place = group.buckets.iter().position(|bucket| bucket.id == id);
            place.ok_or(OfError::OFPGMFC_UNKNOWN_BUCKET)? + 1
        }
    };
    group.buckets.splice(at..at, request.buckets.iter().cloned());
    Ok(group)
}

fn removed(known: &Group, request: &GroupMod) -> Result<Group, OfError> {
    let mut group = known.clone();
    match request.bucket {
        ALL_BUCKETS => group.buckets.clear(),
        FIRST_BUCKET if group.buckets.is_empty() => {}
        FIRST_BUCKET => drop(group.buckets.remove(0)),
        LAST_BUCKET => drop(group.buckets.pop()),
        id => {
            let place = group.buckets.iter().position(|bucket| bucket.id == id);
            group.buckets.remove(place.ok_or(OfError::OFPGMFC_UNKNOWN_BUCKET)?);
        }
    }
    Ok(group)
}
