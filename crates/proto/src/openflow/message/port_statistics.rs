//! Statistics of ports (OpenFlow 1.5, 7.3.5.7), with the counters of RFC 2819 that Open vSwitch adds from version 1.4 on.

use super::octets::{Age, Decoded, ReadMore, WriteMore};
use super::property::{self, Property, PropertyKind};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, OfPort, Version};

/// What a port counted. A counter that is not kept has all bits set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortStatistics {
    /// The port.
    pub port: OfPort,
    /// Packets that came in.
    pub received_packets: u64,
    /// Packets that went out.
    pub sent_packets: u64,
    /// Octets that came in.
    pub received_bytes: u64,
    /// Octets that went out.
    pub sent_bytes: u64,
    /// Packets dropped as they came in.
    pub received_dropped: u64,
    /// Packets dropped as they were to go out.
    pub sent_dropped: u64,
    /// Errors as packets came in.
    pub received_errors: u64,
    /// Errors as packets were to go out.
    pub sent_errors: u64,
    /// Frames of uneven length.
    pub frame_errors: u64,
    /// Packets that came too fast.
    pub overrun_errors: u64,
    /// Wrong checksums.
    pub checksum_errors: u64,
    /// Collisions.
    pub collisions: u64,
    /// For how long the port is there; from version 1.3 on, and then a must.
    pub age: Option<Age>,
    /// Packets by length and kind; from version 1.4 on.
    pub histogram: Option<Box<[u64; PortStatistics::HISTOGRAM]>>,
    /// Counters of the driver, by name; from version 1.4 on. Legal lengths of names: up to 255 octets.
    pub custom: Vec<(String, u64)>,
}

const ETHERNET: PropertyKind = PropertyKind::Standard(0);
/// Experimenter of the counters that Open vSwitch adds.
const INTEL: u32 = 0xaa01;
const HISTOGRAM_COUNTERS: PropertyKind = PropertyKind::Experimenter(INTEL, 1);
const CUSTOM_COUNTERS: PropertyKind = PropertyKind::Experimenter(INTEL, 2);

impl PortStatistics {
    /// Counters of the histogram, in this order: received packets of 1-64, 65-127, 128-255, 256-511, 512-1023, 1024-1522
    /// and more octets, sent packets likewise, sent multicast, received broadcast, sent broadcast, and received packets
    /// that were undersized, oversized, fragments, and jabber.
    pub const HISTOGRAM: usize = 21;

    /// A port of which nothing is known.
    #[must_use]
    pub fn unknown(port: OfPort) -> Self {
        let counters = [u64::MAX; 12];
        Self::from_counters(port, counters)
    }

    fn from_counters(port: OfPort, counters: [u64; 12]) -> Self {
        let [
            received_packets,
            sent_packets,
            received_bytes,
            sent_bytes,
            received_dropped,
            sent_dropped,
            received_errors,
            sent_errors,
            frame_errors,
            overrun_errors,
            checksum_errors,
            collisions,
        ] = counters;
        Self {
            port,
            received_packets,
            sent_packets,
            received_bytes,
            sent_bytes,
            received_dropped,
            sent_dropped,
            received_errors,
            sent_errors,
            frame_errors,
            overrun_errors,
            checksum_errors,
            collisions,
            age: None,
            histogram: None,
            custom: Vec::new(),
        }
    }

    fn counters(&self) -> [u64; 8] {
        [
            self.received_packets,
            self.sent_packets,
            self.received_bytes,
            self.sent_bytes,
            self.received_dropped,
            self.sent_dropped,
            self.received_errors,
            self.sent_errors,
        ]
    }

    fn errors(&self) -> [u64; 4] {
        [self.frame_errors, self.overrun_errors, self.checksum_errors, self.collisions]
    }

