//! Requests for statistics and descriptions.

use super::super::octets::{Decoded, ReadMore, WriteMore};
use super::super::{
    ALL_GROUPS, BundleFeaturesRequest, Context, Dialect, EncodeError, Encoded, FlowSelection, MonitorRequest,
    MultipartKind, QueueSelection, TableFeatures, lengths, wire,
};
use super::{Head, Parts, decode_all};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::Owner;
use crate::openflow::{OfPort, Version};

/// One message of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct MultipartRequest {
    /// Whether more messages of the request follow; from version 1.3 on.
    pub more: bool,
    /// What is asked.
    pub request: Request,
}

impl From<Request> for MultipartRequest {
    fn from(request: Request) -> Self {
        Self { more: false, request }
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// The switch in words.
    Description,
    /// Flows, one by one.
    Flows(FlowSelection),
    /// Flows together.
    Aggregate(FlowSelection),
    /// Counters of flows without what they do; version 1.5.
    FlowCounters(FlowSelection),
    /// Monitors of flows: what is to become of them.
    FlowMonitors(Vec<MonitorRequest>),
    /// Statistics of all tables.
    Tables,
    /// Statistics of a port; [`OfPort::NONE`] for all.
    Ports(OfPort),
    /// Statistics of queues.
    Queues(QueueSelection),
    /// Statistics of a group, or of all (0xfffffffc).
    Groups(u32),
    /// How a group is set; before version 1.5 always all (0xfffffffc), but in version 1.0.
    GroupDescriptions(u32),
    /// What groups can do.
    GroupFeatures,
    /// Statistics of a meter, or of [`super::super::ALL_METERS`].
    Meters(u32),
    /// How a meter is set, or all.
    MeterConfigs(u32),
    /// What meters can do.
    MeterFeatures,
    /// What tables can do; with tables in it: what they are to do.
    TableFeatures(Vec<TableFeatures>),
    /// How ports are; before version 1.5 always all ([`OfPort::NONE`]).
    PortDescriptions(OfPort),
    /// How tables are set; from version 1.4 on.
    TableDescriptions,
    /// How queues are set; from version 1.4 on.
    QueueDescriptions(QueueSelection),
    /// What bundles can do; version 1.5.
    BundleFeatures(BundleFeaturesRequest),
    /// Controllers; version 1.5.
    ControllerStatus,
    /// What the bridge's exporter of IPFIX counted.
    IpfixBridge,
    /// What the flows' exporters of IPFIX counted.
    IpfixFlow,
}

impl MultipartRequest {
    /// Reads what follows the header.
    pub(in super::super) fn decode(context: Context<'_>, body: &mut Reader<'_>) -> Decoded<Self> {
        let head = Head::decode(context.version, body)?;
        let more = head.more && context.version >= Version::V13;
        if more && body.is_empty() {
            // Such a part says nothing; what it is a part of is said by the others.
            return Ok(Self { more, request: Request::blank(head.kind) });
        }
        lengths::check_request(context.version, head.owner, head.kind, body.len())?;
        Ok(Self { more, request: Request::decode(context, head.owner, head.kind, body)? })
    }

    /// Writes the request behind a header, in several messages if it is long.
    pub(in super::super) fn encode(
        &self,
        context: Context<'_>,
        writer: Writer,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut parts = Parts::new(context.version, self.request.kind(), self.request.owner(), writer)?;
        self.request.encode(context, &mut parts)?;
        if context.version < Version::V13 && (self.more || parts.start > 0) {
            let what = "that more of a request follows";
            return Err(EncodeError::Unsayable { version: context.version, what });
        }
        Ok(parts.finish(self.more))
    }
}

impl Request {
    /// What is asked about.
    #[must_use]
    pub const fn kind(&self) -> MultipartKind {
        match self {
            Self::Description => MultipartKind::Description,
            Self::Flows(_) => MultipartKind::Flow,
            Self::Aggregate(_) => MultipartKind::Aggregate,
            Self::FlowCounters(_) => MultipartKind::FlowStatistics,
            Self::FlowMonitors(_) => MultipartKind::FlowMonitor,
            Self::Tables => MultipartKind::Table,
            Self::Ports(_) => MultipartKind::Port,
            Self::Queues(_) => MultipartKind::Queue,
            Self::Groups(_) => MultipartKind::Group,
            Self::GroupDescriptions(_) => MultipartKind::GroupDescription,
            Self::GroupFeatures => MultipartKind::GroupFeatures,
            Self::Meters(_) => MultipartKind::Meter,
            Self::MeterConfigs(_) => MultipartKind::MeterConfig,
            Self::MeterFeatures => MultipartKind::MeterFeatures,
            Self::TableFeatures(_) => MultipartKind::TableFeatures,
            Self::PortDescriptions(_) => MultipartKind::PortDescription,
            Self::TableDescriptions => MultipartKind::TableDescription,
            Self::QueueDescriptions(_) => MultipartKind::QueueDescription,
            Self::BundleFeatures(_) => MultipartKind::BundleFeatures,
            Self::ControllerStatus => MultipartKind::ControllerStatus,
            Self::IpfixBridge => MultipartKind::IpfixBridge,
            Self::IpfixFlow => MultipartKind::IpfixFlow,
        }
    }

