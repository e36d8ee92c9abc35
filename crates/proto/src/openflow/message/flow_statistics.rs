//! Statistics of flows, one by one and together (OpenFlow 1.5, 7.3.5.2 to 7.3.5.5; NXST_FLOW and NXST_AGGREGATE).

use super::flow::{ALL_TABLES, ANY_GROUP, FlowFlags};
use super::octets::{Age, Decoded, ReadMore, WriteMore};
use super::{Context, Dialect, EncodeError, Encoded, oxs, parts};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::matching::{Cookie, Rules};
use crate::openflow::{Action, Match, OfError, OfPort, Version};

/// Which flows are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowSelection {
    /// The table; [`ALL_TABLES`] for all.
    pub table: u8,
    /// Only flows that send there; [`OfPort::NONE`] for any.
    pub out_port: OfPort,
    /// Only flows that use it; [`ANY_GROUP`] for any. From version 1.1 on.
    pub out_group: u32,
    /// Only flows with this number. The mask is not zero.
    pub cookie: Option<Cookie>,
    /// Only flows that match what this matches, or less.
    pub matching: Match,
    /// The message of the standard, or Nicira's (version 1.0).
    pub dialect: Dialect,
}

impl Default for FlowSelection {
    fn default() -> Self {
        Self {
            table: ALL_TABLES,
            out_port: OfPort::NONE,
            out_group: ANY_GROUP,
            cookie: None,
            matching: Match::any(),
            dialect: Dialect::Standard,
        }
    }
}

impl FlowSelection {
    pub(super) fn decode(version: Version, dialect: Dialect, body: &mut Reader<'_>) -> Decoded<Self> {
        if dialect == Dialect::Nicira {
            let (out_port, length, table) = (body.port16()?, body.u16()?, body.u8()?);
            body.skip(3)?;
            let rules = Rules { cookie: true, ..Rules::STRICT };
            let (matching, cookie) = Match::take_nxm(body, length.into(), rules)?;
            let cookie = cookie.filter(|(_, mask)| *mask != 0);
            return Ok(Self { table, out_port, out_group: ANY_GROUP, cookie, matching, dialect });
        }
        if version == Version::V10 {
            let matching = Match::take_v10(body)?;
            let table = body.u8()?;
            body.skip(1)?;
            return Ok(Self { table, out_port: body.port16()?, matching, ..Self::default() });
        }
        let table = body.u8()?;
        body.skip(3)?;
        let (out_port, out_group) = (body.port32()?, body.u32()?);
        body.skip(4)?;
        let (cookie, mask) = (body.u64()?, body.u64()?);
        let cookie = (mask != 0).then_some((cookie & mask, mask));
        Ok(Self { table, out_port, out_group, cookie, matching: Match::take_v11(body)?, dialect })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) -> Encoded {
        if version == Version::V10 && self.out_group != ANY_GROUP {
            return Err(EncodeError::Unsayable {
                version,
                what: "that only flows that use a group are asked for",
            });
        }
        match (self.dialect, version) {
            (Dialect::Nicira, _) => {
                writer.port16(self.out_port);
                let length = writer.len();
                writer.u16(0);
                writer.u8(self.table);
                writer.zeros(3);
                let octets = self.matching.put_nxm(self.cookie, writer);
                writer.patch_u16(length, u16::try_from(octets).unwrap_or(u16::MAX));
                Ok(())
            }
            (Dialect::Standard, Version::V10) => {
                if self.cookie.is_some() {
                    return Err(EncodeError::Unsayable {
                        version,
                        what: "that only flows with a number are asked for",
                    });
                }
                parts::put_match_10(&self.matching, writer)?;
                writer.u8(self.table);
                writer.zeros(1);
                writer.port16(self.out_port);
                Ok(())
            }
            (Dialect::Standard, _) => {
                let (cookie, mask) = self.cookie.unwrap_or_default();
                writer.u8(self.table);
                writer.zeros(3);
                writer.port32(self.out_port);
                writer.u32(self.out_group);
                writer.zeros(4);
                writer.u64(cookie);
                writer.u64(mask);
                parts::put_match(version, &self.matching, writer)
            }
        }
    }
}

