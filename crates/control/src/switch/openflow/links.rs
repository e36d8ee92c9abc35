//! Sockets of bridges: listening, connecting, accepting, and what changes with the settings.

use super::bridge::Side;
use super::connection::{Connection, Purpose};
use super::controllers::{State, Target};
use super::ground::Ground;
use super::service::Core;
use super::settings::{BridgeSettings, ControllerSettings};
use super::throttle::Throttle;
use crate::ovsdb::Remote;
use crate::sockets::{Listener, Stream, begin};
use netloom_proto::openflow::session::{Config, Session, Side as Speaker};
use rustix::event::epoll;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Connections at once of all bridges.
const CONNECTIONS: usize = 4096;
/// Connections that one place takes at most.
const OF_TARGET: usize = 512;
/// Connections that are taken at once.
const ACCEPTS: usize = 16;
/// After how long a silent tool is asked whether it is there.
const TOOL_PROBE: Duration = Duration::from_secs(60);

impl<G: Ground> Core<G> {
    /// Has these bridges, and no others.
    pub(super) fn configure(&mut self, bridges: BTreeMap<String, BridgeSettings>) {
        let gone: Vec<String> =
            self.bridges.keys().filter(|name| !bridges.contains_key(*name)).cloned().collect();
        for name in gone {
            self.remove(&name);
        }
        for (name, settings) in bridges {
            match self.bridges.get_mut(&name) {
                Some(side) if side.settings == settings => {}
                Some(_) => self.change(&name, settings),
                None => self.add(&name, settings),
            }
        }
    }

    fn add(&mut self, name: &str, settings: BridgeSettings) {
        let mut side = Side::new(name, settings.clone());
        side.read_lengths(&self.ground);
        let ports = self.ground.look(name, |pipeline, _| {
            pipeline.ports().map(super::requests::ports::describe).collect::<Vec<_>>()
        });
        side.ports = ports.unwrap_or_default().into_iter().map(|port| (port.number, port)).collect();
        let now = self.now();
        side.since = side.ports.keys().map(|port| (*port, now)).collect();
        self.bridges.insert(name.to_owned(), side);
        self.listen_to_snoopers(name);
        self.change(name, settings);
    }

    fn remove(&mut self, name: &str) {
        let Some(side) = self.bridges.get(name) else { return };
        let connections: Vec<u64> = side.connections.iter().copied().collect();
        for token in connections {
            self.hang_up(token, None);
        }
        // Listening sockets end with it.
        self.bridges.remove(name);
    }

    /// Has a bridge have other targets, or treat them otherwise.
    fn change(&mut self, name: &str, settings: BridgeSettings) {
        let now = self.now();
        let tools = format!("punix:{}", self.directory.join(format!("{name}.mgmt")).display());
        let mut wanted = settings.controllers.clone();
        wanted.insert(
            tools.clone(),
            ControllerSettings { probe: Some(TOOL_PROBE), service: true, ..ControllerSettings::of(&tools) },
        );
        let Some(side) = self.bridges.get_mut(name) else { return };
        // Who was told another number, or may speak other versions, has to begin again.
        let anew = (side.settings.datapath, side.settings.versions) != (settings.datapath, settings.versions);
        let old = std::mem::replace(&mut side.settings, settings);
        let differs = |(target, own): (&String, &Target)| match wanted.get(target) {
            Some(wish) => {
                wish.service != own.settings.service || wish.asynchronous != own.settings.asynchronous
            }
            None => true,
        };
        let gone: Vec<String> =
            side.targets.iter().filter(|one| differs(*one)).map(|(target, _)| target.clone()).collect();
        let mut over: Vec<u64> = Vec::new();
        if anew && !old.controllers.is_empty() {
            over.extend(side.connections.iter().copied());
        }
        for target in gone {
            tracing::info!(bridge = name, target, "a controller is removed");
            if let Some(target) = side.targets.remove(&target) {
                over.extend(target.connections);
            }
        }
        let directory = self.directory.clone();
        let mut fresh = Vec::new();
        for (target, wish) in wanted {
            match side.targets.get_mut(&target) {
                Some(known) => known.settings = wish,
                None => {
                    side.targets.insert(target.clone(), Target::new(&target, wish, &directory, now));
                    fresh.push(target);
                }
            }
        }
        for token in over {
            self.hang_up(token, None);
        }
        for target in fresh {
            self.open(name, &target);
        }
    }

