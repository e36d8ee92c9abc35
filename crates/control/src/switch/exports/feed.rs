//! What exporters are fed with: flows that the data path tells of, packets that it samples, counters of interfaces.

use super::super::brain::Bridges;
use super::super::configuration::Options;
use super::{Exports, MANY};
use netloom_datapath::{Heard, PortTotals};
use netloom_mem::PortNumber;
use netloom_nf::tunnel::{TunnelKind, Tunnels};
use netloom_proto::export::{ipfix, netflow, sflow};
use netloom_table::key::{Layers, extract_beside};
use netloom_table::{Field, Key};
use netloom_vswitch::openflow::translate::Credit;
use netloom_vswitch::openflow::{BridgeNumber, Sampled, ToldFlow, TunnelEnds};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is known of an interface.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct InterfaceFacts {
    interface: ipfix::Interface,
    speed: u64,
    full_duplex: Option<bool>,
    admin: bool,
    up: bool,
}

impl InterfaceFacts {
    /// From what its driver tells, or what it is told to tell.
    pub(super) fn of(name: &str, options: &Options, details: &BTreeMap<String, String>, state: &str) -> Self {
        let number = |key: &str| details.get(key).or_else(|| options.get(key)).and_then(|it| it.parse().ok());
        Self {
            interface: ipfix::Interface {
                index: number("ifindex").unwrap_or(0) as u32,
                name: name.to_owned(),
            },
            // What Open vSwitch says of those that don't say it.
            speed: number("link-speed").unwrap_or(100_000_000),
            full_duplex: details.get("duplex").map(|duplex| duplex == "full"),
            admin: details.get("admin").is_none_or(|admin| admin == "up"),
            up: state == "up",
        }
    }
}

/// Counters that are due: bridge, port.
pub(super) type Due = Vec<(BridgeNumber, PortNumber)>;

impl Exports {
    fn netflow(&mut self, bridge: BridgeNumber) -> Option<&mut netflow::Exporter> {
        Some(&mut self.bridges.get_mut(&bridge)?.netflow.as_mut()?.machine)
    }

    /// A flow of the data path begins.
    pub(in super::super) fn begin(&mut self, credit: &Credit, now: u64) {
        for (bridge, flow) in &credit.flows_told {
            if let Some(exporter) = self.netflow(*bridge) {
                exporter.begin(flow.key, flow.output, now);
            }
        }
    }

    /// Packets of a flow of the data path were counted.
    pub(in super::super) fn count(&mut self, credit: &Credit, packets: u64, octets: u64, used: u64) {
        for (bridge, flow) in &credit.flows_told {
            let ToldFlow { key, output, flags } = **flow;
            if let Some(exporter) = self.netflow(*bridge) {
                exporter.count(key, netflow::Count { output, packets, octets, flags, used }, used);
            }
        }
    }

    /// A flow of the data path is gone.
    pub(in super::super) fn end(&mut self, credit: &Credit, now: u64) {
        if credit.flows_told.is_empty() {
            return;
        }
        for (bridge, flow) in &credit.flows_told {
            if let Some(exporter) = self.netflow(*bridge) {
                exporter.end(flow.key, now);
            }
        }
        self.gather();
    }

    /// Puts what was made into the outbox before it becomes much.
    fn gather(&mut self) {
        for of in self.bridges.values_mut() {
            if let Some(teller) = &mut of.netflow {
                self.outbox.put(teller);
            }
        }
        if self.outbox.waiting.len() >= MANY {
            self.ring();
        }
    }

    fn index(&self, port: PortNumber) -> u32 {
        self.interfaces.get(&port).map_or(0, |facts| facts.interface.index)
    }
}

fn four(address: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(address as u32)
}

