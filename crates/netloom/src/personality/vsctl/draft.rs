//! A database as it would be after what the commands have done so far, and the transaction that makes it so.
//!
//! What is read is the copy of the database with the changes over it. A change of single members of a set or a map is told
//! as such, so that two tools that do the same at once do not disturb each other; what is written whole after it was read
//! goes with a condition that it has not changed meanwhile.

use netloom_proto::ovsdb::client::Replica;
use netloom_proto::ovsdb::json::Object;
use netloom_proto::ovsdb::{Atom, Datum, Json, Row, Schema, TableSchema, Uuid, UuidSource};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// A row: the table's place in the schema, and its name.
pub type Place = (usize, Uuid);

/// How a column changes.
#[derive(Debug, Clone)]
enum Write {
    /// It becomes what the row has now.
    Whole,
    /// Members come, and keys or atoms go.
    Members { inserted: Datum, deleted: Datum },
}

/// The database as it would be.
#[derive(Debug)]
pub struct Draft {
    replica: Replica,
    /// Rows that changed; nothing for those that went away.
    changed: BTreeMap<Place, Option<Row>>,
    inserted: Vec<Place>,
    writes: BTreeMap<Place, BTreeMap<usize, Write>>,
    verified: BTreeSet<(Place, usize)>,
    uuids: UuidSource,
}

/// A transaction that is ready to be sent, and where its answers are.
#[derive(Debug)]
pub struct Transaction {
    pub operations: Vec<Json>,
    /// Rows that are inserted, by the places of their answers.
    pub inserted: Vec<(usize, Uuid)>,
    /// Where the new `next_cfg` is answered.
    pub next_cfg: Option<usize>,
}

/// What a transaction has beside the changes.
#[derive(Debug, Default)]
pub struct Extra {
    /// The row whose `next_cfg` counts changes.
    pub counted: Option<Place>,
    pub comment: String,
    pub dry_run: bool,
}

/// A generator that nobody can foresee well enough to be in the way.
fn seeded() -> UuidSource {
    let seed = [0_u64, 1, 2, 3].map(|number| RandomState::new().hash_one(number));
    UuidSource::new(seed)
}

impl Draft {
    pub fn new(replica: Replica) -> Self {
        Self {
            replica,
            changed: BTreeMap::new(),
            inserted: Vec::new(),
            writes: BTreeMap::new(),
            verified: BTreeSet::new(),
            uuids: seeded(),
        }
    }

    pub fn schema(&self) -> &Arc<Schema> {
        self.replica.schema()
    }

    pub fn table(&self, place: usize) -> Option<&TableSchema> {
        self.replica.schema().tables.get(place)
    }

    /// The place of a table by its name.
    pub fn table_of(&self, name: &str) -> Option<usize> {
        self.replica.schema().table(name)
    }

    /// A row as it is now.
    pub fn row(&self, (table, uuid): Place) -> Option<&Row> {
        match self.changed.get(&(table, uuid)) {
            Some(changed) => changed.as_ref(),
            None => self.replica.get(table, uuid).map(|row| &**row),
        }
    }

    /// The rows of a table, by their names.
    pub fn rows(&self, table: usize) -> Vec<Uuid> {
        let known = self.replica.rows(table).map(|row| row.uuid());
        let mut all: BTreeSet<Uuid> = known.collect();
        for ((_, uuid), row) in
            self.changed.range((table, Uuid::ZERO)..).take_while(|((of, _), _)| *of == table)
        {
            if row.is_some() {
                all.insert(*uuid);
            } else {
                all.remove(uuid);
            }
        }
        all.into_iter().collect()
    }

    /// A value by the name of its column; the default if there is no such row or column.
    pub fn value(&self, place: Place, column: &str) -> Datum {
        let at = self.table(place.0).and_then(|table| table.column(column));
        let row = self.row(place);
        at.zip(row).map_or(Datum::Empty, |(at, row)| row.field(at).clone())
    }

    /// A text, if the column has exactly one.
    pub fn text(&self, place: Place, column: &str) -> Option<String> {
        self.value(place, column).one().and_then(Atom::as_str).map(str::to_owned)
    }

    pub fn integer(&self, place: Place, column: &str) -> Option<i64> {
        self.value(place, column).one().and_then(Atom::as_integer)
    }

    /// Rows that a column refers to.
    pub fn references(&self, place: Place, column: &str) -> Vec<Uuid> {
        let value = self.value(place, column);
        let values = value.pairs().iter().filter_map(|(_, value)| value.as_uuid());
        value.atoms().iter().filter_map(Atom::as_uuid).chain(values).collect()
    }

    /// Inserts a row and gives its place.
    pub fn insert(&mut self, table: usize, uuid: Option<Uuid>) -> Option<Place> {
        let uuid = uuid.unwrap_or_else(|| self.uuids.next_uuid());
        let row = Row::new(self.table(table)?, uuid);
        let place = (table, uuid);
        self.changed.insert(place, Some(row));
        self.inserted.push(place);
        Some(place)
    }

    /// Takes a row away. One that was inserted here never was.
    pub fn delete(&mut self, place: Place) {
        self.changed.insert(place, None);
        self.writes.remove(&place);
        self.inserted.retain(|inserted| *inserted != place);
    }

