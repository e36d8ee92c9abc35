//! Bundles: messages that take effect together (OpenFlow 1.5, 7.3.9; the ONF's extension 230 for version 1.3).

use super::numbers::{flags, numbers};
use super::octets::{Decoded, ReadMore};
use super::property::{self, PropertyKind};
use super::wire::{finish, put_header};
use super::{Context, EncodeError, Encoded, Header, Kind, Message, lengths};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, Version};

numbers! {
    /// What is to become of a bundle, or became.
    pub enum BundleCommand: u16 {
        /// It is to be opened.
        OpenRequest = 0,
        /// It is open.
        OpenReply = 1,
        /// It is to be closed.
        CloseRequest = 2,
        /// It is closed.
        CloseReply = 3,
        /// It is to take effect.
        CommitRequest = 4,
        /// It took effect.
        CommitReply = 5,
        /// It is to be forgotten.
        DiscardRequest = 6,
        /// It is forgotten.
        DiscardReply = 7,
    }
}

flags! {
    /// How a bundle takes effect.
    pub struct BundleFlags: u16 {
        /// All of it or nothing.
        ATOMIC = 1 << 0, "atomic";
        /// In order.
        ORDERED = 1 << 1, "ordered";
        /// At a time; version 1.5.
        TIME = 1 << 2, "time";
    }
}

/// A time of day, as messages write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct OfTime {
    /// Seconds since 1970.
    pub seconds: u64,
    /// Nanoseconds beyond the seconds.
    pub nanoseconds: u32,
}

impl OfTime {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let time = Self { seconds: reader.u64()?, nanoseconds: reader.u32()? };
        reader.skip(4)?;
        Ok(time)
    }

    fn encode(self, writer: &mut Writer) {
        writer.u64(self.seconds);
        writer.u32(self.nanoseconds);
        writer.zeros(4);
    }
}

/// Something is to become of a bundle, or became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BundleControl {
    /// Its number.
    pub bundle: u32,
    /// What. Legal values: those of [`BundleCommand`]; others are kept as they came, and are the switch's to refuse.
    pub command: u16,
    /// How it takes effect.
    pub flags: BundleFlags,
    /// When it takes effect; version 1.5.
    pub time: Option<OfTime>,
}

const TIME: PropertyKind = PropertyKind::Standard(1);

impl BundleControl {
    /// Properties that are not known are passed over.
    pub(super) fn decode(version: Version, body: &mut Reader<'_>) -> Decoded<Self> {
        let (bundle, command, flags) = (body.u32()?, body.u16()?, BundleFlags::from_bits(body.u16()?));
        let time = decode_time(version, body)?;
        Ok(Self { bundle, command, flags, time })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) {
        writer.u32(self.bundle);
        writer.u16(self.command);
        writer.u16(self.flags.bits());
        encode_time(version, self.time, writer);
    }
}

fn decode_time(version: Version, body: &mut Reader<'_>) -> Decoded<Option<OfTime>> {
    let mut time = None;
    while !body.is_empty() {
        let property = property::next(body)?;
        if property.kind == TIME && version == Version::V15 {
            time = Some(OfTime::decode(&mut property.nested()?)?);
        }
    }
    Ok(time)
}

fn encode_time(version: Version, time: Option<OfTime>, writer: &mut Writer) {
    if let Some(time) = time.filter(|_| version == Version::V15) {
        property::put(writer, TIME, |writer| {
            writer.zeros(4);
            time.encode(writer);
        });
    }
}

/// A message for a bundle. Its number is that of the message around it.
#[derive(Debug, Clone, PartialEq)]
pub struct BundleAdd {
    /// The bundle.
    pub bundle: u32,
    /// How it takes effect.
    pub flags: BundleFlags,
    /// The message. Legal values: those that [`BundleAdd::is_bundlable`] lets in.
    pub message: Box<Message>,
}

impl BundleAdd {
    /// Whether messages of this kind can be in bundles.
    #[must_use]
    pub const fn is_bundlable(kind: Kind) -> bool {
        matches!(kind, Kind::PortMod | Kind::FlowMod | Kind::GroupMod | Kind::PacketOut)
    }

    /// What is within is wrong in its own words: a message that cannot be read is not what Open vSwitch lets in, but one
    /// that can and says something wrong has the error of its own.
    pub(super) fn decode(context: Context<'_>, xid: u32, body: &mut Reader<'_>) -> Decoded<Self> {
        let (bundle, _, flags) = (body.u32()?, body.u16()?, BundleFlags::from_bits(body.u16()?));
        let header = Header::parse(body.rest()).ok_or(OfError::OFPBFC_MSG_BAD_LEN)?;
        if header.version != context.version.wire() {
            return Err(OfError::OFPBFC_BAD_VERSION);
        }
        let length = usize::from(header.length);
        if length < super::header::HEADER_LENGTH || length > body.len() {
            return Err(OfError::OFPBFC_MSG_BAD_LEN);
        }
        if header.xid != xid {
            return Err(OfError::OFPBFC_MSG_BAD_XID);
        }
        let octets = body.take(length)?;
        match Kind::and_body(octets) {
            Ok((owner, kind, inner))
                if Self::is_bundlable(kind)
                    && lengths::check(context.version, owner, kind, inner.len()).is_ok() => {}
            _ => return Err(OfError::OFPBFC_MSG_UNSUP),
        }
        let message = super::decode_with(context, octets)?.1;
        // Filling and properties behind the message say nothing that is known here.
        body.all();
        Ok(Self { bundle, flags, message: Box::new(message) })
    }

