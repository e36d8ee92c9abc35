//! Errors that are sent to peers (RFC 7047, section 3.1, `<error>`), in the words of Open vSwitch.

use super::json::{Json, Object};
use std::borrow::Cow;
use std::fmt;

/// An `<error>`: what clients compare is its tag, what people read its details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OvsdbError(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    tag: Cow<'static, str>,
    details: Option<String>,
    syntax: Option<String>,
    io: Option<String>,
}

impl OvsdbError {
    /// An error with a tag such as `constraint violation`.
    #[must_use]
    pub fn new(tag: &'static str, details: impl Into<String>) -> Self {
        let details = Some(details.into());
        Self(Box::new(Parts { tag: Cow::Borrowed(tag), details, syntax: None, io: None }))
    }

    /// A `syntax error` about this value.
    #[must_use]
    pub fn syntax(json: &Json, details: impl Into<String>) -> Self {
        Self::new("syntax error", details).about(json)
    }

    /// A `syntax error` about no value in particular.
    #[must_use]
    pub fn bare_syntax(details: impl Into<String>) -> Self {
        Self::new("syntax error", details)
    }

    /// An error of the storage, with the system's words.
    #[must_use]
    pub fn io(details: impl Into<String>, why: impl Into<String>) -> Self {
        let mut error = Self::new("I/O error", details);
        error.0.io = Some(why.into());
        error
    }

    /// The same about this value.
    #[must_use]
    pub fn about(mut self, json: &Json) -> Self {
        self.0.syntax = Some(json.text());
        self
    }

    /// The same with `what` before its details.
    #[must_use]
    pub fn within(mut self, what: &str) -> Self {
        self.0.details = Some(match self.0.details.take() {
            Some(details) => format!("{what}: {details}"),
            None => what.to_owned(),
        });
        self
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.0.tag
    }

    /// The details.
    #[must_use]
    pub fn details(&self) -> Option<&str> {
        self.0.details.as_deref()
    }

    /// As it is sent.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut members = Object::default();
        let Parts { tag, details, syntax, io } = &*self.0;
        members.insert("error", Json::string(tag));
        for (name, text) in [("details", details), ("syntax", syntax), ("io-error", io)] {
            if let Some(text) = text {
                members.insert(name, Json::string(text));
            }
        }
        Json::Object(members)
    }

    /// From what a peer sent, if it is an error.
    #[must_use]
    pub fn from_json(json: &Json) -> Option<Self> {
        let text = |name| json.get(name).and_then(Json::as_str).map(str::to_owned);
        let tag = match json {
            Json::String(tag) => tag.to_string(),
            _ => text("error")?,
        };
        Some(Self(Box::new(Parts {
            tag: Cow::Owned(tag),
            details: text("details"),
            syntax: text("syntax"),
            io: text("io-error"),
        })))
    }
}

impl fmt::Display for OvsdbError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { tag, details, syntax, io } = &*self.0;
        if let Some(syntax) = syntax {
            write!(out, "syntax \"{syntax}\": ")?;
        }
        out.write_str(tag)?;
        if let Some(details) = details {
            write!(out, ": {details}")?;
        }
        if let Some(io) = io {
            write!(out, " ({io})")?;
        }
        Ok(())
    }
}

impl std::error::Error for OvsdbError {}
