//! Rules with priorities: which one decides about a packet, and what had to be looked at to know.
//!
//! What: one table per mask, asked in the order of the highest priority that each has (tuple space search). As soon as
//! no later table can have a better rule, the rest is not asked.
//!
//! Invariants:
//! - The rule that is found has the highest priority of all that fit. Of rules that overlap at one priority any one is
//!   found, always the same (OpenFlow leaves it open).
//! - *Un-wildcarding*: the mask that [`Classifier::find`] widens covers every bit that was compared. A packet that is
//!   equal there asks the same tables with the same answers, so it finds the same rule.
//!
//! Costs: one hash look-up for each table that is asked; for the packets of known flows none at all, the megaflow cache
//! answers them. Inserting and removing sorts the list of tables.
//!
//! Deliberately absent: versions, timeouts and counters of rules (`vswitch` has them).

use crate::key::{Key, Mask, bits};
use std::collections::{BTreeMap, HashMap};

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<T> {
    /// The higher wins.
    pub priority: u32,
    /// The values that a packet must have.
    pub key: Key,
    /// The bits that matter.
    pub mask: Mask,
    /// What the rule is for.
    pub value: T,
}

#[derive(Debug)]
struct Table<T> {
    mask: Mask,
    /// By the masked words; rules of one key, highest priority first.
    rules: HashMap<Box<[u64]>, Vec<Rule<T>>>,
    /// How many rules of each priority there are.
    priorities: BTreeMap<u32, usize>,
}

impl<T> Table<T> {
    fn new(mask: &Mask) -> Self {
        Self { mask: mask.clone(), rules: HashMap::new(), priorities: BTreeMap::new() }
    }

    fn words(&self, key: &Key) -> Box<[u64]> {
        bits(self.mask.used()).map(|word| key.word(word) & self.mask.words()[word]).collect()
    }

    fn highest(&self) -> u32 {
        self.priorities.last_key_value().map_or(0, |(priority, _)| *priority)
    }
}

/// A set of rules.
#[derive(Debug)]
pub struct Classifier<T> {
    /// Highest priority first.
    tables: Vec<Table<T>>,
    rules: usize,
}

impl<T> Default for Classifier<T> {
    fn default() -> Self {
        Self { tables: Vec::new(), rules: 0 }
    }
}

