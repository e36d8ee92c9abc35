//! A connection to a switch, as tools have it: they ask, and wait for the answer.
//!
//! Messages are kept as octets, since what cannot be read is shown as it came. A version is agreed on when the connection
//! is made, and nothing else is done unasked.

use super::super::client::{Done, Place, warn, words};
use netloom_control::unixctl::vlog::Log;
use netloom_proto::openflow::message::{
    Context, EncodeError, ErrorMessage, Framer, HEADER_LENGTH, Header, Hello, Message, Versions, decode,
    encode, encode_with,
};
use netloom_proto::openflow::{OfError, Version};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Where controllers listen unless they say.
const PORT: u16 = 6653;
/// Octets that are read at once.
const PART: usize = 64 << 10;

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(on),
            Self::Tcp(stream) => stream.set_nonblocking(on),
        }
    }

    fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(part),
            Self::Tcp(stream) => stream.read(part),
        }
    }

    fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.write_all(octets),
            Self::Tcp(stream) => stream.write_all(octets),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// Which socket of a bridge is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// That for tools.
    Management,
    /// That on which one hears what the controllers hear.
    Snoop,
}

/// Numbers of messages go on from connection to connection.
#[derive(Debug, Default)]
pub struct Numbers(u32);

impl Numbers {
    /// The next one.
    pub const fn take(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

/// A connection on which a version was agreed on.
pub struct Connection {
    stream: Stream,
    framer: Framer,
    /// Octets that had no room in the framer yet.
    pending: Vec<u8>,
    /// What was agreed on.
    pub version: Version,
    /// Whether changes of flows name tables in version 1.0.
    pub table_ids: bool,
    /// What the connection is called: `unix:/run/br0.mgmt`.
    pub name: String,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Connects to what is called so: `unix:FILE`, `tcp:HOST[:PORT]`.
fn open(name: &str) -> io::Result<Stream> {
    let unsupported = |number| Err(io::Error::from_raw_os_error(number));
    let (kind, rest) = name.split_once(':').unwrap_or((name, ""));
    match kind {
        "unix" => UnixStream::connect(rest).map(Stream::Unix),
        "tcp" => {
            let (host, port) = host_and_port(rest)?;
            let addresses = (host.as_str(), port).to_socket_addrs()?;
            let mut last = io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
            for address in addresses {
                match TcpStream::connect(address) {
                    Ok(stream) => {
                        // Requests are short, and somebody waits for each answer.
                        let _ = stream.set_nodelay(true);
                        return Ok(Stream::Tcp(stream));
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        "ssl" => unsupported(libc::ENOPROTOOPT),
        _ => unsupported(libc::EAFNOSUPPORT),
    }
}

fn host_and_port(text: &str) -> io::Result<(String, u16)> {
    let wrong = || io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
    let (host, rest) = match text.strip_prefix('[') {
        Some(inside) => inside.split_once(']').ok_or_else(wrong)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match rest.strip_prefix(':') {
        None | Some("") => PORT,
        Some(port) => port.parse().map_err(|_| wrong())?,
    };
    Ok((host.to_owned(), port))
}

/// Opens what the user named: a connection, the file of a socket, or a bridge.
fn find(place: &Place, target: Target, name: &str) -> Done<(Stream, String)> {
    if name.contains(':') {
        let opened = open(name).map_err(|error| format!("connecting to {name} ({})", words(&error)))?;
        return Ok((opened, name.to_owned()));
    }
    let suffix = if target == Target::Management { "mgmt" } else { "snoop" };
    let run = place.run.display();
    // A bridge may be named with the type of its data path before it.
    let bare = name.rsplit('@').next().unwrap_or(name);
    for path in [name.to_owned(), format!("{run}/{name}.{suffix}"), format!("{run}/{bare}.{suffix}")] {
        match UnixStream::connect(Path::new(&path)) {
            Ok(stream) => return Ok((Stream::Unix(stream), format!("unix:{path}"))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{path}: failed to open socket ({})", words(&error)).into()),
        }
    }
    Err(format!("{name} is not a bridge or a socket").into())
}

impl Connection {
    /// Connects, and agrees on one of these versions.
    ///
    /// # Errors
    /// In the words of `ovs-ofctl`.
    pub fn open(
        place: &Place,
        target: Target,
        name: &str,
        versions: Versions,
        numbers: &mut Numbers,
        log: &Log,
    ) -> Done<Self> {
        let (stream, full) = find(place, target, name)?;
        let mut connection = Self {
            stream,
            framer: Framer::default(),
            pending: Vec::new(),
            version: Version::V10,
            table_ids: false,
            name: full,
        };
        let failed = |error: &io::Error| format!("{name}: failed to connect to socket ({})", words(error));
        connection.greet(versions, numbers, log).map_err(|error| failed(&error))?;
        Ok(connection)
    }

    fn greet(&mut self, versions: Versions, numbers: &mut Numbers, log: &Log) -> io::Result<()> {
        let refused = || io::Error::from_raw_os_error(libc::EPROTO);
        let hello = Message::Hello(Hello::of(versions));
        let octets = encode(Version::V10, numbers.take(), &hello).unwrap_or_default();
        self.stream.write_all(&octets)?;
        let octets = self.receive()?;
        let Ok((_, Message::Hello(hello))) = decode(&octets) else {
            let text = netloom_proto::openflow::text::print_message(&octets, &Default::default(), 1);
            let name = &self.name;
            warn(
                log,
                "vconn",
                &format!("{name}: received message while expecting hello: {}", text.trim_end()),
            );
            return Err(refused());
        };
        let theirs = hello.versions();
        if let Some(version) = versions.and(theirs).newest() {
            self.version = version;
            return Ok(());
        }
        let name = &self.name;
        let text =
            format!("{name}: version negotiation failed (we support {versions}, peer supports {theirs})");
        warn(log, "vconn", &text);
        let data = format!("We support {versions}, you support {theirs}, no common versions.").into_bytes();
        let error = ErrorMessage { error: OfError::OFPHFC_INCOMPATIBLE.into(), data };
        let version = theirs.newest().unwrap_or(Version::V10);
        let octets = encode(version, numbers.take(), &Message::Error(error)).unwrap_or_default();
        // The connection is of no use whether or not that is heard.
        let _ = self.stream.write_all(&octets);
        Err(refused())
    }

    /// What changes how messages are written.
    pub const fn context(&self) -> Context<'static> {
        let mut context = Context::new(self.version);
        context.table_ids = self.table_ids;
        context
    }

    /// The octets of a message.
    ///
    /// # Errors
    /// If the version cannot say it.
    pub fn encode(&self, number: u32, message: &Message) -> Result<Vec<u8>, EncodeError> {
        encode_with(self.context(), number, message)
    }

    /// Sends octets of whole messages.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// If nothing more comes, or no whole message.
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(octets) = self.take()? {
                return Ok(octets);
            }
            self.fill()?;
        }
    }

    /// The next message if it is there already.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn try_receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(octets) = self.take()? {
            return Ok(Some(octets));
        }
        self.stream.set_nonblocking(true)?;
        let filled = self.fill();
        self.stream.set_nonblocking(false)?;
        match filled {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
            Ok(()) => self.take(),
        }
    }

    fn take(&mut self) -> io::Result<Option<Vec<u8>>> {
        let wrong = |_| io::Error::from_raw_os_error(libc::EPROTO);
        if let Some(octets) = self.framer.pop().map_err(wrong)? {
            return Ok(Some(octets.to_vec()));
        }
        if self.pending.is_empty() {
            return Ok(None);
        }
        let count = self.framer.push(&self.pending);
        self.pending.drain(..count);
        Ok(self.framer.pop().map_err(wrong)?.map(<[u8]>::to_vec))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut part = vec![0; PART];
        let count = loop {
            match self.stream.read(&mut part) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.pending.extend_from_slice(part.get(..count).unwrap_or_default());
        Ok(())
    }

    /// Waits for the message with this number. Others are passed over, as Open vSwitch's tools do.
    ///
    /// # Errors
    /// As [`Connection::receive`].
    pub fn answer(&mut self, number: u32) -> io::Result<Vec<u8>> {
        loop {
            let octets = self.receive()?;
            if number_of(&octets) == number {
                return Ok(octets);
            }
        }
    }
}

/// The number of a message.
pub fn number_of(octets: &[u8]) -> u32 {
    debug_assert!(octets.len() >= HEADER_LENGTH);
    Header::parse(octets).map_or(0, |header| header.xid)
}
