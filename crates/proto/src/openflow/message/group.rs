//! Groups: how they are set and described (OpenFlow 1.5, 7.3.4.3 and 7.3.5.11; Nicira's messages for version 1.0; and
//! Netronome's property for how a bucket is selected).

use super::flow::ANY_GROUP;
use super::numbers::{flags, numbers};
use super::octets::{Decoded, ReadMore, WriteMore};
use super::property::{self, Property, PropertyKind};
use super::{Context, EncodeError, Encoded, parts};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::matching::{Entry, put_entry, take_entry};
use crate::openflow::{Action, Match, OfError, OfPort, Version};

/// Number that stands for all groups.
pub const ALL_GROUPS: u32 = 0xffff_fffc;

/// Greatest number of a group.
pub const GREATEST_GROUP: u32 = 0xffff_ff00;

/// Greatest number of a bucket.
pub const GREATEST_BUCKET: u32 = 0xffff_ff00;

/// Number that stands for the first bucket.
pub const FIRST_BUCKET: u32 = 0xffff_fffd;

/// Number that stands for the last bucket.
pub const LAST_BUCKET: u32 = 0xffff_fffe;

/// Number that stands for all buckets.
pub const ALL_BUCKETS: u32 = 0xffff_ffff;

numbers! {
    /// What is to become of a group.
    pub enum GroupCommand: u16 {
        /// It is new.
        Add = 0,
        /// It changes.
        Modify = 1,
        /// It goes away.
        Delete = 2,
        /// It gets more buckets; version 1.5 and Nicira's messages.
        InsertBuckets = 3,
        /// It loses buckets; version 1.5 and Nicira's messages.
        RemoveBuckets = 5,
        /// It changes, or is new if there is none (Open vSwitch).
        AddOrModify = 0x8000,
    }
}

numbers! {
    /// Which buckets a packet goes to.
    pub enum GroupKind: u8 {
        /// All.
        All = 0,
        /// One that is selected.
        Select = 1,
        /// The only one.
        Indirect = 2,
        /// The first that is alive.
        FastFailover = 3,
    }
}

flags! {
    /// What groups can do beside their kinds.
    pub struct GroupCapabilities: u32 {
        /// Buckets have weights.
        SELECT_WEIGHT = 1 << 0, "select_weight";
        /// Only buckets that are alive are selected.
        SELECT_LIVENESS = 1 << 1, "select_liveness";
        /// Groups can use groups.
        CHAINING = 1 << 2, "chaining";
        /// Loops of groups are found.
        CHAINING_CHECKS = 1 << 3, "chaining_checks";
    }
}

/// One way that packets can go.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Its number; up to version 1.4 its place. Legal values: up to [`GREATEST_BUCKET`].
    pub number: u32,
    /// How often it is selected beside the others; 0 in groups that do not select.
    pub weight: u16,
    /// It lives as long as this port; [`OfPort::NONE`] for none.
    pub watch_port: OfPort,
    /// It lives as long as this group; [`ANY_GROUP`] for none.
    pub watch_group: u32,
    /// What is done with the packets.
    pub actions: Vec<Action>,
}

impl Bucket {
    /// Whether it lives by something else.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watch_port != OfPort::NONE || self.watch_group != ANY_GROUP
    }
}

/// How a bucket is selected (Netronome's extension); version 1.5 and Nicira's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// By what.
    pub method: SelectionMethod,
    /// A number for the method; for hashes what they begin with.
    pub parameter: u64,
    /// Which fields count, and which of their bits; none for the usual ones. Only [`SelectionMethod::Hash`] has them.
    pub fields: Vec<Entry>,
}

/// By what a bucket is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SelectionMethod {
    /// A hash over fields.
    Hash,
    /// The hash that the data path has already.
    DatapathHash,
}

impl SelectionMethod {
    /// The name that the message has for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::DatapathHash => "dp_hash",
        }
    }

    /// The method with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Hash, Self::DatapathHash].into_iter().find(|method| method.name() == name)
    }
}

/// Who defined the property, and who it was in Open vSwitch 2.4.
const NETRONOME: u32 = 0x154d;
const NETRONOME_ONCE: u32 = 0x1540;
const SELECTION: u32 = 1;
const METHOD_LENGTH: usize = 16;

