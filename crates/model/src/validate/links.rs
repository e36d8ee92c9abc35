//! Links: the form and the keys of each kind, and what they refer to.

use super::codes;
use super::context::{Check, HOST, list, suggest};
use super::link_kinds::{Form, Kind, kind_of};
use crate::diagnostic::Diagnostic;
use crate::document::Spanned;
use crate::source::Span;
use crate::topology::{Link, LinkKind, Short};
use crate::validated::{self, Attachment, Thing, link_ends};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeMap;
use std::net::IpAddr;

impl Check<'_> {
    /// Where a link is written: its ends if they have a place of their own.
    pub(super) fn link_span(&self, item: &Spanned<Short<Link>>) -> Span {
        let own = item.value.link.as_ref().map(|link| link.span);
        let own = own.or_else(|| item.value.on.as_ref().map(|on| on.span));
        own.filter(|span| !span.is_empty()).unwrap_or(item.span)
    }
}

pub(super) fn check(check: &mut Check<'_>) {
    for item in &check.topology.links {
        let link = &item.value.0;
        let kind = kind_of(link.kind);
        let span = check.link_span(item);
        form(check, link, &kind, span);
        ends(check, link, &kind, span);
        keys(check, link, &kind, item.span, span);
        addresses(check, link);
        mode(check, link, &kind);
        within_node(check, link);
        if let Some(medium) = &link.medium
            && link.kind == LinkKind::Veth
        {
            super::media::link(check, medium);
        }
        match link.kind {
            LinkKind::Vxlan | LinkKind::Geneve | LinkKind::Gre | LinkKind::Gretap | LinkKind::Wireguard => {
                super::tunnels::check(check, link, span);
            }
            LinkKind::Bond => bond(check, link, span),
            LinkKind::Vrf => {
                if let Some(table) = &link.table {
                    super::nodes::vrf_table(check, table);
                }
            }
            _ => {}
        }
    }
    parents(check);
}

fn form(check: &mut Check<'_>, link: &Link, kind: &Kind, span: Span) {
    let word = kind.word;
    let (label, help) = match (&link.link, &link.on, kind.form) {
        (Some(_), Some(_), _) => {
            ("two ends and one end", "write `link: a:eth0 -- b:eth0` or `on: a:eth0`, not both".to_owned())
        }
        (None, None, Form::One) => ("no interface", format!("add `on`, like `on: web:{word}0`")),
        (None, None, _) => ("no ends", "add `link`, like `link: a:eth0 -- b:eth0`".to_owned()),
        (Some(_), None, Form::One) => ("two ends", format!("a {word} has one: write `on: web:{word}0`")),
        (None, Some(_), Form::Two) => {
            ("one end", format!("a {word} has two: write `link: a:eth0 -- b:eth0`"))
        }
        _ => return,
    };
    check.error(
        codes::LINK_FORM,
        span,
        format!("this is not the form of a link of kind {word}"),
        label,
        help,
    );
}

fn ends(check: &mut Check<'_>, link: &Link, kind: &Kind, span: Span) {
    for (_, node, interface) in link_ends(link) {
        let here = check.word(span, &format!("{node}:{interface}"));
        match check.index.thing(node) {
            Some((Thing::Endpoint | Thing::Router, _)) => {}
            Some((Thing::Network, _)) => {
                let Some(network) = check.network(node, here) else { continue };
                let tap = link.kind == LinkKind::Tap && super::networks::is_switch(network.mode);
                if link.kind != LinkKind::Veth && !tap {
                    check.error(
                        codes::LINK_FORM,
                        here,
                        format!("a {} can't end in network `{node}`", kind.word),
                        "this is a network",
                        "only a veth or a tap can be plugged into a network: end the link in a node",
                    );
                } else if !super::networks::is_switch(network.mode) {
                    check.error(
                        codes::LINK_FORM,
                        here,
                        format!(
                            "no link can be plugged into `{node}`: mode {} has no switch",
                            super::networks::word(network.mode)
                        ),
                        "this network has no ports",
                        "attach the node by `network:` in its interface",
                    );
                } else if network.mode == crate::topology::NetworkMode::Overlay && network.vteps.len() > 1 {
                    check.error(
                        codes::LINK_FORM,
                        here,
                        format!(
                            "overlay `{node}` has a switch at each of its VTEPs, and the link names none"
                        ),
                        "which of them?",
                        "attach the node by `network:` in its interface, with `at:`",
                    );
                }
            }
            _ if node.as_str() == HOST => {
                if !matches!(link.kind, LinkKind::Veth | LinkKind::Tap | LinkKind::Tun | LinkKind::Dummy) {
                    check.error(
                        codes::LINK_FORM,
                        here,
                        format!("a {} can't be made at the host", kind.word),
                        "the host itself",
                        "veth, tap, tun and dummy can: for others name a node",
                    );
                }
            }
            _ => check.wrong_name(node, here, "a node or network", |thing| thing != Thing::Group),
        }
    }
    if let Some(pair) = &link.link {
        let (a, b) = (&pair.value.a.node, &pair.value.b.node);
        let nodes = matches!(check.index.thing(a), Some((Thing::Endpoint | Thing::Router, _)));
        if a == b && link.kind != LinkKind::Veth && nodes {
            check.error(
                codes::LINK_FORM,
                span,
                format!("both ends of this {} are in `{a}`", kind.word),
                "the same node",
                "a tunnel leads from one node to another",
            );
        }
    }
}

