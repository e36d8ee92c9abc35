//! Which keys a database server has for TLS: files, or what a row of a database says
//! (`--private-key=db:Open_vSwitch,SSL,private_key`).

use super::server::Core;
use crate::sockets::KeyFiles;
use std::path::{Path, PathBuf};

/// Where it is said which file to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Here.
    File(PathBuf),
    /// In the first row of a table in which the column is not empty.
    Column {
        /// The database.
        database: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl KeySource {
    /// Reads `FILE`, within `directory`, or `db:DATABASE,TABLE,COLUMN`.
    #[must_use]
    pub fn parse(text: &str, directory: &Path) -> Self {
        let names = text.strip_prefix("db:").map(|names| names.split(',').collect::<Vec<_>>());
        match names.as_deref() {
            Some([database, table, column]) => Self::Column {
                database: (*database).to_owned(),
                table: (*table).to_owned(),
                column: (*column).to_owned(),
            },
            _ => Self::File(directory.join(text)),
        }
    }
}

/// Where it is said which keys to use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySources {
    /// The private key.
    pub private_key: Option<KeySource>,
    /// The certificate.
    pub certificate: Option<KeySource>,
    /// The authority's certificate.
    pub authority: Option<KeySource>,
    /// Whether the authority's certificate is learned from the first peer.
    pub bootstrap: bool,
}

impl KeySources {
    /// Those that the Open vSwitch database itself has in its table `SSL`.
    #[must_use]
    pub fn of_open_vswitch() -> Self {
        let of = |column: &str| {
            Some(KeySource::Column {
                database: "Open_vSwitch".to_owned(),
                table: "SSL".to_owned(),
                column: column.to_owned(),
            })
        };
        Self {
            private_key: of("private_key"),
            certificate: of("certificate"),
            authority: of("ca_cert"),
            bootstrap: false,
        }
    }
}

impl Core {
    /// Has the keys be those that are meant now.
    pub(super) fn choose_keys(&mut self) {
        let files = self.key_files();
        self.keyring.set(files);
    }

    /// The keys that are meant now.
    pub(super) fn key_files(&self) -> Option<KeyFiles> {
        let file = |source: &Option<KeySource>| match source.as_ref()? {
            KeySource::File(path) => Some(path.clone()),
            KeySource::Column { database, table, column } => {
                let (schema, rows) = self.server.database(database)?.table_named(table)?;
                let place = schema.column(column)?;
                let said = rows.rows().filter_map(|row| row.text(place)).find(|text| !text.is_empty());
                said.map(PathBuf::from)
            }
        };
        Some(KeyFiles {
            private_key: file(&self.keys.private_key)?,
            certificate: file(&self.keys.certificate)?,
            authority: file(&self.keys.authority)?,
            bootstrap: self.keys.bootstrap,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read() {
        let file = KeySource::parse("sc.pem", Path::new("/etc/ovs"));
        assert_eq!(file, KeySource::File("/etc/ovs/sc.pem".into()));
        let column = KeySource::parse("db:Open_vSwitch,SSL,ca_cert", Path::new("/"));
        assert_eq!(Some(column), KeySources::of_open_vswitch().authority);
        assert_eq!(KeySource::parse("db:a,b", Path::new("/x")), KeySource::File("/x/db:a,b".into()));
    }
}
