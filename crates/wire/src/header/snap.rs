//! SNAP behind LLC: an EtherType in an 802.3 frame (IEEE 802-2014, 9.2.4; RFC 1042). The view holds both headers.

use super::field::{Field, view};
use super::llc::{SAP_SNAP, UNNUMBERED_INFORMATION};
use super::{HeaderKind, Malformed, blank, illegal, span};
use crate::EtherType;

/// Length of LLC and SNAP together, in bytes.
pub const HEADER_LEN: usize = 8;

/// The organisation whose protocols are EtherTypes (RFC 1042).
pub const ETHERTYPE_ORGANISATION: [u8; 3] = [0; 3];

const LLC: [u8; 3] = [SAP_SNAP, SAP_SNAP, UNNUMBERED_INFORMATION];

view! {
    /// An LLC frame with a SNAP header.
    Snap, 8 bytes, check;
    /// Who numbers the protocols (OUI).
    organisation / set_organisation: [u8; 3] [3];
    /// The protocol; an EtherType for [`ETHERTYPE_ORGANISATION`].
    protocol / set_protocol: EtherType [6];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    match <[u8; 3]>::read(bytes, 0) {
        LLC => Ok(()),
        [first, ..] => Err(illegal(HeaderKind::Snap, "service access point", first)),
    }
}

impl<T: AsRef<[u8]>> View<T> {
    /// What follows the headers, padding of the frame included.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, usize::MAX)
    }
}

/// The meaning of LLC and SNAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Who numbers the protocols (OUI).
    pub organisation: [u8; 3],
    /// The protocol.
    pub protocol: EtherType,
}

impl Repr {
    /// Reads the headers.
    ///
    /// # Errors
    /// None: every checked header is legal.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self { organisation: view.organisation(), protocol: view.protocol() })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the headers to the front of `buffer`; returns their length in bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let bytes = blank(HeaderKind::Snap, buffer, HEADER_LEN)?;
        LLC.write(bytes, 0);
        self.organisation.write(bytes, 3);
        self.protocol.write(bytes, 6);
        Ok(HEADER_LEN)
    }
}
