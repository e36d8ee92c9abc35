//! Flows: changes, and answers about them.

use super::super::ground::Ground;
use super::{Handled, Incoming, Turn};
use netloom_proto::openflow::action::{Limits, check, fit_tun_metadata};
use netloom_proto::openflow::message::multipart::FlowReplyWriter;
use netloom_proto::openflow::message::{
    self, Age, AggregateStatistics, Dialect, FlowCounters, FlowFlags, FlowSelection, FlowState, Message,
    MultipartReply, Reply,
};
use netloom_proto::openflow::{Action, Match, OfError, OfPort, Version};
use netloom_vswitch::openflow::{Command, FlowFilter, FlowId, FlowMod, FlowView, Pipeline};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The table that is the switch's own: nobody changes it.
const OWN_TABLE: u8 = 254;
/// Flows of an answer that are read at once, while the tables can't change.
const SLICE: usize = 128;

/// Flows of an answer that tells only counters, in a turn.
const COUNTERS: usize = 4096;

/// What flows of a connection are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) version: Version,
    /// Octets of each option of tunnels that has a field.
    pub(super) lengths: &'a [u8; 64],
}

impl Rules<'_> {
    /// Gives values of tunnel metadata the lengths of the bridge's options.
    pub(super) fn fit(&self, matching: &mut Match) -> Handled {
        let length = |number: u8| self.lengths.get(usize::from(number)).copied().filter(|octets| *octets > 0);
        matching.fit_tun_metadata(length)
    }

    /// A change as the tables want it, after everything was checked that needs no table.
    /// Actions that are the `known` ones, those of the flow before, are shared with it.
    pub(super) fn prepare(
        &self,
        mut told: message::FlowMod,
        origin: u64,
        known: &mut Option<Arc<[Action]>>,
    ) -> Result<FlowMod, OfError> {
        self.fit(&mut told.matching)?;
        fit_tun_metadata(&mut told.actions, self.lengths)?;
        let limits =
            Limits { ports: OfPort::MAX, tables: u8::MAX, table: told.table.unwrap_or(message::ALL_TABLES) };
        // Without a table a new flow goes into the first.
        let consistent = check(&told.actions, &told.matching, limits)?;
        if !consistent && self.version > Version::V10 {
            return Err(OfError::OFPBAC_MATCH_INCONSISTENT);
        }
        let told_actions = std::mem::take(&mut told.actions);
        let actions = match known {
            Some(known) if **known == *told_actions => known.clone(),
            known => known.insert(told_actions.into()).clone(),
        };
        let waits = told.buffer.is_some();
        let mut request = FlowMod::with_actions(told, actions);
        request.origin = origin;
        if request.command == Command::Add && request.table == Some(OWN_TABLE) {
            return Err(OfError::OFPBRC_EPERM);
        }
        if waits && !matches!(request.command, Command::Delete | Command::DeleteStrict) {
            return Err(OfError::OFPBRC_BUFFER_UNKNOWN);
        }
        Ok(request)
    }

    fn filter(&self, selection: &FlowSelection) -> Result<FlowFilter, OfError> {
        let mut matching = selection.matching.clone();
        self.fit(&mut matching)?;
        matching.normalise();
        Ok(FlowFilter {
            matching,
            table: Some(selection.table).filter(|table| *table != message::ALL_TABLES),
            cookie: selection.cookie.unwrap_or((0, 0)),
            out_port: selection.out_port,
            out_group: selection.out_group,
            ..FlowFilter::default()
        })
    }
}

/// An answer about flows that is being written, a slice at a time: between two slices tables may change, as they may
/// between two messages. A flow that goes meanwhile is left out.
#[derive(Debug)]
pub(in super::super) struct Dump {
    xid: u32,
    dialect: Dialect,
    /// Only counters are asked for.
    counters: bool,
    flows: Vec<FlowId>,
    next: usize,
}

fn age(nanoseconds: u64) -> Age {
    Age::of(Duration::from_nanos(nanoseconds))
}

fn seconds(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds / 1_000_000_000).unwrap_or(u32::MAX)
}

/// How a flow is, in the words of messages.
pub(super) fn state(view: &FlowView) -> FlowState {
    let flow = &view.flow;
    FlowState {
        table: view.table,
        priority: u16::try_from(view.priority).unwrap_or(u16::MAX),
        cookie: flow.cookie,
        age: Some(age(view.duration)),
        idle_timeout: flow.idle_timeout,
        hard_timeout: flow.hard_timeout,
        importance: flow.importance,
        flags: FlowFlags::from_bits(flow.flags.0),
        idle_age: Some(seconds(view.idle)),
        hard_age: Some(seconds(view.age)),
        packets: flow.packets,
        bytes: flow.octets,
    }
}

