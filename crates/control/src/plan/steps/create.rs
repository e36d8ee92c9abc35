//! The half of a plan in which things are made and changed.

use super::super::decide::why_new;
use super::super::table::{Id, SpaceId, sysctl_link};
use super::{Builder, Draft, Subject, route_rank, sysctl_rank};
use netloom_compile::object::{Key, LinkKind, Operation, Spec, needs};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

impl Builder<'_, '_> {
    /// Makes all steps but the start of processes.
    pub(super) fn create(&mut self) {
        // Addresses that are made, with the step that makes them.
        let mut made: HashMap<(SpaceId, IpAddr), usize> = HashMap::new();
        let mut placed: Vec<(Id, usize)> = Vec::new();
        for id in self.table.all() {
            if !self.is_built(id) {
                continue;
            }
            let Some(subject) = self.subject(id) else { continue };
            let draft = self.draft(subject);
            self.add_building(draft, id);
            placed.push((id, draft));
            if let Key::Address { address, .. } = self.table.keys[id as usize] {
                made.insert((self.table.space[id as usize], address.addr()), draft);
            }
        }
        for (id, draft) in &placed {
            self.wait(*id, *draft, &made);
        }
        self.tunnels_last(&placed);
        for (subject, draft) in &self.subjects {
            let changes = &mut self.drafts[*draft].changes;
            match subject {
                Subject::Settings(_) => changes.sort_by_key(|change| sysctl_rank(change.key())),
                Subject::Routes(_) => changes.sort_by_key(|change| route_rank(&change.operation)),
                _ => {}
            }
        }
    }

    /// Processes start when everything else stands.
    pub(super) fn start(&mut self) {
        let built: Vec<Id> = self
            .table
            .all()
            .filter(|id| matches!(self.table.keys[*id as usize], Key::Process { .. }) && self.is_built(*id))
            .collect();
        if built.is_empty() {
            return;
        }
        let joint = self.drafts.len();
        let mut has_successor = vec![false; joint];
        for draft in &self.drafts {
            draft.needs.iter().for_each(|need| has_successor[*need] = true);
        }
        let needs: Vec<usize> = (0..joint).filter(|index| !has_successor[*index]).collect();
        let waits = !needs.is_empty();
        if waits {
            self.drafts.push(Draft { needs, ..Draft::default() });
        }
        for id in built {
            let draft = self.draft(Subject::Start(id));
            self.add_building(draft, id);
            if waits {
                self.drafts[draft].needs.push(joint);
            }
        }
    }

    fn is_built(&self, id: Id) -> bool {
        let edited = self.verdicts.edit[id as usize].as_ref().is_some_and(|edit| !edit.restores);
        edited || self.verdicts.is_made(self.table, id)
    }

    fn add_building(&mut self, draft: usize, id: Id) {
        let Some(object) = self.table.desired[id as usize] else { return };
        if !self.verdicts.is_made(self.table, id) {
            return self.add_edit(draft, id);
        }
        let (reason, cause) = if self.table.observed[id as usize].is_some() {
            self.why(id)
        } else {
            why_new(self.memory, &object.key, &object.reason)
        };
        let operation = Operation::Create { key: object.key.clone(), spec: object.spec.clone() };
        self.add(draft, id, operation, reason, cause);
    }

    /// The step that an object belongs to. Processes have theirs later.
    fn subject(&self, id: Id) -> Option<Subject> {
        let space = self.table.space[id as usize];
        let key = self.table.keys[id as usize];
        Some(match key {
            Key::Namespace { .. } => Subject::space(space),
            Key::Firewall { .. } => match &self.table.desired[id as usize]?.spec {
                Spec::Firewall(firewall) if firewall.devices().next().is_some() => Subject::Filter(space),
                _ => Subject::Settings(space),
            },
            Key::Sysctl { .. } => match sysctl_link(key).and_then(|link| self.table.id(&link)) {
                Some(link) => Subject::Attach(link),
                None => Subject::Settings(space),
            },
            Key::Link { .. } => Subject::Link(self.first_end(id)),
            Key::Switch { .. } => Subject::Settings(space),
            Key::Address { link, .. }
            | Key::Neighbour { link, .. }
            | Key::FdbEntry { link, .. }
            | Key::SwitchPort { link, .. }
            | Key::Shaper { link, .. } => Subject::Attach(self.table.link(key.space(), link).unwrap_or(id)),
            Key::Route { .. } | Key::Rule { .. } => Subject::Routes(space),
            Key::Process { .. } => return None,
        })
    }

