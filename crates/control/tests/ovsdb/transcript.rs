//! `ovs-vsctl --no-wait`: the same commands to the real server and to ours give the same answers.

use crate::place::{Real, Served, anonymous, installed, target, text, wait_for};
use netloom_proto::ovsdb::OPEN_VSWITCH;

/// Commands of the tutorials and of the manual page, one after the other. Each word of a line is one argument; `_` in a
/// word stands for a blank.
const COMMANDS: &[&str] = &[
    "init",
    "show",
    "add-br br0",
    "add-br br0",
    "--may-exist add-br br0",
    "add-port br0 p1",
    "add-port br0 p2 tag=9",
    "add-port br0 p1",
    "--may-exist add-port br0 p1",
    "add-port br0 p3 trunks=1,2,3 -- set Interface p3 type=internal ofport_request=7",
    "list-br",
    "list-ports br0",
    "list-ifaces br0",
    "port-to-br p2",
    "iface-to-br p3",
    "br-exists br0",
    "br-exists none",
    "br-to-vlan br0",
    "br-to-parent br0",
    "show",
    "get Port p2 tag",
    "get Port p3 trunks",
    "get Interface p3 type ofport_request",
    "get Port p2 other_config:key",
    "--if-exists get Port p2 other_config:key",
    "set Port p2 tag=10 other_config:key=value external_ids:a=b",
    "get Port p2 other_config:key external_ids",
    "set Port p2 tag=5000",
    "set Port p2 vlan_mode=sideways",
    "set Port p2 vlan_mode=native-tagged",
    "remove Port p2 other_config key",
    "remove Port p3 trunks 2",
    "add Port p3 trunks 4 5",
    "get Port p3 trunks",
    "clear Port p3 trunks",
    "list Port p3",
    "--columns=name,tag,trunks list Port",
    "--columns=name find Port tag=10",
    "--columns=name find Port tag>5",
    "--columns=name find Interface type!=internal",
    "--columns=name find Port external_ids:a=b",
    "-f csv --columns=name,vlan_mode list Port",
    "-f json --columns=name,external_ids list Port",
    "-f table --columns=name,tag list Port",
    "set Bridge br0 datapath_type=netdev fail_mode=secure other_config:hwaddr=\"00:11:22:33:44:55\"",
    "get-fail-mode br0",
    "set-fail-mode br0 standalone",
    "get-fail-mode br0",
    "del-fail-mode br0",
    "set-controller br0 tcp:127.0.0.1:6653 ptcp:",
    "get-controller br0",
    "del-controller br0",
    "set-manager ptcp:6640",
    "get-manager",
    "del-manager",
    "set-ssl /k /c /a",
    "get-ssl",
    "del-ssl",
    "br-set-external-id br0 key value",
    "br-get-external-id br0 key",
    "br-get-external-id br0",
    "br-set-external-id br0 key",
    "add-bond br0 bond0 e1 e2 lacp=active bond_mode=balance-slb",
    "list Port bond0",
    "add-bond br0 bond0 e1 e2",
    "list-ifaces br0",
    "-- --id=@q create QoS type=linux-htb other-config:max-rate=1000000 queues:0=@a queues:1=@b -- --id=@a create Queue other-config:min-rate=1 -- --id=@b create Queue other-config:min-rate=2 -- set Port p1 qos=@q",
    "--columns=type,other_config list QoS",
    "--columns=other_config list Queue",
    "destroy QoS p1",
    "clear Port p1 qos",
    "--all destroy QoS",
    "--all destroy Queue",
    "list Queue",
    "-- --id=@m create Mirror name=m0 select-all=true output-port=@p -- --id=@p get Port p2 -- set Bridge br0 mirrors=@m",
    "--columns=name,select_all list Mirror",
    "clear Bridge br0 mirrors",
    "list Mirror",
    "-- --id=@n create NetFlow targets=\"127.0.0.1:5566\" -- set Bridge br0 netflow=@n",
    "--columns=targets list NetFlow",
    "-- --id=@s create sFlow agent=e1 targets=\"127.0.0.1:6343\" header=128 sampling=64 polling=10 -- set Bridge br0 sflow=@s",
    "--columns=agent,targets,sampling list sFlow",
    "create Port name=lonely",
    "find Port name=lonely",
    "create Nothing",
    "add-br br1 br0 42",
    "list-br",
    "br-to-vlan br1",
    "br-to-parent br1",
    "--fake list-br",
    "--real list-br",
    "add-port br1 p9",
    "list-ports br1",
    "get Port p9 tag",
    "del-br br1",
    "add-br br2 -- add-port br2 patch2 -- set Interface patch2 type=patch options:peer=patch0 -- add-port br0 patch0 -- set Interface patch0 type=patch options:peer=patch2",
    "show",
    "wait-until Interface patch0 type=patch",
    "del-port br2 patch0",
    "del-port patch2",
    "del-port none",
    "--if-exists del-port none",
    "--if-exists --with-iface del-port e1",
    "comment hello",
    "set Open_vSwitch . external_ids:system-id=x other_config:dpdk-init=false",
    "get Open_vSwitch . external_ids other_config",
    "set Open_vSwitch . nothing=1",
    "get Open_vSwitch . nothing",
    "list Interface none",
    "--if-exists list Interface none",
    "add-zone-tp netdev zone=1 icmp_first=1",
    "add-dp-cap netdev x=y",
    "emer-reset",
    "show",
    "del-br br0 -- del-br br2",
    "show",
    "list Bridge",
    "list Interface",
    "del-br br0",
    "jump",
];

