//! What clients of the database say, in any pieces, to a server of one database; and what a server says to a client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_proto::ovsdb::client::{Client, Wanted};
use netloom_proto::ovsdb::json::Splitter;
use netloom_proto::ovsdb::server::{Forgetful, Now, Server};
use netloom_proto::ovsdb::{Database, OPEN_VSWITCH, Schema, UuidSource};
use std::sync::{Arc, OnceLock};

static SCHEMA: OnceLock<Arc<Schema>> = OnceLock::new();

fuzz_target!(|octets: &[u8]| {
    let schema = SCHEMA.get_or_init(|| Arc::new(Schema::parse(OPEN_VSWITCH).unwrap()));
    let mut server = Server::new(UuidSource::new([1; 4]));
    server.add_database(Database::new(schema.clone()), Box::new(Forgetful)).unwrap();
    let id = server.open_session(false);
    let mut splitter = Splitter::new(1 << 16);
    let mut client = Client::new("Open_vSwitch", vec![Wanted { table: "Port".into(), columns: None, condition: None }]);
    client.connected();
    let now = Now { monotonic: 0, date: 0 };
    'pieces: for piece in octets.chunks(97) {
        splitter.feed(piece);
        loop {
            match splitter.next_message() {
                Ok(Some(message)) => match server.receive(id, message, now) {
                    Ok(()) => server.run(now),
                    Err(_) => break 'pieces,
                },
                Ok(None) => break,
                Err(_) => break 'pieces,
            }
        }
        server.flush(id);
        // What the server says is good for any client.
        for chunk in server.take_output(id) {
            let _ = chunk.text();
        }
    }
    for piece in octets.chunks(101) {
        if client.receive(piece).is_err() {
            break;
        }
    }
});
