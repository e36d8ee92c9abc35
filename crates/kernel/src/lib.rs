//! Linux: observes the kernel into the objects of `netloom_compile` and executes single steps on it.
//!
//! What: everything goes through netlink, `/proc/sys`, namespaces and two ioctls; no other program is
//! ever started for it (only the commands that the user's file asks for are started, [`process`]).
//!
//! Invariants:
//! - Unsafe code is in `sys` only.
//! - Nothing that does not carry the mark of the topology is changed, except by an explicit operation
//!   on exactly that object.
//!
//! Deliberately absent: what is wanted (crate `compile`), the order of steps, journals and undo (crate
//! `control`).
#![deny(unsafe_code)]

mod address;
pub mod capability;
mod error;
pub mod ethtool;
pub mod events;
mod execute;
mod kernel;
mod link;
pub mod marks;
pub mod namespace;
mod neighbour;
pub mod netlink;
pub mod nft;
mod observe;
pub mod picture;
pub mod process;
mod route;
mod rule;
mod sys;
mod sysctl;
pub mod tap;
pub mod tc;
mod way;
pub mod wireguard;

pub use error::KernelError;
pub use kernel::{Kernel, KernelConfig};
pub use observe::Ahead;
pub use way::{Way, address_of, way};
