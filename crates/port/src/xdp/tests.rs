//! Queues whose kernel is a test: one that keeps to the rules now and then, and lies otherwise.

#![allow(clippy::unwrap_used, reason = "a test")]

use super::counters::QueueCounters;
use super::receive::{FromInterface, Treatment};
use super::ring::memory::RingMemory;
use super::ring::{Consumer, Producer};
use super::send::ToInterface;
use super::socket::{Descriptor, Socket};
use super::umem::{Chunks, Umem};
use netloom_mem::{BATCH, Batch, HEAD, Offload, ReceiveQueue, SendQueue};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const SIZE: u32 = 8;
const CHUNK: u32 = 2048;

/// Rings of a socket as the kernel has them, and the memory.
struct Kernel {
    umem: Arc<Umem>,
    socket: Arc<Socket>,
    counters: Arc<QueueCounters>,
    fill: RingMemory<u64>,
    receive: RingMemory<Descriptor>,
    send: RingMemory<Descriptor>,
    completion: RingMemory<u64>,
}

impl Kernel {
    fn new(start: u32) -> Self {
        let umem = Arc::new(Umem::new(2 * SIZE as usize, CHUNK).unwrap());
        let socket = Arc::new(Socket::none(umem.clone()));
        Self {
            umem,
            socket,
            counters: Arc::default(),
            fill: RingMemory::new(SIZE, start, 0),
            receive: RingMemory::new(SIZE, start, Descriptor::default()),
            send: RingMemory::new(SIZE, start, Descriptor::default()),
            completion: RingMemory::new(SIZE, start, 0),
        }
    }

    fn receiver(&self, tags: bool) -> FromInterface {
        let rings = (Consumer::new(self.receive.place()), Producer::new(self.fill.place()));
        let treatment = Treatment { tags, checksums: true };
        let chunks = Chunks::new(0, SIZE, CHUNK);
        FromInterface::new(self.socket.clone(), 3, rings, chunks, treatment, self.counters.clone())
    }

    fn sender(&self) -> ToInterface {
        let rings = (Producer::new(self.send.place()), Consumer::new(self.completion.place()));
        let chunks = Chunks::new(u64::from(SIZE), SIZE, CHUNK);
        let longest = Arc::new(AtomicU32::new(6000));
        ToInterface::new(self.socket.clone(), rings, chunks, longest, false, self.counters.clone())
    }

    /// Writes a frame into chunks of the fill ring, with the tag before it, and shows its descriptors.
    fn deliver(&self, fill: &mut Consumer<u64>, receive: &mut Producer<Descriptor>, frame: &[u8], tag: u16) {
        let parts = frame.chunks(CHUNK as usize - 256);
        let count = parts.len() as u32;
        if fill.available(count) < count || receive.room(count) < count {
            return;
        }
        for (number, part) in (1..).zip(parts) {
            let address = fill.peek(0).unwrap() + 256;
            fill.take(1);
            let mut before = [0; 4];
            if tag != 0 {
                before[..2].copy_from_slice(&[0x81, 0]);
                before[2..].copy_from_slice(&tag.to_ne_bytes());
            }
            // SAFETY: the chunk was lent to us, and the part and what is before it are inside.
            #[allow(unsafe_code)]
            unsafe {
                let pointer = self.umem.at(address - 4, 4).unwrap();
                pointer.cast::<[u8; 4]>().write(before);
                pointer.add(4).copy_from_nonoverlapping(part.as_ptr(), part.len());
            }
            receive.push(Descriptor {
                address,
                length: part.len() as u32,
                options: u32::from(number < count),
            });
        }
        receive.publish();
    }
}

