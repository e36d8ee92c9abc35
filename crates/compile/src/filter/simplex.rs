//! One-way cables: what comes back is dropped where it arrives, and counted.
//!
//! Address resolution needs answers, so the sending side gets them beforehand as permanent neighbours.

use super::Filters;
use crate::inventory::{Device, Inventory};
use crate::object::firewall::{Action, Chain, ChainKind, FirewallRule, HookPoint, Policy};
use crate::object::{Key, LinkRef, Neighbour, Spec};
use crate::report::Report;
use crate::table::{Table, Wish};
use netloom_model::topology::Duplex;

pub(super) fn add(
    inventory: &Inventory<'_>,
    filters: &mut Filters,
    table: &mut Table,
    report: &mut Report<'_>,
) {
    for cable in &inventory.cables {
        let duplex = cable.medium.and_then(|medium| medium.duplex.as_ref()).map(|duplex| duplex.value);
        if duplex != Some(Duplex::Simplex) {
            continue;
        }
        let wish = Wish::new(cable.part.clone(), cable.span);
        let name = format!("one-way-{}", cable.a.name);
        let point = HookPoint::Ingress { device: cable.a.name.clone() };
        let rule = FirewallRule::new(Action::Drop)
            .counted()
            .named(&format!("{} only sends to {}", cable.a, cable.b))
            .from(&report.origin(cable.span));
        let chain = Chain::base(&chain_name(&name), point, ChainKind::Filter, 0, Policy::Accept).rule(rule);
        filters
            .space(&cable.a.space, &wish, "drops what comes back by a one-way cable")
            .on_devices
            .push(chain);
        for from in stations(inventory, &cable.a) {
            for to in stations(inventory, &cable.b) {
                neighbours(inventory, from, to, &wish, table, report);
            }
        }
    }
}

/// A name that a chain may have: what is no letter, digit or `_-./` becomes `_`.
fn chain_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "_-./".contains(c) { c } else { '_' }).collect()
}

/// The stations at one end of a cable: its interface, or those on the network whose port it is.
fn stations<'b>(inventory: &'b Inventory<'_>, end: &'b LinkRef) -> Vec<&'b LinkRef> {
    let port = inventory.devices.get(end).and_then(|device| device.port.as_ref());
    let Some(segment) = port.and_then(|port| inventory.segments.get(&port.network)) else { return vec![end] };
    segment.members.iter().chain(segment.bridges.values()).collect()
}

fn neighbours(
    inventory: &Inventory<'_>,
    from: &LinkRef,
    to: &LinkRef,
    wish: &Wish,
    table: &mut Table,
    report: &Report<'_>,
) {
    let (Some(sender), Some(receiver)) = (inventory.devices.get(from), inventory.devices.get(to)) else {
        return;
    };
    let Some(mac) = receiver.mac else { return };
    let beside = |address: &&ipnet::IpNet| shares_subnet(sender, address);
    for address in receiver.addresses.iter().filter(beside).filter(|_| from != to) {
        let key =
            Key::Neighbour { space: from.space.clone(), link: from.name.clone(), address: address.addr() };
        let reason = format!("stands for the answer of {to}, which can't come back");
        table.want_by_default(key, Spec::Neighbour(Neighbour { mac }), wish, reason, report);
    }
}

fn shares_subnet(device: &Device<'_>, address: &ipnet::IpNet) -> bool {
    device.addresses.iter().any(|own| own.contains(&address.addr()))
}
