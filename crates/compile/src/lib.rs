//! From the validated description to desired objects, by pure functions.
//!
//! What: [`object`] defines the objects that a network is made of. Compilation (to come) turns a
//! validated topology into a [`object::Desired`] table.
//!
//! Invariants: no I/O, no clock, no thread; the same description always gives the same table; every
//! object carries its owner and the place in the user's file that asked for it.
#![forbid(unsafe_code)]

pub mod object;
