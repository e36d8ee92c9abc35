//! The unpacked sources, prepared so that the generated suite runs without having been configured.

use super::classes;
use super::outcome::{self, Course, Outcome, Results};
use crate::process;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// Where Debian's package has the sources.
const SOURCES: &str = "/usr/src/openvswitch/openvswitch.tar.gz";
/// Where the real daemons may be.
const DAEMONS: [&str; 3] = ["/usr/sbin", "/usr/bin", "/usr/lib/openvswitch-switch"];

/// A group of the suite: what it calls a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) number: u32,
    /// The file that it is written in.
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) title: String,
    /// It starts a program that is compiled for the suite alone.
    pub(crate) needs_helper: bool,
}

/// The sources.
#[derive(Debug)]
pub(crate) struct Rig {
    top: PathBuf,
}

/// The netloom program that was built last.
///
/// # Errors
/// When none was.
pub(super) fn built_program() -> Result<PathBuf, String> {
    let target = crate::binaries::top().join("target");
    let built = ["release", "debug"].map(|profile| target.join(profile).join("netloom"));
    let when = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let newest = built.into_iter().filter(|path| path.exists()).max_by_key(when);
    newest.ok_or_else(|| "there is no program: cargo build --release -p netloom".to_owned())
}

impl Rig {
    /// Unpacks the sources if that was not done before; none when the package is not there.
    ///
    /// # Errors
    /// When they can't be unpacked.
    pub(crate) fn unpack() -> Result<Option<Self>, String> {
        if !Path::new(SOURCES).exists() {
            return Ok(None);
        }
        let user = fs::metadata("/proc/self").map_or(0, |own| std::os::unix::fs::MetadataExt::uid(&own));
        // The suite makes sockets below it, whose names may have 107 octets.
        let base = std::env::temp_dir().join(format!("netloom-ovs-suite-{user}"));
        let top = base.join("openvswitch");
        if !top.join("tests/testsuite").exists() {
            let beside = base.join(format!("unpacking-{}", std::process::id()));
            let failed = |error: std::io::Error| format!("{}: {error}", beside.display());
            fs::create_dir_all(&beside).map_err(failed)?;
            process::quiet(Command::new("tar").arg("-xzf").arg(SOURCES).arg("-C").arg(&beside))?;
            if let Err(error) = fs::rename(beside.join("openvswitch"), &top)
                && !top.exists()
            {
                return Err(failed(error));
            }
            let _ = fs::remove_dir_all(&beside);
        }
        if let Err(error) = super::keys::make(&top.join("tests")) {
            println!("groups about TLS have no keys: {error}");
        }
        Ok(Some(Self { top }))
    }

    fn tests(&self) -> PathBuf {
        self.top.join("tests")
    }

