//! GTP-U, version 1, with extension headers (3GPP TS 29.281, 5.1 and 5.2).
//!
//! Invariants: after `new_checked` everything that the length announces lies within the bytes and the extension headers
//! can be walked; there are at most [`MAX_EXTENSIONS`].

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, fits, illegal, need, put, span, truncated};
use crate::number::named;

/// Length of the header without optional parts, in bytes.
pub const HEADER_LEN: usize = 8;

/// Length of sequence number, N-PDU number and next extension, which come and go together.
const OPTIONAL_LEN: usize = 4;

/// Extension headers that a packet may have.
pub const MAX_EXTENSIONS: usize = 8;

named! {
    /// What a message is (3GPP TS 29.281, table 6.1-1).
    Message(u8) {
        /// Is the peer there?
        ECHO_REQUEST = 1, "echo request";
        /// The peer is there.
        ECHO_RESPONSE = 2, "echo response";
        /// The tunnel is not known.
        ERROR_INDICATION = 26, "error indication";
        /// Nothing more comes on this path.
        END_MARKER = 254, "end marker";
        /// A user's packet.
        G_PDU = 255, "G-PDU";
    }
}

named! {
    /// What an extension header is (3GPP TS 29.281, figure 5.2.1-3).
    ExtensionKind(u8) {
        /// None follows.
        NONE = 0, "none";
        /// Number of the packet in the radio's own order.
        PDCP_PDU_NUMBER = 0xc0, "PDCP PDU number";
        /// UDP port that met an error.
        UDP_PORT = 0x40, "UDP port";
        /// Session of 5G (3GPP TS 38.415).
        PDU_SESSION_CONTAINER = 0x85, "PDU session container";
    }
}

view! {
    /// A GTP-U message.
    GtpU, 8 bytes, check;
    /// Version: 1.
    version: u8 [0, u8, 5, 0x7];
    /// Whether this is GTP and not GTP'.
    is_gtp: bool [0, u8, 4, 0x1];
    /// Whether extension headers follow.
    has_extension: bool [0, u8, 2, 0x1];
    /// Whether the sequence number counts.
    has_sequence: bool [0, u8, 1, 0x1];
    /// Whether the N-PDU number counts.
    has_pdu_number: bool [0, u8, 0, 0x1];
    /// What the message is.
    message / set_message: Message [1];
    /// Length in bytes of what follows the first eight.
    length / set_length: u16 [2];
    /// Names the tunnel to its receiver.
    tunnel / set_tunnel: u32 [4];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let flags = u8::read(bytes, 0);
    if flags >> 4 != 3 {
        return Err(illegal(HeaderKind::GtpU, "version and protocol type", flags >> 4));
    }
    let end = HEADER_LEN + usize::from(u16::read(bytes, 2));
    if end > bytes.len() {
        return Err(truncated(HeaderKind::GtpU, end, bytes.len()));
    }
    header_len(span(bytes, 0, end)).map(|_| ())
}

/// Length of everything before the payload, found by a walk over the extension headers.
fn header_len(bytes: &[u8]) -> Result<usize, Malformed> {
    let flags = u8::read(bytes, 0);
    if flags & 7 == 0 {
        return Ok(HEADER_LEN);
    }
    let mut at = HEADER_LEN + OPTIONAL_LEN;
    need(HeaderKind::GtpU, bytes, at)?;
    let mut next = if flags & 4 != 0 { u8::read(bytes, at - 1) } else { 0 };
    let mut count = 0;
    while next != 0 {
        if count == MAX_EXTENSIONS {
            return Err(Malformed::TooMany {
                header: HeaderKind::GtpU,
                parts: "extension headers",
                limit: MAX_EXTENSIONS,
            });
        }
        need(HeaderKind::GtpU, bytes, at + 4)?;
        let length = usize::from(u8::read(bytes, at)) * 4;
        if length == 0 {
            return Err(illegal(HeaderKind::GtpU, "extension length", 0u8));
        }
        need(HeaderKind::GtpU, bytes, at + length)?;
        at += length;
        next = u8::read(bytes, at - 1);
        count += 1;
    }
    Ok(at)
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header with optional parts and extension headers, in bytes.
    #[must_use]
    pub fn header_len(&self) -> usize {
        header_len(self.as_bytes()).unwrap_or(HEADER_LEN)
    }

    /// The sequence number, if it counts.
    #[must_use]
    pub fn sequence(&self) -> Option<u16> {
        self.has_sequence().then(|| u16::read(self.as_bytes(), HEADER_LEN))
    }

    /// The N-PDU number, if it counts.
    #[must_use]
    pub fn pdu_number(&self) -> Option<u8> {
        self.has_pdu_number().then(|| u8::read(self.as_bytes(), HEADER_LEN + 2))
    }

    /// Walks the extension headers.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'_> {
        let bytes = span(self.as_bytes(), 0, self.header_len());
        Extensions::of(bytes)
    }

    /// The user's packet.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), HEADER_LEN + usize::from(self.length()))
    }
}

