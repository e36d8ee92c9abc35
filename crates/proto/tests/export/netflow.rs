//! NetFlow: every packet is told once, with the port that it went to.

use crate::{u16_at, u32_at};
use netloom_proto::export::Clock;
use netloom_proto::export::netflow::{Count, Exporter, FlowKey, MOST_FLOWS, Settings};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const SECOND: u64 = 1_000_000_000;

#[derive(Debug, Clone)]
enum Event {
    Begin(u8, u16),
    Count(u8, u16, u64, u64, u8),
    End(u8),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let octets = prop_oneof![3 => 0u64..100_000, 1 => (1u64 << 31)..(1 << 36)];
    prop_oneof![
        (0u8..6, 1u16..4).prop_map(|(flow, output)| Event::Begin(flow, output)),
        (0u8..6, 1u16..4, 0u64..1000, octets, any::<u8>()).prop_map(
            |(flow, output, packets, octets, flags)| Event::Count(flow, output, packets, octets, flags)
        ),
        (0u8..6).prop_map(Event::End),
        (0u64..20 * SECOND).prop_map(Event::Wait),
    ]
}

fn key(flow: u32) -> FlowKey {
    FlowKey {
        input: 3,
        source: Ipv4Addr::from_bits(flow),
        destination: Ipv4Addr::new(192, 0, 2, 1),
        protocol: 6,
        tos: 0x10,
        source_port: 1000,
        destination_port: 80,
    }
}

/// Packets, octets and flags by source and output.
type Sums = BTreeMap<(u32, u16), (u64, u64, u8)>;

#[derive(Default)]
struct Reader {
    sums: Sums,
    records: u32,
}

impl Reader {
    fn read(&mut self, datagram: &[u8]) {
        let count = usize::from(u16_at(datagram, 2));
        assert_eq!((u16_at(datagram, 0), datagram.len()), (5, 24 + 48 * count));
        assert!((1..=30).contains(&count));
        assert_eq!(u32_at(datagram, 16), self.records);
        assert_eq!((datagram[20], datagram[21]), (7, 9));
        self.records += count as u32;
        let uptime = u32_at(datagram, 4);
        for record in datagram[24..].chunks(48) {
            assert_eq!((u16_at(record, 12), u16_at(record, 32), u16_at(record, 34)), (3, 1000, 80));
            assert_eq!((record[38], record[39]), (6, 0x10));
            let (first, last) = (u32_at(record, 24), u32_at(record, 28));
            assert!(first <= last && last <= uptime, "{first} {last} {uptime}");
            let sum = self.sums.entry((u32_at(record, 0), u16_at(record, 14))).or_default();
            sum.0 += u64::from(u32_at(record, 16));
            sum.1 += u64::from(u32_at(record, 20));
            sum.2 |= record[37];
        }
    }
}

proptest! {
    #[test]
    fn every_packet_is_told_once(events in prop::collection::vec(event(), 0..200), timeout in 0u64..15) {
        let settings = Settings {
            engine_type: 7,
            engine_id: 9,
            add_id_to_interface: false,
            active_timeout: timeout * SECOND,
        };
        let mut now = 5 * SECOND;
        let mut exporter = Exporter::new(settings, Clock { origin: 1_700_000_000 * SECOND }, now);
        let (mut expected, mut reader) = (Sums::new(), Reader::default());
        for event in events {
            match event {
                Event::Begin(flow, output) => exporter.begin(key(flow.into()), output, now),
                Event::Count(flow, output, packets, octets, flags) => {
                    let octets = if packets == 0 { 0 } else { octets };
                    let count = Count { output, packets, octets, flags, used: now };
                    exporter.count(key(flow.into()), count, now);
                    if packets > 0 {
                        let sum = expected.entry((flow.into(), output)).or_default();
                        *sum = (sum.0 + packets, sum.1 + octets, sum.2 | flags);
                    }
                }
                Event::End(flow) => exporter.end(key(flow.into()), now),
                Event::Wait(time) => {
                    now += time;
                    exporter.tick(now);
                }
            }
            exporter.take().iter().for_each(|datagram| reader.read(datagram));
        }
        exporter.flush(now);
        exporter.take().iter().for_each(|datagram| reader.read(datagram));
        prop_assert_eq!(&reader.sums, &expected);
        prop_assert_eq!(exporter.position(), (5 * SECOND, reader.records));
        // Nothing refers to anything any more.
        for flow in 0..6 {
            for _ in 0..200 {
                exporter.end(key(flow), now);
            }
        }
        prop_assert!(exporter.is_empty());
    }
}

#[test]
fn what_finds_no_room_is_told_at_once() {
    let mut exporter =
        Exporter::new(Settings { engine_type: 7, engine_id: 9, ..Settings::default() }, Clock::default(), 0);
    let count = Count { output: 2, packets: 1, octets: 60, flags: 0, used: 0 };
    for flow in 0..MOST_FLOWS as u32 + 40 {
        exporter.begin(key(flow), 2, 0);
        exporter.count(key(flow), count, 0);
    }
    assert_eq!(exporter.len(), MOST_FLOWS);
    let mut reader = Reader::default();
    exporter.tick(0);
    exporter.take().iter().for_each(|datagram| reader.read(datagram));
    assert_eq!(reader.records, 40);
    exporter.flush(0);
    exporter.take().iter().for_each(|datagram| reader.read(datagram));
    assert_eq!(reader.records as usize, MOST_FLOWS + 40);
    assert!(reader.sums.values().all(|sum| *sum == (1, 60, 0)));
}
