//! The rules of the architecture that a machine can keep. `ARCHITECTURE.md` says why they stand.
//!
//! The checks of the sources are textual: they read lines, leave out comments and tests, and can be fooled by
//! who wants to. Each failure lists every place at once.

#![allow(clippy::unwrap_used, reason = "a test")]

mod sources;

use serde_json::Value;
use sources::{files, has_word, none, rust_files, top};
use std::process::Command;

/// What each crate may depend on. A new arrow is a change of the design: say so in `ARCHITECTURE.md`.
const ARROWS: &[(&str, &[&str])] = &[
    ("netloom-wire", &[]),
    ("netloom-mem", &[]),
    ("netloom-table", &["netloom-wire", "netloom-mem"]),
    ("netloom-nf", &["netloom-wire", "netloom-mem", "netloom-table"]),
    ("netloom-port", &["netloom-mem", "netloom-wire"]),
    ("netloom-datapath", &["netloom-wire", "netloom-mem", "netloom-table", "netloom-nf"]),
    ("netloom-proto", &["netloom-wire"]),
    ("netloom-vswitch", &["netloom-wire", "netloom-mem", "netloom-table", "netloom-nf", "netloom-proto"]),
    ("netloom-model", &["netloom-wire"]),
    ("netloom-compile", &["netloom-wire", "netloom-model"]),
    ("netloom-kernel", &["netloom-wire", "netloom-compile"]),
    (
        "netloom-control",
        &[
            "netloom-wire",
            "netloom-mem",
            "netloom-table",
            "netloom-nf",
            "netloom-datapath",
            "netloom-proto",
            "netloom-vswitch",
            "netloom-model",
            "netloom-compile",
            "netloom-kernel",
        ],
    ),
    (
        "netloom",
        &[
            "netloom-wire",
            "netloom-mem",
            "netloom-table",
            "netloom-nf",
            "netloom-port",
            "netloom-datapath",
            "netloom-proto",
            "netloom-vswitch",
            "netloom-model",
            "netloom-compile",
            "netloom-kernel",
            "netloom-control",
        ],
    ),
    ("netloom-testkit", &["netloom-wire", "netloom-mem", "netloom-model"]),
    ("netloom-xtask", &[]),
];

/// Crates that do no I/O, read no clock and start no thread, so that they can be replayed and fuzzed.
const PURE: &[&str] = &["wire", "table", "nf", "proto", "vswitch", "model", "compile"];

/// Crates whose business it is to own memory that others see too: here `unsafe` may stand in any file, block
/// by block with its reason.
const UNSAFE_CRATES: &[&str] = &["mem", "port"];

/// The one file that may hold `unsafe`, and the crate root that lets it.
const UNSAFE: (&str, &str) = ("crates/kernel/src/sys.rs", "crates/kernel/src/lib.rs");

/// Product files that may start a program, each with the reason. The program is always one that the user
/// named or Netloom itself, never one that Netloom picks: a literal name is refused even there.
const MAY_SPAWN: &[(&str, &str)] = &[
    ("crates/kernel/src/process.rs", "commands that the user's file asks for on a node"),
    ("crates/netloom/src/commands/daemon.rs", "Netloom itself, in the background"),
    ("crates/netloom/src/commands/exec.rs", "`netloom exec` and `shell`: the user names the command"),
    ("crates/netloom/src/commands/switchd.rs", "Netloom itself, as the switch of a realm"),
    ("crates/netloom/src/personality/daemon.rs", "Netloom itself, in the background under another name"),
    ("crates/netloom/src/personality/ofctl/detach.rs", "Netloom itself, as a tool that goes on listening"),
    (
        "crates/netloom/src/personality/ovsdb_server.rs",
        "`ovsdb-server --run`: the user's command line, by the shell",
    ),
];

/// Lines of a file at which it is refused, and at which it is mentioned.
const FILE_LIMIT: usize = 700;
const FILE_LONG: usize = 600;

