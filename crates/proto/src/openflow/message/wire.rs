//! From octets to a message's meaning and back: the header, who is asked to read or write the rest, and its length.

use super::kind::EXPERIMENTER;
use super::octets::{Decoded, ReadMore};
use super::{
    AsyncFormat, AsyncMessage, BundleAdd, BundleControl, ConntrackFlush, Context, ControllerStatus, Dialect,
    EncodeError, Encoded, ErrorMessage, Features, FlowFormat, FlowMod, FlowRemoved, GREATEST_LENGTH,
    GroupMod, HEADER_LENGTH, Header, Hello, Kind, Message, MeterMod, PacketIn, PacketInFormat, PacketOut,
    PortMod, PortStatus, QueueConfigReply, QueueSelection, RequestForward, RoleMessage, RoleStatus,
    SwitchConfig, TableMod, TableStatus, TlvTable, TlvTableMod, lengths, multipart, nicira,
};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::Owner;
use crate::openflow::{OfError, Version};

/// Reads a whole message: its number and its meaning. The version is that of its header.
///
/// # Errors
/// The error that a switch answers with: for a length, version or type that is wrong, or for what is within.
pub fn decode(octets: &[u8]) -> Result<(u32, Message), OfError> {
    let header = Header::parse(octets).ok_or(OfError::OFPBRC_BAD_LEN)?;
    decode_with(Context::new(Version::from_wire(header.version).unwrap_or(Version::V10)), octets)
}

/// Reads a whole message of a connection that has agreed on something.
///
/// # Errors
/// As [`decode`]; and if the message is of another version and not one that every version has.
pub fn decode_with(context: Context<'_>, octets: &[u8]) -> Result<(u32, Message), OfError> {
    let header = Header::parse(octets).filter(|header| usize::from(header.length) == octets.len());
    let header = header.ok_or(OfError::OFPBRC_BAD_LEN)?;
    let (owner, kind, mut body) = Kind::and_body(octets)?;
    if header.version != context.version.wire() && !kind.is_immutable() {
        return Err(OfError::OFPBRC_BAD_VERSION);
    }
    lengths::check(context.version, owner, kind, body.len())?;
    let message = decode_body(context, header, owner, kind, &mut body)?;
    if body.is_empty() { Ok((header.xid, message)) } else { Err(OfError::OFPBRC_BAD_LEN) }
}

/// The dialect of somebody's messages.
pub(super) fn dialect(owner: Owner) -> Dialect {
    if owner == Owner::Nicira { Dialect::Nicira } else { Dialect::Standard }
}

