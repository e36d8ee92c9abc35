//! Differences between an observed and a desired tree, in words, forgiving what the kernel rounds.
//!
//! The kernel keeps rates as whole octets per second, buckets as ticks of 64 ns of sending time, and
//! some times in units of about a microsecond; what it gives back differs from what it was given.

use super::{BitRate, FqCodel, Htb, HtbClass, Ingress, Netem, Prio, Qdisc, Sfq, Shaper, Tbf};
use std::fmt::Display;
use std::time::Duration;

/// Nanoseconds per tick of the packet scheduler (`PSCHED_SHIFT`, net/sched/sch_generic.h).
const TICK: u64 = 64;

type Report<'a> = &'a mut dyn FnMut(String, String, String);

impl Shaper {
    /// Calls `report(field, from, to)` for each difference between this observed tree and `desired`.
    /// What the desire leaves to the kernel is not compared.
    pub fn compare(&self, desired: &Self, report: &mut dyn FnMut(String, String, String)) {
        match (&self.root, &desired.root) {
            (None, None) => {}
            (Some(from), Some(to)) => qdisc("", from, to, report),
            (from, to) => report("root discipline".to_owned(), kind(from.as_ref()), kind(to.as_ref())),
        }
        ingress(self.ingress.as_ref(), desired.ingress.as_ref(), report);
        for part in &self.unrecognized {
            report("unknown part".to_owned(), part.clone(), "none".to_owned());
        }
    }

    /// Whether nothing that is desired differs.
    #[must_use]
    pub fn satisfies(&self, desired: &Self) -> bool {
        let mut same = true;
        self.compare(desired, &mut |_, _, _| same = false);
        same
    }
}

/// The kind of a discipline, or that there is none.
pub(super) fn kind(qdisc: Option<&Qdisc>) -> String {
    qdisc.map_or("none", Qdisc::kind).to_owned()
}

fn at(place: &str, field: &str) -> String {
    if place.is_empty() { field.to_owned() } else { format!("{place} {field}") }
}

fn field<T: PartialEq>(
    place: &str,
    name: &str,
    from: &T,
    to: &T,
    show: impl Fn(&T) -> String,
    report: Report<'_>,
) {
    if from != to {
        report(at(place, name), show(from), show(to));
    }
}

fn number<T: PartialEq + Display>(place: &str, name: &str, from: &T, to: &T, report: Report<'_>) {
    field(place, name, from, to, T::to_string, report);
}

/// Only where the desire says something.
fn wanted<T: PartialEq + Display>(
    place: &str,
    name: &str,
    from: Option<&T>,
    to: Option<&T>,
    report: Report<'_>,
) {
    if to.is_some() && from != to {
        report(at(place, name), option(from), option(to));
    }
}

fn option<T: Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), T::to_string)
}

/// Rates are the same when they are the same number of octets per second.
fn rate(place: &str, name: &str, from: BitRate, to: BitRate, report: Report<'_>) {
    if from.octets() != to.octets() {
        report(at(place, name), from.to_string(), to.to_string());
    }
}

/// Sizes of a bucket are the same within two ticks of its rate and what 32-bit fixed point loses.
pub(super) fn bucket_is(rate: BitRate, from: u32, to: u32) -> bool {
    let ticks = u128::from(rate.octets()) * u128::from(2 * TICK) / 1_000_000_000;
    u128::from(from.abs_diff(to)) <= ticks + 1 + u128::from(to >> 20)
}

fn bucket(place: &str, name: &str, at_rate: BitRate, from: u32, to: u32, report: Report<'_>) {
    if !bucket_is(at_rate, from, to) {
        report(at(place, name), format!("{from} octets"), format!("{to} octets"));
    }
}

/// Times are the same within `slack` and a thousandth.
fn time(place: &str, name: &str, from: Duration, to: Duration, slack: Duration, report: Report<'_>) {
    if from.abs_diff(to) > slack + to / 1000 {
        report(at(place, name), format!("{from:?}"), format!("{to:?}"));
    }
}

