//! Generic netlink: finding a family by its name.

use super::{Messages, NetlinkError, Protocol, Socket};
use rustix::io::Errno;

/// `GENL_ID_CTRL` (linux/genetlink.h).
const CONTROLLER: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// A generic netlink family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The message type of the family, given out by the kernel at boot.
    pub id: u16,
}

impl Family {
    /// Begins a request of this family.
    pub fn request<'a>(
        self,
        messages: &'a mut Messages,
        command: u8,
        version: u8,
        flags: u16,
    ) -> super::Message<'a> {
        let mut message = messages.add(self.id, flags);
        message.header(&[command, version, 0, 0]);
        message
    }
}

/// Asks the kernel for a family; loads its module where the kernel can.
///
/// # Errors
/// [`NetlinkError::NoFamily`] when there is none.
pub fn family(socket: &mut Socket, name: &str) -> Result<Family, NetlinkError> {
    let mut messages = Messages::new();
    messages.add(CONTROLLER, 0).header(&[CTRL_CMD_GETFAMILY, 1, 0, 0]).text(CTRL_ATTR_FAMILY_NAME, name);
    let replies = match socket.request(&mut messages) {
        Err(error) if error.errno() == Some(Errno::NOENT) => {
            return Err(NetlinkError::NoFamily(name.to_owned()));
        }
        other => other?,
    };
    let id = replies.iter().find_map(|reply| reply.attributes(4).get(CTRL_ATTR_FAMILY_ID)?.u16());
    id.map(|id| Family { id }).ok_or(NetlinkError::Malformed)
}

/// Opens a socket for generic netlink and finds the family.
///
/// # Errors
/// As [`family`], or a failing socket.
#[allow(dead_code)]
pub(crate) fn open(name: &str) -> Result<(Socket, Family), NetlinkError> {
    let mut socket = Socket::open(Protocol::Generic)?;
    let family = family(&mut socket, name)?;
    Ok((socket, family))
}
