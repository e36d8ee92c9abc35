//! The same transactions to the real `ovsdb-server`: the same answers and the same rows.

use crate::generate::{SCHEMA, schema, transactions};
use crate::monitors::ask;
use crate::peer::Peer;
use netloom_proto::ovsdb::server::{Forgetful, Server};
use netloom_proto::ovsdb::{Database, Json, UuidSource};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

fn dump() -> String {
    let tables = schema()
        .tables
        .iter()
        .map(|table| {
            let columns: Vec<String> = table
                .columns
                .iter()
                .filter(|column| &*column.name != "_version")
                .map(|column| format!("\"{}\"", column.name))
                .collect();
            format!(
                r#"{{"op":"select","table":"{}","where":[],"columns":[{}],"sort":["_uuid"]}}"#,
                table.name,
                columns.join(",")
            )
        })
        .collect::<Vec<_>>();
    format!(r#"{{"id":9,"method":"transact","params":["small",{}]}}"#, tables.join(","))
}

/// Answers without what may differ: new UUIDs, and which of several faults is found first.
fn comparable(answer: &Json) -> Vec<String> {
    let results = answer.get("result").unwrap().as_array().unwrap();
    let one = |result: &Json| match result.get("error").and_then(Json::as_str) {
        Some(tag) => tag.to_owned(),
        None => result.text(),
    };
    results.iter().map(one).collect()
}

#[test]
fn the_real_server_does_the_same() {
    let Some(mut peer) = Peer::start("differential", SCHEMA) else {
        return;
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut count, mut same_details, mut failed, mut fell) = (0, 0, 0, 0);
    'next: for _ in 0..150 {
        let some = transactions(20).new_tree(&mut runner).unwrap().current();
        let mut server = Server::new(UuidSource::new([5; 4]));
        server.add_database(Database::new(schema()), Box::new(Forgetful)).unwrap();
        let id = server.open_session(false);
        let clear = r#"{"id":0,"method":"transact","params":["small",{"op":"delete","table":"root","where":[]},
            {"op":"update","table":"leaf","where":[],"row":{"next":["set",[]],"deep":["set",[]]}}]}"#;
        peer.ask(clear).unwrap();
        for operations in &some {
            let mut params = vec![Json::string("small")];
            params.extend(operations.iter().cloned());
            let message = format!("{{\"id\":1,\"method\":\"transact\",\"params\":{}}}", Json::Array(params));
            // It has faults of its own: multiplying a negative integer by zero makes it fall over.
            let Some(theirs) = peer.ask(&message) else {
                println!("ovsdb-server fell over: {message}");
                fell += 1;
                drop(peer);
                peer = Peer::start("differential", SCHEMA).unwrap();
                continue 'next;
            };
            let ours = ask(&mut server, id, &message).pop().unwrap();
            assert_eq!(comparable(&ours), comparable(&theirs), "{message}\n{ours}\n{theirs}");
            count += 1;
            if comparable(&ours).iter().any(|result| !result.starts_with('{')) {
                failed += 1;
                same_details += usize::from(ours.get("result") == theirs.get("result"));
            }
            let (ours, theirs) = (ask(&mut server, id, &dump()).pop().unwrap(), peer.ask(&dump()).unwrap());
            assert_eq!(ours.get("result"), theirs.get("result"), "after {message}");
        }
    }
    println!("{count} transactions, {failed} failed, {same_details} of them in the same words, {fell} falls");
    // Where several things are wrong at once it is chance which one is said.
    assert!(same_details * 10 > failed * 8, "{same_details} of {failed}");
}