#[test]
fn the_same_commands_give_the_same_answers() {
    if !installed(&["ovs-vsctl", "ovsdb-server", "ovsdb-tool"]) {
        netloom_testkit::skip!("no ovs-vsctl, ovsdb-server and ovsdb-tool here");
        return;
    }
    let (served, real) = (Served::open_vswitch(), Real::new(OPEN_VSWITCH));
    let mut differences = Vec::new();
    let (mut ours_all, mut theirs_all) = (String::new(), String::new());
    for line in COMMANDS {
        let mut said = Vec::new();
        for place in [&served.place, &real.place] {
            let db = format!("--db={}", target(place));
            let mut arguments = vec![&*db, "--no-wait", "-t", "10"];
            arguments.extend(line.split(' '));
            let output = place.run("ovs-vsctl", &arguments);
            let here = place.path("db.sock");
            let error = text(&output.stderr).replace(here.to_str().unwrap(), "SOCKET");
            // Log lines have the time.
            let error: Vec<&str> =
                error.lines().map(|line| line.split_once("|vsctl|").map_or(line, |(_, rest)| rest)).collect();
            said.push(format!("{:?}\n{}{}\n", output.status.code(), text(&output.stdout), error.join("\n")));
        }
        ours_all.push_str(&said[0]);
        theirs_all.push_str(&said[1]);
        let sorted = |text: &str| {
            let mut lines: Vec<String> =
                anonymous(text).lines().map(|line| anonymise_numbers(&in_order(line))).collect();
            lines.sort();
            lines
        };
        // Rows without an order come in that of their UUIDs.
        if sorted(&said[0]) != sorted(&said[1]) {
            differences.push(format!("$ ovs-vsctl {line}\nours: {}\ntheirs: {}", said[0], said[1]));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        COMMANDS.len(),
        differences.join("\n")
    );
    let failed = ours_all.matches("Some(1)").count();
    println!("{} commands, {failed} of them failed as they should", COMMANDS.len());
    // And it is in the file as they would have it.
    let place = served.stop();
    place.say("ovsdb-tool", &["compact", "db"]);
}

/// The rows of a table in JSON come in no order.
fn in_order(line: &str) -> String {
    use netloom_proto::ovsdb::Json;
    match Json::parse(line) {
        Ok(table) if table.get("data").is_some() => {
            let rows = table.get("data").and_then(Json::as_array).unwrap_or_default();
            let mut rows: Vec<String> = rows.iter().map(Json::text).collect();
            rows.sort();
            format!("{rows:?} {}", table.get("headings").unwrap())
        }
        _ => line.to_owned(),
    }
}

/// Numbers of UUIDs go by their order in the text, which may be another.
fn anonymise_numbers(line: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in line.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            _ if inside => continue,
            _ => {}
        }
        out.push(c);
    }
    out
}

