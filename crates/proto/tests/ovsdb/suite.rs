//! Open vSwitch's own tests of transactions (`ovsdb-execution.at`, from Debian's `openvswitch-source`), given to our server.

use crate::monitors::ask;
use netloom_proto::ovsdb::server::{Forgetful, Server};
use netloom_proto::ovsdb::{Database, Json, Schema, Uuid, UuidSource};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

const ARCHIVE: &str = "/usr/src/openvswitch/openvswitch.tar.gz";

fn text() -> Option<String> {
    let output =
        Command::new("tar").args(["-xzOf", ARCHIVE, "openvswitch/tests/ovsdb-execution.at"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The schemas, by the names of the shell functions that print them.
fn schemas(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for part in text.split("_schema () {").collect::<Vec<_>>().windows(2) {
        let name = part[0].rsplit('\n').next().unwrap();
        let (_, rest) = part[1].split_once("EOF'\n").unwrap();
        let (schema, _) = rest.split_once("\nEOF").unwrap();
        found.insert(format!("{name}_schema"), schema.to_owned());
    }
    found
}

/// Quoted arguments at the front of a text.
fn quoted(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '[' => {
                if depth == 0 {
                    from = at + 1;
                }
                depth += 1;
            }
            ']' => {
                depth -= 1;
                if depth == 0 {
                    found.push(&text[from..at]);
                }
            }
            ')' if depth == 0 => break,
            _ => {}
        }
    }
    found
}

fn anonymous(text: &str) -> String {
    let mut known: Vec<String> = Vec::new();
    let (mut out, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        match rest.get(..36).filter(|text| is_new(text)) {
            Some(uuid) => {
                let at = known.iter().position(|one| one == uuid).unwrap_or_else(|| {
                    known.push(uuid.to_owned());
                    known.len() - 1
                });
                out.push_str(&format!("<{at}>"));
                rest = &rest[36..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// Whether a text is a UUID that the tests do not bring themselves.
fn is_new(text: &str) -> bool {
    text.parse::<Uuid>().is_ok() && !text.starts_with("ffffffff")
}

/// Sets of UUIDs come in the order of the UUIDs, which is chance.
fn sets_in_order(json: Json) -> Json {
    match json {
        Json::Array(elements) => {
            let mut elements: Vec<Json> = elements.into_iter().map(sets_in_order).collect();
            if let [Json::String(tag), Json::Array(members)] = &mut elements[..]
                && &**tag == "set"
            {
                members.sort_by_key(Json::text);
            }
            Json::Array(elements)
        }
        Json::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), sets_in_order(value.clone())));
            Json::Object(netloom_proto::ovsdb::json::Object::new(members.collect()))
        }
        other => other,
    }
}

#[test]
fn their_tests_of_transactions_pass() {
    let Some(text) = text() else {
        netloom_testkit::skip!("no openvswitch-source here");
        return;
    };
    let schemas = schemas(&text);
    // Comments of m4.
    let text: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("dnl ")).collect();
    let text = text.join("\n");
    let mut faults = Vec::new();
    let mut count = 0;
    for part in text.split("OVSDB_CHECK_EXECUTION([").skip(1) {
        let all = format!("[{part}");
        let arguments = quoted(&all);
        let [title, schema, transactions, expected, ..] = arguments[..] else {
            continue;
        };
        let Some(schema) = schemas.get(schema) else {
            continue;
        };
        count += 1;
        let mut server = Server::new(UuidSource::new([5; 4]));
        let schema = Arc::new(Schema::parse(schema).unwrap());
        server.add_database(Database::new(schema), Box::new(Forgetful)).unwrap();
        let id = server.open_session(false);
        let mut said = String::new();
        for transaction in quoted(transactions) {
            let transaction = quoted(transaction)[0];
            let message = format!("{{\"id\":1,\"method\":\"transact\",\"params\":{transaction}}}");
            let message = Json::parse(&message).unwrap_or_else(|error| panic!("{title}: {error}: {message}"));
            let answer = ask(&mut server, id, &message.text()).pop();
            said.push_str(
                &answer.and_then(|answer| answer.get("result").map(Json::text)).unwrap_or_default(),
            );
            said.push('\n');
        }
        let expected: String = quoted(expected).concat();
        // UUIDs that the tests name stay, but for their numbers: both sides are counted anew.
        let comparable = |text: &str| -> Vec<String> {
            let text = normal(&anonymous(text));
            text.lines().map(|line| sets_in_order(Json::parse(line).unwrap()).text()).collect()
        };
        let (ours, theirs) = (comparable(&said), comparable(&expected));
        if ours != theirs {
            faults.push(format!("{title}\nours:\n{said}\ntheirs:\n{expected}"));
        }
    }
    println!("{count} tests");
    assert!(count > 25, "{count}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `<N>` by the order of appearance, whoever counted first.
fn normal(text: &str) -> String {
    let mut known: Vec<&str> = Vec::new();
    let mut out = String::new();
    for (index, part) in text.split('<').enumerate() {
        match part.split_once('>').filter(|(number, _)| index > 0 && number.parse::<u32>().is_ok()) {
            Some((number, rest)) => {
                let at = known.iter().position(|one| *one == number).unwrap_or_else(|| {
                    known.push(number);
                    known.len() - 1
                });
                out.push_str(&format!("<{at}>{rest}"));
            }
            None => {
                if index > 0 {
                    out.push('<');
                }
                out.push_str(part);
            }
        }
    }
    out.trim().to_owned()
}
