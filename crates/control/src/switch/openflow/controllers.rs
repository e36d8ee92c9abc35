//! Targets: controllers that the switch connects to again and again, and places where others come to.
//!
//! What: how long to wait before the next try, whether a bridge is on its own, and what the database is told of it. As in
//! Open vSwitch (`rconn`, `fail-open`).

use super::bridge::Side;
use super::connection::Connection;
use super::ground::Ground;
use super::settings::{ControllerSettings, ControllerStatus, PORT};
use crate::ovsdb::Remote;
use crate::sockets::Listener;
use netloom_proto::openflow::message::Role;
use netloom_vswitch::openflow::FailMode;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// The first time between two tries, and the longest that a try takes at least.
const BACKOFF: Duration = Duration::from_secs(1);
/// Who is connected for so long has taken us.
const PROBABLY: Duration = Duration::from_secs(30);
/// Controllers are away for good when this many probes would have failed.
const PROBES: u32 = 3;

/// How a connection to a controller fares, in the words of the column `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It can't be used at all.
    Void,
    Backoff,
    Connecting,
    Active,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Void => "VOID",
            Self::Backoff => "BACKOFF",
            Self::Connecting => "CONNECTING",
            Self::Active => "ACTIVE",
        }
    }
}

/// A target in use.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) remote: Option<Remote>,
    pub(super) settings: ControllerSettings,
    pub(super) listener: Option<(u64, Listener)>,
    pub(super) connections: BTreeSet<u64>,
    pub(super) state: State,
    backoff: Duration,
    /// A connection that ends after this did well.
    steady_at: Duration,
    /// When to try next.
    pub(super) retry_at: Option<Duration>,
    pub(super) error: Option<String>,
    connected_at: Option<Duration>,
    disconnected_at: Option<Duration>,
    /// When a controller had taken us last, or the target was configured.
    admitted_at: Duration,
}

