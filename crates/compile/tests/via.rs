//! Who carries a network: what the user says, or what the kernel at hand can do.
#![allow(clippy::unwrap_used, reason = "test code, though not in a test function")]

mod common;

use common::{check_laws, compiled, try_compile};
use netloom_compile::object::shaper::Support;
use netloom_compile::object::{Key, LinkKind, Space, Spec};
use netloom_compile::{Bridging, Compiled, Context};

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
        ("bridge: { stp: true }", "", "`bridge` sets more than VLANs"),
        ("uplink: 'host:eth9'", "", "its uplink is an interface of the host"),
        ("", "links: ['net:x -- host:y']\n", "a link ends at net:x"),
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
