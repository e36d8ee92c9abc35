//! The user's language: parse and validate a topology, with the place of every word.
//!
//! What: text -> [`document`] (spanned tree, strict) -> [`topology::Topology`] (what was written) ->
//! validated topology (what it means).
//!
//! Invariants: no I/O, no clock; any input gives a topology or located diagnostics, never a panic.
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod document;
pub mod expand;
mod generate;
pub mod load;
pub mod scalar;
pub mod source;
pub mod topology;
pub mod validate;
pub mod validated;
