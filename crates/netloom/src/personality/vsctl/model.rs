//! Bridges, ports and interfaces as people think of them: with bridges for single VLANs, which are ports of others.

use super::super::client::{Done, Stop};
use super::draft::{Draft, Place};
use netloom_proto::ovsdb::Uuid;
use std::collections::{BTreeMap, BTreeSet};

/// A bridge.
#[derive(Debug, Clone)]
pub struct Bridge {
    pub name: String,
    /// Its row; none for a bridge of one VLAN.
    pub row: Option<Place>,
    /// The bridge whose VLAN it is.
    pub parent: Option<String>,
    pub vlan: i64,
}

/// A port.
#[derive(Debug, Clone)]
pub struct Port {
    pub name: String,
    pub row: Place,
    pub bridge: String,
    /// Names and rows.
    pub interfaces: Vec<(String, Place)>,
}

/// All of them by their names.
#[derive(Debug, Default)]
pub struct Model {
    pub bridges: BTreeMap<String, Bridge>,
    pub ports: BTreeMap<String, Port>,
    /// The port of each interface, and its row.
    pub interfaces: BTreeMap<String, (String, Place)>,
}

/// The VLAN of a tag that can be one.
fn vlan_of(draft: &Draft, port: Place) -> Option<i64> {
    draft.integer(port, "tag").filter(|tag| (0..=4095).contains(tag))
}

fn is_vlan_bridge(draft: &Draft, port: Place) -> bool {
    let fake = draft.value(port, "fake_bridge");
    fake.one().and_then(netloom_proto::ovsdb::Atom::as_bool) == Some(true) && vlan_of(draft, port).is_some()
}

/// Rows that a column refers to and that are there, with their names.
fn named(draft: &Draft, place: Place, column: &str, table: &str) -> Vec<(String, Place)> {
    let Some(table) = draft.table_of(table) else { return Vec::new() };
    let rows = draft.references(place, column).into_iter();
    let name = |uuid: Uuid| Some((draft.text((table, uuid), "name")?, (table, uuid)));
    rows.filter_map(name).collect()
}

impl Model {
    /// Reads the model out of the draft. What contradicts itself there is passed over.
    pub fn of(draft: &Draft, switch: Place) -> Self {
        let mut model = Self::default();
        let bridges = named(draft, switch, "bridges", "Bridge");
        let mut seen = BTreeSet::new();
        for (name, row) in &bridges {
            let real = Bridge { name: name.clone(), row: Some(*row), parent: None, vlan: 0 };
            model.bridges.entry(name.clone()).or_insert(real);
            for (port, place) in named(draft, *row, "ports", "Port") {
                if seen.insert(port.clone()) && is_vlan_bridge(draft, place) {
                    let vlan = vlan_of(draft, place).unwrap_or(0);
                    let child = Bridge { name: port.clone(), row: None, parent: Some(name.clone()), vlan };
                    model.bridges.entry(port).or_insert(child);
                }
            }
        }
        for (name, row) in &bridges {
            for (port, place) in named(draft, *row, "ports", "Port") {
                if !model.ports.contains_key(&port) {
                    model.add_port(draft, name, port, place);
                }
            }
        }
        model
    }

    fn add_port(&mut self, draft: &Draft, bridge: &str, name: String, row: Place) {
        let vlan = vlan_of(draft, row);
        let child = vlan.and_then(|vlan| self.child(bridge, vlan));
        let bridge = child.map_or(bridge, |child| &child.name).to_owned();
        let mut interfaces = named(draft, row, "interfaces", "Interface");
        interfaces.retain(|(interface, _)| !self.interfaces.contains_key(interface));
        for (interface, place) in &interfaces {
            self.interfaces.insert(interface.clone(), (name.clone(), *place));
        }
        self.ports.insert(name.clone(), Port { name, row, bridge, interfaces });
    }

    /// The bridge of one VLAN of a bridge.
    pub fn child(&self, parent: &str, vlan: i64) -> Option<&Bridge> {
        let mut children = self.bridges.values();
        children.find(|bridge| bridge.parent.as_deref() == Some(parent) && bridge.vlan == vlan)
    }

    /// A bridge that must be there.
    pub fn bridge(&self, name: &str) -> Done<&Bridge> {
        self.bridges.get(name).ok_or_else(|| Stop::from(format!("no bridge named {name}")))
    }

    /// A bridge of its own that must be there, and its row.
    pub fn real_bridge(&self, name: &str) -> Done<Place> {
        let bridge = self.bridge(name)?;
        bridge.row.ok_or_else(|| Stop::from(format!("{name} is a fake bridge")))
    }

    /// The row of a bridge, or that of the bridge whose VLAN it is.
    pub fn row_of(&self, bridge: &Bridge) -> Option<Place> {
        match &bridge.parent {
            Some(parent) => self.bridges.get(parent)?.row,
            None => bridge.row,
        }
    }

    /// A port; the one that is named as its bridge is none.
    pub fn find_port(&self, name: &str) -> Option<&Port> {
        self.ports.get(name).filter(|port| port.bridge != name)
    }

    pub fn port(&self, name: &str) -> Done<&Port> {
        self.find_port(name).ok_or_else(|| Stop::from(format!("no port named {name}")))
    }

    /// The port of an interface; the one that is named as its bridge is none.
    pub fn find_interface(&self, name: &str) -> Option<(&Port, Place)> {
        let (port, row) = self.interfaces.get(name)?;
        let port = self.ports.get(port).filter(|port| port.bridge != name)?;
        Some((port, *row))
    }

    pub fn interface(&self, name: &str) -> Done<(&Port, Place)> {
        self.find_interface(name).ok_or_else(|| Stop::from(format!("no interface named {name}")))
    }

    /// Refuses a name that something has.
    pub fn check_free(&self, name: &str, what: &str) -> Done {
        let taken = if self.bridges.contains_key(name) {
            format!("a bridge named {name} already exists")
        } else if let Some(port) = self.ports.get(name) {
            format!("a port named {name} already exists on bridge {}", port.bridge)
        } else if let Some((port, _)) = self.interfaces.get(name) {
            let bridge = self.ports.get(port).map_or("", |port| port.bridge.as_str());
            format!("an interface named {name} already exists on bridge {bridge}")
        } else {
            return Ok(());
        };
        Err(format!("cannot create {what} named {name} because {taken}").into())
    }

    /// The ports of a bridge.
    pub fn ports_of(&self, bridge: &str) -> impl Iterator<Item = &Port> {
        self.ports.values().filter(move |port| port.bridge == bridge)
    }
}
