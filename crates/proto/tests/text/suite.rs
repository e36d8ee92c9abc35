//! Open vSwitch's own test files, read from Debian's `openvswitch-source` where that is installed: macros of autotest
//! with their quoted arguments, and the words of a line of shell.

use std::process::Command;

/// The archive of the package.
const ARCHIVE: &str = "/usr/src/openvswitch/openvswitch.tar.gz";

/// The text of a file of `tests/`, or the reason why there is none, printed.
pub(crate) fn file(name: &str) -> Option<String> {
    if !std::path::Path::new(ARCHIVE).exists() {
        eprintln!("skipped: {ARCHIVE} is missing (install openvswitch-source)");
        return None;
    }
    let path = format!("openvswitch/tests/{name}");
    match Command::new("tar").args(["-xzOf", ARCHIVE, &path]).output() {
        Ok(output) if output.status.success() => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        other => {
            eprintln!("skipped: {path} could not be unpacked: {other:?}");
            None
        }
    }
}

/// One test: what stands between `AT_SETUP` and `AT_CLEANUP`.
pub(crate) struct Case<'t> {
    pub(crate) name: String,
    pub(crate) body: &'t str,
}

/// All tests of a file.
pub(crate) fn cases(text: &str) -> Vec<Case<'_>> {
    text.split("AT_SETUP(")
        .skip(1)
        .map(|part| {
            let (arguments, length) = arguments(part);
            let end = part.find("\nAT_CLEANUP").unwrap_or(part.len());
            Case { name: arguments.into_iter().next().unwrap_or_default(), body: &part[length.min(end)..end] }
        })
        .collect()
}

/// The uses of a macro in a test, each as its arguments without their quotes.
pub(crate) fn macros(body: &str, name: &str) -> Vec<Vec<String>> {
    let opening = format!("{name}(");
    body.match_indices(&opening)
        .filter(|(at, _)| *at == 0 || !body[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
        .map(|(at, _)| arguments(&body[at + opening.len()..]).0)
        .collect()
}

/// The arguments of a macro behind its opening bracket, and their length up to the closing one. Quotes are square
/// brackets; one level of them is taken off each argument, and another of what they quote inside.
fn arguments(text: &str) -> (Vec<String>, usize) {
    let mut all = Vec::new();
    let mut current = String::new();
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '[' if depth == 0 => depth = 1,
            '[' => {
                depth += 1;
                current.push(c);
            }
            ']' if depth == 1 => depth = 0,
            ']' if depth > 1 => {
                depth -= 1;
                current.push(c);
            }
            ',' if depth == 0 => all.push(std::mem::take(&mut current)),
            ')' if depth == 0 => {
                all.push(current);
                return (
                    all.into_iter()
                        .map(|argument| argument.trim_start_matches("dnl\n").to_string())
                        .collect(),
                    at,
                );
            }
            c if depth == 0 && c.is_whitespace() => {}
            c => current.push(c),
        }
    }
    (all, text.len())
}

/// Text whose brackets are quotes once more: `[[` is `[`, and `[` alone is nothing, unless it has `[]` of a field in it.
pub(crate) fn unquoted(text: &str) -> String {
    text.replace("[[", "\u{1}").replace("]]", "\u{2}").replace('\u{1}', "[").replace('\u{2}', "]")
}

/// The first `count` words of shell at the front of `text`: quotes of both kinds, backslashes, lines that go on.
pub(crate) fn shell_words(text: &str, count: usize) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                word.extend(letters.by_ref().take_while(|c| *c != '\''));
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(c) = letters.next() {
                    match c {
                        '"' => break,
                        '\\' if letters.peek().is_some_and(|c| "\"\\`$".contains(*c)) => {
                            word.extend(letters.next())
                        }
                        c => word.push(c),
                    }
                }
            }
            '\\' => match letters.next() {
                Some('\n') | None => {}
                Some(c) => word.get_or_insert_default().push(c),
            },
            c if c.is_whitespace() => {
                words.extend(word.take());
                if words.len() == count || c == '\n' {
                    return words;
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
