//! `why --live` and `why --drops` as a user meets them: packets of namespaces that live and die, without root.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use common::Netloom;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const NETWORK: &str = "
netloom: 1
name: live
networks:
  front: { mode: bridge, subnet: 10.1.0.0/24, gateway: 10.1.0.1 }
  back: { via: switch, mode: bridge, subnet: 10.2.0.0/24, gateway: 10.2.0.1 }
routers:
  edge:
    interfaces:
      eth0: { network: front, address: 10.1.0.1 }
      eth1: { network: back, address: 10.2.0.1 }
endpoints:
  web: { networks: [front] }
  db:
    interfaces:
      eth0: { network: back, pinned: true }
policies:
  default: allow
  rules:
    - { deny: web -> db, services: tcp/25 }
";

/// One that follows, from the moment when it does.
fn follow(netloom: &Netloom, arguments: &[&str]) -> Child {
    let mut all = vec!["why"];
    all.extend(arguments);
    all.extend(["-o", "json", "--for", "30"]);
    let mut command = netloom.command(&all);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("following in live") {
            return child;
        }
        said.push_str(&line);
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("it does not follow: {said}");
}

/// What it said of packets, and at its end of all of them.
fn told(child: Child) -> (Vec<Value>, Value) {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sum = lines.pop().unwrap_or_else(|| panic!("nothing was said"));
    (lines, sum["sum"].clone())
}

fn places(line: &Value) -> Vec<&str> {
    line["way"].as_array().unwrap().iter().map(|stretch| stretch["place"].as_str().unwrap()).collect()
}

#[test]
fn packets_are_followed_to_their_end() {
    let netloom = Netloom::rootless("why-live");
    if !netloom.is_possible("packets_are_followed_to_their_end") {
        return;
    }
    let file = netloom.file("live.yaml", NETWORK);
    netloom.run(&["apply", "--no-tests", "--no-daemon", &file]).expect(0);
    let began = Instant::now();
    while netloom.run(&["ping", "web", "db", "-c", "1"]).code != Some(0) {
        assert!(began.elapsed() < Duration::from_secs(20), "the network does not come up");
    }

    // It lives, there and back.
    let child = follow(&netloom, &["--live", "web", "db", "--count", "2"]);
    netloom.run(&["ping", "web", "db", "-c", "1"]).expect(0);
    let (lines, sum) = told(child);
    assert_eq!((&sum["packets"], &sum["delivered"]), (&2.into(), &2.into()), "{lines:?}");
    assert_eq!(places(&lines[0]), ["web", "front", "edge", "switch back", "db"], "{lines:?}");
    assert_eq!(places(&lines[1]), ["db", "switch back", "edge", "front", "web"], "{lines:?}");
    assert_eq!((&lines[0]["back"], &lines[1]["back"]), (&false.into(), &true.into()));

    // A policy drops it before it leaves; the line of the file is told.
    let child = follow(&netloom, &["--drops", "web", "db", "tcp/25", "--count", "1"]);
    netloom.run(&["exec", "web", "--", "timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/10.2.0.2/25"]);
    let (lines, _) = told(child);
    assert_eq!((&lines[0]["reason"], &lines[0]["place"]), (&"filtered".into(), &"web".into()), "{lines:?}");
    let line = NETWORK.lines().position(|line| line.contains("deny: web")).unwrap() + 1;
    let origin = lines[0]["origin"].as_str().unwrap();
    assert!(origin.contains(&format!("live.yaml:{line}:")), "{lines:?}");

    // A switch drops what comes from an address that its port does not allow.
    netloom.run(&["exec", "db", "--", "ip", "address", "add", "10.2.0.77/32", "dev", "eth0"]).expect(0);
    let child = follow(&netloom, &["--drops", "10.2.0.77", "web", "--count", "1"]);
    netloom.run(&["exec", "db", "--", "ping", "-c", "1", "-W", "1", "-I", "10.2.0.77", "10.1.0.2"]);
    let (lines, sum) = told(child);
    assert_eq!(lines[0]["reason"], "foreign-address", "{lines:?}");
    assert_eq!(lines[0]["place"], "switch back", "{lines:?}");
    assert_eq!(sum["reasons"]["foreign-address"], 1);

    // A flow drops it, and is told by its cookie.
    netloom.run(&["flow", "add", "live.back", "cookie=0x77,priority=9,icmp,actions=drop"]).expect(0);
    let child = follow(&netloom, &["--drops", "web", "db", "--count", "1"]);
    netloom.run(&["ping", "web", "db", "-c", "1"]).expect(1);
    let (lines, _) = told(child);
    assert_eq!(lines[0]["cookie"], "0x77", "{lines:?}");
    assert_eq!(lines[0]["reason"], "rule", "{lines:?}");
    netloom.run(&["flow", "del", "live.back", "icmp"]).expect(0);

    // Nobody says that it dropped it: the walk tells.
    netloom.run(&["exec", "edge", "--", "ip", "route", "add", "blackhole", "10.2.0.2"]).expect(0);
    let child = follow(&netloom, &["--drops", "web", "db", "--count", "1"]);
    netloom.run(&["ping", "web", "db", "-c", "1"]).expect(1);
    let (lines, _) = told(child);
    assert_eq!(
        (&lines[0]["reason"], &lines[0]["place"]),
        (&"route-refuses".into(), &"edge".into()),
        "{lines:?}"
    );
    netloom.run(&["exec", "edge", "--", "ip", "route", "del", "blackhole", "10.2.0.2"]).expect(0);

    // Nobody has the address of the next hop: it never leaves.
    let child = follow(&netloom, &["--drops", "web", "10.1.0.99", "--count", "1"]);
    netloom.run(&["exec", "web", "--", "ping", "-c", "1", "-W", "1", "10.1.0.99"]);
    let (lines, _) = told(child);
    assert_eq!(
        (&lines[0]["reason"], &lines[0]["place"]),
        (&"no-neighbour".into(), &"web".into()),
        "{lines:?}"
    );

    // All packets are followed without ends, alike ones are counted, and one that is killed leaves nothing.
    let mut child = follow(&netloom, &["--live"]);
    netloom.run(&["ping", "web", "db", "-c", "3"]).expect(0);
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("delivered"), "{first}");
    let tables = || netloom.run(&["exec", "edge", "--", "nft", "list", "tables"]);
    let has_nft = tables().code == Some(0);
    assert!(!has_nft || tables().out.contains("netloom_why."), "{}", tables().out);
    child.kill().unwrap();
    child.wait().unwrap();
    while has_nft && tables().out.contains("netloom_why.") {
        assert!(began.elapsed() < Duration::from_secs(120), "its table is left");
        std::thread::sleep(Duration::from_millis(20));
    }

    for wrong in [&["--live", "web"][..], &["--live", "web", "nobody"], &["--drops", "--file", &file]] {
        let mut all = vec!["why"];
        all.extend(wrong);
        assert!(netloom.run(&all).code != Some(0), "{wrong:?}");
    }
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}