impl Selection {
    fn decode(kind: GroupKind, command: GroupCommand, property: &Property<'_>) -> Decoded<Self> {
        let adds = matches!(command, GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrModify);
        if kind != GroupKind::Select || !adds {
            return Err(OfError::OFPBPC_BAD_VALUE);
        }
        let mut value = property.reader();
        value.skip(4)?;
        let octets = value.take(METHOD_LENGTH)?;
        let end = octets.iter().position(|&octet| octet == 0).ok_or(OfError::OFPBPC_BAD_VALUE)?;
        let name = octets.get(..end).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default();
        let method = SelectionMethod::from_name(name).ok_or(OfError::OFPBPC_BAD_VALUE)?;
        let parameter = value.u64()?;
        if method != SelectionMethod::Hash && !value.is_empty() {
            return Err(OfError::OFPBPC_BAD_VALUE);
        }
        let mut fields: Vec<Entry> = Vec::new();
        while !value.is_empty() {
            let masked = value.rest().get(2).is_some_and(|octet| octet & 1 != 0);
            let entry = take_entry(&mut value)?;
            if masked || !entry.field.get().is_legal_mask(&entry.value) {
                return Err(OfError::OFPBMC_BAD_MASK);
            }
            if fields.iter().any(|other| other.field == entry.field) {
                return Err(OfError::OFPBMC_DUP_FIELD);
            }
            // What stands as a value is the mask.
            fields.push(Entry { field: entry.field, value: entry.value.clone(), mask: entry.value });
        }
        Ok(Self { method, parameter, fields })
    }

    fn encode(&self, version: Version, writer: &mut Writer) {
        property::put(writer, PropertyKind::Experimenter(NETRONOME, SELECTION), |writer| {
            writer.zeros(4);
            writer.text(self.method.name(), METHOD_LENGTH);
            writer.u64(self.parameter);
            for entry in &self.fields {
                put_entry(entry.field, &entry.mask, None, Some(version), writer);
            }
        });
    }
}

/// Whether a version writes groups as version 1.5 does: so does Nicira's message in version 1.0.
const fn is_new(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

impl Bucket {
    const LENGTH_11: usize = 16;
    const LENGTH_15: usize = 8;
    const WEIGHT: u16 = 0;
    const WATCH_PORT: u16 = 1;
    const WATCH_GROUP: u16 = 2;

    fn decode_all(
        context: Context<'_>,
        kind: Option<GroupKind>,
        mut reader: Reader<'_>,
    ) -> Decoded<Vec<Self>> {
        let version = context.version;
        let mut buckets = Vec::new();
        while !reader.is_empty() {
            let mut bucket = Reader::with_error(reader.rest(), OfError::OFPGMFC_BAD_BUCKET);
            let length = usize::from(bucket.u16()?);
            let head = if is_new(version) { Self::LENGTH_15 } else { Self::LENGTH_11 };
            if length < head || length > reader.len() {
                return Err(OfError::OFPGMFC_BAD_BUCKET);
            }
            let mut bucket = reader.sub(length)?;
            bucket.skip(2)?;
            buckets.push(if is_new(version) {
                Self::decode_15(context, kind, bucket)?
            } else {
                Self::decode_11(context, buckets.len() as u32, bucket)?
            });
        }
        let mut numbers: Vec<u32> = buckets.iter().map(|bucket| bucket.number).collect();
        numbers.sort_unstable();
        let unique = numbers.windows(2).all(|pair| pair.first() != pair.last());
        if unique { Ok(buckets) } else { Err(OfError::OFPGMFC_BAD_BUCKET) }
    }

    fn decode_11(context: Context<'_>, number: u32, mut reader: Reader<'_>) -> Decoded<Self> {
        let weight = reader.u16()?;
        let watch_port = reader.u32()?;
        let watch_group = reader.u32()?;
        reader.skip(4)?;
        let actions = parts::take_actions(context, reader.len(), &mut reader)?;
        let watch_port = OfPort::from_wide(watch_port).ok_or(OfError::OFPGMFC_BAD_WATCH)?;
        Ok(Self { number, weight, watch_port, watch_group, actions })
    }

    fn decode_15(context: Context<'_>, kind: Option<GroupKind>, mut reader: Reader<'_>) -> Decoded<Self> {
        let (length, number) = (usize::from(reader.u16()?), reader.u32()?);
        let mut actions = reader.sub(length).map_err(|_| OfError::OFPGMFC_BAD_BUCKET)?;
        let actions = parts::take_actions(context, length, &mut actions)?;
        let weight = u16::from(kind == Some(GroupKind::Select));
        let (mut weight, mut watch_port, mut watch_group) = (weight, OfPort::NONE.wide(), ANY_GROUP);
        while !reader.is_empty() {
            let property = property::next(&mut reader)?;
            match property.kind {
                PropertyKind::Standard(Self::WEIGHT) => weight = property.u16()?,
                PropertyKind::Standard(Self::WATCH_PORT) => watch_port = property.u32()?,
                PropertyKind::Standard(Self::WATCH_GROUP) => watch_group = property.u32()?,
                _ => return property.unknown(),
            }
        }
        let watch_port = OfPort::from_wide(watch_port).ok_or(OfError::OFPGMFC_BAD_WATCH)?;
        if number > GREATEST_BUCKET {
            return Err(OfError::OFPGMFC_BAD_BUCKET);
        }
        Ok(Self { number, weight, watch_port, watch_group, actions })
    }

    fn encode(&self, context: Context<'_>, kind: GroupKind, writer: &mut Writer) -> Encoded {
        let version = context.version;
        let start = writer.len();
        if !is_new(version) {
            writer.u16(0);
            writer.u16(self.weight);
            writer.port32(self.watch_port);
            writer.u32(self.watch_group);
            writer.zeros(4);
            parts::put_actions(context, &Match::any(), &self.actions, writer)?;
            writer.patch_length(start, start);
            return Ok(());
        }
        writer.zeros(4);
        writer.u32(self.number);
        let actions = writer.len();
        parts::put_actions(context, &Match::any(), &self.actions, writer)?;
        writer.patch_length(actions, start + 2);
        if kind == GroupKind::Select || self.weight != 0 {
            property::put_u16(writer, Self::WEIGHT, self.weight);
        }
        if self.watch_port != OfPort::NONE {
            property::put_u32(writer, Self::WATCH_PORT, self.watch_port.wide());
        }
        if self.watch_group != ANY_GROUP {
            property::put_u32(writer, Self::WATCH_GROUP, self.watch_group);
        }
        writer.patch_length(start, start);
        Ok(())
    }
}

/// Something is to become of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupMod {
    /// What.
    pub command: GroupCommand,
    /// Which buckets a packet goes to.
    pub kind: GroupKind,
    /// Its number, or [`ALL_GROUPS`] when groups go away.
    pub group: u32,
    /// Its buckets, or those that it gets.
    pub buckets: Vec<Bucket>,
    /// Before which bucket the others come, or which one it loses; [`ALL_BUCKETS`] with commands that ask for none.
    pub command_bucket: u32,
    /// How a bucket is selected.
    pub selection: Option<Selection>,
}

