//! Which space is meant by the identifiers with which a namespace names others (the other ends of its links).
//!
//! ```text
//! the host's namespace has given each of ours a number           [`number`], when it is made
//! looking at one:   its number -> whom its identifiers mean, as the host's numbers      one short dump
//! all looked at:    number -> space                                                     [`resolve`]
//! ```
//!
//! What has no number (made by hand or by an older program) is asked for the mark of its `lo`, identifier by identifier.
//!
//! Invariants:
//! - A space is told by what identifies it, a number of the kernel or its mark, never by interface numbers.
//! - Numbers live as long as their namespace and are taken by none while it lives; a number that is reused since the
//!   look began leads to a space that was looked at, whose mark was seen.
//!
//! Costs: two requests for each namespace, which do not take the kernel's lock of all links. A question for a mark takes it,
//! and the kernel writes out a whole link for it.

use super::view::{View, link_request};
use crate::error::KernelError;
use crate::marks;
use crate::namespace::{LOOPBACK_INDEX, Namespace};
use crate::netlink::{Messages, NetlinkError, Protocol, Socket};
use netloom_compile::object::Space;
use netloom_wire::NodeName;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// `IFLA_TARGET_NETNSID` (linux/if_link.h).
const IFLA_TARGET_NETNSID: u16 = 46;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
// linux/net_namespace.h
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const NETNSA_TARGET_NSID: u16 = 4;
const NETNSA_CURRENT_NSID: u16 = 5;

/// Has the namespace of a socket give another one a number. One that has a number keeps it, and a kernel that refuses makes
/// looks slower and nothing else.
pub(crate) fn number(socket: &mut Socket, namespace: BorrowedFd<'_>) {
    let mut messages = Messages::new();
    let message = messages.add(RTM_NEWNSID, 0);
    write(message, namespace).u32(NETNSA_NSID, u32::MAX);
    let _ = socket.batch(&mut messages);
}

fn write<'a>(
    mut message: crate::netlink::Message<'a>,
    namespace: BorrowedFd<'_>,
) -> crate::netlink::Message<'a> {
    message.header(&[0; 4]).u32(NETNSA_FD, namespace.as_raw_fd() as u32);
    message
}

/// The identifiers of one space.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// The host's number for this space.
    own: Option<i32>,
    /// The host's numbers for those that the identifiers mean.
    numbers: HashMap<i32, i32>,
    /// Spaces that were told by their mark.
    spaces: HashMap<i32, Space>,
}

impl Identities {
    /// The space that an identifier means; none of one that was not looked at.
    pub(super) fn space(&self, identifier: i32) -> Option<&Space> {
        self.spaces.get(&identifier)
    }
}

/// A thread's socket in the host's namespace.
#[derive(Debug)]
pub(super) struct Guide {
    socket: Socket,
}

impl Guide {
    /// Opens it; the calling thread is in the host's namespace afterwards.
    pub(super) fn open(host: &Namespace) -> Result<Self, KernelError> {
        host.enter()?;
        let socket =
            Socket::open(Protocol::Route).map_err(KernelError::netlink("opening a netlink socket"))?;
        Ok(Self { socket })
    }

    /// What `identifiers` of a space mean, as far as it can be told without having looked at the others. `socket` is in the
    /// space.
    pub(super) fn identify(
        &mut self,
        socket: &mut Socket,
        identifiers: BTreeSet<i32>,
        namespace: &Namespace,
        host: &Namespace,
        space: &Space,
        topology: &NodeName,
    ) -> Result<Identities, NetlinkError> {
        let mut found = Identities::default();
        if *space == Space::Host {
            // Its identifiers are the numbers.
            found.numbers = identifiers.into_iter().map(|identifier| (identifier, identifier)).collect();
            return Ok(found);
        }
        found.own = given(&mut self.socket, namespace.as_fd())?;
        if let (Some(own), false) = (found.own, identifiers.is_empty()) {
            found.numbers = self.meanings(own);
        }
        let unknown = |identifier: &i32| !found.numbers.contains_key(identifier);
        let unknown: BTreeSet<i32> = identifiers.into_iter().filter(unknown).collect();
        found.spaces = asked(socket, unknown, host, topology)?;
        Ok(found)
    }

    /// The host's numbers for the identifiers that the space of number `own` has given. Kernels before 4.20 have no such
    /// question: nothing then.
    fn meanings(&mut self, own: i32) -> HashMap<i32, i32> {
        let mut messages = Messages::new();
        let mut message = messages.add(RTM_GETNSID, libc::NLM_F_DUMP as u16);
        message.header(&[0; 4]).u32(NETNSA_TARGET_NSID, own as u32);
        drop(message);
        let replies = self.socket.request(&mut messages).unwrap_or_default();
        let pair = |reply: crate::netlink::Reply<'_>| {
            let attributes = reply.attributes(4);
            let current = attributes.get(NETNSA_CURRENT_NSID)?.i32().filter(|number| *number >= 0)?;
            Some((attributes.get(NETNSA_NSID)?.i32()?, current))
        };
        replies.iter().filter_map(pair).collect()
    }
}

/// Gives identifiers the spaces of all views.
pub(super) fn resolve(views: &mut [View]) {
    let spaces: HashMap<i32, Space> =
        views.iter().filter_map(|view| Some((view.identities.own?, view.space.clone()))).collect();
    for view in views {
        let Identities { numbers, spaces: known, .. } = &mut view.identities;
        let resolved = numbers
            .drain()
            .filter_map(|(identifier, number)| Some((identifier, spaces.get(&number)?.clone())));
        known.extend(resolved);
    }
}

/// The number that the socket's namespace has given to another.
fn given(socket: &mut Socket, namespace: BorrowedFd<'_>) -> Result<Option<i32>, NetlinkError> {
    let mut messages = Messages::new();
    drop(write(messages.add(RTM_GETNSID, 0), namespace));
    let mut number = None;
    socket.each(&mut messages, |_, answer| {
        number = answer
            .ok()
            .and_then(|reply| reply.attributes(4).get(NETNSA_NSID)?.i32())
            .filter(|number| *number >= 0);
    })?;
    Ok(number)
}

/// The same by the marks of those they mean: asks each `lo` over there.
fn asked(
    socket: &mut Socket,
    identifiers: BTreeSet<i32>,
    host: &Namespace,
    topology: &NodeName,
) -> Result<HashMap<i32, Space>, NetlinkError> {
    let mut spaces = HashMap::new();
    if identifiers.is_empty() {
        return Ok(spaces);
    }
    let identifiers: Vec<i32> = identifiers.into_iter().collect();
    let mut messages = Messages::new();
    for identifier in &identifiers {
        link_request(&mut messages, LOOPBACK_INDEX, 0).u32(IFLA_TARGET_NETNSID, *identifier as u32);
    }
    let mut others = false;
    socket.each(&mut messages, |index, answer| {
        // A refusal means that it is gone already, or not ours to look into.
        let (Some(identifier), Ok(reply)) = (identifiers.get(index), answer) else { return };
        let alias = reply.attributes(16).get(libc::IFLA_IFALIAS).and_then(|alias| alias.text());
        match alias.and_then(|alias| marks::part_of(alias, topology)) {
            Some(node) => spaces.extend(node.parse().ok().map(|node| (*identifier, Space::Node(node)))),
            None => others = true,
        }
    })?;
    if others
        && let Some(of_host) = given(socket, host.as_fd())?
        && identifiers.contains(&of_host)
    {
        spaces.insert(of_host, Space::Host);
    }
    Ok(spaces)
}
