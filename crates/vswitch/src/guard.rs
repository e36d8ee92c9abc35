//! Port security: what the station behind a port may say about itself and to others.
//!
//! What: pinned MAC and IP addresses with inspection of ARP and neighbour discovery, and ports behind which no DHCP
//! server and no IPv6 router may be (RA guard, RFC 6105 and its evasions in RFC 7113).
//!
//! Invariants: a packet is judged by its key only, and every bit that was looked at is in the mask. Where a header can't
//! be read whole on a port that inspects it, the packet is dropped: a guard that can be blinded is none.
//!
//! Deliberately absent: learning addresses from DHCP (snooping); they are given.

use netloom_nf::Reason;
use netloom_table::{Field, Key, Mask};
use netloom_wire::MacAddr;

const IP4: u64 = 0x0800;
const IP6: u64 = 0x86dd;
const ARP: u64 = 0x0806;
const RARP: u64 = 0x8035;
const IGMP: u64 = 2;
const UDP: u64 = 17;
const ICMP6: u64 = 58;
/// Of IP_FRAG: a fragment that is not the first has no transport header.
const LATER: u64 = 3;

/// Addresses that have their first bits in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// IPv4.
    V4 {
        /// The address.
        address: u32,
        /// How many bits count. Legal values: 0 to 32.
        length: u8,
    },
    /// IPv6.
    V6 {
        /// The address.
        address: u128,
        /// How many bits count. Legal values: 0 to 128.
        length: u8,
    },
}

impl Prefix {
    fn bits4(length: u8) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0)
    }

    fn bits6(length: u8) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0)
    }
}

/// What a port is guarded against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The addresses of the port: no other port may send from them, and frames to them go here unlearned.
    pub macs: Vec<MacAddr>,
    /// It may send from other addresses than its own too.
    pub forged: bool,
    /// It gets frames for stations that are not its own too.
    pub promiscuous: bool,
    /// IP addresses that it may send from; all when there are none.
    pub addresses: Vec<Prefix>,
    /// Most stations behind it; frames of others are dropped.
    pub most: Option<usize>,
    /// A DHCP server may be behind it.
    pub dhcp_server: bool,
    /// An IPv6 router may be behind it.
    pub router: bool,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            macs: Vec::new(),
            forged: false,
            promiscuous: true,
            addresses: Vec::new(),
            most: None,
            dhcp_server: true,
            router: true,
        }
    }
}

pub(crate) fn word(mac: MacAddr) -> u64 {
    mac.octets().iter().fold(0, |word, octet| word << 8 | u64::from(*octet))
}

impl Guard {
    /// Whether a station is one of the port's.
    #[must_use]
    pub fn owns(&self, mac: u64) -> bool {
        self.macs.iter().any(|own| word(*own) == mac)
    }

    /// Whether frames for a station may leave here.
    #[must_use]
    pub fn takes(&self, mac: u64) -> bool {
        self.promiscuous || self.owns(mac)
    }

    fn pins(&self) -> bool {
        !self.macs.is_empty() && !self.forged
    }

