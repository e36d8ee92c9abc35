//! Class trees, token buckets and libvirt's bandwidth.

use super::{Shapers, mtu};
use crate::compiled::ProblemKind;
use crate::inventory::{Inventory, Make};
use crate::object::shaper::{
    BitRate, ClassId, Filter, Htb, HtbClass, Ingress, Match, PortRange, Qdisc, Tbf, burst_for,
    limit_for_latency,
};
use crate::object::{Family, LinkRef};
use crate::report::{Report, first_span};
use crate::table::Wish;
use netloom_model::document::Spanned;
use netloom_model::scalar::{Protocol, Service};
use netloom_model::source::Span;
use netloom_model::topology::{self, Bandwidth, BandwidthSide, ClassMatch};
use netloom_wire::NodeName;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a packet may wait in a token bucket, unless the user says otherwise.
const LATENCY: Duration = Duration::from_millis(50);
/// Number of the class that stands for the whole tree.
const WHOLE: u16 = 1;
/// Numbers of the user's classes begin here, in the order of their names.
const FIRST: u16 = 0x10;
/// libvirt's kilobyte, in octets.
const KILOBYTE: u64 = 1024;

pub(super) fn add(inventory: &Inventory<'_>, shapers: &mut Shapers, report: &mut Report<'_>) {
    for item in &inventory.topology.qos {
        let qos: &topology::Qos = item;
        let at = inventory.at(&qos.on.value);
        let span = first_span(&[qos.on.span, item.span]);
        if !inventory.devices.contains_key(&at) {
            let name = qos.on.value.to_string();
            report.problem(span, ProblemKind::Unknown { what: "interface", name });
            continue;
        }
        let wish = Wish::new(format!("qos of {}", qos.on.value), span);
        if let Some(wanted) = &qos.htb
            && let Some(htb) = tree(inventory, &at, wanted, report)
        {
            let reason = format!("shares {} among classes", wanted.rate.value);
            set_root(shapers, &at, &wish, reason, Qdisc::Htb(htb), report);
        }
        if is_switched(inventory, &at) {
            // The switch does the rest.
            continue;
        }
        if let Some(wanted) = &qos.tbf {
            let tbf = tbf(wanted, mtu(inventory, &at));
            let reason = format!("holds what leaves to {}", wanted.rate.value);
            set_root(shapers, &at, &wish, reason, Qdisc::Tbf(tbf), report);
        }
        if let Some(wanted) = &qos.bandwidth {
            bandwidth(inventory, &at, wanted, &wish, shapers, report);
        }
    }
}

/// Whether an interface is a port of Netloom's own switch, which simulates its link.
pub(super) fn is_switched(inventory: &Inventory<'_>, at: &LinkRef) -> bool {
    inventory
        .devices
        .get(at)
        .is_some_and(|device| matches!(device.make, Make::Port { .. } | Make::Socket { .. }))
}

pub(super) fn tbf(wanted: &topology::Tbf, mtu: u32) -> Tbf {
    let rate = BitRate(wanted.rate.bits_per_second());
    let latency = wanted.latency.as_ref().map_or(LATENCY, |latency| latency.duration());
    let mut tbf = Tbf::new(rate, mtu, latency);
    if let Some(burst) = &wanted.burst {
        // Less than a packet would stop everything.
        let size = u32::try_from(burst.bytes()).unwrap_or(u32::MAX);
        tbf.burst = size.max(mtu.saturating_add(14));
        tbf.limit = limit_for_latency(rate, tbf.burst, latency);
    }
    tbf
}

/// One side of libvirt's element: average and peak, and octets that may go at the peak.
pub(super) fn side(side: &BandwidthSide) -> (BitRate, Option<BitRate>, Option<u32>) {
    let rate = |kilobytes: u64| BitRate::from_octets(kilobytes.saturating_mul(KILOBYTE));
    let octets = |kibibytes: u64| u32::try_from(kibibytes.saturating_mul(1024)).unwrap_or(u32::MAX);
    (rate(side.average), side.peak.map(rate), side.burst.map(octets))
}

/// `floor` is a share of what a network's own shaper has, and no network has one.
pub(super) fn note_floor(wanted: &BandwidthSide, at: &LinkRef, span: Span, report: &mut Report<'_>) {
    if wanted.floor.is_some() {
        let text = format!(
            "`floor` of {at} is not guaranteed: the network has no shaper of its own to take it from"
        );
        report.warning(span, text);
    }
}

fn set_root(
    shapers: &mut Shapers,
    at: &LinkRef,
    wish: &Wish,
    reason: impl Into<String>,
    root: Qdisc,
    report: &mut Report<'_>,
) {
    let pending = shapers.at(at, wish, reason);
    if pending.root.is_some() {
        report.problem(wish.span, ProblemKind::Twice { what: format!("shaping of {at}") });
    }
    pending.root = Some(root);
}