impl<T> Classifier<T> {
    /// How many rules there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rules
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules == 0
    }

    /// How many different masks they have.
    #[must_use]
    pub fn masks(&self) -> usize {
        self.tables.len()
    }

    /// Adds a rule; gives the one of the same priority, mask and key that it replaces.
    pub fn insert(&mut self, rule: Rule<T>) -> Option<Rule<T>> {
        let place = self.tables.iter().position(|table| table.mask == rule.mask).unwrap_or_else(|| {
            self.tables.push(Table::new(&rule.mask));
            self.tables.len() - 1
        });
        let table = &mut self.tables[place];
        let words = table.words(&rule.key);
        let same = table.rules.entry(words).or_default();
        let at = same.partition_point(|known| known.priority > rule.priority);
        if let Some(known) = same.get_mut(at).filter(|known| known.priority == rule.priority) {
            return Some(std::mem::replace(known, rule));
        }
        *table.priorities.entry(rule.priority).or_insert(0) += 1;
        same.insert(at, rule);
        self.rules += 1;
        self.sort();
        None
    }

    /// Takes a rule out.
    pub fn remove(&mut self, priority: u32, key: &Key, mask: &Mask) -> Option<Rule<T>> {
        let place = self.tables.iter().position(|table| table.mask == *mask)?;
        let table = &mut self.tables[place];
        let words = table.words(key);
        let same = table.rules.get_mut(&words)?;
        let rule = same.remove(same.iter().position(|rule| rule.priority == priority)?);
        if same.is_empty() {
            table.rules.remove(&words);
        }
        if let Some(count) = table.priorities.get_mut(&priority) {
            *count -= 1;
            if *count == 0 {
                table.priorities.remove(&priority);
            }
        }
        self.rules -= 1;
        if table.rules.is_empty() {
            self.tables.remove(place);
        }
        self.sort();
        Some(rule)
    }

    fn sort(&mut self) {
        self.tables.sort_by_key(|table| std::cmp::Reverse(table.highest()));
    }

    /// The rule that decides about a packet. Everything that was looked at is added to `looked`.
    pub fn find(&self, key: &Key, looked: &mut Mask) -> Option<&Rule<T>> {
        let mut best: Option<&Rule<T>> = None;
        for table in &self.tables {
            if best.is_some_and(|best| best.priority >= table.highest()) {
                break;
            }
            looked.merge(&table.mask);
            let found = table.rules.get(&table.words(key)).and_then(|rules| rules.first());
            if let Some(rule) = found
                && best.is_none_or(|best| rule.priority > best.priority)
            {
                best = Some(rule);
            }
        }
        best
    }

    /// All rules, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule<T>> {
        self.tables.iter().flat_map(|table| table.rules.values()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Field;
    use proptest::prelude::*;

    const FIELDS: [Field; 5] =
        [Field::IN_PORT, Field::ETH_DST, Field::IP4_SRC, Field::TP_DST, Field::IP6_DST_LOW];

    fn key(values: [u8; 5]) -> Key {
        let mut key = Key::default();
        for (field, value) in FIELDS.iter().zip(values) {
            key.set(*field, u64::from(value % 4));
        }
        key
    }

    /// A mask of some bits of each field: 0 none, 1 the lowest, 2 the second, 3 all.
    fn mask(parts: [u8; 5]) -> Mask {
        let mut mask = Mask::default();
        for (field, part) in FIELDS.iter().zip(parts) {
            match part % 4 {
                0 => {}
                3 => mask.add(*field),
                bits => mask.add_bits(*field, u64::from(bits)),
            }
        }
        mask
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u32, [u8; 5], [u8; 5]),
        Remove(prop::sample::Index),
        Find([u8; 5], Vec<(usize, u64)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u32..6, any::<[u8; 5]>(), any::<[u8; 5]>()).prop_map(|(p, key, mask)| Step::Insert(p, key, mask)),
            1 => any::<prop::sample::Index>().prop_map(Step::Remove),
            4 => (any::<[u8; 5]>(), proptest::collection::vec((0_usize..64, any::<u64>()), 0..20))
                .prop_map(|(key, flips)| Step::Find(key, flips)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn it_finds_what_a_list_finds_and_looks_at_all_it_needs(steps in proptest::collection::vec(step(), 1..80)) {
            let mut classifier = Classifier::default();
            let mut list: Vec<Rule<usize>> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(priority, values, parts) => {
                        let mask = mask(parts);
                        let rule = Rule { priority, key: key(values).masked(&mask), mask, value: number };
                        let same = |known: &Rule<usize>| {
                            known.priority == priority && known.mask == rule.mask && known.key == rule.key
                        };
                        let replaced = list.iter().position(same).map(|at| list.remove(at));
                        prop_assert_eq!(classifier.insert(rule.clone()), replaced);
                        list.push(rule);
                    }
                    Step::Remove(which) if !list.is_empty() => {
                        let rule = list.remove(which.index(list.len()));
                        prop_assert_eq!(classifier.remove(rule.priority, &rule.key, &rule.mask), Some(rule.clone()));
                        prop_assert_eq!(classifier.remove(rule.priority, &rule.key, &rule.mask), None);
                    }
                    Step::Remove(_) => {}
                    Step::Find(values, flips) => {
                        let packet = key(values);
                        let fits = |rule: &&Rule<usize>| packet.matches(&rule.key, &rule.mask);
                        let wanted = list.iter().filter(fits).map(|rule| rule.priority).max();
                        let mut looked = Mask::default();
                        let found = classifier.find(&packet, &mut looked);
                        prop_assert_eq!(found.map(|rule| rule.priority), wanted);
                        prop_assert!(found.is_none_or(|rule| packet.matches(&rule.key, &rule.mask)));
                        // Sound: what was not looked at does not matter.
                        let mut other = packet.clone();
                        for (word, flip) in flips {
                            other.set_word(word, other.word(word) ^ (flip & !looked.words()[word]));
                        }
                        let mut again = Mask::default();
                        prop_assert_eq!(classifier.find(&other, &mut again), found);
                        prop_assert_eq!(again, looked);
                    }
                }
                prop_assert_eq!(classifier.len(), list.len());
                prop_assert_eq!(classifier.iter().count(), list.len());
            }
        }
    }

    #[test]
    fn tables_that_can_not_matter_are_not_asked() {
        let mut classifier = Classifier::default();
        let rule = |priority, field: Field, value| {
            let (mut key, mut mask) = (Key::default(), Mask::default());
            key.set(field, value);
            mask.add(field);
            Rule { priority, key, mask, value: priority }
        };
        classifier.insert(rule(9, Field::ETH_DST, 5));
        classifier.insert(rule(1, Field::TP_DST, 80));
        let mut packet = Key::default();
        packet.set(Field::ETH_DST, 5);
        let mut looked = Mask::default();
        assert_eq!(classifier.find(&packet, &mut looked).map(|rule| rule.value), Some(9));
        assert_eq!((looked.get(Field::ETH_DST), looked.get(Field::TP_DST)), (Field::ETH_DST.ones(), 0));
        assert_eq!(classifier.masks(), 2);
    }
}
