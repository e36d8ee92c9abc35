//! The cache against a list that is searched from front to back.

use super::*;
use crate::key::Field;
use proptest::prelude::*;

const FIELDS: [Field; 6] =
    [Field::IN_PORT, Field::ETH_DST, Field::IP4_SRC, Field::IP4_DST, Field::TP_DST, Field::IP6_SRC_LOW];

fn mask(which: u8) -> Mask {
    let mut mask = Mask::default();
    for (bit, field) in FIELDS.iter().enumerate() {
        if which >> bit & 1 == 1 {
            mask.add(*field);
        }
    }
    mask
}

/// Few values, so that keys meet.
fn key(values: [u8; 6]) -> Key {
    let mut key = Key::default();
    for (field, value) in FIELDS.iter().zip(values) {
        key.set(*field, u64::from(value % 3));
    }
    key
}

#[derive(Debug, Clone)]
enum Step {
    Insert([u8; 6], u8),
    Remove([u8; 6], u8),
    Find(Vec<[u8; 6]>),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<[u8; 6]>(), 0_u8..12).prop_map(|(key, mask)| Step::Insert(key, mask)),
        2 => (any::<[u8; 6]>(), 0_u8..12).prop_map(|(key, mask)| Step::Remove(key, mask)),
        3 => proptest::collection::vec(any::<[u8; 6]>(), 1..=BATCH).prop_map(Step::Find),
        // A row of one flow, with strays of the same port and of others.
        3 => (any::<[u8; 6]>(), proptest::collection::vec((0..BATCH, any::<[u8; 6]>()), 0..7)).prop_map(|(key, strays)| {
            let mut row = vec![key; BATCH];
            strays.into_iter().for_each(|(place, stray)| row[place] = stray);
            Step::Find(row)
        }),
        1 => Just(Step::Clear),
    ]
}

fn find_all(cache: &mut Megaflows, wanted: &[[u8; 6]]) -> Vec<Flow> {
    let mut keys: [Key; BATCH] = std::array::from_fn(|_| Key::default());
    for (place, values) in keys.iter_mut().zip(wanted) {
        *place = key(*values);
    }
    let mut found = [0; BATCH];
    cache.find_batch(&keys, wanted.len(), &mut found);
    assert!(found[wanted.len()..].iter().all(|flow| *flow == NONE));
    found[..wanted.len()].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn it_finds_what_a_list_finds(steps in proptest::collection::vec(step(), 1..120), seed in any::<u64>()) {
        let bounds = Bounds { flows: 40, masks: 8, signatures: 16 };
        let mut cache = Megaflows::new(bounds, seed);
        let mut list: Vec<(Key, Mask, Flow, Place)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(values, which) => {
                    let (key, mask) = (key(values), mask(which));
                    let exists = list.iter().find(|(known, same, ..)| *same == mask && key.matches(known, &mask));
                    // Whoever inserts keeps flows disjoint.
                    let common = |other: &Mask| {
                        let mut both = Mask::default();
                        for word in 0..crate::key::WORDS {
                            both.add_word(word, mask.words()[word] & other.words()[word]);
                        }
                        both
                    };
                    if exists.is_none() && list.iter().any(|(known, other, ..)| key.matches(known, &common(other))) {
                        continue;
                    }
                    let masks = list.iter().map(|(_, mask, ..)| mask).collect::<std::collections::HashSet<_>>();
                    let wanted = match exists {
                        Some((_, _, flow, _)) => Err(Refused::Exists(*flow)),
                        None if !masks.contains(&mask) && masks.len() >= bounds.masks => Err(Refused::Masks),
                        None if list.len() >= bounds.flows => Err(Refused::Flows),
                        None => Ok(()),
                    };
                    let inserted = cache.insert(&key, &mask, number as Flow);
                    prop_assert_eq!(inserted.map(drop), wanted);
                    if let Ok(place) = inserted {
                        prop_assert_eq!(cache.describe(place), Some((key.masked(&mask), mask.clone())));
                        list.push((key, mask, number as Flow, place));
                    }
                }
                Step::Remove(values, which) => {
                    let (key, mask) = (key(values), mask(which));
                    let found = list.iter().position(|(known, same, ..)| *same == mask && key.matches(known, &mask));
                    if let Some((_, _, flow, place)) = found.map(|found| list.remove(found)) {
                        prop_assert_eq!(cache.remove(place), Some(flow));
                        prop_assert_eq!(cache.remove(place), None);
                    }
                }
                Step::Find(wanted) => {
                    let found = find_all(&mut cache, &wanted);
                    for (values, flow) in wanted.iter().zip(found) {
                        let key = key(*values);
                        let oracle = list.iter().find(|(known, mask, ..)| key.matches(known, mask));
                        prop_assert_eq!(flow, oracle.map_or(NONE, |(_, _, flow, _)| *flow));
                        prop_assert_eq!(cache.find(&key).unwrap_or(NONE), flow);
                    }
                }
                Step::Clear => {
                    cache.clear();
                    list.clear();
                }
            }
            prop_assert_eq!(cache.len(), list.len());
        }
    }
}

#[test]
fn a_hundred_thousand_flows_of_three_masks() {
    let mut cache = Megaflows::new(Bounds::default(), 7);
    let numbered = |number: u32| {
        let mut key = Key::default();
        key.set(Field::IN_PORT, u64::from(number % 3));
        key.set(Field::IP4_SRC, u64::from(number));
        key.set(Field::TP_SRC, u64::from(number % 60_000));
        key
    };
    let masks: Vec<Mask> = (0..3)
        .map(|kind| {
            let mut mask = Mask::default();
            mask.add(Field::IN_PORT);
            mask.add(Field::IP4_SRC);
            if kind > 0 {
                mask.add(Field::TP_SRC);
            }
            if kind > 1 {
                mask.add(Field::IP_TOS);
            }
            mask
        })
        .collect();
    let places: Vec<Place> = (0..100_000)
        .map(|number| cache.insert(&numbered(number), &masks[number as usize % 3], number).unwrap())
        .collect();
    assert_eq!((cache.len(), cache.masks()), (100_000, 3));
    let mut keys: [Key; BATCH] = std::array::from_fn(|_| Key::default());
    let mut found = [0; BATCH];
    for round in 0..2 {
        for first in (0..100_000).step_by(BATCH) {
            for (place, key) in keys.iter_mut().enumerate() {
                *key = numbered(first + place as u32);
            }
            cache.find_batch(&keys, BATCH, &mut found);
            for (place, flow) in found.iter().enumerate() {
                assert_eq!(*flow, first + place as u32, "round {round}");
            }
        }
    }
    let statistics = cache.statistics();
    assert_eq!(statistics.misses, 0);
    assert!(statistics.signatures > 50_000, "{statistics:?}");
    for (number, place) in (0..).zip(places) {
        assert_eq!(cache.remove(place), Some(number));
    }
    assert!(cache.is_empty() && cache.masks() == 0);
}
