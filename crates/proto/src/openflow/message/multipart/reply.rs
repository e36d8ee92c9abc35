//! Answers: statistics and descriptions.

use super::super::octets::{Decoded, ReadMore, WriteMore};
use super::super::{
    AggregateStatistics, BundleFeatures, Context, ControllerStatus, Dialect, EncodeError, Encoded,
    FlowCounters, FlowStatistics, FlowUpdate, GroupDescription, GroupFeatures, GroupStatistics,
    IpfixStatistics, MeterConfig, MeterFeatures, MeterStatistics, MultipartKind, PortDescription,
    PortStatistics, QueueConfig, QueueStatistics, TableDescription, TableFeatures, TableStatistics, lengths,
    wire,
};
use super::{Head, Parts, decode_all};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::Owner;

/// One message of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct MultipartReply {
    /// Whether more messages of the answer follow.
    pub more: bool,
    /// What is answered.
    pub reply: Reply,
}

impl From<Reply> for MultipartReply {
    fn from(reply: Reply) -> Self {
        Self { more: false, reply }
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The switch in words.
    Description(SwitchDescription),
    /// Flows, one by one.
    Flows(Dialect, Vec<FlowStatistics>),
    /// Flows together.
    Aggregate(AggregateStatistics),
    /// Counters of flows without what they do; version 1.5.
    FlowCounters(Vec<FlowCounters>),
    /// What monitors of flows tell.
    FlowMonitors(Vec<FlowUpdate>),
    /// Statistics of groups.
    Groups(Vec<GroupStatistics>),
    /// How groups are set.
    GroupDescriptions(Vec<GroupDescription>),
    /// What groups can do.
    GroupFeatures(GroupFeatures),
    /// Statistics of tables.
    Tables(Vec<TableStatistics>),
    /// Statistics of ports.
    Ports(Vec<PortStatistics>),
    /// Statistics of queues.
    Queues(Vec<QueueStatistics>),
    /// Statistics of meters.
    Meters(Vec<MeterStatistics>),
    /// How meters are set.
    MeterConfigs(Vec<MeterConfig>),
    /// What meters can do.
    MeterFeatures(MeterFeatures),
    /// What tables can do.
    TableFeatures(Vec<TableFeatures>),
    /// How ports are.
    PortDescriptions(Vec<PortDescription>),
    /// How tables are set.
    TableDescriptions(Vec<TableDescription>),
    /// How queues are set.
    QueueDescriptions(Vec<QueueConfig>),
    /// What bundles can do.
    BundleFeatures(BundleFeatures),
    /// Controllers.
    ControllerStatus(Vec<ControllerStatus>),
    /// What the bridge's exporter of IPFIX counted.
    IpfixBridge(IpfixStatistics),
    /// What the flows' exporters of IPFIX counted.
    IpfixFlow(Vec<IpfixStatistics>),
}

/// The switch in words. What is longer than its field is cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SwitchDescription {
    /// Who made it. Legal lengths: up to 255 octets.
    pub manufacturer: String,
    /// On what it runs. Legal lengths: up to 255 octets.
    pub hardware: String,
    /// What runs. Legal lengths: up to 255 octets.
    pub software: String,
    /// Its number. Legal lengths: up to 31 octets.
    pub serial_number: String,
    /// What people call it. Legal lengths: up to 255 octets.
    pub datapath: String,
}

impl SwitchDescription {
    const LENGTH: usize = 256;
    const SERIAL_LENGTH: usize = 32;

    fn decode(body: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self {
            manufacturer: body.text(Self::LENGTH)?,
            hardware: body.text(Self::LENGTH)?,
            software: body.text(Self::LENGTH)?,
            serial_number: body.text(Self::SERIAL_LENGTH)?,
            datapath: body.text(Self::LENGTH)?,
        })
    }

    fn encode(&self, writer: &mut Writer) {
        writer.text(&self.manufacturer, Self::LENGTH);
        writer.text(&self.hardware, Self::LENGTH);
        writer.text(&self.software, Self::LENGTH);
        writer.text(&self.serial_number, Self::SERIAL_LENGTH);
        writer.text(&self.datapath, Self::LENGTH);
    }
}

impl MultipartReply {
    /// Reads what follows the header.
    pub(in super::super) fn decode(context: Context<'_>, body: &mut Reader<'_>) -> Decoded<Self> {
        let head = Head::decode(context.version, body)?;
        lengths::check_reply(context.version, head.kind, body.len())?;
        Ok(Self { more: head.more, reply: Reply::decode(context, head.owner, head.kind, body)? })
    }

    /// Writes the answer behind a header, in as many messages as it needs.
    pub(in super::super) fn encode(
        &self,
        context: Context<'_>,
        writer: Writer,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut parts = Parts::new(context.version, self.reply.kind(), self.reply.owner(), writer)?;
        self.reply.encode(context, &mut parts)?;
        Ok(parts.finish(self.more))
    }
}

