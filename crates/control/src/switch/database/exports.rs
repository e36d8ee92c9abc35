//! What the database says about exporters: rows of `NetFlow`, `sFlow`, `IPFIX` and `Flow_Sample_Collector_Set`
//! (`ovs-vswitchd.conf.db(5)`).

use super::super::exports::{ExportSettings, NetFlowSettings};
use super::super::state::Switch;
use super::Joint;
use super::read::Reader;
use netloom_proto::export::netflow;
use netloom_proto::ovsdb::{Atom, Datum, Row};
use std::collections::BTreeMap;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// A table's row.
struct Fields<'a> {
    reader: &'a Reader<'a>,
    row: &'a Row,
}

impl Fields<'_> {
    fn integer(&self, column: &str) -> Option<i64> {
        match self.reader.field(self.row, column).map(Datum::atoms) {
            Some([Atom::Integer(number)]) => Some(*number),
            _ => None,
        }
    }

    fn truth(&self, column: &str) -> bool {
        matches!(self.reader.field(self.row, column).map(Datum::atoms), Some([Atom::Boolean(true)]))
    }

    fn texts(&self, column: &str) -> Vec<String> {
        let atoms = self.reader.field(self.row, column).map(Datum::atoms).unwrap_or_default();
        atoms.iter().filter_map(Atom::as_str).map(str::to_owned).collect()
    }
}

fn netflow(fields: &Fields<'_>, datapath: u64) -> NetFlowSettings {
    let octet = |column, usual: u64| fields.integer(column).unwrap_or(usual as i64) as u8;
    let add_id_to_interface = fields.truth("add_id_to_interface");
    let engine_id = octet("engine_id", datapath & 0xff);
    if add_id_to_interface && engine_id > 0x7f {
        tracing::warn!(target: "bridge", "netflow port mangling may conflict with another vswitch, choose an engine id less than 128");
    }
    NetFlowSettings {
        targets: fields.texts("targets"),
        settings: netflow::Settings {
            engine_type: octet("engine_type", datapath >> 8 & 0xff),
            engine_id,
            add_id_to_interface,
            active_timeout: match fields.integer("active_timeout") {
                // 0 is the usual time, and less is never.
                Some(0) | None => 600 * SECOND,
                Some(seconds) => u64::try_from(seconds).unwrap_or(0).saturating_mul(SECOND),
            },
        },
    }
}

impl Joint {
    fn exports(&self, bridge: &str) -> ExportSettings {
        let tables = (Reader::of(self, "Bridge"), Reader::of(self, "NetFlow"));
        let (Some(bridges), Some(flows)) = tables else { return ExportSettings::default() };
        let Some((_, row)) = bridges.named(bridge) else { return ExportSettings::default() };
        let referred = |reader: &Reader<'_>, column| {
            bridges.references(row, column).next().filter(|uuid| reader.row(*uuid).is_some())
        };
        let mut settings = ExportSettings::default();
        if let Some(row) = referred(&flows, "netflow").and_then(|uuid| flows.row(uuid)) {
            settings.netflow = Some(netflow(&Fields { reader: &flows, row }, 0));
        }
        settings
    }
}

impl Switch {
    /// What bridges are to tell; those that tell nothing are not there.
    pub(in super::super) fn wanted_exports(&self) -> BTreeMap<String, ExportSettings> {
        let Some(joint) = &self.joint else { return BTreeMap::new() };
        let names = self.configuration.switches.keys();
        let all = names.map(|name| (name.clone(), joint.exports(name)));
        all.filter(|(_, settings)| *settings != ExportSettings::default()).collect()
    }
}
