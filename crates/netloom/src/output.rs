//! How results reach people and programs: tables, JSON, YAML; colours only where wanted.

use crate::cli::{Cli, Output, When};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use std::io::{IsTerminal, Write};

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    /// The form.
    pub output: Output,
    /// Whether standard output takes colours.
    pub color: bool,
    /// Whether standard output is a terminal: a person reads it.
    pub terminal: bool,
    /// Whether standard error is a terminal that shows progress in place.
    pub live: bool,
}

/// Meaning of a text, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// Good, new, up.
    Good,
    /// Changed, needs a look.
    Warn,
    /// Bad, removed, down.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Strong,
}

impl Printer {
    /// By options and environment.
    #[must_use]
    pub fn new(cli: &Cli) -> Self {
        let terminal = std::io::stdout().is_terminal();
        // https://no-color.org: set and not empty means no colours, unless asked for on the command line.
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = match cli.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !no_color && !dumb,
        };
        Self { output: cli.output, color, terminal, live: std::io::stderr().is_terminal() && !dumb }
    }

    /// Whether a program will read the output.
    #[must_use]
    pub const fn is_machine(&self) -> bool {
        matches!(self.output, Output::Json | Output::Yaml)
    }

    /// Prints a value in the machine form that was asked for.
    ///
    /// # Errors
    /// When standard output can't be written or the value not be serialised.
    pub fn machine<T: serde::Serialize>(&self, value: &T) -> std::io::Result<()> {
        let text = match self.output {
            Output::Yaml => yaml(&serde_json::to_value(value)?),
            _ => serde_json::to_string_pretty(value)? + "\n",
        };
        put(&text)
    }

    /// Text in a tone.
    #[must_use]
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// An empty table with a heading line.
    #[must_use]
    pub fn table(&self, heading: &[&str]) -> Table {
        let mut table = Table::new();
        // On a terminal long texts are broken inside their column.
        let arrangement =
            if self.terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.load_style(presets::NOTHING).set_content_arrangement(arrangement);
        let cells = heading.iter().map(|text| {
            let cell = Cell::new(text.to_uppercase());
            if self.color { cell.add_attribute(Attribute::Dim) } else { cell }
        });
        table.set_header(cells);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table
    }

    /// The text of a table of plain rows.
    #[must_use]
    pub fn rows<const N: usize>(
        &self,
        heading: [&str; N],
        rows: impl Iterator<Item = [String; N]>,
    ) -> String {
        let mut table = self.table(&heading);
        for row in rows {
            table.add_row(row);
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// A cell in a tone.
    #[must_use]
    pub fn cell(&self, tone: Tone, text: impl std::fmt::Display) -> Cell {
        let cell = Cell::new(text.to_string());
        if !self.color {
            return cell;
        }
        match tone {
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::Green),
            Tone::Warn => cell.fg(Color::Yellow),
            Tone::Bad => cell.fg(Color::Red),
            Tone::Dim => cell.add_attribute(Attribute::Dim),
            Tone::Strong => cell.add_attribute(Attribute::Bold),
        }
    }

    /// Prints a table without trailing blanks.
    ///
    /// # Errors
    /// When standard output can't be written.
    pub fn print_table(&self, table: &Table) -> std::io::Result<()> {
        let text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        put(&text)
    }
}

/// Writes to standard output; a reader that has gone away ends the program quietly, as `head` expects.
///
/// # Errors
/// When standard output can't be written for another reason.
pub fn put(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other,
    }
}

/// YAML of a JSON value: block style, text quoted by JSON's rules (which YAML 1.2 includes) unless it is a plain word.
fn yaml(value: &serde_json::Value) -> String {
    fn plain(text: &str) -> bool {
        let mut chars = text.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_' || c == '/')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
            && !matches!(
                text.to_ascii_lowercase().as_str(),
                "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | "nan" | "inf"
            )
    }
    fn scalar(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::String(text) if plain(text) => text.clone(),
            other => other.to_string(),
        }
    }
    fn write(value: &serde_json::Value, indent: usize, out: &mut String) {
        use serde_json::Value;
        let pad = " ".repeat(indent);
        match value {
            Value::Array(items) if !items.is_empty() => {
                for item in items {
                    let mut inner = String::new();
                    write(item, indent + 2, &mut inner);
                    out.push_str(&pad);
                    out.push_str("- ");
                    out.push_str(inner.trim_start());
                }
            }
            Value::Object(fields) if !fields.is_empty() => {
                for (key, field) in fields {
                    let key = if plain(key) { key.clone() } else { Value::String(key.clone()).to_string() };
                    out.push_str(&format!("{pad}{key}:"));
                    match field {
                        Value::Array(items) if !items.is_empty() => {
                            out.push('\n');
                            write(field, indent, out);
                        }
                        Value::Object(fields) if !fields.is_empty() => {
                            out.push('\n');
                            write(field, indent + 2, out);
                        }
                        _ => out.push_str(&format!(" {}\n", scalar(field))),
                    }
                }
            }
            _ => out.push_str(&format!("{pad}{}\n", scalar(value))),
        }
    }
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::yaml;

    #[test]
    fn yaml_is_block_style_and_quotes_what_must_be() {
        let value = serde_json::json!({"a": [1, {"b": "no", "c": []}], "d": {"e": "x: y"}, "f": "word"});
        assert_eq!(yaml(&value), "a:\n- 1\n- b: \"no\"\n  c: []\nd:\n  e: \"x: y\"\nf: word\n");
    }
}
