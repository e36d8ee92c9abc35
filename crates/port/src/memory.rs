//! Two ports that are each other's other side, in memory: for tests, measurements, and whoever wants frames in this program.
//!
//! What: what one end sends, the other receives, in order, with its offloads. Each direction is a bounded ring between two
//! threads ([`netloom_mem::ring`]); a second one brings the buffers back.
//!
//! Invariants: a direction holds at most as many frames as it was made for; what finds no room is not sent.
//!
//! Costs: each frame is copied twice, into a buffer and out of it. No lock, no allocation once the buffers are as large as
//! the frames, and a system call only when the receiver sleeps.

use netloom_mem::{
    Batch, Consumer, FRAME, Full, Offload, PortError, PortNumber, Producer, ReceiveQueue, SendQueue, Wake,
    ring,
};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// A frame on its way.
#[derive(Debug, Default)]
struct Packet {
    octets: Vec<u8>,
    offload: Offload,
}

/// Wakes a receiver that sleeps.
#[derive(Debug)]
struct Bell {
    descriptor: OwnedFd,
    asleep: AtomicBool,
}

/// Receives what the other end sends.
#[derive(Debug)]
pub struct MemoryReceive {
    port: PortNumber,
    full: Consumer<Packet>,
    empty: Producer<Packet>,
    bell: Arc<Bell>,
}

/// Sends to the other end.
#[derive(Debug)]
pub struct MemorySend {
    full: Producer<Packet>,
    empty: Consumer<Packet>,
    bell: Arc<Bell>,
}

/// One of the two ports.
#[derive(Debug)]
pub struct End {
    /// Its way in.
    pub receive: MemoryReceive,
    /// Its way out.
    pub send: MemorySend,
}

/// Two connected ports with these numbers, with room for at least `frames` frames in each direction.
///
/// # Errors
/// When the system has no descriptor left.
pub fn pair(numbers: [PortNumber; 2], frames: usize) -> std::io::Result<[End; 2]> {
    let [first, second] = numbers;
    let (to_second, from_first) = direction(second, frames)?;
    let (to_first, from_second) = direction(first, frames)?;
    Ok([End { receive: from_second, send: to_second }, End { receive: from_first, send: to_first }])
}

fn direction(port: PortNumber, frames: usize) -> std::io::Result<(MemorySend, MemoryReceive)> {
    let frames = frames.max(1).next_power_of_two();
    let (into, full) = ring(frames);
    let (mut back, empty) = ring(frames);
    for _ in 0..frames {
        // There is room for all of them.
        let _ = back.push(Packet::default());
    }
    let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let bell = Arc::new(Bell { descriptor, asleep: AtomicBool::new(false) });
    let send = MemorySend { full: into, empty, bell: bell.clone() };
    Ok((send, MemoryReceive { port, full, empty: back, bell }))
}

impl Bell {
    fn ring(&self) {
        // A full counter means that it rings already.
        let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
    }
}

impl ReceiveQueue for MemoryReceive {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        while batch.room() > 0
            && let Some(packet) = self.full.pop()
        {
            batch.push(self.port, &packet.octets, packet.offload);
            // There is room for every buffer.
            let _ = self.empty.push(packet);
        }
        Ok(batch.len())
    }

    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        self.bell.asleep.store(wanted, Ordering::Relaxed);
        if wanted {
            // The sender publishes a frame and then looks whether we sleep; we say that we sleep and then look for
            // frames. With a full barrier on both sides one of the two sees the other.
            fence(Ordering::SeqCst);
            if !self.full.is_empty() {
                self.bell.ring();
            }
        } else {
            let _ = rustix::io::read(&self.bell.descriptor, &mut [0_u8; 8]);
        }
        Wake::Readable(self.bell.descriptor.as_fd())
    }
}

impl SendQueue for MemorySend {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        for (done, index) in frames.iter().enumerate() {
            let index = usize::from(*index);
            let Some(mut packet) = self.empty.pop() else { return Ok(done) };
            packet.octets.resize(batch.length(index), 0);
            batch.copy(index, 0, &mut packet.octets);
            packet.offload = *batch.offload(index);
            if let Err(Full(_)) = self.full.push(packet) {
                // Never: there are as many buffers as places.
                return Ok(done);
            }
        }
        Ok(frames.len())
    }

    fn flush(&mut self) {
        fence(Ordering::SeqCst);
        if self.bell.asleep.load(Ordering::Relaxed) {
            self.bell.ring();
        }
    }

    fn takes_offloads(&self) -> bool {
        true
    }

    fn longest(&self) -> usize {
        FRAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::collections::VecDeque;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn each_end_is_a_bounded_queue(
            room in 1_usize..40,
            steps in proptest::collection::vec((any::<bool>(), any::<bool>(), 0_usize..3000), 0..200),
        ) {
            let mut ends = pair([4, 5], room).unwrap();
            let room = room.next_power_of_two();
            let mut oracles = [VecDeque::new(), VecDeque::new()];
            let mut batch = Batch::new();
            for (second, send, length) in steps {
                let from = usize::from(second);
                batch.clear();
                if send {
                    let octets: Vec<u8> = (0..length).map(|octet| octet as u8).collect();
                    let offload = Offload { verified: length % 2 == 0, ..Offload::NONE };
                    batch.push(1, &octets, offload);
                    let taken = ends[from].send.send(&batch, &[0]).unwrap();
                    prop_assert_eq!(taken, usize::from(oracles[1 - from].len() < room));
                    if taken == 1 {
                        oracles[1 - from].push_back((octets, offload));
                    }
                } else {
                    let count = ends[from].receive.receive(&mut batch).unwrap();
                    prop_assert_eq!(count, oracles[from].len().min(netloom_mem::BATCH));
                    for (index, (octets, offload)) in oracles[from].drain(..count).enumerate() {
                        prop_assert_eq!((batch.octets(index), *batch.offload(index)), (octets, offload));
                        prop_assert_eq!(batch.port(index), [4, 5][from]);
                    }
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no ppoll")]
    fn a_sleeper_is_woken_and_no_frame_is_lost_between_threads() {
        let [mut one, mut other] = pair([1, 2], 16).unwrap();
        let count = 20_000_u32;
        let sender = std::thread::spawn(move || {
            let mut batch = Batch::new();
            for number in 0..count {
                batch.clear();
                batch.push(1, &number.to_be_bytes(), Offload::NONE);
                while one.send.send(&batch, &[0]).unwrap() == 0 {
                    std::thread::yield_now();
                }
                one.send.flush();
            }
            one
        });
        let (mut batch, mut next) = (Batch::new(), 0_u32);
        while next < count {
            batch.clear();
            if other.receive.receive(&mut batch).unwrap() == 0 {
                let Wake::Readable(bell) = other.receive.wake(true) else { panic!("it has a bell") };
                let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
                let rung = poll(&mut [PollFd::from_borrowed_fd(bell, PollFlags::IN)], Some(&patience));
                assert_eq!(rung, Ok(1), "asleep with {next} of {count} frames");
                other.receive.wake(false);
            }
            for index in 0..batch.len() {
                assert_eq!(batch.octets(index), next.to_be_bytes());
                next += 1;
            }
        }
        sender.join().unwrap();
    }
}
