//! The tests of a file, run on the real network.
//!
//! What: [`resolve`](resolve::resolve) turns what the user wrote (groups, names) into [`Check`]s between two
//! nodes; [`run`] runs them with probes and says for each whether it held and how one knows.
//!
//! Invariants: a check that can't be run (no such address, no namespace) has failed, never passed. Checks
//! that need the same port of the same node never run at once; bandwidth is measured alone.

pub mod resolve;
mod run;

pub use run::{CheckResult, run};

use netloom_wire::NodeName;
use serde::Serialize;
use std::net::IpAddr;
use std::time::Duration;

/// What to reach, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Echo requests.
    Icmp,
    /// A connection.
    Tcp {
        /// The port that is talked to.
        port: u16,
        /// The port that listens, behind a mapping.
        listen: u16,
    },
    /// A datagram that is answered.
    Udp {
        /// The port that is talked to.
        port: u16,
        /// The port that listens, behind a mapping.
        listen: u16,
    },
    /// A request for `/`.
    Http {
        /// The port that is talked to.
        port: u16,
        /// The port that listens, behind a mapping.
        listen: u16,
    },
}

impl std::fmt::Display for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Icmp => f.write_str("icmp"),
            Self::Tcp { port, .. } => write!(f, "tcp/{port}"),
            Self::Udp { port, .. } => write!(f, "udp/{port}"),
            Self::Http { port, .. } => write!(f, "http/{port}"),
        }
    }
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "expect", rename_all = "kebab-case")]
pub enum Expectation {
    /// The target is reached.
    Reach {
        /// By this.
        over: Over,
    },
    /// The target is not reached, however long one tries.
    Blocked {
        /// By this.
        over: Over,
    },
    /// The rate, in bits a second, is within a share of the expected one.
    Bandwidth {
        /// Expected bits a second.
        rate: u64,
        /// Allowed deviation as a fraction.
        tolerance: f64,
        /// How long to measure.
        duration: Duration,
        /// TCP port, 0 for any.
        port: u16,
    },
    /// At most this share of echo requests is lost.
    Loss {
        /// Largest share, as a fraction.
        at_most: f64,
        /// How many are sent.
        count: u32,
    },
    /// The way leads through these nodes and networks, in this order.
    Path {
        /// Names.
        through: Vec<NodeName>,
    },
}

/// A target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// The node that has the address, or that a mapping leads to.
    pub node: Option<NodeName>,
    /// The address that is talked to; none could be found if absent.
    pub address: Option<IpAddr>,
}

/// One check between two nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What it shows.
    pub name: String,
    /// Line of the file.
    pub line: u32,
    /// Where it begins.
    pub from: NodeName,
    /// Where it goes.
    pub to: Target,
    /// What must hold.
    #[serde(flatten)]
    pub expectation: Expectation,
    /// How long to try.
    pub within: Duration,
}
