//! Shaping: HTB trees, token buckets, libvirt's bandwidth element.

use super::OneOrMany;
use crate::document::Spanned;
use crate::scalar::{InterfaceRef, Prefix, Rate, Service, Size, TimeSpan};
use netloom_wire::{Dscp, NodeName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Shaping of what leaves by an interface: one of `htb`, `tbf`, `bandwidth`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Qos {
    /// The interface.
    pub on: Spanned<InterfaceRef>,
    /// A tree of classes that share a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub htb: Option<Spanned<Htb>>,
    /// One rate for everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tbf: Option<Spanned<Tbf>>,
    /// libvirt's `<bandwidth>` of a network port, with its units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Spanned<Bandwidth>>,
}

/// A hierarchical token bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Htb {
    /// What the whole tree may send.
    pub rate: Spanned<Rate>,
    /// The class of what no match fits.
    pub default: Spanned<NodeName>,
    /// The classes by name.
    #[schemars(extend("propertyNames" = serde_json::json!({ "format": "node-name" })))]
    pub classes: BTreeMap<Spanned<NodeName>, HtbClass>,
}

/// A class of an HTB tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HtbClass {
    /// What it gets in any case.
    pub rate: Spanned<Rate>,
    /// What it may borrow up to; the rate if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceil: Option<Spanned<Rate>>,
    /// Who borrows first; smaller first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 7))]
    pub priority: Option<u8>,
    /// How much may go at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Spanned<Size>>,
    /// The class above; the whole tree if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Spanned<NodeName>>,
    /// Which packets belong to it: any of these.
    #[serde(default, rename = "match", skip_serializing_if = "OneOrMany::is_empty")]
    pub matches: OneOrMany<Spanned<ClassMatch>>,
}

/// Packets by address, service and DSCP; all that are given must fit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ClassMatch {
    /// Source prefix.
    pub from: Option<Spanned<Prefix>>,
    /// Destination prefix.
    pub to: Option<Spanned<Prefix>>,
    /// Service by destination port.
    pub service: Option<Spanned<Service>>,
    /// Service by source port (answers of a server).
    pub reply: Option<Spanned<Service>>,
    /// Differentiated-services code point.
    pub dscp: Option<Spanned<Dscp>>,
}

/// A token bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tbf {
    /// The rate.
    pub rate: Spanned<Rate>,
    /// How much may go at once; computed from the rate if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Spanned<Size>>,
    /// How long a packet may wait; 50ms if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Spanned<TimeSpan>>,
}

/// libvirt's `<bandwidth>`: inbound is to the node, outbound from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Bandwidth {
    /// Traffic to the node.
    pub inbound: Option<Spanned<BandwidthSide>>,
    /// Traffic from the node.
    pub outbound: Option<Spanned<BandwidthSide>>,
}

/// One direction. Units as in libvirt: kilobytes (1024 bytes) a second; burst in kibibytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BandwidthSide {
    /// Average rate in kilobytes a second.
    #[schemars(range(min = 1))]
    pub average: u64,
    /// Highest rate in kilobytes a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// How much may go at the peak rate, in kibibytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// Guaranteed rate in kilobytes a second; inbound only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<u64>,
}
