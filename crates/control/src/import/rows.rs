//! An Open vSwitch database to be read once, which remembers what of it was read.

use netloom_proto::ovsdb::client::Replica;
use netloom_proto::ovsdb::{Atom, Database, Datum, Row, STANDARD_COLUMNS, Schema, TableSchema, Uuid};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// All rows of a database.
#[derive(Debug, Clone)]
pub struct Source {
    schema: Arc<Schema>,
    rows: Vec<Vec<Arc<Row>>>,
}

impl Source {
    /// What a client has copied.
    #[must_use]
    pub fn of_replica(replica: &Replica) -> Self {
        let schema = replica.schema().clone();
        let rows = (0..schema.tables.len()).map(|table| replica.rows(table).cloned().collect()).collect();
        Self { schema, rows }
    }

    /// What a file has.
    #[must_use]
    pub fn of_database(database: &Database) -> Self {
        let schema = database.schema().clone();
        let of = |table| database.table(table).into_iter().flat_map(|table| table.rows().cloned()).collect();
        let rows = (0..schema.tables.len()).map(of).collect();
        Self { schema, rows }
    }

    /// Rows that a test made up, by table.
    #[cfg(test)]
    pub(super) fn of_rows(schema: Arc<Schema>, rows: Vec<Vec<Arc<Row>>>) -> Self {
        Self { schema, rows }
    }

    /// Whether it is a switch's database.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.schema.table("Bridge").is_some() && self.schema.table("Port").is_some()
    }

    /// The names of the bridges, with the OpenFlow numbers and names of their ports as far as they are known.
    #[must_use]
    pub fn bridges(&self) -> Vec<(String, Vec<(i64, String)>)> {
        let reader = Reader::new(self);
        let list = reader.rows("Bridge").map(|bridge| {
            let ports = reader.refer(bridge, "ports", "Port");
            let interfaces = ports.into_iter().flat_map(|port| reader.refer(port, "interfaces", "Interface"));
            let numbered = interfaces.filter_map(|interface| {
                let Atom::Integer(number) = interface.get("ofport").one()?.clone() else { return None };
                Some((number, interface.text("name")?))
            });
            (bridge.text("name").unwrap_or_default(), numbered.collect())
        });
        list.collect()
    }
}

/// A row with its table.
#[derive(Clone, Copy)]
pub(super) struct Place<'s> {
    pub(super) table: &'s TableSchema,
    pub(super) row: &'s Row,
}

impl Place<'_> {
    /// A value, whoever has read it; none of a column that the schema does not have.
    pub(super) fn get(&self, column: &str) -> Datum {
        self.table.column(column).map(|column| self.row.field(column).clone()).unwrap_or_default()
    }

    pub(super) fn text(&self, column: &str) -> Option<String> {
        match self.get(column).one()? {
            Atom::String(text) => Some(text.to_string()),
            other => Some(atom(other)),
        }
    }

    pub(super) fn name(&self) -> String {
        self.text("name").unwrap_or_else(|| uuid(self.row.uuid()))
    }
}

/// Reads rows and remembers which columns were read, and which keys of maps.
pub(super) struct Reader<'s> {
    source: &'s Source,
    read: RefCell<BTreeSet<(Uuid, String, Option<String>)>>,
    by_uuid: HashMap<Uuid, (usize, usize)>,
}

