//! A connection to a database server that a tool waits on.

use super::super::client::{Done, words};
use netloom_proto::ovsdb::client::{Client, Event, Replica, Wanted};
use netloom_proto::ovsdb::{Json, OvsdbError};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Octets that are read at once.
const PART: usize = 64 << 10;
/// How long to wait before it is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// A stream of octets.
pub enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    /// Connects to `unix:FILE` or `tcp:HOST:PORT`.
    ///
    /// # Errors
    /// If nobody listens there, or there is no such kind of address.
    pub fn open(name: &str) -> io::Result<Self> {
        match name.split_once(':') {
            Some(("unix", path)) => UnixStream::connect(path).map(Self::Unix),
            Some(("tcp", address)) => {
                let stream = TcpStream::connect(address)?;
                // Requests are short, and somebody waits for each answer.
                let _ = stream.set_nodelay(true);
                Ok(Self::Tcp(stream))
            }
            Some(("ssl", _)) => Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT)),
            _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        }
    }

    pub fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Unix(stream) => stream.read(part),
                Self::Tcp(stream) => stream.read(part),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    pub fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(octets),
            Self::Tcp(stream) => stream.write_all(octets),
        }
    }
}

/// A client and its connection.
pub struct Link {
    client: Client,
    remote: String,
    stream: Stream,
    retry: bool,
    /// Rows have changed since [`Link::wait_for_change`] was called last.
    changed: bool,
}

/// Connects to the first of several servers that is there.
fn open(remote: &str) -> io::Result<Stream> {
    let mut last = io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
    for one in remote.split(',').filter(|one| !one.is_empty()) {
        match Stream::open(one) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn failed(remote: &str, error: &io::Error) -> String {
    format!("{remote}: database connection failed ({})", words(error))
}

impl Link {
    /// Connects and waits until the copy is whole. With `retry` it is tried until it succeeds.
    ///
    /// # Errors
    /// In the words of `ovs-vsctl`.
    pub fn open(remote: &str, database: &str, wanted: Vec<Wanted>, retry: bool) -> Done<Self> {
        let stream = loop {
            match open(remote) {
                Ok(stream) => break stream,
                Err(error) if !retry => return Err(failed(remote, &error).into()),
                Err(_) => std::thread::sleep(AGAIN),
            }
        };
        let mut client = Client::new(database, wanted);
        client.connected();
        let mut link = Self { client, remote: remote.to_owned(), stream, retry, changed: false };
        link.wait(|event| matches!(event, Event::Following(_)))?;
        Ok(link)
    }

    /// From now on a lost connection is made anew, whoever said otherwise.
    pub const fn keep_trying(&mut self) {
        self.retry = true;
    }

    /// The copy.
    pub fn replica(&self) -> Done<Replica> {
        let none = || format!("{}: there is no such database", self.remote);
        Ok(self.client.replica().ok_or_else(none)?.clone())
    }

    /// Waits for an event, and gives it.
    fn wait(&mut self, wanted: impl Fn(&Event) -> bool) -> Done<Event> {
        loop {
            let events = match self.hear() {
                Ok(events) => events,
                Err(error) if !self.retry => return Err(failed(&self.remote, &error).into()),
                Err(_) => {
                    let lost = self.client.disconnected();
                    std::thread::sleep(AGAIN);
                    if let Ok(stream) = open(&self.remote) {
                        self.stream = stream;
                        self.client.connected();
                    }
                    lost
                }
            };
            let mut found = None;
            for event in events {
                self.changed |= matches!(event, Event::Following(_) | Event::Changed(_));
                if wanted(&event) {
                    found = Some(event);
                }
            }
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    fn hear(&mut self) -> io::Result<Vec<Event>> {
        let output = self.client.take_output();
        self.stream.write_all(output.as_bytes())?;
        let mut part = vec![0; PART];
        let count = self.stream.read(&mut part)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.client.receive(part.get(..count).unwrap_or_default()).map_err(io::Error::other)
    }

    /// Waits until rows have changed since the last time.
    pub fn wait_for_change(&mut self) -> Done {
        if !std::mem::take(&mut self.changed) {
            self.wait(|event| matches!(event, Event::Changed(_) | Event::Following(_)))?;
            self.changed = false;
        }
        Ok(())
    }

    /// Carries a transaction out.
    pub fn transact(&mut self, operations: Vec<Json>) -> Done<Result<Vec<Json>, OvsdbError>> {
        let request = self.client.transact(operations).map_err(|error| error.to_string())?;
        let answered = |event: &Event| matches!(event, Event::Answered(id, _) if *id == request);
        match self.wait(answered)? {
            Event::Answered(_, result) => Ok(result),
            _ => Ok(Ok(Vec::new())),
        }
    }
}
