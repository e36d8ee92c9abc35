//! Telling monitors what happened: once for all that want to know the same.

use super::monitor::{self, Monitor, Spec, Version};
use super::{Chunk, Hosted, Server, SessionId};
use crate::ovsdb::history::Commit;
use crate::ovsdb::row::Row;
use crate::ovsdb::uuid::Uuid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most texts that are kept for others.
const KEPT: usize = 64;

/// What was told without conditions since the last commit, for the next who wants the same.
pub(super) struct Told {
    spec: Arc<Spec>,
    differences: bool,
    /// From which commit on; nothing if it was all rows.
    since: Option<u64>,
    text: Option<Arc<str>>,
}

impl Hosted {
    /// Looks for what was told already, or says it and keeps it.
    fn shared(
        &mut self,
        spec: &Arc<Spec>,
        version: Version,
        since: Option<u64>,
        say: impl FnOnce(&Self) -> Option<Arc<str>>,
    ) -> Option<Arc<str>> {
        let differences = version != Version::Rows;
        let same = |told: &&Told| {
            Arc::ptr_eq(&told.spec, spec) && told.differences == differences && told.since == since
        };
        if let Some(told) = self.told.iter().find(same) {
            return told.text.clone();
        }
        let text = say(self);
        if self.told.len() >= KEPT {
            self.told.remove(0);
        }
        self.told.push(Told { spec: spec.clone(), differences, since, text: text.clone() });
        text
    }

    /// All rows a new monitor wants.
    pub(super) fn tell_all(&mut self, new: &Monitor) -> Option<Arc<str>> {
        let say =
            |hosted: &Self| monitor::tell_all(&hosted.database, &new.spec, &new.conditions, new.version);
        if new.is_conditional() { say(self) } else { self.shared(&new.spec, new.version, None, say) }
    }

    /// What happened since a monitor was told, and marks it as told.
    pub(super) fn tell_news(&mut self, one: &mut Monitor) -> Option<Arc<str>> {
        let sequence = self.database.history.sequence();
        if one.seen == sequence && one.missed.is_empty() {
            return None;
        }
        let since = one.seen;
        let missed = std::mem::take(&mut one.missed);
        one.seen = sequence;
        let one = &*one;
        if one.is_conditional() || !missed.is_empty() {
            return self.say_since(one, since, missed);
        }
        self.shared(&one.spec, one.version, Some(since), |hosted| {
            hosted.say_since(one, since, BTreeMap::new())
        })
    }

    fn say_since(&self, one: &Monitor, since: u64, mut missed: monitor::Missed) -> Option<Arc<str>> {
        let schema = &self.database.schema;
        let commits: Vec<&Arc<Commit>> = self.database.history.after(since).into_iter().flatten().collect();
        if let ([commit], true) = (&*commits, missed.is_empty()) {
            let rows = commit.changes.iter().map(monitor::rows_of);
            return monitor::tell_changes(schema, &one.spec, &one.conditions, one.version, rows);
        }
        for commit in commits {
            monitor::fold(&mut missed, commit, &one.spec);
        }
        let rows =
            missed.iter().map(|((table, uuid), (old, new))| (*table, *uuid, old.as_deref(), new.as_deref()));
        let rows = rows.map(|row: (usize, Uuid, Option<&Row>, Option<&Row>)| row);
        monitor::tell_changes(schema, &one.spec, &one.conditions, one.version, rows)
    }
}

impl Server {
    /// Tells a client's monitors what happened. To be called when nothing waits to be sent to it.
    pub fn flush(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        for one in session.monitors.values_mut() {
            let Some(hosted) = self.hosted.get_mut(&one.database) else {
                continue;
            };
            if let Some(text) = hosted.tell_news(one) {
                push_update(&mut session.output, one, hosted.database.history.last_id(), text);
                self.ready.insert(id);
            }
        }
    }

    /// Forgets the oldest commits; who has not been told of them keeps what it needs.
    pub(super) fn shorten_history(&mut self, name: &str) {
        let Some(hosted) = self.hosted.get_mut(name) else {
            return;
        };
        while let Some(commit) = hosted.database.history.shorten() {
            for id in &hosted.watchers {
                let monitors = self.sessions.get_mut(id).map(|session| &mut session.monitors);
                for one in monitors.into_iter().flat_map(BTreeMap::values_mut) {
                    if *one.database == *name && one.seen < commit.sequence {
                        monitor::fold(&mut one.missed, &commit, &one.spec);
                        one.seen = commit.sequence;
                    }
                }
            }
        }
    }

    /// After a commit: others are to be told, and waiting transactions may go on.
    pub(super) fn committed(&mut self, name: &str) {
        self.shorten_history(name);
        let Some(hosted) = self.hosted.get_mut(name) else {
            return;
        };
        hosted.changed = true;
        hosted.told.clear();
        self.ready.extend(&hosted.watchers);
        let last = hosted.database.history.after(hosted.database.history.sequence() - 1);
        for commit in last.into_iter().flatten() {
            for (of, commits) in self.followers.values_mut() {
                if **of == *name {
                    commits.push_back(commit.clone());
                }
            }
        }
    }
}

/// Appends an update notification.
pub(super) fn push_update(output: &mut Vec<Chunk>, one: &Monitor, last: Uuid, text: Arc<str>) {
    let mut head = format!("{{\"id\":null,\"method\":\"{}\",\"params\":[", one.version.method());
    one.id.write(&mut head);
    if one.version == Version::Since {
        head.push_str(",\"");
        last.write(&mut head);
        head.push('"');
    }
    head.push(',');
    output.push(Chunk::Own(head));
    output.push(Chunk::Shared(text));
    output.push(Chunk::Own("]}".to_owned()));
}
