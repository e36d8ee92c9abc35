//! Which branch of a `oneOf` or `anyOf` was meant.
//!
//! In this order: the branches whose kind fits the node; for text, the branch with the legal word; for mappings,
//! the branch whose constant key (a tag like `kind: veth`) or only key (`veth: {...}`) is there; else the branch
//! with the fewest errors, of those the one that knows the most keys, of those the first.

use super::mapping::unknown_key;
use super::scalar::bad_value;
use super::structure::{Rule, RuleId};
use super::{Checker, Place, codes, wrong_type};
use crate::diagnostic::Diagnostic;
use crate::document::node::{Entry, Kinds, Node, Value};
use crate::document::suggest;

/// What was decided.
pub(super) enum Choice {
    /// This branch is checked.
    Branch(RuleId),
    /// No branch could be meant; this says why.
    Nothing(Box<Diagnostic>),
    /// The key that tells the branches apart is missing.
    MissingTag {
        /// The key.
        key: String,
        /// Its possible values.
        values: Vec<String>,
    },
}

impl<'c, 'n> Checker<'c, 'n> {
    pub(super) fn choose(&mut self, id: RuleId, union: usize, node: &'n Node) -> Choice {
        let address: *const Node = node;
        if let Some(branch) = self.choices.get(&(id, union, address)) {
            return Choice::Branch(*branch);
        }
        let Some(branches) = self.structure.rule(id).unions.get(union) else {
            return Choice::Branch(id);
        };
        let choice = self.choose_of(branches, node);
        if let Choice::Branch(branch) = choice {
            self.choices.insert((id, union, address), branch);
        }
        choice
    }

    fn choose_of(&mut self, branches: &'c [RuleId], node: &'n Node) -> Choice {
        let kind = node.value.kind();
        let fitting: Vec<RuleId> =
            branches.iter().copied().filter(|branch| self.kinds_of(*branch, 0).meets(kind)).collect();
        match (fitting.as_slice(), &node.value) {
            ([], _) => {
                let kinds =
                    branches.iter().map(|branch| self.kinds_of(*branch, 0)).fold(Kinds::NONE, Kinds::with);
                Choice::Nothing(Box::new(wrong_type(kinds, None, node)))
            }
            ([only], _) => Choice::Branch(*only),
            (_, Value::String(_)) => self.choose_for_text(&fitting, node),
            (_, Value::Mapping(entries)) => self.choose_for_mapping(&fitting, entries, node),
            _ => Choice::Branch(self.fewest_errors(&fitting, node)),
        }
    }

    /// The kinds a rule accepts, seen through references and unions.
    fn kinds_of(&self, id: RuleId, depth: usize) -> Kinds {
        const DEEPEST: usize = 8;
        let rule = self.structure.rule(id);
        let mut kinds = rule.kinds;
        if depth < DEEPEST {
            for other in &rule.all_of {
                kinds = kinds.and(self.kinds_of(*other, depth + 1));
            }
            for branches in &rule.unions {
                let of_branches = branches.iter().map(|branch| self.kinds_of(*branch, depth + 1));
                kinds = kinds.and(of_branches.fold(Kinds::NONE, Kinds::with));
            }
        }
        kinds
    }

    fn choose_for_text(&mut self, fitting: &[RuleId], node: &'n Node) -> Choice {
        let mut words: Vec<&Value> = Vec::new();
        let mut free = Vec::new();
        for branch in fitting {
            match &self.structure.rule(*branch).legal {
                Some(legal) if legal.contains(&node.value) => return Choice::Branch(*branch),
                Some(legal) => words.extend(legal),
                None => free.push(*branch),
            }
        }
        if free.is_empty() {
            return Choice::Nothing(Box::new(bad_value(words.into_iter(), node)));
        }
        let best = self.fewest_errors(&free, node);
        // A slip in one of the words is likelier than a malformed free text.
        if let Value::String(text) = &node.value
            && !words.is_empty()
            && self.errors_of(best, node) > 0
        {
            let near = words.iter().filter_map(|word| match word {
                Value::String(word) => Some(word.as_str()),
                _ => None,
            });
            if suggest::nearest(text, near).is_some() {
                return Choice::Nothing(Box::new(bad_value(words.into_iter(), node)));
            }
        }
        Choice::Branch(best)
    }

