//! The packet filter as `nft` sees it, and what hands other than ours do to it.
//!
//! `nft` is the oracle: what Netloom wrote must read there as what was meant, and what is changed there
//! must be found here.

#![allow(clippy::unwrap_used, reason = "a test")]

use netloom_compile::object::Family;
use netloom_compile::object::firewall::*;
use netloom_kernel::netlink::{Protocol as Netlink, Socket};
use netloom_kernel::nft;
use netloom_testkit::rig::{Rig, isolated};
use netloom_testkit::skip;
use std::collections::BTreeSet;

fn socket() -> Socket {
    Socket::open(Netlink::Netfilter).unwrap()
}

/// Runs `nft` and gives what it prints; `None` when it is not installed.
fn run_nft(rig: &Rig, arguments: &[&str]) -> Option<String> {
    let output = rig.run("nft", arguments)?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "nft {arguments:?}: {error}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn differences(wanted: &Firewall) -> Vec<String> {
    let found = nft::observe(&mut socket(), "netloom").unwrap().unwrap();
    let mut list = Vec::new();
    found.compare(wanted, &mut |field, from, to| list.push(format!("{field}: {from} -> {to}")));
    list
}

fn net(text: &str) -> ipnet::IpNet {
    text.parse().unwrap()
}

fn rule(action: Action) -> FirewallRule {
    FirewallRule::new(action)
}

