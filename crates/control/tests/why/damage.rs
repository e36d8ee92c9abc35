//! Damage by hand to a running network: what people do to networks, with their own tools.

use netloom_compile::object::{Desired, Key, LinkKind, Space, Spec};
use netloom_testkit::rig::Rig;

/// A random number from a seed that goes on (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % limit.max(1) as u64) as usize
    }

    pub fn one<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        if list.is_empty() { None } else { list.get(self.below(list.len())) }
    }
}

/// The kinds of damage.
pub const KINDS: [&str; 9] = [
    "link down",
    "route removed",
    "forwarding off",
    "filter drops",
    "filter refuses",
    "address removed",
    "wrong neighbour",
    "isolated ports",
    "blackhole",
];

fn node(space: &Space) -> Option<String> {
    match space {
        Space::Node(name) => Some(name.to_string()),
        Space::Host => None,
    }
}

/// Damages a network; says what was done, or nothing if there is nothing of the kind.
pub fn damage(rig: &Rig, desired: &Desired, kind: &str, chance: &mut Chance) -> Option<String> {
    let links: Vec<(String, String, bool)> = desired
        .objects
        .values()
        .filter_map(|object| match (&object.key, &object.spec) {
            (Key::Link { space, name }, Spec::Link(link)) if name.as_str() != "lo" => {
                let cable = matches!(link.kind, LinkKind::Veth { .. });
                cable.then(|| Some((node(space)?, name.to_string(), link.port.is_some())))?
            }
            _ => None,
        })
        .collect();
    let addresses: Vec<(String, String, String)> = desired
        .objects
        .keys()
        .filter_map(|key| match key {
            Key::Address { space, link, address } => {
                Some((node(space)?, link.to_string(), address.to_string()))
            }
            _ => None,
        })
        .collect();
    let run = |space: &str, line: String| -> Option<String> {
        let namespace = format!("{}.{space}", desired.topology);
        let mut words = line.split_whitespace();
        let output = rig.run_in(&namespace, words.next()?, &words.collect::<Vec<_>>())?;
        output.status.success().then(|| format!("{space}: {line}"))
    };
    match kind {
        "link down" => {
            let (space, name, _) = chance.one(&links)?;
            run(space, format!("ip link set {name} down"))
        }
        "route removed" => {
            let routes: Vec<(String, String)> = desired
                .objects
                .keys()
                .filter_map(|key| match key {
                    Key::Route { space, table: 254, destination, .. } => {
                        Some((node(space)?, destination.to_string()))
                    }
                    _ => None,
                })
                .collect();
            let (space, destination) = chance.one(&routes)?;
            let family = if destination.contains(':') { "-6" } else { "-4" };
            run(space, format!("ip {family} route del {destination}"))
        }
        "forwarding off" => {
            let routers: Vec<String> = desired
                .objects
                .values()
                .filter_map(|object| match (&object.key, &object.spec) {
                    (Key::Sysctl { space, path }, Spec::Sysctl { value })
                        if &**path == "net/ipv4/ip_forward" && value == "1" =>
                    {
                        node(space)
                    }
                    _ => None,
                })
                .collect();
            let space = chance.one(&routers)?;
            let namespace = format!("{}.{space}", desired.topology);
            rig.within(&namespace, || std::fs::write("/proc/sys/net/ipv4/ip_forward", "0")).ok()?;
            Some(format!("{space}: ip_forward = 0"))
        }
        "filter drops" | "filter refuses" => {
            let (space, ..) = chance.one(&addresses)?;
            let hook = ["input", "output", "forward"][chance.below(3)];
            let what =
                ["ip protocol icmp", "tcp dport 80", "udp dport 53", "meta l4proto tcp"][chance.below(4)];
            let verdict = if kind == "filter drops" { "drop" } else { "reject" };
            run(space, "nft add table inet byhand".to_owned())?;
            run(
                space,
                format!("nft add chain inet byhand {hook} {{ type filter hook {hook} priority -5 ; }}"),
            )?;
            run(space, format!("nft add rule inet byhand {hook} {what} {verdict}"))
        }
        "address removed" => {
            let (space, link, address) = chance.one(&addresses)?;
            run(space, format!("ip addr del {address} dev {link}"))
        }
        "wrong neighbour" => {
            let (space, link, address) = chance.one(&addresses)?;
            if address.contains(':') {
                return None;
            }
            let (net, _) = address.split_once('/')?;
            let mut octets: Vec<u8> = net.split('.').filter_map(|part| part.parse().ok()).collect();
            *octets.last_mut()? ^= 1;
            let other: Vec<String> = octets.iter().map(u8::to_string).collect();
            let line = format!(
                "ip neigh replace {} lladdr 02:00:00:00:00:77 dev {link} nud permanent",
                other.join(".")
            );
            run(space, line)
        }
        "isolated ports" => {
            let ports: Vec<&(String, String, bool)> = links.iter().filter(|(_, _, port)| *port).collect();
            let (space, ..) = chance.one(&ports)?;
            let mut done = None;
            for (_, name, _) in ports.iter().filter(|(other, ..)| other == space) {
                done = run(space, format!("bridge link set dev {name} isolated on"));
            }
            done
        }
        "blackhole" => {
            let (space, ..) = chance.one(&addresses)?;
            let (_, _, target) = chance.one(&addresses)?;
            let (target, _) = target.split_once('/')?;
            run(space, format!("ip route add blackhole {target}"))
        }
        other => panic!("no damage is called {other}"),
    }
}
