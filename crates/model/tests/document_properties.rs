//! Properties of the document stages: no input panics, every error has its place in the file, the three formats
//! mean the same, and serde's own JSON reader agrees with ours.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod document_language;

use document_language::mutation::{mutate, mutations};
use document_language::{Formats, GOOD, Network};
use netloom_model::diagnostic::Diagnostics;
use netloom_model::document::{Format, Node, Spanned, Value, codes, decode, from_node, parse};
use netloom_model::source::SourceFile;
use proptest::prelude::*;
use std::collections::BTreeMap;

const FORMATS: [Format; 3] = [Format::Yaml, Format::Toml, Format::Json];

const GOOD_TOML: &str = r#"version = 1
name = "shop"
stance = "deny-all"
tags = ["a", "b"]
actions = ["drop", { mark = 7 }, { limit = { rate = 10 } }]
vars = { site = "north" }

[nodes.web]
mac = "02:00:00:00:00:01"
address = ["10.0.0.1"]
mtu = 1400
run = ["sh", "-c", "echo ${site}"]
[nodes.web.interfaces.eth0]
network = "lan"
vlan = 10

[[links]]
kind = "veth"
a = "web"
b = "db"

[[links]]
kind = "dummy"
"#;

const GOOD_JSON: &str = r#"{
  "version": 1, "name": "shop", "stance": "deny-all", "tags": ["a", "b"],
  "actions": ["drop", "accept", {"mark": 7}, {"limit": {"rate": 10}}],
  "nodes": {
    "web": {"mac": "02:00:00:00:00:01", "address": ["10.0.0.1"], "mtu": 1400, "loss": 0.5, "up": true,
      "run": ["sh", "-c", "ls"], "sysctls": {"a": 1, "b": "x", "c": true},
      "interfaces": {"eth0": {"network": "lan", "vlan": 10}}},
    "db": {}
  },
  "links": [{"kind": "veth", "a": "web", "b": "db"}, {"kind": "vxlan", "id": 7, "port": null}, {"kind": "dummy"}],
  "tables": {"100": "a"}, "pair": [3, "three"], "meta": {"owner": "o", "mail": "m", "floor": -1}
}
"#;

/// Decodes, and checks what must hold of every outcome.
fn decode_soundly(text: &str, format: Format) -> Result<Network, Diagnostics> {
    let source = SourceFile::new("f", text);
    match decode::<Network>(&source, format, &BTreeMap::new(), &Formats) {
        Ok((network, warnings)) => {
            assert!(!warnings.has_errors());
            Ok(network)
        }
        Err(found) => {
            assert!(found.has_errors() && !found.is_empty());
            for diagnostic in &found {
                let places = diagnostic.span.iter().chain(diagnostic.related.iter().map(|(span, _)| span));
                for span in places {
                    assert!(text.get(span.range()).is_some(), "{diagnostic:?} outside {text:?}");
                }
                assert!(diagnostic.span.is_some(), "{diagnostic:?} has no place in {text:?}");
                assert!(!diagnostic.message.is_empty());
            }
            let shown = found.render(&source, true);
            assert!(shown.contains("f:"), "{shown}");
            Err(found)
        }
    }
}

