//! Places: every way by which a `Spanned` is reached, and what a large file costs.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod document_language;

use document_language::Formats;
use netloom_model::document::{Format, NoFormats, Spanned, decode, from_node, parse};
use netloom_model::source::SourceFile;
use netloom_model::topology::OneOrMany;
use netloom_wire::NodeName;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ways {
    field: Spanned<u16>,
    option: Option<Spanned<bool>>,
    absent: Option<Spanned<bool>>,
    list: Vec<Spanned<String>>,
    keys: BTreeMap<Spanned<NodeName>, Spanned<f64>>,
    numbers: HashMap<Spanned<u16>, Spanned<Inner>>,
    one: OneOrMany<Spanned<NodeName>>,
    one_number: OneOrMany<Spanned<u8>>,
    one_mapping: OneOrMany<Spanned<Inner>>,
    many: OneOrMany<Spanned<NodeName>>,
    twice: Spanned<Spanned<String>>,
    tagged: Vec<Spanned<Tagged>>,
    wrapped: Wrapped,
    unit: Spanned<Wrapped>,
    nothing: Spanned<Option<u8>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Inner {
    a: Spanned<i8>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Tagged {
    Veth { peer: Spanned<NodeName> },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Wrapped {
    Limit(Spanned<u32>),
    Rate { up: Spanned<u32> },
    Open,
}

const WAYS: &str = r#"
field: 7
option: true
list: [one, "two"]
keys: {a: 1.5, b: 2}
numbers: {10: {a: 1}, 20: {a: 2}}
one: single
one_number: 9
one_mapping: {a: 3}
many: [x1, x2]
twice: double
tagged: [{kind: veth, peer: p1}]
wrapped: {limit: 11}
unit: open
nothing:
"#;

#[test]
fn every_way_to_a_spanned_value_keeps_its_place() {
    let source = SourceFile::new("ways.yaml", WAYS);
    let decoded = decode::<Ways>(&source, Format::Yaml, &BTreeMap::new(), &Formats);
    let (ways, _) = decoded.unwrap_or_else(|found| panic!("{}", found.render(&source, false)));
    let shown = |span| source.slice(span);
    assert_eq!((*ways.field, shown(ways.field.span)), (7, "7"));
    assert_eq!(ways.option.as_ref().map(|option| shown(option.span)), Some("true"));
    assert!(ways.absent.is_none());
    assert_eq!(shown(ways.list[0].span), "one");
    assert_eq!(shown(ways.list[1].span), "\"two\"");
    for (key, value) in &ways.keys {
        assert_eq!(shown(key.span), key.as_str());
        assert_eq!(shown(value.span).parse(), Ok(value.value));
    }
    for (key, value) in &ways.numbers {
        assert_eq!(shown(key.span), key.to_string());
        assert_eq!(shown(value.span), format!("{{a: {}}}", *value.a));
        assert_eq!(shown(value.a.span), value.a.to_string());
    }
    assert_eq!(shown(ways.one[0].span), "single");
    assert_eq!(shown(ways.one_number[0].span), "9");
    assert_eq!(shown(ways.one_mapping[0].span), "{a: 3}");
    assert_eq!(shown(ways.one_mapping[0].a.span), "3");
    assert_eq!(shown(ways.many[1].span), "x2");
    assert_eq!(shown(ways.twice.span), "double");
    assert_eq!(shown(ways.twice.value.span), "double");
    assert_eq!(shown(ways.tagged[0].span), "{kind: veth, peer: p1}");
    // Serde keeps the parts of a tagged enum in values of its own: the place is that of the whole.
    let Tagged::Veth { peer } = &ways.tagged[0].value;
    assert_eq!((peer.as_str(), shown(peer.span)), ("p1", "{kind: veth, peer: p1}"));
    assert!(matches!(&ways.wrapped, Wrapped::Limit(limit) if shown(limit.span) == "11"));
    assert_eq!(shown(ways.unit.span), "open");
    assert!(ways.nothing.is_none());
    assert_eq!(shown(ways.nothing.span), "nothing");

    let variant: Wrapped =
        from_node(&parse(&SourceFile::new("f", "rate: {up: 5}"), Format::Yaml).unwrap()).unwrap();
    assert!(matches!(variant, Wrapped::Rate { up } if up.span.range() == (11..12)));
}

#[test]
fn a_refused_value_is_shown_at_its_own_place() {
    /// The place and the words for the first value that `T` refuses.
    fn refusal<T: serde::de::DeserializeOwned + std::fmt::Debug>(text: &str) -> (String, String) {
        let source = SourceFile::new("f", text);
        let error = from_node::<T>(&parse(&source, Format::Yaml).unwrap()).unwrap_err();
        (source.slice(error.span.unwrap()).to_owned(), error.message)
    }
    let (place, message) = refusal::<BTreeMap<String, Vec<NodeName>>>("a: [b, 'c d']");
    assert_eq!(place, "'c d'");
    assert!(message.contains("`c d` is not a name"), "{message}");
    assert_eq!(refusal::<BTreeMap<NodeName, u8>>("a: 1\nb c: 2").0, "b c");
    assert_eq!(refusal::<Vec<u8>>("[1, 256]").0, "256");
    assert_eq!(refusal::<Vec<u8>>("[1, -1]").0, "-1");
    assert_eq!(refusal::<Vec<u64>>("[99999999999999999999999]").0, "99999999999999999999999");
    assert_eq!(refusal::<(u8, u8)>("[1, 2, 3]").0, "[1, 2, 3]");
    assert_eq!(refusal::<(u8, u8)>("[1]").0, "[1]");
    assert_eq!(refusal::<Wrapped>("limt: 1").0, "limt");
    assert_eq!(refusal::<Wrapped>("limit").0, "limit");
    assert_eq!(refusal::<Wrapped>("{open: 1}").0, "1");
    assert_eq!(refusal::<Wrapped>("{limit: 1, open: 2}").0, "{limit: 1, open: 2}");
    assert_eq!(refusal::<Vec<String>>("[a, 1]").0, "1");
    assert_eq!(refusal::<Vec<i64>>("[1.5]").0, "1.5");
}

/// What a file of 40,000 lines costs; prints the times. Run it with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_large_file_is_read_quickly() {
    let mut text = "version: 1\nname: big\nnodes:\n".to_owned();
    for node in 0..5000 {
        let _ = write!(
            text,
            "  node-{node}:\n    mac: 02:00:00:00:{:02x}:{:02x}\n    address: [10.0.0.1, 10.1.0.1]\n    mtu: 1500 # bytes\n\
             \x20   interfaces:\n      eth0: {{network: lan, vlan: 10}}\n      eth1: {{network: wan}}\n",
            node / 256,
            node % 256
        );
    }
    text.push_str("links:\n");
    for link in 0..2500 {
        let _ = writeln!(text, "  - kind: veth\n    a: node-{link}\n    b: node-{}", link + 1);
    }
    let source = SourceFile::new("big.yaml", text.as_str());
    let begin = std::time::Instant::now();
    let node = parse(&source, Format::Yaml).unwrap();
    let parsed = begin.elapsed();
    let begin = std::time::Instant::now();
    let decoded = decode::<document_language::Network>(&source, Format::Yaml, &BTreeMap::new(), &Formats);
    let decoded_in = begin.elapsed();
    let unchecked = decode::<serde_json::Value>(&source, Format::Yaml, &BTreeMap::new(), &NoFormats);
    println!(
        "{} lines, {} bytes, {} values: parse {parsed:?}, all stages {decoded_in:?}",
        source.line_count(),
        text.len(),
        node.count()
    );
    assert!(decoded.is_ok() && unchecked.is_ok());

    // The same file with a fault in every node.
    let source = SourceFile::new("bad.yaml", text.replace("mtu: 1500", "mut: 1500"));
    let begin = std::time::Instant::now();
    let found =
        decode::<document_language::Network>(&source, Format::Yaml, &BTreeMap::new(), &Formats).unwrap_err();
    let shown = found.render(&source, false).len();
    println!(
        "{} faults kept, {} counted, {shown} bytes shown: {:?}",
        found.len(),
        found.omitted(),
        begin.elapsed()
    );
}

/// Files made to be slow: each of half a megabyte or more must be told or refused in well under the time that a
/// quadratic step would take (minutes).
#[test]
fn hostile_files_cost_no_more_than_their_size() {
    let many = |piece: &str, count: usize| piece.repeat(count);
    let keys: String = (0..60_000).map(|key| format!("k{key}: {key}\n")).collect();
    let long_line = format!("version: 1\nname: x\nnodes: {{{}}}", many("no: yes, ", 60_000));
    let files = [
        ("many keys", keys.clone()),
        ("many keys twice", format!("{keys}{keys}")),
        ("one long line of faults", long_line),
        ("deep lists", many("[", 300_000)),
        ("deep mappings", many("{a: ", 200_000)),
        ("deep blocks", (0..2000).map(|level| format!("{}a:\n", " ".repeat(level))).collect()),
        ("dashes", many("- ", 300_000)),
        ("questions", many("? ", 300_000)),
        ("anchors", (0..30_000).map(|at| format!("a{at}: &x{at} 1\n")).collect()),
        ("colons", many("a:", 300_000)),
        ("quotes", many("\"", 500_001)),
        ("one long text", format!("a: \"{}\"", many("x", 1_000_000))),
        ("one long key", format!("{}: 1", many("x", 1_000_000))),
        ("tabs", many("\t- a\n", 100_000)),
        ("control characters", many("\u{1}", 500_000)),
        ("blank lines", many("\n", 1_000_000)),
        ("comments", many("# x\n", 250_000)),
        (
            "a large value many times",
            format!("vars: {{a: \"{}\"}}\nx: [{}]", many("y", 60_000), many("'${a}', ", 60_000)),
        ),
        ("a repeated alias", format!("a: &a \"{}\"\nb: [{}]", many("y", 100_000), many("*a, ", 100_000))),
        ("many references", format!("vars: {{a: 1}}\nx: \"{}\"", many("${a}", 200_000))),
        ("dotted keys", format!("x = {{{}a = 1}}", many("a.", 200_000))),
        ("a dotted header", format!("[{}a]", many("a.", 200_000))),
        ("dotted keys in lists", format!("x = [\n{{ {}a\n = 1}}]", many("a . ", 100_000))),
        ("deep tables", format!("x = {{ {}a = 1}}", many("a = { ", 200_000))),
        ("many tables", (0..20_000).map(|at| format!("[a.b{at}]\nc = 1\n[[d]]\n")).collect()),
        ("many dollars", format!("x: \"{}\"", many("$${", 300_000))),
    ];
    for (name, text) in files {
        for format in [Format::Yaml, Format::Json, Format::Toml] {
            let source = SourceFile::new("f", text.as_str());
            let begin = std::time::Instant::now();
            let outcome = decode::<document_language::Network>(&source, format, &BTreeMap::new(), &Formats);
            let found = outcome.expect_err("no such file is good");
            let shown = found.render(&source, false);
            let took = begin.elapsed();
            println!("{name} as {format:?}: {took:?}, {} findings, {} bytes shown", found.len(), shown.len());
            assert!(took.as_secs() < 20, "{name} as {format:?} took {took:?}");
        }
    }
}
