//! The values that options of switches, ports and mirrors may have.

use netloom_model::scalar::{Rate as Bits, Size, TimeSpan};
use netloom_nf::{Rate, Unit};
use netloom_vswitch::{Prefix, VlanSet};
use netloom_wire::MacAddr;
use std::net::IpAddr;

/// Octets that can always be saved up: one frame as large as they get.
const LARGEST: u64 = 65_536 + 64;

pub(super) fn vlan(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(vlan @ 0..=4095) => Ok(vlan),
        _ => Err(format!("`{text}` is not a VLAN: a number from 0 to 4095")),
    }
}

pub(super) fn vlans(text: &str) -> Result<VlanSet, String> {
    if text == "all" {
        return Ok(VlanSet::all());
    }
    let mut set = VlanSet::default();
    for part in list(text) {
        match part.split_once('-') {
            Some((first, last)) => (vlan(first)?..=vlan(last)?).for_each(|vlan| set.add(vlan)),
            None => set.add(vlan(part)?),
        }
    }
    Ok(set)
}

/// The parts of a list.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|part| !part.is_empty())
}

pub(super) fn truth(name: &str, text: &str) -> Result<bool, String> {
    match text {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{name}={text}`: true or false")),
    }
}

pub(super) fn macs(text: &str) -> Result<Vec<MacAddr>, String> {
    let address = |part: &str| match part.parse::<MacAddr>() {
        Ok(mac) if mac.is_unicast() => Ok(mac),
        Ok(mac) => Err(format!("{mac} is the address of a group")),
        Err(error) => Err(error.to_string()),
    };
    list(text).map(address).collect()
}

pub(super) fn prefixes(text: &str) -> Result<Vec<Prefix>, String> {
    let prefix = |part: &str| {
        let wrong = || format!("`{part}` is not an address: like 10.0.0.5, 10.0.0.0/24 or fd00::/64");
        let (address, length) = part.split_once('/').map_or((part, None), |(a, b)| (a, Some(b)));
        let length = length.map(str::parse::<u8>).transpose().map_err(|_| wrong())?;
        match (address.parse().map_err(|_| wrong())?, length) {
            (IpAddr::V4(address), length @ (None | Some(0..=32))) => {
                Ok(Prefix::V4 { address: address.into(), length: length.unwrap_or(32) })
            }
            (IpAddr::V6(address), length @ (None | Some(0..=128))) => {
                Ok(Prefix::V6 { address: address.into(), length: length.unwrap_or(128) })
            }
            _ => Err(wrong()),
        }
    };
    list(text).map(prefix).collect()
}

/// A time like `300s`, in nanoseconds.
pub(super) fn span(name: &str, text: &str) -> Result<u64, String> {
    let span: TimeSpan = text.parse().map_err(|error| format!("`{name}`: {error}"))?;
    Ok(u64::try_from(span.duration().as_nanos()).unwrap_or(u64::MAX))
}

/// `1000pps` or `10mbit`; what may be saved up is a number of packets or a size, a tenth of a second without.
pub(super) fn rate(name: &str, text: &str, burst: Option<&str>) -> Result<Rate, String> {
    if let Some(packets) = text.strip_suffix("pps") {
        let number = |text: &str| {
            text.parse()
                .ok()
                .filter(|number| *number > 0)
                .ok_or(format!("`{name}`: `{text}` is not a number"))
        };
        let per_second: u64 = number(packets)?;
        let burst = burst.map(number).transpose()?.unwrap_or((per_second / 10).max(16));
        return Ok(Rate { unit: Unit::Packets, per_second, burst });
    }
    let bits: Bits = text.parse().map_err(|error| format!("`{name}`: {error}, or like 1000pps"))?;
    let per_second = bits.bits_per_second().div_ceil(8);
    let burst = burst.map(str::parse::<Size>).transpose().map_err(|error| format!("`{name}`: {error}"))?;
    let burst = burst.map_or(per_second / 10, Size::bytes).max(LARGEST);
    Ok(Rate { unit: Unit::Octets, per_second, burst })
}
