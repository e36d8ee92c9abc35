//! TOML with places.
//!
//! What: the format-preserving parser finds syntax and repeated keys; its tree becomes a [`Node`]. Dates have no
//! meaning in the language and are refused. Tables that exist only through dotted headers are placed where
//! their parts are.
//!
//! The parser itself refuses nesting and dotted keys of more than 80 levels, so neither can exhaust the stack.

use super::node::{Entry, Node, Value};
use super::{MAX_DEPTH, Spanned, codes};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{SourceFile, Span};
use std::ops::Range;
use toml_edit::{Document, Item, TableLike};

/// Reads a TOML text; without a syntax error there is a tree.
pub(super) fn read(source: &SourceFile, diagnostics: &mut Diagnostics) -> Option<Node> {
    match Document::parse(source.text()) {
        Ok(document) => {
            let mut reader = Reader { source, diagnostics };
            let mut node = reader.table(document.as_table(), None, 0)?;
            node.span = Span::new(0, source.text().len());
            Some(node)
        }
        Err(error) => {
            let span = error.span().unwrap_or_default();
            let message = error.message().replace('\n', ", ");
            let (code, message) = if message.contains("duplicate key") {
                (codes::DUPLICATE_KEY, message)
            } else if message.contains("recursion") {
                (codes::TOO_DEEP, "nested or dotted too many levels deep".to_owned())
            } else {
                (codes::SYNTAX, message)
            };
            diagnostics.push(Diagnostic::error(code, message).at(inside(source, span)));
            None
        }
    }
}

/// The parser's span made to fit the file; an empty one is widened to a character.
fn inside(source: &SourceFile, range: Range<usize>) -> Span {
    let text = source.text();
    let start = if range.start >= text.len() { text.trim_end().len() } else { range.start };
    let start = text.floor_char_boundary(start);
    let one = text
        .get(start..)
        .and_then(|rest| rest.chars().next())
        .filter(|c| *c != '\n')
        .map_or(0, char::len_utf8);
    let end = text.floor_char_boundary(range.end.min(text.len()));
    Span::new(start, end.max(start + one))
}

struct Reader<'s, 'd> {
    source: &'s SourceFile,
    diagnostics: &'d mut Diagnostics,
}

impl Reader<'_, '_> {
    fn table(&mut self, table: &dyn TableLike, span: Option<Range<usize>>, depth: usize) -> Option<Node> {
        let mut entries: Vec<Entry> = Vec::with_capacity(table.len());
        for (name, item) in table.iter() {
            let key = table.key(name).and_then(toml_edit::Key::span);
            let key = key.or_else(|| item.span()).map(|range| inside(self.source, range));
            let node = self.item(item, depth + 1)?;
            let key = key.unwrap_or(node.span);
            entries.push((Spanned::new(name.to_owned(), key), node));
        }
        let parts = entries.iter().map(|(key, node)| key.span.join(node.span)).reduce(Span::join);
        let span = span.map(|range| inside(self.source, range)).or(parts).unwrap_or_default();
        Some(Node { value: Value::Mapping(entries), span })
    }

    /// `None` after a fault that was reported and ends the reading.
    fn item(&mut self, item: &Item, depth: usize) -> Option<Node> {
        let range = item.span();
        if depth > MAX_DEPTH
            && !matches!(item, Item::Value(value) if !value.is_array() && !value.is_inline_table())
        {
            self.diagnostics.push(
                Diagnostic::error(codes::TOO_DEEP, format!("nested more than {MAX_DEPTH} levels deep"))
                    .at(range.map(|range| inside(self.source, range)).unwrap_or_default()),
            );
            return None;
        }
        match item {
            Item::None => Some(Node { value: Value::Null, span: Span::default() }),
            Item::Table(table) => self.table(table, range, depth),
            Item::ArrayOfTables(tables) => {
                let mut items = Vec::with_capacity(tables.len());
                for table in tables {
                    items.push(self.table(table, table.span(), depth + 1)?);
                }
                let parts = items.iter().map(|node| node.span).reduce(Span::join);
                Some(Node { value: Value::Sequence(items), span: parts.unwrap_or_default() })
            }
            Item::Value(value) => self.value(value, depth),
        }
    }

    fn value(&mut self, value: &toml_edit::Value, depth: usize) -> Option<Node> {
        let span = inside(self.source, value.span().unwrap_or_default());
        let value = match value {
            toml_edit::Value::String(text) => Value::String(text.value().clone()),
            toml_edit::Value::Integer(number) => Value::Integer(i128::from(*number.value())),
            toml_edit::Value::Boolean(truth) => Value::Bool(*truth.value()),
            toml_edit::Value::Float(number) if number.value().is_finite() => Value::Float(*number.value()),
            toml_edit::Value::Float(_) => {
                self.diagnostics.push(
                    Diagnostic::error(codes::NUMBER_RANGE, "the number is not finite")
                        .at(span)
                        .help("leave it out"),
                );
                Value::Invalid
            }
            toml_edit::Value::Datetime(_) => {
                self.diagnostics.push(
                    Diagnostic::error(codes::DATE, "dates and times have no meaning here")
                        .at(span)
                        .help("put it in quotes if it is text"),
                );
                Value::Invalid
            }
            toml_edit::Value::Array(array) => {
                let mut items = Vec::with_capacity(array.len());
                for item in array {
                    let nested = item.is_array() || item.is_inline_table();
                    if nested && depth >= MAX_DEPTH {
                        let message = format!("nested more than {MAX_DEPTH} levels deep");
                        self.diagnostics.push(Diagnostic::error(codes::TOO_DEEP, message).at(span));
                        return None;
                    }
                    items.push(self.value(item, depth + 1)?);
                }
                Value::Sequence(items)
            }
            toml_edit::Value::InlineTable(table) => {
                return self.table(table, Some(span.range()), depth);
            }
        };
        Some(Node { value, span })
    }
}
