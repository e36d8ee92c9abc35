//! What is measured: a worker of the switch, or a loop that only moves frames between ports, as testpmd does.

use super::memory::Clock;
use super::stages::{Stages, TimedBrain};
use crate::cli::Mode;
use netloom_datapath::{Brain, Crew, FlowBounds, FlowReport, PortQueues, PortTotals, Worker, crew};
use netloom_mem::{BATCH, Batch, PortNumber, ReceiveQueue, SendQueue};
use netloom_nf::Reason;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a worker's caches begin to mix.
pub const SEED: u64 = 0x6e65_746c_6f6f_6d21;

/// A port of what is measured.
pub struct Port {
    /// Its number.
    pub number: PortNumber,
    /// Where frames come from.
    pub receive: Vec<Box<dyn ReceiveQueue>>,
    /// Where frames go.
    pub send: Option<Box<dyn SendQueue>>,
}

/// What is measured.
pub enum Device {
    /// A loop that moves frames.
    Mover(Box<Mover>),
    /// A worker, alone in its crew, and its ports.
    Worker(Box<Worker>, Box<Crew>, Vec<PortNumber>),
}

/// Counts of all ports at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that came, by port.
    pub received: BTreeMap<PortNumber, u64>,
    /// Their octets.
    pub octets: u64,
    /// Frames that left, by port.
    pub sent: BTreeMap<PortNumber, u64>,
    /// Frames that found no room at their way out.
    pub unsent: u64,
    /// Frames that were dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl Counts {
    fn add(&mut self, port: PortNumber, totals: &PortTotals) {
        self.received.insert(port, totals.received);
        self.octets += totals.received_octets;
        self.sent.insert(port, totals.sent);
        self.unsent += totals.unsent;
        for reason in Reason::ALL {
            *self.dropped.entry(reason.name()).or_insert(0) += totals.lost(reason);
        }
    }

    /// What was added since.
    pub fn since(&self, before: &Self) -> Self {
        let ports = |now: &BTreeMap<PortNumber, u64>, then: &BTreeMap<PortNumber, u64>| {
            now.iter().map(|(port, count)| (*port, count - then.get(port).unwrap_or(&0))).collect()
        };
        let dropped = self.dropped.iter();
        Self {
            received: ports(&self.received, &before.received),
            octets: self.octets - before.octets,
            sent: ports(&self.sent, &before.sent),
            unsent: self.unsent - before.unsent,
            dropped: dropped
                .map(|(reason, count)| (*reason, count - before.dropped.get(reason).unwrap_or(&0)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }
}

impl Device {
    /// A worker that asks a brain, or without one a loop for the mode.
    ///
    /// # Errors
    /// When the system gives no event descriptor.
    pub fn new(
        mode: Mode,
        ports: Vec<Port>,
        brain: Option<Box<dyn Brain>>,
        bounds: FlowBounds,
        stages: &Arc<Stages>,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let Some(brain) = brain else { return Ok(Self::Mover(Box::new(Mover::new(mode, ports)))) };
        let (mut crew, mut sides) = crew(1)?;
        let side = sides.pop().ok_or_else(|| std::io::Error::other("a crew without a worker"))?;
        let brain = Box::new(TimedBrain { inner: brain, stages: stages.clone(), clock });
        let mut worker = Worker::new(side, brain, bounds, SEED, Box::new(move || clock.now()));
        let mut known = Vec::new();
        for Port { number, receive, send } in ports {
            known.push(number);
            let queues = PortQueues::new(number, receive, send.into_iter().collect());
            crew.add(queues).map_err(std::io::Error::other)?;
        }
        worker.turn();
        Ok(Self::Worker(Box::new(worker), Box::new(crew), known))
    }

    /// One turn over all ports; gives the number of frames that came.
    #[inline]
    pub fn turn(&mut self) -> usize {
        match self {
            Self::Mover(mover) => mover.turn(),
            Self::Worker(worker, ..) => worker.turn(),
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        match self {
            Self::Mover(mover) => {
                for (port, totals) in &mover.ports {
                    counts.add(port.number, totals);
                }
            }
            Self::Worker(_, crew, ports) => {
                for port in ports {
                    counts.add(*port, &crew.totals(*port).unwrap_or_default());
                }
            }
        }
        counts
    }

    /// The worker's flows.
    pub fn flows(&mut self) -> Vec<FlowReport> {
        let Self::Worker(worker, crew, _) = self else { return Vec::new() };
        // It answers in one of its turns.
        let flows = std::thread::scope(|scope| {
            let asking = scope.spawn(|| crew.flows());
            while !asking.is_finished() {
                worker.turn();
            }
            asking.join()
        });
        flows.ok().and_then(Result::ok).unwrap_or_default().into_iter().flatten().collect()
    }
}

/// Moves frames from each port to the next.
pub struct Mover {
    mode: Mode,
    ports: Vec<(Port, PortTotals)>,
    batch: Batch,
    order: [u8; BATCH],
}

impl Mover {
    fn new(mode: Mode, ports: Vec<Port>) -> Self {
        Self {
            mode,
            ports: ports.into_iter().map(|port| (port, PortTotals::default())).collect(),
            batch: Batch::new(),
            order: std::array::from_fn(|index| index as u8),
        }
    }

    fn turn(&mut self) -> usize {
        let mut packets = 0;
        for from in 0..self.ports.len() {
            for queue in 0..self.ports[from].0.receive.len() {
                packets += self.serve(from, queue);
            }
        }
        for (port, _) in &mut self.ports {
            if let Some(send) = &mut port.send {
                send.flush();
            }
        }
        packets
    }

    fn serve(&mut self, from: usize, queue: usize) -> usize {
        let (port, totals) = &mut self.ports[from];
        let receive = &mut port.receive[queue];
        // A peer that is gone has left what it sent before in the batch; it comes back by itself.
        let count = receive.receive(&mut self.batch).unwrap_or(self.batch.len());
        if count == 0 {
            return 0;
        }
        totals.received += count as u64;
        let octets: u64 = (0..count).map(|index| self.batch.length(index) as u64).sum();
        totals.received_octets += octets;
        let to = (from + 1) % self.ports.len();
        if self.mode != Mode::Rxonly {
            for index in 0..count {
                change(self.mode, self.batch.head_mut(index));
            }
            let (port, totals) = &mut self.ports[to];
            if let Some(send) = &mut port.send {
                let sent = send.send(&self.batch, &self.order[..count]).unwrap_or(0);
                totals.sent += sent as u64;
                totals.unsent += (count - sent) as u64;
            }
        }
        self.ports[from].0.receive[queue].complete();
        self.batch.clear();
        count
    }
}

/// Our address and the other side's, as testpmd's `mac` mode writes them.
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0x11];

#[inline]
fn change(mode: Mode, head: &mut [u8]) {
    let Some((ethernet, rest)) = head.split_at_mut_checked(14) else { return };
    match mode {
        Mode::Mac => ethernet[..12].copy_from_slice(&ADDRESSES),
        Mode::Macswap | Mode::FiveTupleSwap => {
            let (destination, source) = ethernet.split_at_mut(6);
            destination.swap_with_slice(&mut source[..6]);
        }
        _ => {}
    }
    if mode == Mode::FiveTupleSwap && ethernet[12..] == [8, 0] {
        exchange(rest);
    }
}

/// Exchanges the addresses of an IPv4 header and the ports behind it; checksums stay right.
fn exchange(packet: &mut [u8]) {
    let header = packet.first().map_or(0, |first| usize::from(first & 15) * 4);
    if let Some(addresses) = packet.get_mut(12..20) {
        addresses.rotate_left(4);
    }
    let protocol = packet.get(9).copied();
    if matches!(protocol, Some(6 | 17 | 132))
        && header >= 20
        && let Some(ports) = packet.get_mut(header..header + 4)
    {
        ports.rotate_left(2);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn modes_change_what_their_names_say() {
        let frame: Vec<u8> = {
            let mut frame: Vec<u8> = (0..60).collect();
            frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
            frame[23] = 17;
            frame
        };
        let changed = |mode| {
            let mut frame = frame.clone();
            change(mode, &mut frame);
            frame
        };
        assert_eq!(changed(Mode::Io), frame);
        assert_eq!((&changed(Mode::Mac)[..12], &changed(Mode::Mac)[12..]), (&ADDRESSES[..], &frame[12..]));
        let swapped = changed(Mode::Macswap);
        assert_eq!(
            (&swapped[..6], &swapped[6..12], &swapped[12..]),
            (&frame[6..12], &frame[..6], &frame[12..])
        );
        let swapped = changed(Mode::FiveTupleSwap);
        assert_eq!((&swapped[26..30], &swapped[30..34]), (&frame[30..34], &frame[26..30]));
        assert_eq!((&swapped[34..36], &swapped[36..38]), (&frame[36..38], &frame[34..36]));
        assert_eq!(&swapped[38..], &frame[38..]);
        // Whatever comes: nothing panics.
        for length in 0..40 {
            change(Mode::FiveTupleSwap, &mut frame[..length].to_vec());
        }
    }
}