    fn is_inserted(&self, place: Place) -> bool {
        self.inserted.contains(&place)
    }

    fn put(&mut self, place: Place, column: usize, value: Datum) {
        if !self.changed.contains_key(&place) {
            let row = self.replica.get(place.0, place.1).map(|row| Row::clone(row));
            self.changed.insert(place, row);
        }
        if let Some(Some(row)) = self.changed.get_mut(&place) {
            row.set(column, value);
        }
    }

    /// Writes a whole value. With `verified` it must be what it is now until then.
    pub fn write(&mut self, place: Place, column: usize, value: Datum, verified: bool) {
        self.put(place, column, value);
        self.writes.entry(place).or_default().insert(column, Write::Whole);
        if verified && !self.is_inserted(place) {
            self.verified.insert((place, column));
        }
    }

    /// Writes a whole value by the name of its column.
    pub fn set(&mut self, place: Place, column: &str, value: impl Into<Datum>) {
        if let Some(at) = self.table(place.0).and_then(|table| table.column(column)) {
            self.write(place, at, value.into(), false);
        }
    }

    /// Puts members into a set or a map; of a map those with the same keys go.
    pub fn add(&mut self, place: Place, column: usize, members: &Datum) {
        let Some(row) = self.row(place) else { return };
        let old = row.field(column).clone();
        let new = members.union(&old);
        self.put(place, column, new);
        let keys = Datum::set(members.pairs().iter().map(|(key, _)| key.clone()).collect());
        match self.writes.entry(place).or_default().entry(column).or_insert_with(nothing) {
            Write::Whole => {}
            Write::Members { inserted, deleted } => {
                *inserted = members.union(inserted);
                *deleted = if keys.is_empty() { deleted.subtract(members) } else { deleted.union(&keys) };
            }
        }
    }

    /// Takes atoms out of a set, or the pairs with these keys out of a map.
    pub fn remove(&mut self, place: Place, column: usize, keys: &Datum) {
        let Some(row) = self.row(place) else { return };
        let new = row.field(column).subtract(keys);
        self.put(place, column, new);
        match self.writes.entry(place).or_default().entry(column).or_insert_with(nothing) {
            Write::Whole => {}
            Write::Members { inserted, deleted } => {
                *inserted = inserted.subtract(keys);
                *deleted = deleted.union(keys);
            }
        }
    }

    /// As [`Draft::add`], by the name of the column.
    pub fn add_member(&mut self, place: Place, column: &str, member: impl Into<Datum>) {
        if let Some(at) = self.table(place.0).and_then(|table| table.column(column)) {
            self.add(place, at, &member.into());
        }
    }

    /// As [`Draft::remove`], by the name of the column.
    pub fn remove_member(&mut self, place: Place, column: &str, member: impl Into<Datum>) {
        if let Some(at) = self.table(place.0).and_then(|table| table.column(column)) {
            self.remove(place, at, &member.into());
        }
    }

    /// A value as JSON, in which rows that are inserted have names of their own.
    fn json(&self, value: &Datum, is_map: bool) -> Json {
        let atom = |atom: &Atom| match atom.as_uuid() {
            Some(uuid) => self.uuid_json(uuid),
            None => atom.to_json(),
        };
        if is_map {
            let pairs = value.pairs().iter().map(|(key, value)| Json::Array(vec![atom(key), atom(value)]));
            return Json::Array(vec![Json::string("map"), Json::Array(pairs.collect())]);
        }
        match value.one() {
            Some(one) => atom(one),
            None => {
                let atoms = value.atoms().iter().map(atom).collect();
                Json::Array(vec![Json::string("set"), Json::Array(atoms)])
            }
        }
    }

    fn uuid_json(&self, uuid: Uuid) -> Json {
        if self.inserted.iter().any(|(_, inserted)| *inserted == uuid) {
            return Json::Array(vec![Json::string("named-uuid"), Json::string(&name_of(uuid))]);
        }
        Json::Array(vec![Json::string("uuid"), Json::string(&uuid.to_string())])
    }

    fn where_is(&self, (_, uuid): Place) -> Json {
        let clause = vec![Json::string("_uuid"), Json::string("=="), self.uuid_json(uuid)];
        Json::Array(vec![Json::Array(clause)])
    }

    fn operation(&self, verb: &str, place: Place, more: Vec<(&str, Json)>) -> Json {
        let table = self.table(place.0).map_or("", |table| &*table.name);
        let mut members = vec![("op".into(), Json::string(verb)), ("table".into(), Json::string(table))];
        members.extend(more.into_iter().map(|(name, value)| (name.into(), value)));
        Json::Object(Object::new(members))
    }

