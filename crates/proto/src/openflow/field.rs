//! The fields of packets that OpenFlow with the extensions of Open vSwitch can match on and change.
//!
//! What: [`FieldId`] names a field; [`FieldId::get`] is its row in the one table (`field/table.rs`): names, width, masks,
//! prerequisites, how it is written in text and on the wire.
//!
//! Some fields are windows onto the same place: `reg0` is the upper half of `xreg0`, `in_port_oxm` is `in_port`
//! with more zeros, `dl_vlan` and `vlan_vid` are parts of `vlan_tci`, `ip_dscp` is `nw_tos` shifted, and `udp_src`
//! and `icmp_type` lie where `tcp_src` lies. [`super::matching::Match`] knows which.
//!
//! Deliberately absent: where a field lies in a packet (`table`'s key).

pub mod flags;
pub mod header;
mod table;

use super::Version;
use super::value::Value;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

pub use header::{Class, Header, WireHeader};

/// A field. Legal values: 0 to [`FieldId::COUNT`] - 1, and only those can be made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(u8);

/// What a field can be masked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maskable {
    /// It is matched whole or not at all.
    Whole,
    /// Any of its bits can be matched.
    Bitwise,
}

/// How a field is written in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A number, printed in base ten.
    Decimal,
    /// A number, printed in base sixteen.
    Hexadecimal,
    /// Bits of `ct_state`: `+trk-new`.
    CtState,
    /// `xx:xx:xx:xx:xx:xx`.
    Ethernet,
    /// `a.b.c.d`.
    Ipv4,
    /// RFC 5952.
    Ipv6,
    /// A port in 16 bits, by name or number.
    Port16,
    /// A port in 32 bits, by name or number.
    Port32,
    /// `no`, `yes`, `first`, `later`, `not_later`.
    Fragment,
    /// Bits of `tun_flags`: `+oam`.
    TunnelFlags,
    /// Bits of `tcp_flags`: `+syn-ack`.
    TcpFlags,
    /// `(name space,type)`.
    PacketType,
}

/// What a match must say before it may name a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prerequisite {
    /// Nothing.
    Nothing,
    /// The packet is an Ethernet frame: `packet_type` is (0,0) or not named.
    Ethernet,
    /// ARP or RARP.
    Arp,
    /// A VLAN tag.
    Vlan,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// IPv4 or IPv6.
    Ip,
    /// NSH.
    Nsh,
    /// MPLS.
    Mpls,
    /// TCP over IP, not a later fragment.
    Tcp,
    /// UDP over IP, not a later fragment.
    Udp,
    /// SCTP over IP, not a later fragment.
    Sctp,
    /// ICMP over IPv4, not a later fragment.
    Icmp,
    /// ICMPv6 over IPv6, not a later fragment.
    Icmpv6,
    /// IP, and a `ct_state` that is tracked and not new or invalid.
    Ct,
    /// A neighbour solicitation or advertisement.
    Neighbour,
    /// A neighbour solicitation.
    Solicitation,
    /// A neighbour advertisement.
    Advertisement,
}

/// Whether actions may change a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only to be matched.
    ReadOnly,
    /// Actions may change it.
    Writable,
}

/// What the fixed matches of OpenFlow 1.0 and 1.1 can say about a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Nothing.
    Absent,
    /// All of it or nothing of it.
    Exact,
    /// A prefix.
    Prefix,
    /// Any of its bits.
    Bitwise,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The field.
    pub id: FieldId,
    /// Name in text.
    pub name: &'static str,
    /// Another name that is read, never printed.
    pub other_name: Option<&'static str>,
    /// Octets of a value. For tunnel metadata the most that it can have.
    pub octets: u8,
    /// Bits that mean something, in the low end of the octets.
    pub bits: u16,
    /// What it can be masked by.
    pub maskable: Maskable,
    /// How it is written in text.
    pub format: Format,
    /// What a match must say before.
    pub prerequisite: Prerequisite,
    /// Whether actions may change it.
    pub access: Access,
    /// What a match of OpenFlow 1.0 can say about it.
    pub v10: Support,
    /// What a match of OpenFlow 1.1 can say about it.
    pub v11: Support,
    /// Names on the wire, NXM's first.
    pub headers: &'static [Header],
}

impl Field {
    /// Whether values have a length of their own (tunnel metadata).
    #[must_use]
    pub const fn is_variable(&self) -> bool {
        self.octets > 16
    }

