//! VLAN tags of 802.1Q and 802.1ad, alone and stacked (IEEE 802.1Q-2022, 9.6).
//!
//! A tag is seen as the four bytes after the EtherType that announces it: tag control information, then the
//! EtherType of what follows. That is where a parser stands when it meets one.
//!
//! Invariants: a stack is at most [`MAX_TAGS`] deep; a deeper one is malformed, not cut.

use super::field::{Bits, Field, view};
use super::{HeaderKind, Malformed, blank, ethernet, fits, need, span};
use crate::{EtherType, VlanId};

/// Length in bytes that a tag adds to a frame.
pub const TAG_LEN: usize = 4;

/// Tags that a stack may have. Providers use two; more occur in tests and attacks.
pub const MAX_TAGS: usize = 8;

view! {
    /// The tag control information and the EtherType after it.
    Vlan, 4 bytes;
    /// Priority code point, 0 to 7.
    priority / set_priority: u8 [0, u16, 13, 0x7];
    /// Drop eligible indicator.
    drop_eligible / set_drop_eligible: bool [0, u16, 12, 0x1];
    /// VLAN identifier, 0 to 4095; 0 means that only the priority counts.
    vid / set_vid: u16 [0, u16, 0, 0xfff];
    /// What the tagged frame carries.
    ether_type / set_ether_type: EtherType [2];
}

impl<T: AsRef<[u8]>> View<T> {
    /// The tag's three fields.
    #[inline]
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag { priority: self.priority(), drop_eligible: self.drop_eligible(), vid: self.vid() }
    }

    /// What follows the tag.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), TAG_LEN, usize::MAX)
    }
}

/// The tag control information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tag {
    /// Priority code point. Legal values: 0 to 7.
    pub priority: u8,
    /// Drop eligible indicator.
    pub drop_eligible: bool,
    /// VLAN identifier. Legal values: 0 (priority only) to 4095 (reserved, but seen).
    pub vid: u16,
}

impl Tag {
    /// A tag of a VLAN with priority 0.
    #[must_use]
    pub const fn of(vlan: VlanId) -> Self {
        Self { priority: 0, drop_eligible: false, vid: vlan.get() }
    }

    /// The VLAN, unless the tag carries the priority alone or a reserved number.
    #[must_use]
    pub fn vlan_id(&self) -> Option<VlanId> {
        VlanId::try_from(u64::from(self.vid)).ok()
    }

    /// The tag control information as it travels; bits that do not fit are dropped.
    #[inline]
    #[must_use]
    pub const fn to_tci(self) -> u16 {
        ((self.priority as u16 & 7) << 13) | ((self.drop_eligible as u16) << 12) | (self.vid & 0xfff)
    }

    /// From the tag control information; every value is legal.
    #[inline]
    #[must_use]
    pub const fn from_tci(tci: u16) -> Self {
        Self { priority: (tci >> 13) as u8, drop_eligible: tci & 0x1000 != 0, vid: tci & 0xfff }
    }
}

/// The meaning of one tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// The tag's own fields.
    pub tag: Tag,
    /// What the tagged frame carries.
    pub ether_type: EtherType,
}

impl Repr {
    /// Reads a tag.
    ///
    /// # Errors
    /// None: every tag is legal.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self { tag: view.tag(), ether_type: view.ether_type() })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        TAG_LEN
    }

    /// Writes the tag to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or a field of the tag too large.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        fits(HeaderKind::Vlan, "priority", self.tag.priority, 7)?;
        fits(HeaderKind::Vlan, "VLAN ID", self.tag.vid, 0xfff)?;
        let bytes = blank(HeaderKind::Vlan, buffer, TAG_LEN)?;
        self.tag.to_tci().write(bytes, 0);
        self.ether_type.write(bytes, 2);
        Ok(TAG_LEN)
    }
}

/// A stack of tags, outermost first, and what stands behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stack {
    tags: [(EtherType, Tag); MAX_TAGS],
    depth: u8,
    /// The EtherType after the last tag.
    pub ether_type: EtherType,
}

impl Stack {
    /// No tags.
    #[must_use]
    pub const fn untagged(ether_type: EtherType) -> Self {
        Self {
            tags: [(EtherType::VLAN, Tag { priority: 0, drop_eligible: false, vid: 0 }); MAX_TAGS],
            depth: 0,
            ether_type,
        }
    }

    /// Reads the tags of a frame whose Ethernet header announces `ether_type` and is followed by `bytes`.
    ///
    /// # Errors
    /// [`Malformed`] when a tag is cut or there are more than [`MAX_TAGS`].
    #[inline]
    pub fn parse(ether_type: EtherType, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut stack = Self::untagged(ether_type);
        let mut at = 0;
        while stack.ether_type.is_vlan() {
            need(HeaderKind::Vlan, bytes, at + TAG_LEN)?;
            let tag = Tag::from_tci(u16::read(bytes, at));
            stack.push_inner(stack.ether_type, tag)?;
            stack.ether_type = EtherType::read(bytes, at + 2);
            at += TAG_LEN;
        }
        Ok(stack)
    }

