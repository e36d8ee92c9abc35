//! Bonds: ports of the type `bond`, which are several other ports. They name their members, and follow when these come
//! and go.

use super::configuration::{Options, PortConfiguration};
use super::protocol::{BondStatus, LacpStatus, MemberStatus, Reply};
use super::state::{NOT_OPEN, Switch, SwitchError};
use super::words::{list, span, truth};
use netloom_nf::HashBy;
use netloom_vswitch::bond::{BondOptions, MemberState, Mode};
use netloom_vswitch::lacp::{Mux, PortState, Receive};
use netloom_wire::header::lacp::{Partner, State as Flags};

/// Options of a bond beside those of every port.
const OPTIONS: [&str; 13] = [
    "type",
    "members",
    "mode",
    "hash",
    "lacp-active",
    "lacp-rate",
    "lacp-priority",
    "fallback",
    "primary",
    "least",
    "up-delay",
    // Whose it is.
    "topology",
    "node",
];
/// What stands in a list of ports for one that does not have it.
const REFUSED: [&str; 2] = ["rate-out", "burst-out"];

/// Whether a port is a bond.
pub(super) fn is_bond(options: &Options) -> bool {
    options.get("type").is_some_and(|kind| kind == "bond")
}

/// A bond's options and members; `port` finds a port of the switch by its name.
pub(super) fn bond(
    options: &Options,
    port: impl Fn(&str) -> Result<u32, String>,
) -> Result<(BondOptions, Vec<u32>), String> {
    let known = |name: &&String| {
        OPTIONS.contains(&name.as_str())
            || !super::configuration::is_drivers(name) && !super::links::is_link(name)
    };
    if let Some(unknown) = options.keys().find(|name| !known(name) || REFUSED.contains(&name.as_str())) {
        let links = if super::links::is_link(unknown) || REFUSED.contains(&unknown.as_str()) {
            "; set it at the members"
        } else {
            ""
        };
        return Err(format!("a bond has no option `{unknown}`{links}; it has {}", OPTIONS.join(", ")));
    }
    let get = |name: &str| options.get(name).map(String::as_str);
    let switch = |name: &str, otherwise| get(name).map_or(Ok(otherwise), |text| truth(name, text));
    let word =
        |name: &str, text: &str, known: &[&str]| format!("`{name}={text}`: one of {}", known.join(", "));
    let own = BondOptions::default();
    let mode = get("mode").map_or(Ok(own.mode), |text| {
        let found = Mode::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(mode, _)| *mode).ok_or_else(|| word("mode", text, &Mode::ALL.map(|(_, name)| name)))
    })?;
    let hash = get("hash").map_or(Ok(own.hash), |text| {
        let found = HashBy::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(hash, _)| *hash).ok_or_else(|| word("hash", text, &HashBy::ALL.map(|(_, name)| name)))
    })?;
    let fast = match get("lacp-rate") {
        None | Some("slow") => false,
        Some("fast") => true,
        Some(text) => return Err(word("lacp-rate", text, &["slow", "fast"])),
    };
    let number = |name: &str, otherwise: usize, most: usize| match get(name).map(str::parse) {
        None => Ok(otherwise),
        Some(Ok(number)) if (1..=most).contains(&number) => Ok(number),
        Some(_) => Err(format!("`{name}` is a number from 1 to {most}")),
    };
    if mode == Mode::BalanceSlb && get("hash").is_some() {
        return Err("`hash` is not for mode=balance-slb, where the sender alone decides".to_owned());
    }
    let hash = if mode == Mode::BalanceSlb { HashBy::Source } else { hash };
    let mut members = Vec::new();
    for name in list(get("members").unwrap_or_default()) {
        let member = port(name)?;
        if members.contains(&member) {
            return Err(format!("`{name}` is named twice"));
        }
        members.push(member);
    }
    if members.is_empty() {
        return Err("a bond has members: members=p1,p2".to_owned());
    }
    let primary = get("primary").map(&port).transpose()?;
    if let (Some(primary), Some(name)) = (primary, get("primary"))
        && !members.contains(&primary)
    {
        return Err(format!("`primary={name}` is no member"));
    }
    let bond = BondOptions {
        mode,
        hash,
        active: switch("lacp-active", own.active)?,
        fast,
        system_priority: u16::try_from(number("lacp-priority", own.system_priority.into(), 65_535)?)
            .unwrap_or(own.system_priority),
        fallback: switch("fallback", own.fallback)?,
        primary,
        up_delay: get("up-delay").map_or(Ok(0), |text| span("up-delay", text))?,
        least: number("least", own.least, 256)?,
    };
    if mode != Mode::Lacp
        && let Some(name) =
            ["lacp-active", "lacp-rate", "lacp-priority", "fallback"].iter().find(|name| get(name).is_some())
    {
        return Err(format!("`{name}` needs mode=lacp"));
    }
    Ok((bond, members))
}