/// Keys that go with other kinds, and keys that the kind can't do without.
fn keys(check: &mut Check<'_>, link: &Link, kind: &Kind, item: Span, span: Span) {
    for (name, place) in super::link_kinds::keys_of(link) {
        if kind.allowed.contains(&name) {
            continue;
        }
        let place = place.filter(|span| !span.is_empty()).unwrap_or_else(|| check.key(item, name));
        let others = super::link_kinds::kinds_with(name);
        check.error(
            codes::KEY_MISPLACED,
            place,
            format!("`{name}` does not go with kind {}", kind.word),
            "belongs to another kind",
            format!("`{name}` goes with {}", list(&others)),
        );
    }
    let present: Vec<&str> = super::link_kinds::keys_of(link).into_iter().map(|(name, _)| name).collect();
    for name in kind.required {
        if !present.contains(name) {
            check.error(
                codes::KEY_MISSING,
                span,
                format!("a link of kind {} needs `{name}`", kind.word),
                "something is missing here",
                format!("add `{name}: ...`"),
            );
        }
    }
}

fn addresses(check: &mut Check<'_>, link: &Link) {
    let ends = link_ends(link);
    for (place, (_, node, interface)) in ends.iter().enumerate() {
        let Some(address) = link.addresses.get(place) else { continue };
        if check.index.node(node).is_none() && check.index.thing(node).is_some() {
            check.error(
                codes::LINK_ADDRESSES,
                address.span,
                format!("`{node}:{interface}` is a port of a network and can't have an address"),
                "the ends take addresses in turn",
                "write the address of the other end under its node's `interfaces`",
            );
        }
    }
    for pair in link.addresses.chunks(2).filter(|_| ends.len() == 2) {
        let [a, b] = pair else { continue };
        if a.net().addr().is_ipv4() != b.net().addr().is_ipv4() || !a.net().contains(&b.net().addr()) {
            let finding = Diagnostic::warning(
                codes::LINK_PREFIXES,
                format!("the ends of the link have addresses of different prefixes, {} and {}", a.value, b.value),
            )
            .at(b.span)
            .label("not in the prefix of the first end")
            .help("the ends take addresses in turn: give them pairs of one prefix, or each a route to the other");
            check.push(finding);
        }
    }
    if link.kind == LinkKind::Ifb
        && let Some(address) = link.addresses.first()
    {
        check.error(
            codes::LINK_ADDRESSES,
            address.span,
            "an ifb has no address",
            "only shapes what passes through",
            "remove `addresses`",
        );
    }
}

fn mode(check: &mut Check<'_>, link: &Link, kind: &Kind) {
    let Some(mode) = &link.mode else { return };
    if kind.modes.is_empty() || kind.modes.contains(&mode.as_str()) {
        return;
    }
    let help = match suggest(mode, kind.modes.iter().copied()) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => format!("{} knows {}", kind.word, list(kind.modes)),
    };
    check.error(
        codes::UNKNOWN_WORD,
        mode.span,
        format!("`{}` is not a mode of {}", crate::diagnostic::printable(mode), kind.word),
        "unknown mode",
        help,
    );
}

/// `parent`, `device`, `members` and `primary` are interfaces of the node of the link.
fn within_node(check: &mut Check<'_>, link: &Link) {
    let ends = link_ends(link);
    let Some((_, node, own)) = ends.first() else { return };
    if check.index.node(node).is_none() {
        return;
    }
    let references = link.parent.iter().chain(&link.device).chain(&link.members).chain(&link.primary);
    for reference in references {
        if !check.interface(node, reference, reference.span) {
            continue;
        }
        if reference.value == **own {
            check.error(
                codes::PARENT_CYCLE,
                reference.span,
                format!("`{node}:{own}` can't stand on itself"),
                "the same interface",
                "name the interface below",
            );
        } else if reference.as_str() == "lo"
            || matches!(check.index.attachment(node, reference), Some(Attachment::Vrf))
        {
            check.error(
                codes::KEY_MISPLACED,
                reference.span,
                format!("`{node}:{}` can't be used here", reference.value),
                "carries no Ethernet frames",
                "name an interface with a cable",
            );
        }
    }
}

