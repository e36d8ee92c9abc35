//! Monitors of every kind, replayed by a client that knows nothing else, show what the database has.

use crate::generate::{SCHEMA, schema, transactions};
use netloom_proto::ovsdb::server::{Forgetful, Now, Server, SessionId};
use netloom_proto::ovsdb::{ColumnType, Database, Datum, Json, UuidSource};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NOW: Now = Now { monotonic: 0, date: 0 };

/// A client that keeps what it is told.
struct Copy {
    id: SessionId,
    method: &'static str,
    request: Json,
    rows: BTreeMap<(String, String), BTreeMap<String, Json>>,
    last: String,
}

fn server() -> Server {
    let mut server = Server::new(UuidSource::new([5; 4]));
    server.add_database(Database::new(schema()), Box::new(Forgetful)).unwrap();
    server
}

fn type_of(table: &str, column: &str) -> ColumnType {
    let schema = schema();
    let table = &schema.tables[schema.table(table).unwrap()];
    table.columns[table.column(column).unwrap()].ty.clone()
}

/// What a client says, and what it hears.
pub(crate) fn ask(server: &mut Server, id: SessionId, message: &str) -> Vec<Json> {
    server.receive(id, Json::parse(message).unwrap(), NOW).unwrap();
    server.run(NOW);
    hear(server, id)
}

/// What a client hears.
pub(crate) fn hear(server: &mut Server, id: SessionId) -> Vec<Json> {
    server.flush(id);
    let text: String = server.take_output(id).iter().map(|chunk| chunk.text().to_owned()).collect();
    let mut splitter = netloom_proto::ovsdb::json::Splitter::new(1 << 24);
    splitter.feed(text.as_bytes());
    std::iter::from_fn(|| splitter.next_message().unwrap()).collect()
}

impl Copy {
    fn begin(server: &mut Server, method: &'static str, request: &str) -> Self {
        let id = server.open_session(false);
        let request = Json::parse(request).unwrap();
        let mut copy = Self { id, method, request, rows: BTreeMap::new(), last: String::new() };
        let zero = "00000000-0000-0000-0000-000000000000";
        copy.ask_for_all(server, zero);
        copy
    }

    fn ask_for_all(&mut self, server: &mut Server, last: &str) {
        let last = if self.method == "monitor_cond_since" { format!(",\"{last}\"") } else { String::new() };
        let message = format!(
            "{{\"id\":1,\"method\":\"{}\",\"params\":[\"small\",\"m\",{}{last}]}}",
            self.method, self.request
        );
        let heard = ask(server, self.id, &message);
        let result = heard.last().unwrap().get("result").unwrap();
        match result.as_array() {
            Some([found, id, update]) => {
                if *found == Json::Bool(false) {
                    self.rows.clear();
                }
                self.last = id.as_str().unwrap().to_owned();
                self.take(update);
            }
            _ => self.take(result),
        }
    }

