//! What the texts become on the wire, read and printed by the real `ovs-ofctl ofp-print` and by us.

use crate::{generate, sample};
use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::{
    Age, BandStatistics, Dialect, FlowCommand, FlowFlags, FlowMod, FlowState, FlowStatistics,
    GroupDescription, Message, MeterCommand, MeterStatistics, MultipartReply, Reply, decode, encode,
};
use netloom_proto::openflow::text::{self, Names};
use std::process::Command;

/// What the real tool prints of a message, without the line or the words that name its kind.
fn print(octets: &[u8]) -> Option<String> {
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    let output = match Command::new("ovs-ofctl").args(["ofp-print", &hex]).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: ovs-ofctl cannot be run: {error}");
            return None;
        }
    };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = printed.split_once("):")?;
    Some(rest.trim_matches([' ', '\n']).to_string())
}

fn reply(version: Version, reply: Reply) -> Option<Vec<u8>> {
    let message = Message::MultipartReply(MultipartReply { reply, more: false });
    encode(version, 1, &message).ok()
}

#[test]
fn meters_are_printed_as_the_real_tool_prints_them() {
    let meters = [
        "meter=1,kbps,bands=type=drop,rate=1000",
        "meter=2 pktps burst stats bands=type=drop rate=1 burst_size=5",
        "meter=3,kbps,burst,band=type=dscp_remark,rate=10,burst_size=2,prec_level=3,type=drop,rate=20,burst_size=9",
        "meter=controller,pktps,bands=type=drop,rate=7",
        "meter=slowpath,pktps,bands=type=drop,rate=7",
    ];
    for (text, command) in
        meters.iter().flat_map(|text| [(text, MeterCommand::Add), (text, MeterCommand::Modify)])
    {
        let meter = text::parse_meter(text, command).unwrap();
        let octets = encode(Version::V13, 1, &Message::MeterMod(meter.clone())).unwrap();
        let Some(theirs) = print(&octets) else { return };
        assert_eq!(text::print_meter_mod(&meter).trim_end(), theirs, "{text}");
        let Some(octets) = reply(Version::V13, Reply::MeterConfigs(vec![meter.meter.clone()])) else {
            continue;
        };
        let theirs = print(&octets).unwrap();
        assert_eq!(text::print_meter(&meter.meter).trim_end(), theirs, "{text}");
        // What is printed is read back.
        let again = text::parse_meter(&text::print_meter(&meter.meter), command);
        assert_eq!(again, Ok(meter), "{text}");
    }
    let deleted = text::parse_meter("meter=all", MeterCommand::Delete).unwrap();
    let octets = encode(Version::V13, 1, &Message::MeterMod(deleted.clone())).unwrap();
    assert_eq!(print(&octets).as_deref(), Some(text::print_meter_mod(&deleted).trim_end()));
    let counted = MeterStatistics {
        meter: 5,
        flows: 2,
        packets: 3,
        bytes: 4,
        age: Age { seconds: 5, nanoseconds: 6_000_000 },
        bands: vec![BandStatistics { packets: 7, bytes: 8 }, BandStatistics { packets: 9, bytes: 10 }],
    };
    let octets = reply(Version::V13, Reply::Meters(vec![counted.clone()])).unwrap();
    assert_eq!(print(&octets).as_deref(), Some(text::print_meter_statistics(&counted).trim_end()));
}

#[test]
fn mistakes_in_meters_are_worded_as_in_open_vswitch() {
    // The real tool checks before it connects, so that the name of a bridge that is not there does no harm.
    for (text, command) in [
        ("meter=1", "add-meter"),
        ("meter=1,bands=type=drop,rate=1", "add-meter"),
        ("kbps,bands=type=drop,rate=1", "add-meter"),
        ("meter=0,kbps,bands=type=drop,rate=1", "add-meter"),
        ("meter=1,kbps,foo=bar,bands=type=drop,rate=1", "add-meter"),
        ("meter=1,kbps,foo,bands=type=drop,rate=1", "add-meter"),
        ("meter=1,kbps,bands=rate=1", "add-meter"),
        ("meter=1,kbps,bands=type=foo,rate=1", "add-meter"),
        ("meter=1,kbps,bands=type=drop", "add-meter"),
        ("meter=1,kbps,bands=type=drop,rate=1,burst_size=2", "add-meter"),
        ("meter=1,kbps,burst,bands=type=drop,rate=1", "add-meter"),
        ("meter=1,kbps,bands=type=drop,rate=1,prec_level=2", "add-meter"),
        ("meter=1,kbps,bands=type=dscp_remark,rate=1", "add-meter"),
        ("meter=1,kbps,bands=type=drop,foo=1", "add-meter"),
        ("meter=1,kbps,bands=", "add-meter"),
        ("meter=1,kbps,bands=type=drop,rate", "add-meter"),
        ("kbps", "del-meters"),
    ] {
        let output = match Command::new("ovs-ofctl")
            .args(["-O", "OpenFlow13", command, "no-such-bridge", text])
            .output()
        {
            Ok(output) => output,
            Err(error) => return eprintln!("skipped: ovs-ofctl cannot be run: {error}"),
        };
        let theirs = String::from_utf8_lossy(&output.stderr).into_owned();
        let theirs = theirs.trim().trim_start_matches("ovs-ofctl: ");
        let command = if command == "add-meter" { MeterCommand::Add } else { MeterCommand::Delete };
        let ours = text::parse_meter(text, command).unwrap_err();
        assert_eq!(ours.ovs(), theirs, "{text}");
    }
}

