//! What can go wrong with a packet-filter table.

use crate::netlink::{NetlinkError, Refusal};
use netloom_compile::object::firewall::FirewallFault;
use rustix::io::Errno;

/// Why a table could not be applied, observed or deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NftError {
    /// The kernel has no nf_tables.
    #[error("this kernel has no nf_tables (CONFIG_NF_TABLES); policies, forwards and NAT need it")]
    Absent,
    /// The table cannot work; the kernel was not asked. At least one fault.
    #[error("the packet filter cannot work: {}", list(.0))]
    Faults(Vec<FirewallFault>),
    /// A rule is longer than the kernel takes.
    #[error("{place} needs {expressions} expressions, the kernel takes 128; split it into several rules")]
    TooLong {
        /// The rule.
        place: String,
        /// How many it needs.
        expressions: usize,
    },
    /// The kernel refused a part of the table; nothing was changed.
    #[error("the kernel refused {what}: {refusal}{}{}", hint(.refusal.errno, .missing.as_deref()), more(*.others))]
    Refused {
        /// The part: the table, a chain, a set, or a rule with its place in the user's file.
        what: String,
        /// The kernel's words.
        refusal: Refusal,
        /// The expression or chain type the kernel does not have.
        missing: Option<String>,
        /// How many other parts were refused as well.
        others: usize,
    },
    /// The table is too large for the socket and could not be divided.
    #[error(
        "the packet filter is too large for the socket ({octets} octets at once); raise net.core.wmem_max"
    )]
    TooLarge {
        /// Size of the largest part that has to be sent at once.
        octets: usize,
    },
    /// The tables changed during each of several observations.
    #[error("somebody changed the packet filter during {0} observations in a row; try again")]
    Unstable(u32),
    /// The exchange with the kernel failed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

fn list(faults: &[FirewallFault]) -> String {
    let mut text = faults.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if faults.len() > 3 {
        text.push_str(&format!("; and {} more", faults.len() - 3));
    }
    text
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} other parts)") }
}

fn hint(errno: Errno, missing: Option<&str>) -> String {
    if let Some(name) = missing {
        return format!("; this kernel has no nf_tables `{name}`");
    }
    match errno {
        Errno::PERM => "; it needs CAP_NET_ADMIN in this network namespace".to_owned(),
        Errno::NODEV => "; the device does not exist".to_owned(),
        _ => String::new(),
    }
}

impl NftError {
    /// The error number, if the kernel gave one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.errno),
            Self::Netlink(error) => error.errno(),
            _ => None,
        }
    }
}
