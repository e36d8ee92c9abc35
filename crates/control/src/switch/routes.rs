//! Routes and neighbours for tunnels that somebody set by hand, beside those of the system (`ovs-appctl ovs/route/add`,
//! `tnl/neigh/set`), and addresses of ports that the system does not know (ports for tests).
//!
//! What: a tunnel's other end is looked for here first. A route leads to an interface and maybe a gateway; the address of a
//! neighbour on it is one that was set, or else the system's.
//!
//! Invariants: at most [`MOST`] routes and neighbours. A route has a source address, or it is not taken. What was set by hand
//! ends with the daemon.
//!
//! Deliberately absent: ARP and ND of our own on interfaces that the system does not know.

use netloom_wire::MacAddr;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Routes, and neighbours.
const MOST: usize = 65_536;
/// Nanoseconds for which a neighbour counts unless somebody says otherwise.
const AGEING: u64 = 900_000_000_000;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    /// Of the network; other bits are zero.
    pub(super) address: IpAddr,
    pub(super) length: u8,
}

fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl Range {
    /// The range of so many bits around an address; none if there are not so many.
    pub(super) fn around(address: IpAddr, length: u8) -> Option<Self> {
        let (value, most) = bits(address);
        let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
        let network = value & mask;
        let address = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits((network >> 96) as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(network)),
        };
        (length <= most).then_some(Self { address, length })
    }

    /// Reads `ADDRESS/LENGTH`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        Self::around(address.parse().ok()?, length.parse().ok()?)
    }

    pub(super) fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Self::around(address, self.length).is_some_and(|range| range.address == self.address)
    }
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: Range,
    /// The interface, by its name.
    pub(super) device: String,
    pub(super) gateway: Option<IpAddr>,
    /// Only packets with this mark; 0 for those without one.
    pub(super) mark: u32,
    /// From which address.
    pub(super) source: IpAddr,
}

/// Why a route is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoSource;

/// All of it.
#[derive(Debug)]
pub(super) struct Routes {
    routes: Vec<Route>,
    /// Neighbours by interface and address, and until when they count.
    neighbours: BTreeMap<(String, IpAddr), (MacAddr, u64)>,
    /// Addresses of interfaces that the system does not know.
    addresses: BTreeMap<String, Vec<(IpAddr, u8)>>,
    /// Nanoseconds for which a neighbour counts.
    pub(super) ageing: u64,
}

impl Default for Routes {
    fn default() -> Self {
        Self { routes: Vec::new(), neighbours: BTreeMap::new(), addresses: BTreeMap::new(), ageing: AGEING }
    }
}

impl Routes {
    /// Gives an interface an address.
    pub(super) fn set_address(&mut self, device: &str, address: IpAddr, length: u8) {
        let all = self.addresses.entry(device.to_owned()).or_default();
        all.retain(|(known, _)| known.is_ipv4() != address.is_ipv4());
        all.push((address, length));
    }

    /// The address of an interface by which others of this range are reached.
    pub(super) fn address(&self, device: &str, towards: IpAddr) -> Option<IpAddr> {
        let near = |(address, length): &&(IpAddr, u8)| {
            Range::around(*address, *length).is_some_and(|range| range.has(towards))
        };
        self.addresses.get(device)?.iter().find(near).map(|(address, _)| *address)
    }

    /// Adds a route. `system` gives the address by which the system would reach another through an interface.
    ///
    /// # Errors
    /// When the interface has no address on the way, or there are too many.
    pub(super) fn add(
        &mut self,
        to: Range,
        device: &str,
        gateway: Option<IpAddr>,
        mark: u32,
        system: impl Fn(IpAddr) -> Option<IpAddr>,
    ) -> Result<(), NoSource> {
        let next = gateway.unwrap_or(to.address);
        let source = self.address(device, next).or_else(|| system(next)).ok_or(NoSource)?;
        self.routes.retain(|known| (known.to, known.mark) != (to, mark));
        if self.routes.len() >= MOST {
            return Err(NoSource);
        }
        self.routes.push(Route { to, device: device.to_owned(), gateway, mark, source });
        self.routes.sort_by_key(|route| (u8::MAX - route.to.length, route.to, route.mark));
        Ok(())
    }

    /// Takes a route away; false if there is none.
    pub(super) fn remove(&mut self, to: Range, mark: u32) -> bool {
        let before = self.routes.len();
        self.routes.retain(|known| (known.to, known.mark) != (to, mark));
        self.routes.len() != before
    }

    /// All routes, longest first.
    pub(super) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route to an address: the longest.
    pub(super) fn route(&self, to: IpAddr, mark: u32) -> Option<&Route> {
        let fits = |route: &&Route| route.mark == mark && route.to.has(to);
        self.routes.iter().find(fits)
    }

