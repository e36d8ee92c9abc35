//! Ports that are existing interfaces of this host, by AF_XDP.

use super::{Drivers, Given, Namespace};
use netloom_control::switch::{GONE, OpenPort};
use netloom_mem::{ReceiveQueue, SendQueue};
use netloom_port::xdp::{Config, Mode, Port, Presence, QUEUES, QueueCounters, Status, Way};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Opens `type=afxdp`.
pub(super) fn afxdp(drivers: &mut Drivers, number: u32, mut given: Given<'_>) -> Result<OpenPort, String> {
    let device = given.get("dev").ok_or("`dev` is missing: the interface to be used")?;
    let namespace = given.get("netns").map(Namespace::open).transpose()?;
    let mode = match given.get("mode") {
        None | Some("auto") => Mode::Auto,
        Some("zero-copy") => Mode::ZeroCopy,
        Some("copy") => Mode::Copy,
        Some("generic") => Mode::Generic,
        Some(other) => return Err(format!("`mode={other}`: auto, zero-copy, copy or generic")),
    };
    let truth = |name: &'static str, given: &mut Given<'_>| match given.get(name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(format!("`{name}={other}`: true or false")),
    };
    let usual = Config::new(device);
    let queues = given.get("queues").is_some().then(|| given.number("queues", 1, QUEUES)).transpose()?;
    let descriptors = given.number("descriptors", usual.descriptors as usize, 32_768)? as u32;
    let multi_buffer = truth("multi-buffer", &mut given)?.unwrap_or(usual.multi_buffer);
    let open_checksums = truth("open-checksums", &mut given)?;
    given.end()?;
    let config = Config { mode, queues, descriptors, multi_buffer, open_checksums, ..usual };
    let open = || Port::open(number, &config).map_err(|error| error.to_string());
    let (port, pairs) = match &namespace {
        Some(namespace) => namespace.run(open)?,
        None => open(),
    }?;
    let mut receive: Vec<Box<dyn ReceiveQueue>> = Vec::new();
    let mut send: Vec<Box<dyn SendQueue>> = Vec::new();
    for pair in pairs {
        receive.push(Box::new(pair.from_interface));
        send.push(Box::new(pair.to_interface));
    }
    let port = Arc::new(port);
    let told = Arc::downgrade(&port);
    drivers.tell(number, move || {
        let port = told.upgrade()?;
        Some(details(&port.status(), port.counters()))
    });
    let (shown, name) = (port.clone(), device.to_owned());
    let state = move || match shown.presence() {
        Presence::Up if namespace.as_ref().is_some_and(|namespace| !namespace.is_there()) => {
            format!("{GONE}: {name} is in no named namespace any more")
        }
        Presence::Up => "up".to_owned(),
        Presence::Down => format!("{name} is down"),
        Presence::Gone => format!("{GONE}: somebody removed {name}"),
    };
    Ok(OpenPort { receive, send, state: Box::new(state), keep: Box::new(port) })
}

fn details(status: &Status, counters: &[Arc<QueueCounters>]) -> BTreeMap<String, String> {
    let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
    let told = &status.statistics;
    let sum = |of: fn(&QueueCounters) -> u64| counters.iter().map(|counters| of(counters)).sum::<u64>();
    let mut details = BTreeMap::from([
        ("mode".to_owned(), status.way.name().to_owned()),
        ("queues".to_owned(), status.queues.to_string()),
        ("huge-pages".to_owned(), yes(status.huge_pages)),
        ("multi-buffer".to_owned(), yes(status.multi_buffer)),
        ("longest-frame".to_owned(), status.longest.to_string()),
    ]);
    if !status.refused.is_empty() {
        details.insert("better-modes".to_owned(), status.refused.join("; "));
    }
    if status.of > status.queues {
        let left = format!("{} of {}; the others are the host's", status.queues, status.of);
        details.insert("queues".to_owned(), left);
    }
    if !status.tags && status.takes_tags {
        let lost = "lost where a sender or the device leaves them beside the frame".to_owned();
        details.insert("vlan-tags".to_owned(), lost);
    }
    if status.way == Way::Generic {
        let lost = "dropped; where they are sent, `ip link set DEV gso_max_segs 1` has them cut".to_owned();
        details.insert("large-segments".to_owned(), lost);
    }
    // What is zero as long as all is well is shown when it is not.
    for (name, count) in [
        ("joined", sum(|queue| queue.joined.get())),
        ("open-checksums", sum(|queue| queue.open_checksums.get())),
        ("stalls", sum(|queue| queue.stalls.get())),
        ("unfit", sum(|queue| queue.unfit.get())),
        ("unsendable", sum(|queue| queue.unsendable.get())),
        ("invalid", sum(|queue| queue.invalid.get() + queue.invalid_completions.get())),
        ("kernel-dropped", told.dropped),
        ("kernel-ring-full", told.ring_full),
        ("kernel-fill-empty", told.fill_ring_empty),
        ("kernel-invalid", told.invalid_fill + told.invalid_send),
    ] {
        if count > 0 {
            details.insert(name.to_owned(), count.to_string());
        }
    }
    details
}
