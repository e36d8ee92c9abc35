//! veth pairs (`VETH_INFO_PEER`, linux/veth.h).

use super::{Names, RawLink, Surroundings, header, unknown};
use crate::netlink::Message;
use netloom_compile::object::LinkKind;
use netloom_wire::InterfaceName;

const VETH_INFO_PEER: u16 = 1;

/// The other end: its name, its namespace, its mark. The rest of it is its own operation's matter.
pub(super) fn write(m: &mut Message<'_>, peer: &InterfaceName, around: &Surroundings) {
    m.nest(VETH_INFO_PEER, |m| {
        m.header(&header(0, 0, 0, 0))
            .text(libc::IFLA_IFNAME, peer.as_str())
            .u32(libc::IFLA_GROUP, around.group);
        if let Some(fd) = around.peer_namespace {
            m.u32(libc::IFLA_NET_NS_FD, fd);
        }
    });
}

pub(super) fn read(raw: &RawLink<'_>, names: &dyn Names) -> Option<LinkKind> {
    Some(LinkKind::Veth { peer: unknown(names, raw)? })
}
