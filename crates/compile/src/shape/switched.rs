//! Links at ports of Netloom's own switch: what a medium and `qos` do there, as options of the port.
//!
//! What: the same as with the kernel, by the same figures: a medium's delay and faults as netem would have them, `tbf` as a
//! rate with a burst, libvirt's bandwidth in both directions. What the endpoint sends comes in, what it gets goes out.
//! Two things are better than with the kernel: both directions of a half-duplex medium share its rate, and jitter does not
//! reorder. Class trees (`htb`) stay with the kernel, at the node's interface.

use super::qos::{note_floor, side, tbf};
use super::{medium, mtu};
use crate::compiled::ProblemKind;
use crate::inventory::{Device, Inventory, Make, PortRole, Segment};
use crate::object::LinkRef;
use crate::object::shaper::media::Direction;
use crate::object::shaper::{BitRate, Distribution, Netem, PartsPerMillion, burst_for};
use crate::report::{Report, first_span};
use netloom_model::scalar::{Percent, Rate, Size, TimeSpan};
use netloom_model::source::Span;
use netloom_model::topology::Medium;
use std::collections::BTreeMap;

/// Options of a port.
type Options = BTreeMap<String, String>;

/// A rate that `qos` holds one direction to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    rate: BitRate,
    burst: u32,
    peak: Option<BitRate>,
    /// Octets that may wait.
    limit: Option<u32>,
}

/// The link of an interface that is a port of a segment's switch.
pub(crate) fn link(
    inventory: &Inventory<'_>,
    at: &LinkRef,
    device: &Device<'_>,
    segment: &Segment<'_>,
    report: &mut Report<'_>,
) -> Options {
    let medium = medium_of(inventory, device, segment);
    let mut held = held(inventory, at, report);
    let mut options = Options::new();
    // What the first end of a cable sends goes up: a node's own, or whoever stands first in the file.
    let (come, go) = match &device.make {
        Make::Port { link: Some(_), .. } if !device.first => (Direction::Down, Direction::Up),
        Make::Patch { .. } => (Direction::Down, Direction::Up),
        _ => (Direction::Up, Direction::Down),
    };
    for (name, direction, held) in [("in", come, held[0].take()), ("out", go, held[1].take())] {
        let mut netem = Netem::default();
        if let Some(medium) = medium
            && let Some((found, half_duplex)) =
                medium::faults(inventory, at, (medium, device.span), direction, report)
        {
            netem = found;
            if half_duplex {
                options.insert("duplex".to_owned(), "half".to_owned());
            }
        }
        if let (Some((_, span)), Some(_)) = (held, netem.rate) {
            let text = format!("{at} is shaped by `qos`, so of its medium only delay and faults count");
            report.information(span, text);
        }
        write(name, &netem, held.map(|(held, _)| held), &mut options);
    }
    options
}

/// The medium of the cable at a port.
fn medium_of<'b>(
    inventory: &'b Inventory<'_>,
    device: &'b Device<'_>,
    segment: &'b Segment<'_>,
) -> Option<&'b Medium> {
    let own = device.settings.and_then(|settings| settings.medium.as_ref());
    let usual = segment.network.medium.as_ref().or(inventory.topology.defaults.medium.as_ref());
    match &device.make {
        Make::Port { link: Some(link), .. } => link.medium.as_ref(),
        // One end does it for both directions.
        Make::Patch { link, .. } => link.medium.as_ref().filter(|_| device.first),
        Make::Port { role: PortRole::Member, .. } | Make::Socket { .. } => own.or(usual),
        _ => None,
    }
}

/// What `qos` says, for what comes in and for what goes out.
fn held(inventory: &Inventory<'_>, at: &LinkRef, report: &mut Report<'_>) -> [Option<(Held, Span)>; 2] {
    let mut both = [None, None];
    for item in inventory.topology.qos.iter().filter(|item| inventory.at(&item.on.value) == *at) {
        let span = first_span(&[item.on.span, item.span]);
        let mut hold = |way: usize, held: Held, report: &mut Report<'_>| {
            if both[way].replace((held, span)).is_some() {
                report.problem(span, ProblemKind::Twice { what: format!("shaping of {at}") });
            }
        };
        let mtu = mtu(inventory, at);
        if let Some(wanted) = &item.tbf {
            let tbf = tbf(wanted, mtu);
            let (rate, limit) = (tbf.rate, Some(tbf.limit));
            hold(0, Held { rate, burst: tbf.burst, peak: None, limit }, report);
        }
        let Some(bandwidth) = &item.bandwidth else { continue };
        for (way, wanted) in [&bandwidth.outbound, &bandwidth.inbound].into_iter().enumerate() {
            let Some(wanted) = wanted else { continue };
            note_floor(wanted, at, span, report);
            let (rate, peak, burst) = side(wanted);
            let burst = burst.unwrap_or(0).max(burst_for(rate, mtu));
            hold(way, Held { rate, burst, peak: peak.filter(|peak| *peak > rate), limit: None }, report);
        }
    }
    both
}

fn write(way: &str, netem: &Netem, held: Option<Held>, options: &mut Options) {
    let mut put = |name: &str, value: String| {
        options.insert(format!("{name}-{way}"), value);
    };
    let rate = |rate: BitRate| Rate::from_bits_per_second(rate.0).to_string();
    for (name, time) in [("delay", netem.delay), ("jitter", netem.jitter)] {
        if !time.is_zero() {
            put(name, TimeSpan::new(time).to_string());
        }
    }
    if netem.distribution == Distribution::Normal && !netem.jitter.is_zero() {
        put("distribution", "normal".to_owned());
    }
    let reorder = netem.reorder.map_or(PartsPerMillion(0), |reorder| reorder.share);
    for (name, share) in [
        ("loss", netem.loss),
        ("duplicate", netem.duplicate),
        ("corrupt", netem.corrupt),
        ("reorder", reorder),
    ] {
        if share.0 > 0 {
            put(name, Percent::from_parts_per_million(share.0).to_string());
        }
    }
    match held {
        Some(held) => {
            put("link-rate", rate(held.rate));
            put("link-burst", Size::from_bytes(held.burst.into()).to_string());
            if let Some(peak) = held.peak {
                put("link-peak", rate(peak));
            }
            if let Some(limit) = held.limit {
                put("link-octets", Size::from_bytes(limit.into()).to_string());
            }
        }
        None => {
            if let Some(of_medium) = netem.rate {
                put("link-rate", rate(of_medium));
            }
        }
    }
    if let Some(limit) = netem.limit {
        put("link-packets", limit.min(1 << 17).to_string());
    }
}
