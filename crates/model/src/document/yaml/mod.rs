//! YAML 1.2, the strict part that every reader understands the same way.
//!
//! What: the parser's events become a [`Node`]; all faults that leave the rest readable are collected, a fault
//! of syntax ends the reading. Refused: keys that repeat or are not text, merge keys, foreign tags, several
//! documents, tabs before content, and plain words that YAML 1.1 reads differently (see [`super::plain`]).
//!
//! Invariants: at most [`MAX_NODES`] nodes (aliases counted as often as they are used) and [`MAX_DEPTH`]
//! levels, so a small file can't become a large tree. Cost: one pass; keys of large mappings are hashed.

mod explain;
mod lexical;

use super::node::{Entry, Node, Value};
use super::{MAX_DEPTH, MAX_NODES, Spanned, codes, plain};
use crate::diagnostic::{Diagnostic, Diagnostics, printable};
use crate::source::{SourceFile, Span};
use lexical::Offsets;
pub(crate) use lexical::control_characters;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// Reads a YAML text; without a syntax error there is a tree even if there are other errors.
pub(super) fn read(source: &SourceFile, diagnostics: &mut Diagnostics) -> Option<Node> {
    let whole = source.text();
    let text = whole.strip_prefix('\u{feff}').unwrap_or(whole);
    let base = whole.len() - text.len();
    if text.contains('\0') {
        return None;
    }
    lexical::directives(whole, diagnostics);
    let mut builder = Builder {
        text: whole,
        offsets: Offsets::new(text, base),
        stack: Vec::new(),
        root: None,
        documents: 0,
        anchors: HashMap::new(),
        spent: 0,
        multiline: Vec::new(),
        fault: None,
        diagnostics,
    };
    let outcome = builder.run(text);
    let Builder { root, multiline, fault, .. } = builder;
    let last_tab = report_tabs(source, &multiline, outcome, diagnostics);
    if let (Some(fault), Outcome::Stopped { at }) = (fault, outcome) {
        let line = |offset: u32| source.locate(Span { start: offset, end: offset }).line;
        if last_tab.is_none_or(|tab| line(tab.start) != line(at)) {
            diagnostics.push(fault);
        }
    }
    if outcome == Outcome::Complete {
        Some(root.unwrap_or(Node { value: Value::Null, span: Span::default() }))
    } else {
        None
    }
}

/// How the reading ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Complete,
    /// A fault that was reported ended it.
    Stopped {
        at: u32,
    },
}

/// Reports tabs before content, except inside scalars of several lines, where they are content. Behind the
/// place where reading ended nobody knows what is content, so only tabs before it are told. Returns the last one.
fn report_tabs(
    source: &SourceFile,
    multiline: &[Span],
    outcome: Outcome,
    diagnostics: &mut Diagnostics,
) -> Option<Span> {
    let mut last = None;
    for span in lexical::leading_tabs(source.text()) {
        if let Outcome::Stopped { at } = outcome
            && span.start > at
        {
            break;
        }
        let after = multiline.partition_point(|scalar| scalar.start <= span.start);
        let inside =
            after.checked_sub(1).and_then(|i| multiline.get(i)).is_some_and(|s| s.contains(span.start));
        if !inside {
            last = Some(span);
            diagnostics.push_error_with(|| {
                Diagnostic::error(codes::TAB, "a tab before the content of a line")
                    .at(span)
                    .label("tab")
                    .help("indent with spaces")
            });
        }
    }
    last
}

/// A collection that is being read.
struct Frame {
    anchor: usize,
    span: Span,
    /// Set once the end is known from a bracket.
    kind: FrameKind,
}

enum FrameKind {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, index: HashMap<String, Span>, key: PendingKey },
}

/// The key whose value comes next.
enum PendingKey {
    /// A key comes next.
    None,
    /// Its value will be kept.
    Keep(Spanned<String>),
    /// The key was reported; its value is read and dropped.
    Drop,
}

struct Builder<'s, 'd> {
    text: &'s str,
    offsets: Offsets,
    stack: Vec<Frame>,
    root: Option<Node>,
    documents: usize,
    /// Content of the anchors that are complete.
    anchors: HashMap<usize, Node>,
    /// Nodes made so far, copies included; a long text counts for more than one.
    spent: usize,
    /// Scalars that may hold lines of their own, in file order.
    multiline: Vec<Span>,
    /// The fault of syntax that ended the reading.
    fault: Option<Diagnostic>,
    diagnostics: &'d mut Diagnostics,
}

