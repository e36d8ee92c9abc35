//! What the kernel has, in the terms of the queueing types.

use super::TcError;
use super::ingress;
use super::observe::{dump_filters, filter_rows};
use super::piece::{Layer, Piece};
use super::u32::{self, has_mark};
use super::wire::{INGRESS_FILTERS, Place, priority};
use crate::capability::Capabilities;
use crate::netlink::{Messages, Socket};
use netloom_compile::object::shaper::Support;
use rustix::io::Errno;

/// The kinds of queueing among the capabilities that were found.
#[must_use]
pub fn support(capabilities: &Capabilities) -> Support {
    let qdisc = |name| capabilities.has("queueing disciplines", name);
    let classifier = |name| capabilities.has("classifiers", name);
    let action = |name| capabilities.has("actions", name);
    Support {
        htb: qdisc("htb"),
        tbf: qdisc("tbf"),
        netem: qdisc("netem"),
        prio: qdisc("prio"),
        fq_codel: qdisc("fq_codel"),
        sfq: qdisc("sfq"),
        ingress: qdisc("ingress"),
        u32: classifier("u32"),
        u32_mark: classifier("u32 mark"),
        flower: classifier("flower"),
        police: action("police"),
        mirred: action("mirred"),
    }
}

/// Whether `u32` matches marks. A kernel without `CONFIG_CLS_U32_MARK` takes the request and forgets the
/// mark, so that the filter would match everything: only reading it back tells. The interface needs an
/// ingress discipline, and a filter stays there: for scratch namespaces only.
pub(crate) fn matches_marks(socket: &mut Socket, ifindex: u32) -> Result<(), Errno> {
    const INDEX: usize = 2000;
    let failed = |error: TcError| error.errno().unwrap_or(Errno::IO);
    let place = Place { ifindex, parent: INGRESS_FILTERS };
    let mut messages = Messages::new();
    let piece = Piece { mark: Some((1, 1)), ..Piece::new(Layer::Any) };
    u32::encode(&mut messages, place, INDEX, &[piece], 0x1_0001);
    for verdict in socket.batch(&mut messages).map_err(|error| failed(error.into()))? {
        verdict.map_err(|refusal| refusal.errno)?;
    }
    let replies = dump_filters(socket, place).map_err(failed)?;
    let remembered = filter_rows(&replies)
        .any(|(found, _, _, _, options, _)| found == priority(INDEX, Layer::Any) && has_mark(options));
    if remembered { Ok(()) } else { Err(Errno::NOENT) }
}

/// Tries an action as part of a filter for arriving packets, without options: whoever knows the action
/// objects to that. The interface needs an ingress discipline.
pub(crate) fn try_action(socket: &mut Socket, ifindex: u32, name: &str) -> Result<(), Errno> {
    let place = Place { ifindex, parent: INGRESS_FILTERS };
    let mut messages = Messages::new();
    ingress::encode_bare(&mut messages, place, name);
    let verdicts = socket.batch(&mut messages).map_err(|error| error.errno().unwrap_or(Errno::IO))?;
    verdicts.into_iter().try_for_each(|verdict| verdict.map_err(|refusal| refusal.errno))
}
