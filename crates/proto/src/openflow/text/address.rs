//! Addresses of the language: Ethernet, IPv4 and IPv6, alone, with a prefix length and with any mask.

use super::error::{Parsed, Problem, TextError};
use super::number;
use super::piece::Piece;
use std::net::Ipv6Addr;

/// An Ethernet address at the front of a text, and the bytes it took.
fn leading_ethernet(text: &str) -> Option<([u8; 6], usize)> {
    let mut address = [0u8; 6];
    let mut at = 0;
    for (index, octet) in address.iter_mut().enumerate() {
        if index > 0 {
            if !text[at..].starts_with(':') {
                return None;
            }
            at += 1;
        }
        let digits = text[at..].bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
        *octet = u8::from_str_radix(text.get(at..at + digits)?, 16).ok()?;
        at += digits;
    }
    Some((address, at))
}

/// An Ethernet address and its mask, all ones if none is given.
pub(super) fn ethernet_masked(piece: Piece<'_>) -> Parsed<([u8; 6], [u8; 6])> {
    let read = || {
        let (address, length) = leading_ethernet(piece.text())?;
        let rest = &piece.text()[length..];
        if rest.is_empty() {
            return Some((address, [0xff; 6]));
        }
        let (mask, length) = leading_ethernet(rest.strip_prefix('/')?)?;
        (length + 1 == rest.len()).then_some((address, mask))
    };
    read().ok_or_else(|| {
        TextError::new(piece, Problem::BadValue, format!("{}: invalid Ethernet address", piece.text()))
            .expecting(
                "an address as 00:11:22:33:44:55, or one with a mask as 01:00:00:00:00:00/01:00:00:00:00:00",
            )
    })
}

/// An Ethernet address as the old actions take it.
pub(super) fn ethernet(piece: Piece<'_>) -> Parsed<[u8; 6]> {
    leading_ethernet(piece.text()).map(|(address, _)| address).ok_or_else(|| {
        TextError::new(piece, Problem::BadValue, format!("invalid mac address {}", piece.text()))
            .expecting("an address as 00:11:22:33:44:55")
    })
}

/// An IPv4 address at the front of a text, and the bytes it took.
pub(super) fn leading_ipv4(text: &str) -> Option<([u8; 4], usize)> {
    let mut address = [0u8; 4];
    let mut at = 0;
    for (index, octet) in address.iter_mut().enumerate() {
        if index > 0 {
            if text.as_bytes().get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let digits = text.as_bytes()[at..].iter().take_while(|byte| byte.is_ascii_digit());
        let (length, value) = digits.fold((0, 0_u32), |(length, value), digit| {
            (length + 1, value.saturating_mul(10).saturating_add(u32::from(digit - b'0')))
        });
        if length == 0 {
            return None;
        }
        *octet = u8::try_from(value).ok()?;
        at += length;
    }
    Some((address, at))
}

/// An IPv4 address with its mask: `10.0.0.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`.
pub(super) fn ipv4_masked(piece: Piece<'_>) -> Parsed<([u8; 4], [u8; 4])> {
    let invalid = || {
        TextError::new(piece, Problem::BadValue, format!("{}: invalid IP address", piece.text()))
            .expecting("an address as 10.0.0.1, 10.0.0.0/8 or 10.0.0.0/255.0.0.0")
    };
    let (address, length) = leading_ipv4(piece.text()).ok_or_else(invalid)?;
    let rest = &piece.text()[length..];
    let Some(mask) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Ok((address, [0xff; 4])) } else { Err(invalid()) };
    };
    if let Some((mask, length)) = leading_ipv4(mask) {
        return if length + 1 == rest.len() { Ok((address, mask)) } else { Err(invalid()) };
    }
    let prefix = number::signed(mask, 10).ok_or_else(invalid)?;
    if !(0..=32).contains(&prefix) {
        let wording = format!("{}: IPv4 network prefix bits not between 0 and 32, inclusive", piece.text());
        return Err(TextError::new(piece, Problem::OutOfRange, wording));
    }
    let mask = u32::MAX.checked_shl(32 - prefix as u32).unwrap_or(0);
    Ok((address, mask.to_be_bytes()))
}

