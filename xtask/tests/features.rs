//! `FEATURES.toml` says what Netloom can do; these tests hold it to the tests that it names.

#![allow(clippy::unwrap_used, reason = "a test")]

mod sources;

use sources::{Source, none, rust_files, top};
use toml_edit::{DocumentMut, Item, Table};

/// The last capability of each group; a group of a single one has no number.
const LAST: &str =
    "A19 B15 C10 D18 E12 F15 G23 H16 I13 J06 K10 L12 M08 N08 O06 P15 Q17 R06 S21 T12 U19 V14 W17 X11 Y Z";

fn features() -> Vec<Table> {
    let text = std::fs::read_to_string(top().join("FEATURES.toml")).unwrap();
    let document: DocumentMut = text.parse().unwrap();
    document["feature"].as_array_of_tables().unwrap().iter().cloned().collect()
}

fn text<'a>(feature: &'a Table, key: &str) -> &'a str {
    feature.get(key).and_then(Item::as_str).unwrap_or_default()
}

fn tests(feature: &Table) -> Vec<&str> {
    let list = feature.get("tests").and_then(Item::as_array);
    list.into_iter().flatten().map(|test| test.as_str().unwrap_or("(not a string)")).collect()
}

#[test]
fn every_capability_has_one_entry_in_order() {
    let mut expected = Vec::new();
    for last in LAST.split(' ') {
        let (letter, count) = last.split_at(1);
        match count.parse::<usize>() {
            Ok(count) => expected.extend((1..=count).map(|number| format!("{letter}{number:02}"))),
            Err(_) => expected.push(letter.to_owned()),
        }
    }
    let features = features();
    let found: Vec<&str> = features.iter().map(|feature| text(feature, "id")).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_entry_is_whole() {
    let mut faults = Vec::new();
    for feature in features() {
        let (id, state) = (text(&feature, "id"), text(&feature, "state"));
        for (key, _) in
            feature.iter().filter(|(key, _)| !["id", "title", "state", "tests", "note"].contains(key))
        {
            faults.push(format!("{id}: what is `{key}`?"));
        }
        if text(&feature, "title").is_empty() {
            faults.push(format!("{id}: has no title"));
        }
        if feature.get("tests").and_then(Item::as_array).is_none() {
            faults.push(format!("{id}: `tests` must be a list, if an empty one"));
        }
        match state {
            "no" => {}
            "partial" if text(&feature, "note").is_empty() => {
                faults.push(format!("{id}: is partial: a note must say what is missing"));
            }
            "partial" => {}
            "yes" if tests(&feature).is_empty() => {
                faults.push(format!("{id}: is `yes` without a test that proves it"))
            }
            "yes" => {}
            other => faults.push(format!("{id}: state `{other}` is none of no, partial, yes")),
        }
    }
    none(&faults);
}

#[test]
fn every_named_test_exists() {
    let rust = rust_files();
    let mut faults = Vec::new();
    for feature in features() {
        for test in tests(&feature).into_iter().filter(|test| !exists(&rust, test)) {
            faults.push(format!("{}: there is no test `{test}`", text(&feature, "id")));
        }
    }
    none(&faults);
}

/// Whether one of `files` holds the test that `name` means.
fn exists(files: &[Source], name: &str) -> bool {
    let Some((place, function)) = name.rsplit_once("::") else { return false };
    if place.ends_with(".rs") {
        return files.iter().any(|file| file.path == place && holds_test(&file.text, function));
    }
    let mut modules = place.split("::");
    let krate = modules.next().unwrap_or_default();
    let krate = krate.strip_prefix("netloom_").unwrap_or(krate);
    let modules: Vec<&str> = modules.collect();
    files.iter().filter(|file| file.krate() == Some(krate) && file.path.contains("/src/")).any(|file| {
        let folders = file.path.trim_end_matches(".rs").split('/').skip_while(|part| *part != "src");
        let folders: Vec<&str> =
            folders.skip(1).filter(|part| !["lib", "main", "mod"].contains(part)).collect();
        // The file's own path, then modules that are written in the file.
        modules.starts_with(&folders)
            && modules[folders.len()..].iter().all(|module| {
                file.text
                    .lines()
                    .any(|line| line.trim_start().trim_start_matches("pub ") == format!("mod {module} {{"))
            })
            && holds_test(&file.text, function)
    })
}

/// Whether `text` has a function `name` with the attribute of a test among those before it.
fn holds_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    (0..lines.len()).filter(|at| lines[*at].starts_with(&head)).any(|at| {
        let before =
            lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        before.into_iter().any(|line| *line == "#[test]")
    })
}

#[test]
fn names_are_resolved_exactly() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let unit = "fn helper() {}\n#[cfg(test)]\nmod tests {\n    #[test]\n    #[ignore = \"vm\"]\n    fn holds() {}\n}\n";
    let files = [
        source("crates/wire/src/mac.rs", unit),
        source("crates/kernel/src/link/mod.rs", unit),
        source("crates/netloom/tests/cli.rs", "#[test]\nfn help() {}\n"),
    ];
    for good in [
        "wire::mac::tests::holds",
        "netloom_wire::mac::tests::holds",
        "kernel::link::tests::holds",
        "crates/netloom/tests/cli.rs::help",
    ] {
        assert!(exists(&files, good), "{good}");
    }
    for bad in [
        "wire::mac::tests::hold",
        "wire::mac::tests::helper",
        "wire::mac::holds::tests",
        "wire::tests::holds",
        "model::mac::tests::holds",
        "crates/netloom/tests/cli.rs::holds",
        "holds",
        "",
    ] {
        assert!(!exists(&files, bad), "{bad}");
    }
}
