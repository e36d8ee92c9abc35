//! A server that is killed at any moment loses nothing that it acknowledged as durable.

use crate::place::{Place, Running, wait_for};
use crate::remotes::hear;
use netloom_control::ovsdb::DatabaseFile;
use netloom_proto::ovsdb::json::Splitter;
use netloom_proto::ovsdb::{Schema, UuidSource};
use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

const SCHEMA: &str = r#"{"name":"d","tables":{"t":{"columns":{"n":{"type":"integer"}}}}}"#;

/// The example, which is built beside the tests.
fn program() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let path = here.parent()?.parent()?.join("examples/ovsdb_server");
    path.exists().then_some(path)
}

#[test]
fn what_was_acknowledged_stays() {
    let Some(program) = program() else {
        netloom_testkit::skip!("the example ovsdb_server is not built");
        return;
    };
    let place = Place::new();
    DatabaseFile::create(&place.path("db"), &Schema::parse(SCHEMA).unwrap()).unwrap();
    let socket = place.path("db.sock");
    let remote = format!("--remote=punix:{}", socket.display());
    let (mut acknowledged, mut next) = (BTreeSet::new(), 0_i64);
    for round in 0..12_u64 {
        let mut running =
            Running(place.command(program.to_str().unwrap(), &["db", &remote]).spawn().unwrap());
        wait_for("the server", || UnixStream::connect(&socket).is_ok());
        let mut stream = UnixStream::connect(&socket).unwrap();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20 + round * 37 % 110));
            running.0.kill().unwrap();
            running.0.wait().unwrap();
        });
        let mut splitter = Splitter::new(1 << 20);
        loop {
            next += 1;
            let request = format!(
                r#"{{"id":{next},"method":"transact","params":["d",{{"op":"insert","table":"t","row":{{"n":{next}}}}},{{"op":"commit","durable":true}}]}}"#
            );
            if stream.write_all(request.as_bytes()).is_err() {
                break;
            }
            match hear(&mut stream, &mut splitter) {
                Some(answer) => {
                    assert!(answer.text().contains("uuid"), "{answer}");
                    acknowledged.insert(next);
                }
                None => break,
            }
        }
        killer.join().unwrap();
        let database = DatabaseFile::peek(&place.path("db"), &mut UuidSource::new([1; 4])).unwrap();
        let (schema, table) = database.table_named("t").unwrap();
        let column = schema.column("n").unwrap();
        let there: BTreeSet<i64> =
            table.rows().map(|row| row.field(column).one().unwrap().as_integer().unwrap()).collect();
        assert!(
            there.is_superset(&acknowledged),
            "round {round}: lost {:?}",
            acknowledged.difference(&there)
        );
        // What was asked and not acknowledged may be there: at most one for each round.
        assert!(there.len() <= acknowledged.len() + 12);
    }
    println!("{} rows acknowledged", acknowledged.len());
    assert!(acknowledged.len() > 12);
}
