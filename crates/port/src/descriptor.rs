//! A queue behind a file descriptor that reads and writes one frame at a time with a virtio-net header in front: TAP
//! interfaces and packet sockets.
//!
//! The kernel takes the outer VLAN tag off a frame that it hands to a packet socket, and tells it beside the frame: it is
//! put back.
//!
//! Invariants: what is beyond a frame's head is read into memory of the queue, which is written again only by the next
//! [`ReceiveQueue::receive`], when no batch refers to it any more.
//!
//! Costs: one system call for each frame, whatever its size: with offloads a frame has up to 64 KiB. A queue that had
//! nothing is asked more and more rarely, up to every [`RAREST`]th turn; after a sleep it is asked at once.

use netloom_mem::{
    Anchor, BATCH, Batch, FRAME, HEAD, Offload, PortError, PortNumber, ReceiveQueue, Segment, SendQueue,
    VIRTIO_HEADER, Wake,
};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::io::{self, IoSlice, IoSliceMut};
use std::ptr::NonNull;
use std::sync::Arc;

/// How rarely a silent queue is asked, in turns.
const RAREST: u32 = 64;
/// A batch ends after this many octets: large frames shall be sent while they are still in the cache.
const ENOUGH: usize = 128 * 1024;
/// Most parts of a frame that is written.
const PARTS: usize = 64;

/// Memory for the tails of one batch: a mapping of its own, so that a port whose frames are short, or that has none, takes no
/// memory but addresses, and is opened without two megabytes being cleared.
struct Tails(NonNull<u8>);

impl Tails {
    const LENGTH: usize = BATCH * FRAME;

    fn new() -> io::Result<Self> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: the kernel chooses the address, so nothing that is mapped already is touched.
        #[allow(unsafe_code)]
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), Self::LENGTH, access, flags)? };
        NonNull::new(base.cast()).map(Self).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// The `FRAME` octets for the tail of a frame of the batch.
    fn at(&self, index: usize) -> Option<NonNull<[u8]>> {
        let place = self.0.as_ptr().wrapping_add(index * FRAME);
        let part = std::ptr::slice_from_raw_parts_mut(place, FRAME);
        NonNull::new(part).filter(|_| index < BATCH)
    }
}

impl Drop for Tails {
    fn drop(&mut self) {
        // SAFETY: the range is the one that was mapped, and whoever refers to it keeps the anchor.
        #[allow(unsafe_code)]
        let _ = unsafe { munmap(self.0.as_ptr().cast(), Self::LENGTH) };
    }
}

// SAFETY: the mapping belongs to no thread.
#[allow(unsafe_code)]
unsafe impl Send for Tails {}

// SAFETY: only the one thread that owns the receive queue writes, and it does so while its batch is empty; others read
// through pointers while they hold the batch that the frames are in.
#[allow(unsafe_code)]
unsafe impl Sync for Tails {}

/// Receives from a descriptor.
pub(crate) struct DescriptorReceive {
    descriptor: Arc<OwnedFd>,
    port: PortNumber,
    tails: Arc<Tails>,
    anchor: Anchor,
    /// The outer VLAN tag comes beside the frame (`PACKET_AUXDATA`).
    tags_beside: bool,
    /// Turns to let pass, and how many it will be the next time.
    skip: u32,
    next_skip: u32,
}

/// Sends to a descriptor. Several threads may, each with a copy: the kernel takes a frame at a time.
#[derive(Clone)]
pub(crate) struct DescriptorSend {
    descriptor: Arc<OwnedFd>,
    offloads: bool,
    longest: usize,
}

