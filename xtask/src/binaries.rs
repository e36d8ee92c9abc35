//! The test binaries of the workspace, as cargo has built them.

use crate::process;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One built test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binary {
    /// Name of the target: the file's name for an integration test.
    pub(crate) target: String,
    /// The folder of its package, where cargo would start it.
    pub(crate) folder: PathBuf,
    /// The built file.
    pub(crate) file: PathBuf,
}

/// Everything that was built.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// Test binaries of every package.
    pub(crate) tests: Vec<Binary>,
    /// The `netloom` program, if a test needed it.
    pub(crate) program: Option<PathBuf>,
}

impl Built {
    /// Test binaries whose file's name begins with `prefix`.
    pub(crate) fn named<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Binary> {
        self.tests.iter().filter(move |binary| binary.target.starts_with(prefix))
    }
}

impl Binary {
    /// Names of the tests that are marked `#[ignore]`.
    pub(crate) fn ignored(&self) -> Result<Vec<String>, String> {
        let listed = process::quiet(self.command().args(["--list", "--ignored", "--format", "terse"]))?;
        Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }

    /// The binary in its package's folder, as cargo would start it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.file);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.env("CARGO_TERM_COLOR", "never").current_dir(top());
    command
}

/// The folder of the workspace.
#[must_use]
pub(crate) fn top() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Builds every test and says what came out.
///
/// # Errors
/// The build's failure; the compiler's messages have then been printed.
pub(crate) fn build() -> Result<Built, String> {
    let done = cargo()
        .args(["test", "--workspace", "--tests", "--no-run", "--message-format", "json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo could not be run: {error}"))?;
    if done.status.success() {
        Ok(parse(&String::from_utf8_lossy(&done.stdout)))
    } else {
        Err("the tests do not build".to_owned())
    }
}

/// Reads cargo's messages, one JSON object a line.
fn parse(messages: &str) -> Built {
    let mut built = Built::default();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let (Some(file), Some(target)) = (message["executable"].as_str(), message["target"]["name"].as_str())
        else {
            continue;
        };
        if message["profile"]["test"] == true {
            let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
            built.tests.push(Binary {
                target: target.to_owned(),
                folder: manifest.parent().map(Path::to_path_buf).unwrap_or_default(),
                file: file.into(),
            });
        } else if target == "netloom" {
            built.program = Some(file.into());
        }
    }
    built
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/p/crates/a/Cargo.toml","target":{"name":"vm_a"},"profile":{"test":true},"executable":"/t/vm_a-1"}
{"reason":"compiler-artifact","target":{"name":"netloom"},"profile":{"test":false},"executable":"/t/netloom"}
{"reason":"compiler-artifact","target":{"name":"library"},"profile":{"test":false},"executable":null}
not json
{"reason":"build-finished","success":true}"#;
        let built = parse(messages);
        assert_eq!(built.program, Some("/t/netloom".into()));
        let expected =
            Binary { target: "vm_a".into(), folder: "/p/crates/a".into(), file: "/t/vm_a-1".into() };
        assert_eq!(built.named("vm_").cloned().collect::<Vec<_>>(), [expected]);
        assert_eq!(built.named("rootless_").count(), 0);
    }
}
