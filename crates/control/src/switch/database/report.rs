//! What the switch says in the database: numbers, errors, states, statistics, and that it is done.

use super::super::state::{Switch, SwitchError};
use super::super::touched::Touched;
use super::interface::{self, optional};
use super::read::Reader;
use super::write::update;
use super::{Joint, NAME};
use crate::switch::protocol::PortStatus;
use netloom_proto::ovsdb::{Atom, Json, Uuid};
use std::collections::BTreeMap;

/// The version that clients compare with what they know.
const OVS_VERSION: &str = "3.1.0";
/// The least time between two looks at the counters, in milliseconds (`other_config:stats-update-interval`).
const STATISTICS: u64 = 5000;
/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// What could not be done, by table and name.
#[derive(Debug, Default)]
pub(in super::super) struct Problems(BTreeMap<(&'static str, String), String>);

impl Problems {
    pub(in super::super) fn add(&mut self, table: &'static str, name: &str, message: String) {
        self.0.insert((table, name.to_owned()), message);
    }

    /// Says in the log what was not there before.
    pub(in super::super) fn complain(&self, before: &Self) {
        for ((table, name), message) in &self.0 {
            if before.get(table, name) != Some(message) {
                match message.contains(name) {
                    true => tracing::warn!(target: "bridge", "{message}"),
                    false => tracing::warn!(target: "bridge", "{table} {name}: {message}"),
                }
            }
        }
    }

    pub(super) fn note<T>(&mut self, table: &'static str, name: &str, done: Result<T, SwitchError>) {
        if let Err(error) = done {
            self.add(table, name, error.to_string());
        }
    }

    fn get(&self, table: &str, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|((of, known), _)| *of == table && known == name);
        found.map(|(_, message)| message.as_str())
    }
}

/// What was written about interfaces last, so that only what changed is written.
#[derive(Debug, Default)]
pub(super) struct Told {
    statistics: BTreeMap<Uuid, Json>,
    /// The numbers of bridges, as the log has them.
    identities: BTreeMap<String, String>,
}

/// When counters are written next.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Statistics {
    /// On the clock of the switch.
    due: u64,
    /// Milliseconds between two times, as of the last look.
    interval: u64,
}

impl Joint {
    /// Columns of a row that are not yet what they should be.
    pub(super) fn differing<'a>(
        &self,
        table: &str,
        row: Uuid,
        columns: Vec<(&'a str, Json)>,
    ) -> Vec<(&'a str, Json)> {
        let Some(reader) = Reader::of(self, table) else { return Vec::new() };
        let Some(found) = reader.row(row) else { return Vec::new() };
        let differs = |(name, value): &(&str, Json)| {
            let Some(at) = reader.table.column(name) else { return false };
            let is_map = reader.table.columns.get(at).is_some_and(|column| column.ty.value.is_some());
            found.field(at).to_json(is_map) != *value
        };
        columns.into_iter().filter(differs).collect()
    }

    /// Milliseconds between two looks at the counters.
    fn statistics_interval(&self) -> u64 {
        let asked = self.whole().and_then(|whole| {
            let reader = Reader::of(self, NAME)?;
            reader.key(reader.row(whole)?, "other_config", "stats-update-interval")?.parse().ok()
        });
        asked.unwrap_or(STATISTICS).max(STATISTICS)
    }
}

impl Switch {
    /// Says what came of what was asked for, as far as that was not said yet, and that it was tried.
    pub(in super::super) fn report_unreported(&mut self) {
        if self.joint.as_ref().is_some_and(Joint::is_busy) {
            // It is made from the rows as they will be.
            self.untold = true;
            return;
        }
        let touched = std::mem::take(&mut self.unreported);
        self.report(&touched);
    }

    /// Says numbers and errors of all ports, how those that are touched are, and that everything was tried.
    pub(in super::super) fn report(&mut self, touched: &Touched) {
        self.watch_links();
        let before = self.watches_told.clone();
        let watched = self.watch_columns();
        let ports = self.port_list(&|name, _| touched.has(name));
        let Some(joint) = &self.joint else { return };
        let Some(interfaces) = Reader::of(joint, "Interface") else { return };
        let mut operations = Vec::new();
        let by_name: BTreeMap<&str, &PortStatus> =
            ports.iter().map(|port| (port.name.as_str(), port)).collect();
        let numbers = self.ofports();
        let (name_at, number_at) = (interfaces.table.column("name"), interfaces.table.column("ofport"));
        for (uuid, row) in interfaces.all() {
            let name = name_at.and_then(|at| row.text(at)).unwrap_or_default();
            let error = self.problems.get("Interface", name).or_else(|| self.problems.get("Port", name));
            let number =
                numbers.get(name).filter(|_| error.is_none()).map_or(-1, |number| i64::from(*number));
            let said = number_at.map(|at| row.field(at).atoms());
            let is_said = said == Some(&[Atom::Integer(number)]) && self.watches_told.says_as(&before, name);
            if error.is_none() && !touched.has(name) && is_said {
                continue;
            }
            let status = by_name.get(name).filter(|_| error.is_none());
            let is_open = self.ports.contains_key(name);
            let mut columns = vec![("ofport", Json::Integer(number))];
            // An error stays until the interface is there.
            if error.is_some() || is_open {
                columns.push(("error", optional(error.map(Json::string))));
            }
            columns.extend(status.map(|port| interface::states(port, is_open)).into_iter().flatten());
            columns.extend(watched(name));
            let columns = joint.differing("Interface", uuid, columns);
            if !columns.is_empty() {
                operations.push(update("Interface", uuid, columns));
            }
        }
        let identities = self.bridge_states(joint, &mut operations);
        operations.extend(joint.done());
        let before = self.joint.as_mut().map(|joint| std::mem::take(&mut joint.told.identities));
        for (name, id) in &identities {
            if before.as_ref().and_then(|before| before.get(name)) != Some(id) {
                tracing::info!(target: "bridge", "bridge {name}: using datapath ID {id}");
            }
        }
        if let Some(joint) = &mut self.joint {
            joint.told.identities = identities;
        }
        self.say(operations);
    }

