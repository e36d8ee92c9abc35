//! What addresses an interface has or asks for.

use super::{Attachment, End, Index};
use crate::document::Spanned;
use crate::scalar::{AddressChoice, Gateway, Prefix};
use crate::topology::{Network, NetworkMode, Topology};
use ipnet::IpNet;
use netloom_wire::{InterfaceName, NodeName};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of an interface before the allocator has spoken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Addressing {
    /// Given addresses, with the prefix length of the network where none was written.
    pub fixed: Vec<Spanned<IpNet>>,
    /// Subnets in which the allocator chooses one address each.
    pub auto: Vec<Spanned<Prefix>>,
}

impl Addressing {
    /// Whether it has or gets an address of this family.
    #[must_use]
    pub fn has_family(&self, v6: bool) -> bool {
        self.fixed.iter().any(|net| net.addr().is_ipv6() == v6)
            || self.auto.iter().any(|subnet| subnet.net().addr().is_ipv6() == v6)
    }

    /// Whether it has no address and gets none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.auto.is_empty()
    }

    /// The prefixes that are on this link: those of the fixed addresses and the subnets of the others.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        let fixed = self.fixed.iter().map(|net| net.trunc());
        fixed.chain(self.auto.iter().map(|subnet| subnet.net()))
    }
}

/// The gateways that nodes on a network use, at most one for each of its subnets, with the length of the
/// subnet's prefix. `auto` gives the first address of the subnet in modes nat, routed and host-only.
#[must_use]
pub fn gateways(network: &Network) -> Vec<Spanned<IpNet>> {
    let mut found: Vec<Spanned<IpNet>> = Vec::new();
    for gateway in network.gateway.iter() {
        if let Gateway::At(address) = gateway.value
            && let Some(subnet) = network.subnet.iter().find(|subnet| subnet.net().contains(&address))
            && let Ok(net) = IpNet::new(address, subnet.net().prefix_len())
        {
            found.push(Spanned::new(net, gateway.span));
        }
    }
    let auto =
        network.gateway.is_empty() || network.gateway.iter().any(|gateway| gateway.value == Gateway::Auto);
    let some = network.gateway.iter().any(|gateway| matches!(gateway.value, Gateway::At(_)));
    if has_own_gateway(network.mode) && (auto || some) {
        for subnet in network.subnet.iter() {
            let given = |net: &Spanned<IpNet>| subnet.net().contains(&net.addr());
            if !found.iter().any(given)
                && let Some(first) = first_address(subnet.net())
            {
                found.push(Spanned::new(first, subnet.span));
            }
        }
    }
    found
}

/// The gateways that a network is itself: those of modes nat, routed and host-only.
#[must_use]
pub fn own_gateways(network: &Network) -> Vec<Spanned<IpNet>> {
    if has_own_gateway(network.mode) { gateways(network) } else { Vec::new() }
}

const fn has_own_gateway(mode: NetworkMode) -> bool {
    matches!(mode, NetworkMode::Nat | NetworkMode::HostOnly | NetworkMode::Routed)
}

/// The first address of a prefix that a station can have: 10.0.0.1 of 10.0.0.0/24, `fd00::1` of `fd00::/64`.
#[must_use]
pub fn first_address(net: IpNet) -> Option<IpNet> {
    let host_bits = net.max_prefix_len() - net.prefix_len();
    let first = match net.network() {
        network if host_bits < 2 => network,
        IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from(u32::from(network) + 1)),
        IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from(u128::from(network) + 1)),
    };
    IpNet::new(first, net.prefix_len()).ok()
}

/// See [`super::Validated::addressing`]. Choices that mean nothing (errors elsewhere) are left out.
pub(crate) fn of_interface(
    topology: &Topology,
    index: &Index,
    node: &NodeName,
    interface: &InterfaceName,
) -> Addressing {
    let mut addressing = Addressing::default();
    let attachment = index.attachment(node, interface);
    let network = super::segment_of(topology, index, node, interface).map(|(_, network)| network);
    let by_link = matches!(attachment, Some(Attachment::Link { .. }));
    if let Some(Attachment::Link { index: number, end }) = attachment
        && let Some(item) = topology.links.get(*number)
    {
        // The ends take their addresses in turn.
        let (skip, step) = if *end == End::On { (0, 1) } else { (usize::from(*end == End::B), 2) };
        for address in item.value.addresses.iter().skip(skip).step_by(step) {
            let span = if address.span.is_empty() { item.span } else { address.span };
            addressing.fixed.push(Spanned::new(address.value.net(), span));
        }
    }
    let spoken =
        super::node(topology, node).and_then(|(_, node)| node.interfaces.get_key_value(interface.as_str()));
    let Some((key, spoken)) = spoken else { return addressing };
    let subnets = || network.into_iter().flat_map(|network| network.subnet.iter());
    // What is plugged in by a link has an address only if it asks for one.
    if spoken.address.is_empty() && !by_link {
        addressing.auto.extend(subnets().map(|subnet| Spanned::new(subnet.value, key.span)));
    }
    for choice in spoken.address.iter() {
        match choice.value {
            AddressChoice::None => {}
            AddressChoice::Auto => {
                addressing.auto.extend(subnets().map(|subnet| Spanned::new(subnet.value, choice.span)));
            }
            AddressChoice::Fixed(address) => addressing.fixed.push(Spanned::new(address.net(), choice.span)),
            AddressChoice::Bare(address) => {
                let length = subnets().find(|subnet| subnet.net().contains(&address));
                if let Some(subnet) = length
                    && let Ok(net) = IpNet::new(address, subnet.net().prefix_len())
                {
                    addressing.fixed.push(Spanned::new(net, choice.span));
                }
            }
        }
    }
    // `[10.0.0.5, auto]` asks for the other family only.
    let Addressing { fixed, auto } = &mut addressing;
    auto.retain(|subnet| !fixed.iter().any(|net| subnet.net().contains(&net.addr())));
    addressing
}
