//! A simulated kernel: strict where Linux is strict, with Linux's habits of taking things along.
//!
//! It is the oracle of the property tests and knows nothing of the planner. It refuses what Linux refuses
//! (a route whose gateway can not be reached, a port of a missing controller, a second object of a name), it
//! loses what Linux loses (see `link.rs`), and it can be told to fail, or to note everything that a crash
//! would leave behind, at any operation.

use netloom_compile::object::{
    Desired, Key, Link, LinkKind, Mark, Observed, ObservedObject, Operation, Owner, Route, RouteAction,
    Space, Spec,
};
use netloom_control::platform::{Missing, Platform, PlatformError};
use netloom_wire::NodeName;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

/// One object in the simulated kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub spec: Spec,
    /// Carries the topology's mark.
    pub marked: bool,
    /// Was there before and belongs to somebody else.
    pub foreign: bool,
    /// When it was made: the first address of a subnet is the primary one.
    pub number: u64,
}

/// What differs between kernels and their settings; the planner must cope with every combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// `promote_secondaries`.
    pub promote_secondaries: bool,
    /// `keep_addr_on_down`.
    pub keep_ipv6: bool,
    /// An IPv6 route through several interfaces loses only one next hop with one of them.
    pub partial_routes: bool,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub objects: BTreeMap<Key, Entry>,
    pub sysctls: BTreeMap<Key, String>,
    /// Links that vanish when the kernel gets round to it: far ends of what was in a removed namespace.
    pub limbo: BTreeSet<Key>,
    pub quirks: Quirks,
    pub number: u64,
}

/// What a crash would leave: the kernel and the files of the store.
#[derive(Debug, Clone)]
pub struct Remains {
    pub state: State,
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Where it happened, for messages.
    pub place: String,
}

/// What goes wrong.
#[derive(Default)]
pub struct Faults {
    /// The operation of this number fails, once, without effect.
    pub fail_at: Option<usize>,
    /// At these operations the remains of a crash are noted; `None` notes nothing.
    pub crash_at: Option<Box<dyn Fn(usize) -> bool + Send>>,
    /// The store's directory, for the remains.
    pub directory: PathBuf,
    pub remains: Vec<Remains>,
    /// Operations so far.
    pub count: usize,
}

pub struct Kernel {
    pub state: Mutex<State>,
    pub faults: Mutex<Faults>,
    pub topology: NodeName,
}

pub type Refusal = Result<(), String>;

pub fn node(name: &str) -> Space {
    Space::Node(name.parse().unwrap())
}

pub fn link_of(space: &Space, name: &str) -> Key {
    Key::Link { space: space.clone(), name: name.parse().unwrap() }
}

const SPACE_SYSCTLS: [&str; 4] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/default/rp_filter",
    "net/ipv6/conf/all/forwarding",
];
const LINK_SYSCTLS: [&str; 2] = ["rp_filter", "proxy_arp"];

impl State {
    /// A host with two network cards, somebody else's bridge with an address and a route, and a namespace.
    pub fn host(quirks: Quirks) -> Self {
        let (objects, sysctls) = (BTreeMap::new(), BTreeMap::new());
        let mut state = Self { objects, sysctls, limbo: BTreeSet::new(), quirks, number: 0 };
        let host = Space::Host;
        state.add_space_sysctls(&host);
        for name in ["nic0", "nic1", "docker0"] {
            let kind = if name == "docker0" { LinkKind::Bridge(Default::default()) } else { LinkKind::Dummy };
            state.create(&link_of(&host, name), &Spec::Link(Box::new(Link::new(kind)))).unwrap();
        }
        let docker: netloom_wire::InterfaceName = "docker0".parse().unwrap();
        let address = "172.17.0.1/16".parse().unwrap();
        state
            .create(&Key::Address { space: host.clone(), link: docker.clone(), address }, &Spec::Address)
            .unwrap();
        let hop = netloom_compile::object::NextHop { gateway: None, device: Some(docker), weight: 1 };
        let route = Route { action: RouteAction::Forward { hops: vec![hop] }, source: None, mtu: None };
        let destination = "172.18.0.0/16".parse().unwrap();
        let key = Key::Route { space: host, table: 254, destination, metric: 0 };
        state.create(&key, &Spec::Route(route)).unwrap();
        state.create(&Key::Namespace { space: node("stranger") }, &Spec::Namespace).unwrap();
        for entry in state.objects.values_mut() {
            entry.marked = false;
            entry.foreign = true;
        }
        state
    }

