//! What the switch wants of drivers, which the program has.

use super::configuration::Options;
use super::succession::Passed;
use netloom_mem::{ReceiveQueue, SendQueue};
use netloom_wire::MacAddr;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A port that a driver opened.
pub struct OpenPort {
    /// Where frames come from.
    pub receive: Vec<Box<dyn ReceiveQueue>>,
    /// Where frames go: a queue for each worker if the port has so many.
    pub send: Vec<Box<dyn SendQueue>>,
    /// How it is now: `up`, or what keeps it from that.
    pub state: Box<dyn Fn() -> String + Send + Sync>,
    /// Whatever must live as long as the port.
    pub keep: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for OpenPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a port that is {}", (self.state)())
    }
}

/// A port without anything behind it, for tests.
pub trait DummyPort: Send + Sync {
    /// Has it receive a frame; false when there is no room.
    fn put(&self, frame: Vec<u8>) -> bool;

    /// Whether all that was put in was received.
    fn is_empty(&self) -> bool;

    /// Has it be up or down.
    fn set_up(&self, up: bool);

    /// Whether its connection is there; none without one that it makes itself.
    fn connected(&self) -> Option<bool>;

    /// Has it answer ARP requests for an address, with its own Ethernet address.
    fn answer_for(&self, address: Ipv4Addr);
}

/// Opens ports: the drivers, as the program has them.
pub trait Doors: Send {
    /// Opens a port by its options (`type`, and what the type needs).
    ///
    /// # Errors
    /// A sentence with the value and the way out.
    fn open(&mut self, number: u32, name: &str, options: &Options) -> Result<OpenPort, String>;

    /// What another process needs to go on with an open port, which is held still; none when it has to open the port
    /// itself, after this process closed it.
    ///
    /// # Errors
    /// When the port can't be held still. It goes on then.
    fn pass(&mut self, number: u32) -> Result<Option<Passed>, String> {
        let _ = number;
        Ok(None)
    }

    /// Opens a port with what another process passed on. It is held still until it may [go on](Doors::go_on).
    ///
    /// # Errors
    /// As [`Doors::open`].
    fn adopt(
        &mut self,
        number: u32,
        name: &str,
        options: &Options,
        passed: Passed,
    ) -> Result<OpenPort, String> {
        drop(passed);
        self.open(number, name, options)
    }

    /// Has a port go on that was held still, if it is one. With `anew` another process may have used it meanwhile.
    fn go_on(&mut self, number: u32, anew: bool) {
        let _ = (number, anew);
    }

    /// Open ports of the type `dummy`, by name.
    fn dummies(&self) -> BTreeMap<String, Arc<dyn DummyPort>> {
        BTreeMap::new()
    }

    /// Sets the length of an open port's longest packet, without the Ethernet header.
    ///
    /// # Errors
    /// When the driver can't, in a sentence.
    fn set_mtu(&mut self, number: u32, mtu: u32) -> Result<(), String> {
        let _ = (number, mtu);
        Err("ports of this type have a length of their own".to_owned())
    }

    /// Gives an open port another Ethernet address.
    ///
    /// # Errors
    /// When the driver can't, in a sentence.
    fn set_address(&mut self, number: u32, address: MacAddr) -> Result<(), String> {
        let _ = (number, address);
        Err("ports of this type have an address of their own".to_owned())
    }

    /// What an open port has to tell beside its state and its counters, by name.
    fn details(&self, number: u32) -> BTreeMap<String, String> {
        let _ = number;
        BTreeMap::new()
    }
}
