//! Every example of the project is right, says nothing that is probably not meant, and proves itself by tests of
//! both kinds: what must be possible, and what must not.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use netloom_model::document::Format;
use netloom_model::expand::expand;
use netloom_model::load::{Loaded, load};
use netloom_model::source::SourceFile;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn files() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in [top.clone(), top.join("full-kernel")] {
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")));
    }
    files.sort();
    files
}

fn read(path: &Path) -> Loaded {
    try_read(path).unwrap_or_else(|told| panic!("{told}"))
}

fn try_read(path: &Path) -> Result<Loaded, String> {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let source = SourceFile::new(name, text);
    let loaded = load(&source, Format::Yaml, &BTreeMap::new());
    let loaded = loaded.map_err(|found| found.render(&source, false))?;
    if loaded.warnings.is_empty() { Ok(loaded) } else { Err(loaded.warnings.render(&source, false)) }
}

#[test]
fn every_example_is_valid_without_warnings() {
    let files = files();
    assert!(files.len() >= 35, "only {} examples", files.len());
    let mut names = BTreeSet::new();
    let told: String = files.iter().filter_map(|path| try_read(path).err()).collect();
    assert!(told.is_empty(), "{told}");
    for path in files {
        let loaded = read(&path);
        let topology = loaded.validated.topology();
        assert!(names.insert(topology.name.value.clone()), "{}: the name is used twice", path.display());
        let positive = topology.tests.iter().filter(|test| test.blocked.is_none()).count();
        let negative = topology.tests.iter().filter(|test| test.blocked.is_some()).count();
        let shaped = topology.tests.iter().any(|test| test.bandwidth.is_some() || test.loss.is_some());
        assert!(positive > 0, "{}: nothing is shown to work", path.display());
        assert!(negative > 0 || shaped, "{}: nothing is shown to be held back", path.display());
        assert!(loaded.validated.source().text().starts_with("# "), "{}: no word about it", path.display());
    }
}

#[test]
fn expanding_twice_is_expanding_once() {
    for path in files() {
        let once = read(&path).validated.topology().clone();
        let mut out = netloom_model::diagnostic::Diagnostics::new();
        let twice = expand(once.clone(), &mut out);
        assert!(out.is_empty() && once == twice, "{}", path.display());
    }
}

/// What an example says it needs: nothing of the host.
#[test]
fn no_example_touches_the_host() {
    for path in files() {
        let loaded = read(&path);
        let index = loaded.validated.index();
        for (name, network) in &loaded.validated.topology().networks {
            let uplink = network.uplink.as_ref().map(|uplink| uplink.to_string());
            let nat = network.mode == netloom_model::topology::NetworkMode::Nat;
            assert!(!nat || uplink.is_some(), "{}: {} leads to the host", path.display(), name.value);
            assert!(uplink.is_none_or(|uplink| !uplink.starts_with("host")), "{}", path.display());
            assert!(index.thing(&name.value).is_some());
        }
    }
}
