//! One namespace: its dumps, and the objects in them.

use super::Wanted;
use super::host::Filter;
use crate::address;
use crate::ethtool;
use crate::link::{self, Names, RawLink, SKIP_STATS, header};
use crate::marks::{self, PROTOCOL};
use crate::namespace::{LOOPBACK_INDEX, Namespace};
use crate::neighbour;
use crate::netlink::{Messages, NetlinkError, Protocol, Replies, Socket};
use crate::nft::{self, NftError};
use crate::route;
use crate::rule;
use crate::sysctl;
use crate::tc::{self, TcError};
use crate::wireguard;
use netloom_compile::object::{
    Firewall, Key, Link, LinkKind, LinkRef, Mark, ObservedObject, PortVlan, Space, Spec, WireguardOptions,
};
use netloom_wire::{InterfaceName, MacAddr, NodeName};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod picture;
pub(super) use picture::Extra;

/// `IFLA_TARGET_NETNSID` (linux/if_link.h).
const IFLA_TARGET_NETNSID: u16 = 46;
const RTM_GETNSID: u16 = 90;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;

/// Why a namespace could not be looked at.
#[derive(Debug)]
pub(super) enum LookError {
    Netlink(NetlinkError),
    Filter(NftError),
    Queueing(TcError),
}

impl From<NetlinkError> for LookError {
    fn from(error: NetlinkError) -> Self {
        Self::Netlink(error)
    }
}

/// What a namespace answered.
#[derive(Debug, Default)]
struct Dumps {
    links: Replies,
    addresses: Replies,
    routes: Replies,
    rules: Replies,
    neighbours: Replies,
    entries: Replies,
}

/// The features that are asked for, and the number of channels.
type Offloads = (BTreeMap<Arc<str>, bool>, Option<u32>);

/// One namespace, looked at.
#[derive(Debug)]
pub(super) struct View {
    pub(super) space: Space,
    pub(super) names: HashMap<u32, InterfaceName>,
    /// Whether the namespace carries our mark (the host's needs none).
    ours: bool,
    dumps: Dumps,
    /// Other namespaces by the identifiers that this one has given them.
    neighbours: HashMap<i32, Space>,
    vlans: HashMap<u32, BTreeSet<PortVlan>>,
    wireguard: HashMap<u32, WireguardOptions>,
    firewall: Option<Firewall>,
    queueing: BTreeMap<u32, tc::Found>,
    /// Whether forwarding entries were asked for.
    forwards: bool,
}

/// An interface: its space and its index there.
type End = (Space, u32);

/// Ends of veth pairs that were seen from their other end, which is the value. It saves half of the questions whose a
/// namespace is.
#[derive(Debug, Default)]
pub(super) struct Met(Mutex<HashMap<End, End>>);

impl Met {
    fn lock(&self) -> MutexGuard<'_, HashMap<End, End>> {
        // A thread that panicked left whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The spaces behind identifiers, of pairs (own index, peer's index, identifier) of a space.
    fn recall(&self, space: &Space, pairs: &[(u32, u32, i32)]) -> HashMap<i32, Space> {
        let met = self.lock();
        let known = |&(own, peer, identifier): &(u32, u32, i32)| {
            let (far, index) = met.get(&(space.clone(), own))?;
            // Another pair may have taken the number meanwhile.
            (*index == peer).then(|| (identifier, far.clone()))
        };
        pairs.iter().filter_map(known).collect()
    }

    fn note(&self, space: &Space, pairs: &[(u32, u32, i32)], neighbours: &HashMap<i32, Space>) {
        let mut met = self.lock();
        for (own, peer, identifier) in pairs {
            if let Some(far) = neighbours.get(identifier) {
                met.insert((far.clone(), *peer), (space.clone(), *own));
            }
        }
    }
}

/// What is asked of a namespace because the description names it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    offloads: HashMap<InterfaceName, Offloads>,
    sysctls: Vec<(Arc<str>, String)>,
    entries: Replies,
}

/// Asks for links; with `index` for one only.
fn link_request(messages: &mut Messages, index: u32, flags: u16) -> crate::netlink::Message<'_> {
    let mut m = messages.add(libc::RTM_GETLINK, flags);
    m.header(&header(0, index, 0, 0)).u32(libc::IFLA_EXT_MASK, SKIP_STATS);
    m
}

fn dump(socket: &mut Socket, write: impl FnOnce(&mut Messages)) -> Result<Replies, NetlinkError> {
    let mut messages = Messages::new();
    write(&mut messages);
    socket.request(&mut messages)
}

