//! The document stages with the real language: every format of its schema has a parser, mutated files are told
//! with places, and names keep theirs.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod document_language;

use document_language::mutation::{mutate, mutations};
use netloom_model::document::{Format, Structure, decode, decode_with};
use netloom_model::scalar::check_format;
use netloom_model::source::SourceFile;
use netloom_model::topology::Topology;
use proptest::strategy::{Strategy as _, ValueTree as _};
use std::collections::{BTreeMap, BTreeSet};

const GOOD: &str = r#"netloom: 1
name: shop
description: A small shop.
vars: {lan: 10.0.1.0/24, mtu: 1400}
defaults: {mtu: "${mtu}"}
groups:
  front: [web, cache]
endpoints:
  web:
    networks: [lan]
    sysctls: {net.ipv4.ip_forward: 0, net.core.somaxconn: "4096"}
    run:
      - command: [sleep, "1000"]
  cache: {networks: lan}
  db:
    interfaces:
      eth0: {network: back, address: 10.0.2.9/24, mac: 02:00:00:00:00:09}
routers:
  gw:
    interfaces:
      eth0: {network: lan}
      eth1: {network: back}
    routes:
      - {to: 10.9.0.0/16, via: 10.0.2.9}
      - {to: 10.8.0.0/16, action: blackhole}
networks:
  lan: {mode: bridge, subnet: "${lan}"}
  back: {mode: nat, subnet: [10.0.2.0/24]}
links:
  - web:eth9 -- db:eth9
  - {link: "web:eth8 -- db:eth8", kind: veth, mtu: 9000}
"#;

#[test]
fn every_format_of_the_schema_has_a_parser() {
    fn collect(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
        match schema {
            serde_json::Value::Object(keywords) => {
                let text = match keywords.get("type") {
                    Some(serde_json::Value::Array(types)) => types.iter().any(|kind| kind == "string"),
                    Some(kind) => kind == "string",
                    None => true,
                };
                if let (true, Some(serde_json::Value::String(format))) = (text, keywords.get("format")) {
                    found.insert(format.clone());
                }
                keywords.values().for_each(|below| collect(below, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|below| collect(below, found)),
            _ => {}
        }
    }
    let mut formats = BTreeSet::new();
    collect(schemars::schema_for!(Topology).as_value(), &mut formats);
    assert!(formats.len() > 10, "{formats:?}");
    let unknown: Vec<_> = formats.iter().filter(|format| check_format(format, "\u{1}").is_none()).collect();
    assert!(unknown.is_empty(), "no parser for {unknown:?}");
}

#[test]
fn a_good_topology_keeps_the_places_of_its_names() {
    let source = SourceFile::new("good.yaml", GOOD);
    let decoded = decode::<Topology>(&source, Format::Yaml, &BTreeMap::new(), &check_format);
    let (topology, _) = decoded.unwrap_or_else(|found| panic!("{}", found.render(&source, false)));
    for (name, node) in &topology.endpoints {
        assert_eq!(source.slice(name.span), name.as_str());
        for network in node.networks.iter() {
            assert_eq!(source.slice(network.span), network.as_str());
        }
    }
    assert_eq!(source.slice(topology.links[0].span), "web:eth9 -- db:eth9");
    assert_eq!(source.slice(topology.networks["lan"].subnet[0].span), "\"${lan}\"");
    assert_eq!(source.slice(topology.networks["back"].subnet[0].span), "10.0.2.0/24");
}

#[test]
fn ten_thousand_mutated_topologies_are_told_with_places() {
    let structure = Structure::of::<Topology>();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = mutations();
    let (mut good, mut bad, mut not_text) = (0, 0, 0);
    for _ in 0..10_000 {
        let bytes = mutate(GOOD, &strategy.new_tree(&mut runner).unwrap().current());
        let Ok(source) = SourceFile::from_bytes("f", &bytes) else {
            not_text += 1;
            continue;
        };
        let decoded =
            decode_with::<Topology>(&structure, &source, Format::Yaml, &BTreeMap::new(), &check_format);
        match decoded {
            Ok(_) => good += 1,
            Err(found) => {
                bad += 1;
                assert!(found.has_errors());
                for finding in &found {
                    let span = finding.span.unwrap_or_else(|| panic!("{finding:?} has no place"));
                    assert!(source.text().get(span.range()).is_some(), "{finding:?}");
                }
                assert!(!found.render(&source, false).is_empty());
            }
        }
    }
    println!("10000 mutated topologies: {good} still good, {bad} refused with places, {not_text} not text");
    assert!(good > 100 && bad > 5000);
}