fn cases(usual: u32) -> ProptestConfig {
    let factor: u32 =
        std::env::var("NETLOOM_CASES_FACTOR").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    ProptestConfig { cases: usual * factor, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,80}") {
        for format in FORMATS {
            let _ = decode_soundly(&text, format);
        }
    }

    #[test]
    fn any_mixture_of_marks_is_read_or_refused(
        text in "([-?:,\\[\\]{}#&*!|>'\"%@` \n\t\r=.$~<0-9a-cé日\u{0}\u{feff}]|---|\\$\\{|\n  |\n    |: |- ){0,60}"
    ) {
        for format in FORMATS {
            let _ = decode_soundly(&text, format);
        }
    }

    #[test]
    fn mutated_files_are_read_or_refused(mutations in mutations()) {
        for (text, format) in [(GOOD, Format::Yaml), (GOOD_TOML, Format::Toml), (GOOD_JSON, Format::Json)] {
            let bytes = mutate(text, &mutations);
            match SourceFile::from_bytes("f", &bytes) {
                Ok(source) => { let _ = decode_soundly(source.text(), format); }
                Err(unreadable) => {
                    let span = unreadable.diagnostic.span.unwrap();
                    prop_assert!(unreadable.source.text().get(span.range()).is_some());
                }
            }
        }
    }

    #[test]
    fn serde_json_agrees(mutations in mutations()) {
        let bytes = mutate(GOOD_JSON, &mutations);
        let Ok(text) = std::str::from_utf8(&bytes) else { return Ok(()) };
        if text.contains("${") {
            return Ok(()); // serde knows no variables
        }
        let theirs = serde_json::from_str::<Network>(text);
        match (decode_soundly(text, Format::Json), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Ok(ours), Err(error)) => {
                // A byte order mark is the only thing that we let pass, and `-0`, which is an integer to us and
                // a floating-point number to serde_json.
                let excused = text.starts_with('\u{feff}') || error.to_string().contains("`-0.0`");
                prop_assert!(excused, "{ours:?} but {error} in {text}");
            }
            (Err(found), Ok(_)) => {
                // What the schema or the rules of the document forbid and serde alone can't.
                let stricter = [
                    codes::DUPLICATE_KEY, codes::CONTROL_CHARACTER, codes::UNKNOWN_VARIABLE, codes::BAD_REFERENCE,
                    codes::BAD_VALUE, codes::OUT_OF_RANGE, codes::BAD_LENGTH, codes::UNKNOWN_KEY,
                ];
                for diagnostic in &found {
                    prop_assert!(stricter.contains(&diagnostic.code), "{diagnostic:?} in {text}");
                    if diagnostic.code == codes::UNKNOWN_KEY {
                        // serde reads ` 100` and `+100` as numeric keys, the schema's pattern does not.
                        prop_assert!(diagnostic.message.contains("tables"), "{diagnostic:?} in {text}");
                    }
                }
            }
            (Err(_), Err(_)) => {}
        }
    }
}

/// The mutations above must be neither so weak nor so strong that they prove nothing.
#[test]
fn mutations_reach_many_findings_and_leave_some_files_good() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..3000 {
        let mutations = mutations().new_tree(&mut runner).unwrap().current();
        let bytes = mutate(GOOD, &mutations);
        match SourceFile::from_bytes("f", &bytes) {
            Err(_) => *seen.entry(codes::NOT_UTF8).or_default() += 1,
            Ok(source) => match decode_soundly(source.text(), Format::Yaml) {
                Ok(_) => *seen.entry("good").or_default() += 1,
                Err(found) => found.iter().for_each(|finding| *seen.entry(finding.code).or_default() += 1),
            },
        }
    }
    println!("findings in 3000 mutated files: {seen:?}");
    let wanted = [
        "good",
        codes::NOT_UTF8,
        codes::SYNTAX,
        codes::DUPLICATE_KEY,
        codes::TAB,
        codes::CONTROL_CHARACTER,
        codes::UNKNOWN_KEY,
        codes::MISSING_KEY,
        codes::WRONG_TYPE,
        codes::BAD_VALUE,
        codes::BAD_FORMAT,
        codes::OLD_BOOLEAN,
        codes::UNKNOWN_VARIABLE,
        codes::ALIAS,
    ];
    for code in wanted {
        assert!(seen.contains_key(code), "{code} never seen: {seen:?}");
    }
    assert!(seen["good"] > 30 && seen["good"] < 2000, "{seen:?}");
}

// One tree in three formats.

fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Integer(i128::from(number))),
        // Eighths: serde_json, an oracle here, reads other fractions with an error in the last digit.
        any::<i32>().prop_map(|eighths| Value::Float(f64::from(eighths) / 8.0)),
        "[ -~é日\t\n]{0,12}".prop_map(Value::String),
        prop::sample::select(vec![
            "no", "1:30", "012", "~", "", "- a", "#x", "a: b", "*a", "x #y", "${a}", "1e3", "<<"
        ])
        .prop_map(|text| Value::String(text.to_owned())),
    ]
}

