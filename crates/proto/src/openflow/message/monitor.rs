//! Monitors of flows: what is to be told of changes, and what is told (OpenFlow 1.5, 7.3.5.19; the ONF's extension 187 for
//! version 1.3; Nicira's for versions 1.0 to 1.2).

use super::flow::{ALL_TABLES, ANY_GROUP};
use super::numbers::{flags, numbers};
use super::octets::{Decoded, ReadMore, WriteMore};
use super::{Context, EncodeError, Encoded, parts};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::matching::Rules;
use crate::openflow::{Action, Match, OfError, OfPort, Version};

numbers! {
    /// What is to become of a monitor.
    pub enum MonitorCommand: u8 {
        /// It is new; the only one before version 1.4.
        Add = 0,
        /// It changes.
        Modify = 1,
        /// It ends.
        Delete = 2,
    }
}

flags! {
    /// What a monitor tells.
    pub struct MonitorFlags: u16 {
        /// Flows that are there when it begins.
        INITIAL = 1 << 0, "initial";
        /// New flows.
        ADD = 1 << 1, "add";
        /// Flows that go away.
        DELETE = 1 << 2, "delete";
        /// Flows that change.
        MODIFY = 1 << 3, "modify";
        /// What flows do.
        ACTIONS = 1 << 4, "actions";
        /// In full what the controller itself changed; else only the number of its message.
        OWN_IN_FULL = 1 << 5, "own";
        /// Only what the controller itself changed; from version 1.4 on. Open vSwitch's tools say this where they mean
        /// [`Self::OWN_IN_FULL`], and its switch understands it so.
        ONLY_OWN = 1 << 6, "only-own";
    }
}

impl MonitorFlags {
    const CHANGES: Self = Self::ADD.or(Self::DELETE).or(Self::MODIFY);

    fn decode(version: Version, bits: u16) -> Decoded<Self> {
        let flags = Self::from_bits(bits);
        let legal = if version >= Version::V14 { Self::ALL } else { Self::ALL.without(Self::ONLY_OWN) };
        if flags.and(Self::CHANGES).is_empty() || !legal.contains(flags) {
            return Err(OfError::OFPMOFC_BAD_FLAGS);
        }
        Ok(flags)
    }
}

/// Something is to become of a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorRequest {
    /// Its number.
    pub monitor: u32,
    /// What.
    pub command: MonitorCommand,
    /// What it tells.
    pub flags: MonitorFlags,
    /// The table; [`ALL_TABLES`] for all.
    pub table: u8,
    /// Only flows that send there; [`OfPort::NONE`] for any.
    pub out_port: OfPort,
    /// Only flows that use it; [`ANY_GROUP`] for any. From version 1.4 on.
    pub out_group: u32,
    /// Only flows that match what this matches, or less.
    pub matching: Match,
}

impl MonitorRequest {
    /// A monitor of all flows.
    #[must_use]
    pub const fn new(monitor: u32, command: MonitorCommand, flags: MonitorFlags) -> Self {
        Self {
            monitor,
            command,
            flags,
            table: ALL_TABLES,
            out_port: OfPort::NONE,
            out_group: ANY_GROUP,
            matching: Match::any(),
        }
    }

