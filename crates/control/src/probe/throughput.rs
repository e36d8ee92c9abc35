//! Throughput of one TCP stream, and loss of a train of echo requests.

use super::{Place, icmp};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// What a throughput probe measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// Payload bits a second at the receiver, after the first moments were left out.
    pub payload: f64,
    /// The same with TCP, IP and Ethernet headers at full-size segments, which is what shapers count.
    pub on_wire: f64,
}

/// Bytes on the wire for each byte of payload at an MTU of 1500: 14 Ethernet + 20 IP + 32 TCP with timestamps.
const HEADER_SHARE: f64 = 1514.0 / 1448.0;

/// Sends for `duration` from one namespace to the other and measures what arrives. Port 0 lets the
/// system choose.
///
/// # Errors
/// When the namespaces can't be entered or the connection fails.
pub fn tcp(
    from: &Place,
    at: &Place,
    target: IpAddr,
    port: u16,
    duration: Duration,
) -> io::Result<Throughput> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let listener = at.run(|| TcpListener::bind(SocketAddr::new(any, port)))??;
    listener.set_nonblocking(true)?;
    let target = SocketAddr::new(target, listener.local_addr()?.port());
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || from.run(move || send(target, duration)));
        let payload = receive(&listener, duration);
        let sent = sender.join().unwrap_or_else(|_| Err(io::Error::other("the sender ended unexpectedly")));
        // The sender's error says more than the receiver's silence.
        sent??;
        let payload = payload?;
        Ok(Throughput { payload, on_wire: payload * HEADER_SHARE })
    })
}

fn send(target: SocketAddr, duration: Duration) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
    stream.set_write_timeout(Some(Duration::from_millis(500)))?;
    let chunk = vec![0u8; 64 * 1024];
    let started = Instant::now();
    while started.elapsed() < duration {
        match stream.write(&chunk) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            // The receiver closes when it has seen enough.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn receive(listener: &TcpListener, duration: Duration) -> io::Result<f64> {
    let started = Instant::now();
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && started.elapsed() < Duration::from_secs(6) =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error),
        }
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut buffer = vec![0u8; 256 * 1024];
    // The first quarter holds slow start and the shaper's burst.
    let warm_up = duration / 4;
    let began = Instant::now();
    let mut counting_since = None;
    let mut bytes = 0usize;
    while began.elapsed() < duration {
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(error) => return Err(error),
        };
        if counting_since.is_some() {
            bytes += length;
        } else if began.elapsed() >= warm_up {
            counting_since = Some(Instant::now());
        }
    }
    let seconds = counting_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
    if seconds > 0.0 { Ok(bytes as f64 * 8.0 / seconds) } else { Err(io::Error::other("nothing arrived")) }
}

/// Sends `count` echo requests and tells how many were answered.
///
/// # Errors
/// When the namespace can't be entered or gives no raw socket.
pub fn loss(from: &Place, target: IpAddr, count: u32, wait: Duration) -> io::Result<u32> {
    from.run(|| {
        let mut answered = 0;
        for _ in 0..count {
            match icmp::echo(target, wait, None) {
                Ok(icmp::Echo::Answer { .. }) => answered += 1,
                Ok(_) => {}
                Err(error) if icmp::is_network_error(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(answered)
    })?
}