fn node(value: Value) -> Node {
    Node { value, span: netloom_model::source::Span::default() }
}

fn trees() -> impl Strategy<Value = Node> {
    let leaf = scalars().prop_map(node);
    let tree = leaf.prop_recursive(4, 40, 5, |inner| {
        let keys = prop_oneof![3 => "[a-z][a-z0-9-]{0,6}", 1 => "[ -~é]{0,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| node(Value::Sequence(items))),
            prop::collection::btree_map(keys, inner, 0..5).prop_map(mapping),
        ]
    });
    prop::collection::btree_map("[a-z]{1,5}", tree, 0..5).prop_map(mapping)
}

fn mapping(entries: BTreeMap<String, Node>) -> Node {
    node(Value::Mapping(entries.into_iter().map(|(key, value)| (Spanned::from(key), value)).collect()))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::Bool(truth) => truth.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => {
            let text = format!("{number:?}");
            // JSON and TOML want digits on both sides of the point and in the exponent.
            if text.contains(['.', 'e']) { text } else { format!("{text}.0") }
        }
        Value::String(text) => quoted(text),
        other => panic!("no scalar: {other:?}"),
    }
}

fn json(node: &Node) -> String {
    match &node.value {
        Value::Sequence(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Value::Mapping(entries) => {
            let parts = entries.iter().map(|(key, node)| format!("{}: {}", quoted(key), json(node)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(",\n "))
        }
        scalar => scalar_text(scalar),
    }
}

fn toml_value(node: &Node) -> String {
    match &node.value {
        Value::Sequence(items) => {
            format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", "))
        }
        Value::Mapping(entries) => {
            let parts = entries.iter().map(|(key, node)| format!("{} = {}", quoted(key), toml_value(node)));
            format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
        }
        scalar => scalar_text(scalar),
    }
}

/// Tables for mappings, arrays of tables for lists of mappings, plain values first.
fn toml(entries: &[(Spanned<String>, Node)], path: &str, out: &mut String) {
    let table = |node: &Node| matches!(node.value, Value::Mapping(_));
    let tables = |node: &Node| matches!(&node.value, Value::Sequence(items) if !items.is_empty() && items.iter().all(table));
    for (key, node) in entries.iter().filter(|(_, node)| !table(node) && !tables(node)) {
        out.push_str(&format!("{} = {}\n", quoted(key), toml_value(node)));
    }
    for (key, node) in entries {
        let path = format!("{path}{}", quoted(key));
        match &node.value {
            Value::Mapping(below) => {
                out.push_str(&format!("[{path}]\n"));
                toml(below, &format!("{path}."), out);
            }
            Value::Sequence(items) if tables(node) => {
                for item in items {
                    out.push_str(&format!("[[{path}]]\n"));
                    let Value::Mapping(below) = &item.value else { panic!("no table") };
                    toml(below, &format!("{path}."), out);
                }
            }
            _ => {}
        }
    }
}

fn yaml(node: &Node, indent: usize, out: &mut String) {
    let margin = " ".repeat(indent);
    match &node.value {
        Value::Sequence(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&format!("\n{margin}-"));
                yaml(item, indent + 2, out);
            }
        }
        Value::Mapping(entries) if !entries.is_empty() => {
            for (key, node) in entries {
                let plain =
                    key.value.bytes().all(|b| b.is_ascii_lowercase()) && key.len() > 1 && key.len() < 4;
                let key = if plain && !["no", "yes", "on", "off"].contains(&key.as_str()) {
                    key.value.clone()
                } else {
                    quoted(key)
                };
                out.push_str(&format!("\n{margin}{key}:"));
                yaml(node, indent + 2, out);
            }
        }
        Value::Sequence(_) => out.push_str(" []"),
        Value::Mapping(_) => out.push_str(" {}"),
        Value::String(text) if text.len() % 3 == 1 && !text.contains('\n') => {
            out.push_str(&format!(" '{}'  # a comment", text.replace('\'', "''")));
        }
        scalar => out.push_str(&format!(" {}", scalar_text(scalar))),
    }
}

