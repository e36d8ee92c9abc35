//! Findings as text: the message, the place, the source line with carets, the way out.
//!
//! Invariants: every line that is printed is bounded in width, tabs become four spaces, wide characters
//! take two columns, and control characters are shown as pictures, so a file can't drive the terminal.

use super::{Diagnostic, Diagnostics, Severity};
use crate::source::{SourceFile, Span};
use std::fmt::Write as _;

/// Widest piece of a source line that is shown, in columns.
const WIDEST: usize = 160;
/// Columns kept before the place when a long line is cut.
const BEFORE: usize = 60;

/// Escape sequences, or nothing.
struct Paint {
    color: bool,
}

impl Paint {
    fn wrap(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    fn severity(&self, severity: Severity, text: &str) -> String {
        self.wrap(if severity == Severity::Error { "1;31" } else { "1;33" }, text)
    }
    fn bold(&self, text: &str) -> String {
        self.wrap("1", text)
    }
    fn frame(&self, text: &str) -> String {
        self.wrap("1;34", text)
    }
    fn help(&self, text: &str) -> String {
        self.wrap("1;36", text)
    }
}

impl Diagnostic {
    /// The finding as text over several lines, ending in a line break.
    #[must_use]
    pub fn render(&self, source: &SourceFile, color: bool) -> String {
        let paint = Paint { color };
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let mut out = String::new();
        let head = paint.severity(self.severity, &format!("{word}[{}]", self.code));
        let _ = writeln!(out, "{head}: {}", paint.bold(&safe_line(&self.message)));
        let places = self.span.iter().chain(self.related.iter().map(|(span, _)| span));
        let widest_line = places.map(|span| source.locate(*span).line).max().unwrap_or(1);
        let gutter = widest_line.to_string().len();
        match self.span {
            Some(span) => {
                let label = self.label.as_deref().unwrap_or_default();
                snippet(&mut out, source, span, label, gutter, &paint, |t| paint.severity(self.severity, t));
            }
            None => {
                let _ = writeln!(out, "{:gutter$}{} {}", "", paint.frame("-->"), safe_line(source.name()));
                if let Some(label) = &self.label {
                    let _ = writeln!(out, "{:gutter$} {} {}", "", paint.frame("="), safe_line(label));
                }
            }
        }
        for (span, note) in &self.related {
            let _ = writeln!(out, "{}: {}", paint.help("note"), safe_line(note));
            snippet(&mut out, source, *span, "", gutter, &paint, |t| paint.help(t));
        }
        if let Some(help) = &self.help {
            let _ = writeln!(out, "{}: {}", paint.help("help"), safe_line(help));
        }
        out
    }
}

impl Diagnostics {
    /// All findings as text, ordered by place, with a count at the end.
    #[must_use]
    pub fn render(&self, source: &SourceFile, color: bool) -> String {
        let mut sorted = self.clone();
        sorted.sort();
        let mut out = String::new();
        for diagnostic in &sorted {
            out.push_str(&diagnostic.render(source, color));
            out.push('\n');
        }
        if self.omitted > 0 {
            let _ = writeln!(out, "... and {} more", self.omitted);
        }
        out
    }
}

/// The place, its source line and the carets.
fn snippet(
    out: &mut String,
    source: &SourceFile,
    span: Span,
    label: &str,
    gutter: usize,
    paint: &Paint,
    mark: impl Fn(&str) -> String,
) {
    let place = source.locate(span);
    let _ = writeln!(
        out,
        "{:gutter$}{} {}:{}:{}",
        "",
        paint.frame("-->"),
        safe_line(&place.file),
        place.line,
        place.column
    );
    let line = source.line_span(place.line).unwrap_or_default();
    let text = source.slice(line);
    let start = (source.clamp(span.start).saturating_sub(line.start) as usize).min(text.len());
    let end = (source.clamp(span.end).saturating_sub(line.start) as usize).clamp(start, text.len());
    let view = View::of(text, start, end);
    let bar = paint.frame("|");
    let _ = writeln!(out, "{:gutter$} {bar}", "");
    let number = paint.frame(&format!("{:>gutter$}", place.line));
    let _ = writeln!(out, "{number} {bar} {}", view.text.trim_end());
    let carets = mark(&"^".repeat(view.width.max(1)));
    let padding = " ".repeat(view.indent);
    if label.is_empty() {
        let _ = writeln!(out, "{:gutter$} {bar} {padding}{carets}", "");
    } else {
        let _ = writeln!(out, "{:gutter$} {bar} {padding}{carets} {}", "", mark(&safe_line(label)));
    }
}

/// A source line made printable, cut to the part around the place.
struct View {
    text: String,
    indent: usize,
    width: usize,
}

impl View {
    fn of(text: &str, start: usize, end: usize) -> Self {
        let (head, rest) = text.split_at_checked(start).unwrap_or((text, ""));
        let (body, tail) = rest.split_at_checked(end.saturating_sub(start)).unwrap_or((rest, ""));
        let mut view = Self { text: String::new(), indent: 0, width: 0 };
        // Walk back from the place, so that a line of a megabyte costs no more than what is shown of it.
        let fits = text.chars().take(WIDEST + 1).map(width).sum::<usize>() <= WIDEST;
        let before = if fits { WIDEST } else { BEFORE };
        let mut kept = 0;
        let mut from = head.len();
        for (at, character) in head.char_indices().rev() {
            kept += width(character);
            if kept > before {
                view.text.push('…');
                view.indent = 1;
                break;
            }
            from = at;
        }
        view.indent += push_columns(&mut view.text, head.get(from..).unwrap_or_default(), WIDEST);
        let room = WIDEST - view.indent.min(WIDEST);
        view.width = push_columns(&mut view.text, body, room);
        push_columns(&mut view.text, tail, room - view.width.min(room));
        view
    }
}

/// Appends the text in printable form up to a width; returns the columns used.
fn push_columns(out: &mut String, text: &str, room: usize) -> usize {
    let mut used = 0;
    for character in text.chars() {
        let width = width(character);
        if used + width > room {
            if !out.ends_with('…') {
                out.push('…');
            }
            return used + 1;
        }
        if character == '\t' {
            out.push_str("    ");
        } else {
            out.push(stand_in(character));
        }
        used += width;
    }
    used
}

/// One line of message: no line breaks, no control characters.
fn safe_line(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { stand_in(c) }).collect()
}

