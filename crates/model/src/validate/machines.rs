//! Virtual machines: what their own systems do, and where their sockets can be.

use super::codes;
use super::context::Check;
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::source::Span;
use crate::topology::{Interface, Network, NetworkMode, Node, Socket, Uplink, Via};
use crate::validated::{self, NodeKind, link_ends};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeMap;

/// Longest name of a socket's file (`sun_path` with its end, linux/un.h).
const LONGEST: usize = 107;
/// Most pairs of queues of a virtual machine's interface.
const MOST_QUEUES: u32 = 64;

pub(super) fn check(check: &mut Check<'_>) {
    let mut paths: BTreeMap<&str, Span> = BTreeMap::new();
    let topology = check.topology;
    for (name, span, kind, node) in validated::nodes(topology) {
        if node.is_machine() {
            machine(check, name, span, kind, node);
        }
        for (key, interface) in &node.interfaces {
            let Some(socket) = &interface.socket else { continue };
            if !node.is_machine() {
                check.error(
                    codes::KEY_MISPLACED,
                    check.key_of(key.span, "socket"),
                    format!("`socket` of `{name}:{}` is for virtual machines", key.value),
                    "this node is a network namespace",
                    "add `kind: vm` to the node, or remove `socket`",
                );
                continue;
            }
            file(check, socket, &mut paths);
        }
    }
    let mut used: Vec<(&NodeName, Span, &str)> = Vec::new();
    for network in topology.networks.values() {
        used.extend(network.vteps.keys().map(|node| (&node.value, node.span, "carry an overlay")));
        if let Some(parent) = &network.parent {
            used.push((&parent.value.node, parent.span, "have interfaces ride on its own"));
        }
        if let Some(uplink) = &network.uplink
            && let Uplink::Interface(at) = &uplink.value
        {
            used.push((&at.node, uplink.span, "be the uplink of a network"));
        }
    }
    for (.., node) in validated::nodes(topology) {
        used.extend(node.at.iter().map(|at| (&at.value, at.span, "carry other nodes' ports")));
    }
    for (node, span, what) in used {
        if validated::node(topology, node).is_some_and(|(_, node)| node.is_machine()) {
            check.error(
                codes::MACHINE,
                span,
                format!("`{node}` is a virtual machine, which can't {what}"),
                "nothing of Netloom's is inside",
                "name a router or an endpoint that is a network namespace",
            );
        }
    }
    for item in &topology.links {
        for (_, node, interface) in link_ends(&item.value) {
            if validated::node(topology, node).is_some_and(|(_, node)| node.is_machine()) {
                let span = check.word(item.span, &format!("{node}:{interface}"));
                check.error(
                    codes::MACHINE,
                    span,
                    format!("`{node}` is a virtual machine, and no link can end in it"),
                    "a link makes an interface in a network namespace",
                    "attach it to a network by `network:` in its interface",
                );
            }
        }
    }
    for item in &topology.qos {
        let on = &item.on;
        if item.htb.is_some()
            && validated::node(topology, &on.node).is_some_and(|(_, node)| node.is_machine())
        {
            check.error(
                codes::MACHINE,
                on.span,
                format!("`{}` is in a virtual machine, where no tree of classes can be made", on.value),
                "not an interface of this system",
                "hold it to a rate by `tbf` or `bandwidth`: the switch does those at its port",
            );
        }
    }
}

fn machine(check: &mut Check<'_>, name: &NodeName, span: Span, kind: NodeKind, node: &Node) {
    if kind == NodeKind::Router {
        check.error(
            codes::MACHINE,
            span,
            format!("router `{name}` is a virtual machine, whose routes Netloom can't set"),
            "a virtual machine is an endpoint",
            "list it under `endpoints`; whatever it forwards is its own business",
        );
    }
    let own = [
        ("routes", !node.routes.is_empty()),
        ("rules", !node.rules.is_empty()),
        ("vrfs", !node.vrfs.is_empty()),
        ("firewall", node.firewall.is_some()),
        ("masquerade", !node.masquerade.is_empty()),
        ("sysctls", !node.sysctls.is_empty()),
        ("run", !node.run.is_empty()),
        ("forwarding", node.forwarding.is_some()),
        ("at", node.at.is_some()),
    ];
    for (word, _) in own.into_iter().filter(|(_, there)| *there) {
        check.error(
            codes::KEY_MISPLACED,
            check.key_of(span, word),
            format!("`{word}` does not go with virtual machine `{name}`"),
            "the system inside sees to this",
            format!("set it up inside the machine, and remove `{word}` here"),
        );
    }
    for (key, interface) in &node.interfaces {
        plug(check, name, key, interface);
    }
}

