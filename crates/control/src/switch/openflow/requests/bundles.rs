//! Bundles: messages that wait until all of them take effect at once, or none (OpenFlow 1.5, 6.9).
//!
//! Invariants: what waits is bounded in messages and octets for each connection. A bundle that nobody adds to for long is
//! forgotten, and its maker is told.

use super::super::ground::Ground;
use super::flows::Rules;
use super::{Handled, Turn};
use netloom_proto::openflow::message::{
    BundleAdd, BundleCommand, BundleControl, BundleFeatures, BundleFlags, Message, PacketOut, PortMod, Reply,
};
use netloom_proto::openflow::{Action, OfError};
use netloom_vswitch::openflow::{Change, Failure};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Octets of messages that all bundles of a connection hold at most.
const OCTETS: usize = 128 << 20;
/// Octets that the bundles of all connections hold at most, to a MiB for each connection.
const ALL_OCTETS: usize = 512 << 20;
/// After so many more octets of a connection all are summed.
const STEP: usize = 1 << 20;
/// Bundles of a connection at most.
const BUNDLES: usize = 256;

/// What a message of a bundle wants.
#[derive(Debug)]
enum Want {
    Change(Box<Change>),
    Port(PortMod),
    Packet(Box<PacketOut>),
}

#[derive(Debug)]
struct Entry {
    /// The message as it came, for the error.
    octets: Vec<u8>,
    xid: u32,
    want: Want,
    /// The message of a group, for those who want to hear of it.
    told: Option<Box<Message>>,
}

#[derive(Debug)]
struct Bundle {
    flags: BundleFlags,
    closed: bool,
    entries: Vec<Entry>,
    octets: usize,
    used: Duration,
    /// The message that opened it, for the error when it is forgotten.
    opened: Vec<u8>,
}

/// The bundles of a connection.
#[derive(Debug, Default)]
pub(in super::super) struct Bundles {
    by_number: BTreeMap<u32, Bundle>,
    octets: usize,
}

impl Bundles {
    fn take(&mut self, number: u32) -> Option<Bundle> {
        let bundle = self.by_number.remove(&number)?;
        self.octets -= bundle.octets;
        Some(bundle)
    }

    fn open(&mut self, number: u32, flags: BundleFlags, opened: &[u8], now: Duration) -> Handled {
        if self.by_number.len() >= BUNDLES {
            return Err(OfError::OFPBFC_OUT_OF_BUNDLES);
        }
        let (entries, opened) = (Vec::new(), opened.to_vec());
        let bundle = Bundle { flags, closed: false, entries, octets: 0, used: now, opened };
        self.by_number.insert(number, bundle);
        Ok(())
    }

    /// Forgets what nobody added to for so long, and gives the messages that opened it.
    pub(in super::super) fn expire(&mut self, patience: Duration, now: Duration) -> Vec<Vec<u8>> {
        let old = |bundle: &Bundle| bundle.used + patience <= now;
        let numbers: Vec<u32> =
            self.by_number.iter().filter(|(_, bundle)| old(bundle)).map(|(number, _)| *number).collect();
        numbers.into_iter().filter_map(|number| self.take(number)).map(|bundle| bundle.opened).collect()
    }

    /// Octets of messages that wait.
    pub(in super::super) const fn octets(&self) -> usize {
        self.octets
    }

    /// Whether there is none.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}

/// Whether actions name one of some groups.
fn uses_any(actions: &[Action], groups: &BTreeSet<u32>) -> bool {
    actions.iter().any(|action| match action {
        Action::Group(number) => groups.contains(number),
        other => uses_any(other.nested(), groups),
    })
}

/// What bundles can do.
pub(super) const fn features() -> Reply {
    Reply::BundleFeatures(BundleFeatures {
        capabilities: BundleFlags::ATOMIC.or(BundleFlags::ORDERED),
        time: None,
    })
}

impl<G: Ground> Turn<'_, G> {
    pub(super) fn bundle_control(&mut self, xid: u32, control: BundleControl, octets: &[u8]) -> Handled {
        let (number, flags) = (control.bundle, control.flags);
        let reply = match BundleCommand::from_number(control.command) {
            Some(BundleCommand::OpenRequest) => {
                if self.connection.bundles.take(number).is_some() {
                    return Err(OfError::OFPBFC_BAD_ID);
                }
                self.connection.bundles.open(number, flags, octets, self.now)?;
                BundleCommand::OpenReply
            }
            Some(BundleCommand::CloseRequest) => {
                self.close(number, flags)?;
                BundleCommand::CloseReply
            }
            Some(BundleCommand::CommitRequest) => {
                self.commit(number, flags)?;
                BundleCommand::CommitReply
            }
            Some(BundleCommand::DiscardRequest) => {
                self.connection.bundles.take(number).ok_or(OfError::OFPBFC_BAD_ID)?;
                BundleCommand::DiscardReply
            }
            _ => return Err(OfError::OFPBFC_BAD_TYPE),
        };
        let control =
            BundleControl { bundle: number, command: reply.number(), flags: BundleFlags::NONE, time: None };
        self.connection.reply(xid, &Message::BundleControl(control))
    }

