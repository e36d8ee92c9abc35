//! Queues of ports: how they are set, and what they counted (OpenFlow 1.5, 7.3.5.8 and 7.3.5.9; 1.3, A.3.6).

use super::octets::{Age, Decoded, ReadMore, WriteMore};
use super::property::{self, PropertyKind};
use super::{EncodeError, Encoded};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, OfPort, Version};

/// Number that stands for all queues.
pub const ALL_QUEUES: u32 = u32::MAX;

const MINIMUM_RATE: u16 = 1;
const MAXIMUM_RATE: u16 = 2;

/// How a queue is set. Rates are tenths of a percent of the port's; above 1000 they are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueConfig {
    /// The port.
    pub port: OfPort,
    /// The queue.
    pub queue: u32,
    /// Rate that it is sure of. Legal values: up to 65534.
    pub minimum_rate: Option<u16>,
    /// Rate that it may not pass; from version 1.1 on. Legal values: up to 65534.
    pub maximum_rate: Option<u16>,
}

/// Which queues are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSelection {
    /// The port; [`OfPort::NONE`] means all.
    pub port: OfPort,
    /// The queue, or [`ALL_QUEUES`].
    pub queue: u32,
}

impl QueueSelection {
    /// In a request for statistics. Version 1.0 has another number for all ports.
    pub(super) fn decode_statistics(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let mut port = body.port(version)?;
        if version == Version::V10 {
            body.skip(2)?;
            port = if port == OfPort::ALL { OfPort::NONE } else { port };
        }
        Ok(Self { port, queue: body.u32()? })
    }

    pub(super) fn encode_statistics(&self, version: Version, writer: &mut Writer) {
        if version == Version::V10 {
            writer.port16(if self.port == OfPort::NONE { OfPort::ALL } else { self.port });
            writer.zeros(2);
        } else {
            writer.port32(self.port);
        }
        writer.u32(self.queue);
    }

    /// In a request for descriptions, which is a message of its own up to version 1.3.
    pub(super) fn decode_description(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let port = body.port(version)?;
        if version >= Version::V14 {
            return Ok(Self { port, queue: body.u32()? });
        }
        body.skip(if version == Version::V10 { 2 } else { 4 })?;
        if port.is_reserved() && (version == Version::V10 || port != OfPort::NONE) {
            return Err(OfError::OFPQOFC_BAD_PORT);
        }
        Ok(Self { port, queue: ALL_QUEUES })
    }

    pub(super) fn encode_description(&self, version: Version, writer: &mut Writer) -> Encoded {
        let all = self.port == OfPort::NONE && version > Version::V10;
        if version < Version::V14 && self.port.is_reserved() && !all {
            return Err(EncodeError::Unsayable {
                version,
                what: "such ports whose queues are to be described",
            });
        }
        writer.port(version, self.port);
        if version >= Version::V14 {
            writer.u32(self.queue);
        } else if self.queue == ALL_QUEUES {
            writer.zeros(if version == Version::V10 { 2 } else { 4 });
        } else {
            return Err(EncodeError::Unsayable { version, what: "that a single queue is to be described" });
        }
        Ok(())
    }
}

/// How the queues of a port are set: a message of its own up to version 1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfigReply {
    /// The port.
    pub port: OfPort,
    /// Its queues.
    pub queues: Vec<QueueConfig>,
}

impl QueueConfigReply {
    pub(super) fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let port = body.port(version)?;
        body.skip(if version == Version::V10 { 6 } else { 4 })?;
        let mut queues = Vec::new();
        while !body.is_empty() {
            queues.push(QueueConfig::decode_old(version, port, body)?);
        }
        Ok(Self { port, queues })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        writer.port(version, self.port);
        writer.zeros(if version == Version::V10 { 6 } else { 4 });
        self.queues.iter().for_each(|queue| queue.encode_old(version, writer));
    }
}

impl QueueConfig {
    fn decode_old(version: Version, port: OfPort, reader: &mut Reader<'_>) -> Decoded<Self> {
        let queue = reader.u32()?;
        let mut head = 8;
        if version >= Version::V12 {
            // The port once more: it is that of the message.
            reader.skip(4)?;
            head = 16;
        }
        let length = usize::from(reader.u16()?);
        reader.skip(head - if version >= Version::V12 { 10 } else { 6 })?;
        if !length.is_multiple_of(8) {
            return Err(OfError::OFPBRC_BAD_LEN);
        }
        let mut properties = reader.sub(length.checked_sub(head).ok_or(OfError::OFPBRC_BAD_LEN)?)?;
        let mut config = Self { port, queue, minimum_rate: None, maximum_rate: None };
        while !properties.is_empty() {
            let (kind, length) = (properties.u16()?, usize::from(properties.u16()?));
            let mut value = properties.sub(length.checked_sub(4).ok_or(OfError::OFPBRC_BAD_LEN)?)?;
            value.skip(4)?;
            config.set_rate(kind, &mut value)?;
        }
        Ok(config)
    }

