//! Many flows: in one file, in one bundle, in one answer. Figures are printed (`--nocapture`), and a generous bound is held.

use super::places::{Place, Whose, has};
use std::fmt::Write;
use std::time::{Duration, Instant};

fn file(place: &Place, count: u32) -> String {
    let mut text = String::new();
    for number in 0..count {
        let [_, a, b, c] = number.to_be_bytes();
        let _ = writeln!(text, "priority=100,ip,nw_dst=10.{a}.{b}.{c},actions=output:2");
    }
    let path = place.path().join(format!("flows-{count}"));
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn timed(what: &str, place: &Place, words: &[&str]) -> (Duration, String) {
    let began = Instant::now();
    let said = place.ofctl(words);
    let took = began.elapsed();
    eprintln!("{:?}: {what}: {took:?}", place.whose());
    (took, said)
}

fn flows(count: u32, places: &[Place]) -> Vec<[Duration; 3]> {
    places
        .iter()
        .map(|place| {
            let path = file(place, count);
            let (bundle, said) =
                timed("a bundle", place, &["-O", "OpenFlow14", "--bundle", "add-flows", "br0", &path]);
            assert_eq!(said, "");
            assert!(place.ofctl(&["dump-aggregate", "br0"]).contains(&format!("flow_count={count}")));
            let (dump, said) = timed("a dump", place, &["dump-flows", "br0"]);
            assert_eq!(said.lines().filter(|line| line.contains("actions=")).count(), count as usize);
            assert_eq!(place.ofctl(&["del-flows", "br0"]), "");
            let (single, said) = timed("one by one", place, &["add-flows", "br0", &path]);
            assert_eq!(said, "");
            assert!(place.ofctl(&["dump-aggregate", "br0"]).contains(&format!("flow_count={count}")));
            assert_eq!(place.ofctl(&["del-flows", "br0"]), "");
            [bundle, dump, single]
        })
        .collect()
}

#[test]
fn many_flows_come_and_are_told() {
    if !has("ovs-ofctl") {
        return;
    }
    let [bundle, dump, single] = flows(3000, &[Place::new(Whose::Netloom)])[0];
    // The tool's own time is in it, and this program may not be optimized.
    assert!(bundle + dump + single < Duration::from_secs(60));
}

/// For an optimized program: `cargo test --release -p netloom --test ovs_ofctl -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn beside_open_vswitch() {
    if !has("ovs-ofctl") || !has("ovs-vswitchd") {
        return;
    }
    let places = [Place::new(Whose::Netloom), Place::new(Whose::OpenVswitch)];
    for count in [10_000, 100_000] {
        eprintln!("{count} flows");
        flows(count, &places);
    }
}
