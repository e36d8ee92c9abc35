//! Lists of actions and of instructions, as messages carry them.

use super::Action;
use super::check::Flow;
use super::read::Reading;
use super::verify::{is_applied, verify};
use super::write::Writing;
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::OfError;
use crate::openflow::matching::Match;
use crate::openflow::version::Version;

/// Types of instructions (`OFPIT11_*`).
mod kind {
    pub(super) const GOTO_TABLE: u16 = 1;
    pub(super) const WRITE_METADATA: u16 = 2;
    pub(super) const WRITE_ACTIONS: u16 = 3;
    pub(super) const APPLY_ACTIONS: u16 = 4;
    pub(super) const CLEAR_ACTIONS: u16 = 5;
    pub(super) const METER: u16 = 6;
    pub(super) const EXPERIMENTER: u16 = 0xffff;
}

/// Octets of an instruction's header and padding; lengths are multiples of it.
const UNIT: usize = 8;

/// What reading and writing of actions takes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The version.
    pub version: Version,
    /// What the packets are known to be: it decides how some actions are written. For a flow its match.
    pub packet: Option<&'a Match>,
    /// Octets that the bridge has given to each tunnel option, zero for none: it decides how long they are written.
    pub tun_metadata: Option<&'a [u8; 64]>,
    /// Whether actions for tests are known (`--enable-dummy`).
    pub debug: bool,
}

impl<'a> Context<'a> {
    /// Knows nothing but the version.
    #[must_use]
    pub const fn new(version: Version) -> Self {
        Self { version, packet: None, tun_metadata: None, debug: false }
    }

    /// For packets that match.
    #[must_use]
    pub const fn of(version: Version, packet: &'a Match) -> Self {
        Self { version, packet: Some(packet), tun_metadata: None, debug: false }
    }

    const fn reading(&self) -> Reading {
        Reading { version: self.version, debug: self.debug, depth: 0 }
    }

    fn writing(&self) -> Writing<'a> {
        let flow = self.packet.map_or_else(Flow::default, Flow::of);
        Writing { version: self.version, flow, lengths: self.tun_metadata, depth: 0 }
    }
}

/// Reads `length` octets of actions: of a packet-out, a bucket, or a flow of OpenFlow 1.0 that allows no instructions.
///
/// # Errors
///
/// `OFPBRC_BAD_LEN`, and what is wrong with an action.
pub fn take_actions(
    from: &mut Reader<'_>,
    length: usize,
    context: &Context<'_>,
) -> Result<Vec<Action>, OfError> {
    let actions = read(from, length, context)?;
    verify(&actions, context.version, false)?;
    Ok(actions)
}

fn read(from: &mut Reader<'_>, length: usize, context: &Context<'_>) -> Result<Vec<Action>, OfError> {
    if !length.is_multiple_of(UNIT) {
        return Err(OfError::OFPBRC_BAD_LEN);
    }
    let octets = from.take(length).map_err(|_| OfError::OFPBRC_BAD_LEN)?;
    context.reading().actions(octets)
}

/// Reads actions of a bucket that are carried out as an action set.
///
/// # Errors
///
/// As [`take_actions`], and `OFPBAC_BAD_TYPE` for one that can't be in an action set.
pub fn take_action_set(
    from: &mut Reader<'_>,
    length: usize,
    context: &Context<'_>,
) -> Result<Vec<Action>, OfError> {
    let actions = take_actions(from, length, context)?;
    if actions.iter().all(Action::is_for_action_set) { Ok(actions) } else { Err(OfError::OFPBAC_BAD_TYPE) }
}

/// Writes actions.
///
/// # Errors
///
/// `OFPBAC_BAD_LEN` if one has more octets than can be said, `OFPBAC_TOO_MANY` if they lie too deep in each other.
pub fn put_actions(actions: &[Action], context: &Context<'_>, out: &mut Writer) -> Result<(), OfError> {
    context.writing().actions(actions, out)
}

/// Reads `length` octets of a flow's instructions; in OpenFlow 1.0 they are actions.
///
/// # Errors
///
/// `OFPBIC_*`, and what is wrong with an action.
pub fn take_instructions(
    from: &mut Reader<'_>,
    length: usize,
    context: &Context<'_>,
) -> Result<Vec<Action>, OfError> {
    let actions = if context.version == Version::V10 {
        read(from, length, context)?
    } else {
        Instructions::take(from, length, context.version)?.actions(context)?
    };
    verify(&actions, context.version, true)?;
    Ok(actions)
}

/// The bodies of the instructions that are there.
#[derive(Default)]
struct Instructions<'a> {
    goto_table: Option<Reader<'a>>,
    metadata: Option<Reader<'a>>,
    write: Option<Reader<'a>>,
    apply: Option<Reader<'a>>,
    clear: Option<Reader<'a>>,
    meter: Option<Reader<'a>>,
}