    pub fn link(&self, key: &Key) -> Option<&Link> {
        match &self.objects.get(key)?.spec {
            Spec::Link(link) => Some(link),
            _ => None,
        }
    }

    pub fn has_space(&self, space: &Space) -> bool {
        *space == Space::Host || self.objects.contains_key(&Key::Namespace { space: space.clone() })
    }

    pub fn insert(&mut self, key: &Key, spec: Spec) {
        self.number += 1;
        let entry = Entry { spec, marked: true, foreign: false, number: self.number };
        self.objects.insert(key.clone(), entry);
    }

    fn add_space_sysctls(&mut self, space: &Space) {
        for path in SPACE_SYSCTLS {
            self.sysctls.insert(Key::Sysctl { space: space.clone(), path: path.into() }, "0".into());
        }
    }

    pub fn add_link_sysctls(&mut self, key: &Key) {
        let Key::Link { space, name } = key else { return };
        for leaf in LINK_SYSCTLS {
            let path = format!("net/ipv4/conf/{name}/{leaf}").into();
            self.sysctls.insert(Key::Sysctl { space: space.clone(), path }, "0".into());
        }
    }

    pub fn drop_link_sysctls(&mut self, key: &Key) {
        let Key::Link { space: at, name } = key else { return };
        let part = format!("net/ipv4/conf/{name}/");
        self.sysctls.retain(
            |key, _| !matches!(key, Key::Sysctl { space, path } if space == at && path.starts_with(&part)),
        );
    }

    pub fn create(&mut self, key: &Key, spec: &Spec) -> Refusal {
        // An interface that came with its namespace is taken into use.
        if let Spec::Link(link) = spec
            && link.kind == LinkKind::Existing
        {
            let seen = self.link(key).ok_or("No such device")?.clone();
            return self.change_link(key, &seen, link);
        }
        if self.objects.contains_key(key) {
            return Err("File exists".into());
        }
        if !matches!(key, Key::Namespace { .. }) && !self.has_space(key.space()) {
            return Err("no such namespace".into());
        }
        match (key, spec) {
            (Key::Namespace { space }, _) => {
                self.insert(key, spec.clone());
                self.add_space_sysctls(space);
                let lo = link_of(space, "lo");
                self.add_link_sysctls(&lo);
                let mut link = Link::new(LinkKind::Existing);
                link.channels = Some(1);
                (link.mtu, link.mac) = (Some(65536), Some(netloom_wire::MacAddr::new([0; 6])));
                self.insert(&lo, Spec::Link(Box::new(link)));
                if let Some(entry) = self.objects.get_mut(&lo) {
                    entry.marked = false;
                }
            }
            (Key::Link { .. }, Spec::Link(link)) => self.create_link(key, link)?,
            (Key::Address { .. }, _) => {
                let at = self.carrier(key)?;
                let Key::Address { address, .. } = key else { return Ok(()) };
                let mtu = self.link(&at).and_then(|link| link.mtu).unwrap_or(0);
                if address.addr().is_ipv6() && mtu < 1280 {
                    return Err("IPv6 is off below MTU 1280".into());
                }
                self.insert(key, spec.clone());
            }
            (Key::Route { .. }, Spec::Route(route)) => {
                self.check_route(key, route)?;
                self.insert(key, spec.clone());
            }
            (Key::Sysctl { .. }, Spec::Sysctl { value }) => self.set_sysctl(key, value)?,
            (Key::FdbEntry { remote, .. }, _) => {
                let at = self.carrier(key)?;
                let link = self.link(&at).ok_or("no link")?;
                let vxlan = matches!(link.kind, LinkKind::Vxlan(_));
                let port = link.controller.is_some() || matches!(link.kind, LinkKind::Bridge(_));
                if (remote.is_some() && !vxlan) || (remote.is_none() && !port) {
                    return Err("Operation not supported".into());
                }
                self.insert(key, spec.clone());
            }
            (Key::Shaper { space, .. }, Spec::Shaper(shaper)) => {
                self.carrier(key)?;
                for device in shaper.devices() {
                    self.link(&link_of(space, device.as_str())).ok_or("no such device to redirect to")?;
                }
                self.insert(key, spec.clone());
            }
            (Key::Firewall { space }, Spec::Firewall(firewall)) => {
                for device in firewall.devices() {
                    self.link(&link_of(space, device.as_str())).ok_or("no such device for a chain")?;
                }
                self.insert(key, spec.clone());
            }
            (Key::Neighbour { .. }, _) => {
                let at = self.carrier(key)?;
                if !self.link(&at).is_some_and(|link| link.up) {
                    return Err("Network is down".into());
                }
                self.insert(key, spec.clone());
            }
            _ => self.insert(key, spec.clone()),
        }
        Ok(())
    }

