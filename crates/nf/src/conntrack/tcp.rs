//! The states of a TCP connection, and whether a segment fits into its windows.
//!
//! What: the algorithm of Guido van Rooij's "Real Stateful TCP Packet Filtering in IP Filter" as pf and Open vSwitch have
//! it: of each end the sequence numbers that it sent and that the other allowed it to send, the largest window and its
//! scale. RFC 9293 section 3.10.7.4 tells which segments an end accepts; a tracker in between may know less than both.
//!
//! Invariants: a segment that is refused changes nothing, but for the end that sent its first one. Nothing panics;
//! sequence numbers are compared modulo 2^32.
//!
//! Deliberately absent: SACK and timestamps, which pf looks at only when it scrubs.

use super::timeout::Timeout;

/// FIN.
pub(super) const FIN: u8 = 1;
/// SYN.
pub(super) const SYN: u8 = 2;
/// RST.
pub(super) const RST: u8 = 4;
/// PSH.
pub(super) const PSH: u8 = 8;
/// ACK.
pub(super) const ACK: u8 = 0x10;
/// URG.
pub(super) const URG: u8 = 0x20;

/// The largest shift that window scaling allows (RFC 7323, 2.3).
const LARGEST_SCALE: u8 = 14;
/// The end offered to scale.
const SCALES: u8 = 0x80;
/// The connection was first seen when it had begun.
const SCALE_UNKNOWN: u8 = 0x40;
const SCALE: u8 = 0x0f;
/// How far an acknowledgement may be off: a window and a fragment.
const SLACK: u32 = 0xffff + 1500;

/// States, in the order in which they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum TcpState {
    /// Nothing was sent.
    #[default]
    Closed,
    /// Listens.
    Listen,
    /// Has sent its SYN.
    SynSent,
    /// Has answered a SYN.
    SynReceived,
    /// The other end has acknowledged its SYN.
    Established,
    /// The other end has closed.
    CloseWait,
    /// Has closed.
    FinWait1,
    /// Has sent its FIN.
    Closing,
    /// Waits for the last acknowledgement.
    LastAck,
    /// Its FIN is acknowledged.
    FinWait2,
    /// Both ends are done, or one has reset.
    TimeWait,
}

impl TcpState {
    /// The name that `dpctl/dump-conntrack` prints.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::CloseWait => "CLOSE_WAIT",
            Self::FinWait1 => "FIN_WAIT_1",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST_ACK",
            Self::FinWait2 => "FIN_WAIT_2",
            Self::TimeWait => "TIME_WAIT",
        }
    }
}

/// One end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(super) struct Peer {
    /// Behind the last octet that it sent.
    pub(super) low: u32,
    /// Behind the last octet that the other end allows.
    pub(super) high: u32,
    /// The largest window it offered, before scaling.
    pub(super) window: u16,
    /// Shift of its window, and [`SCALES`] or [`SCALE_UNKNOWN`].
    pub(super) scale: u8,
    pub(super) state: TcpState,
}

impl Peer {
    /// By how many bits its windows are shifted.
    pub(super) const fn shift(self) -> u8 {
        self.scale & SCALE
    }

    /// Whether it offered to scale windows.
    pub(super) const fn scales(self) -> bool {
        self.scale & SCALES != 0
    }

    /// Whether it is not known if it scales.
    pub(super) const fn is_liberal(self) -> bool {
        self.scale & SCALE_UNKNOWN != 0
    }
}

/// What a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Segment {
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) window: u16,
    pub(super) flags: u8,
    /// Octets of its payload.
    pub(super) length: u32,
    /// The window scale option, as [`scale_option`] gives it; only looked at in a SYN.
    pub(super) scale: u8,
}

impl Segment {
    /// Of other protocols.
    pub(super) const EMPTY: Self =
        Self { sequence: 0, acknowledgement: 0, window: 0, flags: 0, length: 0, scale: 0 };

    const fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// The first sequence number behind it.
    const fn end(&self) -> u32 {
        self.sequence
            .wrapping_add(self.length)
            .wrapping_add(self.has(SYN) as u32)
            .wrapping_add(self.has(FIN) as u32)
    }

