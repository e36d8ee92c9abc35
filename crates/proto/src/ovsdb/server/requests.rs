//! What clients ask for (RFC 7047, section 4.1, and ovsdb-server(7)).

use super::monitor::{self, Monitor, Version};
use super::tell::push_update;
use super::{Chunk, LOCKS, MONITORS, Now, Server, SessionId, TRIGGERS};
use crate::ovsdb::condition::Condition;
use crate::ovsdb::error::OvsdbError;
use crate::ovsdb::json::Json;
use crate::ovsdb::members::{Kind, Members, is_id};
use crate::ovsdb::message::{Message, nothing};
use crate::ovsdb::record;
use crate::ovsdb::schema::Schema;
use crate::ovsdb::uuid::Uuid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who breaks the protocol is to be disconnected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// No message.
    #[error("{0}")]
    NotMessage(#[from] crate::ovsdb::message::NotMessage),
    /// An answer to nothing.
    #[error("received unexpected reply message")]
    UnexpectedReply,
}

type Answer = Result<Option<Json>, OvsdbError>;

fn syntax(params: &[Json], details: String) -> OvsdbError {
    OvsdbError::syntax(&Json::Array(params.to_vec()), details)
}

impl Server {
    /// Takes a message of a client.
    ///
    /// # Errors
    /// When it breaks the protocol: the connection is to be closed.
    pub fn receive(&mut self, session: SessionId, message: Json, now: Now) -> Result<(), Breach> {
        match Message::from_json(message)? {
            Message::Request { method, params, id } => {
                self.request(session, &method, params, id, now);
                Ok(())
            }
            Message::Notification { method, params } => {
                if &*method == "cancel"
                    && let [id] = &*params
                {
                    self.cancel(false, |_, trigger| trigger.session == session && trigger.id == *id);
                }
                Ok(())
            }
            // An echo that keeps the connection alive.
            Message::Reply { id: Json::String(id), .. } if &*id == "echo" => Ok(()),
            Message::Reply { .. } | Message::Error { .. } => Err(Breach::UnexpectedReply),
        }
    }

    fn request(&mut self, session: SessionId, method: &str, params: Vec<Json>, id: Json, now: Now) {
        let answer = match method {
            "transact" => return self.transact_request(session, method, params, id, now),
            "monitor" => self.monitor(session, method, &params, Version::Rows, &id),
            "monitor_cond" if !self.plain_monitors => {
                self.monitor(session, method, &params, Version::Differences, &id)
            }
            "monitor_cond_since" if !self.plain_monitors => {
                self.monitor(session, method, &params, Version::Since, &id)
            }
            "monitor_cond_change" => self.monitor_change(session, &params),
            "monitor_cancel" => {
                let error = match &*params {
                    [name] => match self.end_monitor(session, &name.text()) {
                        Some(_) => return self.answer(session, nothing(), id),
                        None => "unknown monitor",
                    },
                    _ => "invalid parameters",
                };
                return self.send(session, &Message::Error { error: Json::string(error), id });
            }
            "get_schema" => self
                .known(method, &params)
                .map(|name| self.hosted.get(&name).map(|hosted| hosted.database.schema().to_json())),
            "list_dbs" => Ok(Some(Json::Array(self.hosted.keys().cloned().map(Json::String).collect()))),
            "get_server_id" => Ok(Some(Json::string(&self.id.to_string()))),
            "lock" | "steal" | "unlock" => {
                if self.sessions.get(&session).is_some_and(|session| session.read_only) {
                    let error = Json::string("lock and unlock methods not allowed, DB server is read only.");
                    return self.send(session, &Message::Error { error, id });
                }
                self.lock(session, method, &params)
            }
            "set_db_change_aware" => match (&*params, self.sessions.get_mut(&session)) {
                ([Json::Bool(aware)], Some(session)) => {
                    session.db_change_aware = *aware;
                    Ok(Some(nothing()))
                }
                _ => Err(syntax(&params, format!("{method}: true or false parameter expected"))),
            },
            "echo" => Ok(Some(Json::Array(params))),
            "convert" => {
                match self.convert(session, &params, now) {
                    Ok(()) => {
                        self.answer(session, nothing(), id);
                        self.disconnect(false);
                        self.update_status();
                    }
                    Err(error) => self.refuse(session, &error, id),
                }
                return;
            }
            _ => {
                let error = Message::Error { error: Json::string("unknown method"), id };
                self.flush(session);
                return self.send(session, &error);
            }
        };
        match answer {
            Ok(Some(result)) => self.answer(session, result, id),
            Ok(None) => {}
            Err(error) => self.refuse(session, &error, id),
        }
    }

