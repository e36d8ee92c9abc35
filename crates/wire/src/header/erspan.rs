//! ERSPAN: mirrored frames over GRE (draft-foschiano-erspan-03 section 4).
//!
//! Type I has no header of its own: the mirrored frame follows a GRE header without a sequence number. So [`Kind::of`]
//! asks the GRE header first, and [`View`] reads types II and III.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, fits, gre, illegal, span, truncated};
use crate::EtherType;

const II_LEN: usize = 8;
const III_LEN: usize = 12;
const PLATFORM_LEN: usize = 8;

/// Which form of ERSPAN a GRE header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No header: the frame follows at once.
    I,
    /// Eight bytes.
    II,
    /// Twelve bytes and perhaps eight of the platform's.
    III,
}

impl Kind {
    /// The form behind a GRE header; `None` when it announces something else.
    #[must_use]
    pub fn of(header: &gre::Repr) -> Option<Self> {
        match (header.protocol, header.sequence) {
            (EtherType::ERSPAN, None) => Some(Self::I),
            (EtherType::ERSPAN, Some(_)) => Some(Self::II),
            (EtherType::ERSPAN_III, _) => Some(Self::III),
            _ => None,
        }
    }
}

view! {
    /// An ERSPAN header of type II or III and the mirrored frame after it.
    Erspan, 8 bytes, check;
    /// 1 for type II, 2 for type III.
    version: u8 [0, u8, 4, 0xf];
    /// VLAN of the mirrored frame.
    vlan / set_vlan: u16 [0, u16, 0, 0xfff];
    /// Class of service of the mirrored frame.
    class_of_service / set_class_of_service: u8 [2, u8, 5, 0x7];
    /// Type II: what became of the frame's tag. Type III: whether the frame is bad, short or oversized.
    trunk_or_error / set_trunk_or_error: u8 [2, u8, 3, 0x3];
    /// The mirrored frame was cut.
    truncated / set_truncated: bool [2, u8, 2, 0x1];
    /// Which mirror session.
    session / set_session: u16 [2, u16, 0, 0x3ff];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let length = header_len(bytes)?;
    if length > bytes.len() { Err(truncated(HeaderKind::Erspan, length, bytes.len())) } else { Ok(()) }
}

fn header_len(bytes: &[u8]) -> Result<usize, Malformed> {
    match u8::read(bytes, 0) >> 4 {
        1 => Ok(II_LEN),
        2 if u8::read(bytes, 11) & 1 == 1 => Ok(III_LEN + PLATFORM_LEN),
        2 => Ok(III_LEN),
        version => Err(illegal(HeaderKind::Erspan, "version", version)),
    }
}

impl<T: AsRef<[u8]>> View<T> {
    /// Length of the header in bytes.
    #[must_use]
    pub fn header_len(&self) -> usize {
        header_len(self.as_bytes()).unwrap_or(0)
    }

    /// The mirrored frame.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), self.header_len(), usize::MAX)
    }
}

/// The fields that both types have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Common {
    /// VLAN of the mirrored frame. Legal values: 0 to 4095.
    pub vlan: u16,
    /// Class of service of the mirrored frame. Legal values: 0 to 7.
    pub class_of_service: u8,
    /// The mirrored frame was cut.
    pub truncated: bool,
    /// Which mirror session. Legal values: 0 to 1023.
    pub session: u16,
}

/// The meaning of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Repr {
    /// Type II.
    II {
        /// What both types have.
        common: Common,
        /// What became of the frame's tag: 0 none was there, 1 ISL, 2 802.1Q, 3 kept in the frame. Legal values: 0 to 3.
        encapsulation: u8,
        /// Port and direction, as the platform numbers them. Legal values: 0 to 2^20-1.
        index: u32,
    },
    /// Type III.
    III {
        /// What both types have.
        common: Common,
        /// Whether the frame was good (0), unknown (1), oversized or short (2), or bad (3). Legal values: 0 to 3.
        error: u8,
        /// When the frame was mirrored, in units of the granularity.
        timestamp: u32,
        /// Security group tag.
        security_group: u16,
        /// The frame is an Ethernet frame, not an IP packet (flag P).
        is_ethernet: bool,
        /// Kind of the mirrored frame. Legal values: 0 to 31; 0 is Ethernet, 2 is IP.
        frame_kind: u8,
        /// Which engine of the platform mirrored it. Legal values: 0 to 63.
        hardware: u8,
        /// The frame left the platform (egress).
        egress: bool,
        /// Unit of the timestamp. Legal values: 0 (100 µs), 1 (100 ns), 2 (IEEE 1588), 3 (the platform's).
        granularity: u8,
        /// What only the platform reads.
        platform: Option<[u8; PLATFORM_LEN]>,
    },
}

