//! What holds for every topology: laws of the table, determinism, and that a change touches only what it
//! speaks of.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, though not in a test function")]

mod common;

use common::{check_laws, compiled, try_compile};
use netloom_compile::object::{Comparison, Key, Object, compare};
use netloom_compile::{Compiled, Context};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A topology that any choice of numbers makes a valid file of.
#[derive(Debug, Clone)]
struct Lab {
    /// Mode and whether there is an IPv6 subnet.
    networks: Vec<(u8, bool)>,
    /// Networks of each endpoint; the name is the place in the list.
    endpoints: BTreeMap<usize, BTreeSet<usize>>,
    routers: Vec<BTreeSet<usize>>,
    /// Pairs of endpoints.
    links: BTreeSet<(usize, usize)>,
    policies: Option<u8>,
}

fn labs() -> impl Strategy<Value = Lab> {
    let networks = proptest::collection::vec((0u8..6, any::<bool>()), 1..5);
    networks.prop_flat_map(|networks| {
        let count = networks.len();
        let attached = || proptest::collection::btree_set(0..count, 0..=count.min(3));
        let endpoints = proptest::collection::vec(attached(), 1..9);
        let routers = proptest::collection::vec(attached(), 0..3);
        let links = proptest::collection::btree_set((0usize..8, 0usize..8), 0..5);
        (endpoints, routers, links, proptest::option::of(0u8..3)).prop_map(
            move |(endpoints, routers, links, policies)| {
                let nodes = endpoints.len();
                let links = links.into_iter().filter(|(a, b)| a < b && *b < nodes).collect();
                let endpoints = endpoints.into_iter().enumerate().collect();
                Lab { networks: networks.clone(), endpoints, routers, links, policies }
            },
        )
    })
}

impl Lab {
    fn yaml(&self) -> String {
        let mut text = "netloom: 1\nname: lab\nnetworks:\n".to_owned();
        for (index, (mode, v6)) in self.networks.iter().enumerate() {
            let mode = match (mode, index) {
                (0, _) => "mode: bridge".to_owned(),
                (1, _) => "mode: host-only".to_owned(),
                (2, _) => "mode: nat, uplink: host".to_owned(),
                (3, _) => "mode: routed, uplink: host".to_owned(),
                // A network below the first one, if that can be above.
                (4, 1..) => "mode: nat, uplink: n0".to_owned(),
                (5, 1..) => "mode: routed, uplink: n0".to_owned(),
                _ => "mode: bridge".to_owned(),
            };
            let subnets = if *v6 {
                format!("[10.{index}.0.0/24, \"fd00:{index}::/64\"]")
            } else {
                format!("10.{index}.0.0/24")
            };
            let _ = writeln!(text, "  n{index}: {{ {mode}, subnet: {subnets} }}");
        }
        text.push_str("endpoints:\n");
        for (name, networks) in &self.endpoints {
            let _ = writeln!(text, "  e{name}: {{ {} }}", interfaces(networks));
        }
        if !self.routers.is_empty() {
            text.push_str("routers:\n");
        }
        for (index, networks) in self.routers.iter().enumerate() {
            let _ = writeln!(text, "  r{index}: {{ {} }}", interfaces(networks));
        }
        let links: Vec<_> = self
            .links
            .iter()
            .filter(|(a, b)| self.endpoints.contains_key(a) && self.endpoints.contains_key(b))
            .collect();
        if !links.is_empty() {
            text.push_str("links:\n");
        }
        for (a, b) in links {
            let net = a * 8 + b;
            let _ = writeln!(
                text,
                "  - {{ link: \"e{a}:to-{b} -- e{b}:to-{a}\", addresses: [172.16.{net}.1/30, 172.16.{net}.2/30] }}"
            );
        }
        if let Some(stance) = self.policies {
            let stance = ["allow", "deny", "reject"][usize::from(stance)];
            let _ = writeln!(text, "policies:\n  default: {stance}\n  rules:");
            text.push_str("    - { allow: any -> e0, services: [icmp, tcp/80] }\n");
            text.push_str("    - { deny: 10.0.0.0/25 -> n0, services: udp/53 }\n");
        }
        text
    }
}