    /// The database that a request names.
    fn known(&self, method: &str, params: &[Json]) -> Result<Arc<str>, OvsdbError> {
        let Some(name) = params.first().and_then(Json::as_str) else {
            return Err(syntax(params, format!("{method} request params must begin with <db-name>")));
        };
        self.hosted.get_key_value(name).map(|(name, _)| name.clone()).ok_or_else(|| {
            OvsdbError::new("unknown database", format!("{method} request specifies unknown database {name}"))
                .about(&Json::Array(params.to_vec()))
        })
    }

    fn transact_request(
        &mut self,
        session: SessionId,
        method: &str,
        mut params: Vec<Json>,
        id: Json,
        now: Now,
    ) {
        let name = match self.known(method, &params) {
            Ok(name) => name,
            Err(error) => return self.refuse(session, &error, id),
        };
        if self.is_waiting(session, &id) {
            let error = syntax(&params, format!("{method}: duplicate request ID"));
            return self.refuse(session, &error, id);
        }
        if self.sessions.get(&session).is_none_or(|session| session.triggers >= TRIGGERS) {
            let details = format!("{TRIGGERS} transactions of this client wait already");
            return self.refuse(session, &OvsdbError::new("resources exhausted", details), id);
        }
        params.remove(0);
        self.transact(session, &name, params, id, now);
    }

    fn lock(&mut self, session: SessionId, method: &str, params: &[Json]) -> Answer {
        let name = match params {
            [Json::String(name)] if is_id(name) => name.clone(),
            _ => return Err(syntax(params, format!("{method} request params must be <id>"))),
        };
        let asked = self.locks.asked(session, &name);
        if method == "unlock" {
            if !asked {
                return Err(syntax(params, format!("{method}: \"unlock\" without \"lock\" or \"steal\"")));
            }
            if let Some(owner) = self.locks.unlock(session, &name) {
                self.notify(owner, "locked", vec![Json::String(name)]);
            }
            return Ok(Some(nothing()));
        }
        if asked {
            return Err(syntax(params, format!("must issue \"unlock\" before new \"{method}\"")));
        }
        if self.locks.count(session) >= LOCKS {
            let details = format!("this client has {LOCKS} locks already");
            return Err(OvsdbError::new("resources exhausted", details));
        }
        if let Some(victim) = self.locks.lock(session, &name, method == "steal") {
            self.notify(victim, "stolen", vec![Json::String(name.clone())]);
        }
        Ok(Some(Json::object([("locked", Json::Bool(self.locks.owns(session, &name)))])))
    }

