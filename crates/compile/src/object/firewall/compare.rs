//! What differs between an observed and a desired table, in words.
//!
//! Cost: linear when the tables are equal. Chains that differ are compared by their longest common
//! subsequence, after equal heads and tails are cut off; beyond a million pairs the middle is compared
//! as a bag of rules, so that a hostile or huge chain costs no quadratic time.

use super::{Chain, Firewall, FirewallRule, Set, SetElements};
use std::collections::BTreeMap;
use std::fmt::Display;

type Report<'a> = &'a mut dyn FnMut(String, String, String);

const ABSENT: &str = "none";

impl Firewall {
    /// Calls `report(field, from, to)` for each difference between this observed table and `desired`.
    pub fn compare(&self, desired: &Self, report: Report<'_>) {
        if self.dormant != desired.dormant {
            report("dormant".to_owned(), self.dormant.to_string(), desired.dormant.to_string());
        }
        let wanted: BTreeMap<&str, &Chain> =
            desired.chains.iter().map(|chain| (&*chain.name, chain)).collect();
        let found: BTreeMap<&str, &Chain> = self.chains.iter().map(|chain| (&*chain.name, chain)).collect();
        for (name, from) in &found {
            if let Some(to) = wanted.get(name) {
                compare_chain(from, to, report);
            } else {
                report(format!("chain {name}"), describe(from), ABSENT.to_owned());
            }
        }
        for (name, to) in wanted.iter().filter(|(name, _)| !found.contains_key(*name)) {
            report(format!("chain {name}"), ABSENT.to_owned(), describe(to));
        }
        compare_sets(&self.sets, &desired.sets, report);
    }
}

fn describe(chain: &Chain) -> String {
    let rules = chain.rules.len();
    match &chain.hook {
        Some(hook) => format!("{hook}, rules {rules}"),
        None => format!("rules {rules}"),
    }
}

fn compare_chain(from: &Chain, to: &Chain, report: Report<'_>) {
    let name = &to.name;
    if from.hook != to.hook {
        let text =
            |chain: &Chain| chain.hook.as_ref().map_or_else(|| "no hook".to_owned(), ToString::to_string);
        report(format!("chain {name} hook"), text(from), text(to));
    }
    let old: Vec<FirewallRule> = from.rules.iter().map(comparable).collect();
    let new: Vec<FirewallRule> = to.rules.iter().map(comparable).collect();
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let old = &old[head..old.len() - tail];
    let new = &new[head..new.len() - tail];
    let (removed, added) =
        if old.len().saturating_mul(new.len()) <= 1_000_000 { by_order(old, new) } else { by_bag(old, new) };
    report_rules(name, head, old, new, &removed, &added, report);
}

/// Without what is never compared.
fn comparable(rule: &FirewallRule) -> FirewallRule {
    FirewallRule { origin: None, ..rule.canonical() }
}

/// Indices of old rules that are gone and of new ones that are added, by longest common subsequence.
fn by_order(old: &[FirewallRule], new: &[FirewallRule]) -> (Vec<usize>, Vec<usize>) {
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[i * width + j] = if old[i] == new[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            i += 1;
            j += 1;
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            removed.push(i);
            i += 1;
        } else {
            added.push(j);
            j += 1;
        }
    }
    removed.extend(i..old.len());
    added.extend(j..new.len());
    (removed, added)
}

/// The same by counting equal rules. Rules that only moved are found as well: if nothing was added or
/// removed and yet the lists differ, the first rule out of place counts as removed and added.
fn by_bag(old: &[FirewallRule], new: &[FirewallRule]) -> (Vec<usize>, Vec<usize>) {
    let mut bag: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, rule) in new.iter().enumerate().rev() {
        bag.entry(format!("{rule:?}")).or_default().push(index);
    }
    let mut removed = Vec::new();
    for (index, rule) in old.iter().enumerate() {
        if bag.get_mut(&format!("{rule:?}")).and_then(Vec::pop).is_none() {
            removed.push(index);
        }
    }
    let mut added: Vec<usize> = bag.into_values().flatten().collect();
    added.sort_unstable();
    if removed.is_empty() && added.is_empty() && !old.is_empty() {
        (removed, added) = (vec![0], vec![0]);
    }
    (removed, added)
}

/// Reports a removed and an added rule of one name (or of one place) as one change.
fn report_rules(
    chain: &str,
    head: usize,
    old: &[FirewallRule],
    new: &[FirewallRule],
    removed: &[usize],
    added: &[usize],
    report: Report<'_>,
) {
    let mut added: Vec<usize> = added.to_vec();
    for &index in removed {
        let from = &old[index];
        let partner = added.iter().position(|&other| match (&from.name, &new[other].name) {
            (Some(a), Some(b)) => a == b,
            (None, None) => other == index,
            _ => false,
        });
        let to = partner.map(|position| &new[added.remove(position)]);
        let field = field(chain, head + index, from);
        report(field, from.to_string(), to.map_or_else(|| ABSENT.to_owned(), ToString::to_string));
    }
    for index in added {
        let to = &new[index];
        report(field(chain, head + index, to), ABSENT.to_owned(), to.to_string());
    }
}

fn field(chain: &str, index: usize, rule: &FirewallRule) -> String {
    match &rule.name {
        Some(name) => format!("chain {chain} rule \"{name}\""),
        None => format!("chain {chain} rule {}", index + 1),
    }
}

