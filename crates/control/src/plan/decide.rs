//! Object by object: what is there, what is wanted, and so what has to become of it.

use super::opened::{self, Opened};
use super::table::{Id, Table};
use super::{Cause, Foreign, Memory, PlanError};
use netloom_compile::object::{
    Comparison, FieldChange, Key, Link, LinkKind, Mark, ObservedObject, Space, Spec, compare,
};
use netloom_wire::{InterfaceName, MacAddr};
use std::borrow::Cow;
use std::collections::HashMap;

/// Whether an observed object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It stays.
    No,
    /// It is removed by a step.
    Explicit,
    /// The kernel removes it with another one.
    With(Id),
}

/// Why an observed object goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Why {
    /// In words.
    Said(String, Cause),
    /// Because of another one.
    Lost(Id),
}

/// A change in place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edit {
    /// As it will be found when the step runs.
    pub(super) from: Spec,
    /// As it has to become.
    pub(super) to: Spec,
    /// Why.
    pub(super) reason: String,
    /// Where the difference comes from.
    pub(super) cause: Cause,
    /// Whether a port has to leave its bridge for a moment.
    pub(super) rejoin: bool,
    /// Whether it goes back to a first value: then it belongs to what is removed.
    pub(super) restores: bool,
}

/// What becomes of every object, by number.
pub(super) struct Verdicts {
    pub(super) gone: Vec<Gone>,
    pub(super) why: Vec<Option<Why>>,
    pub(super) edit: Vec<Option<Box<Edit>>>,
    pub(super) remembers: Vec<(Key, Spec)>,
}

impl Verdicts {
    pub(super) fn is_gone(&self, id: Id) -> bool {
        self.gone[id as usize] != Gone::No
    }

    /// Whether the object has to be made.
    pub(super) fn is_made(&self, table: &Table<'_>, id: Id) -> bool {
        table.desired[id as usize].is_some() && (table.observed[id as usize].is_none() || self.is_gone(id))
    }

    pub(super) fn remove(&mut self, id: Id, why: Why) {
        let index = id as usize;
        if self.gone[index] == Gone::No {
            self.gone[index] = Gone::Explicit;
            self.why[index] = Some(why);
            self.edit[index] = None;
        }
    }
}

/// Whose an observed object is, as far as memory can tell more than the mark does.
pub(super) fn mark(key: &Key, found: &ObservedObject, memory: &Memory<'_>) -> Mark {
    if found.mark == Mark::Foreign && memory.begun.contains(key) { Mark::Ours } else { found.mark }
}

/// Compares all objects, each for itself.
pub(super) fn decide(table: &Table<'_>, memory: &Memory<'_>) -> Result<Verdicts, PlanError> {
    let count = table.keys.len();
    let mut verdicts = Verdicts {
        gone: vec![Gone::No; count],
        why: vec![None; count],
        edit: vec![None; count],
        remembers: Vec::new(),
    };
    let mut foreign = Vec::new();
    for id in table.all() {
        let index = id as usize;
        let key = table.keys[index];
        let Some(found) = table.observed[index] else { continue };
        let mark = mark(key, found, memory);
        match table.desired[index] {
            Some(wanted) => {
                let used = is_existing(&wanted.spec);
                let same = compare(&found.spec, &wanted.spec) == Comparison::Same;
                if mark == Mark::Foreign && !used && !(same && matches!(key, Key::Sysctl { .. })) {
                    foreign.push(Foreign { key: key.clone(), origin: wanted.origin.clone() });
                    continue;
                }
                // A namespace of ours has no past that would have to be put back.
                let fresh = matches!(key, Key::Sysctl { space: Space::Node(_), .. });
                if (mark == Mark::Unmarkable || used)
                    && memory.original(key).is_none()
                    && !memory.held(key)
                    && mark != Mark::Ours
                    && !fresh
                {
                    verdicts.remembers.push((key.clone(), found.spec.clone()));
                }
                if mark != found.mark && !used {
                    // Without its mark it would be a stranger the next time.
                    let reason = "left half made by an interrupted run, made anew".to_owned();
                    verdicts.remove(id, Why::Said(reason, Cause::Interrupted));
                } else {
                    judge(table, memory, &mut verdicts, id, &found.spec);
                }
            }
            None => unwanted(table, memory, &mut verdicts, id, mark),
        }
    }
    if !foreign.is_empty() {
        return Err(PlanError::Foreign(foreign));
    }
    pairs(table, &mut verdicts);
    exclusive(table, &mut verdicts);
    Ok(verdicts)
}

pub(super) const fn is_existing(spec: &Spec) -> bool {
    match spec {
        Spec::Link(link) => matches!(link.kind, LinkKind::Existing),
        _ => false,
    }
}

