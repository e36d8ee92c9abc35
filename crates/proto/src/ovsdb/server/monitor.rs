//! Monitors: what a client wants to know of (RFC 7047, section 4.1.5, and the conditional ones of Open vSwitch), and how
//! changes are told.
//!
//! Invariants: a monitor is told what changed between two states of the database, never more than once; a row that
//! changed and changed back is not mentioned.

use crate::ovsdb::condition::Condition;
use crate::ovsdb::database::{Database, RowChange};
use crate::ovsdb::error::OvsdbError;
use crate::ovsdb::history::Commit;
use crate::ovsdb::json::{Json, write_string};
use crate::ovsdb::members::{Kind, Members};
use crate::ovsdb::row::{Row, write_field};
use crate::ovsdb::schema::{Schema, TableSchema, UUID};
use crate::ovsdb::uuid::Uuid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Kinds of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Select(u8);

impl Select {
    const INITIAL: Self = Self(1);
    const INSERT: Self = Self(2);
    const DELETE: Self = Self(4);
    const MODIFY: Self = Self(8);
    const ALL: Self = Self(15);

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn from_json(json: &Json, table: &str) -> Result<Self, OvsdbError> {
        let mut members = Members::new(json, format!("table {table} select"));
        let mut select = Self(0);
        for (name, kind) in [
            ("initial", Self::INITIAL),
            ("insert", Self::INSERT),
            ("delete", Self::DELETE),
            ("modify", Self::MODIFY),
        ] {
            let wanted = members.optional(name, Kind::Bool).and_then(Json::as_bool);
            if wanted.unwrap_or(true) {
                select = select.and(kind);
            }
        }
        members.finish()?;
        Ok(select)
    }
}

/// What is wanted of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TableSpec {
    pub(super) table: usize,
    select: Select,
    /// Sorted by place.
    columns: Vec<(usize, Select)>,
}

/// What is wanted of a database. Monitors that want the same share it, and what is told of it.
pub(super) type Spec = Vec<TableSpec>;

/// Which messages a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// `monitor`: rows as they were and are.
    Rows,
    /// `monitor_cond`: differences.
    Differences,
    /// `monitor_cond_since`: differences, with the names of commits.
    Since,
}

impl Version {
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Rows => "update",
            Self::Differences => "update2",
            Self::Since => "update3",
        }
    }
}

/// A client's monitor.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) id: Json,
    pub(super) database: Arc<str>,
    pub(super) spec: Arc<Spec>,
    pub(super) version: Version,
    /// One for each table of the specification.
    pub(super) conditions: Vec<Condition>,
    /// The number of the last commit that was told, or is in `missed`.
    pub(super) seen: u64,
    /// What was not told yet though the history forgot it.
    pub(super) missed: Missed,
}

impl Monitor {
    pub(super) fn is_conditional(&self) -> bool {
        !self.conditions.iter().all(Condition::is_true)
    }
}

/// Rows by their places, as they were and are.
pub(super) type Missed = BTreeMap<(usize, Uuid), (Option<Arc<Row>>, Option<Arc<Row>>)>;