    /// The link that an object is on, which must exist.
    fn carrier(&self, key: &Key) -> Result<Key, String> {
        let (Key::Address { space, link, .. }
        | Key::Neighbour { space, link, .. }
        | Key::FdbEntry { space, link, .. }
        | Key::Shaper { space, link }) = key
        else {
            return Err("not on a link".into());
        };
        let at = link_of(space, link.as_str());
        if self.objects.contains_key(&at) { Ok(at) } else { Err("No such device".into()) }
    }

    fn set_sysctl(&mut self, key: &Key, value: &str) -> Refusal {
        let slot = self.sysctls.get_mut(key).ok_or("No such file or directory")?;
        *slot = value.to_owned();
        Ok(())
    }

    fn check_route(&self, key: &Key, route: &Route) -> Refusal {
        let Key::Route { space, .. } = key else { return Ok(()) };
        let mine = |key: &&Key| key.space() == space;
        if let Some(source) = route.source {
            let known = self
                .objects
                .keys()
                .filter(mine)
                .any(|key| matches!(key, Key::Address { address, .. } if address.addr() == source));
            if !known {
                return Err("the source is no address of this namespace".into());
            }
        }
        let RouteAction::Forward { hops } = &route.action else { return Ok(()) };
        for hop in hops {
            let device = hop.device.clone().ok_or("no device")?;
            let link = self.link(&link_of(space, device.as_str())).ok_or("No such device")?;
            if !link.up {
                return Err("Network is down".into());
            }
            let Some(gateway) = hop.gateway else { continue };
            let reached = self.objects.iter().filter(|(key, _)| mine(key)).any(|(key, entry)| {
                match (key, &entry.spec) {
                    (Key::Address { link, address, .. }, _) => {
                        *link == device && address.contains(&gateway) && address.addr() != gateway
                    }
                    (
                        Key::Route { destination, .. },
                        Spec::Route(Route { action: RouteAction::Forward { hops }, .. }),
                    ) => {
                        destination.contains(&gateway)
                            && hops
                                .iter()
                                .any(|hop| hop.gateway.is_none() && hop.device.as_ref() == Some(&device))
                    }
                    _ => false,
                }
            });
            if !reached {
                return Err(format!("Nexthop {gateway} has invalid gateway"));
            }
        }
        Ok(())
    }

    pub fn change(&mut self, key: &Key, from: &Spec, to: &Spec) -> Refusal {
        if let Spec::Sysctl { value } = to {
            return self.set_sysctl(key, value);
        }
        if !self.objects.contains_key(key) {
            return Err("does not exist, so it can not be changed".into());
        }
        match (key, to) {
            (Key::Link { .. }, Spec::Link(to)) => {
                let Spec::Link(from) = from else { return Err("not a link".into()) };
                self.change_link(key, from, to)
            }
            (Key::Route { .. }, Spec::Route(route)) => {
                self.check_route(key, route)?;
                self.set(key, to);
                Ok(())
            }
            (Key::Firewall { space }, Spec::Firewall(firewall)) => {
                for device in firewall.devices() {
                    self.link(&link_of(space, device.as_str())).ok_or("no such device for a chain")?;
                }
                self.set(key, to);
                Ok(())
            }
            (Key::Shaper { space, .. }, Spec::Shaper(shaper)) => {
                for device in shaper.devices() {
                    self.link(&link_of(space, device.as_str())).ok_or("no such device to redirect to")?;
                }
                self.set(key, to);
                Ok(())
            }
            (Key::Neighbour { .. } | Key::FdbEntry { .. }, _) => {
                self.set(key, to);
                Ok(())
            }
            _ => Err("can not be changed in place".into()),
        }
    }

