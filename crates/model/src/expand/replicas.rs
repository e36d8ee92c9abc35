//! Nodes that are wanted several times.

use super::{MAX_OBJECTS, objects};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::Spanned;
use crate::scalar::AddressChoice;
use crate::source::Span;
use crate::topology::{Node, Topology};
use crate::validate::codes;
use netloom_wire::NodeName;
use std::collections::BTreeMap;

/// The name of one replica, counted from 1.
///
/// # Errors
/// The name would be too long.
pub fn replica_name(name: &NodeName, number: u32) -> Result<NodeName, netloom_wire::NounError> {
    format!("{name}-{number}").parse()
}

type Nodes = BTreeMap<Spanned<NodeName>, Node>;

pub(super) fn expand(topology: &mut Topology, out: &mut Diagnostics) {
    let mut count = objects(topology);
    let wanted = topology.endpoints.values().chain(topology.routers.values());
    for replicas in wanted.filter_map(|node| node.replicas) {
        count = count.saturating_add(replicas.value as usize).saturating_sub(1);
        if count > MAX_OBJECTS {
            out.push(too_many(replicas.span));
            return;
        }
    }
    let mut groups = Vec::new();
    for nodes in [&mut topology.endpoints, &mut topology.routers] {
        let wanted: Vec<Spanned<NodeName>> =
            nodes.iter().filter(|(_, node)| node.replicas.is_some()).map(|(key, _)| key.clone()).collect();
        for key in wanted {
            let Some(mut node) = nodes.remove(&key) else { continue };
            let Some(replicas) = node.replicas.take() else { continue };
            single(&key, &node, replicas.value, out);
            if let Some(members) = repeat(nodes, &key, &node, replicas, out) {
                groups.push((key, members));
            }
        }
    }
    for (key, members) in groups {
        if let Some((taken, _)) = topology.groups.get_key_value(&key) {
            out.push(
                Diagnostic::error(
                    codes::NAME_CLASH,
                    format!("`{}` is a group and a node with replicas, which is a group too", key.value),
                )
                .at(taken.span)
                .label("the name is taken")
                .help("give the group another name")
                .related(key.span, "the node with replicas"),
            );
        } else {
            topology.groups.insert(key, members);
        }
    }
}

pub(crate) fn too_many(span: Span) -> Diagnostic {
    Diagnostic::error(
        codes::TOO_MANY,
        format!("this file asks for more than {MAX_OBJECTS} nodes, networks and links"),
    )
    .at(span)
    .label("too many from here on")
    .help("ask for less, or split the network into several files")
}

/// What only one node can have.
fn single(key: &Spanned<NodeName>, node: &Node, replicas: u32, out: &mut Diagnostics) {
    if replicas < 2 {
        return;
    }
    for interface in node.interfaces.values() {
        for choice in interface.address.iter() {
            if matches!(choice.value, AddressChoice::Bare(_) | AddressChoice::Fixed(_)) {
                out.push(
                    Diagnostic::error(
                        codes::REPLICAS,
                        format!(
                            "{replicas} replicas of `{}` can't have one address {}",
                            key.value, choice.value
                        ),
                    )
                    .at(choice.span)
                    .label("the same for all")
                    .help("leave the choice to the network: write `auto` or nothing"),
                );
            }
        }
        if let Some(mac) = &interface.mac {
            out.push(
                Diagnostic::error(
                    codes::REPLICAS,
                    format!("{replicas} replicas of `{}` can't have one hardware address", key.value),
                )
                .at(mac.span)
                .label("the same for all")
                .help("remove `mac`: Netloom makes one from the names"),
            );
        }
    }
}

fn repeat(
    nodes: &mut Nodes,
    key: &Spanned<NodeName>,
    node: &Node,
    replicas: Spanned<u32>,
    out: &mut Diagnostics,
) -> Option<Vec<Spanned<NodeName>>> {
    let mut members = Vec::new();
    for number in 1..=replicas.value {
        let name = match replica_name(&key.value, number) {
            Ok(name) => Spanned::new(name, key.span),
            Err(error) => {
                out.push(
                    Diagnostic::error(codes::REPLICAS, error.to_string())
                        .at(key.span)
                        .label("too long with its number")
                        .help("choose a shorter name"),
                );
                return None;
            }
        };
        if let Some((taken, _)) = nodes.get_key_value(&name) {
            out.push(
                Diagnostic::error(
                    codes::NAME_CLASH,
                    format!("replica `{}` of `{}` has the name of another node", name.value, key.value),
                )
                .at(taken.span)
                .label("the name is taken")
                .help("give one of them another name")
                .related(replicas.span, "the replicas"),
            );
            continue;
        }
        nodes.insert(name.clone(), node.clone());
        members.push(name);
    }
    Some(members)
}
