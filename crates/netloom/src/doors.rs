//! The drivers that this program has, by the `type` of a port.

#[cfg(feature = "dpdk")]
mod dpdk;
mod dummy;
mod holding;
mod interface;

pub use dummy::Dummies;
use holding::Held;
use netloom_control::switch::{Doors, DummyPort, GONE, OpenPort, Options, Passed};
use netloom_mem::{ReceiveQueue, SendQueue};
use netloom_port::patch::{Mailbox, PatchReceive, PatchSend};
use netloom_port::vhost::{Config, Mode, Port};
use netloom_port::{Carrier, Presence, packet, pcap, tap};
use netloom_wire::MacAddr;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// What a port tells about itself; nothing when it is closed.
type Told = Box<dyn Fn() -> Option<BTreeMap<String, String>> + Send>;

/// Changes an open port's interface.
enum Change {
    Interface(Weak<Carrier>),
    Dummy(Weak<netloom_port::dummy::Dummy>),
}

/// All drivers.
#[derive(Default)]
pub struct Drivers {
    /// Ports that have more to tell than their state, by number.
    told: BTreeMap<u32, Told>,
    /// When there are so many, those that are closed are let go.
    told_limit: usize,
    /// How many threads send.
    workers: usize,
    /// Ports whose interface can be changed, by number.
    changed: BTreeMap<u32, Change>,
    /// What waits for the ports that lead to other switches, by their names. Those that are gone are let go.
    mailboxes: BTreeMap<String, Weak<Mailbox>>,
    /// What another process can go on with, by number. Those that are closed are let go.
    held: BTreeMap<u32, Held>,
    /// Ports without anything behind them.
    dummies: dummy::Open,
}

impl std::fmt::Debug for Drivers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drivers").finish_non_exhaustive()
    }
}

/// The types of ports, for messages.
const TYPES: &str = if cfg!(feature = "dpdk") {
    "vhost-user, tap, afxdp, afpacket, patch, dpdk, pcap"
} else {
    "vhost-user, tap, afxdp, afpacket, patch, pcap"
};

impl Drivers {
    /// Drivers that hold nothing yet, for so many workers.
    ///
    /// # Errors
    /// When the system lacks what they share.
    pub fn new(workers: usize) -> std::io::Result<Self> {
        Ok(Self { workers, ..Self::default() })
    }

    /// Has some types of ports have nothing behind them, for tests.
    #[must_use]
    pub fn with_dummies(mut self, which: Dummies) -> Self {
        self.dummies.which = which;
        self
    }

    /// Has a port tell what is known of its interface, and be changed with it.
    fn follow_interface(&mut self, number: u32, carrier: Option<&Arc<Carrier>>) {
        let Some(carrier) = carrier else { return };
        let weak = Arc::downgrade(carrier);
        self.changed.insert(number, Change::Interface(weak.clone()));
        self.tell(number, move || {
            let facts = weak.upgrade()?.facts().ok()?;
            let word = if facts.enabled { "up" } else { "down" };
            Some(BTreeMap::from([
                ("admin".to_owned(), word.to_owned()),
                ("ifindex".to_owned(), facts.index.to_string()),
                ("mac".to_owned(), MacAddr::new(facts.address).to_string()),
                ("mtu".to_owned(), facts.mtu.to_string()),
            ]))
        });
    }

    /// Has a port tell about itself as long as it is open.
    fn tell(&mut self, number: u32, told: impl Fn() -> Option<BTreeMap<String, String>> + Send + 'static) {
        // Each is asked, which costs system calls: not for every port that is opened.
        if self.told.len() > self.told_limit {
            self.told.retain(|_, told| told().is_some());
            self.told_limit = 2 * self.told.len() + 16;
        }
        self.told.insert(number, Box::new(told));
    }

    /// The mailbox of a port of this name, whether it is open or not.
    fn mailbox(&mut self, name: &str) -> Result<Arc<Mailbox>, String> {
        self.mailboxes.retain(|_, mailbox| mailbox.strong_count() > 0);
        if let Some(known) = self.mailboxes.get(name).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let mailbox = Mailbox::new().map_err(|error| format!("no descriptor is left: {error}"))?;
        self.mailboxes.insert(name.to_owned(), Arc::downgrade(&mailbox));
        Ok(mailbox)
    }

