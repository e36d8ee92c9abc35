//! Files of flows, groups and meters: one on each line.

use super::super::message::{FlowMod, GroupMod, PacketOut};
use super::error::{Parsed, Problem, TextError};
use super::names::Names;
use super::piece::Piece;
use super::protocols::Protocols;
use super::{flow, group, packet_out};

/// One line of a bundle.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A change of flows.
    Flow(FlowMod),
    /// A change of a group.
    Group(GroupMod),
    /// A packet that is sent.
    PacketOut(PacketOut),
}

/// Reads a line of a bundle.
pub(super) fn change(line: Piece<'_>, names: &Names) -> Parsed<(Change, Protocols)> {
    let rest = line.from(line.span_of(" \t\r\n"));
    let length = rest.span_until(", \t\r\n");
    let word = rest.range(0, length);
    let rest = rest.from(length);
    if "flow".starts_with(word.text()) {
        flow::parse(rest, None, names).map(|(flow, forms)| (Change::Flow(flow), forms))
    } else if "group".starts_with(word.text()) {
        group::parse(rest, None, names).map(|(group, forms)| (Change::Group(group), forms))
    } else if "packet-out".starts_with(word.text()) {
        packet_out::parse(rest, names).map(|(packet, forms)| (Change::PacketOut(packet), forms))
    } else {
        let wording = format!("Unsupported bundle message type: {}", word.text());
        Err(TextError::new(word, Problem::UnknownWord, wording)
            .expecting("flow, group or packet-out")
            .meaning(["flow", "group", "packet-out"]))
    }
}

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
