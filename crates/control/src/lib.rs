//! The loop that keeps desired and real together.
#![forbid(unsafe_code)]

pub mod check;
pub mod doctor;
pub mod journal;
pub mod plan;
pub mod platform;
pub mod probe;
pub mod realm;
pub mod store;
