//! Pieces of the text that know where they stand, and how the language cuts them.
//!
//! The language has one form at every level: words, each alone, or with a value behind `=` or `:`, or with arguments in
//! brackets; between them commas and blanks in any number. Brackets inside a value hide its commas. [`Piece::next_word`]
//! cuts the next such word off; it never fails, since every text is some sequence of words, and costs one pass.

/// A part of the text that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'t> {
    text: &'t str,
    at: usize,
}

/// A word with its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'t> {
    /// The word itself.
    pub key: Piece<'t>,
    /// What stands behind `=` or `:` or in the brackets, empty if nothing does. For `name(arguments)->target` it
    /// reaches over the arrow: `arguments)->target`.
    pub value: Piece<'t>,
}

/// A test for marks, which are all ASCII, so that a text can be looked at byte by byte.
#[inline(always)]
fn among(marks: &str) -> impl Fn(u8) -> bool + Copy + use<> {
    let bits = marks.bytes().fold(0_u128, |bits, mark| bits | 1 << (mark & 0x7f));
    move |byte| byte < 0x80 && bits >> byte & 1 != 0
}

const BLANKS: &str = " \t\r\n";
const BETWEEN: &str = ", \t\r\n";

impl<'t> Piece<'t> {
    /// The whole of a text.
    pub(super) fn whole(text: &'t str) -> Self {
        Piece { text, at: 0 }
    }

    /// A text that stands at byte `at` of a larger one.
    pub(super) fn placed(text: &'t str, at: usize) -> Self {
        Piece { text, at }
    }

    /// The text of the piece.
    pub(super) fn text(self) -> &'t str {
        self.text
    }

    /// The byte of the whole text at which the piece begins.
    pub(super) fn at(self) -> usize {
        self.at
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(self) -> bool {
        self.text.is_empty()
    }

    /// The part from byte `from` to byte `to`, cut to what is there.
    pub(super) fn range(self, from: usize, to: usize) -> Piece<'t> {
        let to = to.min(self.text.len());
        let from = from.min(to);
        Piece { text: self.text.get(from..to).unwrap_or(""), at: self.at + from }
    }

    /// The part from byte `from` on.
    pub(super) fn from(self, from: usize) -> Piece<'t> {
        self.range(from, self.text.len())
    }

    /// The parts before and behind the first `mark`.
    pub(super) fn split_once(self, mark: &str) -> Option<(Piece<'t>, Piece<'t>)> {
        let found = self.text.find(mark)?;
        Some((self.range(0, found), self.from(found + mark.len())))
    }

    /// The piece without `mark` at its beginning.
    pub(super) fn strip_prefix(self, mark: &str) -> Option<Piece<'t>> {
        self.text.starts_with(mark).then(|| self.from(mark.len()))
    }

    /// The piece without blanks around it.
    pub(super) fn trim(self) -> Piece<'t> {
        let start = self.text.len() - self.text.trim_start_matches(|c| BLANKS.contains(c)).len();
        let end = self.text.trim_end_matches(|c| BLANKS.contains(c)).len();
        self.range(start, end)
    }

    /// The number of leading bytes before the first of `marks`.
    #[inline]
    pub(super) fn span_until(self, marks: &str) -> usize {
        let is_mark = among(marks);
        self.text.bytes().position(is_mark).unwrap_or(self.text.len())
    }

    /// The number of leading bytes that are all among `marks`.
    #[inline]
    pub(super) fn span_of(self, marks: &str) -> usize {
        let is_mark = among(marks);
        self.text.bytes().position(|byte| !is_mark(byte)).unwrap_or(self.text.len())
    }

    /// Cuts the next word off the front, or says that only commas and blanks are left.
    pub(super) fn next_word(&mut self) -> Option<Word<'t>> {
        let rest = self.from(self.span_of(BETWEEN));
        if rest.is_empty() {
            *self = rest;
            return None;
        }
        let key_length = rest.span_until(":=(, \t\r\n");
        let key = rest.range(0, key_length);
        let delimiter = rest.text.as_bytes().get(key_length).copied();
        let rest = rest.from(key_length + usize::from(delimiter.is_some()));
        let length = match delimiter {
            Some(b':' | b'=') => rest.value_length(BETWEEN),
            Some(b'(') => {
                let inside = rest.value_length(")");
                match rest.from(inside).strip_prefix(")->") {
                    Some(_) => inside + rest.from(inside).value_length(BETWEEN),
                    None => inside,
                }
            }
            _ => {
                *self = rest;
                return Some(Word { key, value: rest.range(0, 0) });
            }
        };
        let value = rest.range(0, length);
        // The mark that ends the value goes with it.
        let skip = rest.text[length..].chars().next().map_or(0, char::len_utf8);
        *self = rest.from(length + skip);
        Some(Word { key, value })
    }

    /// The next token between any of `marks`, as the positional arguments of `bundle` and `multipath` are cut.
    pub(super) fn next_token(&mut self, marks: &str) -> Option<Piece<'t>> {
        let rest = self.from(self.span_of(marks));
        if rest.is_empty() {
            *self = rest;
            return None;
        }
        let length = rest.span_until(marks);
        let token = rest.range(0, length);
        let skip = rest.text[length..].chars().next().map_or(0, char::len_utf8);
        *self = rest.from(length + skip);
        Some(token)
    }

    /// The length of a value that ends at the first of `marks` that no bracket hides.
    #[inline]
    fn value_length(self, marks: &str) -> usize {
        let is_mark = among(marks);
        let mut depth = 0usize;
        for (at, byte) in self.text.bytes().enumerate() {
            match byte {
                _ if depth == 0 && is_mark(byte) => return at,
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(&str, &str)> {
        let mut piece = Piece::whole(text);
        std::iter::from_fn(|| piece.next_word().map(|word| (word.key.text(), word.value.text()))).collect()
    }

    #[test]
    fn words_are_cut_at_commas_and_blanks_that_no_bracket_hides() {
        assert_eq!(words("  , \t"), []);
        assert_eq!(words("drop"), [("drop", "")]);
        assert_eq!(words("a=1,b:2 c(3,4),,d"), [("a", "1"), ("b", "2"), ("c", "3,4"), ("d", "")]);
        assert_eq!(words("ct(commit,exec(load:0->a[]))x"), [("ct", "commit,exec(load:0->a[])"), ("x", "")]);
        assert_eq!(words("a=f(1,2),b"), [("a", "f(1,2)"), ("b", "")]);
        assert_eq!(words("a(b(c"), [("a", "b(c")]);
        assert_eq!(words("check(12)->r[0],x"), [("check", "12)->r[0]"), ("x", "")]);
        assert_eq!(words("key=,k2=v"), [("key", ""), ("k2", "v")]);
        assert_eq!(words("key=value1=value2"), [("key", "value1=value2")]);
    }

    #[test]
    fn words_know_where_they_stand() {
        let mut piece = Piece::whole("  tcp, nw_dst=10.0.0.1");
        let first = piece.next_word().unwrap();
        let second = piece.next_word().unwrap();
        assert_eq!((first.key.at(), second.key.at(), second.value.at()), (2, 7, 14));
    }
}
