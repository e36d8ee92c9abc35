//! An AF_XDP port: which way it takes the frames of an interface, and what becomes of it.
//!
//! Ways, best first: the driver works in our memory (zero-copy); the driver runs the program and the kernel copies (copy);
//! the kernel runs the program for a driver that can't (generic). [`Mode::Auto`] tries them in this order and keeps what
//! it heard from those that failed.
//!
//! Invariants: while the port is open the interface has our program; when it is closed, or the process ends in any way,
//! it has none. The socket of each queue is the only one there, so that nobody else takes its frames.

use super::counters::QueueCounters;
use super::program::{Attached, Sockets, Wanted};
use super::receive::{FromInterface, Treatment};
use super::ring::{Consumer, Producer};
use super::send::{PARTS, ToInterface};
use super::socket::{Binding, Socket, Statistics};
use super::umem::{Chunks, Umem};
use crate::device::Device;
pub use crate::device::Presence;
use crate::packet::promiscuous;
use netloom_mem::{FRAME, PortNumber};
use rustix::fd::OwnedFd;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Most queues of a port.
pub const QUEUES: usize = 64;
/// Octets before each frame that the kernel keeps for itself in a chunk (`XDP_PACKET_HEADROOM`).
const HEADROOM: u32 = 256;
/// Octets of a frame beside its packet: the Ethernet header and two VLAN tags.
const HEADER: u32 = 22;
/// Octets of a chunk: the smaller one holds what Ethernet has, the larger one what a page has.
const CHUNKS: [u32; 2] = [2048, 4096];
/// How long a queue is waited for that was in use a moment ago: the kernel lets go of it a little after its socket.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way frames shall take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The best that works.
    #[default]
    Auto,
    /// The driver works in our memory, or the port is refused.
    ZeroCopy,
    /// The driver runs the program, the kernel copies.
    Copy,
    /// The kernel runs the program, for any interface.
    Generic,
}

/// What a port is to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// The interface's name, in the network namespace of the thread that opens the port.
    pub device: String,
    /// The way frames shall take.
    pub mode: Mode,
    /// Queues from the first on, 1 to [`QUEUES`]; all of the interface's without.
    pub queues: Option<usize>,
    /// Entries of each ring, a power of two from 64 to 32,768.
    pub descriptors: u32,
    /// Whether frames may come and go in several chunks. Without, the interface's MTU must fit one.
    pub multi_buffer: bool,
    /// Whether senders may leave checksums open; guessed from the driver without.
    pub open_checksums: Option<bool>,
}

impl Config {
    /// All queues of an interface, in the best way that works.
    pub fn new(device: impl Into<String>) -> Self {
        Self {
            device: device.into(),
            mode: Mode::Auto,
            queues: None,
            descriptors: 2048,
            multi_buffer: true,
            open_checksums: None,
        }
    }
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such interface.
    #[error("there is no interface `{name}` here ({source}); `ip link` lists them")]
    Missing {
        /// The name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// There are not so many queues.
    #[error("{wanted} queues: {device} has {there}, and a port at most {QUEUES}")]
    Queues {
        /// The interface.
        device: String,
        /// What was asked for.
        wanted: usize,
        /// What it has.
        there: usize,
    },
    /// The rings can't have this size.
    #[error("{0} descriptors: a power of two from 64 to 32768")]
    Descriptors(u32),
    /// Frames are too long.
    #[error(
        "{device} has an MTU of {mtu}: frames in one piece allow {most}; set a smaller one, or allow multi-buffer (Linux 6.6)"
    )]
    Mtu {
        /// The interface.
        device: String,
        /// Its MTU.
        mtu: u32,
        /// The largest that fits.
        most: u32,
    },
    /// The program can't be loaded.
    #[error(
        "AF_XDP needs CAP_BPF and CAP_NET_ADMIN in the first user namespace ({0}); type=afpacket needs less"
    )]
    Forbidden(io::Error),
    /// Another program is in the way.
    #[error("{0} has another XDP program; `ip link set {0} xdp off` takes it away")]
    Occupied(String),
    /// VLAN tags would be lost.
    #[error(
        "{device}: {refused}; and in generic mode its VLAN tags would be lost: `ethtool -K {device} rxvlan off`, or mode=generic if there are no VLANs"
    )]
    Tags {
        /// The interface.
        device: String,
        /// What became of the better ways.
        refused: String,
    },
    /// No way works.
    #[error("{device}: {refused}")]
    NoWay {
        /// The interface.
        device: String,
        /// What became of each.
        refused: String,
    },
    /// Memory, descriptors or another of the system's means are short.
    #[error("{doing}: {source}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A queue of each direction, for one worker.
