//! The commands of the tutorials in Open vSwitch's documentation, typed by a shell at Netloom's switch and at Open
//! vSwitch's: answers side by side.
//!
//! One file for each tutorial, in `tutorials/`. A line that begins with `$` is a command, lines behind it go on with it;
//! `#` is a remark. `! reason` behind a command says why its answers differ: they are compared nevertheless, and it is an
//! error if they are the same.

use super::places::{Place, Whose, has};
use std::fmt::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

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
    let mut recirculations = Vec::new();
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
            replace(&mut line, key, |_| "N".to_owned());
        }
        // Numbers of recirculations, in the order in which they come.
        for key in ["recirc(", "recirc_id="] {
            replace(&mut line, key, |number| {
                if number == "0" {
                    return number.to_owned();
                }
                let known = recirculations.iter().position(|known| known == number);
                let place = known.unwrap_or_else(|| {
                    recirculations.push(number.to_owned());
                    recirculations.len() - 1
                });
                format!("R{place}")
            });
        }
        // Dummy ports have addresses by their number and counters of their own.
        if line.starts_with("mac_in_use ") || line.starts_with("statistics ") {
            line.truncate(line.find(':').unwrap());
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

/// Replaces what stands behind each of these words.
fn replace(line: &mut String, key: &str, mut by: impl FnMut(&str) -> String) {
    let mut from = 0;
    while let Some(at) = line[from..].find(key).map(|at| from + at + key.len()) {
        let end = line[at..].find([',', ')', ' ']).map_or(line.len(), |end| at + end);
        let new = by(&line[at..end]);
        line.replace_range(at..end, &new);
        from = at + new.len();
    }
}

/// Puts names in the place of the data path's numbers of ports in a trace's actions. Who floods, floods in any order.
fn named(text: &str, place: &Place) -> String {
    // "    p1 1/3: (dummy)": OpenFlow's number, and the data path's.
    let shown = place.appctl(&["dpif/show"]);
    let ports: Vec<(&str, &str)> = shown
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.trim().split_once(' ')?;
            Some((rest.split_once(':')?.0.split_once('/')?.1, name))
        })
        .collect();
    let actions = |actions: &str| {
        let name = |step| ports.iter().find(|(number, _)| *number == step).map(|(_, name)| *name);
        let (mut steps, mut run) = (Vec::new(), Vec::new());
        for step in actions.split(',') {
            match name(step) {
                Some(name) => run.push(name),
                None => {
                    run.sort_unstable();
                    steps.append(&mut run);
                    steps.push(step);
                }
            }
        }
        run.sort_unstable();
        steps.append(&mut run);
        steps.join(",")
    };
    let line = |line: &str| match line.strip_prefix("Datapath actions: ") {
        Some(rest) => format!("Datapath actions: {}\n", actions(rest)),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Types a command, with what it says on either stream and how it ends.
fn typed(place: &Place, command: &str) -> String {
    let mut shell = place.command("sh");
    let output = shell.args(["-c", command]).stdin(Stdio::null()).output().unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let mut text = plain(&text, &place.path().display().to_string());
    if command.contains("ofproto/trace") {
        text = named(&text, place);
    }
    let unordered = ["dump-flows", "dump-conntrack", " show", "list ", "dump-ports", "queue-", "dpif/show"];
    if unordered.iter().any(|word| command.contains(word)) {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        text = lines.join("\n") + "\n";
    }
    let _ = writeln!(text, "({})", output.status.code().unwrap_or(-1));
    text
}

/// Types a command at both. Open vSwitch counts packets of flows about once a second: who only asks is asked again.
fn at_both(ours: &Place, theirs: &Place, command: &str, known: bool) -> (String, String) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let (our, their) = std::thread::scope(|scope| {
            let their = scope.spawn(|| typed(theirs, command));
            (typed(ours, command), their.join().unwrap())
        });
        let asks = command.contains("dump-flows") && !known;
        if our == their || !asks || Instant::now() > end {
            return (our, their);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[track_caller]
fn tutorial(file: &str) {
    if ["ovs-ofctl", "ovs-vswitchd", "ovs-vsctl", "ovs-appctl"].iter().any(|name| !has(name)) {
        return;
    }
    let (ours, theirs) = (Place::empty(Whose::Netloom), Place::empty(Whose::OpenVswitch));
    for place in [&ours, &theirs] {
        // As the start script of Open vSwitch's packages does.
        assert_eq!(place.vsctl(&["set", "open_vswitch", ".", "ovs_version=3.1.0"]), "");
    }
    let mut report = String::new();
    let commands = read(file);
    let mut known = 0;
    for Typed { command, differs } in &commands {
        let (our, their) = at_both(&ours, &theirs, command, differs.is_some());
        match (our == their, differs) {
            (true, None) => {}
            (false, Some(_)) => known += 1,
            (true, Some(reason)) => {
                let _ = writeln!(report, "## {command}\nis the same, although: {reason}\n");
            }
            (false, None) => {
                let _ = writeln!(report, "## {command}\n- Netloom:\n{our}\n- Open vSwitch:\n{their}\n");
            }
        }
    }
    println!("{} commands, {known} with answers that are known to differ", commands.len());
    assert!(report.is_empty(), "{report}");
}

#[test]
fn basics() {
    tutorial(include_str!("tutorials/basics.txt"));
}

#[test]
fn vlans() {
    tutorial(include_str!("tutorials/vlans.txt"));
}

#[test]
fn tunnels() {
    tutorial(include_str!("tutorials/tunnels.txt"));
}

#[test]
fn qos() {
    tutorial(include_str!("tutorials/qos.txt"));
}

#[test]
fn conntrack() {
    tutorial(include_str!("tutorials/conntrack.txt"));
}

#[test]
fn advanced() {
    tutorial(include_str!("tutorials/advanced.txt"));
}

#[test]
fn tracing() {
    tutorial(include_str!("tutorials/tracing.txt"));
}

#[test]
fn sflow() {
    tutorial(include_str!("tutorials/sflow.txt"));
}
