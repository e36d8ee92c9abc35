//! Networks that Netloom's own switch carries: the same verdicts as with the kernel's bridges, the same promises about
//! kills, changes and traces.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::Netloom;
use netloom_testkit::rig;
use std::time::{Duration, Instant};

/// Every test claims that something is reached, so that verdicts of both kinds come out; `VIA` is replaced.
const PLAIN: &str = "
netloom: 1
name: two-ways
networks:
  lan: { via: VIA, mode: bridge, subnet: [10.1.0.0/24, 'fd00:1::/64'], mtu: 1400 }
  cells: { via: VIA, mode: host-only, subnet: 10.2.0.0/24, isolated: true }
  inside: { via: VIA, mode: nat, subnet: 10.3.0.0/24, uplink: world }
  behind: { via: VIA, mode: routed, subnet: 10.4.0.0/24, uplink: none }
  world: { via: kernel, mode: bridge, subnet: 203.0.113.0/24 }
endpoints:
  a: { networks: [lan] }
  b: { networks: [lan] }
  loud: { interfaces: { eth0: { network: cells, isolated: false } } }
  cell-1: { networks: [cells] }
  cell-2: { networks: [cells] }
  home: { networks: [inside] }
  neighbour: { networks: [inside] }
  far: { networks: [behind] }
  server: { networks: [world] }
routers:
  r:
    interfaces: { eth0: { network: lan, address: [10.1.0.1/24, 'fd00:1::1/64'] }, eth1: { network: behind, address: 10.4.0.9 } }
    firewall: { default: deny, rules: [{ allow: any -> any, services: tcp/80 }] }
tests:
  - { reach: a -> b, over: [icmp, tcp/81, udp/82, http/80], within: 2s }
  - { reach: a -> b, ipv6: true }
  - { reach: 'cell-1, loud, cell-2 -> cell-1, loud, cell-2, 10.2.0.1' }
  - { reach: a -> cell-1 }
  - { reach: home -> neighbour, over: [tcp/80, udp/53] }
  - { reach: home -> server, over: [icmp, http/80] }
  - { reach: server -> home }
  - { reach: far -> 10.4.0.1 }
  - { reach: a -> r }
  - { reach: far -> r }
";

/// Cables between switches and from nodes to switches, networks above networks, a ring that only a tree makes usable.
const LINKED: &str = "
netloom: 1
name: two-ways
networks:
  north: { via: VIA, bridge: { stp: true, priority: 4096, forward-delay: 2s, hello-time: 1s } }
  south: { via: VIA, bridge: { stp: true, priority: 8192, forward-delay: 2s, hello-time: 1s, ageing: 20s } }
  west: { via: VIA, bridge: { stp: true, forward-delay: 2s, hello-time: 1s } }
  world: { via: VIA, subnet: 203.0.113.0/24, bridge: { ageing: 0s, multicast-snooping: true } }
  inside: { via: kernel, mode: nat, subnet: 10.3.0.0/24, uplink: world }
  behind: { via: VIA, mode: routed, subnet: 10.4.0.0/24, uplink: world, bridge: { multicast-querier: true } }
  old: { via: kernel, subnet: 10.5.0.0/24 }
  new: { via: VIA, subnet: 10.5.0.0/24, mtu: 1300 }
  annex: { via: VIA, uplink: 'host:plug', subnet: 10.6.0.0/24 }
endpoints:
  ann: { interfaces: { eth0: { network: north, address: 10.7.0.1/24 } } }
  bob: { interfaces: { eth0: { network: south, address: 10.7.0.2/24 } } }
  eve: { interfaces: { eth0: { network: west, address: 10.7.0.3/24, stp-cost: 200 } } }
  wire: { interfaces: { eth7: { address: 10.7.0.4/24 } } }
  site: { networks: [world] }
  home: { networks: [inside] }
  far: { networks: [behind] }
  one: { interfaces: { eth0: { network: old, address: 10.5.0.1 } } }
  two: { interfaces: { eth0: { network: new, address: 10.5.0.2 } } }
  apart: { interfaces: { eth0: { network: annex, address: 10.6.0.1 } } }
  socket: { interfaces: { eth0: { address: 10.6.0.2/24 } } }
links:
  - north:to-south -- south:to-north
  - south:to-west -- west:to-south
  - west:to-north -- north:to-west
  - wire:eth7 -- south:wire
  - old:to-new -- new:to-old
  - host:plug -- socket:eth0
