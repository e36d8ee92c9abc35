//! What flows, groups and buckets counted, after packets really came in.

use netloom_proto::openflow::text::{Names, parse_flow, print_match};
use netloom_table::{Field, Key};
use netloom_vswitch::openflow::{FlowFilter, FlowMod, Pipeline};
use std::collections::BTreeMap;

/// Packets and octets by what counted them.
pub(crate) type Counts = BTreeMap<String, (u64, u64)>;

/// Octets that a frame has at least.
const LEAST: usize = 60;

/// The frame that has a key. Checksums are left out: tables do not look at them.
pub(crate) fn frame(key: &Key) -> Vec<u8> {
    let get = |field: Field| key.get(field);
    let mut frame = Vec::new();
    frame.extend(&get(Field::ETH_DST).to_be_bytes()[2..]);
    frame.extend(&get(Field::ETH_SRC).to_be_bytes()[2..]);
    if get(Field::VLAN_TPID) != 0 {
        frame.extend((get(Field::VLAN_TPID) as u16).to_be_bytes());
        frame.extend((get(Field::VLAN_TCI) as u16).to_be_bytes());
    }
    let kind = get(Field::ETH_TYPE) as u16;
    frame.extend(kind.to_be_bytes());
    match kind {
        0x0800 => {
            let payload = transport(key);
            frame.extend([0x45, get(Field::IP_TOS) as u8]);
            frame.extend((20 + payload.len() as u16).to_be_bytes());
            frame.extend([0, 0, 0, 0, get(Field::IP_TTL) as u8, get(Field::IP_PROTO) as u8, 0, 0]);
            frame.extend((get(Field::IP4_SRC) as u32).to_be_bytes());
            frame.extend((get(Field::IP4_DST) as u32).to_be_bytes());
            frame.extend(payload);
        }
        0x86dd => {
            let payload = transport(key);
            frame.extend((6 << 28 | (get(Field::IP_TOS) as u32) << 20).to_be_bytes());
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend([get(Field::IP_PROTO) as u8, get(Field::IP_TTL) as u8]);
            for field in [Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW, Field::IP6_DST_HIGH, Field::IP6_DST_LOW] {
                frame.extend(get(field).to_be_bytes());
            }
            frame.extend(payload);
        }
        0x0806 => {
            frame.extend([0, 1, 8, 0, 6, 4]);
            frame.extend((get(Field::IP_PROTO) as u16).to_be_bytes());
            frame.extend(&get(Field::ARP_SHA).to_be_bytes()[2..]);
            frame.extend((get(Field::IP4_SRC) as u32).to_be_bytes());
            frame.extend(&get(Field::ARP_THA).to_be_bytes()[2..]);
            frame.extend((get(Field::IP4_DST) as u32).to_be_bytes());
        }
        _ => {}
    }
    frame.resize(frame.len().max(LEAST), 0);
    frame
}

fn transport(key: &Key) -> Vec<u8> {
    let ports = [Field::TP_SRC, Field::TP_DST].map(|field| (key.get(field) as u16).to_be_bytes());
    match key.get(Field::IP_PROTO) {
        6 => {
            let mut header = [&ports[0][..], &ports[1], &[0; 8], &[0x50, 0, 0, 0, 0, 0, 0, 0]].concat();
            header[12] |= (key.get(Field::TCP_FLAGS) >> 8) as u8 & 15;
            header[13] = key.get(Field::TCP_FLAGS) as u8;
            header
        }
        17 => [&ports[0][..], &ports[1], &[0, 8, 0, 0]].concat(),
        1 => vec![ports[0][1], ports[1][1], 0, 0, 0, 0, 0, 0],
        _ => Vec::new(),
    }
}

/// What these tables counted.
pub(crate) fn ours(pipeline: &Pipeline) -> Counts {
    let mut counts = Counts::new();
    for id in pipeline.select(&FlowFilter::default()).unwrap() {
        let view = pipeline.view(id).unwrap();
        let name = name(view.table, view.priority, &print_match(&view.matching, 0, &Names::default()));
        counts.insert(name, (view.flow.packets, view.flow.octets));
    }
    for group in pipeline.groups() {
        counts.insert(format!("group {}", group.number), (group.packets, group.octets));
        for (place, bucket) in group.buckets.iter().enumerate() {
            counts.insert(format!("group {} bucket {place}", group.number), (bucket.packets, bucket.octets));
        }
    }
    counts
}

fn name(table: u8, priority: u32, matching: &str) -> String {
    // In OpenFlow 1.3 no tag has no priority either.
    let matching = matching.replace("vlan_tci=0x0000/0x1fff", "vlan_tci=0x0000");
    format!("table {table} priority {priority} {}", matching.trim().trim_end_matches(','))
}

/// What Open vSwitch says that it counted: answers to `dump-flows` and `dump-group-stats`.
pub(crate) fn theirs(flows: &str, groups: &str) -> Counts {
    let number = |line: &str, key: &str| -> u64 {
        let at = line.find(key).unwrap_or_else(|| panic!("no {key} in {line}")) + key.len();
        let digits = line[at..].split(|letter: char| !letter.is_ascii_digit()).next().unwrap();
        digits.parse().unwrap()
    };
    let mut counts = Counts::new();
    for line in flows.lines().filter(|line| line.contains("n_packets=")) {
        let (packets, octets) = (number(line, "n_packets="), number(line, "n_bytes="));
        let table = number(line, "table=") as u8;
        let (_, rest) = line.split_once("n_bytes=").unwrap();
        let (_, rest) = rest.split_once(' ').unwrap();
        let (matching, _) = rest.split_once("actions=").unwrap();
        let words = matching.replace("reset_counts", "");
        let words: Vec<&str> =
            words.split([',', ' ']).filter(|word| !word.is_empty() && !word.contains("_age=")).collect();
        let text = format!("{},actions=drop", words.join(","));
        let (flow, _) = parse_flow(&text, None, &Names::default()).unwrap_or_else(|_| panic!("{text}"));
        let flow = FlowMod::from(&flow);
        let matching = print_match(&flow.matching, 0, &Names::default());
        counts.insert(name(table, u32::from(flow.priority), &matching), (packets, octets));
    }
    for line in groups.lines().filter(|line| line.contains("group_id=")) {
        let group = number(line, "group_id=");
        let mut parts = line.split("packet_count=").skip(1);
        let mut read = || {
            let part = parts.next()?;
            Some((part.split(',').next()?.parse().ok()?, number(part, "byte_count=")))
        };
        if let Some(all) = read() {
            counts.insert(format!("group {group}"), all);
        }
        let mut place = 0;
        while let Some(bucket) = read() {
            counts.insert(format!("group {group} bucket {place}"), bucket);
            place += 1;
        }
    }
    counts
}

/// How two differ.
pub(crate) fn difference(ours: &Counts, theirs: &Counts) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let differing = names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name));
    differing
        .map(|name| format!("{name}: here {:?}, Open vSwitch {:?}", ours.get(name), theirs.get(name)))
        .collect()
}
