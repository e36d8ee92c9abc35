//! What the switch says in the database: numbers, errors, states, statistics, and that it is done.

use super::super::protocol::PortStatus;
use super::super::state::{Switch, SwitchError};
use super::read::Reader;
use super::write::update;
use super::{Joint, NAME};
use netloom_proto::ovsdb::{Json, Uuid};
use std::collections::BTreeMap;

/// The version that clients compare with what they know.
const OVS_VERSION: &str = "3.1.0";

/// What could not be done, by table and name.
#[derive(Debug, Default)]
pub(in super::super) struct Problems(BTreeMap<(&'static str, String), String>);

impl Problems {
    pub(super) fn add(&mut self, table: &'static str, name: &str, message: String) {
        tracing::warn!(table, name, message, "what the database asks for is not done");
        self.0.insert((table, name.to_owned()), message);
    }

    pub(super) fn note<T>(&mut self, table: &'static str, name: &str, done: Result<T, SwitchError>) {
        if let Err(error) = done {
            self.add(table, name, error.to_string());
        }
    }

    fn get(&self, table: &'static str, name: &str) -> Option<&str> {
        self.0.get(&(table, name.to_owned())).map(String::as_str)
    }
}

/// What was written about interfaces last, so that only what changed is written.
#[derive(Debug, Default)]
pub(super) struct Told {
    statistics: BTreeMap<Uuid, Json>,
}

fn optional(value: Option<Json>) -> Json {
    value.unwrap_or_else(|| Json::Array(vec![Json::string("set"), Json::Array(Vec::new())]))
}

fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    let pair = |(key, value)| Json::Array(vec![Json::string(key), value]);
    Json::Array(vec![Json::string("map"), Json::Array(pairs.into_iter().map(pair).collect())])
}

fn count(number: u64) -> Json {
    Json::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The counters of the column `statistics` (`ovs-vswitchd.conf.db(5)`).
fn statistics(port: &PortStatus) -> Json {
    let dropped: u64 = port.dropped.values().sum();
    map([
        ("rx_bytes", count(port.received_octets)),
        ("rx_dropped", count(dropped)),
        ("rx_packets", count(port.received)),
        ("tx_bytes", count(port.sent_octets)),
        ("tx_dropped", count(port.unsent)),
        ("tx_packets", count(port.sent)),
    ])
}

impl Joint {
    /// Columns of a row that are not yet what they should be.
    fn differing<'a>(&self, table: &str, row: Uuid, columns: Vec<(&'a str, Json)>) -> Vec<(&'a str, Json)> {
        let Some(reader) = Reader::of(self, table) else { return Vec::new() };
        let Some(found) = reader.row(row) else { return Vec::new() };
        let differs = |(name, value): &(&str, Json)| {
            let Some(at) = reader.table.column(name) else { return false };
            let is_map = reader.table.columns.get(at).is_some_and(|column| column.ty.value.is_some());
            found.field(at).to_json(is_map) != *value
        };
        columns.into_iter().filter(differs).collect()
    }
}

impl Switch {
    /// Says what came of what was asked for, and that it was tried.
    pub(in super::super) fn report(&mut self, problems: &Problems) {
        let ports = self.port_list(None);
        let Some(joint) = &self.joint else { return };
        let Some(interfaces) = Reader::of(joint, "Interface") else { return };
        let mut operations = Vec::new();
        let by_name: BTreeMap<&str, &PortStatus> =
            ports.iter().map(|port| (port.name.as_str(), port)).collect();
        for (uuid, row) in interfaces.all() {
            let name = interfaces.text(row, "name");
            let error = problems.get("Interface", name).or_else(|| problems.get("Port", name));
            let status = by_name.get(name).filter(|_| error.is_none());
            let number = status.and_then(|_| self.ofport(name)).map_or(-1, i64::from);
            // An error stays until the interface is there.
            let is_open = self.ports.contains_key(name);
            let mut columns = vec![("ofport", Json::Integer(if is_open { number } else { -1 }))];
            if error.is_some() || is_open {
                columns.push(("error", optional(error.map(Json::string))));
            }
            columns.extend(status.map(|port| states(port)).into_iter().flatten());
            let columns = joint.differing("Interface", uuid, columns);
            if !columns.is_empty() {
                operations.push(update("Interface", uuid, columns));
            }
        }
        operations.extend(joint.done());
        self.say(operations);
    }

    /// Says what was counted and how the links are; to be called every few seconds.
    pub(in super::super) fn report_statistics(&mut self) {
        let ports = self.port_list(None);
        let Some(joint) = &mut self.joint else { return };
        let by_name: BTreeMap<&str, &PortStatus> =
            ports.iter().map(|port| (port.name.as_str(), port)).collect();
        let mut operations = Vec::new();
        let mut told = std::mem::take(&mut joint.told);
        if let Some(interfaces) = Reader::of(joint, "Interface") {
            for (uuid, row) in interfaces.all() {
                let Some(port) = by_name.get(interfaces.text(row, "name")) else { continue };
                let mut columns = joint.differing("Interface", uuid, states(port).into());
                let counted = statistics(port);
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
        self.say(operations);
    }

    fn say(&mut self, operations: Vec<Json>) {
        if let Some(joint) = &mut self.joint
            && let Err(error) = joint.transact(operations)
        {
            tracing::error!(%error, "the state can't be written into the database");
        }
    }
}

fn states(port: &PortStatus) -> [(&'static str, Json); 2] {
    let word = |up: bool| Json::string(if up { "up" } else { "down" });
    let enabled = port.options.get("enabled").is_none_or(|text| text != "false");
    [("link_state", word(port.state == "up")), ("admin_state", word(enabled))]
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
