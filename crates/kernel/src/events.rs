//! Hearing that something changed in a namespace, so that it is looked at at once and not at the next round.
//!
//! What: [`Watcher`] holds two sockets in each namespace, subscribed to links, addresses, routes, rules,
//! queueing and nf_tables, and tells in which namespaces anything happened. It says *where*, never *what*:
//! the comparison with the description finds that out.
//!
//! Invariants: a lost event counts as an event. A namespace whose file is gone or is another one is let go
//! of, since an open socket would keep it alive.
//!
//! Costs: two descriptors for each namespace. Absent: neighbour events (ARP would never be still).

use crate::netlink::{NetlinkError, Protocol, Socket};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::thread::LinkNameSpaceType;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `RTNLGRP_LINK`, `_TC`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV4_RULE`, `_IPV6_IFADDR`, `_IPV6_ROUTE`,
/// `_IPV6_RULE` (linux/rtnetlink.h).
const ROUTE_GROUPS: &[u32] = &[1, 4, 5, 7, 8, 9, 11, 19];
/// `NFNLGRP_NFTABLES` (linux/netfilter/nfnetlink.h).
const NETFILTER_GROUPS: &[u32] = &[7];

struct Watched {
    inode: u64,
    sockets: Vec<Socket>,
}

/// Follows changes in a set of namespaces.
#[derive(Default)]
pub struct Watcher {
    watched: BTreeMap<PathBuf, Watched>,
}

impl Watcher {
    /// Follows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows exactly these namespaces (files of `ip netns`). Returns those that are new or gone: there
    /// something changed already. A namespace that can't be opened is left out until the next call.
    pub fn set(&mut self, namespaces: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        self.watched.retain(|path, watched| {
            let keep = namespaces.contains(path) && inode(path) == Some(watched.inode);
            if !keep {
                changed.insert(path.clone());
            }
            keep
        });
        for path in namespaces {
            if !self.watched.contains_key(path)
                && let Some(watched) = open(path)
            {
                self.watched.insert(path.clone(), watched);
                changed.insert(path.clone());
            }
        }
        changed
    }

    /// Waits until something happens or `most` is over, and tells where.
    pub fn wait(&mut self, most: Duration) -> BTreeSet<PathBuf> {
        self.wait_or(None, most)
    }

    /// The same, but something to be read from `other`, or its end, ends the wait as well.
    pub fn wait_or(&mut self, other: Option<BorrowedFd<'_>>, most: Duration) -> BTreeSet<PathBuf> {
        let timeout = Timespec::try_from(most).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let ready: Vec<bool> = {
            let mut polled: Vec<PollFd<'_>> = self
                .watched
                .values()
                .flat_map(|watched| &watched.sockets)
                .map(|socket| socket.as_fd())
                .chain(other)
                .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
                .collect();
            if polled.is_empty() {
                std::thread::sleep(most);
                return BTreeSet::new();
            }
            // An interrupted wait is a short wait.
            let _ = rustix::event::poll(&mut polled, Some(&timeout));
            polled.iter().map(|fd| !fd.revents().is_empty()).collect()
        };
        let mut changed = BTreeSet::new();
        let mut index = 0;
        for (path, watched) in &mut self.watched {
            for socket in &mut watched.sockets {
                if ready.get(index).copied().unwrap_or(false)
                    // What was said does not matter; lost events and errors count as events too.
                    && !matches!(socket.events(), Ok(Some(replies)) if replies.is_empty())
                {
                    changed.insert(path.clone());
                }
                index += 1;
            }
        }
        changed
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| metadata.ino())
}

fn open(path: &Path) -> Option<Watched> {
    let file = File::open(path).ok()?;
    let inode = file.metadata().ok()?.ino();
    let sockets = std::thread::scope(|scope| {
        scope
            .spawn(|| -> Result<Vec<Socket>, NetlinkError> {
                if rustix::thread::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .is_err()
                {
                    return Ok(Vec::new());
                }
                let mut route = Socket::open(Protocol::Route)?;
                route.subscribe(ROUTE_GROUPS)?;
                let mut sockets = vec![route];
                // A kernel without nf_tables still has the rest.
                if let Ok(mut netfilter) = Socket::open(Protocol::Netfilter)
                    && netfilter.subscribe(NETFILTER_GROUPS).is_ok()
                {
                    sockets.push(netfilter);
                }
                Ok(sockets)
            })
            .join()
            .ok()?
            .ok()
    })?;
    (!sockets.is_empty()).then_some(Watched { inode, sockets })
}