    fn suite(&self) -> Result<Suite, String> {
        let path = self.tests().join("testsuite");
        let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Suite::of(&self.top, &text))
    }

    /// All groups.
    ///
    /// # Errors
    /// When the suite can't be read.
    pub(crate) fn groups(&self) -> Result<Vec<Group>, String> {
        let path = self.tests().join("testsuite");
        let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = String::from_utf8_lossy(&text);
        let helpers = self.helpers().map_err(|error| format!("{}: {error}", self.top.display()))?;
        Ok(groups(&text, &helpers))
    }

    /// Names of the programs that are compiled for the suite.
    fn helpers(&self) -> std::io::Result<Vec<String>> {
        let mut names = vec!["ovstest".to_owned()];
        for entry in fs::read_dir(self.tests())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".c").filter(|name| name.starts_with("test-")).map(str::to_owned));
        }
        Ok(names)
    }

    fn side(&self, side: &str) -> PathBuf {
        self.top.with_file_name(side)
    }

    /// Runs groups with `program` in the place of the daemons, or with the daemons themselves. Results are remembered as
    /// they come.
    ///
    /// # Errors
    /// When the suite can't be started.
    pub(crate) fn run(
        &self,
        side: &str,
        program: Option<&Path>,
        groups: &[&Group],
        (jobs, limit): (usize, Duration),
    ) -> Result<Results, String> {
        let directory = self.side(side);
        let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
        let (bin, work) = (directory.join("bin"), directory.join("w"));
        let _ = fs::remove_dir_all(&bin);
        fs::create_dir_all(&bin).map_err(failed)?;
        fs::create_dir_all(&work).map_err(failed)?;
        for daemon in ["ovs-vswitchd", "ovsdb-server"] {
            let real = || {
                DAEMONS.iter().map(|directory| Path::new(directory).join(daemon)).find(|path| path.exists())
            };
            let target = match program {
                Some(program) => std::path::absolute(program).map_err(failed)?,
                None => real().ok_or_else(|| format!("{daemon} is not installed"))?,
            };
            symlink(target, bin.join(daemon)).map_err(failed)?;
        }
        let suite = self.suite()?;
        let course = Course { suite: &suite, work: &work, bin: &bin, jobs, limit };
        // One that is interrupted has remembered what it ran.
        let kept = Mutex::new(self.kept(side));
        course.run(groups, &|number, outcome| {
            if let Ok(mut kept) = kept.lock() {
                kept.insert(number, outcome);
                if let Err(error) = self.keep(side, &kept) {
                    eprintln!("{error}");
                }
            }
        })
    }

    /// Remembers results.
    fn keep(&self, side: &str, results: &Results) -> Result<(), String> {
        let text: String =
            results.iter().map(|(number, outcome)| format!("{number} {}\n", outcome.name())).collect();
        write_if_new(&self.side(side).join("results"), &text).map_err(|error| error.to_string())
    }

    /// What is remembered.
    pub(super) fn kept(&self, side: &str) -> Results {
        let text = fs::read_to_string(self.side(side).join("results")).unwrap_or_default();
        text.lines().filter_map(outcome::remembered).collect()
    }

    /// Forgets a side.
    #[cfg(test)]
    pub(super) fn forget(&self, side: &str) {
        let _ = fs::remove_dir_all(self.side(side));
    }

    /// Why groups failed: classes with the numbers of their groups.
    pub(super) fn classes(
        &self,
        side: &str,
        failed: &[&Group],
        results: &Results,
    ) -> BTreeMap<String, Vec<u32>> {
        let mut all: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for group in failed {
            let log = self.side(side).join("w").join(group.number.to_string()).join("testsuite.dir");
            let log = log.join(format!("{:04}/testsuite.log", group.number));
            let text =
                fs::read(&log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
            let class = match results.get(&group.number) {
                Some(Outcome::Hung) => "it did not end in time".to_owned(),
                _ => classes::of(&text),
            };
            all.entry(class).or_default().push(group.number);
        }
        all
    }
}

/// What a group's text begins with.
const START: &[u8] = b"#AT_START_";

/// The generated suite, taken apart.
#[derive(Debug)]
pub(super) struct Suite {
    /// Where its tests are.
    pub(super) tests: PathBuf,
    /// What stands before the first group.
    driver: Vec<u8>,
    /// The text of each group. Not all of it is UTF-8.
    bodies: BTreeMap<u32, Vec<u8>>,
    config: String,
    local: String,
}

impl Suite {
    /// Takes the suite apart whose sources are at `top`.
    pub(super) fn of(top: &Path, text: &[u8]) -> Self {
        let mut bodies: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let (mut driver, mut now) = (Vec::new(), None);
        for line in text.split_inclusive(|octet| *octet == b'\n') {
            let number = line.strip_prefix(START).and_then(|rest| std::str::from_utf8(rest).ok());
            now = number.and_then(|number| number.trim_end().parse().ok()).or(now);
            match now {
                Some(number) => bodies.entry(number).or_default().extend_from_slice(line),
                None => driver.extend_from_slice(line),
            }
        }
        let tests = top.join("tests");
        let top = top.display();
        let config = format!(
            "at_testdir='tests'\nat_srcdir='{top}/tests'\nabs_srcdir='{top}/tests'\n\
             at_top_srcdir='{top}'\nabs_top_srcdir='{top}'\nat_top_build_prefix='{top}/'\n\
             abs_top_builddir='{top}'\nat_top_builddir=$at_top_build_prefix\nAUTOTEST_PATH='tests'\n\
             SHELL=${{CONFIG_SHELL-'/bin/bash'}}\n"
        );
        let values = [
            ("@HAVE_OPENSSL@", "yes"),
            ("@OPENSSL_SUPPORTS_SNI@", "yes"),
            ("@HAVE_UNBOUND@", "no"),
            ("@EGREP@", "grep -E"),
            ("@PYTHON3@", "/usr/bin/python3"),
            ("@CFLAGS@", ""),
        ];
        let mut local = fs::read_to_string(tests.join("atlocal.in")).unwrap_or_default();
        for (name, value) in values {
            local = local.replace(name, value);
        }
        // It would make interfaces on this host to see what `tc` can do, for tests that are not part of this suite.
        local = local.replace("if test $HAVE_TC=\"yes\"; then", "if false; then");
        Self { tests, driver, bodies, config, local }
    }

