//! Ports that are devices of DPDK's.

use super::{Drivers, Given};
use netloom_control::switch::OpenPort;
use netloom_mem::{ReceiveQueue, SendQueue};
use netloom_port::dpdk::{Config, Port, QUEUES};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Opens `type=dpdk`.
pub(super) fn open(drivers: &mut Drivers, number: u32, mut given: Given<'_>) -> Result<OpenPort, String> {
    let words = given.get("args").ok_or("`args` is missing: the device, like net_tap0,iface=nt0")?;
    let usual = Config::new(words);
    let queues = given.number("queues", usual.queues, QUEUES)?;
    let descriptors = given.number("descriptors", usize::from(usual.descriptors), 32_768)? as u16;
    given.end()?;
    let config = Config { queues, descriptors, ..usual };
    let (port, pairs) = Port::open(number, &config).map_err(|error| error.to_string())?;
    let mut receive: Vec<Box<dyn ReceiveQueue>> = Vec::new();
    let mut send: Vec<Box<dyn SendQueue>> = Vec::new();
    for pair in pairs {
        receive.push(Box::new(pair.from_device));
        send.push(Box::new(pair.to_device));
    }
    let port = Arc::new(port);
    let told = Arc::downgrade(&port);
    drivers.tell(number, move || {
        let status = told.upgrade()?.status();
        let told = status.statistics;
        let mut details = BTreeMap::from([
            ("driver".to_owned(), status.driver),
            ("queues".to_owned(), status.queues.to_string()),
        ]);
        for (name, count) in [
            ("device-missed", told.missed),
            ("device-receive-errors", told.receive_errors),
            ("device-send-errors", told.send_errors),
            ("device-no-buffer", told.no_buffer),
        ] {
            if count > 0 {
                details.insert(name.to_owned(), count.to_string());
            }
        }
        Some(details)
    });
    let shown = port.clone();
    let state = move || if shown.status().up { "up" } else { "the link is down" }.to_owned();
    Ok(OpenPort { receive, send, state: Box::new(state), keep: Box::new(port) })
}