    /// Adds a tag inside the others.
    ///
    /// # Errors
    /// [`Malformed`] when the stack is full or `announced_by` is no VLAN's EtherType.
    #[inline]
    pub fn push_inner(&mut self, announced_by: EtherType, tag: Tag) -> Result<(), Malformed> {
        if !announced_by.is_vlan() {
            return Err(super::illegal(HeaderKind::Vlan, "tag protocol", announced_by.0));
        }
        match self.tags.get_mut(usize::from(self.depth)) {
            Some(slot) => {
                *slot = (announced_by, tag);
                self.depth += 1;
                Ok(())
            }
            None => Err(Malformed::TooMany { header: HeaderKind::Vlan, parts: "tags", limit: MAX_TAGS }),
        }
    }

    /// The tags, outermost first, each with the EtherType that announces it.
    #[inline]
    #[must_use]
    pub fn tags(&self) -> &[(EtherType, Tag)] {
        self.tags.get(..usize::from(self.depth)).unwrap_or(&[])
    }

    /// Length of the tags in bytes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        self.depth as usize * TAG_LEN
    }

    /// The EtherType that the Ethernet header must have.
    #[inline]
    #[must_use]
    pub fn outer_ether_type(&self) -> EtherType {
        self.tags().first().map_or(self.ether_type, |(announced_by, _)| *announced_by)
    }

    /// Writes the tags to the front of `buffer`; returns their length in bytes. The Ethernet header before them
    /// must have [`Stack::outer_ether_type`].
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short, a field of a tag too large, or the last EtherType a tag's.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        if self.ether_type.is_vlan() {
            return Err(super::illegal(HeaderKind::Vlan, "inner EtherType", self.ether_type.0));
        }
        need(HeaderKind::Vlan, buffer, self.buffer_len())?;
        let mut rest = buffer;
        let mut tags = self.tags().iter().peekable();
        while let Some((_, tag)) = tags.next() {
            let ether_type = tags.peek().map_or(self.ether_type, |(announced_by, _)| *announced_by);
            let written = Repr { tag: *tag, ether_type }.emit(rest)?;
            rest = rest.get_mut(written..).unwrap_or(&mut []);
        }
        Ok(self.buffer_len())
    }
}

/// Adds a tag outside all others, in place: `buffer` is four bytes of headroom and then the frame; afterwards all of it
/// is the frame. Moves the two addresses only. `false`, and nothing is changed, when it is no frame.
#[inline]
pub fn push(buffer: &mut [u8], announced_by: EtherType, tag: Tag) -> bool {
    if buffer.len() < TAG_LEN + ethernet::HEADER_LEN {
        return false;
    }
    buffer.copy_within(TAG_LEN..TAG_LEN + 12, 0);
    announced_by.write(buffer, 12);
    tag.to_tci().write(buffer, 14);
    true
}

/// Takes the outermost tag off, in place: afterwards the frame begins at `buffer[4..]`. `None`, and nothing is
/// changed, when there is no tag.
#[inline]
pub fn pop(buffer: &mut [u8]) -> Option<(EtherType, Tag)> {
    let announced_by = EtherType::read(buffer, 12);
    if !announced_by.is_vlan() || buffer.len() < ethernet::HEADER_LEN + TAG_LEN {
        return None;
    }
    let tag = Tag::from_tci(u16::read(buffer, 14));
    buffer.copy_within(0..12, TAG_LEN);
    Some((announced_by, tag))
}

impl Bits for Tag {
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        Self::from_tci(u16::from_bits(bits))
    }
    #[inline(always)]
    fn to_bits(self) -> u64 {
        u64::from(self.to_tci())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_tag_can_be_popped() {
        let frame: Vec<u8> = (0..60).collect();
        let mut buffer = [&[0; 4], &frame[..]].concat();
        let tag = Tag { priority: 5, drop_eligible: true, vid: 0x123 };
        assert!(push(&mut buffer, EtherType::SERVICE_VLAN, tag));
        assert_eq!(buffer[..12], frame[..12]);
        assert_eq!(buffer[12..16], [0x88, 0xa8, 0xb1, 0x23]);
        assert_eq!(buffer[16..], frame[12..]);
        assert_eq!(pop(&mut buffer), Some((EtherType::SERVICE_VLAN, tag)));
        assert_eq!(buffer[4..], frame);
        assert_eq!(pop(&mut buffer[4..]), None);
        assert!(!push(&mut [0; 17], EtherType::VLAN, tag));
    }

    #[test]
    fn a_stack_has_a_bottom() {
        let tags = [0, 1, 0x81, 0].repeat(MAX_TAGS);
        let stack = Stack::parse(EtherType::VLAN, &[&tags[..], &[0, 1, 8, 0]].concat());
        assert_eq!(
            stack,
            Err(Malformed::TooMany { header: HeaderKind::Vlan, parts: "tags", limit: MAX_TAGS })
        );
        let deepest = [&tags[4..], &[0, 1, 8, 0]].concat();
        assert_eq!(Stack::parse(EtherType::VLAN, &deepest).map(|stack| stack.tags().len()), Ok(MAX_TAGS));
    }
}