impl<'s> Reader<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        let mut by_uuid = HashMap::new();
        for (table, rows) in source.rows.iter().enumerate() {
            by_uuid.extend(rows.iter().enumerate().map(|(index, row)| (row.uuid(), (table, index))));
        }
        Self { source, read: RefCell::default(), by_uuid }
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &'s TableSchema> {
        self.source.schema.tables.iter()
    }

    /// The rows of a table, sorted by name.
    pub(super) fn rows(&self, table: &str) -> impl Iterator<Item = Place<'s>> + use<'s> {
        let place = self.source.schema.table(table);
        let table = place.and_then(|place| self.source.schema.tables.get(place));
        let rows = place.and_then(|place| self.source.rows.get(place));
        let mut list: Vec<Place<'s>> = table
            .into_iter()
            .flat_map(|table| rows.into_iter().flatten().map(move |row| Place { table, row }))
            .collect();
        list.sort_by_cached_key(|place| (place.name(), place.row.uuid()));
        list.into_iter()
    }

    pub(super) fn find(&self, uuid: Uuid) -> Option<Place<'s>> {
        let (table, index) = *self.by_uuid.get(&uuid)?;
        Some(Place {
            table: self.source.schema.tables.get(table)?,
            row: self.source.rows.get(table)?.get(index)?,
        })
    }

    /// The rows of a table that a column names, sorted by name.
    pub(super) fn refer(&self, place: Place<'s>, column: &str, table: &str) -> Vec<Place<'s>> {
        let datum = place.get(column);
        let found = datum.atoms().iter().filter_map(|atom| match atom {
            Atom::Uuid(uuid) => self.find(*uuid).filter(|found| &*found.table.name == table),
            _ => None,
        });
        let mut list: Vec<Place<'s>> = found.collect();
        list.sort_by_cached_key(Place::name);
        list
    }

    /// Says that a column is dealt with, and gives its value.
    pub(super) fn take(&self, place: Place<'_>, column: &str) -> Datum {
        self.read.borrow_mut().insert((place.row.uuid(), column.to_owned(), None));
        place.get(column)
    }

    /// The same of one key of a map.
    pub(super) fn take_key(&self, place: Place<'_>, column: &str, key: &str) {
        self.read.borrow_mut().insert((place.row.uuid(), column.to_owned(), Some(key.to_owned())));
    }

    /// A number of a map of texts.
    pub(super) fn number(&self, place: Place<'_>, column: &str, key: &str) -> Option<u64> {
        place.get(column).text_of(key)?.trim().parse().ok()
    }

    /// Whether a column is true.
    pub(super) fn is_true(&self, place: Place<'_>, column: &str) -> bool {
        place.get(column).one() == Some(&Atom::Boolean(true))
    }

    /// Whole numbers of a column.
    pub(super) fn numbers(&self, place: Place<'_>, column: &str) -> Vec<i64> {
        let datum = place.get(column);
        datum
            .atoms()
            .iter()
            .filter_map(|atom| if let Atom::Integer(one) = atom { Some(*one) } else { None })
            .collect()
    }

    /// What a row says beyond its defaults and was not read, with each key of a map by itself.
    pub(super) fn left(&self, place: Place<'_>, passed_over: &[&str]) -> Vec<(String, String)> {
        let read = self.read.borrow();
        let mut list = Vec::new();
        for (index, column) in place.table.columns.iter().enumerate().skip(STANDARD_COLUMNS) {
            let name = column.name.to_string();
            let value = place.row.field(index);
            let is_read = read.contains(&(place.row.uuid(), name.clone(), None));
            if is_read || !column.persistent || passed_over.contains(&&*name) || value.is_default(&column.ty)
            {
                continue;
            }
            if value.pairs().is_empty() {
                list.push((name, self.words(value)));
                continue;
            }
            for (key, value) in value.pairs() {
                let key = self.one(key);
                if !read.contains(&(place.row.uuid(), name.clone(), Some(key.clone()))) {
                    list.push((format!("{name}:{key}"), self.one(value)));
                }
            }
        }
        list
    }

    fn one(&self, atom: &Atom) -> String {
        match atom {
            Atom::Uuid(uuid) => match self.find(*uuid) {
                Some(place) => format!("{} {}", place.table.name, place.name()),
                None => self::atom(atom),
            },
            other => self::atom(other),
        }
    }

    pub(super) fn words(&self, value: &Datum) -> String {
        let pairs = value.pairs().iter().map(|(key, value)| format!("{}={}", self.one(key), self.one(value)));
        value.atoms().iter().map(|atom| self.one(atom)).chain(pairs).collect::<Vec<_>>().join(",")
    }
}

fn uuid(uuid: Uuid) -> String {
    let mut text = String::new();
    uuid.write(&mut text);
    text
}

fn atom(atom: &Atom) -> String {
    match atom {
        Atom::Integer(number) => number.to_string(),
        Atom::Real(number) => number.to_string(),
        Atom::Boolean(value) => value.to_string(),
        Atom::String(text) => text.to_string(),
        Atom::Uuid(one) => uuid(*one),
    }
}
