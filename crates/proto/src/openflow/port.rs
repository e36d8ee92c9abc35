//! Numbers of ports.
//!
//! What: as in Open vSwitch, a port is a number of 16 bits in every version (OpenFlow 1.0, 5.2.1). From version 1.1 on the
//! wire has 32 bits: the reserved ports `0xffffff00..` are `0xff00..` here, and what lies between cannot exist.

use std::fmt;

/// A port of a bridge. Legal values: all; from [`OfPort::MAX`] on they are reserved and have meanings of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct OfPort(pub u16);

impl OfPort {
    /// First number that is not an ordinary port's (`OFPP_MAX`).
    pub const MAX: Self = Self(0xff00);
    /// No port chosen yet: a value of `actset_output` (`OFPP_UNSET`).
    pub const UNSET: Self = Self(0xfff7);
    /// Back where the packet came from.
    pub const IN_PORT: Self = Self(0xfff8);
    /// Through the tables: in packet-out only.
    pub const TABLE: Self = Self(0xfff9);
    /// As an ordinary learning switch would.
    pub const NORMAL: Self = Self(0xfffa);
    /// To all ports but the packet's and those that are not to be flooded.
    pub const FLOOD: Self = Self(0xfffb);
    /// To all ports but the packet's.
    pub const ALL: Self = Self(0xfffc);
    /// To the controllers.
    pub const CONTROLLER: Self = Self(0xfffd);
    /// The bridge's own port.
    pub const LOCAL: Self = Self(0xfffe);
    /// No port; any port where one is asked for (`OFPP_ANY`).
    pub const NONE: Self = Self(0xffff);

    const RESERVED: u32 = 0xffff_ff00;

    /// The number in 32 bits, as versions from 1.1 on write it.
    #[must_use]
    pub const fn wide(self) -> u32 {
        if self.0 < Self::MAX.0 { self.0 as u32 } else { self.0 as u32 | 0xffff_0000 }
    }

    /// The port of a number in 32 bits, or nothing between `0xff00` and `0xffffff00`.
    #[must_use]
    pub const fn from_wide(number: u32) -> Option<Self> {
        if number < Self::MAX.0 as u32 || number >= Self::RESERVED { Some(Self(number as u16)) } else { None }
    }

    /// Whether the number names a place and not a single port that a packet can come from.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.0 >= Self::MAX.0
    }

    /// The name of a reserved port, without `OFPP_`.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::UNSET => Some("UNSET"),
            Self::IN_PORT => Some("IN_PORT"),
            Self::TABLE => Some("TABLE"),
            Self::NORMAL => Some("NORMAL"),
            Self::FLOOD => Some("FLOOD"),
            Self::ALL => Some("ALL"),
            Self::CONTROLLER => Some("CONTROLLER"),
            Self::LOCAL => Some("LOCAL"),
            Self::NONE => Some("ANY"),
            _ => None,
        }
    }

    /// The reserved port of a name in any case. `NONE` and `ANY` are the same.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("NONE") {
            return Some(Self::NONE);
        }
        (Self::UNSET.0..=Self::NONE.0)
            .map(Self)
            .find(|port| port.name().is_some_and(|reserved| reserved.eq_ignore_ascii_case(name)))
    }
}

impl fmt::Display for OfPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_a_wide_number_and_a_way_back() {
        for number in 0..=u16::MAX {
            assert_eq!(OfPort::from_wide(OfPort(number).wide()), Some(OfPort(number)));
            if let Some(name) = OfPort(number).name() {
                assert_eq!(OfPort::from_name(name), Some(OfPort(number)));
            }
        }
        assert_eq!(OfPort::from_wide(0xff00), None);
        assert_eq!(OfPort::from_wide(0xffff_feff), None);
        assert_eq!(OfPort::CONTROLLER.wide(), 0xffff_fffd);
    }
}
