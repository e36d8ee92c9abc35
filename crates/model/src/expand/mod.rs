//! From what was written to the long form: generators, replicas, short forms and defaults are written out.
//!
//! What: [`expand`] turns a [`Topology`] into one that says the same without `generate`, `replicas`,
//! `networks:` of nodes, and with `defaults` applied.
//!
//! Invariants: pure and deterministic; what is written out carries the span of what asked for it; expanding
//! twice is expanding once; at most [`MAX_OBJECTS`] nodes, networks and links come out, so that a small
//! hostile file can't fill the memory.
//!
//! Deliberately absent: addresses that a network's allocator chooses, keys and outer addresses of tunnels:
//! these are the compiler's.

mod defaults;
mod replicas;

pub use replicas::replica_name;
pub(crate) use replicas::too_many;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::Spanned;
use crate::topology::{Interface, Node, Topology};
use crate::validate::codes;
use netloom_wire::{InterfaceName, NodeName};

/// Most nodes, networks and links that a file may ask for.
pub const MAX_OBJECTS: usize = 100_000;

/// Writes out all short forms. What can't be written out is told in `out` and left away.
#[must_use]
pub fn expand(mut topology: Topology, out: &mut Diagnostics) -> Topology {
    for item in std::mem::take(&mut topology.generate) {
        crate::generate::generate(&mut topology, &item, out);
    }
    replicas::expand(&mut topology, out);
    let endpoints = topology.endpoints.iter_mut();
    for (name, node) in endpoints.chain(topology.routers.iter_mut()) {
        short_form(&name.value, node, out);
    }
    for item in &mut topology.links {
        let span = item.span;
        let link = &mut item.value.0;
        if let Some(ends) = &mut link.link
            && ends.span.is_empty()
        {
            ends.span = span;
        }
    }
    defaults::apply(&mut topology);
    topology
}

/// How many nodes, networks and links there are.
pub(crate) fn objects(topology: &Topology) -> usize {
    topology.endpoints.len() + topology.routers.len() + topology.networks.len() + topology.links.len()
}

/// `networks: [lan, dmz]` means interfaces eth0 and eth1.
fn short_form(name: &NodeName, node: &mut Node, out: &mut Diagnostics) {
    for (number, network) in std::mem::take(&mut node.networks).0.into_iter().enumerate() {
        // `eth` with any number that memory can hold has less than 16 characters.
        let Ok(interface) = format!("eth{number}").parse::<InterfaceName>() else { continue };
        let key = Spanned::new(interface, network.span);
        if let Some((taken, _)) = node.interfaces.get_key_value(&key) {
            out.push(
                Diagnostic::error(
                    codes::SHORT_FORM,
                    format!("`{name}` has `{}` by `networks` and by `interfaces`", key.value),
                )
                .at(network.span)
                .label(format!("this is {}", key.value))
                .help("name the network under `interfaces`, or give that interface another name")
                .related(taken.span, "given here too"),
            );
            continue;
        }
        let interface = Interface { network: Some(network), ..Interface::default() };
        node.interfaces.insert(key, interface);
    }
}
