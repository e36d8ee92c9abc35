//! Rules with priorities: which one decides about a packet, and what had to be looked at to know.
//!
//! ```text
//! find -> tables, one per mask, highest priority first   (tuple space search)
//!           stage by stage: metadata, Ethernet, network, the rest; ends at the first that no rule of the table has
//!           prefix trees know that no rule has such an address before it is compared
//!      -> rules with conjunctions: complete at one priority? then once more with that `conj_id`
//! ```
//!
//! Invariants:
//! - The rule that is found has the highest priority of all that fit and are visible. Of rules that overlap at one
//!   priority any one is found, always the same (OpenFlow leaves it open).
//! - A rule is visible in versions from `from` on until, and without, `until`. Several changes that are made for one
//!   later version are seen at once, by who asks for that version.
//! - *Un-wildcarding*: the mask that [`Classifier::find`] widens covers what proves the answer of every table that was
//!   asked, so a packet that is equal there finds the same rule. Asked itself, that packet may get another mask, where
//!   several trees could exclude a table; then both masks stand for the same rule, as in Open vSwitch.
//! - There are never two rules with one priority, mask and key that are visible in one version, if who inserts asks
//!   [`Classifier::exact`] before.
//!
//! Costs: 48 octets, the value and the masked words for each rule, and about 9 more for each stage in which it is alone.
//! Inserting takes one hash look-up for the mask and one for the key; the list of tables is touched only when the
//! highest priority of one changes. Rules that differ only in priority form a list, as in Open vSwitch.
//!
//! Deliberately absent: timeouts and counters of rules (`vswitch` has them).

use crate::key::{Key, Mask, bits};
use conjunction::Soft;
use std::collections::HashMap;
use subtable::{ByHash, Outcome, Subtable};
use trie::{Answer, Trie};

mod conjunction;
mod select;
mod stage;
mod subtable;
mod trie;

#[cfg(test)]
mod tests;

pub use conjunction::Clause;
pub use stage::Prefix;

/// Which of the successive states of the rules.
pub type Version = u64;
/// Visible for ever.
pub const FOREVER: Version = Version::MAX;
/// Most fields with a prefix tree.
pub const MOST_PREFIXES: usize = 3;

/// No rule.
const NOBODY: u32 = u32::MAX;

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

/// A handle of a rule. It means nothing any more once the rule is removed, even when its place is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId {
    index: u32,
    birth: u32,
}

impl RuleId {
    /// The handle as one number, never zero.
    #[must_use]
    pub const fn number(self) -> u64 {
        (self.birth as u64) << 32 | self.index as u64
    }

    /// The handle of a number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self { index: number as u32, birth: (number >> 32) as u32 }
    }
}

#[derive(Debug)]
struct Entry<T> {
    value: Option<T>,
    from: Version,
    until: Version,
    priority: u32,
    hash: u32,
    /// The next key of the bucket.
    next: u32,
    /// The next rule of the same key, of a lower priority.
    lower: u32,
    table: u32,
    record: u32,
    birth: u32,
    conjunctive: bool,
}

impl<T> Entry<T> {
    const fn visible(&self, version: Version) -> bool {
        self.from <= version && version < self.until
    }
}

/// What was found for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The rule.
    pub rule: RuleId,
    /// The number of the conjunction by which it was found.
    pub conjunction: Option<u32>,
}

/// A set of rules.
#[derive(Debug)]
pub struct Classifier<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    subtables: Vec<Option<Subtable>>,
    free_tables: Vec<u32>,
    /// By a hash of the mask.
    by_mask: ByHash<u64, Vec<u32>>,
    /// Tables with their highest priority, which never rises along the list.
    order: Vec<(u32, u32)>,
    prefixes: Vec<(Prefix, Trie)>,
    conjunctions: HashMap<u32, Box<[Clause]>>,
    rules: usize,
    births: u32,
    seed: u64,
}

impl<T> Default for Classifier<T> {
    fn default() -> Self {
        Self::new(0x6e65_746c_6f6f_6d01)
    }
}

/// What one search knows about prefixes.
struct Prefixes<'a> {
    trees: &'a [(Prefix, Trie)],
    known: [Option<Answer>; MOST_PREFIXES],
}

