//! Who has which address, for messages and for commands that take names.

use ipnet::IpNet;
use netloom_compile::object::{Desired, Key, Space};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Addresses of every node, in the order of the interfaces' names.
pub type Addresses = BTreeMap<NodeName, Vec<(InterfaceName, IpNet)>>;

/// The addresses that a desired table gives to nodes.
#[must_use]
pub fn addresses(desired: &Desired) -> Addresses {
    let mut all = Addresses::new();
    for key in desired.objects.keys() {
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