    /// Begins a monitor and answers `request` itself.
    fn monitor(
        &mut self,
        session: SessionId,
        method: &str,
        params: &[Json],
        version: Version,
        request: &Json,
    ) -> Answer {
        let name = self.known(method, params)?;
        let count = if version == Version::Since { 4 } else { 3 };
        let (true, [_, id, requests, rest @ ..]) = (params.len() == count, params) else {
            return Err(syntax(params, "invalid parameters".to_owned()));
        };
        let (Some(hosted), Some(state)) = (self.hosted.get_mut(&name), self.sessions.get(&session)) else {
            return Ok(None);
        };
        let schema = hosted.database.schema().clone();
        if requests.as_object().is_none() {
            return Err(OvsdbError::syntax(requests, "monitor-requests must be object"));
        }
        let key = id.text();
        if state.monitors.contains_key(&key) {
            return Err(OvsdbError::syntax(id, "duplicate monitor ID"));
        }
        if state.monitors.len() >= MONITORS {
            let details = format!("this client has {MONITORS} monitors already");
            return Err(OvsdbError::new("resources exhausted", details));
        }
        let (spec, conditions) = monitor::read_requests(requests, &schema, version)?;
        let last = match rest {
            [json] => {
                let text =
                    json.as_str().ok_or_else(|| OvsdbError::syntax(json, "last-txn-id must be string"))?;
                text.parse().map_err(|_| OvsdbError::syntax(json, "last-txn-id must be UUID format."))?
            }
            _ => Uuid::ZERO,
        };
        let spec = Arc::new(spec);
        let spec = match self.specs.get(&spec) {
            Some(known) => known.clone(),
            None => {
                self.specs.insert(spec.clone());
                spec
            }
        };
        let history = hosted.database.history();
        let known = history.find(last).filter(|_| last != Uuid::ZERO);
        let seen = known.unwrap_or_else(|| history.sequence());
        let last_id = history.last_id();
        let missed = BTreeMap::new();
        let mut new = Monitor { id: id.clone(), database: name, spec, version, conditions, seen, missed };
        let text = if known.is_some() { hosted.tell_news(&mut new) } else { hosted.tell_all(&new) };
        hosted.watchers.insert(session);
        // What is told is a text already: it goes into the answer as it is.
        let text = text.unwrap_or_else(|| "{}".into());
        self.flush(session);
        let Some(state) = self.sessions.get_mut(&session) else {
            return Ok(None);
        };
        state.monitors.insert(key, new);
        let mut head = String::from("{\"error\":null,\"id\":");
        request.write(&mut head);
        head.push_str(",\"result\":");
        let tail = if version == Version::Since {
            let found = known.is_some();
            head.push_str(&format!("[{found},\"{last_id}\","));
            "]}"
        } else {
            "}"
        };
        state.output.extend([Chunk::Own(head), Chunk::Shared(text), Chunk::Own(tail.to_owned())]);
        self.ready.insert(session);
        Ok(None)
    }

    fn monitor_change(&mut self, session: SessionId, params: &[Json]) -> Answer {
        let [id, new_id, requests] = params else {
            return Err(syntax(params, "invalid parameters".to_owned()));
        };
        // What happened before is told under the old conditions.
        self.flush(session);
        let Some(state) = self.sessions.get_mut(&session) else {
            return Ok(None);
        };
        let (key, new_key) = (id.text(), new_id.text());
        if key != new_key && state.monitors.contains_key(&new_key) && state.monitors.contains_key(&key) {
            return Err(OvsdbError::syntax(new_id, "duplicate monitor ID"));
        }
        let Some(one) = state.monitors.get_mut(&key) else {
            return Err(OvsdbError::syntax(id, "unknown monitor session"));
        };
        let Some(hosted) = self.hosted.get(&one.database) else {
            return Ok(None);
        };
        let conditions = changed_conditions(one, requests, hosted.database.schema())?;
        let before = std::mem::replace(&mut one.conditions, conditions);
        one.id = new_id.clone();
        let text = monitor::tell_conditions(&hosted.database, &one.spec, &before, &one.conditions);
        if let Some(text) = text {
            push_update(&mut state.output, one, hosted.database.history().last_id(), text);
            self.ready.insert(session);
        }
        if key != new_key
            && let Some(one) = state.monitors.remove(&key)
        {
            state.monitors.insert(new_key, one);
        }
        Ok(Some(nothing()))
    }

    pub(super) fn end_monitor(&mut self, session: SessionId, key: &str) -> Option<Json> {
        let state = self.sessions.get_mut(&session)?;
        let ended = state.monitors.remove(key)?;
        if !state.monitors.values().any(|one| one.database == ended.database)
            && let Some(hosted) = self.hosted.get_mut(&ended.database)
        {
            hosted.watchers.remove(&session);
        }
        let id = ended.id.clone();
        drop(ended);
        self.forget_specs();
        Some(id)
    }

    /// Forgets specifications that no monitor has any more.
    pub(super) fn forget_specs(&mut self) {
        for hosted in self.hosted.values_mut() {
            hosted.told.clear();
        }
        self.specs.retain(|spec| Arc::strong_count(spec) > 1);
    }

