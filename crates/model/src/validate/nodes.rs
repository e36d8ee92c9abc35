//! Nodes: sysctls, VRFs, masquerade, commands.

use super::codes;
use super::context::Check;
use crate::diagnostic::{Diagnostic, printable};
use crate::document::Spanned;
use crate::source::Span;
use crate::topology::{LinkKind, Node, SysctlValue};
use crate::validated::{self, NodeKind};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(check: &mut Check<'_>) {
    sysctls(check, &check.topology.defaults.sysctls);
    let mut link_tables: LinkTables<'_> = BTreeMap::new();
    for item in &check.topology.links {
        if let (LinkKind::Vrf, Some(on), Some(table)) = (item.kind, &item.value.0.on, item.table) {
            link_tables.entry(&on.value.node).or_default().push(table);
        }
    }
    for (name, span, kind, node) in validated::nodes(check.topology) {
        sysctls(check, &node.sysctls);
        super::interfaces::check_at(check, name, node);
        vrfs(check, &link_tables, name, node);
        masquerade(check, name, node);
        commands(check, name, node);
        if kind == NodeKind::Router && node.forwarding == Some(false) {
            check.warning(
                codes::USELESS_KEY,
                span,
                format!("router `{name}` does not forward"),
                "a router with `forwarding: false`",
                "make it an endpoint, or remove `forwarding: false`",
            );
        }
    }
}

/// The parts of a sysctl's name. As sysctl(8): the first separator decides; with dots between the parts a
/// slash stands for a dot inside of one (`net.ipv4.conf.eth0/10.forwarding`).
pub fn sysctl_path(name: &str) -> Vec<String> {
    let dots_separate = match (name.find('.'), name.find('/')) {
        (Some(dot), Some(slash)) => dot < slash,
        (dot, _) => dot.is_some(),
    };
    if dots_separate {
        name.split('.').map(|part| part.replace('/', ".")).collect()
    } else {
        name.split('/').map(str::to_owned).collect()
    }
}

fn sysctls(check: &mut Check<'_>, sysctls: &BTreeMap<Spanned<String>, SysctlValue>) {
    let mut seen: BTreeMap<Vec<String>, Span> = BTreeMap::new();
    for (key, value) in sysctls {
        let path = sysctl_path(key);
        let legal = |part: &String| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte))
        };
        if path.len() < 2 || !path.iter().all(legal) {
            check.error(
                codes::SYSCTL,
                key.span,
                format!("`{}` is not the name of a sysctl", printable(key)),
                "not a name below /proc/sys",
                "write it like net.ipv4.ip_forward or net/ipv4/ip_forward",
            );
        } else if path.first().is_some_and(|first| first != "net") {
            check.error(
                codes::SYSCTL,
                key.span,
                format!("sysctl `{}` belongs to the whole machine, not to a node", printable(key)),
                "not of a network namespace",
                "only names below `net` can be set for a node",
            );
        } else if let Some(first) = seen.insert(path, key.span) {
            let finding = Diagnostic::error(
                codes::SYSCTL,
                format!("sysctl `{}` is set twice, in two spellings", printable(key)),
            )
            .at(key.span)
            .label("set again")
            .help("keep one of them")
            .related(first, "set here");
            check.push(finding);
        }
        let text = value.to_string();
        if text.is_empty() || text.contains(['\n', '\0']) {
            check.error(
                codes::SYSCTL,
                key.span,
                format!("the value of sysctl `{}` is not one line of text", printable(key)),
                "the kernel reads one line",
                "write a number or a short text",
            );
        }
    }
}

/// A VRF's table is its own: none of those that the kernel uses.
pub(super) fn vrf_table(check: &mut Check<'_>, table: &Spanned<u32>) -> bool {
    let used = matches!(table.value, 0 | 253..=255);
    if used {
        check.error(
            codes::VRF,
            table.span,
            format!("table {} can't be the table of a VRF", table.value),
            "0 and 253 to 255 belong to the kernel",
            "choose another number, like 100",
        );
    }
    !used
}

/// Tables of VRFs that are links, by node.
type LinkTables<'a> = BTreeMap<&'a NodeName, Vec<Spanned<u32>>>;

