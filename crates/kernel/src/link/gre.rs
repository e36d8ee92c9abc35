//! GRE and GRETAP over IPv4 and IPv6 (`IFLA_GRE_*`, linux/if_tunnel.h).

use crate::netlink::{Attributes, Message};
use netloom_compile::object::GreOptions;
use std::net::IpAddr;

const IFLA_GRE_IFLAGS: u16 = 2;
const IFLA_GRE_OFLAGS: u16 = 3;
const IFLA_GRE_IKEY: u16 = 4;
const IFLA_GRE_OKEY: u16 = 5;
const IFLA_GRE_LOCAL: u16 = 6;
const IFLA_GRE_REMOTE: u16 = 7;
const IFLA_GRE_TTL: u16 = 8;
const IFLA_GRE_FLAGS: u16 = 13;

const GRE_CSUM: u16 = 0x8000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQ: u16 = 0x1000;
/// No tunnel encapsulation limit option (RFC 2473): it costs 8 octets and many routers drop it.
const IP6_TNL_F_IGN_ENCAP_LIMIT: u32 = 1;

pub(super) fn write(m: &mut Message<'_>, options: &GreOptions) {
    let mut flags = 0;
    for (on, flag) in
        [(options.checksum, GRE_CSUM), (options.key.is_some(), GRE_KEY), (options.sequence, GRE_SEQ)]
    {
        flags |= if on { flag } else { 0 };
    }
    m.u16_be(IFLA_GRE_IFLAGS, flags).u16_be(IFLA_GRE_OFLAGS, flags);
    if let Some(key) = options.key {
        m.u32_be(IFLA_GRE_IKEY, key).u32_be(IFLA_GRE_OKEY, key);
    }
    if let Some(local) = options.local {
        m.ip(IFLA_GRE_LOCAL, local);
    }
    m.ip(IFLA_GRE_REMOTE, options.remote);
    if let Some(ttl) = options.ttl {
        m.u8(IFLA_GRE_TTL, ttl);
    }
    if options.is_v6() {
        m.u32(IFLA_GRE_FLAGS, IP6_TNL_F_IGN_ENCAP_LIMIT);
    }
}

pub(super) fn read(data: Attributes<'_>) -> Option<GreOptions> {
    let specified = |address: &IpAddr| !address.is_unspecified();
    let flags = data.get(IFLA_GRE_OFLAGS)?.u16_be()?;
    Some(GreOptions {
        local: data.get(IFLA_GRE_LOCAL).and_then(|address| address.ip()).filter(specified),
        remote: data.get(IFLA_GRE_REMOTE)?.ip()?,
        key: if flags & GRE_KEY == 0 { None } else { data.get(IFLA_GRE_OKEY)?.u32_be() },
        checksum: flags & GRE_CSUM != 0,
        sequence: flags & GRE_SEQ != 0,
        ttl: data.get(IFLA_GRE_TTL).and_then(|ttl| ttl.u8()),
    })
}
