//! Messages of the vhost-user protocol (QEMU's `docs/interop/vhost-user.rst`) over a Unix socket.
//!
//! Invariants: a message is read as a whole or the connection is given up; at most [`BODY`] octets and [`FILES`] file
//! descriptors are taken, and descriptors are closed when they are not used.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, IoSlice, IoSliceMut, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recv, recvmsg, sendmsg,
};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Longest body, in octets.
pub(super) const BODY: usize = 4096;
/// Most file descriptors with one message.
const FILES: usize = 16;
const HEADER: usize = 12;
/// Version of the protocol, in the flags.
const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
const REPLY: u32 = 1 << 2;
const NEED_REPLY: u32 = 1 << 3;

/// What the front end asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Request {
    GetFeatures = 1,
    SetFeatures,
    SetOwner,
    ResetOwner,
    SetMemTable,
    SetLogBase,
    SetLogFd,
    SetVringNum,
    SetVringAddr,
    SetVringBase,
    GetVringBase,
    SetVringKick,
    SetVringCall,
    SetVringErr,
    GetProtocolFeatures,
    SetProtocolFeatures,
    GetQueueNum,
    SetVringEnable,
    GetInflightFd = 31,
    SetInflightFd,
    ResetDevice = 34,
    GetMaxMemSlots = 36,
    AddMemReg,
    RemMemReg,
    SetStatus,
    GetStatus,
}

const REQUESTS: [Request; 26] = [
    Request::GetFeatures,
    Request::SetFeatures,
    Request::SetOwner,
    Request::ResetOwner,
    Request::SetMemTable,
    Request::SetLogBase,
    Request::SetLogFd,
    Request::SetVringNum,
    Request::SetVringAddr,
    Request::SetVringBase,
    Request::GetVringBase,
    Request::SetVringKick,
    Request::SetVringCall,
    Request::SetVringErr,
    Request::GetProtocolFeatures,
    Request::SetProtocolFeatures,
    Request::GetQueueNum,
    Request::SetVringEnable,
    Request::GetInflightFd,
    Request::SetInflightFd,
    Request::ResetDevice,
    Request::GetMaxMemSlots,
    Request::AddMemReg,
    Request::RemMemReg,
    Request::SetStatus,
    Request::GetStatus,
];

/// Why a conversation can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The front end closed the connection.
    #[error("the front end closed the connection")]
    Closed,
    /// The port was told to stop.
    #[error("the port was closed")]
    Stopped,
    /// A system call on the socket failed.
    #[error("the socket: {0}")]
    Socket(#[from] Errno),
    /// A message is of another version or too long.
    #[error("message {request} with flags {flags:#x} and {size} octets is not one of version 1")]
    Malformed {
        /// Number of the request.
        request: u32,
        /// Its flags.
        flags: u32,
        /// Octets of its body.
        size: u32,
    },
}

/// A message from the front end.
#[derive(Debug)]
pub(super) struct Message {
    /// The request's number.
    pub(super) number: u32,
    pub(super) needs_reply: bool,
    pub(super) body: Vec<u8>,
    pub(super) files: Vec<OwnedFd>,
}

impl Message {
    /// The request, if it is one that we know.
    pub(super) fn request(&self) -> Option<Request> {
        REQUESTS.into_iter().find(|request| *request as u32 == self.number)
    }

    /// The 64-bit number at an offset of the body; 0 beyond its end.
    pub(super) fn u64(&self, offset: usize) -> u64 {
        let octets = self.body.get(offset..).and_then(|rest| rest.first_chunk());
        octets.map_or(0, |octets| u64::from_ne_bytes(*octets))
    }

    /// The 32-bit number at an offset of the body; 0 beyond its end.
    pub(super) fn u32(&self, offset: usize) -> u32 {
        let octets = self.body.get(offset..).and_then(|rest| rest.first_chunk());
        octets.map_or(0, |octets| u32::from_ne_bytes(*octets))
    }

    /// The 16-bit number at an offset of the body; 0 beyond its end.
    pub(super) fn u16(&self, offset: usize) -> u16 {
        let octets = self.body.get(offset..).and_then(|rest| rest.first_chunk());
        octets.map_or(0, |octets| u16::from_ne_bytes(*octets))
    }
}

/// A connected socket, and what tells its thread to stop.
pub(super) struct Connection<'a> {
    pub(super) socket: OwnedFd,
    pub(super) stop: BorrowedFd<'a>,
    /// Whether it is to stop at once, in the middle of a message too.
    pub(super) at_once: &'a dyn Fn() -> bool,
}

/// How long somebody is waited for who stopped in the middle of a message, before it is asked again whether to stop.
const PIECE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

impl Connection<'_> {
    /// Waits until the socket is ready.
    fn wait(&self, what: PollFlags, between: bool) -> Result<(), ProtocolError> {
        loop {
            let mut both =
                [PollFd::new(&self.socket, what), PollFd::from_borrowed_fd(self.stop, PollFlags::IN)];
            retry_on_intr(|| poll(&mut both, None))?;
            if both[1].revents().is_empty() {
                return Ok(());
            }
            if between || (self.at_once)() {
                return Err(ProtocolError::Stopped);
            }
            let mut socket = [PollFd::new(&self.socket, what)];
            if retry_on_intr(|| poll(&mut socket, Some(&PIECE)))? > 0 {
                return Ok(());
            }
        }
    }

    /// The next message.
    pub(super) fn receive(&self) -> Result<Message, ProtocolError> {
        let mut header = [0; HEADER];
        let mut files = Vec::new();
        let mut at = 0;
        while at < HEADER {
            self.wait(PollFlags::IN, at == 0)?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let Some(rest) = header.get_mut(at..) else { break };
            let got = match recvmsg(&self.socket, &mut [IoSliceMut::new(rest)], &mut control, flags) {
                Err(Errno::AGAIN | Errno::INTR) => continue,
                result => result?.bytes,
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(more) = message {
                    files.extend(more);
                }
            }
            if got == 0 {
                return Err(ProtocolError::Closed);
            }
            at += got;
        }
        let word = |at: usize| {
            header
                .get(at..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |octets| u32::from_ne_bytes(*octets))
        };
        let (number, flags, size) = (word(0), word(4), word(8));
        if flags & VERSION_MASK != VERSION || size as usize > BODY {
            return Err(ProtocolError::Malformed { request: number, flags, size });
        }
        let mut body = vec![0; size as usize];
        let mut at = 0;
        while at < body.len() {
            self.wait(PollFlags::IN, false)?;
            match recv(&self.socket, &mut body[at..], RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Ok((_, 0)) => return Err(ProtocolError::Closed),
                result => at += result?.1,
            }
        }
        Ok(Message { number, needs_reply: flags & NEED_REPLY != 0, body, files })
    }

    /// Answers a message.
    pub(super) fn reply(
        &self,
        number: u32,
        body: &[u8],
        file: Option<&OwnedFd>,
    ) -> Result<(), ProtocolError> {
        let mut octets = Vec::with_capacity(HEADER + body.len());
        for word in [number, VERSION | REPLY, body.len() as u32] {
            octets.extend(word.to_ne_bytes());
        }
        octets.extend(body);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = file.map(|file| [file.as_fd()]);
        if let Some(files) = &files {
            control.push(SendAncillaryMessage::ScmRights(files));
        }
        let mut at = 0;
        while at < octets.len() {
            self.wait(PollFlags::OUT, false)?;
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(&self.socket, &[IoSlice::new(&octets[at..])], &mut control, flags) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => {
                    at += result?;
                    control.clear();
                }
            }
        }
        Ok(())
    }
}
