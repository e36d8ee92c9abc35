//! The receive ring of a packet socket (`TPACKET_V3`): frames in blocks of memory that the kernel shares.
//!
//! What: the kernel fills a block with frames one behind the other and hands it over when it is full, or after
//! [`RETIRE`] milliseconds. No system call for each frame, but a lonely one waits until its block is handed over: for much
//! traffic and for watching, not for quick answers. The virtio-net header stands right before each frame.
//!
//! Invariants:
//! - A block is ours from the moment its status says so until we give it back, which is when the last of its frames was
//!   dealt with ([`ReceiveQueue::complete`]).
//! - Whatever a block says, nothing outside it is read.

use crate::descriptor::{TagOctets, put_back};
use netloom_mem::{
    Anchor, Batch, FRAME, HEAD, Offload, PortError, PortNumber, ReceiveQueue, Segment, VIRTIO_HEADER, Wake,
};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Milliseconds after which a block that is not full is handed over.
const RETIRE: u32 = 1;
/// Octets of a block: several of the largest frames.
const BLOCK: usize = 256 << 10;
/// Blocks of a ring.
const BLOCKS: usize = 16;
/// Octets of a frame's header in a block.
const HEADER: usize = 48;
const USER: u32 = 1;
const KERNEL: u32 = 0;
const VLAN_VALID: u32 = 1 << 4;
const VLAN_TPID_VALID: u32 = 1 << 6;

// linux/if_packet.h: `struct tpacket_block_desc`, offsets in octets.
mod block {
    pub(super) const STATUS: usize = 8;
    pub(super) const COUNT: usize = 12;
    pub(super) const FIRST: usize = 16;
}
// `struct tpacket3_hdr`.
mod header {
    pub(super) const NEXT: usize = 0;
    pub(super) const CAPTURED: usize = 12;
    pub(super) const LENGTH: usize = 16;
    pub(super) const STATUS: usize = 20;
    pub(super) const FRAME: usize = 24;
    pub(super) const TAG: usize = 32;
    pub(super) const TAG_KIND: usize = 36;
}

/// `struct tpacket_req3`.
#[repr(C)]
struct RingRequest {
    block_size: u32,
    blocks: u32,
    frame_size: u32,
    frames: u32,
    retire: u32,
    private: u32,
    features: u32,
}

/// The blocks.
#[derive(Debug)]
struct Blocks(NonNull<u8>);

// SAFETY: a mapping belongs to the process; all accesses go through raw pointers.
#[allow(unsafe_code)]
unsafe impl Send for Blocks {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Blocks {}

impl Blocks {
    fn at(&self, number: usize) -> *mut u8 {
        self.0.as_ptr().wrapping_add(number % BLOCKS * BLOCK)
    }

    fn status(&self, number: usize) -> &AtomicU32 {
        // SAFETY: the block is inside the mapping, which lives as long as `self`; its status is an aligned word.
        #[allow(unsafe_code)]
        unsafe {
            &*self.at(number).wrapping_add(block::STATUS).cast::<AtomicU32>()
        }
    }

    /// Octets of a block that is ours; `None` when they are not all inside.
    fn read<const COUNT: usize>(&self, number: usize, at: usize) -> Option<[u8; COUNT]> {
        if at.checked_add(COUNT)? > BLOCK {
            return None;
        }
        // SAFETY: the octets are inside the block; they may have any values.
        #[allow(unsafe_code)]
        Some(unsafe { self.at(number).wrapping_add(at).cast::<[u8; COUNT]>().read() })
    }

    fn word(&self, number: usize, at: usize) -> Option<u32> {
        self.read(number, at).map(u32::from_ne_bytes)
    }

    fn half(&self, number: usize, at: usize) -> Option<u16> {
        self.read(number, at).map(u16::from_ne_bytes)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `PacketRing::new`, and whoever has pointers into it holds the anchor.
        #[allow(unsafe_code)]
        let done = unsafe { munmap(self.0.as_ptr().cast(), BLOCK * BLOCKS) };
        debug_assert!(done.is_ok());
    }
}

/// A frame in a block.
struct Found {
    /// Where it begins in the block.
    at: usize,
    length: usize,
    offload: Offload,
    tag: Option<TagOctets>,
}

/// Receives from a packet socket's ring.
pub(crate) struct PacketRing {
    socket: Arc<OwnedFd>,
    blocks: Arc<Blocks>,
    anchor: Anchor,
    port: PortNumber,
    /// The block that is read; counts without end.
    current: usize,
    /// Frames that are left in it, and where the next one's header is.
    left: u32,
    next: usize,
    /// Blocks before the current one that go back when the batch is done.
    read: usize,
}

impl PacketRing {
    /// Gives a packet socket, which must not be bound yet, a ring.
    pub(crate) fn new(socket: Arc<OwnedFd>, port: PortNumber) -> io::Result<Self> {
        const PACKET_RX_RING: i32 = 5;
        let request = RingRequest {
            block_size: BLOCK as u32,
            blocks: BLOCKS as u32,
            frame_size: 2048,
            frames: (BLOCK / 2048 * BLOCKS) as u32,
            retire: RETIRE,
            private: 0,
            features: 0,
        };
        let size = size_of::<RingRequest>() as libc::socklen_t;
        let (level, pointer) = (libc::SOL_PACKET, (&raw const request).cast());
        // SAFETY: the option's value is a `struct tpacket_req3`, which lives during the call.
        #[allow(unsafe_code)]
        let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, PACKET_RX_RING, pointer, size) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses the address, so nothing that is mapped already is touched.
        #[allow(unsafe_code)]
        let base = unsafe { mmap(std::ptr::null_mut(), BLOCK * BLOCKS, access, flags, &socket, 0)? };
        let blocks = Arc::new(Blocks(NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?));
        let anchor: Anchor = blocks.clone();
        Ok(Self { socket, blocks, anchor, port, current: 0, left: 0, next: 0, read: 0 })
    }

