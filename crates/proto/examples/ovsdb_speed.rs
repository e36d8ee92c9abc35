//! What the database machine costs: clients like `ovs-vsctl add-port` that come, look at a bridge with many ports, add one
//! and go; and commits that many monitors are told of. `ovsdb_speed [PORTS [CLIENTS]]`, in release builds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "an example")]

use netloom_proto::ovsdb::json::Splitter;
use netloom_proto::ovsdb::server::{Forgetful, Now, Server, SessionId};
use netloom_proto::ovsdb::{Database, Json, OPEN_VSWITCH, Schema, UuidSource};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

const NOW: Now = Now { monotonic: 0, date: 0 };

/// Says something as text and hears the answer as text, as over a socket.
fn say(server: &mut Server, session: SessionId, splitter: &mut Splitter, text: &str) -> String {
    splitter.feed(text.as_bytes());
    while let Some(message) = splitter.next_message().unwrap() {
        server.receive(session, message, NOW).unwrap();
    }
    server.run(NOW);
    server.flush(session);
    server.take_output(session).iter().map(|chunk| chunk.text()).collect()
}

fn watch(database: &str) -> String {
    format!(
        r#"{{"id":3,"method":"monitor_cond_since","params":["{database}","m",{{"Port":[{{"columns":["fake_bridge",
        "interfaces","name","tag"]}}],"Interface":[{{"columns":["error","name","ofport"]}}],"Bridge":[{{"columns":
        ["controller","fail_mode","name","ports"]}}],"Open_vSwitch":[{{"columns":["bridges"]}}]}},
        "00000000-0000-0000-0000-000000000000"]}}"#
    )
}

/// The rows of a table in an answer: name, UUID and a reference.
fn rows(answer: &Json, table: &str, column: &str) -> Vec<(String, String)> {
    let tables = &answer.get("result").unwrap().as_array().unwrap()[2];
    let rows = tables.get(table).and_then(Json::as_object);
    rows.map(|rows| {
        rows.iter()
            .map(|(uuid, row)| {
                let value = row.get("initial").unwrap().get(column).map(Json::text);
                (uuid.to_string(), value.unwrap_or_else(|| "[\"set\",[]]".to_owned()))
            })
            .collect()
    })
    .unwrap_or_default()
}

/// One `ovs-vsctl add-port`; gives how long the server worked, in microseconds.
fn add_port(server: &mut Server, name: &str) -> (u128, u128) {
    let session = server.open_session(false);
    let mut splitter = Splitter::new(1 << 24);
    let mut began = Instant::now();
    let schemas = r#"{"id":1,"method":"get_schema","params":["_Server"]}{"id":2,"method":"monitor_cond","params":
        ["_Server","s",{"Database":[{"columns":["name","model","connected","leader","schema","cid","index"]}]}]}"#;
    say(server, session, &mut splitter, schemas);
    let text = say(server, session, &mut splitter, &watch("Open_vSwitch"));
    let looking = began.elapsed().as_micros();
    let answer = Json::parse(&text).unwrap();
    let [(bridge, ports)] = &rows(&answer, "Bridge", "ports")[..] else { panic!("one bridge") };
    let mut request = String::from(r#"{"id":4,"method":"transact","params":["Open_vSwitch""#);
    let mut all = Vec::new();
    for (uuid, interfaces) in rows(&answer, "Port", "interfaces") {
        let _ = write!(
            request,
            r#",{{"rows":[{{"interfaces":{interfaces}}}],"until":"==","where":[["_uuid","==",["uuid","{uuid}"]]],
            "columns":["interfaces"],"timeout":0,"op":"wait","table":"Port"}}"#
        );
        all.push(format!("[\"uuid\",\"{uuid}\"]"));
    }
    all.push(r#"["named-uuid","p"]"#.to_owned());
    let _ = write!(
        request,
        r#",{{"rows":[{{"ports":{ports}}}],"until":"==","where":[["_uuid","==",["uuid","{bridge}"]]],"columns":["ports"],
        "timeout":0,"op":"wait","table":"Bridge"}},{{"uuid-name":"i","row":{{"name":"{name}"}},"op":"insert","table":
        "Interface"}},{{"uuid-name":"p","row":{{"name":"{name}","interfaces":["named-uuid","i"]}},"op":"insert","table":"Port"}},
        {{"where":[["_uuid","==",["uuid","{bridge}"]]],"row":{{"ports":["set",[{}]]}},"op":"update","table":"Bridge"}},
        {{"op":"comment","comment":"x"}}]}}"#,
        all.join(",")
    );
    began = Instant::now();
    let answer = say(server, session, &mut splitter, &request);
    let changing = began.elapsed().as_micros();
    assert!(answer.contains("update3") && !answer.contains("violation"), "{answer}");
    server.close_session(session);
    (looking, changing)
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let (ports, clients) = (numbers.next().unwrap_or(600), numbers.next().unwrap_or(3000));
    let mut server = Server::new(UuidSource::new([1; 4]));
    let schema = Arc::new(Schema::parse(OPEN_VSWITCH).unwrap());
    server.add_database(Database::new(schema), Box::new(Forgetful)).unwrap();
    let first = r#"[{"op":"insert","table":"Open_vSwitch","row":{"bridges":["named-uuid","b"]}},
        {"op":"insert","table":"Bridge","uuid-name":"b","row":{"name":"br0"}}]"#;
    server.transact_here("Open_vSwitch", Json::parse(first).unwrap().as_array().unwrap(), NOW).unwrap();
    for port in 0..ports {
        add_port(&mut server, &format!("p{port}"));
    }
    let costs: Vec<(u128, u128)> =
        (0..50).map(|port| add_port(&mut server, &format!("more{port}"))).collect();
    let (looking, changing): (Vec<u128>, Vec<u128>) = costs.into_iter().unzip();
    let mean = |some: &[u128]| some.iter().sum::<u128>() / some.len() as u128;
    println!("a port more beside {ports}: {} us to look, {} us to change", mean(&looking), mean(&changing));
    let sessions: Vec<SessionId> = (0..clients).map(|_| server.open_session(false)).collect();
    let mut splitter = Splitter::new(1 << 24);
    for session in &sessions {
        say(&mut server, *session, &mut splitter, &watch("Open_vSwitch"));
    }
    let began = Instant::now();
    for number in 0..20 {
        let change = format!(
            r#"[{{"op":"update","table":"Bridge","where":[],"row":{{"fail_mode":"{}"}}}}]"#,
            ["secure", "standalone"][number % 2]
        );
        server.transact_here("Open_vSwitch", Json::parse(&change).unwrap().as_array().unwrap(), NOW).unwrap();
        for session in server.take_ready() {
            server.flush(session);
            assert!(!server.take_output(session).is_empty());
        }
    }
    println!("a commit told to {clients} clients: {} us", began.elapsed().as_micros() / 20);
}
