//! From a source file to a validated topology in one step, and the JSON Schema of what a file may say.

use crate::diagnostic::Diagnostics;
use crate::expand::expand;
use crate::source::SourceFile;
use crate::topology::Topology;
use crate::validate::validate;
use crate::validated::Validated;

/// Expands and validates a topology that was read from `source`.
///
/// # Errors
/// All that is wrong, ordered by place; warnings are among it.
pub fn check(topology: Topology, source: &SourceFile) -> Result<(Validated, Diagnostics), Diagnostics> {
    let mut out = Diagnostics::new();
    let topology = expand(topology, &mut out);
    match validate(topology, source) {
        Ok((validated, warnings)) => {
            out.append(warnings);
            out.sort();
            if out.has_errors() { Err(out) } else { Ok((validated, out)) }
        }
        Err(findings) => {
            out.append(findings);
            out.sort();
            Err(out)
        }
    }
}

/// The JSON Schema of the language, made from the same types that files are read into.
#[must_use]
pub fn schema() -> serde_json::Value {
    let schema = schemars::SchemaGenerator::new(schemars::generate::SchemaSettings::draft2020_12());
    schema.into_root_schema_for::<Topology>().to_value()
}
