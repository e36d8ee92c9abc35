//! The half of a plan in which things go.

use super::super::decide::Gone;
use super::super::table::{Id, SpaceId};
use super::{Builder, Subject, route_rank, sysctl_rank};
use netloom_compile::object::{Key, LinkKind, Operation};
use std::collections::HashMap;

impl Builder<'_, '_> {
    pub(super) fn remove(&mut self) {
        self.stop_and_clear();
        let released = self.release();
        let unlinked = self.unlink(&released);
        self.unset(&unlinked);
        self.unspace(&unlinked);
        self.count_taken();
    }

    fn space(&self, id: Id) -> SpaceId {
        self.table.space[id as usize]
    }

    fn explicit(&self) -> Vec<Id> {
        let gone = |id: &Id| self.verdicts.gone[*id as usize] == Gone::Explicit;
        self.table.all().filter(gone).collect()
    }

    fn add_removal(&mut self, draft: usize, id: Id) {
        let Some(found) = self.table.observed[id as usize] else { return };
        let (reason, cause) = self.why(id);
        let operation =
            Operation::Delete { key: self.table.keys[id as usize].clone(), spec: found.spec.clone() };
        self.add(draft, id, operation, reason, cause);
    }

    /// Processes first, then what can be taken off links and namespaces.
    fn stop_and_clear(&mut self) {
        let explicit = self.explicit();
        for id in &explicit {
            if matches!(self.table.keys[*id as usize], Key::Process { .. }) {
                let draft = self.draft(Subject::Stop(self.space(*id)));
                self.add_removal(draft, *id);
            }
        }
        let mut cleared = Vec::new();
        for id in &explicit {
            let key = self.table.keys[*id as usize];
            if matches!(
                key,
                Key::Namespace { .. }
                    | Key::Link { .. }
                    | Key::Firewall { .. }
                    | Key::Sysctl { .. }
                    | Key::Process { .. }
            ) {
                continue;
            }
            let subject = Subject::Clear(self.space(*id));
            if self.known(subject).is_none() {
                let draft = self.draft(subject);
                self.after(draft, Subject::Stop(self.space(*id)));
                cleared.push(draft);
            }
            let draft = self.draft(subject);
            self.add_removal(draft, *id);
        }
        for draft in cleared {
            // Rules, routes through gateways, routes on links, and then backwards to addresses.
            self.drafts[draft].changes.reverse();
            self.drafts[draft].changes.sort_by_key(|change| match change.key() {
                Key::Rule { .. } => 0,
                Key::Route { .. } => 3 - route_rank(&change.operation),
                _ => 4,
            });
        }
    }

    /// Used links go back to what they were, before their controllers go.
    fn release(&mut self) -> HashMap<SpaceId, Vec<usize>> {
        let mut released: HashMap<SpaceId, Vec<usize>> = HashMap::new();
        for id in self.table.all() {
            let restores = self.verdicts.edit[id as usize].as_ref().is_some_and(|edit| edit.restores);
            if restores && matches!(self.table.keys[id as usize], Key::Link { .. }) {
                let draft = self.draft(Subject::Release(id));
                self.add_edit(draft, id);
                self.after(draft, Subject::Stop(self.space(id)));
                self.after(draft, Subject::Clear(self.space(id)));
                released.entry(self.space(id)).or_default().push(draft);
            }
        }
        released
    }

