//! Taking a failed change back: to what was observed before it, whatever that was.
//!
//! The way back is a plan like any other, from what is there now to what was there before. Inverses of the
//! single steps would not do: removing a link takes along what no step names.

use super::execute::{OnFailure, execute};
use super::recall::Remembered;
use super::{ApplyError, Observer, Progress};
use crate::journal::Journal;
use crate::plan::{Change, Memory, Plan};
use crate::platform::{Platform, scope};
use netloom_compile::object::{
    Desired, Key, Link, LinkKind, Mark, Object, Observed, ObservedObject, Origin, Owner, Spec,
};

/// Takes everything back. Gives what could not be restored.
pub(super) fn take_back(
    platform: &dyn Platform,
    remembered: &Remembered,
    before: &Observed,
    desired: &Desired,
    journal: &mut Journal,
    observer: Observer<'_>,
) -> Result<Vec<String>, ApplyError> {
    observer(Progress::Undoing);
    let mut memory = remembered.memory();
    let was = as_desired(before, desired, &memory);
    memory.interrupted.push(desired);
    let everything = scope(&was, [&remembered.scope(desired)]);
    let plan = Plan::between(&platform.observe(&everything)?, &was, &memory)?;
    let failures = execute(platform, &plan, OnFailure::GoOn, journal, &|_| {})?;
    let rest = Plan::between(&platform.observe(&everything)?, &was, &Memory::of(Some(&was)))?;
    let why = |change: &Change| {
        let step = failures.iter().find(|(id, _)| {
            plan.steps
                .get(id.index())
                .is_some_and(|step| step.changes.iter().any(|other| other.key() == change.key()))
        });
        step.map_or_else(|| change.reason.clone(), |(_, error)| error.to_string())
    };
    Ok(rest
        .changes()
        .map(|change| format!("{} {} {} ({})", change.sign(), change.key().kind(), change.key(), why(change)))
        .collect())
}

/// What was there, as a wish.
fn as_desired(before: &Observed, desired: &Desired, memory: &Memory<'_>) -> Desired {
    let mut was = Desired::new(desired.topology.clone());
    for (key, found) in &before.objects {
        let earlier = memory.tables().find_map(|table| table.objects.get(key));
        let ours = match found.mark {
            Mark::Ours => true,
            // Without a mark, only what an earlier table had is ours; what this one wanted is not.
            Mark::Unmarkable => earlier.is_some(),
            Mark::Foreign => memory.begun.contains(key) || earlier.is_some_and(is_used),
        };
        // What came with its namespace and was not described then is put back by what is known of it.
        if !ours || (is_existing(&found.spec) && earlier.is_none()) {
            continue;
        }
        let template = earlier.or_else(|| desired.objects.get(key));
        let mut object = template.cloned().unwrap_or_else(|| left_over(key, desired));
        object.spec = spec(found, &object, desired.objects.get(key));
        was.objects.insert(key.clone(), object);
    }
    was
}

fn is_existing(spec: &Spec) -> bool {
    matches!(spec, Spec::Link(link) if link.kind == LinkKind::Existing)
}

fn is_used(object: &Object) -> bool {
    is_existing(&object.spec)
}

/// As it was found, without what nobody asked for and perhaps nobody can set.
fn spec(found: &ObservedObject, earlier: &Object, wanted: Option<&Object>) -> Spec {
    let Spec::Link(seen) = &found.spec else { return found.spec.clone() };
    let asked = [Some(earlier), wanted].into_iter().flatten().filter_map(|object| match &object.spec {
        Spec::Link(link) => Some(link),
        _ => None,
    });
    let mut link = Link::clone(seen);
    let asked: Vec<&Link> = asked.map(|link| &**link).collect();
    link.features.retain(|name, _| asked.iter().any(|link| link.features.contains_key(name)));
    link.channels = link.channels.filter(|_| asked.iter().any(|link| link.channels.is_some()));
    if is_existing(&earlier.spec) {
        link.kind = LinkKind::Existing;
        link.mac = link.mac.filter(|_| asked.iter().any(|link| link.mac.is_some()));
        link.mtu = link.mtu.filter(|_| asked.iter().any(|link| link.mtu.is_some()));
    }
    Spec::Link(Box::new(link))
}

/// Something with our mark that no description names.
fn left_over(key: &Key, desired: &Desired) -> Object {
    Object {
        key: key.clone(),
        spec: Spec::Namespace,
        owner: Owner { topology: desired.topology.clone(), part: "left over".into() },
        origin: Origin { file: "".into(), line: 1, column: 1 },
        reason: "was there before".into(),
    }
}
