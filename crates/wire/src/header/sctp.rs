//! SCTP's common header and the walk over its chunks (RFC 9260 section 3). What is in a chunk is opaque.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, span, truncated};
use crate::checksum::Crc32c;
use crate::number::named;

/// Length of the common header in bytes.
pub const HEADER_LEN: usize = 12;

named! {
    /// What a chunk is (RFC 9260 section 3.2).
    ChunkKind(u8) {
        /// User data.
        DATA = 0, "data";
        /// Starts an association.
        INIT = 1, "init";
        /// Answers the start.
        INIT_ACK = 2, "init ack";
        /// Selective acknowledgement.
        SACK = 3, "sack";
        /// Is the peer there?
        HEARTBEAT = 4, "heartbeat";
        /// The peer is there.
        HEARTBEAT_ACK = 5, "heartbeat ack";
        /// Ends the association at once.
        ABORT = 6, "abort";
        /// Ends the association in order.
        SHUTDOWN = 7, "shutdown";
        /// Answers the end.
        SHUTDOWN_ACK = 8, "shutdown ack";
        /// Something was wrong.
        ERROR = 9, "error";
        /// Gives the cookie back.
        COOKIE_ECHO = 10, "cookie echo";
        /// The cookie was right.
        COOKIE_ACK = 11, "cookie ack";
        /// The end is complete.
        SHUTDOWN_COMPLETE = 14, "shutdown complete";
    }
}

view! {
    /// An SCTP packet.
    Sctp, 12 bytes;
    /// Source port.
    source_port / set_source_port: u16 [0];
    /// Destination port.
    destination_port / set_destination_port: u16 [2];
    /// Names the association to its receiver; 0 in INIT.
    verification_tag / set_verification_tag: u32 [4];
    /// CRC32c of the packet, its lowest byte first (RFC 9260 appendix A).
    checksum / set_checksum: u32 [8];
}

impl<T: AsRef<[u8]>> View<T> {
    /// The chunks.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, usize::MAX)
    }

    /// Walks the chunks; stops after the first malformed one.
    #[must_use]
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks(self.payload())
    }

    /// The checksum as the bytes should have it.
    fn computed(&self) -> u32 {
        let bytes = self.as_bytes();
        let sum = Crc32c::default().bytes(span(bytes, 0, 8)).bytes(&[0; 4]).bytes(self.payload());
        sum.finish().swap_bytes()
    }

    /// Whether the checksum is right.
    #[must_use]
    pub fn verify_checksum(&self) -> bool {
        self.computed() == self.checksum()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// Computes the checksum of the packet and writes it.
    pub fn fill_checksum(&mut self) {
        let checksum = self.computed();
        self.set_checksum(checksum);
    }
}

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// What it is.
    pub kind: ChunkKind,
    /// Flags that the kind defines.
    pub flags: u8,
    /// What follows the chunk's header, padding not included.
    pub data: &'a [u8],
}

/// Walks chunks; stops after the first malformed one.
#[derive(Debug, Clone, Copy)]
pub struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let whole = std::mem::take(&mut self.0);
        let &[kind, flags, high, low, ..] = whole else {
            return if whole.is_empty() {
                None
            } else {
                Some(Err(truncated(HeaderKind::Sctp, 4, whole.len())))
            };
        };
        let length = u16::from_be_bytes([high, low]);
        if length < 4 {
            return Some(Err(illegal(HeaderKind::Sctp, "chunk length", length)));
        }
        let length = usize::from(length);
        if length > whole.len() {
            return Some(Err(truncated(HeaderKind::Sctp, length, whole.len())));
        }
        // The last chunk's padding may be missing.
        self.0 = span(whole, length.next_multiple_of(4), usize::MAX);
        Some(Ok(Chunk { kind: ChunkKind(kind), flags, data: span(whole, 4, length) }))
    }
}

/// The meaning of the common header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Names the association to its receiver.
    pub verification_tag: u32,
}

impl Repr {
    /// Reads a header. The checksum is not looked at: see [`View::verify_checksum`].
    ///
    /// # Errors
    /// None: every common header is legal.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self {
            source_port: view.source_port(),
            destination_port: view.destination_port(),
            verification_tag: view.verification_tag(),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header, without a checksum, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let bytes = blank(HeaderKind::Sctp, buffer, HEADER_LEN)?;
        self.source_port.write(bytes, 0);
        self.destination_port.write(bytes, 2);
        self.verification_tag.write(bytes, 4);
        Ok(HEADER_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_walked_to_the_first_fault() {
        let mut packet = vec![0; HEADER_LEN];
        packet.extend([10, 0, 0, 5, 7, 0, 0, 0, 0, 3, 0, 6, 1, 2]);
        let mut view = View::new_checked(packet).unwrap();
        view.fill_checksum();
        assert!(view.verify_checksum());
        let chunks: Vec<_> = view.chunks().map(Result::unwrap).collect();
        assert_eq!(chunks[0], Chunk { kind: ChunkKind::COOKIE_ECHO, flags: 0, data: &[7] });
        assert_eq!(chunks[1], Chunk { kind: ChunkKind::DATA, flags: 3, data: &[1, 2] });
        for wrong in [&[0u8, 0, 0][..], &[0, 0, 0, 3], &[0, 0, 0, 5]] {
            let mut chunks = Chunks(wrong);
            assert!(chunks.next().unwrap().is_err());
            assert!(chunks.next().is_none());
        }
    }
}
