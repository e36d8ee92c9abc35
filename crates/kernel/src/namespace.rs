//! Named network namespaces, as `ip netns` makes them: a file onto which the namespace is mounted.
//!
//! The file of a node is `TOPOLOGY.NODE` in a directory that the caller chooses (`/run/netns` as root).
//!
//! Invariants:
//! - A namespace is marked (the alias of its `lo`) and its `lo` is up before its file appears, so that
//!   a namespace that can be seen can be told to be ours, wherever we were killed.
//! - An empty file that is no mount and has a name of ours is what a kill between the two steps left:
//!   it is used or removed, never shown.
//! - Nothing here keeps a namespace alive: handles are short-lived.
//!
//! Costs: a new namespace takes the kernel about a millisecond; many are made by two threads.

use crate::error::KernelError;
use crate::link::header;
use crate::marks;
use crate::netlink::{Messages, Protocol, Socket};
use netloom_compile::object::{Key, Space};
use netloom_wire::NodeName;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::thread::LinkNameSpaceType;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `NSFS_MAGIC` (linux/magic.h): the file system of mounted namespaces.
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// The loopback interface has this index in every namespace (`LOOPBACK_IFINDEX`, net/flow.h).
pub(crate) const LOOPBACK_INDEX: u32 = 1;

/// Set in each new namespace so that one change does not undo another: deleting an address must not take
/// the others of its subnet along, nor taking an interface down (to join a bond) its IPv6 addresses.
const CAREFUL: [(&str, &str); 2] =
    [("net/ipv4/conf/all/promote_secondaries", "1"), ("net/ipv6/conf/all/keep_addr_on_down", "1")];

/// A handle on a network namespace, which lives at least as long.
#[derive(Debug)]
pub struct Namespace {
    file: OwnedFd,
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Namespace {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// Without `/proc`.
    pub fn current() -> Result<Self, KernelError> {
        let path = "/proc/thread-self/ns/net";
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| KernelError::io("opening", path, error))?;
        Ok(Self { file })
    }

    /// The namespace mounted at `path`; `None` if there is no such file or no namespace is mounted there.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Option<Self>, KernelError> {
        let file = match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(KernelError::io("opening", path, error)),
        };
        let system = rustix::fs::fstatfs(&file).map_err(|error| KernelError::io("examining", path, error))?;
        Ok((system.f_type as u64 == NSFS_MAGIC).then_some(Self { file }))
    }

    /// Moves the calling thread into the namespace. Only for threads that end or go elsewhere afterwards.
    ///
    /// # Errors
    /// Without the right to.
    pub fn enter(&self) -> Result<(), KernelError> {
        rustix::thread::move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| KernelError::io("entering", "the network namespace", error))
    }

    /// Runs `body` inside, in a thread of its own.
    ///
    /// # Errors
    /// Without the right to enter, or when no thread can be started.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("netloom-inside".to_owned())
                .spawn_scoped(scope, || {
                    self.enter()?;
                    Ok(body())
                })
                .map_err(|error| KernelError::io("starting", "a thread", error))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Opens a netlink socket inside; it stays there.
    ///
    /// # Errors
    /// As [`Namespace::run`] and [`Socket::open`].
    pub fn socket(&self, protocol: Protocol) -> Result<Socket, KernelError> {
        self.run(|| Socket::open(protocol))?.map_err(KernelError::netlink("opening a netlink socket"))
    }
}

/// The named namespaces of one topology.
#[derive(Debug, Clone)]
pub struct Namespaces {
    directory: PathBuf,
    topology: NodeName,
}

impl Namespaces {
    /// Those of `topology` in `directory`, which must exist before one is made.
    #[must_use]
    pub const fn new(directory: PathBuf, topology: NodeName) -> Self {
        Self { directory, topology }
    }

    /// Where the namespace of a node is mounted.
    #[must_use]
    pub fn path(&self, node: &NodeName) -> PathBuf {
        self.directory.join(format!("{}.{node}", self.topology))
    }

