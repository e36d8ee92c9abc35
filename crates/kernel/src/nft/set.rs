//! Contents of sets and maps, as values and as elements.
//!
//! Intervals are what the kernel makes of them: a start, and behind the last value an element marked as
//! the end, which is left out when the interval reaches the largest value.

use super::constants::{DATA_VALUE, LIST_ELEMENT, data_type, set};
use crate::netlink::{Attribute, Attributes, Message};
use ipnet::{Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};
use netloom_compile::object::firewall::{Networks, PortRange, Ports};
use netloom_wire::InterfaceName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a set of ours can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    V4(Networks<Ipv4Net>),
    V6(Networks<Ipv6Net>),
    Ports(Ports),
    Interfaces(BTreeSet<InterfaceName>),
    /// Protocols or ICMP types; the data type tells which, for listings only.
    Octets(u32, BTreeSet<u8>),
    /// A map from 0, 1, 2 ... to targets of a translation; all of one family, all with or without port.
    Targets(Vec<(IpAddr, Option<u16>)>),
}

/// What a set says of itself (`NFTA_SET_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) flags: u32,
    pub(super) key_type: u32,
    pub(super) key_length: u32,
    /// Type and length of the data of a map.
    pub(super) data: Option<(u32, u32)>,
}

/// Takes an element: key, whether it ends an interval, data of a map.
pub(super) type TakeElement<'a> = &'a mut dyn FnMut(&[u8], bool, Option<&[u8]>);

/// One element as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) key: Vec<u8>,
    pub(super) end: bool,
    pub(super) data: Option<Vec<u8>>,
}

/// An interface name as the kernel compares it: `IFNAMSIZ` octets, zeros at the end.
pub(super) fn name_octets(name: &InterfaceName) -> Vec<u8> {
    let mut octets = name.as_str().as_bytes().to_vec();
    octets.resize(libc::IFNAMSIZ, 0);
    octets
}

/// The other way round; `None` for what is not a full name.
pub(super) fn octets_name(octets: &[u8]) -> Option<InterfaceName> {
    if octets.len() != libc::IFNAMSIZ {
        return None;
    }
    let end = octets.iter().position(|octet| *octet == 0)?;
    let (name, rest) = octets.split_at_checked(end)?;
    if rest.iter().any(|octet| *octet != 0) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}

