//! Matches of NXM and OXM: entries one after the other.
//!
//! What: reading checks what Open vSwitch checks, in its order, and answers with its errors. Writing puts entries in
//! Open vSwitch's order and under the names of the version, so that the octets are the same.
//!
//! Deliberately absent: the lengths that a bridge has given to tunnel metadata
//! ([`Match::fit_tun_metadata`] brings them in afterwards).

use super::{Entry, Match, number};
use crate::openflow::codec::{Reader, Writer};
use crate::openflow::error::OfError;
use crate::openflow::field::{FieldId, Prerequisite, WireHeader, flags};
use crate::openflow::value::Value;
use crate::openflow::version::Version;

/// Type of a match that is OXM (`OFPMT_OXM`).
const OXM: u16 = 1;
/// Header of a match: type and length.
const HEADER: usize = 4;
/// Matches are padded to multiples of this.
const ALIGNMENT: usize = 8;
/// The most octets of all tunnel metadata of a match together (OVS: `TUN_METADATA_TOT_OPT_SIZE`).
const ALL_TUN_METADATA: usize = 256;
/// Class and number of the cookie as an entry of NXM.
const COOKIE: (u16, u8) = (1, 30);

/// How strictly entries are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Pass over unknown fields, and let fields lack what they need: for what a switch tells of a packet.
    pub loose: bool,
    /// Only fields that are not in the packet's octets.
    pub pipeline_only: bool,
    /// The cookie may stand among the entries: in Nicira's messages of OpenFlow 1.0.
    pub cookie: bool,
}

impl Rules {
    /// As matches of flows are read.
    pub const STRICT: Self = Self { loose: false, pipeline_only: false, cookie: false };
    /// As a switch's words about a packet are read.
    pub const LOOSE: Self = Self { loose: true, pipeline_only: false, cookie: false };
}

/// A cookie and the bits of it that count.
pub type Cookie = (u64, u64);

/// One entry as it stands on the wire, its field known or not.
struct Raw<'a> {
    header: WireHeader,
    value: &'a [u8],
    mask: Option<&'a [u8]>,
}

impl<'a> Raw<'a> {
    fn take(from: &mut Reader<'a>) -> Result<Self, OfError> {
        let header = WireHeader::take(from)?;
        let octets = header.octets();
        let payload = from.take(usize::from(header.payload)).map_err(|_| OfError::OFPBMC_BAD_LEN)?;
        let (value, rest) = payload.split_at_checked(octets).ok_or(OfError::OFPBMC_BAD_LEN)?;
        let mask = header.masked.then(|| rest.get(..octets)).flatten();
        if mask.is_some_and(|mask| value.iter().zip(mask).any(|(value, mask)| value & !mask != 0)) {
            return Err(OfError::OFPBMC_BAD_WILDCARDS);
        }
        Ok(Self { header, value, mask })
    }

    /// The field, if it is known and the length is right.
    fn field(&self) -> Option<FieldId> {
        let field = self.header.known()?;
        let row = field.get();
        let fits = if row.is_variable() {
            self.value.len() <= usize::from(row.octets)
        } else {
            self.value.len() == usize::from(row.octets)
        };
        fits.then_some(field)
    }

    fn is_cookie(&self) -> bool {
        (self.header.class, self.header.field) == COOKIE && self.value.len() == 8
    }

    fn entry(&self) -> Option<Entry> {
        let field = self.field()?;
        let value = Value::from_octets(self.value)?;
        let Some(mask) = self.mask else {
            let mask = Value::ones(value.len());
            return Some(Entry { field, value, mask });
        };
        let mask = Value::from_octets(mask)?;
        let (value, mask) = apart_from_exact(field, &value, &mask).unwrap_or((value, mask));
        Some(Entry { field, value, mask })
    }
}

/// Tunnel metadata is as long as its option, which may be longer than what a peer writes of it. A mask of ones that was
/// written says nothing of what is in front of it: a zero there tells it from a value without a mask.
pub(crate) fn apart_from_exact(field: FieldId, value: &Value, mask: &Value) -> Option<(Value, Value)> {
    let room = value.len() < usize::from(field.get().octets);
    let ambiguous = field.get().is_variable() && mask.is_all_ones() && room;
    ambiguous.then(|| (value.resized(value.len() + 1), mask.resized(mask.len() + 1)))
}