impl Reply {
    /// What is answered about.
    #[must_use]
    pub const fn kind(&self) -> MultipartKind {
        match self {
            Self::Description(_) => MultipartKind::Description,
            Self::Flows(..) => MultipartKind::Flow,
            Self::Aggregate(_) => MultipartKind::Aggregate,
            Self::FlowCounters(_) => MultipartKind::FlowStatistics,
            Self::FlowMonitors(_) => MultipartKind::FlowMonitor,
            Self::Groups(_) => MultipartKind::Group,
            Self::GroupDescriptions(_) => MultipartKind::GroupDescription,
            Self::GroupFeatures(_) => MultipartKind::GroupFeatures,
            Self::Tables(_) => MultipartKind::Table,
            Self::Ports(_) => MultipartKind::Port,
            Self::Queues(_) => MultipartKind::Queue,
            Self::Meters(_) => MultipartKind::Meter,
            Self::MeterConfigs(_) => MultipartKind::MeterConfig,
            Self::MeterFeatures(_) => MultipartKind::MeterFeatures,
            Self::TableFeatures(_) => MultipartKind::TableFeatures,
            Self::PortDescriptions(_) => MultipartKind::PortDescription,
            Self::TableDescriptions(_) => MultipartKind::TableDescription,
            Self::QueueDescriptions(_) => MultipartKind::QueueDescription,
            Self::BundleFeatures(_) => MultipartKind::BundleFeatures,
            Self::ControllerStatus(_) => MultipartKind::ControllerStatus,
            Self::IpfixBridge(_) => MultipartKind::IpfixBridge,
            Self::IpfixFlow(_) => MultipartKind::IpfixFlow,
        }
    }

    const fn owner(&self) -> Option<Owner> {
        match self {
            Self::Flows(dialect, _) | Self::Aggregate(AggregateStatistics { dialect, .. }) => {
                Some(wire::owner(*dialect))
            }
            _ => None,
        }
    }

    fn decode(
        context: Context<'_>,
        owner: Owner,
        kind: MultipartKind,
        body: &mut Reader<'_>,
    ) -> Decoded<Self> {
        let version = context.version;
        let dialect = wire::dialect(owner);
        Ok(match kind {
            MultipartKind::Description => Self::Description(SwitchDescription::decode(body)?),
            MultipartKind::Flow => {
                Self::Flows(dialect, decode_all(body, |body| FlowStatistics::decode(context, dialect, body))?)
            }
            MultipartKind::Aggregate => Self::Aggregate(AggregateStatistics::decode(version, dialect, body)?),
            MultipartKind::FlowStatistics => Self::FlowCounters(decode_all(body, FlowCounters::decode)?),
            MultipartKind::FlowMonitor => {
                Self::FlowMonitors(decode_all(body, |body| FlowUpdate::decode(context, body))?)
            }
            MultipartKind::Group => {
                Self::Groups(decode_all(body, |body| GroupStatistics::decode(version, body))?)
            }
            MultipartKind::GroupDescription => {
                Self::GroupDescriptions(decode_all(body, |body| GroupDescription::decode(context, body))?)
            }
            MultipartKind::GroupFeatures => Self::GroupFeatures(GroupFeatures::decode(body)?),
            MultipartKind::Table => {
                Self::Tables(decode_all(body, |body| TableStatistics::decode(version, body))?)
            }
            MultipartKind::Port => {
                Self::Ports(decode_all(body, |body| PortStatistics::decode(version, body))?)
            }
            MultipartKind::Queue => {
                Self::Queues(decode_all(body, |body| QueueStatistics::decode(version, body))?)
            }
            MultipartKind::Meter => Self::Meters(decode_all(body, MeterStatistics::decode)?),
            MultipartKind::MeterConfig => Self::MeterConfigs(decode_all(body, MeterConfig::decode)?),
            MultipartKind::MeterFeatures => Self::MeterFeatures(MeterFeatures::decode(body)?),
            MultipartKind::TableFeatures => {
                Self::TableFeatures(decode_all(body, |body| TableFeatures::decode(version, body))?)
            }
            MultipartKind::PortDescription => {
                Self::PortDescriptions(decode_all(body, |body| PortDescription::decode(version, body))?)
            }
            MultipartKind::TableDescription => {
                Self::TableDescriptions(decode_all(body, |body| TableDescription::decode(version, body))?)
            }
            MultipartKind::QueueDescription => {
                Self::QueueDescriptions(decode_all(body, QueueConfig::decode)?)
            }
            MultipartKind::BundleFeatures => Self::BundleFeatures(BundleFeatures::decode(body)?),
            MultipartKind::ControllerStatus => Self::ControllerStatus(ControllerStatus::decode_all(body)?),
            MultipartKind::IpfixBridge => Self::IpfixBridge(IpfixStatistics::decode(body)?),
            MultipartKind::IpfixFlow => Self::IpfixFlow(decode_all(body, IpfixStatistics::decode)?),
        })
    }

