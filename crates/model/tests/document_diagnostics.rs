//! Bad files and what is told about them: `tests/document/NAME.{yaml,toml,json}` beside `NAME.EXT.txt`.
//! `UPDATE=1` writes the expected files anew; read the difference before you commit it.
#![forbid(unsafe_code)]
// Helpers of tests fail by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod document_language;

use document_language::{Formats, GOOD, Network};
use netloom_model::diagnostic::Diagnostics;
use netloom_model::document::{Format, codes, decode};
use netloom_model::source::SourceFile;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn told(path: &Path) -> (String, Vec<&'static str>) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let bytes = std::fs::read(path).unwrap();
    let source = match SourceFile::from_bytes(name.as_str(), &bytes) {
        Ok(source) => source,
        Err(unreadable) => {
            let code = unreadable.diagnostic.code;
            return (unreadable.diagnostic.render(&unreadable.source, false), vec![code]);
        }
    };
    // A first line like `# set: site=a, mtu=9` gives overrides.
    let overrides: BTreeMap<String, String> = source
        .text()
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("# set: "))
        .into_iter()
        .flat_map(|line| line.split(", "))
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let found: Diagnostics = match decode::<Network>(&source, Format::from_name(&name), &overrides, &Formats)
    {
        Ok((value, _)) => panic!("{name} was accepted: {value:?}"),
        Err(found) => found,
    };
    for diagnostic in &found {
        let end = source.text().len();
        if let Some(span) = diagnostic.span {
            assert!(span.start <= span.end && span.end as usize <= end, "{name}: {diagnostic:?}");
        }
    }
    (found.render(&source, false), found.iter().map(|diagnostic| diagnostic.code).collect())
}

#[test]
fn each_bad_file_is_told_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/document");
    let update = std::env::var_os("UPDATE").is_some();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension != "txt"));
    files.sort();
    let mut differences = String::new();
    let mut seen = BTreeSet::new();
    for path in &files {
        let (text, codes) = told(path);
        seen.extend(codes);
        let expected_path = PathBuf::from(format!("{}.txt", path.display()));
        if update {
            std::fs::write(&expected_path, &text).unwrap();
        } else if std::fs::read_to_string(&expected_path).unwrap_or_default() != text {
            differences.push_str(&format!("{}:\n{text}\n", path.display()));
        }
    }
    assert!(differences.is_empty(), "told differently (UPDATE=1 to accept):\n{differences}");
    assert!(files.len() >= 40, "only {} files", files.len());
    let all = [
        codes::NOT_UTF8,
        codes::SYNTAX,
        codes::DUPLICATE_KEY,
        codes::TAB,
        codes::KEY_NOT_TEXT,
        codes::OLD_BOOLEAN,
        codes::SEXAGESIMAL,
        codes::OLD_NUMBER,
        codes::MERGE_KEY,
        codes::TAG,
        codes::SEVERAL_DOCUMENTS,
        codes::ALIAS,
        codes::TOO_DEEP,
        codes::CONTROL_CHARACTER,
        codes::NUMBER_RANGE,
        codes::DIRECTIVE,
        codes::DATE,
        codes::UNKNOWN_VARIABLE,
        codes::BAD_REFERENCE,
        codes::VARIABLE_CYCLE,
        codes::BAD_VARIABLE,
        codes::UNKNOWN_OVERRIDE,
        codes::EXPANSION,
        codes::UNKNOWN_KEY,
        codes::MISSING_KEY,
        codes::WRONG_TYPE,
        codes::BAD_VALUE,
        codes::OUT_OF_RANGE,
        codes::BAD_LENGTH,
        codes::BAD_FORMAT,
        codes::REFUSED,
    ];
    let missing: Vec<_> = all.iter().filter(|code| !seen.contains(*code)).collect();
    assert!(missing.is_empty(), "no file shows {missing:?}");
}

#[test]
fn the_good_file_is_accepted() {
    let source = SourceFile::new("good.yaml", GOOD);
    let decoded = decode::<Network>(&source, Format::Yaml, &BTreeMap::new(), &Formats);
    let (network, warnings) = decoded.unwrap_or_else(|found| panic!("{}", found.render(&source, false)));
    assert!(warnings.is_empty());
    let web = &network.nodes["web"];
    assert_eq!(web.mtu.as_ref().map(|mtu| **mtu), Some(1400));
    assert_eq!(web.up, Some(true));
    assert_eq!(web.run.as_ref().unwrap()[2], "echo north ${HOME}");
    assert_eq!(network.nodes["north-copy"], *web);
    assert_eq!(network.tables[&200].value, "isp-b");
    assert_eq!(network.actions.len(), 4);
}
