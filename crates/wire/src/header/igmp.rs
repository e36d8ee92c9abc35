//! IGMP of versions 1, 2 and 3 (RFC 1112 appendix I, RFC 2236, RFC 3376).
//!
//! The version of a query shows in its length and its second byte (RFC 3376 section 7.1): the view must be made of
//! exactly the IP payload.

use super::field::{Field, view};
use super::multicast_record::{Records, Sources};
use super::{HeaderKind, Malformed, blank, illegal, need, put, span};
use crate::checksum;
use crate::number::named;
use std::net::Ipv4Addr;

named! {
    /// What a message says (RFC 3376 section 4).
    Kind(u8) {
        /// Who listens? All versions.
        QUERY = 0x11, "query";
        /// I listen, version 1.
        REPORT_1 = 0x12, "report, version 1";
        /// I listen, version 2.
        REPORT_2 = 0x16, "report, version 2";
        /// I listen no more, version 2.
        LEAVE = 0x17, "leave";
        /// I listen, version 3.
        REPORT_3 = 0x22, "report, version 3";
    }
}

/// What [`View`] accepts at least, in bytes.
pub const SHORT_LEN: usize = 8;
const QUERY_3_LEN: usize = 12;

view! {
    /// An IGMP message.
    Igmp, 8 bytes, check;
    /// What the message says.
    kind: Kind [0];
    /// Queries of version 2: time to answer in tenths of a second; of version 3: a code of it.
    response_code / set_response_code: u8 [1];
    /// Checksum of the whole message.
    checksum / set_checksum: u16 [2];
    /// The group in question; unspecified in a general query; means nothing in a report of version 3.
    group / set_group: Ipv4Addr [4];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    match Kind::read(bytes, 0) {
        Kind::QUERY if bytes.len() == SHORT_LEN => Ok(()),
        Kind::QUERY => {
            need(HeaderKind::Igmp, bytes, QUERY_3_LEN)?;
            need(HeaderKind::Igmp, bytes, QUERY_3_LEN + usize::from(u16::read(bytes, 10)) * 4)
        }
        Kind::REPORT_1 | Kind::REPORT_2 | Kind::LEAVE => Ok(()),
        Kind::REPORT_3 => {
            Records::<Ipv4Addr>::new(span(bytes, SHORT_LEN, usize::MAX), u16::read(bytes, 6)).map(|_| ())
        }
        Kind(kind) => Err(illegal(HeaderKind::Igmp, "kind", kind)),
    }
}

impl<T: AsRef<[u8]>> View<T> {
    /// Whether the checksum of all the bytes is right.
    #[must_use]
    pub fn verify_checksum(&self) -> bool {
        checksum::is_intact(self.as_bytes())
    }
}

/// The meaning of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repr<'a> {
    /// Who listens, to any group? Version 1.
    Query1 {
        /// Unspecified; kept as it is.
        group: Ipv4Addr,
    },
    /// Who listens? Version 2.
    Query2 {
        /// Time to answer, in tenths of a second. Legal values: 1 to 255.
        response_time: u8,
        /// The group in question; unspecified for all.
        group: Ipv4Addr,
    },
    /// Who listens, to whom? Version 3.
    Query3 {
        /// Time to answer, in tenths of a second, as [`super::multicast_record::time_of_code`] reads it.
        response_code: u8,
        /// The group in question; unspecified for all.
        group: Ipv4Addr,
        /// Other queriers should not change their timers.
        suppress: bool,
        /// How many lost messages the querier bears. Legal values: 0 to 7.
        robustness: u8,
        /// Time between queries, in seconds, as [`super::multicast_record::time_of_code`] reads it.
        interval_code: u8,
        /// The sources in question; none for all.
        sources: Sources<'a, Ipv4Addr>,
    },
    /// I listen. Version 1.
    Report1 {
        /// The group listened to.
        group: Ipv4Addr,
    },
    /// I listen. Version 2.
    Report2 {
        /// The group listened to.
        group: Ipv4Addr,
    },
    /// I listen no more. Version 2.
    Leave {
        /// The group no more listened to.
        group: Ipv4Addr,
    },
    /// I listen. Version 3.
    Report3 {
        /// To which groups and sources.
        records: Records<'a, Ipv4Addr>,
    },
}

impl<'a> Repr<'a> {
    /// Reads a message. The checksum is not looked at: see [`View::verify_checksum`].
    ///
    /// # Errors
    /// [`Malformed`] when the view was not checked and the message is none.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        let bytes = view.into_inner().as_ref();
        let group = view.group();
        Ok(match view.kind() {
            Kind::QUERY if bytes.len() == SHORT_LEN => match view.response_code() {
                0 => Self::Query1 { group },
                response_time => Self::Query2 { response_time, group },
            },
            Kind::QUERY => Self::Query3 {
                response_code: view.response_code(),
                group,
                suppress: u8::read(bytes, 8) & 8 != 0,
                robustness: u8::read(bytes, 8) & 7,
                interval_code: u8::read(bytes, 9),
                sources: Sources::new(span(
                    bytes,
                    QUERY_3_LEN,
                    QUERY_3_LEN + usize::from(u16::read(bytes, 10)) * 4,
                ))?,
            },
            Kind::REPORT_1 => Self::Report1 { group },
            Kind::REPORT_2 => Self::Report2 { group },
            Kind::LEAVE => Self::Leave { group },
            Kind::REPORT_3 => Self::Report3 {
                records: Records::new(span(bytes, SHORT_LEN, usize::MAX), u16::read(bytes, 6))?,
            },
            Kind(kind) => return Err(illegal(HeaderKind::Igmp, "kind", kind)),
        })
    }

    /// Which message it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Query1 { .. } | Self::Query2 { .. } | Self::Query3 { .. } => Kind::QUERY,
            Self::Report1 { .. } => Kind::REPORT_1,
            Self::Report2 { .. } => Kind::REPORT_2,
            Self::Leave { .. } => Kind::LEAVE,
            Self::Report3 { .. } => Kind::REPORT_3,
        }
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match self {
            Self::Query3 { sources, .. } => QUERY_3_LEN + sources.as_bytes().len(),
            Self::Report3 { records } => SHORT_LEN + records.as_bytes().len(),
            _ => SHORT_LEN,
        }
    }

    /// Writes the message, checksum included, to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or a value has no place in the message.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        let bytes = blank(HeaderKind::Igmp, buffer, length)?;
        self.kind().write(bytes, 0);
        match *self {
            Self::Query1 { group }
            | Self::Report1 { group }
            | Self::Report2 { group }
            | Self::Leave { group } => group.write(bytes, 4),
            Self::Query2 { response_time, group } => {
                if response_time == 0 {
                    return Err(illegal(HeaderKind::Igmp, "response time", 0u8));
                }
                response_time.write(bytes, 1);
                group.write(bytes, 4);
            }
            Self::Query3 { response_code, group, suppress, robustness, interval_code, sources } => {
                super::fits(HeaderKind::Igmp, "robustness", robustness, 7)?;
                response_code.write(bytes, 1);
                group.write(bytes, 4);
                [u8::from(suppress) << 3 | robustness, interval_code].write(bytes, 8);
                (sources.len() as u16).write(bytes, 10);
                put(bytes, QUERY_3_LEN, sources.as_bytes());
            }
            Self::Report3 { records } => {
                records.len().write(bytes, 6);
                put(bytes, SHORT_LEN, records.as_bytes());
            }
        }
        checksum::internet(bytes).write(bytes, 2);
        Ok(length)
    }
}