    /// Notes a neighbour on an interface.
    pub(super) fn set_neighbour(&mut self, device: &str, address: IpAddr, mac: MacAddr, now: u64) {
        let place = (device.to_owned(), address);
        if self.neighbours.len() < MOST || self.neighbours.contains_key(&place) {
            self.neighbours.insert(place, (mac, now.saturating_add(self.ageing)));
        }
    }

    /// The Ethernet address of a neighbour.
    pub(super) fn neighbour(&self, device: &str, address: IpAddr) -> Option<MacAddr> {
        self.neighbours.get(&(device.to_owned(), address)).map(|(mac, _)| *mac)
    }

    /// All neighbours: interface, address, Ethernet address.
    pub(super) fn neighbours(&self) -> impl Iterator<Item = (&str, IpAddr, MacAddr)> {
        self.neighbours.iter().map(|((device, address), (mac, _))| (device.as_str(), *address, *mac))
    }

    /// Forgets neighbours whose time has come, and those on interfaces that are gone.
    pub(super) fn age(&mut self, now: u64, is_there: impl Fn(&str) -> bool) {
        self.neighbours.retain(|(device, _), (_, until)| *until > now && is_there(device));
    }

    /// Neighbours count for so long from now on; those that there are as well.
    pub(super) fn set_ageing(&mut self, ageing: u64, now: u64) {
        self.ageing = ageing;
        for (_, until) in self.neighbours.values_mut() {
            *until = (*until).min(now.saturating_add(ageing));
        }
    }

    /// Forgets all neighbours.
    pub(super) fn forget_neighbours(&mut self) {
        self.neighbours.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_route_of_a_mark_leads() {
        let mut routes = Routes::default();
        routes.set_address("br0", address("192.0.2.1"), 24);
        let add = |routes: &mut Routes, to: &str, gateway: Option<&str>, mark| {
            routes.add(Range::read(to).unwrap(), "br0", gateway.map(address), mark, |_| None)
        };
        assert_eq!(add(&mut routes, "198.51.100.0/24", Some("192.0.2.254"), 0), Ok(()));
        assert_eq!(add(&mut routes, "198.51.100.200/24", Some("192.0.2.250"), 9), Ok(()));
        assert_eq!(add(&mut routes, "198.51.0.0/16", Some("192.0.2.3"), 0), Ok(()));
        assert_eq!(add(&mut routes, "10.0.0.0/8", Some("10.0.0.1"), 0), Err(NoSource));
        let gateway = |to: &str, mark| routes.route(address(to), mark).and_then(|route| route.gateway);
        assert_eq!(gateway("198.51.100.7", 0), Some(address("192.0.2.254")));
        assert_eq!(gateway("198.51.100.7", 9), Some(address("192.0.2.250")));
        assert_eq!(gateway("198.51.99.7", 0), Some(address("192.0.2.3")));
        assert_eq!((gateway("198.51.99.7", 9), gateway("fd00::1", 0)), (None, None));
        assert!(routes.remove(Range::read("198.51.100.0/24").unwrap(), 9));
        assert!(!routes.remove(Range::read("198.51.100.0/24").unwrap(), 9));
    }

    #[test]
    fn neighbours_are_forgotten() {
        let mut routes = Routes::default();
        let mac = MacAddr::new([0, 0, 0, 0, 0, 7]);
        routes.set_neighbour("br0", address("192.0.2.7"), mac, 0);
        routes.set_neighbour("br1", address("fd00::7"), mac, 0);
        assert_eq!(routes.neighbour("br0", address("192.0.2.7")), Some(mac));
        assert_eq!(routes.neighbour("br1", address("192.0.2.7")), None);
        routes.age(1, |device| device == "br1");
        assert_eq!(routes.neighbours().count(), 1);
        routes.set_ageing(5, 0);
        routes.age(5, |_| true);
        assert_eq!(routes.neighbours().count(), 0);
    }

    proptest! {
        #[test]
        fn a_range_has_what_has_its_first_bits(value in any::<u128>(), other in any::<u128>(), length in 0u8..=128) {
            let range = Range::around(IpAddr::V6(value.into()), length).unwrap();
            let same = length == 0 || (value ^ other) >> (128 - u32::from(length)) == 0;
            prop_assert_eq!(range.has(IpAddr::V6(other.into())), same);
            let four = |value: u128| IpAddr::V4(Ipv4Addr::from_bits(value as u32));
            let range = Range::around(four(value), length);
            prop_assert_eq!(range.is_some(), length <= 32);
            if let Some(range) = range {
                let same = length == 0 || (value as u32 ^ other as u32) >> (32 - u32::from(length)) == 0;
                prop_assert_eq!(range.has(four(other)), same);
            }
        }
    }
}
