//! The name under which Open vSwitch prints a message: `OFPT_HELLO`, `NXST_FLOW reply`, `ONFT_BUNDLE_CONTROL`.

use super::multipart::head_of;
use super::octets::Decoded;
use super::{Header, Kind, lengths};
use crate::openflow::error::Owner;
use crate::openflow::{OfError, Version};

const fn prefix(owner: Owner, statistics: bool) -> &'static str {
    match (owner, statistics) {
        (Owner::Standard, false) => "OFPT",
        (Owner::Standard, true) => "OFPST",
        (Owner::Nicira, false) => "NXT",
        (Owner::Nicira, true) => "NXST",
        (Owner::Onf, false) => "ONFT",
        (Owner::Onf, true) => "ONFST",
    }
}

/// The name of the message with these octets. Its body need not be there whole.
///
/// # Errors
/// If the header is not whole, or its version, type, statistics or experimenter is not known.
pub fn title(octets: &[u8]) -> Result<String, OfError> {
    let (owner, kind, mut body) = Kind::and_body(octets)?;
    let way = match kind {
        Kind::MultipartRequest => "request",
        Kind::MultipartReply => "reply",
        _ => return Ok(format!("{}_{}", prefix(owner, false), kind.name())),
    };
    let version = octets.first().and_then(|version| Version::from_wire(*version));
    let (owner, kind) = head_of(version.ok_or(OfError::OFPBRC_BAD_VERSION)?, &mut body)?;
    Ok(format!("{}_{} {way}", prefix(owner, true), kind.name()))
}

/// The name of a whole message, whose length is looked at too, as Open vSwitch does before anything else.
///
/// # Errors
/// As [`title`]; and if no such message is so long.
pub fn title_of_whole(octets: &[u8]) -> Result<String, OfError> {
    let title = title(octets)?;
    let (owner, kind, body) = Kind::and_body(octets)?;
    check(octets, owner, kind, body.len())?;
    Ok(title)
}

fn check(octets: &[u8], owner: Owner, kind: Kind, length: usize) -> Decoded<()> {
    let version = Header::parse(octets).and_then(|header| Version::from_wire(header.version));
    lengths::check(version.unwrap_or(Version::V10), owner, kind, length)
}
