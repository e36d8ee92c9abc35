//! What every check has at hand: the topology, its index, and ways to say what is wrong.

use super::codes;
use crate::diagnostic::{Diagnostic, Diagnostics, printable};
use crate::document::suggest::nearest;
use crate::scalar::PeerName;
use crate::source::{SourceFile, Span};
use crate::topology::{Network, Node, Topology};
use crate::validated::{self, Addressing, Index, NodeKind, Thing};
use netloom_wire::{InterfaceName, NodeName};
use std::collections::BTreeMap;

/// The state of one validation.
pub(super) struct Check<'a> {
    pub(super) topology: &'a Topology,
    pub(super) source: &'a SourceFile,
    pub(super) index: &'a Index,
    /// Addresses of every interface of every node.
    pub(super) addressing: BTreeMap<(&'a NodeName, &'a InterfaceName), Addressing>,
    pub(super) out: &'a mut Diagnostics,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        topology: &'a Topology,
        source: &'a SourceFile,
        index: &'a Index,
        out: &'a mut Diagnostics,
    ) -> Self {
        let mut addressing = BTreeMap::new();
        for (name, _, _, _) in validated::nodes(topology) {
            let Some(entry) = index.node(name) else { continue };
            for interface in entry.interfaces.keys() {
                let found = validated::addressing_of(topology, index, name, interface);
                addressing.insert((name, interface), found);
            }
        }
        Self { topology, source, index, addressing, out }
    }

    /// Adds a finding, which loses its place if it has none in the file.
    pub(super) fn push(&mut self, mut diagnostic: Diagnostic) {
        diagnostic.span = diagnostic.span.filter(|span| !span.is_empty());
        diagnostic.related.retain(|(span, _)| !span.is_empty());
        self.out.push(diagnostic);
    }

    /// Adds an error with a label and a way out.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: &str,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::error(code, message).at(span).label(label).help(help));
    }

    /// Adds a warning with a label and a way out.
    pub(super) fn warning(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: &str,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::warning(code, message).at(span).label(label).help(help));
    }

    /// The first place of `word` as a whole word inside `span`; the span itself if it is not there.
    pub(super) fn word(&self, span: Span, word: &str) -> Span {
        let text = self.source.slice(span);
        let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        for (at, found) in text.match_indices(word) {
            let before = text[..at].chars().next_back();
            let after = text[at + found.len()..].chars().next();
            if !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name) {
                let start = span.start as usize + at;
                return Span::new(start, start + found.len());
            }
        }
        span
    }

    /// The place of `key:` inside the item at `span`; the span itself if it is not there.
    pub(super) fn key(&self, span: Span, key: &str) -> Span {
        let text = self.source.slice(span);
        for (at, found) in text.match_indices(key) {
            let before = text[..at].trim_end_matches([' ', '"', '\'']).chars().next_back();
            let after = text[at + found.len()..].trim_start_matches(['"', '\'', ' ']).chars().next();
            if matches!(before, None | Some('\n' | '{' | ',' | '-')) && after == Some(':') {
                let start = span.start as usize + at;
                return Span::new(start, start + found.len());
            }
        }
        span
    }

    /// The place of `key:` in the mapping that belongs to the key at `owner`; that key itself if it is not there.
    pub(super) fn key_of(&self, owner: Span, key: &str) -> Span {
        let value = self.value_of(owner);
        let found = self.key(value, key);
        if found == value { owner } else { found }
    }

    /// About the text that belongs to the key at `owner`: to the closing bracket, or as far as it is indented.
    fn value_of(&self, owner: Span) -> Span {
        let text = self.source.text();
        let (start, end) = (owner.start as usize, owner.end as usize);
        let Some(rest) = text.get(end..).filter(|_| !owner.is_empty()) else { return owner };
        let opens = rest.trim_start_matches(['"', '\'', ' ', ':']).starts_with('{');
        let mut depth = 0usize;
        if opens {
            for (at, character) in rest.char_indices() {
                match character {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => continue,
                }
                if depth == 0 {
                    return Span::new(end, end + at + 1);
                }
            }
        }
        let line = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let column = start - line;
        let mut length = 0;
        for (number, line) in rest.split_inclusive('\n').enumerate() {
            let indent = line.len() - line.trim_start_matches(' ').len();
            if number > 0 && indent <= column && !line.trim().is_empty() {
                break;
            }
            length += line.len();
        }
        Span::new(end, end + length)
    }

    /// The addresses of an interface.
    pub(super) fn addresses(&self, node: &NodeName, interface: &InterfaceName) -> Addressing {
        self.addressing.get(&(node, interface)).cloned().unwrap_or_default()
    }

    /// All interfaces of a node with their addresses.
    pub(super) fn interfaces_of<'s>(
        &'s self,
        node: &'s NodeName,
    ) -> impl Iterator<Item = (&'a InterfaceName, &'s Addressing)> + 's {
        let names = self.index.node(node).into_iter().flat_map(|entry| entry.interfaces.keys());
        names.filter_map(move |name| Some((name, self.addressing.get(&(node, name))?)))
    }

    /// The node of this name, or an error.
    pub(super) fn node(&mut self, name: &NodeName, span: Span) -> Option<(NodeKind, &'a Node)> {
        let found = validated::node(self.topology, name);
        if found.is_none() {
            self.wrong_name(name, span, "an endpoint or router", |thing| {
                matches!(thing, Thing::Endpoint | Thing::Router)
            });
        }
        found
    }

    /// The network of this name, or an error.
    pub(super) fn network(&mut self, name: &NodeName, span: Span) -> Option<&'a Network> {
        let found = self.topology.networks.get(name.as_str());
        if found.is_none() {
            self.wrong_name(name, span, "a network", |thing| thing == Thing::Network);
        }
        found
    }

    /// Says that `peer` is nobody, if so.
    pub(super) fn peer(&mut self, peer: &PeerName, flow: Span) -> bool {
        let PeerName::Name(name) = peer else { return true };
        if self.index.thing(name).is_some() {
            return true;
        }
        let span = self.word(flow, name.as_str());
        self.wrong_name(name, span, "a node, group or network", |_| true);
        false
    }

    /// Says that a name is unknown, or stands for something else than `wanted`.
    pub(super) fn wrong_name(
        &mut self,
        name: &NodeName,
        span: Span,
        wanted: &str,
        fits: impl Fn(Thing) -> bool,
    ) {
        let span = self.word(span, name.as_str());
        if let Some((thing, defined)) = self.index.thing(name) {
            let is = thing.with_article();
            let mut finding = Diagnostic::error(
                codes::WRONG_THING,
                format!("`{name}` is {is}, but {wanted} is needed here"),
            )
            .at(span)
            .label(format!("this is {is}"))
            .help(format!("name {wanted}"))
            .related(defined, format!("`{name}` is defined here"));
            if thing == Thing::Group && validated::node(self.topology, name).is_none() {
                let members = validated::members(self.topology, name);
                finding =
                    finding.maybe_help(members.first().map(|first| format!("name one of it, like {first}")));
            }
            self.push(finding);
            return;
        }
        let fitting = self.index.things().filter(|(_, thing)| fits(*thing)).map(|(name, _)| name.as_str());
        if self.out.len() >= crate::diagnostic::Diagnostics::LIMIT {
            // Only counted from here on: no need to look for something similar.
            return self.push(Diagnostic::error(codes::UNKNOWN_NAME, ""));
        }
        let help = match suggest(name.as_str(), fitting) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None if matches!(name.as_str(), "host" | "any") => {
                format!("`{name}` is reserved, and can't stand here")
            }
            None => format!("define `{name}`, or correct the name"),
        };
        self.error(
            codes::UNKNOWN_NAME,
            span,
            format!(
                "there is no {} `{}`",
                wanted.trim_start_matches("an ").trim_start_matches("a "),
                printable(name.as_str())
            ),
            "not defined in this file",
            help,
        );
    }

    /// Says that a node has no interface of this name, if so. `host` may have any.
    pub(super) fn interface(&mut self, node: &NodeName, interface: &InterfaceName, span: Span) -> bool {
        if node.as_str() == HOST {
            return true;
        }
        let Some(entry) = self.index.node(node) else { return false };
        if entry.interfaces.contains_key(interface) {
            return true;
        }
        let names: Vec<&str> = entry.interfaces.keys().map(InterfaceName::as_str).collect();
        let help = match suggest(interface.as_str(), names.iter().copied()) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None if names.is_empty() => format!("`{node}` has no interface at all: give it one"),
            None => format!("`{node}` has {}", list(&names)),
        };
        let span = self.word(span, interface.as_str());
        self.error(
            codes::UNKNOWN_INTERFACE,
            span,
            format!("`{node}` has no interface `{interface}`"),
            "no such interface",
            help,
        );
        false
    }
}

/// The name that stands for the machine itself.
pub(super) const HOST: &str = "host";

/// The nearest of some names, if it is near enough to be meant.
pub(super) fn suggest<'n>(name: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    nearest(name, candidates.into_iter().filter(|candidate| *candidate != name))
}

/// Some names for a sentence; the rest is counted.
pub(super) fn list(names: &[&str]) -> String {
    const SHOWN: usize = 8;
    match names {
        [] => "none".to_owned(),
        [one] => (*one).to_owned(),
        many if many.len() > SHOWN => {
            format!("{} and {} more", many[..SHOWN].join(", "), many.len() - SHOWN)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
