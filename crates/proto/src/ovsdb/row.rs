//! Rows.

use super::atom::Atom;
use super::condition::unknown_column;
use super::datum::Datum;
use super::error::OvsdbError;
use super::json::{Json, Object, write_string};
use super::schema::{TableSchema, UUID, VERSION};
use super::symbols::Names;
use super::uuid::Uuid;

/// A row: the values of its table's columns, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    fields: Box<[Datum]>,
}

static EMPTY: Datum = Datum::Empty;

impl Row {
    /// A row of default values.
    #[must_use]
    pub fn new(table: &TableSchema, uuid: Uuid) -> Self {
        let mut row =
            Self { fields: table.columns.iter().map(|column| Datum::default_of(&column.ty)).collect() };
        row.set(UUID, uuid.into());
        row
    }

    /// Its name.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        self.field(UUID).one().and_then(Atom::as_uuid).unwrap_or_default()
    }

    /// What changes whenever the row does.
    #[must_use]
    pub fn version(&self) -> Uuid {
        self.field(VERSION).one().and_then(Atom::as_uuid).unwrap_or_default()
    }

    /// The value of the column at this place.
    #[must_use]
    pub fn field(&self, column: usize) -> &Datum {
        self.fields.get(column).unwrap_or(&EMPTY)
    }

    /// Sets the value of the column at this place. Whether it is of the column's type is checked when the row's
    /// transaction ends ([`Server::change_here`](super::server::Server::change_here)).
    pub fn set(&mut self, column: usize, value: Datum) {
        if let Some(field) = self.fields.get_mut(column) {
            *field = value;
        }
    }

    /// The values of all columns.
    #[must_use]
    pub const fn fields(&self) -> &[Datum] {
        &self.fields
    }

    /// Reads values of columns (`<row>`).
    ///
    /// # Errors
    /// `syntax error`, `unknown column` or `constraint violation`.
    pub fn values_from_json(
        json: &Json,
        table: &TableSchema,
        mut names: Option<&mut Names<'_>>,
    ) -> Result<Vec<(usize, Datum)>, OvsdbError> {
        let members = json.as_object().ok_or_else(|| OvsdbError::syntax(json, "row must be JSON object"))?;
        let mut values = Vec::with_capacity(members.len());
        for (name, value) in members.iter() {
            let place = table.column(name);
            let Some((place, column)) = place.and_then(|at| table.columns.get(at).map(|column| (at, column)))
            else {
                return Err(unknown_column(json, name, table));
            };
            values.push((place, Datum::from_json(value, &column.ty, names.as_deref_mut())?));
        }
        Ok(values)
    }

    /// Some columns as JSON.
    #[must_use]
    pub fn to_json(&self, table: &TableSchema, columns: &[usize]) -> Json {
        let members = columns.iter().filter_map(|at| {
            let column = table.columns.get(*at)?;
            Some((column.name.clone(), self.field(*at).to_json(column.ty.is_map())))
        });
        Json::Object(Object::new(members.collect()))
    }
}

/// Appends `"name":value` with a comma where one is due.
pub(super) fn write_field(
    table: &TableSchema,
    column: usize,
    value: &Datum,
    first: &mut bool,
    out: &mut String,
) {
    let Some(column) = table.columns.get(column) else {
        return;
    };
    if !std::mem::take(first) {
        out.push(',');
    }
    write_string(&column.name, out);
    out.push(':');
    value.write(column.ty.is_map(), out);
}
