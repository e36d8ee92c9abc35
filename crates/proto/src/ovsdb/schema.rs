//! Schemas (RFC 7047, section 3.2): which tables a database has, which columns they have, and what must hold.
//!
//! Invariants: a [`Schema`] is only made by [`Schema::from_json`], so every reference is to a table that exists. Every
//! table's first columns are `_uuid` and `_version`; the others follow sorted by name.

use super::error::OvsdbError;
use super::json::{Json, Object};
use super::members::{Kind, Members, is_id};
use super::types::{AtomicType, BaseType, ColumnType, Limits};
use std::sync::Arc;

/// The place of the column `_uuid`.
pub const UUID: usize = 0;
/// The place of the column `_version`.
pub const VERSION: usize = 1;
/// The columns every table has.
pub const STANDARD_COLUMNS: usize = 2;

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: Arc<str>,
    /// The type of its values.
    pub ty: ColumnType,
    /// Whether it may change after its row was inserted.
    pub mutable: bool,
    /// Whether it is in the file.
    pub persistent: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    /// Its name.
    pub name: Arc<str>,
    /// Its columns: the standard ones, then the others sorted by name.
    pub columns: Vec<Column>,
    /// Kept and printed; nothing follows from it.
    pub mutable: bool,
    /// The most rows.
    pub max_rows: u32,
    /// Whether its rows stay without being referred to.
    pub is_root: bool,
    /// Columns whose values together differ in all rows.
    pub indexes: Vec<Vec<usize>>,
    /// Columns with references that keep rows.
    pub(super) strong: Vec<usize>,
    /// Columns with references that do not.
    pub(super) weak: Vec<usize>,
}

impl TableSchema {
    /// The place of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        match name {
            "_uuid" => Some(UUID),
            "_version" => Some(VERSION),
            _ => {
                let rest = self.columns.get(STANDARD_COLUMNS..).unwrap_or_default();
                let at = rest.binary_search_by(|column| (*column.name).cmp(name)).ok()?;
                Some(at + STANDARD_COLUMNS)
            }
        }
    }

    /// Reads names of columns; all columns without them.
    pub(super) fn columns_from_json(&self, json: Option<&Json>) -> Result<Vec<usize>, OvsdbError> {
        let Some(json) = json else {
            return Ok((0..self.columns.len()).collect());
        };
        let distinct = || OvsdbError::syntax(json, "array of distinct column names expected");
        let mut columns = Vec::new();
        for name in json.as_array().ok_or_else(distinct)? {
            let name = name.as_str().ok_or_else(distinct)?;
            let column = self
                .column(name)
                .ok_or_else(|| OvsdbError::syntax(json, format!("{name} is not a valid column name")))?;
            if columns.contains(&column) {
                return Err(distinct());
            }
            columns.push(column);
        }
        Ok(columns)
    }
}

/// A database's schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// The database's name.
    pub name: Arc<str>,
    /// `x.y.z`, or nothing in old ones.
    pub version: Arc<str>,
    /// A checksum that its makers put there; nothing follows from it.
    pub cksum: Arc<str>,
    /// Tables sorted by name.
    pub tables: Vec<TableSchema>,
}

impl Schema {
    /// Reads a schema and checks it.
    ///
    /// # Errors
    /// `syntax error`, saying what is wrong.
    pub fn from_json(json: &Json) -> Result<Self, OvsdbError> {
        let mut members = Members::new(json, "database schema");
        let name = members.required("name", Kind::Id).and_then(Json::as_str).unwrap_or_default();
        let version = members.optional("version", Kind::String).and_then(Json::as_str).unwrap_or_default();
        let cksum = members.optional("cksum", Kind::String).and_then(Json::as_str).unwrap_or_default();
        let named = members.required("tables", Kind::Object).and_then(Json::as_object);
        let has_version = json.get("version").is_some();
        members.finish()?;
        if has_version && !is_version(version) {
            return Err(OvsdbError::syntax(
                json,
                format!("schema version \"{version}\" not in format x.y.z"),
            ));
        }
        let mut tables = Vec::new();
        for (name, table) in named.into_iter().flat_map(Object::iter) {
            check_name(json, name)?;
            tables.push(TableSchema::from_json(table, name)?);
        }
        // Schemas from before there were roots.
        if !tables.iter().any(|table| table.is_root) {
            for table in &mut tables {
                table.is_root = true;
            }
        }
        let mut schema = Self { name: name.into(), version: version.into(), cksum: cksum.into(), tables };
        schema.resolve()?;
        Ok(schema)
    }