/// Every kind of match and action once, with the text `nft` has for it.
fn representative() -> (Firewall, Vec<(&'static str, &'static str)>) {
    let ports = |list: &[&str]| list.iter().map(|range| range.parse().unwrap()).collect::<Ports>();
    let names = |list: &[&str]| list.iter().map(|name| name.parse().unwrap()).collect::<BTreeSet<_>>();
    let protocols = |list: &[Protocol]| list.iter().copied().collect::<BTreeSet<_>>();
    let tcp = || Match::protocol(Protocol::TCP);
    let cases: Vec<(&str, FirewallRule, &str)> = vec![
        (
            "forward",
            rule(Action::Accept).when(Match::state([CtState::Established, CtState::Related])).counted(),
            "ct state established,related counter packets 0 bytes 0 accept",
        ),
        (
            "forward",
            rule(Action::Drop)
                .when(Match::state([CtState::Invalid]))
                .named("no strays")
                .from(&"shop.yaml:9:3"),
            "ct state invalid drop comment \"no strays [shop.yaml:9:3]\"",
        ),
        (
            "forward",
            rule(Action::Accept)
                .when(Match::input("eth0".parse().unwrap()))
                .when(Match::OutputInterface { names: names(&["eth1", "eth2"]), negated: true })
                .when(Match::source(net("10.1.0.0/16")))
                .when(Match::destination(net("10.2.0.7/32")))
                .when(tcp())
                .when(Match::port(443)),
            "iifname \"eth0\" oifname != { \"eth1\", \"eth2\" } ip saddr 10.1.0.0/16 ip daddr 10.2.0.7 tcp dport 443 accept",
        ),
        (
            "forward",
            rule(Action::Accept)
                .when(Match::Source {
                    addresses: Addresses::V4(
                        ["10.0.0.0/24", "10.9.0.1/32"].iter().map(|n| n.parse().unwrap()).collect(),
                    ),
                    negated: true,
                })
                .when(Match::Protocol {
                    protocols: protocols(&[Protocol::TCP, Protocol::UDP]),
                    negated: false,
                })
                .when(Match::port(ports(&["53", "1000-2000"]))),
            "ip saddr != { 10.0.0.0/24, 10.9.0.1 } meta l4proto { tcp, udp } th dport { 53, 1000-2000 } accept",
        ),
        (
            "forward",
            rule(Action::Accept)
                .when(Match::destination(net("fd00:2::/64")))
                .when(Match::protocol(Protocol::UDP))
                .when(Match::port(PortRange::new(5000, 5010))),
            "ip6 daddr fd00:2::/64 udp dport 5000-5010 accept",
        ),
        (
            "forward",
            rule(Action::Reject(RejectWith::TcpReset)).when(tcp()).when(Match::port(23)),
            "tcp dport 23 reject with tcp reset",
        ),
        (
            "forward",
            rule(Action::Reject(RejectWith::AdminProhibited)).when(Match::Family(Family::V6)),
            "meta nfproto ipv6 reject with icmpx admin-prohibited",
        ),
        (
            "forward",
            rule(Action::Drop)
                .when(Match::protocol(Protocol::ICMP))
                .when(Match::IcmpType { types: BTreeSet::from([8, 13]) })
                .when(Match::Limit { rate: 5, per: LimitPeriod::Second, burst: 10, over: true }),
            "icmp type { echo-request, timestamp-request } limit rate over 5/second burst 10 packets drop",
        ),
        (
            "forward",
            rule(Action::SetMark { value: 0x10, mask: u32::MAX }).when(Match::Dscp {
                family: Family::V4,
                dscp: 46_u64.try_into().unwrap(),
                negated: false,
            }),
            "ip dscp ef meta mark set 0x00000010",
        ),
        (
            "forward",
            rule(Action::SetMark { value: 0x100, mask: 0xff00 }).when(Match::Dscp {
                family: Family::V6,
                dscp: 10_u64.try_into().unwrap(),
                negated: true,
            }),
            "ip6 dscp != af11 meta mark set meta mark & 0xffff01ff | 0x00000100",
        ),
        (
            "forward",
            rule(Action::Continue).when(Match::Mark { value: 0x200, mask: 0xff00, negated: false }).counted(),
            "meta mark & 0x0000ff00 == 0x00000200 counter packets 0 bytes 0",
        ),
        (
            "forward",
            rule(Action::Jump("extra".into())).when(Match::source(Addresses::Set("servers".into()))),
            "ip saddr @servers jump extra",
        ),
        (
            "forward",
            rule(Action::Goto("extra".into()))
                .when(tcp())
                .when(Match::DestinationPort { ports: PortSelector::Set("doors".into()), negated: true }),
            "tcp dport != @doors goto extra",
        ),
        (
            "extra",
            FirewallRule {
                log: Some(Log { prefix: "seen: ".into(), group: None }),
                ..rule(Action::Return)
                    .when(Match::DestinationType { address: AddressType::Local, negated: false })
            },
            "fib daddr type local log prefix \"seen: \" return",
        ),
        (
            "extra",
            rule(Action::Accept).when(Match::CtStatus { status: CtStatus::Dnat, negated: false }),
            "ct status dnat accept",
        ),
        ("raw", rule(Action::Notrack).when(Match::protocol(Protocol::GRE)), "meta l4proto gre notrack"),
        (
            "source",
            rule(Action::Masquerade { ports: None, random: true })
                .when(Match::output("wan0".parse().unwrap())),
            "oifname \"wan0\" masquerade fully-random",
        ),
        (
            "source",
            rule(Action::Snat {
                to: NatTarget {
                    first: [192, 0, 2, 1].into(),
                    last: [192, 0, 2, 9].into(),
                    ports: Some(PortRange::new(1024, 2048)),
                },
                random: false,
                persistent: true,
            })
            .when(tcp()),
            "snat ip to 192.0.2.1-192.0.2.9:1024-2048 persistent",
        ),
        (
            "source",
            rule(Action::SnatPrefix(net("192.168.7.0/24"))).when(Match::source(net("10.0.7.0/24"))),
            "ip saddr 10.0.7.0/24 snat ip prefix to 192.168.7.0/24",
        ),
        (
            "destination",
            rule(Action::Dnat { to: NatTarget::socket("10.2.0.7:8080".parse().unwrap()) })
                .when(tcp())
                .when(Match::port(80)),
            "dnat ip to 10.2.0.7:8080",
        ),
        (
            "destination",
            rule(Action::Dnat { to: NatTarget::socket("[fd00::7]:8080".parse().unwrap()) })
                .when(tcp())
                .when(Match::port(80)),
            "dnat ip6 to [fd00::7]:8080",
        ),
        ("destination", rule(Action::Redirect { ports: Some(3128.into()) }).when(tcp()), "redirect to :3128"),
        (
            "destination",
            rule(Action::Spread {
                by: Balance::RoundRobin,
                to: vec![([10, 2, 0, 1].into(), None), ([10, 2, 0, 2].into(), None)],
            }),
            "dnat ip to numgen inc mod 2 map { 0 : 10.2.0.1, 1 : 10.2.0.2 }",
        ),
        (
            "destination",
            rule(Action::Spread {
                by: Balance::Source,
                to: vec![([10, 2, 0, 1].into(), Some(81)), ([10, 2, 0, 2].into(), Some(82))],
            })
            .when(tcp()),
            "dnat ip to jhash ip saddr mod 2 map { 0 : 10.2.0.1 . 81, 1 : 10.2.0.2 . 82 }",
        ),
    ];
    let mut chains = vec![
        Chain::base("forward", HookPoint::Forward, ChainKind::Filter, 0, Policy::Drop),
        Chain::base("raw", HookPoint::Prerouting, ChainKind::Filter, -300, Policy::Accept),
        Chain::base("source", HookPoint::Postrouting, ChainKind::Nat, 100, Policy::Accept),
        Chain::base("destination", HookPoint::Prerouting, ChainKind::Nat, -100, Policy::Accept),
        Chain::regular("extra"),
    ];
    let mut texts = Vec::new();
    for (chain, rule, text) in cases {
        chains.iter_mut().find(|known| &*known.name == chain).unwrap().rules.push(rule);
        texts.push((chain, text));
    }
    let four = ["10.3.0.0/16", "10.4.0.1/32"].iter().map(|n| n.parse().unwrap()).collect();
    let sets = vec![
        Set { name: "servers".into(), elements: SetElements::V4(four) },
        Set { name: "doors".into(), elements: SetElements::Ports(ports(&["22", "8000-9000"])) },
    ];
    (Firewall { chains, sets, dormant: false }, texts)
}

