//! `bond/...` and `lacp/...`: ports that are several.

use super::super::bonds::{flags, is_bond};
use super::super::state::Switch;
use super::argument;
use crate::unixctl::Commands;
use netloom_vswitch::Bond;
use netloom_vswitch::bond::{BondEffects, Mode};
use netloom_vswitch::lacp::{Mux, PortState, Receive};
use netloom_wire::MacAddr;
use netloom_wire::header::lacp::Partner;
use std::fmt::Write;

const NO_BOND: &str = "no such bond";

pub(super) fn add(commands: &mut Commands<Switch>) {
    commands.add("bond/list", "", 0, 0, |switch, _| Ok(list(switch)));
    commands.add("bond/show", "[port]", 0, 1, |switch, arguments| {
        let names = named(switch, arguments.first()).ok_or(NO_BOND)?;
        Ok(names.iter().filter_map(|name| show(switch, name)).collect())
    });
    commands.add("bond/hash", "mac [vlan] [basis]", 1, 3, |_, arguments| {
        let number = |place: usize, what: &str| match arguments.get(place) {
            None => Ok(0_u32),
            Some(text) => text.parse().map_err(|_| format!("invalid {what}")),
        };
        let (vlan, basis) = (number(1, "vlan")?, number(2, "hash basis")?);
        let mac: MacAddr = argument(arguments, 0).parse().map_err(|_| "invalid mac")?;
        Ok(source_hash(mac, vlan, basis).to_string())
    });
    commands.add("bond/migrate", "port hash member", 3, 3, |switch, arguments| {
        let name = known(switch, argument(arguments, 0))?;
        member(switch, &name, argument(arguments, 2))?;
        // Hashes belong to members by a rule that all workers know: none can be moved alone.
        Err("hashes can't be moved: members share them evenly".to_owned())
    });
    commands.add("bond/set-active-member", "port member", 2, 2, |switch, arguments| {
        change(switch, arguments, |bond, member| {
            let state = bond.state(member);
            match state.is_some_and(|state| state.up) {
                true => Ok(bond.prefer(member)),
                false => Err("member is disabled".to_owned()),
            }
        })
        .map(|()| "done".to_owned())
    });
    commands.add("bond/enable-member", "port member", 2, 2, |switch, arguments| {
        change(switch, arguments, |bond, member| Ok(bond.enable(member, true))).map(|()| "enabled".to_owned())
    });
    commands.add("bond/disable-member", "port member", 2, 2, |switch, arguments| {
        change(switch, arguments, |bond, member| Ok(bond.enable(member, false)))
            .map(|()| "disabled".to_owned())
    });
    commands.add("lacp/show", "[port]", 0, 1, |switch, arguments| {
        let names = lacp_named(switch, arguments.first())?;
        Ok(names.iter().filter_map(|name| lacp(switch, name)).collect())
    });
    commands.add("lacp/show-stats", "[port]", 0, 1, |switch, arguments| {
        let names = lacp_named(switch, arguments.first())?;
        Ok(names.iter().filter_map(|name| lacp_counts(switch, name)).collect())
    });
}

/// Bonds of a name, or all.
fn named(switch: &Switch, name: Option<&String>) -> Option<Vec<String>> {
    let all = switch.configuration.ports.iter().filter(|(_, port)| is_bond(&port.options));
    let names: Vec<String> =
        all.map(|(of, _)| of.clone()).filter(|of| name.is_none_or(|name| name == of)).collect();
    (name.is_none() || !names.is_empty()).then_some(names)
}

fn known(switch: &Switch, name: &str) -> Result<String, String> {
    named(switch, Some(&name.to_owned())).map(|_| name.to_owned()).ok_or_else(|| NO_BOND.to_owned())
}

fn lacp_named(switch: &Switch, name: Option<&String>) -> Result<Vec<String>, String> {
    let names = named(switch, name).unwrap_or_default();
    let names: Vec<String> = names
        .into_iter()
        .filter(|of| with(switch, of, |bond, _| bond.lacp().is_some()) == Some(true))
        .collect();
    match name.is_some() && names.is_empty() {
        true => Err("no such lacp object".to_owned()),
        false => Ok(names),
    }
}

/// Members of a bond with their numbers.
type Members = Vec<(String, u32)>;

