//! Remotes: listening, connecting, and those a database names.

use crate::place::{Running, Served, installed, wait_for};
use netloom_proto::ovsdb::Json;
use netloom_proto::ovsdb::json::Splitter;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// One message from a stream.
pub fn hear(stream: &mut impl Read, splitter: &mut Splitter) -> Option<Json> {
    loop {
        if let Some(message) = splitter.next_message().unwrap() {
            return Some(message);
        }
        let mut octets = [0; 4096];
        let count = stream.read(&mut octets).ok().filter(|count| *count > 0)?;
        splitter.feed(&octets[..count]);
    }
}

fn port_of(served: &Served, remote: &str) -> u16 {
    let statuses = served.handle().remote_statuses().unwrap();
    statuses.into_iter().find(|(name, _)| name == remote).unwrap().1.bound_port.unwrap()
}

#[test]
fn tcp_both_ways() {
    let served = Served::open_vswitch();
    served.handle().add_remote("ptcp:0:127.0.0.1").unwrap();
    let port = port_of(&served, "ptcp:0:127.0.0.1");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(br#"{"id":1,"method":"list_dbs","params":[]}"#).unwrap();
    let mut splitter = Splitter::new(1 << 20);
    let heard = hear(&mut stream, &mut splitter).unwrap();
    assert_eq!(heard.text(), r#"{"error":null,"id":1,"result":["Open_vSwitch","_Server"]}"#);
    // It calls, and calls again when the line is cut.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = format!("tcp:127.0.0.1:{}", listener.local_addr().unwrap().port());
    served.handle().add_remote(&remote).unwrap();
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(br#"{"id":"x","method":"echo","params":[7]}"#).unwrap();
        let mut splitter = Splitter::new(1 << 20);
        assert_eq!(
            hear(&mut stream, &mut splitter).unwrap().text(),
            r#"{"error":null,"id":"x","result":[7]}"#
        );
    }
    assert!(served.handle().remove_remote(&remote).unwrap());
    assert!(!served.handle().remove_remote(&remote).unwrap());
    assert_eq!(served.handle().remotes().unwrap().len(), 2);
    for wrong in ["pssl:x", "tcp:nowhere:1", "db:x"] {
        assert!(served.handle().add_remote(wrong).is_err());
    }
    let taken = format!("ptcp:{port}:127.0.0.1");
    assert!(served.handle().add_remote(&taken).unwrap_err().to_string().contains("listen failed"));
}

#[test]
fn who_is_silent_is_asked_and_then_cut_off() {
    let served = Served::open_vswitch();
    served.handle().add_remote("db:Open_vSwitch,Open_vSwitch,manager_options").unwrap();
    let operations = r#"[{"op":"insert","table":"Open_vSwitch","row":{"manager_options":["named-uuid","m"]}},
        {"op":"insert","table":"Manager","uuid-name":"m","row":{"target":"ptcp:0:127.0.0.1","inactivity_probe":1000}}]"#;
    let operations = Json::parse(operations).unwrap().as_array().unwrap().to_vec();
    served.handle().transact("Open_vSwitch", operations).unwrap();
    wait_for("the manager", || served.handle().remote_statuses().unwrap().len() == 2);
    let port = port_of(&served, "ptcp:0:127.0.0.1");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut splitter = Splitter::new(1 << 20);
    let echo = hear(&mut stream, &mut splitter).unwrap();
    assert_eq!(echo.text(), r#"{"id":"echo","method":"echo","params":[]}"#);
    stream.write_all(br#"{"id":"echo","result":[],"error":null}"#).unwrap();
    assert!(hear(&mut stream, &mut splitter).is_some(), "asked again");
    assert!(hear(&mut stream, &mut splitter).is_none(), "cut off");
    // Its state stands in the row.
    let bound = |served: &Served| {
        let select = r#"[{"op":"select","table":"Manager","where":[],"columns":["status","is_connected"]}]"#;
        let operations = Json::parse(select).unwrap().as_array().unwrap().to_vec();
        served.handle().transact("Open_vSwitch", operations).unwrap()[0].text()
    };
    wait_for("the state", || bound(&served).contains(&format!(r#"["bound_port","{port}"]"#)));
    wait_for("nobody", || bound(&served).contains(r#""is_connected":false"#));
    let clear = r#"[{"op":"update","table":"Open_vSwitch","where":[],"row":{"manager_options":["set",[]]}}]"#;
    let operations = Json::parse(clear).unwrap().as_array().unwrap().to_vec();
    served.handle().transact("Open_vSwitch", operations).unwrap();
    wait_for("no manager", || served.handle().remote_statuses().unwrap().len() == 1);
    wait_for("a closed port", || TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn ovs_vsctl_names_managers() {
    if !installed(&["ovs-vsctl", "ovsdb-client"]) {
        netloom_testkit::skip!("no ovs-vsctl and ovsdb-client here");
        return;
    }
    let served = Served::open_vswitch();
    served.handle().add_remote("db:Open_vSwitch,Open_vSwitch,manager_options").unwrap();
    let db = format!("--db={}", served.target());
    served.place.say("ovs-vsctl", &[&db, "--no-wait", "init"]);
    served.place.say("ovs-vsctl", &[&db, "--no-wait", "set-manager", "ptcp:0:127.0.0.1"]);
    wait_for("the manager", || served.handle().remote_statuses().unwrap().len() == 2);
    let port = port_of(&served, "ptcp:0:127.0.0.1");
    let target = format!("tcp:127.0.0.1:{port}");
    assert_eq!(served.place.say("ovsdb-client", &["list-dbs", &target]), "Open_vSwitch\n_Server\n");
    let child = served.place.command("ovsdb-client", &["monitor", &target, "Manager"]);
    let mut child = child;
    let _running = Running(child.stdout(std::process::Stdio::null()).spawn().unwrap());
    wait_for("the connection to be shown", || {
        served.place.say("ovs-vsctl", &[&db, "--no-wait", "show"]).contains("is_connected: true")
    });
    served.place.say("ovs-vsctl", &[&db, "--no-wait", "del-manager"]);
    wait_for("no manager", || served.handle().remote_statuses().unwrap().len() == 1);
}
