//! A database that is another server's: clients here read and follow a copy in memory, and what they write is carried out
//! there (`relay:DATABASE:REMOTES` of ovsdb-server(1)).
//!
//! ```text
//! client ── transact ──▶ Core ── writes ──▶ Asker ──▶ DatabaseClient ──▶ the other server
//!        ◀── answer ────      ◀── Forwarded ─ thread ◀──              ◀── changes, then the answer
//! ```
//!
//! Invariants: what a transaction changed is in the copy before its answer is given. Nothing is changed here alone.
//!
//! Absent: transactions that both read what they just wrote and wait are carried out there as a whole, as all that write.

use super::client::{Asker, DatabaseClient, Follow, News};
use super::handle::DatabaseHandle;
use super::replication::Copy;
use super::server::Core;
use super::{Remote, remotes};
use crate::sockets::RemoteError;
use netloom_proto::ovsdb::server::SessionId;
use netloom_proto::ovsdb::{Json, Schema};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether the relay is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Operations that the other server carries out.
const WRITES: [&str; 6] = ["insert", "update", "mutate", "delete", "commit", "assert"];

/// What the server's thread knows of a relayed database.
#[derive(Debug)]
pub(super) struct Relayed {
    asker: Asker,
    /// Who waits for which answer, and by which name.
    waiting: BTreeMap<u64, (SessionId, Json)>,
}

/// Relayed databases by their names.
pub(super) type Relays = BTreeMap<String, Relayed>;

impl Core {
    /// Has another server carry out a client's transaction, if it is one of that server's database and writes.
    pub(super) fn forwards(&mut self, session: SessionId, message: &Json) -> bool {
        if self.relays.is_empty() || message.get("method").and_then(Json::as_str) != Some("transact") {
            return false;
        }
        let Some([Json::String(name), operations @ ..]) = message.get("params").and_then(Json::as_array)
        else {
            return false;
        };
        let Some(relayed) = self.relays.get_mut(&**name) else { return false };
        let writes = |operation: &Json| {
            operation.get("op").and_then(Json::as_str).is_some_and(|op| WRITES.contains(&op))
        };
        let (true, Some(id)) = (operations.iter().any(writes), message.get("id")) else { return false };
        let number = relayed.asker.forward(operations.to_vec());
        relayed.waiting.insert(number, (session, id.clone()));
        true
    }

    fn forwarded(&mut self, name: &str, number: u64, answer: Result<Json, Json>) {
        let waiting = self.relays.get_mut(name).and_then(|relayed| relayed.waiting.remove(&number));
        if let Some((session, id)) = waiting {
            self.server.answer_request(session, answer, id);
        }
    }
}

/// A relay of one database.
#[derive(Debug)]
pub struct Relay {
    stop: Arc<AtomicBool>,
    there: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Begins to relay what `DATABASE:REMOTES` names; sockets are within `directory`.
    ///
    /// # Errors
    /// When that can't be understood, or no thread is left.
    pub fn start(handle: &DatabaseHandle, text: &str, directory: &Path) -> Result<Self, RelayError> {
        let (name, from) = text.split_once(':').ok_or_else(|| RelayError::Name(text.to_owned()))?;
        let remotes: Vec<(String, Remote)> = remotes(from, directory)?;
        let (stop, there): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let copy = Copy::new(handle.clone(), name, stop.clone());
        // All tables, whatever they are.
        let keys = handle.key_files();
        let follow = Follow { remotes, database: name.to_owned(), wanted: None, lock: None, keys };
        let client = DatabaseClient::start(follow, Box::new(|| {}))?;
        let (own, name) = (there.clone(), name.to_owned());
        let job = move || run(&client, &copy, &name, &own);
        let thread = std::thread::Builder::new().name("netloom-ovsdb-r".to_owned()).spawn(job)?;
        Ok(Self { stop, there, thread: Some(thread) })
    }

    /// Waits until the database is there; false if it did not come in time.
    #[must_use]
    pub fn wait(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while !self.there.load(Ordering::Acquire) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.there.load(Ordering::Acquire)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

/// Why a database can't be relayed.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Not `DATABASE:REMOTES`.
    #[error("relay:{0}: it is relay:DATABASE:REMOTES")]
    Name(String),
    /// The other server can't be understood.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// No thread is left.
    #[error("no thread is left: {0}")]
    Thread(#[from] std::io::Error),
}

fn run(client: &DatabaseClient, copy: &Copy, name: &str, there: &AtomicBool) {
    let mut known: Option<Arc<Schema>> = None;
    while !copy.ends() {
        match client.wait_news(LOOK) {
            Some(News::Whole { schema, tables }) => {
                if known.as_ref().is_none_or(|known| **known != *schema) {
                    host(client, copy, name, known.is_some(), &schema);
                    known = Some(schema.clone());
                }
                copy.take_all(&schema, &schema, tables);
                there.store(true, Ordering::Release);
            }
            Some(News::Changed(changes)) if known.is_some() => {
                let rows = changes.into_iter();
                copy.change(
                    rows.map(|change| {
                        let row = change.new.map(|row| netloom_proto::ovsdb::Row::clone(&row));
                        (change.table, change.uuid, row)
                    })
                    .collect(),
                );
            }
            Some(News::Changed(_)) => {}
            Some(News::Forwarded(number, answer)) => {
                let name = name.to_owned();
                // A server that has ended answers nobody.
                let _ = copy.handle().ask(move |core| core.forwarded(&name, number, answer));
            }
            _ => {}
        }
    }
    let (own, name) = (copy.handle().clone(), name.to_owned());
    let _ = own.ask(move |core| core.relays.remove(&name));
}

/// Serves a database of this schema.
fn host(client: &DatabaseClient, copy: &Copy, name: &str, again: bool, schema: &Arc<Schema>) {
    let handle = copy.handle();
    if again {
        // Clients learn the new one.
        let _ = handle.remove_database(name);
    }
    if let Err(error) = handle.add_memory(schema.clone()) {
        tracing::error!(target: "ovsdb_relay", "{error}");
    }
    let (asker, name) = (client.asker(), name.to_owned());
    let _ = handle.ask(move |core| core.relays.insert(name, Relayed { asker, waiting: BTreeMap::new() }));
}