    pub(super) fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let monitor = body.u32()?;
        if version >= Version::V14 {
            return Self::decode_14(version, monitor, body);
        }
        let flags = body.u16()?;
        let (out_port, length, table, filling) = if version == Version::V13 {
            let length = body.u16()?;
            (Reader::new(body.take(4)?).port32(), length, body.u8()?, body.take(3)?)
        } else {
            let (port, length) = (body.port16(), body.u16()?);
            (port, length, body.u8()?, body.take(5)?)
        };
        let flags = MonitorFlags::decode(version, flags)?;
        if filling.iter().any(|&octet| octet != 0) {
            return Err(OfError::NXBRC_MUST_BE_ZERO);
        }
        let out_port = out_port?;
        let matching = if version == Version::V13 {
            Match::take_v11(body)?
        } else {
            Match::take_nxm(body, length.into(), Rules::STRICT)?.0
        };
        let base = Self::new(monitor, MonitorCommand::Add, flags);
        Ok(Self { table, out_port, matching, ..base })
    }

    fn decode_14(version: Version, monitor: u32, body: &mut Reader<'_>) -> Decoded<Self> {
        let mut out_port = Reader::new(body.take(4)?);
        let (out_group, flags, table, command) = (body.u32()?, body.u16()?, body.u8()?, body.u8()?);
        let command = MonitorCommand::from_number(command).ok_or(OfError::OFPMOFC_BAD_COMMAND)?;
        if command == MonitorCommand::Delete {
            // Nothing else of it counts, and Open vSwitch's tools send no match.
            if !body.is_empty() {
                Match::take_v11(body)?;
            }
            return Ok(Self::new(monitor, command, MonitorFlags::NONE));
        }
        let flags = MonitorFlags::decode(version, flags)?;
        let out_port = out_port.port32()?;
        let matching = Match::take_v11(body)?;
        Ok(Self { monitor, command, flags, table, out_port, out_group, matching })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) -> Encoded {
        let unsayable = |what| Err(EncodeError::Unsayable { version, what });
        writer.u32(self.monitor);
        if version >= Version::V14 {
            writer.port32(self.out_port);
            writer.u32(self.out_group);
            writer.u16(self.flags.bits());
            writer.u8(self.table);
            writer.u8(self.command.number());
            return parts::put_match(version, &self.matching, writer);
        }
        if self.command != MonitorCommand::Add {
            return unsayable("that a monitor changes or ends: a message of its own ends it");
        }
        if self.out_group != ANY_GROUP || self.flags.contains(MonitorFlags::ONLY_OWN) {
            return unsayable("such a monitor");
        }
        writer.u16(self.flags.bits());
        let length = if version == Version::V13 { writer.len() } else { writer.len() + 2 };
        if version == Version::V13 {
            writer.u16(0);
            writer.port32(self.out_port);
            writer.u8(self.table);
            writer.zeros(3);
        } else {
            writer.port16(self.out_port);
            writer.u16(0);
            writer.u8(self.table);
            writer.zeros(5);
        }
        let octets = put_old_match(version, &self.matching, writer);
        writer.patch_u16(length, octets);
        Ok(())
    }
}

/// Writes a match as messages before version 1.4 have it, and says what they say of its length: without the filling.
fn put_old_match(version: Version, matching: &Match, writer: &mut Writer) -> u16 {
    let octets = if version == Version::V13 {
        let start = writer.len();
        matching.put_oxm(version, writer);
        let length = writer.as_slice().get(start + 2..start + 4).and_then(|length| length.try_into().ok());
        length.map_or(0, |length| usize::from(u16::from_be_bytes(length)))
    } else {
        matching.put_nxm(None, writer)
    };
    u16::try_from(octets).unwrap_or(u16::MAX)
}

numbers! {
    /// What happened to a flow, by the numbers of version 1.4.
    pub enum MonitorEvent: u16 {
        /// It was there when the monitor began; before version 1.4 it is told as new.
        Initial = 0,
        /// It is new.
        Added = 1,
        /// It went away.
        Removed = 2,
        /// It changed.
        Modified = 3,
    }
}

/// What a monitor tells.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowUpdate {
    /// Something happened to a flow.
    Full(Box<FlowChange>),
    /// The controller's own message with this number was carried out.
    Abbreviated(u32),
    /// Changes are lost from now on; from version 1.4 on, before it is a message of its own.
    Paused,
    /// All that changed meanwhile was told; from version 1.4 on.
    Resumed,
}

/// Something happened to a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowChange {
    /// What.
    pub event: MonitorEvent,
    /// Why a flow went away, as in [`super::FlowRemoved`]; else 0.
    pub reason: u8,
    /// Its table.
    pub table: u8,
    /// Its priority.
    pub priority: u16,
    /// Seconds without packets after which it goes away; 0 for never.
    pub idle_timeout: u16,
    /// Seconds after which it goes away; 0 for never.
    pub hard_timeout: u16,
    /// Its number.
    pub cookie: u64,
    /// What it matches.
    pub matching: Match,
    /// What it does, if that was asked for and it is still there.
    pub actions: Vec<Action>,
}

mod event {
    pub(super) const ABBREVIATED_14: u16 = 4;
    pub(super) const PAUSED: u16 = 5;
    pub(super) const RESUMED: u16 = 6;
    pub(super) const ABBREVIATED: u16 = 3;
}