impl<'a> Instructions<'a> {
    fn take(from: &mut Reader<'a>, length: usize, version: Version) -> Result<Self, OfError> {
        let bad = OfError::OFPBIC_BAD_LEN;
        if !length.is_multiple_of(UNIT) {
            return Err(bad);
        }
        let mut rest = Reader::with_error(from.take(length).map_err(|_| bad)?, bad);
        let mut found = Self::default();
        while !rest.is_empty() {
            let mut header = rest.clone();
            let (number, length) = (header.u16()?, usize::from(header.u16()?));
            if length < UNIT || !length.is_multiple_of(UNIT) {
                return Err(bad);
            }
            let mut body = rest.sub(length)?;
            body.skip(4)?;
            let (place, size) = match number {
                kind::EXPERIMENTER => return Err(OfError::OFPBIC_BAD_EXPERIMENTER),
                kind::GOTO_TABLE => (&mut found.goto_table, Some(8)),
                kind::WRITE_METADATA => (&mut found.metadata, Some(24)),
                kind::WRITE_ACTIONS => (&mut found.write, None),
                kind::APPLY_ACTIONS => (&mut found.apply, None),
                kind::CLEAR_ACTIONS => (&mut found.clear, Some(8)),
                kind::METER => (&mut found.meter, Some(8)),
                _ => return Err(OfError::OFPBIC_UNKNOWN_INST),
            };
            if size.is_some_and(|size| size != length) {
                return Err(bad);
            }
            // From version 1.5 on it is an action.
            if number == kind::METER && version >= Version::V15 {
                return Err(OfError::OFPBIC_UNKNOWN_INST);
            }
            if place.replace(body).is_some() {
                return Err(OfError::OFPBIC_DUP_INST);
            }
        }
        Ok(found)
    }

    fn actions(self, context: &Context<'_>) -> Result<Vec<Action>, OfError> {
        let mut actions = Vec::new();
        if let Some(mut body) = self.meter {
            actions.push(Action::Meter(body.u32()?));
        }
        if let Some(mut body) = self.apply {
            body.skip(4)?;
            let mut applied = context.reading().actions(body.rest())?;
            if actions.is_empty() {
                actions = applied;
            } else {
                actions.append(&mut applied);
            }
        }
        if self.clear.is_some() {
            actions.push(Action::ClearActions);
        }
        if let Some(mut body) = self.write {
            body.skip(4)?;
            let set = context.reading().actions(body.rest())?;
            if !set.iter().all(Action::is_for_action_set) {
                return Err(OfError::OFPBAC_BAD_TYPE);
            }
            actions.push(Action::WriteActions(set));
        }
        if let Some(mut body) = self.metadata {
            body.skip(4)?;
            actions.push(Action::WriteMetadata { value: body.u64()?, mask: body.u64()? });
        }
        if let Some(mut body) = self.goto_table {
            actions.push(Action::GotoTable(body.u8()?));
        }
        Ok(actions)
    }
}

/// Writes a flow's instructions; in OpenFlow 1.0 they are actions.
///
/// # Errors
///
/// As [`put_actions`].
pub fn put_instructions(actions: &[Action], context: &Context<'_>, out: &mut Writer) -> Result<(), OfError> {
    let version = context.version;
    if version == Version::V10 {
        return put_actions(actions, context, out);
    }
    let mut writing = context.writing();
    let mut rest = actions;
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|action| is_applied(action, version)).count();
        let (now, later) = rest.split_at(count.max(1));
        rest = later;
        let start = out.len();
        let begin = |number: u16, out: &mut Writer| {
            out.u16(number);
            out.u16(0);
        };
        match first {
            _ if count > 0 => {
                begin(kind::APPLY_ACTIONS, out);
                out.zeros(4);
                writing.actions(now, out)?;
            }
            Action::Meter(_) if version < Version::V13 => continue,
            Action::Meter(meter) => {
                begin(kind::METER, out);
                out.u32(*meter);
            }
            Action::ClearActions => {
                begin(kind::CLEAR_ACTIONS, out);
                out.zeros(4);
            }
            // Nothing to be added is not said, as OVS does not say it.
            Action::WriteActions(set) if set.is_empty() => continue,
            Action::WriteActions(set) => {
                begin(kind::WRITE_ACTIONS, out);
                out.zeros(4);
                writing.nested(set, out)?;
            }
            Action::WriteMetadata { value, mask } => {
                begin(kind::WRITE_METADATA, out);
                out.zeros(4);
                out.u64(*value);
                out.u64(*mask);
            }
            Action::GotoTable(table) => {
                begin(kind::GOTO_TABLE, out);
                out.u8(*table);
                out.zeros(3);
            }
            _ => continue,
        }
        if out.len() - start > usize::from(u16::MAX) {
            return Err(OfError::OFPBAC_BAD_LEN);
        }
        out.patch_length(start, start + 2);
    }
    Ok(())
}