/// How a flow is, without what it matches and does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowState {
    /// Its table.
    pub table: u8,
    /// Its priority.
    pub priority: u16,
    /// Its number.
    pub cookie: u64,
    /// For how long it is there; nothing if that is not known (version 1.5).
    pub age: Option<Age>,
    /// Seconds without packets after which it goes away; 0 for never.
    pub idle_timeout: u16,
    /// Seconds after which it goes away; 0 for never.
    pub hard_timeout: u16,
    /// How much it weighs when flows must go; from version 1.4 on.
    pub importance: u16,
    /// How it is treated; from version 1.3 on.
    pub flags: FlowFlags,
    /// Seconds since its last packet; Nicira's message, and version 1.5. More than 65534 is told as that by Nicira's.
    pub idle_age: Option<u32>,
    /// Seconds since it was changed; Nicira's message only.
    pub hard_age: Option<u32>,
    /// Packets. All bits are set if that is not known; the messages of versions 1.0 to 1.4 tell 0 then.
    pub packets: u64,
    /// Octets, likewise.
    pub bytes: u64,
}

/// A flow that is told.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowStatistics {
    /// How it is.
    pub state: FlowState,
    /// What it matches.
    pub matching: Match,
    /// What it does.
    pub actions: Vec<Action>,
}

/// Reads one entry whose length comes first, and leaves the rest.
fn entry<'a>(reader: &mut Reader<'a>) -> Decoded<Reader<'a>> {
    let length = usize::from(Reader::new(reader.rest()).u16()?);
    let mut entry = reader.sub(length)?;
    entry.skip(2)?;
    Ok(entry)
}

impl FlowStatistics {
    pub(super) fn decode(context: Context<'_>, dialect: Dialect, reader: &mut Reader<'_>) -> Decoded<Self> {
        let version = context.version;
        let mut entry = entry(reader)?;
        let entry = &mut entry;
        let (state, matching) = match (dialect, version) {
            (Dialect::Nicira, _) => Self::decode_nicira(entry)?,
            (Dialect::Standard, Version::V10) => Self::decode_10(entry)?,
            (Dialect::Standard, Version::V15) => Self::decode_15(version, entry)?,
            (Dialect::Standard, _) => Self::decode_11(version, entry)?,
        };
        Ok(Self { state, matching, actions: parts::take_instructions(context, entry)? })
    }

    fn decode_15(version: Version, entry: &mut Reader<'_>) -> Decoded<(FlowState, Match)> {
        entry.skip(2)?;
        let table = entry.u8()?;
        entry.skip(1)?;
        let (priority, idle_timeout, hard_timeout) = (entry.u16()?, entry.u16()?, entry.u16()?);
        let (flags, importance, cookie) = (entry.u16()?, entry.u16()?, entry.u64()?);
        let matching = Match::take_v11(entry)?;
        let flags = FlowFlags::decode(version, flags)?;
        let statistics = oxs::Statistics::decode(entry)?;
        let state = FlowState {
            table,
            priority,
            cookie,
            age: statistics.age,
            idle_timeout,
            hard_timeout,
            importance,
            flags,
            idle_age: statistics.idle_seconds,
            hard_age: None,
            packets: statistics.packets(),
            bytes: statistics.bytes(),
        };
        Ok((state, matching))
    }

    fn decode_11(version: Version, entry: &mut Reader<'_>) -> Decoded<(FlowState, Match)> {
        let table = entry.u8()?;
        entry.skip(1)?;
        let (age, priority) = (Some(Age::decode(entry)?), entry.u16()?);
        let (idle_timeout, hard_timeout, flags, importance) =
            (entry.u16()?, entry.u16()?, entry.u16()?, entry.u16()?);
        entry.skip(2)?;
        let (cookie, packets, bytes) = (entry.u64()?, entry.u64()?, entry.u64()?);
        let matching = Match::take_v11(entry)?;
        let flags =
            if version >= Version::V13 { FlowFlags::decode(version, flags)? } else { FlowFlags::NONE };
        let importance = if version >= Version::V14 { importance } else { 0 };
        let (idle_age, hard_age) = (None, None);
        let state = FlowState {
            table,
            priority,
            cookie,
            age,
            idle_timeout,
            hard_timeout,
            importance,
            flags,
            idle_age,
            hard_age,
            packets,
            bytes,
        };
        Ok((state, matching))
    }

