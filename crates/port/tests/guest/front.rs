//! The front end: what a virtual machine monitor says over the socket.

use super::driver::{Buffer, CELL, Layout, Ring};
use super::{GUEST, Memory, USER};
use netloom_port::vhost::{Config, Mode, Pair, Port};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub const MRG_RXBUF: u64 = 1 << 15;
pub const MQ: u64 = 1 << 22;
pub const LOG_ALL: u64 = 1 << 26;
pub const EVENT_IDX: u64 = 1 << 29;
pub const INDIRECT_DESC: u64 = 1 << 28;
pub const PROTOCOL: u64 = 1 << 30;
pub const VERSION_1: u64 = 1 << 32;
pub const PACKED: u64 = 1 << 34;
/// All offloads of both directions, without ECN.
pub const OFFLOADS: u64 = 1 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 12 | 1 << 54 | 1 << 55 | 1 << 56;

pub const P_MQ: u64 = 1;
pub const P_LOG: u64 = 1 << 1;
pub const P_ACK: u64 = 1 << 3;
pub const P_INFLIGHT: u64 = 1 << 12;
pub const P_SLOTS: u64 = 1 << 15;

/// A socket's path that goes with its folder.
pub struct Place {
    folder: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("netloom-port-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("vhost.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits until something is so, for at most ten seconds.
pub fn wait(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !so() {
        assert!(Instant::now() < until, "in vain for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A connection to a port.
pub struct Front {
    pub socket: UnixStream,
}

impl Front {
    /// Connects to a port that listens.
    pub fn connect(path: &PathBuf) -> Self {
        let mut socket = None;
        wait("the port listens", || {
            socket = UnixStream::connect(path).ok();
            socket.is_some()
        });
        Self { socket: socket.unwrap() }
    }

    /// Waits for a port that connects.
    pub fn accept(listener: &UnixListener) -> Self {
        Self { socket: listener.accept().unwrap().0 }
    }

    pub fn send(&self, number: u32, flags: u32, body: &[u8], files: &[&OwnedFd]) {
        let mut octets = Vec::new();
        for word in [number, 1 | flags, body.len() as u32] {
            octets.extend(word.to_ne_bytes());
        }
        octets.extend(body);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        }
        let _ = sendmsg(&self.socket, &[IoSlice::new(&octets)], &mut control, SendFlags::NOSIGNAL);
    }

    /// The answer to a message, and its file; `None` when the port hung up.
    pub fn answer(&self, number: u32) -> Option<(Vec<u8>, Option<OwnedFd>)> {
        let mut octets = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = rustix::io::retry_on_intr(|| {
            recvmsg(&self.socket, &mut [IoSliceMut::new(&mut octets)], &mut control, RecvFlags::CMSG_CLOEXEC)
        })
        .ok()?;
        if got.bytes < 12 {
            return None;
        }
        let word = |at: usize| u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(4), word(8) as usize), (number, 5, got.bytes - 12));
        let mut file = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut files) = message {
                file = files.next();
            }
        }
        Some((octets[12..got.bytes].to_vec(), file))
    }

    /// Asks for a number.
    pub fn ask(&self, number: u32) -> u64 {
        self.send(number, 0, &[], &[]);
        u64::from_ne_bytes(self.answer(number).unwrap().0.try_into().unwrap())
    }

    /// Says something and waits for the acknowledgement; true when it was accepted.
    pub fn tell(&self, number: u32, body: &[u8], files: &[&OwnedFd]) -> bool {
        self.send(number, 8, body, files);
        self.answer(number).is_some_and(|(body, _)| body == [0; 8])
    }

    /// The same with two 32-bit numbers.
    pub fn tell_two(&self, number: u32, first: u32, second: u32) -> bool {
        self.tell(number, &[first.to_ne_bytes(), second.to_ne_bytes()].concat(), &[])
    }

    pub fn tell_number(&self, number: u32, value: u64, files: &[&OwnedFd]) -> bool {
        self.tell(number, &value.to_ne_bytes(), files)
    }

    /// Agrees on features; the port must offer them.
    pub fn negotiate(&self, features: u64, protocol: u64) {
        let offered = self.ask(1);
        assert_eq!(features & !offered, 0, "the port offers {offered:#x}");
        let offered = self.ask(15);
        assert_eq!(protocol & !offered, 0, "the port offers {offered:#x} of the protocol");
        self.send(16, 0, &(protocol | P_ACK).to_ne_bytes(), &[]);
        assert!(self.tell(3, &[], &[]));
        assert!(self.tell_number(2, features, &[]));
    }

    /// Hands over memory: regions of one file, as (guest address, file offset, octets).
    pub fn memory(&self, memory: &Memory, regions: &[(u64, usize, usize)]) -> bool {
        let mut body = (regions.len() as u64).to_ne_bytes().to_vec();
        for (guest, offset, size) in regions {
            for value in [*guest, *size as u64, USER + *offset as u64, *offset as u64] {
                body.extend(value.to_ne_bytes());
            }
        }
        self.tell(5, &body, &vec![&memory.file; regions.len()])
    }

    pub fn addresses(&self, index: u32, layout: &Layout, flags: u32, log: u64) -> bool {
        let mut body = [index.to_ne_bytes(), flags.to_ne_bytes()].concat();
        for offset in [layout.descriptors, layout.device, layout.driver] {
            body.extend((USER + offset as u64).to_ne_bytes());
        }
        body.extend(log.to_ne_bytes());
        self.tell(9, &body, &[])
    }

