//! Reading the members of an object: each is asked for, and at the end none may be left over.

use super::error::OvsdbError;
use super::json::Json;

/// Kinds of values a member may have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Any,
    Bool,
    Integer,
    Number,
    String,
    /// A string that is an identifier.
    Id,
    Array,
    Object,
    StringOrObject,
    IntegerOrString,
}

impl Kind {
    fn takes(self, json: &Json) -> bool {
        match self {
            Self::Any => true,
            Self::Bool => matches!(json, Json::Bool(_)),
            Self::Integer => matches!(json, Json::Integer(_)),
            Self::Number => matches!(json, Json::Integer(_) | Json::Real(_)),
            Self::String => matches!(json, Json::String(_)),
            Self::Id => json.as_str().is_some_and(is_id),
            Self::Array => matches!(json, Json::Array(_)),
            Self::Object => matches!(json, Json::Object(_)),
            Self::StringOrObject => matches!(json, Json::String(_) | Json::Object(_)),
            Self::IntegerOrString => matches!(json, Json::Integer(_) | Json::String(_)),
        }
    }
}

/// Whether a text is an identifier: letters, digits and underscores, no digit first.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// An object that is being read. The first fault is kept.
#[derive(Debug)]
pub(super) struct Members<'a> {
    json: &'a Json,
    what: String,
    used: Vec<&'static str>,
    fault: Option<OvsdbError>,
}

impl<'a> Members<'a> {
    /// Begins with an object; `what` is what it should be.
    pub(super) fn new(json: &'a Json, what: impl Into<String>) -> Self {
        let mut members = Self { json, what: what.into(), used: Vec::new(), fault: None };
        if json.as_object().is_none() {
            members.fault =
                Some(OvsdbError::bare_syntax(format!("Parsing {} failed: Object expected.", members.what)));
        }
        members
    }

    /// Keeps a fault, if it is the first.
    pub(super) fn fail(&mut self, what: &str) {
        if self.fault.is_none() {
            let details = format!("Parsing {} failed: {what}", self.what);
            self.fault = Some(OvsdbError::syntax(self.json, details));
        }
    }

    /// A member that must be there.
    pub(super) fn required(&mut self, name: &'static str, kind: Kind) -> Option<&'a Json> {
        let found = self.optional(name, kind);
        if found.is_none() && self.json.as_object().is_some_and(|object| object.get(name).is_none()) {
            self.fail(&format!("Required '{name}' member is missing."));
        }
        found
    }

    /// A member that may be there.
    pub(super) fn optional(&mut self, name: &'static str, kind: Kind) -> Option<&'a Json> {
        let value = self.json.get(name)?;
        if kind.takes(value) {
            self.used.push(name);
            Some(value)
        } else {
            self.fail(&format!("Type mismatch for member '{name}'."));
            None
        }
    }

    /// The object.
    pub(super) const fn json(&self) -> &'a Json {
        self.json
    }

    /// Stops if there was a fault up to now.
    pub(super) fn check(&self) -> Result<(), OvsdbError> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// Ends: nothing may be left over.
    pub(super) fn finish(mut self) -> Result<(), OvsdbError> {
        if self.fault.is_none()
            && let Some(object) = self.json.as_object()
        {
            let mut rest = object.iter().filter(|(name, _)| !self.used.contains(&&***name));
            if let Some((name, _)) = rest.next() {
                let others = rest.count();
                let what = match others {
                    0 => format!("Member '{name}' is present but not allowed here."),
                    1 => format!("Member '{name}' and 1 other member are present but not allowed here."),
                    _ => {
                        format!(
                            "Member '{name}' and {others} other members are present but not allowed here."
                        )
                    }
                };
                self.fail(&what);
            }
        }
        self.fault.map_or(Ok(()), Err)
    }
}