#[derive(Debug)]
pub struct Pair {
    /// Receives what comes in at one queue of the interface.
    pub from_interface: FromInterface,
    /// Sends by the same queue.
    pub to_interface: ToInterface,
    /// What happens at both.
    pub counters: Arc<QueueCounters>,
}

/// The way that a port's frames take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The driver works in our memory.
    ZeroCopy,
    /// The driver runs the program, the kernel copies.
    Copy,
    /// The kernel runs the program and copies.
    Generic,
}

impl Way {
    /// Its name, as [`Mode`] is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
            Self::Generic => "generic",
        }
    }

    const fn driver(self) -> bool {
        !matches!(self, Self::Generic)
    }
}

/// How a port is.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether the interface is there.
    pub presence: Presence,
    /// The way frames take.
    pub way: Way,
    /// Better ways that were tried, and what was said.
    pub refused: Vec<String>,
    /// Queues that are the port's.
    pub queues: usize,
    /// Queues of the interface; what comes in at the others goes to the host.
    pub of: usize,
    /// Octets of a chunk.
    pub chunk: u32,
    /// Whether huge pages back the memory.
    pub huge_pages: bool,
    /// Whether frames may come in several chunks.
    pub multi_buffer: bool,
    /// Whether VLAN tags that are told beside a frame are put back; else they are lost.
    pub tags: bool,
    /// Whether the interface tells tags beside frames.
    pub takes_tags: bool,
    /// Longest frame that is sent, in octets.
    pub longest: u32,
    /// What the kernel counted, over all queues.
    pub statistics: Statistics,
}

/// An open port. Closing it (by dropping it) takes the program off the interface; its queues have nothing to do then.
#[derive(Debug)]
pub struct Port {
    // Dropped in this order: the program goes first, so that no frame comes to a socket that nobody looks at.
    attached: Attached,
    _map: Sockets,
    sockets: Vec<Arc<Socket>>,
    counters: Vec<Arc<QueueCounters>>,
    device: Device,
    of: usize,
    way: Way,
    refused: Vec<String>,
    multi_buffer: bool,
    longest: Arc<AtomicU32>,
    _promiscuous: OwnedFd,
}

/// What the ways have in common.
struct Plan<'a> {
    number: PortNumber,
    config: &'a Config,
    device: &'a Device,
    queues: usize,
    chunk: u32,
    fragments: bool,
}

/// What one way needs.
struct Open {
    attached: Attached,
    map: Sockets,
    sockets: Vec<Arc<Socket>>,
    pairs: Vec<Pair>,
    longest: Arc<AtomicU32>,
}