impl Content {
    /// The template from which the kernel makes the name of an anonymous set.
    pub(super) const fn anonymous_name(&self) -> &'static str {
        if matches!(self, Self::Targets(_)) { "__map%d" } else { "__set%d" }
    }

    /// Type, lengths and flags; the flags that make it anonymous are the caller's.
    pub(super) fn shape(&self) -> Shape {
        let plain = |key_type, key_length, flags| Shape { flags, key_type, key_length, data: None };
        match self {
            Self::V4(_) => plain(data_type::IPV4, 4, set::INTERVAL),
            Self::V6(_) => plain(data_type::IPV6, 16, set::INTERVAL),
            Self::Ports(_) => plain(data_type::PORT, 2, set::INTERVAL),
            Self::Interfaces(_) => plain(data_type::INTERFACE_NAME, libc::IFNAMSIZ as u32, 0),
            Self::Octets(key_type, _) => plain(*key_type, 1, 0),
            Self::Targets(list) => {
                let (mut kind, mut length) = match list.first() {
                    Some((IpAddr::V6(_), _)) => (data_type::IPV6, 16),
                    _ => (data_type::IPV4, 4),
                };
                if list.first().is_some_and(|(_, port)| port.is_some()) {
                    kind = kind << data_type::BITS | data_type::PORT;
                    length += 4;
                }
                Shape {
                    flags: set::MAP,
                    key_type: data_type::INTEGER,
                    key_length: 4,
                    data: Some((kind, length)),
                }
            }
        }
    }

    /// Whether keys are numbers of the host's byte order; the others are of the network's.
    pub(super) const fn host_order(&self) -> bool {
        matches!(self, Self::Targets(_) | Self::Interfaces(_))
    }

    /// How many elements a set without intervals has.
    pub(super) fn size(&self) -> Option<u32> {
        let size = match self {
            Self::Interfaces(names) => names.len(),
            Self::Octets(_, octets) => octets.len(),
            Self::Targets(list) => list.len(),
            _ => return None,
        };
        u32::try_from(size).ok()
    }

    /// Calls `each` with every element.
    pub(super) fn for_each(&self, each: TakeElement<'_>) {
        match self {
            Self::V4(list) => {
                let nets = list.as_slice().iter();
                for_each_run(
                    nets.map(|n| (u32::from(n.network()).into(), u32::from(n.broadcast()).into())),
                    4,
                    each,
                );
            }
            Self::V6(list) => {
                let nets = list.as_slice().iter();
                for_each_run(nets.map(|n| (n.network().into(), n.broadcast().into())), 16, each);
            }
            Self::Ports(list) => {
                let ranges = list.as_slice().iter();
                for_each_run(ranges.map(|range| (range.first().into(), range.last().into())), 2, each);
            }
            Self::Interfaces(names) => names.iter().for_each(|name| each(&name_octets(name), false, None)),
            Self::Octets(_, octets) => octets.iter().for_each(|octet| each(&[*octet], false, None)),
            Self::Targets(list) => {
                for (index, (address, port)) in list.iter().enumerate() {
                    let mut data = match address {
                        IpAddr::V4(address) => address.octets().to_vec(),
                        IpAddr::V6(address) => address.octets().to_vec(),
                    };
                    if let Some(port) = port {
                        data.extend_from_slice(&port.to_be_bytes());
                        data.extend_from_slice(&[0; 2]);
                    }
                    each(&(index as u32).to_ne_bytes(), false, Some(&data));
                }
            }
        }
    }

    /// Reads elements; the problem in words when they are nothing of ours.
    pub(super) fn from_elements(shape: Shape, elements: &[Element]) -> Result<Self, String> {
        let allowed = set::ANONYMOUS | set::CONSTANT | set::INTERVAL | set::MAP;
        if shape.flags & !allowed != 0 || shape.data.is_some() != (shape.flags & set::MAP != 0) {
            return Err(format!("set with flags {:#x}", shape.flags));
        }
        if shape.data.is_some() {
            return targets(shape, elements).map(Self::Targets).ok_or_else(|| "map".to_owned());
        }
        let content = match (shape.key_type, shape.key_length) {
            (data_type::IPV4, 4) => intervals(shape, elements, 4).map(|list| {
                Self::V4(
                    list.into_iter()
                        .flat_map(|(low, high)| {
                            Ipv4Subnets::new(Ipv4Addr::from(low as u32), Ipv4Addr::from(high as u32), 0)
                        })
                        .collect(),
                )
            }),
            (data_type::IPV6, 16) => intervals(shape, elements, 16).map(|list| {
                Self::V6(
                    list.into_iter()
                        .flat_map(|(low, high)| {
                            Ipv6Subnets::new(Ipv6Addr::from(low), Ipv6Addr::from(high), 0)
                        })
                        .collect(),
                )
            }),
            (data_type::PORT, 2) => intervals(shape, elements, 2).map(|list| {
                Self::Ports(
                    list.into_iter().map(|(low, high)| PortRange::new(low as u16, high as u16)).collect(),
                )
            }),
            (data_type::INTERFACE_NAME, 16) if shape.flags & set::INTERVAL == 0 => elements
                .iter()
                .map(|element| octets_name(&element.key))
                .collect::<Option<_>>()
                .map(Self::Interfaces),
            (kind, 1) if shape.flags & set::INTERVAL == 0 => {
                let octets = elements.iter().map(|element| element.key.first().copied());
                octets.collect::<Option<_>>().map(|octets| Self::Octets(kind, octets))
            }
            _ => None,
        };
        content.ok_or_else(|| format!("set of type {} and length {}", shape.key_type, shape.key_length))
    }
}

/// Calls `each` with the elements of ascending inclusive intervals of numbers of `length` octets.
///
/// Neighbours become one interval: in an anonymous set a kernel like 6.12 takes a key at which one interval ends
/// for one that is not in the set, without a look at the interval that begins there (`__nft_rbtree_lookup`,
/// net/netfilter/nft_set_rbtree.c).
fn for_each_run(list: impl Iterator<Item = (u128, u128)>, length: usize, each: TakeElement<'_>) {
    let largest = if length == 16 { u128::MAX } else { (1 << (8 * length)) - 1 };
    let mut point = |number: u128, end: bool| {
        let octets = number.to_be_bytes();
        each(octets.get(octets.len() - length..).unwrap_or_default(), end, None);
    };
    let mut open: Option<u128> = None;
    for (low, high) in list {
        match open {
            Some(last) if last.checked_add(1) == Some(low) => {}
            Some(last) => {
                point(last + 1, true);
                point(low, false);
            }
            None => point(low, false),
        }
        open = Some(high);
    }
    if let Some(last) = open.filter(|last| *last < largest) {
        point(last + 1, true);
    }
}

