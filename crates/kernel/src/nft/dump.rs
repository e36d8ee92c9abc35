//! What the kernel says of its tables, put together to a firewall: the pure half of observing it.

use super::constants::{INET, IP, IP6, LIST_ELEMENT, NETDEV, chain, rule, set, table};
use super::expression::{Expression, SetRef};
use super::raise::{Sets, raise};
use super::script::labels;
use super::set::{Content, Element, Shape, parse_element, parse_shape};
use crate::netlink::{Attribute, Attributes};
use netloom_compile::object::Family;
use netloom_compile::object::firewall::{
    Action, Chain, ChainKind, Firewall, FirewallRule, Hook, HookPoint, Match, Policy, Set, SetElements,
};
use std::collections::BTreeMap;

/// A set while its elements arrive.
#[derive(Debug)]
struct RawSet {
    shape: Option<Shape>,
    elements: Vec<Element>,
    /// It has an element that none of ours can have.
    odd: bool,
}

/// Name, and the number that tells anonymous sets apart in requests (the kernel gives them names).
type SetKey = (String, u32);

/// One table of one family.
#[derive(Debug)]
pub(super) struct Table {
    family: u8,
    dormant: bool,
    chains: Vec<Chain>,
    raw: BTreeMap<SetKey, RawSet>,
    sets: BTreeMap<SetKey, (bool, Result<Content, String>)>,
}

impl Table {
    pub(super) const fn new(family: u8, flags: u32) -> Self {
        let dormant = flags & table::DORMANT != 0;
        Self { family, dormant, chains: Vec::new(), raw: BTreeMap::new(), sets: BTreeMap::new() }
    }

    /// A chain (`NFTA_CHAIN_*`).
    pub(super) fn chain(&mut self, attributes: Attributes<'_>) {
        let Some(name) = attributes.get(chain::NAME).and_then(Attribute::text) else { return };
        let mut chain = Chain::regular(name);
        if let Some(hook) = attributes.get(chain::HOOK) {
            match parse_hook(self.family, attributes, hook.nested()) {
                Some(hook) => chain.hook = Some(hook),
                None => chain.rules.push(FirewallRule::new(Action::Unknown("unknown hook".into()))),
            }
        }
        self.chains.push(chain);
    }

    /// A set (`NFTA_SET_*`).
    pub(super) fn set(&mut self, attributes: Attributes<'_>) {
        let Some(name) = attributes.get(set::NAME).and_then(Attribute::text) else { return };
        let id = attributes.get(set::ID).and_then(Attribute::u32_be).unwrap_or(0);
        let shape = parse_shape(attributes);
        let id = if shape.is_some_and(|shape| shape.flags & set::ANONYMOUS != 0) { id } else { 0 };
        self.raw.insert((name.to_owned(), id), RawSet { shape, elements: Vec::new(), odd: false });
    }

    /// The sets whose elements are to be asked for.
    pub(super) fn set_names(&self) -> Vec<String> {
        self.raw.keys().map(|(name, _)| name.clone()).collect()
    }

    /// Elements (`NFTA_SET_ELEM_LIST_*`).
    pub(super) fn elements(&mut self, attributes: Attributes<'_>) {
        let Some(name) = attributes.get(set::LIST_SET).and_then(Attribute::text) else { return };
        let id = attributes.get(set::LIST_SET_ID).and_then(Attribute::u32_be).unwrap_or(0);
        let key = (name.to_owned(), id);
        let key = if self.raw.contains_key(&key) { key } else { (key.0, 0) };
        let Some(raw) = self.raw.get_mut(&key) else { return };
        let Some(list) = attributes.get(set::LIST_ELEMENTS) else { return };
        for element in list.nested().filter(|attribute| attribute.kind == LIST_ELEMENT) {
            match parse_element(element) {
                Some(element) => raw.elements.push(element),
                None => raw.odd = true,
            }
        }
    }

    /// All sets are complete; rules may come.
    pub(super) fn seal(&mut self) {
        for (key, raw) in std::mem::take(&mut self.raw) {
            let anonymous = raw.shape.is_some_and(|shape| shape.flags & set::ANONYMOUS != 0);
            let content = match raw.shape {
                _ if raw.odd => Err("unusual elements".to_owned()),
                Some(shape) => Content::from_elements(shape, &raw.elements),
                None => Err("no type".to_owned()),
            };
            self.sets.insert(key, (anonymous, content));
        }
    }

    /// A rule (`NFTA_RULE_*`).
    pub(super) fn rule(&mut self, attributes: Attributes<'_>) {
        let Some(chain) = attributes.get(rule::CHAIN).and_then(Attribute::text) else { return };
        let resolve = |name: &str, id: Option<u32>| -> Option<SetRef> {
            let key = (name.to_owned(), id.unwrap_or(0));
            match self.sets.get(&key)? {
                (true, Ok(content)) => Some(SetRef::Anonymous(content.clone())),
                (true, Err(_)) => None,
                (false, _) => Some(SetRef::Named(name.to_owned())),
            }
        };
        let expressions: Vec<Expression> =
            expressions(attributes).map(|element| Expression::parse(element, &resolve)).collect();
        let mut rule = raise(self.family, &*self, &expressions);
        if let Some(userdata) = attributes.get(rule::USERDATA) {
            let (name, origin) = labels(userdata.value);
            rule.name = name.map(Into::into);
            rule.origin = origin.map(Into::into);
        }
        match self.chains.iter_mut().find(|known| &*known.name == chain) {
            Some(known) => known.rules.push(rule),
            None => self.chains.push(Chain::regular(chain).rule(rule)),
        }
    }
}

