//! Where the fields of OpenFlow lie in the flow key.
//!
//! What: a field is up to 16 runs of bits of the key's words. The key that the tables see is in *normal form*: ports have
//! OpenFlow's numbers, and bit 12 of a VLAN tag says that there is one, as in Open vSwitch (its drop eligibility is
//! never looked at). [`super::translate`] brings the data path's key into it and masks out of it.
//!
//! Deliberately absent: `tun_erspan_*`, `tun_gtpu_*`, `skb_priority` and `nd_options_type`, which the key has no room for.

mod back;

pub use back::to_match;

use netloom_proto::openflow::field::flags::VLAN_PRESENT;
use netloom_proto::openflow::{FieldId, Match, OfPort, Value};
use netloom_table::{Field, Key, Mask};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Words in which tunnel options lie.
const SPACE: u8 = 48;
/// Octets of them.
const SPACE_OCTETS: u16 = 128;

/// The bit that says that a mapped option is there. The key has 32 of them; of later options only the value is known.
const fn presence(number: u8) -> u64 {
    if number < 32 { 1 << number } else { 0 }
}

/// Which options of Geneve are `tun_metadata0` to 63, and where in the key's space for options each lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlvMap {
    /// Class, type, octets and first octet in the space, for each field that is mapped.
    entries: std::collections::BTreeMap<u8, TlvEntry>,
}

/// An option of Geneve that is a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlvEntry {
    /// Class of the option.
    pub class: u16,
    /// Type of the option.
    pub kind: u8,
    /// Octets: a multiple of 4 up to 124.
    pub octets: u8,
    /// Its first octet in the space.
    pub offset: u8,
}

/// Why an option was not mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    /// Its length is not a multiple of 4 from 4 to 124, or the field's number is over 63.
    #[error("an option of {0} octets cannot be mapped to a field")]
    BadLength(u8),
    /// The field or the option is mapped already.
    #[error("the field tun_metadata{0} or its option is mapped already")]
    Duplicate(u8),
    /// There is no room for so many octets.
    #[error("there is no room for {0} more octets of options")]
    Full(u8),
    /// The field is not mapped.
    #[error("the field tun_metadata{0} is not mapped")]
    Missing(u8),
}

impl TlvMap {
    /// The fields that are mapped.
    pub fn iter(&self) -> impl Iterator<Item = (u8, TlvEntry)> + '_ {
        self.entries.iter().map(|(field, entry)| (*field, *entry))
    }

    /// Where a field lies.
    #[must_use]
    pub fn get(&self, field: u8) -> Option<TlvEntry> {
        self.entries.get(&field).copied()
    }

    /// Maps a field.
    ///
    /// # Errors
    /// When it or the option is mapped already, or there is no room.
    pub fn add(&mut self, field: u8, class: u16, kind: u8, octets: u8) -> Result<(), TlvError> {
        if octets == 0 || octets > 124 || !octets.is_multiple_of(4) || field > 63 {
            return Err(TlvError::BadLength(octets));
        }
        let same = |entry: &TlvEntry| (entry.class, entry.kind) == (class, kind);
        if self.entries.contains_key(&field) || self.entries.values().any(same) {
            return Err(TlvError::Duplicate(field));
        }
        let mut taken: Vec<(u16, u16)> = self
            .entries
            .values()
            .map(|entry| (u16::from(entry.offset), u16::from(entry.offset) + u16::from(entry.octets)))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (from, to) in taken {
            if offset + u16::from(octets) <= from {
                break;
            }
            offset = to;
        }
        if offset + u16::from(octets) > SPACE_OCTETS {
            return Err(TlvError::Full(octets));
        }
        self.entries.insert(field, TlvEntry { class, kind, octets, offset: offset as u8 });
        Ok(())
    }

    /// Maps a field to where it was mapped before.
    pub(super) fn put(&mut self, field: u8, entry: TlvEntry) {
        self.entries.insert(field, entry);
    }

    /// Maps a field no more.
    ///
    /// # Errors
    /// When it is not mapped.
    pub fn remove(&mut self, field: u8) -> Result<(), TlvError> {
        self.entries.remove(&field).map(drop).ok_or(TlvError::Missing(field))
    }

    /// Maps nothing.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

