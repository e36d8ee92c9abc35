//! The thread: waits, takes connections, lets each have its turn, tells what happened, writes.
//!
//! Invariants: in one round each connection has one turn of bounded work, whoever says how much. Who does not read is not
//! read from.

use super::bridge::Side;
use super::connection::{Connection, Purpose};
use super::events;
use super::ground::Ground;
use super::requests::Turn;
use super::settings::{BridgeSettings, ControllerStatus};
use super::turn::{Outcome, follow_misses};
use super::vigil::Vigil;
use crate::sockets::{Heard, Keyring, wait};
use netloom_proto::openflow::OfError;
use netloom_proto::openflow::message::{Message, PacketIn};
use netloom_proto::openflow::session::Asynchronous;
use rustix::event::{EventfdFlags, epoll, eventfd};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Reads of one connection at once.
const READS: usize = 4;
/// Events of one round.
const EVENTS: usize = 256;
/// How often silence, bundles, tries and states are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Octets that wait for a peer at most, whatever is told that it asked for; beyond them it is cut off.
const OUTGOING: usize = 64 << 20;
/// The bells' numbers; others count from 2.
const BELL: u64 = 0;
const NEWS: u64 = 1;

/// What the rest of the process asks for.
pub(super) enum Command {
    /// There are these bridges, with such connections.
    Bridges(BTreeMap<String, BridgeSettings>, Sender<()>),
    /// What became of controllers, by bridge and target.
    Status(Sender<Statuses>),
    Stop,
}

/// What became of controllers, by bridge and target.
pub(in super::super) type Statuses = BTreeMap<(String, String), ControllerStatus>;