/// Looks at a bond and its members with their numbers.
fn with<T>(switch: &Switch, name: &str, look: impl FnOnce(&Bond, &Members) -> T) -> Option<T> {
    let number = switch.configuration.ports.get(name)?.number;
    let mut bridges = switch.bridges.lock();
    let bridge = bridges.of(number)?;
    let members: Members = {
        let (_, bond) = bridge.bonds().find(|(of, _)| *of == number)?;
        let name = |port: u32| Some((bridge.ports().get(&port)?.name.clone(), port));
        bond.members().filter_map(name).collect()
    };
    let (_, bond) = bridge.bonds().find(|(of, _)| *of == number)?;
    Some(look(bond, &members))
}

fn member(switch: &Switch, bond: &str, name: &str) -> Result<u32, String> {
    let found =
        with(switch, bond, |_, members| members.iter().find(|(of, _)| of == name).map(|(_, number)| *number));
    found.flatten().ok_or_else(|| "no such member".to_owned())
}

/// Changes a bond as somebody wants one of its members.
fn change(
    switch: &mut Switch,
    arguments: &[String],
    change: impl FnOnce(&mut Bond, u32) -> Result<BondEffects, String>,
) -> Result<(), String> {
    let name = known(switch, argument(arguments, 0))?;
    let member = member(switch, &name, argument(arguments, 1))?;
    let number = switch.configuration.ports.get(&name).map_or(0, |port| port.number);
    let effects = switch
        .bridges
        .lock()
        .of(number)
        .map(|bridge| bridge.change_bond(number, |bond| change(bond, member)));
    switch.follow(effects.transpose()?.unwrap_or_default());
    Ok(())
}

const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::ActiveBackup => "active-backup",
        Mode::BalanceSlb => "balance-slb",
        Mode::Lacp | Mode::Balance => "balance-tcp",
    }
}

fn list(switch: &Switch) -> String {
    let mut text = "bond\ttype\trecircID\tmembers\n".to_owned();
    for name in named(switch, None).unwrap_or_default() {
        let line = with(switch, &name, |bond, members| {
            let members: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
            format!("{name}\t{}\t0\t{}\n", mode(bond.options().mode), members.join(", "))
        });
        text.push_str(&line.unwrap_or_default());
    }
    text
}

fn show(switch: &Switch, name: &str) -> Option<String> {
    let yes = |it: bool| if it { "true" } else { "false" };
    with(switch, name, |bond, members| {
        let options = bond.options();
        let of = |number: u32| members.iter().find(|(_, of)| *of == number).map(|(name, _)| name.as_str());
        let mut text = format!("---- {name} ----\nbond_mode: {}\n", mode(options.mode));
        text += "bond may use recirculation: no, Recirc-ID : -1\nbond-hash-basis: 0\n\
                 lb_output action: disabled, bond-id: -1\n";
        if options.mode == Mode::BalanceSlb {
            text += "all members active: false\n";
        }
        // A string takes whatever is written.
        let _ = writeln!(text, "updelay: {} ms\ndowndelay: 0 ms", options.up_delay / 1_000_000);
        let heard = |(_, number): &(String, u32)| {
            let lacp = bond.state(*number).and_then(|state| state.lacp);
            lacp.is_some_and(|lacp| lacp.receive == Receive::Current)
        };
        let negotiated = match bond.lacp() {
            None => "off",
            Some(_) if members.iter().any(heard) => "negotiated",
            Some(_) => "configured",
        };
        let primary = options.primary.and_then(of).unwrap_or("<none>");
        let active = bond.active();
        let mac = active
            .map_or(MacAddr::new([0; 6]), |_| bond.lacp().map_or(MacAddr::new([0; 6]), |lacp| lacp.system));
        let _ = writeln!(
            text,
            "lacp_status: {negotiated}\nlacp_fallback_ab: {}\nactive-backup primary: {primary}\n\
             active member mac: {mac}({})\n",
            yes(options.fallback),
            active.and_then(of).unwrap_or("none"),
        );
        for (name, number) in members {
            let state = bond.state(*number);
            let takes = state.is_some_and(|state| state.takes);
            let works = match options.mode {
                Mode::ActiveBackup => state.is_some_and(|state| state.up),
                _ => takes,
            };
            let _ = writeln!(text, "member {name}: {}", if works { "enabled" } else { "disabled" });
            if active == Some(*number) {
                text += "  active member\n";
            }
            let _ = writeln!(text, "  may_enable: {}\n", yes(works));
        }
        text
    })
}

