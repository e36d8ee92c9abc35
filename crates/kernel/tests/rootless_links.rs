//! Links of the kinds that even a small kernel has: made, changed in every attribute, deleted.

mod common;

use common::*;
use netloom_compile::object::{
    BridgeOptions, BridgePort, Key, LinkKind, MacvlanMode, Mark, Operation, Space, Spec, TunTapOptions,
    VxlanOptions,
};
use netloom_kernel::KernelError;
use netloom_wire::Vni;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn a_veth_between_two_nodes() {
    bed(|bed| {
        bed.nodes(&["a", "b"]);
        let (a, b) = (at(&node("a"), "eth0"), at(&node("b"), "eth7"));
        let (key_a, key_b) = (Key::link(&a), Key::link(&b));
        let (spec_a, spec_b) = (link(veth(b.clone())), link(veth(a.clone())));
        bed.put(&key_a, &spec_a);
        // Making one end made the other, which is ours before anybody has configured it.
        assert_eq!(bed.find(&key_b, &spec_b).unwrap().mark, Mark::Ours);
        bed.create(&key_a, &spec_a);
        bed.create(&key_b, &spec_b);
        let changed = link_with(veth(b.clone()), |link| {
            link.mtu = Some(1400);
            link.mac = Some("02:00:00:00:00:0a".parse().unwrap());
            link.up = false;
        });
        bed.change(&key_a, &spec_a, &changed);
        bed.is(&key_b, &spec_b);
        bed.delete(&key_b, &spec_b);
        assert_eq!(bed.find(&key_a, &spec_a), None, "deleting one end deletes the other");
        bed.delete(&key_a, &changed);
    });
}

#[test]
fn a_veth_in_one_place_and_to_the_host() {
    bed(|bed| {
        bed.nodes(&["a"]);
        for (first, second) in
            [(at(&node("a"), "x0"), at(&node("a"), "x1")), (at(&Space::Host, "vx"), at(&node("a"), "eth0"))]
        {
            for (one, other) in [(&first, &second), (&second, &first)] {
                bed.create(&Key::link(one), &link(veth(other.clone())));
                bed.create(&Key::link(other), &link(veth(one.clone())));
                bed.delete(&Key::link(one), &link(veth(other.clone())));
            }
        }
    });
}

#[test]
fn both_ends_in_one_step() {
    bed(|bed| {
        bed.nodes(&["a", "b"]);
        for (a, b) in [
            (at(&Space::Host, "one"), at(&Space::Host, "two")),
            (at(&node("a"), "one"), at(&node("b"), "two")),
            (at(&node("a"), "eth0"), at(&Space::Host, "three")),
        ] {
            let pairs = [(&a, &b), (&b, &a)];
            let operations: Vec<_> = pairs
                .iter()
                .map(|(one, other)| Operation::Create {
                    key: Key::link(one),
                    spec: link(veth((*other).clone())),
                })
                .collect();
            bed.execute(&operations).unwrap();
            for (one, other) in pairs {
                bed.is(&Key::link(one), &link(veth(other.clone())));
            }
            let operations: Vec<_> = operations.iter().map(Operation::inverse).collect();
            bed.execute(&operations).unwrap();
            assert_eq!(bed.find(&Key::link(&a), &link(veth(b.clone()))), None);
        }
    });
}

#[test]
fn a_bridge_and_its_ports() {
    bed(|bed| {
        bed.nodes(&["s"]);
        let space = node("s");
        let key = link_key(&space, "br0");
        bed.create(&key, &link(bridge()));
        let all = BridgeOptions {
            stp: true,
            priority: Some(4096),
            forward_delay: Some(400),
            hello_time: Some(100),
            max_age: Some(600),
            ageing_time: Some(12_300),
            multicast_snooping: Some(false),
            multicast_querier: Some(true),
            ..BridgeOptions::default()
        };
        let full = link_with(LinkKind::Bridge(all), |link| {
            link.mtu = Some(1600);
            link.mac = Some("02:00:00:00:00:0b".parse().unwrap());
        });
        bed.change(&key, &link(bridge()), &full);
        bed.delete(&key, &full);
        bed.create(&key, &full);

        let (a, b) = (at(&space, "p0"), at(&space, "x0"));
        let plain = link_with(veth(b.clone()), |link| link.controller = Some("br0".parse().unwrap()));
        bed.create(&Key::link(&a), &plain);
        let settings = BridgePort {
            isolated: true,
            hairpin: true,
            learning: Some(false),
            flood: Some(false),
            cost: Some(77),
            priority: Some(9),
            vlans: BTreeSet::new(),
        };
        let set = link_with(veth(b.clone()), |link| {
            link.controller = Some("br0".parse().unwrap());
            link.port = Some(settings);
        });
        bed.change(&Key::link(&a), &plain, &set);
        bed.is(&key, &full);
        let out = link(veth(b.clone()));
        bed.change(&Key::link(&a), &set, &out);
        bed.change(&Key::link(&a), &out, &set);
        bed.delete(&Key::link(&a), &set);
        bed.create(&Key::link(&a), &set);
        bed.delete(&key, &full);
    });
}