fn vrfs(check: &mut Check<'_>, links: &LinkTables<'_>, name: &NodeName, node: &Node) {
    let mut tables: BTreeMap<u32, Span> = BTreeMap::new();
    let link_tables = links.get(name).into_iter().flatten().copied();
    let node_tables = node.vrfs.values().map(|vrf| vrf.table);
    for table in node_tables.chain(link_tables) {
        if let Some(first) = tables.insert(table.value, table.span) {
            let finding =
                Diagnostic::error(codes::VRF, format!("two VRFs of `{name}` have table {}", table.value))
                    .at(table.span)
                    .label("taken")
                    .help("give each VRF a table of its own")
                    .related(first, "the first one");
            check.push(finding);
        }
    }
    for vrf in node.vrfs.values() {
        vrf_table(check, &vrf.table);
        let mut seen = BTreeSet::new();
        for member in &vrf.interfaces {
            if !check.interface(name, member, member.span) {
                continue;
            }
            let other = check.index.attachment(name, member);
            if matches!(other, Some(validated::Attachment::Vrf | validated::Attachment::Loopback)) {
                check.error(
                    codes::VRF,
                    member.span,
                    format!("`{}` can't be an interface of a VRF", member.value),
                    "it belongs to the node itself",
                    "list interfaces that lead somewhere",
                );
            }
            if !seen.insert(&member.value) {
                check.warning(
                    codes::LISTED_TWICE,
                    member.span,
                    format!("`{}` is listed twice", member.value),
                    "again",
                    "remove one",
                );
            }
        }
    }
}

fn masquerade(check: &mut Check<'_>, name: &NodeName, node: &Node) {
    let mut seen: BTreeMap<(&InterfaceName, Vec<crate::scalar::Prefix>), Span> = BTreeMap::new();
    for item in &node.masquerade {
        if !check.interface(name, &item.out, item.out.span) {
            continue;
        }
        if check.addresses(name, &item.out).is_empty() {
            check.error(
                codes::MASQUERADE,
                item.out.span,
                format!("`{name}:{}` has no address that packets could take", item.out.value),
                "no address",
                "give the interface an address, or name the one that leads outside",
            );
        }
        let mut from: Vec<crate::scalar::Prefix> = item.from.iter().map(|prefix| prefix.value).collect();
        from.sort();
        if let Some(first) = seen.insert((&item.out.value, from), item.out.span) {
            let finding = Diagnostic::warning(
                codes::LISTED_TWICE,
                format!("`{name}` masquerades at `{}` twice", item.out.value),
            )
            .at(item.out.span)
            .label("again")
            .help("remove one")
            .related(first, "the first time");
            check.push(finding);
        }
        if check.index.node(name).is_some_and(|entry| entry.kind == NodeKind::Endpoint)
            && node.forwarding != Some(true)
        {
            check.warning(
                codes::USELESS_KEY,
                item.out.span,
                format!("`{name}` masquerades, but forwards nothing"),
                "an endpoint does not forward",
                "make it a router, or add `forwarding: true`",
            );
        }
    }
}

fn commands(check: &mut Check<'_>, name: &NodeName, node: &Node) {
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    for item in &node.run {
        let Some(program) = item.command.first().filter(|program| !program.is_empty()) else {
            check.error(
                codes::COMMAND,
                item.span,
                format!("a command of `{name}` has no program"),
                "nothing to run",
                "write `command: [program, argument, ...]`",
            );
            continue;
        };
        let variables = item.environment.iter();
        let texts = item.command.iter().chain(item.directory.iter());
        let texts = texts.chain(variables.clone().flat_map(|(key, value)| [key, value]));
        if texts.into_iter().any(|text| text.contains('\0')) {
            check.error(
                codes::COMMAND,
                item.span,
                format!("a command of `{name}` contains a zero byte"),
                "no program takes this",
                "remove the zero byte",
            );
        }
        for (key, _) in variables.filter(|(key, _)| key.is_empty() || key.contains('=')) {
            check.error(
                codes::COMMAND,
                item.span,
                format!("`{}` is not the name of an environment variable", printable(key)),
                "empty, or with `=`",
                "write it like PATH",
            );
        }
        let (own, span) = match &item.name {
            Some(given) => (given.as_str().to_owned(), given.span),
            None => (program.rsplit('/').next().unwrap_or(program).to_owned(), item.span),
        };
        if let Some(first) = seen.insert(own.clone(), span) {
            let finding = Diagnostic::error(
                codes::COMMAND,
                format!("two commands of `{name}` are named `{}`", printable(&own)),
            )
            .at(span)
            .label("taken")
            .help("give each a `name` of its own")
            .related(first, "the first one");
            check.push(finding);
        }
    }
}
