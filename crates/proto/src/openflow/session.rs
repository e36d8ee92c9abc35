//! One OpenFlow connection as a machine: octets in, events and octets out; time is an argument.
//!
//! What: [`Session`] says hello and agrees on a version, finds messages in the stream, answers what it can answer alone
//! (echoes, asynchronous configuration, messages that cannot be read, requests that a secondary controller may not
//! make), puts long requests together, probes a peer that is silent, and keeps what the peer said of itself: role, which
//! messages it wants, formats. The switch and Netloom's own tools use the same machine from two sides.
//!
//! ```text
//! receive(octets) -> next() -> Event::Message -> the switch -> send(), fail()
//! tick(now)       -> probes, requests that never became whole
//! outgoing()      -> octets to be written; sent(count)
//! ```
//!
//! Invariants: what a peer can make grow is bounded: octets that came ([`Config::receive_limit`]), parts of requests
//! ([`Assembler::LIMIT`]), and octets to be written: from [`Config::send_limit`] on nothing more is read and nothing is
//! told that was not asked for. No octets panic. Once ended, a session stays ended.
//!
//! Deliberately absent: sockets, timers, TLS, and when to connect again (`control`).

mod filter;
mod role;

pub use filter::Asynchronous;
pub use role::Election;

use super::message::multipart::{Assembled, Assembler, MultipartRequest};
use super::message::{
    AsyncConfig, AsyncFormat, AsyncMessage, Context, EncodeError, ErrorMessage, FlowFormat, Framer,
    FramingError, HEADER_LENGTH, Header, Hello, Kind, Message, PacketInFormat, Role, SwitchConfig, Versions,
    decode_with, encode, encode_with,
};
use super::{OfError, Version};
use std::time::Duration;

/// Which side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The switch.
    Switch,
    /// A controller, or a tool that speaks to a switch.
    Controller,
}

/// How a session is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Which side this is.
    pub side: Side,
    /// Versions that may be spoken. Legal values: not empty.
    pub versions: Versions,
    /// After how long without a word the peer is asked whether it is there, and after as long again given up. Nothing for
    /// never. Less than [`Config::SHORTEST_PROBE`] is that.
    pub probe: Option<Duration>,
    /// Octets that came and were not looked at yet, at most. Less than a message's greatest length is that.
    pub receive_limit: usize,
    /// From so many octets to be written on the peer must read before it is heard again.
    pub send_limit: usize,
    /// Whether the peer is a tool that came by itself and not a controller that the switch was told of: it gets no packets
    /// until it asks (OVS: service controllers).
    pub service: bool,
    /// Whether the peer gets nothing that it did not ask for until it says what it wants (`enable_async_messages` of Open
    /// vSwitch).
    pub quiet: bool,
    /// Whether actions for tests are known.
    pub debug: bool,
}

impl Config {
    /// Shortest time between probes (as in Open vSwitch).
    pub const SHORTEST_PROBE: Duration = Duration::from_secs(5);

    /// A session of a side with all versions, a probe every 5 seconds and a limit of 1 MiB to be written.
    #[must_use]
    pub const fn new(side: Side) -> Self {
        Self {
            side,
            versions: Versions::ALL,
            probe: Some(Self::SHORTEST_PROBE),
            receive_limit: Framer::LIMIT,
            send_limit: 1 << 20,
            service: false,
            quiet: false,
            debug: false,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Both sides agreed on a version.
    Connected(Version),
    /// The peer said something that is not the session's own to answer.
    Message {
        /// Number of the message, which answers repeat.
        xid: u32,
        /// What it said.
        message: Message,
        /// The message as it came (of a request in parts, the last part), for [`Session::fail`].
        octets: Vec<u8>,
    },
}

/// Why a session ended. What is still to be written may be written before the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The sides have no version in common.
    #[error("we speak {ours}, the peer speaks {theirs}: allow a version that both have")]
    Versions {
        /// Ours.
        ours: Versions,
        /// The peer's.
        theirs: Versions,
    },
    /// The peer did not begin with hello.
    #[error("the peer began with a message of type {kind} and not with hello: it does not speak OpenFlow")]
    Rude {
        /// Type of the message.
        kind: u8,
    },
    /// The peer refused our versions.
    #[error("the peer refused us: {text}")]
    Refused {
        /// What it said.
        text: String,
    },
    /// The stream cannot be read on.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The peer is silent.
    #[error("the peer did not answer for {0:?}")]
    Silent(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Hello was said, and is awaited.
    Greeting,
    /// A version was agreed on.
    Connected(Version),
}

/// One connection.
#[derive(Debug, Clone)]
pub struct Session {
    config: Config,
    state: State,
    ended: Option<End>,
    framer: Framer,
    assembler: Assembler,
    outgoing: Vec<u8>,
    written: usize,
    last_xid: u32,
    /// When the peer said something last.
    heard: Duration,
    /// When it was asked whether it is there, if it has said nothing since.
    probed: Option<Duration>,
    role: Role,
    wanted: AsyncConfig,
    table_ids: bool,
    flow_format: FlowFormat,
    packet_in_format: PacketInFormat,
    flow_age: bool,
    controller: u16,
    miss_send_length: u16,
    tun_metadata: Option<Box<[u8; 64]>>,
}

impl Session {
    /// Begins a connection that has just been made, and says hello.
    #[must_use]
    pub fn new(config: Config, now: Duration) -> Self {
        let mut session = Self {
            config,
            state: State::Greeting,
            ended: None,
            framer: Framer::new(config.receive_limit),
            assembler: Assembler::default(),
            outgoing: Vec::new(),
            written: 0,
            last_xid: 0,
            heard: now,
            probed: None,
            role: Role::Equal,
            wanted: AsyncConfig::usual(Version::V10),
            table_ids: false,
            flow_format: FlowFormat::OpenFlow10,
            packet_in_format: PacketInFormat::Standard,
            flow_age: false,
            controller: 0,
            miss_send_length: if config.service { 0 } else { SwitchConfig::default().miss_send_length },
            tun_metadata: None,
        };
        let xid = session.next_xid();
        let hello = Message::Hello(Hello::of(config.versions));
        // Hello can be said in every version.
        session.outgoing = encode(Version::V10, xid, &hello).unwrap_or_default();
        session
    }

    /// The version that was agreed on.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        match self.state {
            State::Greeting => None,
            State::Connected(version) => Some(version),
        }
    }

