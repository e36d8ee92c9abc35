//! Queueing: what the user shapes by `qos`, and what media do to packets.
//!
//! What: wishes for an interface are collected first and put together last, since a medium and a class
//! tree may meet on one interface: then the tree stands above and the medium's delay and faults in its
//! leaves. At ports of Netloom's own switch there is no queueing of the kernel: the switch simulates the link
//! (`switched`).

mod medium;
mod qos;
mod switched;

pub(crate) use switched::link as switch_link;

use crate::compiled::{Context, ProblemKind};
use crate::inventory::{DEFAULT_MTU, Inventory};
use crate::object::shaper::{Ingress, Netem, Qdisc, Shaper};
use crate::object::{Key, LinkRef, Spec};
use crate::report::Report;
use crate::table::{Table, Wish};
use std::collections::BTreeMap;

/// What is wanted of one interface.
struct Pending {
    wish: Wish,
    reasons: Vec<String>,
    /// What the user shapes.
    root: Option<Qdisc>,
    /// What the medium does.
    medium: Option<Medium>,
    ingress: Option<Ingress>,
}

/// A medium in one direction, as far as this kernel can do it.
enum Medium {
    /// Everything.
    Faults(Box<Netem>),
    /// Only its rate.
    Rate(Qdisc),
}

#[derive(Default)]
struct Shapers {
    interfaces: BTreeMap<LinkRef, Pending>,
}

impl Shapers {
    fn at(&mut self, at: &LinkRef, wish: &Wish, reason: impl Into<String>) -> &mut Pending {
        let pending = self.interfaces.entry(at.clone()).or_insert_with(|| Pending {
            wish: wish.clone(),
            reasons: Vec::new(),
            root: None,
            medium: None,
            ingress: None,
        });
        pending.reasons.push(reason.into());
        pending
    }
}

/// The MTU that buckets are sized for.
fn mtu(inventory: &Inventory<'_>, at: &LinkRef) -> u32 {
    inventory.devices.get(at).and_then(|device| device.mtu).unwrap_or(DEFAULT_MTU)
}

/// Wants the queueing of every interface that needs some.
pub(crate) fn emit(inventory: &Inventory<'_>, context: &Context, table: &mut Table, report: &mut Report<'_>) {
    let mut shapers = Shapers::default();
    qos::add(inventory, &mut shapers, report);
    medium::add(inventory, &context.queueing, &mut shapers, report);
    for (at, pending) in shapers.interfaces {
        let root = combine(&at, &pending, report);
        let shaper = Shaper { root, ingress: pending.ingress, unrecognized: Vec::new() };
        for fault in shaper.check().err().into_iter().flatten() {
            let what = format!("shaping of {at}");
            report.problem(pending.wish.span, ProblemKind::Refused { what, why: fault.to_string() });
        }
        let key = Key::Shaper { space: at.space.clone(), link: at.name.clone() };
        let reason = pending.reasons.join(", ");
        table.want(key, Spec::Shaper(Box::new(shaper)), &pending.wish, reason, report);
    }
}

/// One tree of what the user shapes and what the medium does.
fn combine(at: &LinkRef, pending: &Pending, report: &mut Report<'_>) -> Option<Qdisc> {
    let Some(mut root) = pending.root.clone() else {
        return pending.medium.as_ref().map(|medium| match medium {
            Medium::Faults(netem) => Qdisc::Netem(netem.clone()),
            Medium::Rate(qdisc) => qdisc.clone(),
        });
    };
    let Some(Medium::Faults(netem)) = &pending.medium else {
        if pending.medium.is_some() {
            let text = format!("{at} is shaped by `qos`, so the rate of its medium does not count");
            report.information(pending.wish.span, text);
        }
        return Some(root);
    };
    let mut faults = netem.clone();
    if faults.rate.take().is_some() {
        let text = format!("{at} is shaped by `qos`, so of its medium only delay and faults count");
        report.information(pending.wish.span, text);
    }
    let leaf = Qdisc::Netem(faults);
    match &mut root {
        Qdisc::Htb(htb) => {
            let parents: Vec<_> = htb.classes.values().filter_map(|class| class.parent).collect();
            for (id, class) in &mut htb.classes {
                if !parents.contains(id) {
                    class.leaf = Some(Box::new(leaf.clone()));
                }
            }
        }
        Qdisc::Tbf(tbf) => tbf.child = Some(Box::new(leaf)),
        _ => {}
    }
    Some(root)
}