    /// Writes what `configure` would have written, for a run in this directory.
    pub(super) fn configure(&self, work: &Path) -> std::io::Result<()> {
        fs::write(work.join("atconfig"), format!("abs_builddir='{}'\n{}", work.display(), self.config))?;
        fs::write(work.join("atlocal"), &self.local)
    }

    /// The suite with one group alone.
    pub(super) fn script(&self, group: &Group) -> Vec<u8> {
        let body = self.bodies.get(&group.number).map_or(&[][..], Vec::as_slice);
        [self.driver.as_slice(), body].concat()
    }
}

fn write_if_new(path: &Path, text: &str) -> std::io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let beside = path.with_extension(format!("new{}", std::process::id()));
    fs::write(&beside, text)?;
    fs::rename(beside, path)
}

/// The groups of a generated suite.
fn groups(text: &str, helpers: &[String]) -> Vec<Group> {
    let mut all = Vec::new();
    let list = text
        .split_once("at_help_all=\"")
        .and_then(|(_, rest)| rest.split_once("\n\"\n"))
        .map_or("", |(list, _)| list);
    for line in list.lines() {
        let mut fields = line.splitn(4, ';');
        let number = fields.next().and_then(|field| field.parse().ok());
        let place = fields.next().and_then(|field| field.split_once(':'));
        let (Some(number), Some((file, line)), Some(title)) = (number, place, fields.next()) else {
            continue;
        };
        all.push(Group {
            number,
            file: file.to_owned(),
            line: line.parse().unwrap_or(0),
            title: title.to_owned(),
            needs_helper: false,
        });
    }
    let mut rest = text;
    for group in &mut all {
        let begin = format!("\n#AT_START_{}\n", group.number);
        let Some((_, behind)) = rest.split_once(&begin) else { continue };
        let body =
            behind.split_once(&format!("\n#AT_STOP_{}\n", group.number)).map_or(behind, |(body, _)| body);
        group.needs_helper = helpers.iter().any(|helper| calls(body, helper));
        rest = behind;
    }
    all
}

/// Whether a script names a program: the name as a word, and not as the beginning of a script's (`test-json.py`).
fn calls(body: &str, program: &str) -> bool {
    let part = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    body.match_indices(program).any(|(at, _)| {
        let before = body.get(..at).and_then(|text| text.chars().next_back());
        let after = body.get(at + program.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_their_helpers() {
        let text = "x\nat_help_all=\"1;a.at:21;first: one;key;\n2;a.at:30;second;;\n3;b.at:4;third;;\n\"\n\
                    #AT_START_1\n$PYTHON3 test-json.py\n#AT_STOP_1\n#AT_START_2\nfoo | test-json x\n#AT_STOP_2\n\
                    #AT_START_3\novstest test-x\n#AT_STOP_3\n";
        let helpers = ["ovstest".to_owned(), "test-json".to_owned()];
        let all = groups(text, &helpers);
        let seen: Vec<(u32, &str, u32, bool)> = all
            .iter()
            .map(|group| (group.number, group.file.as_str(), group.line, group.needs_helper))
            .collect();
        assert_eq!(seen, [(1, "a.at", 21, false), (2, "a.at", 30, true), (3, "b.at", 4, true)]);
        assert_eq!(all[0].title, "first: one");
    }
}
