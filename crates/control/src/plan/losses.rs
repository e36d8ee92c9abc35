//! What goes with what: from the objects that are removed or changed to all that the kernel takes along.

use super::decide::{Edit, Gone, Verdicts, Why, judge, mark};
use super::disturb::{self, Disturbance};
use super::table::{Id, SpaceId, Table};
use super::{Cause, Memory};
use ipnet::IpNet;
use netloom_compile::object::{Key, Link, LinkKind, Mark, Route, RouteAction, Spec};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Extends the verdicts to everything that is lost with something else.
pub(super) fn follow(table: &Table<'_>, memory: &Memory<'_>, verdicts: &mut Verdicts) {
    let dying = dying_spaces(table, verdicts);
    spread(table, verdicts, &dying);
    released_ports(table, memory, verdicts);
    inherited(table, memory, verdicts);
    disturbed(table, verdicts);
    addresses(table, verdicts);
    settle(table, memory, verdicts, &dying);
}

/// Which spaces are removed.
fn dying_spaces(table: &Table<'_>, verdicts: &Verdicts) -> Vec<bool> {
    let mut dying = vec![false; table.spaces.len()];
    for id in table.all() {
        if matches!(table.keys[id as usize], Key::Namespace { .. }) && verdicts.is_gone(id) {
            dying[table.space[id as usize] as usize] = true;
        }
    }
    dying
}

/// Everything in a removed namespace and on a removed link goes, and so on.
fn spread(table: &Table<'_>, verdicts: &mut Verdicts, dying: &[bool]) {
    let mut namespaces: HashMap<SpaceId, Id> = HashMap::new();
    let mut queue: Vec<Id> = Vec::new();
    for id in table.all() {
        let space = table.space[id as usize];
        if !dying[space as usize] {
            if matches!(table.keys[id as usize], Key::Link { .. }) && verdicts.is_gone(id) {
                queue.push(id);
            }
            continue;
        }
        // Namespaces come first in the order of keys, so theirs is known by now.
        let namespace = *namespaces.entry(space).or_insert(id);
        if namespace != id && table.observed[id as usize].is_some() {
            verdicts.remove(id, Why::Lost(namespace));
            verdicts.edit[id as usize] = None;
            queue.push(id);
        }
    }
    while let Some(id) = queue.pop() {
        for rider in &table.riders[id as usize] {
            if verdicts.is_gone(*rider) {
                continue;
            }
            if matches!(table.keys[*rider as usize], Key::Firewall { .. }) {
                // Its chains on the device go, the rest stays: it is written again as a whole.
                rewrite(table, verdicts, *rider, id);
                continue;
            }
            verdicts.remove(*rider, Why::Lost(id));
            if matches!(table.keys[*rider as usize], Key::Link { .. }) {
                queue.push(*rider);
            }
        }
    }
}

fn rewrite(table: &Table<'_>, verdicts: &mut Verdicts, id: Id, lost: Id) {
    let index = id as usize;
    let (Some(found), Some(wanted)) = (table.observed[index], table.desired[index]) else { return };
    let reason = format!("its chains on {} are lost with it", table.keys[lost as usize]);
    let (from, to) = (found.spec.clone(), wanted.spec.clone());
    let edit = Edit { from, to, reason, cause: Cause::Lost, rejoin: false, restores: false };
    verdicts.edit[index].get_or_insert_with(|| Box::new(edit));
}

/// A port outlives its controller and is then nobody's port.
fn released_ports(table: &Table<'_>, memory: &Memory<'_>, verdicts: &mut Verdicts) {
    for id in table.all() {
        let Some(controller) = table.controller[id as usize] else { continue };
        if !verdicts.is_gone(controller) || verdicts.is_gone(id) {
            continue;
        }
        let Some(link) = table.observed_link(id) else { continue };
        let free = Spec::Link(Box::new(Link { controller: None, port: None, ..link.clone() }));
        if verdicts.edit[id as usize].as_ref().is_some_and(|edit| edit.restores) {
            continue;
        }
        judge(table, memory, verdicts, id, &free);
        if let Some(edit) = &mut verdicts.edit[id as usize] {
            edit.reason = format!("{} is made anew", table.keys[controller as usize]);
            edit.cause = Cause::Lost;
            edit.rejoin = false;
        }
    }
}

