//! The switch: requests carried out on bridges, ports and workers.

use super::bonds::is_bond;
use super::brain::Shared;
use super::configuration::{self, Options, PortConfiguration, SwitchConfiguration, is_drivers};
use super::database::{FILE, Joint, Problems, Statistics, WatchesTold};
use super::doors::Doors;
use super::events::{Watchers, announcement};
use super::exports::ExportSettings;
use super::links;
use super::mirrors::Streams;
use super::openflow::{BridgeSettings, OpenFlow};
use super::opening::is_metered;
use super::protocol::WorkerStatus;
use super::protocol::{Reply, Request};
use super::records::{Asked, Records, records};
use super::routes::Routes;
use super::shaping::Shaped;
use super::start::{self, Clock, Keeping, Start};
use super::touched::Touched;
use super::tunnels::Known;
use super::underlay::Underlay;
use super::warp::Warping;
use crate::ovsdb::DatabaseHandle;
use netloom_datapath::{Before, Crew, Stuck};
use netloom_nf::conntrack::Tracker;
use netloom_vswitch::{Bridge, BridgeOptions};
use netloom_wire::MacAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the state of a port begins with that has lost its interface.
pub const GONE: &str = "gone";
/// The state of a port that could not be opened.
pub(crate) const NOT_OPEN: &str = "not open";

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// There is one of this name already.
    #[error("there is a {0} `{1}` already")]
    Exists(&'static str, String),
    /// There is none of this name.
    #[error("there is no {0} `{1}`; {2}")]
    Missing(&'static str, String, String),
    /// An option is wrong.
    #[error("port `{0}`: {1}")]
    Option(String, String),
    /// An option of a switch is wrong.
    #[error("switch `{0}`: {1}")]
    Bridge(String, String),
    /// An option of a mirror is wrong.
    #[error("mirror `{0}`: {1}")]
    Mirror(String, String),
    /// A name can't be one.
    #[error("`{0}` can't be a name: up to 128 letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// The driver can't open the port.
    #[error("port `{0}` can't be opened: {1}")]
    Open(String, String),
    /// Only some options can change while a port is open.
    #[error("`{1}` of port `{0}` is decided when it is opened; take the port away and add it again")]
    Fixed(String, String),
    /// A worker does not answer.
    #[error(transparent)]
    Stuck(#[from] Stuck),
    /// What was asked for can't be kept.
    #[error("can't keep the configuration in {path}: {source}")]
    Keep {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A filter can't be read.
    #[error(transparent)]
    Filter(#[from] super::filter::FilterError),
    /// The system refused something.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

pub(super) struct Carried {
    pub(super) state: Box<dyn Fn() -> String + Send + Sync>,
    pub(super) _keep: Box<dyn Send + Sync>,
}

/// The switch.
pub struct Switch {
    pub(super) directory: PathBuf,
    pub(super) configuration: SwitchConfiguration,
    pub(super) bridges: Shared,
    pub(super) ports: BTreeMap<String, Carried>,
    pub(super) doors: Box<dyn Doors>,
    pub(super) crew: Crew,
    threads: Vec<std::thread::JoinHandle<()>>,
    /// The processors that the workers are bound to.
    pub(super) cores: Vec<usize>,
    pub(super) seed: u64,
    pub(super) clock: Clock,
    /// What the workers of predecessors counted.
    pub(super) before: Vec<WorkerStatus>,
    /// Ports that were closed for a successor, with what was counted.
    pub(super) reopen: BTreeMap<String, Before>,
    /// The number of the next capture.
    pub(super) next_watch: u32,
    pub(super) streams: Streams,
    /// Nothing is sent by itself: a predecessor still does that.
    pub(super) quiet: bool,
    pub(super) watchers: Watchers,
    /// The database that the configuration is kept in; none until nobody else has it.
    pub(super) joint: Option<Joint>,
    /// What the database says is being done: it need not be told.
    pub(super) following: bool,
    /// Something changed that the database has not been told the outcome of.
    pub(super) untold: bool,
    /// The ports of which that is so.
    pub(super) unreported: Touched,
    /// What is kept, as of the last time; none while that is what the configuration says.
    pub(super) kept: Option<Records>,
    /// What rows of ports ask for, as of the last time.
    pub(super) asked: Asked,
    /// The lengths that interfaces had when they were looked at last, by number; nothing for those without.
    pub(super) lengths: BTreeMap<u32, Option<u32>>,
    pub(super) database_bell: Arc<OwnedFd>,
    /// What the workers had counted when somebody cleared that.
    pub(super) cleared: Vec<WorkerStatus>,
    /// Time that is still to be put forward.
    pub(super) warping: Option<Warping>,
    /// OpenFlow's numbers of ports as a predecessor gave them.
    pub(super) inherited_numbers: BTreeMap<String, u16>,
    /// Tunnels and the ways to their ends, as workers have them.
    pub(super) tunnels: Known,
    /// Interfaces of the host that they use.
    pub(super) underlay: Underlay,
    /// Who knows all connections.
    pub(super) tracker: Arc<Tracker>,
    /// Connections of OpenFlow, and how they were told to be.
    pub(super) openflow: Option<OpenFlow>,
    pub(super) connected: BTreeMap<String, BridgeSettings>,
    /// When tables heard of the time last.
    pub(super) tables_ticked: u64,
    /// Flows that are in the log, as tests look for them.
    pub(super) logged_flows: BTreeSet<String>,
    /// Where the configuration is kept.
    pub(super) keeping: Keeping,
    /// What the database asks for was looked at.
    pub(super) followed: bool,
    /// Another process is the switch.
    pub(super) aside: bool,
    /// What the database asks for and could not be done.
    pub(super) problems: Problems,
    /// When counters are written into the database next.
    pub(super) statistics: Statistics,
    /// Routes and neighbours that were set by hand.
    pub(super) routes: Routes,
    /// Ports that are shaped, by the names of their interfaces.
    pub(super) shaped: BTreeMap<String, Shaped>,
    /// What the database was told of watched links, by interface.
    pub(super) watches_told: WatchesTold,
    /// What bridges tell collectors, by name.
    pub(super) exported: BTreeMap<String, ExportSettings>,
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switch").field("configuration", &self.configuration).finish_non_exhaustive()
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !name.is_empty() && name.len() <= 128 && name.chars().all(fits)
}

/// Changes options; an empty value takes one away.
pub(super) fn merge(whole: &mut Options, change: Options) {
    for (option, value) in change {
        if value.is_empty() {
            whole.remove(&option);
        } else {
            whole.insert(option, value);
        }
    }
}

impl Switch {
    /// Starts the worker and brings back what the directory says.
    ///
    /// # Errors
    /// When the state can't be read or the worker not be started. A port that can't be opened now is reported to
    /// `complain` and stays configured.
    pub fn start(
        start: &Start,
        doors: Box<dyn Doors>,
        mut complain: impl FnMut(&SwitchError),
    ) -> Result<Self, SwitchError> {
        let mut switch = Self::begin(start, doors, Clock::new())?;
        // Nothing is carried before all ports are there: what is asked of all would be lost, and asked again only after a
        // second, as ARP does.
        switch.crew.pause()?;
        let mut configuration = SwitchConfiguration::default();
        match &start.keeping {
            Keeping::Foreign(remotes) => switch.follow_foreign(remotes, start.keys.clone())?,
            Keeping::Own if !start.on_demand || start.directory.join(FILE).exists() => {
                configuration = switch.open_database()?;
            }
            _ => {}
        }
        let seed = switch.address_seed();
        for (name, options) in &mut configuration.switches {
            configuration::address(options, name, seed);
            let options = configuration::bridge(options).unwrap_or_else(|text| {
                complain(&SwitchError::Bridge(name.clone(), text));
                BridgeOptions::default()
            });
            let now = switch.now();
            switch.bridges.lock().add_bridge(name, Bridge::new(options), now);
        }
        switch.configuration.switches = configuration.switches;
        switch.configuration.mirrors = configuration.mirrors;
        for (name, port) in configuration.ports {
            if let Err(error) = switch.open(&name, &port) {
                complain(&error);
            }
            switch.configuration.ports.insert(name, port);
        }
        let names: Vec<String> = switch.configuration.switches.keys().cloned().collect();
        for name in names {
            switch.apply_bonds(&name);
            switch.apply_mirrors(&name);
            switch.apply_tables(&name, &Touched::All);
            switch.apply_interfaces(&name, &Touched::All);
        }
        switch.apply_wishes(&Touched::default());
        switch.apply_connections();
        switch.followed = !matches!(start.keeping, Keeping::Foreign(_));
        let mut problems = Problems::default();
        switch.apply_qos(&mut problems);
        problems.complain(&Problems::default());
        if switch.followed {
            switch.report(&Touched::All);
        }
        switch.crew.resume()?;
        Ok(switch)
    }

    /// A switch without anything but workers.
    pub(super) fn begin(start: &Start, doors: Box<dyn Doors>, clock: Clock) -> Result<Self, SwitchError> {
        let bridges = Shared::default();
        bridges.lock().exports.clock = clock.day_time();
        let (crew, threads) = start::workers(start, &bridges, &clock)?;
        let secret = start.seed.rotate_left(23) ^ 0x6a09_e667_f3bc_c909;
        let tracker = Arc::new(Tracker::new(crew.size(), secret, clock.now()));
        crew.track(Some(&tracker))?;
        Ok(Self {
            directory: start.directory.clone(),
            configuration: SwitchConfiguration::default(),
            bridges,
            ports: BTreeMap::new(),
            doors,
            crew,
            threads,
            cores: start.cores.clone(),
            seed: start.seed,
            clock,
            before: Vec::new(),
            reopen: BTreeMap::new(),
            next_watch: 0,
            streams: Streams::new(),
            quiet: false,
            watchers: Watchers::default(),
            joint: None,
            following: false,
            untold: false,
            unreported: Touched::All,
            kept: None,
            asked: Asked::default(),
            lengths: BTreeMap::new(),
            database_bell: Joint::bell()?,
            cleared: Vec::new(),
            warping: None,
            inherited_numbers: BTreeMap::new(),
            tunnels: Known::default(),
            underlay: Underlay::default(),
            tracker,
            openflow: None,
            connected: BTreeMap::new(),
            tables_ticked: 0,
            logged_flows: BTreeSet::new(),
            keeping: start.keeping.clone(),
            followed: true,
            aside: false,
            problems: Problems::default(),
            statistics: Statistics::default(),
            routes: Routes::default(),
            shaped: BTreeMap::new(),
            watches_told: WatchesTold::default(),
            exported: BTreeMap::new(),
        })
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Carries out a request.
    ///
    /// # Errors
    /// Why it was not carried out; then nothing changed.
    pub fn carry_out(&mut self, request: Request) -> Result<Reply, SwitchError> {
        if self.kept.is_none() && announcement(&request).is_some() {
            self.kept = Some(records(&self.configuration));
        }
        if self.watchers.is_empty() {
            return self.perform(request);
        }
        let mut told = announcement(&request);
        if let Some((_, switch, subject, ..)) = told.as_mut().filter(|(_, switch, ..)| switch.is_empty()) {
            *switch =
                self.configuration.ports.get(subject).map_or_else(String::new, |port| port.switch.clone());
        }
        let reply = self.perform(request)?;
        if let Some(told) = told {
            self.announce(told);
        }
        Ok(reply)
    }

    fn perform(&mut self, request: Request) -> Result<Reply, SwitchError> {
        match request {
            // It has no single reply: the server deals with it.
            Request::Capture(_) => {
                Ok(Reply::Failed { message: "a capture needs a connection to itself".to_owned() })
            }
            Request::SwitchAdd { name, options } => self.add_switch(name, options),
            Request::SwitchSet { name, options } => self.set_switch(name, options),
            Request::MirrorSet { switch, name, options } => self.set_mirror(&switch, name, options),
            Request::MirrorDelete { switch, name } => self.delete_mirror(&switch, &name),
            Request::MirrorList => Ok(Reply::Mirrors(self.mirrors())),
            Request::BondList { switch } => self.bond_list(switch.as_deref()),
            // It has no single reply: the server deals with it.
            Request::Watch { .. } => {
                Ok(Reply::Failed { message: "who watches needs a connection for that alone".to_owned() })
            }
            Request::SwitchDelete { name } => self.delete_switch(&name),
            Request::SwitchList => Ok(Reply::Switches(self.switches())),
            Request::PortAdd { switch, name, options } => self.add_port(switch, name, options),
            Request::PortSet { name, options } => self.set_port(name, options),
            Request::PortDelete { name } => self.delete_port(&name),
            Request::PortList { switch } => {
                if let Some(switch) = &switch {
                    self.known_switch(switch)?;
                }
                Ok(Reply::Ports(
                    self.port_list(&|_, port| switch.as_ref().is_none_or(|switch| *switch == port.switch)),
                ))
            }
            Request::FdbList { switch } => self.stations(&switch),
            Request::GroupList { switch } => self.groups(&switch),
            Request::FdbAdd { switch, mac, vlan, port } => {
                let (mac, number) = (address(&mac)?, self.configured(&port)?.number);
                self.known_switch(&switch)?;
                let now = self.now();
                let tag = self
                    .bridges
                    .lock()
                    .by_name
                    .get_mut(&switch)
                    .map(|bridge| bridge.fdb.fix(vlan, mac, number, now));
                self.crew.changed(tag.as_slice());
                Ok(Reply::Done)
            }
            Request::FdbDelete { switch, mac, vlan } => {
                let mac = mac.as_deref().map(address).transpose()?;
                self.known_switch(&switch)?;
                let mut tags = Vec::new();
                if let Some(bridge) = self.bridges.lock().by_name.get_mut(&switch) {
                    tags = bridge.forget(mac.map(|mac| (vlan, mac)));
                }
                self.crew.changed(&tags);
                Ok(Reply::Done)
            }
            Request::Consider { port, octets } => self.consider(&port, &octets),
            Request::FlowList => self.flows(),
            Request::Workers => Ok(Reply::Workers(self.workers())),
            // The server's own matters.
            Request::Stop | Request::StopUnused | Request::TakeOver { .. } | Request::Upgrade { .. } => {
                Ok(Reply::Done)
            }
        }
    }

    pub(super) fn known_switch(&self, name: &str) -> Result<(), SwitchError> {
        if self.configuration.switches.contains_key(name) {
            return Ok(());
        }
        let known: Vec<&str> = self.configuration.switches.keys().map(String::as_str).collect();
        let others = if known.is_empty() {
            format!("`netloom switch add {name}` makes it")
        } else {
            format!("there is {}", known.join(", "))
        };
        Err(SwitchError::Missing("switch", name.to_owned(), others))
    }

    pub(super) fn configured(&self, name: &str) -> Result<&PortConfiguration, SwitchError> {
        self.configuration.ports.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.configuration.ports.keys().map(String::as_str).collect();
            let others = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
            SwitchError::Missing("port", name.to_owned(), format!("ports: {others}"))
        })
    }

    pub(super) fn add_switch(&mut self, name: String, options: Options) -> Result<Reply, SwitchError> {
        if !is_name(&name) {
            return Err(SwitchError::Name(name));
        }
        if self.configuration.switches.contains_key(&name) {
            return Err(SwitchError::Exists("switch", name));
        }
        let mut options = options;
        configuration::address(&mut options, &name, self.address_seed());
        let bridge =
            configuration::bridge(&options).map_err(|text| SwitchError::Bridge(name.clone(), text))?;
        let now = self.now();
        self.bridges.lock().add_bridge(&name, Bridge::new(bridge), now);
        self.configuration.switches.insert(name, options);
        self.keep()?;
        Ok(Reply::Done)
    }

    pub(super) fn set_switch(&mut self, name: String, options: Options) -> Result<Reply, SwitchError> {
        self.known_switch(&name)?;
        let mut whole = self.configuration.switches.get(&name).cloned().unwrap_or_default();
        merge(&mut whole, options);
        configuration::address(&mut whole, &name, self.address_seed());
        let options =
            configuration::bridge(&whole).map_err(|text| SwitchError::Bridge(name.clone(), text))?;
        if let Some(bridge) = self.bridges.lock().by_name.get_mut(&name) {
            bridge.set_options(options);
        }
        self.show_ports(&name, Touched::All);
        self.crew.changed_all();
        self.configuration.switches.insert(name, whole);
        self.keep()?;
        Ok(Reply::Done)
    }

    pub(super) fn delete_switch(&mut self, name: &str) -> Result<Reply, SwitchError> {
        self.known_switch(name)?;
        let ports: Vec<String> = self.ports_of(name).map(|(name, _)| name.clone()).collect();
        for port in ports {
            self.close(&port)?;
            self.configuration.ports.remove(&port);
        }
        let now = self.now();
        self.exported.remove(name);
        let mut bridges = self.bridges.lock();
        if let Some(number) = bridges.number_of(name) {
            bridges.exports.remove(number, now);
        }
        bridges.remove_bridge(name);
        drop(bridges);
        self.configuration.switches.remove(name);
        for mirror in self.configuration.mirrors.remove(name).unwrap_or_default().into_keys() {
            self.end_stream(name, &mirror);
        }
        self.keep()?;
        Ok(Reply::Done)
    }

    pub(super) fn ports_of(&self, switch: &str) -> impl Iterator<Item = (&String, &PortConfiguration)> {
        self.configuration.ports.iter().filter(move |(_, port)| port.switch == switch)
    }

    fn add_port(&mut self, switch: String, name: String, options: Options) -> Result<Reply, SwitchError> {
        if !is_name(&name) {
            return Err(SwitchError::Name(name));
        }
        self.known_switch(&switch)?;
        if self.configuration.ports.contains_key(&name) {
            return Err(SwitchError::Exists("port", name));
        }
        let taken = |number: &u32| self.configuration.ports.values().any(|port| port.number == *number);
        let Some(number) = (1..u32::from(u16::MAX)).find(|number| !taken(number)) else {
            return Err(SwitchError::Open(name, "there are 65,534 ports already".to_owned()));
        };
        let port = PortConfiguration { switch, number, options };
        if is_bond(&port.options) {
            self.check_bond(&name, &port)?;
        }
        self.open(&name, &port)?;
        let switch = port.switch.clone();
        let touched = Touched::one(&name);
        self.configuration.ports.insert(name, port);
        self.apply_bonds(&switch);
        self.apply_mirrors(&switch);
        self.show_ports(&switch, touched);
        self.keep()?;
        Ok(Reply::Done)
    }

    /// Has tables and interfaces follow ports of a switch that changed, and the database be told of them. What the database
    /// asks for is followed when all of it is done.
    fn show_ports(&mut self, switch: &str, touched: Touched) {
        if !self.following {
            self.apply_tables(switch, &touched);
            self.apply_interfaces(switch, &touched);
        }
        self.unreported.join(touched);
    }

    pub(super) fn delete_port(&mut self, name: &str) -> Result<Reply, SwitchError> {
        self.configured(name)?;
        self.close(name)?;
        if let Some(port) = self.configuration.ports.remove(name) {
            self.leave_tables(&port);
            self.apply_bonds(&port.switch);
            self.apply_mirrors(&port.switch);
            self.show_ports(&port.switch, Touched::one(name));
        }
        self.keep()?;
        Ok(Reply::Done)
    }

    pub(super) fn set_port(&mut self, name: String, options: Options) -> Result<Reply, SwitchError> {
        let mut port = self.configured(&name)?.clone();
        let is_bond = is_bond(&port.options);
        let fixed = |option: &&String| is_drivers(option) && (!is_bond || *option == "type");
        if let Some(fixed) = options.keys().find(fixed) {
            return Err(SwitchError::Fixed(name, fixed.clone()));
        }
        merge(&mut port.options, options);
        if is_bond {
            self.check_bond(&name, &port)?;
        }
        let wrong = |text| SwitchError::Option(name.clone(), text);
        let bridged = configuration::port(port.number, &name, &port.options).map_err(wrong)?;
        let cable = links::cable(&port.options).map_err(wrong)?;
        self.apply_rates(&bridged)?;
        self.crew.keep_together(bridged.number, is_metered(&bridged))?;
        self.apply_link(port.number, cable, &port.options)?;
        if let Some(bridge) = self.bridges.lock().by_name.get_mut(&port.switch) {
            // A port that could not be opened is not in its bridge.
            let _ = bridge.set(bridged);
        }
        self.crew.changed_all();
        let switch = port.switch.clone();
        let touched = Touched::one(&name);
        self.configuration.ports.insert(name, port);
        if is_bond {
            self.apply_bonds(&switch);
        }
        self.show_ports(&switch, touched);
        self.keep()?;
        Ok(Reply::Done)
    }

    /// Whether it has no switch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.configuration.switches.is_empty()
    }

    /// Forgets what was to come back after a restart.
    pub(super) fn forget(&mut self) {
        if let Some(mut joint) = self.joint.take() {
            joint.forget();
        }
    }

    /// The database that this process serves; none where another one does.
    #[must_use]
    pub fn database(&self) -> Option<DatabaseHandle> {
        self.joint.as_ref().and_then(Joint::handle)
    }

    /// Where its state is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

fn address(text: &str) -> Result<MacAddr, SwitchError> {
    text.parse()
        .map_err(|error: netloom_wire::NounError| SwitchError::Option(text.to_owned(), error.to_string()))
}

impl Drop for Switch {
    fn drop(&mut self) {
        // It asks workers.
        self.openflow = None;
        self.desk().export_all();
        self.crew.stop();
        for thread in self.threads.drain(..) {
            // A worker that panicked has ended too.
            let _ = thread.join();
        }
    }
}
