//! Settings of OpenFlow tables in the database: rows of `Flow_Table` (`ovs-vswitchd.conf.db(5)`).

use super::super::state::Switch;
use super::Joint;
use super::read::Reader;
use netloom_proto::openflow::text::parse_subfield;
use netloom_proto::ovsdb::{Atom, Datum, Row};
use netloom_table::classifier::Prefix;
use netloom_vswitch::openflow::{Overflow, TABLES, TableSettings};
use std::collections::BTreeMap;

/// A field with prefix trees, by its names.
fn prefix(name: &str) -> Option<Prefix> {
    Some(match name {
        "nw_src" | "ip_src" => Prefix::Ip4Source,
        "nw_dst" | "ip_dst" => Prefix::Ip4Destination,
        "ipv6_src" => Prefix::Ip6Source,
        "ipv6_dst" => Prefix::Ip6Destination,
        "tun_id" | "tunnel_id" => Prefix::TunnelId,
        "tun_src" => Prefix::Tunnel4Source,
        "tun_dst" => Prefix::Tunnel4Destination,
        "tun_ipv6_src" => Prefix::Tunnel6Source,
        "tun_ipv6_dst" => Prefix::Tunnel6Destination,
        _ => return None,
    })
}

/// What a row says; what it can't say stays as it is.
fn settings<'a>(
    reader: &Reader<'a>,
    row: &'a Row,
    before: &TableSettings,
    complain: &dyn Fn(&str, &str),
) -> TableSettings {
    let texts = |column: &str| {
        let atoms = reader.field(row, column).map(Datum::atoms).unwrap_or_default();
        atoms.iter().filter_map(Atom::as_str)
    };
    let mut groups = Vec::new();
    for text in texts("groups") {
        match parse_subfield(text) {
            Ok(bits) => groups.push(bits),
            Err(_) => complain("groups", text),
        }
    }
    let mut prefixes = Vec::new();
    for text in texts("prefixes").filter(|text| *text != "none") {
        match prefix(text) {
            Some(field) => prefixes.push(field),
            None => complain("prefixes", text),
        }
    }
    let limit = match reader.field(row, "flow_limit").map(Datum::atoms) {
        Some([Atom::Integer(limit)]) => usize::try_from(*limit).ok(),
        _ => None,
    };
    let evicts = reader.text(row, "overflow_policy") == "evict";
    TableSettings {
        name: Some(reader.text(row, "name").to_owned()).filter(|name| !name.is_empty()),
        limit,
        overflow: if evicts { Overflow::Evict } else { Overflow::Refuse },
        groups,
        prefixes: texts("prefixes").next().is_some().then_some(prefixes),
        ..before.clone()
    }
}

impl Joint {
    /// The rows of a bridge's tables, by their numbers.
    fn table_rows(&self, bridge: &str) -> BTreeMap<u8, &Row> {
        let tables = (Reader::of(self, "Bridge"), Reader::of(self, "Flow_Table"));
        let (Some(bridges), Some(tables)) = tables else { return BTreeMap::new() };
        let Some((_, row)) = bridges.named(bridge) else { return BTreeMap::new() };
        let pairs = bridges.field(row, "flow_tables").map(Datum::pairs).unwrap_or_default();
        let found = pairs.iter().filter_map(|pair| match pair {
            (Atom::Integer(number), Atom::Uuid(uuid)) => {
                Some((u8::try_from(*number).ok()?, tables.row(*uuid)?))
            }
            _ => None,
        });
        found.collect()
    }
}

impl Switch {
    /// Has the tables of a bridge be as their rows say; those that had a row and have none any more are as they were made.
    pub(super) fn apply_flow_tables(&self, bridge: &str) {
        let Some(joint) = &self.joint else { return };
        let Some(reader) = Reader::of(joint, "Flow_Table") else { return };
        let rows = joint.table_rows(bridge);
        let mut bridges = self.bridges.lock();
        let Some(number) = bridges.number_of(bridge) else { return };
        let Some(pipeline) = bridges.pipelines.get_mut(&number) else { return };
        for table in 0..TABLES as u8 {
            let Some(before) = pipeline.table_settings(table).cloned() else { continue };
            let after = match rows.get(&table) {
                Some(row) => settings(&reader, row, &before, &|column, text| {
                    tracing::warn!(bridge, table, column, text, "a setting of a table is not understood");
                }),
                // Names that controllers gave, misses and eviction are not the database's.
                None => TableSettings {
                    name: before.name.clone().filter(|_| !before.is_named),
                    miss: before.miss,
                    eviction: before.eviction,
                    vacancy: before.vacancy,
                    ..TableSettings::default()
                },
            };
            let after =
                TableSettings { is_named: after.name.is_some() && rows.contains_key(&table), ..after };
            if after != before {
                pipeline.set_table(table, after);
            }
        }
    }
}