    /// Links, a veth pair as one. Returns the steps by the spaces they touch.
    fn unlink(&mut self, released: &HashMap<SpaceId, Vec<usize>>) -> HashMap<SpaceId, Vec<usize>> {
        let mut unlinked: HashMap<SpaceId, Vec<usize>> = HashMap::new();
        let links = self.explicit().into_iter();
        let links: Vec<Id> =
            links.filter(|id| matches!(self.table.keys[*id as usize], Key::Link { .. })).collect();
        for id in &links {
            let draft = self.draft(Subject::Unlink(*id));
            self.add_removal(draft, *id);
            let mut spaces = vec![self.space(*id)];
            for other in self.table.rides_on[*id as usize].clone() {
                spaces.push(self.space(other));
                if self.verdicts.gone[other as usize] == Gone::With(*id)
                    && self
                        .table
                        .observed_link(other)
                        .is_some_and(|link| matches!(link.kind, LinkKind::Veth { .. }))
                {
                    self.add_removal(draft, other);
                }
            }
            spaces.sort_unstable();
            spaces.dedup();
            for space in spaces {
                self.after(draft, Subject::Stop(space));
                self.after(draft, Subject::Clear(space));
                let before = released.get(&space).into_iter().flatten().copied();
                self.drafts[draft].needs.extend(before);
                unlinked.entry(space).or_default().push(draft);
            }
        }
        // What rides on a link goes before it.
        for id in &links {
            let Some(child) = self.known(Subject::Unlink(*id)) else { continue };
            for parent in &self.table.rides_on[*id as usize] {
                let root = self.root(*parent);
                if root != *id
                    && self.verdicts.is_gone(*parent)
                    && let Some(draft) = self.known(Subject::Unlink(root))
                {
                    self.drafts[draft].needs.push(child);
                }
            }
        }
        unlinked
    }

    /// Sysctls go back and filters go when the links are gone, as they come before the links.
    fn unset(&mut self, unlinked: &HashMap<SpaceId, Vec<usize>>) {
        let mut unset = Vec::new();
        for id in self.table.all() {
            let key = self.table.keys[id as usize];
            let restores = self.verdicts.edit[id as usize].as_ref().is_some_and(|edit| edit.restores);
            let setting = matches!(key, Key::Firewall { .. } | Key::Sysctl { .. });
            let goes = setting && self.verdicts.gone[id as usize] == Gone::Explicit;
            if !goes && (!restores || matches!(key, Key::Link { .. })) {
                continue;
            }
            let draft = self.draft(Subject::Unset(self.space(id)));
            unset.push((draft, self.space(id)));
            if goes {
                self.add_removal(draft, id);
            } else {
                self.add_edit(draft, id);
            }
        }
        unset.sort_unstable();
        unset.dedup();
        for (draft, space) in unset {
            self.drafts[draft].changes.sort_by_key(|change| std::cmp::Reverse(sysctl_rank(change.key())));
            self.after(draft, Subject::Stop(space));
            self.after(draft, Subject::Clear(space));
            self.drafts[draft].needs.extend(unlinked.get(&space).into_iter().flatten());
        }
    }

    fn unspace(&mut self, unlinked: &HashMap<SpaceId, Vec<usize>>) {
        for id in self.explicit() {
            if matches!(self.table.keys[id as usize], Key::Namespace { .. }) {
                let space = self.space(id);
                let draft = self.draft(Subject::Unspace(space));
                self.add_removal(draft, id);
                self.after(draft, Subject::Stop(space));
                // An open TAP interface would keep the namespace alive.
                self.after(draft, Subject::Clear(space));
                self.drafts[draft].needs.extend(unlinked.get(&space).into_iter().flatten());
            }
        }
    }

    /// Notes with each removal what goes along.
    fn count_taken(&mut self) {
        for id in self.table.all() {
            let index = id as usize;
            let key = self.table.keys[index];
            if !matches!(self.verdicts.gone[index], Gone::With(_)) || matches!(key, Key::Sysctl { .. }) {
                continue;
            }
            let root = self.root(id);
            let draft = match self.table.keys[root as usize] {
                Key::Namespace { .. } => self.known(Subject::Unspace(self.space(root))),
                _ => self.known(Subject::Unlink(root)),
            };
            if let Some(draft) = draft
                && !self.drafts[draft].changes.iter().any(|change| change.key() == key)
            {
                self.drafts[draft].takes.push(key.clone());
            }
        }
    }
}