    fn patch(
        &mut self,
        number: u32,
        name: &str,
        mut given: Given<'_>,
        passed: Option<Passed>,
    ) -> Result<OpenPort, String> {
        let peer = given.get("peer").ok_or("`peer` is missing: the port of the other switch")?;
        // Which interface of a topology that stands for.
        given.get("to");
        given.end()?;
        if peer == name {
            return Err("a port can't be its own `peer`".to_owned());
        }
        let (own, other) = (self.mailbox(name)?, self.mailbox(peer)?);
        self.hold(number, Held::Patch(Arc::downgrade(&own)));
        let (beyond, peer) = (other.clone(), peer.to_owned());
        let sender = |to: &Arc<Mailbox>| -> Box<dyn SendQueue> { Box::new(PatchSend::new(to.clone())) };
        let state = move || match beyond.is_open() {
            true => "up".to_owned(),
            false => format!("waiting for port {peer}"),
        };
        let receive = PatchReceive::new(own.clone(), number);
        if let Some(passed) = passed {
            own.restore(&holding::octets(passed)?);
        }
        Ok(OpenPort {
            receive: vec![Box::new(receive)],
            send: (0..self.workers.max(1)).map(|_| sender(&other)).collect(),
            state: Box::new(state),
            keep: Box::new(()),
        })
    }
}

/// Options that are taken out one by one; what is left over is unknown.
struct Given<'a> {
    options: &'a Options,
    known: Vec<&'static str>,
}

impl<'a> Given<'a> {
    fn get(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        self.options.get(name).map(String::as_str)
    }

    fn number(&mut self, name: &'static str, otherwise: usize, most: usize) -> Result<usize, String> {
        match self.get(name).map(str::parse) {
            None => Ok(otherwise),
            Some(Ok(number)) if (1..=most).contains(&number) => Ok(number),
            Some(_) => Err(format!("`{name}` is a number from 1 to {most}")),
        }
    }

    fn end(&self) -> Result<(), String> {
        match self.options.keys().find(|name| !self.known.contains(&name.as_str())) {
            Some(unknown) => {
                Err(format!("there is no option `{unknown}`; there are {}", self.known.join(", ")))
            }
            None => Ok(()),
        }
    }
}

impl Doors for Drivers {
    fn open(&mut self, number: u32, name: &str, options: &Options) -> Result<OpenPort, String> {
        self.open_with(number, name, options, None)
    }

    fn pass(&mut self, number: u32) -> Result<Option<Passed>, String> {
        self.held.get(&number).map_or(Ok(None), Held::pass)
    }

    fn adopt(
        &mut self,
        number: u32,
        name: &str,
        options: &Options,
        passed: Passed,
    ) -> Result<OpenPort, String> {
        self.open_with(number, name, options, Some(passed))
    }

    fn go_on(&mut self, number: u32, anew: bool) {
        if let Some(held) = self.held.get(&number) {
            held.go_on(anew);
        }
    }

    fn dummies(&self) -> BTreeMap<String, Arc<dyn DummyPort>> {
        self.dummies.ports()
    }

    fn set_mtu(&mut self, number: u32, mtu: u32) -> Result<(), String> {
        match self.changed.get(&number) {
            Some(Change::Interface(carrier)) => carrier
                .upgrade()
                .map_or(Ok(()), |carrier| carrier.set_mtu(mtu))
                .map_err(|error| error.to_string()),
            Some(Change::Dummy(dummy)) => {
                dummy.upgrade().iter().for_each(|dummy| dummy.set_mtu(mtu));
                Ok(())
            }
            None => Err("ports of this type have a length of their own".to_owned()),
        }
    }

    fn set_address(&mut self, number: u32, address: MacAddr) -> Result<(), String> {
        match self.changed.get(&number) {
            Some(Change::Interface(carrier)) => carrier
                .upgrade()
                .map_or(Ok(()), |carrier| carrier.set_address(address.octets()))
                .map_err(|error| error.to_string()),
            Some(Change::Dummy(_)) => {
                self.dummies.set_address(number, address.octets());
                Ok(())
            }
            None => Err("ports of this type have an address of their own".to_owned()),
        }
    }

    fn details(&self, number: u32) -> BTreeMap<String, String> {
        self.told.get(&number).and_then(|told| told()).unwrap_or_default()
    }
}

