//! What differs between two records, as operations on the database (RFC 7047, section 5.2).

use super::super::records::{Atom, Bridge, Columns, Mirror, Port, Records, Value};
use super::read::Reader;
use super::{Joint, NAME};
use netloom_proto::ovsdb::json::Object;
use netloom_proto::ovsdb::{Datum, Json, TableSchema, Uuid};
use std::collections::{BTreeMap, BTreeSet};

fn atom(atom: &Atom) -> Json {
    match atom {
        Atom::Integer(number) => Json::Integer(*number),
        Atom::Truth(truth) => Json::Bool(*truth),
        Atom::Text(text) => Json::string(text),
    }
}

fn set(members: Vec<Json>) -> Json {
    Json::Array(vec![Json::string("set"), Json::Array(members)])
}

fn map<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Json {
    let pair = |(key, value): (&String, &String)| Json::Array(vec![Json::string(key), Json::string(value)]);
    Json::Array(vec![Json::string("map"), Json::Array(pairs.map(pair).collect())])
}

fn value(value: &Value) -> Json {
    match value {
        Value::Atom(one) => atom(one),
        Value::Set(members) => set(members.iter().map(atom).collect()),
        Value::Map(pairs) => map(pairs.iter()),
    }
}

pub(super) fn uuid(uuid: Uuid) -> Json {
    Json::Array(vec![Json::string("uuid"), Json::string(&uuid.to_string())])
}

fn named(name: &str) -> Json {
    Json::Array(vec![Json::string("named-uuid"), Json::string(name)])
}

fn object(members: Vec<(&str, Json)>) -> Json {
    Json::Object(Object::new(members.into_iter().map(|(name, value)| (name.into(), value)).collect()))
}

/// A new row, which others of the same transaction know by `name`.
pub(super) fn insert(table: &str, name: Option<&str>, row: Vec<(&str, Json)>) -> Json {
    let mut members =
        vec![("op", Json::string("insert")), ("table", Json::string(table)), ("row", object(row))];
    members.extend(name.map(|name| ("uuid-name", Json::string(name))));
    object(members)
}

fn with_row(op: &str, table: &str, row: Uuid, what: (&str, Json)) -> Json {
    let this = Json::Array(vec![Json::string("_uuid"), Json::string("=="), uuid(row)]);
    object(vec![
        ("op", Json::string(op)),
        ("table", Json::string(table)),
        ("where", Json::Array(vec![this])),
        what,
    ])
}

/// New values of some columns of a row.
pub(super) fn update(table: &str, row: Uuid, columns: Vec<(&str, Json)>) -> Json {
    with_row("update", table, row, ("row", object(columns)))
}

/// Changes of some columns of a row: column, mutator, value.
fn mutate(table: &str, row: Uuid, mutations: Vec<(&str, &str, Json)>) -> Json {
    let mutation =
        |(column, mutator, value)| Json::Array(vec![Json::string(column), Json::string(mutator), value]);
    with_row("mutate", table, row, ("mutations", Json::Array(mutations.into_iter().map(mutation).collect())))
}

fn all(columns: &Columns) -> Vec<(&str, Json)> {
    columns.iter().map(|(name, column)| (name.as_str(), value(column))).collect()
}

/// Operations that are being collected.
struct Operations<'a> {
    joint: &'a Joint,
    list: Vec<Json>,
    /// New rows by table and name: what they are called in this transaction.
    fresh: BTreeMap<(&'static str, String), String>,
}

