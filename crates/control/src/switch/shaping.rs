//! Ports that are shaped as rows of `QoS` ask: what workers and tables are told, and what comes of it.
//!
//! Invariants: what is applied of a port is what its rows asked for when they were looked at last, as long as the port has the
//! same number. Whoever asks for a type that is not served has a port that is not shaped, and reads why.
//!
//! Costs: nothing for a commit that changes no row of these tables but a look at each port's row.

use super::configuration::PortConfiguration;
use super::links::is_link;
use super::qos::{Qos, QosWish};
use super::state::{Switch, SwitchError};
use super::tunnels::is_tunnel;
use super::{bonds::is_bond, interfaces};
use netloom_datapath::QueueTotals;
use netloom_nf::link::Medium;
use netloom_vswitch::openflow::OfPortEntry;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is shaped.
#[derive(Debug, Clone)]
pub(super) struct Shaped {
    /// The data path's number of the port.
    number: u32,
    wish: QosWish,
    /// Or why not.
    pub(super) qos: Result<Qos, String>,
}

/// What a predecessor tells of a port that is shaped.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ShapedFacts {
    wish: QosWish,
    /// Queues, what they counted (packets, octets, lost), and since when they are there.
    queues: Vec<(u32, [u64; 3], u64)>,
}

/// Why a port of this kind is not shaped; none if it can be.
fn refused(port: &PortConfiguration, wish: &QosWish) -> Option<String> {
    let kind = port.options.get("type").map(String::as_str);
    if is_tunnel(&port.options) || matches!(kind, Some("patch")) {
        return Some(format!(
            "QoS type {} is not served at a port of the type {}: shape the port by which its packets leave",
            wish.kind,
            kind.unwrap_or("tunnel")
        ));
    }
    (wish.kind == "linux-netem" && port.options.keys().any(|option| is_link(option))).then(|| {
        "QoS type linux-netem is not served: the port has a simulated link by options of its own".to_owned()
    })
}

