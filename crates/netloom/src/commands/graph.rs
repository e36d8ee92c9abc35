//! `graph`: a picture of a file or of what runs.

use super::{load, running, select};
use crate::cli::GraphFormat;
use crate::failure::Failure;
use crate::graph::Graph;
use crate::output::put;
use netloom_compile::{Compiled, Context};
use netloom_control::check::addresses;
use netloom_control::keep::Keep;
use netloom_control::realm::Realm;
use std::collections::BTreeMap;
use std::path::Path;

/// Draws and writes the picture.
///
/// # Errors
/// When the file is wrong, nothing of that name is up, or the picture can't be written.
pub fn draw(
    realm: &Realm,
    topology: Option<&str>,
    format: GraphFormat,
    write: Option<&Path>,
) -> Result<u8, Failure> {
    let graph = match topology {
        Some(file) if select::looks_like_file(file) => {
            let loaded = load::read(Path::new(file), &[])?;
            let topology = loaded.model.validated.topology();
            let allocations = Keep::peek(&realm.state_dir, &topology.name).unwrap_or_default().allocations;
            let context = Context { allocations, ..Context::default() };
            // A file that can't be compiled has a picture all the same, without the addresses given out.
            let known = netloom_compile::compile(&loaded.model.validated, &context)
                .map(|compiled| known(&compiled))
                .unwrap_or_default();
            Graph::of(topology, &known)
        }
        wanted => {
            let name = select::topology(realm, wanted)?;
            let running = running::load(realm, &name)?;
            Graph::of(running.loaded.model.validated.topology(), &known(&running.compiled))
        }
    };
    let picture = graph.draw(format);
    match write {
        None => put(&picture)?,
        Some(path) => std::fs::write(path, picture)
            .map_err(|error| Failure::new(format!("can't write {}: {error}", path.display())))?,
    }
    Ok(0)
}

/// The addresses by node and interface.
fn known(compiled: &Compiled) -> BTreeMap<(String, String), Vec<String>> {
    let mut known: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (node, own) in addresses(compiled) {
        for (interface, net) in own {
            known.entry((node.to_string(), interface.to_string())).or_default().push(net.to_string());
        }
    }
    known
}