#[test]
fn adding_many_ports_is_quickly_done() {
    if !installed(&["ovs-vsctl"]) {
        netloom_testkit::skip!("no ovs-vsctl here");
        return;
    }
    let served = Served::open_vswitch();
    let db = format!("--db={}", served.target());
    served.place.say("ovs-vsctl", &[&db, "--no-wait", "add-br", "br0"]);
    for block in 0..6 {
        let mut arguments: Vec<String> = vec![db.clone(), "--no-wait".to_owned()];
        for port in 0..100 {
            let name = format!("p{}", block * 100 + port);
            arguments.extend(["--", "add-port", "br0", &name].map(str::to_owned));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        served.place.say("ovs-vsctl", &arguments);
    }
    let length = |served: &Served| std::fs::metadata(served.place.path("db")).unwrap().len();
    let before = length(&served);
    let began = std::time::Instant::now();
    for number in 0..10 {
        served.place.say("ovs-vsctl", &[&db, "--no-wait", "add-port", "br0", &format!("more{number}")]);
    }
    println!("10 ports after 600: {:?}", began.elapsed());
    // What is written is what changed, not the list of all ports.
    let written = (length(&served) - before) / 10;
    assert!(written < 1500, "{written} octets for a port");
    assert_eq!(served.place.say("ovs-vsctl", &[&db, "--no-wait", "list-ports", "br0"]).lines().count(), 610);
}

#[test]
fn the_real_switch_lives_on_our_database() {
    if !installed(&["ovs-vsctl", "ovs-vswitchd", "ovs-appctl"]) {
        netloom_testkit::skip!("no ovs-vsctl, ovs-vswitchd and ovs-appctl here");
        return;
    }
    let served = Served::open_vswitch();
    let db = format!("--db={}", served.target());
    let vsctl = |arguments: &[&str]| {
        let mut all = vec![&*db, "-t", "20"];
        all.extend(arguments);
        served.place.say("ovs-vsctl", &all)
    };
    vsctl(&["--no-wait", "init"]);
    let target = served.target();
    let control = served.place.path("switch.ctl").display().to_string();
    let unixctl = format!("--unixctl={control}");
    let arguments = ["--enable-dummy", "--disable-system", &unixctl, "--no-chdir", "-vconsole:off", &target];
    let daemon = served.place.command("ovs-vswitchd", &arguments).spawn().unwrap();
    let _running = crate::place::Running(daemon);
    // These wait until the switch has done what they ask for.
    vsctl(&["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=dummy"]);
    vsctl(&["add-port", "br0", "p1", "--", "set", "Interface", "p1", "type=dummy", "ofport_request=5"]);
    assert_eq!(vsctl(&["get", "Interface", "p1", "ofport"]), "5\n");
    let switch = |arguments: &[&str]| {
        let mut all = vec!["-t", &*control];
        all.extend(arguments);
        served.place.say("ovs-appctl", &all)
    };
    assert!(switch(&["dpif/show"]).contains("p1 5/"));
    vsctl(&["set", "Port", "p1", "tag=7"]);
    assert!(switch(&["fdb/show", "br0"]).contains("VLAN"));
    vsctl(&["del-port", "p1"]);
    assert!(!switch(&["dpif/show"]).contains("p1"));
    // It has its lock, and writes what it finds.
    wait_for("statistics", || vsctl(&["get", "Open_vSwitch", ".", "iface_types"]).contains("patch"));
}
