//! The requests that make or change a tree, in order; nothing is sent here.

use super::piece::{apart, realization};
use super::units::Ticks;
use super::wire::{OUR_ROOT, Place, child_handle, header};
use super::{flower, qdisc, u32};
use crate::netlink::Messages;
use netloom_compile::object::shaper::{ClassId, Filter, FilterKind, Htb, HtbClass, Prio, Qdisc, Shaper};

const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const CHANGE: u16 = 0;

/// Requests with what each of them does, for messages about failures.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) messages: Messages,
    pub(super) doing: Vec<String>,
}

impl Batch {
    /// Says what the requests added since the last call do.
    fn label(&mut self, text: impl FnOnce() -> String) {
        if self.doing.len() < self.messages.len() {
            self.doing.resize(self.messages.len(), text());
        }
    }

    fn append(&mut self, other: Self) {
        self.messages.append(&other.messages);
        self.doing.extend(other.doing);
    }

    pub(super) fn delete_qdisc(&mut self, ifindex: u32, handle: u32, parent: u32) {
        self.messages.add(libc::RTM_DELQDISC, 0).header(&header(ifindex, handle, parent, 0));
        self.label(|| "removing a discipline".to_owned());
    }

    /// A discipline of `kind` without options.
    pub(super) fn plain_qdisc(&mut self, ifindex: u32, handle: u32, parent: u32, kind: &str) {
        let mut message = self.messages.add(libc::RTM_NEWQDISC, libc::NLM_F_CREATE as u16);
        message.header(&header(ifindex, handle, parent, 0)).text(qdisc::TCA_KIND, kind);
        drop(message);
        self.label(|| format!("adding discipline {kind}"));
    }

    /// Removes the filters of one priority.
    pub(super) fn delete_filters(&mut self, place: Place, priority: u16, protocol: u16) {
        let header = super::wire::filter_header(place, 0, priority, protocol);
        self.messages.add(libc::RTM_DELTFILTER, 0).header(&header);
        self.label(|| format!("removing the filters of priority {priority}"));
    }

    pub(super) fn label_filter(&mut self, text: &str) {
        self.label(|| text.to_owned());
    }
}

/// Makes and changes the disciplines of one interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maker {
    pub(super) ifindex: u32,
    pub(super) filters: FilterKind,
    pub(super) ticks: Ticks,
}

/// Where a discipline sits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) handle: u32,
    pub(super) parent: u32,
}

impl Seat {
    /// The root.
    pub(super) const ROOT: Self = Self { handle: OUR_ROOT, parent: super::wire::ROOT };

    /// The seat in a class of the discipline that sits here. Only disciplines at the root have several
    /// classes; further below, the kernel may choose the handle.
    const fn below(self, class: u16) -> Self {
        let handle = if self.handle == OUR_ROOT { child_handle(class) } else { 0 };
        Self { handle, parent: self.handle | class as u32 }
    }
}

impl Maker {
    /// Makes a discipline and everything below it.
    pub(super) fn build(&self, batch: &mut Batch, qdisc: &Qdisc, seat: Seat) {
        self.qdisc(batch, qdisc, seat, CREATE);
        if let Qdisc::Htb(htb) = qdisc {
            for id in parents_first(htb) {
                self.class(batch, htb, id, seat, CREATE);
            }
        }
        for (class, child) in qdisc.children() {
            self.build(batch, child, seat.below(class));
        }
        self.add_filters(batch, qdisc.filters(), seat);
    }

    fn qdisc(&self, batch: &mut Batch, qdisc: &Qdisc, seat: Seat, flags: u16) {
        let mut message = batch.messages.add(libc::RTM_NEWQDISC, flags);
        message.header(&header(self.ifindex, seat.handle, seat.parent, 0));
        qdisc::encode(&mut message, qdisc, self.ticks);
        drop(message);
        let verb = if flags == CREATE { "adding" } else { "changing" };
        batch.label(|| format!("{verb} discipline {}", qdisc.kind()));
    }

