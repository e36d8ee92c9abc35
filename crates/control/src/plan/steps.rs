//! From verdicts to steps: what is run together, and what has to wait for what.
//!
//! ```text
//! stop processes > clear routes, addresses ... > put used links back > unlink > unset > remove namespaces
//!                                                     |
//!                                               (one joint)
//!                                                     v
//! namespaces > sysctls, filter > links > what is on a link > routes and rules > (joint) > processes
//! ```

mod create;
mod remove;

use super::decide::{Gone, Verdicts, Why};
use super::table::{Id, SpaceId, Table};
use super::{Cause, Change, Memory, PlanError, Step, StepId};
use netloom_compile::object::{Key, Operation, Owner, Route, RouteAction, Spec};
use netloom_wire::NodeName;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// What a step is about; the same subject gets the same step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    /// Processes of a space end.
    Stop(SpaceId),
    /// Everything but links goes from what stays.
    Clear(SpaceId),
    /// A used link goes back to what it was.
    Release(Id),
    /// A link goes, with its other end.
    Unlink(Id),
    /// Sysctls go back, the filter goes.
    Unset(SpaceId),
    /// A namespace goes.
    Unspace(SpaceId),
    /// Namespaces are made, [`SPACES`] neighbours at once.
    Spaces(SpaceId),
    /// Sysctls, and the filter where it names no device.
    Settings(SpaceId),
    /// A filter with chains on devices.
    Filter(SpaceId),
    /// A link is made or changed, with its other end.
    Link(Id),
    /// Addresses and the like on a link.
    Attach(Id),
    /// Routes and rules of a space.
    Routes(SpaceId),
    /// A process starts.
    Start(Id),
}

/// How many namespaces one step makes: enough that the platform can make them in parallel, few enough
/// that what goes into the first ones does not wait for all.
const SPACES: SpaceId = 64;

impl Subject {
    /// The step that makes a namespace.
    const fn space(space: SpaceId) -> Self {
        Self::Spaces(space / SPACES)
    }
}

/// A step before it has its final number.
#[derive(Default)]
struct Draft {
    changes: Vec<Change>,
    takes: Vec<Key>,
    needs: Vec<usize>,
}

struct Builder<'a, 'b> {
    table: &'b Table<'a>,
    memory: &'b Memory<'b>,
    topology: &'b NodeName,
    verdicts: &'b Verdicts,
    drafts: Vec<Draft>,
    subjects: HashMap<Subject, usize>,
}

/// Groups and orders everything that the verdicts ask for.
pub(super) fn order(
    table: &Table<'_>,
    memory: &Memory<'_>,
    topology: &NodeName,
    verdicts: &Verdicts,
) -> Result<Vec<Step>, PlanError> {
    let (drafts, subjects) = (Vec::new(), HashMap::new());
    let mut builder = Builder { table, memory, topology, verdicts, drafts, subjects };
    builder.remove();
    let removals = builder.drafts.len();
    builder.create();
    builder.join(removals);
    builder.start();
    sort(builder.drafts)
}

impl Builder<'_, '_> {
    fn draft(&mut self, subject: Subject) -> usize {
        *self.subjects.entry(subject).or_insert_with(|| {
            self.drafts.push(Draft::default());
            self.drafts.len() - 1
        })
    }

    fn known(&self, subject: Subject) -> Option<usize> {
        self.subjects.get(&subject).copied()
    }

    /// `later` waits for the step about `subject`, if there is one.
    fn after(&mut self, later: usize, subject: Subject) {
        if let Some(earlier) = self.known(subject)
            && earlier != later
        {
            self.drafts[later].needs.push(earlier);
        }
    }

    fn add(&mut self, draft: usize, id: Id, operation: Operation, reason: String, cause: Cause) {
        let key = self.table.keys[id as usize];
        let object = self.table.desired[id as usize].or_else(|| self.memory.objects(key).next());
        let owner = object.map_or_else(
            || Owner { topology: self.topology.clone(), part: "left over".into() },
            |object| object.owner.clone(),
        );
        let origin = object.map(|object| object.origin.clone());
        self.drafts[draft].changes.push(Change { operation, owner, origin, reason, cause });
    }

    /// Adds the change of an object in place.
    fn add_edit(&mut self, draft: usize, id: Id) {
        let Some(edit) = &self.verdicts.edit[id as usize] else { return };
        let key = self.table.keys[id as usize].clone();
        let (from, to, reason) = (edit.from.clone(), edit.to.clone(), edit.reason.clone());
        if let (true, Spec::Link(link)) = (edit.rejoin, &edit.from) {
            let mut free = link.clone();
            free.controller = None;
            free.port = None;
            let free = Spec::Link(free);
            let leave = Operation::Change { key: key.clone(), from, to: free.clone() };
            self.add(draft, id, leave, format!("{reason}: leaves"), edit.cause);
            let join = Operation::Change { key, from: free, to };
            self.add(draft, id, join, format!("{reason}: joins again"), edit.cause);
        } else {
            self.add(draft, id, Operation::Change { key, from, to }, reason, edit.cause);
        }
    }

