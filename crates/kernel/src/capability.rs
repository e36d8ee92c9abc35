//! What this kernel can do, found out by trying in a namespace that is thrown away.
//!
//! What: link kinds, queueing disciplines, classifiers and actions are asked for one by one in an empty
//! namespace; the kernel's answer tells whether the kind exists (loading a module counts as existing).
//!
//! Invariants: nothing outside the scratch namespace changes; it ends with the thread that made it.
//! `Absent` means that the kernel said it does not know the kind; anything unclear is `Unknown`.
//!
//! Costs: about 40 requests, a few milliseconds (much more when modules are loaded).

use crate::netlink::{Messages, NetlinkError, Protocol, Socket};
use netloom_compile::Bridging;
use netloom_compile::object::{Desired, Key, LinkKind, Spec, TunTapOptions};
use rustix::io::Errno;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Whether something can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It works.
    Present,
    /// The kernel does not know it.
    Absent,
    /// It exists, but this process may not use it.
    Forbidden,
    /// The answer was unclear.
    Unknown,
}

/// One row of the capability matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// `link kinds`, `queueing disciplines`, `classifiers`, `actions`.
    pub group: &'static str,
    /// Its name in the kernel.
    pub name: &'static str,
    /// Whether it can be used.
    pub state: State,
    /// What was tried and answered.
    pub evidence: String,
    /// The kernel option that brings it.
    pub option: &'static str,
    /// What could realize it instead, or how to get it.
    pub instead: &'static str,
}

/// Everything that was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The rows.
    pub rows: Vec<Capability>,
}

/// Something a description asks for that this kernel lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The object that needs it.
    pub key: Key,
    /// The feature: `the ipvlan driver (CONFIG_IPVLAN)`.
    pub feature: String,
    /// What could realize it instead, or how to get it.
    pub instead: String,
}

const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const TCA_KIND: u16 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWQDISC: u16 = 36;
const RTM_NEWTFILTER: u16 = 44;
const RTM_NEWACTION: u16 = 48;
const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// Attributes that a kind must have to be accepted.
enum Needs {
    Nothing,
    /// A parent interface.
    Parent,
    /// A parent and a 16-bit attribute.
    ParentAndU16(u16, u16),
    /// A 32-bit attribute.
    U32(u16, u32),
    /// A 32-bit attribute and an IPv4 address.
    U32AndAddress(u16, u32, u16),
}