    /// A veth pair is made in one step, which bears the number of the end that comes first.
    fn first_end(&self, id: Id) -> Id {
        let Some(LinkKind::Veth { peer }) = self.table.desired_link(id).map(|link| &link.kind) else {
            return id;
        };
        match self.table.id(&Key::link(peer)) {
            Some(other)
                if other < id
                    && self.verdicts.is_made(self.table, id)
                    && self.verdicts.is_made(self.table, other) =>
            {
                other
            }
            _ => id,
        }
    }

    /// A change of the interface below a VLAN may take the VLAN down for a moment, and with it what is on it.
    fn after_lower(&mut self, draft: usize, link: Id) {
        let mut at = link;
        // As many levels as a kernel nests (`MAX_NEST_DEV`, linux/netdevice.h).
        for _ in 0..8 {
            let Some(LinkKind::Vlan { parent, .. }) = self.table.desired_link(at).map(|link| &link.kind)
            else {
                return;
            };
            let Some(lower) = self.table.link(self.table.keys[at as usize].space(), parent) else { return };
            self.after(draft, Subject::Link(self.first_end(lower)));
            at = lower;
        }
    }

    /// WireGuard interfaces come after what carries their packets, and one after the other.
    ///
    /// An interface that knows its peer greets it as soon as it is up. Two that greet each other at the same moment
    /// both fail and try again 5 s later, up to a third of a second apart, which is about as fine as a kernel timer of
    /// 5 s is (`REKEY_TIMEOUT`, drivers/net/wireguard/messages.h): they may fail many times. Of two that come one after
    /// the other over a network that stands, the second one's greeting is answered at once.
    fn tunnels_last(&mut self, placed: &[(Id, usize)]) {
        let is_tunnel = |id: Id| {
            self.table.desired_link(id).is_some_and(|link| matches!(link.kind, LinkKind::Wireguard(_)))
        };
        let tunnels: Vec<usize> =
            placed.iter().filter(|(id, _)| is_tunnel(*id)).map(|(_, draft)| *draft).collect();
        if tunnels.is_empty() {
            return;
        }
        // Whatever waits for a tunnel itself (what is on it, routes of its space) is no part of what carries it.
        let mut rests: HashSet<usize> = tunnels.iter().copied().collect();
        let mut found = 0;
        while rests.len() > found {
            found = rests.len();
            for (_, draft) in placed {
                if self.drafts[*draft].needs.iter().any(|need| rests.contains(need)) {
                    rests.insert(*draft);
                }
            }
        }
        let mut needs: Vec<usize> =
            placed.iter().map(|(_, draft)| *draft).filter(|d| !rests.contains(d)).collect();
        needs.sort_unstable();
        needs.dedup();
        let mut before = self.drafts.len();
        self.drafts.push(Draft { needs, ..Draft::default() });
        for tunnel in tunnels {
            self.drafts[tunnel].needs.push(before);
            before = tunnel;
        }
    }

    /// Lets the step of an object wait for all that the object needs.
    fn wait(&mut self, id: Id, draft: usize, made: &HashMap<(SpaceId, IpAddr), usize>) {
        let Some(object) = self.table.desired[id as usize] else { return };
        let space = self.table.space[id as usize];
        let is_link = matches!(object.key, Key::Link { .. });
        if let Key::Namespace { .. } = object.key {
            return;
        }
        self.after(draft, Subject::space(space));
        self.after(draft, Subject::Settings(space));
        if !is_link && !matches!(object.key, Key::Sysctl { .. } | Key::Firewall { .. }) {
            self.after(draft, Subject::Filter(space));
        }
        if let Key::Sysctl { .. } = object.key
            && let Some(link) = sysctl_link(&object.key).and_then(|link| self.table.id(&link))
        {
            self.after(draft, Subject::Link(self.first_end(link)));
        }
        for need in needs::needs(&object.key, &object.spec) {
            let Some(needed) = self.table.id(&need) else { continue };
            match need {
                Key::Namespace { .. } => {
                    let space = self.table.space[needed as usize];
                    self.after(draft, Subject::space(space));
                    if is_link {
                        self.after(draft, Subject::Settings(space));
                    }
                }
                Key::Link { .. } => {
                    self.after(draft, Subject::Link(self.first_end(needed)));
                    self.after_lower(draft, needed);
                    // A gateway is reachable when the addresses of the interface are there.
                    if let Key::Route { .. } = object.key {
                        self.after(draft, Subject::Attach(needed));
                    }
                }
                Key::Switch { .. } => self.after(draft, Subject::Settings(self.table.space[needed as usize])),
                _ => {}
            }
        }
        if let Spec::Route(route) = &object.spec
            && let Some(source) = route.source
            && let Some(earlier) = made.get(&(space, source))
        {
            self.drafts[draft].needs.push(*earlier);
        }
    }
}