/// A run of bits: where in the key, and which bits of the value.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    word: u8,
    shift: u8,
    bits: u8,
    /// The lowest bit of the value.
    low: u16,
}

impl Part {
    const fn ones(self) -> u64 {
        if self.bits == 64 { u64::MAX } else { (1 << self.bits) - 1 }
    }
}

/// Runs of a field.
#[derive(Debug, Clone, Copy)]
struct Parts {
    list: [Part; 17],
    count: usize,
}

impl Parts {
    const fn none() -> Self {
        Self { list: [Part { word: 0, shift: 0, bits: 0, low: 0 }; 17], count: 0 }
    }

    fn push(&mut self, part: Part) {
        if let Some(place) = self.list.get_mut(self.count) {
            *place = part;
            self.count += 1;
        }
    }

    /// The fields, the least significant first.
    fn of(fields: &[Field]) -> Self {
        let mut parts = Self::none();
        let mut low = 0;
        for field in fields {
            parts.push(Part {
                word: field.word() as u8,
                shift: field.shift() as u8,
                bits: field.bits() as u8,
                low,
            });
            low += field.bits() as u16;
        }
        parts
    }

    /// Some bits of a field: from which on, how many, and the lowest bit of the value.
    fn bits(field: Field, from: u8, bits: u8, low: u16) -> Self {
        let mut parts = Self::none();
        parts.push(Part { word: field.word() as u8, shift: field.shift() as u8 + from, bits, low });
        parts
    }

    fn iter(&self) -> impl Iterator<Item = Part> + '_ {
        self.list.iter().take(self.count).copied()
    }
}

const XREGS: [Field; 8] = [
    Field::XREG0,
    Field::XREG1,
    Field::XREG2,
    Field::XREG3,
    Field::XREG4,
    Field::XREG5,
    Field::XREG6,
    Field::XREG7,
];

/// Where a field lies; nowhere, if the key does not have it.
#[inline]
fn parts(field: FieldId, map: &TlvMap) -> Cow<'static, Parts> {
    match field.as_tun_metadata() {
        Some(number) => Cow::Owned(options(map.get(number))),
        None => Cow::Borrowed(&PLACES[field.index() % FieldId::COUNT]),
    }
}

/// Where fields lie that always lie at the same place, by number.
static PLACES: LazyLock<[Parts; FieldId::COUNT]> = LazyLock::new(|| {
    let mut places = [const { Parts::none() }; FieldId::COUNT];
    FieldId::all().zip(&mut places).for_each(|(field, place)| *place = place_of(field));
    places
});

