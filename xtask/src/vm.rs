//! The tests that need a full kernel, all in one boot of an emulated machine.
//!
//! They stand in integration tests whose file begins with `vm_` and are marked `#[ignore = "vm"]`, so that the
//! ordinary run leaves them out. `tools/vm/vmrun` boots the machine; the guest sees this machine's files, so
//! the binaries that cargo has built run there as they are. Costs: a boot of 3 to 8 s, and minutes once for the
//! set-up.

use crate::binaries::{Binary, Built, top};
use crate::process;
use crate::tally::Tally;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Modules that no request loads by itself.
const MODULES: &str = "netdevsim";

/// Runs the set, or says why it cannot be run; `scratch` is a folder the guest may write.
pub(crate) fn run(built: &Built, scratch: &Path, skips: &Path) -> Result<Tally, String> {
    let binaries: Vec<_> = built.named("vm_").collect();
    if binaries.is_empty() {
        return Ok(Tally::default());
    }
    println!("starting the emulated machine (the first time it is set up, which takes minutes)");
    if let Err(reason) = process::quiet(vmrun().args(["--timeout", "300", "--", "true"])) {
        let mut tests = Vec::new();
        for binary in binaries {
            tests.extend(binary.ignored()?.into_iter().map(|test| format!("{}::{test}", binary.target)));
        }
        return Ok(Tally::not_run(tests, &format!("no emulated machine: {reason}")));
    }
    let script = scratch.join("tests.sh");
    fs::write(&script, guest_script(&binaries)).map_err(|error| format!("{}: {error}", script.display()))?;
    let mut command = vmrun();
    command.args(["--timeout", "1200", "--module", MODULES, "--rw"]).arg(scratch);
    command.arg("--env").arg(format!("NETLOOM_SKIPS={}", skips.display()));
    if let Some(program) = &built.program {
        command.arg("--env").arg(format!("NETLOOM_BIN={}", program.display()));
    }
    let done = process::streamed(command.args(["--", "sh"]).arg(&script))?;
    Ok(Tally::read(&done.text, done.success))
}

fn vmrun() -> Command {
    let mut command = Command::new(top().join("tools/vm/vmrun"));
    command.current_dir(top());
    command
}

/// Runs each binary in its package's folder; fails when one of them does, after all of them.
fn guest_script(binaries: &[&Binary]) -> String {
    let mut script = String::from("status=0\n");
    for binary in binaries {
        let (folder, file) = (quoted(&binary.folder), quoted(&binary.file));
        script += &format!("cd {folder} && CARGO_MANIFEST_DIR={folder} {file} --ignored || status=1\n");
    }
    script + "exit $status\n"
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_survives_odd_paths() {
        let binary = Binary { target: "vm_x".into(), folder: "/a b".into(), file: "/it's".into() };
        let expected = "status=0\ncd '/a b' && CARGO_MANIFEST_DIR='/a b' '/it'\\''s' --ignored || status=1\nexit $status\n";
        assert_eq!(guest_script(&[&binary]), expected);
    }
}