    const fn owner(&self) -> Option<Owner> {
        match self {
            Self::Flows(flows) | Self::Aggregate(flows) => Some(wire::owner(flows.dialect)),
            _ => None,
        }
    }

    /// Reads the body of a request, or of all its parts joined.
    pub(super) fn decode(
        context: Context<'_>,
        owner: Owner,
        kind: MultipartKind,
        body: &mut Reader<'_>,
    ) -> Decoded<Self> {
        let version = context.version;
        let selection = |body: &mut Reader<'_>| FlowSelection::decode(version, wire::dialect(owner), body);
        Ok(match kind {
            MultipartKind::Description => Self::Description,
            MultipartKind::Flow => Self::Flows(selection(body)?),
            MultipartKind::Aggregate => Self::Aggregate(selection(body)?),
            MultipartKind::FlowStatistics => Self::FlowCounters(selection(body)?),
            MultipartKind::FlowMonitor => {
                Self::FlowMonitors(decode_all(body, |body| MonitorRequest::decode(version, body))?)
            }
            MultipartKind::Table => Self::Tables,
            MultipartKind::Port => {
                let port = body.port(version)?;
                body.skip(if version == Version::V10 { 6 } else { 4 })?;
                Self::Ports(port)
            }
            MultipartKind::Queue => Self::Queues(QueueSelection::decode_statistics(version, body)?),
            MultipartKind::Group => Self::Groups(numbered(body)?),
            MultipartKind::GroupDescription => match version {
                Version::V10 | Version::V15 => Self::GroupDescriptions(numbered(body)?),
                _ => Self::GroupDescriptions(ALL_GROUPS),
            },
            MultipartKind::GroupFeatures => Self::GroupFeatures,
            MultipartKind::Meter => Self::Meters(numbered(body)?),
            MultipartKind::MeterConfig => Self::MeterConfigs(numbered(body)?),
            MultipartKind::MeterFeatures => Self::MeterFeatures,
            MultipartKind::TableFeatures => {
                Self::TableFeatures(decode_all(body, |body| TableFeatures::decode(version, body))?)
            }
            MultipartKind::PortDescription if version == Version::V15 => {
                let port = body.port32()?;
                body.skip(4)?;
                Self::PortDescriptions(port)
            }
            MultipartKind::PortDescription => Self::PortDescriptions(OfPort::NONE),
            MultipartKind::TableDescription => Self::TableDescriptions,
            MultipartKind::QueueDescription => {
                Self::QueueDescriptions(QueueSelection::decode_description(version, body)?)
            }
            MultipartKind::BundleFeatures => Self::BundleFeatures(BundleFeaturesRequest::decode(body)?),
            MultipartKind::ControllerStatus => Self::ControllerStatus,
            MultipartKind::IpfixBridge => Self::IpfixBridge,
            MultipartKind::IpfixFlow => Self::IpfixFlow,
        })
    }

