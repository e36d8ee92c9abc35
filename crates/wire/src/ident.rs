//! Numbers that name a segment or a class: VLAN ID, VNI, DSCP.

use crate::NounError;
use crate::text::number_noun;
use std::fmt;

macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident($inner:ty), $what:literal, $description:literal, $low:expr, $high:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            /// The plain number.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl TryFrom<u64> for $name {
            type Error = NounError;
            fn try_from(value: u64) -> Result<Self, NounError> {
                if ($low..=$high).contains(&value)
                    && let Ok(inner) = <$inner>::try_from(value)
                {
                    Ok(Self(inner))
                } else {
                    Err(NounError::Range { what: $what, value, low: $low, high: $high })
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = NounError;
            fn from_str(text: &str) -> Result<Self, NounError> {
                let number: u64 =
                    text.parse().map_err(|_| NounError::Number { what: $what, text: text.to_owned() })?;
                Self::try_from(number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        number_noun!($name, $description, $low, $high);
    };
}

ranged! {
    /// An 802.1Q VLAN identifier. Legal values: 1 to 4094 (0 is the priority tag, 4095 reserved;
    /// IEEE 802.1Q-2022, 9.6).
    VlanId(u16), "VLAN ID", "802.1Q VLAN ID, 1 to 4094", 1, 4094
}
ranged! {
    /// A VXLAN or Geneve network identifier. Legal values: 0 to 2^24-1 (RFC 7348 section 5, RFC 8926 section 3.4).
    Vni(u32), "VNI", "VXLAN or Geneve network identifier, 0 to 16777215", 0, 16_777_215
}
ranged! {
    /// A differentiated-services code point. Legal values: 0 to 63 (RFC 2474 section 3).
    Dscp(u8), "DSCP", "differentiated-services code point, 0 to 63", 0, 63
}

impl Vni {
    /// The low 24 bits of a number; every value of them is legal.
    pub(crate) const fn from_low_bits(bits: u64) -> Self {
        Self((bits & 0xff_ffff) as u32)
    }
}

impl Dscp {
    /// The low 6 bits of a number; every value of them is legal.
    pub(crate) const fn from_low_bits(bits: u64) -> Self {
        Self((bits & 0x3f) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_each_range() {
        assert!(VlanId::try_from(1).is_ok() && VlanId::try_from(4094).is_ok());
        assert!(VlanId::try_from(0).is_err() && VlanId::try_from(4095).is_err());
        assert!(Vni::try_from(0).is_ok() && Vni::try_from(16_777_215).is_ok());
        assert!(Vni::try_from(16_777_216).is_err());
        assert!(Dscp::try_from(63).is_ok() && Dscp::try_from(64).is_err());
    }
}