    /// The nodes whose names the directory holds, sorted; whether they are marked shows only inside.
    ///
    /// # Errors
    /// When the directory cannot be read; one that does not exist is empty.
    pub fn list(&self) -> Result<Vec<NodeName>, KernelError> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(KernelError::io("reading", &self.directory, error)),
        };
        let prefix = format!("{}.", self.topology);
        let mut nodes: Vec<NodeName> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok())
            .collect();
        nodes.sort();
        Ok(nodes)
    }

    /// The namespace of a node, if it is there.
    ///
    /// # Errors
    /// As [`Namespace::open`].
    pub fn open(&self, node: &NodeName) -> Result<Option<Namespace>, KernelError> {
        Namespace::open(&self.path(node))
    }

    /// Makes the namespaces of `nodes` and gives one verdict for each. One that exists and is ours is
    /// as good as made.
    #[must_use]
    pub fn create(&self, nodes: &[&NodeName]) -> Vec<Result<(), KernelError>> {
        // A kernel with two processors makes two at once; more only wait for the same locks.
        let half = if nodes.len() < 4 { nodes.len() } else { nodes.len().div_ceil(2) };
        std::thread::scope(|scope| {
            let workers: Vec<_> = nodes
                .chunks(half.max(1))
                .map(|part| {
                    scope.spawn(move || part.iter().map(|node| self.create_here(node)).collect::<Vec<_>>())
                })
                .collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, Vec<_>>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().flat_map(join).collect()
        })
    }

    /// Makes one namespace in the calling thread, which is in it afterwards.
    fn create_here(&self, node: &NodeName) -> Result<(), KernelError> {
        let path = self.path(node);
        if let Some(existing) = Namespace::open(&path)? {
            return if self.owns(&existing, node)? {
                Ok(())
            } else {
                Err(KernelError::Occupied { key: Box::new(namespace_key(node)) })
            };
        }
        crate::sys::unshare_network().map_err(|error| KernelError::io("making", &path, error))?;
        let mut socket =
            Socket::open(Protocol::Route).map_err(KernelError::netlink("opening a netlink socket"))?;
        let mut messages = Messages::new();
        messages
            .add(libc::RTM_SETLINK, 0)
            .header(&header(0, LOOPBACK_INDEX, libc::IFF_UP as u32, libc::IFF_UP as u32))
            .text(libc::IFLA_IFALIAS, &marks::namespace_alias(&self.topology, node));
        let key = namespace_key(node);
        for verdict in socket.batch(&mut messages).map_err(KernelError::on("create", &key))? {
            verdict.map_err(|refusal| KernelError::on("create", &key)(refusal.into()))?;
        }
        for (path, value) in CAREFUL {
            // Without IPv6 the second does not exist.
            let _ = crate::sysctl::write(path, value);
        }
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o444))
            .map_err(|error| KernelError::io("making", &path, error))?;
        drop(file);
        rustix::mount::mount_bind("/proc/thread-self/ns/net", &path)
            .map_err(|error| KernelError::io("mounting", &path, error))
    }

    /// Whether a namespace carries the mark of this topology's `node`.
    ///
    /// # Errors
    /// When it cannot be entered or asked.
    pub fn owns(&self, namespace: &Namespace, node: &NodeName) -> Result<bool, KernelError> {
        let mut socket = namespace.socket(Protocol::Route)?;
        Ok(loopback_alias(&mut socket)?
            .is_some_and(|alias| alias == marks::namespace_alias(&self.topology, node)))
    }

    /// Takes the file of a node's namespace away. The namespace itself ends with its last user.
    ///
    /// # Errors
    /// When the file cannot be unmounted or removed; a file that is gone is fine. One that is neither
    /// a namespace nor empty is not ours and is kept.
    pub fn delete(&self, node: &NodeName) -> Result<(), KernelError> {
        let path = self.path(node);
        loop {
            match rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
                // Whoever mounted over it twice is undone twice.
                Ok(()) => {}
                Err(Errno::INVAL | Errno::NOENT) => break,
                Err(error) => return Err(KernelError::io("unmounting", &path, error)),
            }
        }
        match std::fs::symlink_metadata(&path) {
            Ok(data) if data.is_file() && data.len() == 0 => {}
            Ok(_) => return Err(KernelError::Occupied { key: Box::new(namespace_key(node)) }),
            Err(_) => return Ok(()),
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(KernelError::io("removing", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Removes files of this topology that are empty and no namespace: what a kill left. Gives their nodes.
    ///
    /// # Errors
    /// When the directory cannot be read or a file not be removed.
    pub fn clean(&self) -> Result<Vec<NodeName>, KernelError> {
        let mut removed = Vec::new();
        for node in self.list()? {
            if self.open(&node)?.is_none() && self.delete(&node).is_ok() {
                removed.push(node);
            }
        }
        Ok(removed)
    }
}

fn namespace_key(node: &NodeName) -> Key {
    Key::Namespace { space: Space::Node(node.clone()) }
}

/// The alias of `lo` in the namespace of a socket.
pub(crate) fn loopback_alias(socket: &mut Socket) -> Result<Option<String>, KernelError> {
    let mut messages = Messages::new();
    messages.add(libc::RTM_GETLINK, 0).header(&header(0, LOOPBACK_INDEX, 0, 0));
    let replies = socket.request(&mut messages).map_err(KernelError::netlink("looking at lo"))?;
    let alias = replies.iter().find_map(|reply| {
        let alias = reply.attributes(16).get(libc::IFLA_IFALIAS)?.text()?;
        Some(alias.to_owned())
    });
    Ok(alias)
}