impl Port {
    /// Opens a port; `number` is the one its frames carry. May wait some seconds for a queue that was just in use.
    ///
    /// # Errors
    /// When the interface, the driver or the system does not allow it; then the interface is as it was.
    pub fn open(number: PortNumber, config: &Config) -> Result<(Self, Vec<Pair>), OpenError> {
        if !config.descriptors.is_power_of_two() || !(64..=32_768).contains(&config.descriptors) {
            return Err(OpenError::Descriptors(config.descriptors));
        }
        let name = &config.device;
        let device =
            Device::find(name).map_err(|source| OpenError::Missing { name: name.clone(), source })?;
        let system = |doing| move |source| OpenError::System { doing, source };
        let mtu = device.mtu().map_err(system("asking for the MTU"))?;
        let there = device.channels().receive as usize;
        let queues = config.queues.unwrap_or(there.min(QUEUES));
        if !(1..=there.min(QUEUES)).contains(&queues) {
            return Err(OpenError::Queues { device: name.clone(), wanted: queues, there });
        }
        let (chunk, fragments) = chunk(mtu, config.multi_buffer).ok_or_else(|| OpenError::Mtu {
            device: name.clone(),
            mtu,
            most: CHUNKS[1] - HEADROOM - HEADER,
        })?;
        // The interface's own address filter is not ours.
        let promiscuous = promiscuous(device.index).map_err(system("listening to all addresses"))?;
        let ways = match config.mode {
            Mode::Auto => &[Way::ZeroCopy, Way::Copy, Way::Generic][..],
            Mode::ZeroCopy => &[Way::ZeroCopy],
            Mode::Copy => &[Way::Copy],
            Mode::Generic => &[Way::Generic],
        };
        let plan = Plan { number, config, device: &device, queues, chunk, fragments };
        let mut refused: Vec<String> = Vec::new();
        for way in ways.iter().copied() {
            if config.mode == Mode::Auto && way == Way::Generic && device.takes_tags() {
                return Err(OpenError::Tags { device: name.clone(), refused: refused.join("; ") });
            }
            let open = match plan.open(way)? {
                Ok(open) => open,
                Err(text) => {
                    refused.push(format!("{}: {text}", way.name()));
                    continue;
                }
            };
            let Open { attached, map, sockets, pairs, longest } = open;
            let port = Self {
                attached,
                _map: map,
                counters: pairs.iter().map(|pair| pair.counters.clone()).collect(),
                sockets,
                device,
                of: there,
                way,
                refused,
                multi_buffer: fragments,
                longest,
                _promiscuous: promiscuous,
            };
            port.measure();
            return Ok((port, pairs));
        }
        Err(OpenError::NoWay { device: name.clone(), refused: refused.join("; ") })
    }

    /// Looks how long frames may be now, and gives how the interface is.
    fn measure(&self) -> Presence {
        let presence = self.device.presence();
        let chunk = self.sockets.first().map_or(0, |socket| socket.umem.chunk());
        let most = if self.multi_buffer { chunk * PARTS } else { chunk }.min(FRAME as u32);
        if let Ok(mtu) = self.device.mtu() {
            // One VLAN tag is beyond the MTU, as the kernel has it.
            self.longest.store(most.min(mtu.saturating_add(18)), Ordering::Relaxed);
        }
        presence
    }

    /// How the port is. Also notices a changed MTU.
    #[must_use]
    pub fn status(&self) -> Status {
        let presence = self.measure();
        let mut statistics = Statistics::default();
        for socket in &self.sockets {
            statistics += socket.statistics();
        }
        let umem = self.sockets.first().map(|socket| &socket.umem);
        Status {
            presence,
            way: self.way,
            refused: self.refused.clone(),
            queues: self.sockets.len(),
            of: self.of,
            chunk: umem.map_or(0, |umem| umem.chunk()),
            huge_pages: umem.is_some_and(|umem| umem.is_huge()),
            multi_buffer: self.multi_buffer,
            tags: self.attached.tags,
            takes_tags: self.device.takes_tags(),
            longest: self.longest.load(Ordering::Relaxed),
            statistics,
        }
    }

    /// Whether the interface is there. Also notices a changed MTU.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.measure()
    }

    /// Counters by queue.
    #[must_use]
    pub fn counters(&self) -> &[Arc<QueueCounters>] {
        &self.counters
    }
}

/// The chunks for frames of an MTU, and whether they need several of them; `None` when they must not and do.
fn chunk(mtu: u32, several: bool) -> Option<(u32, bool)> {
    let fits = |chunk: &&u32| mtu.saturating_add(HEADER) <= **chunk - HEADROOM;
    match CHUNKS.iter().find(fits) {
        Some(chunk) => Some((*chunk, false)),
        None => several.then_some((CHUNKS[1], true)),
    }
}

