//! ICMP (RFC 792), the first eight bytes of a message; what follows is payload.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, span, span_mut};
use crate::checksum;
use crate::number::named;
use std::net::Ipv4Addr;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 8;

named! {
    /// What a message is about (IANA, ICMP Type Numbers).
    Kind(u8) {
        /// Answer to an echo request.
        ECHO_REPLY = 0, "echo reply";
        /// A packet did not arrive.
        UNREACHABLE = 3, "destination unreachable";
        /// There is a better first hop.
        REDIRECT = 5, "redirect";
        /// Ping.
        ECHO_REQUEST = 8, "echo request";
        /// A router says that it is there (RFC 1256).
        ROUTER_ADVERTISEMENT = 9, "router advertisement";
        /// A host asks for routers (RFC 1256).
        ROUTER_SOLICITATION = 10, "router solicitation";
        /// The hops, or the time to reassemble, ran out.
        TIME_EXCEEDED = 11, "time exceeded";
        /// A header is wrong.
        PARAMETER_PROBLEM = 12, "parameter problem";
        /// Asks for the time.
        TIMESTAMP_REQUEST = 13, "timestamp request";
        /// Tells the time.
        TIMESTAMP_REPLY = 14, "timestamp reply";
    }
}

/// Code of [`Kind::UNREACHABLE`]: the network.
pub const CODE_NETWORK: u8 = 0;
/// Code of [`Kind::UNREACHABLE`]: the host.
pub const CODE_HOST: u8 = 1;
/// Code of [`Kind::UNREACHABLE`]: the protocol.
pub const CODE_PROTOCOL: u8 = 2;
/// Code of [`Kind::UNREACHABLE`]: the port.
pub const CODE_PORT: u8 = 3;
/// Code of [`Kind::UNREACHABLE`]: too long and must not be fragmented (RFC 1191).
pub const CODE_FRAGMENTATION_NEEDED: u8 = 4;
/// Code of [`Kind::UNREACHABLE`]: a filter forbids it (RFC 1812 section 5.2.7.1).
pub const CODE_PROHIBITED: u8 = 13;

impl Kind {
    /// Whether the message reports a failure and quotes the packet that met it. No error answers an error
    /// (RFC 1122 section 3.2.2).
    #[inline]
    #[must_use]
    pub const fn is_error(self) -> bool {
        matches!(self, Self::UNREACHABLE | Self::REDIRECT | Self::TIME_EXCEEDED | Self::PARAMETER_PROBLEM)
            || self.0 == 4
    }
}

view! {
    /// An ICMP message.
    Icmpv4, 8 bytes;
    /// What the message is about.
    kind / set_kind: Kind [0];
    /// Which case of it.
    code / set_code: u8 [1];
    /// Checksum of the whole message.
    checksum / set_checksum: u16 [2];
    /// Four bytes whose meaning depends on the kind.
    rest / set_rest: u32 [4];
    /// Echo and timestamp: names the process that asks.
    identifier / set_identifier: u16 [4];
    /// Echo and timestamp: counts the requests.
    sequence / set_sequence: u16 [6];
    /// Fragmentation needed: most bytes of a packet on the next link (RFC 1191 section 4).
    next_hop_mtu / set_next_hop_mtu: u16 [6];
    /// Redirect: the better first hop.
    gateway / set_gateway: Ipv4Addr [4];
    /// Parameter problem: which byte of the header.
    pointer / set_pointer: u8 [4];
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
    pub fn verify_checksum(&self) -> bool {
        checksum::is_intact(self.as_bytes())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// What follows the header.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }

    /// Computes the checksum of all the bytes and writes it.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let checksum = checksum::internet(self.as_bytes());
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
        /// Which case of it.
        code: u8,
        /// Most bytes of a packet on the next link; 0 for other codes than [`CODE_FRAGMENTATION_NEEDED`].
        next_hop_mtu: u16,
    },
    /// There is a better first hop.
    Redirect {
        /// For which packets.
        code: u8,
        /// The better first hop.
        gateway: Ipv4Addr,
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
        /// Which byte of the header.
        pointer: u8,
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
        let (high, low) = ((rest >> 16) as u16, rest as u16);
        match (kind, code) {
            (Kind::ECHO_REQUEST, 0) => Self::EchoRequest { identifier: high, sequence: low },
            (Kind::ECHO_REPLY, 0) => Self::EchoReply { identifier: high, sequence: low },
            (Kind::UNREACHABLE, CODE_FRAGMENTATION_NEEDED) => Self::Unreachable { code, next_hop_mtu: low },
            (Kind::UNREACHABLE, _) => Self::Unreachable { code, next_hop_mtu: 0 },
            (Kind::REDIRECT, _) => Self::Redirect { code, gateway: Ipv4Addr::from_bits(rest) },
            (Kind::TIME_EXCEEDED, _) => Self::TimeExceeded { code },
            (Kind::PARAMETER_PROBLEM, _) => Self::ParameterProblem { code, pointer: (rest >> 24) as u8 },
            _ => Self::Other { kind, code, rest },
        }
    }

    fn parts(&self) -> (Kind, u8, u32) {
        let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
        match *self {
            Self::EchoRequest { identifier, sequence } => (Kind::ECHO_REQUEST, 0, pair(identifier, sequence)),
            Self::EchoReply { identifier, sequence } => (Kind::ECHO_REPLY, 0, pair(identifier, sequence)),
            Self::Unreachable { code, next_hop_mtu } => (Kind::UNREACHABLE, code, pair(0, next_hop_mtu)),
            Self::Redirect { code, gateway } => (Kind::REDIRECT, code, gateway.to_bits()),
            Self::TimeExceeded { code } => (Kind::TIME_EXCEEDED, code, 0),
            Self::ParameterProblem { code, pointer } => {
                (Kind::PARAMETER_PROBLEM, code, u32::from(pointer) << 24)
            }
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
    /// [`Malformed`] when `buffer` is too short, or when the value says in one form what has another:
    /// [`Repr::Other`] for a known message, an MTU for another code.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let (kind, code, rest) = self.parts();
        if Self::of(kind, code, rest) != *self {
            return Err(illegal(HeaderKind::Icmpv4, "form of kind", kind.0));
        }
        let bytes = blank(HeaderKind::Icmpv4, buffer, HEADER_LEN)?;
        kind.write(bytes, 0);
        code.write(bytes, 1);
        rest.write(bytes, 4);
        Ok(HEADER_LEN)
    }
}
