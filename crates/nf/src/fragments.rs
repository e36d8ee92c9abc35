//! Fragments: put together before connection tracking, and taken apart after it.
//!
//! ```text
//! fragment -> Fragments::take -> held, held, ... complete -> whole frame -> ct() -> Assembly::parts -> fragments as they came
//! ```
//!
//! What: a connection's ports are in the first fragment only, so that the tracker sees whole packets. Behind it the packet
//! goes on as the fragments that it came in (Open vSwitch's `ipf`): the headers of each, with the addresses that the
//! whole has now, and the whole's payload, cut where it was cut. Fragments of a packet that never becomes complete come
//! out after [`TIMEOUT`], and are invalid. A worker has its own: all fragments of a packet come by one queue.
//!
//! Invariants: a fragment that overlaps another is invalid (RFC 5722, for both versions), as are too small ones that are
//! not the last. There are at most so many fragments and octets as the bounds say; nothing panics.
//!
//! Costs: a fragment is copied twice. A packet that is none costs a look at its key.

mod assembly;

pub use assembly::Assembly;

use crate::conntrack::state;
use assembly::Part;
use netloom_mem::Batch;
use netloom_table::key::Layers;
use netloom_table::{Field, Key};
use std::collections::{BTreeMap, BTreeSet};

/// Nanoseconds that fragments wait for others.
pub const TIMEOUT: u64 = 15_000_000_000;
/// Octets of an IPv4 packet, or behind the header of an IPv6 one.
const LARGEST: usize = 65_535;

/// What there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentBounds {
    /// IPv4 packets are put together.
    pub four: bool,
    /// IPv6 packets are put together.
    pub six: bool,
    /// Most fragments that are held (`dpctl/ipf-set-max-nfrags`).
    pub fragments: usize,
    /// Most octets of them.
    pub octets: usize,
    /// Octets that an IPv4 fragment that is not the last must have, its header included.
    pub least_four: usize,
    /// The same of IPv6.
    pub least_six: usize,
}

impl Default for FragmentBounds {
    /// As in Open vSwitch.
    fn default() -> Self {
        Self { four: true, six: true, fragments: 1000, octets: 16 << 20, least_four: 1200, least_six: 1280 }
    }
}

/// What happened to the fragments of one IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FragmentCounts {
    /// They were held.
    pub accepted: u64,
    /// Their packet was complete.
    pub completed: u64,
    /// Their packet was not complete in time.
    pub expired: u64,
    /// They were too small.
    pub small: u64,
    /// They overlapped others.
    pub overlapping: u64,
    /// There was no room for them.
    pub crowded: u64,
}

/// What became of a packet.
#[derive(Debug)]
pub enum Taken {
    /// It is whole: it goes on as it is.
    Whole,
    /// It is held; its frame is not needed any more.
    Held,
    /// It is a fragment that can't be used: it goes on with the state *invalid*.
    Invalid,
    /// It was the last that was missing.
    Complete(Box<Assembly>),
}

/// Which packet a fragment is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Of {
    source: u128,
    destination: u128,
    identification: u32,
    recirculation: u32,
    zone: u16,
    protocol: u8,
    six: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    parts: Vec<Part>,
    octets: usize,
    since: u64,
    /// It will never be complete.
    hopeless: bool,
}

/// The fragments that wait.
#[derive(Debug)]
pub struct Fragments {
    bounds: FragmentBounds,
    /// Sorted, so that nobody can make searching slow.
    waiting: BTreeMap<Of, Waiting>,
    /// In the order in which their first fragment came.
    order: BTreeSet<(u64, Of)>,
    held: usize,
    octets: usize,
    counts: [FragmentCounts; 2],
}

impl Fragments {
    /// None yet.
    #[must_use]
    pub fn new(bounds: FragmentBounds) -> Self {
        Self {
            bounds,
            waiting: BTreeMap::new(),
            order: BTreeSet::new(),
            held: 0,
            octets: 0,
            counts: [FragmentCounts::default(); 2],
        }
    }

    /// What there may be from now on; what is held stays.
    pub fn set_bounds(&mut self, bounds: FragmentBounds) {
        self.bounds = bounds;
    }

    /// What happened to fragments of IPv4 and of IPv6.
    #[must_use]
    pub const fn counts(&self) -> [FragmentCounts; 2] {
        self.counts
    }

    /// How many fragments are held, and their octets.
    #[must_use]
    pub const fn held(&self) -> (usize, usize) {
        (self.held, self.octets)
    }

    /// Whether none is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes a packet that is on its way to connection tracking in a zone. Its key must be the packet's as it is.
    #[inline]
    pub fn take(
        &mut self,
        batch: &mut Batch,
        index: usize,
        key: &Key,
        layers: &Layers,
        zone: u16,
        now: u64,
    ) -> Taken {
        if key.get(Field::IP_FRAG) == 0 {
            return Taken::Whole;
        }
        self.take_fragment(batch, index, key, layers, zone, now)
    }

