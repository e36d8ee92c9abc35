//! The way to a target: routers that answer for their hop limit.

use super::{Place, icmp};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// The most hops that are tried.
pub const MAX_HOPS: u8 = 32;

/// One hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Who answered; `None` if nobody did.
    pub address: Option<IpAddr>,
}

/// Walks to `target` and returns the hops, the target last if it answered.
///
/// # Errors
/// When the namespace can't be entered or gives no raw socket.
pub fn route(from: &Place, target: IpAddr, wait: Duration) -> io::Result<Vec<Hop>> {
    from.run(|| {
        let mut hops = Vec::new();
        let mut silent = 0;
        for limit in 1..=MAX_HOPS {
            let mut answer = icmp::Echo::Silence;
            for _ in 0..2 {
                answer = match icmp::echo(target, wait, Some(limit)) {
                    Ok(answer) => answer,
                    Err(error) if icmp::is_network_error(&error) => icmp::Echo::Silence,
                    Err(error) => return Err(error),
                };
                if answer != icmp::Echo::Silence {
                    break;
                }
            }
            match answer {
                icmp::Echo::Answer { .. } => {
                    hops.push(Hop { address: Some(target) });
                    break;
                }
                icmp::Echo::Exceeded { by } => {
                    silent = 0;
                    hops.push(Hop { address: Some(by) });
                }
                icmp::Echo::Unreachable { by } => {
                    hops.push(Hop { address: Some(by) });
                    break;
                }
                icmp::Echo::Silence => {
                    silent += 1;
                    hops.push(Hop { address: None });
                    if silent == 3 {
                        break;
                    }
                }
            }
        }
        Ok(hops)
    })?
}
