//! What must be true of the running network.

use super::OneOrMany;
use crate::document::Spanned;
use crate::scalar::{Flow, Percent, Rate, Service, TimeSpan};
use netloom_wire::NodeName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One test: exactly one of `reach`, `blocked`, `bandwidth`, `loss`, `path`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Test {
    /// What it shows, for people; made from the rest if absent.
    pub name: Option<String>,
    /// These must reach each other.
    pub reach: Option<Spanned<Flow>>,
    /// These must not reach each other.
    pub blocked: Option<Spanned<Flow>>,
    /// The throughput between these must be `rate` within `tolerance`.
    pub bandwidth: Option<Spanned<Flow>>,
    /// The share of lost packets between these must be at most `at-most`.
    pub loss: Option<Spanned<Flow>>,
    /// The way between these must lead `through` these nodes.
    pub path: Option<Spanned<Flow>>,
    /// reach, blocked: by which services; icmp if absent. bandwidth: tcp or udp.
    pub over: OneOrMany<Spanned<Service>>,
    /// The address to talk to, where it is not the target's own (a forwarded one).
    pub address: Option<Spanned<std::net::IpAddr>>,
    /// bandwidth: what is expected.
    pub rate: Option<Spanned<Rate>>,
    /// bandwidth: how far it may be off; 10% if absent.
    pub tolerance: Option<Spanned<Percent>>,
    /// loss: the most that is allowed.
    pub at_most: Option<Spanned<Percent>>,
    /// loss: how many packets; 100 if absent.
    pub count: Option<u32>,
    /// path: nodes that must be on it, in this order.
    pub through: OneOrMany<Spanned<NodeName>>,
    /// How long to try before it counts as failed; 10s if absent, 1.2s for `blocked`.
    pub within: Option<Spanned<TimeSpan>>,
    /// bandwidth: how long to measure; 2s if absent.
    pub duration: Option<Spanned<TimeSpan>>,
    /// Use IPv6.
    pub ipv6: bool,
}
