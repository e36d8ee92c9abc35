//! Values of fields: each is read and printed in the form that its row of the table of fields names.

use super::super::field::{Field, FieldId, Format, Maskable};
use super::super::{OfPort, Subfield, Value};
use super::error::{Parsed, Problem, TextError};
use super::names::Names;
use super::number::{self, WideError};
use super::piece::Piece;
use super::{address, flags};

/// Reads a value of `field` and its mask; a mask of ones where none is given. `*` is a value of zeros that no bit of the
/// mask counts.
///
/// Tunnel metadata has no length of its own in text: it gets as many octets as its digits and those of its mask need.
pub(super) fn parse(field: FieldId, piece: Piece<'_>, names: &Names) -> Parsed<(Value, Value)> {
    let row = field.get();
    let width = usize::from(row.octets);
    if piece.text() == "*" {
        return Ok((Value::zero(width), Value::zero(width)));
    }
    let (value, mask) = match row.format {
        Format::Decimal | Format::Hexadecimal => integer(row, piece)?,
        Format::CtState => flag_values(width, flags::CT_STATE.parse(piece)?),
        Format::TcpFlags => flag_values(width, flags::TCP.parse(piece)?),
        Format::TunnelFlags => flag_values(width, flags::TUNNEL.parse(piece)?),
        Format::Ethernet => octet_values(address::ethernet_masked(piece)?),
        Format::Ipv4 => octet_values(address::ipv4_masked(piece)?),
        Format::Ipv6 => octet_values(address::ipv6_masked(piece)?),
        Format::Fragment => {
            let (value, mask) = flags::parse_fragment(piece)?;
            // The bits that mean nothing count as matched, so that both bits are the whole field.
            (Value::from_number(value.into(), width), Value::from_number((mask | !3).into(), width))
        }
        Format::Port16 => {
            let port =
                names.port_or(piece, |text| format!("{text}: invalid or unknown port for {}", row.name))?;
            (Value::from_number(port.0.into(), width), Value::ones(width))
        }
        Format::Port32 => {
            let port =
                names.port_or(piece, |text| format!("{text}: port value out of range for {}", row.name))?;
            (Value::from_number(port.wide().into(), width), Value::ones(width))
        }
        Format::PacketType => (packet_type(piece)?, Value::ones(width)),
    };
    if row.maskable == Maskable::Whole && !mask.is_zero() && !mask.is_all_ones() {
        let wording = format!("{}: invalid mask for field {}", piece.text(), row.name);
        return Err(TextError::new(piece, Problem::NotAllowed, wording).expecting("a value without a mask"));
    }
    Ok(if row.is_variable() { trimmed(value, mask) } else { (value, mask) })
}

/// Reads a value that must not have a mask.
pub(super) fn parse_exact(field: FieldId, piece: Piece<'_>, names: &Names) -> Parsed<Value> {
    let (value, mask) = parse(field, piece, names)?;
    if mask.is_all_ones() {
        return Ok(value);
    }
    let wording = format!("{}: wildcards not allowed here", piece.text());
    Err(TextError::new(piece, Problem::NotAllowed, wording).expecting("a value without a mask"))
}

fn integer(row: &Field, piece: Piece<'_>) -> Parsed<(Value, Value)> {
    let text = piece.text();
    let width = usize::from(row.octets);
    let (mut value, mut mask) = (Value::zero(width), Value::ones(width));
    let failed = |what: &str, error: WideError| {
        let (problem, wording) = match error {
            WideError::TooLarge => {
                (Problem::OutOfRange, format!("{text}: {what} too large for {width}-byte field {}", row.name))
            }
            WideError::Syntax => (Problem::BadValue, format!("{text}: bad syntax for {} {what}", row.name)),
        };
        TextError::new(piece, problem, wording).expecting("a number")
    };
    let length = number::wide(text, value.octets_mut()).map_err(|error| failed("value", error))?;
    match &text[length..] {
        "" => {}
        rest => {
            let rest = rest.strip_prefix('/').ok_or_else(|| failed("value", WideError::Syntax))?;
            let length = number::wide(rest, mask.octets_mut()).map_err(|error| failed("mask", error))?;
            if length != rest.len() {
                return Err(failed("mask", WideError::Syntax));
            }
        }
    }
    Ok((value, mask))
}

fn flag_values(width: usize, (value, mask): (u32, u32)) -> (Value, Value) {
    (Value::from_number(value.into(), width), Value::from_number(mask.into(), width))
}

