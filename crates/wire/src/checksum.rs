//! Checksums of the Internet: the one's-complement sum (RFC 1071), its incremental update (RFC 1624), and the
//! CRC32c of SCTP (RFC 9260 appendix A).
//!
//! Invariants: the fast sums equal slow ones that are written out in the tests, for any bytes and any split at an
//! even offset. Nothing panics.
//!
//! Costs: [`Sum::bytes`] adds 32 bits at a time into independent 64-bit lanes, which compilers turn into vector
//! adds; [`crc32c`] takes eight bytes a step through 8 KiB of tables.

use crate::IpProtocol;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A running one's-complement sum of 16-bit words in network order.
///
/// ```
/// use netloom_wire::checksum::Sum;
/// // The example of RFC 1071 section 3.
/// let sum = Sum::ZERO.bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
/// assert_eq!(sum.fold(), 0xddf2);
/// assert_eq!(sum.checksum(), !0xddf2);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum(u64);

impl Sum {
    /// Nothing summed yet.
    pub const ZERO: Self = Self(0);

    /// Adds bytes that begin at an even offset; an odd last byte counts as the high half of a word.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let folded = fold(native_sum(bytes));
        // The sum is the same in any byte order, except that its own bytes are swapped (RFC 1071 section 2).
        Self(self.0 + u64::from(u16::from_be_bytes(folded.to_ne_bytes())))
    }

    /// Adds one 16-bit word.
    #[inline]
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds two 16-bit words.
    #[inline]
    #[must_use]
    pub const fn double_word(self, words: u32) -> Self {
        Self(self.0 + words as u64)
    }

    /// The sum folded to 16 bits: `0xffff` for valid data that holds its own checksum.
    #[inline]
    #[must_use]
    pub const fn fold(self) -> u16 {
        fold(self.0)
    }

    /// The complement of the folded sum: what goes into a header.
    #[inline]
    #[must_use]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// As [`Sum::checksum`], but never the zero that means "no checksum" in UDP (RFC 768).
    #[inline]
    #[must_use]
    pub const fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            checksum => checksum,
        }
    }
}

/// The checksum of bytes that stand alone, such as an IPv4 header or an ICMP message.
#[inline]
#[must_use]
pub fn internet(bytes: &[u8]) -> u16 {
    Sum::ZERO.bytes(bytes).checksum()
}

/// Whether bytes that hold their own checksum are intact.
#[inline]
#[must_use]
pub fn is_intact(bytes: &[u8]) -> bool {
    Sum::ZERO.bytes(bytes).fold() == 0xffff
}

/// The addresses that the checksums of TCP, UDP and ICMPv6 cover (RFC 9293 section 3.1, RFC 8200 section 8.1).
#[derive(Debug, Clone, Copy)]
pub struct PseudoHeader(Sum);

impl PseudoHeader {
    /// Of an IPv4 packet.
    #[inline]
    #[must_use]
    pub const fn v4(source: Ipv4Addr, destination: Ipv4Addr) -> Self {
        Self(Sum::ZERO.double_word(source.to_bits()).double_word(destination.to_bits()))
    }

    /// Of an IPv6 packet. With a routing header, `destination` is the final one.
    #[inline]
    #[must_use]
    pub fn v6(source: Ipv6Addr, destination: Ipv6Addr) -> Self {
        Self(Sum::ZERO.bytes(&source.octets()).bytes(&destination.octets()))
    }

    /// The sum with the protocol and the length in bytes of its header and payload. Both IP versions agree here:
    /// the fields stand at other offsets but have the same value.
    #[inline]
    #[must_use]
    pub const fn sum(self, protocol: IpProtocol, length: u32) -> Sum {
        self.0.word(protocol.0 as u16).double_word(length)
    }
}

/// What changes in checked data, gathered once and applied to every checksum that covers it (RFC 1624).
///
/// ```
/// use netloom_wire::checksum::{Delta, internet};
/// let before = internet(&[1, 2, 3, 4]);
/// assert_eq!(Delta::NONE.word(0x0304, 0x0506).apply(before), internet(&[1, 2, 5, 6]));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Delta(u64);