fn party(text: &mut String, who: &str, party: &Partner) {
    // A string takes whatever is written.
    let _ = write!(
        text,
        "\n  {who} sys_id: {}\n  {who} sys_priority: {}\n  {who} port_id: {}\n  {who} port_priority: {}\n  \
         {who} key: {}\n  {who} state:{}\n",
        party.system,
        party.system_priority,
        party.port,
        party.port_priority,
        party.key,
        flags(party.state).iter().map(|flag| format!(" {flag}")).collect::<String>(),
    );
}

fn lacp(switch: &Switch, name: &str) -> Option<String> {
    with(switch, name, |bond, members| {
        let options = *bond.lacp()?;
        let states: Vec<(&str, PortState, bool)> = members
            .iter()
            .filter_map(|(name, number)| {
                let state = bond.state(*number)?;
                Some((name.as_str(), state.lacp?, state.takes))
            })
            .collect();
        let negotiated = states.iter().any(|(_, lacp, _)| lacp.receive == Receive::Current);
        let mut text = format!("---- {name} ----\n");
        // A string takes whatever is written.
        let _ = writeln!(
            text,
            "  status: {}{}\n  sys_id: {}\n  sys_priority: {}\n  aggregation key: {}\n  lacp_time: {}",
            if options.active { "active" } else { "passive" },
            if negotiated { " negotiated" } else { "" },
            options.system,
            options.system_priority,
            options.key,
            if options.fast { "fast" } else { "slow" },
        );
        for (name, lacp, takes) in states {
            let status = match lacp.receive {
                Receive::Current => "current",
                Receive::Expired => "expired",
                Receive::Defaulted | Receive::Disabled => "defaulted",
            };
            let attached = if lacp.mux >= Mux::Attached { "attached" } else { "detached" };
            let _ = writeln!(
                text,
                "\nmember: {name}: {status} {attached}\n  port_id: {}\n  port_priority: {}\n  may_enable: {takes}",
                lacp.actor.port, lacp.actor.port_priority,
            );
            party(&mut text, "actor", &lacp.actor);
            party(&mut text, "partner", &lacp.partner);
        }
        Some(text)
    })
    .flatten()
}

fn lacp_counts(switch: &Switch, name: &str) -> Option<String> {
    with(switch, name, |bond, members| {
        bond.lacp()?;
        let mut text = format!("---- {name} statistics ----\n");
        for (name, number) in members {
            let counts = bond.lacp_counts(*number);
            // A string takes whatever is written.
            let _ = writeln!(
                text,
                "\nmember: {name}:\n  TX PDUs: {}\n  RX PDUs: {}\n  RX Bad PDUs: {}\n  RX Marker Request PDUs: 0\n  \
                 Link Expired: {}\n  Link Defaulted: {}\n  Carrier Status Changed: {}",
                counts.sent, counts.heard, counts.bad, counts.expired, counts.defaulted, counts.links,
            );
        }
        Some(text)
    })
    .flatten()
}

/// The hash that Open vSwitch gives an address and a VLAN in a bond of the mode balance-slb, of which there are 256:
/// MurmurHash3 (public domain) of both. It is what scripts ask for; the workers here share differently.
fn source_hash(mac: MacAddr, vlan: u32, basis: u32) -> u8 {
    let word = mac.octets().iter().fold(u64::from(vlan), |word, octet| word << 8 | u64::from(*octet));
    let mut hash = basis;
    for part in [word as u32, (word >> 32) as u32] {
        hash ^= part.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    hash ^= 8;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16) as u8
}

#[cfg(test)]
mod tests {
    #[test]
    fn hashes_are_those_of_open_vswitch() {
        let hash = |last: u8, vlan, basis| {
            super::source_hash(super::MacAddr::new([0, 0, 0, 0, 0, last]), vlan, basis)
        };
        // As its `bond/hash` says.
        assert_eq!((hash(1, 0, 0), hash(1, 5, 7)), (68, 87));
    }
}
