//! IPFIX, read by a reader of this test's own and by scapy.

use crate::rig::{Collector, Switch, packet, scapy};
use std::collections::BTreeMap;

/// A record: the values of its elements, by enterprise and number; an element that is there twice has two.
type Record = BTreeMap<(u32, u16), Vec<Vec<u8>>>;

/// Templates: elements with their octets; none for any number.
type Templates = BTreeMap<(u32, u16), Vec<((u32, u16), Option<usize>)>>;

fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(octets[at..at + 2].try_into().unwrap())
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(octets[at..at + 4].try_into().unwrap())
}

#[derive(Debug, Default)]
struct Reader {
    templates: Templates,
    /// Records with their domain.
    records: Vec<(u32, Record)>,
    /// Records that were read of a domain.
    sequences: BTreeMap<u32, u32>,
    messages: usize,
}

fn take<'a>(octets: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = octets.split_at(count);
    *octets = rest;
    taken
}

impl Reader {
    fn read(&mut self, message: &[u8]) {
        assert_eq!((u16_at(message, 0), usize::from(u16_at(message, 2))), (10, message.len()));
        assert!(message.len() <= 1400);
        let (sequence, domain) = (u32_at(message, 8), u32_at(message, 12));
        assert_eq!(sequence, self.sequences.get(&domain).copied().unwrap_or(0), "of domain {domain}");
        self.messages += 1;
        let mut rest = &message[16..];
        while !rest.is_empty() {
            let (id, length) = (u16_at(rest, 0), usize::from(u16_at(rest, 2)));
            let mut set = &take(&mut rest, length)[4..];
            match id {
                2 => self.template(domain, &mut set),
                256.. => {
                    while !set.is_empty() {
                        let record = self.record(domain, id, &mut set);
                        self.records.push((domain, record));
                        *self.sequences.entry(domain).or_default() += 1;
                    }
                }
                _ => panic!("set {id}"),
            }
        }
    }

    fn template(&mut self, domain: u32, set: &mut &[u8]) {
        while !set.is_empty() {
            let head = take(set, 4);
            let mut elements = Vec::new();
            for _ in 0..u16_at(head, 2) {
                let element = take(set, 4);
                let (id, size) = (u16_at(element, 0), u16_at(element, 2));
                let enterprise = if id & 0x8000 == 0 { 0 } else { u32_at(take(set, 4), 0) };
                let size = (size != 0xffff).then_some(usize::from(size));
                elements.push(((enterprise, id & 0x7fff), size));
            }
            self.templates.insert((domain, u16_at(head, 0)), elements);
        }
    }

    fn record(&self, domain: u32, id: u16, set: &mut &[u8]) -> Record {
        let template = self.templates.get(&(domain, id)).expect("templates come before records");
        let mut record = Record::new();
        for (element, size) in template {
            let size = size.unwrap_or_else(|| usize::from(take(set, 1)[0]));
            record.entry(*element).or_default().push(take(set, size).to_vec());
        }
        record
    }
}

fn read(heard: &[Vec<u8>]) -> Reader {
    let mut reader = Reader::default();
    heard.iter().for_each(|message| reader.read(message));
    reader
}

