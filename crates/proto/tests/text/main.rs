//! The text language of flows against Open vSwitch: against its own test files where Debian's `openvswitch-source` is
//! installed, and against the real `ovs-ofctl` where that is.

mod flows;
mod generate;
mod octets;
mod oracle;
mod suite;

use netloom_proto::openflow::text::{self, DEFAULT_PRIORITY, FlowCommand, Names};
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
            Ok(flow) => flow.protocols.to_string(),
            Err(error) if error.ovs().ends_with("(OFPBAC_MATCH_INCONSISTENT)") => "none".to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(ours, forms, "{fields}");
        count += 1;
    }
    println!("forms of OpenFlow: {count} of {count} alike");
    assert!(count > 100, "only {count} were found");
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

    /// No text panics, and errors have a place within it.
    #[test]
    fn no_text_panics(text in "[a-z_0-9=:(),/.>\\[\\] #\"é+|*-]{0,60}", dense in any::<[prop::sample::Index; 12]>()) {
        const PIECES: [&str; 40] = [
            "actions=", "load:", "set_field:", "->", "reg0", "[", "]", "..", "ct(", "nat(src=", "learn(", "clone(", ")",
            ",", "=", "1", "0x", "-", "/", ":", "tcp", "ct_state", "+trk", "nw_src", "1.2.3.4", "fe80::", "encap(nsh(",
            "tlv(", "bundle(", "multipath(", "eth_src", "hrw", "members:", "conjunction(", "note:", "enqueue:", "move:",
            "tun_metadata0", "packet_type=(", "controller(userdata=",
        ];
        let dense: String = dense.iter().map(|index| PIECES[index.index(PIECES.len())]).collect();
        for text in [text, dense] {
            let _ = text::parse_match(&text, &Names::new());
            let _ = text::parse_packet(&text, &Names::new());
            let _ = text::parse_instructions(&text, &Names::new());
            if let Err(error) = text::parse_flow(&text, None, &Names::new()) {
                prop_assert!(error.at <= text.len());
            }
        }
    }
}
