//! The commands of the tutorials in Open vSwitch's documentation, typed by a shell at Netloom's switch and at Open
//! vSwitch's: answers side by side.
//!
//! One file for each tutorial, in `tutorials/`. A line that begins with `$` is a command, lines behind it go on with it;
//! `#` is a remark. `! reason` behind a command says why its answers differ: they are compared nevertheless, and it is an
//! error if they are the same.

use super::places::{Place, Whose, has};
use std::fmt::Write;
use std::process::Stdio;

struct Typed {
    command: String,
    differs: Option<String>,
}

fn read(file: &str) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    for line in file.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            all.push(Typed { command: command.to_owned(), differs: None });
        } else if let Some(reason) = line.strip_prefix("! ") {
            all.last_mut().unwrap().differs = Some(reason.to_owned());
        } else if !line.starts_with('#') {
            let last = all.last_mut().unwrap();
            last.command.push('\n');
            last.command.push_str(line);
        }
    }
    all
}

fn is_uuid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|octet| octet == b'-' || octet.is_ascii_hexdigit())
}

/// What differs from run to run: names of rows, times, addresses that were made up, numbers of messages.
fn plain(text: &str, path: &str) -> String {
    let mut out = String::new();
    for line in text.replace(path, "PLACE").lines() {
        let mut line = line.trim_end().to_owned();
        let mut from = 0;
        while from + 36 <= line.len() {
            if line.get(from..from + 36).is_some_and(is_uuid) {
                line.replace_range(from..from + 36, "UUID");
            }
            from += 1;
        }
        for key in ["xid=0x", "duration=", "dpid:", "addr:", "idle_age=", "hard_age=", "n_bytes="] {
            let mut from = 0;
            while let Some(at) = line[from..].find(key).map(|at| from + at + key.len()) {
                let end = line[at..].find([',', ')', ' ']).map_or(line.len(), |end| at + end);
                line.replace_range(at..end, "N");
                from = at;
            }
        }
        // A log's time and its number.
        if let Some((time, rest)) = line.split_once('|')
            && time.ends_with('Z')
        {
            line = format!("TIME|N|{}", rest.split_once('|').map_or(rest, |(_, rest)| rest));
        }
        let _ = writeln!(out, "{line}");
    }
    out
}

/// Types a command, with what it says on either stream and how it ends.
fn typed(place: &Place, command: &str) -> String {
    let mut shell = place.command("sh");
    let output = shell.args(["-c", command]).stdin(Stdio::null()).output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let mut text = plain(&text, &place.path().display().to_string());
    let unordered = ["dump-flows", "dump-conntrack", " show", "list ", "dump-ports", "queue-", "dpif/show"];
    if unordered.iter().any(|word| command.contains(word)) {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        text = lines.join("\n") + "\n";
    }
    let _ = writeln!(text, "({})", output.status.code().unwrap_or(-1));
    text
}

#[track_caller]
fn tutorial(file: &str) {
    if ["ovs-ofctl", "ovs-vswitchd", "ovs-vsctl", "ovs-appctl"].iter().any(|name| !has(name)) {
        return;
    }
    let (ours, theirs) = (Place::empty(Whose::Netloom), Place::empty(Whose::OpenVswitch));
    let mut report = String::new();
    let commands = read(file);
    let mut known = 0;
    for Typed { command, differs } in &commands {
        let (our, their) = std::thread::scope(|scope| {
            let their = scope.spawn(|| typed(&theirs, command));
            (typed(&ours, command), their.join().unwrap())
        });
        match (our == their, differs) {
            (true, None) => {}
            (false, Some(_)) => known += 1,
            (true, Some(reason)) => {
                let _ = writeln!(report, "## {command}\nis the same, although: {reason}\n");
            }
            (false, None) => {
                let _ =
                    writeln!(report, "## {command}\n- Netloom:\n{our}\n- Open vSwitch:\n{their}\n");
            }
        }
    }
    println!("{} commands, {known} with answers that are known to differ", commands.len());
    assert!(report.is_empty(), "{report}");
}

macro_rules! tutorials {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            tutorial(include_str!(concat!("tutorials/", stringify!($name), ".txt")));
        }
    )* };
}

tutorials! { basics vlans tunnels qos conntrack advanced tracing sflow }
