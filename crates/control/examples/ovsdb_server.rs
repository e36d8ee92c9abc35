//! Serves databases until it is killed: `ovsdb_server FILE... --remote=punix:SOCKET ...`, in this order.
//!
//! For tests and measurements; the program `netloom` has the whole command line of `ovsdb-server`.
#![allow(clippy::expect_used, reason = "an example")]

use netloom_control::ovsdb::OvsdbServer;
use std::path::Path;

fn main() {
    let server = OvsdbServer::start().expect("the server starts");
    for argument in std::env::args().skip(1) {
        if let Some(remote) = argument.strip_prefix("--remote=") {
            server.handle().add_remote(remote).expect("a remote that can be used");
        } else {
            server.handle().add_file(Path::new(&argument)).expect("a database that can be served");
        }
    }
    loop {
        std::thread::park();
    }
}