    /// Listens where a target says so.
    fn open(&mut self, bridge: &str, name: &str) {
        let token = self.next_token;
        let Some(target) = self.bridges.get_mut(bridge).and_then(|side| side.targets.get_mut(name)) else {
            return;
        };
        let Some(remote) = &target.remote else {
            let error = target.error.as_deref().unwrap_or_default();
            tracing::warn!(bridge, target = name, error, "a controller can't be used");
            return;
        };
        match listen(&self.poller, remote, token) {
            Ok(Some(listener)) => {
                self.next_token += 1;
                if let (Some(address), Some(port)) = (remote.listening_address(), listener.port())
                    && address.port() == 0
                {
                    // Test suites read the port from here.
                    let place = name.split_once(':').map_or(name, |(_, place)| place);
                    tracing::info!(target: "socket_util", "{place}: listening on port {port}");
                }
                target.listener = Some((token, listener));
                target.error = None;
            }
            Ok(None) => {}
            Err(error) => {
                let error = error.to_string();
                if target.error.as_ref() != Some(&error) {
                    tracing::error!(bridge, target = name, error, "nobody can be listened for");
                }
                target.error = Some(error);
            }
        }
    }

    fn listen_to_snoopers(&mut self, bridge: &str) {
        let token = self.next_token;
        let remote = Remote::ListenUnix(self.directory.join(format!("{bridge}.snoop")));
        match listen(&self.poller, &remote, token) {
            Ok(listener) => {
                self.next_token += 1;
                if let Some(side) = self.bridges.get_mut(bridge) {
                    side.snoop = listener.map(|listener| (token, listener));
                }
            }
            Err(error) => tracing::debug!(bridge, %error, "nobody can snoop"),
        }
    }

    /// Tries to connect where it is time to.
    pub(super) fn connect_due(&mut self, now: Duration) {
        let mut due = Vec::new();
        for side in self.bridges.values_mut() {
            for (name, target) in &mut side.targets {
                if target.connections.is_empty() && target.retry_at.is_some_and(|at| at <= now) {
                    target.begin(now);
                    due.push((side.name.clone(), name.clone(), target.remote.clone()));
                }
            }
        }
        for (bridge, name, remote) in due {
            let Some(remote) = remote else { continue };
            match begin(&remote) {
                Ok(Some(stream)) => self.adopt(&bridge, Purpose::Target(name), stream, now, true),
                Ok(None) => {}
                Err(error) => {
                    let side = self.bridges.get_mut(&bridge);
                    if let Some(target) = side.and_then(|side| side.targets.get_mut(&name)) {
                        target.ended(Some(error.to_string()), now);
                    }
                }
            }
        }
    }

    /// Ends tries that have taken too long.
    pub(super) fn give_up_tries(&mut self, now: Duration) {
        let mut over = Vec::new();
        for target in self.bridges.values().flat_map(|side| side.targets.values()) {
            if target.state != State::Connecting {
                continue;
            }
            for token in &target.connections {
                let late = |connection: &Connection| now >= connection.since + target.patience();
                if self.connections.get(token).is_some_and(late) {
                    over.push(*token);
                }
            }
        }
        for token in over {
            self.hang_up(token, Some("Connection timed out".to_owned()));
        }
    }

