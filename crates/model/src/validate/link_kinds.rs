//! What each kind of link takes: one table that the checks and their messages read.

use crate::source::Span;
use crate::topology::{Link, LinkKind};

/// How the ends are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `on`.
    One,
    /// `link`.
    Two,
    /// Either.
    Any,
}

/// The rules of a kind.
pub(super) struct Kind {
    pub(super) word: &'static str,
    pub(super) form: Form,
    /// Keys beyond those of every link (`link`, `on`, `kind`, `addresses`, `mtu`, `up`).
    pub(super) allowed: &'static [&'static str],
    pub(super) required: &'static [&'static str],
    /// Legal values of `mode`.
    pub(super) modes: &'static [&'static str],
}

const KINDS: [LinkKind; 15] = [
    LinkKind::Veth,
    LinkKind::Tap,
    LinkKind::Tun,
    LinkKind::Macvlan,
    LinkKind::Ipvlan,
    LinkKind::Vlan,
    LinkKind::Vxlan,
    LinkKind::Geneve,
    LinkKind::Gre,
    LinkKind::Gretap,
    LinkKind::Wireguard,
    LinkKind::Dummy,
    LinkKind::Bond,
    LinkKind::Vrf,
    LinkKind::Ifb,
];

pub(super) fn kind_of(kind: LinkKind) -> Kind {
    const NONE: &[&str] = &[];
    const TAP: &[&str] = &["multi-queue", "vnet-header", "user", "group-id"];
    const GRE: &[&str] = &["local", "remote", "ttl", "key", "checksum", "sequence"];
    let (word, form, allowed, required, modes): (_, _, &[&str], &[&str], &[&str]) = match kind {
        LinkKind::Veth => ("veth", Form::Two, &["medium"], NONE, NONE),
        LinkKind::Tap => ("tap", Form::One, TAP, NONE, NONE),
        LinkKind::Tun => ("tun", Form::One, TAP, NONE, NONE),
        LinkKind::Macvlan => (
            "macvlan",
            Form::One,
            &["parent", "mode"],
            &["parent"],
            &["private", "vepa", "bridge", "passthru", "source"],
        ),
        LinkKind::Ipvlan => ("ipvlan", Form::One, &["parent", "mode"], &["parent"], &["l2", "l3", "l3s"]),
        LinkKind::Vlan => ("vlan", Form::One, &["parent", "id", "service-tag"], &["parent", "id"], NONE),
        LinkKind::Vxlan => (
            "vxlan",
            Form::Any,
            &["vni", "local", "remote", "group", "device", "port", "ttl"],
            &["vni"],
            NONE,
        ),
        LinkKind::Geneve => ("geneve", Form::Any, &["vni", "local", "remote", "port", "ttl"], &["vni"], NONE),
        LinkKind::Gre => ("gre", Form::Any, GRE, NONE, NONE),
        LinkKind::Gretap => ("gretap", Form::Any, GRE, NONE, NONE),
        LinkKind::Wireguard => (
            "wireguard",
            Form::Two,
            &["local", "remote", "port", "keepalive", "allowed-a", "allowed-b"],
            NONE,
            NONE,
        ),
        LinkKind::Dummy => ("dummy", Form::One, NONE, NONE, NONE),
        LinkKind::Bond => (
            "bond",
            Form::One,
            &["mode", "members", "primary", "monitor", "transmit-hash", "lacp-fast"],
            &["members"],
            &[
                "balance-rr",
                "active-backup",
                "balance-xor",
                "broadcast",
                "802.3ad",
                "balance-tlb",
                "balance-alb",
            ],
        ),
        LinkKind::Vrf => ("vrf", Form::One, &["table", "members"], &["table"], NONE),
        LinkKind::Ifb => ("ifb", Form::One, NONE, NONE, NONE),
    };
    Kind { word, form, allowed, required, modes }
}

/// The words of the kinds that take a key.
pub(super) fn kinds_with(key: &str) -> Vec<&'static str> {
    let kinds = KINDS.iter().map(|kind| kind_of(*kind));
    kinds.filter(|kind| kind.allowed.contains(&key)).map(|kind| kind.word).collect()
}

/// The keys of a link that only some kinds take, with their places where they are known.
pub(super) fn keys_of(link: &Link) -> Vec<(&'static str, Option<Span>)> {
    let Link {
        link: _,
        on: _,
        kind: _,
        addresses: _,
        mtu: _,
        up: _,
        medium,
        parent,
        id,
        service_tag,
        mode,
        vni,
        local,
        remote,
        group,
        device,
        port,
        ttl,
        key,
        checksum,
        sequence,
        members,
        primary,
        monitor,
        transmit_hash,
        lacp_fast,
        table,
        keepalive,
        allowed_a,
        allowed_b,
        multi_queue,
        vnet_header,
        user,
        group_id,
    } = link;
    let mut keys: Vec<(&'static str, Option<Span>)> = Vec::new();
    let mut add = |name, there: bool, span: Option<Span>| {
        if there {
            keys.push((name, span));
        }
    };
    add("medium", medium.is_some(), None);
    add("parent", parent.is_some(), parent.as_ref().map(|value| value.span));
    add("id", id.is_some(), id.as_ref().map(|value| value.span));
    add("service-tag", service_tag.is_some(), None);
    add("mode", mode.is_some(), mode.as_ref().map(|value| value.span));
    add("vni", vni.is_some(), vni.as_ref().map(|value| value.span));
    add("local", local.is_some(), local.as_ref().map(|value| value.span));
    add("remote", remote.is_some(), remote.as_ref().map(|value| value.span));
    add("group", group.is_some(), group.as_ref().map(|value| value.span));
    add("device", device.is_some(), device.as_ref().map(|value| value.span));
    add("port", port.is_some(), None);
    add("ttl", ttl.is_some(), None);
    add("key", key.is_some(), None);
    add("checksum", checksum.is_some(), None);
    add("sequence", sequence.is_some(), None);
    add("members", !members.is_empty(), members.first().map(|value| value.span));
    add("primary", primary.is_some(), primary.as_ref().map(|value| value.span));
    add("monitor", monitor.is_some(), monitor.as_ref().map(|value| value.span));
    add("transmit-hash", transmit_hash.is_some(), transmit_hash.as_ref().map(|value| value.span));
    add("lacp-fast", lacp_fast.is_some(), None);
    add("table", table.is_some(), table.as_ref().map(|value| value.span));
    add("keepalive", keepalive.is_some(), None);
    add("allowed-a", !allowed_a.is_empty(), allowed_a.first().map(|value| value.span));
    add("allowed-b", !allowed_b.is_empty(), allowed_b.first().map(|value| value.span));
    add("multi-queue", multi_queue.is_some(), None);
    add("vnet-header", vnet_header.is_some(), None);
    add("user", user.is_some(), None);
    add("group-id", group_id.is_some(), None);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_the_one_of_the_file_and_every_required_key_is_allowed() {
        for kind in KINDS {
            let rules = kind_of(kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), rules.word);
            assert!(rules.required.iter().all(|key| rules.allowed.contains(key)));
        }
    }
}
