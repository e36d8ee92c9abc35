//! Who may talk to whom: policies at endpoints, firewalls at nodes, forwards.

use super::OneOrMany;
use crate::document::Spanned;
use crate::scalar::{Flow, PeerName, Service};
use netloom_wire::{InterfaceName, NodeName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What happens to what no rule speaks of, or what a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stance {
    /// Let it through.
    Allow,
    /// Drop it silently.
    Deny,
    /// Refuse it with an answer.
    Reject,
}

/// Who may talk to whom. Enforced in the namespace of each node that a rule can concern; answers to what
/// was allowed always pass. The first rule that fits decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policies {
    /// What happens to traffic that no rule speaks of.
    pub default: Spanned<Stance>,
    /// The rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Spanned<PolicyRule>>,
}

/// One rule: exactly one of `allow`, `deny`, `reject`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PolicyRule {
    /// Let these talk.
    pub allow: Option<Spanned<Flow>>,
    /// Drop what these say.
    pub deny: Option<Spanned<Flow>>,
    /// Refuse what these say.
    pub reject: Option<Spanned<Flow>>,
    /// Only these services; everything if absent.
    pub services: OneOrMany<Spanned<Service>>,
    /// Write a kernel log line for each new connection.
    pub log: bool,
}

/// The packet filter of a node. Answers to what was allowed always pass. The first rule that fits decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Firewall {
    /// What happens to forwarded traffic that no rule speaks of.
    pub default: Spanned<Stance>,
    /// What happens to traffic for the node itself that no rule speaks of; allow if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Spanned<Stance>>,
    /// The rules, for forwarded traffic and for traffic to the node itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Spanned<FirewallRule>>,
}

/// One rule of a firewall: exactly one of `allow`, `deny`, `reject`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FirewallRule {
    /// Let these talk.
    pub allow: Option<Spanned<Flow>>,
    /// Drop what these say.
    pub deny: Option<Spanned<Flow>>,
    /// Refuse what these say.
    pub reject: Option<Spanned<Flow>>,
    /// Only what arrives by this interface.
    pub input: Option<Spanned<InterfaceName>>,
    /// Only what leaves by this interface; such a rule concerns forwarded traffic only.
    pub output: Option<Spanned<InterfaceName>>,
    /// Only these services; everything if absent.
    pub services: OneOrMany<Spanned<Service>>,
    /// Write a kernel log line for each new connection.
    pub log: bool,
}

/// A mapping of a port or an address at a router or a NAT network to a node behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Forward {
    /// The router, or the nat or routed network, that maps.
    pub on: Spanned<NodeName>,
    /// Only what arrives by this interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Spanned<InterfaceName>>,
    /// Only what is addressed to this; any address of the router if absent. Needed for a 1:1 mapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Spanned<IpAddr>>,
    /// The service, like tcp/8080; without it the whole address is mapped, both ways (1:1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Spanned<Service>>,
    /// Where it goes: a node or an address.
    pub to: Spanned<PeerName>,
    /// Port there; the same if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
}
