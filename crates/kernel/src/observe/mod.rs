//! Observing: what is in the namespaces of a topology, as a table of objects.
//!
//! ```text
//! per namespace, in parallel:  enter -> dump links, addresses, routes, rules, neighbours, ... -> View
//! then, with all views:        links -> descriptions (peers and parents have names now)
//! ```
//!
//! What: everything in the topology's own namespaces; in the host's only what carries the topology's
//! mark or what is desired there.
//!
//! Invariants:
//! - A namespace that does not carry the mark is reported as foreign and not looked into.
//! - The other end of a veth is found by the identity of its namespace (the mark of that namespace's `lo`,
//!   asked for by identifier), not by guessing from interface numbers.
//!
//! Costs: about ten system calls per namespace, no thread per namespace; counters are not asked for.

mod host;
mod view;

use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::namespace::Namespace;
use crate::netlink::NetlinkError;
use crate::process;
use crate::tc::TcError;
use netloom_compile::object::{Desired, Key, Link, LinkKind, Mark, Observed, ObservedObject, Space, Spec};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use view::View;

/// What is desired in one space, as far as it decides what to look at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) keys: BTreeSet<&'a Key>,
    pub(crate) sysctls: Vec<Arc<str>>,
    /// Interfaces that are used and not made.
    pub(crate) existing: BTreeSet<&'a InterfaceName>,
    /// Interfaces whose offloads or channels matter.
    pub(crate) offloads: Vec<(&'a InterfaceName, &'a Link)>,
    pub(crate) entries: bool,
}

impl<'a> Wanted<'a> {
    fn add(&mut self, key: &'a Key, spec: &'a Spec) {
        self.keys.insert(key);
        match (key, spec) {
            (Key::Sysctl { path, .. }, _) => self.sysctls.push(path.clone()),
            (Key::FdbEntry { .. }, _) => self.entries = true,
            (Key::Link { name, .. }, Spec::Link(link)) => {
                if link.kind == LinkKind::Existing {
                    self.existing.insert(name);
                }
                if !link.features.is_empty() || link.channels.is_some() {
                    self.offloads.push((name, link));
                }
            }
            _ => {}
        }
    }
}

impl Kernel {
    /// What there is of the topology, and what there is under the names of `desired`.
    ///
    /// # Errors
    /// When a namespace cannot be entered or the kernel does not answer.
    pub fn observe(&self, desired: &Desired) -> Result<Observed, KernelError> {
        let mut wanted: HashMap<&Space, Wanted<'_>> = HashMap::new();
        for (key, object) in &desired.objects {
            wanted.entry(key.space()).or_default().add(key, &object.spec);
        }
        let mut spaces: BTreeSet<Space> = wanted.keys().map(|space| (*space).clone()).collect();
        spaces.extend(self.namespaces.list()?.into_iter().map(Space::Node));
        spaces.insert(Space::Host);
        let mut observed = self.look(&spaces.into_iter().collect::<Vec<_>>(), &wanted)?;
        for (identity, running) in process::observe(&self.config.netns_dir, &self.config.topology) {
            let key = Key::Process { space: Space::Node(identity.node), name: identity.name };
            observed.insert(key, ObservedObject { spec: Spec::Process(running.process), mark: Mark::Ours });
        }
        Ok(Observed { objects: observed })
    }

