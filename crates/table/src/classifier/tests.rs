//! The classifier against a list that is searched from front to back.

use super::*;
use crate::key::{Field, WORDS};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Fields of every stage, some with prefix trees.
const FIELDS: [Field; 8] = [
    Field::IN_PORT,
    Field::ETH_DST,
    Field::ETH_TYPE,
    Field::IP4_SRC,
    Field::IP4_DST,
    Field::IP6_DST_LOW,
    Field::TP_SRC,
    Field::TP_DST,
];

fn spread(field: Field, value: u8) -> u64 {
    // Values that meet, and that differ in the first bits as well as in the last.
    u64::from(value & 3) | u64::from(value >> 2 & 3) << (field.bits() - 2)
}

fn key(values: [u8; 8]) -> Key {
    let mut key = Key::default();
    for (field, value) in FIELDS.iter().zip(values) {
        key.set(*field, spread(*field, value));
    }
    key
}

/// A mask of parts of each field: mostly nothing; all; the first bits; the last; some.
fn mask(parts: [u8; 8]) -> Mask {
    let mut mask = Mask::default();
    for (field, part) in FIELDS.iter().zip(parts) {
        match part % 9 {
            0 => mask.add(*field),
            1 => mask.add_bits(*field, 1 << (field.bits() - 1)),
            2 => mask.add_bits(*field, 3 << (field.bits() - 2)),
            3 => mask.add_bits(*field, 1),
            4 => mask.add_bits(*field, field.ones() & !1),
            _ => {}
        }
    }
    mask
}

#[derive(Debug, Clone)]
struct Model {
    rule: Rule<usize>,
    from: Version,
    until: Version,
    clauses: Vec<Clause>,
    id: RuleId,
}

impl Model {
    fn visible(&self, version: Version) -> bool {
        self.from <= version && version < self.until
    }
}

/// What decides about a packet, by the words of ovs-actions(7): the priorities from the highest on; a rule that is no
/// clause decides; clauses that are complete send the search on with the number of the conjunction.
fn oracle(list: &[Model], packet: &Key, version: Version, soft: bool) -> Option<BTreeSet<RuleId>> {
    let fits: Vec<&Model> = list
        .iter()
        .filter(|model| model.visible(version) && packet.matches(&model.rule.key, &model.rule.mask))
        .collect();
    let priorities: BTreeSet<u32> = fits.iter().map(|model| model.rule.priority).collect();
    for priority in priorities.iter().rev() {
        let of: Vec<&&Model> = fits.iter().filter(|model| model.rule.priority == *priority).collect();
        let hard: BTreeSet<RuleId> =
            of.iter().filter(|model| model.clauses.is_empty()).map(|model| model.id).collect();
        if !hard.is_empty() {
            return Some(hard);
        }
        if !soft {
            continue;
        }
        let mut clauses: BTreeMap<u32, (BTreeSet<u8>, u8)> = BTreeMap::new();
        for clause in of.iter().flat_map(|model| &model.clauses) {
            let known = clauses.entry(clause.id).or_default();
            known.0.insert(clause.clause);
            known.1 = clause.of;
        }
        let mut found = BTreeSet::new();
        for (id, (have, of)) in clauses {
            if have.len() == usize::from(of) {
                let mut again = packet.clone();
                again.set(Field::CONJ_ID, u64::from(id));
                found.extend(oracle(list, &again, version, false).unwrap_or_default());
            }
        }
        if !found.is_empty() {
            return Some(found);
        }
    }
    None
}

