//! Locks (RFC 7047, sections 4.1.8 to 4.1.10): a name, who has it, and who waits for it.

use super::SessionId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Debug, Clone, Copy)]
struct Waiter {
    session: SessionId,
    /// Who stole a lock and lost it to a thief does not wait for it any more.
    stole: bool,
}

/// All locks of a server.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// The first has the lock.
    queues: BTreeMap<Arc<str>, VecDeque<Waiter>>,
    /// What each session asked for and has not given back, whether or not it still waits.
    asked: BTreeMap<(SessionId, Arc<str>), ()>,
}

impl Locks {
    pub(super) fn owns(&self, session: SessionId, name: &str) -> bool {
        let first = self.queues.get(name).and_then(VecDeque::front);
        first.is_some_and(|first| first.session == session)
    }

    pub(super) fn asked(&self, session: SessionId, name: &str) -> bool {
        self.asked.contains_key(&(session, name.into()))
    }

    /// How many locks a session asked for.
    pub(super) fn count(&self, session: SessionId) -> usize {
        self.of(session).count()
    }

    fn of(&self, session: SessionId) -> impl Iterator<Item = &Arc<str>> {
        let from = (session, Arc::<str>::default());
        self.asked
            .range(from..)
            .map(|(key, ())| key)
            .take_while(move |key| key.0 == session)
            .map(|key| &key.1)
    }

    /// Asks for a lock. Gives who lost it, if it was stolen.
    pub(super) fn lock(&mut self, session: SessionId, name: &str, steal: bool) -> Option<SessionId> {
        let name: Arc<str> = name.into();
        self.asked.insert((session, name.clone()), ());
        let queue = self.queues.entry(name).or_default();
        let waiter = Waiter { session, stole: steal };
        if !steal {
            queue.push_back(waiter);
            return None;
        }
        let victim = queue.front().copied();
        if victim.is_some_and(|victim| victim.stole) {
            queue.pop_front();
        }
        queue.push_front(waiter);
        victim.map(|victim| victim.session)
    }

    /// Gives a lock back. Gives who has it now, if that changed.
    pub(super) fn unlock(&mut self, session: SessionId, name: &str) -> Option<SessionId> {
        self.asked.remove(&(session, name.into()))?;
        let queue = self.queues.get_mut(name)?;
        let at = queue.iter().position(|waiter| waiter.session == session)?;
        queue.remove(at);
        let next = queue.front().map(|waiter| waiter.session).filter(|_| at == 0);
        if queue.is_empty() {
            self.queues.remove(name);
        }
        next
    }

    /// Gives back all of a session that ends. Gives who has which lock now.
    pub(super) fn unlock_all(&mut self, session: SessionId) -> Vec<(SessionId, Arc<str>)> {
        let names: Vec<Arc<str>> = self.of(session).cloned().collect();
        names.into_iter().filter_map(|name| Some((self.unlock(session, &name)?, name))).collect()
    }

    /// The locks of a session: those it has, those it waits for, and those it lost.
    pub(super) fn states(&self, session: SessionId) -> [Vec<Arc<str>>; 3] {
        let mut states = [const { Vec::new() }; 3];
        for name in self.of(session) {
            let waits = |queue: &VecDeque<Waiter>| queue.iter().any(|waiter| waiter.session == session);
            let state = if self.owns(session, name) {
                0
            } else if self.queues.get(name).is_some_and(waits) {
                1
            } else {
                2
            };
            if let Some(names) = states.get_mut(state) {
                names.push(name.clone());
            }
        }
        states
    }
}
