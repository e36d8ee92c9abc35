//! `netloom flow`, `group` and `meter` on a switch of Open vSwitch, which shows with its own tool what came of them.

use super::place::{Place, Whose, has};
use super::words;
use std::collections::BTreeSet;

#[test]
fn flows_groups_and_meters_in_netlooms_own_commands() {
    if !has(&["ovs-ofctl", "ovs-vsctl", "ovsdb-server", "ovs-vswitchd", "ovsdb-tool"]) {
        return;
    }
    let place = Place::with_switch();
    let made = place.run(
        Whose::Real,
        "ovs-vsctl",
        &words(
            "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=secure -- add-port br0 p1 \
             -- set interface p1 type=dummy ofport_request=1",
        )
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>(),
        None,
    );
    assert_eq!(made.status, Some(0), "{made:?}");
    let ask = |line: &str, input: Option<&str>| {
        let words = words(line);
        let said = place.netloom(&words.iter().map(String::as_str).collect::<Vec<_>>(), input);
        assert_eq!(said.status, Some(0), "{line}: {said:?}");
        said.output
    };
    let real = |line: &str| {
        let words = words(line);
        let said =
            place.run(Whose::Real, "ovs-ofctl", &words.iter().map(String::as_str).collect::<Vec<_>>(), None);
        said.output
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.contains("xid="))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    };
    let flows = || real("--no-stats --no-names dump-flows br0");
    ask("flow add br0 priority=7,tcp,actions=p1 table=1,actions=drop", None);
    assert_eq!(flows(), ["priority=7,tcp actions=output:1", "table=1, actions=drop"]);
    ask("flow add br0 -f -", Some("# a file\npriority=3,udp,actions=NORMAL\n"));
    ask("flow set br0 tcp,actions=drop", None);
    assert_eq!(
        flows(),
        ["priority=3,udp actions=NORMAL", "priority=7,tcp actions=drop", "table=1, actions=drop"]
    );
    // All or nothing.
    let wrong =
        place.netloom(&["flow", "add", "br0", "priority=9,actions=1", "table=2,actions=group:77"], None);
    assert_ne!(wrong.status, Some(0), "{wrong:?}");
    assert_eq!(flows().len(), 3);
    let listed = ask("flow list br0", None);
    assert!(listed.contains("tcp") && listed.contains("NORMAL"), "{listed}");
    let json: serde_json::Value = serde_json::from_str(&ask("-o json flow dump br0 udp", None)).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(1), "{json}");
    assert_eq!(json[0]["priority"], 3, "{json}");
    ask("flow del br0 udp", None);
    let file = place.path("flows.txt");
    std::fs::write(&file, "priority=7,tcp,actions=drop\ntable=4,arp,actions=FLOOD\n").unwrap();
    let differ = place.netloom(&["flow", "diff", "br0", &file], None);
    assert_eq!(differ.status, Some(2), "{differ:?}");
    assert!(differ.output.contains("+table=4") && differ.output.contains("-table=1"), "{differ:?}");
    ask(&format!("flow replace br0 {file}"), None);
    assert_eq!(flows(), ["priority=7,tcp actions=drop", "table=4, arp actions=FLOOD"]);
    ask(&format!("flow diff br0 {file}"), None);
    ask("flow del br0", None);
    assert_eq!(flows(), [""; 0]);
    let groups = || real("-O OpenFlow15 dump-groups br0");
    ask("group add br0 group_id=1,type=all,bucket=output:1", None);
    assert_eq!(groups().len(), 1, "{:?}", groups());
    ask("group set br0 group_id=1,type=indirect,bucket=output:1", None);
    assert!(groups()[0].contains("type=indirect"));
    assert!(ask("group list br0", None).contains("indirect"));
    ask("group del br0", None);
    assert_eq!(groups(), [""; 0]);
    let wrong = place.netloom(&["flow", "add", "br0", "tcp,actions=nosuch"], None);
    assert_eq!(wrong.status, Some(1), "{wrong:?}");
    assert!(wrong.errors.contains("nosuch"), "{wrong:?}");
}
