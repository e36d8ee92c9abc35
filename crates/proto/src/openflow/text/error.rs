//! What is wrong with a text, and where.
//!
//! Every error names its place (line, column and the word that stands there), its class, what was expected, and, where
//! a known word is spelled almost like it, that word. Beside that it carries the wording that `ovs-ofctl` has for the
//! same mistake ([`TextError::ovs`]), which scripts and Open vSwitch's own tests compare.
//!
//! Inside the parsers an error knows only its byte; the line and the column are counted once, by [`TextError::locate`],
//! when it leaves the language.

use super::piece::Piece;
use std::fmt;

/// The class of a mistake, for programs that act upon it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A word that the language does not know at this place.
    UnknownWord,
    /// Something that has to be there is not.
    Missing,
    /// A number, an address, flags or another value that cannot be read.
    BadValue,
    /// A value that can be read, and is too large, too small or not among the legal ones.
    OutOfRange,
    /// The form is wrong: brackets, an arrow, what follows a value.
    BadForm,
    /// A word that is known, and not allowed here or together with what else was said.
    NotAllowed,
    /// Actions that do not fit the flow's match.
    Inconsistent,
    /// Brackets nested deeper than [`super::MAX_DEPTH`].
    TooDeep,
    /// More than a message could carry.
    TooLong,
}

/// An error with its place. Its `Display` is one line for people; [`TextError::ovs`] is Open vSwitch's wording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// The byte of the text at which the word stands.
    pub at: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The word that is wrong, empty where something is missing.
    pub word: String,
    /// The class of the mistake.
    pub problem: Problem,
    /// What was expected, as words that follow «expected»; empty where nothing helps.
    pub expected: &'static str,
    /// A known word that is spelled almost like it.
    pub near: Option<String>,
    wording: String,
}

/// What the parsers return.
pub type Parsed<T> = Result<T, TextError>;

impl TextError {
    /// An error at `piece`, with Open vSwitch's wording.
    pub(super) fn new(piece: Piece<'_>, problem: Problem, wording: impl Into<String>) -> Self {
        TextError {
            at: piece.at(),
            line: 1,
            column: 1,
            word: shortened(piece.text()),
            problem,
            expected: "",
            near: None,
            wording: wording.into(),
        }
    }

    /// The same error, with what was expected.
    pub(super) fn expecting(mut self, expected: &'static str) -> Self {
        self.expected = expected;
        self
    }

    /// The same error, with the word among `known` that is spelled most alike, if any is close enough to be meant.
    pub(super) fn meaning<'k>(mut self, known: impl IntoIterator<Item = &'k str>) -> Self {
        self.near = nearest(&self.word, known);
        self
    }

    /// The same error in another wording of Open vSwitch, where an action words it anew.
    pub(super) fn saying(mut self, wording: impl Into<String>) -> Self {
        self.wording = wording.into();
        self
    }

    /// The same error with line and column counted in `text`, the whole of what was read.
    pub(super) fn locate(mut self, text: &str) -> Self {
        let before = text.get(..self.at).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        self.column = 1 + before[start..].chars().count();
        self
    }

    /// The wording of `ovs-ofctl` for this mistake, without the name of the program before it.
    pub fn ovs(&self) -> &str {
        &self.wording
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.wording)?;
        if !self.expected.is_empty() {
            write!(f, "; expected {}", self.expected)?;
        }
        if let Some(near) = &self.near {
            write!(f, "; did you mean `{near}`?")?;
        }
        Ok(())
    }
}

impl std::error::Error for TextError {}

/// A word for an error: the whole of it, or its beginning if it is long.
fn shortened(word: &str) -> String {
    const LONGEST: usize = 80;
    if word.chars().count() <= LONGEST {
        word.to_string()
    } else {
        word.chars().take(LONGEST).chain(['…']).collect()
    }
}

/// The known word nearest to `word`, if one is near enough: at most a third of its letters differ.
fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    let limit = (lower.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_line_its_column_and_the_word_that_was_meant() {
        let text = "ip,actions=drop\n  nw_dts=1.2.3.4,actions=drop";
        let piece = Piece::whole(text).range(18, 24);
        let error = TextError::new(piece, Problem::UnknownWord, "unknown keyword nw_dts")
            .meaning(["nw_dst", "nw_src", "table"])
            .locate(text);
        assert_eq!((error.line, error.column, error.word.as_str()), (2, 3, "nw_dts"));
        assert_eq!(error.near.as_deref(), Some("nw_dst"));
        assert_eq!(error.to_string(), "line 2, column 3: unknown keyword nw_dts; did you mean `nw_dst`?");
    }

    #[test]
    fn a_word_that_is_like_nothing_is_met_with_no_guess() {
        assert_eq!(nearest("frobnicate", ["nw_dst", "table"]), None);
    }
}
