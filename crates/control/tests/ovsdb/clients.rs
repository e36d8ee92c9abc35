//! `ovsdb-client` in all its ways.

use crate::place::{Real, Running, Served, anonymous, installed, text, wait_for};
use netloom_proto::ovsdb::OPEN_VSWITCH;
use std::fs::File;
use std::path::PathBuf;

const SCHEMA: &str = r#"{"name":"ordinals","version":"5.1.3","cksum":"1 2","tables":{"ordinals":{"columns":{
    "number":{"type":"integer"},"name":{"type":"string"}},"indexes":[["number"]]}}}"#;

fn insert(number: usize) -> String {
    format!(
        r#"["ordinals",{{"op":"insert","table":"ordinals","row":{{"number":{number},"name":"n{number}"}}}}]"#
    )
}

fn ready() -> bool {
    let ready = installed(&["ovsdb-client", "ovsdb-server", "ovsdb-tool"]);
    if !ready {
        netloom_testkit::skip!("no ovsdb-client, ovsdb-server and ovsdb-tool here");
    }
    ready
}

#[test]
fn asking_about_databases() {
    if !ready() {
        return;
    }
    let (served, real) = (Served::open_vswitch(), Real::new(OPEN_VSWITCH));
    let theirs = crate::place::target(&real.place);
    for command in [
        "list-dbs",
        "get-schema",
        "get-schema-version",
        "get-schema-cksum",
        "list-tables",
        "list-columns",
        "list-columns -f csv",
        "dump",
    ] {
        let ours = served.client(command, &[]);
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push(&theirs);
        // Columns come in no order.
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let theirs = real.place.say("ovsdb-client", &arguments);
        assert_eq!(sorted(&ours), sorted(&theirs), "{command}");
    }
    let dump = served.client("dump -f csv", &["_Server", "Database", "name", "model", "connected", "leader"]);
    let row = dump.lines().find(|line| line.contains("Open_vSwitch")).unwrap();
    let mut words: Vec<&str> = row.split(',').map(|word| word.trim_matches('"')).collect();
    words.sort_unstable();
    assert_eq!(words, ["Open_vSwitch", "standalone", "true", "true"], "{dump}");
    let unknown = served.place.run("ovsdb-client", &["get-schema", &served.target(), "none"]);
    assert!(!unknown.status.success());
}

