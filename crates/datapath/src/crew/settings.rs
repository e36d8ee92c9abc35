//! What all workers are told.

use super::{Crew, Stuck};
use crate::brain::{Execution, Tag};
use crate::counters::PortCounters;
use crate::inbox::Command;
use crate::shapers::{QueueCounts, QueueTotals, Shaping};
use crate::watch::Watch;
use netloom_mem::PortNumber;
use netloom_nf::conntrack::Tracker;
use netloom_nf::link::Cable;
use netloom_nf::remote::Remote;
use netloom_nf::tunnel::Tunnels;
use netloom_nf::{HashBy, Rate, Reason, SharedMeter};
use std::sync::Arc;

impl Crew {
    /// Begins, changes or ends (with none) a watch of packets.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn watch(&self, number: u32, watch: Option<&Watch>) -> Result<(), Stuck> {
        (0..self.shared.size())
            .try_for_each(|worker| self.tell(worker, Command::Watch(number, watch.cloned().map(Box::new))))
    }

    /// Flows that rest on these are taken back.
    pub fn changed(&self, tags: &[Tag]) {
        self.shared.changed(tags);
    }

    /// All flows are taken back.
    pub fn changed_all(&self) {
        self.shared.changed_all();
    }

    /// Sends a frame out of a port.
    ///
    /// # Errors
    /// When the port's worker does not take it.
    pub fn inject(&self, port: PortNumber, frame: Vec<u8>) -> Result<(), Stuck> {
        self.shared.inject(port, frame)
    }

    /// Makes, changes or takes away the token bucket of [`netloom_nf::Action::Meter`] with this number; the reason is
    /// that of packets that are one too many. Each worker has one of its own.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn meter(&self, number: u32, rate: Option<(Rate, Reason)>) -> Result<(), Stuck> {
        (0..self.shared.size()).try_for_each(|worker| self.tell(worker, Command::Meter(number, rate)))
    }

    /// Makes these the tunnel ports. What was counted of those that stay goes on.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn tunnels(&mut self, tunnels: &Arc<Tunnels>) -> Result<(), Stuck> {
        let size = self.shared.size();
        self.tunnel_counters.retain(|number, _| tunnels.get(*number).is_some());
        for number in tunnels.numbers() {
            let new = || (0..size).map(|_| Arc::default()).collect();
            self.tunnel_counters.entry(number).or_insert_with(new);
        }
        (0..size).try_for_each(|worker| {
            let of = |(number, all): (&PortNumber, &Vec<Arc<PortCounters>>)| {
                Some((*number, all.get(worker)?.clone()))
            };
            let counters = self.tunnel_counters.iter().filter_map(of).collect();
            self.tell(worker, Command::Tunnels(tunnels.clone(), counters))
        })
    }

    /// Makes this the tracker of all connections ([`netloom_nf::Action::Connect`]), or has none. It belongs to so many
    /// workers as there are ([`Crew::size`]).
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn track(&self, tracker: Option<&Arc<Tracker>>) -> Result<(), Stuck> {
        (0..self.shared.size()).try_for_each(|worker| self.tell(worker, Command::Track(tracker.cloned())))
    }

    /// Sends a packet through a program, at the worker that has the port through which it counts as having come.
    ///
    /// # Errors
    /// When that worker does not take it.
    pub fn execute(&self, execution: Execution) -> Result<(), Stuck> {
        self.shared.execute(execution)
    }

    /// As [`super::CrewHandle::share_meter`].
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn share_meter(&self, number: u32, meter: Option<&Arc<SharedMeter>>) -> Result<(), Stuck> {
        self.shared.share_meter(number, meter)
    }

    /// Limits what goes out of a port, through all workers together.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn limit(&self, port: PortNumber, rate: Option<Rate>) -> Result<(), Stuck> {
        (0..self.shared.size()).try_for_each(|worker| self.tell(worker, Command::Limit(port, rate)))
    }

    /// Makes, changes or ends a bond: what programs send to this number, which is no port's, leaves by one of these ports.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn bond(&self, number: PortNumber, members: Option<(HashBy, Vec<PortNumber>)>) -> Result<(), Stuck> {
        (0..self.shared.size())
            .try_for_each(|worker| self.tell(worker, Command::Bond(number, members.clone())))
    }

    /// Makes, changes or ends the stream of [`netloom_nf::Action::Remote`] with this number.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn remote(&self, number: u32, remote: Option<Remote>) -> Result<(), Stuck> {
        (0..self.shared.size())
            .try_for_each(|worker| self.tell(worker, Command::Remote(number, remote.clone())))
    }

    /// Puts a simulated link at a port, or changes it; one that does nothing takes it away. `seed` is that of its chances.
    /// One worker serves a port with a link; what others send after the link is gone may overtake what is under way.
    ///
    /// # Errors
    /// When a worker does not answer.
    pub fn link(&mut self, port: PortNumber, cable: Cable, seed: u64) -> Result<(), Stuck> {
        if cable.is_nothing() {
            self.links.remove(&port);
        } else {
            self.links.insert(port, (cable, seed));
        }
        match self.ports.get(&port).map(|carried| carried.home) {
            Some(home) => {
                self.gather(port)?;
                self.tell_link(port, home, &cable, seed)
            }
            // Nobody knows who had it; nobody needs to know before it comes.
            None => (0..self.shared.size()).try_for_each(|worker| {
                let cable = Box::default();
                self.tell(worker, Command::Link { port, cable, seed, here: true })
            }),
        }
    }

    pub(super) fn tell_link(
        &self,
        port: PortNumber,
        home: usize,
        cable: &Cable,
        seed: u64,
    ) -> Result<(), Stuck> {
        (0..self.shared.size()).try_for_each(|worker| {
            let (cable, here) = (Box::new(*cable), worker == home);
            self.tell(worker, Command::Link { port, cable, seed, here })
        })
    }

    /// Shapes what goes out of a port, through all workers together, or ends that. What queues counted that stay goes on,
    /// unless frames wait in one way of shaping and not in the other.
    ///
    /// # Errors
    /// When a worker does not take it.
    pub fn shape(&mut self, port: PortNumber, shaping: Option<Shaping>) -> Result<(), Stuck> {
        let shaping = shaping.map(|shaping| {
            let known = self.shaped.get(&port);
            let same = |known: &&(Arc<Shaping>, QueueCounts)| {
                std::mem::discriminant(&*known.0) == std::mem::discriminant(&shaping)
            };
            let known = known.filter(same).map(|known| known.1.clone()).unwrap_or_default();
            let counters = |number: u32| {
                let place = known.binary_search_by_key(&number, |count| count.0).ok();
                let kept = place.and_then(|place| known.get(place)).map(|count| count.1.clone());
                (number, kept.unwrap_or_default())
            };
            let counts: QueueCounts = shaping.numbers().into_iter().map(counters).collect();
            (Arc::new(shaping), counts)
        });
        self.shared.note_queues(port, shaping.as_ref().map(|shaping| shaping.1.clone()));
        match &shaping {
            Some(shaping) => self.shaped.insert(port, shaping.clone()),
            None => self.shaped.remove(&port),
        };
        match self.ports.get(&port) {
            Some(carried) => self.tell_shape(port, carried.home, shaping.as_ref()),
            None => Ok(()),
        }
    }

    pub(super) fn tell_shape(
        &self,
        port: PortNumber,
        home: usize,
        shaping: Option<&(Arc<Shaping>, QueueCounts)>,
    ) -> Result<(), Stuck> {
        (0..self.shared.size()).try_for_each(|worker| {
            self.tell(worker, Command::Shape { port, shaping: shaping.cloned(), here: worker == home })
        })
    }

    /// Counts on from what another crew counted of the queues of a port; for a port that is shaped and not there yet.
    pub fn count_queues_on(&self, port: PortNumber, before: &[(u32, QueueTotals)]) {
        let Some((_, counts)) = self.shaped.get(&port) else { return };
        for (number, totals) in before {
            let place = counts.binary_search_by_key(number, |count| count.0).ok();
            if let Some((_, counters)) = place.and_then(|place| counts.get(place)) {
                counters.begin_with(totals);
            }
        }
    }
}