impl Repr {
    /// Reads a header.
    ///
    /// # Errors
    /// [`Malformed`] when the view was not checked and the version is another.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        let bytes = view.as_bytes();
        let length = header_len(bytes)?;
        let common = Common {
            vlan: view.vlan(),
            class_of_service: view.class_of_service(),
            truncated: view.truncated(),
            session: view.session(),
        };
        if length == II_LEN {
            return Ok(Self::II {
                common,
                encapsulation: view.trunk_or_error(),
                index: u32::read(bytes, 4) & 0xf_ffff,
            });
        }
        let last = u16::read(bytes, 10);
        Ok(Self::III {
            common,
            error: view.trunk_or_error(),
            timestamp: u32::read(bytes, 4),
            security_group: u16::read(bytes, 8),
            is_ethernet: last & 0x8000 != 0,
            frame_kind: (last >> 10 & 0x1f) as u8,
            hardware: (last >> 4 & 0x3f) as u8,
            egress: last & 8 != 0,
            granularity: (last >> 1 & 3) as u8,
            platform: (length > III_LEN).then(|| Field::read(bytes, III_LEN)),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match self {
            Self::II { .. } => II_LEN,
            Self::III { platform: None, .. } => III_LEN,
            Self::III { platform: Some(_), .. } => III_LEN + PLATFORM_LEN,
        }
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or a value does not fit its field.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let (Self::II { common, .. } | Self::III { common, .. }) = self;
        let kind = HeaderKind::Erspan;
        fits(kind, "VLAN", common.vlan, 0xfff)?;
        fits(kind, "class of service", common.class_of_service, 7)?;
        fits(kind, "session", common.session, 0x3ff)?;
        let length = self.buffer_len();
        let bytes = blank(kind, buffer, length)?;
        match *self {
            Self::II { encapsulation, index, .. } => {
                fits(kind, "encapsulation", encapsulation, 3)?;
                fits(kind, "index", index, 0xf_ffff)?;
                0x10u8.write(bytes, 0);
                index.write(bytes, 4);
                View::new_unchecked(&mut *bytes).set_trunk_or_error(encapsulation);
            }
            Self::III {
                error,
                timestamp,
                security_group,
                is_ethernet,
                frame_kind,
                hardware,
                egress,
                granularity,
                platform,
                ..
            } => {
                fits(kind, "error", error, 3)?;
                fits(kind, "frame kind", frame_kind, 0x1f)?;
                fits(kind, "hardware", hardware, 0x3f)?;
                fits(kind, "granularity", granularity, 3)?;
                0x20u8.write(bytes, 0);
                timestamp.write(bytes, 4);
                security_group.write(bytes, 8);
                let last = u16::from(is_ethernet) << 15
                    | u16::from(frame_kind) << 10
                    | u16::from(hardware) << 4
                    | u16::from(egress) << 3
                    | u16::from(granularity) << 1
                    | u16::from(platform.is_some());
                last.write(bytes, 10);
                View::new_unchecked(&mut *bytes).set_trunk_or_error(error);
                if let Some(platform) = platform {
                    platform.write(bytes, III_LEN);
                }
            }
        }
        let mut view = View::new_unchecked(bytes);
        view.set_vlan(common.vlan);
        view.set_class_of_service(common.class_of_service);
        view.set_truncated(common.truncated);
        view.set_session(common.session);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gre_header_tells_the_type() {
        let header = |protocol, sequence| gre::Repr { protocol, checksum: false, key: None, sequence };
        assert_eq!(Kind::of(&header(EtherType::ERSPAN, None)), Some(Kind::I));
        assert_eq!(Kind::of(&header(EtherType::ERSPAN, Some(1))), Some(Kind::II));
        assert_eq!(Kind::of(&header(EtherType::ERSPAN_III, Some(1))), Some(Kind::III));
        assert_eq!(Kind::of(&header(EtherType::IPV4, Some(1))), None);
    }
}
