//! From the validated description to desired objects, by pure functions.
//!
//! What: [`compile`] turns a topology into a [`object::Desired`] table, with the addresses that it chose,
//! notes for the user, and the file's tests made concrete.
//!
//! ```text
//! topology -> inventory (who has which interface, under which name)
//!          -> addressing, identity, tunnel, mtu (addresses, MACs, outer addresses, sizes)
//!          -> emit, filter, shape (objects) + expectation (tests)
//! ```
//!
//! Invariants: no I/O, no clock, no thread; the same input always gives the same table; every object
//! carries its owner, the place in the user's file that asked for it, and a reason in words; everything
//! that an object needs is in the table, or is there anyway. Given the allocations of the last time,
//! what is added to a file changes nothing that belongs to others.
//!
//! Deliberately absent: what this kernel can do (that is `kernel`'s and `control`'s business).
#![forbid(unsafe_code)]

mod addressing;
mod allocations;
mod compiled;
mod emit;
mod expectation;
mod filter;
mod hash;
mod identity;
mod inventory;
mod mtu;
mod names;
pub mod object;
mod peers;
mod report;
mod routing;
mod shape;
mod table;
mod tunnel;

pub use allocations::Allocations;
pub use compiled::{
    Bridging, CompileError, Compiled, Context, InterfaceFacts, Note, Problem, ProblemKind, Severity,
};
pub use expectation::{Check, ResolvedTest, Target, Waypoint};

use inventory::Inventory;
use netloom_model::source::Span;
use netloom_model::topology::Topology;
use netloom_model::validated::Validated;
use object::Origin;
use report::Report;
use table::Table;

/// Compiles a validated topology.
///
/// # Errors
/// Every reason why it can't be realized: no address left, tunnels that don't know their way, names that
/// clash. What can be realized only in part is a [`Note`].
pub fn compile(validated: &Validated, context: &Context) -> Result<Compiled, CompileError> {
    let locate = |span: Span| {
        let place = validated.origin(span);
        Origin { file: place.file, line: place.line, column: place.column }
    };
    compile_topology(validated.topology(), &locate, context)
}

/// Compiles an expanded topology that nobody may have validated; `locate` tells the place of a span in
/// the user's file. What validation would have found is an error here too, or means nothing; it never
/// panics.
///
/// # Errors
/// As [`compile`].
pub fn compile_topology(
    topology: &Topology,
    locate: &dyn Fn(Span) -> Origin,
    context: &Context,
) -> Result<Compiled, CompileError> {
    let mut report = Report::new(locate);
    let mut inventory = Inventory::gather(topology, context, &mut report);
    let allocations = addressing::assign(&mut inventory, context, &mut report);
    identity::assign(&mut inventory);
    tunnel::find_outer(&mut inventory, &mut report);
    mtu::assign(&mut inventory);
    let mut table = Table::new(topology.name.value.clone());
    emit::all(&inventory, context, &mut table, &mut report);
    filter::emit(&inventory, &mut table, &mut report);
    shape::emit(&inventory, context, &mut table, &mut report);
    let tests = expectation::resolve(&inventory, &mut report);
    let interfaces = compiled::facts(&inventory, &table);
    let notes = report.finish()?;
    Ok(Compiled { desired: table.finish(), allocations, notes, interfaces, tests })
}
