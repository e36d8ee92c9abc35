//! Which packets somebody wants to see: conditions on the key, joined by and, or, not.
//!
//! Costs: a walk over the tree for each packet; for captures, not for switching.

use crate::{Field, Key, Mask};

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// The key equals the values in the bits of the mask.
    Equal(Box<(Key, Mask)>),
    /// All of these; without any, every packet.
    All(Vec<Filter>),
    /// One of these; without any, none.
    Any(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
}

impl Filter {
    /// Every packet.
    pub const EVERYTHING: Self = Self::All(Vec::new());

    /// Fields have these values, in the bits that are ones: (field, value, bits).
    #[must_use]
    pub fn fields(fields: &[(Field, u64, u64)]) -> Self {
        let (mut values, mut mask) = (Key::default(), Mask::default());
        for (field, value, bits) in fields {
            values.set(*field, value & bits);
            mask.add_bits(*field, *bits);
        }
        Self::Equal(Box::new((values, mask)))
    }

    /// A field has this value.
    #[must_use]
    pub fn field(field: Field, value: u64) -> Self {
        Self::fields(&[(field, value, field.ones())])
    }

    /// Whether a packet meets it.
    #[must_use]
    pub fn matches(&self, key: &Key) -> bool {
        match self {
            Self::Equal(pair) => key.matches(&pair.0, &pair.1),
            Self::All(parts) => parts.iter().all(|part| part.matches(key)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(key)),
            Self::Not(part) => !part.matches(key),
        }
    }
}