/// Whether a terminal would obey the character, or a reader be misled by it: control characters, and the
/// marks that change the direction of writing (Unicode TR 36, "Trojan source").
pub(super) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// What is printed for a character: itself, or a picture of it.
pub(super) fn stand_in(character: char) -> char {
    match character {
        '\0'..='\x1f' => char::from_u32(0x2400 + character as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '␡',
        _ if is_unsafe(character) => char::REPLACEMENT_CHARACTER,
        _ => character,
    }
}

/// Columns a character takes on a terminal. Ranges after Unicode's East Asian Width (W and F) and emoji
/// blocks; combining marks of the common blocks take none.
fn width(character: char) -> usize {
    match character as u32 {
        0x09 => 4,
        0x0300..=0x036f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x200b..=0x200d => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0x33ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff => 2,
        0xa000..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 => 2,
        0xffe0..=0xffe6 | 0x1f300..=0x1f64f | 0x1f680..=0x1f6ff | 0x1f900..=0x1f9ff => 2,
        0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_finding_reads_like_a_compilers() {
        let source = SourceFile::new("net.yaml", "version: 1\nnetwroks:\n  lan: {}\n");
        let text = Diagnostic::error("E0301", "unknown key `netwroks`")
            .at(Span::new(11, 19))
            .label("not known here")
            .help("did you mean `networks`?")
            .related(Span::new(0, 7), "first key")
            .render(&source, false);
        let expected = "\
error[E0301]: unknown key `netwroks`
 --> net.yaml:2:1
  |
2 | netwroks:
  | ^^^^^^^^ not known here
note: first key
 --> net.yaml:1:1
  |
1 | version: 1
  | ^^^^^^^
help: did you mean `networks`?
";
        assert_eq!(text, expected);
    }

    #[test]
    fn tabs_and_wide_characters_keep_the_carets_in_place() {
        let source = SourceFile::new("f", "\t日本: x");
        let text = Diagnostic::error("E", "m").at(Span::new(9, 10)).render(&source, false);
        assert!(text.contains("1 |     日本: x\n  |           ^\n"), "{text}");
    }

    #[test]
    fn a_file_can_not_drive_the_terminal() {
        let source = SourceFile::new("f\x1b[2J", "a: \x1b[31mred\u{202e}\x07");
        let text = Diagnostic::error("E", "bad \x1b]0;x\x07").at(Span::new(0, 1)).render(&source, false);
        assert!(!text.chars().any(|c| c != '\n' && is_unsafe(c)), "{text:?}");
        assert!(!crate::diagnostic::printable("\x1b[1m").contains('\x1b'));
    }

    proptest! {
        #[test]
        fn anything_renders_in_bounded_width(text in "(?s).{0,400}", start in 0u32..2000, len in 0u32..2000) {
            let source = SourceFile::new("f", text);
            let shown = Diagnostic::error("E", "m")
                .at(Span { start, end: start + len })
                .render(&source, false);
            for line in shown.lines() {
                prop_assert!(line.chars().map(width).sum::<usize>() <= WIDEST + 20, "{line}");
            }
        }
    }
}