impl Prefixes<'_> {
    /// Whether no rule of a table with prefixes of these lengths can fit, by the fields of a stage.
    fn exclude(&mut self, lengths: &[u8], stage: usize, key: &Key, looked: &mut Mask) -> bool {
        for (((prefix, tree), known), length) in self.trees.iter().zip(&mut self.known).zip(lengths) {
            if *length == 0 || prefix.stage() != stage {
                continue;
            }
            let answer = known.get_or_insert_with(|| tree.find(prefix.value(key), prefix.bits()));
            if answer.has(*length) {
                continue;
            }
            // What other tables need may be more than this one would look at.
            if answer.looked <= *length || prefix.is_looked_at(looked, answer.looked) {
                prefix.look(looked, answer.looked);
                return true;
            }
        }
        false
    }
}

impl<T> Classifier<T> {
    /// A set without rules, with prefix trees for IPv4 addresses. `seed` keeps others from choosing rules that collide.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let prefixes = [Prefix::Ip4Destination, Prefix::Ip4Source];
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            subtables: Vec::new(),
            free_tables: Vec::new(),
            by_mask: ByHash::default(),
            order: Vec::new(),
            prefixes: prefixes.map(|prefix| (prefix, Trie::default())).into(),
            conjunctions: HashMap::new(),
            rules: 0,
            births: 0,
            seed,
        }
    }

    /// How many rules there are, in all versions together.
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
        self.order.len()
    }

    /// Octets it holds, values that lie elsewhere not counted.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<T>>()
            + self.free.capacity() * 4
            + self.subtables.capacity() * size_of::<Option<Subtable>>()
            + self.subtables.iter().flatten().map(Subtable::memory).sum::<usize>()
            + self.prefixes.iter().map(|(_, tree)| tree.memory()).sum::<usize>()
    }

    /// Which fields have prefix trees; of more than [`MOST_PREFIXES`] the first ones. Trees are made anew.
    pub fn set_prefixes(&mut self, prefixes: &[Prefix]) {
        let wanted = prefixes.iter().take(MOST_PREFIXES);
        self.prefixes = wanted.map(|prefix| (*prefix, Trie::default())).collect();
        for table in self.subtables.iter_mut().flatten() {
            table.lengths = self.prefixes.iter().map(|(prefix, _)| prefix.length(&table.mask)).collect();
        }
        for entry in self.entries.iter().filter(|entry| entry.value.is_some()) {
            if let Some(Some(table)) = self.subtables.get(entry.table as usize) {
                let key = table.key(entry.record);
                for ((prefix, tree), length) in self.prefixes.iter_mut().zip(&table.lengths) {
                    if *length > 0 {
                        tree.insert(prefix.value(&key), *length);
                    }
                }
            }
        }
    }

    fn table_of(&self, mask: &Mask) -> Option<(u32, &Subtable)> {
        let tables = self.by_mask.get(&hash_of(self.seed, mask))?;
        tables.iter().find_map(|number| {
            let table = self.subtables.get(*number as usize)?.as_ref()?;
            (*table.mask == *mask).then_some((*number, table))
        })
    }

    fn make_table(&mut self, mask: &Mask) -> u32 {
        let lengths = self.prefixes.iter().map(|(prefix, _)| prefix.length(mask)).collect();
        let table = Subtable::new(mask, lengths, self.seed);
        let number = self.free_tables.pop().unwrap_or_else(|| {
            self.subtables.push(None);
            (self.subtables.len() - 1) as u32
        });
        self.subtables[number as usize] = Some(table);
        self.by_mask.entry(hash_of(self.seed, mask)).or_default().push(number);
        number
    }

    /// Moves a table to its place in the list, or takes it out.
    fn rank(&mut self, number: u32, before: Option<u32>, now: Option<u32>) {
        if before == now {
            return;
        }
        if let Some(before) = before {
            let first = self.order.partition_point(|(highest, _)| *highest > before);
            if let Some(at) = self.order[first..].iter().position(|(_, other)| *other == number) {
                self.order.remove(first + at);
            }
        }
        if let Some(now) = now {
            let at = self.order.partition_point(|(highest, _)| *highest >= now);
            self.order.insert(at, (now, number));
        }
    }

    /// Adds a rule that is visible from a version on. One of the same priority, mask and key is not replaced: it must be
    /// hidden before in that version.
    pub fn insert(&mut self, rule: Rule<T>, from: Version) -> RuleId {
        self.insert_clauses(rule, from, Box::default())
    }

    /// As [`Classifier::insert`], for a rule that takes part in conjunctions.
    pub fn insert_clauses(&mut self, rule: Rule<T>, from: Version, clauses: Box<[Clause]>) -> RuleId {
        let Rule { priority, key, mask, value } = rule;
        let number = self.table_of(&mask).map(|(number, _)| number);
        let number = number.unwrap_or_else(|| self.make_table(&mask));
        self.births = self.births.wrapping_add(1).max(1);
        let birth = self.births;
        let place = self.free.pop().unwrap_or(self.entries.len() as u32);
        let Some(Some(table)) = self.subtables.get_mut(number as usize) else {
            return RuleId { index: NOBODY, birth: 0 };
        };
        let before = (table.rules > 0).then_some(table.highest);
        let hash = table.hash(&key);
        let entry = Entry {
            value: Some(value),
            from,
            until: FOREVER,
            priority,
            hash: (hash >> 32) as u32,
            next: NOBODY,
            lower: NOBODY,
            table: number,
            record: table.note(&key, priority),
            birth,
            conjunctive: !clauses.is_empty(),
        };
        match self.entries.get_mut(place as usize) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        for ((prefix, tree), length) in self.prefixes.iter_mut().zip(&table.lengths) {
            if *length > 0 {
                tree.insert(prefix.value(&key), *length);
            }
        }
        if !clauses.is_empty() {
            self.conjunctions.insert(place, clauses);
        }
        // Highest priority first; of equal ones the newest.
        match table.first(&self.entries, &key, hash) {
            Some(first) if self.entries[first as usize].priority <= priority => {
                self.entries[place as usize].lower = first;
                table.replace(&mut self.entries, first, place, hash);
            }
            Some(first) => {
                let mut above = first;
                loop {
                    let next = self.entries[above as usize].lower;
                    match self.entries.get(next as usize) {
                        Some(entry) if entry.priority > priority => above = next,
                        _ => break,
                    }
                }
                self.entries[place as usize].lower = self.entries[above as usize].lower;
                self.entries[above as usize].lower = place;
            }
            None => table.hang(&mut self.entries, place, hash),
        }
        let now = Some(table.highest);
        self.rules += 1;
        self.rank(number, before, now);
        RuleId { index: place, birth }
    }

    fn entry(&self, rule: RuleId) -> Option<&Entry<T>> {
        self.entries
            .get(rule.index as usize)
            .filter(|entry| entry.birth == rule.birth && entry.value.is_some())
    }

    fn entry_mut(&mut self, rule: RuleId) -> Option<&mut Entry<T>> {
        let entry = self.entries.get_mut(rule.index as usize)?;
        (entry.birth == rule.birth && entry.value.is_some()).then_some(entry)
    }

    fn id(&self, place: u32) -> RuleId {
        RuleId { index: place, birth: self.entries.get(place as usize).map_or(0, |entry| entry.birth) }
    }

    /// Makes a rule invisible from a version on; [`FOREVER`] makes it visible again.
    pub fn hide(&mut self, rule: RuleId, until: Version) {
        if let Some(entry) = self.entry_mut(rule) {
            entry.until = until;
        }
    }

    /// From which version on a rule is visible, and until which.
    #[must_use]
    pub fn versions(&self, rule: RuleId) -> Option<(Version, Version)> {
        self.entry(rule).map(|entry| (entry.from, entry.until))
    }

    /// Takes a rule out of all versions.
    pub fn remove(&mut self, rule: RuleId) -> Option<T> {
        self.entry(rule)?;
        let entry = &self.entries[rule.index as usize];
        let (number, record, priority, lower) = (entry.table, entry.record, entry.priority, entry.lower);
        let table = self.subtables.get_mut(number as usize)?.as_mut()?;
        let key = table.key(record);
        let hash = table.hash(&key);
        let first = table.first(&self.entries, &key, hash)?;
        if first == rule.index {
            table.replace(&mut self.entries, first, lower, hash);
        } else {
            let mut above = first;
            while let Some(entry) = self.entries.get_mut(above as usize) {
                if entry.lower == rule.index {
                    entry.lower = lower;
                    break;
                }
                above = entry.lower;
            }
        }
        for ((prefix, tree), length) in self.prefixes.iter_mut().zip(&table.lengths) {
            if *length > 0 {
                tree.remove(prefix.value(&key), *length);
            }
        }
        let before = Some(table.highest);
        table.forget(record, priority);
        let now = (table.rules > 0).then_some(table.highest);
        if now.is_none() {
            let hash = hash_of(self.seed, &table.mask);
            if let Some(tables) = self.by_mask.get_mut(&hash) {
                tables.retain(|other| *other != number);
                if tables.is_empty() {
                    self.by_mask.remove(&hash);
                }
            }
            self.subtables[number as usize] = None;
            self.free_tables.push(number);
        }
        self.rank(number, before, now);
        self.conjunctions.remove(&rule.index);
        self.free.push(rule.index);
        self.rules -= 1;
        self.entries[rule.index as usize].value.take()
    }

    /// What a rule is for.
    #[must_use]
    pub fn get(&self, rule: RuleId) -> Option<&T> {
        self.entry(rule)?.value.as_ref()
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, rule: RuleId) -> Option<&mut T> {
        self.entry_mut(rule)?.value.as_mut()
    }

    /// A rule's priority, key and mask.
    #[must_use]
    pub fn describe(&self, rule: RuleId) -> Option<(u32, Key, &Mask)> {
        let entry = self.entry(rule)?;
        let table = self.subtables.get(entry.table as usize)?.as_ref()?;
        Some((entry.priority, table.key(entry.record), &table.mask))
    }

    /// A rule's priority.
    #[must_use]
    pub fn priority(&self, rule: RuleId) -> Option<u32> {
        self.entry(rule).map(|entry| entry.priority)
    }

    /// The visible rule with exactly this priority, key and mask.
    #[must_use]
    pub fn exact(&self, priority: u32, key: &Key, mask: &Mask, version: Version) -> Option<RuleId> {
        let (_, table) = self.table_of(mask)?;
        let mut place = table.first(&self.entries, key, table.hash(key))?;
        while let Some(entry) = self.entries.get(place as usize) {
            if entry.priority == priority && entry.visible(version) {
                return Some(self.id(place));
            }
            place = entry.lower;
        }
        None
    }

    /// The rule that decides about a packet in a version. Everything that was looked at is added to `looked`.
    #[inline]
    pub fn find(&self, key: &Key, looked: &mut Mask, version: Version) -> Option<Found> {
        self.search(key, looked, version, true)
    }

    fn search(&self, key: &Key, looked: &mut Mask, version: Version, soft: bool) -> Option<Found> {
        let mut prefixes = Prefixes { trees: &self.prefixes, known: [None; MOST_PREFIXES] };
        let mut best: Option<u32> = None;
        let mut above: Option<u32> = None;
        let mut parts: Vec<Soft> = Vec::new();
        for (highest, number) in &self.order {
            if above.is_some_and(|above| above >= *highest) {
                break;
            }
            let Some(Some(table)) = self.subtables.get(*number as usize) else { continue };
            let outcome = table.find(&self.entries, key, version, |lengths, stage| {
                prefixes.exclude(lengths, stage, key, looked)
            });
            table.look(&outcome, looked);
            let Outcome::Rule(place) = outcome else { continue };
            let entry = &self.entries[place as usize];
            if above.is_some_and(|above| above >= entry.priority) {
                continue;
            }
            if !entry.conjunctive {
                (best, above) = (Some(place), Some(entry.priority));
            } else if soft {
                parts.push(Soft { place, priority: entry.priority });
            }
        }
        if parts.is_empty() {
            return best.map(|place| Found { rule: self.id(place), conjunction: None });
        }
        self.join(parts, best, key, looked, version)
    }
}

fn hash_of(seed: u64, mask: &Mask) -> u64 {
    bits(mask.used()).fold(seed ^ mask.used(), |hash, word| {
        (hash ^ mask.words()[word]).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}