#[test]
fn a_bridge_keeps_its_mtu_when_a_port_joins() {
    bed(|bed| {
        let space = Space::Host;
        let spec = link_with(bridge(), |link| link.mtu = Some(1500));
        bed.create(&link_key(&space, "br0"), &spec);
        let port = link_with(veth(at(&space, "x0")), |link| {
            link.controller = Some("br0".parse().unwrap());
            link.mtu = Some(1400);
        });
        bed.create(&link_key(&space, "p0"), &port);
        bed.is(&link_key(&space, "br0"), &spec);
    });
}

#[test]
fn tap_and_tun() {
    bed(|bed| {
        bed.nodes(&["a"]);
        for space in [Space::Host, node("a")] {
            let some = TunTapOptions { multi_queue: true, vnet_header: true, user: Some(0), group: Some(0) };
            for options in [TunTapOptions::default(), some] {
                for kind in [LinkKind::Tap(options.clone()), LinkKind::Tun(options.clone())] {
                    let key = link_key(&space, "t0");
                    if let Err(error) =
                        bed.execute(&[Operation::Create { key: key.clone(), spec: link(kind.clone()) }])
                    {
                        return netloom_testkit::skip!("{error}");
                    }
                    bed.create(&key, &link(kind.clone()));
                    let to = link_with(kind.clone(), |link| {
                        link.mtu = Some(1300);
                        link.up = false;
                    });
                    bed.change(&key, &link(kind), &to);
                    bed.delete(&key, &to);
                }
            }
        }
    });
}

#[test]
fn macvlans_on_a_parent_here_and_elsewhere() {
    bed(|bed| {
        bed.nodes(&["a", "b"]);
        pair(bed, &at(&Space::Host, "up0"), &at(&Space::Host, "up1"));
        pair(bed, &at(&node("b"), "in0"), &at(&node("b"), "in1"));
        for (parent, space) in [
            (at(&Space::Host, "up0"), Space::Host),
            (at(&Space::Host, "up0"), node("a")),
            (at(&node("b"), "in0"), node("a")),
            (at(&node("b"), "in0"), node("b")),
        ] {
            for mode in [
                MacvlanMode::Private,
                MacvlanMode::Vepa,
                MacvlanMode::Bridge,
                MacvlanMode::Passthru,
                MacvlanMode::Source,
            ] {
                let sources: BTreeSet<_> = match mode {
                    MacvlanMode::Source => ["02:00:00:00:00:01".parse().unwrap()].into(),
                    _ => BTreeSet::new(),
                };
                let kind = LinkKind::Macvlan { parent: parent.clone(), mode, sources };
                let key = link_key(&space, "mv0");
                bed.create(&key, &link(kind.clone()));
                if mode == MacvlanMode::Source {
                    let sources =
                        ["02:00:00:00:00:02".parse().unwrap(), "02:00:00:00:00:03".parse().unwrap()].into();
                    let more = LinkKind::Macvlan { parent: parent.clone(), mode, sources };
                    bed.change(&key, &link(kind.clone()), &link(more));
                }
                bed.delete(&key, &link(kind));
            }
        }
    });
}

#[test]
fn vxlan_by_unicast_and_multicast() {
    bed(|bed| {
        bed.nodes(&["a"]);
        let space = node("a");
        pair(bed, &at(&space, "u0"), &at(&space, "u1"));
        let base = VxlanOptions {
            vni: Vni::try_from(100).unwrap(),
            local: None,
            remote: None,
            device: None,
            port: 4789,
            learning: true,
            ttl: None,
        };
        let variants = [
            base.clone(),
            VxlanOptions {
                local: Some("10.0.1.1".parse().unwrap()),
                remote: Some("10.0.1.2".parse().unwrap()),
                learning: false,
                ttl: Some(9),
                ..base.clone()
            },
            VxlanOptions {
                remote: Some("239.1.1.1".parse().unwrap()),
                device: Some("u0".parse().unwrap()),
                ..base.clone()
            },
            VxlanOptions {
                local: Some("fd00::1".parse().unwrap()),
                remote: Some("fd00::2".parse().unwrap()),
                port: 8472,
                ..base
            },
        ];
        for options in variants {
            let key = link_key(&space, "vx0");
            let spec = link_with(LinkKind::Vxlan(options.clone()), |link| link.mtu = Some(1400));
            bed.create(&key, &spec);
            let larger = link_with(LinkKind::Vxlan(options), |link| link.mtu = Some(1410));
            bed.change(&key, &spec, &larger);
            bed.delete(&key, &spec);
        }
    });
}

