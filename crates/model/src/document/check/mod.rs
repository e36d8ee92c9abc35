//! The structural check: a tree against the JSON Schema of the type that it shall become.
//!
//! What: every unknown key, missing key, wrong type, illegal value and malformed scalar of a document, each with
//! its place and in the words of its own parser. For `oneOf` and `anyOf` the branch that fits best is chosen
//! (see `choice`) and only its errors are told.
//!
//! Invariants: what passes deserializes, but for conditions that a schema can't say. Cost: a document is walked
//! once for each branch that could fit; choices are remembered by (rule, node), so nested unions do not multiply.
//! Messages are built only if they will be kept.

mod choice;
mod mapping;
mod scalar;
mod structure;

pub use structure::Structure;

use super::codes;
use super::node::{Kinds, Node, Value};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::Span;
use choice::Choice;
use std::collections::HashMap;
use structure::{Range, Rule, RuleId};

/// Judges scalars by the `format` that their schema names.
pub trait FormatChecker {
    /// `None` if the format is not known here, else whether the text is one: the error is a clause in the words
    /// of the scalar's own parser.
    fn check(&self, format: &str, text: &str) -> Option<Result<(), String>>;
}

impl<F: Fn(&str, &str) -> Option<Result<(), String>>> FormatChecker for F {
    fn check(&self, format: &str, text: &str) -> Option<Result<(), String>> {
        self(format, text)
    }
}

/// Knows no format: every text passes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFormats;

impl FormatChecker for NoFormats {
    fn check(&self, _format: &str, _text: &str) -> Option<Result<(), String>> {
        None
    }
}

impl Structure {
    /// Adds everything to `diagnostics` that is wrong with the structure of a tree.
    pub fn check(&self, root: &Node, formats: &dyn FormatChecker, diagnostics: &mut Diagnostics) {
        let mut checker = Checker {
            structure: self,
            formats,
            diagnostics,
            quiet: 0,
            same_node: 0,
            path: Vec::new(),
            choices: HashMap::new(),
        };
        checker.visit(self.root, root, Place { key: None });
    }
}

/// How a node was reached, for messages about the node as a whole.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The key under which it stands.
    key: Option<Span>,
}

/// A step from the root to a node.
#[derive(Debug, Clone, Copy)]
enum Step<'n> {
    Key(&'n str),
    Item(usize),
}

struct Checker<'c, 'n> {
    structure: &'c Structure,
    formats: &'c dyn FormatChecker,
    diagnostics: &'c mut Diagnostics,
    /// Above zero errors are only counted.
    quiet: usize,
    /// How many rules in a row were applied to one node: a schema that refers to itself without a step into
    /// the document must not run forever.
    same_node: usize,
    path: Vec<Step<'n>>,
    /// Branches that were chosen, by rule, union of the rule, and address of the node.
    choices: HashMap<(RuleId, usize, *const Node), RuleId>,
}

impl<'c, 'n> Checker<'c, 'n> {
    /// Checks a node by a rule; returns the number of errors.
    fn visit(&mut self, id: RuleId, node: &'n Node, place: Place) -> usize {
        const MOST_ON_ONE_NODE: usize = 64;
        let rule = self.structure.rule(id);
        if matches!(node.value, Value::Invalid) || self.same_node > MOST_ON_ONE_NODE {
            return 0;
        }
        if !rule.kinds.meets(node.value.kind()) {
            return self.wrong_type(rule, node);
        }
        let mut errors = self.scalar(rule, node);
        match &node.value {
            Value::Sequence(items) => errors += self.sequence(rule, items, node),
            Value::Mapping(entries) => errors += self.mapping(id, entries, node, place),
            _ => {}
        }
        self.same_node += 1;
        for other in &rule.all_of {
            errors += self.visit(*other, node, place);
        }
        for union in 0..rule.unions.len() {
            errors += match self.choose(id, union, node) {
                Choice::Branch(branch) => self.visit(branch, node, place),
                Choice::Nothing(diagnostic) => self.fail(|_| *diagnostic),
                Choice::MissingTag { key, values } => self.missing_key(&key, node, place, &values),
            };
        }
        self.same_node -= 1;
        errors
    }

    /// Enters a child; the count of rules on one node begins anew.
    fn visit_child(&mut self, step: Step<'n>, id: RuleId, node: &'n Node, place: Place) -> usize {
        let same_node = std::mem::take(&mut self.same_node);
        self.path.push(step);
        let errors = self.visit(id, node, place);
        self.path.pop();
        self.same_node = same_node;
        errors
    }

    /// Counts an error and, unless branches are being compared, tells it.
    fn fail(&mut self, build: impl FnOnce(&Self) -> Diagnostic) -> usize {
        if self.quiet == 0 {
            if self.diagnostics.len() < Diagnostics::LIMIT {
                let diagnostic = build(self);
                self.diagnostics.push(diagnostic);
            } else {
                self.diagnostics.push_error_with(|| Diagnostic::error(codes::WRONG_TYPE, String::new()));
            }
        }
        1
    }

