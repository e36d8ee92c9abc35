//! Offloads and queues of an interface (generic netlink family `ethtool`, linux/ethtool_netlink.h).
//!
//! What: features by the names that `ethtool -k` shows, and the number of channels: combined ones where the
//! driver has them, else as many for receiving as for sending (veth).

use crate::netlink::{Attribute, Family, Messages, NetlinkError, Socket, family};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const FAMILY: &str = "ethtool";
const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
const ETHTOOL_MSG_CHANNELS_GET: u8 = 17;
const ETHTOOL_MSG_CHANNELS_SET: u8 = 18;

const ETHTOOL_A_HEADER: u16 = 1;
const ETHTOOL_A_HEADER_DEV_NAME: u16 = 2;

const ETHTOOL_A_FEATURES_WANTED: u16 = 3;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
const ETHTOOL_A_BITSET_BIT_VALUE: u16 = 3;

const ETHTOOL_A_CHANNELS_COMBINED_MAX: u16 = 5;
const ETHTOOL_A_CHANNELS_RX_COUNT: u16 = 6;
const ETHTOOL_A_CHANNELS_TX_COUNT: u16 = 7;
const ETHTOOL_A_CHANNELS_COMBINED_COUNT: u16 = 9;

fn request(family: Family, messages: &mut Messages, command: u8, name: &str) {
    family.request(messages, command, 1, 0).nest(ETHTOOL_A_HEADER, |header| {
        header.text(ETHTOOL_A_HEADER_DEV_NAME, name);
    });
}

/// The features of `name` that are on; all others are off or unknown.
///
/// # Errors
/// When the kernel has no ethtool netlink, or there is no such interface.
pub fn features(socket: &mut Socket, name: &str) -> Result<BTreeSet<Arc<str>>, NetlinkError> {
    let family = family(socket, FAMILY)?;
    let mut messages = Messages::new();
    request(family, &mut messages, ETHTOOL_MSG_FEATURES_GET, name);
    let replies = socket.request(&mut messages)?;
    let mut active = BTreeSet::new();
    for reply in replies.iter() {
        let bits = reply.attributes(4).get(ETHTOOL_A_FEATURES_ACTIVE).map(Attribute::nested);
        let bits = bits.and_then(|bitset| bitset.get(ETHTOOL_A_BITSET_BITS)).map(Attribute::nested);
        active.extend(
            bits.into_iter()
                .flatten()
                .filter_map(|bit| bit.nested().get(ETHTOOL_A_BITSET_BIT_NAME)?.text().map(Arc::from)),
        );
    }
    Ok(active)
}

/// The number of channels of `name`; `None` where the driver has no such notion.
///
/// # Errors
/// When the kernel has no ethtool netlink, or there is no such interface.
pub fn channels(socket: &mut Socket, name: &str) -> Result<Option<u32>, NetlinkError> {
    Ok(read_channels(socket, name)?.map(|(count, _)| count))
}

/// The number of channels, and whether they are combined ones.
fn read_channels(socket: &mut Socket, name: &str) -> Result<Option<(u32, bool)>, NetlinkError> {
    let family = family(socket, FAMILY)?;
    let mut messages = Messages::new();
    request(family, &mut messages, ETHTOOL_MSG_CHANNELS_GET, name);
    let replies = match socket.request(&mut messages) {
        Err(error) if error.errno() == Some(Errno::OPNOTSUPP) => return Ok(None),
        other => other?,
    };
    Ok(replies.iter().find_map(|reply| {
        let attributes = reply.attributes(4);
        let number = |kind| attributes.get(kind).and_then(Attribute::u32).unwrap_or(0);
        if number(ETHTOOL_A_CHANNELS_COMBINED_MAX) > 0 {
            return Some((number(ETHTOOL_A_CHANNELS_COMBINED_COUNT), true));
        }
        let count = number(ETHTOOL_A_CHANNELS_RX_COUNT).min(number(ETHTOOL_A_CHANNELS_TX_COUNT));
        (count > 0).then_some((count, false))
    }))
}

/// Switches the named features of `name` on or off, and sets its number of channels if one is given.
///
/// # Errors
/// When the kernel does not know a feature, the driver can't change it, or there are fewer queues.
pub fn apply(
    socket: &mut Socket,
    name: &str,
    features: &BTreeMap<Arc<str>, bool>,
    channels: Option<u32>,
) -> Result<(), NetlinkError> {
    let family = family(socket, FAMILY)?;
    let mut messages = Messages::new();
    if !features.is_empty() {
        let mut message = family.request(&mut messages, ETHTOOL_MSG_FEATURES_SET, 1, 0);
        message.nest(ETHTOOL_A_HEADER, |header| {
            header.text(ETHTOOL_A_HEADER_DEV_NAME, name);
        });
        message.nest(ETHTOOL_A_FEATURES_WANTED, |bitset| {
            bitset.nest(ETHTOOL_A_BITSET_BITS, |bits| {
                for (feature, on) in features {
                    bits.nest(ETHTOOL_A_BITSET_BITS_BIT, |bit| {
                        bit.text(ETHTOOL_A_BITSET_BIT_NAME, feature);
                        if *on {
                            bit.flag(ETHTOOL_A_BITSET_BIT_VALUE);
                        }
                    });
                }
            });
        });
    }
    if let Some(count) = channels {
        let combined = read_channels(socket, name)?.is_none_or(|(_, combined)| combined);
        let mut message = family.request(&mut messages, ETHTOOL_MSG_CHANNELS_SET, 1, 0);
        message.nest(ETHTOOL_A_HEADER, |header| {
            header.text(ETHTOOL_A_HEADER_DEV_NAME, name);
        });
        if combined {
            message.u32(ETHTOOL_A_CHANNELS_COMBINED_COUNT, count);
        } else {
            message.u32(ETHTOOL_A_CHANNELS_RX_COUNT, count).u32(ETHTOOL_A_CHANNELS_TX_COUNT, count);
        }
    }
    for verdict in socket.batch(&mut messages)? {
        verdict?;
    }
    Ok(())
}
