//! Tables that are printed: as lists, columns, HTML, CSV or JSON.

use super::super::client::Done;
use netloom_proto::ovsdb::text::print_bare;
use netloom_proto::ovsdb::{ColumnType, Datum, Json, Uuid};

/// Octets of the text of a UUID.
const UUID_LENGTH: usize = 36;

/// How a table looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Table,
    List,
    Html,
    Csv,
    Json,
}

/// How a cell looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellFormat {
    String,
    Bare,
    Json,
}

/// How tables are printed.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub format: Format,
    pub cells: CellFormat,
    pub headings: bool,
    pub pretty: bool,
    /// Characters of a column at most; 0 for any.
    pub widest: usize,
}

impl Style {
    /// The style of a tool whose tables look so unless it is told otherwise.
    pub const fn new(format: Format) -> Self {
        Self { format, cells: CellFormat::String, headings: true, pretty: false, widest: 0 }
    }

    /// Takes an option of the command line. The answer is whether it is one of tables.
    pub fn take(&mut self, name: &str, value: Option<&str>) -> Done<bool> {
        let text = value.unwrap_or_default();
        match name {
            "format" => {
                self.format = match text {
                    "table" => Format::Table,
                    "list" => Format::List,
                    "html" => Format::Html,
                    "csv" => Format::Csv,
                    "json" => Format::Json,
                    _ => return Err(format!("unknown output format \"{text}\"").into()),
                }
            }
            "data" => {
                self.cells = match text {
                    "string" => CellFormat::String,
                    "bare" => CellFormat::Bare,
                    "json" => CellFormat::Json,
                    _ => return Err(format!("unknown data format \"{text}\"").into()),
                }
            }
            "no-headings" => self.headings = false,
            "pretty" => self.pretty = true,
            "bare" => (self.format, self.cells, self.headings) = (Format::List, CellFormat::Bare, false),
            "max-column-width" => self.widest = text.parse().unwrap_or(0),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What stands in a cell.
#[derive(Debug, Clone)]
pub enum Cell {
    /// A value of a column.
    Datum(Datum, ColumnType),
    /// A text.
    Text(String),
    /// What is no value of a column.
    Json(Json),
}

impl Cell {
    fn json(&self) -> Json {
        match self {
            Self::Datum(datum, ty) => datum.to_json(ty.is_map()),
            Self::Text(text) => Json::string(text),
            Self::Json(json) => json.clone(),
        }
    }

    fn text(&self, style: &Style) -> String {
        let mut out = String::new();
        match (self, style.cells) {
            (Self::Text(text), _) => out.push_str(text),
            (Self::Json(json), _) => json.write(&mut out),
            (Self::Datum(datum, ty), CellFormat::Json) => datum.write(ty.is_map(), &mut out),
            (Self::Datum(datum, ty), CellFormat::String) => {
                datum.describe(ty.is_composite(), ty.is_map(), &mut out);
            }
            (Self::Datum(datum, _), CellFormat::Bare) => print_bare(datum, &mut out),
        }
        out
    }
}

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub caption: Option<String>,
    /// A time above it.
    pub timestamp: Option<String>,
    pub headings: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

/// Prints tables one after the other.
#[derive(Debug)]
pub struct TablePrinter {
    pub style: Style,
    first: bool,
}

impl TablePrinter {
    pub const fn new(style: Style) -> Self {
        Self { style, first: true }
    }

    /// The text of a table, with an empty line before it unless it is the first.
    pub fn print(&mut self, table: &Table) -> String {
        let style = self.style;
        let mut out = String::new();
        if style.format == Format::Json {
            return json(table, &style);
        }
        if !std::mem::take(&mut self.first) && style.format != Format::Html {
            out.push('\n');
        }
        if let Some(timestamp) = &table.timestamp {
            out.push_str(&format!("{timestamp}\n"));
        }
        if let Some(caption) = table.caption.as_ref().filter(|_| style.format != Format::Html) {
            out.push_str(&format!("{caption}\n"));
        }
        let cells: Vec<Vec<String>> =
            table.rows.iter().map(|row| row.iter().map(|cell| cell.text(&style)).collect()).collect();
        match style.format {
            Format::List => list(table, &cells, style.headings, &mut out),
            Format::Table => columns(table, &cells, &style, &mut out),
            Format::Html => html(table, &cells, style.headings, &mut out),
            Format::Csv => csv(table, &cells, style.headings, &mut out),
            Format::Json => {}
        }
        out
    }
}

fn list(table: &Table, cells: &[Vec<String>], headings: bool, out: &mut String) {
    for (at, row) in cells.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        for (heading, cell) in table.headings.iter().zip(row) {
            if headings {
                out.push_str(&format!("{heading:<20}: "));
            }
            out.push_str(&format!("{cell}\n"));
        }
    }
}

fn columns(table: &Table, cells: &[Vec<String>], style: &Style, out: &mut String) {
    let width = |at: usize, heading: &str| {
        let widest = cells.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0);
        let widest = if style.widest > 0 { widest.min(style.widest) } else { widest };
        if style.headings { widest.max(heading.len()) } else { widest }
    };
    let widths: Vec<usize> =
        table.headings.iter().enumerate().map(|(at, heading)| width(at, heading)).collect();
    let mut line = |parts: Vec<String>| {
        out.push_str(parts.join(" ").trim_end_matches(' '));
        out.push('\n');
    };
    if style.headings {
        line(
            table.headings.iter().zip(&widths).map(|(heading, width)| format!("{heading:<width$}")).collect(),
        );
        line(widths.iter().map(|width| "-".repeat(*width)).collect());
    }
    for row in cells {
        line(row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$.width$}")).collect());
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text in which UUIDs are links to their rows.
fn linked(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        match rest.get(..UUID_LENGTH).filter(|uuid| uuid.parse::<Uuid>().is_ok()) {
            Some(uuid) => {
                out.push_str(&format!("<a href=\"#{uuid}\">{}</a>", uuid.get(..8).unwrap_or_default()));
                rest = rest.get(UUID_LENGTH..).unwrap_or_default();
            }
            None => {
                out.push_str(&escaped(&first.to_string()));
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    out
}

fn html(table: &Table, cells: &[Vec<String>], headings: bool, out: &mut String) {
    out.push_str("<table border=1>\n");
    let cell = |element: &str, text: &str| format!("    <{element}>{}</{element}>\n", linked(text));
    if let Some(caption) = &table.caption {
        out.push_str(&cell("caption", caption));
    }
    if headings {
        out.push_str("  <tr>\n");
        out.extend(table.headings.iter().map(|heading| cell("th", heading)));
        out.push_str("  </tr>\n");
    }
    for row in cells {
        out.push_str("  <tr>\n");
        for (heading, text) in table.headings.iter().zip(row) {
            if heading == "_uuid" {
                let short = text.get(..8).unwrap_or(text);
                out.push_str(&format!("    <td><a name=\"{}\">{}</a></td>\n", escaped(text), escaped(short)));
            } else {
                out.push_str(&cell("td", text));
            }
        }
        out.push_str("  </tr>\n");
    }
    out.push_str("</table>\n");
}

fn csv(table: &Table, cells: &[Vec<String>], headings: bool, out: &mut String) {
    let quoted = |text: &String| {
        if text.contains(['\n', '"', ',']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.clone()
        }
    };
    let mut line = |cells: &[String]| {
        out.push_str(&cells.iter().map(quoted).collect::<Vec<_>>().join(","));
        out.push('\n');
    };
    if headings {
        line(&table.headings);
    }
    cells.iter().for_each(|row| line(row));
}

fn json(table: &Table, style: &Style) -> String {
    let headings = table.headings.iter().map(|heading| Json::string(heading)).collect();
    let data = table.rows.iter().map(|row| Json::Array(row.iter().map(Cell::json).collect())).collect();
    let mut members: Vec<(std::sync::Arc<str>, Json)> =
        vec![("headings".into(), Json::Array(headings)), ("data".into(), Json::Array(data))];
    if let Some(caption) = &table.caption {
        members.push(("caption".into(), Json::string(caption)));
    }
    if let Some(timestamp) = &table.timestamp {
        members.push(("time".into(), Json::string(timestamp)));
    }
    let object = Json::Object(netloom_proto::ovsdb::json::Object::new(members));
    let mut out = String::new();
    if style.pretty {
        pretty(&object, 0, &mut out);
    } else {
        object.write(&mut out);
    }
    out + "\n"
}

/// JSON in lines, two blanks for each level.
pub fn pretty(json: &Json, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    match json {
        Json::Array(items) if !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                pretty(item, depth + 1, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            if members.is_empty() {
                line(out, depth + 1);
            }
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                netloom_proto::ovsdb::json::write_string(name, out);
                out.push_str(": ");
                pretty(value, depth + 1, out);
            }
            out.push('}');
        }
        other => other.write(out),
    }
}
