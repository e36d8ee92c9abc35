//! Whether a tree can be said to the kernel at all.

use super::filter::family;
use super::{
    BitRate, ClassId, Filter, Htb, Ingress, Match, Netem, PartsPerMillion, Prio, Qdisc, Shaper, Tbf,
};
use std::time::Duration;

/// Levels of classes in a tree (`TC_HTB_MAXDEPTH`, linux/pkt_sched.h).
const MOST_LEVELS: usize = 8;
/// Levels of disciplines below each other.
const MOST_DISCIPLINES: usize = 3;
/// A bucket is kept as the time that it takes to send it: 32 bits of 64 ns.
const LONGEST_BUCKET: Duration = Duration::from_secs(270);
/// Filters of one discipline: each takes two of the 65,535 priorities and, with ports, one of u32's 2,047
/// hash tables.
const MOST_FILTERS: usize = 2047;

/// What is wrong with a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShaperFault {
    /// Neither a root discipline nor an ingress rule.
    #[error("the shaper does nothing: it needs a root discipline or an ingress rule")]
    Empty,
    /// An observed thing was desired.
    #[error("Netloom cannot make `{0}`")]
    Unmakeable(String),
    /// A rate below one octet per second.
    #[error("{what}: a rate must be at least 8 bit/s")]
    NoRate {
        /// Where.
        what: String,
    },
    /// A ceiling or peak below the rate.
    #[error("{what}: {ceil} is below the rate {rate}")]
    BelowRate {
        /// Where.
        what: String,
        /// The upper bound.
        ceil: BitRate,
        /// The rate.
        rate: BitRate,
    },
    /// A bucket that is empty, or takes too long to send.
    #[error(
        "{what}: a burst of {burst} octets does not go with {rate}: sending it must take up to 270 s, and it must not be 0"
    )]
    Burst {
        /// Where.
        what: String,
        /// Octets.
        burst: u32,
        /// The rate.
        rate: BitRate,
    },
    /// A class that is named and does not exist.
    #[error("{what} names class {class}, which does not exist")]
    NoClass {
        /// Who names it.
        what: String,
        /// The class.
        class: ClassId,
    },
    /// Packets can wait only in leaves.
    #[error("{what} names class {class}, which has classes below it; packets wait only in leaves")]
    NotLeaf {
        /// Who names it.
        what: String,
        /// The class.
        class: ClassId,
    },
    /// A class among its own ancestors, or too far below the root.
    #[error("class {0} is more than 8 levels deep or its own ancestor")]
    Depth(ClassId),
    /// A number outside its range.
    #[error("{what} {value} is outside {low}..{high}")]
    Range {
        /// Which number.
        what: String,
        /// The value.
        value: u64,
        /// The smallest legal one.
        low: u64,
        /// The largest legal one.
        high: u64,
    },
    /// A match that cannot match.
    #[error("the match `{when}` contradicts itself: {why}")]
    Contradiction {
        /// The match.
        when: String,
        /// What does not go together.
        why: &'static str,
    },
    /// Reordering without a delay does nothing.
    #[error("netem can only reorder packets that it delays")]
    ReorderWithoutDelay,
    /// This kind can have no other below it.
    #[error("{child} cannot sit below {parent}")]
    Nesting {
        /// The upper kind.
        parent: String,
        /// The lower kind.
        child: String,
    },
}