/// The running thread.
#[derive(Debug)]
pub(in super::super) struct OpenFlow {
    commands: Sender<Command>,
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl OpenFlow {
    /// Starts without bridges. Sockets of bridges are in the directory.
    ///
    /// # Errors
    /// When the system gives no poller or no thread.
    pub(in super::super) fn start(ground: impl Ground, directory: &Path) -> io::Result<Self> {
        let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let news = ground.listen()?;
        for (descriptor, token) in [(&bell, BELL), (&news, NEWS)] {
            epoll::add(&poller, descriptor, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
        }
        let (commands, receiver) = channel();
        let mut core = Core {
            ground,
            poller,
            bell: bell.clone(),
            news,
            commands: receiver,
            keyring: Keyring::default(),
            bridges: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_token: NEWS + 1,
            ready: BTreeSet::new(),
            vigil: Vigil::new(),
            ticked: Duration::ZERO,
            directory: directory.to_owned(),
        };
        let thread = std::thread::Builder::new().name("openflow".to_owned()).spawn(move || core.run())?;
        Ok(Self { commands, bell, thread: Some(thread) })
    }

    pub(super) fn say(&self, command: Command) -> bool {
        let said = self.commands.send(command).is_ok();
        // A bell that can't be rung was rung often enough.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        said
    }

    /// Has these bridges have such connections, and no other. Their sockets are there when this returns.
    pub(in super::super) fn set(&self, bridges: BTreeMap<String, BridgeSettings>) {
        let (done, heard) = channel();
        if self.say(Command::Bridges(bridges, done)) {
            // A thread that ended has no sockets any more.
            let _ = heard.recv();
        }
    }

    /// What became of controllers.
    pub(in super::super) fn statuses(&self) -> Statuses {
        let (answer, heard) = channel();
        if self.say(Command::Status(answer)) { heard.recv().unwrap_or_default() } else { Statuses::new() }
    }
}

impl Drop for OpenFlow {
    fn drop(&mut self) {
        self.say(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

/// Everything the thread has.
pub(super) struct Core<G: Ground> {
    pub(super) ground: G,
    pub(super) poller: OwnedFd,
    bell: Arc<OwnedFd>,
    news: Arc<OwnedFd>,
    commands: Receiver<Command>,
    pub(super) bridges: BTreeMap<String, Side>,
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) next_token: u64,
    /// Connections that have more to do than a turn allowed.
    ready: BTreeSet<u64>,
    vigil: Vigil,
    ticked: Duration,
    pub(super) directory: PathBuf,
    /// Keys of TLS.
    pub(super) keyring: Keyring,
}

impl<G: Ground> Core<G> {
    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.ground.now())
    }

    fn run(&mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            if let Err(error) = self.wait(&mut events) {
                tracing::error!(%error, "connections of controllers can't be waited for");
                return;
            }
            // Before what it was rung for is looked at: whoever rings afterwards is heard in the next round.
            if events.iter().any(|event| event.data.u64() == BELL) {
                let _ = rustix::io::read(&self.bell, &mut [0; 8]);
            }
            if self.obey() {
                return;
            }
            let now = self.now();
            for token in std::mem::take(&mut self.ready) {
                self.converse(token, now);
            }
            for event in &events {
                let (token, flags) = (event.data.u64(), event.flags);
                match token {
                    BELL => {}
                    NEWS => {
                        let _ = rustix::io::read(&self.news, &mut [0; 8]);
                        self.tell_all(now);
                    }
                    token => self.attend(token, flags, now),
                }
            }
            if now >= self.ticked + TICK {
                self.ticked = now;
                self.tick(now);
            }
            self.connect_due(now);
            self.deliver(now);
        }
    }

    /// Waits until something is to be done.
    fn wait(&mut self, events: &mut Vec<epoll::Event>) -> io::Result<()> {
        if !self.ready.is_empty() {
            return wait(&self.poller, events, Duration::ZERO);
        }
        let poller = &self.poller;
        let came = self.vigil.keep(|| {
            wait(poller, events, Duration::ZERO)?;
            Ok(!events.is_empty())
        })?;
        if came { Ok(()) } else { wait(&self.poller, events, self.patience()) }
    }

    /// How long nothing has to be done.
    fn patience(&self) -> Duration {
        let now = self.now();
        let probes = self.connections.values().filter_map(|connection| connection.session.deadline());
        let tries = self.bridges.values().flat_map(|side| side.targets.values());
        let tries = tries.filter_map(|target| target.retry_at);
        let busy = self.connections.values().any(|connection| {
            connection.connecting
                || !connection.bundles.is_empty()
                || connection.throttle.backlog() > 0
                || connection.monitors.is_paused()
        });
        let controlled =
            self.bridges.values().any(|side| side.targets.values().any(|target| target.connects()));
        let tick = (busy || controlled || self.is_deaf()).then(|| self.ticked + TICK);
        let next = probes.chain(tries).chain(tick).min();
        // The clock may stand still, and be put forward: that rings no bell.
        let most = if next.is_some() { Duration::from_secs(1) } else { Duration::from_secs(3600) };
        next.map_or(most, |at| at.saturating_sub(now).clamp(Duration::from_millis(1), most))
    }

    /// Does what the rest of the process asks for; true if it is to end.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Bridges(bridges, done)) => {
                    self.keyring.set(bridges.values().find_map(|settings| settings.keys.clone()));
                    self.configure(bridges);
                    let _ = done.send(());
                }
                Ok(Command::Status(answer)) => {
                    let _ = answer.send(self.statuses());
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
    }

    fn statuses(&self) -> Statuses {
        let now = self.now();
        let of = |side: &Side| {
            let status = |(name, target): (&String, &super::controllers::Target)| {
                ((side.name.clone(), name.clone()), target.status(&self.connections, now))
            };
            side.targets.iter().map(status).collect::<Vec<_>>()
        };
        self.bridges.values().flat_map(of).collect()
    }

