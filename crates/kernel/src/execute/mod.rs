//! Executing: the operations of one step, in order, as few system calls as the order allows.
//!
//! What: requests for one namespace are gathered and sent together; whatever needs an answer first (an
//! interface's number) or goes another way (sysctl, packet filter, processes) sends the gathered ones before.
//!
//! Invariants:
//! - Every operation can be executed again after a kill at any point: deleting what is gone and creating
//!   what is exactly there succeed.
//! - What is there under an operation's name and is not ours is not touched: the operation fails.
//! - A link and its alias are made by one system call.
//!
//! Costs: one system call per gathered batch, one question per interface that a request names by number.

mod batch;
mod links;

use crate::address;
use crate::capability;
use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::neighbour::{self, Entry};
use crate::netlink::Protocol;
use crate::nft;
use crate::process::{self, Identity};
use crate::route::{self, Place};
use crate::rule;
use crate::sysctl;
use crate::tc;
use batch::{Batch, Verb};
use links::Target;
use netloom_compile::object::shaper::FilterKind;
use netloom_compile::object::{Comparison, Key, Mark, Operation, Owner, RouteAction, Space, Spec, compare};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::HashMap;

impl Kernel {
    /// Executes one step's operations in order. `owner` goes into the marks of what is created.
    ///
    /// # Errors
    /// The first operation that failed, with the object and the kernel's reason; later ones were not
    /// begun, except those sent in one batch with it.
    pub fn execute(&self, owner: &Owner, operations: &[Operation]) -> Result<(), KernelError> {
        let mut execution = Execution {
            kernel: self,
            alias: crate::marks::alias(owner),
            batch: Batch::new(self),
            known: HashMap::new(),
        };
        let mut rest = operations;
        while let Some((first, more)) = rest.split_first() {
            let namespaces = rest
                .iter()
                .take_while(|next| {
                    matches!(next, Operation::Create { key: Key::Namespace { space: Space::Node(_) }, .. })
                })
                .count();
            let settings = settings(rest);
            if namespaces > 1 {
                let (these, after) = rest.split_at(namespaces);
                self.create_namespaces(these)?;
                rest = after;
            } else if settings.len() > 1 {
                execution.batch.flush()?;
                execution.set(first, &settings)?;
                rest = rest.get(settings.len()..).unwrap_or_default();
            } else {
                execution.one(first)?;
                rest = more;
            }
        }
        execution.batch.flush()
    }

    fn create_namespaces(&self, operations: &[Operation]) -> Result<(), KernelError> {
        let nodes: Vec<&NodeName> =
            operations.iter().filter_map(|operation| node(operation.key().space())).collect();
        self.namespaces.create(&nodes).into_iter().collect()
    }
}

const fn node(space: &Space) -> Option<&NodeName> {
    match space {
        Space::Host => None,
        Space::Node(node) => Some(node),
    }
}

/// The sysctls of one space, with their values, that `operations` begin with.
fn settings(operations: &[Operation]) -> Vec<(&str, &str)> {
    let space = operations.first().map(|first| first.key().space());
    let setting = |operation| match operation {
        &Operation::Create { ref key, spec: Spec::Sysctl { ref value } }
        | &Operation::Change { ref key, to: Spec::Sysctl { ref value }, .. } => match key {
            Key::Sysctl { space: its, path } if Some(its) == space => Some((&**path, &**value)),
            _ => None,
        },
        _ => None,
    };
    operations.iter().map_while(setting).collect()
}

/// The state of one call.
struct Execution<'a> {
    kernel: &'a Kernel,
    alias: String,
    batch: Batch<'a>,
    /// Numbers of interfaces that were asked for.
    known: HashMap<(Space, InterfaceName), links::Known>,
}

