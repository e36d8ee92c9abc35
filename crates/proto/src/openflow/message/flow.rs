//! What is to become of flows (OpenFlow 1.5, 7.3.4.2; NXT_FLOW_MOD).

use super::numbers::{flags, numbers};
use super::octets::{Decoded, ReadMore, WriteMore};
use super::{Context, Dialect, EncodeError, Encoded, parts};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::matching::{Cookie, Rules};
use crate::openflow::{Action, FieldId, Match, OfError, OfPort, Version};

/// Number that stands for any group.
pub const ANY_GROUP: u32 = 0xffff_ffff;

/// Number that stands for all tables.
pub const ALL_TABLES: u8 = 255;

numbers! {
    /// What is to become of flows.
    pub enum FlowCommand: u8 {
        /// A new one, in the place of one that is alike.
        Add = 0,
        /// Those that match do something else.
        Modify = 1,
        /// The one that is alike does something else.
        ModifyStrict = 2,
        /// Those that match go away.
        Delete = 3,
        /// The one that is alike goes away.
        DeleteStrict = 4,
    }
}

impl FlowCommand {
    /// Whether flows go away.
    #[must_use]
    pub const fn is_delete(self) -> bool {
        matches!(self, Self::Delete | Self::DeleteStrict)
    }

    /// Whether only a flow that is alike counts.
    #[must_use]
    pub const fn is_strict(self) -> bool {
        matches!(self, Self::ModifyStrict | Self::DeleteStrict)
    }
}

flags! {
    /// How a flow is to be treated.
    pub struct FlowFlags: u16 {
        /// Tell when it goes away.
        SEND_REMOVED = 1 << 0, "send_flow_rem";
        /// It is an error if another of the same priority could match the same packets.
        CHECK_OVERLAP = 1 << 1, "check_overlap";
        /// Counters begin anew. Before version 1.2 a new flow has this without saying it.
        RESET_COUNTS = 1 << 2, "reset_counts";
        /// Packets need not be counted; from version 1.3 on.
        NO_PACKET_COUNTS = 1 << 3, "no_packet_counts";
        /// Octets need not be counted; from version 1.3 on.
        NO_BYTE_COUNTS = 1 << 4, "no_byte_counts";
    }
}

impl FlowFlags {
    /// Emergency flows of version 1.0, which nobody has: the bit that means something else later.
    const EMERGENCY: u16 = 4;

    /// What a version can say.
    #[must_use]
    pub const fn of_version(version: Version) -> Self {
        match version {
            Version::V10 | Version::V11 => Self::SEND_REMOVED.or(Self::CHECK_OVERLAP),
            Version::V12 => Self::SEND_REMOVED.or(Self::CHECK_OVERLAP).or(Self::RESET_COUNTS),
            Version::V13 | Version::V14 | Version::V15 => Self::ALL,
        }
    }

    /// Reads the flags of a flow that is told.
    pub(super) fn decode(version: Version, bits: u16) -> Decoded<Self> {
        let flags = Self::from_bits(bits);
        if Self::of_version(version).contains(flags) { Ok(flags) } else { Err(OfError::OFPFMFC_BAD_FLAGS) }
    }

    pub(super) fn encode(self, version: Version) -> u16 {
        self.and(Self::of_version(version)).bits()
    }
}

/// Something is to become of flows.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowMod {
    /// What.
    pub command: FlowCommand,
    /// The table, [`ALL_TABLES`] for all. Version 1.0 says none unless that was agreed on: then the switch chooses the
    /// table of a new flow and changes in all.
    pub table: Option<u8>,
    /// What flows match.
    pub matching: Match,
    /// How flows are ordered; only strict commands and new flows have it.
    pub priority: u16,
    /// The flow's own number. A command that changes flows and does not say it leaves theirs.
    pub cookie: Option<u64>,
    /// Whether flows that are changed get the cookie too, and not only one that is new since none matched; so in
    /// version 1.0.
    pub modifies_cookie: bool,
    /// Only flows with this number count; not for new ones. The mask is not zero.
    pub cookie_filter: Option<Cookie>,
    /// Seconds without packets after which it goes away; 0 for never.
    pub idle_timeout: u16,
    /// Seconds after which it goes away; 0 for never.
    pub hard_timeout: u16,
    /// How much it weighs when flows must go; from version 1.4 on, for new flows.
    pub importance: u16,
    /// A packet that waits in the switch and is to be the first of the flow.
    pub buffer: Option<u32>,
    /// Only flows that send there count; [`OfPort::NONE`] for any. For flows that go away.
    pub out_port: OfPort,
    /// Only flows that use it count; [`ANY_GROUP`] for any. For flows that go away; from version 1.1 on.
    pub out_group: u32,
    /// How the flow is to be treated.
    pub flags: FlowFlags,
    /// What the flow does.
    pub actions: Vec<Action>,
    /// The message of the standard, or Nicira's.
    pub dialect: Dialect,
}

