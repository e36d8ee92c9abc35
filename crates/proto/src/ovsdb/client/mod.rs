//! A client as a machine: it follows a database and changes it.
//!
//! What: whoever does I/O says when there is a connection ([`Client::connected`]) and what came over it
//! ([`Client::receive`]), and sends [`Client::take_output`]. The client learns the schema, follows the tables it was told
//! to, keeps a [`Replica`], and says what changed. After a new connection it asks only for what it missed, if the server
//! still knows.
//!
//! Invariants: the replica is what the server had after some commit. What is asked while there is no connection fails at
//! once; what is not answered when it is lost fails then, and may or may not have come about.

mod replica;

pub use replica::Replica;

use super::database::RowChange;
use super::error::OvsdbError;
use super::json::{Json, Object, SplitError, Splitter};
use super::message::{Message, NotMessage};
use super::schema::Schema;
use super::uuid::Uuid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest message.
const MESSAGE: usize = 256 << 20;

/// What is followed of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The table.
    pub table: String,
    /// The columns; those the schema does not have are passed over. All without.
    pub columns: Option<Vec<String>>,
    /// The rows: clauses of which any holds. All without.
    pub condition: Option<Json>,
}

/// What a request is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(i64);

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The replica is whole for the first time on this connection; these rows changed since the connection before.
    Following(Vec<RowChange>),
    /// Rows changed.
    Changed(Vec<RowChange>),
    /// A transaction ended: one result for each operation, or an error.
    Answered(RequestId, Result<Vec<Json>, OvsdbError>),
    /// What was asked for somebody else was answered: the result, or the error, as it came.
    Forwarded(RequestId, Result<Json, Json>),
    /// A lock is ours.
    Locked(String),
    /// A lock is not ours, or not any more.
    NotLocked(String),
    /// What the server calls itself.
    Server(String),
}

/// Why a connection is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Not a stream of messages.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Not a message.
    #[error(transparent)]
    NotMessage(#[from] NotMessage),
    /// The server says what does not fit, or refuses to be followed.
    #[error(transparent)]
    Server(#[from] OvsdbError),
}

#[derive(Debug, Clone, PartialEq)]
enum Purpose {
    Schema,
    Monitor(Method),
    Condition,
    Transaction,
    Forward,
    Lock(String),
    Identity,
    Other,
}

/// How to follow: the newest that the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Since,
    Differences,
    Rows,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    database: String,
    wanted: Vec<Wanted>,
    /// All tables are followed.
    everything: bool,
    splitter: Splitter,
    output: String,
    connected: bool,
    following: bool,
    next: i64,
    open: BTreeMap<i64, Purpose>,
    replica: Option<Replica>,
    last: Uuid,
}

impl Client {
    /// A client that follows this database, without a connection.
    #[must_use]
    pub fn new(database: &str, wanted: Vec<Wanted>) -> Self {
        Self {
            database: database.to_owned(),
            wanted,
            everything: false,
            splitter: Splitter::new(MESSAGE),
            output: String::new(),
            connected: false,
            following: false,
            next: 1,
            open: BTreeMap::new(),
            replica: None,
            last: Uuid::ZERO,
        }
    }

    /// A client that follows all tables of this database.
    #[must_use]
    pub fn of_everything(database: &str) -> Self {
        Self { everything: true, ..Self::new(database, Vec::new()) }
    }

    /// The copy of what is followed, once it was whole.
    #[must_use]
    pub const fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    /// There is a connection.
    pub fn connected(&mut self) {
        self.splitter = Splitter::new(MESSAGE);
        self.output.clear();
        self.connected = true;
        self.following = false;
        self.ask("set_db_change_aware", vec![Json::Bool(true)], Purpose::Other);
        self.ask("get_schema", vec![Json::string(&self.database.clone())], Purpose::Schema);
    }

    /// There is no connection any more. What was asked fails.
    pub fn disconnected(&mut self) -> Vec<Event> {
        self.connected = false;
        self.following = false;
        self.output.clear();
        let open = std::mem::take(&mut self.open);
        open.into_iter()
            .filter_map(|(id, purpose)| match purpose {
                Purpose::Transaction => Some(Event::Answered(RequestId(id), Err(lost()))),
                Purpose::Forward => Some(Event::Forwarded(RequestId(id), Err(lost().to_json()))),
                Purpose::Lock(name) => Some(Event::NotLocked(name)),
                _ => None,
            })
            .collect()
    }

    fn ask(&mut self, method: &str, params: Vec<Json>, purpose: Purpose) -> i64 {
        let id = self.next;
        self.next += 1;
        self.open.insert(id, purpose);
        self.output
            .push_str(&Message::Request { method: method.into(), params, id: Json::Integer(id) }.text());
        id
    }

