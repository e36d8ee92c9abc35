//! A shape built of switches: every inner node is a network of mode bridge, and all are one broadcast domain.
//!
//! Where the shape has a circle, every switch runs the spanning tree with the shortest forward delay (2s), so
//! that packets pass about 4s after the links are up; the first inner node is the root.

use super::shape::Shape;
use super::{Job, Made};
use crate::diagnostic::Diagnostic;
use crate::scalar::{Address, AddressChoice, InterfaceRef, LinkEnds, TimeSpan};
use crate::topology::{BridgeSettings, Interface, Link, Network, NetworkMode, Node, OneOrMany};
use ipnet::IpNet;
use std::time::Duration;

pub(super) fn build(job: &Job<'_>, shape: &Shape) -> Result<Made, Box<Diagnostic>> {
    let mut made = Made::default();
    for (place, inner) in shape.inner.iter().enumerate() {
        let bridge = shape.is_looped().then(|| {
            job.spanned(BridgeSettings {
                stp: true,
                priority: (place == 0).then_some(4096),
                forward_delay: Some(job.spanned(TimeSpan::new(Duration::from_secs(2)))),
                ..BridgeSettings::default()
            })
        });
        let network = Network { mode: NetworkMode::Bridge, bridge, ..Network::default() };
        made.networks.push((job.name(inner.role, inner.number)?, network));
    }
    for (a, b) in &shape.cables {
        let (Some(inner_a), Some(inner_b)) = (shape.inner.get(*a), shape.inner.get(*b)) else { continue };
        let ends = LinkEnds {
            a: InterfaceRef {
                node: job.name(inner_a.role, inner_a.number)?,
                interface: job.port(inner_b.short, inner_b.number)?,
            },
            b: InterfaceRef {
                node: job.name(inner_b.role, inner_b.number)?,
                interface: job.port(inner_a.short, inner_a.number)?,
            },
        };
        let medium = job.generator.medium.clone();
        made.links.push(Link { link: Some(job.spanned(ends)), medium, ..Link::default() });
    }
    let subnet = job.subnet.net();
    for (number, place) in shape.hosts.iter().enumerate() {
        let Some(inner) = shape.inner.get(*place) else { continue };
        let offset = number as u128 + 1;
        // The last address of an IPv4 prefix is its broadcast address.
        let last = subnet.addr().is_ipv4() && super::routers::at(subnet, offset + 1).is_none();
        let address = super::routers::at(subnet, offset).filter(|_| !last);
        let address = address.and_then(|address| IpNet::new(address, subnet.prefix_len()).ok());
        let Some(address) = address else {
            let needed = format!("{} hosts need an address", shape.hosts.len());
            return Err(Box::new(job.subnet_too_small(&needed)));
        };
        let name = job.name("host", number + 1)?;
        let interface = Interface {
            network: Some(job.spanned(job.name(inner.role, inner.number)?)),
            address: OneOrMany(vec![job.spanned(AddressChoice::Fixed(Address::new(address)))]),
            medium: job.generator.medium.clone(),
            ..Interface::default()
        };
        let mut node = Node::default();
        if let Ok(eth0) = "eth0".parse() {
            node.interfaces.insert(job.spanned(eth0), interface);
        }
        made.endpoints.push((name.clone(), node));
        made.hosts.push(name);
    }
    Ok(made)
}