    /// Reads a schema from its text.
    ///
    /// # Errors
    /// `syntax error`, saying what is wrong.
    pub fn parse(text: &str) -> Result<Self, OvsdbError> {
        let json = Json::parse(text).map_err(|error| OvsdbError::bare_syntax(error.to_string()))?;
        Self::from_json(&json)
    }

    /// Finds the tables that columns refer to.
    fn resolve(&mut self) -> Result<(), OvsdbError> {
        let known: Vec<(Arc<str>, bool)> =
            self.tables.iter().map(|table| (table.name.clone(), table.is_root)).collect();
        for table in &mut self.tables {
            for (place, column) in table.columns.iter_mut().enumerate() {
                let (mut strong, mut weak) = (false, false);
                for (base, part) in [(Some(&mut column.ty.key), "key"), (column.ty.value.as_mut(), "value")] {
                    let Some(Limits::Uuid(Some(reference))) = base.map(|base| &mut base.limits) else {
                        continue;
                    };
                    let found = known.binary_search_by(|(name, _)| name.cmp(&reference.table));
                    let Some((index, (_, is_root))) =
                        found.ok().and_then(|index| known.get(index).map(|table| (index, table)))
                    else {
                        return Err(OvsdbError::bare_syntax(format!(
                            "column {} {part} refers to undefined table {}",
                            column.name, reference.table
                        )));
                    };
                    reference.index = index;
                    if reference.weak {
                        weak = true;
                        // It must be able to vanish.
                        column.mutable = true;
                    } else {
                        strong = true;
                        // A row that only a column outside the file kept would be lost when the file is read.
                        column.persistent |= !is_root;
                    }
                }
                if strong {
                    table.strong.push(place);
                }
                if weak {
                    table.weak.push(place);
                }
            }
        }
        Ok(())
    }

    /// The place of a table.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<usize> {
        self.tables.binary_search_by(|table| (*table.name).cmp(name)).ok()
    }

    /// The schema as JSON.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let all_roots = self.tables.iter().all(|table| table.is_root);
        let mut members = Object::default();
        members.insert("name", Json::String(self.name.clone()));
        for (name, text) in [("version", &self.version), ("cksum", &self.cksum)] {
            if !text.is_empty() {
                members.insert(name, Json::String(text.clone()));
            }
        }
        let tables = self.tables.iter().map(|table| (table.name.clone(), table.to_json(all_roots)));
        members.insert("tables", Json::Object(Object::new(tables.collect())));
        Json::Object(members)
    }
}

fn check_name(json: &Json, name: &str) -> Result<(), OvsdbError> {
    if name.starts_with('_') {
        Err(OvsdbError::syntax(json, "names beginning with \"_\" are reserved"))
    } else if !is_id(name) {
        Err(OvsdbError::syntax(json, "name must be a valid id"))
    } else {
        Ok(())
    }
}

/// Whether a text is `x.y.z`.
fn is_version(text: &str) -> bool {
    text.split('.').count() == 3
        && text
            .split('.')
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u32>().is_ok())
}

