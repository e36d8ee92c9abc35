//! Sockets of both families behind one type.

use super::remote::Remote;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens. A name that nobody listens on any more is used anew.
    pub(crate) fn open(remote: &Remote) -> io::Result<Option<Self>> {
        match remote {
            Remote::ListenUnix(path) => {
                let listener = bind_unix(path)?;
                listener.set_nonblocking(true)?;
                Ok(Some(Self::Unix(listener, path.clone())))
            }
            Remote::ListenTcp(address) | Remote::ListenTls(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Some(Self::Tcp(listener)))
            }
            _ => Ok(None),
        }
    }

    /// The next client; nothing if none waits.
    pub(crate) fn accept(&self) -> io::Result<Option<OwnedFd>> {
        let accepted = match self {
            Self::Unix(listener, _) => listener.accept().map(|(stream, _)| {
                let _ = stream.set_nonblocking(true);
                OwnedFd::from(stream)
            }),
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| {
                let _ = stream.set_nonblocking(true);
                let _ = stream.set_nodelay(true);
                OwnedFd::from(stream)
            }),
        };
        match accepted {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The port.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Unix(..) => None,
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener, _) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        let text = format!("somebody listens on {}", path.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Begins to connect: it is done when the socket can be written.
pub(crate) fn begin(remote: &Remote) -> io::Result<Option<OwnedFd>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (stream, result) = match remote {
        Remote::ConnectUnix(path) => {
            let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            let result = connect(&stream, &SocketAddrUnix::new(path)?);
            (stream, result)
        }
        Remote::ConnectTcp(address) | Remote::ConnectTls(address) => {
            let family = match address {
                SocketAddr::V4(_) => AddressFamily::INET,
                SocketAddr::V6(_) => AddressFamily::INET6,
            };
            let stream = socket_with(family, SocketType::STREAM, flags, None)?;
            set_tcp_nodelay(&stream, true)?;
            let result = connect(&stream, address);
            (stream, result)
        }
        _ => return Ok(None),
    };
    match result {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(Some(stream)),
        Err(error) => Err(error.into()),
    }
}