impl Delta {
    /// No change.
    pub const NONE: Self = Self(0);

    /// Both changes.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Whether nothing was replaced.
    #[inline]
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// A 16-bit word was replaced.
    #[inline]
    #[must_use]
    pub const fn word(self, old: u16, new: u16) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// A 32-bit word at an even offset was replaced, such as an IPv4 address.
    #[inline]
    #[must_use]
    pub const fn double_word(self, old: u32, new: u32) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// An IPv4 address was replaced.
    #[inline]
    #[must_use]
    pub const fn ipv4(self, old: Ipv4Addr, new: Ipv4Addr) -> Self {
        self.double_word(old.to_bits(), new.to_bits())
    }

    /// An IPv6 address was replaced.
    #[inline]
    #[must_use]
    pub fn ipv6(self, old: Ipv6Addr, new: Ipv6Addr) -> Self {
        Self(self.0 + u64::from(!fold_u128(old.to_bits())) + u64::from(fold_u128(new.to_bits())))
    }

    /// The checksum after the change.
    #[inline]
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        // Equation 3 of RFC 1624: HC' = ~(~HC + ~m + m').
        !fold(self.0 + (!checksum) as u64)
    }

    /// The same for UDP: zero, "no checksum", stays zero and is never made (RFC 768).
    #[inline]
    #[must_use]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 {
            return 0;
        }
        match self.apply(checksum) {
            0 => 0xffff,
            updated => updated,
        }
    }
}

/// Folds carries until 16 bits are left.
#[inline]
const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    ((sum >> 16) + (sum & 0xffff)) as u16
}

#[inline]
const fn fold_u128(words: u128) -> u16 {
    fold(
        (words >> 96) as u64
            + ((words >> 64) as u64 & 0xffff_ffff)
            + ((words as u64) >> 32)
            + (words as u64 & 0xffff_ffff),
    )
}

/// The sum of 32-bit words in the machine's own order, with the rest padded by zeros.
#[inline]
fn native_sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let mut sum: u64 = lanes.iter().sum();
    let (words, tail) = rest.as_chunks::<4>();
    for word in words {
        sum += u64::from(u32::from_ne_bytes(*word));
    }
    let mut last = [0u8; 4];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    sum + u64::from(u32::from_ne_bytes(last))
}

