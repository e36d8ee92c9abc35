//! TUN and TAP interfaces: made by ioctl on `/dev/net/tun`, read by netlink (`IFLA_TUN_*`).

use crate::error::KernelError;
use crate::netlink::Attributes;
use crate::sys;
use netloom_compile::object::{LinkKind, TunTapOptions};
use netloom_wire::InterfaceName;
use rustix::fs::{Mode, OFlags};
use std::os::fd::OwnedFd;

const IFLA_TUN_OWNER: u16 = 1;
const IFLA_TUN_GROUP: u16 = 2;
const IFLA_TUN_TYPE: u16 = 3;
const IFLA_TUN_VNET_HDR: u16 = 5;
const IFLA_TUN_MULTI_QUEUE: u16 = 7;

const DEVICE: &str = "/dev/net/tun";

pub(super) fn read(data: Attributes<'_>) -> Option<LinkKind> {
    let on = |kind| data.get(kind).and_then(|value| value.u8()).is_some_and(|value| value != 0);
    let options = TunTapOptions {
        multi_queue: on(IFLA_TUN_MULTI_QUEUE),
        vnet_header: on(IFLA_TUN_VNET_HDR),
        user: data.get(IFLA_TUN_OWNER).and_then(|value| value.u32()),
        group: data.get(IFLA_TUN_GROUP).and_then(|value| value.u32()),
    };
    match i32::from(data.get(IFLA_TUN_TYPE)?.u8()?) {
        libc::IFF_TUN => Some(LinkKind::Tun(options)),
        libc::IFF_TAP => Some(LinkKind::Tap(options)),
        _ => None,
    }
}

/// An interface that ends with this value unless it is told to persist.
#[derive(Debug)]
pub(crate) struct Attached(OwnedFd);

/// Makes the interface in the calling thread's namespace, not persistent yet: so it can be marked before
/// it can outlive a kill.
pub(crate) fn make(name: &InterfaceName, kind: &LinkKind) -> Result<Option<Attached>, KernelError> {
    let (layer, options) = match kind {
        LinkKind::Tap(options) => (libc::IFF_TAP, options),
        LinkKind::Tun(options) => (libc::IFF_TUN, options),
        _ => return Ok(None),
    };
    let error = |doing: &'static str| move |error| KernelError::io(doing, DEVICE, error);
    let tun =
        rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(error("opening"))?;
    let mut flags = layer | libc::IFF_NO_PI;
    for (on, flag) in
        [(options.multi_queue, libc::IFF_MULTI_QUEUE), (options.vnet_header, libc::IFF_VNET_HDR)]
    {
        flags |= if on { flag } else { 0 };
    }
    sys::tun_attach(&tun, name.as_str(), flags as u16).map_err(error("making an interface with"))?;
    if let Some(user) = options.user {
        sys::tun_owner(&tun, user).map_err(error("setting the owner with"))?;
    }
    if let Some(group) = options.group {
        sys::tun_group(&tun, group).map_err(error("setting the group with"))?;
    }
    Ok(Some(Attached(tun)))
}

impl Attached {
    /// Lets the interface stay.
    pub(crate) fn persist(self) -> Result<(), KernelError> {
        sys::tun_persist(&self.0, true)
            .map_err(|error| KernelError::io("keeping an interface with", DEVICE, error))
    }
}
