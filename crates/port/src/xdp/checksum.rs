//! Finds transport checksums that the sender left open.
//!
//! Why: a frame that this host sends over veth carries only the sum of its pseudo-header where the checksum belongs, and
//! a note beside the frame that says so. AF_XDP loses the note. Sent on as it is, the frame would be thrown away by
//! whoever checks it.
//!
//! What: a field that holds exactly that sum is taken for open. This is right for every intact frame: if a finished
//! checksum happens to have this value, finishing it once more gives the same value, because the field counts like all
//! other octets. Of damaged frames one in 65,536 is made to look intact, which is as many as a checksum overlooks.
//!
//! Deliberately absent: checksums inside tunnels, SCTP.

/// Where an open checksum begins to count in a frame, and how far behind that its field is. `head` are the frame's first
/// octets, `length` all of its octets.
#[inline]
pub(super) fn open(head: &[u8], length: usize) -> Option<(u16, u16)> {
    let two = |at: usize| Some(u16::from_be_bytes([*head.get(at)?, *head.get(at + 1)?]));
    let mut at = 14;
    let mut kind = two(12)?;
    for _ in 0..2 {
        if kind == 0x8100 || kind == 0x88a8 {
            kind = two(at + 2)?;
            at += 4;
        }
    }
    let (start, octets, protocol, addresses) = match kind {
        0x0800 => {
            let first = *head.get(at)?;
            let header = usize::from(first & 15) * 4;
            let total = usize::from(two(at + 2)?);
            // Fragments have no checksum of their own.
            if first >> 4 != 4 || header < 20 || two(at + 6)? & 0x3fff != 0 {
                return None;
            }
            (at + header, total.checked_sub(header)?, *head.get(at + 9)?, at + 12..at + 20)
        }
        0x86dd => {
            let mut next = *head.get(at + 6)?;
            let (mut start, mut octets) = (at + 40, usize::from(two(at + 4)?));
            // Options before the transport header; other extensions change the pseudo-header or hide it.
            for _ in 0..4 {
                if next != 0 && next != 60 {
                    break;
                }
                next = *head.get(start)?;
                let extension = (usize::from(*head.get(start + 1)?) + 1) * 8;
                (start, octets) = (start + extension, octets.checked_sub(extension)?);
            }
            (start, octets, next, at + 8..at + 40)
        }
        _ => return None,
    };
    let offset = match protocol {
        6 => 16,
        17 => 6,
        _ => return None,
    };
    if start + octets > length || offset + 2 > octets {
        return None;
    }
    let field = two(start + offset)?;
    let mut sum = u32::from(protocol) + octets as u32;
    for pair in head.get(addresses)?.chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // The sum is never zero, so that UDP's "none" is not taken for it.
    (u32::from(field) == sum).then_some((u16::try_from(start).ok()?, offset as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sum over everything from the transport header on, as whoever finishes a checksum makes it.
    fn finish(frame: &mut [u8], start: usize, field: usize) {
        let mut sum: u32 = frame[start..]
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
            .sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let value = match !(sum as u16) {
            0 => u16::MAX,
            value => value,
        };
        frame[field..field + 2].copy_from_slice(&value.to_be_bytes());
    }

    /// A frame whose checksum is open, where it begins and where its field is.
    fn frame(
        six: bool,
        tcp: bool,
        tags: usize,
        addresses: &[u8; 32],
        payload: &[u8],
    ) -> (Vec<u8>, usize, usize) {
        let mut frame = vec![2; 12];
        for _ in 0..tags {
            frame.extend([0x81, 0, 0, 5]);
        }
        let (header, field, protocol) = if tcp { (20, 16, 6) } else { (8, 6, 17) };
        let octets = (header + payload.len()) as u16;
        let addresses = if six { &addresses[..] } else { &addresses[..8] };
        if six {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(octets.to_be_bytes());
            frame.extend([protocol, 64]);
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((octets + 20).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
        }
        frame.extend(addresses);
        let start = frame.len();
        frame.extend(vec![7; header]);
        let mut sum = u32::from(protocol) + u32::from(octets);
        for pair in addresses.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        frame[start + field..start + field + 2].copy_from_slice(&(sum as u16).to_be_bytes());
        frame.extend(payload);
        (frame, start, start + field)
    }

    proptest! {
        #[test]
        fn open_ones_are_found_and_finished_ones_stay_what_they_are(
            six: bool, tcp: bool, tags in 0_usize..3,
            addresses in any::<[u8; 32]>(),
            payload in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let (mut frame, start, field) = frame(six, tcp, tags, &addresses, &payload);
            let found = Some((start as u16, (field - start) as u16));
            prop_assert_eq!(open(&frame, frame.len()), found);
            finish(&mut frame, start, field);
            if let Some((start, _)) = open(&frame, frame.len()) {
                let before = frame.clone();
                finish(&mut frame, usize::from(start), field);
                prop_assert_eq!(frame, before);
            }
        }

        #[test]
        fn no_frame_is_too_strange(octets in proptest::collection::vec(any::<u8>(), 0..120), kind in 0_usize..4) {
            let mut octets = octets;
            if let Some(place) = octets.get_mut(12..14) {
                place.copy_from_slice(&[[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8]][kind]);
            }
            if let Some((start, offset)) = open(&octets, octets.len()) {
                prop_assert!(usize::from(start) + usize::from(offset) + 2 <= octets.len());
            }
        }
    }

    #[test]
    fn a_finished_checksum_of_the_same_value_is_finished_to_itself() {
        // A payload that makes the finished checksum equal to the pseudo-header's sum: the rest of the datagram must sum
        // up to twice its complement.
        let (mut frame, start, field) = frame(false, false, 0, &[1; 32], &[0, 0]);
        for value in 0..=u16::MAX {
            let end = frame.len();
            frame[end - 2..].copy_from_slice(&value.to_be_bytes());
            let sum = u16::from_be_bytes([frame[field], frame[field + 1]]);
            let before = frame.clone();
            finish(&mut frame, start, field);
            if frame == before {
                assert_eq!(open(&frame, frame.len()).map(|(start, _)| usize::from(start)), Some(start));
                return;
            }
            frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        }
        panic!("no such payload");
    }
}
