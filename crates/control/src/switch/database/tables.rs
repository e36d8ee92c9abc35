//! What the database says about OpenFlow tables: numbers of ports, what a bridge is without a controller.

use super::super::numbers::Wish;
use super::super::state::Switch;
use super::Joint;
use super::read::Reader;
use netloom_proto::ovsdb::{Atom, Datum, Row};
use netloom_vswitch::openflow::FailMode;
use std::collections::BTreeMap;

fn number<'a>(reader: &Reader<'a>, row: &'a Row, column: &str) -> Option<u16> {
    match reader.field(row, column).map(Datum::atoms) {
        Some([Atom::Integer(number)]) => u16::try_from(*number).ok(),
        _ => None,
    }
}

impl Joint {
    /// The OpenFlow numbers that a bridge's interfaces ask for, and those that they have.
    pub(in super::super) fn number_wishes(&self, bridge: &str) -> BTreeMap<String, Wish> {
        let mut wishes = BTreeMap::new();
        let tables = (Reader::of(self, "Bridge"), Reader::of(self, "Port"), Reader::of(self, "Interface"));
        let (Some(bridges), Some(ports), Some(interfaces)) = tables else { return wishes };
        let Some((_, row)) = bridges.named(bridge) else { return wishes };
        for port in bridges.references(row, "ports").filter_map(|uuid| ports.row(uuid)) {
            for row in ports.references(port, "interfaces").filter_map(|uuid| interfaces.row(uuid)) {
                let (asked, known) =
                    (number(&interfaces, row, "ofport_request"), number(&interfaces, row, "ofport"));
                wishes.insert(interfaces.text(row, "name").to_owned(), Wish { asked, known });
            }
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
    /// Has tables be as the rows of their bridges say.
    pub(in super::super) fn apply_wishes(&mut self) {
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
            self.apply_tables(name);
        }
        self.apply_connections();
    }
}