impl Sets for Table {
    fn family(&self, name: &str) -> Option<Family> {
        match self.sets.get(&(name.to_owned(), 0))? {
            (_, Ok(Content::V4(_))) => Some(Family::V4),
            (_, Ok(Content::V6(_))) => Some(Family::V6),
            _ => None,
        }
    }
}

/// The expressions of a rule.
pub(super) fn expressions(attributes: Attributes<'_>) -> impl Iterator<Item = Attribute<'_>> {
    let list = attributes.get(rule::EXPRESSIONS).map(Attribute::nested).unwrap_or_default();
    list.filter(|attribute| attribute.kind == LIST_ELEMENT)
}

/// The firewall that tables make together.
pub(super) fn merge(tables: Vec<Table>) -> Firewall {
    let mut firewall = Firewall::default();
    for table in tables {
        firewall.dormant |= table.dormant;
        for mut chain in table.chains {
            // Only somebody else can have put such a chain there: it must not be taken for ours.
            if table.family != INET && !chain.on_device() || firewall.chain(&chain.name).is_some() {
                chain.rules.insert(
                    0,
                    FirewallRule::new(Action::Continue).when(Match::Unknown(
                        format!("in a table of family {}", family_name(table.family)).into(),
                    )),
                );
                chain.name = format!("{}/{}", family_name(table.family), chain.name).into();
            }
            firewall.chains.push(chain);
        }
        for ((name, _), (anonymous, content)) in table.sets {
            if anonymous {
                continue;
            }
            let (name, elements) = match (table.family, content) {
                (INET, Ok(Content::V4(list))) => (name, SetElements::V4(list)),
                (INET, Ok(Content::V6(list))) => (name, SetElements::V6(list)),
                (INET, Ok(Content::Ports(list))) => (name, SetElements::Ports(list)),
                (INET, Ok(Content::Interfaces(list))) => (name, SetElements::Interfaces(list)),
                (INET, Ok(_)) => (name, SetElements::Unknown("set of another type".into())),
                (INET, Err(what)) => (name, SetElements::Unknown(what.into())),
                (family, _) => {
                    let family = family_name(family);
                    (
                        format!("{family}/{name}"),
                        SetElements::Unknown(format!("set of family {family}").into()),
                    )
                }
            };
            firewall.sets.push(Set { name: name.into(), elements });
        }
    }
    firewall
}

impl Table {
    /// The firewall that this table is by itself, whoever made it.
    pub(super) fn alone(self) -> Firewall {
        let sets = self.sets.into_iter().filter(|(_, (anonymous, _))| !anonymous);
        let sets = sets.map(|((name, _), (_, content))| {
            let elements = match content {
                Ok(Content::V4(list)) => SetElements::V4(list),
                Ok(Content::V6(list)) => SetElements::V6(list),
                Ok(Content::Ports(list)) => SetElements::Ports(list),
                Ok(Content::Interfaces(list)) => SetElements::Interfaces(list),
                Ok(_) => SetElements::Unknown("set of another type".into()),
                Err(what) => SetElements::Unknown(what.into()),
            };
            Set { name: name.into(), elements }
        });
        Firewall { sets: sets.collect(), chains: self.chains, dormant: self.dormant }
    }
}

/// Names of families as nft(8) prints them.
pub(super) fn family_name(family: u8) -> String {
    match family {
        INET => "inet",
        IP => "ip",
        3 => "arp",
        NETDEV => "netdev",
        7 => "bridge",
        IP6 => "ip6",
        other => return other.to_string(),
    }
    .to_owned()
}

/// Number, priority and devices of a hook.
pub(super) fn parse_point(hook: Attributes<'_>) -> Option<(u32, i32, Vec<String>)> {
    let number = hook.get(chain::HOOK_NUMBER)?.u32_be()?;
    let priority = hook.get(chain::HOOK_PRIORITY)?.u32_be()? as i32;
    let mut devices: Vec<String> = hook
        .get(chain::HOOK_DEVICES)
        .map(Attribute::nested)
        .unwrap_or_default()
        .filter_map(|device| device.text().map(str::to_owned))
        .collect();
    if devices.is_empty() {
        devices.extend(hook.get(chain::HOOK_DEVICE).and_then(Attribute::text).map(str::to_owned));
    }
    Some((number, priority, devices))
}

fn parse_hook(family: u8, attributes: Attributes<'_>, hook: Attributes<'_>) -> Option<Hook> {
    let (number, priority, devices) = parse_point(hook)?;
    let device = || match devices.as_slice() {
        [one] => one.parse().ok(),
        _ => None,
    };
    let point = match (family, number) {
        (INET | IP | IP6, 0) => HookPoint::Prerouting,
        (INET | IP | IP6, 1) => HookPoint::Input,
        (INET | IP | IP6, 2) => HookPoint::Forward,
        (INET | IP | IP6, 3) => HookPoint::Output,
        (INET | IP | IP6, 4) => HookPoint::Postrouting,
        (NETDEV, 0) => HookPoint::Ingress { device: device()? },
        (NETDEV, 1) => HookPoint::Egress { device: device()? },
        _ => return None,
    };
    let kind = match attributes.get(chain::TYPE)?.text()? {
        "filter" => ChainKind::Filter,
        "nat" => ChainKind::Nat,
        "route" => ChainKind::Route,
        _ => return None,
    };
    let policy = match attributes.get(chain::POLICY).and_then(Attribute::u32_be) {
        Some(chain::DROP) => Policy::Drop,
        Some(chain::ACCEPT) | None => Policy::Accept,
        Some(_) => return None,
    };
    Some(Hook { point, kind, priority, policy })
}
