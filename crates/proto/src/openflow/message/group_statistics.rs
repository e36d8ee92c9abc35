//! What groups counted and can do (OpenFlow 1.5, 7.3.5.10 and 7.3.5.12).

use super::group::GroupCapabilities;
use super::octets::{Age, Decoded};
use crate::openflow::Version;
use crate::openflow::codec::{Reader, Writer};

/// What a bucket counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BucketStatistics {
    /// Packets. All bits are set if that is not known.
    pub packets: u64,
    /// Octets, likewise.
    pub bytes: u64,
}

/// What a group counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupStatistics {
    /// Its number.
    pub group: u32,
    /// Flows and groups that use it.
    pub references: u32,
    /// Packets. All bits are set if that is not known.
    pub packets: u64,
    /// Octets, likewise.
    pub bytes: u64,
    /// For how long it is there; from version 1.3 on and in Nicira's message, and then a must.
    pub age: Option<Age>,
    /// Its buckets.
    pub buckets: Vec<BucketStatistics>,
}

impl GroupStatistics {
    /// Whether a version tells how long a group is there: so does Nicira's message in version 1.0.
    const fn has_age(version: Version) -> bool {
        !matches!(version, Version::V11 | Version::V12)
    }

    pub(super) fn decode(version: Version, reader: &mut Reader<'_>) -> Decoded<Self> {
        let length = usize::from(Reader::new(reader.rest()).u16()?);
        let mut entry = reader.sub(length)?;
        entry.skip(4)?;
        let (group, references) = (entry.u32()?, entry.u32()?);
        entry.skip(4)?;
        let (packets, bytes) = (entry.u64()?, entry.u64()?);
        let age = if Self::has_age(version) { Some(Age::decode(&mut entry)?) } else { None };
        let mut buckets = Vec::new();
        while !entry.is_empty() {
            buckets.push(BucketStatistics { packets: entry.u64()?, bytes: entry.u64()? });
        }
        Ok(Self { group, references, packets, bytes, age, buckets })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        let start = writer.len();
        writer.zeros(4);
        writer.u32(self.group);
        writer.u32(self.references);
        writer.zeros(4);
        writer.u64(self.packets);
        writer.u64(self.bytes);
        if Self::has_age(version) {
            self.age.unwrap_or_default().encode(writer);
        }
        for bucket in &self.buckets {
            writer.u64(bucket.packets);
            writer.u64(bucket.bytes);
        }
        writer.patch_length(start, start);
    }
}

/// What groups can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GroupFeatures {
    /// The kinds of groups, a bit for each number.
    pub kinds: u32,
    /// What else they can do.
    pub capabilities: GroupCapabilities,
    /// How many there can be of each kind.
    pub maximum: [u32; 4],
    /// The actions that each kind can have, a bit for each number of the version.
    pub actions: [u32; 4],
}

impl GroupFeatures {
    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        let (kinds, capabilities) = (body.u32()?, GroupCapabilities::from_bits(body.u32()?));
        let mut features = Self { kinds, capabilities, ..Self::default() };
        for number in features.maximum.iter_mut().chain(&mut features.actions) {
            *number = body.u32()?;
        }
        Ok(features)
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.kinds);
        writer.u32(self.capabilities.bits());
        self.maximum.iter().chain(&self.actions).for_each(|number| writer.u32(*number));
    }
}
