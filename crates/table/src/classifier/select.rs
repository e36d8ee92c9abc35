//! Which rules a change means: all of them, those within a match, those that overlap one.

use super::{Classifier, RuleId, Version};
use crate::key::{Key, Mask, bits};

impl<T> Classifier<T> {
    /// All rules that are visible in a version, in no order.
    pub fn iter(&self, version: Version) -> impl Iterator<Item = RuleId> + '_ {
        let entries = self.entries.iter().enumerate();
        entries
            .filter(move |(_, entry)| entry.value.is_some() && entry.visible(version))
            .map(|(place, entry)| RuleId { index: place as u32, birth: entry.birth })
    }

    /// All rules of a version whose matches are as narrow as this one or narrower: those that a loose modification or
    /// deletion means.
    #[must_use]
    pub fn within(&self, key: &Key, mask: &Mask, version: Version) -> Vec<RuleId> {
        let mut found = Vec::new();
        if mask.is_empty() {
            found.extend(self.iter(version));
            return found;
        }
        for table in self.subtables.iter().flatten() {
            if bits(mask.used()).any(|word| mask.words()[word] & !table.mask.words()[word] != 0) {
                continue;
            }
            if *table.mask == *mask {
                if let Some(first) = table.first(&self.entries, key, table.hash(key)) {
                    self.chain(first, version, &mut found);
                }
                continue;
            }
            for first in table.firsts(&self.entries) {
                if table.agrees(self.entries[first as usize].record, key, mask) {
                    self.chain(first, version, &mut found);
                }
            }
        }
        found
    }

    fn chain(&self, mut place: u32, version: Version, found: &mut Vec<RuleId>) {
        while let Some(entry) = self.entries.get(place as usize) {
            if entry.visible(version) {
                found.push(RuleId { index: place, birth: entry.birth });
            }
            place = entry.lower;
        }
    }

    /// A visible rule of the same priority that some packet fits as well as this match.
    #[must_use]
    pub fn overlapping(&self, priority: u32, key: &Key, mask: &Mask, version: Version) -> Option<RuleId> {
        for table in self.subtables.iter().flatten().filter(|table| table.highest >= priority) {
            for first in table.firsts(&self.entries) {
                if !table.agrees(self.entries[first as usize].record, key, mask) {
                    continue;
                }
                let mut place = first;
                while let Some(entry) = self.entries.get(place as usize) {
                    if entry.priority == priority && entry.visible(version) {
                        return Some(self.id(place));
                    }
                    place = entry.lower;
                }
            }
        }
        None
    }
}
