//! Conditions: which rows an operation is about (RFC 7047, section 5.1, `<condition>`), with the booleans that Open vSwitch
//! takes in the place of clauses.

use super::datum::Datum;
use super::error::OvsdbError;
use super::json::Json;
use super::row::Row;
use super::schema::{Schema, TableSchema, UUID};
use super::symbols::Names;
use super::types::AtomicType;
use super::uuid::Uuid;
use std::cmp::Ordering;

/// What a clause compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    /// Less.
    Less,
    /// Less or equal.
    LessOrEqual,
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
    /// Greater or equal.
    GreaterOrEqual,
    /// Greater.
    Greater,
    /// All elements of the argument are there.
    Includes,
    /// No element of the argument is there.
    Excludes,
}

impl Function {
    fn from_name(name: &str) -> Result<Self, OvsdbError> {
        Ok(match name {
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            ">=" => Self::GreaterOrEqual,
            ">" => Self::Greater,
            "includes" => Self::Includes,
            "excludes" => Self::Excludes,
            other => {
                return Err(OvsdbError::new("unknown function", format!("No function named {other}.")));
            }
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
            Self::Includes => "includes",
            Self::Excludes => "excludes",
        }
    }

    fn holds(self, field: &Datum, argument: &Datum) -> bool {
        let order = || Some(field.one()?.cmp(argument.one()?));
        match self {
            Self::Less => order() == Some(Ordering::Less),
            Self::LessOrEqual => matches!(order(), Some(Ordering::Less | Ordering::Equal)),
            Self::Equal => field == argument,
            Self::NotEqual => field != argument,
            Self::GreaterOrEqual => matches!(order(), Some(Ordering::Greater | Ordering::Equal)),
            Self::Greater => order() == Some(Ordering::Greater),
            Self::Includes => field.includes(argument),
            Self::Excludes => field.excludes(argument),
        }
    }
}

/// A part of a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clause {
    /// Holds always or never.
    Constant(bool),
    /// Compares a column.
    Compare {
        /// The place of the column.
        column: usize,
        /// How.
        function: Function,
        /// With what.
        argument: Datum,
    },
}

impl Clause {
    fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Compare { column, function, argument } => function.holds(row.field(*column), argument),
        }
    }

    fn from_json(
        json: &Json,
        table: &TableSchema,
        names: Option<&mut Names<'_>>,
    ) -> Result<Self, OvsdbError> {
        if let Json::Bool(value) = json {
            return Ok(Self::Constant(*value));
        }
        let Some([Json::String(name), Json::String(function), argument]) = json.as_array() else {
            return Err(OvsdbError::syntax(json, "Parse error in condition."));
        };
        let place = table.column(name);
        let Some((place, column)) = place.and_then(|at| table.columns.get(at).map(|column| (at, column)))
        else {
            return Err(unknown_column(json, name, table));
        };
        let function = Function::from_name(function)?;
        let ty = &column.ty;
        let (min, max) = match function {
            Function::Less | Function::LessOrEqual | Function::Greater | Function::GreaterOrEqual => {
                let ordered = matches!(ty.key.kind, AtomicType::Integer | AtomicType::Real);
                if !ordered || !(ty.is_scalar() || ty.is_optional_scalar()) {
                    return Err(mismatch(json, function.name(), name, &ty.english()));
                }
                (1, 1)
            }
            Function::Equal | Function::NotEqual => (ty.min, ty.max),
            Function::Excludes if !ty.is_scalar() => (0, u32::MAX),
            Function::Includes if !ty.is_scalar() => (0, ty.max),
            Function::Excludes | Function::Includes => (1, 1),
        };
        let argument = Datum::read(argument, &ty.key, ty.value.as_ref(), (min, max), names)?;
        Ok(Self::Compare { column: place, function, argument })
    }
}

pub(super) fn unknown_column(json: &Json, name: &str, table: &TableSchema) -> OvsdbError {
    OvsdbError::new("unknown column", format!("No column {name} in table {}.", table.name)).about(json)
}

pub(super) fn mismatch(json: &Json, operator: &str, column: &str, ty: &str) -> OvsdbError {
    let details =
        format!("Type mismatch: \"{operator}\" operator may not be applied to column {column} of type {ty}.");
    OvsdbError::syntax(json, details)
}

/// Clauses. Operations are about rows for which all hold, monitors about those for which any does.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition(Vec<Clause>);

impl Condition {
    /// Reads a condition on the rows of a table.
    ///
    /// # Errors
    /// `syntax error`, `unknown column`, `unknown function` or `constraint violation`.
    pub fn from_json(
        json: &Json,
        table: &TableSchema,
        mut names: Option<&mut Names<'_>>,
    ) -> Result<Self, OvsdbError> {
        let clauses = json.as_array().ok_or_else(|| OvsdbError::syntax(json, "array expected"))?;
        let mut read = Vec::with_capacity(clauses.len());
        for clause in clauses {
            read.push(Clause::from_json(clause, table, names.as_deref_mut())?);
        }
        Ok(Self(read))
    }

    /// What holds when any of these conditions of monitors does.
    pub(super) fn any(conditions: Vec<Self>) -> Self {
        if conditions.iter().any(Self::is_true) {
            return Self::default();
        }
        let mut clauses: Vec<Clause> = conditions.into_iter().flat_map(|condition| condition.0).collect();
        clauses.sort();
        clauses.dedup();
        Self(clauses)
    }

    /// Whether all clauses hold.
    #[must_use]
    pub fn matches_all(&self, row: &Row) -> bool {
        self.0.iter().all(|clause| clause.holds(row))
    }

    /// Whether any clause holds, or there is none.
    #[must_use]
    pub fn matches_any(&self, row: &Row) -> bool {
        self.is_true() || self.0.iter().any(|clause| clause.holds(row))
    }

    /// Whether [`Condition::matches_any`] holds for every row.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.0.is_empty() || self.0.contains(&Clause::Constant(true))
    }

    /// The one row that may match, when a clause names it.
    pub(super) fn only_row(&self) -> Option<Uuid> {
        self.equals(UUID).and_then(|argument| argument.one()).and_then(super::atom::Atom::as_uuid)
    }

    /// What a column must be equal to.
    pub(super) fn equals(&self, wanted: usize) -> Option<&Datum> {
        self.0.iter().find_map(|clause| match clause {
            Clause::Compare { column, function: Function::Equal, argument } if *column == wanted => {
                Some(argument)
            }
            _ => None,
        })
    }

    /// The condition as JSON, for a table of a schema.
    #[must_use]
    pub fn to_json(&self, schema: &Schema, table: usize) -> Json {
        let column = |at: usize| schema.tables.get(table).and_then(|table| table.columns.get(at));
        let clause = |clause: &Clause| match clause {
            Clause::Constant(value) => Json::Bool(*value),
            Clause::Compare { column: at, function, argument } => Json::Array(vec![
                column(*at).map_or(Json::Null, |column| Json::String(column.name.clone())),
                Json::string(function.name()),
                argument.to_json(column(*at).is_some_and(|column| column.ty.is_map())),
            ]),
        };
        Json::Array(self.0.iter().map(clause).collect())
    }
}
