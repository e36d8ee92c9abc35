//! Types of columns (RFC 7047, section 3.2, `<type>`).

use super::datum::Datum;
use super::error::OvsdbError;
use super::json::{Json, Object};
use super::members::{Kind, Members};
use std::sync::Arc;

/// The type of an atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AtomicType {
    /// 64 bits with a sign.
    Integer,
    /// A finite `f64`.
    Real,
    /// True or false.
    Boolean,
    /// UTF-8 without NUL.
    String,
    /// 128 bits.
    Uuid,
}

impl AtomicType {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Uuid => "uuid",
        }
    }

    fn from_json(json: &Json) -> Result<Self, OvsdbError> {
        Ok(match json.as_str() {
            Some("integer") => Self::Integer,
            Some("real") => Self::Real,
            Some("boolean") => Self::Boolean,
            Some("string") => Self::String,
            Some("uuid") => Self::Uuid,
            Some(other) => {
                return Err(OvsdbError::syntax(json, format!("\"{other}\" is not an atomic-type")));
            }
            None => return Err(OvsdbError::syntax(json, "atomic-type expected")),
        })
    }
}

/// Limits of atoms.
#[derive(Debug, Clone, PartialEq)]
pub enum Limits {
    /// Those of a boolean.
    None,
    /// From `min` to `max`.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// From `min` to `max`.
    Real {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// Characters, from `min` to `max`.
    String {
        /// The fewest.
        min: u32,
        /// The most.
        max: u32,
    },
    /// What a UUID refers to.
    Uuid(Option<Reference>),
}

/// Rows that a column refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The table's name.
    pub table: Arc<str>,
    /// Its place in the schema's tables. The schema sets it.
    pub index: usize,
    /// Whether the reference vanishes with the row, instead of keeping the row.
    pub weak: bool,
}

/// The type of keys or of values.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseType {
    /// The atoms.
    pub kind: AtomicType,
    /// Their limits.
    pub limits: Limits,
    /// The atoms that are allowed, if not all are.
    pub choices: Option<Datum>,
}

/// The type of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnType {
    /// Atoms of a set, or keys of a map.
    pub key: BaseType,
    /// Values of a map.
    pub value: Option<BaseType>,
    /// The fewest elements: 0 or 1.
    pub min: u32,
    /// The most elements, at least 1; all ones if there is no limit.
    pub max: u32,
}

impl BaseType {
    /// A type without limits.
    #[must_use]
    pub const fn any(kind: AtomicType) -> Self {
        let limits = match kind {
            AtomicType::Integer => Limits::Integer { min: i64::MIN, max: i64::MAX },
            AtomicType::Real => Limits::Real { min: -f64::MAX, max: f64::MAX },
            AtomicType::Boolean => Limits::None,
            AtomicType::String => Limits::String { min: 0, max: u32::MAX },
            AtomicType::Uuid => Limits::Uuid(None),
        };
        Self { kind, limits, choices: None }
    }

    /// The same without limits and choices.
    #[must_use]
    pub(super) const fn unlimited(&self) -> Self {
        Self::any(self.kind)
    }

    /// What it refers to.
    #[must_use]
    pub const fn reference(&self) -> Option<&Reference> {
        match &self.limits {
            Limits::Uuid(reference) => reference.as_ref(),
            _ => None,
        }
    }

    /// What it refers to, if it keeps it.
    #[must_use]
    pub fn strong(&self) -> Option<&Reference> {
        self.reference().filter(|reference| !reference.weak)
    }

    /// What it refers to, if it does not keep it.
    #[must_use]
    pub fn weak(&self) -> Option<&Reference> {
        self.reference().filter(|reference| reference.weak)
    }

    fn has_limits(&self) -> bool {
        *self != Self::any(self.kind)
    }

