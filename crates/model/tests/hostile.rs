//! Ten thousand examples with something broken in them: read or refused, never a panic, and every refusal has a
//! place in the file.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use netloom_model::diagnostic::Severity;
use netloom_model::document::Format;
use netloom_model::load::load;
use netloom_model::source::SourceFile;
use std::collections::BTreeMap;
use std::path::Path;

const MUTATIONS: usize = 10_000;

/// A small generator of numbers (xorshift64*): the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// The places of words: names, numbers, addresses.
fn words(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut begin = None;
    for (at, character) in text.char_indices().chain([(text.len(), ' ')]) {
        let inside = character.is_ascii_alphanumeric() || "._/-:".contains(character);
        match (begin, inside) {
            (None, true) => begin = Some(at),
            (Some(first), false) => {
                found.push(first..at);
                begin = None;
            }
            _ => {}
        }
    }
    found
}

/// What a word looks like, so that it can be exchanged for one of its kind.
#[derive(PartialEq)]
enum Look {
    Key,
    Number,
    Address,
    Interface,
    Name,
}

fn look(text: &str, word: &std::ops::Range<usize>) -> Look {
    let it = &text[word.clone()];
    if it.ends_with(':') {
        Look::Key
    } else if it.bytes().all(|byte| byte.is_ascii_digit()) {
        Look::Number
    } else if it.contains(|c: char| c.is_ascii_digit()) && (it.contains('.') || it.contains("::")) {
        Look::Address
    } else if it.contains(':') {
        Look::Interface
    } else {
        Look::Name
    }
}

/// Values at the edges of what their kind can be.
fn edges(look: &Look) -> &'static [&'static str] {
    match look {
        Look::Number => {
            &["0", "1", "31", "64", "1279", "4094", "4095", "65535", "65536", "16777216", "4294967295"]
        }
        Look::Address => &[
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "10.0.0.0/8",
            "10.0.0.255/24",
            "10.0.0.1/32",
            "0.0.0.0/0",
            "::1",
            "ff02::1",
            "fe80::1",
            "fd00::/127",
        ],
        Look::Interface => &["nobody:eth0", "a:lo"],
        Look::Name => &["nobody", "any", "host", "lo", "true", "auto", "udp", "100mbit", "1s"],
        Look::Key => &[],
    }
}

/// Exchanges values for others of their kind, or at its edges: the file stays readable, and means something else.
fn confuse(text: &str, donor: &str, chance: &mut Chance) -> String {
    let mut text = text.to_owned();
    for _ in 0..=chance.below(2) {
        let all = words(&text);
        let values: Vec<_> = all.iter().filter(|word| look(&text, word) != Look::Key).collect();
        if values.is_empty() {
            break;
        }
        let place = (*chance.of(&values)).clone();
        if chance.below(4) == 0 {
            let other = *chance.of(edges(&look(&text, &place)));
            text.replace_range(place, other);
            continue;
        }
        let from = if chance.below(3) == 0 { donor.to_owned() } else { text.clone() };
        let theirs = words(&from);
        let alike: Vec<_> = theirs.iter().filter(|word| look(&from, word) == look(&text, &place)).collect();
        if !alike.is_empty() {
            let other = &from[(*chance.of(&alike)).clone()];
            text.replace_range(place, other);
        }
    }
    text
}

const STRANGE: [&str; 40] = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "64",
    "255",
    "4095",
    "65535",
    "4294967295",
    "-1",
    "1.5",
    "",
    "~",
    "[]",
    "{}",
    "any",
    "host",
    "none",
    "auto",
    "true",
    "10.0.0.0/8",
    "10.0.0.1",
    "10.0.0.255/24",
    "fd00::1",
    "fd00::/127",
    "224.0.0.1",
    "127.0.0.1/8",
    "0.0.0.0/0",
    "::",
    "eth0",
    "lo",
    "a:b",
    "a -> b",
    "a:x -- b:y",
    "tcp/0",
    "tcp",
    "100%",
    "1s",
    "é\u{202e}\u{0}",
];

