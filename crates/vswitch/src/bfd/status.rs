//! What is told of a session, and in which words.

use super::Flags;
use netloom_wire::header::bfd::{Diagnostic, State};

/// How a session is. Times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BfdStatus {
    /// The link carries packets.
    pub forwarding: bool,
    /// How often that has changed.
    pub flaps: u64,
    /// How many of our packets the other end may miss.
    pub multiplier: u8,
    /// The other end is told that something behind this one does not work.
    pub path_down: bool,
    /// Between two packets that we send.
    pub tx_interval: u64,
    /// Between two packets that we hear.
    pub rx_interval: u64,
    /// When the session is given up.
    pub detect_at: u64,
    /// When the next packet is sent, and when the last one was.
    pub next_tx: u64,
    /// See there.
    pub last_tx: u64,
    /// This end.
    pub local: EndStatus,
    /// The other end.
    pub remote: EndStatus,
    /// How many of its packets may be missed.
    pub remote_multiplier: u8,
}

/// How an end says that it is. Times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndStatus {
    /// Its flags.
    pub flags: Flags,
    /// Its state.
    pub state: State,
    /// Why it changed last.
    pub diagnostic: Diagnostic,
    /// Its name for the session.
    pub discriminator: u32,
    /// It sends no faster.
    pub min_tx: u64,
    /// It wants to hear no faster.
    pub min_rx: u64,
}

/// What Open vSwitch calls a diagnostic.
#[must_use]
pub const fn diagnostic_name(diagnostic: Diagnostic) -> &'static str {
    match diagnostic {
        Diagnostic::NONE => "No Diagnostic",
        Diagnostic::DETECTION_TIME_EXPIRED => "Control Detection Time Expired",
        Diagnostic::ECHO_FAILED => "Echo Function Failed",
        Diagnostic::NEIGHBOR_DOWN => "Neighbor Signaled Session Down",
        Diagnostic::FORWARDING_RESET => "Forwarding Plane Reset",
        Diagnostic::PATH_DOWN => "Path Down",
        Diagnostic::CONCATENATED_PATH_DOWN => "Concatenated Path Down",
        Diagnostic::ADMINISTRATIVELY_DOWN => "Administratively Down",
        Diagnostic::REVERSE_CONCATENATED_PATH_DOWN => "Reverse Concatenated Path Down",
        _ => "Invalid Diagnostic",
    }
}

/// What Open vSwitch calls a state.
#[must_use]
pub const fn state_name(state: State) -> &'static str {
    match state {
        State::AdminDown => "admin_down",
        State::Down => "down",
        State::Init => "init",
        State::Up => "up",
    }
}