/// TOML tables come in the order of the file, not of the tree.
fn sorted(node: &mut Node) {
    match &mut node.value {
        Value::Sequence(items) => items.iter_mut().for_each(sorted),
        Value::Mapping(entries) => {
            entries.iter_mut().for_each(|(_, node)| sorted(node));
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        _ => {}
    }
}

/// Every place lies inside the place above it, and shows the value that was read there.
fn places_hold(node: &Node, source: &SourceFile, path: &str) {
    let shown = source.slice(node.span);
    match &node.value {
        Value::Sequence(items) => {
            for item in items {
                assert!(
                    node.span.start <= item.span.start && item.span.end <= node.span.end,
                    "{path}: {node:?}"
                );
                places_hold(item, source, path);
            }
        }
        Value::Mapping(entries) => {
            for (key, value) in entries {
                let key_shown = source.slice(key.span);
                assert!(
                    key_shown == key.value || key_shown == quoted(key),
                    "{path}: key {key:?} at {key_shown:?}"
                );
                assert!(
                    node.span.start <= value.span.start && value.span.end <= node.span.end,
                    "{path}: {node:?}"
                );
                places_hold(value, source, &format!("{path}.{key}"));
            }
        }
        Value::String(text) => {
            let single = format!("'{}'", text.replace('\'', "''"));
            assert!(shown == quoted(text) || shown == single, "{path}: {text:?} at {shown:?}");
        }
        scalar => assert_eq!(shown, scalar_text(scalar), "{path}"),
    }
}

fn parsed(text: &str, format: Format) -> Node {
    let source = SourceFile::new("f", text);
    let node =
        parse(&source, format).unwrap_or_else(|found| panic!("{}\n{text}", found.render(&source, false)));
    if format != Format::Toml {
        places_hold(&node, &source, "");
    }
    node
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn the_formats_mean_the_same(mut tree in trees()) {
        let Value::Mapping(entries) = &tree.value else { return Err(TestCaseError::fail("no mapping")) };
        let json_text = json(&tree);
        let mut yaml_text = "# a comment".to_owned();
        yaml(&tree, 0, &mut yaml_text);
        if entries.is_empty() {
            yaml_text = "{}".to_owned();
        }
        let mut toml_text = String::new();
        toml(entries, "", &mut toml_text);

        prop_assert_eq!(&parsed(&json_text, Format::Json), &tree);
        prop_assert_eq!(&parsed(&yaml_text, Format::Yaml), &tree, "{}", yaml_text);
        // JSON is a part of YAML 1.2.
        prop_assert_eq!(&parsed(&json_text, Format::Yaml), &tree, "{}", json_text);
        let mut by_toml = parsed(&toml_text, Format::Toml);
        sorted(&mut by_toml);
        sorted(&mut tree);
        prop_assert_eq!(by_toml, tree, "{}", toml_text);
    }

    #[test]
    fn spanned_values_are_the_values_and_their_places(tree in trees()) {
        let text = json(&tree);
        let source = SourceFile::new("f", text.as_str());
        let tree = parse(&source, Format::Json).unwrap();
        let plain: serde_json::Value = from_node(&tree).unwrap();
        let spanned: BTreeMap<Spanned<String>, Spanned<serde_json::Value>> = from_node(&tree).unwrap();
        prop_assert_eq!(serde_json::to_value(&spanned).unwrap(), plain);
        for (key, value) in &spanned {
            prop_assert_eq!(source.slice(key.span), quoted(key));
            let again: serde_json::Value = serde_json::from_str(source.slice(value.span)).unwrap();
            prop_assert_eq!(&again, &value.value);
        }
        let foreign: BTreeMap<Spanned<String>, Spanned<serde_json::Value>> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&foreign, &spanned);
        prop_assert!(foreign.keys().all(|key| key.span.is_empty()));
        prop_assert!(foreign.values().all(|value| value.span.is_empty()));
    }
}
