//! Whole topologies from a few numbers.

use super::Medium;
use crate::document::Spanned;
use crate::scalar::Prefix;
use netloom_wire::NodeName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A generated topology. Nodes are named `PREFIXspine-1`, `PREFIXleaf-2`, `PREFIXhost-3` and so on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Generator {
    /// The shape.
    pub kind: Spanned<GeneratorKind>,
    /// What stands before every name; nothing if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Spanned<NodeName>>,
    /// What the inner nodes are; `switches` for linear, star, ring and tree, `routers` for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fabric: Option<Fabric>,
    /// Number of inner nodes: linear, ring, mesh, partial-mesh. star: number of hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub nodes: Option<Spanned<u32>>,
    /// Hosts at each inner node (at each edge node of a tree, leaf-spine or three-tier); 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub hosts: Option<Spanned<u32>>,
    /// partial-mesh: neighbours of each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub degree: Option<Spanned<u32>>,
    /// tree: levels of switches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 12))]
    pub depth: Option<Spanned<u32>>,
    /// tree: children of each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub fanout: Option<Spanned<u32>>,
    /// leaf-spine: spines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub spines: Option<Spanned<u32>>,
    /// leaf-spine: leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub leaves: Option<Spanned<u32>>,
    /// three-tier: core nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub core: Option<Spanned<u32>>,
    /// three-tier: aggregation nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub aggregation: Option<Spanned<u32>>,
    /// three-tier: access nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub access: Option<Spanned<u32>>,
    /// fat-tree: ports of each switch, even.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 32))]
    pub k: Option<Spanned<u32>>,
    /// Addresses come from here; 10.0.0.0/8 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Spanned<Prefix>>,
    /// Medium of every link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<Medium>,
}

/// Shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorKind {
    /// Inner nodes in a line.
    Linear,
    /// Hosts around one node.
    Star,
    /// Inner nodes in a circle.
    Ring,
    /// Every inner node linked to every other.
    Mesh,
    /// Every inner node linked to `degree` others.
    PartialMesh,
    /// A tree of inner nodes with hosts at the edge.
    Tree,
    /// Core, aggregation and access layers, each fully linked to the next.
    ThreeTier,
    /// Every leaf linked to every spine.
    LeafSpine,
    /// A k-ary fat tree (Al-Fares et al., 2008): (k/2)^2 core, k pods of k/2 aggregation and k/2 edge
    /// nodes, k/2 hosts at each edge.
    FatTree,
}

/// What inner nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fabric {
    /// Bridges in one broadcast domain, with spanning tree where there are loops.
    Switches,
    /// Routers with static shortest-path routes, sharing equal paths.
    Routers,
}