    /// Why the session ended, if it did.
    #[must_use]
    pub const fn ended(&self) -> Option<&End> {
        self.ended.as_ref()
    }

    /// What changes how messages are read and written.
    #[must_use]
    pub fn context(&self) -> Context<'_> {
        let version = self.version().unwrap_or(Version::V10);
        let tun_metadata = self.tun_metadata.as_deref();
        Context { version, table_ids: self.table_ids, tun_metadata, debug: self.config.debug }
    }

    /// How matches are written in messages that the switch sends on its own; version 1.0.
    #[must_use]
    pub const fn flow_format(&self) -> FlowFormat {
        self.flow_format
    }

    /// How packets for the controller are written.
    #[must_use]
    pub const fn packet_in_format(&self) -> PacketInFormat {
        self.packet_in_format
    }

    /// Whether statistics tell the ages of flows.
    #[must_use]
    pub const fn tells_flow_ages(&self) -> bool {
        self.flow_age
    }

    /// The controller's number.
    #[must_use]
    pub const fn controller(&self) -> u16 {
        self.controller
    }

    /// Octets of a packet that misses that the controller gets.
    #[must_use]
    pub const fn miss_send_length(&self) -> u16 {
        self.miss_send_length
    }

    /// Which messages the peer wants that it did not ask for.
    #[must_use]
    pub const fn wanted(&self) -> &AsyncConfig {
        &self.wanted
    }

    /// Has the peer get packets for a reason as long as it is not secondary, or not any more.
    pub fn want_packets(&mut self, reason: u8, wanted: bool) {
        let mask = self.wanted.primary.packet_in.get_or_insert(0);
        let bit = 1_u32.checked_shl(reason.into()).unwrap_or(0);
        *mask = if wanted { *mask | bit } else { *mask & !bit };
    }

    /// The octets that the bridge has given to each option of tunnels, 0 for none.
    pub fn set_tun_metadata(&mut self, lengths: Option<[u8; 64]>) {
        self.tun_metadata = lengths.map(Box::new);
    }

    /// A number for a message of our own.
    pub fn next_xid(&mut self) -> u32 {
        self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
        self.last_xid
    }

    /// Takes octets that came, as many as there is room for, and says how many. The others are to be given again after
    /// [`Session::next`] has found nothing more: until then the connection is not to be read.
    #[must_use = "the octets that were not taken must be given again"]
    pub fn receive(&mut self, now: Duration, octets: &[u8]) -> usize {
        if self.ended.is_some() {
            return octets.len();
        }
        let count = self.framer.push(octets);
        if count > 0 {
            self.heard = now;
            self.probed = None;
        }
        count
    }

    /// Octets to be written. [`Session::sent`] takes away what was.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        self.outgoing.get(self.written..).unwrap_or_default()
    }

    /// So many octets of [`Session::outgoing`] were written.
    pub fn sent(&mut self, count: usize) {
        self.written = (self.written + count).min(self.outgoing.len());
        if self.written == self.outgoing.len() {
            self.outgoing.clear();
            self.written = 0;
        } else if self.written > self.outgoing.len() / 2 {
            self.outgoing.drain(..self.written);
            self.written = 0;
        }
    }

    /// Whether so much is to be written that the peer must read first.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.outgoing().len() >= self.config.send_limit
    }

    /// Octets that may still be written before the peer must read.
    #[must_use]
    pub fn room(&self) -> usize {
        self.config.send_limit.saturating_sub(self.outgoing().len())
    }

    /// What happens next. Nothing: more octets must come, or the peer must read first.
    ///
    /// # Errors
    /// If the session has ended.
    pub fn next(&mut self, now: Duration) -> Result<Option<Event>, End> {
        loop {
            if let Some(end) = &self.ended {
                return Err(end.clone());
            }
            if self.is_congested() {
                return Ok(None);
            }
            let octets = match self.framer.pop() {
                Ok(Some(octets)) => octets.to_vec(),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.end(error.into())),
            };
            let event = match self.state {
                State::Greeting => self.greet(&octets)?,
                State::Connected(version) => self.hear(now, version, octets)?,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// What time brings about: probes, and answers to requests that never became whole. To be called at
    /// [`Session::deadline`].
    ///
    /// # Errors
    /// If the session has ended.
    pub fn tick(&mut self, now: Duration) -> Result<(), End> {
        if let Some(end) = &self.ended {
            return Err(end.clone());
        }
        while let Some(octets) = self.assembler.expire(now) {
            self.fail(&octets, OfError::OFPBRC_MULTIPART_REQUEST_TIMEOUT);
        }
        let Some(probe) = self.probe() else { return Ok(()) };
        match self.probed {
            Some(probed) if now >= probed + probe => {
                Err(self.end(End::Silent(now.saturating_sub(self.heard))))
            }
            None if now >= self.heard + probe => {
                if self.version().is_none() {
                    return Err(self.end(End::Silent(probe)));
                }
                self.probed = Some(now);
                self.queue(0, &Message::EchoRequest(Vec::new()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// When [`Session::tick`] is to be called next, if nothing comes.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        if self.ended.is_some() {
            return None;
        }
        let probe = self.probe().map(|probe| self.probed.unwrap_or(self.heard) + probe);
        [probe, self.assembler.deadline()].into_iter().flatten().min()
    }

    fn probe(&self) -> Option<Duration> {
        self.config.probe.map(|probe| probe.max(Config::SHORTEST_PROBE))
    }

    fn end(&mut self, end: End) -> End {
        self.framer = Framer::default();
        self.assembler = Assembler::default();
        self.ended = Some(end.clone());
        end
    }

    /// The peer's first message.
    fn greet(&mut self, octets: &[u8]) -> Result<Option<Event>, End> {
        let header = Header::parse(octets).unwrap_or(Header { version: 0, kind: 0, length: 0, xid: 0 });
        let first = decode_with(Context::new(Version::V10), octets).map(|(_, message)| message);
        let hello = match first {
            Ok(Message::Hello(hello)) => hello,
            Ok(Message::Error(error)) => {
                let text = String::from_utf8_lossy(&error.data).into_owned();
                return Err(self.end(End::Refused { text }));
            }
            _ => return Err(self.end(End::Rude { kind: header.kind })),
        };
        let (ours, theirs) = (self.config.versions, hello.versions());
        let Some(version) = ours.and(theirs).newest() else {
            let text = format!("We support {ours}, you support {theirs}, no common versions.");
            let version = theirs.newest().unwrap_or(Version::V10);
            let error = ErrorMessage { error: OfError::OFPHFC_INCOMPATIBLE.into(), data: text.into_bytes() };
            self.outgoing.extend(encode(version, 0, &Message::Error(error)).unwrap_or_default());
            return Err(self.end(End::Versions { ours, theirs }));
        };
        self.state = State::Connected(version);
        self.wanted = if self.config.quiet { AsyncConfig::default() } else { AsyncConfig::usual(version) };
        Ok(Some(Event::Connected(version)))
    }

    /// A message of a peer with whom a version was agreed on.
    fn hear(&mut self, now: Duration, version: Version, octets: Vec<u8>) -> Result<Option<Event>, End> {
        let Some(header) = Header::parse(&octets) else { return Ok(None) };
        if header.version != version.wire() && !Kind::of(&octets).is_ok_and(Kind::is_immutable) {
            self.fail_as(header.version, &octets, OfError::OFPBRC_BAD_VERSION);
            return Ok(None);
        }
        let context = Context {
            version,
            table_ids: self.table_ids,
            tun_metadata: self.tun_metadata.as_deref(),
            debug: self.config.debug,
        };
        let decoded = match self.assembler.take(now, context, &octets) {
            Ok(Assembled::Single) => decode_with(context, &octets).map(|(_, message)| message),
            Ok(Assembled::Held) => return Ok(None),
            Ok(Assembled::Whole(request)) => Ok(Message::MultipartRequest(MultipartRequest::from(request))),
            Err(error) => Err(error),
        };
        let message = match decoded {
            Ok(message) => message,
            Err(error) => {
                self.fail(&octets, error);
                return Ok(None);
            }
        };
        if self.config.side == Side::Switch && self.role == Role::Secondary && role::is_for_others(&message) {
            self.fail(&octets, OfError::OFPBRC_IS_SECONDARY);
            return Ok(None);
        }
        let message = self.keep(header.xid, message);
        Ok(message.map(|message| Event::Message { xid: header.xid, message, octets }))
    }

    /// Answers or remembers what is the session's own, and gives back the rest.
    fn keep(&mut self, xid: u32, message: Message) -> Option<Message> {
        match message {
            Message::Hello(_) | Message::EchoReply(_) => return None,
            Message::EchoRequest(octets) => {
                self.queue(xid, &Message::EchoReply(octets));
                return None;
            }
            _ if self.config.side == Side::Controller => return Some(message),
            Message::SetAsync(AsyncMessage { config, .. }) => {
                self.wanted = config.over(&self.wanted);
                self.wants_packets();
            }
            Message::GetAsyncRequest => {
                let reply = AsyncMessage { format: AsyncFormat::Standard, config: self.told_wanted() };
                self.queue(xid, &Message::GetAsyncReply(reply));
            }
            Message::SetFlowFormat(format) => self.flow_format = format,
            Message::FlowModTableId(on) => self.table_ids = on,
            Message::SetPacketInFormat(format) => self.packet_in_format = format,
            Message::FlowAge => self.flow_age = true,
            Message::SetControllerId(number) => self.controller = number,
            Message::SetConfig(config) => {
                self.miss_send_length = config.miss_send_length;
                return Some(Message::SetConfig(config));
            }
            other => return Some(other),
        }
        None
    }

    /// A tool that asks for messages wants packets too.
    fn wants_packets(&mut self) {
        if self.config.service && self.miss_send_length == 0 {
            self.miss_send_length = SwitchConfig::default().miss_send_length;
        }
    }

    /// What is told of the masks: version 1.3 has no more than three kinds of messages.
    fn told_wanted(&self) -> AsyncConfig {
        let mut config = self.wanted;
        if self.version().is_some_and(|version| version < Version::V14) {
            for masks in [&mut config.primary, &mut config.secondary] {
                (masks.role_status, masks.table_status, masks.request_forward) = (None, None, None);
                (masks.flow_statistics, masks.controller_status) = (None, None);
            }
        }
        config
    }

    /// Queues a message: an answer with its request's number, or one of our own.
    ///
    /// # Errors
    /// If the version cannot say it.
    pub fn send(&mut self, xid: u32, message: &Message) -> Result<(), EncodeError> {
        let octets = encode_with(self.context(), xid, message)?;
        self.outgoing.extend(octets);
        Ok(())
    }

    /// Queues octets of whole messages, as of [`super::message::multipart::FlowReplyWriter`].
    pub fn send_octets(&mut self, octets: &[u8]) {
        self.outgoing.extend_from_slice(octets);
    }

    /// Queues a message that the peer did not ask for, if it wants it and reads fast enough. The answer is whether it was
    /// queued.
    ///
    /// # Errors
    /// If the version cannot say it.
    pub fn tell(&mut self, about: Asynchronous, message: &Message) -> Result<bool, EncodeError> {
        if !self.wants(about) || self.is_congested() {
            return Ok(false);
        }
        self.send(0, message).map(|()| true)
    }

    /// Answers a message that failed. As Open vSwitch does, the answer repeats all of it that fits.
    pub fn fail(&mut self, request: &[u8], error: OfError) {
        let version = self.context().version;
        self.fail_as(version.wire(), request, error);
    }

    /// Answers in the version of the request, if it is known: the peer may not understand another.
    fn fail_as(&mut self, version: u8, request: &[u8], error: OfError) {
        let xid = Header::parse(request).map_or(0, |header| header.xid);
        let version = Version::from_wire(version).unwrap_or(Version::V10);
        let reply = Message::Error(ErrorMessage::reply(error, request));
        self.outgoing.extend(encode(version, xid, &reply).unwrap_or_default());
        debug_assert!(request.len() >= HEADER_LENGTH);
    }

    /// Queues what every version can say.
    fn queue(&mut self, xid: u32, message: &Message) {
        let queued = self.send(xid, message);
        debug_assert!(queued.is_ok(), "every version can say {message:?}");
    }
}
