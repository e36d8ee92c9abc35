//! Who carries a network: what the user says, or what the kernel at hand can do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, though not in a test function")]

mod common;

use common::{check_laws, compiled, try_compile};
use netloom_compile::object::shaper::Support;
use netloom_compile::object::{Behind, Key, LinkKind, LinkRef, Space, Spec, SwitchPort};
use netloom_compile::{Bridging, Check, Compiled, Context};

const WITHOUT_VLANS: Bridging = Bridging { bridges: true, vlans: false };

fn file(network: &str, rest: &str) -> String {
    format!(
        "netloom: 1\nname: t\nnetworks:\n  net: {{ {network} }}\nendpoints:\n  a: {{ interfaces: {{ eth0: {{ network: net, vlan: 10, address: 10.0.0.1/24 }} }} }}\n{rest}"
    )
}

fn on(bridging: Bridging, text: &str) -> Compiled {
    let compiled = try_compile(text, &Context { bridging, ..Context::default() }).unwrap();
    check_laws(&compiled);
    compiled
}

/// The reason for the switch, or that of the bridge.
fn carrier(compiled: &Compiled) -> (bool, String) {
    let space = Space::Node("net".parse().unwrap());
    if let Some(object) = compiled.desired.objects.get(&Key::Switch { space: space.clone() }) {
        return (true, object.reason.to_string());
    }
    let bridge = compiled.desired.objects.get(&Key::Link { space, name: "net".parse().unwrap() }).unwrap();
    assert!(matches!(&bridge.spec, Spec::Link(link) if matches!(link.kind, LinkKind::Bridge(_))));
    (false, bridge.reason.to_string())
}

#[test]
fn what_the_user_says_counts() {
    for bridging in [Bridging::ALL, WITHOUT_VLANS] {
        let (switch, why) = carrier(&on(bridging, &file("via: switch", "")));
        assert!(switch && why.ends_with("as `via: switch` says"), "{why}");
        let (switch, why) = carrier(&on(bridging, &file("via: kernel", "")));
        assert!(!switch && why.ends_with("as `via: kernel` says"), "{why}");
    }
}

#[test]
fn auto_is_the_kernel_unless_it_lacks_something() {
    for network in ["via: auto", ""] {
        assert!(!carrier(&on(Bridging::ALL, &file(network, ""))).0);
        let (switch, why) = carrier(&on(WITHOUT_VLANS, &file(network, "")));
        assert!(switch && why.ends_with("since this kernel's bridges can't keep VLANs apart"), "{why}");
    }
    let plain = file("", "").replace("vlan: 10, ", "");
    assert!(!carrier(&on(WITHOUT_VLANS, &plain)).0);
    let (switch, why) = carrier(&on(Bridging { bridges: false, vlans: false }, &plain));
    assert!(switch && why.ends_with("since this kernel has no bridges"), "{why}");
    let told = carrier(&on(Bridging::ALL, &file("via: auto", ""))).1;
    assert!(told.ends_with("in the kernel, which has all that it needs"), "{told}");
}

#[test]
fn what_the_switch_lacks_keeps_auto_with_the_kernel_and_is_told() {
    let obstacles = [
        ("bridge: { stp: true, max-age: 6500ms }", "", "`max-age` is not in whole seconds"),
        ("bridge: { stp: true, priority: 5 }", "", "no multiple of 4096"),
        (
            "",
            "links: [{ link: 'net:x -- host:y', medium: { duplex: simplex } }]\n",
            "the link that ends at net:x goes one way only",
        ),
        ("", "defaults: { offloads: { tso: false } }\n", "offloads or queues of a:eth0 are set"),
    ];
    for (network, rest, obstacle) in obstacles {
        let compiled =
            try_compile(&file(network, rest), &Context { bridging: WITHOUT_VLANS, ..Context::default() });
        let compiled = compiled.unwrap();
        assert!(!compiled.desired.objects.keys().any(|key| matches!(key, Key::Switch { .. })), "{obstacle}");
        assert!(compiled.notes.iter().any(|note| note.text.contains(obstacle)), "{:?}", compiled.notes);
        let asked = file(&format!("via: switch, {network}"), rest);
        let refused = try_compile(&asked, &Context::default()).unwrap_err();
        assert!(refused.to_string().contains(obstacle), "{refused}");
    }
}