    fn wrong_type(&mut self, rule: &Rule, node: &Node) -> usize {
        let (kinds, description) = (rule.kinds, rule.description.as_deref());
        self.fail(|_| wrong_type(kinds, description, node))
    }

    fn sequence(&mut self, rule: &'c Rule, items: &'n [Node], node: &Node) -> usize {
        let mut errors = self.length(rule.items, items.len(), "item", node);
        for (index, item) in items.iter().enumerate() {
            if let Some(id) = rule.first_items.get(index).copied().or(rule.other_items) {
                errors += self.visit_child(Step::Item(index), id, item, Place { key: None });
            }
        }
        if rule.unique {
            errors += self.repetitions(items);
        }
        errors
    }

    /// Items of a set that stand twice; only scalars are compared, by their words.
    fn repetitions(&mut self, items: &[Node]) -> usize {
        let mut seen: HashMap<String, Span> = HashMap::new();
        let mut errors = 0;
        for item in items {
            if matches!(item.value, Value::Sequence(_) | Value::Mapping(_) | Value::Invalid) {
                continue;
            }
            let text = match &item.value {
                Value::String(text) => format!("\"{text}"),
                other => other.describe(),
            };
            if let Some(first) = seen.get(&text) {
                let first = *first;
                errors += self.fail(|_| {
                    Diagnostic::error(
                        codes::BAD_VALUE,
                        format!("{} stands twice in the list", item.value.describe()),
                    )
                    .at(item.span)
                    .related(first, "first")
                    .help("keep one of them")
                });
            } else {
                seen.insert(text, item.span);
            }
        }
        errors
    }

    fn length(&mut self, range: Range, found: usize, unit: &str, node: &Node) -> usize {
        let count = found as u64;
        let limit = match range {
            Range { least: Some(least), .. } if count < least => format!("at least {least}"),
            Range { most: Some(most), .. } if count > most => format!("at most {most}"),
            _ => return 0,
        };
        self.fail(|_| {
            let plural = |text: &str| if text.ends_with(" 1") { unit.to_owned() } else { plural_of(unit) };
            let message = format!("expected {limit} {}, found {found}", plural(&limit));
            Diagnostic::error(codes::BAD_LENGTH, message).at(node.span)
        })
    }

    /// Where the current node is, like ` in networks.lan`; empty at the top.
    fn whereabouts(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Step::Item(index) => path.push_str(&format!("[{index}]")),
            }
        }
        if path.is_empty() { path } else { format!(" in `{}`", crate::diagnostic::printable(&path)) }
    }
}

fn plural_of(unit: &str) -> String {
    unit.strip_suffix('y').map_or_else(|| format!("{unit}s"), |stem| format!("{stem}ies"))
}

/// "expected a number, found text `abc`", with the way out if it is plain.
fn wrong_type(kinds: Kinds, description: Option<&str>, node: &Node) -> Diagnostic {
    let expected = kinds.words();
    let message = format!("expected {expected}, found {}", node.value.describe());
    let help = match &node.value {
        Value::Integer(number) if kinds.meets(Kinds::STRING) => {
            Some(format!("put it in quotes: \"{number}\""))
        }
        Value::Bool(truth) if kinds.meets(Kinds::STRING) => Some(format!("put it in quotes: \"{truth}\"")),
        Value::Float(_) if kinds.meets(Kinds::STRING) => Some("put it in quotes if it is text".to_owned()),
        Value::String(text) if kinds.meets(Kinds::INTEGER) && text.parse::<i128>().is_ok() => {
            Some("remove the quotes".to_owned())
        }
        Value::String(text) if kinds.meets(Kinds::BOOL) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some("write true without quotes".to_owned()),
            "false" | "no" | "off" | "0" => Some("write false without quotes".to_owned()),
            _ => None,
        },
        Value::Sequence(_) | Value::Mapping(_) | Value::Null => None,
        _ if kinds == Kinds::SEQUENCE => Some("write a list, like [a, b]".to_owned()),
        _ if kinds == Kinds::MAPPING => Some("write `key: value` below it".to_owned()),
        _ => None,
    };
    let help = help.or_else(|| match (&node.value, kinds) {
        (Value::Null, kinds) if kinds.meets(Kinds::MAPPING) => {
            Some("write {} if nothing is to be said".to_owned())
        }
        (Value::Null, kinds) if kinds.meets(Kinds::SEQUENCE) => Some("write [] for an empty list".to_owned()),
        _ => description.map(|text| format!("expected here: {text}")),
    });
    Diagnostic::error(codes::WRONG_TYPE, message)
        .at(node.span)
        .label(format!("expected {expected}"))
        .maybe_help(help)
}
