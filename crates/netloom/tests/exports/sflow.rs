//! sFlow 5, read by a reader of this test's own and by tcpdump.

use crate::rig::{Collector, Switch, packet, tcpdump};

/// Reads words.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn octets(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn word(&mut self) -> u32 {
        u32::from_be_bytes(self.octets(4).try_into().unwrap())
    }

    fn words<const COUNT: usize>(&mut self) -> [u32; COUNT] {
        std::array::from_fn(|_| self.word())
    }

    /// With its length before it, and filled up.
    fn opaque(&mut self) -> &'a [u8] {
        let count = self.word() as usize;
        let octets = self.octets(count);
        self.octets(count.wrapping_neg() & 3);
        octets
    }
}

#[derive(Debug, Clone, Default)]
struct Packet {
    sequence: u32,
    source: u32,
    rate: u32,
    pool: u32,
    drops: u32,
    ports: (u32, u32),
    /// Protocol, length, stripped.
    header: (u32, u32, u32),
    octets: Vec<u8>,
    /// Source VLAN and priority, destination VLAN and priority.
    vlans: [u32; 4],
}

#[derive(Debug, Clone, Default)]
struct Counters {
    sequence: u32,
    index: u32,
    status: u32,
    received: (u64, u32),
    sent: (u64, u32),
    openflow: (u64, u32),
    name: String,
}

#[derive(Debug, Default)]
struct Datagram {
    agent: Vec<u8>,
    sub_agent: u32,
    sequence: u32,
    packets: Vec<Packet>,
    counters: Vec<Counters>,
}

fn wide(words: &mut Words<'_>) -> u64 {
    u64::from(words.word()) << 32 | u64::from(words.word())
}

fn read(datagram: &[u8]) -> Datagram {
    let mut words = Words(datagram);
    assert_eq!(words.word(), 5);
    let mut out = Datagram::default();
    let octets = if words.word() == 1 { 4 } else { 16 };
    out.agent = words.octets(octets).to_vec();
    [out.sub_agent, out.sequence] = words.words();
    let [_uptime, samples] = words.words();
    for _ in 0..samples {
        let kind = words.word();
        let length = words.word() as usize;
        let mut sample = Words(words.octets(length));
        match kind {
            1 => {
                let [sequence, source, rate, pool, drops, input, output, records] = sample.words();
                let ports = (input, output);
                let mut packet = Packet { sequence, source, rate, pool, drops, ports, ..Packet::default() };
                for _ in 0..records {
                    let kind = sample.word();
                    let mut record = Words(sample.opaque());
                    match kind {
                        1 => {
                            let [protocol, length, stripped] = record.words();
                            packet.header = (protocol, length, stripped);
                            packet.octets = record.opaque().to_vec();
                        }
                        1001 => packet.vlans = record.words(),
                        other => panic!("record {other}"),
                    }
                    assert!(record.0.is_empty());
                }
                out.packets.push(packet);
            }
            2 => {
                let [sequence, _source, records] = sample.words();
                let mut counters = Counters { sequence, ..Counters::default() };
                for _ in 0..records {
                    let kind = sample.word();
                    let mut record = Words(sample.opaque());
                    match kind {
                        1 => {
                            counters.index = record.word();
                            let [_kind, _, _speed, _duplex, status] = record.words();
                            counters.status = status;
                            counters.received = (wide(&mut record), record.word());
                            let _: [u32; 5] = record.words();
                            counters.sent = (wide(&mut record), record.word());
                            let _: [u32; 5] = record.words();
                        }
                        1004 => counters.openflow = (wide(&mut record), record.word()),
                        1005 => counters.name = String::from_utf8(record.opaque().to_vec()).unwrap(),
                        other => panic!("record {other}"),
                    }
                    assert!(record.0.is_empty());
                }
                out.counters.push(counters);
            }
            other => panic!("sample {other}"),
        }
        assert!(sample.0.is_empty());
    }
    assert!(words.0.is_empty());
    out
}

fn packets(collector: &[Vec<u8>]) -> Vec<Packet> {
    collector.iter().flat_map(|datagram| read(datagram).packets).collect()
}

const INDEXES: &str = "set Interface br0 options:ifindex=1002 -- set Interface p1 options:ifindex=1004 -- \
                       set Interface p2 options:ifindex=1003";

