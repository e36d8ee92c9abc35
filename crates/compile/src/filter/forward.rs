//! Mappings of ports and addresses to nodes behind a router or a network.

use super::rules::{hosts, ports_of, protocol};
use super::{Filters, Place};
use crate::compiled::ProblemKind;
use crate::inventory::{Exit, Inventory};
use crate::object::firewall::{
    Action, Addresses, CtStatus, FirewallRule, Match, NatTarget, PortRange, Protocol,
};
use crate::object::{Key, Space, Spec};
use crate::report::{Report, first_span};
use crate::routing::device_towards;
use crate::table::{Table, Wish};
use ipnet::IpNet;
use netloom_model::document::Spanned;
use netloom_model::scalar::{PeerName, Service};
use netloom_model::source::Span;
use netloom_model::topology::Forward;
use netloom_wire::NodeName;
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) fn add(
    inventory: &Inventory<'_>,
    filters: &mut Filters,
    table: &mut Table,
    report: &mut Report<'_>,
) {
    for item in &inventory.topology.forwards {
        let forward: &Forward = item;
        let span = first_span(&[item.span, forward.on.span, forward.to.span]);
        let on = &forward.on.value;
        let part = match (inventory.nodes.get(on), inventory.segments.get(on)) {
            (Some(node), _) => node.part.clone(),
            (None, Some(segment)) => segment.part.clone(),
            (None, None) => {
                let name = on.to_string();
                report.problem(span, ProblemKind::Unknown { what: "router or network", name });
                continue;
            }
        };
        note_reach(inventory, on, forward, span, report);
        let mapping =
            Mapping { inventory, forward, space: inventory.space_of(on), wish: Wish::new(part, span), span };
        mapping.add(filters, table, report);
    }
}

/// The addresses of a router, or of a network's own namespace.
pub(super) fn own_addresses(inventory: &Inventory<'_>, on: &NodeName) -> Vec<IpNet> {
    let devices = inventory.devices_in(&inventory.space_of(on));
    hosts(devices.filter(|(at, _)| at.name.as_str() != "lo").flat_map(|(_, device)| device.addresses.clone()))
}

/// Where a mapping leads, at most one address of each family: that of the node which is nearest to the
/// router.
pub(super) fn targets(inventory: &Inventory<'_>, forward: &Forward) -> Vec<IpAddr> {
    let space = inventory.space_of(&forward.on.value);
    let wanted = |address: &IpAddr| {
        let outside = forward.address.as_ref();
        outside.is_none_or(|outside| outside.is_ipv4() == address.is_ipv4())
    };
    let all: Vec<IpAddr> = match &forward.to.value {
        PeerName::Prefix(prefix) => vec![prefix.net().addr()],
        PeerName::Name(name) => inventory.addresses_of(name).map(|(_, own)| own.addr()).collect(),
        PeerName::Any => Vec::new(),
    };
    [true, false]
        .into_iter()
        .filter_map(|v4| {
            let family = || all.iter().filter(|address| address.is_ipv4() == v4 && wanted(address));
            let near = |address: &&IpAddr| device_towards(inventory, &space, None, **address).is_some();
            family().find(near).or_else(|| family().next()).copied()
        })
        .collect()
}

/// Says where a mapping of a network towards the host is reached: not at the host's own addresses.
fn note_reach(
    inventory: &Inventory<'_>,
    on: &NodeName,
    forward: &Forward,
    span: Span,
    report: &mut Report<'_>,
) {
    let Some(Exit::Host { inner, .. }) = inventory.segments.get(on).map(|segment| &segment.exit) else {
        return;
    };
    let device = inventory.devices.get(inner);
    let addresses: Vec<String> = device
        .map(|device| &device.addresses)
        .into_iter()
        .flatten()
        .map(|own| own.addr().to_string())
        .collect();
    if forward.address.is_none() {
        let at = addresses.join(" and ");
        report.information(span, format!("from the host this mapping of network {on} is reached at {at}"));
    }
}

struct Mapping<'b, 'a> {
    inventory: &'b Inventory<'a>,
    forward: &'b Forward,
    space: Space,
    wish: Wish,
    span: Span,
}

impl Mapping<'_, '_> {
    fn add(&self, filters: &mut Filters, table: &mut Table, report: &mut Report<'_>) {
        let forward = self.forward;
        let given = forward.address.as_ref().map(|address| address.value);
        if forward.service.is_none() && given.is_none() {
            let interface = format!("a forward on {}", forward.on.value);
            report.problem(
                self.span,
                ProblemKind::Lacking { interface, kind: "1:1 mapping", field: "address" },
            );
            return;
        }
        let targets = targets(self.inventory, forward);
        if targets.is_empty() {
            let name = format!("of {} to forward to", forward.to.value);
            report.problem(self.span, ProblemKind::Unknown { what: "address", name });
        }
        if let Some(address) = given {
            self.own(address, table, report);
        }
        let origin = report.origin(self.span).to_string();
        for target in targets {
            let outside: Vec<IpNet> = match given {
                Some(address) => vec![IpNet::from(address)],
                None => own_addresses(self.inventory, &forward.on.value),
            };
            let family = outside.into_iter().filter(|net| net.addr().is_ipv4() == target.is_ipv4());
            let Some(outside) = Addresses::by_family(family).next() else { continue };
            self.rules(target, &outside, &origin, filters);
        }
    }

