//! The flows of a worker: programs, counts, what they rest on, and how they end.
//!
//! Invariants: a flow is in the megaflow cache exactly as long as it is here. Lists of tags may name flows that are gone;
//! a flow's birth number tells.
//!
//! Packets of a flow are told to the brain when ageing comes by, when the flow ends, and when somebody asks: each once.
//!
//! Costs: about 200 octets for a flow. Ageing looks at a few flows per turn, so that no turn is long.

use crate::brain::{Answer, Tag, Used};
use netloom_mem::{PortNumber, prefetch};
use netloom_nf::{Program, Reason, Shape};
use netloom_table::megaflow::{self, BATCH, Bounds, Flow, Megaflows, Place, Statistics};
use netloom_table::{Key, Mask};
use std::collections::HashMap;

/// How many flows there may be, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowBounds {
    /// Bounds of the cache.
    pub cache: Bounds,
    /// Most flows that came in through one port.
    pub flows_per_port: u32,
    /// A flow without packets for so many nanoseconds is taken out.
    pub idle: u64,
}

impl Default for FlowBounds {
    fn default() -> Self {
        Self { cache: Bounds::default(), flows_per_port: 1 << 19, idle: 10_000_000_000 }
    }
}

/// A flow, for those who list them.
#[derive(Debug, Clone)]
pub struct FlowReport {
    /// The key, masked.
    pub key: Key,
    /// Which bits of it matter.
    pub mask: Mask,
    /// What is done.
    pub program: Program,
    /// Packets so far.
    pub packets: u64,
    /// Their octets.
    pub octets: u64,
    /// Nanoseconds since the last packet.
    pub idle: u64,
    /// The port through which its packets come.
    pub port: PortNumber,
    /// What it rests on.
    pub rests: Vec<Tag>,
    /// As in the answer that made it.
    pub token: u64,
    /// Likewise.
    pub counted: bool,
    /// Octets of the packet for which it was made, which is among the others; none when that is not known.
    pub first: Option<u32>,
}

/// What is touched for each packet: one cache line.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(crate) struct Entry {
    pub(crate) shape: Shape,
    pub(crate) port: PortNumber,
    pub(crate) packets: u64,
    pub(crate) octets: u64,
    pub(crate) used: u64,
    reported: u64,
    birth: u32,
    alive: bool,
}

/// The rest of a flow.
#[derive(Debug)]
struct Rest {
    program: Program,
    place: Place,
    token: u64,
    counted: bool,
    tags: Box<[Tag]>,
    /// Packets and octets that the brain knows of.
    told: (u64, u64),
    /// Octets of the packet for which it was made.
    first: Option<u32>,
}

/// What is kept for each port through which packets of flows come.
#[derive(Debug, Default)]
struct OfPort {
    flows: u32,
    /// Packets, octets and the time of flows that are not counted by themselves, which the brain does not know of.
    sum: (u64, u64, u64),
}

impl OfPort {
    fn add(&mut self, packets: u64, octets: u64, last: u64) {
        let (all, sum, latest) = self.sum;
        self.sum = (all + packets, sum + octets, latest.max(last));
    }
}

#[derive(Debug)]
pub(crate) struct Flows {
    cache: Megaflows,
    entries: Vec<Entry>,
    rests: Vec<Option<Rest>>,
    free: Vec<Flow>,
    by_tag: HashMap<Tag, Vec<(Flow, u32)>>,
    per_port: HashMap<PortNumber, OfPort>,
    /// What the brain is to be told of flows that are gone.
    ended: Vec<Used>,
    bounds: FlowBounds,
    births: u32,
    /// Where ageing goes on.
    hand: usize,
    last_sweep: u64,
    /// When sums of ports were told last.
    last_sums: u64,
}

/// All flows are looked at within this many nanoseconds.
const SWEEP: u64 = 500_000_000;
/// Sums of ports are told so often.
const SUMS: u64 = 100_000_000;
/// Nothing is aged more often than this.
const SWEEP_STEP: u64 = 1_000_000;

