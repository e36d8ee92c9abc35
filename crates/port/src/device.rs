//! An existing interface of this host: what a driver wants to know of it before it uses it.
//!
//! What: asked by the classic `ioctl`s on a socket that stays in the network namespace in which it was made, so that the
//! answers stay those of that namespace. Not by `/sys`, which may be that of another one.

use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::io;

// linux/sockios.h, linux/ethtool.h
const SIOCGIFNAME: u64 = 0x8910;
const SIOCGIFFLAGS: u64 = 0x8913;
const SIOCGIFMTU: u64 = 0x8921;
const SIOCSIFMTU: u64 = 0x8922;
const SIOCSIFHWADDR: u64 = 0x8924;
const SIOCGIFHWADDR: u64 = 0x8927;
const SIOCGIFINDEX: u64 = 0x8933;
const SIOCETHTOOL: u64 = 0x8946;
const GET_DRIVER: u32 = 3;
const GET_FLAGS: u32 = 0x25;
const GET_CHANNELS: u32 = 0x3c;
/// The device takes VLAN tags off what comes in (`ETH_FLAG_RXVLAN`).
const FLAG_TAKES_TAGS: u32 = 1 << 8;

/// `struct ifreq`: a name, and 24 octets of which each request uses some.
#[repr(C, align(8))]
struct Request {
    name: [u8; 16],
    rest: [u8; 24],
}

/// Whether an interface is there, and carries frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is up and has a carrier.
    Up,
    /// It is down, or its other end is.
    Down,
    /// Somebody removed it, or moved it to another namespace.
    Gone,
}

/// An interface.
#[derive(Debug)]
pub(crate) struct Device {
    socket: OwnedFd,
    pub(crate) name: String,
    pub(crate) index: u32,
}

/// Queues of an interface (`struct ethtool_channels`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) receive: u32,
    pub(crate) send: u32,
}

impl Device {
    /// The interface of this name, in this thread's network namespace.
    pub(crate) fn find(name: &str) -> io::Result<Self> {
        if name.is_empty() || name.len() > 15 || name.contains('\0') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: no memory is involved.
        #[allow(unsafe_code)]
        let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and is nobody else's.
        #[allow(unsafe_code)]
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        let mut device = Self { socket, name: name.to_owned(), index: 0 };
        device.index = device.number(SIOCGIFINDEX)?;
        Ok(device)
    }

    fn request(&self) -> Request {
        let mut request = Request { name: [0; 16], rest: [0; 24] };
        for (place, octet) in request.name.iter_mut().zip(self.name.bytes()) {
            *place = octet;
        }
        request
    }