fn mutate(text: &str, donor: &str, chance: &mut Chance) -> String {
    let mut text = text.to_owned();
    for _ in 0..=chance.below(3) {
        let lines: Vec<&str> = text.lines().collect();
        let all = words(&text);
        match chance.below(9) {
            // A word becomes another word of the same file, of another file, or something strange.
            0..=2 if !all.is_empty() => {
                let other = text[chance.of(&all).clone()].to_owned();
                text.replace_range(chance.of(&all).clone(), &other);
            }
            3 if !all.is_empty() => {
                let theirs = words(donor);
                let other = &donor[chance.of(&theirs).clone()];
                text.replace_range(chance.of(&all).clone(), other);
            }
            4 if !all.is_empty() => {
                text.replace_range(chance.of(&all).clone(), chance.of::<&str>(&STRANGE));
            }
            // A line goes away, comes twice, comes from elsewhere, or is indented otherwise.
            5 if lines.len() > 1 => {
                let gone = chance.below(lines.len());
                let kept = lines.iter().enumerate().filter(|(at, _)| *at != gone);
                text = kept.map(|(_, line)| format!("{line}\n")).collect();
            }
            6 if !lines.is_empty() => {
                let from = if chance.below(2) == 0 { text.clone() } else { donor.to_owned() };
                let theirs: Vec<&str> = from.lines().collect();
                let line = (*chance.of(&theirs)).to_owned();
                let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                lines.insert(chance.below(lines.len()), line);
                text = lines.join("\n");
            }
            7 if !lines.is_empty() => {
                let at = chance.below(lines.len());
                let shift = |line: &str| format!("{}{}", " ".repeat(1 + at % 3), line.trim_start());
                let lines = lines.iter().enumerate();
                text = lines
                    .map(|(n, line)| if n == at { shift(line) } else { (*line).to_owned() } + "\n")
                    .collect();
            }
            // A character goes away or comes.
            _ => {
                let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
                if !places.is_empty() {
                    let at = *chance.of(&places);
                    if chance.below(2) == 0 {
                        text.remove(at);
                    } else {
                        text.insert(
                            at,
                            *chance.of(&['{', '}', '[', ':', '"', '\t', '#', '&', '*', '|', '\n', '9', 'ß']),
                        );
                    }
                }
            }
        }
    }
    text
}

#[test]
fn ten_thousand_broken_examples() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut texts: Vec<String> = Vec::new();
    for folder in [top.clone(), top.join("full-kernel")] {
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
        paths.sort();
        texts.extend(paths.iter().map(|path| std::fs::read_to_string(path).unwrap()));
    }
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let (mut good, mut unread, mut meaningless) = (0usize, 0usize, 0usize);
    let mut codes: BTreeMap<&'static str, usize> = BTreeMap::new();
    for round in 0..MUTATIONS {
        let donor = chance.below(texts.len());
        let (own, donor) = (&texts[round % texts.len()], &texts[donor]);
        // Every example is treated in both ways, however many there are: once as text for twice in meaning.
        let text = if (round / texts.len()).is_multiple_of(3) {
            mutate(own, donor, &mut chance)
        } else {
            confuse(own, donor, &mut chance)
        };
        let source = SourceFile::new("broken.yaml", text);
        let found = match load(&source, Format::Yaml, &BTreeMap::new()) {
            Ok(loaded) => {
                good += 1;
                loaded.warnings
            }
            Err(found) => {
                assert!(found.has_errors(), "refused without an error:\n{}", source.text());
                let of_meaning = found.iter().any(|finding| finding.code.starts_with("E1"));
                let of_text = found.iter().any(|finding| finding.code.starts_with("E0"));
                assert!(of_meaning || of_text);
                if of_text {
                    unread += 1
                } else {
                    meaningless += 1
                }
                found
            }
        };
        for finding in &found {
            *codes.entry(finding.code).or_default() += 1;
            let located = finding.span.is_some_and(|span| span.end as usize <= source.text().len());
            assert!(
                located || finding.severity == Severity::Warning,
                "no place: {}\n{}",
                finding.render(&source, false),
                source.text()
            );
        }
        let _ = found.render(&source, true);
    }
    println!(
        "{MUTATIONS} broken examples: {good} still good, {unread} refused as text, {meaningless} in meaning"
    );
    println!("{} different findings: {codes:?}", codes.len());
    assert!(good > 500 && unread > 1000 && meaningless > 1000);
    assert!(codes.keys().filter(|code| code.starts_with("E1")).count() > 35, "{codes:?}");
}