    /// What is said of bridges; gives the numbers by which controllers know them.
    fn bridge_states(&self, joint: &Joint, operations: &mut Vec<Json>) -> BTreeMap<String, String> {
        let mut identities = BTreeMap::new();
        let Some(bridges) = Reader::of(joint, "Bridge") else { return identities };
        for (uuid, row) in bridges.all() {
            let name = bridges.text(row, "name");
            let Some(options) = self.configuration.switches.get(name) else { continue };
            let id = super::bridge::datapath_id(
                bridges.key(row, "other_config", "datapath-id"),
                options.get("address").map(String::as_str),
            );
            identities.extend(id.clone().map(|id| (name.to_owned(), id)));
            let columns = vec![
                ("datapath_id", optional(id.map(|id| Json::string(&id)))),
                ("datapath_version", Json::string("<built-in>")),
            ];
            let columns = joint.differing("Bridge", uuid, columns);
            if !columns.is_empty() {
                operations.push(update("Bridge", uuid, columns));
            }
        }
        identities
    }

    /// Says what was counted and how the links are, if it is time to.
    pub(in super::super) fn report_due_statistics(&mut self) {
        let now = self.now();
        let Some(joint) = &self.joint else { return };
        if joint.standing() != super::Standing::Ours {
            return;
        }
        let interval = joint.statistics_interval();
        let changed = std::mem::replace(&mut self.statistics.interval, interval) != interval;
        if joint.is_busy() || now < self.statistics.due && !changed {
            return;
        }
        self.statistics.due = now + interval * MILLISECOND;
        self.report_statistics();
    }

    fn report_statistics(&mut self) {
        self.report_controllers();
        let ports = self.port_list(&|_, _| true);
        let lengths =
            ports.iter().map(|port| (port.number, super::super::interfaces::length_of(&port.details)));
        self.lengths = lengths.collect();
        let Some(joint) = &mut self.joint else { return };
        let by_name: BTreeMap<&str, &PortStatus> =
            ports.iter().map(|port| (port.name.as_str(), port)).collect();
        let mut operations = Vec::new();
        let mut told = std::mem::take(&mut joint.told);
        if let Some(interfaces) = Reader::of(joint, "Interface") {
            for (uuid, row) in interfaces.all() {
                let name = interfaces.text(row, "name");
                let Some(port) = by_name.get(name) else { continue };
                let is_open = self.ports.contains_key(name);
                let mut columns = joint.differing("Interface", uuid, interface::states(port, is_open));
                let counted = interface::statistics(port);
                if told.statistics.get(&uuid) != Some(&counted) {
                    told.statistics.insert(uuid, counted.clone());
                    columns.push(("statistics", counted));
                }
                if !columns.is_empty() {
                    operations.push(update("Interface", uuid, columns));
                }
            }
            told.statistics.retain(|uuid, _| interfaces.row(*uuid).is_some());
        }
        joint.told = told;
        if !operations.is_empty() {
            self.say(operations);
        }
    }

    pub(super) fn say(&mut self, operations: Vec<Json>) {
        if let Some(joint) = &mut self.joint
            && let Err(error) = joint.say(operations)
        {
            tracing::error!(%error, "the state can't be written into the database");
            self.unreported = Touched::All;
        }
    }
}

impl Joint {
    /// Says that everything was tried, and who we are.
    fn done(&self) -> Option<Json> {
        let whole = self.whole()?;
        let reader = Reader::of(self, NAME)?;
        let row = reader.row(whole)?;
        let next = reader.field(row, "next_cfg")?.to_json(false);
        let words = |words: &[&str]| {
            Json::Array(vec![
                Json::string("set"),
                Json::Array(words.iter().map(|word| Json::string(word)).collect()),
            ])
        };
        let columns = vec![
            ("cur_cfg", next),
            ("ovs_version", Json::string(OVS_VERSION)),
            ("db_version", Json::string(&self.schema.version)),
            ("datapath_types", words(&["dummy", "netdev", "system"])),
            ("iface_types", words(TYPES)),
            ("dpdk_initialized", Json::Bool(false)),
        ];
        let columns = self.differing(NAME, whole, columns);
        (!columns.is_empty()).then(|| update(NAME, whole, columns))
    }
}

/// Types of interfaces that the program's drivers know, sorted.
const TYPES: &[&str] = &[
    "afpacket",
    "afxdp",
    "dpdkvhostuser",
    "dpdkvhostuserclient",
    "erspan",
    "geneve",
    "gre",
    "internal",
    "ip6erspan",
    "ip6gre",
    "patch",
    "pcap",
    "system",
    "tap",
    "vhost-user",
    "vxlan",
];
