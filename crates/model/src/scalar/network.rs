//! Prefixes, interface addresses and the choices around them.

use super::{ScalarError, text_scalar};
use ipnet::IpNet;
use netloom_wire::VlanId;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A prefix without host bits, like `10.0.0.0/24`; `default` is written out as `0.0.0.0/0` or `::/0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(IpNet);

impl Prefix {
    /// The prefix of `net`, without its host bits.
    #[must_use]
    pub fn new(net: IpNet) -> Self {
        Self(net.trunc())
    }

    /// The prefix.
    #[must_use]
    pub const fn net(self) -> IpNet {
        self.0
    }
}

impl FromStr for Prefix {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let net: IpNet = match text.parse() {
            Ok(net) => net,
            Err(_) => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| {
                ScalarError::new(format!("`{text}` is not a prefix: write it like 10.0.0.0/24 or fd00::/64"))
            })?,
        };
        if net.trunc() == net {
            Ok(Self(net))
        } else {
            Err(ScalarError::new(format!("`{text}` has bits set after the prefix: write {}", net.trunc())))
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

text_scalar!(Prefix, "prefix", "IP prefix, like 10.0.0.0/24 or fd00::/64");

/// An interface address with its prefix length, like `10.0.0.1/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(IpNet);

impl Address {
    /// From address and prefix length.
    #[must_use]
    pub const fn new(net: IpNet) -> Self {
        Self(net)
    }

    /// Address and prefix length.
    #[must_use]
    pub const fn net(self) -> IpNet {
        self.0
    }
}

impl FromStr for Address {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let net: IpNet = text.parse().map_err(|_| {
            let why = if text.parse::<IpAddr>().is_ok() {
                "its prefix length is missing"
            } else {
                "it is no IP address"
            };
            ScalarError::new(format!(
                "`{text}` is not an interface address: {why}; write it like 10.0.0.1/24"
            ))
        })?;
        let address = net.addr();
        if address.is_unspecified() || address.is_multicast() {
            return Err(ScalarError::new(format!("`{text}` can't be the address of an interface")));
        }
        Ok(Self(net))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

text_scalar!(Address, "interface-address", "interface address with prefix length, like 10.0.0.1/24");

/// The address of an interface: chosen by the network, none, or fixed. Written `auto`, `none`,
/// `10.0.0.1/24`, or `10.0.0.1` where the network gives the prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressChoice {
    /// The network's allocator chooses, one address for each of its subnets.
    Auto,
    /// No address.
    None,
    /// This one, with the network's prefix length.
    Bare(IpAddr),
    /// This one.
    Fixed(Address),
}

impl FromStr for AddressChoice {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => match text.parse::<IpAddr>() {
                Ok(address) => {
                    // The same refusals as with a length.
                    Address::from_str(&IpNet::from(address).to_string())?;
                    Ok(Self::Bare(address))
                }
                Err(_) => text.parse().map(Self::Fixed),
            },
        }
    }
}

impl fmt::Display for AddressChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Bare(address) => write!(f, "{address}"),
            Self::Fixed(address) => write!(f, "{address}"),
        }
    }
}

text_scalar!(
    AddressChoice,
    "address-choice",
    "interface address: auto, none, 10.0.0.1/24, or 10.0.0.1 with the prefix length of the network"
);

/// A gateway: `auto` (what the mode gives), `none`, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Gateway {
    /// What the network's mode gives.
    #[default]
    Auto,
    /// No gateway.
    None,
    /// This address.
    At(IpAddr),
}

impl FromStr for Gateway {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => text.parse().map(Self::At).map_err(|_| {
                ScalarError::new(format!(
                    "`{text}` is not a gateway: write auto, none or an address like 10.0.0.1"
                ))
            }),
        }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::At(address) => write!(f, "{address}"),
        }
    }
}

text_scalar!(Gateway, "gateway", "gateway: auto, none or an address like 10.0.0.1");

/// One VLAN or a range of them, like `10` or `100-199`; both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanRange {
    low: VlanId,
    high: VlanId,
}

impl VlanRange {
    /// The first VLAN.
    #[must_use]
    pub const fn low(self) -> VlanId {
        self.low
    }

    /// The last VLAN; not below the first.
    #[must_use]
    pub const fn high(self) -> VlanId {
        self.high
    }

    /// All VLANs of the range.
    pub fn iter(self) -> impl Iterator<Item = VlanId> {
        (self.low.get()..=self.high.get()).filter_map(|id| VlanId::try_from(u64::from(id)).ok())
    }
}

impl FromStr for VlanRange {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let id =
            |text: &str| text.trim().parse::<VlanId>().map_err(|error| ScalarError::new(error.to_string()));
        let (low, high) = (id(low)?, id(high)?);
        if low <= high {
            Ok(Self { low, high })
        } else {
            Err(ScalarError::new(format!("`{text}` ends before it begins")))
        }
    }
}

impl fmt::Display for VlanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}-{}", self.low, self.high)
        }
    }
}

text_scalar!(VlanRange, "vlan-range", "VLAN or range of VLANs in quotes, like \"10\" or \"100-199\"");