    pub fn set(&mut self, key: &Key, spec: &Spec) {
        if let Some(entry) = self.objects.get_mut(key) {
            entry.spec = spec.clone();
        }
    }

    pub fn delete(&mut self, key: &Key) -> Refusal {
        if let Key::Sysctl { space, .. } = key {
            if *space == Space::Host {
                return Err("only memory knows the first value".into());
            }
            // Back to what a fresh namespace has; gone with its link or namespace.
            if let Some(slot) = self.sysctls.get_mut(key) {
                *slot = "0".to_owned();
            }
            return Ok(());
        }
        if self.objects.get(key).is_some_and(|entry| entry.foreign) {
            return Err("belongs to somebody else".into());
        }
        if !self.objects.contains_key(key) {
            return Ok(());
        }
        match key {
            Key::Namespace { space } => {
                let inside: Vec<Key> =
                    self.objects.keys().filter(|key| key.space() == space).cloned().collect();
                if let Some(process) = inside.iter().find(|key| matches!(key, Key::Process { .. })) {
                    return Err(format!("process {process} still runs in it"));
                }
                for key in &inside {
                    self.delete_later(key, space);
                }
                self.objects.retain(|key, _| key.space() != space);
                self.sysctls.retain(|key, _| key.space() != space);
            }
            Key::Link { .. } => {
                if matches!(self.link(key).map(|link| &link.kind), Some(LinkKind::Existing)) {
                    return Err("Operation not supported".into());
                }
                self.delete_link(key)?;
            }
            Key::Address { .. } => self.delete_address(key),
            _ => {
                self.objects.remove(key);
            }
        }
        Ok(())
    }

    /// The kernel takes a namespace apart later: until then what hangs on it elsewhere stays.
    fn delete_later(&mut self, inside: &Key, dying: &Space) {
        if self.link(inside).is_none() {
            return;
        }
        let elsewhere: Vec<Key> = self
            .objects
            .iter()
            .filter(|(key, entry)| key.space() != dying && hangs_on(key, &entry.spec, inside))
            .map(|(key, _)| key.clone())
            .collect();
        self.limbo.extend(elsewhere);
    }

    /// The kernel gets round to it.
    pub fn finish_cleanup(&mut self) {
        while let Some(key) = self.limbo.pop_first() {
            if self.objects.contains_key(&key) {
                let _ = self.delete_link(&key);
            }
        }
    }

    /// What is compared: every object, without the numbers of its making.
    pub fn table(&self, desired: &Desired) -> BTreeMap<Key, Spec> {
        let mut table: BTreeMap<Key, Spec> =
            self.objects
                .iter()
                .map(|(key, entry)| {
                    let mut spec = entry.spec.clone();
                    if let Spec::Link(link) = &mut spec {
                        let described = desired.objects.get(key).is_some_and(
                            |object| matches!(&object.spec, Spec::Link(link) if link.mac.is_some()),
                        );
                        if !described && !entry.foreign {
                            link.mac = None;
                        }
                    }
                    (key.clone(), spec)
                })
                .collect();
        for (key, value) in &self.sysctls {
            table.insert(key.clone(), Spec::Sysctl { value: value.clone() });
        }
        table
    }
}

/// Whether an object goes when a link goes.
pub fn hangs_on(key: &Key, spec: &Spec, link: &Key) -> bool {
    let Spec::Link(at) = spec else { return false };
    let local = |name: &netloom_wire::InterfaceName| link_of(key.space(), name.as_str()) == *link;
    match &at.kind {
        LinkKind::Veth { peer } => Key::link(peer) == *link,
        LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. } => Key::link(parent) == *link,
        LinkKind::Vlan { parent, .. } => local(parent),
        LinkKind::Vxlan(options) => options.device.as_ref().is_some_and(local),
        _ => false,
    }
}

