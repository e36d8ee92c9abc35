//! Shaping: trees of classes that make sense.

use super::codes;
use super::context::{Check, HOST, suggest};
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::scalar::{InterfaceRef, Rate};
use crate::source::Span;
use crate::topology::{Bandwidth, Htb, HtbClass, Qos};
use crate::validated::Thing;
use netloom_wire::NodeName;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(check: &mut Check<'_>) {
    let mut seen: BTreeMap<&InterfaceRef, Span> = BTreeMap::new();
    for item in &check.topology.qos {
        place(check, &item.value);
        if let Some(first) = seen.insert(&item.on.value, item.on.span) {
            let finding =
                Diagnostic::error(codes::DUPLICATE_QOS, format!("`{}` is shaped twice", item.on.value))
                    .at(item.on.span)
                    .label("shaped already")
                    .help("write one item for each interface: an `htb` tree can hold many rates")
                    .related(first, "the first one");
            check.push(finding);
        }
        let kinds = [item.htb.is_some(), item.tbf.is_some(), item.bandwidth.is_some()];
        match kinds.iter().filter(|there| **there).count() {
            1 => {}
            0 => check.error(
                codes::QOS_FORM,
                item.on.span,
                format!("nothing says how `{}` is shaped", item.on.value),
                "no `htb`, `tbf` or `bandwidth`",
                "add one of them",
            ),
            _ => check.error(
                codes::QOS_FORM,
                item.on.span,
                format!("`{}` is shaped in several ways at once", item.on.value),
                "more than one of `htb`, `tbf` and `bandwidth`",
                "keep one of them",
            ),
        }
        if let Some(htb) = &item.htb {
            tree(check, htb);
        }
        if let Some(bandwidth) = &item.bandwidth {
            sides(check, bandwidth);
        }
    }
}

fn place(check: &mut Check<'_>, qos: &Qos) {
    let (node, span) = (&qos.on.node, qos.on.span);
    match check.index.thing(node) {
        Some((Thing::Endpoint | Thing::Router, _)) => {
            check.interface(node, &qos.on.interface, span);
        }
        _ if node.as_str() == HOST => {}
        _ => check.wrong_name(node, span, "an endpoint or router", |thing| {
            matches!(thing, Thing::Endpoint | Thing::Router)
        }),
    }
}

fn sides(check: &mut Check<'_>, bandwidth: &Spanned<Bandwidth>) {
    if bandwidth.inbound.is_none() && bandwidth.outbound.is_none() {
        check.error(
            codes::QOS_FORM,
            bandwidth.span,
            "`bandwidth` names no direction",
            "nothing is shaped",
            "add `inbound`, `outbound` or both",
        );
    }
    for side in bandwidth.inbound.iter().chain(&bandwidth.outbound) {
        if side.peak.is_some_and(|peak| peak < side.average) {
            check.error(
                codes::RATES,
                side.span,
                format!("the peak is below the average of {} kilobytes a second", side.average),
                "peak is too small",
                "raise `peak`, or remove it",
            );
        }
    }
    if let Some(outbound) = &bandwidth.outbound
        && outbound.floor.is_some()
    {
        check.error(
            codes::KEY_MISPLACED,
            check.key(outbound.span, "floor"),
            "`floor` is for the inbound direction only",
            "outbound has none",
            "move it to `inbound`",
        );
    }
}

fn tree(check: &mut Check<'_>, htb: &Spanned<Htb>) {
    let mut above: BTreeMap<&NodeName, &Spanned<NodeName>> = BTreeMap::new();
    let inner: BTreeSet<&NodeName> =
        htb.classes.values().filter_map(|class| class.parent.as_ref()).map(|parent| &parent.value).collect();
    for (key, class) in &htb.classes {
        if let Some(parent) = &class.parent {
            if htb.classes.contains_key(parent) {
                above.insert(&key.value, parent);
            } else {
                unknown_class(check, htb, parent, "the class above");
            }
        }
        rates(check, htb, key, class);
        matches_of(check, htb, key, class, inner.contains(&key.value));
    }
    if !htb.classes.contains_key(&htb.default) {
        unknown_class(check, htb, &htb.default, "the default class");
    } else if inner.contains(&htb.default.value) {
        inner_class(check, &htb.default, "can't be the default");
    }
    circles(check, &above);
    sums(check, htb);
}

fn unknown_class(check: &mut Check<'_>, htb: &Htb, name: &Spanned<NodeName>, what: &str) {
    let help = match suggest(name.as_str(), htb.classes.keys().map(|key| key.as_str())) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => {
            format!("the classes are {}", super::names::names_list(htb.classes.keys().map(|key| &key.value)))
        }
    };
    check.error(
        codes::UNKNOWN_CLASS,
        name.span,
        format!("{what} `{}` is not defined", name.value),
        "no such class",
        help,
    );
}

fn inner_class(check: &mut Check<'_>, name: &Spanned<NodeName>, what: &str) {
    check.error(
        codes::INNER_CLASS,
        name.span,
        format!("class `{}` {what}: there are classes below it", name.value),
        "only a class without others below sends packets",
        "name a class at the end of the tree",
    );
}