    fn encode(&self, context: Context<'_>, parts: &mut Parts) -> Encoded {
        let version = context.version;
        match self {
            Self::Description(description) => plain(parts, [description], SwitchDescription::encode),
            Self::Flows(dialect, flows) => {
                flows.iter().try_for_each(|FlowStatistics { state, matching, actions }| {
                    parts.flow(context, *dialect, state, matching, actions)
                })
            }
            Self::Aggregate(aggregate) => {
                plain(parts, [aggregate], |aggregate, writer| aggregate.encode(version, writer))
            }
            Self::FlowCounters(flows) => {
                flows.iter().try_for_each(|flow| parts.entry(|writer| flow.encode(version, writer)))
            }
            Self::FlowMonitors(updates) => {
                updates.iter().try_for_each(|update| parts.entry(|writer| update.encode(context, writer)))
            }
            Self::Groups(groups) => plain(parts, groups, |group, writer| group.encode(version, writer)),
            Self::GroupDescriptions(groups) => {
                groups.iter().try_for_each(|group| parts.entry(|writer| group.encode(context, writer)))
            }
            Self::GroupFeatures(features) => plain(parts, [features], GroupFeatures::encode),
            Self::Tables(tables) => plain(parts, tables, |table, writer| table.encode(version, writer)),
            Self::Ports(ports) => plain(parts, ports, |port, writer| port.encode(version, writer)),
            Self::Queues(queues) => plain(parts, queues, |queue, writer| queue.encode(version, writer)),
            Self::Meters(meters) => plain(parts, meters, MeterStatistics::encode),
            Self::MeterConfigs(meters) => plain(parts, meters, MeterConfig::encode),
            Self::MeterFeatures(features) => plain(parts, [features], MeterFeatures::encode),
            Self::TableFeatures(tables) => {
                tables.iter().try_for_each(|table| parts.entry(|writer| table.encode(version, writer)))
            }
            Self::PortDescriptions(ports) => plain(parts, ports, |port, writer| port.encode(version, writer)),
            Self::TableDescriptions(tables) => {
                plain(parts, tables, |table, writer| table.encode(version, writer))
            }
            Self::QueueDescriptions(queues) => {
                plain(parts, queues, |queue, writer| queue.encode(version, writer))
            }
            Self::BundleFeatures(features) => plain(parts, [features], BundleFeatures::encode),
            Self::ControllerStatus(controllers) => plain(parts, controllers, ControllerStatus::encode),
            Self::IpfixBridge(statistics) => plain(parts, [statistics], IpfixStatistics::encode),
            Self::IpfixFlow(statistics) => plain(parts, statistics, IpfixStatistics::encode),
        }
    }

    /// Takes the next part of the answer to itself. The answer is whether both are of one kind that has entries; if not,
    /// nothing happens.
    pub fn join(&mut self, next: Self) -> bool {
        match (self, next) {
            (Self::Flows(dialect, all), Self::Flows(other, more)) if *dialect == other => all.extend(more),
            (Self::FlowCounters(all), Self::FlowCounters(more)) => all.extend(more),
            (Self::FlowMonitors(all), Self::FlowMonitors(more)) => all.extend(more),
            (Self::Groups(all), Self::Groups(more)) => all.extend(more),
            (Self::GroupDescriptions(all), Self::GroupDescriptions(more)) => all.extend(more),
            (Self::Tables(all), Self::Tables(more)) => all.extend(more),
            (Self::Ports(all), Self::Ports(more)) => all.extend(more),
            (Self::Queues(all), Self::Queues(more)) => all.extend(more),
            (Self::Meters(all), Self::Meters(more)) => all.extend(more),
            (Self::MeterConfigs(all), Self::MeterConfigs(more)) => all.extend(more),
            (Self::TableFeatures(all), Self::TableFeatures(more)) => all.extend(more),
            (Self::PortDescriptions(all), Self::PortDescriptions(more)) => all.extend(more),
            (Self::TableDescriptions(all), Self::TableDescriptions(more)) => all.extend(more),
            (Self::QueueDescriptions(all), Self::QueueDescriptions(more)) => all.extend(more),
            (Self::ControllerStatus(all), Self::ControllerStatus(more)) => all.extend(more),
            (Self::IpfixFlow(all), Self::IpfixFlow(more)) => all.extend(more),
            _ => return false,
        }
        true
    }
}

/// Writes entries that every version can say.
fn plain<'a, T: 'a>(
    parts: &mut Parts,
    entries: impl IntoIterator<Item = &'a T>,
    encode: impl Fn(&T, &mut Writer),
) -> Encoded {
    entries.into_iter().try_for_each(|entry| {
        parts.entry(|writer| {
            encode(entry, writer);
            Ok(())
        })
    })
}
