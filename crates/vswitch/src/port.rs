//! A port of a bridge: its VLANs and what it may do.

use crate::bfd::BfdOptions;
use crate::cfm::CfmOptions;
use crate::guard::Guard;
use crate::rstp::PortOptions;
use netloom_mem::PortNumber;
use netloom_nf::Rate;

/// A set of VLANs, a bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VlanSet(Box<[u64; 64]>);

impl Default for VlanSet {
    fn default() -> Self {
        Self(Box::new([0; 64]))
    }
}

impl VlanSet {
    /// Every VLAN from 0 to 4095.
    #[must_use]
    pub fn all() -> Self {
        Self(Box::new([u64::MAX; 64]))
    }

    /// Whether a VLAN is in it.
    #[must_use]
    pub fn has(&self, vlan: u16) -> bool {
        self.0[usize::from(vlan / 64) % 64] >> (vlan % 64) & 1 == 1
    }

    /// The VLANs in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + use<'_> {
        let words = (0_u16..).zip(self.0.iter()).filter(|(_, word)| **word != 0);
        words.flat_map(|(index, word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index * 64 + bit)
        })
    }

    /// Puts a VLAN in.
    pub fn add(&mut self, vlan: u16) {
        self.0[usize::from(vlan / 64) % 64] |= 1 << (vlan % 64);
    }
}

impl FromIterator<u16> for VlanSet {
    fn from_iter<T: IntoIterator<Item = u16>>(vlans: T) -> Self {
        let mut set = Self::default();
        vlans.into_iter().for_each(|vlan| set.add(vlan));
        set
    }
}

/// How a port treats VLAN tags, as `vlan_mode` in ovs-vswitchd.conf.db(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vlan {
    /// One VLAN, untagged.
    Access(u16),
    /// These VLANs, tagged; frames without a tag are in VLAN 0.
    Trunk(VlanSet),
    /// As a trunk; frames without a tag are in this VLAN and leave with its tag.
    NativeTagged(u16, VlanSet),
    /// As a trunk; frames of this VLAN come and leave without a tag.
    NativeUntagged(u16, VlanSet),
    /// Whatever tag the customer's frame has, it travels in this VLAN under one more tag (IEEE 802.1ad).
    Tunnel {
        /// The VLAN of the outer tag.
        vlan: u16,
        /// Customer VLANs that are taken; VLAN 0 stands for frames without a tag.
        customers: VlanSet,
    },
}

impl Default for Vlan {
    fn default() -> Self {
        Self::Trunk(VlanSet::all())
    }
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its number.
    pub number: PortNumber,
    /// Its name.
    pub name: String,
    /// Its VLANs.
    pub vlan: Vlan,
    /// It takes and sends packets (spanning tree, or switched on by hand).
    pub forwarding: bool,
    /// Stations behind it are learned.
    pub learning: bool,
    /// Frames to stations that nobody knows are sent there too.
    pub flooding: bool,
    /// It talks to ports that are not isolated only.
    pub isolated: bool,
    /// Most stations behind it.
    pub stations: usize,
    /// What it is guarded against.
    pub guard: Guard,
    /// A multicast router is behind it, heard or not.
    pub multicast_router: bool,
    /// Whoever leaves a group there was its only member.
    pub fast_leave: bool,
    /// Its part in the spanning tree, if it takes part.
    pub tree: Option<PortOptions>,
    /// It speaks and hears LLDP, if the bridge does.
    pub lldp: bool,
    /// How much may come in.
    pub rate: Option<Rate>,
    /// How many packets may come in, whatever their length.
    pub packet_rate: Option<Rate>,
    /// How much may come in for unknown stations and groups.
    pub storm: Option<Rate>,
    /// How much may go out.
    pub rate_out: Option<Rate>,
    /// Its link is watched by bidirectional forwarding detection.
    pub bfd: Option<BfdOptions>,
    /// Its link is watched by connectivity fault management.
    pub cfm: Option<CfmOptions>,
}

/// The token buckets of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterKind {
    /// All that comes in.
    Rate,
    /// What comes in for unknown stations and groups.
    Storm,
    /// What comes in for the bridge's own protocols.
    Brain,
    /// All that comes in, by packets alone.
    Packets,
}

impl Port {
    /// A port that carries all VLANs.
    #[must_use]
    pub fn new(number: PortNumber, name: impl Into<String>) -> Self {
        Self {
            number,
            name: name.into(),
            vlan: Vlan::default(),
            forwarding: true,
            learning: true,
            flooding: true,
            isolated: false,
            stations: usize::MAX,
            guard: Guard::default(),
            multicast_router: false,
            fast_leave: false,
            tree: Some(PortOptions::default()),
            lldp: true,
            rate: None,
            packet_rate: None,
            storm: None,
            rate_out: None,
            bfd: None,
            cfm: None,
        }
    }

    /// The token buckets that everything is asked of that comes in.
    pub fn policing(&self) -> impl Iterator<Item = u32> + use<> {
        let rate = self.rate.map(|_| self.meter(MeterKind::Rate));
        let packets = self.packet_rate.map(|_| self.meter(MeterKind::Packets));
        rate.into_iter().chain(packets)
    }

    /// The number of one of its token buckets.
    #[must_use]
    pub const fn meter(&self, kind: MeterKind) -> u32 {
        self.number << 2 | kind as u32
    }

    /// Whether it carries a VLAN.
    #[must_use]
    pub fn carries(&self, vlan: u16) -> bool {
        match &self.vlan {
            Vlan::Access(own) | Vlan::Tunnel { vlan: own, .. } => *own == vlan,
            Vlan::Trunk(set) => set.has(vlan),
            Vlan::NativeTagged(own, set) | Vlan::NativeUntagged(own, set) => *own == vlan || set.has(vlan),
        }
    }

    /// Whether frames of a VLAN leave it with the tag of that VLAN.
    #[must_use]
    pub fn tags(&self, vlan: u16) -> bool {
        match &self.vlan {
            Vlan::Access(_) | Vlan::Tunnel { .. } => false,
            Vlan::NativeUntagged(own, _) => *own != vlan,
            Vlan::Trunk(_) | Vlan::NativeTagged(..) => vlan != 0,
        }
    }
}