fn octet_values<const N: usize>((value, mask): ([u8; N], [u8; N])) -> (Value, Value) {
    (octets(&value), octets(&mask))
}

/// Octets as a value; more than a value holds cannot come here.
pub(super) fn octets(octets: &[u8]) -> Value {
    Value::from_octets(octets).unwrap_or_else(|| Value::zero(0))
}

fn packet_type(piece: Piece<'_>) -> Parsed<Value> {
    let text = piece.text();
    let failed = |what: &str| {
        let wording = format!("{text}: bad syntax for packet type {what}");
        TextError::new(piece, Problem::BadForm, wording).expecting("a name space and a type as (1,0x800)")
    };
    let mut value = Value::zero(4);
    let rest = text.strip_prefix('(').ok_or_else(|| failed("missing '('"))?;
    let length = number::wide(rest, &mut value.octets_mut()[..2]).map_err(|_| failed("ns"))?;
    let rest = rest[length..].strip_prefix(',').ok_or_else(|| failed("missing ','"))?;
    let length = number::wide(rest, &mut value.octets_mut()[2..]).map_err(|_| failed("ns_type"))?;
    if rest[length..].starts_with(')') { Ok(value) } else { Err(failed("missing ')'")) }
}

/// Value and mask without the zeros in front that no digit asked for, and with one octet at least.
fn trimmed(value: Value, mask: Value) -> (Value, Value) {
    let significant =
        |value: &Value| value.len() - value.octets().iter().take_while(|octet| **octet == 0).count();
    if mask.is_all_ones() {
        let length = significant(&value).max(1);
        return (value.resized(length), Value::ones(length));
    }
    let length = significant(&value).max(significant(&mask)).max(1);
    (value.resized(length), mask.resized(length))
}

/// Prints a value of `field`, with its mask if that is given and not all ones.
pub(super) fn print(field: FieldId, value: &Value, mask: Option<&Value>, names: &Names) -> String {
    let row = field.get();
    let mask = match mask {
        Some(mask) if mask.is_zero() => return "ANY".to_string(),
        Some(mask) if covers(row, mask) => None,
        mask => mask,
    };
    let number = value.to_u128();
    let mask_or = |ones: u32| mask.map_or(ones, |mask| mask.to_u128() as u32);
    match row.format {
        Format::Port32 if mask.is_none() => {
            let port = OfPort::from_wide(number as u32).unwrap_or(OfPort::NONE);
            names.print_port(port)
        }
        Format::Port16 if mask.is_none() => names.print_port(OfPort(number as u16)),
        Format::Port16 | Format::Port32 | Format::Decimal => match mask {
            None => number.to_string(),
            Some(mask) => format!("{number}/{}", number::hex(mask.octets())),
        },
        Format::Hexadecimal => match mask {
            None => number::hex(value.octets()),
            Some(mask) => format!("{}/{}", number::hex(value.octets()), number::hex(mask.octets())),
        },
        Format::CtState => flags::CT_STATE.print_masked(number as u32, mask_or(u32::MAX), 0xffff),
        Format::TcpFlags => flags::TCP.print_masked(number as u32, mask_or(u32::MAX) & 0xfff, 0xfff),
        Format::TunnelFlags => flags::TUNNEL.print_masked(number as u32, mask_or(u32::MAX) & 1, 1),
        Format::Fragment => flags::print_fragment(number as u8, mask_or(3) as u8).to_string(),
        Format::Ethernet => address::print_ethernet(array(value), mask.map_or([0xff; 6], array)),
        Format::Ipv4 => address::print_ipv4(array(value), mask.map_or([0xff; 4], array)),
        Format::Ipv6 => address::print_ipv6(array(value), mask.map_or([0xff; 16], array)),
        Format::PacketType => print_packet_type(number as u32, mask_or(u32::MAX)),
    }
}

/// Whether a mask has every bit of the field that means something.
pub(super) fn covers(row: &Field, mask: &Value) -> bool {
    if row.is_variable() { mask.is_all_ones() } else { row.ones().and_not(mask).is_zero() }
}

/// A packet type: `eth`, or `packet_type=(1,0x800)`.
pub(super) fn print_packet_type(value: u32, mask: u32) -> String {
    if value == 0 && mask == u32::MAX {
        return "eth".to_string();
    }
    let half = |value: u32, mask: u32| {
        let value = if value > 9 { format!("{value:#x}") } else { value.to_string() };
        match mask {
            0 => "*".to_string(),
            0xffff => value,
            mask => format!("{value}/{mask:#x}"),
        }
    };
    format!("packet_type=({},{})", half(value >> 16, mask >> 16), half(value & 0xffff, mask & 0xffff))
}

