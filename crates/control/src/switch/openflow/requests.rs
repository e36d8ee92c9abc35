//! What a connection asks, and what it is answered.
//!
//! What: a [`Turn`] is one connection at its bridge, with the others there; each kind of request has a file. What is wrong
//! is the error that Open vSwitch 3.1 answers with.
//!
//! Invariants: the lock of the bridges ([`Ground::work`]) is held for one message, one bundle, one slice of an answer, or
//! some flow mods that came together, and never while something is written.

pub(super) mod bundles;
pub(super) mod flows;
mod groups;
mod meters;
pub(super) mod monitors;
mod packets;
pub(super) mod ports;
mod roles;
mod switch;
mod table_features;
mod tables;

use super::bridge::Side;
use super::connection::Connection;
use super::events;
use super::ground::Ground;
use netloom_proto::openflow::message::{Message, MultipartReply, Reply, Request};
use netloom_proto::openflow::{OfError, Version};
use netloom_vswitch::openflow::Pipeline;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(super) use tables::status as table_status;

/// For so long counts are exact enough.
const COUNTED: Duration = Duration::from_millis(1);

/// What came of a request that needs no other answer.
pub(super) type Handled = Result<(), OfError>;

/// A message as it came.
#[derive(Debug)]
pub(super) struct Incoming<T> {
    pub(super) xid: u32,
    pub(super) octets: Vec<u8>,
    pub(super) told: T,
}

/// One connection at work.
pub(super) struct Turn<'a, G: Ground> {
    pub(super) ground: &'a G,
    pub(super) side: &'a mut Side,
    pub(super) connection: &'a mut Connection,
    /// All other connections, those of other bridges too.
    pub(super) others: &'a mut BTreeMap<u64, Connection>,
    pub(super) now: Duration,
}

