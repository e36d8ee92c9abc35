//! The real machine as a [`Platform`]: the kernel, and Netloom's own switch for the networks that are `via: switch`.
//!
//! What: objects of the kinds `switch` and `switch port` are asked of and given to a switch daemon, all others to the
//! kernel. The daemon is one for each realm; it is started when the first switch is made and ends with the last.
//!
//! How objects are named there: a network's switch is `TOPOLOGY.NETWORK`, the port behind an interface is
//! `TOPOLOGY.NODE.INTERFACE`. Both carry the topology as an option; without it they are somebody else's.
//!
//! Invariants: observing starts nothing. A daemon that was killed leaves its configuration, so that what it carried is
//! seen as not running and is mended by starting it again; the interfaces persist meanwhile.

use crate::linux;
use crate::platform::{Missing, Platform, PlatformError};
use crate::switch::{
    self, GONE, NOT_OPEN, Options, PortStatus, Reply, Request, SwitchConfiguration, SwitchSocket, ask,
};
use netloom_compile::object::{
    Desired, Key, Mark, Observed, ObservedObject, Operation, Owner, PortVlan, Space, Spec, Switch, SwitchPort,
};
use netloom_kernel::{Ahead, Kernel};
use netloom_wire::{InterfaceName, NodeName, VlanId};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time that a daemon has to start or to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// What is said of an answer that makes no sense.
const ANOTHER: &str = "the switch gave an answer to another question";

/// Starts a switch daemon for a directory, in the realm of the caller, and returns without waiting for it.
pub type StartSwitch = Box<dyn Fn(&Path) -> io::Result<()> + Send + Sync>;

/// The kernel and the switch as one topology sees them.
pub struct Machine {
    kernel: Kernel,
    directory: PathBuf,
    start: StartSwitch,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}

/// Whether switches are configured in this directory of a daemon, but none runs.
#[must_use]
pub fn has_died(directory: &Path) -> bool {
    directory.join(switch::FILE).exists() && !SwitchSocket::within(directory).answers()
}

/// What a daemon carries, or carried when it was killed.
struct Carried {
    running: bool,
    /// Names with options.
    switches: Vec<(String, Options)>,
    /// Ports.
    ports: Vec<CarriedPort>,
}

struct CarriedPort {
    name: String,
    switch: String,
    options: Options,
    /// Whether it holds its interface.
    open: bool,
}

/// Whether a port holds its interface.
fn is_open(port: &PortStatus) -> bool {
    !port.state.starts_with(GONE) && port.state != NOT_OPEN
}

fn refused(key: &Key, text: impl Into<String>) -> PlatformError {
    PlatformError::new(Some(key.clone()), text)
}

impl Machine {
    /// `directory` is that of the realm's switch daemon, `start` starts one.
    #[must_use]
    pub const fn new(kernel: Kernel, directory: PathBuf, start: StartSwitch) -> Self {
        Self { kernel, directory, start }
    }

    /// The kernel alone.
    #[must_use]
    pub const fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// [`Platform::observe`] with what was looked at already ([`Kernel::look_ahead`]).
    ///
    /// # Errors
    /// As [`Platform::observe`].
    pub fn observe_after(&self, scope: &Desired, ahead: Option<Ahead>) -> Result<Observed, PlatformError> {
        let mut observed = self.kernel.observe_after(scope, ahead).map_err(|error| linux::refusal(&error))?;
        self.observe_switches(scope, &mut observed)
            .map_err(|error| PlatformError::new(None, format!("the switch can't be looked at: {error}")))?;
        Ok(observed)
    }

    fn socket(&self) -> SwitchSocket {
        SwitchSocket::within(&self.directory)
    }

