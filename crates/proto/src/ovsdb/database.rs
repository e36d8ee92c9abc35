//! A database in memory: tables of rows, their references and indexes.
//!
//! Invariants: between two transactions everything that the schema asks for holds: values are within their limits,
//! indexes are unique, tables are not too long, references that keep rows lead to rows, and each row of a table that is
//! no root is referred to. `strong` counts the references to a row but for those of the row itself.
//!
//! Costs: rows are shared, so that a commit, its history and its monitors hold the same ones; a transaction costs what
//! it touches times the logarithm of the tables, unless its conditions name neither a row nor an index: then it looks at
//! all rows of a table.

use super::atom::Atom;
use super::datum::Datum;
use super::error::OvsdbError;
use super::history::History;
use super::row::Row;
use super::schema::{Schema, TableSchema};
use super::uuid::{Uuid, UuidSource};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A row and how many references keep it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) row: Arc<Row>,
    pub(super) strong: u64,
}

/// A table's rows.
#[derive(Debug, Default)]
pub struct Table {
    pub(super) rows: BTreeMap<Uuid, Stored>,
    /// One for each index of the schema.
    pub(super) indexes: Vec<BTreeMap<Vec<Datum>, Uuid>>,
    /// Who refers to a row without keeping it, and how often: the row, the table and the row that refers to it.
    pub(super) weak: BTreeMap<(Uuid, usize, Uuid), u32>,
}

impl Table {
    /// A row.
    #[must_use]
    pub fn get(&self, uuid: Uuid) -> Option<&Arc<Row>> {
        self.rows.get(&uuid).map(|stored| &stored.row)
    }

    /// All rows, sorted by UUID.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &Arc<Row>> {
        self.rows.values().map(|stored| &stored.row)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row whose columns have these values, by an index of the schema.
    #[must_use]
    pub fn find(&self, index: usize, key: &[Datum]) -> Option<&Arc<Row>> {
        self.indexes.get(index)?.get(key).and_then(|uuid| self.get(*uuid))
    }

    /// Who refers to a row without keeping it.
    pub(super) fn referring(&self, uuid: Uuid) -> impl Iterator<Item = (usize, Uuid)> {
        let range = (uuid, 0, Uuid::ZERO)..=(uuid, usize::MAX, Uuid::from_u128(u128::MAX));
        self.weak.range(range).map(|((_, table, source), _)| (*table, *source))
    }
}

/// What an index knows a row by.
pub(super) fn index_key(index: &[usize], row: &Row) -> Vec<Datum> {
    index.iter().map(|column| row.field(*column).clone()).collect()
}

/// A row that a transaction changed.
#[derive(Debug, Clone)]
pub struct RowChange {
    /// The place of its table.
    pub table: usize,
    /// Its name.
    pub uuid: Uuid,
    /// As it was; nothing if it is new.
    pub old: Option<Arc<Row>>,
    /// As it is; nothing if it was deleted.
    pub new: Option<Arc<Row>>,
}

/// A transaction whose end was checked. It is for the database as it was then.
#[derive(Debug)]
pub struct Prepared {
    pub(super) sequence: u64,
    /// Rows and how many references keep them, those included for which only that changed.
    pub(super) rows: Vec<(RowChange, u64)>,
    /// What the client said about it.
    pub comment: String,
}

impl Prepared {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes().next().is_none()
    }

    /// The rows that change.
    pub fn changes(&self) -> impl Iterator<Item = &RowChange> {
        self.rows.iter().map(|(change, _)| change).filter(|change| match (&change.old, &change.new) {
            (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
            (None, None) => false,
            _ => true,
        })
    }
}

/// A database in memory.
#[derive(Debug)]
pub struct Database {
    pub(super) schema: Arc<Schema>,
    pub(super) tables: Vec<Table>,
    pub(super) history: History,
}

impl Database {
    /// An empty database.
    #[must_use]
    pub fn new(schema: Arc<Schema>) -> Self {
        let table = |table: &TableSchema| Table {
            indexes: table.indexes.iter().map(|_| BTreeMap::new()).collect(),
            ..Table::default()
        };
        let tables = schema.tables.iter().map(table).collect();
        Self { schema, tables, history: History::default() }
    }