impl Flows {
    pub(crate) fn new(bounds: FlowBounds, seed: u64) -> Self {
        Self {
            cache: Megaflows::new(bounds.cache, seed),
            entries: Vec::new(),
            rests: Vec::new(),
            free: Vec::new(),
            by_tag: HashMap::new(),
            per_port: HashMap::new(),
            ended: Vec::new(),
            bounds,
            births: 0,
            hand: 0,
            last_sweep: 0,
            last_sums: 0,
        }
    }

    #[inline]
    pub(crate) fn find_batch(&mut self, keys: &[Key; BATCH], count: usize, found: &mut [Flow; BATCH]) {
        self.cache.find_batch(keys, count, found);
        if self.entries.len() > BATCH {
            self.fetch(&found[..count]);
        }
    }

    /// Has what many flows need, which lies far apart, fetched from memory for all at once: entries, and programs of several
    /// steps.
    #[inline]
    fn fetch(&self, found: &[Flow]) {
        for flow in found {
            if let Some(entry) = self.entries.get(*flow as usize) {
                prefetch(entry);
            }
        }
        let mut steps = 0_u32;
        for (index, flow) in found.iter().enumerate() {
            let shape = self.entries.get(*flow as usize).map(|entry| &entry.shape);
            if !matches!(shape, None | Some(Shape::Output(_) | Shape::Drop(_))) {
                steps |= 1 << index;
                if let Some(rest) = self.rests.get(*flow as usize) {
                    prefetch(rest);
                }
            }
        }
        while steps != 0 {
            if let Some(first) =
                self.program(found[steps.trailing_zeros() as usize]).and_then(|it| it.actions().first())
            {
                prefetch(first);
            }
            steps &= steps - 1;
        }
    }

    pub(crate) fn find(&self, key: &Key) -> Option<Flow> {
        self.cache.find(key)
    }

    #[inline]
    pub(crate) fn entry(&mut self, flow: Flow) -> Option<&mut Entry> {
        self.entries.get_mut(flow as usize)
    }

    pub(crate) fn program(&self, flow: Flow) -> Option<&Program> {
        self.rests.get(flow as usize)?.as_ref().map(|rest| &rest.program)
    }

    pub(crate) fn statistics(&self) -> (Statistics, usize, usize) {
        (self.cache.statistics(), self.cache.len(), self.cache.masks())
    }

    /// Keeps an answer as a flow and takes its parts; leaves it alone when there is no room.
    pub(crate) fn insert(
        &mut self,
        key: &Key,
        port: PortNumber,
        answer: &mut Answer,
        now: u64,
    ) -> Option<Flow> {
        let of_port = self.per_port.entry(port).or_default();
        if of_port.flows >= self.bounds.flows_per_port {
            return None;
        }
        let flow = self.free.last().copied().unwrap_or(self.entries.len() as Flow);
        let mask = self.cache.fit(&answer.mask);
        let place = self.cache.insert(key, &mask, flow).ok()?;
        of_port.flows += 1;
        self.births = self.births.wrapping_add(1);
        let entry = Entry {
            shape: answer.program.shape(),
            port,
            packets: 0,
            octets: 0,
            used: now,
            reported: now,
            birth: self.births,
            alive: true,
        };
        for tag in &answer.rests {
            // Most stations have one flow.
            let list = self.by_tag.entry(*tag).or_insert_with(|| Vec::with_capacity(1));
            // Names of flows that are gone are cleared away before the list grows.
            if list.len() == list.capacity() && list.len() > 16 {
                let entries = &self.entries;
                list.retain(|(flow, birth)| {
                    entries.get(*flow as usize).is_some_and(|entry| entry.alive && entry.birth == *birth)
                });
            }
            list.push((flow, self.births));
        }
        let program = std::mem::replace(&mut answer.program, Program::lose(Reason::Busy));
        let tags = std::mem::take(&mut answer.rests).into();
        let (token, counted) = (answer.token, answer.counted);
        let rest = Rest { program, place, token, counted, tags, told: (0, 0), first: None };
        if self.free.pop().is_some() {
            self.entries[flow as usize] = entry;
            self.rests[flow as usize] = Some(rest);
        } else {
            self.entries.push(entry);
            self.rests.push(Some(rest));
        }
        Some(flow)
    }

