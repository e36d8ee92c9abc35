//! A namespace as a picture: all of its dumps, and what only a picture needs.

use super::{Lookup, View, dump};
use crate::address;
use crate::link::{Names, RawLink};
use crate::neighbour;
use crate::netlink::{Attribute, Messages, Protocol, Reply, Socket};
use crate::nft;
use crate::picture::{InterfacePicture, Listener, NeighbourPicture, RouteDoes, RoutePicture, SpacePicture};
use crate::route;
use crate::rule;
use crate::sysctl;
use ipnet::IpNet;
use netloom_compile::object::{LinkKind, Space};
use netloom_wire::InterfaceName;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `RTM_GETNETCONF` (linux/rtnetlink.h), and what is in it (linux/netconf.h).
const RTM_GETNETCONF: u16 = 82;
const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_FORWARDING: u16 = 2;
const NETCONFA_RP_FILTER: u16 = 3;
const NETCONFA_IFINDEX_ALL: i32 = -1;
/// `IFLA_BRPORT_STATE`; 3 is forwarding (linux/if_bridge.h).
const IFLA_BRPORT_STATE: u16 = 1;
const FORWARDING: u8 = 3;
/// `IFF_LOWER_UP` (linux/if.h).
const LOWER_UP: u32 = 1 << 16;
/// Parameters that `why` looks at and that no message tells.
const SETTINGS: [&str; 3] =
    ["net/ipv4/icmp_echo_ignore_all", "net/ipv4/conf/all/arp_ignore", "net/ipv4/icmp_echo_ignore_broadcasts"];

/// What the kernel says of an interface's part in forwarding.
#[derive(Debug, Clone, Copy, Default)]
struct Conduct {
    forwards: bool,
    reverse_path: u8,
}

/// What only a picture asks for; the calling thread must be in the namespace.
#[derive(Debug, Default)]
pub(in crate::observe) struct Extra {
    v4: HashMap<i32, Conduct>,
    v6: HashMap<i32, Conduct>,
    picture: SpacePicture,
}

impl Extra {
    pub(in crate::observe) fn look(own_table: &str) -> Self {
        let mut extra = Self::default();
        let unread = &mut extra.picture.unread;
        match Socket::open(Protocol::Route) {
            Ok(mut socket) => {
                for (family, into) in [(libc::AF_INET, &mut extra.v4), (libc::AF_INET6, &mut extra.v6)] {
                    *into = conduct(&mut socket, family as u8);
                }
            }
            Err(error) => unread.push(format!("parameters of interfaces: {error}")),
        }
        match Socket::open(Protocol::Netfilter)
            .map_err(nft::NftError::from)
            .and_then(|mut socket| nft::everything(&mut socket, own_table))
        {
            Ok((filters, others)) => {
                extra.picture.filters = filters;
                unread.extend(others);
            }
            Err(nft::NftError::Absent) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => unread.push(format!("packet filters: {error}")),
        }
        for (path, what) in [("ip_tables_names", "iptables"), ("ip6_tables_names", "ip6tables")] {
            let names = std::fs::read_to_string(format!("/proc/thread-self/net/{path}")).unwrap_or_default();
            let names: Vec<&str> = names.split_whitespace().collect();
            if !names.is_empty() {
                unread.push(format!("rules of legacy {what} in {}", names.join(", ")));
            }
        }
        for (file, protocol, v6) in
            [("tcp", 6, false), ("tcp6", 6, true), ("udp", 17, false), ("udp6", 17, true)]
        {
            let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
            extra
                .picture
                .listeners
                .extend(text.lines().skip(1).filter_map(|line| listener(line, protocol, v6)));
        }
        let value = |path: &str| Some((path.to_owned(), sysctl::read(path)?));
        extra.picture.settings = SETTINGS.iter().filter_map(|path| value(path)).collect();
        extra
    }
}

/// A kernel without nf_tables has no filters.
fn is_absent(error: &nft::NftError) -> bool {
    use rustix::io::Errno;
    let absent = [Errno::PROTONOSUPPORT, Errno::OPNOTSUPP, Errno::NOSYS, Errno::AFNOSUPPORT, Errno::INVAL];
    error.errno().is_some_and(|errno| absent.contains(&errno))
}

fn conduct(socket: &mut Socket, family: u8) -> HashMap<i32, Conduct> {
    let replies = dump(socket, |messages: &mut Messages| {
        messages.add(RTM_GETNETCONF, libc::NLM_F_DUMP as u16).header(&[family, 0, 0, 0]);
    });
    let read = |reply: Reply<'_>| {
        let attributes = reply.attributes(4);
        let number = |kind| attributes.get(kind).and_then(Attribute::i32);
        Some((
            number(NETCONFA_IFINDEX)?,
            Conduct {
                forwards: number(NETCONFA_FORWARDING).unwrap_or(0) != 0,
                reverse_path: number(NETCONFA_RP_FILTER)
                    .and_then(|value| u8::try_from(value).ok())
                    .unwrap_or(0),
            },
        ))
    };
    replies.map(|replies| replies.iter().filter_map(read).collect()).unwrap_or_default()
}

