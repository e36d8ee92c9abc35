//! What is wrong with a user's file, as data.
//!
//! What: a [`Diagnostic`] holds a code, a short sentence, the place and the way out; [`Diagnostics`] collects
//! them so that a file's faults are told all at once. [`Diagnostics::render`] makes them readable.
//!
//! Invariants: nothing from the user's file reaches a terminal unescaped. The collection is bounded
//! ([`Diagnostics::LIMIT`]): a hostile file must not make a report larger than itself; what is left out is
//! counted.
//!
//! Deliberately absent: any use of a terminal; colours are plain escape sequences that the caller asks for.

mod render;

use crate::source::Span;
use std::borrow::Cow;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file can't be used.
    Error,
    /// The file can be used, but probably does not say what was meant.
    Warning,
}

/// One finding about a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// A stable code such as `E0102`; those of this crate are in [`crate::document::codes`].
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// A short sentence with the values, without a full stop.
    pub message: String,
    /// The place, if there is one in the file.
    pub span: Option<Span>,
    /// A few words printed beside the place.
    pub label: Option<String>,
    /// The way out.
    pub help: Option<String>,
    /// Other places that matter, each with a note.
    pub related: Vec<(Span, String)>,
}

impl Diagnostic {
    /// An error without a place yet.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message.into())
    }

    /// A warning without a place yet.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message.into())
    }

    fn new(code: &'static str, severity: Severity, message: String) -> Self {
        Self { code, severity, message, span: None, label: None, help: None, related: Vec::new() }
    }

    /// Sets the place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets the words beside the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Sets the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the way out if there is one.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<impl Into<String>>) -> Self {
        if let Some(help) = help {
            self.help = Some(help.into());
        }
        self
    }

    /// Adds another place that matters.
    #[must_use]
    pub fn related(mut self, span: Span, note: impl Into<String>) -> Self {
        self.related.push((span, note.into()));
        self
    }
}

/// Findings about one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    errors: usize,
    omitted: usize,
}

impl Diagnostics {
    /// How many findings are kept; the rest are only counted.
    pub const LIMIT: usize = 500;

    /// No findings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding, or counts it when [`Self::LIMIT`] is reached. An error is always counted as one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        if self.items.len() < Self::LIMIT {
            self.items.push(diagnostic);
        } else {
            self.omitted += 1;
        }
    }

    /// Adds an error that is built only if it will be kept.
    pub(crate) fn push_error_with(&mut self, build: impl FnOnce() -> Diagnostic) {
        if self.items.len() < Self::LIMIT {
            self.push(build());
        } else {
            self.errors += 1;
            self.omitted += 1;
        }
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Number of findings that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Number of findings beyond [`Self::LIMIT`].
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether the file can't be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The findings in the order in which they stand.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// Orders the findings by place (those without one first) and drops repetitions, which arise when an
    /// alias brings the same faulty text to several places.
    pub fn sort(&mut self) {
        self.items.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
        self.items.dedup();
    }

    /// The findings, ordered by place.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<Diagnostic> {
        self.sort();
        self.items
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        let mut all = Self::new();
        all.push(diagnostic);
        all
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, more: I) {
        for diagnostic in more {
            self.push(diagnostic);
        }
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(items: I) -> Self {
        let mut all = Self::new();
        all.extend(items);
        all
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl Diagnostics {
    /// Moves all findings of `other` here, with its count of what was left out.
    pub fn append(&mut self, other: Self) {
        self.omitted += other.omitted;
        self.errors += other.errors;
        for diagnostic in other.items {
            if self.items.len() < Self::LIMIT {
                self.items.push(diagnostic);
            } else {
                self.omitted += 1;
            }
        }
    }
}

/// A piece of user's text made safe for a message: short, and without characters that a terminal would
/// obey or that change the direction of writing.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 60;
    let short = match text.char_indices().nth(LONGEST) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
    };
    if short.chars().any(render::is_unsafe) {
        Cow::Owned(short.chars().map(render::stand_in).collect())
    } else {
        short
    }
}
