//! Bonds (`IFLA_BOND_*`, linux/if_link.h).

use super::Names;
use crate::netlink::{Attributes, Message};
use netloom_compile::object::{BondMode, BondOptions};

const IFLA_BOND_MODE: u16 = 1;
const IFLA_BOND_MIIMON: u16 = 3;
const IFLA_BOND_PRIMARY: u16 = 11;
const IFLA_BOND_XMIT_HASH_POLICY: u16 = 14;
const IFLA_BOND_AD_LACP_RATE: u16 = 21;

/// `BOND_MODE_*` (linux/if_bonding.h) in order of their numbers.
const MODES: [BondMode; 7] = [
    BondMode::BalanceRr,
    BondMode::ActiveBackup,
    BondMode::BalanceXor,
    BondMode::Broadcast,
    BondMode::Lacp,
    BondMode::BalanceTlb,
    BondMode::BalanceAlb,
];
/// `BOND_XMIT_POLICY_*` in order of their numbers.
const POLICIES: [&str; 6] = ["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"];

/// The mode can be set only at birth (later the bond would have to be down and empty); the LACP rate only
/// while it is down, see [`write_rate`].
pub(super) fn write(m: &mut Message<'_>, options: &BondOptions, primary: Option<u32>, birth: bool) {
    if birth {
        let mode = MODES.iter().position(|mode| *mode == options.mode).unwrap_or_default();
        m.u8(IFLA_BOND_MODE, mode as u8);
        if let Some(fast) = options.lacp_fast {
            write_rate(m, fast);
        }
    }
    if let Some(miimon) = options.miimon {
        m.u32(IFLA_BOND_MIIMON, miimon);
    }
    if let Some(policy) = &options.transmit_hash
        && let Some(number) = POLICIES.iter().position(|name| **name == **policy)
    {
        m.u8(IFLA_BOND_XMIT_HASH_POLICY, number as u8);
    }
    if let Some(index) = primary {
        write_primary(m, index);
    }
}

pub(super) fn write_rate(m: &mut Message<'_>, fast: bool) {
    m.u8(IFLA_BOND_AD_LACP_RATE, u8::from(fast));
}

pub(super) fn write_primary(m: &mut Message<'_>, port: u32) {
    m.u32(IFLA_BOND_PRIMARY, port);
}

pub(super) fn read(data: Attributes<'_>, names: &dyn Names) -> Option<BondOptions> {
    let mode = *MODES.get(usize::from(data.get(IFLA_BOND_MODE)?.u8()?))?;
    let policy = data.get(IFLA_BOND_XMIT_HASH_POLICY).and_then(|number| number.u8());
    Some(BondOptions {
        mode,
        miimon: data.get(IFLA_BOND_MIIMON).and_then(|value| value.u32()),
        transmit_hash: policy.and_then(|number| POLICIES.get(usize::from(number))).map(|name| (*name).into()),
        lacp_fast: data.get(IFLA_BOND_AD_LACP_RATE).and_then(|value| value.u8()).map(|rate| rate != 0),
        primary: data.get(IFLA_BOND_PRIMARY).and_then(|index| names.local(index.u32()?)),
    })
}