/// Protocol, transport port, kind for IPFIX, and octets of the key of a tunnel.
const fn kind_of(kind: TunnelKind) -> (u8, u16, u8, u8) {
    match kind {
        TunnelKind::Vxlan(port) | TunnelKind::VxlanGpe(port) => (17, port, 1, 3),
        TunnelKind::Geneve(port) => (17, port, 7, 3),
        TunnelKind::Gre => (47, 0, 2, 4),
        TunnelKind::Erspan => (47, 0, 0, 4),
    }
}

/// The tunnel that a packet came by: its fields are in the key.
fn came_by(key: &Key) -> Option<TunnelEnds> {
    let [source, destination] = [Field::TUN_SRC, Field::TUN_DST].map(|field| key.get(field) as u32);
    let ends = TunnelEnds { source, destination, key: key.get(Field::TUN_ID) };
    Some(ends).filter(|ends| ends.destination != 0)
}

/// A sampled packet, read again: actions may have changed it since it was looked up.
struct Read<'a> {
    heard: &'a Heard,
    key: Box<Key>,
    layers: Layers,
    input: PortNumber,
}

impl<'a> Read<'a> {
    fn of(heard: &'a Heard) -> Self {
        let mut key = Box::<Key>::default();
        let layers = extract_beside(&heard.octets, heard.length, &heard.key, &mut key);
        Self { heard, key, layers, input: heard.key.get(Field::IN_PORT) as PortNumber }
    }

    /// The outer VLAN tag.
    fn tag(&self) -> Option<u16> {
        let tci = self.key.get(Field::VLAN_TCI) as u16 & 0xefff;
        (self.key.get(Field::VLAN_TPID) != 0).then_some(tci)
    }

    /// The tunnel that it came by, and its protocol.
    fn tunnel(&self, tunnels: &Tunnels) -> Option<(TunnelEnds, TunnelKind)> {
        Some((came_by(&self.key)?, tunnels.get(self.input)?.kind))
    }