    /// Whether no end sends such flags.
    pub(super) const fn is_nonsense(&self) -> bool {
        let opens = self.has(SYN) && self.has(RST | FIN);
        let nothing = !self.has(SYN) && !self.has(ACK | RST);
        let unacknowledged = !self.has(ACK) && self.has(FIN | PSH | URG);
        opens || nothing || unacknowledged
    }

    /// Whether it may begin a connection, or show one that has begun: anything but the answer to a SYN.
    pub(super) const fn may_begin(&self) -> bool {
        !(self.is_nonsense() || self.has(SYN) && self.has(ACK))
    }
}

/// What a segment means to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Update {
    /// It does not fit.
    Invalid,
    /// It fits; the connection lives so long from now on, or as long as before.
    Valid(Option<Timeout>),
    /// It is (again) the first.
    First(Timeout),
    /// It begins another connection with the same numbers.
    Anew,
}

/// The window scale option among the options of a segment (RFC 7323, 2.2): 0 without, or the shift and a flag.
pub(super) fn scale_option(mut options: &[u8]) -> u8 {
    let mut scale = 0;
    while options.len() >= 3 {
        let size = match options[0] {
            0 => return scale,
            1 => 1,
            kind => {
                if kind == 3 {
                    scale = options[2].min(LARGEST_SCALE) | SCALES;
                }
                usize::from(options[1]).max(2)
            }
        };
        options = options.get(size..).unwrap_or_default();
    }
    scale
}

/// Whether `a` comes behind `b`.
const fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// Whether `a` is `b` or comes behind it.
const fn reaches(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) >= 0
}

const fn unscaled(window: u16, shift: u8) -> u16 {
    (window as u32).div_ceil(1 << shift) as u16
}

/// Both ends after the first segment that was seen.
pub(super) fn begin(first: &Segment) -> [Peer; 2] {
    let mut sender = Peer {
        low: first.sequence,
        high: first.sequence.wrapping_add(first.length).wrapping_add(1),
        window: first.window.max(1),
        scale: SCALE_UNKNOWN,
        state: TcpState::SynSent,
    };
    let mut receiver = Peer { low: 0, high: 1, window: 1, scale: SCALE_UNKNOWN, state: TcpState::Closed };
    if first.has(SYN) {
        sender.high = sender.high.wrapping_add(1);
        sender.scale = first.scale;
        receiver.scale = 0;
    }
    // The window of a SYN is never scaled; to have it scaled like the others it is divided.
    sender.window = unscaled(sender.window, sender.shift());
    if first.has(FIN) {
        sender.high = sender.high.wrapping_add(1);
    }
    [sender, receiver]
}

