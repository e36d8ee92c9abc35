//! Throughput of one TCP stream or of UDP datagrams, and loss of a train of echo requests.

use super::{Place, icmp};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
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

/// Payload of a datagram of [`udp`], and the bytes that it takes on the wire: 14 Ethernet + 20 IP + 8 UDP.
const DATAGRAM: usize = 1400;
const DATAGRAM_ON_WIRE: usize = DATAGRAM + 42;

/// Sends datagrams at half as much again as `rate` (bits a second) for `duration`, and measures what arrives.
/// Loss does not slow it down, as it slows TCP.
///
/// # Errors
/// When the namespaces can't be entered, or nothing arrives.
pub fn udp(
    from: &Place,
    at: &Place,
    target: IpAddr,
    port: u16,
    rate: u64,
    duration: Duration,
) -> io::Result<Throughput> {
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let receiver = at.run(|| UdpSocket::bind(SocketAddr::new(any, port)))??;
    receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
    let target = SocketAddr::new(target, receiver.local_addr()?.port());
    std::thread::scope(|scope| {
        let sender =
            scope.spawn(move || from.run(move || flood(target, any, rate.saturating_mul(3) / 2, duration)));
        let mut buffer = [0u8; 2048];
        // The first quarter holds the shaper's burst.
        let (began, warm_up) = (Instant::now(), duration / 4);
        let (mut bytes, mut last) = (0usize, Duration::ZERO);
        while began.elapsed() < duration {
            if let Ok(length) = receiver.recv(&mut buffer)
                && began.elapsed() >= warm_up
            {
                bytes += length;
                last = began.elapsed();
            }
        }
        let sent = sender.join().unwrap_or_else(|_| Err(io::Error::other("the sender ended unexpectedly")));
        sent??;
        let seconds = last.saturating_sub(warm_up).as_secs_f64();
        if bytes == 0 || seconds <= 0.0 {
            return Err(io::Error::other("nothing arrived"));
        }
        let payload = bytes as f64 * 8.0 / seconds;
        Ok(Throughput { payload, on_wire: payload * DATAGRAM_ON_WIRE as f64 / DATAGRAM as f64 })
    })
}

fn flood(target: SocketAddr, any: IpAddr, rate: u64, duration: Duration) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    let datagram = [0u8; DATAGRAM];
    let began = Instant::now();
    let mut sent = 0u64;
    while began.elapsed() < duration {
        let due = (began.elapsed().as_secs_f64() * rate as f64 / 8.0) as u64 / DATAGRAM_ON_WIRE as u64;
        while sent < due {
            // A full queue drops: that is what is measured.
            let _ = socket.send_to(&datagram, target);
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
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