    /// Takes over a flow of another worker, with what it counted.
    pub(crate) fn learn(&mut self, report: FlowReport, now: u64) {
        let FlowReport { key, mask, program, packets, octets, idle, port, rests, token, counted, first } =
            report;
        let mut answer = Answer { program, mask, rests, changed: Vec::new(), token, counted, keep: true };
        let Some(flow) = self.insert(&key, port, &mut answer, now) else { return };
        if let Some(entry) = self.entry(flow) {
            (entry.packets, entry.octets, entry.used) = (packets, octets, now.saturating_sub(idle));
        }
        if let Some(rest) = self.rests.get_mut(flow as usize).and_then(Option::as_mut) {
            rest.told = (packets, octets);
            rest.first = first;
        }
    }

    /// Remembers the packet for which a flow was made.
    pub(crate) fn made_for(&mut self, flow: Flow, octets: usize) {
        if let Some(rest) = self.rests.get_mut(flow as usize).and_then(Option::as_mut) {
            rest.first = u32::try_from(octets).ok();
        }
    }

    fn remove(&mut self, flow: Flow) {
        let Some(entry) = self.entries.get_mut(flow as usize).filter(|entry| entry.alive) else { return };
        entry.alive = false;
        let rest = self.rests.get_mut(flow as usize).and_then(Option::take);
        if let Some(of_port) = self.per_port.get_mut(&entry.port) {
            of_port.flows = of_port.flows.saturating_sub(1);
            self.ended.extend(rest.as_ref().and_then(|rest| last_words(entry, rest, of_port)));
        }
        if let Some(rest) = rest {
            self.cache.remove(rest.place);
            for tag in rest.tags {
                // Long lists are cleared when they grow; short ones at once.
                if let Some(list) = self.by_tag.get_mut(&tag).filter(|list| list.len() <= 16) {
                    list.retain(|(listed, _)| *listed != flow);
                    if list.is_empty() {
                        self.by_tag.remove(&tag);
                    }
                }
            }
        }
        self.free.push(flow);
    }

    /// Takes back the flows that rest on something; true if there were any.
    pub(crate) fn changed(&mut self, tag: Tag) -> bool {
        let before = self.cache.len();
        for (flow, birth) in self.by_tag.remove(&tag).unwrap_or_default() {
            if self.entries.get(flow as usize).is_some_and(|entry| entry.alive && entry.birth == birth) {
                self.remove(flow);
            }
        }
        self.cache.len() != before
    }

    /// Takes all flows back.
    pub(crate) fn clear(&mut self) {
        for (entry, rest) in self.entries.iter().zip(&self.rests).filter(|(entry, _)| entry.alive) {
            if let (Some(rest), Some(of_port)) = (rest, self.per_port.get_mut(&entry.port)) {
                self.ended.extend(last_words(entry, rest, of_port));
            }
        }
        self.per_port.values_mut().for_each(|of_port| of_port.flows = 0);
        self.cache.clear();
        self.entries.clear();
        self.rests.clear();
        self.free.clear();
        self.by_tag.clear();
        self.hand = 0;
    }

    /// Ages some flows; those that carried packets are put into `used`.
    pub(crate) fn sweep(&mut self, now: u64, used: &mut Vec<Used>) {
        let since = now.saturating_sub(self.last_sweep);
        if since < SWEEP_STEP {
            return;
        }
        self.last_sweep = now;
        let share = (self.entries.len() as u64).saturating_mul(since.min(SWEEP)).div_ceil(SWEEP);
        for _ in 0..share {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            let flow = self.hand;
            self.hand += 1;
            let Some(entry) = self.entries.get_mut(flow).filter(|entry| entry.alive) else { continue };
            if now.saturating_sub(entry.used) > self.bounds.idle {
                self.remove(flow as Flow);
            } else {
                self.tell_of(flow, now, used);
            }
        }
        used.append(&mut self.ended);
        if now.saturating_sub(self.last_sums) >= SUMS {
            self.last_sums = now;
            self.tell_sums(used);
        }
    }