    /// A request of the kind that says nothing.
    fn blank(kind: MultipartKind) -> Self {
        let queues = QueueSelection { port: OfPort::NONE, queue: super::super::ALL_QUEUES };
        match kind {
            MultipartKind::Description => Self::Description,
            MultipartKind::Flow => Self::Flows(FlowSelection::default()),
            MultipartKind::Aggregate => Self::Aggregate(FlowSelection::default()),
            MultipartKind::FlowStatistics => Self::FlowCounters(FlowSelection::default()),
            MultipartKind::FlowMonitor => Self::FlowMonitors(Vec::new()),
            MultipartKind::Table => Self::Tables,
            MultipartKind::Port => Self::Ports(OfPort::NONE),
            MultipartKind::Queue => Self::Queues(queues),
            MultipartKind::Group => Self::Groups(ALL_GROUPS),
            MultipartKind::GroupDescription => Self::GroupDescriptions(ALL_GROUPS),
            MultipartKind::GroupFeatures => Self::GroupFeatures,
            MultipartKind::Meter => Self::Meters(super::super::ALL_METERS),
            MultipartKind::MeterConfig => Self::MeterConfigs(super::super::ALL_METERS),
            MultipartKind::MeterFeatures => Self::MeterFeatures,
            MultipartKind::TableFeatures => Self::TableFeatures(Vec::new()),
            MultipartKind::PortDescription => Self::PortDescriptions(OfPort::NONE),
            MultipartKind::TableDescription => Self::TableDescriptions,
            MultipartKind::QueueDescription => Self::QueueDescriptions(queues),
            MultipartKind::BundleFeatures => Self::BundleFeatures(BundleFeaturesRequest::default()),
            MultipartKind::ControllerStatus => Self::ControllerStatus,
            MultipartKind::IpfixBridge => Self::IpfixBridge,
            MultipartKind::IpfixFlow => Self::IpfixFlow,
        }
    }

    fn encode(&self, context: Context<'_>, parts: &mut Parts) -> Encoded {
        let version = context.version;
        let unsayable = |what| Err(EncodeError::Unsayable { version, what });
        match self {
            Self::Description
            | Self::Tables
            | Self::GroupFeatures
            | Self::MeterFeatures
            | Self::TableDescriptions
            | Self::ControllerStatus
            | Self::IpfixBridge
            | Self::IpfixFlow => Ok(()),
            Self::FlowCounters(flows) if flows.dialect == Dialect::Nicira => {
                unsayable("counters of flows in Nicira's words")
            }
            Self::Flows(flows) | Self::Aggregate(flows) | Self::FlowCounters(flows) => {
                parts.entry(|writer| flows.encode(version, writer))
            }
            Self::FlowMonitors(monitors) => {
                monitors.iter().try_for_each(|monitor| parts.entry(|writer| monitor.encode(version, writer)))
            }
            Self::Ports(port) => parts.entry(|writer| {
                writer.port(version, *port);
                writer.zeros(if version == Version::V10 { 6 } else { 4 });
                Ok(())
            }),
            Self::Queues(queues) => parts.entry(|writer| {
                queues.encode_statistics(version, writer);
                Ok(())
            }),
            Self::GroupDescriptions(group) if !matches!(version, Version::V10 | Version::V15) => match *group
            {
                ALL_GROUPS => Ok(()),
                _ => unsayable("that a single group is to be described"),
            },
            Self::Groups(number)
            | Self::GroupDescriptions(number)
            | Self::Meters(number)
            | Self::MeterConfigs(number) => parts.entry(|writer| {
                writer.u32(*number);
                writer.zeros(4);
                Ok(())
            }),
            Self::TableFeatures(tables) => {
                tables.iter().try_for_each(|table| parts.entry(|writer| table.encode(version, writer)))
            }
            Self::PortDescriptions(port) if version < Version::V15 => match *port {
                OfPort::NONE => Ok(()),
                _ => unsayable("that a single port is to be described"),
            },
            Self::PortDescriptions(port) => parts.entry(|writer| {
                writer.port32(*port);
                writer.zeros(4);
                Ok(())
            }),
            Self::QueueDescriptions(queues) => {
                parts.entry(|writer| queues.encode_description(version, writer))
            }
            Self::BundleFeatures(request) => parts.entry(|writer| {
                request.encode(writer);
                Ok(())
            }),
        }
    }
}

/// A number, filled to 8 octets.
fn numbered(body: &mut Reader<'_>) -> Decoded<u32> {
    let number = body.u32()?;
    body.skip(4)?;
    Ok(number)
}
