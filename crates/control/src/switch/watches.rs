//! Links that are watched: BFD and connectivity fault management at ports, with a thread for their timers.
//!
//! ```text
//! frames that come -- worker -- Brain::heard -- Bridge::heard ──> answers, sent by the same worker
//! time -- the thread `netloom-links` -- Desk::watch -- Bridge::watch ──> frames, sent by the port's worker
//! ```
//!
//! What: [`Watcher`] is the thread. It sleeps until something is due, and is woken when something is due earlier. It takes the
//! lock of the bridges only, so that neither long requests nor a busy data path hold back what says that a link is down:
//! of three intervals of 100 ms it is late by the time that a processor is not free. While time stands still (tests)
//! [`Switch::tick`] does it instead.
//!
//! Invariants: whoever changed whether a link is sound carries that to the tables before it lets the lock go. Frames for
//! tunnels go through the tables' own way out, so that they get a tunnel's headers.
//!
//! Deliberately absent: a bond hears of its members at the next tick, within a tenth of a second.

mod options;

pub(super) use options::{OPTIONS, bfd, cfm};

use super::brain::Bridges;
use super::state::Switch;
use super::tables::{Desk, packet_key};
use netloom_datapath::Execution;
use netloom_proto::openflow::{Action, OfPort};
use netloom_table::{Field, Key};
use netloom_vswitch::Bridge;
use netloom_vswitch::openflow::translate::{Request, Start, translate};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// How long the thread sleeps at most.
const LONGEST: u64 = 1_000_000_000;
/// And at least: timers are as exact as that.
const SHORTEST: u64 = 500_000;
/// Flag O of Geneve, in `tun_flags`.
const CONTROL: u64 = 1;

/// Frames of ours, and what leaves by tunnels.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) send: Vec<(u32, Vec<u8>)>,
    pub(super) execute: Vec<Execution>,
}

impl Bridges {
    /// How frames leave that bridges send by themselves.
    pub(super) fn outgoing(&mut self, frames: Vec<(u32, Vec<u8>)>, now: u64) -> Outgoing {
        let mut outgoing = Outgoing::default();
        for (port, frame) in frames {
            if self.tunnels.get(port).is_none() {
                outgoing.send.push((port, frame));
            } else {
                outgoing.execute.extend(self.through_tunnel(port, frame, now));
            }
        }
        outgoing
    }

    fn through_tunnel(&mut self, port: u32, octets: Vec<u8>, now: u64) -> Option<Execution> {
        let place = self.of_port.get(&port)?;
        let (bridge, name) = (place.bridge, place.name.clone());
        let number = self.pipelines.get(&bridge)?.port_of(port)?;
        let options = self.by_name.get(&name)?.ports().get(&port)?.bfd.as_ref();
        let mut beside = Key::default();
        if options.is_some_and(|options| options.maintenance) {
            beside.set(Field::TUN_FLAGS, CONTROL);
        }
        let key = packet_key(&beside, u32::from(u16::MAX), &octets);
        let actions = Arc::new([Action::Output { port: number, max_len: 0 }]);
        let request = Request {
            bridge,
            key: &key,
            in_port: Some(OfPort::NONE),
            start: Start::Actions(actions),
            effects: true,
            trace: false,
            now,
        };
        let translation = translate(self, &request);
        self.credit(&translation.credit, 1, octets.len() as u64, now);
        Some(Execution { octets, program: translation.program, key })
    }

    /// Has the machines of all watched links have the time; `received` is what ports received that want to know it.
    fn run_watches(&mut self, received: &HashMap<u32, u64>, now: u64) -> (Outgoing, bool) {
        let (mut frames, mut changed) = (Vec::new(), Vec::new());
        for (name, bridge) in self.by_name.iter_mut().filter(|(_, bridge)| bridge.watches()) {
            let sound = |bridge: &Bridge| -> Vec<bool> {
                bridge.ports().keys().map(|port| bridge.is_sound(*port)).collect()
            };
            let before = sound(bridge);
            frames.extend(bridge.watch(|port| received.get(&port).copied().unwrap_or(0), now).send);
            if before != sound(bridge) {
                changed.push(name.clone());
            }
        }
        for name in &changed {
            if let Some(number) = self.number_of(name) {
                self.follow_tree(number);
            }
        }
        (self.outgoing(frames, now), !changed.is_empty())
    }

    /// When machines want to have the time next.
    fn watch_due(&self) -> Option<u64> {
        self.by_name.values().filter_map(Bridge::watch_due).min()
    }

    /// Wakes the thread if something is due before it would look.
    pub(super) fn wake_watcher(&self) {
        if let Some(bell) = &self.watcher
            && self.watch_due().is_some_and(|due| due < self.watch_planned)
        {
            ring(bell);
        }
    }
}

impl Desk {
    /// Does what is due at watched links.
    pub(super) fn watch(&self) {
        let now = self.now();
        let counting: Vec<u32> = {
            let bridges = self.lock();
            if !bridges.by_name.values().any(Bridge::watches) {
                return;
            }
            bridges.by_name.values().flat_map(Bridge::counting).collect()
        };
        let received = counting.into_iter().map(|port| (port, self.totals(port).received)).collect();
        let mut bridges = self.lock();
        let (outgoing, changed) = bridges.run_watches(&received, now);
        drop(bridges);
        self.send_out(outgoing);
        if changed {
            self.publish();
        }
    }

    /// When something is due next, which the thread will wait for: whoever makes it earlier from now on wakes it.
    fn plan_watch(&self) -> Option<u64> {
        let mut bridges = self.lock();
        let due = bridges.watch_due();
        bridges.watch_planned = due.unwrap_or(u64::MAX);
        due
    }
}

fn ring(bell: &OwnedFd) {
    // A bell that can't be rung was rung often enough.
    let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
}

/// The thread that has the timers of watched links.
pub(super) struct Watcher {
    stop: Arc<AtomicBool>,
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub(super) fn start(desk: Desk) -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = Arc::new(rustix::event::eventfd(0, flags)?);
        desk.lock().watcher = Some(bell.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, rung) = (stop.clone(), bell.clone());
        let thread = std::thread::Builder::new().name("netloom-links".to_owned()).spawn(move || {
            while !ended.load(Ordering::Acquire) {
                // Time that stands still is put forward by whoever stopped it.
                if !desk.is_stopped() {
                    desk.watch();
                }
                let due = desk.plan_watch().filter(|_| !desk.is_stopped());
                let left = due.map_or(LONGEST, |due| due.saturating_sub(desk.now()));
                let left = left.clamp(SHORTEST, LONGEST);
                let patience = Timespec {
                    tv_sec: (left / 1_000_000_000) as i64,
                    tv_nsec: (left % 1_000_000_000) as i64,
                };
                let mut wait = [PollFd::new(&*rung, PollFlags::IN)];
                let _ = poll(&mut wait, Some(&patience));
                let _ = rustix::io::read(&*rung, &mut [0; 8]);
            }
        })?;
        Ok(Self { stop, bell, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        ring(&self.bell);
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl Switch {
    /// Does what is due at watched links: when options changed, and while time is put forward by steps.
    pub(super) fn watch_links(&mut self) {
        if !self.quiet {
            self.desk().watch();
            self.bridges.lock().wake_watcher();
        }
    }
}
