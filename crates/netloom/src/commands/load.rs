//! Reading a topology file: bytes in, a validated topology or located diagnostics out.

use crate::failure::Failure;
use crate::output::Printer;
use netloom_model::document::Format;
use netloom_model::load::{self, Loaded as Model};
use netloom_model::source::SourceFile;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// A file that was read and found right.
pub struct Loaded {
    /// The text and its name.
    pub source: SourceFile,
    /// Variables from the command line.
    pub overrides: BTreeMap<String, String>,
    /// The topology.
    pub model: Model,
}

impl Loaded {
    /// The topology's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.model.validated.topology().name.as_str()
    }

    /// Prints the warnings to standard error.
    pub fn print_warnings(&self, printer: &Printer) {
        for warning in &self.model.warnings {
            eprint!("{}", warning.render(&self.source, printer.color && printer.live));
        }
    }
}

/// Reads and validates a file; `-` is standard input.
///
/// # Errors
/// When it can't be read, or all that is wrong with it, rendered.
pub fn read(path: &Path, vars: &[String]) -> Result<Loaded, Failure> {
    let mut overrides = BTreeMap::new();
    for var in vars {
        let (name, value) = var.split_once('=').ok_or_else(|| {
            Failure::new(format!("`{var}` sets no variable")).help("write --var NAME=VALUE")
        })?;
        overrides.insert(name.to_owned(), value.to_owned());
    }
    let name = path.display().to_string();
    let bytes = if name == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    }
    .map_err(|error| Failure::new(format!("can't read {name}: {error}")))?;
    text(&name, &bytes, Format::from_name(&name), overrides)
}

/// Validates a text that is at hand (a stored generation).
///
/// # Errors
/// All that is wrong with it, rendered.
pub fn text(
    name: &str,
    bytes: &[u8],
    format: Format,
    overrides: BTreeMap<String, String>,
) -> Result<Loaded, Failure> {
    let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let source = SourceFile::from_bytes(name, bytes).map_err(|unreadable| {
        Failure::rendered(
            unreadable.diagnostic.render(&unreadable.source, color),
            format!("{name} can't be read"),
        )
    })?;
    match load::load(&source, format, &overrides) {
        Ok(model) => Ok(Loaded { source, overrides, model }),
        Err(diagnostics) => {
            let errors = diagnostics
                .iter()
                .filter(|d| d.severity == netloom_model::diagnostic::Severity::Error)
                .count();
            // Codes up to E03 are about the text; what it means is looked at once that is right.
            let text_only = diagnostics
                .iter()
                .filter(|d| d.severity == netloom_model::diagnostic::Severity::Error)
                .all(|d| d.code < "E04");
            let more = if text_only { "; what it means is checked once that is mended" } else { "" };
            let plural = if errors == 1 { "mistake" } else { "mistakes" };
            Err(Failure::rendered(
                diagnostics.render(&source, color),
                format!("{name} has {errors} {plural}; nothing was changed{more}"),
            ))
        }
    }
}
