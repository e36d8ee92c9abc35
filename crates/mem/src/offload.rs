//! What travels beside a frame: which checksum is still to be written, and how a large frame is to be cut.

/// How a frame that is larger than a packet is to be cut (virtio 1.3, 5.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Segmentation {
    /// It is one packet.
    #[default]
    None,
    /// TCP over IPv4 (`VIRTIO_NET_HDR_GSO_TCPV4`).
    Tcp4,
    /// TCP over IPv6 (`VIRTIO_NET_HDR_GSO_TCPV6`).
    Tcp6,
    /// UDP datagrams of equal size (`VIRTIO_NET_HDR_GSO_UDP_L4`).
    Udp,
}

/// State of a frame's offloads, as the virtio-net header carries it. Offsets count from the first octet of
/// the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offload {
    /// The checksum over everything from [`Offload::start`] is still to be computed.
    pub partial: bool,
    /// Somebody has verified the checksums already.
    pub verified: bool,
    /// Where the checksum begins.
    pub start: u16,
    /// Where, after `start`, it is written.
    pub offset: u16,
    /// How the frame is cut.
    pub segmentation: Segmentation,
    /// Congestion was notified (`VIRTIO_NET_HDR_GSO_ECN`): only the first segment carries CWR.
    pub ecn: bool,
    /// Payload octets of each segment; 0 with [`Segmentation::None`].
    pub size: u16,
    /// Octets of all headers, a hint.
    pub headers: u16,
}

/// `struct virtio_net_hdr` without the number of buffers (linux/virtio_net.h).
pub const VIRTIO_HEADER: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const TCP4: u8 = 1;
const TCP6: u8 = 4;
const UDP: u8 = 5;
const ECN: u8 = 0x80;

impl Offload {
    /// Nothing is offloaded.
    pub const NONE: Self = Self {
        partial: false,
        verified: false,
        start: 0,
        offset: 0,
        segmentation: Segmentation::None,
        ecn: false,
        size: 0,
        headers: 0,
    };

    /// Whether the frame is complete as it is.
    #[inline]
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !self.partial && matches!(self.segmentation, Segmentation::None)
    }

    /// Reads a virtio-net header of a frame of `length` octets. What a guest may not claim (offsets outside
    /// the frame, a segment size of zero, unknown kinds) gives `None`.
    #[inline]
    #[must_use]
    pub fn read(header: &[u8; VIRTIO_HEADER], length: usize) -> Option<Self> {
        if header[0] == 0 && header[1] == 0 {
            return Some(Self::NONE);
        }
        let two = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let partial = header[0] & NEEDS_CHECKSUM != 0;
        let segmentation = match header[1] & !ECN {
            0 => Segmentation::None,
            TCP4 => Segmentation::Tcp4,
            TCP6 => Segmentation::Tcp6,
            UDP => Segmentation::Udp,
            // UDP fragmentation by the device (3) was never offered.
            _ => return None,
        };
        let (headers, size, start, offset) = (two(2), two(4), two(6), two(8));
        if partial && usize::from(start) + usize::from(offset) + 2 > length {
            return None;
        }
        // Cutting needs the checksum of each segment, so a frame to be cut must leave it open.
        if segmentation != Segmentation::None && (size == 0 || !partial) {
            return None;
        }
        Some(Self {
            partial,
            verified: header[0] & DATA_VALID != 0,
            start: if partial { start } else { 0 },
            offset: if partial { offset } else { 0 },
            segmentation,
            ecn: header[1] & ECN != 0,
            size: if segmentation == Segmentation::None { 0 } else { size },
            headers,
        })
    }

    /// Writes the virtio-net header.
    #[inline]
    #[must_use]
    pub fn header(&self) -> [u8; VIRTIO_HEADER] {
        if self.is_complete() && !self.verified {
            return [0; VIRTIO_HEADER];
        }
        let mut header = [0; VIRTIO_HEADER];
        if self.partial {
            header[0] = NEEDS_CHECKSUM;
        } else if self.verified {
            header[0] = DATA_VALID;
        }
        header[1] = match self.segmentation {
            Segmentation::None => 0,
            Segmentation::Tcp4 => TCP4,
            Segmentation::Tcp6 => TCP6,
            Segmentation::Udp => UDP,
        } | if self.ecn { ECN } else { 0 };
        for (at, value) in [(2, self.headers), (4, self.size), (6, self.start), (8, self.offset)] {
            header[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        header
    }

    /// Moves the offsets when octets were put before the frame (positive) or taken from it (negative).
    #[inline]
    pub fn shift(&mut self, by: i32) {
        let moved = |value: u16| u16::try_from(i32::from(value) + by).unwrap_or(0);
        if self.partial {
            self.start = moved(self.start);
        }
        if self.headers != 0 {
            self.headers = moved(self.headers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_accepted_is_written_back(header in any::<[u8; VIRTIO_HEADER]>(), length in 0_usize..70_000) {
            if let Some(offload) = Offload::read(&header, length) {
                prop_assert_eq!(Offload::read(&offload.header(), length).map(|again| again.header()), Some(offload.header()));
                prop_assert!(!offload.partial || usize::from(offload.start) + usize::from(offload.offset) + 2 <= length);
                prop_assert!(offload.segmentation == Segmentation::None || offload.size > 0 && offload.partial);
            }
        }
    }

    #[test]
    fn offsets_follow_the_frame() {
        let mut offload = Offload { partial: true, start: 34, offset: 16, ..Offload::NONE };
        offload.shift(50);
        assert_eq!((offload.start, offload.offset), (84, 16));
        offload.shift(-50);
        assert_eq!(offload.start, 34);
    }
}