impl Switch {
    /// Shapes ports as is wanted of interfaces, by name; gives what could not be done.
    pub(super) fn apply_shaping(&mut self, wanted: BTreeMap<String, QosWish>) -> Vec<(String, String)> {
        let dummies = self.doors.dummies();
        let mut wanted: BTreeMap<String, (u32, QosWish)> = wanted
            .into_iter()
            // As in Open vSwitch, ports for tests have no QoS.
            .filter(|(name, _)| !dummies.contains_key(name))
            .filter_map(|(name, wish)| {
                let port = self.configuration.ports.get(&name).filter(|port| !is_bond(&port.options))?;
                Some((name, (port.number, wish)))
            })
            .collect();
        let gone: Vec<String> = self
            .shaped
            .iter()
            .filter(|(name, shaped)| wanted.get(*name).is_none_or(|wanted| wanted.0 != shaped.number))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(shaped) = self.shaped.remove(&name) {
                self.note_shaping(&name, shaped.number, None);
            }
        }
        wanted.retain(|name, (_, wish)| self.shaped.get(name).is_none_or(|shaped| shaped.wish != *wish));
        for (name, (number, wish)) in wanted {
            self.shape(name, number, wish);
        }
        let refused = |(name, shaped): (&String, &Shaped)| match &shaped.qos {
            Ok(qos) => qos.complaints.iter().map(|text| (name.clone(), text.clone())).collect(),
            Err(why) => vec![(name.clone(), why.clone())],
        };
        self.shaped.iter().flat_map(refused).collect()
    }

    fn shape(&mut self, name: String, number: u32, wish: QosWish) {
        let details = self.doors.details(number);
        let speed = details.get("link-speed").and_then(|speed| speed.parse().ok()).filter(|speed| *speed > 0);
        let length = interfaces::length_of(&details);
        let refused = self.configuration.ports.get(&name).and_then(|port| refused(port, &wish));
        let qos = refused.map_or_else(|| Qos::read(&wish, speed, length), Err);
        self.note_shaping(&name, number, qos.as_ref().ok());
        self.shaped.insert(name, Shaped { number, wish, qos });
    }

    /// Has workers and tables know.
    fn note_shaping(&mut self, name: &str, number: u32, qos: Option<&Qos>) {
        let told = self.tell_shaping(name, number, qos);
        if let Err(error) = told {
            tracing::error!(interface = name, %error, "the port is not shaped");
        }
        let now = self.now();
        let mut bridges = self.bridges.lock();
        match qos {
            Some(qos) => {
                let before = bridges.queues.remove(&number).unwrap_or_default();
                let since = |queue: &u32| (*queue, before.get(queue).copied().unwrap_or(now));
                bridges.queues.insert(number, qos.queues.keys().map(since).collect());
            }
            None => drop(bridges.queues.remove(&number)),
        }
        let classes = qos.map(|qos| qos.classes.clone()).unwrap_or_default();
        let Some(bridge) = bridges.of_port.get(&number).map(|place| place.bridge) else { return };
        let Some(pipeline) = bridges.pipelines.get(&bridge) else { return };
        let known = pipeline.port_of(number).and_then(|port| pipeline.port(port));
        if let Some(entry) = known.filter(|entry| entry.classes != classes).cloned() {
            bridges.set_port(bridge, OfPortEntry { classes, ..entry });
        }
    }

    fn tell_shaping(&mut self, name: &str, number: u32, qos: Option<&Qos>) -> Result<(), SwitchError> {
        self.crew.shape(number, qos.and_then(|qos| qos.shaping.clone()))?;
        let link = qos.and_then(|qos| qos.link);
        let had = self
            .shaped
            .get(name)
            .is_some_and(|shaped| shaped.qos.as_ref().is_ok_and(|qos| qos.link.is_some()));
        // That of a port that is gone is gone with it.
        let Some(port) = self.configuration.ports.get(name).filter(|port| port.number == number).cloned()
        else {
            return Ok(());
        };
        if link.is_some() || had {
            let mut cable = super::links::cable(&port.options).unwrap_or_default();
            cable.outward = link.unwrap_or(cable.outward);
            self.apply_link(number, cable, &port.options)?;
        }
        Ok(())
    }

    /// The simulated link that a row of QoS asks for at a port.
    pub(super) fn qos_link(&self, number: u32) -> Option<Medium> {
        let shaped = self.shaped.values().find(|shaped| shaped.number == number)?;
        shaped.qos.as_ref().ok()?.link
    }

    /// Classes (DSCP) that packets of an interface's queues leave with.
    pub(super) fn qos_classes(&self, name: &str) -> Vec<(u32, u8)> {
        let qos = self.shaped.get(name).and_then(|shaped| shaped.qos.as_ref().ok());
        qos.map(|qos| qos.classes.clone()).unwrap_or_default()
    }

    /// What a successor has to know.
    pub(super) fn shaping_offered(&self) -> BTreeMap<String, ShapedFacts> {
        let handle = self.crew.handle();
        let bridges = self.bridges.lock();
        let of = |(name, shaped): (&String, &Shaped)| {
            let since = bridges.queues.get(&shaped.number);
            let queue = |(number, totals): (u32, QueueTotals)| {
                let since = since.and_then(|since| since.get(&number)).copied().unwrap_or(0);
                (number, [totals.packets, totals.octets, totals.lost], since)
            };
            let queues =
                handle.queue_totals(shaped.number).unwrap_or_default().into_iter().map(queue).collect();
            (name.clone(), ShapedFacts { wish: shaped.wish.clone(), queues })
        };
        self.shaped.iter().map(of).collect()
    }

    /// Goes on with what a predecessor shaped, before the first packet.
    pub(super) fn adopt_shaping(&mut self, facts: BTreeMap<String, ShapedFacts>) {
        for (name, ShapedFacts { wish, queues }) in facts {
            let Some(number) = self.configuration.ports.get(&name).map(|port| port.number) else { continue };
            let since = queues.iter().map(|(queue, _, since)| (*queue, *since)).collect();
            self.bridges.lock().queues.insert(number, since);
            self.shape(name, number, wish);
            let before: Vec<(u32, QueueTotals)> = queues
                .into_iter()
                .map(|(queue, [packets, octets, lost], _)| (queue, QueueTotals { packets, octets, lost }))
                .collect();
            self.crew.count_queues_on(number, &before);
        }
    }
}
