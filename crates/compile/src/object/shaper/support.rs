//! What the kernel at hand can do, and what a tree needs.

use super::{Ingress, Qdisc, Shaper};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The classifier that realizes matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilterKind {
    /// `cls_flower`: parsed headers, one lookup for many filters. Marks still go by `u32`.
    Flower,
    /// `cls_u32`: bits at offsets; in every kernel that can classify at all.
    #[default]
    U32,
}

/// Kinds of queueing that a kernel has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Support {
    pub htb: bool,
    pub tbf: bool,
    pub netem: bool,
    pub prio: bool,
    pub fq_codel: bool,
    pub sfq: bool,
    /// The `ingress` discipline.
    pub ingress: bool,
    pub u32: bool,
    /// `u32` can match marks (`CONFIG_CLS_U32_MARK`).
    pub u32_mark: bool,
    pub flower: bool,
    pub police: bool,
    pub mirred: bool,
}

impl Support {
    /// A kernel with everything.
    pub const ALL: Self = Self {
        htb: true,
        tbf: true,
        netem: true,
        prio: true,
        fq_codel: true,
        sfq: true,
        ingress: true,
        u32: true,
        u32_mark: true,
        flower: true,
        police: true,
        mirred: true,
    };

    /// The classifier to use: `flower` where there is one.
    #[must_use]
    pub const fn filter_kind(&self) -> FilterKind {
        if self.flower { FilterKind::Flower } else { FilterKind::U32 }
    }
}

/// A part of the kernel that a tree needs and that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Missing {
    /// The kind, in the kernel's words.
    pub kind: &'static str,
    /// The kernel option that brings it.
    pub option: &'static str,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this kernel has no {} ({})", self.kind, self.option)
    }
}

impl Shaper {
    /// What this tree needs and `support` lacks, sorted.
    #[must_use]
    pub fn missing(&self, support: &Support) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut need = |there: bool, kind, option| {
            if !there {
                missing.push(Missing { kind, option });
            }
        };
        let mut todo: Vec<&Qdisc> = self.root.iter().collect();
        while let Some(qdisc) = todo.pop() {
            match qdisc {
                Qdisc::Htb(_) => need(support.htb, "htb", "CONFIG_NET_SCH_HTB"),
                Qdisc::Tbf(_) => need(support.tbf, "tbf", "CONFIG_NET_SCH_TBF"),
                Qdisc::Netem(_) => need(support.netem, "netem", "CONFIG_NET_SCH_NETEM"),
                Qdisc::Prio(_) => need(support.prio, "prio", "CONFIG_NET_SCH_PRIO"),
                Qdisc::FqCodel(_) => need(support.fq_codel, "fq_codel", "CONFIG_NET_SCH_FQ_CODEL"),
                Qdisc::Sfq(_) => need(support.sfq, "sfq", "CONFIG_NET_SCH_SFQ"),
                Qdisc::Pfifo { .. } | Qdisc::Bfifo { .. } | Qdisc::Other { .. } => {}
            }
            for filter in qdisc.filters() {
                if filter.when.mark.is_some_and(|(_, mask)| mask != 0) {
                    need(support.u32, "u32 classifier", "CONFIG_NET_CLS_U32");
                    need(support.u32_mark, "u32 match by mark", "CONFIG_CLS_U32_MARK");
                } else {
                    need(support.flower || support.u32, "flower or u32 classifier", "CONFIG_NET_CLS_FLOWER");
                }
            }
            todo.extend(qdisc.children().into_iter().map(|(_, child)| child));
        }
        if let Some(ingress) = &self.ingress {
            need(support.ingress, "ingress", "CONFIG_NET_SCH_INGRESS");
            need(support.u32, "u32 classifier", "CONFIG_NET_CLS_U32");
            match ingress {
                Ingress::Police { .. } => need(support.police, "police action", "CONFIG_NET_ACT_POLICE"),
                Ingress::Redirect { .. } => need(support.mirred, "mirred action", "CONFIG_NET_ACT_MIRRED"),
            }
        }
        missing.sort();
        missing.dedup();
        missing
    }
}
