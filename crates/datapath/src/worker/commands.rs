//! What a worker is told.

use super::{COMMANDS, LANE_ROUNDS, Receiver, Worker};
use crate::inbox::{Closed, Command, Serving};
use crate::links::Side;
use crate::share::Share;
use netloom_mem::PortNumber;
use std::sync::mpsc::SendError;

impl Worker {
    pub(super) fn take_commands(&mut self, now: u64) {
        for _ in 0..COMMANDS {
            let Some(command) = self.inbox.ring.pop() else { return };
            match command {
                Command::Open(way) => self.exit.add(way),
                Command::Serve(serving) => self.serve_more(serving),
                Command::Release(port, index, back) => {
                    // Whoever asked may have given up; then the queue stays.
                    if let Err(SendError(Some(serving))) = back.send(self.release(port, index)) {
                        self.serve_more(serving);
                    }
                }
                Command::Close(number, back) => {
                    // Whoever asked may have given up; then the queues end here.
                    let _ = back.send(self.close(number));
                }
                Command::Drain(done) => {
                    for _ in 0..LANE_ROUNDS {
                        if self.serve_lanes(now, false) == 0 {
                            break;
                        }
                    }
                    self.exit.flush();
                    let _ = done.send(());
                    // What is told after the answer is read in the next turn, which knows of all changes before it.
                    return;
                }
                Command::Inject(port, octets) => self.inject(port, &octets, now),
                Command::Meter(number, rate) => self.exit.meter(number, rate, now),
                Command::Limit(port, rate) => self.exit.limit(port, rate, now),
                Command::Bond(number, members) => self.exit.bond(number, members),
                Command::Remote(number, remote) => self.exit.remote(number, remote),
                Command::Police(number, meter) => self.exit.share_meter(number, meter),
                Command::Tunnels(tunnels, counters) => self.exit.set_tunnels(tunnels, counters),
                Command::Track(tracker) => self.exit.track(tracker),
                Command::Execute(execution) => {
                    self.execute(&execution, now);
                    if !self.exit.copies.is_empty() {
                        self.tell_brain(now);
                    }
                    if !self.exit.heard.is_empty() {
                        self.tell_punted(now);
                    }
                }
                Command::Link { port, cable, here: false, .. } => {
                    self.exit.link_elsewhere(port, !cable.is_nothing());
                }
                Command::Link { port, cable, seed, here: true } => {
                    self.exit.link_elsewhere(port, false);
                    self.exit.link(port, &cable, seed);
                    self.mark_linked(port);
                }
                Command::Shape { port, shaping, here: false } => {
                    self.exit.shape_elsewhere(port, shaping.is_some());
                }
                Command::Shape { port, shaping, here: true } => {
                    let shaping = shaping.as_ref().map(|(shaping, counts)| (&**shaping, counts.clone()));
                    self.exit.shape(port, shaping, now);
                }
                Command::Watch(number, watch) => self.exit.watches.set(number, watch.map(|watch| *watch)),
                Command::Count(done) => {
                    self.tell_all_used(now);
                    let _ = done.send(());
                }
                Command::Report(to) => {
                    let _ = to.send(self.flows.report(now));
                }
                Command::Learn(flows) => {
                    for flow in flows {
                        self.flows.learn(flow, now);
                    }
                }
                Command::Pause(done) => {
                    self.paused = true;
                    self.tell_all_used(now);
                    self.publish();
                    let _ = done.send(());
                }
                Command::Resume => self.paused = false,
                Command::Stop => {
                    self.tell_all_used(now);
                    self.publish();
                    self.stop = true;
                }
            }
        }
    }

    /// Notes whether what comes in through a port goes through a simulated link.
    pub(super) fn mark_linked(&mut self, port: PortNumber) {
        let linked = self.exit.links.has(port, Side::In);
        for receiver in self.receivers.iter_mut().filter(|receiver| receiver.port == port) {
            receiver.linked = linked;
        }
        self.exit.mark(port);
    }

    fn serve_more(&mut self, serving: Serving) {
        let Serving { port, index, queue, load } = serving;
        let Some(counters) = self.exit.counters(port).cloned() else { return };
        self.receivers.push(Receiver {
            port,
            index,
            queue,
            counters,
            load,
            linked: self.exit.links.has(port, Side::In),
            active: 0,
            full: false,
            share: Share::default(),
            silent: false,
        });
    }

    /// Gives one queue up. Its flows end by themselves if it does not come back.
    fn release(&mut self, port: PortNumber, index: usize) -> Option<Serving> {
        let known = |known: &Receiver| (known.port, known.index) == (port, index);
        let place = self.receivers.iter().position(known)?;
        self.batch.release();
        let Receiver { port, index, queue, load, .. } = self.receivers.remove(place);
        Some(Serving { port, index, queue, load })
    }

    /// Gives a port up.
    fn close(&mut self, number: PortNumber) -> Closed {
        let mut served = Vec::new();
        while let Some(place) = self.receivers.iter().position(|known| known.port == number) {
            let Receiver { port, index, queue, load, .. } = self.receivers.remove(place);
            served.push(Serving { port, index, queue, load });
        }
        self.flows.clear();
        self.batch.release();
        Closed { served, send: self.exit.remove(number) }
    }
}