/// Reads one entry: a field with its value, and its mask or ones. The length of the field must be right.
///
/// # Errors
///
/// `OFPBMC_BAD_LEN`, `OFPBMC_BAD_WILDCARDS` if the value has bits that the mask does not have, `OFPBMC_BAD_FIELD` if
/// the field is unknown.
pub fn take_entry(from: &mut Reader<'_>) -> Result<Entry, OfError> {
    Raw::take(from)?.entry().ok_or(OfError::OFPBMC_BAD_FIELD)
}

/// Writes one entry, with a mask if there is one, under the name that suits the version.
pub fn put_entry(
    field: FieldId,
    value: &Value,
    mask: Option<&Value>,
    version: Option<Version>,
    out: &mut Writer,
) {
    let Some(header) = WireHeader::of(field, version, mask.is_some(), value.len()) else { return };
    header.put(out);
    out.bytes(value.octets());
    if let Some(mask) = mask {
        out.bytes(mask.octets());
    }
}

impl Match {
    /// Reads entries up to the end of `octets`.
    ///
    /// # Errors
    ///
    /// Those of OVS: `OFPBMC_BAD_LEN`, `_BAD_FIELD`, `_BAD_WILDCARDS`, `_BAD_MASK`, `_BAD_VALUE`, `_BAD_PREREQ`, `_DUP_FIELD`,
    /// and `OFPBRC_PIPELINE_FIELDS_ONLY`.
    pub fn take_entries(octets: &[u8], rules: Rules) -> Result<(Self, Option<Cookie>), OfError> {
        let mut read = Self::any();
        let mut cookie = None;
        let mut tun_metadata = 0;
        let mut from = Reader::with_error(octets, OfError::OFPBMC_BAD_LEN);
        while !from.is_empty() {
            let raw = Raw::take(&mut from)?;
            let Some(Entry { field, value, mask }) = raw.entry() else {
                if rules.cookie && raw.is_cookie() {
                    read_cookie(&raw, &mut cookie)?;
                } else if !rules.loose {
                    return Err(OfError::OFPBMC_BAD_FIELD);
                }
                continue;
            };
            let row = field.get();
            if raw.mask.is_some() && !row.is_legal_mask(&mask) {
                return Err(OfError::OFPBMC_BAD_MASK);
            }
            if !row.is_legal(&value) {
                return Err(OfError::OFPBMC_BAD_VALUE);
            }
            if !rules.loose && !read.allows(field) {
                return Err(OfError::OFPBMC_BAD_PREREQ);
            }
            if !read.is_wild(field) {
                return Err(OfError::OFPBMC_DUP_FIELD);
            }
            if rules.pipeline_only && !field.is_pipeline() {
                return Err(OfError::OFPBRC_PIPELINE_FIELDS_ONLY);
            }
            if row.is_variable() {
                tun_metadata += value.len();
                if tun_metadata > ALL_TUN_METADATA {
                    return Err(OfError::OFPBMC_BAD_VALUE);
                }
            }
            read.set_masked(field, &value, &mask);
        }
        Ok((read, cookie))
    }

    /// Reads a match of NXM of `length` octets and its padding.
    ///
    /// # Errors
    ///
    /// As [`take_entries`](Self::take_entries).
    pub fn take_nxm(
        from: &mut Reader<'_>,
        length: usize,
        rules: Rules,
    ) -> Result<(Self, Option<Cookie>), OfError> {
        let padded = from.take(length.next_multiple_of(ALIGNMENT)).map_err(|_| OfError::OFPBMC_BAD_LEN)?;
        Self::take_entries(padded.get(..length).ok_or(OfError::OFPBMC_BAD_LEN)?, rules)
    }

    /// Writes a match of NXM and its padding. The answer is how many octets it has without the padding.
    pub fn put_nxm(&self, cookie: Option<Cookie>, out: &mut Writer) -> usize {
        let start = out.len();
        self.put_entries(None, cookie, out);
        let length = out.len() - start;
        out.pad(start, ALIGNMENT);
        length
    }