fn place_of(field: FieldId) -> Parts {
    if let Some(number) = field.as_reg() {
        let upper = number % 2 == 0;
        return Parts::bits(XREGS[usize::from(number / 2)], if upper { 32 } else { 0 }, 32, 0);
    }
    if let Some(number) = field.as_xreg() {
        return Parts::of(&[XREGS[usize::from(number)]]);
    }
    if let Some(number) = field.as_xxreg() {
        let first = usize::from(number) * 2;
        return Parts::of(&[XREGS[first + 1], XREGS[first]]);
    }
    match field {
        FieldId::DP_HASH => Parts::of(&[Field::DP_HASH]),
        FieldId::RECIRC_ID => Parts::of(&[Field::RECIRCULATION]),
        FieldId::PACKET_TYPE => Parts::of(&[Field::PACKET_TYPE]),
        FieldId::CONJ_ID => Parts::of(&[Field::CONJ_ID]),
        FieldId::TUN_ID => Parts::of(&[Field::TUN_ID]),
        FieldId::TUN_SRC => Parts::of(&[Field::TUN_SRC]),
        FieldId::TUN_DST => Parts::of(&[Field::TUN_DST]),
        FieldId::TUN_IPV6_SRC => Parts::of(&[Field::TUN6_SRC_LOW, Field::TUN6_SRC_HIGH]),
        FieldId::TUN_IPV6_DST => Parts::of(&[Field::TUN6_DST_LOW, Field::TUN6_DST_HIGH]),
        FieldId::TUN_FLAGS => Parts::of(&[Field::TUN_FLAGS]),
        FieldId::TUN_TTL => Parts::of(&[Field::TUN_TTL]),
        FieldId::TUN_TOS => Parts::of(&[Field::TUN_TOS]),
        FieldId::TUN_GBP_ID => Parts::of(&[Field::TUN_GBP_ID]),
        FieldId::TUN_GBP_FLAGS => Parts::of(&[Field::TUN_GBP_FLAGS]),
        FieldId::METADATA => Parts::of(&[Field::METADATA]),
        FieldId::IN_PORT | FieldId::IN_PORT_OXM => Parts::bits(Field::IN_PORT, 0, 16, 0),
        FieldId::ACTSET_OUTPUT => Parts::of(&[Field::ACTSET_OUTPUT]),
        FieldId::PKT_MARK => Parts::of(&[Field::PKT_MARK]),
        FieldId::CT_STATE => Parts::of(&[Field::CT_STATE]),
        FieldId::CT_ZONE => Parts::of(&[Field::CT_ZONE]),
        FieldId::CT_MARK => Parts::of(&[Field::CT_MARK]),
        FieldId::CT_LABEL => Parts::of(&[Field::CT_LABEL_LOW, Field::CT_LABEL_HIGH]),
        FieldId::CT_NW_PROTO => Parts::of(&[Field::CT_PROTO]),
        FieldId::CT_NW_SRC => Parts::of(&[Field::CT_SRC]),
        FieldId::CT_NW_DST => Parts::of(&[Field::CT_DST]),
        FieldId::CT_IPV6_SRC => Parts::of(&[Field::CT6_SRC_LOW, Field::CT6_SRC_HIGH]),
        FieldId::CT_IPV6_DST => Parts::of(&[Field::CT6_DST_LOW, Field::CT6_DST_HIGH]),
        FieldId::CT_TP_SRC => Parts::of(&[Field::CT_TP_SRC]),
        FieldId::CT_TP_DST => Parts::of(&[Field::CT_TP_DST]),
        FieldId::ETH_SRC => Parts::of(&[Field::ETH_SRC]),
        FieldId::ETH_DST => Parts::of(&[Field::ETH_DST]),
        FieldId::ETH_TYPE => Parts::of(&[Field::ETH_TYPE]),
        FieldId::VLAN_TCI => Parts::of(&[Field::VLAN_TCI]),
        FieldId::VLAN_VID => Parts::bits(Field::VLAN_TCI, 0, 13, 0),
        FieldId::DL_VLAN => Parts::bits(Field::VLAN_TCI, 0, 12, 0),
        FieldId::VLAN_PCP | FieldId::DL_VLAN_PCP => Parts::bits(Field::VLAN_TCI, 13, 3, 0),
        FieldId::MPLS_LABEL => Parts::bits(Field::MPLS_OUTER, 12, 20, 0),
        FieldId::MPLS_TC => Parts::bits(Field::MPLS_OUTER, 9, 3, 0),
        FieldId::MPLS_BOS => Parts::bits(Field::MPLS_OUTER, 8, 1, 0),
        FieldId::MPLS_TTL => Parts::bits(Field::MPLS_OUTER, 0, 8, 0),
        FieldId::IPV4_SRC | FieldId::ARP_SPA => Parts::of(&[Field::IP4_SRC]),
        FieldId::IPV4_DST | FieldId::ARP_TPA => Parts::of(&[Field::IP4_DST]),
        FieldId::IPV6_SRC => Parts::of(&[Field::IP6_SRC_LOW, Field::IP6_SRC_HIGH]),
        FieldId::IPV6_DST => Parts::of(&[Field::IP6_DST_LOW, Field::IP6_DST_HIGH]),
        FieldId::IPV6_LABEL => Parts::bits(Field::IP6_LABEL, 0, 20, 0),
        FieldId::IP_PROTO | FieldId::ARP_OP => Parts::of(&[Field::IP_PROTO]),
        FieldId::IP_DSCP => Parts::bits(Field::IP_TOS, 2, 6, 2),
        FieldId::IP_DSCP_SHIFTED => Parts::bits(Field::IP_TOS, 2, 6, 0),
        FieldId::IP_ECN => Parts::bits(Field::IP_TOS, 0, 2, 0),
        FieldId::IP_TTL => Parts::of(&[Field::IP_TTL]),
        FieldId::IP_FRAG => Parts::bits(Field::IP_FRAG, 0, 2, 0),
        FieldId::ARP_SHA | FieldId::ND_SLL => Parts::of(&[Field::ARP_SHA]),
        FieldId::ARP_THA | FieldId::ND_TLL => Parts::of(&[Field::ARP_THA]),
        FieldId::TCP_SRC | FieldId::UDP_SRC | FieldId::SCTP_SRC => Parts::of(&[Field::TP_SRC]),
        FieldId::TCP_DST | FieldId::UDP_DST | FieldId::SCTP_DST => Parts::of(&[Field::TP_DST]),
        FieldId::ICMPV4_TYPE | FieldId::ICMPV6_TYPE => Parts::bits(Field::TP_SRC, 0, 8, 0),
        FieldId::ICMPV4_CODE | FieldId::ICMPV6_CODE => Parts::bits(Field::TP_DST, 0, 8, 0),
        FieldId::TCP_FLAGS => Parts::of(&[Field::TCP_FLAGS]),
        FieldId::ND_TARGET => Parts::of(&[Field::ND_TARGET_LOW, Field::ND_TARGET_HIGH]),
        FieldId::ND_RESERVED => Parts::of(&[Field::ND_RESERVED]),
        FieldId::NSH_FLAGS => Parts::of(&[Field::NSH_FLAGS]),
        FieldId::NSH_MDTYPE => Parts::of(&[Field::NSH_MDTYPE]),
        FieldId::NSH_NP => Parts::of(&[Field::NSH_NP]),
        FieldId::NSH_SPI => Parts::bits(Field::NSH_PATH, 8, 24, 0),
        FieldId::NSH_SI => Parts::bits(Field::NSH_PATH, 0, 8, 0),
        FieldId::NSH_C1 => Parts::bits(Field::NSH_C12, 32, 32, 0),
        FieldId::NSH_C2 => Parts::bits(Field::NSH_C12, 0, 32, 0),
        FieldId::NSH_C3 => Parts::bits(Field::NSH_C34, 32, 32, 0),
        FieldId::NSH_C4 => Parts::bits(Field::NSH_C34, 0, 32, 0),
        FieldId::NSH_TTL => Parts::of(&[Field::NSH_TTL]),
        _ => Parts::none(),
    }
}

