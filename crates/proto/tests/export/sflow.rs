//! sFlow: what was sampled is told, in datagrams that are not too long.

use crate::u32_at;
use netloom_proto::export::MOST_OCTETS;
use netloom_proto::export::sflow::{Agent, Counters, HeaderProtocol, Packet, Settings, Tunnel};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn settings(agent: IpAddr, header: u16) -> Settings {
    Settings { agent, sub_agent: 4, sampling: 10, header, polling: 5_000_000_000 }
}

/// The structures of a list: format and octets.
fn structures(octets: &[u8], count: u32) -> Vec<(u32, &[u8])> {
    let (mut rest, mut all) = (octets, Vec::new());
    for _ in 0..count {
        let (format, length) = (u32_at(rest, 0), u32_at(rest, 4) as usize);
        assert_eq!(length % 4, 0);
        all.push((format, &rest[8..8 + length]));
        rest = &rest[8 + length..];
    }
    assert!(rest.is_empty());
    all
}

/// Samples of a datagram: format and octets.
fn samples(datagram: &[u8], sequence: u32) -> Vec<(u32, &[u8])> {
    let address = if u32_at(datagram, 4) == 1 { 4 } else { 16 };
    let head = 8 + address;
    assert_eq!((u32_at(datagram, 0), u32_at(datagram, head), u32_at(datagram, head + 4)), (5, 4, sequence));
    let all = structures(&datagram[head + 16..], u32_at(datagram, head + 12));
    assert!(datagram.len() <= MOST_OCTETS || all.len() == 1);
    all
}

proptest! {
    #[test]
    fn packets_are_told(
        lengths in prop::collection::vec(0usize..2000, 1..40),
        header in 1u16..2000,
        six: bool,
        tunneled: bool,
    ) {
        let agent = if six { IpAddr::V6(Ipv6Addr::LOCALHOST) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
        let mut agent = Agent::new(settings(agent, header), 0);
        let octets: Vec<u8> = (0..2000_u32).map(|number| (number % 251) as u8).collect();
        let tunnel = tunneled.then_some(Tunnel {
            source: Ipv4Addr::new(192, 0, 2, 1),
            destination: Ipv4Addr::new(192, 0, 2, 2),
            protocol: 17,
            tos: 0,
            ports: (0, 4789),
            network: 77,
        });
        for length in &lengths {
            let packet = Packet {
                octets: &octets[..*length],
                protocol: HeaderProtocol::Ethernet,
                length: *length as u32,
                input: 8,
                output: 9,
                tags: (0x2001, 0),
                came_by: None,
                leaves_by: tunnel,
            };
            agent.sample(&packet, 1_000_000);
        }
        agent.lose(3);
        agent.flush(1_000_000);
        let datagrams = agent.take();
        let all = datagrams.iter().zip(1..).flat_map(|(datagram, sequence)| samples(datagram, sequence));
        let mut number = 0;
        for ((format, sample), length) in all.zip(&lengths) {
            number += 1;
            prop_assert_eq!(format, 1);
            let words: Vec<u32> = (0..8).map(|word| u32_at(sample, 4 * word)).collect();
            let records = 2 + 2 * u32::from(tunneled);
            prop_assert_eq!(words, [number, 2 << 24 | 1004, 10, 10 * number, 0, 8, 9, records]);
            let records = structures(&sample[32..], records);
            if tunneled {
                prop_assert_eq!((records[0].0, u32_at(records[0].1, 20)), (1023, 4789));
                prop_assert_eq!((records[1].0, u32_at(records[1].1, 0)), (1029, 77));
            }
            let (format, record) = records[records.len() - 2];
            let told = u32_at(record, 12) as usize;
            prop_assert_eq!((format, told), (1, (*length).min(header.into()).min(1024)));
            prop_assert_eq!((u32_at(record, 0), u32_at(record, 4), u32_at(record, 8)), (1, *length as u32 + 4, 4));
            prop_assert_eq!(&record[16..16 + told], &octets[..told]);
            prop_assert_eq!(records.last().unwrap(), &(1001, &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0][..]));
        }
        prop_assert_eq!(number as usize, lengths.len());
        prop_assert_eq!(agent.position().drops, 3);
    }

    #[test]
    fn counters_are_told_once_in_an_interval(indexes in prop::collection::btree_set(1u32..200, 1..20)) {
        let indexes: Vec<u32> = indexes.into_iter().collect();
        let mut agent = Agent::new(settings(IpAddr::V4(Ipv4Addr::LOCALHOST), 128), 0);
        let mut told = std::collections::BTreeMap::new();
        for time in 0..=250_u64 {
            let now = time * 100_000_000;
            for index in agent.due(&indexes, now) {
                *told.entry(index).or_insert(0) += 1;
                let counters = Counters { index, name: format!("p{index}"), received: (1 << 40, 7, 0), ..Counters::default() };
                agent.counters(&counters, now);
            }
            agent.flush(now);
            for (number, datagram) in agent.take().iter().enumerate() {
                let sequence = agent.position().sequence - number as u32;
                for (format, sample) in samples(datagram, sequence) {
                    let index = u32_at(sample, 4);
                    prop_assert_eq!((format, u32_at(sample, 0)), (2, told[&index]));
                    let records = structures(&sample[12..], u32_at(sample, 8));
                    prop_assert_eq!((records[0].0, records[0].1.len(), u32_at(records[0].1, 0)), (1, 88, index));
                    prop_assert_eq!(u32_at(records[0].1, 24), 1 << 8);
                }
            }
        }
        // In 25 seconds five times, but for the place in the interval.
        prop_assert!(told.len() == indexes.len() && told.values().all(|times| (5..=6).contains(times)), "{told:?}");
    }
}