/// A client in the background whose words go to a file.
fn background(served: &Served, name: &str, arguments: &[&str]) -> (Running, PathBuf) {
    let path = served.place.path(name);
    let mut command = served.place.command("ovsdb-client", arguments);
    let out = File::create(&path).unwrap();
    command.stdout(out.try_clone().unwrap()).stderr(out);
    (Running(command.spawn().unwrap()), path)
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn watching() {
    if !ready() {
        return;
    }
    let served = Served::new(SCHEMA);
    served.client("transact", &[&insert(0)]);
    let target = served.target();
    let zero = "00000000-0000-0000-0000-000000000000";
    let watchers = [
        background(&served, "plain", &["monitor", &target, "ordinals", "ordinals", "number", "name"]),
        background(&served, "json", &["-f", "json", "monitor", &target, "ordinals", "ordinals", "number"]),
        background(
            &served,
            "cond",
            &["monitor-cond", &target, "ordinals", r#"[["number",">",0]]"#, "ordinals", "number"],
        ),
        background(
            &served,
            "since",
            &["monitor-cond-since", &target, "ordinals", zero, r#"[["number",">",0]]"#, "ordinals", "number"],
        ),
        background(&served, "all", &["monitor", &target, "ordinals", "ALL"]),
    ];
    for (_, path) in &watchers {
        let quiet = path.ends_with("cond") || path.ends_with("since");
        wait_for("the first rows", || quiet || read(path).contains("initial"));
    }
    // Those who are told of nothing at first are there when the server knows them.
    wait_for("all clients", || served.handle().connections().unwrap() == watchers.len());
    std::thread::sleep(std::time::Duration::from_millis(200));
    served.client("transact", &[&insert(1)]);
    let change = r#"["ordinals",{"op":"update","table":"ordinals","where":[["number","==",0]],"row":{"number":5}},
        {"op":"delete","table":"ordinals","where":[["number","==",1]]}]"#;
    served.client("transact", &[change]);
    for (running, path) in &watchers {
        wait_for("the deletion", || read(path).contains("delete"));
        let text = anonymous(&read(path));
        assert!(text.contains("insert"), "{}: {text}", running.0.id());
        let name = path.file_name().unwrap().to_str().unwrap();
        match name {
            "plain" => assert!(text.contains("old") && text.contains("new") && text.contains("n1"), "{text}"),
            "cond" | "since" => assert_eq!(text.matches("insert").count(), 2, "{name}: {text}"),
            _ => {}
        }
    }
}

#[test]
fn waiting_and_locking() {
    if !ready() {
        return;
    }
    let served = Served::new(SCHEMA);
    let target = served.target();
    served.client("wait", &["ordinals", "connected"]);
    let (mut first, first_path) = background(&served, "first", &["lock", &target, "l"]);
    wait_for("the lock", || read(&first_path).contains(r#"{"locked":true}"#));
    let (_second, second_path) = background(&served, "second", &["lock", &target, "l"]);
    wait_for("no lock", || read(&second_path).contains(r#"{"locked":false}"#));
    let (thief, thief_path) = background(&served, "thief", &["steal", &target, "l"]);
    wait_for("the stolen lock", || read(&thief_path).contains(r#"{"locked":true}"#));
    wait_for("the loss", || read(&first_path).contains("stolen"));
    drop(thief);
    wait_for("the lock again", || {
        read(&first_path).contains("locked\n[\"l\"]") || read(&first_path).matches("locked").count() > 1
    });
    first.0.kill().unwrap();
    wait_for("the second's lock", || read(&second_path).matches("locked").count() > 1);
    // The reconnection of a client whose request waits.
    let select = r#"["ordinals",{"op":"wait","table":"ordinals","where":[],"columns":["number"],"until":"==","rows":[{"number":9}],"timeout":20000},{"op":"comment","comment":"x"}]"#;
    let (mut waits, waits_path) = background(&served, "waits", &["transact", &target, select]);
    served.client("transact", &[&insert(9)]);
    assert!(waits.0.wait().unwrap().success());
    assert_eq!(read(&waits_path), "[{},{}]\n");
}

#[test]
fn converting_backing_up_and_restoring() {
    if !ready() {
        return;
    }
    let served = Served::new(SCHEMA);
    for number in 0..5 {
        served.client("transact", &[&insert(number)]);
    }
    let select = r#"["ordinals",{"op":"select","table":"ordinals","where":[],"columns":["number"],"sort":["number"]}]"#;
    let before = served.client("transact", &[select]);
    let backup = served.client("backup", &["ordinals"]);
    served.place.write("backup", &backup);
    let shown = served.place.say("ovsdb-tool", &["show-log", "backup"]);
    assert!(shown.contains("record 1"), "{shown}");
    served.client(
        "transact",
        &[r#"["ordinals",{"op":"delete","table":"ordinals","where":[["number",">",1]]}]"#],
    );
    // Restoring takes the backup from the standard input.
    let mut command = served.place.command("ovsdb-client", &["restore", &served.target(), "ordinals"]);
    command.stdin(File::open(served.place.path("backup")).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(served.client("transact", &[select]), before);
    let new =
        SCHEMA.replace("5.1.3", "5.1.4").replace(r#""name":{"type":"string"}"#, r#""more":{"type":"real"}"#);
    let path = served.place.write("new", &new);
    let path = path.to_str().unwrap();
    assert_eq!(served.client("needs-conversion", &[path]), "yes\n");
    served.client("convert", &[path]);
    assert_eq!(served.client("needs-conversion", &[path]), "no\n");
    assert_eq!(served.client("get-schema-version", &["ordinals"]), "5.1.4\n");
    assert_eq!(served.client("transact", &[select]), before);
    let wrong = served.place.write("wrong", &SCHEMA.replace("\"name\":\"ordinals\"", "\"name\":\"other\""));
    let output = served.place.run("ovsdb-client", &["convert", &served.target(), wrong.to_str().unwrap()]);
    assert!(!output.status.success(), "{}", text(&output.stderr));
    // It is in the file.
    let place = served.stop();
    assert_eq!(place.say("ovsdb-tool", &["db-version", "db"]), "5.1.4\n");
    assert_eq!(place.say("ovsdb-tool", &["query", "db", select]), before);
}
