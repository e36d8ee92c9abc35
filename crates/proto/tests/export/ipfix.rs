//! IPFIX: every packet is told once, in records that their templates describe.

use crate::{u16_at, u32_at};
use netloom_proto::export::ipfix::{Direction, Exporter, Interface, Network, Packet, Settings, Tunnel};
use netloom_proto::export::{Clock, MOST_OCTETS};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SECOND: u64 = 1_000_000_000;

/// An information element: enterprise, number, octets.
type Element = (u32, u16, u16);

#[derive(Default)]
struct Reader {
    /// Templates by domain and number.
    templates: BTreeMap<(u32, u16), Vec<Element>>,
    sequences: BTreeMap<u32, u32>,
    /// Packets and octets by domain.
    sums: BTreeMap<u32, (u64, u64)>,
}

fn number(octets: &[u8]) -> u64 {
    octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

impl Reader {
    fn read(&mut self, message: &[u8]) {
        assert!(message.len() <= MOST_OCTETS);
        assert_eq!((u16_at(message, 0), usize::from(u16_at(message, 2))), (10, message.len()));
        let domain = u32_at(message, 12);
        assert_eq!(u32_at(message, 8), self.sequences.get(&domain).copied().unwrap_or(0));
        let mut rest = &message[16..];
        while !rest.is_empty() {
            let (set, after) = rest.split_at(u16_at(rest, 2).into());
            rest = after;
            let (id, mut octets) = (u16_at(set, 0), &set[4..]);
            while id == 2 && !octets.is_empty() {
                let (id, count) = (u16_at(octets, 0), u16_at(octets, 2));
                octets = &octets[4..];
                let mut elements = Vec::new();
                for _ in 0..count {
                    let (element, size) = (u16_at(octets, 0), u16_at(octets, 2));
                    let own = element & 0x8000 != 0;
                    let enterprise = if own { u32_at(octets, 4) } else { 0 };
                    elements.push((enterprise, element & 0x7fff, size));
                    octets = &octets[if own { 8 } else { 4 }..];
                }
                self.templates.insert((domain, id), elements);
            }
            while !octets.is_empty() {
                octets = self.record(domain, id, octets);
            }
        }
    }

    fn record<'a>(&mut self, domain: u32, id: u16, mut octets: &'a [u8]) -> &'a [u8] {
        *self.sequences.entry(domain).or_default() += 1;
        let sums = self.sums.entry(domain).or_default();
        let (mut version, mut address) = (0, false);
        for (enterprise, element, size) in &self.templates[&(domain, id)] {
            let size = match *size {
                0xffff => {
                    let size = usize::from(octets[0]);
                    octets = &octets[1..];
                    size
                }
                size => usize::from(size),
            };
            let (value, rest) = octets.split_at(size);
            octets = rest;
            match (enterprise, element) {
                (0, 2) => sums.0 += number(value),
                (0, 352) => sums.1 += number(value),
                (0, 60) => version = number(value),
                (0, 8) => address |= version == 4 && value == [192, 0, 2, 1],
                (0, 27) => address |= version == 6 && value == Ipv6Addr::LOCALHOST.octets(),
                (6876, 892) => assert_eq!(number(value), 0x1234),
                (6876, 898) => assert_eq!(value, "Schalter ü".as_bytes()),
                _ => {}
            }
        }
        assert!(version == 0 || address);
        octets
    }
}

#[derive(Debug, Clone)]
struct Wish {
    domain: u32,
    version: u8,
    protocol: u8,
    tagged: bool,
    tunneled: bool,
    egress: bool,
    port: u16,
    length: u32,
    weight: u64,
    wait: u64,
}

fn wish() -> impl Strategy<Value = Wish> {
    let protocol = prop::sample::select(vec![1, 6, 17, 58, 132, 47]);
    let shape = (0u32..3, prop::sample::select(vec![0u8, 4, 6]), protocol, any::<[bool; 3]>());
    let rest = (0u16..8, 0u32..2000, 1u64..1000, prop_oneof![4 => Just(0), 1 => 0u64..400 * SECOND]);
    (shape, rest).prop_map(
        |((domain, version, protocol, [tagged, tunneled, egress]), (port, length, weight, wait))| Wish {
            domain,
            version,
            protocol,
            tagged,
            tunneled,
            egress,
            port,
            length,
            weight,
            wait,
        },
    )
}

fn network(wish: &Wish) -> Option<Network> {
    let (source, destination) = match wish.version {
        4 => (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))),
        6 => (IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        _ => return None,
    };
    let Wish { protocol, length, .. } = *wish;
    Some(Network {
        source,
        destination,
        protocol,
        tos: 0,
        ttl: 64,
        label: 0,
        length: length.saturating_sub(14),
    })
}

proptest! {
    #[test]
    fn every_packet_is_told_once(
        wishes in prop::collection::vec(wish(), 1..300),
        active_timeout in prop::sample::select(vec![0, SECOND, 100 * SECOND]),
        max_flows in 0usize..40,
        named: bool,
    ) {
        let virtual_observer = named.then(|| "Schalter ü".to_owned());
        let settings = Settings { active_timeout, max_flows, virtual_observer };
        let mut exporter = Exporter::new(settings, Clock { origin: 1_700_000_000 * SECOND });
        let (mut reader, mut expected, mut now) = (Reader::default(), BTreeMap::new(), 0);
        let (input, output) =
            (Interface { index: 4, name: "in".into() }, Interface { index: 5, name: "o".repeat(300) });
        let tunnel = Tunnel {
            source: Ipv4Addr::LOCALHOST,
            destination: Ipv4Addr::LOCALHOST,
            protocol: 17,
            ports: (1, 2),
            kind: 1,
            key: 0x1234,
            key_octets: 3,
        };
        for wish in &wishes {
            now += wish.wait;
            exporter.tick(now);
            let packet = Packet {
                domain: wish.domain,
                point: 0,
                direction: if wish.egress { Direction::Egress } else { Direction::Ingress },
                addresses: ([2; 6], [4; 6]),
                ethertype: 0x88b5,
                tag: wish.tagged.then_some(0x2005),
                input: &input,
                output: &output,
                network: network(wish),
                transport: (wish.port, 80),
                flags: 2,
                tunnel: wish.tunneled.then_some(tunnel),
                length: wish.length,
                weight: wish.weight,
            };
            exporter.sample(&packet, now);
            prop_assert!(exporter.len() <= max_flows);
            let sums: &mut (u64, u64) = expected.entry(wish.domain).or_default();
            *sums = (sums.0 + wish.weight, sums.1 + wish.weight * u64::from(wish.length));
            exporter.take().iter().for_each(|message| reader.read(message));
        }
        exporter.flush(now);
        exporter.take().iter().for_each(|message| reader.read(message));
        prop_assert_eq!(&reader.sums, &expected);
        let counts = exporter.counts();
        prop_assert_eq!(counts.packets, wishes.len() as u64);
        let records: u32 = reader.sequences.values().sum();
        prop_assert_eq!(counts.flows, u64::from(records));
    }
}
