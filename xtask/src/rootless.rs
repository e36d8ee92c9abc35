//! The tests that must hold for an ordinary user, run by root as one.
//!
//! They are the binaries whose name begins with `rootless_`. An ordinary user already runs them with the
//! ordinary tests. The build directory may be closed to others, so they are copied, with the program and the
//! examples, to a folder that belongs to that user.

use crate::binaries::{Built, top};
use crate::tally::Tally;
use crate::{peers, process};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// A user who owns nothing, on every Debian.
const USER: &str = "nobody";

/// Runs the set; `None` when this process is not root, as there is nothing to add then.
pub(crate) fn run(built: &Built, skips: &Path) -> Result<Option<Tally>, String> {
    let binaries: Vec<_> = built.named("rootless_").collect();
    if !process::is_root() || binaries.is_empty() {
        return Ok(None);
    }
    let Some((user, group)) = user_ids(&fs::read_to_string("/etc/passwd").unwrap_or_default()) else {
        let tests = binaries.iter().map(|binary| binary.target.clone());
        return Ok(Some(Tally::not_run(tests, "there is no user `nobody` here")));
    };
    let home = Home::make(built, user, group)?;
    // The skips' file stands in root's own folder.
    let noted = home.path.join("skips");
    let mut tally = Tally::default();
    for binary in binaries {
        let copy = home.path.join("bin").join(&binary.target);
        copy_file(&binary.file, &copy)?;
        println!("as {USER}: {}", binary.target);
        let mut command = Command::new(&copy);
        command
            .uid(user)
            .gid(group)
            .current_dir(&home.path)
            .env_clear()
            .env("PATH", peers::standard_path())
            .env("USER", USER)
            .env("LOGNAME", USER)
            .env("HOME", home.path.join("home"))
            .env("TMPDIR", home.path.join("tmp"))
            .env("XDG_RUNTIME_DIR", home.path.join("run"))
            .env("NETLOOM_SKIPS", &noted)
            .env("NETLOOM_ROOT", &home.path)
            .env("NETLOOM_BIN", home.path.join("bin/netloom"));
        let done = process::streamed(&mut command)?;
        tally.add(Tally::read(&done.text, done.success));
        for (pid, command) in home.left_over() {
            tally.failed += 1;
            tally.failures.push(format!("{}: left process {pid} behind: {command}", binary.target));
            let _ = process::quiet(Command::new("kill").args(["-KILL", &pid]));
        }
    }
    if let Ok(text) = fs::read_to_string(&noted) {
        fs::write(skips, text).map_err(|error| format!("{}: {error}", skips.display()))?;
    }
    Ok(Some(tally))
}

/// User and group numbers of [`USER`] in the text of `/etc/passwd`.
fn user_ids(passwd: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(USER))?;
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The ordinary user's folder, removed when dropped. Its path is short: socket paths end at 108 bytes.
struct Home {
    path: PathBuf,
}

impl Home {
    fn make(built: &Built, user: u32, group: u32) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("netloom-{}", std::process::id()));
        let home = Self { path };
        let said = |error| format!("{}: {error}", home.path.display());
        // Fails where the folder exists, so nobody else's folder is ever used.
        fs::create_dir(&home.path).map_err(said)?;
        for (name, mode) in [("bin", 0o755), ("home", 0o700), ("tmp", 0o700), ("run", 0o700), ("", 0o755)] {
            let folder = home.path.join(name);
            fs::create_dir_all(&folder).map_err(said)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).map_err(said)?;
            chown(&folder, Some(user), Some(group)).map_err(said)?;
        }
        if let Some(program) = &built.program {
            copy_file(program, &home.path.join("bin/netloom"))?;
        }
        copy_folder(&top().join("examples"), &home.path.join("examples"))?;
        Ok(home)
    }

    /// Processes of the tests that still run, once they had time to end: number and command line.
    fn left_over(&self) -> Vec<(String, String)> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let found = self.processes();
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Processes whose environment names this folder.
    fn processes(&self) -> Vec<(String, String)> {
        let mark = self.path.display().to_string().into_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            // Those that end meanwhile, and kernel threads, show nothing.
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.windows(mark.len()).any(|part| part == mark) {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                found.push((entry.file_name().to_string_lossy().into_owned(), line.trim().to_owned()));
            }
        }
        found
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{} could not be removed: {error}", self.path.display());
        }
    }
}

/// Copies a file so that everybody may read and run it.
fn copy_file(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .and_then(|_| fs::set_permissions(to, fs::Permissions::from_mode(0o755)))
        .map_err(|error| format!("{} could not be copied: {error}", from.display()))
}

/// Copies a folder with what is in it; one that is not there has nothing in it.
fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    let said = |error: std::io::Error| format!("{} could not be copied: {error}", from.display());
    fs::create_dir(to).map_err(said)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).map_err(said)?;
    for entry in entries {
        let entry = entry.map_err(said)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            copy_file(&entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_user() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n";
        assert_eq!(user_ids(passwd), Some((65534, 65533)));
        assert_eq!(user_ids("nobodyelse:x:1:1::/:\n"), None);
        assert_eq!(user_ids("nobody:x:many"), None);
    }
}
