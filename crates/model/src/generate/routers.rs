//! A shape built of routers: every cable is a link with two addresses of its own, and every router has static
//! routes by all shortest paths to the prefix of every other.
//!
//! Addresses: each inner node has one block of the subnet, of which pairs (/31, /127) are cut: for its hosts
//! first, then for the cables that it owns. So one route for each router is enough, and every address of the
//! fabric is reached from everywhere. In a roomy subnet node n has block n: 10.0.1.0/24, 10.0.2.0/24 ...
//!
//! When a link fails: equal paths share its traffic; see `paths` for what holds beyond that. Routers get
//! `ignore_routes_with_linkdown`, so that a route by a link without carrier is passed over, and hash by ports,
//! so that connections spread.

use super::paths::{Hop, Routes};
use super::shape::Shape;
use super::{Job, MAX_ROUTES, Made};
use crate::diagnostic::Diagnostic;
use crate::scalar::{Address, Gateway, InterfaceRef, LinkEnds, Prefix};
use crate::topology::{Interface, Link, NextHop, Node, Route, Rule, SysctlValue};
use crate::validate::codes;
use ipnet::IpNet;
use netloom_wire::InterfaceName;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metric of the routes that are used when the shortest path is gone: more than the 1024 that IPv6 routes have
/// where nothing is said.
const BACKUP_METRIC: u32 = 2048;
/// Priority of the first rule for arrivals that turned back, and number of its table.
const TURNED_PRIORITY: u32 = 100;
const TURNED_TABLE: u32 = 1001;

/// The address at `offset` of a prefix, if it lies inside.
pub(super) fn at(net: IpNet, offset: u128) -> Option<IpAddr> {
    let address = match net.network() {
        IpAddr::V4(network) => {
            let sum = u128::from(u32::from(network)).checked_add(offset)?;
            IpAddr::V4(Ipv4Addr::from(u32::try_from(sum).ok()?))
        }
        IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from(u128::from(network).checked_add(offset)?)),
    };
    net.contains(&address).then_some(address)
}

/// The blocks of the inner nodes.
struct Plan {
    subnet: IpNet,
    bits: u8,
    first_block: u128,
    /// Whether the first pair of a block stays free, which spares addresses like 10.0.1.0.
    spare: bool,
}

impl Plan {
    fn new(job: &Job<'_>, shape: &Shape) -> Result<Self, Box<Diagnostic>> {
        let mut pairs = vec![0u128; shape.inner.len()];
        for place in &shape.hosts {
            pairs[*place] += 1;
        }
        for (owner, _) in &shape.cables {
            pairs[*owner] += 1;
        }
        let most = pairs.iter().copied().max().unwrap_or_default();
        let bits_for = |addresses: u128| 128 - addresses.max(2).saturating_sub(1).leading_zeros() as u8;
        let subnet = job.subnet.net();
        let room = subnet.max_prefix_len() - subnet.prefix_len();
        let count = shape.inner.len() as u128;
        let roomy = bits_for(2 * most + 2).max(8);
        if roomy <= room && (count + 1).checked_shl(roomy.into()).is_some_and(|all| fits(all, room)) {
            return Ok(Self { subnet, bits: roomy, first_block: 1, spare: true });
        }
        let tight = bits_for(2 * most);
        if tight <= room && fits(count << tight, room) {
            return Ok(Self { subnet, bits: tight, first_block: 0, spare: false });
        }
        let needed = (count << tight).next_power_of_two().trailing_zeros() as u8;
        let prefix = subnet.max_prefix_len().saturating_sub(needed);
        Err(Box::new(job.subnet_too_small(&format!("a /{prefix} is needed"))))
    }

    fn block(&self, place: usize) -> Option<IpNet> {
        let offset = (self.first_block + place as u128) << self.bits;
        IpNet::new(at(self.subnet, offset)?, self.subnet.max_prefix_len() - self.bits).ok()
    }