    /// Asks for a transaction.
    ///
    /// # Errors
    /// When there is no connection.
    pub fn transact(&mut self, operations: Vec<Json>) -> Result<RequestId, OvsdbError> {
        if !self.connected {
            return Err(lost());
        }
        let mut params = vec![Json::string(&self.database)];
        params.extend(operations);
        Ok(RequestId(self.ask("transact", params, Purpose::Transaction)))
    }

    /// Asks for a transaction for somebody else, who gets the answer as it comes ([`Event::Forwarded`]).
    ///
    /// # Errors
    /// When there is no connection.
    pub fn forward(&mut self, operations: Vec<Json>) -> Result<RequestId, OvsdbError> {
        if !self.connected {
            return Err(lost());
        }
        let mut params = vec![Json::string(&self.database)];
        params.extend(operations);
        Ok(RequestId(self.ask("transact", params, Purpose::Forward)))
    }

    /// Ends a transaction that waits. It is answered all the same.
    pub fn cancel(&mut self, request: RequestId) {
        if self.open.contains_key(&request.0) {
            let params = vec![Json::Integer(request.0)];
            self.output.push_str(&Message::Notification { method: "cancel".into(), params }.text());
        }
    }

    /// Asks for a lock, or takes it from whoever has it.
    pub fn lock(&mut self, name: &str, steal: bool) {
        if self.connected {
            let method = if steal { "steal" } else { "lock" };
            self.ask(method, vec![Json::string(name)], Purpose::Lock(name.to_owned()));
        }
    }

    /// Gives a lock back.
    pub fn unlock(&mut self, name: &str) {
        if self.connected {
            self.ask("unlock", vec![Json::string(name)], Purpose::Other);
        }
    }

    /// Asks what the server calls itself ([`Event::Server`]); older ones do not know.
    pub fn identify(&mut self) {
        if self.connected {
            self.ask("get_server_id", Vec::new(), Purpose::Identity);
        }
    }

    /// Asks whether the server is there: it answers, and that is heard as octets that came.
    pub fn probe(&mut self) {
        if self.connected {
            self.ask("echo", Vec::new(), Purpose::Other);
        }
    }