/// The runs of an option, which lies in the space octet by octet.
fn options(entry: Option<TlvEntry>) -> Parts {
    let mut parts = Parts::none();
    let Some(entry) = entry else { return parts };
    let (mut from, end) = (u16::from(entry.offset), u16::from(entry.offset) + u16::from(entry.octets));
    while from < end {
        let to = end.min((from / 8 + 1) * 8);
        parts.push(Part {
            word: SPACE + (from / 8) as u8,
            shift: ((8 - to % 8) % 8 * 8) as u8,
            bits: ((to - from) * 8) as u8,
            low: (end - to) * 8,
        });
        from = to;
    }
    parts
}

/// Whether the key has room for a field.
#[must_use]
pub fn has(field: FieldId, map: &TlvMap) -> bool {
    parts(field, map).count > 0
}

fn octets(field: FieldId, map: &TlvMap) -> usize {
    match field.as_tun_metadata() {
        Some(number) => map.get(number).map_or(0, |entry| usize::from(entry.octets)),
        None => usize::from(field.get().octets),
    }
}

/// A field's bits in the words of a key or a mask.
fn gather(words: &[u64; 64], field: FieldId, map: &TlvMap) -> Value {
    let parts = parts(field, map);
    let octets = octets(field, map);
    if octets <= 16 {
        let number = parts.iter().fold(0_u128, |number, part| {
            let bits = words[usize::from(part.word) % 64] >> part.shift & part.ones();
            number | u128::from(bits) << part.low
        });
        return Value::from_number(number, octets);
    }
    let mut value = Value::zero(octets);
    for part in parts.iter() {
        let bits = words[usize::from(part.word) % 64] >> part.shift & part.ones();
        value.insert(usize::from(part.low), usize::from(part.bits), &Value::from_number(u128::from(bits), 8));
    }
    value
}

