//! BFD control packets (RFC 5880 section 4.1). The authentication section is seen but not verified.
//!
//! Invariants: after `new_checked` the packet has passed the tests of RFC 5880 section 6.8.6 that need no session.

use super::field::{Bits, Field, view};
use super::{HeaderKind, Malformed, blank, fits, illegal, put, span, truncated};
use crate::number::named;

/// Length of a packet without authentication, in bytes.
pub const HEADER_LEN: usize = 24;

named! {
    /// Why the session changed its state last (RFC 5880 section 4.1).
    Diagnostic(u8) {
        /// No reason.
        NONE = 0, "no diagnostic";
        /// Nothing was heard in time.
        DETECTION_TIME_EXPIRED = 1, "control detection time expired";
        /// Echoes did not come back.
        ECHO_FAILED = 2, "echo function failed";
        /// The neighbour says that it is down.
        NEIGHBOR_DOWN = 3, "neighbour signalled session down";
        /// The forwarding plane was reset.
        FORWARDING_RESET = 4, "forwarding plane reset";
        /// The path is down.
        PATH_DOWN = 5, "path down";
        /// A path that this one is joined with is down.
        CONCATENATED_PATH_DOWN = 6, "concatenated path down";
        /// Somebody switched it off.
        ADMINISTRATIVELY_DOWN = 7, "administratively down";
        /// A path that this one is joined with is down in the other direction.
        REVERSE_CONCATENATED_PATH_DOWN = 8, "reverse concatenated path down";
    }
}

impl Bits for Diagnostic {
    fn from_bits(bits: u64) -> Self {
        Self(u8::from_bits(bits))
    }
    fn to_bits(self) -> u64 {
        u64::from(self.0)
    }
}

/// State of a session (RFC 5880 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Switched off.
    AdminDown,
    /// Nothing heard.
    Down,
    /// Heard, but the peer has not heard back.
    Init,
    /// Both hear each other.
    Up,
}

impl Bits for State {
    fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
    fn to_bits(self) -> u64 {
        self as u64
    }
}

view! {
    /// A BFD control packet.
    Bfd, 24 bytes, check;
    /// Version: 1.
    version: u8 [0, u8, 5, 0x7];
    /// Why the session changed its state last.
    diagnostic / set_diagnostic: Diagnostic [0, u8, 0, 0x1f];
    /// State of the sender's session.
    state / set_state: State [1, u8, 6, 0x3];
    /// The sender wants an answer at once (flag P).
    poll / set_poll: bool [1, u8, 5, 0x1];
    /// The answer to a poll (flag F).
    is_final / set_is_final: bool [1, u8, 4, 0x1];
    /// The sender's BFD does not share the fate of its control plane (flag C).
    control_plane_independent / set_control_plane_independent: bool [1, u8, 3, 0x1];
    /// An authentication section follows (flag A).
    has_authentication: bool [1, u8, 2, 0x1];
    /// The sender wants to be sent nothing but answers (flag D).
    demand / set_demand: bool [1, u8, 1, 0x1];
    /// How many packets may be missed.
    detection_multiplier / set_detection_multiplier: u8 [2];
    /// Length of the packet in bytes.
    length: u8 [3];
    /// Names the session to its sender.
    my_discriminator / set_my_discriminator: u32 [4];
    /// Names the session to its receiver; 0 as long as it is not known.
    your_discriminator / set_your_discriminator: u32 [8];
    /// The sender sends no faster than this, in microseconds.
    desired_min_tx_interval / set_desired_min_tx_interval: u32 [12];
    /// The sender hears no faster than this, in microseconds.
    required_min_rx_interval / set_required_min_rx_interval: u32 [16];
    /// The sender returns echoes no faster than this, in microseconds; 0 when it returns none.
    required_min_echo_rx_interval / set_required_min_echo_rx_interval: u32 [20];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let view = View::new_unchecked(bytes);
    let wrong = |field: &'static str, value: u8| Err(illegal(HeaderKind::Bfd, field, value));
    if view.version() != 1 {
        return wrong("version", view.version());
    }
    let length = view.length();
    let least = if view.has_authentication() { HEADER_LEN + 2 } else { HEADER_LEN };
    if usize::from(length) < least {
        return wrong("length", length);
    }
    if usize::from(length) > bytes.len() {
        return Err(truncated(HeaderKind::Bfd, usize::from(length), bytes.len()));
    }
    if view.detection_multiplier() == 0 {
        return wrong("detection multiplier", 0);
    }
    if u8::read(bytes, 1) & 1 != 0 {
        return wrong("multipoint flag", 1);
    }
    if view.my_discriminator() == 0 {
        return wrong("my discriminator", 0);
    }
    if view.your_discriminator() == 0 && !matches!(view.state(), State::Down | State::AdminDown) {
        return wrong("your discriminator", 0);
    }
    let authentication = u8::read(bytes, 25);
    if view.has_authentication()
        && (authentication < 2 || HEADER_LEN + usize::from(authentication) > usize::from(length))
    {
        return wrong("authentication length", authentication);
    }
    Ok(())
}

