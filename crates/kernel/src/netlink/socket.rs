//! The socket: batches of requests, dumps, and multicast groups.

use super::message::{HEADER, Messages};
use super::{Attributes, NetlinkError, Refusal};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::{AsFd, BorrowedFd};

/// Most requests in one system call. Their acknowledgements (about 1 KiB each in the kernel's
/// accounting) must fit into the default receive buffer of 208 KiB.
pub const BATCH: usize = 128;
/// Most octets in one system call; the default send buffer of 208 KiB must hold them twice.
const BATCH_OCTETS: usize = 64 * 1024;
/// Most requests for objects in one system call: an answer takes up to 5 KiB in the kernel's accounting.
const ANSWERS: usize = 32;
/// The kernel fills at most this much per read of a dump (`NLMSG_GOODSIZE` on large pages, af_netlink.c).
const READ: usize = 32 * 1024;
/// How often a dump is repeated when the table changed meanwhile.
const DUMP_TRIES: u32 = 16;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Links, addresses, routes, rules, neighbours, tc (`NETLINK_ROUTE`).
    Route,
    /// nf_tables, conntrack (`NETLINK_NETFILTER`).
    Netfilter,
    /// WireGuard, ethtool (`NETLINK_GENERIC`).
    Generic,
}

impl Protocol {
    const fn number(self) -> isize {
        (match self {
            Self::Route => libc::NETLINK_ROUTE,
            Self::Netfilter => libc::NETLINK_NETFILTER,
            Self::Generic => libc::NETLINK_GENERIC,
        }) as isize
    }
}

