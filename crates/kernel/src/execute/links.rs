//! Operations on links.

use super::batch::Verb;
use super::{Execution, absent};
use crate::error::KernelError;
use crate::ethtool;
use crate::link::{self, RawLink, SKIP_STATS, Settings, Surroundings, header, tuntap};
use crate::marks;
use crate::netlink::{Messages, NetlinkError, Protocol, Socket};
use crate::wireguard;
use netloom_compile::object::{BondOptions, Comparison, Key, Link, LinkKind, Mark, Space, Spec, compare};
use netloom_wire::InterfaceName;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::PoisonError;

/// What is known of an interface that is there.
#[derive(Debug, Clone)]
pub(super) struct Known {
    index: u32,
    kind: String,
    mark: Mark,
}

/// What an operation is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'b> {
    pub(super) verb: Verb,
    pub(super) key: &'b Key,
    pub(super) space: &'b Space,
    pub(super) name: &'b InterfaceName,
}

impl Target<'_> {
    fn without(&self, what: String) -> KernelError {
        KernelError::Absent { verb: self.verb.word(), key: Box::new(self.key.clone()), what }
    }

    fn absent(&self) -> KernelError {
        self.without(format!("interface {} in {}", self.name, self.space))
    }

    fn occupied(&self) -> KernelError {
        KernelError::Occupied { key: Box::new(self.key.clone()) }
    }

    fn spec(&self, link: &Link) -> Spec {
        Spec::Link(Box::new(link.clone()))
    }
}

/// When an interface gets its alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marking {
    /// It is not ours.
    Never,
    /// With its other settings.
    Now,
    /// It was born with it.
    Done,
}

