//! Places in the user's file, and what is told about them.

use crate::compiled::{CompileError, Note, Problem, ProblemKind, Severity};
use crate::object::Origin;
use netloom_model::source::Span;

/// Turns spans into places, and collects notes and problems.
pub(crate) struct Report<'a> {
    locate: &'a dyn Fn(Span) -> Origin,
    notes: Vec<Note>,
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(crate) const fn new(locate: &'a dyn Fn(Span) -> Origin) -> Self {
        Self { locate, notes: Vec::new(), problems: Vec::new() }
    }

    /// The place of a span.
    pub(crate) fn origin(&self, span: Span) -> Origin {
        (self.locate)(span)
    }

    pub(crate) fn note(&mut self, severity: Severity, span: Span, text: impl Into<String>) {
        self.notes.push(Note { severity, origin: self.origin(span), text: text.into() });
    }

    pub(crate) fn information(&mut self, span: Span, text: impl Into<String>) {
        self.note(Severity::Information, span, text);
    }

    pub(crate) fn warning(&mut self, span: Span, text: impl Into<String>) {
        self.note(Severity::Warning, span, text);
    }

    pub(crate) fn problem(&mut self, span: Span, kind: ProblemKind) {
        self.problems.push(Problem { origin: self.origin(span), kind });
    }

    /// The notes, or every problem if there was one.
    pub(crate) fn finish(mut self) -> Result<Vec<Note>, CompileError> {
        if self.problems.is_empty() {
            let key = |note: &Note| (note.origin.line, note.origin.column);
            self.notes.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.text.cmp(&b.text)));
            self.notes.dedup();
            Ok(self.notes)
        } else {
            self.problems.sort_by_key(|problem| (problem.origin.line, problem.origin.column));
            self.problems.dedup();
            Err(CompileError { problems: self.problems })
        }
    }
}

/// The first span that says something.
pub(crate) fn first_span(spans: &[Span]) -> Span {
    spans.iter().copied().find(|span| span.start < span.end).unwrap_or_default()
}