impl Operations<'_> {
    fn fresh(&mut self, table: &'static str, name: &str) -> String {
        let called = format!("row{}", self.fresh.len());
        self.fresh.insert((table, name.to_owned()), called.clone());
        called
    }

    /// What a row is referred to by.
    fn reference(&self, table: &'static str, name: &str) -> Option<Json> {
        if let Some(called) = self.fresh.get(&(table, name.to_owned())) {
            return Some(named(called));
        }
        Reader::of(self.joint, table)?.named(name).map(|(row, _)| uuid(row))
    }

    fn references<'b>(&self, table: &'static str, names: impl IntoIterator<Item = &'b String>) -> Json {
        set(names.into_iter().filter_map(|name| self.reference(table, name)).collect())
    }

    /// Changes the columns that differ.
    fn change(&mut self, table: &'static str, row: Uuid, before: &Columns, after: &Columns) {
        let Some(schema) = self.joint.table(table) else { return };
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let (mut updates, mut mutations) = (Vec::new(), Vec::new());
        for name in names {
            let none = BTreeMap::new();
            match (before.get(name), after.get(name)) {
                (old, new) if old == new => {}
                (Some(Value::Map(_)), _) | (_, Some(Value::Map(_))) => {
                    let pairs = |value: Option<&'_ Value>| match value {
                        Some(Value::Map(map)) => map.clone(),
                        _ => none.clone(),
                    };
                    let (old, new) = (pairs(before.get(name)), pairs(after.get(name)));
                    let gone: Vec<Json> = old
                        .iter()
                        .filter(|(key, text)| new.get(*key) != Some(*text))
                        .map(|(key, _)| Json::string(key))
                        .collect();
                    if !gone.is_empty() {
                        mutations.push((name.as_str(), "delete", set(gone)));
                    }
                    let mut come = new.iter().filter(|(key, text)| old.get(*key) != Some(*text)).peekable();
                    if come.peek().is_some() {
                        // A key that somebody else set stays otherwise.
                        let keys = new.iter().filter(|(key, text)| old.get(*key) != Some(*text));
                        mutations.push((
                            name.as_str(),
                            "delete",
                            set(keys.map(|(key, _)| Json::string(key)).collect()),
                        ));
                        mutations.push((name.as_str(), "insert", map(come)));
                    }
                }
                (_, Some(new)) => updates.push((name.as_str(), value(new))),
                (_, None) => updates.extend(default_of(schema, name).map(|default| (name.as_str(), default))),
            }
        }
        if !updates.is_empty() {
            self.list.push(update(table, row, updates));
        }
        if !mutations.is_empty() {
            self.list.push(mutate(table, row, mutations));
        }
    }

    /// Adds rows; those of the same name that another port had end with that.
    fn add_port(&mut self, name: &str, port: &Port) -> Json {
        for (interface, columns) in &port.interfaces {
            self.add_interface(interface, columns);
        }
        let mut row = all(&port.columns);
        row.push(("name", Json::string(name)));
        row.push(("interfaces", self.references("Interface", port.interfaces.keys())));
        let called = self.fresh("Port", name);
        self.list.push(insert("Port", Some(&called), row));
        named(&called)
    }

    fn add_interface(&mut self, name: &str, columns: &Columns) {
        let called = self.fresh("Interface", name);
        let mut row = all(columns);
        row.push(("name", Json::string(name)));
        self.list.push(insert("Interface", Some(&called), row));
    }

    fn change_port(&mut self, row: Uuid, before: &Port, after: &Port) {
        self.change("Port", row, &before.columns, &after.columns);
        for (interface, columns) in &after.interfaces {
            let known = Reader::of(self.joint, "Interface").and_then(|table| table.named(interface));
            match (before.interfaces.get(interface), known) {
                (Some(old), Some((row, _))) => self.change("Interface", row, old, columns),
                _ if !self.fresh.contains_key(&("Interface", interface.clone())) => {
                    self.add_interface(interface, columns)
                }
                _ => {}
            }
        }
        if before.interfaces.keys().ne(after.interfaces.keys()) {
            let interfaces = self.references("Interface", after.interfaces.keys());
            self.list.push(update("Port", row, vec![("interfaces", interfaces)]));
        }
    }

    fn mirror_row(&self, mirror: &Mirror) -> Vec<(&'static str, Json)> {
        vec![
            ("select_src_port", self.references("Port", &mirror.from)),
            ("select_dst_port", self.references("Port", &mirror.to)),
            ("output_port", self.references("Port", &mirror.output)),
        ]
    }

    fn add_mirror(&mut self, name: &str, mirror: &Mirror) -> Json {
        let called = self.fresh("Mirror", name);
        let mut row = all(&mirror.columns);
        row.push(("name", Json::string(name)));
        row.extend(self.mirror_row(mirror));
        self.list.push(insert("Mirror", Some(&called), row));
        named(&called)
    }

    fn change_bridge(&mut self, row: Uuid, before: &Bridge, after: &Bridge) {
        self.change("Bridge", row, &before.columns, &after.columns);
        let (mut come, mut gone) = (Vec::new(), Vec::new());
        for (name, port) in &after.ports {
            let known = Reader::of(self.joint, "Port").and_then(|table| table.named(name));
            match (before.ports.get(name), known) {
                (Some(old), _) if old == port => {}
                (Some(old), Some((row, _))) => self.change_port(row, old, port),
                _ => come.push(self.add_port(name, port)),
            }
        }
        for name in before.ports.keys().filter(|name| !after.ports.contains_key(*name)) {
            gone.extend(self.reference("Port", name));
        }
        self.members("ports", row, come, gone);
        let (mut come, mut gone) = (Vec::new(), Vec::new());
        let known: BTreeMap<String, Uuid> = self.mirrors_of(row);
        for (name, mirror) in &after.mirrors {
            match (before.mirrors.get(name), known.get(name)) {
                (Some(old), _) if old == mirror => {}
                (Some(old), Some(row)) => {
                    self.change("Mirror", *row, &old.columns, &mirror.columns);
                    let references = self.mirror_row(mirror);
                    self.list.push(update("Mirror", *row, references));
                }
                _ => come.push(self.add_mirror(name, mirror)),
            }
        }
        let ended = before.mirrors.keys().filter(|name| !after.mirrors.contains_key(*name));
        gone.extend(ended.filter_map(|name| known.get(name)).map(|row| uuid(*row)));
        self.members("mirrors", row, come, gone);
    }

    fn mirrors_of(&self, bridge: Uuid) -> BTreeMap<String, Uuid> {
        let tables = (Reader::of(self.joint, "Bridge"), Reader::of(self.joint, "Mirror"));
        let (Some(bridges), Some(mirrors)) = tables else { return BTreeMap::new() };
        let Some(row) = bridges.row(bridge) else { return BTreeMap::new() };
        let all = bridges.references(row, "mirrors").filter_map(|uuid| Some((uuid, mirrors.row(uuid)?)));
        all.map(|(uuid, row)| (mirrors.text(row, "name").to_owned(), uuid)).collect()
    }

    fn members(&mut self, column: &str, bridge: Uuid, come: Vec<Json>, gone: Vec<Json>) {
        let mut mutations = Vec::new();
        if !gone.is_empty() {
            mutations.push((column, "delete", set(gone)));
        }
        if !come.is_empty() {
            mutations.push((column, "insert", set(come)));
        }
        if !mutations.is_empty() {
            self.list.push(mutate("Bridge", bridge, mutations));
        }
    }
}

