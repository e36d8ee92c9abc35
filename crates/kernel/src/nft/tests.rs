//! Properties of the codec that need no kernel.
