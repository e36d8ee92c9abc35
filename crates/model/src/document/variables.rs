//! Variables: `vars` at the top of a file, `${name}` in any text below.
//!
//! What: a text that is exactly `${name}` takes the variable's value with its type; inside a longer text (or a
//! key) the value is put in as text. `$${` stands for a literal `${`. Variables may use each other; overrides
//! from outside take the place of what the file says. Places stay those of the text that uses a variable.
//!
//! Invariants: the result is bounded ([`LONGEST_TEXT`], [`MOST_TEXT`]), cycles are found, and keys stay unique.
//!
//! Deliberately absent: conditions, loops, functions. Sections of the language (generators, groups, replicas)
//! do what templates are used for elsewhere.

use super::node::{Entry, Node, Value};
use super::{codes, plain, suggest};
use crate::diagnostic::{Diagnostic, Diagnostics, printable};
use crate::source::Span;
use std::collections::{BTreeMap, HashMap};

/// The key of the section that defines variables.
pub(super) const SECTION: &str = "vars";
/// Longest text that a `${...}` may grow to, in bytes.
const LONGEST_TEXT: usize = 64 << 10;
/// Most text that all variables together may add to a document, in bytes.
const MOST_TEXT: usize = 16 << 20;
/// Most variables that may stand inside each other.
const MOST_NESTED: usize = 32;

/// Puts variables in everywhere outside the section that defines them, and resolves that section itself.
pub(super) fn substitute(
    root: &mut Node,
    overrides: &BTreeMap<String, String>,
    diagnostics: &mut Diagnostics,
) {
    let mut variables = Variables { known: HashMap::new(), names: Vec::new(), added: 0, diagnostics };
    variables.define(root, overrides);
    variables.resolve_all();
    let Value::Mapping(entries) = &mut root.value else {
        variables.node(root);
        return;
    };
    for (key, node) in entries.iter_mut() {
        if key.value == SECTION {
            variables.write_back(node);
        } else {
            variables.node(node);
        }
    }
}

/// Takes the section out, for types that have no place for it.
pub(super) fn remove_section(root: &mut Node) {
    if let Value::Mapping(entries) = &mut root.value {
        entries.retain(|(key, _)| key.value != SECTION);
    }
}

struct Variable {
    value: Value,
    span: Span,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Raw,
    Resolving,
    Resolved,
}

struct Variables<'d> {
    known: HashMap<String, Variable>,
    /// Names in file order.
    names: Vec<String>,
    /// Bytes added so far.
    added: usize,
    diagnostics: &'d mut Diagnostics,
}