    fn choose_for_mapping(&mut self, fitting: &[RuleId], entries: &[Entry], node: &'n Node) -> Choice {
        let value_of = |key: &str| entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| node);
        let mut untagged = Vec::new();
        let mut tags: Vec<(RuleId, &'c str, &'c Value)> = Vec::new();
        let mut wrappers: Vec<(RuleId, &'c str)> = Vec::new();
        for branch in fitting.iter().copied() {
            let rule = self.structure.rule(branch);
            if let Some((key, value)) = self.tag_of(rule) {
                tags.push((branch, key, value));
            } else if let Some(key) = wrapper_key(rule) {
                wrappers.push((branch, key));
            } else {
                untagged.push(branch);
            }
        }
        // A tag with its very value decides, as does the only key of a wrapper.
        let matching: Vec<RuleId> = tags
            .iter()
            .filter(|(_, key, value)| value_of(key).is_some_and(|node| node.value == **value))
            .map(|(branch, ..)| *branch)
            .chain(wrappers.iter().filter(|(_, key)| value_of(key).is_some()).map(|(branch, _)| *branch))
            .collect();
        match matching.as_slice() {
            [] if untagged.is_empty() => {}
            [] => return Choice::Branch(self.fewest_errors(&untagged, node)),
            [only] => return Choice::Branch(*only),
            several => return Choice::Branch(self.fewest_errors(several, node)),
        }
        // No branch fits: say which word was expected, at the place where it should stand.
        let first_tag = tags.iter().map(|(_, key, _)| *key).find(|key| value_of(key).is_some());
        if let Some(key) = first_tag
            && let Some(found) = value_of(key)
        {
            if matches!(found.value, Value::Invalid) {
                return tags
                    .first()
                    .map_or(Choice::Branch(self.structure.root), |(branch, ..)| Choice::Branch(*branch));
            }
            let legal = tags.iter().filter(|(_, other, _)| *other == key).map(|(.., value)| *value);
            return Choice::Nothing(Box::new(bad_value(legal, found)));
        }
        if let Some((_, key, _)) = tags.first() {
            let values = tags.iter().filter(|(_, other, _)| other == key);
            let values = values.filter_map(|(.., value)| match value {
                Value::String(word) => Some(word.clone()),
                _ => None,
            });
            return Choice::MissingTag { key: (*key).to_owned(), values: values.collect() };
        }
        let known: Vec<&str> = wrappers.iter().map(|(_, key)| *key).collect();
        let diagnostic = match entries.first() {
            Some((key, _)) => unknown_key(key, key.span, &known, &self.whereabouts()),
            None => Diagnostic::error(codes::MISSING_KEY, format!("one key is needed{}", self.whereabouts()))
                .at(node.span)
                .help(format!("it is one of {}", suggest::list(&known))),
        };
        Choice::Nothing(Box::new(diagnostic))
    }

    /// The key that must be there with one constant value, if the rule has such a key.
    fn tag_of(&self, rule: &'c Rule) -> Option<(&'c str, &'c Value)> {
        rule.required.iter().find_map(|name| {
            let child = self.structure.rule(*rule.properties.get(name)?);
            match child.legal.as_deref() {
                Some([value]) => Some((name.as_str(), value)),
                _ => None,
            }
        })
    }

    fn errors_of(&mut self, branch: RuleId, node: &'n Node) -> usize {
        self.quiet += 1;
        let errors = self.visit(branch, node, Place { key: None });
        self.quiet -= 1;
        errors
    }

    fn fewest_errors(&mut self, branches: &[RuleId], node: &'n Node) -> RuleId {
        let mut best: Option<(usize, usize, RuleId)> = None;
        for branch in branches.iter().copied() {
            let errors = self.errors_of(branch, node);
            let unknown = self.unknown_keys(branch, node);
            if best.is_none_or(|(least, fewest, _)| (errors, unknown) < (least, fewest)) {
                best = Some((errors, unknown, branch));
            }
            if errors == 0 {
                break;
            }
        }
        best.map_or(self.structure.root, |(.., branch)| branch)
    }

    /// How many keys of a mapping the rule does not name itself.
    fn unknown_keys(&self, branch: RuleId, node: &Node) -> usize {
        let rule = self.structure.rule(branch);
        match &node.value {
            Value::Mapping(entries) => {
                entries.iter().filter(|(key, _)| !rule.properties.contains_key(&key.value)).count()
            }
            _ => 0,
        }
    }
}

/// The only key of a mapping that holds one variant of an enum.
fn wrapper_key(rule: &Rule) -> Option<&str> {
    match (rule.names.as_slice(), rule.required.as_slice()) {
        ([name], [required]) if name == required && rule.closed => Some(name),
        _ => None,
    }
}