impl View {
    /// Looks at the calling thread's namespace.
    pub(super) fn look(
        space: &Space,
        host: &Namespace,
        topology: &NodeName,
        met: &Met,
    ) -> Result<Self, LookError> {
        let mut socket = Socket::open(Protocol::Route)?;
        let links = dump(&mut socket, |m| drop(link_request(m, 0, libc::NLM_F_DUMP as u16)))?;
        let mut view = Self {
            space: space.clone(),
            names: HashMap::new(),
            ours: *space == Space::Host,
            dumps: Dumps::default(),
            neighbours: HashMap::new(),
            vlans: HashMap::new(),
            wireguard: HashMap::new(),
            firewall: None,
            queueing: BTreeMap::new(),
            forwards: false,
        };
        let (mut identifiers, mut filters_vlans) = (BTreeSet::new(), false);
        let (mut tunnels, mut pairs) = (Vec::new(), Vec::new());
        for raw in links.iter().filter_map(|reply| RawLink::read(&reply)) {
            if let Some(name) = raw.interface() {
                view.names.insert(raw.index, name);
            }
            if raw.index == LOOPBACK_INDEX
                && let Space::Node(node) = space
            {
                view.ours = raw.alias == Some(&*marks::namespace_alias(topology, node));
            }
            identifiers.extend(raw.nsid);
            match raw.kind {
                Some("veth") => pairs.extend(raw.nsid.zip(raw.lower).map(|(id, peer)| (raw.index, peer, id))),
                Some("bridge") => {
                    view.forwards = true;
                    filters_vlans |= link::bridge::filters_vlans(raw.data);
                }
                Some("vxlan") => view.forwards = true,
                Some("wireguard") => tunnels.push(raw.index),
                _ => {}
            }
        }
        view.dumps.links = links;
        if !view.ours {
            return Ok(view);
        }
        // Whoever looked at the other end of a pair knows already whose this end's peer is.
        view.neighbours = met.recall(space, &pairs);
        identifiers.retain(|identifier| !view.neighbours.contains_key(identifier));
        view.neighbours.extend(whose(&mut socket, identifiers, host, topology)?);
        met.note(space, &pairs, &view.neighbours);
        view.dumps.addresses = dump(&mut socket, address::dump)?;
        view.dumps.routes = dump(&mut socket, route::dump)?;
        view.dumps.rules = dump(&mut socket, rule::dump)?;
        view.dumps.neighbours = dump(&mut socket, neighbour::dump)?;
        if view.forwards {
            view.dumps.entries = dump(&mut socket, neighbour::dump_entries)?;
        }
        if filters_vlans {
            let replies = dump(&mut socket, link::vlan_dump)?;
            view.vlans = replies.iter().filter_map(|reply| link::read_vlans(&reply)).collect();
        }
        view.queueing = tc::observe(&mut socket, None).map_err(LookError::Queueing)?;
        if !tunnels.is_empty() {
            let mut socket = Socket::open(Protocol::Generic)?;
            for index in tunnels {
                if let Some(name) = view.names.get(&index) {
                    view.wireguard.insert(index, wireguard::observe(&mut socket, name.as_str())?);
                }
            }
        }
        view.firewall = filter(&marks::table(space, topology))?;
        Ok(view)
    }

    /// Whether there is anything that [`View::ask`] would ask for.
    pub(super) fn has_questions(&self, wanted: &Wanted<'_>) -> bool {
        let entries = wanted.entries && !self.forwards;
        self.ours && (entries || !wanted.sysctls.is_empty() || !wanted.offloads.is_empty())
    }

    /// Asks the calling thread's namespace, which must be this one's.
    pub(super) fn ask(&self, wanted: &Wanted<'_>) -> Result<Asked, NetlinkError> {
        let mut asked = Asked::default();
        let mut socket = Socket::open(Protocol::Route)?;
        if wanted.entries && !self.forwards {
            asked.entries = dump(&mut socket, neighbour::dump_entries)?;
        }
        let value = |path: &Arc<str>| Some((path.clone(), sysctl::ask(&mut socket, path)?));
        asked.sysctls = wanted.sysctls.iter().filter_map(value).collect();
        if wanted.offloads.is_empty() {
            return Ok(asked);
        }
        let mut socket = Socket::open(Protocol::Generic)?;
        for (name, link) in &wanted.offloads {
            if self.names.values().any(|there| there == *name) {
                let active = ethtool::features(&mut socket, name.as_str())?;
                let features =
                    link.features.keys().map(|feature| (feature.clone(), active.contains(feature)));
                let channels = ethtool::channels(&mut socket, name.as_str())?;
                asked.offloads.insert((*name).clone(), (features.collect(), channels));
            }
        }
        Ok(asked)
    }

