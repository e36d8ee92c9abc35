//! Options of the queueing disciplines and of HTB's classes, both ways (linux/pkt_sched.h).
//!
//! Invariant: `decode(encode(x))` satisfies `x` for everything that passes `Shaper::check`; any octets
//! decode to something or to `None`, without panic.

use super::netem;
use super::units::{RATESPEC, Ticks, is_wide, rate, rate_table, ratespec, u32_at, words};
use crate::netlink::{Attribute, Message};
use netloom_compile::object::shaper::{ClassId, FqCodel, Htb, HtbClass, Peak, Prio, Qdisc, Sfq, Tbf};
use std::collections::BTreeMap;
use std::time::Duration;

/// `TCA_KIND`, `TCA_OPTIONS` (linux/rtnetlink.h).
pub(super) const TCA_KIND: u16 = 1;
pub(super) const TCA_OPTIONS: u16 = 2;

const TCA_HTB_PARMS: u16 = 1;
const TCA_HTB_INIT: u16 = 2;
const TCA_HTB_CTAB: u16 = 3;
const TCA_HTB_RTAB: u16 = 4;
const TCA_HTB_RATE64: u16 = 6;
const TCA_HTB_CEIL64: u16 = 7;
/// `TC_HTB_PROTOVER`.
const HTB_VERSION: u32 = 3;
const HTB_R2Q: u32 = 10;

const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RTAB: u16 = 2;
const TCA_TBF_PTAB: u16 = 3;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_PRATE64: u16 = 5;
const TCA_TBF_BURST: u16 = 6;
const TCA_TBF_PBURST: u16 = 7;

const TCA_FQ_CODEL_TARGET: u16 = 1;
const TCA_FQ_CODEL_LIMIT: u16 = 2;
const TCA_FQ_CODEL_INTERVAL: u16 = 3;
const TCA_FQ_CODEL_ECN: u16 = 4;
const TCA_FQ_CODEL_FLOWS: u16 = 5;
const TCA_FQ_CODEL_QUANTUM: u16 = 6;
const TCA_FQ_CODEL_MEMORY_LIMIT: u16 = 9;

/// Appends `TCA_KIND` and `TCA_OPTIONS` of a discipline, without what hangs below it.
pub(super) fn encode(message: &mut Message<'_>, qdisc: &Qdisc, ticks: Ticks) {
    message.text(TCA_KIND, qdisc.kind());
    match qdisc {
        Qdisc::Htb(htb) => {
            let default = htb.default.map_or(0, |id| u32::from(id.get()));
            let init = words(&[HTB_VERSION, htb.r2q.unwrap_or(HTB_R2Q), default, 0, 0]);
            message.nest_plain(TCA_OPTIONS, |m| {
                m.octets(TCA_HTB_INIT, &init);
            });
        }
        Qdisc::Tbf(tbf) => encode_tbf(message, tbf, ticks),
        Qdisc::Netem(netem) => netem::encode(message, netem, ticks),
        Qdisc::Prio(prio) => {
            let mut options = u32::from(prio.bands).to_ne_bytes().to_vec();
            options.extend_from_slice(&prio.map);
            message.octets(TCA_OPTIONS, &options);
        }
        Qdisc::FqCodel(codel) => {
            message.nest_plain(TCA_OPTIONS, |m| encode_fq_codel(m, codel));
        }
        Qdisc::Sfq(sfq) => {
            let (quantum, perturb, limit) =
                (sfq.quantum.unwrap_or(0), sfq.perturb.unwrap_or(0), sfq.limit.unwrap_or(0));
            // struct tc_sfq_qopt: divisor and flows are left to the kernel.
            message.octets(TCA_OPTIONS, &words(&[quantum, perturb, limit, 0, 0]));
        }
        Qdisc::Pfifo { limit: Some(limit) } | Qdisc::Bfifo { limit: Some(limit) } => {
            message.octets(TCA_OPTIONS, &limit.to_ne_bytes());
        }
        Qdisc::Pfifo { limit: None } | Qdisc::Bfifo { limit: None } | Qdisc::Other { .. } => {}
    }
}

