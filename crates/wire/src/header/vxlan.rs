//! VXLAN, with the group policy extension (RFC 7348 section 5; draft-smith-vxlan-group-policy-05 section 2.1).

use super::field::{Field, view};
use super::{HeaderKind, Malformed, blank, span};
use crate::Vni;

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 8;

view! {
    /// A VXLAN header and the Ethernet frame after it.
    Vxlan, 8 bytes;
    /// Whether the VNI counts (flag I); a packet without it must be ignored (RFC 7348 section 5).
    has_vni / set_has_vni: bool [0, u8, 3, 0x1];
    /// Whether the group policy counts (flag G).
    has_group_policy / set_has_group_policy: bool [0, u8, 7, 0x1];
    /// The receiver must not learn the inner source address (flag D).
    dont_learn / set_dont_learn: bool [1, u8, 6, 0x1];
    /// The policy has been applied already (flag A).
    policy_applied / set_policy_applied: bool [1, u8, 3, 0x1];
    /// The group that the sender belongs to.
    group / set_group: u16 [2];
    /// Which network.
    vni / set_vni: Vni [4, u32, 8, 0xff_ffff];
}

impl<T: AsRef<[u8]>> View<T> {
    /// The Ethernet frame inside.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        span(self.as_bytes(), HEADER_LEN, usize::MAX)
    }
}

/// The group policy extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupPolicy {
    /// The group that the sender belongs to.
    pub group: u16,
    /// The receiver must not learn the inner source address.
    pub dont_learn: bool,
    /// The policy has been applied already.
    pub applied: bool,
}

/// The meaning of a VXLAN header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr {
    /// Which network.
    pub vni: Vni,
    /// The group policy, if there is one.
    pub group_policy: Option<GroupPolicy>,
}

impl Repr {
    /// Reads a header.
    ///
    /// # Errors
    /// [`Malformed::Illegal`] without a VNI.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(view: &View<T>) -> Result<Self, Malformed> {
        if !view.has_vni() {
            return Err(super::illegal(HeaderKind::Vxlan, "flag I", 0u8));
        }
        let group_policy = view.has_group_policy().then(|| GroupPolicy {
            group: view.group(),
            dont_learn: view.dont_learn(),
            applied: view.policy_applied(),
        });
        Ok(Self { vni: view.vni(), group_policy })
    }

    /// Length in bytes that [`Repr::emit`] writes.
    #[inline]
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header to the front of `buffer`; returns its length in bytes.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] when `buffer` is too short.
    #[inline]
    pub fn emit(&self, buffer: &mut [u8]) -> Result<usize, Malformed> {
        let bytes = blank(HeaderKind::Vxlan, buffer, HEADER_LEN)?;
        0x08u8.write(bytes, 0);
        let mut view = View::new_unchecked(bytes);
        view.set_vni(self.vni);
        if let Some(policy) = self.group_policy {
            view.set_has_group_policy(true);
            view.set_dont_learn(policy.dont_learn);
            view.set_policy_applied(policy.applied);
            view.set_group(policy.group);
        }
        Ok(HEADER_LEN)
    }
}