    fn catch_up(&mut self, server: &mut Server) {
        for message in hear(server, self.id) {
            match (
                message.get("method").unwrap().as_str().unwrap(),
                message.get("params").unwrap().as_array().unwrap(),
            ) {
                ("update" | "update2", [_, update]) => self.take(update),
                ("update3", [_, last, update]) => {
                    self.last = last.as_str().unwrap().to_owned();
                    self.take(update);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn take(&mut self, update: &Json) {
        for (table, rows) in update.as_object().unwrap().iter() {
            for (uuid, change) in rows.as_object().unwrap().iter() {
                let key = (table.to_string(), uuid.to_string());
                let change = change.as_object().unwrap();
                let fields = |row: &Json| -> BTreeMap<String, Json> {
                    row.as_object()
                        .unwrap()
                        .iter()
                        .map(|(name, value)| (name.to_string(), value.clone()))
                        .collect()
                };
                if let Some(row) = change.get("initial").or(change.get("insert")) {
                    assert!(self.rows.insert(key, fields(row)).is_none(), "told twice");
                } else if change.get("delete").is_some() {
                    assert!(self.rows.remove(&key).is_some(), "not known");
                } else if let Some(row) = change.get("modify") {
                    let known = self.rows.get_mut(&key).expect("not known");
                    for (name, difference) in fields(row) {
                        let ty = type_of(&key.0, &name);
                        let relaxed = ColumnType { min: 0, max: u32::MAX, ..ty.clone() };
                        let difference = Datum::from_json(&difference, &relaxed, None).unwrap();
                        let old = known.get(&name).map_or(Datum::default_of(&ty), |json| {
                            Datum::from_json(json, &ty, None).unwrap()
                        });
                        let new = old.apply(&difference, &ty).unwrap();
                        assert_ne!(old, new, "nothing changed");
                        known.insert(name, new.to_json(ty.is_map()));
                    }
                } else {
                    match (change.get("old").map(fields), change.get("new").map(fields)) {
                        (None, Some(new)) => assert!(self.rows.insert(key, new).is_none()),
                        (Some(old), None) => assert_eq!(self.rows.remove(&key), Some(old)),
                        (Some(old), Some(new)) => {
                            let known = self.rows.insert(key, new.clone()).unwrap();
                            assert!(!old.is_empty());
                            for (name, value) in &old {
                                assert_eq!(known.get(name), Some(value));
                            }
                            for (name, value) in &known {
                                assert_eq!(old.contains_key(name), new.get(name) != Some(value), "{name}");
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    /// Compares with the database: columns `wanted` of rows that `is_seen`.
    fn check(&self, server: &Server, is_seen: impl Fn(&str, &BTreeMap<String, Json>) -> bool) {
        let database = server.database("small").unwrap();
        let mut expected = BTreeMap::new();
        for (name, request) in self.request.as_object().unwrap().iter() {
            let (schema, table) = database.table_named(name).unwrap();
            let request = request.as_array().map_or(request, |some| &some[0]);
            let columns = request.get("columns").and_then(Json::as_array);
            for row in table.rows() {
                let all: Vec<usize> = (0..schema.columns.len()).collect();
                let all = row.to_json(schema, &all);
                let all: BTreeMap<String, Json> = all
                    .as_object()
                    .unwrap()
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.clone()))
                    .collect();
                if !is_seen(name, &all) {
                    continue;
                }
                let wanted = |name: &str| {
                    columns.map_or(name != "_uuid", |some| some.iter().any(|one| one.as_str() == Some(name)))
                };
                let mut fields: BTreeMap<String, Json> =
                    all.into_iter().filter(|(name, _)| wanted(name)).collect();
                if self.method != "monitor" {
                    fields.retain(|column, value| {
                        let ty = type_of(name, column);
                        !Datum::from_json(value, &ty, None).unwrap().is_default(&ty)
                    });
                }
                expected.insert((name.to_string(), row.uuid().to_string()), fields);
            }
        }
        let mut told = self.rows.clone();
        if self.method != "monitor" {
            for ((table, _), fields) in &mut told {
                fields.retain(|column, value| {
                    let ty = type_of(table, column);
                    !Datum::from_json(value, &ty, None).unwrap().is_default(&ty)
                });
            }
        }
        assert_eq!(told, expected);
    }
}

const ALL: &str = r#"{"root":[{}],"leaf":{},"deep":{"columns":["real","owner"]}}"#;
const SOME: &str = r#"{"root":[{"columns":["name","sees","kind"],"where":[["kind","==","red"],["name","==","a"]]}],"leaf":[{"columns":["number"],"where":[["number",">",0]]}]}"#;
const OTHERS: &str = r#"{"root":[{"where":[["kind","==","green"]]}],"leaf":[{"where":[false]}]}"#;

fn is_some(table: &str, row: &BTreeMap<String, Json>) -> bool {
    match table {
        "root" => row["kind"] == Json::string("red") || row["name"] == Json::string("a"),
        _ => row["number"].as_integer().unwrap() > 0,
    }
}

fn is_other(table: &str, row: &BTreeMap<String, Json>) -> bool {
    table == "root" && row["kind"] == Json::string("green")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_what_there_is(
        transactions in transactions(20), listens in prop::collection::vec(any::<[bool; 6]>(), 20), change in 0..20_usize
    ) {
        let mut server = server();
        let teller = server.open_session(false);
        let mut copies = vec![
            Copy::begin(&mut server, "monitor", ALL),
            Copy::begin(&mut server, "monitor_cond", ALL),
            Copy::begin(&mut server, "monitor_cond_since", ALL),
            Copy::begin(&mut server, "monitor_cond", SOME),
            Copy::begin(&mut server, "monitor_cond_since", ALL),
        ];
        let mut conditional = Copy::begin(&mut server, "monitor_cond_since", SOME);
        let mut changed = false;
        for (number, operations) in transactions.iter().enumerate() {
            let mut params = vec![Json::string("small")];
            params.extend(operations.iter().cloned());
            let message = format!("{{\"id\":1,\"method\":\"transact\",\"params\":{}}}", Json::Array(params));
            ask(&mut server, teller, &message);
            for (copy, listens) in copies.iter_mut().zip(listens[number]) {
                if listens {
                    copy.catch_up(&mut server);
                    copy.check(&server, |table, row| copy.request.text() == Json::parse(ALL).unwrap().text() || is_some(table, row));
                }
            }
            if number == change {
                // Others are to be seen from now on.
                let message = format!("{{\"id\":2,\"method\":\"monitor_cond_change\",\"params\":[\"m\",\"m\",{OTHERS}]}}");
                server.receive(conditional.id, Json::parse(&message).unwrap(), NOW).unwrap();
                let text: String = server.take_output(conditional.id).iter().map(|chunk| chunk.text().to_owned()).collect();
                let mut splitter = netloom_proto::ovsdb::json::Splitter::new(1 << 24);
                splitter.feed(text.as_bytes());
                while let Some(message) = splitter.next_message().unwrap() {
                    if let Some(params) = message.get("params").and_then(Json::as_array) {
                        conditional.take(&params[2]);
                    }
                }
                changed = true;
            } else if listens[number][5] {
                conditional.catch_up(&mut server);
            } else {
                continue;
            }
            conditional.check(&server, if changed { is_other } else { is_some });
            if number % 3 == 0 {
                // It comes back and is told what it missed.
                let last = copies[4].last.clone();
                server.close_session(copies[4].id);
                copies[4].id = server.open_session(false);
                copies[4].ask_for_all(&mut server, &last);
                copies[4].check(&server, |_, _| true);
            }
        }
        for copy in &mut copies {
            copy.catch_up(&mut server);
            let some = copy.request.text() == Json::parse(SOME).unwrap().text();
            copy.check(&server, |table, row| !some || is_some(table, row));
        }
    }
}

#[test]
fn who_does_not_listen_for_long_is_told_everything_at_once() {
    let mut server = server();
    let mut copy = Copy::begin(&mut server, "monitor_cond_since", ALL);
    let mut plain = Copy::begin(&mut server, "monitor", ALL);
    let teller = server.open_session(false);
    for number in 0..500 {
        let message = format!(
            r#"{{"id":1,"method":"transact","params":["small",{{"op":"delete","table":"root","where":[]}},
            {{"op":"insert","table":"root","row":{{"name":"{number}"}}}}]}}"#
        );
        ask(&mut server, teller, &message);
    }
    assert!(server.database("small").unwrap().history().after(1).is_none());
    for copy in [&mut copy, &mut plain] {
        copy.catch_up(&mut server);
        assert_eq!(copy.rows.len(), 1);
        copy.check(&server, |_, _| true);
    }
    let usage = server.usage();
    // A hundred commits of this database, and two of `_Server`: a row for itself and one for the other.
    assert_eq!(
        (usage["monitors"], usage["sessions"], usage["triggers"], usage["txn-history"]),
        (1, 3, 0, 102)
    );
    assert!(usage["cells"] > usage["atoms"] && usage["atoms"] > 5);
    // What is not known any more is told anew.
    copy.id = server.open_session(false);
    copy.ask_for_all(&mut server, "00000000-0000-4000-8000-000000000001");
    copy.check(&server, |_, _| true);
}

#[test]
fn kinds_of_changes_can_be_left_out() {
    let mut server = server();
    let id = server.open_session(false);
    let heard = ask(
        &mut server,
        id,
        r#"{"id":1,"method":"monitor","params":["small",null,{"root":{"columns":["name"],
        "select":{"initial":false,"insert":false,"modify":false}},"leaf":[{"columns":["number"]},
        {"columns":["next"],"select":{"modify":false}}]}]}"#,
    );
    assert_eq!(heard[0].text(), r#"{"error":null,"id":1,"result":{}}"#);
    let insert = r#"{"id":2,"method":"transact","params":["small",{"op":"insert","table":"root",
        "row":{"name":"n","keeps":["named-uuid","l"]}},{"op":"insert","table":"leaf","uuid-name":"l","row":{"number":3}}]}"#;
    let heard = ask(&mut server, id, insert);
    let update = heard[0].get("params").unwrap().as_array().unwrap()[1].text();
    assert!(
        update.contains(r#"{"new":{"next":["set",[]],"number":3}}"#) && !update.contains("root"),
        "{update}"
    );
    assert!(heard[1].get("result").is_some(), "the answer comes after the update");
    let change = r#"{"id":3,"method":"transact","params":["small",{"op":"update","table":"leaf","where":[],"row":{"number":4}},
        {"op":"update","table":"root","where":[],"row":{"name":"o"}}]}"#;
    let update = ask(&mut server, id, change)[0].get("params").unwrap().as_array().unwrap()[1].text();
    assert!(
        update.contains(r#"{"new":{"number":4},"old":{"number":3}}"#) && !update.contains("root"),
        "{update}"
    );
    let delete =
        r#"{"id":4,"method":"transact","params":["small",{"op":"delete","table":"root","where":[]}]}"#;
    let update = ask(&mut server, id, delete)[0].get("params").unwrap().as_array().unwrap()[1].text();
    assert!(
        update.contains(r#"{"old":{"name":"o"}}"#)
            && update.contains(r#"{"old":{"next":["set",[]],"number":4}}"#)
    );
}

#[test]
fn wrong_requests_are_refused_in_the_known_words() {
    let mut server = server();
    let id = server.open_session(false);
    for (method, params, tag, details) in [
        (
            "get_schema",
            r#"["other"]"#,
            "unknown database",
            "get_schema request specifies unknown database other",
        ),
        ("get_schema", "[1]", "syntax error", "get_schema request params must begin with <db-name>"),
        ("monitor", r#"["small",1,{"none":{}}]"#, "syntax error", "no table named none"),
        ("monitor", r#"["small",1,[]]"#, "syntax error", "monitor-requests must be object"),
        (
            "monitor",
            r#"["small",1,{"leaf":{"columns":["x"]}}]"#,
            "syntax error",
            "x is not a valid column name",
        ),
        (
            "monitor",
            r#"["small",1,{"leaf":{"columns":["next","next"]}}]"#,
            "syntax error",
            "column next mentioned more than once",
        ),
        (
            "monitor",
            r#"["small",1,{"leaf":{"where":[]}}]"#,
            "syntax error",
            "Parsing table leaf failed: Member 'where' is present but not allowed here.",
        ),
        ("monitor_cond", r#"["small",1]"#, "syntax error", "invalid parameters"),
        ("monitor_cond_since", r#"["small",1,{},"x"]"#, "syntax error", "last-txn-id must be UUID format."),
        ("monitor_cond_change", r#"[1,2,{}]"#, "syntax error", "unknown monitor session"),
        ("lock", "[1]", "syntax error", "lock request params must be <id>"),
        ("unlock", r#"["x"]"#, "syntax error", r#"unlock: "unlock" without "lock" or "steal""#),
        (
            "set_db_change_aware",
            "[]",
            "syntax error",
            "set_db_change_aware: true or false parameter expected",
        ),
        (
            "convert",
            r#"["small",{"name":"big","tables":{}}]"#,
            "invalid parameters",
            "new schema name (big) does not match database name (small)",
        ),
    ] {
        let heard = ask(&mut server, id, &format!(r#"{{"id":[7],"method":"{method}","params":{params}}}"#));
        let error = heard[0].get("error").unwrap();
        assert_eq!(error.get("error").unwrap().as_str(), Some(tag), "{method} {params}");
        assert_eq!(error.get("details").unwrap().as_str(), Some(details), "{method} {params}");
        assert_eq!(heard[0].get("id").unwrap().text(), "[7]");
    }
    for (method, error) in [("monitor_cancel", "unknown monitor"), ("nothing", "unknown method")] {
        let heard = ask(&mut server, id, &format!(r#"{{"id":1,"method":"{method}","params":[1]}}"#));
        assert_eq!(heard[0].get("error").unwrap().as_str(), Some(error));
    }
    let heard = ask(&mut server, id, r#"{"id":"e","method":"echo","params":[1,"x"]}"#);
    assert_eq!(heard[0].text(), r#"{"error":null,"id":"e","result":[1,"x"]}"#);
    for message in ["{}", r#"{"id":1,"result":1,"error":null}"#, r#"{"id":1,"method":"echo"}"#, r#"{"x":1}"#]
    {
        assert!(server.receive(id, Json::parse(message).unwrap(), NOW).is_err(), "{message}");
    }
}

#[test]
fn a_database_changes_its_schema_while_it_is_served() {
    let mut server = server();
    let (aware, unaware) = (server.open_session(false), server.open_session(false));
    ask(&mut server, aware, r#"{"id":1,"method":"set_db_change_aware","params":[true]}"#);
    for id in [aware, unaware] {
        ask(&mut server, id, r#"{"id":1,"method":"monitor_cond","params":["small","m",{"leaf":{}}]}"#);
        ask(
            &mut server,
            id,
            r#"{"id":2,"method":"monitor_cond","params":["_Server","s",{"Database":{"columns":["schema"]}}]}"#,
        );
    }
    ask(
        &mut server,
        aware,
        r#"{"id":3,"method":"transact","params":["small",{"op":"insert","table":"root","row":{"name":"x"}}]}"#,
    );
    let waits = r#"{"id":4,"method":"transact","params":["small",{"op":"wait","table":"root","where":[],"columns":["name"],"until":"==","rows":[]}]}"#;
    assert!(ask(&mut server, aware, waits).is_empty());
    let new = SCHEMA
        .replace("1.2.3", "1.2.4")
        .replace(r#""passing": {"type": "integer", "ephemeral": true}"#, r#""more": {"type": "string"}"#);
    let heard =
        ask(&mut server, aware, &format!(r#"{{"id":5,"method":"convert","params":["small",{new}]}}"#));
    let texts: Vec<String> = heard.iter().map(Json::text).collect();
    assert_eq!(texts[0], r#"{"error":"canceled","id":4,"result":null}"#);
    assert_eq!(texts[1], r#"{"id":null,"method":"monitor_canceled","params":["m"]}"#);
    assert_eq!(texts[2], r#"{"error":null,"id":5,"result":{}}"#);
    assert!(texts[3].contains("update2") && texts[3].contains("1.2.4"), "{texts:?}");
    assert!(!server.is_closing(aware) && server.is_closing(unaware));
    let database = server.database("small").unwrap();
    let (table, rows) = database.table_named("root").unwrap();
    assert_eq!(rows.rows().next().unwrap().text(table.column("name").unwrap()), Some("x"));
    assert!(table.column("more").is_some() && table.column("passing").is_none());
}
