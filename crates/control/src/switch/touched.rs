//! Ports about which something may have changed: what has to be looked at again.

use std::collections::BTreeSet;

/// Some ports by their names, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Touched {
    /// All there are.
    All,
    /// These.
    Ports(BTreeSet<String>),
}

impl Default for Touched {
    fn default() -> Self {
        Self::Ports(BTreeSet::new())
    }
}

impl Touched {
    /// One port.
    pub(super) fn one(name: &str) -> Self {
        Self::Ports(BTreeSet::from([name.to_owned()]))
    }

    /// Whether a port is among them.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ports(names) => names.contains(name),
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Ports(names) if names.is_empty())
    }

    /// A port more.
    pub(super) fn add(&mut self, name: &str) {
        if let Self::Ports(names) = self {
            names.insert(name.to_owned());
        }
    }

    /// Those of another as well.
    pub(super) fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Ports(names), Self::Ports(more)) => names.extend(more),
            _ => *self = Self::All,
        }
    }
}
