//! A copy of what a client follows, kept true by what the server tells.

use crate::ovsdb::condition::unknown_column;
use crate::ovsdb::database::RowChange;
use crate::ovsdb::datum::Datum;
use crate::ovsdb::error::OvsdbError;
use crate::ovsdb::json::{Json, Object};
use crate::ovsdb::row::Row;
use crate::ovsdb::schema::{Schema, TableSchema};
use crate::ovsdb::uuid::Uuid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A copy of some columns of some rows. Columns that are not followed have their default.
#[derive(Debug, Clone)]
pub struct Replica {
    schema: Arc<Schema>,
    tables: Vec<BTreeMap<Uuid, Arc<Row>>>,
}

impl Replica {
    /// An empty copy.
    #[must_use]
    pub fn new(schema: Arc<Schema>) -> Self {
        let tables = schema.tables.iter().map(|_| BTreeMap::new()).collect();
        Self { schema, tables }
    }

    /// The schema.
    #[must_use]
    pub const fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// A row of the table at this place of the schema.
    #[must_use]
    pub fn get(&self, table: usize, uuid: Uuid) -> Option<&Arc<Row>> {
        self.tables.get(table)?.get(&uuid)
    }

    /// The rows of the table at this place of the schema, sorted by UUID.
    pub fn rows(&self, table: usize) -> impl Iterator<Item = &Arc<Row>> {
        self.tables.get(table).into_iter().flat_map(BTreeMap::values)
    }

    /// What leads from another copy to this one.
    #[must_use]
    pub fn changes_from(&self, old: &Self) -> Vec<RowChange> {
        let mut changes = Vec::new();
        for (table, rows) in self.tables.iter().enumerate() {
            let empty = BTreeMap::new();
            let before = old.tables.get(table).filter(|_| old.schema == self.schema).unwrap_or(&empty);
            for (uuid, row) in before.iter().filter(|(uuid, _)| !rows.contains_key(uuid)) {
                changes.push(RowChange { table, uuid: *uuid, old: Some(row.clone()), new: None });
            }
            for (uuid, row) in rows {
                let known = before.get(uuid);
                if known != Some(row) {
                    changes.push(RowChange {
                        table,
                        uuid: *uuid,
                        old: known.cloned(),
                        new: Some(row.clone()),
                    });
                }
            }
        }
        changes
    }

    /// Takes an update of any of the three kinds.
    ///
    /// # Errors
    /// When it does not fit the copy: then the copy is of no use any more.
    pub fn take(&mut self, update: &Json) -> Result<Vec<RowChange>, OvsdbError> {
        let schema = self.schema.clone();
        let tables = update.as_object().ok_or_else(|| OvsdbError::syntax(update, "object expected"))?;
        let mut changes = Vec::new();
        for (name, rows) in tables.iter() {
            let found = schema.table(name).and_then(|place| Some((place, schema.tables.get(place)?)));
            let (place, table) =
                found.ok_or_else(|| OvsdbError::new("unknown table", format!("No table named {name}.")))?;
            let rows = rows.as_object().ok_or_else(|| OvsdbError::syntax(rows, "object expected"))?;
            for (uuid, change) in rows.iter() {
                let uuid: Uuid = uuid
                    .parse()
                    .map_err(|_| OvsdbError::bare_syntax(format!("\"{uuid}\" is not a valid UUID")))?;
                let change =
                    change.as_object().ok_or_else(|| OvsdbError::syntax(change, "object expected"))?;
                let old = self.tables.get(place).and_then(|rows| rows.get(&uuid)).cloned();
                let new = changed(table, uuid, old.as_ref(), change)?;
                if let Some(rows) = self.tables.get_mut(place) {
                    match &new {
                        Some(row) => rows.insert(uuid, row.clone()),
                        None => rows.remove(&uuid),
                    };
                }
                if old != new {
                    changes.push(RowChange { table: place, uuid, old, new });
                }
            }
        }
        Ok(changes)
    }
}

/// The row after a change.
fn changed(
    table: &TableSchema,
    uuid: Uuid,
    old: Option<&Arc<Row>>,
    change: &Object,
) -> Result<Option<Arc<Row>>, OvsdbError> {
    let whole = change.get("initial").or_else(|| change.get("insert"));
    if let Some(fields) = whole {
        let mut row = Row::new(table, uuid);
        set(table, &mut row, fields, false)?;
        return Ok(Some(Arc::new(row)));
    }
    if change.get("delete").is_some() {
        return Ok(None);
    }
    if let Some(fields) = change.get("modify") {
        let Some(old) = old else {
            return Err(OvsdbError::new("ovsdb error", format!("row {uuid} is modified and not known")));
        };
        let mut row = Row::clone(old);
        set(table, &mut row, fields, true)?;
        return Ok(Some(Arc::new(row)));
    }
    match change.get("new") {
        None => Ok(None),
        Some(fields) => {
            let mut row = old.map_or_else(|| Row::new(table, uuid), |old| Row::clone(old));
            set(table, &mut row, fields, false)?;
            Ok(Some(Arc::new(row)))
        }
    }
}

fn set(table: &TableSchema, row: &mut Row, fields: &Json, differences: bool) -> Result<(), OvsdbError> {
    let members = fields.as_object().ok_or_else(|| OvsdbError::syntax(fields, "object expected"))?;
    for (name, value) in members.iter() {
        let found = table.column(name).and_then(|place| Some((place, table.columns.get(place)?)));
        let (place, column) = found.ok_or_else(|| unknown_column(fields, name, table))?;
        let ty = &column.ty;
        // The server's limits are its own: a newer one may have others.
        let value = Datum::read(
            value,
            &ty.key.unlimited(),
            ty.value.as_ref().map(|base| base.unlimited()).as_ref(),
            (0, u32::MAX),
            None,
        )?;
        let value = if differences { row.field(place).difference(&value, ty) } else { value };
        row.set(place, value);
    }
    Ok(())
}
