//! The real `ovsdb-server`, alone in a directory of its own.

use netloom_proto::ovsdb::Json;
use netloom_proto::ovsdb::json::Splitter;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server and a connection to it.
pub(crate) struct Peer {
    child: Child,
    directory: PathBuf,
    stream: UnixStream,
    splitter: Splitter,
}

impl Peer {
    /// Starts one with a database of this schema; nothing if it is not installed.
    pub(crate) fn start(name: &str, schema: &str) -> Option<Self> {
        let found = ["ovsdb-server", "ovsdb-tool"].iter().all(|tool| {
            Command::new(tool)
                .arg("--version")
                .stdout(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        });
        if !found {
            netloom_testkit::skip!("no ovsdb-server and ovsdb-tool here");
            return None;
        }
        let directory = std::env::temp_dir().join(format!("netloom-ovsdb-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("schema"), schema).unwrap();
        let status =
            Command::new("ovsdb-tool").args(["create", "db", "schema"]).current_dir(&directory).status();
        assert!(status.unwrap().success());
        let child = Command::new("ovsdb-server")
            .args(["--remote=punix:socket", "--unixctl=ctl", "--no-chdir", "-vconsole:off", "db"])
            .env("OVS_RUNDIR", &directory)
            .env("OVS_LOGDIR", &directory)
            .current_dir(&directory)
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match UnixStream::connect(directory.join("socket")) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Some(Self { child, directory, stream, splitter: Splitter::new(1 << 24) })
    }

    /// What it answers; nothing if it fell over.
    pub(crate) fn ask(&mut self, message: &str) -> Option<Json> {
        self.stream.write_all(message.as_bytes()).ok()?;
        loop {
            if let Some(message) = self.splitter.next_message().unwrap() {
                return Some(message);
            }
            let mut octets = [0; 65536];
            let count = self.stream.read(&mut octets).ok().filter(|count| *count > 0)?;
            self.splitter.feed(&octets[..count]);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
