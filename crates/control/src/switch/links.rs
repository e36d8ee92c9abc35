//! The options of a port's simulated link, and what it counted.
//!
//! Every option of a direction can be given for both (`delay=20ms`), and for what comes in or goes out alone (`delay-in`,
//! `delay-out`), which counts more.

use super::configuration::Options;
use super::protocol::LinkStatus;
use super::words::{list, span, truth};
use netloom_datapath::LinkTotals;
use netloom_model::scalar::{Percent, Rate, Size};
use netloom_nf::link::{Cable, Distribution, LONGEST, Loss, MILLION, Medium};

/// Options of one direction.
const ONE_WAY: [&str; 13] = [
    "delay",
    "jitter",
    "distribution",
    "link-rate",
    "link-burst",
    "link-peak",
    "loss",
    "loss-burst",
    "duplicate",
    "corrupt",
    "reorder",
    "link-packets",
    "link-octets",
];
/// Options of both.
const WHOLE: [&str; 3] = ["duplex", "simplex", "link-seed"];
/// Most packets of one link.
const MOST_PACKETS: usize = 1 << 17;
/// Most octets of one link.
const MOST_OCTETS: usize = 256 << 20;

/// All options of a simulated link.
pub fn all() -> impl Iterator<Item = String> {
    let one_way = ONE_WAY.iter().flat_map(|name| ["", "-in", "-out"].map(|way| format!("{name}{way}")));
    one_way.chain(WHOLE.map(str::to_owned))
}

/// Whether an option of a port is one of its simulated link.
#[must_use]
pub fn is_link(option: &str) -> bool {
    let base = option.strip_suffix("-in").or_else(|| option.strip_suffix("-out")).unwrap_or(option);
    ONE_WAY.contains(&base) || WHOLE.contains(&option)
}

fn share(name: &str, text: &str) -> Result<u32, String> {
    text.parse().map(Percent::parts_per_million).map_err(|error| format!("`{name}`: {error}"))
}

fn bursts(name: &str, text: &str) -> Result<Loss, String> {
    let shares: Vec<u32> = list(text).map(|part| share(name, part)).collect::<Result<_, _>>()?;
    match shares[..] {
        [enter, leave] => Ok(Loss::Bursts { enter, leave, bad: MILLION, good: 0 }),
        [enter, leave, bad] => Ok(Loss::Bursts { enter, leave, bad, good: 0 }),
        [enter, leave, bad, good] => Ok(Loss::Bursts { enter, leave, bad, good }),
        _ => Err(format!(
            "`{name}={text}`: two to four shares: good to bad, bad to good, lost while bad (100%), lost while good (0%)"
        )),
    }
}

/// What a link does in one direction.
fn medium(options: &Options, side: &str) -> Result<Medium, String> {
    let get = |name: &'static str| {
        let own = format!("{name}-{side}");
        options.get_key_value(&own).or_else(|| options.get_key_value(name))
    };
    let time = |name| get(name).map_or(Ok(0), |(name, text)| span(name, text));
    let part = |name| get(name).map_or(Ok(0), |(name, text)| share(name, text));
    let mut medium = Medium {
        delay: time("delay")?,
        jitter: time("jitter")?,
        duplicate: part("duplicate")?,
        corrupt: part("corrupt")?,
        reorder: part("reorder")?,
        ..Medium::NOTHING
    };
    if let Some((name, text)) = get("distribution") {
        let known = Distribution::ALL.iter().find(|(_, known)| known == text);
        let names = Distribution::ALL.map(|(_, name)| name).join(", ");
        medium.distribution = known.ok_or_else(|| format!("`{name}={text}`: one of {names}"))?.0;
    }
    if let Some((name, text)) = get("link-rate") {
        let rate: Rate = text.parse().map_err(|error| format!("`{name}`: {error}"))?;
        medium.rate = rate.bits_per_second();
    }
    let size = |(name, text): (&String, &String)| {
        text.parse().map(Size::bytes).map_err(|error| format!("`{name}`: {error}"))
    };
    medium.burst = get("link-burst").map_or(Ok(0), size)?;
    if let Some((name, text)) = get("link-peak") {
        let peak: Rate = text.parse().map_err(|error| format!("`{name}`: {error}"))?;
        medium.peak = peak.bits_per_second();
        if medium.peak < medium.rate {
            return Err(format!("`{name}` is below `link-rate`"));
        }
    }
    if medium.rate == 0 && (medium.burst > 0 || medium.peak > 0) {
        return Err("`link-burst` and `link-peak` need `link-rate`".to_owned());
    }
    medium.loss = match (get("loss"), get("loss-burst")) {
        (Some(_), Some(_)) => return Err("`loss` and `loss-burst` exclude each other".to_owned()),
        (Some((name, text)), None) => Loss::Random(share(name, text)?),
        (None, Some((name, text))) => bursts(name, text)?,
        (None, None) => Loss::Random(0),
    };
    if let Some((name, text)) = get("link-packets") {
        let packets = text.parse().ok().filter(|packets| (1..=MOST_PACKETS).contains(packets));
        medium.packets =
            packets.ok_or_else(|| format!("`{name}={text}`: a number from 1 to {MOST_PACKETS}"))?;
        // Room for as many of any size that is not cut.
        medium.octets = medium.packets.saturating_mul(9216).clamp(1 << 20, MOST_OCTETS);
    }
    if let Some(octets) = get("link-octets").map(size).transpose()? {
        medium.octets = usize::try_from(octets).unwrap_or(usize::MAX).min(MOST_OCTETS);
    }
    if medium.reorder > 0 && medium.delay == 0 {
        return Err("packets can't overtake each other without a delay: `reorder` needs `delay`".to_owned());
    }
    if medium.delay > LONGEST || medium.jitter > LONGEST {
        return Err("a delay and its jitter are at most an hour each".to_owned());
    }
    Ok(medium)
}