/// Reads a discipline from its kind and options; `None` for options that make no sense. Classes,
/// filters and disciplines below are added by the observer.
pub(super) fn decode(kind: &str, options: Option<Attribute<'_>>, ticks: Ticks) -> Option<Qdisc> {
    let nested = options.map(Attribute::nested).unwrap_or_default();
    let raw = options.map_or(&[][..], |options| options.value);
    Some(match kind {
        "htb" => {
            let init = nested.get(TCA_HTB_INIT)?.value;
            let default = u16::try_from(u32_at(init, 8)?).ok().and_then(|id| ClassId::try_from(id).ok());
            Qdisc::Htb(Htb { default, r2q: u32_at(init, 4), classes: BTreeMap::new(), filters: Vec::new() })
        }
        "tbf" => Qdisc::Tbf(decode_tbf(options?, ticks)?),
        "netem" => Qdisc::Netem(Box::new(netem::decode(raw, ticks)?)),
        "prio" => Qdisc::Prio(Prio {
            bands: u8::try_from(u32_at(raw, 0)?).ok()?,
            map: raw.get(4..20)?.try_into().ok()?,
            leaves: BTreeMap::new(),
            filters: Vec::new(),
        }),
        "fq_codel" => {
            let number = |kind| nested.get(kind).and_then(Attribute::u32);
            let time = |kind| number(kind).map(|micros| Duration::from_micros(u64::from(micros)));
            Qdisc::FqCodel(FqCodel {
                limit: number(TCA_FQ_CODEL_LIMIT),
                flows: number(TCA_FQ_CODEL_FLOWS),
                quantum: number(TCA_FQ_CODEL_QUANTUM),
                target: time(TCA_FQ_CODEL_TARGET),
                interval: time(TCA_FQ_CODEL_INTERVAL),
                ecn: number(TCA_FQ_CODEL_ECN).map(|value| value != 0),
                memory_limit: number(TCA_FQ_CODEL_MEMORY_LIMIT),
            })
        }
        "sfq" => Qdisc::Sfq(Sfq {
            quantum: Some(u32_at(raw, 0)?),
            perturb: Some(u32_at(raw, 4)?),
            limit: Some(u32_at(raw, 8)?),
        }),
        "pfifo" => Qdisc::Pfifo { limit: u32_at(raw, 0) },
        "bfifo" => Qdisc::Bfifo { limit: u32_at(raw, 0) },
        other => Qdisc::Other { name: other.to_owned() },
    })
}

fn encode_tbf(message: &mut Message<'_>, tbf: &Tbf, ticks: Ticks) {
    let mut parameters = ratespec(tbf.rate).to_vec();
    parameters.extend_from_slice(&tbf.peak.map_or([0; RATESPEC], |peak| ratespec(peak.rate)));
    let buffer = ticks.sending(tbf.rate, tbf.burst);
    let mtu = tbf.peak.map_or(0, |peak| ticks.sending(peak.rate, peak.burst));
    parameters.extend(words(&[tbf.limit, buffer, mtu]));
    message.nest_plain(TCA_OPTIONS, |m| {
        m.octets(TCA_TBF_PARMS, &parameters);
        m.u32(TCA_TBF_BURST, tbf.burst);
        if is_wide(tbf.rate) {
            m.u64(TCA_TBF_RATE64, tbf.rate.octets());
        }
        m.octets(TCA_TBF_RTAB, &rate_table(ticks, tbf.rate));
        if let Some(peak) = tbf.peak {
            if is_wide(peak.rate) {
                m.u64(TCA_TBF_PRATE64, peak.rate.octets());
            }
            m.u32(TCA_TBF_PBURST, peak.burst);
            m.octets(TCA_TBF_PTAB, &rate_table(ticks, peak.rate));
        }
    });
}