    fn decode_10(entry: &mut Reader<'_>) -> Decoded<(FlowState, Match)> {
        let table = entry.u8()?;
        entry.skip(1)?;
        let matching = Match::take_v10(entry)?;
        let (age, priority) = (Some(Age::decode(entry)?), entry.u16()?);
        let (idle_timeout, hard_timeout) = (entry.u16()?, entry.u16()?);
        entry.skip(6)?;
        let (cookie, packets, bytes) = (entry.u64()?, entry.u64()?, entry.u64()?);
        let state = FlowState {
            table,
            priority,
            cookie,
            age,
            idle_timeout,
            hard_timeout,
            packets,
            bytes,
            ..FlowState::default()
        };
        Ok((state, matching))
    }

    fn decode_nicira(entry: &mut Reader<'_>) -> Decoded<(FlowState, Match)> {
        let table = entry.u8()?;
        entry.skip(1)?;
        let (age, priority) = (Some(Age::decode(entry)?), entry.u16()?);
        let (idle_timeout, hard_timeout, length) = (entry.u16()?, entry.u16()?, entry.u16()?);
        // Both are told plus one, so that zero can say that they are not known.
        let (idle_age, hard_age) = (entry.u16()?.checked_sub(1), entry.u16()?.checked_sub(1));
        let (cookie, packets, bytes) = (entry.u64()?, entry.u64()?, entry.u64()?);
        let (matching, _) = Match::take_nxm(entry, length.into(), Rules::STRICT)?;
        let (idle_age, hard_age) = (idle_age.map(u32::from), hard_age.map(u32::from));
        let state = FlowState {
            table,
            priority,
            cookie,
            age,
            idle_timeout,
            hard_timeout,
            idle_age,
            hard_age,
            packets,
            bytes,
            ..FlowState::default()
        };
        Ok((state, matching))
    }
}

impl FlowState {
    /// Writes an entry with what the flow matches and does.
    pub(super) fn encode(
        &self,
        context: Context<'_>,
        dialect: Dialect,
        matching: &Match,
        actions: &[Action],
        writer: &mut Writer,
    ) -> Encoded {
        let version = context.version;
        let start = writer.len();
        writer.u16(0);
        match (dialect, version) {
            (Dialect::Nicira, _) => self.encode_nicira(matching, writer),
            (Dialect::Standard, Version::V10) => self.encode_10(matching, writer)?,
            (Dialect::Standard, Version::V15) => self.encode_15(version, matching, writer),
            (Dialect::Standard, _) => self.encode_11(version, matching, writer),
        }
        parts::put_instructions(context, matching, actions, writer)?;
        writer.patch_length(start, start);
        Ok(())
    }

    fn age(&self) -> Age {
        self.age.unwrap_or(Age { seconds: u32::MAX, nanoseconds: u32::MAX })
    }

    fn encode_15(&self, version: Version, matching: &Match, writer: &mut Writer) {
        writer.zeros(2);
        writer.u8(self.table);
        writer.zeros(1);
        writer.u16(self.priority);
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        writer.u16(self.flags.encode(version));
        writer.u16(self.importance);
        writer.u64(self.cookie);
        matching.put_oxm(version, writer);
        let counted = oxs::Statistics::of(self.age, self.packets, self.bytes);
        oxs::Statistics { idle_seconds: self.idle_age, ..counted }.encode(writer);
    }

    /// Open vSwitch tells matches as lists of fields here in version 1.1 too, which cannot say all as a structure.
    fn encode_11(&self, version: Version, matching: &Match, writer: &mut Writer) {
        writer.u8(self.table);
        writer.zeros(1);
        self.age().encode(writer);
        writer.u16(self.priority);
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        writer.u16(if version >= Version::V13 { self.flags.encode(version) } else { 0 });
        writer.u16(if version >= Version::V14 { self.importance } else { 0 });
        writer.zeros(2);
        writer.u64(self.cookie);
        writer.u64(oxs::zero_if_unknown(self.packets));
        writer.u64(oxs::zero_if_unknown(self.bytes));
        matching.put_oxm(version, writer);
    }

    fn encode_10(&self, matching: &Match, writer: &mut Writer) -> Encoded {
        writer.u8(self.table);
        writer.zeros(1);
        parts::put_match_10(matching, writer)?;
        self.age().encode(writer);
        writer.u16(self.priority);
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        writer.zeros(6);
        writer.u64(self.cookie);
        writer.u64(oxs::zero_if_unknown(self.packets));
        writer.u64(oxs::zero_if_unknown(self.bytes));
        Ok(())
    }

