//! The real machine as a [`Platform`]: the kernel, and Netloom's own switch for the networks that are `via: switch`.
//!
//! What: objects of the kinds `switch` and `switch port` are asked of and given to a switch daemon, all others to the
//! kernel. The daemon is one for each realm; it is started when the first switch is made and ends with the last.
//!
//! How objects are named there: a network's switch is `TOPOLOGY.NETWORK`, the port behind an interface is
//! `TOPOLOGY.NODE.INTERFACE`. Both carry the topology as an option; without it they are somebody else's. The sockets of
//! virtual machines are in a directory beside that of the daemon, under the names of their ports.
//!
//! Invariants: observing starts nothing. A daemon that was killed leaves its configuration, so that what it carried is
//! seen as not running and is mended by starting it again; the interfaces persist meanwhile.

use crate::linux;
use crate::platform::{Missing, Platform, PlatformError};
use crate::switch::{self, GONE, NOT_OPEN, Options, PortStatus, Reply, Request, SwitchSocket, ask};
use netloom_compile::object::{
    Behind, Desired, Key, LinkRef, Mark, Observed, ObservedObject, Operation, Owner, Space, Spec, Switch,
    SwitchPort,
};
use netloom_kernel::{Ahead, Kernel};
use netloom_wire::InterfaceName;
use objects::{bridge_options, door_options, place, port_name, port_of, switch_of, switch_options};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

mod objects;
/// How objects are named and described in the switch, for those who only look.
pub(crate) mod named {
    pub(crate) use super::objects::{bridge_options, place, port_name, switch_options};
}

