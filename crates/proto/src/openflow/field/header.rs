//! The names that NXM and OXM give to fields on the wire.
//!
//! What: an entry of a match, and an action that names a field, begin with a header: a class, a number within it, whether
//! a mask follows, and the length of what follows (OpenFlow 1.5.1, 7.2.3.2). The class of experimenters has the
//! experimenter's number behind the header, and counts it in the length.

use super::{Field, FieldId, table};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::OfError;

/// A class of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// NXM for fields of OpenFlow 1.0 (`NXM_OF_`).
    Nxm0,
    /// NXM for extensions (`NXM_NX_`).
    Nxm1,
    /// OXM's basic class (`OXM_OF_`).
    Basic,
    /// OXM's packet registers (`OXM_OF_PKT_REG`).
    PacketRegs,
    /// Ericsson's class (`ERICOXM_OF_`).
    Ericsson,
    /// The ONF as experimenter (`ONFOXM_ET_`).
    Onf,
    /// Nicira as experimenter (`NXOXM_ET_`).
    Nicira,
    /// Nicira's experimenter for NSH (`NXOXM_NSH_`).
    Nsh,
}

/// The class whose headers name an experimenter.
pub const EXPERIMENTER_CLASS: u16 = 0xffff;

impl Class {
    const ALL: [Self; 8] = [
        Self::Nxm0,
        Self::Nxm1,
        Self::Basic,
        Self::PacketRegs,
        Self::Ericsson,
        Self::Onf,
        Self::Nicira,
        Self::Nsh,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Nxm0 => 0x0000,
            Self::Nxm1 => 0x0001,
            Self::Basic => 0x8000,
            Self::PacketRegs => 0x8001,
            Self::Ericsson => 0x1000,
            Self::Onf | Self::Nicira | Self::Nsh => EXPERIMENTER_CLASS,
        }
    }

    /// The experimenter of a class that has one; zero otherwise.
    #[must_use]
    pub const fn experimenter(self) -> u32 {
        match self {
            Self::Onf => crate::openflow::ONF,
            Self::Nicira => crate::openflow::NICIRA,
            Self::Nsh => 0x005a_d650,
            _ => 0,
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// A field's name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The class.
    pub class: Class,
    /// The number within the class, 0 to 127.
    pub field: u8,
    /// The name that the specifications use: `OXM_OF_ETH_SRC`.
    pub name: &'static str,
    /// First version that may use it, as on the wire; 0 for any.
    pub first: u8,
}

/// A header as it stands on the wire, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireHeader {
    /// The class.
    pub class: u16,
    /// The number within the class, 0 to 127.
    pub field: u8,
    /// Whether a mask follows the value.
    pub masked: bool,
    /// How many octets follow the header (and the experimenter): value and mask.
    pub payload: u8,
    /// The experimenter, or zero.
    pub experimenter: u32,
}

impl WireHeader {
    /// The header of a field whose value is `octets` long, by the name that suits `version`; without a version, by the
    /// name of NXM if it has one. Fields without a name on the wire have none.
    #[must_use]
    pub fn of(field: FieldId, version: Option<super::Version>, masked: bool, octets: usize) -> Option<Self> {
        let header = field.get().header(version)?;
        let payload = if masked { octets * 2 } else { octets };
        Some(Self {
            class: header.class.number(),
            field: header.field,
            masked,
            payload: u8::try_from(payload).ok().filter(|payload| *payload <= 248)?,
            experimenter: header.class.experimenter(),
        })
    }

    /// The field, if the header is one of the table's.
    #[must_use]
    pub fn known(self) -> Option<FieldId> {
        let class = match (self.class, self.experimenter) {
            (0x0000, _) => Class::Nxm0,
            (0x0001, _) => Class::Nxm1,
            (0x8000, _) => Class::Basic,
            (0x8001, _) => Class::PacketRegs,
            (0x1000, _) => Class::Ericsson,
            (EXPERIMENTER_CLASS, experimenter) => *[Class::Onf, Class::Nicira, Class::Nsh]
                .iter()
                .find(|class| class.experimenter() == experimenter)?,
            _ => return None,
        };
        let number = BY_HEADER[class.index()][usize::from(self.field & 0x7f)];
        (number != NONE).then_some(FieldId(number))
    }

