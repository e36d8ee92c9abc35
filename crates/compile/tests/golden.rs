//! Whole tables of small topologies, as text that people can read and review.
//!
//! Every file in `topologies` is compiled, held against the laws of all tables, and compared with its text
//! in `golden`; so are the project's examples, but for the generated ones, which are large and only held
//! against the laws. `UPDATE=1 cargo test -p netloom-compile --test golden` takes new texts over.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code, though not in a test function")]

mod common;

use common::{check_laws, compiled, dump, golden};
use std::path::PathBuf;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

fn check(files: &[PathBuf], prefix: &str) {
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        println!("{name}");
        let compiled = compiled(&std::fs::read_to_string(file).unwrap());
        check_laws(&compiled);
        if !name.starts_with("generate-") {
            golden(&format!("{prefix}{name}"), &dump(&compiled));
        }
    }
}

#[test]
fn tables_are_as_they_were() {
    let files = files("tests/topologies");
    assert!(files.len() >= 10, "{files:?}");
    check(&files, "");
}

#[test]
fn examples_are_as_they_were() {
    let plain = files("../../examples");
    assert!(plain.len() >= 20, "{plain:?}");
    check(&plain, "example-");
    check(&files("../../examples/full-kernel"), "example-");
}