    fn class(&self, batch: &mut Batch, htb: &Htb, id: ClassId, seat: Seat, flags: u16) {
        let Some(class) = htb.classes.get(&id) else { return };
        let handle = seat.handle | u32::from(id.get());
        let parent = seat.handle | class.parent.map_or(0, |parent| u32::from(parent.get()));
        let mut message = batch.messages.add(libc::RTM_NEWTCLASS, flags);
        message.header(&header(self.ifindex, handle, parent, 0));
        qdisc::encode_class(&mut message, class, self.ticks);
        drop(message);
        let verb = if flags == CREATE { "adding" } else { "changing" };
        batch.label(|| format!("{verb} class {id}"));
    }

    fn add_filters(&self, batch: &mut Batch, filters: &[Filter], seat: Seat) {
        let place = Place { ifindex: self.ifindex, parent: seat.handle };
        for (index, filter) in filters.iter().enumerate() {
            let when = filter.when.canonical();
            let kind = realization(&when, self.filters);
            let pieces = apart(&when, kind);
            let class = seat.handle | u32::from(filter.class.get());
            match kind {
                FilterKind::U32 => u32::encode(&mut batch.messages, place, index, &pieces, class),
                FilterKind::Flower => flower::encode(&mut batch.messages, place, index, &pieces, class),
            }
            batch.label(|| format!("adding the filter `{when}` to class {}", filter.class));
        }
    }

    /// Changes a discipline and what is below it in place; `None` when that is not possible.
    pub(super) fn change(&self, from: &Qdisc, to: &Qdisc, seat: Seat) -> Option<Batch> {
        let mut batch = Batch::default();
        match (from, to) {
            (Qdisc::Htb(from), Qdisc::Htb(to)) => self.change_htb(&mut batch, from, to, seat)?,
            (Qdisc::Prio(old), Qdisc::Prio(new)) => {
                self.change_own(&mut batch, from, to, seat);
                for band in 0..old.bands.max(new.bands).min(16) {
                    let below = seat.below(u16::from(band) + 1);
                    // A band that is gone took its discipline with it.
                    if band < new.bands {
                        self.change_leaf(&mut batch, old.leaves.get(&band), new.leaves.get(&band), below);
                    }
                }
                self.change_filters(&mut batch, &old.filters, &new.filters, seat);
            }
            (Qdisc::FqCodel(old), Qdisc::FqCodel(new)) if new.flows.is_some() && old.flows != new.flows => {
                return None; // The kernel refuses another number of queues.
            }
            (Qdisc::Tbf(_), Qdisc::Tbf(_)) | (Qdisc::Netem(_), Qdisc::Netem(_)) => {
                self.change_own(&mut batch, from, to, seat);
                match (&from.children()[..], &to.children()[..]) {
                    ([], []) => {}
                    ([(_, from)], [(class, to)]) => {
                        batch.append(self.change(from, to, seat.below(*class))?)
                    }
                    _ => return None,
                }
            }
            (Qdisc::Other { .. }, _) => return None,
            (from, to) if from.kind() == to.kind() => self.change_own(&mut batch, from, to, seat),
            _ => return None,
        }
        Some(batch)
    }

    /// Changes the numbers of the discipline itself, if they differ.
    fn change_own(&self, batch: &mut Batch, from: &Qdisc, to: &Qdisc, seat: Seat) {
        if !Shaper::egress(bare(from)).satisfies(&Shaper::egress(bare(to))) {
            self.qdisc(batch, to, seat, CHANGE);
        }
    }

    fn change_leaf(&self, batch: &mut Batch, from: Option<&Qdisc>, to: Option<&Qdisc>, seat: Seat) {
        match (from, to) {
            (None, None) => {}
            (Some(from), Some(to)) => match self.change(from, to, seat) {
                Some(changes) => batch.append(changes),
                None => {
                    batch.delete_qdisc(self.ifindex, seat.handle, seat.parent);
                    self.build(batch, to, seat);
                }
            },
            (Some(_), None) => batch.delete_qdisc(self.ifindex, seat.handle, seat.parent),
            (None, Some(to)) => self.build(batch, to, seat),
        }
    }