    /// The objects, once the names in all namespaces are known.
    pub(super) fn objects(
        &self,
        names: &HashMap<&Space, &HashMap<u32, InterfaceName>>,
        wanted: &Wanted<'_>,
        asked: &Asked,
        topology: &NodeName,
    ) -> Vec<(Key, ObservedObject)> {
        let mut found = Vec::new();
        if let Space::Node(_) = self.space {
            let mark = if self.ours { Mark::Ours } else { Mark::Foreign };
            found.push((
                Key::Namespace { space: self.space.clone() },
                ObservedObject { spec: Spec::Namespace, mark },
            ));
        }
        if !self.ours {
            return found;
        }
        let filter = Filter::new(&self.space, wanted);
        let lookup = Lookup { view: self, names };
        // Whose each interface is, for what sits on it.
        let mut owners: HashMap<u32, Mark> = HashMap::new();
        let mut own_macs: HashSet<MacAddr> = HashSet::new();
        let mut default_remotes = HashMap::new();
        for raw in self.dumps.links.iter().filter_map(|reply| RawLink::read(&reply)) {
            let mark = marks::link_mark(raw.alias, raw.group, topology);
            owners.insert(raw.index, mark);
            own_macs.extend(raw.mac);
            let Some(name) = self.names.get(&raw.index) else { continue };
            let key = Key::Link { space: self.space.clone(), name: name.clone() };
            let existing = wanted.existing.contains(name);
            let mark = if existing { Mark::Unmarkable } else { mark };
            let link = self.link(&raw, &lookup, asked, name);
            if let LinkKind::Vxlan(options) = &link.kind
                && let Some(remote) = options.remote
            {
                default_remotes.insert(raw.index, remote);
            }
            // What is in every namespace anyway is an object only to those who name it.
            let by_kernel = raw.index == LOOPBACK_INDEX || is_fallback(&raw);
            if filter.shows(&key, mark) && (!by_kernel || existing || wanted.keys.contains(&key)) {
                found.push((key, ObservedObject { spec: Spec::Link(Box::new(link)), mark }));
            }
        }
        self.on_links(&filter, &owners, &mut found);
        self.routing(&filter, &lookup, &owners, &mut found);
        self.forwarding(wanted, asked, &owners, &own_macs, &default_remotes, &mut found);
        for (index, queueing) in &self.queueing {
            let Some(link) = self.names.get(index).cloned() else { continue };
            let key = Key::Shaper { space: self.space.clone(), link };
            // Our handle does not say which of our topologies: on the host the interface does.
            let mark = filter.mark(queueing.ours, owners.get(index).copied().unwrap_or(Mark::Foreign));
            if filter.shows(&key, mark) {
                found.push((
                    key,
                    ObservedObject { spec: Spec::Shaper(Box::new(queueing.shaper.clone())), mark },
                ));
            }
        }
        for (path, value) in &asked.sysctls {
            let key = Key::Sysctl { space: self.space.clone(), path: path.clone() };
            let spec = Spec::Sysctl { value: value.clone() };
            found.push((key, ObservedObject { spec, mark: Mark::Unmarkable }));
        }
        if let Some(firewall) = &self.firewall {
            let spec = Spec::Firewall(Box::new(firewall.clone()));
            found.push((
                Key::Firewall { space: self.space.clone() },
                ObservedObject { spec, mark: Mark::Ours },
            ));
        }
        found
    }

