//! Neighbour discovery: the five messages of RFC 4861 section 4. Their options are in [`super::nd_option`].
//!
//! Invariants: after `new_checked` the fixed part of the message's kind lies within the bytes and the options can be
//! walked. The rule that the hop limit is 255 (RFC 4861 section 6.1) is for whoever holds the IPv6 header.

use super::field::{Field, view};
use super::icmpv6::Kind;
use super::nd_option::Options;
use super::{HeaderKind, Malformed, blank, illegal, put, span, truncated};
use std::net::Ipv6Addr;

view! {
    /// A message of neighbour discovery.
    Nd, 8 bytes, check;
    /// Which message.
    kind: Kind [0];
    /// Always 0.
    code: u8 [1];
    /// Checksum of pseudo-header and message.
    checksum / set_checksum: u16 [2];
    /// Router advertisement: hop limit that hosts should use; 0 when not said.
    current_hop_limit / set_current_hop_limit: u8 [4];
    /// Router advertisement: see [`RouterFlags`].
    router_flags / set_router_flags: RouterFlags [5];
    /// Router advertisement: how long the router can be a default router, in seconds; 0 when it is none.
    router_lifetime / set_router_lifetime: u16 [6];
    /// Neighbour advertisement: see [`NeighborFlags`].
    neighbor_flags / set_neighbor_flags: NeighborFlags [4];
    /// All but the router's messages: the address in question; in a redirect the better first hop.
    target / set_target: Ipv6Addr [8];
    /// Redirect: the address that is redirected.
    destination / set_destination: Ipv6Addr [24];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let fixed = fixed_len(Kind::read(bytes, 0))?;
    let code = u8::read(bytes, 1);
    if code != 0 {
        return Err(illegal(HeaderKind::Nd, "code", code));
    }
    match bytes.get(fixed..) {
        Some(options) => Options::new(options).map(|_| ()),
        None => Err(truncated(HeaderKind::Nd, fixed, bytes.len())),
    }
}

/// Length in bytes of the message before its options.
#[inline]
fn fixed_len(kind: Kind) -> Result<usize, Malformed> {
    match kind {
        Kind::ROUTER_SOLICITATION => Ok(8),
        Kind::ROUTER_ADVERTISEMENT => Ok(16),
        Kind::NEIGHBOR_SOLICITATION | Kind::NEIGHBOR_ADVERTISEMENT => Ok(24),
        Kind::REDIRECT => Ok(40),
        _ => Err(illegal(HeaderKind::Nd, "kind", kind.0)),
    }
}

impl<T: AsRef<[u8]>> View<T> {
    /// The bytes of the options.
    #[inline]
    #[must_use]
    pub fn options(&self) -> &[u8] {
        let fixed = fixed_len(self.kind()).unwrap_or(usize::MAX);
        span(self.as_bytes(), fixed, usize::MAX)
    }
}