/// An interface on another one is born with its MTU. Where the description leaves the MTU open, it follows
/// when the lower one's changes, so that an edit ends where a fresh apply would.
fn inherited(table: &Table<'_>, memory: &Memory<'_>, verdicts: &mut Verdicts) {
    let inherits = |kind: &LinkKind| {
        matches!(kind, LinkKind::Vlan { .. } | LinkKind::Macvlan { .. } | LinkKind::Ipvlan { .. })
    };
    let mut riders: Vec<Id> = Vec::new();
    for id in table.all() {
        let (Some(_), Some(wanted)) = (table.observed_link(id), table.desired_link(id)) else { continue };
        if wanted.mtu.is_none() && inherits(&wanted.kind) && !verdicts.is_gone(id) {
            riders.push(id);
        }
    }
    // A rider may carry others: what changed in one round is seen in the next.
    loop {
        let mut changed = false;
        for id in &riders {
            changed |= inherit(table, memory, verdicts, *id);
        }
        if !changed {
            return;
        }
    }
}

fn inherit(table: &Table<'_>, memory: &Memory<'_>, verdicts: &mut Verdicts, id: Id) -> bool {
    let (Some(link), Some(wanted)) = (table.observed_link(id), table.desired[id as usize]) else {
        return false;
    };
    let Some(lower) = table.rides_on[id as usize].first() else { return false };
    let edited = match &verdicts.edit[*lower as usize] {
        Some(edit) => match &edit.to {
            Spec::Link(to) => to.mtu,
            _ => None,
        },
        None => None,
    };
    let seen = table.observed_link(*lower).and_then(|lower| lower.mtu);
    let now = match &verdicts.edit[id as usize] {
        Some(edit) => match &edit.to {
            Spec::Link(to) => to.mtu.or(link.mtu),
            _ => link.mtu,
        },
        None => link.mtu,
    };
    let aim = edited.or(seen);
    if aim.is_none()
        || now == aim
        || (edited.is_none_or(|mtu| Some(mtu) == seen) && memory.interrupted.is_empty())
    {
        return false;
    }
    let edit = verdicts.edit[id as usize].get_or_insert_with(|| {
        let found = Spec::Link(Box::new(link.clone()));
        Box::new(Edit {
            from: found,
            to: wanted.spec.clone(),
            reason: format!("follows the mtu of {}", table.keys[*lower as usize]),
            cause: Cause::Described,
            rejoin: false,
            restores: false,
        })
    });
    if let Spec::Link(to) = &mut edit.to {
        to.mtu = aim;
    }
    true
}

/// What changes of links take away.
fn disturbed(table: &Table<'_>, verdicts: &mut Verdicts) {
    let mut queue: Vec<(Id, Disturbance)> = Vec::new();
    for id in table.all() {
        let Some(link) = table.observed_link(id) else { continue };
        let leaves = table.controller[id as usize];
        let kind_of = |at: Option<Id>, desired: bool| {
            let at = at?;
            let link = if desired { table.desired_link(at) } else { None };
            link.or_else(|| table.observed_link(at)).map(|link| &link.kind)
        };
        let disturbance = match &verdicts.edit[id as usize] {
            Some(edit) => {
                let Spec::Link(to) = &edit.to else { continue };
                let joins =
                    to.controller.as_ref().and_then(|name| table.link(table.keys[id as usize].space(), name));
                let rejoins = edit.rejoin || leaves.is_some_and(|at| verdicts.is_gone(at));
                disturb::by_link(link, to, kind_of(leaves, false), kind_of(joins, true), rejoins)
            }
            // A foreign or used port of a controller that goes.
            None if !verdicts.is_gone(id) && leaves.is_some_and(|at| verdicts.is_gone(at)) => {
                let free = Link { controller: None, ..link.clone() };
                disturb::by_link(link, &free, kind_of(leaves, false), None, true)
            }
            None => continue,
        };
        if disturbance.any() {
            queue.push((id, disturbance));
        }
    }
    let mut down: HashSet<Id> = HashSet::new();
    while let Some((id, disturbance)) = queue.pop() {
        for rider in &table.riders[id as usize] {
            if disturbance.takes(table.keys[*rider as usize]) {
                verdicts.remove(*rider, Why::Lost(id));
            }
            if disturbance.down
                && matches!(table.observed_link(*rider).map(|link| &link.kind), Some(LinkKind::Vlan { .. }))
                && !verdicts.is_gone(*rider)
                && down.insert(*rider)
            {
                queue.push((*rider, Disturbance::DOWN));
            }
        }
    }
}

