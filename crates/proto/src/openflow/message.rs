//! OpenFlow messages: what they mean in any version, and how each version writes them.
//!
//! What: [`Message`] is the meaning; [`decode`] reads it from the octets of one message and [`encode`] writes it. Where a
//! version has two messages of one meaning, that of the standard and that of an extension, the meaning says which one it
//! was or is to be ([`Dialect`] and the formats). Long answers are written in parts; [`multipart::Assembler`] puts the
//! parts of requests together. Each kind of message has a file of its own.
//!
//! Invariants: `decode . encode = id` for what a version can say; what it cannot is an [`EncodeError`]. Octets that are
//! filling are zero when written, and not looked at when read unless the extension says they must be zero. What Open
//! vSwitch refuses as it reads a message is refused here by the same error.
//!
//! Costs: one pass over the octets; what is variable is on the heap. A message is at most 64 KiB, and so is what is made
//! of it, times a small number.
//!
//! Deliberately absent: connections, and what a switch does with messages.

mod asynchronous;
mod bundle;
mod conntrack;
mod controller_status;
mod error;
mod features;
mod flow;
mod flow_removed;
mod flow_statistics;
mod forward;
mod group;
mod group_statistics;
mod header;
mod hello;
mod ipfix;
mod kind;
mod lengths;
mod meter;
mod monitor;
pub mod multipart;
mod nicira;
mod numbers;
mod octets;
mod oxs;
mod packet_in;
mod packet_out;
mod parts;
mod port;
mod port_statistics;
mod property;
mod queue;
mod role;
mod table;
mod table_features;
mod table_statistics;
mod title;
mod tlv_table;
mod wire;

pub use asynchronous::{AsyncConfig, AsyncFormat, AsyncMasks, AsyncMessage};
pub use bundle::{
    BundleAdd, BundleCommand, BundleControl, BundleFeatures, BundleFeaturesRequest, BundleFlags,
    BundleTimeFeatures, OfTime, encode_bundled,
};
pub use conntrack::{ConntrackFlush, ConntrackTuple};
pub use controller_status::ControllerStatus;
pub use error::{ErrorCode, ErrorMessage};
pub use features::{Capabilities, Features, FragmentHandling, SwitchConfig};
pub use flow::{ALL_TABLES, ANY_GROUP, FlowCommand, FlowFlags, FlowMod};
pub use flow_removed::{FlowRemoved, FlowRemovedReason};
pub use flow_statistics::{AggregateStatistics, FlowCounters, FlowSelection, FlowState, FlowStatistics};
pub use forward::RequestForward;
pub use group::{
    ALL_BUCKETS, ALL_GROUPS, Bucket, FIRST_BUCKET, GREATEST_BUCKET, GREATEST_GROUP, GroupCapabilities,
    GroupCommand, GroupDescription, GroupKind, GroupMod, LAST_BUCKET, Selection, SelectionMethod,
};
pub use group_statistics::{BucketStatistics, GroupFeatures, GroupStatistics};
pub use header::{Framer, FramingError, GREATEST_LENGTH, HEADER_LENGTH, Header};
pub use hello::{Hello, Versions};
pub use ipfix::IpfixStatistics;
pub use kind::{Kind, MultipartKind};
pub use meter::{
    ALL_METERS, Band, BandKind, BandStatistics, CONTROLLER_METER, GREATEST_METER, MeterCommand, MeterConfig,
    MeterFeatures, MeterFlags, MeterMod, MeterStatistics, SLOW_PATH_METER,
};
pub use monitor::{FlowChange, FlowUpdate, MonitorCommand, MonitorEvent, MonitorFlags, MonitorRequest};
pub use multipart::{MultipartReply, MultipartRequest, Reply, Request};
pub use nicira::{FlowFormat, PacketInFormat};
pub use octets::Age;
pub use packet_in::{PacketIn, PacketInReason};
pub use packet_out::PacketOut;
pub use port::{PortConfig, PortDescription, PortFeatures, PortMod, PortReason, PortState, PortStatus};
pub use port_statistics::PortStatistics;
pub use queue::{ALL_QUEUES, QueueConfig, QueueConfigReply, QueueSelection, QueueStatistics};
pub use role::{Role, RoleMessage, RoleReason, RoleStatus};
pub use table::{EvictionFlags, TableConfig, TableDescription, TableMod, TableReason, TableStatus, Vacancy};
pub use table_features::{
    FieldNumber, KindNumber, TableCapabilities, TableFeatures, TableFeaturesCommand, TableProperty,
    TablePropertyValue,
};
pub use table_statistics::{TableAbilities, TableStatistics};
pub use title::{title, title_of_whole};
pub use tlv_table::{TlvMap, TlvTable, TlvTableCommand, TlvTableMod};
pub use wire::{decode, decode_with, encode, encode_with};

use super::{OfError, Version};

/// Which of two messages of one meaning: that of the standard, or that of Nicira's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Dialect {
    /// The standard's.
    #[default]
    Standard,
    /// Nicira's.
    Nicira,
}

