//! Peers of all kinds at sockets of a bridge whose tables are in this process: polite ones, those that lie, Open vSwitch's
//! own tool.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod lies;
mod tool;

use super::ground::{Ground, PortCounts};
use super::{BridgeSettings, ControllerSettings, OpenFlow};
use crate::switch::news::News;
use netloom_mem::PortNumber;
use netloom_proto::openflow::message::{
    ConntrackFlush, FlowSelection, Message, MultipartReply, PacketInFormat, Reply, Request, Role,
    RoleMessage, Versions,
};
use netloom_proto::openflow::session::{Config, Event, Session, Side};
use netloom_proto::openflow::text::{Names, parse_flow};
use netloom_proto::openflow::{Action, OfError, OfPort, Version};
use netloom_table::Key;
use netloom_vswitch::openflow::{FailMode, Frozen, OfPortEntry, Pipeline, PipelineOptions};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A packet that was sent: its port and octets.
type Sent = (OfPort, Vec<u8>);

/// Tables without packets.
#[derive(Clone)]
struct Room {
    bridges: Arc<Mutex<BTreeMap<String, Pipeline>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    /// Nanoseconds that the clock was put forward.
    ahead: Arc<AtomicU64>,
    began: Instant,
    bell: Arc<OwnedFd>,
}

impl Ground for Room {
    fn now(&self) -> u64 {
        1_000_000_000 + self.began.elapsed().as_nanos() as u64 + self.ahead.load(Ordering::SeqCst)
    }

    fn listen(&self) -> std::io::Result<Arc<OwnedFd>> {
        Ok(self.bell.clone())
    }

    fn work<T>(&self, bridge: &str, work: impl FnOnce(&mut Pipeline, u64) -> T) -> Option<T> {
        let now = self.now();
        self.bridges.lock().unwrap().get_mut(bridge).map(|pipeline| work(pipeline, now))
    }

    fn look<T>(&self, bridge: &str, look: impl FnOnce(&Pipeline, u64) -> T) -> Option<T> {
        let now = self.now();
        self.bridges.lock().unwrap().get(bridge).map(|pipeline| look(pipeline, now))
    }

    fn news(&self, bridge: &str) -> Vec<News> {
        let events = self.work(bridge, |pipeline, _| pipeline.take_events()).unwrap_or_default();
        events.into_iter().map(|event| News::Tables(Box::new(event))).collect()
    }

    fn count(&self) {}

    fn counts(&self, _: PortNumber) -> PortCounts {
        PortCounts::default()
    }

    fn packet_out(
        &self,
        _: &str,
        port: OfPort,
        _: Arc<[Action]>,
        _: &Key,
        octets: Vec<u8>,
    ) -> Result<(), OfError> {
        self.sent.lock().unwrap().push((port, octets));
        Ok(())
    }

    fn resume(&self, _: &str, state: Frozen, _: &Key, octets: Vec<u8>) -> Result<(), OfError> {
        self.sent.lock().unwrap().push((state.in_port, octets));
        Ok(())
    }

    fn forget_connections(&self, _: Option<u16>, _: Option<&ConntrackFlush>) {}
}

/// A service with one bridge `br0` that has the ports 1 and 2, and a directory of its own.
struct Rig {
    room: Room,
    service: OpenFlow,
    directory: PathBuf,
}

impl Rig {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let directory = std::env::temp_dir().join(format!("netloom-of-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).unwrap();
        let options = PipelineOptions { name: "br0".to_owned(), ..PipelineOptions::default() };
        let mut pipeline = Pipeline::new(1, options, 0);
        for number in [1, 2] {
            pipeline.set_port(OfPortEntry::new(OfPort(number), number.into(), format!("p{number}")));
        }
        let room = Room {
            bridges: Arc::new(Mutex::new(BTreeMap::from([("br0".to_owned(), pipeline)]))),
            sent: Arc::default(),
            ahead: Arc::default(),
            began: Instant::now(),
            bell: Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap()),
        };
        let service = OpenFlow::start(room.clone(), &directory).unwrap();
        let rig = Self { room, service, directory };
        rig.set(BridgeSettings::default());
        rig
    }

    fn set(&self, settings: BridgeSettings) {
        self.service.set(BTreeMap::from([("br0".to_owned(), settings)]));
    }

