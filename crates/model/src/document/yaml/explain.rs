//! The parser's faults in plain English, with the usual cause; and where a person would look for them.

use crate::source::Span;

/// A part of the parser's words, ours, and the way out (which may be empty).
const FAULTS: &[(&str, &str, &str)] = &[
    (
        "mapping values are not allowed",
        "a `:` where no value may begin",
        "put text that holds `: ` in quotes, and check the indentation",
    ),
    ("simple key expect", "a key without `:`", "write `key: value`, and check the indentation"),
    (
        "expected '-' indicator",
        "this line does not belong to the list above",
        "indent it like the items of the list, or begin it with `- `",
    ),
    (
        "did not find expected key",
        "this line does not belong to the mapping above",
        "indent it like the keys beside it",
    ),
    (
        "expected ',' or ']'",
        "`,` or `]` is expected here",
        "separate items by commas and close the list by `]`",
    ),
    (
        "expected ',' or '}'",
        "`,` or `}` is expected here",
        "separate entries by commas and close the mapping by `}`",
    ),
    ("did not find expected node content", "a value is missing here", ""),
    (
        "unknown anchor",
        "the alias has no anchor before it",
        "put `&name` before the value that `*name` means; put text that begins with `*` in quotes",
    ),
    ("duplicated anchor", "an anchor of this name was set before", "give it another name"),
    (
        "invalid indentation in quoted scalar",
        "the text in quotes does not end, or goes on in a line that is not indented",
        "close the quotes, or indent all lines of the text",
    ),
    ("unexpected end of stream", "the text in quotes does not end", "close the quotes"),
    (
        "unexpected document indicator",
        "the text in quotes does not end before `---` or `...`",
        "close the quotes",
    ),
    (
        "unknown escape character",
        "an unknown escape in double quotes",
        "write \\\\ for a backslash, or use single quotes, in which nothing is escaped",
    ),
    (
        "expected hexadecimal number",
        "an escape without its hexadecimal digits",
        "write \\xHH or \\uHHHH, or use single quotes, in which nothing is escaped",
    ),
    ("invalid Unicode character escape", "an escape that is no character", "write the character itself"),
    (
        "trailing content after double-quoted",
        "text after the closing quote",
        "put all of it inside the quotes",
    ),
    (
        "block sequence entries are not allowed",
        "a `-` where no list may begin",
        "begin the list on a line of its own",
    ),
    (
        "mapping keys are not allowed",
        "a `?` where no key may begin",
        "put text that begins with `? ` in quotes",
    ),
    ("unexpected character", "text may not begin with this character", "put the text in quotes"),
    ("misplaced bracket", "a closing bracket without an opening one", "remove it, or put the text in quotes"),
    (
        "wrongly indented line in block scalar",
        "a line of the text block is indented less than its first",
        "indent all lines of the block alike",
    ),
    ("indentation", "wrong indentation", "indent with the same number of spaces as the lines beside it"),
    ("document end marker", "text behind the end of the document", "remove it, or remove the `...`"),
    ("<document start>", "text behind the end of the document", "check the indentation"),
    ("byte order mark", "a byte order mark inside the file", "remove it"),
    (
        "handle wasn't declared",
        "a tag that was not declared",
        "remove the tag; put text that begins with `!` in quotes",
    ),
    ("recursion limit", "nested too deep", "use fewer levels"),
];

/// The fault of a tab in the indentation.
pub(super) const TAB: &str = "a tab where only spaces may stand";

/// The fault in our words, and the way out.
pub(super) fn explain(info: &str) -> (String, Option<&'static str>) {
    if info.contains("tab") && !info.contains("table") {
        return (TAB.to_owned(), Some("indent with spaces"));
    }
    match FAULTS.iter().find(|(part, ..)| info.contains(part)) {
        Some((_, message, help)) => ((*message).to_owned(), (!help.is_empty()).then_some(*help)),
        None => (info.to_owned(), None),
    }
}

/// The parser finds a key without `:` only where the next line begins; people look for it where it stands.
pub(super) fn key_without_colon(text: &str, at: usize) -> Option<Span> {
    let before = text.get(..at)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    if !before.get(line_start..)?.trim().is_empty() {
        return None;
    }
    let previous = before.get(..line_start)?.trim_end();
    let start = previous.rfind('\n').map_or(0, |at| at + 1);
    let line = previous.get(start..)?;
    let indent = line.len() - line.trim_start().len();
    let suspicious = !line.contains(':') && !line.trim_start().starts_with(['-', '#', '[', '{', '"', '\'']);
    (suspicious && !line.trim().is_empty()).then(|| Span::new(start + indent, start + line.len()))
}