    fn encode_nicira(&self, matching: &Match, writer: &mut Writer) {
        let plus_one =
            |age: Option<u32>| age.map_or(0, |age| u16::try_from(age).unwrap_or(u16::MAX).saturating_add(1));
        writer.u8(self.table);
        writer.zeros(1);
        self.age().encode(writer);
        writer.u16(self.priority);
        writer.u16(self.idle_timeout);
        writer.u16(self.hard_timeout);
        let length = writer.len();
        writer.u16(0);
        writer.u16(plus_one(self.idle_age));
        writer.u16(plus_one(self.hard_age));
        writer.u64(self.cookie);
        writer.u64(self.packets);
        writer.u64(self.bytes);
        let octets = matching.put_nxm(None, writer);
        writer.patch_u16(length, u16::try_from(octets).unwrap_or(u16::MAX));
    }
}

/// Counters of a flow without what it does; version 1.5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowCounters {
    /// Its table.
    pub table: u8,
    /// Why it is told: 0 asked for, 1 a trigger.
    pub reason: u8,
    /// Its priority.
    pub priority: u16,
    /// What it matches.
    pub matching: Match,
    /// For how long it is there.
    pub age: Option<Age>,
    /// Seconds since its last packet.
    pub idle_age: Option<u32>,
    /// Packets. All bits are set if that is not known.
    pub packets: u64,
    /// Octets, likewise.
    pub bytes: u64,
}

impl FlowCounters {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut entry = entry(reader)?;
        entry.skip(2)?;
        let (table, reason, priority) = (entry.u8()?, entry.u8()?, entry.u16()?);
        let matching = Match::take_v11(&mut entry)?;
        let statistics = oxs::Statistics::decode(&mut entry)?;
        if !entry.is_empty() {
            return Err(OfError::OFPBRC_BAD_LEN);
        }
        let (age, idle_age) = (statistics.age, statistics.idle_seconds);
        let (packets, bytes) = (statistics.packets(), statistics.bytes());
        Ok(Self { table, reason, priority, matching, age, idle_age, packets, bytes })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) -> Encoded {
        let start = writer.len();
        writer.zeros(4);
        writer.u8(self.table);
        writer.u8(self.reason);
        writer.u16(self.priority);
        parts::put_match(version, &self.matching, writer)?;
        let counted = oxs::Statistics::of(self.age, self.packets, self.bytes);
        oxs::Statistics { idle_seconds: self.idle_age, ..counted }.encode(writer);
        writer.patch_length(start, start);
        Ok(())
    }
}

/// Flows together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AggregateStatistics {
    /// Packets. All bits are set if that is not known; the message of version 1.0 tells 0 then.
    pub packets: u64,
    /// Octets, likewise.
    pub bytes: u64,
    /// Flows.
    pub flows: u32,
    /// The message of the standard, or Nicira's (version 1.0).
    pub dialect: Dialect,
}

impl AggregateStatistics {
    pub(super) fn decode(version: Version, dialect: Dialect, body: &mut Reader<'_>) -> Decoded<Self> {
        if version == Version::V15 {
            let statistics = oxs::Statistics::decode(body)?;
            let (packets, bytes, flows) = (statistics.packets(), statistics.bytes(), statistics.flows);
            return Ok(Self { packets, bytes, flows: flows.unwrap_or(u32::MAX), dialect });
        }
        let (packets, bytes, flows) = (body.u64()?, body.u64()?, body.u32()?);
        body.skip(4)?;
        Ok(Self { packets, bytes, flows, dialect })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        if version == Version::V15 {
            let counted = oxs::Statistics::of(None, self.packets, self.bytes);
            oxs::Statistics { flows: Some(self.flows).filter(|flows| *flows != u32::MAX), ..counted }
                .encode(writer);
            return;
        }
        let zero = version == Version::V10 && self.dialect == Dialect::Standard;
        let counter = |counter| if zero { oxs::zero_if_unknown(counter) } else { counter };
        writer.u64(counter(self.packets));
        writer.u64(counter(self.bytes));
        writer.u32(self.flows);
        writer.zeros(4);
    }
}
