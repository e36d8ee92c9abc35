//! Whether an observed object is as desired, and if not, whether it can be changed in place.
//!
//! Comparison is one-sided: what the desire leaves open (`None`) is not compared.

use super::{BridgePort, Link, LinkKind, Pinned, Route, RouteAction, Spec, Switch, SwitchPort, Tree};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug};

/// One attribute that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The attribute, like `mtu`.
    pub field: String,
    /// The observed value.
    pub from: String,
    /// The desired value.
    pub to: String,
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.field, self.from, self.to)
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// As desired.
    Same,
    /// These attributes can be changed in place; nothing that depends on the object is lost.
    Change(Vec<FieldChange>),
    /// The object must be deleted and made anew; everything that needs it is lost with it.
    Recreate(Vec<FieldChange>),
}

/// Collects differences.
#[derive(Default)]
struct Differences {
    soft: Vec<FieldChange>,
    hard: Vec<FieldChange>,
}

impl Differences {
    fn field<T: PartialEq + Debug>(&mut self, name: &str, from: &T, to: &T) {
        if from != to {
            self.soft.push(change(name, from, to));
        }
    }

    fn wanted<T: PartialEq + Debug>(&mut self, name: &str, from: &Option<T>, to: &Option<T>) {
        if to.is_some() && from != to {
            self.soft.push(change(name, from, to));
        }
    }

    fn fixed<T: PartialEq + Debug>(&mut self, name: &str, from: &T, to: &T) {
        if from != to {
            self.hard.push(change(name, from, to));
        }
    }

    fn into_comparison(mut self) -> Comparison {
        if !self.hard.is_empty() {
            self.hard.append(&mut self.soft);
            Comparison::Recreate(self.hard)
        } else if self.soft.is_empty() {
            Comparison::Same
        } else {
            Comparison::Change(self.soft)
        }
    }
}

fn change<T: Debug>(name: &str, from: &T, to: &T) -> FieldChange {
    FieldChange { field: name.to_owned(), from: text(from), to: text(to) }
}

/// A value without the wrapping that only programmers care for: `Some(InterfaceName("br"))` is `br`.
fn text<T: Debug>(value: &T) -> String {
    let debug = format!("{value:?}");
    let mut inner = &*debug;
    while let Some((name, rest)) = inner.split_once('(')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && let Some(rest) = rest.strip_suffix(')')
    {
        inner = rest;
    }
    if inner == "None" { "none".to_owned() } else { inner.trim_matches('"').to_owned() }
}

/// Compares what was observed with what is desired.
#[must_use]
pub fn compare(observed: &Spec, desired: &Spec) -> Comparison {
    let mut differences = Differences::default();
    match (observed, desired) {
        (Spec::Namespace, Spec::Namespace) | (Spec::Address, Spec::Address) => {}
        (Spec::Link(from), Spec::Link(to)) => compare_link(&mut differences, from, to),
        (Spec::Route(from), Spec::Route(to)) => compare_route(&mut differences, from, to),
        (Spec::Sysctl { value: from }, Spec::Sysctl { value: to }) => differences.field("value", from, to),
        (Spec::Neighbour(from), Spec::Neighbour(to)) => differences.field("mac", &from.mac, &to.mac),
        (Spec::FdbEntry(from), Spec::FdbEntry(to)) => {
            differences.field("permanent", &from.permanent, &to.permanent);
        }
        // A rule has no identity but its content: the kernel can only delete and add.
        (Spec::Rule(from), Spec::Rule(to)) => differences.fixed("rule", from, to),
        (Spec::Shaper(from), Spec::Shaper(to)) => from.compare(to, &mut |name, from, to| {
            differences.soft.push(FieldChange { field: name, from, to });
        }),
        (Spec::Firewall(from), Spec::Firewall(to)) => from.compare(to, &mut |name, from, to| {
            differences.soft.push(FieldChange { field: name, from, to });
        }),
        // Nobody can want a dead one: what is seen so is only ever mended.
        (Spec::Switch(from), Spec::Switch(to)) => {
            differences.field("running", &(from.running || !to.running), &true);
            let tree = |switch: &Switch| switch.tree.as_ref().map(Tree::to_string);
            differences.field("spanning tree", &tree(from), &tree(to));
            differences.field("ageing", &from.ageing, &to.ageing);
            differences.field("multicast snooping", &from.snooping, &to.snooping);
            differences.field("multicast querier in VLANs", &from.querier, &to.querier);
        }
        (Spec::SwitchPort(from), Spec::SwitchPort(to)) => {
            differences.fixed("network", &from.network, &to.network);
            differences.fixed("behind", &from.behind.to_string(), &to.behind.to_string());
            differences.field("isolated", &from.isolated, &to.isolated);
            differences.field("vlans", &from.vlans_in_words(), &to.vlans_in_words());
            differences.field("link", &from.link_in_words(), &to.link_in_words());
            differences.field("STP cost", &from.cost, &to.cost);
            differences.field("STP edge", &from.edge, &to.edge);
            let pinned = |port: &SwitchPort| port.pinned.as_ref().map(Pinned::to_string);
            differences.field("pinned", &pinned(from), &pinned(to));
            differences.field("open", &(from.open || !to.open), &true);
        }
        (Spec::Process(from), Spec::Process(to)) => {
            differences.fixed("command", &from.command, &to.command);
            differences.fixed("environment", &from.environment, &to.environment);
            differences.fixed("directory", &from.directory, &to.directory);
        }
        (from, to) => differences.fixed("type", from, to),
    }
    differences.into_comparison()
}