fn number(record: &Record, element: u16) -> u64 {
    record[&(0, element)][0].iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

/// Names of the interfaces of a record.
fn names(record: &Record) -> Vec<String> {
    record[&(0, 82)].iter().map(|name| String::from_utf8(name.clone()).unwrap()).collect()
}

const SCAPY: &str = "
import sys
from scapy.layers.netflow import NetflowHeader, NetflowTemplateV9, NetflowDataflowsetV9, NetflowFlowsetV9
templates, data = 0, 0
for line in sys.stdin:
    packet = NetflowHeader(bytes.fromhex(line))
    assert packet.version == 10
    layer = packet
    while layer:
        if isinstance(layer, NetflowFlowsetV9):
            templates += len(layer.templates)
            for template in layer.templates:
                assert template.fieldCount == len(template.template_fields)
        if isinstance(layer, NetflowDataflowsetV9):
            data += 1
            print('data', layer.templateID, layer.length)
        layer = layer.payload
print('templates', templates)
";

#[test]
fn sums_of_what_passes_are_told() {
    let Some(switch) = Switch::start("ipfix") else { return };
    let mut collector = Collector::new("127.0.0.1:0");
    let target = collector.target();
    switch.vsctl(&format!(
        "set Interface p1 options:ifindex=1004 -- set Bridge br0 other_config:mac-aging-time=3600 ipfix=@i -- --id=@i create IPFIX targets={target} \
         obs_domain_id=123 obs_point_id=456 cache_active_timeout=60 cache_max_flows=13 sampling=1 \
         other_config:virtual_obs_id=here"
    ));
    let there = packet(1, (9, 10), "proto=6,tos=0xb8,ttl=64,frag=no),tcp(src=7,dst=8),tcp_flags(0x12)");
    let back = packet(2, (10, 9), "proto=6,tos=0,ttl=63,frag=no),tcp(src=8,dst=7),tcp_flags(0x10)");
    switch.receive("p1", &there);
    for _ in 0..3 {
        switch.receive("p2", &back);
    }
    let text = switch.ofctl(&["dump-ipfix-bridge", "br0"]);
    // A flow comes in, and leaves by three ports; the other by one.
    assert!(
        text.contains("flows=6, current flows=6, sampled pkts=10, ipv4 ok=10, ipv6 ok=0, tx pkts=0"),
        "{text}"
    );
    collector.listen();
    assert!(collector.heard.is_empty());
    switch.warp(61_000);
    collector.until("flows are told", |heard| read(heard).records.len() >= 6);
    let reader = read(&collector.heard);
    assert_eq!(reader.records.len(), 6);
    let of = |source: u16, direction: u64| {
        let all = reader.records.iter().map(|(_, record)| record);
        all.filter(move |it| number(it, 7) == u64::from(source) && number(it, 61) == direction)
    };
    let coming: Vec<&Record> = of(7, 0).collect();
    let leaving: Vec<&Record> = of(7, 1).collect();
    assert_eq!((coming.len(), leaving.len()), (1, 3));
    let record = coming[0];
    assert_eq!(reader.records[0].0, 123);
    for (element, value) in [
        (138, 456),
        (256, 0x800),
        (240, 14),
        (10, 1004),
        (60, 4),
        (192, 64),
        (4, 6),
        (195, 0xb8 >> 2),
        (5, 0xb8),
        (8, 0xc0a8_0009),
        (12, 0xc0a8_000a),
        (7, 7),
        (11, 8),
        (2, 1),
        (136, 2),
        (6, 0x12),
    ] {
        assert_eq!(number(record, element), value, "element {element}");
    }
    assert_eq!(names(record), ["p1"]);
    assert_eq!(record[&(6876, 898)][0], b"here");
    assert_eq!(record[&(0, 56)][0], [0x50, 0x54, 0, 0, 0, 9]);
    let (frame, octets) = (number(record, 352), number(record, 1));
    assert_eq!((frame, octets), (octets + 14, number(record, 25)));
    assert_eq!(number(record, 198), octets * octets);
    let mut out: Vec<String> = leaving.iter().map(|record| names(record)[1].clone()).collect();
    out.sort();
    assert_eq!(out, ["br0", "p2", "p3"]);
    for record in of(8, 0).chain(of(8, 1)) {
        assert_eq!((number(record, 2), number(record, 1)), (3, 3 * number(record, 26)));
        // Ends are not before beginnings, in microseconds before the message.
        assert!(number(record, 158) >= number(record, 159));
    }
    // Templates of everything come before, and again after ten minutes.
    let templates = reader.templates.len();
    assert_eq!(templates, 88);
    let messages = reader.messages;
    switch.warp(600_000);
    switch.receive("p2", &back);
    switch.warp(61_000);
    collector.until("templates come again", |heard| read(heard).messages > messages + 4);
    let reader = read(&collector.heard);
    assert_eq!((reader.records.len(), reader.templates.len()), (8, templates));
    if let Some(text) = scapy(SCAPY, &collector.heard) {
        assert!(text.ends_with(&format!("templates {}\n", 2 * templates)), "{text}");
        assert_eq!(text.matches("data").count(), 8, "{text}");
    }
    // A full cache tells its oldest flows.
    for port in 100..120 {
        switch.receive(
            "p2",
            &packet(2, (10, 9), &format!("proto=17,tos=0,ttl=64,frag=no),udp(src={port},dst=1)")),
        );
    }
    collector.until("the oldest are told", |heard| read(heard).records.len() == 8 + 2 * 20 - 13);
    assert_eq!(number(&read(&collector.heard).records.last().unwrap().1, 136), 5);
    // An end tells the others.
    switch.vsctl("clear Bridge br0 ipfix");
    collector.until("all are told", |heard| read(heard).records.len() == 8 + 2 * 20);
    assert!(switch.ofctl(&["dump-ipfix-bridge", "br0"]).contains("NXST_NOT_CONFIGURED"));
}

#[test]
fn flows_sample_for_sets_of_collectors() {
    let Some(switch) = Switch::start("ipfix-flows") else { return };
    let (mut one, mut other) = (Collector::new("127.0.0.1:0"), Collector::new("[::1]:0"));
    let (first, second) = (one.target(), other.target());
    switch.vsctl(&format!(
        "--id=@br0 get Bridge br0 -- --id=@i create IPFIX targets={first} -- --id=@j create IPFIX targets={second} \
         -- --id=@c create Flow_Sample_Collector_Set id=1 bridge=@br0 ipfix=@i \
         -- --id=@d create Flow_Sample_Collector_Set id=7 bridge=@br0 ipfix=@j"
    ));
    for flow in [
        "in_port=1,actions=sample(probability=65535,collector_set_id=1,obs_domain_id=5,obs_point_id=6),output:2",
        "in_port=2,actions=mod_nw_tos:32,sample(probability=65535,collector_set_id=7,obs_domain_id=8,\
         sampling_port=1,egress),output:1",
        "in_port=3,actions=sample(probability=65535,collector_set_id=9),output:1",
    ] {
        switch.ofctl(&["add-flow", "br0", flow]);
    }
    for _ in 0..3 {
        switch.receive("p1", &packet(1, (9, 10), "proto=17,tos=0,ttl=64,frag=no),udp(src=7,dst=8)"));
        switch.receive("p3", &packet(3, (9, 10), "proto=17,tos=0,ttl=64,frag=no),udp(src=7,dst=8)"));
    }
    switch.receive("p2", &packet(2, (10, 9), "proto=17,tos=0,ttl=64,frag=no),udp(src=8,dst=7)"));
    one.until("samples are told", |heard| read(heard).records.len() == 3);
    other.until("samples are told", |heard| read(heard).records.len() == 1);
    let (domain, record) = &read(&one.heard).records[0];
    assert_eq!((*domain, number(record, 138), number(record, 61)), (5, 6, 0));
    let (domain, record) = &read(&other.heard).records[0];
    // As it was when it was sampled.
    assert_eq!((*domain, number(record, 5), number(record, 61)), (8, 32, 1));
    assert_eq!(names(record), ["p2", "p1"]);
    let text = switch.ofctl(&["dump-ipfix-flow", "br0"]);
    assert!(text.contains("2 ids"), "{text}");
    assert!(text.contains("id   1: flows=3, current flows=0, sampled pkts=3, ipv4 ok=3"), "{text}");
    let shown = switch.ask("dpctl/dump-flows", &[]);
    let sample = "userspace(pid=0,flow_sample(probability=65535,collector_set_id=1,obs_domain_id=5,obs_point_id=6,\
                  output_port=4294967295)),2";
    assert!(shown.contains(sample), "{shown}");
    switch.vsctl("destroy Flow_Sample_Collector_Set 1 -- destroy Flow_Sample_Collector_Set 7");
    assert!(switch.ofctl(&["dump-ipfix-flow", "br0"]).contains("NXST_NOT_CONFIGURED"));
}
