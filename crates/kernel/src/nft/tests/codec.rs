//! Writing and reading without a kernel: what is written reads back, and no octets make us panic.

use super::super::constants::{INET, NETDEV, SUBSYSTEM, message};
use super::super::dump::{Table, merge};
use super::super::script::{Piece, script};
use super::super::{Label, NftError};
use super::generate::firewall;
use crate::netlink::Attributes;
use netloom_compile::object::firewall::*;
use proptest::prelude::*;

/// Takes the messages of a script for the kernel's answers.
fn read_back(pieces: &[Piece]) -> Firewall {
    let mut tables = vec![Table::new(INET, 0), Table::new(NETDEV, 0)];
    for pass in 0..2 {
        for piece in pieces {
            for index in 0..piece.messages.len() {
                let octets = piece.messages.get(index).unwrap();
                let kind = u16::from_ne_bytes([octets[4], octets[5]]);
                let table = &mut tables[usize::from(octets[16] == NETDEV)];
                let attributes = Attributes::new(&octets[20..]);
                match (pass, kind & !SUBSYSTEM) {
                    (0, message::NEW_CHAIN) => table.chain(attributes),
                    (0, message::NEW_SET) => table.set(attributes),
                    (0, message::NEW_SET_ELEMENTS) => table.elements(attributes),
                    (1, message::NEW_RULE) => table.rule(attributes),
                    _ => {}
                }
            }
        }
        tables.iter_mut().for_each(Table::seal);
    }
    merge(tables)
}

fn sorted(mut firewall: Firewall) -> Firewall {
    firewall.chains.sort_by(|a, b| a.name.cmp(&b.name));
    firewall.sets.sort_by(|a, b| a.name.cmp(&b.name));
    firewall
}

fn many(rules: usize, elements: u32) -> Firewall {
    let mut chain = Chain::base("forward", HookPoint::Forward, ChainKind::Filter, 0, Policy::Drop);
    for number in 0..rules as u32 {
        let net = ipnet::Ipv4Net::new((0x0a00_0000 + number * 256).into(), 24).unwrap();
        chain.rules.push(
            FirewallRule::new(Action::Accept)
                .when(Match::source(ipnet::IpNet::from(net)))
                .when(Match::protocol(Protocol::TCP))
                .when(Match::port(80))
                .counted()
                .named(&format!("rule {number}")),
        );
    }
    // Every other address, so that nothing merges.
    let list = (0..elements).map(|n| ipnet::Ipv4Net::new((0x0b00_0000 + 2 * n).into(), 32).unwrap());
    let set = Set { name: "many".into(), elements: SetElements::V4(list.collect()) };
    Firewall { chains: vec![chain], sets: vec![set], dormant: false }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_reads_back(firewall in firewall()) {
        let canonical = firewall.canonical();
        prop_assert_eq!(&canonical.canonical(), &canonical);
        let pieces = script(&canonical, "netloom", false).unwrap();
        let back = read_back(&pieces);
        prop_assert_eq!(sorted(back), sorted(canonical));
    }

    #[test]
    fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        for family in [INET, NETDEV] {
            let mut table = Table::new(family, 0);
            let attributes = Attributes::new(&octets);
            table.chain(attributes);
            table.set(attributes);
            table.elements(attributes);
            table.seal();
            table.rule(attributes);
            merge(vec![table]);
        }
    }

    /// Octets of real messages with some changed: deeper than random ones get.
    #[test]
    fn damaged_messages_are_read_without_panic(
        firewall in firewall(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let pieces = script(&firewall.canonical(), "netloom", false).unwrap();
        let mut table = Table::new(INET, 0);
        for piece in &pieces {
            for index in 0..piece.messages.len() {
                let mut octets = piece.messages.get(index).unwrap().to_vec();
                for (at, value) in &damage {
                    let at = at.index(octets.len());
                    octets[at] = *value;
                }
                let kind = u16::from_ne_bytes([octets[4], octets[5]]) & !SUBSYSTEM;
                let attributes = Attributes::new(&octets[20..]);
                match kind {
                    message::NEW_CHAIN => table.chain(attributes),
                    message::NEW_SET => table.set(attributes),
                    message::NEW_SET_ELEMENTS => table.elements(attributes),
                    message::NEW_RULE => table.rule(attributes),
                    _ => table.seal(),
                }
            }
        }
        table.seal();
        merge(vec![table]);
    }

    /// A rule with one octet changed reads as another rule, or as the same only where the octet means
    /// nothing: so no change by hand can hide.
    #[test]
    fn expressions_of_another_rule_never_read_as_this_one(a in firewall(), b in firewall()) {
        let (a, b) = (a.canonical(), b.canonical());
        if sorted(a.clone()) != sorted(b.clone()) {
            let (one, other) = (script(&a, "t", false).unwrap(), script(&b, "t", false).unwrap());
            prop_assert_ne!(sorted(read_back(&one)), sorted(read_back(&other)));
        }
    }
}

#[test]
fn huge_tables_are_divided_and_read_back() {
    let firewall = many(10_000, 100_000).canonical();
    let pieces = script(&firewall, "netloom", false).unwrap();
    assert!(pieces.len() > 10);
    for piece in &pieces {
        assert!(piece.octets < 128 * 1024, "{}", piece.octets);
        assert_eq!(piece.labels.len(), piece.messages.len());
        for index in 0..piece.messages.len() {
            assert!(piece.messages.get(index).unwrap().len() < 60_000);
        }
    }
    let rules = pieces.iter().flat_map(|piece| &piece.labels).filter(|l| matches!(l, Label::Rule(..)));
    assert_eq!(rules.count(), 10_000);
    assert_eq!(sorted(read_back(&pieces)), sorted(firewall));
}

#[test]
fn a_rule_that_is_too_long_is_named() {
    let mut rule = FirewallRule::new(Action::Accept).named("long");
    for port in 0..100 {
        rule = rule.when(Match::Mark { value: port, mask: u32::MAX, negated: true });
    }
    let chain = Chain::base("in", HookPoint::Input, ChainKind::Filter, 0, Policy::Drop).rule(rule);
    let firewall = Firewall { chains: vec![chain], ..Firewall::default() };
    let error = script(&firewall.canonical(), "netloom", false).unwrap_err();
    let place = "chain in, rule 1 \"long\"".to_owned();
    assert_eq!(error, NftError::TooLong { place, expressions: 201 });
}

#[test]
fn comments_of_others_are_names() {
    use super::super::script::labels;
    assert_eq!(labels(b"\x00\x06hello\0"), (Some("hello".into()), None));
    assert_eq!(labels(b"\x00\xffhello\0"), (None, None));
    assert_eq!(labels(b""), (None, None));
}
