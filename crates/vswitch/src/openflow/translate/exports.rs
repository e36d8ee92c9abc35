//! What is told to collectors: samples in the program, flows whose packets are summed.
//!
//! Packets are sampled once, as they come in, before tables are asked; what came of them is known at the end, when the step
//! is put in its place. In the bridge that a packet comes into, only; those that leave are sampled by the bridge that sends.

use super::super::exports::{Sampled, ToldFlow, TunnelEnds};
use super::context::Context;
use super::output::PUNT_SAMPLE;
use netloom_mem::PortNumber;
use netloom_nf::{Action as Step, Program, Reason, Sample};
use netloom_proto::export::netflow::{FLOODED, FlowKey, NOWHERE, SEVERAL};
use netloom_proto::openflow::OfPort;
use netloom_table::Field;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What is remembered of a packet for those who are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling {
    /// The bridge that it came into.
    bridge: u32,
    /// The flow that it belongs to.
    flow: Option<(FlowKey, u8)>,
    /// Where samples of packets stand in the program.
    sampled_at: Option<usize>,
    /// Where it goes, for sums.
    output: u16,
    /// Ports that it leaves through, one of them, and the tag that it has there.
    outputs: u16,
    port: PortNumber,
    tci: u16,
    tunnel: Option<TunnelEnds>,
    /// The tunnel that it is about to leave by.
    leaving: Option<TunnelEnds>,
}

impl Telling {
    pub(super) const fn new(bridge: u32) -> Self {
        Self {
            bridge,
            flow: None,
            sampled_at: None,
            output: NOWHERE,
            outputs: 0,
            port: 0,
            tci: 0,
            tunnel: None,
            leaving: None,
        }
    }
}

/// The eight flags of TCP that are told.
const FLAGS: u64 = 0xff;

