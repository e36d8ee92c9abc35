//! The text language of flows against Open vSwitch: against its own test files where Debian's `openvswitch-source` is
//! installed, and against the real `ovs-ofctl` where that is.

#![allow(clippy::unwrap_used, clippy::panic, clippy::type_complexity)]

mod flows;
mod generate;
mod groups;
#[allow(unreachable_pub, reason = "the fuzz targets have it too")]
mod laws;
mod messages;
mod octets;
mod oracle;
mod prints;
mod suite;

use netloom_proto::openflow::message::FlowCommand;
use netloom_proto::openflow::text::{self, DEFAULT_PRIORITY, Names};
use netloom_proto::openflow::{FieldId, OfPort, Version};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

/// What `ovs-ofctl parse-flow` says is wrong with a flow, by us.
fn complaint(flow: &str) -> Option<String> {
    text::parse_flow(flow, Some(FlowCommand::Add), &Names::new()).err().map(|error| error.ovs().to_string())
}

/// Every wrong action of OVS's own test has OVS's own wording.
#[test]
fn wrong_actions_are_worded_as_in_open_vswitch() {
    let Some(file) = suite::file("ofp-actions.at") else { return };
    let cases = suite::cases(&file);
    let case = cases.iter().find(|case| case.name == "action parsing errors").unwrap();
    let (mut agree, mut different) = (0, Vec::new());
    for (at, _) in case.body.match_indices("\nbad_action ") {
        let words = suite::shell_words(&suite::unquoted(&case.body[at + 1..]), 3);
        if words.get(1).is_some_and(|word| word == "()") {
            continue;
        }
        let [_, action, wording] = words.as_slice() else { panic!("{words:?}") };
        let (action, wording) = match (action.as_str(), wording.as_str()) {
            ("${writes}", wording) => ("write_actions(".repeat(100), wording),
            ("${outputs}", wording) => ("1,".repeat(4096), wording),
            (action, wording) => (action.to_string(), wording),
        };
        let ours = complaint(&format!("actions={action}")).unwrap_or_else(|| "nothing wrong".to_string());
        if ours == *wording {
            agree += 1;
        } else {
            different.push(format!("{action}\n  OVS  {wording}\n  here {ours}"));
        }
    }
    println!("wrong actions: {agree} of {} worded alike", agree + different.len());
    assert!(agree > 100, "only {agree} were found");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The forms of OpenFlow that can carry a match are those that OVS's own test lists.
#[test]
fn forms_of_openflow_are_those_of_open_vswitch() {
    let Some(file) = suite::file("ovs-ofctl.at") else { return };
    let cases = suite::cases(&file);
    let case = cases.iter().find(|case| case.name == "ovs-ofctl parse-flows choice of protocol").unwrap();
    let mut count = 0;
    let body = suite::unquoted(case.body);
    for line in body.lines().filter_map(|line| line.trim().strip_prefix('\'')?.split('\'').next()) {
        let [fields, forms] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
        let flow = text::parse_flow(&format!("{fields},actions=drop"), Some(FlowCommand::Add), &Names::new());
        let ours = match &flow {
            Ok((_, protocols)) => protocols.to_string(),
            Err(error) if error.ovs().ends_with("(OFPBAC_MATCH_INCONSISTENT)") => "none".to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(ours, forms, "{fields}");
        count += 1;
    }
    println!("forms of OpenFlow: {count} of {count} alike");
    assert!(count > 100, "only {count} were found");
}

/// Errors stand at the word that is wrong, however deep it lies, and name the word that was meant.
#[test]
fn errors_point_at_the_word() {
    for (flow, word, near) in [
        ("tcp,nw_dts=1.2.3.4,actions=drop", "nw_dts", Some("nw_dst")),
        ("tcp actions=outptu:1", "outptu", Some("output")),
        ("ip,actions=ct(commit,exec(set_field:1->ct_makr))", "ct_makr", Some("ct_mark")),
        ("ip actions=1,clone(2,learn(table=1,eth_dts=eth_src),3)", "eth_dts", Some("eth_dst")),
        ("ip actions=ct(table=300)", "300", None),
        ("ip,nw_src=10.0.0.0/40,actions=drop", "10.0.0.0/40", None),
        ("ip,actions=load:0x1ff->reg0[0..7]", "0x1ff", None),
        ("ct_state=+trk+tkr,actions=drop", "+trk+tkr", None),
        ("actions=controller(reason=no_mach)", "no_mach", Some("no_match")),
    ] {
        for before in ["", "arp actions=flood # all\n\n"] {
            let text = format!("{before}{flow}");
            let error = text::parse_flows(&text, Some(FlowCommand::Add), &Names::new()).unwrap_err();
            assert_eq!(error.word, word, "{error}");
            assert_eq!(error.near.as_deref(), near, "{error}");
            let column = flow.find(word).unwrap() + 1;
            assert_eq!((error.line, error.column), (before.lines().count() + 1, column), "{error}");
        }
    }
}

/// Names of ports and tables are read and printed in the place of numbers, wherever one may stand.
#[test]
fn names_stand_for_numbers() {
    let mut names = Names::new();
    names.port(OfPort(1), "eth0");
    names.port(OfPort(2), "br-int");
    names.table(7, "nat");
    let text = "table=nat,in_port=eth0,ip,actions=resubmit(eth0,nat),ct(table=nat),output:\"br-int\",enqueue:eth0:5,\
                bundle(eth_src,0,hrw,ofport,members:eth0,\"br-int\"),learn(table=nat,in_port=eth0),clone(eth0),goto_table:8";
    let (flow, _) = text::parse_flow(text, None, &names).unwrap();
    let printed = text::print_flow_mod(&flow, Version::V13, &names);
    assert_eq!(
        printed,
        "ADD table:nat ip,in_port=eth0 actions=resubmit(eth0,nat),ct(table=nat),output:\"br-int\",enqueue:eth0:5,\
         bundle(eth_src,0,hrw,ofport,members:eth0,\"br-int\"),learn(table=nat,in_port=eth0),clone(output:eth0),goto_table:8"
    );
    assert!(text::parse_flow(text, None, &Names::new()).is_err());
    let numbers = text::print_actions(&flow.actions, &Names::new());
    assert_eq!(
        text::parse_instructions(&numbers, &Names::new()).map(|(actions, _)| actions),
        Ok(flow.actions)
    );
}

/// What is asked for in dumps.
#[test]
fn selections_of_flows_are_read() {
    let read = |text| text::parse_flow_selection(text, &Names::new());
    let (selection, protocols) =
        read("table=3,cookie=0x10/-1,out_port=local,out_group=9,tcp,tp_dst=80").unwrap();
    assert_eq!((selection.table, selection.cookie), (3, Some((0x10, u64::MAX))));
    assert_eq!((selection.out_port, selection.out_group), (OfPort::LOCAL, 9));
    assert_eq!(selection.matching.exact(FieldId::TCP_DST), Some(80));
    assert_eq!(protocols.to_string(), "OXM,OpenFlow11");
    assert_eq!(read("").map(|(selection, _)| selection.table), Ok(255));
    assert_eq!(
        read("cookie=5").unwrap_err().ovs(),
        "cannot set cookie (to match on a cookie, specify a mask, e.g. cookie=5/-1)"
    );
    assert_eq!(read("priority=5").unwrap_err().ovs(), "unknown keyword priority");
    assert_eq!(read("actions=drop").unwrap_err().ovs(), "unknown keyword actions");
}

/// The flows of packets and the matches of traces in OVS's own tests are printed as they stand there.
#[test]
fn flows_of_packets_in_traces_are_those_of_open_vswitch() {
    let (mut packets, mut matches) = (0, 0);
    for name in ["ofproto-dpif.at", "ofproto.at", "tunnel.at", "nsh.at", "packet-type-aware.at", "bridge.at"]
    {
        let Some(file) = suite::file(name) else { return };
        for line in file.lines() {
            let words = ["Flow: ", "Final flow: ", "Megaflow: "];
            let Some(text) = words.iter().find_map(|word| line.strip_prefix(word)) else { continue };
            // Names of ports, lines that go on, and what flows cannot say.
            if ["in_port=p", "dnl", "<", "$", "[", "tun_flags=-", "unchanged"]
                .iter()
                .any(|word| text.contains(word))
            {
                continue;
            }
            let fields =
                text::parse_match(text, &Names::new()).unwrap_or_else(|error| panic!("{text}: {error}"));
            if line.starts_with("Megaflow") {
                assert_eq!(text::print_match(&fields, DEFAULT_PRIORITY, &Names::new()), text);
                matches += 1;
            } else {
                assert_eq!(text::print_packet(&fields, &text::Inner::default(), &Names::new()), text);
                packets += 1;
            }
        }
    }
    println!("traces: {packets} flows of packets and {matches} matches alike");
    assert!(packets > 10 && matches > 10, "{packets} and {matches} were found");
}

/// Random values of a strategy, the same in every run.
fn sample<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Matches that we print are read and printed alike by the real tool, which sends them to itself in `options`' form.
fn compare_matches(options: &[&str], untold: &[&str]) {
    let lines: Vec<String> = sample(&generate::matches(), 3000)
        .iter()
        .map(|fields| text::print_match(fields, DEFAULT_PRIORITY, &Names::new()))
        .filter(|line| !line.split(',').any(oracle::confuses_open_vswitch))
        .filter(|line| !untold.iter().any(|word| line.contains(word)))
        .collect();
    let file: String = lines.iter().map(|line| format!("{line} actions=drop\n")).collect();
    let Some(printed) = oracle::parse_flows(options, &file) else { return };
    let printed = printed.unwrap();
    assert_eq!(printed.len(), lines.len());
    let mut different = Vec::new();
    for (ours, theirs) in lines.iter().zip(&printed) {
        let ours = if ours.is_empty() { String::new() } else { format!("{ours} ") };
        if format!("ADD {ours}actions=drop") != *theirs {
            different.push(format!("here {ours}\nOVS  {theirs}"));
        }
    }
    println!("matches with {options:?}: {} of {} printed alike", lines.len() - different.len(), lines.len());
    assert!(lines.len() > 2000);
    assert!(
        different.is_empty(),
        "{} differ, such as\n{}",
        different.len(),
        different[..different.len().min(5)].join("\n")
    );
}

#[test]
fn the_real_tool_prints_matches_alike_in_openflow_15() {
    // Tag control words under any mask cannot be told there.
    compare_matches(&["-O", "OpenFlow15"], &["vlan_tci="]);
}

#[test]
fn the_real_tool_prints_matches_alike_in_nxm() {
    // Packets without Ethernet cannot be told there.
    compare_matches(&["-F", "nxm"], &["packet_type="]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// What is printed of a match is read as the same match.
    #[test]
    fn matches_are_read_as_they_are_printed(fields in generate::matches()) {
        let text = text::print_match(&fields, DEFAULT_PRIORITY, &Names::new());
        let read = text::parse_match(&text, &Names::new());
        prop_assert_eq!(read.as_ref(), Ok(&fields), "{}", text);
    }

    /// What is printed of actions is read as the same actions.
    #[test]
    fn actions_are_read_as_they_are_printed(actions in generate::lists()) {
        let text = text::print_actions(&actions, &Names::new());
        let read = text::parse_instructions(&text, &Names::new()).map(|(actions, _)| actions);
        prop_assert_eq!(read.as_ref(), Ok(&actions), "{}", text);
    }

    /// No text panics, and what is printed of it is a fixed point.
    #[test]
    fn no_text_panics(text in "[a-z_0-9=:(),/.>\\[\\] #\"é+|*-]{0,60}", dense in any::<[prop::sample::Index; 12]>()) {
        const PIECES: [&str; 40] = [
            "actions=", "load:", "set_field:", "->", "reg0", "[", "]", "..", "ct(", "nat(src=", "learn(", "clone(", ")",
            ",", "=", "1", "0x", "-", "/", ":", "tcp", "ct_state", "+trk", "nw_src", "1.2.3.4", "fe80::", "encap(nsh(",
            "tlv(", "bundle(", "multipath(", "eth_src", "hrw", "members:", "conjunction(", "note:", "enqueue:", "move:",
            "tun_metadata0", "packet_type=(", "controller(userdata=",
        ];
        let dense: String = dense.iter().map(|index| PIECES[index.index(PIECES.len())]).collect();
        laws::openflow_text(text.as_bytes());
        laws::openflow_text(dense.as_bytes());
    }
}
