//! Names of ports and tables, as they are written instead of numbers.
//!
//! A bridge tells the names; where they are given to the parser, `in_port=eth0` and `goto_table:nat` are understood,
//! and where they are given to the printer, it writes them (`--names`). A name that two numbers have, and the name of a
//! number that has two, stand for nothing.

use super::super::OfPort;
use super::error::{Parsed, Problem, TextError};
use super::number;
use super::piece::Piece;
use std::collections::BTreeMap;

/// Names of ports and tables of one bridge. Empty means that numbers are read and written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    ports: Map<u16>,
    tables: Map<u8>,
}

/// No names at all.
pub(super) static NUMBERS: Names = Names { ports: Map::EMPTY, tables: Map::EMPTY };

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Map<N> {
    /// By name; nothing stands behind an ambiguous one.
    numbers: BTreeMap<String, Option<N>>,
    /// By number; nothing stands behind an ambiguous one.
    names: BTreeMap<N, Option<String>>,
}

impl<N: Copy + Ord> Map<N> {
    const EMPTY: Self = Map { numbers: BTreeMap::new(), names: BTreeMap::new() };

    fn insert(&mut self, number: N, name: &str) {
        if let Some(known) = self.numbers.get_mut(name) {
            let other = known.filter(|known| *known != number);
            if let Some(other) = other {
                *known = None;
                self.names.insert(other, None);
            }
            return;
        }
        if let Some(known) = self.names.get_mut(&number) {
            if let Some(name) = known.take() {
                self.numbers.insert(name, None);
            }
            return;
        }
        self.numbers.insert(name.to_string(), Some(number));
        self.names.insert(number, Some(name.to_string()));
    }

    /// The number of a name, which may stand in quotes.
    fn number(&self, text: &str) -> Option<N> {
        let name = match text.strip_prefix('"') {
            Some(quoted) => unquoted(quoted.strip_suffix('"')?)?,
            None => text.to_string(),
        };
        self.numbers.get(&name).copied().flatten()
    }

    fn name(&self, number: N) -> Option<String> {
        self.names.get(&number)?.as_deref().map(quoted)
    }

    fn known(&self) -> impl Iterator<Item = &str> {
        self.numbers.keys().map(String::as_str)
    }
}

impl Names {
    /// No names.
    pub fn new() -> Self {
        Names::default()
    }

    /// Names a port.
    pub fn port(&mut self, port: OfPort, name: &str) {
        self.ports.insert(port.0, name);
    }

    /// Names a table. Table 255 means all tables and has no name.
    pub fn table(&mut self, table: u8, name: &str) {
        if table != 255 {
            self.tables.insert(table, name);
        }
    }

    /// Whether the table has a name that would be written.
    pub(super) fn has_table(&self, table: u8) -> bool {
        self.tables.name(table).is_some()
    }

    /// A port as it is written: the word of a reserved one, the name, the number.
    pub fn print_port(&self, port: OfPort) -> String {
        match port.name() {
            Some(reserved) => reserved.to_string(),
            None => self.ports.name(port.0).unwrap_or_else(|| port.0.to_string()),
        }
    }

    /// Appends a port as [`print_port`](Self::print_port) writes it.
    pub(super) fn put_port(&self, out: &mut String, port: OfPort) {
        match port.name() {
            Some(reserved) => out.push_str(reserved),
            None => match self.ports.name(port.0) {
                Some(name) => out.push_str(&name),
                None => number::put_decimal(out, port.0),
            },
        }
    }

    /// Appends a table as [`print_table`](Self::print_table) writes it.
    pub(super) fn put_table(&self, out: &mut String, table: u8) {
        match self.tables.name(table) {
            Some(name) => out.push_str(&name),
            None => number::put_decimal(out, table),
        }
    }

    /// A table as it is written.
    pub fn print_table(&self, table: u8) -> String {
        self.tables.name(table).unwrap_or_else(|| table.to_string())
    }

    /// A port of a number, a reserved word in any case, or a name.
    pub fn read_port(&self, text: &str) -> Option<OfPort> {
        if text.starts_with('-') {
            return None;
        }
        match number::signed(text, 10) {
            // Numbers of OpenFlow 1.0 may have the upper half of the 16 bits, those of later versions the top of 32.
            Some(wide) => match u32::try_from(wide).ok()? {
                narrow @ 0..=0xffff => Some(OfPort(narrow as u16)),
                wide => OfPort::from_wide(wide),
            },
            None => OfPort::from_name(text).or_else(|| self.ports.number(text).map(OfPort)),
        }
    }