/// Packages of the workspace with their manifests' dependencies, as cargo understands them.
fn packages() -> Vec<Value> {
    let done = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(top())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let metadata: Value = serde_json::from_slice(&done.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn arrows_go_downward() {
    let mut faults = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("{name} is new: add it to ARROWS and to ARCHITECTURE.md"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let (other, kind) = (dependency["name"].as_str().unwrap(), dependency["kind"].as_str());
            // Paths only: those are the project's own.
            if dependency["path"].is_null() || allowed.contains(&other) {
                continue;
            }
            // Ports of memory and wrappers that make faults serve the tests of others too.
            let for_tests = kind == Some("dev") && ["netloom-testkit", "netloom-port"].contains(&other);
            if !for_tests {
                faults.push(format!(
                    "{name} -> {other} ({}) is not an arrow of the design",
                    kind.unwrap_or("normal")
                ));
            }
        }
    }
    none(&faults);
}

#[test]
fn unsafe_stands_where_it_may() {
    let mut faults = Vec::new();
    let rust = rust_files();
    for package in packages() {
        for target in package["targets"].as_array().unwrap() {
            let kinds: Vec<&str> =
                target["kind"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            if !kinds.iter().any(|kind| ["lib", "bin", "proc-macro"].contains(kind)) {
                continue;
            }
            let path = target["src_path"].as_str().unwrap();
            let root = rust.iter().find(|file| top().join(&file.path) == std::path::Path::new(path)).unwrap();
            let some =
                root.path == UNSAFE.1 || root.krate().is_some_and(|krate| UNSAFE_CRATES.contains(&krate));
            let wanted = if some { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
            if !root.text.lines().any(|line| line == wanted) {
                faults.push(format!("{}: {wanted} is missing", root.path));
            }
        }
    }
    for file in rust.iter().filter(|file| file.path != UNSAFE.0) {
        if file.krate().is_some_and(|krate| UNSAFE_CRATES.contains(&krate)) {
            continue;
        }
        let code = file.code();
        for (at, (number, line)) in code.iter().enumerate() {
            let lets_sys =
                file.path == UNSAFE.1 && code.get(at + 1).is_some_and(|(_, next)| next.ends_with("mod sys;"));
            let attribute = line.trim_start().starts_with("#") && line.contains("(unsafe_code");
            if attribute && (line.contains("allow(") || line.contains("expect(")) && !lets_sys {
                faults.push(format!("{}:{number}: unsafe code is for {} only", file.path, UNSAFE.0));
            }
        }
    }
    none(&faults);
}

#[test]
fn files_hold_one_idea() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let lines = file.text.lines().count();
        if lines > FILE_LIMIT {
            faults.push(format!("{}: {lines} lines, at most {FILE_LIMIT}: split it", file.path));
        } else if lines > FILE_LONG {
            println!("{}: {lines} lines: think of splitting it", file.path);
        }
    }
    none(&faults);
}

#[test]
fn modules_say_what_they_are() {
    let silent = |file: &sources::Source| !file.text.starts_with("//! ");
    let faults: Vec<String> = rust_files()
        .iter()
        .filter(|file| file.krate().is_some() && file.path.contains("/src/") && silent(file))
        .map(|file| format!("{}: does not open with a `//!` comment", file.path))
        .collect();
    none(&faults);
}

#[test]
fn pure_crates_touch_nothing_outside() {
    const IMPURE: &[&str] = &[
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "UnixListener",
        "UnixDatagram",
        "ToSocketAddrs",
        "Instant",
        "SystemTime",
    ];
    const IMPURE_PATHS: &[&str] = &["std::fs", "std::thread", "std::process", "std::env", "std::os"];
    let mut faults = Vec::new();
    for file in rust_files().iter().filter(|file| file.is_product()) {
        if !file.krate().is_some_and(|krate| PURE.contains(&krate)) {
            continue;
        }
        for (number, line) in file.code() {
            let words = IMPURE.iter().filter(|word| has_word(line, word));
            let paths = IMPURE_PATHS.iter().filter(|path| {
                // Also the short form inside `use std::{fs, thread};`.
                let short = path.trim_start_matches("std::");
                has_word(line, path) || (line.starts_with("use std::{") && has_word(line, short))
            });
            for found in words.chain(paths) {
                faults.push(format!(
                    "{}:{number}: {found} in a crate without I/O, clock and threads",
                    file.path
                ));
            }
        }
    }
    none(&faults);
}

#[test]
fn the_product_starts_no_programs_of_its_choice() {
    let mut faults = Vec::new();
    let mut spawning = Vec::new();
    for file in rust_files() {
        if !file.is_product() || ["xtask", "testkit"].contains(&file.krate().unwrap_or("xtask")) {
            continue;
        }
        let allowed = MAY_SPAWN.iter().any(|(path, _)| *path == file.path);
        for (number, line) in file.code() {
            let spawns = (line.contains("process::") && has_word(line, "Command"))
                || [
                    "posix_spawn",
                    "posix_spawnp",
                    "execv",
                    "execve",
                    "execvp",
                    "execvpe",
                    "execveat",
                    "fexecve",
                ]
                .iter()
                .any(|call| has_word(line, call))
                || line.contains("libc::system");
            if spawns {
                spawning.push(file.path.clone());
            }
            if spawns && !allowed {
                faults.push(format!("{}:{number}: starts a program; see MAY_SPAWN", file.path));
            }
            if line.contains("process::Command::new(\"") || (allowed && line.contains("Command::new(\"")) {
                faults.push(format!("{}:{number}: starts a program of Netloom's own choice", file.path));
            }
        }
    }
    for (path, _) in MAY_SPAWN.iter().filter(|(path, _)| !spawning.iter().any(|file| file == path)) {
        faults.push(format!("{path} starts no program: take it out of MAY_SPAWN"));
    }
    none(&faults);
}

#[test]
fn nothing_of_one_machine_and_nothing_unfinished() {
    // In pieces, so that this file does not find itself.
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let macros = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    let mut here = vec![top()];
    here.extend(top().parent().map(std::path::Path::to_path_buf));
    here.extend(["CARGO_HOME", "RUSTUP_HOME", "HOME"].iter().filter_map(std::env::var_os).map(Into::into));
    // A place such as /tmp or /src means nothing: it stands on every machine.
    let here: Vec<String> = here
        .iter()
        .filter(|path| path.is_absolute() && (path.components().count() > 2 || path.ends_with("root")))
        .map(|path| format!("{}/", path.display()))
        .collect();
    let mut faults = Vec::new();
    for file in files() {
        for (number, line) in file.text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
            for word in unfinished.iter().filter(|word| has_word(line, word)) {
                faults.push(format!("{}:{number}: {word}: finish it or open an issue", file.path));
            }
            for call in macros.iter().filter(|call| line.contains(**call)) {
                faults.push(format!("{}:{number}: {call}...) is no code", file.path));
            }
            for path in here.iter().filter(|path| stands_alone(line, path)) {
                faults.push(format!("{}:{number}: {path} is a place on one machine", file.path));
            }
        }
    }
    none(&faults);
}

/// Whether `path` begins in `line` and is not the rest of a longer path.
fn stands_alone(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "_-./}$".contains(c))
    })
}

#[test]
fn the_reading_of_sources_holds() {
    let text = "use a;\n// std::fs\nfn f() {} // note\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\nfn g() {}\n\
        #[cfg(test)]\n#[path = \"x.rs\"]\nmod more;\nfn h() {}\n";
    let file = sources::Source { path: "crates/wire/src/x.rs".into(), text: text.into() };
    assert_eq!(file.code(), [(1, "use a;"), (3, "fn f() {}"), (8, "fn g() {}"), (12, "fn h() {}")]);
    assert!(file.is_product());
    assert_eq!(file.krate(), Some("wire"));
    assert!(has_word("a Instant::now", "Instant") && !has_word("Instantly", "Instant"));
    assert!(stands_alone("see /x/y", "/x/") && !stands_alone("see a/x/y", "/x/"));
}
