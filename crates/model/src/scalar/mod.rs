//! The words of the language: rates, sizes, times, shares, prefixes, services, references, flows.
//!
//! Every scalar is text with one parser (`FromStr`) and one canonical printer (`Display`); the JSON
//! Schema names that parser by `format`, so that the structural check reports each bad scalar with
//! the parser's own words, all of them at once ([`check_format`]).

mod flow;
mod network;
mod quantity;

pub use flow::{Flow, InterfaceRef, LinkEnds, PeerName, Protocol, Service};
pub use network::{Address, AddressChoice, Gateway, Prefix, VlanRange};
pub use quantity::{Percent, Rate, Size, TimeSpan};

/// Implements serde and JSON Schema by text, and says which format it is.
macro_rules! text_scalar {
    ($type:ty, $format:literal, $description:literal) => {
        impl $type {
            /// The `format` of this scalar in the JSON Schema.
            pub const FORMAT: &'static str = $format;
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "format": $format, "description": $description })
            }
        }
    };
}
pub(crate) use text_scalar;

/// Why a text is not the scalar it should be: a clause that ends the sentence "this is not right: ...".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScalarError(pub String);

impl ScalarError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Checks `text` against the scalar that `format` names; `None` if the format is not one of ours.
#[must_use]
pub fn check_format(format: &str, text: &str) -> Option<Result<(), String>> {
    fn check<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Option<Result<(), String>> {
        Some(text.parse::<T>().map(|_| ()).map_err(|error| error.to_string()))
    }
    match format {
        Rate::FORMAT => check::<Rate>(text),
        Size::FORMAT => check::<Size>(text),
        TimeSpan::FORMAT => check::<TimeSpan>(text),
        Percent::FORMAT => check::<Percent>(text),
        Prefix::FORMAT => check::<Prefix>(text),
        Address::FORMAT => check::<Address>(text),
        AddressChoice::FORMAT => check::<AddressChoice>(text),
        Gateway::FORMAT => check::<Gateway>(text),
        VlanRange::FORMAT => check::<VlanRange>(text),
        InterfaceRef::FORMAT => check::<InterfaceRef>(text),
        LinkEnds::FORMAT => check::<LinkEnds>(text),
        Flow::FORMAT => check::<Flow>(text),
        Service::FORMAT => check::<Service>(text),
        PeerName::FORMAT => check::<PeerName>(text),
        crate::topology::Uplink::FORMAT => check::<crate::topology::Uplink>(text),
        "mac-address" => check::<netloom_wire::MacAddr>(text),
        "node-name" => check::<netloom_wire::NodeName>(text),
        "interface-name" => check::<netloom_wire::InterfaceName>(text),
        "ip" => check::<std::net::IpAddr>(text),
        "ipv4" => check::<std::net::Ipv4Addr>(text),
        "ipv6" => check::<std::net::Ipv6Addr>(text),
        _ => None,
    }
}