/// An IPv4 address as the old actions take it.
pub(super) fn ipv4(piece: Piece<'_>) -> Parsed<[u8; 4]> {
    leading_ipv4(piece.text())
        .filter(|(_, length)| *length == piece.text().len())
        .map(|(address, _)| address)
        .ok_or_else(|| {
            let wording = format!("{}: could not convert to IP address", piece.text());
            TextError::new(piece, Problem::BadValue, wording).expecting("an address as 10.0.0.1")
        })
}

/// An IPv6 address at the front of a text, and the bytes it took.
pub(super) fn leading_ipv6(text: &str) -> Option<([u8; 16], usize)> {
    let length =
        text.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, ':' | '.'))).unwrap_or(text.len());
    text[..length].parse::<Ipv6Addr>().ok().map(|address| (address.octets(), length))
}

/// An IPv6 address with its mask: `fe80::1`, `fe80::/10`, `::1/::ffff`.
pub(super) fn ipv6_masked(piece: Piece<'_>) -> Parsed<([u8; 16], [u8; 16])> {
    let invalid = || {
        TextError::new(piece, Problem::BadValue, format!("{}: invalid IPv6 address", piece.text()))
            .expecting("an address as fe80::1, fe80::/10 or ::1/::ffff")
    };
    let (address, length) = leading_ipv6(piece.text()).ok_or_else(invalid)?;
    let rest = &piece.text()[length..];
    let Some(mask) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Ok((address, [0xff; 16])) } else { Err(invalid()) };
    };
    if let Some(prefix) = number::signed(mask, 10) {
        if !(0..=128).contains(&prefix) {
            let wording =
                format!("{}: IPv6 network prefix bits not between 0 and 128, inclusive", piece.text());
            return Err(TextError::new(piece, Problem::OutOfRange, wording));
        }
        return Ok((address, u128::MAX.checked_shl(128 - prefix as u32).unwrap_or(0).to_be_bytes()));
    }
    match leading_ipv6(mask) {
        Some((mask, length)) if length + 1 == rest.len() => Ok((address, mask)),
        Some(_) => Err(invalid()),
        None => {
            let wording = format!("{}: Invalid IPv6 mask", piece.text());
            Err(TextError::new(piece, Problem::BadValue, wording))
        }
    }
}

/// The prefix length of a mask, if it is one of leading ones.
pub(super) fn prefix_length(mask: &[u8]) -> Option<u32> {
    let ones: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
    let leading = mask.iter().try_fold(0u32, |sum, octet| match octet.leading_ones() {
        8 => Ok(sum + 8),
        some => Err(sum + some),
    });
    let (Ok(leading) | Err(leading)) = leading;
    (leading == ones).then_some(leading)
}

/// An Ethernet address, with its mask if that is not all ones.
pub(super) fn print_ethernet(address: [u8; 6], mask: [u8; 6]) -> String {
    match mask {
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => plain_ethernet(address),
        mask => format!("{}/{}", plain_ethernet(address), plain_ethernet(mask)),
    }
}

fn plain_ethernet(a: [u8; 6]) -> String {
    format!("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", a[0], a[1], a[2], a[3], a[4], a[5])
}

/// An IPv4 address.
pub(super) fn plain_ipv4(a: [u8; 4]) -> String {
    let mut out = String::new();
    put_plain_ipv4(&mut out, a);
    out
}

fn put_plain_ipv4(out: &mut String, address: [u8; 4]) {
    for (at, octet) in address.into_iter().enumerate() {
        if at > 0 {
            out.push('.');
        }
        number::put_decimal(out, octet);
    }
}

/// An IPv4 address, with prefix length or mask if not all of it counts.
pub(super) fn print_ipv4(address: [u8; 4], mask: [u8; 4]) -> String {
    let mut out = String::new();
    put_ipv4(&mut out, address, mask);
    out
}

