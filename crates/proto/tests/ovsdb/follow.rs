//! The client follows what the server has, through lost connections and changes of the schema.

use crate::generate::{SCHEMA, schema, transactions};
use netloom_proto::ovsdb::client::{Client, Event, Replica, Wanted};
use netloom_proto::ovsdb::json::Splitter;
use netloom_proto::ovsdb::server::{Forgetful, Now, Server, SessionId};
use netloom_proto::ovsdb::{Database, Json, UuidSource};
use proptest::prelude::*;

const NOW: Now = Now { monotonic: 0, date: 0 };

/// A client and its connection to a server.
struct Line {
    client: Client,
    session: SessionId,
    splitter: Splitter,
    /// What the events led to.
    rows: Option<Replica>,
    answers: Vec<Result<Vec<Json>, String>>,
    locks: Vec<(String, bool)>,
}

impl Line {
    fn new(server: &mut Server, condition: Option<&str>) -> Self {
        let wanted = ["root", "leaf", "deep", "none"].map(|table| Wanted {
            table: table.to_owned(),
            columns: (table == "deep").then(|| vec!["real".to_owned(), "owner".to_owned(), "no".to_owned()]),
            condition: condition.filter(|_| table == "leaf").map(|text| Json::parse(text).unwrap()),
        });
        let client = Client::new("small", wanted.to_vec());
        let (answers, locks) = (Vec::new(), Vec::new());
        let mut line = Self {
            client,
            session: SessionId(0),
            splitter: Splitter::new(1 << 20),
            rows: None,
            answers,
            locks,
        };
        line.connect(server);
        line
    }

    fn connect(&mut self, server: &mut Server) {
        self.session = server.open_session(false);
        self.splitter = Splitter::new(1 << 20);
        self.client.connected();
        self.exchange(server);
    }

    /// Carries messages until nobody has any.
    fn exchange(&mut self, server: &mut Server) {
        loop {
            let out = self.client.take_output();
            self.splitter.feed(out.as_bytes());
            while let Some(message) = self.splitter.next_message().unwrap() {
                server.receive(self.session, message, NOW).unwrap();
            }
            server.run(NOW);
            server.flush(self.session);
            let told: String = server.take_output(self.session).iter().map(|c| c.text().to_owned()).collect();
            if out.is_empty() && told.is_empty() {
                return;
            }
            for piece in told.as_bytes().chunks(61) {
                for event in self.client.receive(piece).unwrap() {
                    self.happened(event);
                }
            }
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Answered(_, answer) => self.answers.push(answer.map_err(|error| error.to_string())),
            Event::Locked(name) => self.locks.push((name, true)),
            Event::NotLocked(name) => self.locks.push((name, false)),
            // Nobody asks for that here.
            Event::Forwarded(..) | Event::Server(_) => panic!("{event:?}"),
            Event::Following(changes) | Event::Changed(changes) => {
                // The changes are exactly what leads from the copy before to the one now.
                let now = self.client.replica().unwrap();
                let before = self.rows.take().unwrap_or_else(|| Replica::new(now.schema().clone()));
                for change in &changes {
                    if before.schema() == now.schema() {
                        assert_eq!(before.get(change.table, change.uuid), change.old.as_ref());
                    }
                    assert_eq!(now.get(change.table, change.uuid), change.new.as_ref());
                }
                if before.schema() == now.schema() {
                    assert_eq!(now.changes_from(&before).len(), changes.len());
                }
                self.rows = Some(now.clone());
            }
        }
    }

    fn check(&self, server: &Server, is_seen: impl Fn(&str, &netloom_proto::ovsdb::Row) -> bool) {
        let database = server.database("small").unwrap();
        let replica = self.client.replica().unwrap();
        for (place, table) in database.schema().tables.iter().enumerate() {
            let expected: Vec<_> =
                database.table(place).unwrap().rows().filter(|row| is_seen(&table.name, row)).collect();
            let found: Vec<_> = replica.rows(place).collect();
            assert_eq!(found.len(), expected.len(), "{}", table.name);
            for (row, expected) in found.iter().zip(expected) {
                assert_eq!(row.uuid(), expected.uuid());
                for (at, column) in table.columns.iter().enumerate().skip(2) {
                    if &*column.name != "fixed" {
                        assert_eq!(row.field(at), expected.field(at), "{}", column.name);
                    }
                }
            }
        }
    }
}

