//! MPLS: one entry of the label stack, and the walk over a stack (RFC 3032, RFC 5462).
//!
//! Invariants: a stack is at most [`MAX_ENTRIES`] deep; a deeper one is malformed, not cut.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, fits, need, span};

/// Length of an entry in bytes.
pub const ENTRY_LEN: usize = 4;

/// Entries that a stack may have. Segment routing uses about ten.
pub const MAX_ENTRIES: usize = 16;

/// The label popped before IPv4 (RFC 3032 section 2.1).
pub const LABEL_IPV4_EXPLICIT_NULL: u32 = 0;
/// The label that hands the packet to the router's software (RFC 3032 section 2.1).
pub const LABEL_ROUTER_ALERT: u32 = 1;
/// The label popped before IPv6 (RFC 3032 section 2.1).
pub const LABEL_IPV6_EXPLICIT_NULL: u32 = 2;

view! {
    /// The outermost entry of a label stack and what follows it.
    Mpls, 4 bytes;
    /// The label, 20 bits.
    label / set_label: u32 [0, u32, 12, 0xf_ffff];
    /// Traffic class, 3 bits (RFC 5462).
    traffic_class / set_traffic_class: u8 [2, u8, 1, 0x7];
    /// Whether this is the last entry.
    bottom / set_bottom: bool [2, u8, 0, 0x1];
    /// Hops left.
    ttl / set_ttl: u8 [3];
}

impl<T: AsRef<[u8]>> View<T> {
    /// What follows the entry: the next one, or what the stack carries.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), ENTRY_LEN, usize::MAX)
    }
}

/// The meaning of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Repr {
    /// The label. Legal values: 0 to 2^20-1; below 16 they are reserved (RFC 7274).
    pub label: u32,
    /// Traffic class. Legal values: 0 to 7.
    pub traffic_class: u8,
    /// Whether this is the last entry.
    pub bottom: bool,
    /// Hops left.
    pub ttl: u8,
}

impl Repr {
    /// Reads an entry.
    ///
    /// # Errors
    /// None: every entry is legal.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self {
            label: view.label(),
            traffic_class: view.traffic_class(),
            bottom: view.bottom(),
            ttl: view.ttl(),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        ENTRY_LEN
    }

    /// Writes the entry to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or a value does not fit its field.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        fits(HeaderKind::Mpls, "label", self.label, 0xf_ffff)?;
        fits(HeaderKind::Mpls, "traffic class", self.traffic_class, 7)?;
        let bytes = blank(HeaderKind::Mpls, buffer, ENTRY_LEN)?;
        let word = self.label << 12
            | u32::from(self.traffic_class) << 9
            | u32::from(self.bottom) << 8
            | u32::from(self.ttl);
        word.write(bytes, 0);
        Ok(ENTRY_LEN)
    }
}

/// A stack of labels, outermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack {
    entries: [Repr; MAX_ENTRIES],
    depth: u8,
}

impl Stack {
    /// Reads the entries at the front of `bytes`, up to the bottom.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end before the bottom or it is deeper than [`MAX_ENTRIES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut stack = Self { entries: [Repr::default(); MAX_ENTRIES], depth: 0 };
        let mut at = 0;
        for entry in &mut stack.entries {
            need(HeaderKind::Mpls, bytes, at + ENTRY_LEN)?;
            *entry = Repr::parse(&View::new_unchecked(span(bytes, at, at + ENTRY_LEN)))?;
            at += ENTRY_LEN;
            if entry.bottom {
                stack.depth = (at / ENTRY_LEN) as u8;
                return Ok(stack);
            }
        }
        Err(Malformed::TooMany { header: HeaderKind::Mpls, parts: "labels", limit: MAX_ENTRIES })
    }

    /// The entries, outermost first; the last alone is the bottom.
    #[must_use]
    pub fn entries(&self) -> &[Repr] {
        span_of(&self.entries, self.depth)
    }

    /// Length of the stack in bytes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        self.depth as usize * ENTRY_LEN
    }
}

fn span_of(entries: &[Repr], depth: u8) -> &[Repr] {
    entries.get(..usize::from(depth)).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_ends_at_its_bottom() {
        let bytes = [0x00, 0x01, 0x02, 64, 0x12, 0x34, 0x5b, 63, 0x45];
        let stack = Stack::parse(&bytes).unwrap();
        assert_eq!(stack.buffer_len(), 8);
        assert_eq!(stack.entries()[0], Repr { label: 16, traffic_class: 1, bottom: false, ttl: 64 });
        assert_eq!(stack.entries()[1], Repr { label: 0x12345, traffic_class: 5, bottom: true, ttl: 63 });
        assert!(matches!(Stack::parse(&bytes[..7]), Err(Malformed::Truncated { .. })));
        assert!(matches!(Stack::parse(&[0; 100]), Err(Malformed::TooMany { .. })));
    }
}
