//! The switch's bridges and ports as Open vSwitch names and numbers them.
//!
//! Bridges of the same `datapath-type` are one data path, `TYPE@ovs-TYPE`. A port has two numbers: that which OpenFlow
//! knows, of its bridge's own, and that of the data path.

use super::super::state::Switch;
use super::super::tunnels::is_tunnel;
use super::tunnels;
use std::collections::BTreeMap;

/// The number in OpenFlow of the port that has its bridge's name.
pub(super) const LOCAL: u32 = 65534;

/// A port.
#[derive(Debug, Clone)]
pub(super) struct PortView {
    pub(super) name: String,
    /// Its number in OpenFlow.
    pub(super) openflow: u32,
    /// Its number in the data path.
    pub(super) number: u32,
    pub(super) kind: String,
    /// What is told behind the type: `: peer=...`.
    pub(super) details: String,
    pub(super) is_bond: bool,
}

/// The bridges of a data path with their ports.
pub(super) type PathView = BTreeMap<String, Vec<PortView>>;

impl Switch {
    fn view(&self, name: &str) -> Option<PortView> {
        let port = self.configuration.ports.get(name)?;
        let option = |option: &str| port.options.get(option).map(String::as_str);
        // A port that is not open has no number; bonds never have one.
        let own = if name == port.switch { LOCAL } else { port.number };
        let openflow = self.ofport(name).map_or(own, u32::from);
        let kind = option("type").unwrap_or("system");
        let peer = option("peer").filter(|_| kind == "patch");
        Some(PortView {
            name: name.to_owned(),
            openflow,
            number: if is_tunnel(&port.options) { self.shared_port(port).1 } else { port.number },
            kind: kind.to_owned(),
            details: peer.map_or_else(|| tunnels::details(&port.options), |peer| format!(": peer={peer}")),
            is_bond: kind == "bond",
        })
    }

    /// All data paths by their names, with all bridges.
    pub(super) fn paths(&self) -> BTreeMap<String, PathView> {
        let mut paths: BTreeMap<String, PathView> = BTreeMap::new();
        for (name, options) in &self.configuration.switches {
            let kind =
                options.get("datapath-type").filter(|kind| !kind.is_empty()).map_or("netdev", String::as_str);
            let ports = self.views(name).into_iter().filter(|port| !port.is_bond).collect();
            paths.entry(format!("{kind}@ovs-{kind}")).or_default().insert(name.clone(), ports);
        }
        paths
    }

    /// The ports of a bridge, bonds among them.
    pub(super) fn views(&self, bridge: &str) -> Vec<PortView> {
        self.ports_of(bridge).filter_map(|(name, _)| self.view(name)).collect()
    }

    /// How a port is called in tables: its number in OpenFlow, or `LOCAL`.
    pub(super) fn label(&self, name: &str) -> String {
        match self.view(name) {
            Some(view) if view.openflow == LOCAL => "LOCAL".to_owned(),
            Some(view) => view.openflow.to_string(),
            None => "?".to_owned(),
        }
    }
}
