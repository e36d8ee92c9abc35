//! Packet filters: policies, firewalls of nodes, address translation, one-way cables.
//!
//! What: each module adds rules to the chains of a namespace; one [`Firewall`] for each namespace comes out.
//!
//! Invariants: policies and a node's own firewall sit in chains of different priority, so a packet must
//! pass both; within a chain the first rule that fits decides; every rule that a user can ask about counts
//! its packets and names its place in the file.

mod forward;
mod host;
mod node;
mod policy;
mod rules;
mod side;
mod simplex;
mod tunnels;

use crate::compiled::ProblemKind;
use crate::inventory::Inventory;
use crate::object::firewall::{Chain, ChainKind, Firewall, FirewallRule, HookPoint, Policy};
use crate::object::{Key, Space, Spec};
use crate::report::Report;
use crate::table::{Table, Wish};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Chains that compilation makes, in the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    DestinationNat,
    DestinationNatLocal,
    PolicyInput,
    Input,
    Forward,
    PolicyOutput,
    SourceNat,
}

impl Place {
    fn chain(self) -> Chain {
        let (name, point, kind, priority) = match self {
            Self::DestinationNat => ("destination-nat", HookPoint::Prerouting, ChainKind::Nat, -100),
            Self::DestinationNatLocal => ("destination-nat-local", HookPoint::Output, ChainKind::Nat, -100),
            Self::PolicyInput => ("policy-input", HookPoint::Input, ChainKind::Filter, 0),
            Self::Input => ("input", HookPoint::Input, ChainKind::Filter, 10),
            Self::Forward => ("forward", HookPoint::Forward, ChainKind::Filter, 0),
            Self::PolicyOutput => ("policy-output", HookPoint::Output, ChainKind::Filter, 0),
            Self::SourceNat => ("source-nat", HookPoint::Postrouting, ChainKind::Nat, 100),
        };
        Chain::base(name, point, kind, priority, Policy::Accept)
    }
}

/// The filters of every namespace while they grow.
struct Filters {
    spaces: BTreeMap<Space, SpaceFilter>,
}

/// The filter of one namespace.
struct SpaceFilter {
    wish: Wish,
    reasons: Vec<&'static str>,
    chains: BTreeMap<Place, Chain>,
    on_devices: Vec<Chain>,
}

impl Filters {
    /// The filter of a namespace; `wish` and `reason` say who asks for it now.
    fn space(&mut self, space: &Space, wish: &Wish, reason: &'static str) -> &mut SpaceFilter {
        let filter = self.spaces.entry(space.clone()).or_insert_with(|| SpaceFilter {
            wish: wish.clone(),
            reasons: Vec::new(),
            chains: BTreeMap::new(),
            on_devices: Vec::new(),
        });
        if !filter.reasons.contains(&reason) {
            filter.reasons.push(reason);
        }
        filter
    }
}

impl SpaceFilter {
    fn chain(&mut self, place: Place) -> &mut Chain {
        self.chains.entry(place).or_insert_with(|| place.chain())
    }

    fn add(&mut self, place: Place, rules: impl IntoIterator<Item = FirewallRule>) {
        self.chain(place).rules.extend(rules);
    }

    /// What happens at the end of a chain, if nothing before decided.
    fn set_policy(&mut self, place: Place, policy: Policy) {
        if let Some(hook) = &mut self.chain(place).hook {
            hook.policy = policy;
        }
    }
}

/// Wants the packet filter of every namespace that needs one.
pub(crate) fn emit(inventory: &Inventory<'_>, table: &mut Table, report: &mut Report<'_>) {
    let mut filters = Filters { spaces: BTreeMap::new() };
    policy::add(inventory, &mut filters, report);
    node::add(inventory, &mut filters, report);
    host::add(inventory, &mut filters, report);
    forward::add(inventory, &mut filters, table, report);
    simplex::add(inventory, &mut filters, table, report);
    for (space, filter) in filters.spaces {
        let mut firewall = Firewall::default();
        firewall.chains.extend(filter.chains.into_values());
        firewall.chains.extend(filter.on_devices);
        for rule in firewall.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
            *rule = rule.canonical();
        }
        for fault in firewall.check() {
            let what = format!("packet filter of {space}");
            report.problem(filter.wish.span, ProblemKind::Refused { what, why: fault.to_string() });
        }
        let reason: Arc<str> = filter.reasons.join(", ").into();
        let key = Key::Firewall { space };
        table.want(key, Spec::Firewall(Box::new(firewall)), &filter.wish, reason, report);
    }
}