impl FlowMod {
    /// A command that says nothing but a match.
    #[must_use]
    pub const fn new(command: FlowCommand, matching: Match) -> Self {
        Self {
            command,
            table: None,
            matching,
            priority: 0x8000,
            cookie: None,
            modifies_cookie: false,
            cookie_filter: None,
            idle_timeout: 0,
            hard_timeout: 0,
            importance: 0,
            buffer: None,
            out_port: OfPort::NONE,
            out_group: ANY_GROUP,
            flags: FlowFlags::NONE,
            actions: Vec::new(),
            dialect: Dialect::Standard,
        }
    }

    pub(super) fn decode(context: Context<'_>, dialect: Dialect, body: &mut Reader<'_>) -> Decoded<Self> {
        let version = context.version;
        let (mut flow, raw_flags) = match (dialect, version) {
            (Dialect::Nicira, _) => Self::decode_nicira(context, body)?,
            (Dialect::Standard, Version::V10) => Self::decode_10(context, body)?,
            (Dialect::Standard, _) => Self::decode_11(version, body)?,
        };
        if !has_matching_tuple(&flow.matching) {
            return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
        }
        flow.actions = parts::take_instructions(context, body)?;
        let timed = flow.idle_timeout != 0 || flow.hard_timeout != 0;
        if version == Version::V10 && raw_flags == raw_flags & 7 && raw_flags & FlowFlags::EMERGENCY != 0 {
            return Err(if timed { OfError::OFPFMFC_BAD_EMERG_TIMEOUT } else { OfError::OFPFMFC_TABLE_FULL });
        }
        flow.flags = FlowFlags::decode(version, raw_flags)?;
        if version <= Version::V11 && flow.command == FlowCommand::Add {
            flow.flags = flow.flags | FlowFlags::RESET_COUNTS;
        }
        Ok(flow)
    }

    fn decode_11(version: Version, body: &mut Reader<'_>) -> Decoded<(Self, u16)> {
        let (cookie, mask) = (body.u64()?, body.u64()?);
        let (table, command) = (body.u8()?, body.u8()?);
        let (idle_timeout, hard_timeout, priority) = (body.u16()?, body.u16()?, body.u16()?);
        let buffer = decode_buffer(body)?;
        let (mut out_port, out_group) = (Reader::new(body.take(4)?), body.u32()?);
        let (raw_flags, importance) = (body.u16()?, body.u16()?);
        let matching = Match::take_v11(body)?;
        let known = FlowCommand::from_number(command);
        let delete = known.is_some_and(FlowCommand::is_delete);
        if table == ALL_TABLES && (version == Version::V11 || !delete) {
            return Err(OfError::OFPFMFC_BAD_TABLE_ID);
        }
        let out_port = out_port.port32()?;
        let command = known.ok_or(OfError::OFPFMFC_BAD_COMMAND)?;
        // In version 1.1 a change of flows with any number is also a new flow where none matches.
        let new = command == FlowCommand::Add || version == Version::V11 && !delete && mask == 0;
        let flow = Self {
            table: Some(table),
            priority,
            cookie: new.then_some(cookie),
            cookie_filter: (!new && mask != 0).then_some((cookie & mask, mask)),
            idle_timeout,
            hard_timeout,
            importance: if version >= Version::V14 && command == FlowCommand::Add { importance } else { 0 },
            buffer,
            out_port,
            out_group: if delete { out_group } else { ANY_GROUP },
            ..Self::new(command, matching)
        };
        Ok((flow, raw_flags))
    }

    fn decode_10(context: Context<'_>, body: &mut Reader<'_>) -> Decoded<(Self, u16)> {
        let exact = Reader::new(body.rest()).u32()? & 0x3f_ffff == 0;
        let mut matching = Match::take_v10(body)?;
        matching.normalise();
        let cookie = body.u64()?;
        let (mut flow, raw_flags) = Self::decode_common(context, cookie, matching, body)?;
        if exact {
            // Version 1.0: what matches all of a packet comes before all else.
            flow.priority = u16::MAX;
        }
        Ok((flow, raw_flags))
    }

    fn decode_nicira(context: Context<'_>, body: &mut Reader<'_>) -> Decoded<(Self, u16)> {
        let cookie = body.u64()?;
        let mut head = body.sub(16)?;
        let length = usize::from(body.u16()?);
        body.skip(6)?;
        let rules = Rules { cookie: true, ..Rules::STRICT };
        let (matching, filter) = Match::take_nxm(body, length, rules)?;
        let (mut flow, raw_flags) = Self::decode_common(context, cookie, matching, &mut head)?;
        flow.dialect = Dialect::Nicira;
        flow.cookie_filter = filter.filter(|(_, mask)| *mask != 0);
        if flow.command == FlowCommand::Add && flow.cookie_filter.is_some() {
            return Err(OfError::NXBRC_NXM_INVALID);
        }
        Ok((flow, raw_flags))
    }