    /// Cancels the monitors and waiting transactions of a database that is another from now on.
    pub(super) fn cancel_all(&mut self, name: &str) {
        // Clients that do not take notice of such things see the end of the connection instead.
        self.cancel(true, |of, _| of == name);
        self.followers.retain(|_, (of, _)| **of != *name);
        let watchers = self.hosted.get(name).map(|hosted| hosted.watchers.clone()).unwrap_or_default();
        for session in watchers {
            let Some(state) = self.sessions.get(&session) else {
                continue;
            };
            let aware = state.db_change_aware;
            let of = state.monitors.iter().filter(|(_, one)| *one.database == *name);
            let keys: Vec<String> = of.map(|(key, _)| key.clone()).collect();
            for key in keys {
                self.flush(session);
                if let Some(id) = self.end_monitor(session, &key).filter(|_| aware) {
                    self.notify(session, "monitor_canceled", vec![id]);
                }
            }
        }
    }

    fn convert(&mut self, session: SessionId, params: &[Json], now: Now) -> Result<(), OvsdbError> {
        let name = self.known("convert", params)?;
        let [_, schema] = params else {
            return Err(syntax(params, "array expected".to_owned()));
        };
        let read_only = self.sessions.get(&session).is_none_or(|session| session.read_only);
        if read_only || name.starts_with('_') {
            let details = "convert operation not allowed when database server is in read only mode";
            return Err(OvsdbError::new("not allowed", details));
        }
        let new = Arc::new(Schema::from_json(schema)?);
        if new.name != name {
            let details = format!("new schema name ({}) does not match database name ({name})", new.name);
            return Err(OvsdbError::new("invalid parameters", details));
        }
        let Some(hosted) = self.hosted.get_mut(&name) else {
            return Ok(());
        };
        let mut database = hosted.database.convert(new.clone(), &mut self.uuids)?;
        let snapshot = record::snapshot(&database, "converted by ovsdb-server", now.date);
        hosted.storage.replace(&new.to_json().text(), &snapshot)?;
        self.cancel_all(&name);
        if let Some(hosted) = self.hosted.get_mut(&name) {
            // Followers and monitors begin anew: what was before means nothing any more.
            database.history.continue_after(hosted.database.history.sequence());
            hosted.database = database;
            hosted.told.clear();
        }
        Ok(())
    }
}

/// The conditions a monitor has after a change.
fn changed_conditions(one: &Monitor, requests: &Json, schema: &Schema) -> Result<Vec<Condition>, OvsdbError> {
    let requests = requests
        .as_object()
        .ok_or_else(|| OvsdbError::bare_syntax("monitor-cond-change-requests must be object"))?;
    let mut conditions = one.conditions.clone();
    for (name, request) in requests.iter() {
        let found = schema.table(name).and_then(|place| Some((place, schema.tables.get(place)?)));
        let (place, table) =
            found.ok_or_else(|| OvsdbError::bare_syntax(format!("no table named {name}")))?;
        let Some(index) = one.spec.iter().position(|spec| spec.table == place) else {
            return Err(OvsdbError::bare_syntax(format!("no table named {name} in monitor session")));
        };
        let Some(several) = request.as_array() else {
            return Err(OvsdbError::bare_syntax(format!("table {name} no monitor-cond-change JSON array")));
        };
        let mut any = Vec::new();
        for request in several {
            let mut members = Members::new(request, format!("table {name}"));
            let columns = members.optional("columns", Kind::Array);
            let condition = members.optional("where", Kind::Array);
            members.finish()?;
            if columns.is_some() {
                return Err(OvsdbError::syntax(request, "changing columns is unsupported"));
            }
            let condition = condition.map(|json| Condition::from_json(json, table, None));
            any.push(condition.transpose()?.unwrap_or_default());
        }
        if let Some(condition) = conditions.get_mut(index).filter(|_| one.version != Version::Rows) {
            *condition = Condition::any(any);
        }
    }
    Ok(conditions)
}