/// Adds a commit to what was missed.
pub(super) fn fold(missed: &mut Missed, commit: &Commit, spec: &Spec) {
    for change in &commit.changes {
        if !spec.iter().any(|table| table.table == change.table) {
            continue;
        }
        let key = (change.table, change.uuid);
        let entry = missed.entry(key).or_insert_with(|| (change.old.clone(), None));
        entry.1.clone_from(&change.new);
        let same = match entry {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if same {
            missed.remove(&key);
        }
    }
}

/// Reads the requests of a monitor: what is wanted, and on which conditions.
pub(super) fn read_requests(
    json: &Json,
    schema: &Schema,
    version: Version,
) -> Result<(Spec, Vec<Condition>), OvsdbError> {
    let requests =
        json.as_object().ok_or_else(|| OvsdbError::syntax(json, "monitor-requests must be object"))?;
    let mut tables = Vec::new();
    for (name, request) in requests.iter() {
        let found = schema.table(name).and_then(|place| Some((place, schema.tables.get(place)?)));
        let (place, table) =
            found.ok_or_else(|| OvsdbError::bare_syntax(format!("no table named {name}")))?;
        let mut spec = TableSpec { table: place, select: Select(0), columns: Vec::new() };
        let mut conditions = Vec::new();
        let several = request.as_array().unwrap_or(std::slice::from_ref(request));
        for request in several {
            conditions.push(read_request(request, table, version, &mut spec)?);
        }
        spec.columns.sort_unstable();
        tables.push((spec, Condition::any(conditions)));
    }
    tables.sort_by_key(|(spec, _)| spec.table);
    Ok(tables.into_iter().unzip())
}

fn read_request(
    json: &Json,
    table: &TableSchema,
    version: Version,
    spec: &mut TableSpec,
) -> Result<Condition, OvsdbError> {
    let mut members = Members::new(json, format!("table {}", table.name));
    let conditional = version != Version::Rows;
    let condition = if conditional { members.optional("where", Kind::Array) } else { None };
    let columns = members.optional("columns", Kind::Array);
    let select = members.optional("select", Kind::Object);
    members.finish()?;
    let select = select.map_or(Ok(Select::ALL), |select| Select::from_json(select, &table.name))?;
    spec.select = spec.select.and(select);
    let mut add = |column: usize| {
        if spec.columns.iter().any(|(known, _)| *known == column) {
            let name = table.columns.get(column).map_or("", |column| &column.name);
            return Err(format!("column {name} mentioned more than once"));
        }
        spec.columns.push((column, select));
        Ok(())
    };
    match columns {
        None => {
            for column in (0..table.columns.len()).filter(|column| *column != UUID) {
                add(column).map_err(OvsdbError::bare_syntax)?;
            }
        }
        Some(json) => {
            for name in json.as_array().unwrap_or_default() {
                let name = name
                    .as_str()
                    .ok_or_else(|| OvsdbError::syntax(json, "array of column names expected"))?;
                let column = table
                    .column(name)
                    .ok_or_else(|| OvsdbError::syntax(json, format!("{name} is not a valid column name")))?;
                add(column).map_err(|details| OvsdbError::syntax(json, details))?;
            }
        }
    }
    condition.map_or(Ok(Condition::default()), |json| Condition::from_json(json, table, None))
}

/// A row in a text of changes.
struct Told<'a> {
    table: usize,
    uuid: Uuid,
    old: Option<&'a Row>,
    new: Option<&'a Row>,
}

/// Writes `<table-updates>` or `<table-updates2>`.
struct Teller<'a> {
    schema: &'a Schema,
    spec: &'a Spec,
    differences: bool,
    out: String,
    current: Option<usize>,
}

impl<'a> Teller<'a> {
    const fn new(schema: &'a Schema, spec: &'a Spec, differences: bool) -> Self {
        Self { schema, spec, differences, out: String::new(), current: None }
    }

    fn tell(&mut self, told: &Told<'_>, kind: Select) {
        let Some(table) = self.spec.iter().find(|table| table.table == told.table) else {
            return;
        };
        let Some(schema) = self.schema.tables.get(told.table).filter(|_| table.select.has(kind)) else {
            return;
        };
        let wanted = |column: &&(usize, Select)| column.1.has(kind);
        let changed = |at: usize| told.old.map(|row| row.field(at)) != told.new.map(|row| row.field(at));
        if kind == Select::MODIFY && !table.columns.iter().filter(wanted).any(|(at, _)| changed(*at)) {
            return;
        }
        if self.current == Some(told.table) {
            self.out.push(',');
        } else {
            self.out.push_str(if self.current.is_some() { "}," } else { "{" });
            write_string(&schema.name, &mut self.out);
            self.out.push_str(":{");
            self.current = Some(told.table);
        }
        let out = &mut self.out;
        out.push('"');
        told.uuid.write(out);
        out.push_str("\":{");
        let columns = || table.columns.iter().filter(wanted).map(|(at, _)| *at);
        let members = |name: &str, row: &Row, only_changed: bool, out: &mut String| {
            write_string(name, out);
            out.push_str(":{");
            let mut first = true;
            for at in columns().filter(|at| !only_changed || changed(*at)) {
                write_field(schema, at, row.field(at), &mut first, out);
            }
            out.push('}');
        };
        match (self.differences, told.old, told.new) {
            (true, _, _) if kind == Select::DELETE => out.push_str("\"delete\":null"),
            (true, Some(old), Some(new)) if kind == Select::MODIFY => {
                out.push_str("\"modify\":{");
                let mut first = true;
                for at in columns().filter(|at| changed(*at)) {
                    if let Some(column) = schema.columns.get(at) {
                        let difference = old.field(at).difference(new.field(at), &column.ty);
                        write_field(schema, at, &difference, &mut first, out);
                    }
                }
                out.push('}');
            }
            (true, _, Some(new)) => {
                out.push_str(if kind == Select::INITIAL { "\"initial\":{" } else { "\"insert\":{" });
                let mut first = true;
                for at in columns() {
                    let ty = schema.columns.get(at).map(|column| &column.ty);
                    if ty.is_some_and(|ty| !new.field(at).is_default(ty)) {
                        write_field(schema, at, new.field(at), &mut first, out);
                    }
                }
                out.push('}');
            }
            (false, Some(old), Some(new)) => {
                members("old", old, true, out);
                out.push(',');
                members("new", new, false, out);
            }
            (false, Some(old), None) => members("old", old, false, out),
            (false, None, Some(new)) => members("new", new, false, out),
            (_, _, None) => {}
        }
        out.push('}');
    }

