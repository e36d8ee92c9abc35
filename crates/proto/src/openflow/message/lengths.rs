//! How long each message may be, before it is looked at: Open vSwitch answers a wrong length before anything else that is
//! wrong.

use super::octets::Decoded;
use super::{Kind, MultipartKind};
use crate::openflow::error::Owner;
use crate::openflow::{OfError, Version};

/// Lengths that the body of a message may have, in octets.
#[derive(Clone, Copy)]
enum Lengths {
    /// Only this.
    Only(usize),
    /// This and more, by steps.
    From(usize, usize),
}

use Lengths::{From, Only};

impl Lengths {
    fn check(self, length: usize) -> Decoded<()> {
        let legal = match self {
            Only(only) => length == only,
            From(least, step) => length >= least && (length - least).is_multiple_of(step),
        };
        if legal { Ok(()) } else { Err(OfError::OFPBRC_BAD_LEN) }
    }
}

/// Checks the length of what follows the header of a message, and of an experimenter.
pub(super) fn check(version: Version, owner: Owner, kind: Kind, length: usize) -> Decoded<()> {
    let nicira = owner == Owner::Nicira;
    let old = version == Version::V10;
    let lengths = match kind {
        Kind::Hello | Kind::EchoRequest | Kind::EchoReply | Kind::ControllerStatus => From(0, 1),
        Kind::MultipartRequest | Kind::MultipartReply => From(0, 1),
        Kind::Error => From(4, 1),
        Kind::FeaturesReply if old => From(24, 48),
        Kind::FeaturesReply if version < Version::V13 => From(24, 64),
        Kind::FeaturesReply => Only(24),
        Kind::GetConfigReply | Kind::SetConfig => Only(4),
        Kind::PacketIn if old => From(10, 1),
        Kind::PacketIn if version == Version::V12 => From(8, 1),
        Kind::PacketIn => From(16, 1),
        Kind::PacketInNicira => From(24, 1),
        Kind::PacketInNicira2 | Kind::Resume | Kind::SetAsyncNicira2 => From(0, 8),
        Kind::FlowRemoved if nicira => From(40, 8),
        Kind::FlowRemoved if old => Only(80),
        Kind::FlowRemoved if version == Version::V15 => From(16, 8),
        Kind::FlowRemoved => From(40, 8),
        Kind::PortStatus if old => Only(56),
        Kind::PortStatus if version < Version::V14 => Only(72),
        Kind::PortStatus => From(48, 8),
        Kind::PacketOut if old || version == Version::V15 => From(8, 1),
        Kind::PacketOut => From(16, 1),
        Kind::FlowMod if nicira => From(32, 8),
        Kind::FlowMod if old => From(64, 8),
        Kind::FlowMod => From(40, 8),
        Kind::GroupMod if old || version == Version::V15 => From(16, 8),
        Kind::PortMod if old => Only(24),
        Kind::PortMod if version < Version::V14 => Only(32),
        Kind::PortMod => From(24, 8),
        Kind::TableMod if version < Version::V14 => Only(8),
        Kind::QueueConfigRequest if old => Only(4),
        Kind::QueueConfigRequest
        | Kind::FlowModTableId
        | Kind::SetControllerId
        | Kind::ConntrackFlushZone => Only(8),
        Kind::RoleRequest | Kind::RoleReply if nicira => Only(4),
        Kind::RoleRequest | Kind::RoleReply => Only(16),
        Kind::GetAsyncReply | Kind::SetAsync if version >= Version::V14 => From(0, 8),
        Kind::GetAsyncReply | Kind::SetAsync | Kind::SetAsyncNicira => Only(24),
        Kind::RoleStatus | Kind::TlvTableReply => From(16, 8),
        Kind::BundleAdd => From(8, 1),
        Kind::GroupMod
        | Kind::TableMod
        | Kind::QueueConfigReply
        | Kind::MeterMod
        | Kind::TableStatus
        | Kind::RequestForward
        | Kind::BundleControl
        | Kind::TlvTableMod
        | Kind::ConntrackFlush => From(8, 8),
        Kind::SetFlowFormat | Kind::SetPacketInFormat | Kind::FlowMonitorCancel => Only(4),
        Kind::FeaturesRequest
        | Kind::GetConfigRequest
        | Kind::BarrierRequest
        | Kind::BarrierReply
        | Kind::GetAsyncRequest
        | Kind::FlowAge
        | Kind::FlowMonitorPaused
        | Kind::FlowMonitorResumed
        | Kind::TlvTableRequest => Only(0),
    };
    lengths.check(length)
}

