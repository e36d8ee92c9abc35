//! What a topology means: every name leads somewhere, every address is somebody's, every key fits.
//!
//! What: [`validate`] looks at an expanded [`Topology`] and either makes a [`Validated`] one or tells all
//! that is wrong with it at once, each finding with its place, a label and a way out.
//!
//! Invariants: never a panic, whatever the topology; every error of a parsed file has a place in it; no
//! check changes the topology. Costs: each check is near linear in the size of the topology.
//!
//! Deliberately absent: what the machine can do. A file that is right here may still name a kind that the
//! running kernel lacks; the plan tells that.
//!
//! One section of the language is one file here: `names`, `interfaces`, `addresses` (with `segments`),
//! `networks` (with `overlays`), `links` (with `link_kinds`, `tunnels`, `media`, `mtu`), `nodes`, `machines`, `routes`,
//! `policies`, `qos`, `trials` (the file's `tests`).

mod addresses;
pub mod codes;
mod context;
mod interfaces;
mod link_kinds;
mod links;
mod machines;
mod media;
mod mtu;
mod names;
mod networks;
mod nodes;
mod overlays;
mod policies;
mod qos;
mod routes;
mod segments;
mod trials;
mod tunnels;

pub use media::PROFILES;
pub(crate) use names::unknown_version;
pub use nodes::sysctl_path;

use crate::diagnostic::Diagnostics;
use crate::source::SourceFile;
use crate::topology::Topology;
use crate::validated::{Index, Validated};

/// Validates an expanded topology.
///
/// # Errors
/// All findings, of which at least one is an error.
pub fn validate(topology: Topology, source: &SourceFile) -> Result<(Validated, Diagnostics), Diagnostics> {
    let mut out = Diagnostics::new();
    let index = Index::new(&topology);
    let mut check = context::Check::new(&topology, source, &index, &mut out);
    let segments = segments::Segments::new(&check);
    names::check(&mut check);
    interfaces::check(&mut check);
    networks::check(&mut check);
    links::check(&mut check);
    addresses::check(&mut check, &segments);
    mtu::check(&mut check);
    nodes::check(&mut check);
    machines::check(&mut check);
    routes::check(&mut check, &segments);
    policies::check(&mut check);
    qos::check(&mut check);
    trials::check(&mut check);
    out.sort();
    if out.has_errors() { Err(out) } else { Ok((Validated::new(topology, source.clone(), index), out)) }
}