    /// Goes on to the next block, if it is ours.
    fn open_block(&mut self) -> bool {
        if self.blocks.status(self.current).load(Ordering::Acquire) & USER == 0 {
            return false;
        }
        self.left = self.blocks.word(self.current, block::COUNT).unwrap_or(0);
        self.next = self.blocks.word(self.current, block::FIRST).unwrap_or(0) as usize;
        true
    }

    /// Leaves the current block, to be given back when the batch is done.
    fn close_block(&mut self) {
        (self.left, self.current, self.read) = (0, self.current.wrapping_add(1), self.read + 1);
    }

    /// The frame whose header is next; `None` when the block makes no sense.
    fn found(&self) -> Option<Found> {
        let (number, at) = (self.current, self.next);
        let (captured, length) = (
            self.blocks.word(number, at + header::CAPTURED)?,
            self.blocks.word(number, at + header::LENGTH)?,
        );
        let (status, frame) =
            (self.blocks.word(number, at + header::STATUS)?, self.blocks.half(number, at + header::FRAME)?);
        let (frame, captured) = (at.checked_add(usize::from(frame))?, captured as usize);
        if frame.checked_add(captured)? > BLOCK {
            return None;
        }
        let virtio: [u8; VIRTIO_HEADER] = self.blocks.read(number, frame.checked_sub(VIRTIO_HEADER)?)?;
        let whole = captured == length as usize && captured <= FRAME;
        // A frame that was cut short is dropped, like one whose header we do not understand.
        let offload = Offload::read(&virtio, captured).filter(|_| whole);
        let tag = (status & VLAN_VALID != 0).then(|| {
            let kind = if status & VLAN_TPID_VALID != 0 {
                self.blocks.half(number, at + header::TAG_KIND)
            } else {
                Some(0x8100)
            };
            let tag = self.blocks.half(number, at + header::TAG)?;
            let ([a, b], [c, d]) = (kind?.to_be_bytes(), tag.to_be_bytes());
            Some([a, b, c, d])
        });
        let length = if offload.is_some() { captured } else { 0 };
        Some(Found { at: frame, length, offload: offload.unwrap_or(Offload::NONE), tag: tag.flatten() })
    }

    /// Puts a frame of the current block into the batch.
    fn put(&self, found: &Found, batch: &mut Batch) {
        let Found { at, length, offload, tag } = *found;
        let index = batch.len();
        let pointer = self.blocks.at(self.current).wrapping_add(at);
        let Some(slot) = batch.slot() else { return };
        let head = length.min(HEAD);
        // SAFETY: `found` checked that the block has `length` octets from there on, and a head has room for HEAD.
        #[allow(unsafe_code)]
        unsafe {
            pointer.copy_to_nonoverlapping(slot.head.as_mut_ptr(), head);
        }
        if length <= HEAD {
            batch.commit(self.port, head, offload);
        } else {
            batch.hold(&self.anchor);
            let tail = Segment { pointer: pointer.wrapping_add(head), length: length - head };
            // SAFETY: the tail is inside the block, whose mapping the anchor keeps.
            #[allow(unsafe_code)]
            unsafe {
                batch.commit_with_tail(self.port, head, offload, [tail]);
            }
        }
        if let Some(tag) = tag {
            put_back(batch, index, tag);
        }
    }
}

