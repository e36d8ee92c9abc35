//! Whole topologies from a few numbers.
//!
//! What: a [`Generator`] gives a [`shape`] (inner nodes, cables, places of hosts), and the shape is built of
//! `switches` (one broadcast domain, with spanning tree where there are circles) or `routers` (links with
//! addresses of their own and static shortest-path routes).
//!
//! Invariants: pure; the same numbers always give the same names, addresses and routes, whatever else is
//! in the file; everything takes the span of the generator's item.
//!
//! Names: `PREFIX` and the role and a number from 1, like `dc1-spine-2`; hosts are numbered through, and
//! `PREFIXhosts` is the group of them. Ports are called after the neighbour, like `to-leaf-3`; a host has
//! `eth0`. More can be linked to what was made by these names.
//!
//! Costs: routers need (inner nodes)^2 routes; at most [`MAX_ROUTES`] are made.

mod families;
mod paths;
mod routers;
mod shape;
mod switches;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::Spanned;
use crate::expand::{MAX_OBJECTS, objects};
use crate::scalar::Prefix;
use crate::source::Span;
use crate::topology::{Fabric, Generator, GeneratorKind, Link, Network, Node, Short, Topology};
use crate::validate::codes;
use netloom_wire::{InterfaceName, NodeName};

/// Most routes that one generator makes.
const MAX_ROUTES: usize = 200_000;

/// What a generator has made, before it is put into the topology.
#[derive(Default)]
struct Made {
    endpoints: Vec<(NodeName, Node)>,
    routers: Vec<(NodeName, Node)>,
    networks: Vec<(NodeName, Network)>,
    links: Vec<Link>,
    hosts: Vec<NodeName>,
}

/// The generator with the place it was written at and the choices made for it.
struct Job<'a> {
    generator: &'a Generator,
    span: Span,
    subnet: Prefix,
}

impl Job<'_> {
    /// A node's name from its role and number, with the prefix.
    fn name(&self, role: &str, number: usize) -> Result<NodeName, Box<Diagnostic>> {
        let prefix = self.generator.prefix.as_ref().map_or("", |prefix| prefix.as_str());
        format!("{prefix}{role}-{number}").parse().map_err(|error: netloom_wire::NounError| {
            let span = self.generator.prefix.as_ref().map_or(self.span, |prefix| prefix.span);
            let finding = Diagnostic::error(codes::GENERATOR, error.to_string()).at(span);
            Box::new(finding.label("too long with what follows").help("choose a shorter `prefix`"))
        })
    }

    /// The port towards a neighbour.
    fn port(&self, short: &str, number: usize) -> Result<InterfaceName, Box<Diagnostic>> {
        format!("to-{short}-{number}").parse().map_err(|error: netloom_wire::NounError| {
            Box::new(Diagnostic::error(codes::GENERATOR, error.to_string()).at(self.span))
        })
    }

    fn spanned<T>(&self, value: T) -> Spanned<T> {
        Spanned::new(value, self.span)
    }

    fn subnet_too_small(&self, needed: &str) -> Diagnostic {
        let span = self.generator.subnet.as_ref().map_or(self.span, |subnet| subnet.span);
        Diagnostic::error(
            codes::GENERATOR_SUBNET,
            format!("subnet {} is too small for this topology", self.subnet),
        )
        .at(span)
        .label(needed.to_owned())
        .help("take a larger `subnet`, like 10.0.0.0/8, or less nodes")
    }
}

/// Makes what a generator asks for and adds it to the topology; what is wrong is told in `out`.
pub(crate) fn generate(topology: &mut Topology, item: &Spanned<Generator>, out: &mut Diagnostics) {
    let generator = &item.value;
    let before = out.iter().count();
    families::check(generator, item.span, out);
    if out.iter().count() > before {
        return;
    }
    let estimate = families::estimate(generator);
    if estimate.saturating_add(objects(topology) as u64) > MAX_OBJECTS as u64 {
        out.push(crate::expand::too_many(item.span));
        return;
    }
    let Some(subnet) = generator.subnet.map(|subnet| subnet.value).or_else(|| "10.0.0.0/8".parse().ok())
    else {
        return;
    };
    let job = Job { generator, span: item.span, subnet };
    let shape = families::shape(generator);
    let fabric = generator.fabric.unwrap_or(match generator.kind.value {
        GeneratorKind::Linear | GeneratorKind::Star | GeneratorKind::Ring | GeneratorKind::Tree => {
            Fabric::Switches
        }
        _ => Fabric::Routers,
    });
    let made = match fabric {
        Fabric::Switches => switches::build(&job, &shape),
        Fabric::Routers => routers::build(&job, &shape),
    };
    match made {
        Ok(made) => add(topology, &job, made, out),
        Err(finding) => out.push(*finding),
    }
}

fn add(topology: &mut Topology, job: &Job<'_>, made: Made, out: &mut Diagnostics) {
    let clash = |name: &NodeName, taken: Span| {
        Diagnostic::error(codes::NAME_CLASH, format!("the generator makes `{name}`, but the name is taken"))
            .at(job.span)
            .label("made here")
            .help("give the generator a `prefix`, like `prefix: dc1-`")
            .related(taken, format!("`{name}` is defined here"))
    };
    for (nodes, into) in [(made.endpoints, &mut topology.endpoints), (made.routers, &mut topology.routers)] {
        for (name, node) in nodes {
            let key = job.spanned(name);
            if let Some((taken, _)) = into.get_key_value(&key) {
                out.push(clash(&key.value, taken.span));
            } else {
                into.insert(key, node);
            }
        }
    }
    for (name, network) in made.networks {
        let key = job.spanned(name);
        if let Some((taken, _)) = topology.networks.get_key_value(&key) {
            out.push(clash(&key.value, taken.span));
        } else {
            topology.networks.insert(key, network);
        }
    }
    topology.links.extend(made.links.into_iter().map(|link| job.spanned(Short(link))));
    if made.hosts.is_empty() {
        return;
    }
    let prefix = job.generator.prefix.as_ref().map_or("", |prefix| prefix.as_str());
    if let Ok(name) = format!("{prefix}hosts").parse::<NodeName>() {
        let key = job.spanned(name);
        if let Some((taken, _)) = topology.groups.get_key_value(&key) {
            out.push(clash(&key.value, taken.span));
        } else {
            topology.groups.insert(key, made.hosts.into_iter().map(|host| job.spanned(host)).collect());
        }
    }
}
