//! A topology that is up: its file as it was applied, and what it meant.

use super::load::{self, Loaded};
use crate::failure::Failure;
use netloom_compile::object::Desired;
use netloom_control::realm::Realm;
use netloom_control::store::{self, Generation};
use netloom_model::document::Format;
use netloom_wire::NodeName;

/// A topology that is up.
pub struct Running {
    /// Its name.
    pub name: NodeName,
    /// Its file, read again.
    pub loaded: Loaded,
    /// What it meant.
    pub desired: Desired,
}

/// Reads the generation that stands.
///
/// # Errors
/// When nothing of that name is up or the store is damaged.
pub fn load(realm: &Realm, topology: &str) -> Result<Running, Failure> {
    let name: NodeName = topology.parse().map_err(Failure::new)?;
    let generation = store::peek(&realm.state_dir, &name)
        .map_err(Failure::new)?
        .ok_or_else(|| Failure::new(format!("no generation of `{topology}` stands")))?;
    of(name, generation)
}

/// A generation as a running topology.
///
/// # Errors
/// When this version of the program finds its text wrong.
pub fn of(name: NodeName, generation: Generation) -> Result<Running, Failure> {
    let Generation { file, text, variables, desired, .. } = generation;
    let loaded = load::text(&file, text.as_bytes(), Format::from_name(&file), variables)?;
    Ok(Running { name, loaded, desired })
}