tests:
  - { reach: 'ann, bob, eve, wire -> ann, bob, eve, wire', within: 30s }
  - { reach: ann -> wire, over: [tcp/80, udp/53, http/81], within: 30s }
  - { loss: ann -> eve, at-most: 0%, count: 50, within: 30s }
  - { reach: home -> site, over: [icmp, http/80] }
  - { reach: site -> home }
  - { reach: 'far -> site, 203.0.113.1' }
  - { reach: 'one, two -> two, one', over: [icmp, tcp/80] }
  - { reach: 'apart -> socket', over: [icmp, tcp/443] }
  - { reach: one -> ann }
  - { reach: apart -> one }
";

/// The same for kernels whose bridges keep VLANs apart.
const VLANS: &str = "
netloom: 1
name: two-ways
networks:
  floor: { via: VIA, bridge: { default-vlan: 5 } }
  rooms: { via: VIA, mode: host-only, subnet: 10.2.0.0/24, bridge: { gateway-vlan: 30 } }
endpoints:
  sales-1: { interfaces: { eth0: { network: floor, vlan: 10, address: 10.1.0.1/24 } } }
  sales-2: { interfaces: { eth0: { network: floor, vlan: 10, address: 10.1.0.2/24 } } }
  lab: { interfaces: { eth0: { network: floor, vlan: 20, address: 10.1.0.3/24 } } }
  trunk: { interfaces: { eth0: { network: floor, trunk: ['10', '20'], native: 20, address: 10.1.0.4/24 } } }
  tagged: { interfaces: { eth0: { network: floor, trunk: ['10'], address: 10.1.0.5/24 } } }
  plain: { interfaces: { eth0: { network: floor, address: 10.1.0.6/24 } } }
  other: { interfaces: { eth0: { network: floor, vlan: 5, address: 10.1.0.7/24 } } }
  door: { interfaces: { eth0: { network: rooms, vlan: 30 } } }
  wall: { interfaces: { eth0: { network: rooms, vlan: 31 } } }
tests:
  - { reach: 'sales-1, lab, plain -> sales-2, trunk, tagged, other' }
  - { reach: 'door, wall -> 10.2.0.1' }
";

/// Who reaches whom, by the name of each test; `None` when the system lacks what the file asks for.
fn verdicts(netloom: &Netloom, text: &str, via: &str) -> Option<Vec<(String, bool)>> {
    let file = netloom.file(&format!("{via}.yaml"), &text.replace("VIA", via));
    let ran = netloom.run(&["apply", "--no-tests", "--quiet", &file]);
    if ran.code != Some(0) && ran.err.contains("lacks") {
        return None;
    }
    ran.expect(0);
    netloom.run(&["plan", &file]).expect(0);
    assert_eq!(netloom.switch_daemon().is_some(), via == "switch");
    let ran = netloom.run(&["test", "-o", "json"]);
    let results: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let results = results.as_array().unwrap().iter();
    let found = results
        .map(|result| {
            let name = result["name"].as_str().unwrap().to_owned();
            (name, result["passed"].as_bool().unwrap())
        })
        .collect();
    netloom.run(&["destroy", "--all"]).expect(0);
    netloom.assert_nothing_left();
    Some(found)
}

fn same_verdicts(text: &str) {
    rig::isolated(|rig| {
        let netloom = Netloom::on_host(rig);
        let by_switch = verdicts(&netloom, text, "switch").unwrap();
        let count = |verdict| by_switch.iter().filter(|(_, passed)| *passed == verdict).count();
        assert!(count(true) >= 3 && count(false) >= 3, "{by_switch:#?}");
        match verdicts(&netloom, text, "kernel") {
            Some(by_kernel) => assert_eq!(by_switch, by_kernel),
            None => netloom_testkit::skip!("this kernel's bridges don't keep VLANs apart"),
        }
    });
}

#[test]
fn the_kernel_and_the_switch_give_the_same_verdicts() {
    same_verdicts(PLAIN);
}

#[test]
fn the_same_verdicts_about_links_and_uplinks() {
    same_verdicts(LINKED);
}

#[test]
fn the_same_verdicts_about_vlans() {
    same_verdicts(VLANS);
}

/// Examples in which no network is a plain switch.
const WITHOUT_SWITCHES: [&str; 6] = [
    "generate-fat-tree",
    "generate-leaf-spine",
    "generate-mesh",
    "generate-partial-mesh",
    "generate-three-tier",
    "leaf-spine-ecmp",
];

