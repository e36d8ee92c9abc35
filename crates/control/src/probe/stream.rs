//! TCP, UDP and HTTP: connect and talk, against the node's own program or a listener brought along.

use super::{Outcome, Place, human, icmp::is_network_error, icmp::verdict};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Connect.
    Tcp,
    /// Send a datagram and wait for an answer.
    Udp,
    /// Connect, ask for `/` and read a status line.
    Http,
}

/// How long one attempt may take before the next.
const ATTEMPT: Duration = Duration::from_millis(700);

/// A listener of the probe's own, or the knowledge that a program of the node listens already.
enum Listener {
    Tcp(TcpListener),
    Udp(UdpSocket),
    Theirs,
}

/// Probes `target:port` from `from`, again and again until it succeeds or `within` is over. `listener` is the
/// target's namespace and the port there, if it is one of ours: where no program listens, the probe does.
///
/// # Errors
/// When a namespace can't be entered or gives no sockets.
pub fn probe(
    from: &Place,
    listener: Option<(&Place, u16)>,
    kind: Kind,
    target: IpAddr,
    port: u16,
    within: Duration,
) -> io::Result<Outcome> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let listener = match listener {
        Some((at, port)) => at.run(|| listen(kind, SocketAddr::new(any, port)))??,
        None => Listener::Theirs,
    };
    let theirs = matches!(listener, Listener::Theirs);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&listener, kind, &done));
        let outcome = from.run(|| attempts(kind, SocketAddr::new(target, port), within, theirs));
        done.store(true, Ordering::Relaxed);
        outcome?
    })
}

fn listen(kind: Kind, address: SocketAddr) -> io::Result<Listener> {
    let made = match kind {
        Kind::Tcp | Kind::Http => TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(Listener::Tcp(listener))
        }),
        Kind::Udp => UdpSocket::bind(address).and_then(|socket| {
            socket.set_read_timeout(Some(Duration::from_millis(20)))?;
            Ok(Listener::Udp(socket))
        }),
    };
    match made {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(Listener::Theirs),
        other => other,
    }
}

/// Answers until `done`; errors of one connection do not matter to the next.
fn serve(listener: &Listener, kind: Kind, done: &AtomicBool) {
    let mut buffer = [0u8; 2048];
    while !done.load(Ordering::Relaxed) {
        match listener {
            Listener::Theirs => return,
            Listener::Udp(socket) => {
                if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), peer);
                }
            }
            Listener::Tcp(socket) => match socket.accept() {
                Ok((mut stream, _)) => {
                    let _ = stream.set_nonblocking(false);
                    let _ = stream.set_read_timeout(Some(ATTEMPT));
                    if kind == Kind::Http {
                        let _ = stream.read(&mut buffer);
                        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
                    }
                }
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            },
        }
    }
}

fn attempts(kind: Kind, target: SocketAddr, within: Duration, theirs: bool) -> io::Result<Outcome> {
    let started = Instant::now();
    let mut last = String::new();
    loop {
        let left = within.saturating_sub(started.elapsed());
        if left.is_zero() {
            let silence = format!("no answer in {}", human(within));
            return Ok(Outcome::failed(if last.is_empty() { silence } else { last }));
        }
        let began = Instant::now();
        let result = match kind {
            Kind::Tcp => {
                TcpStream::connect_timeout(&target, left.min(ATTEMPT)).map(|_| "connected".to_owned())
            }
            Kind::Http => http(target, left.min(ATTEMPT)),
            Kind::Udp => udp(target, left.min(ATTEMPT)),
        };
        match result {
            Ok(what) => {
                let whose = if theirs { "" } else { " (probe's own listener)" };
                return Ok(Outcome::reached(format!("{what} in {}{whose}", human(began.elapsed()))));
            }
            Err(error) if is_network_error(&error) => {
                if !matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
                    last = verdict(&error);
                }
            }
            Err(error) => return Err(error),
        }
        // A refusal comes at once: do not spin.
        std::thread::sleep(Duration::from_millis(50).min(within.saturating_sub(started.elapsed())));
    }
}

fn http(target: SocketAddr, wait: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&target, wait)?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {target}\r\nConnection: close\r\n\r\n")?;
    let mut buffer = [0u8; 256];
    let mut length = 0;
    while length < buffer.len() && !buffer[..length].contains(&b'\n') {
        match stream.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    let text = String::from_utf8_lossy(&buffer[..length]);
    let line = text.lines().next().unwrap_or_default();
    if line.starts_with("HTTP/") {
        Ok(line.split_once(' ').map_or(line, |(_, status)| status).to_owned())
    } else {
        Err(io::Error::new(io::ErrorKind::TimedOut, "no HTTP answer"))
    }
}

fn udp(target: SocketAddr, wait: Duration) -> io::Result<String> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(wait))?;
    socket.send(b"netloom probe")?;
    let mut buffer = [0u8; 64];
    socket.recv(&mut buffer)?;
    Ok("answered".to_owned())
}