impl FlowUpdate {
    pub(super) fn decode(context: Context<'_>, reader: &mut Reader<'_>) -> Decoded<Self> {
        let version = context.version;
        let mut ahead = Reader::new(reader.rest());
        let length = usize::from(ahead.u16()?);
        if !length.is_multiple_of(8) {
            return Err(OfError::OFPBRC_BAD_LEN);
        }
        let mut entry = reader.sub(length)?;
        entry.skip(2)?;
        let number = entry.u16()?;
        let short = length == 8;
        let new = version >= Version::V14;
        let event = match number {
            event::ABBREVIATED_14 if new && short => return Ok(Self::Abbreviated(entry.u32()?)),
            event::ABBREVIATED if !new && short => return Ok(Self::Abbreviated(entry.u32()?)),
            event::PAUSED if new && short => return Ok(Self::Paused),
            event::RESUMED if new && short => return Ok(Self::Resumed),
            event::ABBREVIATED_14..=event::RESUMED if new => return Err(OfError::OFPBRC_BAD_LEN),
            event::ABBREVIATED if !new => return Err(OfError::OFPBRC_BAD_LEN),
            // Before version 1.4 there is no first number for flows that were there.
            _ => MonitorEvent::from_number(if new { number } else { number.saturating_add(1) }),
        };
        let event = event.ok_or(OfError::NXBRC_FM_BAD_EVENT)?;
        let change = if new {
            FlowChange::decode_14(context, event, &mut entry)?
        } else {
            FlowChange::decode_old(context, event, &mut entry)?
        };
        Ok(Self::Full(Box::new(change)))
    }

    pub(super) fn encode(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        let version = context.version;
        let start = writer.len();
        let new = version >= Version::V14;
        writer.u16(0);
        match self {
            Self::Full(change) if new => change.encode_14(context, writer)?,
            Self::Full(change) => change.encode_old(context, writer)?,
            Self::Abbreviated(xid) => {
                writer.u16(if new { event::ABBREVIATED_14 } else { event::ABBREVIATED });
                writer.u32(*xid);
            }
            Self::Paused | Self::Resumed if !new => {
                return Err(EncodeError::Unsayable { version, what: "in an answer that changes are lost" });
            }
            Self::Paused => writer.u16(event::PAUSED),
            Self::Resumed => writer.u16(event::RESUMED),
        }
        writer.pad(start, 8);
        writer.patch_length(start, start);
        Ok(())
    }
}

impl FlowChange {
    fn decode_14(context: Context<'_>, event: MonitorEvent, entry: &mut Reader<'_>) -> Decoded<Self> {
        let (table, reason, idle_timeout, hard_timeout) =
            (entry.u8()?, entry.u8()?, entry.u16()?, entry.u16()?);
        let priority = entry.u16()?;
        entry.skip(4)?;
        let cookie = entry.u64()?;
        let matching = Match::take_v11(entry)?;
        let actions = parts::take_instructions(context, entry)?;
        Ok(Self { event, reason, table, priority, idle_timeout, hard_timeout, cookie, matching, actions })
    }

    fn decode_old(context: Context<'_>, event: MonitorEvent, entry: &mut Reader<'_>) -> Decoded<Self> {
        let (reason, priority, idle_timeout, hard_timeout) =
            (entry.u16()?, entry.u16()?, entry.u16()?, entry.u16()?);
        let (length, table) = (entry.u16()?, entry.u8()?);
        entry.skip(1)?;
        let cookie = entry.u64()?;
        let (matching, actions) = if context.version == Version::V13 {
            (Match::take_v11(entry)?, parts::take_instructions(context, entry)?)
        } else {
            let (matching, _) = Match::take_nxm(entry, length.into(), Rules::STRICT)?;
            (matching, parts::take_actions(context, entry.len(), entry)?)
        };
        let reason = reason as u8;
        Ok(Self { event, reason, table, priority, idle_timeout, hard_timeout, cookie, matching, actions })
    }

    fn encode_14(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        writer.u16(self.event.number());
        writer.u8(self.table);
        writer.u8(self.reason);
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        writer.u16(self.priority);
        writer.zeros(4);
        writer.u64(self.cookie);
        parts::put_match(context.version, &self.matching, writer)?;
        parts::put_instructions(context, &self.matching, &self.actions, writer)
    }

    fn encode_old(&self, context: Context<'_>, writer: &mut Writer) -> Encoded {
        writer.u16(self.event.number().saturating_sub(1));
        writer.u16(self.reason.into());
        writer.u16(self.priority);
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        let length = writer.len();
        writer.u16(0);
        writer.u8(self.table);
        writer.zeros(1);
        writer.u64(self.cookie);
        let octets = put_old_match(context.version, &self.matching, writer);
        writer.patch_u16(length, octets);
        if context.version == Version::V13 {
            parts::put_instructions(context, &self.matching, &self.actions, writer)
        } else {
            parts::put_actions(context, &self.matching, &self.actions, writer)
        }
    }
}