/// The low octets of a value.
pub(super) fn array<const N: usize>(value: &Value) -> [u8; N] {
    let resized = value.resized(N);
    resized.octets().try_into().unwrap_or([0; N])
}

/// Reads a field by any of its names.
pub(super) fn parse_field(piece: Piece<'_>) -> Parsed<FieldId> {
    field_of(piece.text()).ok_or_else(|| {
        TextError::new(piece, Problem::UnknownWord, format!("unknown field `{}'", piece.text()))
            .meaning(field_names())
    })
}

fn field_of(name: &str) -> Option<FieldId> {
    FieldId::from_header_name(name)
        .or_else(|| name.strip_suffix("_W").and_then(FieldId::from_header_name))
        .or_else(|| FieldId::from_name(name))
}

/// The names of all fields, for guesses.
pub(super) fn field_names() -> impl Iterator<Item = &'static str> {
    FieldId::all().flat_map(|field| std::iter::once(field.get().name).chain(field.get().other_name))
}

/// Reads a part of a field at the front of `piece`, and returns what is behind it: `reg0`, `reg0[]`, `reg0[3]`,
/// `NXM_NX_REG0[0..15]`.
pub(super) fn leading_subfield(piece: Piece<'_>) -> Parsed<(Subfield, Piece<'_>)> {
    let text = piece.text();
    let name_length = piece.span_until("[-");
    let name = piece.range(0, name_length);
    let field = field_of(name.text()).ok_or_else(|| {
        let wording = format!("{text}: unknown field `{}'", name.text());
        TextError::new(name, Problem::UnknownWord, wording).meaning(field_names())
    })?;
    let width = i64::from(field.get().bits);
    let rest = piece.from(name_length);
    let (start, end, rest) = if rest.text().starts_with('[') {
        let syntax = || {
            let wording = format!("{text}: syntax error expecting [] or [<bit>] or [<start>..<end>]");
            TextError::new(rest, Problem::BadForm, wording)
        };
        let close = rest.text().find(']').ok_or_else(syntax)?;
        let inside = &rest.text()[1..close];
        let (start, end) = if inside.is_empty() {
            (0, width - 1)
        } else {
            let number = |text: &str| number::signed(text, 10).filter(|bit| i32::try_from(*bit).is_ok());
            let (start, end) = inside.split_once("..").unwrap_or((inside, inside));
            (number(start).ok_or_else(syntax)?, number(end).ok_or_else(syntax)?)
        };
        (start, end, rest.from(close + 1))
    } else {
        (0, width - 1, rest)
    };
    let range = |what: &str| {
        TextError::new(piece, Problem::OutOfRange, format!("{text}: {what}"))
            .expecting("bits of the field, the lowest being 0")
    };
    if start > end {
        return Err(range(&format!("starting bit {start} is after ending bit {end}")));
    }
    if start < 0 || start >= width {
        return Err(range(&format!(
            "starting bit {start} is not valid because field is only {width} bits wide"
        )));
    }
    if end >= width {
        return Err(range(&format!("ending bit {end} is not valid because field is only {width} bits wide")));
    }
    Ok((Subfield { field, offset: start as u16, bits: (end - start + 1) as u16 }, rest))
}

/// Reads a part of a field that is the whole of `piece`.
pub(super) fn subfield(piece: Piece<'_>) -> Parsed<Subfield> {
    let (subfield, rest) = leading_subfield(piece)?;
    if rest.is_empty() {
        return Ok(subfield);
    }
    Err(TextError::new(rest, Problem::BadForm, "unexpected input following field syntax")
        .expecting("nothing more"))
}

/// Prints a part of a field by its oldest name on the wire.
pub(super) fn print_subfield(subfield: Subfield) -> String {
    let name = subfield.field.get().header(None).map_or(subfield.field.name(), |header| header.name);
    if subfield.is_whole() {
        format!("{name}[]")
    } else if subfield.bits == 1 {
        format!("{name}[{}]", subfield.offset)
    } else {
        format!("{name}[{}..{}]", subfield.offset, subfield.offset + subfield.bits.max(1) - 1)
    }
}

/// Whether Nicira's actions with headers of 32 bits can name the field: its oldest name is not an experimenter's.
pub(super) fn has_short_name(field: FieldId) -> bool {
    field.get().header(None).is_some_and(|header| header.class.experimenter() == 0)
}