fn strange() -> impl Strategy<Value = Descriptor> {
    let address = prop_oneof![any::<u64>(), 0_u64..u64::from(2 * SIZE * CHUNK), Just(2 << 20)];
    let length = prop_oneof![any::<u32>(), 0_u32..2100];
    (address, length, 0_u32..4).prop_map(|(address, length, options)| Descriptor { address, length, options })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]

    #[test]
    fn what_the_kernel_delivers_comes_out(
        start in prop_oneof![Just(0_u32), (u32::MAX - 9)..=u32::MAX],
        tags: bool,
        frames in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 14..6000), 0_u16..2), 1..40),
    ) {
        let kernel = Kernel::new(start);
        let mut queue = kernel.receiver(tags);
        let (mut fill, mut receive) = (Consumer::new(kernel.fill.place()), Producer::new(kernel.receive.place()));
        let mut batch = Batch::new();
        for (frame, tag) in frames {
            kernel.deliver(&mut fill, &mut receive, &frame, tag);
            prop_assert_eq!(queue.receive(&mut batch).unwrap(), 1);
            let mut wanted = frame.clone();
            if tags && tag != 0 {
                wanted.splice(12..12, [0x81, 0, (tag >> 8) as u8, tag as u8]);
            }
            prop_assert_eq!(batch.octets(0), wanted);
            prop_assert_eq!(batch.port(0), 3);
            prop_assert!(batch.tail(0).is_empty() == (frame.len() <= HEAD));
            queue.complete();
            batch.clear();
        }
        prop_assert_eq!(kernel.counters.invalid.get(), 0);
        // Every chunk is with the kernel again, once.
        let count = fill.available(SIZE);
        let lent: BTreeSet<u64> = (0..count).map(|ahead| fill.peek(ahead).unwrap()).collect();
        prop_assert_eq!(lent.len() as u32, SIZE);
    }

    /// Descriptors, indexes and completions of every kind: nothing panics or leaves the memory, and afterwards an honest
    /// kernel's frames still come.
    #[test]
    fn a_mad_kernel_is_harmless(
        steps in proptest::collection::vec((strange(), any::<u32>(), 0_u8..8), 0..60),
        tags: bool,
    ) {
        let kernel = Kernel::new(0);
        let (mut queue, mut out) = (kernel.receiver(tags), kernel.sender());
        let mut batch = Batch::new();
        for (descriptor, number, what) in steps {
            match what {
                0 => kernel.receive.producer.store(number, Ordering::Relaxed),
                1 => kernel.fill.consumer.store(number, Ordering::Relaxed),
                2 => kernel.completion.producer.store(number, Ordering::Relaxed),
                3 => kernel.send.consumer.store(number, Ordering::Relaxed),
                4 => {
                    let mut ring = Producer::new(kernel.completion.place());
                    ring.push(descriptor.address);
                    ring.publish();
                }
                _ => {
                    let mut ring = Producer::new(kernel.receive.place());
                    ring.push(descriptor);
                    ring.publish();
                }
            }
            prop_assert!(queue.receive(&mut batch).unwrap() <= BATCH);
            for index in 0..batch.len() {
                // Reads every octet.
                prop_assert_eq!(batch.octets(index).len(), batch.length(index));
            }
            queue.complete();
            batch.clear();
            batch.push(1, &[7; 3000], Offload::NONE);
            batch.push(1, &[7; 60], Offload::NONE);
            prop_assert!(out.send(&batch, &[0, 1]).unwrap() <= 2);
            out.flush();
            batch.clear();
        }
        // Only chunks of the sender's own are ever named to be sent.
        for entry in &kernel.send.entries {
            // SAFETY: nobody else touches the ring now.
            #[allow(unsafe_code)]
            let sent = unsafe { *entry.get() };
            let own = u64::from(SIZE * CHUNK)..u64::from(2 * SIZE * CHUNK);
            prop_assert!(sent.length == 0 || own.contains(&sent.address) && sent.length <= CHUNK);
        }
    }

    #[test]
    fn what_is_sent_is_what_the_kernel_sees(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 14..6000), 1..40),
    ) {
        let kernel = Kernel::new(u32::MAX - 3);
        let mut queue = kernel.sender();
        let mut ring = Consumer::new(kernel.send.place());
        let mut done = Producer::new(kernel.completion.place());
        let mut batch = Batch::new();
        for frame in frames {
            batch.push(1, &frame, Offload::NONE);
            prop_assert_eq!(queue.send(&batch, &[0]).unwrap(), 1);
            queue.flush();
            let (mut seen, mut more) = (Vec::new(), true);
            while more {
                prop_assert!(ring.available(1) > 0);
                let Descriptor { address, length, options } = ring.peek(0).unwrap();
                ring.take(1);
                let mut part = vec![0; length as usize];
                // SAFETY: the sender says that these octets are inside its chunk, and gave them to us.
                #[allow(unsafe_code)]
                unsafe {
                    part.as_mut_ptr().copy_from_nonoverlapping(kernel.umem.at(address, length).unwrap(), part.len());
                }
                seen.extend(part);
                more = options != 0;
                prop_assert!(done.push(address));
                done.publish();
            }
            prop_assert_eq!(seen, frame);
            batch.clear();
        }
        prop_assert_eq!(kernel.counters.invalid_completions.get(), 0);
        // With a kernel that sends nothing the queue fills up and says so.
        batch.push(1, &[7; 60], Offload::NONE);
        let taken: usize = (0..20).map(|_| queue.send(&batch, &[0]).unwrap()).sum();
        prop_assert_eq!(taken, SIZE as usize);
    }
}
