//! Keys of TLS as the command line has them: `--private-key`, `--certificate`, `--ca-cert`, `--bootstrap-ca-cert`.

use super::arguments::Called;
use netloom_control::ovsdb::{KeyFiles, KeySource, KeySources};
use std::path::Path;

/// Where a database server finds its keys. Files are within `directory`, where the program was started.
pub fn sources(called: &Called, directory: &Path) -> KeySources {
    let of = |names: &[&str]| {
        let said = called.others.iter().rev().find(|(name, _)| names.contains(&name.as_str()));
        said.map(|(_, text)| KeySource::parse(text, directory))
    };
    KeySources {
        private_key: of(&["private-key"]),
        certificate: of(&["certificate"]),
        authority: of(&["ca-cert", "bootstrap-ca-cert"]),
        bootstrap: called.others.iter().any(|(name, _)| name == "bootstrap-ca-cert"),
    }
}

/// The keys with which a database server is asked.
pub fn files(called: &Called, directory: &Path) -> Option<KeyFiles> {
    let sources = sources(called, directory);
    let file = |source| match source {
        Some(KeySource::File(path)) => Some(path),
        // What the database says is not known before it is asked.
        Some(KeySource::Column { .. }) | None => None,
    };
    Some(KeyFiles {
        private_key: file(sources.private_key)?,
        certificate: file(sources.certificate)?,
        authority: file(sources.authority)?,
        bootstrap: sources.bootstrap,
    })
}
