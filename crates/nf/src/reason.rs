//! Why packets are lost: one closed list.

/// Why a packet was dropped. Each has a counter for each port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// It is shorter than its headers say.
    Malformed,
    /// It came in on a port that is not in the VLAN of its tag.
    VlanNotAllowed,
    /// It came tagged where only untagged frames are taken.
    Tagged,
    /// It came untagged where only tagged frames are taken.
    Untagged,
    /// Its only way out is the port through which it came.
    SamePort,
    /// Its destination is an address that a bridge must not forward (IEEE 802.1Q, 8.6.3).
    Reserved,
    /// The bridge has no other port in its VLAN.
    NoPorts,
    /// A rule says so.
    Rule,
    /// The port it came through does not take packets (spanning tree, or switched off).
    PortBlocked,
    /// The sender is not the one that the port allows.
    Spoofed,
    /// The two ports are isolated from each other.
    Isolated,
    /// Unknown or group destinations came faster than the port allows.
    Storm,
    /// The rate of the port is used up.
    Rate,
    /// More new flows came than the switch computes in time.
    Busy,
    /// The port of the way out is gone.
    PortGone,
    /// The receiver has no room.
    QueueFull,
    /// It is longer than the way out takes.
    TooLong,
    /// There is no room for a header in front.
    NoHeadroom,
    /// Simulated loss.
    Lossy,
    /// The sender's IP address is not one that the port allows.
    ForeignAddress,
    /// ARP or neighbour discovery claims an address that the port does not allow.
    ForgedNeighbour,
    /// A DHCP server speaks where none may be.
    RogueServer,
    /// A router advertises itself where none may be.
    RogueRouter,
    /// The port has as many stations as it may.
    TooManyStations,
    /// It came in where only copies of a mirror go out.
    MirrorOutput,
    /// A simulated link has as much under way as it holds.
    LinkFull,
    /// A simulated link carries nothing in this direction.
    Simplex,
    /// It came in through a member of a bond that takes nothing now.
    MemberInactive,
    /// It came back through another member of the bond by which it had left.
    Echo,
    /// It was looked up again too often.
    Passes,
    /// It is over the rate of a meter of OpenFlow.
    Metered,
    /// No way is known to the other end of its tunnel.
    NoNextHop,
    /// Its tunnel headers are not what its tunnel takes.
    BadTunnel,
    /// Connection tracking has no room for it, or can't read it.
    Untracked,
    /// No address and port is left that its connection could be given.
    NatExhausted,
    /// It is a fragment that does not fit with the others of its packet.
    BadFragment,
    /// Its queue at a port that is shaped is full.
    ShaperFull,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 37] = [
        Self::Malformed,
        Self::VlanNotAllowed,
        Self::Tagged,
        Self::Untagged,
        Self::SamePort,
        Self::Reserved,
        Self::NoPorts,
        Self::Rule,
        Self::PortBlocked,
        Self::Spoofed,
        Self::Isolated,
        Self::Storm,
        Self::Rate,
        Self::Busy,
        Self::PortGone,
        Self::QueueFull,
        Self::TooLong,
        Self::NoHeadroom,
        Self::Lossy,
        Self::ForeignAddress,
        Self::ForgedNeighbour,
        Self::RogueServer,
        Self::RogueRouter,
        Self::TooManyStations,
        Self::MirrorOutput,
        Self::LinkFull,
        Self::Simplex,
        Self::MemberInactive,
        Self::Echo,
        Self::Passes,
        Self::Metered,
        Self::NoNextHop,
        Self::BadTunnel,
        Self::Untracked,
        Self::NatExhausted,
        Self::BadFragment,
        Self::ShaperFull,
    ];

    /// Its short name, for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::VlanNotAllowed => "vlan-not-allowed",
            Self::Tagged => "tagged",
            Self::Untagged => "untagged",
            Self::SamePort => "same-port",
            Self::Reserved => "reserved-address",
            Self::NoPorts => "no-ports",
            Self::Rule => "rule",
            Self::PortBlocked => "port-blocked",
            Self::Spoofed => "spoofed",
            Self::Isolated => "isolated",
            Self::Storm => "storm",
            Self::Rate => "rate",
            Self::Busy => "busy",
            Self::PortGone => "port-gone",
            Self::QueueFull => "queue-full",
            Self::TooLong => "too-long",
            Self::NoHeadroom => "no-headroom",
            Self::Lossy => "lossy",
            Self::ForeignAddress => "foreign-address",
            Self::ForgedNeighbour => "forged-neighbour",
            Self::RogueServer => "rogue-server",
            Self::RogueRouter => "rogue-router",
            Self::TooManyStations => "too-many-stations",
            Self::MirrorOutput => "mirror-output",
            Self::LinkFull => "link-full",
            Self::Simplex => "simplex",
            Self::MemberInactive => "member-inactive",
            Self::Echo => "echo",
            Self::Passes => "passes",
            Self::Metered => "metered",
            Self::NoNextHop => "no-next-hop",
            Self::BadTunnel => "bad-tunnel",
            Self::Untracked => "untracked",
            Self::NatExhausted => "nat-exhausted",
            Self::BadFragment => "bad-fragment",
            Self::ShaperFull => "shaper-full",
        }
    }

    /// What happened, in a sentence without a subject: "the packet ...".
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Malformed => "is shorter than its headers say",
            Self::VlanNotAllowed => "has a VLAN tag that its port does not carry",
            Self::Tagged => "has a VLAN tag, and its port takes untagged frames only",
            Self::Untagged => "has no VLAN tag, and its port takes tagged frames only",
            Self::SamePort => "would leave through the port it came in",
            Self::Reserved => "is for a link-local group that bridges do not forward",
            Self::NoPorts => "has no other port in its VLAN to go to",
            Self::Rule => "met a rule that drops it",
            Self::PortBlocked => "came through a port that is blocked",
            Self::Spoofed => "has a sender that its port does not allow",
            Self::Isolated => "would go between two isolated ports",
            Self::Storm => "is one too many for unknown or group destinations",
            Self::Rate => "is over the rate of its port",
            Self::Busy => "is one of too many new flows at once",
            Self::PortGone => "was for a port that is gone",
            Self::QueueFull => "found the receiver's queue full",
            Self::TooLong => "is longer than its way out takes",
            Self::NoHeadroom => "has no room for another header",
            Self::Lossy => "was lost on a simulated link",
            Self::ForeignAddress => "has an IP sender that its port does not allow",
            Self::ForgedNeighbour => "claims in ARP or neighbour discovery what its port does not allow",
            Self::RogueServer => "is from a DHCP server on a port where none may be",
            Self::RogueRouter => "is from an IPv6 router on a port where none may be",
            Self::TooManyStations => "is from one station too many behind its port",
            Self::MirrorOutput => "came through a port that is the way out of a mirror",
            Self::LinkFull => "found a simulated link's queue full",
            Self::Simplex => "went against the direction of a simplex link",
            Self::MemberInactive => "came through a member of a bond that takes nothing now",
            Self::Echo => "came back through a bond, from a station that is elsewhere",
            Self::Passes => "was looked up again too often",
            Self::Metered => "is over the rate of its meter",
            Self::NoNextHop => "would leave through a tunnel whose other end nobody knows a way to",
            Self::BadTunnel => "has tunnel headers that its tunnel does not take",
            Self::Untracked => "can't be followed by connection tracking",
            Self::NatExhausted => "begins a connection for which no translated address and port is left",
            Self::BadFragment => "is a fragment that does not fit with the others of its packet",
            Self::ShaperFull => "found its queue full at a port that is shaped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole_and_names_are_unique() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }
}