#[test]
fn packets_and_counters_are_told() {
    for (name, address) in [("sflow4", "127.0.0.1:0"), ("sflow6", "[::1]:0")] {
        let Some(switch) = Switch::start(name) else { return };
        let mut collector = Collector::new(address);
        let target = collector.target();
        switch.vsctl(&format!(
            "{INDEXES} -- set Bridge br0 sflow=@sf -- --id=@sf create sflow targets={target} header=100 sampling=1 \
             polling=1 agent=127.0.0.1"
        ));
        let there = packet(1, (9, 10), "proto=17,tos=0,ttl=64,frag=no),udp(src=7,dst=8)");
        let back = packet(2, (10, 9), "proto=17,tos=0,ttl=64,frag=no),udp(src=8,dst=7)");
        let tagged = "in_port(1),eth(src=50:54:00:00:00:09,dst=50:54:00:00:00:0a),eth_type(0x8100),vlan(vid=30,pcp=5),\
                      encap(eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,label=0,proto=58,tclass=0,hlimit=128,\
                      frag=no),icmpv6(type=128,code=0))";
        for _ in 0..2 {
            switch.receive("p1", &there);
            switch.receive("p2", &back);
        }
        switch.receive("p1", tagged);
        collector.until("packets are told", |heard| packets(heard).len() >= 5);
        switch.warp(3000);
        collector.until("counters are told", |heard| {
            heard.iter().flat_map(|it| read(it).counters).filter(|it| it.index == 1004).count() >= 2
        });
        let all: Vec<Datagram> = collector.heard.iter().map(|datagram| read(datagram)).collect();
        for (number, datagram) in all.iter().enumerate() {
            assert_eq!((&datagram.agent[..], datagram.sequence), (&[127, 0, 0, 1][..], number as u32 + 1));
        }
        let told = packets(&collector.heard);
        assert_eq!(told.len(), 5);
        for (number, packet) in told.iter().enumerate() {
            let number = number as u32 + 1;
            assert_eq!((packet.sequence, packet.pool, packet.rate, packet.drops), (number, number, 1, 0));
            assert_eq!(packet.source, (2 << 24) | (1000 + all[0].sub_agent));
            assert_eq!((packet.header.0, packet.header.2), (1, 4));
        }
        // The first packet went everywhere, which is three ports; the others to the one where the station is.
        let ports: Vec<(u32, u32)> = told.iter().map(|packet| packet.ports).collect();
        let flooded = 0x8000_0003;
        let expected = [(1004, flooded), (1003, 1004), (1004, 1003), (1003, 1004), (1004, flooded)];
        assert_eq!(ports, expected);
        assert_eq!(told[0].header.1, 106 + 4);
        assert_eq!(told[0].octets.len(), 100);
        assert_eq!(told[0].octets[..14], [0x50, 0x54, 0, 0, 0, 10, 0x50, 0x54, 0, 0, 0, 9, 8, 0]);
        assert_eq!((told[0].vlans, told[4].vlans), ([0; 4], [30, 5, 30, 5]));
        let counters: Vec<Counters> = all.iter().flat_map(|it| it.counters.clone()).collect();
        let of = |index| counters.iter().filter(move |it| it.index == index);
        for (number, counters) in of(1004).enumerate() {
            assert_eq!(
                (counters.sequence, counters.status, counters.name.as_str()),
                (number as u32 + 1, 3, "p1")
            );
            assert_eq!(counters.openflow, (0xaa55_aa55_0000, 1));
        }
        let last = of(1004).next_back().unwrap();
        assert_eq!((last.received.1, last.sent.1), (3, 2));
        assert_eq!((last.received.0, last.sent.0), (2 * 106 + u64::from(told[4].header.1) - 4, 2 * 106));
        assert_eq!(of(1002).next_back().unwrap().name, "br0");
        // An interface without a number is nobody's.
        assert!(counters.iter().all(|it| it.name != "p3"));
        if let Some(text) = tcpdump(6343, &collector.heard) {
            assert!(text.contains("sFlowv5"), "{text}");
            assert_eq!(text.matches("flow sample").count(), 5, "{text}");
            assert_eq!(text.matches("counter sample").count(), counters.len(), "{text}");
            assert!(!text.contains("invalid"), "{text}");
        }
    }
}

#[test]
fn some_packets_are_chosen_by_chance() {
    let Some(switch) = Switch::start("sflow-chance") else { return };
    let mut collector = Collector::new("127.0.0.1:0");
    let target = collector.target();
    switch.vsctl(&format!(
        "set Bridge br0 sflow=@sf -- --id=@sf create sflow targets={target} sampling=4 agent=lo"
    ));
    let one = packet(1, (9, 10), "proto=17,tos=0,ttl=64,frag=no),udp(src=7,dst=8)");
    for _ in 0..400 {
        switch.receive("p1", &one);
    }
    switch.warp(1000);
    collector.until("packets are told", |heard| !packets(heard).is_empty());
    collector.listen();
    let told = packets(&collector.heard);
    // The interface's address.
    assert_eq!(read(&collector.heard[0]).agent, [127, 0, 0, 1]);
    // 100 on average; less than 50 or more than 160 are as good as impossible.
    assert!((50..160).contains(&told.len()), "{}", told.len());
    assert_eq!(told.last().unwrap().pool as usize, 4 * told.len());
    // What is dropped is told as well, and is a drop.
    assert!(told.iter().all(|packet| packet.ports == (0, 0x8000_0003)));
    let shown = switch.ask("dpctl/dump-flows", &[]);
    assert!(
        shown.contains("sample(sample=25.0%,actions(userspace(pid=0,sFlow(vid=0,pcp=0,output="),
        "{shown}"
    );
    // Without collectors nothing is sampled.
    switch.vsctl("clear Bridge br0 sflow");
    switch.receive("p1", &one);
    assert!(!switch.ask("dpctl/dump-flows", &[]).contains("sample"));
}