fn plug(check: &mut Check<'_>, name: &NodeName, key: &Spanned<InterfaceName>, interface: &Interface) {
    let own = [("offloads", !interface.offloads.is_empty()), ("up", interface.up.is_some())];
    for (word, _) in own.into_iter().filter(|(_, there)| *there) {
        check.error(
            codes::KEY_MISPLACED,
            check.key_of(key.span, word),
            format!("`{word}` of `{name}:{}` is inside a virtual machine", key.value),
            "the system inside sees to this",
            format!("remove `{word}`; whether offloads are offered is `socket: {{ offloads: false }}`"),
        );
    }
    if interface.queues.is_some_and(|queues| queues > MOST_QUEUES) {
        check.error(
            codes::OUT_OF_RANGE,
            check.key_of(key.span, "queues"),
            format!("`{name}:{}` has more than {MOST_QUEUES} pairs of queues", key.value),
            "too many",
            format!("a virtual machine's interface has 1 to {MOST_QUEUES}"),
        );
    }
    let Some(attached) = &interface.network else {
        if key.as_str() != "lo" {
            return;
        }
        check.error(
            codes::MACHINE,
            key.span,
            format!("`{name}:lo` is inside a virtual machine"),
            "nothing of this is outside",
            "give the machine its addresses inside, and leave `lo` out",
        );
        return;
    };
    let Some(network) = check.topology.networks.get(attached.value.as_str()) else { return };
    if let Some(why) = unreachable(network) {
        let finding = Diagnostic::error(
            codes::MACHINE,
            format!("virtual machine `{name}` can't attach to network `{}`: {why}", attached.value),
        )
        .at(attached.span)
        .label("no vhost-user socket can be had here")
        .help("Netloom's own switch serves virtual machines: use mode bridge, host-only, nat or routed, with `via: switch` or `auto`");
        check.push(match &network.via {
            Some(via) if via.value == Via::Kernel => {
                finding.related(via.span, "the kernel is asked for here")
            }
            _ => finding,
        });
    }
}

/// Why no virtual machine can attach to a network.
fn unreachable(network: &Network) -> Option<&'static str> {
    match network.mode {
        NetworkMode::Macvlan | NetworkMode::Ipvlan => Some("it is made of interfaces of the kernel"),
        NetworkMode::Overlay => Some("its switches are bridges of the kernel"),
        _ if network.via.as_ref().is_some_and(|via| via.value == Via::Kernel) => {
            Some("a bridge of the kernel carries it")
        }
        _ => None,
    }
}

fn file<'a>(check: &mut Check<'a>, socket: &'a Spanned<Socket>, paths: &mut BTreeMap<&'a str, Span>) {
    let Some(path) = &socket.path else { return };
    let parts = path.split('/').skip(1);
    let plain = parts.clone().all(|part| !part.is_empty() && part != "." && part != "..");
    if !path.starts_with('/') || !plain || path.len() > LONGEST || path.contains('\0') {
        check.error(
            codes::MACHINE,
            path.span,
            format!("`{}` can't be the file of a socket", crate::diagnostic::printable(path)),
            "not a plain path from the root",
            format!("write it like /run/vm/web.sock, with at most {LONGEST} octets"),
        );
    } else if let Some(first) = paths.insert(path.value.as_str(), path.span) {
        let finding = Diagnostic::error(
            codes::MACHINE,
            format!("two interfaces have the socket {}", crate::diagnostic::printable(path)),
        )
        .at(path.span)
        .label("taken")
        .help("give each interface a socket of its own, or none: then Netloom finds a place for it")
        .related(first, "the first one");
        check.push(finding);
    }
}
