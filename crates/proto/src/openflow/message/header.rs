//! The header of every message, and messages out of a stream.
//!
//! Invariants: a [`Framer`] holds no more than its limit, and gives messages in the order and in the lengths in which
//! they were sent. Costs: one copy of what comes in; messages are lent, not copied.

/// Length of the header of a message, in octets.
pub const HEADER_LENGTH: usize = 8;

/// Greatest length of a message, in octets: the field of the header has 16 bits.
pub const GREATEST_LENGTH: usize = 65535;

/// The header of a message (OpenFlow 1.5, 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version. Legal values: all; 1 to 6 are known.
    pub version: u8,
    /// What the message is, by the numbers of the version.
    pub kind: u8,
    /// Length of the whole message, in octets. Legal values: from 8 on.
    pub length: u16,
    /// Number that a reply repeats from its request.
    pub xid: u32,
}

impl Header {
    /// Reads the header at the front, or nothing if there are less than 8 octets.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let &[version, kind, high, low, a, b, c, d, ..] = octets else { return None };
        let (length, xid) = (u16::from_be_bytes([high, low]), u32::from_be_bytes([a, b, c, d]));
        Some(Self { version, kind, length, xid })
    }

    /// The octets of the header.
    #[must_use]
    pub fn emit(&self) -> [u8; HEADER_LENGTH] {
        let [high, low] = self.length.to_be_bytes();
        let [a, b, c, d] = self.xid.to_be_bytes();
        [self.version, self.kind, high, low, a, b, c, d]
    }
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A message says that it is shorter than its own header: where the next begins cannot be known.
    #[error(
        "a message of type {kind} says that it is {length} octets long; a header alone has 8: the connection must end"
    )]
    Short {
        /// Type of the message.
        kind: u8,
        /// What it says.
        length: u16,
    },
}

/// Gathers a stream of octets into messages.
#[derive(Debug, Clone)]
pub struct Framer {
    octets: Vec<u8>,
    start: usize,
    limit: usize,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(Self::LIMIT)
    }
}

impl Framer {
    /// Octets that are held at most unless said otherwise: two messages of the greatest length.
    pub const LIMIT: usize = 2 * GREATEST_LENGTH;

    /// A framer that holds at most so many octets, and at least one message of the greatest length.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { octets: Vec::new(), start: 0, limit: limit.max(GREATEST_LENGTH) }
    }

    /// Takes octets of the stream, as many as there is room for, and says how many. The others are to be given again
    /// once messages were taken out.
    #[must_use = "the octets that were not taken must be given again"]
    pub fn push(&mut self, octets: &[u8]) -> usize {
        let count = octets.len().min(self.limit - self.held());
        if self.start > 0 && (self.start == self.octets.len() || self.octets.len() + count > self.limit) {
            self.octets.drain(..self.start);
            self.start = 0;
        }
        self.octets.extend_from_slice(&octets[..count]);
        count
    }

    /// Octets that are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.octets.len() - self.start
    }

    /// The next whole message, header included, if it has come.
    ///
    /// # Errors
    /// If the stream cannot be read on; it is the same again at every further call.
    pub fn pop(&mut self) -> Result<Option<&[u8]>, FramingError> {
        let held = &self.octets[self.start..];
        let Some(header) = Header::parse(held) else { return Ok(None) };
        let length = usize::from(header.length);
        if length < HEADER_LENGTH {
            return Err(FramingError::Short { kind: header.kind, length: header.length });
        }
        if held.len() < length {
            return Ok(None);
        }
        let start = self.start;
        self.start += length;
        Ok(self.octets.get(start..start + length))
    }
}
