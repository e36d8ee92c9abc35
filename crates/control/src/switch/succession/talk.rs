//! What predecessor and successor say to each other: lines of JSON, and between them pieces with descriptors.
//!
//! Invariants: a piece says its length and how many descriptors it has before it has them; neither is trusted beyond
//! bounds.

use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Most descriptors that are sent at once (the kernel takes 253).
const AT_ONCE: usize = 200;
/// Most descriptors, and most octets of a piece.
const FILES: u32 = 1 << 16;
const OCTETS: u64 = 1 << 32;
/// Longest line.
const LINE: usize = 4096;

/// A word of one to the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub(super) enum Word {
    /// Now come the pieces.
    Here,
    /// The successor has everything.
    Ready,
    /// It may begin.
    Commit,
    /// It begins.
    Going,
    /// It has begun.
    Begun,
    /// It will not.
    Refused {
        /// Why.
        why: String,
    },
}

/// Says a word.
pub(super) fn say(mut stream: &UnixStream, word: &Word) -> io::Result<()> {
    let mut text = serde_json::to_string(word)?;
    text.push('\n');
    stream.write_all(text.as_bytes())
}

/// Hears a word. Octet by octet, since descriptors may follow.
pub(super) fn hear(mut stream: &UnixStream) -> io::Result<Word> {
    let mut line = Vec::new();
    loop {
        let mut octet = [0];
        stream.read_exact(&mut octet)?;
        match octet {
            [b'\n'] => return Ok(serde_json::from_slice(&line)?),
            _ if line.len() == LINE => return Err(io::Error::from(io::ErrorKind::InvalidData)),
            [octet] => line.push(octet),
        }
    }
}

/// Sends a piece.
pub(super) fn send_piece(mut stream: &UnixStream, octets: &[u8]) -> io::Result<()> {
    stream.write_all(&(octets.len() as u64).to_le_bytes())?;
    stream.write_all(octets)
}

/// Receives one.
pub(super) fn receive_piece(mut stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > OCTETS {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut octets = Vec::new();
    stream.take(length).read_to_end(&mut octets)?;
    if octets.len() as u64 == length { Ok(octets) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Sends descriptors.
pub(super) fn send_files(mut stream: &UnixStream, files: &[OwnedFd]) -> io::Result<()> {
    stream.write_all(&(files.len() as u32).to_le_bytes())?;
    for some in files.chunks(AT_ONCE) {
        let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&some)) {
            return Err(io::Error::other("too many descriptors at once"));
        }
        // One octet says how many travel with it.
        sendmsg(stream, &[IoSlice::new(&[some.len() as u8])], &mut control, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives them.
pub(super) fn receive_files(mut stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut count = [0; 4];
    stream.read_exact(&mut count)?;
    let count = u32::from_le_bytes(count);
    if count > FILES {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut files = Vec::new();
    while files.len() < count as usize {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut octet = [0];
        let parts = &mut [IoSliceMut::new(&mut octet)];
        let got = match recvmsg(stream, parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            got => got?.bytes,
        };
        let before = files.len();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                files.extend(some);
            }
        }
        if got == 0 || files.len() - before != usize::from(octet[0]) || octet[0] == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "descriptors are missing"));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn words_pieces_and_descriptors_come_in_order() {
        let (one, other) = UnixStream::pair().unwrap();
        let files: Vec<OwnedFd> = (0..450).map(|_| File::open("/dev/null").unwrap().into()).collect();
        let piece: Vec<u8> = (0..3_000_000_u32).map(|at| at as u8).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                say(&one, &Word::Here).unwrap();
                send_piece(&one, &piece).unwrap();
                send_piece(&one, &[]).unwrap();
                send_files(&one, &files).unwrap();
                send_files(&one, &[]).unwrap();
                say(&one, &Word::Refused { why: "no".to_owned() }).unwrap();
            });
            assert_eq!(hear(&other).unwrap(), Word::Here);
            assert!(receive_piece(&other).unwrap() == piece);
            assert!(receive_piece(&other).unwrap().is_empty());
            let got = receive_files(&other).unwrap();
            let null = std::fs::metadata("/dev/null").unwrap().rdev();
            assert_eq!(got.len(), 450);
            assert!(got.into_iter().all(|file| File::from(file).metadata().unwrap().rdev() == null));
            assert!(receive_files(&other).unwrap().is_empty());
            assert_eq!(hear(&other).unwrap(), Word::Refused { why: "no".to_owned() });
        });
        drop(one);
        assert!(hear(&other).is_err());
    }
}