/// Compares one wanted object with `seen`, which is how it was observed or how another step leaves it.
pub(super) fn judge(table: &Table<'_>, memory: &Memory<'_>, verdicts: &mut Verdicts, id: Id, seen: &Spec) {
    let index = id as usize;
    let (key, Some(wanted)) = (table.keys[index], table.desired[index]) else { return };
    let mut fields = Vec::new();
    let compared = compare(seen, &wanted.spec);
    // Most objects of most plans are as they were and as they shall be.
    if compared == Comparison::Same && memory.objects(key).all(|before| before.spec == wanted.spec) {
        verdicts.edit[index] = None;
        return;
    }
    let (mut to, mut rejoin) = (wanted.spec.clone(), false);
    let cause = by_whom(memory, key, &wanted.spec);
    match compared {
        Comparison::Same => {}
        Comparison::Change(changed) => fields = changed,
        Comparison::Recreate(changed) => return remake(verdicts, id, &joined(&changed), cause),
    }
    for before in memory.objects(key).filter(|before| before.spec != wanted.spec) {
        match opened::settle(seen, &before.spec, &to, first_value(memory, key).as_deref()) {
            Opened::Nothing => {}
            Opened::Edit { to: settled, fields: more, rejoin: again } => {
                to = settled;
                for field in more {
                    if !fields.iter().any(|known| known.field == field.field) {
                        fields.push(field);
                    }
                }
                rejoin |= again;
            }
            Opened::Anew(names) => {
                let reason = format!("{} no longer described", names.join(", "));
                return remake(verdicts, id, &reason, Cause::Described);
            }
        }
    }
    if fields.is_empty() {
        verdicts.edit[index] = None;
        return;
    }
    // Somebody else may have made a used interface a port; what is not described is left alone.
    if let (Spec::Link(link), Spec::Link(seen)) = (&mut to, seen)
        && link.kind == LinkKind::Existing
        && link.controller.is_none()
        && !fields.iter().any(|field| field.field == "controller")
    {
        link.controller.clone_from(&seen.controller);
    }
    let mut reason = joined(&fields);
    if cause == Cause::Drift {
        reason = format!("changed by hand: {reason}");
    }
    let from = seen.clone();
    verdicts.edit[index] = Some(Box::new(Edit { from, to, reason, cause, rejoin, restores: false }));
}

fn remake(verdicts: &mut Verdicts, id: Id, what: &str, cause: Cause) {
    let prefix = if cause == Cause::Drift { "changed by hand, made anew" } else { "made anew" };
    verdicts.remove(id, Why::Said(format!("{prefix}: {what}"), cause));
}

