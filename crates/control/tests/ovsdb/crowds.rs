//! Many clients, slow ones and those who mean harm.

use crate::place::{Served, wait_for};
use crate::remotes::hear;
use netloom_proto::ovsdb::json::Splitter;
use netloom_proto::ovsdb::{Datum, Json, Row, Schema};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const SCHEMA: &str =
    r#"{"name":"d","tables":{"t":{"columns":{"n":{"type":"integer"},"s":{"type":"string"}}}}}"#;

struct Client {
    stream: UnixStream,
    splitter: Splitter,
}

impl Client {
    fn new(served: &Served) -> Self {
        let stream = UnixStream::connect(served.place.path("db.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream, splitter: Splitter::new(64 << 20) }
    }

    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    fn hear(&mut self) -> Option<Json> {
        hear(&mut self.stream, &mut self.splitter)
    }
}

fn insert(number: usize, text: &str) -> String {
    format!(
        r#"{{"id":{number},"method":"transact","params":["d",{{"op":"insert","table":"t","row":{{"n":{number},"s":"{text}"}}}}]}}"#
    )
}

/// As many open files as this process may have.
fn clients_allowed() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = limit.maximum.map_or(8000, |maximum| maximum.min(8000));
    let raised = rustix::process::Rlimit { current: Some(wanted), maximum: limit.maximum };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    let now = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
    // Both ends are in this process.
    (usize::try_from(now).unwrap().saturating_sub(200) / 2).min(3000)
}

#[test]
fn thousands_of_clients_are_told_of_every_commit() {
    let served = Served::new(SCHEMA);
    let count = clients_allowed();
    let mut clients: Vec<Client> = (0..count).map(|_| Client::new(&served)).collect();
    let watch = r#"{"id":1,"method":"monitor_cond_since","params":["d",null,{"t":[{"columns":["n"]}]},"00000000-0000-0000-0000-000000000000"]}"#;
    for client in &mut clients {
        client.say(watch);
    }
    for client in &mut clients {
        assert!(client.hear().unwrap().get("result").is_some());
    }
    let began = Instant::now();
    let mut writer = Client::new(&served);
    for number in 0..20 {
        writer.say(&insert(number, "x"));
        assert!(writer.hear().unwrap().get("result").unwrap().text().contains("uuid"));
    }
    for client in &mut clients {
        let mut told = 0;
        while told < 20 {
            let update = client.hear().unwrap().get("params").unwrap().as_array().unwrap()[2].text();
            told += update.matches("insert").count();
        }
        assert_eq!(told, 20);
    }
    println!("{count} clients, 20 commits: {:?}", began.elapsed());
    drop(clients);
    drop(writer);
    wait_for("nobody", || served.handle().connections().unwrap() == 0);
}

#[test]
fn who_does_not_read_keeps_nobody_up_and_holds_little() {
    let served = Served::new(SCHEMA);
    let mut lazy = Client::new(&served);
    lazy.say(r#"{"id":1,"method":"monitor_cond","params":["d","m",{"t":{}}]}"#);
    lazy.hear().unwrap();
    // It asks for much and reads nothing.
    let mut greedy = Client::new(&served);
    greedy.stream.set_nonblocking(true).unwrap();
    let mut writer = Client::new(&served);
    let big = "y".repeat(10_000);
    for number in 0..300 {
        writer.say(&insert(number, &big));
        writer.hear().unwrap();
    }
    let select = br#"{"id":1,"method":"transact","params":["d",{"op":"select","table":"t","where":[]}]}"#;
    let mut asked = 0;
    while asked < 2000 {
        match greedy.stream.write(select) {
            Ok(count) if count == select.len() => asked += 1,
            _ => break,
        }
    }
    // 300 rows of 10 kB each time: without limits this would be gigabytes.
    for number in 300..320 {
        writer.say(&insert(number, "z"));
        writer.hear().unwrap();
    }
    let memory = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = memory.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(pages < 600 << 8, "{} MB", pages >> 8);
    // Who begins to read is told everything, each row once.
    let mut told = 0;
    while told < 320 {
        told += lazy.hear().unwrap().text().matches("\"insert\"").count();
    }
    assert_eq!(told, 320);
    // And so is who asked.
    greedy.stream.set_nonblocking(false).unwrap();
    for _ in 0..asked.min(5) {
        assert!(greedy.hear().unwrap().get("result").is_some());
    }
}

#[test]
fn who_breaks_the_protocol_is_cut_off_alone() {
    let served = Served::new(SCHEMA);
    let mut good = Client::new(&served);
    for bad in [
        b"GET / HTTP/1.0\r\n\r\n".to_vec(),
        b"[1,2]".to_vec(),
        b"{\"id\":1}".to_vec(),
        b"{\"id\":1,\"method\":\"echo\",\"params\":[01]}".to_vec(),
        b"{\"a\":\"\xff\"}".to_vec(),
        "{\"a\":".repeat(2000).into_bytes(),
        b"{\"id\":1,\"result\":{},\"error\":null}".to_vec(),
    ] {
        let mut client = Client::new(&served);
        client.stream.write_all(&bad).unwrap();
        let mut octets = Vec::new();
        client.stream.read_to_end(&mut octets).unwrap();
        assert!(octets.is_empty(), "{}", String::from_utf8_lossy(&octets));
    }
    // A message that has no end.
    let mut endless = Client::new(&served);
    let chunk = vec![b'x'; 1 << 20];
    endless.stream.write_all(b"{\"a\":\"").unwrap();
    let cut = (0..64).any(|_| endless.stream.write_all(&chunk).is_err());
    assert!(cut, "64 MB of one message were taken");
    good.say(r#"{"id":1,"method":"echo","params":[]}"#);
    assert!(good.hear().is_some());
    wait_for("the others' end", || served.handle().connections().unwrap() == 1);
}

#[test]
fn the_process_itself_follows_and_changes() {
    let served = Served::new(SCHEMA);
    let (bell, rung) = std::sync::mpsc::channel();
    let wake = Box::new(move || {
        let _ = bell.send(());
    });
    let operations = |text: &str| Json::parse(text).unwrap().as_array().unwrap().to_vec();
    let row = r#"[{"op":"insert","table":"t","row":{"n":1}}]"#;
    served.handle().transact("d", operations(row)).unwrap();
    let followed = served.handle().follow("d", wake).unwrap();
    assert_eq!(followed.tables[0].len(), 1);
    let mut client = Client::new(&served);
    client.say(&insert(2, "x"));
    client.hear().unwrap();
    rung.recv_timeout(Duration::from_secs(20)).unwrap();
    let commit = followed.commits.try_recv().unwrap();
    let change = &commit.changes[0];
    assert!(change.old.is_none());
    let column = followed.schema.tables[0].column("n").unwrap();
    assert_eq!(change.new.as_ref().unwrap().field(column).one().unwrap().as_integer(), Some(2));
    let error =
        served.handle().transact("d", operations(r#"[{"op":"insert","table":"x","row":{}}]"#)).unwrap_err();
    assert_eq!(error.tag(), "syntax error");
    assert!(served.handle().transact("none", Vec::new()).is_err());
    assert!(served.handle().follow("none", Box::new(|| {})).is_err());
    // Without operations: what does not fit is refused.
    let change = |value: Datum| {
        served.handle().change("d", move |transaction, uuids| {
            let mut row = Row::new(&Schema::parse(SCHEMA).unwrap().tables[0], uuids.next_uuid());
            row.set(column, value);
            transaction.insert(0, row, uuids);
        })
    };
    change(7.into()).unwrap();
    for wrong in
        [Datum::from("x"), Datum::Empty, Datum::set(vec![1.into(), 2.into()]), Datum::text_map([("a", "b")])]
    {
        assert!(change(wrong).is_err());
    }
    let commit = followed.commits.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(commit.changes[0].new.as_ref().unwrap().field(column), &7.into());
    assert!(served.handle().remove_database("d").unwrap());
    assert!(followed.commits.recv_timeout(Duration::from_secs(20)).is_err());
    assert!(change(7.into()).is_err());
    let handle = served.handle().clone();
    served.stop();
    assert!(handle.connections().is_err());
}
