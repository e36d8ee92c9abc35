//! ICMPv6 (RFC 4443), the first eight bytes of a message; what follows is payload. Neighbour discovery is in
//! [`super::nd`], multicast listener discovery in `mld`.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, span, span_mut};
use crate::IpProtocol;
use crate::checksum::{Delta, PseudoHeader};
use crate::number::named;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 8;

named! {
    /// What a message is about (IANA, ICMPv6 "type" Numbers). Below 128: errors.
    Kind(u8) {
        /// A packet did not arrive.
        UNREACHABLE = 1, "destination unreachable";
        /// A packet is longer than the next link takes.
        PACKET_TOO_BIG = 2, "packet too big";
        /// The hops, or the time to reassemble, ran out.
        TIME_EXCEEDED = 3, "time exceeded";
        /// A header is wrong.
        PARAMETER_PROBLEM = 4, "parameter problem";
        /// Ping.
        ECHO_REQUEST = 128, "echo request";
        /// Answer to an echo request.
        ECHO_REPLY = 129, "echo reply";
        /// Who listens? Versions 1 and 2 (RFC 2710, RFC 3810).
        MULTICAST_LISTENER_QUERY = 130, "multicast listener query";
        /// I listen, version 1 (RFC 2710).
        MULTICAST_LISTENER_REPORT = 131, "multicast listener report";
        /// I listen no more, version 1 (RFC 2710).
        MULTICAST_LISTENER_DONE = 132, "multicast listener done";
        /// Are there routers? (RFC 4861 section 4.1)
        ROUTER_SOLICITATION = 133, "router solicitation";
        /// I am a router (RFC 4861 section 4.2).
        ROUTER_ADVERTISEMENT = 134, "router advertisement";
        /// Who has this address? (RFC 4861 section 4.3)
        NEIGHBOR_SOLICITATION = 135, "neighbour solicitation";
        /// I have this address (RFC 4861 section 4.4).
        NEIGHBOR_ADVERTISEMENT = 136, "neighbour advertisement";
        /// There is a better first hop (RFC 4861 section 4.5).
        REDIRECT = 137, "redirect";
        /// I listen, version 2 (RFC 3810).
        MULTICAST_LISTENER_REPORT_2 = 143, "multicast listener report, version 2";
    }
}

impl Kind {
    /// Whether the message reports a failure and quotes the packet that met it (RFC 4443 section 2.1).
    #[inline]
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 < 128
    }

    /// Whether [`super::nd`] reads the message.
    #[inline]
    #[must_use]
    pub const fn is_neighbour_discovery(self) -> bool {
        self.0 >= Self::ROUTER_SOLICITATION.0 && self.0 <= Self::REDIRECT.0
    }

    /// Whether the message belongs to multicast listener discovery.
    #[inline]
    #[must_use]
    pub const fn is_multicast_listener(self) -> bool {
        matches!(self.0, 130..=132 | 143)
    }
}

view! {
    /// An ICMPv6 message.
    Icmpv6, 8 bytes;
    /// What the message is about.
    kind / set_kind: Kind [0];
    /// Which case of it.
    code / set_code: u8 [1];
    /// Checksum of pseudo-header and message.
    checksum / set_checksum: u16 [2];
    /// Four bytes whose meaning depends on the kind.
    rest / set_rest: u32 [4];
    /// Echo: names the process that asks.
    identifier / set_identifier: u16 [4];
    /// Echo: counts the requests.
    sequence / set_sequence: u16 [6];
}

impl<T: AsRef<[u8]>> View<T> {
    /// What follows the header: the data of an echo, the packet that an error quotes.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, usize::MAX)
    }

    /// Whether the checksum of all the bytes is right.
    #[inline]
    #[must_use]
    pub fn verify_checksum(&self, pseudo_header: &PseudoHeader) -> bool {
        let bytes = self.as_bytes();
        pseudo_header.sum(IpProtocol::ICMPV6, bytes.len() as u32).bytes(bytes).fold() == 0xffff
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// What follows the header.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }

    /// Computes the checksum of all the bytes and writes it. It stands at the same place in every ICMPv6 message,
    /// so neighbour and multicast listener discovery are filled through this view too.
    #[inline]
    pub fn fill_checksum(&mut self, pseudo_header: &PseudoHeader) {
        self.set_checksum(0);
        let bytes = self.as_bytes();
        let checksum = pseudo_header.sum(IpProtocol::ICMPV6, bytes.len() as u32).bytes(bytes).checksum();
        self.set_checksum(checksum);
    }

    /// Mends the checksum after a change of what it covers.
    #[inline]
    pub fn update_checksum(&mut self, delta: Delta) {
        let checksum = delta.apply(self.checksum());
        self.set_checksum(checksum);
    }
}

