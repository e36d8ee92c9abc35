//! Files of flows, groups and meters: one on each line.

use super::piece::Piece;

/// A line that says something.
#[derive(Clone, Copy, Debug)]
pub struct Line<'t> {
    /// The line's number, from 1.
    pub number: usize,
    /// Its text without the comment.
    pub text: &'t str,
    at: usize,
}

impl<'t> Line<'t> {
    pub(super) fn piece(&self) -> Piece<'t> {
        Piece::placed(self.text, self.at)
    }
}

/// The lines of a file that say something, without their comments.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut at = 0;
    text.split('\n')
        .enumerate()
        .map(move |(index, line)| {
            let start = at;
            at += line.len() + 1;
            let text = line.split('#').next().unwrap_or("");
            Line { number: index + 1, text, at: start }
        })
        .filter(|line| !line.text.chars().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r')))
}

#[cfg(test)]
mod tests {
    #[test]
    fn comments_and_empty_lines_count_for_nothing_but_are_counted() {
        let text = "# all\n\n  tcp,actions=drop # end\n\t\nudp,actions=1";
        let lines: Vec<_> = super::lines(text).map(|line| (line.number, line.text)).collect();
        assert_eq!(lines, [(3, "  tcp,actions=drop "), (5, "udp,actions=1")]);
    }
}