    /// Static forwarding entries.
    fn forwarding(
        &self,
        wanted: &Wanted<'_>,
        asked: &Asked,
        owners: &HashMap<u32, Mark>,
        own_macs: &HashSet<MacAddr>,
        default_remotes: &HashMap<u32, IpAddr>,
        found: &mut Vec<(Key, ObservedObject)>,
    ) {
        let replies = || self.dumps.entries.iter().chain(asked.entries.iter());
        let entries = || replies().filter_map(|reply| neighbour::read_entry(&reply));
        let all: HashSet<(u32, MacAddr, Option<IpAddr>)> = entries()
            .filter(|(_, entry, _)| entry.vlan.is_none())
            .map(|(index, entry, _)| (index, entry.mac, entry.remote))
            .collect();
        for (index, entry, spec) in entries() {
            let Some(link) = self.names.get(&index).cloned() else { continue };
            let neighbour::Entry { mac, vlan, remote } = entry;
            let by_kernel = match remote {
                // The kernel keeps each port's own address as a permanent entry.
                None => spec.permanent && own_macs.contains(&mac),
                // ... and the device's default remote as the one of the zero address.
                Some(_) => mac.octets() == [0; 6] && default_remotes.get(&index) == remote.as_ref(),
            };
            let key = Key::FdbEntry { space: self.space.clone(), link, mac, vlan, remote };
            // A port with VLANs keeps an entry for all of them once more for each.
            let copy = vlan.is_some() && all.contains(&(index, mac, remote));
            let ours = owners.get(&index) == Some(&Mark::Ours);
            if wanted.keys.contains(&key) || !by_kernel && !copy && ours {
                found.push((key, ObservedObject { spec: Spec::FdbEntry(spec), mark: Mark::Unmarkable }));
            }
        }
    }

    /// A link with what was asked for separately.
    fn link(&self, raw: &RawLink<'_>, lookup: &Lookup<'_>, asked: &Asked, name: &InterfaceName) -> Link {
        let mut link = link::observed(raw, lookup);
        if let Some(vlans) = self.vlans.get(&raw.index) {
            if let LinkKind::Bridge(options) = &mut link.kind {
                options.vlans = vlans.clone();
            } else if let Some(port) = &mut link.port {
                port.vlans = vlans.clone();
            }
        }
        if let Some(options) = self.wireguard.get(&raw.index) {
            link.kind = LinkKind::Wireguard(options.clone());
        }
        if let Some((features, channels)) = asked.offloads.get(name) {
            link.features = features.clone();
            link.channels = *channels;
        }
        link
    }

    /// Addresses and neighbours.
    fn on_links(
        &self,
        filter: &Filter<'_>,
        owners: &HashMap<u32, Mark>,
        found: &mut Vec<(Key, ObservedObject)>,
    ) {
        for address in self.dumps.addresses.iter().filter_map(|reply| address::read(&reply)) {
            let Some(link) = self.names.get(&address.index).cloned() else { continue };
            let owner = owners.get(&address.index).copied().unwrap_or(Mark::Foreign);
            let marked = if marks::addresses_carry_protocol() {
                address.protocol == PROTOCOL
            } else {
                owner == Mark::Ours
            };
            let mark = filter.mark(marked, owner);
            let key = Key::Address { space: self.space.clone(), link, address: address.address };
            if filter.shows(&key, mark) {
                found.push((key, ObservedObject { spec: Spec::Address, mark }));
            }
        }
        for seen in self.dumps.neighbours.iter().filter_map(|reply| neighbour::read(&reply)) {
            let Some(link) = self.names.get(&seen.index).cloned() else { continue };
            let owner = owners.get(&seen.index).copied().unwrap_or(Mark::Foreign);
            let mark = filter.mark(seen.protocol == PROTOCOL, owner);
            let key = Key::Neighbour { space: self.space.clone(), link, address: seen.address };
            if filter.shows(&key, mark) {
                found.push((key, ObservedObject { spec: Spec::Neighbour(seen.neighbour), mark }));
            }
        }
    }

    /// Routes and rules.
    fn routing(
        &self,
        filter: &Filter<'_>,
        lookup: &Lookup<'_>,
        owners: &HashMap<u32, Mark>,
        found: &mut Vec<(Key, ObservedObject)>,
    ) {
        let by_name: HashMap<&InterfaceName, Mark> = self
            .names
            .iter()
            .map(|(index, name)| (name, owners.get(index).copied().unwrap_or(Mark::Foreign)))
            .collect();
        for route in self.dumps.routes.iter().filter_map(|reply| route::read(&reply, lookup)) {
            let over_ours = match &route.route.action {
                netloom_compile::object::RouteAction::Forward { hops } => hops
                    .iter()
                    .all(|hop| hop.device.as_ref().and_then(|name| by_name.get(name)) == Some(&Mark::Ours)),
                _ => false,
            };
            let owner = if over_ours { Mark::Ours } else { Mark::Foreign };
            let mark = filter.mark(route.protocol == PROTOCOL, owner);
            let route::Place { table, destination, metric } = route.place;
            let key = Key::Route { space: self.space.clone(), table, destination, metric };
            if filter.shows(&key, mark) {
                found.push((key, ObservedObject { spec: Spec::Route(route.route), mark }));
            }
        }
        for rule in self.dumps.rules.iter().filter_map(|reply| rule::read(&reply)) {
            let mark = filter.mark(rule.protocol == PROTOCOL, Mark::Foreign);
            let key = Key::Rule { space: self.space.clone(), priority: rule.priority, family: rule.family };
            if filter.shows(&key, mark) {
                found.push((key, ObservedObject { spec: Spec::Rule(rule.rule), mark }));
            }
        }
    }
}

