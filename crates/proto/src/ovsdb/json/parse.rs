//! Text to values.

use super::{Json, Object};
use std::sync::Arc;

/// How deep arrays and objects may nest.
pub const DEPTH: usize = 1000;

/// Why a text is no JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("octet {at}: {what}")]
pub struct JsonError {
    /// The octet, counted from 0.
    pub at: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Json {
    /// Reads a text that is one value, with white space around it.
    ///
    /// # Errors
    /// When it is none, says where.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let mut parser = Parser { text, bytes: text.as_bytes(), at: 0 };
        let value = parser.value(0)?;
        parser.space();
        match parser.peek() {
            None => Ok(value),
            Some(_) => Err(parser.fault("trailing garbage at end of input")),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    const fn fault(&self, what: &'static str) -> JsonError {
        JsonError { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'a'..=b'z') => self.keyword(),
            Some(_) => Err(self.fault("invalid character")),
            None => Err(self.fault("unexpected end of input")),
        }
    }

    fn keyword(&mut self) -> Result<Json, JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            let follows = rest.get(word.len()).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
            if rest.starts_with(word.as_bytes()) && !follows {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.fault("invalid keyword"))
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > DEPTH {
            return Err(self.fault("input exceeds maximum nesting depth 1000"));
        }
        self.at += 1;
        let mut elements = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(elements));
                }
                _ => return Err(self.fault("syntax error parsing array expecting ']' or ','")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > DEPTH {
            return Err(self.fault("input exceeds maximum nesting depth 1000"));
        }
        self.at += 1;
        let mut members: Vec<(Arc<str>, Json)> = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(Object::default()));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.fault("syntax error parsing object expecting string"));
            }
            let name = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.fault("syntax error parsing object expecting ':'"));
            }
            self.at += 1;
            let value = self.value(depth)?;
            members.push((name, value));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(Object::new(members)));
                }
                _ => return Err(self.fault("syntax error expecting '}' or ','")),
            }
        }
    }

    fn string(&mut self) -> Result<Arc<str>, JsonError> {
        self.at += 1;
        let from = self.at;
        // Most strings have no escapes: they are taken as they are.
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = self.text.get(from..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => break,
                Some(0..0x20) => return Err(self.fault("control character must be escaped in quoted string")),
                Some(_) => self.at += 1,
                None => return Err(self.fault("unexpected end of input in quoted string")),
            }
        }
        let mut text = String::from(self.text.get(from..self.at).unwrap_or_default());
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(0..0x20) => return Err(self.fault("control character must be escaped in quoted string")),
                Some(_) => {
                    let from = self.at;
                    while matches!(self.peek(), Some(byte) if byte >= 0x20 && byte != b'"' && byte != b'\\') {
                        self.at += 1;
                    }
                    text.push_str(self.text.get(from..self.at).unwrap_or_default());
                }
                None => return Err(self.fault("unexpected end of input in quoted string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let kind = self.peek();
        self.at += 1;
        match kind {
            Some(byte @ (b'"' | b'\\' | b'/')) => Ok(char::from(byte)),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => {
                let first = self.hex()?;
                let code = match first {
                    0 => return Err(self.fault("null bytes not supported in quoted strings")),
                    0xdc00..0xe000 => return Err(self.fault("malformed escaped surrogate pair")),
                    0xd800..0xdc00 => {
                        if self.bytes.get(self.at..self.at + 2) != Some(br"\u") {
                            return Err(self.fault("malformed escaped surrogate pair"));
                        }
                        self.at += 2;
                        let second = self.hex()?;
                        if !(0xdc00..0xe000).contains(&second) {
                            return Err(
                                self.fault("second half of escaped surrogate pair is not trailing surrogate")
                            );
                        }
                        0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                    }
                    _ => first,
                };
                char::from_u32(code).ok_or_else(|| self.fault("malformed \\u escape"))
            }
            _ => Err(self.fault("bad escape")),
        }
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4);
        let code = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.fault("malformed \\u escape"))?;
        self.at += 4;
        Ok(code)
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let from = self.at;
        let mut whole = true;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        match self.digits() {
            0 => return Err(self.fault("'-' must be followed by digit")),
            1 => {}
            _ if leading_zero => return Err(self.fault("leading zeros not allowed")),
            _ => {}
        }
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.fault("decimal point must be followed by digit"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.fault("exponent must contain at least one digit"));
            }
        }
        if matches!(self.peek(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'+' | b'-')) {
            return Err(self.fault("syntax error in number"));
        }
        let text = self.text.get(from..self.at).unwrap_or_default();
        if whole && let Ok(number) = text.parse() {
            return Ok(Json::Integer(number));
        }
        if let Some(number) = exact_integer(text) {
            return Ok(Json::Integer(number));
        }
        match text.parse::<f64>() {
            Ok(0.0) => Ok(Json::Integer(0)),
            Ok(number) if number.is_finite() => Ok(Json::Real(number)),
            _ => Err(self.fault("number outside valid range")),
        }
    }
}

/// The value of a number with a fraction or an exponent, if it is whole and fits.
fn exact_integer(text: &str) -> Option<i64> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let mut number: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        number = number.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    if number == 0 {
        return Some(0);
    }
    while shift < 0 {
        if number % 10 != 0 {
            return None;
        }
        number /= 10;
        shift += 1;
    }
    while shift > 0 {
        number = number.checked_mul(10)?;
        shift -= 1;
    }
    i64::try_from(if negative { -number } else { number }).ok()
}
