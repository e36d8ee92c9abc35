//! Numbers of the language: decimal, octal behind `0`, hexadecimal behind `0x`, and of any length in hexadecimal.
//!
//! What is accepted is what the C library's `strtoull` accepts with base 0, since that is the language's definition in
//! use: a sign is allowed, and a negative number wraps around.

use super::error::{Parsed, Problem, TextError};
use super::piece::Piece;

/// A number at the front of a text: its value, whether it overflowed 64 bits, and how many bytes it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leading {
    /// The value, wrapped around if negative.
    pub value: u64,
    /// Whether a minus stood before it.
    pub negative: bool,
    /// Whether it is larger than 64 bits hold.
    pub overflow: bool,
    /// The bytes read, 0 if no number stands there.
    pub length: usize,
}

/// Reads the number that `text` begins with, in `base` (0: by its prefix).
pub(super) fn leading(text: &str, base: u32) -> Leading {
    let none = Leading { value: 0, negative: false, overflow: false, length: 0 };
    if let Some(plain) = plain(text, base) {
        return plain;
    }
    let blanks = text.len() - text.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
    let mut rest = &text[blanks..];
    let negative = rest.starts_with('-');
    if rest.starts_with(['-', '+']) {
        rest = &rest[1..];
    }
    let mut base = base;
    let hex = (rest.starts_with("0x") || rest.starts_with("0X"))
        && rest[2..].starts_with(|c: char| c.is_ascii_hexdigit());
    if hex && matches!(base, 0 | 16) {
        rest = &rest[2..];
        base = 16;
    } else if base == 0 {
        base = if rest.starts_with('0') { 8 } else { 10 };
    }
    let digits = rest.find(|c: char| !c.is_digit(base)).unwrap_or(rest.len());
    if digits == 0 {
        return none;
    }
    let mut value = 0u64;
    let mut overflow = false;
    for digit in rest[..digits].chars().filter_map(|c| c.to_digit(base)) {
        match value.checked_mul(base.into()).and_then(|value| value.checked_add(digit.into())) {
            Some(next) => value = next,
            None => overflow = true,
        }
    }
    let length = text.len() - rest.len() + digits;
    let value = if negative { value.wrapping_neg() } else { value };
    Leading { value, negative, overflow, length }
}

/// What most numbers are: up to 18 digits in base ten and nothing before them.
#[inline]
fn plain(text: &str, base: u32) -> Option<Leading> {
    let first = *text.as_bytes().first()?;
    let alone = first == b'0' && text.len() == 1;
    if !(b'1'..=b'9').contains(&first) && !alone || !matches!(base, 0 | 10) {
        return None;
    }
    let (mut value, mut length) = (0_u64, 0);
    for digit in text.bytes().map(|byte| byte.wrapping_sub(b'0')).take_while(|digit| *digit < 10) {
        (value, length) = (value.wrapping_mul(10).wrapping_add(digit.into()), length + 1);
    }
    (length <= 18).then_some(Leading { value, negative: false, overflow: false, length })
}

/// The whole of `text` as a signed number in `base`.
pub(super) fn signed(text: &str, base: u32) -> Option<i64> {
    let number = leading(text, base);
    if text.is_empty() || number.length != text.len() || number.overflow {
        return None;
    }
    match number.negative {
        true => Some(number.value as i64).filter(|value| *value <= 0),
        false => i64::try_from(number.value).ok(),
    }
}

/// What `atoi` makes of a text: the number it begins with, 0 if none, cut to 32 bits.
pub(super) fn lenient(text: &str) -> i32 {
    leading(text, 10).value as i32
}

/// An 8-bit number, called `name` in the error.
pub(super) fn u8(piece: Piece<'_>, name: &str) -> Parsed<u8> {
    small(piece, name, 255).map(|value| value as u8)
}

/// A 16-bit number, called `name` in the error.
pub(super) fn u16(piece: Piece<'_>, name: &str) -> Parsed<u16> {
    small(piece, name, 65535).map(|value| value as u16)
}