fn server() -> Server {
    let mut server = Server::new(UuidSource::new([5; 4]));
    server.add_database(Database::new(schema()), Box::new(Forgetful)).unwrap();
    server
}

fn transact(server: &mut Server, operations: &[Json]) {
    let _ = server.transact_here("small", operations, NOW);
}

fn operations(text: &str) -> Vec<Json> {
    Json::parse(text).unwrap().as_array().unwrap().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_copy_is_what_the_server_has(
        transactions in transactions(16), cuts in prop::collection::vec(any::<bool>(), 16)
    ) {
        let mut server = server();
        let mut all = Line::new(&mut server, None);
        let mut some = Line::new(&mut server, Some(r#"[["number","<",0]]"#));
        let few = |table: &str, row: &netloom_proto::ovsdb::Row| {
            table != "leaf" || row.field(4).one().unwrap().as_integer().unwrap() < 0
        };
        for (operations, cut) in transactions.iter().zip(cuts) {
            if cut {
                server.close_session(all.session);
                all.client.disconnected();
            }
            transact(&mut server, operations);
            if cut {
                all.connect(&mut server);
            }
            all.exchange(&mut server);
            some.exchange(&mut server);
            all.check(&server, |_, _| true);
            some.check(&server, few);
        }
        some.client.set_condition("leaf", Json::parse("[true]").unwrap());
        some.exchange(&mut server);
        some.check(&server, |_, _| true);
    }

    #[test]
    fn nothing_a_server_says_panics(text in "[\\[\\]{}\",:0-9a-z_ ]{0,60}", octets in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut client = Client::new("small", Vec::new());
        client.connected();
        let _ = client.receive(text.as_bytes());
        let _ = client.receive(&octets);
    }
}

#[test]
fn a_client_asks_locks_and_learns_anew() {
    let mut server = server();
    let mut line = Line::new(&mut server, None);
    line.client.transact(operations(r#"[{"op":"insert","table":"root","row":{"name":"x"}}]"#)).unwrap();
    line.client.transact(operations(r#"[{"op":"insert","table":"root","row":{"name":"x"}}]"#)).unwrap();
    line.client.lock("l", false);
    line.exchange(&mut server);
    assert!(line.answers[0].is_ok());
    assert!(line.answers[1].as_ref().unwrap_err().starts_with("constraint violation: Transaction causes"));
    let mut thief = Line::new(&mut server, None);
    thief.client.lock("l", true);
    thief.exchange(&mut server);
    line.exchange(&mut server);
    thief.client.unlock("l");
    thief.exchange(&mut server);
    line.exchange(&mut server);
    assert_eq!(line.locks, [("l".to_owned(), true), ("l".to_owned(), false), ("l".to_owned(), true)]);
    // What waits is cancelled, or lost with the connection.
    let wait = r#"[{"op":"wait","table":"root","where":[],"columns":["name"],"until":"==","rows":[]}]"#;
    let request = line.client.transact(operations(wait)).unwrap();
    line.exchange(&mut server);
    line.client.cancel(request);
    line.exchange(&mut server);
    assert_eq!(line.answers.last().unwrap().as_ref().unwrap_err(), "canceled");
    line.client.transact(operations(wait)).unwrap();
    line.exchange(&mut server);
    // Another schema.
    let new = SCHEMA
        .replace("1.2.3", "1.3.0")
        .replace(r#""fixed": {"type": "string", "mutable": false}"#, r#""more": {"type": "string"}"#);
    let message = format!(r#"{{"id":5,"method":"convert","params":["small",{new}]}}"#);
    server.receive(thief.session, Json::parse(&message).unwrap(), NOW).unwrap();
    line.exchange(&mut server);
    thief.exchange(&mut server);
    assert_eq!(line.answers.last().unwrap().as_ref().unwrap_err(), "canceled");
    assert_eq!(&*line.client.replica().unwrap().schema().version, "1.3.0");
    line.check(&server, |_, _| true);
    line.client.transact(operations(wait)).unwrap();
    assert_eq!(line.client.disconnected().len(), 1);
    assert!(line.client.transact(Vec::new()).is_err());
}
