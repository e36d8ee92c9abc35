//! Levels, patterns and files of the log.

use super::pattern::{Facts, date, print};
use super::*;

fn facts(message: &str) -> Facts<'_> {
    Facts {
        program: "ovs-vswitchd",
        host: "here",
        module: "bridge",
        level: Level::Warning,
        priority: 28,
        since_1970_ms: 1_709_210_096_007,
        since_start_ms: 12,
        number: 42,
        message,
    }
}

#[test]
fn patterns_and_dates() {
    let line = |pattern: &str| print(pattern, &facts("a|b\n"));
    assert_eq!(line(Destination::PATTERNS[2]), "2024-02-29T12:34:56.007Z|00042|bridge|WARN|a|b");
    assert_eq!(line(Destination::PREFIXES[0]), "<28> Feb 29 12:34:56 here ovs-vswitchd: ");
    assert_eq!(line("[%-8c|%8c|%%|%q|%"), "[bridge  |  bridge|%|q|%");
    assert_eq!(line("I<3OVS|%m"), "I<3OVS|a|b");
    // As `date -u -d @N` says.
    for (seconds, day) in [
        (0, "1970-01-01 Thu"),
        (951_782_399, "2000-02-28 Mon"),
        (951_868_799, "2000-02-29 Tue"),
        (951_868_800, "2000-03-01 Wed"),
        (4_107_542_400, "2100-03-01 Mon"),
        (1_798_675_199, "2026-12-30 Wed"),
    ] {
        assert_eq!(date("%F %a", seconds * 1000), day, "{seconds}");
    }
}

#[test]
fn what_is_set_is_listed() {
    let log = Log::new("test");
    let line =
        |name: &str| log.levels().lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert_eq!(line("daemon "), "daemon            INFO       INFO       INFO");
    log.leave_console();
    log.set("daemon:syslog:err").unwrap();
    log.set("file:dbg").unwrap();
    assert_eq!(line("daemon "), "daemon             OFF        ERR        DBG");
    assert_eq!(line("ovsdb_server "), "ovsdb_server       OFF       INFO        DBG");
    assert!(log.may_want(Level::Debug));
    log.set("any,file,warn").unwrap();
    assert!(!log.may_want(Level::Debug));
    log.set("Ofproto-Dpif").unwrap();
    assert_eq!(line("ofproto_dpif "), "ofproto_dpif       DBG        DBG        DBG");
    let errors = [
        ("nonexistent", "no destination, level, or module \"nonexistent\""),
        ("pattern", "missing destination"),
        ("pattern:nonexistent", "unknown destination \"nonexistent\""),
        ("facility:x", "invalid facility"),
    ];
    for (text, error) in errors {
        assert_eq!(log.set(text), Err(error.to_owned()));
    }
    log.set("PATTERN:ANY:%c|%p|%m").unwrap();
    assert!(
        log.patterns().contains("\nFILE     none                              %c|%p|%m\n"),
        "{}",
        log.patterns()
    );
}

#[test]
fn modules_are_in_order_and_found() {
    assert!(MODULES.windows(2).all(|pair| matches!(pair, [a, b] if a < b)));
    assert_eq!(module("vconn"), "vconn");
    assert_eq!(module("netloom_vswitch::rstp"), "rstp");
    assert_eq!(module("netloom_control::switch::server"), "bridge");
    assert_eq!(module("somebody::else"), "util");
}

#[test]
fn a_file_that_is_moved_away_is_left_when_it_is_opened_anew() {
    let directory = std::env::temp_dir().join(format!("netloom-vlog-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (path, old) = (directory.join("log"), directory.join("log.old"));
    let log = Log::new("test");
    log.leave_console();
    log.set_syslog("null").unwrap();
    assert_eq!(log.reopen(), Err("Logging to file not configured".to_owned()));
    log.open_file(&path).unwrap();
    log.write("bridge", Level::Information, "one");
    log.write("bridge", Level::Debug, "not said");
    std::fs::rename(&path, &old).unwrap();
    log.write("bridge", Level::Information, "two");
    log.reopen().unwrap();
    log.write("bridge", Level::Information, "three");
    log.close_file();
    log.write("bridge", Level::Information, "nowhere");
    let read = |path: &Path| -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| line.rsplit('|').next().unwrap().split(" /").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(read(&old), ["opened log file", "one", "two", "closing log file"]);
    assert_eq!(read(&path), ["opened log file", "three"]);
    std::fs::remove_dir_all(directory).unwrap();
}