#[derive(Debug, Clone)]
enum Step {
    Insert { priority: u32, values: [u8; 8], parts: [u8; 8], from: u64, clause: u8 },
    Conjunction { priority: u32, id: u32, from: u64 },
    Hide(prop::sample::Index, u64),
    Remove(prop::sample::Index),
    Prefixes(u8),
    Find { values: [u8; 8], version: u64, flips: Vec<(usize, u64)> },
    Within { values: [u8; 8], parts: [u8; 8], priority: u32, version: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let values = || any::<[u8; 8]>();
    let version = || 0_u64..5;
    prop_oneof![
        6 => (0_u32..5, values(), values(), version(), any::<u8>())
            .prop_map(|(priority, values, parts, from, clause)| Step::Insert { priority, values, parts, from, clause }),
        1 => (0_u32..5, 0_u32..2, version())
            .prop_map(|(priority, id, from)| Step::Conjunction { priority, id, from }),
        2 => (any::<prop::sample::Index>(), version()).prop_map(|(which, until)| Step::Hide(which, until)),
        2 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => any::<u8>().prop_map(Step::Prefixes),
        8 => (values(), version(), proptest::collection::vec((0_usize..8, any::<u64>()), 0..20))
            .prop_map(|(values, version, flips)| Step::Find { values, version, flips }),
        1 => (values(), values(), 0_u32..5, version())
            .prop_map(|(values, parts, priority, version)| Step::Within { values, parts, priority, version }),
    ]
}

fn both(one: &Mask, other: &Mask) -> Mask {
    let mut both = Mask::default();
    for word in 0..WORDS {
        both.add_word(word, one.words()[word] & other.words()[word]);
    }
    both
}

struct Pair {
    classifier: Classifier<usize>,
    list: Vec<Model>,
}

impl Pair {
    fn insert(&mut self, rule: Rule<usize>, from: Version, clauses: Vec<Clause>) {
        // Whoever inserts hides the one of the same name.
        for model in &mut self.list {
            let same = (model.rule.priority, &model.rule.key, &model.rule.mask)
                == (rule.priority, &rule.key, &rule.mask);
            if same && model.until > from {
                if model.from < from {
                    assert_eq!(
                        self.classifier.exact(rule.priority, &rule.key, &rule.mask, from).is_some(),
                        model.visible(from)
                    );
                }
                self.classifier.hide(model.id, from);
                model.until = from;
            }
        }
        let id = self.classifier.insert_clauses(rule.clone(), from, clauses.clone().into());
        self.list.push(Model { rule, from, until: FOREVER, clauses, id });
    }