impl Context<'_> {
    /// A packet has come in.
    pub(super) fn tell_arrival(&mut self, tunnel: bool) {
        let Some(exports) = self.pipeline().map(|pipeline| &pipeline.options().exports) else { return };
        let (flows, packets, sums) = (exports.flows, exports.packets, exports.sums);
        if flows && self.flow.get(Field::ETH_TYPE) == 0x0800 {
            self.telling.flow = Some(self.told_flow());
        }
        if packets.is_some() {
            self.telling.sampled_at = Some(self.out.len());
            // Samples say which tag packets leave with, which may be the one that they came with.
            self.mask.add(Field::VLAN_TCI);
            self.tags_matter = true;
        }
        if let Some(sums) = sums
            && sums.input
            && (sums.tunnels || !tunnel)
        {
            self.sample(sums.probability, 0, Sampled::Sum { output: None, tunnel: None });
        }
    }

    /// The flow of the packet; whatever is in it, all packets have that follow the same program.
    fn told_flow(&mut self) -> (FlowKey, u8) {
        let protocol = self.look(Field::IP_PROTO) as u8;
        self.mask.add_bits(Field::IP_TOS, 0xfc);
        let [source, destination] = [Field::IP4_SRC, Field::IP4_DST].map(|field| self.look(field) as u32);
        // Later fragments have no ports.
        let has_ports = matches!(protocol, 1 | 6 | 17 | 132) && self.flow.get(Field::IP_FRAG) & 2 == 0;
        let [source_port, destination_port] = match has_ports {
            true => [Field::TP_SRC, Field::TP_DST].map(|field| self.look(field) as u16),
            false => [0; 2],
        };
        let mut flags = 0;
        if protocol == 6 && has_ports {
            self.mask.add_bits(Field::TCP_FLAGS, FLAGS);
            flags = self.flow.get(Field::TCP_FLAGS) as u8;
        }
        let key = FlowKey {
            input: self.in_port().0,
            source: Ipv4Addr::from_bits(source),
            destination: Ipv4Addr::from_bits(destination),
            protocol,
            tos: self.flow.get(Field::IP_TOS) as u8 & 0xfc,
            source_port,
            destination_port,
        };
        (key, flags)
    }

    /// The packet leaves by a port of the bridge, or for another bridge.
    pub(super) fn tell_output(&mut self, port: OfPort) {
        if self.bridge == self.telling.bridge {
            let telling = &mut self.telling;
            telling.output = match telling.output {
                NOWHERE => port.0,
                FLOODED => FLOODED,
                other if other == port.0 => other,
                _ => SEVERAL,
            };
        }
    }

    /// The packet went everywhere.
    pub(super) fn tell_flood(&mut self) {
        if self.bridge == self.telling.bridge {
            self.telling.output = FLOODED;
        }
    }

    /// The packet is about to leave in the headers of a tunnel, whose fields it has.
    pub(super) fn tell_tunnel(&mut self) {
        let exports = self.pipeline().map(|pipeline| &pipeline.options().exports);
        if exports.is_none_or(|exports| exports.packets.is_none() && exports.sums.is_none()) {
            return;
        }
        // What the tunnel itself does not say comes from the packet.
        for field in [Field::TUN_SRC, Field::TUN_DST, Field::TUN_ID] {
            self.mask.add(field);
        }
        let key = &self.flow;
        let [source, destination] = [Field::TUN_SRC, Field::TUN_DST].map(|field| key.get(field) as u32);
        let ends = TunnelEnds { source, destination, key: key.get(Field::TUN_ID) };
        self.telling.leaving = Some(ends).filter(|ends| ends.destination != 0);
    }

    /// The packet leaves, as it is now.
    pub(super) fn tell_departure(&mut self, port: PortNumber) {
        let telling = &mut self.telling;
        telling.outputs = telling.outputs.saturating_add(1);
        telling.port = port;
        telling.tunnel = telling.leaving.take();
        let tunnel = telling.tunnel;
        telling.tci = match self.flow.get(Field::VLAN_TPID) {
            0 => 0,
            _ => self.flow.get(Field::VLAN_TCI) as u16 & 0xefff,
        };
        let sums = self.pipeline().and_then(|pipeline| pipeline.options().exports.sums);
        if let Some(sums) = sums.filter(|sums| sums.output) {
            self.sample(
                sums.probability,
                0,
                Sampled::Sum { output: Some(port), tunnel: tunnel.filter(|_| sums.tunnels) },
            );
        }
    }

    /// The action `sample`.
    pub(super) fn sample_action(&mut self, action: &netloom_proto::openflow::action::Sample) {
        let Some(pipeline) = self.pipeline() else { return };
        if !pipeline.options().exports.sets.contains_key(&action.collector_set_id) {
            return;
        }
        let output = pipeline.port(action.sampling_port).map(|entry| entry.port);
        let sampled = Sampled::Flow {
            set: action.collector_set_id,
            domain: action.obs_domain_id,
            point: action.obs_point_id,
            probability: action.probability,
            output,
            direction: action.direction as u8,
        };
        // 65,535 of 65,535 are all.
        self.commit();
        self.sample(u32::from(action.probability) * 65_537, 0, sampled);
    }

    /// A copy of some packets, as they are now.
    fn sample(&mut self, probability: u32, most: u16, sampled: Sampled) {
        let step = self.sampling(probability, most, sampled);
        self.out.push(step);
    }

    fn sampling(&mut self, probability: u32, most: u16, sampled: Sampled) -> Step {
        let data = sampled.encode(self.bridge);
        let most = if most == 0 { SAMPLE } else { most };
        let punt = self.punt(PUNT_SAMPLE, 0, 0, most, &data, 0);
        if probability == u32::MAX {
            return punt;
        }
        let program = Program::new(vec![punt], Reason::Rule);
        Step::Sample(Arc::new(Sample { probability, program }))
    }

    /// What was remembered goes where it belongs.
    pub(super) fn tell_all(&mut self, reason: Reason) {
        let Telling { bridge, flow, sampled_at, output, outputs, port, tci, tunnel, .. } = self.telling;
        if let Some((key, flags)) = flow {
            self.credit.flows_told.push((bridge, Box::new(ToldFlow { key, output, flags })));
        }
        let packets = self.world.pipeline(bridge).and_then(|pipeline| pipeline.options().exports.packets);
        if let (Some(at), Some(packets)) = (sampled_at, packets) {
            self.bridge = bridge;
            let sampled = Sampled::Packet { outputs, port, tci, tunnel };
            let step = self.sampling(packets.probability, packets.most, sampled);
            self.out.insert(at.min(self.out.len()), step);
        }
        let is_sample = |step: &Step| match step {
            Step::Punt(punt) => punt.kind == PUNT_SAMPLE,
            Step::Sample(_) | Step::Meter(_) => true,
            _ => false,
        };
        // A packet of which only a sample goes anywhere is lost all the same.
        if !self.out.is_empty() && self.out.iter().all(is_sample) {
            self.out.push(Step::Lose(reason));
        }
    }
}

/// Octets of a sample for sums: all headers that are told.
const SAMPLE: u16 = 256;
