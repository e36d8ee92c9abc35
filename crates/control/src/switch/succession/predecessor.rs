//! The one who goes.

use super::super::state::Switch;
use super::VERSION;
use super::facts::Offer;
use super::talk::{Word, hear, say, send_files, send_piece};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a successor may take until it has everything.
const READY: Duration = Duration::from_secs(5);
/// How long it may take to begin.
const GOING: Duration = Duration::from_secs(2);

/// Why nobody took over.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Refusal {
    /// They speak another language.
    #[error(
        "the successor speaks version {0} of the take-over, this daemon {VERSION}; stop it and start the other"
    )]
    Version(u32),
    /// Something can't be collected.
    #[error("nothing was handed over: {0}")]
    Offer(String),
    /// The successor said no.
    #[error("the successor refused: {0}")]
    Refused(String),
    /// It went away, or is silent.
    #[error("the successor is gone or silent: {0}")]
    Silent(io::Error),
    /// It went away, or is silent, after it was told to begin.
    #[error("the successor was lost while it began: {0}")]
    Lost(io::Error),
}

/// Whoever is at the other end, so that it can be ended.
struct Peer(Option<OwnedFd>);

impl Peer {
    fn of(stream: &UnixStream) -> Self {
        let pid = rustix::net::sockopt::socket_peercred(stream).map(|credentials| credentials.pid);
        let own = rustix::process::getpid();
        let pid = pid.ok().filter(|pid: &Pid| *pid != own);
        Self(pid.and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()))
    }

    /// Makes sure that it does not begin any more.
    fn end(&self) {
        if let Some(peer) = &self.0 {
            let _ = rustix::process::pidfd_send_signal(peer, Signal::KILL);
            let mut wait = [rustix::event::PollFd::new(peer, rustix::event::PollFlags::IN)];
            let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
            let _ = rustix::event::poll(&mut wait, Some(&second));
        }
    }
}

impl Switch {
    /// Hands everything over to whoever asked for it on this connection. When this succeeds, another process does the work,
    /// and this one must end without touching what it had; otherwise it goes on.
    pub(in super::super) fn hand_over(
        &mut self,
        stream: &UnixStream,
        version: u32,
        own: Vec<OwnedFd>,
    ) -> Result<(), Refusal> {
        if version != VERSION {
            return Err(Refusal::Version(version));
        }
        let peer = Peer::of(stream);
        let began = Instant::now();
        // What the last packets brought is done, too.
        let paused = self.crew.pause().and_then(|()| {
            self.tick();
            self.crew.pause()
        });
        if let Err(error) = paused {
            let _ = self.crew.resume();
            return Err(Refusal::Offer(error.to_string()));
        }
        let outcome = match self.offer(own) {
            Ok(offer) => converse(stream, &offer),
            Err(error) => Err(Refusal::Offer(error.to_string())),
        };
        match &outcome {
            Ok(()) => tracing::info!(after = ?began.elapsed(), "a successor goes on"),
            Err(refusal) => {
                // One that has left the conversation does not begin, unless it was in the middle of that.
                let left =
                    matches!(refusal, Refusal::Silent(error) if error.kind() == io::ErrorKind::UnexpectedEof);
                if matches!(refusal, Refusal::Silent(_) | Refusal::Lost(_)) && !left {
                    peer.end();
                }
                self.take_back(matches!(refusal, Refusal::Lost(_)));
                tracing::warn!(after = ?began.elapsed(), %refusal, "this daemon goes on");
            }
        }
        outcome
    }
}

fn converse(stream: &UnixStream, offer: &Offer) -> Result<(), Refusal> {
    let heard = |word| match word {
        Word::Refused { why } => Refusal::Refused(why),
        other => Refusal::Refused(format!("it said {other:?}")),
    };
    let state = serde_json::to_vec(&offer.state).map_err(|error| Refusal::Offer(error.to_string()))?;
    let send = || {
        stream.set_write_timeout(Some(READY))?;
        stream.set_read_timeout(Some(READY))?;
        say(stream, &Word::Here)?;
        send_piece(stream, &state)?;
        send_piece(stream, &offer.flows)?;
        send_files(stream, &offer.files)?;
        hear(stream)
    };
    match send().map_err(Refusal::Silent)? {
        Word::Ready => {}
        other => return Err(heard(other)),
    }
    let commit = || {
        stream.set_read_timeout(Some(GOING))?;
        say(stream, &Word::Commit)?;
        hear(stream)
    };
    match commit().map_err(Refusal::Silent)? {
        Word::Going => {}
        other => return Err(heard(other)),
    }
    match hear(stream).map_err(Refusal::Lost)? {
        Word::Begun => Ok(()),
        other => Err(Refusal::Lost(io::Error::other(format!("it said {other:?}")))),
    }
}
