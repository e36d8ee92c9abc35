//! The programs the tests use as oracles and traffic sources, and the Debian packages that hold them.
//!
//! Nothing here is needed by the product. A test whose peer is missing says so and is counted as skipped.

use crate::process;
use std::path::Path;
use std::process::Command;

/// A program of the tests, or a file that such a program reads.
struct Peer {
    /// The program's name, or the file's path.
    program: &'static str,
    package: &'static str,
    used_for: &'static str,
}

const PEERS: &[Peer] = &[
    Peer { program: "ip", package: "iproute2", used_for: "reading links, addresses and routes back" },
    Peer { program: "tc", package: "iproute2", used_for: "reading qdiscs and classes back" },
    Peer { program: "bridge", package: "iproute2", used_for: "reading VLAN and forwarding tables back" },
    Peer { program: "nft", package: "nftables", used_for: "reading firewall rules back" },
    Peer { program: "/etc/protocols", package: "netbase", used_for: "protocols by name, as nft tells them" },
    Peer { program: "ping", package: "iputils-ping", used_for: "reachability" },
    Peer { program: "tcpdump", package: "tcpdump", used_for: "captures" },
    Peer { program: "iperf3", package: "iperf3", used_for: "bandwidth" },
    Peer { program: "python3", package: "python3", used_for: "the emulated machine" },
    Peer {
        program: "/usr/lib/openvswitch-switch/ovs-vswitchd",
        package: "openvswitch-switch",
        used_for: "bonds with somebody else",
    },
    Peer { program: "ovn-northd", package: "ovn-central", used_for: "OVN over the switch" },
    Peer { program: "ovn-controller", package: "ovn-host", used_for: "OVN over the switch" },
    Peer {
        program: "/usr/src/openvswitch/openvswitch.tar.gz",
        package: "openvswitch-source",
        used_for: "the test suite of Open vSwitch",
    },
    Peer { program: "xmllint", package: "libxml2-utils", used_for: "judging XML for libvirt" },
    Peer {
        program: "/usr/share/libvirt/schemas/domain.rng",
        package: "libvirt0",
        used_for: "the schema of libvirt's domains",
    },
    Peer {
        program: "/usr/lib/python3/dist-packages/scapy",
        package: "python3-scapy",
        used_for: "reading headers by somebody else's code",
    },
];

/// Where packages put programs. An ordinary user cannot use what stands in root's own directories.
const DIRECTORIES: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A `PATH` of those directories.
#[must_use]
pub(crate) fn standard_path() -> String {
    DIRECTORIES.join(":")
}

/// The peers that are not there; joined to any directory, a whole path stays what it is.
fn missing() -> Vec<&'static Peer> {
    PEERS
        .iter()
        .filter(|peer| !DIRECTORIES.iter().any(|directory| Path::new(directory).join(peer.program).exists()))
        .collect()
}

/// Installs what is missing as root with apt; says what stays missing. Never an error: tests skip instead.
pub(crate) fn install() {
    let before = missing();
    if before.is_empty() {
        return;
    }
    let mut reason = "";
    if !process::is_root() {
        reason = " (only root can install them)";
    } else if !Path::new("/usr/bin/apt-get").exists() {
        reason = " (there is no apt-get here)";
    } else {
        let mut packages: Vec<&str> = before.iter().map(|peer| peer.package).collect();
        packages.dedup();
        println!("installing {}", packages.join(" "));
        // A stale list makes packages unavailable; a failed update may still leave a usable list.
        for arguments in [vec!["update"], [vec!["install", "--no-install-recommends"], packages].concat()] {
            let done = process::quiet(
                Command::new("apt-get")
                    .env("DEBIAN_FRONTEND", "noninteractive")
                    .args(["-y", "-qq", "-o", "DPkg::Lock::Timeout=600"])
                    .args(arguments),
            );
            if let Err(message) = done {
                println!("{message}");
            }
        }
    }
    for peer in missing() {
        println!("missing: {} for {} (package {}){reason}", peer.program, peer.used_for, peer.package);
    }
}