fn joined(fields: &[FieldChange]) -> String {
    fields.iter().map(FieldChange::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether a difference of a wanted object comes from the file, from an interrupted run or from a hand.
fn by_whom(memory: &Memory<'_>, key: &Key, wanted: &Spec) -> Cause {
    let earlier = memory.last.and_then(|last| last.objects.get(key));
    match earlier {
        Some(earlier) if earlier.spec == *wanted => {
            let differs = |table: &&netloom_compile::object::Desired| {
                table.objects.get(key).is_none_or(|object| object.spec != *wanted)
            };
            if memory.interrupted.iter().any(differs) { Cause::Interrupted } else { Cause::Drift }
        }
        _ => Cause::Described,
    }
}

/// Why an object that is not there has to be made.
pub(super) fn why_new(memory: &Memory<'_>, key: &Key, clause: &str) -> (String, Cause) {
    let was = memory.last.is_some_and(|last| last.objects.contains_key(key));
    if !was {
        (format!("new: {clause}"), Cause::Described)
    } else if memory.interrupted.is_empty() {
        ("removed by hand".to_owned(), Cause::Drift)
    } else {
        ("missing since an interrupted run".to_owned(), Cause::Interrupted)
    }
}

/// An observed object that is not wanted.
fn unwanted(table: &Table<'_>, memory: &Memory<'_>, verdicts: &mut Verdicts, id: Id, mark: Mark) {
    let key = table.keys[id as usize];
    let Some(found) = table.observed[id as usize] else { return };
    let used = memory.objects(key).any(|object| is_existing(&object.spec));
    if used && (mark != Mark::Ours || is_existing(&found.spec)) {
        return put_back(memory, verdicts, id, key, found);
    }
    let (said, cause) = if memory.last.is_some_and(|last| last.objects.contains_key(key)) {
        ("no longer described", Cause::Described)
    } else if memory.held(key) || memory.begun.contains(key) {
        ("left over from an interrupted run", Cause::Interrupted)
    } else {
        ("carries this topology's mark but is not described", Cause::Drift)
    };
    match mark {
        Mark::Foreign => {}
        Mark::Ours if is_existing(&found.spec) => {}
        Mark::Ours if !matches!(key, Key::Sysctl { .. }) => {
            verdicts.remove(id, Why::Said(said.to_owned(), cause));
        }
        Mark::Ours | Mark::Unmarkable if !memory.held(key) => {}
        Mark::Ours | Mark::Unmarkable => match memory.original(key) {
            Some(original) => {
                if let Comparison::Change(fields) = compare(&found.spec, original) {
                    let reason = format!("{said}: {}", joined(&fields));
                    restore(verdicts, id, &found.spec, original.clone(), reason, cause);
                }
            }
            // Only memory could know; in a node, removing means what a fresh namespace has.
            None if matches!(key, Key::Sysctl { space: Space::Host, .. }) => {}
            None => verdicts.remove(id, Why::Said(said.to_owned(), cause)),
        },
    }
}

/// An interface that was only used and no longer is.
fn put_back(memory: &Memory<'_>, verdicts: &mut Verdicts, id: Id, key: &Key, found: &ObservedObject) {
    let (Spec::Link(link), Some(original)) = (&found.spec, first_value(memory, key)) else { return };
    let Spec::Link(original) = original.as_ref() else { return };
    // All that any earlier description set, so that all of it goes back.
    let mut used = Link::new(LinkKind::Existing);
    for object in memory.objects(key) {
        if let Spec::Link(earlier) = &object.spec {
            used.mtu = used.mtu.or(earlier.mtu);
            used.mac = used.mac.or(earlier.mac);
            used.channels = used.channels.or(earlier.channels);
            used.controller = used.controller.or_else(|| earlier.controller.clone());
            used.features.extend(earlier.features.clone());
        }
    }
    if let Some((to, fields)) = opened::release(link, &used, original) {
        let reason = format!("no longer described: {}", joined(&fields));
        let to = Spec::Link(Box::new(to));
        restore(verdicts, id, &found.spec, to, reason, Cause::Described);
    }
}

fn restore(verdicts: &mut Verdicts, id: Id, from: &Spec, to: Spec, reason: String, cause: Cause) {
    let from = from.clone();
    let edit = Edit { from, to, reason, cause, rejoin: false, restores: true };
    verdicts.edit[id as usize] = Some(Box::new(edit));
}

/// The kernel makes both ends of a veth pair or none: where one is missing, the other has to go.
fn pairs(table: &Table<'_>, verdicts: &mut Verdicts) {
    for id in table.all() {
        let Some(LinkKind::Veth { peer }) = table.desired_link(id).map(|link| &link.kind) else { continue };
        if !verdicts.is_made(table, id) {
            continue;
        }
        if let Some(other) = table.id(&Key::link(peer))
            && table.observed[other as usize].is_some()
            && table.desired[other as usize].is_some()
        {
            verdicts.remove(other, Why::Lost(id));
        }
    }
}

/// The first value, if one is remembered or known: the loopback interface of a node is up from its birth.
fn first_value<'a>(memory: &Memory<'a>, key: &Key) -> Option<Cow<'a, Spec>> {
    match (memory.original(key), key) {
        (Some(original), _) => Some(Cow::Borrowed(original)),
        (None, Key::Link { space: Space::Node(_), name }) if name.as_str() == "lo" => {
            let mut loopback = Link::new(LinkKind::Existing);
            loopback.mtu = Some(LOOPBACK_MTU);
            Some(Cow::Owned(Spec::Link(Box::new(loopback))))
        }
        _ => None,
    }
}

/// MTU of a fresh loopback interface (`loopback_setup`, drivers/net/loopback.c).
const LOOPBACK_MTU: u32 = 65536;

/// Something that only one interface can have at a time.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Claim<'a> {
    /// A MAC address among the macvlans of one parent (`macvlan_addr_busy`, drivers/net/macvlan.c).
    Mac(&'a Space, &'a InterfaceName, MacAddr),
    /// A UDP port of a namespace.
    Port(&'a Space, u16),
}

fn claim<'a>(key: &'a Key, link: &'a Link) -> Option<Claim<'a>> {
    match &link.kind {
        LinkKind::Macvlan { parent, .. } => Some(Claim::Mac(&parent.space, &parent.name, link.mac?)),
        LinkKind::Wireguard(options) => Some(Claim::Port(key.space(), options.listen_port?)),
        _ => None,
    }
}

/// Where an interface gives up in place what another one takes, it goes first and is made anew: two that
/// swap could otherwise not be changed in any order.
fn exclusive(table: &Table<'_>, verdicts: &mut Verdicts) {
    let mut holders = HashMap::new();
    for id in table.all() {
        let (Some(seen), Some(wanted)) = (table.observed_link(id), table.desired_link(id)) else { continue };
        let key = table.keys[id as usize];
        let held = claim(key, seen);
        // What the description leaves open may be held only by chance.
        if let Some(held) =
            held.filter(|held| !verdicts.is_gone(id) && claim(key, wanted).as_ref() != Some(held))
        {
            holders.insert(held, id);
        }
    }
    if holders.is_empty() {
        return;
    }
    for id in table.all() {
        let Some(link) = table.desired_link(id) else { continue };
        if let Some(wanted) = claim(table.keys[id as usize], link)
            && let Some(holder) = holders.get(&wanted)
            && *holder != id
        {
            verdicts.remove(
                *holder,
                Why::Said(
                    format!("made anew: {} takes what it has", table.keys[id as usize]),
                    Cause::Described,
                ),
            );
        }
    }
}
