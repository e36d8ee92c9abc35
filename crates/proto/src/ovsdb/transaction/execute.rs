//! A client's operations, one after the other (RFC 7047, section 5.2).

use super::Transaction;
use super::indexes::distinct;
use crate::ovsdb::condition::Condition;
use crate::ovsdb::database::{Database, Prepared};
use crate::ovsdb::error::OvsdbError;
use crate::ovsdb::json::{Json, Object};
use crate::ovsdb::members::{Kind, Members};
use crate::ovsdb::mutation::Mutation;
use crate::ovsdb::row::Row;
use crate::ovsdb::schema::{TableSchema, UUID};
use crate::ovsdb::symbols::Names;
use crate::ovsdb::uuid::{Uuid, UuidSource};
use std::sync::Arc;

/// What an execution rests on beside the database.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// Milliseconds since the request came.
    pub elapsed: u64,
    /// Whether the client has a lock.
    pub owns_lock: &'a dyn Fn(&str) -> bool,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Context").field("read_only", &self.read_only).finish_non_exhaustive()
    }
}

/// How an execution went.
#[derive(Debug)]
pub enum Outcome {
    /// It failed: the results end with an error, and nothing changes.
    Failed(Vec<Json>),
    /// It went well up to its end, which is to be [applied](Database::apply).
    Done {
        /// One for each operation.
        results: Vec<Json>,
        /// What changes.
        prepared: Prepared,
        /// Whether the client wants it to be on the disk before it is answered.
        durable: bool,
    },
    /// It waits for something that is not so: to be tried again when the database has changed, and after `timeout`
    /// milliseconds since the request came.
    Waiting {
        /// When it stops waiting.
        timeout: Option<u64>,
    },
}

/// Why an operation ends the execution.
pub(super) enum Failure {
    Error(OvsdbError),
    Wait,
}

impl From<OvsdbError> for Failure {
    fn from(error: OvsdbError) -> Self {
        Self::Error(error)
    }
}

pub(super) struct Execution<'a, 'u> {
    pub(super) transaction: Transaction<'a>,
    pub(super) database: &'a Database,
    pub(super) names: Names<'u>,
    pub(super) context: Context<'a>,
    pub(super) timeout: Option<u64>,
    durable: bool,
}

/// Carries out operations. They are of the database alone: its name is not among them.
pub fn execute(
    database: &Database,
    operations: &[Json],
    context: Context<'_>,
    uuids: &mut UuidSource,
) -> Outcome {
    let mut execution = Execution {
        transaction: Transaction::new(database),
        database,
        names: Names::new(uuids),
        context,
        timeout: None,
        durable: false,
    };
    let mut results = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        let what = format!("ovsdb operation {} of {}", index + 1, operations.len());
        match execution.operation(Members::new(operation, what)) {
            Ok(result) => results.push(result),
            Err(Failure::Wait) => return Outcome::Waiting { timeout: execution.timeout },
            Err(Failure::Error(error)) => {
                results.push(error.to_json());
                results.resize(operations.len(), Json::Null);
                return Outcome::Failed(results);
            }
        }
    }
    let Execution { transaction, durable, names: _, .. } = execution;
    match transaction.prepare(uuids) {
        Ok(prepared) => Outcome::Done { results, prepared, durable },
        Err(error) => {
            results.push(error.to_json());
            Outcome::Failed(results)
        }
    }
}

fn counted(count: usize) -> Json {
    Json::object([("count", Json::Integer(i64::try_from(count).unwrap_or(i64::MAX)))])
}

