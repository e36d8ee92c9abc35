//! The tests that are in the examples' files are true (other suites send the packets): the description alone must say the same.

use netloom_compile::object::firewall::Protocol;
use netloom_compile::{Check, Context};
use netloom_control::why::{Packet, Question, Wishes, explain, scene_of};
use netloom_model::scalar;
use std::path::PathBuf;

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for directory in ["examples", "examples/full-kernel"] {
        let entries = std::fs::read_dir(netloom_testkit::project_file(directory)).unwrap();
        files.extend(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())));
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

#[test]
fn the_description_says_what_the_files_tests_say() {
    let (mut agreed, mut lost, mut wrong) = (0, 0, Vec::new());
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let compiled = crate::compiled(&name, &text, &Context::default()).unwrap();
        let scene = scene_of(&compiled.desired, &compiled.interfaces);
        for test in &compiled.tests {
            let Check::Reach { from, to, service, reachable } = &test.check else { continue };
            let (protocol, port) = match (service.protocol, service.ports) {
                (scalar::Protocol::Icmp, _) if to.address.is_ipv6() => (Protocol::ICMPV6, None),
                (scalar::Protocol::Icmp, _) => (Protocol::ICMP, None),
                (scalar::Protocol::Udp, ports) => (Protocol::UDP, ports.map(|(port, _)| port)),
                (scalar::Protocol::Sctp, ports) => (Protocol::SCTP, ports.map(|(port, _)| port)),
                (_, ports) => (Protocol::TCP, Some(ports.map_or(80, |(port, _)| port))),
            };
            let unspecified = if to.address.is_ipv4() { "0.0.0.0" } else { "::" };
            let mut packet = Packet::opening(protocol, unspecified.parse().unwrap(), to.address);
            packet.destination_port = port;
            let question = Question {
                from: from.clone(),
                from_name: from.to_string(),
                to_name: to.address.to_string(),
                packet,
                back: true,
                listens: false,
            };
            let report = explain(&scene, Wishes(Some(&compiled.desired)), &question);
            // A machine's own system is not looked into; what is asked is the network.
            let passes = report.passes() || report.verdict == netloom_control::why::Verdict::Unsure;
            // What a router takes for itself has not reached who is behind it.
            let there = report.forward.last().map(|step| step.space.clone());
            let passes =
                passes && to.node.as_ref().is_none_or(|node| there.as_deref() == Some(node.as_str()));
            if passes == *reachable {
                agreed += 1;
                lost += usize::from(!passes);
            } else {
                wrong.push(format!("{name}: {}\n{}", test.name, report.text()));
            }
        }
    }
    println!(
        "the examples' own tests: {agreed} agreed ({lost} of them lost packets), {} did not",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(agreed > 100 && lost > 20, "{agreed} agreed, {lost} lost: too few to mean anything");
}
