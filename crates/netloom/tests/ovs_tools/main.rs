//! Netloom's `ovs-ofctl`, `ovs-vsctl`, `ovs-appctl` and `ovsdb-client` beside those of Open vSwitch, on Open vSwitch's
//! own daemons: what is said, how it ends, and what has become of the switch or the database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod flow;
mod ofctl;
mod place;
mod small;
mod vsctl;

/// The words of a command line: blanks part them, unless quotes of either kind hold them together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    for c in line.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c == ' ' => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn quotes_hold_words_together() {
    assert_eq!(words("a 'b c' d=\"e f\" ''"), ["a", "b c", "d=e f", ""]);
}
