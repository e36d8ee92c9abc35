//! Kernel parameters below `/proc/sys`, of the calling thread's network namespace.
//!
//! Costs: the kernel keeps the files of all namespaces in one chain per name, so that finding one takes as
//! long as there are namespaces, and reading one in each of a thousand takes a million comparisons. What
//! routers are asked for most is therefore asked over netlink.

use crate::error::KernelError;
use crate::namespace::Namespace;
use crate::netlink::{Messages, Socket};
use crate::sys;
use rustix::io::Errno;
use std::path::PathBuf;

fn file(path: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(path)
}

/// The value with single blanks; `None` if there is no such parameter (or it cannot be read).
pub(crate) fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(file(path)).ok()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// `RTM_GETNETCONF` (linux/rtnetlink.h), and what is in it (linux/netconf.h).
const RTM_GETNETCONF: u16 = 82;
const NETCONFA_IFINDEX: u16 = 1;
const NETCONFA_FORWARDING: u16 = 2;
const NETCONFA_RP_FILTER: u16 = 3;
const NETCONFA_IFINDEX_ALL: i32 = -1;
const NETCONFA_IFINDEX_DEFAULT: i32 = -2;

/// The same as [`read`] in the namespace of a routing socket, over netlink where it can tell.
pub(crate) fn ask(socket: &mut Socket, path: &str) -> Option<String> {
    let (family, index, attribute) = match path {
        "net/ipv4/ip_forward" | "net/ipv4/conf/all/forwarding" => {
            (libc::AF_INET, NETCONFA_IFINDEX_ALL, NETCONFA_FORWARDING)
        }
        "net/ipv4/conf/default/forwarding" => (libc::AF_INET, NETCONFA_IFINDEX_DEFAULT, NETCONFA_FORWARDING),
        "net/ipv4/conf/all/rp_filter" => (libc::AF_INET, NETCONFA_IFINDEX_ALL, NETCONFA_RP_FILTER),
        "net/ipv4/conf/default/rp_filter" => (libc::AF_INET, NETCONFA_IFINDEX_DEFAULT, NETCONFA_RP_FILTER),
        "net/ipv6/conf/all/forwarding" => (libc::AF_INET6, NETCONFA_IFINDEX_ALL, NETCONFA_FORWARDING),
        "net/ipv6/conf/default/forwarding" => (libc::AF_INET6, NETCONFA_IFINDEX_DEFAULT, NETCONFA_FORWARDING),
        _ => return read(path),
    };
    let mut messages = Messages::new();
    // struct netconfmsg is the family alone, padded to four octets.
    messages.add(RTM_GETNETCONF, 0).header(&[family as u8, 0, 0, 0]).u32(NETCONFA_IFINDEX, index as u32);
    let replies = socket.request(&mut messages).ok();
    let value = replies
        .and_then(|replies| replies.iter().find_map(|reply| reply.attributes(4).get(attribute)?.i32()));
    // A kernel without the protocol refuses; its file, if there is one, says why.
    value.map_or_else(|| read(path), |value| Some(value.to_string()))
}

/// Sets a value. A path that climbs out of `/proc/sys` is refused.
pub(crate) fn write(path: &str, value: &str) -> Result<(), KernelError> {
    let target = file(path);
    if path.split('/').any(|part| part == "..") || path.starts_with('/') {
        return Err(KernelError::Io { doing: "writing", path: target, errno: Errno::INVAL });
    }
    std::fs::OpenOptions::new()
        .write(true)
        .open(&target)
        .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|error| KernelError::io("writing", target, error))
}

/// The value that a parameter of `inside` would have if nobody had set it: that of the namespace's
/// `default` for an interface's parameter, that of a new namespace for all others.
pub(crate) fn fresh(inside: &Namespace, path: &str) -> Result<Option<String>, KernelError> {
    let mut parts: Vec<&str> = path.split('/').collect();
    if let ["net", "ipv4" | "ipv6", "conf" | "neigh", interface, _] = parts.as_mut_slice()
        && !matches!(*interface, "all" | "default")
    {
        *interface = "default";
        let path = parts.join("/");
        return inside.run(|| read(&path));
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::unshare_network()
                .map_err(|error| KernelError::io("making", "a scratch namespace", error))?;
            Ok(read(path))
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Protocol;
    use netloom_testkit::rig::isolated;

    #[test]
    fn netlink_tells_what_the_files_say() {
        isolated(|_| {
            let mut socket = Socket::open(Protocol::Route).unwrap();
            for value in ["1", "0"] {
                for family in ["ipv4", "ipv6"] {
                    for scope in ["all", "default"] {
                        for name in ["forwarding", "rp_filter"] {
                            let path = format!("net/{family}/conf/{scope}/{name}");
                            if read(&path).is_none() {
                                assert_eq!(ask(&mut socket, &path), None, "{path}");
                                continue;
                            }
                            write(&path, value).unwrap();
                            assert_eq!(ask(&mut socket, &path).as_deref(), Some(value), "{path}");
                            assert_eq!(ask(&mut socket, &path), read(&path), "{path}");
                        }
                    }
                }
                write("net/ipv4/ip_forward", value).unwrap();
                assert_eq!(ask(&mut socket, "net/ipv4/ip_forward").as_deref(), Some(value));
            }
        });
    }
}
