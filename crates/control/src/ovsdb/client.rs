//! Following a database that another process serves: a connection that is made again and again, around the machine of
//! `netloom_proto::ovsdb::client`, on a thread of its own.
//!
//! ```text
//! DatabaseClient ── Command ──▶ thread: poll(bell, socket) ──▶ Client ──▶ server
//!                ◀── News ───── (bell of whoever follows)  ◀──
//! ```
//!
//! What: [`DatabaseClient`] asks for transactions and gives [`News`]: the rows, what changed, what was answered, whose the
//! lock is, that the connection was lost.
//!
//! Invariants: after [`News::Whole`] the rows and all [`News::Changed`] that follow are what the server has. A transaction
//! is answered once: by the server, or by the loss of the connection, after which it may or may not have come about. What a
//! transaction changed is told before its answer.
//!
//! Costs: a lost connection is tried again after a second, then after twice as long each time, eight seconds at most, at the
//! next of the remotes in turn. A server across a network that is silent for five seconds is asked whether it is there.
//!
//! Absent: names of hosts, as for the server.
//! Source: ovs-vswitchd(8) for the lock and the remotes; times as `ovsdb-client` of Open vSwitch 3.1 has them.

use crate::sockets::{Heard, KeyFiles, Keyring, Remote, RemoteError, Stream, begin};
use netloom_proto::ovsdb::client::{Client, Event, Replica, RequestId, Wanted};
use netloom_proto::ovsdb::{Json, OvsdbError, Row, RowChange, Schema};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time until the second try to connect.
const BACKOFF: Duration = Duration::from_secs(1);
/// The most time between two tries.
const MOST: Duration = Duration::from_secs(8);

/// What there is to be known about the database.
#[derive(Debug)]
pub enum News {
    /// All rows, on a new connection.
    Whole {
        /// The server's schema.
        schema: Arc<Schema>,
        /// The rows of each table of the schema.
        tables: Vec<Vec<Arc<Row>>>,
    },
    /// Rows changed.
    Changed(Vec<RowChange>),
    /// A transaction ended: one result for each operation, or an error.
    Answered(u64, Result<Vec<Json>, OvsdbError>),
    /// The lock is ours, or somebody else's.
    Lock(bool),
    /// What was asked for somebody else was answered.
    Forwarded(u64, Result<Json, Json>),
    /// Which server that is: no other one says the same of itself.
    Server(String),
    /// The connection was lost, and the lock with it.
    Lost,
}

#[derive(Debug)]
enum Command {
    Transact(u64, Vec<Json>),
    Forward(u64, Vec<Json>),
    Stop,
}

/// What is followed, and how.
#[derive(Debug)]
pub struct Follow {
    /// Where the server is: `unix:PATH`, `tcp:ADDRESS[:PORT]`; several are tried in turn.
    pub remotes: Vec<(String, Remote)>,
    /// The database.
    pub database: String,
    /// Its tables and columns; all without.
    pub wanted: Option<Vec<Wanted>>,
    /// The lock that is asked for.
    pub lock: Option<String>,
    /// Keys of TLS, for `ssl:`.
    pub keys: Option<KeyFiles>,
}

/// Reads remotes, separated by commas; each begins with its kind. Paths of sockets are within `directory`.
///
/// # Errors
/// The first one that can't be connected to.
pub fn remotes(text: &str, directory: &std::path::Path) -> Result<Vec<(String, Remote)>, RemoteError> {
    let mut all = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let remote: Remote = part.parse()?;
        if remote.listens() || matches!(remote, Remote::Column { .. }) {
            return Err(RemoteError::Unknown(part.to_owned()));
        }
        all.push((part.to_owned(), remote.within(directory)));
    }
    if all.is_empty() { Err(RemoteError::Unknown(text.to_owned())) } else { Ok(all) }
}

/// Asks a database's server.
#[derive(Debug, Clone)]
pub struct Asker {
    commands: Sender<Command>,
    bell: Arc<OwnedFd>,
    next: Arc<AtomicU64>,
}

impl Asker {
    fn send(&self, command: Command) {
        // A thread that has ended does nothing more.
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }

    fn number(&self) -> u64 {
        // Numbers only have to differ.
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks for a transaction, and gives the number by which it is answered.
    pub fn transact(&self, operations: Vec<Json>) -> u64 {
        let number = self.number();
        self.send(Command::Transact(number, operations));
        number
    }

    /// As [`Asker::transact`], but the answer is given as it comes ([`News::Forwarded`]).
    pub fn forward(&self, operations: Vec<Json>) -> u64 {
        let number = self.number();
        self.send(Command::Forward(number, operations));
        number
    }
}

/// A database that another process serves.
#[derive(Debug)]
pub struct DatabaseClient {
    asker: Asker,
    news: Receiver<News>,
    thread: Option<JoinHandle<()>>,
}

impl DatabaseClient {
    /// Begins to follow a database. `wake` is called when there are news.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start(follow: Follow, wake: Box<dyn Fn() + Send>) -> io::Result<Self> {
        let (commands, orders) = channel();
        let (sender, news) = channel();
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let mut keyring = Keyring::default();
        keyring.set(follow.keys);
        let mut link = Link {
            keyring,
            client: match follow.wanted {
                Some(wanted) => Client::new(&follow.database, wanted),
                None => Client::of_everything(&follow.database),
            },
            remotes: follow.remotes,
            at: 0,
            lock: follow.lock,
            phase: Phase::Waiting(Instant::now()),
            wait: Duration::ZERO,
            output: Vec::new(),
            asked: BTreeMap::new(),
            orders,
            sender,
            wake,
            bell: bell.clone(),
        };
        let thread =
            std::thread::Builder::new().name("netloom-ovsdb-c".to_owned()).spawn(move || link.run())?;
        let asker = Asker { commands, bell, next: Arc::default() };
        Ok(Self { asker, news, thread: Some(thread) })
    }

    /// Asks for a transaction, and gives the number by which it is answered.
    pub fn transact(&self, operations: Vec<Json>) -> u64 {
        self.asker.transact(operations)
    }

    /// Somebody else who asks; the answers are among the news here.
    #[must_use]
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// The next of the news; none if nothing is new.
    pub fn next_news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// The next of the news, waiting for it; none when nothing comes in time.
    pub fn wait_news(&self, patience: Duration) -> Option<News> {
        self.news.recv_timeout(patience).ok()
    }
}