/// Reads the number that `piece` is into a value for `bits` bits of `field`; `whole` is what the wording quotes.
pub(super) fn fitting_integer(
    piece: Piece<'_>,
    subfield: Subfield,
    unreadable: String,
    quoted: &str,
) -> Parsed<Value> {
    let width = usize::from(subfield.field.get().octets);
    let mut value = Value::zero(width);
    match number::wide(piece.text(), value.octets_mut()) {
        Ok(length) if length == piece.text().len() => {}
        _ => return Err(TextError::new(piece, Problem::BadValue, unreadable).expecting("a number")),
    }
    if value.and_not(&Value::low_ones(width, subfield.bits.into())).is_zero() {
        return Ok(value);
    }
    let printed = print(subfield.field, &value, None, &super::names::NUMBERS);
    let wording = format!("{quoted}: value {printed} does not fit into {} bits", subfield.bits);
    Err(TextError::new(piece, Problem::OutOfRange, wording))
}

#[cfg(test)]
mod tests {
    use super::super::names::NUMBERS;
    use super::*;

    fn round(field: &str, text: &str) -> String {
        let field = FieldId::from_name(field).unwrap();
        match parse(field, Piece::whole(text), &NUMBERS) {
            Ok((value, mask)) => print(field, &value, Some(&mask), &NUMBERS),
            Err(error) => error.ovs().to_string(),
        }
    }

    #[test]
    fn values_are_printed_as_open_vswitch_prints_them() {
        for (field, text, printed) in [
            ("reg0", "0x10/0xff", "0x10/0xff"),
            ("reg0", "16", "0x10"),
            ("reg0", "*", "ANY"),
            ("tcp_src", "0x50", "80"),
            ("tcp_src", "0x1230/0xfff0", "4656/0xfff0"),
            ("ct_state", "+trk+new", "+new+trk"),
            ("tcp_flags", "syn|ack", "syn|ack"),
            ("nw_frag", "later", "later"),
            ("nw_frag", "yes", "yes"),
            ("in_port", "local", "LOCAL"),
            ("in_port_oxm", "5", "5"),
            ("eth_dst", "01:00:00:00:00:00/01:00:00:00:00:00", "01:00:00:00:00:00/01:00:00:00:00:00"),
            ("ct_label", "0x1234567890ABCDEF12345678", "0x1234567890abcdef12345678"),
            ("packet_type", "(1,0x800)", "packet_type=(1,0x800)"),
            ("tun_metadata5", "0x1234/0xffff", "0x1234"),
            ("tun_metadata5", "0x1234/0xff", "0x1234/0xff"),
            ("ip_proto", "1/1", "1/1: invalid mask for field nw_proto"),
            ("reg0", "0x123456789", "0x123456789: value too large for 4-byte field reg0"),
            ("reg0", "x", "x: bad syntax for reg0 value"),
            ("reg0", "1/y", "1/y: bad syntax for reg0 mask"),
        ] {
            assert_eq!(round(field, text), printed, "{field}={text}");
        }
    }

    fn part(text: &str) -> String {
        match subfield(Piece::whole(text)) {
            Ok(subfield) => print_subfield(subfield),
            Err(error) => error.ovs().to_string(),
        }
    }

    #[test]
    fn parts_of_fields_in_all_their_forms() {
        for (text, printed) in [
            ("reg0", "NXM_NX_REG0[]"),
            ("NXM_NX_REG0[]", "NXM_NX_REG0[]"),
            ("OXM_OF_ETH_SRC[0..15]", "NXM_OF_ETH_SRC[0..15]"),
            ("reg0[0..31]", "NXM_NX_REG0[]"),
            ("xxreg0[127]", "NXM_NX_XXREG0[127]"),
            ("reg0[32]", "reg0[32]: starting bit 32 is not valid because field is only 32 bits wide"),
            ("reg0[1..32]", "reg0[1..32]: ending bit 32 is not valid because field is only 32 bits wide"),
            ("reg0[5..4]", "reg0[5..4]: starting bit 5 is after ending bit 4"),
            ("reg0[x]", "reg0[x]: syntax error expecting [] or [<bit>] or [<start>..<end>]"),
            ("rex0", "rex0: unknown field `rex0'"),
            ("reg0[]x", "unexpected input following field syntax"),
        ] {
            assert_eq!(part(text), printed, "{text}");
        }
        let error = subfield(Piece::whole("rex0")).unwrap_err();
        assert!(error.near.is_some(), "{error}");
    }
}