fn compare_sets(found: &[Set], desired: &[Set], report: Report<'_>) {
    let wanted: BTreeMap<&str, &Set> = desired.iter().map(|set| (&*set.name, set)).collect();
    let present: BTreeMap<&str, &Set> = found.iter().map(|set| (&*set.name, set)).collect();
    for (name, from) in &present {
        match wanted.get(name) {
            None => report(format!("set {name}"), size(&from.elements), ABSENT.to_owned()),
            Some(to) => compare_elements(name, &from.elements, &to.elements, report),
        }
    }
    for (name, to) in wanted.iter().filter(|(name, _)| !present.contains_key(*name)) {
        report(format!("set {name}"), ABSENT.to_owned(), size(&to.elements));
    }
}

fn compare_elements(name: &str, from: &SetElements, to: &SetElements, report: Report<'_>) {
    match (from, to) {
        (SetElements::V4(a), SetElements::V4(b)) => members(name, a.as_slice(), b.as_slice(), report),
        (SetElements::V6(a), SetElements::V6(b)) => members(name, a.as_slice(), b.as_slice(), report),
        (SetElements::Ports(a), SetElements::Ports(b)) => members(name, a.as_slice(), b.as_slice(), report),
        (SetElements::Interfaces(a), SetElements::Interfaces(b)) => {
            let list = |set: &std::collections::BTreeSet<_>| set.iter().cloned().collect::<Vec<_>>();
            members(name, &list(a), &list(b), report);
        }
        (a, b) if a == b => {}
        (a, b) => report(format!("set {name}"), size(a), size(b)),
    }
}

/// Both lists are sorted. At most a few elements are named.
fn members<T: Ord + Display>(name: &str, from: &[T], to: &[T], report: Report<'_>) {
    let missing = |list: &[T], other: &[T]| -> Option<String> {
        let mut rest = list.iter().filter(|element| other.binary_search(element).is_err());
        let some: Vec<String> = rest.by_ref().take(4).map(ToString::to_string).collect();
        let more = rest.count();
        if some.is_empty() {
            None
        } else if more == 0 {
            Some(some.join(", "))
        } else {
            Some(format!("{} and {more} more", some.join(", ")))
        }
    };
    let (gone, come) = (missing(from, to), missing(to, from));
    if gone.is_some() || come.is_some() {
        let text = |part: Option<String>| part.unwrap_or_else(|| ABSENT.to_owned());
        report(format!("set {name} elements"), text(gone), text(come));
    }
}

fn size(elements: &SetElements) -> String {
    match elements {
        SetElements::V4(list) => format!("{} IPv4 prefixes", list.len()),
        SetElements::V6(list) => format!("{} IPv6 prefixes", list.len()),
        SetElements::Ports(list) => format!("{} port ranges", list.as_slice().len()),
        SetElements::Interfaces(list) => format!("{} interfaces", list.len()),
        SetElements::Unknown(what) => format!("<{what}>"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;

    fn differences(from: &Firewall, to: &Firewall) -> Vec<String> {
        let mut list = Vec::new();
        from.compare(to, &mut |field, from, to| list.push(format!("{field}: {from} -> {to}")));
        list
    }

    fn named(name: &str, action: Action) -> FirewallRule {
        FirewallRule::new(action).named(name)
    }

    fn table(rules: Vec<FirewallRule>) -> Firewall {
        let mut chain = Chain::base("forward", HookPoint::Forward, ChainKind::Filter, 0, Policy::Drop);
        chain.rules = rules;
        Firewall { chains: vec![chain], ..Firewall::default() }
    }

    #[test]
    fn rules_are_added_removed_changed_and_moved() {
        let (a, b, c) = (named("a", Action::Accept), named("b", Action::Drop), named("c", Action::Accept));
        let base = table(vec![a.clone(), b.clone(), c.clone()]);
        assert_eq!(differences(&base, &base), Vec::<String>::new());
        assert_eq!(
            differences(&base, &table(vec![a.clone(), c.clone()])),
            ["chain forward rule \"b\": drop -> none"]
        );
        assert_eq!(
            differences(&table(vec![a.clone(), c.clone()]), &base),
            ["chain forward rule \"b\": none -> drop"]
        );
        assert_eq!(
            differences(&base, &table(vec![a.clone(), named("b", Action::Accept), c.clone()])),
            ["chain forward rule \"b\": drop -> accept"]
        );
        assert!(!differences(&base, &table(vec![b, a, c])).is_empty(), "order matters");
    }

    #[test]
    fn an_origin_is_no_difference_but_a_policy_is() {
        let at = |line: &str| table(vec![named("a", Action::Accept).from(&line)]);
        assert_eq!(differences(&at("x.yaml:1:1"), &at("x.yaml:9:1")), Vec::<String>::new());
        let mut open = at("x.yaml:1:1");
        open.chains[0].hook.as_mut().unwrap().policy = Policy::Accept;
        assert_eq!(differences(&open, &at("x.yaml:1:1")).len(), 1);
    }

    #[test]
    fn huge_chains_are_compared_in_reasonable_time() {
        let rules: Vec<_> = (0..5_000).map(|n| named(&format!("rule {n}"), Action::Accept)).collect();
        let mut turned = rules.clone();
        turned.reverse();
        assert!(!differences(&table(rules), &table(turned)).is_empty());
    }

    #[test]
    fn set_members_are_named() {
        let set = |list: &[&str]| Firewall {
            sets: vec![Set {
                name: "web".into(),
                elements: SetElements::V4(list.iter().map(|net| net.parse().unwrap()).collect()),
            }],
            ..Firewall::default()
        };
        assert_eq!(
            differences(&set(&["10.0.0.0/24", "10.9.0.0/24"]), &set(&["10.0.0.0/24", "10.1.0.0/24"])),
            ["set web elements: 10.9.0.0/24 -> 10.1.0.0/24"]
        );
    }
}