impl GroupMod {
    pub(super) fn decode(context: Context<'_>, body: &mut Reader<'_>) -> Decoded<Self> {
        let version = context.version;
        let (raw_command, raw_kind) = (body.u16()?, body.u8()?);
        body.skip(1)?;
        let group = body.u32()?;
        let (command, kind) = (GroupCommand::from_number(raw_command), GroupKind::from_number(raw_kind));
        let (buckets, command_bucket, properties) = if is_new(version) {
            let length = usize::from(body.u16()?);
            body.skip(2)?;
            let command_bucket = body.u32()?;
            let legal = match command {
                Some(GroupCommand::RemoveBuckets) => {
                    command_bucket <= GREATEST_BUCKET || command_bucket >= FIRST_BUCKET
                }
                Some(GroupCommand::InsertBuckets) => {
                    command_bucket <= GREATEST_BUCKET || matches!(command_bucket, FIRST_BUCKET | LAST_BUCKET)
                }
                _ => command_bucket == ALL_BUCKETS,
            };
            if !legal {
                return Err(OfError::OFPGMFC_BAD_BUCKET);
            }
            let buckets = Bucket::decode_all(context, kind, body.sub(length)?)?;
            (buckets, command_bucket, Reader::new(body.all()))
        } else {
            let buckets = Bucket::decode_all(context, kind, Reader::new(body.all()))?;
            if version >= Version::V13 && command == Some(GroupCommand::Delete) && !buckets.is_empty() {
                return Err(OfError::OFPGMFC_INVALID_GROUP);
            }
            (buckets, ALL_BUCKETS, Reader::new(&[]))
        };
        let selection = decode_properties(kind, command, properties)?;
        let kind = kind.ok_or(OfError::OFPGMFC_BAD_TYPE)?;
        let single = buckets.len() == 1 || command == Some(GroupCommand::Delete);
        if kind == GroupKind::Indirect && !single {
            return Err(OfError::OFPGMFC_INVALID_GROUP);
        }
        let command = command.ok_or(OfError::OFPGMFC_BAD_COMMAND)?;
        let group_mod = Self { command, kind, group, buckets, command_bucket, selection };
        group_mod.check().map(|()| group_mod)
    }