/// Checks the length of the body of a request for statistics.
pub(super) fn check_request(
    version: Version,
    owner: Owner,
    kind: MultipartKind,
    length: usize,
) -> Decoded<()> {
    let lengths = match kind {
        MultipartKind::Flow | MultipartKind::Aggregate if owner == Owner::Nicira => From(8, 8),
        MultipartKind::Flow | MultipartKind::Aggregate if version == Version::V10 => Only(44),
        MultipartKind::Flow | MultipartKind::Aggregate | MultipartKind::FlowStatistics => From(32, 8),
        MultipartKind::GroupDescription if !matches!(version, Version::V10 | Version::V15) => Only(0),
        MultipartKind::PortDescription if version < Version::V15 => Only(0),
        MultipartKind::Port
        | MultipartKind::Queue
        | MultipartKind::Group
        | MultipartKind::GroupDescription
        | MultipartKind::Meter
        | MultipartKind::MeterConfig
        | MultipartKind::PortDescription
        | MultipartKind::QueueDescription => Only(8),
        MultipartKind::TableFeatures | MultipartKind::FlowMonitor => From(0, 8),
        MultipartKind::BundleFeatures => From(8, 8),
        MultipartKind::Description
        | MultipartKind::Table
        | MultipartKind::GroupFeatures
        | MultipartKind::MeterFeatures
        | MultipartKind::TableDescription
        | MultipartKind::ControllerStatus
        | MultipartKind::IpfixBridge
        | MultipartKind::IpfixFlow => Only(0),
    };
    lengths.check(length)
}

/// Checks the length of the body of statistics.
pub(super) fn check_reply(version: Version, kind: MultipartKind, length: usize) -> Decoded<()> {
    let by_version = |lengths: [usize; 6]| {
        let step = lengths.get(usize::from(version.wire()).saturating_sub(1)).copied().unwrap_or(8);
        From(0, step)
    };
    let lengths = match kind {
        MultipartKind::Description => Only(1056),
        MultipartKind::Aggregate if version < Version::V15 => Only(24),
        MultipartKind::Table => by_version([64, 88, 128, 24, 24, 24]),
        MultipartKind::Port => by_version([104, 104, 104, 112, 8, 8]),
        MultipartKind::Queue => by_version([32, 32, 32, 40, 8, 8]),
        MultipartKind::PortDescription => by_version([48, 64, 64, 64, 8, 8]),
        MultipartKind::GroupFeatures => Only(40),
        MultipartKind::MeterFeatures => Only(16),
        MultipartKind::TableFeatures => From(64, 8),
        MultipartKind::TableDescription | MultipartKind::BundleFeatures => From(8, 8),
        MultipartKind::IpfixBridge => Only(88),
        MultipartKind::IpfixFlow => From(0, 88),
        MultipartKind::Group
        | MultipartKind::GroupDescription
        | MultipartKind::Meter
        | MultipartKind::MeterConfig
        | MultipartKind::QueueDescription
        | MultipartKind::FlowMonitor => From(0, 8),
        MultipartKind::Flow
        | MultipartKind::Aggregate
        | MultipartKind::FlowStatistics
        | MultipartKind::ControllerStatus => From(0, 1),
    };
    lengths.check(length)
}
