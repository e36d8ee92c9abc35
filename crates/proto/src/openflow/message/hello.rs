//! Hello: which versions a side speaks (OpenFlow 1.5, 7.5.1).

use crate::openflow::Version;
use crate::openflow::codec::{Reader, Writer};
use std::fmt;

/// A set of versions: bit n stands for the version whose number on the wire is n.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Versions(u32);

impl Versions {
    /// All versions that are known here.
    pub const ALL: Self = Self(0b111_1110);

    /// The set with these bits; there is no version 0.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & !1)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// This version and all before it.
    #[must_use]
    pub const fn up_to(number: u8) -> Self {
        Self(if number < 31 { (1 << (number + 1)) - 2 } else { u32::MAX - 1 })
    }

    /// Whether the version is in the set.
    #[must_use]
    pub const fn contains(self, version: Version) -> bool {
        self.0 & (1 << version.wire()) != 0
    }

    /// The versions that both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The number of the newest version, or 0 if the set is empty.
    #[must_use]
    pub const fn newest_number(self) -> u8 {
        if self.0 == 0 { 0 } else { 31 - self.0.leading_zeros() as u8 }
    }

    /// The newest version that is known here.
    #[must_use]
    pub const fn newest(self) -> Option<Version> {
        Version::from_wire(self.and(Self::ALL).newest_number())
    }

    /// The versions of the set that are known here, oldest first.
    pub fn iter(self) -> impl Iterator<Item = Version> {
        Version::ALL.into_iter().filter(move |version| self.contains(*version))
    }
}

impl FromIterator<Version> for Versions {
    fn from_iter<T: IntoIterator<Item = Version>>(versions: T) -> Self {
        Self(versions.into_iter().fold(0, |bits, version| bits | 1 << version.wire()))
    }
}

impl From<Version> for Versions {
    fn from(version: Version) -> Self {
        Self(1 << version.wire())
    }
}

/// As Open vSwitch says it: `version 0x04`, `version 0x06 and earlier`, `versions 0x01, 0x04`.
impl fmt::Display for Versions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = self.newest_number();
        match self.0.count_ones() {
            0 => formatter.write_str("no versions"),
            1 => write!(formatter, "version {newest:#04x}"),
            _ if *self == Self::up_to(newest) => write!(formatter, "version {newest:#04x} and earlier"),
            _ => {
                let numbers = (1..32_u8).filter(|number| self.0 & (1 << number) != 0);
                let numbers: Vec<String> = numbers.map(|number| format!("{number:#04x}")).collect();
                write!(formatter, "versions {}", numbers.join(", "))
            }
        }
    }
}

impl fmt::Debug for Versions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Versions({:#x})", self.0)
    }
}

/// The first message of each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Version in the header: the newest one that the side speaks. Legal values: from 1 on, unknown ones too.
    pub newest: u8,
    /// The set of versions, if the side sends one.
    pub bitmap: Option<Versions>,
}

const VERSION_BITMAP: u16 = 1;

impl Hello {
    /// What a side that speaks these versions says. The set is left out where the newest version says it all.
    #[must_use]
    pub fn of(versions: Versions) -> Self {
        let newest = versions.newest_number();
        Self { newest, bitmap: (versions != Versions::up_to(newest)).then_some(versions) }
    }

    /// The versions that the side speaks.
    #[must_use]
    pub fn versions(&self) -> Versions {
        self.bitmap.unwrap_or(Versions::up_to(self.newest))
    }

    /// Whatever an element says that is not understood is passed over: a hello must not fail for what is new in it.
    pub(super) fn decode(newest: u8, mut body: Reader<'_>) -> Self {
        let mut hello = Self { newest, bitmap: None };
        while let Some(bitmap) = hello_element(&mut body) {
            hello.bitmap = bitmap.or(hello.bitmap);
        }
        hello
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        if let Some(versions) = self.bitmap {
            writer.u16(VERSION_BITMAP);
            writer.u16(8);
            writer.u32(versions.bits());
        }
    }
}

/// Takes the next element, and says what set it holds. The end of the elements, or of what can be understood, is nothing.
fn hello_element(body: &mut Reader<'_>) -> Option<Option<Versions>> {
    let mut element = Reader::new(body.rest());
    let (kind, length) = (element.u16().ok()?, element.u16().ok()?);
    let mut value = element.sub(usize::from(length).checked_sub(4)?).ok()?;
    body.skip(usize::from(length).next_multiple_of(8)).ok()?;
    let usable = kind == VERSION_BITMAP && !value.is_empty() && value.len().is_multiple_of(4);
    let versions = Versions::from_bits(if usable { value.u32().ok()? } else { 0 });
    Some((versions.bits() != 0).then_some(versions))
}