impl Execution<'_> {
    fn one(&mut self, operation: &Operation) -> Result<(), KernelError> {
        match operation {
            Operation::Create { key, spec } => match (key, spec) {
                (Key::Link { space, name }, Spec::Link(link)) => {
                    self.create_link(Target { verb: Verb::Create, key, space, name }, link)
                }
                (_, spec) => self.put(key, spec, None),
            },
            Operation::Change { key, from, to } => match (key, from, to) {
                (Key::Link { space, name }, Spec::Link(from), Spec::Link(to)) => {
                    self.change_link(Target { verb: Verb::Change, key, space, name }, from, to)
                }
                (_, from, to) => self.put(key, to, Some(from)),
            },
            Operation::Delete { key, spec } => self.delete(key, spec),
        }
    }

    /// Sets several sysctls of the space of `first` with one visit.
    fn set(&self, first: &Operation, settings: &[(&str, &str)]) -> Result<(), KernelError> {
        self.inside(Verb::Change, first.key(), first.key().space(), |namespace| {
            namespace.run(|| settings.iter().try_for_each(|(path, value)| sysctl::write(path, value)))?
        })
    }

    /// Creates an object that is no link or, where `from` says how it is, changes it.
    fn put(&mut self, key: &Key, spec: &Spec, from: Option<&Spec>) -> Result<(), KernelError> {
        let verb = if from.is_some() { Verb::Change } else { Verb::Create };
        let replace = from.is_some();
        match (key, spec) {
            (Key::Namespace { space: Space::Node(_) }, Spec::Namespace) => {
                self.batch.flush()?;
                let operation = Operation::Create { key: key.clone(), spec: spec.clone() };
                self.kernel.create_namespaces(&[operation])
            }
            // The host's namespace is there.
            (Key::Namespace { space: Space::Host }, Spec::Namespace) => Ok(()),
            (Key::Address { space, link, address }, Spec::Address) => {
                let index = self.index(Target { verb, key, space, name: link }, space, link)?;
                self.batch.add(space, verb, key, spec, |m| address::create(m, index, address))
            }
            (Key::Route { space, table, destination, metric }, Spec::Route(wanted)) => {
                let place = Place { table: *table, destination: *destination, metric: *metric };
                let mut indexes = HashMap::new();
                if let RouteAction::Forward { hops } = &wanted.action {
                    for device in hops.iter().filter_map(|hop| hop.device.as_ref()) {
                        indexes.insert(
                            device.clone(),
                            self.index(Target { verb, key, space, name: device }, space, device)?,
                        );
                    }
                }
                let index_of = |name: &InterfaceName| indexes.get(name).copied().unwrap_or_default();
                self.batch
                    .add(space, verb, key, spec, |m| route::create(m, &place, wanted, replace, index_of))
            }
            (Key::Rule { space, priority, family }, Spec::Rule(wanted)) => {
                if let Some(Spec::Rule(old)) = from {
                    self.batch
                        .add(space, Verb::Delete, key, spec, |m| rule::delete(m, *priority, *family, old))?;
                }
                self.batch.add(space, verb, key, spec, |m| rule::create(m, *priority, *family, wanted))
            }
            (Key::Neighbour { space, link, address }, Spec::Neighbour(wanted)) => {
                let index = self.index(Target { verb, key, space, name: link }, space, link)?;
                self.batch.add(space, verb, key, spec, |m| {
                    neighbour::create(m, index, *address, *wanted, replace);
                })
            }
            (Key::FdbEntry { space, link, mac, vlan, remote }, Spec::FdbEntry(wanted)) => {
                let index = self.index(Target { verb, key, space, name: link }, space, link)?;
                let entry = Entry { mac: *mac, vlan: *vlan, remote: *remote };
                self.batch.add(space, verb, key, spec, |m| {
                    neighbour::create_entry(m, index, &entry, *wanted, replace);
                })
            }
            (Key::Sysctl { space, path }, Spec::Sysctl { value }) => {
                self.batch.flush()?;
                self.inside(verb, key, space, |namespace| namespace.run(|| sysctl::write(path, value))?)
            }
            (Key::Firewall { space }, Spec::Firewall(firewall)) => {
                self.batch.flush()?;
                let table = self.kernel.table(space);
                let done = self
                    .kernel
                    .with_socket(space, Protocol::Netfilter, |socket| nft::apply(socket, &table, firewall))?;
                done.ok_or_else(|| absent(verb, key))?.map_err(|source| filter_error(verb, key, source))
            }
            (Key::Shaper { space, link }, Spec::Shaper(wanted)) => {
                let index = self.index(Target { verb, key, space, name: link }, space, link)?;
                self.batch.flush()?;
                let old = match from {
                    Some(Spec::Shaper(old)) => Some(&**old),
                    _ => None,
                };
                let kind = filter_kind();
                let done = self.kernel.with_socket(space, Protocol::Route, |socket| {
                    tc::apply(socket, index, old, wanted, kind)
                })?;
                done.ok_or_else(|| absent(verb, key))?.map_err(|source| queueing_error(verb, key, source))
            }
            (Key::Process { space, name }, Spec::Process(wanted)) => {
                self.batch.flush()?;
                self.start(verb, key, space, name, wanted)
            }
            _ => Err(KernelError::Mismatch { key: Box::new(key.clone()) }),
        }
    }

    fn delete(&mut self, key: &Key, spec: &Spec) -> Result<(), KernelError> {
        match (key, spec) {
            (Key::Namespace { space }, _) => {
                self.batch.flush()?;
                self.kernel.release_space(space);
                self.known.retain(|(known, _), _| known != space);
                node(space).map_or(Ok(()), |node| self.kernel.namespaces.delete(node))
            }
            (Key::Link { space, name }, Spec::Link(link)) => {
                self.delete_link(Target { verb: Verb::Delete, key, space, name }, link)
            }
            (Key::Address { space, link, address }, _) => match self.index_if_there(space, link)? {
                Some(index) => {
                    self.batch.add(space, Verb::Delete, key, spec, |m| address::delete(m, index, address))
                }
                None => Ok(()),
            },
            (Key::Route { space, table, destination, metric }, _) => {
                let place = Place { table: *table, destination: *destination, metric: *metric };
                self.batch.add(space, Verb::Delete, key, spec, |m| route::delete(m, &place))
            }
            (Key::Rule { space, priority, family }, Spec::Rule(rule)) => {
                self.batch.add(space, Verb::Delete, key, spec, |m| rule::delete(m, *priority, *family, rule))
            }
            (Key::Neighbour { space, link, address }, _) => match self.index_if_there(space, link)? {
                Some(index) => {
                    self.batch.add(space, Verb::Delete, key, spec, |m| neighbour::delete(m, index, *address))
                }
                None => Ok(()),
            },
            (Key::FdbEntry { space, link, mac, vlan, remote }, _) => {
                match self.index_if_there(space, link)? {
                    Some(index) => {
                        let entry = Entry { mac: *mac, vlan: *vlan, remote: *remote };
                        self.batch.add(space, Verb::Delete, key, spec, |m| {
                            neighbour::delete_entry(m, index, &entry)
                        })
                    }
                    None => Ok(()),
                }
            }
            (Key::Sysctl { space, path }, _) => {
                self.batch.flush()?;
                // What the host's value was before only the journal knows.
                if *space == Space::Host {
                    return Ok(());
                }
                let reset =
                    self.kernel.with_namespace(space, |namespace| match sysctl::fresh(namespace, path)? {
                        Some(value) => namespace.run(|| sysctl::write(path, &value))?,
                        None => Ok(()),
                    });
                match reset {
                    // Its interface is gone, and the parameter with it.
                    Err(KernelError::Io { errno: rustix::io::Errno::NOENT, .. }) => Ok(()),
                    other => other.map(|_| ()),
                }
            }
            (Key::Firewall { space }, _) => {
                self.batch.flush()?;
                let table = self.kernel.table(space);
                let done = self
                    .kernel
                    .with_socket(space, Protocol::Netfilter, |socket| nft::delete(socket, &table))?;
                done.unwrap_or(Ok(())).map_err(|source| filter_error(Verb::Delete, key, source))
            }
            (Key::Shaper { space, link }, _) => {
                let Some(index) = self.index_if_there(space, link)? else { return Ok(()) };
                self.batch.flush()?;
                let done =
                    self.kernel.with_socket(space, Protocol::Route, |socket| tc::delete(socket, index))?;
                match done.unwrap_or(Ok(())) {
                    Err(error) if error.errno().is_some_and(|errno| batch::GONE.contains(&errno)) => Ok(()),
                    other => other.map_err(|source| queueing_error(Verb::Delete, key, source)),
                }
            }
            (Key::Process { space: Space::Node(node), name }, _) => {
                self.batch.flush()?;
                let identity = Identity { node: node.clone(), name: name.clone() };
                process::stop(&self.kernel.config.netns_dir, &self.kernel.config.topology, &identity)
                    .map_err(|error| KernelError::io("ending", key.to_string(), error))
            }
            _ => Err(KernelError::Mismatch { key: Box::new(key.clone()) }),
        }
    }

    /// Runs `body` with an existing namespace.
    fn inside<T>(
        &self,
        verb: Verb,
        key: &Key,
        space: &Space,
        body: impl FnOnce(&crate::namespace::Namespace) -> Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        self.kernel.with_namespace(space, body)?.ok_or_else(|| absent(verb, key))
    }

    fn start(
        &self,
        verb: Verb,
        key: &Key,
        space: &Space,
        name: &std::sync::Arc<str>,
        wanted: &netloom_compile::object::Process,
    ) -> Result<(), KernelError> {
        let Space::Node(node) = space else {
            return Err(KernelError::Mismatch { key: Box::new(key.clone()) });
        };
        let identity = Identity { node: node.clone(), name: name.clone() };
        let config = &self.kernel.config;
        // Started before a kill, so it runs already.
        let running = process::observe(&config.netns_dir, &config.topology);
        match running.get(&identity) {
            Some(running) if running.process == *wanted => return Ok(()),
            Some(_) => process::stop(&config.netns_dir, &config.topology, &identity)
                .map_err(|error| KernelError::io("ending", key.to_string(), error))?,
            None => {}
        }
        let path = self.kernel.namespaces.path(node);
        let namespace = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(absent(verb, key)),
            Err(error) => return Err(KernelError::io("opening", path, error)),
        };
        let log = config.log_dir.join(format!("{}.{node}.{}.log", config.topology, name.replace('/', "_")));
        process::start(&namespace, &config.netns_dir, &config.topology, &identity, wanted, &log)
            .map_err(|error| KernelError::io("starting", wanted.command.join(" "), error))
    }
}

