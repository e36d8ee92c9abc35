//! Transactions of clients: at once if they can be, later if they wait for something.

use super::{Now, Server, SessionId};
use crate::ovsdb::error::OvsdbError;
use crate::ovsdb::json::Json;
use crate::ovsdb::message::Message;
use crate::ovsdb::record;
use crate::ovsdb::transaction::{Context, Outcome, execute};

/// A transaction that waits.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) session: SessionId,
    pub(super) id: Json,
    /// Operations without the database's name.
    operations: Vec<Json>,
    created: u64,
    timeout: Option<u64>,
}

/// What came of an attempt.
pub(super) enum Attempt {
    Answer(Vec<Json>),
    Wait(Option<u64>),
}

impl Server {
    /// Carries out operations on a database, and commits them.
    pub(super) fn attempt(
        &mut self,
        name: &str,
        session: Option<SessionId>,
        operations: &[Json],
        elapsed: u64,
        now: Now,
    ) -> Attempt {
        let Some(hosted) = self.hosted.get_mut(name) else {
            return Attempt::Answer(Vec::new());
        };
        let read_only =
            session.and_then(|id| self.sessions.get(&id)).is_some_and(|session| session.read_only);
        let locks = &self.locks;
        let owns_lock = |lock: &str| session.is_some_and(|id| locks.owns(id, lock));
        let context = Context { read_only, elapsed, owns_lock: &owns_lock };
        let (mut results, prepared, durable) =
            match execute(&hosted.database, operations, context, &mut self.uuids) {
                Outcome::Failed(results) => return Attempt::Answer(results),
                Outcome::Waiting { timeout } => return Attempt::Wait(timeout),
                Outcome::Done { results, prepared, durable } => (results, prepared, durable),
            };
        if prepared.is_empty() {
            return Attempt::Answer(results);
        }
        let schema = hosted.database.schema().clone();
        let text = record::write(&schema, prepared.changes(), &prepared.comment, now.date);
        let kept = text.map_or(Ok(()), |text| hosted.storage.append(&text, durable));
        match kept.and_then(|()| hosted.database.apply(prepared, &mut self.uuids)) {
            Ok(()) => self.committed(name),
            Err(error) => results.push(error.to_json()),
        }
        Attempt::Answer(results)
    }

    /// A client's request for a transaction.
    pub(super) fn transact(
        &mut self,
        session: SessionId,
        name: &str,
        operations: Vec<Json>,
        id: Json,
        now: Now,
    ) {
        match self.attempt(name, Some(session), &operations, 0, now) {
            Attempt::Answer(results) => self.answer(session, Json::Array(results), id),
            Attempt::Wait(timeout) => {
                let trigger = Trigger { session, id, operations, created: now.monotonic, timeout };
                if let Some(state) = self.sessions.get_mut(&session)
                    && let Some(hosted) = self.hosted.get_mut(name)
                {
                    state.triggers += 1;
                    hosted.triggers.push(trigger);
                }
            }
        }
    }

    /// Answers a request after what the client's monitors have to tell.
    /// Answers a request that somebody else carried out.
    pub fn answer_request(&mut self, session: SessionId, answer: Result<Json, Json>, id: Json) {
        self.flush(session);
        let message = match answer {
            Ok(result) => Message::Reply { result, id },
            Err(error) => Message::Error { error, id },
        };
        self.send(session, &message);
    }

    pub(super) fn answer(&mut self, session: SessionId, result: Json, id: Json) {
        self.flush(session);
        self.send(session, &Message::Reply { result, id });
    }

    pub(super) fn refuse(&mut self, session: SessionId, error: &OvsdbError, id: Json) {
        self.flush(session);
        self.send(session, &Message::Error { error: error.to_json(), id });
    }

    /// Tries transactions again that wait for what has changed, and ends those that waited long enough.
    pub fn run(&mut self, now: Now) {
        let names: Vec<_> = self.hosted.keys().cloned().collect();
        for name in names {
            while let Some(hosted) = self.hosted.get_mut(&name) {
                let changed = std::mem::take(&mut hosted.changed);
                let due = |trigger: &Trigger| {
                    let elapsed = now.monotonic.saturating_sub(trigger.created);
                    changed || trigger.timeout.is_some_and(|timeout| elapsed >= timeout)
                };
                if !hosted.triggers.iter().any(due) {
                    break;
                }
                let (tried, rest) = std::mem::take(&mut hosted.triggers).into_iter().partition(due);
                hosted.triggers = rest;
                self.retry(&name, tried, now);
            }
        }
    }

    fn retry(&mut self, name: &str, tried: Vec<Trigger>, now: Now) {
        for mut trigger in tried {
            let elapsed = now.monotonic.saturating_sub(trigger.created);
            match self.attempt(name, Some(trigger.session), &trigger.operations, elapsed, now) {
                Attempt::Answer(results) => {
                    if let Some(session) = self.sessions.get_mut(&trigger.session) {
                        session.triggers -= 1;
                    }
                    self.answer(trigger.session, Json::Array(results), trigger.id);
                }
                Attempt::Wait(timeout) => {
                    trigger.timeout = timeout;
                    if let Some(hosted) = self.hosted.get_mut(name) {
                        hosted.triggers.push(trigger);
                    }
                }
            }
        }
    }

    /// When [`Server::run`] is to be called next if nothing happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        let triggers = self.hosted.values().flat_map(|hosted| &hosted.triggers);
        triggers.filter_map(|trigger| Some(trigger.created.saturating_add(trigger.timeout?))).min()
    }

    /// Whether a client has a transaction of this name that waits.
    pub(super) fn is_waiting(&self, session: SessionId, id: &Json) -> bool {
        let mut triggers = self.hosted.values().flat_map(|hosted| &hosted.triggers);
        triggers.any(|trigger| trigger.session == session && trigger.id == *id)
    }

    /// Ends waiting transactions.
    pub(super) fn cancel(&mut self, only_aware: bool, which: impl Fn(&str, &Trigger) -> bool) {
        let mut cancelled = Vec::new();
        for (name, hosted) in &mut self.hosted {
            let (ended, rest) =
                std::mem::take(&mut hosted.triggers).into_iter().partition(|trigger| which(name, trigger));
            hosted.triggers = rest;
            cancelled.extend::<Vec<Trigger>>(ended);
        }
        for trigger in cancelled {
            if let Some(session) = self.sessions.get_mut(&trigger.session) {
                session.triggers -= 1;
                if only_aware && !session.db_change_aware {
                    continue;
                }
            }
            self.flush(trigger.session);
            let error = Message::Error { error: Json::string("canceled"), id: trigger.id };
            self.send(trigger.session, &error);
        }
    }
}
