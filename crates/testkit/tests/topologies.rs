//! Random topologies are right whatever chance says, stay right when they are changed, and leave nothing of the
//! language out.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use netloom_model::document::Format;
use netloom_model::load::load;
use netloom_model::source::SourceFile;
use netloom_testkit::topologies::{Palette, Recipe, edits, features, recipe, topology};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};

/// Fails if anything is told about a recipe.
fn right(recipe: &Recipe) -> usize {
    let source = SourceFile::new("random.yaml", recipe.text());
    match load(&source, Format::Yaml, &BTreeMap::new()) {
        Ok(loaded) => {
            let told = loaded.warnings.render(&source, false);
            assert!(told.is_empty(), "{told}{}", source.text());
            loaded.validated.nodes().count()
        }
        Err(found) => panic!("{}{}", found.render(&source, false), source.text()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_topologies_are_right(recipe in recipe(Palette::every(), 24)) {
        right(&recipe);
    }

    #[test]
    fn changed_topologies_are_right(versions in edits(Palette::every(), 8, 6)) {
        versions.iter().for_each(|recipe| { right(recipe); });
    }

    #[test]
    fn common_ones_need_no_rare_kind(recipe in recipe(Palette::common(), 16)) {
        right(&recipe);
        let rare = ["vlan", "ipvlan", "geneve", "gre", "gretap", "wireguard", "dummy", "bond", "vrf", "ifb"];
        let found = features(&recipe.topology());
        for kind in rare {
            let words = [format!("kind {kind}"), format!("mode {kind}")];
            prop_assert!(words.iter().all(|word| !found.contains(word)), "{}", kind);
        }
        prop_assert!(!recipe.text().contains("geneve") && !recipe.text().contains("medium"));
    }
}

#[test]
fn nothing_of_the_language_is_left_out() {
    let mut runner = TestRunner::deterministic();
    let strategy = topology();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..120 {
        for feature in features(&strategy.new_tree(&mut runner).unwrap().current()) {
            *counts.entry(feature).or_default() += 1;
        }
    }
    println!("{counts:#?}");
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let words = "tap tun macvlan ipvlan vlan vxlan geneve gre gretap wireguard dummy bond vrf ifb veth";
    wanted.extend(words.split(' ').map(|word| format!("kind {word}")));
    let words = "bridge nat host-only routed overlay macvlan ipvlan";
    wanted.extend(words.split(' ').map(|word| format!("mode {word}")));
    let words = "linear star ring mesh partial-mesh tree three-tier leaf-spine fat-tree";
    wanted.extend(words.split(' ').map(|word| format!("generate {word}")));
    let words = "htb tbf bandwidth";
    wanted.extend(words.split(' ').map(|word| format!("qos {word}")));
    let words = "policies forwards groups tests defaults replicas routes nexthops rules vrfs firewall masquerade \
                 sysctls vlan trunk medium";
    wanted.extend(words.split_whitespace().map(str::to_owned));
    let missing: Vec<&String> = wanted.iter().filter(|word| !counts.contains_key(*word)).collect();
    assert!(missing.is_empty(), "never occurs: {missing:?}");
}

#[test]
fn some_have_hundreds_of_nodes() {
    let mut runner = TestRunner::deterministic();
    let strategy = recipe(Palette::every(), 40);
    let largest = (0..40).map(|_| right(&strategy.new_tree(&mut runner).unwrap().current())).max().unwrap();
    println!("largest: {largest} nodes");
    assert!(largest >= 200, "{largest}");
}

/// What is written out stays as it is, and every topology can be written as JSON and read back.
#[test]
fn expanding_twice_and_writing_change_nothing() {
    let mut runner = TestRunner::deterministic();
    let strategy = recipe(Palette::every(), 12);
    for _ in 0..40 {
        let recipe = strategy.new_tree(&mut runner).unwrap().current();
        let mut out = netloom_model::diagnostic::Diagnostics::new();
        let once = netloom_model::expand::expand(recipe.topology(), &mut out);
        let twice = netloom_model::expand::expand(once.clone(), &mut out);
        assert!(out.is_empty() && once == twice, "{}", recipe.text());
        let source = SourceFile::new("random.json", serde_json::to_string(&once).unwrap());
        let read = load(&source, Format::Json, &BTreeMap::new());
        let read = read.unwrap_or_else(|found| panic!("{}", found.render(&source, false)));
        assert_eq!(*read.validated.topology(), once);
    }
}
