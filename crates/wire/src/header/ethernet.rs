//! Ethernet II, and the outer shape of 802.3 with LLC (IEEE 802.3-2022, 3.1.1).
//!
//! Deliberately absent: preamble and frame check sequence, which never reach software.

use super::field::view;
use super::{HeaderKind, Malformed, blank, span, span_mut};
use crate::{EtherType, MacAddr};

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 14;

view! {
    /// An Ethernet frame without its check sequence.
    ///
    /// ```
    /// use netloom_wire::{EtherType, MacAddr, header::ethernet};
    /// let mut frame = [0u8; 60];
    /// let mut view = ethernet::View::new_checked(&mut frame[..])?;
    /// view.set_destination(MacAddr::BROADCAST);
    /// view.set_ether_type(EtherType::ARP);
    /// assert_eq!(&frame[..6], [0xff; 6]);
    /// # Ok::<(), netloom_wire::header::Malformed>(())
    /// ```
    Ethernet, 14 bytes;
    /// Where the frame goes.
    destination / set_destination: MacAddr [0];
    /// Where the frame comes from.
    source / set_source: MacAddr [6];
    /// What the frame carries; below 1536 the length of an LLC frame in bytes.
    ether_type / set_ether_type: EtherType [12];
}

impl<T: AsRef<[u8]>> View<T> {
    /// What follows the header, padding included.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, usize::MAX)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> View<T> {
    /// What follows the header, padding included.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        span_mut(self.buffer.as_mut(), HEADER_LEN, usize::MAX)
    }
}

/// The meaning of an Ethernet header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Where the frame goes.
    pub destination: MacAddr,
    /// Where the frame comes from.
    pub source: MacAddr,
    /// What the frame carries, or the length of an LLC frame in bytes.
    pub ether_type: EtherType,
}

impl Repr {
    /// Reads a header.
    ///
    /// # Errors
    /// None: every Ethernet header is legal.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self { destination: view.destination(), source: view.source(), ether_type: view.ether_type() })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let mut view = View::new_unchecked(blank(HeaderKind::Ethernet, buffer, HEADER_LEN)?);
        view.set_destination(self.destination);
        view.set_source(self.source);
        view.set_ether_type(self.ether_type);
        Ok(HEADER_LEN)
    }
}
