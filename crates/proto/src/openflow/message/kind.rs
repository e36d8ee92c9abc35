//! What messages there are, and by which numbers each version knows them.
//!
//! What: one table for messages and one for the kinds of statistics (multipart messages). A kind may have two rows in a
//! version, one of the standard and one of an extension: then who writes it chooses.

use crate::openflow::error::Owner;
use crate::openflow::{OfError, Version};

/// Declares the kinds of messages and their numbers: `Kind "NAME" = [owner first last number, ...];`.
macro_rules! kinds {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$item_doc:meta])* $item:ident $word:literal = [$($owner:ident $first:literal $last:literal $number:literal),+];)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$item_doc])* $item,)*
        }

        impl $name {
            /// All of them.
            pub const LIST: &[Self] = &[$(Self::$item),*];

            const ROWS: &[(Self, Row)] = &[
                $($((Self::$item, Row { owner: Owner::$owner, first: $first, last: $last, number: $number }),)+)*
            ];

            /// The name in the specification, without a prefix.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$item => $word,)*
                }
            }

            /// Whether a version has it at all.
            #[must_use]
            pub fn is_in(self, version: Version) -> bool {
                self.rows(version).next().is_some()
            }

            /// By version and number, what the standard has there; rows of one kind are side by side.
            const STANDARD: [[u8; STANDARD]; VERSIONS] = {
                let mut known = [[NONE; STANDARD]; VERSIONS];
                let mut at = Self::ROWS.len();
                while at > 0 {
                    at -= 1;
                    let row = &Self::ROWS[at].1;
                    let mut version = row.first;
                    while matches!(row.owner, Owner::Standard) && version <= row.last {
                        known[version as usize - 1][row.number as usize] = at as u8;
                        version += 1;
                    }
                }
                known
            };

            /// Where the rows of each kind begin.
            const FIRST: [u8; Self::LIST.len()] = {
                let mut first = [NONE; Self::LIST.len()];
                let mut at = Self::ROWS.len();
                while at > 0 {
                    at -= 1;
                    first[Self::ROWS[at].0 as usize] = at as u8;
                }
                first
            };

            fn rows(self, version: Version) -> impl Iterator<Item = &'static Row> {
                let first = Self::FIRST.get(self as usize).map_or(0, |first| usize::from(*first));
                let own = Self::ROWS.get(first..).unwrap_or_default().iter().take_while(move |(kind, _)| *kind == self);
                own.filter(move |(_, row)| row.is_in(version)).map(|(_, row)| row)
            }

            /// Where the version has it: of the given owner if one is asked for, else of the first.
            pub(super) fn place(self, version: Version, owner: Option<Owner>) -> Option<(Owner, u32)> {
                self.rows(version)
                    .find(|row| owner.is_none_or(|owner| row.owner == owner))
                    .map(|row| (row.owner, row.number))
            }

            /// What the version has there.
            pub(super) fn at(version: Version, owner: Owner, number: u32) -> Option<Self> {
                if owner == Owner::Standard {
                    let known = Self::STANDARD.get(usize::from(version.wire()) - 1)?;
                    let at = *known.get(usize::try_from(number).ok()?)?;
                    return Self::ROWS.get(usize::from(at)).map(|(kind, _)| *kind);
                }
                let found = |row: &Row| row.owner == owner && row.number == number && row.is_in(version);
                Self::ROWS.iter().find(|(_, row)| found(row)).map(|(kind, _)| *kind)
            }
        }
    };
}

/// More than the standard's numbers.
const STANDARD: usize = 64;
const VERSIONS: usize = 6;
const NONE: u8 = u8::MAX;

/// A span of versions that have something under a number.
struct Row {
    owner: Owner,
    first: u8,
    last: u8,
    number: u32,
}

impl Row {
    fn is_in(&self, version: Version) -> bool {
        (self.first..=self.last).contains(&version.wire())
    }
}