    /// The two addresses of a pair of a node's block: the node's own, and the other end's.
    fn pair(&self, place: usize, number: usize) -> Option<(IpNet, IpNet)> {
        let block = self.block(place)?;
        let offset = 2 * (number as u128 + u128::from(self.spare));
        let length = block.max_prefix_len() - 1;
        Some((IpNet::new(at(block, offset)?, length).ok()?, IpNet::new(at(block, offset + 1)?, length).ok()?))
    }
}

fn fits(addresses: u128, bits: u8) -> bool {
    bits >= 127 || addresses <= 1u128 << bits
}

/// One end of a cable between inner nodes.
struct End {
    interface: InterfaceName,
    address: IpNet,
}

pub(super) fn build(job: &Job<'_>, shape: &Shape) -> Result<Made, Box<Diagnostic>> {
    let nodes = shape.inner.len();
    if nodes.saturating_mul(nodes) > MAX_ROUTES {
        return Err(Box::new(
            Diagnostic::error(
                codes::TOO_MANY,
                format!("{nodes} routers need more than {MAX_ROUTES} static routes"),
            )
            .at(job.span)
            .label("too many routers")
            .help("take less of them, or `fabric: switches`"),
        ));
    }
    let plan = Plan::new(job, shape)?;
    let too_small = || Box::new(job.subnet_too_small("the addresses of some links are missing"));
    let mut made = Made::default();
    let mut used = vec![0usize; nodes];
    let mut take = |place: usize| {
        let number = used[place];
        used[place] += 1;
        plan.pair(place, number)
    };
    for (number, place) in shape.hosts.iter().enumerate() {
        let (near, far) = take(*place).ok_or_else(too_small)?;
        host(job, shape, &mut made, number + 1, *place, near, far)?;
    }
    let mut cables = Vec::with_capacity(shape.cables.len());
    for (a, b) in &shape.cables {
        let (near, far) = take(*a).ok_or_else(too_small)?;
        let (inner_a, inner_b) = (shape.inner[*a], shape.inner[*b]);
        let end_a = End { interface: job.port(inner_b.short, inner_b.number)?, address: near };
        let end_b = End { interface: job.port(inner_a.short, inner_a.number)?, address: far };
        let ends = LinkEnds {
            a: InterfaceRef {
                node: job.name(inner_a.role, inner_a.number)?,
                interface: end_a.interface.clone(),
            },
            b: InterfaceRef {
                node: job.name(inner_b.role, inner_b.number)?,
                interface: end_b.interface.clone(),
            },
        };
        made.links.push(Link {
            link: Some(job.spanned(ends)),
            addresses: vec![job.spanned(Address::new(near)), job.spanned(Address::new(far))],
            medium: job.generator.medium.clone(),
            ..Link::default()
        });
        cables.push((*a, end_a, end_b));
    }
    let blocks: Vec<Option<IpNet>> =
        (0..nodes).map(|place| plan.block(place).filter(|_| used[place] > 0)).collect();
    let owners: Vec<bool> = blocks.iter().map(Option::is_some).collect();
    let routes = Routes::new(shape, &owners);
    for (place, inner) in shape.inner.iter().enumerate() {
        let mut node = Node::default();
        if routes.has_choice() {
            node.sysctls = sysctls(job);
        }
        // The neighbour's address on a cable, and the own port.
        let hop = |hop: &Hop| {
            let (first, a, b) = &cables[hop.cable];
            let (near, far) = if *first == place { (a, b) } else { (b, a) };
            (far.address.addr(), near.interface.clone())
        };
        for (target, hops) in routes.best(place) {
            if let Some(block) = blocks[target] {
                node.routes.push(job.spanned(route(job, block, hops.iter().map(&hop), None, None)));
            }
        }
        for (target, backup) in routes.backup(place) {
            if let Some(block) = blocks[target] {
                let hops = std::iter::once(hop(&backup));
                node.routes.push(job.spanned(route(job, block, hops, Some(BACKUP_METRIC), None)));
            }
        }
        for (number, (arrival, turned)) in routes.turned(place).enumerate() {
            let number = number as u32;
            let table = TURNED_TABLE + number;
            let (_, input) = hop(arrival);
            node.rules.push(job.spanned(Rule {
                priority: Some(job.spanned(TURNED_PRIORITY + number)),
                to: Some(job.spanned(job.subnet)),
                input: Some(job.spanned(input)),
                table: Some(job.spanned(table)),
                ..Rule::default()
            }));
            for (target, hops) in turned {
                if let Some(block) = blocks[*target] {
                    node.routes.push(job.spanned(route(
                        job,
                        block,
                        hops.iter().map(&hop),
                        None,
                        Some(table),
                    )));
                }
            }
        }
        made.routers.push((job.name(inner.role, inner.number)?, node));
    }
    Ok(made)
}

