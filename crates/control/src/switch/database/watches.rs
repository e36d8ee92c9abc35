//! What the database is told of watched links: `bfd_status` and `cfm_...` of interfaces (`ovs-vswitchd.conf.db(5)`).
//!
//! Told is what changed, at the next tick; what an earlier daemon told of links that are not watched any more is taken away.

use super::super::state::Switch;
use super::interface::{map, optional};
use super::read::Reader;
use super::write::update;
use netloom_proto::ovsdb::Json;
use netloom_vswitch::bfd::{BfdStatus, diagnostic_name, state_name};
use netloom_vswitch::cfm::CfmStatus;
use std::collections::BTreeMap;

/// Columns of an interface.
type Columns = Vec<(&'static str, Json)>;

/// What was told last, by interface.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct WatchesTold(BTreeMap<String, Columns>);

impl WatchesTold {
    /// Whether the same is told of an interface as by another.
    pub(super) fn says_as(&self, other: &Self, name: &str) -> bool {
        self.0.get(name) == other.0.get(name)
    }
}

fn set(members: impl Iterator<Item = Json>) -> Json {
    Json::Array(vec![Json::string("set"), Json::Array(members.collect())])
}

fn number(number: u64) -> Json {
    Json::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn truth(truth: bool) -> Json {
    Json::string(if truth { "true" } else { "false" })
}

fn bfd(status: Option<&BfdStatus>) -> Json {
    let Some(status) = status else { return map([]) };
    let mut pairs = vec![
        ("diagnostic", Json::string(diagnostic_name(status.local.diagnostic))),
        ("flap_count", Json::string(&status.flaps.to_string())),
        ("forwarding", truth(status.forwarding)),
    ];
    pairs.push(("remote_diagnostic", Json::string(diagnostic_name(status.remote.diagnostic))));
    pairs.push(("remote_state", Json::string(state_name(status.remote.state))));
    pairs.push(("state", Json::string(state_name(status.local.state))));
    map(pairs)
}

/// A set of one or no members is written as the database gives it back: one alone.
fn one_or_set(mut members: Vec<Json>) -> Json {
    match members.len() {
        1 => members.remove(0),
        _ => set(members.into_iter()),
    }
}

fn cfm(status: Option<&CfmStatus>) -> Columns {
    let word = |works: bool| Json::string(if works { "up" } else { "down" });
    let of = |value: &dyn Fn(&CfmStatus) -> Option<Json>| optional(status.and_then(value));
    let list = |value: &dyn Fn(&CfmStatus) -> Vec<Json>| one_or_set(status.map(value).unwrap_or_default());
    vec![
        ("cfm_fault", of(&|status| Some(Json::Bool(status.fault)))),
        (
            "cfm_fault_status",
            list(&|status| {
                let mut names: Vec<&str> = status.faults.names().collect();
                names.sort_unstable();
                names.into_iter().map(Json::string).collect()
            }),
        ),
        ("cfm_flap_count", of(&|status| Some(number(status.flaps)))),
        ("cfm_health", of(&|status| status.health.map(|health| number(health.into())))),
        ("cfm_remote_mpids", list(&|status| status.points.iter().map(|(name, ..)| number(*name)).collect())),
        ("cfm_remote_opstate", of(&|status| status.extended.then(|| word(status.remote_works)))),
    ]
}

impl Switch {
    /// How the links of interfaces are that are watched.
    fn watched_links(&self) -> BTreeMap<String, Columns> {
        let bridges = self.bridges.lock();
        let mut all = BTreeMap::new();
        for bridge in bridges.by_name.values().filter(|bridge| bridge.watches()) {
            for number in bridge.watched() {
                let Some(port) = bridge.ports().get(&number) else { continue };
                let mut columns = vec![("bfd_status", bfd(bridge.bfd(number).as_ref()))];
                columns.extend(cfm(bridge.cfm(number).as_ref()));
                all.insert(port.name.clone(), columns);
            }
        }
        all
    }

    /// Columns of interfaces that say how their links are, and those of others, which say nothing.
    pub(super) fn watch_columns(&mut self) -> impl Fn(&str) -> Columns + use<> {
        self.watches_told.0 = self.watched_links();
        let told = self.watches_told.0.clone();
        move |name: &str| {
            let nothing = || {
                let mut columns = vec![("bfd_status", bfd(None))];
                columns.extend(cfm(None));
                columns
            };
            told.get(name).cloned().unwrap_or_else(nothing)
        }
    }

    /// Tells the database what changed at watched links.
    pub(in super::super) fn report_watches(&mut self) {
        if self.watches_told.0.is_empty() && !self.bridges.lock().by_name.values().any(|it| it.watches()) {
            return;
        }
        let now = self.watched_links();
        if now == self.watches_told.0 {
            return;
        }
        let Some(joint) = &self.joint else { return };
        if joint.is_busy() {
            // The next tick tries again.
            return;
        }
        let Some(interfaces) = Reader::of(joint, "Interface") else { return };
        let mut operations = Vec::new();
        for (name, columns) in &now {
            if self.watches_told.0.get(name) == Some(columns) {
                continue;
            }
            let Some((uuid, _)) = interfaces.named(name) else { continue };
            let columns = joint.differing("Interface", uuid, columns.clone());
            if !columns.is_empty() {
                operations.push(update("Interface", uuid, columns));
            }
        }
        self.watches_told.0 = now;
        if !operations.is_empty() {
            self.say(operations);
        }
    }
}
