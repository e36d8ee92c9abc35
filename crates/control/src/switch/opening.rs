//! Ports that are opened and closed: their driver, their place in the bridge, what the workers have to know of them.
//!
//! A port comes from a driver alone, or with what a predecessor passed on (see [`super::succession`]).

use super::bonds::is_bond;
use super::brain::Place;
use super::configuration::{self, Options, PortConfiguration, is_drivers};
use super::doors::OpenPort;
use super::links;
use super::state::{Carried, Switch, SwitchError};
use super::succession::Passed;
use super::tunnels::is_tunnel;
use netloom_datapath::{Before, PortQueues};
use netloom_nf::link::Cable;
use netloom_nf::{Rate, Reason, Unit};
use netloom_vswitch::{MeterKind, Port};

/// Packets of protocols that a bridge listens to at each port: nobody may keep it from listening to others.
const HEARD: Rate = Rate { unit: Unit::Packets, per_second: 1000, burst: 1000 };

impl Switch {
    /// Opens a port and takes it into its bridge.
    pub(super) fn open(&mut self, name: &str, port: &PortConfiguration) -> Result<(), SwitchError> {
        let open = self.open_door(name, port, None)?;
        self.join_bridge(name, port)?;
        let carried = self.carry(name, port, open, None);
        if carried.is_err() {
            // Or the next try would find it there.
            self.leave_bridge(port);
        }
        carried
    }

    fn open_door(
        &mut self,
        name: &str,
        port: &PortConfiguration,
        passed: Option<Passed>,
    ) -> Result<Option<OpenPort>, SwitchError> {
        let wrong = |text| SwitchError::Option(name.to_owned(), text);
        configuration::port(port.number, name, &port.options).map_err(wrong)?;
        links::cable(&port.options).map_err(wrong)?;
        let own: Options = port.options.iter().filter(|(name, _)| is_drivers(name)).map(owned).collect();
        if is_bond(&port.options) || is_tunnel(&port.options) {
            return Ok(None);
        }
        let opened = match passed {
            Some(passed) => self.doors.adopt(port.number, name, &own, passed),
            None => self.doors.open(port.number, name, &own),
        };
        opened.map(Some).map_err(|text| SwitchError::Open(name.to_owned(), text))
    }

    /// Takes a port into its bridge.
    pub(super) fn join_bridge(&self, name: &str, port: &PortConfiguration) -> Result<(), SwitchError> {
        let wrong = |text| SwitchError::Option(name.to_owned(), text);
        let bridged = configuration::port(port.number, name, &port.options).map_err(wrong)?;
        let mut bridges = self.bridges.lock();
        if let Some(bridge) = bridges.by_name.get_mut(&port.switch) {
            bridge.add(bridged).map_err(|error| wrong(error.to_string()))?;
        }
        if let Some(bridge) = bridges.number_of(&port.switch) {
            bridges.of_port.insert(port.number, Place { bridge, name: port.switch.clone() });
        }
        Ok(())
    }

    /// Takes a port that can't be opened out of its bridge again.
    pub(super) fn leave_bridge(&self, port: &PortConfiguration) {
        let mut bridges = self.bridges.lock();
        bridges.of_port.remove(&port.number);
        if let Some(bridge) = bridges.by_name.get_mut(&port.switch) {
            bridge.remove(port.number);
        }
    }

    /// Opens a port that its bridge knows already.
    pub(super) fn open_again(
        &mut self,
        name: &str,
        port: &PortConfiguration,
        passed: Option<Passed>,
        before: Option<Before>,
    ) -> Result<(), SwitchError> {
        let open = self.open_door(name, port, passed)?;
        self.carry(name, port, open, before)
    }

    /// Gives an open port to the workers.
    fn carry(
        &mut self,
        name: &str,
        port: &PortConfiguration,
        open: Option<OpenPort>,
        before: Option<Before>,
    ) -> Result<(), SwitchError> {
        let wrong = |text| SwitchError::Option(name.to_owned(), text);
        let bridged = configuration::port(port.number, name, &port.options).map_err(wrong)?;
        let is_dummy = self.doors.dummies().contains_key(name);
        {
            let mut bridges = self.bridges.lock();
            match is_dummy {
                true => bridges.dummies.insert(port.number),
                false => bridges.dummies.remove(&port.number),
            };
        }
        let cable = links::cable(&port.options).map_err(wrong)?;
        self.apply_rates(&bridged)?;
        self.apply_link(port.number, cable, &port.options)?;
        if is_tunnel(&port.options) {
            return self.carry_tunnel(name, &port.options);
        }
        // A bond has no queues.
        let Some(OpenPort { receive, send, state, keep }) = open else { return Ok(()) };
        let together = is_metered(&bridged);
        self.crew.add(PortQueues { together, before, ..PortQueues::new(port.number, receive, send) })?;
        self.crew.changed_all();
        self.ports.insert(name.to_owned(), Carried { state, _keep: keep });
        Ok(())
    }

    /// Gives the workers a port's token buckets.
    pub(super) fn apply_rates(&self, port: &Port) -> Result<(), SwitchError> {
        let meters = [
            (MeterKind::Rate, port.rate, Reason::Rate),
            (MeterKind::Packets, port.packet_rate, Reason::Rate),
            (MeterKind::Storm, port.storm, Reason::Storm),
        ];
        for (kind, rate, reason) in meters {
            self.crew.meter(port.meter(kind), rate.map(|rate| (rate, reason)))?;
        }
        self.crew.meter(port.meter(MeterKind::Brain), Some((HEARD, Reason::Storm)))?;
        Ok(self.crew.limit(port.number, port.rate_out)?)
    }

    /// Gives the workers a port's simulated link.
    pub(super) fn apply_link(
        &mut self,
        number: u32,
        cable: Cable,
        options: &Options,
    ) -> Result<(), SwitchError> {
        let outward = if cable.is_nothing() { self.qos_link(number) } else { None };
        let cable = Cable { outward: outward.unwrap_or(cable.outward), ..cable };
        // Of each port's own, so that two ports do not lose the same packets.
        let own = self.seed.rotate_left(number % 64) ^ u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let seed = links::seed(options, own).unwrap_or(own);
        Ok(self.crew.link(number, cable, seed)?)
    }

    /// Takes a port from the workers and the bridge.
    pub(super) fn close(&mut self, name: &str) -> Result<(), SwitchError> {
        let Some(port) = self.configuration.ports.get(name) else { return Ok(()) };
        let (number, now) = (port.number, self.now());
        // The queues end here, before what they need does.
        drop(self.crew.remove(number)?);
        let mut ended = None;
        let mut bridges = self.bridges.lock();
        bridges.of_port.remove(&number);
        bridges.cables.remove(&number);
        if let Some(bridge) = bridges.by_name.get_mut(&port.switch) {
            // Its members are ports of their own again.
            ended = is_bond(&port.options).then(|| bridge.set_bond(number, None, now));
            bridge.remove(number);
        }
        drop(bridges);
        if let Some(effects) = ended {
            self.follow(effects);
            self.crew.bond(number, None)?;
        }
        self.apply_rates(&Port::new(number, name))?;
        self.apply_link(number, Cable::default(), &Options::new())?;
        self.ports.remove(name);
        self.lengths.remove(&number);
        Ok(())
    }
}

/// Whether what comes in through a port is limited: then one worker must count it all.
pub(super) const fn is_metered(port: &Port) -> bool {
    port.rate.is_some() || port.packet_rate.is_some() || port.storm.is_some()
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}
