//! While a spanning tree finds its shape, the kernel shows other times of a bridge than those that were set. That
//! must neither look like a change by hand nor keep a change of the file from being made.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::Netloom;
use netloom_testkit::rig::{self, Rig};
use std::time::{Duration, Instant};

/// Two switches with times of their own; the first becomes the root.
const TREE: &str = "
netloom: 1
name: tree
networks:
  one: { bridge: { stp: true, priority: 4096, forward-delay: 2s, hello-time: 1s, max-age: 6s, ageing: 100s } }
  two: { bridge: { stp: true, priority: 8192, forward-delay: 3s, hello-time: 2s, max-age: 9s, ageing: 200s } }
links:
  - 'one:to-two -- two:to-one'
";

/// What `ip` tells of a bridge.
fn bridge(rig: &Rig, name: &str) -> serde_json::Value {
    let output = rig.run_in(&format!("tree.{name}"), "ip", &["-j", "-d", "link", "show", name]).unwrap();
    let links: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    links[0]["linkinfo"]["info_data"].clone()
}

#[track_caller]
fn wait_for(what: &str, found: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !found() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_tree_that_changes_is_no_change() {
    rig::isolated(|rig| {
        if rig.run("ip", &["-V"]).is_none() {
            netloom_testkit::skip!("iproute2 is not installed");
            return;
        }
        let netloom = Netloom::on_host(rig);
        let first = netloom.file("first.yaml", TREE);
        netloom.run(&["apply", "--no-tests", &first]).expect(0);
        wait_for("the second switch takes the times of the root", || bridge(rig, "two")["max_age"] == 600);
        netloom.run(&["plan", &first]).expect(0);
        wait_for("the tree changes", || bridge(rig, "one")["topology_change"] == 1);
        assert_eq!(bridge(rig, "one")["ageing_time"], 400, "twice the forward delay");
        netloom.run(&["plan", &first]).expect(0);

        // What is described anew is set although nothing of it can be seen now.
        let second = TREE.replace("ageing: 100s", "ageing: 150s").replace("max-age: 9s", "max-age: 10s");
        let second = netloom.file("second.yaml", &second);
        netloom.run(&["plan", &second]).expect(2);
        netloom.run(&["apply", "--no-tests", &second]).expect(0);
        netloom.run(&["plan", &second]).expect(0);
        wait_for("the tree rests", || bridge(rig, "one")["topology_change"] == 0);
        assert_eq!(bridge(rig, "one")["ageing_time"], 15000);
        netloom.run(&["plan", &second]).expect(0);
        // Without its link the second switch is a root, with its own times.
        let cut = rig.run_in("tree.two", "ip", &["link", "set", "to-one", "down"]).unwrap();
        assert!(cut.status.success());
        wait_for("the second switch is a root", || bridge(rig, "two")["max_age"] == 1000);
        assert_eq!(bridge(rig, "two")["forward_delay"], 300);
        netloom.run(&["destroy", "tree"]).expect(0);
        netloom.assert_nothing_left();
    });
}