    /// Follows other rows of a table from now on.
    pub fn set_condition(&mut self, table: &str, condition: Json) {
        let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.table == table) else {
            return;
        };
        wanted.condition = Some(condition.clone());
        if self.following {
            let request = Json::Array(vec![Json::object([("where", condition)])]);
            let requests = Json::Object(Object::new(vec![(table.into(), request)]));
            let name = Json::string(&self.database);
            self.ask("monitor_cond_change", vec![name.clone(), name, requests], Purpose::Condition);
        }
    }

    /// Takes octets that came.
    ///
    /// # Errors
    /// When the connection is of no use: it is to be closed.
    pub fn receive(&mut self, octets: &[u8]) -> Result<Vec<Event>, ClientError> {
        self.splitter.feed(octets);
        let mut events = Vec::new();
        while let Some(message) = self.splitter.next_message()? {
            match Message::from_json(message)? {
                Message::Request { method, params, id } => {
                    let answer = if &*method == "echo" {
                        Message::Reply { result: Json::Array(params), id }
                    } else {
                        Message::Error { error: Json::string("unknown method"), id }
                    };
                    self.output.push_str(&answer.text());
                }
                Message::Notification { method, params } => self.told(&method, &params, &mut events)?,
                Message::Reply { result, id } => self.answered(&id, Ok(result), &mut events)?,
                Message::Error { error, id } => self.answered(&id, Err(error), &mut events)?,
            }
        }
        Ok(events)
    }

    fn told(&mut self, method: &str, params: &[Json], events: &mut Vec<Event>) -> Result<(), OvsdbError> {
        match (method, params) {
            ("update" | "update2", [_, update]) => self.take(update, events),
            ("update3", [_, last, update]) => {
                self.last = last.as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
                self.take(update, events)
            }
            ("locked", [Json::String(name)]) => {
                events.push(Event::Locked(name.to_string()));
                Ok(())
            }
            ("stolen", [Json::String(name)]) => {
                events.push(Event::NotLocked(name.to_string()));
                Ok(())
            }
            // The database is another from now on: it is learned anew.
            ("monitor_canceled", _) => {
                self.following = false;
                self.last = Uuid::ZERO;
                self.ask("get_schema", vec![Json::string(&self.database.clone())], Purpose::Schema);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, update: &Json, events: &mut Vec<Event>) -> Result<(), OvsdbError> {
        if let Some(replica) = self.replica.as_mut().filter(|_| self.following) {
            let changes = replica.take(update)?;
            if !changes.is_empty() {
                events.push(Event::Changed(changes));
            }
        }
        Ok(())
    }

    fn answered(
        &mut self,
        id: &Json,
        answer: Result<Json, Json>,
        events: &mut Vec<Event>,
    ) -> Result<(), OvsdbError> {
        let Some((number, purpose)) = id.as_integer().and_then(|id| Some((id, self.open.remove(&id)?)))
        else {
            return Ok(());
        };
        let refused = |error: &Json| {
            OvsdbError::from_json(error).unwrap_or_else(|| OvsdbError::new("ovsdb error", error.text()))
        };
        match (purpose, answer) {
            (Purpose::Schema, Ok(schema)) => {
                let schema = Schema::from_json(&schema)?;
                if self.replica.as_ref().is_none_or(|replica| **replica.schema() != schema) {
                    self.replica = Some(Replica::new(Arc::new(schema)));
                    self.last = Uuid::ZERO;
                }
                self.follow(Method::Since);
            }
            (Purpose::Monitor(method), Ok(result)) => self.begin(method, &result, events)?,
            (Purpose::Monitor(Method::Since), Err(Json::String(error))) if &*error == "unknown method" => {
                self.follow(Method::Differences);
            }
            (Purpose::Monitor(Method::Differences), Err(Json::String(error)))
                if &*error == "unknown method" =>
            {
                self.follow(Method::Rows);
            }
            (Purpose::Schema | Purpose::Monitor(_) | Purpose::Condition, Err(error)) => {
                return Err(refused(&error));
            }
            (Purpose::Transaction, Ok(result)) => {
                let results = result.as_array().map(<[Json]>::to_vec).unwrap_or_default();
                let fault = results.iter().find_map(|one| one.get("error").and(OvsdbError::from_json(one)));
                events.push(Event::Answered(RequestId(number), fault.map_or(Ok(results), Err)));
            }
            (Purpose::Transaction, Err(error)) => {
                events.push(Event::Answered(RequestId(number), Err(refused(&error))));
            }
            (Purpose::Forward, answer) => events.push(Event::Forwarded(RequestId(number), answer)),
            (Purpose::Lock(name), Ok(result)) if result.get("locked") == Some(&Json::Bool(true)) => {
                events.push(Event::Locked(name));
            }
            (Purpose::Identity, Ok(Json::String(id))) => events.push(Event::Server(id.to_string())),
            (Purpose::Lock(name), _) => events.push(Event::NotLocked(name)),
            (Purpose::Other | Purpose::Condition | Purpose::Identity, _) => {}
        }
        Ok(())
    }

    /// Asks for the rows.
    fn follow(&mut self, method: Method) {
        let Some(schema) = self.replica.as_ref().map(|replica| replica.schema().clone()) else {
            return;
        };
        if self.everything {
            let all = schema.tables.iter();
            self.wanted = all
                .map(|table| Wanted { table: table.name.to_string(), columns: None, condition: None })
                .collect();
        }
        let mut requests = Object::default();
        for wanted in &self.wanted {
            let Some(table) = schema.table(&wanted.table).and_then(|place| schema.tables.get(place)) else {
                continue;
            };
            let mut request = Object::default();
            if let Some(columns) = &wanted.columns {
                let known = columns.iter().filter(|name| table.column(name).is_some());
                request.insert("columns", Json::Array(known.map(|name| Json::string(name)).collect()));
            }
            if let Some(condition) = wanted.condition.as_ref().filter(|_| method != Method::Rows) {
                request.insert("where", condition.clone());
            }
            requests.insert(&wanted.table, Json::Array(vec![Json::Object(request)]));
        }
        let name = Json::string(&self.database);
        let mut params = vec![name.clone(), name, Json::Object(requests)];
        let verb = match method {
            Method::Since => {
                params.push(Json::string(&self.last.to_string()));
                "monitor_cond_since"
            }
            Method::Differences => "monitor_cond",
            Method::Rows => "monitor",
        };
        self.ask(verb, params, Purpose::Monitor(method));
    }

    /// Takes the first rows.
    fn begin(&mut self, method: Method, result: &Json, events: &mut Vec<Event>) -> Result<(), OvsdbError> {
        let Some(old) = self.replica.clone() else {
            return Ok(());
        };
        let (found, update) = match (method, result.as_array()) {
            (Method::Since, Some([Json::Bool(found), last, update])) => {
                self.last = last.as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
                (*found, update)
            }
            _ => (false, result),
        };
        let mut replica = if found { old.clone() } else { Replica::new(old.schema().clone()) };
        let changes = replica.take(update)?;
        let changes = if found { changes } else { replica.changes_from(&old) };
        self.replica = Some(replica);
        self.following = true;
        events.push(Event::Following(changes));
        Ok(())
    }
}

fn lost() -> OvsdbError {
    OvsdbError::new("disconnected", "there is no connection to the database server")
}