struct Kind(&'static str, &'static str, Needs, &'static str);

const OTHER_KERNEL: &str = "a kernel with this option, or its module (distribution kernels have it)";

/// Link kinds with the option that brings them, what they need, and what helps.
const KINDS: &[Kind] = &[
    Kind("veth", "CONFIG_VETH", Needs::Nothing, OTHER_KERNEL),
    Kind("bridge", "CONFIG_BRIDGE", Needs::Nothing, OTHER_KERNEL),
    Kind(
        "dummy",
        "CONFIG_DUMMY",
        Needs::Nothing,
        "a veth or tap link whose other end nobody uses, or a kernel with this option",
    ),
    Kind(
        "ifb",
        "CONFIG_IFB",
        Needs::Nothing,
        "shaping at the sending interface instead, or a kernel with this option",
    ),
    Kind(
        "macvlan",
        "CONFIG_MACVLAN",
        Needs::Parent,
        "a network of mode bridge, or a kernel with this option",
    ),
    Kind(
        "ipvlan",
        "CONFIG_IPVLAN",
        Needs::Parent,
        "a network of mode macvlan or bridge, or a kernel with this option",
    ),
    Kind(
        "vlan",
        "CONFIG_VLAN_8021Q",
        Needs::ParentAndU16(1, 7),
        "a network whose bridge filters VLANs (`vlan:` and `trunk:` of its ports), or a kernel with this option",
    ),
    Kind("vxlan", "CONFIG_VXLAN", Needs::U32(1, 7), OTHER_KERNEL),
    Kind(
        "geneve",
        "CONFIG_GENEVE",
        Needs::U32AndAddress(1, 7, 2),
        "`encapsulation: vxlan`, or a kernel with this option",
    ),
    Kind("gre", "CONFIG_NET_IPGRE", Needs::Nothing, "a vxlan link, or a kernel with this option"),
    Kind("gretap", "CONFIG_NET_IPGRE", Needs::Nothing, "a vxlan link, or a kernel with this option"),
    Kind("ip6gre", "CONFIG_IPV6_GRE", Needs::Nothing, "a vxlan link, or a kernel with this option"),
    Kind("ip6gretap", "CONFIG_IPV6_GRE", Needs::Nothing, "a vxlan link, or a kernel with this option"),
    Kind(
        "wireguard",
        "CONFIG_WIREGUARD",
        Needs::Nothing,
        "a kernel with this option; an unencrypted vxlan link carries the same traffic",
    ),
    Kind(
        "bond",
        "CONFIG_BONDING",
        Needs::Nothing,
        "several equal-cost routes (`nexthops:`), or a kernel with this option",
    ),
    Kind(
        "vrf",
        "CONFIG_NET_VRF",
        Needs::U32(1, 77),
        "policy rules (`rules:` with `input:` and `table:`), or a kernel with this option",
    ),
];

const QDISCS: &[(&str, &str, &str)] = &[
    ("htb", "CONFIG_NET_SCH_HTB", OTHER_KERNEL),
    ("tbf", "CONFIG_NET_SCH_TBF", "an htb tree with one class, or a kernel with this option"),
    (
        "netem",
        "CONFIG_NET_SCH_NETEM",
        "rates still work by tbf; delay, jitter and loss need a kernel with this option",
    ),
    ("fq_codel", "CONFIG_NET_SCH_FQ_CODEL", "plain queues, or a kernel with this option"),
    ("sfq", "CONFIG_NET_SCH_SFQ", "plain queues, or a kernel with this option"),
    ("prio", "CONFIG_NET_SCH_PRIO", "priorities of htb classes, or a kernel with this option"),
    ("ingress", "CONFIG_NET_SCH_INGRESS", "shaping at the sending interface, or a kernel with this option"),
    ("clsact", "CONFIG_NET_SCH_INGRESS", "shaping at the sending interface, or a kernel with this option"),
];

const CLASSIFIERS: &[(&str, &str, &str)] = &[
    ("u32", "CONFIG_NET_CLS_U32", "the flower classifier, or a kernel with this option"),
    ("flower", "CONFIG_NET_CLS_FLOWER", "the u32 classifier (chosen by itself)"),
    ("matchall", "CONFIG_NET_CLS_MATCHALL", "a u32 match on everything (chosen by itself)"),
    ("bpf", "CONFIG_NET_CLS_BPF", OTHER_KERNEL),
];

const ACTIONS: &[(&str, &str, &str)] = &[
    ("gact", "CONFIG_NET_ACT_GACT", "drops in the packet filter, or a kernel with this option"),
    ("police", "CONFIG_NET_ACT_POLICE", "shaping at the sending interface, or a kernel with this option"),
    ("mirred", "CONFIG_NET_ACT_MIRRED", OTHER_KERNEL),
    ("vlan", "CONFIG_NET_ACT_VLAN", OTHER_KERNEL),
];

impl Capabilities {
    /// Whether something is there; unknown names are not.
    #[must_use]
    pub fn has(&self, group: &str, name: &str) -> bool {
        self.rows.iter().any(|row| row.group == group && row.name == name && row.state == State::Present)
    }

    /// What the bridges of this kernel can do. What could not be found out is taken to be there.
    #[must_use]
    pub fn bridging(&self) -> Bridging {
        let absent = |group| self.rows.iter().any(|row| row.group == group && row.state == State::Absent);
        Bridging { bridges: self.absent_link("bridge").is_none(), vlans: !absent("bridge features") }
    }

    /// The row of a link kind that can't be made, if so.
    fn absent_link(&self, name: &str) -> Option<&Capability> {
        self.rows
            .iter()
            .find(|row| row.group == "link kinds" && row.name == made_by(name) && row.state != State::Present)
            .filter(|row| row.state != State::Unknown)
    }

    /// What `desired` asks for that is not there.
    #[must_use]
    pub fn missing(&self, desired: &Desired) -> Vec<Missing> {
        let mut missing = Vec::new();
        for (key, object) in &desired.objects {
            if let Spec::Link(link) = &object.spec
                && let LinkKind::Bridge(options) = &link.kind
                && options.vlan_filtering
                && let Some(row) = self.rows.iter().find(|row| row.group == "bridge features")
                && row.state == State::Absent
            {
                missing.push(Missing {
                    key: key.clone(),
                    feature: format!("bridges that filter VLANs ({})", row.option),
                    instead: row.instead.to_owned(),
                });
            }
            if let Spec::Link(link) = &object.spec
                && link.kind != LinkKind::Existing
                && let Some(row) = self.absent_link(link.kind.word())
            {
                missing.push(Missing {
                    key: key.clone(),
                    feature: if row.state == State::Forbidden {
                        format!("the right to make links of kind {}", row.name)
                    } else {
                        format!("the {} driver ({})", row.name, row.option)
                    },
                    instead: row.instead.to_owned(),
                });
            }
            if let Spec::Link(link) = &object.spec
                && let LinkKind::Tap(options) | LinkKind::Tun(options) = &link.kind
                && let Some(owner) = unmapped_owner(options)
            {
                missing.push(Missing {
                    key: key.clone(),
                    feature: format!("{owner} in this user namespace"),
                    instead:
                        "without `user` and `group` you may attach yourself; others only if root applies"
                            .to_owned(),
                });
            }
            if let Spec::Shaper(shaper) = &object.spec {
                missing.extend(shaper.missing(&crate::tc::support(self)).into_iter().map(|part| Missing {
                    key: key.clone(),
                    feature: format!("the {} ({})", part.kind, part.option),
                    instead: self.instead(part.option).to_owned(),
                }));
            }
        }
        missing
    }

    /// What helps where a kernel option is missing.
    fn instead(&self, option: &str) -> &'static str {
        self.rows.iter().find(|row| row.option == option).map_or(OTHER_KERNEL, |row| row.instead)
    }
}