impl<'a> Execution<'a, '_> {
    fn operation(&mut self, mut members: Members<'_>) -> Result<Json, Failure> {
        let name = members.required("op", Kind::Id).and_then(Json::as_str).unwrap_or_default().to_owned();
        let nothing = || Ok(Json::Object(Object::default()));
        let mut reads_only = true;
        let result = match &*name {
            "select" => self.select(&mut members).map_err(Failure::Error),
            "wait" => self.wait(&mut members),
            "comment" => {
                if let Some(comment) = members.required("comment", Kind::String).and_then(Json::as_str) {
                    self.transaction.say(comment);
                }
                nothing()
            }
            "assert" => match members.required("lock", Kind::Id).and_then(Json::as_str) {
                Some(lock) if !(self.context.owns_lock)(lock) => {
                    Err(OvsdbError::new("not owner", format!("Asserted lock {lock} not held.")).into())
                }
                _ => nothing(),
            },
            "abort" => Err(OvsdbError::new("aborted", "aborted by request").into()),
            changing => {
                reads_only = false;
                match changing {
                    "insert" => self.insert(&mut members).map_err(Failure::Error),
                    "update" => self.update(&mut members).map_err(Failure::Error),
                    "mutate" => self.mutate(&mut members).map_err(Failure::Error),
                    "delete" => self.delete(&mut members).map_err(Failure::Error),
                    "commit" => {
                        let durable = members.optional("durable", Kind::Bool).and_then(Json::as_bool);
                        self.durable |= durable.unwrap_or(false);
                        nothing()
                    }
                    _ => {
                        members.fail(&format!("No operation \"{name}\""));
                        nothing()
                    }
                }
            }
        };
        // What is wrong with the request counts more than what is wrong with its effect.
        members.finish()?;
        let result = result?;
        if !reads_only {
            self.may_change(&name)?;
        }
        Ok(result)
    }

    fn may_change(&self, name: &str) -> Result<(), OvsdbError> {
        let why = if self.context.read_only {
            "when database server is in read only mode".to_owned()
        } else if self.database.name().starts_with('_') {
            format!("on table in reserved database {}", self.database.name())
        } else {
            return Ok(());
        };
        Err(OvsdbError::new("not allowed", format!("{name} operation not allowed {why}")))
    }

    pub(super) fn table(&self, members: &mut Members<'_>) -> Option<(usize, &'a TableSchema)> {
        let name = members.required("table", Kind::Id).and_then(Json::as_str)?;
        let schema = &self.database.schema;
        let found = schema.table(name).and_then(|place| Some((place, schema.tables.get(place)?)));
        if found.is_none() {
            members.fail(&format!("No table named {name}."));
        }
        found
    }

    fn insert(&mut self, members: &mut Members<'_>) -> Result<Json, OvsdbError> {
        let table = self.table(members);
        let uuid_json = members.optional("uuid", Kind::String);
        let name = members.optional("uuid-name", Kind::Id);
        let row = members.required("row", Kind::Object);
        members.check()?;
        let (Some((table, schema)), Some(row_json)) = (table, row) else {
            return Ok(Json::Null);
        };
        let mut own = None;
        if let Some(json) = uuid_json {
            let uuid: Uuid = json
                .as_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| OvsdbError::syntax(json, "bad uuid"))?;
            if !self.transaction.may_insert(table, uuid) {
                let details = "This UUID would duplicate a UUID already present within the table or deleted within the \
                               same transaction.";
                return Err(OvsdbError::new("duplicate uuid", details).about(json));
            }
            own = Some(uuid);
        }
        let uuid = match (name, own) {
            (Some(json), own) => {
                let created = self.names.create(json.as_str().unwrap_or_default(), own);
                created.ok_or_else(|| {
                    let details = "This \"uuid-name\" appeared on an earlier \"insert\" operation.";
                    OvsdbError::new("duplicate uuid-name", details).about(json)
                })?
            }
            (None, Some(own)) => own,
            (None, None) => self.names.fresh(),
        };
        let mut row = Row::new(schema, uuid);
        let values = Row::values_from_json(row_json, schema, Some(&mut self.names))?;
        let mut given = vec![false; schema.columns.len()];
        for (column, value) in values {
            // What a client says about these is not for it to say.
            if column != UUID {
                row.set(column, value);
            }
            if let Some(given) = given.get_mut(column) {
                *given = true;
            }
        }
        // Defaults may be beyond the limits.
        for (place, column) in schema.columns.iter().enumerate() {
            if given.get(place) == Some(&false) {
                row.field(place).check(&column.ty)?;
            }
        }
        self.transaction.insert(table, row, self.names.source());
        Ok(Json::object([("uuid", crate::ovsdb::Atom::Uuid(uuid).to_json())]))
    }

    fn select(&mut self, members: &mut Members<'_>) -> Result<Json, OvsdbError> {
        let table = self.table(members);
        let condition = members.required("where", Kind::Array);
        let columns = members.optional("columns", Kind::Array);
        let sort = members.optional("sort", Kind::Array);
        members.check()?;
        let (Some((table, schema)), Some(condition)) = (table, condition) else {
            return Ok(Json::Null);
        };
        let condition = Condition::from_json(condition, schema, Some(&mut self.names))?;
        let columns = schema.columns_from_json(columns)?;
        let sort = if sort.is_some() { schema.columns_from_json(sort)? } else { Vec::new() };
        let mut rows = self.transaction.select(table, &condition);
        if !columns.contains(&UUID) {
            rows = distinct(rows, &columns).into_values().collect();
        }
        if !sort.is_empty() {
            let fields = |row: &Arc<Row>| sort.iter().map(|at| row.field(*at).clone()).collect::<Vec<_>>();
            rows.sort_by_cached_key(fields);
        }
        let rows = rows.iter().map(|row| row.to_json(schema, &columns)).collect();
        Ok(Json::object([("rows", Json::Array(rows))]))
    }

    fn update(&mut self, members: &mut Members<'_>) -> Result<Json, OvsdbError> {
        let table = self.table(members);
        let condition = members.required("where", Kind::Array);
        let row = members.required("row", Kind::Object);
        members.check()?;
        let (Some((table, schema)), Some(condition), Some(row)) = (table, condition, row) else {
            return Ok(Json::Null);
        };
        let values = Row::values_from_json(row, schema, Some(&mut self.names))?;
        let mut names = values.iter().filter_map(|(at, _)| schema.columns.get(*at));
        if let Some(column) = names.find(|column| !column.mutable) {
            let details = format!("Cannot update immutable column {} in table {}.", column.name, schema.name);
            return Err(OvsdbError::new("constraint violation", details).about(members.json()));
        }
        let condition = Condition::from_json(condition, schema, Some(&mut self.names))?;
        let rows = self.transaction.select(table, &condition);
        for row in &rows {
            let same = values.iter().all(|(column, value)| row.field(*column) == value);
            if !same && let Some(row) = self.transaction.modify(table, row.uuid()) {
                for (column, value) in &values {
                    row.set(*column, value.clone());
                }
            }
        }
        Ok(counted(rows.len()))
    }

    fn mutate(&mut self, members: &mut Members<'_>) -> Result<Json, OvsdbError> {
        let table = self.table(members);
        let condition = members.required("where", Kind::Array);
        let mutations = members.required("mutations", Kind::Array).and_then(Json::as_array);
        members.check()?;
        let (Some((table, schema)), Some(condition), Some(mutations)) = (table, condition, mutations) else {
            return Ok(Json::Null);
        };
        let mut read = Vec::with_capacity(mutations.len());
        for mutation in mutations {
            read.push(Mutation::from_json(mutation, schema, Some(&mut self.names))?);
        }
        let condition = Condition::from_json(condition, schema, Some(&mut self.names))?;
        let rows: Vec<Uuid> =
            self.transaction.select(table, &condition).iter().map(|row| row.uuid()).collect();
        for uuid in &rows {
            if let Some(row) = self.transaction.modify(table, *uuid) {
                for mutation in &read {
                    mutation.execute(row, schema)?;
                }
            }
        }
        Ok(counted(rows.len()))
    }

    fn delete(&mut self, members: &mut Members<'_>) -> Result<Json, OvsdbError> {
        let condition = members.required("where", Kind::Array);
        let table = self.table(members);
        members.check()?;
        let (Some((table, schema)), Some(condition)) = (table, condition) else {
            return Ok(Json::Null);
        };
        let condition = Condition::from_json(condition, schema, Some(&mut self.names))?;
        let rows = self.transaction.select(table, &condition);
        for row in &rows {
            self.transaction.delete(table, row.uuid());
        }
        Ok(counted(rows.len()))
    }
}
