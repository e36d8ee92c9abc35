//! Version, names, groups.

use super::codes;
use super::context::{Check, HOST, list};
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::source::Span;
use crate::topology::VERSION;
use crate::validated::Thing;
use netloom_wire::NodeName;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(check: &mut Check<'_>) {
    version(check);
    clashes(check);
    groups(check);
    if check.topology.endpoints.is_empty()
        && check.topology.routers.is_empty()
        && check.topology.networks.is_empty()
    {
        let span = check.topology.name.span;
        check.warning(
            codes::EMPTY_TOPOLOGY,
            span,
            format!("`{}` has no endpoint, router or network", *check.topology.name),
            "nothing will be made of this",
            "add `endpoints:`, `networks:` or `generate:`",
        );
    }
}

fn version(check: &mut Check<'_>) {
    let version = check.topology.netloom;
    if *version != VERSION {
        check.push(unknown_version(i128::from(*version), version.span));
    }
}

/// A file for another program than this.
pub(crate) fn unknown_version(version: i128, span: Span) -> Diagnostic {
    Diagnostic::error(codes::VERSION, format!("version {version} of the language is not known"))
        .at(span)
        .label(format!("this program speaks version {VERSION}"))
        .help(format!("write `netloom: {VERSION}`, or use a program that knows version {version}"))
}

/// One name means one thing: endpoints, routers, networks and groups share one space of names.
fn clashes(check: &mut Check<'_>) {
    let topology = check.topology;
    let mut seen: BTreeMap<&NodeName, (Thing, Span)> = BTreeMap::new();
    let endpoints = topology.endpoints.keys().map(|key| (key, Thing::Endpoint));
    let routers = topology.routers.keys().map(|key| (key, Thing::Router));
    let networks = topology.networks.keys().map(|key| (key, Thing::Network));
    let groups = topology.groups.keys().map(|key| (key, Thing::Group));
    for (key, thing) in endpoints.chain(routers).chain(networks).chain(groups) {
        if matches!(key.as_str(), HOST | "any" | "none" | "auto") {
            check.error(
                codes::RESERVED_NAME,
                key.span,
                format!("`{}` can't be the name of {}", key.value, thing.with_article()),
                "this word is reserved",
                "choose another name",
            );
        }
        match seen.get(&key.value) {
            None => {
                seen.insert(&key.value, (thing, key.span));
            }
            Some((first, span)) => check.push(
                Diagnostic::error(
                    codes::NAME_CLASH,
                    format!(
                        "`{}` is both {} and {}",
                        key.value,
                        first.with_article(),
                        thing.with_article()
                    ),
                )
                .at(key.span)
                .label("the name is taken")
                .help("give one of them another name: endpoints, routers, networks and groups share their names")
                .related(*span, format!("{} is named here", first.with_article())),
            ),
        }
    }
}

fn groups(check: &mut Check<'_>) {
    let topology = check.topology;
    for (key, names) in &topology.groups {
        let mut listed = BTreeSet::new();
        for name in names {
            match check.index.thing(name) {
                Some((Thing::Network, _)) | None => {
                    check.wrong_name(name, name.span, "a node or group", |thing| thing != Thing::Network);
                }
                Some(_) => {}
            }
            if !listed.insert(&name.value) {
                check.warning(
                    codes::LISTED_TWICE,
                    name.span,
                    format!("`{}` is listed twice in group `{}`", name.value, key.value),
                    "again",
                    "remove one",
                );
            }
        }
        if let Some(cycle) = cycle_from(check, key) {
            let names: Vec<&str> = cycle.iter().map(|name| name.as_str()).collect();
            check.error(
                codes::GROUP_CYCLE,
                key.span,
                format!("group `{}` contains itself", key.value),
                "in the circle",
                format!("the circle is {}: take one out", names.join(" > ")),
            );
        } else if names.is_empty() {
            check.warning(
                codes::EMPTY_GROUP,
                key.span,
                format!("group `{}` is empty", key.value),
                "no node is in it",
                "list nodes in it, or remove it",
            );
        }
    }
}

/// The way through groups from `start` back to it, if `start` is the smallest name on it, so that each
/// circle is told once.
fn cycle_from<'a>(check: &Check<'a>, start: &'a Spanned<NodeName>) -> Option<Vec<&'a NodeName>> {
    let mut path = vec![&start.value];
    let mut seen = BTreeSet::new();
    let mut stack = vec![check.topology.groups.get(start)?.iter()];
    while let Some(top) = stack.last_mut() {
        let Some(name) = top.next() else {
            stack.pop();
            path.pop();
            continue;
        };
        if name.value == start.value {
            path.push(&start.value);
            return path.iter().min().is_some_and(|least| **least == start.value).then_some(path);
        }
        if let Some(inner) = check.topology.groups.get(name)
            && seen.insert(&name.value)
        {
            path.push(&name.value);
            stack.push(inner.iter());
        }
    }
    None
}

/// Names for a message, cut when there are many.
pub(super) fn names_list<'n>(names: impl IntoIterator<Item = &'n NodeName>) -> String {
    let names: Vec<&str> = names.into_iter().map(NodeName::as_str).collect();
    list(&names)
}
