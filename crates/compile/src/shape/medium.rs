//! What cables and radio do to packets: rate, delay, faults, duplex.

use super::{Medium, Shapers, mtu};
use crate::compiled::ProblemKind;
use crate::inventory::{Cable, Inventory};
use crate::object::LinkRef;
use crate::object::shaper::media::{self, Direction};
use crate::object::shaper::{BitRate, Netem, NetemReorder, PartsPerMillion, Qdisc, Support, Tbf};
use crate::report::{Report, first_span};
use crate::table::Wish;
use netloom_model::source::Span;
use netloom_model::topology::{self, Duplex};
use std::time::Duration;

/// How long a packet may wait where only the rate can be realized.
const LATENCY: Duration = Duration::from_millis(50);
/// Length of a cable whose length nobody says, in metres.
const LENGTH: u32 = 1;

pub(super) fn add(
    inventory: &Inventory<'_>,
    support: &Support,
    shapers: &mut Shapers,
    report: &mut Report<'_>,
) {
    for cable in &inventory.cables {
        let Some(medium) = cable.medium else { continue };
        let wish = Wish::new(cable.part.clone(), cable.span);
        // The first end is the endpoint's: what it sends goes up.
        for (at, direction) in [(&cable.a, Direction::Up), (&cable.b, Direction::Down)] {
            let Some((netem, half_duplex)) = faults(inventory, at, (medium, cable.span), direction, report)
            else {
                continue;
            };
            if half_duplex && *at == cable.a {
                let text = format!(
                    "{} and {} share no rate though their medium is half duplex: the kernel shapes each direction by itself",
                    cable.a, cable.b
                );
                report.warning(cable.span, text);
            }
            if netem == Netem::default() {
                continue;
            }
            let Some(realized) = realize(inventory, cable, at, netem, support, report) else { continue };
            let other = if *at == cable.a { &cable.b } else { &cable.a };
            shapers.at(at, &wish, format!("is what the medium does to packets to {other}")).medium =
                Some(realized);
        }
    }
}

/// Delay, faults and rate of one direction: those of the profile, overridden one by one; and whether both directions
/// share the rate.
pub(super) fn faults(
    inventory: &Inventory<'_>,
    at: &LinkRef,
    (medium, cable): (&topology::Medium, Span),
    direction: Direction,
    report: &mut Report<'_>,
) -> Option<(Netem, bool)> {
    let mut netem = Netem::default();
    let mut duplex = medium.duplex.as_ref().map(|duplex| duplex.value);
    if let Some(name) = &medium.profile {
        let span = first_span(&[name.span, cable]);
        let Some(profile) = media::profile(&name.value) else {
            let known: Vec<&str> = media::PROFILES.iter().map(|profile| profile.name).collect();
            let problem = ProblemKind::Word {
                interface: at.to_string(),
                word: name.value.clone(),
                what: "medium",
                known: known.join(", "),
            };
            report.problem(span, problem);
            return None;
        };
        let length = medium.length.unwrap_or(LENGTH);
        match media::to_shaper(&profile, length, direction, mtu(inventory, at), &Support::ALL) {
            Ok(realization) => {
                if let Some(Qdisc::Netem(found)) = realization.shaper.and_then(|shaper| shaper.root) {
                    netem = *found;
                }
            }
            Err(too_long) => {
                let what = format!("medium of {at}");
                report.problem(span, ProblemKind::Refused { what, why: too_long.to_string() });
                return None;
            }
        }
        if profile.duplex == media::Duplex::Half {
            duplex = duplex.or(Some(Duplex::Half));
        }
    }
    let share = |share: &netloom_model::scalar::Percent| PartsPerMillion(share.parts_per_million());
    if let Some(rate) = &medium.rate {
        netem.rate = Some(BitRate(rate.bits_per_second()));
    }
    if let Some(delay) = &medium.delay {
        netem.delay = delay.duration();
    }
    if let Some(jitter) = &medium.jitter {
        netem.jitter = jitter.duration();
    }
    if let Some(loss) = &medium.loss {
        netem.loss = share(&loss.value);
    }
    if let Some(duplicate) = &medium.duplicate {
        netem.duplicate = share(&duplicate.value);
    }
    if let Some(corrupt) = &medium.corrupt {
        netem.corrupt = share(&corrupt.value);
    }
    if let Some(reorder) = &medium.reorder {
        netem.reorder =
            Some(NetemReorder { share: share(&reorder.value), correlation: PartsPerMillion(0), gap: 1 });
    }
    if netem.reorder.is_some() && netem.delay.is_zero() {
        let text = format!("packets of {at} can't overtake each other without a delay: give the medium one");
        report.warning(cable, text);
        netem.reorder = None;
    }
    Some((netem, duplex == Some(Duplex::Half)))
}

/// As much of it as this kernel can do.
fn realize(
    inventory: &Inventory<'_>,
    cable: &Cable<'_>,
    at: &LinkRef,
    netem: Netem,
    support: &Support,
    report: &mut Report<'_>,
) -> Option<Medium> {
    if support.netem {
        return Some(Medium::Faults(Box::new(netem)));
    }
    let rest = Netem { rate: None, limit: None, ..netem.clone() };
    if rest != Netem::default() {
        let text = format!("{at} has neither delay nor faults of its medium: this kernel has no netem");
        report.warning(cable.span, text);
    }
    let rate = netem.rate?;
    if support.tbf {
        return Some(Medium::Rate(Qdisc::Tbf(Tbf::new(rate, mtu(inventory, at), LATENCY))));
    }
    let text = format!("{at} is not held to {rate}: this kernel has neither netem nor tbf");
    report.warning(cable.span, text);
    None
}