fn default_of(table: &TableSchema, column: &str) -> Option<Json> {
    let ty = &table.columns.get(table.column(column)?)?.ty;
    Some(Datum::default_of(ty).to_json(ty.value.is_some()))
}

impl Joint {
    /// The operations that make what `before` says what `after` says, and touch nothing else.
    pub(super) fn difference(&self, before: &Records, after: &Records) -> Vec<Json> {
        let mut operations = Operations { joint: self, list: Vec::new(), fresh: BTreeMap::new() };
        let (mut come, mut gone) = (Vec::new(), Vec::new());
        for (name, bridge) in after {
            let known = Reader::of(self, "Bridge").and_then(|table| table.named(name));
            match (before.get(name), known) {
                (Some(old), _) if old == bridge => {}
                (Some(old), Some((row, _))) => operations.change_bridge(row, old, bridge),
                _ => {
                    let ports =
                        bridge.ports.iter().map(|(name, port)| operations.add_port(name, port)).collect();
                    let mut row = all(&bridge.columns);
                    row.push(("name", Json::string(name)));
                    row.push(("ports", set(ports)));
                    let mirrors = bridge
                        .mirrors
                        .iter()
                        .map(|(name, mirror)| operations.add_mirror(name, mirror))
                        .collect();
                    row.push(("mirrors", set(mirrors)));
                    let called = operations.fresh("Bridge", name);
                    operations.list.push(insert("Bridge", Some(&called), row));
                    come.push(named(&called));
                }
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            gone.extend(operations.reference("Bridge", name));
        }
        if let Some(whole) = self.whole() {
            let mut mutations = Vec::new();
            if !gone.is_empty() {
                mutations.push(("bridges", "delete", set(gone)));
            }
            if !come.is_empty() {
                mutations.push(("bridges", "insert", set(come)));
            }
            if !mutations.is_empty() {
                operations.list.push(mutate(NAME, whole, mutations));
            }
        }
        operations.list
    }
}