fn qdisc(place: &str, from: &Qdisc, to: &Qdisc, report: Report<'_>) {
    match (from, to) {
        (Qdisc::Htb(from), Qdisc::Htb(to)) => htb(place, from, to, report),
        (Qdisc::Tbf(from), Qdisc::Tbf(to)) => tbf(place, from, to, report),
        (Qdisc::Netem(from), Qdisc::Netem(to)) => netem(place, from, to, report),
        (Qdisc::Prio(from), Qdisc::Prio(to)) => prio(place, from, to, report),
        (Qdisc::FqCodel(from), Qdisc::FqCodel(to)) => fq_codel(place, from, to, report),
        (Qdisc::Sfq(from), Qdisc::Sfq(to)) => sfq(place, from, to, report),
        (Qdisc::Pfifo { limit: from }, Qdisc::Pfifo { limit: to })
        | (Qdisc::Bfifo { limit: from }, Qdisc::Bfifo { limit: to }) => {
            wanted(place, "limit", from.as_ref(), to.as_ref(), report);
        }
        (from, to) => {
            let name = if place.is_empty() { "root discipline" } else { "discipline" };
            report(at(place, name), from.kind().to_owned(), to.kind().to_owned());
        }
    }
}

fn child(place: &str, from: Option<&Qdisc>, to: Option<&Qdisc>, report: Report<'_>) {
    match (from, to) {
        (None, None) => {}
        (Some(from), Some(to)) => qdisc(place, from, to, report),
        (from, to) => report(at(place, "discipline"), kind(from), kind(to)),
    }
}

fn htb(place: &str, from: &Htb, to: &Htb, report: Report<'_>) {
    field(place, "default class", &from.default, &to.default, |class| option(class.as_ref()), report);
    wanted(place, "r2q", from.r2q.as_ref(), to.r2q.as_ref(), report);
    for (id, class) in &from.classes {
        if !to.classes.contains_key(id) {
            report(at(place, &format!("class {id}")), class.rate.to_string(), "none".to_owned());
        }
    }
    for (id, wanted) in &to.classes {
        let place = at(place, &format!("class {id}"));
        match from.classes.get(id) {
            Some(found) => htb_class(&place, found, wanted, to.is_leaf(*id), report),
            None => report(place, "none".to_owned(), wanted.rate.to_string()),
        }
    }
    filters(place, &from.filters, &to.filters, report);
}

fn htb_class(place: &str, from: &HtbClass, to: &HtbClass, is_leaf: bool, report: Report<'_>) {
    field(place, "parent", &from.parent, &to.parent, |class| option(class.as_ref()), report);
    rate(place, "rate", from.rate, to.rate, report);
    rate(place, "ceil", from.ceil, to.ceil, report);
    bucket(place, "burst", to.rate, from.burst, to.burst, report);
    bucket(place, "cburst", to.ceil, from.cburst, to.cburst, report);
    // The kernel keeps these of leaves only.
    if is_leaf {
        number(place, "priority", &from.priority, &to.priority, report);
        wanted(place, "quantum", from.quantum.as_ref(), to.quantum.as_ref(), report);
        child(&at(place, "leaf"), from.leaf.as_deref(), to.leaf.as_deref(), report);
    }
}

/// An ordered list: a filter that moved is as different as one that changed.
fn filters(place: &str, from: &[super::Filter], to: &[super::Filter], report: Report<'_>) {
    let show = |filter: Option<&super::Filter>| match filter {
        Some(filter) => format!("{} to class {}", filter.when.canonical(), filter.class),
        None => "none".to_owned(),
    };
    for index in 0..from.len().max(to.len()) {
        let (from, to) = (from.get(index), to.get(index));
        let same = match (from, to) {
            (Some(a), Some(b)) => a.class == b.class && a.when.canonical() == b.when.canonical(),
            _ => false,
        };
        if !same {
            report(at(place, &format!("filter {}", index + 1)), show(from), show(to));
        }
    }
}

fn tbf(place: &str, from: &Tbf, to: &Tbf, report: Report<'_>) {
    rate(place, "rate", from.rate, to.rate, report);
    bucket(place, "burst", to.rate, from.burst, to.burst, report);
    number(place, "limit", &from.limit, &to.limit, report);
    match (&from.peak, &to.peak) {
        (Some(from), Some(to)) => {
            rate(place, "peak rate", from.rate, to.rate, report);
            bucket(place, "peak burst", to.rate, from.burst, to.burst, report);
        }
        (None, None) => {}
        (from, to) => {
            let show = |peak: &Option<super::Peak>| option(peak.map(|peak| peak.rate).as_ref());
            report(at(place, "peak rate"), show(from), show(to));
        }
    }
    child(&at(place, "child"), from.child.as_deref(), to.child.as_deref(), report);
}

