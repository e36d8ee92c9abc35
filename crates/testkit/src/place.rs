//! Where a test finds the program and the project's files.
//!
//! `cargo xtask test` runs some test binaries again as an ordinary user, who may be unable to read the build
//! directory. It copies what they need and says where in `NETLOOM_BIN` and `NETLOOM_ROOT`.

use std::path::{Path, PathBuf};

/// The `netloom` program: `NETLOOM_BIN` if set, else `built`, which a test passes as
/// `env!("CARGO_BIN_EXE_netloom")`.
#[must_use]
pub fn program(built: &str) -> PathBuf {
    std::env::var_os("NETLOOM_BIN").map_or_else(|| PathBuf::from(built), PathBuf::from)
}

/// A file of the project, by its path from the top, such as `examples/quickstart.yaml`.
///
/// A copied test sees `examples/` only.
#[must_use]
pub fn project_file(path: &str) -> PathBuf {
    let top = std::env::var_os("NETLOOM_ROOT")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), PathBuf::from);
    top.join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_files_are_found() {
        assert!(project_file("Cargo.toml").is_file());
    }
}