impl Target {
    /// A target that was just configured. Names of sockets are within the directory, if they are relative.
    pub(super) fn new(name: &str, settings: ControllerSettings, directory: &Path, now: Duration) -> Self {
        let (remote, error) = match Remote::parse(name, PORT) {
            Ok(Remote::Column { .. }) => (None, Some(format!("{name}: no target of a controller"))),
            Ok(remote) => (Some(remote.within(directory)), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let connects = remote.as_ref().is_some_and(|remote| !remote.listens());
        Self {
            remote,
            settings,
            listener: None,
            connections: BTreeSet::new(),
            state: if connects { State::Backoff } else { State::Void },
            backoff: Duration::ZERO,
            steady_at: Duration::ZERO,
            retry_at: connects.then_some(now),
            error,
            connected_at: None,
            disconnected_at: None,
            admitted_at: now,
        }
    }

    /// Whether it should be listened at and can't be.
    pub(super) fn is_deaf(&self) -> bool {
        self.listener.is_none() && self.remote.as_ref().is_some_and(Remote::listens)
    }

    /// Whether the switch connects to it.
    pub(super) fn connects(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| !remote.listens())
    }

    /// A try begins.
    pub(super) fn begin(&mut self, now: Duration) {
        self.state = State::Connecting;
        self.retry_at = None;
        self.steady_at = now + self.backoff;
    }

    /// When a try has taken too long.
    pub(super) fn patience(&self) -> Duration {
        self.backoff.max(BACKOFF)
    }

    /// Both sides agreed on a version.
    pub(super) fn established(&mut self, now: Duration) {
        self.state = State::Active;
        self.connected_at = Some(now);
        self.error = None;
    }

    /// A try failed, or a connection ended: there is a next try.
    pub(super) fn ended(&mut self, error: Option<String>, now: Duration) {
        if !self.connects() {
            return;
        }
        if self.state == State::Active {
            self.disconnected_at = Some(now);
        }
        let most = self.settings.max_backoff.max(BACKOFF);
        self.backoff = if now >= self.steady_at || self.backoff.is_zero() {
            BACKOFF
        } else {
            (self.backoff * 2).clamp(BACKOFF, most)
        }
        .min(most);
        self.steady_at = now + self.backoff;
        self.retry_at = Some(now + self.backoff);
        self.state = State::Backoff;
        if error.is_some() {
            self.error = error;
        }
    }

    /// What became of it.
    pub(super) fn status(&self, connections: &BTreeMap<u64, Connection>, now: Duration) -> ControllerStatus {
        if !self.connects() {
            let status = self.error.iter().map(|error| ("last_error".to_owned(), error.clone())).collect();
            return ControllerStatus { status, ..ControllerStatus::default() };
        }
        let connection = self.connections.iter().filter_map(|token| connections.get(token)).next();
        let is_connected = self.state == State::Active;
        let role = connection.filter(|_| is_connected).map(|connection| match connection.session.role() {
            Role::Primary => "master",
            Role::Secondary => "slave",
            Role::Equal | Role::NoChange => "other",
        });
        let mut status = BTreeMap::new();
        let mut say = |key: &str, value: String| drop(status.insert(key.to_owned(), value));
        say("state", self.state.name().to_owned());
        if let Some(error) = &self.error {
            say("last_error", error.clone());
        }
        let since = |at: Duration| now.saturating_sub(at).as_secs().to_string();
        if let Some(at) = self.connected_at {
            say("sec_since_connect", since(at));
        }
        if let Some(at) = self.disconnected_at {
            say("sec_since_disconnect", since(at));
        }
        if let Some(throttle) = connection.map(|connection| &connection.throttle).filter(|one| one.limits()) {
            for (key, value) in [
                ("packet-in-action-backlog", throttle.backlog() as u64),
                ("packet-in-action-bypassed", throttle.passed),
                ("packet-in-action-queued", throttle.queued),
                ("packet-in-action-dropped", throttle.dropped),
            ] {
                say(key, value.to_string());
            }
        }
        ControllerStatus { is_connected, role, status }
    }

    fn is_primary(&self) -> bool {
        self.connects() && !self.settings.service
    }

    /// Whether its controller has taken us, and for how long it has not.
    fn absence(&mut self, connections: &BTreeMap<u64, Connection>, now: Duration) -> Duration {
        let there = self.connections.iter().filter_map(|token| connections.get(token)).any(|connection| {
            let connected = connection.session.version().is_some();
            let long = self.connected_at.is_some_and(|at| now >= at + PROBABLY);
            connected && (connection.admitted || long)
        });
        if there {
            self.admitted_at = now;
        }
        now.saturating_sub(self.admitted_at)
    }
}

impl Side {
    /// Sees whether controllers have been away for so long that the bridge is to go on by itself, or are back.
    pub(super) fn watch_controllers(
        &mut self,
        ground: &impl Ground,
        connections: &BTreeMap<u64, Connection>,
        now: Duration,
    ) {
        let primary = || self.settings.fail_mode == FailMode::Standalone;
        let active = primary() && self.targets.values().any(Target::is_primary);
        let probe = self.targets.values().filter(|target| target.is_primary());
        let longest = probe.filter_map(|target| target.settings.probe).max().unwrap_or_default() * PROBES;
        let mut absence: Option<Duration> = None;
        for target in self.targets.values_mut().filter(|target| target.is_primary()) {
            let own = target.absence(connections, now);
            absence = Some(absence.map_or(own, |least| least.min(own)));
        }
        let away = absence.unwrap_or_default();
        if !active || away.is_zero() && self.fails_open {
            if std::mem::take(&mut self.fails_open) {
                tracing::warn!(bridge = self.name, "no longer in fail-open mode");
                ground.work(&self.name, |pipeline, now| pipeline.fail_open(false, now));
            }
        } else if !self.fails_open && away >= Duration::from_secs(1).max(longest) {
            tracing::warn!(
                bridge = self.name,
                seconds = away.as_secs(),
                "no controller answers: the bridge goes on as an ordinary switch"
            );
            self.fails_open = true;
            ground.work(&self.name, |pipeline, now| pipeline.fail_open(true, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_ever_later_until_one_holds() {
        let second = Duration::from_secs;
        let name = "tcp:192.0.2.1:6653";
        let mut target = Target::new(name, ControllerSettings::of(name), Path::new("/"), second(100));
        assert_eq!(target.retry_at, Some(second(100)));
        let mut at = second(100);
        let mut waits = Vec::new();
        for _ in 0..6 {
            target.begin(at);
            target.ended(Some("refused".to_owned()), at);
            let next = target.retry_at.unwrap();
            waits.push((next - at).as_secs());
            at = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
        target.begin(at);
        target.established(at);
        target.ended(None, at + second(60));
        assert_eq!(target.retry_at, Some(at + second(61)));
        let status = target.status(&BTreeMap::new(), at + second(62));
        assert_eq!(status.status.get("state").map(String::as_str), Some("BACKOFF"));
        assert_eq!(status.status.get("sec_since_disconnect").map(String::as_str), Some("2"));
        assert!(!status.is_connected && status.role.is_none());
    }

    #[test]
    fn what_cannot_be_used_says_so() {
        for name in ["ssl:switches.example", "pssl:x", "carrier-pigeon:1", "db:a,b,c"] {
            let target = Target::new(name, ControllerSettings::of(name), Path::new("/"), Duration::ZERO);
            assert!(target.remote.is_none() && target.retry_at.is_none());
            let status = target.status(&BTreeMap::new(), Duration::ZERO);
            assert!(status.status.contains_key("last_error"), "{name}");
        }
        let listens = ControllerSettings::of("ptcp:6653");
        assert!(listens.service && !ControllerSettings::of("tcp:192.0.2.1").service);
    }
}