fn filter_error(verb: Verb, key: &Key, source: nft::NftError) -> KernelError {
    KernelError::Filter { verb: verb.word(), key: Box::new(key.clone()), source: Box::new(source) }
}

fn queueing_error(verb: Verb, key: &Key, source: tc::TcError) -> KernelError {
    KernelError::Queueing { verb: verb.word(), key: Box::new(key.clone()), source: Box::new(source) }
}

/// The classifier that this kernel has; `u32` if nothing can be found out.
fn filter_kind() -> FilterKind {
    capability::capabilities().map_or(FilterKind::U32, |found| tc::support(found).filter_kind())
}

/// The namespace is not there.
fn absent(verb: Verb, key: &Key) -> KernelError {
    let what = format!("namespace of {}", key.space());
    KernelError::Absent { verb: verb.word(), key: Box::new(key.clone()), what }
}

impl Kernel {
    /// What to say of a creation that the kernel refused with "exists": nothing, if it is exactly so and
    /// may be ours.
    fn settle_existing(&self, key: &Key, spec: &Spec) -> Result<(), KernelError> {
        let occupied = || KernelError::Occupied { key: Box::new(key.clone()) };
        let found = self.observe_one(key, spec)?.ok_or_else(occupied)?;
        if found.mark == Mark::Foreign {
            return Err(occupied());
        }
        match compare(&found.spec, spec) {
            Comparison::Same => Ok(()),
            Comparison::Change(_) | Comparison::Recreate(_) => {
                let mut execution = Execution {
                    kernel: self,
                    alias: String::new(),
                    batch: Batch::new(self),
                    known: HashMap::new(),
                };
                if matches!(spec, Spec::Link(_)) {
                    return Err(occupied());
                }
                execution.put(key, spec, Some(&found.spec))?;
                execution.batch.flush()
            }
        }
    }
}