/// A field's bits, one word after the other: word, bits in place.
fn scatter<'a>(value: &'a Value, parts: &'a Parts) -> impl Iterator<Item = (usize, u64)> + 'a {
    let long = value.len() > 16;
    let number = if long { 0 } else { value.to_u128() };
    parts.iter().map(move |part| {
        let bits = if long {
            value.extract(usize::from(part.low), usize::from(part.bits)).to_u64()
        } else {
            (number >> part.low) as u64
        };
        (usize::from(part.word), (bits & part.ones()) << part.shift)
    })
}

/// A port as its field of 32 bits has it.
fn is_wide(field: FieldId) -> bool {
    matches!(field, FieldId::IN_PORT_OXM | FieldId::ACTSET_OUTPUT)
}

/// A field's value; what the key has no room for is zero.
#[must_use]
pub fn read(key: &Key, field: FieldId, map: &TlvMap) -> Value {
    let value = gather(key.words(), field, map);
    if is_wide(field) {
        return Value::from_number(u128::from(OfPort(value.to_u64() as u16).wide()), 4);
    }
    value
}

/// Writes the bits of `mask`.
pub fn write(key: &mut Key, field: FieldId, value: &Value, mask: &Value, map: &TlvMap) {
    let parts = parts(field, map);
    let (value, mask) = if is_wide(field) {
        let port = OfPort::from_wide(value.to_u64() as u32).unwrap_or(OfPort::NONE);
        (Value::from_number(u128::from(port.0), 4), Value::from_number(0xffff, 4))
    } else {
        (value.resized(octets(field, map)), mask.resized(octets(field, map)))
    };
    for ((word, bits), (_, mask)) in scatter(&value, &parts).zip(scatter(&mask, &parts)) {
        key.set_word(word, key.word(word) & !mask | bits & mask);
    }
    if let Some(number) = field.as_tun_metadata().filter(|number| map.get(*number).is_some()) {
        key.set(Field::TUN_OPTIONS, key.get(Field::TUN_OPTIONS) | presence(number));
    }
}

/// Takes a tunnel's option out.
pub fn delete(key: &mut Key, field: FieldId, map: &TlvMap) {
    if let Some(number) = field.as_tun_metadata() {
        let zero = Value::zero(octets(field, map));
        write(key, field, &zero, &Value::ones(octets(field, map)), map);
        key.set(Field::TUN_OPTIONS, key.get(Field::TUN_OPTIONS) & !presence(number));
    }
}

/// Makes some bits of a field matter.
pub fn look(mask: &mut Mask, field: FieldId, bits: &Value, map: &TlvMap) {
    let bits = if is_wide(field) { Value::ones(4) } else { bits.resized(octets(field, map)) };
    for (word, bits) in scatter(&bits, &parts(field, map)) {
        mask.add_word(word, bits);
    }
    if let Some(number) = field.as_tun_metadata() {
        mask.add_bits(Field::TUN_OPTIONS, presence(number));
    }
}

/// Makes a field matter.
pub fn look_whole(mask: &mut Mask, field: FieldId, map: &TlvMap) {
    look(mask, field, &Value::ones(octets(field, map)), map);
}

/// The key and mask of a match.
///
/// # Errors
/// The field that the key has no room for.
pub fn to_key(matching: &Match, map: &TlvMap) -> Result<(Key, Mask), FieldId> {
    let (mut key, mut mask) = (Key::default(), Mask::default());
    for entry in matching.homes() {
        let parts = parts(entry.field, map);
        if parts.count == 0 {
            return Err(entry.field);
        }
        if is_wide(entry.field) {
            write(&mut key, entry.field, &entry.value, &entry.mask, map);
            look(&mut mask, entry.field, &entry.mask, map);
            continue;
        }
        let octets = octets(entry.field, map);
        let (value, bits) = (entry.value.resized(octets), entry.mask.resized(octets));
        for ((word, value), (_, bits)) in scatter(&value, &parts).zip(scatter(&bits, &parts)) {
            key.set_word(word, key.word(word) | value & bits);
            mask.add_word(word, bits);
        }
        if let Some(number) = entry.field.as_tun_metadata() {
            key.set(Field::TUN_OPTIONS, key.get(Field::TUN_OPTIONS) | presence(number));
            mask.add_bits(Field::TUN_OPTIONS, presence(number));
        }
    }
    Ok((key, mask))
}

const PRESENT: u64 = VLAN_PRESENT as u64;

