//! Rows of `QoS` and `Queue`, as wishes of the interfaces of the ports that refer to them.

use super::super::qos::{QosWish, Words};
use super::super::state::Switch;
use super::Joint;
use super::read::Reader;
use super::report::Problems;
use netloom_proto::ovsdb::{Atom, Datum, Row};
use std::collections::BTreeMap;

/// A column of texts by text.
fn words(reader: &Reader<'_>, row: &Row, column: &str) -> Words {
    let pairs = reader.table.column(column).map(|at| row.field(at).pairs()).unwrap_or_default();
    let word = |(name, value): &(Atom, Atom)| Some((name.as_str()?.to_owned(), value.as_str()?.to_owned()));
    pairs.iter().filter_map(word).collect()
}

impl Joint {
    /// What is asked of each interface, by name; those whose row names no type are not asked anything.
    fn qos_wishes(&self) -> BTreeMap<String, QosWish> {
        let mut wishes = BTreeMap::new();
        let tables = ["Port", "Interface", "QoS", "Queue"].map(|table| Reader::of(self, table));
        let [Some(ports), Some(interfaces), Some(all), Some(queues)] = tables else { return wishes };
        let at = ports.table.column("qos");
        for (_, port) in ports.all() {
            // Most have none.
            if at.is_none_or(|at| port.field(at).atoms().is_empty()) {
                continue;
            }
            let Some(row) = ports.references(port, "qos").next().and_then(|uuid| all.row(uuid)) else {
                continue;
            };
            let kind = all.text(row, "type").to_owned();
            if kind.is_empty() {
                continue;
            }
            let pairs = all.field(row, "queues").map(Datum::pairs).unwrap_or_default();
            let queue = |pair: &(Atom, Atom)| {
                let (Atom::Integer(number), Atom::Uuid(uuid)) = pair else { return None };
                let row = queues.row(*uuid)?;
                let class = match queues.field(row, "dscp").map(Datum::atoms) {
                    Some([Atom::Integer(class)]) => u8::try_from(*class).ok(),
                    _ => None,
                };
                Some((u32::try_from(*number).ok()?, (words(&queues, row, "other_config"), class)))
            };
            let wish = QosWish {
                kind,
                config: words(&all, row, "other_config"),
                queues: pairs.iter().filter_map(queue).collect(),
            };
            for interface in ports.references(port, "interfaces").filter_map(|uuid| interfaces.row(uuid)) {
                wishes.insert(interfaces.text(interface, "name").to_owned(), wish.clone());
            }
        }
        wishes
    }
}

impl Switch {
    /// Has ports be shaped as rows ask, as far as that goes. What does not is said in the log.
    pub(in super::super) fn apply_qos(&mut self, problems: &mut Problems) {
        let Some(joint) = &self.joint else { return };
        let wishes = joint.qos_wishes();
        for (name, problem) in self.apply_shaping(wishes) {
            problems.add("QoS", &name, format!("{name}: {problem}"));
        }
    }
}
