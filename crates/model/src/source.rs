//! The text a user wrote, and places in it.
//!
//! What: [`SourceFile`] owns a text and an index of its lines; [`Span`] is a pair of byte offsets into it,
//! small enough to hang on every value; [`Location`] is what a person reads (`file:line:column`).
//!
//! Invariants: a span made by a parser of this crate lies inside its file and on character boundaries;
//! every function here accepts any span and clamps it. Cost: locating is a binary search over the lines
//! plus one walk over the line.
//!
//! Deliberately absent: reading files (the caller does I/O) and several files in one span.

use crate::diagnostic::Diagnostic;
use crate::document::codes;
use std::fmt;
use std::sync::Arc;

/// Largest text that is read, in bytes: a topology of a million objects stays below it, and offsets
/// stay far inside 32 bits.
pub const MAX_BYTES: usize = 64 << 20;

/// A range of bytes in a [`SourceFile`]: `start` inclusive, `end` exclusive.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// A span from offsets, which are put in order and saturate at 4 GiB.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        Self { start, end: end.max(start) }
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Whether nothing is covered. The default span is empty: it stands for "made by no file".
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Whether `offset` lies inside.
    #[must_use]
    pub fn contains(self, offset: u32) -> bool {
        (self.start..self.end).contains(&offset)
    }

    /// The bounds as `usize`, for slicing.
    #[must_use]
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A place as a person reads it: lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Location {
    /// Name of the file.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A named text with an index of its lines. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct SourceFile {
    name: Arc<str>,
    text: Arc<str>,
    /// Offset of the first byte of each line; the first is always 0.
    lines: Arc<[u32]>,
}

/// Bytes that are not text, with what could be read of them so that the error can be shown.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// The text with every bad byte replaced by U+FFFD.
    pub source: SourceFile,
    /// What is wrong and where.
    pub diagnostic: Diagnostic,
}

impl SourceFile {
    /// A file from its name and text.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        let text: Arc<str> = text.into();
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = breaks.map_while(|(at, _)| u32::try_from(at + 1).ok());
        let lines = std::iter::once(0).chain(starts).collect();
        Self { name: name.into(), text, lines }
    }

    /// A file from bytes, which must be UTF-8 without a doubt.
    ///
    /// # Errors
    /// The first bad byte, located in a readable copy of the file.
    pub fn from_bytes(name: impl Into<Arc<str>>, bytes: &[u8]) -> Result<Self, Box<Unreadable>> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => {
                // The lossy copy equals the original up to the first bad byte, so the offset holds in both.
                let at = error.valid_up_to();
                let source = Self::new(name, String::from_utf8_lossy(bytes));
                let byte = bytes.get(at).copied().unwrap_or_default();
                let diagnostic = Diagnostic::error(
                    codes::NOT_UTF8,
                    format!("the file is not UTF-8 text: byte 0x{byte:02x} at offset {at}"),
                )
                .at(Span::new(at, at + char::REPLACEMENT_CHARACTER.len_utf8()))
                .help("save the file as UTF-8");
                Err(Box::new(Unreadable { source, diagnostic }))
            }
        }
    }

    /// The name, as shown in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, shared.
    #[must_use]
    pub fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text under a span; empty where the span does not fit the file.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }

    /// Number of lines (a file without a line break has one).
    #[must_use]
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// The span of a line (from 1) without its line break; `None` past the end.
    #[must_use]
    pub fn line_span(&self, line: u32) -> Option<Span> {
        let index = (line as usize).checked_sub(1)?;
        let start = *self.lines.get(index)? as usize;
        let end = self.lines.get(index + 1).map_or(self.text.len(), |next| *next as usize - 1);
        let text = self.text.get(start..end)?;
        Some(Span::new(start, start + text.strip_suffix('\r').unwrap_or(text).len()))
    }

    /// Where a span begins.
    #[must_use]
    pub fn locate(&self, span: Span) -> Location {
        let offset = self.clamp(span.start);
        let index = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.lines.get(index).copied().unwrap_or_default();
        let before = self.text.get(start as usize..offset as usize).unwrap_or_default();
        Location {
            file: self.shared_name(),
            line: u32::try_from(index + 1).unwrap_or(u32::MAX),
            column: u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX),
        }
    }

    /// The offset itself if it is a character boundary of the file, else the nearest one before it.
    pub(crate) fn clamp(&self, offset: u32) -> u32 {
        let at = self.text.floor_char_boundary((offset as usize).min(self.text.len()));
        u32::try_from(at).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let file = SourceFile::new("a.yaml", "é: 1\r\nü日: x\n");
        let at = |start: usize| file.locate(Span::new(start, start + 1)).to_string();
        assert_eq!(at(0), "a.yaml:1:1");
        assert_eq!(at(4), "a.yaml:1:4");
        assert_eq!(at(7), "a.yaml:2:1");
        assert_eq!(at(12), "a.yaml:2:3");
        assert_eq!(at(999), "a.yaml:3:1");
        assert_eq!(file.line_span(1), Some(Span::new(0, 5)));
        assert_eq!(file.line_span(3), Some(Span::new(16, 16)));
        assert_eq!(file.line_span(4), None);
        assert_eq!(file.line_span(0), None);
    }

    #[test]
    fn bytes_that_are_not_text_are_located() {
        let bad = SourceFile::from_bytes("x", b"a: 1\nb: \xff\n").unwrap_err();
        assert_eq!(bad.source.locate(bad.diagnostic.span.unwrap()).to_string(), "x:2:4");
        assert!(SourceFile::from_bytes("x", b"a: 1").is_ok());
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_is_located(text in "(?s).{0,60}", start: u32, end: u32, near in 0u32..80) {
            let file = SourceFile::new("f", text);
            for span in [Span { start, end }, Span { start: near, end: near + 1 }] {
                let place = file.locate(span);
                prop_assert!(file.line_span(place.line).is_some());
                let _ = file.slice(span);
            }
        }
    }
}