impl Drivers {
    /// Opens a port anew, or with what another process passed on.
    fn open_with(
        &mut self,
        number: u32,
        name: &str,
        options: &Options,
        passed: Option<Passed>,
    ) -> Result<OpenPort, String> {
        self.held.remove(&number);
        self.changed.remove(&number);
        let mut given = Given { options, known: Vec::new() };
        // Whose the port is: for whoever reads the list.
        for name in ["topology", "node", "link"] {
            given.get(name);
        }
        match given.get("type") {
            Some(kind) if self.dummies.has(kind) => dummy::open(self, number, name, &mut given),
            Some("vhost-user") => vhost(self, number, given, passed),
            Some("tap" | "internal") => tap(self, number, name, given, passed),
            Some("afxdp") => interface::afxdp(self, number, given),
            Some("afpacket" | "system") => packet(self, number, name, given, passed),
            #[cfg(feature = "dpdk")]
            Some("dpdk") => dpdk::open(self, number, given),
            #[cfg(not(feature = "dpdk"))]
            Some("dpdk") => {
                Err("this program was built without DPDK: build it with `--features dpdk` where libdpdk \
                                 is installed, or use type=afxdp"
                    .to_owned())
            }
            Some("patch") => self.patch(number, name, given, passed),
            Some("pcap") => pcap(self, number, given, passed),
            Some(other) => Err(format!("there is no type `{other}`; there are {TYPES}")),
            None => Err(format!("`type` is missing; there are {TYPES}")),
        }
    }

    /// Remembers how another process can go on with a port.
    fn hold(&mut self, number: u32, held: Held) {
        self.held.insert(number, held);
    }
}

fn vhost(
    drivers: &mut Drivers,
    number: u32,
    mut given: Given<'_>,
    passed: Option<Passed>,
) -> Result<OpenPort, String> {
    let path = given.get("path").ok_or("`path` is missing: the socket's file")?;
    let mode = match given.get("mode") {
        None | Some("client") => Mode::Client,
        Some("server") => Mode::Server,
        Some(other) => return Err(format!("`mode={other}`: client or server")),
    };
    let (offloads, packed) = (given.truth("offloads", true)?, given.truth("packed", true)?);
    let pairs = given.number("queues", 1, 64)?;
    let id = |name: &'static str, given: &mut Given<'_>| match given.get(name).map(str::parse::<u32>) {
        None => Ok(None),
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(_)) => Err(format!("`{name}` is a number, like `id` shows it")),
    };
    let (user, group) = (id("user", &mut given)?, id("group", &mut given)?);
    given.end()?;
    // Who may connect may write; a group has no part in it unless one is named.
    let permissions = if group.is_some() { 0o660 } else { 0o600 };
    let config = Config { pairs, offloads, packed, permissions, ..Config::new(path, mode) };
    let is_new = passed.is_none();
    let opened = match passed {
        Some(passed) => Port::adopt(number, config, holding::vhost(passed)?),
        None => Port::open(number, config),
    };
    let (port, pairs) = opened.map_err(|error| error.to_string())?;
    if is_new && mode == Mode::Server && (user.is_some() || group.is_some()) {
        std::os::unix::fs::chown(path, user, group)
            .map_err(|error| format!("{path} can't be given to another user or group: {error}"))?;
    }
    let mut receive: Vec<Box<dyn ReceiveQueue>> = Vec::new();
    let mut send: Vec<Box<dyn SendQueue>> = Vec::new();
    for pair in pairs {
        receive.push(Box::new(pair.from_guest));
        send.push(Box::new(pair.to_guest));
    }
    let port = Arc::new(port);
    drivers.hold(number, Held::Vhost(Arc::downgrade(&port)));
    let status = port.clone();
    let state = move || {
        let status = status.status();
        match status.fault {
            _ if status.connected && status.rings.iter().any(|ring| *ring) => "up".to_owned(),
            Some(fault) => fault,
            None if status.connected => "the guest has not set up its queues".to_owned(),
            None => "waiting for the other side".to_owned(),
        }
    };
    Ok(OpenPort { receive, send, state: Box::new(state), keep: Box::new(port) })
}