    /// Whether actions may change it.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        matches!(self.access, Access::Writable)
    }

    /// The mask of all bits that mean something.
    #[must_use]
    pub fn ones(&self) -> Value {
        let bits = match self.id {
            // Congestion notification has the lower two bits.
            FieldId::IP_DSCP => return Value::from_number(0xfc, 1),
            // What says whether there is a tag belongs to the identifier, but is not counted among its bits.
            FieldId::VLAN_VID => 13,
            // OVS counts fewer bits, but takes and matches all.
            FieldId::TCP_FLAGS
            | FieldId::TUN_ERSPAN_IDX
            | FieldId::TUN_ERSPAN_VER
            | FieldId::TUN_ERSPAN_DIR
            | FieldId::TUN_ERSPAN_HWID => u16::from(self.octets) * 8,
            FieldId::CT_STATE => 8,
            _ => self.bits,
        };
        if self.is_variable() {
            return Value::low_ones(usize::from(self.octets), usize::from(bits));
        }
        let ones = 1_u128.checked_shl(bits.into()).map_or(u128::MAX, |next| next - 1);
        Value::from_number(ones, usize::from(self.octets))
    }

    /// Whether `value` may stand in a match or a set-field action: it has the right length, and no bit or
    /// number that means nothing. What a value with a mask leaves out must be zero.
    #[must_use]
    pub fn is_legal(&self, value: &Value) -> bool {
        if self.is_variable() {
            return value.len() <= usize::from(self.octets);
        }
        if value.len() != usize::from(self.octets) {
            return false;
        }
        let number = value.to_u128();
        match self.id {
            FieldId::DL_VLAN => number <= 0xfff,
            FieldId::VLAN_VID => number <= 0x1fff,
            FieldId::IN_PORT_OXM | FieldId::ACTSET_OUTPUT => {
                super::OfPort::from_wide(number as u32).is_some()
            }
            FieldId::IP_DSCP => number & 3 == 0,
            FieldId::ARP_OP | FieldId::CT_STATE => number <= 0xff,
            FieldId::NSH_TTL => number <= 63,
            FieldId::NSH_MDTYPE => number == 1 || number == 2,
            FieldId::TUN_ERSPAN_IDX
            | FieldId::TUN_ERSPAN_VER
            | FieldId::TUN_ERSPAN_DIR
            | FieldId::TUN_ERSPAN_HWID => true,
            _ => self.bits >= 128 || number >> self.bits == 0,
        }
    }

    /// Whether `mask` may stand beside a value of the field.
    #[must_use]
    pub fn is_legal_mask(&self, mask: &Value) -> bool {
        match self.maskable {
            Maskable::Bitwise => true,
            Maskable::Whole => mask.is_zero() || mask.is_all_ones() || self.ones().and_not(mask).is_zero(),
        }
    }
}

/// Numbers of fields by a hash of their names, [`NO_NAME`] in places that are empty: names are looked for as often as text is
/// read.
static BY_NAME: [u8; NAMES] = by_name();
/// More than twice as many as there are names.
const NAMES: usize = 512;
const NO_NAME: u8 = u8::MAX;

