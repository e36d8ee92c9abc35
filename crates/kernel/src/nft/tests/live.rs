//! Tables in a real kernel, each test in a namespace of its own.

use super::super::{NftError, apply, apply_within, counters, delete, foreign, live, observe, tables};
use super::generate::firewall;
use crate::netlink::{Protocol as Netlink, Socket};
use netloom_compile::object::firewall::*;
use netloom_testkit::rig::isolated;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

fn socket() -> Socket {
    Socket::open(Netlink::Netfilter).unwrap()
}

fn differences(from: &Firewall, to: &Firewall) -> Vec<String> {
    let mut list = Vec::new();
    from.compare(to, &mut |field, from, to| list.push(format!("{field}: {from} -> {to}")));
    list
}

/// Whether the firewall uses what a kernel may lack.
fn possible(error: &NftError) -> bool {
    !matches!(error, NftError::Refused { missing: Some(_), .. })
}

#[test]
fn any_firewall_is_observed_as_it_was_applied() {
    isolated(|_| {
        let mut socket = socket();
        let mut runner = TestRunner::new(ProptestConfig::default());
        let mut lacking = 0;
        for round in 0..150 {
            let wanted = firewall().new_tree(&mut runner).unwrap().current();
            // Every third one in several transactions.
            let limit = if round % 3 == 0 { 1000 } else { usize::MAX };
            match apply_within(&mut socket, "netloom", &wanted, limit) {
                Ok(()) => {}
                Err(error) => {
                    assert!(!possible(&error), "{error}\n{wanted:#?}");
                    lacking += 1;
                    continue;
                }
            }
            let found = observe(&mut socket, "netloom").unwrap().unwrap();
            assert_eq!(differences(&found, &wanted), Vec::<String>::new());
            let again = found.canonical();
            assert_eq!(again, found, "what is observed is canonical");
        }
        println!("{lacking} of 150 need what this kernel lacks");
        assert!(lacking < 100, "this kernel lacks too much");
        delete(&mut socket, "netloom").unwrap();
        assert_eq!(observe(&mut socket, "netloom").unwrap(), None);
        assert_eq!(tables(&mut socket).unwrap(), []);
    });
}

fn accept(name: &str) -> FirewallRule {
    FirewallRule::new(Action::Accept).named(name).counted()
}

fn small(rules: Vec<FirewallRule>) -> Firewall {
    let mut chain = Chain::base("input", HookPoint::Input, ChainKind::Filter, 0, Policy::Drop);
    chain.rules = rules;
    Firewall { chains: vec![chain], ..Firewall::default() }
}

#[test]
fn huge_tables_go_in_and_come_back() {
    isolated(|_| {
        let mut socket = socket();
        let mut wanted = small(Vec::new());
        for number in 0..10_000_u32 {
            let net = ipnet::Ipv4Net::new((0x0a00_0000 + number * 256).into(), 24).unwrap();
            let rule = accept(&format!("rule {number}")).when(Match::source(ipnet::IpNet::from(net)));
            wanted.chains[0].rules.push(rule.when(Match::protocol(Protocol::TCP)).when(Match::port(80)));
        }
        let list = (0..100_000_u32).map(|n| ipnet::Ipv4Net::new((0x0b00_0000 + 2 * n).into(), 32).unwrap());
        let elements = SetElements::V4(list.collect());
        wanted.sets.push(Set { name: "many".into(), elements });
        for limit in [usize::MAX, 200_000] {
            let start = std::time::Instant::now();
            apply_within(&mut socket, "netloom", &wanted, limit).unwrap();
            let applied = start.elapsed();
            let found = observe(&mut socket, "netloom").unwrap().unwrap();
            println!("limit {limit}: applied in {applied:?}, observed in {:?}", start.elapsed() - applied);
            assert_eq!(found.chains[0].rules.len(), 10_000);
            assert_eq!(differences(&found, &wanted), Vec::<String>::new());
        }
    });
}