    /// Reads a match of OXM with its header and padding.
    ///
    /// # Errors
    ///
    /// As [`take_entries`](Self::take_entries), and `OFPBMC_BAD_TYPE`.
    pub fn take_oxm(from: &mut Reader<'_>, rules: Rules) -> Result<Self, OfError> {
        let mut ahead = Reader::with_error(from.rest(), OfError::OFPBMC_BAD_LEN);
        let kind = ahead.u16()?;
        let length = usize::from(ahead.u16()?);
        if length < HEADER {
            return Err(OfError::OFPBMC_BAD_LEN);
        }
        if kind != OXM {
            return Err(OfError::OFPBMC_BAD_TYPE);
        }
        let padded = from.take(length.next_multiple_of(ALIGNMENT)).map_err(|_| OfError::OFPBMC_BAD_LEN)?;
        let entries = padded.get(HEADER..length).ok_or(OfError::OFPBMC_BAD_LEN)?;
        Self::take_entries(entries, rules).map(|(read, _)| read)
    }

    /// Writes a match of OXM with its header and padding.
    pub fn put_oxm(&self, version: Version, out: &mut Writer) {
        let start = out.len();
        out.u16(OXM);
        out.u16(0);
        self.put_entries(Some(version), None, out);
        out.patch_length(start, start + 2);
        out.pad(start, ALIGNMENT);
    }

    /// Writes entries, without header and padding: in NXM's names, or in those of a version.
    pub fn put_entries(&self, version: Option<Version>, cookie: Option<Cookie>, out: &mut Writer) {
        let start = out.len();
        let mut entries = Entries { of: self, version, out, ethernet: false };
        entries.packet_type();
        entries.metadata();
        entries.ethernet();
        entries.network();
        entries.tunnel();
        entries.later();
        let implied = entries.ethernet;
        if let Some((cookie, mask)) = cookie.filter(|(_, mask)| *mask != 0) {
            put_cookie(cookie, mask, out);
        }
        if self.is_ethernet_only() && !implied {
            // Nothing else says that the match is for Ethernet: an entry of its own does, in front.
            let behind = out.as_slice().get(start..).unwrap_or_default().to_vec();
            out.truncate(start);
            put_entry(FieldId::PACKET_TYPE, &Value::zero(4), None, version, out);
            out.bytes(&behind);
        }
    }

    /// Gives each tunnel metadata the length that a bridge has given to the option, or refuses those that have none.
    ///
    /// # Errors
    ///
    /// `NXFMFC_INVALID_TLV_FIELD` for an option that the bridge does not know.
    pub fn fit_tun_metadata(&mut self, length: impl Fn(u8) -> Option<u8>) -> Result<(), OfError> {
        for entry in &mut self.entries {
            let Some(number) = entry.field.as_tun_metadata() else { continue };
            let octets = usize::from(length(number).ok_or(OfError::NXFMFC_INVALID_TLV_FIELD)?);
            let exact = entry.is_exact() && !entry.mask.is_empty();
            entry.mask = if exact { Value::ones(octets) } else { entry.mask.resized(octets) };
            entry.value = entry.value.resized(octets).and(&entry.mask);
        }
        Ok(())
    }
}

fn read_cookie(raw: &Raw<'_>, cookie: &mut Option<Cookie>) -> Result<(), OfError> {
    if cookie.is_some_and(|(_, mask)| mask != 0) {
        return Err(OfError::OFPBMC_DUP_FIELD);
    }
    let number = |octets: &[u8]| octets.try_into().map_or(0, u64::from_be_bytes);
    *cookie = Some((number(raw.value), raw.mask.map_or(u64::MAX, number)));
    Ok(())
}

fn put_cookie(cookie: u64, mask: u64, out: &mut Writer) {
    let masked = mask != u64::MAX;
    let payload = if masked { 16 } else { 8 };
    WireHeader { class: COOKIE.0, field: COOKIE.1, masked, payload, experimenter: 0 }.put(out);
    out.u64(cookie & mask);
    if masked {
        out.u64(mask);
    }
}