#[test]
fn dumps_of_flows_are_printed_as_the_real_tool_prints_them() {
    let matches = sample(&generate::matches(), 60);
    let lists = sample(&generate::lists(), 60);
    let mut compared = 0;
    for (index, (matching, actions)) in matches.into_iter().zip(lists).enumerate() {
        let number = index as u32;
        let flags = [
            FlowFlags::NONE,
            FlowFlags::SEND_REMOVED,
            FlowFlags::CHECK_OVERLAP.or(FlowFlags::NO_BYTE_COUNTS),
        ];
        let flow = FlowStatistics {
            state: FlowState {
                table: (index % 3) as u8,
                priority: if index % 2 == 0 { 0x8000 } else { index as u16 },
                cookie: index as u64 / 2,
                age: Some(Age { seconds: number, nanoseconds: number * 1_000_000 + number % 4 }),
                idle_timeout: (index % 5) as u16,
                hard_timeout: (index % 7) as u16,
                importance: (index % 2) as u16,
                flags: flags[index % 3],
                idle_age: None,
                hard_age: None,
                packets: index as u64 * 10,
                bytes: index as u64 * 1000,
            },
            matching,
            actions,
        };
        for version in [Version::V10, Version::V13, Version::V14] {
            let dialect = if version == Version::V10 { Dialect::Nicira } else { Dialect::Standard };
            let Some(octets) = reply(version, Reply::Flows(dialect, vec![flow.clone()])) else { continue };
            let Some(theirs) = print(&octets) else { return };
            // What cannot be told is lost on the way for both.
            let Ok((_, Message::MultipartReply(MultipartReply { reply: Reply::Flows(_, flows), .. }))) =
                decode(&octets)
            else {
                assert!(theirs.contains("decode error"), "{theirs}");
                continue;
            };
            if !theirs.contains("decode error") {
                assert_eq!(text::print_flow(&flows[0], true, &Names::new()), theirs, "{version}");
                compared += 1;
            }
        }
    }
    println!("dumped flows: {compared} of {compared} printed alike");
    assert!(compared > 60);
}

#[test]
fn changes_of_flows_are_printed_as_the_real_tool_prints_them() {
    let names = Names::new();
    let mut compared = 0;
    for (text, command) in [
        (
            "cookie=0x5,table=3,priority=7,tcp,tp_dst=80,idle_timeout=5,hard_timeout=6,importance=9,send_flow_rem,\
          check_overlap,reset_counts,no_packet_counts,no_byte_counts,actions=1",
            FlowCommand::Add,
        ),
        ("cookie=1/0xff,ip,actions=drop", FlowCommand::Modify),
        ("cookie=1,ip,actions=drop", FlowCommand::ModifyStrict),
        ("cookie=0x10/-1,table=2,out_port=5,arp", FlowCommand::Delete),
        ("priority=9,in_port=local,out_port=controller", FlowCommand::DeleteStrict),
        ("", FlowCommand::Delete),
        ("actions=drop", FlowCommand::Add),
    ] {
        let (flow, _) = text::parse_flow(text, Some(command), &names).unwrap();
        for version in Version::ALL {
            let flow = FlowMod {
                dialect: if version == Version::V10 { Dialect::Nicira } else { Dialect::Standard },
                ..flow.clone()
            };
            let Ok(octets) = encode(version, 1, &Message::FlowMod(flow)) else { continue };
            let Some(theirs) = print(&octets) else { return };
            let (_, message) = decode(&octets).unwrap();
            let Message::FlowMod(flow) = message else { panic!("{message:?}") };
            assert_eq!(text::print_flow_mod(&flow, version, &names).trim_end(), theirs, "{version} {text}");
            compared += 1;
        }
    }
    println!("changes of flows: {compared} of {compared} printed alike");
    assert!(compared > 15, "only {compared} could be told");
}

#[test]
fn descriptions_of_groups_are_printed_as_the_real_tool_prints_them() {
    let names = Names::new();
    for text in [
        "group_id=1,type=all,bucket=1,bucket=2",
        "group_id=2,type=select,selection_method=hash,fields(ip_src,tcp_dst=0xff),selection_method_param=3,bucket=weight:5,1",
        "group_id=3,type=ff,bucket=watch_port:4,output:4,bucket=watch_group:9,bucket_id:17,drop",
    ] {
        let (group, _) = text::parse_group(text, None, &names).unwrap();
        let group = GroupDescription {
            group: group.group,
            kind: group.kind,
            buckets: group.buckets,
            selection: group.selection,
        };
        for version in [Version::V13, Version::V15] {
            let Some(octets) = reply(version, Reply::GroupDescriptions(vec![group.clone()])) else {
                continue;
            };
            let Some(theirs) = print(&octets) else { return };
            let decoded = decode(&octets).unwrap().1;
            let Message::MultipartReply(MultipartReply { reply: Reply::GroupDescriptions(groups), .. }) =
                decoded
            else {
                panic!("{decoded:?}")
            };
            assert_eq!(text::print_group(&groups[0], version, &names), theirs, "{version} {text}");
        }
    }
}
