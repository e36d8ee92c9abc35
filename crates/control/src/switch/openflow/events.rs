//! What connections are told that did not ask: removed flows, ports, packets, roles, tables, changes by others.

use super::bridge::Side;
use super::connection::Connection;
use super::continuation;
use super::ground::Ground;
use super::requests::{monitors, ports, table_status};
use crate::switch::news::{News, PacketIn as Waiting, PortChange};
use netloom_proto::openflow::message::{
    self, Age, Dialect, FlowFormat, FlowRemoved, FlowUpdate, Message, PacketIn, PacketInFormat,
    PacketInReason, PortDescription, PortReason, PortState, PortStatus, RequestForward, Role, RoleReason,
    RoleStatus, TableReason, encode_with,
};
use netloom_proto::openflow::session::Asynchronous;
use netloom_proto::openflow::{FieldId, OfPort, Value, Version};
use netloom_table::{Field, Key};
use netloom_vswitch::openflow::field::{TlvMap, read};
use netloom_vswitch::openflow::translate::{PUNT_PAUSED, REASON_MISS_FLOW};
use netloom_vswitch::openflow::{self as tables, Event, Removal};
use std::collections::BTreeMap;
use std::time::Duration;

/// `inv` of `ct_state`.
const INVALID: u64 = 1 << 4;
/// Reasons of requests that are forwarded (`OFPRFR_*`).
const GROUP_MOD: u8 = 0;
const METER_MOD: u8 = 1;

/// The connections of a bridge: one that is at work, if there is one, and the others.
pub(super) struct Audience<'a> {
    side: &'a mut Side,
    own: Option<&'a mut Connection>,
    others: &'a mut BTreeMap<u64, Connection>,
}

impl<'a> Audience<'a> {
    pub(super) fn new(
        side: &'a mut Side,
        own: Option<&'a mut Connection>,
        others: &'a mut BTreeMap<u64, Connection>,
    ) -> Self {
        Self { side, own, others }
    }

    fn each(&mut self, mut tell: impl FnMut(&mut Connection)) {
        if let Some(own) = &mut self.own {
            tell(own);
        }
        for token in &self.side.connections {
            if let Some(other) = self.others.get_mut(token) {
                tell(other);
            }
        }
    }
}

fn version(connection: &Connection) -> Version {
    connection.session.version().unwrap_or(Version::V10)
}

/// Tells everybody what happened in a bridge.
pub(super) fn tell(audience: &mut Audience<'_>, ground: &impl Ground, news: Vec<News>, now: Duration) {
    let mut updates: BTreeMap<u64, Vec<FlowUpdate>> = BTreeMap::new();
    for item in news {
        match item {
            News::Tables(event) => match *event {
                Event::Removed(removed) => flow_removed(audience, &removed),
                Event::Flow { change, origin, flow, before } => audience.each(|connection| {
                    if connection.monitors.is_empty() {
                        return;
                    }
                    let Some(update) =
                        monitors::update(connection, change, origin, (&flow, before.as_deref()))
                    else {
                        return;
                    };
                    let waiting = updates.entry(connection.token).or_default();
                    // One word for all that one message of the connection's own changed.
                    if waiting.last() != Some(&update) || !matches!(update, FlowUpdate::Abbreviated(_)) {
                        waiting.push(update);
                    }
                }),
                Event::Vacancy { table, up } => vacancy(audience, ground, table, up),
                Event::Meter { .. } => {}
            },
            News::Port(change, entry) => {
                let description = ports::describe(&entry);
                let before = audience.side.ports.get(&entry.number).cloned();
                let reason = match change {
                    PortChange::Added => PortReason::Add,
                    PortChange::Deleted => PortReason::Delete,
                    PortChange::Modified => PortReason::Modify,
                };
                let side = &mut audience.side;
                if change == PortChange::Deleted {
                    side.ports.remove(&entry.number);
                    side.since.remove(&entry.number);
                } else {
                    side.ports.insert(entry.number, description.clone());
                    side.since.entry(entry.number).or_insert(now);
                }
                if change == PortChange::Added && description.state.contains(PortState::LIVE) {
                    // As Open vSwitch tells it: first it is there, then it works. Version 1.0 has no word for that.
                    let still = PortDescription { state: PortState::NONE, ..description.clone() };
                    port(audience, reason, None, &still, None);
                    port(audience, PortReason::Modify, Some(&still), &description, None);
                } else {
                    port(audience, reason, before.as_ref(), &description, None);
                }
            }
            News::Packet(packet) => packet_in(audience, ground, &packet, now),
        }
    }
    let at = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    audience.each(|connection| {
        if let Some(updates) = updates.remove(&connection.token) {
            monitors::write(connection, updates, at);
        }
    });
}

