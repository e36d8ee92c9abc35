//! `why` beside the truth: what it says of a packet, and what becomes of that packet.
//!
//! - Random networks, made in namespaces and damaged at random: a probe and `why` must agree.
//! - The tests of every example's file: `why` must say of the description alone what they say.
//! - Written cases (`cases/*.txt`): every sentence, and every way out.
//!
//! `NETLOOM_CASES` multiplies the number of networks (default 1); `NETLOOM_BLESS=1` writes the cases anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod cases;
mod damage;
mod examples;
mod live;

use netloom_compile::{Compiled, Context};
use netloom_model::document::Format;
use netloom_model::load::load;
use netloom_model::source::SourceFile;
use std::collections::BTreeMap;

/// A text, compiled.
pub fn compiled(name: &str, text: &str, context: &Context) -> Result<Compiled, String> {
    let source = SourceFile::new(name, text);
    let loaded = load(&source, Format::Yaml, &BTreeMap::new()).map_err(|all| all.render(&source, false))?;
    netloom_compile::compile(&loaded.validated, context).map_err(|error| error.to_string())
}