impl<'s> Builder<'s, '_> {
    fn run(&mut self, text: &'s str) -> Outcome {
        for event in Parser::new_from_str(text) {
            let outcome = match event {
                Ok((event, span)) => self.event(event, self.offsets.span(&span)),
                Err(error) => self.syntax(&error),
            };
            if let Err(at) = outcome {
                return Outcome::Stopped { at };
            }
        }
        Outcome::Complete
    }

    /// Takes one event; an error is the place of a reported fault that ends the reading.
    fn event(&mut self, event: Event<'s>, span: Span) -> Result<(), u32> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.stop(
                        Diagnostic::error(codes::SEVERAL_DOCUMENTS, "several documents in one file")
                            .at(lexical::trimmed(self.text, span))
                            .help("keep one document; put the others into files of their own"),
                    );
                }
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(text, style, anchor, tag, span)?,
            Event::SequenceStart(anchor, tag) => {
                self.check_collection_tag(tag.as_deref(), "seq", span);
                self.open(anchor, span, FrameKind::Sequence(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.check_collection_tag(tag.as_deref(), "map", span);
                let kind =
                    FrameKind::Mapping { entries: Vec::new(), index: HashMap::new(), key: PendingKey::None };
                self.open(anchor, span, kind)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(anchor) => self.alias(anchor, span)?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn stop(&mut self, diagnostic: Diagnostic) -> Result<(), u32> {
        let at = diagnostic.span.unwrap_or_default().start;
        self.diagnostics.push(diagnostic);
        Err(at)
    }

    fn spend(&mut self, nodes: usize, span: Span) -> Result<(), u32> {
        self.spent = self.spent.saturating_add(nodes);
        if self.spent <= MAX_NODES {
            return Ok(());
        }
        self.stop(
            Diagnostic::error(codes::ALIAS, format!("the document grows beyond {MAX_NODES} values"))
                .at(span)
                .help("use fewer or smaller aliases"),
        )
    }

    fn open(&mut self, anchor: usize, span: Span, kind: FrameKind) -> Result<(), u32> {
        if self.stack.len() >= MAX_DEPTH {
            return self.stop(
                Diagnostic::error(codes::TOO_DEEP, format!("nested more than {MAX_DEPTH} levels deep"))
                    .at(span),
            );
        }
        self.stack.push(Frame { anchor, span, kind });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), u32> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let bracket = self.text.as_bytes().get(end.start as usize);
        let opened = self.text.as_bytes().get(frame.span.start as usize);
        let flow = matches!((opened, bracket), (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')));
        let last = match &frame.kind {
            FrameKind::Sequence(items) => items.last().map(|node| node.span),
            FrameKind::Mapping { entries, .. } => entries.last().map(|(key, node)| key.span.join(node.span)),
        };
        let end = match last {
            _ if flow => Span::new(end.start as usize, end.start as usize + 1),
            // An alias may bring content from further up; the collection still begins where it begins.
            Some(last) if last.end > frame.span.start => Span { start: frame.span.start, end: last.end },
            _ => lexical::trimmed(self.text, frame.span),
        };
        let span = Span { start: frame.span.start, end: end.end.max(frame.span.start) };
        let value = match frame.kind {
            FrameKind::Sequence(items) => Value::Sequence(items),
            FrameKind::Mapping { entries, .. } => Value::Mapping(entries),
        };
        self.complete(Node { value, span }, frame.anchor)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), u32> {
        if self.expects_key() {
            return self.bad_key(span, "an alias", "write the key itself");
        }
        if let Some(node) = self.anchors.get(&anchor) {
            // Counted before it is copied: the copy is what the limit guards against.
            let (nodes, depth) = (weight(node), depth(node));
            self.spend(nodes, span)?;
            if self.stack.len() + depth > MAX_DEPTH {
                return self.stop(
                    Diagnostic::error(codes::TOO_DEEP, format!("nested more than {MAX_DEPTH} levels deep"))
                        .at(span),
                );
            }
            let node = self.anchors.get(&anchor).cloned();
            let node = node.unwrap_or(Node { value: Value::Invalid, span });
            return self.complete(node, 0);
        }
        self.diagnostics.push(
            Diagnostic::error(codes::ALIAS, "the alias stands inside the value that it means")
                .at(span)
                .help("move the anchor, or write the value out"),
        );
        self.complete(Node { value: Value::Invalid, span }, 0)
    }

    /// Puts a finished node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), u32> {
        self.spend(1 + text_weight(&node.value), node.span)?;
        if anchor != 0 {
            self.spend(weight(&node), node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|frame| &mut frame.kind) {
            None => self.root = Some(node),
            Some(FrameKind::Sequence(items)) => items.push(node),
            Some(FrameKind::Mapping { entries, key, .. }) => match std::mem::replace(key, PendingKey::None) {
                PendingKey::Keep(name) => entries.push((name, node)),
                PendingKey::Drop => {}
                PendingKey::None => {
                    let what = node.value.describe();
                    return self.bad_key(node.span, &what, "write a text as the key");
                }
            },
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Frame { kind: FrameKind::Mapping { key: PendingKey::None, .. }, .. })
        )
    }

    fn bad_key(&mut self, span: Span, what: &str, help: &str) -> Result<(), u32> {
        self.diagnostics.push_error_with(|| {
            Diagnostic::error(codes::KEY_NOT_TEXT, format!("a key must be text, found {what}"))
                .at(span)
                .help(help)
        });
        self.set_key(PendingKey::Drop);
        Ok(())
    }

    fn set_key(&mut self, pending: PendingKey) {
        if let Some(Frame { kind: FrameKind::Mapping { key, .. }, .. }) = self.stack.last_mut() {
            *key = pending;
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'s, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<Cow<'s, Tag>>,
        span: Span,
    ) -> Result<(), u32> {
        let span = match style {
            ScalarStyle::Plain => lexical::trimmed(self.text, span),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => lexical::quoted_extent(self.text, span),
            ScalarStyle::Literal | ScalarStyle::Folded => lexical::trimmed(self.text, span),
        };
        if style != ScalarStyle::Plain {
            self.multiline.push(span);
        }
        if self.expects_key() {
            return self.key(text, style, tag.as_deref(), span);
        }
        let value = self.value(text, style, tag.as_deref(), span);
        // A value that is not there is shown at the key that lacks it.
        let span = match self.stack.last() {
            Some(Frame { kind: FrameKind::Mapping { key: PendingKey::Keep(name), .. }, .. })
                if span.is_empty() =>
            {
                name.span
            }
            _ => span,
        };
        self.complete(Node { value, span }, anchor)
    }

    fn key(
        &mut self,
        text: Cow<'s, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), u32> {
        if style == ScalarStyle::Plain && tag.is_none() {
            if text == "<<" {
                self.diagnostics.push_error_with(|| {
                    Diagnostic::error(codes::MERGE_KEY, "merge keys `<<` are not part of YAML 1.2")
                        .at(span)
                        .help("use `defaults`, or write the keys out")
                });
                self.set_key(PendingKey::Drop);
                return Ok(());
            }
            // Numbers and doubtful words are taken as they stand: a key is always text.
            if let Ok(value @ (Value::Null | Value::Bool(_))) = plain::resolve(&text) {
                let help = match &value {
                    Value::Bool(_) => "put the key in quotes if it is meant as text",
                    _ => "write a key before the colon",
                };
                return self.bad_key(span, &value.describe(), help);
            }
        } else if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == "str")
        {
            self.unknown_tag(tag, span);
        }
        let Some(Frame { kind: FrameKind::Mapping { entries, index, key }, .. }) = self.stack.last_mut()
        else {
            return Ok(());
        };
        let first = find_or_insert(entries, index, &text, span);
        match first {
            None => *key = PendingKey::Keep(Spanned::new(text.into_owned(), span)),
            Some(first) => {
                *key = PendingKey::Drop;
                self.diagnostics.push_error_with(|| super::duplicate_key(&text, span, first));
            }
        }
        Ok(())
    }

    fn value(&mut self, text: Cow<'s, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Value {
        let plain_style = style == ScalarStyle::Plain;
        let Some(tag) = tag else {
            if !plain_style {
                return Value::String(text.into_owned());
            }
            return match plain::resolve(&text) {
                Ok(value) => value,
                Err(diagnostic) => {
                    self.diagnostics.push(diagnostic.at(span));
                    Value::Invalid
                }
            };
        };
        let non_specific =
            tag.handle.is_empty() && tag.suffix == "!" || tag.handle == "!" && tag.suffix.is_empty();
        if non_specific || tag.is_yaml_core_schema() && tag.suffix == "str" {
            return Value::String(text.into_owned());
        }
        let fits = |value: &Value| {
            matches!(
                (tag.suffix.as_str(), value),
                ("null", Value::Null)
                    | ("bool", Value::Bool(_))
                    | ("int", Value::Integer(_))
                    | ("float", Value::Float(_))
            )
        };
        match plain::resolve(&text) {
            Ok(value) if tag.is_yaml_core_schema() && fits(&value) => value,
            Ok(Value::Integer(number)) if tag.is_yaml_core_schema() && tag.suffix == "float" => {
                // Whole numbers are floats when the tag says so; above 2^53 they lose digits, as everywhere.
                #[allow(clippy::cast_precision_loss)]
                Value::Float(number as f64)
            }
            _ => {
                self.unknown_tag(tag, span);
                Value::Invalid
            }
        }
    }

    fn check_collection_tag(&mut self, tag: Option<&Tag>, own: &str, span: Span) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && tag.suffix == own)
        {
            self.unknown_tag(tag, span);
        }
    }

    fn unknown_tag(&mut self, tag: &Tag, span: Span) {
        let shown = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
        self.diagnostics.push_error_with(|| {
            Diagnostic::error(codes::TAG, format!("the tag `{}` has no meaning here", printable(&shown)))
                .at(span)
                .help("remove the tag")
        });
    }

    /// Remembers a fault of syntax; it is told later, unless a tab explains it.
    fn syntax(&mut self, error: &ScanError) -> Result<(), u32> {
        let start = self.offsets.byte(error.marker().index());
        // At the end of the text there is nothing to point at, so the last thing that stands there is shown.
        let start = if start >= self.text.len() { self.text.trim_end().len() } else { start };
        let rest = self.text.get(start..).unwrap_or_default();
        let len = rest.chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        let (message, help) = explain::explain(error.info());
        let mut span = Span::new(start, start + len);
        if error.info().contains("simple key expect") {
            span = explain::key_without_colon(self.text, start).unwrap_or(span);
        }
        // The parser stops before or behind the tab.
        if message == explain::TAB {
            let near = |tab: &Span| (tab.start as usize).abs_diff(start);
            span = lexical::leading_tabs(self.text).into_iter().min_by_key(near).unwrap_or(span);
        }
        let mut diagnostic = Diagnostic::error(codes::SYNTAX, message).at(span).maybe_help(help);
        // The outermost mapping begins at the top of the file, which says nothing.
        if let [_, .., frame] = self.stack.as_slice() {
            let what = match frame.kind {
                FrameKind::Sequence(_) => "this list was being read",
                FrameKind::Mapping { .. } => "this mapping was being read",
            };
            diagnostic = diagnostic.related(first_line(self.text, frame.span), what);
        }
        let at = Span::new(start, start).start;
        self.fault = Some(diagnostic);
        Err(at)
    }
}