impl Variables<'_> {
    /// Reads the section and the overrides.
    fn define(&mut self, root: &Node, overrides: &BTreeMap<String, String>) {
        if let Some(section) = root.get(SECTION) {
            match &section.value {
                Value::Mapping(entries) => {
                    for (key, node) in entries {
                        let value = self.definition(key, key.span, node);
                        self.names.push(key.value.clone());
                        self.known.insert(
                            key.value.clone(),
                            Variable { value, span: node.span, state: State::Raw },
                        );
                    }
                }
                Value::Null | Value::Invalid => {}
                other => self.diagnostics.push(
                    Diagnostic::error(
                        codes::BAD_VARIABLE,
                        format!("`vars` must be a mapping, found {}", other.describe()),
                    )
                    .at(section.span)
                    .help("write `name: value` below it"),
                ),
            }
        }
        for (name, text) in overrides {
            if text.len() > LONGEST_TEXT {
                let message =
                    format!("the override of `{}` has more than {LONGEST_TEXT} bytes", printable(name));
                self.diagnostics.push(Diagnostic::error(codes::EXPANSION, message));
                continue;
            }
            let Some(variable) = self.known.get_mut(name) else {
                let known: Vec<&str> = self.names.iter().map(String::as_str).collect();
                self.diagnostics.push(
                    Diagnostic::error(
                        codes::UNKNOWN_OVERRIDE,
                        format!("the file has no variable `{}` to override", printable(name)),
                    )
                    .maybe_help(suggest::help(name, &known, "its variables are")),
                );
                continue;
            };
            // What the file gives as text stays text; otherwise the override is read as a plain scalar. It holds
            // no references of its own: a `$` from the command line means itself.
            variable.value = match variable.value {
                Value::String(_) => Value::String(text.clone()),
                _ => plain::resolve(text).unwrap_or_else(|_| Value::String(text.clone())),
            };
            variable.state = State::Resolved;
        }
    }

    fn definition(&mut self, name: &str, name_span: Span, node: &Node) -> Value {
        if !is_name(name) {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::BAD_VARIABLE,
                    format!("`{}` can't be the name of a variable", printable(name)),
                )
                .at(name_span)
                .help("use letters, digits, `_` and `-`, beginning with a letter or `_`"),
            );
        }
        match &node.value {
            Value::Sequence(_) | Value::Mapping(_) => {
                let message = format!("a variable must be a single value, found {}", node.value.describe());
                self.diagnostics.push(Diagnostic::error(codes::BAD_VARIABLE, message).at(node.span));
                Value::Invalid
            }
            Value::String(text) if text.len() > LONGEST_TEXT => {
                let message =
                    format!("a variable may hold at most {LONGEST_TEXT} bytes, found {}", text.len());
                self.diagnostics.push(Diagnostic::error(codes::EXPANSION, message).at(node.span));
                Value::Invalid
            }
            value => value.clone(),
        }
    }

    fn resolve_all(&mut self) {
        for name in self.names.clone() {
            self.resolve(&name, 0);
        }
    }

    /// Resolves the references inside one variable; its value is final afterwards.
    fn resolve(&mut self, name: &str, depth: usize) {
        let Some(variable) = self.known.get_mut(name) else { return };
        if variable.state != State::Raw {
            return;
        }
        let Value::String(text) = &variable.value else {
            variable.state = State::Resolved;
            return;
        };
        if !text.contains("${") {
            variable.state = State::Resolved;
            return;
        }
        variable.state = State::Resolving;
        let (text, span) = (text.clone(), variable.span);
        let value = if depth >= MOST_NESTED {
            self.fault(
                codes::EXPANSION,
                format!("variables stand inside each other more than {MOST_NESTED} times"),
                span,
            );
            Value::Invalid
        } else {
            self.expand(&text, span, depth + 1)
        };
        if let Some(variable) = self.known.get_mut(name) {
            variable.value = value;
            variable.state = State::Resolved;
        }
    }

    fn fault(&mut self, code: &'static str, message: String, span: Span) {
        self.diagnostics.push_error_with(|| Diagnostic::error(code, message).at(span));
    }

    /// The value of the variable, resolved; `None` after a report.
    fn lookup(&mut self, name: &str, span: Span, depth: usize) -> Option<Value> {
        let Some(variable) = self.known.get(name) else {
            let known: Vec<&str> = self.names.iter().map(String::as_str).collect();
            let help = match suggest::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    format!("define it under `vars`; a literal `${{` is written `$${{{}}}`", printable(name))
                }
            };
            self.diagnostics.push_error_with(|| {
                Diagnostic::error(
                    codes::UNKNOWN_VARIABLE,
                    format!("the variable `{}` is not defined", printable(name)),
                )
                .at(span)
                .help(help)
            });
            return None;
        };
        if variable.state == State::Resolving {
            let defined = variable.span;
            self.diagnostics.push_error_with(|| {
                Diagnostic::error(
                    codes::VARIABLE_CYCLE,
                    format!("the variable `{}` needs itself", printable(name)),
                )
                .at(span)
                .related(defined, "it is defined here")
            });
            return None;
        }
        self.resolve(name, depth);
        match self.known.get(name).map(|variable| &variable.value) {
            None | Some(Value::Invalid) => None,
            Some(value) => Some(value.clone()),
        }
    }

    /// The value of a text with its references replaced; the text itself must hold `${`.
    fn expand(&mut self, text: &str, span: Span, depth: usize) -> Value {
        if self.added > MOST_TEXT {
            return Value::Invalid; // reported when the limit was passed
        }
        if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
            && is_name(name)
        {
            let value = self.lookup(name, span, depth).unwrap_or(Value::Invalid);
            if let Value::String(text) = &value
                && !self.afford(text.len(), 0, span)
            {
                return Value::Invalid;
            }
            return value;
        }
        self.interpolate(text, span, depth).map_or(Value::Invalid, Value::String)
    }

    fn interpolate(&mut self, text: &str, span: Span, depth: usize) -> Option<String> {
        if self.added > MOST_TEXT {
            return None;
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut sound = true;
        while let Some(at) = rest.find("${") {
            let (before, reference) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = &reference[2..];
                continue;
            }
            out.push_str(before);
            let name = reference[2..].split('}').next().unwrap_or_default();
            if !is_name(name) || !reference[2 + name.len()..].starts_with('}') {
                self.diagnostics.push_error_with(|| {
                    Diagnostic::error(codes::BAD_REFERENCE, "a `${` that is no reference to a variable")
                        .at(span)
                        .help("write ${name}, or $${ for a literal `${`")
                });
                return None;
            }
            rest = &reference[name.len() + 3..];
            let piece = match self.lookup(name, span, depth) {
                Some(Value::String(text)) => text,
                Some(Value::Integer(number)) => number.to_string(),
                Some(Value::Float(number)) => format!("{number:?}"),
                Some(Value::Bool(truth)) => truth.to_string(),
                Some(_) => {
                    self.diagnostics.push_error_with(|| {
                        Diagnostic::error(
                            codes::BAD_REFERENCE,
                            format!("the variable `{name}` has no value to put into a text"),
                        )
                        .at(span)
                        .help("give it a value under `vars`")
                    });
                    sound = false;
                    continue;
                }
                None => {
                    sound = false;
                    continue;
                }
            };
            if !self.afford(piece.len(), out.len(), span) {
                return None;
            }
            out.push_str(&piece);
        }
        out.push_str(rest);
        sound.then_some(out)
    }

    /// Whether `more` bytes may be added to a text of `length`; reports when not.
    fn afford(&mut self, more: usize, length: usize, span: Span) -> bool {
        self.added = self.added.saturating_add(more);
        if length + more > LONGEST_TEXT {
            self.fault(
                codes::EXPANSION,
                format!("variables make this text longer than {LONGEST_TEXT} bytes"),
                span,
            );
            return false;
        }
        if self.added > MOST_TEXT {
            self.fault(
                codes::EXPANSION,
                format!("variables add more than {MOST_TEXT} bytes to the file"),
                span,
            );
            return false; // `expand` stops early from now on
        }
        true
    }

    /// Replaces references in a tree.
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::String(text) if text.contains("${") => {
                let text = std::mem::take(text);
                node.value = self.expand(&text, node.span, 0);
            }
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.node(item)),
            Value::Mapping(entries) => {
                let mut renamed = false;
                for (key, value) in entries.iter_mut() {
                    if key.value.contains("${")
                        && let Some(name) = self.interpolate(&key.value, key.span, 0)
                    {
                        key.value = name;
                        renamed = true;
                    }
                    self.node(value);
                }
                if renamed {
                    self.keep_unique(entries);
                }
            }
            _ => {}
        }
    }

    /// Two keys may have become one by their variables.
    fn keep_unique(&mut self, entries: &mut Vec<Entry>) {
        let mut seen: HashMap<String, Span> = HashMap::with_capacity(entries.len());
        entries.retain(|(key, _)| match seen.get(&key.value) {
            None => {
                seen.insert(key.value.clone(), key.span);
                true
            }
            Some(first) => {
                let first = *first;
                self.diagnostics.push_error_with(|| super::duplicate_key(key, key.span, first));
                false
            }
        });
    }

    /// The section shows what the variables came to, overrides included.
    fn write_back(&self, section: &mut Node) {
        if let Value::Mapping(entries) = &mut section.value {
            for (key, node) in entries {
                if let Some(variable) = self.known.get(&key.value) {
                    node.value = variable.value.clone();
                }
            }
        }
    }
}

/// Whether a text can stand between `${` and `}`.
fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