fn small(piece: Piece<'_>, name: &str, most: i64) -> Parsed<i64> {
    signed(piece.text(), 0).filter(|value| (0..=most).contains(value)).ok_or_else(|| {
        TextError::new(piece, Problem::BadValue, format!("invalid {name} \"{}\"", piece.text()))
            .expecting(if most == 255 { "a number from 0 to 255" } else { "a number from 0 to 65535" })
    })
}

/// A 32-bit number. A negative one wraps around, and the upper half of a longer one is lost, as everybody is used to.
pub(super) fn u32(piece: Piece<'_>) -> Parsed<u32> {
    u64(piece).map(|value| value as u32)
}

/// A 64-bit number. A negative one wraps around.
pub(super) fn u64(piece: Piece<'_>) -> Parsed<u64> {
    if piece.is_empty() {
        return Err(TextError::new(piece, Problem::Missing, "missing required numeric argument")
            .expecting("a number"));
    }
    let number = leading(piece.text(), 0);
    if number.overflow || number.length != piece.text().len() {
        let wording = format!("invalid numeric format {}", piece.text());
        return Err(TextError::new(piece, Problem::BadValue, wording).expecting("a number"));
    }
    Ok(number.value)
}

/// Why a number of a field's width could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WideError {
    /// No number stands there.
    Syntax,
    /// It needs more octets than there are.
    TooLarge,
}

/// Reads the number that `text` begins with into `octets` (big-endian), and returns how many bytes of text it took.
/// In hexadecimal it may be as long as the octets allow, with blanks between its digits.
pub(super) fn wide(text: &str, octets: &mut [u8]) -> Result<usize, WideError> {
    octets.fill(0);
    if text.starts_with("0x") || text.starts_with("0X") {
        let mut digits = Vec::new();
        let mut length = 2;
        for (at, c) in text.char_indices().skip(2) {
            if let Some(digit) = c.to_digit(16) {
                if digit != 0 || !digits.is_empty() {
                    if digits.len() == octets.len() * 2 {
                        return Err(WideError::TooLarge);
                    }
                    digits.push(digit as u8);
                }
            } else if !matches!(c, ' ' | '\t' | '\r' | '\n') {
                length = at;
                break;
            }
            length = at + 1;
        }
        for (pair, octet) in digits.rchunks(2).zip(octets.iter_mut().rev()) {
            *octet = pair.iter().fold(0, |value, digit| value << 4 | digit);
        }
        return Ok(length);
    }
    let number = leading(text, 0);
    if number.length == 0 {
        return Err(WideError::Syntax);
    }
    let bytes = number.value.to_be_bytes();
    let fitting = octets.len().min(8);
    if number.overflow || bytes[..8 - fitting].iter().any(|byte| *byte != 0) {
        return Err(WideError::TooLarge);
    }
    let start = octets.len() - fitting;
    octets[start..].copy_from_slice(&bytes[8 - fitting..]);
    Ok(number.length)
}

/// Octets as one hexadecimal number without leading zeros, `0` if all are zero.
pub(super) fn hex(octets: &[u8]) -> String {
    let mut out = String::new();
    for octet in octets {
        if !out.is_empty() {
            out.push_str(&format!("{octet:02x}"));
        } else if *octet != 0 {
            out.push_str(&format!("0x{octet:x}"));
        }
    }
    if out.is_empty() { "0".to_string() } else { out }
}

/// Pairs of hexadecimal digits with blanks and dots between them, as `note` and `userdata` have them: the octets, and
/// whether the whole text was read.
pub(super) fn octets(text: &str) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '.', '\t', '\r', '\n']);
        let mut digits = rest.chars().map(|c| c.to_digit(16));
        let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
            return (out, rest.is_empty());
        };
        out.push((high << 4 | low) as u8);
        rest = &rest[2..];
    }
}

/// Octets as pairs of digits with dots between them.
pub(super) fn dotted(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(".")
}