impl Drop for DatabaseClient {
    fn drop(&mut self) {
        self.asker.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

/// How far the connection is.
#[derive(Debug)]
enum Phase {
    /// It is tried at this time.
    Waiting(Instant),
    /// It is being made, since this time.
    Connecting(OwnedFd, Instant),
    /// It is there.
    Connected {
        stream: Stream,
        since: Instant,
        /// When something was heard last.
        heard: Instant,
        /// It was asked since whether it is there.
        probed: bool,
    },
}

/// The thread's side.
struct Link {
    client: Client,
    keyring: Keyring,
    remotes: Vec<(String, Remote)>,
    /// Which of them.
    at: usize,
    lock: Option<String>,
    phase: Phase,
    /// How long was waited before the last try.
    wait: Duration,
    output: Vec<u8>,
    asked: BTreeMap<RequestId, u64>,
    orders: Receiver<Command>,
    sender: Sender<News>,
    wake: Box<dyn Fn() + Send>,
    bell: Arc<OwnedFd>,
}

impl Link {
    fn run(&mut self) {
        loop {
            if self.obey() {
                return;
            }
            self.advance();
            let output = self.client.take_output();
            self.output.extend_from_slice(output.as_bytes());
            if let Err(reason) = self.write() {
                self.lose(Some(&plain(&reason)));
            }
            self.sleep();
        }
    }

    fn name(&self) -> &str {
        self.remotes.get(self.at).map_or("", |(name, _)| name)
    }

    /// How long a server may be silent until it is asked whether it is there.
    fn probe_interval(&self) -> Option<Duration> {
        let (_, remote) = self.remotes.get(self.at)?;
        let interval = remote.default_options().probe_interval;
        (interval > 0).then(|| Duration::from_millis(interval))
    }

    fn tell(&self, news: News) {
        // Whoever does not listen any more stops this thread, too.
        let _ = self.sender.send(news);
        (self.wake)();
    }

    /// Does what is asked for; true if that is to end.
    fn obey(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Command::Transact(number, operations)) => match self.client.transact(operations) {
                    Ok(request) => {
                        self.asked.insert(request, number);
                    }
                    Err(error) => self.tell(News::Answered(number, Err(error))),
                },
                Ok(Command::Forward(number, operations)) => match self.client.forward(operations) {
                    Ok(request) => {
                        self.asked.insert(request, number);
                    }
                    Err(error) => self.tell(News::Forwarded(number, Err(error.to_json()))),
                },
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
    }

    /// Does what is due.
    fn advance(&mut self) {
        let now = Instant::now();
        match &mut self.phase {
            Phase::Waiting(at) if *at <= now => self.connect(now),
            Phase::Connecting(_, since) if now >= *since + self.wait.max(BACKOFF) => {
                let name = self.name().to_owned();
                tracing::info!(target: "reconnect", "{name}: connection attempt timed out");
                self.lose(None);
            }
            Phase::Connected { heard, probed, .. } => {
                let (heard, probed) = (*heard, *probed);
                let Some(interval) = self.probe_interval() else { return };
                if now >= heard + interval * 2 {
                    let name = self.name().to_owned();
                    tracing::error!(
                        target: "reconnect",
                        "{name}: no response to inactivity probe after {} seconds, disconnecting",
                        interval.as_secs()
                    );
                    self.lose(None);
                } else if now >= heard + interval && !probed {
                    self.client.probe();
                    if let Phase::Connected { probed, .. } = &mut self.phase {
                        *probed = true;
                    }
                }
            }
            _ => {}
        }
    }

    /// Begins a connection.
    fn connect(&mut self, now: Instant) {
        let Some((name, remote)) = self.remotes.get(self.at) else { return };
        tracing::info!(target: "reconnect", "{name}: connecting...");
        match begin(remote) {
            Ok(Some(stream)) => self.phase = Phase::Connecting(stream, now),
            Ok(None) => self.lose(Some("it can't be connected to")),
            Err(error) => self.lose(Some(&plain(&error))),
        }
    }

    /// The connection is there.
    fn establish(&mut self) {
        let now = Instant::now();
        let Phase::Connecting(stream, _) = std::mem::replace(&mut self.phase, Phase::Waiting(now)) else {
            return;
        };
        let Some((_, remote)) = self.remotes.get(self.at) else { return };
        let stream = match Stream::new(stream, remote, &mut self.keyring) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::error!(target: "stream_ssl", "{}: {error}", self.name());
                return self.lose(Some("no keys"));
            }
        };
        tracing::info!(target: "reconnect", "{}: connected", self.name());
        self.phase = Phase::Connected { stream, since: now, heard: now, probed: false };
        self.output.clear();
        self.client.connected();
        self.client.identify();
        if let Some(lock) = &self.lock {
            self.client.lock(lock, false);
        }
    }

    /// The connection is no more, or was never made.
    fn lose(&mut self, reason: Option<&str>) {
        let now = Instant::now();
        let before = std::mem::replace(&mut self.phase, Phase::Waiting(now));
        let name = self.name().to_owned();
        let mut next = (self.wait * 2).clamp(BACKOFF, MOST);
        match before {
            Phase::Connected { since, heard, .. } => {
                match reason {
                    Some(reason) => {
                        tracing::info!(target: "reconnect", "{name}: connection dropped ({reason})");
                    }
                    None => tracing::info!(target: "reconnect", "{name}: connection closed by peer"),
                }
                if heard.duration_since(since) >= self.wait {
                    next = BACKOFF;
                }
                let ended = self.client.disconnected();
                // Whose the lock is, is not known any more: that is no answer.
                let answers = |event: &Event| matches!(event, Event::Answered(..) | Event::Forwarded(..));
                ended.into_iter().filter(answers).for_each(|event| self.take(event));
                self.asked.clear();
                self.output.clear();
                self.tell(News::Lost);
            }
            Phase::Connecting(..) | Phase::Waiting(_) => {
                if let Some(reason) = reason {
                    tracing::info!(target: "reconnect", "{name}: connection attempt failed ({reason})");
                }
            }
        }
        // Another one is tried at once, all of them again only after a while.
        self.at = (self.at + 1) % self.remotes.len().max(1);
        if self.at == 0 || self.remotes.len() == 1 {
            self.wait = next;
            tracing::info!(target: "reconnect", "{name}: waiting {} seconds before reconnect", next.as_secs());
            self.phase = Phase::Waiting(now + next);
        }
    }

    /// Sends what can be sent now.
    fn write(&mut self) -> io::Result<()> {
        let Phase::Connected { stream, .. } = &mut self.phase else { return Ok(()) };
        let mut sent = 0;
        while let Some(rest) = self.output.get(sent..).filter(|rest| !rest.is_empty()) {
            match stream.send(&[IoSlice::new(rest)])? {
                0 => break,
                count => sent += count,
            }
        }
        self.output.drain(..sent);
        stream.flush()
    }

    /// Takes what the server says.
    fn read(&mut self) {
        loop {
            let Phase::Connected { stream, heard, probed, .. } = &mut self.phase else { return };
            let (client, mut said) = (&mut self.client, Ok(Vec::new()));
            let outcome = stream.read(|octets| {
                (*heard, *probed) = (Instant::now(), false);
                said = client.receive(octets);
            });
            let outcome = match outcome {
                Ok(Heard::End) => return self.lose(None),
                Ok(outcome) => outcome,
                Err(error) => return self.lose(Some(&plain(&error))),
            };
            match said {
                Ok(events) => events.into_iter().for_each(|event| self.take(event)),
                Err(error) => {
                    let name = self.name();
                    tracing::warn!(target: "ovsdb_idl", "{name}: the database server can't be understood: {error}");
                    return self.lose(Some("it can't be understood"));
                }
            }
            if outcome == Heard::Enough {
                return;
            }
        }
    }

    fn take(&mut self, event: Event) {
        let news = match event {
            Event::Following(_) => match self.client.replica() {
                Some(replica) => whole(replica),
                None => return,
            },
            Event::Changed(changes) => News::Changed(changes),
            Event::Answered(request, result) => match self.asked.remove(&request) {
                Some(number) => News::Answered(number, result),
                None => return,
            },
            Event::Forwarded(request, result) => match self.asked.remove(&request) {
                Some(number) => News::Forwarded(number, result),
                None => return,
            },
            Event::Locked(_) => News::Lock(true),
            Event::NotLocked(_) => News::Lock(false),
            Event::Server(id) => News::Server(id),
        };
        self.tell(news);
    }

    /// Waits until something is to be done.
    fn sleep(&mut self) {
        let now = Instant::now();
        let (stream, flags, until) = match &self.phase {
            Phase::Waiting(at) => (None, PollFlags::empty(), Some(*at)),
            Phase::Connecting(stream, since) => {
                (Some(stream.as_fd()), PollFlags::OUT, Some(*since + self.wait.max(BACKOFF)))
            }
            Phase::Connected { stream, heard, probed, .. } => {
                let flags = match self.output.is_empty() && !stream.wants_write() {
                    true => PollFlags::IN,
                    false => PollFlags::IN | PollFlags::OUT,
                };
                let times = if *probed { 2 } else { 1 };
                (Some(stream.as_fd()), flags, self.probe_interval().map(|interval| *heard + interval * times))
            }
        };
        let patience = until.map(|until| until.saturating_duration_since(now));
        let patience = patience.and_then(|patience| Timespec::try_from(patience).ok());
        let mut wait = vec![PollFd::new(&*self.bell, PollFlags::IN)];
        wait.extend(stream.map(|stream| PollFd::from_borrowed_fd(stream, flags)));
        // What interrupts this is looked at in the next round.
        let _ = poll(&mut wait, patience.as_ref());
        let ready = wait.get(1).map_or(PollFlags::empty(), |stream| stream.revents());
        drop(wait);
        let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
        if ready.is_empty() {
            return;
        }
        match &self.phase {
            Phase::Connecting(stream, _) => match rustix::net::sockopt::socket_error(stream) {
                Ok(Ok(())) => self.establish(),
                Ok(Err(error)) | Err(error) => self.lose(Some(&plain(&error.into()))),
            },
            Phase::Connected { .. } => self.read(),
            Phase::Waiting(_) => {}
        }
    }
}

/// What the system says, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn whole(replica: &Replica) -> News {
    let schema = replica.schema().clone();
    let tables = (0..schema.tables.len()).map(|table| replica.rows(table).cloned().collect()).collect();
    News::Whole { schema, tables }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn remotes_in_a_list() {
        let read =
            |text| remotes(text, Path::new("/run/ovs")).map(|all| all.into_iter().map(|(_, remote)| remote));
        let all: Vec<Remote> = read("unix:db.sock,tcp:127.0.0.1:6640").unwrap().collect();
        assert_eq!(
            all,
            [
                Remote::ConnectUnix("/run/ovs/db.sock".into()),
                Remote::ConnectTcp("127.0.0.1:6640".parse().unwrap())
            ]
        );
        for wrong in ["", "punix:db.sock", "db:a,b,c", "nothing"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