fn interfaces(networks: &BTreeSet<usize>) -> String {
    let list = networks.iter().map(|network| format!("n{network}_: {{ network: n{network} }}"));
    format!("interfaces: {{ {} }}", list.collect::<Vec<_>>().join(", "))
}

/// Objects with other keys, or another content, or another owner. Places in the file may move.
fn differences(before: &Compiled, after: &Compiled, but: &str) -> Vec<String> {
    let wanted = |compiled: &Compiled| -> BTreeMap<Key, Object> {
        let others = compiled.desired.objects.iter().filter(|(_, object)| &*object.owner.part != but);
        others.map(|(key, object)| (key.clone(), object.clone())).collect()
    };
    let (before, after) = (wanted(before), wanted(after));
    let mut found = Vec::new();
    for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        match (before.get(key), after.get(key)) {
            (Some(a), Some(b)) => {
                if compare(&a.spec, &b.spec) != Comparison::Same || a.owner != b.owner {
                    found.push(format!("{key}: {:?} became {:?}", a.spec, b.spec));
                }
            }
            (Some(_), None) => found.push(format!("{} {key} is gone", key.kind())),
            (None, _) => found.push(format!("{} {key} is new", key.kind())),
        }
    }
    found
}

fn again(text: &str, before: &Compiled) -> Compiled {
    let context = Context { allocations: before.allocations.clone(), ..Context::default() };
    try_compile(text, &context).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_table_obeys_the_laws(lab in labs()) {
        let text = lab.yaml();
        let first = compiled(&text);
        check_laws(&first);
        // The same input gives the same result, and so does the result as input.
        prop_assert_eq!(&first, &compiled(&text));
        prop_assert_eq!(&first, &again(&text, &first));
    }

    #[test]
    fn a_new_endpoint_changes_nothing_of_others(lab in labs(), place in 0usize..9, networks in proptest::collection::btree_set(0usize..5, 0..4)) {
        let before = compiled(&lab.yaml());
        let mut more = lab.clone();
        // Names are sorted, so it may come before, between or after the others.
        let name = [100, 5, 1000, 55, 9, 0xfff, 77, 20, 42][place];
        let networks = networks.into_iter().filter(|network| *network < lab.networks.len()).collect();
        more.endpoints.insert(name, networks);
        let after = again(&more.yaml(), &before);
        let part = format!("endpoint e{name}");
        prop_assert_eq!(differences(&before, &after, &part), Vec::<String>::new());
        // And taking it out again leads back.
        let back = again(&lab.yaml(), &after);
        prop_assert_eq!(differences(&before, &back, ""), Vec::<String>::new());
        prop_assert_eq!(&back.allocations, &before.allocations);
    }

    #[test]
    fn who_stays_keeps_its_addresses(lab in labs(), gone in proptest::collection::btree_set(1usize..9, 0..5)) {
        let before = compiled(&lab.yaml());
        let mut fewer = lab.clone();
        fewer.endpoints.retain(|name, _| !gone.contains(name));
        let between = again(&fewer.yaml(), &before);
        for facts in &between.interfaces {
            let was = before.interface(&facts.at);
            prop_assert_eq!(was.map(|was| &was.addresses), Some(&facts.addresses), "{}", &facts.at);
        }
        // Nothing is remembered of those who left.
        for of_network in between.allocations.addresses.values() {
            for interface in of_network.keys() {
                let left = gone.iter().any(|name| interface.node.as_str() == format!("e{}", name));
                prop_assert!(!left, "{} is remembered", interface);
            }
        }
    }
}