/// The meaning of the first eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repr {
    /// Ping.
    EchoRequest {
        /// Names the process that asks.
        identifier: u16,
        /// Counts the requests.
        sequence: u16,
    },
    /// Answer to a ping.
    EchoReply {
        /// Copied from the request.
        identifier: u16,
        /// Copied from the request.
        sequence: u16,
    },
    /// The packet quoted after this header did not arrive.
    Unreachable {
        /// Which case of it (RFC 4443 section 3.1).
        code: u8,
    },
    /// The packet quoted after this header is longer than the next link takes.
    PacketTooBig {
        /// Most bytes of a packet on the next link.
        mtu: u32,
    },
    /// The hops (code 0) or the time to reassemble (code 1) ran out.
    TimeExceeded {
        /// Which of the two.
        code: u8,
    },
    /// A header is wrong.
    ParameterProblem {
        /// Which case of it.
        code: u8,
        /// Which byte of the packet.
        pointer: u32,
    },
    /// Any other message, and those above with an unknown code.
    Other {
        /// What the message is about.
        kind: Kind,
        /// Which case of it.
        code: u8,
        /// The rest of the header.
        rest: u32,
    },
}

impl Repr {
    fn of(kind: Kind, code: u8, rest: u32) -> Self {
        let (identifier, sequence) = ((rest >> 16) as u16, rest as u16);
        match (kind, code) {
            (Kind::ECHO_REQUEST, 0) => Self::EchoRequest { identifier, sequence },
            (Kind::ECHO_REPLY, 0) => Self::EchoReply { identifier, sequence },
            (Kind::UNREACHABLE, _) => Self::Unreachable { code },
            (Kind::PACKET_TOO_BIG, 0) => Self::PacketTooBig { mtu: rest },
            (Kind::TIME_EXCEEDED, _) => Self::TimeExceeded { code },
            (Kind::PARAMETER_PROBLEM, _) => Self::ParameterProblem { code, pointer: rest },
            _ => Self::Other { kind, code, rest },
        }
    }

    fn parts(&self) -> (Kind, u8, u32) {
        let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        match *self {
            Self::EchoRequest { identifier, sequence } => (Kind::ECHO_REQUEST, 0, pair(identifier, sequence)),
            Self::EchoReply { identifier, sequence } => (Kind::ECHO_REPLY, 0, pair(identifier, sequence)),
            Self::Unreachable { code } => (Kind::UNREACHABLE, code, 0),
            Self::PacketTooBig { mtu } => (Kind::PACKET_TOO_BIG, 0, mtu),
            Self::TimeExceeded { code } => (Kind::TIME_EXCEEDED, code, 0),
            Self::ParameterProblem { code, pointer } => (Kind::PARAMETER_PROBLEM, code, pointer),
            Self::Other { kind, code, rest } => (kind, code, rest),
        }
    }

    /// Reads a header. The checksum is not looked at: see [`View::verify_checksum`].
    ///
    /// # Errors
    /// None: every message is kept.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self::of(view.kind(), view.code(), view.rest()))
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header, without a checksum, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short, or when [`Repr::Other`] says what has a form of its own.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let (kind, code, rest) = self.parts();
        if Self::of(kind, code, rest) != *self {
            return Err(illegal(HeaderKind::Icmpv6, "form of kind", kind.0));
        }
        let bytes = blank(HeaderKind::Icmpv6, buffer, HEADER_LEN)?;
        kind.write(bytes, 0);
        code.write(bytes, 1);
        rest.write(bytes, 4);
        Ok(HEADER_LEN)
    }
}