    /// The part that version 1.0 and Nicira's message have in common, of 16 octets.
    fn decode_common(
        context: Context<'_>,
        cookie: u64,
        matching: Match,
        body: &mut Reader<'_>,
    ) -> Decoded<(Self, u16)> {
        let [upper, lower] = body.u16()?.to_be_bytes();
        let (idle_timeout, hard_timeout, priority) = (body.u16()?, body.u16()?, body.u16()?);
        let buffer = decode_buffer(body)?;
        let (out_port, raw_flags) = (body.port16()?, body.u16()?);
        let table = context.table_ids.then_some(upper);
        let command = FlowCommand::from_number(lower).filter(|_| upper == 0 || context.table_ids);
        let command = command.ok_or(OfError::OFPFMFC_BAD_COMMAND)?;
        let cookie = (cookie != u64::MAX || command == FlowCommand::Add).then_some(cookie);
        let flow = Self {
            table,
            priority,
            cookie,
            modifies_cookie: cookie.is_some_and(|cookie| cookie != u64::MAX),
            idle_timeout,
            hard_timeout,
            buffer,
            out_port,
            ..Self::new(command, matching)
        };
        Ok((flow, raw_flags))
    }

    pub(super) fn encode(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        let version = context.version;
        match (self.dialect, version) {
            (Dialect::Nicira, _) => self.encode_nicira(context, writer),
            (Dialect::Standard, Version::V10) => self.encode_10(context, writer),
            (Dialect::Standard, _) => self.encode_11(context, writer),
        }
    }

    fn encode_11(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        let version = context.version;
        let delete = self.command.is_delete();
        let filter = self.cookie_filter.unwrap_or_default();
        if self.command != FlowCommand::Add && self.cookie.is_some() && (version > Version::V11 || delete) {
            let what = "that flows that are changed get another number";
            return Err(EncodeError::Unsayable { version, what });
        }
        writer.u64(self.cookie.unwrap_or(filter.0 & filter.1));
        writer.u64(filter.1);
        let all = if version > Version::V11 && delete { ALL_TABLES } else { 0 };
        writer.u8(self.table.filter(|table| *table != ALL_TABLES).unwrap_or(all));
        writer.u8(self.command.number());
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        writer.u16(self.priority);
        writer.u32(self.buffer.unwrap_or(u32::MAX));
        writer.port32(self.out_port);
        writer.u32(self.out_group);
        writer.u16(self.flags.encode(version));
        let importance = version >= Version::V14 && self.command == FlowCommand::Add;
        writer.u16(if importance { self.importance } else { 0 });
        parts::put_match(version, &self.matching, writer)?;
        parts::put_instructions(context, &self.matching, &self.actions, writer)
    }

    fn encode_10(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        if self.cookie_filter.is_some() {
            return Err(EncodeError::Unsayable {
                version: Version::V10,
                what: "that only flows with a number count",
            });
        }
        parts::put_match_10(&self.matching, writer)?;
        self.encode_cookie(writer);
        self.encode_common(context, writer)?;
        parts::put_instructions(context, &self.matching, &self.actions, writer)
    }

    fn encode_nicira(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        self.encode_cookie(writer);
        self.encode_common(context, writer)?;
        let length = writer.len();
        writer.zeros(8);
        let octets = self.matching.put_nxm(self.cookie_filter, writer);
        writer.patch_u16(length, u16::try_from(octets).unwrap_or(u16::MAX));
        parts::put_instructions(context, &self.matching, &self.actions, writer)
    }

    fn encode_cookie(&self, writer: &mut Writer) {
        let none = if self.command == FlowCommand::Add { 0 } else { u64::MAX };
        writer.u64(self.cookie.unwrap_or(none));
    }

    fn encode_common(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        let version = context.version;
        let table = if context.table_ids { self.table.unwrap_or(ALL_TABLES) } else { 0 };
        if !context.table_ids && self.table.is_some_and(|table| table != 0 && table != ALL_TABLES) {
            return Err(EncodeError::Unsayable { version, what: "a table, unless that was agreed on" });
        }
        if self.out_group != ANY_GROUP {
            return Err(EncodeError::Unsayable { version, what: "that only flows that use a group count" });
        }
        writer.u8(table);
        writer.u8(self.command.number());
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        writer.u16(self.priority);
        writer.u32(self.buffer.unwrap_or(u32::MAX));
        writer.port16(self.out_port);
        writer.u16(self.flags.encode(version));
        Ok(())
    }
}

/// A packet that waits in the switch, or none.
pub(super) fn decode_buffer(body: &mut Reader<'_>) -> Decoded<Option<u32>> {
    body.u32().map(|buffer| (buffer != u32::MAX).then_some(buffer))
}

/// Whether addresses of a tracked connection are of the packets' own family.
fn has_matching_tuple(matching: &Match) -> bool {
    let names = |fields: [FieldId; 2]| fields.into_iter().any(|field| !matching.is_wild(field));
    let ether_type = matching.ether_type();
    !(names([FieldId::CT_NW_SRC, FieldId::CT_NW_DST]) && ether_type != 0x0800
        || names([FieldId::CT_IPV6_SRC, FieldId::CT_IPV6_DST]) && ether_type != 0x86dd)
}