/// An authentication section (RFC 5880 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Authentication<'a> {
    /// How the packet is authenticated.
    pub kind: u8,
    /// What the kind defines. Legal lengths: 0 to 229 bytes.
    pub data: &'a [u8],
}

/// The meaning of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr<'a> {
    /// Why the session changed its state last. Legal values: 0 to 31.
    pub diagnostic: Diagnostic,
    /// State of the sender's session.
    pub state: State,
    /// The sender wants an answer at once.
    pub poll: bool,
    /// The answer to a poll.
    pub is_final: bool,
    /// The sender's BFD does not share the fate of its control plane.
    pub control_plane_independent: bool,
    /// The sender wants to be sent nothing but answers.
    pub demand: bool,
    /// How many packets may be missed. Legal values: 1 to 255.
    pub detection_multiplier: u8,
    /// Names the session to its sender. Legal values: all but 0.
    pub my_discriminator: u32,
    /// Names the session to its receiver. Legal values: all; 0 only in the states Down and AdminDown.
    pub your_discriminator: u32,
    /// The sender sends no faster than this, in microseconds.
    pub desired_min_tx_interval: u32,
    /// The sender hears no faster than this, in microseconds.
    pub required_min_rx_interval: u32,
    /// The sender returns echoes no faster than this, in microseconds; 0 when it returns none.
    pub required_min_echo_rx_interval: u32,
    /// The authentication section, if there is one.
    pub authentication: Option<Authentication<'a>>,
}

impl<'a> Repr<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    /// None: every checked packet is legal.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(view: &View<&'a T>) -> Result<Self, Malformed> {
        let bytes = view.into_inner().as_ref();
        let end = HEADER_LEN + usize::from(u8::read(bytes, 25));
        Ok(Self {
            diagnostic: view.diagnostic(),
            state: view.state(),
            poll: view.poll(),
            is_final: view.is_final(),
            control_plane_independent: view.control_plane_independent(),
            demand: view.demand(),
            detection_multiplier: view.detection_multiplier(),
            my_discriminator: view.my_discriminator(),
            your_discriminator: view.your_discriminator(),
            desired_min_tx_interval: view.desired_min_tx_interval(),
            required_min_rx_interval: view.required_min_rx_interval(),
            required_min_echo_rx_interval: view.required_min_echo_rx_interval(),
            authentication: view.has_authentication().then(|| Authentication {
                kind: u8::read(bytes, HEADER_LEN),
                data: span(bytes, HEADER_LEN + 2, end),
            }),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub fn buffer_len(&self) -> usize {
        HEADER_LEN + self.authentication.map_or(0, |section| 2 + section.data.len())
    }

    /// Writes the packet to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed`] when `buffer` is too short or a value is not legal.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let length = self.buffer_len();
        fits(HeaderKind::Bfd, "diagnostic", self.diagnostic.0, 31)?;
        fits(HeaderKind::Bfd, "length", length as u64, 255)?;
        let bytes = blank(HeaderKind::Bfd, buffer, length)?;
        let authentication = u8::from(self.authentication.is_some()) << 2;
        [1 << 5, authentication, self.detection_multiplier, length as u8].write(bytes, 0);
        if let Some(section) = self.authentication {
            [section.kind, (2 + section.data.len()) as u8].write(bytes, HEADER_LEN);
            put(bytes, HEADER_LEN + 2, section.data);
        }
        let mut view = View::new_unchecked(&mut *bytes);
        view.set_diagnostic(self.diagnostic);
        view.set_state(self.state);
        view.set_poll(self.poll);
        view.set_is_final(self.is_final);
        view.set_control_plane_independent(self.control_plane_independent);
        view.set_demand(self.demand);
        view.set_my_discriminator(self.my_discriminator);
        view.set_your_discriminator(self.your_discriminator);
        view.set_desired_min_tx_interval(self.desired_min_tx_interval);
        view.set_required_min_rx_interval(self.required_min_rx_interval);
        view.set_required_min_echo_rx_interval(self.required_min_echo_rx_interval);
        check(bytes)?;
        Ok(length)
    }
}