    fn finish(mut self) -> Option<Arc<str>> {
        self.current?;
        self.out.push_str("}}");
        Some(self.out.into())
    }
}

/// What kind of change this is, if the conditions let it be seen.
fn kind_of(matched: bool, matches: bool) -> Option<Select> {
    match (matched, matches) {
        (false, true) => Some(Select::INSERT),
        (true, false) => Some(Select::DELETE),
        (true, true) => Some(Select::MODIFY),
        (false, false) => None,
    }
}

/// The condition on a table; all rows without one.
fn condition<'a>(spec: &Spec, conditions: &'a [Condition], table: usize) -> Option<&'a Condition> {
    let at = spec.iter().position(|one| one.table == table)?;
    conditions.get(at)
}

fn is_seen(condition: Option<&Condition>, row: &Row) -> bool {
    condition.is_none_or(|condition| condition.matches_any(row))
}

/// All rows, as a monitor is told of them at its begin.
pub(super) fn tell_all(
    database: &Database,
    spec: &Spec,
    conditions: &[Condition],
    version: Version,
) -> Option<Arc<str>> {
    let mut teller = Teller::new(&database.schema, spec, version != Version::Rows);
    for (index, table) in spec.iter().enumerate() {
        let Some(rows) = database.table(table.table).filter(|_| table.select.has(Select::INITIAL)) else {
            continue;
        };
        let condition = conditions.get(index);
        let only = condition.filter(|_| version != Version::Rows);
        for row in rows.rows().filter(|row| is_seen(only, row)) {
            let told = Told { table: table.table, uuid: row.uuid(), old: None, new: Some(row) };
            teller.tell(&told, Select::INITIAL);
        }
    }
    teller.finish()
}

/// What changed.
pub(super) fn tell_changes<'a>(
    schema: &Schema,
    spec: &Spec,
    conditions: &[Condition],
    version: Version,
    changes: impl Iterator<Item = (usize, Uuid, Option<&'a Row>, Option<&'a Row>)>,
) -> Option<Arc<str>> {
    let mut teller = Teller::new(schema, spec, version != Version::Rows);
    for (table, uuid, old, new) in changes {
        let condition = condition(spec, conditions, table);
        let kind = kind_of(
            old.is_some_and(|row| is_seen(condition, row)),
            new.is_some_and(|row| is_seen(condition, row)),
        );
        if let Some(kind) = kind {
            teller.tell(&Told { table, uuid, old, new }, kind);
        }
    }
    teller.finish()
}

/// What other conditions show and hide.
pub(super) fn tell_conditions(
    database: &Database,
    spec: &Spec,
    before: &[Condition],
    after: &[Condition],
) -> Option<Arc<str>> {
    let mut teller = Teller::new(&database.schema, spec, true);
    for (index, table) in spec.iter().enumerate() {
        let (before, after) = (before.get(index), after.get(index));
        let Some(rows) = database.table(table.table).filter(|_| before != after) else {
            continue;
        };
        for row in rows.rows() {
            let kind = match (is_seen(before, row), is_seen(after, row)) {
                (true, true) => None,
                (matched, matches) => kind_of(matched, matches),
            };
            let told = Told { table: table.table, uuid: row.uuid(), old: Some(row), new: Some(row) };
            if let Some(kind) = kind {
                teller.tell(&told, kind);
            }
        }
    }
    teller.finish()
}

/// The changes of a commit, as [`tell_changes`] takes them.
pub(super) fn rows_of(change: &RowChange) -> (usize, Uuid, Option<&Row>, Option<&Row>) {
    (change.table, change.uuid, change.old.as_deref(), change.new.as_deref())
}
