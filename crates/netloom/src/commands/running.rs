//! A topology that is up: its file as it was applied, and what it means.

use super::load::{self, Loaded};
use super::session;
use crate::failure::Failure;
use netloom_compile::Compiled;
use netloom_control::realm::Realm;
use netloom_control::store;
use netloom_model::document::Format;
use netloom_wire::NodeName;

/// A topology that is up.
pub struct Running {
    /// Its name.
    pub name: NodeName,
    /// Its file, read again.
    pub loaded: Loaded,
    /// What it means, with the addresses that were given out.
    pub compiled: Compiled,
}

/// Reads the generation that stands.
///
/// # Errors
/// When nothing of that name is up, the store is damaged, or this version of the program finds the text wrong.
pub fn load(realm: &Realm, topology: &str) -> Result<Running, Failure> {
    let name: NodeName = topology.parse().map_err(Failure::new)?;
    let generation = store::peek(&realm.state_dir, &name)
        .map_err(Failure::new)?
        .ok_or_else(|| Failure::new(format!("no generation of `{topology}` stands")))?;
    let format = Format::from_name(&generation.file);
    let loaded = load::text(&generation.file, generation.text.as_bytes(), format, generation.variables)?;
    let (mut compiled, _) = session::compile(realm, &loaded)?;
    compiled.desired = generation.desired;
    Ok(Running { name, loaded, compiled })
}
