//! Observing: what is in the namespaces of a topology, as a table of objects.
//!
//! ```text
//! per namespace, in parallel:  enter -> dump links, addresses, routes, rules, neighbours, ... -> View
//! then, with all views:        enter -> ask for what only the description names (sysctls, offloads)
//!                              links -> descriptions (peers and parents have names now)
//! ```
//!
//! The first half needs no description, so that it can begin while one is still being compiled ([`Ahead`]).
//!
//! What: everything in the topology's own namespaces; in the host's only what carries the topology's
//! mark or what is desired there.
//!
//! Invariants:
//! - A namespace that does not carry the mark is reported as foreign and not looked into.
//! - The other end of a veth is found by the identity of its namespace (the mark of that namespace's `lo`,
//!   asked for by identifier), not by guessing from interface numbers.
//!
//! Costs: about ten system calls per namespace, no thread per namespace; counters are not asked for. Most of the time
//! is the kernel's, under one lock for all namespaces: two threads are little faster than one.

mod ahead;
mod host;
mod view;

use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::picture::Picture;
use crate::process;
pub use ahead::Ahead;
use ahead::{Looker, Round};
use netloom_compile::object::{Desired, Key, Link, LinkKind, Mark, Observed, ObservedObject, Space, Spec};
use netloom_wire::InterfaceName;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use view::{Extra, View};

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
    /// Begins to look at the namespaces that there are, in a thread beside the caller's; [`Kernel::observe_after`]
    /// takes over what it found. What changes after this call may be seen or not.
    ///
    /// # Errors
    /// When their directory cannot be read, or no thread can be started.
    pub fn look_ahead(&self) -> Result<Ahead, KernelError> {
        let mut spaces = vec![Space::Host];
        spaces.extend(self.namespaces.list()?.into_iter().map(Space::Node));
        Ahead::begin(self.looker(), spaces)
    }

    /// What there is of the topology, and what there is under the names of `desired`.
    ///
    /// # Errors
    /// When a namespace cannot be entered or the kernel does not answer.
    pub fn observe(&self, desired: &Desired) -> Result<Observed, KernelError> {
        self.observe_after(desired, None)
    }

    /// The same, with what was looked at already.
    ///
    /// # Errors
    /// As [`Kernel::observe`].
    pub fn observe_after(&self, desired: &Desired, ahead: Option<Ahead>) -> Result<Observed, KernelError> {
        let mut wanted: HashMap<&Space, Wanted<'_>> = HashMap::new();
        for (key, object) in &desired.objects {
            wanted.entry(key.space()).or_default().add(key, &object.spec);
        }
        let mut spaces: BTreeSet<Space> = wanted.keys().map(|space| (*space).clone()).collect();
        if ahead.is_none() {
            spaces.extend(self.namespaces.list()?.into_iter().map(Space::Node));
            spaces.insert(Space::Host);
        }
        let mut observed = self.look(spaces, ahead, &wanted)?;
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
        let mut spaces = BTreeSet::from([key.space().clone()]);
        if let Spec::Link(link) = spec {
            spaces.extend(match &link.kind {
                LinkKind::Veth { peer } => Some(peer.space.clone()),
                LinkKind::Macvlan { parent, .. } | LinkKind::Ipvlan { parent, .. } => {
                    Some(parent.space.clone())
                }
                _ => None,
            });
        }
        Ok(self.look(spaces, None, &wanted)?.remove(key))
    }

    /// Everything that decides about packets, in all namespaces of the topology and in the host's.
    ///
    /// # Errors
    /// As [`Kernel::observe`].
    pub fn picture(&self) -> Result<Picture, KernelError> {
        let looker = self.looker();
        let mut spaces: Vec<Space> = self.namespaces.list()?.into_iter().map(Space::Node).collect();
        spaces.push(Space::Host);
        // The calling thread stays in its namespace.
        let found: Vec<(View, Extra)> = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let look = |space: &Space| {
                    let view = looker.view(space)?;
                    Ok(view.map(|view| (view, Extra::look(&self.table(space)))))
                };
                spaces.iter().filter_map(|space| look(space).transpose()).collect::<Result<_, KernelError>>()
            });
            work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        let (views, extras): (Vec<View>, Vec<Extra>) = found.into_iter().unzip();
        let names: HashMap<&Space, &HashMap<u32, InterfaceName>> =
            views.iter().map(|view| (&view.space, &view.names)).collect();
        let pictures =
            views.iter().zip(extras).map(|(view, extra)| (view.space.clone(), view.picture(&names, extra)));
        Ok(Picture { topology: self.config.topology.clone(), spaces: pictures.collect() })
    }

    fn looker(&self) -> Looker {
        Looker {
            namespaces: self.namespaces.clone(),
            host: self.host.clone(),
            topology: self.config.topology.clone(),
            met: Arc::default(),
        }
    }

    fn look(
        &self,
        mut spaces: BTreeSet<Space>,
        ahead: Option<Ahead>,
        wanted: &HashMap<&Space, Wanted<'_>>,
    ) -> Result<BTreeMap<Key, ObservedObject>, KernelError> {
        let nothing = Wanted::default();
        let looker = self.looker();
        let processors = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        for known in ahead.iter().flat_map(Ahead::spaces) {
            spaces.remove(known);
        }
        let rest = Round::new(spaces.into_iter().collect());
        let mut views = match ahead {
            Some(ahead) => ahead.finish(&rest, processors)?,
            // The calling thread stays in its namespace, so even one space is looked at by a worker.
            None => rest.finish(&looker, processors)?,
        };
        views.sort_by(|one, other| one.space.cmp(&other.space));
        let names: HashMap<&Space, &HashMap<u32, InterfaceName>> =
            views.iter().map(|view| (&view.space, &view.names)).collect();
        let share = views.len().div_ceil(processors).max(4);
        let parts: Vec<Vec<(Key, ObservedObject)>> = in_parallel(&views, share, |view| {
            let wanted = wanted.get(&view.space).unwrap_or(&nothing);
            let asked = looker.ask(view, wanted)?;
            let mut objects = view.objects(&names, wanted, &asked, &self.config.topology);
            // Spaces come in order, so that sorted parts are nearly the sorted whole.
            objects.sort_by(|(one, _), (other, _)| one.cmp(other));
            Ok(objects)
        })?;
        Ok(parts.into_iter().flatten().collect())
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
