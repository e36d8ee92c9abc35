//! `ovs-appctl`: asks a daemon something over its control socket.
//!
//! Source: ovs-appctl(8), and what the program of Open vSwitch 3.1 prints.

use super::client::{self, Done, Place, Stop, complain, say, words};
use super::getopt::{self, COMMON, Known, Value};
use netloom_control::unixctl::ask;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OWN: &[Known] = &[
    ("target", Some('t'), Value::Yes),
    ("execute", Some('e'), Value::No),
    ("timeout", Some('T'), Value::Yes),
];

/// How long an answer may take unless somebody says: some commands have much to say.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs the tool.
///
/// # Errors
/// What it ends with.
pub fn run(place: &Place, words: Vec<String>) -> Done {
    let (given, words) = getopt::read(&[OWN, COMMON], &words, true)?;
    let mut target = "ovs-vswitchd".to_owned();
    for (name, value) in given {
        let text = value.unwrap_or_default();
        match name {
            "target" => target = text,
            "timeout" => {
                let seconds = text.parse().ok().filter(|seconds| *seconds != 0);
                let seconds = seconds.ok_or_else(|| format!("value {text} on -T or --timeout is invalid"))?;
                client::limit(seconds, &client::begin_log(place.program, &[])?);
            }
            "version" => {
                say(&format!("{}\n", netloom_control::unixctl::standard::version(place.program)));
                return Ok(());
            }
            "help" => {
                help(place.program);
                return Ok(());
            }
            _ => {}
        }
    }
    let Some((command, arguments)) = words.split_first() else {
        return Err("at least one non-option argument is required (use --help for help)".into());
    };
    let path = socket(place, &target)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match ask(&path, command, &arguments, PATIENCE) {
        Ok(Ok(text)) => {
            say(&text);
            Ok(())
        }
        Ok(Err(text)) => {
            complain(&text);
            if !text.ends_with('\n') {
                complain("\n");
            }
            complain(&format!("{}: {target}: server returned an error\n", place.program));
            Err(Stop::silent(2))
        }
        Err(error) if is_connecting(&error) => {
            let log = client::begin_log(place.program, &[])?;
            client::warn(&log, "unixctl", &format!("failed to connect to {}", path.display()));
            Err(format!("cannot connect to \"{}\" ({})", path.display(), self::words(&error)).into())
        }
        Err(error) => Err(format!("{target}: transaction error ({})", self::words(&error)).into()),
    }
}

/// Whether nobody listens at all.
fn is_connecting(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    matches!(error.kind(), ConnectionRefused | NotFound | PermissionDenied)
}

/// The socket of a daemon: a path, or by its name and its pid file.
fn socket(place: &Place, target: &str) -> Done<PathBuf> {
    if target.starts_with('/') {
        return Ok(target.into());
    }
    let file = place.run.join(format!("{target}.pid"));
    if !file.exists()
        && let Some(found) = living_socket(&place.run, target)
    {
        return Ok(found);
    }
    let failed = |why: &str| format!("cannot read pidfile \"{}\" ({why})", file.display());
    let text = std::fs::read_to_string(&file).map_err(|error| failed(&words(&error)))?;
    let pid: u32 = text.trim().parse().map_err(|_| failed("Invalid argument"))?;
    Ok(place.run.join(format!("{target}.{pid}.ctl")))
}

/// The socket of a daemon that keeps no pid file: the first of its name that answers.
pub fn living_socket(directory: &Path, name: &str) -> Option<PathBuf> {
    let front = format!("{name}.");
    let paths = std::fs::read_dir(directory).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = paths.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&front) && name.ends_with(".ctl")
    });
    found.find(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
}

fn help(program: &str) {
    say(&format!(
        "{program}, for querying and controlling Open vSwitch daemon\n\
         usage: {program} [TARGET] COMMAND [ARG...]\n\
         Targets:\n  \
         -t, --target=TARGET  pidfile or socket to contact\n\
         Common commands:\n  \
         list-commands      List commands supported by the target\n  \
         version            Print version of the target\n  \
         vlog/list          List current logging levels\n\
         Other options:\n  \
         --timeout=SECS     wait at most SECS seconds for a response\n  \
         -h, --help         Print this helpful information\n  \
         -V, --version      Display version information\n"
    ));
}
