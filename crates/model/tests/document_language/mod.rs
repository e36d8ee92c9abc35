//! A small language for the tests of the document stages: every construct that schemars writes for serde types,
//! independent of the real language, so that a change there does not change what is expected here.
#![allow(dead_code, unreachable_pub)]

pub mod mutation;

use netloom_model::document::{FormatChecker, Spanned};
use netloom_wire::{InterfaceName, MacAddr, NodeName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// Version of the language.
    #[schemars(range(min = 1, max = 2))]
    pub version: u8,
    pub name: Spanned<NodeName>,
    #[serde(default)]
    pub vars: BTreeMap<String, Scalar>,
    #[serde(default)]
    #[schemars(extend("propertyNames" = serde_json::json!({ "format": "node-name" })))]
    pub nodes: BTreeMap<Spanned<NodeName>, Node>,
    #[serde(default)]
    pub links: Vec<Spanned<Link>>,
    #[serde(default)]
    pub actions: Vec<Action>,
    #[serde(default)]
    pub tables: BTreeMap<u16, Spanned<String>>,
    #[serde(default)]
    pub stance: Option<Stance>,
    #[serde(default)]
    pub tags: BTreeSet<String>,
    #[serde(default)]
    pub pair: Option<(u8, String)>,
    #[serde(default)]
    pub meta: Option<Meta>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Node {
    pub mac: Option<Spanned<MacAddr>>,
    pub address: Vec<Spanned<Ipv4Addr>>,
    #[schemars(range(min = 68, max = 65535))]
    pub mtu: Option<Spanned<u16>>,
    pub loss: Option<f64>,
    pub up: Option<bool>,
    #[schemars(length(min = 1, max = 3))]
    pub run: Option<Vec<String>>,
    pub sysctls: BTreeMap<String, Scalar>,
    pub interfaces: BTreeMap<InterfaceName, Interface>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Interface {
    pub network: Option<NodeName>,
    pub vlan: Option<netloom_wire::VlanId>,
}

/// Told apart by a tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Link {
    Veth {
        a: Spanned<NodeName>,
        b: Spanned<NodeName>,
    },
    Vxlan {
        id: Spanned<u32>,
        #[serde(default)]
        port: Option<u16>,
    },
    Dummy,
}

/// Told apart by the only key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Drop,
    Accept,
    Mark(u32),
    Limit {
        rate: u32,
        #[serde(default)]
        burst: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stance {
    /// Let everything through.
    AllowAll,
    /// Let nothing through.
    DenyAll,
}

/// Told apart by nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    Bool(bool),
    Number(i64),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Meta {
    pub owner: String,
    #[serde(flatten)]
    pub contact: Contact,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    pub mail: Spanned<String>,
    #[serde(default)]
    pub floor: Option<i8>,
}

/// The formats of this language.
pub struct Formats;

impl FormatChecker for Formats {
    fn check(&self, format: &str, text: &str) -> Option<Result<(), String>> {
        fn by<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Option<Result<(), String>> {
            Some(text.parse::<T>().map(|_| ()).map_err(|error| error.to_string()))
        }
        match format {
            "mac-address" => by::<MacAddr>(text),
            "node-name" => by::<NodeName>(text),
            "interface-name" => by::<InterfaceName>(text),
            "ipv4" => by::<Ipv4Addr>(text),
            _ => None,
        }
    }
}

/// A document of this language that uses all of it.
pub const GOOD: &str = r#"# Everything once.
version: 1
name: shop
vars:
  site: north
  mtu: 1400
  secure: true
nodes:
  web: &base
    mac: 02:00:00:00:00:01
    address: [10.0.0.1, 10.0.0.2]
    mtu: ${mtu}
    loss: 0.5
    up: ${secure}
    run:
      - sh
      - -c
      - "echo ${site} $${HOME}"
    sysctls:
      net.ipv4.ip_forward: 1
      net.core.somaxconn: "4096"
    interfaces:
      eth0: {network: lan, vlan: 10}
  ${site}-copy: *base
  empty: {}
links:
  - kind: veth
    a: web
    b: empty
  - {kind: vxlan, id: 100}
  - kind: dummy
actions: [drop, accept, mark: 7, {limit: {rate: 10}}]
tables:
  100: isp-a
  200: isp-b
stance: deny-all
tags: [a, b]
pair: [3, three]
meta: {owner: ann, mail: ann@example.org, floor: -1}
"#;
