//! JSON (RFC 8259) with places, and nothing beside it: no comments, no trailing commas, no repeated keys.
//!
//! Cost: one pass over the bytes, recursion bounded by [`MAX_DEPTH`].

use super::node::{Entry, Node, Value};
use super::{MAX_DEPTH, Spanned, codes};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{SourceFile, Span};
use std::collections::HashMap;

/// Reads a JSON text; without a syntax error there is a tree.
pub(super) fn read(source: &SourceFile, diagnostics: &mut Diagnostics) -> Option<Node> {
    let mark = if source.text().starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut reader = Reader { text: source.text(), at: mark, diagnostics };
    let node = reader.document();
    match node {
        Ok(node) => Some(node),
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}

struct Reader<'s, 'd> {
    text: &'s str,
    at: usize,
    diagnostics: &'d mut Diagnostics,
}

type Read<T> = Result<T, Box<Diagnostic>>;

impl Reader<'_, '_> {
    fn document(&mut self) -> Read<Node> {
        let node = self.value(0)?;
        self.blanks();
        if self.at < self.text.len() {
            return Err(self.fault("text after the end of the document", "a JSON file is one value"));
        }
        Ok(node)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A fault at the current character, or at the last one if the text ends too early.
    fn fault(&self, message: &str, help: &str) -> Box<Diagnostic> {
        let start = if self.at < self.text.len() { self.at } else { self.text.trim_end().len() };
        let start = self.text.floor_char_boundary(start);
        let len = self.text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        let message =
            if self.at < self.text.len() { message.to_owned() } else { format!("the file ends: {message}") };
        Box::new(Diagnostic::error(codes::SYNTAX, message).at(Span::new(start, start + len)).help(help))
    }

    fn value(&mut self, depth: usize) -> Read<Node> {
        self.blanks();
        let start = self.at;
        let value = match self.peek() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => {
                let message = format!("nested more than {MAX_DEPTH} levels deep");
                let span = Span::new(start, start + 1);
                return Err(Box::new(Diagnostic::error(codes::TOO_DEEP, message).at(span)));
            }
            Some(b'{') => self.mapping(depth)?,
            Some(b'[') => self.sequence(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { value, span: Span::new(start, self.at) })
    }

    fn word(&mut self) -> Read<Value> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let words = [("null", Value::Null), ("true", Value::Bool(true)), ("false", Value::Bool(false))];
        for (word, value) in words {
            if rest.starts_with(word) && !rest[word.len()..].starts_with(|c: char| c.is_alphanumeric()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.fault(
            "a value is expected here",
            "write a value; text stands in double quotes, comments are not part of JSON",
        ))
    }

    fn sequence(&mut self, depth: usize) -> Read<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Sequence(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Sequence(items));
                }
                _ => {
                    return Err(self.fault(
                        "`,` or `]` is expected here",
                        "separate items by commas and close the list by `]`",
                    ));
                }
            }
            self.blanks();
            if self.peek() == Some(b']') {
                return Err(self.fault("a comma before the end of the list", "remove the last comma"));
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Read<Value> {
        self.at += 1;
        let mut entries: Vec<Entry> = Vec::new();
        let mut index: HashMap<String, Span> = HashMap::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Mapping(entries));
        }
        loop {
            self.blanks();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.fault(
                    "a key in double quotes is expected here",
                    "write \"key\": value, without a comma before `}`",
                ));
            }
            let name = self.string()?;
            let span = Span::new(start, self.at);
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.fault("`:` is expected here", "write \"key\": value"));
            }
            self.at += 1;
            let node = self.value(depth + 1)?;
            if let Some(first) = index.get(&name) {
                let first = *first;
                self.diagnostics.push_error_with(|| super::duplicate_key(&name, span, first));
            } else {
                index.insert(name.clone(), span);
                entries.push((Spanned::new(name, span), node));
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Mapping(entries));
                }
                _ => {
                    return Err(self.fault(
                        "`,` or `}` is expected here",
                        "separate entries by commas and close the mapping by `}`",
                    ));
                }
            }
        }
    }

    fn number(&mut self) -> Read<Value> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || zero && whole > 1 {
            self.at = start;
            return Err(self.fault("a malformed number", "write digits without leading zeros"));
        }
        let mut fraction = false;
        if self.peek() == Some(b'.') {
            self.at += 1;
            fraction = true;
            if self.digits() == 0 {
                return Err(self.fault("a malformed number", "digits must follow the point"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            fraction = true;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(self.fault("a malformed number", "digits must follow the `e`"));
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let value = if fraction {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
        } else {
            text.parse().ok().map(Value::Integer)
        };
        Ok(value.unwrap_or_else(|| {
            self.diagnostics.push(
                Diagnostic::error(codes::NUMBER_RANGE, "the number is too large")
                    .at(Span::new(start, self.at)),
            );
            Value::Invalid
        }))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Read<String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let stop = rest.find(|c| matches!(c, '"' | '\\' | '\0'..='\x1f')).unwrap_or(rest.len());
            out.push_str(&rest[..stop]);
            self.at += stop;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => {
                    return Err(self.fault(
                        "the text has no closing quote",
                        "close it by `\"`; line breaks and tabs are written \\n and \\t",
                    ));
                }
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        let wrong = |reader: &Self| {
            reader.fault(
                "an unknown escape",
                r#"known are \" \\ \/ \b \f \n \r \t and \u with four hexadecimal digits"#,
            )
        };
        let character = match self.text.as_bytes().get(self.at + 1) {
            Some(b'u') => {
                let start = self.at;
                let first = self.unit().ok_or_else(|| wrong(self))?;
                let units = if (0xd800..0xdc00).contains(&first) {
                    vec![first, self.unit().unwrap_or_default()]
                } else {
                    vec![first]
                };
                let decoded = char::decode_utf16(units).next().and_then(Result::ok);
                return decoded.ok_or_else(|| {
                    self.at = start;
                    self.fault("half of a surrogate pair", "write the character itself, or both halves")
                });
            }
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(same @ (b'"' | b'\\' | b'/')) => char::from(*same),
            _ => return Err(wrong(self)),
        };
        self.at += 2;
        Ok(character)
    }

    /// One `\u` with its four hexadecimal digits.
    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 6)?.strip_prefix("\\u")?;
        let unit =
            digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())??;
        self.at += 6;
        Some(unit)
    }
}