fn decode_body(
    context: Context<'_>,
    header: Header,
    owner: Owner,
    kind: Kind,
    body: &mut Reader<'_>,
) -> Decoded<Message> {
    let version = context.version;
    let asynchronous = |format, set, body: &mut Reader<'_>| AsyncMessage::decode(version, format, set, body);
    let packet_in = |format, body: &mut Reader<'_>| PacketIn::decode(version, format, body);
    let role = |request, body: &mut Reader<'_>| match owner {
        Owner::Nicira => RoleMessage::decode_nicira(body),
        _ => RoleMessage::decode(request, body),
    };
    Ok(match kind {
        Kind::Hello => Message::Hello(Hello::decode(header.version, Reader::new(body.all()))),
        Kind::Error => Message::Error(ErrorMessage::decode(version, body)?),
        Kind::EchoRequest => Message::EchoRequest(body.all().to_vec()),
        Kind::EchoReply => Message::EchoReply(body.all().to_vec()),
        Kind::FeaturesRequest => Message::FeaturesRequest,
        Kind::FeaturesReply => Message::FeaturesReply(Features::decode(version, body)?),
        Kind::GetConfigRequest => Message::GetConfigRequest,
        Kind::GetConfigReply => Message::GetConfigReply(SwitchConfig::decode(version, false, body)?),
        Kind::SetConfig => Message::SetConfig(SwitchConfig::decode(version, true, body)?),
        Kind::PacketIn => Message::PacketIn(packet_in(PacketInFormat::Standard, body)?),
        Kind::PacketInNicira => Message::PacketIn(packet_in(PacketInFormat::Nicira, body)?),
        Kind::PacketInNicira2 => Message::PacketIn(packet_in(PacketInFormat::Nicira2, body)?),
        Kind::Resume => Message::Resume(PacketIn::decode_resume(body)?),
        Kind::PacketOut => Message::PacketOut(PacketOut::decode(context, body)?),
        Kind::FlowRemoved => Message::FlowRemoved(FlowRemoved::decode(version, dialect(owner), body)?),
        Kind::FlowMod => Message::FlowMod(FlowMod::decode(context, dialect(owner), body)?),
        Kind::GroupMod => Message::GroupMod(GroupMod::decode(context, body)?),
        Kind::RequestForward => Message::RequestForward(RequestForward::decode(context, body)?),
        Kind::PortStatus => Message::PortStatus(PortStatus::decode(version, body)?),
        Kind::PortMod => Message::PortMod(PortMod::decode(version, body)?),
        Kind::TableMod => Message::TableMod(TableMod::decode(version, body)?),
        Kind::MultipartRequest => {
            Message::MultipartRequest(multipart::MultipartRequest::decode(context, body)?)
        }
        Kind::MultipartReply => Message::MultipartReply(multipart::MultipartReply::decode(context, body)?),
        Kind::BarrierRequest => Message::BarrierRequest,
        Kind::BarrierReply => Message::BarrierReply,
        Kind::QueueConfigRequest => {
            Message::QueueConfigRequest(QueueSelection::decode_description(version, body)?)
        }
        Kind::QueueConfigReply => Message::QueueConfigReply(QueueConfigReply::decode(version, body)?),
        Kind::RoleRequest => Message::RoleRequest(role(true, body)?),
        Kind::RoleReply => Message::RoleReply(role(false, body)?),
        Kind::GetAsyncRequest => Message::GetAsyncRequest,
        Kind::GetAsyncReply => Message::GetAsyncReply(asynchronous(AsyncFormat::Standard, false, body)?),
        Kind::SetAsync => Message::SetAsync(asynchronous(AsyncFormat::Standard, true, body)?),
        Kind::SetAsyncNicira => Message::SetAsync(asynchronous(AsyncFormat::Nicira, true, body)?),
        Kind::SetAsyncNicira2 => Message::SetAsync(asynchronous(AsyncFormat::Nicira2, true, body)?),
        Kind::MeterMod => Message::MeterMod(MeterMod::decode(body)?),
        Kind::RoleStatus => {
            let status = RoleStatus::decode(body)?;
            // Properties behind it say nothing that is known here.
            body.all();
            Message::RoleStatus(status)
        }
        Kind::TableStatus => Message::TableStatus(TableStatus::decode(version, body)?),
        Kind::BundleControl => Message::BundleControl(BundleControl::decode(version, body)?),
        Kind::BundleAdd => Message::BundleAdd(BundleAdd::decode(context, header.xid, body)?),
        Kind::ControllerStatus => Message::ControllerStatus(ControllerStatus::decode_all(body)?),
        Kind::SetFlowFormat => Message::SetFlowFormat(FlowFormat::decode(body)?),
        Kind::FlowModTableId => Message::FlowModTableId(nicira::decode_table_ids(body)?),
        Kind::SetPacketInFormat => Message::SetPacketInFormat(PacketInFormat::decode(body)?),
        Kind::FlowAge => Message::FlowAge,
        Kind::SetControllerId => Message::SetControllerId(nicira::decode_short(body)?),
        Kind::FlowMonitorCancel => Message::FlowMonitorCancel(body.u32()?),
        Kind::FlowMonitorPaused => Message::FlowMonitorPaused,
        Kind::FlowMonitorResumed => Message::FlowMonitorResumed,
        Kind::TlvTableMod => Message::TlvTableMod(TlvTableMod::decode(body)?),
        Kind::TlvTableRequest => Message::TlvTableRequest,
        Kind::TlvTableReply => Message::TlvTableReply(TlvTable::decode(body)?),
        Kind::ConntrackFlushZone => Message::ConntrackFlushZone(nicira::decode_short(body)?),
        Kind::ConntrackFlush => Message::ConntrackFlush(ConntrackFlush::decode(body)?),
    })
}

