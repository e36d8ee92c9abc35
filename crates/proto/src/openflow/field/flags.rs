//! Bits of fields that are sets of flags, with the names that OVS's tools give them.

/// A bit and its name.
pub type Flag = (u16, &'static str);

/// Bits of `ct_state`.
pub const CT_STATE: [Flag; 8] = [
    (CT_NEW, "new"),
    (CT_ESTABLISHED, "est"),
    (CT_RELATED, "rel"),
    (CT_REPLY, "rpl"),
    (CT_INVALID, "inv"),
    (CT_TRACKED, "trk"),
    (CT_SOURCE_NAT, "snat"),
    (CT_DESTINATION_NAT, "dnat"),
];
/// The connection is not committed.
pub const CT_NEW: u16 = 0x01;
/// The connection is committed and was answered.
pub const CT_ESTABLISHED: u16 = 0x02;
/// The connection was brought about by another one.
pub const CT_RELATED: u16 = 0x04;
/// The packet is of the reply direction.
pub const CT_REPLY: u16 = 0x08;
/// The packet fits no connection.
pub const CT_INVALID: u16 = 0x10;
/// The packet went through the connection tracker.
pub const CT_TRACKED: u16 = 0x20;
/// The source was translated.
pub const CT_SOURCE_NAT: u16 = 0x40;
/// The destination was translated.
pub const CT_DESTINATION_NAT: u16 = 0x80;

/// Bits of `tun_flags` (`NX_TUN_FLAG_OAM`).
pub const TUNNEL: [Flag; 1] = [(TUNNEL_OAM, "oam")];
/// An operations packet of a Geneve tunnel.
pub const TUNNEL_OAM: u16 = 1;

/// Bits of `tcp_flags`, lowest first (RFC 9293 section 3.1, RFC 3540).
pub const TCP: [Flag; 12] = [
    (0x001, "fin"),
    (0x002, "syn"),
    (0x004, "rst"),
    (0x008, "psh"),
    (0x010, "ack"),
    (0x020, "urg"),
    (0x040, "ece"),
    (0x080, "cwr"),
    (0x100, "ns"),
    (0x200, "[200]"),
    (0x400, "[400]"),
    (0x800, "[800]"),
];

/// Bit of `ip_frag`: the packet is a fragment.
pub const FRAGMENT_ANY: u8 = 1;
/// Bit of `ip_frag`: the fragment is not the first.
pub const FRAGMENT_LATER: u8 = 2;

/// Bit of `vlan_tci` and `vlan_vid`: there is a tag.
pub const VLAN_PRESENT: u16 = 0x1000;
