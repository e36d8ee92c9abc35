//! What is looked at in the raw text before YAML proper: control characters, tabs, directives; and the map
//! from the parser's character counts to byte offsets.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::codes;
use crate::source::Span;

/// Reports control characters, which YAML forbids (section 5.1). The parser takes NUL for the end of the text,
/// so a file that has one must not be parsed. Shared by all formats.
pub(crate) fn control_characters(text: &str, diagnostics: &mut Diagnostics) {
    for (at, character) in text.char_indices() {
        let allowed = matches!(character, '\t' | '\n' | '\r' | '\u{85}') || !character.is_control();
        if !allowed {
            diagnostics.push_error_with(|| {
                Diagnostic::error(
                    codes::CONTROL_CHARACTER,
                    format!("control character U+{:04X} in the file", u32::from(character)),
                )
                .at(Span::new(at, at + character.len_utf8()))
                .help("remove it, or write it as an escape like \"\\u0007\" in double quotes")
            });
        }
    }
}

/// Reports directives other than `%YAML 1.2`: they stand before the first line of content.
pub(super) fn directives(text: &str, diagnostics: &mut Diagnostics) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        if content.starts_with('%') {
            if content.split_whitespace().ne(["%YAML", "1.2"]) {
                diagnostics.push(
                    Diagnostic::error(codes::DIRECTIVE, "YAML directives are not supported")
                        .at(Span::new(at, at + content.len()))
                        .help("remove the line; files are always read as YAML 1.2"),
                );
            }
        } else if !content.is_empty() && !content.trim_start().starts_with('#') {
            return;
        }
        at += line.len();
    }
}

/// The tabs that stand before the content of a line, also behind `- ` and `? `: one span for each line.
pub(super) fn leading_tabs(text: &str) -> Vec<Span> {
    let mut tabs = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.contains('\t') && !line.trim().is_empty() {
            let bytes = line.as_bytes();
            let mut column = 0;
            while let Some(byte) = bytes.get(column) {
                let marker =
                    matches!(byte, b'-' | b'?') && matches!(bytes.get(column + 1), Some(b' ' | b'\t'));
                if *byte == b'\t' {
                    let run = bytes.iter().skip(column).take_while(|b| **b == b'\t').count();
                    tabs.push(Span::new(at + column, at + column + run));
                    break;
                }
                if *byte != b' ' && !marker {
                    break;
                }
                column += 1;
            }
        }
        at += line.len();
    }
    tabs
}

/// Byte offsets from the parser's character counts.
pub(super) struct Offsets {
    /// Offset of every character; empty for ASCII, where they are the same.
    table: Vec<u32>,
    base: usize,
    len: usize,
}

impl Offsets {
    /// For a text that begins `base` bytes into its file.
    pub(super) fn new(text: &str, base: usize) -> Self {
        let table = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX)).collect()
        };
        Self { table, base, len: text.len() }
    }

    /// Offset in the file of the character with this number; the end of the text for numbers beyond it.
    pub(super) fn byte(&self, index: usize) -> usize {
        let at = if self.table.is_empty() {
            index.min(self.len)
        } else {
            self.table.get(index).map_or(self.len, |at| *at as usize)
        };
        self.base + at
    }

    pub(super) fn span(&self, span: &saphyr_parser::Span) -> Span {
        Span::new(self.byte(span.start.index()), self.byte(span.end.index()))
    }
}

/// The extent of a quoted scalar: the parser's own span runs on over blanks and a comment behind it.
pub(super) fn quoted_extent(text: &str, span: Span) -> Span {
    let body = text.get(span.range()).unwrap_or_default();
    let Some(quote) = body.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return trimmed(text, span);
    };
    let mut characters = body.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' && quote == '"' {
            characters.next();
        } else if character == quote {
            if quote == '\'' && characters.peek().is_some_and(|(_, next)| *next == '\'') {
                characters.next();
            } else {
                return Span::new(span.start as usize, span.start as usize + at + 1);
            }
        }
    }
    trimmed(text, span)
}

/// The span without blanks and line breaks at its end.
pub(super) fn trimmed(text: &str, span: Span) -> Span {
    let body = text.get(span.range()).unwrap_or_default();
    Span::new(span.start as usize, span.start as usize + body.trim_end().len())
}
