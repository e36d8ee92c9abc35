//! The drivers that this program has, by the `type` of a port.

use netloom_control::switch::{Doors, OpenPort, Options};
use netloom_port::{packet, tap};
use std::path::Path;

/// All drivers.
#[derive(Debug)]
pub struct Drivers {}

/// The types of ports, for messages.
const TYPES: &str = "vhost-user, tap, afpacket";

impl Drivers {
    /// Drivers that hold nothing yet.
    ///
    /// # Errors
    /// When the system lacks what they share.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }
}

/// Options that are taken out one by one; what is left over is unknown.
struct Given<'a> {
    options: &'a Options,
    known: Vec<&'static str>,
}

impl<'a> Given<'a> {
    fn get(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        self.options.get(name).map(String::as_str)
    }

    fn number(&mut self, name: &'static str, otherwise: usize, most: usize) -> Result<usize, String> {
        match self.get(name).map(str::parse) {
            None => Ok(otherwise),
            Some(Ok(number)) if (1..=most).contains(&number) => Ok(number),
            Some(_) => Err(format!("`{name}` is a number from 1 to {most}")),
        }
    }

    fn end(&self) -> Result<(), String> {
        match self.options.keys().find(|name| !self.known.contains(&name.as_str())) {
            Some(unknown) => {
                Err(format!("there is no option `{unknown}`; there are {}", self.known.join(", ")))
            }
            None => Ok(()),
        }
    }
}

impl Doors for Drivers {
    fn open(&mut self, number: u32, name: &str, options: &Options) -> Result<OpenPort, String> {
        let mut given = Given { options, known: Vec::new() };
        match given.get("type") {
            Some("tap") => tap(number, name, given),
            Some("afpacket") => packet(number, given),
            Some(other) => Err(format!("there is no type `{other}`; there are {TYPES}")),
            None => Err(format!("`type` is missing; there are {TYPES}")),
        }
    }
}

fn tap(number: u32, name: &str, mut given: Given<'_>) -> Result<OpenPort, String> {
    let device = given.get("dev").unwrap_or(name);
    let queues = given.number("queues", 1, 64)?;
    given.end()?;
    let tap = tap::open_tap(number, device, queues).map_err(|error| {
        format!("the TAP interface {device}: {error} (it needs /dev/net/tun and CAP_NET_ADMIN)")
    })?;
    let state = carrier(tap.name);
    Ok(OpenPort { receive: tap.receive, send: Some(tap.send), state, keep: Box::new(()) })
}

fn packet(number: u32, mut given: Given<'_>) -> Result<OpenPort, String> {
    let device = given.get("dev").ok_or("`dev` is missing: the interface to be used")?;
    given.end()?;
    let index = std::fs::read_to_string(Path::new("/sys/class/net").join(device).join("ifindex"));
    let index: u32 = index
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| format!("there is no interface `{device}` here; `ip link` lists them"))?;
    let socket = packet::open_packet(number, index)
        .map_err(|error| format!("{device}: {error} (it needs CAP_NET_RAW)"))?;
    let state = carrier(device.to_owned());
    Ok(OpenPort { receive: vec![socket.receive], send: Some(socket.send), state, keep: Box::new(()) })
}

/// The state of an interface of this host.
fn carrier(name: String) -> Box<dyn Fn() -> String + Send + Sync> {
    Box::new(move || {
        let path = Path::new("/sys/class/net").join(&name).join("operstate");
        match std::fs::read_to_string(path).as_deref().map(str::trim) {
            Ok("up" | "unknown") => "up".to_owned(),
            Ok(other) => format!("{name} is {other}"),
            // It lives in another namespace now, where this program does not see it.
            Err(_) => "up".to_owned(),
        }
    })
}
