//! Statistics of flows as a list of fields; version 1.5 (OpenFlow 1.5, 7.2.4).

use super::octets::{Age, Decoded};
use crate::openflow::OfError;
use crate::openflow::codec::{Reader, Writer};

/// What was counted. What is not said is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Statistics {
    pub(super) age: Option<Age>,
    pub(super) idle_seconds: Option<u32>,
    pub(super) packets: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) flows: Option<u32>,
}

/// The class of fields of the standard.
const BASIC: u16 = 0x8002;
const EXPERIMENTER: u16 = 0xffff;
const DURATION: u8 = 0;
const IDLE: u8 = 1;
const FLOWS: u8 = 3;
const PACKETS: u8 = 4;
const BYTES: u8 = 5;

/// A counter that is not known, in messages that have all of them.
const UNKNOWN: u64 = u64::MAX;

impl Statistics {
    /// Reads the list with its header and filling. Fields that are not known are passed over.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut ahead = Reader::with_error(reader.rest(), OfError::OFPBMC_BAD_LEN);
        ahead.skip(2)?;
        let length = usize::from(ahead.u16()?);
        let padded = reader.take(length.next_multiple_of(8)).map_err(|_| OfError::OFPBMC_BAD_LEN)?;
        let fields = padded.get(4..length).ok_or(OfError::OFPBMC_BAD_LEN)?;
        let mut fields = Reader::with_error(fields, OfError::OFPBMC_BAD_LEN);
        let mut statistics = Self::default();
        while !fields.is_empty() {
            statistics.field(&mut fields)?;
        }
        Ok(statistics)
    }

    fn field(&mut self, fields: &mut Reader<'_>) -> Decoded<()> {
        let (class, field, length) = (fields.u16()?, fields.u8()? >> 1, fields.u8()?);
        let mut value = fields.sub(length.into())?;
        if class == EXPERIMENTER {
            value.skip(4)?;
            return Ok(());
        }
        match (class, field, length) {
            (BASIC, DURATION, 8) => self.age = Some(Age::decode(&mut value)?),
            (BASIC, IDLE, 8) => self.idle_seconds = Some(value.u32()?),
            (BASIC, FLOWS, 4) => self.flows = Some(value.u32()?),
            (BASIC, PACKETS, 8) => self.packets = Some(value.u64()?),
            (BASIC, BYTES, 8) => self.bytes = Some(value.u64()?),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        let start = writer.len();
        writer.zeros(4);
        if let Some(age) = self.age {
            put_header(writer, DURATION, 8);
            age.encode(writer);
        }
        if let Some(seconds) = self.idle_seconds {
            put_header(writer, IDLE, 8);
            writer.u32(seconds);
            writer.u32(0);
        }
        if let Some(packets) = self.packets {
            put_header(writer, PACKETS, 8);
            writer.u64(packets);
        }
        if let Some(bytes) = self.bytes {
            put_header(writer, BYTES, 8);
            writer.u64(bytes);
        }
        if let Some(flows) = self.flows {
            put_header(writer, FLOWS, 4);
            writer.u32(flows);
        }
        writer.patch_length(start, start + 2);
        writer.pad(start, 8);
    }

    /// The same with counters that have all bits set where they are not known.
    pub(super) fn of(age: Option<Age>, packets: u64, bytes: u64) -> Self {
        let known = |counter: u64| (counter != UNKNOWN).then_some(counter);
        Self { age, packets: known(packets), bytes: known(bytes), ..Self::default() }
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets.unwrap_or(UNKNOWN)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.unwrap_or(UNKNOWN)
    }
}

fn put_header(writer: &mut Writer, field: u8, length: u8) {
    writer.u16(BASIC);
    writer.u8(field << 1);
    writer.u8(length);
}

/// A counter for messages in which one that is not known is told as zero.
pub(super) fn zero_if_unknown(counter: u64) -> u64 {
    if counter == UNKNOWN { 0 } else { counter }
}
