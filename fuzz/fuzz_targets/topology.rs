//! Topology files in the three formats: never a panic, and whatever is wrong has a place in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netloom_model::document::Format;
use netloom_model::load::load;
use netloom_model::source::SourceFile;
use std::collections::BTreeMap;

fuzz_target!(|octets: &[u8]| {
    let Some((format, text)) = octets.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let format = [Format::Yaml, Format::Toml, Format::Json][usize::from(format % 3)];
    let source = SourceFile::new("fuzz", text);
    if let Err(found) = load(&source, format, &BTreeMap::new()) {
        assert!(!found.is_empty());
        for one in found.iter() {
            let Some(span) = one.span else { panic!("no place: {one:?}") };
            assert!(span.start <= span.end && span.end as usize <= text.len(), "{span:?} of {}", text.len());
        }
    }
});
