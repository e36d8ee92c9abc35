//! Commits as records of the file (ovsdb(5)): `{TABLE: {UUID: ROW|null}, "_date": ms, "_comment": ..., "_is_diff": true}`.
//!
//! Columns of new rows are there unless they have their default. Columns of changed rows are what turns the old value
//! into the new one ([`Datum::difference`]), but where the old value is the default: there it is the new value, which is
//! how Open vSwitch reads it.

use super::condition::unknown_column;
use super::database::{Database, RowChange};
use super::datum::Datum;
use super::error::OvsdbError;
use super::json::{Json, write_string};
use super::row::{Row, write_field};
use super::schema::{Schema, TableSchema, UUID};
use super::transaction::Transaction;
use super::uuid::{Uuid, UuidSource};
use std::fmt::Write;
use std::sync::Arc;

/// The record of some changes; nothing if none of them is for the file. `date` is in milliseconds since 1970.
#[must_use]
pub fn write<'a>(
    schema: &Schema,
    changes: impl IntoIterator<Item = &'a RowChange>,
    comment: &str,
    date: i64,
) -> Option<String> {
    let mut out = String::from("{");
    let mut table = None;
    for change in changes {
        let mut row = String::new();
        let Some(table_schema) = schema.tables.get(change.table) else {
            continue;
        };
        if !write_row(table_schema, change, &mut row) {
            continue;
        }
        if table == Some(change.table) {
            out.push(',');
        } else {
            out.push_str(if table.is_some() { "}," } else { "" });
            write_string(&table_schema.name, &mut out);
            out.push_str(":{");
            table = Some(change.table);
        }
        out.push('"');
        change.uuid.write(&mut out);
        out.push_str("\":");
        out.push_str(&row);
    }
    table?;
    out.push_str("},");
    annotate(comment, date, &mut out);
    Some(out)
}

/// The record of a whole database.
#[must_use]
pub fn snapshot(database: &Database, comment: &str, date: i64) -> String {
    let rows = database.tables.iter().enumerate().flat_map(|(table, rows)| {
        rows.rows().map(move |row| RowChange { table, uuid: row.uuid(), old: None, new: Some(row.clone()) })
    });
    // One change at a time, so that the memory is that of the text.
    let mut out = String::from("{");
    let mut current = None;
    for change in rows {
        let Some(schema) = database.schema.tables.get(change.table) else {
            continue;
        };
        if current == Some(change.table) {
            out.push(',');
        } else {
            out.push_str(if current.is_some() { "}," } else { "" });
            write_string(&schema.name, &mut out);
            out.push_str(":{");
            current = Some(change.table);
        }
        out.push('"');
        change.uuid.write(&mut out);
        out.push_str("\":");
        write_row(schema, &change, &mut out);
    }
    if current.is_some() {
        out.push_str("},");
    }
    annotate(comment, date, &mut out);
    out
}

fn annotate(comment: &str, date: i64, out: &mut String) {
    if !comment.is_empty() {
        out.push_str("\"_comment\":");
        write_string(comment, out);
        out.push(',');
    }
    let _ = write!(out, "\"_date\":{date},\"_is_diff\":true}}");
}

/// Appends a row of a record; gives false if nothing of it is for the file.
fn write_row(schema: &TableSchema, change: &RowChange, out: &mut String) -> bool {
    let Some(new) = &change.new else {
        out.push_str("null");
        return true;
    };
    let mut first = true;
    out.push('{');
    for (place, column) in schema.columns.iter().enumerate() {
        if place == UUID || !column.persistent {
            continue;
        }
        let value = new.field(place);
        match change.old.as_ref().map(|old| old.field(place)) {
            None if value.is_default(&column.ty) => {}
            Some(old) if old == value => {}
            Some(old) if !old.is_default(&column.ty) => {
                write_field(schema, place, &old.difference(value, &column.ty), &mut first, out);
            }
            _ => write_field(schema, place, value, &mut first, out),
        }
    }
    out.push('}');
    change.old.is_none() || !first
}