    /// The transaction that makes the database so; nothing if it is so already.
    pub fn transaction(&self, extra: &Extra) -> Option<Transaction> {
        let mut operations = self.conditions();
        let conditions = operations.len();
        let mut inserted = Vec::new();
        let mut changes = false;
        for (place, row) in &self.changed {
            let Some(row) = row else {
                // Rows of other tables go when nothing refers to them any more.
                if self.table(place.0).is_some_and(|table| table.is_root) {
                    let known = self.replica.get(place.0, place.1).is_some();
                    operations.extend(
                        known.then(|| {
                            self.operation("delete", *place, vec![("where", self.where_is(*place))])
                        }),
                    );
                    changes |= known;
                }
                continue;
            };
            if self.is_inserted(*place) {
                inserted.push((operations.len(), place.1));
                operations.push(self.insertion(*place, row));
                changes = true;
            } else {
                changes |= self.changes_of(*place, row, &mut operations);
            }
        }
        if !changes {
            return None;
        }
        debug_assert!(operations.len() > conditions);
        let mut next_cfg = None;
        if let Some(place) = extra.counted {
            let mutation = vec![Json::string("next_cfg"), Json::string("+="), Json::Integer(1)];
            let mutations = Json::Array(vec![Json::Array(mutation)]);
            let place_of = || ("where", self.where_is(place));
            operations.push(self.operation("mutate", place, vec![place_of(), ("mutations", mutations)]));
            let columns = Json::Array(vec![Json::string("next_cfg")]);
            next_cfg = Some(operations.len());
            operations.push(self.operation("select", place, vec![place_of(), ("columns", columns)]));
        }
        if !extra.comment.is_empty() {
            let comment = Json::string(&extra.comment);
            operations.push(Json::object([("op", Json::string("comment")), ("comment", comment)]));
        }
        if extra.dry_run {
            operations.push(Json::object([("op", Json::string("abort"))]));
        }
        Some(Transaction { operations, inserted, next_cfg })
    }

    /// What must not have changed.
    fn conditions(&self) -> Vec<Json> {
        let mut by_row: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (place, column) in &self.verified {
            by_row.entry(*place).or_default().push(*column);
        }
        let mut operations = Vec::new();
        for (place, columns) in by_row {
            let (Some(table), Some(row)) = (self.table(place.0), self.replica.get(place.0, place.1)) else {
                continue;
            };
            let known = || columns.iter().filter_map(|at| Some((*at, table.columns.get(*at)?)));
            let names = known().map(|(_, column)| Json::string(&column.name)).collect();
            let values =
                known().map(|(at, column)| (column.name.clone(), row.field(at).to_json(column.ty.is_map())));
            let values = Json::Object(Object::new(values.collect()));
            operations.push(self.operation(
                "wait",
                place,
                vec![
                    ("timeout", Json::Integer(0)),
                    ("where", self.where_is(place)),
                    ("columns", Json::Array(names)),
                    ("until", Json::string("==")),
                    ("rows", Json::Array(vec![values])),
                ],
            ));
        }
        operations
    }

    fn insertion(&self, place: Place, row: &Row) -> Json {
        let mut values = Vec::new();
        for at in self.writes.get(&place).into_iter().flat_map(BTreeMap::keys) {
            let Some(column) = self.table(place.0).and_then(|table| table.columns.get(*at)) else { continue };
            if !row.field(*at).is_default(&column.ty) {
                values.push((column.name.clone(), self.json(row.field(*at), column.ty.is_map())));
            }
        }
        let row = Json::Object(Object::new(values));
        self.operation("insert", place, vec![("uuid-name", Json::string(&name_of(place.1))), ("row", row)])
    }

    /// Appends what changes a row that is there. The answer is whether anything does.
    fn changes_of(&self, place: Place, row: &Row, operations: &mut Vec<Json>) -> bool {
        let (mut values, mut mutations, mut changes) = (Vec::new(), Vec::new(), false);
        for (at, write) in self.writes.get(&place).into_iter().flatten() {
            let Some(column) = self.table(place.0).and_then(|table| table.columns.get(*at)) else { continue };
            match write {
                Write::Whole => {
                    let before = self.replica.get(place.0, place.1).map(|row| row.field(*at));
                    changes |= before != Some(row.field(*at));
                    values.push((column.name.clone(), self.json(row.field(*at), column.ty.is_map())));
                }
                Write::Members { inserted, deleted } => {
                    for (verb, members, is_map) in
                        [("delete", deleted, false), ("insert", inserted, column.ty.is_map())]
                    {
                        if !members.is_empty() {
                            let members = self.json(members, is_map);
                            let name = Json::string(&column.name);
                            mutations.push(Json::Array(vec![name, Json::string(verb), members]));
                            changes = true;
                        }
                    }
                }
            }
        }
        if !values.is_empty() {
            let row = Json::Object(Object::new(values));
            operations.push(self.operation(
                "update",
                place,
                vec![("where", self.where_is(place)), ("row", row)],
            ));
        }
        if !mutations.is_empty() {
            let mutations = Json::Array(mutations);
            let more = vec![("where", self.where_is(place)), ("mutations", mutations)];
            operations.push(self.operation("mutate", place, more));
        }
        changes
    }
}

const fn nothing() -> Write {
    Write::Members { inserted: Datum::Empty, deleted: Datum::Empty }
}

/// The name that a row has in the transaction that inserts it.
fn name_of(uuid: Uuid) -> String {
    format!("row{}", uuid.to_string().replace('-', "_"))
}