    pub(super) fn encode(&self, context: Context<'_>, xid: u32, writer: &mut Writer) -> Encoded {
        let version = context.version;
        if !Self::is_bundlable(self.message.kind()) {
            return Err(EncodeError::Unsayable { version, what: "such a message in a bundle" });
        }
        head(self.bundle, self.flags, writer);
        writer.bytes(&super::encode_with(context, xid, &self.message)?);
        Ok(())
    }
}

fn head(bundle: u32, flags: BundleFlags, writer: &mut Writer) {
    writer.u32(bundle);
    writer.u16(0);
    writer.u16(flags.bits());
}

/// Writes [`BundleAdd`] around a message that is written already, with its number.
///
/// # Errors
/// If the version has no bundles, the message can't be in one, or both together are too long.
pub fn encode_bundled(bundle: u32, flags: BundleFlags, message: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let header = Header::parse(message);
    let version = header.and_then(|header| Version::from_wire(header.version)).unwrap_or(Version::V10);
    let what = "such a message in a bundle";
    let unsayable = EncodeError::Unsayable { version, what };
    if !Kind::of(message).is_ok_and(BundleAdd::is_bundlable) {
        return Err(unsayable);
    }
    let (owner, number) = Kind::BundleAdd.place(version, None).ok_or(unsayable)?;
    let mut writer = Writer::new();
    writer.reserve(HEADERS + message.len());
    put_header(&mut writer, version.wire(), owner, number, header.map_or(0, |header| header.xid));
    head(bundle, flags, &mut writer);
    writer.bytes(message);
    finish(writer)
}

/// Octets before the message that a bundle gets, at most.
const HEADERS: usize = 24;

/// What is asked of bundles; version 1.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BundleFeaturesRequest {
    /// Bit 0: tell the time; bit 1: the properties of time of the request are to be used.
    pub flags: u32,
    /// What the controller says of time.
    pub time: Option<BundleTimeFeatures>,
}

/// What bundles can do; version 1.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BundleFeatures {
    /// How they can take effect.
    pub capabilities: BundleFlags,
    /// What they can do in time.
    pub time: Option<BundleTimeFeatures>,
}

/// How well bundles keep to time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BundleTimeFeatures {
    /// How exact.
    pub accuracy: OfTime,
    /// How far ahead at most.
    pub maximum_future: OfTime,
    /// How long ago at most.
    pub maximum_past: OfTime,
    /// The time now.
    pub now: OfTime,
}

fn decode_features(body: &mut Reader<'_>) -> Decoded<Option<BundleTimeFeatures>> {
    let mut time = None;
    while !body.is_empty() {
        let property = property::next(body)?;
        if property.kind == TIME {
            let mut value = property.nested()?;
            time = Some(BundleTimeFeatures {
                accuracy: OfTime::decode(&mut value)?,
                maximum_future: OfTime::decode(&mut value)?,
                maximum_past: OfTime::decode(&mut value)?,
                now: OfTime::decode(&mut value)?,
            });
        }
    }
    Ok(time)
}

fn encode_features(time: Option<BundleTimeFeatures>, writer: &mut Writer) {
    if let Some(time) = time {
        property::put(writer, TIME, |writer| {
            writer.zeros(4);
            [time.accuracy, time.maximum_future, time.maximum_past, time.now]
                .into_iter()
                .for_each(|time| time.encode(writer));
        });
    }
}

impl BundleFeaturesRequest {
    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        let flags = body.u32()?;
        body.skip(4)?;
        Ok(Self { flags, time: decode_features(body)? })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.flags);
        writer.zeros(4);
        encode_features(self.time, writer);
    }
}

impl BundleFeatures {
    pub(super) fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        let capabilities = BundleFlags::from_bits(body.u16()?);
        body.skip(6)?;
        Ok(Self { capabilities, time: decode_features(body)? })
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u16(self.capabilities.bits());
        writer.zeros(6);
        encode_features(self.time, writer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openflow::Match;
    use crate::openflow::message::{FlowCommand, FlowMod, encode};

    #[test]
    fn around_what_is_written_is_as_from_the_beginning() {
        let flags = BundleFlags::ATOMIC.or(BundleFlags::ORDERED);
        for version in [Version::V13, Version::V14, Version::V15] {
            let message = Message::FlowMod(FlowMod::new(FlowCommand::Add, Match::any()));
            let inner = encode(version, 7, &message).unwrap();
            let add = BundleAdd { bundle: 3, flags, message: Box::new(message) };
            let whole = encode(version, 7, &Message::BundleAdd(add)).unwrap();
            assert_eq!(encode_bundled(3, flags, &inner), Ok(whole), "{version}");
        }
        let message = Message::FlowMod(FlowMod::new(FlowCommand::Add, Match::any()));
        assert!(encode_bundled(3, flags, &encode(Version::V10, 7, &message).unwrap()).is_err());
        let barrier = encode(Version::V14, 7, &Message::BarrierRequest).unwrap();
        assert!(encode_bundled(3, flags, &barrier).is_err() && encode_bundled(3, flags, &[]).is_err());
    }
}
