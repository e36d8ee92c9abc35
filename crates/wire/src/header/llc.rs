//! Logical link control in 802.3 frames (ISO/IEC 8802-2, 3.2). With both SAPs 0xaa a SNAP header follows: see
//! [`super::snap`].

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, span, truncated};

/// SAP of spanning tree BPDUs (IEEE 802.1Q-2022, table 8-9).
pub const SAP_SPANNING_TREE: u8 = 0x42;
/// SAP of SNAP (IEEE 802-2014, 9.2.3).
pub const SAP_SNAP: u8 = 0xaa;
/// Control field of unnumbered information (ISO/IEC 8802-2, 5.4.1.1).
pub const UNNUMBERED_INFORMATION: u8 = 0x03;

view! {
    /// An LLC frame.
    Llc, 3 bytes, check;
    /// Destination service access point; the lowest bit means a group.
    destination_sap / set_destination_sap: u8 [0];
    /// Source service access point; the lowest bit means a response.
    source_sap / set_source_sap: u8 [1];
    /// The first byte of the control field.
    first_control: u8 [2];
}

#[inline]
fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let length = header_len(u8::read(bytes, 2));
    if length > bytes.len() { Err(truncated(HeaderKind::Llc, length, bytes.len())) } else { Ok(()) }
}

/// Unnumbered formats have one byte of control, the others two.
#[inline]
const fn header_len(first_control: u8) -> usize {
    if first_control & 3 == 3 { 3 } else { 4 }
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header in bytes: 3 or 4.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        header_len(self.first_control())
    }

    /// What follows the header, padding of the frame included: the length is in the Ethernet header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::MAX)
    }
}

/// The control field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Control {
    /// One byte. Legal values: the two lowest bits are set.
    Unnumbered(u8),
    /// Two bytes, of the information and supervisory formats. Legal values: not both of the two lowest bits of the
    /// first are set.
    Numbered([u8; 2]),
}

/// The meaning of an LLC header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Destination service access point.
    pub destination_sap: u8,
    /// Source service access point.
    pub source_sap: u8,
    /// What is asked or answered.
    pub control: Control,
}

impl Repr {
    /// The header before a spanning tree BPDU.
    pub const SPANNING_TREE: Self = Self {
        destination_sap: SAP_SPANNING_TREE,
        source_sap: SAP_SPANNING_TREE,
        control: Control::Unnumbered(UNNUMBERED_INFORMATION),
    };

    /// Reads a header.
    ///
    /// # Errors
    /// None: every checked header is legal.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        let first = view.first_control();
        Ok(Self {
            destination_sap: view.destination_sap(),
            source_sap: view.source_sap(),
            control: match header_len(first) {
                3 => Control::Unnumbered(first),
                _ => Control::Numbered(Field::read(view.as_bytes(), 2)),
            },
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match self.control {
            Control::Unnumbered(_) => 3,
            Control::Numbered(_) => 4,
        }
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or the control field is of the other format.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        let (Control::Unnumbered(first) | Control::Numbered([first, _])) = self.control;
        if header_len(first) != length {
            return Err(illegal(HeaderKind::Llc, "control", first));
        }
        let bytes = blank(HeaderKind::Llc, buffer, length)?;
        [self.destination_sap, self.source_sap].write(bytes, 0);
        match self.control {
            Control::Unnumbered(control) => control.write(bytes, 2),
            Control::Numbered(control) => control.write(bytes, 2),
        }
        Ok(length)
    }
}