    /// What is due from time to time.
    fn tick(&mut self, now: Duration) {
        let mut over: Vec<(u64, Option<String>)> = Vec::new();
        for (token, connection) in &mut self.connections {
            if connection.connecting {
                continue;
            }
            if let Err(end) = connection.session.tick(now) {
                over.push((*token, Some(end.to_string())));
                continue;
            }
            let patience = self
                .bridges
                .get(&connection.bridge)
                .map_or(Duration::MAX, |side| side.settings.bundle_timeout);
            for opened in connection.bundles.expire(patience, now) {
                connection.session.fail(&opened, OfError::OFPBFC_TIMEOUT);
            }
            while let Some(packet) = connection.throttle.next(now) {
                connection.tell(Asynchronous::PacketIn(packet.reason), &Message::PacketIn(packet));
            }
        }
        for (token, error) in over {
            self.hang_up(token, error);
        }
        self.give_up_tries(now);
        for side in self.bridges.values_mut() {
            side.watch_controllers(&self.ground, &self.connections, now);
            if side.fails_open {
                tell_bogus(side, &mut self.connections);
            }
        }
        self.mend_listeners();
    }

    fn attend(&mut self, token: u64, flags: epoll::EventFlags, now: Duration) {
        let Some(connection) = self.connections.get(&token) else {
            self.accept(token, now);
            return;
        };
        if connection.connecting {
            self.established(token, now);
            return;
        }
        let ended = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        if flags.contains(epoll::EventFlags::IN) || ended {
            self.listen_to(token, now);
        }
        if flags.contains(epoll::EventFlags::OUT) {
            self.write(token);
            // What was read before may go on.
            self.converse(token, now);
        }
    }

    /// Reads what a peer says, and does it.
    fn listen_to(&mut self, token: u64, now: Duration) {
        for _ in 0..READS {
            let Some(connection) = self.connections.get_mut(&token) else { return };
            if !connection.may_read() {
                break;
            }
            match connection.read(now) {
                Ok(Heard::End) => {
                    self.converse(token, now);
                    self.write(token);
                    self.hang_up(token, Some("the peer closed the connection".to_owned()));
                    return;
                }
                Ok(heard) => {
                    self.converse(token, now);
                    if heard == Heard::Enough {
                        break;
                    }
                }
                Err(error) => {
                    self.hang_up(token, Some(error.to_string()));
                    return;
                }
            }
        }
    }