/// Both ends of a non-blocking descriptor. `offloads`: the other side takes open checksums and uncut frames;
/// `tags_beside`: it is a packet socket with `PACKET_AUXDATA`.
///
/// # Errors
/// Without memory.
pub(crate) fn queues(
    descriptor: Arc<OwnedFd>,
    port: PortNumber,
    offloads: bool,
    tags_beside: bool,
) -> io::Result<(DescriptorReceive, DescriptorSend)> {
    let tails = Arc::new(Tails::new()?);
    let anchor: Anchor = tails.clone();
    let receive = DescriptorReceive {
        descriptor: descriptor.clone(),
        port,
        tails,
        anchor,
        tags_beside,
        skip: 0,
        next_skip: 0,
    };
    Ok((receive, sender(descriptor, offloads)))
}

/// The way out alone.
pub(crate) fn sender(descriptor: Arc<OwnedFd>, offloads: bool) -> DescriptorSend {
    DescriptorSend { descriptor, offloads, longest: FRAME }
}

fn system(doing: &'static str, errno: Errno) -> PortError {
    PortError::System { doing, source: errno.into() }
}

impl ReceiveQueue for DescriptorReceive {
    fn receive(&mut self, batch: &mut Batch) -> Result<usize, PortError> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(0);
        }
        let (mut held, mut octets) = (false, 0);
        while octets < ENOUGH {
            let index = batch.len();
            let (Some(slot), Some(tail)) = (batch.slot(), self.tails.at(index)) else { break };
            let mut header = [0; VIRTIO_HEADER];
            // SAFETY: nobody refers to this memory: it belongs to the slot of a frame that is not there yet, and the
            // last batch that had frames in it was cleared before `receive` was called. It is mapped, and was cleared by the
            // kernel.
            #[allow(unsafe_code)]
            let tail: &mut [u8] = unsafe { &mut *tail.as_ptr() };
            let (pointer, head) = (tail.as_ptr(), slot.head);
            let parts =
                &mut [IoSliceMut::new(&mut header), IoSliceMut::new(&mut head[..]), IoSliceMut::new(tail)];
            let read = if self.tags_beside {
                read_with_tag(&self.descriptor, parts)
            } else {
                rustix::io::readv(&self.descriptor, parts).map(|count| (count, None))
            };
            let (count, tag) = match read {
                Ok(read) => read,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                // The interface is down: it may come up again.
                Err(Errno::NETDOWN | Errno::IO) => break,
                Err(errno) if batch.is_empty() => return Err(system("reading a frame", errno)),
                Err(_) => break,
            };
            let Some(length) = count.checked_sub(VIRTIO_HEADER) else { continue };
            octets += length;
            // The kernel's own headers are right; one that is not is a frame we do not understand.
            let Some(offload) = Offload::read(&header, length) else { continue };
            if length <= HEAD {
                batch.commit(self.port, length, offload);
            } else {
                if !held {
                    batch.hold(&self.anchor);
                    held = true;
                }
                let segment = Segment { pointer, length: length - HEAD };
                // SAFETY: the memory is the queue's, which the anchor keeps, and has `FRAME` octets.
                #[allow(unsafe_code)]
                unsafe {
                    batch.commit_with_tail(self.port, HEAD, offload, [segment]);
                }
            }
            if let Some(tag) = tag {
                put_back(batch, index, tag);
            }
        }
        if batch.is_empty() {
            self.next_skip = (self.next_skip * 2 + 1).min(RAREST);
            self.skip = self.next_skip;
        } else {
            self.next_skip = 0;
        }
        Ok(batch.len())
    }

    fn wake(&mut self, _wanted: bool) -> Wake<'_> {
        (self.skip, self.next_skip) = (0, 0);
        Wake::Readable(self.descriptor.as_fd())
    }
}

/// An outer VLAN tag as it stands in a frame: EtherType, then priority and VLAN.
pub(crate) type TagOctets = [u8; 4];

/// Puts a tag behind the two addresses of a frame.
pub(crate) fn put_back(batch: &mut Batch, index: usize, tag: TagOctets) {
    const ADDRESSES: usize = 12;
    if batch.head(index).len() < ADDRESSES {
        return;
    }
    if let Some(head) = batch.grow(index, tag.len()) {
        head.copy_within(tag.len()..tag.len() + ADDRESSES, 0);
        head[ADDRESSES..ADDRESSES + tag.len()].copy_from_slice(&tag);
    }
}

