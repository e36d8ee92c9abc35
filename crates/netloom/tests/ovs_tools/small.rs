//! `ovs-appctl` and `ovsdb-client`, and OVS's `ofp-print`-like commands that need no switch.

use super::place::{Place, Said, Whose, has};
use super::words;

#[test]
fn questions_to_daemons_and_databases() {
    if !has(&["ovs-appctl", "ovsdb-client", "ovsdb-server", "ovs-vswitchd", "ovsdb-tool"]) {
        return;
    }
    let place = Place::with_switch();
    let (server, control) = (format!("unix:{}", place.path("db.sock")), place.path("switch.ctl"));
    let transaction =
        r#"["Open_vSwitch",{"op":"select","table":"Open_vSwitch","where":[],"columns":["cur_cfg"]}]"#;
    let commands: [(&str, Vec<&str>); 16] = [
        ("ovs-appctl", vec!["-t", &control, "version"]),
        ("ovs-appctl", vec!["-t", &control, "list-commands"]),
        ("ovs-appctl", vec!["-t", &control, "vlog/list"]),
        ("ovs-appctl", vec!["-t", &control, "nosuch/command"]),
        ("ovs-appctl", vec!["-t", &control, "fdb/show"]),
        ("ovs-appctl", vec!["-t", &control, "fdb/show", "nosuch"]),
        ("ovs-appctl", vec!["-t", "/nosuch.ctl", "version"]),
        ("ovs-appctl", vec![]),
        ("ovsdb-client", vec!["list-dbs", &server]),
        ("ovsdb-client", vec!["get-schema", &server]),
        ("ovsdb-client", vec!["get-schema-version", &server, "Open_vSwitch"]),
        ("ovsdb-client", vec!["list-tables", &server]),
        ("ovsdb-client", vec!["list-columns", &server, "Open_vSwitch", "Bridge"]),
        ("ovsdb-client", vec!["transact", &server, transaction]),
        ("ovsdb-client", vec!["dump", &server, "Open_vSwitch", "Open_vSwitch", "cur_cfg", "next_cfg"]),
        ("ovsdb-client", vec!["dump", &server, "nosuch"]),
    ];
    for (program, given) in commands {
        // The real client tells of tables and columns in the order of a hash.
        let sorted = |said: Said| {
            let mut lines: Vec<String> = said.output.lines().map(str::to_owned).collect();
            if given.first().is_some_and(|word| word.starts_with("list")) {
                lines.sort();
            }
            (said.status, lines, said.errors)
        };
        let real = sorted(place.run(Whose::Real, program, &given, None));
        let said = sorted(place.run(Whose::Ours, program, &given, None));
        assert_eq!(said, real, "{program} {given:?}");
    }
}

/// What OVS's own tests ask of the tool without a switch.
#[test]
fn texts_are_read_and_messages_are_printed() {
    if !has(&["ovs-ofctl"]) {
        return;
    }
    let place = Place::bare();
    let lines = [
        "parse-flow 'ip,tp_dst=5,actions=drop'",
        "parse-flow 'tcp,tp_dst=5,actions=output:1,resubmit(,3),set_field:5->reg0'",
        "-O OpenFlow13 parse-flow 'tcp,tp_dst=5,actions=output:1,goto_table:7'",
        "-F nxm parse-flow 'tcp,tp_dst=5,actions=output:1'",
        "parse-flow 'actions=nosuch'",
        "parse-flows - <<< table=1,actions=1\ndelete ip\n# none\nmodify_strict tcp,actions=2",
        "parse-group 'group_id=1,type=all,bucket=output:1'",
        "-O OpenFlow15 parse-group 'group_id=1,type=select,selection_method=hash,bucket=output:1'",
        "parse-nx-match <<< NXM_OF_IN_PORT(0001)\nNXM_OF_ETH_TYPE(0800),NXM_OF_IP_PROTO(06)\n<any>",
        "--strict parse-nx-match <<< NXM_OF_IP_PROTO(06)",
        "-mmmm parse-nx-match <<< NXM_OF_IN_PORT(0001)",
        "parse-oxm OpenFlow12 <<< OXM_OF_IN_PORT(00000001)\nOXM_OF_ETH_TYPE(0800)",
        "parse-actions OpenFlow10 <<< 0000 0008 0002 0000\nffff 0010 00002320 0002 0000 00000001",
        "parse-actions OpenFlow13 <<< 0000 0010 00000002 0000 000000000000\n0099 0008 00000000",
        "parse-instructions OpenFlow13 <<< 0001 0008 05 000000",
        "print-error OFPBRC_BAD_TYPE",
        "print-error nosuch",
        "encode-error-reply OFPBRC_BAD_TYPE 0108000800000001",
        "encode-hello 0x10",
        "encode-hello 0x7e",
        "parse-key-value a=1 'b(2),c,d:{e}'",
        "ofp-print 0105000800000001",
        "ofp-print 0105000800000001 5",
        "ofp-print 01",
        "ofp-print zz",
        "ofp-print 0a05000800000001",
        "ofp-parse /nosuch",
        "nosuch",
        "show",
        "show a b c",
        "-O nosuch show br0",
        "--nosuch",
    ];
    for line in lines {
        let (command, input) = match line.split_once(" <<< ") {
            Some((command, input)) => (command, Some(format!("{input}\n"))),
            None => (line, None),
        };
        let given = words(command);
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        let mut real = place.run(Whose::Real, "ovs-ofctl", &given, input.as_deref());
        // What its codec notes in the log of octets that mean nothing.
        if ["|ofp_actions|", "|ofp_msgs|"].iter().any(|module| real.errors.contains(&module[1..])) {
            real.errors.clear();
        }
        let said = place.run(Whose::Ours, "ovs-ofctl", &given, input.as_deref());
        assert_eq!(said, real, "{line}");
    }
}
