//! Killed after every step, the program ends in the state that was named, and nothing is left over.
//!
//! The rig's namespaces stand for the host: what the host had before must be there afterwards, and nothing
//! else.

mod common;

use common::Netloom;
use netloom_testkit::rig::{self, Rig};

const FIRST: &str = "
netloom: 1
name: crash
networks:
  lan: { mode: nat, subnet: 10.1.0.0/24, uplink: host }
  wan: { mode: bridge, subnet: 10.2.0.0/24 }
endpoints:
  a: { networks: [lan], sysctls: { net.ipv4.ip_default_ttl: 99 } }
  b: { networks: [lan, wan], run: [{ name: sleep, command: [sleep, '1000'] }] }
routers:
  r:
    interfaces: { eth0: { network: wan, address: 10.2.0.1/24 }, x: { address: 10.3.0.1/30 } }
    routes: [{ to: 10.9.0.0/16, action: blackhole }]
    firewall: { default: deny, rules: [{ allow: any -> any, services: tcp/80 }] }
links:
  - 'r:x -- a:x'
qos:
  - { on: 'r:eth0', tbf: { rate: 10mbit } }
policies: { default: allow, rules: [{ deny: a -> b, services: tcp/22 }] }
";

fn second() -> String {
    FIRST
        .replace("10.2.0.0/24", "10.22.0.0/24")
        .replace("10.2.0.1/24", "10.22.0.1/24")
        .replace("  - 'r:x -- a:x'", "  - { link: 'r:x -- a:x', mtu: 1400 }")
        .replace("10mbit", "20mbit")
        .replace("'1000'", "'2000'")
}

/// What a person would look at to see whether the host is as it was.
fn host(rig: &Rig) -> String {
    let mut all = String::new();
    for (program, arguments) in [
        ("ip", &["-d", "link"][..]),
        ("ip", &["addr"]),
        ("ip", &["route", "show", "table", "all"]),
        ("ip", &["rule"]),
        ("nft", &["list", "ruleset"]),
        ("sysctl", &["net.ipv4.ip_forward"]),
    ] {
        let output = rig.run(program, arguments).map(|output| output.stdout).unwrap_or_default();
        all.push_str(&String::from_utf8_lossy(&output));
    }
    all
}

fn ready(rig: &Rig) -> bool {
    let there = rig.run("ip", &["-V"]).is_some() && rig.run("nft", &["-v"]).is_some();
    if there {
        // Foreign objects that must still be there at the end.
        let _ = rig.run("ip", &["link", "add", "docker0", "type", "bridge"]);
        let _ = rig.run("nft", &["add table inet foreign"]);
        let _ = rig.run("nft", &["add chain inet foreign input { type filter hook input priority 0; }"]);
    } else {
        netloom_testkit::skip!("iproute2 or nftables is not installed");
    }
    there
}

#[test]
fn killed_after_every_step() {
    rig::isolated(|rig| {
        if !ready(rig) {
            return;
        }
        let before = host(rig);
        let netloom = Netloom::on_host(rig);
        let first = netloom.file("first.yaml", FIRST);
        let second = netloom.file("second.yaml", &second());
        let mut kills = 0;
        // Of an apply from nothing, of a change, and of a destroy; ended each time by another command.
        for step in (0..).step_by(3) {
            let ran = netloom.run_crashing(&["apply", "--no-tests", &first], step);
            if ran.code == Some(0) {
                break;
            }
            assert_eq!(ran.code, None, "{} {}", ran.out, ran.err);
            kills += 1;
            if step % 2 == 0 {
                netloom.run(&["apply", "--no-tests", &first]).expect(0);
                netloom.run(&["plan", &first]).expect(0);
            }
            netloom.run(&["destroy", "crash"]).expect(0);
            netloom.assert_nothing_left();
            assert_eq!(host(rig), before, "after a kill at step {step} of an apply");
        }
        netloom.run(&["destroy", "--all"]).expect(0);
        for step in 0.. {
            netloom.run(&["apply", "--no-tests", &first]).expect(0);
            let ran = netloom.run_crashing(&["apply", "--no-tests", &second], step);
            if ran.code == Some(0) {
                break;
            }
            kills += 1;
            let target = if step % 2 == 0 { &second } else { &first };
            netloom.run(&["apply", "--no-tests", target]).expect(0);
            netloom.run(&["plan", target]).expect(0);
        }
        for step in 0.. {
            netloom.run(&["apply", "--no-tests", &first]).expect(0);
            let ran = netloom.run_crashing(&["destroy", "crash"], step);
            if ran.code == Some(0) {
                break;
            }
            kills += 1;
            netloom.run(&["destroy", "crash"]).expect(0);
            netloom.assert_nothing_left();
            assert_eq!(host(rig), before, "after a kill at step {step} of a destroy");
        }
        assert_eq!(host(rig), before);
        println!("killed {kills} times; every time the named state was reached and nothing was left over");
        assert!(kills > 10);
    });
}