pub use objects::{socket_path, sockets};

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

    /// How the ports of this topology's virtual machines are: `up` where one runs. Ports that are not there are not listed.
    ///
    /// # Errors
    /// When a daemon runs and can't be asked.
    pub fn machine_states(&self) -> io::Result<BTreeMap<LinkRef, String>> {
        let ports = match ask(&self.socket(), &Request::PortList { switch: None }) {
            Ok(Reply::Ports(ports)) => ports,
            Ok(_) => return Err(io::Error::other(ANOTHER)),
            Err(error) if is_absence(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        let is_machine = |port: &PortStatus| {
            self.is_ours(&port.options) && port.options.get("type").is_some_and(|kind| kind == "vhost-user")
        };
        let states = ports.into_iter().filter(is_machine);
        Ok(states.filter_map(|port| Some((place(&port.options)?, port.state))).collect())
    }

    /// Where the switch daemon is asked.
    pub(crate) fn socket(&self) -> SwitchSocket {
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
        let Some(left) = switch::left(&self.directory)? else { return Ok(None) };
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
            let spec = Spec::Switch(switch_of(options, carried.running));
            add(Key::Switch { space: Space::Node(network) }, spec, options);
        }
        for CarriedPort { name, switch, options, open } in &carried.ports {
            let Some(at) = name.strip_prefix(&prefix).and_then(|_| place(options)) else { continue };
            let port = port_of(&self.directory, topology, switch, options, *open);
            let Some(port) = port else { continue };
            add(Key::SwitchPort { space: at.space, link: at.name }, Spec::SwitchPort(port), options);
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
            (
                Key::Switch { space },
                Operation::Create { spec: Spec::Switch(switch), .. }
                | Operation::Change { to: Spec::Switch(switch), .. },
            ) => self.make_switch(key, space, switch),
            (Key::Switch { space }, Operation::Delete { .. }) => self.delete_switch(key, space),
            (
                Key::SwitchPort { space, link },
                Operation::Create { spec: Spec::SwitchPort(port), .. }
                | Operation::Change { to: Spec::SwitchPort(port), .. },
            ) => self.make_port(key, space, link, port),
            (Key::SwitchPort { space, link }, Operation::Delete { .. }) => {
                let at = LinkRef { space: space.clone(), name: link.clone() };
                let name = port_name(self.kernel.topology(), &at);
                match self.port(key, &name)? {
                    Some(port) if self.is_ours(&port.options) => {
                        match self.request_if_there(key, &Request::PortDelete { name: name.clone() }) {
                            // Its switch went meanwhile, and took it along.
                            Err(_) if self.port(key, &name)?.is_none() => {}
                            done => drop(done?),
                        }
                        self.remove_socket(&port.options);
                    }
                    _ => {}
                }
                self.remove_sockets();
                Ok(())
            }
            _ => Err(refused(key, "is no object of a switch")),
        }
    }

    /// Everything that decides about packets, as it is now.
    ///
    /// # Errors
    /// When a namespace can't be looked at.
    pub fn scene(&self) -> Result<crate::why::Scene, netloom_kernel::KernelError> {
        crate::why::look(&self.kernel, &self.socket())
    }

    fn is_ours(&self, options: &Options) -> bool {
        options.get("topology").map(String::as_str) == Some(self.kernel.topology().as_str())
    }

    fn make_switch(&self, key: &Key, space: &Space, switch: &Switch) -> Result<(), PlatformError> {
        let mut options = switch_options(switch);
        let name = format!("{}.{space}", self.kernel.topology());
        let Reply::Switches(switches) = self.request(key, &Request::SwitchList)? else {
            return Err(refused(key, ANOTHER));
        };
        match switches.into_iter().find(|found| found.name == name) {
            Some(found) if self.is_ours(&found.options) => {
                self.request(key, &Request::SwitchSet { name, options }).map(|_| ())
            }
            Some(_) => Err(refused(key, format!("there is a switch `{name}` that somebody else made"))),
            None => {
                options.retain(|_, value| !value.is_empty());
                options.insert("topology".to_owned(), self.kernel.topology().to_string());
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
        self.remove_sockets();
        Ok(())
    }

    /// The last switch takes the daemon along; who is told that all is gone shall find it so.
    fn await_end(&self) {
        let began = Instant::now();
        let ends = || !self.directory.join(switch::FILE).exists() && self.directory.exists();
        while ends() && began.elapsed() < PATIENCE {
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends a daemon that carries nothing: who started it was killed before it made a switch.
    fn sweep_switch(&self) {
        self.sweep_sockets();
        if !self.directory.exists() || self.directory.join(switch::FILE).exists() {
            return;
        }
        match ask(&self.socket(), &Request::StopUnused) {
            Ok(Reply::Done) => self.await_end(),
            Ok(_) => {}
            Err(_) => {
                crate::unixctl::remove_stale(&self.directory, "ovs-vswitchd");
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
        let at = LinkRef { space: space.clone(), name: link.clone() };
        let name = port_name(topology, &at);
        let switch = format!("{topology}.{}", port.network);
        let bridged = bridge_options(port);
        let netns = match space {
            Space::Node(node) if port.behind.is_link() => Some(self.kernel.namespaces().path(node)),
            _ => None,
        };
        let door = door_options(&self.directory, topology, &at, port, netns.as_deref());
        if let Some(there) = self.port(key, &name)? {
            if !self.is_ours(&there.options) {
                return Err(refused(key, format!("there is a port `{name}` that somebody else made")));
            }
            let same_door = door.iter().all(|(name, value)| there.options.get(name) == Some(value));
            if is_open(&there) && there.switch == switch && same_door {
                return self.request(key, &Request::PortSet { name, options: bridged }).map(|_| ());
            }
            self.request(key, &Request::PortDelete { name: name.clone() })?;
        }
        if matches!(&port.behind, Behind::Socket(socket) if socket.path.is_none()) {
            // Others may pass through it to what is theirs.
            let made =
                std::fs::DirBuilder::new().recursive(true).mode(0o711).create(sockets(&self.directory));
            made.map_err(|error| {
                refused(key, format!("the directory for its socket can't be made: {error}"))
            })?;
        }
        let mut options: Options = bridged.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        options.extend(door);
        self.request(key, &Request::PortAdd { switch, name, options }).map(|_| ())
    }

    /// What a machine that listened may have left of a socket in our directory.
    fn remove_socket(&self, options: &Options) {
        let directory = sockets(&self.directory);
        if let Some(path) = options.get("path").map(Path::new).filter(|path| path.starts_with(&directory)) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// The directory of sockets goes when it is empty.
    fn remove_sockets(&self) {
        let _ = std::fs::remove_dir(sockets(&self.directory));
    }

    /// Removes sockets that are no port's: the daemon was killed after it made one and before it kept that, or who listened
    /// in its place. What is there is listed before the ports are, so that a port that comes meanwhile keeps its own.
    fn sweep_sockets(&self) {
        let Ok(entries) = std::fs::read_dir(sockets(&self.directory)) else { return };
        let there: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // Without an answer nobody knows whose they are.
        let Ok(carried) = self.look() else { return };
        let ports = carried.iter().flat_map(|carried| &carried.ports);
        let known: Vec<&Path> = ports.filter_map(|port| port.options.get("path")).map(Path::new).collect();
        for path in there.iter().filter(|path| !known.contains(&path.as_path())) {
            let _ = std::fs::remove_file(path);
        }
        self.remove_sockets();
    }
}

/// Whether nobody listens on the socket, or it was closed before it answered.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset | BrokenPipe | UnexpectedEof)
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
