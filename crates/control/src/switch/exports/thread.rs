//! The thread that has the time for exporters, and sends.

use super::super::tables::Desk;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// How often exporters have the time.
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The thread.
pub(in super::super) struct ExportThread {
    stop: Arc<AtomicBool>,
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl ExportThread {
    /// Starts it. It sleeps for ever while nobody is to be told anything.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub(in super::super) fn start(desk: Desk) -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = Arc::new(rustix::event::eventfd(0, flags)?);
        desk.lock().exports.bell = Some(bell.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, rung) = (stop.clone(), bell.clone());
        let thread = std::thread::Builder::new().name("netloom-exports".to_owned()).spawn(move || {
            while !ended.load(Ordering::Acquire) {
                let patience = if desk.lock().exports.is_empty() { None } else { Some(&TURN) };
                let mut wait = [PollFd::new(&*rung, PollFlags::IN)];
                let _ = poll(&mut wait, patience);
                let _ = rustix::io::read(&*rung, &mut [0; 8]);
                desk.export();
            }
        })?;
        Ok(Self { stop, bell, thread: Some(thread) })
    }
}

impl Drop for ExportThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // A bell that can't be rung was rung often enough.
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl Desk {
    /// Has exporters have the time, and sends what they made.
    pub(in super::super) fn export(&self) {
        let now = self.now();
        let waiting = {
            let due = self.lock().counters_due(now);
            // Whoever counts asks for the lock itself.
            let counted: Vec<_> = due.into_iter().map(|(of, port)| (of, port, self.totals(port))).collect();
            let mut bridges = self.lock();
            for (bridge, port, totals) in counted {
                bridges.tell_counters((bridge, port), &totals, now);
            }
            bridges.exports.tick(now);
            std::mem::take(&mut bridges.exports.outbox.waiting)
        };
        for (collectors, datagram) in waiting {
            collectors.send(&datagram);
        }
    }

    /// Sends what is known of everything: nobody goes on with it.
    pub(in super::super) fn export_all(&self) {
        if self.lock().exports.is_empty() {
            return;
        }
        if let Err(error) = self.count() {
            tracing::warn!(%error, "not all packets are told to collectors");
        }
        self.tell_collectors();
    }

    /// Sends what exporters know. Workers have told what they counted.
    pub(in super::super) fn tell_collectors(&self) {
        let now = self.now();
        self.lock().exports.flush(now);
        self.export();
    }
}
