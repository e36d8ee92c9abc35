//! The project's files as the tests of its shape read them.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a file that cannot be read is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the project.
pub(crate) struct Source {
    /// Path from the top, with `/`.
    pub(crate) path: String,
    /// What stands in it.
    pub(crate) text: String,
}

/// The top of the project.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every text file that belongs to the project; built and hidden things do not, `.ci` and `.config` do.
pub(crate) fn files() -> Vec<Source> {
    let mut found = Vec::new();
    collect(&top(), "", &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 20, "the project's files were not found");
    found
}

/// Every Rust file of the project.
pub(crate) fn rust_files() -> Vec<Source> {
    files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

fn collect(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let hidden = name.starts_with('.') && ![".ci", ".config", ".cargo"].contains(&name.as_str());
        if hidden || ["target", "node_modules", "__pycache__"].contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(Source { path, text });
        }
    }
}

impl Source {
    /// The folder's name under `crates/`, or `xtask`.
    pub(crate) fn krate(&self) -> Option<&str> {
        let mut parts = self.path.split('/');
        match parts.next() {
            Some("crates") => parts.next(),
            Some("xtask") => Some("xtask"),
            _ => None,
        }
    }

    /// Whether it stands in the `src` of a crate and is not there for tests alone.
    pub(crate) fn is_product(&self) -> bool {
        let parts: Vec<&str> = self.path.split('/').collect();
        let tests =
            parts.iter().any(|part| *part == "tests" || *part == "tests.rs" || part.ends_with("_tests.rs"));
        parts.contains(&"src") && !tests
    }

    /// The numbered lines that are neither comments nor tests of the file's own.
    pub(crate) fn code(&self) -> Vec<(usize, &str)> {
        let mut code = Vec::new();
        let mut lines = self.text.lines().enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            if line == "#[cfg(test)]" {
                // One item: up to its `;` or to the brace that closes it at the margin.
                for (_, line) in lines.by_ref() {
                    if line == "}" || (!line.starts_with([' ', '#', '}']) && line.ends_with([';', '}'])) {
                        break;
                    }
                }
            } else if !line.trim_start().starts_with("//") {
                code.push((number + 1, line.split_once(" // ").map_or(line, |(code, _)| code)));
            }
        }
        code
    }
}

/// Whether `word` stands in `line` as a word of its own.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(part)
            && !line[at + word.len()..].chars().next().is_some_and(part)
    })
}

/// Fails with all of `faults` at once.
pub(crate) fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
