//! Data as people write it on the command lines of `ovs-vsctl` and its like: `[1, 2]`, `{key=value}`, `@name`.
//!
//! What: [`token`] splits, [`parse_atom`] and [`parse_datum`] read, [`Datum::describe`] and [`print_bare`] print.
//! Errors are in the words of Open vSwitch, since scripts compare them.

use super::atom::Atom;
use super::datum::Datum;
use super::error::OvsdbError;
use super::json::Json;
use super::types::{AtomicType, BaseType, ColumnType, Limits};
use super::uuid::Uuid;

/// The most integers that a range may stand for.
const RANGE: i64 = 4096;

/// Gives the UUID that a name like `@name` stands for.
pub type NameOf<'n> = dyn FnMut(&str, &BaseType) -> Uuid + 'n;

/// Whether a token ends before this character, unless it is quoted.
#[must_use]
pub const fn is_delimiter(character: char) -> bool {
    matches!(character, ':' | '=' | ',' | ' ' | '[' | ']' | '{' | '}' | '!' | '<' | '>')
}

/// Takes the token at the front: up to a delimiter that is not quoted. A backslash takes the next character as it is. The
/// token keeps its quotes. The answer is the token and the rest.
///
/// # Errors
/// If a quote or a backslash is open at the end.
pub fn token(text: &str) -> Result<(String, &str), String> {
    let (mut out, mut quoted) = (String::new(), false);
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => {
                if quoted {
                    out.push('\\');
                }
                let (_, next) =
                    characters.next().ok_or_else(|| format!("{text}: backslash at end of argument"))?;
                out.push(next);
            }
            other if !quoted && is_delimiter(other) => return Ok((out, text.get(at..).unwrap_or_default())),
            other => {
                out.push(other);
                quoted ^= other == '"';
            }
        }
    }
    if quoted { Err(format!("{text}: quoted string extends past end of argument")) } else { Ok((out, "")) }
}

fn words(error: &OvsdbError) -> String {
    match error.details() {
        Some(details) => format!("{}: {details}", error.tag()),
        None => error.tag().to_owned(),
    }
}

/// Reads an atom of a type.
///
/// # Errors
/// What is wrong with it.
pub fn parse_atom(text: &str, base: &BaseType, names: &mut NameOf<'_>) -> Result<Atom, String> {
    let atom = match base.kind {
        AtomicType::Integer => {
            let number = text.trim_start().parse().ok();
            Atom::Integer(number.ok_or_else(|| format!("\"{text}\" is not a valid integer or range"))?)
        }
        AtomicType::Real => {
            let number = text.trim_start().parse::<f64>().ok().filter(|number| number.is_finite());
            let number = number.ok_or_else(|| format!("\"{text}\" is not a valid real number"))?;
            Atom::Real(if number == 0.0 { 0.0 } else { number })
        }
        AtomicType::Boolean => match text {
            "true" | "yes" | "on" | "1" => Atom::Boolean(true),
            "false" | "no" | "off" | "0" => Atom::Boolean(false),
            _ => return Err(format!("\"{text}\" is not a valid boolean (use \"true\" or \"false\")")),
        },
        AtomicType::String => Atom::String(parse_string(text)?.into()),
        AtomicType::Uuid if text.starts_with('@') => Atom::Uuid(names(text, base)),
        AtomicType::Uuid => Atom::Uuid(text.parse().map_err(|_| format!("\"{text}\" is not a valid UUID"))?),
    };
    atom.check(base).map_err(|error| words(&error))?;
    Ok(atom)
}

fn parse_string(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(
            "An empty string is not valid as input; use \"\" to represent the empty string".to_owned()
        );
    }
    if !text.starts_with('"') {
        return Ok(text.to_owned());
    }
    if text.len() < 2 || !text.ends_with('"') {
        return Err(format!("{text}: missing quote at end of quoted string"));
    }
    match Json::parse(text) {
        Ok(Json::String(inside)) => Ok(inside.to_string()),
        Ok(_) => Err(format!("{text}: missing quote at end of quoted string")),
        Err(error) => Err(format!("{text}: {error}")),
    }
}

/// A range of integers: `1-5`.
fn range(text: &str) -> Option<(i64, i64)> {
    let split = text.get(1..)?.find('-')? + 1;
    Some((text.get(..split)?.parse().ok()?, text.get(split + 1..)?.parse().ok()?))
}

/// Reads keys that may be a range, each an atom.
fn parse_keys(text: &str, base: &BaseType, names: &mut NameOf<'_>) -> Result<Vec<Atom>, String> {
    if base.kind == AtomicType::Integer
        && let Some((first, last)) = range(text)
    {
        if last < first {
            return Err(format!("\"{text}\" is not a valid range. Range end cannot be before start."));
        }
        if last.checked_sub(first).is_none_or(|span| span >= RANGE) {
            let details = format!("Range \"{first}-{last}\" has more than {RANGE} elements.");
            return Err(format!("constraint violation: {details}"));
        }
        let atoms: Vec<Atom> = (first..=last).map(Atom::Integer).collect();
        for atom in &atoms {
            atom.check(base).map_err(|error| words(&error))?;
        }
        return Ok(atoms);
    }
    Ok(vec![parse_atom(text, base, names)?])
}