    fn find(&self, packet: &Key, version: Version, flips: &[(usize, u64)]) {
        let mut looked = Mask::default();
        let found = self.classifier.find(packet, &mut looked, version);
        match (found, oracle(&self.list, packet, version, true)) {
            (None, None) => {}
            (Some(found), Some(wanted)) => assert!(wanted.contains(&found.rule), "{found:?} {wanted:?}"),
            (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
        }
        // Sound: what was not looked at does not matter.
        let mut other = packet.clone();
        for (field, flip) in flips {
            let field = FIELDS[*field];
            let flip = spread(field, *flip as u8) ^ flip >> 60 << (flip & 63);
            let value = other.get(field) ^ (flip & !looked.get(field));
            other.set(field, value);
        }
        assert_eq!(self.classifier.find(&other, &mut Mask::default(), version), found);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn it_finds_what_a_list_finds_and_looks_at_all_it_needs(steps in proptest::collection::vec(step(), 1..90)) {
        let mut pair = Pair { classifier: Classifier::default(), list: Vec::new() };
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert { priority, values, parts, from, clause } => {
                    let mask = mask(parts);
                    let rule = Rule { priority, key: key(values).masked(&mask), mask, value: number };
                    let clauses = if clause % 2 == 0 {
                        vec![Clause { id: u32::from(clause >> 1 & 1), clause: clause >> 2 & 1, of: 2 }]
                    } else {
                        Vec::new()
                    };
                    pair.insert(rule, from, clauses);
                }
                Step::Conjunction { priority, id, from } => {
                    let (mut key, mut mask) = (Key::default(), Mask::default());
                    key.set(Field::CONJ_ID, u64::from(id));
                    mask.add(Field::CONJ_ID);
                    pair.insert(Rule { priority, key: key.masked(&mask), mask, value: number }, from, Vec::new());
                }
                Step::Hide(which, until) if !pair.list.is_empty() => {
                    let place = which.index(pair.list.len());
                    let model = &mut pair.list[place];
                    model.until = model.until.min(until);
                    pair.classifier.hide(model.id, model.until);
                    prop_assert_eq!(pair.classifier.versions(model.id), Some((model.from, model.until)));
                }
                Step::Remove(which) if !pair.list.is_empty() => {
                    let place = which.index(pair.list.len());
                    let model = pair.list.swap_remove(place);
                    let described = pair.classifier.describe(model.id);
                    prop_assert_eq!(described, Some((model.rule.priority, model.rule.key.clone(), &model.rule.mask)));
                    prop_assert_eq!(pair.classifier.remove(model.id), Some(model.rule.value));
                    prop_assert_eq!(pair.classifier.remove(model.id), None);
                }
                Step::Prefixes(which) => {
                    let all = [Prefix::Ip4Source, Prefix::Ip4Destination, Prefix::Ip6Destination];
                    let some: Vec<Prefix> =
                        all.into_iter().enumerate().filter(|(bit, _)| which >> bit & 1 == 1).map(|(_, one)| one).collect();
                    pair.classifier.set_prefixes(&some);
                }
                Step::Hide(..) | Step::Remove(_) => {}
                Step::Find { values, version, flips } => pair.find(&key(values), version, &flips),
                Step::Within { values, parts, priority, version } => {
                    let mask = mask(parts);
                    let values = key(values).masked(&mask);
                    let wanted: BTreeSet<RuleId> = pair.list.iter().filter(|model| {
                        model.visible(version)
                            && both(&mask, &model.rule.mask) == mask
                            && model.rule.key.matches(&values, &mask)
                    }).map(|model| model.id).collect();
                    let found: BTreeSet<RuleId> =
                        pair.classifier.within(&values, &mask, version).into_iter().collect();
                    prop_assert_eq!(found, wanted);
                    let meets = pair.list.iter().any(|model| {
                        model.visible(version)
                            && model.rule.priority == priority
                            && model.rule.key.matches(&values, &both(&mask, &model.rule.mask))
                    });
                    prop_assert_eq!(pair.classifier.overlapping(priority, &values, &mask, version).is_some(), meets);
                }
            }
            prop_assert_eq!(pair.classifier.len(), pair.list.len());
            let visible = pair.list.iter().filter(|model| model.visible(3)).count();
            prop_assert_eq!(pair.classifier.iter(3).count(), visible);
            let masks: std::collections::HashSet<_> = pair.list.iter().map(|model| &model.rule.mask).collect();
            prop_assert_eq!(pair.classifier.masks(), masks.len());
        }
    }
}

fn rule(priority: u32, fields: &[(Field, u64, u64)]) -> Rule<u32> {
    let (mut key, mut mask) = (Key::default(), Mask::default());
    for (field, value, bits) in fields {
        key.set(*field, *value);
        mask.add_bits(*field, *bits);
    }
    Rule { priority, key, mask, value: priority }
}

fn packet(fields: &[(Field, u64)]) -> Key {
    let mut key = Key::default();
    fields.iter().for_each(|(field, value)| key.set(*field, *value));
    key
}

#[test]
fn tables_that_can_not_matter_are_not_asked() {
    let mut classifier = Classifier::default();
    classifier.insert(rule(9, &[(Field::ETH_DST, 5, Field::ETH_DST.ones())]), 0);
    classifier.insert(rule(1, &[(Field::TP_DST, 80, 0xffff)]), 0);
    let mut looked = Mask::default();
    let found = classifier.find(&packet(&[(Field::ETH_DST, 5)]), &mut looked, 0).unwrap();
    assert_eq!(classifier.get(found.rule), Some(&9));
    assert_eq!((looked.get(Field::ETH_DST), looked.get(Field::TP_DST)), (Field::ETH_DST.ones(), 0));
    assert_eq!(classifier.masks(), 2);
}

#[test]
fn stages_and_prefixes_keep_masks_wide() {
    let mut classifier = Classifier::default();
    let ones = Field::IP4_DST.ones();
    classifier.insert(
        rule(
            5,
            &[
                (Field::ETH_TYPE, 0x800, 0xffff),
                (Field::IP4_DST, 0x0a01_0203, ones),
                (Field::TP_DST, 80, 0xffff),
            ],
        ),
        0,
    );
    let look = |classifier: &Classifier<u32>, fields: &[(Field, u64)]| {
        let mut looked = Mask::default();
        classifier.find(&packet(fields), &mut looked, 0);
        (looked.get(Field::ETH_TYPE), looked.get(Field::IP4_DST), looked.get(Field::TP_DST))
    };
    // Another EtherType: nothing behind it is looked at.
    assert_eq!(look(&classifier, &[(Field::ETH_TYPE, 0x806), (Field::IP4_DST, 0x0a01_0203)]), (0xffff, 0, 0));
    // An address that differs in its third bit.
    let other = [(Field::ETH_TYPE, 0x800), (Field::IP4_DST, 0x2a01_0203), (Field::TP_DST, 80)];
    assert_eq!(look(&classifier, &other), (0xffff, 0xe000_0000, 0));
    // The right address, and a port that differs in its first bit.
    let other = [(Field::ETH_TYPE, 0x800), (Field::IP4_DST, 0x0a01_0203), (Field::TP_DST, 0x8000 | 80)];
    assert_eq!(look(&classifier, &other), (0xffff, ones, 0x8000));
}

#[test]
fn many_rules_that_differ_in_priority_only_and_the_highest_goes() {
    let mut classifier = Classifier::default();
    let match_all = |priority| rule(priority, &[]);
    let ids: Vec<RuleId> = (0..50).map(|priority| classifier.insert(match_all(priority), 0)).collect();
    for (priority, id) in ids.iter().enumerate().rev() {
        let found = classifier.find(&Key::default(), &mut Mask::default(), 0).unwrap();
        assert_eq!(classifier.priority(found.rule), Some(priority as u32));
        classifier.remove(*id);
    }
    assert!(classifier.is_empty() && classifier.masks() == 0);
}
