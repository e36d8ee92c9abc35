//! Where the layers of a frame begin, found in one pass: what a flow key, a rewrite and an offload need first.
//!
//! What: [`Outline::of`] walks Ethernet, VLAN tags, IPv4 or IPv6 with extension headers, up to the transport header,
//! and keeps offsets, not contents. Views over the parts ([`crate::header`]) read the rest.
//!
//! Invariants: never panics. A frame that is malformed above Ethernet still has an outline, which ends before
//! the malformed header and names it: switching it by its addresses is right, matching on its ports is not.
//! Offsets lie within the frame.
//!
//! Costs: a few comparisons for each layer; no allocation.
//!
//! Deliberately absent: the insides of tunnels. Make a second outline over the inner frame.

use crate::header::field::Field;
use crate::header::{HeaderKind, Malformed, ethernet, ipv4, ipv6, ipv6_extension, vlan};
use crate::{EtherType, IpProtocol};

/// Which part of a packet the frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// The first fragment, with the transport header.
    First,
    /// A later fragment, without the transport header.
    Later,
}

/// The layers of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outline {
    /// What the frame carries behind its tags.
    pub ether_type: EtherType,
    /// How many VLAN tags there are; they begin at byte 12 with the EtherType of the first.
    pub tags: u8,
    /// What the IP packet carries; [`IpProtocol::HOP_BY_HOP`] (0) when there is no IP.
    pub protocol: IpProtocol,
    /// Which part of the IP packet the frame holds.
    pub part: Part,
    /// Where the layer above Ethernet begins, in bytes from the start of the frame.
    pub network: u16,
    /// Where the layer above IP begins, in bytes from the start of the frame; 0 when there is none, as in a later
    /// fragment and in what is not IP.
    pub transport: u16,
    /// Where the IP packet ends and the padding of the frame begins, in bytes from the start of the frame; the frame's
    /// end for what is not IP.
    pub end: u16,
    /// The header that could not be read, if one could not.
    pub malformed: Option<HeaderKind>,
}

impl Outline {
    /// Walks a frame, which ends at most 65535 bytes from its start.
    ///
    /// ```
    /// use netloom_wire::{EtherType, IpProtocol, frame::Outline};
    /// let mut frame = vec![0u8; 14];
    /// frame[12..14].copy_from_slice(&EtherType::IPV4.0.to_be_bytes());
    /// frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    /// frame.extend([0x12, 0x34, 0, 53, 0, 8, 0, 0]);
    /// let outline = Outline::of(&frame)?;
    /// assert_eq!((outline.protocol, outline.network, outline.transport), (IpProtocol::UDP, 14, 34));
    /// # Ok::<(), netloom_wire::header::Malformed>(())
    /// ```
    ///
    /// # Errors
    /// [`Malformed`] when the frame has no whole Ethernet header, its tags are cut or too many, or it is too long.
    #[inline]
    pub fn of(frame: &[u8]) -> Result<Self, Malformed> {
        let view = ethernet::View::new_checked(frame)?;
        let Ok(end) = u16::try_from(frame.len()) else {
            return Err(crate::header::illegal(HeaderKind::Ethernet, "length", frame.len() as u64));
        };
        let mut outline = Self {
            ether_type: view.ether_type(),
            tags: 0,
            protocol: IpProtocol::HOP_BY_HOP,
            part: Part::Whole,
            network: ethernet::HEADER_LEN as u16,
            transport: 0,
            end,
            malformed: None,
        };
        while outline.ether_type.is_vlan() {
            let at = usize::from(outline.network);
            crate::header::need(HeaderKind::Vlan, frame, at + vlan::TAG_LEN)?;
            if usize::from(outline.tags) == vlan::MAX_TAGS {
                return Err(Malformed::TooMany {
                    header: HeaderKind::Vlan,
                    parts: "tags",
                    limit: vlan::MAX_TAGS,
                });
            }
            outline.ether_type = EtherType::read(frame, at + 2);
            outline.network += vlan::TAG_LEN as u16;
            outline.tags += 1;
        }
        let packet = frame.get(usize::from(outline.network)..).unwrap_or(&[]);
        let walked = match outline.ether_type {
            EtherType::IPV4 => outline.ipv4(packet),
            EtherType::IPV6 => outline.ipv6(packet),
            _ => Ok(()),
        };
        if let Err(malformed) = walked {
            outline.malformed = Some(malformed.header());
        }
        Ok(outline)
    }

    /// Walks an IP packet that stands in no frame, as from a TUN device: offsets count from its start.
    ///
    /// # Errors
    /// [`Malformed`] when it is of no known version, cut, or contradicts itself.
    #[inline]
    pub fn of_packet(packet: &[u8]) -> Result<Self, Malformed> {
        let Ok(end) = u16::try_from(packet.len()) else {
            return Err(crate::header::illegal(HeaderKind::Ipv4, "length", packet.len() as u64));
        };
        let version = u8::read(packet, 0) >> 4;
        let mut outline = Self {
            ether_type: if version == 6 { EtherType::IPV6 } else { EtherType::IPV4 },
            tags: 0,
            protocol: IpProtocol::HOP_BY_HOP,
            part: Part::Whole,
            network: 0,
            transport: 0,
            end,
            malformed: None,
        };
        if version == 6 {
            outline.ipv6(packet)?
        } else {
            outline.ipv4(packet)?
        }
        Ok(outline)
    }