fn decode_tbf(options: Attribute<'_>, ticks: Ticks) -> Option<Tbf> {
    let nested = options.nested();
    let parameters = nested.get(TCA_TBF_PARMS)?.value;
    let wide = |kind| nested.get(kind).and_then(Attribute::u64);
    let tbf_rate = rate(parameters, wide(TCA_TBF_RATE64))?;
    let peak_rate = rate(parameters.get(RATESPEC..)?, wide(TCA_TBF_PRATE64))?;
    let (limit, buffer, mtu) = (u32_at(parameters, 24)?, u32_at(parameters, 28)?, u32_at(parameters, 32)?);
    let peak = (peak_rate.0 > 0).then(|| Peak { rate: peak_rate, burst: ticks.octets(peak_rate, mtu) });
    Some(Tbf { rate: tbf_rate, burst: ticks.octets(tbf_rate, buffer), limit, peak, child: None })
}

fn encode_fq_codel(m: &mut Message<'_>, codel: &FqCodel) {
    let mut number = |kind, value: Option<u32>| {
        if let Some(value) = value {
            m.u32(kind, value);
        }
    };
    let micros =
        |time: Option<Duration>| time.map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    number(TCA_FQ_CODEL_LIMIT, codel.limit);
    number(TCA_FQ_CODEL_FLOWS, codel.flows);
    number(TCA_FQ_CODEL_QUANTUM, codel.quantum);
    number(TCA_FQ_CODEL_TARGET, micros(codel.target));
    number(TCA_FQ_CODEL_INTERVAL, micros(codel.interval));
    number(TCA_FQ_CODEL_ECN, codel.ecn.map(u32::from));
    number(TCA_FQ_CODEL_MEMORY_LIMIT, codel.memory_limit);
}

/// Appends `TCA_KIND` and `TCA_OPTIONS` of a class of HTB.
pub(super) fn encode_class(message: &mut Message<'_>, class: &HtbClass, ticks: Ticks) {
    let mut parameters = ratespec(class.rate).to_vec();
    parameters.extend_from_slice(&ratespec(class.ceil));
    parameters.extend(words(&[
        ticks.sending(class.rate, class.burst),
        ticks.sending(class.ceil, class.cburst),
        class.quantum.unwrap_or(0),
        0,
        u32::from(class.priority),
    ]));
    message.text(TCA_KIND, "htb").nest_plain(TCA_OPTIONS, |m| {
        // The kernel looks for the wide rates before it looks at the parameters.
        if is_wide(class.rate) {
            m.u64(TCA_HTB_RATE64, class.rate.octets());
        }
        if is_wide(class.ceil) {
            m.u64(TCA_HTB_CEIL64, class.ceil.octets());
        }
        m.octets(TCA_HTB_PARMS, &parameters);
        m.octets(TCA_HTB_RTAB, &rate_table(ticks, class.rate));
        m.octets(TCA_HTB_CTAB, &rate_table(ticks, class.ceil));
    });
}

/// Reads a class of HTB; its parent and leaf are added by the observer.
pub(super) fn decode_class(options: Attribute<'_>, ticks: Ticks) -> Option<HtbClass> {
    let nested = options.nested();
    let parameters = nested.get(TCA_HTB_PARMS)?.value;
    let wide = |kind| nested.get(kind).and_then(Attribute::u64);
    let class_rate = rate(parameters, wide(TCA_HTB_RATE64))?;
    let ceil = rate(parameters.get(RATESPEC..)?, wide(TCA_HTB_CEIL64))?;
    let word = |index: usize| u32_at(parameters, 24 + 4 * index);
    Some(HtbClass {
        parent: None,
        rate: class_rate,
        ceil,
        burst: ticks.octets(class_rate, word(0)?),
        cburst: ticks.octets(ceil, word(1)?),
        quantum: word(2).filter(|quantum| *quantum > 0),
        priority: u8::try_from(word(4)?).ok()?,
        leaf: None,
    })
}