    fn look(&self) -> io::Result<Option<Carried>> {
        match (
            ask(&self.socket(), &Request::SwitchList),
            ask(&self.socket(), &Request::PortList { switch: None }),
        ) {
            (Ok(Reply::Switches(switches)), Ok(Reply::Ports(ports))) => {
                return Ok(Some(Carried {
                    running: true,
                    switches: switches.into_iter().map(|found| (found.name, found.options)).collect(),
                    ports: ports
                        .into_iter()
                        .map(|port| CarriedPort {
                            open: is_open(&port),
                            name: port.name,
                            switch: port.switch,
                            options: port.options,
                        })
                        .collect(),
                }));
            }
            (Err(error), _) | (_, Err(error)) if is_absence(&error) => {}
            (Err(error), _) | (_, Err(error)) => return Err(error),
            _ => return Err(io::Error::other(ANOTHER)),
        }
        let text = match std::fs::read(self.directory.join(switch::FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let left: SwitchConfiguration = serde_json::from_slice(&text)?;
        let ports = left.ports.into_iter().map(|(name, port)| CarriedPort {
            name,
            switch: port.switch,
            options: port.options,
            open: false,
        });
        Ok(Some(Carried {
            running: false,
            switches: left.switches.into_iter().collect(),
            ports: ports.collect(),
        }))
    }

    fn observe_switches(&self, scope: &Desired, observed: &mut Observed) -> io::Result<()> {
        let Some(carried) = self.look()? else { return Ok(()) };
        let topology = self.kernel.topology();
        let prefix = format!("{topology}.");
        let mut add = |key: Key, spec: Spec, options: &Options| {
            let ours = options.get("topology").map(String::as_str) == Some(topology.as_str());
            if ours || scope.objects.contains_key(&key) {
                let mark = if ours { Mark::Ours } else { Mark::Foreign };
                observed.objects.insert(key, ObservedObject { spec, mark });
            }
        };
        for (name, options) in &carried.switches {
            let Some(Ok(network)) = name.strip_prefix(&prefix).map(str::parse) else { continue };
            let spec = Spec::Switch(Switch { running: carried.running });
            add(Key::Switch { space: Space::Node(network) }, spec, options);
        }
        for CarriedPort { name, switch, options, open } in &carried.ports {
            let Some((space, link)) = name.strip_prefix(&prefix).and_then(|_| place(options)) else {
                continue;
            };
            let Some(port) = port_of(switch, options, *open) else { continue };
            add(Key::SwitchPort { space, link }, Spec::SwitchPort(port), options);
        }
        Ok(())
    }

    /// Asks the daemon, which is started if none runs.
    fn request(&self, key: &Key, request: &Request) -> Result<Reply, PlatformError> {
        let answer = self.ask_or_start(key, request, true)?;
        answer.ok_or_else(|| refused(key, "the switch has ended"))
    }

    /// The same, but `None` if there is nothing that it could carry.
    fn request_if_there(&self, key: &Key, request: &Request) -> Result<Option<Reply>, PlatformError> {
        self.ask_or_start(key, request, false)
    }

    fn ask_or_start(
        &self,
        key: &Key,
        request: &Request,
        always: bool,
    ) -> Result<Option<Reply>, PlatformError> {
        let began = Instant::now();
        let mut started: Option<Instant> = None;
        loop {
            match ask(&self.socket(), request) {
                Ok(Reply::Failed { message }) => return Err(refused(key, message)),
                Ok(reply) => return Ok(Some(reply)),
                Err(error) if is_absence(&error) && began.elapsed() < PATIENCE => {}
                Err(error) => {
                    let mut refusal = refused(key, format!("the switch does not answer: {error}"));
                    refusal.hint =
                        Some("`logs/switch.log` in the run directory tells what it said".to_owned());
                    return Err(refusal);
                }
            }
            // One that is just ending may answer no more and still hold the socket's name.
            let ready = started.is_none_or(|started| started.elapsed() > PATIENCE / 4);
            if ready && !self.socket().answers() {
                // Its configuration goes before its socket: what it had is gone then, or it was killed.
                if !always && !self.directory.join(switch::FILE).exists() {
                    return Ok(None);
                }
                (self.start)(&self.directory)
                    .map_err(|error| refused(key, format!("the switch can't be started: {error}")))?;
                started = Some(Instant::now());
            } else {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn apply(&self, operation: &Operation) -> Result<(), PlatformError> {
        let key = operation.key();
        match (key, operation) {
            (Key::Switch { space }, Operation::Create { .. } | Operation::Change { .. }) => {
                self.make_switch(key, space)
            }
            (Key::Switch { space }, Operation::Delete { .. }) => self.delete_switch(key, space),
            (
                Key::SwitchPort { space, link },
                Operation::Create { spec: Spec::SwitchPort(port), .. }
                | Operation::Change { to: Spec::SwitchPort(port), .. },
            ) => self.make_port(key, space, link, port),
            (Key::SwitchPort { space, link }, Operation::Delete { .. }) => {
                let name = port_name(self.kernel.topology(), space, link);
                match self.port(key, &name)? {
                    Some(port) if self.is_ours(&port.options) => {
                        match self.request_if_there(key, &Request::PortDelete { name: name.clone() }) {
                            // Its switch went meanwhile, and took it along.
                            Err(_) if self.port(key, &name)?.is_none() => Ok(()),
                            done => done.map(|_| ()),
                        }
                    }
                    _ => Ok(()),
                }
            }
            _ => Err(refused(key, "is no object of a switch")),
        }
    }

    fn is_ours(&self, options: &Options) -> bool {
        options.get("topology").map(String::as_str) == Some(self.kernel.topology().as_str())
    }

    fn make_switch(&self, key: &Key, space: &Space) -> Result<(), PlatformError> {
        let name = format!("{}.{space}", self.kernel.topology());
        let Reply::Switches(switches) = self.request(key, &Request::SwitchList)? else {
            return Err(refused(key, ANOTHER));
        };
        match switches.into_iter().find(|found| found.name == name) {
            Some(found) if self.is_ours(&found.options) => Ok(()),
            Some(_) => Err(refused(key, format!("there is a switch `{name}` that somebody else made"))),
            None => {
                let options = Options::from([("topology".to_owned(), self.kernel.topology().to_string())]);
                self.request(key, &Request::SwitchAdd { name, options }).map(|_| ())
            }
        }
    }

    fn delete_switch(&self, key: &Key, space: &Space) -> Result<(), PlatformError> {
        let name = format!("{}.{space}", self.kernel.topology());
        let switches = match self.request_if_there(key, &Request::SwitchList)? {
            Some(Reply::Switches(switches)) => switches,
            None => return Ok(()),
            Some(_) => return Err(refused(key, ANOTHER)),
        };
        if !switches.iter().any(|found| found.name == name && self.is_ours(&found.options)) {
            return Ok(());
        }
        self.request_if_there(key, &Request::SwitchDelete { name })?;
        self.await_end();
        Ok(())
    }

    /// The last switch takes the daemon along; who is told that all is gone shall find it so.
    fn await_end(&self) {
        let began = Instant::now();
        let ends = || !self.directory.join(switch::FILE).exists() && self.directory.exists();
        while ends() && began.elapsed() < PATIENCE / 4 {
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends a daemon that carries nothing: who started it was killed before it made a switch.
    fn sweep_switch(&self) {
        if !self.directory.exists() || self.directory.join(switch::FILE).exists() {
            return;
        }
        match ask(&self.socket(), &Request::StopUnused) {
            Ok(Reply::Done) => self.await_end(),
            Ok(_) => {}
            Err(_) => {
                // Only what is empty goes.
                let _ = std::fs::remove_file(self.socket().path());
                let _ = std::fs::remove_dir(&self.directory);
            }
        }
    }

    fn port(&self, key: &Key, name: &str) -> Result<Option<PortStatus>, PlatformError> {
        match self.request_if_there(key, &Request::PortList { switch: None })? {
            Some(Reply::Ports(ports)) => Ok(ports.into_iter().find(|port| port.name == name)),
            None => Ok(None),
            Some(_) => Err(refused(key, ANOTHER)),
        }
    }

    fn make_port(
        &self,
        key: &Key,
        space: &Space,
        link: &InterfaceName,
        port: &SwitchPort,
    ) -> Result<(), PlatformError> {
        let topology = self.kernel.topology();
        let Space::Node(node) = space else {
            return Err(refused(key, "interfaces of the host can't be ports of a network's switch"));
        };
        let name = port_name(topology, space, link);
        let switch = format!("{topology}.{}", port.network);
        let bridged = bridge_options(port);
        if let Some(there) = self.port(key, &name)? {
            if !self.is_ours(&there.options) {
                return Err(refused(key, format!("there is a port `{name}` that somebody else made")));
            }
            if is_open(&there) && there.switch == switch {
                return self.request(key, &Request::PortSet { name, options: bridged }).map(|_| ());
            }
            self.request(key, &Request::PortDelete { name: name.clone() })?;
        }
        let mut options: Options = bridged.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let netns = self.kernel.namespaces().path(node).display().to_string();
        let own = [
            ("type", "tap"),
            ("dev", link.as_str()),
            ("netns", &netns),
            ("topology", topology.as_str()),
            ("node", node.as_str()),
        ];
        options.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self.request(key, &Request::PortAdd { switch, name, options }).map(|_| ())
    }
}

/// A set without VLANs: an empty text would take the option away.
const NO_VLANS: &str = ",";

/// Whether nobody listens on the socket, or it was closed before it answered.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof)
}

/// The name of the port behind an interface. What a name may not have is written as its number.
fn port_name(topology: &NodeName, space: &Space, link: &InterfaceName) -> String {
    let mut name = format!("{topology}.{space}.");
    for letter in link.as_str().chars() {
        if letter.is_ascii_alphanumeric() || "-_.".contains(letter) {
            name.push(letter);
        } else {
            name.push_str(&format!("_{:02x}_", u32::from(letter)));
        }
    }
    name
}

/// The options of the bridge's side of a port; an empty value stands for none.
fn bridge_options(port: &SwitchPort) -> Options {
    let (mut vlan, mut native, mut trunk) = (String::new(), String::new(), String::new());
    if let Some(vlans) = &port.vlans {
        let own = vlans.iter().find(|vlan| vlan.pvid).map(|vlan| vlan.id.get().to_string());
        let tagged: Vec<String> =
            vlans.iter().filter(|vlan| !vlan.pvid).map(|vlan| vlan.id.get().to_string()).collect();
        match own {
            Some(own) if tagged.is_empty() => vlan = own,
            own => {
                native = own.unwrap_or_default();
                trunk = if tagged.is_empty() { NO_VLANS.to_owned() } else { tagged.join(",") };
            }
        }
    }
    let isolated = if port.isolated { "true" } else { "" };
    let mut options: Options =
        [("vlan", vlan), ("native", native), ("trunk", trunk), ("isolated", isolated.to_owned())]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
    options.extend(switch::link_options().map(|name| (name, String::new())));
    options.extend(port.link.clone());
    options
}

/// The interface behind a port.
fn place(options: &Options) -> Option<(Space, InterfaceName)> {
    Some((Space::Node(options.get("node")?.parse().ok()?), options.get("dev")?.parse().ok()?))
}

/// The reverse of [`bridge_options`]; none for a port that no topology makes.
fn port_of(switch: &str, options: &Options, open: bool) -> Option<SwitchPort> {
    let (_, network) = switch.split_once('.')?;
    let get = |name: &str| options.get(name).map(String::as_str);
    let id = |text: &str| text.parse::<u64>().ok().and_then(|number| VlanId::try_from(number).ok());
    let own = get("vlan").or_else(|| get("native"));
    let tagged = |id| PortVlan { id, pvid: false, untagged: false };
    let vlans = (own.is_some() || get("trunk").is_some()).then(|| {
        let own = own.and_then(id).map(|id| PortVlan { id, pvid: true, untagged: true });
        let trunk = get("trunk").into_iter().flat_map(|trunk| trunk.split(',')).filter_map(id).map(tagged);
        own.into_iter().chain(trunk).collect()
    });
    Some(SwitchPort {
        network: network.parse().ok()?,
        isolated: get("isolated") == Some("true"),
        vlans,
        link: options
            .iter()
            .filter(|(name, _)| switch::link_option(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        open,
    })
}

impl Platform for Machine {
    fn observe(&self, scope: &Desired) -> Result<Observed, PlatformError> {
        self.observe_after(scope, None)
    }

    fn execute(&self, owner: &Owner, operations: &[Operation]) -> Result<(), PlatformError> {
        let is_switch =
            |operation: &Operation| matches!(operation.key(), Key::Switch { .. } | Key::SwitchPort { .. });
        for run in operations.chunk_by(|a, b| is_switch(a) == is_switch(b)) {
            if run.first().is_some_and(is_switch) {
                run.iter().try_for_each(|operation| self.apply(operation))?;
            } else {
                Platform::execute(&self.kernel, owner, run)?;
            }
        }
        Ok(())
    }

    fn missing(&self, desired: &Desired) -> Vec<Missing> {
        Platform::missing(&self.kernel, desired)
    }

    fn sweep(&self) -> Result<(), PlatformError> {
        self.sweep_switch();
        Platform::sweep(&self.kernel)
    }
}