/// Tells of a port. Who changed it itself is not told before OpenFlow 1.5, and nobody of what its version can't say.
pub(super) fn port(
    audience: &mut Audience<'_>,
    reason: PortReason,
    before: Option<&PortDescription>,
    port: &PortDescription,
    source: Option<u64>,
) {
    let message = Message::PortStatus(PortStatus { reason, port: port.clone() });
    let old = before
        .filter(|_| reason == PortReason::Modify)
        .map(|port| Message::PortStatus(PortStatus { reason, port: port.clone() }));
    audience.each(|connection| {
        let about = Asynchronous::PortStatus(reason.number());
        if !connection.session.wants(about) {
            return;
        }
        if source == Some(connection.token) && version(connection) < Version::V15 {
            return;
        }
        let context = connection.session.context();
        let same = |old: &Message| encode_with(context, 0, old) == encode_with(context, 0, &message);
        if !old.as_ref().is_some_and(same) {
            connection.tell(about, &message);
        }
    });
}

fn flow_removed(audience: &mut Audience<'_>, removed: &tables::FlowRemoved) {
    let (view, flow) = (&removed.flow, &removed.flow.flow);
    let mut message = FlowRemoved {
        matching: view.matching.clone(),
        cookie: flow.cookie,
        priority: u16::try_from(view.priority).unwrap_or(u16::MAX),
        reason: removed.reason as u8,
        table: Some(view.table),
        age: Some(Age::of(Duration::from_nanos(view.duration))),
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        packets: flow.packets,
        bytes: flow.octets,
        dialect: Dialect::Standard,
    };
    audience.each(|connection| {
        let about = Asynchronous::FlowRemoved(removed.reason as u8);
        if !connection.session.wants(about) {
            return;
        }
        let nicira =
            version(connection) == Version::V10 && connection.session.flow_format() != FlowFormat::OpenFlow10;
        message.dialect = if nicira { Dialect::Nicira } else { Dialect::Standard };
        let old = removed.reason == Removal::MeterDelete && version(connection) < Version::V14;
        message.reason = if old { Removal::Delete } else { removed.reason } as u8;
        connection.tell(about, &Message::FlowRemoved(message.clone()));
    });
}

fn vacancy(audience: &mut Audience<'_>, ground: &impl Ground, table: u8, up: bool) {
    let reason = if up { TableReason::VacancyUp } else { TableReason::VacancyDown };
    let Some(status) = ground.look(&audience.side.name, |pipeline, _| table_status(pipeline, table, reason))
    else {
        return;
    };
    let message = Message::TableStatus(status);
    audience.each(|connection| {
        if version(connection) >= Version::V14 {
            connection.tell(Asynchronous::TableStatus(reason.number()), &message);
        }
    });
}

/// Fields that a controller is told of a packet beside its octets, where they are not zero.
fn is_told(field: FieldId) -> bool {
    field.as_reg().is_some()
        || field.as_tun_metadata().is_some()
        || [
            FieldId::TUN_ID,
            FieldId::TUN_SRC,
            FieldId::TUN_DST,
            FieldId::TUN_IPV6_SRC,
            FieldId::TUN_IPV6_DST,
            FieldId::TUN_FLAGS,
            FieldId::TUN_GBP_ID,
            FieldId::TUN_GBP_FLAGS,
            FieldId::METADATA,
            FieldId::PKT_MARK,
        ]
        .contains(&field)
        || is_of_connection(field)
}

fn is_of_connection(field: FieldId) -> bool {
    [FieldId::CT_STATE, FieldId::CT_ZONE, FieldId::CT_MARK, FieldId::CT_LABEL].contains(&field)
}

/// The fields of the direction in which the connection of a tracked packet began; none if it is of no connection.
fn original(key: &Key) -> &'static [FieldId] {
    if key.get(Field::CT_STATE) & INVALID != 0 || key.get(Field::CT_PROTO) == 0 {
        return &[];
    }
    match key.get(Field::ETH_TYPE) {
        0x0800 => &[
            FieldId::CT_NW_SRC,
            FieldId::CT_NW_DST,
            FieldId::CT_NW_PROTO,
            FieldId::CT_TP_SRC,
            FieldId::CT_TP_DST,
        ],
        0x86dd => &[
            FieldId::CT_IPV6_SRC,
            FieldId::CT_IPV6_DST,
            FieldId::CT_NW_PROTO,
            FieldId::CT_TP_SRC,
            FieldId::CT_TP_DST,
        ],
        _ => &[],
    }
}

