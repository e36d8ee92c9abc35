//! Link kinds that only a full kernel has, in the emulated machine.
#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use common::*;
use netloom_compile::object::{
    BondMode, BondOptions, BridgeOptions, BridgePort, FdbEntry, GeneveOptions, GreOptions, IpvlanFlag,
    IpvlanMode, Key, LinkKind, PortVlan, Space, Spec, VlanProtocol, WireguardOptions, WireguardPeer,
};
use std::collections::BTreeSet;

/// Made, changed in MTU and state, deleted.
fn comes_and_goes(bed: &Bed<'_>, space: &Space, kind: LinkKind) {
    let key = link_key(space, "x0");
    bed.create(&key, &link(kind.clone()));
    let to = link_with(kind.clone(), |link| {
        link.mtu = Some(1300);
        link.up = false;
    });
    bed.change(&key, &link(kind), &to);
    bed.delete(&key, &to);
}

#[test]
#[ignore = "vm"]
fn dummy_ifb_and_vrf() {
    bed(|bed| {
        bed.nodes(&["a"]);
        for space in [Space::Host, node("a")] {
            comes_and_goes(bed, &space, LinkKind::Dummy);
            comes_and_goes(bed, &space, LinkKind::Ifb);
            comes_and_goes(bed, &space, LinkKind::Vrf { table: 1000 });
        }
        let space = node("a");
        bed.create(&link_key(&space, "red"), &link(LinkKind::Vrf { table: 1000 }));
        let inside = link_with(LinkKind::Dummy, |link| link.controller = Some("red".parse().unwrap()));
        let (key, outside) = (link_key(&space, "d0"), link(LinkKind::Dummy));
        bed.create(&key, &inside);
        for address in ["10.0.0.1/24", "fd00::1/64"] {
            bed.create(&address_key(&space, "d0", address), &Spec::Address);
        }
        // Joining and leaving takes the interface down and up; its addresses stay.
        bed.change(&key, &inside, &outside);
        bed.change(&key, &outside, &inside);
        for address in ["10.0.0.1/24", "fd00::1/64"] {
            bed.is(&address_key(&space, "d0", address), &Spec::Address);
        }
        let rules =
            bed.observe(&[]).objects.into_keys().filter(|key| matches!(key, Key::Rule { .. })).count();
        assert_eq!(rules, 0, "the kernel's rule for VRFs is no object");
    });
}

#[test]
#[ignore = "vm"]
fn vlans_of_both_protocols() {
    bed(|bed| {
        bed.nodes(&["a"]);
        let space = node("a");
        pair(bed, &at(&space, "u0"), &at(&space, "u1"));
        for protocol in [VlanProtocol::Customer, VlanProtocol::Service] {
            for id in [1, 4094] {
                let id = u64::try_into(id).unwrap();
                comes_and_goes(bed, &space, LinkKind::Vlan { parent: "u0".parse().unwrap(), id, protocol });
            }
        }
    });
}

#[test]
#[ignore = "vm"]
fn ipvlans_on_a_parent_here_and_elsewhere() {
    bed(|bed| {
        bed.nodes(&["a", "b"]);
        pair(bed, &at(&Space::Host, "up0"), &at(&Space::Host, "up1"));
        pair(bed, &at(&node("b"), "in0"), &at(&node("b"), "in1"));
        for (parent, space) in [
            (at(&Space::Host, "up0"), node("a")),
            (at(&node("b"), "in0"), node("a")),
            (at(&node("b"), "in0"), node("b")),
        ] {
            for mode in [IpvlanMode::L2, IpvlanMode::L3, IpvlanMode::L3s] {
                for flag in [IpvlanFlag::Bridge, IpvlanFlag::Private, IpvlanFlag::Vepa] {
                    comes_and_goes(bed, &space, LinkKind::Ipvlan { parent: parent.clone(), mode, flag });
                }
            }
        }
    });
}