/// The owner of a TUN or TAP interface whom this user namespace does not know.
fn unmapped_owner(options: &TunTapOptions) -> Option<String> {
    let unknown = |id: Option<u32>, map: &str| {
        // Without a map to read, making the interface will tell.
        id.filter(|id| std::fs::read_to_string(map).is_ok_and(|map| !is_mapped(&map, *id)))
    };
    let user = unknown(options.user, "/proc/self/uid_map").map(|id| format!("user {id}"));
    user.or_else(|| unknown(options.group, "/proc/self/gid_map").map(|id| format!("group {id}")))
}

/// Whether a map of a user namespace has an identifier: lines of first inside, first outside, how many
/// (user_namespaces(7)).
fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if (inside..inside + count).contains(&u64::from(id)))
    })
}

/// The row that stands for a kind: TUN and TAP are one driver.
fn made_by(name: &str) -> &str {
    if name == "tun" { "tap" } else { name }
}

/// Tries everything out, once for this process.
///
/// # Errors
/// When no scratch namespace can be made.
pub fn capabilities() -> Result<&'static Capabilities, NetlinkError> {
    static FOUND: OnceLock<Capabilities> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found);
    }
    let found = std::thread::scope(|scope| {
        scope.spawn(probe).join().unwrap_or(Err(NetlinkError::Io { doing: "probing with", errno: Errno::IO }))
    })?;
    Ok(FOUND.get_or_init(|| found))
}

#[allow(
    deprecated,
    reason = "the replacement is unsafe only for unsharing file descriptors, which we do not"
)]
fn enter_scratch() -> Result<(), Errno> {
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET)
}

fn probe() -> Result<Capabilities, NetlinkError> {
    enter_scratch().map_err(|errno| NetlinkError::Io { doing: "making a scratch namespace for", errno })?;
    let mut socket = Socket::open(Protocol::Route)?;
    let mut rows = Vec::new();
    for Kind(name, option, needs, instead) in KINDS {
        let answer = try_link(&mut socket, name, needs);
        rows.push(row("link kinds", name, option, instead, answer, &[Errno::OPNOTSUPP]));
    }
    rows.push(row(
        "bridge features",
        "VLAN filtering",
        "CONFIG_BRIDGE_VLAN_FILTERING",
        "a network for each VLAN, or a kernel with this option",
        try_vlan_filtering(&mut socket),
        &[Errno::OPNOTSUPP],
    ));
    rows.push(tun());
    for (name, option, instead) in QDISCS {
        let answer = try_qdisc(&mut socket, name);
        rows.push(row("queueing disciplines", name, option, instead, answer, &[Errno::NOENT]));
    }
    for (priority, (name, option, instead)) in (1..).zip(CLASSIFIERS) {
        let answer = try_classifier(&mut socket, name, priority);
        rows.push(row("classifiers", name, option, instead, answer, &[Errno::NOENT]));
    }
    let marks = crate::tc::matches_marks(&mut socket, 1);
    let instead = "classes chosen by address, port or DSCP, or a kernel with this option";
    rows.push(row("classifiers", "u32 mark", "CONFIG_CLS_U32_MARK", instead, marks, &[Errno::NOENT]));
    for (name, option, instead) in ACTIONS {
        let answer = try_action(&mut socket, name);
        rows.push(row("actions", name, option, instead, answer, &[Errno::NOENT]));
    }
    Ok(Capabilities { rows })
}

