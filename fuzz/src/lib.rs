//! What the fuzz targets share: the laws that the property tests hold every header to.
#![forbid(unsafe_code)]

#[path = "../../crates/wire/tests/headers/laws.rs"]
pub mod laws;

#[path = "../../crates/proto/tests/openflow_laws/laws.rs"]
pub mod openflow_laws;

/// The text language of flows.
#[path = "../../crates/proto/tests/text/laws.rs"]
pub mod text_laws;

pub mod tracker;

pub mod watches;

/// Messages and connections of OpenFlow.
#[path = "../../crates/proto/tests/openflow_laws/messages.rs"]
pub mod openflow_messages;

pub use libfuzzer_sys;

/// A target that holds one header to its laws.
#[macro_export]
macro_rules! law {
    ($header:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            $crate::laws::$header(bytes);
        });
    };
}
