//! Whole tables of small topologies, as text that people can read and review.
//!
//! Every file in `topologies` is compiled, held against the laws of all tables, and compared with its text
//! in `golden`. `UPDATE=1 cargo test -p netloom-compile --test golden` takes a new text over.

mod common;

use common::{check_laws, compiled, dump, golden};

#[test]
fn tables_are_as_they_were() {
    let folder = format!("{}/tests/topologies", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        println!("{name}");
        let compiled = compiled(&std::fs::read_to_string(&file).unwrap());
        check_laws(&compiled);
        golden(name, &dump(&compiled));
    }
}
