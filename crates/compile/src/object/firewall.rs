//! Netloom's packet-filter table of a namespace: placeholder until the rules arrive.

use serde::{Deserialize, Serialize};

/// The complete table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {}

impl Firewall {
    /// Calls `report(field, from, to)` for each difference between this observed table and `desired`.
    pub fn compare(&self, desired: &Self, report: &mut dyn FnMut(String, String, String)) {
        if self != desired {
            report("rules".to_owned(), String::new(), String::new());
        }
    }
}
