//! Forwards between two vhost-user ports as frames come, like testpmd's `io` mode: the ceiling of the port.
//!
//! `vhost_forward SOCKET SOCKET`: connects to both (the front ends listen) and forwards until SIGINT or SIGTERM. Then it
//! says how many frames went through, how full batches were, and how long the worker was busy for each frame.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measuring tool")]

use netloom_mem::{Batch, ReceiveQueue, SendQueue};
use netloom_port::vhost::{Config, Mode, Pair, Port};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: i32) {
    STOP.store(true, Ordering::Relaxed);
}

#[derive(Default)]
struct Busy {
    turns: u64,
    frames: u64,
    lost: u64,
    ticks: u64,
}

/// The processor's clock, which costs less than the system's.
fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction reads a counter.
    #[allow(unsafe_code)]
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).take(2).collect();
    assert_eq!(paths.len(), 2, "vhost_forward SOCKET SOCKET");
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler stores to an atomic, nothing else.
        #[allow(unsafe_code)]
        unsafe {
            libc::signal(signal, stop as *const () as usize);
        }
    }
    let mut ports = Vec::new();
    let mut pairs: Vec<Pair> = Vec::new();
    for (number, path) in (1..).zip(&paths) {
        let (port, mut queues) = Port::open(number, Config::new(path, Mode::Client)).unwrap();
        ports.push(port);
        pairs.push(queues.remove(0));
    }
    let [mut a, mut b]: [Pair; 2] = pairs.try_into().ok().unwrap();
    let mut batch = Batch::new();
    let mut busy = Busy::default();
    let (start, first) = (Instant::now(), ticks());
    while !STOP.load(Ordering::Relaxed) {
        turn(&mut batch, &mut busy, &mut a, &mut b);
        turn(&mut batch, &mut busy, &mut b, &mut a);
    }
    let rate = (ticks() - first) as f64 / start.elapsed().as_nanos() as f64;
    let frames = busy.frames.max(1) as f64;
    println!(
        "frames {} lost {} frames/turn {:.1} busy {:.1} ns/frame ({:.0} cycles) {:.0} % of the time",
        busy.frames,
        busy.lost,
        frames / busy.turns.max(1) as f64,
        busy.ticks as f64 / frames / rate,
        busy.ticks as f64 / frames,
        busy.ticks as f64 / rate / start.elapsed().as_nanos() as f64 * 100.0,
    );
}

#[inline(always)]
fn turn(batch: &mut Batch, busy: &mut Busy, from: &mut Pair, to: &mut Pair) {
    const ALL: [u8; 32] = {
        let mut all = [0; 32];
        let mut index = 0;
        while index < 32 {
            all[index] = index as u8;
            index += 1;
        }
        all
    };
    let begin = ticks();
    let count = from.from_guest.receive(batch).unwrap();
    if count == 0 {
        return;
    }
    let sent = to.to_guest.send(batch, &ALL[..count]).unwrap_or(0);
    to.to_guest.flush();
    from.from_guest.complete();
    batch.clear();
    busy.turns += 1;
    busy.frames += count as u64;
    busy.lost += (count - sent) as u64;
    busy.ticks += ticks() - begin;
}