fn tree(
    inventory: &Inventory<'_>,
    at: &LinkRef,
    wanted: &Spanned<topology::Htb>,
    report: &mut Report<'_>,
) -> Option<Htb> {
    let mtu = mtu(inventory, at);
    let whole = ClassId::try_from(WHOLE).ok()?;
    let mut free = (FIRST..).filter_map(|number| ClassId::try_from(number).ok());
    let ids: BTreeMap<&NodeName, ClassId> =
        wanted.classes.keys().filter_map(|name| Some((&name.value, free.next()?))).collect();
    let find = |name: &Spanned<NodeName>, report: &mut Report<'_>| {
        let found = ids.get(&name.value).copied();
        if found.is_none() {
            let name_text = name.value.to_string();
            let span = first_span(&[name.span, wanted.span]);
            report.problem(span, ProblemKind::Unknown { what: "class", name: name_text });
        }
        found
    };
    let total = BitRate(wanted.rate.bits_per_second());
    let mut htb = Htb { default: find(&wanted.default, report), ..Htb::default() };
    htb.classes.insert(whole, HtbClass::new(total, total, mtu));
    for (name, class) in &wanted.classes {
        let Some(id) = ids.get(&name.value) else { continue };
        let rate = BitRate(class.rate.bits_per_second());
        let ceil = class.ceil.as_ref().map_or(rate, |ceil| BitRate(ceil.bits_per_second()));
        let mut made = HtbClass::new(rate, ceil, mtu);
        made.parent = match &class.parent {
            Some(parent) => find(parent, report),
            None => Some(whole),
        };
        made.priority = class.priority.unwrap_or(0);
        if let Some(burst) = &class.burst {
            let octets = u32::try_from(burst.bytes()).unwrap_or(u32::MAX);
            (made.burst, made.cburst) = (octets.max(burst_for(rate, mtu)), octets.max(burst_for(ceil, mtu)));
        }
        htb.classes.insert(*id, made);
    }
    // The first match wins, so the order in which the user wrote the classes counts.
    let mut written: Vec<_> = wanted.classes.iter().collect();
    written.sort_by_key(|(name, _)| name.span.start);
    for (name, class) in written {
        let Some(id) = ids.get(&name.value) else { continue };
        for item in class.matches.iter() {
            let span = first_span(&[item.span, name.span, wanted.span]);
            for when in matches(item, at, span, report) {
                htb.filters.push(Filter { when, class: *id });
            }
        }
    }
    Some(htb)
}

/// The matches of one item: ICMP has a protocol number in each family.
fn matches(item: &ClassMatch, at: &LinkRef, span: Span, report: &mut Report<'_>) -> Vec<Match> {
    let base = Match {
        source: item.from.as_ref().map(|prefix| prefix.net()),
        destination: item.to.as_ref().map(|prefix| prefix.net()),
        dscp: item.dscp.as_ref().map(|dscp| dscp.value),
        ..Match::default()
    };
    let service = item.service.as_ref().map(|service| service.value);
    let reply = item.reply.as_ref().map(|reply| reply.value);
    let named: Vec<Service> = service.into_iter().chain(reply).collect();
    let Some(first) = named.first() else { return vec![base] };
    if named.iter().any(|other| number(other.protocol) != number(first.protocol)) {
        let what = format!("a match of the shaping of {at}");
        let why = "`service` and `reply` name different protocols, so nothing fits both".to_owned();
        report.problem(span, ProblemKind::Refused { what, why });
        return Vec::new();
    }
    let Some(protocol) = number(first.protocol) else {
        let family = |family: Family, protocol| Match {
            family: Some(family),
            protocol: Some(protocol),
            ..base.clone()
        };
        let addresses = base.source.iter().chain(&base.destination);
        let told: Option<Family> = addresses.map(|net| Family::of(&net.addr())).next();
        return [(Family::V4, 1), (Family::V6, 58)]
            .into_iter()
            .filter(|(version, _)| told.is_none_or(|told| told == *version))
            .map(|(version, protocol)| family(version, protocol))
            .collect();
    };
    let ports = |service: Option<Service>| {
        let (low, high) = service?.ports.or(match service?.protocol {
            Protocol::Http => Some((80, 80)),
            _ => None,
        })?;
        Some(PortRange { low, high })
    };
    vec![Match {
        protocol: Some(protocol),
        destination_ports: ports(service),
        source_ports: ports(reply),
        ..base
    }]
}

/// The number of a protocol; `None` for ICMP, which has two.
const fn number(protocol: Protocol) -> Option<u8> {
    match protocol {
        Protocol::Icmp => None,
        Protocol::Tcp | Protocol::Http => Some(6),
        Protocol::Udp => Some(17),
        Protocol::Sctp => Some(132),
    }
}

/// libvirt's element: what goes to the node is shaped where the network sends it, what comes from the
/// node where the node sends it.
fn bandwidth(
    inventory: &Inventory<'_>,
    at: &LinkRef,
    wanted: &Spanned<Bandwidth>,
    wish: &Wish,
    shapers: &mut Shapers,
    report: &mut Report<'_>,
) {
    let single = |wanted: &BandwidthSide, at: &LinkRef| {
        let (average, peak, burst) = side(wanted);
        (average, Qdisc::Htb(Htb::single(average, peak, burst, mtu(inventory, at))))
    };
    if let Some(wanted) = &wanted.outbound {
        let (average, root) = single(wanted, at);
        set_root(shapers, at, wish, format!("holds what leaves to {average}"), root, report);
    }
    let Some(wanted) = &wanted.inbound else { return };
    note_floor(wanted, at, wish.span, report);
    let (average, _, burst) = side(wanted);
    let reason = format!("holds what goes to {at} to {average}");
    let port = match inventory.devices.get(at).map(|device| &device.make) {
        Some(Make::Cable { peer, .. }) => Some(peer),
        _ => None,
    };
    match port {
        Some(port) if inventory.devices.get(port).is_some_and(|device| device.port.is_some()) => {
            set_root(shapers, port, wish, reason, single(wanted, port).1, report);
        }
        // Nothing of ours sends there, so what is too much can only be dropped on arrival.
        _ => {
            // Virtual interfaces hand over whole segments of up to 64 KiB, which no smaller bucket lets pass.
            let least = burst_for(average, mtu(inventory, at)).max(1 << 16);
            let size = burst.unwrap_or(0).max(least);
            shapers.at(at, wish, reason).ingress = Some(Ingress::Police { rate: average, burst: size });
        }
    }
}
