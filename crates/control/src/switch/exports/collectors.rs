//! Those who are told: sockets that never block.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whoever gets the same datagrams.
#[derive(Debug, Default)]
pub(in super::super) struct Collectors {
    all: Vec<Collector>,
    /// Datagrams that were given to the system, those for each collector.
    sent: AtomicU64,
    /// Those that were not.
    lost: AtomicU64,
}

#[derive(Debug)]
struct Collector {
    target: String,
    socket: UdpSocket,
    /// The log said that it does not work, which is said once: what comes back from a port where nobody listens is heard by every
    /// second datagram.
    complained: AtomicBool,
}

/// An address and a port, of which some exporters have a usual one: `192.0.2.1:2055`, `[2001:db8::1]:2055`, `192.0.2.1`.
fn parse(text: &str, usual: Option<u16>) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let host = text.strip_suffix(':').unwrap_or(text);
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, usual?))
}

fn connect(target: &str, usual: Option<u16>) -> Result<UdpSocket, String> {
    let address = parse(target, usual)
        .ok_or("it is no address and port, as in 192.0.2.1:2055 or [2001:db8::1]:2055".to_owned())?;
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let open = || {
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    open().map_err(|error: std::io::Error| error.to_string())
}

impl Collectors {
    /// Opens a socket for each target; `usual` is the port of those that name none. Those that can't be told are said in the log.
    pub(in super::super) fn open(protocol: &str, targets: &[String], usual: Option<u16>) -> Arc<Self> {
        let mut all = Vec::new();
        for target in targets {
            match connect(target, usual) {
                Ok(socket) => {
                    all.push(Collector {
                        target: target.clone(),
                        socket,
                        complained: AtomicBool::new(false),
                    });
                }
                Err(error) => tracing::warn!(target: "collectors", "{protocol}: {target}: {error}"),
            }
        }
        if all.is_empty() {
            tracing::warn!(target: "collectors", "no collectors could be initialized, {protocol} tells nobody");
        }
        Arc::new(Self { all, ..Self::default() })
    }

    /// The address that datagrams come from, where somebody gets some.
    pub(in super::super) fn own_address(&self) -> Option<IpAddr> {
        self.all.iter().find_map(|collector| Some(collector.socket.local_addr().ok()?.ip()))
    }

    /// Sends a datagram to all, as far as that goes at once.
    pub(super) fn send(&self, datagram: &[u8]) {
        for Collector { target, socket, complained } in &self.all {
            match socket.send(datagram) {
                // Relaxed: counters order nothing.
                Ok(_) => drop(self.sent.fetch_add(1, Ordering::Relaxed)),
                Err(error) => {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    if !complained.swap(true, Ordering::Relaxed) {
                        tracing::warn!(target: "collectors", "{target}: sending to collector failed ({error})");
                    }
                }
            }
        }
    }

    /// Counts a datagram that nobody gets.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(self.all.len() as u64, Ordering::Relaxed);
    }

    /// Datagrams that were sent, and those that were not.
    pub(in super::super) fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (text, usual, parsed) in [
            ("192.0.2.1:2055", None, Some("192.0.2.1:2055")),
            ("[2001:db8::1]:2055", None, Some("[2001:db8::1]:2055")),
            ("192.0.2.1", Some(6343), Some("192.0.2.1:6343")),
            ("192.0.2.1:", Some(6343), Some("192.0.2.1:6343")),
            ("[::1]", Some(6343), Some("[::1]:6343")),
            ("192.0.2.1", None, None),
            ("xyzzy", Some(1), None),
            ("xyzzy:5", None, None),
        ] {
            assert_eq!(parse(text, usual), parsed.map(|text| text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_collector_that_refuses_costs_nothing_but_a_count() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = taken.local_addr().unwrap().to_string();
        drop(taken);
        let collectors = Collectors::open("NetFlow", &[target, "nobody".to_owned()], None);
        for _ in 0..4 {
            collectors.send(b"hello");
        }
        let (sent, lost) = collectors.counts();
        // What comes back from a port where nobody listens is heard by the next one.
        assert!(sent + lost == 4 && lost >= 1, "{sent} {lost}");
    }
}