#[test]
fn an_address_that_became_illegal_is_chosen_anew() {
    let text = |subnet: &str, fixed: &str| {
        format!(
            "netloom: 1\nname: lab\nnetworks: {{ lan: {{ subnet: {subnet} }} }}\nendpoints:\n  a: {{ networks: lan }}\n  b: {{ interfaces: {{ eth0: {{ network: lan, address: {fixed} }} }} }}\n"
        )
    };
    let address = |compiled: &Compiled, node: &str| {
        let space = netloom_compile::object::Space::Node(node.parse().unwrap());
        let facts: Vec<_> = compiled.interfaces_of(&space).collect();
        facts[0].addresses[0].to_string()
    };
    let first = compiled(&text("10.0.0.0/24", "auto"));
    assert_eq!((address(&first, "a"), address(&first, "b")), ("10.0.0.1/24".into(), "10.0.0.2/24".into()));
    // The user takes the address that `a` had.
    let second = again(&text("10.0.0.0/24", "10.0.0.1"), &first);
    assert_eq!((address(&second, "a"), address(&second, "b")), ("10.0.0.2/24".into(), "10.0.0.1/24".into()));
    // Another subnet.
    let third = again(&text("10.5.0.0/24", "auto"), &second);
    assert_eq!((address(&third, "a"), address(&third, "b")), ("10.5.0.1/24".into(), "10.5.0.2/24".into()));
}

#[test]
fn reserved_prefixes_are_left_alone_and_kept_ones_stay() {
    let text = "netloom: 1\nname: lab\nnetworks: { lan: { mode: nat, subnet: 10.0.0.0/24 } }\nendpoints: { a: { networks: lan } }\n";
    let first = compiled(text);
    let chosen = *first.allocations.transits.values().next().unwrap().first().unwrap();
    let context = Context { reserved: vec![chosen], ..Context::default() };
    let other = try_compile(text, &context).unwrap();
    assert_ne!(other.allocations.transits, first.allocations.transits);
    // What another topology uses now was ours before: it stays ours.
    let context =
        Context { reserved: vec![chosen], allocations: first.allocations.clone(), ..Context::default() };
    assert_eq!(try_compile(text, &context).unwrap().allocations, first.allocations);
}

#[test]
fn keys_depend_on_the_seed_and_on_nothing_else() {
    use netloom_compile::object::{LinkKind, Spec};
    let text = "netloom: 1\nname: lab\nendpoints: { a: { }, b: { } }\nlinks:\n  - { link: \"a:eth0 -- b:eth0\", addresses: [10.0.0.1/30, 10.0.0.2/30] }\n  - { link: \"a:wg0 -- b:wg0\", kind: wireguard, addresses: [10.9.0.1/30, 10.9.0.2/30] }\n";
    let keys = |seed: u8| {
        let context = Context { seed: [seed; 32], ..Context::default() };
        let compiled = try_compile(text, &context).unwrap();
        check_laws(&compiled);
        let found: Vec<_> = compiled
            .desired
            .objects
            .values()
            .filter_map(|object| match &object.spec {
                Spec::Link(link) => match &link.kind {
                    LinkKind::Wireguard(options) => Some((options.private_key, options.peers[0].public_key)),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        found
    };
    let (first, second) = (keys(1), keys(2));
    assert_eq!(first, keys(1));
    assert_ne!(first, second);
    // Each knows the other's public key, and RFC 7748's function makes it of the private one.
    for (own, other) in [(0, 1), (1, 0)] {
        let public = x25519_dalek::x25519(first[other].0, x25519_dalek::X25519_BASEPOINT_BYTES);
        assert_eq!(first[own].1, public);
    }
}

#[test]
fn what_can_not_be_compiled_says_where_and_why() {
    let cases = [
        (
            "networks: { lan: { subnet: 10.0.0.0/30 } }\nendpoints: { a: { replicas: 3, networks: lan } }\n",
            "no free address in 10.0.0.0/30",
        ),
        (
            "networks: { n1: { subnet: 10.1.0.0/24 }, n2: { subnet: 10.2.0.0/24 } }\nendpoints: { a: { networks: n1 }, b: { networks: n2 } }\nlinks: [{ link: \"a:g -- b:g\", kind: gre, addresses: [10.9.0.1/30, 10.9.0.2/30] }]\n",
            "give `local` and `remote`",
        ),
    ];
    for (text, expected) in cases {
        let text = format!("netloom: 1\nname: lab\n{text}");
        // What validation finds first need not reach compilation.
        let Ok(result) = std::panic::catch_unwind(|| try_compile(&text, &Context::default())) else {
            continue;
        };
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected) && error.starts_with("test.yaml:"), "{error}");
    }
}
