//! The handle on the kernel for one topology: where its namespaces are, and sockets into them.

use crate::error::KernelError;
use crate::marks;
use crate::namespace::{Namespace, Namespaces};
use crate::netlink::{Protocol, Socket};
use netloom_compile::object::Space;
use netloom_wire::{InterfaceName, NodeName};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most sockets that are kept open, as far as the limit of open files allows.
const SOCKETS: usize = 4096;

/// What a [`Kernel`] must know.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// Directory of the named namespaces, `/run/netns` as root. It also names the realm of processes.
    pub netns_dir: PathBuf,
    /// Directory of the logs of the nodes' commands.
    pub log_dir: PathBuf,
    /// The topology.
    pub topology: NodeName,
}

/// One topology in this kernel.
///
/// Space `host` is the network namespace of the thread that called [`Kernel::new`].
///
/// Sockets into namespaces are kept between calls, which keeps these namespaces alive: a process that
/// lives on calls [`Kernel::release`] after each round of work, or drops the value.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) config: KernelConfig,
    pub(crate) namespaces: Namespaces,
    pub(crate) host: Arc<Namespace>,
    sockets: Mutex<HashMap<(Space, Protocol), Kept>>,
    /// Most of them.
    most: usize,
    /// Bonds whose preferred port did not exist yet when they were made.
    pub(crate) primaries: Mutex<HashMap<(Space, InterfaceName), InterfaceName>>,
}

/// A fifth of the open files that this process may have leaves enough for everything else.
fn most_sockets() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(SOCKETS, |limit| usize::try_from(limit / 5).unwrap_or(SOCKETS).clamp(8, SOCKETS))
}

#[derive(Debug)]
struct Kept {
    inode: u64,
    socket: Socket,
}

impl Kernel {
    /// For a topology, seen from the calling thread's network namespace.
    ///
    /// # Errors
    /// Without `/proc`.
    pub fn new(config: KernelConfig) -> Result<Self, KernelError> {
        let namespaces = Namespaces::new(config.netns_dir.clone(), config.topology.clone());
        Ok(Self {
            config,
            namespaces,
            host: Arc::new(Namespace::current()?),
            sockets: Mutex::default(),
            most: most_sockets(),
            primaries: Mutex::default(),
        })
    }

    /// The topology.
    #[must_use]
    pub const fn topology(&self) -> &NodeName {
        &self.config.topology
    }

    /// The named namespaces of the topology.
    #[must_use]
    pub const fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Name of our packet-filter table: a node's namespace is ours alone, the host's is not.
    #[must_use]
    pub fn table(&self, space: &Space) -> String {
        marks::table(space, &self.config.topology)
    }

    /// Closes every socket that is kept, so that no namespace lives because of us.
    pub fn release(&self) {
        self.kept().clear();
    }

    /// Closes the sockets into one namespace.
    pub(crate) fn release_space(&self, space: &Space) {
        self.kept().retain(|(kept, _), _| kept != space);
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<(Space, Protocol), Kept>> {
        // What a panicking thread left is a map of open sockets, as good as before.
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Identifies the namespace that is mounted now.
    fn inode(&self, space: &Space) -> Option<u64> {
        match space {
            Space::Host => Some(0),
            Space::Node(node) => std::fs::metadata(self.namespaces.path(node)).ok().map(|data| data.ino()),
        }
    }

    /// Runs `body` with the namespace of `space`; `None` if there is none.
    pub(crate) fn with_namespace<T>(
        &self,
        space: &Space,
        body: impl FnOnce(&Namespace) -> Result<T, KernelError>,
    ) -> Result<Option<T>, KernelError> {
        match space {
            Space::Host => body(&self.host).map(Some),
            Space::Node(node) => match self.namespaces.open(node)? {
                Some(namespace) => body(&namespace).map(Some),
                None => Ok(None),
            },
        }
    }

    /// Runs `body` with a socket into `space`; `None` if there is no such namespace.
    pub(crate) fn with_socket<T>(
        &self,
        space: &Space,
        protocol: Protocol,
        body: impl FnOnce(&mut Socket) -> T,
    ) -> Result<Option<T>, KernelError> {
        let Some(inode) = self.inode(space) else {
            self.release_space(space);
            return Ok(None);
        };
        let name = (space.clone(), protocol);
        let kept = self.kept().remove(&name).filter(|kept| kept.inode == inode);
        let mut socket = match kept {
            Some(kept) => kept.socket,
            None => match self.with_namespace(space, |namespace| namespace.socket(protocol))? {
                Some(socket) => socket,
                None => return Ok(None),
            },
        };
        let result = body(&mut socket);
        let mut all = self.kept();
        if all.len() >= self.most {
            all.clear();
        }
        all.insert(name, Kept { inode, socket });
        Ok(Some(result))
    }
}