impl Kernel {
    pub fn new(state: State) -> Self {
        Self { state: Mutex::new(state), faults: Mutex::default(), topology: "lab".parse().unwrap() }
    }

    pub fn table(&self, desired: &Desired) -> BTreeMap<Key, Spec> {
        let mut state = self.state.lock().unwrap();
        state.finish_cleanup();
        state.table(desired)
    }

    pub fn take_state(&self) -> State {
        self.state.lock().unwrap().clone()
    }

    fn note(faults: &mut Faults, state: &State, place: String) {
        let files = crate::files(&faults.directory);
        faults.remains.push(Remains { state: state.clone(), files, place });
    }

    fn run(&self, operation: &Operation) -> Refusal {
        let mut state = self.state.lock().unwrap();
        let mut faults = self.faults.lock().unwrap();
        let number = faults.count;
        faults.count += 1;
        if faults.fail_at == Some(number) {
            return Err("told to fail".into());
        }
        let crashes = faults.crash_at.as_ref().is_some_and(|crash| crash(number));
        if crashes {
            Self::note(&mut faults, &state, format!("before operation {number}: {operation:?}"));
        }
        match operation {
            Operation::Create { key, spec } => {
                // Both ends of a pair come together, and the second is there by now.
                let second = matches!(spec, Spec::Link(link) if matches!(link.kind, LinkKind::Veth { .. }))
                    && state.objects.get(key).is_some_and(|entry| !entry.marked && !entry.foreign);
                if second {
                    state.second_end(key, spec)?;
                } else {
                    state.create(key, spec)?;
                }
                if crashes && markable(key) {
                    let mut unmarked = state.clone();
                    if let Some(entry) = unmarked.objects.get_mut(key) {
                        entry.marked = false;
                    }
                    Self::note(&mut faults, &unmarked, format!("within operation {number}: {operation:?}"));
                }
            }
            Operation::Change { key, from, to } => state.change(key, from, to)?,
            Operation::Delete { key, .. } => state.delete(key)?,
        }
        if crashes {
            Self::note(&mut faults, &state, format!("after operation {number}: {operation:?}"));
        }
        Ok(())
    }
}

fn markable(key: &Key) -> bool {
    !matches!(key, Key::Sysctl { .. } | Key::FdbEntry { .. })
}

impl Platform for Kernel {
    fn observe(&self, scope: &Desired) -> Result<Observed, PlatformError> {
        let mut state = self.state.lock().unwrap();
        state.finish_cleanup();
        let mut observed = Observed::default();
        for (key, entry) in &state.objects {
            let space = key.space();
            let ours = |space: &Space| {
                *space != Space::Host
                    && state
                        .objects
                        .get(&Key::Namespace { space: space.clone() })
                        .is_some_and(|entry| entry.marked)
            };
            let wanted = scope.objects.contains_key(key);
            if !(wanted || entry.marked && markable(key)) {
                continue;
            }
            if *space != Space::Host && !ours(space) && !matches!(key, Key::Namespace { .. }) && !wanted {
                continue;
            }
            let mark = match () {
                () if !markable(key) => Mark::Unmarkable,
                () if entry.marked => Mark::Ours,
                () => Mark::Foreign,
            };
            observed.objects.insert(key.clone(), ObservedObject { spec: entry.spec.clone(), mark });
        }
        for (key, value) in &state.sysctls {
            if scope.objects.contains_key(key) {
                let spec = Spec::Sysctl { value: value.clone() };
                observed.objects.insert(key.clone(), ObservedObject { spec, mark: Mark::Unmarkable });
            }
        }
        Ok(observed)
    }

    fn execute(&self, owner: &Owner, operations: &[Operation]) -> Result<(), PlatformError> {
        assert_eq!(owner.topology, self.topology);
        for operation in operations {
            self.run(operation).map_err(|cause| {
                PlatformError::new(Some(operation.key().clone()), format!("{cause} [{operation:?}]"))
            })?;
        }
        Ok(())
    }

    fn missing(&self, _: &Desired) -> Vec<Missing> {
        Vec::new()
    }
}
