//! A flow went away (OpenFlow 1.5, 7.4.2; NXT_FLOW_REMOVED).

use super::numbers::numbers;
use super::octets::{Age, Decoded};
use super::{Dialect, Encoded, oxs, parts};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::matching::Rules;
use crate::openflow::{Match, Version};

numbers! {
    /// Why a flow went away.
    pub enum FlowRemovedReason: u8 {
        /// No packets for too long.
        IdleTimeout = 0,
        /// Its time was over.
        HardTimeout = 1,
        /// Somebody wanted it.
        Delete = 2,
        /// Its group went away.
        GroupDelete = 3,
        /// Its meter went away; before version 1.4 it is told as a deletion.
        MeterDelete = 4,
        /// It had to make room.
        Eviction = 5,
    }
}

/// A flow went away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRemoved {
    /// What it matched.
    pub matching: Match,
    /// Its number.
    pub cookie: u64,
    /// Its priority.
    pub priority: u16,
    /// Why. Legal values: those of [`FlowRemovedReason`]; others are kept as they came.
    pub reason: u8,
    /// Its table; the message of version 1.0 has none.
    pub table: Option<u8>,
    /// For how long it was there; nothing if that is not known (version 1.5).
    pub age: Option<Age>,
    /// Seconds without packets after which it would have gone.
    pub idle_timeout: u16,
    /// Seconds after which it would have gone; not in version 1.0.
    pub hard_timeout: u16,
    /// Packets. All bits are set if that is not known; version 1.0 tells 0 then.
    pub packets: u64,
    /// Octets, likewise.
    pub bytes: u64,
    /// The message of the standard, or Nicira's.
    pub dialect: Dialect,
}

impl FlowRemoved {
    pub(super) fn decode(version: Version, dialect: Dialect, body: &mut Reader<'_>) -> Decoded<Self> {
        match (dialect, version) {
            (Dialect::Nicira, _) => Self::decode_nicira(body),
            (Dialect::Standard, Version::V10) => Self::decode_10(body),
            (Dialect::Standard, Version::V15) => Self::decode_15(body),
            (Dialect::Standard, _) => Self::decode_11(body),
        }
    }

    fn decode_15(body: &mut Reader<'_>) -> Decoded<Self> {
        let (table, reason, priority) = (body.u8()?, body.u8()?, body.u16()?);
        let (idle_timeout, hard_timeout, cookie) = (body.u16()?, body.u16()?, body.u64()?);
        let matching = Match::take_v11(body)?;
        let statistics = oxs::Statistics::decode(body)?;
        Ok(Self {
            matching,
            cookie,
            priority,
            reason,
            table: Some(table),
            age: statistics.age,
            idle_timeout,
            hard_timeout,
            packets: statistics.packets(),
            bytes: statistics.bytes(),
            dialect: Dialect::Standard,
        })
    }

    fn decode_11(body: &mut Reader<'_>) -> Decoded<Self> {
        let (cookie, priority, reason, table) = (body.u64()?, body.u16()?, body.u8()?, body.u8()?);
        let (age, idle_timeout, hard_timeout) = (Age::decode(body)?, body.u16()?, body.u16()?);
        let (packets, bytes) = (body.u64()?, body.u64()?);
        let matching = Match::take_v11(body)?;
        let (table, age, dialect) = (Some(table), Some(age), Dialect::Standard);
        Ok(Self {
            matching,
            cookie,
            priority,
            reason,
            table,
            age,
            idle_timeout,
            hard_timeout,
            packets,
            bytes,
            dialect,
        })
    }

    fn decode_10(body: &mut Reader<'_>) -> Decoded<Self> {
        let matching = Match::take_v10(body)?;
        let (cookie, priority, reason) = (body.u64()?, body.u16()?, body.u8()?);
        body.skip(1)?;
        let (age, idle_timeout) = (Age::decode(body)?, body.u16()?);
        body.skip(2)?;
        let (packets, bytes) = (body.u64()?, body.u64()?);
        let (table, age, hard_timeout, dialect) = (None, Some(age), 0, Dialect::Standard);
        Ok(Self {
            matching,
            cookie,
            priority,
            reason,
            table,
            age,
            idle_timeout,
            hard_timeout,
            packets,
            bytes,
            dialect,
        })
    }

    fn decode_nicira(body: &mut Reader<'_>) -> Decoded<Self> {
        let (cookie, priority, reason) = (body.u64()?, body.u16()?, body.u8()?);
        let table = body.u8()?.checked_sub(1);
        let (age, idle_timeout, length) = (Age::decode(body)?, body.u16()?, body.u16()?);
        let (packets, bytes) = (body.u64()?, body.u64()?);
        let (matching, _) = Match::take_nxm(body, length.into(), Rules::STRICT)?;
        let (age, hard_timeout, dialect) = (Some(age), 0, Dialect::Nicira);
        Ok(Self {
            matching,
            cookie,
            priority,
            reason,
            table,
            age,
            idle_timeout,
            hard_timeout,
            packets,
            bytes,
            dialect,
        })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) -> Encoded {
        let old = version < Version::V14 && self.reason == FlowRemovedReason::MeterDelete.number();
        let reason = if old { FlowRemovedReason::Delete.number() } else { self.reason };
        let age = self.age.unwrap_or(Age { seconds: u32::MAX, nanoseconds: u32::MAX });
        match (self.dialect, version) {
            (Dialect::Nicira, _) => {
                writer.u64(self.cookie);
                writer.u16(self.priority);
                writer.u8(reason);
                writer.u8(self.table.map_or(0, |table| table.wrapping_add(1)));
                age.encode(writer);
                writer.u16(self.idle_timeout);
                let length = writer.len();
                writer.u16(0);
                writer.u64(self.packets);
                writer.u64(self.bytes);
                let octets = self.matching.put_nxm(None, writer);
                writer.patch_u16(length, u16::try_from(octets).unwrap_or(u16::MAX));
            }
            (Dialect::Standard, Version::V10) => {
                parts::put_match_10(&self.matching, writer)?;
                writer.u64(self.cookie);
                writer.u16(self.priority);
                writer.u8(reason);
                writer.zeros(1);
                age.encode(writer);
                writer.u16(self.idle_timeout);
                writer.zeros(2);
                writer.u64(oxs::zero_if_unknown(self.packets));
                writer.u64(oxs::zero_if_unknown(self.bytes));
            }
            (Dialect::Standard, Version::V15) => {
                writer.u8(self.table.unwrap_or(255));
                writer.u8(reason);
                writer.u16(self.priority);
                writer.u16(self.idle_timeout);
                writer.u16(self.hard_timeout);
                writer.u64(self.cookie);
                parts::put_match(version, &self.matching, writer)?;
                oxs::Statistics::of(self.age, self.packets, self.bytes).encode(writer);
            }
            (Dialect::Standard, _) => {
                writer.u64(self.cookie);
                writer.u16(self.priority);
                writer.u8(reason);
                writer.u8(self.table.unwrap_or(255));
                age.encode(writer);
                writer.u16(self.idle_timeout);
                writer.u16(self.hard_timeout);
                writer.u64(self.packets);
                writer.u64(self.bytes);
                parts::put_match(version, &self.matching, writer)?;
            }
        }
        Ok(())
    }
}