fn tap(
    drivers: &mut Drivers,
    number: u32,
    name: &str,
    mut given: Given<'_>,
    passed: Option<Passed>,
) -> Result<OpenPort, String> {
    let device = given.get("dev").unwrap_or(name);
    let namespace = given.get("netns").map(Namespace::open).transpose()?;
    let queues = given.number("queues", 1, 64)?;
    // Whether it is made if it is not there.
    let create = given.truth("create", true)?;
    given.end()?;
    let senders = drivers.workers;
    let job = || {
        if !create && passed.is_none() {
            Carrier::of(device)?;
        }
        let tap = match passed {
            Some(mut passed) => {
                let (name, offloads) = holding::facts(&mut passed).map_err(std::io::Error::other)?;
                tap::adopt_tap(number, name, passed.files, offloads, senders)?
            }
            None => tap::open_tap(number, device, queues, senders)?,
        };
        let carrier = Carrier::of(&tap.name).ok();
        std::io::Result::Ok((tap, carrier))
    };
    let opened = match &namespace {
        Some(namespace) => namespace.run(job)?,
        None => job(),
    };
    let (tap, carrier) = opened.map_err(|error| {
        format!("the TAP interface {device}: {error} (it needs /dev/net/tun and CAP_NET_ADMIN)")
    })?;
    let tap::Tap { name, receive, send, presence, offloads, descriptors } = tap;
    let carrier = carrier.map(Arc::new);
    drivers.follow_interface(number, carrier.as_ref());
    let queues = descriptors.iter().map(Arc::downgrade).collect();
    drivers.hold(number, Held::Tap(name.clone(), offloads, queues));
    let state: Box<dyn Fn() -> String + Send + Sync> = Box::new(move || match &namespace {
        _ if !presence.holds() => format!("{GONE}: somebody removed {name}"),
        Some(namespace) if !namespace.is_there() => {
            format!("{GONE}: {name} is in no named namespace any more")
        }
        _ => match carrier.as_deref().map(Carrier::presence) {
            Some(Presence::Down) => format!("{name} is down"),
            // It may live in another namespace now, where this program does not see it.
            _ => "up".to_owned(),
        },
    });
    Ok(OpenPort { receive, send, state, keep: Box::new(()) })
}

/// A named network namespace.
struct Namespace {
    path: PathBuf,
    file: File,
}

impl Namespace {
    fn open(path: &str) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| format!("the namespace {path}: {error}"))?;
        Ok(Self { path: path.into(), file })
    }

    /// Runs `body` inside, in a thread of its own.
    fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, String> {
        let inside = || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(self.file.as_fd(), kind).map(|()| body())
        };
        let joined = std::thread::scope(|scope| scope.spawn(inside).join());
        match joined {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                Err(format!("can't enter {}: {}", self.path.display(), std::io::Error::from(error)))
            }
            Err(_) => Err(format!("the thread inside {} panicked", self.path.display())),
        }
    }

    /// Whether its name still means it.
    fn is_there(&self) -> bool {
        let identity = |data: Metadata| (data.dev(), data.ino());
        let (now, then) = (std::fs::metadata(&self.path).map(identity), self.file.metadata().map(identity));
        matches!((now, then), (Ok(now), Ok(then)) if now == then)
    }
}

fn pcap(
    drivers: &mut Drivers,
    number: u32,
    mut given: Given<'_>,
    mut passed: Option<Passed>,
) -> Result<OpenPort, String> {
    let (record, replay, paced) =
        (given.get("record"), given.get("replay"), given.get("paced") == Some("true"));
    given.end()?;
    if record.is_none() && replay.is_none() {
        return Err("`record=FILE`, `replay=FILE` or both are missing".to_owned());
    }
    let of = |path: &str| {
        let path = path.to_owned();
        move |error: std::io::Error| format!("{path}: {error}")
    };
    let (mut place, mut file) = (None, None);
    let mut receive: Vec<Box<dyn ReceiveQueue>> = Vec::new();
    if let Some(path) = replay {
        let mut replay = pcap::Replay::open(number, Path::new(path), paced).map_err(of(path))?;
        if let Some(passed) = &mut passed {
            replay.seek(holding::facts::<Option<u64>>(passed)?.unwrap_or(0)).map_err(of(path))?;
        }
        place = Some(replay.place());
        receive.push(Box::new(replay));
    }
    let mut send: Vec<Box<dyn SendQueue>> = Vec::new();
    if let Some(path) = record {
        let recorder = match &mut passed {
            // What is there already stays.
            Some(passed) => pcap::Recorder::adopt(holding::next_file(passed)?.into()),
            None => pcap::Recorder::create(Path::new(path)).map_err(of(path))?,
        };
        file = Some(Arc::downgrade(&recorder.file()));
        send.push(Box::new(recorder));
    }
    drivers.hold(number, Held::Pcap(file, place));
    Ok(OpenPort { receive, send, state: Box::new(|| "up".to_owned()), keep: Box::new(()) })
}