/// A netlink socket in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Socket {
    socket: netlink_sys::Socket,
    sequence: u32,
    scratch: Vec<u8>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> NetlinkError {
    move |error| NetlinkError::Io { doing, errno: Errno::from_io_error(&error).unwrap_or(Errno::IO) }
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel refuses the socket (descriptors or memory run out).
    pub fn open(protocol: Protocol) -> Result<Self, NetlinkError> {
        let mut socket = netlink_sys::Socket::new(protocol.number()).map_err(io("opening"))?;
        socket.bind_auto().map_err(io("binding"))?;
        // Old kernels lack these; they only make errors clearer and answers shorter.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        if protocol == Protocol::Route {
            let _ = socket.set_netlink_get_strict_chk(true);
        }
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 1 << 20);
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, 1 << 20);
        Ok(Self { socket, sequence: 0, scratch: Vec::new() })
    }

    fn number(&mut self, messages: &mut Messages, flags: u16) -> u32 {
        let first = self.sequence.wrapping_add(1);
        // Zero is what the kernel uses for events.
        let first = if first.checked_add(messages.len() as u32).is_none() { 1 } else { first };
        messages.prepare(first, flags);
        self.sequence = first.wrapping_add(messages.len() as u32).wrapping_sub(1);
        first
    }

    fn send(&self, octets: &[u8]) -> Result<(), NetlinkError> {
        loop {
            match rustix::net::send(&self.socket, octets, SendFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(NetlinkError::Io { doing: "sending on", errno }),
            }
        }
    }

    /// Sends every request and gives one verdict for each, in order. A refused request does not keep
    /// the later ones from being tried. All requests are asked to be acknowledged.
    ///
    /// # Errors
    /// When the socket fails; then it is unknown which requests were executed.
    pub fn batch(&mut self, messages: &mut Messages) -> Result<Vec<Result<(), Refusal>>, NetlinkError> {
        let first = self.number(messages, libc::NLM_F_ACK as u16);
        let mut verdicts = vec![None; messages.len()];
        let mut from = 0;
        while from < messages.len() {
            let to = piece(messages, from);
            self.send(messages.range(from, to))?;
            self.verdicts(first, &mut verdicts, to)?;
            from = to;
        }
        verdicts.into_iter().map(|verdict| verdict.ok_or(NetlinkError::Unanswered)).collect()
    }

    /// Sends every request in one system call, as nf_tables wants its transactions, and gives the
    /// verdicts that came: at most one per request, `None` for a request that was neither
    /// acknowledged nor refused. Flags are left as they are, so the caller asks for acknowledgements.
    ///
    /// # Errors
    /// When the socket fails or the whole does not fit into the send buffer.
    pub fn transaction(
        &mut self,
        messages: &mut Messages,
    ) -> Result<Vec<Option<Result<(), Refusal>>>, NetlinkError> {
        let size = messages.range(0, messages.len()).len();
        if size > BATCH_OCTETS {
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(&self.socket, size * 2);
            let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&self.socket, size * 2);
            let room = messages.len() * 1024;
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&self.socket, room.max(1 << 20));
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&self.socket, room.max(1 << 20));
        }
        let first = self.number(messages, 0);
        let mut verdicts = vec![None; messages.len()];
        self.send(messages.range(0, messages.len()))?;
        let all = verdicts.len();
        self.verdicts(first, &mut verdicts, all)?;
        Ok(verdicts)
    }

    /// Reads acknowledgements until all requests before `to` have one or none is left. The kernel
    /// executes requests while they are sent, so whatever it has to say is already queued.
    fn verdicts(
        &mut self,
        first: u32,
        verdicts: &mut [Option<Result<(), Refusal>>],
        to: usize,
    ) -> Result<(), NetlinkError> {
        loop {
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.clear();
            let read = self.read(&mut scratch, RecvFlags::DONTWAIT);
            let result = match read {
                Ok(()) => split(&scratch, |reply| {
                    let index = reply.sequence.wrapping_sub(first) as usize;
                    if reply.kind == NLMSG_ERROR
                        && let Some(slot) = verdicts.get_mut(index)
                    {
                        *slot = Some(verdict(reply));
                    }
                    Ok(true)
                }),
                Err(error) => Err(error),
            };
            self.scratch = scratch;
            match result {
                Ok(_) => {}
                Err(NetlinkError::Io { errno: Errno::AGAIN, .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
            if verdicts.get(..to).is_some_and(|done| done.iter().all(Option::is_some)) {
                return Ok(());
            }
        }
    }

    /// Appends one datagram to `octets`.
    fn read(&self, octets: &mut Vec<u8>, flags: RecvFlags) -> Result<(), NetlinkError> {
        octets.reserve(READ);
        loop {
            let before = octets.len();
            match rustix::net::recv(&self.socket, spare_capacity(octets), flags | RecvFlags::TRUNC) {
                Ok((_, length)) if before + length > octets.capacity() => {
                    return Err(NetlinkError::Malformed);
                }
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => return Err(NetlinkError::Overflow),
                Err(errno) => return Err(NetlinkError::Io { doing: "reading", errno }),
            }
        }
    }

    /// Asks many requests for one object each, a batch in one system call, and hands every answer to
    /// `take` with the number of its request. Such a request must not ask for an acknowledgement: its one
    /// answer is the object or the refusal.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn each(
        &mut self,
        messages: &mut Messages,
        mut take: impl FnMut(usize, Result<Reply<'_>, Refusal>),
    ) -> Result<(), NetlinkError> {
        let first = self.number(messages, 0);
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut from = 0;
        while from < messages.len() {
            let to = messages.len().min(from + ANSWERS);
            self.send(messages.range(from, to))?;
            let mut left = to - from;
            while left > 0 {
                scratch.clear();
                self.read(&mut scratch, RecvFlags::empty())?;
                split(&scratch, |reply| {
                    let index = reply.sequence.wrapping_sub(first) as usize;
                    if (from..to).contains(&index) {
                        left = left.saturating_sub(1);
                        match reply.kind {
                            NLMSG_ERROR => {
                                verdict(reply).map_or_else(|refusal| take(index, Err(refusal)), drop)
                            }
                            _ => take(index, Ok(reply)),
                        }
                    }
                    Ok(true)
                })?;
            }
            from = to;
        }
        self.scratch = scratch;
        Ok(())
    }

    /// Sends one request and collects its answer: all parts of a dump, or the one object asked for.
    /// A dump that the kernel marks as inconsistent (`NLM_F_DUMP_INTR`) is repeated.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] with the kernel's reason, or a failing socket.
    pub fn request(&mut self, message: &mut Messages) -> Result<Replies, NetlinkError> {
        let mut replies = Replies { octets: Vec::new() };
        self.request_into(message, &mut replies)?;
        Ok(replies)
    }

    /// [`Socket::request`] into a buffer that is used again. Exactly one request must be in `message`.
    ///
    /// # Errors
    /// As [`Socket::request`].
    pub fn request_into(
        &mut self,
        message: &mut Messages,
        replies: &mut Replies,
    ) -> Result<(), NetlinkError> {
        let flags =
            message.get(0).and_then(|m| m.get(6..8)).map_or(0, |two| u16::from_ne_bytes([two[0], two[1]]));
        let dump = flags & libc::NLM_F_DUMP as u16 == libc::NLM_F_DUMP as u16;
        // A single answer is followed by an acknowledgement, which tells its end.
        let extra = if dump { 0 } else { libc::NLM_F_ACK as u16 };
        for _ in 0..DUMP_TRIES {
            let sequence = self.number(message, extra);
            self.send(message.range(0, message.len()))?;
            replies.octets.clear();
            match self.collect(sequence, replies) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // Left over parts must not be taken for the next answer: sequence numbers see to it.
                Err(NetlinkError::Overflow) if dump => {}
                Err(error) => return Err(error),
            }
        }
        Err(NetlinkError::Interrupted(DUMP_TRIES))
    }

    /// Reads until the end of the answer; false when the table changed meanwhile. Every datagram goes
    /// through one buffer, so that what is kept takes no more memory than its contents.
    fn collect(&mut self, sequence: u32, replies: &mut Replies) -> Result<bool, NetlinkError> {
        let mut consistent = true;
        let mut end = None;
        let mut scratch = std::mem::take(&mut self.scratch);
        while end.is_none() {
            scratch.clear();
            self.read(&mut scratch, RecvFlags::empty())?;
            let mut ours = false;
            split(&scratch, |reply| {
                if reply.sequence != sequence {
                    return Ok(true);
                }
                ours = true;
                consistent &= reply.flags & NLM_F_DUMP_INTR == 0;
                match reply.kind {
                    NLMSG_DONE => {
                        end = Some(match reply.payload.get(..4).and_then(|four| four.try_into().ok()) {
                            Some(four) => refusal(i32::from_ne_bytes(four), reply, 4),
                            None => Ok(()),
                        });
                        Ok(false)
                    }
                    NLMSG_ERROR => {
                        end = Some(verdict(reply));
                        Ok(false)
                    }
                    _ => Ok(true),
                }
            })?;
            if ours {
                replies.octets.extend_from_slice(&scratch);
            }
        }
        self.scratch = scratch;
        match end {
            Some(Err(refusal)) => Err(refusal.into()),
            _ => Ok(consistent),
        }
    }

    /// Joins multicast groups by number (`RTNLGRP_*`, `NFNLGRP_*`); events are then read with
    /// [`Socket::events`], and the descriptor can be polled.
    ///
    /// # Errors
    /// When the kernel has no such group or forbids it.
    pub fn subscribe(&mut self, groups: &[u32]) -> Result<(), NetlinkError> {
        for group in groups {
            self.socket.add_membership(*group).map_err(io("subscribing"))?;
        }
        Ok(())
    }

    /// The events that are queued, without waiting; `None` when some were lost, so that the whole
    /// must be looked at again.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn events(&mut self) -> Result<Option<Replies>, NetlinkError> {
        let mut replies = Replies { octets: Vec::new() };
        let mut lost = false;
        loop {
            match self.read(&mut replies.octets, RecvFlags::DONTWAIT) {
                Ok(()) => {}
                Err(NetlinkError::Overflow) => lost = true,
                Err(NetlinkError::Io { errno: Errno::AGAIN, .. }) => {
                    return Ok(if lost { None } else { Some(replies) });
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// One received message.
#[derive(Debug, Clone, Copy)]
pub struct Reply<'a> {
    /// Its type (`RTM_NEWLINK`, ...).
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// What the request was numbered.
    pub sequence: u32,
    /// What follows the netlink header: the family's fixed header and attributes.
    pub payload: &'a [u8],
}

impl<'a> Reply<'a> {
    /// The attributes after a fixed header of `header` octets.
    #[must_use]
    pub fn attributes(&self, header: usize) -> Attributes<'a> {
        Attributes::new(self.payload.get(header.next_multiple_of(4)..).unwrap_or_default())
    }

    /// `N` octets of the fixed header at `offset`; zeros when the message is too short.
    #[must_use]
    pub fn fixed<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.payload.get(offset..offset + N).and_then(|octets| octets.try_into().ok()).unwrap_or([0; N])
    }

    /// 32 bits of the fixed header in host order.
    #[must_use]
    pub fn fixed_u32(&self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.fixed(offset))
    }
}

/// Received messages in one buffer.
#[derive(Debug, Clone, Default)]
pub struct Replies {
    octets: Vec<u8>,
}

impl Replies {
    /// The messages in order, without acknowledgements and end marks.
    pub fn iter(&self) -> impl Iterator<Item = Reply<'_>> {
        let mut rest: &[u8] = &self.octets;
        std::iter::from_fn(move || {
            loop {
                let (reply, next) = head(rest)?;
                rest = next;
                if !matches!(reply.kind, NLMSG_NOOP | NLMSG_ERROR | NLMSG_DONE) {
                    return Some(reply);
                }
            }
        })
    }

    /// Whether nothing was received.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}

/// The end of the next piece of a batch that begins at `from`. Joined requests stay together, even if
/// they alone are more than a piece should be.
fn piece(messages: &Messages, from: usize) -> usize {
    let mut to = from + 1;
    let mut best = None;
    while to < messages.len() {
        if to - from >= BATCH || messages.range(from, to + 1).len() > BATCH_OCTETS {
            break;
        }
        if !messages.is_joined(to) {
            best = Some(to);
        }
        to += 1;
    }
    if to >= messages.len() || !messages.is_joined(to) {
        return to;
    }
    best.unwrap_or_else(|| {
        while to < messages.len() && messages.is_joined(to) {
            to += 1;
        }
        to
    })
}

/// The first message and what follows it.
fn head(octets: &[u8]) -> Option<(Reply<'_>, &[u8])> {
    let header: [u8; HEADER] = octets.get(..HEADER)?.try_into().ok()?;
    let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let reply = Reply {
        kind: u16::from_ne_bytes([header[4], header[5]]),
        flags: u16::from_ne_bytes([header[6], header[7]]),
        sequence: u32::from_ne_bytes([header[8], header[9], header[10], header[11]]),
        payload: octets.get(HEADER..length)?,
    };
    Some((reply, octets.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Calls `each` for every message until it says false.
fn split(
    octets: &[u8],
    mut each: impl FnMut(Reply<'_>) -> Result<bool, NetlinkError>,
) -> Result<(), NetlinkError> {
    let mut rest = octets;
    while !rest.is_empty() {
        let (reply, next) = head(rest).ok_or(NetlinkError::Malformed)?;
        if !each(reply)? {
            break;
        }
        rest = next;
    }
    Ok(())
}

/// The verdict in an `NLMSG_ERROR`: zero is an acknowledgement.
fn verdict(reply: Reply<'_>) -> Result<(), Refusal> {
    let code = i32::from_ne_bytes(reply.fixed(0));
    // The request's header follows, and without NLM_F_CAPPED the whole request.
    let request = reply.fixed_u32(4) as usize;
    let tlvs =
        4 + if reply.flags & NLM_F_CAPPED == 0 && code != 0 { request.next_multiple_of(4) } else { HEADER };
    refusal(code, reply, tlvs)
}

fn refusal(code: i32, reply: Reply<'_>, tlvs: usize) -> Result<(), Refusal> {
    if code == 0 {
        return Ok(());
    }
    let mut refusal = Refusal::new(Errno::from_raw_os_error(code.saturating_neg()));
    if reply.flags & NLM_F_ACK_TLVS != 0 {
        for attribute in reply.attributes(tlvs) {
            match attribute.kind {
                NLMSGERR_ATTR_MSG => refusal.text = attribute.text().map(str::to_owned),
                NLMSGERR_ATTR_OFFS => refusal.offset = attribute.u32(),
                _ => {}
            }
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_octets_are_split_without_panic(octets: Vec<u8>) {
            let _ = split(&octets, |reply| {
                let _ = verdict(reply);
                Ok(true)
            });
            for reply in (Replies { octets }).iter() {
                let _ = (reply.fixed_u32(4), reply.attributes(16).count());
            }
        }
    }

    #[test]
    fn a_dump_of_links_has_the_loopback() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let mut messages = Messages::new();
        messages.add(libc::RTM_GETLINK, libc::NLM_F_DUMP as u16).header(&[0; 16]);
        let replies = socket.request(&mut messages).unwrap();
        let names: Vec<_> =
            replies.iter().filter_map(|reply| reply.attributes(16).get(libc::IFLA_IFNAME)?.text()).collect();
        assert!(names.contains(&"lo"), "{names:?}");
    }

    #[test]
    fn a_single_object_and_a_refusal() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let mut messages = Messages::new();
        messages.add(libc::RTM_GETLINK, 0).header(&[0; 16]).text(libc::IFLA_IFNAME, "lo");
        assert_eq!(socket.request(&mut messages).unwrap().iter().count(), 1);
        messages.clear();
        messages.add(libc::RTM_GETLINK, 0).header(&[0; 16]).text(libc::IFLA_IFNAME, "no-such-link");
        let error = socket.request(&mut messages).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::NODEV));
    }

    #[test]
    fn a_batch_gives_one_verdict_per_request() {
        let mut socket = Socket::open(Protocol::Route).unwrap();
        let mut messages = Messages::new();
        for _ in 0..3 * BATCH + 1 {
            // Setting nothing on a link that does not exist: refused for whoever asks.
            messages.add(libc::RTM_SETLINK, 0).header(&[0; 16]).text(libc::IFLA_IFNAME, "no-such-link");
        }
        let verdicts = socket.batch(&mut messages).unwrap();
        assert_eq!(verdicts.len(), 3 * BATCH + 1);
        assert!(verdicts.iter().all(Result::is_err));
    }
}