impl<G: Ground> Turn<'_, G> {
    /// Does what a message asks, and answers.
    pub(super) fn handle(&mut self, incoming: Incoming<Message>) {
        let Incoming { xid, octets, told } = incoming;
        if let Err(error) = self.carry_out(xid, told, &octets) {
            tracing::debug!(bridge = self.side.name, %error, "a request is refused");
            self.connection.session.fail(&octets, error);
        }
    }

    fn carry_out(&mut self, xid: u32, message: Message, octets: &[u8]) -> Handled {
        match message {
            Message::FeaturesRequest => self.features(xid),
            Message::GetConfigRequest => self.get_config(xid),
            Message::SetConfig(config) => self.set_config(&config),
            Message::PacketOut(packet) => self.packet_out(packet),
            Message::Resume(packet) => self.resume(packet),
            Message::FlowMod(told) => {
                let incoming = Incoming { xid, octets: octets.to_vec(), told };
                self.flow_mods(vec![incoming]);
                Ok(())
            }
            Message::GroupMod(group) => self.group_mod(xid, group),
            Message::MeterMod(meter) => self.meter_mod(xid, meter),
            Message::PortMod(port) => self.port_mod(&port),
            Message::TableMod(table) => self.table_mod(&table),
            Message::MultipartRequest(request) => self.multipart(xid, request.request, octets),
            Message::BarrierRequest => self.connection.reply(xid, &Message::BarrierReply),
            Message::QueueConfigRequest(queues) => self.queue_config(xid, queues),
            Message::RoleRequest(role) => self.role(xid, &role),
            Message::BundleControl(control) => self.bundle_control(xid, control, octets),
            Message::BundleAdd(add) => self.bundle_add(xid, add, octets),
            Message::FlowMonitorCancel(monitor) => self.cancel_monitor(monitor),
            Message::TlvTableMod(told) => self.tlv_mod(&told),
            Message::TlvTableRequest => self.tlv_table(xid),
            Message::ConntrackFlushZone(zone) => {
                self.ground.forget_connections(Some(zone), None);
                Ok(())
            }
            Message::ConntrackFlush(flush) => {
                self.ground.forget_connections(flush.zone, Some(&flush));
                Ok(())
            }
            // A peer that complains is noted, and gets no complaint of its own.
            Message::Error(error) => {
                tracing::info!(bridge = self.side.name, ?error, "a controller reports an error");
                Ok(())
            }
            Message::MultipartReply(_) => Err(OfError::OFPBRC_BAD_STAT),
            _ => Err(OfError::OFPBRC_BAD_TYPE),
        }
    }

    fn multipart(&mut self, xid: u32, request: Request, octets: &[u8]) -> Handled {
        if matches!(
            request,
            Request::Aggregate(_) | Request::Tables | Request::Groups(_) | Request::Meters(_)
        ) {
            self.count();
        }
        let reply = match request {
            Request::Description => self.description(),
            Request::Flows(selection) => {
                self.count();
                return self.flows(xid, &selection, false);
            }
            Request::FlowCounters(selection) => {
                self.count();
                return self.flows(xid, &selection, true);
            }
            Request::Aggregate(selection) => self.aggregate(&selection)?,
            Request::FlowMonitors(monitors) => return self.monitor(xid, monitors, octets),
            Request::Tables => self.table_statistics(),
            Request::Ports(port) => self.port_statistics(port),
            Request::Queues(queues) => self.queue_statistics(queues)?,
            Request::Groups(group) => self.group_statistics(group),
            Request::GroupDescriptions(group) => self.group_descriptions(group),
            Request::GroupFeatures => groups::features(self.version()),
            Request::Meters(meter) => self.meter_statistics(meter)?,
            Request::MeterConfigs(meter) => self.meter_configs(meter)?,
            Request::MeterFeatures => meters::features(),
            Request::TableFeatures(tables) => self.table_features(tables)?,
            Request::PortDescriptions(port) => self.port_descriptions(port),
            Request::TableDescriptions => self.table_descriptions(),
            Request::QueueDescriptions(queues) => self.queue_descriptions(queues)?,
            Request::BundleFeatures(_) => bundles::features(),
            // Open vSwitch 3.1 has none either.
            Request::ControllerStatus => return Err(OfError::OFPBRC_BAD_STAT),
            Request::IpfixBridge => {
                let statistics = self.ground.bridge_samples(&self.side.name);
                Reply::IpfixBridge(statistics.ok_or(OfError::NXST_NOT_CONFIGURED)?)
            }
            Request::IpfixFlow => match self.ground.flow_samples(&self.side.name) {
                statistics if statistics.is_empty() => return Err(OfError::NXST_NOT_CONFIGURED),
                statistics => Reply::IpfixFlow(statistics),
            },
        };
        self.answer(xid, reply)
    }

    /// Answers with statistics or descriptions.
    fn answer(&mut self, xid: u32, reply: Reply) -> Handled {
        self.connection.reply(xid, &Message::MultipartReply(MultipartReply { more: false, reply }))
    }

    /// The version that the peer speaks.
    fn version(&self) -> Version {
        self.connection.session.version().unwrap_or(Version::V10)
    }

    /// Changes the tables; a bridge that is going away has none.
    fn work<T>(&self, work: impl FnOnce(&mut Pipeline, u64) -> T) -> Result<T, OfError> {
        self.ground.work(&self.side.name, work).ok_or(OfError::OFPBRC_EPERM)
    }

    /// Has packets counted before somebody is told of them; workers are not asked more often than makes sense.
    fn count(&mut self) {
        if self.side.counted.is_none_or(|at| at.elapsed() >= COUNTED) {
            self.ground.count();
            self.side.counted = Some(Instant::now());
        }
    }

    /// Looks at the tables.
    fn look<T>(&self, look: impl FnOnce(&Pipeline, u64) -> T) -> Result<T, OfError> {
        self.ground.look(&self.side.name, look).ok_or(OfError::OFPBRC_EPERM)
    }

    /// Tells all connections what came of it.
    fn tell_others(&mut self) {
        let news = self.ground.news(&self.side.name);
        if !news.is_empty() {
            let mut audience = events::Audience::new(self.side, Some(self.connection), self.others);
            events::tell(&mut audience, self.ground, news, self.now);
        }
    }
}