fn packet(
    drivers: &mut Drivers,
    number: u32,
    name: &str,
    mut given: Given<'_>,
    passed: Option<Passed>,
) -> Result<OpenPort, String> {
    let is_system = given.get("type") == Some("system");
    let device = given.get("dev").or(is_system.then_some(name));
    let device = device.ok_or("`dev` is missing: the interface to be used")?;
    let namespace = given.get("netns").map(Namespace::open).transpose()?;
    let ring = given.truth("ring", false)?;
    let queues = given.number("queues", 1, packet::RINGS)?;
    if queues > 1 && !ring {
        return Err("`queues` needs `ring=true`".to_owned());
    }
    given.end()?;
    let senders = drivers.workers;
    let open = || {
        // Sockets stay in the namespace in which they are made. Not by /sys, which may be that of another one.
        let (ask, index) = interface_index(device).map_err(|error| {
            format!("there is no interface `{device}` here ({error}); `ip link` lists them")
        })?;
        let wrong = |error| format!("{device}: {error} (it needs CAP_NET_RAW)");
        let carrier = Carrier::of(device).ok();
        if ring {
            let packet::PacketRings { receive, send } =
                packet::open_rings(number, index, queues).map_err(wrong)?;
            return Ok((ask, index, carrier, receive, send, None));
        }
        let socket = packet::open_packet_for(number, index, senders).map_err(wrong)?;
        let (receive, send, socket) = taken_apart(socket);
        Ok::<_, String>((ask, index, carrier, receive, send, Some(socket)))
    };
    let adopt = |mut passed: Passed| {
        let index = holding::facts(&mut passed)?;
        let socket = packet::adopt_packet(number, holding::next_file(&mut passed)?, senders);
        let (receive, send, socket) =
            taken_apart(socket.map_err(|error| format!("no memory is left: {error}"))?);
        // Any socket of the interface's namespace can be asked.
        let ask = asking_socket().map_err(|error| format!("no descriptor is left: {error}"))?;
        Ok((ask, index, Carrier::of(device).ok(), receive, send, Some(socket)))
    };
    let job = || match passed {
        Some(passed) => adopt(passed),
        None => open(),
    };
    let (ask, index, carrier, receive, send, socket) = match &namespace {
        Some(namespace) => namespace.run(job)?,
        None => job(),
    }?;
    let carrier = carrier.map(Arc::new);
    drivers.follow_interface(number, carrier.as_ref());
    if let Some(socket) = socket {
        drivers.hold(number, Held::Packet(index, Arc::downgrade(&socket)));
    }
    let name = device.to_owned();
    let state: Box<dyn Fn() -> String + Send + Sync> =
        Box::new(move || match (rustix::net::netdevice::index_to_name_inlined(&ask, index), &namespace) {
            (Err(_), _) => format!("{GONE}: somebody removed {name}"),
            (Ok(now), _) if now.as_str() != name => format!("{GONE}: {name} is called {} now", now.as_str()),
            (Ok(_), Some(namespace)) if !namespace.is_there() => {
                format!("{GONE}: {name} is in no named namespace any more")
            }
            (Ok(_), _) if carrier.as_deref().map(Carrier::presence) == Some(Presence::Down) => {
                format!("{name} is down")
            }
            (Ok(_), _) => "up".to_owned(),
        });
    Ok(OpenPort { receive, send, state, keep: Box::new(()) })
}

type Taken = (Vec<Box<dyn ReceiveQueue>>, Vec<Box<dyn SendQueue>>, Arc<OwnedFd>);

fn taken_apart(socket: packet::PacketSocket) -> Taken {
    let packet::PacketSocket { receive, send, mut others, descriptor } = socket;
    others.push(send);
    (vec![receive], others, descriptor)
}

/// A socket that can be asked for names of interfaces.
fn asking_socket() -> std::io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    Ok(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

/// The number of an interface, and a socket that can be asked for its name later, wherever that is done.
fn interface_index(device: &str) -> std::io::Result<(OwnedFd, u32)> {
    let socket = asking_socket()?;
    let index = rustix::net::netdevice::name_to_index(&socket, device)?;
    Ok((socket, index))
}