impl Message {
    /// What the message is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Error(_) => Kind::Error,
            Self::EchoRequest(_) => Kind::EchoRequest,
            Self::EchoReply(_) => Kind::EchoReply,
            Self::FeaturesRequest => Kind::FeaturesRequest,
            Self::FeaturesReply(_) => Kind::FeaturesReply,
            Self::GetConfigRequest => Kind::GetConfigRequest,
            Self::GetConfigReply(_) => Kind::GetConfigReply,
            Self::SetConfig(_) => Kind::SetConfig,
            Self::PacketIn(PacketIn { format: PacketInFormat::Standard, .. }) => Kind::PacketIn,
            Self::PacketIn(PacketIn { format: PacketInFormat::Nicira, .. }) => Kind::PacketInNicira,
            Self::PacketIn(PacketIn { format: PacketInFormat::Nicira2, .. }) => Kind::PacketInNicira2,
            Self::Resume(_) => Kind::Resume,
            Self::PacketOut(_) => Kind::PacketOut,
            Self::FlowRemoved(_) => Kind::FlowRemoved,
            Self::FlowMod(_) => Kind::FlowMod,
            Self::GroupMod(_) => Kind::GroupMod,
            Self::RequestForward(_) => Kind::RequestForward,
            Self::PortStatus(_) => Kind::PortStatus,
            Self::PortMod(_) => Kind::PortMod,
            Self::TableMod(_) => Kind::TableMod,
            Self::MultipartRequest(_) => Kind::MultipartRequest,
            Self::MultipartReply(_) => Kind::MultipartReply,
            Self::BarrierRequest => Kind::BarrierRequest,
            Self::BarrierReply => Kind::BarrierReply,
            Self::QueueConfigRequest(_) => Kind::QueueConfigRequest,
            Self::QueueConfigReply(_) => Kind::QueueConfigReply,
            Self::RoleRequest(_) => Kind::RoleRequest,
            Self::RoleReply(_) => Kind::RoleReply,
            Self::GetAsyncRequest => Kind::GetAsyncRequest,
            Self::GetAsyncReply(_) => Kind::GetAsyncReply,
            Self::SetAsync(AsyncMessage { format: AsyncFormat::Standard, .. }) => Kind::SetAsync,
            Self::SetAsync(AsyncMessage { format: AsyncFormat::Nicira, .. }) => Kind::SetAsyncNicira,
            Self::SetAsync(AsyncMessage { format: AsyncFormat::Nicira2, .. }) => Kind::SetAsyncNicira2,
            Self::MeterMod(_) => Kind::MeterMod,
            Self::RoleStatus(_) => Kind::RoleStatus,
            Self::TableStatus(_) => Kind::TableStatus,
            Self::BundleControl(_) => Kind::BundleControl,
            Self::BundleAdd(_) => Kind::BundleAdd,
            Self::ControllerStatus(_) => Kind::ControllerStatus,
            Self::SetFlowFormat(_) => Kind::SetFlowFormat,
            Self::FlowModTableId(_) => Kind::FlowModTableId,
            Self::SetPacketInFormat(_) => Kind::SetPacketInFormat,
            Self::FlowAge => Kind::FlowAge,
            Self::SetControllerId(_) => Kind::SetControllerId,
            Self::FlowMonitorCancel(_) => Kind::FlowMonitorCancel,
            Self::FlowMonitorPaused => Kind::FlowMonitorPaused,
            Self::FlowMonitorResumed => Kind::FlowMonitorResumed,
            Self::TlvTableMod(_) => Kind::TlvTableMod,
            Self::TlvTableRequest => Kind::TlvTableRequest,
            Self::TlvTableReply(_) => Kind::TlvTableReply,
            Self::ConntrackFlushZone(_) => Kind::ConntrackFlushZone,
            Self::ConntrackFlush(_) => Kind::ConntrackFlush,
        }
    }

    /// Whose message it is to be, where a version has two.
    const fn owner(&self) -> Option<Owner> {
        match self {
            Self::RoleRequest(role) | Self::RoleReply(role) => Some(owner(role.dialect)),
            Self::FlowMod(flow) => Some(owner(flow.dialect)),
            Self::FlowRemoved(flow) => Some(owner(flow.dialect)),
            _ => None,
        }
    }
}