fn netem(place: &str, from: &Netem, to: &Netem, report: Report<'_>) {
    let tick = Duration::from_nanos(2 * TICK);
    time(place, "delay", from.delay, to.delay, tick, report);
    time(place, "jitter", from.jitter, to.jitter, tick, report);
    number(place, "delay correlation", &from.delay_correlation, &to.delay_correlation, report);
    number(place, "loss", &from.loss, &to.loss, report);
    number(place, "loss correlation", &from.loss_correlation, &to.loss_correlation, report);
    number(place, "duplicate", &from.duplicate, &to.duplicate, report);
    number(place, "corrupt", &from.corrupt, &to.corrupt, report);
    field(
        place,
        "reorder",
        &from.reorder,
        &to.reorder,
        |reorder| {
            reorder.as_ref().map_or_else(
                || "none".to_owned(),
                |reorder| format!("{} of every {}", reorder.share, reorder.gap),
            )
        },
        report,
    );
    match (from.rate, to.rate) {
        (Some(from), Some(to)) => rate(place, "rate", from, to, report),
        (from, to) => field(place, "rate", &from, &to, |rate| option(rate.as_ref()), report),
    }
    wanted(place, "limit", from.limit.as_ref(), to.limit.as_ref(), report);
    child(&at(place, "child"), from.child.as_deref(), to.child.as_deref(), report);
}

fn prio(place: &str, from: &Prio, to: &Prio, report: Report<'_>) {
    number(place, "bands", &from.bands, &to.bands, report);
    field(place, "map", &from.map, &to.map, |map| format!("{map:?}"), report);
    for band in 0..to.bands {
        let place = at(place, &format!("band {band}"));
        child(&place, from.leaves.get(&band), to.leaves.get(&band), report);
    }
    filters(place, &from.filters, &to.filters, report);
}

fn fq_codel(place: &str, from: &FqCodel, to: &FqCodel, report: Report<'_>) {
    wanted(place, "limit", from.limit.as_ref(), to.limit.as_ref(), report);
    wanted(place, "flows", from.flows.as_ref(), to.flows.as_ref(), report);
    wanted(place, "quantum", from.quantum.as_ref(), to.quantum.as_ref(), report);
    wanted(place, "memory limit", from.memory_limit.as_ref(), to.memory_limit.as_ref(), report);
    wanted(place, "ecn", from.ecn.as_ref(), to.ecn.as_ref(), report);
    // CoDel counts in 1,024 ns.
    let slack = Duration::from_micros(3);
    for (name, from, to) in [("target", from.target, to.target), ("interval", from.interval, to.interval)] {
        if let Some(to) = to {
            time(place, name, from.unwrap_or_default(), to, slack, report);
        }
    }
}

fn sfq(place: &str, from: &Sfq, to: &Sfq, report: Report<'_>) {
    wanted(place, "quantum", from.quantum.as_ref(), to.quantum.as_ref(), report);
    wanted(place, "perturb", from.perturb.as_ref(), to.perturb.as_ref(), report);
    wanted(place, "limit", from.limit.as_ref(), to.limit.as_ref(), report);
}

fn ingress(from: Option<&Ingress>, to: Option<&Ingress>, report: Report<'_>) {
    let show = |rule: Option<&Ingress>| match rule {
        None => "none".to_owned(),
        Some(Ingress::Police { rate, .. }) => format!("police {rate}"),
        Some(Ingress::Redirect { device }) => format!("redirect to {device}"),
    };
    match (from, to) {
        (
            Some(Ingress::Police { rate: from_rate, burst: from_burst }),
            Some(Ingress::Police { rate: to_rate, burst: to_burst }),
        ) => {
            rate("ingress", "rate", *from_rate, *to_rate, report);
            bucket("ingress", "burst", *to_rate, *from_burst, *to_burst, report);
        }
        (from, to) if from != to => report("ingress".to_owned(), show(from), show(to)),
        _ => {}
    }
}