    fn with_controller(&self, target: &str, fail_mode: FailMode) {
        let controllers = BTreeMap::from([(target.to_owned(), ControllerSettings::of(target))]);
        self.set(BridgeSettings { controllers, fail_mode, ..BridgeSettings::default() });
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("br0.mgmt")
    }

    fn tables<T>(&self, look: impl FnOnce(&mut Pipeline) -> T) -> T {
        self.room.work("br0", |pipeline, _| look(pipeline)).unwrap()
    }

    fn flows(&self) -> usize {
        self.tables(|pipeline| pipeline.table_counts(0).flows)
    }

    /// Puts the clock forward; the service looks at it at least once a second.
    fn pass(&self, time: Duration) {
        self.room.ahead.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
        // Whatever wakes it.
        let _ = self.service.statuses();
    }

    fn peer(&self, version: Version) -> Peer {
        Peer::new(UnixStream::connect(self.socket()).unwrap(), version)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.service.set(BTreeMap::new());
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what} does not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A controller.
struct Peer {
    stream: UnixStream,
    session: Session,
    began: Instant,
}

impl Peer {
    fn new(stream: UnixStream, version: Version) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let config =
            Config { versions: Versions::from(version), probe: None, ..Config::new(Side::Controller) };
        let mut peer = Self { stream, session: Session::new(config, Duration::ZERO), began: Instant::now() };
        assert_eq!(peer.event(), Event::Connected(version));
        peer
    }

    fn flush(&mut self) {
        let octets = self.session.outgoing().to_vec();
        self.stream.write_all(&octets).unwrap();
        self.session.sent(octets.len());
    }

    fn say(&mut self, message: Message) -> u32 {
        let xid = self.session.next_xid();
        self.session.send(xid, &message).unwrap();
        self.flush();
        xid
    }

    fn event(&mut self) -> Event {
        let mut octets = vec![0; 65536];
        let mut waiting: Vec<u8> = Vec::new();
        loop {
            self.flush();
            let now = self.began.elapsed();
            if let Some(event) = self.session.next(now).unwrap() {
                return event;
            }
            if waiting.is_empty() {
                let count = self.stream.read(&mut octets).expect("the switch says something");
                assert!(count > 0, "the switch hung up");
                waiting.extend_from_slice(&octets[..count]);
            }
            let taken = self.session.receive(now, &waiting);
            waiting.drain(..taken);
        }
    }

    /// The next message with this number; others are passed over.
    fn answer(&mut self, wanted: u32) -> Message {
        loop {
            if let Event::Message { xid, message, .. } = self.event()
                && xid == wanted
            {
                return message;
            }
        }
    }

    fn ask(&mut self, message: Message) -> Message {
        let xid = self.say(message);
        self.answer(xid)
    }

    fn told(&mut self) -> Message {
        match self.event() {
            Event::Message { message, .. } => message,
            other => panic!("{other:?}"),
        }
    }

    /// A flow by the words of `ovs-ofctl`; the answer is what is wrong with it.
    fn flow(&mut self, text: &str) -> Option<OfError> {
        let (flow, _) = parse_flow(text, None, &Names::default()).unwrap();
        let xid = self.say(Message::FlowMod(flow));
        let barrier = self.say(Message::BarrierRequest);
        loop {
            match self.event() {
                Event::Message { xid: own, message: Message::Error(error), .. } if own == xid => {
                    let netloom_proto::openflow::message::ErrorCode::Known(error) = error.error else {
                        panic!()
                    };
                    assert_eq!(self.answer(barrier), Message::BarrierReply);
                    return Some(error);
                }
                Event::Message { xid: own, message: Message::BarrierReply, .. } if own == barrier => {
                    return None;
                }
                _ => {}
            }
        }
    }

    /// How many flows an answer has, over all its parts.
    fn count_flows(&mut self) -> usize {
        let xid = self.say(Message::MultipartRequest(Request::Flows(FlowSelection::default()).into()));
        let mut count = 0;
        loop {
            let Message::MultipartReply(MultipartReply { more, reply: Reply::Flows(_, flows) }) =
                self.answer(xid)
            else {
                panic!("no flows")
            };
            count += flows.len();
            if !more {
                return count;
            }
        }
    }
}

