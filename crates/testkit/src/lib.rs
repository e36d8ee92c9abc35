//! What the tests of every crate share; nothing of the product may depend on it.
//!
//! [`skip!`] reports a test that cannot run here, [`program`] and [`project_file`] find what a test needs
//! even when it was copied out of the build directory to be run as another user, [`rig`] gives a test network
//! namespaces of its own, [`topologies`] makes random topologies.

#![forbid(unsafe_code)]

pub mod place;
pub mod rig;
pub mod skip;
pub mod topologies;

pub use place::{program, project_file};