/// The part of a span on its first line.
fn first_line(text: &str, span: Span) -> Span {
    let rest = text.get(span.start as usize..).unwrap_or_default();
    let end = rest.find('\n').unwrap_or(rest.len());
    lexical::trimmed(text, Span::new(span.start as usize, span.start as usize + end))
}

/// Looks a key up and enters it; returns where it stood before. Small mappings are searched, larger ones hashed.
fn find_or_insert(
    entries: &[Entry],
    index: &mut HashMap<String, Span>,
    name: &str,
    span: Span,
) -> Option<Span> {
    const SMALL: usize = 16;
    if entries.len() < SMALL {
        return entries.iter().find(|(key, _)| key.value == name).map(|(key, _)| key.span);
    }
    if index.is_empty() {
        index.extend(entries.iter().map(|(key, _)| (key.value.clone(), key.span)));
    }
    match index.get(name) {
        Some(first) => Some(*first),
        None => {
            index.insert(name.to_owned(), span);
            None
        }
    }
}

/// What a text costs beyond its node.
fn text_weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() / 256,
        Value::Mapping(entries) => entries.iter().map(|(key, _)| key.len() / 256).sum(),
        _ => 0,
    }
}

/// What a copy of the tree costs.
fn weight(node: &Node) -> usize {
    let below: usize = match &node.value {
        Value::Sequence(items) => items.iter().map(weight).sum(),
        Value::Mapping(entries) => entries.iter().map(|(_, node)| weight(node)).sum(),
        _ => 0,
    };
    1 + text_weight(&node.value) + below
}

/// Levels of collections in the tree.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Mapping(entries) => 1 + entries.iter().map(|(_, node)| depth(node)).max().unwrap_or(0),
        _ => 0,
    }
}