/// How `%#x` prints a number: without a prefix if it is 0.
pub(super) fn alt_hex(value: u64) -> String {
    let mut out = String::new();
    put_alt_hex(&mut out, value);
    out
}

/// Appends what [`alt_hex`] prints.
pub(super) fn put_alt_hex(out: &mut String, value: u64) {
    if value == 0 {
        out.push('0');
        return;
    }
    out.push_str("0x");
    let digits = 16 - value.leading_zeros() / 4;
    for at in (0..digits).rev() {
        let digit = b"0123456789abcdef"[(value >> (at * 4) & 0xf) as usize];
        out.push(digit.into());
    }
}

/// Appends a number in base ten. Dumps are made of these: they take no detour by way of formatting.
pub(super) fn put_decimal(out: &mut String, value: impl Into<u64>) {
    let mut value = value.into();
    let mut digits = [0_u8; 20];
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    digits[from..].iter().for_each(|digit| out.push((*digit).into()));
}

/// A time in seconds and nanoseconds: `5s`, `5.040s`, `5.0000001s`.
pub fn duration(seconds: u32, nanoseconds: u32) -> String {
    let mut out = String::new();
    put_duration(&mut out, seconds, nanoseconds);
    out
}

/// Appends what [`duration`] prints.
pub(super) fn put_duration(out: &mut String, seconds: u32, nanoseconds: u32) {
    put_decimal(out, seconds);
    let (mut fraction, mut digits) = (nanoseconds, 9_u32);
    if fraction.is_multiple_of(1_000_000) {
        (fraction, digits) = (fraction / 1_000_000, 3);
    }
    if fraction != 0 {
        out.push('.');
        if digits == 9 {
            while fraction.is_multiple_of(10) {
                (fraction, digits) = (fraction / 10, digits - 1);
            }
        }
        let length = fraction.checked_ilog10().unwrap_or(0) + 1;
        (length..digits).for_each(|_| out.push('0'));
        put_decimal(out, fraction);
    }
    out.push('s');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_strtoull_reads() {
        assert_eq!(u64(Piece::whole("0x10")).unwrap(), 16);
        assert_eq!(u64(Piece::whole("010")).unwrap(), 8);
        assert_eq!(u64(Piece::whole("-1")).unwrap(), u64::MAX);
        assert_eq!(u64(Piece::whole("18446744073709551615")).unwrap(), u64::MAX);
        assert_eq!(
            u64(Piece::whole("18446744073709551616")).unwrap_err().ovs(),
            "invalid numeric format 18446744073709551616"
        );
        assert_eq!(u64(Piece::whole("")).unwrap_err().ovs(), "missing required numeric argument");
        assert_eq!(u16(Piece::whole("65536"), "priority").unwrap_err().ovs(), "invalid priority \"65536\"");
        assert_eq!(lenient("12abc"), 12);
        assert_eq!(leading("0x", 0).length, 1);
    }

    #[test]
    fn wide_numbers_fill_their_octets() {
        let mut octets = [0xff; 16];
        assert_eq!(wide("0x0123456789abcdef0123456789abcdef/x", &mut octets), Ok(34));
        assert_eq!(hex(&octets), "0x123456789abcdef0123456789abcdef");
        assert_eq!(wide("0x1ffff", &mut octets[..2]), Err(WideError::TooLarge));
        assert_eq!(wide("65536", &mut octets[..2]), Err(WideError::TooLarge));
        assert_eq!(wide("x", &mut octets[..2]), Err(WideError::Syntax));
        assert_eq!(wide("12", &mut octets), Ok(2));
        assert_eq!(hex(&octets), "0xc");
        assert_eq!(hex(&[0, 0]), "0");
    }

    #[test]
    fn durations_have_as_many_decimals_as_they_need() {
        assert_eq!(duration(5, 0), "5s");
        assert_eq!(duration(5, 40_000_000), "5.040s");
        assert_eq!(duration(5, 100), "5.0000001s");
    }
}