/// Appends what [`print_ipv4`] prints.
pub(super) fn put_ipv4(out: &mut String, address: [u8; 4], mask: [u8; 4]) {
    put_plain_ipv4(out, address);
    match prefix_length(&mask) {
        Some(32) => {}
        Some(length) => {
            out.push('/');
            number::put_decimal(out, length);
        }
        None => {
            out.push('/');
            put_plain_ipv4(out, mask);
        }
    }
}

/// An IPv6 address as `inet_ntop` writes it: the lower 32 bits in dots behind 96 zero bits too, unless they are small.
pub(super) fn plain_ipv6(octets: [u8; 16]) -> String {
    let address = Ipv6Addr::from(octets);
    let segments = address.segments();
    if segments[..6].iter().all(|segment| *segment == 0) && segments[6] != 0 {
        let [.., a, b, c, d] = octets;
        return format!("::{}", plain_ipv4([a, b, c, d]));
    }
    address.to_string()
}

/// An IPv6 address, with prefix length or mask if not all of it counts.
pub(super) fn print_ipv6(address: [u8; 16], mask: [u8; 16]) -> String {
    match prefix_length(&mask) {
        Some(128) => plain_ipv6(address),
        Some(length) => format!("{}/{length}", plain_ipv6(address)),
        None => format!("{}/{}", plain_ipv6(address), plain_ipv6(mask)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> String {
        match ipv4_masked(Piece::whole(text)) {
            Ok((address, mask)) => print_ipv4(address, mask),
            Err(error) => error.ovs().to_string(),
        }
    }

    fn v6(text: &str) -> String {
        match ipv6_masked(Piece::whole(text)) {
            Ok((address, mask)) => print_ipv6(address, mask),
            Err(error) => error.ovs().to_string(),
        }
    }

    #[test]
    fn ipv4_in_all_its_forms() {
        assert_eq!(v4("1.2.3.4"), "1.2.3.4");
        assert_eq!(v4("1.2.3.4/32"), "1.2.3.4");
        assert_eq!(v4("10.0.0.0/255.0.0.0"), "10.0.0.0/8");
        assert_eq!(v4("1.2.3.4/0.255.0.0"), "1.2.3.4/0.255.0.0");
        assert_eq!(v4("1.2.3.4/0"), "1.2.3.4/0");
        assert_eq!(v4("1.2.3.4/33"), "1.2.3.4/33: IPv4 network prefix bits not between 0 and 32, inclusive");
        assert_eq!(v4("1.2.3"), "1.2.3: invalid IP address");
        assert_eq!(v4("1.2.3.4x"), "1.2.3.4x: invalid IP address");
    }

    #[test]
    fn ipv6_in_all_its_forms() {
        assert_eq!(v6("fe80::1"), "fe80::1");
        assert_eq!(v6("fe80::/10"), "fe80::/10");
        assert_eq!(v6("::1/::ffff"), "::1/::ffff");
        assert_eq!(v6("::/::ffff:ffff"), "::/::255.255.255.255");
        assert_eq!(v6("::1/129"), "::1/129: IPv6 network prefix bits not between 0 and 128, inclusive");
        assert_eq!(v6("g::"), "g::: invalid IPv6 address");
    }

    #[test]
    fn ethernet_in_all_its_forms() {
        let (address, mask) = ethernet_masked(Piece::whole("01:00:5e:0:0:0/ff:ff:ff:80:00:00")).unwrap();
        assert_eq!(print_ethernet(address, mask), "01:00:5e:00:00:00/ff:ff:ff:80:00:00");
        let error = ethernet_masked(Piece::whole("01:00:5e:0:0")).unwrap_err();
        assert_eq!(error.ovs(), "01:00:5e:0:0: invalid Ethernet address");
        assert!(ethernet_masked(Piece::whole("é:0:0:0:0:0")).is_err());
    }
}