/// What a connection has agreed on, and what its bridge has set, that changes how messages are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// The version.
    pub version: Version,
    /// Whether flow mods of version 1.0 name tables, in the upper half of their command (NXT_FLOW_MOD_TABLE_ID).
    pub table_ids: bool,
    /// Octets that the bridge has given to each option of tunnels, 0 for none: how long actions write them.
    pub tun_metadata: Option<&'a [u8; 64]>,
    /// Whether actions for tests are known.
    pub debug: bool,
}

impl Context<'_> {
    /// A connection on which nothing was agreed yet but the version.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        Self { version, table_ids: false, tun_metadata: None, debug: false }
    }
}

/// Why a message cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The version has no words for it.
    #[error("{version} cannot say {what}: use a version or a message that can")]
    Unsayable {
        /// The version.
        version: Version,
        /// What it cannot say.
        what: &'static str,
    },
    /// An action is too long, or actions lie too deep in each other.
    #[error("the actions cannot be written ({0}): use fewer or shorter ones")]
    Actions(OfError),
    /// A single message, or one entry of an answer, is longer than a message can be.
    #[error("the message would be {length} octets long; 65535 are allowed: say less in it")]
    TooLong {
        /// The length, in octets.
        length: usize,
    },
}

type Encoded = Result<(), EncodeError>;

/// A message's meaning.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first message of each side.
    Hello(Hello),
    /// A request failed.
    Error(ErrorMessage),
    /// Are you there? The answer repeats the octets.
    EchoRequest(Vec<u8>),
    /// I am.
    EchoReply(Vec<u8>),
    /// What are you?
    FeaturesRequest,
    /// What the switch is.
    FeaturesReply(Features),
    /// How are you set?
    GetConfigRequest,
    /// How the switch is set.
    GetConfigReply(SwitchConfig),
    /// Set yourself so.
    SetConfig(SwitchConfig),
    /// A packet for the controller.
    PacketIn(PacketIn),
    /// A packet that was held back goes on.
    Resume(PacketIn),
    /// A packet to be sent.
    PacketOut(PacketOut),
    /// A flow went away.
    FlowRemoved(FlowRemoved),
    /// Something is to become of flows.
    FlowMod(FlowMod),
    /// Something is to become of a group; in version 1.0 it is Nicira's message.
    GroupMod(GroupMod),
    /// Something happened to a port.
    PortStatus(PortStatus),
    /// A port is to be set otherwise.
    PortMod(PortMod),
    /// A table is to be set otherwise; from version 1.1 on.
    TableMod(TableMod),
    /// A request for statistics or descriptions.
    MultipartRequest(MultipartRequest),
    /// Statistics or descriptions.
    MultipartReply(MultipartReply),
    /// Say when everything before this is done.
    BarrierRequest,
    /// Everything before is done.
    BarrierReply,
    /// How are the queues of a port set? Up to version 1.3.
    QueueConfigRequest(QueueSelection),
    /// How they are set; up to version 1.3.
    QueueConfigReply(QueueConfigReply),
    /// A role is asked for.
    RoleRequest(RoleMessage),
    /// A role was given.
    RoleReply(RoleMessage),
    /// Which messages do I get? From version 1.3 on.
    GetAsyncRequest,
    /// Which messages the controller gets; from version 1.3 on.
    GetAsyncReply(AsyncMessage),
    /// Which messages the controller wants.
    SetAsync(AsyncMessage),
    /// Something is to become of a meter; from version 1.3 on.
    MeterMod(MeterMod),
    /// The controller's role changed; from version 1.3 on.
    RoleStatus(RoleStatus),
    /// Something happened to a table; from version 1.4 on.
    TableStatus(TableStatus),
    /// Another controller changed groups or meters.
    RequestForward(RequestForward),
    /// Something is to become of a bundle, or became; from version 1.3 on.
    BundleControl(BundleControl),
    /// A message for a bundle; from version 1.3 on.
    BundleAdd(BundleAdd),
    /// What became of controllers; version 1.5.
    ControllerStatus(Vec<ControllerStatus>),
    /// How matches are written; version 1.0.
    SetFlowFormat(FlowFormat),
    /// Whether flow mods name tables.
    FlowModTableId(bool),
    /// How packets for the controller are written.
    SetPacketInFormat(PacketInFormat),
    /// Ages of flows are wanted in statistics.
    FlowAge,
    /// The controller's number.
    SetControllerId(u16),
    /// The monitor of flows with this number is to end; up to version 1.3, later it is a multipart request.
    FlowMonitorCancel(u32),
    /// Monitors lose changes from now on; up to version 1.3, later it is an entry of an answer.
    FlowMonitorPaused,
    /// Monitors tell all again; up to version 1.3.
    FlowMonitorResumed,
    /// Options of tunnels get fields.
    TlvTableMod(TlvTableMod),
    /// Which options have fields?
    TlvTableRequest,
    /// Which options have fields.
    TlvTableReply(TlvTable),
    /// The connections of a zone are to be forgotten.
    ConntrackFlushZone(u16),
    /// Connections are to be forgotten.
    ConntrackFlush(ConntrackFlush),
}
