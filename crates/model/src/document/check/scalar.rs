//! Values without parts: the few that are legal, bounds, lengths, formats.

use super::structure::{Bound, Number, Rule};
use super::{Checker, codes};
use crate::diagnostic::{Diagnostic, printable};
use crate::document::node::{Node, Value};
use crate::document::suggest;
use std::cmp::Ordering;

impl<'c> Checker<'c, '_> {
    pub(super) fn scalar(&mut self, rule: &'c Rule, node: &Node) -> usize {
        let mut errors = 0;
        if let Some(legal) = &rule.legal
            && !legal.contains(&node.value)
        {
            errors += self.fail(|_| bad_value(legal.iter(), node));
        }
        match &node.value {
            Value::Integer(_) | Value::Float(_) => errors += self.bounds(rule, node),
            Value::String(text) => {
                if rule.length.least.is_some() || rule.length.most.is_some() {
                    errors += self.length(rule.length, text.chars().count(), "character", node);
                }
                if let Some(format) = &rule.format
                    && let Some(Err(clause)) = self.formats.check(format, text)
                {
                    let description = rule.description.as_deref();
                    errors += self.fail(|_| bad_format(text, &clause, description).at(node.span));
                }
            }
            _ => {}
        }
        errors
    }

    fn bounds(&mut self, rule: &'c Rule, node: &Node) -> usize {
        let beyond = |bound: Bound, wrong: Ordering| {
            let order = compare(&node.value, bound.value);
            order == Some(wrong) || bound.exclusive && order == Some(Ordering::Equal)
        };
        let low = rule.minimum.is_some_and(|bound| beyond(bound, Ordering::Less));
        let high = rule.maximum.is_some_and(|bound| beyond(bound, Ordering::Greater));
        if !low && !high {
            return 0;
        }
        self.fail(|_| {
            let range = match (rule.minimum, rule.maximum) {
                (Some(least), Some(most)) if !least.exclusive && !most.exclusive => {
                    format!("from {} to {}", least.value, most.value)
                }
                (Some(bound), _) if low => {
                    format!("{} {}", if bound.exclusive { "above" } else { "at least" }, bound.value)
                }
                (_, Some(bound)) => {
                    format!("{} {}", if bound.exclusive { "below" } else { "at most" }, bound.value)
                }
                _ => String::new(),
            };
            let found = node.value.describe();
            Diagnostic::error(codes::OUT_OF_RANGE, format!("{found} is out of range"))
                .at(node.span)
                .label(format!("must be {range}"))
        })
    }
}

/// A value that is none of the legal ones.
pub(super) fn bad_value<'v>(legal: impl Iterator<Item = &'v Value>, node: &Node) -> Diagnostic {
    let words: Vec<String> = legal
        .map(|value| match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            other => other.describe().trim_matches('`').to_owned(),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let found = match &node.value {
        Value::String(text) => printable(text).into_owned(),
        other => other.describe(),
    };
    let (message, help) = match words.as_slice() {
        [only] => (format!("expected `{only}`, found `{found}`"), Some(format!("write {only}"))),
        _ => (
            format!("`{found}` is not one of the legal values"),
            suggest::help(&found, &words, "legal values"),
        ),
    };
    Diagnostic::error(codes::BAD_VALUE, message).at(node.span).maybe_help(help)
}

fn bad_format(text: &str, clause: &str, description: Option<&str>) -> Diagnostic {
    let shown = printable(text);
    // Many parsers quote the text themselves.
    let message = if clause.contains(&format!("`{text}`")) {
        clause.to_owned()
    } else if text.is_empty() {
        format!("empty text: {clause}")
    } else {
        format!("`{shown}`: {clause}")
    };
    // A parser that shows an example has said enough.
    let description = description.filter(|_| !clause.contains(" like "));
    Diagnostic::error(codes::BAD_FORMAT, message)
        .maybe_help(description.map(|text| format!("expected here: {text}")))
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
        }
    }
}

fn compare(value: &Value, bound: Number) -> Option<Ordering> {
    // Comparison across kinds loses digits above 2^53, where bounds of the language do not lie.
    #[allow(clippy::cast_precision_loss)]
    match (value, bound) {
        (Value::Integer(value), Number::Integer(bound)) => Some(value.cmp(&bound)),
        (Value::Integer(value), Number::Float(bound)) => (*value as f64).partial_cmp(&bound),
        (Value::Float(value), Number::Integer(bound)) => value.partial_cmp(&(bound as f64)),
        (Value::Float(value), Number::Float(bound)) => value.partial_cmp(&bound),
        _ => None,
    }
}
