//! NetFlow 5.

use crate::rig::{Collector, Switch, packet, scapy};
use std::net::Ipv4Addr;

/// A record, as this reader has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    sequence: u32,
    engine: (u8, u8),
    uptime: u32,
    source: u8,
    destination: u8,
    ports: (u16, u16),
    packets: u32,
    octets: u32,
    times: (u32, u32),
    transport: (u16, u16),
    flags: u8,
    protocol: u8,
    tos: u8,
}

fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(octets[at..at + 2].try_into().unwrap())
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(octets[at..at + 4].try_into().unwrap())
}

fn read(datagram: &[u8]) -> Vec<Record> {
    assert_eq!(u16_at(datagram, 0), 5);
    let count = usize::from(u16_at(datagram, 2));
    assert_eq!(datagram.len(), 24 + 48 * count);
    let of = |number: usize| {
        let octets = &datagram[24 + 48 * number..][..48];
        Record {
            sequence: u32_at(datagram, 16) + number as u32,
            engine: (datagram[20], datagram[21]),
            uptime: u32_at(datagram, 4),
            source: octets[3],
            destination: octets[7],
            ports: (u16_at(octets, 12), u16_at(octets, 14)),
            packets: u32_at(octets, 16),
            octets: u32_at(octets, 20),
            times: (u32_at(octets, 24), u32_at(octets, 28)),
            transport: (u16_at(octets, 32), u16_at(octets, 34)),
            flags: octets[37],
            protocol: octets[38],
            tos: octets[39],
        }
    };
    (0..count).map(of).collect()
}

fn records(collector: &Collector) -> Vec<Record> {
    collector.heard.iter().flat_map(|datagram| read(datagram)).collect()
}

const SCAPY: &str = "
import sys
from scapy.layers.netflow import NetflowHeader, NetflowHeaderV5, NetflowRecordV5
for line in sys.stdin:
    packet = NetflowHeader(bytes.fromhex(line))
    header = packet[NetflowHeaderV5]
    assert header.count == len(bytes.fromhex(line)[24:]) // 48
    record = header.payload
    while isinstance(record, NetflowRecordV5):
        print(record.src, record.dst, record.input, record.output, record.dpkts, record.dOctets, record.srcport,
              record.dstport, int(record.tcpFlags), record.prot, record.tos, header.engineType, header.engineID)
        record = record.payload
";

/// What both readers agree on.
fn told(records: &[Record]) -> String {
    let line = |record: &Record| {
        let address = |last| Ipv4Addr::new(192, 168, 0, last);
        format!(
            "{} {} {} {} {} {} {} {} {} {} {} {} {}\n",
            address(record.source),
            address(record.destination),
            record.ports.0,
            record.ports.1,
            record.packets,
            record.octets,
            record.transport.0,
            record.transport.1,
            record.flags,
            record.protocol,
            record.tos,
            record.engine.0,
            record.engine.1,
        )
    };
    records.iter().map(line).collect()
}

/// Sums of packets and octets by addresses and ports.
fn sums(records: &[Record], source: u8, ports: (u16, u16)) -> (u32, u32) {
    let alike = records.iter().filter(|record| record.source == source && record.ports == ports);
    alike.fold((0, 0), |(packets, octets), record| (packets + record.packets, octets + record.octets))
}

fn configure(switch: &Switch, collector: &Collector, more: &str) {
    let target = collector.target();
    switch.vsctl(&format!(
        "set Bridge br0 netflow=@nf -- --id=@nf create NetFlow targets={target} engine_id=1 engine_type=2 {more}"
    ));
}

#[test]
fn flows_that_end_are_told() {
    for (name, address) in [("netflow4", "127.0.0.1:0"), ("netflow6", "[::1]:0")] {
        let Some(switch) = Switch::start(name) else { return };
        let mut collector = Collector::new(address);
        configure(&switch, &collector, "active_timeout=30 add-id-to-interface=false");
        let there = packet(1, (5, 7), "proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0)");
        let back = packet(2, (7, 5), "proto=1,tos=0xb8,ttl=64,frag=no),icmp(type=0,code=0)");
        for delay in [1000, 30000] {
            switch.receive("p1", &there);
            switch.receive("p2", &back);
            switch.warp(delay);
        }
        collector.until("all is told", |heard| {
            heard.iter().flat_map(|datagram| read(datagram)).map(|record| record.packets).sum::<u32>() == 4
        });
        let heard = records(&collector);
        // The first went everywhere, and the second where its station had been heard.
        assert_eq!(sums(&heard, 5, (1, 65535)), (1, 106));
        assert_eq!(sums(&heard, 5, (1, 2)), (1, 106));
        assert_eq!(sums(&heard, 7, (2, 1)), (2, 212));
        for (number, record) in heard.iter().enumerate() {
            assert_eq!((record.sequence, record.engine), (number as u32, (2, 1)));
            assert!(record.times.0 <= record.times.1 && record.times.1 <= record.uptime, "{record:?}");
            let (kind, tos) = if record.source == 5 { (0x0800, 0) } else { (0x0000, 0xb8) };
            assert_eq!((record.transport, record.tos, record.protocol), ((0, kind), tos, 1));
        }
        if let Some(text) = scapy(SCAPY, &collector.heard) {
            assert_eq!(text, told(&heard));
        }
    }
}

