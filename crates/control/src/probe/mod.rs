//! Probes: real packets between namespaces, for a file's `tests:` and for `ping`.
//!
//! What: one module per kind of probe, each a plain function that runs inside a namespace
//! ([`Place::run`]) and gives a verdict with its evidence. Nothing is installed in the nodes: where no
//! program listens on the tested port, the probe brings a listener of its own for that moment.
//!
//! Invariants: every probe is bounded in time and in packets; nothing stays behind.
//!
//! Costs: a thread and one `setns` for each probe.

pub mod icmp;
pub mod stream;
pub mod throughput;
pub mod trace;

use rustix::thread::LinkNameSpaceType;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// A network namespace to run something in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub Option<PathBuf>);

impl Place {
    /// The realm's own namespace.
    #[must_use]
    pub const fn here() -> Self {
        Self(None)
    }

    /// The namespace behind a file.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Some(path.into()))
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets made there stay there.
    ///
    /// # Errors
    /// When the namespace can't be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let file = self.0.as_ref().map(File::open).transpose()?;
        std::thread::scope(|scope| {
            let handle = scope.spawn(move || -> io::Result<T> {
                if let Some(file) = &file {
                    rustix::thread::move_into_link_name_space(
                        file.as_fd(),
                        Some(LinkNameSpaceType::Network),
                    )?;
                }
                Ok(work())
            });
            handle.join().unwrap_or_else(|_| Err(io::Error::other("the probe ended unexpectedly")))
        })
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the other side was reached.
    pub reached: bool,
    /// How one knows, for people: `answer in 0.08 ms`, `no answer in 1 s`.
    pub evidence: String,
}

impl Outcome {
    pub(crate) fn reached(evidence: impl Into<String>) -> Self {
        Self { reached: true, evidence: evidence.into() }
    }

    pub(crate) fn failed(evidence: impl Into<String>) -> Self {
        Self { reached: false, evidence: evidence.into() }
    }
}

/// A duration as people read it: `0.08 ms`, `1.5 s`.
#[must_use]
pub fn human(duration: std::time::Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn loopback_answers_every_probe() {
        let target = std::net::IpAddr::from([127, 0, 0, 1]);
        let within = Duration::from_secs(2);
        let here = Place::here();
        for kind in [stream::Kind::Tcp, stream::Kind::Udp, stream::Kind::Http] {
            let port = 40000 + (std::process::id() % 20000) as u16;
            let outcome = stream::probe(&here, Some((&here, port)), kind, target, port, within);
            assert!(outcome.as_ref().is_ok_and(|o| o.reached), "{kind:?}: {outcome:?}");
        }
        match icmp::echo(target, within, None) {
            Ok(outcome) => assert!(matches!(outcome, icmp::Echo::Answer { .. }), "{outcome:?}"),
            Err(error) => println!("SKIP icmp: {error}"),
        }
    }
}
