//! `netloom bench dataplane` as a user meets it, for moments only: what it prints is whole, and its sums are right. Nothing
//! here depends on how fast the machine is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use netloom_testkit::rig;
use serde_json::Value;
use std::process::Command;

fn run(arguments: &[&str]) -> Result<Value, String> {
    let mut command = Command::new(netloom_testkit::program(env!("CARGO_BIN_EXE_netloom")));
    command.args(["bench", "dataplane", "-o", "json"]).args(arguments);
    for name in ["NETLOOM_RUN_DIR", "NETLOOM_STATE_DIR", "NETLOOM_ROOTLESS"] {
        command.env_remove(name);
    }
    let done = command.output().unwrap();
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&done.stdout).unwrap())
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {value:#}"))
}

#[test]
fn every_mode_carries_everything_without_a_limit() {
    for mode in ["io", "mac", "macswap", "5tswap", "rxonly", "switch", "rules"] {
        let got = run(&["--mode", mode, "--seconds", "0.1", "--flows", "50", "--size", "imix"]).unwrap();
        let median = &got["median"];
        assert!(number(median, "/delivered") > 0.0, "{mode}: {got:#}");
        assert_eq!(number(median, "/lost"), 0.0, "{mode}: {got:#}");
        assert_eq!(number(median, "/offered"), number(median, "/delivered"), "{mode}");
        assert_eq!(number(median, "/overtaken"), 0.0, "{mode}");
        let worker = ["switch", "rules"].contains(&mode);
        assert_eq!(median["lookup"].is_object(), worker, "{mode}");
        assert_eq!(median["delay"].is_object(), mode != "rxonly", "{mode}");
        assert!(number(median, "/costs/receive") >= 0.0);
    }
}

#[test]
fn a_rate_is_kept_and_what_is_lost_is_counted() {
    // Two frames wait at most, and the rate is far beyond any machine's: most are lost, and each is counted.
    let got = run(&["--rate", "10gpps", "--seconds", "0.1", "--queue", "2"]).unwrap();
    let median = &got["median"];
    assert!(number(median, "/lost") > 0.0 && number(median, "/lost") == number(median, "/missed"), "{got:#}");
    assert_eq!(number(median, "/offered"), number(median, "/delivered") + number(median, "/lost"));
    let got = run(&["--rate", "1kpps", "--seconds", "0.3"]).unwrap();
    let (offered, seconds) = (number(&got, "/median/offered"), number(&got, "/median/seconds"));
    assert!(offered <= seconds * 1000.0 + 1.0, "{got:#}");
}

#[test]
fn rules_make_flows_and_masks_and_new_flows_are_counted() {
    let got =
        run(&["--mode", "rules", "--rules", "200", "--masks", "10", "--flows", "300", "--seconds", "0.1"]);
    let got = got.unwrap();
    assert_eq!(number(&got, "/median/asked"), 0.0, "all flows are known: {got:#}");
    assert!(number(&got, "/median/flows") >= 10.0 && number(&got, "/median/masks") >= 1.0, "{got:#}");
    let got = run(&["--mode", "rules", "--rules", "200", "--traffic", "new", "--seconds", "0.1"]).unwrap();
    assert!(number(&got, "/median/asked") > 0.0, "{got:#}");
    let got = run(&["--traffic", "stations", "--flows", "100", "--seconds", "0.1"]).unwrap();
    assert_eq!(number(&got, "/median/flows"), 100.0, "{got:#}");
}

#[test]
fn a_search_ends_within_its_resolution_and_an_attack_is_compared() {
    let got = run(&["--search", "--seconds", "0.05", "--resolution", "25%", "--mode", "io"]).unwrap();
    let (most, rate) = (number(&got, "/unlimited/mpps") * 1e6, number(&got, "/found/rate"));
    let failed = got.pointer("/found/failed").and_then(Value::as_f64);
    assert!(failed.is_none_or(|failed| failed - rate <= most * 0.25 * 1.001), "{got:#}");
    let got = run(&["--attack", "--seconds", "0.05", "--runs", "2"]).unwrap();
    assert_eq!(got["attacked_share"].as_array().unwrap().len(), 2);
    let share = got["share"].as_array().unwrap();
    assert!(share.iter().all(|share| share.as_f64().unwrap() > 0.0), "{got:#}");
}

#[test]
fn what_makes_no_sense_is_refused_with_a_way_out() {
    for (arguments, word) in [
        (&["--ports", "memory", "--mode", "flowgen"][..], "memory"),
        (&["--rate", "5"], "rate"),
        (&["--size", "10"], "size"),
        (&["--seconds", "0"], "seconds"),
        (&["--ports", "nonsense:a=b", "tap:dev=x"], "nonsense"),
        (&["--ports", "tap:dev", "tap:dev=x"], "port"),
        (&["--attack", "--mode", "io"], "attack"),
        (&["--ports", "afpacket:dev=x", "afpacket:dev=y", "--rate", "1kpps"], "generator"),
    ] {
        let error = run(arguments).expect_err("refused");
        assert!(error.contains(word), "{arguments:?}: {error}");
    }
}

#[test]
fn frames_cross_real_ports() {
    rig::isolated(|rig| {
        let ip = |words: &[&str]| rig.run("ip", words).filter(|done| done.status.success());
        let veth = |index: u32| {
            let (one, other) = (format!("nlb{index}"), format!("nlb{index}p"));
            ip(&["link", "add", &one, "type", "veth", "peer", "name", &other])?;
            ip(&["link", "set", &one, "up"])?;
            ip(&["link", "set", &other, "up"])
        };
        if veth(0).is_none() || veth(1).is_none() {
            netloom_testkit::skip!("no ip, or this user can't make veth pairs");
            return;
        }
        let ports = ["--ports", "afpacket:dev=nlb0", "afpacket:dev=nlb1"];
        let tester = ["--tester", "afpacket:dev=nlb0p", "afpacket:dev=nlb1p"];
        let pace = ["--rate", "2kpps", "--seconds", "0.3", "--flows", "10"];
        for mode in ["io", "switch"] {
            let arguments = [&ports[..], &tester, &pace, &["--mode", mode]].concat();
            let got = run(&arguments).unwrap();
            assert!(number(&got, "/median/delivered") > 0.0, "{got:#}");
            assert_eq!(number(&got, "/median/lost"), 0.0, "{got:#}");
            assert!(number(&got, "/median/delay/p50") > 0.0, "{got:#}");
        }
        // One end of a cable to the other, with nothing of ours between.
        let cable = ["--ports", "afpacket:dev=nlb0", "afpacket:dev=nlb0p", "--mode", "flowgen"];
        let got = run(&[&cable[..], &pace].concat()).unwrap();
        assert!(number(&got, "/median/delivered") > 0.0 && number(&got, "/median/lost") == 0.0, "{got:#}");
        // Forwarding for others: nobody sends.
        run(&[&ports[..], &["--mode", "io", "--seconds", "0.1"]].concat()).unwrap();
    });
}
