//! Files that read well and mean nothing good, and what is told about them: `tests/validate/NAME.yaml` beside
//! `NAME.yaml.txt`. `UPDATE=1` writes the expected files anew; read the difference before you commit it.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use netloom_model::diagnostic::{Diagnostics, Severity};
use netloom_model::document::Format;
use netloom_model::load::load;
use netloom_model::source::SourceFile;
use netloom_model::validate::codes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What is told about a file.
fn told(path: &Path) -> (SourceFile, Diagnostics) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let source = SourceFile::new(name.as_str(), std::fs::read_to_string(path).unwrap());
    let found = match load(&source, Format::Yaml, &BTreeMap::new()) {
        Ok(loaded) => {
            assert!(name.starts_with("warnings-only"), "{name} was accepted");
            loaded.warnings
        }
        Err(found) => found,
    };
    (source, found)
}

/// Every finding has a place, words beside it and a way out.
fn complete(source: &SourceFile, found: &Diagnostics) {
    for finding in found {
        let all = finding.span.is_some_and(|span| !span.is_empty())
            && finding.label.is_some()
            && finding.help.is_some();
        assert!(all || finding.code == codes::GENERATOR, "{}", finding.render(source, false));
        let warning = finding.code.starts_with('W');
        assert_eq!(finding.severity == Severity::Warning, warning, "{}", finding.code);
        assert!(finding.span.unwrap().end as usize <= source.text().len());
    }
}

#[test]
fn each_bad_file_is_told_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/validate");
    let update = std::env::var_os("UPDATE").is_some();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut differences = String::new();
    let mut seen = BTreeSet::new();
    for path in &files {
        let (source, found) = told(path);
        complete(&source, &found);
        seen.extend(found.iter().map(|finding| finding.code));
        let text = found.render(&source, false);
        let expected = PathBuf::from(format!("{}.txt", path.display()));
        if update {
            std::fs::write(&expected, &text).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != text {
            differences.push_str(&format!("{}:\n{text}\n", path.display()));
        }
    }
    assert!(differences.is_empty(), "told differently (UPDATE=1 to accept):\n{differences}");
    let untold: Vec<&&str> = codes::ALL.iter().filter(|code| !seen.contains(**code)).collect();
    assert!(untold.is_empty(), "no file shows {untold:?}");
    let unknown: Vec<&&str> = seen.iter().filter(|code| !codes::ALL.contains(*code)).collect();
    assert!(unknown.is_empty(), "files fail before they are validated: {unknown:?}");
}

#[test]
fn codes_are_different() {
    let all: BTreeSet<&&str> = codes::ALL.iter().collect();
    assert_eq!(all.len(), codes::ALL.len());
}