    fn from_json(json: &Json) -> Result<Self, OvsdbError> {
        if matches!(json, Json::String(_)) {
            return AtomicType::from_json(json).map(Self::any);
        }
        let mut members = Members::new(json, "ovsdb type");
        let Some(kind) = members.required("type", Kind::String) else {
            return members.finish().and_then(|()| Err(OvsdbError::syntax(json, "ovsdb type expected")));
        };
        let kind = AtomicType::from_json(kind)?;
        let mut base = Self::any(kind);
        if let Some(choices) = members.optional("enum", Kind::Any) {
            base.choices = Some(Datum::choices_from_json(choices, kind)?);
            members.finish()?;
            return Ok(base);
        }
        base.limits = match base.limits {
            Limits::Integer { min, max } => {
                let low = members.optional("minInteger", Kind::Integer).and_then(Json::as_integer);
                let high = members.optional("maxInteger", Kind::Integer).and_then(Json::as_integer);
                let (min, max) = (low.unwrap_or(min), high.unwrap_or(max));
                if min > max {
                    return Err(OvsdbError::syntax(json, "minInteger exceeds maxInteger"));
                }
                Limits::Integer { min, max }
            }
            Limits::Real { min, max } => {
                let low = members.optional("minReal", Kind::Number).and_then(real);
                let high = members.optional("maxReal", Kind::Number).and_then(real);
                let (min, max) = (low.unwrap_or(min), high.unwrap_or(max));
                if min > max {
                    return Err(OvsdbError::syntax(json, "minReal exceeds maxReal"));
                }
                Limits::Real { min, max }
            }
            Limits::String { min, max } => {
                let low = length(&mut members, "minLength")?;
                let high = length(&mut members, "maxLength")?;
                let (min, max) = (low.unwrap_or(min), high.unwrap_or(max));
                if min > max {
                    return Err(OvsdbError::syntax(json, "minLength exceeds maxLength"));
                }
                Limits::String { min, max }
            }
            Limits::Uuid(_) => Limits::Uuid(reference(json, &mut members)?),
            Limits::None => Limits::None,
        };
        members.finish()?;
        Ok(base)
    }

    fn to_json(&self) -> Json {
        let name = Json::string(self.kind.name());
        if !self.has_limits() {
            return name;
        }
        let mut members = Object::default();
        members.insert("type", name);
        if let Some(choices) = &self.choices {
            members.insert("enum", choices.to_json(false));
        }
        match &self.limits {
            Limits::None | Limits::Uuid(None) => {}
            Limits::Integer { min, max } => {
                if *min != i64::MIN {
                    members.insert("minInteger", Json::Integer(*min));
                }
                if *max != i64::MAX {
                    members.insert("maxInteger", Json::Integer(*max));
                }
            }
            Limits::Real { min, max } => {
                if *min > -f64::MAX {
                    members.insert("minReal", super::atom::Atom::Real(*min).to_json());
                }
                if *max < f64::MAX {
                    members.insert("maxReal", super::atom::Atom::Real(*max).to_json());
                }
            }
            Limits::String { min, max } => {
                if *min != 0 {
                    members.insert("minLength", Json::Integer(i64::from(*min)));
                }
                if *max != u32::MAX {
                    members.insert("maxLength", Json::Integer(i64::from(*max)));
                }
            }
            Limits::Uuid(Some(reference)) => {
                members.insert("refTable", Json::String(reference.table.clone()));
                if reference.weak {
                    members.insert("refType", Json::string("weak"));
                }
            }
        }
        Json::Object(members)
    }
}

#[expect(clippy::cast_precision_loss, reason = "as the protocol means it")]
const fn real(json: &Json) -> Option<f64> {
    match json {
        Json::Integer(number) => Some(*number as f64),
        Json::Real(number) => Some(*number),
        _ => None,
    }
}

fn length(members: &mut Members<'_>, name: &'static str) -> Result<Option<u32>, OvsdbError> {
    let Some(json) = members.optional(name, Kind::Integer) else {
        return Ok(None);
    };
    match json.as_integer().and_then(|number| u32::try_from(number).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(OvsdbError::syntax(json, format!("{name} out of valid range 0 to {}", u32::MAX))),
    }
}

fn reference(json: &Json, members: &mut Members<'_>) -> Result<Option<Reference>, OvsdbError> {
    let Some(table) = members.optional("refTable", Kind::Id).and_then(Json::as_str) else {
        return Ok(None);
    };
    let weak = match members.optional("refType", Kind::Id).and_then(Json::as_str) {
        None | Some("strong") => false,
        Some("weak") => true,
        Some(other) => {
            let details = format!("refType must be \"strong\" or \"weak\" (not \"{other}\")");
            return Err(OvsdbError::syntax(json, details));
        }
    };
    Ok(Some(Reference { table: table.into(), index: 0, weak }))
}