    fn ask(&self, code: u64, request: &mut Request) -> io::Result<()> {
        // SAFETY: the request is a `struct ifreq` of 40 octets, which the kernel reads and writes during the call; what
        // `SIOCETHTOOL` finds a pointer to in it lives as long (see `ethtool`).
        #[allow(unsafe_code)]
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), code as _, std::ptr::from_mut(request)) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// What a request answers with one number.
    fn number(&self, code: u64) -> io::Result<u32> {
        let mut request = self.request();
        self.ask(code, &mut request)?;
        let [a, b, c, d, ..] = request.rest;
        Ok(u32::from_ne_bytes([a, b, c, d]))
    }

    /// Asks the driver; the first of the words is the question.
    fn ethtool<const WORDS: usize>(&self, words: &mut [u32; WORDS]) -> io::Result<()> {
        let mut request = self.request();
        let pointer = std::ptr::from_mut(words) as usize;
        request.rest[..size_of::<usize>()].copy_from_slice(&pointer.to_ne_bytes());
        self.ask(SIOCETHTOOL, &mut request)
    }

    /// Longest packet, in octets without the Ethernet header.
    pub(crate) fn mtu(&self) -> io::Result<u32> {
        self.number(SIOCGIFMTU)
    }

    /// Its queues; one of each when the driver does not say.
    pub(crate) fn channels(&self) -> Channels {
        // `struct ethtool_channels`: nine numbers; receive, send and both of them stand at 5, 6 and 8.
        let mut words = [0; 9];
        words[0] = GET_CHANNELS;
        if self.ethtool(&mut words).is_err() {
            return Channels { receive: 1, send: 1 };
        }
        let [.., receive, send, _, both] = words;
        Channels { receive: (receive + both).max(1), send: (send + both).max(1) }
    }

    /// The driver's name; empty when it has none.
    pub(crate) fn driver(&self) -> String {
        // `struct ethtool_drvinfo`: the question, then the name in 32 octets, then 160 others.
        let mut words = [0; 49];
        words[0] = GET_DRIVER;
        if self.ethtool(&mut words).is_err() {
            return String::new();
        }
        let name: Vec<u8> = words[1..9].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let name = name.split(|octet| *octet == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    /// Whether VLAN tags of frames that come in are told beside them.
    pub(crate) fn takes_tags(&self) -> bool {
        let mut words = [GET_FLAGS, 0];
        self.ethtool(&mut words).is_ok() && words[1] & FLAG_TAKES_TAGS != 0
    }

    /// A request about the interface as it is called now: its name may have changed.
    fn current(&self) -> io::Result<Request> {
        let mut request = Request { name: [0; 16], rest: [0; 24] };
        request.rest[..4].copy_from_slice(&self.index.to_ne_bytes());
        self.ask(SIOCGIFNAME, &mut request)?;
        request.rest = [0; 24];
        Ok(request)
    }

    fn flags(&self) -> io::Result<i32> {
        let mut request = self.current()?;
        self.ask(SIOCGIFFLAGS, &mut request)?;
        Ok(i32::from(u16::from_ne_bytes([request.rest[0], request.rest[1]])))
    }

    /// How it is now.
    pub(crate) fn presence(&self) -> Presence {
        let wanted = libc::IFF_UP | libc::IFF_RUNNING;
        match self.flags() {
            Ok(flags) if flags & wanted == wanted => Presence::Up,
            Ok(_) => Presence::Down,
            Err(_) => Presence::Gone,
        }
    }

    fn facts(&self) -> io::Result<Facts> {
        let mut request = self.current()?;
        self.ask(SIOCGIFMTU, &mut request)?;
        let [a, b, c, d, ..] = request.rest;
        let mtu = u32::from_ne_bytes([a, b, c, d]);
        let mut request = self.current()?;
        self.ask(SIOCGIFHWADDR, &mut request)?;
        // `struct sockaddr`: the family, then the address.
        let [_, _, a, b, c, d, e, f, ..] = request.rest;
        let enabled = self.flags()? & libc::IFF_UP != 0;
        Ok(Facts { mtu, address: [a, b, c, d, e, f], index: self.index, enabled })
    }

    fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        let mut request = self.current()?;
        request.rest[..4].copy_from_slice(&mtu.to_ne_bytes());
        self.ask(SIOCSIFMTU, &mut request)
    }

    fn set_address(&self, address: [u8; 6]) -> io::Result<()> {
        let mut request = self.current()?;
        request.rest[..2].copy_from_slice(&libc::ARPHRD_ETHER.to_ne_bytes());
        request.rest[2..8].copy_from_slice(&address);
        self.ask(SIOCSIFHWADDR, &mut request)
    }
}

/// What is known of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Longest packet, in octets without the Ethernet header.
    pub mtu: u32,
    /// Its Ethernet address.
    pub address: [u8; 6],
    /// Its number on this host.
    pub index: u32,
    /// Somebody wants it to be up.
    pub enabled: bool,
}

/// An interface whose state is asked for now and then.
#[derive(Debug)]
pub struct Carrier(Device);

impl Carrier {
    /// The interface of this name, in this thread's network namespace. It is followed when it is renamed.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(name: &str) -> io::Result<Self> {
        Device::find(name).map(Self)
    }

    /// How it is now.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.0.presence()
    }

    /// What is known of it now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn facts(&self) -> io::Result<Facts> {
        self.0.facts()
    }

    /// Sets the length of its longest packet.
    ///
    /// # Errors
    /// When its driver refuses, or the right to do that (`CAP_NET_ADMIN`) is missing.
    pub fn set_mtu(&self, mtu: u32) -> io::Result<()> {
        self.0.set_mtu(mtu)
    }

    /// Gives it another Ethernet address.
    ///
    /// # Errors
    /// As [`Carrier::set_mtu`].
    pub fn set_address(&self, address: [u8; 6]) -> io::Result<()> {
        self.0.set_address(address)
    }
}