/// A flow with its ages as they are now.
fn look(pipeline: &Pipeline, id: FlowId, now: u64) -> Option<FlowView> {
    let mut view = pipeline.view(id)?;
    view.duration = now.saturating_sub(view.flow.created);
    view.idle = now.saturating_sub(view.flow.used);
    view.age = now.saturating_sub(view.flow.modified);
    Some(view)
}

impl<G: Ground> Turn<'_, G> {
    /// Makes changes that came one behind the other, each by itself, at once.
    pub(in super::super) fn flow_mods(&mut self, batch: Vec<Incoming<message::FlowMod>>) {
        let rules = Rules { version: self.version(), lengths: &self.side.lengths };
        let mut refused: Vec<(Vec<u8>, OfError)> = Vec::new();
        let mut ready = Vec::with_capacity(batch.len());
        for Incoming { xid, octets, told } in batch {
            let origin = self.connection.origin(xid);
            match rules.prepare(told, origin, &mut self.connection.actions) {
                Ok(request) => ready.push((octets, request)),
                Err(error) => refused.push((octets, error)),
            }
        }
        let late = self.ground.work(&self.side.name, |pipeline, now| {
            let done = ready.iter().map(|(_, request)| pipeline.flow_mod(request, now).err());
            done.collect::<Vec<_>>()
        });
        let late = late.unwrap_or_default();
        let failed = ready.into_iter().zip(late);
        refused.extend(failed.filter_map(|((octets, _), failure)| Some((octets, failure?.error))));
        for (octets, error) in refused {
            tracing::debug!(bridge = self.side.name, %error, "a change of flows is refused");
            self.connection.session.fail(&octets, error);
        }
        self.tell_others();
    }

    pub(super) fn aggregate(&mut self, selection: &FlowSelection) -> Result<Reply, OfError> {
        let rules = Rules { version: self.version(), lengths: &self.side.lengths };
        let filter = rules.filter(selection)?;
        let sums = self.look(|pipeline, _| pipeline.aggregate(&filter))?;
        let sums = sums.map_err(|_| OfError::OFPBMC_BAD_FIELD)?;
        Ok(Reply::Aggregate(AggregateStatistics {
            packets: sums.packets,
            bytes: sums.octets,
            flows: u32::try_from(sums.flows).unwrap_or(u32::MAX),
            dialect: selection.dialect,
        }))
    }

    /// Begins an answer about flows, which goes on as the peer reads.
    pub(super) fn flows(&mut self, xid: u32, selection: &FlowSelection, counters: bool) -> Handled {
        let rules = Rules { version: self.version(), lengths: &self.side.lengths };
        let filter = rules.filter(selection)?;
        let flows = self.look(|pipeline, _| pipeline.select(&filter))?;
        let flows = flows.map_err(|_| OfError::OFPBMC_BAD_FIELD)?;
        let dump = Dump { xid, dialect: selection.dialect, counters, flows, next: 0 };
        self.connection.dump = Some(Box::new(dump));
        self.go_on(Instant::now());
        Ok(())
    }

    /// Goes on with an answer, as far as this turn and the peer allow. Slices of a turn share messages.
    pub(in super::super) fn go_on(&mut self, until: Instant) {
        let Some(mut dump) = self.connection.dump.take() else { return };
        let session = &self.connection.session;
        let room = session.room();
        let Ok(mut writer) = FlowReplyWriter::new(session.context(), dump.xid, dump.dialect) else { return };
        let (mut octets, mut told) = (Vec::new(), Vec::new());
        let last = loop {
            let slice = dump.flows.get(dump.next..).unwrap_or_default();
            let slice = slice.get(..SLICE).unwrap_or(slice);
            let views = self.ground.look(&self.side.name, |pipeline, now| {
                slice.iter().filter_map(|id| look(pipeline, *id, now)).collect::<Vec<_>>()
            });
            dump.next += slice.len();
            for view in views.unwrap_or_default() {
                if dump.counters {
                    told.push(counters(&view));
                } else if let Err(error) = writer.flow(&state(&view), &view.matching, &view.flow.actions) {
                    tracing::debug!(%error, "a flow can't be told in this version");
                }
            }
            octets.extend(writer.take_full());
            let last = dump.next >= dump.flows.len();
            if last || octets.len() >= room || told.len() >= COUNTERS || Instant::now() >= until {
                break last;
            }
        };
        octets.extend(if last { writer.finish() } else { writer.pause() });
        let session = &mut self.connection.session;
        if dump.counters {
            let reply = MultipartReply { more: !last, reply: Reply::FlowCounters(told) };
            let _ = session.send(dump.xid, &Message::MultipartReply(reply));
        } else {
            session.send_octets(&octets);
        }
        self.connection.dump = (!last).then_some(dump);
    }
}

fn counters(view: &FlowView) -> FlowCounters {
    let state = state(view);
    FlowCounters {
        table: state.table,
        priority: state.priority,
        reason: 0,
        matching: view.matching.clone(),
        age: state.age,
        idle_age: state.idle_age,
        packets: state.packets,
        bytes: state.bytes,
    }
}