/// Writes the entries of a match in Open vSwitch's order.
struct Entries<'a> {
    of: &'a Match,
    version: Option<Version>,
    out: &'a mut Writer,
    /// Whether an entry was written that only an Ethernet frame can have.
    ethernet: bool,
}

impl Entries<'_> {
    fn raw(&mut self, field: FieldId, value: &Value, mask: Option<&Value>) {
        put_entry(field, value, mask, self.version, self.out);
        self.ethernet |= field.get().prerequisite != Prerequisite::Nothing;
    }

    #[inline]
    fn put(&mut self, field: FieldId) {
        if !self.of.is_wild(field) {
            self.put_known(field);
        }
    }

    fn put_known(&mut self, field: FieldId) {
        let Some((value, mask)) = self.of.get(field) else { return };
        if field.get().is_variable() {
            return self.put_variable(field, &value, &mask);
        }
        // Of these OVS never takes the mask for whole, since it has bits that no mask has.
        let always = matches!(field, FieldId::CT_STATE | FieldId::TUN_FLAGS);
        let exact = !always && mask == field.get().ones();
        self.raw(field, &value, (!exact).then_some(&mask));
    }

    fn put_variable(&mut self, field: FieldId, value: &Value, mask: &Value) {
        if !mask.is_empty() && mask.is_all_ones() {
            return self.raw(field, value, None);
        }
        // The zero that tells a mask of ones from no mask is not written: the header tells.
        match mask.octets() {
            [0, rest @ ..] if !rest.is_empty() && rest.iter().all(|octet| *octet == 0xff) => {
                self.raw(field, &value.resized(rest.len()), Some(&mask.resized(rest.len())));
            }
            _ => self.raw(field, value, Some(mask)),
        }
    }

    fn each(&mut self, fields: &[FieldId]) {
        fields.iter().for_each(|field| self.put(*field));
    }

    fn packet_type(&mut self) {
        if !self.of.is_ethernet_only() {
            self.put(FieldId::PACKET_TYPE);
        }
    }

    fn metadata(&mut self) {
        self.each(&[FieldId::DP_HASH, FieldId::RECIRC_ID, FieldId::CONJ_ID]);
        self.put(if self.version.is_some() { FieldId::IN_PORT_OXM } else { FieldId::IN_PORT });
        self.put(FieldId::ACTSET_OUTPUT);
    }

    fn ethernet(&mut self) {
        self.each(&[FieldId::ETH_SRC, FieldId::ETH_DST, FieldId::ETH_TYPE]);
        let (value, mask) = self
            .of
            .home(FieldId::VLAN_TCI)
            .map_or((0, 0), |entry| (entry.value.to_u128() as u16, entry.mask.to_u128() as u16));
        let tagged = value & 0x1fff != 0;
        // Of a priority OXM knows all three bits, behind an identifier that says that there is a tag.
        let present = value & flags::VLAN_PRESENT != 0;
        let partial = !matches!((mask >> 13, present), (0, _) | (7, true));
        if self.version.is_none() || tagged && partial {
            self.put(FieldId::VLAN_TCI);
            return;
        }
        self.put(FieldId::VLAN_VID);
        if tagged && mask >> 13 != 0 {
            self.put(FieldId::VLAN_PCP);
        }
    }

    fn network(&mut self) {
        match u128::from(self.of.ether_type()) {
            number::MPLS | number::MPLS_UPSTREAM => {
                self.each(&[FieldId::MPLS_TC, FieldId::MPLS_BOS, FieldId::MPLS_TTL, FieldId::MPLS_LABEL]);
            }
            number::IPV4 => {
                self.each(&[FieldId::IPV4_SRC, FieldId::IPV4_DST]);
                self.internet();
            }
            number::IPV6 => {
                self.each(&[FieldId::IPV6_SRC, FieldId::IPV6_DST]);
                self.internet();
            }
            number::ARP | number::RARP => self.each(&[
                FieldId::ARP_OP,
                FieldId::ARP_SPA,
                FieldId::ARP_TPA,
                FieldId::ARP_SHA,
                FieldId::ARP_THA,
            ]),
            _ => {}
        }
    }

    fn internet(&mut self) {
        self.put(FieldId::IP_FRAG);
        self.put(if self.version.is_some() { FieldId::IP_DSCP_SHIFTED } else { FieldId::IP_DSCP });
        self.each(&[FieldId::IP_ECN, FieldId::IP_TTL, FieldId::IPV6_LABEL, FieldId::IP_PROTO]);
        let ipv4 = u128::from(self.of.ether_type()) == number::IPV4;
        match self.of.protocol() {
            number::TCP => self.each(&[FieldId::TCP_SRC, FieldId::TCP_DST, FieldId::TCP_FLAGS]),
            number::UDP => self.each(&[FieldId::UDP_SRC, FieldId::UDP_DST]),
            number::SCTP => self.each(&[FieldId::SCTP_SRC, FieldId::SCTP_DST]),
            number::ICMP if ipv4 => self.each(&[FieldId::ICMPV4_TYPE, FieldId::ICMPV4_CODE]),
            number::ICMPV6 if !ipv4 => {
                self.each(&[FieldId::ICMPV6_TYPE, FieldId::ICMPV6_CODE]);
                if self.of.is_neighbour() {
                    self.each(&[FieldId::ND_RESERVED, FieldId::ND_TARGET, FieldId::ND_OPTIONS_TYPE]);
                    let solicitation = self.of.number(FieldId::TCP_SRC) == number::SOLICITATION;
                    self.put(if solicitation { FieldId::ND_SLL } else { FieldId::ND_TLL });
                }
            }
            _ => {}
        }
    }

    fn tunnel(&mut self) {
        if self.of.names_any(FieldId::TUN_ID, FieldId::LAST_TUN_METADATA) {
            self.outer();
        }
        if self.of.names_any(FieldId::NSH_FLAGS, FieldId::NSH_TTL) {
            self.each(&[
                FieldId::NSH_FLAGS,
                FieldId::NSH_TTL,
                FieldId::NSH_MDTYPE,
                FieldId::NSH_NP,
                FieldId::NSH_SPI,
                FieldId::NSH_SI,
                FieldId::NSH_C1,
                FieldId::NSH_C2,
                FieldId::NSH_C3,
                FieldId::NSH_C4,
            ]);
        }
    }

    /// The tunnel that the packet came through.
    fn outer(&mut self) {
        self.each(&[
            FieldId::TUN_ID,
            FieldId::TUN_FLAGS,
            FieldId::TUN_SRC,
            FieldId::TUN_DST,
            FieldId::TUN_IPV6_SRC,
            FieldId::TUN_IPV6_DST,
            FieldId::TUN_GBP_ID,
            FieldId::TUN_GBP_FLAGS,
        ]);
        (0..64).filter_map(FieldId::tun_metadata).for_each(|field| self.put(field));
        self.each(&[
            FieldId::TUN_ERSPAN_IDX,
            FieldId::TUN_ERSPAN_VER,
            FieldId::TUN_ERSPAN_DIR,
            FieldId::TUN_ERSPAN_HWID,
            FieldId::TUN_GTPU_FLAGS,
            FieldId::TUN_GTPU_MSGTYPE,
        ]);
    }

    fn later(&mut self) {
        // All of these but the connection's ports are homes from metadata to the last register.
        if !self.of.names_any(FieldId::METADATA, FieldId::LAST_REG) {
            return;
        }
        if self.version.is_some_and(|version| version >= Version::V15) {
            (0..8).filter_map(FieldId::xreg).for_each(|field| self.put(field));
        } else {
            (0..16).filter_map(FieldId::reg).for_each(|field| self.put(field));
        }
        self.each(&[
            FieldId::PKT_MARK,
            FieldId::CT_STATE,
            FieldId::CT_ZONE,
            FieldId::CT_MARK,
            FieldId::CT_LABEL,
            FieldId::CT_NW_SRC,
            FieldId::CT_IPV6_SRC,
            FieldId::CT_NW_DST,
            FieldId::CT_IPV6_DST,
        ]);
        if self.of.number(FieldId::CT_NW_PROTO) != 0 {
            self.each(&[FieldId::CT_NW_PROTO, FieldId::CT_TP_SRC, FieldId::CT_TP_DST]);
        }
        self.put(FieldId::METADATA);
    }
}
