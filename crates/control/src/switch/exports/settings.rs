//! What rows say about exporters, as plain values: a successor gets them as they are.

use netloom_proto::export::{ipfix, netflow, sflow};
use netloom_vswitch::openflow::{Exports, PacketSampling, SumSampling};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// What a bridge tells, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in super::super) struct ExportSettings {
    pub(in super::super) netflow: Option<NetFlowSettings>,
    pub(in super::super) sflow: Option<SFlowSettings>,
    /// Sums of what passes the bridge.
    pub(in super::super) sums: Option<SumSettings>,
    /// Sums of what flows sample, by the number of their collectors.
    pub(in super::super) sets: BTreeMap<u32, IpfixSettings>,
}

/// Sums of flows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct NetFlowSettings {
    /// Collectors, as the row names them.
    pub(in super::super) targets: Vec<String>,
    pub(in super::super) engine: (u8, u8),
    pub(in super::super) add_id_to_interface: bool,
    /// Seconds; 0 for never.
    pub(in super::super) active_timeout: u64,
}

/// Samples of packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct SFlowSettings {
    pub(in super::super) targets: Vec<String>,
    /// The agent's address, or an interface that has it.
    pub(in super::super) agent: Option<String>,
    /// One of so many packets, at least 1.
    pub(in super::super) sampling: u32,
    /// Octets of each.
    pub(in super::super) header: u16,
    /// Seconds between samples of counters; 0 for none.
    pub(in super::super) polling: u64,
}

/// How sums of samples are told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in super::super) struct IpfixSettings {
    pub(in super::super) targets: Vec<String>,
    /// Seconds.
    pub(in super::super) active_timeout: u64,
    pub(in super::super) max_flows: usize,
    pub(in super::super) virtual_observer: Option<String>,
    /// Headers of tunnels are told.
    pub(in super::super) tunnels: bool,
}

/// Sums of what passes a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct SumSettings {
    pub(in super::super) told: IpfixSettings,
    /// One of so many packets, at least 1.
    pub(in super::super) sampling: u32,
    pub(in super::super) domain: u32,
    pub(in super::super) point: u32,
    pub(in super::super) input: bool,
    pub(in super::super) output: bool,
}

/// Of 2^32 packets so many.
fn probability(sampling: u32) -> u32 {
    (u32::MAX / sampling.max(1)).max(1)
}

impl ExportSettings {
    /// Whether nothing is told.
    pub(in super::super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What tables do for it.
    pub(super) fn of_tables(&self) -> Exports {
        Exports {
            flows: self.netflow.is_some(),
            packets: self.sflow.as_ref().map(|sflow| PacketSampling {
                probability: probability(sflow.sampling),
                most: sflow.header.clamp(14, sflow::MOST_HEADER),
            }),
            sums: self.sums.as_ref().map(|sums| SumSampling {
                probability: probability(sums.sampling),
                input: sums.input,
                output: sums.output,
                tunnels: sums.told.tunnels,
            }),
            sets: self.sets.iter().map(|(set, settings)| (*set, settings.tunnels)).collect(),
        }
    }
}

impl NetFlowSettings {
    pub(super) const fn machine(&self) -> netflow::Settings {
        netflow::Settings {
            engine_type: self.engine.0,
            engine_id: self.engine.1,
            add_id_to_interface: self.add_id_to_interface,
            active_timeout: self.active_timeout.saturating_mul(SECOND),
        }
    }
}

impl SFlowSettings {
    pub(super) const fn machine(&self, agent: IpAddr, sub_agent: u32) -> sflow::Settings {
        sflow::Settings {
            agent,
            sub_agent,
            sampling: self.sampling,
            header: self.header,
            polling: sflow::polling(self.polling),
        }
    }
}

impl IpfixSettings {
    pub(super) fn machine(&self) -> ipfix::Settings {
        ipfix::Settings {
            active_timeout: self.active_timeout.saturating_mul(SECOND),
            max_flows: self.max_flows,
            virtual_observer: self.virtual_observer.clone(),
        }
    }
}