/// One extension header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// What it is. Legal values: all but [`ExtensionKind::NONE`].
    pub kind: ExtensionKind,
    /// What it says. Legal lengths: 2, 6, ... 1018 bytes.
    pub data: &'a [u8],
}

/// A chain of extension headers, as it travels: the first kind, then length, data and next kind of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Extensions<'a> {
    first: u8,
    bytes: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// No extension headers.
    pub const NONE: Self = Self { first: 0, bytes: &[] };

    /// Those of a checked header.
    fn of(header: &'a [u8]) -> Self {
        if u8::read(header, 0) & 4 == 0 {
            return Self::NONE;
        }
        let at = HEADER_LEN + OPTIONAL_LEN;
        Self { first: u8::read(header, at - 1), bytes: span(header, at, usize::MAX) }
    }

    /// Writes a chain to the front of `buffer` and gives it back.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short, there are more than [`MAX_EXTENSIONS`], or one has an illegal kind or
    /// length.
    pub fn emit(items: &[Extension<'_>], buffer: &'a mut [u8]) -> Result<Self, Malformed> {
        if items.len() > MAX_EXTENSIONS {
            return Err(Malformed::TooMany {
                header: HeaderKind::GtpU,
                parts: "extension headers",
                limit: MAX_EXTENSIONS,
            });
        }
        let length = items.iter().map(|item| item.data.len() + 2).sum();
        let bytes = blank(HeaderKind::GtpU, buffer, length)?;
        let mut at = 0;
        for (place, item) in items.iter().enumerate() {
            let length = item.data.len() + 2;
            if item.kind == ExtensionKind::NONE {
                return Err(illegal(HeaderKind::GtpU, "extension kind", 0u8));
            }
            if !length.is_multiple_of(4) || length > 1020 {
                return Err(illegal(HeaderKind::GtpU, "extension length", length as u64));
            }
            ((length / 4) as u8).write(bytes, at);
            put(bytes, at + 1, item.data);
            at += length;
            items.get(place + 1).map_or(0, |next| next.kind.0).write(bytes, at - 1);
        }
        Ok(Self { first: items.first().map_or(0, |item| item.kind.0), bytes })
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        let length = usize::from(*self.bytes.first()?) * 4;
        if self.first == 0 || length == 0 {
            return None;
        }
        let (whole, rest) = self.bytes.split_at_checked(length)?;
        let kind = ExtensionKind(self.first);
        *self = Self { first: u8::read(whole, length - 1), bytes: rest };
        Some(Extension { kind, data: span(whole, 1, length - 1) })
    }
}

/// The meaning of a GTP-U header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr<'a> {
    /// What the message is.
    pub message: Message,
    /// Names the tunnel to its receiver.
    pub tunnel: u32,
    /// The sequence number, if it counts.
    pub sequence: Option<u16>,
    /// The N-PDU number, if it counts.
    pub pdu_number: Option<u8>,
    /// The extension headers; `None` when the header says that there are none, which differs on the wire from an
    /// empty chain.
    pub extensions: Option<Extensions<'a>>,
    /// Length of the payload in bytes.
    pub payload_len: u16,
}

impl<'a> Repr<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// [`Malformed`] when the view was not checked and the header cannot be walked.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        let bytes = view.into_inner().as_ref();
        let length = header_len(bytes)?;
        let payload_len = (HEADER_LEN + usize::from(view.length()))
            .checked_sub(length)
            .ok_or_else(|| illegal(HeaderKind::GtpU, "length", view.length()))?;
        Ok(Self {
            message: view.message(),
            tunnel: view.tunnel(),
            sequence: view.sequence(),
            pdu_number: view.pdu_number(),
            extensions: view.has_extension().then(|| Extensions::of(span(bytes, 0, length))),
            payload_len: payload_len as u16,
        })
    }

    fn flags(&self) -> u8 {
        u8::from(self.extensions.is_some()) << 2
            | u8::from(self.sequence.is_some()) << 1
            | u8::from(self.pdu_number.is_some())
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        let optional = if self.flags() == 0 { 0 } else { OPTIONAL_LEN };
        HEADER_LEN + optional + self.extensions.map_or(0, |extensions| extensions.bytes.len())
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the length does not fit its field.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let header = self.buffer_len();
        let length = header - HEADER_LEN + usize::from(self.payload_len);
        fits(HeaderKind::GtpU, "length", length as u64, 0xffff)?;
        let bytes = blank(HeaderKind::GtpU, buffer, header)?;
        (0x30 | self.flags()).write(bytes, 0);
        self.message.write(bytes, 1);
        (length as u16).write(bytes, 2);
        self.tunnel.write(bytes, 4);
        if let Some(sequence) = self.sequence {
            sequence.write(bytes, HEADER_LEN);
        }
        if let Some(number) = self.pdu_number {
            number.write(bytes, HEADER_LEN + 2);
        }
        if let Some(extensions) = self.extensions {
            extensions.first.write(bytes, HEADER_LEN + 3);
            put(bytes, HEADER_LEN + OPTIONAL_LEN, extensions.bytes);
        }
        Ok(header)
    }
}