macro_rules! flag_bytes {
    ($(#[$meta:meta])* $name:ident { $( $(#[$flag_meta:meta])* $flag:ident = $value:literal; )* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(pub u8);

        impl $name {
            $( $(#[$flag_meta])* pub const $flag: Self = Self($value); )*

            /// Whether all of `other` are set here.
            #[inline]
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// These and `other`.
            #[inline]
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl Field for $name {
            #[inline(always)]
            fn read(bytes: &[u8], at: usize) -> Self {
                Self(u8::read(bytes, at))
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8], at: usize) {
                self.0.write(bytes, at);
            }
        }
    };
}

flag_bytes! {
    /// Flags of a router advertisement (RFC 4861 section 4.2, RFC 5175). Legal values: all.
    RouterFlags {
        /// Addresses come from DHCPv6.
        MANAGED = 0x80;
        /// Other configuration comes from DHCPv6.
        OTHER = 0x40;
        /// The router is a mobile IPv6 home agent (RFC 6275 section 7.1).
        HOME_AGENT = 0x20;
        /// The router is preferred (RFC 4191 section 2.2).
        HIGH_PREFERENCE = 0x08;
        /// Other routers are preferred: both bits (RFC 4191 section 2.2).
        LOW_PREFERENCE = 0x18;
        /// The advertisement was relayed by a proxy (RFC 4389 section 4.1.3.3).
        PROXY = 0x04;
    }
}

flag_bytes! {
    /// Flags of a neighbour advertisement (RFC 4861 section 4.4). Legal values: all.
    NeighborFlags {
        /// The sender is a router.
        ROUTER = 0x80;
        /// The advertisement answers a solicitation.
        SOLICITED = 0x40;
        /// What is cached should be replaced.
        OVERRIDE = 0x20;
    }
}

/// The meaning of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repr<'a> {
    /// Are there routers?
    RouterSolicitation {
        /// What else is said.
        options: Options<'a>,
    },
    /// I am a router.
    RouterAdvertisement {
        /// Hop limit that hosts should use; 0 when not said.
        current_hop_limit: u8,
        /// How hosts get their addresses, and more.
        flags: RouterFlags,
        /// How long the router can be a default router, in seconds; 0 when it is none.
        router_lifetime: u16,
        /// How long a neighbour counts as reachable, in milliseconds; 0 when not said.
        reachable_time: u32,
        /// Time between solicitations, in milliseconds; 0 when not said.
        retransmit_timer: u32,
        /// Prefixes, MTU, and what else is said.
        options: Options<'a>,
    },
    /// Who has this address?
    NeighborSolicitation {
        /// The address in question.
        target: Ipv6Addr,
        /// What else is said.
        options: Options<'a>,
    },
    /// I have this address.
    NeighborAdvertisement {
        /// Who says so and why.
        flags: NeighborFlags,
        /// The address in question.
        target: Ipv6Addr,
        /// What else is said.
        options: Options<'a>,
    },
    /// There is a better first hop.
    Redirect {
        /// The better first hop.
        target: Ipv6Addr,
        /// The address that is redirected.
        destination: Ipv6Addr,
        /// What else is said.
        options: Options<'a>,
    },
}

impl<'a> Repr<'a> {
    /// Reads a message. The checksum is not looked at: see [`super::icmpv6::View::verify_checksum`].
    ///
    /// # Errors
    /// [`Malformed`] when the view was not checked and the message is none.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        let bytes = view.into_inner().as_ref();
        let options = Options::new(span(bytes, fixed_len(view.kind())?, usize::MAX))?;
        Ok(match view.kind() {
            Kind::ROUTER_SOLICITATION => Self::RouterSolicitation { options },
            Kind::ROUTER_ADVERTISEMENT => Self::RouterAdvertisement {
                current_hop_limit: view.current_hop_limit(),
                flags: view.router_flags(),
                router_lifetime: view.router_lifetime(),
                reachable_time: u32::read(bytes, 8),
                retransmit_timer: u32::read(bytes, 12),
                options,
            },
            Kind::NEIGHBOR_SOLICITATION => Self::NeighborSolicitation { target: view.target(), options },
            Kind::NEIGHBOR_ADVERTISEMENT => {
                Self::NeighborAdvertisement { flags: view.neighbor_flags(), target: view.target(), options }
            }
            _ => Self::Redirect { target: view.target(), destination: view.destination(), options },
        })
    }

    /// Which message it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::RouterSolicitation { .. } => Kind::ROUTER_SOLICITATION,
            Self::RouterAdvertisement { .. } => Kind::ROUTER_ADVERTISEMENT,
            Self::NeighborSolicitation { .. } => Kind::NEIGHBOR_SOLICITATION,
            Self::NeighborAdvertisement { .. } => Kind::NEIGHBOR_ADVERTISEMENT,
            Self::Redirect { .. } => Kind::REDIRECT,
        }
    }

    /// What is said beside the fixed part.
    #[must_use]
    pub const fn options(&self) -> Options<'a> {
        match self {
            Self::RouterSolicitation { options }
            | Self::RouterAdvertisement { options, .. }
            | Self::NeighborSolicitation { options, .. }
            | Self::NeighborAdvertisement { options, .. }
            | Self::Redirect { options, .. } => *options,
        }
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        fixed_len(self.kind()).unwrap_or(0) + self.options().as_bytes().len()
    }

    /// Writes the message, without a checksum, to the front of `buffer`; returns its length in bytes. The checksum
    /// is filled by [`super::icmpv6::View::fill_checksum`].
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let (length, fixed) = (self.buffer_len(), fixed_len(self.kind())?);
        let bytes = blank(HeaderKind::Nd, buffer, length)?;
        self.kind().write(bytes, 0);
        put(bytes, fixed, self.options().as_bytes());
        match *self {
            Self::RouterSolicitation { .. } => {}
            Self::RouterAdvertisement {
                current_hop_limit,
                flags,
                router_lifetime,
                reachable_time,
                retransmit_timer,
                ..
            } => {
                current_hop_limit.write(bytes, 4);
                flags.write(bytes, 5);
                router_lifetime.write(bytes, 6);
                reachable_time.write(bytes, 8);
                retransmit_timer.write(bytes, 12);
            }
            Self::NeighborSolicitation { target, .. } => target.write(bytes, 8),
            Self::NeighborAdvertisement { flags, target, .. } => {
                flags.write(bytes, 4);
                target.write(bytes, 8);
            }
            Self::Redirect { target, destination, .. } => {
                target.write(bytes, 8);
                destination.write(bytes, 24);
            }
        }
        Ok(length)
    }
}