    /// How many octets a value is long.
    #[must_use]
    pub const fn octets(self) -> usize {
        if self.masked { self.payload as usize / 2 } else { self.payload as usize }
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// `OFPBMC_BAD_LEN` if the octets end early, or the length does not count the experimenter.
    pub fn take(from: &mut Reader<'_>) -> Result<Self, OfError> {
        let mut ahead = Reader::with_error(from.rest(), OfError::OFPBMC_BAD_LEN);
        let class = ahead.u16()?;
        let field = ahead.u8()?;
        let length = ahead.u8()?;
        let (experimenter, payload) = if class == EXPERIMENTER_CLASS {
            let experimenter = ahead.u32()?;
            (experimenter, length.checked_sub(4).ok_or(OfError::OFPBMC_BAD_LEN)?)
        } else {
            (0, length)
        };
        from.skip(from.len() - ahead.len())?;
        Ok(Self { class, field: field >> 1, masked: field & 1 != 0, payload, experimenter })
    }

    /// Writes the header.
    pub fn put(self, out: &mut Writer) {
        out.u16(self.class);
        out.u8(self.field << 1 | u8::from(self.masked));
        if self.class == EXPERIMENTER_CLASS {
            out.u8(self.payload.saturating_add(4));
            out.u32(self.experimenter);
        } else {
            out.u8(self.payload);
        }
    }
}

const NONE: u8 = u8::MAX;

/// Fields by class and number.
static BY_HEADER: [[u8; 128]; Class::ALL.len()] = by_header();

const fn by_header() -> [[u8; 128]; Class::ALL.len()] {
    let mut known = [[NONE; 128]; Class::ALL.len()];
    let mut id = 0;
    while id < table::COUNT {
        let headers = table::FIELDS_FOR_INDEX[id].headers;
        let mut at = 0;
        while at < headers.len() {
            known[headers[at].class.index()][headers[at].field as usize & 0x7f] = id as u8;
            at += 1;
        }
        id += 1;
    }
    known
}

impl Field {
    /// The header that a version prefers: the newest name that it knows, or the first if it knows none. Without a
    /// version, NXM's name if there is one.
    #[must_use]
    pub fn header(&self, version: Option<super::Version>) -> Option<&'static Header> {
        let wire = version.map_or(0, super::Version::wire);
        let mut chosen: Option<&'static Header> = None;
        for header in self.headers {
            if chosen.is_none_or(|chosen| wire >= header.first && header.first > chosen.first) {
                chosen = Some(header);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openflow::Version;

    #[test]
    fn every_header_names_its_field_and_is_read_as_written() {
        for id in FieldId::all() {
            for version in [None, Some(Version::V10), Some(Version::V12), Some(Version::V15)] {
                for masked in [false, true] {
                    let octets = usize::from(id.get().octets);
                    let Some(header) = WireHeader::of(id, version, masked, octets) else {
                        assert!(id.get().headers.is_empty());
                        continue;
                    };
                    assert_eq!(header.known(), Some(id));
                    assert_eq!(header.octets(), octets);
                    let mut out = Writer::new();
                    header.put(&mut out);
                    let octets = out.finish();
                    let mut reader = Reader::new(&octets);
                    assert_eq!(WireHeader::take(&mut reader), Ok(header));
                    assert!(reader.is_empty());
                }
            }
        }
    }

    #[test]
    fn versions_prefer_their_own_names() {
        let name = |id: FieldId, version| id.get().header(version).map(|header| header.name);
        assert_eq!(name(FieldId::ETH_SRC, None), Some("NXM_OF_ETH_SRC"));
        assert_eq!(name(FieldId::ETH_SRC, Some(Version::V10)), Some("NXM_OF_ETH_SRC"));
        assert_eq!(name(FieldId::ETH_SRC, Some(Version::V13)), Some("OXM_OF_ETH_SRC"));
        assert_eq!(name(FieldId::TCP_FLAGS, Some(Version::V12)), Some("NXM_NX_TCP_FLAGS"));
        assert_eq!(name(FieldId::TCP_FLAGS, Some(Version::V13)), Some("ONFOXM_ET_TCP_FLAGS"));
        assert_eq!(name(FieldId::TCP_FLAGS, Some(Version::V15)), Some("OXM_OF_TCP_FLAGS"));
        assert_eq!(name(FieldId::TUN_TTL, None), None);
    }
}
