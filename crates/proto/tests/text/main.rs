//! The text language of flows against Open vSwitch: against its own test files where Debian's `openvswitch-source` is
//! installed, and against the real `ovs-ofctl` where that is.

mod suite;

use netloom_proto::openflow::text::{self, FlowCommand, Names};

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