    /// An address that is mapped must be answered for: if nobody has it, the router gets it.
    fn own(&self, address: IpAddr, table: &mut Table, report: &mut Report<'_>) {
        let taken = self
            .inventory
            .devices_in(&self.space)
            .any(|(_, device)| device.addresses.iter().any(|own| own.addr() == address));
        if taken {
            return;
        }
        match device_towards(self.inventory, &self.space, None, address) {
            Some((at, _)) => {
                let key = Key::Address {
                    space: at.space.clone(),
                    link: at.name.clone(),
                    address: IpNet::from(address),
                };
                let reason = format!("is mapped to {}", self.forward.to.value);
                table.want(key, Spec::Address, &self.wish, reason, report);
            }
            None => report.warning(
                self.span,
                format!(
                    "{address} is in no subnet of {}, so it must be routed there from outside",
                    self.forward.on.value
                ),
            ),
        }
    }

    fn rules(&self, target: IpAddr, outside: &Addresses, origin: &str, filters: &mut Filters) {
        let forward = self.forward;
        let to = &forward.to.value;
        let service = forward.service.as_ref();
        let name = match service {
            Some(service) => format!("map {} to {to}", service.value),
            None => format!("map to {to}"),
        };
        let finish = |rule: FirewallRule| rule.counted().named(&name).from(&origin);
        let carried = service.map(|service| carried(service, target)).unwrap_or_default();
        let mapped_to =
            Action::Dnat { to: NatTarget { ports: self.ports(service), ..NatTarget::address(target) } };
        let arriving = || {
            let mut rule = FirewallRule::new(mapped_to.clone());
            rule.matches.push(Match::destination(outside.clone()));
            rule.matches.extend(carried.iter().cloned());
            rule
        };
        let filter = filters.space(&self.space, &self.wish, "maps ports and addresses");
        let mut from_outside = arriving();
        if let Some(input) = &forward.input {
            from_outside.matches.insert(0, Match::input(input.value.clone()));
        }
        filter.add(Place::DestinationNat, [finish(from_outside)]);
        if forward.input.is_none() {
            // What the router itself sends does not pass the way of arrival.
            filter.add(Place::DestinationNatLocal, [finish(arriving())]);
            // A client beside the target would get the answer from the target itself, which it never asked.
            if let Some((at, subnet)) = device_towards(self.inventory, &self.space, None, target) {
                let rule = FirewallRule::new(Action::Masquerade { ports: None, random: false })
                    .when(Match::output(at.name.clone()))
                    .when(Match::source(subnet.trunc()))
                    .when(Match::destination(target))
                    .when(Match::CtStatus { status: CtStatus::Dnat, negated: false });
                let name = format!("neighbours of {to} by its mapped address");
                filter.add(Place::SourceNat, [rule.counted().named(&name).from(&origin)]);
            }
        }
        if let (None, Some(address)) = (service, &forward.address) {
            let mut rule = FirewallRule::new(Action::Snat {
                to: NatTarget::address(address.value),
                random: false,
                persistent: false,
            });
            rule.matches.extend(forward.input.as_ref().map(|input| Match::output(input.value.clone())));
            rule.matches.push(Match::source(target));
            // It must come before masquerading, which would fit as well.
            let inside =
                device_towards(self.inventory, &self.space, None, target).map(|(at, _)| at.name.clone());
            if let (Some(inside), None) = (inside, &forward.input) {
                rule.matches
                    .insert(0, Match::OutputInterface { names: BTreeSet::from([inside]), negated: true });
            }
            filter.chain(Place::SourceNat).rules.insert(0, finish(rule));
        }
    }

    /// The ports at the target, if they change.
    fn ports(&self, service: Option<&Spanned<Service>>) -> Option<PortRange> {
        let first = self.forward.port?;
        let range = ports_of(service?)?;
        Some(PortRange::new(first, first.saturating_add(range.last() - range.first())))
    }
}

/// The conditions of a service towards an address.
fn carried(service: &Service, target: IpAddr) -> Vec<Match> {
    let icmp = if target.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 };
    let mut matches = vec![Match::protocol(protocol(service).unwrap_or(icmp))];
    matches.extend(ports_of(service).map(Match::port));
    matches
}
