//! ICMP and ICMPv6 echo (RFC 792, RFC 4443), with a hop limit if asked for.

use super::{Outcome, Place, human};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketType, ipproto, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const ECHO_REPLY_V4: u8 = 0;
const UNREACHABLE_V4: u8 = 3;
const ECHO_REQUEST_V4: u8 = 8;
const TIME_EXCEEDED_V4: u8 = 11;
const UNREACHABLE_V6: u8 = 1;
const TIME_EXCEEDED_V6: u8 = 3;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// The target answered.
    Answer {
        /// Round-trip time.
        time: Duration,
    },
    /// A router on the way dropped it for its hop limit.
    Exceeded {
        /// That router.
        by: IpAddr,
    },
    /// Somebody says that it can't be delivered.
    Unreachable {
        /// Who.
        by: IpAddr,
    },
    /// Nothing in the given time.
    Silence,
}

/// Sends one echo request from the calling thread's namespace and waits for what comes back.
///
/// # Errors
/// When no raw socket can be had, or the system has no route (`ENETUNREACH`) or refuses to send.
pub fn echo(target: IpAddr, wait: Duration, hop_limit: Option<u8>) -> io::Result<Echo> {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let sequence = NEXT.fetch_add(1, Ordering::Relaxed);
    let identifier = (std::process::id() & 0xffff) as u16;
    let v4 = target.is_ipv4();
    let (family, protocol) =
        if v4 { (AddressFamily::INET, ipproto::ICMP) } else { (AddressFamily::INET6, ipproto::ICMPV6) };
    let socket = rustix::net::socket(family, SocketType::RAW, Some(protocol))?;
    if let Some(limit) = hop_limit {
        if v4 {
            sockopt::set_ip_ttl(&socket, u32::from(limit))?;
        } else {
            sockopt::set_ipv6_unicast_hops(&socket, Some(limit))?;
        }
    }
    let request = request(v4, identifier, sequence);
    let started = Instant::now();
    rustix::net::sendto(&socket, &request, SendFlags::empty(), &SocketAddr::new(target, 0))?;
    let mut buffer = [0u8; 2048];
    loop {
        let left = wait.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Ok(Echo::Silence);
        }
        sockopt::set_socket_timeout(
            &socket,
            sockopt::Timeout::Recv,
            Some(left.max(Duration::from_micros(100))),
        )?;
        let (length, from) = match rustix::net::recvfrom(&socket, &mut buffer, RecvFlags::empty()) {
            Ok((_, length, from)) => (length, from),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let Some(by) = address(from) else { continue };
        let packet = buffer.get(..length).unwrap_or_default();
        // A raw IPv4 socket delivers the IP header too, a raw ICMPv6 socket does not.
        let message = if v4 { after_ipv4_header(packet) } else { Some(packet) };
        let Some(message) = message else { continue };
        match (v4, message.first().copied()) {
            (true, Some(ECHO_REPLY_V4)) | (false, Some(ECHO_REPLY_V6))
                if is_ours(message, identifier, sequence) =>
            {
                return Ok(Echo::Answer { time: started.elapsed() });
            }
            (true, Some(kind @ (TIME_EXCEEDED_V4 | UNREACHABLE_V4)))
            | (false, Some(kind @ (TIME_EXCEEDED_V6 | UNREACHABLE_V6))) => {
                let quoted = message.get(8..).unwrap_or_default();
                let inner = if v4 { after_ipv4_header(quoted) } else { quoted.get(40..) };
                if inner.is_some_and(|inner| is_ours(inner, identifier, sequence)) {
                    let exceeded = kind == if v4 { TIME_EXCEEDED_V4 } else { TIME_EXCEEDED_V6 };
                    return Ok(if exceeded { Echo::Exceeded { by } } else { Echo::Unreachable { by } });
                }
            }
            _ => {}
        }
    }
}

/// Probes reachability by echo from `from`, again and again until an answer or the end of `within`.
///
/// # Errors
/// When the namespace can't be entered or gives no raw socket.
pub fn probe(from: &Place, target: IpAddr, within: Duration) -> io::Result<Outcome> {
    from.run(|| {
        let started = Instant::now();
        let mut last = format!("no answer in {}", human(within));
        loop {
            let left = within.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(Outcome::failed(last));
            }
            match echo(target, left.min(Duration::from_millis(500)), None) {
                Ok(Echo::Answer { time }) => {
                    return Ok(Outcome::reached(format!("answer in {}", human(time))));
                }
                Ok(Echo::Unreachable { by } | Echo::Exceeded { by }) => {
                    last = format!("{by} says it can't be delivered")
                }
                Ok(Echo::Silence) => {}
                Err(error) if is_network_error(&error) => last = verdict(&error),
                Err(error) => return Err(error),
            }
            // A refusal comes at once: do not spin. After silence the time is spent already.
            if !last.starts_with("no answer") {
                std::thread::sleep(left.min(Duration::from_millis(50)));
            }
        }
    })?
}

/// The verdict of the network in words: the system's, without its number.
#[must_use]
pub fn verdict(error: &io::Error) -> String {
    if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) {
        return "the sender's own firewall forbids it".to_owned();
    }
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// Whether an error is a verdict of the network rather than a failure of the probe.
#[must_use]
pub fn is_network_error(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let verdicts = [
        Errno::NETUNREACH,
        Errno::HOSTUNREACH,
        Errno::CONNREFUSED,
        Errno::CONNRESET,
        Errno::NETDOWN,
        Errno::PIPE,
        Errno::HOSTDOWN,
        Errno::TIMEDOUT,
        Errno::PERM,
        Errno::ACCESS,
        Errno::ADDRNOTAVAIL,
        Errno::INVAL,
    ];
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
        || error
            .raw_os_error()
            .is_some_and(|code| verdicts.iter().any(|verdict| verdict.raw_os_error() == code))
}

fn address(from: Option<SocketAddrAny>) -> Option<IpAddr> {
    SocketAddr::try_from(from?).ok().map(|address| address.ip())
}

fn after_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let length = usize::from(packet.first()? & 0x0f) * 4;
    packet.get(length..)
}

fn is_ours(message: &[u8], identifier: u16, sequence: u16) -> bool {
    message.get(4..6) == Some(&identifier.to_be_bytes()) && message.get(6..8) == Some(&sequence.to_be_bytes())
}

fn request(v4: bool, identifier: u16, sequence: u16) -> [u8; 64] {
    let mut message = [0u8; 64];
    message[0] = if v4 { ECHO_REQUEST_V4 } else { ECHO_REQUEST_V6 };
    message[4..6].copy_from_slice(&identifier.to_be_bytes());
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    if v4 {
        // The kernel fills in the checksum of ICMPv6 itself, since it covers a pseudo header.
        let checksum = internet_checksum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    message
}

/// The Internet checksum (RFC 1071).
fn internet_checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