    /// Whether a packet may come in here.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, key: &Key, mask: &mut Mask) -> Result<(), Reason> {
        let mut look = Look { key, mask };
        if self.pins() && !self.owns(look.at(Field::ETH_SRC)) {
            return Err(Reason::Spoofed);
        }
        if !self.pins() && self.addresses.is_empty() && self.dhcp_server && self.router {
            return Ok(());
        }
        match look.at(Field::ETH_TYPE) {
            IP4 => self.ip4(&mut look),
            IP6 => self.ip6(&mut look),
            ARP | RARP => self.arp(&mut look),
            // Behind more tags than are read there may be anything.
            0x8100 | 0x88a8 => Err(Reason::Malformed),
            _ => Ok(()),
        }
    }

    fn arp(&self, look: &mut Look<'_>) -> Result<(), Reason> {
        if self.pins() && !self.owns(look.at(Field::ARP_SHA)) {
            return Err(Reason::ForgedNeighbour);
        }
        // A probe has no sender (RFC 5227, 1.1), nor has RARP.
        if self.allows4(look) || look.at(Field::IP4_SRC) == 0 { Ok(()) } else { Err(Reason::ForgedNeighbour) }
    }

    fn ip4(&self, look: &mut Look<'_>) -> Result<(), Reason> {
        if !self.allows4(look) {
            // A client without an address asks for one; IGMP may come from hosts without one (RFC 3376, 4.2.13).
            let unnumbered = look.at(Field::IP4_SRC) == 0
                && match look.at(Field::IP_PROTO) {
                    IGMP => true,
                    UDP => look.at(Field::TP_SRC) == 68 && look.at(Field::TP_DST) == 67,
                    _ => false,
                };
            if !unnumbered {
                return Err(Reason::ForeignAddress);
            }
        }
        self.dhcp(look, 67, 68)
    }

    /// A server is known by its port or by its clients': a client takes answers from any port.
    fn dhcp(&self, look: &mut Look<'_>, server: u64, client: u64) -> Result<(), Reason> {
        let rogue = !self.dhcp_server
            && look.at(Field::IP_PROTO) == UDP
            && (look.at(Field::TP_SRC) == server || look.at(Field::TP_DST) == client);
        if rogue { Err(Reason::RogueServer) } else { Ok(()) }
    }

    fn ip6(&self, look: &mut Look<'_>) -> Result<(), Reason> {
        let allowed = self.allows6(look, Field::IP6_SRC_HIGH, Field::IP6_SRC_LOW);
        match look.at(Field::IP_PROTO) {
            // The chain of headers is cut or too long, so that what comes behind it is hidden.
            0 => return Err(Reason::Malformed),
            ICMP6 if look.at(Field::IP_FRAG) != LATER => self.icmp6(look, allowed)?,
            _ if !allowed => return Err(Reason::ForeignAddress),
            _ => {}
        }
        self.dhcp(look, 547, 546)
    }

    fn icmp6(&self, look: &mut Look<'_>, allowed: bool) -> Result<(), Reason> {
        let kind = look.at(Field::TP_SRC);
        // Neighbour discovery is never cut (RFC 6980), and a first fragment shows its type.
        if look.at(Field::IP_FRAG) != 0 && matches!(kind, 0 | 133..=137) {
            return Err(Reason::Malformed);
        }
        if !self.router && matches!(kind, 134 | 137) {
            return Err(Reason::RogueRouter);
        }
        // Without an address yet: router and neighbour solicitations, reports of listeners.
        let unnumbered = |look: &mut Look<'_>| {
            matches!(kind, 131 | 133 | 135 | 143)
                && look.at(Field::IP6_SRC_HIGH) == 0
                && look.at(Field::IP6_SRC_LOW) == 0
        };
        if !allowed && !unnumbered(look) {
            return Err(Reason::ForeignAddress);
        }
        if !matches!(kind, 133 | 135 | 136) {
            return Ok(());
        }
        if look.at(Field::TP_DST) != 0 {
            return Err(Reason::Malformed);
        }
        if self.pins() {
            for field in [Field::ARP_SHA, Field::ARP_THA] {
                let mac = look.at(field);
                if mac != 0 && !self.owns(mac) {
                    return Err(Reason::ForgedNeighbour);
                }
            }
        }
        if kind == 136 && !self.allows6(look, Field::ND_TARGET_HIGH, Field::ND_TARGET_LOW) {
            return Err(Reason::ForgedNeighbour);
        }
        Ok(())
    }

    fn allows4(&self, look: &mut Look<'_>) -> bool {
        if self.addresses.is_empty() {
            return true;
        }
        let own = self.addresses.iter().filter_map(|prefix| match prefix {
            Prefix::V4 { address, length } => Some((*address, Prefix::bits4(*length))),
            Prefix::V6 { .. } => None,
        });
        let read = own.clone().fold(0, |read, (_, bits)| read | bits);
        let sender = look.bits(Field::IP4_SRC, u64::from(read)) as u32;
        own.into_iter().any(|(address, bits)| (address ^ sender) & bits == 0)
    }

    fn allows6(&self, look: &mut Look<'_>, high: Field, low: Field) -> bool {
        if self.addresses.is_empty() {
            return true;
        }
        let own = self.addresses.iter().filter_map(|prefix| match prefix {
            Prefix::V6 { address, length } => Some((*address, Prefix::bits6(*length))),
            Prefix::V4 { .. } => None,
        });
        let read = own.clone().fold(0, |read, (_, bits)| read | bits);
        let sender =
            u128::from(look.bits(high, (read >> 64) as u64)) << 64 | u128::from(look.bits(low, read as u64));
        own.into_iter().any(|(address, bits)| (address ^ sender) & bits == 0)
    }
}

/// Reads a key and notes what was read.
pub(crate) struct Look<'a> {
    pub(crate) key: &'a Key,
    pub(crate) mask: &'a mut Mask,
}

impl Look<'_> {
    pub(crate) fn at(&mut self, field: Field) -> u64 {
        self.bits(field, field.ones())
    }

    fn bits(&mut self, field: Field, bits: u64) -> u64 {
        self.mask.add_bits(field, bits);
        self.key.get(field) & bits
    }
}

#[cfg(test)]
mod tests;
