//! `why` as a user meets it: on a network that runs, without root.

mod common;

use common::Netloom;
use std::time::{Duration, Instant};

const NETWORK: &str = "
netloom: 1
name: shop
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
  db: { networks: [back] }
";

#[test]
fn the_way_out_that_is_proposed_is_one() {
    let netloom = Netloom::rootless("why");
    if !netloom.is_possible("the_way_out_that_is_proposed_is_one") {
        return;
    }
    let file = netloom.file("shop.yaml", NETWORK);
    // Before anything runs the file alone tells.
    let before = netloom.run(&["why", "--file", &file, "web", "db", "tcp/5432"]).expect(0);
    assert!(before.contains("switch back passes it from edge:eth1 to db:eth0"), "{before}");

    netloom.run(&["apply", "--no-tests", "--no-daemon", &file]).expect(0);
    // Ports of a bridge open a moment after their cables are connected.
    let began = Instant::now();
    while netloom.run(&["why", "web", "db"]).code != Some(0) && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let up = netloom.run(&["why", "web", "db"]).expect(0);
    assert!(up.starts_with("✓ web reaches db by ping"), "{up}");
    assert_eq!(netloom.run(&["why", "web", "db", "tcp/5432"]).code, Some(4), "nobody listens");
    netloom.run(&["why", "web", "db", "tcp/5432", "--no-listener"]).expect(0);

    // What it says is so, and what it proposes helps. A route of somebody else's is not healed away meanwhile.
    netloom.run(&["exec", "edge", "--", "ip", "route", "add", "blackhole", "10.2.0.2"]).expect(0);
    let lost = netloom.run(&["why", "web", "db", "-o", "json"]).expect(4);
    let report: serde_json::Value = serde_json::from_str(&lost).unwrap();
    assert_eq!(report["verdict"], "lost", "{lost}");
    assert_eq!(report["reason"], "route-refuses", "{lost}");
    let first = report["forward"][0]["origin"].as_str().unwrap();
    assert!(first.contains("shop.yaml:"), "{lost}");
    netloom.run(&["ping", "web", "db", "-c", "1"]).expect(1);
    let how = report["changes"][0]["how"].as_array().unwrap();
    let command = how.last().unwrap().as_str().unwrap().strip_prefix("netloom ").unwrap().to_owned();
    netloom.run(&command.split(' ').collect::<Vec<_>>()).expect(0);
    let began = Instant::now();
    while netloom.run(&["why", "web", "db"]).code != Some(0) && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(50));
    }
    netloom.run(&["why", "web", "db"]).expect(0);
    netloom.run(&["ping", "web", "db", "-c", "1"]).expect(0);

    // Flows of somebody's controller decide, and are named by their cookie.
    let flow = netloom.run(&["why", "--flow", "icmp,nw_src=10.1.0.2,nw_dst=10.2.0.2"]);
    assert!(matches!(flow.code, Some(0 | 1 | 4)), "{} {}", flow.out, flow.err);
    let trace = netloom.run(&["trace", "shop.back", "in_port=1,arp"]).expect(0);
    assert!(trace.contains("bridge(\"shop.back\")"), "{trace}");

    // Words that mean nothing are told so.
    for wrong in [["web", "nobody", "icmp"], ["web", "db", "tcp"], ["web", "db", "smoke/signals"]] {
        let ran = netloom.run(&["why", wrong[0], wrong[1], wrong[2]]);
        assert_eq!(ran.code, Some(1), "{wrong:?}: {} {}", ran.out, ran.err);
    }
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}
