//! Media and rates of networks that are `via: switch`: the switch simulates the cables, whatever the kernel can do.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::Netloom;
use netloom_testkit::rig::{self, Rig};

const CABLES: &str = "
netloom: 1
name: cables
networks:
  lan: { via: switch, subnet: 10.1.0.0/24 }
endpoints:
  near: { interfaces: { eth0: { network: lan, address: 10.1.0.1/24 } } }
  far: { interfaces: { eth0: { network: lan, address: 10.1.0.2/24, medium: { delay: 20ms } } } }
  slow: { interfaces: { eth0: { network: lan, address: 10.1.0.3/24 } } }
qos:
  - { on: 'slow:eth0', bandwidth: { inbound: { average: 64, burst: 4 } } }
";

/// The shortest and the longest round trip in milliseconds, and how many answers came to ten questions.
fn round_trips(rig: &Rig, from: &str, to: &str) -> (f64, f64, usize) {
    let output = rig.run_in(from, "ping", &["-n", "-c", "10", "-i", "0.05", "-W", "1", to]).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let times: Vec<f64> = text
        .split("time=")
        .skip(1)
        .map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap())
        .collect();
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    (least, times.iter().copied().fold(0.0, f64::max), times.len())
}

#[test]
fn cables_delay_and_hold_to_rates_and_are_kept_so() {
    rig::isolated(|rig| {
        if rig.run("ping", &["-V"]).is_none() {
            netloom_testkit::skip!("no ping");
            return;
        }
        let netloom = Netloom::on_host(rig);
        let file = netloom.file("cables.yaml", CABLES);
        netloom.run(&["apply", "--no-tests", &file]).expect(0);
        netloom.run(&["plan", &file]).expect(0);
        // Twice the delay; the machine may be busy, but not always.
        let (least, _, answers) = round_trips(rig, "cables.near", "10.1.0.2");
        assert!((40.0..50.0).contains(&least) && answers == 10, "{least} {answers}");
        let (direct, ..) = round_trips(rig, "cables.near", "10.1.0.3");
        assert!(direct < 10.0, "{direct}");
        // 64 KiB a second: thirty packets of 1042 octets less a burst of four take 0.41 s.
        let began = std::time::Instant::now();
        let words = ["-n", "-c", "30", "-i", "0.002", "-s", "1000", "-W", "3", "10.1.0.3"];
        let output = rig.run_in("cables.near", "ping", &words).unwrap();
        let (took, text) = (began.elapsed().as_millis(), String::from_utf8(output.stdout).unwrap());
        // It does not always wait for the last answer.
        let answers = text.matches("time=").count();
        assert!(answers >= 29 && (390..2000).contains(&took), "{took} {text}");

        // What is changed by hand is seen, and what the file changes is done without taking the port away.
        let links = || netloom.run(&["link", "list"]).expect(0);
        assert!(links().contains("delay-in=20ms") && links().contains("burst-out=4KiB"), "{}", links());
        netloom.run(&["link", "set", "cables.far.eth0", "delay-in=1ms", "loss=50%"]).expect(0);
        let plan = netloom.run(&["plan", &file]).expect(3);
        assert!(plan.contains("loss=50%") && plan.contains("-> delay-in=20ms delay-out=20ms"), "{plan}");
        netloom.run(&["apply", "--no-tests", &file]).expect(0);
        let (least, _, answers) = round_trips(rig, "cables.near", "10.1.0.2");
        assert!((40.0..50.0).contains(&least) && answers == 10, "{least} {answers}");
        let text = CABLES.replace("delay: 20ms", "delay: 5ms, loss: 100%");
        let second = netloom.file("second.yaml", &text);
        let plan = netloom.run(&["plan", &second]).expect(2);
        assert!(plan.contains("~ switch port far:eth0"), "{plan}");
        netloom.run(&["apply", "--no-tests", &second]).expect(0);
        assert_eq!(round_trips(rig, "cables.near", "10.1.0.2").2, 0);
        let third = netloom.file("third.yaml", &CABLES.replace(", medium: { delay: 20ms }", ""));
        netloom.run(&["apply", "--no-tests", &third]).expect(0);
        let (least, ..) = round_trips(rig, "cables.near", "10.1.0.2");
        assert!(least < 10.0, "{least}");
        netloom.run(&["destroy"]).expect(0);
        netloom.assert_nothing_left();
    });
}