    /// Lets a connection have its turn.
    fn converse(&mut self, token: u64, now: Duration) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        let Some(side) = self.bridges.get_mut(&connection.bridge) else { return };
        let was_connected = connection.session.version().is_some();
        let is_watched = connection.purpose != Purpose::Snoop && side.snoop_count > 0;
        let before = connection.session.outgoing().len();
        let mut heard = Vec::new();
        let mut turn = Turn {
            ground: &self.ground,
            side,
            connection: &mut connection,
            others: &mut self.connections,
            now,
        };
        let outcome = turn.run(is_watched.then_some(&mut heard));
        turn.resume_monitors();
        if turn.notes_misses() {
            turn.follow_misses();
        }
        if is_watched {
            heard.extend_from_slice(connection.session.outgoing().get(before..).unwrap_or_default());
            tell_snoopers(side, &mut self.connections, &heard);
        }
        if !was_connected
            && connection.session.version().is_some()
            && let Purpose::Target(name) = &connection.purpose
            && let Some(target) = side.targets.get_mut(name)
        {
            target.established(now);
        }
        self.connections.insert(token, connection);
        match outcome {
            Outcome::Idle => {}
            Outcome::More => drop(self.ready.insert(token)),
            Outcome::Ended(end) => {
                tracing::info!(%end, "a connection of OpenFlow ends");
                self.write(token);
                self.hang_up(token, Some(end.to_string()));
            }
        }
    }

    /// Tells connections what bridges have to tell.
    fn tell_all(&mut self, now: Duration) {
        for side in self.bridges.values_mut() {
            let news = self.ground.news(&side.name);
            if !news.is_empty() {
                let mut audience = events::Audience::new(side, None, &mut self.connections);
                events::tell(&mut audience, &self.ground, news, now);
            }
        }
    }

    /// Writes what waits, and has the poller look for what is wanted.
    fn deliver(&mut self, now: Duration) {
        let mut over = Vec::new();
        let mut resumed = Vec::new();
        for (token, connection) in &mut self.connections {
            if connection.connecting {
                continue;
            }
            if connection.wants_write() {
                self.vigil.note_answer();
                if let Err(error) = connection.write() {
                    over.push((*token, error.to_string()));
                    continue;
                }
                let waits = connection.session.outgoing().len();
                if waits > OUTGOING {
                    over.push((*token, "the peer does not read".to_owned()));
                    continue;
                }
                let goes_on = connection.dump.is_some() || !connection.is_drained();
                let reads_again = !connection.session.is_congested() && goes_on;
                if reads_again || waits == 0 && connection.monitors.is_paused() {
                    resumed.push(*token);
                }
            }
            let wants = (connection.may_read(), connection.wants_write());
            if wants != connection.interest {
                connection.interest = wants;
                let mut flags = epoll::EventFlags::empty();
                flags.set(epoll::EventFlags::IN, wants.0);
                flags.set(epoll::EventFlags::OUT, wants.1);
                let _ = epoll::modify(&self.poller, &*connection, epoll::EventData::new_u64(*token), flags);
            }
        }
        self.ready.extend(resumed);
        for (token, error) in over {
            self.hang_up(token, Some(error));
        }
        let _ = now;
    }

    fn write(&mut self, token: u64) {
        if let Some(connection) = self.connections.get_mut(&token) {
            // One that fails is found out when it is read.
            let _ = connection.write();
        }
    }

    /// Ends a connection.
    pub(super) fn hang_up(&mut self, token: u64, error: Option<String>) {
        let Some(connection) = self.connections.remove(&token) else { return };
        self.ready.remove(&token);
        let now = self.now();
        let _ = epoll::delete(&self.poller, &connection);
        let Some(side) = self.bridges.get_mut(&connection.bridge) else { return };
        side.connections.remove(&token);
        match &connection.purpose {
            Purpose::Snoop => side.snoop_count = side.snoop_count.saturating_sub(1),
            Purpose::Target(name) => {
                if let Some(target) = side.targets.get_mut(name) {
                    target.connections.remove(&token);
                    target.ended(error, now);
                }
            }
        }
        let mut rest = side.connections.iter().filter_map(|token| self.connections.get(token));
        if side.monitored && !rest.clone().any(|other| !other.monitors.is_empty()) {
            side.monitored = false;
            self.ground.work(&side.name, |pipeline, _| pipeline.set_monitored(false));
        }
        if connection.asks {
            let asks = rest.any(|other| other.asks);
            follow_misses(side, &self.ground, asks);
        }
    }
}

/// Gives those who snoop what was said.
fn tell_snoopers(side: &Side, connections: &mut BTreeMap<u64, Connection>, octets: &[u8]) {
    for token in &side.connections {
        if let Some(snooper) = connections.get_mut(token).filter(|other| other.purpose == Purpose::Snoop)
            && snooper.session.version().is_some()
            && !snooper.session.is_congested()
        {
            snooper.session.send_octets(octets);
        }
    }
}

/// Asks controllers that may not have taken us yet for a sign, by a packet that nobody sent.
fn tell_bogus(side: &Side, connections: &mut BTreeMap<u64, Connection>) {
    let octets = side.settings.datapath.to_be_bytes();
    let address = octets.last_chunk::<6>().copied().unwrap_or_default();
    for token in &side.connections {
        let Some(connection) = connections.get_mut(token).filter(|one| !one.service && !one.admitted) else {
            continue;
        };
        let format = connection.session.packet_in_format();
        let packet = PacketIn { format, ..events::bogus_packet(address) };
        connection.tell(Asynchronous::PacketIn(packet.reason), &Message::PacketIn(packet));
    }
}
