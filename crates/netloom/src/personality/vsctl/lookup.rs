//! Tables, columns and rows by what people write: names that may be shortened, names of rows, UUIDs or their beginnings.

use super::draft::{Draft, Place};
use netloom_proto::ovsdb::text::token;
use netloom_proto::ovsdb::{Atom, STANDARD_COLUMNS, Uuid};

/// Rows that are called by the value of a column: the table, the table of the column, the column, and the column of that
/// row which refers to the row that is meant, if that is another.
const ROW_NAMES: [(&str, &str, &str, Option<&str>); 13] = [
    ("Bridge", "Bridge", "name", None),
    ("Controller", "Bridge", "name", Some("controller")),
    ("Interface", "Interface", "name", None),
    ("Mirror", "Mirror", "name", None),
    ("Manager", "Manager", "target", None),
    ("NetFlow", "Bridge", "name", Some("netflow")),
    ("Port", "Port", "name", None),
    ("QoS", "Port", "name", Some("qos")),
    ("sFlow", "Bridge", "name", Some("sflow")),
    ("Flow_Table", "Flow_Table", "name", None),
    ("IPFIX", "Bridge", "name", Some("ipfix")),
    ("AutoAttach", "Bridge", "name", Some("auto_attach")),
    ("Flow_Sample_Collector_Set", "Flow_Sample_Collector_Set", "id", None),
];

/// How well a word fits a name: as it is, but for letters and dashes, or so many characters at the front.
fn score(name: &str, word: &str) -> usize {
    if name == word {
        return usize::MAX;
    }
    let plain = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    let same = name.chars().map(plain).zip(word.chars().map(plain)).take_while(|(a, b)| a == b).count();
    let length = word.chars().count();
    if same < length {
        0
    } else if name.chars().count() == length {
        usize::MAX - 1
    } else {
        same
    }
}

/// The names that fit best.
fn best<'n>(names: impl Iterator<Item = &'n str>, word: &str) -> Vec<&'n str> {
    let (mut found, mut greatest) = (Vec::new(), 1);
    for name in names {
        let score = score(name, word);
        if score > greatest {
            found.clear();
            greatest = score;
        }
        if score == greatest {
            found.push(name);
        }
    }
    found
}

/// The table that is meant, among these names.
///
/// # Errors
/// If there is none, or several.
pub fn table_name<'n>(names: impl Iterator<Item = &'n str>, word: &str) -> Result<&'n str, String> {
    match best(names, word).as_slice() {
        [] => Err(format!("unknown table \"{word}\"")),
        [one] => Ok(one),
        many => Err(format!("\"{word}\" matches multiple table names: {}", many.join(", "))),
    }
}

/// The place of the table that is meant.
///
/// # Errors
/// As [`table_name`].
pub fn table(draft: &Draft, word: &str) -> Result<usize, String> {
    let name = table_name(draft.schema().tables.iter().map(|table| &*table.name), word)?;
    draft.table_of(name).ok_or_else(|| format!("unknown table \"{word}\""))
}

/// The place of the column that is meant.
///
/// # Errors
/// If there is none, or several.
pub fn column(draft: &Draft, table: usize, word: &str) -> Result<usize, String> {
    let Some(of) = draft.table(table) else { return Err("unknown table".to_owned()) };
    let columns = of.columns.get(STANDARD_COLUMNS..).unwrap_or_default();
    let found = best(columns.iter().map(|column| &*column.name), word);
    match found.as_slice() {
        [one] => of.column(one).ok_or_else(|| "unknown column".to_owned()),
        [] => Err(format!("{} does not contain a column whose name matches \"{word}\"", of.name)),
        many => Err(format!(
            "{} contains more than one column whose name matches \"{word}\": {}",
            of.name,
            many.join(", ")
        )),
    }
}

/// A column, and what follows it.
#[derive(Debug, Clone)]
pub struct Term {
    pub column: usize,
    /// Behind a colon.
    pub key: Option<String>,
    /// What stands between column and value, if a value was wanted.
    pub operator: &'static str,
    pub value: String,
}

