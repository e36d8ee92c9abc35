//! What is known from before a plan is made: the last generation, interrupted runs, first values.

use netloom_compile::object::{Desired, Key, Object, Spec};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// Values as they were before Netloom touched them for the first time: sysctls, existing links, and
/// entries that can carry no mark but were there already.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Originals(pub BTreeMap<Key, Spec>);

impl Serialize for Originals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

impl<'de> Deserialize<'de> for Originals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Vec::<(Key, Spec)>::deserialize(deserializer)?.into_iter().collect()))
    }
}

/// What a plan may know besides the system and the wish.
///
/// The system itself decides what has to be done; memory only tells whose an unmarked object is, what a
/// setting was before, and whether a difference comes from the file or from a hand.
#[derive(Debug, Clone, Default)]
pub struct Memory<'a> {
    /// The last generation that was applied completely.
    pub last: Option<&'a Desired>,
    /// What interrupted runs wanted.
    pub interrupted: Vec<&'a Desired>,
    /// Objects whose making was begun and whose end is not recorded: they may lack their mark.
    pub begun: BTreeSet<Key>,
    /// First values.
    pub originals: Option<&'a Originals>,
}

impl<'a> Memory<'a> {
    /// Memory of the last generation alone.
    #[must_use]
    pub fn of(last: Option<&'a Desired>) -> Self {
        Self { last, ..Self::default() }
    }

    /// The tables that may have been realized, newest run last.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &'a Desired> {
        self.last.into_iter().chain(self.interrupted.iter().copied())
    }

    /// The object as earlier tables had it; the last complete generation first.
    pub(super) fn objects(&self, key: &Key) -> impl Iterator<Item = &'a Object> {
        self.tables().filter_map(|table| table.objects.get(key))
    }

    /// Whether an earlier table had the object.
    pub(super) fn held(&self, key: &Key) -> bool {
        self.objects(key).next().is_some()
    }

    /// The first value, if one is known.
    pub(super) fn original(&self, key: &Key) -> Option<&'a Spec> {
        self.originals.and_then(|originals| originals.0.get(key))
    }
}
