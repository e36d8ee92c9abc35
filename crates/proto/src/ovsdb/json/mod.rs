//! JSON as the database protocol means it: integers and reals are different, objects have no order.
//!
//! What: [`Json`], its reading ([`Json::parse`], and [`Splitter`] for a stream without frames) and its writing.
//! A number that is whole and fits 64 bits is an integer however it was written (`1.0`, `1e3`); zero has no sign.
//! Reals are written with 15 digits, as Open vSwitch does.
//!
//! Invariants: no text panics; nesting is bounded by [`DEPTH`], what a stream may make grow by the splitter's limit. Of
//! members with the same name the last one counts. Strings hold no NUL. Objects are kept and written sorted by name.
//!
//! Deliberately absent: borrowing from the text (rows outlive messages) and numbers beyond 64 bits.

mod parse;
mod print;
mod split;

pub use parse::{DEPTH, JsonError};
pub use print::{write_real, write_string};
pub use split::{SplitError, Splitter};

use std::sync::Arc;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of 64 bits.
    Integer(i64),
    /// Any other number; finite and not zero.
    Real(f64),
    /// A string.
    String(Arc<str>),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// The members of an object, sorted by name, each name once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object(Vec<(Arc<str>, Json)>);

impl Object {
    /// An object of members in any order; of equal names the last one counts.
    #[must_use]
    pub fn new(mut members: Vec<(Arc<str>, Json)>) -> Self {
        let sorted = members.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0));
        if !sorted {
            members.reverse();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.dedup_by(|later, first| later.0 == first.0);
        }
        Self(members)
    }

    /// The member of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Sets a member.
    pub fn insert(&mut self, name: &str, value: Json) {
        match self.0.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) => {
                if let Some(member) = self.0.get_mut(at) {
                    member.1 = value;
                }
            }
            Err(at) => self.0.insert(at, (name.into(), value)),
        }
    }

    /// All members, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Json)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many members there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Json {
    /// A string.
    #[must_use]
    pub fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    /// An object of these members.
    #[must_use]
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Self {
        Self::Object(Object::new(members.into_iter().map(|(name, value)| (name.into(), value)).collect()))
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members of an object.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The number, if it is an integer.
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
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The member of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object().and_then(|object| object.get(name))
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Vec<Json>> for Json {
    fn from(elements: Vec<Json>) -> Self {
        Self::Array(elements)
    }
}

#[cfg(test)]
mod tests;
