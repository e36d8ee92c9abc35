//! A connection's octets, encrypted or not.
//!
//! Invariants: nothing blocks. All that was decrypted is given at once, so that a poller that is told of nothing misses nothing.
//! What was taken to be sent and could not be sent yet is at most what TLS needs for it, some 80 KiB; [`Stream::wants_write`]
//! says that there is some.

use super::tls::{Keyring, TlsError};
use super::{Heard, READ, Remote};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Octets are sent as they are.
    Plain(OwnedFd),
    /// They are encrypted.
    Tls(Box<Tls>),
}

/// An encrypted connection.
#[derive(Debug)]
pub(crate) struct Tls {
    socket: OwnedFd,
    session: Connection,
}

impl Stream {
    /// A connection to or from a remote.
    ///
    /// # Errors
    /// When it needs keys that are not there.
    pub(crate) fn new(socket: OwnedFd, remote: &Remote, keyring: &mut Keyring) -> Result<Self, TlsError> {
        if !remote.is_tls() {
            return Ok(Self::Plain(socket));
        }
        let keys = keyring.keys()?;
        let unfit = |error: rustls::Error| TlsError::Unfit(error.to_string());
        let session = match remote {
            Remote::ConnectTls(address) => {
                let name = ServerName::IpAddress(address.ip().into());
                ClientConnection::new(keys.client.clone(), name).map(Connection::from).map_err(unfit)?
            }
            _ => {
                let unknown =
                    || TlsError::Unfit("the CA certificate is not there: nobody can be believed".to_owned());
                let config = keys.server.clone().ok_or_else(unknown)?;
                ServerConnection::new(config).map(Connection::from).map_err(unfit)?
            }
        };
        Ok(Self::Tls(Box::new(Tls { socket, session })))
    }

    /// Reads once, and gives what came to `take`; that is not called when nothing came.
    ///
    /// # Errors
    /// When the socket fails, or the peer is not whom it should be.
    pub(crate) fn read(&mut self, take: impl FnOnce(&[u8])) -> io::Result<Heard> {
        match self {
            Self::Plain(socket) => {
                // Room that is not cleared first: most messages are short.
                let mut octets = Vec::with_capacity(READ);
                match rustix::io::read(&*socket, spare_capacity(&mut octets)) {
                    Ok(0) => Ok(Heard::End),
                    Ok(count) => {
                        take(&octets);
                        Ok(if count == READ { Heard::Some } else { Heard::Enough })
                    }
                    Err(Errno::AGAIN | Errno::INTR) => Ok(Heard::Enough),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Tls(tls) => tls.read(take),
        }
    }

    /// Sends what can be sent now, and gives how much that was; nothing if there is no room.
    ///
    /// # Errors
    /// When the socket fails.
    pub(crate) fn send(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => plain(socket, pieces),
            Self::Tls(tls) => {
                if !tls.flush()? {
                    return Ok(0);
                }
                let count = tls.session.writer().write_vectored(pieces)?;
                tls.flush()?;
                Ok(count)
            }
        }
    }

    /// Sends what was taken and not sent yet.
    ///
    /// # Errors
    /// When the socket fails.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush().map(drop),
        }
    }

    /// Whether something that was taken could not be sent yet.
    pub(crate) fn wants_write(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.session.wants_write())
    }
}

/// Sends octets as they are. Not `writev`: a peer that is gone must not raise a signal.
fn plain(socket: &OwnedFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        let mut control = SendAncillaryBuffer::default();
        match sendmsg(socket, pieces, &mut control, SendFlags::NOSIGNAL) {
            Ok(count) => return Ok(count),
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Tls {
    fn read(&mut self, take: impl FnOnce(&[u8])) -> io::Result<Heard> {
        let outcome = match self.session.read_tls(&mut Socket(&self.socket)) {
            Ok(0) => Heard::End,
            Ok(_) => Heard::Some,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Heard::Enough,
            Err(error) => return Err(error),
        };
        let processed = self.session.process_new_packets();
        // An alert says why.
        let flushed = self.flush();
        let state = processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        flushed?;
        let mut octets = Vec::with_capacity(state.plaintext_bytes_to_read());
        match self.session.reader().read_to_end(&mut octets) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::UnexpectedEof) => {}
            Err(error) => return Err(error),
        }
        if !octets.is_empty() {
            take(&octets);
        }
        if state.peer_has_closed() { Ok(Heard::End) } else { Ok(outcome) }
    }

    /// Sends what is encrypted; whether that was all.
    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Socket(&self.socket)) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Tls(tls) => tls.socket.as_fd(),
        }
    }
}

/// A socket as TLS reads and writes it.
struct Socket<'a>(&'a OwnedFd);

impl Read for Socket<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.0, octets)?)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, octets, SendFlags::NOSIGNAL)?)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut control = SendAncillaryBuffer::default();
        Ok(sendmsg(self.0, pieces, &mut control, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