#[test]
fn nft_reads_what_was_meant() {
    isolated(|rig| {
        let (firewall, texts) = representative();
        nft::apply(&mut socket(), "netloom", &firewall).unwrap();
        assert_eq!(differences(&firewall), [""; 0]);
        let Some(listing) = run_nft(rig, &["list", "table", "inet", "netloom"]) else {
            skip!("nft is not installed");
            return;
        };
        println!("{listing}");
        let json = run_nft(rig, &["-j", "list", "table", "inet", "netloom"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let count = |kind: &str| {
            json["nftables"].as_array().unwrap().iter().filter(|item| item.get(kind).is_some()).count()
        };
        let rules: usize = firewall.chains.iter().map(|chain| chain.rules.len()).sum();
        assert_eq!((count("chain"), count("rule"), count("set")), (5, rules, 2));
        let item = |kind: &str, name: &str| {
            let all = json["nftables"].as_array().unwrap().iter().filter_map(|item| item.get(kind));
            all.clone().find(|item| item["name"] == name).unwrap().clone()
        };
        let forward = item("chain", "forward");
        assert_eq!((&forward["hook"], &forward["policy"]), (&"forward".into(), &"drop".into()));
        assert_eq!((&forward["type"], &forward["prio"]), (&"filter".into(), &0.into()));
        assert_eq!(item("chain", "destination")["prio"], -100);
        let elements = serde_json::to_string(&item("set", "servers")["elem"]).unwrap();
        assert!(elements.contains("10.3.0.0") && elements.contains("10.4.0.1"), "{elements}");
        if !std::path::Path::new("/etc/protocols").exists() {
            skip!("the words of nft: it names protocols only where there is /etc/protocols");
            return;
        }
        for (chain, text) in texts {
            assert!(
                listing.lines().any(|line| line.contains(text)),
                "chain {chain}: `{text}` is not in\n{listing}"
            );
        }
    });
}

#[test]
fn what_nft_prints_can_be_given_back_to_it() {
    isolated(|rig| {
        let (firewall, _) = representative();
        nft::apply(&mut socket(), "netloom", &firewall).unwrap();
        let Some(listing) = run_nft(rig, &["list", "table", "inet", "netloom"]) else {
            skip!("nft is not installed");
            return;
        };
        // What nft itself compiles from its listing is what we wrote, but for the counted zeros.
        let file = rig.state_dir.join("table.nft");
        std::fs::write(&file, &listing).unwrap();
        nft::delete(&mut socket(), "netloom").unwrap();
        run_nft(rig, &["-f", file.to_str().unwrap()]).unwrap();
        let found = nft::observe(&mut socket(), "netloom").unwrap().unwrap();
        let unknown: Vec<String> = found
            .chains
            .iter()
            .flat_map(|chain| &chain.rules)
            .filter(|rule| matches!(rule.action, Action::Unknown(_)))
            .map(|rule| rule.to_string())
            .collect();
        println!("nft's own form of these rules is another: {unknown:#?}");
        let again = run_nft(rig, &["list", "table", "inet", "netloom"]).unwrap();
        assert_eq!(again, listing);
    });
}

#[test]
fn changes_by_hand_are_found() {
    isolated(|rig| {
        let (wanted, _) = representative();
        let mut socket = socket();
        nft::apply(&mut socket, "netloom", &wanted).unwrap();
        if run_nft(rig, &["list", "ruleset"]).is_none() {
            skip!("nft is not installed");
            return;
        }
        let handle = |text: &str| {
            let listing = run_nft(rig, &["-a", "list", "table", "inet", "netloom"]).unwrap();
            let line = listing.lines().find(|line| line.contains(text)).unwrap().to_owned();
            line.rsplit(' ').next().unwrap().to_owned()
        };
        let (strays, web) = (handle("ct state invalid"), handle("dport 443"));
        let changes = [
            format!("delete rule inet netloom forward handle {strays}"),
            format!("replace rule inet netloom forward handle {web} tcp dport 444 accept"),
            "add rule inet netloom forward accept".to_owned(),
            "insert rule inet netloom forward ip saddr 10.0.0.1 tcp flags syn accept".to_owned(),
            "add rule inet netloom forward ip saddr . tcp dport { 10.0.0.1 . 80 } accept".to_owned(),
            "flush chain inet netloom source".to_owned(),
            "add element inet netloom servers { 10.5.0.0/16 }".to_owned(),
            "delete element inet netloom doors { 22 }".to_owned(),
            "add chain inet netloom another".to_owned(),
            "add set inet netloom more { type ether_addr; }".to_owned(),
            "add chain inet netloom forward { policy accept; }".to_owned(),
            "add table inet netloom { flags dormant; }".to_owned(),
            "delete table inet netloom; add table inet netloom".to_owned(),
            "add table netdev netloom; add chain netdev netloom x { type filter hook ingress device lo priority 0; }"
                .to_owned(),
        ];
        for change in changes {
            // Handles are given anew with each apply, so those two go by the first table only.
            let change = change
                .replace(&format!("handle {strays}"), &format!("handle {}", handle("ct state invalid")));
            let change = change.replace(&format!("handle {web}"), &format!("handle {}", handle("dport 443")));
            run_nft(rig, &[&change]).unwrap();
            let found = differences(&wanted);
            assert!(!found.is_empty(), "`{change}` was not found");
            println!("{change}\n    {}", found.join("\n    "));
            nft::apply(&mut socket, "netloom", &wanted).unwrap();
            assert_eq!(differences(&wanted), [""; 0], "not put right after `{change}`");
        }
    });
}

#[test]
fn tables_of_others_stay_as_they_are() {
    isolated(|rig| {
        let mut socket = socket();
        let made = "add table inet other; add chain inet other c { type filter hook forward priority 0; policy drop; }; \
            add rule inet other c tcp dport 22 accept; add table ip nat; add chain ip nat post; \
            add table inet netloom_b; add chain inet netloom_b c";
        if run_nft(rig, &[made]).is_none() {
            skip!("nft is not installed");
            return;
        }
        let before = run_nft(rig, &["list", "ruleset"]).unwrap();
        let (firewall, _) = representative();
        nft::apply(&mut socket, "netloom", &firewall).unwrap();
        nft::apply(&mut socket, "netloom", &Firewall::default()).unwrap();
        nft::delete(&mut socket, "netloom").unwrap();
        assert_eq!(run_nft(rig, &["list", "ruleset"]).unwrap(), before);
        let foreign = nft::foreign(&mut socket).unwrap();
        let names: Vec<_> =
            foreign.iter().map(|table| (table.family.as_str(), table.name.as_str())).collect();
        assert_eq!(names, [("inet", "other"), ("ip", "nat")]);
        assert!(foreign[0].chains[0].drops && foreign[1].chains.is_empty());
    });
}

#[test]
fn device_chains_have_a_table_of_their_own() {
    isolated(|rig| {
        let mut socket = socket();
        let device: netloom_wire::InterfaceName = "lo".parse().unwrap();
        let point = HookPoint::Ingress { device };
        let drop = rule(Action::Drop).when(Match::source(net("10.0.0.0/8"))).counted().named("one way");
        let chain = Chain::base("diode", point, ChainKind::Filter, 0, Policy::Accept).rule(drop);
        let mut firewall = Firewall { chains: vec![chain], ..Firewall::default() };
        nft::apply(&mut socket, "netloom", &firewall).unwrap();
        assert_eq!(differences(&firewall), [""; 0]);
        let Some(listing) = run_nft(rig, &["list", "table", "netdev", "netloom"]) else {
            skip!("nft is not installed");
            return;
        };
        assert!(listing.contains("hook ingress device \"lo\""), "{listing}");
        assert!(listing.contains("ip saddr 10.0.0.0/8 counter packets 0 bytes 0 drop"), "{listing}");
        firewall.chains.clear();
        nft::apply(&mut socket, "netloom", &firewall).unwrap();
        let ruleset = run_nft(rig, &["list", "ruleset"]).unwrap();
        assert!(!ruleset.contains("netdev"), "{ruleset}");
    });
}
