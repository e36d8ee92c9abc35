//! `ovsdb-server` as start scripts and Open vSwitch's own test suite call it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

const SCHEMA: &str = r#"{"name":"ordinals","version":"5.1.3","tables":{"ordinals":{"columns":{
    "number":{"type":"integer"},"name":{"type":"string"}},"indexes":[["number"]]}}}"#;

struct Place(PathBuf);

impl Place {
    fn command(&self, program: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.0).stdin(std::process::Stdio::null());
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, &self.0);
        }
        command.output().unwrap()
    }

    #[track_caller]
    fn say(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(Path::new(program), arguments);
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn fail(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(Path::new(program), arguments);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(number) = std::fs::read_to_string(self.0.join("ovsdb-server.pid")) {
            let _ = Command::new("kill").arg(number.trim()).status();
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_real_programs_find_their_database_server() {
    for program in ["ovs-appctl", "ovsdb-client", "ovsdb-tool"] {
        if !Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()) {
            netloom_testkit::skip!("no {program} here");
            return;
        }
    }
    let path = std::env::temp_dir().join(format!("netloom-server-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    let place = Place(path);
    let program = netloom_testkit::program(env!("CARGO_BIN_EXE_netloom"));
    std::os::unix::fs::symlink(program, place.0.join("ovsdb-server")).unwrap();
    let server = place.0.join("ovsdb-server").display().to_string();
    std::fs::write(place.0.join("schema"), SCHEMA).unwrap();
    std::fs::write(place.0.join("schema2"), SCHEMA.replace("\"name\":\"ordinals\"", "\"name\":\"other\""))
        .unwrap();
    place.say("ovsdb-tool", &["create", "db", "schema"]);
    place.say("ovsdb-tool", &["create", "db2", "schema2"]);
    place.say(&server, &["--detach", "--no-chdir", "--pidfile", "--log-file", "--remote=punix:socket", "db"]);
    let insert = r#"["ordinals",{"op":"insert","table":"ordinals","row":{"number":1,"name":"one"}}]"#;
    assert!(place.say("ovsdb-client", &["transact", "unix:socket", insert]).contains("uuid"));
    let control = |arguments: &[&str]| {
        let mut all = vec!["-t", "ovsdb-server"];
        all.extend(arguments);
        place.say("ovs-appctl", &all)
    };
    assert_eq!(control(&["ovsdb-server/list-dbs"]), "_Server\nordinals\n");
    assert_eq!(control(&["ovsdb-server/list-remotes"]), "punix:socket\n");
    control(&["ovsdb-server/add-db", "db2"]);
    control(&["ovsdb-server/add-remote", "punix:more"]);
    assert_eq!(place.say("ovsdb-client", &["list-dbs", "unix:more"]), "_Server\nordinals\nother\n");
    let again = place.fail("ovs-appctl", &["-t", "ovsdb-server", "ovsdb-server/add-db", "db2"]);
    assert!(again.starts_with("ovsdb error: db2: already open\n"), "{again}");
    let missing = place.fail("ovs-appctl", &["-t", "ovsdb-server", "ovsdb-server/add-db", "db3"]);
    assert!(missing.starts_with("I/O error: db3: open failed (No such file or directory)\n"), "{missing}");
    control(&["ovsdb-server/remove-db", "other"]);
    control(&["ovsdb-server/remove-remote", "punix:more"]);
    let missing = place.fail("ovs-appctl", &["-t", "ovsdb-server", "ovsdb-server/remove-db", "other"]);
    assert!(missing.starts_with("Failed to find the database.\n"), "{missing}");
    control(&["ovsdb-server/compact"]);
    assert!(control(&["memory/show"]).contains("cells:"));
    control(&["exit"]);
    let until = Instant::now() + Duration::from_secs(20);
    while place.0.join("ovsdb-server.pid").exists() {
        assert!(Instant::now() < until, "the server does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!place.0.join("socket").exists());
    // A command that the server serves, and what it left.
    let select = r#"["ordinals",{"op":"select","table":"ordinals","where":[],"columns":["name"]}]"#;
    let run = format!("--run=ovsdb-client transact unix:socket '{select}'");
    assert_eq!(
        place.say(&server, &["--remote=punix:socket", "db", &run]),
        "[{\"rows\":[{\"name\":\"one\"}]}]\n"
    );
}
