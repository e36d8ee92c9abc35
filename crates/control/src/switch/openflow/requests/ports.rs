//! Ports and their queues: how they are, what they counted, how they are to be.

use super::super::events;
use super::super::ground::{Ground, PortCounts, QueueCounts};
use super::{Handled, Turn};
use netloom_mem::PortNumber;
use netloom_proto::openflow::message::{
    ALL_QUEUES, Age, Message, PortConfig, PortDescription, PortFeatures, PortMod, PortReason, PortState,
    PortStatistics, QueueConfig, QueueConfigReply, QueueSelection, QueueStatistics, Reply,
};
use netloom_proto::openflow::{OfError, OfPort};
use netloom_vswitch::openflow::OfPortEntry;
use std::time::Duration;

/// A port in the words of messages.
pub(in super::super) fn describe(entry: &OfPortEntry) -> PortDescription {
    let down = entry.is(OfPortEntry::DOWN);
    let mut state = PortState::LINK_DOWN.when(!entry.live || down);
    if !entry.forwards {
        state = state.or(PortState::BLOCKED);
    }
    if entry.works() && entry.forwards {
        state = state.or(PortState::LIVE);
    }
    PortDescription {
        number: entry.number,
        address: entry.address,
        name: entry.name.clone(),
        config: PortConfig::from_bits(entry.config),
        state,
        current: PortFeatures::NONE,
        advertised: PortFeatures::NONE,
        supported: PortFeatures::NONE,
        peer: PortFeatures::NONE,
        current_speed: 0,
        maximum_speed: 0,
    }
}

fn statistics(port: OfPort, counts: &PortCounts, age: Duration) -> PortStatistics {
    PortStatistics {
        received_packets: counts.received,
        sent_packets: counts.sent,
        received_bytes: counts.received_octets,
        sent_bytes: counts.sent_octets,
        sent_dropped: counts.sent_dropped,
        // What is wrong on a wire no driver here tells, nor what it could not take in.
        age: Some(Age::of(age)),
        ..PortStatistics::unknown(port)
    }
}

fn queue_statistics(port: OfPort, counts: &QueueCounts) -> QueueStatistics {
    QueueStatistics {
        port,
        queue: counts.queue,
        sent_bytes: counts.octets,
        sent_packets: counts.packets,
        sent_errors: counts.errors,
        age: Some(match counts.age {
            u64::MAX => Age { seconds: u32::MAX, nanoseconds: u32::MAX },
            age => Age::of(Duration::from_nanos(age)),
        }),
    }
}

impl<G: Ground> Turn<'_, G> {
    /// Some ports of the bridge: one, or all.
    fn ports<T>(&self, port: OfPort, tell: impl Fn(&OfPortEntry) -> T) -> Vec<T> {
        let told = self.look(|pipeline, _| {
            let all = pipeline.ports().filter(|entry| port == OfPort::NONE || entry.number == port);
            all.map(&tell).collect()
        });
        told.unwrap_or_default()
    }

    pub(super) fn port_descriptions(&self, port: OfPort) -> Reply {
        Reply::PortDescriptions(self.ports(port, describe))
    }

    pub(super) fn port_statistics(&self, port: OfPort) -> Reply {
        let ports = self.ports(port, |entry| (entry.number, entry.port));
        let age = |number: OfPort| {
            let since = self.side.since.get(&number).copied();
            self.now.saturating_sub(since.unwrap_or(self.now))
        };
        let tell = |(number, port)| statistics(number, &self.ground.counts(port), age(number));
        Reply::Ports(ports.into_iter().map(tell).collect())
    }

    /// The queues that are asked for, by ports.
    fn queues(&self, selection: QueueSelection) -> Result<Vec<(OfPort, Vec<QueueCounts>)>, OfError> {
        let ports: Vec<(OfPort, PortNumber)> = self.ports(selection.port, |entry| (entry.number, entry.port));
        if ports.is_empty() && selection.port != OfPort::NONE {
            return Err(OfError::OFPQOFC_BAD_PORT);
        }
        let wanted = |counts: &QueueCounts| selection.queue == ALL_QUEUES || counts.queue == selection.queue;
        let of = |(number, port)| {
            let queues: Vec<_> = self.ground.queues(port).into_iter().filter(wanted).collect();
            (selection.queue == ALL_QUEUES || !queues.is_empty()).then_some((number, queues))
        };
        let found: Vec<_> = ports.into_iter().filter_map(of).collect();
        // Of a queue that nobody has nothing can be told.
        if found.is_empty() { Err(OfError::OFPQOFC_BAD_QUEUE) } else { Ok(found) }
    }

    pub(super) fn queue_statistics(&self, selection: QueueSelection) -> Result<Reply, OfError> {
        let found = self.queues(selection)?;
        let of = |(port, queues): &(OfPort, Vec<QueueCounts>)| {
            queues.iter().map(|counts| queue_statistics(*port, counts)).collect::<Vec<_>>()
        };
        Ok(Reply::Queues(found.iter().flat_map(of).collect()))
    }

    fn queue_configs(&self, selection: QueueSelection) -> Result<Vec<QueueConfig>, OfError> {
        let of = |(port, queues): (OfPort, Vec<QueueCounts>)| {
            // Rates of queues are in the database, in words that messages don't have.
            let config = move |counts: QueueCounts| QueueConfig {
                port,
                queue: counts.queue,
                minimum_rate: None,
                maximum_rate: None,
            };
            queues.into_iter().map(config)
        };
        Ok(self.queues(selection)?.into_iter().flat_map(of).collect())
    }

    pub(super) fn queue_descriptions(&self, selection: QueueSelection) -> Result<Reply, OfError> {
        self.queue_configs(selection).map(Reply::QueueDescriptions)
    }

    pub(super) fn queue_config(&mut self, xid: u32, selection: QueueSelection) -> Handled {
        let queues = self.queue_configs(selection)?;
        let reply = QueueConfigReply { port: selection.port, queues };
        self.connection.reply(xid, &Message::QueueConfigReply(reply))
    }

    /// Whether a port can be set so.
    pub(super) fn check_port(&self, told: &PortMod) -> Handled {
        let address = self.look(|pipeline, _| pipeline.port(told.number).map(|entry| entry.address))?;
        match address {
            None => Err(OfError::OFPPMFC_BAD_PORT),
            Some(address) if address != told.address => Err(OfError::OFPPMFC_BAD_HW_ADDR),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn port_mod(&mut self, told: &PortMod) -> Handled {
        self.check_port(told)?;
        let mask = told.mask.bits();
        let changed = self.work(|pipeline, _| {
            let before = pipeline.port(told.number)?.clone();
            let config = before.config & !mask | told.config.bits() & mask;
            if config == before.config {
                return None;
            }
            let after = OfPortEntry { config, ..before.clone() };
            pipeline.set_port(after.clone());
            Some((before, after))
        })?;
        if let Some((before, after)) = changed {
            let (before, description) = (describe(&before), describe(&after));
            self.side.ports.insert(after.number, description.clone());
            let source = self.connection.token;
            let mut audience = events::Audience::new(self.side, Some(self.connection), self.others);
            events::port(&mut audience, PortReason::Modify, Some(&before), &description, Some(source));
        }
        self.tell_others();
        Ok(())
    }
}
