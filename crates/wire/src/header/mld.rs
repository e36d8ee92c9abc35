//! Multicast listener discovery of versions 1 and 2 (RFC 2710, RFC 3810): messages of ICMPv6.
//!
//! The version of a query shows in its length (RFC 3810 section 8.1): the view must be made of exactly the ICMPv6
//! message.

use super::field::{Field, view};
use super::icmpv6::Kind;
use super::multicast_record::{Records, Sources};
use super::{HeaderKind, Malformed, blank, illegal, need, put, span};
use std::net::Ipv6Addr;

const VERSION_1_LEN: usize = 24;
const QUERY_2_LEN: usize = 28;
const REPORT_2_HEAD: usize = 8;

view! {
    /// A message of multicast listener discovery.
    Mld, 8 bytes, check;
    /// Which message.
    kind: Kind [0];
    /// Checksum of pseudo-header and message.
    checksum / set_checksum: u16 [2];
    /// Queries: time to answer in milliseconds, in version 2 a code of it.
    response_code / set_response_code: u16 [4];
    /// All but reports of version 2: the group in question; unspecified in a general query.
    group / set_group: Ipv6Addr [8];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    match Kind::read(bytes, 0) {
        Kind::MULTICAST_LISTENER_QUERY if bytes.len() == VERSION_1_LEN => Ok(()),
        Kind::MULTICAST_LISTENER_QUERY => {
            need(HeaderKind::Mld, bytes, QUERY_2_LEN)?;
            need(HeaderKind::Mld, bytes, QUERY_2_LEN + usize::from(u16::read(bytes, 26)) * 16)
        }
        Kind::MULTICAST_LISTENER_REPORT | Kind::MULTICAST_LISTENER_DONE => {
            need(HeaderKind::Mld, bytes, VERSION_1_LEN)
        }
        Kind::MULTICAST_LISTENER_REPORT_2 => {
            Records::<Ipv6Addr>::new(span(bytes, REPORT_2_HEAD, usize::MAX), u16::read(bytes, 6)).map(|_| ())
        }
        Kind(kind) => Err(illegal(HeaderKind::Mld, "kind", kind)),
    }
}

/// The meaning of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repr<'a> {
    /// Who listens? Version 1.
    Query1 {
        /// Time to answer, in milliseconds.
        response_time: u16,
        /// The group in question; unspecified for all.
        group: Ipv6Addr,
    },
    /// Who listens, to whom? Version 2.
    Query2 {
        /// Time to answer, in milliseconds, as [`super::multicast_record::time_of_long_code`] reads it.
        response_code: u16,
        /// The group in question; unspecified for all.
        group: Ipv6Addr,
        /// Other queriers should not change their timers.
        suppress: bool,
        /// How many lost messages the querier bears. Legal values: 0 to 7.
        robustness: u8,
        /// Time between queries, in seconds, as [`super::multicast_record::time_of_code`] reads it.
        interval_code: u8,
        /// The sources in question; none for all.
        sources: Sources<'a, Ipv6Addr>,
    },
    /// I listen. Version 1.
    Report1 {
        /// The group listened to.
        group: Ipv6Addr,
    },
    /// I listen no more. Version 1.
    Done {
        /// The group no more listened to.
        group: Ipv6Addr,
    },
    /// I listen. Version 2.
    Report2 {
        /// To which groups and sources.
        records: Records<'a, Ipv6Addr>,
    },
}

impl<'a> Repr<'a> {
    /// Reads a message. The checksum is not looked at: see [`super::icmpv6::View::verify_checksum`].
    ///
    /// # Errors
    /// [`Malformed`] when the view was not checked and the message is none.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        let bytes = view.into_inner().as_ref();
        let group = view.group();
        Ok(match view.kind() {
            Kind::MULTICAST_LISTENER_QUERY if bytes.len() == VERSION_1_LEN => {
                Self::Query1 { response_time: view.response_code(), group }
            }
            Kind::MULTICAST_LISTENER_QUERY => Self::Query2 {
                response_code: view.response_code(),
                group,
                suppress: u8::read(bytes, 24) & 8 != 0,
                robustness: u8::read(bytes, 24) & 7,
                interval_code: u8::read(bytes, 25),
                sources: Sources::new(span(
                    bytes,
                    QUERY_2_LEN,
                    QUERY_2_LEN + usize::from(u16::read(bytes, 26)) * 16,
                ))?,
            },
            Kind::MULTICAST_LISTENER_REPORT => Self::Report1 { group },
            Kind::MULTICAST_LISTENER_DONE => Self::Done { group },
            Kind::MULTICAST_LISTENER_REPORT_2 => Self::Report2 {
                records: Records::new(span(bytes, REPORT_2_HEAD, usize::MAX), u16::read(bytes, 6))?,
            },
            Kind(kind) => return Err(illegal(HeaderKind::Mld, "kind", kind)),
        })
    }

    /// Which message it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Query1 { .. } | Self::Query2 { .. } => Kind::MULTICAST_LISTENER_QUERY,
            Self::Report1 { .. } => Kind::MULTICAST_LISTENER_REPORT,
            Self::Done { .. } => Kind::MULTICAST_LISTENER_DONE,
            Self::Report2 { .. } => Kind::MULTICAST_LISTENER_REPORT_2,
        }
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        match self {
            Self::Query2 { sources, .. } => QUERY_2_LEN + sources.as_bytes().len(),
            Self::Report2 { records } => REPORT_2_HEAD + records.as_bytes().len(),
            _ => VERSION_1_LEN,
        }
    }

    /// Writes the message, without a checksum, to the front of `buffer`; returns its length in bytes. The checksum
    /// is filled by [`super::icmpv6::View::fill_checksum`].
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or a value has no place in the message.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        let bytes = blank(HeaderKind::Mld, buffer, length)?;
        self.kind().write(bytes, 0);
        match *self {
            Self::Query1 { response_time, group } => {
                response_time.write(bytes, 4);
                group.write(bytes, 8);
            }
            Self::Query2 { response_code, group, suppress, robustness, interval_code, sources } => {
                super::fits(HeaderKind::Mld, "robustness", robustness, 7)?;
                response_code.write(bytes, 4);
                group.write(bytes, 8);
                [u8::from(suppress) << 3 | robustness, interval_code].write(bytes, 24);
                (sources.len() as u16).write(bytes, 26);
                put(bytes, QUERY_2_LEN, sources.as_bytes());
            }
            Self::Report1 { group } | Self::Done { group } => group.write(bytes, 8),
            Self::Report2 { records } => {
                records.len().write(bytes, 6);
                put(bytes, REPORT_2_HEAD, records.as_bytes());
            }
        }
        Ok(length)
    }
}
