//! Why the kernel could not be observed or changed: facts, the kernel's own words, and the way out.

use crate::netlink::{NetlinkError, Refusal};
use crate::nft::NftError;
use crate::tc::TcError;
use netloom_compile::object::Key;
use rustix::io::Errno;
use std::path::PathBuf;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// The kernel refused to make, change or delete an object.
    #[error("cannot {verb} {} {key}: {refusal}{}", key.kind(), advice(refusal))]
    Refused {
        /// `create`, `change` or `delete`.
        verb: &'static str,
        /// The object.
        key: Box<Key>,
        /// The kernel's reason.
        refusal: Refusal,
    },
    /// Something that is not ours has the object's name.
    #[error("cannot create {} {key}: it exists and is not ours; rename yours or remove it by hand", key.kind())]
    Occupied {
        /// The object.
        key: Box<Key>,
    },
    /// The kernel lacks what the object is made of.
    #[error("cannot create {} {key}: this kernel lacks {feature}", key.kind())]
    Missing {
        /// The object.
        key: Box<Key>,
        /// The kernel's part, like `the ipvlan driver (CONFIG_IPVLAN)`.
        feature: String,
    },
    /// An object names another one that is not there.
    #[error("cannot {verb} {} {key}: there is no {what}", key.kind())]
    Absent {
        /// `create`, `change` or `delete`.
        verb: &'static str,
        /// The object.
        key: Box<Key>,
        /// What is missing.
        what: String,
    },
    /// The exchange with the kernel itself failed.
    #[error("{doing}: {source}")]
    Netlink {
        /// What was done.
        doing: String,
        /// The failure.
        source: NetlinkError,
    },
    /// The packet filter of a namespace could not be read or changed.
    #[error("cannot {verb} {} {key}: {source}", key.kind())]
    Filter {
        /// `create`, `change`, `delete` or `observe`.
        verb: &'static str,
        /// The object.
        key: Box<Key>,
        /// The failure.
        source: Box<NftError>,
    },
    /// Packets can't be traced through the packet filters of a namespace.
    #[error("packets can't be traced through the packet filters of {space}: {source}")]
    Trace {
        /// The namespace.
        space: String,
        /// The failure.
        source: Box<NftError>,
    },
    /// The queueing of an interface could not be read or changed.
    #[error("cannot {verb} {} {key}: {source}", key.kind())]
    Queueing {
        /// `create`, `change`, `delete` or `observe`.
        verb: &'static str,
        /// The object.
        key: Box<Key>,
        /// The failure.
        source: Box<TcError>,
    },
    /// A file or a system call failed.
    #[error("{doing} {}: {}{}", path.display(), std::io::Error::from(*errno), advice_io(*errno))]
    Io {
        /// What was done, like `mounting`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The error number.
        errno: Errno,
    },
    /// An operation makes no sense: its key and its spec are of different kinds.
    #[error("the operation on {} {key} carries the description of something else", key.kind())]
    Mismatch {
        /// The object.
        key: Box<Key>,
    },
}

impl KernelError {
    /// The error number, if there is one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.errno),
            Self::Io { errno, .. } => Some(*errno),
            Self::Netlink { source, .. } => source.errno(),
            Self::Filter { source, .. } => source.errno(),
            Self::Queueing { source, .. } => source.errno(),
            _ => None,
        }
    }

    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
        error: impl Into<std::io::Error>,
    ) -> Self {
        let error = error.into();
        Self::Io { doing, path: path.into(), errno: Errno::from_io_error(&error).unwrap_or(Errno::IO) }
    }

    pub(crate) fn netlink(doing: impl Into<String>) -> impl FnOnce(NetlinkError) -> Self {
        move |source| Self::Netlink { doing: doing.into(), source }
    }

    /// The failure of an operation on `key`.
    pub(crate) fn on(verb: &'static str, key: &Key) -> impl FnOnce(NetlinkError) -> Self {
        move |source| match source {
            NetlinkError::Refused(refusal) => Self::Refused { verb, key: Box::new(key.clone()), refusal },
            source => Self::Netlink { doing: format!("{verb} {} {key}", key.kind()), source },
        }
    }
}

/// The way out of a refusal, where there is a common one.
fn advice(refusal: &Refusal) -> &'static str {
    match refusal.errno {
        // The kernel's own words say that it is something else.
        Errno::PERM | Errno::ACCESS if refusal.text.is_none() => {
            "; the right to change this network is missing: run as root, or without root let netloom make its own user namespace"
        }
        Errno::OPNOTSUPP => "; this kernel lacks it: `netloom doctor` shows what it has",
        Errno::EXIST => "; something else has this name or number",
        Errno::NOBUFS | Errno::NOMEM => "; the kernel is out of memory for this",
        _ => "",
    }
}

const fn advice_io(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM | Errno::ACCESS => {
            "; run as root, or without root let netloom make its own user namespace"
        }
        Errno::MFILE => "; raise the limit of open files (ulimit -n)",
        Errno::NOSPC => "; user.max_net_namespaces or the memory limit is reached",
        _ => "",
    }
}
