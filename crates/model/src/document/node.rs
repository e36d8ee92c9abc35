//! The tree that all formats are read into.
//!
//! Invariants: keys of a mapping are unique and in file order; depth is at most [`super::MAX_DEPTH`]; floats
//! are finite. Comparison looks at values only, not at places.

use super::Spanned;
use crate::source::Span;

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written; for a mapping or list without brackets, from the first entry to the last.
    pub span: Span,
}

/// A key and its value.
pub type Entry = (Spanned<String>, Node);

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction or exponent. Finite.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys with values, in file order, each key once.
    Mapping(Vec<Entry>),
    /// A value that was already reported as an error, kept so that the rest of the file can be checked.
    /// It fits everywhere and is never found in a document without errors.
    Invalid,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// The kinds of value, as bits of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const BOOL: Self = Self(2);
    pub(crate) const INTEGER: Self = Self(4);
    pub(crate) const FLOAT: Self = Self(8);
    pub(crate) const STRING: Self = Self(16);
    pub(crate) const SEQUENCE: Self = Self(32);
    pub(crate) const MAPPING: Self = Self(64);
    pub(crate) const ALL: Self = Self(127);
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The kinds in words, like "text or a list".
    pub(crate) fn words(self) -> String {
        let number = if self.meets(Self::FLOAT) { "a number" } else { "a whole number" };
        let all = [
            (Self::MAPPING, "a mapping"),
            (Self::SEQUENCE, "a list"),
            (Self::STRING, "text"),
            (Self::INTEGER.with(Self::FLOAT), number),
            (Self::BOOL, "true or false"),
        ];
        let mut words: Vec<&str> =
            all.iter().filter(|(kind, _)| self.meets(*kind)).map(|(_, word)| *word).collect();
        if words.is_empty() {
            return (if self.meets(Self::NULL) { "nothing" } else { "no value at all" }).to_owned();
        }
        match (words.pop(), words.is_empty()) {
            (Some(last), false) => format!("{} or {last}", words.join(", ")),
            (last, _) => last.unwrap_or_default().to_owned(),
        }
    }
}

impl Value {
    /// The kind; an invalid value is of every kind.
    pub(crate) fn kind(&self) -> Kinds {
        match self {
            Self::Null => Kinds::NULL,
            Self::Bool(_) => Kinds::BOOL,
            Self::Integer(_) => Kinds::INTEGER,
            Self::Float(_) => Kinds::FLOAT,
            Self::String(_) => Kinds::STRING,
            Self::Sequence(_) => Kinds::SEQUENCE,
            Self::Mapping(_) => Kinds::MAPPING,
            Self::Invalid => Kinds::ALL,
        }
    }

    /// The value in words for a message, like "text `abc`" or "a list".
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(truth) => format!("`{truth}`"),
            Self::Integer(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number:?}"),
            Self::String(text) if text.is_empty() => "empty text".to_owned(),
            Self::String(text) => format!("text `{}`", crate::diagnostic::printable(text)),
            Self::Sequence(_) => "a list".to_owned(),
            Self::Mapping(_) => "a mapping".to_owned(),
            Self::Invalid => "an invalid value".to_owned(),
        }
    }
}

impl Node {
    /// The value of a key, if this is a mapping that has it. A walk over the keys.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Mapping(entries) => {
                entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    /// Number of nodes, itself included.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + match &self.value {
            Value::Sequence(items) => items.iter().map(Self::count).sum(),
            Value::Mapping(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
            _ => 0,
        }
    }
}