    /// Its schema.
    #[must_use]
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.schema.name
    }

    /// The table at this place of the schema.
    #[must_use]
    pub fn table(&self, place: usize) -> Option<&Table> {
        self.tables.get(place)
    }

    /// The table of this name.
    #[must_use]
    pub fn table_named(&self, name: &str) -> Option<(&TableSchema, &Table)> {
        let place = self.schema.table(name)?;
        Some((self.schema.tables.get(place)?, self.tables.get(place)?))
    }

    /// What was committed last.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Forgets what was committed, when nobody is told of it.
    pub fn forget_history(&mut self) {
        self.history.forget();
    }

    /// How many rows there are in all tables.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// Makes a transaction true.
    ///
    /// # Errors
    /// When the database has changed since the transaction was prepared.
    pub fn apply(&mut self, prepared: Prepared, uuids: &mut UuidSource) -> Result<(), OvsdbError> {
        if prepared.sequence != self.history.sequence() {
            return Err(OvsdbError::new("internal error", "the database has changed since"));
        }
        // Old keys first: rows may have exchanged theirs.
        for (change, _) in &prepared.rows {
            if let Some(old) = &change.old {
                self.forget(change, old);
            }
        }
        let mut changes = Vec::with_capacity(prepared.rows.len());
        for (change, strong) in prepared.rows {
            match &change.new {
                Some(new) => {
                    self.remember(&change, new, strong);
                }
                None => {
                    if let Some(table) = self.tables.get_mut(change.table) {
                        table.rows.remove(&change.uuid);
                    }
                }
            }
            let changed = match (&change.old, &change.new) {
                (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
                (old, new) => old.is_some() || new.is_some(),
            };
            if changed {
                changes.push(change);
            }
        }
        if !changes.is_empty() {
            self.history.push(uuids.next_uuid(), changes);
        }
        Ok(())
    }

    /// Takes a row out of indexes and references.
    fn forget(&mut self, change: &RowChange, old: &Row) {
        if change.new.as_deref().is_some_and(|new| std::ptr::eq(new, old)) {
            return;
        }
        let schema = self.schema.clone();
        let Some(table_schema) = schema.tables.get(change.table) else {
            return;
        };
        if let Some(table) = self.tables.get_mut(change.table) {
            for (index, columns) in table.indexes.iter_mut().zip(&table_schema.indexes) {
                index.remove(&index_key(columns, old));
            }
        }
        self.count_weak(table_schema, change, old, change.new.as_deref(), false);
    }

    /// Puts a row into its table, indexes and references.
    fn remember(&mut self, change: &RowChange, new: &Arc<Row>, strong: u64) {
        let schema = self.schema.clone();
        let Some(table_schema) = schema.tables.get(change.table) else {
            return;
        };
        if let Some(table) = self.tables.get_mut(change.table) {
            table.rows.insert(change.uuid, Stored { row: new.clone(), strong });
            if change.old.as_ref().is_some_and(|old| Arc::ptr_eq(old, new)) {
                return;
            }
            for (index, columns) in table.indexes.iter_mut().zip(&table_schema.indexes) {
                index.insert(index_key(columns, new), change.uuid);
            }
        }
        self.count_weak(table_schema, change, new, change.old.as_deref(), true);
    }

    /// Counts the references of `row` that do not keep what they refer to and that `other` does not have.
    fn count_weak(
        &mut self,
        schema: &TableSchema,
        change: &RowChange,
        row: &Row,
        other: Option<&Row>,
        more: bool,
    ) {
        for place in &schema.weak {
            let Some(column) = schema.columns.get(*place) else {
                continue;
            };
            let own = row.field(*place);
            let own = match other.map(|other| other.field(*place)) {
                Some(same) if same == own => continue,
                Some(other) => own.subtract(other),
                None => own.clone(),
            };
            let by_key = column.ty.key.weak().map(|reference| reference.index);
            let by_value =
                column.ty.value.as_ref().and_then(|base| base.weak()).map(|reference| reference.index);
            let keys = own.keys().filter_map(|key| Some((by_key?, key)));
            let values = own.pairs().iter().filter_map(|(_, value)| Some((by_value?, value)));
            for (table, atom) in keys.chain(values) {
                let (Some(table), Some(target)) = (self.tables.get_mut(table), atom.as_uuid()) else {
                    continue;
                };
                let name = (target, change.table, change.uuid);
                if more {
                    *table.weak.entry(name).or_default() += 1;
                } else if let Some(count) = table.weak.get_mut(&name) {
                    *count -= 1;
                    if *count == 0 {
                        table.weak.remove(&name);
                    }
                }
            }
        }
    }
}

/// The rows an atom's column refers to with references that keep them.
pub(super) fn strong_targets<'a>(
    schema: &'a TableSchema,
    column: usize,
    value: &'a Datum,
) -> impl Iterator<Item = (usize, Uuid)> + 'a {
    let ty = schema.columns.get(column).map(|column| &column.ty);
    let by_key = ty.and_then(|ty| ty.key.strong()).map(|reference| reference.index);
    let by_value =
        ty.and_then(|ty| ty.value.as_ref()).and_then(|base| base.strong()).map(|reference| reference.index);
    let keys = value.keys().filter_map(move |key| Some((by_key?, key.as_uuid()?)));
    let values = value.pairs().iter().filter_map(move |(_, value)| Some((by_value?, value.as_uuid()?)));
    keys.chain(values)
}

/// Helps tests and users: the text of a column that is one.
impl Row {
    /// The text of the scalar at this place.
    #[must_use]
    pub fn text(&self, column: usize) -> Option<&str> {
        self.field(column).one().and_then(Atom::as_str)
    }
}
