//! Transactions: changes over a database that are made true together or not at all.
//!
//! What: a [`Transaction`] sees the database through what it changed; [`execute`] carries out a client's operations in
//! one, [`Transaction::prepare`] checks its end. Nothing of the database is touched before
//! [`Database::apply`](super::database::Database::apply).
//!
//! Costs: a row is copied when it is first changed (its values are shared); a transaction that is given up costs nothing
//! more.

mod execute;
mod indexes;
mod prepare;
mod wait;

pub use execute::{Context, Outcome, execute};

use super::condition::Condition;
use super::database::{Database, Stored, Table, index_key};
use super::error::OvsdbError;
use super::row::Row;
use super::schema::{TableSchema, VERSION};
use super::uuid::{Uuid, UuidSource};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// A row in a transaction.
#[derive(Debug, Clone)]
struct Pending {
    old: Option<Arc<Row>>,
    new: Option<Arc<Row>>,
    /// References that keep it; exact only while the end is checked.
    strong: i64,
}

impl Pending {
    fn of(stored: &Stored) -> Self {
        Self {
            old: Some(stored.row.clone()),
            new: Some(stored.row.clone()),
            strong: i64::try_from(stored.strong).unwrap_or(i64::MAX),
        }
    }

    fn is_changed(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
            (None, None) => false,
            _ => true,
        }
    }
}

/// Changes over a database.
#[derive(Debug)]
pub struct Transaction<'a> {
    database: &'a Database,
    tables: Vec<BTreeMap<Uuid, Pending>>,
    comment: String,
}

impl<'a> Transaction<'a> {
    /// None yet.
    #[must_use]
    pub fn new(database: &'a Database) -> Self {
        let tables = database.tables.iter().map(|_| BTreeMap::new()).collect();
        Self { database, tables, comment: String::new() }
    }

    fn schema(&self, table: usize) -> Option<&'a TableSchema> {
        self.database.schema.tables.get(table)
    }

    fn base(&self, table: usize) -> Option<&'a Table> {
        self.database.tables.get(table)
    }

    fn pending(&self, table: usize, uuid: Uuid) -> Option<&Pending> {
        self.tables.get(table)?.get(&uuid)
    }

    /// A row as it is now.
    #[must_use]
    pub fn get(&self, table: usize, uuid: Uuid) -> Option<&Arc<Row>> {
        match self.pending(table, uuid) {
            Some(pending) => pending.new.as_ref(),
            None => self.base(table)?.get(uuid),
        }
    }

    /// Whether a row of this name may be inserted: none may be there, nor have been when the transaction began.
    fn may_insert(&self, table: usize, uuid: Uuid) -> bool {
        self.pending(table, uuid).is_none() && self.base(table).is_none_or(|base| base.get(uuid).is_none())
    }

    /// Inserts a row; its version is new.
    pub fn insert(&mut self, table: usize, mut row: Row, uuids: &mut UuidSource) {
        let uuid = row.uuid();
        row.set(VERSION, uuids.next_uuid().into());
        if let Some(rows) = self.tables.get_mut(table) {
            let old = self.database.tables.get(table).and_then(|base| base.get(uuid)).cloned();
            rows.insert(uuid, Pending { old, new: Some(Arc::new(row)), strong: 0 });
        }
    }

    /// A row, to be changed.
    pub fn modify(&mut self, table: usize, uuid: Uuid) -> Option<&mut Row> {
        self.pull(table, uuid)?.new.as_mut().map(Arc::make_mut)
    }

    /// A row with what is known of it, taken into the transaction.
    fn pull(&mut self, table: usize, uuid: Uuid) -> Option<&mut Pending> {
        let rows = self.tables.get_mut(table)?;
        match rows.entry(uuid) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(vacant) => {
                let stored = self.database.tables.get(table)?.rows.get(&uuid)?;
                Some(vacant.insert(Pending::of(stored)))
            }
        }
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: usize, uuid: Uuid) {
        let Some(pending) = self.pull(table, uuid) else {
            return;
        };
        pending.new = None;
        if pending.old.is_none()
            && let Some(rows) = self.tables.get_mut(table)
        {
            rows.remove(&uuid);
        }
    }

    /// Checks that the values of rows that changed are of the types of their columns.
    ///
    /// # Errors
    /// `constraint violation`, or `syntax error` for atoms of another type.
    pub(super) fn check_values(&self) -> Result<(), OvsdbError> {
        for (table, rows) in self.tables.iter().enumerate() {
            let columns = self.schema(table).map(|schema| &schema.columns);
            for pending in rows.values() {
                let Some(new) = &pending.new else {
                    continue;
                };
                for (at, column) in columns.into_iter().flatten().enumerate() {
                    let value = new.field(at);
                    if pending.old.as_ref().is_some_and(|old| old.field(at) == value) {
                        continue;
                    }
                    let ty = &column.ty;
                    let keys = value.keys().all(|key| key.kind() == ty.key.kind);
                    let values = match &ty.value {
                        Some(base) => {
                            value.atoms().is_empty()
                                && value.pairs().iter().all(|pair| pair.1.kind() == base.kind)
                        }
                        None => value.pairs().is_empty(),
                    };
                    if !keys || !values || !ty.takes(value.len()) {
                        let details = format!("column {} takes {}, not {value:?}", column.name, ty.english());
                        return Err(OvsdbError::bare_syntax(details));
                    }
                    value.check(ty)?;
                }
            }
        }
        Ok(())
    }

    /// Says something about the transaction, after what was said before.
    pub fn say(&mut self, comment: &str) {
        if !self.comment.is_empty() {
            self.comment.push('\n');
        }
        self.comment.push_str(comment);
    }

    /// The rows for which all clauses hold.
    #[must_use]
    pub fn select(&self, table: usize, condition: &Condition) -> Vec<Arc<Row>> {
        let mut found = Vec::new();
        self.each(table, condition, |row| {
            found.push(row.clone());
            true
        });
        found
    }

    /// Looks at the rows for which all clauses hold, until `visit` gives false.
    fn each(&self, table: usize, condition: &Condition, mut visit: impl FnMut(&Arc<Row>) -> bool) {
        let (Some(base), Some(changed), Some(schema)) =
            (self.base(table), self.tables.get(table), self.schema(table))
        else {
            return;
        };
        if let Some(uuid) = condition.only_row() {
            if let Some(row) = self.get(table, uuid).filter(|row| condition.matches_all(row)) {
                visit(row);
            }
            return;
        }
        for row in changed.values().filter_map(|pending| pending.new.as_ref()) {
            if condition.matches_all(row) && !visit(row) {
                return;
            }
        }
        let indexed = schema.indexes.iter().zip(&base.indexes).find_map(|(columns, index)| {
            let key: Option<Vec<_>> =
                columns.iter().map(|column| condition.equals(*column).cloned()).collect();
            Some((index, key?))
        });
        if let Some((index, key)) = indexed {
            let uuid = index.get(&key).filter(|uuid| !changed.contains_key(uuid));
            if let Some(row) = uuid.and_then(|uuid| base.get(*uuid)).filter(|row| condition.matches_all(row))
            {
                visit(row);
            }
            return;
        }
        for (uuid, stored) in &base.rows {
            if !changed.contains_key(uuid) && condition.matches_all(&stored.row) && !visit(&stored.row) {
                return;
            }
        }
    }

    /// What an index of a table knows a row by.
    fn key(&self, table: usize, index: usize, row: &Row) -> Vec<super::datum::Datum> {
        self.schema(table)
            .and_then(|schema| schema.indexes.get(index))
            .map(|columns| index_key(columns, row))
            .unwrap_or_default()
    }
}
