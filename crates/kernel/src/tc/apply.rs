//! Making an interface's queueing as desired, and taking it away.

use super::TcError;
use super::change::{Batch, Maker, Seat};
use super::ingress::{self, Action};
use super::observe::{discipline_at, dump_filters, filter_rows, index_of};
use super::units::Ticks;
use super::wire::{INGRESS, INGRESS_FILTERS, INGRESS_HANDLE, OUR_ROOT, Place, ROOT};
use crate::netlink::Socket;
use netloom_compile::object::shaper::{FilterKind, Ingress, Shaper};
use rustix::io::Errno;

/// Makes the queueing of an interface be `to`. `from` is what was observed there before, or `None` when
/// nothing of ours is believed to be there (something that is, say after a crash, is replaced).
/// `filters` says which classifier shall realize the matches.
///
/// # Errors
/// [`TcError::Foreign`] when the interface has another program's root discipline, [`TcError::Invalid`]
/// when the tree cannot be, [`TcError::Refused`] when the kernel refuses a step, mostly because it
/// lacks the kind; then nothing of ours is left of the tree that was to be built.
pub fn apply(
    socket: &mut Socket,
    ifindex: u32,
    from: Option<&Shaper>,
    to: &Shaper,
    filters: FilterKind,
) -> Result<(), TcError> {
    to.check().map_err(TcError::Invalid)?;
    let maker = Maker { ifindex, filters, ticks: Ticks::of_kernel() };
    // What can fail for want of an interface fails before anything is changed.
    let action = action_of(socket, to.ingress.as_ref())?;
    if to.root.is_some() || from.is_none_or(|from| from.root.is_some()) {
        apply_egress(socket, maker, from, to)?;
    }
    let had = from.and_then(|from| from.ingress.as_ref());
    let clean = from.is_none_or(|from| from.unrecognized.is_empty());
    let kept = clean && had.is_some() && ingress_only(had).satisfies(&ingress_only(to.ingress.as_ref()));
    if !kept && (action.is_some() || from.is_some_and(|from| from.ingress.is_some() || !clean)) {
        apply_ingress(socket, maker, action)?;
    }
    Ok(())
}

fn ingress_only(ingress: Option<&Ingress>) -> Shaper {
    Shaper { ingress: ingress.cloned(), ..Shaper::default() }
}

/// Takes Netloom's queueing off an interface: the root discipline and the ingress filter that carry our
/// mark. It is no error when there is none.
///
/// # Errors
/// When the kernel refuses.
pub fn delete(socket: &mut Socket, ifindex: u32) -> Result<(), TcError> {
    if let Some((OUR_ROOT, _)) = discipline_at(socket, ifindex, ROOT)? {
        let mut batch = Batch::default();
        batch.delete_qdisc(ifindex, OUR_ROOT, ROOT);
        run(socket, batch)?;
    }
    let maker = Maker { ifindex, filters: FilterKind::U32, ticks: Ticks::of_kernel() };
    apply_ingress(socket, maker, None)
}

fn apply_egress(
    socket: &mut Socket,
    maker: Maker,
    from: Option<&Shaper>,
    to: &Shaper,
) -> Result<(), TcError> {
    let present = discipline_at(socket, maker.ifindex, ROOT)?;
    let exists = match present {
        None => false,
        Some((OUR_ROOT, _)) => true,
        Some((_, kind)) if to.root.is_some() => {
            return Err(TcError::Foreign { ifindex: maker.ifindex, kind });
        }
        Some(_) => return Ok(()),
    };
    // Numbers are changed in place, where what is there is known exactly.
    if exists
        && let Some(from) = from
        && from.unrecognized.is_empty()
        && let (Some(old), Some(new)) = (&from.root, &to.root)
        && let Some(batch) = maker.change(old, new, Seat::ROOT)
        && run(socket, batch).is_ok()
    {
        return Ok(());
    }
    let mut batch = Batch::default();
    if exists {
        batch.delete_qdisc(maker.ifindex, OUR_ROOT, ROOT);
    }
    if let Some(root) = &to.root {
        maker.build(&mut batch, root, Seat::ROOT);
    }
    let result = run(socket, batch);
    if result.is_err() {
        // The rest of a tree that is not complete would shape wrongly.
        let mut batch = Batch::default();
        batch.delete_qdisc(maker.ifindex, OUR_ROOT, ROOT);
        let _ = run(socket, batch);
    }
    result
}

fn action_of(socket: &mut Socket, ingress: Option<&Ingress>) -> Result<Option<Action>, TcError> {
    Ok(match ingress {
        None => None,
        Some(Ingress::Police { rate, burst }) => Some(Action::Police { rate: *rate, burst: *burst }),
        Some(Ingress::Redirect { device }) => Some(Action::Redirect { ifindex: index_of(socket, device)? }),
    })
}

/// Puts our one filter at the ingress, or takes it away. The discipline that carries filters for arriving
/// packets may be another program's (`clsact`, or `ingress` with filters of its own): then only our filter
/// comes and goes.
fn apply_ingress(socket: &mut Socket, maker: Maker, action: Option<Action>) -> Result<(), TcError> {
    let ifindex = maker.ifindex;
    let place = Place { ifindex, parent: INGRESS_FILTERS };
    let present = discipline_at(socket, ifindex, INGRESS)?;
    let mut batch = Batch::default();
    let mut others = false;
    let mut had = false;
    match &present {
        None if action.is_none() => return Ok(()),
        None => batch.plain_qdisc(ifindex, INGRESS_HANDLE, INGRESS, "ingress"),
        Some(_) => {
            let replies = dump_filters(socket, place)?;
            let mut ours = std::collections::BTreeSet::new();
            for (priority, protocol, ..) in filter_rows(&replies) {
                if priority == ingress::PRIORITY {
                    ours.insert(protocol);
                } else {
                    others = true;
                }
            }
            had = !ours.is_empty();
            for protocol in ours {
                batch.delete_filters(place, ingress::PRIORITY, protocol);
            }
        }
    }
    let added = present.is_none();
    match action {
        Some(action) => {
            ingress::encode(&mut batch.messages, place, action, maker.ticks);
            batch.label_filter("adding the filter for arriving packets");
        }
        // An ingress discipline that carried our filter alone was made by us.
        None if had && !others && present.is_some_and(|(_, kind)| kind == "ingress") => {
            batch.delete_qdisc(ifindex, INGRESS_HANDLE, INGRESS);
        }
        None => {}
    }
    let result = run(socket, batch);
    if result.is_err() && added {
        let mut batch = Batch::default();
        batch.delete_qdisc(ifindex, INGRESS_HANDLE, INGRESS);
        let _ = run(socket, batch);
    }
    result
}

/// Sends all requests and gives the first refusal. When an early step fails, what builds on it fails too
/// and is not what the user should read.
fn run(socket: &mut Socket, mut batch: Batch) -> Result<(), TcError> {
    if batch.messages.is_empty() {
        return Ok(());
    }
    let verdicts = socket.batch(&mut batch.messages)?;
    for (verdict, doing) in verdicts.into_iter().zip(batch.doing) {
        if let Err(mut refusal) = verdict {
            if refusal.errno == Errno::NOENT && doing.starts_with("adding") && refusal.text.is_none() {
                refusal.text = Some("this kernel lacks the kind".to_owned());
            }
            return Err(TcError::Refused { doing, refusal });
        }
    }
    Ok(())
}