#[test]
fn a_switched_network_has_ports_with_the_vlans_of_a_bridge() {
    let text = "
netloom: 1
name: t
networks: { net: { via: switch, isolated: true, bridge: { default-vlan: 7 } } }
endpoints:
  a: { interfaces: { eth0: { network: net, vlan: 10, address: 10.0.0.1/24, mtu: 1300 } } }
  b: { interfaces: { eth0: { network: net, trunk: ['10', '20'], native: 20, address: 10.0.0.2/24, isolated: false } } }
  c: { interfaces: { eth0: { network: net, trunk: ['10'], address: 10.0.0.3/24 } } }
  d: { interfaces: { eth0: { network: net, address: 10.0.0.4/24 } } }
";
    let compiled = compiled(text);
    check_laws(&compiled);
    let port = |node: &str| {
        let (space, link) = (Space::Node(node.parse().unwrap()), "eth0".parse().unwrap());
        match &compiled.desired.objects[&Key::SwitchPort { space, link }].spec {
            Spec::SwitchPort(port) => (port.isolated, port.vlans_in_words()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(port("a"), (true, "10 untagged".to_owned()));
    assert_eq!(port("b"), (false, "10, 20 untagged".to_owned()));
    assert_eq!(port("c"), (true, "10".to_owned()));
    assert_eq!(port("d"), (true, "7 untagged".to_owned()));
    let link = compiled.interface(&netloom_compile::object::LinkRef {
        space: Space::Node("a".parse().unwrap()),
        name: "eth0".parse().unwrap(),
    });
    assert_eq!(link.unwrap().mtu, Some(1300));
}

#[test]
fn media_and_rates_are_the_ports_links() {
    let text = "
netloom: 1
name: t
networks: { net: { via: switch, medium: { profile: wifi-ac, loss: 2% } }, wire: { via: switch } }
endpoints:
  a: { interfaces: { eth0: { network: net, address: 10.0.0.1/24 } } }
  b: { interfaces: { eth0: { network: net, address: 10.0.0.2/24, medium: { delay: 20ms, jitter: 1ms, reorder: 5%, rate: 10mbit } } } }
  c: { interfaces: { eth0: { network: wire, address: 10.1.0.1/24 } } }
  d: { interfaces: { eth0: { network: wire, address: 10.1.0.2/24 } } }
  e: { interfaces: { eth0: { network: wire, address: 10.1.0.3/24, medium: { profile: 5g } } } }
qos:
  - { on: 'c:eth0', tbf: { rate: 8mbit, burst: 20k } }
  - { on: 'd:eth0', bandwidth: { inbound: { average: 1000, peak: 2000, burst: 64 }, outbound: { average: 500 } } }
  - { on: 'e:eth0', htb: { rate: 8mbit, default: all, classes: { all: { rate: 8mbit } } } }
";
    let compiled = compiled(text);
    check_laws(&compiled);
    let link = |node: &str| {
        let (space, link) = (Space::Node(node.parse().unwrap()), "eth0".parse().unwrap());
        match &compiled.desired.objects[&Key::SwitchPort { space, link }].spec {
            Spec::SwitchPort(port) => port.link_in_words(),
            other => panic!("{other:?}"),
        }
    };
    let words = [
        (
            "a",
            "delay-in=1500003ns delay-out=1500003ns distribution-in=normal distribution-out=normal duplex=half \
               jitter-in=800us jitter-out=800us link-packets-in=1062 link-packets-out=1062 link-rate-in=867mbit \
               link-rate-out=867mbit loss-in=2% loss-out=2%",
        ),
        (
            "b",
            "delay-in=20ms delay-out=20ms jitter-in=1ms jitter-out=1ms link-rate-in=10mbit link-rate-out=10mbit \
               reorder-in=5% reorder-out=5%",
        ),
        ("c", "link-burst-in=20KiB link-octets-in=70480b link-rate-in=8mbit"),
        (
            "d",
            "link-burst-in=2KiB link-burst-out=64KiB link-peak-out=16384000bit link-rate-in=4096000bit \
             link-rate-out=8192000bit",
        ),
        (
            "e",
            "delay-in=4000003ns delay-out=4000003ns distribution-in=normal distribution-out=normal jitter-in=1ms \
             jitter-out=1ms link-packets-in=1000 link-packets-out=1500 link-rate-in=500mbit link-rate-out=1gbit \
             loss-in=0.1% loss-out=0.1%",
        ),
    ];
    for (node, wanted) in words {
        assert_eq!(link(node), wanted, "{node}");
    }
    let shapers: Vec<String> = compiled
        .desired
        .objects
        .keys()
        .filter(|key| matches!(key, Key::Shaper { .. }))
        .map(ToString::to_string)
        .collect();
    assert_eq!(shapers, ["e:eth0"], "class trees stay with the kernel");
}

#[test]
fn a_kernel_without_netem_leaves_media_to_the_switch() {
    let without = Context { queueing: Support { netem: false, ..Support::ALL }, ..Context::default() };
    for (medium, switch) in [
        ("{ delay: 5ms }", true),
        ("{ profile: cat6 }", true),
        ("{ rate: 5mbit, duplex: half }", true),
        ("{ rate: 5mbit }", false),
        ("{ rate: 5mbit, duplex: full }", false),
    ] {
        let text = file(&format!("medium: {medium}"), "");
        let (carried, why) = carrier(&try_compile(&text, &without).unwrap());
        assert_eq!(carried, switch, "{medium}");
        assert!(!switch || why.contains("netem"), "{why}");
        assert!(!carrier(&on(Bridging::ALL, &text)).0);
    }
}

/// What a port of Netloom's switch is, and why.
fn port(compiled: &Compiled, at: &str) -> (SwitchPort, String) {
    let (node, link) = at.split_once(':').unwrap();
    let space = if node == "host" { Space::Host } else { Space::Node(node.parse().unwrap()) };
    let object = &compiled.desired.objects[&Key::SwitchPort { space, link: link.parse().unwrap() }];
    match &object.spec {
        Spec::SwitchPort(port) => (port.clone(), object.reason.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn links_and_uplinks_of_switches() {
    let text = "
netloom: 1
name: t
defaults: { via: switch }
networks:
  one: { subnet: 10.0.0.0/24, bridge: { stp: true, priority: 4096, hello-time: 1s, ageing: 10s } }
  two: { subnet: 10.1.0.0/24, uplink: 'host:eth9', bridge: { multicast-snooping: true, multicast-querier: true } }
  old: { via: kernel, subnet: 10.2.0.0/24 }
  inside: { mode: nat, subnet: 10.3.0.0/24, uplink: one }
endpoints:
  a: { interfaces: { eth0: { network: one, stp-cost: 7 } } }
  b: { interfaces: { eth1: { address: auto, vlan: 10 } } }
links:
  - one:to-two -- two:to-one
  - one:to-old -- old:to-one
  - b:eth1 -- two:b
";
    let compiled = compiled(text);
    check_laws(&compiled);
    let objects = &compiled.desired.objects;
    let link = |space: &str, name: &str| {
        let key = Key::Link { space: Space::Node(space.parse().unwrap()), name: name.parse().unwrap() };
        objects.get(&key).map(|object| match &object.spec {
            Spec::Link(link) => {
                (link.kind.word().to_owned(), link.controller.as_ref().map(ToString::to_string))
            }
            other => panic!("{other:?}"),
        })
    };
    // Between two of its switches there is no interface at all.
    let (to_two, _) = port(&compiled, "one:to-two");
    let peer = LinkRef { space: Space::Node("two".parse().unwrap()), name: "to-one".parse().unwrap() };
    assert_eq!((to_two.behind, to_two.edge), (Behind::Patch { peer }, false));
    assert_eq!((link("one", "to-two"), link("two", "to-one")), (None, None));
    // Where the other one is the kernel's, the port is an interface in its bridge.
    assert_eq!(port(&compiled, "old:to-one").0.network.as_str(), "one");
    assert_eq!(link("old", "to-one"), Some(("tap".to_owned(), Some("old".to_owned()))));
    assert_eq!(link("one", "to-old"), None);
    let (b, why) = port(&compiled, "b:eth1");
    assert_eq!((b.network.as_str(), b.vlans_in_words().as_str()), ("two", "10 untagged"));
    assert!(why.contains("is linked with two:b"), "{why}");
    let address: ipnet::IpNet = "10.1.0.1/24".parse().unwrap();
    let space = Space::Node("b".parse().unwrap());
    assert!(objects.contains_key(&Key::Address { space, link: "eth1".parse().unwrap(), address }));
    let (uplink, _) = port(&compiled, "host:eth9");
    assert_eq!((uplink.behind, uplink.network.as_str()), (Behind::Interface, "two"));
    assert_eq!(port(&compiled, "inside:uplink0").0.network.as_str(), "one");
    let (a, _) = port(&compiled, "a:eth0");
    assert_eq!((a.cost, a.edge), (Some(7), true));
    let switch = |name: &str| match &objects[&Key::Switch { space: Space::Node(name.parse().unwrap()) }].spec
    {
        Spec::Switch(switch) => switch.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(switch("one").tree.unwrap().to_string(), "on priority 4096 hello 1s");
    assert_eq!(switch("one").ageing, Some(10_000));
    assert!(switch("two").snooping && switch("two").querier.contains(&10) && switch("two").tree.is_none());
}

const MACHINES: &str = "
netloom: 1
name: t
networks: { lan: { subnet: [10.0.0.0/24, 'fd00::/64'], mode: nat, mtu: 1400 } }
endpoints:
  web: { networks: [lan] }
  guest:
    kind: vm
    interfaces: { eth0: { network: lan, vlan: 7, queues: 4, socket: { mode: client, path: /run/x.sock, group: 5 } } }
tests: [{ reach: 'web, guest -> guest' }]
";

#[test]
fn a_virtual_machine_is_a_socket_and_nothing_else() {
    let compiled = compiled(MACHINES);
    check_laws(&compiled);
    let guest = Space::Node("guest".parse().unwrap());
    let own: Vec<&Key> = compiled.desired.objects.keys().filter(|key| *key.space() == guest).collect();
    assert!(matches!(own.as_slice(), [Key::SwitchPort { .. }]), "{own:?}");
    let (port, why) = port(&compiled, "guest:eth0");
    assert_eq!(port.behind.to_string(), "vhost-user client, 4 queues, /run/x.sock, group 5");
    assert!(port.pinned.is_none() && why == "attaches guest to network lan", "{why}");
    let facts = compiled.interfaces.iter().find(|facts| facts.is_machine()).unwrap();
    assert_eq!((facts.addresses.len(), facts.mtu, facts.gateways.len()), (2, Some(1400), 2));
    let space = Space::Node("lan".parse().unwrap());
    let switch = &compiled.desired.objects[&Key::Switch { space }];
    assert!(switch.reason.ends_with("since guest is a virtual machine"), "{}", switch.reason);
    // Nothing of ours is inside to begin a test.
    assert_eq!(compiled.tests.len(), 1);
    let Check::Reach { to, .. } = &compiled.tests[0].check else { panic!("{:?}", compiled.tests) };
    assert!(to.machine);
}

#[test]
fn ports_that_are_pinned_and_machines_where_there_are_policies() {
    let text = MACHINES.replace("tests:", "policies: { default: deny }\ntests:");
    let guarded = compiled(&text);
    let (pinned, _) = port(&guarded, "guest:eth0");
    let pinned = pinned.pinned.unwrap();
    let facts = guarded.interfaces.iter().find(|facts| facts.is_machine()).unwrap();
    assert_eq!((Some(pinned.mac), pinned.addresses.len()), (facts.mac, 2));
    assert!(guarded.notes.iter().any(|note| note.text.contains("not between virtual machine guest")));
    let free = text.replace("queues: 4", "pinned: false");
    assert!(port(&compiled(&free), "guest:eth0").0.pinned.is_none());

    let plain = file("", "").replace("vlan: 10", "pinned: true");
    let (switch, why) = carrier(&compiled(&plain));
    assert!(switch && why.ends_with("since a:eth0 is pinned to its addresses"), "{why}");
    let refused = try_compile(&plain.replace("net: {", "net: { via: kernel,"), &Context::default());
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("can't be `via: kernel`: a:eth0 is pinned"), "{text}");
}

#[test]
fn media_of_links_and_of_machines() {
    let text = "
netloom: 1
name: t
defaults: { via: switch }
networks: { one: { mode: bridge }, two: {}, old: { via: kernel } }
endpoints:
  guest: { kind: vm, interfaces: { eth0: { network: one, address: none, medium: { delay: 3ms } } } }
  a: {}
links:
  - { link: 'one:to-two -- two:to-one', medium: { profile: 5g } }
  - { link: 'a:eth0 -- one:a', medium: { profile: 5g } }
  - { link: 'one:b -- a:eth1', medium: { profile: 5g } }
  - { link: 'old:to-one -- one:to-old', medium: { loss: 1% } }
qos: [{ on: 'guest:eth0', tbf: { rate: 8mbit } }]
";
    let compiled = compiled(text);
    let link = |at: &str| port(&compiled, at).0.link;
    // Who stands first sends up, and a cable between two switches is at one end.
    assert_eq!(link("a:eth0")["link-rate-in"], link("a:eth1")["link-rate-out"]);
    assert_ne!(link("a:eth0")["link-rate-in"], link("a:eth0")["link-rate-out"]);
    assert_eq!(link("one:to-two")["link-rate-out"], link("a:eth0")["link-rate-in"]);
    assert!(link("two:to-one").is_empty());
    assert_eq!((&link("old:to-one")["loss-in"][..], &link("old:to-one")["loss-out"][..]), ("1%", "1%"));
    assert_eq!(
        (&link("guest:eth0")["delay-in"][..], &link("guest:eth0")["link-rate-in"][..]),
        ("3ms", "8mbit")
    );
}
