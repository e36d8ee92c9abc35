//! What is measured: a worker of the switch, or a loop that only moves frames between ports, as testpmd does.

use super::memory::Clock;
use super::stages::{Stages, TimedBrain};
use crate::cli::Mode;
use netloom_datapath::{
    Brain, Command, FlowBounds, FlowReport, Handle, PortCounters, PortQueues, Worker, handle,
};
use netloom_mem::{BATCH, Batch, PortNumber, ReceiveQueue, SendQueue};
use netloom_nf::Reason;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

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
pub struct Device {
    kind: Kind,
    ports: Vec<(PortNumber, Arc<PortCounters>)>,
}

enum Kind {
    Mover(Box<Mover>),
    Worker(Box<Worker>, Handle),
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
        let known: Vec<(PortNumber, Arc<PortCounters>)> =
            ports.iter().map(|port| (port.number, Arc::default())).collect();
        let Some(brain) = brain else {
            return Ok(Self { kind: Kind::Mover(Box::new(Mover::new(mode, ports, &known))), ports: known });
        };
        let (handle, side) = handle()?;
        let brain = Box::new(TimedBrain { inner: brain, stages: stages.clone(), clock });
        let mut worker = Worker::new(side, brain, bounds, SEED, Box::new(move || clock.now()));
        for (port, (_, counters)) in ports.into_iter().zip(&known) {
            let Port { number, receive, send } = port;
            handle.tell(Command::Add(PortQueues { number, receive, send, counters: counters.clone() }));
        }
        worker.turn();
        Ok(Self { kind: Kind::Worker(Box::new(worker), handle), ports: known })
    }

    /// One turn over all ports; gives the number of frames that came.
    #[inline]
    pub fn turn(&mut self) -> usize {
        match &mut self.kind {
            Kind::Mover(mover) => mover.turn(),
            Kind::Worker(worker, _) => worker.turn(),
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (number, counters) in &self.ports {
            counts.received.insert(*number, counters.received.get());
            counts.octets += counters.received_octets.get();
            counts.sent.insert(*number, counters.sent.get());
            counts.unsent += counters.unsent.get();
            for reason in Reason::ALL {
                let count = counters.dropped[reason as usize].get();
                *counts.dropped.entry(reason.name()).or_insert(0) += count;
            }
        }
        counts
    }

    /// The worker's flows.
    pub fn flows(&mut self) -> Vec<FlowReport> {
        let Kind::Worker(worker, handle) = &mut self.kind else { return Vec::new() };
        let (to, from) = channel();
        handle.tell(Command::Report(to));
        worker.turn();
        from.try_recv().unwrap_or_default()
    }
}

/// Moves frames from each port to the next.
struct Mover {
    mode: Mode,
    ports: Vec<(Port, Arc<PortCounters>)>,
    batch: Batch,
    order: [u8; BATCH],
}

impl Mover {
    fn new(mode: Mode, ports: Vec<Port>, counters: &[(PortNumber, Arc<PortCounters>)]) -> Self {
        let ports = ports.into_iter().zip(counters).map(|(port, (_, counters))| (port, counters.clone()));
        Self {
            mode,
            ports: ports.collect(),
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
        let (port, counters) = &mut self.ports[from];
        let receive = &mut port.receive[queue];
        // A peer that is gone has left what it sent before in the batch; it comes back by itself.
        let count = receive.receive(&mut self.batch).unwrap_or(self.batch.len());
        if count == 0 {
            return 0;
        }
        counters.received.add(count as u64);
        let octets: u64 = (0..count).map(|index| self.batch.length(index) as u64).sum();
        counters.received_octets.add(octets);
        let to = (from + 1) % self.ports.len();
        if self.mode != Mode::Rxonly {
            for index in 0..count {
                change(self.mode, self.batch.head_mut(index));
            }
            let (port, counters) = &mut self.ports[to];
            if let Some(send) = &mut port.send {
                let sent = send.send(&self.batch, &self.order[..count]).unwrap_or(0);
                counters.sent.add(sent as u64);
                counters.unsent.add((count - sent) as u64);
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
