//! Errors that a switch answers with.
//!
//! What: [`OfError`] is one error by the name that Open vSwitch gives it (`OFPBMC_BAD_FIELD`), and knows how each version
//! of OpenFlow writes it: as a type and a code of the standard, or of an extension. One table (`error/table.rs`)
//! holds them all.

mod table;

use super::Version;
use super::codec::{Reader, Writer};
use std::fmt;

/// An error that a switch answers with, or that a decoder found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfError(u8);

/// Who gave an error its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The OpenFlow standard.
    Standard,
    /// Nicira's extension, experimenter 0x2320.
    Nicira,
    /// The ONF's extension, experimenter 0x4f4e4600.
    Onf,
}

impl Owner {
    /// The experimenter of an extension.
    #[must_use]
    pub const fn experimenter(self) -> Option<u32> {
        match self {
            Self::Standard => None,
            Self::Nicira => Some(super::NICIRA),
            Self::Onf => Some(super::ONF),
        }
    }
}

/// How a span of versions writes an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// Who gave the numbers.
    pub owner: Owner,
    /// First version, as on the wire.
    first: u8,
    /// Last version, as on the wire.
    last: u8,
    /// The type; for extensions from version 1.2 on the experimenter's type.
    pub kind: u16,
    /// The code; zero for extensions from version 1.2 on.
    pub code: u16,
}

struct Row {
    name: &'static str,
    encodings: &'static [Encoding],
}

/// Type of an error that a vendor defined, in versions 1.0 and 1.1 (`NXET_VENDOR`).
const VENDOR: u16 = 0xb0c2;
/// Code that goes with [`VENDOR`].
const VENDOR_CODE: u16 = 0;
/// Type of an error that an experimenter defined, from version 1.2 on.
const EXPERIMENTER: u16 = 0xffff;

impl OfError {
    /// All errors.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..table::ROWS.len()).map(|index| Self(index as u8))
    }

    fn row(self) -> &'static Row {
        &table::ROWS[usize::from(self.0).min(table::ROWS.len() - 1)]
    }

    /// The name, as OVS's tools print it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The error of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|error| error.name() == name)
    }

    /// How a version writes the error, if it can.
    #[must_use]
    pub fn encoding(self, version: Version) -> Option<Encoding> {
        let wire = version.wire();
        self.row().encodings.iter().find(|encoding| (encoding.first..=encoding.last).contains(&wire)).copied()
    }

    /// The error that a version writes so.
    #[must_use]
    pub fn from_encoding(version: Version, owner: Owner, kind: u16, code: u16) -> Option<Self> {
        Self::all().find(|error| {
            error.encoding(version).is_some_and(|encoding| {
                encoding.owner == owner && encoding.kind == kind && encoding.code == code
            })
        })
    }

    /// Writes the type and code of an error message's body (and the experimenter, where it takes one). An error
    /// that the version can't write becomes `NXBRC_UNENCODABLE_ERROR`.
    pub fn put(self, version: Version, out: &mut Writer) {
        let encoding = self.encoding(version).or_else(|| Self::NXBRC_UNENCODABLE_ERROR.encoding(version));
        let Some(encoding) = encoding else { return };
        match encoding.owner.experimenter() {
            None => {
                out.u16(encoding.kind);
                out.u16(encoding.code);
            }
            Some(experimenter) if version >= Version::V12 => {
                out.u16(EXPERIMENTER);
                out.u16(encoding.kind);
                out.u32(experimenter);
            }
            Some(experimenter) => {
                out.u16(VENDOR);
                out.u16(VENDOR_CODE);
                out.u32(experimenter);
                out.u16(encoding.kind);
                out.u16(encoding.code);
            }
        }
    }

    /// Reads what [`put`](Self::put) writes. What follows in the message is the data. An unknown error is `None`.
    ///
    /// # Errors
    ///
    /// `OFPBRC_BAD_LEN` if the octets end early.
    pub fn take(version: Version, from: &mut Reader<'_>) -> Result<Option<Self>, Self> {
        let kind = from.u16()?;
        let code = from.u16()?;
        let owner = |experimenter| match experimenter {
            super::NICIRA => Some(Owner::Nicira),
            super::ONF => Some(Owner::Onf),
            _ => None,
        };
        if kind == EXPERIMENTER && version >= Version::V12 {
            let experimenter = from.u32()?;
            Ok(owner(experimenter).and_then(|owner| Self::from_encoding(version, owner, code, 0)))
        } else if kind == VENDOR && code == VENDOR_CODE && version < Version::V12 {
            let experimenter = from.u32()?;
            let (kind, code) = (from.u16()?, from.u16()?);
            Ok(owner(experimenter).and_then(|owner| Self::from_encoding(version, owner, kind, code)))
        } else {
            Ok(Self::from_encoding(version, Owner::Standard, kind, code))
        }
    }
}

impl fmt::Debug for OfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for OfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for OfError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_read_as_it_was_written() {
        // The standard gives these two meanings one number in old versions.
        let merged =
            [(OfError::OFPBRC_IS_SECONDARY, Version::V11), (OfError::OFPBIC_BAD_EXP_TYPE, Version::V11)];
        for error in OfError::all() {
            for version in Version::ALL {
                let mut out = Writer::new();
                error.put(version, &mut out);
                let octets = out.finish();
                let mut reader = Reader::new(&octets);
                let read = OfError::take(version, &mut reader).unwrap();
                assert!(reader.is_empty());
                if merged.iter().any(|(merged, last)| error == *merged && version <= *last) {
                    assert_ne!(read, None);
                } else if error.encoding(version).is_some() {
                    assert_eq!(read, Some(error), "in {version}");
                } else {
                    assert_eq!(read, Some(OfError::NXBRC_UNENCODABLE_ERROR), "in {version}");
                }
            }
        }
    }

    #[test]
    fn rows_are_in_the_order_of_their_numbers() {
        assert_eq!(OfError::OFPHFC_INCOMPATIBLE.name(), "OFPHFC_INCOMPATIBLE");
        assert_eq!(OfError::NXST_NOT_CONFIGURED.name(), "NXST_NOT_CONFIGURED");
        assert_eq!(OfError::OFPBMC_BAD_FIELD.name(), "OFPBMC_BAD_FIELD");
        assert_eq!(OfError::from_name("OFPBPC_BAD_TYPE"), Some(OfError::OFPBPC_BAD_TYPE));
    }
}
