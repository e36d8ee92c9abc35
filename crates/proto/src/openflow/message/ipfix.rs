//! What exporters of IPFIX counted (NXST_IPFIX_BRIDGE and NXST_IPFIX_FLOW).

use super::octets::Decoded;
use crate::openflow::codec::{Reader, Writer};

/// What an exporter counted. A counter that is not kept has all bits set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IpfixStatistics {
    /// Flows since it began.
    pub total_flows: u64,
    /// Flows now.
    pub current_flows: u64,
    /// Packets sampled.
    pub packets: u64,
    /// Packets of IPv4.
    pub ipv4_packets: u64,
    /// Packets of IPv6.
    pub ipv6_packets: u64,
    /// Packets that were not exported.
    pub error_packets: u64,
    /// Packets of IPv4 that were not exported.
    pub ipv4_error_packets: u64,
    /// Packets of IPv6 that were not exported.
    pub ipv6_error_packets: u64,
    /// Messages sent.
    pub sent_packets: u64,
    /// Messages that could not be sent.
    pub sent_errors: u64,
    /// The set of collectors; 0 for the bridge's own.
    pub collector_set: u32,
}

impl IpfixStatistics {
    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let statistics = Self {
            total_flows: reader.u64()?,
            current_flows: reader.u64()?,
            packets: reader.u64()?,
            ipv4_packets: reader.u64()?,
            ipv6_packets: reader.u64()?,
            error_packets: reader.u64()?,
            ipv4_error_packets: reader.u64()?,
            ipv6_error_packets: reader.u64()?,
            sent_packets: reader.u64()?,
            sent_errors: reader.u64()?,
            collector_set: reader.u32()?,
        };
        reader.skip(4)?;
        Ok(statistics)
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        let counters = [
            self.total_flows,
            self.current_flows,
            self.packets,
            self.ipv4_packets,
            self.ipv6_packets,
            self.error_packets,
            self.ipv4_error_packets,
            self.ipv6_error_packets,
            self.sent_packets,
            self.sent_errors,
        ];
        counters.into_iter().for_each(|counter| writer.u64(counter));
        writer.u32(self.collector_set);
        writer.zeros(4);
    }
}