/// The Castagnoli polynomial, reflected.
const CRC32C_POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[k][b]`: what byte `b` does to the remainder when `k` more bytes follow it in the step.
static CRC32C_TABLES: [[u32; 256]; 8] = crc32c_tables();

const fn crc32c_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            remainder = (remainder >> 1) ^ (CRC32C_POLYNOMIAL * (remainder & 1));
            bit += 1;
        }
        tables[0][byte] = remainder;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// A running CRC32c.
#[derive(Debug, Clone, Copy)]
pub struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Self {
        Self(!0)
    }
}

impl Crc32c {
    /// Adds bytes.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let look = |table: usize, byte: u8| CRC32C_TABLES[table & 7][usize::from(byte)];
        let (blocks, rest) = bytes.as_chunks::<8>();
        let mut remainder = self.0;
        for block in blocks {
            let [a, b, c, d] = remainder.to_le_bytes();
            let [e, f, g, h, i, j, k, l] = *block;
            remainder = look(7, a ^ e)
                ^ look(6, b ^ f)
                ^ look(5, c ^ g)
                ^ look(4, d ^ h)
                ^ look(3, i)
                ^ look(2, j)
                ^ look(1, k)
                ^ look(0, l);
        }
        for byte in rest {
            remainder = (remainder >> 8) ^ look(0, remainder.to_le_bytes()[0] ^ byte);
        }
        Self(remainder)
    }

    /// The checksum.
    #[must_use]
    pub const fn finish(self) -> u32 {
        !self.0
    }
}

/// The CRC32c of bytes. SCTP puts it into the packet with its lowest byte first.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    Crc32c::default().bytes(bytes).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 1071 read aloud.
    fn slow_sum(bytes: &[u8]) -> u16 {
        let mut sum: u32 = 0;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            if sum > 0xffff {
                sum -= 0xffff;
            }
        }
        sum as u16
    }

    fn slow_crc32c(bytes: &[u8]) -> u32 {
        let mut remainder = !0u32;
        for byte in bytes {
            remainder ^= u32::from(*byte);
            for _ in 0..8 {
                remainder =
                    if remainder & 1 == 1 { remainder >> 1 ^ CRC32C_POLYNOMIAL } else { remainder >> 1 };
            }
        }
        !remainder
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_slow_sum(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Sum::ZERO.bytes(&bytes).fold(), slow_sum(&bytes));
        }

        #[test]
        fn a_sum_of_parts_is_the_sum_of_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..300), at: u8) {
            let (front, back) = bytes.split_at((usize::from(at) & !1).min(bytes.len()));
            // An odd front is only possible when nothing follows it.
            prop_assert_eq!(Sum::ZERO.bytes(front).bytes(back).fold(), slow_sum(&bytes));
        }

        #[test]
        fn data_with_its_checksum_is_intact(mut bytes in proptest::collection::vec(any::<u8>(), 2..100)) {
            bytes[0] = 0;
            bytes[1] = 0;
            let checksum = internet(&bytes);
            bytes[..2].copy_from_slice(&checksum.to_be_bytes());
            prop_assert!(is_intact(&bytes));
        }

        #[test]
        fn an_update_is_a_new_sum(mut bytes in proptest::collection::vec(any::<u8>(), 20..80), new: u128, at in 0usize..2) {
            bytes[0] |= 1; // All zeros has two checksums; no header is all zeros.
            let before = internet(&bytes);
            let at = 2 + at * 2;
            let old = u128::from_be_bytes(bytes[at..at + 16].try_into().unwrap());
            let delta = Delta::NONE.ipv6(Ipv6Addr::from_bits(old), Ipv6Addr::from_bits(new));
            bytes[at..at + 16].copy_from_slice(&new.to_be_bytes());
            prop_assert_eq!(delta.apply(before), internet(&bytes));

            let (word, double) = ((new >> 64) as u16, new as u32);
            let old_word = u16::from_be_bytes(bytes[2..4].try_into().unwrap());
            let old_double = u32::from_be_bytes(bytes[6..10].try_into().unwrap());
            let delta = Delta::NONE.word(old_word, word).double_word(old_double, double);
            let before = internet(&bytes);
            bytes[2..4].copy_from_slice(&word.to_be_bytes());
            bytes[6..10].copy_from_slice(&double.to_be_bytes());
            prop_assert_eq!(delta.apply(before), internet(&bytes));
        }

        #[test]
        fn the_fast_crc_is_the_slow_crc(bytes in proptest::collection::vec(any::<u8>(), 0..200), at: u8) {
            prop_assert_eq!(crc32c(&bytes), slow_crc32c(&bytes));
            let (front, back) = bytes.split_at(usize::from(at).min(bytes.len()));
            prop_assert_eq!(Crc32c::default().bytes(front).bytes(back).finish(), slow_crc32c(&bytes));
        }
    }

    #[test]
    fn the_crc_of_the_test_vectors() {
        // RFC 7143 appendix A.4 (iSCSI uses the same CRC).
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn zero_means_none_in_udp() {
        assert_eq!(Delta::NONE.word(1, 2).apply_udp(0), 0);
        // 0xfffe + 1 = 0xffff, whose complement is zero.
        assert_eq!(Sum::ZERO.word(0xfffe).word(1).udp_checksum(), 0xffff);
        assert_eq!(Delta::NONE.word(0, 1).apply_udp(1), 0xffff);
    }
}
