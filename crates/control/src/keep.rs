//! What must stay the same from one apply to the next: addresses given out, the secret of the keys.

use crate::store::{Store, StoreError};
use netloom_compile::Allocations;
use netloom_wire::NodeName;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;

/// Kept with the topology, in a file for its owner only.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Keep {
    /// Addresses given out.
    pub allocations: Allocations,
    /// The secret that keys are made from; made when it is first asked for.
    secret: Option<[u8; 32]>,
}

impl Keep {
    /// What is kept, without the lock; nothing for a topology that is not up.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn peek(state_dir: &Path, topology: &NodeName) -> Result<Self, StoreError> {
        let path = state_dir.join(topology.as_str()).join("keep.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| StoreError::Damaged { path, reason: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(StoreError::File { doing: "read", path, source }),
        }
    }

    /// The secret, made from the system's randomness the first time.
    pub fn seed(&mut self) -> [u8; 32] {
        *self.secret.get_or_insert_with(|| {
            let mut seed = [0; 32];
            // Blocks only before the pool is ready, early at boot; a short read is impossible below 256 bytes.
            while rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty()).is_err() {}
            seed
        })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn save(&self, store: &Store) -> Result<(), StoreError> {
        store.save("keep", self)
    }
}
