//! Attributes that the system does not show for a while.
//!
//! A bridge with spanning tree shows the root's times in place of its own, and a short ageing time while the tree
//! changes; `kernel` then reports them as `None`. Memory tells what they were set to. Where it knows of a value
//! that is not the wanted one, that one is taken, so that the wanted one is set: setting twice costs nothing.

use super::Memory;
use netloom_compile::object::{BridgeOptions, Desired, Key, LinkKind, Observed, Spec};
use std::borrow::Cow;

/// What was observed, with what the system hides filled in from memory.
pub(crate) fn reveal<'a>(
    observed: &'a Observed,
    desired: &Desired,
    memory: &Memory<'_>,
) -> Cow<'a, Observed> {
    let mut observed = Cow::Borrowed(observed);
    let hiding: Vec<Key> = observed
        .objects
        .iter()
        .filter(|(_, found)| bridge(&found.spec).is_some_and(hides))
        .map(|(key, _)| key.clone())
        .collect();
    for key in hiding {
        let wanted = desired.objects.get(&key).and_then(|object| bridge(&object.spec));
        let earlier: Vec<&BridgeOptions> =
            memory.objects(&key).filter_map(|object| bridge(&object.spec)).collect();
        let found = observed.to_mut().objects.get_mut(&key).map(|found| &mut found.spec);
        let Some(Spec::Link(link)) = found else { continue };
        let LinkKind::Bridge(options) = &mut link.kind else { continue };
        let fill = |seen: &mut Option<u32>, time: fn(&BridgeOptions) -> Option<u32>| {
            let wanted = wanted.and_then(time);
            let mut known = earlier.iter().map(|options| time(options));
            if seen.is_none() {
                *seen = known.clone().find(|known| *known != wanted).or_else(|| known.next()).flatten();
            }
        };
        fill(&mut options.forward_delay, |options| options.forward_delay);
        fill(&mut options.hello_time, |options| options.hello_time);
        fill(&mut options.max_age, |options| options.max_age);
        fill(&mut options.ageing_time, |options| options.ageing_time);
    }
    observed
}

const fn hides(options: &BridgeOptions) -> bool {
    let times = [options.forward_delay, options.hello_time, options.max_age, options.ageing_time];
    options.stp && (times[0].is_none() || times[1].is_none() || times[2].is_none() || times[3].is_none())
}

fn bridge(spec: &Spec) -> Option<&BridgeOptions> {
    match spec {
        Spec::Link(link) => match &link.kind {
            LinkKind::Bridge(options) => Some(options),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use netloom_compile::object::{Link, Mark, Object, ObservedObject, Origin, Owner};

    fn key() -> Key {
        Key::Link { space: netloom_compile::object::Space::Host, name: "lan".parse().unwrap() }
    }

    fn spec(ageing: Option<u32>) -> Spec {
        let options = BridgeOptions { stp: true, ageing_time: ageing, ..BridgeOptions::default() };
        Spec::Link(Box::new(Link::new(LinkKind::Bridge(options))))
    }

    fn desired(ageing: Option<u32>) -> Desired {
        let mut desired = Desired::new("t".parse().unwrap());
        let object = Object {
            key: key(),
            spec: spec(ageing),
            owner: Owner { topology: "t".parse().unwrap(), part: "network lan".into() },
            origin: Origin { file: "a.yaml".into(), line: 1, column: 1 },
            reason: "test".into(),
        };
        desired.objects.insert(key(), object);
        desired
    }

    #[test]
    fn a_hidden_time_is_as_it_was_set_and_a_new_one_is_set() {
        let mut observed = Observed::default();
        observed.objects.insert(key(), ObservedObject { spec: spec(None), mark: Mark::Ours });
        let empty = |wanted: &Desired, memory: &Memory<'_>| {
            Plan::between(&observed, wanted, memory).unwrap().is_empty()
        };
        let (old, new) = (desired(Some(100)), desired(Some(200)));
        assert!(empty(&old, &Memory::of(Some(&old))));
        assert!(!empty(&new, &Memory::of(Some(&old))));
        // An interrupted run may or may not have set it.
        let interrupted = Memory { interrupted: vec![&new], ..Memory::of(Some(&old)) };
        assert!(!empty(&old, &interrupted) && !empty(&new, &interrupted));
        // Described for the first time, and nobody knows.
        assert!(!empty(&old, &Memory::of(Some(&desired(None)))));
        assert!(!empty(&old, &Memory::default()));
    }

    #[test]
    fn what_is_shown_stays() {
        let mut observed = Observed::default();
        let options = BridgeOptions {
            stp: true,
            forward_delay: Some(1500),
            hello_time: Some(200),
            max_age: Some(2000),
            ageing_time: Some(300),
            ..BridgeOptions::default()
        };
        let spec = Spec::Link(Box::new(Link::new(LinkKind::Bridge(options))));
        observed.objects.insert(key(), ObservedObject { spec, mark: Mark::Ours });
        let old = desired(Some(100));
        assert!(matches!(reveal(&observed, &old, &Memory::of(Some(&old))), Cow::Borrowed(_)));
    }
}