impl Database {
    /// Makes a record of the file true. `converting` passes over tables and columns that the schema does not have.
    ///
    /// # Errors
    /// When the record does not fit the database, or what it leads to is against the schema.
    pub fn replay(
        &mut self,
        record: &Json,
        converting: bool,
        uuids: &mut UuidSource,
    ) -> Result<(), OvsdbError> {
        let tables = record.as_object().ok_or_else(|| OvsdbError::syntax(record, "object expected"))?;
        let is_diff = record.get("_is_diff") == Some(&Json::Bool(true));
        let schema = self.schema.clone();
        let mut transaction = Transaction::new(self);
        for (name, rows) in tables.iter() {
            let place = schema.table(name);
            let Some((table, table_schema)) = place.and_then(|at| Some((at, schema.tables.get(at)?))) else {
                match (&**name, rows) {
                    ("_date", Json::Integer(_)) | ("_is_diff", Json::Bool(_)) | ("_comment", _) => continue,
                    _ if converting => continue,
                    _ => {
                        let details = format!("No table named {name}.");
                        return Err(OvsdbError::new("unknown table", details).about(record));
                    }
                }
            };
            let rows = rows.as_object().ok_or_else(|| OvsdbError::syntax(rows, "object expected"))?;
            for (uuid, row) in rows.iter() {
                let uuid: Uuid = uuid
                    .parse()
                    .map_err(|_| OvsdbError::bare_syntax(format!("\"{uuid}\" is not a valid UUID")))?;
                replay_row(&mut transaction, table, table_schema, uuid, row, (is_diff, converting), uuids)?;
            }
        }
        let prepared = transaction.prepare(uuids)?;
        self.apply(prepared, uuids)
    }

    /// The same rows under another schema. Columns and tables that it does not have are left out.
    ///
    /// # Errors
    /// When a value does not fit the new schema, or what must hold does not.
    pub fn convert(&self, schema: Arc<Schema>, uuids: &mut UuidSource) -> Result<Self, OvsdbError> {
        let mut new = Self::new(schema.clone());
        let mut transaction = Transaction::new(&new);
        for (old_table, rows) in self.schema.tables.iter().zip(&self.tables) {
            let place = schema.table(&old_table.name);
            let Some((table, table_schema)) = place.and_then(|at| Some((at, schema.tables.get(at)?))) else {
                continue;
            };
            for row in rows.rows() {
                let mut converted = Row::new(table_schema, row.uuid());
                for (place, column) in
                    table_schema.columns.iter().enumerate().skip(super::schema::STANDARD_COLUMNS)
                {
                    let Some(old_place) = old_table.column(&column.name) else {
                        continue;
                    };
                    let is_map = old_table.columns.get(old_place).is_some_and(|column| column.ty.is_map());
                    let value = row.field(old_place).to_json(is_map);
                    converted.set(place, Datum::from_json(&value, &column.ty, None)?);
                }
                transaction.insert(table, converted, uuids);
            }
        }
        let prepared = transaction.prepare(uuids)?;
        new.apply(prepared, uuids)?;
        Ok(new)
    }
}

fn replay_row(
    transaction: &mut Transaction<'_>,
    table: usize,
    schema: &TableSchema,
    uuid: Uuid,
    json: &Json,
    (is_diff, converting): (bool, bool),
    uuids: &mut UuidSource,
) -> Result<(), OvsdbError> {
    let known = transaction.get(table, uuid).cloned();
    if *json == Json::Null {
        if known.is_none() {
            let details = format!("transaction deletes row {uuid} that does not exist");
            return Err(OvsdbError::bare_syntax(details));
        }
        transaction.delete(table, uuid);
        return Ok(());
    }
    let members = json.as_object().ok_or_else(|| OvsdbError::syntax(json, "row must be JSON object"))?;
    let base = match &known {
        Some(row) => row.clone(),
        None => Arc::new(Row::new(schema, uuid)),
    };
    let mut values = Vec::with_capacity(members.len());
    for (name, value) in members.iter() {
        let place = schema.column(name);
        let Some((place, column)) = place.and_then(|at| Some((at, schema.columns.get(at)?))) else {
            if converting {
                continue;
            }
            return Err(unknown_column(json, name, schema));
        };
        let old = base.field(place);
        let ty = &column.ty;
        let value = if is_diff && !old.is_default(ty) {
            // What goes may be more than what may be there.
            let difference = Datum::read(value, &ty.key, ty.value.as_ref(), (0, u32::MAX), None)?;
            old.apply(&difference, ty)?
        } else {
            Datum::from_json(value, ty, None)?
        };
        if place != UUID {
            values.push((place, value));
        }
    }
    if known.is_some() {
        if let Some(row) = transaction.modify(table, uuid) {
            for (place, value) in values {
                row.set(place, value);
            }
        }
    } else {
        let mut row = Row::clone(&base);
        for (place, value) in values {
            row.set(place, value);
        }
        transaction.insert(table, row, uuids);
    }
    Ok(())
}
