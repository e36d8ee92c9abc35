//! What a connection does in one turn: a bounded number of messages, flow mods that came together at once.

use super::connection::Purpose;
use super::ground::Ground;
use super::requests::{Incoming, Turn};
use netloom_proto::openflow::Version;
use netloom_proto::openflow::message::Message;
use netloom_proto::openflow::session::{Asynchronous, End, Event};
use std::time::{Duration, Instant};

/// Messages of a turn.
const MESSAGES: usize = 1024;
/// After so long a turn ends; the others have theirs.
const TURN: Duration = Duration::from_millis(2);
/// Flow mods that are done at once, while packets that no flow knows wait.
const BATCH: usize = 128;
/// The number of the reason for packets that no flow wants.
const NO_MATCH: u8 = 0;

/// How a turn ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// There is nothing more to do until the peer says or reads something.
    Idle,
    /// There is more.
    More,
    /// The connection is over.
    Ended(End),
}

/// Whether a message shows that a controller has taken us, and does not only look at what we are.
const fn admits(message: &Message) -> bool {
    !matches!(
        message,
        Message::Error(_)
            | Message::FeaturesRequest
            | Message::GetConfigRequest
            | Message::SetConfig(_)
            | Message::QueueConfigRequest(_)
            | Message::GetAsyncRequest
    )
}

impl<G: Ground> Turn<'_, G> {
    /// Does what the peer asks, as far as this turn goes. `heard` gets all that was read, if somebody listens.
    pub(super) fn run(&mut self, mut heard: Option<&mut Vec<u8>>) -> Outcome {
        let mut budget = MESSAGES;
        let began = Instant::now();
        loop {
            if self.connection.dump.is_some() {
                self.go_on(began + TURN);
                if self.connection.dump.is_some() {
                    return if self.connection.session.is_congested() {
                        Outcome::Idle
                    } else {
                        Outcome::More
                    };
                }
            }
            self.connection.feed(self.now);
            if budget == 0 || began.elapsed() > TURN {
                return Outcome::More;
            }
            let (mut batch, mut other, mut stop) = (Vec::new(), None, None);
            while budget > 0 && batch.len() < BATCH && other.is_none() && stop.is_none() {
                match self.connection.session.next(self.now) {
                    Ok(Some(Event::Message { xid, message: Message::FlowMod(told), octets })) => {
                        if let Some(heard) = &mut heard {
                            heard.extend_from_slice(&octets);
                        }
                        batch.push(Incoming { xid, octets, told });
                    }
                    Ok(Some(event)) => other = Some(event),
                    Ok(None) => stop = Some(Outcome::Idle),
                    Err(end) => stop = Some(Outcome::Ended(end)),
                }
                budget = budget.saturating_sub(1);
            }
            if !batch.is_empty() {
                self.connection.admitted = true;
                self.flow_mods(batch);
            }
            match other {
                Some(Event::Connected(version)) => self.connected(version),
                Some(Event::Message { xid, message, octets }) => {
                    if let Some(heard) = &mut heard {
                        heard.extend_from_slice(&octets);
                    }
                    self.connection.admitted |= admits(&message);
                    if self.connection.purpose != Purpose::Snoop {
                        self.handle(Incoming { xid, octets, told: message });
                    }
                }
                None => {}
            }
            match stop {
                Some(Outcome::Idle) => {
                    let session = &self.connection.session;
                    let full = session.is_congested() || self.connection.is_drained();
                    if full && self.connection.dump.is_none() {
                        return Outcome::Idle;
                    }
                }
                Some(stop) => return stop,
                None => {}
            }
        }
    }

    fn connected(&mut self, version: Version) {
        tracing::debug!(bridge = self.side.name, %version, "a controller is connected");
        self.connection.session.set_tun_metadata(Some(self.side.lengths));
    }

    /// Sees whether packets that no flow wants go to this connection because its version is an old one. The answer is whether
    /// that changed.
    pub(super) fn notes_misses(&mut self) -> bool {
        let session = &self.connection.session;
        let old = session.version().is_some_and(|version| version < Version::V13);
        let asks = old && session.controller() == 0 && session.wants(Asynchronous::PacketIn(NO_MATCH));
        std::mem::replace(&mut self.connection.asks, asks) != asks
    }

    /// Has the tables send packets that no flow wants to controllers while one of an old version wants them.
    pub(super) fn follow_misses(&mut self) {
        let others = self.side.connections.iter().filter_map(|token| self.others.get(token));
        let asks = self.connection.asks || others.into_iter().any(|other| other.asks);
        follow_misses(self.side, self.ground, asks);
    }
}

/// Has the tables send packets that no flow wants to controllers, or not.
pub(super) fn follow_misses(side: &mut super::bridge::Side, ground: &impl Ground, asks: bool) {
    if std::mem::replace(&mut side.old_controllers, asks) != asks {
        ground.work(&side.name, |pipeline, _| {
            let options = netloom_vswitch::openflow::PipelineOptions {
                old_controllers: asks,
                ..pipeline.options().clone()
            };
            pipeline.set_options(options);
        });
    }
}
