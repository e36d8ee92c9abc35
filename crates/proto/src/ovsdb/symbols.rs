//! Names that rows have within one transaction (`uuid-name`, `named-uuid`).

use super::uuid::{Uuid, UuidSource};
use std::collections::BTreeMap;

/// The names of a transaction. A name that is used before its row is inserted stands for the UUID the row will have.
#[derive(Debug)]
pub struct Names<'a> {
    known: BTreeMap<String, (Uuid, bool)>,
    source: &'a mut UuidSource,
}

impl<'a> Names<'a> {
    /// None yet.
    #[must_use]
    pub const fn new(source: &'a mut UuidSource) -> Self {
        Self { known: BTreeMap::new(), source }
    }

    /// What a name stands for.
    pub fn uuid(&mut self, name: &str) -> Uuid {
        if let Some((uuid, _)) = self.known.get(name) {
            return *uuid;
        }
        let uuid = self.source.next_uuid();
        self.known.insert(name.to_owned(), (uuid, false));
        uuid
    }

    /// Names a new row; nothing if one has the name already. A row that brings its UUID keeps it.
    pub fn create(&mut self, name: &str, own: Option<Uuid>) -> Option<Uuid> {
        let used = self.uuid(name);
        let uuid = own.unwrap_or(used);
        let entry = self.known.get_mut(name)?;
        if entry.1 {
            return None;
        }
        *entry = (uuid, true);
        Some(uuid)
    }

    /// A UUID for a row without a name.
    pub fn fresh(&mut self) -> Uuid {
        self.source.next_uuid()
    }

    /// Where new UUIDs come from.
    pub const fn source(&mut self) -> &mut UuidSource {
        self.source
    }
}
