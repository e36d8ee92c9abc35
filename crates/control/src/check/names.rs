//! Who has which address, for messages and for commands that take names.

use ipnet::IpNet;
use netloom_compile::Compiled;
use netloom_compile::object::{Key, Space};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Addresses of every node, in the order of the interfaces' names.
pub type Addresses = BTreeMap<NodeName, Vec<(InterfaceName, IpNet)>>;

/// The addresses that nodes have, and those that virtual machines should have.
#[must_use]
pub fn addresses(compiled: &Compiled) -> Addresses {
    let mut all = Addresses::new();
    let machines = compiled.interfaces.iter().filter(|facts| facts.is_machine());
    for facts in machines {
        if let Space::Node(node) = &facts.at.space {
            let own = facts.addresses.iter().map(|address| (facts.at.name.clone(), *address));
            all.entry(node.clone()).or_default().extend(own);
        }
    }
    for key in compiled.desired.objects.keys() {
        if let Key::Address { space: Space::Node(node), link, address } = key {
            all.entry(node.clone()).or_default().push((link.clone(), *address));
        }
    }
    all
}

/// The address of the other that is best to talk to: one in a common subnet, else the first.
#[must_use]
pub fn choose(
    mine: &[(InterfaceName, IpNet)],
    theirs: &[(InterfaceName, IpNet)],
    ipv6: bool,
) -> Option<IpAddr> {
    let candidates: Vec<&IpNet> =
        theirs.iter().map(|(_, net)| net).filter(|net| net.addr().is_ipv6() == ipv6).collect();
    candidates
        .iter()
        .find(|net| mine.iter().any(|(_, own)| own.trunc() == net.trunc()))
        .or_else(|| candidates.first())
        .map(|net| net.addr())
}
