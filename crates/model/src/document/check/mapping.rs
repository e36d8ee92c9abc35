//! Mappings: keys that are known, keys that are missing, and the rules of their values.

use super::choice::Choice;
use super::structure::{KeyPattern, Rule, RuleId};
use super::{Checker, Place, Step, codes};
use crate::diagnostic::{Diagnostic, printable};
use crate::document::node::{Entry, Node, Value};
use crate::document::{Spanned, suggest};
use crate::source::Span;
use std::collections::HashSet;

/// From how many keys on a mapping's keys are hashed to look for the required ones.
const MANY: usize = 16;

impl<'c, 'n> Checker<'c, 'n> {
    pub(super) fn mapping(
        &mut self,
        id: RuleId,
        entries: &'n [Entry],
        node: &'n Node,
        place: Place,
    ) -> usize {
        let rule = self.structure.rule(id);
        let mut errors = self.length(rule.entries, entries.len(), "entry", node);
        let alone = rule.all_of.is_empty() && rule.unions.is_empty();
        let contributing = if rule.closed && !alone { self.contributing(id, node) } else { Vec::new() };
        for (key, value) in entries {
            if let Some(keys) = rule.keys {
                errors += self.key_text(keys, key);
            }
            let own = rule_of_key(rule, key);
            let below = Place { key: Some(key.span) };
            if let Some(child) = own {
                errors += self.visit_child(Step::Key(key), child, value, below);
            } else if rule.closed && !contributing.iter().any(|other| knows(other, key)) {
                errors += self.fail(|checker| {
                    let rules = std::iter::once(rule).chain(contributing.iter().copied());
                    let known: Vec<&str> =
                        rules.flat_map(|rule| rule.names.iter().map(String::as_str)).collect();
                    let diagnostic = unknown_key(key, key.span, &known, &checker.whereabouts());
                    let numbers = rule.patterns.iter().any(|(pattern, _)| *pattern != KeyPattern::Any);
                    diagnostic.maybe_help((numbers && known.is_empty()).then_some("keys are numbers here"))
                });
            } else if let Some(child) = rule.other_keys {
                errors += self.visit_child(Step::Key(key), child, value, below);
            }
        }
        if !rule.required.is_empty() {
            let hashed: HashSet<&str> = if entries.len() > MANY {
                entries.iter().map(|(key, _)| key.as_str()).collect()
            } else {
                HashSet::new()
            };
            for name in &rule.required {
                let there = if entries.len() > MANY {
                    hashed.contains(name.as_str())
                } else {
                    entries.iter().any(|(key, _)| key.value == *name)
                };
                if !there {
                    errors += self.missing_key(name, node, place, &[]);
                }
            }
        }
        errors
    }

    /// Checks a key by the rule for all keys of its mapping: legal words, length, format.
    fn key_text(&mut self, keys: RuleId, key: &Spanned<String>) -> usize {
        let rule = self.structure.rule(keys);
        let node = Node { value: Value::String(key.value.clone()), span: key.span };
        self.scalar(rule, &node)
    }

    /// The rules beside `id` that name keys of the same mapping: those that hold as well, and the branches
    /// chosen of its unions.
    fn contributing(&mut self, id: RuleId, node: &'n Node) -> Vec<&'c Rule> {
        let mut rules = Vec::new();
        let mut seen = vec![id];
        let mut todo = vec![id];
        while let Some(next) = todo.pop() {
            let rule = self.structure.rule(next);
            if next != id {
                rules.push(rule);
            }
            let mut add = |other: RuleId| {
                if !seen.contains(&other) {
                    seen.push(other);
                    todo.push(other);
                }
            };
            rule.all_of.iter().copied().for_each(&mut add);
            for union in 0..rule.unions.len() {
                if let Choice::Branch(branch) = self.choose(next, union, node) {
                    add(branch);
                }
            }
        }
        rules
    }

    /// Tells that a key is missing; `values` are the words it could have, if they are few and known.
    pub(super) fn missing_key(&mut self, name: &str, node: &Node, place: Place, values: &[String]) -> usize {
        self.fail(|checker| {
            let message = format!("missing key `{name}`{}", checker.whereabouts());
            let words: Vec<&str> = values.iter().map(String::as_str).collect();
            let help = (!words.is_empty()).then(|| format!("its value is one of {}", suggest::list(&words)));
            Diagnostic::error(codes::MISSING_KEY, message)
                .at(place_of(node, place))
                .label(format!("`{name}` is needed here"))
                .maybe_help(help)
        })
    }
}

/// Where a mapping is shown: the key above it, else its own beginning.
pub(super) fn place_of(node: &Node, place: Place) -> Span {
    match (&node.value, place.key) {
        (_, Some(key)) => key,
        (Value::Mapping(entries), None) => entries.first().map_or(node.span, |(key, _)| key.span),
        _ => node.span,
    }
}

/// The rule of a key's value by the rule's own names and patterns.
fn rule_of_key(rule: &Rule, key: &str) -> Option<RuleId> {
    rule.properties
        .get(key)
        .copied()
        .or_else(|| rule.patterns.iter().find(|(pattern, _)| pattern.matches(key)).map(|(_, id)| *id))
}

fn knows(rule: &Rule, key: &str) -> bool {
    rule_of_key(rule, key).is_some() || rule.other_keys.is_some()
}

pub(super) fn unknown_key(key: &str, span: Span, known: &[&str], whereabouts: &str) -> Diagnostic {
    let message = format!("unknown key `{}`{whereabouts}", printable(key));
    Diagnostic::error(codes::UNKNOWN_KEY, message).at(span).maybe_help(suggest::help(
        key,
        known,
        "known keys",
    ))
}
