//! What messages read and write beside plain numbers: ports, addresses, text in fields of fixed length.

use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, OfPort, Version};
use netloom_wire::MacAddr;

/// What comes of reading a piece of a message.
pub(super) type Decoded<T> = Result<T, OfError>;

/// More ways to read.
pub(super) trait ReadMore<'a> {
    /// Everything that is left, which is taken.
    fn all(&mut self) -> &'a [u8];
    /// An Ethernet address.
    fn mac(&mut self) -> Decoded<MacAddr>;
    /// A port in 16 bits.
    fn port16(&mut self) -> Decoded<OfPort>;
    /// A port in 32 bits.
    fn port32(&mut self) -> Decoded<OfPort>;
    /// A port as the version writes it: 16 bits in OpenFlow 1.0, 32 since.
    fn port(&mut self, version: Version) -> Decoded<OfPort> {
        if version == Version::V10 { self.port16() } else { self.port32() }
    }
    /// Text in a field of fixed length, up to its first zero.
    fn text(&mut self, length: usize) -> Decoded<String>;
}

impl<'a> ReadMore<'a> for Reader<'a> {
    fn all(&mut self) -> &'a [u8] {
        let all = self.rest();
        // Cannot fail: so many octets are there.
        let _ = self.skip(all.len());
        all
    }

    fn mac(&mut self) -> Decoded<MacAddr> {
        self.array().map(MacAddr::new)
    }

    fn port16(&mut self) -> Decoded<OfPort> {
        self.u16().map(OfPort)
    }

    fn port32(&mut self) -> Decoded<OfPort> {
        self.u32().and_then(|number| OfPort::from_wide(number).ok_or(OfError::OFPBAC_BAD_OUT_PORT))
    }

    fn text(&mut self, length: usize) -> Decoded<String> {
        let octets = self.take(length)?;
        let end = octets.iter().position(|&octet| octet == 0).unwrap_or(length);
        let mut text = String::from_utf8_lossy(octets.get(..end).unwrap_or_default()).into_owned();
        shorten(&mut text, length);
        Ok(text)
    }
}

/// Cuts text to what a field of fixed length can hold with the zero at its end.
fn shorten(text: &mut String, length: usize) {
    let mut end = text.len().min(length.saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// More ways to write.
pub(super) trait WriteMore {
    /// An Ethernet address.
    fn mac(&mut self, address: MacAddr);
    /// A port in 16 bits.
    fn port16(&mut self, port: OfPort);
    /// A port in 32 bits.
    fn port32(&mut self, port: OfPort);
    /// A port as the version writes it.
    fn port(&mut self, version: Version, port: OfPort) {
        if version == Version::V10 { self.port16(port) } else { self.port32(port) }
    }
    /// Text in a field of fixed length, cut where it is too long.
    fn text(&mut self, text: &str, length: usize);
}

impl WriteMore for Writer {
    fn mac(&mut self, address: MacAddr) {
        self.bytes(&address.octets());
    }

    fn port16(&mut self, port: OfPort) {
        self.u16(port.0);
    }

    fn port32(&mut self, port: OfPort) {
        self.u32(port.wide());
    }

    fn text(&mut self, text: &str, length: usize) {
        let mut text = text.to_owned();
        shorten(&mut text, length);
        self.bytes(text.as_bytes());
        self.zeros(length - text.len());
    }
}

/// A span of time as messages write it: seconds, and nanoseconds beyond them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Age {
    /// Whole seconds.
    pub seconds: u32,
    /// Nanoseconds beyond the seconds. Legal values: below 1 000 000 000; others are kept as they came.
    pub nanoseconds: u32,
}

impl Age {
    /// The age of something that lives for so long. Longer than 136 years is cut.
    #[must_use]
    pub fn of(age: std::time::Duration) -> Self {
        Self { seconds: u32::try_from(age.as_secs()).unwrap_or(u32::MAX), nanoseconds: age.subsec_nanos() }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self { seconds: reader.u32()?, nanoseconds: reader.u32()? })
    }

    pub(super) fn encode(self, writer: &mut Writer) {
        writer.u32(self.seconds);
        writer.u32(self.nanoseconds);
    }
}