    fn network(&self) -> Option<ipfix::Network> {
        let key = &self.key;
        let kind = key.get(Field::ETH_TYPE);
        let at = usize::from(self.layers.network);
        let word = |offset: usize| -> Option<u32> {
            let octets = self.heard.octets.get(at + offset..at + offset + 2)?;
            Some(octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
        };
        let wide = |high: Field, low: Field| {
            let bits = u128::from(key.get(high)) << 64 | u128::from(key.get(low));
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        };
        // What there is of a frame behind its own header, if the packet does not say it.
        let rest = self.heard.length.saturating_sub(at) as u32;
        let (source, destination, length) = match kind {
            0x0800 => {
                let ends = [Field::IP4_SRC, Field::IP4_DST].map(|field| IpAddr::V4(four(key.get(field))));
                (ends[0], ends[1], word(2).unwrap_or(rest))
            }
            0x86dd => (
                wide(Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW),
                wide(Field::IP6_DST_HIGH, Field::IP6_DST_LOW),
                word(4).map_or(rest, |length| length + 40),
            ),
            _ => return None,
        };
        Some(ipfix::Network {
            source,
            destination,
            protocol: key.get(Field::IP_PROTO) as u8,
            tos: key.get(Field::IP_TOS) as u8,
            ttl: key.get(Field::IP_TTL) as u8,
            label: key.get(Field::IP6_LABEL) as u32,
            length,
        })
    }
}

fn sflow_tunnel((ends, kind): (TunnelEnds, TunnelKind)) -> sflow::Tunnel {
    sflow::Tunnel {
        source: Ipv4Addr::from_bits(ends.source),
        destination: Ipv4Addr::from_bits(ends.destination),
        protocol: kind_of(kind).0,
        tos: 0,
        ports: (0, kind_of(kind).1),
        network: ends.key as u32,
    }
}

fn ipfix_tunnel((ends, kind): (TunnelEnds, TunnelKind)) -> ipfix::Tunnel {
    let (protocol, port, kind, key_octets) = kind_of(kind);
    ipfix::Tunnel {
        source: Ipv4Addr::from_bits(ends.source),
        destination: Ipv4Addr::from_bits(ends.destination),
        protocol,
        ports: (0, port),
        kind,
        key: ends.key,
        key_octets,
    }
}

/// An octet of a word of the key that is an address.
fn mac(word: u64) -> [u8; 6] {
    let [_, _, mac @ ..] = word.to_be_bytes();
    mac
}

impl Exports {
    /// A packet was sampled.
    pub(in super::super) fn sampled(&mut self, heard: &Heard, tunnels: &Tunnels, now: u64) {
        let Some((bridge, sampled)) = Sampled::decode(&heard.punt.data) else { return };
        let read = Read::of(heard);
        match sampled {
            Sampled::Packet { outputs, port, tci, tunnel } => {
                let to = tunnel.and_then(|ends| Some((ends, tunnels.get(port)?.kind)));
                self.sampled_packet(bridge, &read, (outputs, port, tci), to, tunnels, now);
            }
            Sampled::Sum { output, tunnel } => {
                let Some(settings) = self.bridges.get(&bridge).and_then(|of| of.settings.sums.clone()) else {
                    return;
                };
                let to = output.zip(tunnel).and_then(|(port, ends)| Some((ends, tunnels.get(port)?.kind)));
                // Of what leaves, the tunnel that it leaves by; of what comes in, the one that it came by.
                let of = if output.is_some() { to } else { read.tunnel(tunnels) };
                let about = About {
                    domain: settings.domain,
                    point: settings.point,
                    output,
                    direction: 0,
                    tunnel: of.filter(|_| settings.told.tunnels),
                    weight: settings.sampling.into(),
                };
                self.sampled_sum(bridge, None, &read, about, now);
            }
            Sampled::Flow { set, domain, point, probability, output, direction } => {
                let tells =
                    self.bridges.get(&bridge).and_then(|of| Some(of.settings.sets.get(&set)?.tunnels));
                let about = About {
                    domain,
                    point,
                    output,
                    direction,
                    tunnel: read.tunnel(tunnels).filter(|_| tells == Some(true)),
                    weight: (u16::MAX / probability.max(1)).into(),
                };
                self.sampled_sum(bridge, Some(set), &read, about, now);
            }
        }
    }

    fn sampled_packet(
        &mut self,
        bridge: BridgeNumber,
        read: &Read<'_>,
        (outputs, port, tci): (u16, PortNumber, u16),
        to: Option<(TunnelEnds, TunnelKind)>,
        tunnels: &Tunnels,
        now: u64,
    ) {
        let (input, output) = (self.index(read.input), self.index(port));
        let Some(teller) = self.bridges.get_mut(&bridge).and_then(|of| of.sflow.as_mut()) else { return };
        let output = match (outputs, output) {
            (0, _) => sflow::DROPPED,
            (1, index) if index != 0 => index,
            (count, _) => sflow::SEVERAL | u32::from(count),
        };
        let protocol = match read.heard.key.get(Field::PACKET_TYPE) as u32 {
            0x0001_0800 => sflow::HeaderProtocol::Ipv4,
            0x0001_86dd => sflow::HeaderProtocol::Ipv6,
            _ => sflow::HeaderProtocol::Ethernet,
        };
        let packet = sflow::Packet {
            octets: &read.heard.octets,
            protocol,
            length: read.heard.length as u32,
            input,
            output,
            tags: (read.tag().unwrap_or(0), tci),
            came_by: read.tunnel(tunnels).map(sflow_tunnel),
            leaves_by: to.map(sflow_tunnel),
        };
        teller.machine.sample(&packet, now);
        self.outbox.put(teller);
    }

