//! `rollback`: an earlier generation stands again.

use super::apply::{Show, failure};
use super::{now, session};
use crate::failure::Failure;
use crate::output::{Printer, put};
use netloom_control::realm::Realm;
use netloom_control::store::{Store, Wait};
use netloom_control::{apply, heal};
use netloom_wire::NodeName;

/// Returns to a generation.
///
/// # Errors
/// When there is no such generation, or it can't be made true.
pub fn run(realm: &Realm, printer: &Printer, name: &str, generation: u64) -> Result<u8, Failure> {
    let topology: NodeName = name.parse().map_err(Failure::new)?;
    let store = Store::open_existing(&realm.state_dir, &topology, Wait::Yes)
        .map_err(Failure::new)?
        .ok_or_else(|| Failure::new(format!("no topology `{name}` is up")))?;
    let show = Show::new(printer, true);
    let machine = session::machine(realm, &topology)?;
    let applied = apply::rollback(&machine, &store, generation, now(), &|progress| show.progress(progress));
    show.finish();
    let applied = applied.map_err(failure)?;
    heal::append(&store, &heal::of_plan(&applied.plan, "rolled back", now())).map_err(Failure::new)?;
    if printer.is_machine() {
        printer.machine(&serde_json::json!({ "topology": name, "generation": applied.generation }))?;
    } else {
        let number = applied.generation.unwrap_or_default();
        put(&format!("`{name}` is as in generation {generation} (now generation {number})\n"))?;
    }
    Ok(0)
}
