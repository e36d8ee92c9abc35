//! What the database says about OpenFlow tables: numbers of ports, what a bridge is without a controller, names and limits.

use super::super::numbers::Wish;
use super::super::state::Switch;
use super::Joint;
use super::read::Reader;
use netloom_proto::ovsdb::{Atom, Datum, Row};
use netloom_proto::openflow::text::parse_subfield;
use netloom_table::classifier::Prefix;
use netloom_vswitch::openflow::{FailMode, Overflow, TableSettings};
use std::collections::BTreeMap;

/// Names of fields with prefix trees (`ovs-vswitchd.conf.db(5)`, "Flow_Table TABLE").
const PREFIXES: [(&str, Prefix); 9] = [
    ("nw_src", Prefix::Ip4Source),
    ("nw_dst", Prefix::Ip4Destination),
    ("ipv6_src", Prefix::Ip6Source),
    ("ipv6_dst", Prefix::Ip6Destination),
    ("tun_id", Prefix::TunnelId),
    ("tun_src", Prefix::Tunnel4Source),
    ("tun_dst", Prefix::Tunnel4Destination),
    ("tun_ipv6_src", Prefix::Tunnel6Source),
    ("tun_ipv6_dst", Prefix::Tunnel6Destination),
];
/// Tables that can be configured.
const TABLES: u8 = 254;

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

    /// What the rows of Flow_Table say about a bridge's tables, by their numbers. What can't be done is said in the log.
    fn flow_tables(&self, bridge: &str) -> BTreeMap<u8, TableSettings> {
        let mut all = BTreeMap::new();
        let (Some(bridges), Some(tables)) = (Reader::of(self, "Bridge"), Reader::of(self, "Flow_Table")) else {
            return all;
        };
        let Some((_, row)) = bridges.named(bridge) else { return all };
        let Some(Datum::Map(pairs)) = bridges.field(row, "flow_tables") else { return all };
        for (number, uuid) in pairs.iter() {
            let (Atom::Integer(number), Atom::Uuid(uuid)) = (number, uuid) else { continue };
            let (Ok(number), Some(row)) = (u8::try_from(*number), tables.row(*uuid)) else { continue };
            let texts = |column| {
                let atoms = tables.field(row, column).map(Datum::atoms).unwrap_or_default();
                atoms.iter().filter_map(Atom::as_str)
            };
            let wrong = |what: &str| {
                tracing::warn!(target: "bridge", "bridge {bridge} table {number}: {what}");
            };
            let mut settings = TableSettings {
                name: Some(tables.text(row, "name").to_owned()).filter(|name| !name.is_empty()),
                limit: match tables.field(row, "flow_limit").map(Datum::atoms) {
                    Some([Atom::Integer(limit)]) => usize::try_from(*limit).ok(),
                    _ => None,
                },
                overflow: match tables.text(row, "overflow_policy") {
                    "evict" => Overflow::Evict,
                    _ => Overflow::Refuse,
                },
                ..TableSettings::default()
            };
            for text in texts("groups") {
                match parse_subfield(text) {
                    Ok(part) => settings.groups.push(part),
                    Err(error) => wrong(&format!("error parsing 'groups' ({error})")),
                }
            }
            let mut prefixes = Vec::new();
            for text in texts("prefixes") {
                match PREFIXES.iter().find(|(name, _)| *name == text) {
                    Some((_, prefix)) => prefixes.push(*prefix),
                    None if text == "none" => {}
                    None => wrong(&format!("'prefixes' with unknown field: {text}")),
                }
            }
            settings.prefixes = texts("prefixes").next().is_some().then_some(prefixes);
            all.insert(number, settings);
        }
        all
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
            let Some(number) = bridges.number_of(name) else { continue };
            bridges.set_mode(number, mode, controllers, now);
            let Some(pipeline) = bridges.pipelines.get_mut(&number) else { continue };
            let mut rows = joint.flow_tables(name);
            for table in 0..TABLES {
                let row = rows.remove(&table);
                let named = row.as_ref().is_some_and(|row| row.name.is_some());
                let wanted = row.unwrap_or_default();
                let Some(before) = pipeline.table_settings(table) else { continue };
                // What a controller said stays where the row says nothing.
                let after = TableSettings {
                    name: if named { wanted.name } else { before.name.clone() },
                    limit: wanted.limit,
                    overflow: wanted.overflow,
                    groups: wanted.groups,
                    prefixes: wanted.prefixes,
                    ..before.clone()
                };
                if after != *before {
                    pipeline.set_table(table, after);
                }
            }
        }
        for name in &names {
            self.apply_flow_tables(name);
            self.apply_tables(name);
        }
        self.apply_connections();
    }
}