/// Interfaces that tunnel drivers put into every namespace.
fn is_fallback(raw: &RawLink<'_>) -> bool {
    const FALLBACKS: [(&str, &str); 9] = [
        ("tunl0", "ipip"),
        ("gre0", "gre"),
        ("gretap0", "gretap"),
        ("erspan0", "erspan"),
        ("ip_vti0", "vti"),
        ("ip6_vti0", "vti6"),
        ("sit0", "sit"),
        ("ip6tnl0", "ip6tnl"),
        ("ip6gre0", "ip6gre"),
    ];
    FALLBACKS.iter().any(|(name, kind)| raw.name == *name && raw.kind == Some(*kind))
}

/// Names for the indexes in one namespace's messages.
struct Lookup<'a> {
    view: &'a View,
    names: &'a HashMap<&'a Space, &'a HashMap<u32, InterfaceName>>,
}

impl Names for Lookup<'_> {
    fn local(&self, index: u32) -> Option<InterfaceName> {
        self.view.names.get(&index).cloned()
    }

    fn far(&self, index: u32, nsid: Option<i32>) -> Option<LinkRef> {
        let space = match nsid {
            None => &self.view.space,
            Some(identifier) => self.view.neighbours.get(&identifier)?,
        };
        let name = self.names.get(space)?.get(&index)?.clone();
        Some(LinkRef { space: space.clone(), name })
    }
}

/// Which spaces the namespace identifiers of the socket's namespace mean: asks each `lo` over there for its
/// mark.
fn whose(
    socket: &mut Socket,
    identifiers: BTreeSet<i32>,
    host: &Namespace,
    topology: &NodeName,
) -> Result<HashMap<i32, Space>, NetlinkError> {
    let mut spaces = HashMap::new();
    let identifiers: Vec<i32> = identifiers.into_iter().collect();
    let mut messages = Messages::new();
    for identifier in &identifiers {
        link_request(&mut messages, LOOPBACK_INDEX, 0).u32(IFLA_TARGET_NETNSID, *identifier as u32);
    }
    let mut others = false;
    socket.each(&mut messages, |index, answer| {
        // A refusal means that it is gone already, or not ours to look into.
        let (Some(identifier), Ok(reply)) = (identifiers.get(index), answer) else { return };
        let alias = reply.attributes(16).get(libc::IFLA_IFALIAS).and_then(|alias| alias.text());
        match alias.and_then(|alias| marks::part_of(alias, topology)) {
            Some(node) => spaces.extend(node.parse().ok().map(|node| (*identifier, Space::Node(node)))),
            None => others = true,
        }
    })?;
    if others {
        let mut messages = Messages::new();
        let fd = rustix::fd::AsFd::as_fd(host).as_raw_fd();
        messages.add(RTM_GETNSID, 0).header(&[0; 4]).u32(NETNSA_FD, fd as u32);
        socket.each(&mut messages, |_, answer| {
            let of_host = answer.ok().and_then(|reply| reply.attributes(4).get(NETNSA_NSID)?.i32());
            spaces.extend(
                of_host.filter(|of_host| identifiers.contains(of_host)).map(|of_host| (of_host, Space::Host)),
            );
        })?;
    }
    Ok(spaces)
}

/// Our packet-filter table; none where the kernel has no nf_tables.
fn filter(table: &str) -> Result<Option<Firewall>, LookError> {
    let absent = [Errno::PROTONOSUPPORT, Errno::OPNOTSUPP, Errno::NOSYS, Errno::AFNOSUPPORT, Errno::INVAL];
    let mut socket = match Socket::open(Protocol::Netfilter) {
        Ok(socket) => socket,
        Err(error) if error.errno().is_some_and(|errno| absent.contains(&errno)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match nft::observe(&mut socket, table) {
        Err(error) if error.errno().is_some_and(|errno| absent.contains(&errno)) => Ok(None),
        Err(error) => Err(LookError::Filter(error)),
        Ok(found) => Ok(found),
    }
}