#[test]
fn ifb_where_there_is_one() {
    bed(|bed| {
        let key = link_key(&Space::Host, "ifb9");
        match bed.execute(&[Operation::Create { key: key.clone(), spec: link(LinkKind::Ifb) }]) {
            Err(KernelError::Missing { feature, .. }) => netloom_testkit::skip!("{feature}"),
            Err(error) => panic!("{error}"),
            Ok(()) => {
                bed.create(&key, &link(LinkKind::Ifb));
                bed.delete(&key, &link(LinkKind::Ifb));
            }
        }
    });
}

#[test]
fn an_existing_interface_is_only_set() {
    bed(|bed| {
        let made = bed.rig.run("ip", &["link", "add", "nic0", "type", "bridge"]);
        if made.is_none_or(|output| !output.status.success()) {
            return netloom_testkit::skip!("ip is not installed");
        }
        let key = link_key(&Space::Host, "nic0");
        let used = link_with(LinkKind::Existing, |link| link.mtu = Some(1700));
        bed.create(&key, &used);
        assert_eq!(bed.find(&key, &used).unwrap().mark, Mark::Unmarkable);
        bed.execute(&[Operation::Delete { key: key.clone(), spec: used.clone() }]).unwrap();
        bed.is(&key, &used);
        let absent = Operation::Create { key: link_key(&Space::Host, "nic9"), spec: used };
        assert!(matches!(bed.execute(&[absent]), Err(KernelError::Absent { .. })));
    });
}

#[test]
fn offloads_and_channels_of_a_veth() {
    bed(|bed| {
        let key = link_key(&Space::Host, "v0");
        let with = |on| {
            link_with(veth(at(&Space::Host, "v1")), |link| {
                link.features = BTreeMap::from([("tx-tcp-segmentation".into(), on)]);
                link.channels = Some(1);
            })
        };
        bed.create(&key, &with(false));
        bed.change(&key, &with(false), &with(true));
        bed.change(&key, &with(true), &with(false));
        bed.delete(&key, &with(false));
    });
}

#[test]
fn what_is_not_ours_is_not_touched() {
    bed(|bed| {
        bed.nodes(&["a"]);
        for space in [Space::Host, node("a")] {
            let made = bed.tool(&space, "ip", &["link", "add", "theirs", "type", "bridge"]);
            if made.is_none() {
                return netloom_testkit::skip!("ip is not installed");
            }
            let before = bed.tool(&space, "ip", &["-d", "link", "show", "theirs"]);
            let key = link_key(&space, "theirs");
            let spec = link_with(bridge(), |link| link.mtu = Some(1900));
            let refused = [
                Operation::Create { key: key.clone(), spec: spec.clone() },
                Operation::Change { key: key.clone(), from: link(bridge()), to: spec.clone() },
                Operation::Delete { key: key.clone(), spec: spec.clone() },
            ];
            for operation in refused {
                let error = bed.execute(std::slice::from_ref(&operation)).unwrap_err();
                assert!(matches!(error, KernelError::Occupied { .. }), "{operation:?}: {error}");
            }
            assert_eq!(bed.tool(&space, "ip", &["-d", "link", "show", "theirs"]), before);
            assert_eq!(bed.find(&key, &spec).map(|found| found.mark), Some(Mark::Foreign));
        }
        // Another topology's link is foreign too.
        let other = Bed::new(bed.rig, "other");
        let key = link_key(&Space::Host, "br-x");
        other.put(&key, &link(bridge()));
        assert_eq!(bed.find(&key, &link(bridge())).unwrap().mark, Mark::Foreign);
        assert!(!bed.observe(&[]).objects.contains_key(&key));
        assert!(other.observe(&[]).objects.contains_key(&key));
    });
}

#[test]
fn the_alias_says_who_made_it() {
    bed(|bed| {
        bed.nodes(&["a"]);
        pair(bed, &at(&Space::Host, "h0"), &at(&node("a"), "eth0"));
        for (space, name) in [(Space::Host, "h0"), (node("a"), "eth0")] {
            let Some(text) = bed.tool(&space, "ip", &["link", "show", name]) else {
                return netloom_testkit::skip!("ip is not installed");
            };
            assert!(text.contains("alias netloom:t:a test"), "{text}");
        }
        let Some(text) = bed.tool(&node("a"), "ip", &["link", "show", "lo"]) else { return };
        assert!(text.contains("alias netloom:t:a") && text.contains("LOOPBACK,UP"), "{text}");
    });
}

#[test]
fn a_mismatched_operation_is_refused() {
    bed(|bed| {
        let operation = Operation::Create { key: link_key(&Space::Host, "x"), spec: Spec::Namespace };
        assert!(matches!(bed.execute(&[operation]), Err(KernelError::Mismatch { .. })));
    });
}
