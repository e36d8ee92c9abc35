//! Indexes stay unique.

use super::Transaction;
use crate::ovsdb::datum::Datum;
use crate::ovsdb::error::OvsdbError;
use crate::ovsdb::row::Row;
use crate::ovsdb::schema::{STANDARD_COLUMNS, TableSchema};
use crate::ovsdb::uuid::Uuid;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Transaction<'_> {
    /// Checks that no two rows are the same to an index.
    pub(super) fn check_indexes(&self) -> Result<(), OvsdbError> {
        for (table, rows) in self.tables.iter().enumerate() {
            let (Some(schema), Some(base)) = (self.schema(table), self.base(table)) else {
                continue;
            };
            for (index, columns) in schema.indexes.iter().enumerate() {
                // Only rows that are known by something new can meet another.
                let mut moved: BTreeMap<Vec<Datum>, Uuid> = BTreeMap::new();
                for (uuid, pending) in rows {
                    let Some(new) = &pending.new else {
                        continue;
                    };
                    let key = self.key(table, index, new);
                    if pending.old.as_ref().is_some_and(|old| self.key(table, index, old) == key) {
                        continue;
                    }
                    let stayed = |other: &Uuid| match rows.get(other) {
                        None => base.get(*other),
                        Some(pending) => {
                            pending.new.as_ref().filter(|row| self.key(table, index, row) == key)
                        }
                    };
                    let known = base.indexes.get(index).and_then(|index| index.get(&key));
                    let other = moved.get(&key).and_then(|other| self.get(table, *other));
                    if let Some(other) = other.or_else(|| known.and_then(stayed)) {
                        return Err(self.duplicate(table, schema, columns, other, new));
                    }
                    moved.insert(key, *uuid);
                }
            }
        }
        Ok(())
    }

    fn duplicate(&self, table: usize, schema: &TableSchema, index: &[usize], a: &Row, b: &Row) -> OvsdbError {
        let own = STANDARD_COLUMNS..schema.columns.len();
        let order = own.map(|column| a.field(column).cmp(b.field(column))).find(|order| order.is_ne());
        let order = order.unwrap_or_else(|| a.uuid().cmp(&b.uuid()));
        let (a, b) = if order == Ordering::Less { (b, a) } else { (a, b) };
        let names: Vec<String> = index
            .iter()
            .filter_map(|column| schema.columns.get(*column))
            .map(|column| format!("\"{}\"", column.name))
            .collect();
        let plural = if names.len() > 1 { "s" } else { "" };
        let details = format!(
            "Transaction causes multiple rows in \"{}\" table to have identical values ({}) for index on column{plural} \
             {}.  {}  {}",
            schema.name,
            values(schema, index, a),
            english_list(&names),
            self.describe(table, schema, index, "First", a),
            self.describe(table, schema, index, "Second", b),
        );
        OvsdbError::new("constraint violation", details)
    }

    fn describe(
        &self,
        table: usize,
        schema: &TableSchema,
        index: &[usize],
        title: &str,
        row: &Row,
    ) -> String {
        let uuid = row.uuid();
        let what = match self.pending(table, uuid) {
            Some(pending) if pending.is_changed() => match &pending.old {
                None => "was inserted by this transaction.".to_owned(),
                Some(old) if index.iter().all(|column| old.field(*column) == row.field(*column)) => {
                    "existed in the database before this transaction, which modified some of the row's columns but not \
                     any columns in this index."
                        .to_owned()
                }
                Some(old) => {
                    let values = values(schema, index, old);
                    format!("had the following index values before the transaction: {values}.")
                }
            },
            _ => "existed in the database before this transaction and was not modified by the transaction.".to_owned(),
        };
        format!("{title} row, with UUID {uuid}, {what}")
    }
}

/// The values of some columns as people write them.
fn values(schema: &TableSchema, columns: &[usize], row: &Row) -> String {
    let texts: Vec<String> = columns
        .iter()
        .filter_map(|at| {
            let column = schema.columns.get(*at)?;
            let mut text = String::new();
            row.field(*at).describe(column.ty.is_composite(), column.ty.is_map(), &mut text);
            Some(text)
        })
        .collect();
    english_list(&texts)
}

/// `a`, `a and b`, `a, b, and c`.
fn english_list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [most @ .., last] => format!("{}, and {last}", most.join(", ")),
    }
}

/// Rows as sets of values, for `wait` and for `select` without `_uuid`.
pub(super) fn distinct(rows: Vec<Arc<Row>>, columns: &[usize]) -> BTreeMap<Vec<Datum>, Arc<Row>> {
    let mut found = BTreeMap::new();
    for row in rows {
        let key = columns.iter().map(|column| row.field(*column).clone()).collect();
        found.entry(key).or_insert(row);
    }
    found
}