#[test]
fn whoever_asks_again_at_once_is_heard() {
    let rig = Rig::new();
    for _ in 0..20_000 {
        let (answer, heard) = std::sync::mpsc::channel();
        assert!(rig.service.say(super::service::Command::Status(answer)));
        // Without sleeping, so that the next question comes while the thread is about to sleep.
        let until = Instant::now() + Duration::from_secs(20);
        while heard.try_recv().is_err() {
            assert!(Instant::now() < until, "a question is not answered");
            std::hint::spin_loop();
        }
    }
}

#[test]
fn a_controller_changes_flows_and_hears_what_is_wrong() {
    let rig = Rig::new();
    let mut peer = rig.peer(Version::V13);
    let Message::FeaturesReply(features) = peer.ask(Message::FeaturesRequest) else { panic!() };
    assert_eq!((features.tables, features.buffers), (254, 0));
    assert_eq!(peer.flow("table=0,in_port=1,actions=output:2"), None);
    assert_eq!(peer.flow("table=0,actions=group:7"), Some(OfError::OFPBAC_BAD_OUT_GROUP));
    assert_eq!(peer.flow("table=254,actions=drop"), Some(OfError::OFPBRC_EPERM));
    assert_eq!(peer.flow("table=0,check_overlap,in_port=1,tcp,actions=drop"), Some(OfError::OFPFMFC_OVERLAP));
    assert_eq!(rig.flows(), 1);
    assert_eq!(peer.count_flows(), 1);
}

#[test]
fn answers_of_any_length_come_in_parts_while_others_are_served() {
    let rig = Rig::new();
    let mut peer = rig.peer(Version::V14);
    for number in 0..30_000_u32 {
        let (a, b, c) = (number >> 16 & 255, number >> 8 & 255, number & 255);
        let text = format!("table=0,priority={},ip,nw_dst=10.{a}.{b}.{c},actions=output:2", 1 + number % 7);
        let (flow, _) = parse_flow(&text, None, &Names::default()).unwrap();
        peer.session.send(0, &Message::FlowMod(flow)).unwrap();
        if number % 1000 == 0 {
            peer.flush();
        }
    }
    let barrier = peer.say(Message::BarrierRequest);
    assert_eq!(peer.answer(barrier), Message::BarrierReply);
    // It asks, and does not read.
    peer.say(Message::MultipartRequest(Request::Flows(FlowSelection::default()).into()));
    let mut other = rig.peer(Version::V13);
    assert_eq!(other.count_flows(), 30_000);
    assert_eq!(peer.count_flows(), 30_000);
}

#[test]
fn one_primary_makes_the_other_secondary() {
    let rig = Rig::new();
    let (mut one, mut two) = (rig.peer(Version::V13), rig.peer(Version::V13));
    let claim = |generation| {
        Message::RoleRequest(RoleMessage {
            role: Role::Primary,
            generation: Some(generation),
            dialect: Default::default(),
        })
    };
    assert!(matches!(one.ask(claim(5)), Message::RoleReply(_)));
    assert!(matches!(two.ask(claim(4)), Message::Error(_)));
    assert!(matches!(two.ask(claim(6)), Message::RoleReply(_)));
    assert!(matches!(one.told(), Message::RoleStatus(status) if status.role == Role::Secondary));
    assert_eq!(one.flow("table=0,actions=drop"), Some(OfError::OFPBRC_IS_SECONDARY));
    assert_eq!(two.flow("table=0,actions=drop"), None);
}

#[test]
fn formats_are_the_connections_own() {
    let rig = Rig::new();
    let mut peer = rig.peer(Version::V10);
    peer.say(Message::SetPacketInFormat(PacketInFormat::Nicira2));
    peer.say(Message::FlowModTableId(true));
    assert_eq!(peer.ask(Message::BarrierRequest), Message::BarrierReply);
    let Message::GetConfigReply(config) = peer.ask(Message::GetConfigRequest) else { panic!() };
    assert_eq!(config.miss_send_length, 0);
}

/// Accepts the switch's connection, as a controller.
fn controller(listener: &UnixListener) -> Peer {
    Peer::new(listener.accept().unwrap().0, Version::V13)
}

fn state(rig: &Rig, target: &str) -> String {
    let statuses = rig.service.statuses();
    let status = &statuses[&("br0".to_owned(), target.to_owned())];
    format!("{} {}", status.status.get("state").map_or("", String::as_str), status.role.unwrap_or("-"))
}