/// What is known of a packet beside its octets.
fn metadata(packet: &Waiting, map: &TlvMap) -> netloom_proto::openflow::Match {
    let mut key = packet.key.clone();
    let mut tracked = key.get(Field::CT_STATE) != 0;
    if let Some(state) = &packet.state {
        state.restore(&mut key);
        tracked &= state.tracked;
    }
    let mut metadata = netloom_proto::openflow::Match::any();
    metadata.set_number(FieldId::IN_PORT, packet.in_port.0.into());
    if tracked {
        // What is known of the connection is read by it.
        metadata.set_number(FieldId::ETH_TYPE, key.get(Field::ETH_TYPE).into());
        for field in original(&key) {
            metadata.set(*field, &read(&key, *field, map));
        }
    }
    for field in FieldId::all().filter(|field| is_told(*field) && (tracked || !is_of_connection(*field))) {
        let value: Value = read(&key, field, map);
        if !value.is_zero() {
            metadata.set(field, &value);
        }
    }
    metadata
}

fn packet_in(audience: &mut Audience<'_>, ground: &impl Ground, packet: &Waiting, now: Duration) {
    let punt = &packet.punt;
    let map = ground.look(&audience.side.name, |pipeline, _| pipeline.tlv_map().clone()).unwrap_or_default();
    let waits = punt.kind == PUNT_PAUSED;
    let told = PacketIn {
        format: PacketInFormat::Standard,
        buffer: None,
        total_length: u32::try_from(packet.length).unwrap_or(u32::MAX),
        reason: punt.reason,
        table: punt.table,
        cookie: Some(punt.cookie),
        metadata: metadata(packet, &map),
        packet: packet.octets.clone(),
        userdata: punt.data.to_vec(),
        continuation: waits.then(|| continuation::write(punt.state, punt.table, punt.cookie)),
    };
    audience.each(|connection| {
        let (version, format) = (version(connection), connection.session.packet_in_format());
        let number = match punt.reason {
            REASON_MISS_FLOW if version >= Version::V13 => PacketInReason::NoMatch.number(),
            REASON_MISS_FLOW => PacketInReason::Action.number(),
            reason => PacketInReason::from_number(reason).map_or(reason, |reason| reason.number_in(version)),
        };
        let about = Asynchronous::PacketIn(number);
        if connection.session.controller() != punt.controller || !connection.session.wants(about) {
            return;
        }
        let reason = number;
        let message = PacketIn { format, reason, ..told.clone() };
        if let Some(packet) = connection.throttle.pass(message, now) {
            connection.tell(about, &Message::PacketIn(packet));
        }
    });
}

/// Tells all but one connection that this one changed a group or a meter.
pub(super) fn forward(audience: &mut Audience<'_>, source: u64, xid: u32, request: Message) {
    let meter = matches!(request, Message::MeterMod(_));
    let about = Asynchronous::RequestForward(if meter { METER_MOD } else { GROUP_MOD });
    let message = Message::RequestForward(RequestForward { xid, request: Box::new(request) });
    audience.each(|connection| {
        if connection.token != source && !(meter && version(connection) < Version::V13) {
            connection.tell(about, &message);
        }
    });
}

/// Has everybody but one who was primary be secondary.
pub(super) fn demote(audience: &mut Audience<'_>, source: u64, generation: Option<u64>) {
    let status =
        RoleStatus { role: Role::Secondary, reason: RoleReason::PrimaryRequest.number(), generation };
    audience.each(|connection| {
        if connection.token != source && connection.session.demote() && version(connection) >= Version::V13 {
            let _ = connection.session.send(0, &Message::RoleStatus(status));
        }
    });
}

/// What is sent to a controller that may not have taken us yet: a packet that nobody sent, so that it answers (`fail-open`
/// of Open vSwitch).
pub(super) fn bogus_packet(address: [u8; 6]) -> PacketIn {
    // A reverse ARP request.
    let mut octets = vec![0xff; 6];
    octets.extend(address);
    octets.extend([0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3]);
    octets.extend(address);
    octets.extend([0; 4]);
    octets.extend(address);
    octets.extend([0; 4]);
    octets.resize(60, 0);
    let reason = message::PacketInReason::NoMatch.number();
    PacketIn {
        reason,
        cookie: Some(u64::MAX),
        ..PacketIn::new(PacketInFormat::Standard, OfPort::LOCAL, octets)
    }
}
