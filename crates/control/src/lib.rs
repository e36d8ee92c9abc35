//! The loop that keeps desired and real together.
#![forbid(unsafe_code)]

pub mod probe;
pub mod realm;
