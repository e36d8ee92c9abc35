//! Open vSwitch's `ovs-ofctl` at the bridge's socket.

use super::Rig;
use std::process::Command;

/// What the tool says; with what it complains about.
fn ofctl(rig: &Rig, arguments: &[&str]) -> String {
    let target = format!("unix:{}", rig.socket().display());
    let arguments = arguments.iter().map(|word| if *word == "br0" { target.as_str() } else { word });
    let output = Command::new("ovs-ofctl").arg("--timeout=20").args(arguments).output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    text.push_str(&String::from_utf8(output.stderr).unwrap());
    text
}

fn is_there() -> bool {
    let there = Command::new("ovs-ofctl").arg("--version").output().is_ok();
    if !there {
        netloom_testkit::skip!("no ovs-ofctl");
    }
    there
}

/// Lines without what differs from run to run.
fn plain(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let words = line.split(", ").map(|word| {
            let word = word.trim();
            if word.starts_with("duration=") { "duration=" } else { word }
        });
        words.collect::<Vec<_>>().join(", ")
    };
    text.lines().skip(1).map(line).collect()
}

#[test]
fn flows_in_every_version() {
    if !is_there() {
        return;
    }
    let rig = Rig::new();
    for version in ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"] {
        let of = |words: &[&str]| ofctl(&rig, &[&["-O", version], words].concat());
        assert!(of(&["show", "br0"]).contains("p1"), "{version}: {}", of(&["show", "br0"]));
        assert_eq!(of(&["add-flow", "br0", "table=1,priority=7,tcp,tp_dst=80,actions=output:2"]), "");
        assert_eq!(of(&["mod-flows", "br0", "table=1,tcp,actions=drop"]), "");
        let dumped = of(&["dump-flows", "br0"]);
        assert!(dumped.contains("table=1") && dumped.contains("actions=drop"), "{version}: {dumped}");
        assert!(of(&["dump-aggregate", "br0"]).contains("flow_count=1"), "{version}");
        assert_eq!(of(&["--strict", "del-flows", "br0", "table=1,priority=7,tcp,tp_dst=80"]), "");
        assert_eq!(plain(&of(&["dump-flows", "br0"])), Vec::<String>::new(), "{version}");
        assert!(of(&["dump-ports", "br0"]).contains("port  "), "{version}");
        assert!(
            of(&["dump-tables", "br0"]).contains("table 0"),
            "{version}: {}",
            of(&["dump-tables", "br0"])
        );
        assert!(of(&["dump-desc", "br0"]).contains("Open vSwitch"), "{version}");
        assert!(of(&["ping", "br0"]).contains("64 bytes"), "{version}: {}", of(&["ping", "br0"]));
    }
}

#[test]
fn bundles_take_effect_whole() {
    if !is_there() {
        return;
    }
    let rig = Rig::new();
    let file = rig.directory.join("flows");
    std::fs::write(&file, "add in_port=1,actions=output:2\nadd in_port=2,actions=group:5\n").unwrap();
    let path = file.display().to_string();
    let said = ofctl(&rig, &["-O", "OpenFlow14", "--bundle", "add-flows", "br0", &path]);
    assert!(said.contains("OFPBAC_BAD_OUT_GROUP") && said.contains("OFPBFC_MSG_FAILED"), "{said}");
    assert_eq!(rig.flows(), 0);
    std::fs::write(&file, "add in_port=1,actions=output:2\nadd in_port=2,actions=output:1\n").unwrap();
    assert_eq!(ofctl(&rig, &["-O", "OpenFlow14", "--bundle", "add-flows", "br0", &path]), "");
    assert_eq!(rig.flows(), 2);
    std::fs::write(&file, "in_port=1,actions=output:2\nin_port=2,actions=drop\n").unwrap();
    assert!(
        ofctl(&rig, &["diff-flows", "br0", &path]).contains("-in_port=2"),
        "{}",
        ofctl(&rig, &["diff-flows", "br0", &path])
    );
    assert_eq!(ofctl(&rig, &["replace-flows", "br0", &path]), "");
    assert_eq!(ofctl(&rig, &["diff-flows", "br0", &path]), "");
}