    /// Tells of a flow that is there what was not told yet.
    fn tell_of(&mut self, flow: usize, now: u64, used: &mut Vec<Used>) {
        let Some(entry) = self.entries.get_mut(flow).filter(|entry| entry.alive) else { return };
        // What came at the moment of the last report came before it.
        if entry.used < entry.reported {
            return;
        }
        let Some(rest) = self.rests.get_mut(flow).and_then(Option::as_mut) else { return };
        let (packets, octets) = untold(entry, rest);
        if packets == 0 {
            return;
        }
        rest.told = (entry.packets, entry.octets);
        let (token, port, last) = (rest.token, entry.port, entry.used);
        if rest.counted {
            used.push(Used::Flow { token, packets, octets, last, ended: false });
        } else {
            if let Some(of_port) = self.per_port.get_mut(&port) {
                of_port.add(packets, octets, last);
            }
            // Whoever made the answer knows of its first moment.
            if token != 0 && last > entry.reported {
                used.push(Used::Lately { token, port });
            }
        }
        entry.reported = now;
    }

    /// Tells the sums of ports.
    fn tell_sums(&mut self, used: &mut Vec<Used>) {
        self.per_port.retain(|port, of_port| {
            let (packets, octets, last) = std::mem::take(&mut of_port.sum);
            if packets > 0 {
                used.push(Used::Port { port: *port, packets, octets, last });
            }
            of_port.flows > 0
        });
    }

    /// Tells everything that was not told yet.
    pub(crate) fn tell_all(&mut self, now: u64, used: &mut Vec<Used>) {
        (0..self.entries.len()).for_each(|flow| self.tell_of(flow, now, used));
        used.append(&mut self.ended);
        self.tell_sums(used);
    }

    /// Counts a packet whose answer would have been kept if there had been room.
    pub(crate) fn count_one(&mut self, answer: &Answer, port: PortNumber, octets: u64, now: u64) {
        if answer.counted {
            let token = answer.token;
            self.ended.push(Used::Flow { token, packets: 1, octets, last: now, ended: true });
        } else {
            self.per_port.entry(port).or_default().add(1, octets, now);
        }
    }

    /// All flows.
    pub(crate) fn report(&self, now: u64) -> Vec<FlowReport> {
        let alive = self.entries.iter().zip(&self.rests).filter(|(entry, _)| entry.alive);
        alive
            .filter_map(|(entry, rest)| {
                let rest = rest.as_ref()?;
                let (key, mask) = self.cache.describe(rest.place)?;
                Some(FlowReport {
                    key,
                    mask,
                    program: rest.program.clone(),
                    packets: entry.packets,
                    octets: entry.octets,
                    idle: now.saturating_sub(entry.used),
                    port: entry.port,
                    first: rest.first,
                    rests: rest.tags.to_vec(),
                    token: rest.token,
                    counted: rest.counted,
                })
            })
            .collect()
    }
}

/// What the brain does not know of.
const fn untold(entry: &Entry, rest: &Rest) -> (u64, u64) {
    (entry.packets - rest.told.0, entry.octets - rest.told.1)
}

/// What there is to tell of a flow that goes, at once or in the sum of its port.
fn last_words(entry: &Entry, rest: &Rest, of_port: &mut OfPort) -> Option<Used> {
    let (packets, octets) = untold(entry, rest);
    if rest.counted {
        return Some(Used::Flow { token: rest.token, packets, octets, last: entry.used, ended: true });
    }
    of_port.add(packets, octets, entry.used);
    None
}

/// No flow.
pub(crate) const NONE: Flow = megaflow::NONE;