/// What goes with addresses: secondary ones, and routes that need them.
fn addresses(table: &Table<'_>, verdicts: &mut Verdicts) {
    let mut by_link: HashMap<Id, Vec<(IpNet, Id)>> = HashMap::new();
    let mut touched: HashSet<Id> = HashSet::new();
    let mut sources: HashMap<(SpaceId, IpAddr), Id> = HashMap::new();
    for id in table.all() {
        let Key::Address { address, .. } = table.keys[id as usize] else { continue };
        if table.observed[id as usize].is_none() {
            continue;
        }
        let Some(link) = table.rides_on[id as usize].first() else { continue };
        if verdicts.is_gone(id) {
            sources.insert((table.space[id as usize], address.addr()), id);
        }
        if !verdicts.is_gone(*link) {
            by_link.entry(*link).or_default().push((*address, id));
            if verdicts.is_gone(id) {
                touched.insert(*link);
            }
        }
    }
    let mut gone: HashMap<Id, Subnets> = HashMap::new();
    for link in touched {
        let Some(all) = by_link.get(&link) else { continue };
        let mut subnets = Subnets::default();
        // The subnets of removed IPv4 addresses, with the first address that goes from each.
        let mut shared: HashMap<IpNet, (IpNet, Id)> = HashMap::new();
        for (address, id) in all.iter().filter(|(_, id)| verdicts.is_gone(*id)) {
            shared.entry(address.trunc()).or_insert((*address, *id));
        }
        for (address, id) in all {
            if let Some((other, cause)) = shared.get(&address.trunc())
                && !verdicts.is_gone(*id)
                && disturb::same_subnet(other, address)
            {
                verdicts.remove(*id, Why::Lost(*cause));
                sources.insert((table.space[*id as usize], address.addr()), *id);
            }
            subnets.add(address, *id, verdicts.is_gone(*id));
        }
        gone.insert(link, subnets);
    }
    if gone.is_empty() && sources.is_empty() {
        return;
    }
    for id in table.all() {
        if !matches!(table.keys[id as usize], Key::Route { .. }) || verdicts.is_gone(id) {
            continue;
        }
        let Some(Spec::Route(route)) = table.observed[id as usize].map(|found| &found.spec) else { continue };
        if let Some(cause) = route_loses(table, id, route, &gone, &sources) {
            verdicts.remove(id, Why::Lost(cause));
        }
    }
}

/// The addresses of one link by subnet.
#[derive(Default)]
struct Subnets {
    /// Removed ones.
    gone: HashMap<IpNet, Id>,
    /// Remaining ones.
    left: HashSet<IpNet>,
    lengths: HashSet<(bool, u8)>,
}

impl Subnets {
    fn add(&mut self, address: &IpNet, id: Id, gone: bool) {
        self.lengths.insert((address.addr().is_ipv4(), address.prefix_len()));
        if gone {
            self.gone.insert(address.trunc(), id);
        } else {
            self.left.insert(address.trunc());
        }
    }

    fn covering(&self, address: IpAddr) -> impl Iterator<Item = IpNet> {
        let lengths = self.lengths.iter().filter(move |(v4, _)| *v4 == address.is_ipv4());
        lengths.filter_map(move |(_, length)| IpNet::new(address, *length).ok().map(|net| net.trunc()))
    }

    /// The removed address because of which a gateway can no longer be reached.
    fn cuts_off(&self, gateway: IpAddr) -> Option<Id> {
        if self.covering(gateway).any(|net| self.left.contains(&net)) {
            return None;
        }
        self.covering(gateway).find_map(|net| self.gone.get(&net).copied())
    }

    /// The last address of a family, if it goes.
    fn emptied(&self, like: &IpAddr) -> Option<Id> {
        let same = |net: &&IpNet| net.addr().is_ipv4() == like.is_ipv4();
        if !disturb::last_address_takes_routes(like) || self.left.iter().any(|net| same(&net)) {
            return None;
        }
        self.gone.iter().find(|(net, _)| same(net)).map(|(_, id)| *id)
    }
}

fn route_loses(
    table: &Table<'_>,
    id: Id,
    route: &Route,
    gone: &HashMap<Id, Subnets>,
    sources: &HashMap<(SpaceId, IpAddr), Id>,
) -> Option<Id> {
    let Key::Route { destination, .. } = table.keys[id as usize] else { return None };
    if let Some(source) = route.source
        && let Some(cause) = sources.get(&(table.space[id as usize], source))
    {
        return Some(*cause);
    }
    let RouteAction::Forward { hops } = &route.action else { return None };
    table.rides_on[id as usize].iter().find_map(|link| {
        let subnets = gone.get(link)?;
        let cut = hops.iter().filter_map(|hop| hop.gateway).find_map(|gateway| subnets.cuts_off(gateway));
        cut.or_else(|| subnets.emptied(&destination.addr()))
    })
}