    /// Starts and enables a ring.
    pub fn start(&self, index: u32, layout: &Layout, base: u32, kick: &OwnedFd, call: &OwnedFd) {
        assert!(self.tell_two(8, index, u32::from(layout.size)));
        assert!(self.tell_two(10, index, base));
        assert!(self.addresses(index, layout, 0, 0));
        assert!(self.tell_number(13, index.into(), &[call]));
        assert!(self.tell_number(12, index.into(), &[kick]));
        assert!(self.tell_two(18, index, 1));
    }

    /// Stops a ring and gives where it was.
    pub fn stop(&self, index: u32) -> u32 {
        self.send(11, 0, &[index.to_ne_bytes(), [0; 4]].concat(), &[]);
        let (body, _) = self.answer(11).unwrap();
        assert_eq!(body[..4], index.to_ne_bytes());
        u32::from_ne_bytes(body[4..].try_into().unwrap())
    }
}

/// What a guest agrees to.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub features: u64,
    pub protocol: u64,
    pub pairs: usize,
    pub size: u16,
}

impl Options {
    pub const fn plain() -> Self {
        Self { features: VERSION_1 | MRG_RXBUF | PROTOCOL, protocol: P_MQ, pairs: 1, size: 64 }
    }

    /// Octets of the header before each frame.
    pub const fn header(&self) -> usize {
        if self.features & (VERSION_1 | MRG_RXBUF) == 0 { 10 } else { 12 }
    }
}

/// A guest with its port, connected and running.
pub struct Guest {
    pub options: Options,
    pub memory: Memory,
    pub rings: Vec<Ring>,
    pub kicks: Vec<OwnedFd>,
    pub calls: Vec<OwnedFd>,
    pub front: Front,
    pub port: Port,
    pub pairs: Vec<Pair>,
    pub place: Place,
}

pub fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

/// How often an event was signalled since the last look.
pub fn signalled(event: &OwnedFd) -> u64 {
    let mut count = [0; 8];
    rustix::io::read(event, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
}

impl Guest {
    /// Octets of memory, and where each ring of a guest lies.
    pub fn layouts(options: &Options) -> (usize, Vec<Layout>) {
        let cells = usize::from(options.size) * 4;
        let mut layouts = Vec::new();
        let mut start = 0;
        for _ in 0..2 * options.pairs {
            let layout = Layout::new(start, options.size, cells);
            start = layout.end;
            layouts.push(layout);
        }
        (start, layouts)
    }

    pub fn new(options: Options) -> Self {
        let place = Place::new();
        let config = Config { pairs: options.pairs, ..Config::new(place.socket(), Mode::Server) };
        let (port, pairs) = Port::open(7, config).unwrap();
        let front = Front::connect(&place.socket());
        let (size, layouts) = Self::layouts(&options);
        let memory = Memory::new(size);
        let packed = options.features & PACKED != 0;
        let rings: Vec<_> = layouts.iter().map(|layout| Ring::new(*layout, packed)).collect();
        let kicks = (0..rings.len()).map(|_| event()).collect();
        let calls = (0..rings.len()).map(|_| event()).collect();
        let guest = Self { options, memory, rings, kicks, calls, front, port, pairs, place };
        guest.set_up();
        guest
    }

    /// Negotiates and starts all rings where their driver is.
    pub fn set_up(&self) {
        self.front.negotiate(self.options.features, self.options.protocol);
        // Two regions that meet inside the cells of the first ring: buffers lie across them.
        let cut = self.rings[0].layout.cells + 5 * CELL + 100;
        let cut = cut & !4095;
        assert!(
            self.front
                .memory(&self.memory, &[(GUEST, 0, cut), (GUEST + cut as u64, cut, self.memory.size - cut)])
        );
        for (index, ring) in self.rings.iter().enumerate() {
            let base = if ring.packed { 0x8000_8000 } else { 0 };
            self.front.start(index as u32, &ring.layout, base, &self.kicks[index], &self.calls[index]);
        }
    }

    /// Sends a frame from the guest, with a header, cut into buffers; false without room.
    pub fn transmit(&mut self, pair: usize, header: &[u8], frame: &[u8], cut: usize, indirect: bool) -> bool {
        let mut octets = header.to_vec();
        octets.resize(self.options.header(), 0);
        octets.extend(frame);
        let buffers: Vec<_> = octets.chunks(cut).map(|chunk| Buffer::Out(chunk.to_vec())).collect();
        self.rings[2 * pair + 1].add(&self.memory, &buffers, indirect)
    }

    /// Gives a receive buffer of several parts.
    pub fn give(&mut self, pair: usize, parts: &[usize], indirect: bool) -> bool {
        let buffers: Vec<_> = parts.iter().map(|length| Buffer::In(*length)).collect();
        self.rings[2 * pair].add(&self.memory, &buffers, indirect)
    }

    /// Takes back transmitted chains, and gives how many.
    pub fn reclaim(&mut self, pair: usize) -> usize {
        std::iter::from_fn(|| self.rings[2 * pair + 1].take(&self.memory)).count()
    }

    /// The next received frame: its header and octets.
    pub fn received(&mut self, pair: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let ring = &mut self.rings[2 * pair];
        let mut octets = ring.take(&self.memory)?;
        let header = self.options.header();
        let buffers = if header == 12 { u16::from_le_bytes([octets[10], octets[11]]) } else { 1 };
        assert!(buffers > 0 && (buffers == 1 || self.options.features & MRG_RXBUF != 0));
        for _ in 1..buffers {
            octets.extend(ring.take(&self.memory).expect("all buffers of a frame come together"));
        }
        let frame = octets.split_off(header);
        Some((octets, frame))
    }
}
