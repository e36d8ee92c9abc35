//! Feature bits of virtio-net and of the vhost-user protocol, and what we offer.

/// Whether a bit is set.
#[inline(always)]
pub(super) const fn has(features: u64, bit: u32) -> bool {
    features & (1 << bit) != 0
}

// Features of network devices (virtio 1.3, 5.1.3).
pub(super) const CSUM: u32 = 0;
pub(super) const GUEST_CSUM: u32 = 1;
pub(super) const GUEST_TSO4: u32 = 7;
pub(super) const GUEST_TSO6: u32 = 8;
pub(super) const GUEST_ECN: u32 = 9;
pub(super) const HOST_TSO4: u32 = 11;
pub(super) const HOST_TSO6: u32 = 12;
pub(super) const HOST_ECN: u32 = 13;
pub(super) const MRG_RXBUF: u32 = 15;
pub(super) const GUEST_ANNOUNCE: u32 = 21;
pub(super) const MQ: u32 = 22;
pub(super) const GUEST_USO4: u32 = 54;
pub(super) const GUEST_USO6: u32 = 55;
pub(super) const HOST_USO: u32 = 56;

// Features of every device (virtio 1.3, 6; legacy ones in 6.3).
pub(super) const LOG_ALL: u32 = 26;
pub(super) const ANY_LAYOUT: u32 = 27;
pub(super) const INDIRECT_DESC: u32 = 28;
pub(super) const EVENT_IDX: u32 = 29;
pub(super) const VERSION_1: u32 = 32;
pub(super) const RING_PACKED: u32 = 34;
pub(super) const IN_ORDER: u32 = 35;

/// Not a virtio feature: the front end may ask for protocol features (`VHOST_USER_F_PROTOCOL_FEATURES`).
pub(super) const PROTOCOL_FEATURES: u32 = 30;

/// Features of the protocol (vhost-user, "Protocol features").
pub(super) mod protocol {
    pub(in super::super) const MQ: u32 = 0;
    pub(in super::super) const LOG_SHMFD: u32 = 1;
    pub(in super::super) const REPLY_ACK: u32 = 3;
    pub(in super::super) const INFLIGHT_SHMFD: u32 = 12;
    pub(in super::super) const RESET_DEVICE: u32 = 13;
    pub(in super::super) const CONFIGURE_MEM_SLOTS: u32 = 15;
    pub(in super::super) const STATUS: u32 = 16;

    /// What we offer.
    pub(in super::super) const OFFERED: u64 = 1 << MQ
        | 1 << LOG_SHMFD
        | 1 << REPLY_ACK
        | 1 << INFLIGHT_SHMFD
        | 1 << RESET_DEVICE
        | 1 << CONFIGURE_MEM_SLOTS
        | 1 << STATUS;
}

const BASE: u64 = 1 << MRG_RXBUF
    | 1 << GUEST_ANNOUNCE
    | 1 << LOG_ALL
    | 1 << ANY_LAYOUT
    | 1 << INDIRECT_DESC
    | 1 << EVENT_IDX
    | 1 << PROTOCOL_FEATURES
    | 1 << VERSION_1
    | 1 << IN_ORDER;

/// Features by which the guest may send frames with open checksums or uncut.
pub(super) const FROM_GUEST: u64 =
    1 << CSUM | 1 << HOST_TSO4 | 1 << HOST_TSO6 | 1 << HOST_ECN | 1 << HOST_USO;
/// Features by which it may be sent such.
pub(super) const TO_GUEST: u64 =
    1 << GUEST_CSUM | 1 << GUEST_TSO4 | 1 << GUEST_TSO6 | 1 << GUEST_ECN | 1 << GUEST_USO4 | 1 << GUEST_USO6;

/// What a port offers.
pub(super) const fn offered(pairs: usize, offloads: bool, packed: bool) -> u64 {
    let mut features = BASE;
    if pairs > 1 {
        features |= 1 << MQ;
    }
    if offloads {
        features |= FROM_GUEST | TO_GUEST;
    }
    if packed {
        features |= 1 << RING_PACKED;
    }
    features
}

/// Octets of the virtio-net header before each frame.
#[inline]
pub(super) const fn header_size(features: u64) -> usize {
    // The number of buffers is there when it can be used, and always in devices of version 1.
    if has(features, MRG_RXBUF) || has(features, VERSION_1) { 12 } else { 10 }
}