fn compare_link(differences: &mut Differences, from: &Link, to: &Link) {
    compare_kind(differences, &from.kind, &to.kind);
    let mac = |link: &Link| link.mac.map(|mac| mac.to_string());
    differences.wanted("mac", &mac(from), &mac(to));
    differences.wanted("mtu", &from.mtu, &to.mtu);
    differences.field("up", &from.up, &to.up);
    if to.kind != LinkKind::Existing || to.controller.is_some() {
        differences.field("controller", &from.controller, &to.controller);
    }
    if let Some(wanted) = &to.port {
        compare_port(differences, &from.port.clone().unwrap_or_default(), wanted);
    }
    for (feature, on) in &to.features {
        differences.wanted(feature, &from.features.get(feature).copied(), &Some(*on));
    }
    differences.wanted("channels", &from.channels, &to.channels);
}

fn compare_port(differences: &mut Differences, from: &BridgePort, to: &BridgePort) {
    differences.field("isolated", &from.isolated, &to.isolated);
    differences.field("hairpin", &from.hairpin, &to.hairpin);
    differences.wanted("learning", &from.learning, &to.learning);
    differences.wanted("flood", &from.flood, &to.flood);
    differences.wanted("STP cost", &from.cost, &to.cost);
    differences.wanted("STP priority", &from.priority, &to.priority);
    if !to.vlans.is_empty() {
        differences.field("vlans", &from.vlans, &to.vlans);
    }
}

fn compare_kind(differences: &mut Differences, from: &LinkKind, to: &LinkKind) {
    match (from, to) {
        // Whatever it is, it is there.
        (_, LinkKind::Existing) => {}
        (LinkKind::Bridge(from), LinkKind::Bridge(to)) => {
            differences.field("stp", &from.stp, &to.stp);
            differences.wanted("priority", &from.priority, &to.priority);
            differences.wanted("forward delay", &from.forward_delay, &to.forward_delay);
            differences.wanted("hello time", &from.hello_time, &to.hello_time);
            differences.wanted("max age", &from.max_age, &to.max_age);
            differences.wanted("ageing time", &from.ageing_time, &to.ageing_time);
            differences.field("vlan filtering", &from.vlan_filtering, &to.vlan_filtering);
            differences.wanted("default pvid", &from.default_pvid, &to.default_pvid);
            differences.wanted("multicast snooping", &from.multicast_snooping, &to.multicast_snooping);
            differences.wanted("multicast querier", &from.multicast_querier, &to.multicast_querier);
            if !to.vlans.is_empty() {
                differences.field("vlans", &from.vlans, &to.vlans);
            }
        }
        (
            LinkKind::Macvlan { parent: a, mode: from, sources: seen },
            LinkKind::Macvlan { parent: b, mode: to, sources: wanted },
        ) => {
            differences.fixed("parent", a, b);
            differences.fixed("mode", from, to);
            differences.field("sources", seen, wanted);
        }
        (LinkKind::Vxlan(from), LinkKind::Vxlan(to)) => {
            differences.fixed("vni", &from.vni, &to.vni);
            differences.fixed("port", &from.port, &to.port);
            differences.fixed("learning", &from.learning, &to.learning);
            differences.fixed("device", &from.device, &to.device);
            differences.fixed("local", &from.local, &to.local);
            differences.fixed("remote", &from.remote, &to.remote);
            if to.ttl.is_some() {
                differences.fixed("ttl", &from.ttl, &to.ttl);
            }
        }
        (LinkKind::Geneve(from), LinkKind::Geneve(to)) => {
            let mut seen = from.clone();
            seen.ttl = to.ttl.map_or(to.ttl, |_| from.ttl);
            differences.fixed("geneve", &seen, to);
        }
        (LinkKind::Gre(from), LinkKind::Gre(to)) | (LinkKind::Gretap(from), LinkKind::Gretap(to)) => {
            let mut seen = from.clone();
            seen.ttl = to.ttl.map_or(to.ttl, |_| from.ttl);
            differences.fixed("tunnel", &seen, to);
        }
        (LinkKind::Wireguard(from), LinkKind::Wireguard(to)) => {
            if from.private_key != to.private_key {
                differences.soft.push(change("private key", &"(hidden)", &"(another)"));
            }
            differences.wanted("listen port", &from.listen_port, &to.listen_port);
            differences.wanted("mark", &from.mark, &to.mark);
            let seen: Vec<_> = from
                .peers
                .iter()
                .map(|peer| {
                    let wanted = to.peers.iter().find(|other| other.public_key == peer.public_key);
                    let mut peer = peer.clone();
                    // A peer may roam, so its address counts only where the user fixed it.
                    if wanted.is_some_and(|other| other.endpoint.is_none()) {
                        peer.endpoint = None;
                    }
                    peer
                })
                .collect();
            if seen != to.peers {
                differences.soft.push(FieldChange {
                    field: "peers".to_owned(),
                    from: seen.len().to_string(),
                    to: to.peers.len().to_string(),
                });
            }
        }
        (LinkKind::Bond(from), LinkKind::Bond(to)) => {
            differences.fixed("mode", &from.mode, &to.mode);
            differences.wanted("miimon", &from.miimon, &to.miimon);
            differences.wanted("transmit hash", &from.transmit_hash, &to.transmit_hash);
            differences.wanted("LACP fast rate", &from.lacp_fast, &to.lacp_fast);
            differences.wanted("primary", &from.primary, &to.primary);
        }
        (from, to) => differences.fixed("kind", from, to),
    }
}

fn compare_route(differences: &mut Differences, from: &Route, to: &Route) {
    match (&from.action, &to.action) {
        (RouteAction::Forward { hops: a }, RouteAction::Forward { hops: b }) => {
            differences.field("next hops", a, b);
        }
        (a, b) => differences.field("action", a, b),
    }
    differences.wanted("source", &from.source, &to.source);
    differences.wanted("mtu", &from.mtu, &to.mtu);
}
