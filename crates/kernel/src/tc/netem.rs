//! Options of netem: a fixed structure followed by attributes (linux/pkt_sched.h).

use super::qdisc::TCA_OPTIONS;
use super::units::{Ticks, is_wide, parts, share, u32_at, words};
use crate::netlink::{Attribute, Attributes, Message};
use netloom_compile::object::shaper::{BitRate, Distribution, Netem, NetemReorder};
use std::time::Duration;

const TCA_NETEM_CORR: u16 = 1;
const TCA_NETEM_DELAY_DIST: u16 = 2;
const TCA_NETEM_REORDER: u16 = 3;
const TCA_NETEM_CORRUPT: u16 = 4;
const TCA_NETEM_RATE: u16 = 6;
const TCA_NETEM_RATE64: u16 = 8;
const TCA_NETEM_LATENCY64: u16 = 10;
const TCA_NETEM_JITTER64: u16 = 11;
/// Length of `struct tc_netem_qopt`.
const HEADER: usize = 24;
/// Packets under way unless told otherwise, as `tc` has it.
const DEFAULT_LIMIT: u32 = 1000;
/// Entries of a distribution table, and the value that stands for one standard deviation
/// (`NETEM_DIST_SCALE`).
const TABLE: u32 = 4096;
const SCALE: f64 = 8192.0;

/// Appends `TCA_OPTIONS`.
pub(super) fn encode(message: &mut Message<'_>, netem: &Netem, ticks: Ticks) {
    let reorder = netem.reorder;
    let header = words(&[
        ticks.of(netem.delay),
        netem.limit.unwrap_or(DEFAULT_LIMIT),
        share(netem.loss),
        reorder.map_or(0, |reorder| reorder.gap),
        share(netem.duplicate),
        ticks.of(netem.jitter),
    ]);
    message.nest_plain(TCA_OPTIONS, |m| {
        m.header(&header);
        let correlations = [share(netem.delay_correlation), share(netem.loss_correlation), 0];
        m.octets(TCA_NETEM_CORR, &words(&correlations));
        let reorder = reorder.map_or([0, 0], |reorder| [share(reorder.share), share(reorder.correlation)]);
        m.octets(TCA_NETEM_REORDER, &words(&reorder));
        m.octets(TCA_NETEM_CORRUPT, &words(&[share(netem.corrupt), 0]));
        // A rate of 0 takes an earlier one away.
        let rate = netem.rate.unwrap_or(BitRate(0));
        if is_wide(rate) {
            m.u64(TCA_NETEM_RATE64, rate.octets());
        }
        let narrow = u32::try_from(rate.octets()).unwrap_or(u32::MAX);
        m.octets(TCA_NETEM_RATE, &words(&[narrow, 0, 0, 0]));
        m.u64(TCA_NETEM_LATENCY64, nanoseconds(netem.delay));
        m.u64(TCA_NETEM_JITTER64, nanoseconds(netem.jitter));
        if netem.distribution == Distribution::Normal && !netem.jitter.is_zero() {
            m.octets(TCA_NETEM_DELAY_DIST, &normal_table());
        }
    });
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads the options; the distribution is not among them.
pub(super) fn decode(options: &[u8], ticks: Ticks) -> Option<Netem> {
    let attributes = Attributes::new(options.get(HEADER..)?);
    let word =
        |kind, index: usize| attributes.get(kind).and_then(|attribute| u32_at(attribute.value, 4 * index));
    let time = |kind, narrow: u32| match attributes.get(kind).and_then(Attribute::u64) {
        Some(nanoseconds) => Duration::from_nanos(nanoseconds),
        None => ticks.time(narrow),
    };
    let rate = match attributes.get(TCA_NETEM_RATE64).and_then(Attribute::u64) {
        Some(rate) => rate,
        None => u64::from(word(TCA_NETEM_RATE, 0).unwrap_or(0)),
    };
    let share = |kind, index| parts(word(kind, index).unwrap_or(0));
    let gap = u32_at(options, 12)?;
    Some(Netem {
        delay: time(TCA_NETEM_LATENCY64, u32_at(options, 0)?),
        jitter: time(TCA_NETEM_JITTER64, u32_at(options, 20)?),
        delay_correlation: share(TCA_NETEM_CORR, 0),
        distribution: Distribution::Uniform,
        loss: parts(u32_at(options, 8)?),
        loss_correlation: share(TCA_NETEM_CORR, 1),
        duplicate: parts(u32_at(options, 16)?),
        corrupt: share(TCA_NETEM_CORRUPT, 0),
        reorder: (gap > 0).then(|| NetemReorder {
            share: share(TCA_NETEM_REORDER, 0),
            correlation: share(TCA_NETEM_REORDER, 1),
            gap,
        }),
        rate: (rate > 0).then(|| BitRate::from_octets(rate)),
        limit: Some(u32_at(options, 4)?),
        child: None,
    })
}

/// The inverse of the normal distribution at the middles of 4,096 equal shares, as the kernel wants it:
/// 16-bit numbers in which 8,192 is one standard deviation.
fn normal_table() -> Vec<u8> {
    (0..TABLE)
        .flat_map(|index| {
            let deviations = quantile((f64::from(index) + 0.5) / f64::from(TABLE));
            let value = (deviations * SCALE).round().clamp(f64::from(i16::MIN), f64::from(i16::MAX));
            (value as i16).to_ne_bytes()
        })
        .collect()
}

/// The value below which a share `p` of a normal distribution lies, for 0 < p < 1: found by halving an
/// interval on the distribution function, which needs no table of magic numbers.
fn quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if cumulative(middle) < p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The distribution function of the normal distribution, by its series around zero
/// (Marsaglia, Journal of Statistical Software 11(4), 2004).
fn cumulative(x: f64) -> f64 {
    let (mut sum, mut term, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-12 * sum.abs() && odd < 400.0 {
        odd += 2.0;
        term *= x * x / odd;
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_table_is_normal() {
        let table = normal_table();
        let values: Vec<f64> =
            table.chunks(2).map(|two| f64::from(i16::from_ne_bytes([two[0], two[1]])) / SCALE).collect();
        assert_eq!(values.len(), 4096);
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
        let mean = values.iter().sum::<f64>() / 4096.0;
        let variance = values.iter().map(|value| value * value).sum::<f64>() / 4096.0;
        assert!(mean.abs() < 1e-3 && (variance - 1.0).abs() < 5e-3, "{mean} {variance}");
        let within = values.iter().filter(|value| value.abs() < 1.0).count();
        assert!((within as f64 / 4096.0 - 0.6827).abs() < 2e-3, "{within}");
    }
}