    /// A table of a number or a name.
    pub fn read_table(&self, text: &str) -> Option<u8> {
        if text.starts_with('-') {
            return None;
        }
        match number::signed(text, 10) {
            Some(number) => u8::try_from(number).ok(),
            None => self.tables.number(text),
        }
    }

    /// The port, or the error with the wording that the place has for it.
    pub(super) fn port_or(&self, piece: Piece<'_>, wording: impl FnOnce(&str) -> String) -> Parsed<OfPort> {
        self.read_port(piece.text()).ok_or_else(|| {
            TextError::new(piece, Problem::UnknownWord, wording(piece.text()))
                .expecting(
                    "the number of a port, or LOCAL, IN_PORT, NORMAL, FLOOD, ALL, CONTROLLER, TABLE or ANY",
                )
                .meaning(PORT_WORDS.into_iter().chain(self.ports.known()))
        })
    }

    /// The table, or the error with the wording that the place has for it.
    pub(super) fn table_or(&self, piece: Piece<'_>, wording: impl FnOnce(&str) -> String) -> Parsed<u8> {
        self.read_table(piece.text()).ok_or_else(|| {
            TextError::new(piece, Problem::UnknownWord, wording(piece.text()))
                .expecting("the number of a table, from 0 to 255")
                .meaning(self.tables.known())
        })
    }
}

/// The words of the reserved ports.
pub(super) const PORT_WORDS: [&str; 10] =
    ["in_port", "table", "normal", "flood", "all", "controller", "local", "any", "none", "unset"];

/// The identifier of a group where one is looked for: a number, `any` or `all`.
pub(super) fn group_or(piece: Piece<'_>) -> Parsed<u32> {
    let text = piece.text();
    match number::signed(text, 10).and_then(|number| u32::try_from(number).ok()) {
        Some(number) => Ok(number),
        None if text.eq_ignore_ascii_case("any") => Ok(0xffff_ffff),
        None if text.eq_ignore_ascii_case("all") => Ok(0xffff_fffc),
        None => {
            let wording = format!("{text} is not a valid OpenFlow group");
            Err(TextError::new(piece, Problem::BadValue, wording).expecting("a number, `any` or `all`"))
        }
    }
}

/// A name as it is written: in quotes unless it is a letter and letters and digits behind it.
pub fn quoted(name: &str) -> String {
    let mut letters = name.chars();
    let plain =
        letters.next().is_some_and(|c| c.is_ascii_alphabetic()) && letters.all(|c| c.is_ascii_alphanumeric());
    if plain {
        return name.to_string();
    }
    let mut out = String::from("\"");
    for c in name.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 32 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The name that the inside of quotes stands for.
fn unquoted(inside: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = inside.chars();
    while let Some(c) = rest.next() {
        out.push(match c {
            '\\' => match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                c @ ('"' | '\\' | '/') => c,
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_and_ambiguous_ones_are_not() {
        let mut names = Names::new();
        names.port(OfPort(1), "eth0");
        names.port(OfPort(2), "br-int");
        names.port(OfPort(3), "twice");
        names.port(OfPort(4), "twice");
        names.table(7, "nat");
        assert_eq!(names.read_port("eth0"), Some(OfPort(1)));
        assert_eq!(names.print_port(OfPort(1)), "eth0");
        assert_eq!(names.print_port(OfPort(2)), "\"br-int\"");
        assert_eq!(names.read_port("\"br-int\""), Some(OfPort(2)));
        assert_eq!(names.read_port("br-int"), Some(OfPort(2)));
        assert_eq!(names.read_port("twice"), None);
        assert_eq!(names.print_port(OfPort(3)), "3");
        assert_eq!(names.read_table("nat"), Some(7));
        assert_eq!(names.print_table(7), "nat");
        assert_eq!(names.print_table(8), "8");
    }

    #[test]
    fn ports_are_numbers_and_words() {
        for (text, port) in [
            ("1", Some(OfPort(1))),
            ("local", Some(OfPort::LOCAL)),
            ("65534", Some(OfPort::LOCAL)),
            ("4294967294", Some(OfPort::LOCAL)),
            ("none", Some(OfPort::NONE)),
            ("70000", None),
            ("-1", None),
            ("eth9", None),
            ("", None),
        ] {
            assert_eq!(NUMBERS.read_port(text), port, "{text}");
        }
    }

    #[test]
    fn quotes_are_undone() {
        for name in ["a b", "ü\"\\", "\u{1}\n", "9x"] {
            let quoted = quoted(name);
            assert_eq!(unquoted(&quoted[1..quoted.len() - 1]).as_deref(), Some(name));
        }
    }
}
