//! From text to typed values, with the place of every word.
//!
//! ```text
//! text -> read (YAML, TOML, JSON) -> Node -> variables -> check against the schema -> deserialize -> T
//! ```
//!
//! What: [`decode`] does all of it for any type with serde and schemars derives; [`parse`] stops at the tree.
//! Each stage reports everything it finds, and stages go on behind faults that leave the rest meaningful, so
//! that a user sees all errors of a file at once.
//!
//! Invariants: no input panics; every error of a stage has a place inside the file; the size of the tree is
//! bounded ([`MAX_NODES`], [`MAX_DEPTH`]) whatever aliases and variables do. Cost: linear in the text.
//!
//! Deliberately absent: a template language, merging of files, formats that are guessed from content.

pub mod check;
pub mod codes;
mod deserialize;
mod json;
mod node;
mod plain;
mod spanned;
pub(crate) mod suggest;
mod toml;
mod variables;
mod yaml;

pub use check::{FormatChecker, NoFormats, Structure};
pub use node::{Entry, Node, Value};
pub use spanned::Spanned;

use crate::diagnostic::{Diagnostic, Diagnostics, printable};
use crate::source::{MAX_BYTES, SourceFile, Span};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// Most values in one document, those that aliases repeat included.
pub const MAX_NODES: usize = 1_000_000;
/// Most levels of mappings and lists inside each other.
pub const MAX_DEPTH: usize = 64;

/// The syntax of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// YAML 1.2.
    #[default]
    Yaml,
    /// TOML 1.0.
    Toml,
    /// JSON (RFC 8259).
    Json,
}

impl Format {
    /// By the end of a file's name: `.toml`, `.json`, else YAML.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match extension.as_deref() {
            Some("toml") => Self::Toml,
            Some("json") => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// Reads a text into a tree.
///
/// # Errors
/// Everything that breaks the rules of the format, as far as it could be read.
pub fn parse(source: &SourceFile, format: Format) -> Result<Node, Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    match read(source, format, &mut diagnostics) {
        Some(node) if !diagnostics.has_errors() => Ok(node),
        _ => Err(diagnostics),
    }
}

/// Reads a text, puts the variables in, checks the structure and makes a `T`.
///
/// `overrides` replace variables of the file by name; `formats` judges scalars by the `format` of their schema.
///
/// # Errors
/// All findings, if at least one of them is an error.
pub fn decode<T: DeserializeOwned + JsonSchema>(
    source: &SourceFile,
    format: Format,
    overrides: &BTreeMap<String, String>,
    formats: &dyn FormatChecker,
) -> Result<(T, Diagnostics), Diagnostics> {
    decode_with(&Structure::of::<T>(), source, format, overrides, formats)
}

/// [`decode`] with a structure that was made before, for callers that read many files.
///
/// # Errors
/// All findings, if at least one of them is an error.
pub fn decode_with<T: DeserializeOwned>(
    structure: &Structure,
    source: &SourceFile,
    format: Format,
    overrides: &BTreeMap<String, String>,
    formats: &dyn FormatChecker,
) -> Result<(T, Diagnostics), Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let Some(mut node) = read(source, format, &mut diagnostics) else { return Err(diagnostics) };
    variables::substitute(&mut node, overrides, &mut diagnostics);
    if !structure.knows_key(variables::SECTION) {
        variables::remove_section(&mut node);
    }
    structure.check(&node, formats, &mut diagnostics);
    if diagnostics.has_errors() {
        diagnostics.sort();
        return Err(diagnostics);
    }
    match from_node(&node) {
        Ok(value) => Ok((value, diagnostics)),
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            Err(diagnostics)
        }
    }
}

/// Makes a `T` of a tree, without a check of its structure before.
///
/// # Errors
/// The first value that `T` refuses, at its place.
pub fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Box<Diagnostic>> {
    deserialize::from_node(node)
}

/// Reads in any format. Without a tree there is at least one error.
fn read(source: &SourceFile, format: Format, diagnostics: &mut Diagnostics) -> Option<Node> {
    if source.text().len() > MAX_BYTES {
        diagnostics.push(
            Diagnostic::error(
                codes::TOO_LARGE,
                format!("the file has {} bytes; at most {MAX_BYTES} are read", source.text().len()),
            )
            .help("split the network into several files"),
        );
        return None;
    }
    yaml::control_characters(source.text(), diagnostics);
    match format {
        Format::Yaml => yaml::read(source, diagnostics),
        Format::Toml => toml::read(source, diagnostics),
        Format::Json => json::read(source, diagnostics),
    }
}

/// The finding for a key that stands twice; all formats use the same words.
fn duplicate_key(name: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::error(
        codes::DUPLICATE_KEY,
        format!("the key `{}` stands twice in one mapping", printable(name)),
    )
    .at(span)
    .label("second")
    .related(first, "first")
    .help("keep one of them")
}
