//! Small changes to a good file, of the kinds that people and broken disks make.

use proptest::prelude::*;

/// One change to a text.
#[derive(Debug, Clone)]
pub enum Mutation {
    Flip {
        at: usize,
        bit: u8,
    },
    Cut {
        at: usize,
        len: usize,
    },
    Insert {
        at: usize,
        what: String,
    },
    /// Another word in place of one.
    Replace {
        word: usize,
        by: String,
    },
    DropLine(usize),
    CopyLine {
        from: usize,
        to: usize,
    },
    Indent {
        line: usize,
        by: usize,
    },
}

/// A few changes.
pub fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let pieces = prop::sample::select(vec![
        "\t",
        "- ",
        "? ",
        ": ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "|\n",
        ">",
        "&a ",
        "*a",
        "*base",
        "!!str ",
        "!x ",
        "---\n",
        "...",
        "%",
        "#",
        "<<: ",
        "\0",
        "\u{feff}",
        "é",
        "日",
        "\r",
        "\\",
        "${",
        "${site}",
        "$${x}",
        "yes",
        "0123",
        "1:30",
        "1e999",
        ".nan",
        "null",
        "~",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        ",",
        "=",
        "[[a]]",
        "'''",
        "\"\"\"",
        "kind: veth",
        "99999999999999999999",
        "-1",
    ])
    .prop_map(str::to_owned);
    let words = prop::sample::select(vec![
        "yes",
        "no",
        "0123",
        "1:30",
        "1_000",
        ".nan",
        "null",
        "true",
        "7",
        "-1",
        "1.5",
        "web",
        "veht",
        "kind",
        "adress",
        "[]",
        "{}",
        "\"x y\"",
        "${site}",
        "${sit}",
        "!x y",
        "*base",
        "<<",
        "99999999999999999999",
        "~",
    ])
    .prop_map(str::to_owned);
    let mutation = prop_oneof![
        4 => (any::<usize>(), words).prop_map(|(word, by)| Mutation::Replace { word, by }),
        1 => (any::<usize>(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip { at, bit }),
        1 => (any::<usize>(), 1usize..20).prop_map(|(at, len)| Mutation::Cut { at, len }),
        1 => (any::<usize>(), pieces).prop_map(|(at, what)| Mutation::Insert { at, what }),
        1 => any::<usize>().prop_map(Mutation::DropLine),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Mutation::CopyLine { from, to }),
        1 => (any::<usize>(), 0usize..10).prop_map(|(line, by)| Mutation::Indent { line, by }),
    ];
    prop::collection::vec(mutation, 1..4)
}

/// The text with the changes made, which need not be text any more.
pub fn mutate(text: &str, mutations: &[Mutation]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for mutation in mutations {
        let len = bytes.len().max(1);
        let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let count = lines.len().max(1);
        match mutation {
            Mutation::Flip { at, bit } => {
                if let Some(byte) = bytes.get_mut(at % len) {
                    *byte ^= 1 << bit;
                }
                continue;
            }
            Mutation::Cut { at, len: cut } => {
                let at = at % len;
                bytes.drain(at.min(bytes.len())..(at + cut).min(bytes.len()));
                continue;
            }
            Mutation::Insert { at, what } => {
                let at = (at % len).min(bytes.len());
                bytes.splice(at..at, what.bytes());
                continue;
            }
            Mutation::Replace { word, by } => {
                let starts: Vec<usize> = (0..bytes.len())
                    .filter(|at| {
                        bytes[*at].is_ascii_alphanumeric()
                            && (*at == 0 || b" [{\"\n".contains(&bytes[at - 1]))
                    })
                    .collect();
                if let Some(start) = starts.get(word % starts.len().max(1)) {
                    let len = bytes[*start..].iter().take_while(|b| !b" ,:]}\"\n".contains(b)).count();
                    bytes.splice(*start..start + len, by.bytes());
                }
                continue;
            }
            Mutation::DropLine(line) if !lines.is_empty() => {
                lines.remove(line % count);
            }
            Mutation::CopyLine { from, to } if !lines.is_empty() => {
                let line = lines[from % count].clone();
                lines.insert(to % count, line);
            }
            Mutation::Indent { line, by } if !lines.is_empty() => {
                let line = &mut lines[line % count];
                let content: Vec<u8> = line.iter().copied().skip_while(|b| *b == b' ').collect();
                // Beyond eight it is a tab.
                let margin = if *by < 8 { vec![b' '; *by] } else { vec![b'\t'] };
                *line = [margin, content].concat();
            }
            _ => {}
        }
        bytes = lines.concat();
    }
    bytes
}
