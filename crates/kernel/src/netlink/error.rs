//! What can go wrong between us and the kernel.

use rustix::io::Errno;
use std::fmt;

/// The kernel's "no" to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The kernel's own words (`NLMSGERR_ATTR_MSG`), where it has any.
    pub text: Option<String>,
    /// Offset in octets of the attribute it objects to, from the start of the request.
    pub offset: Option<u32>,
}

impl Refusal {
    /// A refusal without the kernel's own words.
    #[must_use]
    pub const fn new(errno: Errno) -> Self {
        Self { errno, text: None, offset: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", std::io::Error::from(self.errno))?;
        if let Some(text) = &self.text {
            write!(f, ": {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

/// Why an exchange with the kernel failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetlinkError {
    /// A system call on the socket failed.
    #[error("{doing} a netlink socket: {}", std::io::Error::from(*.errno))]
    Io {
        /// What was done.
        doing: &'static str,
        /// The error number.
        errno: Errno,
    },
    /// The kernel refused the request.
    #[error("{0}")]
    Refused(Refusal),
    /// The kernel dropped answers because our buffer was full.
    #[error("the kernel dropped netlink answers; raise net.core.rmem_max")]
    Overflow,
    /// The table changed during each of several dumps.
    #[error("the kernel's table changed during {0} dumps in a row; try again")]
    Interrupted(u32),
    /// A request got no verdict.
    #[error("the kernel gave no answer to a netlink request")]
    Unanswered,
    /// An answer is shorter than its own length says.
    #[error("the kernel sent a malformed netlink message")]
    Malformed,
    /// The kernel has no generic netlink family of this name.
    #[error("the kernel has no generic netlink family `{0}`; its module is missing")]
    NoFamily(String),
}

impl NetlinkError {
    /// The error number, if there is one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Io { errno, .. } => Some(*errno),
            Self::Refused(refusal) => Some(refusal.errno),
            Self::NoFamily(_) => Some(Errno::OPNOTSUPP),
            _ => None,
        }
    }
}

impl From<Refusal> for NetlinkError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