    fn set_rate(&mut self, kind: u16, value: &mut Reader<'_>) -> Decoded<()> {
        let place = match kind {
            MINIMUM_RATE => &mut self.minimum_rate,
            MAXIMUM_RATE => &mut self.maximum_rate,
            _ => return Ok(()),
        };
        let rate = value.u16()?;
        *place = (rate != u16::MAX).then_some(rate);
        Ok(())
    }

    fn encode_old(&self, version: Version, writer: &mut Writer) {
        let start = writer.len();
        writer.u32(self.queue);
        if version >= Version::V12 {
            writer.port32(self.port);
        }
        let length = writer.len();
        writer.zeros(if version >= Version::V12 { 8 } else { 4 });
        for (kind, rate) in self.rates(version) {
            writer.u16(kind);
            writer.u16(16);
            writer.zeros(4);
            writer.u16(rate);
            writer.zeros(6);
        }
        writer.patch_length(start, length);
    }

    fn rates(&self, version: Version) -> impl Iterator<Item = (u16, u16)> {
        let maximum = if version == Version::V10 { None } else { self.maximum_rate };
        let rates = [(MINIMUM_RATE, self.minimum_rate), (MAXIMUM_RATE, maximum)];
        rates
            .into_iter()
            .filter_map(|(kind, rate)| rate.filter(|rate| *rate != u16::MAX).map(|rate| (kind, rate)))
    }

    /// One entry of a multipart reply; from version 1.4 on.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let (port, queue, length) = (reader.port32()?, reader.u32()?, usize::from(reader.u16()?));
        reader.skip(6)?;
        if !length.is_multiple_of(8) {
            return Err(OfError::OFPBRC_BAD_LEN);
        }
        let mut properties = reader.sub(length.checked_sub(16).ok_or(OfError::OFPBRC_BAD_LEN)?)?;
        let mut config = Self { port, queue, minimum_rate: None, maximum_rate: None };
        while !properties.is_empty() {
            let property = property::next(&mut properties)?;
            if let PropertyKind::Standard(kind) = property.kind {
                config.set_rate(kind, &mut property.reader())?;
            }
        }
        Ok(config)
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        let start = writer.len();
        writer.port32(self.port);
        writer.u32(self.queue);
        writer.zeros(8);
        self.rates(version).for_each(|(kind, rate)| property::put_u16(writer, kind, rate));
        writer.patch_length(start, start + 8);
    }
}

/// What a queue counted. A counter that is not kept has all bits set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStatistics {
    /// The port.
    pub port: OfPort,
    /// The queue.
    pub queue: u32,
    /// Octets sent.
    pub sent_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets dropped.
    pub sent_errors: u64,
    /// For how long the queue is there; from version 1.3 on, and then a must.
    pub age: Option<Age>,
}

impl QueueStatistics {
    pub(super) fn decode(version: Version, reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut rest = 0;
        if version >= Version::V14 {
            rest = usize::from(reader.u16()?).checked_sub(48).ok_or(OfError::OFPBRC_BAD_LEN)?;
            reader.skip(6)?;
        }
        let port = reader.port(version)?;
        if version == Version::V10 {
            reader.skip(2)?;
        }
        let (queue, sent_bytes, sent_packets, sent_errors) =
            (reader.u32()?, reader.u64()?, reader.u64()?, reader.u64()?);
        let age = if version >= Version::V13 { Some(Age::decode(reader)?) } else { None };
        reader.skip(rest)?;
        Ok(Self { port, queue, sent_bytes, sent_packets, sent_errors, age })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        if version >= Version::V14 {
            writer.u16(48);
            writer.zeros(6);
        }
        writer.port(version, self.port);
        if version == Version::V10 {
            writer.zeros(2);
        }
        writer.u32(self.queue);
        writer.u64(self.sent_bytes);
        writer.u64(self.sent_packets);
        writer.u64(self.sent_errors);
        if version >= Version::V13 {
            self.age.unwrap_or_default().encode(writer);
        }
    }
}
