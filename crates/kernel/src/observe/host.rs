//! What of a namespace is shown, and whose it is: all of a node's, little of the host's.

use super::Wanted;
use netloom_compile::object::{Key, Mark, Space};

/// Decides for one namespace.
pub(super) struct Filter<'a> {
    host: bool,
    wanted: &'a Wanted<'a>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(space: &Space, wanted: &'a Wanted<'a>) -> Self {
        Self { host: *space == Space::Host, wanted }
    }

    /// The mark of something that carries our protocol number or not and sits on an interface of `owner`.
    ///
    /// In a node's namespace the number is enough: the namespace is ours. In the host's it may be that of
    /// another topology, so the interface decides; on somebody else's interface nobody can tell.
    pub(super) const fn mark(&self, marked: bool, owner: Mark) -> Mark {
        match (marked, self.host, owner) {
            (false, ..) => Mark::Foreign,
            (true, false, _) | (true, true, Mark::Ours) => Mark::Ours,
            (true, true, _) => Mark::Unmarkable,
        }
    }

    /// Whether an object is reported.
    pub(super) fn shows(&self, key: &Key, mark: Mark) -> bool {
        !self.host || mark != Mark::Foreign || self.wanted.keys.contains(key)
    }
}
