//! What the database says about exporters: rows of `NetFlow`, `sFlow`, `IPFIX` and `Flow_Sample_Collector_Set`
//! (`ovs-vswitchd.conf.db(5)`).

use super::super::exports::{ExportSettings, IpfixSettings, NetFlowSettings, SFlowSettings, SumSettings};
use super::super::state::Switch;
use super::Joint;
use super::read::Reader;
use netloom_proto::ovsdb::{Atom, Datum, Row};
use std::collections::BTreeMap;

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

    fn number<T: TryFrom<i64>>(&self, column: &str) -> Option<T> {
        T::try_from(self.integer(column)?).ok()
    }

    fn option(&self, key: &str) -> Option<&str> {
        self.reader.key(self.row, "other_config", key)
    }

    fn truth(&self, column: &str) -> bool {
        matches!(self.reader.field(self.row, column).map(Datum::atoms), Some([Atom::Boolean(true)]))
    }

    fn texts(&self, column: &str) -> Vec<String> {
        let atoms = self.reader.field(self.row, column).map(Datum::atoms).unwrap_or_default();
        atoms.iter().filter_map(Atom::as_str).map(str::to_owned).collect()
    }
}

fn netflow(fields: &Fields<'_>) -> NetFlowSettings {
    let octet = |column| fields.integer(column).map_or(0, |number| number as u8);
    NetFlowSettings {
        targets: fields.texts("targets"),
        engine: (octet("engine_type"), octet("engine_id")),
        add_id_to_interface: fields.truth("add_id_to_interface"),
        active_timeout: match fields.integer("active_timeout") {
            // 0 is the usual time, and less is never.
            Some(0) | None => 600,
            Some(seconds) => u64::try_from(seconds).unwrap_or(0),
        },
    }
}

/// One of so many packets is sampled where nobody says how many.
const SAMPLING: u32 = 400;
/// Octets of a sample likewise.
const HEADER: u16 = 128;
/// Seconds between samples of counters likewise.
const POLLING: u64 = 30;

/// Nothing when there is nobody to tell or nothing to sample.
fn sflow(fields: &Fields<'_>) -> Option<SFlowSettings> {
    let settings = SFlowSettings {
        targets: fields.texts("targets"),
        agent: fields.texts("agent").into_iter().next(),
        sampling: fields.number("sampling").unwrap_or(SAMPLING),
        header: fields.number("header").filter(|header| *header > 0).unwrap_or(HEADER),
        polling: fields.number("polling").unwrap_or(POLLING),
    };
    Some(settings).filter(|settings| !settings.targets.is_empty() && settings.sampling > 0)
}

fn ipfix(fields: &Fields<'_>) -> IpfixSettings {
    IpfixSettings {
        targets: fields.texts("targets"),
        active_timeout: fields.number("cache_active_timeout").unwrap_or(0),
        max_flows: fields.number("cache_max_flows").unwrap_or(0),
        virtual_observer: fields.option("virtual_obs_id").map(str::to_owned),
        tunnels: fields.option("enable-tunnel-sampling") != Some("false"),
    }
}

fn sums(fields: &Fields<'_>) -> Option<SumSettings> {
    let settings = SumSettings {
        told: ipfix(fields),
        sampling: fields.number("sampling").unwrap_or(SAMPLING),
        domain: fields.number("obs_domain_id").unwrap_or(0),
        point: fields.number("obs_point_id").unwrap_or(0),
        input: fields.option("enable-input-sampling") != Some("false"),
        output: fields.option("enable-output-sampling") != Some("false"),
    };
    Some(settings).filter(|settings| !settings.told.targets.is_empty() && settings.sampling > 0)
}

impl Joint {
    fn exports(&self, bridge: &str) -> ExportSettings {
        self.read_exports(bridge).unwrap_or_default()
    }

    fn read_exports(&self, bridge: &str) -> Option<ExportSettings> {
        let bridges = Reader::of(self, "Bridge")?;
        let (uuid, row) = bridges.named(bridge)?;
        let mut settings = ExportSettings::default();
        let of = |reader: &Reader<'_>, column: &str| {
            bridges.references(row, column).next().filter(|uuid| reader.row(*uuid).is_some())
        };
        let rows = Reader::of(self, "NetFlow")?;
        if let Some(row) = of(&rows, "netflow").and_then(|uuid| rows.row(uuid)) {
            settings.netflow = Some(netflow(&Fields { reader: &rows, row }));
        }
        let rows = Reader::of(self, "sFlow")?;
        if let Some(row) = of(&rows, "sflow").and_then(|uuid| rows.row(uuid)) {
            settings.sflow = sflow(&Fields { reader: &rows, row });
        }
        let rows = Reader::of(self, "IPFIX")?;
        if let Some(row) = of(&rows, "ipfix").and_then(|uuid| rows.row(uuid)) {
            settings.sums = sums(&Fields { reader: &rows, row });
        }
        let sets = Reader::of(self, "Flow_Sample_Collector_Set")?;
        for (_, row) in sets.all() {
            if !sets.references(row, "bridge").any(|of| of == uuid) {
                continue;
            }
            let collectors = sets.references(row, "ipfix").next().and_then(|uuid| rows.row(uuid));
            let number = Fields { reader: &sets, row }.number("id");
            if let (Some(row), Some(number)) = (collectors, number) {
                settings.sets.insert(number, ipfix(&Fields { reader: &rows, row }));
            }
        }
        Some(settings)
    }
}

impl Switch {
    /// What bridges are to tell; those that tell nothing are not there.
    pub(in super::super) fn wanted_exports(&self) -> BTreeMap<String, ExportSettings> {
        let Some(joint) = &self.joint else { return BTreeMap::new() };
        let names = self.configuration.switches.keys();
        let all = names.map(|name| (name.clone(), joint.exports(name)));
        all.filter(|(_, settings)| !settings.is_empty()).collect()
    }
}
