//! Large frames cut into packets, for ways out that can't do it themselves.
//!
//! What: a frame whose sender left the cutting to the device (TCP over IPv4 and IPv6, UDP datagrams of equal size)
//! becomes packets with the sender's headers, each with its own length, sequence number, flags and checksums, as
//! Linux's `tcp_gso_segment` and `__udp_gso_segment` do it.
//!
//! Costs: one copy of the payload; checksums over everything.

use netloom_mem::{Batch, FRAME, Offload, Segmentation};
use netloom_wire::checksum::{self, Sum};

/// How a frame is cut, and how far one is.
#[derive(Debug)]
pub struct Segmenter {
    network: usize,
    transport: usize,
    payload: usize,
    size: usize,
    length: usize,
    kind: Segmentation,
    ecn: bool,
    done: usize,
    number: u16,
    scratch: Vec<u8>,
}

const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// Two octets at an offset, if they are there.
fn put(octets: &mut [u8], at: usize, value: u16) {
    if let Some(place) = octets.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

impl Segmenter {
    /// For a frame of a batch that is to be cut; `None` if its headers are not what its offload says, so that it can't
    /// be cut.
    #[must_use]
    pub fn new(batch: &mut Batch, index: usize, network: usize) -> Option<Self> {
        let offload = *batch.offload(index);
        let (kind, transport) = (offload.segmentation, usize::from(offload.start));
        let least = if kind == Segmentation::Udp { 8 } else { 20 };
        if kind == Segmentation::None || offload.size == 0 || !batch.pull(index, transport + least) {
            return None;
        }
        let head = batch.head(index);
        let header = match kind {
            Segmentation::Udp => 8,
            _ => usize::from(head.get(transport + 12)? >> 4) * 4,
        };
        let payload = transport + header;
        if header < least || !batch.pull(index, payload) {
            return None;
        }
        let head = batch.head(index);
        let version = head.get(network)? >> 4;
        let fits = match kind {
            Segmentation::Tcp4 => version == 4,
            Segmentation::Tcp6 => version == 6,
            _ => version == 4 || version == 6,
        };
        let least = if version == 4 { 20 } else { 40 };
        if !fits || transport < network + least {
            return None;
        }
        let length = batch.length(index);
        Some(Self {
            network,
            transport,
            payload,
            size: usize::from(offload.size),
            length,
            kind,
            ecn: offload.ecn,
            done: payload,
            number: 0,
            scratch: vec![0; FRAME.min(payload + usize::from(offload.size))],
        })
    }

    /// Puts as many packets as fit into an empty batch; false when there are no more to come.
    pub fn fill(&mut self, batch: &Batch, index: usize, out: &mut Batch) -> bool {
        while out.room() > 0 && (self.done < self.length || self.number == 0) {
            let count = self.size.min(self.length - self.done);
            let mut packet = std::mem::take(&mut self.scratch);
            packet.resize(self.payload + self.size, 0);
            batch.copy(index, 0, &mut packet[..self.payload]);
            batch.copy(index, self.done, &mut packet[self.payload..self.payload + count]);
            let last = self.done + count >= self.length;
            self.headers(&mut packet[..self.payload + count], last);
            out.push(batch.port(index), &packet[..self.payload + count], Offload::NONE);
            self.scratch = packet;
            self.done += count;
            self.number = self.number.wrapping_add(1);
        }
        self.done < self.length
    }

    /// Makes the headers right for one packet.
    fn headers(&self, packet: &mut [u8], last: bool) {
        let (network, transport) = (self.network, self.transport);
        let first = self.done == self.payload;
        let total = packet.len() - network;
        let six = packet[network] >> 4 == 6;
        if six {
            put(packet, network + 4, (total - 40) as u16);
        } else {
            put(packet, network + 2, total as u16);
            let number = u16::from_be_bytes([packet[network + 4], packet[network + 5]]);
            put(packet, network + 4, number.wrapping_add(self.number));
            put(packet, network + 10, 0);
            let header = usize::from(packet[network] & 15) * 4;
            let sum = checksum::internet(packet.get(network..network + header).unwrap_or_default());
            put(packet, network + 10, sum);
        }
        let (protocol, field) = if self.kind == Segmentation::Udp {
            put(packet, transport + 4, (packet.len() - transport) as u16);
            (17, 6)
        } else {
            let [a, b, c, d] = [4, 5, 6, 7].map(|at| packet[transport + at]);
            let sequence = u32::from_be_bytes([a, b, c, d]).wrapping_add((self.done - self.payload) as u32);
            packet[transport + 4..transport + 8].copy_from_slice(&sequence.to_be_bytes());
            if !last {
                packet[transport + 13] &= !FIN_PSH;
            }
            if !first && self.ecn {
                packet[transport + 13] &= !CWR;
            }
            (6, 16)
        };
        put(packet, transport + field, 0);
        let addresses = if six { network + 8..network + 40 } else { network + 12..network + 20 };
        let sum = Sum::ZERO
            .word(protocol)
            .double_word((packet.len() - transport) as u32)
            .bytes(packet.get(addresses).unwrap_or_default())
            .bytes(&packet[transport..]);
        let sum = if self.kind == Segmentation::Udp { sum.udp_checksum() } else { sum.checksum() };
        put(packet, transport + field, sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_table::Field;
    use netloom_table::key::extract;
    use proptest::prelude::*;

    /// A slow sum of words, apart from the one that is used.
    fn add(sum: u64, octets: &[u8]) -> u64 {
        octets.chunks(2).fold(sum, |sum, word| {
            sum + (u64::from(word[0]) << 8) + word.get(1).map_or(0, |octet| u64::from(*octet))
        })
    }

    fn fold(mut sum: u64) -> u16 {
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    fn frame(six: bool, udp: bool, options: usize, payload: &[u8]) -> (Vec<u8>, usize) {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        frame.extend(if six { [0x86, 0xdd] } else { [8, 0] });
        let header = if udp { 8 } else { 20 + options * 4 };
        let total = header + payload.len();
        let protocol = if udp { 17 } else { 6 };
        if six {
            frame.extend([0x60, 0, 0, 0, (total >> 8) as u8, total as u8, protocol, 64]);
            frame.extend((0..32).map(|octet| octet as u8));
        } else {
            let total = total + 20;
            frame.extend([0x45, 0, (total >> 8) as u8, total as u8, 0xff, 0xff, 0x40, 0, 64, protocol, 0, 0]);
            frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
        }
        let transport = frame.len();
        if udp {
            frame.extend([0, 1, 0, 2, 0, 0, 0, 0]);
        } else {
            frame.extend([
                0,
                1,
                0,
                2,
                0xff,
                0xff,
                0xff,
                0xf0,
                0,
                0,
                0,
                0,
                ((5 + options) << 4) as u8,
                0x99,
                1,
                1,
                0,
                0,
                0,
                0,
            ]);
            frame.extend(vec![1; options * 4]);
        }
        frame.extend(payload);
        (frame, transport)
    }

    proptest! {
        #[test]
        fn packets_hold_the_payload_in_order_and_every_sum_is_right(
            six in any::<bool>(), udp in any::<bool>(), options in 0_usize..4, size in 100_u16..3000,
            payload in proptest::collection::vec(any::<u8>(), 1..20_000),
        ) {
            let (octets, transport) = frame(six, udp, options, &payload);
            let segmentation = match (udp, six) {
                (true, _) => Segmentation::Udp,
                (_, true) => Segmentation::Tcp6,
                _ => Segmentation::Tcp4,
            };
            let field = if udp { 6 } else { 16 };
            let offload = Offload {
                partial: true, start: transport as u16, offset: field, segmentation, size, ecn: true, ..Offload::NONE
            };
            let (mut batch, mut out) = (Batch::new(), Batch::new());
            batch.push(3, &octets, offload);
            let mut segmenter = Segmenter::new(&mut batch, 0, 14).unwrap();
            let (mut again, mut packets) = (true, Vec::new());
            while again {
                again = segmenter.fill(&batch, 0, &mut out);
                packets.extend((0..out.len()).map(|index| out.octets(index)));
                out.clear();
            }
            prop_assert_eq!(packets.len(), payload.len().div_ceil(usize::from(size)));
            let header = octets.len() - payload.len();
            let mut key = netloom_table::Key::default();
            for (number, packet) in packets.iter().enumerate() {
                let layers = extract(packet, packet.len(), 1, &mut key);
                prop_assert!(!layers.short);
                prop_assert_eq!(key.get(Field::TP_DST), 2);
                let from = number * usize::from(size);
                let to = (from + usize::from(size)).min(payload.len());
                prop_assert_eq!(&packet[header..], &payload[from..to]);
                if !six {
                    prop_assert_eq!(fold(add(0, &packet[14..34])), 0);
                    prop_assert_eq!(u16::from_be_bytes([packet[18], packet[19]]), 0xffff_u16.wrapping_add(number as u16));
                }
                let addresses = if six { 22..54 } else { 26..34 };
                let pseudo = if udp { 17 } else { 6 } + (packet.len() - transport) as u64;
                prop_assert_eq!(fold(add(add(pseudo, &packet[addresses]), &packet[transport..])), 0);
                if !udp {
                    let sequence = u32::from_be_bytes(packet[transport + 4..transport + 8].try_into().unwrap());
                    prop_assert_eq!(sequence, 0xffff_fff0_u32.wrapping_add(from as u32));
                    let (first, last) = (number == 0, number + 1 == packets.len());
                    let flags = packet[transport + 13];
                    prop_assert_eq!((flags & CWR != 0, flags & FIN_PSH != 0), (first, last));
                }
            }
        }

        #[test]
        fn headers_that_lie_are_refused_without_harm(
            mut octets in proptest::collection::vec(any::<u8>(), 0..300), start in 0_u16..300, size in 1_u16..200, kind in 0_usize..3,
        ) {
            let segmentation = [Segmentation::Tcp4, Segmentation::Tcp6, Segmentation::Udp][kind];
            if octets.len() > 14 {
                octets[14] = if kind == 1 { 0x60 } else { 0x45 };
            }
            let (mut batch, mut out) = (Batch::new(), Batch::new());
            batch.push(1, &octets, Offload { partial: true, start, offset: 16, segmentation, size, ..Offload::NONE });
            if let Some(mut segmenter) = Segmenter::new(&mut batch, 0, 14) {
                while segmenter.fill(&batch, 0, &mut out) {
                    out.clear();
                }
            }
        }
    }
}
