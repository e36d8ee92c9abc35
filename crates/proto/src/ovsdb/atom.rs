//! Atoms: the values of which data are made (RFC 7047, section 5.1, `<atom>`).

use super::error::OvsdbError;
use super::json::{Json, write_real, write_string};
use super::symbols::Names;
use super::types::{AtomicType, BaseType, Limits};
use super::uuid::Uuid;
use std::cmp::Ordering;
use std::fmt::Write;
use std::sync::Arc;

/// A value of an atomic type. Atoms of one column are all of the same type, and ordered as Open vSwitch orders them.
#[derive(Debug, Clone)]
pub enum Atom {
    /// A whole number.
    Integer(i64),
    /// A finite number; zero has no sign.
    Real(f64),
    /// A truth value.
    Boolean(bool),
    /// A text.
    String(Arc<str>),
    /// A UUID, often of a row.
    Uuid(Uuid),
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Atom {}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => {
                if Arc::ptr_eq(a, b) {
                    Ordering::Equal
                } else {
                    a.cmp(b)
                }
            }
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl From<Uuid> for Atom {
    fn from(uuid: Uuid) -> Self {
        Self::Uuid(uuid)
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<i64> for Atom {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Atom {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl Atom {
    /// Its type.
    #[must_use]
    pub const fn kind(&self) -> AtomicType {
        match self {
            Self::Integer(_) => AtomicType::Integer,
            Self::Real(_) => AtomicType::Real,
            Self::Boolean(_) => AtomicType::Boolean,
            Self::String(_) => AtomicType::String,
            Self::Uuid(_) => AtomicType::Uuid,
        }
    }

    /// The default of a type: 0, false, an empty text, the zero UUID.
    #[must_use]
    pub fn default_of(kind: AtomicType) -> Self {
        match kind {
            AtomicType::Integer => Self::Integer(0),
            AtomicType::Real => Self::Real(0.0),
            AtomicType::Boolean => Self::Boolean(false),
            AtomicType::String => Self::String(Arc::default()),
            AtomicType::Uuid => Self::Uuid(Uuid::ZERO),
        }
    }

    /// Whether this is the default of its type.
    #[must_use]
    pub fn is_default(&self) -> bool {
        match self {
            Self::Integer(number) => *number == 0,
            Self::Real(number) => *number == 0.0,
            Self::Boolean(value) => !value,
            Self::String(text) => text.is_empty(),
            Self::Uuid(uuid) => *uuid == Uuid::ZERO,
        }
    }

    /// The UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> Option<Uuid> {
        match self {
            Self::Uuid(uuid) => Some(*uuid),
            _ => None,
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// Reads an atom and checks it against the limits of its type.
    ///
    /// # Errors
    /// `syntax error` or `constraint violation`.
    pub fn from_json(
        json: &Json,
        base: &BaseType,
        names: Option<&mut Names<'_>>,
    ) -> Result<Self, OvsdbError> {
        let atom = match (base.kind, json) {
            (AtomicType::Integer, Json::Integer(number)) => Self::Integer(*number),
            #[expect(clippy::cast_precision_loss, reason = "as the protocol means it")]
            (AtomicType::Real, Json::Integer(number)) => Self::Real(*number as f64),
            (AtomicType::Real, Json::Real(number)) => Self::Real(*number),
            (AtomicType::Boolean, Json::Bool(value)) => Self::Boolean(*value),
            (AtomicType::String, Json::String(text)) => Self::String(text.clone()),
            (AtomicType::Uuid, json) => Self::Uuid(uuid_from_json(json, names)?),
            (kind, json) => return Err(OvsdbError::syntax(json, format!("expected {}", kind.name()))),
        };
        atom.check(base)?;
        Ok(atom)
    }

    /// Checks the limits of a type. Whether rows that are referred to exist is checked at the end of a transaction.
    ///
    /// # Errors
    /// `constraint violation`.
    pub fn check(&self, base: &BaseType) -> Result<(), OvsdbError> {
        let violation = |details: String| Err(OvsdbError::new("constraint violation", details));
        if let Some(choices) = &base.choices
            && !choices.contains(self)
        {
            let (mut actual, mut valid) = (String::new(), String::new());
            self.describe(&mut actual);
            choices.describe(true, false, &mut valid);
            return violation(format!("{actual} is not one of the allowed values ({valid})"));
        }
        match (self, &base.limits) {
            (Self::Integer(number), Limits::Integer { min, max }) if number < min || number > max => {
                violation(out_of_range(&number, &min, &max, *min != i64::MIN, *max != i64::MAX))
            }
            (Self::Real(number), Limits::Real { min, max }) if number < min || number > max => {
                let text = |number: &f64| {
                    let mut out = String::new();
                    write_real(*number, &mut out);
                    out
                };
                let bounded = (*min > -f64::MAX, *max < f64::MAX);
                violation(out_of_range(&text(number), &text(min), &text(max), bounded.0, bounded.1))
            }
            (Self::String(text), Limits::String { min, max }) => {
                if *min == 0 && *max == u32::MAX {
                    return Ok(());
                }
                let length = text.chars().count();
                if length < *min as usize {
                    violation(format!("\"{text}\" length {length} is less than minimum allowed length {min}"))
                } else if length > *max as usize {
                    violation(format!(
                        "\"{text}\" length {length} is greater than maximum allowed length {max}"
                    ))
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// Appends the atom as JSON.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Integer(number) => {
                let _ = write!(out, "{number}");
            }
            Self::Real(number) => write_real(*number, out),
            Self::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::String(text) => write_string(text, out),
            Self::Uuid(uuid) => {
                out.push_str("[\"uuid\",\"");
                uuid.write(out);
                out.push_str("\"]");
            }
        }
    }

    /// The atom as JSON.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Integer(number) => Json::Integer(*number),
            // What has no fraction is an integer in JSON.
            Self::Real(number) => {
                let mut text = String::new();
                write_real(*number, &mut text);
                Json::parse(&text).unwrap_or(Json::Real(*number))
            }
            Self::Boolean(value) => Json::Bool(*value),
            Self::String(text) => Json::String(text.clone()),
            Self::Uuid(uuid) => Json::Array(vec![Json::string("uuid"), Json::string(&uuid.to_string())]),
        }
    }

    /// Appends the atom as people write it on a command line.
    pub fn describe(&self, out: &mut String) {
        match self {
            Self::String(text) if !needs_quotes(text) => out.push_str(text),
            Self::Uuid(uuid) => uuid.write(out),
            other => other.write(out),
        }
    }
}

fn out_of_range(
    number: &dyn std::fmt::Display,
    min: &dyn std::fmt::Display,
    max: &dyn std::fmt::Display,
    has_min: bool,
    has_max: bool,
) -> String {
    match (has_min, has_max) {
        (true, true) => format!("{number} is not in the valid range {min} to {max} (inclusive)"),
        (true, false) => format!("{number} is less than minimum allowed value {min}"),
        (false, _) => format!("{number} is greater than maximum allowed value {max}"),
    }
}

fn needs_quotes(text: &str) -> bool {
    let mut bytes = text.bytes();
    !bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        || !bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        || matches!(text, "true" | "false")
        || text.parse::<Uuid>().is_ok()
}

fn uuid_from_json(json: &Json, names: Option<&mut Names<'_>>) -> Result<Uuid, OvsdbError> {
    match json.as_array() {
        Some([Json::String(tag), Json::String(text)]) if &**tag == "uuid" => {
            text.parse().map_err(|_| OvsdbError::syntax(json, format!("\"{text}\" is not a valid UUID")))
        }
        Some([Json::String(tag), Json::String(name)]) if &**tag == "named-uuid" => match names {
            Some(_) if !super::members::is_id(name) => {
                Err(OvsdbError::syntax(json, "named-uuid string is not a valid <id>"))
            }
            Some(names) => Ok(names.uuid(name)),
            None => Err(OvsdbError::syntax(json, "expected [\"uuid\", <string>]")),
        },
        _ => Err(OvsdbError::syntax(json, "expected [\"uuid\", <string>]")),
    }
}