kinds! {
    /// What a message is. The numbers of the rows: first and last version as on the wire, and the type, or the subtype of
    /// the experimenter.
    pub enum Kind {
        /// Hello.
        Hello "HELLO" = [Standard 1 6 0];
        /// Error.
        Error "ERROR" = [Standard 1 6 1];
        /// Are you there?
        EchoRequest "ECHO_REQUEST" = [Standard 1 6 2];
        /// I am.
        EchoReply "ECHO_REPLY" = [Standard 1 6 3];
        /// What are you?
        FeaturesRequest "FEATURES_REQUEST" = [Standard 1 6 5];
        /// What the switch is.
        FeaturesReply "FEATURES_REPLY" = [Standard 1 6 6];
        /// How are you set?
        GetConfigRequest "GET_CONFIG_REQUEST" = [Standard 1 6 7];
        /// How the switch is set.
        GetConfigReply "GET_CONFIG_REPLY" = [Standard 1 6 8];
        /// Set yourself so.
        SetConfig "SET_CONFIG" = [Standard 1 6 9];
        /// A packet for the controller. Nicira's two forms have rows of their own below.
        PacketIn "PACKET_IN" = [Standard 1 6 10];
        /// A packet for the controller, in Nicira's first form.
        PacketInNicira "PACKET_IN" = [Nicira 1 6 17];
        /// A packet for the controller, in Nicira's second form.
        PacketInNicira2 "PACKET_IN2" = [Nicira 1 6 30];
        /// A flow went away.
        FlowRemoved "FLOW_REMOVED" = [Standard 1 6 11, Nicira 1 6 14];
        /// Something happened to a port.
        PortStatus "PORT_STATUS" = [Standard 1 6 12];
        /// A packet to be sent.
        PacketOut "PACKET_OUT" = [Standard 1 6 13];
        /// Something is to become of flows.
        FlowMod "FLOW_MOD" = [Standard 1 6 14, Nicira 1 6 13];
        /// Something is to become of a group.
        GroupMod "GROUP_MOD" = [Nicira 1 1 31, Standard 2 6 15];
        /// A port is to be set otherwise.
        PortMod "PORT_MOD" = [Standard 1 1 15, Standard 2 6 16];
        /// A table is to be set otherwise.
        TableMod "TABLE_MOD" = [Standard 2 6 17];
        /// A request for statistics or descriptions.
        MultipartRequest "MULTIPART_REQUEST" = [Standard 1 1 16, Standard 2 6 18];
        /// Statistics or descriptions.
        MultipartReply "MULTIPART_REPLY" = [Standard 1 1 17, Standard 2 6 19];
        /// Say when everything before this is done.
        BarrierRequest "BARRIER_REQUEST" = [Standard 1 1 18, Standard 2 6 20];
        /// Everything before is done.
        BarrierReply "BARRIER_REPLY" = [Standard 1 1 19, Standard 2 6 21];
        /// How are the queues of a port set?
        QueueConfigRequest "QUEUE_GET_CONFIG_REQUEST" = [Standard 1 1 20, Standard 2 4 22];
        /// How they are set.
        QueueConfigReply "QUEUE_GET_CONFIG_REPLY" = [Standard 1 1 21, Standard 2 4 23];
        /// A role is asked for.
        RoleRequest "ROLE_REQUEST" = [Standard 3 6 24, Nicira 1 6 10];
        /// A role was given.
        RoleReply "ROLE_REPLY" = [Standard 3 6 25, Nicira 1 6 11];
        /// Which messages do I get?
        GetAsyncRequest "GET_ASYNC_REQUEST" = [Standard 4 6 26];
        /// Which messages the controller gets.
        GetAsyncReply "GET_ASYNC_REPLY" = [Standard 4 6 27];
        /// Which messages the controller wants.
        SetAsync "SET_ASYNC" = [Standard 4 6 28];
        /// Which messages the controller wants, in Nicira's first form.
        SetAsyncNicira "SET_ASYNC_CONFIG" = [Nicira 1 6 19];
        /// Which messages the controller wants, in Nicira's second form.
        SetAsyncNicira2 "SET_ASYNC_CONFIG2" = [Nicira 1 4 27];
        /// Something is to become of a meter.
        MeterMod "METER_MOD" = [Standard 4 6 29];
        /// The controller's role changed.
        RoleStatus "ROLE_STATUS" = [Onf 4 4 1911, Standard 5 6 30];
        /// Something happened to a table.
        TableStatus "TABLE_STATUS" = [Standard 5 6 31];
        /// Another controller changed groups or meters.
        RequestForward "REQUESTFORWARD" = [Nicira 1 3 132, Onf 4 4 2350, Standard 5 6 32];
        /// Something is to become of a bundle, or became.
        BundleControl "BUNDLE_CONTROL" = [Onf 4 4 2300, Standard 5 6 33];
        /// A message for a bundle.
        BundleAdd "BUNDLE_ADD_MESSAGE" = [Onf 4 4 2301, Standard 5 6 34];
        /// What became of controllers.
        ControllerStatus "CONTROLLER_STATUS" = [Standard 6 6 35];
        /// How matches are written.
        SetFlowFormat "SET_FLOW_FORMAT" = [Nicira 1 1 12];
        /// Whether flow mods name tables.
        FlowModTableId "FLOW_MOD_TABLE_ID" = [Nicira 1 6 15];
        /// How packets for the controller are written.
        SetPacketInFormat "SET_PACKET_IN_FORMAT" = [Nicira 1 6 16];
        /// Ages of flows are wanted in statistics.
        FlowAge "FLOW_AGE" = [Nicira 1 6 18];
        /// The controller's number.
        SetControllerId "SET_CONTROLLER_ID" = [Nicira 1 6 20];
        /// A monitor of flows is to end.
        FlowMonitorCancel "FLOW_MONITOR_CANCEL" = [Nicira 1 3 21, Onf 4 4 1870];
        /// Monitors lose changes from now on.
        FlowMonitorPaused "FLOW_MONITOR_PAUSED" = [Nicira 1 3 22, Onf 4 4 1871];
        /// Monitors tell all again.
        FlowMonitorResumed "FLOW_MONITOR_RESUMED" = [Nicira 1 3 23, Onf 4 4 1872];
        /// Options of tunnels get fields.
        TlvTableMod "TLV_TABLE_MOD" = [Nicira 1 6 24];
        /// Which options have fields?
        TlvTableRequest "TLV_TABLE_REQUEST" = [Nicira 1 6 25];
        /// Which options have fields.
        TlvTableReply "TLV_TABLE_REPLY" = [Nicira 1 6 26];
        /// A packet that was held back goes on.
        Resume "RESUME" = [Nicira 1 6 28];
        /// The connections of a zone are to be forgotten.
        ConntrackFlushZone "CT_FLUSH_ZONE" = [Nicira 1 6 29];
        /// Connections are to be forgotten.
        ConntrackFlush "CT_FLUSH" = [Nicira 1 6 32];
    }
}