    /// Whether a connection that is being made came about.
    pub(super) fn established(&mut self, token: u64, now: Duration) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        match rustix::net::sockopt::socket_error(&*connection) {
            Ok(Ok(())) => {
                connection.connecting = false;
                connection.since = now;
                connection.interest = (false, false);
            }
            Ok(Err(error)) | Err(error) => self.hang_up(token, Some(error.to_string())),
        }
    }

    /// Takes connections that wait at a listening socket.
    pub(super) fn accept(&mut self, token: u64, now: Duration) {
        for _ in 0..ACCEPTS {
            let Some((bridge, purpose, listener, count)) = self.listener(token) else { return };
            let accepted = if self.connections.len() < CONNECTIONS && count < OF_TARGET {
                listener.accept()
            } else {
                Err(std::io::Error::other("there are too many connections already"))
            };
            match accepted {
                Ok(Some(stream)) => self.adopt(&bridge, purpose, stream, now, false),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(bridge, %error, "a connection can't be taken");
                    // Until the next tick, so that this does not spin.
                    let none = epoll::EventFlags::empty();
                    let _ = epoll::modify(&self.poller, listener, epoll::EventData::new_u64(token), none);
                    return;
                }
            }
        }
    }

    /// The listening socket of a token: its bridge, what it is for, and how many it took.
    fn listener(&self, token: u64) -> Option<(String, Purpose, &Listener, usize)> {
        for side in self.bridges.values() {
            if let Some((own, listener)) = &side.snoop
                && *own == token
            {
                return Some((side.name.clone(), Purpose::Snoop, listener, side.snoop_count));
            }
            for (name, target) in &side.targets {
                if let Some((own, listener)) = &target.listener
                    && *own == token
                {
                    let purpose = Purpose::Target(name.clone());
                    return Some((side.name.clone(), purpose, listener, target.connections.len()));
                }
            }
        }
        None
    }

    /// Whether somebody should be listened for, and can't be: a predecessor may still listen there.
    pub(super) fn is_deaf(&self) -> bool {
        self.bridges.values().any(|side| side.snoop.is_none() || side.targets.values().any(Target::is_deaf))
    }

    /// Tries again to listen where that failed.
    fn listen_again(&mut self) {
        let mut deaf = Vec::new();
        for side in self.bridges.values() {
            if side.snoop.is_none() {
                deaf.push((side.name.clone(), None));
            }
            let targets = side.targets.iter().filter(|(_, target)| target.is_deaf());
            deaf.extend(targets.map(|(name, _)| (side.name.clone(), Some(name.clone()))));
        }
        for (bridge, target) in deaf {
            match target {
                Some(target) => self.open(&bridge, &target),
                None => self.listen_to_snoopers(&bridge),
            }
        }
    }

    /// Listening sockets that could not take more are looked at again.
    pub(super) fn mend_listeners(&mut self) {
        self.listen_again();
        let listeners = self.bridges.values().flat_map(|side| {
            side.snoop.iter().chain(side.targets.values().filter_map(|target| target.listener.as_ref()))
        });
        for (token, listener) in listeners {
            let data = epoll::EventData::new_u64(*token);
            let _ = epoll::modify(&self.poller, listener, data, epoll::EventFlags::IN);
        }
    }

    fn adopt(&mut self, bridge: &str, purpose: Purpose, stream: OwnedFd, now: Duration, connecting: bool) {
        let token = self.next_token;
        let Some(side) = self.bridges.get_mut(bridge) else { return };
        let stream = match &purpose {
            Purpose::Snoop => Ok(Stream::Plain(stream)),
            Purpose::Target(name) => match side.targets.get(name).and_then(|target| target.remote.as_ref()) {
                Some(remote) => Stream::new(stream, remote, &mut self.keyring),
                None => return,
            },
        };
        let stream = match (stream, &purpose) {
            (Ok(stream), _) => stream,
            (Err(_), Purpose::Snoop) => return,
            (Err(error), Purpose::Target(name)) => {
                let error = error.to_string();
                if let Some(target) = side.targets.get_mut(name) {
                    if target.error.as_ref() != Some(&error) {
                        tracing::error!(target: "stream_ssl", "{name}: {error}");
                    }
                    if connecting {
                        target.ended(Some(error.clone()), now);
                    }
                    target.error = Some(error);
                }
                return;
            }
        };
        self.next_token += 1;
        let mut throttle = Throttle::default();
        let mut config =
            Config { versions: side.settings.versions, service: true, ..Config::new(Speaker::Switch) };
        match &purpose {
            Purpose::Target(name) => {
                let Some(target) = side.targets.get_mut(name) else { return };
                let settings = &target.settings;
                config.probe = settings.probe;
                config.service = settings.service;
                config.quiet = !settings.asynchronous;
                throttle = Throttle::new(settings.rate, settings.burst, now);
                target.connections.insert(token);
            }
            Purpose::Snoop => {
                config.probe = None;
                side.snoop_count += 1;
            }
        }
        let flags = if connecting { epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        if let Err(error) = epoll::add(&self.poller, &stream, epoll::EventData::new_u64(token), flags) {
            tracing::warn!(bridge, %error, "a connection can't be waited for");
        }
        config.debug = self.ground.is_for_tests();
        let session = Session::new(config, now);
        let mut connection = Connection::new((token, stream), (bridge, purpose), session, throttle, now);
        connection.service = config.service;
        connection.connecting = connecting;
        connection.interest = (!connecting, connecting);
        side.connections.insert(token);
        self.connections.insert(token, connection);
    }
}

fn listen(poller: &OwnedFd, remote: &Remote, token: u64) -> std::io::Result<Option<Listener>> {
    let Some(listener) = Listener::open(remote)? else { return Ok(None) };
    epoll::add(poller, &listener, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
    Ok(Some(listener))
}
