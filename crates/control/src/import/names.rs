//! Names that the language allows, out of names that anybody may have chosen.

use netloom_wire::InterfaceName;
use std::collections::BTreeSet;

/// Longest name that is made; a number must fit behind it.
const LONGEST: usize = 40;
/// Longest name of an interface, with room for a number.
const LONGEST_INTERFACE: usize = 15;

/// Names that were given.
#[derive(Debug, Default)]
pub(super) struct Given(BTreeSet<String>);

impl Given {
    /// The nearest name of a node or network that nobody has yet.
    pub(super) fn node(&mut self, wanted: &str) -> String {
        let legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        let mut name: String =
            wanted.chars().map(|letter| if legal(letter) { letter } else { '-' }).take(LONGEST).collect();
        if !name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
            name.insert(0, 'n');
        }
        self.free(&name, LONGEST + 8)
    }

    /// The nearest name of an interface that nobody has yet.
    pub(super) fn interface(&mut self, wanted: &str) -> String {
        let legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        let mut name: String = wanted
            .chars()
            .map(|letter| if legal(letter) { letter } else { '-' })
            .take(LONGEST_INTERFACE)
            .collect();
        // Dots alone are no name, and numbers alone would not be text.
        if name.parse::<InterfaceName>().is_err()
            || !name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        {
            name = format!("p{name}").chars().take(LONGEST_INTERFACE).collect();
        }
        self.free(&name, LONGEST_INTERFACE)
    }

    /// Whether a word that is no name is given for the first time.
    pub(super) fn first(&mut self, word: &str) -> bool {
        self.0.insert(word.to_owned())
    }

    fn free(&mut self, name: &str, longest: usize) -> String {
        // `lo` is in every namespace, and the words mean something else where nodes are named.
        let reserved = |name: &str| matches!(name, "host" | "any" | "none" | "auto" | "lo" | "all");
        let mut free = name.to_owned();
        let mut number = 2;
        while reserved(&free) || self.0.contains(&free) {
            let end = format!("-{number}");
            free = name.chars().take(longest.saturating_sub(end.len())).chain(end.chars()).collect();
            number += 1;
        }
        self.0.insert(free.clone());
        free
    }
}

/// Text that is safe in a comment: one line of printable letters.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if letter.is_ascii_graphic() || letter == ' ' {
            out.push(letter);
        } else {
            out.extend(letter.escape_default());
        }
    }
    out
}

/// Text between double quotes that means nothing but itself: variables are written with `$`.
pub(super) fn quoted(text: &str) -> String {
    let safe = |letter: char| letter.is_ascii_alphanumeric() || " -_.:/@+,=()".contains(letter);
    let text: String = text.chars().map(|letter| if safe(letter) { letter } else { '_' }).collect();
    format!("\"{text}\"")
}

/// A word of a shell command.
pub(super) fn shell(text: &str) -> String {
    let safe = |letter: char| letter.is_ascii_alphanumeric() || "-_.:/@+,=%".contains(letter);
    if !text.is_empty() && text.chars().all(safe) {
        return text.to_owned();
    }
    format!("'{}'", plain(text).replace('\'', "'\\''"))
}
