//! What of a bridge's packets is told to collectors: which packets are sampled, and what their samples say.
//!
//! What: [`Exports`] are a bridge's settings. A program that samples has a step for it ([`netloom_nf::Action::Sample`]), whose
//! punt carries a [`Sampled`] as octets. Sums of flows need no step: they come with the counts of the data path's flows
//! ([`super::translate::Credit::flows_told`]).

use super::BridgeNumber;
use netloom_mem::PortNumber;
use netloom_proto::export::netflow;
use std::collections::BTreeMap;

/// What a bridge tells of its packets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exports {
    /// Flows of IPv4 are summed (NetFlow).
    pub flows: bool,
    /// Packets are sampled as they come in (sFlow).
    pub packets: Option<PacketSampling>,
    /// Packets are sampled for sums (IPFIX).
    pub sums: Option<SumSampling>,
    /// Sets of collectors that flows may sample for, each with whether tunnels are told.
    pub sets: BTreeMap<u32, bool>,
}

/// Samples of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketSampling {
    /// Of 2^32 packets so many; `u32::MAX` for all.
    pub probability: u32,
    /// Octets of each.
    pub most: u16,
}

/// Samples for sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumSampling {
    /// As in [`PacketSampling`].
    pub probability: u32,
    /// Packets are sampled as they come in.
    pub input: bool,
    /// And as they leave.
    pub output: bool,
    /// Headers of tunnels are told, and packets sampled that come in by tunnels.
    pub tunnels: bool,
}

impl Exports {
    /// Whether anything is told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of a flow that is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldFlow {
    /// What its packets have in common.
    pub key: netflow::FlowKey,
    /// Where they go.
    pub output: u16,
    /// Flags of TCP that all of them have.
    pub flags: u8,
}

/// The headers of a tunnel over IPv4 that a packet leaves in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelEnds {
    /// Our end; 0 if the way decides.
    pub source: u32,
    /// The other end.
    pub destination: u32,
    /// The tunnel's key.
    pub key: u64,
}

/// What a sample says beside the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// A packet as it came in.
    Packet {
        /// How many ports it goes to.
        outputs: u16,
        /// One of them.
        port: PortNumber,
        /// The VLAN tag that it has when it leaves; 0 without.
        tci: u16,
        /// The tunnel that it leaves by.
        tunnel: Option<TunnelEnds>,
    },
    /// A packet for the bridge's sums.
    Sum {
        /// The port that it leaves through; none for one that comes in.
        output: Option<PortNumber>,
        /// The tunnel that it leaves by.
        tunnel: Option<TunnelEnds>,
    },
    /// A packet that a flow sampled.
    Flow {
        /// For whom.
        set: u32,
        /// Observation domain of IPFIX.
        domain: u32,
        /// Observation point.
        point: u32,
        /// Of 65,535 packets so many.
        probability: u16,
        /// The port that the sample is of.
        output: Option<PortNumber>,
        /// 1 coming in, 2 going out, 0 as the port says.
        direction: u8,
    },
}

/// No port.
const NO_PORT: u32 = u32::MAX;

impl Sampled {
    /// As octets, with the bridge.
    #[must_use]
    pub fn encode(&self, bridge: BridgeNumber) -> Vec<u8> {
        let mut numbers = vec![bridge];
        match *self {
            Self::Packet { outputs, port, tci, tunnel } => {
                numbers.extend([0, outputs.into(), port, tci.into()]);
                numbers.extend(words(tunnel));
            }
            Self::Sum { output, tunnel } => {
                numbers.extend([1, output.unwrap_or(NO_PORT)]);
                numbers.extend(words(tunnel));
            }
            Self::Flow { set, domain, point, probability, output, direction } => {
                let port = output.unwrap_or(NO_PORT);
                numbers.extend([2, set, domain, point, probability.into(), port, direction.into()]);
            }
        }
        numbers.into_iter().flat_map(u32::to_be_bytes).collect()
    }

    /// From octets.
    #[must_use]
    pub fn decode(octets: &[u8]) -> Option<(BridgeNumber, Self)> {
        let (numbers, []) = octets.as_chunks::<4>() else { return None };
        let numbers: Vec<u32> = numbers.iter().copied().map(u32::from_be_bytes).collect();
        let port = |number: u32| Some(number).filter(|number| *number != NO_PORT);
        let (bridge, sampled) = match numbers[..] {
            [bridge, 0, outputs, port, tci, ref tunnel @ ..] => {
                let (outputs, tci) = (outputs as u16, tci as u16);
                (bridge, Self::Packet { outputs, port, tci, tunnel: ends(tunnel) })
            }
            [bridge, 1, output, ref tunnel @ ..] => {
                (bridge, Self::Sum { output: port(output), tunnel: ends(tunnel) })
            }
            [bridge, 2, set, domain, point, probability, output, direction] => {
                let (probability, direction) = (probability as u16, direction as u8);
                (bridge, Self::Flow { set, domain, point, probability, output: port(output), direction })
            }
            _ => return None,
        };
        Some((bridge, sampled))
    }
}

fn words(tunnel: Option<TunnelEnds>) -> impl Iterator<Item = u32> {
    let words = |TunnelEnds { source, destination, key }: TunnelEnds| {
        [source, destination, (key >> 32) as u32, key as u32]
    };
    tunnel.map(words).into_iter().flatten()
}

fn ends(words: &[u32]) -> Option<TunnelEnds> {
    let [source, destination, high, low] = *words else { return None };
    Some(TunnelEnds { source, destination, key: u64::from(high) << 32 | u64::from(low) })
}

#[cfg(test)]
mod tests {
    use super::{Sampled, TunnelEnds};

    #[test]
    fn samples_come_back() {
        let tunnel = Some(TunnelEnds { source: 1, destination: 2, key: 1 << 40 | 3 });
        for sampled in [
            Sampled::Packet { outputs: 3, port: 70_000, tci: 0x3001, tunnel: None },
            Sampled::Packet { outputs: 1, port: 7, tci: 0, tunnel },
            Sampled::Sum { output: None, tunnel: None },
            Sampled::Sum { output: Some(4), tunnel },
            Sampled::Flow { set: 1, domain: 2, point: 3, probability: 9, output: Some(5), direction: 2 },
            Sampled::Flow { set: 1, domain: 2, point: 3, probability: 9, output: None, direction: 0 },
        ] {
            assert_eq!(Sampled::decode(&sampled.encode(7)), Some((7, sampled)));
        }
        assert_eq!(Sampled::decode(&[0; 31]), None);
        assert_eq!(Sampled::decode(&[9; 32]), None);
    }
}