/// Whose messages a dialect is.
pub(super) const fn owner(dialect: Dialect) -> Owner {
    match dialect {
        Dialect::Standard => Owner::Standard,
        Dialect::Nicira => Owner::Nicira,
    }
}

/// Writes a message of a version on which nothing else was agreed. Long answers become several messages, one behind the
/// other, with the same number.
///
/// # Errors
/// If the version cannot say it, or it is too long.
pub fn encode(version: Version, xid: u32, message: &Message) -> Result<Vec<u8>, EncodeError> {
    encode_with(Context::new(version), xid, message)
}

/// Writes a message of a connection that has agreed on something.
///
/// # Errors
/// As [`encode`].
pub fn encode_with(context: Context<'_>, xid: u32, message: &Message) -> Result<Vec<u8>, EncodeError> {
    let version = context.version;
    let kind = message.kind();
    let unsayable = EncodeError::Unsayable { version, what: kind.name() };
    let (owner, number) = kind.place(version, message.owner()).ok_or(unsayable)?;
    let mut writer = Writer::new();
    writer.reserve(MOST);
    let header_version = if let Message::Hello(hello) = message { hello.newest } else { version.wire() };
    put_header(&mut writer, header_version, owner, number, xid);
    match message {
        Message::MultipartRequest(request) => return request.encode(context, writer),
        Message::MultipartReply(reply) => return reply.encode(context, writer),
        _ => encode_body(context, xid, message, &mut writer)?,
    }
    finish(writer)
}

/// Octets that most messages don't exceed.
const MOST: usize = 128;

/// Writes the header of a message, and that of an experimenter if it is one's.
pub(super) fn put_header(writer: &mut Writer, version: u8, owner: Owner, number: u32, xid: u32) {
    let kind = if owner == Owner::Standard { number as u8 } else { EXPERIMENTER };
    writer.bytes(&Header { version, kind, length: 0, xid }.emit());
    if let Some(experimenter) = owner.experimenter() {
        writer.u32(experimenter);
        writer.u32(number);
    }
}

/// Fills in the length of a message that stands alone.
pub(super) fn finish(mut writer: Writer) -> Result<Vec<u8>, EncodeError> {
    let length = writer.len();
    if length > GREATEST_LENGTH {
        return Err(EncodeError::TooLong { length });
    }
    writer.patch_length(0, 2);
    Ok(writer.finish())
}