fn row(
    group: &'static str,
    name: &'static str,
    option: &'static str,
    instead: &'static str,
    answer: Result<(), Errno>,
    absent: &[Errno],
) -> Capability {
    let (state, evidence) = match answer {
        Ok(()) => (State::Present, "made in a scratch namespace".to_owned()),
        Err(errno) if absent.contains(&errno) => {
            (State::Absent, format!("the kernel says: {}", std::io::Error::from(errno)))
        }
        Err(Errno::PERM | Errno::ACCESS) => (State::Forbidden, "the kernel says: not permitted".to_owned()),
        // It knows the kind well enough to object to our sparse request.
        Err(Errno::INVAL | Errno::EXIST | Errno::BUSY | Errno::RANGE) => (
            State::Present,
            format!(
                "the kernel knows the kind ({})",
                std::io::Error::from(answer.err().unwrap_or(Errno::INVAL))
            ),
        ),
        Err(errno) => (State::Unknown, format!("the kernel says: {}", std::io::Error::from(errno))),
    };
    Capability { group, name, state, evidence, option, instead }
}

fn answer(socket: &mut Socket, messages: &mut Messages) -> Result<(), Errno> {
    match socket.batch(messages) {
        Ok(verdicts) => verdicts.into_iter().next().unwrap_or(Ok(())).map_err(|refusal| refusal.errno),
        Err(NetlinkError::Io { errno, .. }) => Err(errno),
        Err(_) => Err(Errno::IO),
    }
}

fn try_link(socket: &mut Socket, name: &str, needs: &Needs) -> Result<(), Errno> {
    // The first two kinds stay, as parents for others: index 2 is the veth that the first request makes.
    let parent = rustix::net::netdevice::name_to_index(socket_for_ioctl()?, "pveth").unwrap_or(1);
    let mut messages = Messages::new();
    let mut message = messages.add(RTM_NEWLINK, CREATE);
    message.header(&[0; 16]).text(IFLA_IFNAME, &format!("p{name}"));
    if matches!(needs, Needs::Parent | Needs::ParentAndU16(..)) {
        message.u32(IFLA_LINK, parent);
    }
    message.nest(IFLA_LINKINFO, |info| {
        info.text(IFLA_INFO_KIND, name);
        info.nest(IFLA_INFO_DATA, |data| match needs {
            Needs::Nothing | Needs::Parent => {}
            Needs::ParentAndU16(kind, value) => {
                data.u16(*kind, *value);
            }
            Needs::U32(kind, value) => {
                data.u32(*kind, *value);
            }
            Needs::U32AndAddress(kind, value, address) => {
                data.u32(*kind, *value).octets(*address, &[192, 0, 2, 1]);
            }
        });
    });
    drop(message);
    answer(socket, &mut messages)
}

fn try_vlan_filtering(socket: &mut Socket) -> Result<(), Errno> {
    const IFLA_BR_VLAN_FILTERING: u16 = 7;
    let mut messages = Messages::new();
    messages.add(RTM_NEWLINK, CREATE).header(&[0; 16]).text(IFLA_IFNAME, "pvlans").nest(
        IFLA_LINKINFO,
        |info| {
            info.text(IFLA_INFO_KIND, "bridge");
            info.nest(IFLA_INFO_DATA, |data| {
                data.u8(IFLA_BR_VLAN_FILTERING, 1);
            });
        },
    );
    answer(socket, &mut messages)
}

fn socket_for_ioctl() -> Result<rustix::fd::OwnedFd, Errno> {
    rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::DGRAM, None)
}

