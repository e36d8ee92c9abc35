//! Matches and actions as messages hold them, by version.

use super::octets::Decoded;
use super::{Context, EncodeError, Encoded};
use crate::openflow::action;
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{Action, Match, Version};

/// Writes a match of version 1.1 or later, with its header and filling.
pub(super) fn put_match(version: Version, matching: &Match, writer: &mut Writer) -> Encoded {
    if version > Version::V11 {
        matching.put_oxm(version, writer);
    } else if matching.fits_v11() {
        matching.put_v11(writer);
    } else {
        return Err(EncodeError::Unsayable { version, what: "such a match" });
    }
    Ok(())
}

/// Writes a match of version 1.0.
pub(super) fn put_match_10(matching: &Match, writer: &mut Writer) -> Encoded {
    if !matching.fits_v10() {
        return Err(EncodeError::Unsayable {
            version: Version::V10,
            what: "such a match: Nicira's messages can",
        });
    }
    matching.put_v10(writer);
    Ok(())
}

fn reading(context: Context<'_>) -> action::Context<'_> {
    action::Context { debug: context.debug, ..action::Context::new(context.version) }
}

fn writing<'a>(context: Context<'a>, packet: &'a Match) -> action::Context<'a> {
    action::Context { packet: Some(packet), tun_metadata: context.tun_metadata, ..reading(context) }
}

/// Reads what a flow does, up to the end: actions in version 1.0, instructions after.
pub(super) fn take_instructions(context: Context<'_>, body: &mut Reader<'_>) -> Decoded<Vec<Action>> {
    let length = body.len();
    action::take_instructions(body, length, &reading(context))
}

/// Writes what a flow does with packets that match.
pub(super) fn put_instructions(
    context: Context<'_>,
    packet: &Match,
    actions: &[Action],
    writer: &mut Writer,
) -> Encoded {
    action::put_instructions(actions, &writing(context, packet), writer).map_err(EncodeError::Actions)
}

/// Reads so many octets of actions.
pub(super) fn take_actions(
    context: Context<'_>,
    length: usize,
    body: &mut Reader<'_>,
) -> Decoded<Vec<Action>> {
    action::take_actions(body, length, &reading(context))
}

/// Writes actions for packets that match.
pub(super) fn put_actions(
    context: Context<'_>,
    packet: &Match,
    actions: &[Action],
    writer: &mut Writer,
) -> Encoded {
    action::put_actions(actions, &writing(context, packet), writer).map_err(EncodeError::Actions)
}
