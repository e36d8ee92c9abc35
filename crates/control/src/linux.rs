//! The real kernel as a [`Platform`].

use crate::platform::{Missing, Platform, PlatformError};
use netloom_compile::object::{Desired, Observed, Operation, Owner};
use netloom_kernel::{Kernel, KernelError, capability};

impl Platform for Kernel {
    fn observe(&self, scope: &Desired) -> Result<Observed, PlatformError> {
        Self::observe(self, scope).map_err(|error| refusal(&error))
    }

    fn execute(&self, owner: &Owner, operations: &[Operation]) -> Result<(), PlatformError> {
        Self::execute(self, owner, operations).map_err(|error| refusal(&error))
    }

    fn sweep(&self) -> Result<(), PlatformError> {
        self.namespaces().clean().map(|_| ()).map_err(|error| refusal(&error))
    }

    fn missing(&self, desired: &Desired) -> Vec<Missing> {
        // If nothing can be found out, the steps themselves will tell.
        let Ok(capabilities) = capability::capabilities() else { return Vec::new() };
        capabilities
            .missing(desired)
            .into_iter()
            .map(|missing| Missing { key: missing.key, feature: missing.feature, instead: missing.instead })
            .collect()
    }
}

/// The kernel's errors name the object themselves.
pub(crate) fn refusal(error: &KernelError) -> PlatformError {
    PlatformError::new(None, error.to_string())
}