fn bond(check: &mut Check<'_>, link: &Link, span: Span) {
    if let Some(primary) = &link.primary
        && !link.members.contains(primary)
    {
        check.error(
            codes::BOND,
            primary.span,
            format!("primary `{}` is not a member of the bond", primary.value),
            "not listed",
            "add it to `members`",
        );
    }
    let mode = link.mode.as_ref().map_or("balance-rr", |mode| mode.as_str());
    let useless = |check: &mut Check<'_>, place: Span, name: &str, with: &str| {
        check.warning(
            codes::USELESS_KEY,
            place,
            format!("`{name}` has no effect in bond mode {mode}"),
            "not used in this mode",
            format!("it goes with {with}"),
        );
    };
    if let Some(primary) = &link.primary
        && !matches!(mode, "active-backup" | "balance-tlb" | "balance-alb")
    {
        useless(check, primary.span, "primary", "active-backup, balance-tlb and balance-alb");
    }
    if link.lacp_fast.is_some() && mode != "802.3ad" {
        useless(check, check.key(span, "lacp-fast"), "lacp-fast", "802.3ad");
    }
    if let Some(hash) = &link.transmit_hash {
        const POLICIES: [&str; 6] = ["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"];
        if !POLICIES.contains(&hash.as_str()) {
            let help = match suggest(hash, POLICIES) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("the kernel knows {}", list(&POLICIES)),
            };
            check.error(
                codes::UNKNOWN_WORD,
                hash.span,
                format!("`{}` is not a transmit hash policy", crate::diagnostic::printable(hash)),
                "unknown policy",
                help,
            );
        }
    }
    let Some((_, node, _)) = link_ends(link).first().copied() else { return };
    for member in &link.members {
        if link.members.iter().filter(|other| *other == member).count() > 1 {
            check.error(
                codes::BOND,
                member.span,
                format!("`{}` is listed more than once", member.value),
                "again",
                "remove one",
            );
            break;
        }
        if !check.addresses(node, member).is_empty() {
            check.warning(
                codes::BOND_MEMBER_ADDRESS,
                member.span,
                format!("`{node}:{}` has an address of its own, but is a port of a bond", member.value),
                "its address is not used",
                "give the address to the bond",
            );
        }
    }
}

/// An interface is in one bond or VRF at most, and what stands on what has an end.
fn parents(check: &mut Check<'_>) {
    let mut below: BTreeMap<(&NodeName, &InterfaceName), Vec<&InterfaceName>> = BTreeMap::new();
    let mut member_of: BTreeMap<(&NodeName, &InterfaceName), (&InterfaceName, Span)> = BTreeMap::new();
    let mut findings = Vec::new();
    let topology = check.topology;
    for item in &topology.links {
        let link = &item.value.0;
        let Some((_, node, own)) = link_ends(link).first().copied() else { continue };
        let under = link.parent.iter().chain(&link.device).chain(&link.members);
        below.entry((node, own)).or_default().extend(under.map(|name| &name.value));
        for member in &link.members {
            if let Some((other, span)) = member_of.insert((node, &member.value), (own, member.span))
                && other != own
            {
                findings.push((node, member, other, span, own));
            }
        }
    }
    for (name, _, _, node) in validated::nodes(topology) {
        for (device, vrf) in &node.vrfs {
            for member in &vrf.interfaces {
                if let Some((other, span)) =
                    member_of.insert((name, &member.value), (&device.value, member.span))
                {
                    findings.push((name, member, other, span, &device.value));
                }
            }
        }
    }
    for (node, member, other, span, own) in findings {
        let finding = Diagnostic::error(
            codes::TWO_CONTROLLERS,
            format!("`{node}:{}` can't be in `{other}` and in `{own}`", member.value),
        )
        .at(member.span)
        .label("has a place already")
        .help("an interface is in one bond or VRF: remove it from the other")
        .related(span, format!("in `{other}`"));
        check.push(finding);
    }
    let mut done: std::collections::BTreeSet<(&NodeName, &InterfaceName)> = Default::default();
    for item in &topology.links {
        let Some((_, node, own)) = link_ends(&item.value).first().copied() else { continue };
        if !done.contains(&(node, own)) && stands_on_itself(&below, node, own, &mut done) {
            let span = check.link_span(item);
            check.error(
                codes::PARENT_CYCLE,
                span,
                format!("`{node}:{own}` stands on an interface that stands on it"),
                "in the circle",
                "let the lowest interface be a port of a network or an end of a veth",
            );
        }
    }
}

/// Whether the way down from an interface comes back to one already on the way.
fn stands_on_itself<'a>(
    below: &BTreeMap<(&'a NodeName, &'a InterfaceName), Vec<&'a InterfaceName>>,
    node: &'a NodeName,
    start: &'a InterfaceName,
    done: &mut std::collections::BTreeSet<(&'a NodeName, &'a InterfaceName)>,
) -> bool {
    let mut path: Vec<(&InterfaceName, usize)> = vec![(start, 0)];
    while let Some((at, next)) = path.last_mut() {
        let under = below.get(&(node, *at)).map_or(&[][..], Vec::as_slice);
        let Some(deeper) = under.get(*next).copied() else {
            done.insert((node, *at));
            path.pop();
            continue;
        };
        *next += 1;
        // Standing directly on itself is told elsewhere.
        if path.len() > 1 && path.iter().any(|(name, _)| *name == deeper) {
            done.extend(path.iter().map(|(name, _)| (node, *name)));
            return true;
        }
        if !path.iter().any(|(name, _)| *name == deeper) && !done.contains(&(node, deeper)) {
            path.push((deeper, 0));
        }
    }
    false
}

/// Whether two addresses are of one family.
pub(super) fn one_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}