const fn hash_of_name(name: &[u8]) -> usize {
    let (mut hash, mut at) = (0x811c_9dc5_u32, 0);
    while at < name.len() {
        hash = (hash ^ name[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    (hash ^ hash >> 15) as usize % NAMES
}

const fn by_name() -> [u8; NAMES] {
    let mut places = [NO_NAME; NAMES];
    let mut id = 0;
    while id < table::COUNT {
        let field = &table::FIELDS_FOR_INDEX[id];
        let names = [Some(field.name), field.other_name];
        let mut which = 0;
        while which < names.len() {
            if let Some(name) = names[which] {
                let mut place = hash_of_name(name.as_bytes());
                while places[place] != NO_NAME {
                    place = (place + 1) % NAMES;
                }
                places[place] = id as u8;
            }
            which += 1;
        }
        id += 1;
    }
    places
}

static BY_HEADER_NAME: LazyLock<HashMap<&'static str, FieldId>> = LazyLock::new(|| {
    FieldId::all().flat_map(|id| id.get().headers.iter().map(move |header| (header.name, id))).collect()
});

impl FieldId {
    /// How many fields there are.
    pub const COUNT: usize = table::COUNT;

    /// All fields.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        (0..table::COUNT as u8).map(Self)
    }

    /// The field's row.
    #[must_use]
    pub fn get(self) -> &'static Field {
        &table::FIELDS[usize::from(self.0) % table::COUNT]
    }

    /// The field's place in the table, for arrays of [`COUNT`](Self::COUNT).
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The field's name in text.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.get().name
    }

    /// The field that has a name in text, `nw_src` as well as `ip_src`. Letters count as they are.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut place = hash_of_name(name.as_bytes());
        while BY_NAME[place] != NO_NAME {
            let field = &table::FIELDS[usize::from(BY_NAME[place]) % table::COUNT];
            if field.name == name || field.other_name == Some(name) {
                return Some(field.id);
            }
            place = (place + 1) % NAMES;
        }
        None
    }

    /// The field that has a name of NXM or OXM, `OXM_OF_ETH_SRC`.
    #[must_use]
    pub fn from_header_name(name: &str) -> Option<Self> {
        BY_HEADER_NAME.get(name).copied()
    }

    /// The field with this place in the table.
    #[must_use]
    pub const fn of_index(index: usize) -> Option<Self> {
        if index < table::COUNT { Some(Self(index as u8)) } else { None }
    }

    const fn numbered(base: Self, number: u8, count: u8) -> Option<Self> {
        if number < count { Some(Self(base.0 + number)) } else { None }
    }

    const fn number_from(self, base: Self, count: u8) -> Option<u8> {
        if self.0 >= base.0 && self.0 < base.0 + count { Some(self.0 - base.0) } else { None }
    }

    /// Register 0 to 15, of 32 bits.
    #[must_use]
    pub const fn reg(number: u8) -> Option<Self> {
        Self::numbered(Self::REG0, number, 16)
    }

    /// Register 0 to 7, of 64 bits.
    #[must_use]
    pub const fn xreg(number: u8) -> Option<Self> {
        Self::numbered(Self::XREG0, number, 8)
    }

    /// Register 0 to 3, of 128 bits.
    #[must_use]
    pub const fn xxreg(number: u8) -> Option<Self> {
        Self::numbered(Self::XXREG0, number, 4)
    }

    /// Tunnel metadata 0 to 63.
    #[must_use]
    pub const fn tun_metadata(number: u8) -> Option<Self> {
        Self::numbered(Self::TUN_METADATA0, number, 64)
    }

    /// Which register of 32 bits the field is.
    #[must_use]
    pub const fn as_reg(self) -> Option<u8> {
        self.number_from(Self::REG0, 16)
    }

    /// Which register of 64 bits the field is.
    #[must_use]
    pub const fn as_xreg(self) -> Option<u8> {
        self.number_from(Self::XREG0, 8)
    }

    /// Which register of 128 bits the field is.
    #[must_use]
    pub const fn as_xxreg(self) -> Option<u8> {
        self.number_from(Self::XXREG0, 4)
    }

    /// Which tunnel metadata the field is.
    #[must_use]
    pub const fn as_tun_metadata(self) -> Option<u8> {
        self.number_from(Self::TUN_METADATA0, 64)
    }

    /// Whether the field does not come from the packet's octets: tunnel, registers, metadata, ports, connection
    /// tracking (OpenFlow 1.5.1, 7.2.3.8: pipeline fields).
    #[must_use]
    pub const fn is_pipeline(self) -> bool {
        self.0 < Self::ETH_SRC.0
    }
}

impl fmt::Debug for FieldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for FieldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_gaps_and_names_are_ways_back() {
        for (number, id) in FieldId::all().enumerate() {
            let field = id.get();
            assert_eq!((field.id, id.index()), (id, number));
            assert!(field.bits > 0 && field.bits <= u16::from(field.octets) * 8, "{id}");
            assert_eq!(FieldId::from_name(field.name), Some(id));
            if let Some(other) = field.other_name {
                assert_eq!(FieldId::from_name(other), Some(id));
            }
            for header in field.headers {
                assert_eq!(FieldId::from_header_name(header.name), Some(id));
            }
        }
        assert_eq!(FieldId::reg(15).map(FieldId::name), Some("reg15"));
        assert_eq!(FieldId::tun_metadata(63).map(FieldId::name), Some("tun_metadata63"));
        assert_eq!(FieldId::reg(16), None);
        assert_eq!(FieldId::from_name("nw_src"), Some(FieldId::IPV4_SRC));
        assert_eq!(FieldId::from_name("nshc4"), Some(FieldId::NSH_C4));
    }

    #[test]
    fn pipeline_fields_are_those_before_ethernet() {
        assert!(FieldId::CT_TP_DST.is_pipeline() && FieldId::XXREG0.is_pipeline());
        assert!(!FieldId::ETH_SRC.is_pipeline() && !FieldId::NSH_TTL.is_pipeline());
    }
}
