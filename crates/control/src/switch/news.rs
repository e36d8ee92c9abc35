//! What connections to controllers are to be told, waiting for the thread that has them.
//!
//! Invariants: nothing is kept while nobody listens. Packets that nobody takes are lost beyond [`PACKETS`], other news
//! beyond [`MOST`]; both are counted. The order in which things happened in a bridge is kept.

use super::brain::Bridges;
use netloom_datapath::Heard;
use netloom_nf::Punt;
use netloom_proto::openflow::OfPort;
use netloom_table::{Field, Key};
use netloom_vswitch::openflow::{BridgeNumber, Event, Frozen, OfPortEntry, Pipeline, bridge_of_state};
use rustix::event::EventfdFlags;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Most packets of a bridge that wait.
const PACKETS: usize = 1024;
/// Most other news of a bridge that wait.
const MOST: usize = 1 << 17;

/// What happened in a bridge.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// In its tables; never [`Event::Meter`].
    Tables(Box<Event>),
    /// A port came, went or changed.
    Port(PortChange, Box<OfPortEntry>),
    /// A packet is for controllers.
    Packet(Box<PacketIn>),
}

/// What became of a port (`OFPPR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortChange {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// It changed.
    Modified,
}

/// A packet for controllers.
#[derive(Debug, Clone)]
pub(super) struct PacketIn {
    /// Whose it is.
    pub(super) bridge: BridgeNumber,
    /// What the program said: reason, table, cookie, controller, how many octets (0 for all), `data` (userdata), and in
    /// `state` the number of what was frozen.
    pub(super) punt: Arc<Punt>,
    /// Registers, metadata, and what is left to do if it is a continuation. None if it was forgotten meanwhile.
    pub(super) state: Option<Arc<Frozen>>,
    /// The port in OpenFlow.
    pub(super) in_port: OfPort,
    /// What travelled beside it (tunnel, connection, marks), in the data path's form.
    pub(super) key: Box<Key>,
    /// Its octets, as many as were asked for.
    pub(super) octets: Vec<u8>,
    /// Octets of all of it.
    pub(super) length: usize,
}

impl PacketIn {
    /// What a program gave to the brain; none if its bridge is gone.
    pub(super) fn of(heard: Heard, bridges: &Bridges) -> Option<Self> {
        let Heard { punt, key, octets, length } = heard;
        let bridge = bridge_of_state(punt.state);
        let pipeline = bridges.pipelines.get(&bridge)?;
        let state = pipeline.frozen_state(punt.state);
        let port = || pipeline.port_of(key.get(Field::IN_PORT) as u32).unwrap_or(OfPort::NONE);
        let in_port = state.as_ref().map_or_else(port, |state| state.in_port);
        Some(Self { bridge, punt, state, in_port, key, octets, length })
    }
}

/// What waits of one bridge.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    news: VecDeque<News>,
    packets: usize,
    /// Packets that found no room.
    pub(super) lost_packets: u64,
    /// Other news that found no room.
    pub(super) lost_news: u64,
}

impl Outbox {
    fn put(&mut self, news: News) {
        match news {
            News::Packet(_) if self.packets >= PACKETS => self.lost_packets += 1,
            News::Packet(_) => {
                self.packets += 1;
                self.news.push_back(news);
            }
            _ if self.news.len() - self.packets >= MOST => self.lost_news += 1,
            _ => self.news.push_back(news),
        }
    }

    /// Everything that waits.
    pub(super) fn take(&mut self) -> VecDeque<News> {
        self.packets = 0;
        std::mem::take(&mut self.news)
    }
}

impl Bridges {
    /// Tells those who listen; [`Bridges::ring_listener`] wakes them.
    pub(super) fn tell(&mut self, bridge: BridgeNumber, news: News) {
        if self.listener.is_some() {
            self.outboxes.entry(bridge).or_default().put(news);
        }
    }

    /// Everything that waits of a bridge.
    pub(super) fn take_news(&mut self, bridge: BridgeNumber) -> VecDeque<News> {
        self.outboxes.get_mut(&bridge).map(Outbox::take).unwrap_or_default()
    }

    /// From now on news are kept; the bell is rung when there are some.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn listen(&mut self) -> std::io::Result<Arc<OwnedFd>> {
        if let Some(bell) = &self.listener {
            return Ok(bell.clone());
        }
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = Arc::new(rustix::event::eventfd(0, flags)?);
        self.listener = Some(bell.clone());
        Ok(bell)
    }

    /// Hands over what happened in the tables of a bridge, but for meters, which are for the workers.
    pub(super) fn gather_events(&mut self, bridge: BridgeNumber) {
        let events = self.pipelines.get_mut(&bridge).map(Pipeline::take_events).unwrap_or_default();
        if events.is_empty() {
            return;
        }
        for event in events {
            match event {
                Event::Meter { number, meter } => self.note_meter(number, meter.as_deref()),
                event => self.tell(bridge, News::Tables(Box::new(event))),
            }
        }
        self.ring_listener();
    }
}