impl Switch {
    /// Whether a bond can be made so.
    pub(super) fn check_bond(&self, name: &str, port: &PortConfiguration) -> Result<(), SwitchError> {
        let wrong = |text| SwitchError::Option(name.to_owned(), text);
        let taken = |member: &str| {
            let others = self.ports_of(&port.switch).filter(|(other, _)| *other != name);
            others
                .filter(|(_, other)| is_bond(&other.options))
                .find(|(_, other)| {
                    other.options.get("members").is_some_and(|of| list(of).any(|of| of == member))
                })
                .map(|(other, _)| other.clone())
        };
        let find = |member: &str| match self.configured(member) {
            Ok(known) if known.switch != port.switch => {
                Err(format!("port `{member}` is one of {}", known.switch))
            }
            Ok(known) if is_bond(&known.options) => Err(format!("`{member}` is a bond itself")),
            Ok(known) => match taken(member) {
                Some(other) => Err(format!("`{member}` is a member of {other}")),
                None => Ok(known.number),
            },
            Err(error) => Err(format!(
                "{error}; a member is added as a port first: port add {} {member} type=... dev=...",
                port.switch
            )),
        };
        bond(&port.options, find).map(drop).map_err(wrong)
    }

    /// Gives a bridge its bonds as they are configured, without disturbing those that are so already. Members that are
    /// gone are left out.
    pub(super) fn apply_bonds(&mut self, switch: &str) {
        let mut all = Vec::new();
        {
            let now = self.now();
            let bonds: Vec<_> = self.ports_of(switch).filter(|(_, port)| is_bond(&port.options)).collect();
            let mut bridges = self.bridges.lock();
            let Some(bridge) = bridges.by_name.get_mut(switch) else { return };
            for (_, port) in bonds {
                // Number 0 is nobody's.
                let number =
                    |name: &str| Ok(self.configuration.ports.get(name).map_or(0, |port| port.number));
                let Ok((options, mut members)) = bond(&port.options, number) else { continue };
                members.retain(|member| bridge.ports().contains_key(member));
                let there = bridge.bonds().find(|(bond, _)| *bond == port.number).map(|(_, bond)| bond);
                let same = there.is_some_and(|bond| {
                    let (mut is, mut wanted): (Vec<u32>, Vec<u32>) =
                        (bond.members().collect(), members.clone());
                    is.sort_unstable();
                    wanted.sort_unstable();
                    *bond.options() == options && is == wanted
                });
                if !same {
                    all.push(bridge.set_bond(port.number, Some((options, members)), now));
                }
            }
        }
        for effects in all {
            self.follow(effects);
        }
    }

    pub(super) fn bond_list(&self, switch: Option<&str>) -> Result<Reply, SwitchError> {
        if let Some(switch) = switch {
            self.known_switch(switch)?;
        }
        let ports =
            self.configuration.ports.iter().filter(|(_, port)| {
                is_bond(&port.options) && switch.is_none_or(|switch| switch == port.switch)
            });
        let status = |(name, port): (&String, &PortConfiguration)| {
            let members = list(port.options.get("members").map_or("", String::as_str));
            let member = |member: &str| {
                let number = self.configuration.ports.get(member).map_or(0, |port| port.number);
                let mut bridges = self.bridges.lock();
                let bond = bridges.of(port.number).and_then(|bridge| {
                    bridge.bonds().find(|(bond, _)| *bond == port.number)?.1.state(number)
                });
                drop(bridges);
                member_status(member, self.link_state(member), bond)
            };
            let members: Vec<MemberStatus> = members.map(member).collect();
            // Numbers that differ, as those of members do.
            let place = |name: &str| {
                let known = self.configuration.ports.get(name).map(|port| port.number);
                Ok(known.unwrap_or_default())
            };
            let mode = bond(&port.options, place).map_or(Mode::default(), |(options, _)| options.mode);
            BondStatus {
                name: name.clone(),
                switch: port.switch.clone(),
                mode: Mode::ALL
                    .iter()
                    .find(|(known, _)| *known == mode)
                    .map_or("", |(_, name)| name)
                    .to_owned(),
                up: members.iter().any(|member| member.sends),
                members,
                options: port.options.clone(),
            }
        };
        Ok(Reply::Bonds(ports.map(status).collect()))
    }

    /// How a port's link is.
    fn link_state(&self, name: &str) -> String {
        self.ports.get(name).map_or_else(|| NOT_OPEN.to_owned(), |carried| (carried.state)())
    }
}

