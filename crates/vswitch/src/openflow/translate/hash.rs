//! Actions that hash: `multipath`, `bundle`.
//!
//! The numbers are our own; those of Open vSwitch depend on its build.

use super::context::{Context, is_ip};
use super::fields::Target;
use netloom_proto::openflow::action::{Bundle, BundleAlgorithm, HashFields, Multipath, MultipathAlgorithm};
use netloom_proto::openflow::{OfPort, Value};
use netloom_table::Field;

pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word ^ 0x2545_f491_4f6c_dd1d) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
    (product >> 64) as u64 ^ product as u64
}

impl Context<'_> {
    /// A hash of some fields of the packet.
    pub(super) fn hash(&mut self, fields: HashFields, basis: u16) -> u32 {
        let mut hash = mix(u64::from(basis), fields as u64);
        let ip = is_ip(&self.flow);
        let six = self.flow.get(Field::ETH_TYPE) == 0x86dd;
        let sources: &[Field] =
            if six { &[Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW] } else { &[Field::IP4_SRC] };
        let destinations: &[Field] =
            if six { &[Field::IP6_DST_HIGH, Field::IP6_DST_LOW] } else { &[Field::IP4_DST] };
        match fields {
            HashFields::EthSrc => hash = mix(hash, self.look(Field::ETH_SRC)),
            HashFields::IpSrc | HashFields::IpDst => {
                let of = if fields == HashFields::IpSrc { sources } else { destinations };
                for field in of.iter().filter(|_| ip) {
                    hash = mix(hash, self.look(*field));
                }
            }
            _ => {
                if fields == HashFields::SymmetricL4 {
                    hash = mix(hash, self.look(Field::ETH_SRC) ^ self.look(Field::ETH_DST));
                    hash = mix(hash, self.look(Field::VLAN_TCI) & 0xfff);
                    hash = mix(hash, self.flow.get(Field::ETH_TYPE));
                }
                if !ip {
                    return (hash >> 16) as u32;
                }
                for (source, destination) in sources.iter().zip(destinations) {
                    hash = mix(hash, self.look(*source) ^ self.look(*destination));
                }
                if fields == HashFields::SymmetricL3 {
                    return (hash >> 16) as u32;
                }
                let protocol = self.look(Field::IP_PROTO);
                hash = mix(hash, protocol);
                let udp = protocol == 17 && fields == HashFields::SymmetricL3L4Udp;
                if matches!(protocol, 6 | 132) || udp {
                    hash = mix(hash, self.look(Field::TP_SRC) ^ self.look(Field::TP_DST));
                }
            }
        }
        (hash >> 16) as u32
    }

    pub(super) fn multipath(&mut self, action: &Multipath) {
        let hash = self.hash(action.fields, action.basis);
        let links = u32::from(action.max_link) + 1;
        let link = match action.algorithm {
            MultipathAlgorithm::ModuloN => hash % links,
            MultipathAlgorithm::HashThreshold => ((u64::from(hash) * u64::from(links)) >> 32) as u32,
            MultipathAlgorithm::HighestWeight => highest(hash, 0..links).unwrap_or(0),
            MultipathAlgorithm::IterativeHash => iterate(hash, links, action.argument),
        };
        self.write(Target::of(action.target), &Value::from_number(u128::from(link), 4));
    }

    pub(super) fn bundle(&mut self, bundle: &Bundle) {
        let hash = self.hash(bundle.fields, bundle.basis);
        let live: Vec<bool> =
            bundle.members.iter().map(|port| self.entry(*port).is_some_and(|entry| entry.works())).collect();
        let living = (0..bundle.members.len() as u32).filter(|member| live[*member as usize]);
        let chosen = match bundle.algorithm {
            BundleAlgorithm::ActiveBackup => living.into_iter().next(),
            BundleAlgorithm::HighestWeight => highest(hash, living),
        };
        let port =
            chosen.and_then(|member| bundle.members.get(member as usize)).copied().unwrap_or(OfPort::NONE);
        match bundle.target {
            Some(target) => {
                self.write(Target::of(target), &Value::from_number(u128::from(port.0), 2));
            }
            None => self.output_action(port, None),
        }
    }
}

/// The link with the highest random weight (RFC 2992 calls it that).
fn highest(hash: u32, links: impl Iterator<Item = u32>) -> Option<u32> {
    links.max_by_key(|link| mix(u64::from(hash), u64::from(*link)))
}

/// Hashes until the number fits, or `most` times.
fn iterate(hash: u32, links: u32, most: u32) -> u32 {
    let modulo = links.checked_next_power_of_two().unwrap_or(u32::MAX);
    let tries = most.clamp(1, 64);
    let mut hash = u64::from(hash);
    for number in 0..tries {
        hash = mix(hash, u64::from(number));
        let link = hash as u32 & (modulo - 1);
        if link < links {
            return link;
        }
    }
    (hash % u64::from(links)) as u32
}