/// `struct tpacket_auxdata` (linux/if_packet.h).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct AuxiliaryData {
    status: u32,
    length: u32,
    captured: u32,
    link: u16,
    network: u16,
    vlan_tci: u16,
    vlan_tpid: u16,
}

/// Room for one control message with [`AuxiliaryData`], aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Reads a frame, and the VLAN tag that the kernel took off it.
fn read_with_tag(
    descriptor: &OwnedFd,
    parts: &mut [IoSliceMut<'_>; 3],
) -> Result<(usize, Option<TagOctets>), Errno> {
    use std::os::fd::AsRawFd;
    const PACKET_AUXDATA: i32 = 8;
    const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
    const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;
    let mut control = Control([0; 64]);
    // SAFETY: all zeros are a valid `msghdr`: no address, no parts, no control messages.
    #[allow(unsafe_code)]
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // `IoSliceMut` has the layout of `iovec` (documented by the standard library).
    message.msg_iov = parts.as_mut_ptr().cast();
    message.msg_iovlen = parts.len() as _;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: the parts and the control buffer live during the call and have the lengths that are given.
    #[allow(unsafe_code)]
    let count = unsafe { libc::recvmsg(descriptor.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let Ok(count) = usize::try_from(count) else {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    };
    // SAFETY: `message` was filled by the kernel and its control buffer is alive; CMSG_FIRSTHDR gives a pointer into it
    // or none.
    #[allow(unsafe_code)]
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
    let Some(header) = header else { return Ok((count, None)) };
    let wanted = size_of::<AuxiliaryData>() + size_of::<libc::cmsghdr>();
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_PACKET, PACKET_AUXDATA) || header.cmsg_len < wanted
    {
        return Ok((count, None));
    }
    // SAFETY: the message is long enough for the structure (checked above), which any octets are valid for.
    #[allow(unsafe_code)]
    let data: AuxiliaryData = unsafe { libc::CMSG_DATA(header).cast::<AuxiliaryData>().read_unaligned() };
    if data.status & TP_STATUS_VLAN_VALID == 0 {
        return Ok((count, None));
    }
    let tpid = if data.status & TP_STATUS_VLAN_TPID_VALID == 0 { 0x8100 } else { data.vlan_tpid };
    let ([a, b], [c, d]) = (tpid.to_be_bytes(), data.vlan_tci.to_be_bytes());
    Ok((count, Some([a, b, c, d])))
}

impl SendQueue for DescriptorSend {
    fn send(&mut self, batch: &Batch, frames: &[u8]) -> Result<usize, PortError> {
        for (done, index) in frames.iter().enumerate() {
            let index = usize::from(*index);
            let header = batch.offload(index).header();
            let mut parts: [IoSlice<'_>; PARTS] = [IoSlice::new(&[]); PARTS];
            parts[0] = IoSlice::new(&header);
            parts[1] = IoSlice::new(batch.head(index));
            let tail = batch.tail(index);
            if tail.len() > PARTS - 2 {
                continue;
            }
            for (place, segment) in parts[2..].iter_mut().zip(tail) {
                // SAFETY: the segment is readable as long as the batch has the frame. Another process may write it
                // meanwhile; only the kernel reads through this slice, and it copes with that.
                #[allow(unsafe_code)]
                let octets = unsafe { std::slice::from_raw_parts(segment.pointer, segment.length) };
                *place = IoSlice::new(octets);
            }
            match rustix::io::writev(&self.descriptor, &parts[..2 + tail.len()]) {
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(done),
                // This one frame is not to its liking, or the interface is down: the others may fare better.
                Err(_) => {}
            }
        }
        Ok(frames.len())
    }

    fn takes_offloads(&self) -> bool {
        self.offloads
    }

    fn longest(&self) -> usize {
        self.longest
    }
}
