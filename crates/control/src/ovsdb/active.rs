//! Remotes in use: sockets that listen, and connections that are made again and again.

use super::server::Core;
use crate::sockets::{Listener, Remote, RemoteOptions, RemoteStatus, begin};
use netloom_proto::ovsdb::server::Now;
use rustix::event::epoll;
use std::collections::BTreeSet;
use std::io;

/// The first time between two tries to connect, in milliseconds.
pub(super) const BACKOFF: u64 = 1000;

/// A remote that is in use.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) remote: Remote,
    pub(super) options: RemoteOptions,
    pub(super) listener: Option<(u64, Listener)>,
    /// Its clients.
    pub(super) connections: BTreeSet<u64>,
    /// When to try next, and how long to wait after the next failure.
    pub(super) retry: Option<(u64, u64)>,
    pub(super) error: Option<String>,
}

impl Core {
    /// Tries to connect where it is time to.
    pub(super) fn connect_due(&mut self, now: Now) {
        let due = |active: &Active| {
            active.connections.is_empty() && active.retry.is_some_and(|(at, _)| at <= now.monotonic)
        };
        let names: Vec<String> =
            self.remotes.iter().filter(|(_, active)| due(active)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(active) = self.remotes.get_mut(&name) else {
                continue;
            };
            let options = active.options;
            let wait = active.retry.map_or(BACKOFF, |(_, wait)| wait);
            active.retry = Some((now.monotonic + wait, (wait * 2).min(options.max_backoff.max(BACKOFF))));
            match begin(&active.remote) {
                Ok(Some(stream)) => self.adopt(&name, stream, options, now, true),
                Ok(None) => active.retry = None,
                Err(error) => {
                    active.error = Some(error.to_string());
                    self.states_changed = true;
                }
            }
        }
    }

    /// Begins to use a remote, or uses it with other options.
    pub(super) fn open_remote(
        &mut self,
        name: &str,
        remote: &Remote,
        options: RemoteOptions,
    ) -> io::Result<()> {
        if let Some(active) = self.remotes.get_mut(name) {
            active.options = options;
            for token in &active.connections {
                if let Some(connection) = self.connections.get_mut(token) {
                    connection.probe_interval = options.probe_interval;
                    self.server.set_read_only(connection.session, self.read_only || options.read_only);
                }
            }
            return Ok(());
        }
        let remote = &remote.within(&self.directory);
        let listener = match Listener::open(remote)? {
            None => None,
            Some(listener) => {
                let token = self.next_token;
                self.next_token += 1;
                epoll::add(&self.poller, &listener, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
                if let (Some(address), Some(port)) = (remote.listening_address(), listener.port())
                    && address.port() == 0
                {
                    // Test suites read the port from here.
                    let place = name.split_once(':').map_or(name, |(_, place)| place);
                    tracing::info!(target: "socket_util", "{place}: listening on port {port}");
                }
                Some((token, listener))
            }
        };
        let retry = (!remote.listens()).then_some((0, BACKOFF));
        let connections = BTreeSet::new();
        let active = Active { remote: remote.clone(), options, listener, connections, retry, error: None };
        self.remotes.insert(name.to_owned(), active);
        Ok(())
    }

    /// Uses a remote no more; its clients are disconnected.
    pub(super) fn close_remote(&mut self, name: &str) -> bool {
        let Some(active) = self.remotes.remove(name) else {
            return false;
        };
        active.connections.iter().for_each(|token| self.hang_up(*token));
        true
    }

    /// What became of a remote.
    pub(super) fn remote_status(&self, name: &str) -> Option<RemoteStatus> {
        let active = self.remotes.get(name)?;
        let there =
            |token: &&u64| self.connections.get(token).is_some_and(|connection| !connection.connecting);
        let connections = active.connections.iter().filter(there).count();
        Some(RemoteStatus {
            is_connected: connections > 0,
            connections,
            bound_port: active.listener.as_ref().and_then(|(_, listener)| listener.port()),
            error: active.error.clone(),
        })
    }
}