/// Inclusive intervals of numbers of `length` octets. `None` when starts and ends do not fit together.
fn intervals(shape: Shape, elements: &[Element], length: usize) -> Option<Vec<(u128, u128)>> {
    let largest = if length == 16 { u128::MAX } else { (1 << (8 * length)) - 1 };
    let mut points = Vec::with_capacity(elements.len());
    for element in elements {
        if element.key.len() != length {
            return None;
        }
        let key = element.key.iter().fold(0_u128, |sum, octet| sum << 8 | u128::from(*octet));
        points.push((key, element.end));
    }
    if shape.flags & set::INTERVAL == 0 {
        return Some(points.into_iter().map(|(key, _)| (key, key)).collect());
    }
    // Of two at one place, the end of one interval comes before the start of the next.
    points.sort_unstable_by_key(|(key, end)| (*key, !end));
    let mut list = Vec::with_capacity(points.len().div_ceil(2));
    let mut start = None;
    for (key, end) in points {
        match (start, end) {
            (None, false) => start = Some(key),
            (Some(low), true) => {
                list.push((low, key.checked_sub(1)?));
                start = None;
            }
            // nft(8) marks what lies below the first interval.
            (None, true) if key == 0 => {}
            _ => return None,
        }
    }
    list.extend(start.map(|low| (low, largest)));
    Some(list)
}

/// The targets of a map whose keys are 0, 1, 2 ...
fn targets(shape: Shape, elements: &[Element]) -> Option<Vec<(IpAddr, Option<u16>)>> {
    if shape.key_length != 4 || shape.key_type != data_type::INTEGER || shape.flags & set::INTERVAL != 0 {
        return None;
    }
    let mut map = BTreeMap::new();
    for element in elements {
        let key = u32::from_ne_bytes(element.key.as_slice().try_into().ok()?);
        map.insert(key, target(element.data.as_deref()?)?);
    }
    let in_order = map.keys().enumerate().all(|(index, key)| index as u32 == *key);
    if in_order { Some(map.into_values().collect()) } else { None }
}

fn target(data: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let split = if data.len() < 16 { 4 } else { 16 };
    let (address, rest) = data.split_at_checked(split)?;
    let address = match <[u8; 4]>::try_from(address) {
        Ok(octets) => IpAddr::from(octets),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
    };
    let port = match rest {
        [] => None,
        [high, low, 0, 0] => Some(u16::from_be_bytes([*high, *low])),
        _ => return None,
    };
    Some((address, port))
}

/// Appends an element.
pub(super) fn write_element(message: &mut Message<'_>, key: &[u8], end: bool, data: Option<&[u8]>) {
    message.nest(LIST_ELEMENT, |m| {
        m.nest(set::ELEMENT_KEY, |m| {
            m.octets(DATA_VALUE, key);
        });
        if end {
            m.u32_be(set::ELEMENT_FLAGS, set::INTERVAL_END);
        }
        if let Some(data) = data {
            m.nest(set::ELEMENT_DATA, |m| {
                m.octets(DATA_VALUE, data);
            });
        }
    });
}

/// Reads an element; `None` for one that no set of ours can have.
pub(super) fn parse_element(element: Attribute<'_>) -> Option<Element> {
    let attributes = element.nested();
    let flags = attributes.get(set::ELEMENT_FLAGS).and_then(Attribute::u32_be).unwrap_or(0);
    if flags & !set::INTERVAL_END != 0 || attributes.get(set::ELEMENT_KEY_END).is_some() {
        return None;
    }
    let value = |kind| Some(attributes.get(kind)?.nested().get(DATA_VALUE)?.value.to_vec());
    Some(Element {
        key: value(set::ELEMENT_KEY)?,
        end: flags & set::INTERVAL_END != 0,
        data: value(set::ELEMENT_DATA),
    })
}

/// Reads what a set says of itself.
pub(super) fn parse_shape(attributes: Attributes<'_>) -> Option<Shape> {
    let number = |kind| attributes.get(kind).and_then(Attribute::u32_be);
    let flags = number(set::FLAGS).unwrap_or(0);
    let data = match (number(set::DATA_TYPE), number(set::DATA_LENGTH)) {
        (Some(kind), Some(length)) => Some((kind, length)),
        _ => None,
    };
    Some(Shape { flags, key_type: number(set::KEY_TYPE)?, key_length: number(set::KEY_LENGTH)?, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_interval() {
        let nets = ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.9/32", "255.255.255.255/32"];
        let content = Content::V4(nets.iter().map(|net| net.parse::<Ipv4Net>().unwrap()).collect());
        let mut elements = Vec::new();
        content.for_each(&mut |key, end, _| elements.push(Element { key: key.to_vec(), end, data: None }));
        let points: Vec<(u8, bool)> = elements.iter().map(|element| (element.key[3], element.end)).collect();
        assert_eq!(points, [(1, false), (3, true), (9, false), (10, true), (255, false)]);
        assert_eq!(Content::from_elements(content.shape(), &elements), Ok(content));
    }
}
