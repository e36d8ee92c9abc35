//! What a bridge's connections are told: by the rows of `Bridge` and `Controller`, or by a test.

use crate::ovsdb::{KeyFiles, Remote};
use netloom_proto::openflow::message::Versions;
use netloom_vswitch::openflow::FailMode;
use std::collections::BTreeMap;
use std::time::Duration;

/// The port that IANA gave OpenFlow.
pub(super) const PORT: u16 = 6653;

/// A controller, or where controllers and tools may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct ControllerSettings {
    /// Tools: nobody whose absence matters, and who gets packets only when it asks. Who is listened for is one unless the
    /// row says otherwise.
    pub(in super::super) service: bool,
    /// The longest time between two tries to connect.
    pub(in super::super) max_backoff: Duration,
    /// After how long without a word it is asked whether it is there; never without.
    pub(in super::super) probe: Option<Duration>,
    /// Packets a second that it gets at most; 0 for any number.
    pub(in super::super) rate: u32,
    /// Packets that it gets at once.
    pub(in super::super) burst: u32,
    /// It gets what it did not ask for, unless it says otherwise.
    pub(in super::super) asynchronous: bool,
}

impl ControllerSettings {
    /// Those of a target without a row that says more.
    pub(in super::super) fn of(target: &str) -> Self {
        let listens = Remote::parse(target, PORT).is_ok_and(|remote| remote.listens());
        Self {
            service: listens,
            max_backoff: Duration::from_secs(8),
            probe: Some(Duration::from_secs(5)),
            rate: 0,
            burst: 0,
            asynchronous: true,
        }
    }
}

/// A bridge, as its connections tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct BridgeSettings {
    /// Versions that may be spoken.
    pub(in super::super) versions: Versions,
    /// What it does without a controller.
    pub(in super::super) fail_mode: FailMode,
    /// Its number, for controllers.
    pub(in super::super) datapath: u64,
    /// What people call it (`other_config:dp-desc`).
    pub(in super::super) description: Option<String>,
    /// Its serial number (`other_config:dp-sn`).
    pub(in super::super) serial: Option<String>,
    /// Keys of TLS, the same for all bridges.
    pub(in super::super) keys: Option<KeyFiles>,
    /// Controllers by their targets.
    pub(in super::super) controllers: BTreeMap<String, ControllerSettings>,
    /// After how long without a word a bundle is forgotten (`other_config:bundle-idle-timeout`).
    pub(in super::super) bundle_timeout: Duration,
}

impl Default for BridgeSettings {
    fn default() -> Self {
        Self {
            versions: Versions::ALL,
            fail_mode: FailMode::Standalone,
            datapath: 0,
            description: None,
            serial: None,
            keys: None,
            controllers: BTreeMap::new(),
            bundle_timeout: Duration::from_secs(10),
        }
    }
}

/// What became of a controller, for the columns `is_connected`, `role` and `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct ControllerStatus {
    pub(in super::super) is_connected: bool,
    /// `master`, `slave`, `other`, as the schema has them; nothing while nobody is there.
    pub(in super::super) role: Option<&'static str>,
    pub(in super::super) status: BTreeMap<String, String>,
}