fn rates(check: &mut Check<'_>, htb: &Htb, key: &Spanned<NodeName>, class: &HtbClass) {
    let top = class.ceil.as_ref().unwrap_or(&class.rate);
    if class.rate.value > top.value {
        check.error(
            codes::RATES,
            top.span,
            format!(
                "the ceiling {} of class `{}` is below its rate {}",
                top.value, key.value, class.rate.value
            ),
            "ceiling is too small",
            "raise `ceil`, or remove it",
        );
    }
    let parent = class.parent.as_ref().and_then(|parent| htb.classes.get(parent));
    let limit: Rate = match parent {
        Some(parent) => parent.ceil.as_ref().unwrap_or(&parent.rate).value,
        None => htb.rate.value,
    };
    if top.value > limit {
        check.warning(
            codes::RATES_WARNING,
            top.span,
            format!("class `{}` may send {}, but what is above it only {limit}", key.value, top.value),
            "never reached",
            format!("write at most {limit}"),
        );
    }
}

fn matches_of(check: &mut Check<'_>, htb: &Htb, key: &Spanned<NodeName>, class: &HtbClass, inner: bool) {
    if inner && !class.matches.is_empty() {
        inner_class(check, key, "can't match packets");
    }
    if !inner && class.matches.is_empty() && htb.default.value != key.value {
        check.warning(
            codes::UNUSED_CLASS,
            key.span,
            format!("nothing comes into class `{}`", key.value),
            "no `match`, and not the default",
            "add `match`, or remove the class",
        );
    }
    for matched in class.matches.iter() {
        if matched.from.is_none()
            && matched.to.is_none()
            && matched.service.is_none()
            && matched.reply.is_none()
            && matched.dscp.is_none()
        {
            check.error(
                codes::EMPTY_MATCH,
                matched.span,
                format!("a match of class `{}` names nothing", key.value),
                "fits every packet",
                "name an address, a service or a DSCP; for the rest there is `default`",
            );
        }
        if let (Some(from), Some(to)) = (&matched.from, &matched.to)
            && from.net().addr().is_ipv4() != to.net().addr().is_ipv4()
        {
            check.error(
                codes::FAMILY,
                to.span,
                format!("{} and {} are of different families", from.value, to.value),
                "another family than `from`",
                "no packet has both: write two matches",
            );
        }
        if let (Some(service), Some(reply)) = (&matched.service, &matched.reply)
            && service.protocol != reply.protocol
        {
            check.error(
                codes::EMPTY_MATCH,
                reply.span,
                format!("no packet is {} and an answer of {}", service.value, reply.value),
                "another protocol than `service`",
                "write two matches",
            );
        }
    }
}

fn circles(check: &mut Check<'_>, above: &BTreeMap<&NodeName, &Spanned<NodeName>>) {
    let mut done: BTreeSet<&NodeName> = BTreeSet::new();
    let mut findings = Vec::new();
    for start in above.keys().copied() {
        let mut path: Vec<&NodeName> = Vec::new();
        let mut at = Some(start);
        while let Some(name) = at {
            if let Some(begin) = path.iter().position(|seen| *seen == name) {
                if let Some(parent) = above.get(name) {
                    findings.push((parent.span, super::names::names_list(path[begin..].iter().copied())));
                }
                break;
            }
            if !done.insert(name) {
                break;
            }
            path.push(name);
            at = above.get(name).map(|parent| &parent.value);
        }
    }
    for (span, circle) in findings {
        check.error(
            codes::CLASS_CYCLE,
            span,
            "classes stand above one another in a circle",
            "leads back here",
            format!("the circle is {circle}: let one of them stand below the whole tree"),
        );
    }
}

/// Guarantees that can't all be kept at once are promised too often.
fn sums(check: &mut Check<'_>, htb: &Htb) {
    let mut sums: BTreeMap<Option<&NodeName>, u128> = BTreeMap::new();
    for class in htb.classes.values() {
        let parent = class.parent.as_ref().map(|parent| &parent.value);
        *sums.entry(parent).or_default() += u128::from(class.rate.bits_per_second());
    }
    for (parent, sum) in sums {
        let class = parent.and_then(|name| htb.classes.get_key_value(name.as_str()));
        let (rate, what) = match (parent, class) {
            (None, _) => (&htb.rate, "the whole tree".to_owned()),
            (Some(_), Some((key, class))) => (&class.rate, format!("class `{}`", key.value)),
            (Some(_), None) => continue,
        };
        if sum > u128::from(rate.bits_per_second()) {
            let sum = Rate::from_bits_per_second(u64::try_from(sum).unwrap_or(u64::MAX));
            check.warning(
                codes::RATES_WARNING,
                rate.span,
                format!("the classes below {what} are promised {sum} together, more than its {}", rate.value),
                "less than the sum",
                "lower their rates, and let them borrow by `ceil`",
            );
        }
    }
}
