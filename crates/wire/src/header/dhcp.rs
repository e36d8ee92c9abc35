//! DHCP as far as a guard must see it: who says what to whom (RFC 2131, RFC 2132). A view only.
//!
//! Deliberately absent: a repr, option overload (RFC 2132 section 9.3) and long options (RFC 3396): a guard decides by
//! the first message type in the options field.

use super::field::{Field, view};
use super::{HeaderKind, Malformed, illegal, span, truncated};
use crate::MacAddr;
use crate::number::named;
use std::net::Ipv4Addr;

/// Length of the fixed part with the magic cookie, in bytes.
pub const HEADER_LEN: usize = 240;

/// Operation of a client.
pub const OPERATION_REQUEST: u8 = 1;
/// Operation of a server.
pub const OPERATION_REPLY: u8 = 2;

const COOKIE: u32 = 0x6382_5363;

named! {
    /// What a message says (RFC 2132 section 9.6).
    Message(u8) {
        /// A client looks for servers.
        DISCOVER = 1, "discover";
        /// A server offers an address.
        OFFER = 2, "offer";
        /// A client asks for an address.
        REQUEST = 3, "request";
        /// A client found the address in use.
        DECLINE = 4, "decline";
        /// A server gives the address.
        ACK = 5, "ack";
        /// A server refuses.
        NAK = 6, "nak";
        /// A client gives the address back.
        RELEASE = 7, "release";
        /// A client asks for anything but an address.
        INFORM = 8, "inform";
    }
}

impl Message {
    /// Whether only servers and relays may say so.
    #[must_use]
    pub const fn is_from_server(self) -> bool {
        matches!(self, Self::OFFER | Self::ACK | Self::NAK)
    }
}

view! {
    /// A DHCP message, behind UDP.
    Dhcp, 240 bytes, check;
    /// [`OPERATION_REQUEST`] or [`OPERATION_REPLY`].
    operation: u8 [0];
    /// Kind of the client's hardware address: 1 for Ethernet.
    hardware_type: u8 [1];
    /// Relays passed.
    hops / set_hops: u8 [3];
    /// Names the exchange.
    transaction: u32 [4];
    /// The client wants the answer by broadcast.
    broadcast / set_broadcast: bool [10, u8, 7, 0x1];
    /// The address that the client has.
    client_ip: Ipv4Addr [12];
    /// The address that the client gets.
    your_ip: Ipv4Addr [16];
    /// The server to boot from.
    server_ip: Ipv4Addr [20];
    /// The relay that passed the message.
    relay_ip / set_relay_ip: Ipv4Addr [24];
    /// The client's MAC address.
    client_mac: MacAddr [28];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let operation = u8::read(bytes, 0);
    if !matches!(operation, OPERATION_REQUEST | OPERATION_REPLY) {
        return Err(illegal(HeaderKind::Dhcp, "operation", operation));
    }
    let cookie = u32::read(bytes, 236);
    if cookie == COOKIE { Ok(()) } else { Err(illegal(HeaderKind::Dhcp, "magic cookie", cookie)) }
}

impl<T: AsRef<[u8]>> View<T> {
    /// Walks the options.
    #[must_use]
    pub fn options(&self) -> Options<'_> {
        Options(span(self.as_bytes(), HEADER_LEN, usize::MAX))
    }

    /// What the message says; `None` for BOOTP, which has no such option, and for options that cannot be walked so far.
    #[must_use]
    pub fn message(&self) -> Option<Message> {
        self.options().flatten().find_map(|item| match item {
            Item { code: 53, data: [message] } => Some(Message(*message)),
            _ => None,
        })
    }

    /// Whether a server or a relay speaks: by its operation or by its message, so that neither alone can hide it.
    #[must_use]
    pub fn is_from_server(&self) -> bool {
        self.operation() == OPERATION_REPLY || self.message().is_some_and(Message::is_from_server)
    }
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its number (RFC 2132).
    pub code: u8,
    /// What it says.
    pub data: &'a [u8],
}

/// Walks options up to their end; stops after the first malformed one.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let whole = std::mem::take(&mut self.0);
            let (&code, rest) = whole.split_first()?;
            match code {
                0 => self.0 = rest,
                255 => return None,
                _ => {
                    let length = 1 + usize::from(rest.first().copied().unwrap_or(0));
                    return Some(match rest.split_at_checked(length) {
                        Some((item, after)) => {
                            self.0 = after;
                            Ok(Item { code, data: span(item, 1, length) })
                        }
                        None => Err(truncated(HeaderKind::Dhcp, length, rest.len())),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(operation: u8, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[0] = operation;
        bytes[236..].copy_from_slice(&COOKIE.to_be_bytes());
        bytes.extend(options);
        bytes
    }

    #[test]
    fn a_server_is_known_by_either_sign() {
        let offer = message(OPERATION_REPLY, &[0, 12, 1, 65, 53, 1, 2, 255]);
        let view = View::new_checked(&offer).unwrap();
        assert_eq!(view.message(), Some(Message::OFFER));
        assert!(view.is_from_server());
        let disguised = message(OPERATION_REQUEST, &[53, 1, 5]);
        assert!(View::new_checked(&disguised).unwrap().is_from_server());
        let discover = message(OPERATION_REQUEST, &[53, 1, 1, 255]);
        assert!(!View::new_checked(&discover).unwrap().is_from_server());
        let broken = message(OPERATION_REQUEST, &[12, 200, 1, 53, 1, 1]);
        assert_eq!(View::new_checked(&broken).unwrap().message(), None);
        assert!(View::new_checked(&message(3, &[])).is_err());
        assert!(View::new_checked([0; HEADER_LEN]).is_err());
    }
}
