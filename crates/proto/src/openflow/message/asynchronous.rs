//! Which messages a controller wants that it did not ask for (OpenFlow 1.5, 7.3.10; Nicira's extensions).
//!
//! What: a mask for each kind of message and each of two roles; bit n stands for the reason whose number is n. The old
//! messages say three masks for each role, the new ones as many as they like, and leave the others as they are.

use super::octets::Decoded;
use super::property::{self, PropertyKind};
use super::{EncodeError, Encoded};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::{OfError, Version};

/// How a controller says which messages it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsyncFormat {
    /// The standard's: six masks in version 1.3, properties from 1.4 on.
    Standard,
    /// Nicira's: six masks.
    Nicira,
    /// Nicira's: properties; up to version 1.3.
    Nicira2,
}

impl AsyncFormat {
    fn has_properties(self, version: Version) -> bool {
        match self {
            Self::Standard => version >= Version::V14,
            Self::Nicira => false,
            Self::Nicira2 => true,
        }
    }
}

/// Masks for the kinds of messages. What is not said stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AsyncMasks {
    /// Packets for the controller.
    pub packet_in: Option<u32>,
    /// Changes of ports.
    pub port_status: Option<u32>,
    /// Flows that went away.
    pub flow_removed: Option<u32>,
    /// Changes of the role.
    pub role_status: Option<u32>,
    /// Changes of tables.
    pub table_status: Option<u32>,
    /// Requests of other controllers.
    pub request_forward: Option<u32>,
    /// Statistics that a trigger set off; version 1.5.
    pub flow_statistics: Option<u32>,
    /// Changes of controllers; version 1.5.
    pub controller_status: Option<u32>,
}

const KINDS: usize = 8;

/// Reasons that exist, by kind: up to version 1.3, and from 1.4 on.
const LEGAL: [(u32, u32); KINDS] = [
    (0x07, 0x3f),
    (0x07, 0x07),
    (0x3f, 0x3f),
    (0x07, 0x07),
    (0x18, 0x18),
    (0x03, 0x03),
    (0, 0x03),
    (0, 0x3f),
];

/// The first kind that only version 1.5 has.
const FIRST_OF_15: usize = 6;

fn legal(version: Version, kind: usize) -> u32 {
    match LEGAL.get(kind) {
        Some(_) if kind >= FIRST_OF_15 && version < Version::V15 => 0,
        Some((old, new)) => {
            if version >= Version::V14 {
                *new
            } else {
                *old
            }
        }
        None => 0,
    }
}

impl AsyncMasks {
    fn list(&self) -> [Option<u32>; KINDS] {
        [
            self.packet_in,
            self.port_status,
            self.flow_removed,
            self.role_status,
            self.table_status,
            self.request_forward,
            self.flow_statistics,
            self.controller_status,
        ]
    }

    fn place(&mut self, kind: usize) -> Option<&mut Option<u32>> {
        match kind {
            0 => Some(&mut self.packet_in),
            1 => Some(&mut self.port_status),
            2 => Some(&mut self.flow_removed),
            3 => Some(&mut self.role_status),
            4 => Some(&mut self.table_status),
            5 => Some(&mut self.request_forward),
            6 => Some(&mut self.flow_statistics),
            7 => Some(&mut self.controller_status),
            _ => None,
        }
    }

    /// These masks where they are said, the others where not.
    #[must_use]
    pub fn over(mut self, others: &Self) -> Self {
        for (kind, other) in others.list().into_iter().enumerate() {
            if let Some(place @ None) = self.place(kind) {
                *place = other;
            }
        }
        self
    }
}

/// Which messages a controller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AsyncConfig {
    /// As primary or as equal.
    pub primary: AsyncMasks,
    /// As secondary.
    pub secondary: AsyncMasks,
}

impl AsyncConfig {
    /// What a controller gets that said nothing.
    #[must_use]
    pub fn usual(version: Version) -> Self {
        let removed = match version {
            Version::V10 | Version::V11 | Version::V12 => 0x07,
            Version::V13 => 0x0f,
            Version::V14 | Version::V15 => 0x3f,
        };
        let none = AsyncMasks {
            packet_in: Some(0),
            port_status: Some(0x07),
            flow_removed: Some(0),
            role_status: Some(0),
            table_status: Some(0),
            request_forward: Some(0),
            flow_statistics: Some(0),
            controller_status: Some(0),
        };
        // All reasons but a time to live that ran out: those that a version does not have are told as others.
        let primary = AsyncMasks { packet_in: Some(0x3b), flow_removed: Some(removed), ..none };
        Self { primary, secondary: none }
    }

    /// What this says where it says something, what the other says elsewhere.
    #[must_use]
    pub fn over(self, other: &Self) -> Self {
        Self { primary: self.primary.over(&other.primary), secondary: self.secondary.over(&other.secondary) }
    }
}

/// A controller says which messages it wants, or a switch says which ones it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsyncMessage {
    /// How it is said.
    pub format: AsyncFormat,
    /// What is said.
    pub config: AsyncConfig,
}

impl AsyncMessage {
    /// Reasons that the version does not have are an error where they are asked for by properties, and passed over
    /// elsewhere.
    pub(super) fn decode(
        version: Version,
        format: AsyncFormat,
        set: bool,
        body: &mut Reader<'_>,
    ) -> Decoded<Self> {
        let mut config = AsyncConfig::default();
        if !format.has_properties(version) {
            for kind in 0..3 {
                for masks in [&mut config.primary, &mut config.secondary] {
                    let mask = body.u32()? & legal(version, kind);
                    if let Some(place) = masks.place(kind) {
                        *place = Some(mask);
                    }
                }
            }
            return Ok(Self { format, config });
        }
        while !body.is_empty() {
            let property = property::next_with(body, 8, 0xfffe)?;
            let PropertyKind::Standard(number) = property.kind else {
                return Err(OfError::OFPACFC_UNSUPPORTED);
            };
            let (kind, primary) = (usize::from(number / 2), number & 1 != 0);
            let masks = if primary { &mut config.primary } else { &mut config.secondary };
            let Some(place) = masks.place(kind).filter(|_| kind < FIRST_OF_15 || version >= Version::V15)
            else {
                return Err(OfError::OFPACFC_UNSUPPORTED);
            };
            let mask = property.u32()?;
            if set && mask & !legal(version, kind) != 0 {
                return Err(OfError::OFPACFC_INVALID);
            }
            *place = Some(mask & legal(version, kind));
        }
        Ok(Self { format, config })
    }

    pub(super) fn encode(&self, version: Version, writer: &mut Writer) -> Encoded {
        let (primary, secondary) = (self.config.primary.list(), self.config.secondary.list());
        let pairs = primary.into_iter().zip(secondary).enumerate();
        if !self.format.has_properties(version) {
            for (kind, (primary, secondary)) in pairs {
                if kind < 3 {
                    writer.u32(primary.unwrap_or(0) & legal(version, kind));
                    writer.u32(secondary.unwrap_or(0) & legal(version, kind));
                } else if primary.or(secondary).is_some_and(|mask| mask != 0) {
                    return Err(EncodeError::Unsayable {
                        version,
                        what: "whether messages of newer versions are wanted",
                    });
                }
            }
            return Ok(());
        }
        for (kind, (primary, secondary)) in pairs {
            if kind >= FIRST_OF_15 && version < Version::V15 {
                continue;
            }
            for (number, mask) in (2 * kind as u16..).zip([secondary, primary]) {
                if let Some(mask) = mask {
                    property::put_u32(writer, number, mask & legal(version, kind));
                }
            }
        }
        Ok(())
    }
}
