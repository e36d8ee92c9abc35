//! Messages as text: those in Open vSwitch's own test files and those that were recorded, beside `ovs-ofctl ofp-print`.

use crate::suite;
use netloom_proto::openflow::text::{Names, print_message};
use std::collections::BTreeSet;
use std::process::Command;

/// Test files in which messages stand.
const FILES: [&str; 2] = ["ofp-print.at", "ofp-errors.at"];

/// Messages that Open vSwitch tells otherwise: the first octets, and why.
const OTHERWISE: [(&str, &str); 4] = [
    ("0104006000000002000023200000000d", "with much detail it shows the fields as they are on the wire"),
    ("010e0050000000000000000000015054", "with much detail it shows the fixed match as it is on the wire"),
    ("05200018000000020", "bits of a meter that mean nothing are not kept here"),
    ("0612006000000004000200000000", "octets behind the match are an error here"),
];

/// The messages of a file: what follows `ofp-print`, with how much detail is asked for.
fn messages(text: &str) -> Vec<(String, u8)> {
    let uses = text.match_indices("ofp-print").filter_map(|(at, word)| {
        let given = suite::shell_words(&text[at + word.len()..], 2);
        let hexadecimal: String =
            given.first()?.chars().filter(|c| !c.is_whitespace() && *c != '.' && *c != '\\').collect();
        let detail = given.get(1).and_then(|word| word.parse().ok()).unwrap_or(2);
        let whole = hexadecimal.len() >= 16 && hexadecimal.chars().all(|c| c.is_ascii_hexdigit());
        whole.then(|| (hexadecimal.to_ascii_lowercase(), detail))
    });
    uses.collect()
}

fn octets(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[test]
fn messages_are_told_as_the_real_tool_tells_them() {
    if let Err(error) = Command::new("ovs-ofctl").arg("--version").output() {
        eprintln!("skipped: ovs-ofctl cannot be run: {error}");
        return;
    }
    let mut all: BTreeSet<(String, u8)> = BTreeSet::new();
    for name in FILES {
        all.extend(suite::file(name).iter().flat_map(|text| messages(text)));
    }
    let recorded = include_str!("../messages/recorded.txt").lines().filter(|line| !line.starts_with('#'));
    let recorded =
        recorded.filter_map(|line| line.split_whitespace().last()).filter(|hex| hex.len() < 60_000);
    all.extend(recorded.map(|hex| (hex.to_ascii_lowercase(), 2)));
    let all: Vec<(String, u8)> = all.into_iter().collect();
    let known = |hex: &str| OTHERWISE.iter().any(|(front, _)| hex.starts_with(front));
    let different = |(hex, detail): &(String, u8)| {
        let output =
            Command::new("ovs-ofctl").args(["ofp-print", hex, &detail.to_string()]).output().unwrap();
        let theirs = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        let ours = print_message(&octets(hex), &Names::new(), *detail);
        (ours.trim_end() != theirs && !known(hex))
            .then(|| format!("{hex} {detail}\n--- OVS\n{theirs}\n--- here\n{ours}"))
    };
    let parts = std::thread::scope(|scope| {
        let workers: Vec<_> = all
            .chunks(all.len().div_ceil(4))
            .map(|part| scope.spawn(move || part.iter().filter_map(different).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    println!("messages: {} of {} told alike", all.len() - parts.len(), all.len());
    assert!(all.len() > 500, "only {} were found", all.len());
    assert!(parts.is_empty(), "{}", parts.join("\n"));
}