/// The simulated link of a port.
pub(super) fn cable(options: &Options) -> Result<Cable, String> {
    let mut cable =
        Cable { inward: medium(options, "in")?, outward: medium(options, "out")?, half_duplex: false };
    match options.get("duplex").map(String::as_str) {
        None | Some("full") => {}
        Some("half") if cable.inward.rate > 0 && cable.outward.rate > 0 => cable.half_duplex = true,
        Some("half") => {
            return Err(
                "`duplex=half` needs `link-rate`: what the directions share is the line's time".to_owned()
            );
        }
        Some(other) => return Err(format!("`duplex={other}`: full or half")),
    }
    match options.get("simplex").map(String::as_str) {
        None => {}
        Some("in") => cable.outward.closed = true,
        Some("out") => cable.inward.closed = true,
        Some(other) => match truth("simplex", other) {
            Ok(false) => {}
            _ => return Err(format!("`simplex={other}`: in or out, the one direction that is open")),
        },
    }
    seed(options, 0)?;
    Ok(cable)
}

/// The seed of its chances: that which was given, or another.
pub(super) fn seed(options: &Options, otherwise: u64) -> Result<u64, String> {
    let given = options.get("link-seed");
    given.map_or(Ok(otherwise), |text| text.parse().map_err(|_| format!("`link-seed={text}`: a number")))
}

/// What both directions counted; nothing for a port without a link.
pub(super) fn status(options: &Options, totals: &[LinkTotals; 2]) -> Vec<LinkStatus> {
    let row = |(direction, count): (&str, &LinkTotals)| LinkStatus {
        direction: direction.to_owned(),
        packets: count.packets,
        lost: count.lost,
        full: count.full,
        duplicated: count.duplicated,
        corrupted: count.corrupted,
        overtaken: count.overtaken,
        under_way: count.under_way,
    };
    let linked = options.keys().any(|option| is_link(option));
    if linked { ["in", "out"].into_iter().zip(totals).map(row).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Cable, String> {
        let options = text.split_whitespace().filter_map(|word| word.split_once('='));
        cable(&options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn options_of_links() {
        assert!(of("").unwrap().is_nothing());
        let both =
            of("delay=20ms jitter=1ms distribution=normal loss=1% link-rate=10mbit link-burst=4k").unwrap();
        assert_eq!(both.inward, both.outward);
        let medium = both.inward;
        assert_eq!((medium.delay, medium.jitter, medium.rate), (20_000_000, 1_000_000, 10_000_000));
        assert_eq!((medium.loss, medium.distribution), (Loss::Random(10_000), Distribution::Normal));
        let one = of("delay=20ms delay-in=1ms loss-burst-out=1%,20% reorder-in=5% duplicate=0.1% corrupt=1%")
            .unwrap();
        assert_eq!(
            (one.inward.delay, one.outward.delay, one.inward.reorder),
            (1_000_000, 20_000_000, 50_000)
        );
        let bursts = Loss::Bursts { enter: 10_000, leave: 200_000, bad: MILLION, good: 0 };
        assert_eq!((one.inward.loss, one.outward.loss), (Loss::Random(0), bursts));
        assert_eq!((one.inward.duplicate, one.outward.corrupt), (1000, 10_000));
        assert!(of("duplex=half link-rate=1mbit").unwrap().half_duplex);
        assert!(of("simplex=in").unwrap().outward.closed && of("simplex=out").unwrap().inward.closed);
        for (wrong, why) in [
            ("duplex=half", "needs `link-rate`"),
            ("duplex=half link-rate-in=1mbit", "needs `link-rate`"),
            ("duplex=both", "full or half"),
            ("simplex=both", "in or out"),
            ("loss=1% loss-burst=1%,2%", "exclude"),
            ("loss-burst=1%", "two to four"),
            ("loss=200%", "`loss`"),
            ("reorder=1%", "needs `delay`"),
            ("delay=2h", "hour"),
            ("distribution=gauss delay=1ms", "uniform, normal"),
            ("link-burst=4k", "need `link-rate`"),
            ("link-rate=2mbit link-peak=1mbit", "below"),
            ("link-packets=0", "from 1"),
            ("link-seed=x", "a number"),
        ] {
            let told = of(wrong).unwrap_err();
            assert!(told.contains(why), "{wrong}: {told}");
        }
        assert!(is_link("delay-in") && is_link("duplex") && !is_link("duplex-in") && !is_link("rate"));
    }
}