/// Every network of every `of`th example by the switch, where it is one that a switch can carry. All tests of the examples
/// hold by the kernel (`rootless_examples.rs`), so they must hold here.
fn examples_by_switch(part: usize, of: usize) {
    rig::isolated(move |rig| {
        let netloom = Netloom::on_host(rig);
        let mut carried = 0;
        for path in common::examples().iter().skip(part).step_by(of) {
            println!("{}", path.display());
            let text = std::fs::read_to_string(path).unwrap();
            let text = match text.contains("\ndefaults: {") {
                true => text.replace("\ndefaults: {", "\ndefaults: { via: switch,"),
                false => text.replacen("\nname:", "\ndefaults: { via: switch }\nname:", 1),
            };
            let name = path.file_name().unwrap().to_str().unwrap();
            let file = netloom.file(name, &text);
            let out = netloom.run(&["apply", &file]).expect(0);
            assert!(!out.contains("FAILED"), "{out}");
            netloom.run(&["plan", &file]).expect(0);
            let is_carried = netloom.switch_daemon().is_some();
            assert_ne!(is_carried, WITHOUT_SWITCHES.iter().any(|other| name.starts_with(other)), "{name}");
            carried += usize::from(is_carried);
            netloom.run(&["destroy", "--all"]).expect(0);
            netloom.assert_nothing_left();
        }
        assert!(carried >= 4, "{carried}");
    });
}

#[test]
fn examples_by_the_switch_first_part() {
    examples_by_switch(0, 2);
}

#[test]
fn examples_by_the_switch_second_part() {
    examples_by_switch(1, 2);
}

const SMALL: &str = "
netloom: 1
name: small
networks:
  lan: { via: switch, mode: host-only, subnet: 10.1.0.0/24 }
  wan: { via: switch }
endpoints:
  a: { interfaces: { eth0: { network: lan, vlan: 10, address: 10.1.0.11/24 } } }
  b: { interfaces: { eth0: { network: lan, vlan: 10, address: 10.1.0.12/24 }, eth1: { network: wan, address: 10.2.0.1/24 } } }
";

/// Other VLANs, an interface that moves to the other network, a port that becomes isolated.
fn changed() -> String {
    SMALL
        .replace(
            "eth0: { network: lan, vlan: 10, address: 10.1.0.11/24 }",
            "eth0: { network: lan, vlan: 20, isolated: true, address: 10.1.0.11/24 }",
        )
        .replace(
            "eth1: { network: wan, address: 10.2.0.1/24 }",
            "eth1: { network: lan, vlan: 20, address: 10.1.0.13/24 }",
        )
        .replace("wan: { via: switch }", "wan: { via: kernel }")
}