    /// What there is now under one key.
    ///
    /// # Errors
    /// As [`Kernel::observe`].
    pub fn observe_one(&self, key: &Key, spec: &Spec) -> Result<Option<ObservedObject>, KernelError> {
        if let Key::Process { space: Space::Node(node), name } = key {
            let identity = process::Identity { node: node.clone(), name: name.clone() };
            let mut all = process::observe(&self.config.netns_dir, &self.config.topology);
            return Ok(all
                .remove(&identity)
                .map(|running| ObservedObject { spec: Spec::Process(running.process), mark: Mark::Ours }));
        }
        let mut wanted: HashMap<&Space, Wanted<'_>> = HashMap::new();
        wanted.entry(key.space()).or_default().add(key, spec);
        let mut spaces = vec![key.space().clone()];
        if let Spec::Link(link) = spec {
            spaces.extend(match &link.kind {
                LinkKind::Veth { peer } => Some(peer.space.clone()),
                LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. } => {
                    Some(parent.space.clone())
                }
                _ => None,
            });
            spaces.dedup();
        }
        Ok(self.look(&spaces, &wanted)?.remove(key))
    }

    fn look(
        &self,
        spaces: &[Space],
        wanted: &HashMap<&Space, Wanted<'_>>,
    ) -> Result<BTreeMap<Key, ObservedObject>, KernelError> {
        let nothing = Wanted::default();
        let processors = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        let share = spaces.len().div_ceil(processors).max(4);
        // The calling thread stays in its namespace, so even one space is looked at by a worker.
        let views: Vec<View> = in_parallel(spaces, share, |space| {
            let wanted = wanted.get(space).unwrap_or(&nothing);
            self.view(space, wanted)
        })?
        .into_iter()
        .flatten()
        .collect();
        let names: HashMap<&Space, &HashMap<u32, InterfaceName>> =
            views.iter().map(|view| (&view.space, &view.names)).collect();
        let share = views.len().div_ceil(processors).max(4);
        let parts: Vec<Vec<(Key, ObservedObject)>> = in_parallel(&views, share, |view| {
            let wanted = wanted.get(&view.space).unwrap_or(&nothing);
            let mut objects = view.objects(&names, wanted, &self.config.topology);
            // Spaces come in order, so that sorted parts are nearly the sorted whole.
            objects.sort_by(|(one, _), (other, _)| one.cmp(other));
            Ok(objects)
        })?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Looks into one space from the calling thread, which is in it afterwards.
    fn view(&self, space: &Space, wanted: &Wanted<'_>) -> Result<Option<View>, KernelError> {
        let opened;
        let namespace = match space {
            Space::Host => &self.host,
            Space::Node(node) => match self.namespaces.open(node)? {
                Some(namespace) => {
                    opened = namespace;
                    &opened
                }
                None => return Ok(None),
            },
        };
        namespace.enter()?;
        self.view_here(space, wanted, &self.host).map(Some)
    }

    fn view_here(&self, space: &Space, wanted: &Wanted<'_>, host: &Namespace) -> Result<View, KernelError> {
        let place = format!("observing {}", named(space, &self.config.topology));
        View::look(space, wanted, host, &self.table(space), &self.config.topology).map_err(
            |error| match error {
                view::LookError::Netlink(source) => KernelError::Netlink { doing: place, source },
                view::LookError::Queueing(TcError::Netlink(source)) => {
                    KernelError::Netlink { doing: place, source }
                }
                view::LookError::Queueing(source) => KernelError::Netlink {
                    doing: format!("{place}: {source}"),
                    source: NetlinkError::Malformed,
                },
                view::LookError::Filter(source) => KernelError::Filter {
                    verb: "observe",
                    key: Box::new(Key::Firewall { space: space.clone() }),
                    source: Box::new(source),
                },
            },
        )
    }
}

fn named(space: &Space, topology: &NodeName) -> String {
    match space {
        Space::Host => "the host's network".to_owned(),
        Space::Node(node) => format!("the namespace {topology}.{node}"),
    }
}

/// `work` on every item, in threads that take `share` items each; results in order.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    share: usize,
    work: impl Fn(&T) -> Result<R, KernelError> + Sync,
) -> Result<Vec<R>, KernelError> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(share.max(1))
            .map(|part| scope.spawn(move || part.iter().map(work).collect::<Result<Vec<R>, _>>()))
            .collect();
        let mut all = Vec::with_capacity(items.len());
        for thread in threads {
            all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}