/// What a member does, in a word.
pub(super) const fn work(state: Option<&MemberState>) -> &'static str {
    match state {
        None => "no member",
        Some(MemberState { up: false, .. }) => "down",
        Some(MemberState { takes: true, sends: true, .. }) => "works",
        Some(MemberState { takes: true, .. }) => "takes",
        Some(MemberState { .. }) => "waits",
    }
}

fn member_status(name: &str, state: String, bond: Option<MemberState>) -> MemberStatus {
    let work = work(bond.as_ref());
    MemberStatus {
        name: name.to_owned(),
        state,
        work: work.to_owned(),
        takes: bond.is_some_and(|bond| bond.takes),
        sends: bond.is_some_and(|bond| bond.sends),
        lacp: bond.and_then(|bond| bond.lacp).map(lacp_status),
    }
}

/// The names of the flags that are set, as `ovs-appctl` writes them.
pub(super) fn flags(state: Flags) -> Vec<&'static str> {
    let names = [
        (Flags::ACTIVITY, "activity"),
        (Flags::SHORT_TIMEOUT, "timeout"),
        (Flags::AGGREGATION, "aggregation"),
        (Flags::SYNCHRONIZATION, "synchronized"),
        (Flags::COLLECTING, "collecting"),
        (Flags::DISTRIBUTING, "distributing"),
        (Flags::DEFAULTED, "defaulted"),
        (Flags::EXPIRED, "expired"),
    ];
    names.iter().filter(|(flag, _)| state.contains(*flag)).map(|(_, name)| *name).collect()
}

fn end(of: &Partner) -> String {
    let Partner { system_priority, system, key, port_priority, port, .. } = of;
    format!("{system_priority}/{system} key {key} port {port_priority}/{port}")
}

fn lacp_status(state: PortState) -> LacpStatus {
    let receive = match state.receive {
        Receive::Disabled => "disabled",
        Receive::Expired => "expired",
        Receive::Defaulted => "defaulted",
        Receive::Current => "current",
    };
    let mux = match state.mux {
        Mux::Detached => "detached",
        Mux::Waiting => "waiting",
        Mux::Attached => "attached",
        Mux::Collecting => "collecting",
        Mux::Distributing => "distributing",
    };
    LacpStatus {
        receive: receive.to_owned(),
        mux: mux.to_owned(),
        actor: end(&state.actor),
        actor_state: flags(state.actor.state).join(" "),
        partner: end(&state.partner),
        partner_state: flags(state.partner.state).join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<(BondOptions, Vec<u32>), String> {
        let options = text.split_whitespace().filter_map(|word| word.split_once('='));
        let options: Options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let port = |name: &str| match name {
            "p1" => Ok(1),
            "p2" => Ok(2),
            other => Err(format!("there is no port `{other}`")),
        };
        bond(&options, port)
    }

    #[test]
    fn options_of_bonds() {
        let (options, members) = of("type=bond members=p2,p1 vlan=7").unwrap();
        assert_eq!((options, members), (BondOptions::default(), vec![2, 1]));
        let (options, _) =
            of("members=p1,p2 mode=active-backup hash=l23 primary=p2 least=2 up-delay=2s").unwrap();
        assert_eq!((options.mode, options.hash, options.primary), (Mode::ActiveBackup, HashBy::L23, Some(2)));
        assert_eq!((options.least, options.up_delay), (2, 2_000_000_000));
        let (options, _) =
            of("members=p1 lacp-rate=fast lacp-active=false lacp-priority=7 fallback=true").unwrap();
        assert_eq!(
            (options.fast, options.active, options.system_priority, options.fallback),
            (true, false, 7, true)
        );
        for (wrong, why) in [
            ("", "has members"),
            ("members=p1,p1", "twice"),
            ("members=p3", "no port `p3`"),
            ("members=p1 primary=p2", "no member"),
            ("members=p1 mode=trunk", "lacp, active-backup, balance, balance-slb"),
            ("members=p1 mode=balance-slb hash=l34", "the sender alone"),
            ("members=p1 hash=l7", "l34, l23, l2, source"),
            ("members=p1 mode=balance lacp-rate=fast", "needs mode=lacp"),
            ("members=p1 lacp-rate=often", "slow, fast"),
            ("members=p1 least=0", "from 1"),
            ("members=p1 delay=1ms", "at the members"),
            ("members=p1 rate-out=1mbit", "at the members"),
            ("members=p1 dev=eth0", "no option `dev`"),
        ] {
            let told = of(wrong).unwrap_err();
            assert!(told.contains(why), "{wrong}: {told}");
        }
    }
}