/// `struct tcmsg`: family, index, handle, parent, info.
fn traffic_header(index: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut header = [0; 20];
    for (offset, value) in [(4, index), (8, handle), (12, parent), (16, info)] {
        header[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
    }
    header
}

const ROOT: u32 = 0xffff_ffff;
const INGRESS: u32 = 0xffff_fff1;

fn try_qdisc(socket: &mut Socket, name: &str) -> Result<(), Errno> {
    let mut messages = Messages::new();
    let (handle, parent) =
        if matches!(name, "ingress" | "clsact") { (0xffff_0000, INGRESS) } else { (0x7_0000, ROOT) };
    // On the loopback interface of the scratch namespace; replaced by each that follows.
    messages
        .add(RTM_NEWQDISC, (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16)
        .header(&traffic_header(1, handle, parent, 0))
        .text(TCA_KIND, name);
    answer(socket, &mut messages)
}

fn try_classifier(socket: &mut Socket, name: &str, priority: u32) -> Result<(), Errno> {
    let mut messages = Messages::new();
    let every_protocol = u32::from(0x0003_u16.to_be());
    messages
        .add(RTM_NEWTFILTER, CREATE)
        .header(&traffic_header(1, 0, 0xffff_0000, (priority << 16) | every_protocol))
        .text(TCA_KIND, name);
    answer(socket, &mut messages)
}

fn try_action(socket: &mut Socket, name: &str) -> Result<(), Errno> {
    const TCA_ACT_TAB: u16 = 1;
    let mut messages = Messages::new();
    messages.add(RTM_NEWACTION, CREATE).header(&[0; 4]).nest(TCA_ACT_TAB, |table| {
        table.nest(1, |action| {
            action.text(TCA_KIND, name);
        });
    });
    match answer(socket, &mut messages) {
        // Free-standing actions are for the host's root alone; those of a filter are not.
        Err(Errno::PERM) => crate::tc::try_action(socket, 1, name),
        other => other,
    }
}

fn tun() -> Capability {
    let opened = rustix::fs::open("/dev/net/tun", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty());
    let instead = "modprobe tun, or give the container the device /dev/net/tun";
    match opened {
        Ok(_) => Capability {
            group: "link kinds",
            name: "tap",
            state: State::Present,
            evidence: "/dev/net/tun can be opened".to_owned(),
            option: "CONFIG_TUN",
            instead,
        },
        Err(errno) => {
            row("link kinds", "tap", "CONFIG_TUN", instead, Err(errno), &[Errno::NOENT, Errno::NODEV])
        }
    }
}

/// States by group and name, for a quick look.
#[must_use]
pub fn by_name(capabilities: &Capabilities) -> BTreeMap<(&'static str, &'static str), State> {
    capabilities.rows.iter().map(|row| ((row.group, row.name), row.state)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use netloom_compile::object::{Link, Object, Origin, Owner, Space};

    #[test]
    fn a_map_tells_whom_a_namespace_knows() {
        let map = "         0       1000          1\n         5     100000      65536\n";
        assert!(is_mapped(map, 0) && is_mapped(map, 5) && is_mapped(map, 65540));
        assert!(!is_mapped(map, 1) && !is_mapped(map, 1000 + 65536) && !is_mapped("", 0));
        assert!(is_mapped("0 0 4294967295", 1000) && !is_mapped("0 0 4294967295", u32::MAX));
    }

    #[test]
    fn an_unknown_owner_of_a_tap_is_told_before_anything_is_made() {
        let tap = |user| {
            let mut desired = Desired::new("t".parse().unwrap());
            let key = Key::Link { space: Space::Host, name: "tap0".parse().unwrap() };
            let options = TunTapOptions { user, ..TunTapOptions::default() };
            let object = Object {
                key: key.clone(),
                spec: Spec::Link(Box::new(Link::new(LinkKind::Tap(options)))),
                owner: Owner { topology: "t".parse().unwrap(), part: "link tap0".into() },
                origin: Origin { file: "a.yaml".into(), line: 1, column: 1 },
                reason: "test".into(),
            };
            desired.objects.insert(key, object);
            Capabilities { rows: Vec::new() }.missing(&desired)
        };
        assert_eq!(tap(None), []);
        // No namespace has the number that stands for nobody.
        let missing = tap(Some(u32::MAX));
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].feature, "user 4294967295 in this user namespace");
    }
}