impl Execution<'_> {
    /// Asks for an interface, once per call.
    fn known(&mut self, space: &Space, name: &InterfaceName) -> Result<Option<Known>, KernelError> {
        let place = (space.clone(), name.clone());
        if let Some(known) = self.known.get(&place) {
            return Ok(Some(known.clone()));
        }
        if self.batch.holds_links() {
            self.batch.flush()?;
        }
        let topology = &self.kernel.config.topology;
        let asked = self.kernel.with_socket(space, Protocol::Route, |socket| ask(socket, name, topology))?;
        let found = match asked {
            None => None,
            Some(answer) => answer.map_err(KernelError::netlink(format!("looking at {space}:{name}")))?,
        };
        if let Some(known) = &found {
            self.known.insert(place, known.clone());
        }
        Ok(found)
    }

    fn forget(&mut self, space: &Space, name: &InterfaceName) {
        self.known.remove(&(space.clone(), name.clone()));
    }

    /// The number of an interface that an object sits on or refers to.
    pub(super) fn index(
        &mut self,
        at: Target<'_>,
        space: &Space,
        name: &InterfaceName,
    ) -> Result<u32, KernelError> {
        match self.known(space, name)? {
            Some(known) => Ok(known.index),
            None => Err(at.without(format!("interface {name} in {space}"))),
        }
    }

    /// The same where its absence is fine.
    pub(super) fn index_if_there(
        &mut self,
        space: &Space,
        name: &InterfaceName,
    ) -> Result<Option<u32>, KernelError> {
        Ok(self.known(space, name)?.map(|known| known.index))
    }

    pub(super) fn create_link(&mut self, at: Target<'_>, link: &Link) -> Result<(), KernelError> {
        let there = self.known(at.space, at.name)?;
        match (&link.kind, there) {
            (LinkKind::Existing, None) => Err(at.absent()),
            (LinkKind::Existing, Some(_)) => self.settle(at, None, link, Marking::Never),
            // The other end of a veth that was made before, or our own work before a kill.
            (kind, Some(known)) if known.mark == Mark::Ours && known.kind == kernel_word(kind) => {
                self.settle_found(at, link)
            }
            (_, Some(_)) => Err(at.occupied()),
            (LinkKind::Tap(_) | LinkKind::Tun(_), None) => self.create_tun(at, link),
            (_, None) => {
                let (born, marked) = self.make(at, link)?;
                let marking = if marked { Marking::Done } else { Marking::Now };
                self.settle(at, Some(&born), link, marking)
            }
        }
    }

    /// Brings a link of ours that is there already to its description.
    fn settle_found(&mut self, at: Target<'_>, link: &Link) -> Result<(), KernelError> {
        // A veth's other end is made all the time; to set everything is quicker than to look first.
        if matches!(link.kind, LinkKind::Veth { .. }) {
            return self.settle(at, None, link, Marking::Now);
        }
        self.batch.flush()?;
        let spec = at.spec(link);
        let found = self.kernel.observe_one(at.key, &spec)?.ok_or_else(|| at.absent())?;
        match (&found.spec, compare(&found.spec, &spec)) {
            (_, Comparison::Recreate(_)) => Err(at.occupied()),
            (Spec::Link(from), _) => {
                self.settle(Target { verb: Verb::Change, ..at }, Some(from), link, Marking::Now)
            }
            _ => Err(at.absent()),
        }
    }

    /// Gathers what makes the link. Gives it as it will be then, and whether its alias goes along.
    fn make(&mut self, at: Target<'_>, link: &Link) -> Result<(Link, bool), KernelError> {
        let Target { space, name, .. } = at;
        let mut born = Link { port: None, features: BTreeMap::new(), channels: None, ..link.clone() };
        let mut around =
            Surroundings { group: marks::group(&self.kernel.config.topology), ..Surroundings::default() };
        // A request is about the namespace of its socket, so one that names a parent is sent there.
        let mut from = space.clone();
        match &mut born.kind {
            LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. } => {
                around.lower = Some(self.index(at, &parent.space, &parent.name)?);
                from = parent.space.clone();
            }
            LinkKind::Vlan { parent, .. } => around.lower = Some(self.index(at, space, parent)?),
            LinkKind::Vxlan(options) => {
                if let Some(device) = &options.device {
                    around.lower = Some(self.index(at, space, device)?);
                }
            }
            LinkKind::Bond(options) => {
                if let Some(primary) = &options.primary {
                    around.primary = self.known(space, primary)?.map(|known| known.index);
                    if around.primary.is_none() {
                        let mut waiting =
                            self.kernel.primaries.lock().unwrap_or_else(PoisonError::into_inner);
                        waiting.insert((space.clone(), name.clone()), primary.clone());
                    }
                }
            }
            LinkKind::Bridge(options) => {
                options.vlans.clear();
                born.mtu = None;
            }
            LinkKind::Wireguard(options) => {
                options.private_key = [0; 32];
                born.up = false;
            }
            _ => {}
        }
        if let Some(controller) = &link.controller {
            // A bond takes in only interfaces that are down; a controller has no number elsewhere.
            match self.known(space, controller)? {
                Some(known) if known.kind == "bond" => {
                    born.controller = None;
                    born.up = false;
                }
                Some(known) if from == *space => around.controller = Some(known.index),
                Some(_) => born.controller = None,
                None => return Err(at.without(format!("interface {controller} in {space}"))),
            }
        }
        let marked = from == *space;
        // Kernels before 6.14 look for the new name in the namespace of the request, not where the link will
        // be: where that name is taken, the link is born under another one, and renamed while it is down.
        let birth_name =
            if !marked && self.known(&from, name)?.is_some() { Some(birth_name(space, name)) } else { None };
        if birth_name.is_some() {
            born.up = false;
        }
        if from != *space {
            let descriptor = self.open(at, space)?;
            self.batch.ready_for(&from)?;
            around.namespace = Some(self.batch.keep(descriptor));
        }
        if let LinkKind::Veth { peer } = &link.kind
            && peer.space != *space
        {
            let descriptor = self.open(at, &peer.space)?;
            self.batch.ready_for(&from)?;
            around.peer_namespace = Some(self.batch.keep(descriptor));
        }
        let alias = Settings { alias: Some(&self.alias), ..Settings::default() };
        self.batch.add(&from, at.verb, at.key, &at.spec(link), |m| {
            link::create(m, birth_name.as_ref().unwrap_or(name), &born, around);
            if marked {
                m.join();
                link::configure(m, name, alias);
            }
            if let LinkKind::Veth { peer } = &link.kind
                && peer.space == from
            {
                m.join();
                link::configure(m, &peer.name, alias);
            }
        })?;
        if let Some(birth_name) = birth_name {
            self.batch.flush()?;
            let index = self.known(space, &birth_name)?.ok_or_else(|| at.absent())?.index;
            self.batch.add(space, at.verb, at.key, &at.spec(link), |m| link::rename(m, index, name))?;
            self.batch.flush()?;
            self.forget(space, &birth_name);
        }
        Ok((born, marked))
    }

    fn kind_of(&mut self, space: &Space, name: &InterfaceName) -> Result<String, KernelError> {
        Ok(self.known(space, name)?.map(|known| known.kind).unwrap_or_default())
    }

    fn open(&self, at: Target<'_>, space: &Space) -> Result<OwnedFd, KernelError> {
        let copy = |namespace: &crate::namespace::Namespace| {
            rustix::io::fcntl_dupfd_cloexec(namespace, 0)
                .map_err(|error| KernelError::io("opening", format!("the namespace of {space}"), error))
        };
        self.kernel.with_namespace(space, copy)?.ok_or_else(|| at.without(format!("namespace of {space}")))
    }

    fn create_tun(&mut self, at: Target<'_>, link: &Link) -> Result<(), KernelError> {
        self.batch.flush()?;
        let made = self.inside(at.verb, at.key, at.space, |namespace| {
            namespace.run(|| tuntap::make(at.name, &link.kind))?
        })?;
        // Marked before it is made to persist: killed in between, it ends with us.
        self.settle(at, None, link, Marking::Now)?;
        self.batch.flush()?;
        made.map_or(Ok(()), tuntap::Attached::persist)
    }

    pub(super) fn change_link(&mut self, at: Target<'_>, from: &Link, to: &Link) -> Result<(), KernelError> {
        match self.known(at.space, at.name)? {
            None => Err(at.absent()),
            Some(_) if to.kind == LinkKind::Existing => self.settle(at, Some(from), to, Marking::Never),
            Some(known) if known.mark != Mark::Ours => Err(at.occupied()),
            Some(_) => self.settle(at, Some(from), to, Marking::Now),
        }
    }

    /// Brings an interface that is there to its description. With `from` only what differs is set.
    fn settle(
        &mut self,
        at: Target<'_>,
        from: Option<&Link>,
        to: &Link,
        marking: Marking,
    ) -> Result<(), KernelError> {
        let Target { verb, key, space, name } = at;
        let spec = at.spec(to);
        let differs = |same: fn(&Link, &Link) -> bool| from.is_none_or(|from| !same(from, to));
        let controller = match (&to.controller, differs(|a, b| a.controller == b.controller)) {
            (_, false) => None,
            (None, true) if to.kind == LinkKind::Existing && from.is_none() => None,
            (None, true) => Some(0),
            (Some(name), true) => Some(self.index(at, space, name)?),
        };
        let bond = match &to.controller {
            Some(name) => self.kind_of(space, name)? == "bond",
            None => false,
        };
        if let (LinkKind::Bond(options), Some(from), Verb::Change) = (&to.kind, from, verb) {
            self.change_bond(at, from, options)?;
        }
        // A bond takes in only what is down, and leaves it down when it lets go.
        let moves = controller.is_some();
        let down_first = moves && bond && from.is_none_or(|from| from.up);
        let alias = (marking == Marking::Now && !self.alias.is_empty()).then(|| self.alias.clone());
        let wireguard = matches!(to.kind, LinkKind::Wireguard(_));
        let up = (differs(|a, b| a.up == b.up) || moves).then_some(to.up);
        let settings = Settings {
            alias: alias.as_deref(),
            mac: to.mac.filter(|_| differs(|a, b| a.mac == b.mac)),
            mtu: to.mtu.filter(|_| differs(|a, b| a.mtu == b.mtu)),
            controller,
            // In one request flags would be set before the controller.
            up: up.filter(|_| !wireguard && !moves),
        };
        let new_bridge = verb == Verb::Create && matches!(to.kind, LinkKind::Bridge(_));
        let old_kind = from.map(|from| &from.kind).filter(|_| verb == Verb::Change);
        self.batch.add(space, verb, key, &spec, |m| {
            if down_first {
                link::configure(m, name, Settings { up: Some(false), ..Settings::default() });
            }
            // A bridge keeps to its MTU only if it was changed once; else it follows its ports.
            if let (true, Some(mtu)) = (new_bridge, settings.mtu) {
                link::configure(m, name, Settings { mtu: Some(mtu - 1), ..Settings::default() });
            }
            if let Some(old) = old_kind {
                link::change_kind(m, name, old, &to.kind);
            }
            link::configure(m, name, settings);
        })?;
        if let LinkKind::Wireguard(options) = &to.kind
            && from.is_none_or(|from| from.kind != to.kind)
        {
            self.generic(at, |socket| wireguard::apply(socket, name.as_str(), options))?;
        }
        if let Some(up) = up.filter(|_| wireguard || moves) {
            self.batch.add(space, verb, key, &spec, |m| {
                link::configure(m, name, Settings { up: Some(up), ..Settings::default() });
            })?;
        }
        self.settle_port(at, from, to)?;
        if bond {
            self.settle_primary(at, to)?;
        }
        let offloads = !to.features.is_empty() || to.channels.is_some();
        if offloads && differs(|a, b| a.features == b.features && a.channels == b.channels) {
            self.generic(at, |socket| ethtool::apply(socket, name.as_str(), &to.features, to.channels))?;
        }
        Ok(())
    }

    /// Attributes and VLANs of a bridge port, and VLANs of a bridge itself.
    fn settle_port(&mut self, at: Target<'_>, from: Option<&Link>, to: &Link) -> Result<(), KernelError> {
        let Target { verb, key, space, name } = at;
        let spec = at.spec(to);
        let moved = from.is_none_or(|from| from.controller != to.controller);
        if let (Some(port), Some(controller)) = (&to.port, &to.controller)
            && self.kind_of(space, controller)? == "bridge"
        {
            let old = from.and_then(|from| from.port.as_ref()).filter(|_| !moved);
            if old != Some(port) {
                self.batch.add(space, verb, key, &spec, |m| link::configure_port(m, name, port))?;
            }
            if !port.vlans.is_empty() && old.is_none_or(|old| old.vlans != port.vlans) {
                let index = self.index(at, space, name)?;
                self.batch
                    .add(space, verb, key, &spec, |m| link::vlan_messages(m, index, false, &port.vlans))?;
            }
        }
        if let LinkKind::Bridge(options) = &to.kind {
            let old = from.and_then(|from| match &from.kind {
                LinkKind::Bridge(options) => Some(&options.vlans),
                _ => None,
            });
            if !options.vlans.is_empty() && old != Some(&options.vlans) {
                let index = self.index(at, space, name)?;
                self.batch
                    .add(space, verb, key, &spec, |m| link::vlan_messages(m, index, true, &options.vlans))?;
            }
        }
        Ok(())
    }

    /// Tells a bond about its preferred port if that is the one that joined it now.
    fn settle_primary(&mut self, at: Target<'_>, to: &Link) -> Result<(), KernelError> {
        let Target { verb, key, space, name } = at;
        let Some(bond) = &to.controller else { return Ok(()) };
        let place = (space.clone(), bond.clone());
        let waits = {
            let waiting = self.kernel.primaries.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.get(&place) == Some(name)
        };
        if waits {
            let index = self.index(at, space, name)?;
            let spec = Spec::Link(Box::new(to.clone()));
            self.batch.add(space, verb, key, &spec, |m| link::set_primary(m, bond, index))?;
            self.kernel.primaries.lock().unwrap_or_else(PoisonError::into_inner).remove(&place);
        }
        Ok(())
    }

    /// The LACP rate can be changed only while a bond is down; the preferred port has a number.
    fn change_bond(&mut self, at: Target<'_>, from: &Link, options: &BondOptions) -> Result<(), KernelError> {
        let Target { verb, key, space, name } = at;
        let LinkKind::Bond(old) = &from.kind else { return Ok(()) };
        let spec = Spec::Link(Box::new(from.clone()));
        if let Some(primary) = &options.primary
            && old.primary.as_ref() != Some(primary)
        {
            let index = self.index(at, space, primary)?;
            self.batch.add(space, verb, key, &spec, |m| link::set_primary(m, name, index))?;
        }
        if let Some(fast) = options.lacp_fast
            && options.lacp_fast != old.lacp_fast
        {
            let set = |up| Settings { up: Some(up), ..Settings::default() };
            self.batch.add(space, verb, key, &spec, |m| {
                link::configure(m, name, set(false));
                link::set_lacp_rate(m, name, fast);
                link::configure(m, name, set(from.up));
            })?;
        }
        Ok(())
    }

    /// Something over generic netlink, after what was gathered.
    fn generic(
        &mut self,
        at: Target<'_>,
        body: impl FnOnce(&mut Socket) -> Result<(), NetlinkError>,
    ) -> Result<(), KernelError> {
        self.batch.flush()?;
        let done = self.kernel.with_socket(at.space, Protocol::Generic, body)?;
        done.ok_or_else(|| absent(at.verb, at.key))?.map_err(KernelError::on(at.verb.word(), at.key))
    }

    pub(super) fn delete_link(&mut self, at: Target<'_>, link: &Link) -> Result<(), KernelError> {
        if link.kind == LinkKind::Existing {
            return Ok(());
        }
        let known = self.known(at.space, at.name)?;
        self.forget(at.space, at.name);
        match known {
            None => Ok(()),
            Some(known) if known.mark != Mark::Ours => Err(at.occupied()),
            Some(_) => {
                if let LinkKind::Veth { peer } = &link.kind {
                    self.forget(&peer.space, &peer.name);
                }
                self.batch.add(at.space, at.verb, at.key, &at.spec(link), |m| link::delete(m, at.name))
            }
        }
    }
}

