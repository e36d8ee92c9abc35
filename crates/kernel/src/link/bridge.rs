//! Bridges (`IFLA_BR_*`, linux/if_link.h).
//!
//! Times: netlink speaks clock ticks of 1/100 s here (`clock_t`), which are the description's centiseconds.

use crate::netlink::{Attributes, Message};
use netloom_compile::object::BridgeOptions;

const IFLA_BR_FORWARD_DELAY: u16 = 1;
const IFLA_BR_HELLO_TIME: u16 = 2;
const IFLA_BR_MAX_AGE: u16 = 3;
const IFLA_BR_AGEING_TIME: u16 = 4;
const IFLA_BR_STP_STATE: u16 = 5;
const IFLA_BR_PRIORITY: u16 = 6;
const IFLA_BR_VLAN_FILTERING: u16 = 7;
const IFLA_BR_ROOT_ID: u16 = 10;
const IFLA_BR_BRIDGE_ID: u16 = 11;
const IFLA_BR_TOPOLOGY_CHANGE: u16 = 14;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BR_MCAST_QUERIER: u16 = 25;
const IFLA_BR_VLAN_DEFAULT_PVID: u16 = 39;

pub(super) fn write(m: &mut Message<'_>, options: &BridgeOptions) {
    let wide = [
        (IFLA_BR_FORWARD_DELAY, options.forward_delay),
        (IFLA_BR_HELLO_TIME, options.hello_time),
        (IFLA_BR_MAX_AGE, options.max_age),
        (IFLA_BR_AGEING_TIME, options.ageing_time),
    ];
    for (kind, value) in wide {
        if let Some(value) = value {
            m.u32(kind, value);
        }
    }
    m.u32(IFLA_BR_STP_STATE, u32::from(options.stp));
    if let Some(priority) = options.priority {
        m.u16(IFLA_BR_PRIORITY, priority);
    }
    if options.vlan_filtering || options.default_pvid.is_some() {
        if let Some(pvid) = options.default_pvid {
            m.u16(IFLA_BR_VLAN_DEFAULT_PVID, pvid);
        }
        m.u8(IFLA_BR_VLAN_FILTERING, u8::from(options.vlan_filtering));
    }
    let switches = [
        (IFLA_BR_MCAST_SNOOPING, options.multicast_snooping),
        (IFLA_BR_MCAST_QUERIER, options.multicast_querier),
    ];
    for (kind, value) in switches {
        if let Some(value) = value {
            m.u8(kind, u8::from(value));
        }
    }
}

/// All but the VLANs of the bridge itself, which are asked for separately.
///
/// With spanning tree the kernel shows the times of the root bridge instead of those that were set
/// (`br_record_config_timeout_values`, net/bridge/br_stp.c), and while the tree changes twice the forward delay
/// instead of the ageing time (`__br_set_topology_change`). What was set can't be read then: it is `None`.
pub(super) fn read(data: Attributes<'_>) -> BridgeOptions {
    let mut options = BridgeOptions::default();
    for attribute in data {
        match attribute.kind {
            IFLA_BR_FORWARD_DELAY => options.forward_delay = attribute.u32(),
            IFLA_BR_HELLO_TIME => options.hello_time = attribute.u32(),
            IFLA_BR_MAX_AGE => options.max_age = attribute.u32(),
            IFLA_BR_AGEING_TIME => options.ageing_time = attribute.u32(),
            IFLA_BR_STP_STATE => options.stp = attribute.u32().is_some_and(|state| state != 0),
            IFLA_BR_PRIORITY => options.priority = attribute.u16(),
            IFLA_BR_VLAN_FILTERING => options.vlan_filtering = attribute.u8() == Some(1),
            IFLA_BR_VLAN_DEFAULT_PVID => options.default_pvid = attribute.u16(),
            IFLA_BR_MCAST_SNOOPING => options.multicast_snooping = attribute.u8().map(|on| on != 0),
            IFLA_BR_MCAST_QUERIER => options.multicast_querier = attribute.u8().map(|on| on != 0),
            _ => {}
        }
    }
    if options.stp {
        let octets = |kind| data.get(kind).map(|attribute| attribute.value);
        if octets(IFLA_BR_ROOT_ID) != octets(IFLA_BR_BRIDGE_ID) {
            (options.forward_delay, options.hello_time, options.max_age) = (None, None, None);
        }
        if data.get(IFLA_BR_TOPOLOGY_CHANGE).and_then(|on| on.u8()) == Some(1) {
            options.ageing_time = None;
        }
    }
    options
}

/// Whether the bridge filters VLANs.
pub(crate) fn filters_vlans(data: Attributes<'_>) -> bool {
    data.get(IFLA_BR_VLAN_FILTERING).and_then(|on| on.u8()) == Some(1)
}
