//! Ways to find a thing: the flow key, the classifier of rules, the caches before it, longest prefixes, timers.
//!
//! ```text
//! packet -> Key -> SignatureCache -(miss)-> Megaflows -(miss)-> Classifier (who asks it un-wildcards a Mask)
//! ```
//!
//! Invariants: nothing here does I/O, reads a clock or starts a thread; time and randomness are arguments. For each
//! structure the tests have a slow oracle that random programs compare it with.
#![forbid(unsafe_code)]

pub mod classifier;
pub mod filter;
pub mod key;
pub mod lpm;
pub mod megaflow;
pub mod wheel;

pub use classifier::{Classifier, Rule};
pub use filter::Filter;
pub use key::{Field, Key, Mask};
pub use lpm::Lpm;
pub use wheel::Wheel;
