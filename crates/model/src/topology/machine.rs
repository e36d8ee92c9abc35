//! Virtual machines: nodes whose network stack is somebody else's, behind a socket of the switch.

use crate::document::Spanned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a node is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Machine {
    /// A network namespace of this machine.
    #[default]
    Namespace,
    /// A virtual machine that somebody else starts: each of its interfaces is a vhost-user socket of the switch.
    Vm,
}

/// The socket behind an interface of a virtual machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Socket {
    /// Who listens; `server` if absent.
    pub mode: SocketMode,
    /// Its file, from the root; one in the run directory if absent.
    #[schemars(with = "Option<String>")]
    pub path: Option<Spanned<String>>,
    /// Number of the user who may connect; the user of Netloom if absent.
    pub user: Option<u32>,
    /// Number of the group that may connect; nobody but the user if absent.
    pub group: Option<u32>,
    /// Whether checksums and segments may be left to the other side; true if absent.
    pub offloads: Option<bool>,
}

/// Who listens on a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SocketMode {
    /// The switch listens; the machine connects, and again when the switch was restarted.
    #[default]
    Server,
    /// The machine listens; the switch connects as soon as it can, and again when the machine was restarted.
    Client,
}