/// Brings a key of the data path into normal form, for a packet that came through a port of OpenFlow's number.
pub(crate) fn normalise(key: &mut Key, port: OfPort) {
    key.set(Field::IN_PORT, u64::from(port.0));
    for (tpid, tci) in [(Field::VLAN_TPID, Field::VLAN_TCI), (Field::INNER_TPID, Field::INNER_TCI)] {
        // Without an EtherType there are no bits but in packets that somebody thought of.
        let value = if key.get(tpid) == 0 { key.get(tci) & !PRESENT } else { key.get(tci) | PRESENT };
        key.set(tci, value);
    }
}

/// Brings a key of the data path into the form that tables see, for a packet that came through a port of OpenFlow's number.
pub fn into_normal_form(key: &mut Key, port: OfPort) {
    normalise(key, port);
}

/// Brings a mask of normal form into the data path's: the presence of a tag is its EtherType.
pub(crate) fn denormalise(mask: &Mask) -> Mask {
    let mut out = Mask::default();
    for (word, bits) in mask.words().iter().enumerate() {
        let mut bits = *bits;
        // What the data path does not have: metadata and registers, the conjunction, the action set's port.
        if matches!(word, 31..=39 | 47) {
            continue;
        }
        if word == Field::VLAN_TCI.word() {
            for (tpid, tci) in [(Field::VLAN_TPID, Field::VLAN_TCI), (Field::INNER_TPID, Field::INNER_TCI)] {
                // Without a tag the bits are zero whatever the frame says, so the EtherType matters with each of them.
                if bits >> tci.shift() & tci.ones() != 0 {
                    bits |= tpid.ones() << tpid.shift();
                    bits &= !(PRESENT << tci.shift());
                }
            }
        }
        out.add_word(word, bits);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map() -> TlvMap {
        let mut map = TlvMap::default();
        map.add(0, 0x102, 0x80, 4).unwrap();
        map.add(1, 0xffff, 1, 124).unwrap();
        map
    }

    #[test]
    fn options_share_the_space() {
        let mut map = map();
        assert_eq!(map.get(1).unwrap().offset, 4);
        assert_eq!(map.add(2, 1, 1, 4), Err(TlvError::Full(4)));
        assert_eq!(map.add(2, 1, 1, 3), Err(TlvError::BadLength(3)));
        assert_eq!(map.add(3, 0x102, 0x80, 4), Err(TlvError::Duplicate(3)));
        map.remove(0).unwrap();
        map.add(5, 1, 1, 4).unwrap();
        assert_eq!(map.get(5).unwrap().offset, 0);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_matches_come_back(
            values in proptest::collection::vec((0..FieldId::COUNT, any::<[u8; 124]>(), any::<[u8; 124]>(), any::<bool>()), 1..12),
        ) {
            let map = map();
            let mut matching = Match::any();
            for (number, value, mask, whole) in values {
                let field = FieldId::all().nth(number).unwrap();
                if !has(field, &map) {
                    continue;
                }
                let octets = octets(field, &map);
                let (mut value, mut mask) =
                    (Value::from_octets(&value[..octets]).unwrap(), Value::from_octets(&mask[..octets]).unwrap());
                let ones = if field.as_tun_metadata().is_some() { Value::ones(octets) } else { field.get().ones() };
                (value, mask) = (value.and(&ones), mask.and(&ones));
                if is_wide(field) {
                    value = Value::from_number(value.to_u128() % 0xff00, 4);
                }
                let legal = matches!(field.get().maskable, netloom_proto::openflow::field::Maskable::Bitwise) && !whole;
                if !legal {
                    mask = ones;
                }
                if mask.is_zero() {
                    continue;
                }
                let mut key = Key::default();
                write(&mut key, field, &value, &mask, &map);
                let place = gather(key.words(), field, &map);
                prop_assert_eq!(read(&key, field, &map).and(&mask).and(&place), value.and(&mask).and(&place));
                matching.set_masked(field, &value.and(&mask), &mask);
            }
            let (key, mask) = to_key(&matching, &map).unwrap();
            let again = to_match(&key, &mask, &map);
            let (key_again, mask_again) = to_key(&again, &map).unwrap();
            prop_assert_eq!(&mask, &mask_again);
            prop_assert_eq!(key.masked(&mask), key_again.masked(&mask));
        }
    }
}