    #[cold]
    fn take_fragment(
        &mut self,
        batch: &mut Batch,
        index: usize,
        key: &Key,
        layers: &Layers,
        zone: u16,
        now: u64,
    ) -> Taken {
        let six = match key.get(Field::ETH_TYPE) {
            0x0800 if self.bounds.four => false,
            0x86dd if self.bounds.six => true,
            _ => return Taken::Invalid,
        };
        let Some((part, identification)) = Part::read(batch, index, usize::from(layers.network), six) else {
            return Taken::Invalid;
        };
        let counts = &mut self.counts[usize::from(six)];
        let least = if six { self.bounds.least_six } else { self.bounds.least_four };
        if part.more && part.octets() < least {
            counts.small += 1;
            return Taken::Invalid;
        }
        if self.held >= self.bounds.fragments || self.octets + part.octets() > self.bounds.octets {
            counts.crowded += 1;
            return Taken::Invalid;
        }
        let (source, destination) = part.addresses();
        let protocol = if six { 0 } else { part.protocol };
        let recirculation = key.get(Field::RECIRCULATION) as u32;
        let of = Of { source, destination, identification, recirculation, zone, protocol, six };
        let waiting = self.waiting.entry(of).or_insert_with(|| {
            self.order.insert((now, of));
            Waiting { since: now, ..Waiting::default() }
        });
        if waiting.hopeless {
            return Taken::Invalid;
        }
        let place = waiting.parts.partition_point(|known| known.start < part.start);
        let before = place.checked_sub(1).and_then(|place| waiting.parts.get(place));
        let overlaps = before.is_some_and(|before| before.end() > part.start)
            || waiting.parts.get(place).is_some_and(|behind| behind.start < part.end());
        if overlaps {
            counts.overlapping += 1;
            return Taken::Invalid;
        }
        counts.accepted += 1;
        self.held += 1;
        self.octets += part.octets();
        waiting.octets += part.octets();
        waiting.parts.insert(place, part);
        if !is_complete(&waiting.parts) {
            // More than fits into a packet, or something behind the last part: no other fragment can help.
            let last = waiting.parts.iter().position(|part| !part.more);
            let end = waiting.parts.last().map_or(0, Part::end);
            waiting.hopeless = end > LARGEST || last.is_some_and(|last| last + 1 < waiting.parts.len());
            return Taken::Held;
        }
        let Some(done) = self.waiting.remove(&of) else { return Taken::Held };
        self.order.remove(&(done.since, of));
        self.held -= done.parts.len();
        self.octets -= done.octets;
        let count = done.parts.len() as u64;
        match Assembly::new(done.parts, six) {
            Some(assembly) => {
                self.counts[usize::from(six)].completed += count;
                Taken::Complete(Box::new(assembly))
            }
            None => Taken::Invalid,
        }
    }

    /// Fragments of one packet that has waited for too long, as frames: they go on with the state *invalid*. Call it once a
    /// turn.
    pub fn expire(&mut self, now: u64) -> Vec<Vec<u8>> {
        let Some((since, of)) = self.order.first().copied() else { return Vec::new() };
        if now < since.saturating_add(TIMEOUT) {
            return Vec::new();
        }
        self.order.pop_first();
        let Some(waiting) = self.waiting.remove(&of) else { return Vec::new() };
        self.held -= waiting.parts.len();
        self.octets -= waiting.octets;
        self.counts[usize::from(of.six)].expired += waiting.parts.len() as u64;
        waiting.parts.into_iter().map(Part::into_frame).collect()
    }
}

/// Whether sorted parts are a whole packet.
fn is_complete(parts: &[Part]) -> bool {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    first.start == 0
        && !last.more
        && parts.windows(2).all(|pair| pair[0].more && pair[0].end() == pair[1].start)
}

/// Copies what is known of a connection from the key of a whole packet to that of a fragment.
pub fn copy_connection(from: &Key, to: &mut Key) {
    for field in Field::ALL.iter().filter(|field| field.name().starts_with("ct_")) {
        let value = from.get(*field);
        if value != 0 || to.get(*field) != 0 {
            to.set(*field, value);
        }
    }
}

/// Writes to a fragment's key that it belongs to no connection.
pub fn mark_invalid(key: &mut Key, zone: u16) {
    copy_connection(&Key::default(), key);
    key.set(Field::CT_STATE, u64::from(state::INVALID | state::TRACKED));
    key.set(Field::CT_ZONE, u64::from(zone));
}

/// What the fragments of all workers are up to (`dpctl/ipf-get-status`): their bounds, the sums of their
/// [counts](Fragments::counts), and how many are held.
#[must_use]
pub fn status_text(bounds: &FragmentBounds, counts: &[FragmentCounts; 2], held: usize) -> String {
    let mut text = String::from("        Fragmentation Module Status\n        ---------------------------\n");
    let mut line = |name: &str, value: u64| {
        text.push_str("        ");
        text.push_str(name);
        text.push_str(": ");
        text.push_str(&value.to_string());
        text.push('\n');
    };
    line("v4 enabled", u64::from(bounds.four));
    line("v6 enabled", u64::from(bounds.six));
    line("max num frags (v4/v6)", bounds.fragments as u64);
    line("num frag", held as u64);
    for (version, least, counts) in
        [("v4", bounds.least_four, &counts[0]), ("v6", bounds.least_six, &counts[1])]
    {
        line(&format!("min {version} frag size"), least as u64);
        line(&format!("{version} frags accepted"), counts.accepted);
        line(&format!("{version} frags completed"), counts.completed);
        line(&format!("{version} frags expired"), counts.expired);
        line(&format!("{version} frags too small"), counts.small);
        line(&format!("{version} frags overlapped"), counts.overlapping);
        // Nothing is taken away without coming out.
        line(&format!("{version} frags purged"), 0);
    }
    text
}
