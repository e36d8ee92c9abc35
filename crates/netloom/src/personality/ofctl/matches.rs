//! Matches of NXM and OXM as people write their fields: `NXM_OF_IN_PORT(0001), NXM_OF_ETH_DST_W(01.../01...)`.

use super::super::client::{Done, say};
use super::compare::read_text;
use super::flows::hexadecimal;
use super::tool::{Tool, dump};
use netloom_proto::openflow::codec::{Reader, Writer};
use netloom_proto::openflow::field::header::WireHeader;
use netloom_proto::openflow::matching::{Match, Rules};
use netloom_proto::openflow::{FieldId, Version};

/// Octets that a match is filled up to a multiple of.
const ALIGNMENT: usize = 8;
/// Class and number of the cookie, which is no field.
const COOKIE: (u16, u8) = (1, 30);
const COOKIE_NAME: &str = "NXM_NX_COOKIE";

/// The header of a field by its name on the wire, or by numbers like `1:30`.
fn header(name: &str) -> Option<(WireHeader, Option<FieldId>)> {
    let bare = |masked, class, field, payload, experimenter| WireHeader {
        class,
        field,
        masked,
        payload,
        experimenter,
    };
    for (name, masked) in [(Some(name), false), (name.strip_suffix("_W"), true)] {
        let Some(name) = name else { continue };
        let twice = if masked { 2 } else { 1 };
        if name == COOKIE_NAME {
            return Some((bare(masked, COOKIE.0, COOKIE.1, 8 * twice, 0), None));
        }
        let Some(field) = FieldId::from_header_name(name) else { continue };
        let row = field.get();
        let named = row.headers.iter().find(|header| header.name == name)?;
        let octets = usize::from(row.octets) * usize::from(twice);
        let payload = u8::try_from(octets).unwrap_or(u8::MAX);
        let wire = bare(masked, named.class.number(), named.field, payload, named.class.experimenter());
        return Some((wire, Some(field)));
    }
    // A number is a header as it stands on the wire.
    let number = name.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let number = number.or_else(|| name.parse().ok()).filter(|number| *number != 0)?;
    let wire = bare(
        number >> 8 & 1 != 0,
        (number >> 16) as u16,
        (number >> 9 & 0x7f) as u8,
        (number & 0xff) as u8,
        0,
    );
    Some((wire, wire.known()))
}

/// Reads a text into entries.
fn entries(text: &str) -> Done<Vec<u8>> {
    let mut writer = Writer::new();
    if text == "<any>" {
        return Ok(Vec::new());
    }
    let mut rest = text.trim_start_matches([',', ' ']);
    while !rest.is_empty() {
        let (name, behind) =
            rest.split_once('(').ok_or_else(|| format!("{text}: missing ( at end of nx_match"))?;
        let (mut wire, field) = header(name).ok_or_else(|| format!("{text}: unknown field `{name}'"))?;
        let (inside, behind) =
            behind.split_once(')').ok_or_else(|| format!("{text}: missing ) following field {name}"))?;
        let (value, mask) = match inside.split_once('/') {
            Some((value, mask)) => (value, Some(mask)),
            None => (inside, None),
        };
        let (value, _) = hexadecimal(value);
        let expected = wire.octets();
        if value.len() != expected {
            if field.is_some_and(|field| field.get().is_variable() && value.len() <= expected) {
                wire.payload = (value.len() * if wire.masked { 2 } else { 1 }) as u8;
            } else {
                return Err(format!("expected to read {expected} bytes but got {}", value.len()).into());
            }
        }
        wire.put(&mut writer);
        writer.bytes(&value);
        if wire.masked {
            let mask = mask.ok_or_else(|| format!("{text}: missing / in masked field {name}"))?;
            let (mask, _) = hexadecimal(mask);
            if mask.len() != value.len() {
                return Err(format!("{}: hex digits expected", inside.get(..2).unwrap_or_default()).into());
            }
            writer.bytes(&mask);
        }
        rest = behind.trim_start_matches([',', ' ']);
    }
    Ok(writer.finish())
}

/// Prints entries by their names on the wire.
fn print(octets: &[u8]) -> String {
    if octets.is_empty() {
        return "<any>".to_owned();
    }
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let mut reader = Reader::new(octets);
    let mut all = Vec::new();
    while !reader.is_empty() {
        let left = reader.len();
        let Ok(wire) = WireHeader::take(&mut reader) else {
            all.push(format!("<{left} invalid bytes>"));
            break;
        };
        let Ok(payload) = reader.take(wire.payload.into()) else {
            all.push(format!("<{left} invalid bytes>"));
            break;
        };
        let (value, mask) = payload.split_at(wire.octets());
        let named = wire.known().and_then(|field| {
            let headers = field.get().headers;
            headers.iter().find(|header| header.class.number() == wire.class && header.field == wire.field)
        });
        // A field of MPLS has the same number, and another length.
        let is_cookie = (wire.class, wire.field) == COOKIE && value.len() == 8;
        let name = match named {
            _ if is_cookie => COOKIE_NAME.to_owned(),
            Some(header) => header.name.to_owned(),
            None => format!("{}:{}", wire.class, wire.field),
        };
        all.push(if wire.masked {
            format!("{name}_W({}/{})", hex(value), hex(mask))
        } else {
            format!("{name}({})", hex(value))
        });
    }
    all.join(", ")
}

/// Reads texts from standard input, makes matches of them, and prints those again.
fn again(tool: &mut Tool, version: Option<Version>) -> Done {
    let rules = if tool.options.strict { Rules::STRICT } else { Rules::LOOSE };
    for line in read_text("-")?.lines() {
        if line.starts_with('#') {
            say(&format!("{line}\n"));
            continue;
        }
        let text = line.split('#').next().unwrap_or_default();
        if text.trim().is_empty() {
            say("\n");
            continue;
        }
        match Match::take_entries(&entries(text)?, rules) {
            Err(error) => say(&format!("nx_pull_match() returned error {}\n", error.name())),
            Ok((read, cookie)) => {
                let mut writer = Writer::new();
                let cookie = cookie.filter(|_| version.is_none());
                read.put_entries(version, cookie, &mut writer);
                let mut octets = writer.finish();
                say(&format!("{}\n", print(&octets)));
                if tool.options.detail > 0 {
                    if version.is_some() {
                        let mut writer = Writer::new();
                        read.put_oxm(version.unwrap_or(Version::V12), &mut writer);
                        octets = writer.finish();
                    } else {
                        octets.resize(octets.len().next_multiple_of(ALIGNMENT), 0);
                    }
                    say(&dump(&octets, false));
                }
            }
        }
    }
    Ok(())
}

pub(super) fn nxm(tool: &mut Tool) -> Done {
    again(tool, None)
}

pub(super) fn oxm(tool: &mut Tool) -> Done {
    let name = tool.options.word(1).unwrap_or_default().to_owned();
    let version = Version::from_name(&name).filter(|version| *version >= Version::V12);
    let version = version.ok_or_else(|| format!("{name}: not a valid version for OXM"))?;
    again(tool, Some(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_printed() {
        for text in [
            "NXM_OF_IN_PORT(0001)",
            "NXM_OF_ETH_DST_W(010000000000/010000000000), NXM_NX_COOKIE(00000000abcdef01)",
            "OXM_OF_ETH_TYPE(0800), OXM_OF_IPV4_SRC_W(ac100014/ffff0000)",
        ] {
            assert_eq!(print(&entries(text).unwrap()), text);
        }
    }
}