impl ColumnType {
    /// Exactly one atom without limits.
    #[must_use]
    pub const fn scalar(kind: AtomicType) -> Self {
        Self { key: BaseType::any(kind), value: None, min: 1, max: 1 }
    }

    /// Whether it is a map.
    #[must_use]
    pub const fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// Whether it is exactly one atom.
    #[must_use]
    pub const fn is_scalar(&self) -> bool {
        self.value.is_none() && self.min == 1 && self.max == 1
    }

    /// Whether it is one atom or none.
    #[must_use]
    pub const fn is_optional_scalar(&self) -> bool {
        self.value.is_none() && self.min == 0 && self.max == 1
    }

    /// Whether it is a set, optional scalars included.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.value.is_none() && !(self.min == 1 && self.max == 1)
    }

    /// Whether there may be several elements.
    #[must_use]
    pub const fn is_composite(&self) -> bool {
        self.max > 1
    }

    /// Whether there may be so many elements.
    #[must_use]
    pub const fn takes(&self, count: usize) -> bool {
        count >= self.min as usize && count <= self.max as usize
    }

    /// In English.
    #[must_use]
    pub fn english(&self) -> String {
        let key = self.key.kind.name();
        if self.is_scalar() {
            return key.to_owned();
        }
        let class = if self.is_map() { "map" } else { "set" };
        let count = match (self.min, self.max) {
            (0, u32::MAX) => " of".to_owned(),
            (min, u32::MAX) => format!(" of {min} or more"),
            (0, max) => format!(" of up to {max}"),
            (min, max) => format!(" of {min} to {max}"),
        };
        match &self.value {
            None => format!("{class}{count} {key}s"),
            Some(value) => format!("{class}{count} ({key}, {}) pairs", value.kind.name()),
        }
    }

    /// Reads a type.
    ///
    /// # Errors
    /// `syntax error`.
    pub fn from_json(json: &Json) -> Result<Self, OvsdbError> {
        if matches!(json, Json::String(_)) {
            return BaseType::from_json(json).map(|key| Self { key, value: None, min: 1, max: 1 });
        }
        if json.as_object().is_none() {
            return Err(OvsdbError::syntax(json, "ovsdb type expected"));
        }
        let mut members = Members::new(json, "ovsdb type");
        let key = members.required("key", Kind::StringOrObject);
        let value = members.optional("value", Kind::StringOrObject);
        let min = members.optional("min", Kind::Integer);
        let max = members.optional("max", Kind::IntegerOrString);
        members.finish()?;
        let Some(key) = key else {
            return Err(OvsdbError::syntax(json, "ovsdb type expected"));
        };
        let key = BaseType::from_json(key)?;
        let value = value.map(BaseType::from_json).transpose()?;
        let min = min.map_or(Ok(1), count)?;
        let max = match max {
            None => 1,
            Some(json) if json.as_str() == Some("unlimited") => u32::MAX,
            Some(json) => count(json)?,
        };
        if min > 1 || max < 1 {
            return Err(OvsdbError::syntax(json, "ovsdb type fails constraint checks"));
        }
        Ok(Self { key, value, min, max })
    }

    /// The type as JSON.
    #[must_use]
    pub fn to_json(&self) -> Json {
        if self.is_scalar() && !self.key.has_limits() {
            return self.key.to_json();
        }
        let mut members = Object::default();
        members.insert("key", self.key.to_json());
        if let Some(value) = &self.value {
            members.insert("value", value.to_json());
        }
        if self.min != 1 {
            members.insert("min", Json::Integer(i64::from(self.min)));
        }
        if self.max == u32::MAX {
            members.insert("max", Json::string("unlimited"));
        } else if self.max != 1 {
            members.insert("max", Json::Integer(i64::from(self.max)));
        }
        Json::Object(members)
    }
}

fn count(json: &Json) -> Result<u32, OvsdbError> {
    json.as_integer()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number < u32::MAX)
        .ok_or_else(|| OvsdbError::syntax(json, "bad min or max value"))
}