#[test]
fn a_controller_that_goes_is_sought_again_and_missed() {
    let rig = Rig::new();
    let path = rig.directory.join("controller");
    let listener = UnixListener::bind(&path).unwrap();
    let target = format!("unix:{}", path.display());
    rig.with_controller(&target, FailMode::Standalone);
    let mut peer = controller(&listener);
    until("it is connected", || state(&rig, &target) == "ACTIVE other");
    assert_eq!(peer.flow("table=0,in_port=1,actions=output:2"), None);
    drop((peer, listener));
    std::fs::remove_file(&path).unwrap();
    until("it is missed", || state(&rig, &target) == "BACKOFF -");
    // Three probes later the bridge is on its own, with a flow that no controller sees.
    rig.pass(Duration::from_secs(16));
    let normal = |pipeline: &mut Pipeline| {
        let filter = netloom_vswitch::openflow::FlowFilter { own: true, ..Default::default() };
        let all = pipeline.select(&filter).unwrap();
        let visible = pipeline.select(&Default::default()).unwrap();
        (all.len(), visible.len())
    };
    until("it goes on by itself", || rig.tables(normal) == (1, 0));
    let listener = UnixListener::bind(&path).unwrap();
    rig.pass(Duration::from_secs(10));
    let mut peer = controller(&listener);
    assert_eq!(peer.flow("table=0,in_port=2,actions=output:1"), None);
    until("it obeys", || rig.tables(normal) == (1, 1));
}

#[test]
fn who_snoops_hears_both_sides() {
    let rig = Rig::new();
    let path = rig.directory.join("controller");
    let listener = UnixListener::bind(&path).unwrap();
    rig.with_controller(&format!("unix:{}", path.display()), FailMode::Secure);
    let mut peer = controller(&listener);
    let stream = UnixStream::connect(rig.directory.join("br0.snoop")).unwrap();
    let mut snooper = Peer::new(stream, Version::V13);
    // It may not have been taken yet.
    until("it hears something", || {
        assert_eq!(peer.flow("table=0,in_port=1,actions=output:2"), None);
        let mut wait = [PollFd::new(&snooper.stream, PollFlags::IN)];
        poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
    });
    while !matches!(snooper.told(), Message::FlowMod(_)) {}
    assert_eq!(snooper.told(), Message::BarrierRequest);
    assert_eq!(snooper.told(), Message::BarrierReply);
}

#[test]
fn a_secure_bridge_waits_for_its_controller() {
    let rig = Rig::new();
    let target = format!("unix:{}", rig.directory.join("nobody").display());
    rig.with_controller(&target, FailMode::Secure);
    rig.pass(Duration::from_secs(60));
    until("it tried", || state(&rig, &target) == "BACKOFF -");
    assert_eq!(rig.flows(), 0);
    // Those that can't be used say so.
    rig.with_controller("ssl:switches.example:6653", FailMode::Secure);
    let statuses = rig.service.statuses();
    let status = &statuses[&("br0".to_owned(), "ssl:switches.example:6653".to_owned())];
    assert!(status.status["last_error"].contains("ADDRESS"), "{status:?}");
}

#[test]
fn a_socket_that_another_has_is_taken_when_it_goes() {
    let rig = Rig::new();
    rig.service.set(BTreeMap::new());
    let other = UnixListener::bind(rig.socket()).unwrap();
    rig.set(BridgeSettings::default());
    drop(other);
    std::fs::remove_file(rig.socket()).unwrap();
    until("it listens", || rig.socket().exists());
    assert_eq!(rig.peer(Version::V13).ask(Message::BarrierRequest), Message::BarrierReply);
}

#[test]
fn sockets_come_and_go_with_bridges() {
    let rig = Rig::new();
    assert!(rig.socket().exists() && Path::new(&rig.directory).join("br0.snoop").exists());
    let mut peer = rig.peer(Version::V13);
    rig.service.set(BTreeMap::new());
    assert!(!rig.socket().exists() && !rig.directory.join("br0.snoop").exists());
    let mut rest = Vec::new();
    let ended = peer.stream.read_to_end(&mut rest);
    // What it had not read yet is lost with the connection.
    assert!(ended.map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |_| true));
}