impl TableSchema {
    fn from_json(json: &Json, name: &str) -> Result<Self, OvsdbError> {
        let mut members = Members::new(json, format!("table schema for table {name}"));
        let named = members.required("columns", Kind::Object).and_then(Json::as_object);
        let mutable = members.optional("mutable", Kind::Bool).and_then(Json::as_bool).unwrap_or(true);
        let max_rows = members.optional("maxRows", Kind::Integer).and_then(Json::as_integer);
        let is_root = members.optional("isRoot", Kind::Bool).and_then(Json::as_bool).unwrap_or(false);
        let indexes = members.optional("indexes", Kind::Array).and_then(Json::as_array);
        members.finish()?;
        let max_rows = match max_rows {
            None => u32::MAX,
            Some(count @ 1..) => u32::try_from(count).unwrap_or(u32::MAX),
            Some(_) => return Err(OvsdbError::syntax(json, "maxRows must be at least 1")),
        };
        if named.is_none_or(Object::is_empty) {
            return Err(OvsdbError::syntax(json, "table must have at least one column"));
        }
        let standard = |name: &str, persistent| Column {
            name: name.into(),
            ty: ColumnType { key: BaseType::any(AtomicType::Uuid), value: None, min: 1, max: 1 },
            mutable: false,
            persistent,
        };
        let mut columns = vec![standard("_uuid", true), standard("_version", false)];
        for (name, column) in named.into_iter().flat_map(Object::iter) {
            check_name(json, name)?;
            columns.push(Column::from_json(column, name)?);
        }
        let mut table = Self {
            name: name.into(),
            columns,
            mutable,
            max_rows,
            is_root,
            indexes: Vec::new(),
            strong: Vec::new(),
            weak: Vec::new(),
        };
        for index in indexes.unwrap_or_default() {
            let columns = table.columns_from_json(Some(index))?;
            if columns.is_empty() {
                return Err(OvsdbError::syntax(json, "index must have at least one column"));
            }
            let ephemeral =
                columns.iter().filter_map(|at| table.columns.get(*at)).find(|one| !one.persistent);
            if let Some(column) = ephemeral {
                let details = format!("ephemeral columns (such as {}) may not be indexed", column.name);
                return Err(OvsdbError::syntax(json, details));
            }
            table.indexes.push(columns);
        }
        Ok(table)
    }

    fn to_json(&self, default_root: bool) -> Json {
        let mut members = Object::default();
        if !self.mutable {
            members.insert("mutable", Json::Bool(false));
        }
        if self.is_root != default_root {
            members.insert("isRoot", Json::Bool(self.is_root));
        }
        let own = self.columns.get(STANDARD_COLUMNS..).unwrap_or_default();
        let columns = own.iter().map(|column| (column.name.clone(), column.to_json()));
        members.insert("columns", Json::Object(Object::new(columns.collect())));
        if self.max_rows != u32::MAX {
            members.insert("maxRows", Json::Integer(i64::from(self.max_rows)));
        }
        if !self.indexes.is_empty() {
            let names = |index: &Vec<usize>| {
                let columns = index.iter().filter_map(|at| self.columns.get(*at));
                Json::Array(columns.map(|column| Json::String(column.name.clone())).collect())
            };
            members.insert("indexes", Json::Array(self.indexes.iter().map(names).collect()));
        }
        Json::Object(members)
    }
}

impl Column {
    fn from_json(json: &Json, name: &str) -> Result<Self, OvsdbError> {
        let mut members = Members::new(json, format!("schema for column {name}"));
        let mutable = members.optional("mutable", Kind::Bool).and_then(Json::as_bool).unwrap_or(true);
        let ephemeral = members.optional("ephemeral", Kind::Bool).and_then(Json::as_bool).unwrap_or(false);
        let ty = members.required("type", Kind::StringOrObject);
        members.finish()?;
        let Some(ty) = ty else {
            return Err(OvsdbError::syntax(json, "ovsdb type expected"));
        };
        Ok(Self { name: name.into(), ty: ColumnType::from_json(ty)?, mutable, persistent: !ephemeral })
    }

    fn to_json(&self) -> Json {
        let mut members = Object::default();
        if !self.mutable {
            members.insert("mutable", Json::Bool(false));
        }
        if !self.persistent {
            members.insert("ephemeral", Json::Bool(true));
        }
        members.insert("type", self.ty.to_json());
        Json::Object(members)
    }
}