    /// Whether the buckets suit the group.
    fn check(&self) -> Decoded<()> {
        if self.command == GroupCommand::RemoveBuckets && !self.buckets.is_empty() {
            return Err(OfError::OFPGMFC_BAD_BUCKET);
        }
        for bucket in &self.buckets {
            let weighs = self.kind == GroupKind::Select || self.command == GroupCommand::InsertBuckets;
            if bucket.weight != 0 && !weighs {
                return Err(OfError::OFPGMFC_INVALID_GROUP);
            }
            match (self.kind, bucket.is_watched()) {
                (GroupKind::All | GroupKind::Indirect, true) => {
                    return Err(OfError::OFPGMFC_WATCH_UNSUPPORTED);
                }
                (GroupKind::FastFailover, false) => return Err(OfError::OFPGMFC_INVALID_GROUP),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn encode(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        let version = context.version;
        let unsayable = |what| Err(EncodeError::Unsayable { version, what });
        writer.u16(self.command.number());
        writer.u8(self.kind.number());
        writer.zeros(1);
        writer.u32(self.group);
        if !is_new(version) {
            if matches!(self.command, GroupCommand::InsertBuckets | GroupCommand::RemoveBuckets) {
                return unsayable("that a group gets or loses buckets");
            }
            if self.selection.is_some() {
                return unsayable("how a bucket is selected");
            }
            return self.buckets.iter().try_for_each(|bucket| bucket.encode(context, self.kind, writer));
        }
        let length = writer.len();
        writer.zeros(4);
        writer.u32(self.command_bucket);
        let start = writer.len();
        self.buckets.iter().try_for_each(|bucket| bucket.encode(context, self.kind, writer))?;
        writer.patch_length(start, length);
        if let Some(selection) = &self.selection {
            selection.encode(version, writer);
        }
        Ok(())
    }
}

fn decode_properties(
    kind: Option<GroupKind>,
    command: Option<GroupCommand>,
    mut reader: Reader<'_>,
) -> Decoded<Option<Selection>> {
    let mut selection = None;
    while !reader.is_empty() {
        let property = property::next(&mut reader)?;
        let PropertyKind::Experimenter(NETRONOME | NETRONOME_ONCE, SELECTION) = property.kind else {
            return property.unknown();
        };
        let kind = kind.ok_or(OfError::OFPGMFC_BAD_TYPE)?;
        let command = command.ok_or(OfError::OFPGMFC_BAD_COMMAND)?;
        selection = Some(Selection::decode(kind, command, &property)?);
    }
    Ok(selection)
}

/// How a group is set.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupDescription {
    /// Its number.
    pub group: u32,
    /// Which buckets a packet goes to.
    pub kind: GroupKind,
    /// Its buckets.
    pub buckets: Vec<Bucket>,
    /// How a bucket is selected; version 1.5 and Nicira's message, and not told by others.
    pub selection: Option<Selection>,
}

impl GroupDescription {
    pub(super) fn decode(context: Context<'_>, reader: &mut Reader<'_>) -> Decoded<Self> {
        let version = context.version;
        let length = usize::from(Reader::new(reader.rest()).u16()?);
        let mut entry = reader.sub(length)?;
        entry.skip(2)?;
        let kind = GroupKind::from_number(entry.u8()?).ok_or(OfError::OFPGMFC_BAD_TYPE)?;
        entry.skip(1)?;
        let group = entry.u32()?;
        if !is_new(version) {
            let buckets = Bucket::decode_all(context, Some(kind), entry)?;
            return Ok(Self { group, kind, buckets, selection: None });
        }
        let length = usize::from(entry.u16()?);
        entry.skip(6)?;
        let buckets = Bucket::decode_all(context, Some(kind), entry.sub(length)?)?;
        let selection = decode_properties(Some(kind), Some(GroupCommand::Add), entry)?;
        Ok(Self { group, kind, buckets, selection })
    }

    pub(super) fn encode(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        let version = context.version;
        let start = writer.len();
        writer.u16(0);
        writer.u8(self.kind.number());
        writer.zeros(1);
        writer.u32(self.group);
        let length = writer.len();
        if is_new(version) {
            writer.zeros(8);
        }
        let buckets = writer.len();
        self.buckets.iter().try_for_each(|bucket| bucket.encode(context, self.kind, writer))?;
        if is_new(version) {
            writer.patch_length(buckets, length);
            if let Some(selection) = &self.selection {
                selection.encode(version, writer);
            }
        }
        writer.patch_length(start, start);
        Ok(())
    }
}