fn encode_body(context: Context<'_>, xid: u32, message: &Message, writer: &mut Writer) -> Encoded {
    let version = context.version;
    match message {
        Message::Hello(hello) => hello.encode(writer),
        Message::Error(error) => error.encode(version, writer),
        Message::EchoRequest(octets) | Message::EchoReply(octets) => writer.bytes(octets),
        Message::FeaturesReply(features) => features.encode(version, writer),
        Message::GetConfigReply(config) | Message::SetConfig(config) => config.encode(version, writer),
        Message::PacketIn(packet_in) => packet_in.encode(version, writer)?,
        Message::Resume(packet_in) => packet_in.encode_resume(version, writer),
        Message::PacketOut(packet_out) => packet_out.encode(context, writer)?,
        Message::FlowRemoved(flow) => flow.encode(version, writer)?,
        Message::FlowMod(flow) => flow.encode(context, writer)?,
        Message::GroupMod(group) => group.encode(context, writer)?,
        Message::RequestForward(forward) => forward.encode(context, writer)?,
        Message::PortStatus(status) => status.encode(version, writer),
        Message::PortMod(port) => port.encode(version, writer),
        Message::TableMod(table) => table.encode(version, writer),
        Message::QueueConfigRequest(queues) => queues.encode_description(version, writer)?,
        Message::QueueConfigReply(queues) => queues.encode(version, writer),
        Message::RoleRequest(role) => role.encode(version, true, writer)?,
        Message::RoleReply(role) => role.encode(version, false, writer)?,
        Message::GetAsyncReply(config) | Message::SetAsync(config) => config.encode(version, writer)?,
        Message::MeterMod(meter) => meter.encode(writer),
        Message::RoleStatus(status) => status.encode(writer),
        Message::TableStatus(status) => status.encode(version, writer),
        Message::BundleControl(control) => control.encode(version, writer),
        Message::BundleAdd(add) => add.encode(context, xid, writer)?,
        Message::ControllerStatus(controllers) => {
            controllers.iter().for_each(|controller| controller.encode(writer));
        }
        Message::SetFlowFormat(format) => writer.u32(format.number()),
        Message::FlowModTableId(on) => nicira::encode_table_ids(*on, writer),
        Message::SetPacketInFormat(format) => writer.u32(format.number()),
        Message::SetControllerId(number) | Message::ConntrackFlushZone(number) => {
            nicira::encode_short(*number, writer)
        }
        Message::FlowMonitorCancel(monitor) => writer.u32(*monitor),
        Message::TlvTableMod(table) => table.encode(writer),
        Message::TlvTableReply(table) => table.encode(writer),
        Message::ConntrackFlush(flush) => flush.encode(writer),
        Message::FeaturesRequest
        | Message::GetConfigRequest
        | Message::MultipartRequest(_)
        | Message::MultipartReply(_)
        | Message::BarrierRequest
        | Message::BarrierReply
        | Message::GetAsyncRequest
        | Message::FlowAge
        | Message::FlowMonitorPaused
        | Message::FlowMonitorResumed
        | Message::TlvTableRequest => {}
    }
    Ok(())
}

impl Kind {
    /// What the message with these octets is. Its body need not be there whole, so that requests within errors can be
    /// named.
    ///
    /// # Errors
    /// If the header is not whole, or its version, type or experimenter is not known.
    pub fn of(octets: &[u8]) -> Result<Self, OfError> {
        Self::and_body(octets).map(|(_, kind, _)| kind)
    }

    /// Whether every version has the message alike, known or not.
    #[must_use]
    pub const fn is_immutable(self) -> bool {
        matches!(self, Self::Hello | Self::Error | Self::EchoRequest | Self::EchoReply)
    }

    /// Header, kind, and what follows the header or the header of the experimenter.
    pub(super) fn and_body(octets: &[u8]) -> Decoded<(Owner, Self, Reader<'_>)> {
        let header = Header::parse(octets).ok_or(OfError::OFPBRC_BAD_LEN)?;
        let mut body = Reader::new(octets);
        body.skip(HEADER_LENGTH)?;
        if let Some(kind) =
            [Self::Hello, Self::Error, Self::EchoRequest, Self::EchoReply].get(usize::from(header.kind))
        {
            return Ok((Owner::Standard, *kind, body));
        }
        let version = Version::from_wire(header.version).ok_or(OfError::OFPBRC_BAD_VERSION)?;
        if header.kind == EXPERIMENTER {
            let (experimenter, number) = (body.u32()?, body.u32()?);
            let owner = super::kind::owner(experimenter)?;
            let kind = Self::at(version, owner, number).ok_or(OfError::OFPBRC_BAD_SUBTYPE)?;
            return Ok((owner, kind, body));
        }
        let kind = Self::at(version, Owner::Standard, header.kind.into()).ok_or(OfError::OFPBRC_BAD_TYPE)?;
        Ok((Owner::Standard, kind, body))
    }
}