/// Takes a segment of a known connection. `liberal`: whatever its numbers are, they fit.
pub(super) fn update(peers: &mut [Peer; 2], segment: &Segment, reply: bool, liberal: bool) -> Update {
    if segment.is_nonsense() {
        return Update::Invalid;
    }
    let [first, second] = peers;
    let (sender, receiver) = if reply { (second, first) } else { (first, second) };
    if segment.has(SYN) && !segment.has(ACK) {
        if receiver.state >= TcpState::FinWait2 && sender.state >= TcpState::FinWait2 {
            (sender.state, receiver.state) = (TcpState::Closed, TcpState::Closed);
            return Update::Anew;
        }
        if sender.state <= TcpState::SynSent {
            sender.state = TcpState::SynSent;
            return Update::First(Timeout::TcpFirst);
        }
    }
    let (mut own, mut others) = (0, 0);
    if !segment.has(SYN) {
        if sender.scales() && receiver.scales() {
            (own, others) = (sender.shift(), receiver.shift());
        } else if sender.is_liberal() && receiver.is_liberal() {
            (own, others) = (LARGEST_SCALE, LARGEST_SCALE);
        }
    }
    let mut window = segment.window;
    let mut end = segment.end();
    let mut checks_skew = true;
    if sender.state < TcpState::SynSent {
        // The first segment of this end.
        if segment.has(SYN) && receiver.scales() {
            sender.scale = segment.scale;
            if sender.scales() {
                (own, others) = (sender.shift(), receiver.shift());
                window = unscaled(window, own);
            } else {
                // Without both nobody scales: what the other end offered was meant as it was.
                receiver.window <<= receiver.shift();
                receiver.scale = 0;
            }
        }
        sender.low = segment.sequence;
        sender.state = TcpState::SynSent;
        let allowed = end.wrapping_add((u32::from(receiver.window) << others).max(1));
        if sender.high == 1 || reaches(allowed, sender.high) {
            // A connection is picked up, new or not: what it acknowledges can't be judged yet.
            sender.high = allowed;
            checks_skew = false;
        }
        sender.window = sender.window.max(window);
    }
    let mut acknowledgement = segment.acknowledgement;
    let unset = acknowledgement == 0 && segment.flags & (ACK | RST) == ACK | RST;
    if !segment.has(ACK) || unset {
        acknowledgement = receiver.low;
    }
    let mut start = segment.sequence;
    if start == end {
        // Nothing is sent: where it would be does not matter.
        (start, end) = (sender.low, sender.low);
    }
    let skew = if checks_skew { receiver.low.wrapping_sub(acknowledgement) as i32 } else { 0 };
    // Resets must hit the number exactly, give or take one.
    let exact = segment.sequence.wrapping_sub(sender.low).wrapping_add(1) <= 2;
    let fits = reaches(sender.high, end)
        && reaches(start, sender.low.wrapping_sub(u32::from(receiver.window) << others))
        && skew >= -(SLACK as i32)
        && i64::from(skew) <= i64::from(SLACK) << own
        && (!segment.has(RST) || exact);
    if fits || liberal {
        slide(sender, receiver, (window, own), end, acknowledgement);
        if segment.has(FIN) && sender.state < TcpState::Closing {
            sender.state = TcpState::Closing;
        }
        if segment.has(ACK) {
            match receiver.state {
                TcpState::SynSent => receiver.state = TcpState::Established,
                TcpState::Closing => receiver.state = TcpState::FinWait2,
                _ => {}
            }
        }
        if segment.has(RST) {
            (sender.state, receiver.state) = (TcpState::TimeWait, TcpState::TimeWait);
        }
        return Update::Valid(Some(timeout(sender.state, receiver.state)));
    }
    // SYNs of both ends at once, connections that were picked up, and what comes behind the end of one. Their time is not
    // renewed: a flood of such does not keep a connection alive.
    let between = receiver.state < TcpState::SynSent
        || receiver.state >= TcpState::FinWait2
        || sender.state >= TcpState::FinWait2;
    if between
        && reaches(sender.high.wrapping_add(SLACK), end)
        && reaches(start, sender.low.wrapping_sub(SLACK))
    {
        slide(sender, receiver, (window, own), end, acknowledgement);
        if segment.has(FIN) && sender.state < TcpState::Closing {
            sender.state = TcpState::Closing;
        }
        if segment.has(RST) {
            (sender.state, receiver.state) = (TcpState::TimeWait, TcpState::TimeWait);
        }
        return Update::Valid(None);
    }
    Update::Invalid
}

/// Takes over what was sent and what the other end may send now.
fn slide(sender: &mut Peer, receiver: &mut Peer, (window, shift): (u16, u8), end: u32, acknowledgement: u32) {
    sender.window = sender.window.max(window);
    if after(end, sender.low) {
        sender.low = end;
    }
    let window = u32::from(window) << shift;
    if reaches(acknowledgement.wrapping_add(window), receiver.high) {
        receiver.high = acknowledgement.wrapping_add(window.max(1));
    }
}

/// How long a connection in these states lives without packets.
fn timeout(sender: TcpState, receiver: TcpState) -> Timeout {
    let (least, most) = (sender.min(receiver), sender.max(receiver));
    if least >= TcpState::FinWait2 {
        Timeout::TcpClosed
    } else if least >= TcpState::Closing {
        Timeout::TcpFinWait
    } else if least < TcpState::Established {
        Timeout::TcpOpening
    } else if most >= TcpState::Closing {
        Timeout::TcpClosing
    } else {
        Timeout::TcpEstablished
    }
}