impl ReceiveQueue for PacketRing {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        self.complete();
        while batch.room() > 0 {
            if self.left == 0 && !self.open_block() {
                break;
            }
            if self.left > 0 {
                let Some(found) = self.found() else {
                    // The rest of the block is lost.
                    self.close_block();
                    continue;
                };
                if found.length >= 14 {
                    self.put(&found, batch);
                }
                self.left -= 1;
                let step = self.blocks.word(self.current, self.next + header::NEXT).unwrap_or(0) as usize;
                // A header that leads nowhere ends the block.
                self.left = if step < HEADER { 0 } else { self.left };
                self.next = self.next.saturating_add(step).min(BLOCK);
            }
            if self.left == 0 {
                self.close_block();
                if self.read == BLOCKS {
                    break;
                }
            }
        }
        Ok(batch.len())
    }

    fn complete(&mut self) {
        while self.read > 0 {
            let number = self.current.wrapping_sub(self.read);
            self.blocks.status(number).store(KERNEL, Ordering::Release);
            self.read -= 1;
        }
    }

    fn wake(&mut self, wanted: bool) -> Wake<'_> {
        if wanted {
            self.complete();
            if self.left > 0 {
                return Wake::Poll;
            }
        }
        Wake::Readable(self.socket.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A ring in memory of the test's own, whose kernel is the test.
    fn ring() -> PacketRing {
        let length = BLOCK * BLOCKS;
        // SAFETY: the kernel chooses the address.
        #[allow(unsafe_code)]
        let base = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, access, MapFlags::PRIVATE)
        };
        let blocks = Arc::new(Blocks(NonNull::new(base.unwrap().cast()).unwrap()));
        let socket = Arc::new(std::fs::File::open("/dev/null").unwrap().into());
        let anchor: Anchor = blocks.clone();
        PacketRing { socket, blocks, anchor, port: 9, current: 0, left: 0, next: 0, read: 0 }
    }

    fn write(ring: &PacketRing, number: usize, at: usize, octets: &[u8]) {
        assert!(at + octets.len() <= BLOCK);
        // SAFETY: inside the block.
        #[allow(unsafe_code)]
        unsafe {
            ring.blocks.at(number).add(at).copy_from_nonoverlapping(octets.as_ptr(), octets.len());
        }
    }

    /// A block with these frames, every second one with a tag beside it.
    fn fill(ring: &PacketRing, number: usize, frames: &[Vec<u8>]) {
        let mut at = 48;
        for (count, frame) in frames.iter().enumerate() {
            let start = 80;
            let step = (start + frame.len()).next_multiple_of(16);
            let mut header = [0_u32; 10];
            (header[0], header[3], header[4]) = (step as u32, frame.len() as u32, frame.len() as u32);
            (header[5], header[6]) = (USER, start as u32);
            if count % 2 == 1 {
                (header[5], header[8], header[9]) = (USER | VLAN_VALID | VLAN_TPID_VALID, 0x2007, 0x88a8);
            }
            write(ring, number, at, &header.map(u32::to_ne_bytes).concat());
            write(ring, number, at + start - VIRTIO_HEADER, &[0; VIRTIO_HEADER]);
            write(ring, number, at + start, frame);
            at += step;
        }
        write(ring, number, block::COUNT, &(frames.len() as u32).to_ne_bytes());
        write(ring, number, block::FIRST, &48_u32.to_ne_bytes());
        ring.blocks.status(number).store(USER, Ordering::Release);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn frames_of_blocks_come_out_in_order(
            blocks in proptest::collection::vec(
                proptest::collection::vec(proptest::collection::vec(any::<u8>(), 14..2000), 0..50), 1..20,
            ),
        ) {
            let mut ring = ring();
            let mut batch = Batch::new();
            for (number, frames) in blocks.iter().enumerate() {
                fill(&ring, number, frames);
                let mut came = Vec::new();
                while ring.blocks.status(number).load(Ordering::Acquire) == USER {
                    batch.clear();
                    ring.receive(&mut batch).unwrap();
                    came.extend((0..batch.len()).map(|index| batch.octets(index)));
                    ring.complete();
                }
                let wanted: Vec<Vec<u8>> = frames.iter().enumerate().map(|(count, frame)| {
                    let mut frame = frame.clone();
                    if count % 2 == 1 {
                        frame.splice(12..12, [0x88, 0xa8, 0x20, 7]);
                    }
                    frame
                }).collect();
                prop_assert_eq!(came, wanted);
            }
        }

        #[test]
        fn no_block_is_too_strange(
            words in proptest::collection::vec(prop_oneof![any::<u32>(), 0_u32..300, (BLOCK as u32 - 100)..=BLOCK as u32], 0..80),
            count in any::<u32>(), first in prop_oneof![0_u32..200, any::<u32>()],
        ) {
            let mut ring = ring();
            let mut batch = Batch::new();
            for number in 0..3 {
                let octets: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                write(&ring, number, 20, &octets);
                write(&ring, number, block::COUNT, &(count % 5000).to_ne_bytes());
                write(&ring, number, block::FIRST, &first.to_ne_bytes());
                ring.blocks.status(number).store(USER, Ordering::Release);
                for _ in 0..400 {
                    batch.clear();
                    ring.receive(&mut batch).unwrap();
                    for index in 0..batch.len() {
                        prop_assert_eq!(batch.octets(index).len(), batch.length(index));
                    }
                    ring.complete();
                }
                prop_assert_eq!(ring.blocks.status(number).load(Ordering::Acquire), KERNEL);
            }
        }
    }
}