/// `IFLA_INFO_KIND` of what we make: TUN and TAP share one.
const fn kernel_word(kind: &LinkKind) -> &'static str {
    match kind {
        LinkKind::Tap(_) | LinkKind::Tun(_) => "tun",
        kind => kind.word(),
    }
}

/// A name that nobody else has, for a link that can't have its own yet. A link that a kill leaves under it
/// carries our group, so the next plan removes it.
fn birth_name(space: &Space, name: &InterfaceName) -> InterfaceName {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (space, name).hash(&mut hasher);
    format!("nl{:08x}", hasher.finish() as u32).parse().unwrap_or_else(|_| name.clone())
}

fn ask(
    socket: &mut Socket,
    name: &InterfaceName,
    topology: &netloom_wire::NodeName,
) -> Result<Option<Known>, NetlinkError> {
    let mut messages = Messages::new();
    messages
        .add(libc::RTM_GETLINK, 0)
        .header(&header(0, 0, 0, 0))
        .text(libc::IFLA_IFNAME, name.as_str())
        .u32(libc::IFLA_EXT_MASK, SKIP_STATS);
    let replies = match socket.request(&mut messages) {
        Err(error) if error.errno() == Some(Errno::NODEV) => return Ok(None),
        other => other?,
    };
    let raw = replies.iter().find_map(|reply| RawLink::read(&reply));
    Ok(raw.map(|raw| Known {
        index: raw.index,
        kind: raw.kind.unwrap_or_default().to_owned(),
        mark: marks::link_mark(raw.alias, raw.group, topology),
    }))
}
