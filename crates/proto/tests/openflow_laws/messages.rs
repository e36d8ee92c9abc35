//! What must hold of every message and every connection over any octets. The property tests and the fuzz targets both
//! call these.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken law is a failed test")]
#![allow(unreachable_pub, dead_code, reason = "the fuzz targets call them from their own crate")]

use netloom_proto::openflow::message::{Context, EncodeError, Message, decode_with, encode_with};
use netloom_proto::openflow::session::{Config, Session, Side};
use netloom_proto::openflow::{OfError, Version};
use std::time::Duration;

/// Reads a message, writes what was understood, and reads and writes that again: nothing changes. The answer is what was
/// understood.
pub fn message(octets: &[u8], table_ids: bool) -> Option<Message> {
    let version = Version::from_wire(*octets.first()?).unwrap_or(Version::V10);
    let context = Context { table_ids, ..Context::new(version) };
    let (xid, message) = decode_with(context, octets).ok()?;
    written(context, xid, &message);
    Some(message)
}

/// Writes a message and reads it: it is the same. What cannot be written is not.
pub fn written(context: Context<'_>, xid: u32, message: &Message) -> Option<Vec<u8>> {
    let first = match encode_with(context, xid, message) {
        Ok(first) => first,
        Err(EncodeError::Unsayable { .. } | EncodeError::TooLong { .. } | EncodeError::Actions(_)) => {
            return None;
        }
    };
    if usize::from(u16::from_be_bytes([first[2], first[3]])) != first.len() {
        // In parts: each is read by itself.
        let mut rest = &first[..];
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(usize::from(u16::from_be_bytes([rest[2], rest[3]])));
            decode_with(context, part).expect("a part of what was written is read");
            rest = behind;
        }
        return Some(first);
    }
    match decode_with(context, &first) {
        Ok((again, second)) => {
            assert_eq!((again, second.kind()), (xid, message.kind()));
            assert_eq!(
                encode_with(context, xid, &second).as_ref(),
                Ok(&first),
                "{message:?} became {second:?}"
            );
        }
        // Fields of a match are written in one order, in which one may come before what it needs; and what is wrong with
        // actions is for their own laws: a version may have them only in another order, or for other packets.
        Err(error) => {
            let actions = error.name().starts_with("OFPBAC") || error.name().starts_with("OFPBIC");
            assert!(
                actions || error == OfError::OFPBMC_BAD_PREREQ,
                "{error} in what was written of {message:?}"
            );
        }
    }
    Some(first)
}

/// Octets that come in pieces: a session takes them without growing, and says the same as when they come at once.
pub fn session(side: Side, octets: &[u8], piece: usize) {
    let config = Config { send_limit: 1 << 16, ..Config::new(side) };
    let all = heard(config, octets, octets.len().max(1));
    let pieces = heard(config, octets, piece.max(1));
    assert_eq!(all, pieces);
}

/// Everything that a session says when octets come in pieces of a length: events, and what it wants written.
fn heard(config: Config, octets: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
    let now = Duration::from_secs(1);
    let mut session = Session::new(config, now);
    let (mut said, mut written) = (Vec::new(), Vec::new());
    for mut piece in octets.chunks(piece) {
        while !piece.is_empty() {
            let taken = session.receive(now, piece);
            piece = &piece[taken..];
            loop {
                match session.next(now) {
                    Ok(Some(event)) => said.push(format!("{event:?}")),
                    Ok(None) if session.is_congested() => {}
                    Ok(None) => break,
                    Err(end) => {
                        said.push(format!("{end}"));
                        written.extend_from_slice(session.outgoing());
                        return (said, written);
                    }
                }
                assert!(session.outgoing().len() <= config.send_limit + 2 * 65_535, "bounded");
                written.extend_from_slice(session.outgoing());
                let count = session.outgoing().len();
                session.sent(count);
            }
            assert!(taken > 0 || piece.is_empty(), "a session that waits for octets has room for them");
        }
    }
    written.extend_from_slice(session.outgoing());
    (said, written)
}