/// Reads a datum of a type: atoms or pairs behind commas or blanks, in brackets or without.
///
/// # Errors
/// What is wrong with it.
pub fn parse_datum(text: &str, ty: &ColumnType, names: &mut NameOf<'_>) -> Result<Datum, String> {
    let (open, close) = if ty.is_map() { ('{', '}') } else { ('[', ']') };
    let mut rest = text.trim_start();
    if rest.is_empty() {
        let what = if ty.is_map() { "map" } else { "set" };
        return Err(format!("use \"{open}{close}\" to specify the empty {what}"));
    }
    let bracketed = rest.starts_with(open);
    if bracketed {
        rest = rest.get(1..).unwrap_or_default().trim_start();
    }
    let (mut atoms, mut pairs) = (Vec::new(), Vec::new());
    while let Some(first) = rest.chars().next().filter(|first| !(bracketed && *first == close)) {
        if is_delimiter(first) {
            return Err(format!("{text}: unexpected \"{first}\" parsing {}", ty.english()));
        }
        let start = rest;
        let (key, behind) = token(rest)?;
        let keys = parse_keys(&key, &ty.key, names)?;
        rest = behind;
        if let Some(base) = &ty.value {
            rest = rest.trim_start();
            let Some(behind) = rest.strip_prefix('=') else {
                let found = rest.chars().next().map_or_else(String::new, |found| found.to_string());
                return Err(format!("{start}: syntax error at \"{found}\" expecting \"=\""));
            };
            let (value, behind) = token(behind.trim_start())?;
            let value = parse_atom(&value, base, names)?;
            pairs.extend(keys.into_iter().map(|key| (key, value.clone())));
            rest = behind;
        } else {
            atoms.extend(keys);
        }
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix(',') {
            rest = behind.trim_start();
        }
    }
    if bracketed {
        let Some(behind) = rest.strip_prefix(close) else {
            return Err(format!("{text}: missing \"{close}\" at end of data"));
        };
        if !behind.trim_start().is_empty() {
            return Err(format!("{text}: trailing garbage after \"{close}\""));
        }
    }
    finish(text, ty, atoms, pairs)
}

/// Checks how many there are, and that each is there once.
fn finish(text: &str, ty: &ColumnType, atoms: Vec<Atom>, pairs: Vec<(Atom, Atom)>) -> Result<Datum, String> {
    let count = atoms.len() + pairs.len();
    let what = if ty.is_map() { "pair(s)" } else { "value(s)" };
    if count < ty.min as usize {
        return Err(format!("{text}: {count} {what} specified but the minimum number is {}", ty.min));
    }
    if count > ty.max as usize {
        return Err(format!("{text}: {count} {what} specified but the maximum number is {}", ty.max));
    }
    let datum = if ty.is_map() { Datum::map(pairs) } else { Datum::set(atoms) };
    if datum.len() == count {
        return Ok(datum);
    }
    let twice = if ty.is_map() { "map contains duplicate key" } else { "set contains duplicate value" };
    Err(format!("{text}: {twice}"))
}

/// Appends a datum without brackets and quotes.
pub fn print_bare(datum: &Datum, out: &mut String) {
    let bare = |atom: &Atom, out: &mut String| match atom {
        Atom::String(text) => out.push_str(text),
        other => other.describe(out),
    };
    for (at, atom) in datum.atoms().iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        bare(atom, out);
    }
    for (at, (key, value)) in datum.pairs().iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        bare(key, out);
        out.push('=');
        bare(value, out);
    }
}

/// A type whose limits do not count, for values that only take part in a comparison.
#[must_use]
pub fn any_number_of(ty: &ColumnType) -> ColumnType {
    ColumnType { min: 1, max: u32::MAX, ..ty.clone() }
}

/// The type of a map's values as a set of one.
#[must_use]
pub fn value_type(ty: &ColumnType) -> Option<ColumnType> {
    let key = ty.value.clone()?;
    debug_assert!(!matches!(key.limits, Limits::Uuid(Some(_))) || key.kind == AtomicType::Uuid);
    Some(ColumnType { key, value: None, min: ty.min, max: ty.max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_of(kind: AtomicType) -> ColumnType {
        ColumnType { min: 0, max: u32::MAX, ..ColumnType::scalar(kind) }
    }

    fn parse(text: &str, ty: &ColumnType) -> Result<String, String> {
        let mut names = |_: &str, _: &BaseType| Uuid::from_u128(7);
        parse_datum(text, ty, &mut names).map(|datum| {
            let mut out = String::new();
            datum.describe(ty.max > 1, ty.is_map(), &mut out);
            out
        })
    }

    #[test]
    fn data_are_read_as_people_write_them() {
        let integers = set_of(AtomicType::Integer);
        assert_eq!(parse("3,1 2", &integers).unwrap(), "[1, 2, 3]");
        assert_eq!(parse("[1-3, 7]", &integers).unwrap(), "[1, 2, 3, 7]");
        assert_eq!(parse("[]", &integers).unwrap(), "[]");
        let strings =
            ColumnType { value: Some(BaseType::any(AtomicType::String)), ..set_of(AtomicType::String) };
        assert_eq!(parse("{a=b, \"c d\"=\"\"}", &strings).unwrap(), "{a=b, \"c d\"=\"\"}");
        assert_eq!(parse("@x", &set_of(AtomicType::Uuid)).unwrap(), "[00000000-0000-0000-0000-000000000007]");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text, ty: &ColumnType| parse(text, ty).unwrap_err();
        let integers = set_of(AtomicType::Integer);
        assert_eq!(error("", &integers), "use \"[]\" to specify the empty set");
        assert_eq!(error("[1", &integers), "[1: missing \"]\" at end of data");
        assert_eq!(error("[1]x", &integers), "[1]x: trailing garbage after \"]\"");
        assert_eq!(error("1,1", &integers), "1,1: set contains duplicate value");
        assert_eq!(error("x", &integers), "\"x\" is not a valid integer or range");
        assert_eq!(
            error("\"a", &set_of(AtomicType::String)),
            "\"a: quoted string extends past end of argument"
        );
        let one = ColumnType::scalar(AtomicType::Integer);
        assert_eq!(error("1,2", &one), "1,2: 2 value(s) specified but the maximum number is 1");
    }
}