fn host(
    job: &Job<'_>,
    shape: &Shape,
    made: &mut Made,
    number: usize,
    place: usize,
    near: IpNet,
    far: IpNet,
) -> Result<(), Box<Diagnostic>> {
    let inner = shape.inner[place];
    let name = job.name("host", number)?;
    let eth0: InterfaceName = "eth0".parse().map_err(|error: netloom_wire::NounError| {
        Box::new(Diagnostic::error(codes::GENERATOR, error.to_string()))
    })?;
    let ends = LinkEnds {
        a: InterfaceRef { node: name.clone(), interface: eth0.clone() },
        b: InterfaceRef { node: job.name(inner.role, inner.number)?, interface: job.port("host", number)? },
    };
    made.links.push(Link {
        link: Some(job.spanned(ends)),
        addresses: vec![job.spanned(Address::new(far)), job.spanned(Address::new(near))],
        medium: job.generator.medium.clone(),
        ..Link::default()
    });
    let gateway = Some(job.spanned(Gateway::At(near.addr())));
    let mut node = Node::default();
    node.interfaces.insert(job.spanned(eth0), Interface { gateway, ..Interface::default() });
    made.endpoints.push((name.clone(), node));
    made.hosts.push(name);
    Ok(())
}

fn route(
    job: &Job<'_>,
    to: IpNet,
    hops: impl Iterator<Item = (IpAddr, InterfaceName)>,
    metric: Option<u32>,
    table: Option<u32>,
) -> Route {
    let hops: Vec<IpAddr> = hops.map(|(via, _)| via).collect();
    let (via, nexthops) = match hops.as_slice() {
        [one] => (Some(job.spanned(*one)), Vec::new()),
        many => {
            let hop = |via: &IpAddr| NextHop { via: Some(job.spanned(*via)), dev: None, weight: None };
            (None, many.iter().map(|via| job.spanned(hop(via))).collect())
        }
    };
    Route {
        to: job.spanned(Prefix::new(to).to_string()),
        via,
        dev: None,
        nexthops,
        action: None,
        metric,
        table,
        vrf: None,
        source: None,
    }
}

fn sysctls(job: &Job<'_>) -> std::collections::BTreeMap<crate::document::Spanned<String>, SysctlValue> {
    let names: &[&str] = if job.subnet.net().addr().is_ipv4() {
        &[
            "net.ipv4.fib_multipath_hash_policy",
            "net.ipv4.conf.all.ignore_routes_with_linkdown",
            "net.ipv4.conf.default.ignore_routes_with_linkdown",
        ]
    } else {
        &[
            "net.ipv6.fib_multipath_hash_policy",
            "net.ipv6.conf.all.ignore_routes_with_linkdown",
            "net.ipv6.conf.default.ignore_routes_with_linkdown",
        ]
    };
    names.iter().map(|name| (job.spanned((*name).to_owned()), SysctlValue::Number(1))).collect()
}
