//! How long connections live without packets, by what they have seen.

use std::collections::HashMap;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Timeout {
    /// TCP: only the first packet came.
    TcpFirst,
    /// TCP: the handshake is not complete.
    TcpOpening,
    /// TCP: both ends have what they need.
    TcpEstablished,
    /// TCP: one end has closed.
    TcpClosing,
    /// TCP: both ends have closed.
    TcpFinWait,
    /// TCP: both ends are done.
    TcpClosed,
    /// Other protocols: one packet came.
    First,
    /// Others: several came, all in one direction.
    Single,
    /// Others: both directions were seen.
    Both,
    /// ICMP: no answer yet.
    IcmpFirst,
    /// ICMP: answered.
    IcmpReply,
}

/// How many there are.
const KINDS: usize = 11;

/// Seconds, as Open vSwitch has them.
const USUAL: [u32; KINDS] = [30, 30, 24 * 60 * 60, 15 * 60, 45, 30, 60, 60, 30, 60, 30];

/// The name of each in `CT_Timeout_Policy` of the Open_vSwitch database.
const NAMES: [&str; KINDS] = [
    "tcp_syn_sent",
    "tcp_syn_recv",
    "tcp_established",
    "tcp_fin_wait",
    "tcp_time_wait",
    "tcp_close",
    "udp_first",
    "udp_single",
    "udp_multiple",
    "icmp_first",
    "icmp_reply",
];

/// Names that the database knows and that this tracker, as Open vSwitch's in user space, has no state for.
const UNUSED: [&str; 5] = ["tcp_close_wait", "tcp_last_ack", "tcp_syn_sent2", "tcp_retransmit", "tcp_unack"];

/// Timeouts of the connections that name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    seconds: [u32; KINDS],
}

impl Default for Policy {
    fn default() -> Self {
        Self { seconds: USUAL }
    }
}

impl Policy {
    /// Sets one timeout, by its name in the database, to some seconds; false when there is no such name.
    pub fn set(&mut self, name: &str, seconds: u32) -> bool {
        match NAMES.iter().position(|known| *known == name) {
            Some(kind) => {
                self.seconds[kind] = seconds;
                true
            }
            None => UNUSED.contains(&name),
        }
    }

    /// Seconds of one timeout.
    #[must_use]
    pub const fn get(&self, timeout: Timeout) -> u32 {
        self.seconds[timeout as usize]
    }

    /// Nanoseconds of one timeout.
    #[inline]
    pub(super) const fn nanoseconds(&self, timeout: Timeout) -> u64 {
        self.seconds[timeout as usize] as u64 * SECOND
    }
}

/// What a connection has whose policy is gone.
static FALLBACK: Policy = Policy { seconds: USUAL };

/// The policies that connections may name.
#[derive(Debug, Clone, Default)]
pub(super) struct Policies {
    usual: Policy,
    named: HashMap<u32, Policy>,
}

impl Policies {
    /// The one with a number; the usual one when there is none. 0 is the usual one, which can be changed too.
    #[inline]
    pub(super) fn get(&self, number: u32) -> &Policy {
        if number == 0 { &self.usual } else { self.named.get(&number).unwrap_or(&FALLBACK) }
    }

    /// Sets, changes or takes away one.
    pub(super) fn set(&mut self, number: u32, policy: Option<Policy>) {
        match (number, policy) {
            (0, policy) => self.usual = policy.unwrap_or_default(),
            (_, Some(policy)) => {
                self.named.insert(number, policy);
            }
            (_, None) => {
                self.named.remove(&number);
            }
        }
    }
}