    /// Why an object goes, in words.
    fn why(&self, id: Id) -> (String, Cause) {
        match &self.verdicts.why[id as usize] {
            Some(Why::Said(reason, cause)) => (reason.clone(), *cause),
            Some(Why::Lost(with)) => {
                let key = self.table.keys[*with as usize];
                let name = format!("{} {key}", key.kind());
                let reason = if self.table.observed[*with as usize].is_none() {
                    format!("its other end {key} is missing")
                } else if self.verdicts.is_gone(*with) {
                    format!("lost with {name}")
                } else {
                    format!("lost while {name} changes")
                };
                (reason, Cause::Lost)
            }
            None => (String::new(), Cause::Described),
        }
    }

    /// The object whose removal takes `id` away.
    fn root(&self, mut id: Id) -> Id {
        // Chains are short: address, VLAN, link, namespace. The bound only guards against a circle.
        for _ in 0..64 {
            match self.verdicts.gone[id as usize] {
                Gone::With(carrier) => id = carrier,
                _ => break,
            }
        }
        id
    }

    /// One step between what goes and what is made, so that neither half needs many edges to the other.
    fn join(&mut self, removals: usize) {
        if removals == 0 || removals == self.drafts.len() {
            return;
        }
        let mut has_successor = vec![false; removals];
        for draft in &self.drafts[..removals] {
            draft.needs.iter().for_each(|need| has_successor[*need] = true);
        }
        let joint = self.drafts.len();
        for draft in &mut self.drafts[removals..] {
            if draft.needs.is_empty() {
                draft.needs.push(joint);
            }
        }
        let needs = (0..removals).filter(|index| !has_successor[*index]).collect();
        self.drafts.push(Draft { needs, ..Draft::default() });
    }
}

fn route_of(operation: &Operation) -> Option<&Route> {
    match operation {
        Operation::Create { spec: Spec::Route(route), .. }
        | Operation::Change { to: Spec::Route(route), .. }
        | Operation::Delete { spec: Spec::Route(route), .. } => Some(route),
        _ => None,
    }
}

/// Routes on the link come before those through a gateway, which may be reachable only by them.
fn route_rank(operation: &Operation) -> u8 {
    match route_of(operation).map(|route| &route.action) {
        Some(RouteAction::Forward { hops }) if hops.iter().any(|hop| hop.gateway.is_some()) => 1,
        Some(_) => 0,
        None => 2,
    }
}

/// `ip_forward` and `all` overwrite the values of single interfaces, so they come first.
fn sysctl_rank(key: &Key) -> u8 {
    match key {
        Key::Firewall { .. } => 0,
        Key::Sysctl { path, .. } if path.ends_with("/ip_forward") || path.contains("/all/") => 1,
        Key::Sysctl { path, .. } if path.contains("/default/") => 2,
        _ => 3,
    }
}

/// Gives the steps their final order and numbers.
fn sort(mut drafts: Vec<Draft>) -> Result<Vec<Step>, PlanError> {
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    let mut waiting: Vec<usize> = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter_mut().enumerate() {
        draft.needs.sort_unstable();
        draft.needs.dedup();
        waiting.push(draft.needs.len());
        for need in &draft.needs {
            followers[*need].push(index);
        }
    }
    let ready = waiting.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(|(index, _)| Reverse(index)).collect();
    let mut numbers = vec![StepId(0); drafts.len()];
    let mut steps: Vec<Step> = Vec::with_capacity(drafts.len());
    while let Some(Reverse(index)) = ready.pop() {
        let draft = std::mem::take(&mut drafts[index]);
        let id = StepId(steps.len() as u32);
        numbers[index] = id;
        let mut needs: Vec<StepId> = draft.needs.iter().map(|need| numbers[*need]).collect();
        needs.sort_unstable();
        steps.push(Step { id, changes: draft.changes, takes: draft.takes, needs });
        for follower in &followers[index] {
            waiting[*follower] -= 1;
            if waiting[*follower] == 0 {
                ready.push(Reverse(*follower));
            }
        }
    }
    if steps.len() == drafts.len() { Ok(steps) } else { Err(PlanError::Circle(circle(&drafts, &waiting))) }
}

/// The objects of one circle among the steps that still wait.
fn circle(drafts: &[Draft], waiting: &[usize]) -> Vec<Key> {
    let Some(mut at) = waiting.iter().position(|count| *count > 0) else { return Vec::new() };
    let mut path = Vec::new();
    while !path.contains(&at) {
        path.push(at);
        let Some(next) = drafts[at].needs.iter().find(|need| waiting[**need] > 0) else { break };
        at = *next;
    }
    let start = path.iter().position(|seen| *seen == at).unwrap_or(0);
    path[start..]
        .iter()
        .filter_map(|index| drafts[*index].changes.first())
        .map(|change| change.key().clone())
        .collect()
}
