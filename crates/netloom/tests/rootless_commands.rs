//! The commands as a user meets them, on a small network without root.

mod common;

use common::Netloom;

const NETWORK: &str = "
netloom: 1
name: small
networks:
  lan: { mode: host-only, subnet: 10.1.0.0/24 }
endpoints:
  a: { interfaces: { eth0: { network: lan, address: 10.1.0.10/24 } } }
  b: { networks: [lan] }
tests:
  - { reach: a -> b }
";

#[test]
fn from_plan_to_destroy() {
    let netloom = Netloom::rootless("commands");
    if !netloom.is_possible("from_plan_to_destroy") {
        return;
    }
    let file = netloom.file("small.yaml", NETWORK);
    assert!(netloom.run(&["validate", &file]).expect(0).contains("topology `small`"));
    let plan = netloom.run(&["plan", &file]).expect(2);
    assert!(plan.contains("+ namespace") && plan.contains("small.yaml:"), "{plan}");
    let out = netloom.run(&["apply", &file]).expect(0);
    assert!(out.contains("1 of 1 tests passed") && out.contains("netloom destroy"), "{out}");
    netloom.run(&["plan", &file]).expect(0);

    let inspect = netloom.run(&["inspect"]).expect(0);
    assert!(inspect.contains("10.1.0.10/24"), "{inspect}");
    let json = netloom.run(&["ps", "-o", "json"]).expect(0);
    assert!(json.trim_start().starts_with(['[', '{']), "{json}");
    assert!(netloom.run(&["ping", "a", "b", "-c", "1"]).expect(0).contains("1 answered"));
    let out = netloom.run(&["exec", "a", "--", "cat", "/proc/net/dev"]).expect(0);
    assert!(out.contains("eth0"), "{out}");
    assert_eq!(netloom.run(&["exec", "c", "--", "true"]).code, Some(1));
    netloom.run(&["test"]).expect(0);
    for format in ["ascii", "svg", "html", "mermaid", "dot", "drawio"] {
        assert!(netloom.run(&["graph", "-f", format]).expect(0).contains("lan"), "{format}");
    }

    // A change is applied without touching what did not change.
    let changed = netloom.file("small.yaml", &NETWORK.replace("10.1.0.10/24", "10.1.0.20/24"));
    let plan = netloom.run(&["plan", &changed]).expect(2);
    assert!(!plan.contains("namespace"), "only the address changes: {plan}");
    netloom.run(&["apply", "--no-tests", &changed]).expect(0);
    assert!(netloom.run(&["inspect"]).expect(0).contains("10.1.0.20/24"));
    let history = netloom.run(&["history"]).expect(0);
    assert!(history.contains("* ") && history.lines().count() == 3, "{history}");
    netloom.run(&["rollback", "1"]).expect(0);
    assert!(netloom.run(&["inspect"]).expect(0).contains("10.1.0.10/24"));

    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
    netloom.run(&["destroy"]).expect(0);
}

#[test]
fn mistakes_are_told_with_their_place_and_change_nothing() {
    let netloom = Netloom::rootless("mistakes");
    let file = netloom.file("bad.yaml", &NETWORK.replace("subnet", "subnot").replace("a -> b", "a -> c"));
    let ran = netloom.run(&["apply", &file]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("bad.yaml:5:") && ran.err.contains("did you mean `subnet`"), "{}", ran.err);
    netloom.assert_nothing_left();
}

#[test]
fn an_unconfirmed_apply_undoes_itself() {
    let netloom = Netloom::rootless("confirm");
    if !netloom.is_possible("an_unconfirmed_apply_undoes_itself") {
        return;
    }
    let file = netloom.file("small.yaml", NETWORK);
    netloom.run(&["apply", "--no-tests", &file]).expect(0);
    let changed = netloom.file("small.yaml", &NETWORK.replace("10.1.0.10/24", "10.1.0.20/24"));
    netloom.run(&["apply", "--no-tests", "--confirm", "1s", &changed]).expect(0);
    wait_for(|| netloom.run(&["inspect"]).out.contains("10.1.0.10/24"));
    netloom.run(&["apply", "--no-tests", "--confirm", "60s", &changed]).expect(0);
    netloom.run(&["confirm"]).expect(0);
    assert!(netloom.run(&["inspect"]).expect(0).contains("10.1.0.20/24"));
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}

#[test]
fn what_is_changed_by_hand_is_put_back() {
    let netloom = Netloom::rootless("heal");
    if !netloom.is_possible("what_is_changed_by_hand_is_put_back") {
        return;
    }
    if std::process::Command::new("ip").arg("-V").output().is_err() {
        netloom_testkit::skip!("iproute2 is not installed");
        return;
    }
    let file = netloom.file("small.yaml", NETWORK);
    netloom.run(&["apply", &file]).expect(0);
    netloom.run(&["exec", "a", "--", "ip", "addr", "del", "10.1.0.10/24", "dev", "eth0"]).expect(0);
    wait_for(|| {
        netloom.run(&["inspect"]).out.contains("10.1.0.10/24") && netloom.run(&["test"]).code == Some(0)
    });
    netloom.run(&["exec", "a", "--", "ip", "link", "del", "eth0"]).expect(0);
    wait_for(|| netloom.run(&["test"]).code == Some(0));
    let events = netloom.run(&["events"]).expect(0);
    assert!(events.contains("a:eth0"), "{events}");
    netloom.run(&["destroy"]).expect(0);
    netloom.assert_nothing_left();
}

/// Waits for a state, up to 20 seconds.
#[track_caller]
fn wait_for(state: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !state() {
        assert!(began.elapsed().as_secs() < 20, "the state did not come");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
