//! The versions of OpenFlow.

use std::fmt;

/// A version of OpenFlow. Legal values on the wire: 1 to 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// OpenFlow 1.0.
    V10 = 1,
    /// OpenFlow 1.1.
    V11 = 2,
    /// OpenFlow 1.2.
    V12 = 3,
    /// OpenFlow 1.3.
    V13 = 4,
    /// OpenFlow 1.4.
    V14 = 5,
    /// OpenFlow 1.5.
    V15 = 6,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Self; 6] = [Self::V10, Self::V11, Self::V12, Self::V13, Self::V14, Self::V15];

    /// The first octet of a message.
    #[must_use]
    pub const fn wire(self) -> u8 {
        self as u8
    }

    /// The version of a message's first octet.
    #[must_use]
    pub const fn from_wire(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::V10),
            2 => Some(Self::V11),
            3 => Some(Self::V12),
            4 => Some(Self::V13),
            5 => Some(Self::V14),
            6 => Some(Self::V15),
            _ => None,
        }
    }

    /// The name that OVS's tools and database use: `OpenFlow13`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V10 => "OpenFlow10",
            Self::V11 => "OpenFlow11",
            Self::V12 => "OpenFlow12",
            Self::V13 => "OpenFlow13",
            Self::V14 => "OpenFlow14",
            Self::V15 => "OpenFlow15",
        }
    }

    /// The number as people write it: `1.3`.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::V10 => "1.0",
            Self::V11 => "1.1",
            Self::V12 => "1.2",
            Self::V13 => "1.3",
            Self::V14 => "1.4",
            Self::V15 => "1.5",
        }
    }

    /// The version of a name like `OpenFlow13`, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_and_name_are_ways_back() {
        for version in Version::ALL {
            assert_eq!(Version::from_wire(version.wire()), Some(version));
            assert_eq!(Version::from_name(version.name()), Some(version));
        }
        assert_eq!(Version::from_wire(0), None);
        assert_eq!(Version::from_wire(7), None);
    }
}