#[test]
#[ignore = "vm"]
fn geneve_tunnels() {
    bed(|bed| {
        bed.nodes(&["a"]);
        for remote in ["10.0.1.2", "fd00::2"] {
            for ttl in [None, Some(7)] {
                let options = GeneveOptions {
                    vni: 100.try_into().unwrap(),
                    remote: remote.parse().unwrap(),
                    port: 6081,
                    ttl,
                };
                comes_and_goes(bed, &node("a"), LinkKind::Geneve(options));
            }
        }
    });
}

#[test]
#[ignore = "vm"]
fn gre_tunnels_of_both_families_and_layers() {
    bed(|bed| {
        bed.nodes(&["a"]);
        for (local, remote) in [("10.0.1.1", "10.0.1.2"), ("fd00::1", "fd00::2")] {
            let plain = GreOptions {
                local: None,
                remote: remote.parse().unwrap(),
                key: None,
                checksum: false,
                sequence: false,
                ttl: None,
            };
            let full = GreOptions {
                local: Some(local.parse().unwrap()),
                key: Some(77),
                checksum: true,
                sequence: true,
                ttl: Some(9),
                ..plain.clone()
            };
            for options in [plain, full] {
                comes_and_goes(bed, &node("a"), LinkKind::Gre(options.clone()));
                comes_and_goes(bed, &node("a"), LinkKind::Gretap(options));
            }
        }
    });
}

/// A public key that is no point of small order is as good as any here.
fn peer(number: u8, endpoint: Option<&str>) -> WireguardPeer {
    WireguardPeer {
        public_key: [number; 32],
        preshared_key: number.is_multiple_of(2).then_some([number; 32]),
        endpoint: endpoint.map(|text| text.parse().unwrap()),
        keepalive: Some(u16::from(number)),
        allowed_ips: [
            format!("10.{number}.0.0/16").parse().unwrap(),
            format!("fd{number:02}::/64").parse().unwrap(),
        ]
        .into(),
    }
}

#[test]
#[ignore = "vm"]
fn wireguard_with_peers() {
    bed(|bed| {
        bed.nodes(&["a"]);
        let key = link_key(&node("a"), "wg0");
        // A private key must be clamped, else the kernel shows another one than it was given.
        let mut private_key = [0x42; 32];
        private_key[31] = (private_key[31] & 127) | 64;
        private_key[0] &= 248;
        let options = |peers: Vec<WireguardPeer>, port, mark| WireguardOptions {
            private_key,
            listen_port: Some(port),
            mark,
            peers,
        };
        let first = options(vec![peer(1, Some("192.0.2.1:51820")), peer(2, None)], 51820, None);
        let second =
            options(vec![peer(2, Some("[2001:db8::1]:7")), peer(3, Some("192.0.2.3:1"))], 51821, Some(7));
        let (first, second) = (link(LinkKind::Wireguard(first)), link(LinkKind::Wireguard(second)));
        bed.create(&key, &first);
        bed.change(&key, &first, &second);
        bed.change(&key, &second, &first);
        bed.delete(&key, &first);
    });
}