#[test]
fn divided_tables_change_names_and_leave_nothing() {
    isolated(|_| {
        let mut socket = socket();
        let names = |socket: &mut Socket| {
            let list = tables(socket).unwrap().into_iter();
            list.map(|table| (table.name, table.dormant)).collect::<Vec<_>>()
        };
        let first = small(vec![accept("one")]);
        let second = small(vec![accept("two")]);
        apply(&mut socket, "netloom", &first).unwrap();
        apply_within(&mut socket, "netloom", &second, 0).unwrap();
        assert_eq!(names(&mut socket), [("netloom.next".to_owned(), false)]);
        assert_eq!(differences(&observe(&mut socket, "netloom").unwrap().unwrap(), &second), [""; 0]);
        apply_within(&mut socket, "netloom", &first, 0).unwrap();
        assert_eq!(names(&mut socket), [("netloom".to_owned(), false)]);
        assert_eq!(differences(&observe(&mut socket, "netloom").unwrap().unwrap(), &first), [""; 0]);
        // Something that only the kernel refuses: the live table stays, and nothing is left over.
        let mut bad = second.clone();
        let device = "no-such-device".parse().unwrap();
        bad.chains.push(Chain::base(
            "x",
            HookPoint::Ingress { device },
            ChainKind::Filter,
            0,
            Policy::Accept,
        ));
        bad.chains.push(Chain::base("y", HookPoint::Postrouting, ChainKind::Nat, i32::MIN, Policy::Accept));
        assert!(apply_within(&mut socket, "netloom", &bad, 0).is_err());
        assert_eq!(names(&mut socket), [("netloom".to_owned(), false)]);
        assert_eq!(differences(&observe(&mut socket, "netloom").unwrap().unwrap(), &first), [""; 0]);
        apply_within(&mut socket, "netloom", &second, 0).unwrap();
        assert_eq!(live(&mut socket, "netloom").unwrap().len(), 1);
        delete(&mut socket, "netloom").unwrap();
        delete(&mut socket, "netloom").unwrap();
        assert_eq!(names(&mut socket), []);
    });
}

#[test]
fn a_refusal_names_the_rule_and_changes_nothing() {
    isolated(|_| {
        let mut socket = socket();
        let good = small(vec![accept("good")]);
        apply(&mut socket, "netloom", &good).unwrap();
        // The check cannot follow a jump from nat to where rejecting is impossible; the kernel can.
        let mut bad = good.clone();
        bad.chains.push(
            Chain::base("nat", HookPoint::Postrouting, ChainKind::Nat, 100, Policy::Accept)
                .rule(FirewallRule::new(Action::Jump("leaf".into())).named("jumps").from(&"net.yaml:7:3")),
        );
        bad.chains.push(
            Chain::regular("leaf")
                .rule(FirewallRule::new(Action::Dnat { to: NatTarget::address([10, 0, 0, 1].into()) })),
        );
        let error = apply(&mut socket, "netloom", &bad).unwrap_err();
        assert!(matches!(error, NftError::Refused { .. }), "{error}");
        println!("{error}");
        assert_eq!(differences(&observe(&mut socket, "netloom").unwrap().unwrap(), &good), [""; 0]);

        let mut absent = good.clone();
        let device = "nodev0".parse().unwrap();
        let point = HookPoint::Ingress { device };
        absent.chains.push(Chain::base("wire", point, ChainKind::Filter, 0, Policy::Drop));
        match apply(&mut socket, "netloom", &absent) {
            Err(error) => assert!(error.to_string().contains("chain wire"), "{error}"),
            // Since Linux 6.16 a chain may wait for its device.
            Ok(()) => println!("chains may wait for their device"),
        }
    });
}

#[test]
fn faults_are_found_before_the_kernel_is_asked() {
    isolated(|_| {
        let rule = FirewallRule::new(Action::Accept).when(Match::port(80)).named("web");
        let error = apply(&mut socket(), "netloom", &small(vec![rule])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the packet filter cannot work: chain input, rule 1 \"web\": ports need a match of tcp, udp, sctp, \
             dccp or udplite before them"
        );
    });
}

#[test]
fn counters_are_read_by_rule() {
    isolated(|rig| {
        let mut socket = socket();
        let mut wanted = small(vec![
            accept("ping").when(Match::protocol(Protocol::ICMP)).from(&"x.yaml:3:1"),
            FirewallRule::new(Action::Continue),
            accept("rest"),
        ]);
        wanted.chains[0].hook.as_mut().unwrap().policy = Policy::Accept;
        apply(&mut socket, "netloom", &wanted).unwrap();
        if rig.run("ip", &["link", "set", "lo", "up"]).is_none() {
            netloom_testkit::skip!("ip is not installed");
            return;
        }
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(&[0; 100], sender.local_addr().unwrap()).unwrap();
        let list = counters(&mut socket, "netloom").unwrap();
        let short: Vec<_> = list.iter().map(|c| (c.index, c.name.as_deref(), c.packets, c.bytes)).collect();
        assert_eq!(short, [(0, Some("ping"), 0, 0), (2, Some("rest"), 1, 128)]);
        assert_eq!(list[0].origin.as_deref(), Some("x.yaml:3:1"));
        assert_eq!(list[0].chain, "input");
    });
}

#[test]
fn our_tables_are_not_foreign() {
    isolated(|_| {
        let mut socket = socket();
        for name in ["netloom", "netloom_shop", "other"] {
            apply(&mut socket, name, &small(vec![accept("a")])).unwrap();
        }
        let list = foreign(&mut socket).unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].family.as_str(), list[0].name.as_str()), ("inet", "other"));
        let chain = &list[0].chains[0];
        assert_eq!((chain.name.as_str(), chain.hook.as_str(), chain.drops), ("input", "input", true));
        assert_eq!((chain.kind.as_str(), chain.priority), ("filter", 0));
    });
}
