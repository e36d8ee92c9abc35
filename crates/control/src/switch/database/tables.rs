//! What the database says about OpenFlow tables: numbers of ports, what a bridge is without a controller.

use super::super::numbers::Wish;
use super::super::state::Switch;
use super::super::touched::Touched;
use super::Joint;
use super::read::Reader;
use netloom_proto::ovsdb::{Atom, Row};
use netloom_vswitch::openflow::FailMode;
use std::collections::HashMap;

fn number(row: &Row, column: Option<usize>) -> Option<u16> {
    match column.map(|at| row.field(at).atoms()) {
        Some([Atom::Integer(number)]) => u16::try_from(*number).ok(),
        _ => None,
    }
}

impl Joint {
    /// The OpenFlow numbers that a bridge's interfaces ask for, and those that they have.
    pub(in super::super) fn number_wishes(&self, bridge: &str) -> HashMap<&str, Wish> {
        let mut wishes = HashMap::new();
        let tables = (Reader::of(self, "Bridge"), Reader::of(self, "Port"), Reader::of(self, "Interface"));
        let (Some(bridges), Some(ports), Some(interfaces)) = tables else { return wishes };
        let Some((_, row)) = bridges.named(bridge) else { return wishes };
        // Looked for once: there may be thousands of rows.
        let [of, name, asked, known] = [
            ports.table.column("interfaces"),
            interfaces.table.column("name"),
            interfaces.table.column("ofport_request"),
            interfaces.table.column("ofport"),
        ];
        let (Some(of), Some(name)) = (of, name) else { return wishes };
        for port in bridges.references(row, "ports").filter_map(|uuid| ports.row(uuid)) {
            let interfaces = port.field(of).atoms().iter().filter_map(|atom| interfaces.row(atom.as_uuid()?));
            wishes.extend(interfaces.map(|row| {
                let wish = Wish { asked: number(row, asked), known: number(row, known) };
                (row.text(name).unwrap_or_default(), wish)
            }));
        }
        wishes
    }

    /// What a bridge is without a controller, and whether it has one.
    fn mode(&self, bridge: &str) -> (FailMode, bool) {
        let Some(bridges) = Reader::of(self, "Bridge") else { return (FailMode::default(), false) };
        let Some((_, row)) = bridges.named(bridge) else { return (FailMode::default(), false) };
        let mode = match bridges.text(row, "fail_mode") {
            "secure" => FailMode::Secure,
            _ => FailMode::Standalone,
        };
        (mode, bridges.references(row, "controller").next().is_some())
    }
}

impl Switch {
    /// Has tables be as the rows of their bridges say, and have the ports that these have. Of the ports only those that are
    /// touched are looked at again.
    pub(in super::super) fn apply_wishes(&mut self, touched: &Touched) {
        let Some(joint) = &self.joint else { return };
        let now = self.now();
        let names: Vec<String> = self.configuration.switches.keys().cloned().collect();
        for name in &names {
            let (mode, controllers) = joint.mode(name);
            let mut bridges = self.bridges.lock();
            if let Some(number) = bridges.number_of(name) {
                bridges.set_mode(number, mode, controllers, now);
            }
        }
        for name in &names {
            self.apply_flow_tables(name);
            self.apply_tables(name, touched);
        }
        self.apply_exports();
        self.apply_connections();
    }
}