    fn change_filters(&self, batch: &mut Batch, from: &[Filter], to: &[Filter], seat: Seat) {
        let canonical = |filters: &[Filter]| -> Vec<_> {
            filters.iter().map(|filter| (filter.when.canonical(), filter.class)).collect()
        };
        if canonical(from) != canonical(to) {
            batch.delete_filters(Place { ifindex: self.ifindex, parent: seat.handle }, 0, 0);
            self.add_filters(batch, to, seat);
        }
    }

    fn change_htb(&self, batch: &mut Batch, from: &Htb, to: &Htb, seat: Seat) -> Option<()> {
        // HTB itself cannot be changed, and a class can neither move nor begin or cease to be a leaf
        // without loss of its queue.
        if from.default != to.default || (to.r2q.is_some() && from.r2q != to.r2q) {
            return None;
        }
        for (id, class) in &to.classes {
            if let Some(old) = from.classes.get(id)
                && (old.parent != class.parent || from.is_leaf(*id) != to.is_leaf(*id))
            {
                return None;
            }
        }
        for id in parents_first(to) {
            let class = to.classes.get(&id)?;
            let below = seat.below(id.get());
            match from.classes.get(&id) {
                Some(old) => {
                    if !same_class(old, class) {
                        self.class(batch, to, id, seat, CHANGE);
                    }
                    self.change_leaf(batch, old.leaf.as_deref(), class.leaf.as_deref(), below);
                }
                None => {
                    self.class(batch, to, id, seat, CREATE);
                    self.change_leaf(batch, None, class.leaf.as_deref(), below);
                }
            }
        }
        self.change_filters(batch, &from.filters, &to.filters, seat);
        // A class can go once no filter leads to it and nothing is below it.
        for id in parents_first(from).into_iter().rev().filter(|id| !to.classes.contains_key(id)) {
            let handle = seat.handle | u32::from(id.get());
            batch.messages.add(libc::RTM_DELTCLASS, 0).header(&header(self.ifindex, handle, 0, 0));
            batch.label(|| format!("removing class {id}"));
        }
        Some(())
    }
}

/// A discipline without what hangs below it and leads there.
fn bare(qdisc: &Qdisc) -> Qdisc {
    let mut bare = qdisc.clone();
    match &mut bare {
        Qdisc::Tbf(tbf) => tbf.child = None,
        Qdisc::Netem(netem) => netem.child = None,
        Qdisc::Prio(Prio { leaves, filters, .. }) => {
            leaves.clear();
            filters.clear();
        }
        _ => {}
    }
    bare
}

fn same_class(from: &HtbClass, to: &HtbClass) -> bool {
    let alone = |class: &HtbClass| {
        let class = HtbClass { parent: None, leaf: None, ..class.clone() };
        let classes = ClassId::try_from(1).ok().map(|id| (id, class)).into_iter().collect();
        Shaper::egress(Qdisc::Htb(Htb { classes, ..Htb::default() }))
    };
    alone(from).satisfies(&alone(to))
}

/// The classes so that each comes after its parent.
fn parents_first(htb: &Htb) -> Vec<ClassId> {
    let depth = |id: &ClassId| {
        let mut depth = 0;
        let mut above = htb.classes.get(id).and_then(|class| class.parent);
        // A checked tree is at most 8 deep; the bound keeps an observed one from turning in circles.
        while let (Some(parent), true) = (above, depth < 16) {
            depth += 1;
            above = htb.classes.get(&parent).and_then(|class| class.parent);
        }
        depth
    };
    let mut ids: Vec<ClassId> = htb.classes.keys().copied().collect();
    ids.sort_by_key(|id| (depth(id), *id));
    ids
}
