//! DHCPv6 as far as a guard must see it: who says what (RFC 8415 sections 7.3 to 9). A view only.
//!
//! Deliberately absent: a repr, and the inside of relayed messages.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, need, span, truncated};
use crate::number::named;

named! {
    /// What a message says (RFC 8415 section 7.3).
    Message(u8) {
        /// A client looks for servers.
        SOLICIT = 1, "solicit";
        /// A server offers.
        ADVERTISE = 2, "advertise";
        /// A client asks.
        REQUEST = 3, "request";
        /// A client asks whether its addresses fit the link.
        CONFIRM = 4, "confirm";
        /// A client asks its server for more time.
        RENEW = 5, "renew";
        /// A client asks any server for more time.
        REBIND = 6, "rebind";
        /// A server answers.
        REPLY = 7, "reply";
        /// A client gives addresses back.
        RELEASE = 8, "release";
        /// A client found an address in use.
        DECLINE = 9, "decline";
        /// A server wants its client to ask again.
        RECONFIGURE = 10, "reconfigure";
        /// A client asks for anything but addresses.
        INFORMATION_REQUEST = 11, "information request";
        /// A relay passes a client's message on.
        RELAY_FORWARD = 12, "relay forward";
        /// A server answers through a relay.
        RELAY_REPLY = 13, "relay reply";
    }
}

impl Message {
    /// Whether only servers may say so.
    #[must_use]
    pub const fn is_from_server(self) -> bool {
        matches!(self, Self::ADVERTISE | Self::REPLY | Self::RECONFIGURE | Self::RELAY_REPLY)
    }

    /// Whether the message has the header of relays.
    #[must_use]
    pub const fn is_relayed(self) -> bool {
        matches!(self, Self::RELAY_FORWARD | Self::RELAY_REPLY)
    }
}

/// Length of the header of relays in bytes.
const RELAY_LEN: usize = 34;

view! {
    /// A DHCPv6 message, behind UDP.
    Dhcpv6, 4 bytes, check;
    /// What the message says.
    message: Message [0];
    /// Names the exchange, 24 bits; means nothing in a relayed message.
    transaction: u32 [0, u32, 0, 0xff_ffff];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    need(HeaderKind::Dhcpv6, bytes, header_len(Message::read(bytes, 0)))
}

const fn header_len(message: Message) -> usize {
    if message.is_relayed() { RELAY_LEN } else { 4 }
}

impl<T: AsRef<[u8]>> View<T> {
    /// Walks the options.
    #[must_use]
    pub fn options(&self) -> Options<'_> {
        Options(span(self.as_bytes(), header_len(self.message()), usize::MAX))
    }
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its number (RFC 8415 section 21).
    pub code: u16,
    /// What it says.
    pub data: &'a [u8],
}

/// Walks options; stops after the first malformed one.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let whole = std::mem::take(&mut self.0);
        if whole.is_empty() {
            return None;
        }
        let length = 4 + usize::from(u16::read(whole, 2));
        Some(match whole.split_at_checked(length) {
            Some((item, rest)) => {
                self.0 = rest;
                Ok(Item { code: u16::read(item, 0), data: span(item, 4, length) })
            }
            None => Err(truncated(HeaderKind::Dhcpv6, length, whole.len())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_relays_are_told_apart() {
        let reply = [7, 1, 2, 3, 0, 1, 0, 2, 9, 9];
        let view = View::new_checked(&reply).unwrap();
        assert!(view.message().is_from_server());
        assert_eq!(view.transaction(), 0x01_0203);
        assert_eq!(view.options().map(Result::unwrap).next(), Some(Item { code: 1, data: &[9, 9] }));
        assert!(!Message::SOLICIT.is_from_server());
        assert!(View::new_checked([12; 33]).is_err());
        assert!(View::new_checked([12; 34]).unwrap().message().is_relayed());
    }
}
