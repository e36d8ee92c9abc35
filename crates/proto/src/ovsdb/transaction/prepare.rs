//! The end of a transaction: references are counted, what nobody refers to goes, limits are checked.

use super::{Pending, Transaction};
use crate::ovsdb::database::{Prepared, RowChange, strong_targets};
use crate::ovsdb::error::OvsdbError;
use crate::ovsdb::schema::VERSION;
use crate::ovsdb::uuid::{Uuid, UuidSource};
use std::collections::BTreeSet;
use std::sync::Arc;

type Place = (usize, Uuid);

impl Transaction<'_> {
    /// Checks the end of the transaction and says what changes.
    ///
    /// # Errors
    /// `referential integrity violation` or `constraint violation`.
    pub fn prepare(mut self, uuids: &mut UuidSource) -> Result<Prepared, OvsdbError> {
        self.drop_unchanged();
        if self.tables.iter().any(|rows| !rows.is_empty()) {
            self.count_references()?;
            let candidates = self.places();
            self.collect_garbage(candidates);
            self.check_row_counts()?;
            loop {
                let released = self.clear_weak_references()?;
                if released.is_empty() {
                    break;
                }
                self.collect_garbage(released);
            }
            self.check_indexes()?;
        }
        let mut rows = Vec::new();
        for (table, pending) in self.tables.iter_mut().enumerate() {
            for (uuid, mut pending) in std::mem::take(pending) {
                if pending.old.is_none() && pending.new.is_none() {
                    continue;
                }
                if let (Some(old), Some(new)) = (&pending.old, &mut pending.new)
                    && !Arc::ptr_eq(old, new)
                {
                    if old == new {
                        *new = old.clone();
                    } else {
                        Arc::make_mut(new).set(VERSION, uuids.next_uuid().into());
                    }
                }
                let strong = u64::try_from(pending.strong).unwrap_or(0);
                rows.push((RowChange { table, uuid, old: pending.old, new: pending.new }, strong));
            }
        }
        Ok(Prepared { sequence: self.database.history.sequence(), rows, comment: self.comment })
    }

    /// The names of all rows that the transaction has to do with.
    fn places(&self) -> Vec<Place> {
        let tables = self.tables.iter().enumerate();
        tables.flat_map(|(table, rows)| rows.keys().map(move |uuid| (table, *uuid))).collect()
    }

    /// Forgets rows that are as they were.
    fn drop_unchanged(&mut self) {
        for rows in &mut self.tables {
            rows.retain(|_, pending| match (&pending.old, &pending.new) {
                (Some(old), Some(new)) => !Arc::ptr_eq(old, new) && old != new,
                _ => true,
            });
        }
    }

    /// Counts the references that keep rows.
    fn count_references(&mut self) -> Result<(), OvsdbError> {
        for (table, uuid) in self.places() {
            let (Some(schema), Some(pending)) = (self.schema(table), self.pending(table, uuid).cloned())
            else {
                continue;
            };
            for place in &schema.strong {
                let old = pending.old.as_ref().map(|row| row.field(*place)).cloned().unwrap_or_default();
                let new = pending.new.as_ref().map(|row| row.field(*place)).cloned().unwrap_or_default();
                if old == new {
                    continue;
                }
                for (target_table, target) in strong_targets(schema, *place, &old.subtract(&new)) {
                    // References of a row to itself don't count.
                    if target != uuid
                        && let Some(target) = self.pull(target_table, target)
                    {
                        target.strong -= 1;
                    }
                }
                for (target_table, target) in strong_targets(schema, *place, &new.subtract(&old)) {
                    if target == uuid {
                        continue;
                    }
                    let Some(found) = self.pull(target_table, target) else {
                        let name = |table| self.schema(table).map(|schema| schema.name.clone());
                        return Err(OvsdbError::new(
                            "referential integrity violation",
                            format!(
                                "Table {} column {} row {uuid} references nonexistent row {target} in table {}.",
                                schema.name,
                                schema.columns.get(*place).map_or("", |column| &column.name),
                                name(target_table).unwrap_or_default(),
                            ),
                        ));
                    };
                    found.strong += 1;
                }
            }
        }
        for (table, uuid) in self.places() {
            if let Some(Pending { new: None, strong: count @ 1.., .. }) = self.pending(table, uuid) {
                let name = self.schema(table).map(|schema| schema.name.clone()).unwrap_or_default();
                let details =
                    format!("cannot delete {name} row {uuid} because of {count} remaining reference(s)");
                return Err(OvsdbError::new("referential integrity violation", details));
            }
        }
        Ok(())
    }

    /// Deletes rows of tables that are no roots and that nothing refers to, and what only they kept.
    fn collect_garbage(&mut self, mut candidates: Vec<Place>) {
        while let Some((table, uuid)) = candidates.pop() {
            let Some(schema) = self.schema(table).filter(|schema| !schema.is_root) else {
                continue;
            };
            let Some(pending) = self.tables.get_mut(table).and_then(|rows| rows.get_mut(&uuid)) else {
                continue;
            };
            if pending.strong > 0 {
                continue;
            }
            let Some(row) = pending.new.take() else {
                continue;
            };
            for place in &schema.strong {
                for (target_table, target) in strong_targets(schema, *place, row.field(*place)) {
                    if target != uuid
                        && let Some(found) = self.pull(target_table, target)
                    {
                        found.strong -= 1;
                        candidates.push((target_table, target));
                    }
                }
            }
        }
    }

    fn check_row_counts(&self) -> Result<(), OvsdbError> {
        for (table, rows) in self.tables.iter().enumerate() {
            let (Some(schema), Some(base)) = (self.schema(table), self.base(table)) else {
                continue;
            };
            let more = rows.values().filter(|pending| pending.old.is_none() && pending.new.is_some()).count();
            let fewer =
                rows.values().filter(|pending| pending.old.is_some() && pending.new.is_none()).count();
            let count = base.len() + more - fewer;
            if more > 0 && count > schema.max_rows as usize {
                let details = format!(
                    "transaction causes \"{}\" table to contain {count} rows, greater than the schema-defined limit of \
                     {} row(s)",
                    schema.name, schema.max_rows
                );
                return Err(OvsdbError::new("constraint violation", details));
            }
        }
        Ok(())
    }

    /// Clears references to rows that are not there from columns that do not keep rows. Gives the rows that were kept by
    /// the values that went with them.
    fn clear_weak_references(&mut self) -> Result<Vec<Place>, OvsdbError> {
        // Who refers to rows that go must be looked at whether or not the transaction changed it.
        let mut suspects: BTreeSet<Place> = BTreeSet::new();
        for (table, rows) in self.tables.iter().enumerate() {
            let gone = rows.iter().filter(|(_, pending)| pending.old.is_some() && pending.new.is_none());
            if let Some(base) = self.base(table) {
                suspects.extend(gone.flat_map(|(uuid, _)| base.referring(*uuid)));
            }
        }
        for (table, uuid) in &suspects {
            self.pull(*table, *uuid);
        }
        let mut released = Vec::new();
        for (table, uuid) in self.places() {
            let Some(schema) = self.schema(table) else {
                continue;
            };
            for place in &schema.weak {
                self.clear_column(table, uuid, *place, suspects.contains(&(table, uuid)), &mut released)?;
            }
        }
        Ok(released)
    }

    fn clear_column(
        &mut self,
        table: usize,
        uuid: Uuid,
        place: usize,
        suspect: bool,
        released: &mut Vec<Place>,
    ) -> Result<(), OvsdbError> {
        let Some((schema, column)) =
            self.schema(table).and_then(|schema| Some((schema, schema.columns.get(place)?)))
        else {
            return Ok(());
        };
        let Some((old, new)) = self.pending(table, uuid).and_then(|row| Some((&row.old, row.new.as_ref()?)))
        else {
            return Ok(());
        };
        let is_new = old.is_none();
        let value = new.field(place);
        if !suspect && old.as_ref().is_some_and(|old| old.field(place) == value) {
            return Ok(());
        }
        let by_key = column.ty.key.weak().map(|reference| reference.index);
        let by_value = column.ty.value.as_ref().and_then(|base| base.weak()).map(|reference| reference.index);
        let exists = |table: Option<usize>, atom: Option<&crate::ovsdb::Atom>| {
            let target = table.and_then(|table| Some((table, atom?.as_uuid()?)));
            target.is_none_or(|(table, uuid)| self.get(table, uuid).is_some())
        };
        let rest = value.retain(|key, value| exists(by_key, Some(key)) && exists(by_value, value));
        if rest.len() == value.len() {
            return Ok(());
        }
        if rest.len() < column.ty.min as usize {
            let zero = |atom: &crate::ovsdb::Atom| atom.as_uuid() == Some(Uuid::ZERO);
            let has_zero = value.keys().any(zero) || value.pairs().iter().any(|(_, value)| zero(value));
            let (name, table) = (&column.name, &schema.name);
            let details = if is_new && has_zero {
                format!(
                    "Weak reference column \"{name}\" in \"{table}\" row {uuid} (inserted within this transaction) \
                     contained all-zeros UUID (probably as the default value for this column) but deleting this value \
                     caused a constraint volation because this column is not allowed to be empty."
                )
            } else {
                format!(
                    "Deletion of {} weak reference(s) to deleted (or never-existing) rows from column \"{name}\" in \
                     \"{table}\" row {uuid} {}caused this column to become empty, but constraints on this column \
                     disallow an empty column.",
                    value.len() - rest.len(),
                    if is_new { "(inserted within this transaction) " } else { "" },
                )
            };
            return Err(OvsdbError::new("constraint violation", details));
        }
        let gone = value.subtract(&rest);
        for (target_table, target) in strong_targets(schema, place, &gone) {
            if target != uuid
                && let Some(found) = self.pull(target_table, target)
            {
                found.strong -= 1;
                released.push((target_table, target));
            }
        }
        if let Some(row) = self.modify(table, uuid) {
            row.set(place, rest);
        }
        Ok(())
    }
}
