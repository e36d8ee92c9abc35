//! The operation `wait`.

use super::execute::{Execution, Failure};
use super::indexes::distinct;
use crate::ovsdb::condition::Condition;
use crate::ovsdb::datum::Datum;
use crate::ovsdb::error::OvsdbError;
use crate::ovsdb::json::{Json, Object};
use crate::ovsdb::members::{Kind, Members};
use crate::ovsdb::row::Row;
use std::collections::BTreeSet;

impl Execution<'_, '_> {
    pub(super) fn wait(&mut self, members: &mut Members<'_>) -> Result<Json, Failure> {
        let timeout = members.optional("timeout", Kind::Integer);
        let condition = members.required("where", Kind::Array);
        let columns = members.optional("columns", Kind::Array);
        let until = members.required("until", Kind::String);
        let rows = members.required("rows", Kind::Array);
        let table = self.table(members);
        members.check()?;
        let (Some((table, schema)), Some(condition), Some(until), Some(rows)) =
            (table, condition, until, rows)
        else {
            return Ok(Json::Object(Object::default()));
        };
        let condition = Condition::from_json(condition, schema, Some(&mut self.names))?;
        let columns = schema.columns_from_json(columns)?;
        let timeout = match timeout {
            None => None,
            Some(json) => match u64::try_from(json.as_integer().unwrap_or(-1)) {
                Ok(timeout) => {
                    self.timeout = Some(self.timeout.map_or(timeout, |other| other.min(timeout)));
                    Some(timeout)
                }
                Err(_) => return Err(OvsdbError::syntax(json, "timeout must be nonnegative").into()),
            },
        };
        let wanted = match until.as_str() {
            Some("==") => true,
            Some("!=") => false,
            _ => return Err(OvsdbError::syntax(until, "\"until\" must be \"==\" or \"!=\"").into()),
        };
        let mut expected: BTreeSet<Vec<Datum>> = BTreeSet::new();
        for row in rows.as_array().unwrap_or_default() {
            let values = Row::values_from_json(row, schema, Some(&mut self.names))?;
            let value = |at: &usize| {
                let given = values.iter().find(|(column, _)| column == at).map(|(_, value)| value.clone());
                let default = || schema.columns.get(*at).map(|column| Datum::default_of(&column.ty));
                given.or_else(default).unwrap_or_default()
            };
            expected.insert(columns.iter().map(value).collect());
        }
        let actual = distinct(self.transaction.select(table, &condition), &columns);
        let equal = actual.len() == expected.len() && actual.keys().all(|row| expected.contains(row));
        if equal == wanted {
            return Ok(Json::Object(Object::default()));
        }
        match timeout {
            Some(timeout) if self.context.elapsed >= timeout => {
                Err(Failure::Error(match self.context.elapsed {
                    0 => OvsdbError::new("timed out", "\"where\" clause test failed"),
                    elapsed => OvsdbError::new("timed out", format!("\"wait\" timed out after {elapsed} ms")),
                }))
            }
            _ => Err(Failure::Wait),
        }
    }
}