impl Plan<'_> {
    /// Tries a way; the inner error is why it is refused, the outer one why no other need be tried.
    fn open(&self, way: Way) -> Result<Result<Open, String>, OpenError> {
        let (device, queues) = (self.device, self.queues);
        let map = match Sockets::new(queues as u32) {
            Ok(map) => map,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(OpenError::Forbidden(error));
            }
            Err(source) => return Err(OpenError::System { doing: "making the map of sockets", source }),
        };
        let wanted = Wanted { interface: device.index, driver: way.driver(), fragments: self.fragments };
        let attached = match Attached::new(&map, wanted) {
            Ok(attached) => attached,
            Err(error) => match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => return Err(OpenError::Forbidden(error)),
                Some(libc::EBUSY | libc::EEXIST) => return Err(OpenError::Occupied(device.name.clone())),
                _ => return Ok(Err(format!("the program can't be attached ({error})"))),
            },
        };
        let system = |doing| move |source| OpenError::System { doing, source };
        let size = self.config.descriptors;
        let umem =
            Umem::new(2 * queues * size as usize, self.chunk).map_err(system("mapping memory for frames"))?;
        let umem = Arc::new(umem);
        let longest = Arc::new(AtomicU32::new(0));
        let checksums = self.config.open_checksums.unwrap_or_else(|| device.driver() == "veth");
        let treatment = Treatment { tags: attached.tags, checksums };
        let mut sockets: Vec<Arc<Socket>> = Vec::new();
        let mut pairs = Vec::new();
        for queue in 0..queues as u32 {
            let (socket, rings) =
                Socket::new(umem.clone(), size, queue == 0).map_err(system("making an AF_XDP socket"))?;
            let socket = Arc::new(socket);
            let counters = Arc::new(QueueCounters::default());
            let first = u64::from(2 * queue * size);
            let receive = (Consumer::new(rings.receive), Producer::new(rings.fill));
            let chunks = Chunks::new(first, size, self.chunk);
            // Chunks are in the fill ring before the driver looks for them.
            let from_interface =
                FromInterface::new(socket.clone(), self.number, receive, chunks, treatment, counters.clone());
            let binding = Binding {
                interface: device.index,
                queue,
                zero_copy: way == Way::ZeroCopy,
                fragments: self.fragments,
            };
            if let Err(error) = bind(&socket, binding, sockets.first().map(|first| &**first)) {
                return Ok(Err(format!("queue {queue} can't be bound ({error})")));
            }
            let send = (Producer::new(rings.send), Consumer::new(rings.completion));
            let chunks = Chunks::new(first + u64::from(size), size, self.chunk);
            let zero_copy = socket.is_zero_copy();
            let to_interface =
                ToInterface::new(socket.clone(), send, chunks, longest.clone(), zero_copy, counters.clone());
            pairs.push(Pair { from_interface, to_interface, counters });
            sockets.push(socket);
        }
        for (queue, socket) in sockets.iter().enumerate() {
            map.set(queue as u32, rustix::fd::AsFd::as_fd(&**socket))
                .map_err(system("giving the program its socket"))?;
        }
        Ok(Ok(Open { attached, map, sockets, pairs, longest }))
    }
}

/// Binds a socket; waits for a queue that the kernel is still taking from somebody.
fn bind(socket: &Socket, binding: Binding, first: Option<&Socket>) -> io::Result<()> {
    let began = Instant::now();
    loop {
        match socket.bind(binding, first) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_fit_frames() {
        assert_eq!(chunk(1500, false), Some((2048, false)));
        assert_eq!(chunk(1770, false), Some((2048, false)));
        assert_eq!(chunk(1771, true), Some((4096, false)));
        assert_eq!(chunk(3818, false), Some((4096, false)));
        assert_eq!(chunk(3819, false), None);
        assert_eq!(chunk(9000, true), Some((4096, true)));
        assert_eq!(chunk(u32::MAX, false), None);
    }

    #[test]
    fn what_can_not_be_is_refused_before_anything_is_done() {
        let config = Config { descriptors: 1000, ..Config::new("lo") };
        assert!(matches!(Port::open(1, &config), Err(OpenError::Descriptors(1000))));
        for name in ["", "no-such-thing", "a name that is far too long", "a\0b"] {
            assert!(matches!(Port::open(1, &Config::new(name)), Err(OpenError::Missing { .. })), "{name}");
        }
    }
}