    #[inline]
    fn ipv4(&mut self, packet: &[u8]) -> Result<(), Malformed> {
        let view = ipv4::View::new_checked(packet)?;
        self.protocol = view.protocol();
        self.end = self.network.saturating_add(view.total_len());
        self.part = if !view.is_fragment() {
            Part::Whole
        } else if view.fragment_units() == 0 {
            Part::First
        } else {
            Part::Later
        };
        if self.part != Part::Later {
            self.transport = self.network.saturating_add(view.header_len() as u16);
        }
        Ok(())
    }

    #[inline]
    fn ipv6(&mut self, packet: &[u8]) -> Result<(), Malformed> {
        let view = ipv6::View::new_checked(packet)?;
        let whole = (ipv6::HEADER_LEN as u16).saturating_add(view.payload_len());
        self.end = self.network.saturating_add(whole);
        let chain = ipv6_extension::walk(view.next_header(), view.payload())?;
        self.protocol = chain.protocol;
        self.part = match chain.fragment {
            // An atomic fragment is a whole packet (RFC 6946).
            Some(fragment) if fragment.fragment_offset != 0 => Part::Later,
            Some(fragment) if fragment.more_fragments => Part::First,
            _ => Part::Whole,
        };
        if self.part != Part::Later {
            self.transport = self.network.saturating_add((ipv6::HEADER_LEN + chain.length) as u16);
        }
        Ok(())
    }

    /// Whether the frame carries IPv4 or IPv6 that could be read.
    #[inline]
    #[must_use]
    pub const fn is_ip(&self) -> bool {
        matches!(self.ether_type, EtherType::IPV4 | EtherType::IPV6) && self.malformed.is_none()
    }

    /// The bytes of the frame from the layer above IP to the end of the packet; empty when there are none.
    #[inline]
    #[must_use]
    pub fn transport_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        match self.transport {
            0 => &[],
            from => crate::header::span(frame, usize::from(from), usize::from(self.end)),
        }
    }

    /// The bytes of the frame from the layer above Ethernet to the end of the packet.
    #[inline]
    #[must_use]
    pub fn network_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        crate::header::span(frame, usize::from(self.network), usize::from(self.end))
    }

    /// Source and destination port of TCP, UDP or SCTP; `None` for anything else and for later fragments.
    #[inline]
    #[must_use]
    pub fn ports(&self, frame: &[u8]) -> Option<(u16, u16)> {
        let bytes = self.transport_bytes(frame);
        if matches!(self.protocol, IpProtocol::TCP | IpProtocol::UDP | IpProtocol::SCTP) && bytes.len() >= 4 {
            Some((u16::read(bytes, 0), u16::read(bytes, 2)))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UDP_IN_TAGS: &[u8] = &[
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x88, 0xa8, 0, 5, 0x81, 0, 0, 7, 8,
        0, // Ethernet, two tags
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
        0x12, 0x34, 0, 53, 0, 8, 0, 0, // UDP
        0, 0, 0, 0, // padding
    ];

    #[test]
    fn tags_and_padding() {
        let outline = Outline::of(UDP_IN_TAGS).unwrap();
        assert_eq!((outline.tags, outline.network, outline.transport, outline.end), (2, 22, 42, 50));
        assert_eq!(outline.ports(UDP_IN_TAGS), Some((0x1234, 53)));
        assert_eq!(outline.transport_bytes(UDP_IN_TAGS).len(), 8);
        let packet = Outline::of_packet(&UDP_IN_TAGS[22..]).unwrap();
        assert_eq!((packet.network, packet.transport, packet.end), (0, 20, 28));
    }

    #[test]
    fn a_malformed_packet_keeps_its_frame() {
        let mut frame = UDP_IN_TAGS.to_vec();
        frame[22] = 0x44; // A header of four words.
        let outline = Outline::of(&frame).unwrap();
        assert_eq!(outline.malformed, Some(HeaderKind::Ipv4));
        assert_eq!((outline.network, outline.transport, outline.ports(&frame)), (22, 0, None));
        assert!(Outline::of(&frame[..20]).is_err());
    }

    #[test]
    fn fragments_have_their_ports_in_the_first() {
        let mut frame = UDP_IN_TAGS.to_vec();
        frame[28] = 0x20;
        let first = Outline::of(&frame).unwrap();
        assert_eq!((first.part, first.ports(&frame)), (Part::First, Some((0x1234, 53))));
        frame[29] = 1;
        let later = Outline::of(&frame).unwrap();
        assert_eq!((later.part, later.ports(&frame), later.protocol), (Part::Later, None, IpProtocol::UDP));
    }

    proptest! {
        #[test]
        fn offsets_lie_within_the_frame(
            noise in proptest::collection::vec(any::<u8>(), 0..120),
            start in prop_oneof![Just(&[][..]), Just(UDP_IN_TAGS), Just(&UDP_IN_TAGS[..22])],
            damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        ) {
            let mut frame = [start, &noise[..]].concat();
            for (at, value) in damage {
                let length = frame.len().max(1);
                if let Some(byte) = frame.get_mut(at % length) {
                    *byte = value;
                }
            }
            if let Ok(outline) = Outline::of(&frame) {
                prop_assert!(outline.network <= outline.end && usize::from(outline.end) <= frame.len());
                prop_assert!(outline.transport == 0 || outline.network < outline.transport);
                prop_assert!(outline.transport <= outline.end);
                let _ = (outline.ports(&frame), outline.network_bytes(&frame));
            }
            let _ = Outline::of_packet(&frame);
        }
    }
}