/// Reads `COLUMN[:KEY]`, and an operator with a value if there are operators.
///
/// # Errors
/// What is wrong with it.
pub fn term(draft: &Draft, table: usize, text: &str, operators: &[&'static str]) -> Result<Term, String> {
    let (name, mut rest) = token(text)?;
    if name.is_empty() {
        return Err(format!("{text}: missing column name"));
    }
    let column = column(draft, table, &name)?;
    let mut key = None;
    if let Some(behind) = rest.strip_prefix(':') {
        let (word, behind) = token(behind)?;
        (key, rest) = (Some(word), behind);
    }
    if operators.is_empty() {
        if !rest.is_empty() {
            return Err(format!("{text}: trailing garbage \"{rest}\" in argument"));
        }
        return Ok(Term { column, key, operator: "", value: String::new() });
    }
    let fits = |operator: &&&'static str| rest.len() > operator.len() && rest.starts_with(**operator);
    let Some(operator) = operators.iter().filter(fits).max_by_key(|operator| operator.len()) else {
        return Err(missing_operator(text, operators));
    };
    let value = rest.get(operator.len()..).unwrap_or_default().to_owned();
    Ok(Term { column, key, operator, value })
}

fn missing_operator(text: &str, operators: &[&str]) -> String {
    let quoted: Vec<String> = operators.iter().map(|operator| format!("\"{operator}\"")).collect();
    let list = match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [one, two] => format!("{one} or {two}"),
        [first @ .., last] => format!("{}, or {last}", first.join(", ")),
    };
    format!("{text}: argument does not end in {list} followed by a value.")
}

/// The row that is meant.
///
/// # Errors
/// If there are several, or there must be one and is none.
pub fn row(draft: &Draft, table: usize, word: &str, must: bool) -> Result<Option<Place>, String> {
    let name = draft.table(table).map(|table| table.name.clone()).unwrap_or_default();
    if let Ok(uuid) = word.parse::<Uuid>()
        && draft.row((table, uuid)).is_some()
    {
        return Ok(Some((table, uuid)));
    }
    let rows = draft.rows(table);
    if let (".", [only]) = (word, rows.as_slice()) {
        return Ok(Some((table, *only)));
    }
    for (_, of, column, by) in ROW_NAMES.iter().filter(|(named, ..)| *named == &*name) {
        if let Some(found) = by_name(draft, table, of, column, *by, word)? {
            return Ok(Some(found));
        }
    }
    if is_partial_uuid(word) {
        let word = word.to_ascii_lowercase();
        let mut fitting = rows.iter().filter(|uuid| uuid.to_string().starts_with(&word));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => return Ok(Some((table, *one))),
            (Some(one), Some(two)) => {
                return Err(format!(
                    "{name} contains 2 or more rows whose UUIDs begin with {word}: at least {one} and {two}"
                ));
            }
            _ => {}
        }
    }
    if must { Err(format!("no row \"{word}\" in table {name}")) } else { Ok(None) }
}

fn by_name(
    draft: &Draft,
    table: usize,
    of: &str,
    column: &str,
    by: Option<&str>,
    word: &str,
) -> Result<Option<Place>, String> {
    let Some(named) = draft.table_of(of) else { return Ok(None) };
    let mut found = None;
    for uuid in draft.rows(named) {
        let fits = match draft.value((named, uuid), column).one() {
            Some(Atom::String(name)) => **name == *word || is_partial_name(name, word),
            Some(Atom::Integer(number)) => {
                word.bytes().all(|byte| byte.is_ascii_digit()) && *word == *number.to_string()
            }
            _ => false,
        };
        if fits && found.replace(uuid).is_some() {
            return Err(format!("multiple rows in {of} match \"{word}\""));
        }
    }
    let Some(found) = found else { return Ok(None) };
    let Some(by) = by else { return Ok(Some((named, found))) };
    match draft.references((named, found), by).as_slice() {
        [one] if draft.row((table, *one)).is_some() => Ok(Some((table, *one))),
        _ => Ok(None),
    }
}

/// A name that is a UUID may be shortened like one.
fn is_partial_name(name: &str, word: &str) -> bool {
    word.len() >= 4 && name.parse::<Uuid>().is_ok() && name.starts_with(word)
}

/// Whether the word is the beginning of a UUID, long enough to be meant.
fn is_partial_uuid(word: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    (4..=36).contains(&word.len()) && word.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_shortened() {
        let tables = ["Bridge", "Flow_Table", "Flow_Sample_Collector_Set", "Port"];
        let of = |word| table_name(tables.into_iter(), word);
        assert_eq!(of("br"), Ok("Bridge"));
        assert_eq!(of("flow-t"), Ok("Flow_Table"));
        assert_eq!(
            of("flow"),
            Err("\"flow\" matches multiple table names: Flow_Table, Flow_Sample_Collector_Set".to_owned())
        );
        assert_eq!(of("x"), Err("unknown table \"x\"".to_owned()));
        assert!(is_partial_uuid("12ab") && !is_partial_uuid("12a") && !is_partial_uuid("12345678x"));
    }
}
