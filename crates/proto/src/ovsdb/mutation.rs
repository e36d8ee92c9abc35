//! Mutations: changes of columns that rest on their values (RFC 7047, section 5.1, `<mutation>`).

use super::atom::Atom;
use super::condition::{mismatch, unknown_column};
use super::datum::Datum;
use super::error::OvsdbError;
use super::json::Json;
use super::row::Row;
use super::schema::TableSchema;
use super::symbols::Names;
use super::types::{AtomicType, BaseType, ColumnType};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Insert,
    Delete,
}

impl Mutator {
    fn from_name(name: &str) -> Result<Self, OvsdbError> {
        Ok(match name {
            "+=" => Self::Add,
            "-=" => Self::Subtract,
            "*=" => Self::Multiply,
            "/=" => Self::Divide,
            "%=" => Self::Remainder,
            "insert" => Self::Insert,
            "delete" => Self::Delete,
            other => return Err(OvsdbError::new("unknown mutator", format!("No mutator named {other}."))),
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Add => "+=",
            Self::Subtract => "-=",
            Self::Multiply => "*=",
            Self::Divide => "/=",
            Self::Remainder => "%=",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

/// One change.
#[derive(Debug, Clone)]
pub(super) struct Mutation {
    column: usize,
    mutator: Mutator,
    argument: Datum,
}

impl Mutation {
    pub(super) fn from_json(
        json: &Json,
        table: &TableSchema,
        mut names: Option<&mut Names<'_>>,
    ) -> Result<Self, OvsdbError> {
        let Some([Json::String(name), Json::String(mutator), argument]) = json.as_array() else {
            return Err(OvsdbError::syntax(json, "Parse error in mutation."));
        };
        let place = table.column(name);
        let Some((place, column)) = place.and_then(|at| table.columns.get(at).map(|column| (at, column)))
        else {
            return Err(unknown_column(json, name, table));
        };
        if !column.mutable {
            let details = format!("Cannot mutate immutable column {name} in table {}.", table.name);
            return Err(OvsdbError::new("constraint violation", details).about(json));
        }
        let mutator = Mutator::from_name(mutator)?;
        let ty = &column.ty;
        let type_mismatch = || Err(mismatch(json, mutator.name(), name, &ty.english()));
        let argument = match mutator {
            Mutator::Insert | Mutator::Delete => {
                if !ty.is_set() && !ty.is_map() {
                    return type_mismatch();
                }
                let max = if mutator == Mutator::Delete { u32::MAX } else { ty.max };
                let read = Datum::read(argument, &ty.key, ty.value.as_ref(), (0, max), names.as_deref_mut());
                match read {
                    Err(_) if mutator == Mutator::Delete && ty.is_map() => {
                        Datum::read(argument, &ty.key, None, (0, max), names)?
                    }
                    read => read?,
                }
            }
            _ => {
                let kind = ty.key.kind;
                let numeric = kind == AtomicType::Integer
                    || (kind == AtomicType::Real && mutator != Mutator::Remainder);
                if !numeric || ty.is_map() {
                    return type_mismatch();
                }
                Datum::read(argument, &BaseType::any(kind), None, (1, 1), names)?
            }
        };
        Ok(Self { column: place, mutator, argument })
    }

    /// Changes a row.
    pub(super) fn execute(&self, row: &mut Row, table: &TableSchema) -> Result<(), OvsdbError> {
        let Some(column) = table.columns.get(self.column) else {
            return Ok(());
        };
        let old = row.field(self.column);
        let new = match self.mutator {
            Mutator::Insert => counted(old.union(&self.argument), &column.ty)?,
            Mutator::Delete => counted(old.subtract(&self.argument), &column.ty)?,
            _ => self.calculate(old, &column.ty)?,
        };
        row.set(self.column, new);
        Ok(())
    }

    fn calculate(&self, old: &Datum, ty: &ColumnType) -> Result<Datum, OvsdbError> {
        let Some(argument) = self.argument.one() else {
            return Ok(old.clone());
        };
        let mut atoms = Vec::with_capacity(old.len());
        for atom in old.atoms() {
            let new = match (atom, argument) {
                (Atom::Integer(a), Atom::Integer(b)) => self.integers(*a, *b)?,
                (Atom::Real(a), Atom::Real(b)) => self.reals(*a, *b)?,
                _ => atom.clone(),
            };
            atoms.push(new);
        }
        for atom in &atoms {
            atom.check(&ty.key)?;
        }
        let count = atoms.len();
        let new = Datum::set(atoms);
        if new.len() == count {
            Ok(new)
        } else {
            let details = format!("Result of \"{}\" operation contains duplicates.", self.mutator.name());
            Err(OvsdbError::new("constraint violation", details))
        }
    }

    fn integers(&self, a: i64, b: i64) -> Result<Atom, OvsdbError> {
        let result = match self.mutator {
            Mutator::Add => a.checked_add(b),
            Mutator::Subtract => a.checked_sub(b),
            Mutator::Multiply => a.checked_mul(b),
            Mutator::Divide | Mutator::Remainder if b == 0 => return Err(division_by_zero()),
            Mutator::Divide => a.checked_div(b),
            Mutator::Remainder => a.checked_rem(b),
            Mutator::Insert | Mutator::Delete => Some(a),
        };
        result.map(Atom::Integer).ok_or_else(|| self.out_of_range())
    }

    fn reals(&self, a: f64, b: f64) -> Result<Atom, OvsdbError> {
        let result = match self.mutator {
            Mutator::Add => a + b,
            Mutator::Subtract => a - b,
            Mutator::Multiply => a * b,
            Mutator::Divide | Mutator::Remainder if b == 0.0 => return Err(division_by_zero()),
            Mutator::Divide => a / b,
            Mutator::Remainder => a % b,
            Mutator::Insert | Mutator::Delete => a,
        };
        if result.is_finite() {
            // Zero has no sign.
            Ok(Atom::Real(if result == 0.0 { 0.0 } else { result }))
        } else {
            Err(self.out_of_range())
        }
    }

    fn out_of_range(&self) -> OvsdbError {
        let details = format!("Result of \"{}\" operation is out of range.", self.mutator.name());
        OvsdbError::new("range error", details)
    }
}

fn division_by_zero() -> OvsdbError {
    OvsdbError::new("domain error", "Division by zero.")
}

fn counted(new: Datum, ty: &ColumnType) -> Result<Datum, OvsdbError> {
    if ty.takes(new.len()) {
        Ok(new)
    } else {
        let details = format!("Attempted to store {} elements in {}.", new.len(), ty.english());
        Err(OvsdbError::new("constraint violation", details))
    }
}
