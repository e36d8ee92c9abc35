//! Tunnels between nodes and to somewhere outside: their outer addresses.

use super::codes;
use super::context::Check;
use super::links::one_family;
use crate::source::Span;
use crate::topology::{Link, LinkKind};
use crate::validated::link_ends;
use netloom_wire::{InterfaceName, NodeName};
use std::net::IpAddr;

pub(super) fn check(check: &mut Check<'_>, link: &Link, span: Span) {
    let ends = link_ends(link);
    let Some((_, first, own)) = ends.first().copied() else { return };
    if let (Some(local), Some(remote)) = (&link.local, &link.remote) {
        if !one_family(local.value, remote.value) {
            check.error(
                codes::FAMILY,
                remote.span,
                format!("{} and {} are of different families", local.value, remote.value),
                "another family than `local`",
                "give both IPv4 or both IPv6 addresses",
            );
        } else if local.value == remote.value {
            check.error(
                codes::TUNNEL_ENDS,
                remote.span,
                format!("the tunnel begins and ends at {}", remote.value),
                "the same as `local`",
                "write the address of the other side",
            );
        }
    }
    if let Some(local) = &link.local {
        owned(check, first, own, local.value, local.span);
    }
    if let Some((_, second, second_own)) = ends.get(1).copied() {
        if let Some(remote) = &link.remote {
            owned(check, second, second_own, remote.value, remote.span);
        }
        if let Some(group) = &link.group {
            check.error(
                codes::KEY_MISPLACED,
                group.span,
                "a tunnel between two nodes has no multicast group",
                "the other side is known",
                "remove `group`, or write an overlay network",
            );
        }
        if link.local.is_none() || link.remote.is_none() {
            for (node, own, given) in [(first, own, &link.local), (second, second_own, &link.remote)] {
                if given.is_none()
                    && check.index.node(node).is_some()
                    && outer(check, node, own).next().is_none()
                {
                    check.error(
                        codes::TUNNEL_ENDS,
                        check.word(span, node.as_str()),
                        format!("`{node}` has no address at which the tunnel could end"),
                        "no interface with an address",
                        "attach the node to a network that both sides reach",
                    );
                }
            }
        }
        return;
    }
    if link.on.is_none() {
        return;
    }
    match (&link.remote, &link.group, link.kind) {
        (Some(remote), Some(_), LinkKind::Vxlan) => check.error(
            codes::TUNNEL_ENDS,
            remote.span,
            "this tunnel has a remote address and a group",
            "either is enough",
            "keep one of `remote` and `group`",
        ),
        (None, Some(group), LinkKind::Vxlan) => {
            if !group.is_multicast() {
                check.error(
                    codes::NOT_MULTICAST,
                    group.span,
                    format!("{} is not a multicast address", group.value),
                    "not a group",
                    "choose one like 239.1.1.1 or ff05::100",
                );
            }
            if link.device.is_none() {
                check.error(
                    codes::KEY_MISSING,
                    group.span,
                    "a multicast group needs `device`",
                    "by which interface?",
                    "add `device`: the interface that joins the group",
                );
            }
        }
        (None, None, LinkKind::Wireguard) => {}
        (None, None, kind) => {
            let or_group = if kind == LinkKind::Vxlan { " or a `group`" } else { "" };
            check.error(
                codes::TUNNEL_ENDS,
                span,
                "nothing says where this tunnel leads",
                "the other side is missing",
                format!(
                    "add `remote`{or_group}, or write `link: a:tun0 -- b:tun0` for a tunnel between two nodes"
                ),
            );
        }
        _ => {}
    }
    if let Some(remote) = &link.remote
        && (remote.is_multicast() || remote.is_unspecified())
    {
        check.error(
            codes::TUNNEL_ENDS,
            remote.span,
            format!("{} can't be the other side of a tunnel", remote.value),
            "not the address of a station",
            "write a unicast address; for multicast `group`",
        );
    }
}

/// An outer address is one of the node, by another interface than the tunnel's own.
fn owned(check: &mut Check<'_>, node: &NodeName, own: &InterfaceName, address: IpAddr, span: Span) {
    if check.index.node(node).is_none() || outer(check, node, own).any(|found| found == Outer::Fixed(address))
    {
        return;
    }
    let waits = outer(check, node, own).any(|found| found == Outer::Auto);
    check.error(
        codes::NOT_OWN_ADDRESS,
        span,
        format!("{address} is not an address of `{node}`"),
        "the tunnel can't end there",
        if waits {
            format!("write `address: {address}` at the interface that shall have it")
        } else {
            format!("give an interface of `{node}` this address")
        },
    );
}

#[derive(PartialEq)]
enum Outer {
    Fixed(IpAddr),
    Auto,
}

/// The addresses of a node that do not lie inside of the tunnel.
fn outer<'s>(
    check: &'s Check<'_>,
    node: &'s NodeName,
    own: &'s InterfaceName,
) -> impl Iterator<Item = Outer> + 's {
    let others = check.interfaces_of(node).filter(move |(name, _)| *name != own);
    others.flat_map(|(_, addressing)| {
        let fixed = addressing.fixed.iter().map(|net| Outer::Fixed(net.addr()));
        fixed.chain(addressing.auto.iter().map(|_| Outer::Auto))
    })
}
