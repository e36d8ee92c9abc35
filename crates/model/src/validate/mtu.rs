//! MTU: a frame fits into what carries it.

use super::codes;
use super::context::Check;
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::topology::{Encapsulation, LinkKind, NetworkMode};
use crate::validated::{self, Attachment};
use netloom_wire::{InterfaceName, NodeName};
use std::net::IpAddr;

/// MTU of Ethernet, and of everything that names none.
const ETHERNET: u32 = 1500;
/// Smallest MTU over which IPv6 runs (RFC 8200, section 5).
const IPV6_LEAST: u32 = 1280;

pub(super) fn check(check: &mut Check<'_>) {
    for (name, _, _, node) in validated::nodes(check.topology) {
        let Some(entry) = check.index.node(name) else { continue };
        for interface in entry.interfaces.keys() {
            if check.addresses(name, interface).has_family(true) && interface.as_str() != "lo" {
                ipv6(check, name, interface);
            }
        }
        for (key, interface) in &node.interfaces {
            let (Some(mtu), Some(wanted)) = (&interface.mtu, &interface.network) else { continue };
            let Some(network) = check.topology.networks.get(wanted) else { continue };
            if let Some(segment) = &network.mtu
                && mtu.value > segment.value
            {
                let finding = Diagnostic::warning(
                    codes::MTU_WARNING,
                    format!(
                        "`{name}:{}` sends up to {}, but its network carries {}",
                        key.value, mtu.value, segment.value
                    ),
                )
                .at(mtu.span)
                .label("larger frames are dropped")
                .help(format!("write at most {}", segment.value))
                .related(segment.span, "MTU of the network");
                check.push(finding);
            }
        }
    }
    riders(check);
    overlays(check);
}

fn ipv6(check: &mut Check<'_>, name: &NodeName, interface: &InterfaceName) {
    if let Some(mtu) = written(check, name, interface)
        && mtu.value < IPV6_LEAST
    {
        check.error(
            codes::MTU,
            mtu.span,
            format!("`{name}:{interface}` has an IPv6 address, but an MTU of {}", mtu.value),
            "too small for IPv6",
            format!("IPv6 needs at least {IPV6_LEAST} (RFC 8200, section 5)"),
        );
    }
}

/// The MTU that the file gives an interface, at the interface, its network or link, or in `defaults`.
fn written(check: &Check<'_>, node: &NodeName, interface: &InterfaceName) -> Option<Spanned<u32>> {
    let own = validated::node(check.topology, node)
        .and_then(|(_, node)| node.interfaces.get(interface.as_str()))
        .and_then(|interface| interface.mtu);
    let carrier = || match check.index.attachment(node, interface)? {
        Attachment::Network(name) => {
            check.topology.networks.get(name.as_str()).and_then(|network| network.mtu)
        }
        Attachment::Link { index, .. } => check.topology.links.get(*index).and_then(|item| item.value.mtu),
        Attachment::Vrf | Attachment::Loopback => None,
    };
    own.or_else(carrier)
}

/// The MTU that an interface has, as far as the file tells.
fn effective(check: &Check<'_>, node: &NodeName, interface: &InterfaceName) -> u32 {
    let written = written(check, node, interface).or(check.topology.defaults.mtu);
    written.map_or(ETHERNET, |mtu| mtu.value)
}

/// What rides on another interface is no larger than that.
fn riders(check: &mut Check<'_>) {
    for item in &check.topology.links {
        let link = &item.value.0;
        let (Some(mtu), Some(on), Some(parent)) = (&link.mtu, &link.on, &link.parent) else { continue };
        if !matches!(link.kind, LinkKind::Vlan | LinkKind::Macvlan | LinkKind::Ipvlan)
            || check.index.attachment(&on.node, parent).is_none()
        {
            continue;
        }
        let below = effective(check, &on.node, parent);
        if mtu.value > below {
            check.error(
                codes::MTU,
                mtu.span,
                format!(
                    "`{}` can't have an MTU of {}: its parent `{}` has {below}",
                    on.value, mtu.value, parent.value
                ),
                "larger than what carries it",
                format!("write at most {below}, or raise the MTU of `{}`", parent.value),
            );
        }
    }
}

/// An overlay's frames fit into those of the underlay, with the outer headers.
fn overlays(check: &mut Check<'_>) {
    for (key, network) in &check.topology.networks {
        let Some(mtu) = network.mtu.as_ref().filter(|_| network.mode == NetworkMode::Overlay) else {
            continue;
        };
        for (node, address) in &network.vteps {
            let carrier = check.interfaces_of(&node.value).find_map(|(interface, addressing)| {
                addressing.fixed.iter().any(|net| net.addr() == address.value).then_some(interface)
            });
            let Some(interface) = carrier else { continue };
            let under = effective(check, &node.value, interface);
            let room =
                under.saturating_sub(overhead(network.encapsulation.unwrap_or_default(), address.value));
            if mtu.value > room {
                check.warning(
                    codes::MTU_WARNING,
                    mtu.span,
                    format!(
                        "overlay `{}` has an MTU of {}, but `{}:{interface}` leaves room for {room}",
                        key.value, mtu.value, node.value
                    ),
                    "full frames are broken into pieces",
                    format!("write {room}, or nothing: it is computed then"),
                );
                break;
            }
        }
    }
}

/// Bytes of outer headers: IP, UDP, VXLAN (RFC 7348) or Geneve without options (RFC 8926), inner Ethernet.
fn overhead(encapsulation: Encapsulation, outer: IpAddr) -> u32 {
    let tunnel = match encapsulation {
        Encapsulation::Vxlan | Encapsulation::Geneve => 8,
    };
    let ip = if outer.is_ipv6() { 40 } else { 20 };
    ip + 8 + tunnel + 14
}