/// Decides for each object that goes whether a step removes it or it goes by itself.
fn settle(table: &Table<'_>, memory: &Memory<'_>, verdicts: &mut Verdicts, dying: &[bool]) {
    let namespace =
        |id: Id| table.id(&Key::Namespace { space: table.spaces[table.space[id as usize] as usize].clone() });
    let is_dying = |id: Id| dying[table.space[id as usize] as usize];
    let links = |id: &Id| matches!(table.keys[*id as usize], Key::Link { .. });
    for id in table.all().filter(links) {
        if verdicts.is_gone(id) {
            verdicts.gone[id as usize] = settle_link(table, memory, dying, verdicts, id, namespace(id));
        }
    }
    for id in table.all().filter(|id| !links(id)) {
        if !verdicts.is_gone(id) {
            continue;
        }
        let key = table.keys[id as usize];
        let carried = table.rides_on[id as usize].iter();
        verdicts.gone[id as usize] = match key {
            // No kernel takes these along.
            Key::Namespace { .. } | Key::Process { .. } | Key::Switch { .. } | Key::SwitchPort { .. } => {
                Gone::Explicit
            }
            _ if is_dying(id) => namespace(id).map_or(Gone::Explicit, Gone::With),
            // Only its chains on a device go with that.
            Key::Firewall { .. } => Gone::Explicit,
            // A route through several interfaces may outlive one of them in part.
            Key::Route { .. } => {
                let mut carried = carried.peekable();
                let first = carried.peek().map(|first| **first);
                match first {
                    Some(first) if carried.all(|link| verdicts.is_gone(*link)) => Gone::With(first),
                    _ => Gone::Explicit,
                }
            }
            // One that sends packets to an interface that goes is taken off before.
            Key::Shaper { .. } if carried.clone().skip(1).any(|device| verdicts.is_gone(*device)) => {
                Gone::Explicit
            }
            // The first is the interface in the key.
            _ => match carried.copied().next() {
                Some(link) if verdicts.is_gone(link) => Gone::With(link),
                _ => Gone::Explicit,
            },
        };
    }
    // What is not ours is never removed by a step of its own.
    for id in table.all() {
        let index = id as usize;
        let Some(found) = table.observed[index] else { continue };
        if verdicts.gone[index] == Gone::Explicit && mark(table.keys[index], found, memory) == Mark::Foreign {
            verdicts.gone[index] = match &verdicts.why[index] {
                Some(Why::Lost(with)) => Gone::With(*with),
                _ => Gone::No,
            };
        }
    }
}

/// A link goes with its namespace, its parent or its other end. Where one of those is in a namespace that
/// is removed and the link is not, or the other way round, it is removed before: the kernel takes
/// namespaces apart later, at its leisure (`cleanup_net`, net/core/net_namespace.c).
fn settle_link(
    table: &Table<'_>,
    memory: &Memory<'_>,
    dying: &[bool],
    verdicts: &Verdicts,
    id: Id,
    namespace: Option<Id>,
) -> Gone {
    let own = dying[table.space[id as usize] as usize];
    let Some(link) = table.observed_link(id) else { return Gone::Explicit };
    let far = match &link.kind {
        LinkKind::Veth { peer } => Some(peer),
        LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. } => Some(parent),
        _ => None,
    };
    let far_dying = far.map(|far| table.space_id(&far.space).is_some_and(|space| dying[space as usize]));
    if own && far_dying.unwrap_or(true) {
        return namespace.map_or(Gone::Explicit, Gone::With);
    }
    if let LinkKind::Veth { .. } = link.kind {
        // One end stands for both: one in a namespace that stays.
        let ours = |id: Id| {
            let found = table.observed[id as usize];
            found.is_some_and(|found| mark(table.keys[id as usize], found, memory) != Mark::Foreign)
        };
        let other = table.rides_on[id as usize]
            .first()
            .copied()
            .filter(|other| verdicts.is_gone(*other) && ours(*other));
        return match other {
            Some(other) if own || (far_dying == Some(false) && (other < id || !ours(id))) => {
                Gone::With(other)
            }
            _ => Gone::Explicit,
        };
    }
    match table.rides_on[id as usize].iter().find(|parent| verdicts.is_gone(**parent)) {
        Some(parent) if !own && !dying[table.space[*parent as usize] as usize] => Gone::With(*parent),
        _ => Gone::Explicit,
    }
}
