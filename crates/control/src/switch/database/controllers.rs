//! What the database says about connections of OpenFlow, and what it is told of them: `Controller` and columns of `Bridge`.

use super::super::openflow::{BridgeSettings, ControllerSettings, ControllerStatus, Statuses};
use super::super::state::Switch;
use super::Joint;
use super::read::Reader;
use super::write::update;
use crate::ovsdb::KeyFiles;
use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::Versions;
use netloom_proto::ovsdb::{Atom, Datum, Json, Row, Uuid};
use netloom_vswitch::openflow::FailMode;
use std::collections::BTreeMap;
use std::time::Duration;

fn integer<'a>(reader: &Reader<'a>, row: &'a Row, column: &str) -> Option<u64> {
    match reader.field(row, column).map(Datum::atoms) {
        Some([Atom::Integer(number)]) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn truth<'a>(reader: &Reader<'a>, row: &'a Row, column: &str) -> Option<bool> {
    match reader.field(row, column).map(Datum::atoms) {
        Some([Atom::Boolean(truth)]) => Some(*truth),
        _ => None,
    }
}

fn key<'a>(reader: &Reader<'a>, row: &'a Row, name: &str) -> Option<&'a str> {
    reader.field(row, "other_config")?.text_of(name)
}

/// The number by which controllers know a bridge.
fn datapath(asked: Option<&str>, address: Option<&str>) -> u64 {
    let text = super::bridge::datapath_id(asked, address).unwrap_or_default();
    u64::from_str_radix(&text, 16).unwrap_or(0)
}

fn controller<'a>(reader: &Reader<'a>, row: &'a Row) -> (String, ControllerSettings) {
    let target = reader.text(row, "target").to_owned();
    let usual = ControllerSettings::of(&target);
    let milliseconds = |column| integer(reader, row, column).map(Duration::from_millis);
    let number =
        |column| integer(reader, row, column).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let settings = ControllerSettings {
        service: match reader.text(row, "type") {
            "" => usual.service,
            kind => kind != "primary",
        },
        max_backoff: milliseconds("max_backoff").unwrap_or(usual.max_backoff),
        probe: match milliseconds("inactivity_probe") {
            Some(Duration::ZERO) => None,
            Some(probe) => Some(probe),
            None => usual.probe,
        },
        rate: number("controller_rate_limit").unwrap_or(usual.rate),
        burst: number("controller_burst_limit").unwrap_or(usual.burst),
        asynchronous: truth(reader, row, "enable_async_messages").unwrap_or(usual.asynchronous),
    };
    (target, settings)
}

impl Joint {
    /// How a bridge's connections are to be.
    fn bridge_settings(&self, bridge: &str, address: Option<&str>, usual: BridgeSettings) -> BridgeSettings {
        let tables =
            (Reader::of(self, "Bridge"), Reader::of(self, "Controller"), Reader::of(self, super::NAME));
        let (Some(bridges), Some(controllers), Some(whole)) = tables else { return usual };
        let Some((_, row)) = bridges.named(bridge) else { return usual };
        let names = bridges.field(row, "protocols").map(Datum::atoms).unwrap_or_default();
        let versions: Versions =
            names.iter().filter_map(Atom::as_str).filter_map(Version::from_name).collect();
        let rows = bridges.references(row, "controller").filter_map(|uuid| controllers.row(uuid));
        let text = |name| key(&bridges, row, name).map(str::to_owned);
        let global = whole.all().next().map(|(_, row)| row);
        let patience =
            global.and_then(|row| key(&whole, row, "bundle-idle-timeout")).and_then(|text| text.parse().ok());
        BridgeSettings {
            versions: if names.is_empty() { usual.versions } else { versions },
            fail_mode: match bridges.text(row, "fail_mode") {
                "secure" => FailMode::Secure,
                _ => FailMode::Standalone,
            },
            datapath: datapath(text("datapath-id").as_deref(), address),
            description: text("dp-desc"),
            serial: text("dp-sn"),
            keys: self.keys(),
            controllers: rows.map(|row| controller(&controllers, row)).collect(),
            // Less than a second is no time at all.
            bundle_timeout: patience
                .map_or(usual.bundle_timeout, |seconds: u64| Duration::from_secs(seconds.max(1))),
        }
    }

    /// Keys of TLS, if a row says which they are.
    fn keys(&self) -> Option<KeyFiles> {
        let (whole, keys) = (Reader::of(self, super::NAME)?, Reader::of(self, "SSL")?);
        let (_, row) = whole.all().next()?;
        let row = keys.row(whole.references(row, "ssl").next()?)?;
        Some(KeyFiles {
            private_key: keys.text(row, "private_key").into(),
            certificate: keys.text(row, "certificate").into(),
            authority: keys.text(row, "ca_cert").into(),
            bootstrap: keys
                .field(row, "bootstrap_ca_cert")
                .and_then(|field| field.atoms().first()?.as_bool())
                == Some(true),
        })
    }

    /// What is said of controllers: whether they are there, as what, and how they fare.
    fn controllers_told(&self, statuses: &Statuses) -> Vec<Json> {
        let tables = (Reader::of(self, "Bridge"), Reader::of(self, "Controller"));
        let (Some(bridges), Some(controllers)) = tables else { return Vec::new() };
        let mut operations = Vec::new();
        for (_, row) in bridges.all() {
            let name = bridges.text(row, "name");
            for uuid in bridges.references(row, "controller") {
                let Some(controller) = controllers.row(uuid) else { continue };
                let target = controllers.text(controller, "target").to_owned();
                let status = statuses.get(&(name.to_owned(), target)).cloned().unwrap_or_default();
                operations.extend(self.controller_told(uuid, &status));
            }
        }
        operations
    }

    fn controller_told(&self, row: Uuid, told: &ControllerStatus) -> Option<Json> {
        let none = || Json::Array(vec![Json::string("set"), Json::Array(Vec::new())]);
        let pair =
            |(key, value): (&String, &String)| Json::Array(vec![Json::string(key), Json::string(value)]);
        let status =
            Json::Array(vec![Json::string("map"), Json::Array(told.status.iter().map(pair).collect())]);
        let columns = vec![
            ("is_connected", Json::Bool(told.is_connected)),
            ("role", told.role.map_or_else(none, Json::string)),
            ("status", status),
        ];
        let columns = self.differing("Controller", row, columns);
        (!columns.is_empty()).then(|| update("Controller", row, columns))
    }
}

impl Switch {
    /// How connections of all bridges are to be.
    pub(in super::super) fn wanted_connections(&self) -> BTreeMap<String, BridgeSettings> {
        let of = |(name, options): (&String, &super::super::configuration::Options)| {
            let address = options.get("address").map(String::as_str);
            let usual = BridgeSettings { datapath: datapath(None, address), ..BridgeSettings::default() };
            let settings = match &self.joint {
                Some(joint) => joint.bridge_settings(name, address, usual),
                None => usual,
            };
            (name.clone(), settings)
        };
        self.configuration.switches.iter().map(of).collect()
    }

    /// Says how controllers fare.
    pub(super) fn report_controllers(&mut self) {
        let (Some(joint), Some(openflow)) = (&self.joint, &self.openflow) else { return };
        if self.connected.values().all(|settings| settings.controllers.is_empty()) {
            return;
        }
        let operations = joint.controllers_told(&openflow.statuses());
        if !operations.is_empty() {
            self.say(operations);
        }
    }
}