    fn sampled_sum(
        &mut self,
        bridge: BridgeNumber,
        set: Option<u32>,
        read: &Read<'_>,
        about: About,
        now: u64,
    ) {
        let Self { bridges, interfaces, outbox, .. } = self;
        let Some(of) = bridges.get_mut(&bridge) else { return };
        let teller = match set {
            Some(set) => of.sets.get_mut(&set),
            None => of.sums.as_mut(),
        };
        let Some(teller) = teller else { return };
        let nobody = InterfaceFacts::default();
        let interface = |port| &interfaces.get(&port).unwrap_or(&nobody).interface;
        let direction = match (about.direction, about.output) {
            (1, _) | (0, None) => ipfix::Direction::Ingress,
            _ => ipfix::Direction::Egress,
        };
        let key = &read.key;
        let packet = ipfix::Packet {
            domain: about.domain,
            point: about.point,
            direction,
            addresses: (mac(key.get(Field::ETH_SRC)), mac(key.get(Field::ETH_DST))),
            ethertype: key.get(Field::ETH_TYPE) as u16,
            tag: read.tag(),
            input: interface(read.input),
            output: about.output.map_or(&nobody.interface, interface),
            network: read.network(),
            transport: (key.get(Field::TP_SRC) as u16, key.get(Field::TP_DST) as u16),
            flags: key.get(Field::TCP_FLAGS) as u8,
            tunnel: about.tunnel.map(ipfix_tunnel),
            length: read.heard.length as u32,
            weight: about.weight,
        };
        teller.machine.sample(&packet, now);
        outbox.put(teller);
    }

    /// Counters that are due.
    pub(super) fn due(&mut self, now: u64, ports: impl Fn(BridgeNumber) -> Vec<PortNumber>) -> Due {
        let mut due = Due::new();
        for (number, of) in &mut self.bridges {
            let Some(teller) = &mut of.sflow else { continue };
            let by_index: BTreeMap<u32, PortNumber> = ports(*number)
                .into_iter()
                .filter_map(|port| Some((self.interfaces.get(&port)?.interface.index, port)))
                .filter(|(index, _)| *index != 0)
                .collect();
            let indexes: Vec<u32> = by_index.keys().copied().collect();
            let told = teller.machine.due(&indexes, now);
            due.extend(told.iter().filter_map(|index| Some((*number, *by_index.get(index)?))));
        }
        due
    }
}

/// What a sample says beside the packet.
struct About {
    domain: u32,
    point: u32,
    output: Option<PortNumber>,
    direction: u8,
    tunnel: Option<(TunnelEnds, TunnelKind)>,
    weight: u64,
}

impl Bridges {
    /// Counters that are due to be told.
    pub(super) fn counters_due(&mut self, now: u64) -> Due {
        let pipelines = &self.pipelines;
        let ports = |number| {
            let pipeline = pipelines.get(&number);
            pipeline.into_iter().flat_map(|it| it.ports()).map(|entry| entry.port).collect()
        };
        self.exports.due(now, ports)
    }

    /// Tells counters of a port.
    pub(super) fn tell_counters(
        &mut self,
        (bridge, port): (BridgeNumber, PortNumber),
        totals: &PortTotals,
        now: u64,
    ) {
        let number = self.pipelines.get(&bridge).and_then(|pipeline| pipeline.port_of(port));
        let datapath = self.exports.datapaths.get(&bridge).copied().unwrap_or(0);
        let Some(facts) = self.exports.interfaces.get(&port).cloned() else { return };
        let Exports { bridges, outbox, .. } = &mut self.exports;
        let Some(teller) = bridges.get_mut(&bridge).and_then(|of| of.sflow.as_mut()) else { return };
        let counters = sflow::Counters {
            index: facts.interface.index,
            name: facts.interface.name,
            speed: facts.speed,
            full_duplex: facts.full_duplex,
            admin: facts.admin,
            up: facts.up,
            received: (totals.received_octets, totals.received, totals.dropped.iter().sum()),
            sent: (totals.sent_octets, totals.sent, totals.unsent),
            openflow: (datapath, number.map_or(0, |number| number.0.into())),
        };
        teller.machine.counters(&counters, now);
        outbox.put(teller);
    }
}