    fn close(&mut self, number: u32, flags: BundleFlags) -> Handled {
        let bundles = &mut self.connection.bundles;
        let bundle = bundles.by_number.get_mut(&number).ok_or(OfError::OFPBFC_BAD_ID)?;
        let wrong = if bundle.closed {
            OfError::OFPBFC_BUNDLE_CLOSED
        } else if bundle.flags != flags {
            OfError::OFPBFC_BAD_FLAGS
        } else {
            (bundle.closed, bundle.used) = (true, self.now);
            return Ok(());
        };
        bundles.take(number);
        Err(wrong)
    }

    pub(super) fn bundle_add(&mut self, xid: u32, add: BundleAdd, octets: &[u8]) -> Handled {
        let rules = Rules { version: self.version(), lengths: &self.side.lengths };
        let mut told = None;
        let want = match *add.message {
            Message::FlowMod(flow) => {
                let origin = self.connection.origin(xid);
                let flow = rules.prepare(flow, origin, &mut self.connection.actions)?;
                Want::Change(Box::new(Change::Flow(flow)))
            }
            Message::GroupMod(group) => {
                told = Some(Box::new(Message::GroupMod(group.clone())));
                Want::Change(Box::new(Change::Group(rules.prepare_group(group)?)))
            }
            Message::PortMod(port) => Want::Port(port),
            Message::PacketOut(packet) => Want::Packet(Box::new(self.prepare_packet(packet)?)),
            _ => return Err(OfError::OFPBFC_MSG_UNSUP),
        };
        let before = self.connection.bundles.octets;
        let is_step = before / STEP != (before + octets.len()) / STEP;
        let others = || self.others.values().map(|other| other.bundles.octets()).sum::<usize>();
        let is_full = before + octets.len() > OCTETS || is_step && before + others() > ALL_OCTETS;
        let bundles = &mut self.connection.bundles;
        let wrong = match bundles.by_number.get(&add.bundle) {
            None => {
                bundles.open(add.bundle, add.flags, octets, self.now)?;
                None
            }
            Some(bundle) if bundle.closed => Some(OfError::OFPBFC_BUNDLE_CLOSED),
            Some(bundle) if bundle.flags != add.flags => Some(OfError::OFPBFC_BAD_FLAGS),
            Some(_) if is_full => Some(OfError::OFPBFC_MSG_TOO_MANY),
            Some(_) => None,
        };
        if let Some(error) = wrong {
            bundles.take(add.bundle);
            return Err(error);
        }
        let Some(bundle) = bundles.by_number.get_mut(&add.bundle) else { return Err(OfError::OFPBFC_BAD_ID) };
        bundle.used = self.now;
        bundle.octets += octets.len();
        bundle.entries.push(Entry { octets: octets.to_vec(), xid, want, told });
        bundles.octets += octets.len();
        Ok(())
    }

    fn commit(&mut self, number: u32, flags: BundleFlags) -> Handled {
        let bundle = self.connection.bundles.take(number).ok_or(OfError::OFPBFC_BAD_ID)?;
        if bundle.flags != flags {
            return Err(OfError::OFPBFC_BAD_FLAGS);
        }
        let atomic = flags.contains(BundleFlags::ATOMIC);
        // What is not of the tables is tried before anything is done.
        let made: BTreeSet<u32> = bundle
            .entries
            .iter()
            .filter_map(|entry| match &entry.want {
                Want::Change(change) => match &**change {
                    Change::Group(group) => Some(group.number),
                    Change::Flow(_) => None,
                },
                _ => None,
            })
            .collect();
        for entry in &bundle.entries {
            let tried = match &entry.want {
                // A group that it names may come with the bundle.
                Want::Packet(packet) if !uses_any(&packet.actions, &made) => self.check_packet(packet),
                Want::Port(_) if atomic => Err(OfError::OFPBFC_MSG_FAILED),
                Want::Port(port) => self.check_port(port),
                _ => Ok(()),
            };
            tried.map_err(|error| self.failed(&entry.octets, error))?;
        }
        let mut changes = Vec::with_capacity(bundle.entries.len());
        let mut places = Vec::with_capacity(bundle.entries.len());
        let mut others = Vec::new();
        let mut kept: Vec<(Vec<u8>, u32, Option<Box<Message>>)> = Vec::with_capacity(bundle.entries.len());
        for (place, entry) in bundle.entries.into_iter().enumerate() {
            match entry.want {
                Want::Change(change) => {
                    changes.push(*change);
                    places.push(place);
                }
                other => others.push(other),
            }
            kept.push((entry.octets, entry.xid, entry.told));
        }
        if let Err(Failure { index, error }) = self.work(|pipeline, now| pipeline.apply(&changes, now))? {
            let octets = places.get(index).and_then(|place| kept.get(*place));
            return Err(octets.map_or(error, |(octets, ..)| self.failed(octets, error)));
        }
        for (_, xid, told) in kept {
            if let Some(told) = told {
                self.forward(xid, *told);
            }
        }
        self.tell_others();
        for want in others {
            let done = match want {
                Want::Port(port) => self.port_mod(&port),
                Want::Packet(packet) => self.send_packet(*packet),
                Want::Change(_) => Ok(()),
            };
            if let Err(error) = done {
                tracing::warn!(bridge = self.side.name, %error, "a message of a bundle that took effect is not done");
            }
        }
        Ok(())
    }

    /// Names the message for which a bundle fails.
    fn failed(&mut self, octets: &[u8], error: OfError) -> OfError {
        self.connection.session.fail(octets, error);
        OfError::OFPBFC_MSG_FAILED
    }
}
