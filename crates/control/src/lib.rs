//! The loop that keeps desired and real together.
//!
//! What: [`plan`] compares, [`journal`] and [`store`] remember, [`apply`] makes a plan true or takes it back,
//! [`heal`] puts back what was changed by hand. [`platform`] is the outside world as a trait, [`machine`] the real
//! one: the kernel, and Netloom's own [`switch`] beside it. [`realm`] is
//! where it is (the host, or namespaces of the user's own). [`probe`] and [`check`] send real packets for a
//! file's tests, [`doctor`] tells what the host can do, [`why`] why a packet goes where it goes.
//!
//! Invariants: nothing is executed before it is planned and journalled; the live system is compared, never the
//! last file alone; callers give the time.
#![forbid(unsafe_code)]

pub mod apply;
pub mod check;
pub mod doctor;
pub mod heal;
pub mod import;
pub mod journal;
pub mod keep;
mod linux;
pub mod machine;
pub mod ovsdb;
pub mod plan;
pub mod platform;
pub mod probe;
pub mod realm;
mod sockets;
pub mod store;
pub mod switch;
pub mod unixctl;
pub mod why;
