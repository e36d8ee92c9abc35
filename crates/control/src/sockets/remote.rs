//! Where peers are: the remotes of `ovsdb-server --remote`, and the targets of controllers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The port that IANA gave the protocol.
const PORT: u16 = 6640;

/// A remote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remote {
    /// `punix:PATH`: listen there.
    ListenUnix(PathBuf),
    /// `ptcp:[PORT][:HOST]`: listen there.
    ListenTcp(SocketAddr),
    /// `pssl:[PORT][:HOST]`: listen there, with TLS.
    ListenTls(SocketAddr),
    /// `unix:PATH`: connect there, again and again.
    ConnectUnix(PathBuf),
    /// `tcp:HOST[:PORT]`: connect there, again and again.
    ConnectTcp(SocketAddr),
    /// `ssl:HOST[:PORT]`: connect there with TLS, again and again.
    ConnectTls(SocketAddr),
    /// `db:DATABASE,TABLE,COLUMN`: the remotes that are in a column.
    Column {
        /// The database.
        database: String,
        /// The table.
        table: String,
        /// The column: texts, or rows with a column `target`.
        column: String,
    },
}

/// A text is no remote that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Another form.
    #[error(
        "{0}: not one of punix:PATH, ptcp:[PORT][:ADDRESS], pssl:[PORT][:ADDRESS], unix:PATH, tcp:ADDRESS[:PORT], \
         ssl:ADDRESS[:PORT], db:DATABASE,TABLE,COLUMN"
    )]
    Unknown(String),
}

/// How a remote is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Milliseconds of silence until a client is asked whether it is there; never with 0.
    pub probe_interval: u64,
    /// The most milliseconds between two tries to connect.
    pub max_backoff: u64,
    /// Whether clients may change nothing.
    pub read_only: bool,
}

/// What became of a remote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteStatus {
    /// Whether a client is connected.
    pub is_connected: bool,
    /// How many are.
    pub connections: usize,
    /// The port it listens on, when the system chose it.
    pub bound_port: Option<u16>,
    /// Why it does not work.
    pub error: Option<String>,
}

impl Remote {
    /// Whether it listens.
    #[must_use]
    pub const fn listens(&self) -> bool {
        matches!(self, Self::ListenUnix(_) | Self::ListenTcp(_) | Self::ListenTls(_))
    }

    /// Whether what is said is encrypted.
    pub(crate) const fn is_tls(&self) -> bool {
        matches!(self, Self::ListenTls(_) | Self::ConnectTls(_))
    }

    /// Where on a network it listens.
    pub(crate) const fn listening_address(&self) -> Option<SocketAddr> {
        match self {
            Self::ListenTcp(address) | Self::ListenTls(address) => Some(*address),
            _ => None,
        }
    }

    /// The same with the paths of sockets within a directory, if they are relative.
    #[must_use]
    pub fn within(&self, directory: &Path) -> Self {
        match self {
            Self::ListenUnix(path) => Self::ListenUnix(directory.join(path)),
            Self::ConnectUnix(path) => Self::ConnectUnix(directory.join(path)),
            other => other.clone(),
        }
    }

    /// What it is if nothing else is said: only who is across a network is asked whether it is there.
    #[must_use]
    pub const fn default_options(&self) -> RemoteOptions {
        let probe_interval = match self {
            Self::ListenUnix(_) | Self::ConnectUnix(_) | Self::Column { .. } => 0,
            Self::ListenTcp(_) | Self::ListenTls(_) | Self::ConnectTcp(_) | Self::ConnectTls(_) => 5000,
        };
        RemoteOptions { probe_interval, max_backoff: 8000, read_only: false }
    }
}

/// `HOST`, `[HOST]`: an address.
fn host(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}

/// `PORT[:HOST]`.
fn listening(text: &str, usual: u16) -> Option<SocketAddr> {
    let (port, address) = match text.split_once(':') {
        Some((port, address)) => (port, host(address)?),
        None => (text, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    };
    let port = if port.is_empty() { usual } else { port.parse().ok()? };
    Some(SocketAddr::new(address, port))
}

/// `HOST[:PORT]`, `[HOST][:PORT]`.
fn connecting(text: &str, usual: u16) -> Option<SocketAddr> {
    if let Some(address) = host(text) {
        return Some(SocketAddr::new(address, usual));
    }
    let (address, port) = text.rsplit_once(':')?;
    Some(SocketAddr::new(host(address)?, port.parse().ok()?))
}

impl Remote {
    /// Reads a remote of a protocol whose usual TCP port is this.
    ///
    /// # Errors
    /// When it is none that can be used.
    pub(crate) fn parse(text: &str, usual: u16) -> Result<Self, RemoteError> {
        let unknown = || RemoteError::Unknown(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        match kind {
            "punix" if !rest.is_empty() => Ok(Self::ListenUnix(rest.into())),
            "unix" if !rest.is_empty() => Ok(Self::ConnectUnix(rest.into())),
            "ptcp" => listening(rest, usual).map(Self::ListenTcp).ok_or_else(unknown),
            "tcp" => connecting(rest, usual).map(Self::ConnectTcp).ok_or_else(unknown),
            "pssl" => listening(rest, usual).map(Self::ListenTls).ok_or_else(unknown),
            "ssl" => connecting(rest, usual).map(Self::ConnectTls).ok_or_else(unknown),
            "db" => match rest.split(',').collect::<Vec<_>>()[..] {
                [database, table, column] => Ok(Self::Column {
                    database: database.to_owned(),
                    table: table.to_owned(),
                    column: column.to_owned(),
                }),
                _ => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        Self::parse(text, PORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_read() {
        let tcp = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (text, remote) in [
            ("punix:/run/db.sock", Remote::ListenUnix("/run/db.sock".into())),
            ("ptcp:6000", Remote::ListenTcp(tcp("0.0.0.0:6000"))),
            ("ptcp:", Remote::ListenTcp(tcp("0.0.0.0:6640"))),
            ("ptcp:0:127.0.0.1", Remote::ListenTcp(tcp("127.0.0.1:0"))),
            ("ptcp:1:[::1]", Remote::ListenTcp(tcp("[::1]:1"))),
            ("tcp:10.0.0.1", Remote::ConnectTcp(tcp("10.0.0.1:6640"))),
            ("tcp:[fe80::1]:9", Remote::ConnectTcp(tcp("[fe80::1]:9"))),
            ("tcp:::1", Remote::ConnectTcp(tcp("[::1]:6640"))),
            ("pssl:", Remote::ListenTls(tcp("0.0.0.0:6640"))),
            ("ssl:10.0.0.1:9", Remote::ConnectTls(tcp("10.0.0.1:9"))),
        ] {
            assert_eq!(text.parse(), Ok(remote), "{text}");
        }
        let column = "db:Open_vSwitch,Open_vSwitch,manager_options".parse().unwrap();
        assert!(matches!(column, Remote::Column { column, .. } if column == "manager_options"));
        for text in ["", "punix:", "tcp:host:1", "ptcp:x", "db:a,b", "6640"] {
            assert!(matches!(text.parse::<Remote>(), Err(RemoteError::Unknown(_))), "{text}");
        }
    }
}
