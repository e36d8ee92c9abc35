//! `encap` and `decap`.

use super::super::super::action::{Action, Encap, EncapProperty, USE_NEXT_PROTOCOL};
use super::super::error::{Parsed, Problem, TextError};
use super::super::number;
use super::super::piece::{Piece, Word};
use super::super::protocols::Protocols;
use super::ActionReader;

/// Headers that can be added, by their words and packet types.
pub(in super::super) const HEADERS: [(&str, u32); 4] =
    [("ethernet", 0), ("nsh", 0x0001_894f), ("mpls", 0x0001_8847), ("mpls_mc", 0x0001_8848)];

/// The most octets of a piece of NSH's metadata that text can name.
const MOST_DATA: usize = 125;

impl ActionReader<'_> {
    pub(super) fn encap(&mut self, value: Piece<'_>) -> Parsed<Action> {
        self.protocols &= Protocols::V13_UP;
        let mut rest = value;
        let Some(header) = rest.next_word() else {
            let wording = format!("Missing encap hdr: {}", value.text());
            return Err(
                TextError::new(value, Problem::Missing, wording).expecting("ethernet, nsh, mpls or mpls_mc")
            );
        };
        let Some((_, packet_type)) = HEADERS.iter().find(|(name, _)| *name == header.key.text()) else {
            let wording = format!("Encap hdr not supported: {}", header.value.text());
            return Err(TextError::new(header.key, Problem::UnknownWord, wording)
                .expecting("ethernet, nsh, mpls or mpls_mc")
                .meaning(HEADERS.map(|(name, _)| name)));
        };
        let mut properties = Vec::new();
        let mut rest = header.value;
        while let Some(word) = rest.next_word() {
            properties.push(property(header.key.text() == "nsh", word)?);
        }
        Ok(Action::Encap(Box::new(Encap { packet_type: *packet_type, header_size: 0, properties })))
    }
}

fn property(nsh: bool, word: Word<'_>) -> Parsed<EncapProperty> {
    let key = word.key.text();
    if !nsh || !matches!(key, "md_type" | "tlv") {
        return Err(TextError::new(word.key, Problem::UnknownWord, format!("Invalid property: {key}"))
            .expecting("md_type= or tlv(class,type,data) of nsh")
            .meaning(["md_type", "tlv"]));
    }
    if word.value.is_empty() {
        return Err(TextError::new(word.key, Problem::Missing, "Value missing for encap property"));
    }
    if key == "md_type" {
        return match number::u8(word.value, "md_type")? {
            kind @ 1..=2 => Ok(EncapProperty::NshMdType(kind)),
            _ => Err(TextError::new(word.value, Problem::OutOfRange, "invalid md_type").expecting("1 or 2")),
        };
    }
    tlv(word.value).ok_or_else(|| {
        let wording = format!("Invalid NSH TLV header: {}", word.value.text());
        TextError::new(word.value, Problem::BadForm, wording)
            .expecting("a class, a type and octets as 0x1000,10,0x12345678")
    })
}

fn tlv(piece: Piece<'_>) -> Option<EncapProperty> {
    let mut parts = piece.text().splitn(3, ',');
    let class = u16::from_str_radix(parts.next()?.strip_prefix("0x")?, 16).ok()?;
    let kind = parts.next()?.parse().ok()?;
    let digits = parts.next()?.strip_prefix("0x")?;
    let digits = &digits[..digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len())];
    let (data, _) = number::octets(digits);
    (!digits.is_empty() && data.len() <= MOST_DATA).then_some(EncapProperty::NshTlv { class, kind, data })
}

pub(super) fn decap(value: Piece<'_>) -> Parsed<Action> {
    let mut rest = value;
    let Some(word) = rest.next_word() else {
        return Ok(Action::Decap { packet_type: USE_NEXT_PROTOCOL });
    };
    if word.key.text() != "packet_type" {
        let wording = format!("Invalid decap argument: {}", word.key.text());
        return Err(
            TextError::new(word.key, Problem::UnknownWord, wording).expecting("packet_type(ns=,type=)")
        );
    }
    let mut rest = word.value;
    let mut attribute = |name: &'static str| -> Parsed<Piece<'_>> {
        rest.next_word()
            .filter(|attribute| attribute.key.text() == name)
            .map(|attribute| attribute.value)
            .ok_or_else(|| {
                let wording = format!("Missing packet_type attribute {name}");
                TextError::new(word.value, Problem::Missing, wording).expecting("packet_type(ns=,type=)")
            })
    };
    let space = number::u16(attribute("ns")?, "ns")?;
    if space > 1 {
        let wording = format!("Unsupported ns value: {space}");
        return Err(TextError::new(word.value, Problem::OutOfRange, wording).expecting("0 or 1"));
    }
    let kind = number::u16(attribute("type")?, "type")?;
    Ok(Action::Decap { packet_type: u32::from(space) << 16 | u32::from(kind) })
}
