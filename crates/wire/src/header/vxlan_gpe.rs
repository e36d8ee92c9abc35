//! VXLAN with a protocol field (draft-ietf-nvo3-vxlan-gpe-13 section 3).

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, illegal, span};
use crate::Vni;
use crate::number::named;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 8;

named! {
    /// What VXLAN-GPE carries (draft-ietf-nvo3-vxlan-gpe-13 section 3.2), and NSH too (RFC 8300 section 2.2).
    NextProtocol(u8) {
        /// IPv4.
        IPV4 = 1, "IPv4";
        /// IPv6.
        IPV6 = 2, "IPv6";
        /// Ethernet.
        ETHERNET = 3, "Ethernet";
        /// Network service header.
        NSH = 4, "NSH";
        /// MPLS.
        MPLS = 5, "MPLS";
    }
}

view! {
    /// A VXLAN-GPE header and what follows it.
    VxlanGpe, 8 bytes, check;
    /// Version: 0.
    version: u8 [0, u8, 4, 0x3];
    /// Whether the VNI counts (flag I).
    has_vni / set_has_vni: bool [0, u8, 3, 0x1];
    /// Whether the next protocol counts (flag P).
    has_next_protocol / set_has_next_protocol: bool [0, u8, 2, 0x1];
    /// The frame goes to several receivers: broadcast, unknown unicast or multicast (flag B).
    replicated / set_replicated: bool [0, u8, 1, 0x1];
    /// The packet is for operation and maintenance (flag O).
    maintenance / set_maintenance: bool [0, u8, 0, 0x1];
    /// What follows the header.
    next_protocol / set_next_protocol: NextProtocol [3];
    /// Which network.
    vni / set_vni: Vni [4, u32, 8, 0xff_ffff];
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let version = u8::read(bytes, 0) >> 4 & 3;
    if version == 0 { Ok(()) } else { Err(illegal(HeaderKind::VxlanGpe, "version", version)) }
}

impl<T: AsRef<[u8]>> View<T> {
    /// What follows the header.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, usize::MAX)
    }
}

/// The meaning of a VXLAN-GPE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Which network, if told.
    pub vni: Option<Vni>,
    /// What follows; without it, Ethernet (draft-ietf-nvo3-vxlan-gpe-13 section 3.1).
    pub next_protocol: Option<NextProtocol>,
    /// The frame goes to several receivers.
    pub replicated: bool,
    /// The packet is for operation and maintenance.
    pub maintenance: bool,
}

impl Repr {
    /// Reads a header.
    ///
    /// # Errors
    /// None: every checked header is legal.
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        Ok(Self {
            vni: view.has_vni().then(|| view.vni()),
            next_protocol: view.has_next_protocol().then(|| view.next_protocol()),
            replicated: view.replicated(),
            maintenance: view.maintenance(),
        })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let mut view = View::new_unchecked(blank(HeaderKind::VxlanGpe, buffer, HEADER_LEN)?);
        if let Some(vni) = self.vni {
            view.set_has_vni(true);
            view.set_vni(vni);
        }
        if let Some(next_protocol) = self.next_protocol {
            view.set_has_next_protocol(true);
            view.set_next_protocol(next_protocol);
        }
        view.set_replicated(self.replicated);
        view.set_maintenance(self.maintenance);
        Ok(HEADER_LEN)
    }
}