#[test]
#[ignore = "vm"]
fn bonds_and_their_ports() {
    bed(|bed| {
        bed.nodes(&["a"]);
        let space = node("a");
        for mode in [
            BondMode::BalanceRr,
            BondMode::ActiveBackup,
            BondMode::BalanceXor,
            BondMode::Broadcast,
            BondMode::Lacp,
            BondMode::BalanceTlb,
            BondMode::BalanceAlb,
        ] {
            let active = mode == BondMode::ActiveBackup;
            let options = BondOptions {
                mode,
                miimon: Some(100),
                transmit_hash: (!active).then(|| "layer3+4".into()),
                lacp_fast: (mode == BondMode::Lacp).then_some(true),
                primary: active.then(|| "p1".parse().unwrap()),
            };
            let bond = link(LinkKind::Bond(options.clone()));
            let key = link_key(&space, "bond0");
            // The preferred port does not exist yet, so it is looked at below.
            bed.put(&key, &bond);
            for (name, other) in [("p0", "q0"), ("p1", "q1")] {
                let port = link_with(veth(at(&space, other)), |link| {
                    link.controller = Some("bond0".parse().unwrap())
                });
                bed.create(&link_key(&space, name), &port);
            }
            bed.is(&key, &bond);
            bed.create(&key, &bond);
            let changed = BondOptions {
                miimon: Some(200),
                transmit_hash: (!active).then(|| "layer2+3".into()),
                lacp_fast: (mode == BondMode::Lacp).then_some(false),
                primary: active.then(|| "p0".parse().unwrap()),
                mode,
            };
            bed.change(&key, &bond, &link(LinkKind::Bond(changed)));
            // Out of the bond and in again.
            let (port, out) = (link_key(&space, "p0"), link(veth(at(&space, "q0"))));
            let inside =
                link_with(veth(at(&space, "q0")), |link| link.controller = Some("bond0".parse().unwrap()));
            bed.change(&port, &inside, &out);
            bed.change(&port, &out, &inside);
            bed.delete(&key, &bond);
            for (name, other) in [("p0", "q0"), ("p1", "q1")] {
                bed.delete(&link_key(&space, name), &link(veth(at(&space, other))));
            }
        }
    });
}

fn vlan(id: u64, pvid: bool, untagged: bool) -> PortVlan {
    PortVlan { id: id.try_into().unwrap(), pvid, untagged }
}

#[test]
#[ignore = "vm"]
fn vlans_of_a_bridge_and_its_ports() {
    bed(|bed| {
        bed.nodes(&["a"]);
        let space = node("a");
        let with = |vlans: &[PortVlan]| {
            link(LinkKind::Bridge(BridgeOptions {
                vlan_filtering: true,
                default_pvid: Some(0),
                vlans: vlans.iter().copied().collect(),
                ..BridgeOptions::default()
            }))
        };
        let key = link_key(&space, "br0");
        bed.create(&key, &with(&[]));
        let (one, many) =
            ([vlan(5, true, true)], [vlan(5, false, false), vlan(6, true, true), vlan(4094, false, false)]);
        bed.change(&key, &with(&[]), &with(&one));
        bed.change(&key, &with(&one), &with(&many));
        let port = |vlans: BTreeSet<PortVlan>| {
            link_with(veth(at(&space, "q0")), |link| {
                link.controller = Some("br0".parse().unwrap());
                link.port = Some(BridgePort { vlans, ..BridgePort::default() });
            })
        };
        let access: BTreeSet<_> = [vlan(10, true, true)].into();
        let trunk: BTreeSet<_> = (1..=4094).map(|id| vlan(id, id == 7, id == 7)).collect();
        let some: BTreeSet<_> = [vlan(2, false, false), vlan(3, false, false), vlan(9, true, true)].into();
        let place = link_key(&space, "p0");
        bed.create(&place, &port(access.clone()));
        bed.change(&place, &port(access.clone()), &port(trunk.clone()));
        bed.change(&place, &port(trunk), &port(some.clone()));
        bed.change(&place, &port(some), &port(access));
        bed.is(&key, &with(&many));
        let entry = Key::FdbEntry {
            space: space.clone(),
            link: "p0".parse().unwrap(),
            mac: "02:00:00:00:00:31".parse().unwrap(),
            vlan: Some(10.try_into().unwrap()),
            remote: None,
        };
        bed.create(&entry, &Spec::FdbEntry(FdbEntry { permanent: false }));
        bed.delete(&entry, &Spec::FdbEntry(FdbEntry { permanent: false }));
        let seen = bed.observe(&[]).objects;
        assert!(!seen.keys().any(|key| matches!(key, Key::FdbEntry { .. })), "{seen:?}");
        bed.delete(&key, &with(&many));
    });
}