kinds! {
    /// What a multipart message is about.
    pub enum MultipartKind {
        /// The switch in words.
        Description "DESC" = [Standard 1 6 0];
        /// Flows.
        Flow "FLOW" = [Standard 1 6 1, Nicira 1 1 0];
        /// Flows together.
        Aggregate "AGGREGATE" = [Standard 1 6 2, Nicira 1 1 1];
        /// Tables.
        Table "TABLE" = [Standard 1 6 3];
        /// Ports.
        Port "PORT" = [Standard 1 6 4];
        /// Queues.
        Queue "QUEUE" = [Standard 1 6 5];
        /// Groups.
        Group "GROUP" = [Nicira 1 1 7, Standard 2 6 6];
        /// How groups are set.
        GroupDescription "GROUP_DESC" = [Nicira 1 1 8, Standard 2 6 7];
        /// What groups can do.
        GroupFeatures "GROUP_FEATURES" = [Nicira 1 2 9, Standard 3 6 8];
        /// Meters.
        Meter "METER" = [Standard 4 6 9];
        /// How meters are set.
        MeterConfig "METER_CONFIG" = [Standard 4 6 10];
        /// What meters can do.
        MeterFeatures "METER_FEATURES" = [Standard 4 6 11];
        /// What tables can do.
        TableFeatures "TABLE_FEATURES" = [Standard 4 6 12];
        /// How ports are.
        PortDescription "PORT_DESC" = [Standard 1 6 13];
        /// How tables are set.
        TableDescription "TABLE_DESC" = [Standard 5 6 14];
        /// How queues are set.
        QueueDescription "QUEUE_DESC" = [Standard 5 6 15];
        /// Monitors of flows, and what they saw.
        FlowMonitor "FLOW_MONITOR" = [Nicira 1 3 2, Onf 4 4 1870, Standard 5 6 16];
        /// Counters of flows without what they do.
        FlowStatistics "FLOW_STATS" = [Standard 6 6 17];
        /// Controllers.
        ControllerStatus "CONTROLLER_STATUS" = [Standard 6 6 18];
        /// What bundles can do.
        BundleFeatures "BUNDLE_FEATURES" = [Standard 6 6 19];
        /// The bridge's exporter of IPFIX.
        IpfixBridge "IPFIX_BRIDGE" = [Nicira 1 6 3];
        /// The flows' exporters of IPFIX.
        IpfixFlow "IPFIX_FLOW" = [Nicira 1 6 4];
    }
}

/// The type of messages that experimenters define.
pub(super) const EXPERIMENTER: u8 = 4;

/// The type of statistics that experimenters define.
pub(super) const MULTIPART_EXPERIMENTER: u16 = 0xffff;

/// Who an experimenter is.
pub(super) fn owner(experimenter: u32) -> Result<Owner, OfError> {
    [Owner::Nicira, Owner::Onf]
        .into_iter()
        .find(|owner| owner.experimenter() == Some(experimenter))
        .ok_or(OfError::OFPBRC_BAD_VENDOR)
}