#[test]
fn killed_after_every_step_with_a_switch() {
    rig::isolated(|rig| {
        let netloom = Netloom::on_host(rig);
        let first = netloom.file("first.yaml", SMALL);
        let second = netloom.file("second.yaml", &changed());
        for step in 0.. {
            let ran = netloom.run_crashing(&["apply", "--no-tests", &first], step);
            if step % 2 == 0 {
                netloom.run(&["apply", "--no-tests", &first]).expect(0);
                netloom.run(&["plan", &first]).expect(0);
            }
            if step % 3 == 0
                && let Some(daemon) = netloom.switch_daemon()
            {
                kill(daemon);
            }
            netloom.run(&["destroy", "--all"]).expect(0);
            netloom.assert_nothing_left();
            if ran.code == Some(0) {
                break;
            }
            assert_eq!(ran.code, None, "{} {}", ran.out, ran.err);
        }
        for step in 0.. {
            netloom.run(&["apply", "--no-tests", &first]).expect(0);
            let ran = netloom.run_crashing(&["apply", "--no-tests", &second], step);
            if ran.code == Some(0) {
                break;
            }
            let target = if step % 2 == 0 { &second } else { &first };
            netloom.run(&["apply", "--no-tests", target]).expect(0);
            netloom.run(&["plan", target]).expect(0);
        }
        for step in 0.. {
            netloom.run(&["apply", "--no-tests", &first]).expect(0);
            let ran = netloom.run_crashing(&["destroy", "small"], step);
            netloom.run(&["destroy", "--all"]).expect(0);
            netloom.assert_nothing_left();
            if ran.code == Some(0) {
                break;
            }
        }
    });
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Waits until everything is as described and `a` reaches `b`.
#[track_caller]
fn wait_for_health(netloom: &Netloom, file: &str, what: &str) -> Duration {
    let began = Instant::now();
    loop {
        let healthy = netloom.run(&["plan", file]).code == Some(0)
            && netloom.run(&["ping", "a", "b", "-c", "1"]).code == Some(0);
        if healthy {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{what} is not mended");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_killed_or_removed_by_hand_comes_back() {
    let netloom = Netloom::rootless("via-switch");
    if !netloom.is_possible("what_is_killed_or_removed_by_hand_comes_back") {
        return;
    }
    let file = netloom.file("small.yaml", SMALL);
    netloom.run(&["apply", "--no-tests", &file]).expect(0);
    let first = netloom.switch_daemon().unwrap();
    kill(first);
    let took = wait_for_health(&netloom, &file, "a killed switch");
    println!("a killed switch was back after {took:?}");
    assert_ne!(netloom.switch_daemon(), Some(first));
    netloom.run(&["exec", "small.b", "--", "ip", "link", "del", "eth0"]);
    let took = wait_for_health(&netloom, &file, "an interface that was removed");
    println!("a removed interface was back after {took:?}");
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}

#[test]
fn what_was_changed_by_hand_is_planned_and_what_others_made_is_left_alone() {
    rig::isolated(|rig| {
        let netloom = Netloom::on_host(rig);
        let file = netloom.file("small.yaml", SMALL);
        netloom.run(&["apply", "--no-tests", &file]).expect(0);
        netloom.run(&["port", "del", "small.a.eth0"]).expect(0);
        let plan = netloom.run(&["plan", &file]).expect(3);
        assert!(plan.contains("+ switch port a:eth0") && plan.contains("removed by hand"), "{plan}");
        netloom.run(&["apply", "--no-tests", &file]).expect(0);
        netloom.run(&["port", "set", "small.a.eth0", "vlan=11"]).expect(0);
        let plan = netloom.run(&["plan", &file]).expect(3);
        assert!(plan.contains("vlans 11 untagged -> 10 untagged"), "{plan}");
        // A namespace that goes by hand leaves its port behind, open to nobody.
        let _ = rustix::mount::unmount(rig.netns_dir.join("small.a"), rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_file(rig.netns_dir.join("small.a"));
        assert_eq!(netloom.run(&["plan", &file]).code, Some(3));
        netloom.run(&["apply", "--no-tests", &file]).expect(0);
        netloom.run(&["plan", &file]).expect(0);
        netloom.run(&["ping", "a", "b", "-c", "1"]).expect(0);

        netloom.run(&["switch", "add", "mine"]).expect(0);
        netloom.run(&["switch", "add", "small.theirs"]).expect(0);
        netloom.run(&["port", "add", "mine", "p0", "type=tap", "dev=p0"]).expect(0);
        netloom.run(&["plan", &file]).expect(0);
        netloom.run(&["destroy"]).expect(0);
        let left = netloom.run(&["switch", "list"]).expect(0);
        assert!(left.contains("mine") && left.contains("p0") && left.contains("small.theirs"), "{left}");
        let text = "netloom: 1\nname: small\nnetworks: { theirs: { via: switch } }\n";
        let taken = netloom.file("taken.yaml", text);
        let ran = netloom.run(&["apply", "--no-tests", &taken]);
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.contains("switch theirs"), "{}", ran.err);
        netloom.run(&["switch", "del", "small.theirs"]).expect(0);
        netloom.run(&["switch", "del", "mine"]).expect(0);
        while netloom.switch_daemon().is_some() {
            std::thread::sleep(Duration::from_millis(10));
        }
        netloom.assert_nothing_left();
    });
}

#[test]
fn the_switch_ends_with_its_last_network_and_with_the_realm() {
    let netloom = Netloom::rootless("via-end");
    if !netloom.is_possible("the_switch_ends_with_its_last_network_and_with_the_realm") {
        return;
    }
    let one = netloom.file("one.yaml", SMALL);
    let two = netloom.file("two.yaml", &SMALL.replace("name: small", "name: other"));
    netloom.run(&["apply", "--no-tests", &one]).expect(0);
    netloom.run(&["apply", "--no-tests", &two]).expect(0);
    let daemon = netloom.switch_daemon();
    netloom.run(&["destroy", "small"]).expect(0);
    assert_eq!(netloom.switch_daemon(), daemon);
    netloom.run(&["plan", &two]).expect(0);
    // Without their holder the namespaces end, and what is in them.
    kill(netloom.holder().unwrap());
    let began = Instant::now();
    while netloom.switch_daemon().is_some() {
        assert!(began.elapsed() < Duration::from_secs(10), "the switch outlives its realm");
        std::thread::sleep(Duration::from_millis(10));
    }
    netloom.run(&["apply", "--no-tests", &two]).expect(0);
    netloom.run(&["ping", "other.a", "b", "-c", "1"]).expect(0);
    netloom.run(&["destroy", "other"]).expect(0);
    netloom.assert_nothing_left();
}

#[test]
fn what_the_switch_lacks_is_said_before_anything_is_made() {
    let netloom = Netloom::rootless("via-lacks");
    let file =
        SMALL.replace("wan: { via: switch }", "wan: { via: switch, bridge: { stp: true, priority: 7 } }");
    let ran = netloom.run(&["plan", &netloom.file("stp.yaml", &file)]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("no multiple of 4096"), "{}", ran.err);
    let file = SMALL.replace("wan: { via: switch }", "wan: { via: switch, mode: overlay }");
    let ran = netloom.run(&["validate", &netloom.file("overlay.yaml", &file)]);
    assert!(ran.err.contains("`via` does not go with mode overlay"), "{}", ran.err);
}
