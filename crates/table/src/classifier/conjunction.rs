//! Conjunctive match: rules that are clauses, and the rule that stands for all of them together.
//!
//! What: as `conjunction` in ovs-actions(7). Of the rules that fit, those with clauses are put aside; when at one
//! priority all clauses of a conjunction are there, the rules are searched once more with its number as `conj_id`. If
//! that finds none, rules of the same key and a lower priority take the place of those that did not help.

use super::{Classifier, Found, NOBODY, Version};
use crate::key::{Field, Key, Mask};

/// A clause that a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Clause {
    /// The number of the conjunction.
    pub id: u32,
    /// Which clause, from 0.
    pub clause: u8,
    /// How many clauses there are: 2 to 64.
    pub of: u8,
}

/// A rule that fits and is a clause.
#[derive(Debug, Clone, Copy)]
pub(super) struct Soft {
    pub(super) place: u32,
    pub(super) priority: u32,
}

impl<T> Classifier<T> {
    /// The clauses that a rule is.
    #[must_use]
    pub fn clauses(&self, rule: super::RuleId) -> &[Clause] {
        self.entry(rule).map_or(&[], |_| self.clauses_at(rule.index))
    }

    fn clauses_at(&self, place: u32) -> &[Clause] {
        self.conjunctions.get(&place).map_or(&[], |clauses| clauses)
    }

    /// The numbers of the conjunctions that are complete.
    fn complete(&self, places: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut seen: Vec<(u32, u64)> = Vec::new();
        let mut whole = Vec::new();
        for clause in places.flat_map(|place| self.clauses_at(place)) {
            let bit = 1_u64.checked_shl(u32::from(clause.clause)).unwrap_or(0);
            let all = u64::MAX.checked_shr(64 - u32::from(clause.of.clamp(1, 64))).unwrap_or(0);
            let place = seen.iter().position(|(id, _)| *id == clause.id).unwrap_or_else(|| {
                seen.push((clause.id, 0));
                seen.len() - 1
            });
            let (id, clauses) = &mut seen[place];
            *clauses |= bit;
            if *clauses & all == all && !whole.contains(id) {
                whole.push(*id);
            }
        }
        whole
    }

    /// Which rule decides, when some that fit are clauses. `best` is the best that is none.
    #[cold]
    pub(super) fn join(
        &self,
        mut parts: Vec<Soft>,
        mut best: Option<u32>,
        key: &Key,
        looked: &mut Mask,
        version: Version,
    ) -> Option<Found> {
        let priority = |place: u32| self.entries.get(place as usize).map(|entry| entry.priority);
        loop {
            let above = best.and_then(priority);
            parts.retain(|part| above.is_none_or(|above| part.priority > above));
            let Some(highest) = parts.iter().map(|part| part.priority).max() else { break };
            let places = parts.iter().filter(|part| part.priority == highest).map(|part| part.place);
            for id in self.complete(places) {
                let mut again = key.clone();
                again.set(Field::CONJ_ID, u64::from(id));
                if let Some(found) = self.search(&again, looked, version, false) {
                    return Some(Found { conjunction: Some(id), ..found });
                }
            }
            for part in parts.iter_mut().filter(|part| part.priority == highest) {
                let mut place = self.entries.get(part.place as usize).map_or(NOBODY, |entry| entry.lower);
                while self.entries.get(place as usize).is_some_and(|entry| !entry.visible(version)) {
                    place = self.entries[place as usize].lower;
                }
                let Some(entry) = self.entries.get(place as usize) else {
                    // Nothing else has this key; not to be considered again.
                    part.place = NOBODY;
                    continue;
                };
                if entry.conjunctive {
                    *part = Soft { place, priority: entry.priority };
                } else {
                    if best.and_then(priority).is_none_or(|best| entry.priority > best) {
                        best = Some(place);
                    }
                    part.place = NOBODY;
                }
            }
            parts.retain(|part| part.place != NOBODY);
        }
        best.map(|place| Found { rule: self.id(place), conjunction: None })
    }
}
