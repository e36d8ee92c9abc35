//! The spanned document.
mod spanned;
pub use spanned::Spanned;