impl Shaper {
    /// Everything that is wrong with the tree.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<(), Vec<ShaperFault>> {
        let mut faults = Vec::new();
        if self.root.is_none() && self.ingress.is_none() {
            faults.push(ShaperFault::Empty);
        }
        faults.extend(self.unrecognized.iter().cloned().map(ShaperFault::Unmakeable));
        if let Some(root) = &self.root {
            check_qdisc(root, 1, &mut faults);
        }
        if let Some(Ingress::Police { rate, burst }) = &self.ingress {
            bucket("the ingress policer", *rate, *burst, &mut faults);
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// `level` counts disciplines from the root, which is 1.
fn check_qdisc(qdisc: &Qdisc, level: usize, faults: &mut Vec<ShaperFault>) {
    match qdisc {
        Qdisc::Htb(htb) => check_htb(htb, faults),
        Qdisc::Tbf(tbf) => check_tbf(tbf, faults),
        Qdisc::Netem(netem) => check_netem(netem, faults),
        Qdisc::Prio(prio) => check_prio(prio, faults),
        Qdisc::Other { name } => faults.push(ShaperFault::Unmakeable(name.clone())),
        Qdisc::FqCodel(_) | Qdisc::Sfq(_) | Qdisc::Pfifo { .. } | Qdisc::Bfifo { .. } => {}
    }
    for (_, child) in qdisc.children() {
        // Classes and filters are told apart by the root's handle alone, and a handle is made from the
        // class above: so classes are at the root only, and three levels are the most.
        let classes = matches!(child, Qdisc::Htb(_) | Qdisc::Prio(_));
        let twice = matches!((qdisc, child), (Qdisc::Netem(_), Qdisc::Netem(_)));
        if classes || twice || level >= MOST_DISCIPLINES {
            faults.push(ShaperFault::Nesting {
                parent: qdisc.kind().to_owned(),
                child: child.kind().to_owned(),
            });
        }
        check_qdisc(child, level + 1, faults);
    }
}

fn bucket(what: &str, rate: BitRate, burst: u32, faults: &mut Vec<ShaperFault>) {
    if rate.octets() == 0 {
        faults.push(ShaperFault::NoRate { what: what.to_owned() });
    } else if burst == 0 || u64::from(burst) / rate.octets() >= LONGEST_BUCKET.as_secs() {
        faults.push(ShaperFault::Burst { what: what.to_owned(), burst, rate });
    }
}

fn check_htb(htb: &Htb, faults: &mut Vec<ShaperFault>) {
    if let Some(class) = htb.default {
        target(htb, "the default", class, faults);
    }
    if let Some(0) = htb.r2q {
        faults.push(ShaperFault::Range {
            what: "r2q".to_owned(),
            value: 0,
            low: 1,
            high: u64::from(u32::MAX),
        });
    }
    for (id, class) in &htb.classes {
        let what = format!("class {id}");
        bucket(&what, class.rate, class.burst, faults);
        bucket(&what, class.ceil, class.cburst, faults);
        if class.ceil < class.rate {
            faults.push(ShaperFault::BelowRate { what: what.clone(), ceil: class.ceil, rate: class.rate });
        }
        range(&format!("{what}: priority"), u64::from(class.priority), 0, 7, faults);
        if let Some(quantum) = class.quantum {
            range(&format!("{what}: quantum"), u64::from(quantum), 1, i32::MAX as u64, faults);
        }
        if class.leaf.is_some() && !htb.is_leaf(*id) {
            faults.push(ShaperFault::NotLeaf { what: "a leaf discipline".to_owned(), class: *id });
        }
        let mut levels = 1;
        let mut above = class.parent;
        while let Some(parent) = above {
            levels += 1;
            if levels > MOST_LEVELS {
                faults.push(ShaperFault::Depth(*id));
                break;
            }
            above = match htb.classes.get(&parent) {
                Some(class) => class.parent,
                None => {
                    faults.push(ShaperFault::NoClass { what: what.clone(), class: parent });
                    None
                }
            };
        }
    }
    for filter in &htb.filters {
        target(htb, &format!("the filter `{}`", filter.when), filter.class, faults);
    }
    check_filters(&htb.filters, faults);
}

fn target(htb: &Htb, what: &str, class: ClassId, faults: &mut Vec<ShaperFault>) {
    if !htb.classes.contains_key(&class) {
        faults.push(ShaperFault::NoClass { what: what.to_owned(), class });
    } else if !htb.is_leaf(class) {
        faults.push(ShaperFault::NotLeaf { what: what.to_owned(), class });
    }
}

fn range(what: &str, value: u64, low: u64, high: u64, faults: &mut Vec<ShaperFault>) {
    if !(low..=high).contains(&value) {
        faults.push(ShaperFault::Range { what: what.to_owned(), value, low, high });
    }
}

fn check_tbf(tbf: &Tbf, faults: &mut Vec<ShaperFault>) {
    bucket("tbf", tbf.rate, tbf.burst, faults);
    range("tbf: limit", u64::from(tbf.limit), 1, u64::from(u32::MAX), faults);
    if let Some(peak) = tbf.peak {
        bucket("the peak of tbf", peak.rate, peak.burst, faults);
        if peak.rate.octets() <= tbf.rate.octets() {
            faults.push(ShaperFault::BelowRate {
                what: "the peak of tbf".to_owned(),
                ceil: peak.rate,
                rate: tbf.rate,
            });
        }
    }
}

fn check_netem(netem: &Netem, faults: &mut Vec<ShaperFault>) {
    let mut share = |what: &str, value: PartsPerMillion| {
        range(
            &format!("netem: {what} (in millionths)"),
            u64::from(value.0),
            0,
            u64::from(PartsPerMillion::ALL.0),
            faults,
        );
    };
    share("loss", netem.loss);
    share("loss correlation", netem.loss_correlation);
    share("delay correlation", netem.delay_correlation);
    share("duplicate", netem.duplicate);
    share("corrupt", netem.corrupt);
    if let Some(reorder) = netem.reorder {
        share("reorder", reorder.share);
        share("reorder correlation", reorder.correlation);
        range("netem: reorder gap", u64::from(reorder.gap), 1, u64::from(u32::MAX), faults);
        if netem.delay.is_zero() {
            faults.push(ShaperFault::ReorderWithoutDelay);
        }
    }
    // The kernel keeps nanoseconds in 64 signed bits; an hour is more than any link has.
    for (what, time) in [("delay", netem.delay), ("jitter", netem.jitter)] {
        range(&format!("netem: {what} (in seconds)"), time.as_secs(), 0, 3600, faults);
    }
    if let Some(rate) = netem.rate {
        bucket("netem", rate, 1, faults);
    }
    if let Some(limit) = netem.limit {
        range("netem: limit", u64::from(limit), 1, i32::MAX as u64, faults);
    }
}

fn check_prio(prio: &Prio, faults: &mut Vec<ShaperFault>) {
    range("prio: bands", u64::from(prio.bands), 2, 16, faults);
    let last = u64::from(prio.bands.saturating_sub(1));
    for band in prio.map.iter().chain(prio.leaves.keys()) {
        range("prio: band", u64::from(*band), 0, last, faults);
    }
    for filter in &prio.filters {
        range("prio: class", u64::from(filter.class.get()), 1, u64::from(prio.bands), faults);
    }
    check_filters(&prio.filters, faults);
}

fn check_filters(filters: &[Filter], faults: &mut Vec<ShaperFault>) {
    range("number of filters", filters.len() as u64, 0, MOST_FILTERS as u64, faults);
    for filter in filters {
        if let Some(why) = contradiction(&filter.when) {
            faults.push(ShaperFault::Contradiction { when: filter.when.to_string(), why });
        }
    }
}

fn contradiction(when: &Match) -> Option<&'static str> {
    let mut families = when.source.iter().chain(&when.destination).map(family).chain(when.family);
    if let Some(first) = families.next()
        && families.any(|other| other != first)
    {
        return Some("IPv4 and IPv6");
    }
    if when.has_ports() && !matches!(when.protocol, None | Some(6 | 17 | 132)) {
        return Some("only TCP, UDP and SCTP have ports");
    }
    for ports in [when.source_ports, when.destination_ports].into_iter().flatten() {
        if ports.low > ports.high {
            return Some("the ports end before they begin");
        }
        if (ports.low, ports.high) == (0, u16::MAX) {
            return Some("all ports are no match; leave them out");
        }
    }
    None
}
