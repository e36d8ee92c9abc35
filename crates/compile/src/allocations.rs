//! Addresses that Netloom chose, remembered so that they stay.
//!
//! What: [`Allocations`] goes into a compilation and comes out of it, and is stored with the applied
//! generation. [`Pool`] chooses within one subnet.
//!
//! Invariants: an interface keeps its address as long as it stays in the file and the address stays
//! legal; whoever comes or goes beside it changes nothing. A choice depends on nothing but the input.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netloom_model::scalar::InterfaceRef;
use netloom_wire::NodeName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What was chosen, for interfaces that the description still has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allocations {
    /// Network, then interface (`web:eth0`): its addresses, at most one of each family.
    pub addresses: BTreeMap<NodeName, BTreeMap<InterfaceRef, BTreeSet<IpAddr>>>,
    /// Network with the host as uplink: the subnets between the two, at most one of each family.
    pub transits: BTreeMap<NodeName, BTreeSet<IpNet>>,
}

impl Allocations {
    /// What was chosen for an interface in a subnet.
    pub(crate) fn address(
        &self,
        network: &NodeName,
        interface: &InterfaceRef,
        subnet: &IpNet,
    ) -> Option<IpAddr> {
        let addresses = self.addresses.get(network)?.get(interface)?;
        addresses.iter().copied().find(|address| subnet.contains(address))
    }

    pub(crate) fn remember(&mut self, network: &NodeName, interface: InterfaceRef, address: IpAddr) {
        self.addresses.entry(network.clone()).or_default().entry(interface).or_default().insert(address);
    }
}

/// Hands out the addresses of one subnet in order.
#[derive(Debug)]
pub(crate) struct Pool {
    subnet: IpNet,
    taken: BTreeSet<IpAddr>,
    /// Everything before it is taken or was never to be had.
    next: Option<IpAddr>,
}

impl Pool {
    pub(crate) fn new(subnet: IpNet) -> Self {
        let next = match subnet {
            IpNet::V4(subnet) => Some(IpAddr::V4(first_v4(subnet))),
            // The first sixteen are left to people and gateways; a subnet as small as that has them all.
            IpNet::V6(subnet) if subnet.prefix_len() > 123 => first_v6(subnet).map(IpAddr::V6),
            IpNet::V6(subnet) => {
                Some(IpAddr::V6(Ipv6Addr::from_bits(subnet.network().to_bits().wrapping_add(0x10))))
            }
        };
        Self { subnet, taken: BTreeSet::new(), next }
    }

    /// Whether an interface may have this address: it lies in the subnet and is not kept for others.
    pub(crate) fn usable(&self, address: IpAddr) -> bool {
        match (self.subnet, address) {
            (IpNet::V4(subnet), IpAddr::V4(address)) => {
                subnet.contains(&address)
                    && (subnet.prefix_len() >= 31
                        || (address != subnet.network() && address != subnet.broadcast()))
            }
            (IpNet::V6(subnet), IpAddr::V6(address)) => {
                subnet.contains(&address) && (subnet.prefix_len() >= 127 || address != subnet.network())
            }
            _ => false,
        }
    }

    /// Takes an address; false if somebody has it or nobody may have it.
    pub(crate) fn take(&mut self, address: IpAddr) -> bool {
        self.usable(address) && self.taken.insert(address)
    }

    /// Marks an address as somebody's, legal or not.
    pub(crate) fn exclude(&mut self, address: IpAddr) {
        self.taken.insert(address);
    }

    /// The next free address.
    pub(crate) fn choose(&mut self) -> Option<IpAddr> {
        loop {
            let address = self.next?;
            self.next = successor(address).filter(|next| self.subnet.contains(next));
            if self.take(address) {
                return Some(address);
            }
        }
    }
}

fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(address) => address.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// The first address that a host may have: RFC 3021 gives both addresses of a /31 to hosts.
pub(crate) fn first_host(subnet: IpNet) -> Option<IpAddr> {
    match subnet {
        IpNet::V4(subnet) => Some(first_v4(subnet).into()),
        IpNet::V6(subnet) => first_v6(subnet).map(IpAddr::V6),
    }
}

fn first_v4(subnet: Ipv4Net) -> Ipv4Addr {
    let offset = u32::from(subnet.prefix_len() < 31);
    Ipv4Addr::from_bits(subnet.network().to_bits() | offset)
}

/// The all-zero host part is the routers' anycast address (RFC 4291 section 2.6.1), but on /127 and /128.
fn first_v6(subnet: Ipv6Net) -> Option<Ipv6Addr> {
    let offset = u128::from(subnet.prefix_len() < 127);
    subnet.network().to_bits().checked_add(offset).map(Ipv6Addr::from_bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(subnet: &str) -> Vec<String> {
        let mut pool = Pool::new(subnet.parse().unwrap());
        std::iter::from_fn(|| pool.choose()).take(300).map(|address| address.to_string()).collect()
    }

    #[test]
    fn edges() {
        assert_eq!(all("10.0.0.0/30"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(all("10.0.0.0/31"), ["10.0.0.0", "10.0.0.1"]);
        assert_eq!(all("10.0.0.7/32"), ["10.0.0.7"]);
        assert_eq!(all("fd00::/127"), ["fd00::", "fd00::1"]);
        assert_eq!(all("fd00::/64")[..2], ["fd00::10", "fd00::11"]);
        assert_eq!(all("fd00::/124").len(), 15);
        assert_eq!(all("255.255.255.252/30"), ["255.255.255.253", "255.255.255.254"]);
        assert_eq!(all("10.0.0.0/24").len(), 254);
        assert_eq!(first_host("10.1.0.0/16".parse().unwrap()), Some("10.1.0.1".parse().unwrap()));
        assert_eq!(first_host("fd00::/64".parse().unwrap()), Some("fd00::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_pool_gives_each_address_once(bits: u32, length in 20u8..=32, excluded in proptest::collection::vec(any::<u8>(), 0..20)) {
            let subnet: IpNet = Ipv4Net::new(Ipv4Addr::from_bits(bits), length).unwrap().trunc().into();
            let mut pool = Pool::new(subnet);
            for low in &excluded {
                let IpAddr::V4(base) = subnet.network() else { unreachable!() };
                pool.exclude(Ipv4Addr::from_bits(base.to_bits() | u32::from(*low)).into());
            }
            let given: Vec<IpAddr> = std::iter::from_fn(|| pool.choose()).collect();
            let unique: BTreeSet<IpAddr> = given.iter().copied().collect();
            prop_assert_eq!(unique.len(), given.len());
            prop_assert!(given.iter().all(|address| subnet.contains(address)));
            let hosts = if length >= 31 { 1usize << (32 - length) } else { (1usize << (32 - length)) - 2 };
            prop_assert!(given.len() <= hosts && given.len() + excluded.len() >= hosts);
        }
    }
}