/// A line of `/proc/net/tcp` and its like (`get_tcp4_sock`, net/ipv4/tcp_ipv4.c): addresses are words in the order of
/// this machine, ports are numbers. TCP listens in state 0A; UDP sockets without a peer are in 07.
fn listener(line: &str, protocol: u8, v6: bool) -> Option<Listener> {
    let mut words = line.split_whitespace().skip(1);
    let (local, _, state) = (words.next()?, words.next()?, words.next()?);
    if state != if protocol == 6 { "0A" } else { "07" } {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = if v6 {
        let mut octets = [0; 16];
        for index in 0..4 {
            octets.get_mut(index * 4..index * 4 + 4)?.copy_from_slice(&word(index * 8)?);
        }
        IpAddr::from(Ipv6Addr::from(octets))
    } else {
        IpAddr::from(Ipv4Addr::from(word(0)?))
    };
    Some(Listener { protocol, address, port: u16::from_str_radix(port, 16).ok()? })
}

impl View {
    /// The picture of this namespace, once the names in all namespaces are known.
    pub(in crate::observe) fn picture(
        &self,
        names: &HashMap<&Space, &HashMap<u32, InterfaceName>>,
        extra: Extra,
    ) -> SpacePicture {
        let lookup = Lookup { view: self, names };
        let mut picture = extra.picture;
        let all = |map: &HashMap<i32, Conduct>| map.get(&NETCONFA_IFINDEX_ALL).copied().unwrap_or_default();
        let (all_v4, all_v6) = (all(&extra.v4), all(&extra.v6));
        for raw in self.dumps.links.iter().filter_map(|reply| RawLink::read(&reply)) {
            let Some(name) = self.names.get(&raw.index) else { continue };
            let mut link = self.link(&raw, &lookup, &super::Asked::default(), name);
            if let LinkKind::Wireguard(options) = &mut link.kind {
                options.private_key = [0; 32];
                options.peers.iter_mut().for_each(|peer| peer.preshared_key = None);
            }
            let of = |map: &HashMap<i32, Conduct>| map.get(&(raw.index as i32)).copied().unwrap_or_default();
            let (v4, v6) = (of(&extra.v4), of(&extra.v6));
            let state = raw.port_data.get(IFLA_BRPORT_STATE).and_then(Attribute::u8);
            let interface = InterfacePicture {
                carrier: raw.flags & LOWER_UP != 0,
                addresses: Vec::new(),
                forwarding_state: link.port.is_none() || state.is_none_or(|state| state == FORWARDING),
                forwards_v4: v4.forwards,
                forwards_v6: all_v6.forwards || v6.forwards,
                reverse_path: v4.reverse_path.max(all_v4.reverse_path),
                link,
            };
            picture.interfaces.insert(name.clone(), interface);
        }
        for (index, address) in self.dumps.addresses.iter().filter_map(|reply| address::read_any(&reply)) {
            let interface = self.names.get(&index).and_then(|name| picture.interfaces.get_mut(name));
            interface.map(|interface| interface.addresses.push(address)).unwrap_or_default();
        }
        picture.routes = self.dumps.routes.iter().filter_map(|reply| read_route(&reply, &lookup)).collect();
        picture.rules = self.dumps.rules.iter().filter_map(|reply| rule::read_any(&reply)).collect();
        picture.rules.sort_by_key(|rule| rule.priority);
        for seen in self.dumps.neighbours.iter().filter_map(|reply| neighbour::read_any(&reply)) {
            let Some(interface) = self.names.get(&seen.index).cloned() else { continue };
            let (address, mac, permanent) = (seen.address, seen.mac, seen.permanent);
            picture.neighbours.push(NeighbourPicture { interface, address, mac, permanent });
        }
        let entries = self.dumps.entries.iter();
        picture.entries = entries
            .filter_map(|reply| neighbour::read_any_entry(&reply, |index| self.names.get(&index).cloned()))
            .collect();
        picture
    }
}

/// A route of any kind but a cached one.
fn read_route(reply: &Reply<'_>, names: &dyn Names) -> Option<RoutePicture> {
    const RTM_F_CLONED: u32 = 0x200;
    const RTPROT_KERNEL: u8 = 2;
    const RTPROT_RA: u8 = 9;
    if reply.kind != libc::RTM_NEWROUTE || reply.fixed_u32(8) & RTM_F_CLONED != 0 {
        return None;
    }
    let [family, prefix, _, _, table, protocol, _, kind] = reply.fixed::<8>(0);
    let unspecified = match i32::from(family) {
        libc::AF_INET => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        libc::AF_INET6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let parts = route::parts(reply, names);
    let action = match kind {
        1 => RouteDoes::Forward(parts.hops),
        2 => RouteDoes::Local(parts.device),
        3 | 4 => RouteDoes::Broadcast,
        5 => RouteDoes::Multicast,
        6 => RouteDoes::Blackhole,
        7 => RouteDoes::Unreachable,
        8 => RouteDoes::Prohibit,
        9 => RouteDoes::Throw,
        _ => return None,
    };
    Some(RoutePicture {
        table: parts.table.unwrap_or(u32::from(table)),
        destination: IpNet::new(parts.destination.unwrap_or(unspecified), prefix).ok()?,
        metric: parts.metric,
        action,
        source: parts.source,
        mtu: parts.mtu,
        automatic: matches!(protocol, RTPROT_KERNEL | RTPROT_RA),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_from_their_lines() {
        let line =
            "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1";
        let found = listener(line, 6, false).unwrap();
        assert_eq!((found.address, found.port), (IpAddr::from([127, 0, 0, 1]), 5432));
        let line = "  41: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 0:0";
        let found = listener(line, 17, true).unwrap();
        assert_eq!((found.address, found.port), (IpAddr::from(Ipv6Addr::UNSPECIFIED), 53));
        assert_eq!(listener("   1: 0100007F:1538 0100007F:9999 01", 6, false), None);
        assert_eq!(listener("nonsense", 6, false), None);
    }
}