    pub(super) fn decode(version: Version, reader: &mut Reader<'_>) -> Decoded<Self> {
        if version >= Version::V14 {
            return Self::decode_14(reader);
        }
        let port = reader.port(version)?;
        reader.skip(if version == Version::V10 { 6 } else { 4 })?;
        let mut counters = [0; 12];
        for counter in &mut counters {
            *counter = reader.u64()?;
        }
        let mut statistics = Self::from_counters(port, counters);
        if version == Version::V13 {
            statistics.age = Some(Age::decode(reader)?);
        }
        Ok(statistics)
    }

    fn decode_14(reader: &mut Reader<'_>) -> Decoded<Self> {
        let length = usize::from(reader.u16()?);
        let mut reader = reader.sub(length.checked_sub(2).ok_or(OfError::OFPBRC_BAD_LEN)?)?;
        reader.skip(2)?;
        let port = reader.port32()?;
        let age = Age::decode(&mut reader)?;
        let mut counters = [u64::MAX; 12];
        for counter in &mut counters[..8] {
            *counter = reader.u64()?;
        }
        let mut statistics = Self { age: Some(age), ..Self::from_counters(port, counters) };
        while !reader.is_empty() {
            statistics.property(property::next(&mut reader)?)?;
        }
        Ok(statistics)
    }

    /// Properties that are not known are passed over.
    fn property(&mut self, property: Property<'_>) -> Decoded<()> {
        match property.kind {
            ETHERNET => {
                let mut value = property.nested()?;
                let errors = [
                    &mut self.frame_errors,
                    &mut self.overrun_errors,
                    &mut self.checksum_errors,
                    &mut self.collisions,
                ];
                for counter in errors {
                    *counter = value.u64()?;
                }
                if value.is_empty() { Ok(()) } else { Err(OfError::OFPBPC_BAD_LEN) }
            }
            HISTOGRAM_COUNTERS => {
                let mut value = property.nested()?;
                let mut histogram = Box::new([0; Self::HISTOGRAM]);
                for counter in histogram.iter_mut() {
                    *counter = value.u64()?;
                }
                self.histogram = Some(histogram);
                if value.is_empty() { Ok(()) } else { Err(OfError::OFPBPC_BAD_LEN) }
            }
            CUSTOM_COUNTERS => {
                let mut value = property.reader();
                value.skip(2)?;
                let count = value.u16()?;
                for _ in 0..count {
                    let length = usize::from(value.u8()?);
                    let name = String::from_utf8_lossy(value.take(length)?).into_owned();
                    self.custom.push((name, value.u64()?));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        let start = writer.len();
        if version < Version::V14 {
            writer.port(version, self.port);
            writer.zeros(if version == Version::V10 { 6 } else { 4 });
            self.counters().into_iter().chain(self.errors()).for_each(|counter| writer.u64(counter));
            if version == Version::V13 {
                self.age.unwrap_or_default().encode(writer);
            }
            return;
        }
        writer.zeros(4);
        writer.port32(self.port);
        self.age.unwrap_or_default().encode(writer);
        self.counters().into_iter().for_each(|counter| writer.u64(counter));
        property::put(writer, ETHERNET, |writer| {
            writer.zeros(4);
            self.errors().into_iter().for_each(|counter| writer.u64(counter));
        });
        if let Some(histogram) = &self.histogram {
            property::put(writer, HISTOGRAM_COUNTERS, |writer| {
                writer.zeros(4);
                histogram.iter().for_each(|counter| writer.u64(*counter));
            });
        }
        if !self.custom.is_empty() {
            property::put(writer, CUSTOM_COUNTERS, |writer| {
                writer.zeros(2);
                writer.u16(u16::try_from(self.custom.len()).unwrap_or(u16::MAX));
                for (name, value) in self.custom.iter().take(usize::from(u16::MAX)) {
                    let mut name = name.clone();
                    name.truncate(name.floor_char_boundary(255));
                    writer.u8(name.len() as u8);
                    writer.bytes(name.as_bytes());
                    writer.u64(*value);
                }
            });
        }
        writer.patch_length(start, start);
    }
}
