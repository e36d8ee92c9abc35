//! From a source file to a validated topology in one step, and the JSON Schema of what a file may say.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{Format, Structure, Value, decode_with, parse};
use crate::expand::expand;
use crate::scalar::check_format;
use crate::source::SourceFile;
use crate::topology::{Topology, VERSION};
use crate::validate::{codes, validate};
use crate::validated::Validated;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A file that was found right.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it means.
    pub validated: Validated,
    /// What is probably not meant, ordered by place. None of it is an error.
    pub warnings: Diagnostics,
}

/// Reads, expands and validates a file. `overrides` replace variables of the file by name.
///
/// # Errors
/// All that is wrong with the file, ordered by place; warnings are among it. Faults of the text hide those of
/// the meaning: a file that can't be read is not validated.
pub fn load(
    source: &SourceFile,
    format: Format,
    overrides: &BTreeMap<String, String>,
) -> Result<Loaded, Diagnostics> {
    static STRUCTURE: OnceLock<Structure> = OnceLock::new();
    let structure = STRUCTURE.get_or_init(Structure::of::<Topology>);
    let decoded = decode_with::<Topology>(structure, source, format, overrides, &check_format);
    // A file of another version may break every rule of this one: only the version is told then.
    let (topology, mut found) =
        decoded.map_err(|found| other_version(source, format).map_or(found, Diagnostics::from))?;
    match check(topology, source) {
        Ok((validated, warnings)) => {
            found.append(warnings);
            found.sort();
            Ok(Loaded { validated, warnings: found })
        }
        Err(more) => {
            found.append(more);
            found.sort();
            Err(found)
        }
    }
}

/// What to say about a file whose version is not ours.
fn other_version(source: &SourceFile, format: Format) -> Option<Diagnostic> {
    let root = parse(source, format).ok()?;
    let version = root.get("netloom")?;
    match version.value {
        Value::Integer(number) if number != i128::from(VERSION) => {
            Some(crate::validate::unknown_version(number, version.span))
        }
        _ => None,
    }
}

/// Expands and validates a topology that was read from `source`.
///
/// # Errors
/// All that is wrong, ordered by place; warnings are among it.
pub fn check(topology: Topology, source: &SourceFile) -> Result<(Validated, Diagnostics), Diagnostics> {
    let mut out = Diagnostics::new();
    let topology = expand(topology, &mut out);
    let incomplete = out.has_errors();
    let (validated, findings) = match validate(topology, source) {
        Ok((validated, warnings)) => (Some(validated), warnings),
        Err(findings) => (None, findings),
    };
    if incomplete {
        // What could not be written out is missing, which is no news.
        out.extend(findings.into_iter().filter(|found| found.code != codes::EMPTY_TOPOLOGY));
    } else {
        out.append(findings);
    }
    out.sort();
    match validated {
        Some(validated) if !out.has_errors() => Ok((validated, out)),
        _ => Err(out),
    }
}

/// The JSON Schema of the language, made from the same types that files are read into.
#[must_use]
pub fn schema() -> serde_json::Value {
    let schema = schemars::SchemaGenerator::new(schemars::generate::SchemaSettings::draft2020_12());
    schema.into_root_schema_for::<Topology>().to_value()
}