#[test]
fn flows_that_go_on_are_told_from_time_to_time() {
    let Some(switch) = Switch::start("netflow-active") else { return };
    let mut collector = Collector::new("127.0.0.1:0");
    configure(&switch, &collector, "active_timeout=10");
    let there = |flags: &str| {
        packet(1, (5, 7), &format!("proto=6,tos=0,ttl=64,frag=no),tcp(src=1234,dst=80),tcp_flags({flags})"))
    };
    let back = packet(2, (7, 5), "proto=6,tos=0,ttl=64,frag=no),tcp(src=80,dst=1234),tcp_flags(0x12)");
    let mut told_before_the_end = 0;
    for n in 0..60 {
        switch.receive("p1", &there(if n == 0 { "0x002" } else { "0x018" }));
        switch.receive("p2", &back);
        switch.warp(1000);
        if n == 40 {
            collector.listen();
            told_before_the_end = records(&collector).iter().map(|record| record.packets).sum();
        }
    }
    switch.warp(11_000);
    collector.until("all is told", |heard| {
        heard.iter().flat_map(|datagram| read(datagram)).map(|record| record.packets).sum::<u32>() == 120
    });
    assert!(told_before_the_end >= 40, "{told_before_the_end}");
    let heard = records(&collector);
    let packets = |source, ports| sums(&heard, source, ports).0;
    assert_eq!((packets(5, (1, 65535)), packets(5, (1, 2)), packets(7, (2, 1))), (1, 59, 60));
    let flags = |source| heard.iter().filter(|it| it.source == source).fold(0, |all, it| all | it.flags);
    assert_eq!((flags(5), flags(7)), (0x1a, 0x12));
    assert!(heard.iter().all(|it| it.protocol == 6 && [(1234, 80), (80, 1234)].contains(&it.transport)));
    if let Some(text) = scapy(SCAPY, &collector.heard) {
        assert_eq!(text, told(&heard));
    }
}

#[test]
fn numbers_of_engines_stand_before_those_of_ports() {
    let Some(switch) = Switch::start("netflow-engine") else { return };
    let mut collector = Collector::new("127.0.0.1:0");
    configure(&switch, &collector, "add_id_to_interface=true active_timeout=-1");
    switch.receive("p3", &packet(3, (9, 7), "proto=17,tos=0,ttl=64,frag=no),udp(src=5,dst=53)"));
    // Whoever is told no more is told what was counted.
    switch.vsctl("clear Bridge br0 netflow");
    collector.until("it is told", |heard| !heard.is_empty());
    let heard = records(&collector);
    assert_eq!((heard.len(), heard[0].ports, heard[0].packets), (1, (0x0203, 0x03ff), 1));
    // And then nothing more.
    switch.receive("p3", &packet(3, (9, 7), "proto=17,tos=0,ttl=64,frag=no),udp(src=5,dst=53)"));
    switch.warp(20_000);
    collector.listen();
    assert_eq!(records(&collector).len(), 1);
}

#[test]
fn an_end_tells_everything_and_nobody_is_waited_for() {
    let Some(switch) = Switch::start("netflow-end") else { return };
    let mut collector = Collector::new("127.0.0.1:0");
    let gone = Collector::new("127.0.0.1:0");
    let nobody = gone.target();
    drop(gone);
    let target = collector.target();
    switch.vsctl(&format!(
        "set Bridge br0 netflow=@nf -- --id=@nf create NetFlow targets={nobody},{target},xyzzy active_timeout=1"
    ));
    for port in 0..200 {
        let udp = format!("proto=17,tos=0,ttl=64,frag=no),udp(src={port},dst=53)");
        switch.receive("p1", &packet(1, (5, 7), &udp));
    }
    switch.warp(3000);
    collector.until("flows are told", |heard| heard.len() >= 7);
    switch.receive("p1", &packet(1, (5, 7), "proto=17,tos=0,ttl=64,frag=no),udp(src=999,dst=53)"));
    switch.place.end("ovs-vswitchd");
    let one = |heard: &[Vec<u8>]| heard.iter().flat_map(|it| read(it)).any(|it| it.transport.0 == 999);
    collector.until("the last is told", one);
    assert_eq!(records(&collector).len(), 201);
    let log = switch.log();
    assert_eq!(log.matches("sending to collector failed").count(), 1, "{log}");
    assert!(log.contains("xyzzy"), "{log}");
}
